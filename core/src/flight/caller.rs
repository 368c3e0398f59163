//! Callers that claim, and the error of those that came too late.

use core::fmt;

/// Distinguishes callers that could wait for one another: threads or tasks, as many as the user
/// likes. A runtime may give numbers from 2^31 on to threads (`tidegate::caller`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Caller(pub u32);

/// Identifies a leader or follower of a flight. It is a [`Caller`] of the user's, or a number of
/// the runtime's that equals none of those.
///
/// ```
/// use tidegate_core::flight::{Caller, CallerId};
///
/// assert_eq!(CallerId::from(Caller(7)), CallerId::from(Caller(7)));
/// assert_ne!(CallerId::of_runtime(7), CallerId::from(Caller(7)));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CallerId(Kind);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Kind {
    User(u32),
    Runtime(u64),
}

impl CallerId {
    /// Makes an identity for a runtime, which gives each number out once in a process. `tidegate`
    /// does so for its loads; its users choose a [`Caller`].
    pub const fn of_runtime(number: u64) -> Self {
        Self(Kind::Runtime(number))
    }
}

impl From<Caller> for CallerId {
    fn from(Caller(number): Caller) -> Self {
        Self(Kind::User(number))
    }
}

/// The lease of a claim, or of a leader, has ended, and another caller has come since.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct SupersededError;

impl fmt::Display for SupersededError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the lease has ended, and another caller has come since")
    }
}

impl core::error::Error for SupersededError {}
