//! A thread that does tasks when they are due, and is started and stopped.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use tidegate_core::{Clock, Instant};

use super::agenda::{Agenda, Window};
use super::status::Health;
use super::task::{Output, RunError, Task, as_step, is_in_a_run};
use crate::clock;
use crate::config::ConfigError;
use crate::sync::{AtomicBool, Condvar, Mutex, MutexGuard, thread};

/// How long dropping a runtime waits for the steps in progress.
pub(crate) const ON_DROP: Duration = Duration::from_secs(1);

/// The thread never sleeps longer. A sleep does not count the time for which the machine is suspended, and
/// deadlines do: after a suspend, the thread is late by as much at most.
const LONGEST_SLEEP: Duration = Duration::from_secs(60);

/// Says whether a runtime has stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "a step may still be in progress"]
pub enum Stop {
    /// No step runs, and none will run until the runtime is started or a target triggered. (A source of pressure that
    /// has not answered in time may still be in progress, on its own thread.)
    Stopped,
    /// A step is still in progress. The runtime has stopped as soon as the step has ended; another call waits for it
    /// again.
    TimedOut,
}

/// Says why a runtime was not started.
#[derive(Debug)]
#[non_exhaustive]
pub enum StartError {
    /// The runtime is being stopped, and a step is still in progress.
    Stopping,
    /// The system cannot start a thread.
    Thread(std::io::Error),
    /// A setting of a target was refused.
    Config(ConfigError),
}

impl From<ConfigError> for StartError {
    fn from(error: ConfigError) -> Self {
        Self::Config(error)
    }
}

impl std::fmt::Display for StartError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Stopping => {
                f.write_str("the runtime is being stopped, and a step is still in progress")
            }
            Self::Thread(error) => write!(f, "the system cannot start a thread: {error}"),
            Self::Config(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for StartError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Stopping => None,
            Self::Thread(error) => Some(error),
            Self::Config(error) => Some(error),
        }
    }
}

/// Owns a thread. Dropping it has the thread stop after the step in progress, and does not wait for that. The
/// tasks are dropped once nothing runs: here, or by the thread or caller whose step was the last.
pub(crate) struct Engine<O: Output> {
    shared: Arc<Shared<O>>,
}

pub(crate) struct Shared<O> {
    name: String,
    control: Mutex<Control<O>>,
    /// The thread waits here until something is due, earlier than it was, or it is to stop.
    wake: Condvar,
    /// Callers that stop the engine wait here until nothing runs.
    stopped: Condvar,
    /// The engine was asked to stop, and something still runs. Written under the lock; read between steps
    /// without.
    stopping: AtomicBool,
}

struct Control<O> {
    phase: Phase,
    /// Every task, and when the thread is to look at it.
    agenda: Agenda<Instant, Arc<Task<O>>>,
    numbers: BTreeMap<Arc<str>, u64>,
    /// Until when the thread sleeps; `None` while it is awake, or there is none.
    asleep_until: Option<Instant>,
    /// Runs that callers do themselves, or wait for.
    asked: usize,
    /// The engine has been dropped: the tasks go once nothing runs.
    is_abandoned: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Stopped,
    Running,
    /// Still running.
    Stopping,
    Dead,
}

impl<O: Output> std::fmt::Debug for Engine<O> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine").field("name", &self.shared.name).finish_non_exhaustive()
    }
}

impl<O: Output> Engine<O> {
    pub(crate) fn new(name: String) -> Self {
        let control = Control {
            phase: Phase::Stopped,
            agenda: Agenda::default(),
            numbers: BTreeMap::new(),
            asleep_until: None,
            asked: 0,
            is_abandoned: false,
        };
        let (control, stopping) = (Mutex::new(control), AtomicBool::new(false));
        let (wake, stopped) = (Condvar::new(), Condvar::new());
        Self { shared: Arc::new(Shared { name, control, wake, stopped, stopping }) }
    }

    pub(crate) fn shared(&self) -> &Arc<Shared<O>> {
        &self.shared
    }
}

impl<O: Output> Drop for Engine<O> {
    fn drop(&mut self) {
        self.shared.ask_to_stop();
        let mut control = self.shared.control();
        control.is_abandoned = true;
        self.shared.has_ended(control);
    }
}

/// Returns `None` if that is too far away to be said.
pub(crate) fn deadline(left: Duration) -> Option<std::time::Instant> {
    std::time::Instant::now().checked_add(left)
}

impl<O: Output> Shared<O> {
    fn control(&self) -> MutexGuard<'_, Control<O>> {
        self.control.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a task, which begins at once if the thread runs.
    pub(crate) fn add(&self, task: Task<O>) -> Result<Arc<Task<O>>, ConfigError> {
        let mut control = self.control();
        let name = Arc::clone(task.name());
        if control.numbers.contains_key(&name) {
            // The refused target's destructor is other people's code.
            drop(control);
            return Err(ConfigError::new("name", format!("'{name}' is taken")));
        }
        Ok(self.enter(&mut control, task))
    }

    /// Adds a task, under what `another` returns while its name is taken.
    pub(crate) fn add_numbered(
        &self,
        mut task: Task<O>,
        mut another: impl FnMut() -> String,
    ) -> Arc<Task<O>> {
        let mut control = self.control();
        while control.numbers.contains_key(task.name()) {
            task = task.renamed(another());
        }
        self.enter(&mut control, task)
    }

    fn enter(&self, control: &mut Control<O>, task: Task<O>) -> Arc<Task<O>> {
        let task = Arc::clone(control.agenda.add(|number| Arc::new(task.numbered(number))));
        control.numbers.insert(Arc::clone(task.name()), task.number());
        if control.phase == Phase::Running {
            task.start(clock().now());
        }
        self.put_in_order(control, &task);
        task
    }

    pub(crate) fn remove(&self, task: &Arc<Task<O>>) {
        let mut control = self.control();
        // By number: its name may be another's by now. The caller's handle keeps it from being dropped here.
        if control.agenda.remove(task.number()).is_some() {
            control.numbers.remove(task.name());
        }
        task.remove();
    }

    pub(crate) fn task(&self, name: &str) -> Option<Arc<Task<O>>> {
        let control = self.control();
        control.numbers.get(name).and_then(|&number| control.agenda.get(number)).cloned()
    }

    /// All tasks, in the order in which they were added.
    pub(crate) fn tasks(&self) -> Vec<Arc<Task<O>>> {
        self.control().agenda.items().cloned().collect()
    }

    /// Puts a task where its timetable wants it, and wakes the thread if it would sleep beyond that.
    fn put_in_order(&self, control: &mut Control<O>, task: &Task<O>) {
        control.agenda.set(task.number(), task.window(clock().now()));
        let first = control.agenda.first().map(|window| window.latest);
        if first.is_some_and(|first| control.asleep_until.is_some_and(|until| first < until)) {
            self.wake.notify_one();
        }
    }

    pub(crate) fn enable(&self, task: &Task<O>, is_enabled: bool) {
        let mut control = self.control();
        task.enable(is_enabled, clock().now());
        self.put_in_order(&mut control, task);
    }

    pub(crate) fn set_interval(&self, task: &Task<O>, interval: Duration) {
        let mut control = self.control();
        task.set_interval(interval, clock().now());
        self.put_in_order(&mut control, task);
    }

    /// Starts the thread. Does nothing if it runs.
    pub(crate) fn start(self: &Arc<Self>) -> Result<(), StartError> {
        let mut control = self.control();
        match control.phase {
            Phase::Running => return Ok(()),
            _ if self.is_stopping() => return Err(StartError::Stopping),
            _ => {}
        }
        let now = clock().now();
        control.agenda.set_all(|task| {
            task.start(now);
            task.window(now)
        });
        let ours = Arc::clone(self);
        let thread = thread::Builder::new().name(self.name.clone());
        // Not joined: what its steps have put into thread-local variables is dropped after it has left, and may
        // ask for anything.
        match thread.spawn(move || ours.run()) {
            Ok(_) => {
                control.phase = Phase::Running;
                Ok(())
            }
            Err(error) => {
                control.rest();
                Err(StartError::Thread(error))
            }
        }
    }

    pub(crate) fn is_stopping(&self) -> bool {
        // Relaxed: what must be ordered is ordered by the lock.
        self.stopping.load(Ordering::Relaxed)
    }

    /// Wakes the thread, which then leaves. Runs that callers have asked for end after their step.
    pub(crate) fn ask_to_stop(&self) {
        let mut control = self.control();
        match control.phase {
            Phase::Running => control.phase = Phase::Stopping,
            // Now it is stopped on purpose.
            Phase::Dead => control.phase = Phase::Stopped,
            Phase::Stopped | Phase::Stopping => {}
        }
        if control.phase == Phase::Stopping || control.asked > 0 {
            // Relaxed: as in `is_stopping`.
            self.stopping.store(true, Ordering::Relaxed);
        }
        self.wake.notify_one();
    }

    /// The thread or a caller runs no more. If nothing does, the engine has stopped.
    fn has_ended(&self, mut control: MutexGuard<'_, Control<O>>) {
        if control.asked > 0 || matches!(control.phase, Phase::Running | Phase::Stopping) {
            return;
        }
        let gone = control.is_abandoned.then(|| std::mem::take(&mut control.agenda));
        if self.is_stopping() {
            // Relaxed: as in `is_stopping`.
            self.stopping.store(false, Ordering::Relaxed);
            self.stopped.notify_all();
        }
        drop(control);
        // The destructors are other people's code. By now nothing is held, nor is there a run to wait for.
        drop(gone);
    }

    /// Whether starting would find it stopped, or running.
    pub(crate) fn can_start(&self) -> bool {
        let _control = self.control();
        !self.is_stopping()
    }

    /// Waits until nothing runs any more. A caller that is called by a run does not wait, and is answered
    /// [`Stop::TimedOut`].
    pub(crate) fn wait_until_stopped(&self, deadline: Option<std::time::Instant>) -> Stop {
        let mut control = self.control();
        loop {
            // It may also have been started again since.
            if !self.is_stopping() {
                return Stop::Stopped;
            }
            if is_in_a_run() {
                // It would wait for itself.
                return Stop::TimedOut;
            }
            control =
                match deadline.map(|at| at.saturating_duration_since(std::time::Instant::now())) {
                    Some(Duration::ZERO) => return Stop::TimedOut,
                    Some(left) => {
                        let woken = self.stopped.wait_timeout(control, left);
                        woken.unwrap_or_else(PoisonError::into_inner).0
                    }
                    None => self.stopped.wait(control).unwrap_or_else(PoisonError::into_inner),
                };
        }
    }

    /// What the thread does: a step of whatever is due first, again and again.
    ///
    /// A task that is not done after its step is due again at that very moment, behind all that were due
    /// before. So tasks take turns.
    fn run(self: Arc<Self>) {
        let _left = Left(&self);
        let (mut control, mut awake) = (self.control(), Instant::ORIGIN);
        while control.phase != Phase::Stopping {
            let now = clock().now();
            let Some(task) = control.agenda.take_due(now).cloned() else {
                control = self.sleep(control, awake, now);
                continue;
            };
            awake = now;
            drop(control);
            task.tick(now);
            control = self.control();
            self.put_in_order(&mut control, &task);
            if control.agenda.get(task.number()).is_none() {
                // It was removed meanwhile, and this may be the last that knows it.
                drop(control);
                as_step(|| drop(task));
                control = self.control();
            }
        }
    }

    /// Sleeps until something is due, or another thread wakes this one. The lock is held from the look at what
    /// is due until the thread sleeps, so that no change is missed.
    ///
    /// A thread that was `awake` just now lets further deadlines gather, for as long as the first of them allows.
    fn sleep<'a>(
        &self,
        mut control: MutexGuard<'a, Control<O>>,
        awake: Instant,
        now: Instant,
    ) -> MutexGuard<'a, Control<O>> {
        let first = control.agenda.first();
        let until = first.map_or(Instant::MAX, |Window { due, latest }| {
            due.max(awake + latest.since(due)).min(latest)
        });
        let left = until.since(now).min(LONGEST_SLEEP);
        if left.is_zero() {
            return control;
        }
        control.asleep_until = Some(until);
        let woken = self.wake.wait_timeout(control, left);
        control = woken.unwrap_or_else(PoisonError::into_inner).0;
        control.asleep_until = None;
        control
    }

    /// Runs a task now, on this thread, or waits for the thread that runs it.
    pub(crate) fn trigger(&self, task: &Task<O>, share: bool) -> Result<O, RunError> {
        if is_in_a_run() {
            return Err(RunError::Reentrant);
        }
        let mut control = self.control();
        if self.is_stopping() {
            return Err(RunError::Stopping);
        }
        control.asked += 1;
        drop(control);
        let _asked = Asked { shared: self, task };
        task.run(share, || !self.is_stopping())
    }

    pub(crate) fn health(&self, task: &Task<O>, stalled_after: u32) -> Health {
        self.control().health(task, clock().now(), stalled_after)
    }

    /// The worst health of all tasks.
    pub(crate) fn worst(&self, stalled_after: u32) -> Option<Health> {
        let control = self.control();
        if control.phase == Phase::Dead {
            return Some(Health::Dead);
        }
        let now = clock().now();
        let healths = control.agenda.items().map(|task| control.health(task, now, stalled_after));
        healths.max_by_key(|health| health.badness())
    }
}

impl<O: Output> Control<O> {
    /// Ends the cadence of every task.
    fn rest(&mut self) {
        self.agenda.set_all(|task| {
            task.rest();
            None
        });
    }

    fn health(&self, task: &Task<O>, now: Instant, stalled_after: u32) -> Health {
        match self.phase {
            Phase::Dead => Health::Dead,
            Phase::Stopped if task.schedule().is_enabled => Health::Stopped,
            _ => task.health(now, stalled_after),
        }
    }
}

/// Says that the thread has left, in whatever way.
struct Left<'a, O: Output>(&'a Shared<O>);

impl<O: Output> Drop for Left<'_, O> {
    fn drop(&mut self) {
        let died = std::thread::panicking();
        let mut control = self.0.control();
        control.phase = if died { Phase::Dead } else { Phase::Stopped };
        control.rest();
        self.0.has_ended(control);
    }
}

/// A run that a caller has asked for.
struct Asked<'a, O: Output> {
    shared: &'a Shared<O>,
    task: &'a Task<O>,
}

impl<O: Output> Drop for Asked<'_, O> {
    fn drop(&mut self) {
        let mut control = self.shared.control();
        control.asked -= 1;
        // The thread may have found the task taken, and left it to this caller to put it in order again.
        self.shared.put_in_order(&mut control, self.task);
        self.shared.has_ended(control);
    }
}

/// What a runtime does with each of its threads.
pub(crate) trait Thread: Send + Sync {
    fn can_start(&self) -> bool;
    fn start(&self) -> Result<(), StartError>;
    fn ask_to_stop(&self);
    fn wait_until_stopped(&self, deadline: Option<std::time::Instant>) -> Stop;
    fn worst(&self, stalled_after: u32) -> Option<Health>;
}

impl<O: Output> Thread for Engine<O> {
    fn can_start(&self) -> bool {
        self.shared().can_start()
    }

    fn start(&self) -> Result<(), StartError> {
        self.shared().start()
    }

    fn ask_to_stop(&self) {
        self.shared().ask_to_stop();
    }

    fn wait_until_stopped(&self, deadline: Option<std::time::Instant>) -> Stop {
        self.shared().wait_until_stopped(deadline)
    }

    fn worst(&self, stalled_after: u32) -> Option<Health> {
        self.shared().worst(stalled_after)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_that_ends_by_itself_is_dead_and_can_be_started_again() {
        let engine: Engine<()> = Engine::new("tidegate-test".to_owned());
        let shared = Arc::clone(engine.shared());
        engine.shared().control().phase = Phase::Running;
        let died = std::thread::spawn(move || {
            let _left = Left(&shared);
            panic!("on purpose");
        });
        assert!(died.join().is_err());
        let schedule = crate::Schedule::for_ttl(Duration::from_secs(1));
        let work = Box::new(|| Ok(Some(())));
        let task = engine.shared().add(Task::new("a".to_owned(), schedule, work)).expect("a name");
        assert_eq!(engine.shared().health(&task, 3), Health::Dead);
        engine.shared().start().expect("a thread");
        assert_ne!(engine.shared().health(&task, 3), Health::Dead);
        engine.shared().ask_to_stop();
        assert_eq!(engine.shared().wait_until_stopped(None), Stop::Stopped);
        assert_eq!(engine.shared().health(&task, 3), Health::Stopped);
    }
}
