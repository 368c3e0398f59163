//! One limit of several, on a map.

use alloc::borrow::ToOwned;
use core::borrow::Borrow;
use core::fmt;
use core::hash::{BuildHasher, Hash};
use core::ops::Deref;

use super::super::all::{Bucket as Identity, Charged, Look, Steps, charge_of};
use super::super::gcra::{Charge, Refund};
use super::super::seat::Seat;
use super::super::settle::{Balance, Settled};
use super::super::verdict::Verdict;
use super::bucket::Bucket;
use super::{BucketMap, Decision, Plan};
use crate::reclaim::Guard;
use crate::time::{Clock, Instant};

/// A key's bucket in a [`BucketMap`], with a plan, a cost and a time: one of the limits of a
/// [`check_all`](crate::bucket::check_all). Made by [`BucketMap::limit`].
#[must_use = "a limit charges nothing by itself"]
pub struct MapLimit<'a, K: Send + 'static, Q: ?Sized, S, C: ?Sized, P> {
    buckets: &'a BucketMap<K, S>,
    hash: usize,
    key: &'a Q,
    plan: &'a Plan,
    cost: u64,
    asked: Option<Charge>,
    now: Instant,
    clock: &'a C,
    /// Makes a guard for each step.
    pin: P,
}

impl<K: Hash + Eq + Send + 'static, S: BuildHasher> BucketMap<K, S> {
    /// Makes one of several limits, as [`BucketTable::limit`](crate::BucketTable::limit) does.
    ///
    /// `pin` makes a guard for each step. A limit that is charged at once may return one guard again
    /// and again, as `|| guard` does. One that is [reserved](crate::bucket::reserve()) for longer
    /// should make a guard for each step: memory is not freed while a guard is kept.
    ///
    /// # Panics
    ///
    /// If `plan` was compiled for another unit, or a guard is of another domain: programming errors.
    #[inline]
    pub fn limit<'a, Q, C, P, G>(
        &'a self,
        key: &'a Q,
        plan: &'a Plan,
        cost: u64,
        now: Instant,
        clock: &'a C,
        pin: P,
    ) -> MapLimit<'a, K, Q, S, C, P>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
        C: Clock + ?Sized,
        P: Fn() -> G,
        G: Deref<Target = Guard>,
    {
        let asked = plan.inquiry(cost, self.scale(plan).units(now.as_nanos()));
        MapLimit {
            buckets: self,
            hash: self.map.hash(key),
            key,
            plan,
            cost,
            asked,
            now,
            clock,
            pin,
        }
    }
}

impl<K, Q, S, C, P, G> Steps for MapLimit<'_, K, Q, S, C, P>
where
    K: Hash + Eq + Send + Borrow<Q> + 'static,
    Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
    S: BuildHasher,
    C: Clock + ?Sized,
    P: Fn() -> G,
    G: Deref<Target = Guard>,
{
    fn asked(&self) -> Option<Charge> {
        self.asked
    }

    fn window(&self) -> u64 {
        self.plan.window()
    }

    #[inline(always)]
    fn charge_at_sight(&self) -> Option<Charged> {
        let Self { buckets, hash, key, plan, .. } = *self;
        let charge = charge_of(self)?;
        let guard = self.guard();
        let bucket = &buckets.map.find(hash, key, &guard)?.value;
        let fresh = || buckets.fresh(key, plan.start(charge.now()));
        let change = bucket.charge(&buckets.base, fresh, |time| charge.on(time))?;
        let verdict = Verdict::admitted(change.after?, charge.cost());
        let word = core::ptr::from_ref(bucket).addr();
        Some(Charged { before: change.returned, word, ..Charged::nothing(verdict) })
    }

    fn look(&self, look: &mut Look) -> bool {
        let Self { buckets, hash, key, plan, .. } = *self;
        let guard = self.guard();
        let start = self.asked.map_or(0, |charge| plan.start(charge.now()));
        let fresh = || buckets.fresh(key, start);
        let found = buckets.map.find(hash, key, &guard).map(|entry| &entry.value);
        let (fresh, time) = match found.and_then(|found| found.time(&buckets.base, fresh)) {
            Some(time) => (None, time),
            None => (Some(buckets.overflow.shared(buckets.place(key))), fresh().guess()),
        };
        let structure = core::ptr::from_ref(buckets).addr();
        let bucket = Identity { structure, key: hash as u64 };
        *look = Look { bucket, fresh, time };
        self.asked.is_some_and(|charge| charge.on(time).is_some())
    }

    fn charge(&self, charge: &Charge, charged: &mut Charged) {
        let Self { buckets, hash, key, plan, .. } = *self;
        let guard = self.guard();
        let found = buckets.map.find(hash, key, &guard).map(|entry| &entry.value);
        let (verdict, before, bucket) = buckets.charge(hash, key, found, plan, *charge, &guard);
        let word = bucket.map_or(0, |bucket| core::ptr::from_ref(bucket).addr());
        *charged = Charged { verdict, before, seat: Seat::NONE, word };
    }

    #[cold]
    fn roll_back(&self, charge: &Charge, charged: &Charged) {
        let Self { buckets, key, plan, .. } = *self;
        let Charged { verdict, before: then, word, .. } = *charged;
        if verdict.is_unplaced() {
            buckets.overflow.uncount_admitted();
        }
        if verdict.charged() == 0 {
            return;
        }
        let now = buckets.unit.scale().units(self.clock.now().as_nanos());
        let (cost, queue) = (charge.cost(), (plan.burst(), plan.terms().is_shaped()));
        let refund = Refund::of((charge.now(), cost, verdict.time()), cost, now, queue);
        let lost = if verdict.is_unplaced() {
            buckets.overflow.fresh(buckets.place(key)).roll_back(&refund)
        } else {
            // Only the bucket that was charged. Where the key's next bucket stands at its address, the
            // charge had flowed in by the time at which the first one was given up.
            let guard = self.guard();
            let bucket = buckets.map.get(key, &guard);
            let bucket = bucket.filter(|&bucket| core::ptr::from_ref(bucket).addr() == word);
            let change = bucket.and_then(|bucket| {
                bucket.edit(|time, returned| refund.on(time, Some(Bucket::since(returned, then))))
            });
            // Without one the bucket was given up, and what it owed is forgotten.
            change.map_or(0, |change| refund.lost(change.before, change.after))
        };
        buckets.overflow.count_lost(lost);
    }

    fn settle(&self, charged: &Charged, actual: u64) -> Settled {
        let Self { buckets, hash, key, plan, now, .. } = *self;
        let units = |time: Instant| buckets.unit.scale().units(time.as_nanos());
        let (at, now) = (units(now), units(self.clock.now()));
        let guard = self.guard();
        match Balance::of(plan, charged.verdict, at, actual, now) {
            Balance::Even => Settled::even(plan),
            Balance::Over(refund) => {
                let bucket = buckets.map.find(hash, key, &guard).map(|entry| &entry.value);
                let change = bucket.and_then(|bucket| {
                    bucket.edit(|time, returned| {
                        refund.on(time, Some(Bucket::since(returned, charged.before)))
                    })
                });
                Settled::over(plan, change.map(|change| (change.before, change.after)))
            }
            Balance::Under(more) => {
                let part = |room: u64| room.min(more);
                let charged =
                    buckets.charge_up_to(hash, key, plan, plan.depth(), now, part, &guard);
                Settled::under(plan, more, charged.map_or(0, |(verdict, _)| verdict.charged()))
            }
        }
    }

    fn decision(&self, charged: &Charged, decision: &mut Decision) {
        decision.set(self.plan, self.now, charged.verdict, charged.before);
    }
}

impl<K, Q, S, C, P, G> MapLimit<'_, K, Q, S, C, P>
where
    K: Hash + Eq + Send + 'static,
    Q: ?Sized,
    S: BuildHasher,
    C: ?Sized,
    P: Fn() -> G,
    G: Deref<Target = Guard>,
{
    fn guard(&self) -> G {
        let guard = (self.pin)();
        self.buckets.map.admit(&guard);
        guard
    }
}

impl<K: Send + 'static, Q: ?Sized, S, C: ?Sized, P> fmt::Debug for MapLimit<'_, K, Q, S, C, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { plan, cost, now, .. } = self;
        f.debug_struct("MapLimit")
            .field("plan", plan)
            .field("cost", cost)
            .field("now", now)
            .finish_non_exhaustive()
    }
}
