//! Loads of missing values: one caller loads, and the other callers wait.
//!
//! The engine's flights have one type of error. Here it is any type, behind an `Arc`. A waiter takes an error of its own
//! type, and joins the next load after an error of another type.

use std::any::type_name;
use std::borrow::Borrow;
use std::convert::Infallible;
use std::hash::Hash;
use std::pin::pin;
use std::sync::Arc;

use tidegate_core::cache::Insert;

use super::{Cache, Failure};
use crate::load::asking::Asking;
use crate::load::resume::{Keeping, Kept};
use crate::load::{LoadError, as_usual};

/// The loader of [`Cache::optionally_get_with`] found no value.
struct Absent;

impl<K, V> Cache<K, V>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    /// Returns the value of `key`, and has `init` make it if there is none. One of several concurrent callers makes the
    /// value, and the others wait for it.
    ///
    /// # Panics
    ///
    /// If `init` panics, in the caller whose `init` that is; the other callers try again. Also if `init` asks for its own
    /// key, directly or through other loaders: [`get_or_load`](Self::get_or_load) returns that as an error.
    pub fn get_with(&self, key: K, init: impl FnOnce() -> V) -> V {
        self.get_with_by_ref(&key, init)
    }

    /// Gets or makes a value as [`get_with`](Self::get_with) does, by a borrowed form of the key.
    ///
    /// # Panics
    ///
    /// If `init` panics or asks for its own key, as [`get_with`](Self::get_with) does.
    pub fn get_with_by_ref<Q>(&self, key: &Q, init: impl FnOnce() -> V) -> V
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
    {
        match own_error::<K, V, Infallible>(
            self.get_or_load_with(key, || Ok::<_, Infallible>(as_usual(init()))),
        ) {
            Ok(value) => value,
            Err(never) => match *never {},
        }
    }

    /// Returns the value of `key`, and has `init` load it if there is none. One of several concurrent callers loads, and
    /// the others wait for its value, or for its error. Errors are not stored.
    ///
    /// Callers of one key may have loaders with different types of error. If a load fails with another type, a waiter
    /// tries again, and runs its own loader if no other load has begun.
    ///
    /// A loader may load other keys. All loaders must do so in one order: two loaders that wait for each other's keys wait
    /// for ever.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use tidegate::Cache;
    ///
    /// let cache: Cache<&str, u16> = Cache::new(100);
    /// let parsed = cache.try_get_with("port", || "80a".parse::<u16>());
    /// assert!(parsed.is_err());
    /// let parsed = cache.try_get_with("port", || "80".parse::<u16>());
    /// assert_eq!(parsed, Ok(80));
    /// ```
    ///
    /// # Errors
    ///
    /// Returns the loader's error, in an `Arc` that the loading caller and the waiters share.
    ///
    /// # Panics
    ///
    /// If `init` panics or asks for its own key, as [`get_with`](Self::get_with) does.
    pub fn try_get_with<E>(&self, key: K, init: impl FnOnce() -> Result<V, E>) -> Result<V, Arc<E>>
    where
        E: Send + Sync + 'static,
    {
        self.try_get_with_by_ref(&key, init)
    }

    /// Gets or loads a value as [`try_get_with`](Self::try_get_with) does, by a borrowed form of the key.
    ///
    /// # Errors
    ///
    /// Fails as [`try_get_with`](Self::try_get_with) does.
    ///
    /// # Panics
    ///
    /// If `init` panics or asks for its own key, as [`get_with`](Self::get_with) does.
    pub fn try_get_with_by_ref<Q, E>(
        &self,
        key: &Q,
        init: impl FnOnce() -> Result<V, E>,
    ) -> Result<V, Arc<E>>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
        E: Send + Sync + 'static,
    {
        own_error::<K, V, E>(self.get_or_load_with(key, || init().map(as_usual)))
    }

    /// Returns the value of `key`, and has `init` look for it if there is none. A `None` of `init` is returned and not
    /// stored.
    ///
    /// # Panics
    ///
    /// If `init` panics or asks for its own key, as [`get_with`](Self::get_with) does.
    pub fn optionally_get_with(&self, key: K, init: impl FnOnce() -> Option<V>) -> Option<V> {
        self.optionally_get_with_by_ref(&key, init)
    }

    /// Gets or looks for a value as [`optionally_get_with`](Self::optionally_get_with) does, by a borrowed form of
    /// the key.
    ///
    /// # Panics
    ///
    /// If `init` panics or asks for its own key, as [`get_with`](Self::get_with) does.
    pub fn optionally_get_with_by_ref<Q>(
        &self,
        key: &Q,
        init: impl FnOnce() -> Option<V>,
    ) -> Option<V>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
    {
        own_error::<K, V, Absent>(self.get_or_load_with(key, || init().map(as_usual).ok_or(Absent)))
            .ok()
    }

    /// Gets or loads a value as [`try_get_with`](Self::try_get_with) does, and returns every failure as an error.
    ///
    /// # Errors
    ///
    /// [`LoadError::Failed`] with the loader's error; [`LoadError::Reentrant`] if the loader asks for its own
    /// key; [`LoadError::Panicked`] if `Hash`, `Eq`, `Clone` or `Drop` of the key or the value panicked.
    ///
    /// # Panics
    ///
    /// If `init` panics.
    pub fn get_or_load<Q, E>(
        &self,
        key: &Q,
        init: impl FnOnce() -> Result<V, E>,
    ) -> Result<V, LoadError<Arc<E>>>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
        E: Send + Sync + 'static,
    {
        self.get_or_load_with(key, || init().map(as_usual))
    }

    /// Gets or loads a value as [`get_or_load`](Self::get_or_load) does, and has `init` choose its time to live, tier or
    /// weight.
    ///
    /// ```
    /// use std::time::Duration;
    /// use tidegate::Cache;
    /// use tidegate::lockfree::cache::Insert;
    ///
    /// // A credential that says how long it is valid.
    /// let tokens: Cache<String, String> = Cache::new(100);
    /// let token = tokens.get_or_load_with("service", || {
    ///     let (token, valid) = ("secret".to_owned(), Duration::from_secs(300));
    ///     Ok::<_, std::io::Error>((token, Insert::new().time_to_live(valid)))
    /// })?;
    /// assert_eq!(token, "secret");
    /// # Ok::<(), tidegate::LoadError<std::sync::Arc<std::io::Error>>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Fails as [`get_or_load`](Self::get_or_load) does.
    ///
    /// # Panics
    ///
    /// If `init` panics.
    pub fn get_or_load_with<Q, E>(
        &self,
        key: &Q,
        init: impl FnOnce() -> Result<(V, Insert), E>,
    ) -> Result<V, LoadError<Arc<E>>>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
        E: Send + Sync + 'static,
    {
        let (mut init, kept) = (Some(init), Kept::default());
        let load = |_: &K| {
            let init = init.take().expect("a caller loads once");
            kept.run(init).map_err(|error| Failure(Arc::new(error)))
        };
        let shared = &**self.shared;
        let asking = Asking::new(&shared.engine, key, &shared.clock);
        let result = asking.blocking(None, load, is_for::<E>);
        kept.resume();
        match (result, init) {
            // There is no room for a load that other callers could join, so this caller runs its own.
            (Err(LoadError::Refused(_)), Some(init)) => {
                let loaded = init().map(|(value, _)| value);
                loaded.map_err(|error| LoadError::Failed(Arc::new(error)))
            }
            (result, _) => result.map_err(typed),
        }
    }

    /// Gets or loads a value as [`get_or_load_with`](Self::get_or_load_with) does, for a task of any async runtime. A
    /// future that is dropped leaves loading to one of the waiters.
    ///
    /// # Errors
    ///
    /// Fails as [`get_or_load`](Self::get_or_load) does.
    ///
    /// # Panics
    ///
    /// If `init` panics.
    pub async fn get_or_load_with_async<Q, E>(
        &self,
        key: &Q,
        init: impl Future<Output = Result<(V, Insert), E>>,
    ) -> Result<V, LoadError<Arc<E>>>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
        E: Send + Sync + 'static,
    {
        let kept = Kept::default();
        let mut init = Keeping { future: pin!(init), kept: &kept };
        let shared = &**self.shared;
        let result = {
            let init = &mut init;
            let load =
                move |_: K| async move { init.await.map_err(|error| Failure(Arc::new(error))) };
            Asking::new(&shared.engine, key, &shared.clock).loading(load, is_for::<E>).await
        };
        let result = match result {
            // There is no room for a load that other callers could join, so this caller runs its own.
            Err(LoadError::Refused(_)) => {
                let loaded = init.future.await.map(|(value, _)| value);
                loaded.map_err(|error| LoadError::Failed(Arc::new(error)))
            }
            result => result.map_err(typed),
        };
        kept.resume();
        result
    }

    /// Gets or makes a value as [`get_with`](Self::get_with) does, for a task of any async runtime. A future that is
    /// dropped leaves making the value to one of the waiters.
    ///
    /// # Panics
    ///
    /// If `init` panics or asks for its own key, as [`get_with`](Self::get_with) does.
    pub async fn get_with_async(&self, key: K, init: impl Future<Output = V>) -> V {
        self.get_with_by_ref_async(&key, init).await
    }

    /// Gets or makes a value as [`get_with_async`](Self::get_with_async) does, by a borrowed form of the key.
    ///
    /// # Panics
    ///
    /// If `init` panics or asks for its own key, as [`get_with`](Self::get_with) does.
    pub async fn get_with_by_ref_async<Q>(&self, key: &Q, init: impl Future<Output = V>) -> V
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
    {
        let init = async { Ok::<_, Infallible>(as_usual(init.await)) };
        match own_error::<K, V, Infallible>(self.get_or_load_with_async(key, init).await) {
            Ok(value) => value,
            Err(never) => match *never {},
        }
    }

    /// Gets or loads a value as [`try_get_with`](Self::try_get_with) does, for a task of any async runtime. A future
    /// that is dropped leaves loading to one of the waiters.
    ///
    /// ```
    /// use tidegate::{Cache, wait};
    ///
    /// let cache: Cache<String, usize> = Cache::new(100);
    /// let page = cache.try_get_with_async("home".to_owned(), async { Ok::<_, std::io::Error>(4) });
    /// assert_eq!(wait::block_on(page)?, 4);
    /// # Ok::<(), std::sync::Arc<std::io::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Fails as [`try_get_with`](Self::try_get_with) does.
    ///
    /// # Panics
    ///
    /// If `init` panics or asks for its own key, as [`get_with`](Self::get_with) does.
    pub async fn try_get_with_async<E>(
        &self,
        key: K,
        init: impl Future<Output = Result<V, E>>,
    ) -> Result<V, Arc<E>>
    where
        E: Send + Sync + 'static,
    {
        self.try_get_with_by_ref_async(&key, init).await
    }

    /// Gets or loads a value as [`try_get_with_async`](Self::try_get_with_async) does, by a borrowed form of the key.
    ///
    /// # Errors
    ///
    /// Fails as [`try_get_with`](Self::try_get_with) does.
    ///
    /// # Panics
    ///
    /// If `init` panics or asks for its own key, as [`get_with`](Self::get_with) does.
    pub async fn try_get_with_by_ref_async<Q, E>(
        &self,
        key: &Q,
        init: impl Future<Output = Result<V, E>>,
    ) -> Result<V, Arc<E>>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
        E: Send + Sync + 'static,
    {
        let init = async { init.await.map(as_usual) };
        own_error::<K, V, E>(self.get_or_load_with_async(key, init).await)
    }

    /// Gets or looks for a value as [`optionally_get_with`](Self::optionally_get_with) does, for a task of any async
    /// runtime. A future that is dropped leaves looking to one of the waiters.
    ///
    /// # Panics
    ///
    /// If `init` panics or asks for its own key, as [`get_with`](Self::get_with) does.
    pub async fn optionally_get_with_async(
        &self,
        key: K,
        init: impl Future<Output = Option<V>>,
    ) -> Option<V> {
        self.optionally_get_with_by_ref_async(&key, init).await
    }

    /// Gets or looks for a value as [`optionally_get_with_async`](Self::optionally_get_with_async) does, by a borrowed form
    /// of the key.
    ///
    /// # Panics
    ///
    /// If `init` panics or asks for its own key, as [`get_with`](Self::get_with) does.
    pub async fn optionally_get_with_by_ref_async<Q>(
        &self,
        key: &Q,
        init: impl Future<Output = Option<V>>,
    ) -> Option<V>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
    {
        let init = async { init.await.map(as_usual).ok_or(Absent) };
        own_error::<K, V, Absent>(self.get_or_load_with_async(key, init).await).ok()
    }
}

/// Returns whether a caller whose errors are `E`s returns this failure of another caller's load.
fn is_for<E: 'static>(error: &LoadError<Failure>) -> bool {
    match error {
        LoadError::Failed(Failure(error)) => error.is::<E>(),
        LoadError::Panicked | LoadError::Abandoned => false,
        _ => true,
    }
}

/// Returns the failure with the type of its error, which the caller knows.
pub(super) fn typed<E: Send + Sync + 'static>(error: LoadError<Failure>) -> LoadError<Arc<E>> {
    match error {
        LoadError::Failed(Failure(error)) => match error.downcast() {
            Ok(error) => LoadError::Failed(error),
            // Unreachable: only failures for which `is_for` is true are returned.
            Err(_) => LoadError::Abandoned,
        },
        LoadError::Panicked => LoadError::Panicked,
        LoadError::Reentrant => LoadError::Reentrant,
        LoadError::TimedOut => LoadError::TimedOut,
        LoadError::Refused(error) => LoadError::Refused(error),
        LoadError::Abandoned => LoadError::Abandoned,
    }
}

/// Returns the error of the loader, and panics on any other failure.
fn own_error<K, V, E>(result: Result<V, LoadError<Arc<E>>>) -> Result<V, Arc<E>> {
    match result {
        Ok(value) => Ok(value),
        Err(LoadError::Failed(error)) => Err(error),
        Err(LoadError::Reentrant) => {
            panic!("cache: the loader of a key ({}) asks for that key", type_name::<K>())
        }
        Err(_) => panic!(
            "cache: `Hash`, `Eq`, `Clone` or `Drop` of a key ({}) or its value panicked",
            type_name::<K>()
        ),
    }
}
