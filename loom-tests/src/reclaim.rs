//! Reclamation: with crossbeam's real collector, which loom models down to its own atomics.
//!
//! A value tells when it is dropped; whoever reads it after that has been given freed memory, and
//! loom reports it besides, since a drop is an access. Every model sees a destructor run while
//! somebody else is still at work: otherwise it would have shown nothing.

use std::cell::Cell;
use std::hash::{BuildHasher, Hasher};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;

use loom::cell::UnsafeCell;
use loom::sync::atomic::{Ordering, fence};
use tidegate_core::{Budget, Domain, Instant, Map, Worker, model};

use crate::{Model, both, race};

/// The models of this module.
pub const MODELS: &[Model] = &[
    Model {
        name: "r01_reader_races_remove_and_collect",
        preemptions: 2,
        run: reader_races_remove_and_collect,
        outcomes: both(COLLECTED),
    },
    Model {
        name: "r02_quiescent_reader_races_remove_and_collect",
        preemptions: 2,
        run: quiescent_reader_races_remove_and_collect,
        outcomes: both(COLLECTED),
    },
    Model {
        name: "r03_two_collect",
        preemptions: 1,
        run: two_collect,
        outcomes: both(&["0 and 0", "0 and 1", "1 and 0"]),
    },
    Model {
        name: "r04_map_ends_while_its_garbage_is_collected",
        preemptions: 1,
        run: map_ends_while_its_garbage_is_collected,
        outcomes: both(&["0 freed", "1 freed", "2 freed"]),
    },
    Model {
        name: "r05_guard_that_stays_is_taken_back",
        preemptions: 2,
        run: guard_that_stays_is_taken_back,
        outcomes: both(COLLECTED),
    },
    Model {
        name: "r06_two_retire_where_one_may",
        preemptions: 2,
        run: two_retire_where_one_may,
        outcomes: both(&["[true, false]", "[false, true]"]),
    },
    Model {
        name: "r07_reader_races_a_removal_that_pays",
        preemptions: 1,
        run: reader_races_a_removal_that_pays,
        outcomes: both(&["found, 0 freed", "found, 1 freed", "gone, 0 freed", "gone, 1 freed"]),
    },
    Model {
        name: "r08_two_cut_from_one_list",
        preemptions: 2,
        run: two_cut_from_one_list,
        outcomes: both(&["0 and 2", "1 and 2", "2 and 0", "2 and 1"]),
    },
    Model {
        name: "r09_record_is_handed_on_after_the_last_portion",
        preemptions: 2,
        run: record_is_handed_on_after_the_last_portion,
        outcomes: both(&["2 freed"]),
    },
    Model {
        name: "r10_record_is_kept_while_a_panic_is_contained",
        preemptions: 3,
        run: record_is_kept_while_a_panic_is_contained,
        outcomes: both(&["3 freed"]),
    },
    Model {
        name: "r11_reader_races_a_second_take",
        preemptions: 1,
        run: reader_races_a_second_take,
        // If no second take began while the first waits, "gone, 2 freed" would be missing.
        outcomes: both(&[
            "found, 1 freed",
            "found, 2 freed",
            "gone, 0 freed",
            "gone, 1 freed",
            "gone, 2 freed",
        ])
        .only_in_plain(&["found, 0 freed"]),
    },
    Model {
        name: "r12_removed_by_one_and_freed_by_another",
        preemptions: 2,
        run: removed_by_one_and_freed_by_another,
        outcomes: both(&["0 freed", "1 freed"]),
    },
    Model {
        name: "r13_removal_races_the_look_for_what_is_held",
        preemptions: 2,
        run: removal_races_the_look_for_what_is_held,
        outcomes: both(&["2 freed"]),
    },
    Model {
        name: "r14_two_maps_begin_and_end",
        preemptions: 2,
        run: two_maps_begin_and_end,
        outcomes: both(&["2 freed"]),
    },
    Model {
        name: "r15_map_ends_late_and_its_record_is_handed_on",
        preemptions: 4,
        run: map_ends_late_and_its_record_is_handed_on,
        outcomes: both(&["1 freed"]),
    },
];

/// What the reader saw last, and how much the remover freed. Whether it freed is up to the steps that
/// it had while no reader was pinned.
const COLLECTED: &[&str] = &["found, 0 freed", "found, 1 freed", "gone, 0 freed", "gone, 1 freed"];

const NOW: Instant = Instant::from_secs(1);

/// All keys hash alike.
#[derive(Clone, Copy, Default)]
struct Same;

impl BuildHasher for Same {
    type Hasher = Self;

    fn build_hasher(&self) -> Self {
        Self
    }
}

impl Hasher for Same {
    fn finish(&self) -> u64 {
        0
    }

    fn write(&mut self, _: &[u8]) {}
}

thread_local! {
    /// How many values were dropped in this execution.
    static DROPPED: Cell<usize> = const { Cell::new(0) };
}

/// A value whose making, reading and dropping loom sees.
struct Watched(UnsafeCell<bool>);

impl Watched {
    fn new() -> Self {
        let cell = UnsafeCell::new(false);
        // SAFETY: nobody else knows the cell.
        cell.with_mut(|alive| unsafe { *alive = true });
        Self(cell)
    }

    fn is_alive(&self) -> bool {
        // SAFETY: written at the beginning and the end only, which loom checks.
        self.0.with(|alive| unsafe { *alive })
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        // SAFETY: nobody reads any more, which loom checks.
        self.0.with_mut(|alive| unsafe { *alive = false });
        DROPPED.set(DROPPED.get() + 1);
    }
}

// SAFETY: written at the beginning and the end only, which loom checks.
unsafe impl Send for Watched {}
// SAFETY: as above.
unsafe impl Sync for Watched {}

type Watching = Arc<Map<u8, Watched, Same>>;

fn start() -> (Domain, Watching, Worker) {
    start_in(Domain::new)
}

fn start_in(domain: fn() -> Domain) -> (Domain, Watching, Worker) {
    model::forget_live();
    DROPPED.set(0);
    let domain = domain();
    let map = Map::with(&domain, Same);
    let worker = domain.worker();
    assert!(map.insert(1, Watched::new(), &worker.pin()).is_ok());
    (domain, Arc::new(map), worker)
}

/// Removes the key and collects in so many steps; whether it was freed.
fn remove_and_collect(map: &Watching, worker: &mut Worker, steps: usize) -> bool {
    assert!(map.remove(&1, &worker.pin()).is_ok_and(|removed| removed.is_some()));
    (0..steps).any(|_| worker.collect(NOW, Budget::UNLIMITED) > 0)
}

fn finish(domain: Domain, map: Watching, worker: Worker, values: usize) {
    drop((map, worker));
    drop(domain);
    assert_eq!(model::live(), 0, "something was never retired");
    assert_eq!(DROPPED.get(), values);
}

/// What a reader saw last, and whether the value was freed; and an end to everything.
fn outcome(domain: Domain, map: Watching, seen: &[bool]) -> String {
    let found = if seen[0] { "found" } else { "gone" };
    let worker = domain.worker();
    finish(domain, map, worker, 1);
    format!("{found}, {} freed", usize::from(seen[1]))
}

fn reader_races_remove_and_collect() -> String {
    let (domain, map, worker) = start();
    let (reader, reading) = (domain.worker(), Arc::clone(&map));
    let (mut remover, removing) = (worker, Arc::clone(&map));
    let seen = race::<bool>(vec![
        Box::new(move || {
            let guard = reader.pin();
            let found = reading.get(&1, &guard);
            assert!(found.is_none_or(Watched::is_alive));
            found.is_some()
        }),
        Box::new(move || remove_and_collect(&removing, &mut remover, 4)),
    ]);
    outcome(domain, map, &seen)
}

fn quiescent_reader_races_remove_and_collect() -> String {
    let (domain, map, worker) = start();
    let (mut reader, reading) = (domain.worker(), Arc::clone(&map));
    let (mut remover, removing) = (worker, Arc::clone(&map));
    let seen = race::<bool>(vec![
        Box::new(move || {
            let mut found = false;
            for _ in 0..2 {
                let value = reading.get(&1, reader.quiescent(NOW));
                assert!(value.is_none_or(Watched::is_alive));
                found = value.is_some();
            }
            found
        }),
        Box::new(move || remove_and_collect(&removing, &mut remover, 4)),
    ]);
    outcome(domain, map, &seen)
}

fn guard_that_stays_is_taken_back() -> String {
    // SAFETY: in a model, where both halves are fences.
    let domain = || unsafe { Domain::builder().barrier(|| fence(Ordering::SeqCst)) }.build();
    let (domain, map, worker) = start_in(domain);
    let (reader, reading) = (domain.worker(), Arc::clone(&map));
    // From here on its guard stays.
    drop(reader.pin());
    let (mut remover, removing) = (worker, Arc::clone(&map));
    let seen = race::<bool>(vec![
        Box::new(move || {
            // The first may let a guard stay anew, the second renew it.
            let mut found = false;
            for _ in 0..2 {
                let guard = reader.pin();
                let value = reading.get(&1, &guard);
                assert!(value.is_none_or(Watched::is_alive));
                found = value.is_some();
            }
            found
        }),
        Box::new(move || remove_and_collect(&removing, &mut remover, 6)),
    ]);
    outcome(domain, map, &seen)
}

fn two_collect() -> String {
    let (domain, map, worker) = start();
    assert!(map.remove(&1, &worker.pin()).is_ok());
    let collect = |mut worker: Worker| -> Box<dyn FnOnce() -> usize> {
        Box::new(move || (0..3).map(|_| worker.collect(NOW, Budget::UNLIMITED)).sum())
    };
    let freed = race(vec![collect(domain.worker()), collect(domain.worker())]);
    finish(domain, map, worker, 1);
    format!("{} and {}", freed[0], freed[1])
}

fn map_ends_while_its_garbage_is_collected() -> String {
    let (domain, map, worker) = start();
    let mut collector = domain.worker();
    let again = domain.clone();
    let freed = race::<usize>(vec![
        Box::new(move || {
            assert!(map.remove(&1, &worker.pin()).is_ok());
            drop(map);
            // Another one takes the place of the first, as soon as that is free.
            let next = Map::with(&again, Same);
            assert!(next.insert(2, Watched::new(), &worker.pin()).is_ok());
            assert!(next.remove(&2, &worker.pin()).is_ok());
            0
        }),
        Box::new(move || (0..5).map(|_| collector.collect(NOW, Budget::UNLIMITED)).sum()),
    ]);
    drop(domain);
    assert_eq!((model::live(), DROPPED.get()), (0, 2));
    format!("{} freed", freed[1])
}

/// A domain that keeps one retired object: of two replacements one is refused, and another is possible once
/// the first object is freed.
fn two_retire_where_one_may() -> String {
    fn replace(map: &Watching, worker: &Worker) -> bool {
        let guard = worker.pin();
        map.insert(1, Watched::new(), &guard).is_ok()
    }
    let (domain, map, mut worker) = start_in(|| Domain::capped(1));
    let deed = || -> Box<dyn FnOnce() -> bool> {
        let (map, worker) = (Arc::clone(&map), domain.worker());
        Box::new(move || replace(&map, &worker))
    };
    let ends = race(vec![deed(), deed()]);
    let tries = (1..9).find(|_| {
        worker.collect(NOW, Budget::UNLIMITED);
        replace(&map, &worker)
    });
    let tries = tries.expect("what was freed counts no more");
    finish(domain, map, worker, 1 + ends.len() + tries);
    format!("{ends:?}")
}

/// A domain whose callers pay for each object that they retire, and free at once.
fn that_pays() -> Domain {
    Domain::builder().allowance(0, 0).contain(|free| free()).build()
}

/// Replaces a value, so that the guard's end pays.
fn replace(map: &Watching, worker: &Worker) {
    assert!(map.insert(2, Watched::new(), &worker.pin()).is_ok());
}

fn reader_races_a_removal_that_pays() -> String {
    let (domain, map, worker) = start_in(that_pays);
    replace(&map, &worker);
    let (reader, reading) = (domain.worker(), Arc::clone(&map));
    let removing = Arc::clone(&map);
    let seen = race::<bool>(vec![
        Box::new(move || {
            let guard = reader.pin();
            let found = reading.get(&1, &guard);
            assert!(found.is_none_or(Watched::is_alive));
            found.is_some()
        }),
        Box::new(move || {
            assert!(removing.remove(&1, &worker.pin()).is_ok_and(|removed| removed.is_some()));
            (0..4).for_each(|_| replace(&removing, &worker));
            DROPPED.get() > 0
        }),
    ]);
    drop(map);
    drop(domain);
    assert_eq!((model::live(), DROPPED.get()), (0, 6));
    let found = if seen[0] { "found" } else { "gone" };
    format!("{found}, {} freed", usize::from(seen[1]))
}

/// The first take waits when the reader's value is removed. The end of that removal begins the second take.
fn reader_races_a_second_take() -> String {
    let (domain, map, mut worker) = start_in(that_pays);
    for _ in 0..2 {
        replace(&map, &worker);
    }
    let (reader, reading) = (domain.worker(), Arc::clone(&map));
    let removing = Arc::clone(&map);
    let seen = race::<usize>(vec![
        Box::new(move || {
            let guard = reader.pin();
            let found = reading.get(&1, &guard);
            assert!(found.is_none_or(Watched::is_alive));
            usize::from(found.is_some())
        }),
        Box::new(move || {
            assert!(removing.remove(&1, &worker.pin()).is_ok_and(|removed| removed.is_some()));
            for _ in 0..2 {
                worker.collect(NOW, Budget::UNLIMITED);
            }
            DROPPED.get()
        }),
    ]);
    drop(map);
    drop(domain);
    assert_eq!((model::live(), DROPPED.get()), (0, 3));
    let found = if seen[0] > 0 { "found" } else { "gone" };
    format!("{found}, {} freed", seen[1])
}

/// Removes two values, and brings them and the block that listed them as far as they come without being
/// freed.
fn two_ripe() -> (Domain, Watching, Worker) {
    let (domain, map, mut worker) = start_in(|| Domain::builder().contain(|free| free()).build());
    replace(&map, &worker);
    for key in [1, 2] {
        assert!(map.remove(&key, &worker.pin()).is_ok_and(|removed| removed.is_some()));
    }
    for _ in 0..4 {
        worker.collect(NOW, Budget::entries(0));
    }
    assert_eq!(DROPPED.get(), 0);
    (domain, map, worker)
}

fn two_cut_from_one_list() -> String {
    let (domain, map, worker) = two_ripe();
    let free = |mut worker: Worker| -> Box<dyn FnOnce() -> usize> {
        Box::new(move || worker.collect(NOW, Budget::entries(2)))
    };
    let freed = race(vec![free(worker), free(domain.worker())]);
    let worker = domain.worker();
    finish(domain, map, worker, 2);
    format!("{} and {}", freed[0], freed[1])
}

/// The second thread begins to collect, and then frees what the first one has brought to its end meanwhile:
/// no fence of its own lies between.
fn removed_by_one_and_freed_by_another() -> String {
    let (domain, map, mut worker) = start_in(|| Domain::builder().contain(|free| free()).build());
    let (mut other, removing) = (domain.worker(), Arc::clone(&map));
    let freed = race::<usize>(vec![
        Box::new(move || {
            let pinned = worker.pin();
            let removed = removing.remove(&1, &pinned).expect("memory").expect("inserted before");
            assert!(removed.is_alive());
            drop(pinned);
            for _ in 0..4 {
                worker.collect(NOW, Budget::entries(0));
            }
            0
        }),
        Box::new(move || other.collect(NOW, Budget::entries(1))),
    ]);
    let worker = domain.worker();
    finish(domain, map, worker, 1);
    format!("{} freed", freed[1])
}

fn record_is_handed_on_after_the_last_portion() -> String {
    let (domain, map, mut worker) = two_ripe();
    worker.collect(NOW, Budget::entries(1));
    drop(map);
    let (mut collector, again) = (domain.worker(), domain.clone());
    let freed = race::<usize>(vec![
        Box::new(move || collector.collect(NOW, Budget::UNLIMITED)),
        Box::new(move || {
            worker.collect(NOW, Budget::entries(0));
            // Another map takes the record, as soon as that is free.
            let next = Map::with(&again, Same);
            assert!(next.insert(2, Watched::new(), &worker.pin()).is_ok());
            assert!(next.remove(&2, &worker.pin()).is_ok());
            0
        }),
    ]);
    drop(domain);
    assert_eq!((model::live(), DROPPED.get()), (0, 3));
    format!("{} freed", freed[0])
}

/// The record is empty and still has its mark when a value is retired into it. Steps free that value, whatever
/// the step did that looked meanwhile.
fn removal_races_the_look_for_what_is_held() -> String {
    let (domain, map, mut worker) = start();
    assert!(map.insert(1, Watched::new(), &worker.pin()).is_ok());
    while worker.collect(NOW, Budget::UNLIMITED) == 0 {}
    let (mut other, removing) = (domain.worker(), Arc::clone(&map));
    race::<()>(vec![
        Box::new(move || {
            assert!(removing.remove(&1, &worker.pin()).is_ok_and(|removed| removed.is_some()));
        }),
        Box::new(move || _ = other.collect(NOW, Budget::UNLIMITED)),
    ]);
    let mut worker = domain.worker();
    for _ in 0..8 {
        worker.collect(NOW, Budget::UNLIMITED);
    }
    let freed = DROPPED.get();
    finish(domain, map, worker, 2);
    format!("{freed} freed")
}

/// Each of two structures that begin at once has a record of its own, though one place of the page is left.
fn two_maps_begin_and_end() -> String {
    model::forget_live();
    DROPPED.set(0);
    let domain = Domain::new();
    let first: Map<u8, Watched, Same> = Map::with(&domain, Same);
    let begin = || -> Box<dyn FnOnce()> {
        let (domain, worker) = (domain.clone(), domain.worker());
        Box::new(move || {
            let map = Map::with(&domain, Same);
            assert!(map.insert(1, Watched::new(), &worker.pin()).is_ok());
            assert!(map.remove(&1, &worker.pin()).is_ok_and(|removed| removed.is_some()));
        })
    };
    race(vec![begin(), begin()]);
    drop(first);
    drop(domain);
    assert_eq!(model::live(), 0);
    format!("{} freed", DROPPED.get())
}

/// A step makes the record of a map that ends free before the map's own end looks at it. What the next map
/// retires there waits for its readers.
fn map_ends_late_and_its_record_is_handed_on() -> String {
    model::forget_live();
    DROPPED.set(0);
    let domain = Domain::new();
    let first: Map<u8, Watched, Same> = Map::with(&domain, Same);
    let (reader, mut collector, again) = (domain.worker(), domain.worker(), domain.clone());
    race::<()>(vec![
        Box::new(move || drop(first)),
        Box::new(move || {
            collector.collect(NOW, Budget::entries(0));
            let next = Map::with(&again, Same);
            let guard = reader.pin();
            assert!(next.insert(2, Watched::new(), &guard).is_ok());
            let removed = next.remove(&2, &guard).expect("memory").expect("inserted before");
            collector.collect(NOW, Budget::UNLIMITED);
            // Looked at first: loom gives up on an access to freed memory.
            assert_eq!(DROPPED.get(), 0, "freed under a guard");
            assert!(removed.is_alive());
        }),
    ]);
    drop(domain);
    assert_eq!(model::live(), 0);
    format!("{} freed", DROPPED.get())
}

thread_local! {
    /// Whether the next destructor of a bomb panics.
    static ARMED: Cell<bool> = const { Cell::new(false) };
}

/// A value whose destructor may panic, after which it is gone like any other.
struct Bomb(#[expect(dead_code, reason = "loom sees its end")] Watched);

impl Drop for Bomb {
    fn drop(&mut self) {
        if ARMED.replace(false) {
            // As a panic, without its message in each execution.
            resume_unwind(Box::new("on purpose"));
        }
    }
}

fn record_is_kept_while_a_panic_is_contained() -> String {
    model::forget_live();
    DROPPED.set(0);
    ARMED.set(false);
    let contain = |free: &mut dyn FnMut()| _ = catch_unwind(AssertUnwindSafe(free));
    let domain = Domain::builder().contain(contain).build();
    let map = Map::with(&domain, Same);
    let mut worker = domain.worker();
    for key in [1, 2] {
        assert!(map.insert(key, Bomb(Watched::new()), &worker.pin()).is_ok());
    }
    for key in [1, 2] {
        assert!(map.remove(&key, &worker.pin()).is_ok_and(|removed| removed.is_some()));
    }
    for _ in 0..4 {
        worker.collect(NOW, Budget::entries(0));
    }
    drop(map);
    ARMED.set(true);
    let (mut collector, again) = (domain.worker(), domain.clone());
    let freed = race::<usize>(vec![
        Box::new(move || collector.collect(NOW, Budget::UNLIMITED)),
        Box::new(move || {
            worker.collect(NOW, Budget::entries(0));
            // Another map takes the record, as soon as that is free.
            let next = Map::with(&again, Same);
            assert!(next.insert(2, Watched::new(), &worker.pin()).is_ok());
            assert!(next.remove(&2, &worker.pin()).is_ok());
            0
        }),
    ]);
    drop(domain);
    assert_eq!((model::live(), DROPPED.get()), (0, 3));
    format!("{} freed", freed[0])
}
