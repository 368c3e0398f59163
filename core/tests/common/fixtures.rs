//! Caches and registries as most tests want them, each with a worker of its domain.

use std::hash::Hash;
use std::sync::{Arc, Mutex};

use tidegate_core::cache::Builder as CacheBuilder;
use tidegate_core::registry::Builder as RegistryBuilder;
use tidegate_core::{Cache, Domain, Registry, SeededState, Worker};

/// A builder of a cache in `domain`, whose keys are hashed alike in each run.
pub(crate) fn cache_builder<K, V>(domain: &Domain) -> CacheBuilder<K, V, SeededState>
where
    K: Send + 'static,
    V: Send + Sync + 'static,
{
    Cache::builder(domain, SeededState::new(0x5eed))
}

/// A cache in a domain of its own, with what `set` sets.
pub(crate) fn cache<K, V, E>(
    set: impl FnOnce(CacheBuilder<K, V, SeededState>) -> CacheBuilder<K, V, SeededState>,
) -> (Cache<K, V, E>, Worker)
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Send + Sync + 'static,
    E: Send + Sync + 'static,
{
    let domain = Domain::new();
    (set(cache_builder(&domain)).build().expect("memory"), domain.worker())
}

/// The builder's registry in `domain`, whose keys are hashed alike in each run.
pub(crate) fn registry_in<K, V, N, P>(
    domain: &Domain,
    builder: RegistryBuilder<K, V, N, P>,
) -> Registry<K, V, N, P>
where
    K: Hash + Eq + Send + Sync + 'static,
    V: Send + Sync + 'static,
    N: Eq + Send + Sync + 'static,
    P: Send + Sync + 'static,
{
    builder.build(domain, SeededState::new(0x5eed)).expect("memory")
}

/// The builder's registry, in a domain of its own.
pub(crate) fn registry<K, V, N, P>(
    builder: RegistryBuilder<K, V, N, P>,
) -> (Registry<K, V, N, P>, Worker)
where
    K: Hash + Eq + Send + Sync + 'static,
    V: Send + Sync + 'static,
    N: Eq + Send + Sync + 'static,
    P: Send + Sync + 'static,
{
    let domain = Domain::new();
    (registry_in(&domain, builder), domain.worker())
}

/// What a listener or a hook was told: keys and values, and why they went.
pub(crate) struct Log<K, V, C>(Arc<Mutex<Vec<(K, V, C)>>>);

impl<K, V, C> Default for Log<K, V, C> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<K, V, C> Log<K, V, C>
where
    K: Copy + Send + 'static,
    V: Copy + Send + 'static,
    C: Send + 'static,
{
    /// A listener that writes down what it is told.
    pub(crate) fn listener(&self) -> impl Fn(&K, &V, C) + Send + Sync + 'static {
        let log = Arc::clone(&self.0);
        move |key, value, cause| log.lock().expect("no panic").push((*key, *value, cause))
    }

    /// What was told since this was last asked.
    pub(crate) fn take(&self) -> Vec<(K, V, C)> {
        std::mem::take(&mut self.0.lock().expect("no panic"))
    }
}
