//! Targets that a runtime sweeps.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tidegate_core::{Budget, Instant, Swept};

use crate::config::{self, ConfigError};
use crate::engine::Shared;
use crate::panics::Foreign;
use crate::runtime::SharedClock;
use crate::schedule::Schedule;
use crate::status::{Health, Metrics};
use crate::task::{Output, RunError, Step, Task};

impl Output for Swept {
    fn removed(&self) -> u64 {
        self.removed as u64
    }
}

/// A target that a [`Runtime`](crate::Runtime) sweeps. Clones are the same target; dropping them all leaves
/// it to the runtime.
///
/// A run is one pass over the target, in steps within a budget; between them other targets have their turn.
/// At most one is under way. It does not matter who runs: the runtime's thread, or whoever
/// [triggers](Self::trigger).
#[derive(Clone)]
pub struct Sweeping {
    shared: Arc<Shared<Swept>>,
    task: Arc<Task<Swept>>,
    stalled_after: u32,
}

impl Sweeping {
    pub(crate) fn new(
        shared: Arc<Shared<Swept>>,
        task: Arc<Task<Swept>>,
        stalled_after: u32,
    ) -> Self {
        Self { shared, task, stalled_after }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        self.task.name()
    }

    /// Sweeps it now, on this thread, whether the runtime is started and the target enabled or not; or, if a
    /// run is under way, waits for that. The answer is that of a run that ended after this call began, never
    /// of an earlier one. Whoever comes together shares a run.
    ///
    /// # Errors
    ///
    /// That run's, or [`RunError::Stopping`] if the runtime is stopped meanwhile; [`RunError::Reentrant`] if
    /// the caller is called by a run.
    pub fn trigger(&self) -> Result<Swept, RunError> {
        self.shared.trigger(&self.task, true)
    }

    /// The same, and shares no run: what had gone stale when this was called has been seen. One that is under
    /// way is brought to its end first.
    ///
    /// # Errors
    ///
    /// As [`trigger`](Self::trigger).
    pub fn trigger_anew(&self) -> Result<Swept, RunError> {
        self.shared.trigger(&self.task, false)
    }

    /// How it is faring.
    pub fn health(&self) -> Health {
        self.shared.health(&self.task, self.stalled_after)
    }

    /// What it has done.
    pub fn metrics(&self) -> Metrics {
        self.task.metrics()
    }

    /// Begins to count anew; a run under way will count.
    pub fn reset_metrics(&self) {
        self.task.reset_metrics();
    }

    /// Switches it on or off. A step under way, or about to begin, ends.
    pub fn enable(&self, is_enabled: bool) {
        self.shared.enable(&self.task, is_enabled);
    }

    /// When it is done, and how much at a time.
    pub fn schedule(&self) -> Schedule {
        self.task.schedule()
    }

    /// From now on, at every such interval.
    ///
    /// # Errors
    ///
    /// As [`Schedule::every`].
    pub fn set_interval(&self, interval: Duration) -> Result<(), ConfigError> {
        self.shared.set_interval(&self.task, config::interval(interval)?);
        Ok(())
    }

    /// Takes it out of the runtime. A step under way, or about to begin, ends; the target is dropped with the
    /// last of these handles.
    pub fn remove(&self) {
        self.shared.remove(&self.task);
    }
}

impl fmt::Debug for Sweeping {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, health) = (self.name(), self.health());
        f.debug_struct("Sweeping").field("name", &name).field("health", &health).finish()
    }
}

/// The work of sweeping a target once: its steps add up to a run.
pub(crate) fn work(
    clock: Foreign<SharedClock>,
    budget: Budget,
    mut step: impl FnMut(Instant, Budget) -> Result<Swept, String> + Send + 'static,
) -> Step<Swept> {
    let mut total = Swept::default();
    Box::new(move || {
        let step = step(clock.now(), budget)?;
        total.add(step);
        // A target that did nothing and is not done would keep the thread busy for ever.
        let is_done = step.wrapped || (step.visited, step.removed, step.freed) == (0, 0, 0);
        Ok(is_done.then(|| Swept { wrapped: true, ..std::mem::take(&mut total) }))
    })
}
