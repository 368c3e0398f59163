//! The settings of a cache.

use alloc::boxed::Box;
use alloc::sync::Arc;
use core::hash::{BuildHasher, Hash};
use core::time::Duration;

use super::counters::Tally;
use super::garbage;
use super::history::History;
use super::order::Order;
use super::predicates::Predicates;
use super::rules::Rules;
use super::stats::LoadTally;
use super::totals::Totals;
use super::{Cache, RemovalCause};
use crate::flight::Group;
use crate::map::{Map, MapError};
use crate::reclaim::{Domain, Limbo};
use crate::time::{Ttl, nanos};

/// Builds a [`Cache`]. [`Cache::builder`] creates it.
#[must_use = "a builder builds nothing until `build` is called"]
pub struct Builder<K, V, S> {
    domain: Domain,
    hasher: S,
    rules: Rules<K, V>,
}

impl<K, V> Cache<K, V>
where
    K: Send + 'static,
    V: Send + Sync + 'static,
{
    /// Creates a builder of a cache in `domain`. `hasher` hashes its keys.
    pub fn builder<S>(domain: &Domain, hasher: S) -> Builder<K, V, S> {
        Builder { domain: domain.clone(), hasher, rules: Rules::new() }
    }
}

impl<K, V, S> Builder<K, V, S> {
    /// Sets how many entries there are at most, at every instant. By default there is no bound.
    pub fn max_entries(mut self, entries: u64) -> Self {
        self.rules.max.entries = entries;
        self
    }

    /// Sets how many bytes there are at most, as the [weigher](Self::weigher) measures them, at
    /// every instant. By default there is no bound.
    ///
    /// Without a weigher an entry counts as one byte, so this bounds entries. Pressure asks for
    /// bytes, and then takes all of them.
    pub fn max_bytes(mut self, bytes: u64) -> Self {
        self.rules.max.bytes = bytes;
        self
    }

    /// Sets how many bytes an entry counts as. `weigher` is called once, when the entry is
    /// inserted. By default an entry counts as one byte.
    pub fn weigher(mut self, weigher: impl Fn(&K, &V) -> u64 + Send + Sync + 'static) -> Self {
        self.rules.weigher = Some(Box::new(weigher));
        self
    }

    /// Sets how long an entry is fresh, unless its insertion says otherwise. The default is for
    /// ever. Where the origin of the values decides when they end, pass times of a clock that
    /// counts while the machine is suspended ([`time`](crate::time)).
    pub fn time_to_live(mut self, ttl: impl Into<Ttl>) -> Self {
        self.rules.ttl = ttl.into();
        self
    }

    /// Sets how long each value is fresh by a function of key and value, in place of
    /// [`time_to_live`](Self::time_to_live). An insertion or a load that says how long its value
    /// is fresh overrides it.
    ///
    /// `ttl` is called once when a value is inserted or loaded, and again when an entry is
    /// [touched](Cache::touch). If it panics, the value is not inserted.
    ///
    /// ```
    /// use core::time::Duration;
    /// use tidegate_core::{Cache, Domain, Instant, SeededState, Ttl};
    ///
    /// let domain = Domain::new();
    /// let statuses: Cache<u32, u16> = Cache::builder(&domain, SeededState::new(0x5eed))
    ///     .expire_after(|_, &status| Duration::from_secs(if status == 200 { 60 } else { 1 }))
    ///     .build()?;
    /// let (mut worker, now) = (domain.worker(), Instant::from_secs(1));
    /// let guard = worker.quiescent(now);
    /// statuses.insert(1, 503, now, guard)?;
    /// assert_eq!(statuses.get(&1, now + Duration::from_secs(1), guard), None);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn expire_after<T: Into<Ttl>>(
        mut self,
        ttl: impl Fn(&K, &V) -> T + Send + Sync + 'static,
    ) -> Self {
        self.rules.expiry = Some(Box::new(move |key, value| ttl(key, value).into()));
        self
    }

    /// Sets how long an entry stays after it was last read, or inserted. By default entries stay
    /// unread. The end of an entry is this one or that of its time to live, whichever is earlier.
    ///
    /// A get, a load, a hold and a touch read an entry; a peek does not. A read moves the end on
    /// only if that is a sixteenth of `idle` or more, and otherwise writes nothing. So an unread
    /// entry ends no later than `idle` after it was last read, and up to a sixteenth earlier.
    ///
    /// Each entry takes one word more.
    ///
    /// ```
    /// use core::time::Duration;
    /// use tidegate_core::{Cache, Domain, Instant, SeededState};
    ///
    /// let domain = Domain::new();
    /// let sessions: Cache<u32, u32> = Cache::builder(&domain, SeededState::new(0x5eed))
    ///     .time_to_idle(Duration::from_secs(60))
    ///     .build()?;
    /// let (mut worker, now) = (domain.worker(), Instant::from_secs(1));
    /// let guard = worker.quiescent(now);
    /// sessions.insert(7, 7, now, guard)?;
    /// let later = now + Duration::from_secs(45);
    /// assert_eq!(sessions.get(&7, later, guard), Some(&7));
    /// assert_eq!(sessions.peek(&7, later + Duration::from_secs(59), guard), Some(&7));
    /// assert_eq!(sessions.peek(&7, later + Duration::from_secs(60), guard), None);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn time_to_idle(mut self, idle: Duration) -> Self {
        self.rules.idle = Some(nanos(idle));
        self
    }

    /// Shortens each time to live by up to this part of it, so that entries inserted together do
    /// not expire together. The part is in parts per million, and at most a million. A hash of key
    /// and time decides by how much, so it can be repeated. The default is 0.
    pub fn jitter(mut self, parts_per_million: u32) -> Self {
        self.rules.jitter = parts_per_million.min(1_000_000);
        self
    }

    /// Sets for how long after its end [`Cache::load`] still hands a value out, while one caller
    /// loads another.
    pub fn stale_while_revalidate(mut self, window: Duration) -> Self {
        self.rules.revalidate = window;
        self
    }

    /// Sets for how long after its end a value stands in for one whose loading
    /// [fails](super::Loading::fail).
    pub fn stale_if_error(mut self, window: Duration) -> Self {
        self.rules.on_error = window;
        self
    }

    /// Sets how long loading may take before another caller may take over. The default is for ever.
    /// The end of a lease wakes no waiter. The waiters learn of it when a caller asks for the key,
    /// or the cache is swept. A [follower](crate::flight::Follower::left) says how long to wait.
    pub fn load_lease(mut self, lease: Duration) -> Self {
        self.rules.lease = Some(lease);
        self
    }

    /// Calls `listener` for every entry that is removed, exactly once, with the cause.
    ///
    /// The call that removes the entry calls it when the entry is no longer in the cache and
    /// nothing is held that others could wait for. The listener may use the cache. What a load
    /// removes is reported when the load is over, so the listener may ask for its key. Entries that
    /// are there when the cache is dropped are not reported.
    ///
    /// The cache stays whole if the listener panics. In a domain that
    /// [contains](crate::reclaim::Builder::contain) panics, such as `tidegate::domain()`, each call
    /// of the listener is contained by itself. In another domain the panic leaves the call that
    /// removed the entry, perhaps before that call has inserted its own. The other entries that the
    /// same load removes are then not reported. If a waker of that load panics, too, the program
    /// aborts.
    pub fn listener(
        mut self,
        listener: impl Fn(&K, &V, RemovalCause) + Send + Sync + 'static,
    ) -> Self {
        self.rules.listener = Some(Box::new(listener));
        self
    }

    /// Sets whether [`Cache::invalidate_entries_if`] can be called. Each entry then takes one word
    /// more, and each read compares it. The default is not.
    pub fn invalidation_by_predicate(mut self, is_supported: bool) -> Self {
        self.rules.by_predicate = is_supported;
        self
    }

    /// Sets whether [`Cache::get`] counts hits and misses. Each is an atomic addition to one of
    /// eight words, chosen by the key's hash. By default gets are not counted. Loads always are.
    pub fn count_reads(mut self, counts: bool) -> Self {
        self.rules.counts_reads = counts;
        self
    }
}

impl<K, V, S> Builder<K, V, S>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Send + Sync + 'static,
    S: BuildHasher + Clone,
{
    /// Builds the cache. `E` is the error with which loading may fail.
    ///
    /// # Errors
    ///
    /// Fails with [`MapError::OutOfMemory`].
    pub fn build<E: Send + Sync + 'static>(self) -> Result<Cache<K, V, E, S>, MapError> {
        // SAFETY: frees segments and histories, which own nothing and are all that is retired
        // there.
        let limbo = unsafe { Limbo::new(&self.domain, garbage::KIND) }?;
        let words = self.rules.words();
        let predicates =
            self.rules.by_predicate.then(|| Predicates::new(&self.domain)).transpose()?;
        let bound = usize::try_from(self.rules.max.entries).ok().filter(|&max| max < usize::MAX);
        let hasher = self.hasher.clone();
        let map = match bound {
            Some(entries) => Map::retaining_bounded(&self.domain, hasher, words, entries),
            None => Map::retaining(&self.domain, hasher, words),
        }?;
        Ok(Cache {
            map,
            totals: Arc::new(Totals::new(self.rules.max)),
            orders: core::array::from_fn(|_| Order::new()),
            history: History::new(bound.map(|entries| entries as u64)),
            limbo,
            flights: Group::try_with(&self.domain, self.hasher)?,
            tally: Tally::new(),
            loads: LoadTally::new(),
            predicates,
            rules: self.rules,
        })
    }
}

impl<K, V, S> core::fmt::Debug for Builder<K, V, S> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Builder").field("max", &self.rules.max).finish_non_exhaustive()
    }
}
