//! `shuttle`'s atomics: random schedules that can be replayed, for scenarios too large for `loom`.
//! Every access counts as sequentially consistent, so they show interleavings and no stale reads.

pub(crate) use shuttle::sync::atomic::{
    AtomicPtr, AtomicU32, AtomicU64, AtomicUsize, Ordering, fence,
};

/// Does nothing: here everything is ordered.
pub(crate) fn light_fence() {}
