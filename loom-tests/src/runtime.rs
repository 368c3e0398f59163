//! The threads of a runtime: started, stopped, asked to run and told of changes, all at once.
//!
//! No time passes in a model: what is due at once is run, what is due in an hour never is, and whoever sleeps
//! wakes only if woken. So a wake that is lost is a deadlock, and so is a thread that is left behind.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::Poll;
use std::time::Duration;

use loom::cell::UnsafeCell;
use loom::sync::atomic::AtomicBool;
use loom::sync::{Condvar, Mutex};
use tidegate::wait::block_on;
use tidegate::{First, Runtime, Schedule, StartError, Stop, SweepHandle, Swept};

use crate::{Model, both, race};

/// The models of this module.
pub const MODELS: &[Model] = &[
    Model {
        name: "s01_stop_races_the_first_run",
        preemptions: 5,
        run: stop_races_the_first_run,
        outcomes: both(&["ended 0", "given up", "ended 1"]),
    },
    Model {
        name: "s02_start_races_stop",
        preemptions: 2,
        run: start_races_stop,
        outcomes: both(&["refused", "started"]),
    },
    Model {
        name: "s03_a_run_that_was_asked_for_meets_stop",
        preemptions: 4,
        run: a_run_that_was_asked_for_meets_stop,
        outcomes: both(ASKED_AND_STOPPED),
    },
    Model {
        name: "s04_two_ask_and_share",
        preemptions: 4,
        run: two_ask_and_share,
        outcomes: both(&["1 runs", "2 runs"]),
    },
    Model {
        name: "s05_three_ask_and_share",
        preemptions: 3,
        run: three_ask_and_share,
        outcomes: both(&["1 runs", "2 runs", "3 runs"]),
    },
    Model {
        name: "s06_one_asks_while_the_thread_runs_it",
        preemptions: 4,
        run: one_asks_while_the_thread_runs_it,
        outcomes: both(&["ended 1", "given up", "ended 2"]),
    },
    Model {
        name: "s07_a_run_under_way_is_none_for_who_asks_anew",
        preemptions: 4,
        run: a_run_under_way_is_none_for_who_asks_anew,
        outcomes: both(&["1 runs", "2 runs"]),
    },
    Model {
        name: "s08_removal_meets_a_run_that_was_asked_for",
        preemptions: 5,
        run: removal_meets_a_run_that_was_asked_for,
        outcomes: both(&["Ok", "Removed"]),
    },
    Model {
        name: "s09_what_is_added_while_the_thread_falls_asleep_is_run",
        preemptions: 4,
        run: what_is_added_while_the_thread_falls_asleep_is_run,
        outcomes: both(&["run"]),
    },
    Model {
        name: "s10_the_last_handle_goes_while_the_thread_runs",
        preemptions: 5,
        run: the_last_handle_goes_while_the_thread_runs,
        outcomes: both(&["ended 0", "given up", "ended 1"]),
    },
    Model {
        name: "s11_who_stopped_it_can_start_it_while_another_stops_it",
        preemptions: 2,
        run: who_stopped_it_can_start_it_while_another_stops_it,
        outcomes: both(&["started"]),
    },
    Model {
        name: "s12_stop_waits_for_the_thread_and_for_who_asked",
        preemptions: 3,
        run: stop_waits_for_the_thread_and_for_who_asked,
        outcomes: both(ASKED_AND_STOPPED),
    },
    Model {
        name: "s13_one_waits_and_two_wake",
        preemptions: 3,
        run: one_waits_and_two_wake,
        outcomes: both(&["2 polls", "3 polls"]),
    },
    Model {
        name: "s14_who_waits_is_woken_by_a_thread_that_gives_up",
        preemptions: 2,
        run: who_waits_is_woken_by_a_thread_that_gives_up,
        outcomes: both(&["Ok", "Stopping"]),
    },
    Model {
        name: "s15_a_deadline_that_comes_while_a_caller_runs_is_kept",
        preemptions: 4,
        run: a_deadline_that_comes_while_a_caller_runs_is_kept,
        outcomes: both(&["the deadline is kept", "the run has not ended"]),
    },
    Model {
        name: "s16_what_is_enabled_while_the_thread_falls_asleep_is_run",
        preemptions: 4,
        run: what_is_enabled_while_the_thread_falls_asleep_is_run,
        outcomes: both(&["run"]),
    },
    Model {
        name: "s17_targets_go_after_the_last_step_of_an_abandoned_runtime",
        preemptions: 3,
        run: targets_go_after_the_last_step_of_an_abandoned_runtime,
        outcomes: both(&["Ok", "Stopping"]),
    },
    Model {
        name: "s18_the_step_that_sees_a_stop_is_the_last",
        preemptions: 4,
        run: the_step_that_sees_a_stop_is_the_last,
        outcomes: both(&["Ok", "Stopping"]),
    },
];

/// When the stop came, and what was answered to who had asked.
const ASKED_AND_STOPPED: &[&str] = &[
    "before: Ok",
    "before: Stopping",
    "in the middle: Ok",
    "in the middle: Stopping",
    "after: Ok",
];

/// Calls what must not panic where a panic would be contained and nobody would hear of it: in a step.
fn audibly(f: impl FnOnce()) {
    if std::panic::catch_unwind(std::panic::AssertUnwindSafe(f)).is_err() {
        std::process::abort();
    }
}

/// What the steps of a target have done.
struct Seen {
    /// Touched by steps, and by whoever may say that none runs: loom notices if one does.
    touched: UnsafeCell<u32>,
    /// Runs that began, and that ended; not loom's, for they are there to be compared and order nothing.
    began: AtomicU32,
    ended: AtomicU32,
    /// The last whose end somebody was told of.
    told: AtomicU32,
}

// SAFETY: touched by one step at a time, and while none runs, which is what the models are about.
unsafe impl Send for Seen {}
// SAFETY: as above.
unsafe impl Sync for Seen {}

impl Seen {
    fn new() -> Arc<Self> {
        let counts = || AtomicU32::new(0);
        let (began, ended, told) = (counts(), counts(), counts());
        Arc::new(Self { touched: UnsafeCell::new(0), began, ended, told })
    }

    fn touch(&self) {
        // SAFETY: nobody else touches it now, or loom says so.
        let touch = || self.touched.with_mut(|touched| unsafe { *touched += 1 });
        audibly(touch);
    }

    fn began(&self) -> u32 {
        self.began.load(Ordering::SeqCst)
    }

    fn ended(&self) -> u32 {
        self.ended.load(Ordering::SeqCst)
    }

    /// In words.
    fn outcome(&self) -> String {
        if self.began() > self.ended() {
            return "given up".to_owned();
        }
        format!("ended {}", self.ended())
    }
}

/// A runtime that is not started, and a target with runs of two steps, which say how many have ended.
struct Setting {
    runtime: Runtime,
    it: SweepHandle,
    seen: Arc<Seen>,
}

fn setting(first: First) -> Setting {
    let runtime = Runtime::builder().build().expect("a runtime");
    let seen = Seen::new();
    let (ours, mut is_partial) = (Arc::clone(&seen), false);
    let step = move |_now, _budget| {
        is_partial = !is_partial;
        if is_partial {
            ours.began.fetch_add(1, Ordering::SeqCst);
            ours.touch();
            return Ok::<_, String>(Swept { visited: 1, ..Swept::default() });
        }
        ours.touch();
        let removed = ours.ended.fetch_add(1, Ordering::SeqCst) as usize + 1;
        Ok(Swept { removed, wrapped: true, ..Swept::default() })
    };
    let it = runtime.task("it", hourly(first), step).expect("a name");
    Setting { runtime, it, seen }
}

fn hourly(first: First) -> Schedule {
    Schedule::every(Duration::from_secs(3_600)).expect("an interval").first(first)
}

fn stop(runtime: &Runtime) {
    assert_eq!(runtime.stop(Duration::MAX), Stop::Stopped);
}

/// Asks for a run, and says how that went. Nobody is given the answer that another had before he asked.
fn trigger(it: &SweepHandle, seen: &Seen) -> String {
    let told = seen.told.load(Ordering::SeqCst);
    match it.trigger() {
        Ok(swept) => {
            let number = swept.removed as u32;
            assert!(number > told, "the answer of an earlier run");
            seen.told.fetch_max(number, Ordering::SeqCst);
            "Ok".to_owned()
        }
        Err(error) => format!("{error:?}"),
    }
}

fn deed<T>(deed: impl FnOnce() -> T + 'static) -> Box<dyn FnOnce() -> T> {
    Box::new(deed)
}

fn stop_races_the_first_run() -> String {
    let Setting { runtime, it: _it, seen } = setting(First::AtOnce);
    runtime.start().expect("a thread");
    race(vec![deed(move || {
        stop(&runtime);
        seen.touch();
        seen.outcome()
    })])
    .concat()
}

/// One that can fail only because it is being stopped.
fn start(runtime: &Runtime) -> String {
    match runtime.start() {
        Ok(()) => "started".to_owned(),
        Err(StartError::Stopping) => "refused".to_owned(),
        Err(error) => panic!("{error}"),
    }
}

fn start_races_stop() -> String {
    let Setting { runtime, it: _it, seen } = setting(First::AtOnce);
    runtime.start().expect("a thread");
    let (starter, stopper) = (runtime.clone(), runtime.clone());
    let outcomes = race(vec![
        deed(move || start(&starter)),
        deed(move || {
            stop(&stopper);
            String::new()
        }),
    ]);
    stop(&runtime);
    seen.touch();
    outcomes.concat()
}

fn who_stopped_it_can_start_it_while_another_stops_it() -> String {
    let Setting { runtime, it: _it, seen } = setting(First::AfterInterval);
    runtime.start().expect("a thread");
    let (one, other) = (runtime.clone(), runtime.clone());
    let outcomes = race(vec![
        deed(move || {
            stop(&one);
            start(&one)
        }),
        deed(move || {
            stop(&other);
            String::new()
        }),
    ]);
    stop(&runtime);
    seen.touch();
    assert_eq!(outcomes[0], "started");
    outcomes.concat()
}

fn a_run_that_was_asked_for_meets_stop() -> String {
    ask_and_stop(&setting(First::AfterInterval))
}

fn stop_waits_for_the_thread_and_for_who_asked() -> String {
    let setting = setting(First::AfterInterval);
    setting.runtime.start().expect("a thread");
    ask_and_stop(&setting)
}

fn ask_and_stop(Setting { runtime, it, seen }: &Setting) -> String {
    let (it, ours, theirs) = (it.clone(), Arc::clone(seen), Arc::clone(seen));
    let stopped = runtime.clone();
    let outcomes = race(vec![
        deed(move || trigger(&it, &ours)),
        deed(move || {
            let (began, ended) = (theirs.began(), theirs.ended());
            stop(&stopped);
            if began == 0 {
                return "before: ".to_owned();
            }
            // It was asked for before, and once.
            theirs.touch();
            if ended == 0 { "in the middle: " } else { "after: " }.to_owned()
        }),
    ]);
    format!("{}{}", outcomes[1], outcomes[0])
}

fn runs(seen: &Seen) -> String {
    assert_eq!(seen.began(), seen.ended());
    format!("{} runs", seen.ended())
}

fn two_ask_and_share() -> String {
    ask_and_share::<2>()
}

fn three_ask_and_share() -> String {
    ask_and_share::<3>()
}

fn ask_and_share<const N: usize>() -> String {
    let Setting { runtime: _runtime, it, seen } = setting(First::AtOnce);
    let ask = || {
        let (it, seen) = (it.clone(), Arc::clone(&seen));
        deed(move || trigger(&it, &seen))
    };
    let outcomes = race(std::iter::repeat_with(ask).take(N).collect());
    assert_eq!(outcomes, ["Ok"; N]);
    runs(&seen)
}

fn one_asks_while_the_thread_runs_it() -> String {
    let Setting { runtime, it, seen } = setting(First::AtOnce);
    runtime.start().expect("a thread");
    let ours = Arc::clone(&seen);
    assert_eq!(race(vec![deed(move || trigger(&it, &ours))]), ["Ok"]);
    stop(&runtime);
    seen.touch();
    seen.outcome()
}

fn a_run_under_way_is_none_for_who_asks_anew() -> String {
    let Setting { runtime: _runtime, it, seen } = setting(First::AtOnce);
    let (one, other) = (it.clone(), it);
    let (ours, theirs) = (Arc::clone(&seen), Arc::clone(&seen));
    race(vec![
        deed(move || assert_eq!(trigger(&one, &ours), "Ok")),
        deed(move || {
            let began = theirs.began();
            let swept = other.trigger_anew().expect("a run");
            assert!(swept.removed > began as usize, "the answer of a run that was under way");
        }),
    ]);
    runs(&seen)
}

fn removal_meets_a_run_that_was_asked_for() -> String {
    let Setting { runtime: _runtime, it, seen } = setting(First::AtOnce);
    let (one, ours, theirs) = (it.clone(), Arc::clone(&seen), seen);
    let outcomes = race(vec![
        deed(move || trigger(&one, &ours)),
        deed(move || {
            it.remove();
            assert_eq!(trigger(&it, &theirs), "Removed");
            String::new()
        }),
    ]);
    outcomes.concat()
}

fn what_is_added_while_the_thread_falls_asleep_is_run() -> String {
    let Setting { runtime, .. } = setting(First::AfterInterval);
    runtime.start().expect("a thread");
    let adds = runtime.clone();
    race(vec![deed(move || {
        let is_run = Arc::new((Mutex::new(false), Condvar::new()));
        let theirs = Arc::clone(&is_run);
        let added = adds.task("added", hourly(First::AtOnce), move |_, _| {
            *theirs.0.lock().expect("nobody panics") = true;
            theirs.1.notify_one();
            Ok::<_, String>(Swept { wrapped: true, ..Swept::default() })
        });
        let _added = added.expect("a name");
        let mut is_over = is_run.0.lock().expect("nobody panics");
        while !*is_over {
            is_over = is_run.1.wait(is_over).expect("nobody panics");
        }
    })]);
    stop(&runtime);
    "run".to_owned()
}

fn the_last_handle_goes_while_the_thread_runs() -> String {
    let Setting { runtime, it, seen } = setting(First::AtOnce);
    runtime.start().expect("a thread");
    drop(it);
    race(vec![deed(move || {
        drop(runtime);
        seen.touch();
        seen.outcome()
    })])
    .concat()
}

fn who_waits_is_woken_by_a_thread_that_gives_up() -> String {
    let Setting { runtime, it, seen } = setting(First::AtOnce);
    runtime.start().expect("a thread");
    let (stopped, ours) = (runtime.clone(), Arc::clone(&seen));
    let outcomes = race(vec![
        deed(move || trigger(&it, &ours)),
        deed(move || {
            stop(&stopped);
            String::new()
        }),
    ]);
    stop(&runtime);
    seen.touch();
    outcomes.concat()
}

/// Over once two threads have said so, each of which then wakes. What they say is ordered by waking alone: whoever
/// is woken and does not see why waits for ever.
fn one_waits_and_two_wake() -> String {
    let said: [_; 2] = std::array::from_fn(|_| Arc::new(AtomicBool::new(false)));
    let (mut threads, mut polls) = (Vec::new(), 0);
    let over = std::future::poll_fn(|context| {
        polls += 1;
        if threads.is_empty() {
            threads.extend(said.iter().cloned().map(|said| {
                let waker = context.waker().clone();
                loom::thread::spawn(move || {
                    said.store(true, Ordering::Relaxed);
                    waker.wake();
                })
            }));
            return Poll::Pending;
        }
        let is_over = said.iter().all(|said| said.load(Ordering::Relaxed));
        if is_over { Poll::Ready(()) } else { Poll::Pending }
    });
    block_on(over);
    threads.into_iter().for_each(|thread| thread.join().expect("no panic"));
    format!("{polls} polls")
}

/// A number that threads wait for.
#[derive(Clone)]
struct Count(Arc<(Mutex<u32>, Condvar)>);

impl Count {
    fn new() -> Self {
        Self(Arc::new((Mutex::new(0), Condvar::new())))
    }

    fn add(&self) {
        *self.0.0.lock().expect("nobody panics") += 1;
        self.0.1.notify_one();
    }

    fn wait_for(&self, least: u32) {
        let mut count = self.0.0.lock().expect("nobody panics");
        while *count < least {
            count = self.0.1.wait(count).expect("nobody panics");
        }
    }
}

/// A target whose runs are two steps each, and counted when they end.
fn counted(runtime: &Runtime, schedule: Schedule, runs: &Count) -> SweepHandle {
    let (runs, mut is_partial) = (runs.clone(), false);
    let it = runtime.task("counted", schedule, move |_, _| {
        is_partial = !is_partial;
        if !is_partial {
            runs.add();
        }
        Ok::<_, String>(Swept { visited: 1, wrapped: !is_partial, ..Swept::default() })
    });
    it.expect("a name")
}

/// The caller's run has been recorded, but the caller may still have the turn when the thread finds the next deadline.
/// The caller must then put the task in order again.
fn a_deadline_that_comes_while_a_caller_runs_is_kept() -> String {
    let (runtime, runs) = (Runtime::builder().build().expect("a runtime"), Count::new());
    let it = counted(&runtime, hourly(First::AtOnce), &runs);
    let (asks, starts) = (it.clone(), runtime.clone());
    let outcomes = race(vec![
        deed(move || {
            asks.trigger().expect("a run");
            String::new()
        }),
        deed(move || {
            if it.metrics().runs == 0 {
                return "the run has not ended".to_owned();
            }
            starts.start().expect("a thread");
            runs.wait_for(2);
            "the deadline is kept".to_owned()
        }),
    ]);
    stop(&runtime);
    outcomes.concat()
}

fn what_is_enabled_while_the_thread_falls_asleep_is_run() -> String {
    let (runtime, runs) = (Runtime::builder().build().expect("a runtime"), Count::new());
    let it = counted(&runtime, hourly(First::AtOnce).enabled(false), &runs);
    runtime.start().expect("a thread");
    race(vec![deed(move || {
        it.enable(true);
        runs.wait_for(1);
    })]);
    stop(&runtime);
    "run".to_owned()
}

/// Touches what the steps touch, when it is dropped.
struct Goes(Arc<Seen>, Count);

impl Drop for Goes {
    fn drop(&mut self) {
        self.0.touch();
        audibly(|| assert!(self.0.began() <= self.0.ended(), "a step is in progress"));
        self.1.add();
    }
}

/// The last handle of the runtime goes in a step, which a caller or the thread does. A handle of the target is left,
/// and keeps the engine, but no other target. (It may be run again while the others go.)
fn targets_go_after_the_last_step_of_an_abandoned_runtime() -> String {
    let runtime = Runtime::builder().build().expect("a runtime");
    let seen = Seen::new();
    let gone = Count::new();
    let goes = Goes(Arc::clone(&seen), gone.clone());
    let other = runtime.task("other", hourly(First::AfterInterval), move |_, _| {
        let _goes = &goes;
        Ok::<_, String>(Swept::default())
    });
    drop(other.expect("a name"));
    let last = Arc::new(Mutex::new(None));
    let (takes, touches) = (Arc::clone(&last), seen);
    let it = runtime.task("it", hourly(First::AtOnce), move |_, _| {
        let last = takes.lock().expect("nobody panics").take();
        if let Some(last) = last {
            touches.began.fetch_add(1, Ordering::SeqCst);
            drop::<Runtime>(last);
            touches.touch();
            touches.ended.fetch_add(1, Ordering::SeqCst);
        }
        Ok::<_, String>(Swept { wrapped: true, ..Swept::default() })
    });
    let it = it.expect("a name");
    let (starts, _kept) = (runtime.clone(), it.clone());
    *last.lock().expect("nobody panics") = Some(runtime);
    starts.start().expect("a thread");
    drop(starts);
    let outcomes = race(vec![
        deed(move || match it.trigger() {
            Ok(_) => "Ok".to_owned(),
            Err(error) => format!("{error:?}"),
        }),
        deed(move || {
            gone.wait_for(1);
            String::new()
        }),
    ]);
    outcomes.concat()
}

/// A stop that has found the run in progress is told to its steps under a lock, which orders the looks at the flag.
fn the_step_that_sees_a_stop_is_the_last() -> String {
    let runtime = Runtime::builder().build().expect("a runtime");
    let is_stopping = Arc::new(Mutex::new(false));
    let (told, mut is_partial, mut is_last) = (Arc::clone(&is_stopping), false, false);
    let it = runtime.task("it", hourly(First::AfterInterval), move |_, _| {
        is_partial = !is_partial;
        if is_partial {
            is_last = *told.lock().expect("nobody panics");
        } else {
            audibly(|| assert!(!is_last, "the step before saw the stop"));
        }
        Ok::<_, String>(Swept { visited: 1, wrapped: !is_partial, ..Swept::default() })
    });
    let it = it.expect("a name");
    let outcomes = race(vec![
        deed(move || match it.trigger() {
            Ok(_) => "Ok".to_owned(),
            Err(error) => format!("{error:?}"),
        }),
        deed(move || {
            if runtime.stop(Duration::ZERO) == Stop::TimedOut {
                *is_stopping.lock().expect("nobody panics") = true;
            }
            stop(&runtime);
            String::new()
        }),
    ]);
    outcomes.concat()
}
