//! How many flights of a group are running.

use crossbeam_utils::CachePadded;

use crate::reclaim::{Containment, Domain};
use crate::sync::{AtomicUsize, Ordering};

/// A count that each flight enters when it is made, and leaves when it ends. Every writer of a key
/// reads it.
pub(super) struct Running {
    count: CachePadded<AtomicUsize>,
    /// How wakers are called. It is not the domain, because retired flights would keep that alive.
    containment: Containment,
}

impl Running {
    pub(super) fn new(domain: &Domain) -> Self {
        let count = CachePadded::new(AtomicUsize::new(0));
        Self { count, containment: domain.containment() }
    }

    pub(super) fn containment(&self) -> Containment {
        self.containment
    }

    /// Returns how many flights are running.
    pub(super) fn count(&self) -> usize {
        // Acquire: pairs with `leave`. A writer that finds no flight running finds what was stored.
        self.count.load(Ordering::Acquire)
    }

    pub(super) fn enter(&self) {
        // Relaxed: a count. What happens after this reads it or a later one.
        self.count.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn leave(&self) {
        // Release: pairs with `count`.
        self.count.fetch_sub(1, Ordering::Release);
    }
}
