//! How many flights of a group are running.

use crossbeam_utils::CachePadded;

use crate::sync::{AtomicUsize, Ordering};

/// A count that each flight enters when it is made, and leaves when it ends. Read by every writer of a
/// key.
pub(super) struct Running(CachePadded<AtomicUsize>);

impl Running {
    pub(super) fn new() -> Self {
        Self(CachePadded::new(AtomicUsize::new(0)))
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        // Acquire: pairs with `leave`. A writer that finds no flight running finds what was stored.
        self.0.load(Ordering::Acquire)
    }

    pub(super) fn enter(&self) {
        // Relaxed: a count. What happens after this reads it or a later one.
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn leave(&self) {
        // Release: pairs with `count`.
        self.0.fetch_sub(1, Ordering::Release);
    }
}
