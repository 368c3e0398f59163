//! Timing side by side, and the rows of a report.
//!
//! The machine drifts and is shared, so contestants take turns within one run, and what is reported
//! is the median over the turns and the median of the turns' ratios.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::Barrier;
use std::time::{Duration, Instant};

use serde::Serialize;

/// One line of a report. `ratio` above 1 always means that ours is better.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// The part of the library.
    pub bench: &'static str,
    /// What was done, in words.
    pub case: String,
    /// How many keys there were.
    pub keys: usize,
    /// How many threads did it at once.
    pub threads: usize,
    /// Ours: nanoseconds an operation, or as `unit` says.
    pub ours_ns: f64,
    /// Whom we are compared with.
    pub rival: &'static str,
    /// Theirs.
    pub rival_ns: f64,
    /// Theirs by ours.
    pub ratio: f64,
    /// Set for rows that are no times.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unit: Option<&'static str>,
}

/// The rows of one race in which ours was the first.
pub fn rows<'a>(
    bench: &'static str,
    case: &'a str,
    size: usize,
    threads: usize,
    rivals: &'a [&'static str],
    times: &'a [(f64, f64)],
) -> impl Iterator<Item = Row> + 'a {
    rivals.iter().zip(&times[1..]).map(move |(rival, (rival_ns, ratio))| Row {
        bench,
        case: case.to_owned(),
        keys: size,
        threads,
        ours_ns: times[0].0,
        rival,
        rival_ns: *rival_ns,
        ratio: *ratio,
        unit: None,
    })
}

/// One who takes turns: does so many operations on thread `thread`, from position `from` on.
pub type Contestant<'a> = &'a (dyn Fn(usize, usize, usize) + Sync);

/// Nanoseconds an operation for each contestant (median of the turns), and the first's advantage
/// over each (median of the ratios within a turn).
pub fn race(
    contestants: &[Contestant<'_>],
    threads: usize,
    turns: usize,
    operations: usize,
) -> Vec<(f64, f64)> {
    let mut times: Vec<Vec<f64>> = vec![Vec::new(); contestants.len()];
    // The first turn warms up and is not counted.
    for turn in 0..=turns {
        for (contestant, times) in contestants.iter().zip(&mut times) {
            let time = timed(*contestant, threads, turn, operations);
            if turn > 0 {
                times.push(time.as_nanos() as f64 / operations as f64);
            }
        }
    }
    let first = times[0].clone();
    times
        .into_iter()
        .map(|times| {
            let ratios = times.iter().zip(&first).map(|(theirs, ours)| theirs / ours).collect();
            (median(times), median(ratios))
        })
        .collect()
}

fn timed(contestant: Contestant<'_>, threads: usize, turn: usize, operations: usize) -> Duration {
    if threads == 1 {
        let start = Instant::now();
        contestant(0, turn * operations, operations);
        return start.elapsed();
    }
    // The longest of the threads, from a common start: starting them is not part of the work.
    let barrier = Barrier::new(threads);
    std::thread::scope(|scope| {
        let running: Vec<_> = (0..threads)
            .map(|thread| {
                let barrier = &barrier;
                scope.spawn(move || {
                    barrier.wait();
                    let start = Instant::now();
                    contestant(thread, turn * operations, operations);
                    start.elapsed()
                })
            })
            .collect();
        running.into_iter().map(|thread| thread.join().expect("no panic")).max().expect("a thread")
    })
}

/// The middle of `values`.
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Of figures of one turn each, ours first: the medians, and those of the ratios within a turn.
pub fn medians(figures: &[Vec<f64>]) -> Vec<(f64, f64)> {
    let against = |theirs: &Vec<f64>| {
        let ratios = theirs.iter().zip(&figures[0]).map(|(theirs, ours)| theirs / ours).collect();
        (median(theirs.clone()), median(ratios))
    };
    figures.iter().map(against).collect()
}

/// In microseconds.
pub fn micros(nanos: u32) -> f64 {
    f64::from(nanos) / 1e3
}

/// What the thread has had of its processor, in nanoseconds: what others take from it, on a machine
/// that is shared, does not count.
pub fn thread_time() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: writes to `time`, which outlives the call.
    let failed = unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) };
    assert!(failed == 0, "no clock of a thread's time");
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// The system's allocator, which counts the bytes that are requested and not yet returned.
///
/// Each thread counts for itself: a count that all shared would be a cache line for which the
/// threads of a race contend at every allocation.
#[derive(Debug)]
pub struct Counting;

thread_local! {
    /// Wraps: a thread may return what another requested.
    static REQUESTED: Cell<usize> = const { Cell::new(0) };
}

impl Counting {
    /// The bytes this thread requested, less those it returned.
    pub fn requested() -> usize {
        REQUESTED.get()
    }

    fn add(bytes: usize) {
        REQUESTED.set(REQUESTED.get().wrapping_add(bytes));
    }
}

// SAFETY: every call is passed on to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        Self::add(layout.size());
        // SAFETY: the caller's promise about `layout` is the one asked for.
        unsafe { System.alloc(layout) }
    }

    // Passed on, too: the one that the trait provides writes the zeros itself, and large tables,
    // which the system hands out zeroed, would cost their makers much more than they do.
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        Self::add(layout.size());
        // SAFETY: as above.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        Self::add(layout.size().wrapping_neg());
        // SAFETY: `memory` came from `alloc` with this `layout`, by the caller's promise.
        unsafe { System.dealloc(memory, layout) }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        Self::add(size.wrapping_sub(layout.size()));
        // SAFETY: as above, and `size` is as the caller promises.
        unsafe { System.realloc(memory, layout, size) }
    }
}

/// What the process has had of its processors.
pub fn process_time() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: writes to `time`, which outlives the call.
    let failed = unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &raw mut time) };
    assert!(failed == 0, "no clock of the process's time");
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}
