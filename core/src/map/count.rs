//! How many entries there are, counted where they are hashed to.

use crossbeam_utils::CachePadded;

use crate::reclaim::STRIPES;
use crate::sync::{AtomicUsize, Ordering};

/// A count spread over several words. Equal hashes count on the same word.
pub(super) struct Count {
    stripes: [CachePadded<AtomicUsize>; STRIPES],
}

impl Count {
    pub(super) fn new() -> Self {
        Self { stripes: core::array::from_fn(|_| CachePadded::new(AtomicUsize::new(0))) }
    }

    /// Counts one entry more. Returns an estimate of the sum.
    #[inline]
    pub(super) fn add(&self, hash: usize) -> usize {
        // Relaxed, here and below: a count.
        estimate(self.stripe(hash).fetch_add(1, Ordering::Relaxed).wrapping_add(1))
    }

    /// Counts one entry less. Returns an estimate of the sum.
    #[inline]
    pub(super) fn sub(&self, hash: usize) -> usize {
        estimate(self.stripe(hash).fetch_sub(1, Ordering::Relaxed).wrapping_sub(1))
    }

    /// Returns the sum, which is exact when no thread counts.
    pub(super) fn sum(&self) -> usize {
        // A removal may be counted before its insertion: below zero is zero.
        let sum = self
            .stripes
            .iter()
            .fold(0_usize, |sum, stripe| sum.wrapping_add(stripe.load(Ordering::Relaxed)));
        usize::try_from(sum.cast_signed()).unwrap_or(0)
    }

    #[inline]
    fn stripe(&self, hash: usize) -> &AtomicUsize {
        // The highest bits, because the lowest choose the bucket.
        &self.stripes[hash.rotate_left(8) % STRIPES]
    }
}

fn estimate(stripe: usize) -> usize {
    usize::try_from(stripe.cast_signed()).unwrap_or(0).saturating_mul(STRIPES)
}
