//! How long entries are still fresh, and what prolongs that: touching, and reading.

use core::borrow::Borrow;
use core::hash::{BuildHasher, Hash};
use core::time::Duration;

use super::Cache;
use super::entry::{Object, end};
use crate::map::Entry;
use crate::reclaim::Guard;
use crate::sync::{AtomicU64, Ordering};
use crate::time::{Instant, Ttl, nanos};

/// A read moves an entry's end on by no less than this part of the time to idle.
const SIXTEENTH: u64 = 16;

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
        let last = self.end(hash, ttl(key, &object.value), now);
        object.read();
        if let Some(word) = self.last_end(entry) {
            // Relaxed: see `last_end`.
            word.fetch_max(last, Ordering::Relaxed);
        }
        object.prolong(self.until_idle(last, now), now)
    }

    /// Moves the end of an entry on that is read, in a cache with a time to idle.
    #[inline(always)]
    pub(super) fn used(&self, entry: &Entry<K, Object<V>>, now: Instant) {
        if let Some(idle) = self.rules.idle {
            self.move_on(entry, idle, now);
        }
    }

    #[inline(never)]
    fn move_on(&self, entry: &Entry<K, Object<V>>, idle: u64, now: Instant) {
        let Some(word) = self.last_end(entry) else { return };
        // Relaxed: see `last_end`.
        let last = word.load(Ordering::Relaxed);
        let end = self.until_idle(last, now);
        let by = end.saturating_sub(entry.value.end());
        // The last end is reached by one write more, and no entry ends early that is read.
        if by > 0 && (by >= idle / SIXTEENTH || end == last) {
            entry.value.prolong(end, now);
        }
    }

    /// Returns the word that holds when an entry ends at the latest, in a cache with a time to
    /// idle. It only grows. Every operation on it is Relaxed, and pairs with none: a thread that
    /// reads an older value moves the end on by less.
    fn last_end<'g>(&self, entry: &'g Entry<K, Object<V>>) -> Option<&'g AtomicU64> {
        // SAFETY: such a cache's map was built with one word at least, see `Rules::words`.
        self.rules.idle.map(|_| unsafe { entry.tail(0) })
    }

    /// Returns the end of an entry that is read now, and that ends at the latest at `last`.
    pub(super) fn until_idle(&self, last: u64, now: Instant) -> u64 {
        let idle = self.rules.idle.map(|idle| Ttl::For(Duration::from_nanos(idle)));
        idle.map_or(last, |idle| last.min(end(idle, now)))
    }

    /// Returns the end of an entry that is inserted now.
    pub(super) fn end(&self, hash: usize, ttl: Ttl, now: Instant) -> u64 {
        let (Ttl::For(ttl), 1..) = (ttl, self.rules.jitter) else {
            return end(ttl, now);
        };
        let most = u128::from(nanos(ttl)) * u128::from(self.rules.jitter) / 1_000_000;
        // A number that seems random, of 32 bits (the multiplier is that of splitmix64).
        let mixed = (hash as u64 ^ now.as_nanos()).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let by = (most * u128::from(mixed >> 32)) >> 32;
        end(Ttl::For(ttl - Duration::from_nanos(by as u64)), now)
    }
}
