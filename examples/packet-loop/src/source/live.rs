//! Frames as they come, from a queue of a network interface, through an AF_XDP socket.

use std::ffi::CString;
use std::fmt;

use xdp::nic::NicIndex;
use xdp::slab::{HeapSlab, Slab};
use xdp::socket::{XdpSocket, XdpSocketBuilder};
use xdp::umem::{FrameSize, UmemCfgBuilder};
use xdp::{RingConfigBuilder, Rings};
use xdp::{RxRing, Umem};

use self::program::Redirect;
use super::Source;
use crate::BURST;

mod program;

/// Frames that wait in a queue.
const WAITING: u32 = 2_048;

/// Frames of one queue of an interface.
///
/// The kernel copies each frame into memory that is shared with this process, so receiving one needs no
/// system call. Frames that come while 2,048 others wait are lost, and the interface counts them.
pub struct Live {
    receiving: RxRing,
    rings: Rings,
    burst: HeapSlab,
    // In this order: no frame is redirected any more, the kernel stops writing, the memory goes.
    _redirect: Redirect,
    _socket: XdpSocket,
    memory: Umem,
}

// SAFETY: what is not `Send` of itself are the packets of a burst. They point into the memory, which goes
// with them, and between two bursts there are none.
unsafe impl Send for Live {}

/// The kernel does not pass on the frames of an interface.
#[derive(Debug)]
pub struct LiveError(String);

impl fmt::Display for LiveError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for LiveError {}

impl Live {
    /// Takes over the frames of queue 0 of an interface, in the kernel's generic mode, which every
    /// interface has. They do not reach the kernel's own stack until this is dropped.
    ///
    /// # Errors
    ///
    /// If there is no such interface, the kernel has no AF_XDP, or this process lacks the privileges
    /// (`CAP_NET_ADMIN`, `CAP_NET_RAW` and `CAP_BPF`).
    pub fn open(interface: &str) -> Result<Self, LiveError> {
        let error =
            |step: &str, why: &dyn fmt::Display| LiveError(format!("{interface}: {step}: {why}"));
        let name = CString::new(interface).map_err(|why| error("interface", &why))?;
        let index = NicIndex::lookup_by_name(&name)
            .map_err(|why| error("interface", &why))?
            .ok_or_else(|| error("interface", &"there is none of this name"))?;

        let memory = UmemCfgBuilder {
            frame_size: FrameSize::FourK,
            frame_count: 2 * WAITING,
            ..UmemCfgBuilder::default()
        };
        let memory = memory.build().map_err(|why| error("memory", &why))?;
        let mut memory = Umem::map(memory).map_err(|why| error("memory", &why))?;

        let rings = RingConfigBuilder {
            rx_count: WAITING,
            tx_count: 0,
            fill_count: WAITING,
            completion_count: 1,
        };
        let rings = rings.build().map_err(|why| error("rings", &why))?;
        let mut socket = XdpSocketBuilder::new().map_err(|why| error("socket", &why))?;
        let (mut rings, mut flags) =
            socket.build_rings(&memory, rings).map_err(|why| error("rings", &why))?;
        flags.force_copy();
        let receiving = rings.rx_ring.take().ok_or_else(|| error("rings", &"none to receive"))?;
        // SAFETY: the memory is dropped after the socket.
        unsafe { rings.fill_ring.enqueue(&mut memory, WAITING as usize) };
        let socket = socket.bind(index, 0, flags).map_err(|why| error("socket", &why))?;
        let redirect =
            Redirect::attach(index.0, socket.raw_fd()).map_err(|(step, why)| error(step, &why))?;

        let burst = HeapSlab::with_capacity(BURST);
        Ok(Self { receiving, rings, burst, _redirect: redirect, _socket: socket, memory })
    }
}

impl Source for Live {
    fn burst(&mut self, mut take: impl FnMut(&[u8], u64)) -> Option<usize> {
        // SAFETY: each packet is given back below, before the memory goes.
        let received = unsafe { self.receiving.recv(&self.memory, &mut self.burst) };
        while let Some(packet) = self.burst.pop_back() {
            take(&packet, 8 * packet.len() as u64);
            self.memory.free_packet(packet);
        }
        // SAFETY: the memory is dropped after the socket.
        unsafe { self.rings.fill_ring.enqueue(&mut self.memory, received) };
        Some(received)
    }
}

impl fmt::Debug for Live {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Live").field("redirect", &self._redirect).finish_non_exhaustive()
    }
}
