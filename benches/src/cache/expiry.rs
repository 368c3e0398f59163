//! What sweeping many expired entries costs those who read meanwhile.

use std::hint::black_box;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use mini_moka::sync::ConcurrentCacheExt;
use tidegate::lockfree::Cache;
use tidegate::lockfree::cache::Insert;
use tidegate::{Budget, Instant, Sweep, Ttl};

use super::contenders::{MiniMoka, Moka, Ours};
use super::{BURST, Effort};
use crate::measure::{Row, median, micros, thread_time};
use crate::workload::keys;

/// How many live entries are read, over and over.
const LIVE: usize = 10_000;

/// A cache in which entries expire.
trait Expiring: Sync {
    /// Holds `expired`, whose time is up though nobody has noticed, and `live`.
    fn aged(expired: &[u64], live: &[u64]) -> Self;
    /// Reads the live ones, and appends what each get took.
    fn read(&self, live: &[u64], times: &mut Vec<u32>);
    /// Removes all that has expired.
    fn sweep(&self);
    fn len(&self) -> u64;
}

/// When everything but the live has expired, in a time of our own.
const LATER: Instant = Instant::from_secs(100);

impl Expiring for Ours {
    fn aged(expired: &[u64], live: &[u64]) -> Self {
        let builder = Cache::builder(tidegate::domain(), tidegate::SeededState::new(0x5eed));
        let cache: Self = builder.time_to_live(Duration::from_secs(1)).build().expect("memory");
        let (mut worker, start) = (cache.domain().worker(), Instant::ORIGIN);
        for keys in expired.chunks(BURST) {
            let guard = worker.quiescent(start);
            for &key in keys {
                cache.insert(key, key, start, guard).expect("room");
            }
        }
        for &key in live {
            let stays = Insert::new().time_to_live(Ttl::Forever);
            let guard = worker.quiescent(start);
            cache.insert_with(key, key, stays, start, guard).expect("room");
        }
        cache
    }

    fn read(&self, live: &[u64], times: &mut Vec<u32>) {
        let mut worker = self.domain().worker();
        for keys in live.chunks(BURST) {
            let guard = worker.quiescent(LATER);
            timed(keys, times, |key| self.get(&key, LATER, guard).copied());
        }
    }

    fn sweep(&self) {
        let mut sweep = self.sweeper(self.domain().worker());
        // Twice: what the first pass retires, the second frees.
        for _ in 0..2 {
            while !sweep.sweep(LATER, Budget::entries(256)).wrapped {}
        }
    }

    fn len(&self) -> u64 {
        self.usage().entries
    }
}

/// Those with a clock of their own are waited for.
const WAIT: Duration = Duration::from_secs(4);

impl Expiring for Moka {
    fn aged(expired: &[u64], live: &[u64]) -> Self {
        let hasher = tidegate::SeededState::new(0x5eed);
        let cache = moka::sync::Cache::builder().time_to_live(WAIT).build_with_hasher(hasher);
        expired.iter().for_each(|&key| cache.insert(key, key));
        cache.run_pending_tasks();
        std::thread::sleep(WAIT);
        live.iter().for_each(|&key| cache.insert(key, key));
        cache
    }

    fn read(&self, live: &[u64], times: &mut Vec<u32>) {
        timed(live, times, |key| self.get(&key));
    }

    fn sweep(&self) {
        let mut before = self.entry_count() + 1;
        while self.entry_count() < before {
            before = self.entry_count();
            self.run_pending_tasks();
        }
    }

    fn len(&self) -> u64 {
        self.entry_count()
    }
}

impl Expiring for MiniMoka {
    fn aged(expired: &[u64], live: &[u64]) -> Self {
        let hasher = tidegate::SeededState::new(0x5eed);
        let cache = mini_moka::sync::Cache::builder().time_to_live(WAIT).build_with_hasher(hasher);
        expired.iter().for_each(|&key| cache.insert(key, key));
        cache.sync();
        std::thread::sleep(WAIT);
        live.iter().for_each(|&key| cache.insert(key, key));
        cache
    }

    fn read(&self, live: &[u64], times: &mut Vec<u32>) {
        timed(live, times, |key| self.get(&key));
    }

    fn sweep(&self) {
        let mut before = self.entry_count() + 1;
        while self.entry_count() < before {
            before = self.entry_count();
            self.sync();
        }
    }

    fn len(&self) -> u64 {
        self.entry_count()
    }
}

fn timed(keys: &[u64], times: &mut Vec<u32>, get: impl Fn(u64) -> Option<u64>) {
    let mut before = thread_time();
    for &key in keys {
        black_box(get(key));
        let after = thread_time();
        times.push(u32::try_from(after - before).unwrap_or(u32::MAX));
        before = after;
    }
}

/// What the gets of one run took, in microseconds of the reader's own time.
struct Gets {
    largest: f64,
    rare: f64,
}

impl Gets {
    fn of(mut times: Vec<u32>) -> Self {
        times.sort_unstable();
        let rare = times[times.len() - 1 - times.len() / 10_000];
        Self { largest: micros(times[times.len() - 1]), rare: micros(rare) }
    }
}

/// Gets while a thread sweeps, and as many while none does.
fn run<C: Expiring>(expired: &[u64], live: &[u64]) -> (Gets, Gets) {
    let cache = C::aged(expired, live);
    // Written, so that the memory is there.
    let (mut times, mut quiet) = (vec![1; 1 << 24], vec![1; 1 << 24]);
    times.clear();
    quiet.clear();
    while_another(|| cache.sweep(), || cache.read(live, &mut times));
    assert!(cache.len() <= live.len() as u64, "{} left", cache.len());
    // The other processor is as busy as it was, with something else.
    let read_as_many = AtomicBool::new(false);
    let spin = || {
        while !read_as_many.load(Ordering::Relaxed) {
            std::hint::spin_loop()
        }
    };
    while_another(spin, || {
        cache.read(live, &mut quiet);
        read_as_many.store(quiet.len() >= times.len(), Ordering::Relaxed);
    });
    (Gets::of(times), Gets::of(quiet))
}

/// Does `ours`, once and then over and over, until a thread is done with `theirs`.
fn while_another(theirs: impl FnOnce() + Send, mut ours: impl FnMut()) {
    let (begun, done) = (AtomicBool::new(false), AtomicBool::new(false));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            begun.store(true, Ordering::Relaxed);
            theirs();
            done.store(true, Ordering::Relaxed);
        });
        while !begun.load(Ordering::Relaxed) {
            std::hint::spin_loop()
        }
        loop {
            ours();
            if done.load(Ordering::Relaxed) {
                break;
            }
        }
    });
}

pub(super) fn pauses(effort: Effort, row: &mut impl FnMut(Row)) {
    let all = keys(effort.keys + LIVE);
    let (expired, live) = all.split_at(effort.keys);
    let turns = effort.turns.min(7);
    let runs = |run: fn(&[u64], &[u64]) -> (Gets, Gets), turns| -> Vec<(Gets, Gets)> {
        (0..turns).map(|_| run(expired, live)).collect()
    };
    let ours = runs(run::<Ours>, turns);
    let figure = |runs: &[(Gets, Gets)], of: fn(&(Gets, Gets)) -> f64| -> f64 {
        median(runs.iter().map(of).collect())
    };
    let mut compare = |case: &str, rival, ours: f64, theirs: f64| {
        row(Row {
            bench: "cache",
            case: format!("sweep-pause {case}"),
            keys: expired.len(),
            threads: 2,
            ours_ns: ours,
            rival,
            rival_ns: theirs,
            ratio: theirs / ours,
            unit: Some("us"),
        });
    };
    let (largest, rare) = (figure(&ours, |run| run.0.largest), figure(&ours, |run| run.0.rare));
    let quiet = (figure(&ours, |run| run.1.largest), figure(&ours, |run| run.1.rare));
    compare("largest", "tidegate, not sweeping", largest, quiet.0);
    compare("p99.99", "tidegate, not sweeping", rare, quiet.1);
    // They are waited for: fewer runs.
    for (rival, runs) in [
        ("moka", runs(run::<Moka>, turns.min(3))),
        ("mini-moka", runs(run::<MiniMoka>, turns.min(3))),
    ] {
        compare("largest", rival, largest, figure(&runs, |run| run.0.largest));
        compare("p99.99", rival, rare, figure(&runs, |run| run.0.rare));
    }
}
