//! Sweeping a map.

use core::hash::{BuildHasher, Hash};
use core::ops::Deref;
use core::ptr::NonNull;

use super::node::{Entry, Item};
use super::pass::Pass;
use super::scan::Cursor;
use super::table::Table;
use super::word::Word;
use super::{Map, MapError};
use crate::reclaim::{Guard, Worker};
use crate::sweep::{Budget, Sweep, Swept};
use crate::time::Instant;

/// A pass over a [`Map`] that removes what has gone stale and frees what was removed, so many
/// entries at a time.
///
/// `T` is whatever derefs to the map: a reference, an `Arc` for a thread of its own. It owns a
/// worker and is pinned within a step only. See [`Map::sweeper`].
#[derive(Debug)]
pub struct MapSweep<T, F> {
    map: T,
    worker: Worker,
    pass: MapPass<F>,
}

impl<T, F> MapSweep<T, F> {
    /// Creates a sweep that begins at the map's first bucket, with a worker of the map's domain.
    ///
    /// # Panics
    ///
    /// Its first step, if the worker is of another domain.
    pub fn new(map: T, worker: Worker, stale: F) -> Self {
        Self { map, worker: worker.unpin(), pass: MapPass::new(stale) }
    }
}

/// The state of a [`MapSweep`] apart from its map and its worker, for a sweep that keeps neither between its
/// steps.
///
/// ```
/// use tidegate_core::map::MapPass;
/// use tidegate_core::{Budget, Domain, Instant, Map, SeededState};
///
/// let domain = Domain::new();
/// let map = Map::with(&domain, SeededState::new(0x5eed));
/// let now = Instant::from_secs(1);
/// map.insert("old", 1, domain.worker().quiescent(now))?;
///
/// let mut pass = MapPass::new(|_: &&str, value: &i32, _| *value < 2);
/// let step = pass.step(&map, &mut domain.worker(), now, Budget::entries(256));
/// assert_eq!((step.removed, step.wrapped), (1, true));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct MapPass<F> {
    pass: Pass,
    stale: F,
    cursor: Cursor,
}

impl<F> MapPass<F> {
    /// Returns a pass that begins at the first bucket of a map, and removes the entries that are `stale`:
    /// see [`Map::sweeper`].
    pub fn new(stale: F) -> Self {
        Self { pass: Pass::new(), stale, cursor: Cursor::START }
    }

    /// Sweeps a part of the map, within the budget, and returns what was done. The worker is not pinned
    /// after the step, and frees nothing but by the budget meanwhile. Each step may use another worker.
    ///
    /// # Panics
    ///
    /// If the worker is of another domain.
    pub fn step<K, V, S>(
        &mut self,
        map: &Map<K, V, S>,
        worker: &mut Worker,
        now: Instant,
        budget: Budget,
    ) -> Swept
    where
        F: FnMut(&K, &V, Instant) -> bool,
        K: Hash + Eq + Send + 'static,
        V: Send + 'static,
        S: BuildHasher,
    {
        let Self { pass, stale, cursor } = self;
        map.admit_worker(worker);
        pass.step(worker, now, budget, |worker, left| {
            step(map, worker, cursor, stale, |_| (), now, left)
        })
    }
}

impl<K, V, S> Map<K, V, S>
where
    K: Hash + Eq + Send + 'static,
    V: Send + 'static,
    S: BuildHasher,
{
    /// Returns a sweep over the map, for a [`Sweeper`](crate::Sweeper) or a loop of your own.
    ///
    /// `stale` is asked about every entry it visits, and must answer as the condition of
    /// [`remove_if`](Self::remove_if): of a value that is changed in place, by killing it.
    ///
    /// A step spends up to half its budget (all, if that is 1) on destructors of what was removed
    /// earlier, by anybody in the domain, and the rest on entries and empty buckets; each bucket is
    /// replaced by one exchange, and if somebody else is faster, left to the next pass. Every entry that is there
    /// throughout a pass is visited in it, however the table grows and shrinks; but a bucket that must
    /// be migrated first, and cannot for want of memory or because the domain is full, is left to the
    /// next pass. A step also moves on what is being migrated, and has a table that is too large shrink
    /// by half; to clear 64 buckets of the next one counts as an entry. To free a table that was replaced
    /// counts as one destructor, whatever the allocator makes of it: milliseconds for 32 MB.
    ///
    /// ```
    /// use core::time::Duration;
    /// use tidegate_core::{Budget, Domain, Instant, Map, SeededState, Sweep};
    ///
    /// let domain = Domain::new();
    /// let sessions = Map::with(&domain, SeededState::new(0x5eed));
    /// let mut worker = domain.worker();
    /// let start = Instant::from_secs(1);
    /// sessions.insert("alice", start + Duration::from_secs(60), worker.quiescent(start))?;
    ///
    /// let mut sweep = sessions.sweeper(domain.worker(), |_, &ends: &Instant, now| ends <= now);
    /// let step = sweep.sweep(start + Duration::from_secs(60), Budget::entries(256));
    /// assert_eq!((step.removed, sessions.len()), (1, 0));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn sweeper<F>(&self, worker: Worker, stale: F) -> MapSweep<&Self, F>
    where
        F: FnMut(&K, &V, Instant) -> bool,
    {
        MapSweep::new(self, worker, stale)
    }
}

impl<K: Send + 'static, V: Send + 'static, S> Map<K, V, S> {
    /// Removes what is stale from one bucket, and moves the cursor on. Returns how many entries were
    /// looked at. `unlinked` is called with the number of entries whenever some were taken out: before
    /// `stale`, which may panic, is asked about the next.
    pub(crate) fn sweep_bucket(
        &self,
        cursor: &mut Cursor,
        mut stale: impl FnMut(&K, &V) -> bool,
        mut unlinked: impl FnMut(usize),
        guard: &Guard,
    ) -> usize {
        let mut visited = 0;
        loop {
            let table = self.table(guard);
            self.help(table, guard);
            let bucket = cursor.bucket(table.mask());
            let word = match self.settle(table, bucket, guard) {
                Ok(word) if word.is_frozen() => continue,
                Ok(word) => word,
                // No memory to move the bucket: the next pass comes by again.
                Err(_) => Word::EMPTY,
            };
            let mut single = None;
            // SAFETY: read under the guard.
            let items = unsafe { word.items(&mut single) };
            visited += items.len().max(1);
            // Up to 64 at a time, in the one block that a bucket mostly is.
            let found = items.chunks(64).find_map(|some| {
                let mut doomed = 0_u64;
                for (index, item) in some.iter().enumerate() {
                    // SAFETY: as above.
                    let entry = unsafe { item.entry.as_ref() };
                    entry.read();
                    doomed |= u64::from(stale(&entry.key, &entry.value)) << index;
                }
                (doomed != 0).then_some((some, doomed))
            });
            let gone = found.map_or(0, |(some, doomed)| {
                self.remove_doomed(table, bucket, word, some, doomed, guard)
            });
            if gone > 0 {
                unlinked(gone);
            }
            // Merged by a shrink, there may be more: once again, without those.
            if gone == 0 || items.len() <= 64 {
                *cursor = cursor.next(table.mask());
                return visited;
            }
        }
    }

    /// Removes those of a bucket's items whose bits are set; of a full domain, one of them at least
    /// if there is room for that. Returns how many were removed.
    fn remove_doomed(
        &self,
        table: Table<'_, K, V>,
        bucket: usize,
        word: Word<K, V>,
        some: &[Item<K, V>],
        doomed: u64,
        guard: &Guard,
    ) -> usize {
        let first = doomed & doomed.wrapping_neg();
        let tries = if doomed == first { 1 } else { 2 };
        for doomed in [doomed, first].into_iter().take(tries) {
            let leaves = |held: NonNull<Entry<K, V>>| {
                let index = some.iter().position(|item| item.entry == held);
                index.is_some_and(|index| doomed & (1 << index) != 0)
            };
            match self.replace_word(table, bucket, word, leaves, None, guard) {
                Ok(true) => {
                    for item in some.iter().filter(|item| leaves(item.entry)) {
                        self.count.sub(item.hash);
                    }
                    return doomed.count_ones() as usize;
                }
                Err(MapError::Backpressure) => {}
                // Somebody was faster, or there is no memory: the next pass comes by again.
                Ok(false) | Err(_) => return 0,
            }
        }
        0
    }
}

impl<T, F, K, V, S> Sweep for MapSweep<T, F>
where
    T: Deref<Target = Map<K, V, S>>,
    F: FnMut(&K, &V, Instant) -> bool,
    K: Hash + Eq + Send + 'static,
    V: Send + 'static,
    S: BuildHasher,
{
    fn sweep(&mut self, now: Instant, budget: Budget) -> Swept {
        // Dereferenced once: `T` may answer with another map the next time.
        self.pass.step(&*self.map, &mut self.worker, now, budget)
    }
}

/// So many buckets of the next table are cleared in the time that it takes to look at an entry.
const CLEARED: usize = 64;

/// After so many removals a sweep looks whether the table still fits.
const CHANGES: usize = 64;

/// One step of a sweep. `unlinked` is told at once how many entries were taken out.
pub(crate) fn step<K: Send + 'static, V: Send + 'static, S>(
    map: &Map<K, V, S>,
    worker: &mut Worker,
    cursor: &mut Cursor,
    mut stale: impl FnMut(&K, &V, Instant) -> bool,
    mut unlinked: impl FnMut(usize),
    now: Instant,
    budget: Budget,
) -> Swept {
    let freed = worker.collect(now, Budget::entries(budget.get().div_ceil(2)));
    let mut done = Swept { freed, ..Swept::default() };
    let pinned = worker.pin();
    let mut left = budget.less(freed);
    // Once a step at least: a map that nobody changes any more would stay as large as it was.
    let mut changes = CHANGES;
    while left.get() > 0 {
        if changes >= CHANGES {
            let cleared = map.refit(left.get().saturating_mul(CLEARED), &pinned).div_ceil(CLEARED);
            done.visited += cleared;
            left = left.less(cleared);
            if cleared > 0 {
                continue;
            }
            changes = 0;
        }
        let mut removed = 0;
        let gone = |entries| {
            unlinked(entries);
            removed += entries;
        };
        let stale = |key: &K, value: &V| stale(key, value, now);
        let visited = map.sweep_bucket(cursor, stale, gone, &pinned);
        changes += removed;
        left = left.less(visited);
        done.visited += visited;
        done.removed += removed;
        if *cursor == Cursor::START {
            done.wrapped = true;
            break;
        }
    }
    done
}
