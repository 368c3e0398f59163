//! Work that is done at every deadline of a cadence, or when a caller asks.

use std::cell::Cell;
use std::fmt;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use tidegate_core::{Cadence, Clock, Instant};

use super::agenda::Window;
use super::schedule::{First, Schedule};
use super::status::{Health, Metrics};
use crate::clock;
use crate::panics::{Foreign, contained};
use crate::sync::{AtomicBool, Mutex, MutexGuard, thread_local};
use crate::wait::caller::Work;
use crate::wait::single::{Reentrant, Run, Single, Turn};

/// After n failures in a row, 2^(n-1) - 1 deadlines are skipped, but no more than this.
const MOST_SKIPPED: u32 = 15;

/// A thread that was awake just now may delay a run by a hundredth of its interval, but not by more than this. So runs
/// that are due at about the same time share a wake.
const LONGEST_SLACK: Duration = Duration::from_millis(10);

thread_local! {
    /// Whether this thread is inside a step.
    #[cfg_attr(
        not(loom),
        expect(clippy::missing_const_for_thread_local, reason = "loom's macro takes no const block")
    )]
    static RUNNING: Cell<bool> = Cell::new(false);
}

/// Whether the caller is called by a step of a run. Then it must not wait for one.
pub(crate) fn is_in_a_run() -> bool {
    RUNNING.with(Cell::get)
}

/// Runs `f` as a step: code that it calls may not wait for a run.
pub(crate) fn as_step<T>(f: impl FnOnce() -> T) -> T {
    struct Back(bool);
    impl Drop for Back {
        fn drop(&mut self) {
            RUNNING.with(|running| running.set(self.0));
        }
    }
    let _back = Back(RUNNING.with(|running| running.replace(true)));
    f()
}

/// A step of the work: `None` if there is more to do.
pub(crate) type Step<O> = Box<dyn FnMut() -> Result<Option<O>, String> + Send>;

/// A run that is late by less is not stalled: the system may have had something else to do.
const SHORTEST_STALL: Duration = Duration::from_millis(100);

/// The result of a run that ended well.
pub(crate) trait Output: Clone + Send + Sync + 'static {
    /// Entries it removed.
    fn removed(&self) -> u64;
}

impl Output for () {
    fn removed(&self) -> u64 {
        0
    }
}

/// Says why a run failed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RunError {
    /// A step failed, with this message.
    Failed(String),
    /// A step panicked.
    Panicked,
    /// The runtime is being stopped.
    Stopping,
    /// The caller is itself called by a run, and might wait for itself.
    Reentrant,
    /// The target was removed.
    Removed,
}

impl fmt::Display for RunError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failed(reason) => f.write_str(reason),
            Self::Panicked => f.write_str("the target panicked"),
            Self::Stopping => f.write_str("the runtime is being stopped"),
            Self::Reentrant => f.write_str("a run may not ask for a run"),
            Self::Removed => f.write_str("the target was removed"),
        }
    }
}

impl std::error::Error for RunError {}

pub(crate) struct Task<O> {
    name: Arc<str>,
    /// Names it in metrics, maybe with others.
    label: Arc<str>,
    /// Its number in the agenda of its engine.
    number: u64,
    /// Entered by the thread or caller that has the turn.
    work: Mutex<Working<O>>,
    single: Single<Ended<O>>,
    timetable: Mutex<Timetable>,
    metrics: ArcSwap<Metrics>,
    removed: AtomicBool,
    /// Whether collectors hear of its runs.
    is_told: bool,
}

struct Working<O> {
    step: Foreign<Step<O>>,
    /// What the steps of the run in progress have taken.
    spent: Duration,
    /// The target stands in the middle of a run, which is in progress or has failed.
    is_partial: bool,
}

/// How a run ended.
#[derive(Clone)]
struct Ended<O> {
    result: Result<O, RunError>,
    /// The run began where a pass begins.
    is_whole: bool,
}

/// When the next run is due.
struct Timetable {
    schedule: Schedule,
    /// `None` while the thread does not run.
    cadence: Option<Cadence>,
    /// When the run in progress was due.
    due: Option<Instant>,
    /// Deadlines still to be skipped.
    skip: u32,
    errors_in_a_row: u32,
    /// Deadlines skipped since the last run was recorded.
    overruns: u64,
    backed_off: u64,
}

impl<O: Output> Task<O> {
    pub(crate) fn new(name: String, schedule: Schedule, step: Step<O>) -> Self {
        let timetable = Timetable {
            schedule,
            cadence: None,
            due: None,
            skip: 0,
            errors_in_a_row: 0,
            overruns: 0,
            backed_off: 0,
        };
        let step = Foreign::new(step);
        let name: Arc<str> = name.into();
        Self {
            label: Arc::clone(&name),
            name,
            number: 0,
            work: Mutex::new(Working { step, spent: Duration::ZERO, is_partial: false }),
            single: Single::new(),
            timetable: Mutex::new(timetable),
            metrics: ArcSwap::from_pointee(Metrics::default()),
            removed: AtomicBool::new(false),
            is_told: true,
        }
    }

    /// Names it so in metrics.
    pub(crate) fn labelled(mut self, label: &str) -> Self {
        self.label = label.into();
        self
    }

    /// Gives it another name, under the same label.
    pub(crate) fn renamed(mut self, name: String) -> Self {
        self.name = name.into();
        self
    }

    /// Keeps its runs from collectors, since it runs too often.
    pub(crate) fn untold(mut self) -> Self {
        self.is_told = false;
        self
    }

    pub(crate) fn numbered(mut self, number: u64) -> Self {
        self.number = number;
        self
    }

    pub(crate) fn name(&self) -> &Arc<str> {
        &self.name
    }

    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    fn timetable(&self) -> MutexGuard<'_, Timetable> {
        self.timetable.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins its cadence anew.
    pub(crate) fn start(&self, now: Instant) {
        self.timetable().start(now);
    }

    /// Ends its cadence.
    pub(crate) fn rest(&self) {
        let mut timetable = self.timetable();
        timetable.cadence = None;
        timetable.due = None;
    }

    pub(crate) fn enable(&self, is_enabled: bool, now: Instant) {
        let mut timetable = self.timetable();
        if timetable.schedule.is_enabled != is_enabled {
            timetable.schedule.is_enabled = is_enabled;
            timetable.due = None;
            if timetable.cadence.is_some() {
                timetable.start(now);
            }
        }
    }

    pub(crate) fn set_interval(&self, interval: Duration, now: Instant) {
        let mut timetable = self.timetable();
        if timetable.schedule.interval == interval {
            return;
        }
        timetable.schedule.interval = interval;
        if let Some(cadence) = &timetable.cadence {
            // Frequent changes of the interval do not put the run off.
            let next = cadence.next_due().min(now + interval);
            timetable.cadence = Some(Cadence::new(next, interval));
        }
    }

    pub(crate) fn schedule(&self) -> Schedule {
        self.timetable().schedule
    }

    /// Keeps it from being run again. A step in progress, or about to begin, ends.
    pub(crate) fn remove(&self) {
        // Relaxed: the flag orders nothing.
        self.removed.store(true, Ordering::Relaxed);
        self.rest();
    }

    fn is_removed(&self) -> bool {
        // Relaxed: as in `remove`.
        self.removed.load(Ordering::Relaxed)
    }

    /// When the thread is to look at it next; `None` while there is nothing to wait for but a change.
    pub(crate) fn window(&self, now: Instant) -> Option<Window<Instant>> {
        let timetable = self.timetable();
        let cadence = timetable.cadence.as_ref().filter(|_| timetable.schedule.is_enabled)?;
        if timetable.due.is_some() {
            // There is more to do, behind all that was due before. If a caller does it, the caller puts the task in
            // order when it has ended. A stale look is no harm: the caller does that under the lock that is held
            // here, so that either its end is seen here, or it comes after this.
            return (!self.single.is_taken()).then_some(Window { due: now, latest: now });
        }
        let due = cadence.next_due();
        let slack = (cadence.interval() / 100).min(LONGEST_SLACK);
        Some(Window { due, latest: if due > now { due + slack } else { due } })
    }

    /// Does a step if one is due. For the thread whose cadence it is.
    pub(crate) fn tick(&self, now: Instant) {
        if !self.timetable().is_due(now) {
            return;
        }
        if let Ok(Turn::Ours(run)) = self.single.take(&Work::new())
            && !self.is_removed()
        {
            self.advance(run, || false);
        }
    }

    /// Runs it to the end, or waits for the thread that does. Whatever ends after this call began is an answer to
    /// it; without `share`, only a run that begins after that.
    pub(crate) fn run(&self, share: bool, goes_on: impl Fn() -> bool) -> Result<O, RunError> {
        // Without sharing, a run in progress does not count, but those after it do.
        let mut least = if share { Some(0) } else { None };
        let work = Work::new();
        let goes_on = || goes_on() && !self.is_removed();
        while goes_on() {
            match self.single.take(&work) {
                Err(Reentrant) => return Err(RunError::Reentrant),
                Ok(Turn::Theirs(awaited)) => {
                    let number = awaited.number();
                    let least = *least.get_or_insert(number + 1);
                    awaited.wait();
                    let ended = self.single.last(number.max(least));
                    if let Some(ended) = ended
                        && (share || ended.is_whole || ended.result.is_err())
                    {
                        return ended.result;
                    }
                }
                Ok(Turn::Ours(run)) => {
                    let Some(ended) = self.advance(run, goes_on) else { break };
                    if share || ended.is_whole || ended.result.is_err() {
                        return ended.result;
                    }
                    least.get_or_insert(0);
                }
            }
        }
        Err(if self.is_removed() { RunError::Removed } else { RunError::Stopping })
    }

    fn working(&self) -> MutexGuard<'_, Working<O>> {
        self.work.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does a step, and others while it goes on and there is more to do. Returns `None` if there still is.
    fn advance(&self, run: Run<'_, Ended<O>>, goes_on: impl Fn() -> bool) -> Option<Ended<O>> {
        let mut working = self.working();
        let is_whole = !working.is_partial;
        let result = loop {
            let began = clock().now();
            let step = as_step(|| contained(|| (working.step)()));
            working.spent += clock().now().since(began);
            working.is_partial = !matches!(step, Some(Ok(Some(_))));
            match step {
                Some(Ok(None)) if goes_on() => {}
                Some(Ok(None)) => return None,
                Some(Ok(Some(output))) => break Ok(output),
                Some(Err(reason)) => break Err(RunError::Failed(reason)),
                None => break Err(RunError::Panicked),
            }
        };
        let spent = std::mem::take(&mut working.spent);
        drop(working);
        let overruns = self.record(&result, spent);
        let ended = Ended { result, is_whole };
        run.end(ended.clone());
        if self.is_told {
            // A collector is other people's code, too.
            let removed = ended.result.as_ref().map(Output::removed);
            let Self { name, label, .. } = self;
            let report = || super::observe::ran(name, label, removed, spent, overruns);
            _ = as_step(|| contained(report));
        }
        Some(ended)
    }

    /// Records how a run ended, and returns how many deadlines passed since the last.
    fn record(&self, result: &Result<O, RunError>, spent: Duration) -> u64 {
        let now = clock().now();
        // Held to the end, so that a reset comes before or after.
        let mut timetable = self.timetable();
        timetable.ended(now, result.is_ok());
        let overruns = std::mem::take(&mut timetable.overruns);
        let mut after = self.metrics();
        after.overruns += overruns;
        after.backed_off += std::mem::take(&mut timetable.backed_off);
        match result {
            Ok(output) => {
                after.runs += 1;
                after.removed = after.removed.saturating_add(output.removed());
                after.removed_last = output.removed();
                after.duration_last = spent;
                after.duration_max = after.duration_max.max(spent);
                after.duration_total = after.duration_total.saturating_add(spent);
                after.last_success = Some(now);
                after.consecutive_errors = 0;
            }
            Err(error) => {
                after.errors += 1;
                after.panics += u64::from(*error == RunError::Panicked);
                after.consecutive_errors = after.consecutive_errors.saturating_add(1);
            }
        }
        self.metrics.store(Arc::new(after));
        overruns
    }

    pub(crate) fn metrics(&self) -> Metrics {
        **self.metrics.load()
    }

    pub(crate) fn reset_metrics(&self) {
        let mut timetable = self.timetable();
        (timetable.overruns, timetable.backed_off) = (0, 0);
        self.metrics.store(Arc::new(Metrics::default()));
    }

    /// Its health while its thread runs: stalled once a run is late by `stalled_after` intervals.
    pub(crate) fn health(&self, now: Instant, stalled_after: u32) -> Health {
        let timetable = self.timetable();
        if !timetable.schedule.is_enabled {
            return Health::Disabled;
        }
        let Some(cadence) = &timetable.cadence else {
            return Health::Stopped;
        };
        let since = timetable.due.unwrap_or(cadence.next_due());
        let patience = cadence.interval().saturating_mul(stalled_after).max(SHORTEST_STALL);
        if now.since(since) >= patience {
            return Health::Stalled { since };
        }
        match timetable.errors_in_a_row {
            0 => Health::Healthy,
            consecutive_errors => Health::Degraded { consecutive_errors },
        }
    }
}

impl Timetable {
    fn start(&mut self, now: Instant) {
        let Schedule { interval, first, .. } = self.schedule;
        let first = match first {
            First::AtOnce => now,
            First::AfterInterval => now + interval,
        };
        self.cadence = Some(Cadence::new(first, interval));
        self.due = None;
        self.skip = 0;
    }

    /// Whether a step is due. Takes the deadlines that have come.
    fn is_due(&mut self, now: Instant) -> bool {
        let Some(cadence) = self.cadence.as_mut().filter(|_| self.schedule.is_enabled) else {
            return false;
        };
        if self.due.is_some() {
            return true;
        }
        let (due, missed) = (cadence.next_due(), cadence.missed());
        if !cadence.due(now) {
            return false;
        }
        // The deadlines are taken together, those to be skipped first.
        let passed = cadence.missed() - missed + 1;
        let skipped = passed.min(u64::from(self.skip));
        self.skip -= skipped as u32;
        self.backed_off += skipped;
        if skipped == passed {
            return false;
        }
        self.overruns += passed - skipped - 1;
        self.due = Some(due);
        true
    }

    /// A run has ended, of the thread or of a caller.
    fn ended(&mut self, now: Instant, is_well: bool) {
        if let Some(cadence) = self.cadence.as_mut().filter(|_| self.due.is_some()) {
            let missed = cadence.missed();
            cadence.finish(now);
            self.overruns += cadence.missed() - missed;
        }
        self.due = None;
        self.errors_in_a_row = if is_well { 0 } else { self.errors_in_a_row.saturating_add(1) };
        // 2^(n-1) - 1.
        let doubled = 1_u32.checked_shl(self.errors_in_a_row.saturating_sub(1));
        self.skip = (doubled.unwrap_or(u32::MAX) - 1).min(MOST_SKIPPED);
    }
}
