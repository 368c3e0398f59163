//! Figures of a cache, as one snapshot.

use core::time::Duration;

use crossbeam_utils::CachePadded;

use super::counters::{Counters, RemovedBytes};
use super::totals::Usage;
use crate::sync::{AtomicU64, Ordering};
use crate::time::nanos;

/// What a cache has done since it was made, and how full it is: see
/// [`Cache::stats`](super::Cache::stats). Each figure is exact. While other threads use the cache,
/// two figures need not be of the same moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Hits, misses, insertions and removals.
    pub counters: Counters,
    /// The bytes of the entries that were removed, by cause.
    pub removed_bytes: RemovedBytes,
    /// The loads that have ended.
    pub loads: LoadStats,
    /// How many loads are in progress.
    pub loading: u64,
    /// How many entries there are, and of how many bytes.
    pub usage: Usage,
    /// The bounds of that.
    pub bounds: Usage,
}

impl Stats {
    /// Returns the part of the counted gets and loads that were hits, or `None` if none was
    /// counted.
    pub fn hit_ratio(&self) -> Option<f64> {
        let Counters { hits, misses, .. } = self.counters;
        let asked = hits.saturating_add(misses);
        (asked > 0).then(|| hits as f64 / asked as f64)
    }
}

/// How many loads have ended, and how long they took: from the question that began a load to the
/// call that ended it, by the times that these were given. A load that was dropped counts nowhere.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LoadStats {
    /// Loads that [completed](super::Loading::complete).
    pub succeeded: u64,
    /// Loads that [failed](super::Loading::fail).
    pub failed: u64,
    /// How long all of them took, together.
    pub time: Duration,
    /// How long the longest of them took.
    pub longest: Duration,
}

impl LoadStats {
    /// Returns how long a load took on average, or `None` if none has ended.
    pub fn mean(&self) -> Option<Duration> {
        let ended = self.succeeded.saturating_add(self.failed);
        let mean = nanos(self.time).checked_div(ended)?;
        Some(Duration::from_nanos(mean))
    }
}

/// Counts loads. Every operation is Relaxed, and pairs with none: counts.
pub(super) struct LoadTally(CachePadded<Words>);

struct Words {
    succeeded: AtomicU64,
    failed: AtomicU64,
    nanos: AtomicU64,
    longest: AtomicU64,
}

impl LoadTally {
    pub(super) fn new() -> Self {
        Self(CachePadded::new(Words {
            succeeded: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            nanos: AtomicU64::new(0),
            longest: AtomicU64::new(0),
        }))
    }

    /// Counts a load that has completed.
    pub(super) fn completed(&self, took: Duration) {
        self.0.succeeded.fetch_add(1, Ordering::Relaxed);
        self.took(took);
    }

    /// Counts a load that has failed.
    pub(super) fn failed(&self, took: Duration) {
        self.0.failed.fetch_add(1, Ordering::Relaxed);
        self.took(took);
    }

    fn took(&self, took: Duration) {
        let took = nanos(took);
        self.0.nanos.fetch_add(took, Ordering::Relaxed);
        self.0.longest.fetch_max(took, Ordering::Relaxed);
    }

    pub(super) fn stats(&self) -> LoadStats {
        let read = |word: &AtomicU64| word.load(Ordering::Relaxed);
        LoadStats {
            succeeded: read(&self.0.succeeded),
            failed: read(&self.0.failed),
            time: Duration::from_nanos(read(&self.0.nanos)),
            longest: Duration::from_nanos(read(&self.0.longest)),
        }
    }
}
