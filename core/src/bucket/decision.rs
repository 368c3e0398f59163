//! The answer to a check.

use core::time::Duration;

use super::plan::Plan;
use super::verdict::{Outcome, Verdict};
use crate::time::Instant;

/// The answer to a check: the outcome, and the figures that a response header needs.
///
/// The figures are computed only when asked for, and refer to the moment of the check. Durations
/// are rounded up to whole nanoseconds, so that who waits `retry_after` is not early.
///
/// ```
/// use core::time::Duration;
/// use tidegate_core::{BucketTable, Instant, Quota, SeededState};
///
/// let table = BucketTable::boxed(Quota::per_second(2)?, 1_000, SeededState::new(0x5eed))?;
/// let plan = table.plan(Quota::per_second(2)?)?;
/// let now = Instant::from_secs(1);
///
/// let first = table.check("alice", &plan, now);
/// assert!(first.is_admitted());
/// assert_eq!((first.limit(), first.remaining()), (2, 1));
/// assert_eq!(first.reset_after(), Duration::from_millis(500));
///
/// assert!(table.check("alice", &plan, now).is_admitted());
/// let third = table.check("alice", &plan, now);
/// assert!(!third.is_admitted());
/// assert_eq!(third.retry_after(), Some(Duration::from_millis(500)));
///
/// let huge = table.check_n("alice", &plan, 3, now);
/// assert_eq!(huge.retry_after(), None); // never
/// # Ok::<(), tidegate_core::QuotaError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq)]
#[must_use = "a check that nobody looks at limits nothing"]
pub struct Decision {
    plan: Plan,
    now: Instant,
    verdict: Verdict,
}

// A burst's answers are written to memory: one line each.
#[cfg(target_pointer_width = "64")]
const _: () = assert!(size_of::<Decision>() == 64);

impl Decision {
    /// An answer to put into an array before [`check_burst`](crate::BucketTable::check_burst) fills
    /// it: never admitted.
    pub const CLOSED: Self = {
        let Ok(plan) = Plan::compile(super::Unit::NANOSECOND, super::Quota::closed()) else {
            panic!("a closed quota suits any unit")
        };
        Self { plan, now: Instant::ORIGIN, verdict: Verdict::never(0) }
    };

    #[inline(always)]
    pub(super) const fn new(plan: &Plan, now: Instant, verdict: Verdict) -> Self {
        Self { plan: *plan, now, verdict }
    }

    /// Becomes the decision of this verdict, in place: the plan is copied once, not twice.
    #[inline(always)]
    pub(super) fn set(&mut self, plan: &Plan, now: Instant, verdict: Verdict) {
        self.plan = *plan;
        self.now = now;
        self.verdict = verdict;
    }

    /// Whether the request may go ahead.
    #[inline]
    pub const fn is_admitted(&self) -> bool {
        matches!(self.verdict.outcome(), Outcome::Admitted)
    }

    /// What became of the request.
    #[inline]
    pub const fn outcome(&self) -> Outcome {
        self.verdict.outcome()
    }

    /// Whether the table had no slot for the key, so that its [`OnFull`](crate::OnFull) policy gave
    /// the answer.
    #[inline]
    pub const fn is_unplaced(&self) -> bool {
        self.verdict.is_unplaced()
    }

    /// The burst in cells.
    pub const fn limit(&self) -> u64 {
        self.plan.limit()
    }

    /// The cells that could be had at once, right after this check.
    pub const fn remaining(&self) -> u64 {
        self.plan.cells(self.plan.burst().saturating_sub(self.debt()))
    }

    /// When the same request would be admitted, if no other came before it: zero if it was
    /// admitted, `None` if it never can be.
    ///
    /// For a key that a full table denied it is when a slot may come free.
    pub const fn retry_after(&self) -> Option<Duration> {
        match self.verdict.outcome() {
            Outcome::Admitted => Some(Duration::ZERO),
            // max(time, u) + cost <= u + window first holds at this u.
            Outcome::Denied => Some(self.until(self.ready())),
            Outcome::Never => None,
        }
    }

    /// How long until the bucket is full again, if it is left alone.
    pub const fn reset_after(&self) -> Duration {
        self.until(self.verdict.time())
    }

    /// For an admitted request under a [shaping](crate::Quota::shape) quota: how long it must wait
    /// before it goes. Zero otherwise.
    pub const fn delay(&self) -> Duration {
        match self.verdict.outcome() {
            Outcome::Admitted => self.until(self.verdict.time().saturating_sub(self.plan.burst())),
            _ => Duration::ZERO,
        }
    }

    /// When what was denied would be admitted, in units.
    const fn ready(&self) -> u64 {
        (self.verdict.time() + self.verdict.cost()).saturating_sub(self.plan.window())
    }

    /// What the bucket lacks, in units.
    const fn debt(&self) -> u64 {
        self.verdict.time().saturating_sub(self.plan.scale().units(self.now.as_nanos()))
    }

    const fn until(&self, units: u64) -> Duration {
        let nanos = self.plan.scale().nanos(units);
        Duration::from_nanos(nanos.saturating_sub(self.now.as_nanos()))
    }
}

impl core::fmt::Debug for Decision {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Decision")
            .field("outcome", &self.outcome())
            .field("unplaced", &self.is_unplaced())
            .field("limit", &self.limit())
            .field("remaining", &self.remaining())
            .field("retry_after", &self.retry_after())
            .finish_non_exhaustive()
    }
}

impl Default for Decision {
    /// [`Decision::CLOSED`].
    fn default() -> Self {
        Self::CLOSED
    }
}
