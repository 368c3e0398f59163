//! A packet loop: the clock is read once a burst, and a burst is checked at once. A cell is a byte.
//!
//! `cargo run --release -p tidegate-core --example burst_loop`

use core::time::Duration;

use tidegate_core::{BucketTable, Decision, Instant, Quota, QuotaError, SeededState};

const BURST: usize = 32;

struct Packet {
    source: [u8; 4],
    length: u16,
}

/// Stands in for the network: a burst of packets from a few busy hosts.
fn receive(round: u64) -> [Packet; BURST] {
    core::array::from_fn(|place| {
        let host = (round * 7 + place as u64 * place as u64) % 23;
        Packet { source: [10, 0, 0, host as u8], length: 64 + (host * 60) as u16 }
    })
}

fn main() -> Result<(), QuotaError> {
    // 100 MB/s for each source, and a megabyte at once.
    let quota = Quota::per_second(100_000_000)?.burst(1_000_000)?;
    let table = BucketTable::boxed(quota, 1_000_000, SeededState::new(0x5eed))?;
    let plan = table.plan(quota)?;
    let mut decisions = [Decision::CLOSED; BURST];

    let (mut forwarded, mut dropped) = (0_u64, 0_u64);
    for round in 0..100_000 {
        let now = Instant::ORIGIN + Duration::from_nanos(round * 6_000); // one read of the clock
        let packets = receive(round);
        let requests: [_; BURST] =
            core::array::from_fn(|at| (packets[at].source, &plan, packets[at].length.into()));
        table.check_burst(&requests, now, &mut decisions);
        for (packet, decision) in packets.iter().zip(&decisions) {
            if decision.is_admitted() {
                forwarded += u64::from(packet.length);
            } else {
                dropped += u64::from(packet.length);
            }
        }
    }
    println!("forwarded {forwarded} bytes, dropped {dropped}, in 0.6 s of 23 sources");
    Ok(())
}
