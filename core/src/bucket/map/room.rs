//! Places for keys: there are as many as keys that the map may hold. A place and its map are a
//! guard and its owner, so their files import each other.

use core::hash::{BuildHasher, Hash};
use core::mem::ManuallyDrop;

use super::BucketMap;
use crate::reclaim::Guard;
use crate::sync::Ordering;

/// A place for one more key. It is given back on drop, even where a caller's `Hash` or `Eq` panics
/// while the key is on its way into the map.
pub(super) struct Room<'a, K: Hash + Eq + Send + 'static, S: BuildHasher>(&'a BucketMap<K, S>);

impl<'a, K: Hash + Eq + Send + 'static, S: BuildHasher> Room<'a, K, S> {
    /// Takes a place, and makes room for it if there is none. Fails with the time at which the
    /// first of the buckets looked through may be given up.
    pub(super) fn take(buckets: &'a BucketMap<K, S>, now: u64, guard: &Guard) -> Result<Self, u64> {
        if let Some(room) = Self::free(buckets) {
            return Ok(room);
        }
        let earliest = buckets.make_room(now, guard);
        Self::free(buckets).ok_or(earliest)
    }

    fn free(buckets: &'a BucketMap<K, S>) -> Option<Self> {
        if buckets.cap != usize::MAX {
            // Relaxed: a count, exact by itself.
            let taken = buckets.keys.fetch_add(1, Ordering::Relaxed);
            let room = Self(buckets);
            return (taken < buckets.cap).then_some(room);
        }
        Some(Self(buckets))
    }

    /// Keeps the place, because the key has its bucket. The place is given back when that is
    /// removed.
    pub(super) fn keep(self) {
        _ = ManuallyDrop::new(self);
    }
}

impl<K: Hash + Eq + Send + 'static, S: BuildHasher> Drop for Room<'_, K, S> {
    fn drop(&mut self) {
        self.0.give_back(1);
    }
}

impl<K: Hash + Eq + Send + 'static, S: BuildHasher> BucketMap<K, S> {
    /// Gives back the places of `keys` keys.
    pub(super) fn give_back(&self, keys: usize) {
        if self.cap != usize::MAX {
            // Relaxed: a count.
            self.keys.fetch_sub(keys, Ordering::Relaxed);
        }
    }
}
