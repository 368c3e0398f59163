//! A loop that sweeps between its bursts, a bounded step at a time.
//!
//! `cargo run --release -p tidegate-core --example sweep_loop`

use core::time::Duration;

use tidegate_core::{
    BucketTable, Budget, Cadence, Clock, ManualClock, Quota, QuotaError, SeededState, Sweep,
    Sweeper,
};

fn main() -> Result<(), QuotaError> {
    let clock = ManualClock::new(); // yours: a timer, a cycle counter
    let quota = Quota::per_second(10)?;
    let clients = BucketTable::boxed(quota, 20_000, SeededState::new(1))?;
    let routes = BucketTable::boxed(quota, 500, SeededState::new(2))?;
    let plan = clients.plan(quota)?;

    let (mut a, mut b) = (clients.sweeper(), routes.sweeper());
    let mut targets: [&mut dyn Sweep; 2] = [&mut a, &mut b];
    let every = Duration::from_millis(100);
    let mut sweeper = Sweeper::new(&mut targets, Cadence::new(clock.now(), every));

    let (mut steps, mut removed, mut most) = (0, 0, 0);
    for burst in 0..20_000_u64 {
        clock.advance(Duration::from_micros(50));
        let now = clock.now();
        for packet in 0..8 {
            // A new client every few packets: without a sweep they would pile up.
            _ = clients.check(&(burst * 8 + packet).div_euclid(3), &plan, now);
            _ = routes.check(&(packet % 5), &plan, now);
        }
        if sweeper.next_due(now) <= now {
            let swept = sweeper.poll(now, Budget::entries(256));
            steps += 1;
            removed += swept.removed;
            most = most.max(swept.visited);
        }
    }
    println!(
        "{steps} steps of at most {most} slots forgot {removed} buckets; {} are held",
        clients.len()
    );
    Ok(())
}
