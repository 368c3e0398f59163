//! A table in a `static`: no heap, and nothing in the image, for zeros are empty sets.
//!
//! `cargo run -p tidegate-core --example static_table`

use tidegate_core::bucket::{Set, Unit};
use tidegate_core::{BucketTable, Instant, Quota, QuotaError, SeededState};

/// 128 bytes a set: 366 KiB for 10,000 keys.
static SETS: [Set; Set::for_keys(10_000)] = [const { Set::new() }; Set::for_keys(10_000)];

/// The table itself can be a `static`, too, if its seed is known when it is compiled; a secret one
/// from the hardware is better, and then the table is made at the start, as below.
static FIXED: BucketTable<&'static [Set]> =
    BucketTable::over(&FEW, Unit::NANOSECOND, SeededState::new(0x5eed));
static FEW: [Set; 4] = [const { Set::new() }; 4];

fn main() -> Result<(), QuotaError> {
    let quota = Quota::per_second(5)?;
    let seed = 0x5eed; // from the hardware's random numbers
    let table = BucketTable::over(&SETS[..], Unit::for_quota(quota)?, SeededState::new(seed));
    let plan = table.plan(quota)?;

    let now = Instant::from_secs(1);
    for request in 1..=7 {
        let decision = table.check("203.0.113.7", &plan, now);
        println!(
            "request {request}: {:8} {} of {} left, again in {:?}",
            if decision.is_admitted() { "admitted" } else { "denied" },
            decision.remaining(),
            decision.limit(),
            decision.retry_after(),
        );
    }

    let plan = FIXED.plan(quota)?;
    assert!(FIXED.check(&7, &plan, now).is_admitted());
    Ok(())
}
