//! Buckets for any number of exact keys.

mod bucket;
mod limit;
mod room;
mod sweep;

use alloc::borrow::ToOwned;
use core::borrow::Borrow;
use core::hash::{BuildHasher, Hash};
use core::time::Duration;

pub use self::limit::MapLimit;
pub use self::sweep::{BucketPass, BucketSweep};

use self::bucket::{Base, Bucket, Change};
use self::room::{Room, Rooms};
use super::fresh::Fresh;
use super::gcra::{self, Charge};
use super::on_full::{Counters, OnFull};
use super::overflow::Overflow;
use super::place::Place;
use super::plan::{self, Keep};
use super::unit::Scale;
use super::verdict::{Outcome, Verdict};
use super::{Decision, Plan, Quota, QuotaError, Unit};
use crate::hash::SeededState;
use crate::map::{GROUP, Map, NO_TAIL, Upserted};
use crate::reclaim::{Domain, Guard};
use crate::sync::AtomicUsize;
use crate::time::Instant;

/// How many buckets a new key looks through for one to give up, when there are as many keys as the
/// map may hold.
const MAKE_ROOM: usize = if cfg!(loom) { 2 } else { 32 };

/// How long a new key waits that the map refused, under [`OnFull::Deny`]. It waits for memory, or
/// for garbage to be collected; the true time cannot be known.
const PAUSE: Duration = Duration::from_millis(10);

/// Rate-limit buckets for exact keys, on a [`Map`] that grows and shrinks with them.
///
/// The map answers as [`BucketTable`](crate::BucketTable) does, for exact accounting: two keys
/// never share a bucket. The price is an allocation for each new key, two or three dependent loads
/// where the table has one, and a guard with every call. Checking a known key allocates nothing. It
/// is one compare-exchange, or none if the key is denied.
///
/// A bucket is forgotten only when it equals a fresh one, by a [sweep](Self::sweeper) or, with
/// [`max_keys`](Self::max_keys), to make room for another. A new key that cannot be given a bucket
/// (too many keys, no memory, [a flood](crate::MapError::HashFlood), [garbage up to the
/// cap](crate::MapError::Backpressure)) is answered by the [`OnFull`] policy.
///
/// Time, plans and answers are those of the table. As in the table, every call is lock-free.
///
/// # Memory
///
/// Its memory can grow for two reasons. Each key has a bucket, until a sweep gives up the buckets
/// that equal fresh ones; there is no bound unless [`max_keys`](Self::max_keys) sets one. The other
/// reasons are those of [a map](crate::Map).
///
/// # Refunds
///
/// A bucket counts what was given back to it, so a [refund](Self::refund) is worth more than the
/// table's. A charge of `c` units at `t0` left the bucket full again at `s1`, and `k` was given
/// back to the bucket since. At `now`, up to `max(s1 - k, t0 + c) - now` of it is given back. A
/// charge behind others keeps its worth for as long as they take to flow in.
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
    map: Map<K, Bucket, S>,
    unit: Unit,
    /// How far apart the clocks of two threads may be, in units.
    grace: u64,
    overflow: Overflow,
    rooms: Rooms,
    /// Where a new key last looked for room.
    hand: AtomicUsize,
    /// Where the count of a new bucket begins.
    base: Base,
}

impl<K: Hash + Eq + Send + 'static, S: BuildHasher> BucketMap<K, S> {
    /// How far apart two threads' clocks may be, unless [`grace`](Self::grace) says otherwise.
    pub const GRACE: Duration = Duration::from_millis(10);

    /// Creates buckets in `domain`, in the unit that suits `quota`. `hasher` hashes the keys and is
    /// seeded with a secret.
    ///
    /// # Errors
    ///
    /// Fails if there is no unit for the quota: see [`Unit::for_quota`].
    ///
    /// # Panics
    ///
    /// Panics if there is no memory.
    pub fn with(domain: &Domain, quota: Quota, hasher: S) -> Result<Self, QuotaError> {
        Ok(Self::over(Map::with(domain, hasher), Unit::for_quota(quota)?))
    }

    /// Creates buckets in `domain`, in `unit`.
    ///
    /// # Panics
    ///
    /// Panics if there is no memory.
    pub fn in_unit(domain: &Domain, unit: Unit, hasher: S) -> Self {
        Self::over(Map::with(domain, hasher), unit)
    }

    fn over(map: Map<K, Bucket, S>, unit: Unit) -> Self {
        let grace = unit.scale().at_least(Self::GRACE);
        let (overflow, base) = (Overflow::new(), Base::new());
        Self { map, unit, grace, overflow, rooms: Rooms::new(), hand: AtomicUsize::new(0), base }
    }

    /// Sets how many keys have a bucket at a time, at most and exactly. By default there is no cap.
    #[must_use]
    pub fn max_keys(mut self, keys: usize) -> Self {
        self.rooms.limit(keys);
        self
    }

    /// Sets what a new key is answered that cannot be given a bucket. The default is
    /// [`OnFull::Deny`].
    #[must_use]
    pub fn on_full(mut self, policy: OnFull) -> Self {
        self.overflow.policy = policy;
        self
    }

    /// Sets how far apart two threads' clocks may be, as
    /// [`BucketTable::grace`](crate::BucketTable::grace) does.
    #[must_use]
    pub fn grace(mut self, skew: Duration) -> Self {
        self.grace = self.unit.scale().at_least(skew);
        self
    }

    /// Compiles a quota for these buckets.
    ///
    /// # Errors
    ///
    /// Fails as [`Unit::plan`] does.
    pub fn plan(&self, quota: Quota) -> Result<Plan, QuotaError> {
        self.unit.plan(quota)
    }

    /// Returns the unit of time.
    pub fn unit(&self) -> Unit {
        self.unit
    }

    /// Returns the domain whose guards the calls take.
    pub fn domain(&self) -> &Domain {
        self.map.domain()
    }

    /// Checks a key as [`BucketTable::check`](crate::BucketTable::check) does.
    ///
    /// # Panics
    ///
    /// Panics if `plan` was compiled for another unit, or `guard` is of another domain. Both are
    /// programming errors.
    #[inline]
    pub fn check<Q>(&self, key: &Q, plan: &Plan, now: Instant, guard: &Guard) -> Decision
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
    {
        self.check_n(key, plan, 1, now, guard)
    }

    /// Checks a key for `cost` cells as [`BucketTable::check_n`](crate::BucketTable::check_n) does.
    ///
    /// # Panics
    ///
    /// Panics as [`check`](Self::check) does.
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
        let (verdict, returned, _) = self.decide(hash, key, bucket, plan, cost, units, guard);
        Decision::new(plan, now, verdict, returned)
    }

    /// Checks many keys as [`BucketTable::check_burst`](crate::BucketTable::check_burst) does. The
    /// cache misses of a chunk of 32 keys overlap.
    ///
    /// # Panics
    ///
    /// Panics if the slices differ in length, and as [`check`](Self::check) does.
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
                    let (verdict, returned, _) =
                        self.decide(hash, key, bucket, plan, cost, units, guard);
                    decision.set(plan, now, verdict, returned);
                }
            });
        }
    }

    /// Charges as many of `cells` cells as the key's bucket has now, as
    /// [`BucketTable::take_up_to`](crate::BucketTable::take_up_to) does.
    ///
    /// # Panics
    ///
    /// Panics as [`check`](Self::check) does.
    pub fn take_up_to<Q>(
        &self,
        key: &Q,
        plan: &Plan,
        cells: u64,
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
        loop {
            let part = |room| plan.part(cells, room);
            let taken = self.charge_up_to(hash, key, plan, plan.burst(), units, part, guard);
            let (verdict, returned) = taken.unwrap_or_else(|| {
                let time = self.time(key, self.map.get(key, guard), plan.start(units));
                (Verdict::foreseen(plan.inquiry(cells.min(1), units), time), 0)
            });
            // Otherwise a cell has come back since.
            if taken.is_some() || cells == 0 || verdict.outcome() != Outcome::Admitted {
                return Decision::new(plan, now, verdict, returned);
            }
        }
    }

    /// Answers without charging, as [`BucketTable::peek`](crate::BucketTable::peek) does.
    ///
    /// # Panics
    ///
    /// Panics as [`check`](Self::check) does.
    pub fn peek<Q>(&self, key: &Q, plan: &Plan, now: Instant, guard: &Guard) -> Decision
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.map.admit(guard);
        let units = self.scale(plan).units(now.as_nanos());
        let time = self.time(key, self.map.get(key, guard), plan.start(units));
        Decision::new(plan, now, Verdict::foreseen(plan.inquiry(1, units), time), 0)
    }

    /// Gives back up to `cells` cells of an admitted charge that was not used, or not all of it.
    ///
    /// [`BucketTable::refund`](crate::BucketTable::refund) says what a caller must not do, and [the
    /// section on refunds](Self#refunds) how much is given back.
    ///
    /// ```
    /// use core::time::Duration;
    /// use tidegate_core::{BucketMap, Domain, Instant, Quota, SeededState};
    ///
    /// let quota = Quota::per_second(1)?.burst(20)?;
    /// let domain = Domain::new();
    /// let clients: BucketMap<String> = BucketMap::with(&domain, quota, SeededState::new(0x5eed))?;
    /// let plan = clients.plan(quota)?;
    /// let mut worker = domain.worker();
    ///
    /// // The second charge stands behind the first, and is worth all it cost until that has flowed
    /// // in; the table gives 3 back.
    /// let start = Instant::from_secs(1);
    /// let guard = worker.quiescent(start);
    /// assert!(clients.check_n("alice", &plan, 10, start, guard).is_admitted());
    /// let second = clients.check_n("alice", &plan, 10, start, guard);
    /// let later = start + Duration::from_secs(7);
    /// assert_eq!(clients.peek("alice", &plan, later, guard).remaining(), 7);
    /// clients.refund("alice", &second, 10, later, guard);
    /// assert_eq!(clients.peek("alice", &plan, later, guard).remaining(), 17);
    /// # Ok::<(), tidegate_core::QuotaError>(())
    /// ```
    ///
    /// # Panics
    ///
    /// Panics if `decision` is of another unit, or `guard` is of another domain. Both are
    /// programming errors.
    pub fn refund<Q>(&self, key: &Q, decision: &Decision, cells: u64, now: Instant, guard: &Guard)
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.map.admit(guard);
        if let Some((refund, then)) = decision.refund(self.unit, cells, now) {
            self.edit(key, guard, |time, returned| {
                refund.on(time, Some(Bucket::since(returned, then)))
            });
        }
    }

    /// Makes a key's bucket full, as [`BucketTable::reset`](crate::BucketTable::reset) does.
    ///
    /// # Panics
    ///
    /// Panics if `guard` is of another domain.
    pub fn reset<Q>(&self, key: &Q, now: Instant, guard: &Guard)
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let units = self.unit.scale().units(now.as_nanos());
        self.edit(key, guard, |time, _| gcra::reset(time, units));
    }

    /// Moves a key's bucket to another plan, as
    /// [`BucketTable::convert`](crate::BucketTable::convert) does.
    ///
    /// # Panics
    ///
    /// Panics as [`check`](Self::check) does, for either plan.
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
        self.edit(key, guard, |time, _| plan::convert(time, units, old, new, keep));
    }

    /// Returns the number of buckets held, as accurately as [`Map::len`] does.
    pub fn len(&self) -> usize {
        self.map.len()
    }

    /// Returns whether no bucket is held, as accurately as [`len`](Self::len) does.
    pub fn is_empty(&self) -> bool {
        self.map.is_empty()
    }

    /// Returns the counts of events since the buckets were made.
    pub fn counters(&self) -> Counters {
        self.overflow.counters(self.unit.scale())
    }

    /// Checks a key, whether its bucket was found or not. Also returns where the bucket's count of
    /// what was given back stood, and the bucket that answered, if one did.
    #[inline]
    #[expect(clippy::too_many_arguments, reason = "what a check is about, and nothing else")]
    fn decide<'g, Q>(
        &'g self,
        hash: usize,
        key: &Q,
        bucket: Option<&'g Bucket>,
        plan: &Plan,
        cost: u64,
        units: u64,
        guard: &'g Guard,
    ) -> (Verdict, u64, Option<&'g Bucket>)
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
    {
        let Some(charge) = plan.charge(cost, units) else {
            let time = self.time(key, bucket, plan.start(units));
            return (Verdict::foreseen(plan.inquiry(cost, units), time), 0, bucket);
        };
        self.charge(hash, key, bucket, plan, charge, guard)
    }

    /// Charges as much as `part` makes of what the key's bucket has left of a window. `None` if that is
    /// nothing. Starts again if another charge came between.
    #[expect(clippy::too_many_arguments, reason = "what a check is about, and nothing else")]
    fn charge_up_to<Q>(
        &self,
        hash: usize,
        key: &Q,
        plan: &Plan,
        window: u64,
        now: u64,
        part: impl Fn(u64) -> u64,
        guard: &Guard,
    ) -> Option<(Verdict, u64)>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
    {
        loop {
            let bucket = self.map.find(hash, key, guard).map(|entry| &entry.value);
            let time = self.time(key, bucket, plan.start(now));
            let cost = part(gcra::room(time, now, window));
            if cost == 0 {
                return None;
            }
            let charge = Charge::new(window, cost, now);
            let (verdict, returned, _) = self.charge(hash, key, bucket, plan, charge, guard);
            if verdict.charged() > 0 || verdict.is_unplaced() {
                return Some((verdict, returned));
            }
        }
    }

    /// Charges a key, whether its bucket was found or not.
    #[inline]
    fn charge<'g, Q>(
        &'g self,
        hash: usize,
        key: &Q,
        bucket: Option<&'g Bucket>,
        plan: &Plan,
        charge: Charge,
        guard: &'g Guard,
    ) -> (Verdict, u64, Option<&'g Bucket>)
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
    {
        // A closure, because the key is hashed again only for a bucket that was published a moment
        // ago.
        let fresh = || self.fresh(key, plan.start(charge.now()));
        match bucket.and_then(|bucket| bucket.charge(&self.base, fresh, |time| charge.on(time))) {
            Some(change) => verdict(change, &charge, bucket),
            None => self.first(hash, key, plan, charge, guard),
        }
    }

    /// Returns the time of the key's bucket if that is alive, or else the time with which it would
    /// start.
    fn time<Q: Hash + ?Sized>(&self, key: &Q, bucket: Option<&Bucket>, start: u64) -> u64 {
        let fresh = || self.fresh(key, start);
        bucket.and_then(|bucket| bucket.time(&self.base, fresh)).unwrap_or_else(|| fresh().guess())
    }

    /// Charges a key for the first time: it has no bucket, or a dead one.
    #[cold]
    #[inline(never)]
    fn first<'g, Q>(
        &'g self,
        hash: usize,
        key: &Q,
        plan: &Plan,
        charge: Charge,
        guard: &'g Guard,
    ) -> (Verdict, u64, Option<&'g Bucket>)
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
    {
        let place = self.place(key);
        let fresh = self.overflow.fresh(place).starting(plan.start(charge.now()));
        let on = |time| charge.on(time);
        loop {
            if on(fresh.guess()).is_none() && !fresh.must_begin() {
                return (self.overflow.refuse(place, plan, &charge), 0, None);
            }
            let room = match self.take_room(charge.now(), guard) {
                Ok(room) => room,
                Err(earliest) => {
                    let ready = earliest.saturating_add(self.grace);
                    return (self.overflow.answer(place, plan, &charge, ready), 0, None);
                }
            };
            let accept = |bucket: Option<&'g Bucket>, _: &mut Bucket| {
                Some((bucket?.charge(&self.base, || fresh, on)?, bucket))
            };
            let new = Bucket::new(&self.base);
            let change = match self.map.upsert(hash, key.to_owned(), new, NO_TAIL, guard, accept) {
                Ok(Upserted::Inserted(entry, replaced)) => {
                    // The place of a dead bucket is free again.
                    if replaced.is_none() {
                        room.keep();
                    }
                    let change = entry.value.charge_first(&self.base, fresh, on);
                    change.map(|change| (change, Some(&entry.value)))
                }
                Ok(Upserted::Kept(change, _)) => Some(change),
                Err(_) => {
                    let pause = self.unit.scale().at_least(PAUSE);
                    let ready = charge.now().saturating_add(pause);
                    return (self.overflow.answer(place, plan, &charge, ready), 0, None);
                }
            };
            // Without a change, the bucket was given up meanwhile: by a clock that is far ahead, or
            // because the base was raised.
            if let Some((change, bucket)) = change {
                return verdict(change, &charge, bucket);
            }
        }
    }

    /// Takes a place for a new key, and makes room for it if there is none. Fails with the time at
    /// which the first of the buckets looked through may be given up.
    fn take_room(&self, now: u64, guard: &Guard) -> Result<Room<'_>, u64> {
        if let Some(room) = self.rooms.take() {
            return Ok(room);
        }
        let earliest = self.make_room(now, guard);
        self.rooms.take().ok_or(earliest)
    }

    /// Applies `f` to the time of the key's bucket and to the count of what was given back, if there
    /// is a bucket with a time.
    fn edit<Q>(&self, key: &Q, guard: &Guard, f: impl Fn(u64, u64) -> Option<u64>) -> Option<Change>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.map.get(key, guard)?.edit(f)
    }

    /// Returns with what a new bucket of the key starts, under a plan by which that is `start`.
    fn fresh<Q: Hash + ?Sized>(&self, key: &Q, start: u64) -> Fresh<'_> {
        self.overflow.fresh(self.place(key)).starting(start)
    }

    /// Returns the key's word among those that keys without a bucket share.
    fn place<Q: Hash + ?Sized>(&self, key: &Q) -> Place {
        Place::of(key, self.map.hasher())
    }

    #[inline]
    fn scale(&self, plan: &Plan) -> Scale {
        self.unit.scale_of(plan.scale())
    }
}

#[inline]
fn verdict<'g>(
    change: Change,
    charge: &Charge,
    bucket: Option<&'g Bucket>,
) -> (Verdict, u64, Option<&'g Bucket>) {
    let verdict = match change.after {
        Some(time) => Verdict::admitted(time, charge.cost()),
        None => Verdict::denied(change.before, charge),
    };
    (verdict, change.returned, bucket)
}
