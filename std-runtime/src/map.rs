//! A map for servers: the engine's map, with its guards and its housekeeping.

use std::borrow::Borrow;
use std::fmt;
use std::hash::Hash;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::sync::Arc;
use std::time::Duration;

use tidegate_core::map::{InsertError, Iter, MapPass};
use tidegate_core::reclaim::Pinned;
use tidegate_core::{Instant, MapError, SeededState, Worker};

use crate::collected::Collected;
use crate::config::ConfigError;
use crate::housekeeping::{Housekeeper, Kept};
use crate::panics::Foreign;
use crate::pin::{domain, pin, with_worker};
use crate::random_state;
use crate::runtime::{Runtime, Schedule};

/// The engine's map in a [`Map`].
type Engine<K, V> = tidegate_core::Map<K, V, SeededState>;

/// Maps keys to values, concurrently and without locks.
///
/// A clone is a handle of the same map. It can be stored in a `static`, in a server's state or in a task. Calls of
/// the map return clones of values; [`pin`](Self::pin) gives references to them.
///
/// ```
/// use tidegate::Map;
///
/// let map = Map::new();
/// map.insert("key", 7);
/// assert_eq!(map.get("key"), Some(7));
/// assert_eq!(map.pin().get("key"), Some(&7));
/// ```
pub struct Map<K, V>
where
    K: Send + 'static,
    V: Send + 'static,
{
    engine: Arc<Collected<Engine<K, V>>>,
    /// Ends the housekeeping with the last handle.
    _kept: Option<Arc<Kept>>,
}

/// Builds a [`Map`] that is swept: see [`Map::builder`].
#[must_use = "a builder does nothing until it builds"]
pub struct MapBuilder<K, V> {
    name: Option<String>,
    sweep: Option<(Duration, Stale<K, V>)>,
    housekeeper: Housekeeper,
}

type Stale<K, V> = Foreign<Box<dyn FnMut(&K, &V) -> bool + Send>>;

impl<K, V> Map<K, V>
where
    K: Hash + Eq + Send + Sync + 'static,
    V: Send + Sync + 'static,
{
    /// Creates an empty map.
    ///
    /// # Panics
    ///
    /// If there is no memory.
    pub fn new() -> Self {
        let engine = Engine::with(domain(), random_state());
        Self { engine: Arc::new(Collected::new(engine)), _kept: None }
    }

    /// Creates an empty map that takes `capacity` entries before its table grows. The table never
    /// becomes smaller than that.
    ///
    /// ```
    /// use tidegate::Map;
    ///
    /// let map = Map::with_capacity(10_000);
    /// map.insert("key", 7);
    /// assert_eq!(map.get("key"), Some(7));
    /// ```
    ///
    /// # Panics
    ///
    /// If there is no memory, or `capacity` is above 1.6 billion.
    pub fn with_capacity(capacity: usize) -> Self {
        let engine = Engine::with_capacity(domain(), random_state(), capacity);
        Self { engine: Arc::new(Collected::new(engine)), _kept: None }
    }

    /// Makes the table large enough for `additional` entries beside those that are there, and keeps it as large. The
    /// call moves all entries, while other threads use the map.
    ///
    /// ```
    /// use tidegate::Map;
    ///
    /// let map: Map<u64, u64> = Map::new();
    /// map.reserve(10_000)?;
    /// # Ok::<(), tidegate::MapError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// If there is no memory, or there would be more than 1.6 billion entries. No entry is lost.
    pub fn reserve(&self, additional: usize) -> Result<(), MapError> {
        self.engine.reserve(additional, &pin())
    }

    /// Returns a builder of a map from which a thread of the process removes stale entries.
    ///
    /// ```
    /// use std::time::{Duration, Instant};
    /// use tidegate::Map;
    ///
    /// let minute = Duration::from_secs(60);
    /// let sessions = Map::builder()
    ///     .sweep(minute, move |_user: &u64, seen: &Instant| seen.elapsed() > minute)
    ///     .build()?;
    /// sessions.insert(7, Instant::now());
    /// # Ok::<(), tidegate::ConfigError>(())
    /// ```
    pub fn builder() -> MapBuilder<K, V> {
        MapBuilder { name: None, sweep: None, housekeeper: Housekeeper::default() }
    }

    /// Pins this thread, and returns a view of the map whose calls return references. Entries that are removed meanwhile
    /// stay in memory: do not keep the view for long, and not across an `await`.
    pub fn pin(&self) -> PinnedMap<'_, K, V> {
        PinnedMap { engine: &self.engine, guard: pin() }
    }

    /// Returns whether there is an entry of `key`.
    pub fn contains_key<Q>(&self, key: &Q) -> bool
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.engine.contains_key(key, &pin())
    }

    /// Returns a clone of the value of `key`.
    #[inline]
    pub fn get<Q>(&self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
        V: Clone,
    {
        self.engine.get(key, &pin()).cloned()
    }

    /// Inserts a value, and returns a clone of the one it replaces.
    ///
    /// # Panics
    ///
    /// If there is no memory: [`try_insert`](Self::try_insert) returns that as an error.
    pub fn insert(&self, key: K, value: V) -> Option<V>
    where
        V: Clone,
    {
        match self.try_insert(key, value) {
            Ok(replaced) => replaced,
            Err(rejected) => panic!("map: {}", rejected.error),
        }
    }

    /// Inserts a value, and returns a clone of the one it replaces.
    ///
    /// # Errors
    ///
    /// If there is no memory, with key and value handed back.
    pub fn try_insert(&self, key: K, value: V) -> Result<Option<V>, InsertError<(K, V)>>
    where
        V: Clone,
    {
        self.engine.insert(key, value, &pin()).map(Option::<&V>::cloned)
    }

    /// Returns a clone of the value of `key`, after inserting what `make` returns if there is none. If another caller
    /// inserts a value meanwhile, that value is returned, and the made one is dropped.
    ///
    /// # Panics
    ///
    /// If there is no memory.
    pub fn get_or_insert_with(&self, key: K, make: impl FnOnce() -> V) -> V
    where
        V: Clone,
    {
        match self.engine.get_or_insert_with(key, make, &pin()) {
            Ok(value) => value.clone(),
            Err(rejected) => panic!("map: {}", rejected.error),
        }
    }

    /// Replaces the value of `key` by what `change` returns for it, and returns a clone of the new value; `None` if there
    /// is no value. `change` is called again if another caller has changed the value meanwhile.
    ///
    /// # Panics
    ///
    /// If there is no memory.
    pub fn update<Q>(&self, key: &Q, change: impl FnMut(&V) -> V) -> Option<V>
    where
        K: Borrow<Q> + Clone,
        Q: Hash + Eq + ?Sized,
        V: Clone,
    {
        enough(self.engine.update(key, change, &pin()).map(Option::<&V>::cloned))
    }

    /// Removes the entry of `key`, and returns a clone of its value.
    ///
    /// # Panics
    ///
    /// If there is no memory: an entry that shares its bucket with others leaves a smaller one behind.
    pub fn remove<Q>(&self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
        V: Clone,
    {
        enough(self.engine.remove(key, &pin()).map(Option::<&V>::cloned))
    }

    /// Removes every entry for which `keep` returns false. Looks at the whole table, in steps. Entries that are inserted
    /// meanwhile may be passed over.
    pub fn retain(&self, mut keep: impl FnMut(&K, &V) -> bool) {
        let stale = |key: &K, value: &V, _| !keep(key, value);
        let mut pass = MapPass::new(stale);
        let mut step = |worker: &mut Worker| {
            pass.step(&self.engine, worker, Instant::ORIGIN, tidegate_core::Budget::entries(4_096))
        };
        with_worker(|worker| while !step(worker).wrapped {});
    }

    /// Returns clones of the entries, in no order. Looks at the whole table; [`pin`](Self::pin) gives an iterator
    /// over references.
    pub fn iter(&self) -> std::vec::IntoIter<(K, V)>
    where
        K: Clone,
        V: Clone,
    {
        let guard = pin();
        let entries: Vec<_> =
            self.engine.iter(&guard).map(|(key, value)| (key.clone(), value.clone())).collect();
        entries.into_iter()
    }
}

fn enough<T>(result: Result<T, MapError>) -> T {
    result.unwrap_or_else(|error| panic!("map: {error}"))
}

impl<K, V> Map<K, V>
where
    K: Send + 'static,
    V: Send + 'static,
{
    /// Returns the number of entries, approximately while other threads change it.
    pub fn len(&self) -> usize {
        self.engine.len()
    }

    /// Returns whether the map has no entries.
    pub fn is_empty(&self) -> bool {
        self.engine.is_empty()
    }

    /// Returns the engine's map, whose calls take the guard as an argument.
    pub fn lockfree(&self) -> &Engine<K, V> {
        &self.engine
    }
}

/// Reads and changes a [`Map`] under a guard, and returns references: see [`Map::pin`].
pub struct PinnedMap<'m, K, V>
where
    K: Send + 'static,
    V: Send + 'static,
{
    engine: &'m Engine<K, V>,
    guard: Pinned<'static>,
}

impl<K, V> PinnedMap<'_, K, V>
where
    K: Hash + Eq + Send + Sync + 'static,
    V: Send + Sync + 'static,
{
    /// Returns the value of `key`.
    pub fn get<Q>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.engine.get(key, &self.guard)
    }

    /// Inserts a value, and returns the one it replaces.
    ///
    /// # Errors
    ///
    /// If there is no memory, with key and value handed back.
    pub fn insert(&self, key: K, value: V) -> Result<Option<&V>, InsertError<(K, V)>> {
        self.engine.insert(key, value, &self.guard)
    }

    /// Removes the entry of `key`, and returns its value.
    ///
    /// # Errors
    ///
    /// If there is no memory; the entry is then still there.
    pub fn remove<Q>(&self, key: &Q) -> Result<Option<&V>, MapError>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.engine.remove(key, &self.guard)
    }

    /// Visits the entries, in no order. An entry that is in the map throughout is visited once.
    pub fn iter(&self) -> Iter<'_, K, V, SeededState> {
        self.engine.iter(&self.guard)
    }
}

impl<K, V> MapBuilder<K, V>
where
    K: Hash + Eq + Send + Sync + 'static,
    V: Send + Sync + 'static,
{
    /// Removes the entries for which `stale` returns true, every `interval`. A map has no clock: `stale` reads one if
    /// it needs the time. `stale` should not block: the thread that
    /// sweeps every structure of the process calls it. It may change the map, but if it owns a handle of the map, the map
    /// is never dropped.
    pub fn sweep(
        mut self,
        interval: Duration,
        stale: impl FnMut(&K, &V) -> bool + Send + 'static,
    ) -> Self {
        let stale = Box::new(stale) as Box<dyn FnMut(&K, &V) -> bool + Send>;
        self.sweep = Some((interval, Foreign::new(stale)));
        self
    }

    /// Gives the map a name: that of its sweep in the runtime, and its label in metrics. Maps without a name share a label.
    pub fn name(mut self, name: &str) -> Self {
        self.name = Some(name.to_owned());
        self
    }

    /// Leaves the stale entries to calls of [`retain`](Map::retain): no thread calls the function of
    /// [`sweep`](Self::sweep).
    pub fn manual(mut self) -> Self {
        self.housekeeper = Housekeeper::Manual;
        self
    }

    /// Has `runtime` remove the stale entries, in place of the process's thread.
    pub fn runtime(mut self, runtime: &Runtime) -> Self {
        self.housekeeper = Housekeeper::Given(runtime.clone());
        self
    }

    /// Builds the map.
    ///
    /// # Errors
    ///
    /// If the interval is below 100 us or above 366 days.
    ///
    /// # Panics
    ///
    /// If there is no memory.
    pub fn build(self) -> Result<Map<K, V>, ConfigError> {
        let map = Map::new();
        let Some((interval, mut stale)) = self.sweep else {
            return Ok(map);
        };
        let schedule = Schedule::every(interval)?;
        let mut pass = MapPass::new(move |key: &K, value: &V, _| stale(key, value));
        let step = move |engine: &Collected<Engine<K, V>>, worker: &mut Worker, budget| {
            pass.step(engine, worker, Instant::ORIGIN, budget)
        };
        let kept = self.housekeeper.keep("map", self.name.as_deref(), schedule, &map.engine, step);
        Ok(Map { _kept: kept, ..map })
    }
}

impl<K, V> Default for Map<K, V>
where
    K: Hash + Eq + Send + Sync + 'static,
    V: Send + Sync + 'static,
{
    fn default() -> Self {
        Self::new()
    }
}

// A panic of the caller's code leaves the map consistent.
impl<K: Send + 'static, V: Send + 'static> RefUnwindSafe for Map<K, V> {}

// A panic of the caller's code leaves the map consistent.
impl<K: Send + 'static, V: Send + 'static> UnwindSafe for Map<K, V> {}

impl<K: Send + 'static, V: Send + 'static> Clone for Map<K, V> {
    fn clone(&self) -> Self {
        Self { engine: Arc::clone(&self.engine), _kept: self._kept.clone() }
    }
}

impl<K: Send + 'static, V: Send + 'static> fmt::Debug for Map<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Map").field("len", &self.len()).finish_non_exhaustive()
    }
}

impl<K: Send + 'static, V: Send + 'static> fmt::Debug for PinnedMap<'_, K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PinnedMap").field("len", &self.engine.len()).finish_non_exhaustive()
    }
}

impl<K, V> fmt::Debug for MapBuilder<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let interval = self.sweep.as_ref().map(|(interval, _)| interval);
        f.debug_struct("MapBuilder").field("interval", &interval).finish_non_exhaustive()
    }
}
