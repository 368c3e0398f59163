//! Where a key lives in a table of sets, and how it is distinguished from others there.

use core::hash::{BuildHasher, Hash};

/// Where one table keeps a key's bucket: made by [`BucketTable::prefetch`] or
/// [`LocalBucketTable::prefetch`], and then passed to `check_at` of the same table instead of the key.
///
/// It is the key's hash, cut into the parts that the table uses. It borrows nothing, and is good for
/// as long as the table is. On another table it names the bucket of some other key.
///
/// [`BucketTable::prefetch`]: crate::BucketTable::prefetch
/// [`LocalBucketTable::prefetch`]: crate::LocalBucketTable::prefetch
// The halves serve different ends, so that what two keys of one set share says nothing about their
// fingerprints. A key's identity is both: fingerprint and set, 51 bits with 2^19 sets.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    spread: u32,
    /// The word in the slot that stands for the key.
    pub(super) fingerprint: u32,
}

impl Place {
    #[inline]
    pub(super) fn of<K: Hash + ?Sized>(key: &K, state: &impl BuildHasher) -> Self {
        let hash = state.hash_one(key);
        Self { spread: (hash >> 32) as u32, fingerprint: hash as u32 }
    }

    /// Returns the index of the key's set: the hash scaled to the range, which works for any number
    /// of sets (Lemire, "Fast Random Integer Generation in an Interval", 2019). Beyond 2^32 sets,
    /// half a terabyte, it wraps and spreads less well.
    #[inline]
    pub(super) fn set(self, sets: usize) -> usize {
        (u64::from(self.spread).wrapping_mul(sets as u64) >> 32) as usize
    }

    /// Returns what tells the key from others of a table with `sets` sets.
    pub(super) fn key(self, sets: usize) -> u64 {
        (self.set(sets) as u64) << 32 | u64::from(self.fingerprint)
    }

    /// Returns the line of the set in which the key is looked for first. The hash's bit of the
    /// value 64, a line's size, chooses it, so that one instruction finds the address.
    #[inline]
    pub(super) fn line(self) -> usize {
        (self.fingerprint >> 6 & 1) as usize
    }
}
