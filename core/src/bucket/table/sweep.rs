//! Sweeping the shared table.

use core::hash::BuildHasher;
use core::ops::Deref;

use super::super::portion::Portion;
use super::super::set::SLOTS;
use super::{BucketTable, Set};
use crate::sweep::{Budget, Sweep, Swept};
use crate::time::Instant;

/// How many sets ahead of the one that is visited memory is asked for: 2 KiB. The processor does so
/// of its own accord, but stops at the end of each page.
const AHEAD: usize = 16;

/// A pass over a [`BucketTable`] that gives up the buckets that equal fresh ones, so many slots at
/// a time. It carries nothing but its position: make as many as you like, in any threads.
///
/// `T` is whatever derefs to the table: `&BucketTable`, an `Arc` for a thread of its own.
///
/// Sweeping only returns memory; it changes no decision. A table also reclaims slots when keys are
/// inserted, so one that is sized for its load works unswept.
///
/// ```
/// use core::time::Duration;
/// use tidegate_core::{BucketTable, Budget, Instant, Quota, SeededState, Sweep};
///
/// let quota = Quota::per_second(10)?;
/// let table = BucketTable::boxed(quota, 1_000, SeededState::new(0x5eed))?;
/// let plan = table.plan(quota)?;
/// let start = Instant::from_secs(1);
/// assert!(table.check("alice", &plan, start).is_admitted());
///
/// let mut sweep = table.sweeper();
/// let later = start + Duration::from_secs(1);
/// let mut removed = 0;
/// loop {
///     let step = sweep.sweep(later, Budget::entries(256)); // between two bursts
///     removed += step.removed;
///     if step.wrapped {
///         break;
///     }
/// }
/// assert_eq!((removed, table.len()), (1, 0));
/// # Ok::<(), tidegate_core::QuotaError>(())
/// ```
#[derive(Debug)]
pub struct TableSweep<T> {
    table: T,
    /// The next slot to visit.
    cursor: usize,
}

impl<T> TableSweep<T> {
    /// Creates a sweep that begins at the table's first slot.
    pub fn new(table: T) -> Self {
        Self { table, cursor: 0 }
    }
}

impl<M: Deref<Target = [Set]>, S: BuildHasher> BucketTable<M, S> {
    /// Returns a sweep over the table, for a [`Sweeper`](crate::Sweeper) or a loop of your own.
    pub fn sweeper(&self) -> TableSweep<&Self> {
        TableSweep::new(self)
    }
}

impl<T, M, S> Sweep for TableSweep<T>
where
    T: Deref<Target = BucketTable<M, S>>,
    M: Deref<Target = [Set]>,
    S: BuildHasher,
{
    fn sweep(&mut self, now: Instant, budget: Budget) -> Swept {
        let table = &*self.table;
        let units = table.unit.scale().units(now.as_nanos());
        let drained = table.overflow.drained(units.saturating_sub(table.grace));
        let slots = table.slots();
        let visit = budget.visit(&mut self.cursor, slots);
        let mut removed = 0;
        let portion = Portion::of(visit.clone(), SLOTS);
        for (set, slots) in portion.parts() {
            removed += table.sets[set].reclaim(slots, &drained).removed as usize;
        }
        for set in &table.sets[portion.whole] {
            set.prefetch(AHEAD);
            if !set.is_quiet(drained.by) {
                removed += set.reclaim(0..SLOTS, &drained).removed as usize;
            }
        }
        Swept { visited: visit.len(), removed, freed: 0, wrapped: visit.end == slots }
    }
}
