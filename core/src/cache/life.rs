//! How long entries are still fresh, and prolonging that.

use core::borrow::Borrow;
use core::hash::{BuildHasher, Hash};

use super::Cache;
use super::entry::Object;
use crate::map::Entry;
use crate::reclaim::Guard;
use crate::time::{Instant, Ttl};

impl<K, V, E, S> Cache<K, V, E, S>
where
    K: Hash + Eq + Send + Sync + 'static,
    V: Send + Sync + 'static,
    E: Send + Sync + 'static,
    S: BuildHasher,
{
    /// Returns whether there is a fresh value of a key, without marking the entry as read or
    /// counting a hit or miss.
    pub fn contains_key<Q>(&self, key: &Q, now: Instant, guard: &Guard) -> bool
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.peek(key, now, guard).is_some()
    }

    /// Returns how long the value of a key is still fresh, or `None` if there is no fresh value.
    /// The entry is not marked as read, and no hit or miss is counted.
    ///
    /// ```
    /// use core::time::Duration;
    /// use tidegate_core::{Cache, Domain, Instant, SeededState, Ttl};
    ///
    /// let domain = Domain::new();
    /// let cache: Cache<u32, u32> = Cache::builder(&domain, SeededState::new(0x5eed))
    ///     .time_to_live(Duration::from_secs(60))
    ///     .build()?;
    /// let (mut worker, now) = (domain.worker(), Instant::from_secs(1));
    /// let guard = worker.quiescent(now);
    /// cache.insert(7, 7, now, guard)?;
    /// let later = now + Duration::from_secs(45);
    /// assert_eq!(cache.time_left(&7, later, guard), Some(Ttl::For(Duration::from_secs(15))));
    /// assert!(cache.touch(&7, later, guard));
    /// assert_eq!(cache.time_left(&7, later, guard), Some(Ttl::For(Duration::from_secs(60))));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn time_left<Q>(&self, key: &Q, now: Instant, guard: &Guard) -> Option<Ttl>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.map.admit(guard);
        let entry = self.entry(self.map.hash(key), key, guard)?;
        entry.value.left(now)
    }

    /// Begins the time to live of a fresh value anew, as the cache's [time to
    /// live](super::Builder::time_to_live) or [function](super::Builder::expire_after) says.
    /// Returns `false` if there is no fresh value.
    ///
    /// The end of a value is never moved back: a value that was inserted for longer keeps its end.
    /// An entry that was touched in time is not removed as expired. The entry gets another chance
    /// at its turn to be evicted, and no hit or miss is counted. The call allocates nothing.
    pub fn touch<Q>(&self, key: &Q, now: Instant, guard: &Guard) -> bool
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let usual = |key: &K, value: &V| self.rules.ttl_of(key, value);
        self.prolong(key, usual, now, guard)
    }

    /// Touches a value as [`touch`](Self::touch) does, for a time to live of its own.
    pub fn touch_for<Q>(&self, key: &Q, ttl: impl Into<Ttl>, now: Instant, guard: &Guard) -> bool
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let ttl = ttl.into();
        self.prolong(key, |_: &K, _: &V| ttl, now, guard)
    }

    fn prolong<Q>(&self, key: &Q, ttl: impl Fn(&K, &V) -> Ttl, now: Instant, guard: &Guard) -> bool
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.map.admit(guard);
        let hash = self.map.hash(key);
        let Some(entry) = self.fresh(hash, key, now, guard) else { return false };
        let Entry { key, value: object, .. } = entry;
        let object: &Object<V> = object;
        let end = self.end(hash, ttl(key, &object.value), now);
        object.read();
        object.prolong(end, now)
    }
}
