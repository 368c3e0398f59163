//! Frames through AF_XDP, between two ends of a virtual cable in a network namespace of its own.
//!
//! Needs root, the command `ip`, and a kernel with AF_XDP; says that it was skipped otherwise.

#![cfg(target_os = "linux")]

use std::io;
use std::process::Command;
use std::time::{Duration, Instant};

use etherparse::PacketBuilder;
use tidegate_packet_loop::frame;
use tidegate_packet_loop::source::Source;
use tidegate_packet_loop::source::live::Live;

fn ip(arguments: &str) -> Result<(), String> {
    let output = Command::new("ip").args(arguments.split(' ')).output();
    let output = output.map_err(|why| format!("ip: {why}"))?;
    match output.status.success() {
        true => Ok(()),
        false => Err(format!("ip {arguments}: {}", String::from_utf8_lossy(&output.stderr))),
    }
}

/// Moves this thread into a namespace with a cable between `near` and `far`. Nothing of it is left when
/// the test ends.
fn cable() -> Result<(), String> {
    // SAFETY: no memory is passed.
    if unsafe { libc::unshare(libc::CLONE_NEWNET) } != 0 {
        return Err(format!("a network namespace: {}", io::Error::last_os_error()));
    }
    ip("link add near type veth peer name far")?;
    ip("link set near up")?;
    ip("link set far up")
}

/// Sends frames out of an interface.
fn send(interface: &std::ffi::CStr, frames: &[Vec<u8>]) -> io::Result<()> {
    // SAFETY: no memory is passed.
    let socket = unsafe { libc::socket(libc::AF_PACKET, libc::SOCK_RAW, 0) };
    if socket < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: an address of which all zeros is a value.
    let mut address: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
    address.sll_family = libc::AF_PACKET as u16;
    // SAFETY: the name ends with a zero.
    address.sll_ifindex = unsafe { libc::if_nametoindex(interface.as_ptr()) } as i32;
    let size = size_of::<libc::sockaddr_ll>() as u32;
    for frame in frames {
        let to = (&raw const address).cast();
        // SAFETY: the frame and the address have the lengths that are named.
        let sent = unsafe { libc::sendto(socket, frame.as_ptr().cast(), frame.len(), 0, to, size) };
        if sent < 0 {
            return Err(io::Error::last_os_error());
        }
    }
    // SAFETY: opened above.
    unsafe { libc::close(socket) };
    Ok(())
}

#[test]
fn frames_of_an_interface_come_whole_and_in_order() {
    let opened = cable().and_then(|()| Live::open("near").map_err(|why| why.to_string()));
    let mut live = match opened {
        Ok(live) => live,
        Err(why) => {
            eprintln!("skipped: {why}");
            return;
        }
    };
    let frames: Vec<Vec<u8>> = (0..10_000_u16)
        .map(|port| {
            let builder = PacketBuilder::ethernet2([2; 6], [4; 6]);
            let builder = builder.ipv4([10, 0, 0, 1], [10, 0, 0, 2], 64).udp(port, 4_000);
            let mut frame = Vec::new();
            builder.write(&mut frame, &vec![7; usize::from(port) % 1_400]).expect("a frame");
            frame
        })
        .collect();
    let start = Instant::now();
    let mut seen = 0;
    // Fewer at a time than may wait; more in all than there is memory for.
    for chunk in frames.chunks(1_000) {
        send(c"far", chunk).expect("sent");
        let end = seen + chunk.len();
        while seen < end {
            assert!(start.elapsed() < Duration::from_secs(30), "only {seen} came");
            let received = live.burst(|bytes, bits| {
                // The kernel itself speaks on a new interface, too.
                let flow = frame::read(bytes, bits).map_or(0, |frame| frame.flow.ports >> 8);
                if flow & 0xffff == 4_000 {
                    assert_eq!(bytes, frames[seen], "frame {seen}");
                    seen += 1;
                }
            });
            assert!(received.is_some_and(|received| received <= 32));
        }
    }
}
