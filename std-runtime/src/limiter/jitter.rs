//! Random delays.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

/// A random delay on top of a wait, so that requests that were held up together do not go on together.
///
/// Requests are never early by it, but those that were late by different delays may meet. So a window holds at most
/// the burst and what flows in within its length and the longest delay.
///
/// ```
/// use std::time::Duration;
/// use tidegate::Jitter;
///
/// let jitter = Jitter::up_to(Duration::from_millis(50));
/// assert_ne!(jitter, Jitter::NONE);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Jitter {
    nanos: u64,
}

impl Jitter {
    /// No delay.
    pub const NONE: Self = Self { nanos: 0 };

    /// Returns a delay between zero and `most`, another one for each wait.
    pub const fn up_to(most: Duration) -> Self {
        let nanos = most.as_nanos();
        Self { nanos: if nanos < u64::MAX as u128 { nanos as u64 } else { u64::MAX } }
    }

    /// Returns a delay for one wait.
    pub(super) fn delay(self) -> Duration {
        if self.nanos == 0 {
            return Duration::ZERO;
        }
        // The standard library's hasher has random keys.
        let random = RandomState::new().hash_one(0);
        Duration::from_nanos(((u128::from(self.nanos) * u128::from(random)) >> 64) as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_differ_and_are_within_their_bound() {
        let most = Duration::from_millis(10);
        let delays: Vec<_> = (0..1_000).map(|_| Jitter::up_to(most).delay()).collect();
        assert!(delays.iter().all(|&delay| delay < most));
        let of_the_half = delays.iter().filter(|&&delay| delay < most / 2).count();
        assert!((300..700).contains(&of_the_half), "{of_the_half} of 1,000 are below the half");
        assert_eq!(Jitter::NONE.delay(), Duration::ZERO);
        assert_eq!(Jitter::up_to(Duration::MAX), Jitter { nanos: u64::MAX });
    }
}
