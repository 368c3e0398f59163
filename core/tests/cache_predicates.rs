//! Predicates that invalidate many entries of a cache at once.

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use common::fixtures::{self, cache, cache_builder};
use tidegate_core::cache::{Load, Op, PredicateError, Usage};
use tidegate_core::flight::Caller;
use tidegate_core::{Budget, Cache, Domain, Instant, RemovalCause, Sweep};

const NOW: Instant = Instant::from_secs(100);

fn sweep(cache: &Cache<u64, u64, u64>) {
    let mut sweep = cache.sweeper(cache.domain().worker());
    while !sweep.sweep(NOW, Budget::entries(16)).wrapped {}
}

#[test]
fn a_predicate_matches_what_was_there_and_nothing_later() {
    let domain = Domain::new();
    let log = fixtures::Log::default();
    let cache: Cache<u64, u64, u64> = cache_builder(&domain)
        .invalidation_by_predicate(true)
        .time_to_idle(Duration::from_secs(60))
        .listener(log.listener())
        .build()
        .expect("memory");
    let mut worker = domain.worker();
    let guard = worker.quiescent(NOW);
    for key in 0..100 {
        cache.insert(key, key, NOW, guard).expect("room");
    }
    cache.invalidate_entries_if(|_, value| value % 2 == 1, guard).expect("a slot");
    assert_eq!((cache.get(&1, NOW, guard), cache.get(&2, NOW, guard)), (None, Some(&2)));
    assert_eq!(cache.peek(&3, NOW, guard), None);
    assert_eq!((cache.hold(&5, NOW, guard).is_some(), cache.touch(&5, NOW, guard)), (false, false));
    assert_eq!(cache.invalidate(&7, NOW, guard), None, "it was gone");
    assert_eq!(cache.iter(NOW, guard).count(), 50);
    cache.insert(9, 9, NOW, guard).expect("room");
    cache.compute(11, |old| Op::Put(old.map_or(13, |_| 0)), NOW, guard).expect("room");
    assert_eq!((cache.get(&9, NOW, guard), cache.get(&11, NOW, guard)), (Some(&9), Some(&13)));
    assert_eq!(cache.usage().entries, 99, "the rest is left to a sweep");
    log.take();
    sweep(&cache);
    assert_eq!((cache.usage().entries, cache.iter(NOW, guard).count()), (52, 52));
    let removed = log.take();
    assert_eq!(removed.len(), 47);
    assert!(
        removed
            .iter()
            .all(|&(_, value, cause)| { value % 2 == 1 && cause == RemovalCause::Explicit })
    );
}

#[test]
fn a_predicate_is_asked_once_of_what_stays_and_dropped_by_a_full_pass() {
    let (cache, mut worker) = cache::<u64, u64, u64>(|it| it.invalidation_by_predicate(true));
    let guard = worker.quiescent(NOW);
    for key in 0..100 {
        cache.insert(key, key, NOW, guard).expect("room");
    }
    let asked = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&asked);
    let never = move |_: &u64, _: &u64| {
        count.fetch_add(1, Ordering::Relaxed);
        false
    };
    cache.invalidate_entries_if(never, guard).expect("a slot");
    for _ in 0..3 {
        assert!(cache.get(&1, NOW, guard).is_some());
    }
    assert_eq!(asked.load(Ordering::Relaxed), 1, "the answer is kept");
    sweep(&cache);
    assert_eq!(asked.load(Ordering::Relaxed), 100);
    for _ in 0..8 {
        worker.offline(|| ());
        worker.collect(NOW, Budget::UNLIMITED);
    }
    assert_eq!(Arc::strong_count(&asked), 1, "it was dropped");
}

#[test]
fn sixteen_wait_for_a_sweep_and_the_next_is_refused() {
    let (cache, mut worker) = cache::<u64, u64, u64>(|it| it.invalidation_by_predicate(true));
    let guard = worker.quiescent(NOW);
    for key in 0..20 {
        cache.insert(key, key, NOW, guard).expect("room");
    }
    for key in 0..16 {
        cache.invalidate_entries_if(move |_, &value| value == key, guard).expect("a slot");
    }
    let refused = cache.invalidate_entries_if(|_, _| true, guard);
    assert_eq!(refused, Err(PredicateError::TooMany));
    assert_eq!(cache.iter(NOW, guard).count(), 4);
    sweep(&cache);
    cache.invalidate_entries_if(|_, _| true, guard).expect("a slot");
    assert_eq!(cache.iter(NOW, guard).count(), 0);

    let (cache, mut worker) = fixtures::cache::<u64, u64, u64>(|it| it);
    let refused = cache.invalidate_entries_if(|_, _| true, worker.quiescent(NOW));
    assert_eq!(refused, Err(PredicateError::Unsupported));
}

#[test]
fn a_load_that_began_before_is_not_stored() {
    for swept in [false, true] {
        let (cache, mut worker) = cache::<u64, u64, u64>(|it| it.invalidation_by_predicate(true));
        let guard = worker.quiescent(NOW);
        let lead = |key| match cache.load(&key, Caller(key as u32), NOW, guard) {
            Ok(Load::Lead(loading)) => loading,
            other => panic!("{other:?}"),
        };
        let (matched, other) = (lead(1), lead(2));
        cache.invalidate_entries_if(|_, value| *value == 7, guard).expect("a slot");
        let later = lead(3);
        if swept {
            cache.insert(9, 9, NOW, guard).expect("room");
            sweep(&cache);
        }
        assert_eq!(matched.complete(7, NOW, guard), Ok(7), "its waiters get it");
        assert_eq!(other.complete(8, NOW, guard), Ok(8));
        assert_eq!(later.complete(7, NOW, guard), Ok(7));
        assert_eq!(cache.get(&1, NOW, guard), None);
        // Where the predicate was dropped, none can be asked.
        assert_eq!(cache.get(&2, NOW, guard), (!swept).then_some(&8));
        assert_eq!(cache.get(&3, NOW, guard), Some(&7));
    }
}

#[test]
fn what_panics_where_that_is_contained_matches() {
    let domain = Domain::builder().contain(|call| {
        _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(call));
    });
    let domain = domain.build();
    let cache: Cache<u64, u64, u64> =
        cache_builder(&domain).invalidation_by_predicate(true).build().expect("memory");
    let mut worker = domain.worker();
    let guard = worker.quiescent(NOW);
    cache.insert(1, 1, NOW, guard).expect("room");
    cache.invalidate_entries_if(|_, _| panic!("on purpose"), guard).expect("a slot");
    assert_eq!(cache.get(&1, NOW, guard), None);
    sweep(&cache);
    assert_eq!(cache.usage(), Usage::default());
}

/// Threads write, read and sweep while others invalidate: what was written before is gone, what was written after stays.
#[test]
fn writers_readers_and_sweeps_agree() {
    const ROUNDS: u64 = if cfg!(miri) { 5 } else { 300 };
    let domain = Domain::new();
    let cache: Cache<u64, u64, u64> =
        cache_builder(&domain).invalidation_by_predicate(true).build().expect("memory");
    std::thread::scope(|scope| {
        for thread in 0..3 {
            let (cache, domain) = (&cache, &domain);
            scope.spawn(move || {
                let mut worker = domain.worker();
                for round in 0..ROUNDS {
                    let guard = worker.quiescent(NOW);
                    let keys = || (0..20).map(|key| key * 3 + thread);
                    for key in keys() {
                        cache.insert(key, round * 3 + thread, NOW, guard).expect("room");
                    }
                    let mine = round * 3 + thread;
                    let doomed = move |_: &u64, value: &u64| *value == mine;
                    while cache.invalidate_entries_if(doomed, guard).is_err() {
                        sweep(cache);
                    }
                    if round % 3 == 0 {
                        sweep(cache);
                    }
                    for key in keys() {
                        assert_eq!(cache.get(&key, NOW, guard), None, "{round}");
                        cache.insert(key, mine, NOW, guard).expect("room");
                    }
                    if round % 2 == 0 {
                        sweep(cache);
                    }
                    for key in keys() {
                        assert_eq!(cache.get(&key, NOW, guard), Some(&mine), "{round}");
                    }
                }
            });
        }
    });
}

/// In a domain that does not contain panics, one leaves the load that asks. What it was about to store
/// does not stay behind, hidden and counted.
#[test]
fn a_panic_leaves_no_loaded_value_behind() {
    let (cache, mut worker) = cache::<u64, u64, u64>(|it| it.invalidation_by_predicate(true));
    let guard = worker.quiescent(NOW);
    let Ok(Load::Lead(loading)) = cache.load(&1, Caller(1), NOW, guard) else {
        panic!("nothing is there, and nothing is loaded");
    };
    cache.invalidate_entries_if(|_, _| panic!("asked"), guard).expect("a slot");
    let complete = std::panic::AssertUnwindSafe(|| loading.complete(1, NOW, guard));
    assert!(std::panic::catch_unwind(complete).is_err(), "the panic leaves the load");
    assert_eq!((cache.usage(), cache.loading()), (Usage::default(), 0));
}
