//! What a reading comes to.

use core::fmt;

use super::reading::Unknown;
use crate::time::Instant;

/// What a reading comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Outcome {
    /// So much is to be evicted; then the controller is to be [told](super::Controller::settle) what was.
    Evict(Request),
    /// Nothing.
    Skipped(Skip),
}

/// What is to be evicted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request {
    /// How much, in the unit of the reading; above 0.
    pub amount: u64,
}

/// Why nothing is evicted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Skip {
    /// It is switched off.
    Disabled,
    /// Less than the high watermark is used, or eviction has reached the low one since.
    BelowWatermark,
    /// There was nothing to evict. The controller does not say so; a caller that carries out requests does.
    NothingToEvict,
    /// What the last eviction did is not to be seen yet.
    Cooldown {
        /// The next is possible then.
        until: Instant,
    },
    /// Evicting did not help, and what comes in does not pass the total.
    Ineffective {
        /// A full step is tried again then.
        until: Instant,
    },
    /// It is not known how much is used.
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
