//! The runtime: the threads of a process, started and stopped together.

pub(crate) mod agenda;
mod cached_clock;
pub(crate) mod engine;
mod handle;
mod observe;
pub(crate) mod schedule;
pub(crate) mod status;
pub(crate) mod task;

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, LazyLock, PoisonError, Weak};
use std::time::Duration;

use tidegate_core::{Budget, Clock, Instant, Sweep, Swept};

pub use self::cached_clock::ClockHandle;
pub use self::engine::{StartError, Stop};
pub use self::handle::{RefreshHandle, SweepHandle};
pub use self::schedule::{First, Schedule};
pub use self::status::{Health, Metrics};
pub use self::task::RunError;

use self::engine::{Engine, ON_DROP, Thread, deadline};
use self::task::Task;
use crate::clock::SharedClock;
use crate::config::{self, ConfigError};
use crate::panics::Foreign;
use crate::refresh::Attended;
use crate::sync::{Mutex, MutexGuard};

/// Runs recurring work: sweeps on one thread, and pressure and refreshers on threads of their own.
///
/// A clone is a handle of the same runtime. Dropping the last handle stops the runtime, and waits for a step in
/// progress for a second at most.
///
/// # Guarantees
///
/// * A target is swept at every deadline of its cadence, and never before it. The k-th deadline is k intervals after
///   the start. Deadlines that pass while the target is being swept are skipped and counted. Targets take turns, step
///   by step, so a target that takes long does not keep the others waiting.
/// * A thread that has just been awake may delay a run by a hundredth of its interval, 10 ms at most. So runs that are
///   due at about the same time share a wake.
/// * Adding and removing a target, and finding the next due target, take O(log n) comparisons for n targets.
///   [`health`](Self::health) and [`sweep_handles`](Self::sweep_handles) look at each target.
/// * [`stop`](Self::stop) wakes a thread that sleeps at once, and waits for a step in progress. After
///   [`Stop::Stopped`] no step runs until the runtime is started or a target triggered.
/// * There is never more than one thread of a kind, however starting and stopping race.
/// * A failure or a panic of a target is counted, and the target is run again. After the n-th failure in a row the
///   target skips 2^(n-1) - 1 deadlines, 15 at most.
/// * A panic of a target's destructor, or of the clock's, is [contained](crate::caught_panics). Targets are dropped
///   after the runtime has stopped, while no lock is held: by the thread that drops the last handle, or by the step for
///   which that thread did not wait.
///
/// # Examples
///
/// ```
/// use std::sync::Arc;
/// use std::time::Duration;
/// use tidegate::lockfree::{BucketTable, TableSweep};
/// use tidegate::{Clock, Health, Quota, Runtime, Schedule, Stop, clock};
///
/// let quota = Quota::per_second(10)?;
/// let table = Arc::new(BucketTable::boxed(quota, 1_000, tidegate::random_state())?);
/// let plan = table.plan(quota)?;
/// assert!(table.check("alice", &plan, clock().now()).is_admitted());
///
/// let runtime = Runtime::builder().build()?;
/// let every = Schedule::every(Duration::from_secs(60))?;
/// let sweeping = runtime.sweep("clients", every, TableSweep::new(Arc::clone(&table)))?;
/// runtime.start()?;
/// let swept = sweeping.trigger()?; // now, and not in a minute
/// assert_eq!((swept.removed, sweeping.health()), (0, Health::Healthy));
///
/// // At once, though the next run is a minute away.
/// assert_eq!(runtime.stop(Duration::from_secs(1)), Stop::Stopped);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Runtime {
    inner: Arc<Inner>,
}

struct Inner {
    settings: Settings,
    sweeps: Engine<Swept>,
    threads: Mutex<Threads>,
}

/// The threads beside that of the sweeps.
struct Threads {
    others: Vec<Arc<dyn Thread>>,
    /// The names of pressures and refreshers.
    names: Vec<String>,
    is_started: bool,
}

/// Builds a [`Runtime`]: see [`Runtime::builder`].
#[derive(Clone)]
#[must_use = "a builder does nothing until it builds"]
pub struct RuntimeBuilder {
    settings: Settings,
}

#[derive(Clone)]
struct Settings {
    name: String,
    clock: Option<Foreign<SharedClock>>,
    stalled_after: u32,
}

impl RuntimeBuilder {
    /// Sets the name, by which [`shared`](Self::shared) finds the runtime. "tidegate" by default.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.settings.name = name.into();
        self
    }

    /// Sets the clock by which targets are swept and caches evicted. [That of the process](crate::clock()) by
    /// default. Deadlines and health always use the clock of the process; a refresher has [a clock of its
    /// own](crate::refresh::Builder::clock).
    ///
    /// [`shared`](Self::shared) compares clocks by identity: give each of its builders the same
    /// `Arc<dyn Clock + Send + Sync>`.
    pub fn clock(mut self, clock: impl Clock + Send + Sync + 'static) -> Self {
        self.settings.clock = Some(Foreign::new(crate::clock::shared(clock)));
        self
    }

    /// Sets the number of intervals after which a run that has not ended is [stalled](Health::Stalled), 100 ms at
    /// least. 3 by default.
    pub fn stalled_after(mut self, intervals: u32) -> Self {
        self.settings.stalled_after = intervals;
        self
    }

    /// Builds a runtime that no other builder returns. It is not started.
    ///
    /// # Errors
    ///
    /// If a setting is invalid.
    pub fn build(self) -> Result<Runtime, ConfigError> {
        self.settings.check()?;
        Ok(Runtime::new(self.settings))
    }

    /// Returns the runtime of this name in this process: another handle of it if there is one, or else a new runtime.
    /// A runtime exists for as long as it has handles.
    ///
    /// # Errors
    ///
    /// If a setting is invalid, or differs from that of the runtime that exists.
    ///
    /// ```
    /// use tidegate::Runtime;
    ///
    /// let one = Runtime::builder().name("service").shared()?;
    /// let same = Runtime::builder().name("service").shared()?;
    /// assert!(one.is(&same));
    ///
    /// let other = Runtime::builder().name("service").stalled_after(10).shared();
    /// assert_eq!(other.unwrap_err().field(), "stalled_after");
    /// # Ok::<(), tidegate::ConfigError>(())
    /// ```
    pub fn shared(self) -> Result<Runtime, ConfigError> {
        self.settings.check()?;
        let mut shared = shared();
        shared.retain(|_, inner| inner.strong_count() > 0);
        let found = shared.get(&self.settings.name).and_then(Weak::upgrade);
        let Some(inner) = found else {
            let runtime = Runtime::new(self.settings);
            let name = runtime.inner.settings.name.clone();
            shared.insert(name, Arc::downgrade(&runtime.inner));
            return Ok(runtime);
        };
        // The lock is released first, since this handle may be the last one by now.
        drop(shared);
        let runtime = Runtime { inner };
        runtime.inner.settings.must_equal(&self.settings)?;
        Ok(runtime)
    }
}

type Named = HashMap<String, Weak<Inner>>;

/// The runtimes that can be found by name.
fn shared() -> std::sync::MutexGuard<'static, Named> {
    static SHARED: LazyLock<std::sync::Mutex<Named>> = LazyLock::new(Default::default);
    SHARED.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Settings {
    fn check(&self) -> Result<(), ConfigError> {
        config::name(&self.name)?;
        if self.stalled_after == 0 {
            return Err(ConfigError::new("stalled_after", "must be at least one interval"));
        }
        Ok(())
    }

    fn must_equal(&self, asked: &Self) -> Result<(), ConfigError> {
        let reason = || format!("the runtime '{}' has another", self.name);
        if self.stalled_after != asked.stalled_after {
            return Err(ConfigError::new("stalled_after", reason()));
        }
        match (&self.clock, &asked.clock) {
            (None, None) => Ok(()),
            (Some(ours), Some(theirs)) if Arc::ptr_eq(ours, theirs) => Ok(()),
            _ => Err(ConfigError::new("clock", reason())),
        }
    }
}

impl Runtime {
    fn new(settings: Settings) -> Self {
        let sweeps = Engine::new("tidegate-sweep".to_owned());
        let threads =
            Mutex::new(Threads { others: Vec::new(), names: Vec::new(), is_started: false });
        Self { inner: Arc::new(Inner { settings, sweeps, threads }) }
    }

    /// Returns a builder with the default settings.
    pub fn builder() -> RuntimeBuilder {
        let settings = Settings { name: "tidegate".to_owned(), clock: None, stalled_after: 3 };
        RuntimeBuilder { settings }
    }

    /// Returns the [shared](RuntimeBuilder::shared) runtime of this name, if there is one.
    pub fn find(name: &str) -> Option<Self> {
        let inner = shared().get(name).and_then(Weak::upgrade)?;
        Some(Self { inner })
    }

    /// Returns whether `other` is a handle of this runtime.
    pub fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.inner, &other.inner)
    }

    /// Returns the name.
    pub fn name(&self) -> &str {
        &self.inner.settings.name
    }

    /// Returns the clock by which targets are swept.
    pub fn clock(&self) -> Arc<dyn Clock + Send + Sync> {
        let own = self.inner.settings.clock.as_deref();
        own.map_or_else(|| Arc::new(crate::clock()) as SharedClock, Arc::clone)
    }

    pub(crate) fn stalled_after(&self) -> u32 {
        self.inner.settings.stalled_after
    }

    /// Adds a target, which is swept from now on if the runtime is started. Share the swept structure through an `Arc`.
    ///
    /// # Errors
    ///
    /// If the name is taken, empty, longer than 64 bytes, or has control characters. The target is dropped.
    pub fn sweep(
        &self,
        name: &str,
        schedule: Schedule,
        target: impl Sweep + Send + 'static,
    ) -> Result<SweepHandle, ConfigError> {
        let mut target = Foreign::new(target);
        self.add(name, schedule, move |now, budget| Ok(target.sweep(now, budget)))
    }

    /// Adds a closure as a target. Each call is a step, and returns its figures or its error. A run is over when a step
    /// has `wrapped`, or has done nothing at all.
    ///
    /// # Errors
    ///
    /// Fails as [`sweep`](Self::sweep) does.
    ///
    /// ```
    /// use std::time::Duration;
    /// use tidegate::{Runtime, Schedule, Swept};
    ///
    /// let runtime = Runtime::builder().build()?;
    /// let daily = Schedule::every(Duration::from_secs(86_400))?;
    /// let files = runtime.task("files", daily, |_now, _budget| {
    ///     let removed = std::fs::read_dir("/no such directory")?.count();
    ///     Ok::<_, std::io::Error>(Swept { removed, wrapped: true, ..Swept::default() })
    /// })?;
    /// assert!(files.trigger().is_err());
    /// assert_eq!(files.metrics().errors, 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn task<E: fmt::Display>(
        &self,
        name: &str,
        schedule: Schedule,
        step: impl FnMut(Instant, Budget) -> Result<Swept, E> + Send + 'static,
    ) -> Result<SweepHandle, ConfigError> {
        let mut step = Foreign::new(step);
        self.add(name, schedule, move |now, budget| {
            step(now, budget).map_err(|error| Foreign::new(error).to_string())
        })
    }

    /// Adds a step of a structure of the face as a target: under `name`, or under what `numbered` returns while that is
    /// taken. Its label in metrics is `label`.
    pub(crate) fn keep(
        &self,
        label: &str,
        name: String,
        numbered: impl FnMut() -> String,
        schedule: Schedule,
        step: impl FnMut(Instant, Budget) -> Result<Swept, String> + Send + 'static,
    ) -> SweepHandle {
        let mut step = Foreign::new(step);
        let step = move |now, budget| step(now, budget);
        let work = handle::work(Foreign::new(self.clock()), schedule.budget, step);
        let shared = self.inner.sweeps.shared();
        let task = shared.add_numbered(Task::new(name, schedule, work).labelled(label), numbered);
        SweepHandle::new(Arc::clone(shared), task, self.stalled_after())
    }

    fn add(
        &self,
        name: &str,
        schedule: Schedule,
        step: impl FnMut(Instant, Budget) -> Result<Swept, String> + Send + 'static,
    ) -> Result<SweepHandle, ConfigError> {
        config::name(name)?;
        let work = handle::work(Foreign::new(self.clock()), schedule.budget, step);
        let shared = self.inner.sweeps.shared();
        let task = shared.add(Task::new(name.to_owned(), schedule, work))?;
        Ok(SweepHandle::new(Arc::clone(shared), task, self.stalled_after()))
    }

    /// Returns a handle of the target of this name.
    pub fn sweep_handle(&self, name: &str) -> Option<SweepHandle> {
        let shared = self.inner.sweeps.shared();
        let task = shared.task(name)?;
        Some(SweepHandle::new(Arc::clone(shared), task, self.stalled_after()))
    }

    /// Returns handles of all targets, in the order in which they were added. Pressure and refreshers have handles
    /// of their own.
    pub fn sweep_handles(&self) -> Vec<SweepHandle> {
        let shared = self.inner.sweeps.shared();
        let handle = |task: &Arc<_>| {
            SweepHandle::new(Arc::clone(shared), Arc::clone(task), self.stalled_after())
        };
        shared.tasks().iter().map(handle).collect()
    }

    /// Adds a [`Refresher`](crate::Refresher), whose value a thread of its own renews when it is due. The thread looks
    /// every `interval`.
    ///
    /// Callers of the refresher then do not renew early themselves, and the value is fresh even if no caller asks. The
    /// refresher stays until the runtime is dropped.
    ///
    /// Where values are made [by futures](crate::Refresher::from_async), the thread polls the future, or waits for [the
    /// executor](crate::refresh::Builder::spawn_with) that does.
    ///
    /// # Errors
    ///
    /// If the name or the interval is invalid, the name is taken, or the system cannot start a thread.
    pub fn refresh<R: Attended>(
        &self,
        name: &str,
        interval: Duration,
        refresher: Arc<R>,
    ) -> Result<RefreshHandle, StartError> {
        let schedule = Schedule::every(interval)?;
        self.named(name, || {
            let engine = Engine::new("tidegate-renew".to_owned());
            let attend = Box::new(move || refresher.attend(interval).map(Some));
            let task = engine.shared().add(Task::new(name.to_owned(), schedule, attend))?;
            let shared = Arc::clone(engine.shared());
            self.adopt(vec![Arc::new(engine)])?;
            Ok(RefreshHandle::new(shared, task, self.stalled_after()))
        })
    }

    /// Returns what `make` makes, under a name that no pressure and no refresher has. The name is taken from now
    /// on, unless `make` fails.
    pub(crate) fn named<T>(
        &self,
        name: &str,
        make: impl FnOnce() -> Result<T, StartError>,
    ) -> Result<T, StartError> {
        config::name(name)?;
        let mut threads = self.threads();
        if threads.names.iter().any(|other| other == name) {
            return Err(ConfigError::new("name", format!("'{name}' is taken")).into());
        }
        threads.names.push(name.to_owned());
        drop(threads);
        make().inspect_err(|_| self.threads().names.retain(|other| other != name))
    }

    /// Adds threads, and starts them if the runtime is started: all of them or none.
    pub(crate) fn adopt(&self, ours: Vec<Arc<dyn Thread>>) -> Result<(), StartError> {
        let mut threads = self.threads();
        if threads.is_started {
            for thread in &ours {
                if let Err(error) = thread.start() {
                    ours.iter().for_each(|thread| thread.ask_to_stop());
                    return Err(error);
                }
            }
        }
        threads.others.extend(ours);
        Ok(())
    }

    fn threads(&self) -> MutexGuard<'_, Threads> {
        self.inner.threads.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts the threads. Does nothing if they run.
    ///
    /// # Errors
    ///
    /// [`StartError::Stopping`] if the runtime is being stopped and a step is still in progress;
    /// [`StartError::Thread`] if the system cannot start a thread, and then the others are stopped, too.
    pub fn start(&self) -> Result<(), StartError> {
        let mut threads = self.threads();
        let sweeps: &dyn Thread = &self.inner.sweeps;
        let others = threads.others.clone();
        let all = || others.iter().map(|thread| &**thread).chain([sweeps]);
        if !all().all(Thread::can_start) {
            return Err(StartError::Stopping);
        }
        for thread in all() {
            if let Err(error) = thread.start() {
                threads.is_started = false;
                all().for_each(Thread::ask_to_stop);
                return Err(error);
            }
        }
        threads.is_started = true;
        Ok(())
    }

    /// Stops the threads: wakes those that sleep, and waits for steps in progress, but no longer than `timeout`.
    /// Triggered runs end after their step, too, with [`RunError::Stopping`](crate::RunError).
    ///
    /// Values that steps have put into thread-local variables are dropped a moment later. A caller that is itself called
    /// by a step, of any runtime, does not wait, and gets [`Stop::TimedOut`].
    pub fn stop(&self, timeout: Duration) -> Stop {
        let deadline = deadline(timeout);
        let mut threads = self.threads();
        threads.is_started = false;
        let others = threads.others.clone();
        self.inner.ask_to_stop(&others);
        drop(threads);
        self.inner.wait_until_stopped(&others, deadline)
    }

    /// Returns whether the runtime was started and has not been stopped since.
    pub fn is_started(&self) -> bool {
        self.threads().is_started
    }

    /// Returns the worst health of all targets, pressures and refreshers of the runtime. Looks at each.
    pub fn health(&self) -> Health {
        let stalled_after = self.stalled_after();
        let threads = self.threads();
        let (is_started, others) = (threads.is_started, threads.others.clone());
        drop(threads);
        let others = others.iter().filter_map(|thread| thread.worst(stalled_after));
        let sweeps = self.inner.sweeps.shared().worst(stalled_after);
        let worst = others.chain(sweeps).max_by_key(|health| health.badness());
        let idle = if is_started { Health::Healthy } else { Health::Stopped };
        worst.unwrap_or(idle)
    }
}

impl Inner {
    fn ask_to_stop(&self, others: &[Arc<dyn Thread>]) {
        others.iter().for_each(|thread| thread.ask_to_stop());
        self.sweeps.ask_to_stop();
    }

    fn wait_until_stopped(
        &self,
        others: &[Arc<dyn Thread>],
        deadline: Option<std::time::Instant>,
    ) -> Stop {
        let sweeps = self.sweeps.wait_until_stopped(deadline);
        let stops = others.iter().map(|thread| thread.wait_until_stopped(deadline));
        let stops: Vec<_> = stops.chain([sweeps]).collect();
        if stops.contains(&Stop::TimedOut) { Stop::TimedOut } else { Stop::Stopped }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        // All threads are asked to stop before the first is waited for.
        let threads = self.threads.get_mut().unwrap_or_else(PoisonError::into_inner);
        let others = std::mem::take(&mut threads.others);
        self.ask_to_stop(&others);
        // The targets are dropped here, or by the last step if that has not ended.
        _ = self.wait_until_stopped(&others, deadline(ON_DROP));
    }
}

impl fmt::Debug for Runtime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, health) = (self.name(), self.health());
        f.debug_struct("Runtime").field("name", &name).field("health", &health).finish()
    }
}
