//! The next table, cleared piece by piece before any thread sees it.
//!
//! Clearing all of a large table takes milliseconds. It is spread over as many changes as there are
//! pieces. These are few beside the changes that follow until the table after.

use core::ptr::NonNull;

use super::table::Head;
use crate::reclaim::OutOfMemory;
use crate::sync::TryLock;

/// Buckets that a change clears.
pub(super) const PIECE: usize = if cfg!(loom) { 2 } else { 1024 };

/// Where a map's next table is made. One thread at a time makes it. If that thread stops, a table
/// can still be made [elsewhere](Head::new).
pub(super) type Next<K, V> = TryLock<Option<Unfinished<K, V>>>;

/// A table of which some buckets are cleared.
pub(super) struct Unfinished<K, V> {
    table: NonNull<Head<K, V>>,
    len: usize,
    cleared: usize,
}

// SAFETY: it owns its table, in which there is neither key nor value yet.
unsafe impl<K, V> Send for Unfinished<K, V> {}

impl<K, V> Unfinished<K, V> {
    pub(super) fn new(len: usize) -> Result<Self, OutOfMemory> {
        Ok(Self { table: Head::uncleared(len)?, len, cleared: 0 })
    }

    /// Returns how many buckets it will have.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Clears up to `buckets` of them, and returns how many.
    pub(super) fn clear(&mut self, buckets: usize) -> usize {
        let buckets = buckets.min(self.len - self.cleared);
        // SAFETY: the table is owned here alone, and has these buckets.
        unsafe { Head::clear(self.table, self.cleared..self.cleared + buckets) };
        self.cleared += buckets;
        buckets
    }

    /// Returns the table, once all of it is cleared.
    pub(super) fn finish(self) -> Result<NonNull<Head<K, V>>, Self> {
        if self.cleared < self.len {
            return Err(self);
        }
        let table = self.table;
        core::mem::forget(self);
        Ok(table)
    }
}

impl<K, V> Drop for Unfinished<K, V> {
    fn drop(&mut self) {
        // SAFETY: made by `Head::uncleared`, and owned here alone.
        unsafe { Head::free(self.table) };
    }
}
