//! Why an entry is removed, and which entry is removed for a new one.

use core::fmt;

/// Why an entry was removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Departure {
    /// It had expired.
    Expired,
    /// It was withdrawn, cleared or forgotten.
    Withdrawn,
    /// Another entry took its key.
    Replaced,
    /// Another entry needed its room: [`WhenFull::EvictSoonest`].
    Evicted,
}

/// What happens to a new entry when a namespace holds as many entries as it may.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum WhenFull {
    /// The new entry is handed back. In a `Registry`, an entry that has ended or was withdrawn
    /// without a guard holds its room until it is pruned or swept.
    #[default]
    Refuse,
    /// The entry that would expire soonest is removed. Where there are few entries or fixed memory,
    /// it is the soonest of all. Where there are many, it is the soonest of those that a hand
    /// passes in 256 steps.
    EvictSoonest,
}

/// The entry has ended, or is no longer there: advertise it again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LapsedError;

impl fmt::Display for LapsedError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the lease has ended")
    }
}

impl core::error::Error for LapsedError {}
