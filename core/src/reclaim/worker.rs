//! Who reads.

use core::cell::Cell;
use core::ops::Deref;
use core::ptr::NonNull;

use crossbeam_epoch as epoch;

use super::domain::{Domain, Inner};
use super::post::{LATEST, Post};
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
}

impl Guard {
    #[inline(always)]
    pub(super) fn is_of(&self, domain: &Inner) -> bool {
        core::ptr::eq(self.domain, domain)
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
    domain: Domain,
}

const STAYS: usize = 1;
const ONE: usize = 2;

// SAFETY: a crossbeam participant is a set of plain cells that know nothing of the thread that uses
// them; it must only not be used by two at once. Everything that uses this one is in the worker
// (`standing`, which moves along) or borrows it (`Pinned`, `&Guard`: no move while they live).
unsafe impl Send for Worker {}

impl Worker {
    pub(super) fn new(domain: &Domain) -> Self {
        let inner = domain.inner();
        let post = match inner.posts.adopt(Post::claim, Post::new) {
            Ok(post) => post,
            Err(_) => alloc::alloc::handle_alloc_error(core::alloc::Layout::new::<Post>()),
        };
        if let (Some(collector), true) = (&inner.collector, inner.barrier.is_some()) {
            // SAFETY: lives as long as the domain.
            unsafe { post.as_ref() }.enlist(|| collector.register());
        }
        Self {
            standing: None,
            handle: inner.collector.as_ref().map(epoch::Collector::register),
            pins: Cell::new(0),
            post,
            domain: domain.clone(),
        }
    }

    /// The domain.
    pub fn domain(&self) -> &Domain {
        &self.domain
    }

    /// Whether there is any guard of this worker.
    pub fn is_pinned(&self) -> bool {
        self.pins.get() >= ONE
    }

    /// Says that nothing read before is still in use, and returns the guard for what is read next.
    /// For loops that run to completion: once a burst, with the burst's time.
    ///
    /// The borrow checker keeps references of one burst out of the next. Wait-free; runs no
    /// destructor, allocates nothing.
    #[inline]
    pub fn quiescent(&mut self, now: Instant) -> &Guard {
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

    /// Runs `f`, which may block, without holding back anybody's memory meanwhile.
    pub fn offline<R>(&mut self, f: impl FnOnce() -> R) -> R {
        self.leave();
        f()
    }

    /// A guard for as long as it is kept. Wait-free but for crossbeam's walk over the workers at
    /// every 128th; runs no destructor.
    ///
    /// Inside the scope of another guard of this worker, and in a domain [with a
    /// barrier](Domain::with_barrier), it is nearly free. An inner one keeps the older one's age.
    #[inline]
    pub fn pin(&self) -> Pinned<'_> {
        Pinned::new(self)
    }

    /// Frees up to `budget` retired objects whose grace period is over, and sees to it that others'
    /// ends. Returns how many were freed; 0 at once if another worker is collecting.
    ///
    /// Three or four calls bring an object from its retirement to its end, if meanwhile every worker
    /// was quiescent, unpinned or offline; a few more in a domain with a barrier, if guards that stay
    /// must be taken back. Of what was retired, destructors run here and nowhere else
    /// before the domain ends. Bounded by the budget, a few exchanges for each structure of the domain,
    /// and a walk over its workers; waits for nobody. Allocates about 2 KiB now and then, for
    /// crossbeam's queue; aborts if there is no memory.
    ///
    /// # Panics
    ///
    /// If a destructor does. Its object counts as freed; nothing else is lost.
    pub fn collect(&mut self, now: Instant, budget: Budget) -> usize {
        let inner = self.domain.inner();
        inner.now.raise(now.as_nanos().min(LATEST));
        if self.standing.is_some() {
            self.quiescent(now);
        }
        let Some(pin) = self.handle.as_ref().map(epoch::LocalHandle::pin) else {
            return 0;
        };
        self.domain.inner().collect(&pin, budget)
    }

    #[inline]
    fn guard(&self) -> Guard {
        let pin = self.handle.as_ref().map(epoch::LocalHandle::pin);
        Guard { pin, domain: self.domain.inner() }
    }

    fn leave(&mut self) {
        if self.standing.take().is_some() {
            self.unpinned();
        }
    }

    /// One guard less.
    #[inline]
    fn unpinned(&self) {
        let pins = self.pins.get() - ONE;
        self.pins.set(pins);
        if pins == STAYS {
            self.post().unpin_under();
        } else if pins == 0 {
            self.post().unpinned();
        }
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
            if domain.barrier.is_some() {
                if worker.post().pin_under(now) {
                    worker.pins.set(STAYS + ONE);
                    return Self { guard: Guard { pin: None, domain }, worker };
                }
                // For the pins after this one.
                worker.post().stay();
            }
            worker.post().pinned(now);
            worker.pins.set(0);
        }
        // Of crossbeam's own, unless inside the scope of one that is under the guard that stays.
        let pins = worker.pins.get();
        let guard = if pins & STAYS != 0 { Guard { pin: None, domain } } else { worker.guard() };
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
        self.worker.unpinned();
    }
}
