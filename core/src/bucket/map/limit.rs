//! One limit of several, on a map.

use alloc::borrow::ToOwned;
use core::borrow::Borrow;
use core::cell::Cell;
use core::fmt;
use core::hash::{BuildHasher, Hash};

use super::super::all::{Bucket as Identity, Charged, Look, Steps};
use super::super::gcra::{Charge, Refund};
use super::super::seat::{Found, Seat};
use super::bucket::Bucket;
use super::{BucketMap, Decision, Plan};
use crate::reclaim::Guard;
use crate::time::{Clock, Instant};

/// A key's bucket in a [`BucketMap`], with a plan, a cost and a time: one of the limits of a
/// [`check_all`](crate::bucket::check_all). Made by [`BucketMap::limit`].
#[must_use = "a limit charges nothing by itself"]
pub struct MapLimit<'a, K: Send + 'static, Q: ?Sized, S, C: ?Sized> {
    buckets: &'a BucketMap<K, S>,
    hash: usize,
    key: &'a Q,
    plan: &'a Plan,
    cost: u64,
    asked: Option<Charge>,
    now: Instant,
    clock: &'a C,
    guard: &'a Guard,
    /// The bucket that was found, and then the one that was charged.
    bucket: Cell<Option<&'a Bucket>>,
}

impl<K: Hash + Eq + Send + 'static, S: BuildHasher> BucketMap<K, S> {
    /// Makes one of several limits, as [`BucketTable::limit`](crate::BucketTable::limit) does.
    ///
    /// # Panics
    ///
    /// If `plan` was compiled for another unit, or `guard` is of another domain: programming errors.
    #[inline]
    pub fn limit<'a, Q, C>(
        &'a self,
        key: &'a Q,
        plan: &'a Plan,
        cost: u64,
        now: Instant,
        clock: &'a C,
        guard: &'a Guard,
    ) -> MapLimit<'a, K, Q, S, C>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
        C: Clock + ?Sized,
    {
        self.map.admit(guard);
        let asked = plan.inquiry(cost, self.scale(plan).units(now.as_nanos()));
        let (hash, bucket) = (self.map.hash(key), Cell::new(None));
        MapLimit { buckets: self, hash, key, plan, cost, asked, now, clock, guard, bucket }
    }
}

impl<K, Q, S, C> Steps for MapLimit<'_, K, Q, S, C>
where
    K: Hash + Eq + Send + Borrow<Q> + 'static,
    Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
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
        let Self { buckets, hash, key, guard, .. } = *self;
        let fresh = || buckets.overflow.fresh(buckets.place(key));
        let found = buckets.map.find(hash, key, guard).map(|entry| &entry.value);
        let live = found.and_then(|found| Some((found, found.time(&buckets.base, fresh)?)));
        self.bucket.set(live.map(|(found, _)| found));
        let (fresh, time) = match live {
            Some((_, time)) => (None, time),
            None => (Some(buckets.overflow.shared(buckets.place(key))), fresh().guess()),
        };
        let structure = core::ptr::from_ref(buckets).addr();
        let bucket = Identity { structure, key: hash as u64 };
        *look = Look { bucket, fresh, time, found: Found::NONE };
        self.asked.is_some_and(|charge| charge.on(time).is_some())
    }

    fn charge(&self, _: &Look, charge: &Charge, charged: &mut Charged) {
        let Self { buckets, hash, key, plan, cost, guard, .. } = *self;
        let found = self.bucket.get();
        let (verdict, before, bucket) =
            buckets.decide(hash, key, found, plan, cost, charge.now(), guard);
        self.bucket.set(bucket);
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
        let refund = Refund::of(charge, now, verdict.time(), plan.terms().is_shaped());
        let lost = if verdict.is_unplaced() {
            buckets.overflow.fresh(buckets.place(key)).roll_back(&refund)
        } else {
            // Another bucket if this limit is in the call twice, and the first one was given up
            // between its charges.
            let bucket = self.bucket.get();
            let bucket = bucket.filter(|&bucket| core::ptr::from_ref(bucket).addr() == word);
            let change = bucket.and_then(|bucket| {
                bucket.edit(|time, returned| refund.on(time, Some(Bucket::since(returned, then))))
            });
            // Without one the bucket was given up, and what it owed is forgotten.
            change.map_or(0, |change| refund.lost(change.before, change.after))
        };
        buckets.overflow.count_lost(lost);
    }

    fn decision(&self, charged: &Charged, decision: &mut Decision) {
        decision.set(self.plan, self.now, charged.verdict, charged.before);
    }
}

impl<K: Send + 'static, Q: ?Sized, S, C: ?Sized> fmt::Debug for MapLimit<'_, K, Q, S, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { plan, cost, now, .. } = self;
        f.debug_struct("MapLimit")
            .field("plan", plan)
            .field("cost", cost)
            .field("now", now)
            .finish_non_exhaustive()
    }
}
