//! Buckets for exact keys, as many as there are.

mod sweep;
mod time;

use alloc::borrow::ToOwned;
use core::borrow::Borrow;
use core::hash::{BuildHasher, Hash};
use core::time::Duration;

pub use self::sweep::BucketSweep;

use self::time::BucketTime;
use super::gcra::{self, Charge, Keep};
use super::on_full::{Counters, OnFull};
use super::overflow::Overflow;
use super::place::Place;
use super::set::Change;
use super::unit::Scale;
use super::verdict::Verdict;
use super::{Decision, Plan, Quota, QuotaError, Unit};
use crate::hash::SeededState;
use crate::map::{GROUP, Map, Upserted};
use crate::reclaim::{Domain, Guard};
use crate::sync::{AtomicUsize, Ordering};
use crate::time::Instant;

/// How many buckets of the map a new key looks through for one to give up, when there are as many
/// keys as may be.
const MAKE_ROOM: usize = if cfg!(loom) { 2 } else { 32 };

/// Rate-limit buckets for exact keys, on a [`Map`] that grows and shrinks with them.
///
/// What [`BucketTable`](crate::BucketTable) answers, for exact accounting: two keys never share a
/// bucket. The price is an allocation for each new key, two or three dependent loads where the table
/// has one, and a guard with every call; checking a known key allocates nothing and is one
/// compare-exchange, or none if it is denied.
///
/// A bucket is forgotten only when it equals a fresh one, by a [sweep](Self::sweeper) or, with
/// [`max_keys`](Self::max_keys), to make room for another. A new key that cannot be given a bucket
/// (too many keys, no memory, [a flood](crate::MapError::HashFlood), [garbage up to the
/// cap](crate::MapError::Backpressure)) is answered by the [`OnFull`] policy.
///
/// Time, plans and answers are those of the table; so is the progress: lock-free.
///
/// ```
/// use tidegate_core::{BucketMap, Domain, Instant, Quota, SeededState};
///
/// let quota = Quota::per_minute(60)?.burst(20)?;
/// let domain = Domain::new();
/// let clients: BucketMap<String> = BucketMap::with(&domain, quota, SeededState::new(0x5eed))?;
/// let plan = clients.plan(quota)?;
/// let mut worker = domain.worker();
///
/// let now = Instant::from_secs(1);
/// let guard = worker.quiescent(now); // once a burst
/// assert!(clients.check("203.0.113.7", &plan, now, guard).is_admitted());
/// # Ok::<(), tidegate_core::QuotaError>(())
/// ```
#[derive(Debug)]
pub struct BucketMap<K: Send + 'static, S = SeededState> {
    map: Map<K, BucketTime, S>,
    unit: Unit,
    /// How far apart the clocks of two threads may be, in units.
    grace: u64,
    overflow: Overflow,
    /// `usize::MAX`: no cap, and `keys` is not kept.
    cap: usize,
    /// Keys that have a bucket or are about to.
    keys: AtomicUsize,
    /// Where a new key last looked for room.
    hand: AtomicUsize,
}

impl<K: Hash + Eq + Send + 'static, S: BuildHasher> BucketMap<K, S> {
    /// How far apart two threads' clocks may be, unless [`grace`](Self::grace) says otherwise.
    pub const GRACE: Duration = Duration::from_millis(10);

    /// Buckets in `domain`, in the unit that suits `quota`, for keys that are hashed by `hasher`,
    /// seeded with a secret.
    ///
    /// # Errors
    ///
    /// If there is no unit for the quota: see [`Unit::for_quota`].
    ///
    /// # Panics
    ///
    /// If there is no memory.
    pub fn with(domain: &Domain, quota: Quota, hasher: S) -> Result<Self, QuotaError> {
        Ok(Self::over(Map::with(domain, hasher), Unit::for_quota(quota)?))
    }

    /// Buckets in `domain`, in `unit`.
    ///
    /// # Panics
    ///
    /// If there is no memory.
    pub fn in_unit(domain: &Domain, unit: Unit, hasher: S) -> Self {
        Self::over(Map::with(domain, hasher), unit)
    }

    fn over(map: Map<K, BucketTime, S>, unit: Unit) -> Self {
        let grace = unit.scale().at_least(Self::GRACE);
        let (keys, hand) = (AtomicUsize::new(0), AtomicUsize::new(0));
        Self { map, unit, grace, overflow: Overflow::new(), cap: usize::MAX, keys, hand }
    }

    /// At most so many keys have a bucket at a time, exactly. No cap until set.
    #[must_use]
    pub fn max_keys(mut self, keys: usize) -> Self {
        self.cap = keys.min(usize::MAX - 1);
        self
    }

    /// What to answer a new key that cannot be given a bucket. [`OnFull::Deny`] until set.
    #[must_use]
    pub fn on_full(mut self, policy: OnFull) -> Self {
        self.overflow.policy = policy;
        self
    }

    /// How far apart two threads' clocks may be, as
    /// [`BucketTable::grace`](crate::BucketTable::grace).
    #[must_use]
    pub fn grace(mut self, skew: Duration) -> Self {
        self.grace = self.unit.scale().at_least(skew);
        self
    }

    /// Compiles a quota for these buckets.
    ///
    /// # Errors
    ///
    /// As [`Unit::plan`].
    pub fn plan(&self, quota: Quota) -> Result<Plan, QuotaError> {
        self.unit.plan(quota)
    }

    /// The unit of time.
    pub fn unit(&self) -> Unit {
        self.unit
    }

    /// The domain whose guards the calls take.
    pub fn domain(&self) -> &Domain {
        self.map.domain()
    }

    /// As [`BucketTable::check`](crate::BucketTable::check).
    ///
    /// # Panics
    ///
    /// If `plan` was compiled for another unit, or `guard` is of another domain: programming errors.
    #[inline]
    pub fn check<Q>(&self, key: &Q, plan: &Plan, now: Instant, guard: &Guard) -> Decision
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
    {
        self.check_n(key, plan, 1, now, guard)
    }

    /// As [`BucketTable::check_n`](crate::BucketTable::check_n).
    ///
    /// # Panics
    ///
    /// As [`check`](Self::check).
    #[inline]
    pub fn check_n<Q>(
        &self,
        key: &Q,
        plan: &Plan,
        cost: u64,
        now: Instant,
        guard: &Guard,
    ) -> Decision
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
    {
        self.map.admit(guard);
        let units = self.scale(plan).units(now.as_nanos());
        let hash = self.map.hash(key);
        let bucket = self.map.find(hash, key, guard).map(|entry| &entry.value);
        Decision::new(plan, now, self.decide(hash, key, bucket, plan, cost, units, guard))
    }

    /// As [`BucketTable::check_burst`](crate::BucketTable::check_burst): the cache misses of a chunk
    /// of 32 keys overlap.
    ///
    /// # Panics
    ///
    /// If the slices differ in length, and as [`check`](Self::check).
    pub fn check_burst<Q>(
        &self,
        requests: &[(&Q, &Plan, u64)],
        now: Instant,
        decisions: &mut [Decision],
        guard: &Guard,
    ) where
        K: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
    {
        self.map.admit(guard);
        assert_eq!(requests.len(), decisions.len(), "one decision for each request");
        for (requests, decisions) in requests.chunks(GROUP).zip(decisions.chunks_mut(GROUP)) {
            let mut found = requests.iter().zip(decisions);
            let keys = requests.iter().map(|(key, _, _)| *key);
            self.map.find_group(keys, guard, |hash, entry| {
                if let Some((&(key, plan, cost), decision)) = found.next() {
                    let units = self.scale(plan).units(now.as_nanos());
                    let bucket = entry.map(|entry| &entry.value);
                    let verdict = self.decide(hash, key, bucket, plan, cost, units, guard);
                    decision.set(plan, now, verdict);
                }
            });
        }
    }

    /// As [`BucketTable::peek`](crate::BucketTable::peek).
    ///
    /// # Panics
    ///
    /// As [`check`](Self::check).
    pub fn peek<Q>(&self, key: &Q, plan: &Plan, now: Instant, guard: &Guard) -> Decision
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let units = self.scale(plan).units(now.as_nanos());
        let time = self.map.get(key, guard).and_then(BucketTime::get);
        let time = time.unwrap_or_else(|| self.overflow.fresh(self.place(key)));
        Decision::new(plan, now, Verdict::foreseen(plan.inquiry(1, units), time))
    }

    /// As [`BucketTable::refund`](crate::BucketTable::refund).
    ///
    /// # Panics
    ///
    /// As [`check`](Self::check).
    pub fn refund<Q>(&self, key: &Q, plan: &Plan, cost: u64, now: Instant, guard: &Guard)
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let units = self.scale(plan).units(now.as_nanos());
        let credit = plan.credit(cost);
        self.change(key, guard, |time| gcra::refund(time, units, credit));
    }

    /// As [`BucketTable::reset`](crate::BucketTable::reset).
    ///
    /// # Panics
    ///
    /// If `guard` is of another domain.
    pub fn reset<Q>(&self, key: &Q, now: Instant, guard: &Guard)
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let units = self.unit.scale().units(now.as_nanos());
        self.change(key, guard, |time| gcra::reset(time, units));
    }

    /// As [`BucketTable::convert`](crate::BucketTable::convert).
    ///
    /// # Panics
    ///
    /// As [`check`](Self::check), for either plan.
    pub fn convert<Q>(
        &self,
        key: &Q,
        old: &Plan,
        new: &Plan,
        keep: Keep,
        now: Instant,
        guard: &Guard,
    ) where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let (_, scale) = (self.scale(old), self.scale(new));
        let units = scale.units(now.as_nanos());
        self.change(key, guard, |time| gcra::convert(time, units, old, new, keep));
    }

    /// The number of buckets held. As [`Map::len`].
    pub fn len(&self) -> usize {
        self.map.len()
    }

    /// Whether no bucket is held. As [`len`](Self::len).
    pub fn is_empty(&self) -> bool {
        self.map.is_empty()
    }

    /// What has happened on the way to answers since the buckets were made.
    pub fn counters(&self) -> Counters {
        self.overflow.counters()
    }

    /// Any check of a key, whose bucket was found or not.
    #[inline]
    #[expect(clippy::too_many_arguments, reason = "what a check is about, and nothing else")]
    fn decide<Q>(
        &self,
        hash: usize,
        key: &Q,
        bucket: Option<&BucketTime>,
        plan: &Plan,
        cost: u64,
        units: u64,
        guard: &Guard,
    ) -> Verdict
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
    {
        let Some(charge) = plan.charge(cost, units) else {
            let time = bucket.and_then(BucketTime::get);
            let time = time.unwrap_or_else(|| self.overflow.fresh(self.place(key)));
            return Verdict::foreseen(plan.inquiry(cost, units), time);
        };
        match bucket.and_then(|bucket| bucket.change(|time| charge.on(time))) {
            Some(change) => verdict(change, &charge),
            None => self.first(hash, key.to_owned(), plan, charge, guard),
        }
    }

    /// The first charge of a key that has no bucket, or one that is dead.
    #[cold]
    #[inline(never)]
    fn first(&self, hash: usize, key: K, plan: &Plan, charge: Charge, guard: &Guard) -> Verdict {
        let place = self.place(&key);
        let Some(time) = charge.on(self.overflow.fresh(place)) else {
            return self.overflow.refuse(place, plan, &charge);
        };
        if let Err(earliest) = self.reserve(charge.now(), guard) {
            let ready = earliest.saturating_add(self.grace);
            return self.overflow.answer(place, plan, &charge, ready);
        }
        let accept = |bucket: Option<&BucketTime>, _: &mut BucketTime| {
            bucket?.change(|time| charge.on(time))
        };
        match self.map.upsert(hash, key, BucketTime::new(time), guard, accept) {
            Ok(Upserted::Inserted(_, replaced)) => {
                self.give_back(usize::from(replaced.is_some()));
                Verdict::admitted(time)
            }
            Ok(Upserted::Kept(change, _)) => {
                self.give_back(1);
                verdict(change, &charge)
            }
            Err(_) => {
                self.give_back(1);
                self.overflow.answer(place, plan, &charge, charge.now())
            }
        }
    }

    /// A right to one more key; or the earliest time at which one of those looked through is paid
    /// for.
    fn reserve(&self, now: u64, guard: &Guard) -> Result<(), u64> {
        if self.cap == usize::MAX {
            return Ok(());
        }
        let take = || {
            // Relaxed: a count, exact by itself.
            let taken = self.keys.fetch_add(1, Ordering::Relaxed) < self.cap;
            if !taken {
                self.give_back(1);
            }
            taken
        };
        if take() {
            return Ok(());
        }
        let earliest = self.make_room(now, guard);
        if take() { Ok(()) } else { Err(earliest) }
    }

    fn give_back(&self, keys: usize) {
        if self.cap != usize::MAX {
            // Relaxed: a count.
            self.keys.fetch_sub(keys, Ordering::Relaxed);
        }
    }

    fn change<Q>(&self, key: &Q, guard: &Guard, f: impl Fn(u64) -> Option<u64>)
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        if let Some(bucket) = self.map.get(key, guard) {
            bucket.change(f);
        }
    }

    /// Which of the words that keys without a bucket share is the key's.
    fn place<Q: Hash + ?Sized>(&self, key: &Q) -> Place {
        Place::of(key, self.map.hasher())
    }

    #[inline]
    fn scale(&self, plan: &Plan) -> Scale {
        self.unit.scale_of(plan)
    }
}

#[inline]
fn verdict(change: Change, charge: &Charge) -> Verdict {
    match change.after {
        Some(time) => Verdict::admitted(time),
        None => Verdict::denied(change.before, charge),
    }
}
