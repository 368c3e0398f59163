//! What follows from a reading.

use core::fmt;

use super::reading::Unknown;
use crate::time::Instant;

/// What follows from a reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Outcome {
    /// The amount in the request is to be evicted. Then [`settle`](super::Controller::settle) takes
    /// what was evicted.
    Evict(Request),
    /// Nothing is to be evicted.
    Skipped(Skip),
}

/// What is to be evicted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request {
    /// The amount, in the unit of the reading; above 0.
    pub amount: u64,
}

/// Why nothing is evicted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Skip {
    /// The controller is switched off.
    Disabled,
    /// Less than the high watermark is used, or eviction has reached the low one since.
    BelowWatermark,
    /// There was nothing to evict. The controller never answers so; a caller that carries out
    /// requests does.
    NothingToEvict,
    /// The source does not yet show what the last eviction did.
    Cooldown {
        /// The time at which the next eviction is possible.
        until: Instant,
    },
    /// Evicting did not help, and the growth does not pass the total.
    Ineffective {
        /// The time at which a full step is tried again.
        until: Instant,
    },
    /// The reading is unknown.
    Unknown(Unknown),
}

impl fmt::Display for Skip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Disabled => f.write_str("disabled"),
            Self::BelowWatermark => f.write_str("below the watermark"),
            Self::NothingToEvict => f.write_str("nothing to evict"),
            Self::Cooldown { until } => write!(f, "resting until {until}"),
            Self::Ineffective { until } => write!(f, "ineffective, not tried until {until}"),
            Self::Unknown(why) => write!(f, "the reading is {why}"),
        }
    }
}
