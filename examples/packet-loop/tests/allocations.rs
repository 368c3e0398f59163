//! The path allocates nothing.

#![cfg(target_os = "linux")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::atomic::AtomicBool;

use tidegate::lockfree::{BucketTable, LocalBucketTable};
use tidegate::{MonotonicClock, Quota, SeededState};
use tidegate_packet_loop::police::{Local, Marked, Police, Rates, Shared, Subnets};
use tidegate_packet_loop::policies::Policies;
use tidegate_packet_loop::source::synthetic::Synthetic;
use tidegate_packet_loop::worker::{self, Done};

thread_local! {
    static COUNT: Cell<u64> = const { Cell::new(0) };
}

struct Counting;

// SAFETY: passes every call on to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        COUNT.set(COUNT.get() + 1);
        // SAFETY: by the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        COUNT.set(COUNT.get() + 1);
        // SAFETY: by the caller's promise.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const BURSTS: u64 = 10_000;

/// Returns how often the allocator was called on the path.
fn calls(mut police: impl Police, clock: &MonotonicClock) -> u64 {
    let mut source = Synthetic::new(50_000, BURSTS, 1);
    let (mut done, stop) = (Done::nothing(), AtomicBool::new(false));
    let before = COUNT.get();
    worker::run(&mut source, &mut police, clock, &stop, &mut done);
    let calls = COUNT.get() - before;
    assert_eq!(done.frames(), 32 * BURSTS);
    assert!(done.coloured[0].0 > 0 && done.coloured[2].0 > 0, "{done:?}");
    calls
}

#[test]
fn no_rules_allocate() {
    let quota = Quota::per_second(100_000).and_then(|quota| quota.burst(20_000)).expect("a quota");
    let clock = MonotonicClock::new();
    // Room for fewer flows than come: sets fill up, and are swept.
    let table = || BucketTable::boxed(quota, 20_000, SeededState::new(7)).expect("a table");
    let (flows, subnets) = (table(), table());
    let plan = flows.plan(quota).expect("a plan");
    assert_eq!(calls(Shared::new(&flows, &plan, 1), &clock), 0, "shared");

    let local = LocalBucketTable::boxed(quota, 20_000, SeededState::new(7)).expect("a table");
    let own = local.plan(quota).expect("a plan");
    assert_eq!(calls(Local::new(local, own), &clock), 0, "local");

    let policies = Policies::new(subnets.plan(quota).expect("a plan"), 7);
    let flows = table();
    let police = Subnets::new((&flows, &plan), (&subnets, &policies), &clock, 1);
    assert_eq!(calls(police, &clock), 0, "subnets");

    let rates = |cells: u64| {
        let quota = |cells: u64| Quota::per_second(cells).and_then(|quota| quota.burst(cells / 5));
        let (peak, committed) =
            (quota(2 * cells).expect("a quota"), quota(cells).expect("a quota"));
        Rates::new(peak, committed, 20_000, [3, 4]).expect("tables")
    };
    let (bits, packets) = (rates(50_000), rates(1_000));
    assert_eq!(calls(Marked::new(&bits, &packets, &clock, 1), &clock), 0, "marked");
    // It does count.
    assert!(COUNT.get() > 0);
}
