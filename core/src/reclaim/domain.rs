//! What reads and what is removed have in common.

use alloc::sync::Arc;
use core::time::Duration;

use crossbeam_epoch::Collector;

use super::inner::Inner;
use super::post::Post;
use super::record::Record;
use super::rules::{Containment, Rules};
use crate::time::Instant;

/// A domain of reclamation: who reads in it, and what was removed in it and is not freed yet.
///
/// A clone is the same domain. One may serve every structure of a program; a structure whose readers
/// may stall should have its own, so that it holds back no other's memory. When the last clone,
/// [`Worker`](super::Worker) and structure of a domain are gone, everything retired in it is freed: a
/// value must therefore not own its own domain, nor a map or worker of it. Once retired, it would keep
/// itself alive, unless it is freed before.
///
/// ```
/// use tidegate_core::{Budget, Domain, Instant, Map, SeededState};
///
/// let domain = Domain::new();
/// let map = Map::with(&domain, SeededState::new(0x5eed));
/// let mut worker = domain.worker();
///
/// let guard = worker.quiescent(Instant::from_secs(1));
/// map.insert("alice", 1, guard)?;
/// map.remove("alice", guard)?;
/// assert_eq!(domain.gauges(Instant::from_secs(1)).garbage(), 1);
///
/// while worker.collect(Instant::from_secs(2), Budget::entries(64)) == 0 {}
/// assert_eq!(domain.gauges(Instant::from_secs(2)).garbage(), 0);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Domain(Arc<Inner>);

impl Domain {
    /// A domain in which nothing is ever freed before its end, and pinning does nothing: for models
    /// of what stands on reclamation.
    #[cfg(loom)]
    pub fn quarantine() -> Self {
        Self::made(None, Rules::new())
    }

    pub(super) fn made(collector: Option<Collector>, rules: Rules) -> Self {
        Self(Arc::new(Inner::new(collector, rules)))
    }

    /// Says what the domain holds back at this moment. Looks at every worker, and at every
    /// structure that retired objects: for a gauge, not for a hot path.
    pub fn gauges(&self, now: Instant) -> Gauges {
        let inner = self.inner();
        // Read first, so that what is freed meanwhile does not exceed what is retired.
        let (freed, freed_bytes) = inner.garbage.freed();
        let (mut retired, mut bytes) = inner.garbage.retired();
        for (objects, more) in inner.posts.iter().map(|post| post.debt().owed()) {
            retired += objects;
            bytes = bytes.saturating_add(more);
        }
        let large: usize = inner.records.held().map(Record::large).sum();
        Gauges {
            retired,
            freed,
            bytes: bytes.saturating_sub(freed_bytes).saturating_add(large as u64),
            oldest_pin: inner.posts.iter().filter_map(Post::oldest).min().map(|at| now.since(at)),
        }
    }

    pub(crate) fn containment(&self) -> Containment {
        self.0.rules().containment()
    }

    #[inline(always)]
    pub(super) fn inner(&self) -> &Inner {
        &self.0
    }
}

impl core::fmt::Debug for Domain {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Domain").field("at", &Arc::as_ptr(&self.0)).finish_non_exhaustive()
    }
}

/// What a [`Domain`] holds back, and for whom.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Gauges {
    /// Objects retired since the domain was made.
    pub retired: u64,
    /// Of those, objects freed.
    pub freed: u64,
    /// Bytes retired and not freed: of entries with the weight that a cache gave them, of blocks and
    /// of tables. What keys and values own on the heap is not counted.
    pub bytes: u64,
    /// The age of the oldest guard that is still there. The time of a
    /// [`Worker::pin`](super::Worker::pin) is that of the latest
    /// [`Worker::collect`](super::Worker::collect) before.
    pub oldest_pin: Option<Duration>,
}

impl Gauges {
    /// Objects retired and not freed.
    pub const fn garbage(&self) -> u64 {
        self.retired.saturating_sub(self.freed)
    }
}
