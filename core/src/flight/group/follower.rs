//! Callers that wait for a flight.

use alloc::sync::Arc;
use core::fmt;
use core::future::Future;
use core::pin::Pin;
use core::ptr::NonNull;
use core::task::{Context, Poll};
use core::time::Duration;

use super::shared::{Flight, Outcome};
use crate::flight::caller::CallerId;
use crate::flight::place::{Place, Ticket};
use crate::time::Instant;

/// Waits for the result of a flight.
///
/// A follower has its own deadline: it may be dropped at any time. It leaves nothing but an empty
/// place for the next, and the leader continues.
///
/// Polling for the first time allocates a place for its waker, unless more than half are empty.
/// Without memory, it wakes its task at once to be polled again. It needs no guard. The end of the
/// leader's lease wakes no follower. A caller that will not wait longer sets a timer for as long as
/// [`left`](Self::left) says, and joins again.
#[must_use = "a future does nothing unless it is polled"]
pub struct Follower<V, E> {
    flight: Arc<Flight<V, E>>,
    /// Its place in the flight.
    place: Option<(NonNull<Place>, Ticket)>,
}

// SAFETY: the place is shared by design, and the flight keeps it alive.
unsafe impl<V: Send + Sync, E: Send + Sync> Send for Follower<V, E> {}
// SAFETY: the place is shared by design, and the flight keeps it alive.
unsafe impl<V: Send + Sync, E: Send + Sync> Sync for Follower<V, E> {}

impl<V, E> Unpin for Follower<V, E> {}

/// A flight that ended without a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FollowError<E> {
    /// The leader failed, with this error.
    Failed(E),
    /// The leader ended without a result, or was superseded. Join again: one caller will lead.
    Again,
}

impl<E: fmt::Display> fmt::Display for FollowError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failed(error) => error.fmt(f),
            Self::Again => f.write_str("the leader ended without a result"),
        }
    }
}

impl<E: core::error::Error> core::error::Error for FollowError<E> {}

impl<V, E> Follower<V, E> {
    pub(super) fn new(flight: Arc<Flight<V, E>>) -> Self {
        Self { flight, place: None }
    }

    fn place(&self) -> Option<(&Place, Ticket)> {
        // SAFETY: the flight, which is still there, frees it at its own end only.
        self.place.map(|(place, ticket)| (unsafe { place.as_ref() }, ticket))
    }

    /// Returns the identity of the leader.
    pub fn leader(&self) -> CallerId {
        self.flight.leader()
    }

    /// Returns from when on the value that the flight ended with is not to be handed out. A
    /// follower that is polled later joins again instead. Returns `None` if there is no such time,
    /// or no value yet.
    pub fn until(&self) -> Option<Instant> {
        self.flight.ended()??.until
    }

    /// Returns how long until the leader can be superseded, if it does not renew its lease, or
    /// `None` if it never can.
    pub fn left(&self, now: Instant) -> Option<Duration> {
        self.flight.left(now)
    }
}

impl<V: Clone, E: Clone> Follower<V, E> {
    /// Returns the result, if the flight has ended.
    pub fn result(&self) -> Option<Result<V, FollowError<E>>> {
        self.flight.ended().map(|result| match result {
            Some(Outcome { result: Ok(value), .. }) => Ok(value.clone()),
            Some(Outcome { result: Err(error), .. }) => Err(FollowError::Failed(error.clone())),
            None => Err(FollowError::Again),
        })
    }
}

impl<V: Clone, E: Clone> Future for Follower<V, E> {
    type Output = Result<V, FollowError<E>>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        if let Some(result) = self.result() {
            return Poll::Ready(result);
        }
        let waker = context.waker();
        let stays = self.place().is_some_and(|(place, ticket)| place.renew(ticket, waker));
        if !stays {
            let entered = self.flight.waiters.enter(waker.clone());
            self.place = entered.map(|(place, ticket)| (NonNull::from(place), ticket));
        }
        if self.flight.has_ended_after_all() {
            // It has ended: the result is there now.
            return self.result().map_or(Poll::Pending, Poll::Ready);
        }
        if self.place.is_none() {
            waker.wake_by_ref();
        }
        Poll::Pending
    }
}

impl<V, E> Drop for Follower<V, E> {
    fn drop(&mut self) {
        if let Some((place, ticket)) = self.place() {
            self.flight.waiters.leave(place, ticket);
        }
    }
}

impl<V, E> fmt::Debug for Follower<V, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Follower")
            .field("has_ended", &self.flight.ended().is_some())
            .finish_non_exhaustive()
    }
}
