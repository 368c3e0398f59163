//! Loading what a cache does not have: by one caller, for all who have come for it.

pub(crate) mod follow;
mod get_or_refresh;

use std::borrow::Borrow;
use std::fmt;
use std::future::poll_fn;
use std::hash::{BuildHasher, Hash};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use tidegate_core::cache::{Ask, Load, Loading};
use tidegate_core::flight::{Follower, JoinError};
use tidegate_core::{Cache, Clock, MapError};

use self::follow::{Followed, Following};
use crate::panics::contained;
use crate::pin as pinned;
use crate::wait::caller::Work;
use crate::wait::{TimedOut, block_for, block_on};

pub use self::get_or_refresh::{GetOrRefresh, LoadFuture, LoadTask};

/// Why there is no value. Whoever waited for a load gets the same as who loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LoadError<E> {
    /// The loader failed.
    Failed(E),
    /// The loader panicked, or the `Hash`, `Eq`, `Clone` or `Drop` of what is loaded, or the clock.
    Panicked,
    /// The caller is loading this key itself, and would wait for itself.
    Reentrant,
    /// Somebody else loads it, and takes longer than the caller would wait.
    TimedOut,
    /// There is no room for another load.
    Refused(MapError),
    /// The load was handed to a thread or a task, which dropped it, or its value ended before the caller had
    /// it: see [`GetOrRefresh`](crate::GetOrRefresh).
    Abandoned,
}

impl<E: fmt::Display> fmt::Display for LoadError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failed(error) => error.fmt(f),
            Self::Panicked => f.write_str("the loader panicked"),
            Self::Reentrant => JoinError::Reentrant.fmt(f),
            Self::TimedOut => TimedOut.fmt(f),
            Self::Refused(error) => error.fmt(f),
            Self::Abandoned => f.write_str("the load was dropped before its end"),
        }
    }
}

impl<E: fmt::Debug + fmt::Display> std::error::Error for LoadError<E> {}

impl<E> From<JoinError> for LoadError<E> {
    fn from(error: JoinError) -> Self {
        match error {
            JoinError::Reentrant => Self::Reentrant,
            JoinError::Map(error) => Self::Refused(error),
        }
    }
}

/// Gets what is cached, or has one caller load it while the others wait: for caches in [the domain of the
/// process](crate::domain), whose errors are [`LoadError`]s.
///
/// If the compiler finds no such method: the cache's third parameter must be a [`LoadError`], which it is not
/// unless that is said.
///
/// A value past its time is good enough within [its window](crate::lockfree::cache::Builder::stale_while_revalidate):
/// then one caller loads another, and everybody else has it at once. The caller that loads waits for its own
/// load, unless [it has another thread or a task do it](crate::GetOrRefresh).
///
/// A result is ordered against writes: if the key is inserted or invalidated while it is being loaded, the callers
/// that wait already get what is loaded, but it is not stored, and the next caller loads anew. A value that has
/// ended is not handed out, however late a task is polled: the clock is read after everything else. The value
/// that a caller has loaded itself is its own in any case.
///
/// A loader that panics is caught: it and all who wait get [`LoadError::Panicked`], unless [a stale value
/// stands in](crate::lockfree::cache::Builder::stale_if_error). So is every other code of the user's that is called: a
/// waker or a listener that panics takes no result from the caller that loads. A caller that is gone, for its
/// future was dropped, leaves loading to one of those who wait.
///
/// A loader that asks for its own key, by way of however many other loaders of its own, gets
/// [`LoadError::Reentrant`]. A call that blocks is part of the load that its thread is at. A future is part of
/// the load whose own task polls it: that of a stranger's task, polled by a runtime on a thread on which
/// a loader waits, is not. What remains undetected waits for ever: two loads of different callers that ask for
/// each other's keys; a loader that joins a thread or a task which asks for its key; a future in a loader that
/// is polled with a waker of its own (as in `FuturesUnordered`), or in another runtime's `block_on`. Say for how
/// long ([`get_or_load_within`](Self::get_or_load_within)), or give loads a
/// [lease](crate::lockfree::cache::Builder::load_lease).
///
/// # Panics
///
/// All calls, if the cache is in another domain.
///
/// # Examples
///
/// ```
/// use tidegate::lockfree::Cache;
/// use tidegate::{LoadError, GetOrLoad, clock, domain, random_state};
///
/// let pages: Cache<String, usize, LoadError<String>> =
///     Cache::builder(domain(), random_state()).max_entries(1_000).build()?;
///
/// let length = |url: &String| Ok(url.len()); // asks a server, perhaps
/// assert_eq!(pages.get_or_load("home", length, &clock())?, 4);
/// let never = |_: &String| panic!("it is cached");
/// assert_eq!(pages.get_or_load("home", never, &clock())?, 4);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub trait GetOrLoad<K, V, E> {
    /// The value of a key; loads it on this thread, or blocks it until whoever does is done.
    ///
    /// # Errors
    ///
    /// The loader's, and what else [`LoadError`] says, but [`TimedOut`](LoadError::TimedOut) and
    /// [`Abandoned`](LoadError::Abandoned).
    fn get_or_load<Q>(
        &self,
        key: &Q,
        load: impl FnOnce(&K) -> Result<V, E>,
        clock: &(impl Clock + ?Sized),
    ) -> Result<V, LoadError<E>>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = K> + ?Sized;

    /// Gets or loads as [`get_or_load`](Self::get_or_load) does, but waits for another caller's load no longer
    /// than `timeout`. A load of its own is not interrupted, for it runs on this thread and may borrow from
    /// it: [`get_or_refresh`](crate::GetOrRefresh::get_or_refresh) bounds that, too.
    ///
    /// # Errors
    ///
    /// Those of [`get_or_load`](Self::get_or_load), and [`LoadError::TimedOut`].
    fn get_or_load_within<Q>(
        &self,
        key: &Q,
        timeout: Duration,
        load: impl FnOnce(&K) -> Result<V, E>,
        clock: &(impl Clock + ?Sized),
    ) -> Result<V, LoadError<E>>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = K> + ?Sized;

    /// Gets or loads as [`get_or_load`](Self::get_or_load) does, for a task of any async runtime. Dropped at any time, it leaves loading to one of those who
    /// wait. The end of a [lease](crate::lockfree::cache::Builder::load_lease) is seen by the next who asks, or by a
    /// sweep.
    ///
    /// # Errors
    ///
    /// As [`get_or_load`](Self::get_or_load).
    ///
    /// ```
    /// use tidegate::lockfree::Cache;
    /// use tidegate::{LoadError, GetOrLoad, clock, domain, random_state, wait};
    ///
    /// let squares: Cache<u64, u64, LoadError<String>> =
    ///     Cache::builder(domain(), random_state()).max_entries(1_000).build()?;
    /// let load = async |n: u64| Ok(n * n);
    /// let square = wait::block_on(squares.get_or_load_async(&7, load, &clock()))?;
    /// assert_eq!(square, 49);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    fn get_or_load_async<Q, F>(
        &self,
        key: &Q,
        load: impl FnOnce(K) -> F,
        clock: &(impl Clock + ?Sized),
    ) -> impl Future<Output = Result<V, LoadError<E>>>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
        F: Future<Output = Result<V, E>>;
}

impl<K, V, E, S> GetOrLoad<K, V, E> for Cache<K, V, LoadError<E>, S>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
    E: Clone + Send + Sync + 'static,
    S: BuildHasher,
{
    fn get_or_load<Q>(
        &self,
        key: &Q,
        load: impl FnOnce(&K) -> Result<V, E>,
        clock: &(impl Clock + ?Sized),
    ) -> Result<V, LoadError<E>>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
    {
        caught(|| blocking(self, key, None, load, |_| true, clock))
    }

    fn get_or_load_within<Q>(
        &self,
        key: &Q,
        timeout: Duration,
        load: impl FnOnce(&K) -> Result<V, E>,
        clock: &(impl Clock + ?Sized),
    ) -> Result<V, LoadError<E>>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
    {
        let deadline = Instant::now().checked_add(timeout);
        caught(|| blocking(self, key, deadline, load, |_| true, clock))
    }

    async fn get_or_load_async<Q, F>(
        &self,
        key: &Q,
        load: impl FnOnce(K) -> F,
        clock: &(impl Clock + ?Sized),
    ) -> Result<V, LoadError<E>>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
        F: Future<Output = Result<V, E>>,
    {
        loading(self, key, load, |_| true, clock).await
    }
}

/// Runs `f`, of whose calls any may be the user's code.
pub(crate) fn caught<T, E>(f: impl FnOnce() -> Result<T, LoadError<E>>) -> Result<T, LoadError<E>> {
    contained(f).unwrap_or(Err(LoadError::Panicked))
}

/// Runs `f`, which may have nothing to say yet.
pub(crate) fn caught_some<T, E>(
    f: impl FnOnce() -> Option<Result<T, LoadError<E>>>,
) -> Option<Result<T, LoadError<E>>> {
    contained(f).unwrap_or(Some(Err(LoadError::Panicked)))
}

/// A value that was good enough when it was read, and from when on it is not.
pub(crate) struct Stale<V> {
    value: V,
    until: Option<tidegate_core::Instant>,
}

impl<V> Stale<V> {
    /// The value, if it is still good enough. Reads the clock, after everything else.
    pub(crate) fn now(self, clock: &(impl Clock + ?Sized)) -> Option<V> {
        let is_over = self.until.is_some_and(|until| until <= clock.now());
        (!is_over).then_some(self.value)
    }
}

/// What there is to do for a caller.
pub(crate) enum Asked<'a, K, V, E, S>
where
    K: Send + 'static,
    V: Send + Sync + 'static,
    E: Send + Sync + 'static,
{
    /// Nothing.
    Have(V),
    /// To load, with a value that is good enough meanwhile, if there is one.
    Lead(Loading<'a, K, V, LoadError<E>, S>, Option<Stale<V>>),
    /// To wait.
    Wait(Follower<V, LoadError<E>>),
}

impl<V, E> Followed<V, LoadError<E>> {
    /// What a caller that has followed a load gets; `None` if it is to ask again, for there is no result, or the
    /// value has ended since. Reads the clock, after everything else.
    pub(crate) fn into_result(
        self,
        clock: &(impl Clock + ?Sized),
    ) -> Option<Result<V, LoadError<E>>> {
        match self {
            Self::Value(value, until) => Stale { value, until }.now(clock).map(Ok),
            Self::Failed(error) => Some(Err(error)),
            Self::Panicked => Some(Err(LoadError::Panicked)),
            Self::Again => None,
        }
    }
}

pub(crate) fn ask<'a, K, V, E, S, Q>(
    cache: &'a Cache<K, V, LoadError<E>, S>,
    key: &Q,
    work: &Work,
    asked: &mut bool,
    clock: &(impl Clock + ?Sized),
) -> Result<Asked<'a, K, V, E, S>, LoadError<E>>
where
    K: Hash + Eq + Clone + Send + Sync + Borrow<Q> + 'static,
    V: Clone + Send + Sync + 'static,
    E: Clone + Send + Sync + 'static,
    S: BuildHasher,
    Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
{
    loop {
        // Read anew each time: it may have been a long wait.
        let ask = Ask::new(work.caller(), clock.now());
        let ask = if std::mem::replace(asked, true) { ask.again() } else { ask };
        // The guard goes before the clock is read once more, and with it what waits for that to be destroyed.
        let found = {
            let guard = pinned();
            cache.ask(key, ask, &guard)?
        };
        let until = found.until;
        return Ok(match found.load {
            Load::Hit(value) | Load::Stale(value, None) => {
                match (Stale { value, until }).now(clock) {
                    Some(value) => Asked::Have(value),
                    None => continue,
                }
            }
            Load::Stale(value, Some(loading)) => Asked::Lead(loading, Some(Stale { value, until })),
            Load::Lead(loading) => Asked::Lead(loading, None),
            Load::Wait(follower) if work.is_for(follower.leader()) => {
                return Err(LoadError::Reentrant);
            }
            Load::Wait(follower) => Asked::Wait(follower),
        });
    }
}

/// Gets or loads for a task: see [`blocking`].
pub(crate) async fn loading<K, V, E, S, Q, F>(
    cache: &Cache<K, V, LoadError<E>, S>,
    key: &Q,
    load: impl FnOnce(K) -> F,
    is_for: fn(&LoadError<E>) -> bool,
    clock: &(impl Clock + ?Sized),
) -> Result<V, LoadError<E>>
where
    K: Hash + Eq + Clone + Send + Sync + Borrow<Q> + 'static,
    V: Clone + Send + Sync + 'static,
    E: Clone + Send + Sync + 'static,
    S: BuildHasher,
    Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
    F: Future<Output = Result<V, E>>,
{
    let work = Work::of_this_task().await;
    let mut asked = false;
    loop {
        match caught(|| ask(cache, key, &work, &mut asked, clock))? {
            Asked::Have(value) => return Ok(value),
            Asked::Wait(follower) => {
                let followed = Following::new(follower).await;
                if let Some(result) = caught_some(|| followed.into_result(clock))
                    && result.as_ref().err().is_none_or(is_for)
                {
                    return result;
                }
            }
            Asked::Lead(loading, stale) => {
                contained(|| drop(stale));
                let work = Arc::new(work);
                let loaded = work.run(|| contained(|| load(loading.key().clone())));
                let result = match loaded {
                    Some(future) => polled(&work, future).await,
                    None => None,
                };
                return work.run(|| caught(|| end(cache, key, &work, loading, result, clock)));
            }
        }
    }
}

/// Gets or loads on this thread. A failure of another caller's load is returned if it `is_for` this caller; else
/// the caller asks again.
pub(crate) fn blocking<K, V, E, S, Q>(
    cache: &Cache<K, V, LoadError<E>, S>,
    key: &Q,
    deadline: Option<Instant>,
    load: impl FnOnce(&K) -> Result<V, E>,
    is_for: fn(&LoadError<E>) -> bool,
    clock: &(impl Clock + ?Sized),
) -> Result<V, LoadError<E>>
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
            Asked::Lead(loading, stale) => {
                contained(|| drop(stale));
                let work = Arc::new(work);
                let result = work.run(|| contained(|| load(loading.key())));
                return work.run(|| caught(|| end(cache, key, &work, loading, result, clock)));
            }
            Asked::Wait(follower) => match wait(follower, deadline, clock) {
                Ok(followed) => {
                    if let Some(result) = followed.into_result(clock)
                        && result.as_ref().err().is_none_or(is_for)
                    {
                        return result;
                    }
                }
                Err(TimedOut) if is_past(deadline) => return Err(LoadError::TimedOut),
                Err(TimedOut) => {}
            },
        }
    }
}

pub(crate) fn is_past(deadline: Option<Instant>) -> bool {
    deadline.is_some_and(|at| at <= Instant::now())
}

/// Waits for a load until the deadline, or the end of its lease, which wakes nobody.
pub(crate) fn wait<V: Clone, E: Clone>(
    follower: Follower<V, E>,
    deadline: Option<Instant>,
    clock: &(impl Clock + ?Sized),
) -> Result<Followed<V, E>, TimedOut> {
    let lease = follower.left(clock.now());
    let left = deadline.map(|at| at.saturating_duration_since(Instant::now()));
    let following = Following::new(follower);
    match left.into_iter().chain(lease).min() {
        Some(longest) => block_for(following, longest),
        None => Ok(block_on(following)),
    }
}

/// Ends a load as its loader did: `None` if that panicked. Of a failure, a value that is good enough still makes
/// up. Part of the work, too: wakers and destructors are called before it is over, and may ask.
fn end<K, V, E, S, Q>(
    cache: &Cache<K, V, LoadError<E>, S>,
    key: &Q,
    work: &Work,
    loading: Loading<'_, K, V, LoadError<E>, S>,
    result: Option<Result<V, E>>,
    clock: &(impl Clock + ?Sized),
) -> Result<V, LoadError<E>>
where
    K: Hash + Eq + Clone + Send + Sync + Borrow<Q> + 'static,
    V: Clone + Send + Sync + 'static,
    E: Clone + Send + Sync + 'static,
    S: BuildHasher,
    Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
{
    let now = clock.now();
    let failed = match result {
        Some(Ok(value)) => {
            // The caller's own, whatever becomes of the other and whatever panics meanwhile.
            let own = value.clone();
            contained(|| _ = loading.complete(value, now, &pinned()));
            return Ok(own);
        }
        Some(Err(error)) => LoadError::Failed(error),
        None => LoadError::Panicked,
    };
    let (own, follower) = (failed.clone(), loading.follow());
    let stands_in = contained(|| loading.fail(failed, now, &pinned()).ok()).flatten();
    let until = follower.until();
    if let Some(value) = stands_in.and_then(|value| Stale { value, until }.now(clock)) {
        return Ok(value);
    }
    // As of now: it may have taken longer than the old one was good for. Whoever may load next does not.
    let asked = contained(|| {
        let guard = pinned();
        cache.ask(key, Ask::new(work.caller(), clock.now()).again(), &guard)
    });
    if let Some(Ok(asked)) = asked
        && let (Load::Hit(value) | Load::Stale(value, _), until) = (asked.load, asked.until)
        && let Some(value) = (Stale { value, until }).now(clock)
    {
        return Ok(value);
    }
    Err(own)
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
        let waker = context.waker().clone();
        let mut poll = || future.as_mut().as_pin_mut().map(|future| future.poll(context));
        match work.poll(&waker, || contained(&mut poll)) {
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
