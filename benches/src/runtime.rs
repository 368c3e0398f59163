//! The runtime: how soon it stops, how well it keeps its cadence, what sweeping costs those who check, and what
//! it takes when there is nothing to do. Beside what was aimed for, not beside a rival.

use std::hint::black_box;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tidegate::lockfree::{BucketTable, TableSweep};
use tidegate::pressure::{Meminfo, Pool, Pressure, Root};
use tidegate::refresh::{Minted, Refresher};
use tidegate::{Clock, First, Quota, Runtime, Schedule, Stop, Swept, clock};

use crate::measure::{Row, median, process_time, thread_time};
use crate::workload::{Spread, keys, sequence};

const LONG: Duration = Duration::from_secs(60);

fn row(case: &str, keys: usize, threads: usize, ours: f64, goal: f64, unit: &'static str) -> Row {
    Row {
        bench: "runtime",
        case: case.to_owned(),
        keys,
        threads,
        ours_ns: ours,
        rival: "aimed for",
        rival_ns: goal,
        // Of nothing beside nothing, neither is better.
        ratio: if ours == goal { 1.0 } else { goal / ours },
        unit: Some(unit),
    }
}

/// Runs everything, and hands each row over as it comes.
pub fn run(turns: usize, mut show: impl FnMut(Row)) {
    stop(&mut show);
    cadence(&mut show);
    sweeping(turns, &mut show);
    idle(&mut show);
    many(&mut show);
}

fn runtime() -> Runtime {
    Runtime::builder().build().expect("a runtime")
}

/// Of an idle thread with a minute to go.
fn stop(show: &mut impl FnMut(Row)) {
    let mut took: Vec<f64> = (0..201)
        .map(|_| {
            let runtime = runtime();
            let every = Schedule::every(LONG).expect("an interval").first(First::AfterInterval);
            let nothing = |_, _| Ok::<_, String>(Swept::default());
            runtime.task("it", every, nothing).expect("a name");
            runtime.start().expect("a thread");
            std::thread::sleep(Duration::from_millis(2));
            let start = Instant::now();
            assert_eq!(runtime.stop(LONG), Stop::Stopped);
            start.elapsed().as_secs_f64() * 1e6
        })
        .collect();
    took.sort_by(f64::total_cmp);
    show(row("stop an idle thread, median", 0, 1, took[100], 10_000.0, "us"));
    show(row("stop an idle thread, slowest of 201", 0, 1, took[200], 10_000.0, "us"));
}

/// 10,000 deadlines of 5 ms: how late each run begins, and whether that grows.
fn cadence(show: &mut impl FnMut(Row)) {
    const TICKS: usize = 10_000;
    let tick = Duration::from_millis(5);
    let (runtime, starts) = (runtime(), Arc::new(Mutex::new(Vec::with_capacity(TICKS))));
    let seen = Arc::clone(&starts);
    let task = runtime.task("it", Schedule::every(tick).expect("an interval"), move |_, _| {
        seen.lock().expect("no panic").push(clock().now());
        Ok::<_, String>(Swept { wrapped: true, ..Swept::default() })
    });
    let task = task.expect("a name");
    // Runs that begin too late to be of their own deadline are counted there.
    runtime.start().expect("a thread");
    std::thread::sleep(tick * TICKS as u32 + tick / 2);
    assert_eq!(runtime.stop(LONG), Stop::Stopped);
    let (starts, overruns) = (starts.lock().expect("no panic"), task.metrics().overruns);
    // The first is as late as the thread was: the grid is that of the median start.
    let offset = |start: &tidegate::Instant| start.as_nanos() as i64 % 5_000_000;
    let errors: Vec<f64> = {
        let reference = median(starts.iter().map(|start| offset(start) as f64).collect());
        starts.iter().map(|start| (offset(start) as f64 - reference).abs() / 1e3).collect()
    };
    // By the deadlines that the thread itself says it skipped, or a slow drift would look like one.
    let late = |from: usize, skipped: u64| {
        let part = starts.iter().enumerate().skip(from).take(100);
        let lateness = part.map(|(k, start)| {
            let deadline = starts[0].as_nanos() as f64 + (k as f64 + skipped as f64) * 5e6;
            (start.as_nanos() as f64 - deadline) / 1e3
        });
        median(lateness.collect()).abs()
    };
    let mean = errors.iter().sum::<f64>() / errors.len() as f64;
    show(row("10,000 runs every 5 ms: mean error", 0, 1, mean, 250.0, "us"));
    let (first, last) = (late(0, 0), late(starts.len() - 100, overruns));
    show(row("the same: of the first 100, median", 0, 1, first, 250.0, "us"));
    show(row("the same: of the last 100, median", 0, 1, last, 250.0, "us"));
    show(row("the same: deadlines that were skipped", 0, 1, overruns as f64, 0.0, "deadlines"));
}

/// A check of 1 M buckets by two threads at once, by the time that the thread had, while a third sweeps; and
/// while none does.
fn sweeping(turns: usize, show: &mut impl FnMut(Row)) {
    const KEYS: usize = 1_000_000;
    const CHECKS: usize = 500_000;
    let quota = Quota::per_second(1_000_000).expect("a quota");
    let table = BucketTable::boxed(quota, KEYS, tidegate::random_state()).expect("a unit");
    let (table, keys) = (Arc::new(table), keys(KEYS));
    let plan = table.plan(quota).expect("a plan");
    let sequence = sequence(&keys, Spread::Uniform);
    let hammer = |seed: usize| {
        let mut took = Vec::with_capacity(CHECKS);
        for key in sequence.iter().cycle().skip(seed * 77_777).take(CHECKS) {
            let start = thread_time();
            _ = black_box(table.check(key, &plan, clock().now()));
            took.push((thread_time() - start) as u32);
        }
        took
    };
    // Never; a pass ten times a second; and one after the other, which takes a third thread on whatever
    // processors there are.
    let cadences = [None, Some(100), Some(1)].map(|millis| millis.map(Duration::from_millis));
    let mut tails: Vec<Vec<f64>> = vec![Vec::new(); cadences.len()];
    let mut halves = tails.clone();
    for _ in 0..turns {
        for (number, cadence) in cadences.iter().enumerate() {
            let runtime = runtime();
            if let Some(cadence) = *cadence {
                let every = Schedule::every(cadence).expect("an interval");
                let sweep = TableSweep::new(Arc::clone(&table));
                runtime.sweep("table", every, sweep).expect("a name");
                runtime.start().expect("a thread");
            }
            let mut took = std::thread::scope(|scope| {
                let hammer = &hammer;
                let threads = [1, 2].map(|seed| scope.spawn(move || hammer(seed)));
                threads.map(|thread| thread.join().expect("no panic")).concat()
            });
            assert_eq!(runtime.stop(LONG), Stop::Stopped);
            took.sort_unstable();
            let at = |part: f64| f64::from(took[(took.len() as f64 * part) as usize]);
            tails[number].push(at(0.999));
            halves[number].push(at(0.5));
        }
    }
    let mut compared = |case: &str, figures: &[Vec<f64>], number: usize| {
        let ratios = figures[0].iter().zip(&figures[number]).map(|(quiet, swept)| quiet / swept);
        let (swept, quiet) = (median(figures[number].clone()), median(figures[0].clone()));
        let mut row = row(case, KEYS, 2, swept, quiet, "ns");
        row.rival = "not sweeping";
        row.ratio = median(ratios.collect());
        show(row);
    };
    compared("a check beside ten passes a second, p99.9", &tails, 1);
    compared("the same, median", &halves, 1);
    compared("a check beside pass after pass, p99.9", &tails, 2);
    compared("the same, median", &halves, 2);
}

/// What the process takes when nothing is due: sweeps every minute, pressure every five seconds, a token.
fn idle(show: &mut impl FnMut(Row)) {
    let runtime = runtime();
    for n in 0..10 {
        let every = Schedule::every(LONG).expect("an interval");
        let nothing = |_, _| Ok::<_, String>(Swept { wrapped: true, ..Swept::default() });
        runtime.task(&format!("target {n}"), every, nothing).expect("a name");
    }
    let memory = Pressure::builder(Meminfo::new(Root::system()), &Pool::new());
    runtime.pressure("memory", memory).expect("threads");
    let mint = || Ok::<_, String>(Minted { value: (), ttl: LONG.into() });
    let token = Arc::new(Refresher::builder(mint).build().expect("a token"));
    runtime.refresh("token", Duration::from_secs(1), token).expect("a thread");
    runtime.start().expect("threads");
    std::thread::sleep(Duration::from_millis(500));
    let (start, before) = (Instant::now(), process_time());
    std::thread::sleep(Duration::from_secs(20));
    let share = (process_time() - before).as_secs_f64() / start.elapsed().as_secs_f64() * 100.0;
    assert_eq!(runtime.stop(LONG), Stop::Stopped);
    show(row("an idle runtime with 12 targets, of a processor", 0, 5, share, 0.1, "%"));
}

/// What the process takes while a runtime has nothing to do for many targets of a second each, whose deadlines
/// are spread over the second; and how long it takes to add them.
fn many(show: &mut impl FnMut(Row)) {
    let second = Duration::from_secs(1);
    let every = Schedule::every(second).expect("an interval");
    let nothing = |_, _| Ok::<_, String>(Swept { wrapped: true, ..Swept::default() });
    for targets in [1_000_u32, 2_000, 4_000, 8_000] {
        let runtime = runtime();
        runtime.start().expect("a thread");
        let (start, mut adding) = (Instant::now(), Duration::ZERO);
        for target in 0..targets {
            std::thread::sleep((second * target / targets).saturating_sub(start.elapsed()));
            let before = Instant::now();
            runtime.task(&format!("target {target}"), every, nothing).expect("a name");
            adding += before.elapsed();
        }
        std::thread::sleep(second);
        let (start, before) = (Instant::now(), process_time());
        std::thread::sleep(second * 10);
        let share = (process_time() - before).as_secs_f64() / start.elapsed().as_secs_f64() * 100.0;
        assert_eq!(runtime.stop(LONG), Stop::Stopped);
        let (targets, adding) = (targets as usize, adding.as_secs_f64() * 1e3);
        show(row("idle targets of a second each, of a processor", targets, 1, share, 4.0, "%"));
        show(row("adding them", targets, 1, adding, 100.0, "ms"));
    }
}
