//! The time with which a new bucket starts.

use super::gcra::{Charge, Refund};
use super::verdict::Verdict;
use crate::sync::{AtomicU64, Ordering};

/// The debt with which a key without a bucket starts: that of the word that it shares with other
/// keys, or none.
///
/// A key that has charged the word must not leave the debt behind when it gets a bucket. So the
/// thread that gives a bucket its first time reads the word by an exchange, *after* the bucket can
/// be found. Each charge to the word comes before or after that exchange in the order of the word's
/// changes. A charge before it is in the debt that the exchange reads. A thread whose charge comes
/// after it finds the bucket from then on. Each thread can miss only the one charge that it was
/// about to make.
///
/// A plan whose buckets [start partly empty](super::Plan::starting_at) adds a debt of its own.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fresh<'a> {
    word: Option<&'a AtomicU64>,
    /// The time with which a bucket of the plan starts; 0 if it starts full.
    start: u64,
}

impl<'a> Fresh<'a> {
    pub(super) const fn new(word: Option<&'a AtomicU64>) -> Self {
        Self { word, start: 0 }
    }

    /// Makes the bucket start with the time `start`, if it would start with an earlier one.
    #[inline]
    pub(super) const fn starting(self, start: u64) -> Self {
        Self { start, ..self }
    }

    /// Returns whether a bucket is worth storing though nothing is charged to it: it starts partly
    /// empty, and fills from then on.
    pub(super) const fn must_begin(self) -> bool {
        self.start > 0
    }

    /// Returns the time as far as this thread knows it. It may be more by now; after a roll-back it is
    /// less.
    pub(super) fn guess(self) -> u64 {
        // Relaxed: the guess decides only whether a bucket is worth making.
        self.word.map_or(0, |word| word.load(Ordering::Relaxed)).max(self.start)
    }

    /// Returns the time for a bucket that this thread has published, or found published.
    pub(super) fn settle(self) -> u64 {
        // Release: pairs with the exchange in `charge`. A charge that comes later in the order of
        // the word's changes comes after the bucket's publication, and its thread sees that.
        self.word.map_or(0, |word| word.fetch_add(0, Ordering::Release)).max(self.start)
    }

    /// Charges the word, for a key that has no bucket.
    pub(super) fn charge(self, charge: &Charge) -> Verdict {
        let Some(word) = self.word else {
            return Verdict::denied(0, charge);
        };
        // Relaxed, here and where the exchange fails: verified by the exchange.
        let mut time = word.load(Ordering::Relaxed);
        while let Some(after) = charge.on(time) {
            // Acquire: pairs with the exchange in `settle`.
            match word.compare_exchange(time, after, Ordering::Acquire, Ordering::Relaxed) {
                Ok(_) => return Verdict::admitted(after, charge.cost()),
                Err(current) => time = current,
            }
        }
        Verdict::denied(time, charge)
    }

    /// Takes a charge to the word back, as far as is safe. Returns what is lost. A bucket that a
    /// thread has given its first time meanwhile keeps the debt that it took along.
    pub(super) fn roll_back(self, refund: &Refund) -> u64 {
        let Some(word) = self.word else {
            return 0;
        };
        // Relaxed, here and where the exchange fails: verified by the exchange.
        let mut time = word.load(Ordering::Relaxed);
        while let Some(after) = refund.on(time, None) {
            // Relaxed: what was charged and not taken back stays in the word, as if this charge had
            // never been.
            match word.compare_exchange(time, after, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return refund.lost(time, Some(after)),
                Err(current) => time = current,
            }
        }
        refund.lost(time, None)
    }
}
