//! When a table is replaced, and by how large a one.

use super::table::{Head, Table};
use super::{Map, MapError};
use crate::reclaim::Guard;
use crate::sync::Ordering;

/// A map has no fewer buckets than this.
pub(super) const SMALLEST: usize = if cfg!(loom) { 1 } else { 8 };

/// Fewer buckets than this are few.
const SMALL: usize = 4096;

/// So many entries in one bucket show that somebody who began to grow the table has stopped.
pub(super) const CROWDED: usize = 8;

/// What a map's table should be like.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fit {
    Right,
    /// More than three entries to four buckets; to eight if there are few.
    Small,
    /// Fewer than one entry to eight buckets.
    Large,
}

fn fit(entries: usize, buckets: usize) -> Fit {
    let room = if cfg!(loom) {
        // A model says itself when a table is replaced.
        8 * buckets
    } else if buckets < SMALL {
        // Where all of it is in the cache, more buckets of one entry are worth their memory.
        buckets / 8 * 3
    } else {
        buckets / 4 * 3
    };
    if entries > room {
        Fit::Small
    } else if entries < buckets / 8 && buckets > SMALLEST {
        Fit::Large
    } else {
        Fit::Right
    }
}

impl<K: Send + 'static, V: Send + 'static, S> Map<K, V, S> {
    /// Begins to grow or shrink the table if `estimate`, and then the count, says so. `crowded` says
    /// that it must not be left to somebody who said he would.
    #[inline]
    pub(super) fn resize(
        &self,
        table: Table<'_, K, V>,
        estimate: usize,
        crowded: bool,
        guard: &Guard,
    ) {
        if fit(estimate, table.len()) != Fit::Right {
            // Refused for want of memory: the next change asks again.
            _ = self.replace(table, crowded, guard);
        }
    }

    #[cold]
    #[inline(never)]
    fn replace(
        &self,
        table: Table<'_, K, V>,
        crowded: bool,
        guard: &Guard,
    ) -> Result<(), MapError> {
        let len = match fit(self.len(), table.len()) {
            Fit::Small => table.len().checked_mul(2).ok_or(MapError::OutOfMemory)?,
            Fit::Large => table.len() / 2,
            Fit::Right => return Ok(()),
        };
        // There are never more than two tables with content.
        if table.source(guard).is_some() {
            return Ok(());
        }
        // Relaxed, both: a hint, so that not everybody allocates.
        let mine =
            self.resizing.compare_exchange(0, 1, Ordering::Relaxed, Ordering::Relaxed).is_ok();
        if !mine && !crowded {
            return Ok(());
        }
        let replaced = self.publish(table, len);
        if mine {
            // Relaxed: as above.
            self.resizing.store(0, Ordering::Relaxed);
        }
        replaced
    }

    /// Makes a table of `len` buckets the current one in place of `table`, whose migration is over.
    fn publish(&self, table: Table<'_, K, V>, len: usize) -> Result<(), MapError> {
        let current = table.address();
        let new = Head::new(len, current)?;
        // Release: publishes the table. Relaxed: the failure changes nothing.
        let published =
            self.head.compare_exchange(current, new.as_ptr(), Ordering::Release, Ordering::Relaxed);
        if published.is_err() {
            // SAFETY: not published, and it owns nothing.
            unsafe { Head::free(new) };
        }
        Ok(())
    }

    /// Begins to double (`true`) or halve the table now, whatever its load; `false` if a migration
    /// is under way, or there is no memory. For tests of what happens meanwhile.
    #[doc(hidden)]
    pub fn force_resize(&self, grow: bool, guard: &Guard) -> bool {
        self.limbo.admit(guard);
        let table = self.table(guard);
        let len = if grow { table.len() * 2 } else { (table.len() / 2).max(1) };
        len != table.len() && table.source(guard).is_none() && self.publish(table, len).is_ok()
    }

    /// Helps a migration along; whether there was one. For tests.
    #[doc(hidden)]
    pub fn force_help(&self, guard: &Guard) -> bool {
        self.limbo.admit(guard);
        let table = self.table(guard);
        self.help(table, guard);
        // Relaxed: a question about this moment.
        !table.before.load(Ordering::Relaxed).is_null()
    }
}
