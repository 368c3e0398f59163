//! Why a map refused a change.

use crate::reclaim::{Full, OutOfMemory};

/// Why a map refused a change. The map is as it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MapError {
    /// The allocator has no memory left.
    OutOfMemory,
    /// 64 keys of the map already share the bucket: far more than chance allows. Either the hash is
    /// weak, or an attacker that knows its seed chooses the keys.
    HashFlood,
    /// As much is retired and not freed as the [`Domain`](crate::Domain)'s cap allows. A thread
    /// must collect, or one has stopped while pinned.
    Backpressure,
}

impl core::fmt::Display for MapError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::OutOfMemory => "map: out of memory",
            Self::HashFlood => "map: too many keys share a bucket; is the hash keyed?",
            Self::Backpressure => "map: the domain holds as much garbage as its cap allows",
        })
    }
}

impl core::error::Error for MapError {}

impl From<OutOfMemory> for MapError {
    fn from(_: OutOfMemory) -> Self {
        Self::OutOfMemory
    }
}

impl From<Full> for MapError {
    fn from(_: Full) -> Self {
        Self::Backpressure
    }
}

/// What a map did not insert, handed back with the reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InsertError<T> {
    /// The reason.
    pub error: MapError,
    /// What was not inserted.
    pub value: T,
}

impl<T> core::fmt::Display for InsertError<T> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        self.error.fmt(f)
    }
}

impl<T: core::fmt::Debug> core::error::Error for InsertError<T> {}
