//! Why an entry was removed.

/// Why an entry was removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RemovalCause {
    /// It had expired, and the time for which stale values are kept was over.
    Expired,
    /// It was invalidated.
    Explicit,
    /// Another entry was inserted for its key, or was to be and is not kept.
    Replaced,
    /// Another entry needed its room, or there was none for it when it was inserted.
    Size,
    /// [`Cache::evict_bytes`](super::Cache::evict_bytes) was asked for bytes.
    Pressure,
}

impl RemovalCause {
    /// Returns whether the cache removed the entry by itself, and not because a caller removed or
    /// replaced it.
    pub const fn was_evicted(self) -> bool {
        matches!(self, Self::Expired | Self::Size | Self::Pressure)
    }
}
