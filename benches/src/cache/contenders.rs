//! What every cache can do, each in its own way.
//!
//! All of them place keys by the same hasher, [`SeededState`] of one seed: what is compared is the
//! structures, not the hashers they come with.

use std::time::Duration;

use mini_moka::sync::ConcurrentCacheExt;
use tidegate::lockfree::Cache;
use tidegate::{Budget, Clock, Guard, Instant, MonotonicClock, SeededState, Worker};

pub(super) fn hasher() -> SeededState {
    SeededState::new(0x5eed)
}

/// Longer than any run.
const TTL: Duration = Duration::from_secs(3_600);

/// A cache from numbers to numbers that threads share.
pub(super) trait Contender: Sync {
    /// What a thread has for as long as it uses the cache.
    type Hand;
    /// What a thread has for one burst.
    type Guard<'g>
    where
        Self: 'g;

    /// What it is called in a report.
    const NAME: &'static str;

    /// For so many entries at most, which live longer than any run where they can be told to live.
    fn of(entries: usize) -> Self;
    fn hand(&self) -> Self::Hand;
    fn guard<'g>(&'g self, hand: &'g mut Self::Hand) -> Self::Guard<'g>;
    /// A reading get, as in use.
    fn get(&self, key: u64, guard: &Self::Guard<'_>) -> Option<u64>;
    fn insert(&self, key: u64, value: u64, guard: &Self::Guard<'_>);

    /// One step of freeing what was removed, where that is not done by whoever removes.
    fn collect(&self, _hand: &mut Self::Hand, _budget: Budget) {}

    /// Does whatever it has put off.
    fn settle(&self) {}
}

/// Ours.
pub(super) type Ours = Cache<u64, u64>;

/// One worker that reads, one that collects, and a clock that is read once a burst.
pub(super) struct Hand {
    reader: Worker,
    collector: Worker,
    clock: MonotonicClock,
    now: Instant,
}

pub(super) struct Burst<'g> {
    guard: &'g Guard,
    now: Instant,
}

impl Contender for Ours {
    type Hand = Hand;
    type Guard<'g> = Burst<'g>;

    const NAME: &'static str = "tidegate";

    fn of(entries: usize) -> Self {
        let builder = Cache::builder(tidegate::domain(), hasher());
        let builder = builder.max_entries(entries as u64).time_to_live(TTL);
        builder.build().expect("memory")
    }

    fn hand(&self) -> Hand {
        let (reader, collector) = (self.domain().worker(), self.domain().worker());
        Hand { reader, collector, clock: MonotonicClock::new(), now: Instant::ORIGIN }
    }

    #[inline]
    fn guard<'g>(&'g self, hand: &'g mut Hand) -> Burst<'g> {
        hand.now = hand.clock.now();
        Burst { guard: hand.reader.quiescent(hand.now), now: hand.now }
    }

    #[inline]
    fn get(&self, key: u64, burst: &Burst<'_>) -> Option<u64> {
        Cache::get(self, &key, burst.now, burst.guard).copied()
    }

    #[inline]
    fn insert(&self, key: u64, value: u64, burst: &Burst<'_>) {
        Cache::insert(self, key, value, burst.now, burst.guard).expect("room");
    }

    #[inline]
    fn collect(&self, hand: &mut Hand, budget: Budget) {
        hand.collector.collect(hand.now, budget);
    }

    fn settle(&self) {
        let (mut reader, now) = (self.domain().worker(), Instant::ORIGIN);
        while self.domain().gauges(now).garbage() > 0 {
            reader.quiescent(now);
            reader.collect(now, Budget::UNLIMITED);
        }
    }
}

pub(super) type Moka = moka::sync::Cache<u64, u64, SeededState>;

impl Contender for Moka {
    type Hand = ();
    type Guard<'g> = ();

    const NAME: &'static str = "moka";

    fn of(entries: usize) -> Self {
        let builder = moka::sync::Cache::builder().max_capacity(entries as u64);
        builder.time_to_live(TTL).build_with_hasher(hasher())
    }

    fn hand(&self) {}

    fn guard<'g>(&'g self, _hand: &'g mut ()) {}

    #[inline]
    fn get(&self, key: u64, _guard: &()) -> Option<u64> {
        moka::sync::Cache::get(self, &key)
    }

    #[inline]
    fn insert(&self, key: u64, value: u64, _guard: &()) {
        moka::sync::Cache::insert(self, key, value);
    }

    fn settle(&self) {
        self.run_pending_tasks();
    }
}

pub(super) type MiniMoka = mini_moka::sync::Cache<u64, u64, SeededState>;

impl Contender for MiniMoka {
    type Hand = ();
    type Guard<'g> = ();

    const NAME: &'static str = "mini-moka";

    fn of(entries: usize) -> Self {
        let builder = mini_moka::sync::Cache::builder().max_capacity(entries as u64);
        builder.time_to_live(TTL).build_with_hasher(hasher())
    }

    fn hand(&self) {}

    fn guard<'g>(&'g self, _hand: &'g mut ()) {}

    #[inline]
    fn get(&self, key: u64, _guard: &()) -> Option<u64> {
        mini_moka::sync::Cache::get(self, &key)
    }

    #[inline]
    fn insert(&self, key: u64, value: u64, _guard: &()) {
        mini_moka::sync::Cache::insert(self, key, value);
    }

    fn settle(&self) {
        self.sync();
    }
}

/// Has no time to live.
pub(super) type QuickCache =
    quick_cache::sync::Cache<u64, u64, quick_cache::UnitWeighter, SeededState>;

impl Contender for QuickCache {
    type Hand = ();
    type Guard<'g> = ();

    const NAME: &'static str = "quick_cache";

    fn of(entries: usize) -> Self {
        let lifecycle = quick_cache::sync::DefaultLifecycle::default();
        let weighter = quick_cache::UnitWeighter;
        Self::with(entries, entries as u64, weighter, hasher(), lifecycle)
    }

    fn hand(&self) {}

    fn guard<'g>(&'g self, _hand: &'g mut ()) {}

    #[inline]
    fn get(&self, key: u64, _guard: &()) -> Option<u64> {
        quick_cache::sync::Cache::get(self, &key)
    }

    #[inline]
    fn insert(&self, key: u64, value: u64, _guard: &()) {
        quick_cache::sync::Cache::insert(self, key, value);
    }
}

/// Has no time to live, and evicts from the one bucket that is full.
pub(super) type SccCache = scc::HashCache<u64, u64, SeededState>;

impl Contender for SccCache {
    type Hand = ();
    type Guard<'g> = ();

    const NAME: &'static str = "scc::HashCache";

    fn of(entries: usize) -> Self {
        Self::with_capacity_and_hasher(0, entries, hasher())
    }

    fn hand(&self) {}

    fn guard<'g>(&'g self, _hand: &'g mut ()) {}

    #[inline]
    fn get(&self, key: u64, _guard: &()) -> Option<u64> {
        self.get_sync(&key).map(|entry| *entry.get())
    }

    #[inline]
    fn insert(&self, key: u64, value: u64, _guard: &()) {
        _ = self.put_sync(key, value);
    }

    fn settle(&self) {
        for _ in 0..4_096 {
            drop(scc::Guard::new());
        }
    }
}
