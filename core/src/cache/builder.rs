//! What a cache is to be like.

use alloc::boxed::Box;
use alloc::sync::Arc;
use core::hash::{BuildHasher, Hash};
use core::time::Duration;

use super::counters::Tally;
use super::entry::Object;
use super::order::Order;
use super::queue;
use super::rules::Rules;
use super::totals::Totals;
use super::{Cache, RemovalCause};
use crate::flight::Group;
use crate::map::{Map, MapError};
use crate::reclaim::{Domain, Limbo};
use crate::time::Ttl;

/// What a [`Cache`] is to be like: [`Cache::builder`].
#[must_use = "a builder builds nothing until it is told to"]
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
    /// A cache in `domain`, whose keys are hashed by `hasher`, to be described further.
    pub fn builder<S>(domain: &Domain, hasher: S) -> Builder<K, V, S> {
        Builder { domain: domain.clone(), hasher, rules: Rules::new() }
    }
}

impl<K, V, S> Builder<K, V, S> {
    /// At most so many entries, at every instant. No bound until set.
    pub fn max_entries(mut self, entries: u64) -> Self {
        self.rules.max.entries = entries;
        self
    }

    /// At most so many bytes, by the [weigher](Self::weigher)'s measure, at every instant. No bound until
    /// set. Without a weigher an entry counts as one byte, so this bounds entries, and pressure, which asks for
    /// bytes, takes all of them.
    pub fn max_bytes(mut self, bytes: u64) -> Self {
        self.rules.max.bytes = bytes;
        self
    }

    /// How many bytes an entry is counted as; asked once, when it is inserted. One each until set.
    pub fn weigher(mut self, weigher: impl Fn(&K, &V) -> u64 + Send + Sync + 'static) -> Self {
        self.rules.weigher = Some(Box::new(weigher));
        self
    }

    /// How long an entry is fresh, unless it is said when it is inserted. For ever until set. Where the
    /// origin of the values decides when they end, pass times of a clock that counts while the machine is
    /// suspended ([`time`](crate::time)).
    pub fn time_to_live(mut self, ttl: impl Into<Ttl>) -> Self {
        self.rules.ttl = ttl.into();
        self
    }

    /// Shortens each time to live by up to this part of it, so that what was inserted together does not
    /// expire together: in parts per million, of which no more than a million count. By how much is a
    /// hash of key and time, so that it can be repeated. 0 until set.
    pub fn jitter(mut self, parts_per_million: u32) -> Self {
        self.rules.jitter = parts_per_million.min(1_000_000);
        self
    }

    /// For so long after its end a value is still handed out by [`Cache::load`], while one caller loads
    /// another.
    pub fn stale_while_revalidate(mut self, window: Duration) -> Self {
        self.rules.revalidate = window;
        self
    }

    /// For so long after its end a value stands in for one whose loading [fails](super::Loading::fail).
    pub fn stale_if_error(mut self, window: Duration) -> Self {
        self.rules.on_error = window;
        self
    }

    /// How long loading may take before another caller may take over. For ever until set. The end of a lease
    /// wakes nobody: those who wait are told when somebody asks for the key, or the cache is swept; a
    /// [follower](crate::flight::Follower::left) says how long to wait.
    pub fn load_lease(mut self, lease: Duration) -> Self {
        self.rules.lease = Some(lease);
        self
    }

    /// Is told of every entry that is removed, exactly once, with the cause: by whoever removes it, when
    /// the entry is no longer in the cache and nothing is held that others could wait for. It may use the
    /// cache: of what a load removes it is told when the load is over, and may ask for its key. What is
    /// there when the cache is dropped, it is not told of.
    ///
    /// The cache stays whole if the listener panics. In a domain that
    /// [contains](crate::reclaim::Builder::contain) panics, as that of `tidegate::domain()`, each call of
    /// the listener is contained by itself. In another the panic leaves the call that removed the entry,
    /// perhaps before that call has inserted its own, and the listener is not told of the other entries that one load removes; if a waker of that load
    /// panics, too, the program aborts.
    pub fn listener(
        mut self,
        listener: impl Fn(&K, &V, RemovalCause) + Send + Sync + 'static,
    ) -> Self {
        self.rules.listener = Some(Box::new(listener));
        self
    }

    /// Whether [`Cache::get`] counts hits and misses: an atomic addition each, to one of eight words, by
    /// the key's hash. Not until set. Loads are always counted.
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
    /// The cache. `E` is how loading may fail.
    ///
    /// # Errors
    ///
    /// [`MapError::OutOfMemory`].
    pub fn build<E: Send + Sync + 'static>(self) -> Result<Cache<K, V, E, S>, MapError> {
        // SAFETY: frees segments, which own nothing and are all that is retired there.
        let limbo = unsafe { Limbo::new(&self.domain, queue::KIND) }?;
        Ok(Cache {
            map: Map::<K, Object<V>, S>::retaining(&self.domain, self.hasher.clone())?,
            totals: Arc::new(Totals::new(self.rules.max)),
            orders: core::array::from_fn(|_| Order::new()),
            limbo,
            flights: Group::try_with(&self.domain, self.hasher)?,
            tally: Tally::new(),
            rules: self.rules,
        })
    }
}

impl<K, V, S> core::fmt::Debug for Builder<K, V, S> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Builder").field("max", &self.rules.max).finish_non_exhaustive()
    }
}
