//! Giving back what is past its time.

use core::hash::{BuildHasher, Hash};
use core::ops::Deref;

use super::entry::Object;
use super::predicates::Begun;
use super::{Cache, RemovalCause, Tiers, Usage};
use crate::map::{Cursor, Pass, step};
use crate::reclaim::Worker;
use crate::sweep::{Budget, Sweep, Swept};
use crate::time::Instant;

/// A pass over a [`Cache`] that removes what is past its time and loads that were abandoned, and frees
/// what was removed, so many at a time. See [`Map::sweeper`](crate::Map::sweeper) for what a step does;
/// up to half of it may go to handles of the order that are of no use any more, and to evictions after a
/// bound was [lowered](Cache::set_max_entries).
///
/// `T` is whatever derefs to the cache: a reference, an `Arc` for a thread of its own.
///
/// ```
/// use core::time::Duration;
/// use tidegate_core::{Budget, Cache, Domain, Instant, SeededState, Sweep};
///
/// let domain = Domain::new();
/// let cache: Cache<u32, u32> = Cache::builder(&domain, SeededState::new(0x5eed))
///     .time_to_live(Duration::from_secs(60))
///     .build()?;
/// let (mut worker, start) = (domain.worker(), Instant::from_secs(1));
/// cache.insert(1, 1, start, worker.quiescent(start))?;
///
/// let mut sweep = cache.sweeper(domain.worker());
/// let step = sweep.sweep(start + Duration::from_secs(60), Budget::entries(256));
/// assert_eq!((step.removed, cache.usage().entries), (1, 0));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct CacheSweep<T> {
    cache: T,
    worker: Worker,
    pass: CachePass,
}

impl<T> CacheSweep<T> {
    /// Returns a sweep that begins at the cache's first entry.
    ///
    /// # Panics
    ///
    /// On the first step, if the worker is of another domain.
    pub fn new(cache: T, worker: Worker) -> Self {
        Self { cache, worker: worker.unpin(), pass: CachePass::new() }
    }
}

/// The state of a [`CacheSweep`] apart from its cache and its worker, for a sweep that keeps neither between
/// its steps.
///
/// ```
/// use std::sync::Arc;
/// use tidegate_core::cache::CachePass;
/// use tidegate_core::{Budget, Cache, Domain, Instant, SeededState};
///
/// let domain = Domain::new();
/// let cache: Cache<u32, u32> = Cache::builder(&domain, SeededState::new(0x5eed)).build()?;
/// let (cache, now) = (Arc::new(cache), Instant::from_secs(1));
///
/// let (mut pass, weak) = (CachePass::new(), Arc::downgrade(&cache));
/// let mut worker = domain.worker();
/// let mut step = || Some(pass.step(&*weak.upgrade()?, &mut worker, now, Budget::entries(256)));
/// assert!(step().is_some());
/// drop(cache);
/// assert!(step().is_none());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct CachePass {
    pass: Pass,
    cursor: Cursor,
    part: Part,
    begun: Option<Begun>,
}

/// The parts of a pass, one after the other.
#[derive(Clone, Copy, Debug)]
enum Part {
    Entries,
    Loads,
    /// The entries once more, for the predicates that invalidate some of them. No entry may be
    /// passed over, not even for want of memory.
    Predicates,
}

impl Default for CachePass {
    fn default() -> Self {
        Self::new()
    }
}

impl CachePass {
    /// Returns a pass that begins at the first entry of a cache.
    pub const fn new() -> Self {
        Self { pass: Pass::new(), cursor: Cursor::START, part: Part::Entries, begun: None }
    }

    /// Sweeps a part of the cache, within the budget, and returns what was done. The worker is not pinned
    /// after the step, and frees nothing but by the budget meanwhile. Each step may use another worker.
    ///
    /// # Panics
    ///
    /// If the worker is of another domain.
    pub fn step<K, V, E, S>(
        &mut self,
        cache: &Cache<K, V, E, S>,
        worker: &mut Worker,
        now: Instant,
        budget: Budget,
    ) -> Swept
    where
        K: Hash + Eq + Send + Sync + 'static,
        V: Send + Sync + 'static,
        E: Send + Sync + 'static,
        S: BuildHasher,
    {
        let Self { pass, cursor, part, begun } = self;
        cache.map.admit_worker(worker);
        pass.step(worker, now, budget, |worker, budget| {
            cache.step(worker, cursor, part, begun, now, budget)
        })
    }
}

impl<K, V, E, S> Cache<K, V, E, S>
where
    K: Hash + Eq + Send + Sync + 'static,
    V: Send + Sync + 'static,
    E: Send + Sync + 'static,
    S: BuildHasher,
{
    /// Returns a [sweep](CacheSweep) of this cache.
    pub fn sweeper(&self, worker: Worker) -> CacheSweep<&Self> {
        CacheSweep::new(self, worker)
    }

    /// One step of a sweep: evicts what exceeds the bounds, tidies the order, and visits entries,
    /// loads, and entries for the predicates.
    fn step(
        &self,
        worker: &mut Worker,
        cursor: &mut Cursor,
        part: &mut Part,
        begun: &mut Option<Begun>,
        now: Instant,
        budget: Budget,
    ) -> Swept {
        let mut done = Swept::default();
        let pinned = worker.pin();
        // An eviction counts as one visit: its second chances are those of reads.
        let evicted = self.shrink(budget.get().div_ceil(2), &mut None, now, &pinned);
        (done.visited, done.removed) = (evicted, evicted);
        for tier in Tiers::ALL.iter() {
            done.visited += self.tidy(
                tier,
                (budget.get() / 2).saturating_sub(done.visited),
                &mut None,
                now,
                &pinned,
            );
        }
        drop(pinned);
        let mut left = budget.less(done.visited);
        while left.get() > 0 && !done.wrapped {
            let step = match part {
                Part::Entries => {
                    let stale = |key: &K, object: &Object<V>, now| self.is_done(key, object, now);
                    step(&self.map, worker, cursor, stale, |_| (), now, left)
                }
                // No entries: looked at, and not counted as removed.
                Part::Loads => Swept { removed: 0, ..self.flights.step(worker, cursor, now, left) },
                Part::Predicates => {
                    let pinned = worker.pin();
                    self.apply_predicates(begun, cursor, now, left, &pinned)
                }
            };
            left = left.less(step.visited + step.freed);
            done.add(step);
            if step.wrapped {
                *part = match part {
                    Part::Entries => Part::Loads,
                    Part::Loads => Part::Predicates,
                    Part::Predicates => {
                        done.wrapped = true;
                        Part::Entries
                    }
                };
            }
        }
        // The pass goes on while it can bring the usage within the bounds.
        done.wrapped &= evicted == 0 || self.excess() == Usage::default();
        done
    }

    /// Kills an entry that has expired. Returns whether it is to be taken out of the map.
    fn is_done(&self, key: &K, object: &Object<V>, now: Instant) -> bool {
        if let Some(dead) = object.expire(now, self.rules.stale()) {
            self.release(object, dead);
            self.report(self.map.hash(key), key, object, RemovalCause::Expired);
        }
        object.is_dead()
    }
}

impl<T, K, V, E, S> Sweep for CacheSweep<T>
where
    T: Deref<Target = Cache<K, V, E, S>>,
    K: Hash + Eq + Send + Sync + 'static,
    V: Send + Sync + 'static,
    E: Send + Sync + 'static,
    S: BuildHasher,
{
    fn sweep(&mut self, now: Instant, budget: Budget) -> Swept {
        // Dereferenced once: `T` may answer with another cache the next time.
        self.pass.step(&*self.cache, &mut self.worker, now, budget)
    }
}
