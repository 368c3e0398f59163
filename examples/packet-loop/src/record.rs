//! A capture of loopback.

use std::io;
use std::net::{Ipv4Addr, UdpSocket};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::path::Path;
use std::time::{Duration, Instant};

use tidegate_packet_loop::source::capture::Capture;

/// The most bytes of a frame on loopback.
const LONGEST: usize = 65_550;

/// A socket that gets a copy of every frame on loopback.
struct Tap(OwnedFd);

impl Tap {
    fn open() -> io::Result<Self> {
        let all = i32::from((libc::ETH_P_ALL as u16).to_be());
        // SAFETY: no memory is passed.
        let socket =
            unsafe { libc::socket(libc::AF_PACKET, libc::SOCK_RAW | libc::SOCK_CLOEXEC, all) };
        if socket < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the kernel has just made it, for this process.
        let tap = Self(unsafe { OwnedFd::from_raw_fd(socket) });
        // SAFETY: the name ends with a zero.
        let index = unsafe { libc::if_nametoindex(c"lo".as_ptr()) };
        // SAFETY: an address of which all zeros is a value.
        let mut address: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
        address.sll_family = libc::AF_PACKET as u16;
        address.sll_protocol = all as u16;
        address.sll_ifindex = index as i32;
        let size = size_of::<libc::sockaddr_ll>() as u32;
        // SAFETY: the address is of the size that is named.
        let bound = unsafe { libc::bind(socket, (&raw const address).cast(), size) };
        if bound != 0 { Err(io::Error::last_os_error()) } else { Ok(tap) }
    }

    /// Returns the next frame, if there is one.
    fn next(&self, buffer: &mut [u8]) -> io::Result<Option<usize>> {
        let (socket, length) = (self.0.as_raw_fd(), buffer.len());
        // SAFETY: the buffer has `length` bytes.
        let got =
            unsafe { libc::recv(socket, buffer.as_mut_ptr().cast(), length, libc::MSG_DONTWAIT) };
        match usize::try_from(got) {
            Ok(got) => Ok(Some(got)),
            Err(_) => match io::Error::last_os_error() {
                none if none.kind() == io::ErrorKind::WouldBlock => Ok(None),
                error => Err(error),
            },
        }
    }
}

/// Sends datagrams of a few senders over loopback, and writes what a tap there sees to a file.
///
/// # Errors
///
/// If the process lacks `CAP_NET_RAW`, or the file cannot be written.
pub(crate) fn loopback(
    file: &Path,
    frames: usize,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let tap = Tap::open().map_err(|why| format!("frames of loopback: {why}"))?;
    let receiver = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
    let senders: Vec<_> = (1..=16)
        .map(|host| UdpSocket::bind((Ipv4Addr::new(127, 0, host, 1), 0)))
        .collect::<io::Result<_>>()?;
    let (mut buffer, mut seen) = (vec![0; LONGEST], Vec::new());
    let (start, patience) = (Instant::now(), Duration::from_secs(10));
    let mut sent = 0;
    while seen.len() < frames {
        if start.elapsed() > patience {
            return Err(
                format!("only {} of {frames} frames came in ten seconds", seen.len()).into()
            );
        }
        let length = [18, 548, 1_472][sent % 3];
        senders[sent * sent % senders.len()].send_to(&buffer[..length], receiver.local_addr()?)?;
        sent += 1;
        while let Some(length) = tap.next(&mut buffer)? {
            seen.push((start.elapsed(), buffer[..length].to_vec()));
        }
        buffer[..LONGEST].fill(0);
    }
    seen.truncate(frames);
    Capture::write(file, seen.iter().map(|(time, frame)| (*time, frame.as_slice())))?;
    Ok(())
}
