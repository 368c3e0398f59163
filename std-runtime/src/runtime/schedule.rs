//! When work is due.

use std::time::Duration;

use tidegate_core::{Budget, Cadence};

use crate::config::{self, ConfigError};

/// Says when a target is due, and how much of it is swept at a time.
///
/// Deadlines are absolute: the k-th deadline is k intervals after the start. Deadlines that pass while an earlier run
/// is in progress are skipped, and counted.
///
/// ```
/// use std::time::Duration;
/// use tidegate::{First, Schedule};
///
/// let hourly = Schedule::every(Duration::from_secs(3_600))?.first(First::AfterInterval);
/// let minute = Schedule::for_ttl(Duration::from_secs(300)); // entries live for five minutes
/// assert_eq!(minute.interval(), Duration::from_secs(60));
/// # let _ = hourly;
/// # Ok::<(), tidegate::ConfigError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Schedule {
    pub(crate) interval: Duration,
    pub(crate) first: First,
    pub(crate) budget: Budget,
    pub(crate) is_enabled: bool,
}

/// Says when the first run is due.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum First {
    /// At the start.
    #[default]
    AtOnce,
    /// An interval after the start.
    AfterInterval,
}

impl Schedule {
    /// Creates a schedule with a deadline at every interval, from the start on.
    ///
    /// # Errors
    ///
    /// If the interval is below 100 us, or above 366 days.
    pub fn every(interval: Duration) -> Result<Self, ConfigError> {
        Ok(Self::checked(config::interval(interval)?))
    }

    /// Creates a schedule with five deadlines in a time to live, at least one an hour, and at most 1,000 a second.
    #[must_use]
    pub fn for_ttl(ttl: Duration) -> Self {
        Self::checked(Cadence::interval_for(ttl))
    }

    /// Creates a schedule of an interval that was checked.
    pub(crate) const fn checked(interval: Duration) -> Self {
        // A step of this budget takes some tens of microseconds.
        let budget = Budget::entries(4_096);
        Self { interval, first: First::AtOnce, budget, is_enabled: true }
    }

    /// Sets when the first run is due. At the start by default.
    #[must_use]
    pub const fn first(mut self, first: First) -> Self {
        self.first = first;
        self
    }

    /// Sets the budget of a step, which is at least one entry. Between two steps other targets take their turn, and the
    /// thread can be stopped. 4,096 entries by default.
    #[must_use]
    pub const fn budget(mut self, budget: Budget) -> Self {
        self.budget = if budget.get() == 0 { Budget::entries(1) } else { budget };
        self
    }

    /// Sets whether the target is enabled. True by default.
    #[must_use]
    pub const fn enabled(mut self, is_enabled: bool) -> Self {
        self.is_enabled = is_enabled;
        self
    }

    /// Returns the interval.
    pub const fn interval(&self) -> Duration {
        self.interval
    }
}
