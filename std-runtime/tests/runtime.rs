//! The runtime: cadence, start and stop, triggers, panics, health and metrics; the cases of SARK's cleanup
//! task (S-C...) and of keter's purge threads (K-C...) by their ids.

mod common;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use common::{Gate, wait_until};
use tidegate::lockfree::{BucketTable, TableSweep};
use tidegate::{
    Budget, Clock, First, Health, ManualClock, Metrics, Quota, RunError, Runtime, Schedule,
    StartError, Stop, Sweep, SweepHandle, Swept, clock,
};

const MINUTE: Duration = Duration::from_secs(60);
const LONG: Duration = Duration::from_secs(20);

fn runtime() -> Runtime {
    Runtime::builder().build().expect("a runtime")
}

fn every(millis: u64) -> Schedule {
    Schedule::every(Duration::from_millis(millis)).expect("an interval")
}

fn removing(removed: usize) -> Swept {
    Swept { visited: 1, removed, freed: 0, wrapped: true }
}

/// A task that removes what `f` says, or fails.
fn task(
    runtime: &Runtime,
    name: &str,
    schedule: Schedule,
    mut f: impl FnMut() -> Result<usize, String> + Send + 'static,
) -> SweepHandle {
    runtime.task(name, schedule, move |_, _| f().map(removing)).expect("a name")
}

#[test]
fn s_c1_c2_c4_metrics_begin_at_nothing_and_averages_need_a_run() {
    let runtime = runtime();
    let it = task(&runtime, "it", Schedule::every(MINUTE).expect("ok"), || Ok(10));
    assert_eq!(it.metrics(), Metrics::default());
    assert_eq!((it.metrics().removed_average(), it.metrics().runs), (0.0, 0));
    assert_eq!(it.metrics().duration_average(), Duration::ZERO);
    // S-C4: every minute is what the schedule says; nothing is started by being made.
    assert_eq!((it.schedule().interval(), it.health()), (MINUTE, Health::Stopped));
    assert!(!runtime.is_started());
    let metrics = Metrics { runs: 10, removed: 50, ..Metrics::default() };
    assert_eq!(metrics.removed_average(), 5.0);
}

#[test]
fn s_c5_starting_twice_is_starting_once() {
    let (runtime, runs) = (runtime(), Arc::new(AtomicU64::new(0)));
    let counted = Arc::clone(&runs);
    task(&runtime, "it", Schedule::every(MINUTE).expect("ok"), move || {
        counted.fetch_add(1, Ordering::Relaxed);
        Ok(0)
    });
    runtime.start().expect("a thread");
    runtime.start().expect("the same thread");
    assert!(runtime.is_started());
    wait_until(|| runs.load(Ordering::Relaxed) == 1);
    std::thread::sleep(Duration::from_millis(20));
    assert_eq!(runs.load(Ordering::Relaxed), 1);
}

#[test]
fn s_c7_stopping_what_does_not_run_is_no_error() {
    let runtime = runtime();
    assert_eq!(runtime.stop(Duration::ZERO), Stop::Stopped);
    runtime.start().expect("a thread");
    assert_eq!(runtime.stop(LONG), Stop::Stopped);
    assert_eq!(runtime.stop(Duration::ZERO), Stop::Stopped);
    assert_eq!(runtime.health(), Health::Stopped);
}

/// S2: a sleeping thread is woken at once. (S-B1: the original takes five seconds.)
#[test]
fn s2_an_idle_thread_with_a_minute_to_go_stops_at_once() {
    let mut took = Vec::new();
    for _ in 0..21 {
        let runtime = runtime();
        let it = task(&runtime, "it", Schedule::every(MINUTE).expect("ok"), || Ok(0));
        runtime.start().expect("a thread");
        wait_until(|| it.metrics().runs == 1);
        let start = Instant::now();
        assert_eq!(runtime.stop(LONG), Stop::Stopped);
        took.push(start.elapsed());
    }
    took.sort();
    println!("stop of an idle thread: median {:?}, slowest {:?}", took[10], took[20]);
    // It waits for no deadline, nor for a poll: microseconds, or until a busy machine lets it run.
    assert!(took[10] < Duration::from_secs(1), "{took:?}");
}

#[test]
fn s_c8_a_step_that_is_stuck_times_out_and_says_so() {
    let (runtime, gate) = (runtime(), Gate::new());
    let stuck = Arc::clone(&gate);
    let ended = Arc::new(AtomicBool::new(false));
    let says = Arc::clone(&ended);
    let it = task(&runtime, "it", Schedule::every(MINUTE).expect("ok"), move || {
        stuck.pass();
        says.store(true, Ordering::SeqCst);
        Ok(1)
    });
    runtime.start().expect("a thread");
    gate.wait_for(1);
    assert_eq!(runtime.stop(Duration::from_millis(20)), Stop::TimedOut);
    // S1, S-B2: nobody gets a second loop while the first is not through.
    assert!(matches!(runtime.start(), Err(StartError::Stopping)));
    assert_eq!(it.trigger(), Err(RunError::Stopping));
    gate.open();
    assert_eq!(runtime.stop(LONG), Stop::Stopped);
    assert!(ended.load(Ordering::SeqCst), "the step was let finish");
    assert_eq!(it.metrics().runs, 1);
    runtime.start().expect("again");
    wait_until(|| it.metrics().runs == 2);
}

/// S2: after `Stopped` nothing of the caller's runs, of a target that would never be done.
#[test]
fn s2_after_stopped_no_step_begins() {
    let (runtime, steps) = (runtime(), Arc::new(AtomicU64::new(0)));
    let counted = Arc::clone(&steps);
    runtime
        .task("endless", Schedule::every(MINUTE).expect("ok"), move |_, _| {
            counted.fetch_add(1, Ordering::Relaxed);
            Ok::<_, String>(Swept { visited: 1, ..Swept::default() })
        })
        .expect("a name");
    runtime.start().expect("a thread");
    wait_until(|| steps.load(Ordering::Relaxed) > 100);
    assert_eq!(runtime.stop(LONG), Stop::Stopped);
    let after = steps.load(Ordering::Relaxed);
    std::thread::sleep(Duration::from_millis(20));
    assert_eq!(steps.load(Ordering::Relaxed), after);
}

#[test]
fn s_c10_c11_a_run_that_removes_nothing_and_one_that_fails() {
    let runtime = runtime();
    let it = task(&runtime, "it", Schedule::every(MINUTE).expect("ok"), || Ok(0));
    assert_eq!(it.trigger().map(|swept| swept.removed), Ok(0));
    let metrics = it.metrics();
    assert_eq!((metrics.runs, metrics.removed, metrics.removed_last), (1, 0, 0));
    assert!(metrics.last_success.is_some());

    let broken = task(&runtime, "broken", Schedule::every(MINUTE).expect("ok"), || {
        Err("on purpose".to_owned())
    });
    assert_eq!(broken.trigger(), Err(RunError::Failed("on purpose".to_owned())));
    let metrics = broken.metrics();
    assert_eq!((metrics.runs, metrics.errors, metrics.panics), (0, 1, 0));
    assert_eq!((metrics.consecutive_errors, metrics.last_success), (1, None));
}

/// When runs of `work` began, so many at least, counted from before the runtime was started.
fn starts_of(runs: u64, schedule: Schedule, work: Duration) -> (Vec<Duration>, Metrics) {
    let (runtime, starts) = (runtime(), Arc::new(Mutex::new(Vec::new())));
    let (seen, began) = (Arc::clone(&starts), Instant::now());
    let it = task(&runtime, "it", schedule, move || {
        seen.lock().unwrap().push(began.elapsed());
        std::thread::sleep(work);
        Ok(0)
    });
    runtime.start().expect("a thread");
    wait_until(|| it.metrics().runs >= runs);
    assert_eq!(runtime.stop(LONG), Stop::Stopped);
    let starts = std::mem::take(&mut *starts.lock().unwrap());
    (starts, it.metrics())
}

/// Whether it holds once within a minute. The machine may be busy now and then; what drifts does so every time.
fn holds_once(holds: impl Fn() -> bool) -> bool {
    let start = Instant::now();
    std::iter::repeat_with(holds).take_while(|_| start.elapsed() < MINUTE).any(|holds| holds)
}

/// S9: the first at once or after an interval, and fixed deadlines. (S-C13: the original has drifted by then;
/// S-B9: what the work takes is not added to the interval.)
#[test]
fn s_c13_deadlines_are_kept_whatever_the_work_takes() {
    const RUNS: u64 = 12;
    let [work, unit] = [30, 50].map(Duration::from_millis);
    assert!(holds_once(|| {
        let (starts, metrics) = starts_of(RUNS, every(50).first(First::AfterInterval), work);
        // Never at once, nor before its time.
        let deadlines = (1..).map(|number| unit * number);
        assert!(starts.iter().zip(deadlines).all(|(start, at)| *start >= at), "{starts:?}");
        // Each deadline that has passed is either that of a run or counted as skipped, also on a machine
        // that is late for all of them. With the work added, six would be neither.
        let passed = starts.last().expect("a run").as_millis() / unit.as_millis();
        println!("{passed} deadlines, {} runs, {} skipped", metrics.runs, metrics.overruns);
        passed <= u128::from(metrics.runs + metrics.overruns) + 2
    }));
}

#[test]
fn s_c14_a_failure_is_counted_and_the_next_run_comes() {
    let runtime = runtime();
    let mut outcomes = vec![Ok(5), Ok(5), Err("on purpose".to_owned())];
    let it = task(&runtime, "it", every(10), move || outcomes.pop().unwrap_or(Ok(0)));
    runtime.start().expect("a thread");
    wait_until(|| it.metrics().runs > 1);
    assert_eq!(runtime.stop(LONG), Stop::Stopped);
    let metrics = it.metrics();
    assert_eq!((metrics.errors, metrics.consecutive_errors), (1, 0));
    assert_eq!(metrics.removed, 10);
}

#[test]
fn s_c16_c17_totals_and_a_reset() {
    let runtime = runtime();
    let it = task(&runtime, "it", Schedule::every(MINUTE).expect("ok"), || Ok(5));
    assert!(it.trigger().is_ok() && it.trigger().is_ok());
    let metrics = it.metrics();
    assert_eq!((metrics.runs, metrics.removed, metrics.removed_average()), (2, 10, 5.0));
    assert!(metrics.duration_max >= metrics.duration_last);
    assert!(metrics.duration_total >= metrics.duration_max);
    assert_eq!(metrics.duration_average(), metrics.duration_total / 2);
    assert!(metrics.last_success_age(clock().now()).is_some());
    it.reset_metrics();
    assert_eq!(it.metrics(), Metrics::default());
}

/// S8: one instance a name, with one configuration. (S-B7: the original ignores a second one.)
#[test]
fn s_c19_one_shared_runtime_of_a_name() {
    let shared = || Runtime::builder().name("s-c19");
    assert!(Runtime::find("s-c19").is_none());
    let one = shared().shared().expect("new");
    let same = shared().shared().expect("the same");
    assert!(one.is(&same) && Runtime::find("s-c19").is_some_and(|found| found.is(&one)));
    let other = shared().stalled_after(7).shared().expect_err("another configuration");
    assert_eq!(other.field(), "stalled_after");
    let other = shared().clock(Arc::new(ManualClock::new())).shared().expect_err("another clock");
    assert_eq!(other.field(), "clock");

    let runs = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&runs);
    task(&one, "it", every(1), move || {
        counted.fetch_add(1, Ordering::Relaxed);
        Ok(0)
    });
    one.start().expect("a thread");
    drop(one);
    let before = runs.load(Ordering::Relaxed);
    wait_until(|| runs.load(Ordering::Relaxed) > before);
    // The last handle stops the thread, and the name is free.
    drop(same);
    let after = runs.load(Ordering::Relaxed);
    std::thread::sleep(Duration::from_millis(20));
    assert_eq!(runs.load(Ordering::Relaxed), after);
    assert!(Runtime::find("s-c19").is_none());
    assert!(shared().stalled_after(7).shared().is_ok());
}

/// S3: triggers that come together share a run, and each gets the answer of a run of its time.
#[test]
fn s_c20_triggers_that_come_together_share_a_run() {
    let (runtime, gate, runs) = (runtime(), Gate::new(), Arc::new(AtomicU64::new(0)));
    let (held, counted) = (Arc::clone(&gate), Arc::clone(&runs));
    let it = task(&runtime, "it", Schedule::every(MINUTE).expect("ok"), move || {
        held.pass();
        Ok(counted.fetch_add(1, Ordering::Relaxed) as usize + 1)
    });
    let triggers: Vec<_> = (0..24)
        .map(|_| {
            let it = it.clone();
            std::thread::spawn(move || it.trigger())
        })
        .collect();
    gate.wait_for(1);
    std::thread::sleep(Duration::from_millis(50));
    gate.open();
    let answers: Vec<_> = triggers.into_iter().map(|trigger| trigger.join().unwrap()).collect();
    let runs = runs.load(Ordering::Relaxed);
    assert!((1..=2).contains(&runs), "{runs} runs for 24 triggers that came together");
    for answer in answers {
        assert!((1..=runs as usize).contains(&answer.expect("a run").removed));
    }
}

#[test]
fn s3_a_trigger_that_shares_no_run_begins_its_own() {
    let (runtime, gate, runs) = (runtime(), Gate::new(), Arc::new(AtomicU64::new(0)));
    let (held, counted) = (Arc::clone(&gate), Arc::clone(&runs));
    let it = task(&runtime, "it", Schedule::every(MINUTE).expect("ok"), move || {
        held.pass();
        Ok(counted.fetch_add(1, Ordering::Relaxed) as usize + 1)
    });
    let first = std::thread::spawn({
        let it = it.clone();
        move || it.trigger()
    });
    gate.wait_for(1);
    let anew = std::thread::spawn({
        let it = it.clone();
        move || it.trigger_anew()
    });
    std::thread::sleep(Duration::from_millis(20));
    gate.open();
    assert_eq!(first.join().unwrap().map(|swept| swept.removed), Ok(1));
    assert_eq!(anew.join().unwrap().map(|swept| swept.removed), Ok(2));
}

/// S-B4: the original returns the count of the run before.
#[test]
fn s_c22_a_trigger_that_fails_says_so() {
    let runtime = runtime();
    let mut outcomes = vec![Err("on purpose".to_owned()), Ok(7)];
    let it = task(&runtime, "it", Schedule::every(MINUTE).expect("ok"), move || {
        outcomes.pop().expect("two runs")
    });
    assert_eq!(it.trigger().map(|swept| swept.removed), Ok(7));
    assert_eq!(it.trigger(), Err(RunError::Failed("on purpose".to_owned())));
    // And the third panics.
    assert_eq!(it.trigger(), Err(RunError::Panicked));
    let metrics = it.metrics();
    assert_eq!((metrics.runs, metrics.errors, metrics.panics), (1, 2, 1));
    assert_eq!(metrics.removed_last, 7);
}

#[test]
fn a_trigger_works_stopped_and_disabled_and_not_from_a_run() {
    let runtime = runtime();
    let it = task(&runtime, "it", every(1).enabled(false), || Ok(3));
    assert_eq!(it.trigger().map(|swept| swept.removed), Ok(3));
    runtime.start().expect("a thread");
    assert_eq!(it.health(), Health::Disabled);
    assert_eq!(it.trigger().map(|swept| swept.removed), Ok(3));
    assert_eq!(it.metrics().runs, 2);

    let (other, seen) = (it.clone(), Arc::new(Mutex::new(None)));
    let says = Arc::clone(&seen);
    let nested = task(&runtime, "nested", Schedule::every(MINUTE).expect("ok"), move || {
        *says.lock().unwrap() = Some(other.trigger());
        Ok(0)
    });
    assert!(nested.trigger().is_ok());
    assert_eq!(*seen.lock().unwrap(), Some(Err(RunError::Reentrant)));
}

/// S5 in all its values but `Dead`, which takes a thread that ends by itself: see the engine's own test.
#[test]
fn s5_health_says_how_it_is() {
    let (runtime, gate) = (runtime(), Gate::new());
    let well = task(&runtime, "well", every(1), || Ok(0));
    let off = task(&runtime, "off", every(1).enabled(false), || Ok(0));
    let bad = task(&runtime, "bad", every(1), || panic!("on purpose"));
    for it in [&well, &bad] {
        assert_eq!(it.health(), Health::Stopped);
    }
    assert_eq!(off.health(), Health::Disabled);
    runtime.start().expect("a thread");
    wait_until(|| bad.metrics().errors > 1 && well.metrics().runs > 1);
    let Health::Degraded { consecutive_errors } = bad.health() else {
        panic!("{:?}", bad.health());
    };
    assert!(consecutive_errors > 1);
    assert!(matches!(runtime.health(), Health::Degraded { .. } | Health::Stalled { .. }));
    bad.remove();
    assert_eq!(bad.trigger(), Err(RunError::Removed));
    off.enable(true);
    wait_until(|| off.metrics().runs > 0);
    off.enable(false);
    assert_eq!(off.health(), Health::Disabled);

    // S-B6: a run that hangs is not healthy; what waits behind it is not either.
    let stuck = Arc::clone(&gate);
    let hung = task(&runtime, "hung", every(1), move || {
        stuck.pass();
        Ok(0)
    });
    gate.wait_for(1);
    wait_until(|| matches!(hung.health(), Health::Stalled { .. }));
    wait_until(|| matches!(well.health(), Health::Stalled { .. }));
    assert!(matches!(runtime.health(), Health::Stalled { .. }));
    gate.open();
    wait_until(|| hung.health() == Health::Healthy && well.health() == Health::Healthy);
}

/// S6: the n-th failure in a row skips 2^(n-1) - 1 deadlines, 15 at most; one that ends well, none.
#[test]
fn s6_failures_in_a_row_become_rare() {
    let (runtime, fails) = (runtime(), Arc::new(AtomicBool::new(true)));
    let (asks, starts) = (Arc::clone(&fails), Arc::new(Mutex::new(Vec::new())));
    let (seen, began) = (Arc::clone(&starts), Instant::now());
    let it = task(&runtime, "it", every(4), move || {
        seen.lock().unwrap().push(began.elapsed());
        if asks.load(Ordering::Relaxed) { panic!("on purpose") } else { Ok(0) }
    });
    runtime.start().expect("a thread");
    wait_until(|| it.metrics().errors >= 7);
    let metrics = it.metrics();
    // 0 + 1 + 3 + 7 + 15 + 15
    assert!(metrics.backed_off >= 41, "{metrics:?}");
    // A start may be late, but never early: the k-th is due so many intervals after the first.
    let mut due = Duration::ZERO;
    for (n, start) in starts.lock().unwrap().iter().take(7).enumerate() {
        assert!(*start >= due, "{n}: {start:?} before {due:?}");
        due += Duration::from_millis(4) * (1 << n.min(4));
    }
    fails.store(false, Ordering::Relaxed);
    wait_until(|| it.metrics().runs > 3);
    assert_eq!((it.metrics().consecutive_errors, it.health()), (0, Health::Healthy));
}

/// S1: stopped and started again, by whomever, it is one loop: see also `lifecycle.rs`.
#[test]
fn s1_it_is_started_and_stopped_again_and_again() {
    let runtime = runtime();
    let it = task(&runtime, "it", Schedule::every(MINUTE).expect("ok"), || Ok(1));
    for round in 1..=5 {
        runtime.start().expect("a thread");
        wait_until(|| it.metrics().runs == round);
        assert_eq!(runtime.stop(LONG), Stop::Stopped);
        assert!(!runtime.is_started());
    }
}

/// S4: a snapshot is of one moment, also while runs end and somebody resets it.
#[test]
fn s4_figures_are_of_one_moment() {
    let runtime = runtime();
    let it = task(&runtime, "it", Schedule::every(MINUTE).expect("ok"), || Ok(3));
    std::thread::scope(|scope| {
        let runs = scope.spawn(|| {
            for round in 0..20_000 {
                assert!(it.trigger().is_ok());
                if round % 64 == 0 {
                    it.reset_metrics();
                }
            }
        });
        while !runs.is_finished() {
            let metrics = it.metrics();
            assert_eq!(metrics.removed, 3 * metrics.runs, "{metrics:?}");
            assert_eq!(metrics.last_success.is_some(), metrics.runs > 0, "{metrics:?}");
            assert!(metrics.duration_total >= metrics.duration_max, "{metrics:?}");
        }
    });
}

/// S7, S-B8: what cannot be is refused, by name.
#[test]
fn s7_settings_that_cannot_be_are_refused_by_name() {
    for interval in [Duration::ZERO, Duration::from_secs(400 * 86_400), Duration::MAX] {
        assert_eq!(Schedule::every(interval).expect_err("refused").field(), "interval");
    }
    let refused = Runtime::builder().stalled_after(0).build().expect_err("refused");
    assert_eq!(refused.field(), "stalled_after");
    let runtime = runtime();
    let it = task(&runtime, "it", every(1), || Ok(0));
    for name in ["", "it", "two\nlines", &"long".repeat(17)] {
        let taken = runtime.task(name, every(1), |_, _| Ok::<_, String>(Swept::default()));
        assert_eq!(taken.expect_err("refused").field(), "name", "{name:?}");
    }
    assert_eq!(it.set_interval(Duration::ZERO).expect_err("refused").field(), "interval");
    assert!(Runtime::builder().name("").build().is_err());
}

/// S13.
#[test]
fn s13_an_interval_follows_from_a_time_to_live() {
    let interval = |secs| Schedule::for_ttl(Duration::from_secs(secs)).interval();
    assert_eq!(interval(300), MINUTE);
    assert_eq!(interval(0), Duration::from_millis(1));
    assert_eq!(interval(u64::MAX), Duration::from_secs(3_600));
}

/// K-C38: what the work takes of an interval of 10, and how far apart runs begin.
#[test]
fn k_c38_starts_for_work_of_every_length() {
    let unit = Duration::from_millis(4);
    for (work, apart) in [(0, 10), (1, 10), (5, 10), (6, 10), (9, 10), (12, 20)] {
        let is_kept = || {
            let schedule = Schedule::every(unit * 10).expect("ok");
            let (starts, metrics) = starts_of(4, schedule, unit * work);
            let deadlines = (0..).map(|number| unit * apart * number);
            assert!(starts.iter().zip(deadlines).all(|(start, at)| *start >= at), "{starts:?}");
            // Those it cannot keep are skipped and counted; and between two runs there is time to rest.
            assert!(work < 10 || metrics.overruns >= 3, "{metrics:?}");
            // What takes a tenth would have it three tenths later, were it added.
            starts[3] < unit * (apart * 3 + 2)
        };
        assert!(holds_once(is_kept), "work {work} of an interval of 10: not {apart} apart");
    }
}

/// K15: one thread for many targets; one that takes for ever does not keep the others waiting.
#[test]
fn k15_targets_take_turns() {
    let runtime = runtime();
    runtime
        .task("endless", every(1), |_, _| Ok::<_, String>(Swept { visited: 1, ..Swept::default() }))
        .expect("a name");
    let others: Vec<_> =
        (0..200).map(|n| task(&runtime, &format!("zone-{n}"), every(5), || Ok(1))).collect();
    runtime.start().expect("a thread");
    wait_until(|| others.iter().all(|it| it.metrics().runs >= 3));
    assert_eq!(runtime.sweep_handles().len(), 201);
    for it in &others[1..] {
        it.remove();
    }
    assert_eq!(runtime.sweep_handles().len(), 2);
    assert!(runtime.sweep_handle("zone-1").is_none() && runtime.sweep_handle("zone-0").is_some());
    // Added while it runs.
    let late = task(&runtime, "zone-1", every(5), || Ok(1));
    wait_until(|| late.metrics().runs > 0);
}

/// K-B11, K13: what panics is counted, and the thread lives.
#[test]
fn k13_a_target_that_panics_does_not_end_the_others() {
    struct Broken;
    impl Sweep for Broken {
        fn sweep(&mut self, _: tidegate::Instant, _: Budget) -> Swept {
            /// Panics again when it is dropped.
            struct Bomb;
            impl Drop for Bomb {
                fn drop(&mut self) {
                    panic!("on purpose, once more");
                }
            }
            std::panic::panic_any(Bomb);
        }
    }
    let runtime = runtime();
    let broken = runtime.sweep("broken", every(1), Broken).expect("a name");
    let well = task(&runtime, "well", every(1), || Ok(1));
    runtime.start().expect("a thread");
    wait_until(|| broken.metrics().panics >= 3 && well.metrics().runs > 10);
    assert_eq!(runtime.stop(LONG), Stop::Stopped);
}

#[test]
fn a_table_is_swept_of_what_went_stale() {
    let quota = Quota::per_second(1_000).expect("a quota");
    let table = BucketTable::boxed(quota, 10_000, tidegate::random_state()).expect("a unit");
    let table = Arc::new(table.grace(Duration::ZERO));
    let plan = table.plan(quota).expect("a plan");
    for key in 0..5_000 {
        _ = table.check(&key, &plan, clock().now());
    }
    let (runtime, held) = (runtime(), table.len() as u64);
    let it = runtime.sweep("table", every(5), TableSweep::new(Arc::clone(&table))).expect("a name");
    runtime.start().expect("a thread");
    // Counted when a run ends, which a stop would put off.
    wait_until(|| it.metrics().removed == held);
    assert_eq!(runtime.stop(LONG), Stop::Stopped);
    assert!(table.is_empty());
}

#[test]
fn targets_are_swept_by_the_clock_of_the_runtime() {
    let manual = Arc::new(ManualClock::new());
    let runtime = Runtime::builder().clock(manual.clone()).build().expect("a runtime");
    let seen = Arc::new(Mutex::new(None));
    let says = Arc::clone(&seen);
    let it = runtime
        .task("it", every(1), move |now, budget| {
            *says.lock().unwrap() = Some((now, budget));
            Ok::<_, String>(Swept::default())
        })
        .expect("a name");
    manual.set(tidegate::Instant::from_secs(7));
    assert!(it.trigger().expect("it did nothing").wrapped);
    let seen = *seen.lock().unwrap();
    assert_eq!(seen, Some((tidegate::Instant::from_secs(7), Budget::entries(4_096))));
}

#[test]
fn stopping_and_dropping_from_within_a_step_does_not_wait_for_itself() {
    let runtime = runtime();
    let (inside, said) = (Arc::new(Mutex::new(Some(runtime.clone()))), Arc::new(Mutex::new(None)));
    let (takes, says) = (Arc::clone(&inside), Arc::clone(&said));
    let it = task(&runtime, "it", every(1), move || {
        if let Some(runtime) = takes.lock().unwrap().take() {
            *says.lock().unwrap() = Some(runtime.stop(LONG));
            // And this may be the last handle.
        }
        Ok(0)
    });
    let start = Instant::now();
    runtime.start().expect("a thread");
    drop(runtime);
    wait_until(|| said.lock().unwrap().is_some());
    assert_eq!(*said.lock().unwrap(), Some(Stop::TimedOut));
    wait_until(|| it.health() == Health::Stopped);
    assert!(start.elapsed() < Duration::from_secs(15));
}

#[test]
fn an_interval_is_changed_while_it_runs() {
    let runtime = runtime();
    let it = task(&runtime, "it", Schedule::every(MINUTE).expect("ok"), || Ok(0));
    runtime.start().expect("a thread");
    wait_until(|| it.metrics().runs == 1);
    it.set_interval(Duration::from_millis(2)).expect("an interval");
    wait_until(|| it.metrics().runs > 5);
    assert_eq!(it.schedule().interval(), Duration::from_millis(2));
}

/// H: what a run costs, and what adding and removing cost, does not grow with the number of targets. Counted in
/// the processor time of the threads that do it, which others on the machine do not take part in.
#[cfg(target_os = "linux")]
mod many_targets {
    use super::*;

    /// The processor time of this thread.
    fn thread_time() -> Duration {
        let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        // SAFETY: writes to `time`, which outlives the call.
        let failed = unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) };
        assert_eq!(failed, 0, "no clock of the thread's time");
        Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
    }

    /// How many times this thread has gone to sleep.
    fn sleeps() -> i64 {
        // SAFETY: a structure of numbers, for which zero is a value.
        let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
        // SAFETY: writes to `usage`, which outlives the call.
        let failed = unsafe { libc::getrusage(libc::RUSAGE_THREAD, &raw mut usage) };
        assert_eq!(failed, 0, "no figures of the thread");
        usage.ru_nvcsw
    }

    /// What the thread of `runtime` does in 1,000 runs: its processor time and its sleeps, in the median of some
    /// thousands of runs.
    fn of_a_thousand_runs(
        runtime: &Runtime,
        runs: &Arc<AtomicU64>,
        pulse: Schedule,
    ) -> (Duration, i64) {
        let marks = Arc::new(Mutex::new(Vec::<(u64, Duration, i64)>::new()));
        let (noted, counted) = (Arc::clone(&marks), Arc::clone(runs));
        let pulse = task(runtime, "pulse", pulse, move || {
            let (mut marks, runs) =
                (noted.lock().unwrap(), counted.fetch_add(1, Ordering::Relaxed));
            if marks.last().is_none_or(|(then, ..)| runs - then >= 1_000) {
                marks.push((runs, thread_time(), sleeps()));
            }
            Ok(0)
        });
        wait_until(|| marks.lock().unwrap().len() > 5);
        pulse.remove();
        let marks = marks.lock().unwrap();
        let parts = marks.windows(2).map(|pair| (pair[1].1 - pair[0].1, pair[1].2 - pair[0].2));
        let (mut times, mut sleeps): (Vec<_>, Vec<_>) = parts.unzip();
        times.sort();
        sleeps.sort_unstable();
        (times[times.len() / 2], sleeps[sleeps.len() / 2])
    }

    #[test]
    fn h_finding_what_is_due_costs_the_same_among_many() {
        let never = Schedule::every(MINUTE).expect("ok").first(First::AfterInterval);
        assert!(holds_once(|| {
            let (runtime, runs) = (runtime(), Arc::default());
            runtime.start().expect("a thread");
            let (alone, _) = of_a_thousand_runs(&runtime, &runs, every(1));
            for target in 0..10_000 {
                task(&runtime, &format!("target {target}"), never, || Ok(0));
            }
            let (among_many, _) = of_a_thousand_runs(&runtime, &runs, every(1));
            println!("1,000 runs take {alone:?}; {among_many:?} among 10,000 targets");
            among_many <= alone * 2
        }));
    }

    #[test]
    fn h_runs_that_are_due_at_about_the_same_time_share_a_wake() {
        const TARGETS: u32 = 1_000;
        let half = Duration::from_millis(500);
        let (runtime, runs) = (runtime(), Arc::new(AtomicU64::new(0)));
        runtime.start().expect("a thread");
        let start = Instant::now();
        for target in 0..TARGETS {
            // Spread over the interval.
            std::thread::sleep((half * target / TARGETS).saturating_sub(start.elapsed()));
            let counted = Arc::clone(&runs);
            task(
                &runtime,
                &format!("target {target}"),
                Schedule::every(half).expect("ok"),
                move || {
                    counted.fetch_add(1, Ordering::Relaxed);
                    Ok(0)
                },
            );
        }
        // About a hundred, for each wake serves five milliseconds; a thousand if none were shared.
        assert!(holds_once(|| {
            let pulse = Schedule::every(half).expect("ok");
            let (_, sleeps) = of_a_thousand_runs(&runtime, &runs, pulse);
            println!("{sleeps} sleeps for 1,000 runs");
            sleeps < 500
        }));
    }

    #[test]
    fn h_adding_and_removing_cost_the_same_among_many() {
        let never = Schedule::every(MINUTE).expect("ok").first(First::AfterInterval);
        let runtime = runtime();
        let add = |targets: std::ops::Range<u32>| {
            let names: Vec<_> = targets.map(|target| format!("target {target}")).collect();
            let start = thread_time();
            let added: Vec<_> =
                names.iter().map(|name| task(&runtime, name, never, || Ok(0))).collect();
            (thread_time() - start, added)
        };
        let remove = |targets: &[SweepHandle]| {
            let start = thread_time();
            targets.iter().for_each(SweepHandle::remove);
            thread_time() - start
        };
        assert!(holds_once(|| {
            let (few_added, few) = add(0..500);
            let (_, all) = add(500..8_000);
            let (many_added, many) = add(8_000..8_500);
            assert_eq!(runtime.sweep_handles().len(), 8_500);
            let many_removed = remove(&many);
            remove(&all);
            let few_removed = remove(&few);
            println!("adding 500: {few_added:?} to none, {many_added:?} to 8,000");
            println!("removing 500: {few_removed:?} of 500, {many_removed:?} of 8,500");
            many_added <= few_added * 6 && many_removed <= few_removed * 6
        }));
    }
}
