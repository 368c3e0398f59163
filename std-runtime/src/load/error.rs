//! Why a load returned no value.

use std::fmt;

use tidegate_core::MapError;
use tidegate_core::flight::JoinError;

use crate::panics::contained;
use crate::wait::TimedOutError;

/// Says why a load returned no value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LoadError<E> {
    /// The loader failed.
    Failed(E),
    /// The loader panicked, or the clock, or the `Hash`, `Eq`, `Clone` or `Drop` of a key, a value or an error.
    Panicked,
    /// The loader of a key asked for that key: the caller would have waited for itself.
    Reentrant,
    /// Another caller's load took longer than the caller would wait.
    TimedOut,
    /// There is no room for another load.
    Refused(MapError),
    /// The thread or task that was given the load dropped it, or the value expired before the caller had it: see
    /// [`GetOrRefresh`](crate::GetOrRefresh).
    Abandoned,
}

impl<E: fmt::Display> fmt::Display for LoadError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failed(error) => error.fmt(f),
            Self::Panicked => f.write_str("the loader panicked"),
            Self::Reentrant => JoinError::Reentrant.fmt(f),
            Self::TimedOut => TimedOutError.fmt(f),
            Self::Refused(error) => error.fmt(f),
            Self::Abandoned => f.write_str("the load was dropped before its end"),
        }
    }
}

impl<E: fmt::Debug + fmt::Display> std::error::Error for LoadError<E> {}

impl<E> From<JoinError> for LoadError<E> {
    fn from(error: JoinError) -> Self {
        match error {
            JoinError::Reentrant => Self::Reentrant,
            JoinError::Map(error) => Self::Refused(error),
        }
    }
}

/// Runs `f`, of whose calls any may be the user's code.
pub(crate) fn caught<T, E>(f: impl FnOnce() -> Result<T, LoadError<E>>) -> Result<T, LoadError<E>> {
    contained(f).unwrap_or(Err(LoadError::Panicked))
}

/// Runs `f`, which returns `None` where the caller asks again.
pub(crate) fn caught_some<T, E>(
    f: impl FnOnce() -> Option<Result<T, LoadError<E>>>,
) -> Option<Result<T, LoadError<E>>> {
    contained(f).unwrap_or(Some(Err(LoadError::Panicked)))
}
