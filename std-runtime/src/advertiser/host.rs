//! The registries in which services can be advertised: the face's and the engine's.

use std::hash::{BuildHasher, Hash};
use std::sync::Arc;

use tidegate_core::registry::Services;
use tidegate_core::{Clock, Instant, SeededState};

use crate::clock::OwnClock;
use crate::registry::Registry;

/// A registry, with the clock by which its services expire.
pub(super) trait Host<K: Send + 'static, V: Send + 'static, S>: Send + Sync {
    /// Reads the clock.
    fn now(&self) -> Instant;

    fn services(&self) -> Services<'_, K, V, S>;
}

impl<K, V, N, P> Host<K, V, SeededState> for Registry<K, V, N, P>
where
    K: Hash + Eq + Send + Sync + 'static,
    V: Send + Sync + 'static,
    N: Eq + Send + Sync + 'static,
    P: Send + Sync + 'static,
{
    fn now(&self) -> Instant {
        self.clock().now()
    }

    fn services(&self) -> Services<'_, K, V, SeededState> {
        self.lockfree().services()
    }
}

/// A registry of the engine, and a clock for it.
pub(super) struct Engine<K, V, N, P, S>
where
    K: Send + 'static,
    V: Send + 'static,
    N: Send + 'static,
    P: Send + 'static,
{
    registry: Arc<tidegate_core::Registry<K, V, N, P, S>>,
    clock: OwnClock,
}

impl<K, V, N, P, S> Engine<K, V, N, P, S>
where
    K: Send + 'static,
    V: Send + 'static,
    N: Send + 'static,
    P: Send + 'static,
{
    pub(super) fn new(
        registry: Arc<tidegate_core::Registry<K, V, N, P, S>>,
        clock: impl Clock + Send + Sync + 'static,
    ) -> Self {
        Self { registry, clock: OwnClock::given(clock) }
    }
}

impl<K, V, N, P, S> Host<K, V, S> for Engine<K, V, N, P, S>
where
    K: Hash + Eq + Send + Sync + 'static,
    V: Send + Sync + 'static,
    N: Eq + Send + Sync + 'static,
    P: Send + Sync + 'static,
    S: BuildHasher + Send + Sync + 'static,
{
    fn now(&self) -> Instant {
        self.clock.now()
    }

    fn services(&self) -> Services<'_, K, V, S> {
        self.registry.services()
    }
}
