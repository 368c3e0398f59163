//! Loads that another thread or a task runs, while callers get the old value.

use std::borrow::Borrow;
use std::hash::Hash;
use std::sync::Arc;
use std::time::Duration;

use tidegate_core::cache::Load;
use tidegate_core::{Clock, Instant};

use super::load::typed;
use super::{Cache, Failure, Shared};
use crate::collected::Collected;
use crate::load::{GetOrRefresh, LoadError, LoadTask};
use crate::panics::contained;
use crate::pin::pin;
use crate::wait::caller::Work;

/// The clock of a cache, for a load that another thread ends.
struct CacheClock<K, V>(Arc<Collected<Shared<K, V>>>)
where
    K: Send + 'static,
    V: Send + Sync + 'static;

impl<K, V> Clone for CacheClock<K, V>
where
    K: Send + 'static,
    V: Send + Sync + 'static,
{
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<K, V> Clock for CacheClock<K, V>
where
    K: Send + 'static,
    V: Send + Sync + 'static,
{
    fn now(&self) -> Instant {
        self.0.clock.now()
    }
}

impl<K, V> Cache<K, V>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    /// Returns the value of `key`, and has `spawn` run `load` elsewhere if there is none that has not expired. One load of
    /// a key runs at a time, for all callers together.
    ///
    /// An expired value is still returned within [its window](super::CacheBuilder::stale_while_revalidate): to the caller
    /// that began the load when `within` is over, which may be zero, and to every other caller at once. The load
    /// continues. Without such a value the call waits within `within` for the load.
    ///
    /// `spawn` gets the load at most once, and must have it run elsewhere: by a thread, a bounded pool or a runtime's
    /// blocking tasks. A load that is dropped is left to the next caller.
    ///
    /// ```
    /// use std::time::Duration;
    /// use tidegate::{Cache, LoadTask};
    ///
    /// let pages: Cache<String, usize> = Cache::builder()
    ///     .time_to_live(Duration::from_secs(60))
    ///     .stale_while_revalidate(Duration::from_secs(600))
    ///     .build();
    /// let load = |url: &String| Ok::<_, std::io::Error>(url.len()); // asks a server, perhaps
    /// let spawn = |load: LoadTask| _ = std::thread::spawn(move || load.run());
    /// assert_eq!(pages.get_or_refresh("home", Duration::from_secs(5), load, spawn)?, 4);
    /// # Ok::<(), tidegate::LoadError<std::sync::Arc<std::io::Error>>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Fails as [`get_or_load`](Self::get_or_load) does, with [`LoadError::TimedOut`] if there is no value in time, and
    /// with [`LoadError::Abandoned`] if the load was dropped, or failed with another caller's type of error.
    pub fn get_or_refresh<Q, E>(
        &self,
        key: &Q,
        within: Duration,
        load: impl FnOnce(&K) -> Result<V, E> + Send + 'static,
        spawn: impl FnOnce(LoadTask),
    ) -> Result<V, LoadError<Arc<E>>>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
        E: Send + Sync + 'static,
    {
        let load = |key: &K| load(key).map_err(|error| Failure(Arc::new(error)));
        let clock = CacheClock(Arc::clone(&self.shared));
        self.shared.engine.get_or_refresh(key, within, load, spawn, &clock).map_err(typed)
    }

    /// Loads the value of `key` anew, whether the old one has expired or not, and returns whether this call began the load.
    /// It did not if a load of the key is in progress, or if there is no memory for it.
    ///
    /// The call waits for nothing: `spawn` gets the load, and must have it run elsewhere. Callers get the old value until
    /// the new one is there. If the load fails, the old value stays.
    ///
    /// ```
    /// use tidegate::Cache;
    ///
    /// let cache: Cache<String, u32> = Cache::new(100);
    /// cache.insert("key".to_owned(), 1);
    /// let mut load = None;
    /// assert!(cache.refresh("key", |_| Ok::<_, std::io::Error>(2), |task| load = Some(task)));
    /// assert_eq!(cache.get("key"), Some(1));
    /// load.expect("it was given").run();
    /// assert_eq!(cache.get("key"), Some(2));
    /// ```
    pub fn refresh<Q, E>(
        &self,
        key: &Q,
        load: impl FnOnce(&K) -> Result<V, E> + Send + 'static,
        spawn: impl FnOnce(LoadTask),
    ) -> bool
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
        E: Send + Sync + 'static,
    {
        let engine = &self.shared.engine;
        let (work, now) = (Arc::new(Work::new()), self.shared.clock.now());
        let loading = match engine.refresh(key, work.caller(), now, &pin()) {
            Ok(Load::Lead(loading)) => loading.into_owned(engine),
            _ => return false,
        };
        let load = |key: &K| load(key).map_err(|error| Failure(Arc::new(error)));
        let clock = CacheClock(Arc::clone(&self.shared));
        let task = LoadTask::new(work, loading, load, clock);
        contained(|| spawn(task));
        true
    }
}
