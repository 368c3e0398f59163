//! The map and its reclamation under random schedules that can be replayed: more threads and longer
//! scenarios than the models can exhaust.
//!
//! ```sh
//! cargo shuttle                                   # a short form
//! TIDEGATE_SCHEDULES=100000 cargo shuttle         # the long one
//! ```
//!
//! Each scenario puts roles together, one a thread. Whoever owns keys knows what must be under them;
//! residents must never be missed; what was charged must be found, in an entry or with whoever killed
//! it; and every value must be dropped once.

#![cfg(shuttle)]

mod common;

use std::sync::Arc;

use common::identity::Identity;
use common::shuttled::{NOW, Scenario, domain, few_preemptions, play, random};
use shuttle::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use tidegate_core::map::Cursor;
use tidegate_core::{Budget, Guard, Map, Sweep, Worker};

const DEAD: u64 = u64::MAX;
/// Never removed.
const RESIDENTS: [u64; 3] = [100, 101, 102];
/// Charged by some, killed by others.
const SHARED: [u64; 2] = [200, 201];
const STEPS: u64 = 8;

/// What the threads of a scenario share.
struct World {
    map: Map<u64, Value, Identity>,
    made: Arc<AtomicUsize>,
    dropped: Arc<AtomicUsize>,
    charged: AtomicU64,
    killed: AtomicU64,
}

/// A state, and a count of those that are gone.
struct Value {
    state: AtomicU64,
    dropped: Arc<AtomicUsize>,
}

impl Drop for Value {
    fn drop(&mut self) {
        self.dropped.fetch_add(1, Ordering::SeqCst);
    }
}

impl World {
    fn value(&self, state: u64) -> Value {
        self.made.fetch_add(1, Ordering::SeqCst);
        Value { state: AtomicU64::new(state), dropped: Arc::clone(&self.dropped) }
    }

    fn state(&self, key: u64, guard: &Guard) -> Option<u64> {
        self.map.get(&key, guard).map(|value| value.state.load(Ordering::SeqCst))
    }
}

/// Inserts, replaces and removes keys of its own, and finds them as it left them.
fn owner(world: &World, worker: &mut Worker, thread: u64) {
    let mut model = [None; 4];
    for step in 0..STEPS {
        let guard = worker.quiescent(NOW);
        let slot = (step * 3 + thread) % 4;
        let key = thread * 4 + slot;
        let expected = &mut model[slot as usize];
        if step % 3 == 2 {
            let removed = world.map.remove(&key, guard).unwrap();
            let removed = removed.map(|value| value.state.load(Ordering::SeqCst));
            assert_eq!(removed, expected.take());
        } else {
            let replaced = world.map.insert(key, world.value(step), guard);
            let replaced = replaced.unwrap_or_else(|refused| panic!("{}", refused.error));
            let replaced = replaced.map(|value| value.state.load(Ordering::SeqCst));
            assert_eq!(replaced, expected.replace(step));
        }
        for (slot, expected) in model.iter().enumerate() {
            assert_eq!(world.state(thread * 4 + slot as u64, guard), *expected);
        }
    }
}

/// Grows and shrinks the table.
fn resizer(world: &World, worker: &mut Worker, thread: u64) {
    for step in 0..STEPS {
        let guard = worker.quiescent(NOW);
        world.map.force_resize((step + thread) % 2 == 0, guard);
        world.map.force_help(guard);
    }
}

/// Looks the residents up under a pin each, while its guard stays or is taken back.
fn caller(world: &World, worker: &mut Worker, _: u64) {
    for _ in 0..STEPS {
        for key in RESIDENTS {
            let state = world.state(key, &worker.pin());
            assert_eq!(state, Some(key), "missed a resident");
        }
    }
}

/// Looks the residents up, one by one and side by side.
fn reader(world: &World, worker: &mut Worker, _: u64) {
    for _ in 0..STEPS {
        let guard = worker.quiescent(NOW);
        for key in RESIDENTS {
            assert_eq!(world.state(key, guard), Some(key), "missed a resident");
        }
        let mut values = [None; RESIDENTS.len()];
        world.map.get_many(&RESIDENTS, &mut values, guard);
        assert!(values.iter().all(Option::is_some), "missed a resident");
    }
}

/// Scans, with no guard between the steps.
fn scanner(world: &World, worker: &mut Worker, _: u64) {
    for _ in 0..2 {
        let (mut cursor, mut seen) = (Cursor::START, Vec::new());
        loop {
            let guard = worker.quiescent(NOW);
            cursor = world.map.scan(cursor, Budget::entries(2), |&key, _| seen.push(key), guard);
            if cursor == Cursor::START {
                break;
            }
        }
        assert!(RESIDENTS.iter().all(|key| seen.contains(key)), "missed a resident: {seen:?}");
    }
}

/// Adds to the states of the shared keys, in new entries where they are dead.
fn charger(world: &World, worker: &mut Worker, thread: u64) {
    for step in 0..STEPS {
        let guard = worker.quiescent(NOW);
        let key = SHARED[((step + thread) % 2) as usize];
        'charge: loop {
            let entry = world.map.get_or_insert_with(key, || world.value(0), guard);
            let state = &entry.unwrap_or_else(|refused| panic!("{}", refused.error)).state;
            let mut seen = state.load(Ordering::SeqCst);
            while seen != DEAD {
                let next = seen + 1;
                match state.compare_exchange(seen, next, Ordering::SeqCst, Ordering::SeqCst) {
                    Ok(_) => break 'charge,
                    Err(now) => seen = now,
                }
            }
            let is_dead = |_: &u64, value: &Value| value.state.load(Ordering::SeqCst) == DEAD;
            world.map.remove_if(&key, is_dead, guard).unwrap();
        }
        world.charged.fetch_add(1, Ordering::SeqCst);
    }
}

/// Kills the shared keys, and frees.
fn sweeper(world: &World, worker: &mut Worker, _: u64) {
    let mut sweep = world.map.sweeper(worker.domain().worker(), |key, value, _| {
        if !SHARED.contains(key) {
            return false;
        }
        let seen = value.state.load(Ordering::SeqCst);
        if seen == DEAD {
            return true;
        }
        let killed = value.state.compare_exchange(seen, DEAD, Ordering::SeqCst, Ordering::SeqCst);
        if killed.is_ok() {
            world.killed.fetch_add(seen, Ordering::SeqCst);
        }
        killed.is_ok()
    });
    for _ in 0..STEPS {
        sweep.sweep(NOW, Budget::entries(4));
    }
}

/// Each must be different from the others in what it races.
static SCENARIOS: [Scenario<World>; 14] = [
    Scenario::wide("four owners", &[owner, owner, owner, owner]),
    Scenario::wide("owners and two resizers", &[owner, owner, resizer, resizer]),
    Scenario::wide(
        "three resizers, three writers",
        &[resizer, resizer, resizer, owner, owner, charger],
    ),
    Scenario::wide("readers while it is resized", &[reader, reader, resizer, resizer]),
    Scenario::wide("readers, owners, a resizer", &[reader, owner, owner, resizer]),
    Scenario::wide("a scan while it is resized", &[scanner, resizer, resizer]),
    Scenario::wide("a scan beside owners and a resizer", &[scanner, owner, owner, resizer]),
    Scenario::wide("two sweepers and two chargers", &[sweeper, sweeper, charger, charger]),
    Scenario::wide("a sweeper, chargers, a resizer", &[sweeper, charger, charger, resizer]),
    Scenario::wide("scans beside a sweep", &[scanner, scanner, sweeper, charger]),
    Scenario::wide("everybody", &[owner, reader, scanner, sweeper, charger]),
    Scenario::wide("calls while guards are taken back", &[caller, caller, sweeper, charger]),
    Scenario::wide("calls while it is resized and swept", &[caller, sweeper, owner, resizer]),
    Scenario::wide("everybody while it is resized", &[owner, reader, sweeper, charger, resizer]),
];

fn run(scenario: &Scenario<World>) {
    let domain = domain();
    let counts = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let world = Arc::new(World {
        map: Map::with(&domain, Identity::default()),
        made: Arc::clone(&counts.0),
        dropped: Arc::clone(&counts.1),
        charged: AtomicU64::new(0),
        killed: AtomicU64::new(0),
    });
    let mut worker = domain.worker();
    for key in RESIDENTS {
        assert!(world.map.insert(key, world.value(key), worker.quiescent(NOW)).is_ok());
    }
    worker.offline(|| play(&domain, &world, scenario.roles));
    let guard = worker.quiescent(NOW);
    let mut seen: Vec<u64> = world.map.iter(guard).map(|(&key, _)| key).collect();
    let visited = seen.len();
    seen.sort_unstable();
    seen.dedup();
    assert!(seen.len() == visited && visited == world.map.len(), "{visited} visited, {seen:?}");
    let left: u64 = SHARED
        .iter()
        .filter_map(|&key| world.state(key, guard))
        .filter(|&state| state != DEAD)
        .sum();
    let killed = world.killed.load(Ordering::SeqCst);
    assert_eq!(world.charged.load(Ordering::SeqCst), left + killed, "a charge was lost");
    drop((world, worker));
    drop(domain);
    assert_eq!(counts.0.load(Ordering::SeqCst), counts.1.load(Ordering::SeqCst), "values dropped");
}

#[test]
fn every_scenario_holds_under_random_schedules() {
    random(&SCENARIOS, run, 400);
}

#[test]
fn every_scenario_holds_under_schedules_of_few_preemptions() {
    few_preemptions(&SCENARIOS, run, 400);
}
