//! Values that are kept for a while, within bounds.
//!
//! A [`Cache`] never holds more entries and bytes than its bounds, and hands out no expired entry.
//! To make room it evicts entries that are new and were not read, or were not read for long; of fewer
//! than 16 entries the oldest that was not read. [`Cache::load`] has one caller load what is missing,
//! and the others wait for it. A result is ordered against writes: a value whose load began before
//! its key was written is not stored.
//!
//! # Algorithm
//!
//! The entries are in a [`Map`]. Beside its value each has one word that says whether it is dead,
//! was read, and how many holds there are. Whatever happens to an entry is one compare-exchange of
//! that word, and the thread that kills it owns what follows. Each tier's order is kept by handles
//! that keep nothing alive, in two queues after S3-FIFO (Yang et al., SOSP 2023), whose sizes adapt
//! as those of ARC (Megiddo and Modha, FAST 2003). See [the design](crate::docs::design).

mod bounds;
mod builder;
mod cause;
mod compute;
mod counters;
mod credit;
mod entry;
mod evict;
mod garbage;
mod handle;
mod history;
mod hold;
mod insert;
mod later;
mod life;
mod load;
mod order;
mod predicates;
mod queue;
mod rules;
mod stats;
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
pub use self::compute::{Computed, Op};
pub use self::counters::{Counters, RemovedBytes};
pub use self::evict::Evicted;
pub use self::hold::{HeldEntry, OwnedHeldEntry};
pub use self::insert::{Insert, StoreError};
pub use self::load::{Ask, Asked, Load, Loading, OwnedLoading};
pub use self::predicates::PredicateError;
pub use self::stats::{LoadStats, Stats};
pub use self::sweep::{CachePass, CacheSweep};
pub use self::tier::{Tier, Tiers};
pub use self::totals::Usage;

use self::counters::{Event, Tally};
use self::entry::{Dead, Object};
use self::history::History;
use self::later::Later;
use self::order::Order;
use self::predicates::Predicates;
use self::rules::Rules;
use self::stats::LoadTally;
use self::totals::Totals;
use crate::flight::Group;
use crate::hash::SeededState;
use crate::map::{Entry, Map, MapError};
use crate::reclaim::{Domain, Guard, Limbo};
use crate::time::Instant;

/// A cache: a lock-free map whose entries have a time to live, and whose size is bounded.
///
/// # Guarantees
///
/// * [`usage`](Self::usage) is within the bounds at every instant: an entry is in the cache only
///   after room was reserved for it. After a bound was [lowered](Self::set_max_entries), it only
///   falls until it is within that.
/// * [`get`](Self::get) never hands out an expired entry, whether it was swept or not.
/// * A held entry is not evicted, unless there is no memory for its place in the order. Its bytes
///   count until it is released, whatever happens to its key.
/// * Each entry that is removed is counted once, and passed to the [listener](Builder::listener)
///   once.
///
/// # Cost
///
/// A get is that of the map. It writes nothing but one bit of an entry, three times at most since
/// the entry's last turn, and what [a time to idle](Builder::time_to_idle), [counted
/// reads](Builder::count_reads) or [predicates](Cache::invalidate_entries_if) ask for. An insertion
/// into a full cache looks at a few handles. Each eviction gives 64 second chances at most, and looks
/// at more only of entries that are dead or held; so does the choice of a place for a key that comes
/// back.
///
/// An entry takes 24 bytes beside what it takes in [the map](crate::Map), 10 in the order, or 20
/// where many entries died otherwise than by eviction, and 8 in the history, which is made when the
/// cache is full for the first time. The map's table is made for the bound of the entries, if there
/// is one. A time to idle takes 8 bytes an entry more, and so does the support of predicates.
/// Removed entries are freed by the calls that remove (see [`reclaim`](crate::reclaim)) or by a
/// [sweep](Self::sweeper). If the domain is [capped](crate::Domain::capped) and full, a removed
/// entry stays in the map, uncounted, until a sweep finds room.
///
/// # Memory
///
/// A cache's memory can grow through:
///
/// * its entries, up to its bounds;
/// * expired entries, within the same bounds, until a sweep or an eviction removes them;
/// * held entries, which count in [`usage`](Self::usage);
/// * loads in progress: one entry for each, and its waiters;
/// * garbage, up to the domain's [allowance](crate::reclaim::Builder::allowance) and what [guards
///   hold back](crate::reclaim#garbage-is-bounded). Without a weigher a value counts as one byte,
///   there as well.
///
/// # Panics
///
/// Every call panics if the guard is of another domain. A panic of `Hash`, `Eq`, `Clone` or a
/// closure leaves the cache whole, and what it was about to insert out of it. A load that it leaves
/// ends without a result. A [listener](Builder::listener) or a waker of a load is called when all
/// else is done. In a domain that [contains](crate::reclaim::Builder::contain) panics each such
/// call is contained by itself.
///
/// # Progress
///
/// Every call is lock-free. A thread that stops in the middle of an insertion keeps the room that
/// it has made. A thread that stops in the middle of an eviction hides one entry from other
/// evictions, until the entry expires or is invalidated.
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
    /// What the owned holds share.
    totals: Arc<Totals>,
    orders: [Order; Tier::COUNT],
    history: History,
    /// The garbage of the orders' segments, and of the history.
    limbo: Limbo,
    flights: Group<K, V, E, S>,
    tally: Tally,
    loads: LoadTally,
    /// In a cache that was built for them.
    predicates: Option<Predicates<K, V>>,
    rules: Rules<K, V>,
}

/// Why a value was not kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CacheError {
    /// It weighs more than the cache may hold.
    TooHeavy,
    /// There is no room, and nothing to evict: every entry is held, or in the hands of other
    /// threads.
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
    /// Returns the value of a key if it is fresh. The entry gets another chance at its turn to be
    /// evicted.
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
        let found = found?;
        found.value.read();
        self.used(found, now);
        Some(&found.value.value)
    }

    /// Returns the value of a key if it is fresh, without marking the entry as read or counting a
    /// hit or miss.
    pub fn peek<'g, Q>(&'g self, key: &Q, now: Instant, guard: &'g Guard) -> Option<&'g V>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.map.admit(guard);
        let found = self.fresh(self.map.hash(key), key, now, guard)?;
        Some(&found.value.value)
    }

    /// Returns the entry of a key, if it is fresh.
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

    /// Returns the entry of a key if there is one that readers may have. It may have expired.
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
        let found = self.map.find_live(hash, key, Object::is_hidden, guard)?;
        (!self.is_doomed(found, guard)).then_some(found)
    }

    /// Removes a key, and returns its value if that was fresh. A load in progress is detached: the
    /// callers that already wait for it get its value, and it is not stored.
    pub fn invalidate<'g, Q>(&'g self, key: &Q, now: Instant, guard: &'g Guard) -> Option<&'g V>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.invalidate_if(key, |_| true, now, guard)
    }

    /// Removes a key if `doomed` says so of the very value that is then removed, and returns the
    /// value if it was fresh. A load in progress is detached whatever `doomed` says, because
    /// `doomed` cannot be asked about a value that is not there yet.
    pub fn invalidate_if<'g, Q>(
        &'g self,
        key: &Q,
        mut doomed: impl FnMut(&V) -> bool,
        now: Instant,
        guard: &'g Guard,
    ) -> Option<&'g V>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.map.admit(guard);
        // First: a leader that has stored its value and does not see this has stored it before, and
        // the value is found below.
        self.flights.detach(key, guard);
        let cause = RemovalCause::Explicit;
        let (hash, doomed) = (self.map.hash(key), |object: &Object<V>| doomed(&object.value));
        let (entry, seen) = self.kill(hash, key, doomed, cause, &mut None, now, guard)?;
        let seen = seen && entry.value.is_fresh(now) && !self.is_doomed(entry, guard);
        seen.then_some(&entry.value.value)
    }

    /// Removes the entry of a key, fresh or not, and returns whether readers could have it until
    /// then.
    #[expect(clippy::too_many_arguments, reason = "what a removal is about, and nothing else")]
    fn kill<'g, Q>(
        &'g self,
        hash: usize,
        key: &Q,
        mut doomed: impl FnMut(&Object<V>) -> bool,
        cause: RemovalCause,
        later: &mut Later<'g, K, V>,
        now: Instant,
        guard: &'g Guard,
    ) -> Option<(&'g Entry<K, Object<V>>, bool)>
    where
        K: Borrow<Q>,
        Q: Eq + ?Sized,
    {
        loop {
            let entry = self.map.find_live(hash, key, Object::is_dead, guard)?;
            if !doomed(&entry.value) {
                return None;
            }
            if let Some(seen) = self.remove(hash, entry, cause, later, now, guard) {
                return Some((entry, seen));
            }
            // The entry is dead by now: another may have taken its place.
        }
    }

    /// Removes this very entry, and returns whether readers could have it until then. Returns
    /// `None` if another thread has removed it.
    fn remove<'g>(
        &'g self,
        hash: usize,
        entry: &'g Entry<K, Object<V>>,
        cause: RemovalCause,
        later: &mut Later<'g, K, V>,
        now: Instant,
        guard: &'g Guard,
    ) -> Option<bool> {
        // Out of the map first, and dead then: a thread that [computes](Self::compute) a value from
        // this one puts it in this one's place, and of the two changes of the bucket one succeeds.
        // Without memory for the change the entry dies in its place, and is unlinked later.
        if self.map.remove_entry(hash, entry, guard) == Ok(false) {
            return None;
        }
        let (dead, seen) = entry.value.kill_seen()?;
        let is_past = entry.value.is_past(now, self.rules.stale());
        self.release(&entry.value, dead);
        let cause = if is_past { RemovalCause::Expired } else { cause };
        self.tell(hash, entry, cause, later);
        Some(seen)
    }

    /// Removes every entry, and returns how many of the values were fresh. Every load in progress
    /// is detached, as by [`invalidate`](Self::invalidate). This does not happen at one moment:
    /// entries that are inserted and loads that begin meanwhile may be removed or not. The call
    /// looks at the whole table.
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

    /// Iterates over the fresh entries, as [`Map::iter`] visits them, without marking them as read.
    pub fn iter<'g>(
        &'g self,
        now: Instant,
        guard: &'g Guard,
    ) -> impl Iterator<Item = (&'g K, &'g V)> {
        let mut entries = self.map.iter(guard);
        let is_fresh = move |entry: &&Entry<K, Object<V>>| {
            let object = &entry.value;
            object.is_fresh(now) && !object.is_hidden() && !self.is_doomed(entry, guard)
        };
        let fresh = core::iter::from_fn(move || entries.next_entry()).filter(is_fresh);
        fresh.map(|entry| (&entry.key, &entry.value.value))
    }

    /// Takes a dead entry out of the map. Without memory for that, it is left to the next insertion
    /// of its key, or to a sweep.
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
    /// Returns the domain whose guards the calls take.
    pub fn domain(&self) -> &Domain {
        self.map.domain()
    }

    /// Returns how many entries there are, and of how many bytes. These are fresh entries, expired
    /// ones that were not swept, and removed ones that are still held. They are never more than the
    /// bounds.
    pub fn usage(&self) -> Usage {
        self.totals.usage()
    }

    /// Returns the part of [`usage`](Self::usage) that is a tier's.
    pub fn tier_usage(&self, tier: Tier) -> Usage {
        self.totals.of(tier)
    }

    /// Returns how many loads are in progress.
    pub fn loading(&self) -> usize {
        self.flights.in_flight()
    }

    /// Returns the counts of events since the cache was made.
    pub fn counters(&self) -> Counters {
        self.tally.counters()
    }

    /// Returns what the cache has done since it was made, and how full it is, as one snapshot.
    ///
    /// ```
    /// use core::time::Duration;
    /// use tidegate_core::cache::Load;
    /// use tidegate_core::flight::Caller;
    /// use tidegate_core::{Cache, Domain, Instant, SeededState};
    ///
    /// let domain = Domain::new();
    /// let pages = Cache::builder(&domain, SeededState::new(0x5eed)).build::<String>()?;
    /// let (mut worker, now) = (domain.worker(), Instant::ORIGIN);
    /// let guard = worker.quiescent(now);
    /// if let Load::Lead(loading) = pages.load("home", Caller(1), now, guard)? {
    ///     _ = loading.complete(200, now + Duration::from_millis(30), guard);
    /// }
    /// let stats = pages.stats();
    /// assert_eq!((stats.counters.misses, stats.loads.succeeded), (1, 1));
    /// assert_eq!(stats.loads.longest, Duration::from_millis(30));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn stats(&self) -> Stats {
        Stats {
            counters: self.counters(),
            removed_bytes: self.tally.removed_bytes(),
            loads: self.loads.stats(),
            loading: self.loading() as u64,
            usage: self.usage(),
            bounds: self.bounds(),
        }
    }

    /// Gives back what was reserved for an entry, if that is up to the thread that killed it.
    fn release(&self, object: &Object<V>, dead: Dead) {
        if dead == Dead::Unheld {
            self.totals.give_up(object.tier(), object.weight());
        }
    }

    /// Counts the removal of an entry that was killed, and calls the listener. This comes last: the
    /// listener may panic, and in a domain that does not contain panics the panic leaves the call.
    fn report(&self, hash: usize, key: &K, object: &Object<V>, cause: RemovalCause) {
        self.tally.count_removal(hash, cause, object.weight());
        self.show(key, object, cause);
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
