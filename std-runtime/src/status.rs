//! How something that is done again and again is faring.

use std::time::Duration;

use tidegate_core::Instant;

/// How a task is faring, or a runtime: the worst of its tasks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Health {
    /// It is switched off.
    Disabled,
    /// Its runtime was not started, or was stopped.
    Stopped,
    /// It is done when it is to be done.
    Healthy,
    /// Its last runs failed.
    Degraded {
        /// So many in a row.
        consecutive_errors: u32,
    },
    /// A run has been due or under way for several intervals, and has not ended.
    Stalled {
        /// It was due then, by [the clock of the process](crate::clock()), whatever the runtime's is.
        since: Instant,
    },
    /// Its thread has ended, though nobody stopped it.
    Dead,
}

impl Health {
    /// How bad it is: what a runtime shows is the worst of its tasks.
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

/// What a task has done since it was made, or since its metrics were reset. All of one moment: that at which
/// a run ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Metrics {
    /// Runs that ended well.
    pub runs: u64,
    /// Runs that failed.
    pub errors: u64,
    /// Of those, the ones that panicked.
    pub panics: u64,
    /// So many of the last of these runs failed, in a row.
    pub consecutive_errors: u32,
    /// Entries removed. What a run removed before it failed counts with the next that ends well.
    pub removed: u64,
    /// Those of the last run that ended well.
    pub removed_last: u64,
    /// How long the steps took of the last run that ended well.
    pub duration_last: Duration,
    /// The longest of these.
    pub duration_max: Duration,
    /// Their sum.
    pub duration_total: Duration,
    /// Deadlines that were skipped because a run took too long, or the thread was late.
    pub overruns: u64,
    /// Deadlines that were skipped because runs had failed.
    pub backed_off: u64,
    /// When the last run ended that ended well, by [the clock of the process](crate::clock()), whatever the
    /// runtime's is.
    pub last_success: Option<Instant>,
}

impl Metrics {
    /// The average duration of a run; zero if there was none.
    pub fn duration_average(&self) -> Duration {
        let nanos = self.duration_total.as_nanos().checked_div(u128::from(self.runs));
        Duration::from_nanos(nanos.unwrap_or(0) as u64)
    }

    /// The average number of entries that a run removed; zero if there was none.
    pub fn removed_average(&self) -> f64 {
        if self.runs == 0 { 0.0 } else { self.removed as f64 / self.runs as f64 }
    }

    /// How long ago the last run ended well.
    pub fn last_success_age(&self, now: Instant) -> Option<Duration> {
        self.last_success.map(|then| now.since(then))
    }
}
