//! Changing the bounds of a cache that is in use.

use core::hash::{BuildHasher, Hash};

use super::later::Later;
use super::{Cache, RemovalCause, Tiers, Usage};
use crate::reclaim::Guard;
use crate::time::Instant;

impl<K, V, E, S> Cache<K, V, E, S>
where
    K: Send + 'static,
    V: Send + Sync + 'static,
    E: Send + Sync + 'static,
{
    /// Returns the bounds: how many entries there may be, and of how many bytes. An absent bound
    /// is [`u64::MAX`].
    pub fn bounds(&self) -> Usage {
        self.totals.max()
    }

    /// Returns how far the usage is above the bounds. It is above them only after a bound was
    /// lowered.
    pub fn excess(&self) -> Usage {
        self.totals.excess()
    }

    /// Sets how many entries there are at most, from now on.
    ///
    /// The call evicts nothing. If there are more entries, each insertion evicts five of them in
    /// place of one, and each step of a [sweep](Self::sweeper) evicts up to half its budget. No
    /// insertion is refused for that. [`excess`](Self::excess) returns how much is left to evict.
    ///
    /// ```
    /// use tidegate_core::{Budget, Cache, Domain, Instant, SeededState, Sweep};
    ///
    /// let domain = Domain::new();
    /// let cache: Cache<u32, u32> =
    ///     Cache::builder(&domain, SeededState::new(0x5eed)).max_entries(1_000).build()?;
    /// let (mut worker, now) = (domain.worker(), Instant::ORIGIN);
    /// for key in 0..1_000 {
    ///     cache.insert(key, key, now, worker.quiescent(now))?;
    /// }
    /// cache.set_max_entries(500);
    /// assert_eq!(cache.excess().entries, 500);
    /// cache.insert(1_000, 1_000, now, worker.quiescent(now))?;
    /// assert_eq!(cache.excess().entries, 496);
    /// let mut sweep = cache.sweeper(worker);
    /// while !sweep.sweep(now, Budget::entries(256)).wrapped {}
    /// assert_eq!(cache.usage().entries, 500);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn set_max_entries(&self, entries: u64) {
        self.totals.set_max_entries(entries);
        self.map.bound(usize::try_from(entries).unwrap_or(usize::MAX));
    }

    /// Sets how many bytes there are at most, from now on, as
    /// [`set_max_entries`](Self::set_max_entries) does for entries. A value that weighs more than
    /// this is refused.
    pub fn set_max_bytes(&self, bytes: u64) {
        self.totals.set_max_bytes(bytes);
    }
}

impl<K, V, E, S> Cache<K, V, E, S>
where
    K: Hash + Eq + Send + Sync + 'static,
    V: Send + Sync + 'static,
    E: Send + Sync + 'static,
    S: BuildHasher,
{
    /// Evicts up to `most` entries while the usage is above the bounds, and returns how many.
    pub(super) fn shrink<'g>(
        &'g self,
        most: usize,
        later: &mut Later<'g, K, V>,
        now: Instant,
        guard: &'g Guard,
    ) -> usize {
        let mut evicted = 0;
        while evicted < most && self.excess() != Usage::default() {
            // Its room is given back, and not used.
            let mut room = self.totals.none();
            let cause = RemovalCause::Size;
            if !self.evict_one(Tiers::ALL, cause, None, &mut room, later, now, guard) {
                break;
            }
            evicted += 1;
        }
        evicted
    }
}
