//! One limit of several, on a table of one owner.

use core::cell::{Cell, RefCell};
use core::hash::{BuildHasher, Hash};
use core::ops::{Deref, DerefMut};

use super::super::all::{Bucket, Charged, Look, Steps};
use super::super::gcra::Charge;
use super::super::seat::{Found, Seat};
use super::{Decision, LocalBucketTable, LocalSet, Place, Plan};
use crate::time::Instant;

/// A key's bucket in a [`LocalBucketTable`], with a plan, a cost and a time: one of the limits of a
/// [`check_all`](crate::bucket::check_all). Made by [`LocalBucketTable::limit`].
#[derive(Debug)]
#[must_use = "a limit charges nothing by itself"]
pub struct LocalLimit<'a, M, S> {
    table: &'a RefCell<LocalBucketTable<M, S>>,
    place: Place,
    plan: &'a Plan,
    cost: u64,
    now: Instant,
    /// What the bucket, or the shared word, held before the last charge.
    before: Cell<Option<(Word, u64)>>,
}

/// Which word was charged.
#[derive(Clone, Copy, Debug)]
enum Word {
    Slot,
    Shared,
}

impl<M: Deref<Target = [LocalSet]> + DerefMut, S: BuildHasher> LocalBucketTable<M, S> {
    /// Makes one of several limits, as [`BucketTable::limit`] does. Several may be of one table, which
    /// is borrowed for the time of each step.
    ///
    /// A roll-back loses nothing: between its charges and itself nobody else uses the table.
    ///
    /// ```
    /// use core::cell::RefCell;
    /// use tidegate_core::bucket::{LocalSet, Unit, check_all};
    /// use tidegate_core::{Instant, LocalBucketTable, Quota, SeededState};
    ///
    /// let (each, all) = (Quota::per_second(2)?, Quota::per_second(5)?);
    /// let unit = Unit::for_quotas(&[each, all])?;
    /// let (each, all) = (unit.plan(each)?, unit.plan(all)?);
    /// let memory = [const { LocalSet::new() }; 4];
    /// let table = RefCell::new(LocalBucketTable::over(Box::new(memory) as Box<[_]>, unit, SeededState::new(7)));
    ///
    /// let ask = |client: &str| {
    ///     let now = Instant::from_secs(1);
    ///     let limits = [
    ///         LocalBucketTable::limit(&table, client, &each, 1, now),
    ///         LocalBucketTable::limit(&table, "everybody", &all, 1, now),
    ///     ];
    ///     check_all(&limits).is_admitted()
    /// };
    /// assert_eq!(["a", "a", "a", "b", "b", "c", "d"].map(ask), [true, true, false, true, true, true, false]);
    /// # Ok::<(), tidegate_core::QuotaError>(())
    /// ```
    ///
    /// # Panics
    ///
    /// If `plan` was compiled for another unit, or the table is borrowed, here or in a step:
    /// programming errors.
    ///
    /// [`BucketTable::limit`]: crate::BucketTable
    pub fn limit<'a, K: Hash + ?Sized>(
        table: &'a RefCell<Self>,
        key: &K,
        plan: &'a Plan,
        cost: u64,
        now: Instant,
    ) -> LocalLimit<'a, M, S> {
        let place = {
            let table = table.borrow();
            table.scale(plan);
            Place::of(key, &table.hasher)
        };
        LocalLimit { table, place, plan, cost, now, before: Cell::new(None) }
    }
}

impl<M: Deref<Target = [LocalSet]> + DerefMut, S: BuildHasher> Steps for LocalLimit<'_, M, S> {
    fn look(&self, look: &mut Look) {
        let Self { place, plan, cost, now, .. } = *self;
        let mut table = self.table.borrow_mut();
        let units = table.unit.scale().units(now.as_nanos());
        let asked = plan.inquiry(cost, units);
        let time = table.time(place);
        let (address, key) = (core::ptr::from_ref(self.table).addr(), place.key(table.sets.len()));
        let bucket = match table.set(place).and_then(|set| set.find(place)) {
            Some(word) => Bucket::at(core::ptr::from_mut(word).addr()),
            None => Bucket::fresh(address, table.overflow.shared(place), key),
        };
        *look = Look { bucket, asked, time, window: plan.window(), found: Found::NONE };
    }

    fn charge(&self, _: &Look, charge: &Charge, charged: &mut Charged) {
        let Self { place, plan, cost, .. } = *self;
        let mut table = self.table.borrow_mut();
        let slot = table.time(place);
        let shared = table.overflow.fresh(place.fingerprint);
        let verdict = table.decide(place, plan, cost, charge.now());
        self.before.set((verdict.charged() > 0).then_some(match verdict.is_unplaced() {
            true => (Word::Shared, shared),
            false => (Word::Slot, slot),
        }));
        *charged = Charged { verdict, given_back: 0, seat: Seat::NONE };
    }

    fn roll_back(&self, _: &Charge, _: &Charged) {
        let mut table = self.table.borrow_mut();
        match self.before.take() {
            None => {}
            Some((Word::Slot, before)) => {
                if let Some(time) = table.set(self.place).and_then(|set| set.find(self.place)) {
                    *time = before;
                }
            }
            Some((Word::Shared, before)) => table.overflow.restore(self.place, before),
        }
    }

    fn decision(&self, charged: &Charged, decision: &mut Decision) {
        decision.set(self.plan, self.now, charged.verdict, 0);
    }
}
