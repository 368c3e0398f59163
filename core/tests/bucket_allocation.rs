//! No operation of a table allocates.

#[path = "common/allocator.rs"]
mod allocator;

use allocator::allocations;
use tidegate_core::bucket::{Keep, Set, Unit, check_all, check_all_into};
use tidegate_core::{
    BucketTable, Budget, Decision, Instant, ManualClock, OnFull, Quota, SeededState, Sweep,
};

#[test]
fn no_operation_of_a_table_allocates() {
    static SETS: [Set; 16] = [const { Set::new() }; 16];
    let quota = Quota::per_second(100).expect("a quota");
    let before = allocations();
    let unit = Unit::for_quota(quota).expect("a unit");
    let table = BucketTable::over(&SETS[..], unit, SeededState::new(1)).on_full(OnFull::Shared);
    let plan = table.plan(quota).expect("a plan");
    let (mut sweep, clock, mut denied) = (table.sweeper(), ManualClock::new(), 0);
    for step in 0..10_000_u64 {
        let now = Instant::from_nanos(step * 1_000_000);
        let decision = table.check(&(step % 300), &plan, now);
        _ = table.peek(&step, &plan, now);
        table.refund(&(step % 300), &decision, step % 2, now);
        table.convert(&step, &plan, &plan, Keep::Cells, now);
        table.reset(&step, now);
        let mut decisions = [Decision::CLOSED; 3];
        table.check_burst(&[(step, &plan, 1), (1, &plan, 2), (2, &plan, 0)], now, &mut decisions);
        let limits = [step % 300, 1, step].map(|key| table.limit(&key, &plan, 30, now, &clock));
        let all = check_all(&limits);
        let again = check_all_into(&limits.each_ref(), &mut decisions);
        denied += usize::from(!all.is_admitted() || !again.is_admitted());
        sweep.sweep(now, Budget::entries(5));
    }
    assert_eq!(allocations(), before);
    assert!(table.counters().unplaced > 0, "the table was never full");
    assert!(denied > 0, "no call was denied");
    // Kept from being left out.
    drop(std::hint::black_box(Box::new(1)));
    assert!(allocations() > before, "the allocator counts nothing");
}
