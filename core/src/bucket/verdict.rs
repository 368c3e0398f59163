//! What a table finds out about a request: two words, small enough to be returned in registers.

use super::gcra::{Charge, TIME_MAX};
use super::plan::Plan;

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Outcome {
    /// The request is admitted, and its cost was charged.
    Admitted,
    /// The request is denied for now; nothing was charged.
    Denied,
    /// The request is denied for ever. The cost is above the burst (and what may wait behind it),
    /// the quota is closed, or the table's clock has reached the end of its horizon. Nothing was
    /// charged.
    Never,
}

/// An outcome, and the figures behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Verdict {
    /// `{ time: 60, shadowed: 1, unplaced: 1, outcome: 2 }`: the bucket's time afterwards.
    word: u64,
    /// Admitted: what was charged, in units. Denied: the time at which it would be admitted.
    /// Otherwise 0.
    figure: u64,
}

const OUTCOME: u64 = 0b11;
const UNPLACED: u64 = 0b100;
const SHADOWED: u64 = 0b1000;

impl Verdict {
    #[inline(always)]
    const fn new(time: u64, figure: u64, outcome: Outcome) -> Self {
        Self { word: time << 4 | outcome as u64, figure }
    }

    /// Creates the verdict of a request that was charged `cost` units; the bucket's time is now
    /// `time`.
    #[inline(always)]
    pub(super) const fn admitted(time: u64, cost: u64) -> Self {
        Self::new(time, cost, Outcome::Admitted)
    }

    /// Creates the verdict of a request denied for ever, on a bucket of `time`.
    pub(super) const fn never(time: u64) -> Self {
        Self::new(time, 0, Outcome::Never)
    }

    /// Creates the verdict of a request denied `charge`, on a bucket of `time`.
    #[inline(always)]
    pub(super) const fn denied(time: u64, charge: &Charge) -> Self {
        match charge.ready(time) {
            Some(ready) => Self::new(time, ready, Outcome::Denied),
            None => Self::never(time),
        }
    }

    /// Creates the verdict that a charge would get on `time`, charging nothing. `None` is a charge
    /// that no bucket could bear.
    pub(super) const fn foreseen(charge: Option<Charge>, time: u64) -> Self {
        match charge {
            None => Self::never(time),
            Some(charge) if charge.on(time).is_some() => Self::admitted(time, 0),
            Some(charge) => Self::denied(time, &charge),
        }
    }

    /// Creates the verdict of a request denied at `now` because there is no bucket for the key;
    /// there may be one at the time `ready`. The client is to wait for the time of a cell at least,
    /// or without a bucket it would come back at once, again and again. The figures are those of an
    /// empty bucket.
    pub(super) const fn no_slot(plan: &Plan, now: u64, ready: u64) -> Self {
        let (empty, soonest) = (now + plan.burst(), now + plan.cell_time());
        let ready = if ready > soonest { ready } else { soonest };
        if ready > TIME_MAX || empty > TIME_MAX {
            return Self::never(TIME_MAX).unplaced();
        }
        Self::new(empty, ready, Outcome::Denied).unplaced()
    }

    /// Returns this verdict for a key that has no bucket of its own because the table is full.
    pub(super) const fn unplaced(self) -> Self {
        Self { word: self.word | UNPLACED, ..self }
    }

    #[inline(always)]
    pub(super) const fn outcome(self) -> Outcome {
        match self.word & OUTCOME {
            0 => Outcome::Admitted,
            1 => Outcome::Denied,
            _ => Outcome::Never,
        }
    }

    pub(super) const fn is_unplaced(self) -> bool {
        self.word & UNPLACED != 0
    }

    /// Returns this verdict for a limiter that denies nothing. An admitted one stays as it is.
    pub(super) const fn shadowed(self) -> Self {
        match self.outcome() {
            Outcome::Admitted => self,
            Outcome::Denied | Outcome::Never => Self { word: self.word | SHADOWED, ..self },
        }
    }

    #[inline(always)]
    pub(super) const fn is_shadowed(self) -> bool {
        self.word & SHADOWED != 0
    }

    /// Splits the verdict of a denied request into that of an admitted one, which is charged nothing, and
    /// the figure that [`reveal`](Self::reveal) needs.
    #[cfg(target_has_atomic = "64")]
    pub(super) const fn withhold(self) -> (Self, u64) {
        (Self { word: self.word & !OUTCOME | SHADOWED, figure: 0 }, self.figure)
    }

    /// Returns the verdict of the denied request that was [withheld](Self::withhold), as a shadowed one.
    #[cfg(target_has_atomic = "64")]
    pub(super) const fn reveal(self, figure: u64) -> Self {
        // Only a request that is denied for ever has no time at which it would be admitted.
        let outcome = if figure == 0 { Outcome::Never } else { Outcome::Denied };
        Self { word: self.word | outcome as u64, figure }
    }

    pub(super) const fn time(self) -> u64 {
        self.word >> 4
    }

    /// Returns what was charged, in units: 0 unless the request was admitted.
    pub(super) const fn charged(self) -> u64 {
        match self.outcome() {
            Outcome::Admitted => self.figure,
            Outcome::Denied | Outcome::Never => 0,
        }
    }

    /// Returns when a denied request would be admitted, in units.
    pub(super) const fn ready(self) -> u64 {
        self.figure
    }
}
