//! The map on real threads, disturbed at its atomic operations.
//!
//! ```sh
//! cargo stress                                   # a short form
//! TIDEGATE_HISTORIES=200000 TIDEGATE_OPERATIONS=1000000 cargo stress -- --nocapture
//! ```

#![cfg(stress)]

mod common;

use std::time::Duration;

use common::books::{Alive, Booked};
use common::stressed::{Call, Calls, Histories, NOW, Stops, asked, is_linearizable};
use tidegate_core::map::Cursor;
use tidegate_core::{Budget, Domain, Guard, Map, SeededState, Sweep, Worker};

/// A map, of whose values no books are kept.
struct World {
    map: Map<u64, u64, SeededState>,
    alive: Alive,
}

impl World {
    fn new(domain: &Domain, seed: u64) -> Self {
        Self { map: Map::with(domain, SeededState::new(seed)), alive: Alive::default() }
    }
}

impl Booked for World {
    fn alive(&self) -> &Alive {
        &self.alive
    }

    fn look(&self) {}

    fn close(&self, _: &mut Worker) {}
}

/// An operation, and its answer.
type Answered = (Operation, Option<u64>);

#[derive(Clone, Copy, Debug)]
enum Operation {
    Get,
    Insert(u64),
    Remove,
    /// Inserts only if there is none.
    Ensure(u64),
    /// Adds, if there is one.
    Add(u64),
}

/// What a map answers, and what it then holds.
fn apply(state: Option<u64>, operation: Operation) -> (Option<u64>, Option<u64>) {
    match operation {
        Operation::Get => (state, state),
        Operation::Insert(value) => (state, Some(value)),
        Operation::Remove => (state, None),
        Operation::Ensure(value) => (Some(state.unwrap_or(value)), Some(state.unwrap_or(value))),
        Operation::Add(value) => {
            let sum = state.map(|state| state + value);
            (sum, sum)
        }
    }
}

/// What a key may hold after an operation with this answer.
fn after(state: Option<u64>, &(operation, answer): &Answered) -> Vec<Option<u64>> {
    let (expected, next) = apply(state, operation);
    if answer == expected { vec![next] } else { vec![] }
}

#[test]
fn the_checker_tells_histories_apart() {
    let call = |operation, answer, from, to| Call { answered: (operation, answer), from, to };
    let is_linearizable = |calls: &[Call<Answered>]| is_linearizable(calls, None, &after);
    // A get beside an insert may see either.
    for answer in [None, Some(1)] {
        let calls = [call(Operation::Insert(1), None, 0, 3), call(Operation::Get, answer, 1, 2)];
        assert!(is_linearizable(&calls));
    }
    // After it, it must see it; a value that was seen cannot be unseen.
    assert!(!is_linearizable(&[
        call(Operation::Insert(1), None, 0, 1),
        call(Operation::Get, None, 2, 3),
    ]));
    assert!(!is_linearizable(&[
        call(Operation::Insert(1), None, 0, 9),
        call(Operation::Get, Some(1), 1, 2),
        call(Operation::Get, None, 3, 4),
    ]));
}

fn act(
    World { map, .. }: &World,
    guard: &Guard,
    what: u8,
    (key, value): (u64, u64),
    calls: &mut Calls<Answered>,
) {
    calls.call(key, || {
        let answered = match what % 8 {
            0..2 => (Operation::Get, map.get(&key, guard).copied()),
            2..4 => (Operation::Insert(value), map.insert(key, value, guard).unwrap().copied()),
            4..6 => (Operation::Remove, map.remove(&key, guard).unwrap().copied()),
            6 => (
                Operation::Ensure(value),
                map.get_or_insert_with(key, || value, guard).ok().copied(),
            ),
            _ => (
                Operation::Add(1 << 32),
                map.update(&key, |old| old + (1 << 32), guard).unwrap().copied(),
            ),
        };
        (answered, ())
    });
}

#[test]
fn every_history_is_linearizable() {
    let histories = Histories {
        make: World::new,
        act,
        disturb: |world, guard, random| _ = world.map.force_resize(random.bool(), guard),
        start: None,
        after,
    };
    histories.check(asked("TIDEGATE_HISTORIES", 4_000));
}

/// A bit of everything: so much that a thread which does it comes by every step there is.
fn everything(World { map, .. }: &World, worker: &mut Worker, base: u64) {
    let sweeping = map.domain().worker();
    for key in base..base + 40 {
        map.insert(key, key, worker.quiescent(NOW)).unwrap();
    }
    let guard = worker.quiescent(NOW);
    map.force_resize(true, guard);
    for key in base..base + 40 {
        let guard = worker.quiescent(NOW);
        assert_eq!(map.get(&key, guard), Some(&key));
        map.insert(key, key + 1, guard).unwrap();
        map.update(&key, |value| value + 1, guard).unwrap();
    }
    while map.force_help(worker.quiescent(NOW)) {}
    map.force_resize(false, worker.quiescent(NOW));
    let mut values = [None; 40];
    let keys: [u64; 40] = std::array::from_fn(|index| base + index as u64);
    map.get_many(&keys, &mut values, worker.quiescent(NOW));
    let mut cursor = Cursor::START;
    for _ in 0..4 {
        cursor = map.scan(cursor, Budget::entries(4), |_, _| (), worker.quiescent(NOW));
    }
    for key in base..base + 20 {
        map.remove(&key, worker.quiescent(NOW)).unwrap();
    }
    // A guard that stays, is renewed when time goes on, taken back, and stays anew.
    worker.offline(|| ());
    for round in 1..4 {
        for key in base + 20..base + 23 {
            assert!(map.get(&key, &worker.pin()).is_some());
        }
        map.insert(base + 20, round, &worker.pin()).unwrap();
        let now = NOW + Duration::from_secs(base + round);
        for _ in 0..12 {
            worker.collect(now, Budget::entries(64));
        }
        assert!(map.get(&(base + 20), &worker.pin()).is_some());
    }
    let mut sweep = map.sweeper(sweeping, |key, _, _| (base..base + 40).contains(key));
    for _ in 0..16 {
        sweep.sweep(NOW, Budget::entries(64));
        worker.quiescent(NOW);
    }
    for _ in 0..8 {
        worker.collect(NOW, Budget::entries(64));
    }
    drop(Map::<u64, u64, _>::with(map.domain(), SeededState::new(base)));
}

/// Its own keys, so that it knows what to find.
fn other(World { map, .. }: &World, worker: &mut Worker, thread: u64, step: u64) {
    let key = thread * 500_000 + step % 1_000;
    let guard = worker.quiescent(NOW);
    assert_eq!(map.insert(key, step, guard).unwrap(), None);
    assert_eq!(map.get(&key, guard), Some(&step));
    assert_eq!(map.remove(&key, guard).unwrap(), Some(&step));
}

#[test]
fn a_thread_that_stops_anywhere_stops_no_other() {
    let stops = Stops { make: |domain| World::new(domain, 1), everything, other };
    stops.check(40, asked("TIDEGATE_OPERATIONS", 2_000));
}
