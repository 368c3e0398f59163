//! Health and metrics of work that recurs.

use std::time::Duration;

use tidegate_core::Instant;

/// Shows the health of a target, or of a runtime, which is that of its worst target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Health {
    /// The target is switched off.
    Disabled,
    /// The runtime was not started, or was stopped.
    Stopped,
    /// No run is overdue, and the last run did not fail.
    Healthy,
    /// The last runs failed.
    Degraded {
        /// How many failed in a row.
        consecutive_errors: u32,
    },
    /// A run has been due or in progress for several intervals, and has not ended.
    Stalled {
        /// When the run was due, by [the clock of the process](crate::clock()), whatever the runtime's is.
        since: Instant,
    },
    /// The thread has ended, though it was not stopped.
    Dead,
}

impl Health {
    /// Returns the rank of a health: a runtime shows the worst of its targets.
    pub(crate) fn badness(self) -> u8 {
        match self {
            Self::Disabled => 0,
            Self::Healthy => 1,
            Self::Stopped => 2,
            Self::Degraded { .. } => 3,
            Self::Stalled { .. } => 4,
            Self::Dead => 5,
        }
    }
}

/// Counts the runs of a target since it was added, or since its metrics were reset. All figures are of one moment, at
/// which a run ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Metrics {
    /// Runs that ended well.
    pub runs: u64,
    /// Runs that failed.
    pub errors: u64,
    /// Failed runs that panicked.
    pub panics: u64,
    /// How many of the last runs failed in a row.
    pub consecutive_errors: u32,
    /// Entries removed. The entries that a run removed before it failed count with the next run that ends well.
    pub removed: u64,
    /// Entries removed by the last run that ended well.
    pub removed_last: u64,
    /// The duration of the last run that ended well, which is that of its steps.
    pub duration_last: Duration,
    /// The longest duration of a run that ended well.
    pub duration_max: Duration,
    /// The durations of all runs that ended well.
    pub duration_total: Duration,
    /// Deadlines that were skipped because a run took too long, or the thread was late.
    pub overruns: u64,
    /// Deadlines that were skipped because runs had failed.
    pub backed_off: u64,
    /// The end of the last run that ended well, by [the clock of the process](crate::clock()), whatever the
    /// runtime's is.
    pub last_success: Option<Instant>,
}

impl Metrics {
    /// Returns the average duration of a run; zero if there was none.
    pub fn duration_average(&self) -> Duration {
        let nanos = self.duration_total.as_nanos().checked_div(u128::from(self.runs));
        Duration::from_nanos(nanos.unwrap_or(0) as u64)
    }

    /// Returns the average number of entries that a run removed; zero if there was none.
    pub fn removed_average(&self) -> f64 {
        if self.runs == 0 { 0.0 } else { self.removed as f64 / self.runs as f64 }
    }

    /// Returns how long ago the last run ended well.
    pub fn last_success_age(&self, now: Instant) -> Option<Duration> {
        self.last_success.map(|then| now.since(then))
    }
}
