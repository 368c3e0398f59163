//! A place for a waiter's waker.

use core::cell::UnsafeCell;
use core::task::Waker;

use crate::sync::{AtomicU64, Ordering, Witness};

/// A place for one waker.
///
/// Its word is a count of the waiters that have had it, and a status. The thread that makes it
/// `BUSY` has the waker to itself, for a few instructions; no thread waits for it.
pub(super) struct Place {
    word: AtomicU64,
    waker: UnsafeCell<Option<Waker>>,
    witness: Witness,
}

const EMPTY: u64 = 0;
const BUSY: u64 = 1;
const WAITING: u64 = 2;
const STATUS: u64 = 3;
const ONE: u64 = 4;

/// The owner of a place: the count, without the status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ticket(u64);

// SAFETY: only the thread that made the word `BUSY` touches the waker, one at a time.
unsafe impl Sync for Place {}

impl Place {
    #[cfg(not(loom))]
    pub(super) const fn new() -> Self {
        Self { word: AtomicU64::new(EMPTY), waker: UnsafeCell::new(None), witness: Witness::new() }
    }

    #[cfg(loom)]
    pub(super) fn new() -> Self {
        Self { word: AtomicU64::new(EMPTY), waker: UnsafeCell::new(None), witness: Witness::new() }
    }

    /// Leaves a waker in a place that is free, or hands it back.
    pub(super) fn enter(&self, waker: Waker) -> Result<Ticket, Waker> {
        // Relaxed: the exchange decides.
        let word = self.word.load(Ordering::Relaxed);
        let ticket = Ticket((word & !STATUS).wrapping_add(ONE));
        if word & STATUS != EMPTY || !self.turn(word, ticket.0 | BUSY) {
            return Err(waker);
        }
        self.replace(Some(waker));
        self.leave_as(ticket, WAITING);
        Ok(ticket)
    }

    /// Ensures that `waker` is the one that is called. Returns `false` if the place is no longer
    /// the ticket's.
    pub(super) fn renew(&self, ticket: Ticket, waker: &Waker) -> bool {
        // Before the place is taken, for it is the user's code.
        let waker = waker.clone();
        if !self.turn(ticket.0 | WAITING, ticket.0 | BUSY) {
            return false;
        }
        let old = self.replace(Some(waker));
        self.leave_as(ticket, WAITING);
        drop(old);
        true
    }

    /// Gives the place up, if it is still the ticket's. Returns whether it was.
    pub(super) fn leave(&self, ticket: Ticket) -> bool {
        if !self.turn(ticket.0 | WAITING, ticket.0 | BUSY) {
            return false;
        }
        let waker = self.replace(None);
        self.leave_as(ticket, EMPTY);
        drop(waker);
        true
    }

    /// Takes the waker of the caller that waits here.
    fn take(&self) -> Option<Waker> {
        // Relaxed: ordered by the exchange on the slot that the caller has made, if a waiter
        // entered before that.
        let word = self.word.load(Ordering::Relaxed);
        let ticket = Ticket(word & !STATUS);
        // A place is busy while a waiter enters after that exchange, or changes its waker; either
        // then looks at the slot once more. It is also busy while a waiter leaves, or another
        // thread wakes it.
        if word & STATUS != WAITING || !self.turn(word, ticket.0 | BUSY) {
            return None;
        }
        let waker = self.replace(None);
        self.leave_as(ticket, EMPTY);
        waker
    }

    fn turn(&self, from: u64, to: u64) -> bool {
        // Acquire: pairs with the end of the use before.
        self.word.compare_exchange(from, to, Ordering::Acquire, Ordering::Relaxed).is_ok()
    }

    fn replace(&self, waker: Option<Waker>) -> Option<Waker> {
        self.witness.write();
        // SAFETY: the word is `BUSY`, by our own exchange.
        unsafe { self.waker.get().replace(waker) }
    }

    fn leave_as(&self, ticket: Ticket, status: u64) {
        // Release: pairs with the next use.
        self.word.store(ticket.0 | status, Ordering::Release);
    }
}

/// Takes the wakers out of the places and hands each to `wake`. If `wake` panics for one, the
/// others are handed over all the same. If it panics once more, the program aborts.
pub(super) fn wake_all<'a>(places: impl Iterator<Item = &'a Place>, wake: impl Fn(Waker)) {
    struct Rest<I: Iterator<Item = Waker>, F: Fn(Waker)>(I, F);
    impl<I: Iterator<Item = Waker>, F: Fn(Waker)> Rest<I, F> {
        fn wake(&mut self) {
            let Self(wakers, wake) = self;
            wakers.for_each(wake);
        }
    }
    impl<I: Iterator<Item = Waker>, F: Fn(Waker)> Drop for Rest<I, F> {
        fn drop(&mut self) {
            self.wake();
        }
    }
    Rest(places.filter_map(Place::take), wake).wake();
}
