//! When something is to be done.

use std::time::Duration;

use tidegate_core::{Budget, Cadence};

use crate::config::{self, ConfigError};

/// When something is to be done, and how much of it at a time. Plain data.
///
/// Deadlines are absolute: the k-th is at the start and k intervals. Those that pass while the work of an
/// earlier one is under way are skipped, and counted.
///
/// ```
/// use std::time::Duration;
/// use tidegate::{First, Schedule};
///
/// let hourly = Schedule::every(Duration::from_secs(3_600))?.first(First::AfterInterval);
/// let minute = Schedule::for_ttl(Duration::from_secs(300)); // what lives for so long
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

/// When the first time is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum First {
    /// As soon as it is started.
    #[default]
    AtOnce,
    /// An interval later.
    AfterInterval,
}

impl Schedule {
    /// At every interval, from the start on.
    ///
    /// # Errors
    ///
    /// If the interval is below 100 us, or above 366 days.
    pub fn every(interval: Duration) -> Result<Self, ConfigError> {
        Ok(Self::checked(config::interval(interval)?))
    }

    /// Five times in a time to live, at least once an hour, and at most 1,000 times a second.
    #[must_use]
    pub fn for_ttl(ttl: Duration) -> Self {
        Self::checked(Cadence::interval_for(ttl))
    }

    /// At an interval that was looked at.
    pub(crate) const fn checked(interval: Duration) -> Self {
        // Some tens of microseconds.
        let budget = Budget::entries(4_096);
        Self { interval, first: First::AtOnce, budget, is_enabled: true }
    }

    /// When the first time is.
    #[must_use]
    pub const fn first(mut self, first: First) -> Self {
        self.first = first;
        self
    }

    /// How much is done in a step, at least one entry: between two, others have their turn, and the thread can
    /// be stopped.
    #[must_use]
    pub const fn budget(mut self, budget: Budget) -> Self {
        self.budget = if budget.get() == 0 { Budget::entries(1) } else { budget };
        self
    }

    /// Whether it is to be done at all, until that is changed.
    #[must_use]
    pub const fn enabled(mut self, is_enabled: bool) -> Self {
        self.is_enabled = is_enabled;
        self
    }

    /// The interval.
    pub const fn interval(&self) -> Duration {
        self.interval
    }
}
