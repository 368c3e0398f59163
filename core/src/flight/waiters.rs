//! Any number of places for wakers: a list that only grows, and ends with what it is waited for.

use core::ptr::{NonNull, null_mut};
use core::task::Waker;

use alloc::boxed::Box;

use super::place::{Place, Ticket, wake_all};
use crate::reclaim::Unpublished;
use crate::sync::{AtomicPtr, Ordering};

/// So many places are asked whether their waiters have gone, before another is made.
const LOOK: usize = if cfg!(loom) { 1 } else { 8 };

pub(super) struct Waiters(AtomicPtr<Node>);

struct Node {
    place: Place,
    /// Written before the node is published.
    next: *mut Node,
}

// SAFETY: the nodes are shared by design, and freed by whoever owns the list alone.
unsafe impl Send for Waiters {}
// SAFETY: as above.
unsafe impl Sync for Waiters {}

impl Waiters {
    pub(super) fn new() -> Self {
        Self(AtomicPtr::new(null_mut()))
    }

    fn iter(&self) -> impl Iterator<Item = &Place> {
        // Acquire: pairs with the push: the node is seen, and with it those before.
        let mut next = self.0.load(Ordering::Acquire);
        core::iter::from_fn(move || {
            // SAFETY: published, and freed with the list only.
            let node = unsafe { NonNull::new(next)?.as_ref() };
            next = node.next;
            Some(&node.place)
        })
    }

    /// Leaves a waker in a place. `None` if there is no memory for one.
    pub(super) fn enter(&self, mut waker: Waker) -> Option<(&Place, Ticket)> {
        for place in self.iter().take(LOOK) {
            match place.enter(waker) {
                Ok(ticket) => return Some((place, ticket)),
                Err(back) => waker = back,
            }
        }
        let node = Node { place: Place::new(), next: null_mut() };
        let mut node = Unpublished::new(node).ok()?;
        let ticket = node.get_mut().place.enter(waker).ok()?;
        // Relaxed: only compared with; what is behind it is published by those who pushed it.
        let mut head = self.0.load(Ordering::Relaxed);
        loop {
            node.get_mut().next = head;
            let at = node.address().as_ptr();
            // Release: publishes the node.
            match self.0.compare_exchange(head, at, Ordering::Release, Ordering::Relaxed) {
                Ok(_) => break,
                Err(seen) => head = seen,
            }
        }
        // SAFETY: published, and freed with the list only.
        Some((unsafe { &node.publish().as_ref().place }, ticket))
    }

    /// Wakes whoever waits; the rest also if a waker panics.
    pub(super) fn wake_all(&self) {
        wake_all(self.iter());
    }
}

impl Drop for Waiters {
    fn drop(&mut self) {
        let mut next = *self.0.get_mut();
        while let Some(node) = NonNull::new(next) {
            // SAFETY: allocated as a box is, and ours alone.
            let node = unsafe { Box::from_raw(node.as_ptr()) };
            next = node.next;
        }
    }
}
