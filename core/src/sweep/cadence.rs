//! A schedule of absolute deadlines.

use core::time::Duration;

use crate::time::Instant;

/// Deadlines at `start + k * interval`: late work moves none of them, so there is no drift.
///
/// Deadlines that pass while the work runs are skipped and counted; there is never more than one
/// to catch up with.
///
/// ```
/// use core::time::Duration;
/// use tidegate_core::{Cadence, Instant};
///
/// let mut cadence = Cadence::new(Instant::ORIGIN, Duration::from_secs(10));
/// assert!(cadence.due(Instant::ORIGIN).is_some()); // the first, at once
/// assert_eq!(cadence.due(Instant::from_secs(9)), None);
///
/// // The work took until 32 s: the deadlines at 10 s and 20 s are gone, the one at 30 s is due.
/// let tick = cadence.due(Instant::from_secs(32)).unwrap();
/// assert_eq!((tick.at, tick.missed), (Instant::from_secs(30), 2));
/// assert_eq!(cadence.next_due(), Instant::from_secs(40));
/// ```
#[derive(Clone, Debug)]
pub struct Cadence {
    next: Instant,
    /// Nanoseconds, at least 1.
    interval: u64,
    missed: u64,
}

/// A deadline that has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tick {
    /// When it was to be.
    pub at: Instant,
    /// Earlier ones that nobody asked for in time.
    pub missed: u64,
}

impl Cadence {
    /// A cadence whose first deadline is `start`. An interval of zero is taken for 1 ns: always due.
    pub fn new(start: Instant, interval: Duration) -> Self {
        let interval = crate::time::nanos(interval).max(1);
        Self { next: start, interval, missed: 0 }
    }

    /// The interval.
    pub fn interval(&self) -> Duration {
        Duration::from_nanos(self.interval)
    }

    /// The next deadline.
    pub fn next_due(&self) -> Instant {
        self.next
    }

    /// Takes the latest deadline that is not after `now`, if there is one to take.
    pub fn due(&mut self, now: Instant) -> Option<Tick> {
        let late = now.as_nanos().checked_sub(self.next.as_nanos())?;
        let missed = late / self.interval;
        let at = self.next.as_nanos() + missed * self.interval;
        self.next = Instant::from_nanos(at.saturating_add(self.interval));
        self.missed = self.missed.saturating_add(missed);
        Some(Tick { at: Instant::from_nanos(at), missed })
    }

    /// All deadlines that were skipped so far.
    pub fn missed(&self) -> u64 {
        self.missed
    }
}
