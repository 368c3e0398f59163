//! Why a registry does not enter something.

use core::fmt;

use super::namespace::Unmet;
use crate::map::MapError;

/// Why an entry was not entered. The namespace is as it was, except that another entry may have
/// been evicted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RegistryError {
    /// There are as many entries as there may be, and none is evicted. An entry that another thread
    /// is removing counts until that has ended.
    Full,
    /// The key stands for a service that lives: see
    /// [`advertise_if_absent`](super::Services::advertise_if_absent).
    Taken,
    /// The map refuses the entry.
    Map(MapError),
}

impl fmt::Display for RegistryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full => f.write_str("registry: as many entries as max_entries allows"),
            Self::Taken => f.write_str("registry: the key stands for another service"),
            Self::Map(error) => write!(f, "registry: {error}"),
        }
    }
}

impl core::error::Error for RegistryError {}

/// What a registry did not enter, handed back with the reason.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct EnterError<T> {
    /// The reason.
    pub error: RegistryError,
    /// The value that was not entered.
    pub value: T,
}

impl<T> fmt::Display for EnterError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

// The value may be anything: a handler is rarely `Debug`.
impl<T> fmt::Debug for EnterError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EnterError").field("error", &self.error).finish_non_exhaustive()
    }
}

impl<T> core::error::Error for EnterError<T> {}

/// Returns an error that hands back the value that was not entered.
pub(super) fn rejected<T>(unmet: Unmet, value: T) -> EnterError<T> {
    let error = match unmet {
        Unmet::Full => RegistryError::Full,
        Unmet::Changed => RegistryError::Taken,
        Unmet::Map(error) => RegistryError::Map(error),
    };
    EnterError { error, value }
}
