//! When a table is replaced, and by how large a one.

use core::ptr::NonNull;

use super::next::Step;
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
    /// Goes a step towards a larger or smaller table if `estimate`, and then the count, says so;
    /// whether there are more to go. `crowded` says that it must not be left to somebody who is at it.
    #[inline]
    pub(super) fn resize(
        &self,
        table: Table<'_, K, V>,
        estimate: usize,
        crowded: bool,
        guard: &Guard,
    ) -> bool {
        // Refused for want of memory: the next change asks again.
        fit(estimate, table.len()) != Fit::Right
            && self.replace(table, crowded, guard).unwrap_or(false)
    }

    #[cold]
    #[inline(never)]
    fn replace(
        &self,
        table: Table<'_, K, V>,
        crowded: bool,
        guard: &Guard,
    ) -> Result<bool, MapError> {
        let len = match fit(self.len(), table.len()) {
            Fit::Small => table.len().checked_mul(2).ok_or(MapError::OutOfMemory)?,
            Fit::Large => table.len() / 2,
            Fit::Right => return Ok(false),
        };
        // There are never more than two tables with content.
        if table.source(guard).is_some() {
            return Ok(false);
        }
        match self.next.step(len)? {
            Step::Done(next) => _ = self.publish(table, next),
            Step::Piece => return Ok(true),
            Step::Taken if crowded => _ = self.publish(table, Head::new(len)?),
            Step::Taken => {}
        }
        Ok(false)
    }

    /// Makes `next` the current table in place of `table`, whose migration is over, unless somebody
    /// was faster.
    fn publish(&self, table: Table<'_, K, V>, next: NonNull<Head<K, V>>) -> bool {
        let current = table.address();
        // SAFETY: ours until it is published.
        // Relaxed: published with the table.
        unsafe { next.as_ref() }.before.store(current, Ordering::Relaxed);
        // Release: publishes the table. Relaxed: the failure changes nothing.
        let published = self.head.compare_exchange(
            current,
            next.as_ptr(),
            Ordering::Release,
            Ordering::Relaxed,
        );
        if published.is_err() {
            // SAFETY: not published, and it owns nothing.
            unsafe { Head::free(next) };
        }
        published.is_ok()
    }

    /// Begins to double (`true`) or halve the table now, whatever its load; `false` if a migration is
    /// under way, somebody else is at it, or there is no memory. For tests of what happens meanwhile.
    #[doc(hidden)]
    pub fn force_resize(&self, grow: bool, guard: &Guard) -> bool {
        let mut last = Some(false);
        while last == Some(false) {
            last = self.force_piece(grow, guard);
        }
        last.is_some()
    }

    /// Clears one piece of the table that [`force_resize`](Self::force_resize) begins with; whether
    /// it was the last, or `None` where that answers `false`. For tests.
    #[doc(hidden)]
    pub fn force_piece(&self, grow: bool, guard: &Guard) -> Option<bool> {
        self.limbo.admit(guard);
        let table = self.table(guard);
        let len = if grow { table.len() * 2 } else { (table.len() / 2).max(1) };
        if len == table.len() || table.source(guard).is_some() {
            return None;
        }
        match self.next.step(len) {
            Ok(Step::Done(next)) => self.publish(table, next).then_some(true),
            Ok(Step::Piece) => Some(false),
            Ok(Step::Taken) | Err(_) => None,
        }
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
