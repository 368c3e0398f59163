//! When a table is replaced, and by how large a one.

use core::ptr::NonNull;

use super::Map;
use super::next::{PIECE, Unfinished};
use super::size::{Fit, grown};
use super::table::{Head, Table};
use crate::reclaim::{Guard, OutOfMemory};
use crate::sync::Ordering;

/// With this many entries in a bucket, growing must not be left to another thread, which may have
/// stopped.
pub(super) const CROWDED: usize = 8;

/// The result of a step towards the next table.
enum Step {
    /// This many buckets were cleared.
    Cleared(usize),
    /// This many buckets were cleared, and they were the last: the table is the current one.
    Published(usize),
    /// There is another table by now.
    Late,
    /// Another thread works on it.
    Taken,
}

impl<K: Send + 'static, V: Send + 'static, S> Map<K, V, S> {
    /// Takes a step towards a larger or smaller table if `estimate`, and then the count, says so.
    /// If `crowded`, the step must not be left to a thread that already works on it.
    #[inline]
    pub(super) fn resize(
        &self,
        table: Table<'_, K, V>,
        estimate: usize,
        crowded: bool,
        guard: &Guard,
    ) {
        if self.size.fit(estimate, table.len()) != Fit::Right {
            self.replace(table, PIECE, crowded, guard);
        }
    }

    /// Takes a step as [`resize`](Self::resize) does, for a sweep that may clear this many buckets.
    /// Returns how many it cleared. Gives up what was begun if the table fits after all.
    pub(super) fn refit(&self, buckets: usize, guard: &Guard) -> usize {
        let table = self.table(guard);
        if self.size.fit(self.len(), table.len()) == Fit::Right {
            self.abandon_next();
            return 0;
        }
        self.replace(table, buckets, false, guard)
    }

    /// Frees what was begun of a next table, unless another thread works on it.
    pub(super) fn abandon_next(&self) {
        if let Some(mut next) = self.next.try_lock() {
            *next = None;
        }
    }

    /// Clears up to `buckets` buckets of the next table, and returns how many.
    #[cold]
    #[inline(never)]
    fn replace(
        &self,
        table: Table<'_, K, V>,
        buckets: usize,
        crowded: bool,
        guard: &Guard,
    ) -> usize {
        let len = match self.size.fit(self.len(), table.len()) {
            Fit::Small => Some(grown(table.len())),
            Fit::Large => Some(table.len() / 2),
            Fit::Right => None,
        };
        // There are never more than two tables with content.
        let Some(len) = len.filter(|_| table.source(guard).is_none()) else {
            return 0;
        };
        // Refused for want of memory, here and below: the next caller asks again.
        match self.go_on(table, len, buckets) {
            Ok(Step::Cleared(buckets) | Step::Published(buckets)) => buckets,
            Ok(Step::Taken) if crowded => {
                _ = Head::new(len).map(|next| self.publish(table, next));
                len
            }
            Ok(Step::Taken | Step::Late) | Err(_) => 0,
        }
    }

    /// Clears up to `buckets` buckets of a table of `len`, which is to be the next after `table`,
    /// and publishes it with the last.
    fn go_on(
        &self,
        table: Table<'_, K, V>,
        len: usize,
        buckets: usize,
    ) -> Result<Step, OutOfMemory> {
        let Some(mut next) = self.next.try_lock() else {
            return Ok(Step::Taken);
        };
        // Relaxed: a thread that published another table had the lock before this one. Otherwise it
        // made the table elsewhere, and then the exchange below fails.
        if self.head.load(Ordering::Relaxed) != table.address() {
            return Ok(Step::Late);
        }
        let begun = next.take().filter(|begun| begun.len() == len);
        let mut unfinished = begun.map_or_else(|| Unfinished::new(len), Ok)?;
        let cleared = unfinished.clear(buckets);
        match unfinished.finish() {
            Ok(next) if self.publish(table, next) => Ok(Step::Published(cleared)),
            Ok(_) => Ok(Step::Late),
            Err(unfinished) => {
                *next = Some(unfinished);
                Ok(Step::Cleared(cleared))
            }
        }
    }

    /// Makes `next` the current table in place of `table`, whose migration is over, unless another
    /// thread was faster.
    pub(super) fn publish(&self, table: Table<'_, K, V>, next: NonNull<Head<K, V>>) -> bool {
        let current = table.address();
        // SAFETY: owned here until it is published.
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

    /// Begins to double (`true`) or halve the table now, whatever its load. Returns `false` if a
    /// migration is in progress, another thread works on a table, or there is no memory. It is for
    /// tests of what happens meanwhile.
    #[doc(hidden)]
    pub fn force_resize(&self, grow: bool, guard: &Guard) -> bool {
        self.force_step(grow, usize::MAX, guard) == Some(true)
    }

    /// Clears up to `buckets` buckets of the table that [`force_resize`](Self::force_resize) begins
    /// with. Returns whether they were the last, or `None` where that returns `false`. It is for
    /// tests.
    #[doc(hidden)]
    pub fn force_step(&self, grow: bool, buckets: usize, guard: &Guard) -> Option<bool> {
        let (table, len) = self.forced(grow, guard)?;
        match self.go_on(table, len, buckets) {
            Ok(Step::Published(_)) => Some(true),
            Ok(Step::Cleared(_)) => Some(false),
            Ok(Step::Taken | Step::Late) | Err(_) => None,
        }
    }

    /// Begins a resize as [`force_resize`](Self::force_resize) does, but leaves alone what others
    /// have begun. It is for tests.
    #[doc(hidden)]
    pub fn force_elsewhere(&self, grow: bool, guard: &Guard) -> bool {
        self.forced(grow, guard)
            .is_some_and(|(table, len)| Head::new(len).is_ok_and(|next| self.publish(table, next)))
    }

    fn forced<'g>(&'g self, grow: bool, guard: &'g Guard) -> Option<(Table<'g, K, V>, usize)> {
        self.limbo.admit(guard);
        let table = self.table(guard);
        let len = if grow { table.len() * 2 } else { (table.len() / 2).max(1) };
        (len != table.len() && table.source(guard).is_none()).then_some((table, len))
    }

    /// Helps a migration along, and returns whether there was one. It is for tests.
    #[doc(hidden)]
    pub fn force_help(&self, guard: &Guard) -> bool {
        self.limbo.admit(guard);
        let table = self.table(guard);
        self.help(table, guard);
        // Relaxed: a question about this moment.
        !table.before.load(Ordering::Relaxed).is_null()
    }
}
