//! What a cache costs beside others that have nothing to do: an insertion, making it, and its sweeps.
//!
//! All caches of the face share the domain of the process. What they share must not cost more the more of them
//! there are. The figures stand beside those of one cache alone.

use std::hint::black_box;
use std::time::{Duration, Instant};

use tidegate::Cache;

use crate::measure::{Row, median, process_time};

/// Idle caches beside the one that is measured.
const CROWDS: [usize; 4] = [0, 100, 1_000, 4_000];
const INSERTIONS: u64 = 1 << 18;
const CAPACITY: u64 = 10_000;

/// Runs everything, and hands each row over as it comes.
pub fn run(turns: usize, mut show: impl FnMut(Row)) {
    let mut alone = None;
    for crowd in CROWDS {
        let start = Instant::now();
        let idle: Vec<_> = (0..crowd).map(|_| Cache::<u64, u64>::builder().build()).collect();
        let making = start.elapsed().as_secs_f64() * 1e6 / crowd.max(1) as f64;
        settle();
        let (insertion, beginning) = (insertion(turns), beginning(turns));
        drop(idle);
        let alone = alone.get_or_insert((insertion, beginning));
        if crowd > 0 {
            show(row("an insertion, beside idle caches", crowd, insertion, alone.0, "ns"));
            show(row("making one more and dropping it", crowd, beginning, alone.1, "us"));
            show(row("making all of them, each", crowd, making, alone.1, "us"));
            show(row(
                "sweeps of all, a second each, of a processor",
                crowd,
                sweeps(crowd),
                4.0,
                "%",
            ));
        }
    }
}

fn row(case: &str, crowd: usize, ours: f64, goal: f64, unit: &'static str) -> Row {
    Row {
        bench: "crowd",
        case: case.to_owned(),
        keys: crowd,
        threads: 1,
        ours_ns: ours,
        rival: if unit == "%" { "aimed for" } else { "alone" },
        rival_ns: goal,
        ratio: goal / ours,
        unit: Some(unit),
    }
}

/// Of new keys into a full cache, which evicts an entry for each.
fn insertion(turns: usize) -> f64 {
    let cache = Cache::builder().max_capacity(CAPACITY).build();
    (0..CAPACITY).for_each(|key| cache.insert(key, key));
    let mut next = CAPACITY;
    let turn = |_| {
        let start = Instant::now();
        for key in next..next + INSERTIONS {
            cache.insert(black_box(key), key);
        }
        next += INSERTIONS;
        start.elapsed().as_nanos() as f64 / INSERTIONS as f64
    };
    median((0..turns).map(turn).collect())
}

fn beginning(turns: usize) -> f64 {
    const CACHES: u32 = 64;
    let turn = |_| {
        let start = Instant::now();
        (0..CACHES).for_each(|_| drop(black_box(Cache::<u64, u64>::builder().build())));
        start.elapsed().as_secs_f64() * 1e6 / f64::from(CACHES)
    };
    median((0..turns).map(turn).collect())
}

/// What the process takes to sweep caches that are empty, each once a second.
fn sweeps(caches: usize) -> f64 {
    let ttl = Duration::from_secs(5);
    let idle: Vec<_> =
        (0..caches).map(|_| Cache::<u64, u64>::builder().time_to_live(ttl).build()).collect();
    settle();
    let (start, before) = (Instant::now(), process_time());
    std::thread::sleep(Duration::from_secs(5));
    let share = (process_time() - before).as_secs_f64() / start.elapsed().as_secs_f64() * 100.0;
    drop(idle);
    share
}

/// Waits until the first sweeps of new caches are done, or for ten seconds if they never are.
fn settle() {
    let start = Instant::now();
    loop {
        let before = process_time();
        std::thread::sleep(Duration::from_millis(200));
        let is_idle = process_time() - before < Duration::from_millis(2);
        if is_idle || start.elapsed() > Duration::from_secs(10) {
            return;
        }
    }
}
