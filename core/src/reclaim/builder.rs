//! Making a domain.

use crossbeam_epoch::Collector;

use super::domain::Domain;
use super::rules::{Allowance, Contain, Rules};

/// Builds a [`Domain`]: see [`Domain::builder`].
#[derive(Debug)]
#[must_use = "a builder that is dropped makes no domain"]
pub struct Builder(Rules);

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
        Builder(Rules::new())
    }
}

impl Builder {
    /// Sets how much garbage is left alone: at most so many objects, and so many bytes. Above either,
    /// callers that retire objects also free some. 1,024 objects and 1 MiB unless said otherwise.
    ///
    /// A smaller allowance asks for grace periods more often; a larger one leaves more memory unused.
    pub const fn allowance(mut self, objects: u64, bytes: u64) -> Self {
        self.0.allowance = Allowance { objects, bytes };
        self
    }

    /// Frees nothing on the data path: only [`Worker::collect`](super::Worker::collect) and sweeps run
    /// destructors. Calls that would retire more than `cap` objects which are not freed yet are refused
    /// ([`MapError::Backpressure`](crate::map::MapError)). For packet loops.
    ///
    /// An object is an entry, a block of entries or a table. A map needs a few for each change in
    /// progress.
    pub const fn never_on_the_data_path(mut self, cap: usize) -> Self {
        self.0.on_the_data_path = false;
        self.0.cap = if cap < usize::MAX { cap } else { usize::MAX - 1 };
        self
    }

    /// Lets a worker's guard *stay* when its scope ends, so that the next
    /// [`Worker::pin`](super::Worker::pin) costs next to nothing. A collector that finds the guard in
    /// its way takes it back, after a `barrier` on all threads. A worker takes twice the memory.
    /// `tidegate::domain()` is such a domain where Linux provides a barrier.
    ///
    /// # Safety
    ///
    /// Between the moment at which `barrier` is called and that at which it returns, every thread
    /// that uses the domain must pass a full memory barrier, as by Linux' `membarrier` in its private
    /// expedited form. It must not unwind.
    pub const unsafe fn barrier(mut self, barrier: fn()) -> Self {
        self.0.barrier = Some(barrier);
        self
    }

    /// Runs destructors of retired objects through `contain`, which calls the closure it is given and
    /// may catch its panic, as `std::panic::catch_unwind` does. It should not call the closure on a
    /// thread that is inside an earlier call, and so running a destructor already: the objects then
    /// wait for the next opportunity.
    ///
    /// Each waker that a [`Group`](crate::flight::Group) or a [`Cache`](crate::Cache) of the domain
    /// calls, and each call of a cache's listener, goes through `contain` by itself, unless there is a
    /// hook for them: see [`contain_calls`](Self::contain_calls). A panic of one then leaves the others
    /// and the caller untouched. If `contain` does not call the closure, the waker or listener is called
    /// without it: the earlier call on the thread contains its panic. In that case two wakers of one
    /// flight that panic abort the program. While a waker or listener runs, `contain` refuses to free:
    /// what it retires is freed by the end of a guard outside of it, or by a sweep. A domain in which
    /// only listeners of another domain's cache retire anything needs a sweep.
    ///
    /// Without `contain`:
    ///
    /// * A panic of a destructor, waker or listener leaves the call that ran it, after the effect of that
    ///   call; that of a listener which is told of an eviction, before the insertion that evicted. The
    ///   other wakers are called while it unwinds; the listener is not told of the other entries that one
    ///   load removes. A second panic during that aborts the program: of two wakers of one flight, or of
    ///   a waker and the listener in one load.
    /// * One thread at a time runs destructors: this crate cannot tell threads apart, and a destructor
    ///   that uses a structure of the domain must not have others run within itself.
    ///
    /// In either case an entry whose key and value both panic when they are dropped aborts the program,
    /// as any Rust value does of which two fields panic.
    pub const fn contain(mut self, contain: Contain) -> Self {
        self.0.contain = Some(contain);
        self
    }

    /// Calls wakers and listeners through `contain`, in place of the hook for destructors. It calls the
    /// closure it is given at once, also on a thread that is inside an earlier call of either hook, and may
    /// catch its panic. So two wakers that panic are each contained inside a destructor, too, and what a
    /// listener retires is paid for while the listener runs.
    pub const fn contain_calls(mut self, contain: Contain) -> Self {
        self.0.contain_calls = Some(contain);
        self
    }

    /// Gives the processor away when a guard's end pays and there is more than twice the allowance, once
    /// for two objects retired and 32 times at most: `std::thread::yield_now` on a server. Another
    /// thread may have lost its processor while it held a guard, and nothing is freed before that thread
    /// runs again.
    pub const fn yield_now(mut self, yield_now: fn()) -> Self {
        self.0.yield_now = Some(yield_now);
        self
    }

    /// Makes the domain. Allocates; aborts if there is no memory.
    pub fn build(self) -> Domain {
        Domain::made(Some(Collector::new()), self.0)
    }
}
