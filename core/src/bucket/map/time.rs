//! A bucket in a map: one word.

use super::Change;
use crate::sync::{AtomicU64, Ordering};

/// The bucket's time, or that it was given up.
#[derive(Debug)]
pub(super) struct BucketTime(AtomicU64);

/// Above every time.
const DEAD: u64 = u64::MAX;

impl BucketTime {
    pub(super) fn new(time: u64) -> Self {
        Self(AtomicU64::new(time))
    }

    /// The time; `None` if the bucket was given up.
    pub(super) fn get(&self) -> Option<u64> {
        // Relaxed, here and below: the whole state is this one word.
        Some(self.0.load(Ordering::Relaxed)).filter(|&time| time != DEAD)
    }

    /// Applies `f` to the time; `None` if the bucket was given up.
    #[inline]
    pub(super) fn change(&self, f: impl Fn(u64) -> Option<u64>) -> Option<Change> {
        let mut before = self.0.load(Ordering::Relaxed);
        while before != DEAD {
            let after = f(before);
            let Some(time) = after else {
                return Some(Change { before, after });
            };
            match self.0.compare_exchange(before, time, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return Some(Change { before, after }),
                Err(seen) => before = seen,
            }
        }
        None
    }

    /// Gives the bucket up if `drained` says so of its time; whether it is given up.
    pub(super) fn kill(&self, drained: impl FnOnce(u64) -> bool) -> bool {
        let time = self.0.load(Ordering::Relaxed);
        time == DEAD
            || drained(time)
                && self.0.compare_exchange(time, DEAD, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }
}
