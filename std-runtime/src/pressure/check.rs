//! The result of a check.

use std::fmt;

use tidegate_core::pressure::Skip;

use crate::runtime::task::Output;

/// The result of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Check {
    /// Entries were evicted.
    Evicted {
        /// How many entries.
        entries: u64,
        /// How many bytes they had.
        bytes: u64,
        /// How many bytes were asked for.
        target: u64,
        /// How many bytes less than that were evicted: the rest is pinned, held elsewhere, or not
        /// there.
        shortfall: u64,
    },
    /// No entries were evicted.
    Skipped(Skip),
}

impl Output for Check {
    fn removed(&self) -> u64 {
        match *self {
            Self::Evicted { entries, .. } => entries,
            Self::Skipped(_) => 0,
        }
    }
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Evicted { entries, bytes, target, shortfall } => {
                write!(f, "evicted {entries} entries, {bytes} bytes of {target}")?;
                if *shortfall > 0 { write!(f, ", {shortfall} short") } else { Ok(()) }
            }
            Self::Skipped(skip) => skip.fmt(f),
        }
    }
}
