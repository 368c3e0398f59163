//! The program in the kernel that redirects an interface's frames to a socket.
//!
//! It is five instructions long and written as such, so that no compiler for them is needed:
//! `bpf_redirect_map(&sockets, context->rx_queue_index, XDP_PASS)`. A frame of a queue without a
//! socket goes on to the kernel's stack.

use std::ffi::c_long;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

/// An interface's frames go to a socket until this is dropped.
#[derive(Debug)]
pub(super) struct Redirect {
    _link: OwnedFd,
    _program: OwnedFd,
    _sockets: OwnedFd,
}

// From linux/bpf.h.
const MAP_CREATE: c_long = 0;
const MAP_UPDATE_ELEM: c_long = 2;
const PROG_LOAD: c_long = 5;
const LINK_CREATE: c_long = 28;
const MAP_TYPE_XSKMAP: u32 = 17;
const PROG_TYPE_XDP: u32 = 6;
const ATTACH_XDP: u32 = 37;
/// Generic mode, which needs no driver's help.
const XDP_FLAGS_SKB_MODE: u32 = 1 << 1;

/// The first fields of `union bpf_attr` for each command; the kernel takes the rest for zeros.
#[repr(C)]
struct MapCreate {
    kind: u32,
    key_size: u32,
    value_size: u32,
    max_entries: u32,
}

#[repr(C)]
struct MapUpdate {
    map: u32,
    pad: u32,
    key: u64,
    value: u64,
    flags: u64,
}

#[repr(C)]
struct ProgLoad {
    kind: u32,
    instructions: u32,
    first: u64,
    license: u64,
}

#[repr(C)]
struct LinkCreate {
    program: u32,
    interface: u32,
    attach: u32,
    flags: u32,
}

/// `struct bpf_insn`.
#[repr(C)]
struct Instruction {
    code: u8,
    /// The target's register in the lower four bits, the source's in the upper four.
    registers: u8,
    offset: i16,
    immediate: i32,
}

impl Instruction {
    const fn new(code: u8, registers: u8, offset: i16, immediate: i32) -> Self {
        Self { code, registers, offset, immediate }
    }
}

/// Calls the kernel. The attributes may hold addresses of memory, all of which must be alive.
fn bpf<T>(command: c_long, attributes: &T) -> io::Result<c_long> {
    let address = std::ptr::from_ref(attributes);
    // SAFETY: the kernel reads as many bytes of the attributes as are named, and what they point to.
    let result = unsafe { libc::syscall(libc::SYS_bpf, command, address, size_of::<T>()) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

fn owned(descriptor: c_long) -> OwnedFd {
    // SAFETY: the kernel has just made it, for this process.
    unsafe { OwnedFd::from_raw_fd(descriptor as RawFd) }
}

fn address<T>(of: &T) -> u64 {
    std::ptr::from_ref(of).expose_provenance() as u64
}

impl Redirect {
    /// Redirects queue 0 of an interface to a socket. Fails with the step that failed.
    pub(super) fn attach(interface: u32, socket: RawFd) -> Result<Self, (&'static str, io::Error)> {
        let failed = |step| move |why| (step, why);
        let map = MapCreate { kind: MAP_TYPE_XSKMAP, key_size: 4, value_size: 4, max_entries: 1 };
        let sockets = owned(bpf(MAP_CREATE, &map).map_err(failed("a map of sockets"))?);
        let (key, value) = (0_u32, socket);
        let entry = MapUpdate {
            map: sockets.as_raw_fd() as u32,
            pad: 0,
            key: address(&key),
            value: address(&value),
            flags: 0,
        };
        bpf(MAP_UPDATE_ELEM, &entry).map_err(failed("the socket's place in the map"))?;

        let instructions = [
            // r2 = context->rx_queue_index
            Instruction::new(0x61, 0x12, 16, 0),
            // r1 = &sockets: two halves
            Instruction::new(0x18, 0x11, 0, sockets.as_raw_fd()),
            Instruction::new(0, 0, 0, 0),
            // r3 = XDP_PASS
            Instruction::new(0xb7, 0x03, 0, 2),
            // r0 = bpf_redirect_map(r1, r2, r3)
            Instruction::new(0x85, 0, 0, 51),
            // return r0
            Instruction::new(0x95, 0, 0, 0),
        ];
        let license = *b"MIT\0";
        let load = ProgLoad {
            kind: PROG_TYPE_XDP,
            instructions: instructions.len() as u32,
            first: address(&instructions),
            license: address(&license),
        };
        let program = owned(bpf(PROG_LOAD, &load).map_err(failed("the program"))?);
        let link = LinkCreate {
            program: program.as_raw_fd() as u32,
            interface,
            attach: ATTACH_XDP,
            flags: XDP_FLAGS_SKB_MODE,
        };
        let link = owned(bpf(LINK_CREATE, &link).map_err(failed("the link to the interface"))?);
        Ok(Self { _link: link, _program: program, _sockets: sockets })
    }
}
