//! `core`'s atomics with a hook before each operation. It yields now and then, so that two
//! processors interleave like many. It can also stop a thread at a given operation for as long as a
//! test likes.

use core::cell::{Cell, RefCell};
use core::ops::{Deref, DerefMut};
use core::panic::Location;
use core::sync::atomic;
use std::collections::BTreeSet;
use std::sync::{Condvar, Mutex, PoisonError};
use std::thread_local;
use std::vec::Vec;

pub use core::sync::atomic::Ordering;

/// Where an operation is: file, line and column of the call.
pub type Place = (&'static str, u32, u32);

thread_local! {
    /// The state of a generator; 0 if this thread does not yield.
    static YIELDS: Cell<u64> = const { Cell::new(0) };
    static STOP_AT: Cell<Option<Place>> = const { Cell::new(None) };
    static SEEN: RefCell<Option<BTreeSet<Place>>> = const { RefCell::new(None) };
}

static STOPPED: Mutex<bool> = Mutex::new(false);
static CHANGED: Condvar = Condvar::new();

/// Makes this thread yield from now on before one operation in 32, at random.
pub fn yields(seed: u64) {
    YIELDS.set(seed | 1);
}

/// Records the places of this thread's operations, until [`places`] is called.
pub fn note_places() {
    SEEN.set(Some(BTreeSet::new()));
}

/// Returns the places that were recorded.
pub fn places() -> Vec<Place> {
    SEEN.take().into_iter().flatten().collect()
}

/// Stops this thread, once, where it next comes to `place`, until [`release`] is called.
pub fn stop_at(place: Place) {
    STOP_AT.set(Some(place));
}

/// Returns whether a thread has stopped and was not released.
pub fn is_stopped() -> bool {
    *STOPPED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Lets the thread that stopped continue.
pub fn release() {
    *STOPPED.lock().unwrap_or_else(PoisonError::into_inner) = false;
    CHANGED.notify_all();
}

/// Yields or stops before an operation, as this thread was told to.
#[track_caller]
fn step() {
    let at = Location::caller();
    let place = (at.file(), at.line(), at.column());
    SEEN.with_borrow_mut(|seen| _ = seen.as_mut().map(|seen| seen.insert(place)));
    if STOP_AT.get() == Some(place) {
        STOP_AT.set(None);
        let mut stopped = STOPPED.lock().unwrap_or_else(PoisonError::into_inner);
        *stopped = true;
        while *stopped {
            stopped = CHANGED.wait(stopped).unwrap_or_else(PoisonError::into_inner);
        }
    }
    let mut state = YIELDS.get();
    if state != 0 {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        YIELDS.set(state);
        if state % 32 == 0 {
            std::thread::yield_now();
        }
    }
}

/// An atomic whose every use is a step.
#[derive(Debug)]
#[repr(transparent)]
pub struct Stepped<A>(A);

impl<A> Deref for Stepped<A> {
    type Target = A;

    #[track_caller]
    fn deref(&self) -> &A {
        step();
        &self.0
    }
}

impl<A> DerefMut for Stepped<A> {
    fn deref_mut(&mut self) -> &mut A {
        &mut self.0
    }
}

/// A 32-bit atomic.
pub type AtomicU32 = Stepped<atomic::AtomicU32>;
/// A 64-bit atomic.
pub type AtomicU64 = Stepped<atomic::AtomicU64>;
/// An atomic of the size of a pointer.
pub type AtomicUsize = Stepped<atomic::AtomicUsize>;
/// An atomic pointer.
pub type AtomicPtr<T> = Stepped<atomic::AtomicPtr<T>>;

impl AtomicU32 {
    /// Creates the atomic.
    pub const fn new(value: u32) -> Self {
        Self(atomic::AtomicU32::new(value))
    }
}

impl AtomicU64 {
    /// Creates the atomic.
    pub const fn new(value: u64) -> Self {
        Self(atomic::AtomicU64::new(value))
    }
}

impl AtomicUsize {
    /// Creates the atomic.
    pub const fn new(value: usize) -> Self {
        Self(atomic::AtomicUsize::new(value))
    }
}

impl<T> AtomicPtr<T> {
    /// Creates the atomic.
    pub const fn new(value: *mut T) -> Self {
        Self(atomic::AtomicPtr::new(value))
    }
}

/// Executes a fence.
#[track_caller]
pub fn fence(order: Ordering) {
    step();
    atomic::fence(order);
}

/// Executes a fence whose other half is a barrier on all threads. Here it is a whole one, so that a
/// fence may stand for the barrier.
#[track_caller]
pub fn light_fence() {
    fence(Ordering::SeqCst);
}
