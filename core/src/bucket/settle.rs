//! The arithmetic of a settlement: what of an estimate is given back, or charged on top.

use core::fmt;

use super::gcra::Refund;
use super::plan::{Plan, Terms};
use super::verdict::Verdict;

/// What became of a [reservation](super::Reservation) that was settled.
///
/// The figures are in cells, and are computed only when asked for. Where a unit of the table's time is
/// several cells, they are what was charged in whole units, rounded down to cells.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Settled {
    terms: Terms,
    /// In units.
    given_back: u64,
    charged: u64,
    unpaid: u64,
}

/// What is to be done to settle a charge.
pub(super) enum Balance {
    /// Nothing.
    Even,
    /// A part of the charge is to be given back.
    Over(Refund),
    /// The units that are to be charged on top.
    Under(u64),
}

impl Balance {
    /// The balance of a charge at the time `at` with the answer `verdict`, of which `actual` cells are
    /// used, at the time `now`.
    #[inline(always)]
    pub(super) fn of(plan: &Plan, verdict: Verdict, at: u64, actual: u64, now: u64) -> Self {
        let (charged, used) = (verdict.charged(), plan.cost(actual));
        if verdict.is_unplaced() && (charged == 0 || used < charged) {
            // Admitted uncounted, or charged to a word that others share.
            return Self::Even;
        }
        if used < charged {
            let charge = (at, charged, verdict.time());
            let queue = (plan.burst(), plan.terms().is_shaped());
            return Self::Over(Refund::of(charge, charged - used, now, queue));
        }
        if used > charged { Self::Under(used - charged) } else { Self::Even }
    }
}

impl Settled {
    /// Nothing was given back, and nothing charged.
    #[inline(always)]
    pub(super) const fn even(plan: &Plan) -> Self {
        Self { terms: plan.terms(), given_back: 0, charged: 0, unpaid: 0 }
    }

    /// A refund has found the bucket's time and put another one there, if any.
    #[inline(always)]
    pub(super) fn over(plan: &Plan, times: Option<(u64, Option<u64>)>) -> Self {
        let given_back = times.map_or(0, |(before, after)| before - after.unwrap_or(before));
        Self { given_back, ..Self::even(plan) }
    }

    /// Of `units` more the bucket was charged `charged`.
    pub(super) const fn under(plan: &Plan, units: u64, charged: u64) -> Self {
        Self { charged, unpaid: units - charged, ..Self::even(plan) }
    }

    /// Returns what was given back of the estimate, because less was used. It may be less than what
    /// was not used: cells flow in whether or not those charged are used, so a charge is worth less the
    /// older it is.
    pub const fn given_back(&self) -> u64 {
        self.terms.cells(self.given_back)
    }

    /// Returns what was charged on top of the estimate, because more was used.
    pub const fn charged(&self) -> u64 {
        self.terms.cells(self.charged)
    }

    /// Returns what was used on top of the estimate and could not be charged: the bucket owes as much
    /// as the plan's [debt](super::Quota::debt) allows, or there is no bucket for the key.
    pub const fn unpaid(&self) -> u64 {
        self.terms.cells(self.unpaid)
    }
}

impl fmt::Debug for Settled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settled")
            .field("given_back", &self.given_back())
            .field("charged", &self.charged())
            .field("unpaid", &self.unpaid())
            .finish()
    }
}
