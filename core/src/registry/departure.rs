//! Why an entry goes, and who goes for whom.

use core::fmt;

/// Why an entry is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Departure {
    /// Its time was up.
    Expired,
    /// It was withdrawn, cleared or forgotten.
    Withdrawn,
    /// Another was entered for its key.
    Replaced,
    /// Another needed its room: [`WhenFull::EvictSoonest`].
    Evicted,
}

/// What becomes of a newcomer when a namespace holds as many entries as it may.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum WhenFull {
    /// It is handed back. In a `Registry`, what has ended or was withdrawn without a guard holds its room
    /// until it is pruned or swept.
    #[default]
    Refuse,
    /// The entry that would expire soonest goes for it: of all, where there are few or they are in fixed
    /// memory; of those that a hand passes in 256 steps, where there are many.
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
