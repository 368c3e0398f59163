//! The map on real threads, disturbed at its atomic operations.
//!
//! ```sh
//! cargo stress                                   # a short form
//! TIDEGATE_HISTORIES=200000 TIDEGATE_OPERATIONS=1000000 cargo stress -- --nocapture
//! ```

#![cfg(stress)]

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Barrier};
use std::time::{Duration, Instant as Timer};

use tidegate_core::map::Cursor;
use tidegate_core::{Budget, Domain, Instant, Map, SeededState, Sweep, stress};

const NOW: Instant = Instant::from_secs(1);

fn asked(variable: &str, otherwise: u64) -> u64 {
    std::env::var(variable).ok().and_then(|text| text.parse().ok()).unwrap_or(otherwise)
}

// Linearizability: every history of a key can be put in an order that respects time and in which a
// single-threaded map would have answered the same (Wing and Gong; Lowe).

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

#[derive(Clone, Copy, Debug)]
struct Call {
    key: u64,
    operation: Operation,
    answer: Option<u64>,
    from: u64,
    to: u64,
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

/// Whether the calls, all of one key that was not there, can be put in order.
fn is_linearizable(calls: &[Call]) -> bool {
    fn go(
        calls: &[Call],
        done: u64,
        state: Option<u64>,
        seen: &mut HashSet<(u64, Option<u64>)>,
    ) -> bool {
        if done.count_ones() as usize == calls.len() {
            return true;
        }
        if !seen.insert((done, state)) {
            return false;
        }
        let pending = || (0..calls.len()).filter(|&index| done & (1 << index) == 0);
        // Whatever comes next must have begun before the first of the others ended.
        let first_end = pending().map(|index| calls[index].to).min().unwrap_or(u64::MAX);
        pending().filter(|&index| calls[index].from < first_end).any(|index| {
            let (answer, next) = apply(state, calls[index].operation);
            answer == calls[index].answer && go(calls, done | 1 << index, next, seen)
        })
    }
    assert!(calls.len() < 64);
    go(calls, 0, None, &mut HashSet::new())
}

#[test]
fn the_checker_tells_histories_apart() {
    let call = |operation, answer, from, to| Call { key: 0, operation, answer, from, to };
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

#[test]
fn every_history_is_linearizable() {
    const THREADS: u64 = 4;
    const CALLS: u64 = 7;
    let histories = asked("TIDEGATE_HISTORIES", 4_000);
    let mut overlaps = 0_u64;
    // A few maps, each for many histories of fresh keys, so that tables grow, shrink and churn.
    let per_map = 500;
    for round in 0..histories.div_ceil(per_map) {
        let domain = domain();
        let map = Arc::new(Map::with(&domain, SeededState::new(round)));
        let clock = Arc::new(AtomicU64::new(0));
        let barrier = Arc::new(Barrier::new(THREADS as usize));
        let threads: Vec<_> = (0..THREADS)
            .map(|thread| {
                let (map, clock) = (Arc::clone(&map), Arc::clone(&clock));
                let (barrier, mut worker) = (Arc::clone(&barrier), domain.worker());
                std::thread::spawn(move || {
                    stress::yields(round * THREADS + thread + 1);
                    let mut random = fastrand::Rng::with_seed(round * THREADS + thread);
                    let mut calls = Vec::new();
                    for history in 0..per_map {
                        worker.offline(|| barrier.wait());
                        for call in 0..CALLS {
                            let key = history * 3 + random.u64(0..3);
                            let value = thread * 1_000 + call;
                            let guard = worker.quiescent(NOW);
                            if thread == 0 && random.u8(0..4) == 0 {
                                map.force_resize(random.bool(), guard);
                            }
                            // SeqCst: the order of these numbers is what "before" means.
                            let from = clock.fetch_add(1, Ordering::SeqCst);
                            let (operation, answer) = match random.u8(0..8) {
                                0..2 => (Operation::Get, map.get(&key, guard).copied()),
                                2..4 => (
                                    Operation::Insert(value),
                                    map.insert(key, value, guard).unwrap().copied(),
                                ),
                                4..6 => {
                                    (Operation::Remove, map.remove(&key, guard).unwrap().copied())
                                }
                                6 => (
                                    Operation::Ensure(value),
                                    map.get_or_insert_with(key, || value, guard).ok().copied(),
                                ),
                                _ => (
                                    Operation::Add(10_000),
                                    map.update(&key, |old| old + 10_000, guard).unwrap().copied(),
                                ),
                            };
                            let to = clock.fetch_add(1, Ordering::SeqCst);
                            calls.push(Call { key, operation, answer, from, to });
                        }
                        if thread == 1 {
                            worker.collect(NOW, Budget::entries(64));
                        }
                    }
                    calls
                })
            })
            .collect();
        let mut by_key: HashMap<u64, Vec<Call>> = HashMap::new();
        for thread in threads {
            for call in thread.join().expect("no panic") {
                by_key.entry(call.key).or_default().push(call);
            }
        }
        for mut calls in by_key.into_values() {
            calls.sort_unstable_by_key(|call| call.from);
            overlaps += calls.windows(2).filter(|two| two[1].from < two[0].to).count() as u64;
            assert!(is_linearizable(&calls), "{calls:#?}");
        }
    }
    println!("{histories} histories, {overlaps} overlaps");
    assert!(overlaps > histories / 10, "{overlaps} overlaps: the threads hardly met");
}

/// A domain in which guards stay. Under this cfg the light half of the barrier is a whole fence, so that
/// the other half may be one, too.
fn domain() -> Domain {
    // SAFETY: as said: whoever pins passes a fence of his own between saying so and looking.
    unsafe { Domain::builder().barrier(|| std::sync::atomic::fence(Ordering::SeqCst)) }.build()
}

/// A bit of everything: so much that a thread which does it comes by every step there is.
fn everything(map: &Map<u64, u64, SeededState>, worker: &mut tidegate_core::Worker, base: u64) {
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

#[test]
fn whoever_stops_anywhere_stops_nobody_else() {
    let operations = asked("TIDEGATE_OPERATIONS", 2_000);
    let places = {
        let domain = domain();
        let map = Map::with(&domain, SeededState::new(1));
        let mut worker = domain.worker();
        stress::note_places();
        for round in 0..4 {
            everything(&map, &mut worker, round * 100);
        }
        stress::places()
    };
    assert!(places.len() >= 40, "{} steps", places.len());
    let (mut stopped, mut most) = (0, 0);
    for &place in &places {
        let domain = domain();
        let map = Arc::new(Map::with(&domain, SeededState::new(1)));
        let over = Arc::new(AtomicBool::new(false));
        let victim = {
            let (map, mut worker) = (Arc::clone(&map), domain.worker());
            let over = Arc::clone(&over);
            std::thread::spawn(move || {
                stress::stop_at(place);
                let mut round = 0;
                while !over.load(Ordering::SeqCst) {
                    everything(&map, &mut worker, 1_000_000 + round % 8 * 100);
                    round += 1;
                }
            })
        };
        let patience = Timer::now() + Duration::from_secs(5);
        while !stress::is_stopped() && Timer::now() < patience {
            std::thread::yield_now();
        }
        stopped += usize::from(stress::is_stopped());
        let others: Vec<_> = (0..2_u64)
            .map(|thread| {
                let (map, mut worker) = (Arc::clone(&map), domain.worker());
                std::thread::spawn(move || {
                    let limit = Timer::now() + Duration::from_secs(120);
                    for step in 0..operations {
                        let key = thread * 500_000 + step % 1_000;
                        let guard = worker.quiescent(NOW);
                        // Mutually their own keys, so each knows what to find.
                        assert_eq!(map.insert(key, step, guard).unwrap(), None, "at {place:?}");
                        assert_eq!(map.get(&key, guard), Some(&step));
                        assert_eq!(map.remove(&key, guard).unwrap(), Some(&step));
                        if step % 64 == 0 {
                            worker.collect(NOW, Budget::entries(128));
                            assert!(Timer::now() < limit, "stuck behind {place:?}");
                        }
                    }
                })
            })
            .collect();
        for other in others {
            other.join().expect("no panic");
        }
        most = most.max(domain.gauges(NOW).garbage());
        over.store(true, Ordering::SeqCst);
        stress::release();
        while !victim.is_finished() {
            // It may come to the place only now.
            stress::release();
            std::thread::yield_now();
        }
        victim.join().expect("no panic");
        // What it held back is freed once it is gone.
        let mut worker = domain.worker();
        for _ in 0..10_000 {
            worker.collect(NOW, Budget::UNLIMITED);
        }
        assert_eq!(domain.gauges(NOW).garbage(), 0, "after {place:?}");
    }
    println!("{stopped} of {} steps, at most {most} objects held back", places.len());
    assert!(stopped * 10 >= places.len() * 9, "only {stopped} of {} steps", places.len());
}
