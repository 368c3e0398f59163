//! Places for keys: there are as many as keys that the map may hold.

use core::mem::ManuallyDrop;

use crate::sync::{AtomicUsize, Ordering};

/// The places of a map.
#[derive(Debug)]
pub(super) struct Rooms {
    /// The most keys. With `usize::MAX` there is no cap, and `taken` is not kept.
    cap: usize,
    /// The keys that have a bucket or are about to have one.
    taken: AtomicUsize,
}

impl Rooms {
    /// Creates places without a cap.
    pub(super) fn new() -> Self {
        Self { cap: usize::MAX, taken: AtomicUsize::new(0) }
    }

    /// Sets how many places there are.
    pub(super) fn limit(&mut self, keys: usize) {
        self.cap = keys.min(usize::MAX - 1);
    }

    /// Takes a place, if one is free.
    pub(super) fn take(&self) -> Option<Room<'_>> {
        if self.cap != usize::MAX {
            // Relaxed: a count, exact by itself.
            let taken = self.taken.fetch_add(1, Ordering::Relaxed);
            let room = Room(self);
            return (taken < self.cap).then_some(room);
        }
        Some(Room(self))
    }

    /// Gives back the places of `keys` keys.
    pub(super) fn give_back(&self, keys: usize) {
        if self.cap != usize::MAX {
            // Relaxed: a count.
            self.taken.fetch_sub(keys, Ordering::Relaxed);
        }
    }
}

/// A place for one more key. It is given back on drop, even where a caller's `Hash` or `Eq` panics
/// while the key is on its way into the map.
pub(super) struct Room<'a>(&'a Rooms);

impl Room<'_> {
    /// Keeps the place, because the key has its bucket. The place is given back when that is
    /// removed.
    pub(super) fn keep(self) {
        _ = ManuallyDrop::new(self);
    }
}

impl Drop for Room<'_> {
    fn drop(&mut self) {
        self.0.give_back(1);
    }
}
