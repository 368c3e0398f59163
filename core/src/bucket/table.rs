//! The shared table: a bucket per key in fixed memory.

mod burst;
mod limit;
mod sweep;

use core::hash::{BuildHasher, Hash};
use core::ops::Deref;
use core::time::Duration;

pub use self::limit::TableLimit;
pub use self::sweep::TableSweep;

use super::gcra::{self, Charge};
use super::on_full::{Counters, OnFull};
use super::overflow::{Overflow, TableHeader};
use super::place::Place;
use super::plan::{self, Keep};
use super::seat::Seat;
use super::set::{Inserted, Line, Set};
use super::unit::Scale;
use super::verdict::{Outcome, Verdict};
use super::{Decision, Plan, Quota, QuotaError, Unit};
use crate::hash::SeededState;
use crate::sync::prefetch;
use crate::time::Instant;

/// Rate-limit buckets for any keys, shared by any number of threads, in memory of fixed size.
///
/// A key is anything `Hash`; what is stored is a 32-bit fingerprint of its keyed hash and one word
/// of state. Buckets appear at a key's first charge and are forgotten only when they equal fresh
/// ones, so nothing that happens to the table (sweeping, a flood of keys, a full table) ever hands
/// a token back. Checking allocates nothing and locks nothing; an admitted check of a known key is
/// one compare-exchange, a denied one writes nothing at all.
///
/// # Memory
///
/// A set is 128 bytes and holds 10 buckets; a set for every 3.5 keys ([`Set::for_keys`]), 36.6
/// bytes a key, leaves fewer than 1 key in 1,000 without a slot. `M` is any memory that derefs to
/// `[Set]`: `&'static [Set]` over a `static`, a borrowed slice, or with the feature `alloc` a box
/// ([`boxed`](BucketTable::boxed)). All zeros is an empty table.
///
/// # Identity
///
/// Two keys that agree in fingerprint and set share a bucket. With `2^s` sets that is `32 + s` bits
/// of a keyed hash: of 1 M live keys in 2^19 sets, *any* two collide with a probability of about
/// 2 in 10,000. Sharing makes a limit stricter, never laxer.
///
/// # Time
///
/// Every call takes `now`: the time at which it is carried out. All must agree within the table's
/// [`grace`](Self::grace), the time for which a thread sleeps between reading its clock and the call
/// included. A check whose `now` is `d` behind the key's last one then denies for at most `d` longer
/// and never admits more. A [refund](Self::refund) whose `now` is `d` behind gives back up to what
/// flows in within `d` too much.
///
/// # Progress
///
/// Every operation is lock-free: it retries only if another operation on the same set succeeded.
///
/// # Examples
///
/// ```
/// use tidegate_core::{BucketTable, Instant, Quota, QuotaError, SeededState};
///
/// let quota = Quota::per_minute(60)?.burst(20)?;
/// let table = BucketTable::boxed(quota, 100_000, SeededState::new(0x5eed))?;
/// let plan = table.plan(quota)?;
///
/// let now = Instant::from_secs(1); // from your clock, once a burst
/// assert!(table.check("203.0.113.7", &plan, now).is_admitted());
/// # Ok::<(), QuotaError>(())
/// ```
#[derive(Debug)]
pub struct BucketTable<M, S = SeededState> {
    sets: M,
    unit: Unit,
    /// How far apart the clocks of two threads may be, in units.
    grace: u64,
    hasher: S,
    overflow: Overflow,
}

impl<M: Deref<Target = [Set]>, S: BuildHasher> BucketTable<M, S> {
    /// How far apart two threads' clocks may be, unless [`grace`](Self::grace) says otherwise.
    pub const GRACE: Duration = Duration::from_millis(10);

    /// Creates a table over `sets`, in `unit`, whose keys are hashed by `hasher`.
    ///
    /// The hasher must be seeded with a secret: see [`hash`](crate::hash). With no sets at all
    /// every key finds the table full. Sets belong to one table: a second one over the same memory
    /// would read its times in the wrong unit.
    #[cfg(not(loom))]
    pub const fn over(sets: M, unit: Unit, hasher: S) -> Self {
        let grace = unit.scale().at_least(Self::GRACE);
        Self { sets, unit, grace, hasher, overflow: Overflow::new() }
    }

    /// Creates a table over `sets`, in `unit`, whose keys are hashed by `hasher`.
    #[cfg(loom)]
    pub fn over(sets: M, unit: Unit, hasher: S) -> Self {
        let grace = unit.scale().at_least(Self::GRACE);
        Self { sets, unit, grace, hasher, overflow: Overflow::new() }
    }

    /// Creates a table as [`over`](Self::over) does, whose header is memory of the caller's, too: for
    /// memory that several processes map, or that outlives the table.
    ///
    /// The sets and the header of one table belong together. All tables over them must agree in unit,
    /// hasher, [policy](Self::on_full) and [grace](Self::grace).
    ///
    /// ```
    /// use tidegate_core::bucket::{Set, TableHeader};
    /// use tidegate_core::{BucketTable, Instant, Quota, QuotaError, SeededState};
    ///
    /// static SETS: [Set; 64] = [const { Set::new() }; 64];
    /// static HEADER: TableHeader = TableHeader::new();
    ///
    /// let quota = Quota::per_second(1)?;
    /// let unit = tidegate_core::bucket::Unit::for_quota(quota)?;
    /// let table = || BucketTable::over_memory(&SETS[..], &HEADER, unit, SeededState::new(7));
    /// let (one, other, plan) = (table(), table(), unit.plan(quota)?);
    /// assert!(one.check("alice", &plan, Instant::from_secs(1)).is_admitted());
    /// assert!(!other.check("alice", &plan, Instant::from_secs(1)).is_admitted());
    /// # Ok::<(), QuotaError>(())
    /// ```
    pub const fn over_memory(sets: M, header: &'static TableHeader, unit: Unit, hasher: S) -> Self {
        let grace = unit.scale().at_least(Self::GRACE);
        Self { sets, unit, grace, hasher, overflow: Overflow::lent(header) }
    }

    /// Sets what a new key is answered that finds its set full. [`OnFull::Deny`] by default.
    #[must_use]
    pub fn on_full(mut self, policy: OnFull) -> Self {
        self.overflow.policy = policy;
        self
    }

    /// How far apart two threads' clocks may be; [`GRACE`](Self::GRACE) until set, zero if all
    /// calls share one clock. A bucket is forgotten only this long after it was full again, so that
    /// no thread can find it gone while, by its own clock, it still owes.
    #[must_use]
    pub fn grace(mut self, skew: Duration) -> Self {
        self.grace = self.unit.scale().at_least(skew);
        self
    }

    /// Compiles a quota for this table. Any number of plans may be used on one table.
    ///
    /// # Errors
    ///
    /// As [`Unit::plan`].
    pub fn plan(&self, quota: Quota) -> Result<Plan, QuotaError> {
        self.unit.plan(quota)
    }

    /// Returns the table's unit of time.
    pub fn unit(&self) -> Unit {
        self.unit
    }

    /// Charges one cell to the key's bucket if the plan admits it.
    ///
    /// # Panics
    ///
    /// If `plan` was compiled for another unit: a programming error.
    #[inline(always)]
    pub fn check<K: Hash + ?Sized>(&self, key: &K, plan: &Plan, now: Instant) -> Decision {
        self.check_n(key, plan, 1, now)
    }

    /// Charges `cost` cells to the key's bucket if the plan admits them, all or none.
    ///
    /// A cost above the burst is [`Outcome::Never`](super::Outcome::Never). A cost of 0 charges
    /// nothing, stores nothing and is admitted unless the quota is closed or the bucket, moved here
    /// from a larger plan, owes more than this one allows.
    ///
    /// # Panics
    ///
    /// As [`check`](Self::check).
    #[inline(always)]
    pub fn check_n<K: Hash + ?Sized>(
        &self,
        key: &K,
        plan: &Plan,
        cost: u64,
        now: Instant,
    ) -> Decision {
        self.check_n_at(Place::of(key, &self.hasher), plan, cost, now)
    }

    /// Finds the key's place, and asks the processor for the memory there: for a caller that knows
    /// the key some time before it needs the answer. While the caller does something else, or
    /// prefetches other keys, the memory arrives.
    ///
    /// ```
    /// use tidegate_core::{BucketTable, Instant, Quota, QuotaError, SeededState};
    ///
    /// let quota = Quota::per_second(2)?;
    /// let table = BucketTable::boxed(quota, 1_000_000, SeededState::new(0x5eed))?;
    /// let plan = table.plan(quota)?;
    ///
    /// let place = table.prefetch("203.0.113.7");
    /// // ... parse the rest of the request ...
    /// let now = Instant::from_secs(1);
    /// assert!(table.check_at(place, &plan, now).is_admitted());
    /// assert_eq!(table.peek("203.0.113.7", &plan, now).remaining(), 1);
    /// # Ok::<(), QuotaError>(())
    /// ```
    #[inline(always)]
    pub fn prefetch<K: Hash + ?Sized>(&self, key: &K) -> Place {
        let place = Place::of(key, &self.hasher);
        if let Some(line) = self.line(place) {
            prefetch(line);
        }
        place
    }

    /// Charges one cell as [`check`](Self::check) does, to the key whose place this is.
    ///
    /// # Panics
    ///
    /// Panics as [`check`](Self::check) does.
    #[inline(always)]
    pub fn check_at(&self, place: Place, plan: &Plan, now: Instant) -> Decision {
        self.check_n_at(place, plan, 1, now)
    }

    /// Charges `cost` cells as [`check_n`](Self::check_n) does, to the key whose place this is.
    ///
    /// # Panics
    ///
    /// Panics as [`check`](Self::check) does.
    #[inline(always)]
    pub fn check_n_at(&self, place: Place, plan: &Plan, cost: u64, now: Instant) -> Decision {
        let verdict = match self.look(place, plan, cost, now) {
            Some(verdict) => verdict,
            None => self.decide(place, plan, cost, now),
        };
        Decision::new(plan, now, verdict, 0)
    }

    /// Charges as many of `cells` cells as the key's bucket has now, at least one, or denies the
    /// request. [`Decision::charged`] says how many. Of a [shaping](Quota::shape) quota it takes what
    /// need not wait.
    ///
    /// ```
    /// use tidegate_core::{BucketTable, Instant, Quota, SeededState};
    ///
    /// let table = BucketTable::boxed(Quota::per_second(100)?, 1_000, SeededState::new(7))?;
    /// let plan = table.plan(Quota::per_second(100)?)?;
    /// let now = Instant::from_secs(1);
    /// let batch = table.take_up_to("alice", &plan, 70, now);
    /// assert_eq!(batch.charged(), 70);
    /// assert_eq!(table.take_up_to("alice", &plan, 70, now).charged(), 30);
    /// assert!(!table.take_up_to("alice", &plan, 70, now).is_admitted());
    /// # Ok::<(), tidegate_core::QuotaError>(())
    /// ```
    ///
    /// # Panics
    ///
    /// If `plan` was compiled for another unit: a programming error.
    pub fn take_up_to<K: Hash + ?Sized>(
        &self,
        key: &K,
        plan: &Plan,
        cells: u64,
        now: Instant,
    ) -> Decision {
        let units = self.scale(plan).units(now.as_nanos());
        let place = Place::of(key, &self.hasher);
        loop {
            let part = |room| plan.part(cells, room);
            let taken = self.charge_up_to(place, plan, plan.burst(), units, part);
            let verdict = taken.unwrap_or_else(|| {
                let time = self.time(place, plan.start(units));
                Verdict::foreseen(plan.inquiry(cells.min(1), units), time)
            });
            // Otherwise a cell has come back since.
            if taken.is_some() || cells == 0 || verdict.outcome() != Outcome::Admitted {
                return Decision::new(plan, now, verdict, 0);
            }
        }
    }

    /// Returns what [`check`](Self::check) would answer a key that has a bucket or finds a slot.
    /// Charges nothing and writes nothing. Its figures are those of the bucket as it is.
    ///
    /// # Panics
    ///
    /// As [`check`](Self::check).
    pub fn peek<K: Hash + ?Sized>(&self, key: &K, plan: &Plan, now: Instant) -> Decision {
        let units = self.scale(plan).units(now.as_nanos());
        let place = Place::of(key, &self.hasher);
        Decision::new(
            plan,
            now,
            Verdict::foreseen(plan.inquiry(1, units), self.time(place, plan.start(units))),
            0,
        )
    }

    /// Gives back up to `cells` cells of a charge that was admitted and not used, or not all of it.
    ///
    /// A refund gives back what is safe: with what was refunded counted as never served, every
    /// window still holds at most the burst and what flows in meanwhile. Cells flow in whether or
    /// not those charged were used, so a charge is worth less the older it is. Of `c` units charged
    /// at `t0`, at `now` the table gives back at most `t0 + c - now`, and never more than were
    /// charged: all of it at the instant of the charge, nothing once the charge alone would have
    /// been paid for. A slot has no room for what more could be known; a
    /// [`BucketMap`](crate::BucketMap#refunds) gives back more.
    ///
    /// Of a [shaping](Quota::shape) quota, whose bucket is a queue, a place is given back before its
    /// turn only as a whole, and only while it is the last one; any other passes unused. While
    /// requests wait, nothing is given back of what was charged before them.
    ///
    /// A decision that was denied, [peeked](Self::peek) or [unplaced](Decision::is_unplaced) charged
    /// the key's bucket nothing, and gives nothing back; nor does a key without a bucket. A bucket
    /// is never more than full.
    ///
    /// **Refund a decision once**, all of it or a part. The table cannot tell a second refund from
    /// the first, and neither two of the whole nor two of a part each are safe together.
    ///
    /// ```
    /// use core::time::Duration;
    /// use tidegate_core::{BucketTable, Instant, Quota, SeededState};
    ///
    /// let table = BucketTable::boxed(Quota::per_second(1)?.burst(20)?, 1_000, SeededState::new(7))?;
    /// let plan = table.plan(Quota::per_second(1)?.burst(20)?)?;
    /// let start = Instant::from_secs(1);
    ///
    /// // Reserve 10, use 4.
    /// let reserved = table.check_n("alice", &plan, 10, start);
    /// table.refund("alice", &reserved, 6, start);
    /// assert_eq!(table.peek("alice", &plan, start).remaining(), 16);
    ///
    /// // Seven seconds later, seven cells of ten have flowed in anyway.
    /// let reserved = table.check_n("bob", &plan, 10, start);
    /// let later = start + Duration::from_secs(7);
    /// assert_eq!(table.peek("bob", &plan, later).remaining(), 17);
    /// table.refund("bob", &reserved, 10, later);
    /// assert_eq!(table.peek("bob", &plan, later).remaining(), 20);
    /// # Ok::<(), tidegate_core::QuotaError>(())
    /// ```
    ///
    /// # Panics
    ///
    /// If `decision` is of a table of another unit: a programming error.
    pub fn refund<K: Hash + ?Sized>(&self, key: &K, decision: &Decision, cells: u64, now: Instant) {
        if let Some((refund, _)) = decision.refund(self.unit, cells, now) {
            self.change(key, |time| refund.on(time, None));
        }
    }

    /// Makes the key's bucket full.
    pub fn reset<K: Hash + ?Sized>(&self, key: &K, now: Instant) {
        let units = self.unit.scale().units(now.as_nanos());
        self.change(key, |time| gcra::reset(time, units));
    }

    /// Moves the key's bucket from one plan to another. To be called once, when the client's plan
    /// changes; from then on its checks use `new`. A bucket never owes more than the new burst, and
    /// what may wait behind it. A closed plan, old or new, leaves the debt as it is.
    ///
    /// # Panics
    ///
    /// As [`check`](Self::check), for either plan.
    pub fn convert<K: Hash + ?Sized>(
        &self,
        key: &K,
        old: &Plan,
        new: &Plan,
        keep: Keep,
        now: Instant,
    ) {
        let (_, scale) = (self.scale(old), self.scale(new));
        let units = scale.units(now.as_nanos());
        self.change(key, |time| plan::convert(time, units, old, new, keep));
    }

    /// Returns the number of buckets held just now. Looks at every set: for a gauge, not for a hot
    /// path.
    pub fn len(&self) -> usize {
        self.sets.iter().map(|set| set.len() as usize).sum()
    }

    /// Returns whether no bucket is held just now. Looks at every set, as [`len`](Self::len) does.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the number of slots.
    pub fn slots(&self) -> usize {
        self.sets.len() * super::set::SLOTS
    }

    /// Returns what has happened on the way to answers since the table was made.
    pub fn counters(&self) -> Counters {
        self.overflow.counters(self.unit.scale())
    }

    /// Checks the key's bucket if it is found at first sight, as nearly all are.
    ///
    /// While a processor waits for the bucket's line it looks ahead for a few hundred instructions.
    /// The next check's line is on its way at the same time if it is asked for within them: so it is
    /// asked for first, and the rest is short.
    #[inline(always)]
    fn look(&self, place: Place, plan: &Plan, cost: u64, now: Instant) -> Option<Verdict> {
        let line = self.line(place)?;
        prefetch(line);
        let units = self.scale(plan).units_in_time(now.as_nanos())?;
        Self::hit(line, place.fingerprint, plan.charge(cost, units)?)
    }

    /// Checks the key's bucket in this line.
    #[inline(always)]
    fn hit(line: &Line, fingerprint: u32, charge: Charge) -> Option<Verdict> {
        let change = line.hit(fingerprint, |time| charge.on(time))?;
        Some(match change.after {
            Some(time) => Verdict::admitted(time, charge.cost()),
            None => Verdict::denied(change.before, &charge),
        })
    }

    /// Any check. Takes few words, and none by reference that a hit could keep in a register.
    #[cold]
    #[inline(never)]
    fn decide(&self, place: Place, plan: &Plan, cost: u64, now: Instant) -> Verdict {
        let now = self.scale(plan).units(now.as_nanos());
        match plan.charge(cost, now) {
            Some(charge) => self.charge(place, plan, &charge).0,
            None => Verdict::foreseen(plan.inquiry(cost, now), self.time(place, plan.start(now))),
        }
    }

    /// Charges as much as `part` makes of what the bucket has left of a window. `None` if that is
    /// nothing. Starts again if another charge came between.
    fn charge_up_to(
        &self,
        place: Place,
        plan: &Plan,
        window: u64,
        now: u64,
        part: impl Fn(u64) -> u64,
    ) -> Option<Verdict> {
        loop {
            let time = self.time(place, plan.start(now));
            let cost = part(gcra::room(time, now, window));
            if cost == 0 {
                return None;
            }
            let (verdict, _) = self.charge(place, plan, &Charge::new(window, cost, now));
            if verdict.charged() > 0 || verdict.is_unplaced() {
                return Some(verdict);
            }
        }
    }

    /// Charges the key's bucket wherever it stands, and makes one if there is none. Says where; in no
    /// seat if it is the policy that answers.
    fn charge(&self, place: Place, plan: &Plan, charge: &Charge) -> (Verdict, Seat) {
        let now = charge.now();
        let Some(set) = self.set(place) else {
            return (self.overflow.answer(place, plan, charge, u64::MAX), Seat::NONE);
        };
        let change = match set.update(place, |time| charge.on(time)) {
            Some(change) => change,
            None => {
                let drained = self.overflow.drained(now.saturating_sub(self.grace));
                let mut removed = 0;
                let inserted = set.insert(
                    place,
                    now,
                    self.overflow.fresh(place).starting(plan.start(now)),
                    |time| charge.on(time),
                    &drained,
                    &mut removed,
                );
                self.overflow.count_reclaimed(removed as usize);
                match inserted {
                    Inserted::Done(change) => change,
                    Inserted::Refused => {
                        return (self.overflow.refuse(place, plan, charge), Seat::NONE);
                    }
                    Inserted::Full { earliest } => {
                        let ready = earliest.saturating_add(self.grace);
                        return (self.overflow.answer(place, plan, charge, ready), Seat::NONE);
                    }
                }
            }
        };
        let verdict = match change.after {
            Some(time) => Verdict::admitted(time, charge.cost()),
            None => Verdict::denied(change.before, charge),
        };
        (verdict, change.seat)
    }

    /// The time of the key's bucket; what it would start with if there is none.
    fn time(&self, place: Place, start: u64) -> u64 {
        self.set(place).and_then(|set| set.update(place, |_| None)).map_or_else(
            || self.overflow.fresh(place).starting(start).guess(),
            |change| change.before,
        )
    }

    /// Applies `f` to the key's bucket, if there is one.
    fn change<K: Hash + ?Sized>(&self, key: &K, f: impl Fn(u64) -> Option<u64>) {
        let place = Place::of(key, &self.hasher);
        if let Some(set) = self.set(place) {
            set.update(place, f);
        }
    }

    #[inline]
    fn set(&self, place: Place) -> Option<&Set> {
        let sets = &*self.sets;
        sets.get(place.set(sets.len()))
    }

    /// The line in which the key is looked for first.
    #[inline]
    fn line(&self, place: Place) -> Option<&Line> {
        self.set(place).map(|set| set.line(place))
    }

    #[inline]
    fn scale(&self, plan: &Plan) -> Scale {
        self.unit.scale_of(plan.scale())
    }
}

#[cfg(feature = "alloc")]
impl<S: BuildHasher> BucketTable<alloc::boxed::Box<[Set]>, S> {
    /// Creates a table on the heap for `keys` keys at a time, in the unit that suits `quota`.
    ///
    /// Allocates once, `128 * Set::for_keys(keys)` bytes.
    ///
    /// # Errors
    ///
    /// Fails if there is no unit for the quota (see [`Unit::for_quota`]), or with
    /// [`QuotaError::TooManyKeys`] if there is no memory.
    pub fn boxed(quota: Quota, keys: usize, hasher: S) -> Result<Self, QuotaError> {
        Self::boxed_in_unit(Unit::for_quota(quota)?, keys, hasher)
    }

    /// Creates a table as [`boxed`](Self::boxed) does, in `unit`.
    ///
    /// # Errors
    ///
    /// Fails with [`QuotaError::TooManyKeys`] if there is no memory.
    pub fn boxed_in_unit(unit: Unit, keys: usize, hasher: S) -> Result<Self, QuotaError> {
        let sets = super::boxed::sets(keys, Set::for_keys(keys), Set::new)?;
        Ok(Self::over(sets, unit, hasher))
    }
}
