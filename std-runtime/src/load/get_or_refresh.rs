//! Loads that another thread or a task runs, for callers that do not wait until the end.

use std::borrow::Borrow;
use std::fmt;
use std::future::poll_fn;
use std::hash::{BuildHasher, Hash};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use tidegate_core::cache::OwnedLoading;
use tidegate_core::{Cache, Clock};

use super::asking::{Asked, Asking, Stale, block, is_past};
use super::follow::{Followed, Following};
use super::{LoadError, caught, caught_some};
use crate::panics::contained;
use crate::pin as pinned;
use crate::wait::caller::Work;
use crate::wait::part::polled;

/// Gets what an engine's cache holds, or has another thread or task load it, and waits for that within a bound. The
/// cache must be in an [`Arc`], and its third type parameter must be a [`LoadError`].
///
/// An expired value is still served within [its
/// window](crate::lockfree::cache::Builder::stale_while_revalidate).
/// [`get_or_load`](crate::GetOrLoad::get_or_load) loads a new value on the thread of the first caller that finds an
/// expired one, and that caller waits until the end. Here `spawn` gets the load, and the caller waits within its bound
/// only. After that it returns the expired value, and the load continues. A caller that leaves does not end the load.
/// A load that is dropped before its end, by a runtime that shuts down for instance, leaves loading to the next caller.
///
/// Otherwise these calls behave as those of [`GetOrLoad`](crate::GetOrLoad). A hit spawns nothing.
///
/// # Panics
///
/// All calls, if the cache is in another domain.
pub trait GetOrRefresh<K, V, E> {
    /// Returns the value of a key. If no value is loaded within `within`, returns an expired value that can still be
    /// served. `spawn` gets the load at most once, and must have it run elsewhere. A bounded pool of threads bounds the
    /// number of concurrent loads.
    ///
    /// # Errors
    ///
    /// Fails as [`GetOrLoad::get_or_load`](crate::GetOrLoad::get_or_load) does, with [`LoadError::TimedOut`] if there is
    /// no value in time, and with [`LoadError::Abandoned`] if the load was dropped.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use std::time::Duration;
    /// use tidegate::lockfree::Cache;
    /// use tidegate::{LoadError, GetOrRefresh, clock, domain, random_state};
    ///
    /// let pages: Arc<Cache<String, usize, LoadError<String>>> = Arc::new(
    ///     Cache::builder(domain(), random_state())
    ///         .time_to_live(Duration::from_secs(60))
    ///         .stale_while_revalidate(Duration::from_secs(600))
    ///         .build()?,
    /// );
    /// let length = pages.get_or_refresh(
    ///     "home",
    ///     Duration::from_secs(5),
    ///     |url: &String| Ok(url.len()), // asks a server, perhaps
    ///     |load| _ = std::thread::spawn(move || load.run()),
    ///     &clock(),
    /// )?;
    /// assert_eq!(length, 4);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    fn get_or_refresh<Q>(
        &self,
        key: &Q,
        within: Duration,
        load: impl FnOnce(&K) -> Result<V, E> + Send + 'static,
        spawn: impl FnOnce(LoadTask),
        clock: &(impl Clock + Clone + Send + 'static),
    ) -> Result<V, LoadError<E>>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = K> + ?Sized;

    /// Gets or refreshes as [`get_or_refresh`](Self::get_or_refresh) does, for a task of any async runtime. `within` is a
    /// timer of that runtime, and `spawn` begins a task.
    ///
    /// # Errors
    ///
    /// Fails as [`get_or_refresh`](Self::get_or_refresh) does.
    fn get_or_refresh_async<Q, F>(
        &self,
        key: &Q,
        within: impl Future<Output = ()>,
        load: impl FnOnce(K) -> F,
        spawn: impl FnOnce(LoadFuture),
        clock: &(impl Clock + Clone + Send + 'static),
    ) -> impl Future<Output = Result<V, LoadError<E>>>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
        F: Future<Output = Result<V, E>> + Send + 'static;
}

/// Runs a load on another thread: see [`GetOrRefresh::get_or_refresh`].
#[must_use = "a load that is dropped is left to the next caller"]
pub struct LoadTask(Box<dyn FnOnce() + Send>);

/// Runs a load in another task: see [`GetOrRefresh::get_or_refresh_async`].
pub type LoadFuture = Pin<Box<dyn Future<Output = ()> + Send>>;

impl LoadTask {
    /// Makes a task of a load that is part of `work`.
    pub(crate) fn new<K, V, E, S>(
        work: Arc<Work>,
        loading: OwnedLoading<K, V, LoadError<E>, S>,
        load: impl FnOnce(&K) -> Result<V, E> + Send + 'static,
        clock: impl Clock + Send + 'static,
    ) -> Self
    where
        K: Hash + Eq + Clone + Send + Sync + 'static,
        V: Clone + Send + Sync + 'static,
        E: Clone + Send + Sync + 'static,
        S: BuildHasher + Send + Sync + 'static,
    {
        Self(Box::new(move || {
            let result = work.run(|| contained(|| load(loading.key())));
            work.run(|| finish(loading, result, &clock));
        }))
    }

    /// Runs the load, puts the value into the cache and wakes the waiters. Never panics.
    pub fn run(self) {
        (self.0)();
    }
}

impl fmt::Debug for LoadTask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LoadTask").finish_non_exhaustive()
    }
}

impl<K, V, E, S> GetOrRefresh<K, V, E> for Arc<Cache<K, V, LoadError<E>, S>>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
    E: Clone + Send + Sync + 'static,
    S: BuildHasher + Send + Sync + 'static,
{
    fn get_or_refresh<Q>(
        &self,
        key: &Q,
        within: Duration,
        load: impl FnOnce(&K) -> Result<V, E> + Send + 'static,
        spawn: impl FnOnce(LoadTask),
        clock: &(impl Clock + Clone + Send + 'static),
    ) -> Result<V, LoadError<E>>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
    {
        let deadline = Instant::now().checked_add(within);
        caught(|| {
            let mut asking = Asking::new(&**self, key, clock);
            let (work, mut unspawned) = (Arc::new(Work::new()), Some((load, spawn)));
            loop {
                let (follower, stale) = match asking.ask(&work)? {
                    Asked::Have(value) => return Ok(value),
                    Asked::Wait(follower) => (follower, None),
                    Asked::Lead(loading, stale) => {
                        let (load, spawn) = unspawned.take().ok_or(LoadError::Abandoned)?;
                        let (follower, loading) = (loading.follow(), loading.into_owned(self));
                        let task = LoadTask::new(Arc::clone(&work), loading, load, clock.clone());
                        contained(|| spawn(task));
                        (follower, stale)
                    }
                };
                let followed = block(follower, deadline, clock).ok();
                if let Some(result) = best(followed, stale, clock) {
                    return result;
                }
                if is_past(deadline) {
                    return Err(LoadError::TimedOut);
                }
            }
        })
    }

    async fn get_or_refresh_async<Q, F>(
        &self,
        key: &Q,
        within: impl Future<Output = ()>,
        load: impl FnOnce(K) -> F,
        spawn: impl FnOnce(LoadFuture),
        clock: &(impl Clock + Clone + Send + 'static),
    ) -> Result<V, LoadError<E>>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
        F: Future<Output = Result<V, E>> + Send + 'static,
    {
        let mut asking = Asking::new(&**self, key, clock);
        let (work, mut unspawned) = (Arc::new(Work::of_this_task().await), Some((load, spawn)));
        let mut within = pin!(within);
        loop {
            let (follower, stale) = match caught(|| asking.ask(&work))? {
                Asked::Have(value) => return Ok(value),
                Asked::Wait(follower) => (follower, None),
                Asked::Lead(loading, stale) => {
                    let (load, spawn) = unspawned.take().ok_or(LoadError::Abandoned)?;
                    let future = work.run(|| contained(|| load(loading.key().clone())));
                    let (follower, loading) = (loading.follow(), loading.into_owned(self));
                    let (work, clock) = (Arc::clone(&work), clock.clone());
                    let task = Box::pin(async move {
                        let result = match future {
                            Some(future) => polled(&work, future).await,
                            None => None,
                        };
                        work.run(|| finish(loading, result, &clock));
                    });
                    contained(|| spawn(task));
                    (follower, stale)
                }
            };
            let mut following = Following::new(follower);
            let followed = poll_fn(|context| {
                if let Poll::Ready(followed) = Pin::new(&mut following).poll(context) {
                    return Poll::Ready(Some(followed));
                }
                let timer = contained(|| within.as_mut().poll(context));
                if timer == Some(Poll::Pending) { Poll::Pending } else { Poll::Ready(None) }
            })
            .await;
            let timed_out = followed.is_none();
            match caught_some(|| best(followed, stale, clock)) {
                Some(result) => return result,
                None if timed_out => return Err(LoadError::TimedOut),
                None => {}
            }
        }
    }
}

/// Returns what a caller gets that has waited: the new value if it came in time, or else the expired value if it can
/// still be served, or else the error. `None` if there is none of these.
fn best<V, E>(
    followed: Option<Followed<V, LoadError<E>>>,
    stale: Option<Stale<V>>,
    clock: &impl Clock,
) -> Option<Result<V, LoadError<E>>> {
    match followed.and_then(|followed| followed.into_result(clock)) {
        Some(Ok(value)) => Some(Ok(value)),
        other => stale.and_then(|stale| stale.now(clock)).map(Ok).or(other),
    }
}

/// Ends a load with what its loader returned, `None` if that panicked. The waiters get the result.
fn finish<K, V, E, S>(
    loading: OwnedLoading<K, V, LoadError<E>, S>,
    result: Option<Result<V, E>>,
    clock: &impl Clock,
) where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
    E: Clone + Send + Sync + 'static,
    S: BuildHasher,
{
    contained(|| {
        let (now, guard) = (clock.now(), pinned());
        match result {
            Some(Ok(value)) => _ = loading.complete(value, now, &guard),
            Some(Err(error)) => _ = loading.fail(LoadError::Failed(error), now, &guard),
            None => _ = loading.fail(LoadError::Panicked, now, &guard),
        }
    });
}
