//! The face beside the engine: what `limiter.check` and `cache.get` add to the engine's calls, which here read
//! the same clock and pin for themselves, at each operation.

use std::hint::black_box;

use tidegate::{Cache, CachedClock, Clock, Quota, RateLimiter, clock, pin};

use crate::measure::{Contestant, Row, race, rows};
use crate::workload::{Spread, chunks, keys, sequence};

const SIZES: [usize; 3] = [1_000, 100_000, 1_000_000];
/// Operations of a turn.
const OPERATIONS: usize = 1 << 20;

/// Runs everything, and hands each row over as it comes.
pub fn run(turns: usize, mut row: impl FnMut(Row)) {
    let cached = CachedClock::new(|| clock().now());
    for size in SIZES {
        let keys = keys(size);
        let sequence = sequence(&keys, Spread::Uniform);
        let run = Run { turns, keys: &keys, sequence: &sequence };
        run.checks(clock(), "process clock", &mut row);
        run.checks(cached.clone(), "cached clock", &mut row);
        run.gets(clock(), "process clock", &mut row);
        run.gets(cached.clone(), "cached clock", &mut row);
    }
}

struct Run<'a> {
    turns: usize,
    keys: &'a [u64],
    sequence: &'a [u64],
}

impl Run<'_> {
    fn checks<C>(&self, clock: C, word: &str, row: &mut impl FnMut(Row))
    where
        C: Clock + Clone + Send + Sync + 'static,
    {
        let quota = Quota::per_second(1_000_000_000).expect("representable");
        let limiter = || {
            let builder = RateLimiter::builder(quota).keys(self.keys.len()).clock(clock.clone());
            let limiter: RateLimiter<u64> = builder.build().expect("representable");
            self.keys.iter().for_each(|key| _ = limiter.check(key));
            limiter
        };
        // Two of a kind, so that neither finds in the processor's cache what the other has read.
        let (face, other) = (limiter(), limiter());
        let (engine, plan) = (other.lockfree(), other.plan(quota).expect("representable"));
        let check = |key: &u64| _ = black_box(face.check(key));
        let bare = |key: &u64| _ = black_box(engine.check(key, &plan, clock.now()));
        self.race(&format!("limiter.check, {word}"), check, bare, row);
    }

    fn gets<C>(&self, clock: C, word: &str, row: &mut impl FnMut(Row))
    where
        C: Clock + Clone + Send + Sync + 'static,
    {
        let cache = || {
            let builder = Cache::builder().max_capacity(2 * self.keys.len() as u64);
            let cache = builder.clock(clock.clone()).build();
            self.keys.iter().for_each(|&key| cache.insert(key, key));
            cache
        };
        let (face, other) = (cache(), cache());
        let engine = other.lockfree();
        let get = |key: &u64| _ = black_box(face.get(key));
        let bare = |key: &u64| _ = black_box(engine.get(key, clock.now(), &pin()).copied());
        self.race(&format!("cache.get, {word}"), get, bare, row);
    }

    fn race(
        &self,
        case: &str,
        face: impl Fn(&u64) + Sync,
        engine: impl Fn(&u64) + Sync,
        row: &mut impl FnMut(Row),
    ) {
        for threads in [1, 2] {
            let contestants: [Contestant<'_>; 2] = [
                &|thread, from, operations| self.each(thread, from, operations, &face),
                &|thread, from, operations| self.each(thread, from, operations, &engine),
            ];
            let times = race(&contestants, threads, self.turns, OPERATIONS);
            rows("face", case, self.keys.len(), threads, &["the engine"], &times)
                .for_each(&mut *row);
        }
    }

    fn each(&self, thread: usize, from: usize, operations: usize, call: impl Fn(&u64)) {
        chunks(self.sequence, thread, from, operations)
            .for_each(|(_, keys)| keys.iter().for_each(&call));
    }
}
