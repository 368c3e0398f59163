//! A thread that does tasks when they are due, and is started and stopped.

use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use tidegate_core::{Clock, Instant};

use crate::clock;
use crate::config::ConfigError;
use crate::panics::contained;
use crate::status::Health;
use crate::sync::{AtomicBool, Condvar, Mutex, MutexGuard, thread};
use crate::task::{Again, Output, RunError, Task, as_step, is_in_a_run};

/// How long dropping a runtime waits for the steps under way.
pub(crate) const ON_DROP: Duration = Duration::from_secs(1);

/// Nobody sleeps longer: a deadline further away is as good as none.
const LONGEST_SLEEP: Duration = Duration::from_secs(86_400);

/// What stopping came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "a step may still be under way"]
pub enum Stop {
    /// No step runs, and none will until it is asked for. (A source of pressure that has not answered in time
    /// may still be at it, on its own thread.)
    Stopped,
    /// A step is still under way. It is stopped as soon as that has ended; asking again waits for it again.
    TimedOut,
}

/// Why a runtime was not started.
#[derive(Debug)]
#[non_exhaustive]
pub enum StartError {
    /// It is being stopped, and a step is still under way.
    Stopping,
    /// The system cannot start a thread.
    Thread(std::io::Error),
    /// What was to be started cannot be.
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
            Self::Stopping => f.write_str("it is being stopped, and a step is still under way"),
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

/// Owns a thread: dropping it has the thread stop after the step under way, and does not wait for that.
pub(crate) struct Engine<O: Output> {
    shared: Arc<Shared<O>>,
}

pub(crate) struct Shared<O> {
    name: String,
    control: Mutex<Control<O>>,
    /// Somebody has changed something.
    changed: Condvar,
    /// Somebody has asked it to stop, and something runs still. Written under the lock; looked at between
    /// steps without.
    stopping: AtomicBool,
}

struct Control<O> {
    phase: Phase,
    tasks: Arc<[Arc<Task<O>>]>,
    /// The thread is to look again before it sleeps.
    poked: bool,
    /// Runs that others than the thread are at, or wait for.
    asked: usize,
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
        let control =
            Control { phase: Phase::Stopped, tasks: Arc::default(), poked: false, asked: 0 };
        let (changed, stopping) = (Condvar::new(), AtomicBool::new(false));
        Self { shared: Arc::new(Shared { name, control: Mutex::new(control), changed, stopping }) }
    }

    pub(crate) fn shared(&self) -> &Arc<Shared<O>> {
        &self.shared
    }
}

impl<O: Output> Drop for Engine<O> {
    fn drop(&mut self) {
        self.shared.ask_to_stop();
    }
}

/// `None` if that is too far away to be said.
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
        if control.tasks.iter().any(|other| other.name() == task.name()) {
            return Err(ConfigError::new("name", format!("'{}' is taken", task.name())));
        }
        let task = Arc::new(task);
        if control.phase == Phase::Running {
            task.start(clock().now());
        }
        control.tasks = control.tasks.iter().chain([&task]).cloned().collect();
        self.poke(control);
        Ok(task)
    }

    pub(crate) fn remove(&self, task: &Arc<Task<O>>) {
        let mut control = self.control();
        let others = control.tasks.iter().filter(|other| !Arc::ptr_eq(other, task));
        let left = others.cloned().collect();
        // What goes is dropped without the lock: it may be somebody's last handle of us.
        let _gone = std::mem::replace(&mut control.tasks, left);
        task.remove();
        self.poke(control);
    }

    pub(crate) fn task(&self, name: &str) -> Option<Arc<Task<O>>> {
        self.control().tasks.iter().find(|task| task.name() == name).cloned()
    }

    pub(crate) fn tasks(&self) -> Arc<[Arc<Task<O>>]> {
        Arc::clone(&self.control().tasks)
    }

    /// Has the thread look again.
    fn poke(&self, mut control: MutexGuard<'_, Control<O>>) {
        control.poked = true;
        drop(control);
        self.changed.notify_all();
    }

    /// Tells the thread that a task's timetable has changed.
    pub(crate) fn look_again(&self) {
        self.poke(self.control());
    }

    /// Starts the thread; nothing if it runs.
    pub(crate) fn start(self: &Arc<Self>) -> Result<(), StartError> {
        let mut control = self.control();
        match control.phase {
            Phase::Running => return Ok(()),
            _ if self.is_stopping() => return Err(StartError::Stopping),
            _ => {}
        }
        let now = clock().now();
        for task in control.tasks.iter() {
            task.start(now);
        }
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
                control.tasks.iter().for_each(|task| task.rest());
                Err(StartError::Thread(error))
            }
        }
    }

    pub(crate) fn is_stopping(&self) -> bool {
        // Relaxed: what must be ordered is ordered by the lock.
        self.stopping.load(Ordering::Relaxed)
    }

    /// Wakes the thread, which then leaves; runs that others have asked for end after their step.
    pub(crate) fn ask_to_stop(&self) {
        let mut control = self.control();
        match control.phase {
            Phase::Running => control.phase = Phase::Stopping,
            // Now it is stopped on purpose.
            Phase::Dead => control.phase = Phase::Stopped,
            Phase::Stopped | Phase::Stopping => {}
        }
        if control.phase == Phase::Stopping || control.asked > 0 {
            // Relaxed: as where it is read.
            self.stopping.store(true, Ordering::Relaxed);
        }
        self.poke(control);
    }

    /// Somebody runs no more: if nobody does, it has stopped.
    fn has_ended(&self, control: MutexGuard<'_, Control<O>>) {
        if control.asked == 0 && control.phase != Phase::Stopping {
            // Relaxed: as where it is read.
            self.stopping.store(false, Ordering::Relaxed);
        }
        self.poke(control);
    }

    /// Whether starting would find it stopped, or running.
    pub(crate) fn can_start(&self) -> bool {
        let _control = self.control();
        !self.is_stopping()
    }

    /// Waits until nothing runs any more. At once, and in vain, for whoever is called by what runs.
    pub(crate) fn wait_until_stopped(&self, deadline: Option<std::time::Instant>) -> Stop {
        let mut control = self.control();
        loop {
            // Or somebody has started it again since.
            if !self.is_stopping() {
                return Stop::Stopped;
            }
            if is_in_a_run() {
                // Who would wait for himself.
                return Stop::TimedOut;
            }
            control =
                match deadline.map(|at| at.saturating_duration_since(std::time::Instant::now())) {
                    Some(Duration::ZERO) => return Stop::TimedOut,
                    Some(left) => {
                        let woken = self.changed.wait_timeout(control, left);
                        woken.unwrap_or_else(PoisonError::into_inner).0
                    }
                    None => self.changed.wait(control).unwrap_or_else(PoisonError::into_inner),
                };
        }
    }

    /// Gives its tasks up: for when it is stopped for good.
    pub(crate) fn clear(&self) {
        let tasks = std::mem::take(&mut self.control().tasks);
        // Without the lock, and on this thread.
        let_go(tasks);
    }

    /// The thread.
    fn run(self: Arc<Self>) {
        let _left = Left(&self);
        let mut control = self.control();
        while control.phase != Phase::Stopping {
            control.poked = false;
            let tasks = Arc::clone(&control.tasks);
            drop(control);
            let again = self.round(&tasks);
            as_step(|| let_go(tasks));
            control = self.control();
            if control.poked || control.phase == Phase::Stopping {
                continue;
            }
            let left = again.since(clock().now()).min(LONGEST_SLEEP);
            if !left.is_zero() {
                let woken = self.changed.wait_timeout(control, left);
                control = woken.unwrap_or_else(PoisonError::into_inner).0;
            }
        }
    }

    /// A step of each task that is due: when the next will be.
    fn round(&self, tasks: &[Arc<Task<O>>]) -> Instant {
        let mut next = Instant::MAX;
        for task in tasks {
            if self.is_stopping() {
                break;
            }
            match task.tick(clock().now()) {
                Again::Now => next = Instant::ORIGIN,
                Again::At(then) => next = next.min(then),
                Again::Sometime => {}
            }
        }
        next
    }

    /// Runs a task now, on this thread, or waits for who does.
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
        let _asked = Asked(self);
        task.run(share, || !self.is_stopping())
    }

    pub(crate) fn health(&self, task: &Task<O>, stalled_after: u32) -> Health {
        match self.control().phase {
            Phase::Dead => return Health::Dead,
            Phase::Stopped if task.schedule().is_enabled => return Health::Stopped,
            _ => {}
        }
        task.health(clock().now(), stalled_after)
    }

    /// The worst of all tasks.
    pub(crate) fn worst(&self, stalled_after: u32) -> Option<Health> {
        if self.control().phase == Phase::Dead {
            return Some(Health::Dead);
        }
        let all = self.tasks();
        let healths = all.iter().map(|task| self.health(task, stalled_after));
        let worst = healths.max_by_key(|it| it.badness());
        let_go(all);
        worst
    }
}

/// Whoever does may be the last that knows a target, whose destructor is somebody else's code: each by itself, for
/// of two that panic at once the second would end the process.
fn let_go<O>(tasks: Arc<[Arc<Task<O>>]>) {
    let is_last = Arc::strong_count(&tasks) == 1;
    let each: Vec<_> = tasks.iter().filter(|_| is_last).cloned().collect();
    contained(|| drop(tasks));
    each.into_iter().for_each(|task| _ = contained(|| drop(task)));
}

/// Says that the thread has left, in whatever way.
struct Left<'a, O: Output>(&'a Shared<O>);

impl<O: Output> Drop for Left<'_, O> {
    fn drop(&mut self) {
        let died = std::thread::panicking();
        let mut control = self.0.control();
        control.phase = if died { Phase::Dead } else { Phase::Stopped };
        control.tasks.iter().for_each(|task| task.rest());
        self.0.has_ended(control);
    }
}

/// A run that somebody asked for.
struct Asked<'a, O: Output>(&'a Shared<O>);

impl<O: Output> Drop for Asked<'_, O> {
    fn drop(&mut self) {
        let mut control = self.0.control();
        control.asked -= 1;
        self.0.has_ended(control);
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
