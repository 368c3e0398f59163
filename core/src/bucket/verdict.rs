//! What a table finds out about a request: two words, small enough to be returned in registers.

use super::gcra::Charge;
use super::plan::Plan;
use super::unit::TIME_MAX;

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// Admitted, and charged.
    Admitted,
    /// Denied for now; nothing was charged.
    Denied,
    /// Denied for ever: the cost is above the burst (and what may wait behind it), the quota is
    /// closed, or the table's clock has reached the end of its horizon. Nothing was charged.
    Never,
}

/// An outcome, and the figures behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Verdict {
    /// `{ time: 60, unplaced: 1, outcome: 2 }`, above one spare bit: the bucket's time afterwards.
    word: u64,
    /// What was denied, in units; 0 if nothing was.
    cost: u64,
}

const UNPLACED: u64 = 0b100;

impl Verdict {
    #[inline(always)]
    const fn new(time: u64, cost: u64, outcome: Outcome) -> Self {
        Self { word: time << 4 | outcome as u64, cost }
    }

    /// Admitted; the bucket's time is now `time`.
    #[inline(always)]
    pub(super) const fn admitted(time: u64) -> Self {
        Self::new(time, 0, Outcome::Admitted)
    }

    /// Denied for ever, on a bucket of `time`.
    pub(super) const fn never(time: u64) -> Self {
        Self::new(time, 0, Outcome::Never)
    }

    /// Denied `charge`, on a bucket of `time`.
    #[inline(always)]
    pub(super) const fn denied(time: u64, charge: &Charge) -> Self {
        let outcome = if charge.is_vain(time) { Outcome::Never } else { Outcome::Denied };
        Self::new(time, charge.cost(), outcome)
    }

    /// What a charge (`None`: one that no bucket could bear) would be answered on `time`.
    pub(super) const fn foreseen(charge: Option<Charge>, time: u64) -> Self {
        match charge {
            None => Self::never(time),
            Some(charge) if charge.on(time).is_some() => Self::admitted(time),
            Some(charge) => Self::denied(time, &charge),
        }
    }

    /// Denied at `now` because there is no bucket for the key; there may be one at the time
    /// `ready`. The figures are those of an empty bucket.
    pub(super) const fn no_slot(plan: &Plan, now: u64, ready: u64) -> Self {
        let empty = now + plan.burst();
        if ready > TIME_MAX || empty > TIME_MAX {
            return Self::never(TIME_MAX).unplaced();
        }
        // The cost that would have to wait until then.
        let cost = (ready + plan.window()).saturating_sub(empty);
        Self::new(empty, cost, Outcome::Denied).unplaced()
    }

    /// The same, for a key that has no bucket of its own because the table is full.
    pub(super) const fn unplaced(self) -> Self {
        Self { word: self.word | UNPLACED, ..self }
    }

    #[inline(always)]
    pub(super) const fn outcome(self) -> Outcome {
        match self.word & 3 {
            0 => Outcome::Admitted,
            1 => Outcome::Denied,
            _ => Outcome::Never,
        }
    }

    pub(super) const fn is_unplaced(self) -> bool {
        self.word & UNPLACED != 0
    }

    pub(super) const fn time(self) -> u64 {
        self.word >> 4
    }

    pub(super) const fn cost(self) -> u64 {
        self.cost
    }
}
