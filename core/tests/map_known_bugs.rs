//! What other maps got wrong, and the test that says that this one does not.
//!
//! | found in | what | test |
//! |---|---|---|
//! | moka 34, cht 6 | values vanish or are used after their end when several threads rehash | `several_threads_rehash_at_once`; `threads_with_keys_of_their_own_never_notice_each_other` (map_ledger) |
//! | papaya 48487f7, 61d8eb4, 74975e8 | a lost wake-up, a deadlock, when a resize is given up | `a_thread_that_stops_in_a_migration_stops_nobody`; `a_forced_resize_survives_want_of_memory` (map_failure) |
//! | papaya 9371590, 00e63b0 | insertion against removal while the table grows | `insertions_and_removals_of_a_key_alternate` (map_ledger) |
//! | papaya 02dae66, 0574e3e | tags in the bits of a pointer that are not free | `any_alignment_and_size_will_do` |
//! | papaya 7267012 | a guard that guards nothing is taken | a `Guard` cannot be made: the `compile_fail` example of `reclaim::Guard` |
//! | papaya, deferred and borrowed entries | an entry is within reach by the old table after it was retired | `a_removed_entry_is_out_of_reach_from_the_old_table` |
//! | flurry 46 | the guard of another collector is taken | `every_method_refuses_a_guard_of_another_domain` |
//! | flurry 49 | keys and values that borrow | the `compile_fail` example of `Map::with` |
//! | flurry 83, 86, 90 | the count goes below zero | `threads_with_keys_of_their_own_never_notice_each_other` (map_ledger) |
//! | flurry 115, crossbeam 566 and 540 | memory grows | `memory_stays_and_returns_in_a_million_insertions` (map_memory), `a_stuck_reader_holds_memory_back_until_it_goes_on_and_no_longer` (map_reclaim) |
//! | JCTools 151, NBHM 6 | a key that is being copied is not found | `a_resident_is_found_by_every_read_during_a_thousand_resizes` (map_residents) |
//! | NBHM 9, mono 9176 | tombstones fill the table | `memory_stays_and_returns_in_a_million_insertions` (map_memory) |
//! | leapfrog 22, junction 31 | an assignment or removal is lost | `threads_with_keys_of_their_own_never_notice_each_other` (map_ledger); the mutants of `cargo mutants` |
//! | ParlayHash 14 | the table is read before the epoch is entered | every method takes a `Guard`, and has no table without one |
//! | folly 2097 | a counter overflows when one key is removed over and over | `a_key_may_be_removed_100_thousand_times_under_one_guard` (map_reclaim) |
//! | folly 1911 | a value dies under an iterator | `an_iterator_keeps_alive_what_it_has_shown` |
//! | valkey 2302, ck_hs 104 | an iterator repeats, or reads a freed table, after a resize | `a_scan_goes_on_in_a_table_that_was_replaced`; `a_resident_is_seen_by_every_scan_of_200` (map_residents) |
//! | scc 3.0.7, 2.1.7 | a race of the iterator; 32-bit words | `a_resident_is_seen_by_every_scan_of_200` (map_residents) with a sanitizer |
//! | moka 0.7.1, 0.9.4, 0.12.4 | values are leaked, or dropped late | `every_value_of_2_million_is_dropped_once` (map_ledger), `what_was_never_collected_is_freed_with_the_domain` (map_reclaim) |
//! | crossbeam 1175, moka 495 | destructors recurse until the stack overflows | `destructors_that_use_the_map_need_no_deep_stack` (map_reclaim) |
//! | garnet 2015, FASTER 149 | the epoch is announced after what is read under it | the models; `nothing_is_freed_under_a_guard_in_2_million_reads` (map_reclaim) |
//!
//! Where the source asks for Miri, AddressSanitizer stands in: these tests run under it as they are.

mod common;

use std::collections::BTreeSet;
use std::hash::{Hash, Hasher};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use common::identity::Identity;
use common::memory::free_all;
use tidegate_core::map::Cursor;
use tidegate_core::{Budget, Domain, Guard, Instant, Map, SeededState, Sweep};

const NOW: Instant = Instant::from_secs(1);

/// Meets the others at its end, also in a panic: they would wait for ever.
struct Meets<'a>(&'a Barrier);

impl Drop for Meets<'_> {
    fn drop(&mut self) {
        self.0.wait();
    }
}

/// Which of the keys are there; for [`Named`], by name.
struct Alive([AtomicBool; 64]);

/// A key that notices when it is compared after its end. Its name is no part of its hash.
struct Named {
    hash: u64,
    name: usize,
    alive: &'static Alive,
}

impl Named {
    fn new(hash: u64, name: usize, alive: &'static Alive) -> Self {
        alive.0[name].store(true, Ordering::Relaxed);
        Self { hash, name, alive }
    }
}

impl Drop for Named {
    fn drop(&mut self) {
        self.alive.0[self.name].store(false, Ordering::Relaxed);
    }
}

impl Hash for Named {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.hash);
    }
}

impl PartialEq for Named {
    fn eq(&self, other: &Self) -> bool {
        for key in [self, other] {
            // Freed memory may hold any name.
            let alive = self.alive.0.get(key.name).is_some_and(|key| key.load(Ordering::Relaxed));
            assert!(alive, "a key was compared after its end");
        }
        self.name == other.name
    }
}

impl Eq for Named {}

/// Two buckets of the larger table share one unit with a bucket of the smaller. What is removed from
/// one of them must not be found from the other, nor by the old table's word.
#[test]
fn a_removed_entry_is_out_of_reach_from_the_old_table() {
    // Hashes of one unit: of the bucket 3 of 16, and the buckets 3 and 19 of 32. There are enough of
    // both that five entries make neither grow by themselves.
    let hashes = [3, 19, 3 + 32, 19 + 32, 3 + 64];
    for grow in [true, false] {
        for removed in 0..hashes.len() {
            for helped in [false, true] {
                // Each time the same: every name is set anew, and of the time before nothing is left.
                static ALIVE: Alive = Alive([const { AtomicBool::new(false) }; 64]);
                let alive = &ALIVE;
                let domain = Domain::new();
                let map: Map<Named, usize, _> = Map::with(&domain, Identity::default());
                let (mut worker, mut collector) = (domain.worker(), domain.worker());
                let guard = worker.quiescent(NOW);
                for (name, &hash) in hashes.iter().enumerate() {
                    assert!(map.insert(Named::new(hash, name, alive), name, guard).is_ok());
                }
                let buckets = if grow { 16 } else { 32 };
                while map.force_help(guard) {}
                while map.buckets(guard) < buckets {
                    assert!(map.force_resize(true, guard));
                    while map.force_help(guard) {}
                }
                assert_eq!(map.buckets(guard), buckets);
                let find = |name: usize, guard: &Guard| {
                    // Forgotten, for its end would say that the one in the map has ended.
                    let probe = Named::new(hashes[name], name, alive);
                    let found = map.get(&probe, guard).copied();
                    std::mem::forget(probe);
                    found
                };
                assert!(map.force_resize(grow, guard));
                // Two units of sixteen are moved; or else only the one that the removal needs.
                if helped {
                    assert!(map.force_help(guard));
                }
                let probe = Named::new(hashes[removed], removed, alive);
                assert!(map.remove(&probe, guard).is_ok_and(|value| value == Some(&removed)));
                // As above.
                std::mem::forget(probe);
                worker.offline(|| ());
                let garbage = domain.gauges(NOW).garbage();
                assert!(garbage >= 2, "the entry, and the block it was listed in");
                while domain.gauges(NOW).garbage() > 0 {
                    collector.collect(NOW, Budget::UNLIMITED);
                }
                assert!(!alive.0[removed].load(Ordering::Relaxed), "it was freed");

                let guard = worker.quiescent(NOW);
                let same = |visited: &mut BTreeSet<usize>, key: &Named, value: usize| {
                    assert!(key.alive.0[key.name].load(Ordering::Relaxed));
                    assert_eq!(key.name, value);
                    visited.insert(value);
                };
                let rest: BTreeSet<_> = (0..hashes.len()).filter(|&name| name != removed).collect();
                for &name in &rest {
                    assert_eq!(find(name, guard), Some(name));
                }
                let mut visited = BTreeSet::new();
                for (key, &value) in map.iter(guard) {
                    same(&mut visited, key, value);
                }
                assert_eq!(visited, rest);
                // Somebody with another name and the hash of the one that is gone meets nobody.
                let stranger = Named::new(hashes[removed], 63, alive);
                assert_eq!(map.get(&stranger, guard), None);
                while map.force_help(guard) {}
                assert_eq!(map.get(&stranger, guard), None);
                assert!(rest.iter().all(|&name| find(name, guard) == Some(name)));
                assert_eq!(map.len(), rest.len());
            }
        }
    }
}

#[test]
fn every_method_refuses_a_guard_of_another_domain() {
    let domain = Domain::new();
    let map: Map<u8, u8> = Map::with(&domain, SeededState::new(1));
    let mut worker = domain.worker();
    assert_eq!(map.insert(1, 2, worker.quiescent(NOW)), Ok(None));
    let mut stranger = Domain::new().worker();
    let guard = stranger.quiescent(NOW);
    let refused = |what: &str, call: &dyn Fn()| {
        let panic = catch_unwind(AssertUnwindSafe(call)).expect_err(what);
        let message = panic.downcast_ref::<&str>().copied().unwrap_or_default();
        assert_eq!(message, "the guard is of another domain than the structure", "{what}");
    };
    refused("get", &|| _ = map.get(&1, guard));
    refused("get_key_value", &|| _ = map.get_key_value(&1, guard));
    refused("contains_key", &|| _ = map.contains_key(&1, guard));
    refused("get_many", &|| map.get_many(&[1], &mut [None], guard));
    refused("insert", &|| _ = map.insert(1, 3, guard));
    refused("get_or_insert_with", &|| _ = map.get_or_insert_with(2, || 3, guard));
    refused("update", &|| _ = map.update(&1, |_| 3, guard));
    refused("remove", &|| _ = map.remove(&1, guard));
    refused("remove_if", &|| _ = map.remove_if(&1, |_, _| true, guard));
    refused("buckets", &|| _ = map.buckets(guard));
    refused("scan", &|| _ = map.scan(Cursor::START, Budget::UNLIMITED, |_, _| (), guard));
    refused("iter", &|| _ = map.iter(guard));
    refused("force_resize", &|| _ = map.force_resize(true, guard));
    refused("force_help", &|| _ = map.force_help(guard));
    let foreign = Domain::new();
    refused("sweeper", &|| {
        map.sweeper(foreign.worker(), |_, _, _| true).sweep(NOW, Budget::UNLIMITED);
    });
    let guard = worker.quiescent(NOW);
    assert_eq!(map.iter(guard).collect::<Vec<_>>(), [(&1, &2)]);
    assert_eq!(domain.gauges(NOW).retired, 0);
}

/// Three threads do nothing but rehash, three change the map, and keys of nobody's stay.
#[test]
fn several_threads_rehash_at_once() {
    const STAY: u64 = 500;

    let domain = Domain::new();
    let map: Map<u64, u64> = Map::with(&domain, SeededState::new(71));
    let mut worker = domain.worker();
    for key in 0..STAY {
        map.insert(key, key, worker.quiescent(NOW)).expect("memory");
    }
    worker.offline(|| ());
    let resizes = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for thread in 0..3_u64 {
            let (map, domain, resizes) = (&map, &domain, &resizes);
            scope.spawn(move || {
                let mut random = fastrand::Rng::with_seed(thread);
                let mut worker = domain.worker();
                for _ in 0..60_000 {
                    let guard = worker.quiescent(NOW);
                    let grow = map.buckets(guard) < 512 || random.bool();
                    if map.force_resize(grow && map.buckets(guard) < 2_048, guard) {
                        resizes.fetch_add(1, Ordering::Relaxed);
                    }
                    while random.u8(..) < 240 && map.force_help(guard) {}
                    worker.collect(NOW, Budget::entries(2_000));
                }
            });
            scope.spawn(move || {
                let mut random = fastrand::Rng::with_seed(100 + thread);
                let mut worker = domain.worker();
                let mut held = [false; 100];
                for _ in 0..100_000 {
                    let guard = worker.quiescent(NOW);
                    let index = random.usize(0..100);
                    let key = STAY + index as u64 * 3 + thread;
                    let there = if held[index] {
                        map.remove(&key, guard).expect("memory").is_some()
                    } else {
                        map.insert(key, key, guard).expect("memory").is_some()
                    };
                    assert_eq!(there, held[index]);
                    held[index] = !there;
                    let stays = random.u64(0..STAY);
                    assert_eq!(map.get(&stays, guard), Some(&stays));
                }
            });
        }
    });
    let resizes = resizes.into_inner();
    assert!(resizes > 100, "{resizes} forced resizes");
    let guard = worker.quiescent(NOW);
    for key in 0..STAY {
        assert_eq!(map.get(&key, guard), Some(&key));
    }
    assert_eq!(map.iter(guard).count(), map.len());
}

#[test]
fn a_thread_that_stops_in_a_migration_stops_nobody() {
    const KEYS: u64 = 1_000;

    let domain = Domain::new();
    let map: Map<u64, u64> = Map::with(&domain, SeededState::new(73));
    let mut worker = domain.worker();
    for key in 0..KEYS {
        map.insert(key, key, worker.quiescent(NOW)).expect("memory");
    }
    while map.force_help(worker.quiescent(NOW)) {}
    worker.offline(|| ());
    let (begun, others) = (Barrier::new(3), Barrier::new(3));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut worker = domain.worker();
            let guard = worker.quiescent(NOW);
            assert!(map.force_resize(true, guard));
            assert!(map.force_help(guard));
            // Here it stops, pinned and with most of the migration before it, in a closure.
            let doomed = |_: &u64, _: &u64| {
                begun.wait();
                others.wait();
                false
            };
            assert_eq!(map.remove_if(&0, doomed, guard), Ok(None));
        });
        for thread in 1..3 {
            let (map, domain, begun, others) = (&map, &domain, &begun, &others);
            scope.spawn(move || {
                let _end = Meets(others);
                let mut worker = domain.worker();
                begun.wait();
                let before = map.buckets(worker.quiescent(NOW));
                for round in 0..100 {
                    for key in (thread..KEYS).step_by(2) {
                        let guard = worker.quiescent(NOW);
                        let old = map.insert(key, round, guard).expect("memory").copied();
                        assert_eq!(old, Some(if round == 0 { key } else { round - 1 }));
                    }
                }
                let guard = worker.quiescent(NOW);
                assert!(!map.force_help(guard), "the migration has ended without it");
                assert!(map.buckets(guard) >= before);
            });
        }
    });
    assert_eq!(map.len() as u64, KEYS);
}

#[test]
fn any_alignment_and_size_will_do() {
    #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
    #[repr(align(128))]
    struct Wide(u8);
    #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
    #[repr(C, packed)]
    struct Odd(u8, u16);

    fn round_trip<K, V>(make: impl Fn(u8) -> (K, V))
    where
        K: Hash + Eq + Clone + Send + std::fmt::Debug + 'static,
        V: PartialEq + Send + std::fmt::Debug + 'static,
    {
        let domain = Domain::new();
        let map: Map<K, V> = Map::with(&domain, SeededState::new(79));
        let mut worker = domain.worker();
        for index in 0..=255 {
            let (key, value) = make(index);
            assert!(map.insert(key, value, worker.quiescent(NOW)).is_ok());
        }
        let mut sweep = map.sweeper(domain.worker(), |_, _, _| false);
        while map.force_help(worker.quiescent(NOW)) {
            sweep.sweep(NOW, Budget::entries(10));
        }
        for index in 0..=255 {
            let (key, value) = make(index);
            let guard = worker.quiescent(NOW);
            let (held, found) = map.get_key_value(&key, guard).expect("there");
            assert_eq!((held, found), (&key, &value));
            assert!(std::ptr::from_ref(held).is_aligned());
            assert!(std::ptr::from_ref(found).is_aligned());
            assert_eq!(map.remove(&key, guard), Ok(Some(&value)));
            worker.collect(NOW, Budget::UNLIMITED);
        }
        assert!(map.is_empty());
    }
    round_trip(|index| (index, ()));
    round_trip(|index| (index, index));
    round_trip(|index| (Wide(index), Odd(index, 7)));
    round_trip(|index| (Odd(index, 9), Wide(index)));
    round_trip(|index| (u128::from(index) << 100, [index; 37]));
}

#[test]
fn an_iterator_keeps_alive_what_it_has_shown() {
    let dropped = std::sync::Arc::new(AtomicUsize::new(0));
    struct Counted(u32, std::sync::Arc<AtomicUsize>);
    impl Drop for Counted {
        fn drop(&mut self) {
            self.1.fetch_add(1, Ordering::Relaxed);
        }
    }

    let domain = Domain::new();
    let map = Map::with(&domain, SeededState::new(83));
    let (mut reader, mut writer) = (domain.worker(), domain.worker());
    for key in 0..1_000_u32 {
        let value = Counted(key, std::sync::Arc::clone(&dropped));
        assert!(map.insert(key, value, writer.quiescent(NOW)).is_ok());
    }
    let guard = reader.quiescent(NOW);
    let mut iter = map.iter(guard);
    let shown: Vec<_> = iter.by_ref().take(300).collect();
    for key in 0..1_000 {
        assert!(map.remove(&key, writer.quiescent(NOW)).is_ok_and(|old| old.is_some()));
        if key % 100 == 0 {
            map.force_resize(false, writer.quiescent(NOW));
            writer.collect(NOW, Budget::UNLIMITED);
        }
    }
    for _ in 0..10 {
        writer.collect(NOW, Budget::UNLIMITED);
    }
    assert_eq!(dropped.load(Ordering::Relaxed), 0);
    assert!(shown.iter().all(|&(&key, value)| value.0 == key));
    // What the iterator had of its bucket it may still show; the rest is gone.
    assert!(iter.count() <= 64);
    reader.offline(|| ());
    writer.offline(|| ());
    while domain.gauges(NOW).garbage() > 0 {
        writer.collect(NOW, Budget::UNLIMITED);
    }
    assert_eq!(dropped.load(Ordering::Relaxed), 1_000);
}

/// The table in which a scan began is freed before the scan goes on.
#[test]
fn a_scan_goes_on_in_a_table_that_was_replaced() {
    for grow in [true, false] {
        let domain = Domain::new();
        let map = Map::with(&domain, SeededState::new(89));
        let mut worker = domain.worker();
        for key in 0..1_000_u32 {
            map.insert(key, key, worker.quiescent(NOW)).expect("memory");
        }
        while map.force_help(worker.quiescent(NOW)) {}
        let (mut cursor, mut seen, mut times) = (Cursor::START, BTreeSet::new(), 0);
        for step in 0.. {
            let guard = worker.quiescent(NOW);
            let visit = |&key: &u32, _: &u32| {
                seen.insert(key);
                times += 1;
            };
            cursor = map.scan(cursor, Budget::entries(50), visit, guard);
            if cursor == Cursor::START {
                break;
            }
            if step % 4 == 3 && step < 12 {
                assert!(map.force_resize(grow, guard));
                while map.force_help(guard) {}
                free_all(&mut worker, NOW);
            }
        }
        assert_eq!(seen.len(), 1_000);
        assert!(!grow || times == 1_000, "{times} visits: twice only if the table shrank");
    }
}
