//! Handles of a runtime's targets and refreshers.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tidegate_core::{Budget, Instant, Swept};

use super::engine::Shared;
use super::schedule::Schedule;
use super::status::{Health, Metrics};
use super::task::{Output, RunError, Step, Task};
use crate::clock::SharedClock;
use crate::config::{self, ConfigError};
use crate::panics::Foreign;

impl Output for Swept {
    fn removed(&self) -> u64 {
        self.removed as u64
    }
}

/// Controls a target that a [`Runtime`](crate::Runtime) sweeps.
///
/// A clone is a handle of the same target. Dropping the handles leaves the target to the runtime.
///
/// A run is one pass over the target, in steps within a budget. Between two steps other targets take their turn. At
/// most one run is in progress, on the runtime's thread or on that of a caller that [triggers](Self::trigger) it.
#[derive(Clone)]
pub struct SweepHandle {
    shared: Arc<Shared<Swept>>,
    task: Arc<Task<Swept>>,
    stalled_after: u32,
}

impl SweepHandle {
    pub(crate) fn new(
        shared: Arc<Shared<Swept>>,
        task: Arc<Task<Swept>>,
        stalled_after: u32,
    ) -> Self {
        Self { shared, task, stalled_after }
    }

    /// Returns the name.
    pub fn name(&self) -> &str {
        self.task.name()
    }

    /// Sweeps the target now, on this thread, or waits for the run in progress. The runtime need not be started, nor the
    /// target enabled.
    ///
    /// The answer is that of a run that ended after this call began. Concurrent callers share a run.
    ///
    /// # Errors
    ///
    /// The error of that run; [`RunError::Stopping`] if the runtime is stopped meanwhile; [`RunError::Removed`] if
    /// the target is removed; [`RunError::Reentrant`] if the caller is itself called by a run.
    pub fn trigger(&self) -> Result<Swept, RunError> {
        self.shared.trigger(&self.task, true)
    }

    /// Sweeps the target as [`trigger`](Self::trigger) does, but by a run that begins after this call began. So the run
    /// sees every entry that was stale by then. A run in progress is ended first.
    ///
    /// # Errors
    ///
    /// Fails as [`trigger`](Self::trigger) does.
    pub fn trigger_anew(&self) -> Result<Swept, RunError> {
        self.shared.trigger(&self.task, false)
    }

    /// Returns the health of the target.
    pub fn health(&self) -> Health {
        self.shared.health(&self.task, self.stalled_after)
    }

    /// Returns the figures of the target's runs.
    pub fn metrics(&self) -> Metrics {
        self.task.metrics()
    }

    /// Sets the metrics to zero. A run in progress counts when it ends.
    pub fn reset_metrics(&self) {
        self.task.reset_metrics();
    }

    /// Switches the target on or off. A step in progress, or about to begin, ends.
    pub fn enable(&self, is_enabled: bool) {
        self.shared.enable(&self.task, is_enabled);
    }

    /// Returns the schedule of the target.
    pub fn schedule(&self) -> Schedule {
        self.task.schedule()
    }

    /// Changes the interval. The next run is due no later than it would have been.
    ///
    /// # Errors
    ///
    /// Fails as [`Schedule::every`] does.
    pub fn set_interval(&self, interval: Duration) -> Result<(), ConfigError> {
        self.shared.set_interval(&self.task, config::interval(interval)?);
        Ok(())
    }

    /// Removes the target from the runtime. A step in progress, or about to begin, ends. The target is dropped with
    /// the last of its handles.
    pub fn remove(&self) {
        self.shared.remove(&self.task);
    }
}

impl fmt::Debug for SweepHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, health) = (self.name(), self.health());
        f.debug_struct("SweepHandle").field("name", &name).field("health", &health).finish()
    }
}

/// Shows the state of a [`Refresher`](crate::Refresher) that a [`Runtime`](crate::Runtime) renews. Dropping the handle
/// changes nothing.
#[derive(Clone)]
pub struct RefreshHandle {
    shared: Arc<Shared<()>>,
    task: Arc<Task<()>>,
    stalled_after: u32,
}

impl RefreshHandle {
    pub(super) fn new(shared: Arc<Shared<()>>, task: Arc<Task<()>>, stalled_after: u32) -> Self {
        Self { shared, task, stalled_after }
    }

    /// Returns the refresher's health, which is degraded while renewals fail or there is no valid value.
    pub fn health(&self) -> Health {
        self.shared.health(&self.task, self.stalled_after)
    }

    /// Returns the figures of the thread's runs. A run checks whether a renewal is due, and makes it.
    pub fn metrics(&self) -> Metrics {
        self.task.metrics()
    }
}

impl fmt::Debug for RefreshHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, health) = (self.task.name(), self.health());
        f.debug_struct("RefreshHandle").field("name", &name).field("health", &health).finish()
    }
}

/// Returns the work of sweeping a target once, whose steps add up to a run.
pub(crate) fn work(
    clock: Foreign<SharedClock>,
    budget: Budget,
    mut step: impl FnMut(Instant, Budget) -> Result<Swept, String> + Send + 'static,
) -> Step<Swept> {
    let mut total = Swept::default();
    Box::new(move || {
        let step = step(clock.now(), budget)?;
        total.add(step);
        // A target that does nothing and is never done would keep the thread busy for ever.
        let is_done = step.wrapped || (step.visited, step.removed, step.freed) == (0, 0, 0);
        Ok(is_done.then(|| Swept { wrapped: true, ..std::mem::take(&mut total) }))
    })
}
