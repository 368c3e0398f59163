//! A schedule of absolute deadlines.

use core::time::Duration;

use crate::time::Instant;

/// Deadlines at `start + k * interval`. Late work moves none of them, so there is no drift.
///
/// Deadlines that pass while the work runs are skipped and counted. So work that takes longer than
/// the interval does not run without a pause.
///
/// ```
/// use core::time::Duration;
/// use tidegate_core::{Cadence, Instant};
///
/// let mut cadence = Cadence::new(Instant::ORIGIN, Duration::from_secs(10));
/// assert!(cadence.due(Instant::ORIGIN)); // the first, at once
/// assert!(!cadence.due(Instant::from_secs(9)));
/// assert!(cadence.due(Instant::from_secs(11))); // a little late, for the deadline at 10 s
///
/// cadence.finish(Instant::from_secs(32)); // that took long: 20 s and 30 s are gone
/// assert_eq!(cadence.missed(), 2);
/// assert_eq!(cadence.next_due(), Instant::from_secs(40));
/// ```
#[derive(Clone, Debug)]
pub struct Cadence {
    next: Instant,
    /// Nanoseconds, at least 1.
    interval: u64,
    missed: u64,
}

impl Cadence {
    /// Creates a cadence whose first deadline is `start`. An interval of zero counts as 1 ns, which
    /// is always due.
    pub fn new(start: Instant, interval: Duration) -> Self {
        let interval = crate::time::nanos(interval).max(1);
        Self { next: start, interval, missed: 0 }
    }

    /// Returns how often to sweep entries that live for `ttl`: five times in that time, at least
    /// once an hour, and at most 1,000 times a second.
    ///
    /// ```
    /// use core::time::Duration;
    /// use tidegate_core::Cadence;
    ///
    /// let minute = Duration::from_secs(60);
    /// assert_eq!(Cadence::interval_for(Duration::from_secs(300)), minute);
    /// ```
    #[must_use]
    pub fn interval_for(ttl: Duration) -> Duration {
        (ttl / 5).clamp(Duration::from_millis(1), Duration::from_secs(3_600))
    }

    /// Returns the interval.
    pub fn interval(&self) -> Duration {
        Duration::from_nanos(self.interval)
    }

    /// Returns the next deadline.
    pub fn next_due(&self) -> Instant {
        self.next
    }

    /// Returns whether a deadline has come, and takes it. If several have come since the last call,
    /// they are taken together, and all but the last count as missed.
    pub fn due(&mut self, now: Instant) -> bool {
        let Some(late) = now.as_nanos().checked_sub(self.next.as_nanos()) else {
            return false;
        };
        let missed = late / self.interval;
        self.advance(missed.saturating_add(1));
        self.missed = self.missed.saturating_add(missed);
        true
    }

    /// Marks the work of the last deadline as ended at `now`. Deadlines before that are skipped,
    /// and count as missed.
    pub fn finish(&mut self, now: Instant) {
        let missed = now.since(self.next).as_nanos().div_ceil(u128::from(self.interval)) as u64;
        self.advance(missed);
        self.missed = self.missed.saturating_add(missed);
    }

    fn advance(&mut self, deadlines: u64) {
        let by = self.interval.saturating_mul(deadlines);
        self.next = Instant::from_nanos(self.next.as_nanos().saturating_add(by));
    }

    /// Returns how many deadlines were skipped so far.
    pub fn missed(&self) -> u64 {
        self.missed
    }
}
