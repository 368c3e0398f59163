//! Flights by key.

mod follower;
mod leader;
mod running;
mod shared;
mod waiters;

use alloc::sync::Arc;
use core::borrow::Borrow;
use core::fmt;
use core::hash::{BuildHasher, Hash};
use core::time::Duration;

pub use self::follower::{FollowError, Follower};
pub(crate) use self::leader::Lead;
pub use self::leader::Leader;

use self::running::Running;
use self::shared::{Flight, Standing};
use super::caller::CallerId;
use crate::hash::SeededState;
use crate::map::{Cursor, InsertError, Map, MapError, NO_TAIL, Upserted, step};
use crate::reclaim::{Domain, Guard, Worker};
use crate::sweep::{Budget, Sweep, Swept};
use crate::time::Instant;

/// One flight for each of any number of keys: of the callers that need a key, one leads and the
/// others follow.
///
/// # Guarantees
///
/// At any time at most one flight of a key is running, apart from those that were
/// [detached](Self::detach). When a flight ends, each of its followers gets the leader's value or
/// error, or must join again: then one of them leads. A leader whose lease has ended is superseded
/// by the next caller that joins. Its result is then refused, though nothing stops its work.
/// [`Group::in_flight`] is 0 when no caller leads. Leases end where instants are within 73 years of
/// the clock's origin.
///
/// # Progress and cost
///
/// Joining is lock-free. Joining a flight that is there allocates nothing, awaiting it allocates a
/// place for the waker, and leading allocates a flight and an entry of the map. A leader that ends
/// without a result, or for which the domain has no room, leaves its entry behind. The next caller
/// that joins removes it, or a [sweep](Self::sweeper).
///
/// # Panics
///
/// Every call panics if the guard is of another domain. A waker that panics leaves nothing undone.
/// It is called when its flight has ended, and the other wakers are called all the same. In a
/// domain that [contains](crate::reclaim::Builder::contain) panics, each is contained by itself. In
/// another domain the panic leaves the call that ended the flight, and two panics of one flight
/// abort the program.
///
/// # Memory
///
/// Its memory can grow through flights in progress, and through flights that leaders left without a
/// result. The latter keep one entry a key, until the key is joined again or a sweep reaches it.
/// Otherwise it grows as [a map's](crate::Map) does.
///
/// # Examples
///
/// ```
/// use core::time::Duration;
/// use tidegate_core::flight::{Caller, Group, Joined};
/// use tidegate_core::{Domain, Instant, SeededState};
///
/// let domain = Domain::new();
/// let loads: Group<&str, u32, String> = Group::with(&domain, SeededState::new(0x5eed));
/// let mut worker = domain.worker();
/// let guard = worker.quiescent(Instant::ORIGIN);
/// let (now, lease) = (Instant::from_secs(1), Some(Duration::from_secs(30)));
///
/// let Joined::Leader(leader) = loads.join("answer", Caller(1), lease, now, guard)? else {
///     unreachable!("no caller leads yet");
/// };
/// let Joined::Follower(follower) = loads.join("answer", Caller(2), lease, now, guard)? else {
///     unreachable!("the first caller leads");
/// };
/// assert_eq!(leader.complete(42, guard), Ok(()));
/// assert_eq!(follower.result(), Some(Ok(42))); // or: follower.await
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Group<K, V, E, S = SeededState>
where
    K: Send + 'static,
    V: Send + Sync + 'static,
    E: Send + Sync + 'static,
{
    map: Map<K, Arc<Flight<V, E>>, S>,
    running: Arc<Running>,
}

/// The result of joining.
#[derive(Debug)]
pub enum Joined<'a, K, V, E, S>
where
    K: Send + 'static,
    V: Send + Sync + 'static,
    E: Send + Sync + 'static,
{
    /// The caller does the work.
    Leader(Leader<'a, K, V, E, S>),
    /// Another caller does the work.
    Follower(Follower<V, E>),
}

/// Why a caller could not join.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JoinError {
    /// The caller leads this flight itself, and would wait for itself.
    Reentrant,
    /// The map refuses another entry.
    Map(MapError),
}

impl fmt::Display for JoinError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Reentrant => {
                f.write_str("the caller leads this flight, and would wait for itself")
            }
            Self::Map(error) => error.fmt(f),
        }
    }
}

impl core::error::Error for JoinError {}

impl<K, V, E, S> Group<K, V, E, S>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Send + Sync + 'static,
    E: Send + Sync + 'static,
    S: BuildHasher,
{
    /// Creates a group without flights. `hasher` hashes the keys.
    ///
    /// # Panics
    ///
    /// Panics if there is no memory: see [`try_with`](Self::try_with).
    pub fn with(domain: &Domain, hasher: S) -> Self {
        Self { map: Map::with(domain, hasher), running: Arc::new(Running::new(domain)) }
    }

    /// Creates a group as [`with`](Self::with) does, if there is memory.
    ///
    /// # Errors
    ///
    /// Fails with [`MapError::OutOfMemory`].
    pub fn try_with(domain: &Domain, hasher: S) -> Result<Self, MapError> {
        let map = Map::try_with(domain, hasher)?;
        Ok(Self { map, running: Arc::new(Running::new(domain)) })
    }

    /// Follows the flight of a key, or leads a new one if there is none. The caller leads for good,
    /// or for the length of a lease. A flight whose leader's lease has ended by `now` is
    /// superseded.
    ///
    /// # Errors
    ///
    /// * [`JoinError::Reentrant`]: this caller leads the flight.
    /// * [`JoinError::Map`]: there is no room. A leader whose lease has ended is superseded even
    ///   then.
    ///
    /// Without memory for a flight the program ends.
    ///
    /// # Panics
    ///
    /// Panics if the guard is of another domain.
    pub fn join(
        &self,
        key: K,
        caller: impl Into<CallerId>,
        lease: Option<Duration>,
        now: Instant,
        guard: &Guard,
    ) -> Result<Joined<'_, K, V, E, S>, JoinError> {
        self.map.admit(guard);
        let caller = caller.into();
        let hash = self.map.hash(&key);
        let follow = |flight: &Arc<Flight<V, E>>| self.follow(flight, caller, now);
        let found = self.map.find(hash, &key, guard);
        if let Some(followed) = found.and_then(|entry| follow(&entry.value)) {
            return followed.map(Joined::Follower);
        }
        let flight = Arc::new(Flight::new(caller, lease, now, &self.running));
        let (held, ours) = (key.clone(), Arc::clone(&flight));
        match self.map.upsert(hash, held, flight, NO_TAIL, guard, |flight, _| follow(flight?)) {
            Ok(Upserted::Inserted(..)) => {
                Ok(Joined::Leader(Leader::new(self, Lead::new(hash, key, ours))))
            }
            Ok(Upserted::Kept(followed, _)) => followed.map(Joined::Follower),
            Err(InsertError { error, .. }) => Err(JoinError::Map(error)),
        }
    }

    /// Returns a follower of a flight, or `None` if the flight has ended, by now at the latest, or
    /// was detached.
    fn follow(
        &self,
        flight: &Arc<Flight<V, E>>,
        caller: CallerId,
        now: Instant,
    ) -> Option<Result<Follower<V, E>, JoinError>> {
        loop {
            match flight.standing(now) {
                Standing::Ended | Standing::Detached => return None,
                Standing::Lapsed if self.supersede(flight, now) => return None,
                // The flight has just ended, or its lease was renewed.
                Standing::Lapsed => {}
                Standing::Running if flight.leader() == caller => {
                    return Some(Err(JoinError::Reentrant));
                }
                Standing::Running => return Some(Ok(Follower::new(Arc::clone(flight)))),
            }
        }
    }

    pub(super) fn admit(&self, guard: &Guard) {
        self.map.admit(guard);
    }

    /// Creates a sweep that removes flights that have ended, and ends those whose lease has ended.
    pub fn sweeper(&self, worker: Worker) -> impl Sweep + '_ {
        self.map.sweeper(worker, |_, flight: &Arc<Flight<V, E>>, now| self.is_done(flight, now))
    }
}

impl<K, V, E, S> Group<K, V, E, S>
where
    K: Hash + Eq + Send + Sync + 'static,
    V: Send + Sync + 'static,
    E: Send + Sync + 'static,
    S: BuildHasher,
{
    /// Detaches the flight of a key that was written: no caller joins that flight any more, and the
    /// next caller leads a new one. Its followers get its result. Returns whether there was such a
    /// flight.
    ///
    /// The leader learns of it only if [it asks](Leader::is_detached). Its result was read before
    /// the write, and is not to be stored. Its lease still ends. Once another flight of the key has
    /// begun, only its followers see that ([`Follower::left`]).
    ///
    /// Detaches every flight whose beginning happens before this call. An example is a
    /// leader that has read something under a lock, if the caller has changed it under that lock
    /// since.
    ///
    /// # Panics
    ///
    /// Panics if the guard is of another domain.
    ///
    /// ```
    /// use tidegate_core::flight::{Caller, Group, Joined};
    /// use tidegate_core::{Domain, Instant, SeededState};
    ///
    /// let domain = Domain::new();
    /// let loads: Group<&str, u32, String> = Group::with(&domain, SeededState::new(0x5eed));
    /// let (mut worker, now) = (domain.worker(), Instant::ORIGIN);
    /// let guard = worker.quiescent(now);
    /// let Joined::Leader(leader) = loads.join("price", Caller(1), None, now, guard)? else {
    ///     unreachable!("no caller leads yet");
    /// };
    /// // The price is changed while it is being loaded: the next caller must not get the old one.
    /// assert!(loads.detach("price", guard));
    /// assert!(leader.is_detached());
    /// let next = loads.join("price", Caller(2), None, now, guard)?;
    /// assert!(matches!(next, Joined::Leader(_)));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn detach<Q>(&self, key: &Q, guard: &Guard) -> bool
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.map.admit(guard);
        if self.running.count() == 0 {
            return false;
        }
        let found = self.map.find(self.map.hash(key), key, guard);
        found.is_some_and(|entry| entry.value.detach())
    }

    /// Detaches the flights of all keys, each as [`detach`](Self::detach) does, and returns how
    /// many there were. The call looks at the whole table.
    ///
    /// # Panics
    ///
    /// Panics if the guard is of another domain.
    pub fn detach_all(&self, guard: &Guard) -> usize {
        self.map.admit(guard);
        if self.running.count() == 0 {
            return 0;
        }
        self.map.iter(guard).filter(|(_, flight)| flight.detach()).count()
    }
}

impl<K, V, E, S> Group<K, V, E, S>
where
    K: Send + 'static,
    V: Send + Sync + 'static,
    E: Send + Sync + 'static,
{
    /// Does one step of a [sweep](Self::sweeper).
    pub(crate) fn step(
        &self,
        worker: &mut Worker,
        cursor: &mut Cursor,
        now: Instant,
        budget: Budget,
    ) -> Swept {
        let ended = |_: &K, flight: &Arc<Flight<V, E>>, now| self.is_done(flight, now);
        step(&self.map, worker, cursor, ended, |_| (), now, budget)
    }

    /// Takes a flight that has ended out of the map, if it is still there and there is room to
    /// retire it. Otherwise the next caller that joins or sweeps does. No code of the user's is
    /// called.
    pub(super) fn forget(&self, hash: usize, flight: &Arc<Flight<V, E>>, guard: &Guard) {
        let is_it = |held: &Arc<Flight<V, E>>| Arc::ptr_eq(held, flight);
        if let Some((hash, entry)) = self.map.find_by(hash, usize::MAX, is_it, guard) {
            _ = self.map.remove_entry(hash, entry, guard);
        }
    }

    fn is_done(&self, flight: &Flight<V, E>, now: Instant) -> bool {
        matches!(flight.standing(now), Standing::Ended) || self.supersede(flight, now)
    }

    fn supersede(&self, flight: &Flight<V, E>, now: Instant) -> bool {
        let superseded = flight.supersede(now);
        if superseded {
            flight.wake_all();
        }
        superseded
    }

    /// Returns how many flights are running, detached ones included.
    pub fn in_flight(&self) -> usize {
        self.running.count()
    }
}

impl<K, V, E, S> fmt::Debug for Group<K, V, E, S>
where
    K: Send + 'static,
    V: Send + Sync + 'static,
    E: Send + Sync + 'static,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Group").field("in_flight", &self.in_flight()).finish_non_exhaustive()
    }
}
