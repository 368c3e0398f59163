//! Loads of what a cache does not have: one caller loads, and the other callers wait for its result.

pub(crate) mod asking;
mod error;
pub(crate) mod follow;
mod get_or_refresh;
pub(crate) mod resume;

use std::borrow::Borrow;
use std::hash::{BuildHasher, Hash};
use std::time::{Duration, Instant};

use tidegate_core::cache::Insert;
use tidegate_core::{Cache, Clock};

use self::asking::Asking;

pub use self::error::LoadError;
pub(crate) use self::error::{caught, caught_some};
pub use self::get_or_refresh::{GetOrRefresh, LoadFuture, LoadTask};

/// Gets what an engine's cache holds, or has one caller load it while the other callers wait.
///
/// The cache must be in [the domain of the process](crate::domain), and its third type parameter must be a
/// [`LoadError`]: with another type the compiler finds no such method. A [face's cache](crate::Cache) has loads of
/// its own.
///
/// An expired value is still served within [its
/// window](crate::lockfree::cache::Builder::stale_while_revalidate): one caller loads a new value, and every other
/// caller gets the old one at once. The caller that loads waits for its own load, unless [another thread or a task
/// runs it](crate::GetOrRefresh).
///
/// A result is ordered against writes. An insertion or invalidation of a key detaches the load of it that is in
/// progress: the waiters get the loaded value, the value is not stored, and the next caller loads anew. An
/// expired value is not returned, however late a task is polled: the clock is read after everything else. The one
/// exception is the caller's own load, whose value it always gets.
///
/// A panic of the loader is caught: the caller and all waiters get [`LoadError::Panicked`], unless [a stale value
/// replaces it](crate::lockfree::cache::Builder::stale_if_error). Panics of wakers, listeners and other code of the
/// user are caught, too, and take no result from the caller that loads. A future that is dropped during its load
/// leaves loading to one of the waiters.
///
/// A loader that asks for its own key, directly or through other loaders, gets [`LoadError::Reentrant`]. A blocking
/// call is part of the load that its thread is running. A future is part of the load whose own task polls it. The
/// future of an unrelated task is not, even where a runtime polls it on a thread on which a loader waits. Three
/// circles remain undetected, and wait for ever:
///
/// * loads of different callers that ask for each other's keys;
/// * a loader that joins a thread or a task which asks for its key;
/// * a future in a loader that is polled with a waker of its own (as in `FuturesUnordered`), or in another runtime's
///   `block_on`.
///
/// A [time limit](Self::get_or_load_within) or a [lease](crate::lockfree::cache::Builder::load_lease) ends these
/// waits.
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
    /// Returns the value of a key. Loads it on this thread if there is none, or waits for the caller that does.
    ///
    /// # Errors
    ///
    /// Any [`LoadError`] but [`TimedOut`](LoadError::TimedOut) and [`Abandoned`](LoadError::Abandoned).
    fn get_or_load<Q>(
        &self,
        key: &Q,
        load: impl FnOnce(&K) -> Result<V, E>,
        clock: &(impl Clock + ?Sized),
    ) -> Result<V, LoadError<E>>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = K> + ?Sized;

    /// Gets or loads as [`get_or_load`](Self::get_or_load) does, but waits for another caller's load no longer than
    /// `timeout`.
    ///
    /// A load of its own is not interrupted, since it runs on this thread and may borrow from it. To bound that wait,
    /// too, use [`get_or_refresh`](crate::GetOrRefresh::get_or_refresh).
    ///
    /// # Errors
    ///
    /// Fails as [`get_or_load`](Self::get_or_load) does, and with [`LoadError::TimedOut`].
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

    /// Gets or loads as [`get_or_load`](Self::get_or_load) does, for a task of any async runtime.
    ///
    /// A future that is dropped leaves loading to one of the waiters. The end of a
    /// [lease](crate::lockfree::cache::Builder::load_lease) is noticed by the next caller or by a sweep.
    ///
    /// # Errors
    ///
    /// Fails as [`get_or_load`](Self::get_or_load) does.
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
        Asking::new(self, key, clock).blocking(None, |key| load(key).map(as_usual), |_| true)
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
        Asking::new(self, key, clock).blocking(deadline, |key| load(key).map(as_usual), |_| true)
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
        let load = |key| {
            let loading = load(key);
            async { loading.await.map(as_usual) }
        };
        Asking::new(self, key, clock).loading(load, |_| true).await
    }
}

/// Has a loaded value stored by the settings of its cache.
pub(crate) fn as_usual<V>(value: V) -> (V, Insert) {
    (value, Insert::new())
}
