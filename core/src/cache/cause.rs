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
    /// Another entry needed its room.
    Size,
    /// [`Cache::evict_bytes`](super::Cache::evict_bytes) was asked for bytes.
    Pressure,
}
