//! One limit of several, on a table.

use core::hash::{BuildHasher, Hash};
use core::ops::Deref;

use super::super::all::{Bucket, Charged, Glance, Look, Steps};
use super::super::gcra::{Charge, Refund};
use super::super::seat::Seat;
use super::super::settle::{Balance, Settled};
use super::super::verdict::Verdict;
use super::{BucketTable, Decision, Place, Plan, Set};
use crate::sync::prefetch;
use crate::time::{Clock, Instant};

/// A key's bucket in a [`BucketTable`], with a plan, a cost and a time: one of the limits of a
/// [`check_all`](crate::bucket::check_all). Made by [`BucketTable::limit`].
#[derive(Debug)]
#[must_use = "a limit charges nothing by itself"]
pub struct TableLimit<'a, M, S, C: ?Sized> {
    table: &'a BucketTable<M, S>,
    set: Option<&'a Set>,
    place: Place,
    plan: &'a Plan,
    cost: u64,
    now: Instant,
    clock: &'a C,
}

impl<M: Deref<Target = [Set]>, S: BuildHasher> BucketTable<M, S> {
    /// Makes one of several limits: `cost` cells of the key's bucket under `plan`, at the time `now`.
    /// Charges nothing: [`check_all`](crate::bucket::check_all) does.
    ///
    /// `clock` is the one that `now` comes from. It is read only where a charge must be rolled back.
    ///
    /// # Panics
    ///
    /// If `plan` was compiled for another unit: a programming error.
    #[inline(always)]
    pub fn limit<'a, K: Hash + ?Sized, C: Clock + ?Sized>(
        &'a self,
        key: &K,
        plan: &'a Plan,
        cost: u64,
        now: Instant,
        clock: &'a C,
    ) -> TableLimit<'a, M, S, C> {
        let place = Place::of(key, &self.hasher);
        // The sets of all limits are on their way before the first is looked at.
        let set = self.set(place);
        if let Some(set) = set {
            prefetch(set.line(place));
        }
        // Panics here if the plan is of another unit.
        self.scale(plan);
        TableLimit { table: self, set, place, plan, cost, now, clock }
    }
}

impl<M: Deref<Target = [Set]>, S: BuildHasher, C: ?Sized> TableLimit<'_, M, S, C> {
    /// Which bucket it is. A table without sets has none to name.
    #[inline(always)]
    fn bucket(&self) -> Bucket {
        let structure = match self.set {
            Some(set) => core::ptr::from_ref(set).addr(),
            None => core::ptr::from_ref(self.table).addr(),
        };
        Bucket { structure, key: u64::from(self.place.fingerprint) }
    }
}

impl<M: Deref<Target = [Set]>, S: BuildHasher, C: Clock + ?Sized> Steps
    for TableLimit<'_, M, S, C>
{
    #[inline(always)]
    fn asked(&self) -> Option<Charge> {
        self.plan.inquiry(self.cost, self.plan.scale().units(self.now.as_nanos()))
    }

    fn window(&self) -> u64 {
        self.plan.window()
    }

    #[inline(always)]
    fn glance(&self) -> Option<Glance<'_>> {
        let Self { plan, now, cost, .. } = *self;
        let units = plan.scale().units_in_time(now.as_nanos())?;
        let charge = plan.charge(cost, units)?;
        let found = self.set?.find_first(self.place)?;
        let time = charge.on(found.time())?;
        let verdict = Verdict::admitted(time, charge.cost());
        Some(Glance { bucket: self.bucket(), found, verdict })
    }

    fn look(&self, look: &mut Look) -> bool {
        let Self { table, place, plan, .. } = *self;
        let asked = self.asked();
        let find = |set: &Set| set.hit(place, |_| None).or_else(|| set.update(place, |_| None));
        look.bucket = self.bucket();
        match self.set.and_then(find) {
            Some(found) => look.time = found.before,
            None => {
                let start = asked.map_or(0, |charge| plan.start(charge.now()));
                look.time = table.overflow.fresh(place).starting(start).guess();
                look.fresh = Some(table.overflow.shared(place));
            }
        }
        asked.is_some_and(|charge| charge.on(look.time).is_some())
    }

    fn charge(&self, charge: &Charge, charged: &mut Charged) {
        let Self { table, set, place, plan, .. } = *self;
        let change = set.and_then(|set| set.hit(place, |time| charge.on(time)));
        (charged.verdict, charged.seat) = match change.map(|change| (change.after, change.seat)) {
            Some((Some(time), seat)) => (Verdict::admitted(time, charge.cost()), seat),
            _ => table.charge(place, plan, charge),
        };
    }

    #[cold]
    fn roll_back(&self, charge: &Charge, charged: &Charged) {
        let Self { table, place, plan, .. } = *self;
        if charged.verdict.is_unplaced() {
            table.overflow.uncount_admitted();
        }
        if charged.verdict.charged() == 0 {
            return;
        }
        let now = table.unit.scale().units(self.clock.now().as_nanos());
        let (cost, queue) = (charge.cost(), (plan.burst(), plan.terms().is_shaped()));
        let refund = Refund::of((charge.now(), cost, charged.verdict.time()), cost, now, queue);
        let lost = if charged.seat == Seat::NONE {
            table.overflow.fresh(place).roll_back(&refund)
        } else {
            let on = |time| refund.on(time, None);
            let change = self.set.and_then(|set| set.revise(charged.seat, place.fingerprint, on));
            // Without one the bucket was given up, and what it owed is forgotten.
            change.map_or(0, |change| refund.lost(change.before, change.after))
        };
        table.overflow.count_lost(lost);
    }

    #[inline(always)]
    fn settle(&self, charged: &Charged, actual: u64) -> Settled {
        let Self { table, place, plan, now, .. } = *self;
        let units = |time: Instant| table.unit.scale().units(time.as_nanos());
        let (at, now) = (units(now), units(self.clock.now()));
        match Balance::of(plan, charged.verdict, at, actual, now) {
            Balance::Even => Settled::even(plan),
            Balance::Over(refund) => {
                let on = |time| refund.on(time, None);
                let change =
                    self.set.and_then(|set| set.revise(charged.seat, place.fingerprint, on));
                let times = change.map(|change| (change.before, change.after));
                Settled::over(plan, times)
            }
            Balance::Under(more) => {
                let part = |room: u64| room.min(more);
                let charged = table.charge_up_to(place, plan, plan.depth(), now, part);
                Settled::under(plan, more, charged.map_or(0, Verdict::charged))
            }
        }
    }

    #[inline(always)]
    fn decision(&self, charged: &Charged, decision: &mut Decision) {
        decision.set(self.plan, self.now, charged.verdict, 0);
    }
}
