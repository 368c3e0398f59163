//! Looking at values without using them, and how long they are still there.

use std::borrow::Borrow;
use std::hash::Hash;

use tidegate_core::{Clock, Ttl};

use super::Cache;
use crate::pin::pin;

impl<K, V> Cache<K, V>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    /// Returns whether there is a value of `key` that has not expired, without marking the entry as read or counting a hit
    /// or miss.
    pub fn contains_key<Q>(&self, key: &Q) -> bool
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let now = self.shared.clock.now();
        self.shared.engine.contains_key(key, now, &pin())
    }

    /// Returns a clone of the value of `key`, if there is one that has not expired, without marking the entry as read or
    /// counting a hit or miss. So the call does not keep the entry from being evicted.
    pub fn peek<Q>(&self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let now = self.shared.clock.now();
        self.shared.engine.peek(key, now, &pin()).cloned()
    }

    /// Returns how long the value of `key` is still there unless it is evicted or removed, without marking the entry as
    /// read. Returns `None` if there is no value that has not expired.
    pub fn time_left<Q>(&self, key: &Q) -> Option<Ttl>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let now = self.shared.clock.now();
        self.shared.engine.time_left(key, now, &pin())
    }

    /// Begins the time to live of a value anew, if there is one that has not expired, and returns whether there is. The
    /// time to live is that of the [builder](super::CacheBuilder::time_to_live). The end of a value is never moved back.
    ///
    /// ```
    /// use std::time::Duration;
    /// use tidegate::{Cache, Ttl};
    ///
    /// let sessions = Cache::builder().time_to_live(Duration::from_secs(600)).build();
    /// sessions.insert("alice", 7);
    /// assert!(sessions.touch("alice")); // she is still there
    /// assert!(sessions.touch_for("alice", Duration::from_secs(3_600)));
    /// assert!(sessions.time_left("alice") > Some(Ttl::For(Duration::from_secs(600))));
    /// ```
    pub fn touch<Q>(&self, key: &Q) -> bool
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let now = self.shared.clock.now();
        self.shared.engine.touch(key, now, &pin())
    }

    /// Touches a value as [`touch`](Self::touch) does, for a time to live of its own.
    pub fn touch_for<Q>(&self, key: &Q, ttl: impl Into<Ttl>) -> bool
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let now = self.shared.clock.now();
        self.shared.engine.touch_for(key, ttl, now, &pin())
    }
}
