//! How a domain bounds its garbage.

use super::domain::{Domain, Inner};

/// Runs a closure that frees retired objects, and keeps the panics of their destructors from going on:
/// see [`Builder::contain`].
pub type Contain = fn(&mut dyn FnMut());

/// Builds a [`Domain`]: see [`Domain::builder`].
#[derive(Debug)]
#[must_use = "a builder that is dropped makes no domain"]
pub struct Builder {
    pub(super) allowance: Allowance,
    pub(super) cap: usize,
    pub(super) on_the_data_path: bool,
    pub(super) barrier: Option<fn()>,
    pub(super) contain: Option<Contain>,
    pub(super) yield_now: Option<fn()>,
}

/// How much garbage a domain leaves alone.
#[derive(Clone, Copy, Debug)]
pub(super) struct Allowance {
    objects: u64,
    bytes: u64,
}

impl Allowance {
    /// Objects and bytes that a worker retires before it pays: a small part, since many workers may owe
    /// as much; but an attempt to pay costs as much as a few retirements.
    pub(super) fn due(self) -> (u64, u64) {
        ((self.objects / 32).clamp(1, 32), (self.bytes / 64).max(1))
    }
}

impl Builder {
    pub(super) fn new() -> Self {
        Self {
            allowance: Allowance { objects: 1024, bytes: 1 << 20 },
            cap: usize::MAX,
            on_the_data_path: true,
            barrier: None,
            contain: None,
            yield_now: None,
        }
    }

    /// Sets how much garbage is left alone: at most so many objects, and so many bytes. Above either,
    /// callers that retire objects also free some. 1,024 objects and 1 MiB unless said otherwise.
    ///
    /// A smaller allowance asks for grace periods more often; a larger one leaves more memory unused.
    pub const fn allowance(mut self, objects: u64, bytes: u64) -> Self {
        self.allowance = Allowance { objects, bytes };
        self
    }

    /// Frees nothing on the data path: only [`Worker::collect`](super::Worker::collect) and sweeps run
    /// destructors. Calls that would retire more than `cap` objects which are not freed yet are refused
    /// ([`MapError::Backpressure`](crate::map::MapError)). For packet loops.
    ///
    /// An object is an entry, a block of entries or a table. A map needs a few for each change in
    /// progress.
    pub const fn never_on_the_data_path(mut self, cap: usize) -> Self {
        self.on_the_data_path = false;
        self.cap = if cap < usize::MAX { cap } else { usize::MAX - 1 };
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
        self.barrier = Some(barrier);
        self
    }

    /// Runs destructors of retired objects through `contain`, which calls the closure it is given and
    /// may catch its panic, as `std::panic::catch_unwind` does. It should not call the closure on a
    /// thread that is inside an earlier call, and so running a destructor already: the objects then
    /// wait for the next opportunity.
    ///
    /// Without it, a destructor's panic leaves the call that ran the destructor, after the effect of
    /// that call. And one thread at a time runs destructors: this crate cannot tell threads apart, and
    /// a destructor that uses a structure of the domain must not have others run within itself.
    pub const fn contain(mut self, contain: Contain) -> Self {
        self.contain = Some(contain);
        self
    }

    /// Gives the processor away when a guard's end pays and there is more than twice the allowance, once
    /// for two objects retired and 32 times at most: `std::thread::yield_now` on a server. Another
    /// thread may have lost its processor while it held a guard, and nothing is freed before that thread
    /// runs again.
    pub const fn yield_now(mut self, yield_now: fn()) -> Self {
        self.yield_now = Some(yield_now);
        self
    }

    /// Makes the domain. Allocates; aborts if there is no memory.
    pub fn build(self) -> Domain {
        Domain::from_builder(self)
    }
}

impl Inner {
    /// Whether there is more garbage than so many times the allowance.
    pub(super) fn is_above(&self, times: u64) -> bool {
        let (objects, bytes) = self.garbage();
        objects > self.allowance.objects.saturating_mul(times)
            || bytes > self.allowance.bytes.saturating_mul(times)
    }

    /// Whether so many objects and bytes retired since the last take are worth the cost of another.
    pub(super) fn is_worth_a_take(&self, (objects, bytes): (u64, u64)) -> bool {
        const PARTS: u64 = 4;
        objects > self.allowance.objects / PARTS || bytes > self.allowance.bytes / PARTS
    }
}
