//! One limit of several, on a table.

use core::hash::{BuildHasher, Hash};
use core::ops::Deref;

use super::super::all::{Bucket, Charged, Look, Steps};
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
    asked: Option<Charge>,
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
        let set = self.set(place);
        // The sets of all limits are on their way before the first is looked at.
        if let Some(set) = set {
            prefetch(set.line(place));
        }
        let asked = plan.inquiry(cost, self.scale(plan).units(now.as_nanos()));
        TableLimit { table: self, set, place, plan, asked, now, clock }
    }

    /// Looks for the key's bucket wherever it may stand, and at what the key would get without one.
    #[cold]
    #[inline(never)]
    fn look_anywhere(&self, place: Place, start: u64, look: &mut Look) {
        match self.set(place).and_then(|set| set.find_live(place)) {
            Some(found) => (look.time, look.found) = (found.time(), found),
            None => {
                look.time = self.overflow.fresh(place).starting(start).guess();
                look.fresh = Some(self.overflow.shared(place));
            }
        }
    }

    #[cold]
    #[inline(never)]
    fn charge_anywhere(&self, place: Place, plan: &Plan, charge: &Charge) -> (Verdict, Seat) {
        self.charge(place, plan, charge)
    }
}

impl<M: Deref<Target = [Set]>, S: BuildHasher, C: Clock + ?Sized> Steps
    for TableLimit<'_, M, S, C>
{
    #[inline(always)]
    fn asked(&self) -> Option<Charge> {
        self.asked
    }

    fn window(&self) -> u64 {
        self.plan.window()
    }

    #[inline(always)]
    fn look(&self, look: &mut Look) -> bool {
        let Self { table, set, place, plan, .. } = *self;
        let (structure, key) = (core::ptr::from_ref(table).addr(), place.key(table.sets.len()));
        look.bucket = Bucket { structure, key };
        match set.and_then(|set| set.find_first(place)) {
            Some(found) => {
                look.time = found.time();
                look.found = found;
            }
            None => {
                let start = self.asked.map_or(0, |charge| plan.start(charge.now()));
                table.look_anywhere(place, start, look);
            }
        }
        self.asked.is_some_and(|charge| charge.on(look.time).is_some())
    }

    #[inline(always)]
    fn charge(&self, look: &Look, charge: &Charge, charged: &mut Charged) {
        let Self { table, set, place, plan, .. } = *self;
        if look.found.is_some()
            && let Some(time) = charge.on(look.time)
            && let Some(seat) = set.and_then(|set| set.charge(&look.found, time))
        {
            charged.verdict = Verdict::admitted(time, charge.cost());
            charged.seat = seat;
        } else {
            (charged.verdict, charged.seat) = table.charge_anywhere(place, plan, charge);
        }
    }

    #[cold]
    fn roll_back(&self, charge: &Charge, charged: &Charged) {
        let Self { table, set, place, plan, .. } = *self;
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
            let change = set.and_then(|set| set.revise(charged.seat, place.fingerprint, on));
            // Without one the bucket was given up, and what it owed is forgotten.
            change.map_or(0, |change| refund.lost(change.before, change.after))
        };
        table.overflow.count_lost(lost);
    }

    #[inline(always)]
    fn settle(&self, charged: &Charged, actual: u64) -> Settled {
        let Self { table, set, place, plan, now, .. } = *self;
        let units = |time: Instant| table.unit.scale().units(time.as_nanos());
        let (at, now) = (units(now), units(self.clock.now()));
        match Balance::of(plan, charged.verdict, at, actual, now) {
            Balance::Even => Settled::even(plan),
            Balance::Over(refund) => {
                let on = |time| refund.on(time, None);
                let change = set.and_then(|set| set.revise(charged.seat, place.fingerprint, on));
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
