//! The answer to a check.

use core::time::Duration;

use super::gcra::Refund;
use super::plan::{Plan, Terms};
use super::unit::Unit;
use super::verdict::{Outcome, Verdict};
use crate::time::Instant;

/// The answer to a check: the outcome, and the figures that a response header needs.
///
/// The figures are computed only when asked for, and refer to the moment of the check. Durations
/// are rounded up to whole nanoseconds, so that a client that waits `retry_after` is not early.
///
/// An admitted decision keeps the charge and its time, so that an unused part of the charge can be
/// [given back](crate::BucketTable::refund). A decision is `Copy` and does not know of its refunds,
/// so refund each decision at most once.
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
#[must_use = "a check limits nothing unless its answer is used"]
pub struct Decision {
    terms: Terms,
    now: Instant,
    verdict: Verdict,
    /// Where the count of what was given back to the bucket stood at the charge; 0 where there is
    /// no such count.
    given_back: u64,
}

// A burst's answers are written to memory, so each fills one line.
#[cfg(target_pointer_width = "64")]
const _: () = assert!(size_of::<Decision>() == 64);

impl Decision {
    /// An answer to put into an array before [`check_burst`](crate::BucketTable::check_burst) fills
    /// it: never admitted.
    pub const CLOSED: Self = {
        let Ok(plan) = Plan::compile(super::Unit::NANOSECOND, super::Quota::closed()) else {
            panic!("a closed quota suits any unit")
        };
        let (terms, verdict) = (plan.terms(), Verdict::never(0));
        Self { terms, now: Instant::ORIGIN, verdict, given_back: 0 }
    };

    #[inline(always)]
    pub(super) const fn new(plan: &Plan, now: Instant, verdict: Verdict, given_back: u64) -> Self {
        Self { terms: plan.terms(), now, verdict, given_back }
    }

    /// Becomes the decision of this verdict, in place: the terms are copied once, not twice.
    #[inline(always)]
    pub(super) fn set(&mut self, plan: &Plan, now: Instant, verdict: Verdict, given_back: u64) {
        self.terms = plan.terms();
        self.now = now;
        self.verdict = verdict;
        self.given_back = given_back;
    }

    /// Returns whether the decision was made by a table of this unit, as every call that takes it needs.
    #[inline]
    pub const fn is_for(&self, unit: Unit) -> bool {
        self.terms.scale().equals(unit.scale())
    }

    /// Returns the charge as one of which `cells` are to be given back at the time `now`, and where
    /// the count stood then. Returns `None` if there is nothing to give back.
    ///
    /// # Panics
    ///
    /// Panics if the decision is of a table of another unit, which is a programming error.
    pub(super) fn refund(&self, unit: Unit, cells: u64, now: Instant) -> Option<(Refund, u64)> {
        let charged = self.verdict.charged();
        if charged == 0 || self.verdict.is_unplaced() {
            return None;
        }
        let scale = unit.scale_of(self.terms.scale());
        let units = |time: Instant| scale.units(time.as_nanos());
        let (left, burst, began) = (self.verdict.time(), self.terms.burst(), units(self.now));
        let back = self.terms.units(cells, charged);
        let queue = (burst, self.terms.is_shaped());
        let refund = Refund::of((began, charged, left), back, units(now), queue);
        Some((refund, self.given_back))
    }

    /// Returns whether the request is admitted.
    #[inline]
    pub const fn is_admitted(&self) -> bool {
        matches!(self.verdict.outcome(), Outcome::Admitted) || self.verdict.is_shadowed()
    }

    /// Returns this answer as one of a limiter in shadow mode, which denies nothing: the request
    /// [is admitted](Self::is_admitted), and [`outcome`](Self::outcome) and the figures still say what
    /// became of it by the quota. A denied request stays uncharged.
    ///
    /// ```
    /// use tidegate_core::Decision;
    /// use tidegate_core::bucket::Outcome;
    ///
    /// let shadowed = Decision::CLOSED.shadowed();
    /// assert!(shadowed.is_admitted() && shadowed.is_shadowed());
    /// assert_eq!(shadowed.outcome(), Outcome::Never);
    /// ```
    #[inline]
    pub const fn shadowed(self) -> Self {
        Self { verdict: self.verdict.shadowed(), ..self }
    }

    /// Returns whether the quota denied the request, and [shadow mode](Self::shadowed) admitted it.
    #[inline]
    pub const fn is_shadowed(&self) -> bool {
        self.verdict.is_shadowed()
    }

    /// Returns what became of the request by the quota.
    #[inline]
    pub const fn outcome(&self) -> Outcome {
        self.verdict.outcome()
    }

    /// Returns whether the table had no slot for the key, so that its [`OnFull`](crate::OnFull)
    /// policy gave the answer.
    #[inline]
    pub const fn is_unplaced(&self) -> bool {
        self.verdict.is_unplaced()
    }

    /// Returns the cells that were charged to the key's bucket: zero unless the request was admitted.
    /// Where a unit is several cells, what was charged are whole units.
    pub const fn charged(&self) -> u64 {
        self.terms.cells(self.verdict.charged())
    }

    /// Returns the burst in cells.
    pub const fn limit(&self) -> u64 {
        self.terms.limit()
    }

    /// Returns the cells that could be had at once, right after this check.
    pub const fn remaining(&self) -> u64 {
        self.terms.cells(self.terms.burst().saturating_sub(self.debt()))
    }

    /// Returns how long until the same request would be admitted, if no other came before it. It is
    /// zero if the request was admitted, and `None` if it never can be.
    ///
    /// For a key that a full table denied, it is the time until a slot may come free, and at least
    /// the time of one cell.
    pub const fn retry_after(&self) -> Option<Duration> {
        match self.verdict.outcome() {
            Outcome::Admitted => Some(Duration::ZERO),
            Outcome::Denied => Some(self.until(self.verdict.ready())),
            Outcome::Never => None,
        }
    }

    /// Returns how long until the bucket is full again, if it is left alone.
    pub const fn reset_after(&self) -> Duration {
        self.until(self.verdict.time())
    }

    /// Returns how long an empty bucket takes to fill; zero if the quota is closed.
    pub(super) const fn fills_in(&self) -> Duration {
        Duration::from_nanos(self.terms.scale().nanos(self.terms.burst()))
    }

    /// Returns how long an admitted request under a [shaping](crate::Quota::shape) quota must wait
    /// before it is served. Returns zero for any other request.
    pub const fn delay(&self) -> Duration {
        match self.verdict.outcome() {
            Outcome::Admitted => self.until(self.verdict.time().saturating_sub(self.terms.burst())),
            _ => Duration::ZERO,
        }
    }

    /// Returns what the bucket lacks, in units.
    const fn debt(&self) -> u64 {
        self.verdict.time().saturating_sub(self.terms.scale().units(self.now.as_nanos()))
    }

    const fn until(&self, units: u64) -> Duration {
        let nanos = self.terms.scale().nanos(units);
        Duration::from_nanos(nanos.saturating_sub(self.now.as_nanos()))
    }
}

impl core::fmt::Debug for Decision {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Decision")
            .field("outcome", &self.outcome())
            .field("unplaced", &self.is_unplaced())
            .field("shadowed", &self.is_shadowed())
            .field("limit", &self.limit())
            .field("remaining", &self.remaining())
            .field("retry_after", &self.retry_after())
            .finish_non_exhaustive()
    }
}

impl Default for Decision {
    /// Returns [`Decision::CLOSED`].
    fn default() -> Self {
        Self::CLOSED
    }
}
