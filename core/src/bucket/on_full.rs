//! What a table answers when it is full, and what it counts.

/// What a table answers a new key whose set is full of buckets in debt.
///
/// None of them takes a bucket from a key that has one: a flood of keys changes no decision for
/// the keys that are there.
///
/// A key has a bucket from the moment at which others can find it. A key's first request may take
/// the last free slot of a set, or the last place of a map. Until its thread has published the
/// bucket, further requests for the key are answered as for a key without one. That takes some tens
/// of nanoseconds, or as long as the thread is without a processor. Waiting for it would make one
/// thread's progress another's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum OnFull {
    /// Denies the key: nothing passes uncounted. Under a flood, new clients wait for a slot.
    #[default]
    Deny,
    /// Admits the key without counting: no client is refused for the table's sake, and a client
    /// that can fill the table is unlimited. [`Counters::unplaced_admitted`] counts these requests.
    Admit,
    /// Charges one of 64 words that the keys without a slot share, chosen by hash: together they
    /// get 64 quotas. A new key that finds a slot starts with the debt of its shared word, so that
    /// moving hands nothing back. Until that is paid, the key is answered from the word. So a flood
    /// that fills even one set makes new keys of all sets wait; keys that have a bucket keep it.
    Shared,
}

/// Counts of events on the way to answers, each since the table was made. Every count wraps at
/// 2^64.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Counters {
    /// Checks of a key for which there was no slot, answered by the [`OnFull`] policy.
    pub unplaced: u64,
    /// The unplaced checks that were admitted.
    pub unplaced_admitted: u64,
    /// Buckets that an insertion gave up to make room, because they equalled fresh ones.
    pub reclaimed: u64,
    /// What roll-backs of [`check_all`](super::check_all) could not give back, in nanoseconds of the
    /// buckets' time: at most what flowed in meanwhile.
    pub lost: u64,
}

/// How many words the keys without a slot share.
pub(super) const WORDS: usize = if cfg!(loom) { 1 } else { 64 };
