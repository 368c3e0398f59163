//! A bucket table for one owner: `&mut self`, no atomics.

mod limit;

use core::hash::{BuildHasher, Hash};
use core::ops::{Deref, DerefMut, Range};
use core::time::Duration;

use super::gcra::{self, Charge};
use super::on_full::{Counters, OnFull, WORDS};
use super::place::Place;
use super::plan::{self, Keep};
use super::portion::Portion;
use super::unit::Scale;
use super::verdict::{Outcome, Verdict};
use super::{Decision, Plan, Quota, QuotaError, Unit};
use crate::hash::SeededState;
use crate::sweep::{Budget, Swept};
use crate::sync::prefetch;
use crate::time::Instant;

pub use self::limit::LocalLimit;

const LINE: usize = 5;
const LINES: usize = 2;
const SLOTS: usize = LINE * LINES;

/// Ten slots of a [`LocalBucketTable`], in two cache lines.
///
/// ```
/// use tidegate_core::bucket::LocalSet;
///
/// let mut memory = [const { LocalSet::new() }; 4];
/// assert_eq!(size_of_val(&mut memory), 4 * 128);
/// ```
#[derive(Clone, Debug)]
pub struct LocalSet {
    lines: [Line; LINES],
}

#[derive(Clone, Debug)]
#[repr(C, align(64))]
struct Line {
    fingerprints: [u32; LINE],
    /// 0 for a vacant slot: the time of a bucket that was charged is never 0.
    times: [u64; LINE],
}

impl LocalSet {
    /// Creates an empty set.
    pub const fn new() -> Self {
        Self { lines: [const { Line { fingerprints: [0; LINE], times: [0; LINE] } }; LINES] }
    }

    /// Returns how many sets serve `keys` keys, at least 1. Fewer than 1 key in 1,000 finds no
    /// slot.
    pub const fn for_keys(keys: usize) -> usize {
        super::sets_for(keys)
    }

    /// Returns the time of the key's bucket.
    #[inline]
    fn find(&mut self, place: Place) -> Option<&mut u64> {
        let first = place.line();
        let (line, index) = match self.lines[first].find(place.fingerprint) {
            Some(index) => (first, index),
            None => {
                let other = (first + 1) % LINES;
                (other, self.lines[other].find(place.fingerprint)?)
            }
        };
        Some(&mut self.lines[line].times[index])
    }

    /// Returns whether a visit to all slots, for what was paid for by `drained`, would find nothing
    /// to do.
    #[inline]
    fn is_quiet(&self, drained: u64) -> bool {
        // Vacant is 0, and one less than that the largest number: one comparison for both.
        let due = |&time: &u64| time.wrapping_sub(1) < drained;
        !self.lines.iter().flat_map(|line| &line.times).any(due)
    }

    /// Visits `slots`: gives up each bucket that was paid for by `drained` and equals a fresh one.
    /// Returns how many.
    fn reclaim(&mut self, slots: Range<usize>, drained: u64, overflow: &Overflow) -> usize {
        let mut removed = 0;
        for slot in slots {
            let line = &mut self.lines[slot / LINE];
            let (time, fingerprint) = (line.times[slot % LINE], line.fingerprints[slot % LINE]);
            if time != 0 && time <= drained && overflow.fresh(fingerprint) <= drained {
                line.times[slot % LINE] = 0;
                removed += 1;
            }
        }
        removed
    }

    /// Finds a vacant slot for the key. If there is none, gives up all buckets that were paid for
    /// by `drained` and equal fresh ones. If that makes no room, fails with the time at which the
    /// first of them will be paid for.
    fn make_room(
        &mut self,
        place: Place,
        drained: u64,
        overflow: &Overflow,
        reclaimed: &mut u64,
    ) -> Result<(usize, usize), u64> {
        if let Some(slot) = self.vacant(place) {
            return Ok(slot);
        }
        let mut earliest = u64::MAX;
        for line in &mut self.lines {
            for (time, &fingerprint) in line.times.iter_mut().zip(&line.fingerprints) {
                if *time <= drained && overflow.fresh(fingerprint) <= drained {
                    *time = 0;
                    *reclaimed = reclaimed.wrapping_add(1);
                } else {
                    earliest = earliest.min(*time);
                }
            }
        }
        self.vacant(place).ok_or(earliest)
    }

    /// Finds a slot without a bucket, in the line that the key prefers if that has one.
    fn vacant(&self, place: Place) -> Option<(usize, usize)> {
        [place.line(), (place.line() + 1) % LINES].into_iter().find_map(|line| {
            let index = self.lines[line].times.iter().position(|&time| time == 0)?;
            Some((line, index))
        })
    }
}

impl Default for LocalSet {
    fn default() -> Self {
        Self::new()
    }
}

impl Line {
    #[inline]
    fn find(&self, fingerprint: u32) -> Option<usize> {
        // Each slot sets one bit, without a branch.
        let mut matches = 0_u32;
        for (index, (&other, &time)) in self.fingerprints.iter().zip(&self.times).enumerate() {
            matches |= u32::from(other == fingerprint && time != 0) << index;
        }
        if matches == 0 { None } else { Some(matches.trailing_zeros() as usize) }
    }
}

/// Keys of a burst whose memory is on its way at a time: enough to cover a miss, and 200 bytes of stack.
const CHUNK: usize = 16;

/// Rate-limit buckets for one owner, with the answers of [`BucketTable`](crate::BucketTable) and
/// without atomics.
///
/// The table is for loops that own a shard of the traffic, and for targets without 64-bit atomics.
/// Firmware shares one as `critical_section::Mutex<RefCell<LocalBucketTable>>`. The memory, the
/// identity of keys, the calls and the policies are those of the shared table.
///
/// ```
/// use tidegate_core::bucket::{LocalSet, Unit};
/// use tidegate_core::{Instant, LocalBucketTable, Quota, SeededState};
///
/// let quota = Quota::per_second(2)?;
/// let mut memory = [const { LocalSet::new() }; 4];
/// let unit = Unit::for_quota(quota)?;
/// let mut table = LocalBucketTable::over(&mut memory[..], unit, SeededState::new(0x5eed));
/// let plan = table.plan(quota)?;
///
/// let now = Instant::from_secs(1);
/// assert!(table.check(&7, &plan, now).is_admitted());
/// # Ok::<(), tidegate_core::QuotaError>(())
/// ```
#[derive(Debug)]
pub struct LocalBucketTable<M, S = SeededState> {
    sets: M,
    unit: Unit,
    grace: u64,
    hasher: S,
    overflow: Overflow,
}

/// The policy, and the words that only a full table touches.
#[derive(Debug)]
struct Overflow {
    policy: OnFull,
    counters: Counters,
    shared: [u64; WORDS],
}

impl Overflow {
    /// Returns the time with which a new bucket starts.
    fn fresh(&self, fingerprint: u32) -> u64 {
        match self.policy {
            OnFull::Deny | OnFull::Admit => 0,
            OnFull::Shared => self.shared[fingerprint as usize % WORDS],
        }
    }

    /// The address of the word that the key shares with others while it has no bucket; 0 if there is
    /// none.
    fn shared(&self, place: Place) -> usize {
        match self.policy {
            OnFull::Deny | OnFull::Admit => 0,
            OnFull::Shared => {
                core::ptr::from_ref(&self.shared[place.fingerprint as usize % WORDS]).addr()
            }
        }
    }

    /// Counts one admission less: it was rolled back.
    fn uncount_admitted(&mut self) {
        self.counters.unplaced_admitted = self.counters.unplaced_admitted.wrapping_sub(1);
    }

    /// Puts the time of the key's shared word back.
    fn restore(&mut self, place: Place, before: u64) {
        self.shared[place.fingerprint as usize % WORDS] = before;
    }

    /// Answers by the policy. A slot may come free at `ready`.
    fn answer(&mut self, place: Place, plan: &Plan, charge: &Charge, ready: u64) -> Verdict {
        let verdict = match self.policy {
            OnFull::Deny => Verdict::no_slot(plan, charge.now(), ready),
            OnFull::Admit => Verdict::admitted(0, 0).unplaced(),
            OnFull::Shared => {
                let word = &mut self.shared[place.fingerprint as usize % WORDS];
                let verdict = match charge.on(*word) {
                    Some(after) => {
                        *word = after;
                        Verdict::admitted(after, charge.cost())
                    }
                    None => Verdict::denied(*word, charge),
                };
                verdict.unplaced()
            }
        };
        let admitted = u64::from(verdict.outcome() == Outcome::Admitted);
        self.counters.unplaced = self.counters.unplaced.wrapping_add(1);
        self.counters.unplaced_admitted = self.counters.unplaced_admitted.wrapping_add(admitted);
        verdict
    }
}

impl<M: Deref<Target = [LocalSet]> + DerefMut, S: BuildHasher> LocalBucketTable<M, S> {
    /// Creates a table over `sets`, in `unit`. `hasher` hashes the keys and is seeded with a
    /// secret.
    pub const fn over(sets: M, unit: Unit, hasher: S) -> Self {
        let counters = Counters { unplaced: 0, unplaced_admitted: 0, reclaimed: 0, lost: 0 };
        let overflow = Overflow { policy: OnFull::Deny, counters, shared: [0; WORDS] };
        Self { sets, unit, grace: 0, hasher, overflow }
    }

    /// Sets what a new key is answered if its set is full. The default is [`OnFull::Deny`].
    #[must_use]
    pub fn on_full(mut self, policy: OnFull) -> Self {
        self.overflow.policy = policy;
        self
    }

    /// Sets how far `now` may go back between two calls without a bucket in debt being forgotten.
    /// The default is zero, because there is one caller.
    #[must_use]
    pub fn grace(mut self, skew: Duration) -> Self {
        self.grace = self.unit.scale().at_least(skew);
        self
    }

    /// Compiles a quota for this table. Fails as [`Unit::plan`] does.
    pub fn plan(&self, quota: Quota) -> Result<Plan, QuotaError> {
        self.unit.plan(quota)
    }

    /// Returns the table's unit of time.
    pub fn unit(&self) -> Unit {
        self.unit
    }

    /// Checks a key as [`BucketTable::check`](crate::BucketTable::check) does, and panics as it
    /// does.
    #[inline]
    pub fn check<K: Hash + ?Sized>(&mut self, key: &K, plan: &Plan, now: Instant) -> Decision {
        self.check_n(key, plan, 1, now)
    }

    /// Checks a key for `cost` cells as [`BucketTable::check_n`](crate::BucketTable::check_n) does,
    /// and panics as it does.
    #[inline]
    pub fn check_n<K: Hash + ?Sized>(
        &mut self,
        key: &K,
        plan: &Plan,
        cost: u64,
        now: Instant,
    ) -> Decision {
        self.check_n_at(Place::of(key, &self.hasher), plan, cost, now)
    }

    /// Finds the key's place, and asks the processor for the memory there, as
    /// [`BucketTable::prefetch`](crate::BucketTable::prefetch) does: for a caller that knows the key
    /// some time before it needs the answer.
    ///
    /// ```
    /// use tidegate_core::bucket::{LocalSet, Place, Unit};
    /// use tidegate_core::{Instant, LocalBucketTable, Quota, QuotaError, SeededState};
    ///
    /// let quota = Quota::per_second(2)?;
    /// let mut memory = [const { LocalSet::new() }; 64];
    /// let unit = Unit::for_quota(quota)?;
    /// let mut table = LocalBucketTable::over(&mut memory[..], unit, SeededState::new(0x5eed));
    /// let plan = table.plan(quota)?;
    ///
    /// // All of a burst's memory is on its way before the first packet is checked.
    /// let places: [Place; 4] = [7, 8, 7, 7].map(|flow| table.prefetch(&flow));
    /// let now = Instant::from_secs(1);
    /// let admitted = places.map(|place| table.check_at(place, &plan, now).is_admitted());
    /// assert_eq!(admitted, [true, true, true, false]);
    /// # Ok::<(), QuotaError>(())
    /// ```
    #[inline]
    pub fn prefetch<K: Hash + ?Sized>(&self, key: &K) -> Place {
        let place = Place::of(key, &self.hasher);
        if let Some(set) = self.sets.get(place.set(self.sets.len())) {
            prefetch(&raw const set.lines[place.line()]);
        }
        place
    }

    /// Charges one cell as [`check`](Self::check) does, to the key whose place this is, and panics as
    /// it does.
    #[inline]
    pub fn check_at(&mut self, place: Place, plan: &Plan, now: Instant) -> Decision {
        self.check_n_at(place, plan, 1, now)
    }

    /// Charges `cost` cells as [`check_n`](Self::check_n) does, to the key whose place this is, and
    /// panics as it does.
    #[inline]
    pub fn check_n_at(&mut self, place: Place, plan: &Plan, cost: u64, now: Instant) -> Decision {
        let units = self.scale(plan).units(now.as_nanos());
        Decision::new(plan, now, self.decide(place, plan, cost, units), 0)
    }

    /// Checks many keys as [`BucketTable::check_burst`](crate::BucketTable::check_burst) does, and
    /// panics as it does. The cache misses of 16 keys overlap.
    pub fn check_burst<K: Hash>(
        &mut self,
        requests: &[(K, &Plan, u64)],
        now: Instant,
        decisions: &mut [Decision],
    ) {
        assert_eq!(requests.len(), decisions.len(), "one decision for each request");
        let units = self.unit.scale().units(now.as_nanos());
        for (requests, decisions) in requests.chunks(CHUNK).zip(decisions.chunks_mut(CHUNK)) {
            let places: [_; CHUNK] =
                core::array::from_fn(|at| requests.get(at).map(|(key, _, _)| self.prefetch(key)));
            let places = places.iter().flatten();
            for ((decision, (_, plan, cost)), &place) in
                decisions.iter_mut().zip(requests).zip(places)
            {
                self.scale(plan);
                decision.set(plan, now, self.decide(place, plan, *cost, units), 0);
            }
        }
    }

    /// Charges as many of `cells` cells as the key's bucket has now, as
    /// [`BucketTable::take_up_to`] does, and panics as that does.
    ///
    /// [`BucketTable::take_up_to`]: crate::BucketTable
    pub fn take_up_to<K: Hash + ?Sized>(
        &mut self,
        key: &K,
        plan: &Plan,
        cells: u64,
        now: Instant,
    ) -> Decision {
        let units = self.scale(plan).units(now.as_nanos());
        let place = Place::of(key, &self.hasher);
        let part = |room| plan.part(cells, room);
        let taken = self.charge_up_to(place, plan, plan.burst(), units, part);
        let verdict = taken.unwrap_or_else(|| {
            let time = self.time(place, plan.start(units));
            Verdict::foreseen(plan.inquiry(cells.min(1), units), time)
        });
        Decision::new(plan, now, verdict, 0)
    }

    /// Answers without charging, as [`BucketTable::peek`](crate::BucketTable::peek) does, and
    /// panics as it does.
    pub fn peek<K: Hash + ?Sized>(&mut self, key: &K, plan: &Plan, now: Instant) -> Decision {
        let units = self.scale(plan).units(now.as_nanos());
        let place = Place::of(key, &self.hasher);
        Decision::new(
            plan,
            now,
            Verdict::foreseen(plan.inquiry(1, units), self.time(place, plan.start(units))),
            0,
        )
    }

    /// Gives back up to `cells` cells of a charge that was admitted and not used.
    ///
    /// [`BucketTable::refund`] says how much is given back, and what a caller must not do.
    ///
    /// # Panics
    ///
    /// Panics as [`BucketTable::refund`] does.
    ///
    /// [`BucketTable::refund`]: crate::BucketTable::refund
    pub fn refund<K: Hash + ?Sized>(
        &mut self,
        key: &K,
        decision: &Decision,
        cells: u64,
        now: Instant,
    ) {
        if let Some((refund, _)) = decision.refund(self.unit, cells, now) {
            self.change(key, |time| refund.on(time, None));
        }
    }

    /// Makes a key's bucket full, as [`BucketTable::reset`](crate::BucketTable::reset) does.
    pub fn reset<K: Hash + ?Sized>(&mut self, key: &K, now: Instant) {
        let units = self.unit.scale().units(now.as_nanos());
        self.change(key, |time| gcra::reset(time, units));
    }

    /// Moves a key's bucket to another plan as
    /// [`BucketTable::convert`](crate::BucketTable::convert) does, and panics as it does.
    pub fn convert<K: Hash + ?Sized>(
        &mut self,
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

    /// Returns the number of buckets held. The call looks at every set.
    pub fn len(&self) -> usize {
        let lines = self.sets.iter().flat_map(|set| &set.lines);
        lines.flat_map(|line| line.times).filter(|&time| time != 0).count()
    }

    /// Returns whether no bucket is held.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the number of slots.
    pub fn slots(&self) -> usize {
        self.sets.len() * SLOTS
    }

    /// Returns the counts of events since the table was made.
    pub fn counters(&self) -> Counters {
        self.overflow.counters
    }

    #[inline]
    fn decide(&mut self, place: Place, plan: &Plan, cost: u64, units: u64) -> Verdict {
        let Some(charge) = plan.charge(cost, units) else {
            return Verdict::foreseen(
                plan.inquiry(cost, units),
                self.time(place, plan.start(units)),
            );
        };
        self.charge(place, plan, &charge)
    }

    /// Charges as much as `part` makes of what the bucket has left of a window. `None` if that is
    /// nothing.
    fn charge_up_to(
        &mut self,
        place: Place,
        plan: &Plan,
        window: u64,
        now: u64,
        part: impl Fn(u64) -> u64,
    ) -> Option<Verdict> {
        let time = self.time(place, plan.start(now));
        let cost = part(gcra::room(time, now, window));
        (cost > 0).then(|| self.charge(place, plan, &Charge::new(window, cost, now)))
    }

    #[inline]
    fn charge(&mut self, place: Place, plan: &Plan, charge: &Charge) -> Verdict {
        match self.set(place).and_then(|set| set.find(place)) {
            Some(time) => match charge.on(*time) {
                Some(after) => {
                    *time = after;
                    Verdict::admitted(after, charge.cost())
                }
                None => Verdict::denied(*time, charge),
            },
            None => self.decide_new(place, plan, charge),
        }
    }

    #[cold]
    #[inline(never)]
    fn decide_new(&mut self, place: Place, plan: &Plan, charge: &Charge) -> Verdict {
        let start = plan.start(charge.now());
        let before = self.overflow.fresh(place.fingerprint).max(start);
        let after = charge.on(before);
        // A bucket that starts partly empty fills from now on, whatever it answers.
        if after.is_none() && start == 0 {
            return match self.overflow.policy {
                // This happens only at the end of time.
                OnFull::Deny | OnFull::Admit => Verdict::denied(0, charge),
                OnFull::Shared => self.overflow.answer(place, plan, charge, u64::MAX),
            };
        }
        let drained = charge.now().saturating_sub(self.grace);
        let index = place.set(self.sets.len());
        let mut reclaimed = 0;
        let room = match self.sets.get_mut(index) {
            Some(set) => set
                .make_room(place, drained, &self.overflow, &mut reclaimed)
                .map(|slot| (slot, set)),
            None => Err(u64::MAX),
        };
        let counters = &mut self.overflow.counters;
        counters.reclaimed = counters.reclaimed.wrapping_add(reclaimed);
        match room {
            Ok(((line, index), set)) => {
                let line = &mut set.lines[line];
                line.fingerprints[index] = place.fingerprint;
                line.times[index] = after.unwrap_or(before);
                match after {
                    Some(after) => Verdict::admitted(after, charge.cost()),
                    None => Verdict::denied(before, charge),
                }
            }
            Err(earliest) => {
                let ready = earliest.saturating_add(self.grace);
                self.overflow.answer(place, plan, charge, ready)
            }
        }
    }

    /// Returns the time of the key's bucket, or the time with which it would start if there is
    /// none.
    fn time(&mut self, place: Place, start: u64) -> u64 {
        let found = self.set(place).and_then(|set| set.find(place)).map(|time| *time);
        found.unwrap_or_else(|| self.overflow.fresh(place.fingerprint).max(start))
    }

    fn change<K: Hash + ?Sized>(&mut self, key: &K, f: impl Fn(u64) -> Option<u64>) {
        let place = Place::of(key, &self.hasher);
        if let Some(time) = self.set(place).and_then(|set| set.find(place)) {
            *time = f(*time).unwrap_or(*time);
        }
    }

    #[inline]
    fn set(&mut self, place: Place) -> Option<&mut LocalSet> {
        let index = place.set(self.sets.len());
        self.sets.get_mut(index)
    }

    #[inline]
    fn scale(&self, plan: &Plan) -> Scale {
        self.unit.scale_of(plan.scale())
    }
}

#[cfg(feature = "alloc")]
impl<S: BuildHasher> LocalBucketTable<alloc::boxed::Box<[LocalSet]>, S> {
    /// Creates a table on the heap for `keys` keys at a time, in the unit that suits `quota`. It is
    /// sized as by [`BucketTable::boxed`](crate::BucketTable::boxed), and fails as that does.
    pub fn boxed(quota: Quota, keys: usize, hasher: S) -> Result<Self, QuotaError> {
        let unit = Unit::for_quota(quota)?;
        let sets = super::boxed::sets(keys, LocalSet::for_keys(keys), LocalSet::new)?;
        Ok(Self::over(sets, unit, hasher))
    }
}

/// A sweep over a [`LocalBucketTable`]. It holds the position alone, because the table has one
/// owner.
///
/// ```
/// use tidegate_core::{Budget, Instant, LocalBucketTable, LocalSweep, Quota, SeededState};
///
/// let quota = Quota::per_second(1)?;
/// let mut table = LocalBucketTable::boxed(quota, 100, SeededState::new(0x5eed))?;
/// let plan = table.plan(quota)?;
/// assert!(table.check(&7, &plan, Instant::from_secs(1)).is_admitted());
///
/// let mut sweep = LocalSweep::default();
/// let swept = sweep.step(&mut table, Instant::from_secs(2), Budget::entries(1_000));
/// assert!(swept.wrapped);
/// assert_eq!((swept.removed, table.len()), (1, 0));
/// # Ok::<(), tidegate_core::QuotaError>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct LocalSweep {
    cursor: usize,
}

impl LocalSweep {
    /// Visits the next `budget` slots of the table, at most to its end, and gives up the buckets
    /// that equal fresh ones.
    pub fn step<M, S>(
        &mut self,
        table: &mut LocalBucketTable<M, S>,
        now: Instant,
        budget: Budget,
    ) -> Swept
    where
        M: Deref<Target = [LocalSet]> + DerefMut,
        S: BuildHasher,
    {
        let units = table.unit.scale().units(now.as_nanos());
        let drained = units.saturating_sub(table.grace);
        let slots = table.slots();
        let visit = budget.visit(&mut self.cursor, slots);
        let mut removed = 0;
        let portion = Portion::of(visit.clone(), SLOTS);
        for (set, slots) in portion.parts() {
            removed += table.sets[set].reclaim(slots, drained, &table.overflow);
        }
        for set in &mut table.sets[portion.whole] {
            if !set.is_quiet(drained) {
                removed += set.reclaim(0..SLOTS, drained, &table.overflow);
            }
        }
        Swept { visited: visit.len(), removed, freed: 0, wrapped: visit.end == slots }
    }
}
