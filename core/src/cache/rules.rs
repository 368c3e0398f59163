//! The rules of a cache.

use alloc::boxed::Box;
use core::time::Duration;

use super::cause::RemovalCause;
use super::totals::Usage;
use crate::map::Tail;
use crate::time::{Ttl, nanos};

pub(super) type Weigher<K, V> = Box<dyn Fn(&K, &V) -> u64 + Send + Sync>;
pub(super) type Expiry<K, V> = Box<dyn Fn(&K, &V) -> Ttl + Send + Sync>;
pub(super) type Listener<K, V> = Box<dyn Fn(&K, &V, RemovalCause) + Send + Sync>;

/// The rules of a cache.
pub(super) struct Rules<K, V> {
    pub(super) max: Usage,
    pub(super) ttl: Ttl,
    /// The time to live of a value, in place of `ttl`.
    pub(super) expiry: Option<Expiry<K, V>>,
    /// How long an entry stays unread, in nanoseconds.
    pub(super) idle: Option<u64>,
    /// In parts per million of the time to live.
    pub(super) jitter: u32,
    pub(super) revalidate: Duration,
    pub(super) on_error: Duration,
    pub(super) lease: Option<Duration>,
    pub(super) weigher: Option<Weigher<K, V>>,
    pub(super) listener: Option<Listener<K, V>>,
    pub(super) counts_reads: bool,
    /// Whether entries have stamps, so that predicates can invalidate them.
    pub(super) by_predicate: bool,
}

impl<K, V> Rules<K, V> {
    /// Creates the default rules.
    pub(super) fn new() -> Self {
        Self {
            max: Usage { entries: u64::MAX, bytes: u64::MAX },
            ttl: Ttl::Forever,
            expiry: None,
            idle: None,
            jitter: 0,
            revalidate: Duration::ZERO,
            on_error: Duration::ZERO,
            lease: None,
            weigher: None,
            listener: None,
            counts_reads: false,
            by_predicate: false,
        }
    }

    /// Returns how many words an entry has behind it: its last end in a cache with a time to idle,
    /// and its stamp in a cache with predicates.
    pub(super) fn words(&self) -> usize {
        usize::from(self.idle.is_some()) + usize::from(self.by_predicate)
    }

    /// Returns what these words hold at first.
    pub(super) fn tail(&self, last_end: u64, stamp: u64) -> Tail {
        if self.idle.is_some() { [last_end, stamp] } else { [stamp, 0] }
    }

    /// Returns which of them is the stamp, in a cache with predicates.
    pub(super) fn stamp_word(&self) -> Option<usize> {
        self.by_predicate.then_some(usize::from(self.idle.is_some()))
    }

    /// Returns how long a value is fresh whose insertion does not say it.
    pub(super) fn ttl_of(&self, key: &K, value: &V) -> Ttl {
        self.expiry.as_ref().map_or(self.ttl, |expiry| expiry(key, value))
    }

    /// Returns for how many nanoseconds an entry that is no longer fresh is kept.
    pub(super) fn stale(&self) -> u64 {
        nanos(self.revalidate.max(self.on_error))
    }
}
