//! The map from outside, on one thread: what it answers, and what it refuses.

mod common;

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use common::identity::Identity;
use tidegate_core::map::Cursor;
use tidegate_core::{Budget, Domain, Instant, Map, MapError, SeededState, Sweep, Worker};

const NOW: Instant = Instant::from_secs(1);

/// Collects until nothing is held back.
fn drain(domain: &Domain) {
    let mut worker = domain.worker();
    for _ in 0..100 {
        worker.collect(NOW, Budget::UNLIMITED);
        if domain.gauges(NOW).garbage() == 0 {
            return;
        }
    }
    panic!("still held back: {:?}", domain.gauges(NOW));
}

#[test]
fn answers_as_the_standard_map_does() {
    let mut random = fastrand::Rng::with_seed(7);
    for round in 0..20 {
        let domain = Domain::new();
        let map = Map::with(&domain, SeededState::new(round));
        let mut worker = domain.worker();
        let mut model: HashMap<u16, u32> = HashMap::new();
        let keys = 1 << random.u32(2..14);
        for step in 0..20_000_u32 {
            let guard = worker.quiescent(NOW);
            let key = random.u16(0..keys);
            match random.u8(0..12) {
                0..4 => {
                    let old = map.insert(key, step, guard).unwrap().copied();
                    assert_eq!(old, model.insert(key, step));
                }
                4..7 => {
                    assert_eq!(map.remove(&key, guard).unwrap().copied(), model.remove(&key));
                }
                7 => {
                    let odd = |_: &u16, value: &u32| value % 2 == 1;
                    let removed = map.remove_if(&key, odd, guard).unwrap().copied();
                    let expected = match model.entry(key) {
                        Entry::Occupied(entry) if entry.get() % 2 == 1 => Some(entry.remove()),
                        _ => None,
                    };
                    assert_eq!(removed, expected);
                }
                8 => {
                    let value = *map.get_or_insert_with(key, || step, guard).unwrap();
                    assert_eq!(value, *model.entry(key).or_insert(step));
                }
                9 => {
                    let new = map.update(&key, |value| value + 1, guard).unwrap().copied();
                    let expected = model.get_mut(&key).map(|value| {
                        *value += 1;
                        *value
                    });
                    assert_eq!(new, expected);
                }
                10 if random.u8(..) < 4 => {
                    map.force_resize(random.bool(), guard);
                }
                _ => assert_eq!(map.get(&key, guard), model.get(&key)),
            }
            assert_eq!(map.len(), model.len());
        }
        let guard = worker.quiescent(NOW);
        let mut seen: Vec<_> = map.iter(guard).map(|(&key, &value)| (key, value)).collect();
        seen.sort_unstable();
        seen.dedup();
        let mut expected: Vec<_> = model.clone().into_iter().collect();
        expected.sort_unstable();
        assert_eq!(seen, expected);
        let keys: Vec<_> = (0..keys).collect();
        let mut values = vec![None; keys.len()];
        map.get_many(&keys, &mut values, guard);
        for (key, value) in keys.iter().zip(values) {
            assert_eq!(value, model.get(key));
        }
        drop(worker);
        drain(&domain);
    }
}

#[test]
fn everything_is_dropped_once() {
    struct Counted(Arc<AtomicUsize>);
    impl Drop for Counted {
        fn drop(&mut self) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    let dropped = Arc::new(AtomicUsize::new(0));
    let mut made = 0;
    let mut random = fastrand::Rng::with_seed(11);
    for stop_in_migration in [false, true] {
        let domain = Domain::new();
        let map = Map::with(&domain, SeededState::new(1));
        let mut worker = domain.worker();
        for _ in 0..50_000 {
            let guard = worker.quiescent(NOW);
            let key = random.u16(0..3_000);
            if random.bool() {
                made += 1;
                assert!(map.insert(key, Counted(Arc::clone(&dropped)), guard).is_ok());
            } else {
                map.remove(&key, guard).unwrap();
            }
            if random.u16(..) < 100 {
                map.force_resize(random.bool(), guard);
            }
            worker.collect(NOW, Budget::entries(3));
        }
        let guard = worker.quiescent(NOW);
        while map.force_help(guard) {}
        if stop_in_migration {
            assert!(map.force_resize(true, guard));
            assert!(map.force_help(guard), "the migration is under way");
        }
        drop((map, worker));
        drop(domain);
        assert_eq!(dropped.load(Ordering::Relaxed), made);
    }
}

#[test]
fn the_table_follows_the_number_of_entries() {
    let domain = Domain::new();
    let map = Map::with(&domain, SeededState::new(3));
    let mut worker = domain.worker();
    for key in 0..100_000_u32 {
        map.insert(key, key, worker.quiescent(NOW)).unwrap();
    }
    let large = map.buckets(worker.quiescent(NOW));
    assert!((100_000 * 4 / 3..=100_000 * 8 / 3).contains(&large), "{large} buckets");
    for key in 0..100_000_u32 {
        assert_eq!(map.remove(&key, worker.quiescent(NOW)).unwrap(), Some(&key));
    }
    // Changes make it shrink, a few buckets each; so does a sweep.
    let mut sweep = map.sweeper(domain.worker(), |_, _, _| true);
    for _ in 0..40 {
        worker.quiescent(NOW);
        while !sweep.sweep(NOW, Budget::entries(1_000)).wrapped {}
    }
    assert!(map.is_empty());
    let small = map.buckets(worker.quiescent(NOW));
    assert!(small <= 64, "{small} buckets are left");
}

/// Small tables are read in another way than large ones.
#[test]
fn a_key_is_found_whatever_the_size_of_the_table() {
    /// A hash, and a name that is no part of it.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    struct Key(u64, u8);
    impl Hash for Key {
        fn hash<H: Hasher>(&self, state: &mut H) {
            state.write_u64(self.0);
        }
    }

    // They share a bucket with those without.
    const OTHER: u64 = 1 << 40;
    let buckets = [
        vec![Key(1, 0)],
        vec![Key(2, 0), Key(2 + OTHER, 0)],
        vec![Key(3, 0), Key(3, 1), Key(3, 2)],
        vec![Key(4, 0), Key(4 + OTHER, 0), Key(4, 1), Key(4 + 2 * OTHER, 0), Key(4 + OTHER, 1)],
    ];
    let present: Vec<_> = buckets.concat();
    let hashes = (0..6).flat_map(|hash| (0..4).map(move |other| hash + other * OTHER));
    let all: Vec<_> = hashes.flat_map(|hash| (0..4).map(move |name| Key(hash, name))).collect();

    let domain = Domain::new();
    let map = Map::with(&domain, Identity::default());
    let mut worker = domain.worker();
    for &key in &present {
        assert!(map.insert(key, key, worker.quiescent(NOW)).is_ok());
    }
    // It has grown to where there is room.
    while map.buckets(worker.quiescent(NOW)) > 8 {
        let guard = worker.quiescent(NOW);
        while map.force_help(guard) {}
        assert!(map.force_resize(false, guard));
    }
    let mut sizes = 0;
    while map.buckets(worker.quiescent(NOW)) < 1 << 18 {
        let guard = worker.quiescent(NOW);
        while map.force_help(guard) {}
        let expected: Vec<_> = all.iter().map(|key| present.contains(key).then_some(key)).collect();
        let one_by_one: Vec<_> = all.iter().map(|key| map.get(key, guard)).collect();
        assert_eq!(one_by_one, expected, "{} buckets", map.buckets(guard));
        let mut at_once = vec![None; all.len()];
        map.get_many(&all, &mut at_once, guard);
        assert_eq!(at_once, expected, "{} buckets", map.buckets(guard));
        assert!(map.force_resize(true, guard));
        sizes += 1;
    }
    assert!(sizes > 12);
}

#[test]
fn a_flood_of_one_bucket_is_refused() {
    let domain = Domain::new();
    let map = Map::with(&domain, Identity::default());
    let mut worker = domain.worker();
    let guard = worker.quiescent(NOW);
    let key = |index: u64| index << 40;
    for index in 0..64 {
        assert_eq!(map.insert(key(index), index, guard), Ok(None));
    }
    let rejected = map.insert(key(64), 64, guard).unwrap_err();
    assert_eq!((rejected.error, rejected.value), (MapError::HashFlood, (key(64), 64)));
    let rejected = map.get_or_insert_with(key(65), || 0, guard).unwrap_err();
    assert_eq!((rejected.error, rejected.value), (MapError::HashFlood, key(65)));
    // Who is there may be changed, and leave for another.
    assert_eq!(map.insert(key(3), 33, guard), Ok(Some(&3)));
    assert_eq!(map.update(&key(4), |value| value + 1, guard), Ok(Some(&5)));
    assert_eq!(map.remove(&key(5), guard), Ok(Some(&5)));
    assert_eq!(map.insert(key(64), 64, guard), Ok(None));
    assert_eq!(map.len(), 64);
}

#[test]
fn what_a_flood_has_merged_is_swept_and_can_still_be_changed() {
    let domain = Domain::new();
    let map = Map::with(&domain, Identity::default());
    let mut worker = domain.worker();
    for key in 0..8_000_u64 {
        map.insert(2 * key + 1, 0, worker.quiescent(NOW)).unwrap();
    }
    // Four buckets as full as may be for a table of 4,096 to shrink, which then become one.
    let flood: Vec<u64> = (0..252).map(|i| (i / 4 + 1) << 40 | (i % 4) << 11).collect();
    for &key in &flood {
        map.insert(key, 0, worker.quiescent(NOW)).unwrap();
    }
    for key in 0..8_000_u64 {
        map.remove(&(2 * key + 1), worker.quiescent(NOW)).unwrap();
    }
    let mut seen = std::collections::HashSet::new();
    let mut passes = |count: usize, stale: bool| {
        seen.clear();
        let mut sweep = map.sweeper(domain.worker(), |&key, _, _| {
            seen.insert(key);
            stale
        });
        for _ in 0..count {
            while !sweep.sweep(NOW, Budget::entries(1_000)).wrapped {}
        }
        drop(sweep);
        seen.len()
    };
    passes(50, false);
    assert!(map.buckets(worker.quiescent(NOW)) <= 2_048);
    assert_eq!(passes(1, false), 252, "one pass shows every entry");
    let guard = worker.quiescent(NOW);
    assert_eq!(map.insert(flood[0], 1, guard), Ok(Some(&0)));
    assert_eq!(map.update(&flood[0], |value| value + 1, guard), Ok(Some(&2)));
    assert_eq!(passes(1, true), 252, "and removes every stale one");
    assert!(map.is_empty());
}

#[test]
fn a_sweep_goes_on_under_the_smallest_of_caps() {
    let domain = Domain::capped(4);
    let map = Map::with(&domain, Identity::default());
    let mut worker = domain.worker();
    for key in 1..6_u64 {
        while map.insert(key << 40, 0, worker.quiescent(NOW)).is_err() {
            worker.collect(NOW, Budget::UNLIMITED);
        }
    }
    worker.offline(|| ());
    let mut sweep = map.sweeper(domain.worker(), |_, _, _| true);
    for _ in 0..100 {
        sweep.sweep(NOW, Budget::entries(64));
        assert!(domain.gauges(NOW).garbage() <= 4);
    }
    assert!(map.is_empty());
}

#[test]
fn a_pass_shows_a_key_that_is_replaced_all_the_while() {
    let domain = Domain::new();
    let map = Map::with(&domain, Identity::default());
    map.insert(3_u64, 0, domain.worker().quiescent(NOW)).unwrap();
    let over = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        let mut writer = domain.worker();
        let (map, over) = (&map, &over);
        scope.spawn(move || {
            for value in 1.. {
                map.insert(3, value, writer.quiescent(NOW)).unwrap();
                if value % 32 == 0 {
                    writer.collect(NOW, Budget::entries(64));
                }
                if over.load(Ordering::Relaxed) {
                    break;
                }
            }
        });
        let mut reader = domain.worker();
        for _ in 0..100_000 {
            assert_eq!(map.iter(reader.quiescent(NOW)).count(), 1);
        }
        over.store(true, Ordering::Relaxed);
    });
}

#[test]
#[should_panic(expected = "the guard is of another domain")]
fn a_guard_of_another_domain_is_refused() {
    let map: Map<u8, u8> = Map::with(&Domain::new(), SeededState::new(1));
    let mut stranger = Domain::new().worker();
    map.get(&1, stranger.quiescent(NOW));
}

#[test]
fn garbage_stays_below_the_cap() {
    let domain = Domain::capped(100);
    let map = Map::with(&domain, SeededState::new(1));
    let (mut reader, mut writer) = (domain.worker(), domain.worker());
    let held = reader.quiescent(NOW);
    let mut refused = 0;
    for key in 0..10_000_u32 {
        let guard = writer.quiescent(NOW);
        match map.insert(key, key, guard) {
            Ok(_) => match map.remove(&key, guard) {
                Ok(removed) => assert_eq!(removed, Some(&key)),
                Err(error) => {
                    assert_eq!(error, MapError::Backpressure);
                    assert_eq!(map.get(&key, guard), Some(&key));
                    refused += 1;
                }
            },
            Err(rejected) => {
                assert_eq!(rejected.error, MapError::Backpressure);
                assert_eq!(rejected.value, (key, key));
                refused += 1;
            }
        }
        writer.collect(NOW, Budget::UNLIMITED);
        assert!(domain.gauges(NOW).garbage() <= 100);
    }
    assert!(refused > 9_000, "{refused} refused");
    _ = held;
    reader.offline(|| ());
    // Nobody holds anything back any more.
    while domain.gauges(NOW).garbage() > 0 {
        writer.collect(NOW, Budget::UNLIMITED);
    }
    assert_eq!(map.insert(u32::MAX, 1, writer.quiescent(NOW)), Ok(None));
    assert_eq!(map.remove(&u32::MAX, writer.quiescent(NOW)), Ok(Some(&1)));
}

#[test]
fn destructors_count_against_the_budget() {
    let domain = Domain::new();
    let map = Map::with(&domain, SeededState::new(1));
    let mut worker = domain.worker();
    for key in 0..1_000_u32 {
        map.insert(key, key, worker.quiescent(NOW)).unwrap();
    }
    let mut sweep = map.sweeper(domain.worker(), |_, _, _| true);
    let mut passes = 0;
    while passes < 10 {
        let step = sweep.sweep(NOW, Budget::entries(10));
        assert!(step.freed <= 5, "{step:?}");
        assert!(step.visited + step.freed < 10 + 64, "{step:?}");
        worker.quiescent(NOW);
        passes += usize::from(step.wrapped);
    }
    assert_eq!(map.len(), 0);
    assert_eq!(sweep.sweep(NOW, Budget::entries(0)), Default::default());
}

#[test]
fn clearing_the_next_table_counts_against_the_budget() {
    let domain = Domain::new();
    let map = Map::with(&domain, Identity::default());
    let mut worker = domain.worker();
    assert!(map.insert(1_u64, 1, worker.quiescent(NOW)).is_ok());
    while map.buckets(worker.quiescent(NOW)) < 1 << 16 {
        assert!(map.force_resize(true, worker.quiescent(NOW)));
        while map.force_help(worker.quiescent(NOW)) {}
    }
    worker.offline(|| ());
    drain(&domain);

    // Far too large. The half has 32,768 buckets, of which a budget of 10 clears 640.
    let mut sweep = map.sweeper(domain.worker(), |_, _, _| false);
    for step in 0..51 {
        let swept = sweep.sweep(NOW, Budget::entries(10));
        assert_eq!((swept.visited, swept.freed, swept.wrapped), (10, 0, false), "{step}");
        assert_eq!(map.buckets(worker.quiescent(NOW)), 1 << 16, "{step}");
        worker.offline(|| ());
    }
    assert_eq!(sweep.sweep(NOW, Budget::entries(10)).visited, 10);
    assert_eq!(map.buckets(worker.quiescent(NOW)), 1 << 15);
}

#[test]
fn a_scan_of_a_table_at_rest_visits_each_entry_once() {
    let domain = Domain::new();
    let map = Map::with(&domain, SeededState::new(5));
    let mut worker = domain.worker();
    for key in 0..5_000_u32 {
        map.insert(key, key, worker.quiescent(NOW)).unwrap();
    }
    while map.force_help(worker.quiescent(NOW)) {}
    let (mut cursor, mut seen) = (Cursor::START, vec![0; 5_000]);
    loop {
        let guard = worker.quiescent(NOW);
        cursor = map.scan(cursor, Budget::entries(7), |&key, _| seen[key as usize] += 1, guard);
        if cursor == Cursor::START {
            break;
        }
    }
    assert!(seen.iter().all(|&times| times == 1));
}

#[test]
fn the_oldest_pin_is_known() {
    let domain = Domain::new();
    let (mut loops, calls) = (domain.worker(), domain.worker());
    let age = |at| domain.gauges(Instant::from_secs(at)).oldest_pin.map(|age| age.as_secs());
    assert_eq!(age(1), None);
    loops.quiescent(Instant::from_secs(1));
    assert_eq!(age(5), Some(4));
    loops.quiescent(Instant::from_secs(3));
    assert_eq!(age(5), Some(2));
    loops.offline(|| assert_eq!(age(5), None));
    let mut collector: Worker = domain.worker();
    collector.collect(Instant::from_secs(6), Budget::UNLIMITED);
    let pinned = calls.pin();
    let nested = calls.pin();
    drop(pinned);
    assert_eq!(age(8), Some(2), "as old as the latest time that the domain was told");
    drop(nested);
    assert_eq!(age(8), None);
}
