//! One limit of several, on a table of one owner.

use core::cell::RefCell;
use core::hash::{BuildHasher, Hash};
use core::ops::{Deref, DerefMut};

use super::super::all::{Bucket, Charged, Look, Steps};
use super::super::gcra::Charge;
use super::super::settle::{Balance, Settled};
use super::super::verdict::Verdict;
use super::{Decision, LocalBucketTable, LocalSet, Place, Plan};
use crate::time::{Clock, Instant};

/// A key's bucket in a [`LocalBucketTable`], with a plan, a cost and a time: one of the limits of a
/// [`check_all`](crate::bucket::check_all). Made by [`LocalBucketTable::limit`].
#[derive(Debug)]
#[must_use = "a limit charges nothing by itself"]
pub struct LocalLimit<'a, M, S, C: ?Sized> {
    table: &'a RefCell<LocalBucketTable<M, S>>,
    place: Place,
    plan: &'a Plan,
    cost: u64,
    asked: Option<Charge>,
    now: Instant,
    clock: &'a C,
}

impl<M: Deref<Target = [LocalSet]> + DerefMut, S: BuildHasher> LocalBucketTable<M, S> {
    /// Makes one of several limits, as [`BucketTable::limit`] does. Several may be of one table, which
    /// is borrowed for the time of each step.
    ///
    /// A roll-back loses nothing: no other call uses the table between its charges and itself.
    ///
    /// ```
    /// use core::cell::RefCell;
    /// use tidegate_core::bucket::{LocalSet, Unit, check_all};
    /// use tidegate_core::{Instant, LocalBucketTable, ManualClock, Quota, SeededState};
    ///
    /// let (each, all) = (Quota::per_second(2)?, Quota::per_second(5)?);
    /// let unit = Unit::for_quotas(&[each, all])?;
    /// let (each, all) = (unit.plan(each)?, unit.plan(all)?);
    /// let memory = [const { LocalSet::new() }; 4];
    /// let table = RefCell::new(LocalBucketTable::over(Box::new(memory) as Box<[_]>, unit, SeededState::new(7)));
    ///
    /// let clock = ManualClock::new();
    /// let ask = |client: &str| {
    ///     let now = Instant::from_secs(1);
    ///     let limits = [
    ///         LocalBucketTable::limit(&table, client, &each, 1, now, &clock),
    ///         LocalBucketTable::limit(&table, "everybody", &all, 1, now, &clock),
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
    pub fn limit<'a, K: Hash + ?Sized, C: Clock + ?Sized>(
        table: &'a RefCell<Self>,
        key: &K,
        plan: &'a Plan,
        cost: u64,
        now: Instant,
        clock: &'a C,
    ) -> LocalLimit<'a, M, S, C> {
        let (place, units) = {
            let table = table.borrow();
            (Place::of(key, &table.hasher), table.scale(plan).units(now.as_nanos()))
        };
        LocalLimit { table, place, plan, cost, asked: plan.inquiry(cost, units), now, clock }
    }
}

impl<M, S, C> Steps for LocalLimit<'_, M, S, C>
where
    M: Deref<Target = [LocalSet]> + DerefMut,
    S: BuildHasher,
    C: Clock + ?Sized,
{
    fn asked(&self) -> Option<Charge> {
        self.asked
    }

    fn window(&self) -> u64 {
        self.plan.window()
    }

    fn look(&self, look: &mut Look) -> bool {
        let Self { place, plan, .. } = *self;
        let mut table = self.table.borrow_mut();
        let time = table.time(place, self.asked.map_or(0, |charge| plan.start(charge.now())));
        let (structure, key) =
            (core::ptr::from_ref(self.table).addr(), place.key(table.sets.len()));
        let is_found = table.set(place).and_then(|set| set.find(place)).is_some();
        *look = Look {
            bucket: Bucket { structure, key },
            fresh: (!is_found).then(|| table.overflow.shared(place)),
            time,
        };
        self.asked.is_some_and(|charge| charge.on(time).is_some())
    }

    fn charge(&self, charge: &Charge, charged: &mut Charged) {
        let Self { place, plan, cost, .. } = *self;
        let mut table = self.table.borrow_mut();
        let slot = table.time(place, plan.start(charge.now()));
        let shared = table.overflow.fresh(place.fingerprint);
        let verdict = table.decide(place, plan, cost, charge.now());
        let before = if verdict.is_unplaced() { shared } else { slot };
        *charged = Charged { before, ..Charged::nothing(verdict) };
    }

    fn roll_back(&self, charge: &Charge, charged: &Charged) {
        let Self { place, .. } = *self;
        let mut table = self.table.borrow_mut();
        let verdict = charged.verdict;
        if verdict.is_unplaced() {
            table.overflow.uncount_admitted();
        }
        if verdict.charged() == 0 {
            return;
        }
        if verdict.is_unplaced() {
            table.overflow.restore(place, charged.before);
        } else if let Some(time) = table.set(place).and_then(|set| set.find(place)) {
            // Full, where it was: as on a shared table the key keeps its slot until a sweep.
            *time = charged.before.max(charge.now());
        }
    }

    fn settle(&self, charged: &Charged, actual: u64) -> Settled {
        let Self { place, plan, now, .. } = *self;
        let mut table = self.table.borrow_mut();
        let scale = table.unit.scale();
        let units = |time: Instant| scale.units(time.as_nanos());
        let (at, now) = (units(now), units(self.clock.now()));
        match Balance::of(plan, charged.verdict, at, actual, now) {
            Balance::Even => Settled::even(plan),
            Balance::Over(refund) => {
                let times = table.set(place).and_then(|set| set.find(place)).map(|time| {
                    let (before, after) = (*time, refund.on(*time, None));
                    *time = after.unwrap_or(before);
                    (before, after)
                });
                Settled::over(plan, times)
            }
            Balance::Under(more) => {
                let part = |room: u64| room.min(more);
                let charged = table.charge_up_to(place, plan, plan.depth(), now, part);
                Settled::under(plan, more, charged.map_or(0, Verdict::charged))
            }
        }
    }

    fn decision(&self, charged: &Charged, decision: &mut Decision) {
        decision.set(self.plan, self.now, charged.verdict, 0);
    }
}
