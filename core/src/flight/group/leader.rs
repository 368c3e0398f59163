//! The caller that does the work. A leader and its group are a guard and its owner, so their files
//! import each other.

use alloc::sync::Arc;
use core::fmt;
use core::hash::{BuildHasher, Hash};
use core::time::Duration;

use super::Group;
use super::follower::Follower;
use super::shared::{End, Flight, Outcome};
use crate::flight::caller::SupersededError;
use crate::reclaim::Guard;
use crate::time::Instant;

/// A flight that the caller must bring to an end.
///
/// A leader may be dropped without [`complete`](Self::complete) or [`fail`](Self::fail): by a
/// return, by `?`, by a panic that unwinds or with the future that holds it. That wakes the
/// followers, and one of those that join again will lead. A leader that is forgotten
/// (`mem::forget`) without a lease keeps them waiting. With a lease, they wait until a caller joins
/// or sweeps after the lease's end.
#[must_use = "a leader that is dropped leaves its followers without a result"]
pub struct Leader<'a, K, V, E, S>
where
    K: Send + 'static,
    V: Send + Sync + 'static,
    E: Send + Sync + 'static,
{
    group: &'a Group<K, V, E, S>,
    lead: Lead<K, V, E>,
}

/// A leader without its group. When it is dropped, its flight ends without a result, if that is
/// running.
pub(crate) struct Lead<K, V, E> {
    hash: usize,
    key: K,
    flight: Arc<Flight<V, E>>,
}

impl<K, V, E> Lead<K, V, E> {
    pub(super) fn new(hash: usize, key: K, flight: Arc<Flight<V, E>>) -> Self {
        Self { hash, key, flight }
    }

    pub(crate) fn key(&self) -> &K {
        &self.key
    }
}

impl<K, V, E> Drop for Lead<K, V, E> {
    fn drop(&mut self) {
        // Without a guard the flight cannot be taken out of the map: the next caller that joins or
        // sweeps does that.
        if self.flight.end(End::Orphaned) {
            self.flight.wake_all();
        }
    }
}

impl<K, V, E, S> Leader<'_, K, V, E, S>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Send + Sync + 'static,
    E: Send + Sync + 'static,
    S: BuildHasher,
{
    /// Returns the key.
    pub fn key(&self) -> &K {
        self.lead.key()
    }

    /// Begins the lease anew.
    ///
    /// # Errors
    ///
    /// Fails with [`SupersededError`] if another caller may lead by now.
    pub fn renew(&mut self, lease: Option<Duration>, now: Instant) -> Result<(), SupersededError> {
        if self.lead.flight.renew(lease, now) { Ok(()) } else { Err(SupersededError) }
    }

    /// Ends the flight with a value; every follower gets a clone of it. A caller that joins after
    /// this leads anew. So first store the value where callers look first, unless the flight [was
    /// detached](Self::is_detached).
    ///
    /// # Errors
    ///
    /// Returns the value if the lease has ended and another caller has superseded this leader.
    pub fn complete(self, value: V, guard: &Guard) -> Result<(), V> {
        self.complete_until(value, None, guard)
    }

    /// Ends the flight as [`complete`](Self::complete) does, with a value that is not to be handed
    /// out from `until` on: see [`Follower::until`].
    ///
    /// # Errors
    ///
    /// Fails as [`complete`](Self::complete) does.
    pub fn complete_until(self, value: V, until: Option<Instant>, guard: &Guard) -> Result<(), V> {
        match self.end(Outcome { result: Ok(value), until }, guard) {
            Err(Ok(value)) => Err(value),
            _ => Ok(()),
        }
    }

    /// Ends the flight with an error; every follower gets a clone of it.
    ///
    /// # Errors
    ///
    /// Returns the error as [`complete`](Self::complete) returns the value.
    pub fn fail(self, error: E, guard: &Guard) -> Result<(), E> {
        match self.end(Outcome { result: Err(error), until: None }, guard) {
            Err(Err(error)) => Err(error),
            _ => Ok(()),
        }
    }

    fn end(self, outcome: Outcome<V, E>, guard: &Guard) -> Result<(), Result<V, E>> {
        self.group.admit(guard);
        let Lead { hash, flight, .. } = &self.lead;
        // SAFETY: this is the flight's leader, and no longer after this.
        unsafe { flight.publish(outcome) }?;
        self.group.forget(*hash, flight, guard);
        // Last: a waker may panic, and whatever it does finds the flight ended and forgotten.
        flight.wake_all();
        Ok(())
    }
}

impl<'a, K, V, E, S> Leader<'a, K, V, E, S>
where
    K: Send + 'static,
    V: Send + Sync + 'static,
    E: Send + Sync + 'static,
{
    pub(crate) fn new(group: &'a Group<K, V, E, S>, lead: Lead<K, V, E>) -> Self {
        Self { group, lead }
    }

    pub(crate) fn into_lead(self) -> Lead<K, V, E> {
        self.lead
    }

    /// Follows the flight, for a leader that leaves the work to another thread or task.
    pub fn follow(&self) -> Follower<V, E> {
        Follower::new(Arc::clone(&self.lead.flight))
    }

    /// Returns whether the flight was [detached](Group::detach): the key was written since the
    /// flight began. Then the result is for the waiters, and not to be stored. It is `true` also if
    /// the flight has ended, because another caller leads by now.
    pub fn is_detached(&self) -> bool {
        !self.lead.flight.is_attached()
    }

    /// Returns whether the flight is [detached](Self::is_detached), after the value was stored.
    /// Either this call sees that the flight was detached, or the writer that detached it finds
    /// what was stored.
    pub(crate) fn is_detached_after_all(&self) -> bool {
        !self.lead.flight.is_attached_after_all()
    }
}

impl<K, V, E, S> fmt::Debug for Leader<'_, K, V, E, S>
where
    K: Send + fmt::Debug + 'static,
    V: Send + Sync + 'static,
    E: Send + Sync + 'static,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Leader").field("key", self.lead.key()).finish_non_exhaustive()
    }
}
