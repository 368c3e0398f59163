//! An advertiser whose calls take the time.

use std::hash::Hash;
use std::sync::Arc;
use std::time::Duration;

use tidegate::lockfree::Registry;
use tidegate::lockfree::registry::EnterError;
use tidegate::{Advertiser, Budget, Instant, ManualClock, Sweep, Swept};

/// An advertiser in a registry of the engine, with the clock that each call sets first.
#[derive(Clone)]
pub(crate) struct Timed<K: Send + 'static, V: Send + 'static> {
    ours: Advertiser<K, V>,
    clock: Arc<ManualClock>,
}

impl<K, V> Timed<K, V>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    pub(crate) fn new(
        registry: Arc<Registry<K, V, (), ()>>,
        ttl: Duration,
        margin: Duration,
    ) -> Self {
        let clock = Arc::new(ManualClock::new());
        Self { ours: Advertiser::over(registry, ttl, margin, Arc::clone(&clock)), clock }
    }

    pub(crate) fn announce(self, announce: impl Fn(&K, &V) + Send + Sync + 'static) -> Self {
        Self { ours: self.ours.announce(announce), ..self }
    }

    pub(crate) fn on_lost(self, on_lost: impl Fn(&K, &V) + Send + Sync + 'static) -> Self {
        Self { ours: self.ours.on_lost(on_lost), ..self }
    }

    pub(crate) fn renewed_after(&self) -> Duration {
        self.ours.renewed_after()
    }

    pub(crate) fn advertise(
        &self,
        key: K,
        value: V,
        now: Instant,
    ) -> Result<(), EnterError<(K, V)>> {
        self.clock.set(now);
        self.ours.advertise(key, value)
    }

    pub(crate) fn withdraw(&self, key: &K, now: Instant) -> bool {
        self.clock.set(now);
        self.ours.withdraw(key)
    }

    pub(crate) fn active(&self) -> Vec<K> {
        self.ours.active()
    }

    /// A step, whose own time does not matter.
    pub(crate) fn sweep(&mut self, now: Instant, budget: Budget) -> Swept {
        self.clock.set(now);
        self.ours.sweep(Instant::ORIGIN, budget)
    }
}
