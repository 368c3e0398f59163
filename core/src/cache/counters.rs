//! Counts of events, on words that are chosen by the keys' hashes.

use crossbeam_utils::CachePadded;

use super::cause::RemovalCause;
use crate::reclaim::STRIPES;
use crate::sync::{AtomicU64, Ordering};

/// The counts of events since the cache was made. Each figure is exact. While other threads use the
/// cache, two figures need not be of the same moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Gets and loads that a fresh value answered. Gets count only if [reads are
    /// counted](super::Builder::count_reads).
    pub hits: u64,
    /// Gets and loads that no fresh value answered, with the same condition for gets.
    pub misses: u64,
    /// The misses that were loads and were answered by a stale value.
    pub stale: u64,
    /// Values that were inserted.
    pub inserted: u64,
    /// Values that were handed back for want of room or memory.
    pub refused: u64,
    /// Entries removed with [`RemovalCause::Expired`].
    pub expired: u64,
    /// Entries removed with [`RemovalCause::Explicit`].
    pub invalidated: u64,
    /// Entries removed with [`RemovalCause::Replaced`].
    pub replaced: u64,
    /// Entries removed with [`RemovalCause::Size`].
    pub evicted: u64,
    /// Entries removed with [`RemovalCause::Pressure`].
    pub shed: u64,
}

/// The events that are counted.
#[derive(Clone, Copy)]
pub(super) enum Event {
    Hit,
    Miss,
    Stale,
    Inserted,
    Refused,
    Removed(RemovalCause),
}

const EVENTS: usize = 10;

impl Event {
    fn index(self) -> usize {
        match self {
            Self::Hit => 0,
            Self::Miss => 1,
            Self::Stale => 2,
            Self::Inserted => 3,
            Self::Refused => 4,
            Self::Removed(RemovalCause::Expired) => 5,
            Self::Removed(RemovalCause::Explicit) => 6,
            Self::Removed(RemovalCause::Replaced) => 7,
            Self::Removed(RemovalCause::Size) => 8,
            Self::Removed(RemovalCause::Pressure) => 9,
        }
    }
}

pub(super) struct Tally {
    stripes: [CachePadded<[AtomicU64; EVENTS]>; STRIPES],
}

impl Tally {
    pub(super) fn new() -> Self {
        let stripe = |_| CachePadded::new(core::array::from_fn(|_| AtomicU64::new(0)));
        Self { stripes: core::array::from_fn(stripe) }
    }

    /// Counts what happened to a key of this hash.
    #[inline]
    pub(super) fn count(&self, hash: usize, event: Event) {
        // Relaxed, here and below: counts.
        let stripe = &self.stripes[hash.rotate_left(8) % STRIPES];
        stripe[event.index()].fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn counters(&self) -> Counters {
        let sum = |event: Event| {
            let one = |stripe: &CachePadded<[AtomicU64; EVENTS]>| {
                stripe[event.index()].load(Ordering::Relaxed)
            };
            self.stripes.iter().map(one).fold(0, u64::wrapping_add)
        };
        let removed = |cause| sum(Event::Removed(cause));
        Counters {
            hits: sum(Event::Hit),
            misses: sum(Event::Miss),
            stale: sum(Event::Stale),
            inserted: sum(Event::Inserted),
            refused: sum(Event::Refused),
            expired: removed(RemovalCause::Expired),
            invalidated: removed(RemovalCause::Explicit),
            replaced: removed(RemovalCause::Replaced),
            evicted: removed(RemovalCause::Size),
            shed: removed(RemovalCause::Pressure),
        }
    }
}
