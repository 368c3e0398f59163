//! Pins of a cache: owned ones, which leave their function, their thread and their cache; and what panics.

mod common;

use std::sync::Arc;

use common::fixtures;
use common::fuse::{Coarse, Key, burn, lit};
use common::memory::free_all;
use tidegate_core::cache::{HeldEntry, OwnedHeldEntry};
use tidegate_core::{Budget, Cache, Domain, Instant, Tiers, Worker};

const NOW: Instant = Instant::from_secs(1_000);

fn assert_moves<T: Send + Sync + 'static>(it: T) -> T {
    it
}

fn cache<V: Send + Sync + 'static>(entries: u64) -> (Cache<&'static str, V>, Worker) {
    fixtures::cache(|it| it.max_entries(entries))
}

/// An owned pin is of its entry, whatever becomes of the key, and counts until it is dropped, wherever that is.
#[test]
fn an_owned_pin_is_of_its_entry() {
    let ((cache, mut worker), value) = (cache(2), Arc::new(1));
    let guard = worker.quiescent(NOW);
    cache.insert("a", Arc::clone(&value), NOW, guard).expect("room");
    let pin = assert_moves(cache.hold("a", NOW, guard).expect("there").into_owned());
    let again = cache.hold("a", NOW, guard).expect("there").into_owned();
    let evicted = cache.evict_bytes(u64::MAX, Tiers::ALL, NOW, guard);
    assert_eq!((evicted.entries, cache.usage().entries), (0, 1), "pinned");
    cache.insert("a", Arc::new(2), NOW, guard).expect("room");
    assert_eq!((**pin, *pin.key(), cache.usage().entries), (1, "a", 2));
    std::thread::spawn(move || drop(again)).join().expect("no panic");
    assert_eq!(cache.usage().entries, 2, "one is left");
    let back = std::thread::spawn(move || (**pin, pin)).join().expect("no panic");
    assert_eq!((back.0, cache.usage().entries), (1, 2));
    drop(back);
    assert_eq!(cache.usage().entries, 1);
    free_all(&mut worker, NOW);
    assert_eq!(Arc::strong_count(&value), 1, "freed once");
}

/// An owned pin outlives its cache, without keeping that.
#[test]
fn an_owned_hold_outlives_its_cache() {
    let ((cache, mut worker), values) = (cache(4), [Arc::new(1), Arc::new(2)]);
    let guard = worker.quiescent(NOW);
    for (key, value) in ["a", "b"].into_iter().zip(&values) {
        cache.insert(key, Arc::clone(value), NOW, guard).expect("room");
    }
    let pin: OwnedHeldEntry<_, _> = cache.hold("a", NOW, guard).expect("there").into_owned();
    drop(cache);
    let count = || values.each_ref().map(Arc::strong_count);
    assert_eq!((**pin, count()), (1, [2, 1]), "only the pinned one is kept");
    std::thread::spawn(move || drop(pin)).join().expect("no panic");
    assert_eq!(count(), [1, 1]);
}

/// An owned pin keeps its own entry, and nothing that others have removed.
#[test]
fn an_owned_pin_holds_no_garbage_back() {
    let (cache, mut worker) = cache(4);
    cache.insert("a", 1, NOW, worker.quiescent(NOW)).expect("room");
    let pin = cache.hold("a", NOW, worker.quiescent(NOW)).expect("there").into_owned();
    for round in 0..1_000 {
        cache.insert("b", round, NOW, worker.quiescent(NOW)).expect("room");
    }
    cache.invalidate("a", NOW, worker.quiescent(NOW));
    worker.offline(|| ());
    for _ in 0..100 {
        worker.collect(NOW, Budget::UNLIMITED);
    }
    assert_eq!((worker.domain().gauges(NOW).garbage(), *pin), (0, 1));
}

/// Whatever panics, no pin is left behind, and no room is lost.
#[test]
fn no_pin_is_left_behind_wherever_other_peoples_code_panics() {
    #[derive(Debug)]
    struct Value;
    impl Drop for Value {
        fn drop(&mut self) {
            burn();
        }
    }

    for fuse in 0..40 {
        let domain = Domain::new();
        let cache: Cache<Key, Value, std::convert::Infallible, Coarse> =
            Cache::builder(&domain, Coarse).max_entries(2).build().expect("memory");
        let mut worker = domain.worker();
        let guard = worker.quiescent(NOW);
        for key in [1, 2] {
            cache.insert(Key(key), Value, NOW, guard).expect("room");
        }
        lit(fuse, || {
            let first = cache.hold(&Key(1), NOW, guard);
            let second = cache.hold(&Key(2), NOW, guard);
            cache.invalidate(&Key(1), NOW, guard);
            drop(first);
            cache.hold(&Key(2), NOW, guard).map(HeldEntry::into_owned);
            drop(second);
        });
        // Nothing is pinned any more, so newcomers find room.
        for key in 3..10 {
            assert!(cache.insert(Key(key), Value, NOW, guard).is_ok(), "at call {fuse}");
        }
        assert_eq!(cache.usage().entries, 2, "at call {fuse}");
    }
}
