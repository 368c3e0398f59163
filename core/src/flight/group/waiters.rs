//! Any number of places for wakers: a list that only grows, and is freed with its flight.

use core::ptr::{NonNull, null_mut};
use core::task::Waker;

use alloc::boxed::Box;

use crate::flight::place::{Place, Ticket, wake_all};
use crate::reclaim::{Containment, Unpublished};
use crate::sync::{AtomicPtr, AtomicUsize, Ordering};

pub(super) struct Waiters {
    first: AtomicPtr<Node>,
    /// Where the next waiter begins to look for an empty place.
    hint: AtomicPtr<Node>,
    made: AtomicUsize,
    /// How many of the places made are empty again.
    empty: AtomicUsize,
}

struct Node {
    place: Place,
    /// Written before the node is published.
    next: *mut Node,
}

// SAFETY: the nodes are shared by design, and only the owner of the list frees them.
unsafe impl Send for Waiters {}
// SAFETY: the nodes are shared by design, and only the owner of the list frees them.
unsafe impl Sync for Waiters {}

impl Waiters {
    pub(super) fn new() -> Self {
        Self {
            first: AtomicPtr::new(null_mut()),
            hint: AtomicPtr::new(null_mut()),
            made: AtomicUsize::new(0),
            empty: AtomicUsize::new(0),
        }
    }

    /// Iterates over the nodes from `next` on, which was read with Acquire.
    fn from(&self, mut next: *mut Node) -> impl Iterator<Item = &Node> {
        core::iter::from_fn(move || {
            // SAFETY: published, and freed with the list only.
            let node = unsafe { NonNull::new(next)?.as_ref() };
            next = node.next;
            Some(node)
        })
    }

    fn all(&self) -> impl Iterator<Item = &Node> {
        // Acquire: pairs with the push: this thread sees the node, and the nodes before it.
        self.from(self.first.load(Ordering::Acquire))
    }

    /// Leaves a waker in a place. Returns `None` if there is no memory for one.
    pub(super) fn enter(&self, mut waker: Waker) -> Option<(&Place, Ticket)> {
        // Relaxed, both: a guess. With it, no more places are made than twice as many as were ever
        // needed at once, and a search stays short.
        if self.empty.load(Ordering::Relaxed) > self.made.load(Ordering::Relaxed) / 2 {
            // Acquire, beyond loom: as for the load of `first`, behind which the hint lies. Only
            // with three waiters does a search begin anywhere but at the end.
            let hint = self.hint.load(Ordering::Acquire);
            for node in self.from(hint).chain(self.all()) {
                match node.place.enter(waker) {
                    Ok(ticket) => {
                        // Release, beyond loom: a thread that begins there sees the node; see
                        // above.
                        self.hint.store(node.next, Ordering::Release);
                        // Relaxed: a count.
                        self.empty.fetch_sub(1, Ordering::Relaxed);
                        return Some((&node.place, ticket));
                    }
                    Err(back) => waker = back,
                }
            }
        }
        let node = Node { place: Place::new(), next: null_mut() };
        let mut node = Unpublished::new(node).ok()?;
        let ticket = node.get_mut().place.enter(waker).ok()?;
        // Relaxed: only compared with. The threads that pushed the nodes behind it have published
        // them.
        let mut first = self.first.load(Ordering::Relaxed);
        loop {
            node.get_mut().next = first;
            let at = node.address().as_ptr();
            // Release: publishes the node.
            match self.first.compare_exchange(first, at, Ordering::Release, Ordering::Relaxed) {
                Ok(_) => break,
                Err(seen) => first = seen,
            }
        }
        // Relaxed: a count.
        self.made.fetch_add(1, Ordering::Relaxed);
        // SAFETY: published, and freed with the list only.
        Some((unsafe { &node.publish().as_ref().place }, ticket))
    }

    /// Gives a place up.
    pub(super) fn leave(&self, place: &Place, ticket: Ticket) {
        if place.leave(ticket) {
            // Relaxed: a count. It is below 0 for a moment if the next was faster. Then it wraps,
            // and a search is made in vain.
            self.empty.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Calls every waker, each contained by itself. If a panic is not contained, the others are
    /// called all the same.
    pub(super) fn wake_all(&self, containment: Containment) {
        let places = self.all().map(|node| &node.place);
        wake_all(places, |waker| containment.call(|| waker.wake()));
    }
}

impl Drop for Waiters {
    fn drop(&mut self) {
        let mut next = *self.first.get_mut();
        while let Some(node) = NonNull::new(next) {
            // SAFETY: allocated as a box is, and owned by this list alone.
            let node = unsafe { Box::from_raw(node.as_ptr()) };
            next = node.next;
        }
    }
}
