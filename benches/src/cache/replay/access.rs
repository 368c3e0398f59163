//! The time of an access: a get, and an insertion on a miss, over a whole trace.

use std::sync::Barrier;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use super::super::contenders::{Contender, Moka, Ours, QuickCache};
use super::super::{BUDGET, BURST, Effort};
use super::Replayed;
use super::folder::Trace;
use crate::measure::{medians, rows};

const RIVALS: [&str; 2] = [Moka::NAME, QuickCache::NAME];

/// Times a trace in caches with room for `room` entries. The caches are empty when the trace begins.
pub(super) fn times(trace: &Trace, room: usize, effort: Effort, row: &mut impl FnMut(Replayed)) {
    for threads in [1, 2] {
        let mut times = [Vec::new(), Vec::new(), Vec::new()];
        // The first turn warms up and is not counted.
        for turn in 0..=effort.turns {
            let turns = [
                pass::<Ours>(&trace.keys, room, threads).1,
                pass::<Moka>(&trace.keys, room, threads).1,
                pass::<QuickCache>(&trace.keys, room, threads).1,
            ];
            if turn > 0 {
                let accesses = trace.keys.len() as f64 / threads as f64;
                let nanos = turns.map(|time| time.as_nanos() as f64 / accesses);
                times.iter_mut().zip(nanos).for_each(|(times, nanos)| times.push(nanos));
            }
        }
        let case = format!("access {}", trace.name);
        for timed in rows("cache", &case, room, threads, &RIVALS, &medians(&times)) {
            row(Replayed { row: timed, held: None });
        }
    }
}

/// Replays a trace in tidegate's cache, with room for `room` entries, on `threads` threads. Returns the hits
/// in a hundred.
///
/// Each thread takes the next 32 keys when it has done its last ones, so that the order is that of
/// the trace but for what is in progress.
pub fn replay(keys: &[u64], room: usize, threads: usize) -> f64 {
    pass::<Ours>(keys, room, threads).0 as f64 * 100.0 / keys.len() as f64
}

/// Returns the hits, and the time of the slowest thread.
fn pass<C: Contender>(keys: &[u64], room: usize, threads: usize) -> (usize, Duration) {
    let cache = C::of(room);
    let (barrier, next) = (Barrier::new(threads), AtomicUsize::new(0));
    let run = || {
        barrier.wait();
        let start = Instant::now();
        let hits = share(&cache, keys, &next);
        (hits, start.elapsed())
    };
    std::thread::scope(|scope| {
        let running: Vec<_> = (0..threads).map(|_| scope.spawn(run)).collect();
        let outcomes = running.into_iter().map(|thread| thread.join().expect("no panic"));
        outcomes.fold((0, Duration::ZERO), |(hits, slowest), (more, time)| {
            (hits + more, slowest.max(time))
        })
    })
}

/// Does one thread's share of a trace: bursts of keys that no other thread has taken.
fn share<C: Contender>(cache: &C, keys: &[u64], next: &AtomicUsize) -> usize {
    let mut hand = cache.hand();
    let mut hits = 0;
    loop {
        // Relaxed: only says who does what.
        let from = next.fetch_add(BURST, Ordering::Relaxed);
        if from >= keys.len() {
            return hits;
        }
        let guard = cache.guard(&mut hand);
        for &key in &keys[from..keys.len().min(from + BURST)] {
            match cache.get(key, &guard) {
                Some(_) => hits += 1,
                None => cache.insert(key, key, &guard),
            }
        }
        drop(guard);
        cache.collect(&mut hand, BUDGET);
    }
}
