//! What reads and what is removed have in common.

use alloc::sync::Arc;
use core::time::Duration;

use crossbeam_epoch::Collector;

use super::builder::{Allowance, Builder, Contain};
use super::collect::Batch;
use super::post::Post;
use super::record::Record;
use super::roll::Roll;
use super::worker::Worker;
use crate::sync::{AtomicU64, AtomicUsize, Ordering, TimeWord, TryLock};
use crate::time::Instant;

/// A domain of reclamation: who reads in it, and what was removed in it and is not freed yet.
///
/// A clone is the same domain. One may serve every structure of a program; a structure whose readers
/// may stall should have its own, so that it holds back no other's memory. When the last clone,
/// [`Worker`] and structure of a domain are gone, everything retired in it is freed: a value must
/// therefore not own its own domain, nor a map or worker of it. Once retired, it would keep itself
/// alive, unless it is freed before.
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
    pub(super) records: Roll<Record>,
    pub(super) batch: TryLock<Batch>,
    /// Held by a thread that runs destructors, in a domain without `contain`.
    freeing: TryLock<()>,
    /// Counts the requests to renew guards that stay.
    pub(super) renewals: AtomicU64,
    /// The latest time the domain was told, for pins that bring none.
    pub(super) now: TimeWord,
    /// What was retired, but for what workers have not handed in.
    retired: Amount,
    freed: Amount,
    /// Records whose structure is gone, and that may hold objects.
    closed: AtomicUsize,
    /// Not kept without a cap.
    pub(super) outstanding: AtomicUsize,
    /// `usize::MAX`: no cap.
    pub(super) cap: usize,
    pub(super) allowance: Allowance,
    /// Whether the ends of guards free what was retired.
    pub(super) on_the_data_path: bool,
    /// Makes every other thread pass a full barrier. `None`: guards do not stay.
    pub(super) barrier: Option<fn()>,
    pub(super) contain: Option<Contain>,
    pub(super) contain_calls: Option<Contain>,
    pub(super) yield_now: Option<fn()>,
}

/// Objects, and bytes of all but the large ones: counts that only grow.
struct Amount {
    objects: AtomicU64,
    bytes: AtomicU64,
}

impl Domain {
    /// Makes a domain with the usual allowance of garbage. Allocates; aborts if there is no memory.
    #[expect(clippy::new_without_default, reason = "a domain is an identity, not a value")]
    pub fn new() -> Self {
        Self::builder().build()
    }

    /// Makes a domain that frees nothing on the data path: see
    /// [`Builder::never_on_the_data_path`].
    pub fn capped(objects: usize) -> Self {
        Self::builder().never_on_the_data_path(objects).build()
    }

    /// Starts building a domain.
    ///
    /// ```
    /// use tidegate_core::Domain;
    ///
    /// let domain = Domain::builder().allowance(256, 64 * 1024).build();
    /// # _ = domain;
    /// ```
    pub fn builder() -> Builder {
        Builder::new()
    }

    /// A domain in which nothing is ever freed before its end, and pinning does nothing: for models
    /// of what stands on reclamation.
    #[cfg(loom)]
    pub fn quarantine() -> Self {
        Self::made(None, Self::builder())
    }

    pub(super) fn from_builder(builder: Builder) -> Self {
        Self::made(Some(Collector::new()), builder)
    }

    fn made(collector: Option<Collector>, builder: Builder) -> Self {
        let Builder { allowance, cap, on_the_data_path, barrier, .. } = builder;
        let Builder { contain, contain_calls, yield_now, .. } = builder;
        Self(Arc::new(Inner {
            collector,
            posts: Roll::new(),
            records: Roll::new(),
            batch: TryLock::new(Batch::new()),
            freeing: TryLock::new(()),
            renewals: AtomicU64::new(0),
            now: TimeWord::new(0),
            retired: Amount::new(),
            freed: Amount::new(),
            closed: AtomicUsize::new(0),
            outstanding: AtomicUsize::new(0),
            cap,
            allowance,
            on_the_data_path,
            barrier,
            contain,
            contain_calls,
            yield_now,
        }))
    }

    /// Makes a reader of the domain: one for each thread or loop. Allocates about 2 KiB, once; aborts
    /// if there is no memory.
    pub fn worker(&self) -> Worker {
        Worker::new(self)
    }

    /// Says what the domain holds back at this moment. Looks at every worker and structure: for a
    /// gauge, not for a hot path.
    pub fn gauges(&self, now: Instant) -> Gauges {
        let inner = self.inner();
        // Read first, so that what is freed meanwhile does not exceed what is retired.
        let (freed, freed_bytes) = inner.freed.get();
        let (mut retired, mut bytes) = inner.retired.get();
        for (objects, more) in inner.posts.iter().map(|post| post.debt().owed()) {
            retired += objects;
            bytes = bytes.saturating_add(more);
        }
        let large: usize = inner.records.iter().map(Record::large).sum();
        Gauges {
            retired,
            freed,
            bytes: bytes.saturating_sub(freed_bytes).saturating_add(large as u64),
            oldest_pin: inner.posts.iter().filter_map(Post::oldest).min().map(|at| now.since(at)),
        }
    }

    #[inline(always)]
    pub(super) fn inner(&self) -> &Inner {
        &self.0
    }
}

impl Inner {
    /// Objects and bytes that were handed in as garbage since the domain was made.
    pub(super) fn retired(&self) -> (u64, u64) {
        self.retired.get()
    }

    /// Of those, the ones that are not freed. An object may be freed before it is handed in.
    pub(super) fn garbage(&self) -> (u64, u64) {
        let ((freed, freed_bytes), (retired, bytes)) = (self.freed.get(), self.retired.get());
        (retired.saturating_sub(freed), bytes.saturating_sub(freed_bytes))
    }

    pub(super) fn count_retired(&self, objects: u64, bytes: u64) {
        self.retired.add(objects, bytes);
    }

    pub(super) fn count_freed(&self, objects: u64, bytes: u64) {
        self.freed.add(objects, bytes);
        self.give_back(objects as usize);
    }

    /// A structure is gone, and its record is not free yet.
    pub(super) fn count_closed(&self) {
        // Relaxed: a hint.
        self.closed.fetch_add(1, Ordering::Relaxed);
    }

    /// A record is free.
    pub(super) fn count_free(&self) {
        // Relaxed: a hint.
        self.closed.fetch_sub(1, Ordering::Relaxed);
    }

    /// Whether a structure is gone that may have left retired objects.
    pub(super) fn has_closed(&self) -> bool {
        // Relaxed: a hint.
        self.closed.load(Ordering::Relaxed) > 0
    }

    /// Records of structures that are gone.
    pub(super) fn closed(&self) -> impl Iterator<Item = &Record> + Clone {
        // Mostly there are none, and the roll may be long.
        self.has_closed()
            .then(|| self.records.iter())
            .into_iter()
            .flatten()
            .filter(|record| record.is_closed())
    }

    /// Calls `free`, which frees objects and takes them off what is `left` to be freed; in a domain without
    /// `contain` not if any thread does so already.
    pub(super) fn spend(&self, left: &mut usize, free: impl Fn(&mut usize)) {
        // Threads cannot be told apart here: it may be this one that runs a destructor.
        let alone = self.contain.is_none().then(|| self.freeing.try_lock());
        if !matches!(alone, Some(None)) {
            free(left);
        }
    }

    /// Calls `free`, which runs destructors; not if this thread is running one already.
    pub(super) fn contained(&self, mut free: impl FnMut()) {
        match self.contain {
            Some(contain) => contain(&mut free),
            None => free(),
        }
    }
}

impl Amount {
    fn new() -> Self {
        Self { objects: AtomicU64::new(0), bytes: AtomicU64::new(0) }
    }

    fn get(&self) -> (u64, u64) {
        // Relaxed, both: counts.
        (self.objects.load(Ordering::Relaxed), self.bytes.load(Ordering::Relaxed))
    }

    fn add(&self, objects: u64, bytes: u64) {
        // Relaxed, both: counts.
        self.objects.fetch_add(objects, Ordering::Relaxed);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        let mut is_called = false;
        self.contained(|| is_called = true);
        if !is_called {
            // A destructor has dropped the last handle. Its caller contains what follows.
            self.contain = None;
        }
        for record in self.records.iter() {
            // SAFETY: no clone of the domain is left, and so no worker and no structure.
            unsafe { record.free_all(self) };
        }
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
    /// The age of the oldest guard that is still there. The time of a [`Worker::pin`] is that of the
    /// latest [`Worker::collect`] before.
    pub oldest_pin: Option<Duration>,
}

impl Gauges {
    /// Objects retired and not freed.
    pub const fn garbage(&self) -> u64 {
        self.retired.saturating_sub(self.freed)
    }
}
