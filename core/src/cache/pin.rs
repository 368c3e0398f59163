//! Holding on to an entry.

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

/// An entry that is not evicted, and can be read without a guard, until this is dropped. (Without memory
/// for its place in the order it is evicted; it can be read all the same.)
///
/// It is the entry that is pinned, not its key: if another takes the key's place, or the key is
/// invalidated or expires, the cache hands this one out no more, but here it is still to be read. Until
/// the last pin is dropped, it counts in the cache's [usage](Cache::usage). Dropping that may run the
/// value's destructor, as with an `Arc`.
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
pub struct PinnedEntry<'a, K, V> {
    held: ManuallyDrop<Held<K, Object<V>>>,
    totals: &'a Totals,
}

// SAFETY: shares key and value, and may drop them where it is dropped itself.
unsafe impl<K: Send + Sync, V: Send + Sync> Send for PinnedEntry<'_, K, V> {}
// SAFETY: as above.
unsafe impl<K: Send + Sync, V: Send + Sync> Sync for PinnedEntry<'_, K, V> {}

impl<K, V, E, S> Cache<K, V, E, S>
where
    K: Hash + Eq + Send + Sync + 'static,
    V: Send + Sync + 'static,
    E: Send + Sync + 'static,
    S: BuildHasher,
{
    /// Pins the entry of a key, if it is fresh. As a [get](Self::get), uncounted. `None` also if it is
    /// pinned 2^27 - 1 times, or just being replaced in a cache that has no room for both.
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
                    return Some(PinnedEntry { held, totals: &self.totals });
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
    fn object(&self) -> &Object<V> {
        // SAFETY: pinned until this is dropped.
        &unsafe { self.held.entry() }.value
    }

    /// The key.
    pub fn key(&self) -> &K {
        // SAFETY: pinned until this is dropped.
        &unsafe { self.held.entry() }.key
    }
}

impl<K, V> Deref for PinnedEntry<'_, K, V> {
    type Target = V;

    fn deref(&self) -> &V {
        &self.object().value
    }
}

impl<K, V> Drop for PinnedEntry<'_, K, V> {
    fn drop(&mut self) {
        let object = self.object();
        let (tier, weight) = (object.tier(), object.weight());
        let unpinned = unpin(&object.state);
        if unpinned.dead {
            self.totals.give_up(tier, weight);
        }
        if unpinned.left {
            // SAFETY: not used after this.
            let held = unsafe { ManuallyDrop::take(&mut self.held) };
            // SAFETY: by the object's word the map has left it, and ours was the last pin.
            unsafe { held.free() };
        }
    }
}

impl<K: fmt::Debug, V: fmt::Debug> fmt::Debug for PinnedEntry<'_, K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PinnedEntry").field("key", self.key()).field("value", &**self).finish()
    }
}
