//! A thread that sweeps.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tidegate_core::{Budget, Clock, Sweep, Swept};

use crate::periodic::{Periodic, Work};

/// Entries a step looks at between two looks at whether to stop: some tens of microseconds.
const STEP: Budget = Budget::entries(4_096);

/// Sweeps targets at every deadline of a fixed cadence until it is stopped; the first time as soon as
/// the thread runs.
///
/// Stopping wakes the thread at once and waits for the step under way, which is bounded by its
/// budget; dropping the handle stops it too. The targets go with the thread: share what they sweep
/// through an `Arc`.
///
/// A target that panics, a closure that asks what is stale for example, ends the thread and with it the
/// sweeping of all its targets; `stop` then returns as it does otherwise.
///
/// ```
/// use std::sync::Arc;
/// use std::time::Duration;
/// use tidegate::{BucketTable, Clock, MonotonicClock, Quota, SweepThread, TableSweep};
///
/// let clock = MonotonicClock::new();
/// let quota = Quota::per_second(10)?;
/// let table = Arc::new(BucketTable::boxed(quota, 1_000, tidegate::random_state())?);
/// let sweep = TableSweep::new(Arc::clone(&table));
///
/// let thread = SweepThread::start(clock, Duration::from_secs(60), vec![Box::new(sweep)])?;
/// let plan = table.plan(quota)?;
/// assert!(table.check("alice", &plan, clock.now()).is_admitted());
///
/// let total = thread.stop(); // at once, though the next round is a minute away
/// assert_eq!(total.removed, 0);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct SweepThread {
    thread: Periodic,
    totals: Arc<Totals>,
}

/// What a [`SweepThread`] has done so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SweepTotals {
    /// Rounds over all targets.
    pub rounds: u64,
    /// Entries looked at.
    pub visited: u64,
    /// Entries removed.
    pub removed: u64,
}

#[derive(Debug, Default)]
struct Totals {
    rounds: AtomicU64,
    visited: AtomicU64,
    removed: AtomicU64,
}

impl SweepThread {
    /// Starts a thread that sweeps `targets` every `interval`, at the times of `clock`: the one
    /// whose times the targets are used with.
    ///
    /// # Errors
    ///
    /// If the interval is zero, or the system cannot start a thread.
    pub fn start(
        clock: impl Clock + Send + 'static,
        interval: Duration,
        mut targets: Vec<Box<dyn Sweep + Send>>,
    ) -> std::io::Result<Self> {
        let totals = Arc::new(Totals::default());
        let counted = Arc::clone(&totals);
        let mut current = 0;
        let thread = Periodic::start("tidegate-sweep", interval, move || {
            if let Some(target) = targets.get_mut(current) {
                let step = target.sweep(clock.now(), STEP);
                counted.add(step);
                current += usize::from(step.wrapped);
            }
            if current < targets.len() {
                return Work::More;
            }
            current = 0;
            // Relaxed: a count.
            counted.rounds.fetch_add(1, Ordering::Relaxed);
            Work::Done
        })?;
        Ok(Self { thread, totals })
    }

    /// What the thread has done so far.
    pub fn totals(&self) -> SweepTotals {
        // Relaxed, all: counts.
        SweepTotals {
            rounds: self.totals.rounds.load(Ordering::Relaxed),
            visited: self.totals.visited.load(Ordering::Relaxed),
            removed: self.totals.removed.load(Ordering::Relaxed),
        }
    }

    /// Stops the thread, waits for it, and says what it has done.
    pub fn stop(mut self) -> SweepTotals {
        self.thread.stop();
        self.totals()
    }
}

impl Totals {
    fn add(&self, step: Swept) {
        // Relaxed, both: counts.
        self.visited.fetch_add(step.visited as u64, Ordering::Relaxed);
        self.removed.fetch_add(step.removed as u64, Ordering::Relaxed);
    }
}
