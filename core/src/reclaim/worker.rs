//! Who reads.

use alloc::rc::Rc;
use core::cell::Cell;
use core::ops::Deref;
use core::ptr::NonNull;

use crossbeam_epoch as epoch;

use super::domain::{Domain, Inner};
use crate::sweep::Budget;
use crate::sync::{AtomicUsize, Ordering, TimeWord, fence};
use crate::time::Instant;

/// Where a worker says since when it has been pinned.
pub(super) struct Post {
    taken: AtomicUsize,
    /// `u64::MAX`: not pinned.
    since: TimeWord,
}

impl Post {
    fn new() -> Self {
        Self { taken: AtomicUsize::new(1), since: TimeWord::new(u64::MAX) }
    }

    fn claim(&self) -> bool {
        // Acquire: pairs with the store of the worker before.
        self.taken.compare_exchange(0, 1, Ordering::Acquire, Ordering::Relaxed).is_ok()
    }

    pub(super) fn since(&self) -> Option<Instant> {
        match self.since.get() {
            u64::MAX => None,
            since => Some(Instant::from_nanos(since)),
        }
    }
}

/// Proof that its holder is pinned: nothing that it reaches from now on is freed before it is gone.
///
/// It cannot be made but by a [`Worker`]; one of another domain is refused by every structure, with
/// a panic.
///
/// ```compile_fail
/// let guard = tidegate_core::reclaim::Guard {};
/// ```
pub struct Guard {
    /// `None` in quarantine only. Held for its drop.
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
    /// How many guards there are.
    pins: Cell<usize>,
    post: NonNull<Post>,
    domain: Domain,
}

// SAFETY: a crossbeam participant is a set of plain cells that know nothing of the thread that uses
// them; it must only not be used by two at once. Everything that uses this one is in the worker
// (`standing`, which moves along), borrows it (`Pinned<&Worker>`, `&Guard`: no move while they
// live), or shares it by `Rc`, which does not move to another thread.
unsafe impl Send for Worker {}

impl Worker {
    pub(super) fn new(domain: &Domain) -> Self {
        let inner = domain.inner();
        let post = match inner.posts.adopt(Post::claim, Post::new) {
            Ok(post) => post,
            Err(_) => alloc::alloc::handle_alloc_error(core::alloc::Layout::new::<Post>()),
        };
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

    /// Says that nothing read before is still in use, and returns the guard for what is read next.
    /// For loops that run to completion: once a burst, with the burst's time.
    ///
    /// The borrow checker keeps references of one burst out of the next. Wait-free; runs no
    /// destructor, allocates nothing.
    #[inline]
    pub fn quiescent(&mut self, now: Instant) -> &Guard {
        self.post().since.set(now.as_nanos());
        if self.standing.is_none() {
            self.standing = Some(self.guard());
            self.pins.set(self.pins.get() + 1);
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
    /// Inside the scope of another guard of this worker it is nearly free, and keeps the older one's
    /// age.
    #[inline]
    pub fn pin(&self) -> Pinned<&Self> {
        Pinned::new(self)
    }

    /// The same, for a worker that is shared within its thread.
    #[inline]
    pub fn pin_shared(self: &Rc<Self>) -> Pinned<Rc<Self>> {
        Pinned::new(Rc::clone(self))
    }

    /// Frees up to `budget` retired objects whose grace period is over, and sees to it that others'
    /// ends. Returns how many were freed; 0 at once if another worker is collecting.
    ///
    /// Two or three calls bring an object from its retirement to its end, if meanwhile every worker
    /// was quiescent, unpinned or offline. Destructors run here and nowhere else. Bounded by the
    /// budget, one exchange for each structure of the domain, and a walk over its workers; waits for
    /// nobody.
    ///
    /// # Panics
    ///
    /// If a destructor does. Its object counts as freed; nothing else is lost.
    pub fn collect(&mut self, now: Instant, budget: Budget) -> usize {
        let inner = self.domain.inner();
        inner.now.raise(now.as_nanos());
        if self.standing.is_some() {
            self.quiescent(now);
        }
        let pinned = self.pin();
        match &pinned.guard.pin {
            Some(pin) => self.domain.inner().collect(pin, budget),
            None => 0,
        }
    }

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
        let pins = self.pins.get() - 1;
        self.pins.set(pins);
        if pins == 0 {
            self.post().since.set(u64::MAX);
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
        // Release: pairs with the claim of the worker after.
        self.post().taken.store(0, Ordering::Release);
    }
}

impl core::fmt::Debug for Worker {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Worker")
            .field("domain", &self.domain)
            .field("pins", &self.pins.get())
            .finish_non_exhaustive()
    }
}

/// A guard that ends with its scope. `W` is how it holds its worker.
#[derive(Debug)]
pub struct Pinned<W: Deref<Target = Worker>> {
    guard: Guard,
    worker: W,
}

impl<W: Deref<Target = Worker>> Pinned<W> {
    #[inline]
    fn new(worker: W) -> Self {
        let pins = worker.pins.get();
        if pins == 0 {
            worker.post().since.set(worker.domain.inner().now.get());
        }
        let guard = worker.guard();
        worker.pins.set(pins + 1);
        Self { guard, worker }
    }
}

impl<W: Deref<Target = Worker>> Deref for Pinned<W> {
    type Target = Guard;

    #[inline(always)]
    fn deref(&self) -> &Guard {
        &self.guard
    }
}

impl<W: Deref<Target = Worker>> Drop for Pinned<W> {
    #[inline]
    fn drop(&mut self) {
        self.worker.unpinned();
    }
}
