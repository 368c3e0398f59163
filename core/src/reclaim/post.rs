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
//! A worker that pins says that it is `under` the guard, and then looks whether that still stays; if
//! it does not, it pins the ordinary way, and is not under it. A collector asks for it back, and then
//! looks whether the worker is under it. Each must see the other's word (Dekker): the collector calls
//! for a barrier on all threads, and the worker needs none of its own. So while the worker is under
//! the guard it is the worker's, and once it is asked back and the worker is not, the collector's.

use core::cell::{Cell, UnsafeCell};

use crossbeam_epoch as epoch;

use super::debt::Debt;
use super::rules::Allowance;
use crate::sync::{AtomicU64, AtomicUsize, Ordering, Witness, fence, light_fence};
use crate::time::Instant;

/// The latest time at which a worker can be pinned.
pub(super) const LATEST: u64 = u64::MAX - 1;
const NOT_PINNED: u64 = u64::MAX;

/// Where a worker says that it is pinned.
pub(super) struct Post {
    taken: AtomicUsize,
    /// Since when the worker is pinned under the guard that stays.
    under: AtomicU64,
    /// Since when it is pinned under another: for the gauge only.
    since: AtomicU64,
    stay: AtomicUsize,
    guard: UnsafeCell<Option<epoch::Guard>>,
    /// Of the guard.
    witness: Witness,
    /// Whose guard it is that stays: made once, and handed on with the post.
    participant: UnsafeCell<Option<epoch::LocalHandle>>,
    /// The domain's request by which the guard was renewed last. The worker's.
    renewed: Cell<u64>,
    /// What the worker has retired and not paid for.
    debt: Debt,
}

const ABSENT: usize = 0;
const STAYS: usize = 1;
const ASKED_BACK: usize = 2;

// SAFETY: `guard` is used by the worker while it is under it, and by the collector once it has asked
// for it back and seen the worker not under it; `participant` by the worker while no guard stays, and
// through its guard; `renewed` and the cells of `debt` by the worker. A crossbeam participant knows nothing of the thread that
// uses it.
unsafe impl Send for Post {}
// SAFETY: as above.
unsafe impl Sync for Post {}

impl Post {
    pub(super) fn new(stripe: usize, allowance: Allowance) -> Self {
        Self {
            taken: AtomicUsize::new(1),
            under: AtomicU64::new(NOT_PINNED),
            since: AtomicU64::new(NOT_PINNED),
            stay: AtomicUsize::new(ABSENT),
            guard: UnsafeCell::new(None),
            witness: Witness::new(),
            participant: UnsafeCell::new(None),
            renewed: Cell::new(0),
            debt: Debt::new(stripe, allowance),
        }
    }

    pub(super) fn claim(&self) -> bool {
        // Acquire, beyond loom: pairs with the store of the worker before, and what that did with its
        // participant, which the models do not watch.
        self.taken.compare_exchange(0, 1, Ordering::Acquire, Ordering::Relaxed).is_ok()
    }

    /// The worker is gone. The guard that stayed is left to whoever collects.
    pub(super) fn leave(&self) {
        // Release, beyond loom: pairs with the claim of the worker after; see there.
        self.taken.store(0, Ordering::Release);
    }

    /// What the worker has retired and not paid for.
    #[inline(always)]
    pub(super) fn debt(&self) -> &Debt {
        &self.debt
    }

    /// Since when the worker is pinned.
    pub(super) fn oldest(&self) -> Option<Instant> {
        // Relaxed, both: a gauge.
        let since = self.since.load(Ordering::Relaxed).min(self.under.load(Ordering::Relaxed));
        (since != NOT_PINNED).then(|| Instant::from_nanos(since))
    }

    /// The worker is pinned, or about to be, and not under the guard that stays.
    #[inline]
    pub(super) fn pinned(&self, now: u64) {
        // Relaxed: a gauge.
        self.since.store(now, Ordering::Relaxed);
    }

    /// It is pinned no longer.
    #[inline]
    pub(super) fn unpinned(&self) {
        // Relaxed: a gauge.
        self.since.store(NOT_PINNED, Ordering::Relaxed);
    }

    /// Pins the worker under the guard that stays, if it does. Renews that guard once for each of the
    /// domain's `renewals`: a grace period waits, and the guard may be in its way.
    #[inline(always)]
    pub(super) fn pin_under(&self, now: u64, renewals: u64) -> bool {
        // Relaxed: ordered by the fence.
        self.under.store(now, Ordering::Relaxed);
        // Pairs with the barrier in `Inner::take_back`: either the collector sees us under the guard,
        // or we see that it asked.
        light_fence();
        // Acquire, beyond loom: pairs with the worker's own `stay`, if it has moved since; whoever
        // moved it has ordered that already.
        if self.stay.load(Ordering::Acquire) != STAYS {
            self.unpin_under();
            return false;
        }
        self.witness.read();
        if self.renewed.get() != renewals {
            self.renew(renewals);
        }
        true
    }

    /// The worker is under the guard no longer.
    #[inline(always)]
    pub(super) fn unpin_under(&self) {
        // Release: pairs with the collector's look: what was read under the guard was read before it
        // is taken back.
        self.under.store(NOT_PINNED, Ordering::Release);
    }

    #[cold]
    #[inline(never)]
    fn renew(&self, renewals: u64) {
        self.renewed.set(renewals);
        self.witness.write();
        // SAFETY: the worker is under the guard.
        if let Some(guard) = unsafe { &mut *self.guard.get() } {
            guard.repin();
            // SeqCst, beyond loom: as in `Worker::quiescent`, where `r02` shows it. Here it takes a
            // guard that is renewed and not taken back, in more steps than `r05` can afford.
            fence(Ordering::SeqCst);
        }
    }

    /// Has a participant made for guards that stay, if there is none yet. By the worker, before it
    /// pins anything.
    pub(super) fn enlist(&self, register: impl FnOnce() -> epoch::LocalHandle) {
        // SAFETY: the worker's; a guard that stays from the worker before does not use it.
        unsafe { &mut *self.participant.get() }.get_or_insert_with(register);
    }

    /// Lets a guard stay, if none does.
    #[cold]
    #[inline(never)]
    pub(super) fn stay(&self) {
        // Acquire, beyond loom: pairs with the collector's giving the place back. It takes a guard that
        // is taken back and another that stays, in more steps than `r05` can afford.
        if self.stay.load(Ordering::Acquire) == ABSENT {
            // SAFETY: the worker's, since no guard stays.
            if let Some(participant) = unsafe { &*self.participant.get() } {
                let guard = participant.pin();
                self.witness.write();
                // SAFETY: only the worker puts a guard there, and the collector has done with the
                // last.
                unsafe { *self.guard.get() = Some(guard) };
                // Release, beyond loom: pairs with the collector's exchange. Pinning ended with a fence,
                // which would do.
                self.stay.store(STAYS, Ordering::Release);
            }
        }
    }

    /// Asks for the guard back; whether it stayed.
    pub(super) fn ask_back(&self) -> bool {
        // Acquire, beyond loom: pairs with `stay`. The barrier that follows would do.
        self.stay.compare_exchange(STAYS, ASKED_BACK, Ordering::Acquire, Ordering::Relaxed).is_ok()
    }

    /// Takes back the guard that was asked for, if the worker is not under it.
    ///
    /// # Safety
    ///
    /// The caller holds the collector's lock, and a barrier on all threads was passed since it was
    /// asked for.
    pub(super) unsafe fn take_back(&self) {
        // Acquire: pairs with the end of the worker's last pin under the guard.
        if self.under.load(Ordering::Acquire) == NOT_PINNED
            // Relaxed: only the lock's holder changes it from here.
            && self.stay.load(Ordering::Relaxed) == ASKED_BACK
        {
            self.witness.write();
            // SAFETY: the worker was not under it after the barrier; whenever it pins again, it sees
            // that the guard was asked back and leaves it alone.
            drop(unsafe { (*self.guard.get()).take() });
            // Release, beyond loom: pairs with `stay`; see there.
            self.stay.store(ABSENT, Ordering::Release);
        }
    }
}
