//! Room that is asked for before the entries come.

use std::sync::Barrier;

use tidegate_core::{Budget, Domain, Instant, Map, MapError, SeededState, Sweep};

const NOW: Instant = Instant::from_secs(1);

/// The table that a capacity asks for is there from the beginning, has room for that many entries,
/// and stays when they are gone.
#[test]
fn capacity_is_kept() {
    let domain = Domain::new();
    let mut worker = domain.worker();
    for capacity in [0, 1, 1_000, 50_000] {
        let map = Map::<u64, u64>::with_capacity(&domain, SeededState::new(1), capacity as usize);
        let first = map.buckets(worker.quiescent(NOW));
        assert!(first / 8 * 3 >= capacity as usize || first / 4 * 3 >= capacity as usize);
        (0..capacity).for_each(|key| _ = map.insert(key, key, worker.quiescent(NOW)).unwrap());
        assert_eq!(map.buckets(worker.quiescent(NOW)), first, "it did not grow");
        (0..capacity).for_each(|key| _ = map.remove(&key, worker.quiescent(NOW)).unwrap());
        let mut sweep = map.sweeper(domain.worker(), |_, _, _| false);
        while !sweep.sweep(NOW, Budget::entries(1_000)).wrapped {}
        assert_eq!(map.buckets(worker.quiescent(NOW)), first, "it did not shrink");
    }
    // No table is large enough, and none is allocated.
    let map = Map::<u64, u64>::try_with_capacity(&domain, SeededState::new(1), usize::MAX);
    assert_eq!(map.err(), Some(MapError::OutOfMemory));
}

/// Several threads reserve while others change the map: the table is large enough then, and nothing
/// is lost.
#[test]
fn reserve_while_others_change_the_map() {
    const EACH: u64 = 2_000;
    let domain = Domain::new();
    let map = Map::<u64, u64>::with(&domain, SeededState::new(1));
    let started = Barrier::new(4);
    std::thread::scope(|scope| {
        for thread in 0..2 {
            let (map, started) = (&map, &started);
            scope.spawn(move || {
                let mut worker = map.domain().worker();
                started.wait();
                for key in thread * EACH..(thread + 1) * EACH {
                    map.insert(key, key, worker.quiescent(NOW)).unwrap();
                    assert_eq!(map.get(&key, worker.quiescent(NOW)), Some(&key));
                }
            });
            scope.spawn(move || {
                let mut worker = map.domain().worker();
                started.wait();
                for additional in [100, 10_000, 50_000] {
                    map.reserve(additional, worker.quiescent(NOW)).unwrap();
                    let buckets = map.buckets(worker.quiescent(NOW));
                    assert!(buckets / 4 * 3 >= additional, "{buckets} for {additional}");
                }
            });
        }
    });
    let mut worker = domain.worker();
    let guard = worker.quiescent(NOW);
    assert_eq!(map.len() as u64, 2 * EACH);
    assert!((0..2 * EACH).all(|key| map.get(&key, guard) == Some(&key)));
    // What no table has room for changes nothing.
    let before = map.buckets(guard);
    assert_eq!(map.reserve(usize::MAX, guard), Err(MapError::OutOfMemory));
    assert_eq!(map.buckets(guard), before);
}

/// A domain that is full refuses to reserve, and the map is whole.
#[test]
fn reserve_in_a_full_domain() {
    let domain = Domain::capped(2);
    let map = Map::<u64, u64>::with(&domain, SeededState::new(1));
    let mut worker = domain.worker();
    let guard = worker.pin();
    (0..3).for_each(|key| _ = map.insert(key, key, &guard).unwrap());
    assert_eq!(map.reserve(10_000, &guard), Err(MapError::Backpressure));
    assert!((0..3).all(|key| map.get(&key, &guard) == Some(&key)));
    drop(guard);
    // Each attempt goes on where the last one ended.
    while map.reserve(10_000, &worker.pin()) == Err(MapError::Backpressure) {
        worker.collect(NOW, Budget::UNLIMITED);
    }
    let guard = worker.pin();
    assert_eq!(map.buckets(&guard), 16_384);
    assert!((0..3).all(|key| map.get(&key, &guard) == Some(&key)));
}
