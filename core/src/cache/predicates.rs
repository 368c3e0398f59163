//! Predicates by which many entries are invalidated at once.
//!
//! Registering a predicate writes no entry. Each entry has a stamp: the number of predicates that
//! had been registered when its value was made. A predicate's number is that count before it, so
//! it applies to the entries whose stamps are not above its number. A read asks the predicates that
//! apply, and raises the stamp if none matches. A sweep asks them of every entry, and then drops
//! those that it began with.
//!
//! A predicate is put into its slot before it has a number. A thread that sees the count of a
//! number finds the slot taken, with the number in it or without; without one it leaves the stamp.

use alloc::boxed::Box;
use core::fmt;
use core::hash::{BuildHasher, Hash};

use super::entry::Object;
use super::{Cache, RemovalCause};
use crate::hash::SeededState;
use crate::map::{Cursor, Entry, InsertError, Map, MapError, NO_TAIL, Upserted};
use crate::reclaim::{Domain, Guard};
use crate::sweep::{Budget, Swept};
use crate::sync::{AtomicU64, Ordering};
use crate::time::Instant;

/// So many predicates are there at once, at most.
pub(super) const SLOTS: u32 = if cfg!(loom) { 2 } else { 16 };

/// The number of a predicate that has none yet.
const UNNUMBERED: u64 = u64::MAX;

/// Why a predicate was not registered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PredicateError {
    /// The cache was built without [`Builder::invalidation_by_predicate`][by].
    ///
    /// [by]: super::Builder::invalidation_by_predicate
    Unsupported,
    /// Sixteen predicates are registered that no sweep has applied to every entry yet.
    TooMany,
    /// There is no memory for it.
    Map(MapError),
}

impl fmt::Display for PredicateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unsupported => f.write_str("cache: built without invalidation by predicates"),
            Self::TooMany => f.write_str("cache: too many predicates are not swept yet"),
            Self::Map(error) => write!(f, "cache: {error}"),
        }
    }
}

impl core::error::Error for PredicateError {}

type Matches<K, V> = Box<dyn Fn(&K, &V) -> bool + Send + Sync>;

struct Predicate<K, V> {
    matches: Matches<K, V>,
    /// How many were registered before it, or [`UNNUMBERED`].
    number: AtomicU64,
}

/// The predicates of a cache.
pub(super) struct Predicates<K: 'static, V: 'static> {
    /// By their slots, which are their own hashes.
    slots: Map<u32, Predicate<K, V>, SeededState>,
    /// How many were registered.
    count: AtomicU64,
    /// The predicates of lower numbers that are dropped were applied to every entry.
    dropped: AtomicU64,
}

/// The predicates with which a pass of a sweep has begun.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Begun {
    /// The slots of those that had numbers.
    slots: u32,
    /// How many were registered by then.
    count: u64,
}

/// What the predicates say of an entry.
enum Verdict {
    /// One matches.
    Matches,
    /// None matches.
    Passes,
    /// None matches that has a number, and one has none yet.
    Open,
}

impl<K, V> Predicates<K, V>
where
    K: Send + Sync + 'static,
    V: Send + Sync + 'static,
{
    pub(super) fn new(domain: &Domain) -> Result<Self, MapError> {
        Ok(Self {
            slots: Map::try_with(domain, SeededState::new(0))?,
            count: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
        })
    }

    /// Returns the stamp of a value that is made now.
    pub(super) fn stamp(&self) -> u64 {
        // Relaxed, with no partner: a registration that comes before the value is counted, because
        // it happens before this load.
        self.count.load(Ordering::Relaxed)
    }

    fn register(&self, matches: Matches<K, V>, guard: &Guard) -> Result<(), PredicateError> {
        let mut predicate = Predicate { matches, number: AtomicU64::new(UNNUMBERED) };
        for slot in 0..SLOTS {
            let hash = slot as usize;
            let taken = |old: Option<&Predicate<K, V>>, _: &mut Predicate<K, V>| old.map(drop);
            match self.slots.upsert(hash, slot, predicate, NO_TAIL, guard, taken) {
                Ok(Upserted::Inserted(entry, _)) => {
                    // Release: a thread that sees the count finds the slot taken. Acquire: a value
                    // that was stored by then is found by the sweeps that begin with this number.
                    let number = self.count.fetch_add(1, Ordering::AcqRel);
                    // Relaxed, with no partner: a number alone. The predicate was published with
                    // its slot.
                    entry.value.number.store(number, Ordering::Relaxed);
                    return Ok(());
                }
                Ok(Upserted::Kept((), (_, same))) => predicate = same,
                Err(InsertError { error, .. }) => return Err(PredicateError::Map(error)),
            }
        }
        Err(PredicateError::TooMany)
    }

    fn find<'g>(&'g self, slot: u32, guard: &'g Guard) -> Option<&'g Entry<u32, Predicate<K, V>>> {
        self.slots.find(slot as usize, &slot, guard)
    }

    /// Asks the predicates that apply to a value of this stamp.
    fn ask(
        &self,
        stamp: u64,
        mut asks: impl FnMut(&Predicate<K, V>) -> bool,
        guard: &Guard,
    ) -> Verdict {
        let mut verdict = Verdict::Passes;
        for predicate in (0..SLOTS).filter_map(|slot| self.find(slot, guard)) {
            let predicate = &predicate.value;
            // Relaxed: as in `register`.
            match predicate.number.load(Ordering::Relaxed) {
                UNNUMBERED => verdict = Verdict::Open,
                number if number >= stamp && asks(predicate) => return Verdict::Matches,
                _ => {}
            }
        }
        verdict
    }

    /// Returns the predicates that a pass which begins now applies to every entry, if there are
    /// any.
    fn begin(&self, guard: &Guard) -> Option<Begun> {
        // Acquire: pairs with the Release of the registration.
        let count = self.count.load(Ordering::Acquire);
        let is_numbered = |&slot: &u32| {
            // Relaxed: as in `register`.
            let number = |it: &Entry<u32, Predicate<K, V>>| it.value.number.load(Ordering::Relaxed);
            self.find(slot, guard).is_some_and(|found| number(found) < count)
        };
        let slots = (0..SLOTS).filter(is_numbered).fold(0, |slots, slot| slots | 1 << slot);
        (slots != 0).then_some(Begun { slots, count })
    }

    /// Drops the predicates that a pass has applied to every entry. Without memory for that they
    /// stay until the next pass.
    fn end(&self, begun: Begun, guard: &Guard) {
        // Release: pairs with `is_outdated`, and comes before a slot is free.
        self.dropped.fetch_max(begun.count, Ordering::Release);
        for slot in (0..SLOTS).filter(|slot| begun.slots & 1 << slot != 0) {
            // A predicate that has taken the slot since then has a higher number.
            // Relaxed: as in `register`.
            let ended = self
                .find(slot, guard)
                .filter(|found| found.value.number.load(Ordering::Relaxed) < begun.count);
            if let Some(ended) = ended {
                _ = self.slots.remove_entry(slot as usize, ended, guard);
            }
        }
    }
}

impl<K, V, E, S> Cache<K, V, E, S>
where
    K: Hash + Eq + Send + Sync + 'static,
    V: Send + Sync + 'static,
    E: Send + Sync + 'static,
    S: BuildHasher,
{
    /// Invalidates every entry for which `predicate` returns true and whose value was made before
    /// the call. The call looks at no entry: reads ask the predicate, and sweeps ask it of every
    /// entry and then drop it.
    ///
    /// A value of a load in progress is not stored if the predicate matches it; its waiters get it.
    /// A read that finds a match answers as if there were no entry, and leaves its removal to a
    /// [sweep](Self::sweeper), an insertion or an eviction. Until then the entry counts in
    /// [`usage`](Self::usage).
    ///
    /// `predicate` should return the same each time. If it panics in a domain that
    /// [contains](crate::reclaim::Builder::contain) panics, it matches. In another domain the panic
    /// leaves the read or the sweep.
    ///
    /// The call allocates the predicate. It takes a constant time.
    ///
    /// # Errors
    ///
    /// Fails with any [`PredicateError`]: the cache was not built for this, or sixteen predicates
    /// wait for a sweep.
    ///
    /// ```
    /// use tidegate_core::{Budget, Cache, Domain, Instant, SeededState, Sweep};
    ///
    /// let domain = Domain::new();
    /// let cache: Cache<u32, &str> = Cache::builder(&domain, SeededState::new(0x5eed))
    ///     .invalidation_by_predicate(true)
    ///     .build()?;
    /// let (mut worker, now) = (domain.worker(), Instant::ORIGIN);
    /// let guard = worker.quiescent(now);
    /// cache.insert(1, "old", now, guard)?;
    /// cache.insert(2, "other", now, guard)?;
    /// cache.invalidate_entries_if(|_, value| *value == "old", guard)?;
    /// assert_eq!((cache.get(&1, now, guard), cache.get(&2, now, guard)), (None, Some(&"other")));
    /// cache.insert(1, "old", now, guard)?; // this one was made after the call
    /// assert_eq!(cache.get(&1, now, guard), Some(&"old"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn invalidate_entries_if(
        &self,
        predicate: impl Fn(&K, &V) -> bool + Send + Sync + 'static,
        guard: &Guard,
    ) -> Result<(), PredicateError> {
        self.map.admit(guard);
        let predicates = self.predicates.as_ref().ok_or(PredicateError::Unsupported)?;
        predicates.register(Box::new(predicate), guard)
    }

    /// Returns the stamp of a value that is made now.
    pub(super) fn stamp(&self) -> u64 {
        self.predicates.as_ref().map_or(0, Predicates::stamp)
    }

    /// Returns the stamp of an entry, in a cache with predicates.
    fn stamp_of<'g>(&self, entry: &'g Entry<K, Object<V>>) -> Option<&'g AtomicU64> {
        let index = self.rules.stamp_word()?;
        // SAFETY: such a cache's map was built with more than `index` words: see `Rules::words`.
        Some(unsafe { entry.tail(index) })
    }

    /// Returns whether a predicate matches the entry, so that readers may not have it.
    #[inline(always)]
    pub(super) fn is_doomed(&self, entry: &Entry<K, Object<V>>, guard: &Guard) -> bool {
        match &self.predicates {
            None => false,
            Some(predicates) => {
                matches!(self.judge(predicates, entry, guard), Verdict::Matches)
            }
        }
    }

    fn judge(
        &self,
        predicates: &Predicates<K, V>,
        entry: &Entry<K, Object<V>>,
        guard: &Guard,
    ) -> Verdict {
        let Some(word) = self.stamp_of(entry) else { return Verdict::Passes };
        // Acquire: pairs with the Release of the registration.
        let count = predicates.count.load(Ordering::Acquire);
        // Relaxed, here and below, with no partner: a stamp is raised for a value that stays, and
        // tells what was asked of it.
        let stamp = word.load(Ordering::Relaxed);
        if stamp >= count {
            return Verdict::Passes;
        }
        let asks = |predicate: &Predicate<K, V>| {
            // What panics and is contained matches.
            let mut matches = true;
            let ask = || matches = (predicate.matches)(&entry.key, &entry.value.value);
            self.domain().containment().call(ask);
            matches
        };
        let verdict = predicates.ask(stamp, asks, guard);
        // A predicate that matches may have been dropped before it was asked. Then a sweep has
        // killed the entry before that.
        if entry.value.is_dead() {
            return Verdict::Matches;
        }
        if matches!(verdict, Verdict::Passes) {
            word.fetch_max(count, Ordering::Relaxed);
        }
        verdict
    }

    /// Returns whether a loaded value that was stored is not to be shown: a predicate that was
    /// registered since its load began matches it, or might, or may have been dropped before the
    /// value was stored.
    pub(super) fn is_outdated(
        &self,
        entry: &Entry<K, Object<V>>,
        stamp: u64,
        guard: &Guard,
    ) -> bool {
        let Some(predicates) = &self.predicates else { return false };
        // A read-modify-write: either it comes before a registration, whose sweeps then find the
        // stored value, or it sees the registration. Release: pairs with the Acquire of the
        // registration. Acquire: pairs with its Release.
        if predicates.count.fetch_add(0, Ordering::AcqRel) == stamp {
            return false;
        }
        match self.judge(predicates, entry, guard) {
            // Acquire: pairs with `end`. Asked last: a predicate that was not found has been
            // counted there before it was dropped.
            Verdict::Passes => predicates.dropped.load(Ordering::Acquire) > stamp,
            Verdict::Matches | Verdict::Open => true,
        }
    }

    /// Asks the predicates of the next entries, removes those that match, and drops the predicates
    /// after the last entry. `begun` is `None` between the passes.
    pub(super) fn apply_predicates<'g>(
        &'g self,
        begun: &mut Option<Begun>,
        cursor: &mut Cursor,
        now: Instant,
        budget: Budget,
        guard: &'g Guard,
    ) -> Swept {
        let mut done = Swept::default();
        let Some(predicates) = &self.predicates else { return Swept { wrapped: true, ..done } };
        if begun.is_none() {
            *begun = predicates.begin(guard);
        }
        let Some(pass) = *begun else { return Swept { wrapped: true, ..done } };
        let visit = |entry: &'g Entry<K, Object<V>>| {
            done.visited += 1;
            if entry.value.is_dead() || !self.is_doomed(entry, guard) {
                return;
            }
            let (hash, cause) = (self.map.hash(&entry.key), RemovalCause::Explicit);
            if self.remove(hash, entry, cause, &mut None, now, guard).is_some() {
                done.removed += 1;
            }
        };
        *cursor = self.map.scan_entries(*cursor, budget, visit, guard);
        done.visited = done.visited.max(1);
        if *cursor == Cursor::START {
            predicates.end(pass, guard);
            *begun = None;
            done.wrapped = true;
        }
        done
    }
}
