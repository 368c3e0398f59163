//! The table that will be the next, cleared piece by piece before anybody sees it.
//!
//! To clear all of a large table is the work of milliseconds. It is spread over as many changes as
//! there are pieces, which are few beside those that follow until the table after.

use core::ptr::NonNull;

use super::table::Head;
use crate::reclaim::OutOfMemory;
use crate::sync::TryLock;

/// Buckets that are cleared at once: 8 KiB of them.
pub(super) const PIECE: usize = if cfg!(loom) { 2 } else { 1024 };

/// Where a map's next table is made. One thread at a time is at it; should it stop there, a table
/// can still be made [elsewhere](Head::new).
pub(super) struct Next<K, V>(TryLock<Option<Unfinished<K, V>>>);

/// What came of a step towards the next table.
pub(super) enum Step<K, V> {
    /// Here it is, the caller's.
    Done(NonNull<Head<K, V>>),
    /// There are pieces left.
    Piece,
    /// Somebody else is at it.
    Taken,
}

impl<K, V> Next<K, V> {
    pub(super) fn new() -> Self {
        Self(TryLock::new(None))
    }

    /// Clears one piece of a table of `len` buckets; begins with it if there is none of that size.
    pub(super) fn step(&self, len: usize) -> Result<Step<K, V>, OutOfMemory> {
        let Some(mut next) = self.0.try_lock() else {
            return Ok(Step::Taken);
        };
        let begun = next.take().filter(|begun| begun.len == len);
        let mut unfinished = begun.map_or_else(|| Unfinished::new(len), Ok)?;
        unfinished.clear(PIECE);
        if unfinished.cleared == len {
            return Ok(Step::Done(unfinished.finish()));
        }
        *next = Some(unfinished);
        Ok(Step::Piece)
    }
}

/// A table of which some buckets are cleared.
struct Unfinished<K, V> {
    table: NonNull<Head<K, V>>,
    len: usize,
    cleared: usize,
}

// SAFETY: it owns its table, in which there is neither key nor value yet.
unsafe impl<K, V> Send for Unfinished<K, V> {}

impl<K, V> Unfinished<K, V> {
    fn new(len: usize) -> Result<Self, OutOfMemory> {
        Ok(Self { table: Head::uncleared(len)?, len, cleared: 0 })
    }

    fn clear(&mut self, buckets: usize) {
        let end = self.len.min(self.cleared + buckets);
        // SAFETY: the table is ours alone, and has so many buckets.
        unsafe { Head::clear(self.table, self.cleared..end) };
        self.cleared = end;
    }

    /// The table, all of which has been cleared.
    fn finish(self) -> NonNull<Head<K, V>> {
        let table = self.table;
        core::mem::forget(self);
        table
    }
}

impl<K, V> Drop for Unfinished<K, V> {
    fn drop(&mut self) {
        // SAFETY: made by `Head::uncleared`, and ours alone.
        unsafe { Head::free(self.table) };
    }
}
