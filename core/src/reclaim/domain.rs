//! What reads and what is removed have in common.

use alloc::sync::Arc;
use core::time::Duration;

use crossbeam_epoch::Collector;

use super::collect::Batch;
use super::limbo::Record;
use super::post::Post;
use super::roll::Roll;
use super::worker::Worker;
use crate::sync::{AtomicU64, AtomicUsize, Ordering, TimeWord, TryLock};
use crate::time::Instant;

/// A domain of reclamation: who reads in it, and what was removed in it and is not freed yet.
///
/// A clone is the same domain. One may serve every structure of a program; a structure whose readers
/// may stall should have its own, so that it holds back no one else's memory. When the last clone,
/// [`Worker`] and structure of a domain are gone, everything retired in it is freed.
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

pub(super) struct Inner {
    /// `None` in models that keep what is retired in quarantine.
    pub(super) collector: Option<Collector>,
    pub(super) posts: Roll<Post>,
    pub(super) limbos: Roll<Record>,
    pub(super) batch: TryLock<Batch>,
    /// Makes every other thread pass a full barrier. `None`: guards do not stay.
    pub(super) barrier: Option<fn()>,
    pub(super) freed: AtomicU64,
    /// `usize::MAX`: no cap, and `outstanding` is not kept.
    pub(super) cap: usize,
    pub(super) outstanding: AtomicUsize,
    /// The latest time the domain was told, for pins that bring none.
    pub(super) now: TimeWord,
}

impl Domain {
    /// A domain without a cap. Allocates; aborts if there is no memory.
    #[expect(clippy::new_without_default, reason = "a domain is an identity, not a value")]
    pub fn new() -> Self {
        Self::made(Some(Collector::new()), None, usize::MAX)
    }

    /// A domain in which a [`Worker::pin`] costs next to nothing: the worker's guard *stays* when
    /// the scope ends, and is taken back by whoever collects if it is then in the way. That needs
    /// what the core cannot do itself, a `barrier` on all threads: called by [`Worker::collect`] when
    /// a guard that stays has been in the way for a few steps. A worker takes twice the memory.
    /// `tidegate::domain()` is such a domain where Linux provides a barrier.
    ///
    /// # Safety
    ///
    /// Between the moment at which `barrier` is called and that at which it returns, every thread
    /// that uses the domain must pass a full memory barrier, as by Linux' `membarrier` in its private
    /// expedited form. It must not unwind.
    pub unsafe fn with_barrier(barrier: fn()) -> Self {
        Self::made(Some(Collector::new()), Some(barrier), usize::MAX)
    }

    /// A domain in which at most `objects` are retired and not freed: beyond that, whatever would
    /// retire is refused ([`MapError::Backpressure`](crate::map::MapError)) instead of growing the
    /// garbage.
    ///
    /// An object is an entry, a block of entries or a table. A map needs a few for each change
    /// under way.
    pub fn capped(objects: usize) -> Self {
        Self::made(Some(Collector::new()), None, objects.min(usize::MAX - 1))
    }

    /// A domain in which nothing is ever freed before its end, and pinning does nothing: for models
    /// of what stands on reclamation.
    #[cfg(loom)]
    pub fn quarantine() -> Self {
        Self::made(None, None, usize::MAX)
    }

    fn made(collector: Option<Collector>, barrier: Option<fn()>, cap: usize) -> Self {
        Self(Arc::new(Inner {
            collector,
            posts: Roll::new(),
            limbos: Roll::new(),
            batch: TryLock::new(Batch::new()),
            barrier,
            freed: AtomicU64::new(0),
            cap,
            outstanding: AtomicUsize::new(0),
            now: TimeWord::new(0),
        }))
    }

    /// A reader of the domain: one for each thread or loop. Allocates about 2 KiB, once; aborts if
    /// there is no memory.
    pub fn worker(&self) -> Worker {
        Worker::new(self)
    }

    /// What is going on just now. Looks at every worker and structure: for a gauge, not for a hot
    /// path.
    pub fn gauges(&self, now: Instant) -> Gauges {
        // Relaxed: a count. Read first, so that what is freed meanwhile does not exceed what is
        // retired.
        let freed = self.0.freed.load(Ordering::Relaxed);
        let oldest = self.0.posts.iter().filter_map(Post::oldest).min();
        Gauges {
            retired: self.0.limbos.iter().map(Record::retired).sum(),
            freed,
            oldest_pin: oldest.map(|since| now.since(since)),
        }
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
    /// For how long the oldest guard that is still there has been. The time of a [`Worker::pin`] is
    /// that of the latest [`Worker::collect`] before.
    pub oldest_pin: Option<Duration>,
}

impl Gauges {
    /// Objects retired and not freed.
    pub const fn garbage(&self) -> u64 {
        self.retired.saturating_sub(self.freed)
    }
}
