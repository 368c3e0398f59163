//! Several targets on one cadence.

use super::{Budget, Cadence, Sweep, Swept};
use crate::time::Instant;

/// Sweeps targets one after the other, in steps within the caller's budget. Each target is swept
/// once at every deadline of a cadence.
///
/// It borrows its targets and needs no heap. Poll it whenever there is time; the next call
/// continues what one did not finish.
///
/// ```
/// use core::time::Duration;
/// use tidegate_core::{
///     BucketTable, Budget, Cadence, Instant, Quota, SeededState, Sweep, Sweeper,
/// };
///
/// let quota = Quota::per_second(10)?;
/// let clients = BucketTable::boxed(quota, 1_000, SeededState::new(1))?;
/// let routes = BucketTable::boxed(quota, 100, SeededState::new(2))?;
///
/// let (mut a, mut b) = (clients.sweeper(), routes.sweeper());
/// let mut targets: [&mut dyn Sweep; 2] = [&mut a, &mut b];
/// let cadence = Cadence::new(Instant::ORIGIN, Duration::from_secs(60));
/// let mut sweeper = Sweeper::new(&mut targets, cadence);
///
/// let now = Instant::from_secs(1);
/// while sweeper.next_due(now) <= now {
///     sweeper.poll(now, Budget::entries(500)); // a step between two bursts
/// }
/// assert_eq!(sweeper.next_due(now), Instant::from_secs(60));
/// # Ok::<(), tidegate_core::QuotaError>(())
/// ```
pub struct Sweeper<'a> {
    targets: &'a mut [&'a mut dyn Sweep],
    cadence: Cadence,
    /// The target of the round in progress; past the last between rounds.
    current: usize,
}

impl<'a> Sweeper<'a> {
    /// Creates a sweeper of `targets`, whose rounds begin at the deadlines of `cadence`.
    pub fn new(targets: &'a mut [&'a mut dyn Sweep], cadence: Cadence) -> Self {
        let current = targets.len();
        Self { targets, cadence, current }
    }

    /// Continues the round, or begins one that is due. Otherwise it does nothing and returns zeros.
    /// `wrapped` says that a round was completed.
    pub fn poll(&mut self, now: Instant, budget: Budget) -> Swept {
        let mut done = Swept::default();
        if self.current == self.targets.len() && self.cadence.due(now) {
            self.current = 0;
        }
        let mut left = budget;
        while left.get() > 0 {
            let Some(target) = self.targets.get_mut(self.current) else {
                break;
            };
            let step = target.sweep(now, left);
            done.add(step);
            left = left.less(step.visited.saturating_add(step.freed).max(1));
            if step.wrapped {
                self.current += 1;
                done.wrapped = self.current == self.targets.len();
                if done.wrapped {
                    self.cadence.finish(now);
                }
            }
        }
        done
    }

    /// Returns when to poll again: at once while a round is in progress, else at the next deadline.
    pub fn next_due(&self, now: Instant) -> Instant {
        if self.current < self.targets.len() { now } else { self.cadence.next_due() }
    }

    /// Returns how many deadlines were skipped because the round before them took too long.
    pub fn missed(&self) -> u64 {
        self.cadence.missed()
    }
}

impl core::fmt::Debug for Sweeper<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Sweeper")
            .field("targets", &self.targets.len())
            .field("cadence", &self.cadence)
            .field("current", &self.current)
            .finish()
    }
}
