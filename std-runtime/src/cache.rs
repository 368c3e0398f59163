//! A cache for servers: the engine's cache with its clock, its loads and its housekeeping inside.

mod builder;
mod entry;
mod life;
mod load;
#[cfg(feature = "metrics")]
mod observe;
mod refresh;

use std::any::Any;
use std::borrow::Borrow;
use std::fmt;
use std::hash::Hash;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::sync::Arc;
use std::time::Duration;

use tidegate_core::cache::{CachePass, Counters, Insert, PredicateError, Stats, StoreError, Usage};
use tidegate_core::{Budget, Clock, RemovalCause, SeededState, Swept, Worker};
#[cfg(target_os = "linux")]
use tidegate_core::{Guard, Tiers, cache::Evicted};

pub use self::builder::CacheBuilder;
pub use self::entry::{CompResult, Entry, EntrySelector};
pub use tidegate_core::cache::OwnedHeldEntry;

use crate::clock::OwnClock;
use crate::collected::Collected;
use crate::housekeeping::Kept;
use crate::load::LoadError;
use crate::panics::{Foreign, contained};
use crate::pin::{collect, pin, with_worker};

/// Holds the error of a failed load, of any type, for the callers that wait for it.
#[derive(Clone)]
pub struct Failure(Arc<dyn Any + Send + Sync>);

/// The engine's cache in a [`Cache`].
pub(crate) type Loads<K, V> = tidegate_core::Cache<K, V, LoadError<Failure>, SeededState>;

/// Caches values, with a time to live and within bounds, and has one caller at a time load a value.
///
/// A clone is a handle of the same cache. It can be stored in a `static`, in a server's state or in a task.
/// [`get`](Self::get) returns a clone of the value, so anything heavy belongs in an `Arc`.
///
/// Reading, inserting and removing take no lock, except that the first call of a thread takes one for a moment. Loads
/// lock their own bookkeeping, and a caller that waits for another caller's load sleeps until that ends.
///
/// An expired value is never returned, and the cache never holds more than its capacity. Only after the capacity was
/// [lowered](Self::set_max_capacity) it does, and then shrinks until it is within it. A thread of the process frees
/// expired entries. The thread starts with the first cache and ends with the last.
///
/// Names, arguments and results are those of `moka::sync::Cache` where the meaning is the same.
///
/// ```
/// use std::time::Duration;
/// use tidegate::Cache;
///
/// let cache = Cache::builder().max_capacity(10_000).time_to_live(Duration::from_secs(60)).build();
/// cache.insert("key", 7);
/// assert_eq!(cache.get("key"), Some(7));
/// ```
pub struct Cache<K, V>
where
    K: Send + 'static,
    V: Send + Sync + 'static,
{
    shared: Arc<Collected<Shared<K, V>>>,
    /// Ends the housekeeping with the last handle.
    _kept: Option<Arc<Kept>>,
}

struct Shared<K, V>
where
    K: Send + 'static,
    V: Send + Sync + 'static,
{
    /// Shared with the loads that run elsewhere.
    engine: Arc<Loads<K, V>>,
    /// Receives the values that `insert` does not keep. The engine has it, too, for what it removes.
    listener: Option<Listener<K, V>>,
    clock: OwnClock,
    is_weighed: bool,
    name: Option<String>,
    policy: Policy,
    #[cfg(feature = "metrics")]
    reporter: observe::Reporter,
}

/// Receives each entry that is removed, and why.
type Listener<K, V> = Arc<Foreign<Box<dyn Fn(Arc<K>, V, RemovalCause) + Send + Sync>>>;

/// Shows the bounds of a [`Cache`]: see [`Cache::policy`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    max_capacity: Option<u64>,
    time_to_live: Option<Duration>,
    time_to_idle: Option<Duration>,
}

impl Policy {
    /// Returns the maximum of the entries, or of their weight if the cache has a weigher; `None` if it is unbounded.
    pub fn max_capacity(&self) -> Option<u64> {
        self.max_capacity
    }

    /// Returns the time to live of a value; `None` if values do not expire.
    pub fn time_to_live(&self) -> Option<Duration> {
        self.time_to_live
    }

    /// Returns the time after which an unread value expires; `None` if values stay unread.
    pub fn time_to_idle(&self) -> Option<Duration> {
        self.time_to_idle
    }
}

impl<K, V> Cache<K, V>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    /// Creates a cache of up to `max_capacity` entries, which do not expire.
    ///
    /// # Panics
    ///
    /// Panics as [`CacheBuilder::build`] does.
    pub fn new(max_capacity: u64) -> Self {
        Self::builder().max_capacity(max_capacity).build()
    }
}

impl<K, V> Cache<K, V>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    /// Returns a clone of the value of `key`, if there is one that has not expired.
    // This is a read of the clock, a pin and the engine's call. Only the engine's call is not inlined.
    #[inline(always)]
    pub fn get<Q>(&self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let Shared { engine, clock, .. } = &**self.shared;
        engine.get(key, clock.now(), &pin()).cloned()
    }

    /// Inserts a value, in place of the value of `key` if there is one. Evicts entries to make room. A load of the
    /// key that is in progress is not stored.
    ///
    /// A value is refused if it weighs more than the whole cache, finds every other entry held, or finds no memory. The
    /// [listener](CacheBuilder::eviction_listener) gets such a value with [`RemovalCause::Size`], and the old value is
    /// removed. [`try_insert`](Self::try_insert) returns the value instead.
    pub fn insert(&self, key: K, value: V) {
        if let Err(StoreError { key, value, .. }) = self.try_insert(key, value) {
            self.refused(key, value);
        }
    }

    /// Passes a value that is not kept to the listener.
    fn refused(&self, key: K, value: V) {
        if let Some(listener) = &self.shared.listener {
            contained(|| listener(Arc::new(key), value, RemovalCause::Size));
        }
    }

    /// Inserts a value as [`insert`](Self::insert) does.
    ///
    /// # Errors
    ///
    /// If the value is refused: returns it with its key, and says why. The listener does not get it.
    pub fn try_insert(&self, key: K, value: V) -> Result<(), StoreError<K, V>> {
        self.insert_with(key, value, Insert::new())
    }

    /// Inserts a value as [`insert`](Self::insert) does, with a time to live, a tier or a weight of its own.
    ///
    /// # Errors
    ///
    /// Fails as [`try_insert`](Self::try_insert) does.
    ///
    /// ```
    /// use std::time::Duration;
    /// use tidegate::Cache;
    /// use tidegate::lockfree::cache::Insert;
    ///
    /// let cache = Cache::new(100);
    /// let short = Insert::new().time_to_live(Duration::from_secs(5));
    /// cache.insert_with("not there", None::<u32>, short)?;
    /// # Ok::<(), tidegate::lockfree::cache::StoreError<&str, Option<u32>>>(())
    /// ```
    pub fn insert_with(&self, key: K, value: V, insert: Insert) -> Result<(), StoreError<K, V>> {
        let now = self.shared.clock.now();
        self.shared.engine.insert_with(key, value, insert, now, &pin()).map(|_| ())
    }

    /// Removes the value of `key`. A load of the key that is in progress is not stored.
    pub fn invalidate<Q>(&self, key: &Q)
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let now = self.shared.clock.now();
        self.shared.engine.invalidate(key, now, &pin());
    }

    /// Removes the value of `key` as [`invalidate`](Self::invalidate) does, and returns a clone of it if it had not
    /// expired.
    pub fn remove<Q>(&self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let now = self.shared.clock.now();
        self.shared.engine.invalidate(key, now, &pin()).cloned()
    }

    /// Removes every value. No load that is in progress is stored. Looks at the whole table.
    pub fn invalidate_all(&self) {
        let now = self.shared.clock.now();
        self.shared.engine.invalidate_all(now, &pin());
    }

    /// Removes every value for which `predicate` returns true and that was made before the call. The call looks at no
    /// entry: a read asks the predicate and finds nothing if it matches, and the thread of the process removes what
    /// matches at its next run and then drops the predicate. [`run_pending_tasks`](Self::run_pending_tasks) does so at
    /// once. Until then the removed values count in [`entry_count`](Self::entry_count).
    ///
    /// A value of a load in progress is not stored if the predicate matches it. A predicate that panics matches. It should
    /// return the same each time.
    ///
    /// The cache must be built with
    /// [`support_invalidation_closures`](CacheBuilder::support_invalidation_closures). [`retain`](Self::retain) needs no
    /// support, and looks at every entry.
    ///
    /// ```
    /// use tidegate::Cache;
    ///
    /// let cache = Cache::builder().max_capacity(100).support_invalidation_closures().build();
    /// cache.insert("a page", 200);
    /// cache.insert("an error", 503);
    /// cache.invalidate_entries_if(|_, status| *status >= 500)?;
    /// assert!(cache.contains_key("a page") && !cache.contains_key("an error"));
    /// # Ok::<(), tidegate::lockfree::cache::PredicateError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Fails if the cache was built without the support, if sixteen predicates wait for a run, or without memory.
    pub fn invalidate_entries_if(
        &self,
        predicate: impl Fn(&K, &V) -> bool + Send + Sync + 'static,
    ) -> Result<(), PredicateError> {
        self.shared.engine.invalidate_entries_if(predicate, &pin())
    }

    /// Removes every value for which `keep` returns false, and returns how many. Looks at the whole table, on this thread.
    ///
    /// A load of such a key that is in progress is not stored. A value that another caller inserts meanwhile may stay.
    /// `keep` may be called again for a key whose value another caller replaces meanwhile.
    ///
    /// ```
    /// use tidegate::Cache;
    ///
    /// let cache = Cache::new(100);
    /// cache.insert("a page", 200);
    /// cache.insert("an error", 503);
    /// assert_eq!(cache.retain(|_, status| *status < 500), 1);
    /// assert!(cache.contains_key("a page") && !cache.contains_key("an error"));
    /// ```
    pub fn retain(&self, mut keep: impl FnMut(&K, &V) -> bool) -> u64 {
        let (now, guard) = (self.shared.clock.now(), pin());
        let engine = &self.shared.engine;
        let mut removed = 0;
        for (key, value) in engine.iter(now, &guard) {
            // Asked before: `invalidate_if` detaches the load of its key, whatever it is answered.
            if !keep(key, value) {
                let is_doomed = |value: &V| !keep(key, value);
                removed += u64::from(engine.invalidate_if(key, is_doomed, now, &guard).is_some());
            }
        }
        removed
    }

    /// Keeps the entry of `key` in memory until the returned hold is dropped, if its value has not expired.
    ///
    /// A hold borrows nothing: it can be kept across an `await` and sent to another thread, and it outlives the cache. A
    /// value that owns a hold of its own entry, directly or through the values of other held entries, is never dropped.
    ///
    /// ```
    /// use tidegate::Cache;
    ///
    /// let cache = Cache::new(100);
    /// cache.insert("page", "a large text".to_owned());
    /// let page = cache.hold("page").expect("just inserted");
    /// cache.invalidate("page");
    /// assert_eq!(std::thread::spawn(move || page.len()).join().unwrap(), 12);
    /// ```
    pub fn hold<Q>(&self, key: &Q) -> Option<OwnedHeldEntry<K, V>>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let now = self.shared.clock.now();
        let guard = pin();
        Some(self.shared.engine.hold(key, now, &guard)?.into_owned())
    }

    /// Returns clones of the entries that have not expired, in no order. Looks at the whole table. Entries that are
    /// removed meanwhile stay in memory until the call returns.
    pub fn iter(&self) -> std::vec::IntoIter<(Arc<K>, V)> {
        let now = self.shared.clock.now();
        let guard = pin();
        let entries = self.shared.engine.iter(now, &guard);
        let entries: Vec<_> =
            entries.map(|(key, value)| (Arc::new(key.clone()), value.clone())).collect();
        entries.into_iter()
    }

    /// Frees expired entries, on this thread, and what was removed earlier if no thread still reads it. Removes what
    /// [predicates](Self::invalidate_entries_if) match, and evicts what is above a [lowered
    /// capacity](Self::set_max_capacity). Looks at the whole table.
    pub fn run_pending_tasks(&self) {
        let mut pass = CachePass::new();
        with_worker(
            |worker| while !self.shared.step(&mut pass, worker, Budget::entries(4_096)).wrapped {},
        );
        collect();
    }
}

impl<K, V> Shared<K, V>
where
    K: Hash + Eq + Send + Sync + 'static,
    V: Send + Sync + 'static,
{
    /// One step of a sweep, by the cache's own clock.
    fn step(&self, pass: &mut CachePass, worker: &mut Worker, budget: Budget) -> Swept {
        let swept = pass.step(&self.engine, worker, self.clock.now(), budget);
        #[cfg(feature = "metrics")]
        if swept.wrapped {
            self.reporter.report(&self.engine.stats());
        }
        swept
    }
}

#[cfg(feature = "metrics")]
impl<K, V> Drop for Shared<K, V>
where
    K: Send + 'static,
    V: Send + Sync + 'static,
{
    fn drop(&mut self) {
        // No entry is left.
        let mut stats = self.engine.stats();
        stats.usage = Usage::default();
        contained(|| self.reporter.report(&stats));
    }
}

#[cfg(target_os = "linux")]
impl<K, V> Cache<K, V>
where
    K: Hash + Eq + Send + Sync + 'static,
    V: Send + Sync + 'static,
{
    /// Evicts entries of about `bytes` bytes for a pool, by the cache's own clock.
    pub(crate) fn evict_bytes(&self, bytes: u64, guard: &Guard) -> Evicted {
        self.shared.engine.evict_bytes(bytes, Tiers::ALL, self.shared.clock.now(), guard)
    }
}

impl<K, V> Cache<K, V>
where
    K: Send + 'static,
    V: Send + Sync + 'static,
{
    /// Returns the name that the builder gave the cache.
    pub fn name(&self) -> Option<&str> {
        self.shared.name.as_deref()
    }

    /// Returns the bounds of the cache as they are now.
    pub fn policy(&self) -> Policy {
        let Usage { entries, bytes } = self.shared.engine.bounds();
        let max_capacity = if self.shared.is_weighed { bytes } else { entries };
        let is_bound = |&capacity: &u64| capacity != u64::MAX;
        Policy { max_capacity: Some(max_capacity).filter(is_bound), ..self.shared.policy }
    }

    /// Sets the maximum of the entries, or of their weight if the cache has a weigher, from now on.
    ///
    /// The call evicts nothing. If there is more in the cache, each insertion evicts a few entries more than it needs to,
    /// and the thread of the process the rest at its next run. [`run_pending_tasks`](Self::run_pending_tasks) evicts them
    /// at once. No insertion is refused for that.
    ///
    /// ```
    /// use tidegate::Cache;
    ///
    /// let cache = Cache::new(100);
    /// for key in 0..100 {
    ///     cache.insert(key, "value");
    /// }
    /// cache.set_max_capacity(50);
    /// cache.run_pending_tasks();
    /// assert_eq!(cache.entry_count(), 50);
    /// ```
    pub fn set_max_capacity(&self, capacity: u64) {
        let Shared { engine, is_weighed, .. } = &**self.shared;
        if *is_weighed { engine.set_max_bytes(capacity) } else { engine.set_max_entries(capacity) }
    }

    /// Returns the number of entries. Expired entries count until they are freed.
    pub fn entry_count(&self) -> u64 {
        self.usage().entries
    }

    /// Returns the weight of all entries, which is their number if the cache has no weigher.
    pub fn weighted_size(&self) -> u64 {
        let Usage { entries, bytes } = self.usage();
        if self.shared.is_weighed { bytes } else { entries }
    }

    fn usage(&self) -> Usage {
        self.shared.engine.usage()
    }

    /// Returns the counts of hits, misses, insertions and removals since the cache was built.
    pub fn counters(&self) -> Counters {
        self.shared.engine.counters()
    }

    /// Returns all figures of the cache as one snapshot: the counts, the bytes that were removed, by cause, the loads and
    /// how long they took, and how full the cache is. Gets count as hits and misses only if
    /// [reads are counted](CacheBuilder::count_reads).
    ///
    /// With the feature `metrics` the same figures are reported at the end of each run that frees expired entries, by
    /// [`run_pending_tasks`](Self::run_pending_tasks), and when the cache is dropped. Their names begin with
    /// `tidegate_cache_`, and the cache's [name](CacheBuilder::name) is their label.
    ///
    /// ```
    /// use tidegate::Cache;
    ///
    /// let cache = Cache::builder().max_capacity(100).count_reads(true).build();
    /// cache.insert("key", 7);
    /// assert_eq!((cache.get("key"), cache.get("other")), (Some(7), None));
    /// assert_eq!(cache.stats().hit_ratio(), Some(0.5));
    /// ```
    pub fn stats(&self) -> Stats {
        self.shared.engine.stats()
    }

    /// Returns the engine's cache, whose calls take the time and the guard as arguments.
    pub fn lockfree(&self) -> &Loads<K, V> {
        &self.shared.engine
    }
}

// A panic of the caller's code leaves the cache consistent.
impl<K, V> RefUnwindSafe for Cache<K, V>
where
    K: Send + 'static,
    V: Send + Sync + 'static,
{
}

// A panic of the caller's code leaves the cache consistent.
impl<K, V> UnwindSafe for Cache<K, V>
where
    K: Send + 'static,
    V: Send + Sync + 'static,
{
}

impl<K, V> Clone for Cache<K, V>
where
    K: Send + 'static,
    V: Send + Sync + 'static,
{
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared), _kept: self._kept.clone() }
    }
}

impl<K, V> IntoIterator for &Cache<K, V>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    type Item = (Arc<K>, V);
    type IntoIter = std::vec::IntoIter<(Arc<K>, V)>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl<K, V> fmt::Debug for Cache<K, V>
where
    K: Send + 'static,
    V: Send + Sync + 'static,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Usage { entries, bytes } = self.usage();
        f.debug_struct("Cache")
            .field("entries", &entries)
            .field("bytes", &bytes)
            .finish_non_exhaustive()
    }
}
