//! A caller of a cache, from its question to its value.

use std::borrow::Borrow;
use std::hash::{BuildHasher, Hash};
use std::sync::Arc;

use tidegate_core::cache::{Ask, Insert, Load, Loading};
use tidegate_core::flight::Follower;
use tidegate_core::{Cache, Clock, Instant};

use super::error::{LoadError, caught, caught_some};
use super::follow::{Followed, Following};
use crate::panics::contained;
use crate::pin as pinned;
use crate::wait::caller::Work;
use crate::wait::part::polled;
use crate::wait::{TimedOutError, block_for, block_on};

/// A caller that asks a cache for the value of a key.
pub(crate) struct Asking<'a, K, V, E, S, Q: ?Sized, C: ?Sized>
where
    K: Send + 'static,
    V: Send + Sync + 'static,
    E: Send + Sync + 'static,
{
    cache: &'a Cache<K, V, LoadError<E>, S>,
    key: &'a Q,
    clock: &'a C,
    /// Whether the caller has asked before: a hit or a miss is counted once.
    has_asked: bool,
}

/// What the caller does next.
pub(crate) enum Asked<'a, K, V, E, S>
where
    K: Send + 'static,
    V: Send + Sync + 'static,
    E: Send + Sync + 'static,
{
    /// The caller returns this value.
    Have(V),
    /// The caller loads. The value, if there is one, may be served meanwhile.
    Lead(Loading<'a, K, V, LoadError<E>, S>, Option<Stale<V>>),
    /// The caller waits for another caller's load.
    Wait(Follower<V, LoadError<E>>),
}

/// A value that could be served when it was read, and the time from which on it cannot.
pub(crate) struct Stale<V> {
    value: V,
    until: Option<Instant>,
}

impl<V> Stale<V> {
    pub(crate) fn new(value: V, until: Option<Instant>) -> Self {
        Self { value, until }
    }

    /// Returns the value if it can still be served. Reads the clock, after everything else.
    pub(crate) fn now(self, clock: &(impl Clock + ?Sized)) -> Option<V> {
        let is_over = self.until.is_some_and(|until| until <= clock.now());
        (!is_over).then_some(self.value)
    }
}

impl<'a, K, V, E, S, Q, C> Asking<'a, K, V, E, S, Q, C>
where
    K: Hash + Eq + Clone + Send + Sync + Borrow<Q> + 'static,
    V: Clone + Send + Sync + 'static,
    E: Clone + Send + Sync + 'static,
    S: BuildHasher,
    Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
    C: Clock + ?Sized,
{
    pub(crate) fn new(cache: &'a Cache<K, V, LoadError<E>, S>, key: &'a Q, clock: &'a C) -> Self {
        Self { cache, key, clock, has_asked: false }
    }

    /// Gets or loads on this thread. The caller returns another caller's failure if it `is_for` this caller, and else
    /// asks again. A loader says how its value is stored.
    pub(crate) fn blocking(
        mut self,
        deadline: Option<std::time::Instant>,
        load: impl FnOnce(&K) -> Result<(V, Insert), E>,
        is_for: fn(&LoadError<E>) -> bool,
    ) -> Result<V, LoadError<E>> {
        caught(|| {
            let work = Work::new();
            loop {
                match self.ask(&work)? {
                    Asked::Have(value) => return Ok(value),
                    Asked::Lead(loading, stale) => {
                        contained(|| drop(stale));
                        let work = Arc::new(work);
                        let result = work.run(|| contained(|| load(loading.key())));
                        return work.run(|| caught(|| self.end(&work, loading, result)));
                    }
                    Asked::Wait(follower) => {
                        if let Some(result) = wait(follower, deadline, is_for, self.clock) {
                            return result;
                        }
                    }
                }
            }
        })
    }

    /// Gets or loads for a task, as [`blocking`](Self::blocking) does for a thread.
    pub(crate) async fn loading<F>(
        mut self,
        load: impl FnOnce(K) -> F,
        is_for: fn(&LoadError<E>) -> bool,
    ) -> Result<V, LoadError<E>>
    where
        F: Future<Output = Result<(V, Insert), E>>,
    {
        let work = Work::of_this_task().await;
        loop {
            match caught(|| self.ask(&work))? {
                Asked::Have(value) => return Ok(value),
                Asked::Lead(loading, stale) => {
                    contained(|| drop(stale));
                    let work = Arc::new(work);
                    let loaded = work.run(|| contained(|| load(loading.key().clone())));
                    let result = match loaded {
                        Some(future) => polled(&work, future).await,
                        None => None,
                    };
                    return work.run(|| caught(|| self.end(&work, loading, result)));
                }
                Asked::Wait(follower) => {
                    if let Some(result) = followed(follower, is_for, self.clock).await {
                        return result;
                    }
                }
            }
        }
    }

    /// Asks the cache.
    pub(crate) fn ask(&mut self, work: &Work) -> Result<Asked<'a, K, V, E, S>, LoadError<E>> {
        let Self { cache, key, clock, .. } = *self;
        loop {
            // The clock is read at each turn, since the turn before may have waited for long.
            let ask = Ask::new(work.caller(), clock.now());
            let ask = if std::mem::replace(&mut self.has_asked, true) { ask.again() } else { ask };
            // The guard is dropped, with everything whose destruction waits for it, before the clock is read again.
            let found = {
                let guard = pinned();
                cache.ask(key, ask, &guard)?
            };
            let until = found.until;
            return Ok(match found.load {
                Load::Hit(value) | Load::Stale(value, None) => {
                    match Stale::new(value, until).now(clock) {
                        Some(value) => Asked::Have(value),
                        None => continue,
                    }
                }
                Load::Stale(value, Some(loading)) => {
                    Asked::Lead(loading, Some(Stale::new(value, until)))
                }
                Load::Lead(loading) => Asked::Lead(loading, None),
                Load::Wait(follower) if work.is_for(follower.leader()) => {
                    return Err(LoadError::Reentrant);
                }
                Load::Wait(follower) => Asked::Wait(follower),
            });
        }
    }

    /// Ends a load with what its loader returned, `None` if that panicked. A value that can still be served replaces
    /// a failure. Wakers and destructors run in here as a part of the load, and may ask for its key.
    fn end(
        &self,
        work: &Work,
        loading: Loading<'_, K, V, LoadError<E>, S>,
        result: Option<Result<(V, Insert), E>>,
    ) -> Result<V, LoadError<E>> {
        let Self { cache, key, clock, .. } = *self;
        let now = clock.now();
        let failed = match result {
            Some(Ok((value, insert))) => {
                // The caller gets a copy of its own, whatever becomes of the stored value.
                let own = value.clone();
                contained(|| _ = loading.complete_with(value, insert, now, &pinned()));
                return Ok(own);
            }
            Some(Err(error)) => LoadError::Failed(error),
            None => LoadError::Panicked,
        };
        let (own, follower) = (failed.clone(), loading.follow());
        let replaces = contained(|| loading.fail(failed, now, &pinned()).ok()).flatten();
        let until = follower.until();
        if let Some(value) = replaces.and_then(|value| Stale::new(value, until).now(clock)) {
            return Ok(value);
        }
        // The cache is asked as of now, since the load may have taken longer than the old value could be served. A
        // right to load that this returns is dropped, and left to the next caller.
        let asked = contained(|| {
            let guard = pinned();
            cache.ask(key, Ask::new(work.caller(), clock.now()).again(), &guard)
        });
        if let Some(Ok(asked)) = asked
            && let (Load::Hit(value) | Load::Stale(value, _), until) = (asked.load, asked.until)
            && let Some(value) = Stale::new(value, until).now(clock)
        {
            return Ok(value);
        }
        Err(own)
    }
}

impl<V, E> Followed<V, LoadError<E>> {
    /// Returns what a caller gets that has followed a load. `None` if it asks again, because there is no result, or
    /// the value has expired since. Reads the clock, after everything else.
    pub(crate) fn into_result(
        self,
        clock: &(impl Clock + ?Sized),
    ) -> Option<Result<V, LoadError<E>>> {
        match self {
            Self::Value(value, until) => Stale::new(value, until).now(clock).map(Ok),
            Self::Failed(error) => Some(Err(error)),
            Self::Panicked => Some(Err(LoadError::Panicked)),
            Self::Again => None,
        }
    }
}

pub(crate) fn is_past(deadline: Option<std::time::Instant>) -> bool {
    deadline.is_some_and(|at| at <= std::time::Instant::now())
}

/// Waits for another caller's load on this thread. `None` if the caller asks again: there is no result, or it is a
/// failure that is not for this caller.
pub(crate) fn wait<V: Clone, E: Clone>(
    follower: Follower<V, LoadError<E>>,
    deadline: Option<std::time::Instant>,
    is_for: fn(&LoadError<E>) -> bool,
    clock: &(impl Clock + ?Sized),
) -> Option<Result<V, LoadError<E>>> {
    match block(follower, deadline, clock) {
        Ok(followed) => followed.into_result(clock).filter(|result| returns(result, is_for)),
        Err(TimedOutError) => is_past(deadline).then_some(Err(LoadError::TimedOut)),
    }
}

/// Waits for another caller's load as [`wait`] does, for a task.
pub(crate) async fn followed<V: Clone, E: Clone>(
    follower: Follower<V, LoadError<E>>,
    is_for: fn(&LoadError<E>) -> bool,
    clock: &(impl Clock + ?Sized),
) -> Option<Result<V, LoadError<E>>> {
    let followed = Following::new(follower).await;
    caught_some(|| followed.into_result(clock)).filter(|result| returns(result, is_for))
}

fn returns<V, E>(result: &Result<V, E>, is_for: fn(&E) -> bool) -> bool {
    result.as_ref().err().is_none_or(is_for)
}

/// Blocks until the load ends, the deadline has passed or the load's lease has ended, which wakes no waiter.
pub(crate) fn block<V: Clone, E: Clone>(
    follower: Follower<V, E>,
    deadline: Option<std::time::Instant>,
    clock: &(impl Clock + ?Sized),
) -> Result<Followed<V, E>, TimedOutError> {
    let lease = follower.left(clock.now());
    let left = deadline.map(|at| at.saturating_duration_since(std::time::Instant::now()));
    let following = Following::new(follower);
    match left.into_iter().chain(lease).min() {
        Some(longest) => block_for(following, longest),
        None => Ok(block_on(following)),
    }
}
