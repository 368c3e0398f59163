//! Holds: entries that are kept in memory, and from being evicted.

use alloc::sync::Arc;
use core::borrow::Borrow;
use core::fmt;
use core::hash::{BuildHasher, Hash};
use core::mem::ManuallyDrop;
use core::ops::Deref;

use super::Cache;
use super::entry::{NotHeld, Object, let_go};
use super::totals::{Totals, Usage};
use crate::map::Held;
use crate::reclaim::Guard;
use crate::time::Instant;

/// Keeps an entry from being evicted, and lets it be read without a guard, until this is dropped.
/// (Without memory for its place in the order the entry is evicted; it can be read all the same.)
///
/// The hold is on the entry, not on its key. If another entry takes the key's place, or the key is
/// invalidated or expires, the cache hands this entry out no more. Through the hold it can still be
/// read. Until the last hold is dropped, it counts in the cache's [usage](Cache::usage). Dropping
/// that may run the value's destructor, as with an `Arc`.
///
/// A hold borrows its cache; an [`OwnedHeldEntry`] does not.
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
/// let old = cache.hold("a", now, worker.quiescent(now)).expect("just inserted");
/// cache.insert("a", "new".to_owned(), now, worker.quiescent(now))?;
/// assert_eq!((&**old, cache.usage().entries), ("old", 2));
/// drop(old);
/// assert_eq!(cache.usage().entries, 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct HeldEntry<'a, K, V>(Hold<K, V, &'a Arc<Totals>>);

/// A [`HeldEntry`] that borrows nothing: it can be stored, sent to another thread and moved into a
/// task.
///
/// It keeps its own entry in memory and nothing else: neither the cache, which it may outlive, nor
/// entries that were removed from that. A hold that is stored in its own entry's value is never
/// dropped.
///
/// ```
/// use tidegate_core::cache::OwnedHeldEntry;
/// use tidegate_core::{Cache, Domain, Instant, SeededState};
///
/// let domain = Domain::new();
/// let cache: Cache<&str, String> =
///     Cache::builder(&domain, SeededState::new(0x5eed)).max_entries(2).build()?;
/// let (mut worker, now) = (domain.worker(), Instant::ORIGIN);
/// cache.insert("a", "text".to_owned(), now, worker.quiescent(now))?;
///
/// let held = cache.hold("a", now, worker.quiescent(now)).expect("just inserted");
/// let held: OwnedHeldEntry<&str, String> = held.into_owned();
/// drop(cache);
/// let task = std::thread::spawn(move || held.len());
/// assert_eq!(task.join().unwrap(), 4);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct OwnedHeldEntry<K, V>(Hold<K, V, Arc<Totals>>);

/// A hold of an entry, with the totals in which it counts.
struct Hold<K, V, T: AsRef<Totals>> {
    held: ManuallyDrop<Held<K, Object<V>>>,
    totals: T,
}

// SAFETY: shares key and value, and may drop them where it is dropped itself.
unsafe impl<K: Send + Sync, V: Send + Sync, T: AsRef<Totals> + Send> Send for Hold<K, V, T> {}
// SAFETY: shares key and value, and may drop them where it is dropped itself.
unsafe impl<K: Send + Sync, V: Send + Sync, T: AsRef<Totals> + Sync> Sync for Hold<K, V, T> {}

impl<K, V, E, S> Cache<K, V, E, S>
where
    K: Hash + Eq + Send + Sync + 'static,
    V: Send + Sync + 'static,
    E: Send + Sync + 'static,
    S: BuildHasher,
{
    /// Holds the entry of a key if it is fresh. It acts as a [get](Self::get) that is not counted.
    /// Returns `None` also if the entry is held 2^25 - 1 times, or is just being replaced in a
    /// cache that has no room for both.
    pub fn hold<Q>(&self, key: &Q, now: Instant, guard: &Guard) -> Option<HeldEntry<'_, K, V>>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.map.admit(guard);
        let hash = self.map.hash(key);
        loop {
            let entry = self.fresh(hash, key, now, guard)?;
            match entry.value.hold() {
                Ok(()) => {
                    self.used(entry, now);
                    let held = ManuallyDrop::new(Held::new(entry, self.map.tail()));
                    return Some(HeldEntry(Hold { held, totals: &self.totals }));
                }
                // Another may have taken its place.
                Err(NotHeld::Dead) => {}
                Err(NotHeld::Lent) => self.redeem(&entry.value)?,
                Err(NotHeld::TooOften) => return None,
            }
        }
    }

    /// Gives an entry whose room is lent to another room of its own. Returns `None` if there is
    /// none.
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

impl<K, V> HeldEntry<'_, K, V> {
    /// Returns the key.
    pub fn key(&self) -> &K {
        self.0.key()
    }

    /// Makes a hold that borrows nothing. It adds one reference to the cache's totals, which all
    /// threads share; no reader waits for it.
    pub fn into_owned(self) -> OwnedHeldEntry<K, V> {
        let totals = Arc::clone(self.0.totals);
        // Nothing panics from here on: the hold is taken over, and dropped once.
        let mut hold = ManuallyDrop::new(self.0);
        // SAFETY: not used after this, and `hold` is not dropped.
        let held = ManuallyDrop::new(unsafe { ManuallyDrop::take(&mut hold.held) });
        OwnedHeldEntry(Hold { held, totals })
    }
}

impl<K, V> OwnedHeldEntry<K, V> {
    /// Returns the key.
    pub fn key(&self) -> &K {
        self.0.key()
    }
}

impl<K, V, T: AsRef<Totals>> Hold<K, V, T> {
    fn object(&self) -> &Object<V> {
        // SAFETY: held until this is dropped.
        &unsafe { self.held.entry() }.value
    }

    fn key(&self) -> &K {
        // SAFETY: held until this is dropped.
        &unsafe { self.held.entry() }.key
    }
}

impl<K, V, T: AsRef<Totals>> Drop for Hold<K, V, T> {
    fn drop(&mut self) {
        let object = self.object();
        let (tier, weight) = (object.tier(), object.weight());
        let unheld = let_go(&object.state);
        if unheld.dead {
            self.totals.as_ref().give_up(tier, weight);
        }
        if unheld.left {
            // SAFETY: not used after this.
            let held = unsafe { ManuallyDrop::take(&mut self.held) };
            // SAFETY: by the object's word the map has left it, and this was the last hold.
            unsafe { held.free() };
        }
    }
}

impl<K, V> Deref for HeldEntry<'_, K, V> {
    type Target = V;

    fn deref(&self) -> &V {
        &self.0.object().value
    }
}

impl<K, V> Deref for OwnedHeldEntry<K, V> {
    type Target = V;

    fn deref(&self) -> &V {
        &self.0.object().value
    }
}

impl<K: fmt::Debug, V: fmt::Debug> fmt::Debug for HeldEntry<'_, K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HeldEntry").field("key", self.key()).field("value", &**self).finish()
    }
}

impl<K: fmt::Debug, V: fmt::Debug> fmt::Debug for OwnedHeldEntry<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OwnedHeldEntry").field("key", self.key()).field("value", &**self).finish()
    }
}
