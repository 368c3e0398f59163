//! Starting, stopping, triggering, changing and dropping, from many threads at once; and code of other people's
//! that does the worst at the worst moment. `TIDEGATE_ROUNDS=100000` for the long form, best under
//! ThreadSanitizer: see CONTRIBUTING.md.

mod common;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use common::{Gate, SetAtTheEnd, wait_until, watchdog};
use tidegate::{
    Budget, Health, RunError, Runtime, Schedule, StartError, Stop, Sweep, SweepHandle, Swept,
};

const LONG: Duration = Duration::from_secs(30);

fn rounds(short: u64) -> u64 {
    std::env::var("TIDEGATE_ROUNDS").map_or(short, |rounds| rounds.parse().expect("a number"))
}

fn runtime() -> Runtime {
    Runtime::builder().build().expect("a runtime")
}

fn every(millis: u64) -> Schedule {
    Schedule::every(Duration::from_millis(millis)).expect("an interval")
}

fn done(removed: usize) -> Swept {
    Swept { visited: 1, removed, freed: 0, wrapped: true }
}

/// A task that notes, for it may not panic, if it is ever run by two.
fn alone(runtime: &Runtime, name: &str, faults: &Arc<AtomicU64>) -> (SweepHandle, Arc<AtomicU64>) {
    let (inside, steps) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let (faults, counted) = (Arc::clone(faults), Arc::clone(&steps));
    let task = runtime.task(name, every(1), move |_, _| {
        let before = inside.fetch_add(1, Ordering::SeqCst);
        faults.fetch_add(before, Ordering::SeqCst);
        let step = counted.fetch_add(1, Ordering::SeqCst);
        std::hint::spin_loop();
        inside.fetch_sub(1, Ordering::SeqCst);
        if step % 7 == 0 {
            Err("now and then")
        } else {
            Ok(Swept { wrapped: step % 3 == 0, ..done(1) })
        }
    });
    (task.expect("a name"), steps)
}

/// S1, S2: never two loops, and nothing runs after `Stopped`, though others trigger all the while.
#[test]
fn after_stopped_nothing_runs_that_nobody_asked_for() {
    let _watched = watchdog("after_stopped");
    let (runtime, faults) = (runtime(), Arc::new(AtomicU64::new(0)));
    let (task, steps) = alone(&runtime, "it", &faults);
    let (pause, over) = (AtomicBool::new(false), AtomicBool::new(false));
    let laps = [AtomicU64::new(0), AtomicU64::new(0)];
    std::thread::scope(|scope| {
        let _over = SetAtTheEnd(&over);
        for lap in &laps {
            let (over, pause, task) = (&over, &pause, &task);
            scope.spawn(move || {
                while !over.load(Ordering::SeqCst) {
                    if !pause.load(Ordering::SeqCst) {
                        _ = task.trigger();
                    }
                    lap.fetch_add(1, Ordering::SeqCst);
                    std::thread::yield_now();
                }
            });
        }
        for round in 0..rounds(2_000) {
            while let Err(error) = runtime.start() {
                assert!(matches!(error, StartError::Stopping));
                std::thread::yield_now();
            }
            if round % 2 == 0 {
                _ = task.trigger_anew();
            }
            let is_checked = round % 64 == 0;
            pause.store(is_checked, Ordering::SeqCst);
            assert_eq!(runtime.stop(LONG), Stop::Stopped);
            if is_checked {
                // A thread that had looked before may still ask; then all is quiet.
                for lap in &laps {
                    let first = lap.load(Ordering::SeqCst);
                    while lap.load(Ordering::SeqCst) < first + 2 {
                        std::thread::yield_now();
                    }
                }
                let after = steps.load(Ordering::SeqCst);
                std::thread::sleep(Duration::from_millis(5));
                assert_eq!(steps.load(Ordering::SeqCst), after);
                pause.store(false, Ordering::SeqCst);
            }
        }
    });
    assert_eq!(faults.load(Ordering::SeqCst), 0, "run by two at once");
    assert!(steps.load(Ordering::SeqCst) > 0);
}

/// The same with nobody who triggers: then not a single step.
#[test]
fn after_stopped_not_a_step() {
    let _watched = watchdog("not_a_step");
    let (runtime, faults) = (runtime(), Arc::new(AtomicU64::new(0)));
    let (_task, steps) = alone(&runtime, "it", &faults);
    for round in 0..rounds(2_000) {
        runtime.start().expect("it was stopped");
        if round % 3 == 0 {
            std::thread::yield_now();
        }
        assert_eq!(runtime.stop(LONG), Stop::Stopped);
        let after = steps.load(Ordering::SeqCst);
        for _ in 0..100 {
            std::hint::spin_loop();
        }
        assert_eq!(steps.load(Ordering::SeqCst), after);
    }
    assert_eq!(faults.load(Ordering::SeqCst), 0);
}

/// Everything at once, by eight threads: one loop, one step of a target at a time, and it all ends.
#[test]
fn all_calls_from_many_threads() {
    let _watched = watchdog("all_calls");
    let (runtime, faults) = (runtime(), Arc::new(AtomicU64::new(0)));
    let tasks: Vec<_> = (0..3).map(|n| alone(&runtime, &format!("task {n}"), &faults).0).collect();
    std::thread::scope(|scope| {
        for thread in 0..8_u64 {
            let (runtime, tasks, faults) = (runtime.clone(), &tasks, &faults);
            scope.spawn(move || {
                let mut random = thread.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
                for round in 0..rounds(8_000) / 8 {
                    random ^= random << 13;
                    random ^= random >> 7;
                    random ^= random << 17;
                    let task = &tasks[(random >> 32) as usize % tasks.len()];
                    match random % 11 {
                        0 => _ = runtime.start(),
                        1 => _ = runtime.stop(Duration::from_micros(random >> 20 & 0xff)),
                        2 => _ = runtime.stop(LONG),
                        3 | 4 => _ = task.trigger(),
                        5 => _ = task.trigger_anew(),
                        6 => task.enable(random & 1 << 40 == 0),
                        7 => _ = task.set_interval(Duration::from_micros(200 + (random >> 50))),
                        8 => task.reset_metrics(),
                        9 => {
                            let metrics = task.metrics();
                            assert!(u64::from(metrics.consecutive_errors) <= metrics.errors);
                            _ = (task.health(), runtime.health());
                        }
                        _ => {
                            let name = format!("{thread} of {round}");
                            let (added, _) = alone(&runtime, &name, faults);
                            _ = added.trigger();
                            added.remove();
                        }
                    }
                }
            });
        }
    });
    for task in &tasks {
        task.enable(true);
    }
    assert_eq!(runtime.stop(LONG), Stop::Stopped);
    assert_eq!(faults.load(Ordering::SeqCst), 0, "run by two at once");
    // Nothing has stuck.
    runtime.start().expect("it can be started again");
    assert!(!matches!(tasks[0].trigger(), Err(RunError::Stopping)));
    assert_eq!(runtime.sweep_handles().len(), 3);
}

/// The last handle is dropped wherever that happens to be: on another thread, in a step, while it is stopped.
#[test]
fn the_last_handle_is_dropped_anywhere() {
    let _watched = watchdog("dropped");
    for round in 0..rounds(1_000) / 5 {
        let (runtime, faults) = (runtime(), Arc::new(AtomicU64::new(0)));
        let (task, steps) = alone(&runtime, "it", &faults);
        let inside = Arc::new(Mutex::new(Some(runtime.clone())));
        let takes = Arc::clone(&inside);
        let dropping = runtime.task("drops", every(1), move |_, _| {
            drop(takes.lock().unwrap().take());
            Ok::<_, String>(done(0))
        });
        let dropping = dropping.expect("a name");
        runtime.start().expect("a thread");
        std::thread::scope(|scope| {
            let other = runtime.clone();
            scope.spawn(move || drop(other));
            if round % 2 == 0 {
                scope.spawn(|| _ = task.trigger());
            }
            scope.spawn(|| _ = dropping.trigger());
            drop(runtime);
        });
        drop(inside.lock().unwrap().take());
        wait_until(|| task.health() == Health::Stopped);
        let after = steps.load(Ordering::SeqCst);
        std::thread::yield_now();
        assert_eq!((steps.load(Ordering::SeqCst), faults.load(Ordering::SeqCst)), (after, 0));
    }
}

/// Runs what it is told when it is dropped.
struct OnDrop<F: FnMut()>(F);

impl<F: FnMut()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

#[test]
fn a_target_whose_destructor_panics_or_stops_the_runtime_harms_nobody() {
    for stops in [false, true] {
        let (runtime, gate, took) = (runtime(), Gate::new(), Arc::new(Mutex::new(None)));
        let (held, says, other) = (Arc::clone(&gate), Arc::clone(&took), runtime.clone());
        let last = OnDrop(move || {
            if stops {
                let start = Instant::now();
                _ = other.stop(LONG);
                *says.lock().unwrap() = Some(start.elapsed());
            } else {
                *says.lock().unwrap() = Some(Duration::ZERO);
                panic!("on purpose");
            }
        });
        let target = runtime.task("it", every(1), move |_, _| {
            let _kept = &last;
            held.pass();
            Ok::<_, String>(done(0))
        });
        let target = target.expect("a name");
        let well = runtime.task("well", every(1), |_, _| Ok::<_, String>(done(0))).expect("ok");
        runtime.start().expect("a thread");
        gate.wait_for(1);
        // The loop holds the last of it now.
        target.remove();
        drop(target);
        gate.open();
        wait_until(|| took.lock().unwrap().is_some());
        assert!(took.lock().unwrap().unwrap() < Duration::from_secs(2));
        if !stops {
            let runs = well.metrics().runs;
            wait_until(|| well.metrics().runs > runs + 2);
        }
        assert_eq!(runtime.stop(LONG), Stop::Stopped);
    }
}

/// What a step leaves in a thread-local variable may ask for anything when it is dropped.
#[test]
fn a_thread_local_that_asks_when_it_is_dropped_stops_nobody() {
    use std::cell::RefCell;
    type Asks = Box<dyn FnMut()>;
    thread_local! {
        static LEFT: RefCell<Option<OnDrop<Asks>>> = const { RefCell::new(None) };
    }
    let runtime = runtime();
    let (other, slow) = (runtime.clone(), Duration::from_millis(300));
    let task = runtime.task("it", every(1), move |_, _| {
        let other = other.clone();
        let asks: Asks = Box::new(move || {
            std::thread::sleep(slow);
            _ = other.health();
        });
        LEFT.with_borrow_mut(|left| _ = left.get_or_insert(OnDrop(asks)));
        Ok::<_, String>(done(0))
    });
    let task = task.expect("a name");
    for _ in 0..3 {
        runtime.start().expect("at once");
        let runs = task.metrics().runs;
        wait_until(|| task.metrics().runs > runs);
        let start = Instant::now();
        assert_eq!(runtime.stop(LONG), Stop::Stopped);
        assert!(start.elapsed() < Duration::from_secs(5));
    }
}

#[test]
fn removing_ends_a_run_that_would_go_on_for_ever() {
    let runtime = runtime();
    let steps = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&steps);
    let it = runtime.task("it", every(60_000), move |_, _| {
        counted.fetch_add(1, Ordering::SeqCst);
        Ok::<_, String>(Swept { visited: 1, ..Swept::default() })
    });
    let it = it.expect("a name");
    let triggered = std::thread::spawn({
        let it = it.clone();
        move || it.trigger()
    });
    wait_until(|| steps.load(Ordering::SeqCst) > 100);
    runtime.start().expect("a thread");
    it.remove();
    assert_eq!(triggered.join().unwrap(), Err(RunError::Removed));
    std::thread::sleep(Duration::from_millis(150));
    assert_eq!(it.health(), Health::Stopped);
}

/// A pass in six steps, one of which panics.
struct Six {
    at: usize,
    seen: Arc<Mutex<Vec<usize>>>,
    panics: bool,
}

impl Sweep for Six {
    fn sweep(&mut self, _: tidegate::Instant, _: Budget) -> Swept {
        if self.at == 3 && std::mem::take(&mut self.panics) {
            panic!("on purpose");
        }
        self.seen.lock().unwrap().push(self.at);
        self.at = (self.at + 1) % 6;
        Swept { wrapped: self.at == 0, ..done(1) }
    }
}

#[test]
fn a_run_that_shares_nothing_sees_all_also_after_one_that_failed() {
    let (runtime, seen) = (runtime(), Arc::new(Mutex::new(Vec::new())));
    let target = Six { at: 0, seen: Arc::clone(&seen), panics: true };
    let it = runtime.sweep("it", every(60_000), target).expect("a name");
    assert_eq!(it.trigger(), Err(RunError::Panicked));
    seen.lock().unwrap().clear();
    assert!(it.trigger_anew().is_ok());
    assert_eq!(*seen.lock().unwrap(), [3, 4, 5, 0, 1, 2, 3, 4, 5]);
}

#[test]
fn a_reset_does_not_make_a_failing_target_healthy() {
    let runtime = runtime();
    let it = runtime.task("it", every(1), |_, _| Err::<Swept, _>("on purpose")).expect("a name");
    runtime.start().expect("a thread");
    wait_until(|| it.metrics().errors >= 3);
    it.reset_metrics();
    assert!(matches!(it.health(), Health::Degraded { .. } | Health::Stalled { .. }));
    wait_until(|| it.metrics().errors >= 1);
    let metrics = it.metrics();
    assert!(u64::from(metrics.consecutive_errors) <= metrics.errors, "{metrics:?}");
}

#[test]
fn an_interval_that_is_set_again_and_again_is_kept() {
    let runtime = runtime();
    let it = runtime.task("it", every(20).first(tidegate::First::AfterInterval), |_, _| {
        Ok::<_, String>(done(0))
    });
    let it = it.expect("a name");
    runtime.start().expect("a thread");
    let start = Instant::now();
    while it.metrics().runs < 3 {
        for millis in [20, 21] {
            it.set_interval(Duration::from_millis(millis)).expect("an interval");
        }
        assert!(start.elapsed() < LONG, "never run");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// What a run took is what its steps took, whatever came between them.
#[test]
fn the_time_it_was_stopped_is_not_the_runs() {
    let (runtime, gate) = (runtime(), Gate::new());
    let (held, mut steps) = (Arc::clone(&gate), 0);
    let work = Arc::new(Mutex::new(Duration::ZERO));
    let worked = Arc::clone(&work);
    let it = runtime.task("it", every(60_000), move |_, _| {
        let start = Instant::now();
        steps += 1;
        if steps == 2 {
            held.pass();
        }
        std::thread::sleep(Duration::from_millis(5));
        *worked.lock().unwrap() += start.elapsed();
        Ok::<_, String>(Swept { wrapped: steps % 10 == 0, ..done(0) })
    });
    let it = it.expect("a name");
    runtime.start().expect("a thread");
    gate.wait_for(1);
    // It is stopped after the second of ten steps.
    assert_eq!(runtime.stop(Duration::ZERO), Stop::TimedOut);
    gate.open();
    assert_eq!(runtime.stop(LONG), Stop::Stopped);
    let (pause, so_far) = (Instant::now(), *work.lock().unwrap());
    assert_eq!(it.metrics().runs, 0);
    std::thread::sleep(Duration::from_millis(600));
    let paused = pause.elapsed();
    assert!(it.trigger().is_ok());
    let (took, work) = (it.metrics().duration_max, *work.lock().unwrap());
    assert!(so_far < work, "the rest of the run came after the pause");
    // Between its steps a run takes next to nothing.
    assert!(work <= took && took < work + paused, "{took:?} for {work:?} of work");
}

/// Whoever looks at targets may be the last that knows one; its destructor may ask for anything.
#[test]
fn a_removed_target_may_ask_while_others_look() {
    struct Asks(Runtime);
    impl Drop for Asks {
        fn drop(&mut self) {
            self.0.is_started();
        }
    }

    let _watched = watchdog("a removed target asks while others look");
    let (runtime, is_over) = (runtime(), AtomicBool::new(false));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !is_over.load(Ordering::SeqCst) {
                runtime.health();
            }
        });
        for _ in 0..rounds(20_000) {
            let asks = Asks(runtime.clone());
            let target = runtime.task("it", every(3_600_000), move |_, _| {
                let _ours = &asks;
                Ok::<_, String>(Swept::default())
            });
            target.expect("a name").remove();
        }
        is_over.store(true, Ordering::SeqCst);
    });
}

#[test]
fn a_destructor_that_panics_as_the_runtime_goes_keeps_no_other_target() {
    struct Gone(Arc<AtomicU64>);
    impl Drop for Gone {
        fn drop(&mut self) {
            self.0.fetch_add(1, Ordering::SeqCst);
            panic!("on purpose");
        }
    }

    let (runtime, gone) = (runtime(), Arc::new(AtomicU64::new(0)));
    for name in ["one", "other"] {
        let it = Gone(Arc::clone(&gone));
        let target = runtime.task(name, every(1_000), move |_, _| {
            let _it = &it;
            Ok::<_, String>(done(0))
        });
        drop(target.expect("a name"));
    }
    drop(runtime);
    assert_eq!(gone.load(Ordering::SeqCst), 2);
}

/// Counts how often it is dropped, and panics each time.
struct Bomb(Arc<AtomicU64>);

impl Drop for Bomb {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::SeqCst);
        panic!("on purpose");
    }
}

/// A target that holds a bomb, and a gate that its step passes.
fn armed(runtime: &Runtime, name: &str, gone: &Arc<AtomicU64>, gate: &Arc<Gate>) -> SweepHandle {
    let (bomb, gate) = (Bomb(Arc::clone(gone)), Arc::clone(gate));
    let target = runtime.task(name, every(60_000), move |_, _| {
        let _bomb = &bomb;
        gate.pass();
        Ok::<_, String>(done(0))
    });
    target.expect("a name")
}

/// The second of two destructors that panicked as the thread left used to end the process.
#[test]
fn targets_that_panic_when_they_go_after_a_step_that_hangs_are_all_dropped() {
    let (runtime, gone, gate) = (runtime(), Arc::new(AtomicU64::new(0)), Gate::new());
    for name in ["one", "other", "third"] {
        armed(&runtime, name, &gone, &gate);
    }
    runtime.start().expect("a thread");
    gate.wait_for(1);
    // Waits for the step for a second, and leaves the targets to it.
    drop(runtime);
    assert_eq!(gone.load(Ordering::SeqCst), 0);
    gate.open();
    wait_until(|| gone.load(Ordering::SeqCst) == 3);
}

#[test]
fn targets_that_panic_when_the_last_handle_goes_in_a_step_are_all_dropped() {
    let (runtime, gone, gate) = (runtime(), Arc::new(AtomicU64::new(0)), Gate::new());
    gate.open();
    let last = Arc::new(Mutex::new(None));
    let takes = Arc::clone(&last);
    let bomb = Bomb(Arc::clone(&gone));
    let drops = runtime.task("drops", every(1), move |_, _| {
        let _bomb = &bomb;
        drop(takes.lock().unwrap().take());
        Ok::<_, String>(done(0))
    });
    // A handle keeps what the engine knows, but none of the other targets.
    let drops = drops.expect("a name");
    for name in ["one", "other"] {
        armed(&runtime, name, &gone, &gate);
    }
    runtime.start().expect("a thread");
    *last.lock().unwrap() = Some(runtime);
    wait_until(|| gone.load(Ordering::SeqCst) == 2);
    assert_eq!(drops.health(), Health::Stopped);
    drop(drops);
    assert_eq!(gone.load(Ordering::SeqCst), 3);
}

/// The run that a caller has asked for is the last, and the runtime's handle goes in it.
#[test]
fn targets_that_panic_when_the_last_handle_goes_in_a_run_that_was_asked_for_are_all_dropped() {
    let (runtime, gone, gate) = (runtime(), Arc::new(AtomicU64::new(0)), Gate::new());
    for name in ["one", "other"] {
        armed(&runtime, name, &gone, &gate);
    }
    let last = Mutex::new(Some(runtime.clone()));
    let drops = runtime.task("drops", every(60_000), move |_, _| {
        drop(last.lock().unwrap().take());
        Ok::<_, String>(done(0))
    });
    let drops = drops.expect("a name");
    drop(runtime);
    assert_eq!(drops.trigger(), Ok(done(0)));
    assert_eq!(gone.load(Ordering::SeqCst), 2);
}

#[test]
fn handles_of_removed_targets_that_panic_are_dropped_together() {
    let (runtime, gone, gate) = (runtime(), Arc::new(AtomicU64::new(0)), Gate::new());
    let handles = ["one", "other", "third"].map(|name| armed(&runtime, name, &gone, &gate));
    handles.iter().for_each(SweepHandle::remove);
    drop(handles);
    assert_eq!(gone.load(Ordering::SeqCst), 3);
}

#[test]
fn a_target_that_is_refused_is_dropped_and_the_refusal_returned() {
    let (runtime, gone) = (runtime(), Arc::new(AtomicU64::new(0)));
    runtime.task("taken", every(1), |_, _| Ok::<_, String>(done(0))).expect("a name");
    for name in ["taken", ""] {
        let bomb = Bomb(Arc::clone(&gone));
        let refused = runtime.task(name, every(1), move |_, _| {
            let _bomb = &bomb;
            Ok::<_, String>(done(0))
        });
        assert_eq!(refused.expect_err("refused").field(), "name");
    }
    assert_eq!(gone.load(Ordering::SeqCst), 2);
}

/// A clock whose destructor panics.
struct Broken(Bomb);

impl tidegate::Clock for Broken {
    fn now(&self) -> tidegate::Instant {
        let _bomb = &self.0;
        tidegate::Instant::ORIGIN
    }
}

#[test]
fn a_clock_and_a_target_that_both_panic_when_dropped_end_nothing() {
    let gone = Arc::new(AtomicU64::new(0));
    let clock = Arc::new(Broken(Bomb(Arc::clone(&gone))));
    let runtime = Runtime::builder().clock(clock).build().expect("a runtime");
    let gate = Gate::new();
    let target = armed(&runtime, "it", &gone, &gate);
    // The handle is the last that knows the target, and the target the last that knows the clock.
    drop(runtime);
    assert_eq!(gone.load(Ordering::SeqCst), 0);
    drop(target);
    assert_eq!(gone.load(Ordering::SeqCst), 2);
    let clock = Arc::new(Broken(Bomb(Arc::clone(&gone))));
    let runtime = Runtime::builder().clock(clock).build().expect("a runtime");
    drop(runtime);
    assert_eq!(gone.load(Ordering::SeqCst), 3);
}

/// An error that panics when it is shown, and again when it is dropped.
#[test]
fn an_error_that_panics_in_every_way_is_a_run_that_panicked() {
    struct Hostile(Bomb, bool);

    impl std::fmt::Display for Hostile {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            let _bomb = &self.0;
            assert!(!self.1, "on purpose");
            f.write_str("on purpose")
        }
    }

    let (runtime, gone) = (runtime(), Arc::new(AtomicU64::new(0)));
    for (name, panics, error) in [
        ("shown", false, RunError::Failed("on purpose".to_owned())),
        ("not shown", true, RunError::Panicked),
    ] {
        let drops = Arc::clone(&gone);
        let it = runtime.task(name, every(60_000), move |_, _| {
            Err::<Swept, _>(Hostile(Bomb(Arc::clone(&drops)), panics))
        });
        assert_eq!(it.expect("a name").trigger(), Err(error));
    }
    assert_eq!(gone.load(Ordering::SeqCst), 2);
}

#[test]
fn a_future_whose_destructor_panics_takes_nothing_from_its_waiter() {
    use std::future::{pending, ready};
    use tidegate::wait::{TimedOutError, block_for, block_on};

    let gone = Arc::new(AtomicU64::new(0));
    let bomb = || Bomb(Arc::clone(&gone));
    struct Kept<F>(std::pin::Pin<Box<F>>, Bomb);
    impl<F: Future> Future for Kept<F> {
        type Output = F::Output;
        fn poll(
            mut self: std::pin::Pin<&mut Self>,
            context: &mut std::task::Context<'_>,
        ) -> std::task::Poll<F::Output> {
            let _bomb = &self.1;
            self.0.as_mut().poll(context)
        }
    }
    assert_eq!(block_on(Kept(Box::pin(ready(7)), bomb())), 7);
    let short = Duration::from_millis(1);
    assert_eq!(block_for(Kept(Box::pin(pending::<()>()), bomb()), short), Err(TimedOutError));
    assert_eq!(gone.load(Ordering::SeqCst), 2);
    // What its poll panics with is the caller's to hear of, whatever its destructor does then.
    let panics = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        block_on(Kept(Box::pin(async { panic!("of the poll") }), bomb())) as u32
    }));
    let payload = panics.expect_err("its panic");
    assert_eq!(payload.downcast_ref::<&str>(), Some(&"of the poll"));
    assert_eq!(gone.load(Ordering::SeqCst), 3);
}

#[test]
fn cached_clocks_whose_sources_panic_when_dropped_are_dropped_together() {
    let gone = Arc::new(AtomicU64::new(0));
    let clocks = [(); 2].map(|()| {
        let bomb = Bomb(Arc::clone(&gone));
        tidegate::CachedClock::new(move || {
            let _bomb = &bomb;
            tidegate::Instant::ORIGIN
        })
    });
    drop(clocks);
    assert_eq!(gone.load(Ordering::SeqCst), 2);
}
