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

/// The bytes of the entries that were removed, as the weigher measures them, by cause.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RemovedBytes {
    /// Of entries removed with [`RemovalCause::Expired`](super::RemovalCause::Expired).
    pub expired: u64,
    /// Of entries removed with [`RemovalCause::Explicit`](super::RemovalCause::Explicit).
    pub invalidated: u64,
    /// Of entries removed with [`RemovalCause::Replaced`](super::RemovalCause::Replaced).
    pub replaced: u64,
    /// Of entries removed with [`RemovalCause::Size`](super::RemovalCause::Size).
    pub evicted: u64,
    /// Of entries removed with [`RemovalCause::Pressure`](super::RemovalCause::Pressure).
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

/// The causes of removals, whose bytes are counted behind the events.
const CAUSES: usize = 5;

/// The first word of the removals' bytes.
const BYTES: usize = EVENTS;

/// The first word of the removals.
const REMOVED: usize = 5;

impl Event {
    fn index(self) -> usize {
        match self {
            Self::Hit => 0,
            Self::Miss => 1,
            Self::Stale => 2,
            Self::Inserted => 3,
            Self::Refused => 4,
            Self::Removed(cause) => REMOVED + place(cause),
        }
    }
}

fn place(cause: RemovalCause) -> usize {
    match cause {
        RemovalCause::Expired => 0,
        RemovalCause::Explicit => 1,
        RemovalCause::Replaced => 2,
        RemovalCause::Size => 3,
        RemovalCause::Pressure => 4,
    }
}

/// The words of a stripe. A removal's bytes are counted less one, so that an entry of one byte,
/// which is every entry of a cache without a weigher, counts there by nothing.
type Stripe = CachePadded<[AtomicU64; EVENTS + CAUSES]>;

pub(super) struct Tally {
    stripes: [Stripe; STRIPES],
}

impl Tally {
    pub(super) fn new() -> Self {
        let stripe = |_| Stripe::new(core::array::from_fn(|_| AtomicU64::new(0)));
        Self { stripes: core::array::from_fn(stripe) }
    }

    /// Counts what happened to a key of this hash.
    #[inline]
    pub(super) fn count(&self, hash: usize, event: Event) {
        self.add(hash, event.index(), 1);
    }

    /// Counts the removal of an entry of this many bytes.
    #[inline]
    pub(super) fn count_removal(&self, hash: usize, cause: RemovalCause, bytes: u64) {
        self.count(hash, Event::Removed(cause));
        if bytes != 1 {
            self.add(hash, BYTES + place(cause), bytes.wrapping_sub(1));
        }
    }

    #[inline]
    fn add(&self, hash: usize, word: usize, by: u64) {
        // Relaxed, here and below: counts.
        let stripe = &self.stripes[hash.rotate_left(8) % STRIPES];
        stripe[word].fetch_add(by, Ordering::Relaxed);
    }

    fn sum(&self, word: usize) -> u64 {
        let one = |stripe: &Stripe| stripe[word].load(Ordering::Relaxed);
        self.stripes.iter().map(one).fold(0, u64::wrapping_add)
    }

    pub(super) fn counters(&self) -> Counters {
        let sum = |event: Event| self.sum(event.index());
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

    /// Returns the bytes of the entries that were removed.
    pub(super) fn removed_bytes(&self) -> RemovedBytes {
        let bytes = |cause| {
            let removed = self.sum(Event::Removed(cause).index());
            self.sum(BYTES + place(cause)).wrapping_add(removed)
        };
        RemovedBytes {
            expired: bytes(RemovalCause::Expired),
            invalidated: bytes(RemovalCause::Explicit),
            replaced: bytes(RemovalCause::Replaced),
            evicted: bytes(RemovalCause::Size),
            shed: bytes(RemovalCause::Pressure),
        }
    }
}
