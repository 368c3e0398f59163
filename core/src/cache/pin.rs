//! Pins: entries that are kept in memory, and from being evicted.

use alloc::sync::Arc;
use core::borrow::Borrow;
use core::fmt;
use core::hash::{BuildHasher, Hash};
use core::mem::ManuallyDrop;
use core::ops::Deref;

use super::Cache;
use super::entry::{NotPinned, Object, unpin};
use super::totals::{Totals, Usage};
use crate::map::Held;
use crate::reclaim::Guard;
use crate::time::Instant;

/// Keeps an entry from being evicted, and lets it be read without a guard, until this is dropped. (Without
/// memory for its place in the order it is evicted; it can be read all the same.)
///
/// It is the entry that is pinned, not its key: if another takes the key's place, or the key is
/// invalidated or expires, the cache hands this one out no more, but here it is still to be read. Until
/// the last pin is dropped, it counts in the cache's [usage](Cache::usage). Dropping that may run the
/// value's destructor, as with an `Arc`.
///
/// A pin borrows its cache; an [`OwnedPin`] does not.
///
/// ```
/// use tidegate_core::{Cache, Domain, Instant, SeededState};
///
/// let domain = Domain::new();
/// let cache: Cache<&str, String> =
///     Cache::builder(&domain, SeededState::new(0x5eed)).max_entries(2).build()?;
/// let (mut worker, now) = (domain.worker(), Instant::ORIGIN);
/// cache.insert("a", "old".to_owned(), now, worker.quiescent(now))?;
///
/// let old = cache.pin("a", now, worker.quiescent(now)).expect("just inserted");
/// cache.insert("a", "new".to_owned(), now, worker.quiescent(now))?;
/// assert_eq!((&**old, cache.usage().entries), ("old", 2));
/// drop(old);
/// assert_eq!(cache.usage().entries, 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct PinnedEntry<'a, K, V>(Pin<K, V, &'a Arc<Totals>>);

/// A [`PinnedEntry`] that borrows nothing: it can be stored, sent to another thread and moved into a task.
///
/// It keeps its own entry in memory and nothing else: neither the cache, which it may outlive, nor what was
/// removed from that. A pin that is stored in its own entry's value is never dropped.
///
/// ```
/// use tidegate_core::cache::OwnedPin;
/// use tidegate_core::{Cache, Domain, Instant, SeededState};
///
/// let domain = Domain::new();
/// let cache: Cache<&str, String> =
///     Cache::builder(&domain, SeededState::new(0x5eed)).max_entries(2).build()?;
/// let (mut worker, now) = (domain.worker(), Instant::ORIGIN);
/// cache.insert("a", "text".to_owned(), now, worker.quiescent(now))?;
///
/// let pin = cache.pin("a", now, worker.quiescent(now)).expect("just inserted");
/// let pin: OwnedPin<&str, String> = pin.into_owned();
/// drop(cache);
/// let task = std::thread::spawn(move || pin.len());
/// assert_eq!(task.join().unwrap(), 4);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct OwnedPin<K, V>(Pin<K, V, Arc<Totals>>);

/// A pin of an entry, with the totals in which it counts.
struct Pin<K, V, T: AsRef<Totals>> {
    held: ManuallyDrop<Held<K, Object<V>>>,
    totals: T,
}

// SAFETY: shares key and value, and may drop them where it is dropped itself.
unsafe impl<K: Send + Sync, V: Send + Sync, T: AsRef<Totals> + Send> Send for Pin<K, V, T> {}
// SAFETY: as above.
unsafe impl<K: Send + Sync, V: Send + Sync, T: AsRef<Totals> + Sync> Sync for Pin<K, V, T> {}

impl<K, V, E, S> Cache<K, V, E, S>
where
    K: Hash + Eq + Send + Sync + 'static,
    V: Send + Sync + 'static,
    E: Send + Sync + 'static,
    S: BuildHasher,
{
    /// Pins the entry of a key, if it is fresh: as a [get](Self::get) that is not counted. `None` also if it
    /// is pinned 2^27 - 1 times, or is just being replaced in a cache that has no room for both.
    pub fn pin<Q>(&self, key: &Q, now: Instant, guard: &Guard) -> Option<PinnedEntry<'_, K, V>>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.map.admit(guard);
        let hash = self.map.hash(key);
        loop {
            let entry = self.fresh(hash, key, now, guard)?;
            match entry.value.pin() {
                Ok(()) => {
                    let held = ManuallyDrop::new(Held::new(entry));
                    return Some(PinnedEntry(Pin { held, totals: &self.totals }));
                }
                // Another may have taken its place.
                Err(NotPinned::Dead) => {}
                Err(NotPinned::Lent) => self.redeem(&entry.value)?,
                Err(NotPinned::TooOften) => return None,
            }
        }
    }

    /// Gives an entry room of its own, if there is any, whose room is lent to another.
    fn redeem(&self, object: &Object<V>) -> Option<()> {
        let mut room = self.totals.none();
        if !room.settle(Usage { entries: 1, bytes: object.weight() }) {
            return None;
        }
        room.enter(object.tier());
        if object.take_back() {
            room.keep();
        }
        Some(())
    }
}

impl<K, V> PinnedEntry<'_, K, V> {
    /// Returns the key.
    pub fn key(&self) -> &K {
        self.0.key()
    }

    /// Makes a pin that borrows nothing. Counts one reference more to the cache's totals, which all threads
    /// share; no reader waits for it.
    pub fn into_owned(self) -> OwnedPin<K, V> {
        let totals = Arc::clone(self.0.totals);
        // Nothing panics from here on: the pin is taken over, and dropped once.
        let mut pin = ManuallyDrop::new(self.0);
        // SAFETY: not used after this, and `pin` is not dropped.
        let held = ManuallyDrop::new(unsafe { ManuallyDrop::take(&mut pin.held) });
        OwnedPin(Pin { held, totals })
    }
}

impl<K, V> OwnedPin<K, V> {
    /// Returns the key.
    pub fn key(&self) -> &K {
        self.0.key()
    }
}

impl<K, V, T: AsRef<Totals>> Pin<K, V, T> {
    fn object(&self) -> &Object<V> {
        // SAFETY: pinned until this is dropped.
        &unsafe { self.held.entry() }.value
    }

    fn key(&self) -> &K {
        // SAFETY: pinned until this is dropped.
        &unsafe { self.held.entry() }.key
    }
}

impl<K, V, T: AsRef<Totals>> Drop for Pin<K, V, T> {
    fn drop(&mut self) {
        let object = self.object();
        let (tier, weight) = (object.tier(), object.weight());
        let unpinned = unpin(&object.state);
        if unpinned.dead {
            self.totals.as_ref().give_up(tier, weight);
        }
        if unpinned.left {
            // SAFETY: not used after this.
            let held = unsafe { ManuallyDrop::take(&mut self.held) };
            // SAFETY: by the object's word the map has left it, and ours was the last pin.
            unsafe { held.free() };
        }
    }
}

impl<K, V> Deref for PinnedEntry<'_, K, V> {
    type Target = V;

    fn deref(&self) -> &V {
        &self.0.object().value
    }
}

impl<K, V> Deref for OwnedPin<K, V> {
    type Target = V;

    fn deref(&self) -> &V {
        &self.0.object().value
    }
}

impl<K: fmt::Debug, V: fmt::Debug> fmt::Debug for PinnedEntry<'_, K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PinnedEntry").field("key", self.key()).field("value", &**self).finish()
    }
}

impl<K: fmt::Debug, V: fmt::Debug> fmt::Debug for OwnedPin<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OwnedPin").field("key", self.key()).field("value", &**self).finish()
    }
}
