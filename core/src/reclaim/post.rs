//! What the domain knows of each worker: since when it is pinned, and the guard that stays with it.
//!
//! A guard that stays makes pinning cheap, for nothing must be announced: the worker is pinned all
//! the while. The price is that a thread which has gone to sleep would hold back everybody's memory,
//! so whoever collects can take the guard back:
//!
//! ```text
//! ABSENT -(worker)-> STAYS -(collector, exchange)-> ASKED_BACK -(collector)-> ABSENT
//! ```
//!
//! A worker that pins says so (`since`), and then looks whether the guard still stays; if it does not,
//! it pins the ordinary way. A collector asks for it back, and then looks whether the worker is
//! pinned. Each must see the other's word (Dekker): the collector calls for a barrier on all threads,
//! and the worker needs none of its own. While the worker is pinned the guard is its own; once it is
//! asked back and the worker is not, the collector's.

use core::cell::{Cell, UnsafeCell};

use crossbeam_epoch as epoch;

use crate::sync::{AtomicU64, AtomicUsize, Ordering, fence, light_fence};
use crate::time::Instant;

/// The latest time at which a worker can be pinned.
pub(super) const LATEST: u64 = u64::MAX - 1;

/// Where a worker says that it is pinned.
pub(super) struct Post {
    taken: AtomicUsize,
    /// `u64::MAX`: not pinned.
    since: AtomicU64,
    stay: AtomicUsize,
    guard: UnsafeCell<Option<epoch::Guard>>,
    /// The domain's time when the guard was renewed. The worker's.
    renewed: Cell<u64>,
}

const ABSENT: usize = 0;
const STAYS: usize = 1;
const ASKED_BACK: usize = 2;

// SAFETY: `guard` is used by the worker while it is pinned and has seen that it stays, and by the
// collector once it has asked for it back and seen the worker not pinned; `renewed` by the worker. A
// crossbeam participant knows nothing of the thread that uses it.
unsafe impl Send for Post {}
// SAFETY: as above.
unsafe impl Sync for Post {}

impl Post {
    pub(super) fn new() -> Self {
        Self {
            taken: AtomicUsize::new(1),
            since: AtomicU64::new(u64::MAX),
            stay: AtomicUsize::new(ABSENT),
            guard: UnsafeCell::new(None),
            renewed: Cell::new(0),
        }
    }

    pub(super) fn claim(&self) -> bool {
        // Acquire: pairs with the store of the worker before.
        self.taken.compare_exchange(0, 1, Ordering::Acquire, Ordering::Relaxed).is_ok()
    }

    /// The worker is gone. The guard that stayed is left to whoever collects.
    pub(super) fn leave(&self) {
        // Release: pairs with the claim of the worker after.
        self.taken.store(0, Ordering::Release);
    }

    pub(super) fn since(&self) -> Option<Instant> {
        // Relaxed: a gauge.
        match self.since.load(Ordering::Relaxed) {
            u64::MAX => None,
            since => Some(Instant::from_nanos(since)),
        }
    }

    /// The worker is pinned, or about to be.
    #[inline]
    pub(super) fn pinned(&self, now: u64) {
        // Relaxed: what must come after, `is_under_guard` and pinning order.
        self.since.store(now, Ordering::Relaxed);
    }

    /// The worker is pinned no longer.
    #[inline]
    pub(super) fn unpinned(&self) {
        // Release: pairs with the collector's look: what was read under the guard was read before it
        // is taken back.
        self.since.store(u64::MAX, Ordering::Release);
    }

    /// Whether the guard stays, for a worker that has just said that it is pinned. It is renewed when
    /// the domain's time has changed: somebody collects, and it may be in the way.
    #[inline(always)]
    pub(super) fn is_under_guard(&self, now: u64) -> bool {
        // Pairs with the barrier in `Inner::take_back`: either the collector sees us pinned, or we
        // see that it asked.
        light_fence();
        // Acquire: pairs with the worker's own `stay`, if that was before it moved to this thread.
        if self.stay.load(Ordering::Acquire) != STAYS {
            return false;
        }
        if self.renewed.get() != now {
            self.renew(now);
        }
        true
    }

    #[cold]
    #[inline(never)]
    fn renew(&self, now: u64) {
        self.renewed.set(now);
        // SAFETY: the worker is pinned, and has seen that the guard stays.
        if let Some(guard) = unsafe { &mut *self.guard.get() } {
            guard.repin();
            // SeqCst: as in `Worker::quiescent`.
            fence(Ordering::SeqCst);
        }
    }

    /// Lets a guard stay, if there is none: one of a participant of its own.
    pub(super) fn stay(&self, participant: impl FnOnce() -> epoch::LocalHandle) {
        // Acquire: pairs with the collector's giving the place back.
        if self.stay.load(Ordering::Acquire) == ABSENT {
            // SAFETY: only the worker puts a guard there, and the collector has done with the last.
            unsafe { *self.guard.get() = Some(participant().pin()) };
            // Release: pairs with the collector's exchange.
            self.stay.store(STAYS, Ordering::Release);
        }
    }

    /// Asks for the guard back; whether there is one.
    pub(super) fn ask_back(&self) -> bool {
        // Acquire: pairs with `stay`. The barrier that follows orders the rest.
        self.stay.compare_exchange(STAYS, ASKED_BACK, Ordering::Acquire, Ordering::Relaxed).is_ok()
    }

    /// Takes back the guard that was asked for, if the worker is not pinned.
    ///
    /// # Safety
    ///
    /// The caller holds the collector's claim, and a barrier on all threads was passed since it was
    /// asked for.
    pub(super) unsafe fn take_back(&self) {
        // Acquire: pairs with the end of the worker's last pin under the guard.
        if self.since.load(Ordering::Acquire) == u64::MAX
            // Relaxed: only the claim's holder changes it from here.
            && self.stay.load(Ordering::Relaxed) == ASKED_BACK
        {
            // SAFETY: the worker was not pinned after the barrier; whenever it pins again, it sees
            // that the guard was asked back and leaves it alone.
            drop(unsafe { (*self.guard.get()).take() });
            // Release: pairs with `stay`.
            self.stay.store(ABSENT, Ordering::Release);
        }
    }
}
