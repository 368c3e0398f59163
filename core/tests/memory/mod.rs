//! How many bytes a thread holds: the system's allocator, which counts them.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use tidegate_core::{Budget, Instant, Worker};

struct Counting;

thread_local! {
    /// Bytes that this thread allocated, less those it freed.
    static LIVE: Cell<usize> = const { Cell::new(0) };
}

// SAFETY: every call is passed on to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        LIVE.set(LIVE.get().wrapping_add(layout.size()));
        // SAFETY: the caller's promise about `layout` is the one asked for.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        LIVE.set(LIVE.get().wrapping_add(layout.size()));
        // SAFETY: as above.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        LIVE.set(LIVE.get().wrapping_sub(layout.size()));
        // SAFETY: `memory` came from here with this `layout`, by the caller's promise.
        unsafe { System.dealloc(memory, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// What crossbeam may keep for a while whatever the map holds: a few bags of deferred functions and
/// a participant that is gone, 2 KiB each.
pub(crate) const CROSSBEAM: usize = 12 << 10;

pub(crate) fn live() -> usize {
    LIVE.get()
}

/// Collects all there is, and sees to it that crossbeam runs what it was told to.
pub(crate) fn drain(worker: &mut Worker, now: Instant) {
    for _ in 0..8 {
        worker.collect(now, Budget::UNLIMITED);
    }
    assert_eq!(worker.domain().gauges(now).garbage(), 0);
}
