//! Giving buckets up.

use core::hash::{BuildHasher, Hash};
use core::ops::Deref;

use super::bucket::Bucket;
use super::{BucketMap, MAKE_ROOM};
use crate::map::{Cursor, Pass, step};
use crate::reclaim::{Guard, Worker};
use crate::sweep::{Budget, Sweep, Swept};
use crate::sync::Ordering;
use crate::time::Instant;

/// A pass over a [`BucketMap`] that gives up the buckets that equal fresh ones, and frees what was
/// given up, so many at a time. See [`Map::sweeper`](crate::Map::sweeper) for what a step does.
///
/// `T` is whatever derefs to the buckets: a reference, an `Arc` for a thread of its own.
///
/// ```
/// use core::time::Duration;
/// use tidegate_core::{BucketMap, Budget, Domain, Instant, Quota, SeededState, Sweep};
///
/// let quota = Quota::per_second(10)?;
/// let domain = Domain::new();
/// let clients: BucketMap<u64> = BucketMap::with(&domain, quota, SeededState::new(0x5eed))?;
/// let plan = clients.plan(quota)?;
/// let (mut worker, start) = (domain.worker(), Instant::from_secs(1));
/// assert!(clients.check(&7, &plan, start, worker.quiescent(start)).is_admitted());
///
/// let mut sweep = clients.sweeper(domain.worker());
/// let step = sweep.sweep(start + Duration::from_secs(1), Budget::entries(256));
/// assert_eq!((step.removed, clients.len()), (1, 0));
/// # Ok::<(), tidegate_core::QuotaError>(())
/// ```
#[derive(Debug)]
pub struct BucketSweep<T> {
    buckets: T,
    worker: Worker,
    pass: BucketPass,
}

impl<T> BucketSweep<T> {
    /// Creates a sweep that begins at the first bucket, with a worker of the same domain.
    ///
    /// # Panics
    ///
    /// On the first step, if the worker is of another domain.
    pub fn new(buckets: T, worker: Worker) -> Self {
        Self { buckets, worker: worker.unpin(), pass: BucketPass::new() }
    }
}

/// The state of a [`BucketSweep`] apart from its buckets and its worker, for a sweep that keeps neither between
/// its steps.
#[derive(Debug)]
pub struct BucketPass {
    pass: Pass,
    cursor: Cursor,
}

impl Default for BucketPass {
    fn default() -> Self {
        Self::new()
    }
}

impl BucketPass {
    /// Returns a pass that begins at the first bucket of a [`BucketMap`].
    pub const fn new() -> Self {
        Self { pass: Pass::new(), cursor: Cursor::START }
    }

    /// Sweeps a part of the buckets, within the budget, and returns what was done. The worker is not pinned
    /// after the step, and frees nothing but by the budget meanwhile. Each step may use another worker.
    ///
    /// # Panics
    ///
    /// If the worker is of another domain.
    pub fn step<K, S>(
        &mut self,
        buckets: &BucketMap<K, S>,
        worker: &mut Worker,
        now: Instant,
        budget: Budget,
    ) -> Swept
    where
        K: Hash + Eq + Send + 'static,
        S: BuildHasher,
    {
        let Self { pass, cursor } = self;
        buckets.map.admit_worker(worker);
        let units = buckets.unit.scale().units(now.as_nanos());
        let stale = |key: &K, bucket: &Bucket, _| buckets.kill(key, bucket, units);
        let unlinked = |keys| buckets.rooms.give_back(keys);
        pass.step(worker, now, budget, |worker, left| {
            step(&buckets.map, worker, cursor, stale, unlinked, now, left)
        })
    }
}

impl<K: Hash + Eq + Send + 'static, S: BuildHasher> BucketMap<K, S> {
    /// Returns a sweep over the buckets, for a [`Sweeper`](crate::Sweeper) or a loop of your own.
    pub fn sweeper(&self, worker: Worker) -> BucketSweep<&Self> {
        BucketSweep::new(self, worker)
    }

    /// Gives a bucket up if it equals a fresh one at the time `now`, in units.
    fn kill(&self, key: &K, bucket: &Bucket, now: u64) -> bool {
        let drained = self.overflow.drained(now.saturating_sub(self.grace));
        bucket.kill(&self.base, |ends| {
            let owes = |owes: &dyn Fn(u32) -> bool| owes(self.place(key).fingerprint);
            ends <= drained.by && !drained.owes.as_ref().is_some_and(|fresh| owes(fresh))
        })
    }

    /// Looks through a few buckets for some to give up. Returns the earliest time at which one of
    /// those that stay may be, or `now` if there is room or none was seen.
    pub(super) fn make_room(&self, now: u64, guard: &Guard) -> u64 {
        // Relaxed, with no partner: where to look is a hint.
        let mut cursor = Cursor::at(self.hand.load(Ordering::Relaxed));
        let (mut earliest, mut removed) = (u64::MAX, 0);
        for _ in 0..MAKE_ROOM {
            let stale = |key: &K, bucket: &Bucket| {
                let dead = self.kill(key, bucket, now);
                if let Some(ends) = bucket.ends() {
                    earliest = earliest.min(ends);
                }
                dead
            };
            // At once: a `Hash` of the caller's that panics must not lose what is gone already.
            let unlinked = |keys| {
                self.rooms.give_back(keys);
                self.overflow.count_reclaimed(keys);
                removed += keys;
            };
            self.map.sweep_bucket(&mut cursor, stale, unlinked, guard);
        }
        // Relaxed, with no partner: as the load.
        self.hand.store(cursor.position(), Ordering::Relaxed);
        // With none alive among those, the next look may find room.
        if removed > 0 || earliest == u64::MAX { now } else { earliest.max(now) }
    }
}

impl<T, K, S> Sweep for BucketSweep<T>
where
    T: Deref<Target = BucketMap<K, S>>,
    K: Hash + Eq + Send + 'static,
    S: BuildHasher,
{
    fn sweep(&mut self, now: Instant, budget: Budget) -> Swept {
        // Dereferenced once: `T` may answer with other buckets the next time.
        self.pass.step(&*self.buckets, &mut self.worker, now, budget)
    }
}
