//! Loads that another thread or a task does, for callers that would not wait for them.

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

/// Gets what is cached, or has it loaded by another thread or task, and waits for that no longer than it
/// would: for a cache in an [`Arc`], whose errors are [`LoadError`]s.
///
/// A value past its time is good enough within [its
/// window](crate::lockfree::cache::Builder::stale_while_revalidate). [`get_or_load`](crate::GetOrLoad::get_or_load) loads
/// another on the thread of the first caller that finds it, which waits as long as that takes. Here the load is
/// handed to `spawn`, with the claim on it, and the caller waits within its bound only: then it has the stale
/// value, and the load goes on. The claim is the load's own. A caller that goes leaves it alone; a load that is
/// dropped before its end, by a runtime that shuts down for instance, leaves loading to the next caller.
///
/// In all else these calls are as those of [`GetOrLoad`](crate::GetOrLoad). A hit spawns nothing.
///
/// # Panics
///
/// All calls, if the cache is in another domain.
pub trait GetOrRefresh<K, V, E> {
    /// Returns the value of a key, or, if that is not loaded within `within`, one that is good enough. `spawn`
    /// is given the load at most once, and must have it run elsewhere; a bounded pool of threads bounds how many
    /// loads there are at a time.
    ///
    /// # Errors
    ///
    /// Those of [`GetOrLoad`](crate::GetOrLoad); [`LoadError::TimedOut`] if nothing is good enough, and
    /// [`LoadError::Abandoned`] if the load was dropped.
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

    /// Gets or refreshes as [`get_or_refresh`](Self::get_or_refresh) does, for a task of any async runtime:
    /// `within` is a timer of its own, and `spawn` its way to begin a task.
    ///
    /// # Errors
    ///
    /// Those of [`get_or_refresh`](Self::get_or_refresh).
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

/// A load that another thread is to do: see [`GetOrRefresh::get_or_refresh`].
#[must_use = "a load that is dropped is left to the next caller"]
pub struct LoadTask(Box<dyn FnOnce() + Send>);

/// A load that another task is to do: see [`GetOrRefresh::get_or_refresh_async`].
pub type LoadFuture = Pin<Box<dyn Future<Output = ()> + Send>>;

impl LoadTask {
    /// Does the load, puts the value into the cache and wakes the waiters. Never panics.
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
                        let (work, clock) = (Arc::clone(&work), clock.clone());
                        let task = LoadTask(Box::new(move || {
                            let result = work.run(|| contained(|| load(loading.key())));
                            work.run(|| finish(loading, result, &clock));
                        }));
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

/// What a caller gets that has waited: the value that it waited for, if that came in time; else the stale one,
/// if that is still good enough; else the error. `None` if there is nothing of that.
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

/// Ends a load as its loader did: `None` if that panicked. The waiters get what it came to.
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
