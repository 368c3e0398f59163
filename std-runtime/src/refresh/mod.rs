//! What must be renewed before it ends: credentials, tokens, keys.
//!
//! A [`Refresher`] holds one value with an end. It has the value renewed early, by one caller, by a
//! thread of a [`Runtime`](crate::Runtime) or by an executor. All other callers get the valid value
//! meanwhile, without a lock.
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
mod refresher;
mod rules;
mod tasks;

use std::fmt;
use std::time::Duration;

use tidegate_core::{Instant, Ttl};

pub use self::blocking::Blocking;
pub use self::breaker::Breaker;
pub use self::builder::{BuildError, Builder};
pub use self::refresher::{Attended, Refresher};
pub use self::tasks::{Async, Drive};

use crate::wait::TimedOut;

/// A new value, and how long it is valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Minted<T> {
    /// The value.
    pub value: T,
    /// How long the value is valid, counted from the moment at which its making began.
    pub ttl: Ttl,
}

/// Why there is no value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RefreshError<E> {
    /// The renewal failed. Until the next one is tried, all callers get this failure.
    Failed(E),
    /// Making the value panicked, or the clock did, or copying the failure.
    Panicked,
    /// The new value had ended already when it came, or before it could be handed out.
    AlreadyExpired,
    /// The last value was [rejected](Refresher::reject), soon after it had been made.
    Rejected {
        /// No renewal is tried before this.
        until: Instant,
    },
    /// Too many renewals failed. The breaker is open, and none is tried.
    BreakerOpen {
        /// No renewal is tried before this; `None` while one is being tried.
        until: Option<Instant>,
    },
    /// The caller is part of the renewal, and would wait for itself.
    Reentrant,
    /// A renewal is in progress, and takes longer than the caller would wait, or longer than [its
    /// lease](Builder::mint_lease).
    TimedOut,
}

impl<E: fmt::Display> fmt::Display for RefreshError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failed(error) => error.fmt(f),
            Self::Panicked => f.write_str("making the value panicked"),
            Self::AlreadyExpired => f.write_str("the new value had ended already"),
            Self::Rejected { until } => {
                write!(f, "the value was rejected; the next is made at {until}")
            }
            Self::BreakerOpen { until: Some(until) } => {
                write!(f, "too many renewals failed; none is tried until {until}")
            }
            Self::BreakerOpen { until: None } => {
                f.write_str("too many renewals failed, and one is being tried")
            }
            Self::Reentrant => f.write_str("the renewal asked for its own value"),
            Self::TimedOut => TimedOut.fmt(f),
        }
    }
}

impl<E: fmt::Debug + fmt::Display> std::error::Error for RefreshError<E> {}

/// Something that happened to a [`Refresher`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// There is a new value, valid for this long; `None`: for ever.
    Renewed(Option<Duration>),
    /// A renewal failed. The old value is valid for this long.
    Failed(Duration),
    /// The value was [rejected](Refresher::reject).
    Rejected,
    /// The breaker changed, otherwise than in its count of failures.
    Breaker(Breaker),
}

/// How a [`Refresher`] is faring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RefreshStatus {
    /// When the value ends; `None` if it never does, or if there is no value.
    pub expires: Option<Instant>,
    /// When the value is due for renewal; `None` if it never is, or if there is no value.
    pub due: Option<Instant>,
    /// Whether renewals are tried.
    pub breaker: Breaker,
    /// How many renewals succeeded, the first one included.
    pub renewed: u64,
    /// How many renewals failed.
    pub failed: u64,
    /// How many values were [rejected](Refresher::reject).
    pub rejected: u64,
}
