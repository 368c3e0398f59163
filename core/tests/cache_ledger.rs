//! Eight threads at once: the bounds hold at every instant, and at rest everything adds up.
//!
//! `TIDEGATE_SAMPLES=100000000 cargo test --release -p tidegate-core --test cache_ledger` looks at the
//! usage so many times; else a million times.

mod common;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use common::memory::free_all;
use tidegate_core::cache::Insert;
use tidegate_core::{Budget, Cache, Clock, Domain, ManualClock, SeededState, Sweep, Tier, Tiers};

const ENTRIES: u64 = 500;
const BYTES: u64 = 20_000;
/// Together they are heavier than may be, and more.
const KEYS: u64 = 2_000;
const THREADS: u64 = 8;

fn samples() -> u64 {
    let asked = std::env::var("TIDEGATE_SAMPLES").ok().and_then(|text| text.parse().ok());
    asked.unwrap_or(1_000_000)
}

/// What each value is, so that its drop is noticed.
struct Value<'a> {
    alive: &'a AtomicU64,
    weight: u64,
}

impl Drop for Value<'_> {
    fn drop(&mut self) {
        self.alive.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Says that it is over when a thread ends, so that no other waits for one that panicked.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// S10, S11, E7, E12, I10, S14: sizes within the bounds whenever anybody looks; each value is dropped
/// once; each removal told once, and counted once; what is reserved is what is there.
#[test]
fn eight_threads_stay_within_the_bounds_and_lose_nothing() {
    static ALIVE: AtomicU64 = AtomicU64::new(0);
    static MADE: AtomicU64 = AtomicU64::new(0);
    static TOLD: AtomicU64 = AtomicU64::new(0);
    let domain = Domain::new();
    let cache: Cache<u64, Value<'static>> = Cache::builder(&domain, SeededState::new(7))
        .max_entries(ENTRIES)
        .max_bytes(BYTES)
        .weigher(|_, value: &Value<'_>| value.weight)
        .time_to_live(Duration::from_nanos(1_000))
        .listener(|_, _, _| _ = TOLD.fetch_add(1, Ordering::Relaxed))
        .build()
        .expect("memory");
    let clock = ManualClock::new();
    let (looked, done) = (AtomicU64::new(0), AtomicBool::new(false));
    let samples = samples();
    std::thread::scope(|scope| {
        let (cache, clock, looked, done, domain) = (&cache, &clock, &looked, &done, &domain);
        for thread in 0..THREADS {
            scope.spawn(move || {
                let _over = Over(done);
                let mut random = fastrand::Rng::with_seed(thread);
                let (mut worker, mut collector) = (domain.worker(), domain.worker());
                let mut pins = Vec::new();
                while !done.load(Ordering::Relaxed) {
                    clock.advance(Duration::from_nanos(1));
                    let now = clock.now();
                    let guard = worker.quiescent(now);
                    let (key, tier) = (random.u64(..KEYS), Tier::new(random.u8(..3)));
                    match random.u8(..16) {
                        0..9 => {
                            let weight = random.u64(1..200);
                            ALIVE.fetch_add(1, Ordering::Relaxed);
                            MADE.fetch_add(1, Ordering::Relaxed);
                            let value = Value { alive: &ALIVE, weight };
                            let insert = Insert::new().tier(tier);
                            _ = cache.insert_with(key, value, insert, now, guard).map(|_| ());
                        }
                        9..12 => _ = cache.get(&key, now, guard).map(|value| value.weight),
                        12 => _ = cache.invalidate(&key, now, guard).map(|_| ()),
                        13 => {
                            let tiers = Tiers::of(&[tier]);
                            let evicted = cache.evict_bytes(random.u64(..300), tiers, now, guard);
                            assert!(evicted.bytes <= 300 + 200);
                        }
                        14 if pins.len() < 8 => pins.extend(cache.hold(&key, now, guard)),
                        _ => {
                            if !pins.is_empty() {
                                pins.swap_remove(random.usize(..pins.len()));
                            }
                        }
                    }
                    for _ in 0..16 {
                        let usage = cache.usage();
                        assert!(usage.entries <= ENTRIES && usage.bytes <= BYTES, "{usage:?}");
                    }
                    if looked.fetch_add(16, Ordering::Relaxed) >= samples {
                        done.store(true, Ordering::Relaxed);
                    }
                    collector.collect(now, Budget::entries(16));
                }
            });
        }
        let mut sweep = cache.sweeper(domain.worker());
        while !done.load(Ordering::Relaxed) {
            sweep.sweep(clock.now(), Budget::entries(64));
            std::thread::yield_now();
        }
    });

    let mut worker = domain.worker();
    let now = clock.now();
    let guard = worker.quiescent(now);
    let mut sweep = cache.sweeper(domain.worker());
    while !sweep.sweep(now, Budget::entries(256)).wrapped {}
    let there = cache.iter(now, guard).map(|(_, value)| value.weight);
    let (entries, bytes) = there.fold((0, 0), |sum, weight| (sum.0 + 1, sum.1 + weight));
    let usage = cache.usage();
    assert_eq!((usage.entries, usage.bytes), (entries, bytes), "what is reserved is there");
    let of_tiers = (0..3).map(|tier| cache.tier_usage(Tier::new(tier)));
    let sum = of_tiers.fold((0, 0), |sum, tier| (sum.0 + tier.entries, sum.1 + tier.bytes));
    assert_eq!(sum, (entries, bytes), "and in its tier");
    let counters = cache.counters();
    let removed = counters.expired
        + counters.invalidated
        + counters.replaced
        + counters.evicted
        + counters.shed;
    assert_eq!(counters.inserted, removed + entries);
    assert_eq!(removed, TOLD.load(Ordering::Relaxed));
    assert_eq!(counters.inserted + counters.refused, MADE.load(Ordering::Relaxed));
    // Whoever evicts finds everything there is.
    assert_eq!(cache.evict_bytes(u64::MAX, Tiers::ALL, now, guard).entries, entries);
    drop(sweep);
    drop(cache);
    free_all(&mut worker, now);
    drop((worker, domain));
    assert_eq!(ALIVE.load(Ordering::Relaxed), 0, "each value is dropped once");
    println!("{} looks, {counters:?}", looked.load(Ordering::Relaxed));
}
