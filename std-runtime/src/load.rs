//! Loading what a cache does not have: by one caller, for all who have come for it.

use std::borrow::Borrow;
use std::fmt;
use std::future::poll_fn;
use std::hash::{BuildHasher, Hash};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use tidegate_core::cache::{Load, Loading};
use tidegate_core::flight::{Ended, Follower, JoinError};
use tidegate_core::{Cache, Clock, MapError};

use crate::caller::Work;
use crate::panics::contained;
use crate::pin as pinned;
use crate::wait::{TimedOut, block_for, block_on};

/// Why there is no value. Whoever waited for a load gets the same as who loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FlightError<E> {
    /// The loader failed.
    Failed(E),
    /// The loader panicked.
    Panicked,
    /// The caller is loading this key itself, and would wait for itself.
    Reentrant,
    /// Somebody else loads it, and takes longer than the caller would wait.
    TimedOut,
    /// There is no room for another load.
    Refused(MapError),
}

impl<E: fmt::Display> fmt::Display for FlightError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failed(error) => error.fmt(f),
            Self::Panicked => f.write_str("the loader panicked"),
            Self::Reentrant => JoinError::Reentrant.fmt(f),
            Self::TimedOut => TimedOut.fmt(f),
            Self::Refused(error) => error.fmt(f),
        }
    }
}

impl<E: fmt::Debug + fmt::Display> std::error::Error for FlightError<E> {}

impl<E> From<JoinError> for FlightError<E> {
    fn from(error: JoinError) -> Self {
        match error {
            JoinError::Reentrant => Self::Reentrant,
            JoinError::Map(error) => Self::Refused(error),
        }
    }
}

/// Gets what is cached, or has one caller load it while the others wait: for caches in [the domain of the
/// process](crate::domain), whose errors are [`FlightError`]s.
///
/// If the compiler finds no such method: the cache's third parameter must be a [`FlightError`], which it is not
/// unless that is said.
///
/// A value past its time is good enough within [its window](crate::cache::Builder::stale_while_revalidate):
/// then one caller loads another, and everybody else has it at once.
///
/// A loader that panics is caught: it and all who wait get [`FlightError::Panicked`], unless [a stale value
/// stands in](crate::cache::Builder::stale_if_error). A caller that is gone, for its future was dropped, leaves
/// loading to one of those who wait.
///
/// A loader that asks for its own key, by way of however many other loaders of its own, gets
/// [`FlightError::Reentrant`]. Two loads of different callers that ask for each other's keys wait for each other for
/// ever, as does a loader that joins a thread which asks for its key: say for how long
/// ([`get_or_load_within`](Self::get_or_load_within)), or give loads a
/// [lease](crate::cache::Builder::load_lease).
///
/// # Panics
///
/// All calls, if the cache is in another domain.
///
/// # Examples
///
/// ```
/// use tidegate::{Cache, FlightError, GetOrLoad, clock, domain, random_state};
///
/// let pages: Cache<String, usize, FlightError<String>> =
///     Cache::builder(domain(), random_state()).max_entries(1_000).build()?;
///
/// let length = |url: &String| Ok(url.len()); // asks a server, perhaps
/// assert_eq!(pages.get_or_load("home", &clock(), length)?, 4);
/// let never = |_: &String| panic!("it is cached");
/// assert_eq!(pages.get_or_load("home", &clock(), never)?, 4);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub trait GetOrLoad<K, V, E> {
    /// The value of a key; loads it on this thread, or blocks it until whoever does is done.
    ///
    /// # Errors
    ///
    /// The loader's, and what else [`FlightError`] says, but [`TimedOut`](FlightError::TimedOut).
    fn get_or_load<Q>(
        &self,
        key: &Q,
        clock: &(impl Clock + ?Sized),
        load: impl FnOnce(&K) -> Result<V, E>,
    ) -> Result<V, FlightError<E>>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = K> + ?Sized;

    /// The same, but waits for somebody else no longer than this. The loader itself is not interrupted.
    ///
    /// # Errors
    ///
    /// The same, and [`FlightError::TimedOut`].
    fn get_or_load_within<Q>(
        &self,
        key: &Q,
        timeout: Duration,
        clock: &(impl Clock + ?Sized),
        load: impl FnOnce(&K) -> Result<V, E>,
    ) -> Result<V, FlightError<E>>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = K> + ?Sized;

    /// The same for a task of any async runtime. Dropped at any time, it leaves loading to one of those who
    /// wait. The end of a [lease](crate::cache::Builder::load_lease) is seen by the next who asks, or by a
    /// sweep.
    ///
    /// # Errors
    ///
    /// As [`get_or_load`](Self::get_or_load).
    ///
    /// ```
    /// use tidegate::{Cache, FlightError, GetOrLoad, clock, domain, random_state, wait};
    ///
    /// let squares: Cache<u64, u64, FlightError<String>> =
    ///     Cache::builder(domain(), random_state()).max_entries(1_000).build()?;
    /// let load = async |n: u64| Ok(n * n);
    /// let square = wait::block_on(squares.get_or_load_async(&7, &clock(), load))?;
    /// assert_eq!(square, 49);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    fn get_or_load_async<Q, F>(
        &self,
        key: &Q,
        clock: &(impl Clock + ?Sized),
        load: impl FnOnce(K) -> F,
    ) -> impl Future<Output = Result<V, FlightError<E>>>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
        F: Future<Output = Result<V, E>>;
}

impl<K, V, E, S> GetOrLoad<K, V, E> for Cache<K, V, FlightError<E>, S>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
    E: Clone + Send + Sync + 'static,
    S: BuildHasher,
{
    fn get_or_load<Q>(
        &self,
        key: &Q,
        clock: &(impl Clock + ?Sized),
        load: impl FnOnce(&K) -> Result<V, E>,
    ) -> Result<V, FlightError<E>>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
    {
        blocking(self, key, None, clock, load)
    }

    fn get_or_load_within<Q>(
        &self,
        key: &Q,
        timeout: Duration,
        clock: &(impl Clock + ?Sized),
        load: impl FnOnce(&K) -> Result<V, E>,
    ) -> Result<V, FlightError<E>>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
    {
        blocking(self, key, Instant::now().checked_add(timeout), clock, load)
    }

    async fn get_or_load_async<Q, F>(
        &self,
        key: &Q,
        clock: &(impl Clock + ?Sized),
        load: impl FnOnce(K) -> F,
    ) -> Result<V, FlightError<E>>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
        F: Future<Output = Result<V, E>>,
    {
        let work = Work::new();
        let mut asked = false;
        loop {
            match ask(self, key, &work, &mut asked, clock)? {
                Asked::Have(value) => return Ok(value),
                Asked::Wait(follower) => match follower.await {
                    Ok(value) => return Ok(value),
                    Err(Ended::Failed(error)) => return Err(error),
                    Err(Ended::Again) => {}
                },
                Asked::Lead(loading) => {
                    let work = Arc::new(work);
                    let loaded = work.run(|| contained(|| load(loading.key().clone())));
                    let result = match loaded {
                        Some(future) => polled(&work, future).await,
                        None => None,
                    };
                    return work.run(|| end(self, key, &work, loading, result, clock));
                }
            }
        }
    }
}

/// What there is to do for a caller.
enum Asked<'a, K, V, E, S>
where
    K: Send + 'static,
    V: Send + Sync + 'static,
    E: Send + Sync + 'static,
{
    Have(V),
    Lead(Loading<'a, K, V, FlightError<E>, S>),
    Wait(Follower<V, FlightError<E>>),
}

fn ask<'a, K, V, E, S, Q>(
    cache: &'a Cache<K, V, FlightError<E>, S>,
    key: &Q,
    work: &Work,
    asked: &mut bool,
    clock: &(impl Clock + ?Sized),
) -> Result<Asked<'a, K, V, E, S>, FlightError<E>>
where
    K: Hash + Eq + Clone + Send + Sync + Borrow<Q> + 'static,
    V: Clone + Send + Sync + 'static,
    E: Clone + Send + Sync + 'static,
    S: BuildHasher,
    Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
{
    // Read anew each time: it may have been a long wait.
    let now = clock.now();
    let guard = pinned();
    let load = if std::mem::replace(asked, true) {
        cache.load_again(key, work.caller(), now, &guard)?
    } else {
        cache.load(key, work.caller(), now, &guard)?
    };
    Ok(match load {
        Load::Hit(value) | Load::Stale(value, None) => Asked::Have(value),
        Load::Stale(_, Some(loading)) | Load::Lead(loading) => Asked::Lead(loading),
        Load::Wait(follower) if work.is_for(follower.leader()) => {
            return Err(FlightError::Reentrant);
        }
        Load::Wait(follower) => Asked::Wait(follower),
    })
}

fn blocking<K, V, E, S, Q>(
    cache: &Cache<K, V, FlightError<E>, S>,
    key: &Q,
    deadline: Option<Instant>,
    clock: &(impl Clock + ?Sized),
    load: impl FnOnce(&K) -> Result<V, E>,
) -> Result<V, FlightError<E>>
where
    K: Hash + Eq + Clone + Send + Sync + Borrow<Q> + 'static,
    V: Clone + Send + Sync + 'static,
    E: Clone + Send + Sync + 'static,
    S: BuildHasher,
    Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
{
    let work = Work::new();
    let mut asked = false;
    loop {
        match ask(cache, key, &work, &mut asked, clock)? {
            Asked::Have(value) => return Ok(value),
            Asked::Lead(loading) => {
                let work = Arc::new(work);
                let result = work.run(|| contained(|| load(loading.key())));
                return work.run(|| end(cache, key, &work, loading, result, clock));
            }
            Asked::Wait(follower) => {
                // The end of the leader's lease wakes nobody.
                let lease = follower.left(clock.now());
                let left = deadline.map(|at| at.saturating_duration_since(Instant::now()));
                let longest = left.into_iter().chain(lease).min();
                let ended = match longest {
                    Some(longest) => block_for(follower, longest),
                    None => Ok(block_on(follower)),
                };
                match ended {
                    Ok(Ok(value)) => return Ok(value),
                    Ok(Err(Ended::Failed(error))) => return Err(error),
                    Ok(Err(Ended::Again)) => {}
                    Err(TimedOut) if deadline.is_some_and(|at| at <= Instant::now()) => {
                        return Err(FlightError::TimedOut);
                    }
                    Err(TimedOut) => {}
                }
            }
        }
    }
}

/// Ends a load as its loader did: `None` if that panicked. Of a failure, a value that is good enough still makes
/// up. Part of the work, too: listeners and destructors are told of what it evicts before it is over, and may ask.
fn end<K, V, E, S, Q>(
    cache: &Cache<K, V, FlightError<E>, S>,
    key: &Q,
    work: &Work,
    loading: Loading<'_, K, V, FlightError<E>, S>,
    result: Option<Result<V, E>>,
    clock: &(impl Clock + ?Sized),
) -> Result<V, FlightError<E>>
where
    K: Hash + Eq + Clone + Send + Sync + Borrow<Q> + 'static,
    V: Clone + Send + Sync + 'static,
    E: Clone + Send + Sync + 'static,
    S: BuildHasher,
    Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
{
    let (now, guard) = (clock.now(), pinned());
    let failed = match result {
        Some(Ok(value)) => {
            // Superseded, the value is this caller's all the same.
            return Ok(loading.complete(value, now, &guard).unwrap_or_else(|value| value));
        }
        Some(Err(error)) => FlightError::Failed(error),
        None => FlightError::Panicked,
    };
    let failed = match loading.fail(failed, now, &guard) {
        Ok(value) => return Ok(value),
        Err(failed) => failed,
    };
    // As of now: it may have taken longer than the old one was good for. Whoever may load next does not.
    match cache.load_again(key, work.caller(), now, &guard) {
        Ok(Load::Hit(value) | Load::Stale(value, _)) => Ok(value),
        Ok(Load::Lead(_) | Load::Wait(_)) | Err(_) => Err(failed),
    }
}

/// Polls a future as part of some work, and drops it as part of that; `None` if it panics.
pub(crate) async fn polled<F: Future>(work: &Arc<Work>, future: F) -> Option<F::Output> {
    let mut future = pin!(Some(future));
    let mut part = Part { work, future: future.as_mut() };
    poll_fn(|context| part.poll(context)).await
}

/// A future, until it is over.
struct Part<'a, F> {
    work: &'a Arc<Work>,
    future: Pin<&'a mut Option<F>>,
}

impl<F: Future> Part<'_, F> {
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Option<F::Output>> {
        let Self { work, future } = self;
        let mut poll = || future.as_mut().as_pin_mut().map(|future| future.poll(context));
        match work.run(|| contained(&mut poll)) {
            Some(Some(Poll::Ready(output))) => Poll::Ready(Some(output)),
            Some(Some(Poll::Pending)) => Poll::Pending,
            Some(None) | None => Poll::Ready(None),
        }
    }
}

impl<F> Drop for Part<'_, F> {
    fn drop(&mut self) {
        let Self { work, future } = self;
        work.run(|| contained(|| future.set(None)));
    }
}
