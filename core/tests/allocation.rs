//! No operation of a table allocates.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use tidegate_core::{
    BucketTable, Budget, Decision, Instant, Keep, OnFull, Quota, SeededState, Set, Sweep, Unit,
};

struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
}

// SAFETY: every call is passed on to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: the caller's promise about `layout` is the one asked for.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: `memory` came from `alloc` with this `layout`, by the caller's promise.
        unsafe { System.dealloc(memory, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[test]
fn no_operation_of_a_table_allocates() {
    static SETS: [Set; 16] = [const { Set::new() }; 16];
    let quota = Quota::per_second(100).expect("a quota");
    let before = ALLOCATIONS.get();
    let unit = Unit::for_quota(quota).expect("a unit");
    let table = BucketTable::over(&SETS[..], unit, SeededState::new(1)).on_full(OnFull::Shared);
    let plan = table.plan(quota).expect("a plan");
    let mut sweep = table.sweeper();
    for step in 0..10_000_u64 {
        let now = Instant::from_nanos(step * 1_000_000);
        _ = table.check(&(step % 300), &plan, now);
        _ = table.peek(&step, &plan, now);
        table.refund(&step, &plan, 1, now);
        table.convert(&step, &plan, &plan, Keep::Cells, now);
        table.reset(&step, now);
        let mut decisions = [Decision::CLOSED; 3];
        table.check_burst(&[(step, &plan, 1), (1, &plan, 2), (2, &plan, 0)], now, &mut decisions);
        sweep.sweep(now, Budget::entries(5));
    }
    assert_eq!(ALLOCATIONS.get(), before);
    assert!(table.counters().unplaced > 0, "the table was never full");
    drop(Box::new(1));
    assert!(ALLOCATIONS.get() > before, "the allocator counts nothing");
}
