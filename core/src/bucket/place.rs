//! Where a key lives in a table of sets, and how it is told from others there.

use core::hash::{BuildHasher, Hash};

/// A key's hash, cut into the parts that a table uses.
///
/// The halves serve different ends, so that what two keys of one set share says nothing about
/// their fingerprints. A key's identity is both: fingerprint and set, 51 bits with 2^19 sets.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    spread: u32,
    /// What stands in the slot for the key.
    pub(super) fingerprint: u32,
}

impl Place {
    #[inline]
    pub(super) fn of<K: Hash + ?Sized>(key: &K, state: &impl BuildHasher) -> Self {
        let hash = state.hash_one(key);
        Self { spread: (hash >> 32) as u32, fingerprint: hash as u32 }
    }

    /// The index of the key's set: the hash scaled to the range, so that any number of sets will do
    /// (Lemire, "Fast Random Integer Generation in an Interval", 2019). Wraps, and spreads less
    /// well, beyond 2^32 sets: half a terabyte.
    #[inline]
    pub(super) fn set(self, sets: usize) -> usize {
        (u64::from(self.spread).wrapping_mul(sets as u64) >> 32) as usize
    }

    /// The line of the set in which the key is looked for first: the bit that makes 64, a line's
    /// size, so that the address is found with one instruction.
    #[inline]
    pub(super) fn line(self) -> usize {
        (self.fingerprint >> 6 & 1) as usize
    }
}
