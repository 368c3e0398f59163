//! The builder of a cache.

use std::fmt;
use std::hash::Hash;
use std::sync::Arc;
use std::time::Duration;

use tidegate_core::cache::{Builder, CachePass};
use tidegate_core::{Cache as Engine, Clock, MapError, RemovalCause, SeededState, Ttl, Worker};

#[cfg(feature = "metrics")]
use super::observe::Reporter;
use super::{Cache, Listener, Policy, Shared};
use crate::clock::OwnClock;
use crate::collected::Collected;
use crate::housekeeping::Housekeeper;
use crate::panics::Foreign;
use crate::pin::domain;
use crate::random_state;
use crate::runtime::{Runtime, Schedule};

/// The interval at which a cache without a time to live or to idle is swept, to remove abandoned loads, and entries whose
/// time to live a function or an insertion has chosen.
const UNTIMED: Duration = Duration::from_secs(60);

/// Builds a [`Cache`]: see [`Cache::builder`].
#[must_use = "a builder does nothing until it builds"]
pub struct CacheBuilder<K, V> {
    engine: Builder<K, V, SeededState>,
    listener: Option<Listener<K, V>>,
    name: Option<String>,
    policy: Policy,
    is_weighed: bool,
    clock: OwnClock,
    housekeeper: Housekeeper,
}

impl<K, V> Cache<K, V>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    /// Returns a builder of a cache that has no bounds and no time to live until they are set.
    pub fn builder() -> CacheBuilder<K, V> {
        CacheBuilder {
            engine: Engine::builder(domain(), random_state()),
            listener: None,
            name: None,
            policy: Policy::default(),
            is_weighed: false,
            clock: OwnClock::default(),
            housekeeper: Housekeeper::default(),
        }
    }
}

impl<K, V> CacheBuilder<K, V>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    /// Gives the cache a name: that of its sweep in the runtime, and its label in metrics. Caches without a name share a
    /// label.
    pub fn name(mut self, name: &str) -> Self {
        self.name = Some(name.to_owned());
        self
    }

    /// Sets the maximum of the entries, or of their weight if the cache has a [weigher](Self::weigher). Unbounded by
    /// default.
    pub fn max_capacity(mut self, capacity: u64) -> Self {
        self.policy.max_capacity = Some(capacity);
        self
    }

    /// Sets a function that weighs an entry, in the unit of the [capacity](Self::max_capacity). An entry of weight 0 takes
    /// no room.
    pub fn weigher<W: Into<u64>>(
        mut self,
        weigher: impl Fn(&K, &V) -> W + Send + Sync + 'static,
    ) -> Self {
        self.engine = self.engine.weigher(move |key, value| weigher(key, value).into());
        self.is_weighed = true;
        self
    }

    /// Sets the time to live of a value. Values do not expire by default.
    pub fn time_to_live(mut self, ttl: Duration) -> Self {
        self.engine = self.engine.time_to_live(ttl);
        self.policy.time_to_live = Some(ttl);
        self
    }

    /// Sets how long an entry stays after it was last read, or inserted. Entries stay unread by default. The end of an
    /// entry is this one or that of its time to live, whichever is earlier.
    ///
    /// A read moves the end on only if that is a sixteenth of `idle` or more. So an unread entry ends up to a sixteenth
    /// before `idle` is over, and never after. Each entry takes one word more.
    pub fn time_to_idle(mut self, idle: Duration) -> Self {
        self.engine = self.engine.time_to_idle(idle);
        self.policy.time_to_idle = Some(idle);
        self
    }

    /// Sets the time to live of each value by a function of key and value, in place of
    /// [`time_to_live`](Self::time_to_live). It holds for what a loader returns, too, unless [the loader says
    /// otherwise](Cache::get_or_load_with). The function is called again when an entry is [touched](Cache::touch).
    ///
    /// ```
    /// use std::time::Duration;
    /// use tidegate::Cache;
    ///
    /// let statuses = Cache::builder()
    ///     .expire_after(|_: &&str, &status: &u16| Duration::from_secs(if status == 200 { 60 } else { 0 }))
    ///     .build();
    /// statuses.insert("works", 200);
    /// statuses.insert("fails", 503);
    /// assert!(statuses.contains_key("works") && !statuses.contains_key("fails"));
    /// ```
    pub fn expire_after<T: Into<Ttl>>(
        mut self,
        ttl: impl Fn(&K, &V) -> T + Send + Sync + 'static,
    ) -> Self {
        self.engine = self.engine.expire_after(ttl);
        self
    }

    /// Sets how long an expired value is still returned while one caller loads a new one. Zero by default.
    pub fn stale_while_revalidate(mut self, window: Duration) -> Self {
        self.engine = self.engine.stale_while_revalidate(window);
        self
    }

    /// Sets how long an expired value is still returned while loads of a new one fail. Zero by default.
    pub fn stale_if_error(mut self, window: Duration) -> Self {
        self.engine = self.engine.stale_if_error(window);
        self
    }

    /// Sets a function that is called with clones of each entry that is removed, and why. The thread that removes the
    /// entry calls it, so it should not block. Its panics are [contained](crate::caught_panics).
    ///
    /// A value that [`insert`](Cache::insert) cannot keep is passed to it, too, with [`RemovalCause::Size`]. A value that a
    /// call hands back or returns is not.
    ///
    /// The function may change the cache, but an insertion for each evicted entry would never end. If it owns a handle of
    /// the cache, the cache is never dropped.
    pub fn eviction_listener(
        mut self,
        listener: impl Fn(Arc<K>, V, RemovalCause) + Send + Sync + 'static,
    ) -> Self {
        let listener: Box<dyn Fn(Arc<K>, V, RemovalCause) + Send + Sync> = Box::new(listener);
        let listener = Arc::new(Foreign::new(listener));
        self.listener = Some(Arc::clone(&listener));
        self.engine = self.engine.listener(move |key, value, cause| {
            listener(Arc::new(key.clone()), value.clone(), cause);
        });
        self
    }

    /// Lets [`invalidate_entries_if`](Cache::invalidate_entries_if) be called. Each entry then takes one word more, and
    /// each read compares it.
    pub fn support_invalidation_closures(mut self) -> Self {
        self.engine = self.engine.invalidation_by_predicate(true);
        self
    }

    /// Sets whether [`get`](Cache::get) counts hits and misses. Each is an atomic addition to one of eight words, chosen by
    /// the key's hash. By default gets are not counted. Loads always are.
    pub fn count_reads(mut self, counts: bool) -> Self {
        self.engine = self.engine.count_reads(counts);
        self
    }

    /// Sets the clock. [That of the process](crate::clock()) by default.
    pub fn clock(mut self, clock: impl Clock + Send + Sync + 'static) -> Self {
        self.clock = OwnClock::given(clock);
        self
    }

    /// Has `runtime` free expired entries, in place of the process's thread.
    pub fn runtime(mut self, runtime: &Runtime) -> Self {
        self.housekeeper = Housekeeper::Given(runtime.clone());
        self
    }

    /// Leaves freeing expired entries to calls of [`run_pending_tasks`](Cache::run_pending_tasks).
    pub fn manual(mut self) -> Self {
        self.housekeeper = Housekeeper::Manual;
        self
    }

    /// Builds the cache.
    ///
    /// # Panics
    ///
    /// If there is no memory for an empty cache: [`try_build`](Self::try_build) returns that as an error.
    pub fn build(self) -> Cache<K, V> {
        match self.try_build() {
            Ok(cache) => cache,
            Err(error) => panic!("cache: {error}"),
        }
    }

    /// Builds the cache.
    ///
    /// # Errors
    ///
    /// If there is no memory for an empty cache.
    pub fn try_build(self) -> Result<Cache<K, V>, MapError> {
        let Self { engine, listener, name, policy, is_weighed, clock, housekeeper } = self;
        let engine =
            policy.max_capacity.into_iter().fold(engine, |engine, capacity| match is_weighed {
                true => engine.max_bytes(capacity),
                false => engine.max_entries(capacity),
            });
        let engine = Arc::new(engine.build()?);
        #[cfg(feature = "metrics")]
        let reporter = Reporter::new(name.as_deref());
        let shared = Shared {
            engine,
            listener,
            clock,
            is_weighed,
            name,
            policy,
            #[cfg(feature = "metrics")]
            reporter,
        };
        let shared = Arc::new(Collected::new(shared));
        let mut pass = CachePass::new();
        let step = move |shared: &Collected<Shared<K, V>>, worker: &mut Worker, budget| {
            shared.step(&mut pass, worker, budget)
        };
        let shortest = policy.time_to_live.into_iter().chain(policy.time_to_idle).min();
        let schedule = shortest.map_or(Schedule::checked(UNTIMED), Schedule::for_ttl);
        let kept = housekeeper.keep("cache", shared.name.as_deref(), schedule, &shared, step);
        Ok(Cache { shared, _kept: kept })
    }
}

impl<K, V> fmt::Debug for CacheBuilder<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CacheBuilder")
            .field("name", &self.name)
            .field("policy", &self.policy)
            .finish_non_exhaustive()
    }
}
