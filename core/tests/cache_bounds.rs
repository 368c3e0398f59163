//! Bounds of a cache that change while it is in use.

mod common;

use std::time::Duration;

use common::fixtures::cache;
use tidegate_core::cache::{Insert, Usage};
use tidegate_core::{Budget, CacheError, Instant, Sweep};

const NOW: Instant = Instant::from_secs(100);

#[test]
fn insertions_evict_a_few_each_and_none_is_refused() {
    let (cache, mut worker) = cache::<u64, u64, u64>(|it| it.max_entries(1_000));
    let guard = worker.quiescent(NOW);
    for key in 0..1_000 {
        cache.insert(key, key, NOW, guard).expect("room");
    }
    cache.set_max_entries(100);
    assert_eq!((cache.bounds().entries, cache.usage().entries), (100, 1_000), "nothing at once");
    let mut before = 1_000;
    let mut inserts = 0;
    while cache.excess() != Usage::default() {
        let key = 1_000 + inserts % 300;
        cache.insert(key, key, NOW, guard).expect("not refused");
        let entries = cache.usage().entries;
        assert!((1..=5).contains(&(before - entries)), "{before} to {entries}");
        (before, inserts) = (entries, inserts + 1);
    }
    assert!((180..=225).contains(&inserts), "{inserts}");
    cache.insert(5_000, 0, NOW, guard).expect("room");
    assert_eq!(cache.usage().entries, 100);
    cache.set_max_entries(101);
    cache.insert(5_001, 0, NOW, guard).expect("room");
    assert_eq!((cache.usage().entries, cache.contains_key(&5_000, NOW, guard)), (101, true));
}

#[test]
fn a_replacement_in_what_is_too_large_evicts_others_too() {
    let (cache, mut worker) = cache::<u64, u64, u64>(|it| it.max_entries(100));
    let guard = worker.quiescent(NOW);
    for key in 0..100 {
        cache.insert(key, key, NOW, guard).expect("room");
    }
    cache.set_max_entries(10);
    while cache.excess() != Usage::default() {
        cache.insert(7, 7, NOW, guard).expect("not refused");
    }
    assert_eq!((cache.usage().entries, cache.get(&7, NOW, guard)), (10, Some(&7)));
}

#[test]
fn a_sweep_evicts_within_its_budget_until_all_is_within_the_bounds() {
    let (cache, mut worker) =
        cache::<u64, u64, u64>(|it| it.max_bytes(10_000).weigher(|_, &bytes| bytes));
    let guard = worker.quiescent(NOW);
    for key in 0..1_000 {
        cache.insert(key, 10, NOW, guard).expect("room");
    }
    cache.set_max_bytes(2_000);
    assert_eq!(cache.excess(), Usage { entries: 0, bytes: 8_000 });
    let refused = cache.insert(1, 2_001, NOW, guard).expect_err("heavier than all there may be");
    assert_eq!(refused.error, CacheError::TooHeavy);
    let mut sweep = cache.sweeper(cache.domain().worker());
    loop {
        let before = cache.usage().entries;
        let step = sweep.sweep(NOW, Budget::entries(16));
        let evicted = before - cache.usage().entries;
        assert!(evicted <= 8 && step.removed as u64 == evicted, "{step:?}");
        assert!(step.visited + step.freed <= 20, "a bucket is visited whole: {step:?}");
        if step.wrapped {
            break;
        }
    }
    assert_eq!((cache.usage().bytes, cache.excess()), (2_000, Usage::default()));
}

#[test]
fn what_is_held_stays_and_a_pass_still_ends() {
    let (cache, mut worker) = cache::<u64, u64, u64>(|it| it.max_entries(3));
    let guard = worker.quiescent(NOW);
    for key in 0..3 {
        cache.insert(key, key, NOW, guard).expect("room");
    }
    let held: Vec<_> = (0..3).filter_map(|key| cache.hold(&key, NOW, guard)).collect();
    cache.set_max_entries(1);
    let mut sweep = cache.sweeper(cache.domain().worker());
    while !sweep.sweep(NOW, Budget::entries(4)).wrapped {}
    assert_eq!(cache.excess().entries, 2);
    drop(held);
    while !sweep.sweep(NOW, Budget::entries(4)).wrapped {}
    assert_eq!(cache.usage().entries, 1);
}

/// An eviction may find an expired entry where it looks for one to compare with another.
#[test]
fn an_insertion_evicts_no_more_than_it_needs() {
    let (cache, mut worker) = cache::<u64, u64, u64>(|it| it.max_entries(100));
    let mut random = 1_u64;
    for turn in 0..20_000 {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963);
        let part = random >> 48;
        let key = (((part * part) >> 16) * part * 400) >> 32;
        let now = Instant::from_nanos(1_000 + turn);
        let guard = worker.quiescent(now);
        if cache.get(&key, now, guard).is_some() {
            continue;
        }
        let was_full = cache.usage().entries == 100;
        let ttl = Duration::from_nanos(if key.is_multiple_of(3) { 500 } else { 1 << 40 });
        cache.insert_with(key, key, Insert::new().time_to_live(ttl), now, guard).expect("room");
        assert!(!was_full || cache.usage().entries == 100, "turn {turn}");
    }
}
