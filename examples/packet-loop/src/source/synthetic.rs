//! Frames that are made up: UDP over IPv4. All flows are equally likely.

use etherparse::PacketBuilder;
use fastrand::Rng;

use super::Source;
use crate::BURST;

/// The bytes of a frame that is made: all headers, and no payload.
const LENGTH: usize = 42;
/// Where the sender's address and port are.
const ADDRESS: usize = 26;
const PORT: usize = 34;

/// How long frames are said to be on the wire: seven short ones, four of middle length and one long,
/// as is usual where routers are compared.
const LENGTHS: [u64; 12] = [60, 60, 590, 60, 590, 60, 1514, 60, 590, 60, 590, 60];

/// Frames of flows that differ by their sender's address and port.
#[derive(Debug)]
pub struct Synthetic {
    frames: [[u8; LENGTH]; BURST],
    flows: u32,
    random: Rng,
    /// Bursts still to come.
    left: u64,
    /// Frames so far.
    count: usize,
}

impl Synthetic {
    /// Makes `bursts` bursts of `flows` flows: at most 2^24, and at least one.
    pub fn new(flows: u32, bursts: u64, seed: u64) -> Self {
        let builder = PacketBuilder::ethernet2([2; 6], [4; 6])
            .ipv4([10, 0, 0, 0], [192, 0, 2, 1], 64)
            .udp(0, 53);
        let mut frame = [0; LENGTH];
        // The buffer has exactly the room.
        builder.write(&mut frame.as_mut_slice(), &[]).expect("headers of 42 bytes");
        let flows = flows.clamp(1, 1 << 24);
        Self { frames: [frame; BURST], flows, random: Rng::with_seed(seed), left: bursts, count: 0 }
    }
}

impl Source for Synthetic {
    fn burst(&mut self, mut take: impl FnMut(&[u8], u64)) -> Option<usize> {
        self.left = self.left.checked_sub(1)?;
        for frame in &mut self.frames {
            let flow = self.random.u32(0..self.flows);
            frame[ADDRESS..][..4].copy_from_slice(&(10 << 24 | flow).to_be_bytes());
            frame[PORT..][..2].copy_from_slice(&(flow as u16 | 1024).to_be_bytes());
            self.count += 1;
            take(frame, 8 * LENGTHS[self.count % LENGTHS.len()]);
        }
        Some(BURST)
    }
}
