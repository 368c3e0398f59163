//! Readers of a domain, and their guards.

use core::cell::Cell;
use core::ops::{Deref, DerefMut};
use core::ptr::NonNull;

use crossbeam_epoch as epoch;

use super::collect::Take;
use super::domain::Domain;
use super::inner::Inner;
use super::post::{LATEST, Post};
use super::record::Record;
use crate::sweep::Budget;
use crate::sync::{Ordering, fence};
use crate::time::Instant;

/// Proof that its holder is pinned: nothing that it reaches from now on is freed before it is gone.
///
/// It cannot be made but by a [`Worker`]; one of another domain is refused by every structure, with
/// a panic.
///
/// ```compile_fail
/// let guard = tidegate_core::reclaim::Guard {};
/// ```
pub struct Guard {
    /// `None` if the worker's guard stays, or in quarantine. Held for its drop.
    pin: Option<epoch::Guard>,
    domain: *const Inner,
    post: NonNull<Post>,
}

impl Guard {
    #[inline(always)]
    pub(super) fn is_of(&self, domain: &Inner) -> bool {
        core::ptr::eq(self.domain, domain)
    }

    /// The worker's stripe of each record.
    #[inline]
    pub(super) fn stripe(&self) -> usize {
        // SAFETY: lives as long as the domain, of which the worker holds a clone.
        unsafe { self.post.as_ref() }.debt().stripe()
    }

    /// Adds what was retired under this guard to what its end pays for.
    #[inline]
    pub(super) fn owe(&self, record: NonNull<Record>, objects: u64, bytes: usize) {
        // SAFETY: lives as long as the domain, of which the worker holds a clone.
        unsafe { self.post.as_ref() }.debt().add(record, objects, bytes as u64);
    }
}

impl core::fmt::Debug for Guard {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Guard").finish_non_exhaustive()
    }
}

/// A reader of a [`Domain`]: one for each thread or loop. It can be moved to another thread, but not
/// shared.
pub struct Worker {
    /// The guard of [`quiescent`](Self::quiescent).
    standing: Option<Guard>,
    /// `None` in quarantine only.
    handle: Option<epoch::LocalHandle>,
    /// `{ guards: rest, stays: 1 }`: how many guards there are, and whether the first of them was
    /// under the guard that stays. Then all are, until the last of them is gone.
    pins: Cell<usize>,
    post: NonNull<Post>,
    /// Whether the ends of its guards leave what was retired to [`collect`](Self::collect).
    by_budget: bool,
    domain: Domain,
}

const STAYS: usize = 1;
const ONE: usize = 2;

// SAFETY: a crossbeam participant is a set of plain cells that know nothing of the thread that uses
// them; it must only not be used by two at once. Everything that uses this one is in the worker
// (`standing`, which moves along) or borrows it (`Pinned`, `&Guard`: no move while they live).
unsafe impl Send for Worker {}

impl Domain {
    /// Makes a reader of the domain: one for each thread or loop. Allocates about 2 KiB, once; aborts
    /// if there is no memory.
    pub fn worker(&self) -> Worker {
        Worker::new(self)
    }
}

impl Worker {
    fn new(domain: &Domain) -> Self {
        let inner = domain.inner();
        let post = match inner.posts.adopt(Post::claim, || {
            // Of two made at once both may get the same, which does no harm.
            Post::new(inner.posts.iter().count(), inner.rules().allowance)
        }) {
            Ok(post) => post,
            Err(_) => alloc::alloc::handle_alloc_error(core::alloc::Layout::new::<Post>()),
        };
        if let (Some(collector), true) = (&inner.collector, inner.rules().barrier.is_some()) {
            // SAFETY: lives as long as the domain.
            unsafe { post.as_ref() }.enlist(|| collector.register());
        }
        Self {
            standing: None,
            handle: inner.collector.as_ref().map(epoch::Collector::register),
            pins: Cell::new(0),
            post,
            by_budget: !inner.rules().on_the_data_path,
            domain: domain.clone(),
        }
    }

    /// Borrows the worker for a step of a sweep: not pinned, and freeing within the step's budget and
    /// nowhere else.
    pub(crate) fn sweeping(&mut self) -> Sweeping<'_> {
        let before = core::mem::replace(&mut self.by_budget, true);
        self.leave();
        Sweeping { worker: self, before }
    }

    /// Ends the standing guard, which would hold back everything until the first step of a sweep.
    pub(crate) fn unpin(mut self) -> Self {
        drop(self.sweeping());
        self
    }

    /// Returns the domain.
    pub fn domain(&self) -> &Domain {
        &self.domain
    }

    /// Returns whether there is any guard of this worker.
    pub fn is_pinned(&self) -> bool {
        self.pins.get() >= ONE
    }

    /// Says that nothing read before is still in use, and returns the guard for what is read next.
    /// For loops that run to completion: once a burst, with the burst's time.
    ///
    /// The borrow checker keeps references of one burst out of the next. Wait-free and allocates
    /// nothing, unless the burst before retired objects while there is more garbage than the domain
    /// [leaves alone](super::Builder::allowance): then this call frees some.
    #[inline]
    pub fn quiescent(&mut self, now: Instant) -> &Guard {
        if self.post().debt().is_new() {
            if self.post().debt().is_due() {
                self.leave();
            }
            self.post().debt().forget();
        }
        self.post().pinned(now.as_nanos().min(LATEST));
        if self.standing.is_none() {
            self.standing = Some(self.guard());
            self.pins.set((self.pins.get() & !STAYS) + ONE);
        } else if let Some(Guard { pin: Some(pin), .. }) = &mut self.standing {
            pin.repin();
            // SeqCst: what is read next is read after the new epoch is announced and after the old
            // one was read; crossbeam's repin alone does not order that (design.md).
            fence(Ordering::SeqCst);
        }
        self.standing.as_ref().expect("just made")
    }

    /// Runs `f`, which may block, without holding back any memory meanwhile.
    pub fn offline<R>(&mut self, f: impl FnOnce() -> R) -> R {
        self.leave();
        f()
    }

    /// Returns a guard for as long as it is kept. Wait-free but for crossbeam's walk over the workers at
    /// every 128th.
    ///
    /// The end of a worker's outermost guard pays for what was retired under it: when there is more
    /// garbage than the domain [leaves alone](super::Builder::allowance), it frees about two objects for
    /// each one retired, of the structures that this worker used and of structures that are gone.
    ///
    /// Inside the scope of another guard of this worker, and in a domain [with a
    /// barrier](super::Builder::barrier), it is nearly free. An inner one keeps the older one's age.
    #[inline]
    pub fn pin(&self) -> Pinned<'_> {
        Pinned::new(self)
    }

    /// Frees up to `budget` retired objects whose grace period is over, of any structure of the domain,
    /// and brings others nearer to their end. Returns how many were freed.
    ///
    /// Three or four calls bring an object from its retirement to its end, if meanwhile every worker
    /// was quiescent, unpinned or offline, and as many again if earlier objects were on their way; a few
    /// more in a domain with a barrier, if guards that stay must be taken back. Bounded by the budget, a few
    /// exchanges for each structure with retired objects, a look for every 64 structures, and a walk over
    /// the domain's workers; waits for no other thread. Several workers may collect at once.
    /// Allocates about 2 KiB now and then, for crossbeam's queue; aborts if there is no memory.
    ///
    /// # Panics
    ///
    /// If a destructor does, in a domain that does not [contain](super::Builder::contain) panics. Its
    /// object counts as freed; nothing else is lost.
    pub fn collect(&mut self, now: Instant, budget: Budget) -> usize {
        let inner = self.domain.inner();
        inner.now.raise(now.as_nanos().min(LATEST));
        // The budget is what this call may free.
        self.post().debt().hand_in(&inner.garbage);
        if self.standing.is_some() {
            self.quiescent(now);
        }
        let inner = self.domain.inner();
        let Some(pin) = self.handle.as_ref().map(epoch::LocalHandle::pin) else {
            return 0;
        };
        inner.advance(&pin, inner.records.held(), Take::All);
        // Destructors run under no guard of this call.
        drop(pin);
        inner.free(self.post().debt().stripe(), budget)
    }

    /// Whether the domain holds more garbage than it leaves alone, and some of it can be freed now.
    pub(crate) fn is_overdue(&self) -> bool {
        self.domain.inner().is_overdue()
    }

    #[inline]
    fn guard(&self) -> Guard {
        self.under(self.handle.as_ref().map(epoch::LocalHandle::pin))
    }

    #[inline(always)]
    fn under(&self, pin: Option<epoch::Guard>) -> Guard {
        Guard { pin, domain: self.domain.inner(), post: self.post }
    }

    fn leave(&mut self) {
        if self.standing.take().is_some() {
            self.unpinned();
        }
    }

    /// One guard less. The end of the last one pays.
    #[inline]
    fn unpinned(&self) {
        let pins = self.pins.get() - ONE;
        self.pins.set(pins);
        if pins == STAYS {
            self.post().unpin_under();
        } else if pins == 0 {
            self.post().unpinned();
        } else {
            return;
        }
        if self.post().debt().is_new() {
            self.settle();
        }
    }

    /// What the end of the last guard owes for what was retired under it.
    #[inline(never)]
    fn settle(&self) {
        let (debt, inner) = (self.post().debt(), self.domain.inner());
        if debt.is_paying() {
            // A destructor's guard: the payment in progress knows of it.
            return;
        }
        if debt.is_due() {
            match &self.handle {
                Some(handle) if !self.by_budget => debt.pay(inner, handle),
                _ => _ = debt.hand_in(&inner.garbage),
            }
        }
        debt.forget();
    }

    #[inline(always)]
    fn post(&self) -> &Post {
        // SAFETY: lives as long as the domain, of which we hold a clone.
        unsafe { self.post.as_ref() }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.leave();
        let debt = self.post().debt();
        debt.hand_in(&self.domain.inner().garbage);
        debt.clear();
        self.post().leave();
    }
}

impl core::fmt::Debug for Worker {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Worker")
            .field("domain", &self.domain)
            .field("pins", &(self.pins.get() / ONE))
            .finish_non_exhaustive()
    }
}

/// A worker in a step of a sweep. It becomes what it was when the step ends, also by a panic.
pub(crate) struct Sweeping<'w> {
    worker: &'w mut Worker,
    /// Whether the worker freed by budget only before the step.
    before: bool,
}

impl Deref for Sweeping<'_> {
    type Target = Worker;

    fn deref(&self) -> &Worker {
        self.worker
    }
}

impl DerefMut for Sweeping<'_> {
    fn deref_mut(&mut self) -> &mut Worker {
        self.worker
    }
}

impl Drop for Sweeping<'_> {
    fn drop(&mut self) {
        self.worker.by_budget = self.before;
    }
}

/// A guard that ends with its scope.
#[derive(Debug)]
pub struct Pinned<'w> {
    guard: Guard,
    worker: &'w Worker,
}

impl<'w> Pinned<'w> {
    #[inline(always)]
    fn new(worker: &'w Worker) -> Self {
        let domain = worker.domain.inner();
        if worker.pins.get() < ONE {
            let now = domain.now.get();
            if domain.rules().barrier.is_some() {
                // Relaxed: a hint; a guard that is not renewed is taken back.
                let renewals = domain.renewals.load(Ordering::Relaxed);
                if worker.post().pin_under(now, renewals) {
                    worker.pins.set(STAYS + ONE);
                    return Self { guard: worker.under(None), worker };
                }
                // For the pins after this one.
                worker.post().stay();
            }
            worker.post().pinned(now);
            worker.pins.set(0);
        }
        // Of crossbeam's own, unless inside the scope of one that is under the guard that stays.
        let pins = worker.pins.get();
        let guard = if pins & STAYS != 0 { worker.under(None) } else { worker.guard() };
        worker.pins.set(pins + ONE);
        Self { guard, worker }
    }
}

impl Deref for Pinned<'_> {
    type Target = Guard;

    #[inline(always)]
    fn deref(&self) -> &Guard {
        &self.guard
    }
}

impl Drop for Pinned<'_> {
    #[inline]
    fn drop(&mut self) {
        // Ended before it is paid for: destructors run under no guard.
        self.guard.pin = None;
        self.worker.unpinned();
    }
}
