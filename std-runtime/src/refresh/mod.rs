//! Values that must be renewed before they expire: credentials, tokens, keys.
//!
//! A [`Refresher`] holds one value that expires. One caller, a thread of a [`Runtime`](crate::Runtime) or an executor
//! renews the value early. All other callers get the valid value meanwhile, without a lock.
//!
//! | values are made by | built with | asked with |
//! |---|---|---|
//! | a function that blocks | [`Refresher::builder`] | [`get`](Refresher::get), or [`get_async`](Refresher::get_async) with a future of the caller's |
//! | a future | [`Refresher::from_async`] | [`get_async`](Refresher#method.get_async-1) |

mod attempt;
mod blocking;
mod book;
mod breaker;
mod builder;
mod due;
mod mint;
mod refresher;
mod rules;
mod tasks;

use std::fmt;
use std::time::Duration;

use tidegate_core::{Instant, Ttl};

pub use self::breaker::Breaker;
pub use self::builder::{BuildError, Builder};
pub use self::mint::Blocking;
pub use self::refresher::{Attended, Refresher};
pub use self::tasks::{Async, Drive};

use crate::wait::TimedOutError;

/// Holds a new value and its time to live.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Minted<T> {
    /// The value.
    pub value: T,
    /// The time for which the value is valid, counted from the moment at which its making began.
    pub ttl: Ttl,
}

/// Says why a refresher returned no value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RefreshError<E> {
    /// The renewal failed. All callers get this failure until the next renewal is tried.
    Failed(E),
    /// The function that makes values panicked, or the clock, or `Clone` of the failure.
    Panicked,
    /// The new value had expired when it was made, or before it could be returned.
    AlreadyExpired,
    /// The last value was [rejected](Refresher::reject) soon after it had been made.
    Rejected {
        /// No renewal is tried before this.
        until: Instant,
    },
    /// Too many renewals failed. The breaker is open, and no renewal is tried.
    BreakerOpen {
        /// No renewal is tried before this; `None` while a renewal is in progress.
        until: Option<Instant>,
    },
    /// The caller is a part of the renewal, and would wait for itself.
    Reentrant,
    /// A renewal is in progress that takes longer than the caller would wait, or longer than [its
    /// lease](Builder::mint_lease).
    TimedOut,
}

impl<E: fmt::Display> fmt::Display for RefreshError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failed(error) => error.fmt(f),
            Self::Panicked => f.write_str("making the value panicked"),
            Self::AlreadyExpired => f.write_str("the new value had expired already"),
            Self::Rejected { until } => {
                write!(f, "the value was rejected; no other is made until {until}")
            }
            Self::BreakerOpen { until: Some(until) } => {
                write!(f, "too many renewals failed; none is tried until {until}")
            }
            Self::BreakerOpen { until: None } => {
                f.write_str("too many renewals failed, and one is being tried")
            }
            Self::Reentrant => f.write_str("the renewal asked for its own value"),
            Self::TimedOut => TimedOutError.fmt(f),
        }
    }
}

impl<E: fmt::Debug + fmt::Display> std::error::Error for RefreshError<E> {}

/// Describes a change of a [`Refresher`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// There is a new value. It is valid for this long, or for ever if this is `None`.
    Renewed(Option<Duration>),
    /// A renewal failed. The old value is valid for this long.
    Failed(Duration),
    /// The value was [rejected](Refresher::reject).
    Rejected,
    /// The breaker changed its state, not only its count of failures.
    Breaker(Breaker),
}

/// Shows the state and the counts of a [`Refresher`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RefreshStatus {
    /// The time at which the value expires; `None` if it never does, or if there is no value.
    pub expires: Option<Instant>,
    /// The time at which the value is due for renewal; `None` if it never is, or if there is no value.
    pub due: Option<Instant>,
    /// The state of the breaker, which says whether renewals are tried.
    pub breaker: Breaker,
    /// The number of renewals that succeeded, the first one included.
    pub renewed: u64,
    /// The number of renewals that failed.
    pub failed: u64,
    /// The number of values that were [rejected](Refresher::reject).
    pub rejected: u64,
}
