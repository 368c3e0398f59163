//! Why a shared table could not be opened.

use std::fmt;
use std::io;

use tidegate_core::QuotaError;

/// Why a [`SharedTable`](super::SharedTable) could not be opened.
#[derive(Debug)]
#[non_exhaustive]
pub enum SharedError {
    /// There is no unit of time for the quotas.
    Quota(QuotaError),
    /// The file holds something else, and was left as it is.
    Differs(Difference),
    /// The system refused the file, its lock, its length or the mapping.
    Io(io::Error),
}

/// In what a file differs from the table that is to be opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Difference {
    /// It is not a table.
    Magic,
    /// It is of another version of this crate, or of a program of another word size.
    Version,
    /// Its times are of another boot of the machine.
    Boot,
    /// Its times are in another unit: its quotas were others.
    Unit,
    /// It has another number of sets or another length: it was made for another number of keys.
    Size,
    /// It answers new keys by another policy when it is full.
    OnFull,
    /// It was made for clocks that are further apart, or less far.
    Grace,
}

impl fmt::Display for SharedError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Quota(error) => write!(f, "shared table: {error}"),
            Self::Differs(difference) => write!(f, "shared table: {difference}"),
            Self::Io(error) => write!(f, "shared table: {error}"),
        }
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Magic => "the file is not a table",
            Self::Version => "the file is of another version",
            Self::Boot => "the file is of another boot",
            Self::Unit => "the file has another unit of time",
            Self::Size => "the file has another size",
            Self::OnFull => "the file has another policy for a full table",
            Self::Grace => "the file has another grace",
        })
    }
}

impl std::error::Error for SharedError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Quota(error) => Some(error),
            Self::Io(error) => Some(error),
            Self::Differs(_) => None,
        }
    }
}
