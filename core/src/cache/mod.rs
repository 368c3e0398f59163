//! Values that are kept for a while, within bounds.
//!
//! A [`Cache`] holds no more entries and bytes than it was told, at every instant, and hands out none
//! that is past its time. What must go for want of room goes in the order in which it came, but for what
//! was read since it was last its turn. [`Cache::load`] has one caller load what is missing, and the
//! others wait for it. A result is ordered against writes: a value whose load began before its key was
//! written is not stored.
//!
//! # Algorithm
//!
//! The entries are in a [`Map`]; beside its value each has one word that says whether it is dead, was
//! read, and how many holds there are: whatever happens to it is one compare-exchange of that word, and who
//! kills it owns what follows. Each tier's order is kept by handles that keep nothing alive. SIEVE: Zhang
//! et al., "SIEVE is simpler than LRU" (NSDI 2024). See [the design](crate::docs::design).

mod builder;
mod cause;
mod counters;
mod credit;
mod entry;
mod evict;
mod hold;
mod insert;
mod later;
mod load;
mod order;
mod queue;
mod rules;
mod sweep;
mod tier;
mod told;
mod totals;

use alloc::sync::Arc;
use core::borrow::Borrow;
use core::convert::Infallible;
use core::fmt;
use core::hash::{BuildHasher, Hash};

pub use self::builder::Builder;
pub use self::cause::RemovalCause;
pub use self::counters::Counters;
pub use self::evict::Evicted;
pub use self::hold::{HeldEntry, OwnedHeldEntry};
pub use self::insert::{Insert, StoreError};
pub use self::load::{Ask, Asked, Load, Loading, OwnedLoading};
pub use self::sweep::{CachePass, CacheSweep};
pub use self::tier::{Tier, Tiers};
pub use self::totals::Usage;

use self::counters::{Event, Tally};
use self::entry::{Dead, Object};
use self::later::Later;
use self::order::Order;
use self::rules::Rules;
use self::totals::Totals;
use crate::flight::Group;
use crate::hash::SeededState;
use crate::map::{Entry, Map, MapError};
use crate::reclaim::{Domain, Guard, Limbo};
use crate::time::Instant;

/// A cache: a lock-free map whose entries have a time to live, and of which there are never more than it
/// was told.
///
/// # Guarantees
///
/// * [`usage`](Self::usage) is within the bounds at every instant: an entry is in the cache only after
///   room was reserved for it.
/// * What is past its time is never handed out by [`get`](Self::get), whether it was swept or not.
/// * An entry that is held is not evicted, unless there is no memory for its place in the order, and
///   its bytes count until it is released, whatever becomes of its key.
/// * Each entry that is removed is counted once, and shown to the
///   [listener](Builder::listener) once.
///
/// # Cost
///
/// A get is that of the map, and writes nothing but one bit of an entry that was not read since it was
/// last its turn to go. An insertion into a full cache looks at a few handles, 64 second chances at most,
/// and more only of what is dead or held. An entry takes 24 bytes beside what it takes in
/// [the map](crate::Map), and 10 in the order, or 20 where much has died otherwise than by eviction.
/// What is removed is freed by the calls that remove (see [`reclaim`](crate::reclaim)) or by a
/// [sweep](Self::sweeper); if the domain is [capped](crate::Domain::capped) and full, it stays in the map,
/// uncounted, until a sweep finds room.
///
/// # Memory
///
/// What can make a cache's memory grow: its entries, up to its bounds; expired entries, within the same
/// bounds, until a sweep or an eviction removes them; held entries, which count in
/// [`usage`](Self::usage); loads in progress, one entry and what waits for each; and garbage, up to the
/// domain's [allowance](crate::reclaim::Builder::allowance) and what [guards hold
/// back](crate::reclaim#garbage-is-bounded). Without a weigher a value counts as one byte, there as well.
///
/// # Panics
///
/// Every call panics if the guard is of another domain. A panic of `Hash`, `Eq`, `Clone` or a closure
/// leaves the cache whole, and what it was about to insert out of it; a load that it leaves ends without a result.
/// A [listener](Builder::listener) or a waker of a load is called when all else is done. In a domain that
/// [contains](crate::reclaim::Builder::contain) panics each such call is contained by itself.
///
/// # Progress
///
/// Lock-free. A thread that stops in the middle of an insertion keeps the room that it has made for it,
/// and in the middle of an eviction hides one entry from the others', until it expires or is
/// invalidated.
///
/// # Examples
///
/// ```
/// use core::time::Duration;
/// use tidegate_core::{Cache, Domain, Instant, SeededState};
///
/// let domain = Domain::new();
/// let cache: Cache<u32, String> = Cache::builder(&domain, SeededState::new(0x5eed))
///     .max_entries(10_000)
///     .time_to_live(Duration::from_secs(60))
///     .build()?;
/// let mut worker = domain.worker(); // one a thread
///
/// let now = Instant::from_secs(1);
/// let guard = worker.quiescent(now); // once a burst
/// cache.insert(7, "seven".to_owned(), now, guard)?;
/// assert_eq!(cache.get(&7, now, guard).map(String::as_str), Some("seven"));
/// assert_eq!(cache.get(&7, now + Duration::from_secs(60), guard), None);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Cache<K, V, E = Infallible, S = SeededState>
where
    K: Send + 'static,
    V: Send + Sync + 'static,
    E: Send + Sync + 'static,
{
    map: Map<K, Object<V>, S>,
    /// Shared with the holds that are owned.
    totals: Arc<Totals>,
    orders: [Order; Tier::COUNT],
    /// Of the orders' segments.
    limbo: Limbo,
    flights: Group<K, V, E, S>,
    tally: Tally,
    rules: Rules<K, V>,
}

/// Why a value was not kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CacheError {
    /// It weighs more than all the cache may hold.
    TooHeavy,
    /// There is no room, and nothing to evict: all of it is held, or in the hands of others.
    Full,
    /// The map refuses it.
    Map(MapError),
}

impl fmt::Display for CacheError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooHeavy => f.write_str("cache: the entry weighs more than max_bytes"),
            Self::Full => f.write_str("cache: full, and nothing can be evicted"),
            Self::Map(error) => write!(f, "cache: {error}"),
        }
    }
}

impl core::error::Error for CacheError {}

impl<K, V, E, S> Cache<K, V, E, S>
where
    K: Hash + Eq + Send + Sync + 'static,
    V: Send + Sync + 'static,
    E: Send + Sync + 'static,
    S: BuildHasher,
{
    /// The value of a key, if it is fresh. Gives it another chance when it is its turn to go.
    #[inline]
    pub fn get<'g, Q>(&'g self, key: &Q, now: Instant, guard: &'g Guard) -> Option<&'g V>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.map.admit(guard);
        let hash = self.map.hash(key);
        let found = self.fresh(hash, key, now, guard);
        if self.rules.counts_reads {
            self.tally.count(hash, if found.is_some() { Event::Hit } else { Event::Miss });
        }
        let object = &found?.value;
        object.read();
        Some(&object.value)
    }

    /// The same, leaving no trace: it gets no other chance for it, and is not counted.
    pub fn peek<'g, Q>(&'g self, key: &Q, now: Instant, guard: &'g Guard) -> Option<&'g V>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.map.admit(guard);
        let found = self.fresh(self.map.hash(key), key, now, guard)?;
        Some(&found.value.value)
    }

    /// The entry of a key, if it is fresh.
    #[inline(always)]
    fn fresh<'g, Q>(
        &'g self,
        hash: usize,
        key: &Q,
        now: Instant,
        guard: &'g Guard,
    ) -> Option<&'g Entry<K, Object<V>>>
    where
        K: Borrow<Q>,
        Q: Eq + ?Sized,
    {
        self.entry(hash, key, guard).filter(|entry| entry.value.is_fresh(now))
    }

    /// The entry of a key that readers may have, if there is one; it may have expired.
    #[inline(always)]
    fn entry<'g, Q>(
        &'g self,
        hash: usize,
        key: &Q,
        guard: &'g Guard,
    ) -> Option<&'g Entry<K, Object<V>>>
    where
        K: Borrow<Q>,
        Q: Eq + ?Sized,
    {
        self.map.find_live(hash, key, Object::is_hidden, guard)
    }

    /// Removes a key, and returns its value if that was fresh. A load that is in progress is detached:
    /// its value goes to the callers that wait for it already, and is not stored.
    pub fn invalidate<'g, Q>(&'g self, key: &Q, now: Instant, guard: &'g Guard) -> Option<&'g V>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.invalidate_if(key, |_| true, now, guard)
    }

    /// Removes a key if `doomed` says so of its value, of the very one that is then removed, and returns
    /// the value if it was fresh. A load that is in progress is detached whatever `doomed` says of the
    /// value that is there, for `doomed` cannot be asked about a value that is not.
    pub fn invalidate_if<'g, Q>(
        &'g self,
        key: &Q,
        doomed: impl FnMut(&V) -> bool,
        now: Instant,
        guard: &'g Guard,
    ) -> Option<&'g V>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.map.admit(guard);
        // First: a leader that has stored its value and does not see this has stored it before, and the
        // value is found below.
        self.flights.detach(key, guard);
        let cause = RemovalCause::Explicit;
        let hash = self.map.hash(key);
        let (object, seen) = self.kill(hash, key, doomed, cause, &mut None, now, guard)?;
        (seen && object.is_fresh(now)).then_some(&object.value)
    }

    /// Kills the entry of a key, fresh or not, and says whether readers could have it until then.
    #[expect(clippy::too_many_arguments, reason = "what a removal is about, and nothing else")]
    fn kill<'g, Q>(
        &'g self,
        hash: usize,
        key: &Q,
        mut doomed: impl FnMut(&V) -> bool,
        cause: RemovalCause,
        later: &mut Later<'g, K, V>,
        now: Instant,
        guard: &'g Guard,
    ) -> Option<(&'g Object<V>, bool)>
    where
        K: Borrow<Q>,
        Q: Eq + ?Sized,
    {
        loop {
            let entry = self.map.find_live(hash, key, Object::is_dead, guard)?;
            if !doomed(&entry.value.value) {
                return None;
            }
            if let Some((dead, seen)) = entry.value.kill_seen() {
                let is_past = entry.value.is_past(now, self.rules.stale());
                let cause = if is_past { RemovalCause::Expired } else { cause };
                self.bury(hash, entry, dead, cause, later, guard);
                return Some((&entry.value, seen));
            }
            // Dead by now: another may have taken its place.
        }
    }

    /// Removes every entry, detaches every load that is in progress as [`invalidate`](Self::invalidate)
    /// does, and returns how many of the values were fresh. Not at one moment: what is inserted, and the
    /// loads that begin, meanwhile may be removed or not. Looks at the whole table.
    pub fn invalidate_all(&self, now: Instant, guard: &Guard) -> u64 {
        self.map.admit(guard);
        // First, and not only of the keys that are there: as in `invalidate_if`.
        self.flights.detach_all(guard);
        let mut removed = 0;
        for (key, _) in self.map.iter(guard) {
            removed += u64::from(self.invalidate(key, now, guard).is_some());
        }
        removed
    }

    /// The entries that are fresh, as [`Map::iter`] visits them; leaves no trace.
    pub fn iter<'g>(
        &'g self,
        now: Instant,
        guard: &'g Guard,
    ) -> impl Iterator<Item = (&'g K, &'g V)> {
        let fresh =
            move |(_, object): &(&K, &Object<V>)| object.is_fresh(now) && !object.is_hidden();
        self.map.iter(guard).filter(fresh).map(|(key, object)| (key, &object.value))
    }

    /// Does what is left to do by the caller that has killed an entry.
    fn bury<'g>(
        &'g self,
        hash: usize,
        entry: &'g Entry<K, Object<V>>,
        dead: Dead,
        cause: RemovalCause,
        later: &mut Later<'g, K, V>,
        guard: &'g Guard,
    ) {
        self.release(&entry.value, dead);
        self.unlink(hash, entry, guard);
        self.tell(hash, entry, cause, later);
    }

    /// Takes an entry that is dead out of the map. Who cannot, for want of memory, leaves it to the next
    /// who inserts its key, or to a sweep.
    fn unlink(&self, hash: usize, entry: &Entry<K, Object<V>>, guard: &Guard) {
        _ = self.map.remove_entry(hash, entry, guard);
    }
}

impl<K, V, E, S> Cache<K, V, E, S>
where
    K: Send + 'static,
    V: Send + Sync + 'static,
    E: Send + Sync + 'static,
{
    /// The domain whose guards the calls take.
    pub fn domain(&self) -> &Domain {
        self.map.domain()
    }

    /// How many entries there are, and of how many bytes: fresh ones, those past their time that were
    /// not swept, and those removed that are still held. Never more than the bounds.
    pub fn usage(&self) -> Usage {
        self.totals.usage()
    }

    /// Of those, a tier's.
    pub fn tier_usage(&self, tier: Tier) -> Usage {
        self.totals.of(tier)
    }

    /// How many loads are under way.
    pub fn loading(&self) -> usize {
        self.flights.in_flight()
    }

    /// What has happened since the cache was made.
    pub fn counters(&self) -> Counters {
        self.tally.counters()
    }

    /// Gives back what was reserved for an entry, if that is up to whoever killed it.
    fn release(&self, object: &Object<V>, dead: Dead) {
        if dead == Dead::Unheld {
            self.totals.give_up(object.tier(), object.weight());
        }
    }

    /// Counts the removal of an entry that was killed, and tells the listener. Comes last: the listener
    /// may panic, and in a domain that does not contain panics that leaves the call.
    fn report(&self, hash: usize, key: &K, object: &Object<V>, cause: RemovalCause) {
        self.count_removal(hash, cause);
        self.show(key, object, cause);
    }

    fn count_removal(&self, hash: usize, cause: RemovalCause) {
        self.tally.count(hash, Event::Removed(cause));
    }

    /// Calls the listener, contained by itself if the domain contains panics.
    fn show(&self, key: &K, object: &Object<V>, cause: RemovalCause) {
        if let Some(listener) = &self.rules.listener {
            self.domain().containment().call(|| listener(key, &object.value, cause));
        }
    }
}

impl<K, V, E, S> fmt::Debug for Cache<K, V, E, S>
where
    K: Send + 'static,
    V: Send + Sync + 'static,
    E: Send + Sync + 'static,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cache").field("usage", &self.usage()).finish_non_exhaustive()
    }
}
