//! Planning: the unit that suits quotas, and a quota compiled for a unit.

use super::gcra::{Charge, TIME_MAX};
use super::quota::{Quota, QuotaError, gcd};
use super::unit::{Scale, Unit};

/// The most units a nanosecond in exact mode: 2^60 thirds of a nanosecond are 12 years.
const EXACT: u64 = 3;

impl Unit {
    /// Returns the unit that suits `quota`: its cell is a whole number of units, or a unit is a
    /// whole number of cells.
    ///
    /// # Errors
    ///
    /// Fails with [`QuotaError::TooFast`].
    pub const fn for_quota(quota: Quota) -> Result<Self, QuotaError> {
        Self::for_quotas(&[quota])
    }

    /// Returns the coarsest unit in which the cells of all `quotas` are whole, if it fits;
    /// otherwise the unit that suits the fastest. [`plan`](Self::plan) then says whether a quota
    /// fits the unit.
    ///
    /// Closed quotas suit any unit. If all are closed, the unit is a nanosecond.
    ///
    /// # Errors
    ///
    /// Fails with [`QuotaError::TooFast`].
    pub const fn for_quotas(quotas: &[Quota]) -> Result<Self, QuotaError> {
        // Rates are n / p cells a nanosecond, in lowest terms.
        let mut common: Option<(u64, u64)> = Some((1, 0));
        let mut fastest = (0, 1);
        let mut i = 0;
        while i < quotas.len() {
            if !quotas[i].is_closed() {
                let (n, p) = quotas[i].rate();
                if n as u128 * fastest.1 as u128 > fastest.0 as u128 * p as u128 {
                    fastest = (n, p);
                }
                common = match common {
                    Some((a, b)) => match (a / gcd(a, n)).checked_mul(n) {
                        // In lowest terms too, because each n is prime to its p.
                        Some(least) if least >> 63 == 0 => Some((least, gcd(b, p))),
                        _ => None,
                    },
                    None => None,
                };
            }
            i += 1;
        }
        if fastest.0 == 0 {
            return Ok(Self::NANOSECOND);
        }
        if let Some((n, p)) = common {
            if n <= EXACT && Self::exact(n).holds(quotas) {
                return Ok(Self::exact(n));
            }
            if let Ok(unit) = Self::power_of_two(n, p)
                && unit.divides_a_cell()
            {
                return Ok(unit);
            }
        }
        Self::power_of_two(fastest.0, fastest.1)
    }

    /// Compiles `quota` for this unit.
    ///
    /// # Errors
    ///
    /// * [`QuotaError::Horizon`]: the bucket would take too long to drain.
    /// * [`QuotaError::Coarse`]: the rate would be off by more than one part in 2^10.
    pub const fn plan(self, quota: Quota) -> Result<Plan, QuotaError> {
        Plan::compile(self, quota)
    }

    /// Returns whether all `quotas` can be compiled for this unit.
    const fn holds(self, quotas: &[Quota]) -> bool {
        let mut i = 0;
        while i < quotas.len() {
            if self.plan(quotas[i]).is_err() {
                return false;
            }
            i += 1;
        }
        true
    }
}

/// The part of a plan that a decision needs: how its units become cells and nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Terms {
    scale: Scale,
    /// A cell is `cell / 2^shift` units.
    cell: u64,
    /// The burst in units.
    burst: u64,
    shift: u8,
    /// Whether requests may be queued behind the burst.
    shaped: bool,
}

impl Terms {
    #[inline]
    pub(super) const fn scale(&self) -> Scale {
        self.scale
    }

    #[inline]
    pub(super) const fn burst(&self) -> u64 {
        self.burst
    }

    pub(super) const fn is_shaped(&self) -> bool {
        self.shaped
    }

    /// Returns the burst in cells; where a unit is several cells, rounded up to whole units.
    pub(super) const fn limit(&self) -> u64 {
        self.cells(self.burst)
    }

    /// Returns the whole cells in `units`, which are at most the burst.
    pub(super) const fn cells(&self, units: u64) -> u64 {
        // Below 2^63: neither is above the burst, and that was given as such a number of cells.
        (((units as u128) << self.shift) / self.cell as u128) as u64
    }

    /// Converts `cells` to units, rounded down, and at most `most`.
    pub(super) const fn units(&self, cells: u64, most: u64) -> u64 {
        let units = (cells as u128 * self.cell as u128) >> self.shift;
        if units < most as u128 { units as u64 } else { most }
    }
}

/// A [`Quota`] in the terms of one table, as every check takes it.
///
/// [`BucketTable::plan`](crate::BucketTable::plan),
/// [`LocalBucketTable::plan`](crate::LocalBucketTable::plan) or [`Unit::plan`] makes a plan once,
/// and the caller passes it by reference to any number of checks. One table serves any number of
/// plans, as long as all were compiled for its unit.
///
/// # Accuracy
///
/// * A cell is rounded up to whole units, so the rate is never above the quota's.
///   [`error`](Self::error) says by how much it is below: 0 for the quotas that the unit was made
///   for.
/// * Where a unit is several cells (rates above 2^30 a second) each cost and the burst are rounded
///   up to whole units, and a refund is rounded down.
/// * A converted time is rounded down by less than a unit. What a refund is worth depends on two of
///   them, so it may be a unit more or less. [`is_exact`](Self::is_exact) plans have none of these
///   roundings.
///
/// So an answer is never later than the quota allows by more than `error`, and never earlier by
/// more than one unit, which is under a nanosecond.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    terms: Terms,
    /// The burst and what may be queued behind it, in units.
    window: u64,
    /// The window and the debt behind it, in units.
    depth: u64,
    /// What a new bucket lacks, in units.
    lacking: u64,
    error: u32,
    exact: bool,
}

impl Plan {
    pub(super) const fn compile(unit: Unit, quota: Quota) -> Result<Self, QuotaError> {
        let scale = unit.scale();
        if quota.is_closed() {
            let terms = Terms { scale, cell: 1, burst: 0, shift: 0, shaped: false };
            return Ok(Self { terms, window: 0, depth: 0, lacking: 0, error: 0, exact: true });
        }
        let cell = match unit.cell(&quota) {
            Ok(cell) => cell,
            Err(error) => return Err(error),
        };
        let burst = round_up(quota.burst_cells(), cell.size, cell.shift);
        let window = burst + scale.units(quota.max_wait().as_nanos() as u64) as u128;
        let depth = window + round_up(quota.max_debt(), cell.size, cell.shift);
        if !scale.has_horizon(depth) {
            return Err(QuotaError::Horizon);
        }
        let terms = Terms {
            scale,
            cell: cell.size,
            burst: burst as u64,
            shift: cell.shift as u8,
            shaped: window > burst,
        };
        Ok(Self {
            terms,
            window: window as u64,
            depth: depth as u64,
            lacking: 0,
            error: cell.error,
            exact: unit.is_exact() && cell.error == 0 && cell.shift == 0,
        })
    }

    /// Makes a new bucket start with `cells` cells instead of the whole burst. More than the burst is
    /// the burst.
    ///
    /// A bucket that is full again is forgotten, so that an idle client starts with `cells` cells
    /// again: never with more than it had. A bucket that starts with less than it is asked for is
    /// stored all the same, for it fills from then on.
    ///
    /// ```
    /// use core::time::Duration;
    /// use tidegate_core::{BucketTable, Instant, Quota, SeededState};
    ///
    /// let table = BucketTable::boxed(Quota::per_second(10)?, 1_000, SeededState::new(7))?;
    /// let plan = table.plan(Quota::per_second(10)?)?.starting_at(2);
    /// let now = Instant::from_secs(1);
    /// assert_eq!([1, 2, 3].map(|_| table.check("new", &plan, now).is_admitted()), [true, true, false]);
    /// let later = now + Duration::from_millis(100);
    /// assert!(table.check("new", &plan, later).is_admitted());
    /// # Ok::<(), tidegate_core::QuotaError>(())
    /// ```
    #[must_use]
    pub const fn starting_at(mut self, cells: u64) -> Self {
        self.lacking = self.terms.burst - self.terms.units(cells, self.terms.burst);
        self
    }

    /// Returns whether every answer is the one that exact arithmetic over the rationals would give.
    pub const fn is_exact(&self) -> bool {
        self.exact
    }

    /// Returns by how much the rate is below the quota's, in parts per 10^9, rounded up. It is at
    /// most 976,563.
    pub const fn error(&self) -> u32 {
        self.error
    }

    /// Returns whether the plan can be used on a table of this unit. A table panics when it is given
    /// any other.
    ///
    /// ```
    /// use tidegate_core::bucket::{Quota, Unit};
    ///
    /// let quota = Quota::per_second(48_000_000)?;
    /// let plan = Unit::for_quota(quota)?.plan(quota)?;
    /// assert!(plan.is_for(Unit::for_quota(quota)?) && !plan.is_for(Unit::NANOSECOND));
    /// # Ok::<(), tidegate_core::QuotaError>(())
    /// ```
    #[inline]
    pub const fn is_for(&self, unit: Unit) -> bool {
        self.terms.scale.equals(unit.scale())
    }

    /// Returns the burst in cells; where a unit is several cells, rounded up to whole units.
    pub const fn limit(&self) -> u64 {
        self.terms.limit()
    }

    #[inline]
    pub(super) const fn terms(&self) -> Terms {
        self.terms
    }

    #[inline]
    pub(super) const fn scale(&self) -> Scale {
        self.terms.scale
    }

    #[inline]
    pub(super) const fn burst(&self) -> u64 {
        self.terms.burst
    }

    /// Returns the time that one cell takes, in whole units, at least one.
    pub(super) const fn cell_time(&self) -> u64 {
        let units = self.terms.cell >> self.terms.shift;
        if units == 0 { 1 } else { units }
    }

    #[inline]
    pub(super) const fn window(&self) -> u64 {
        self.window
    }

    /// Returns the burst, what may be queued behind it and the debt behind that, in units.
    pub(super) const fn depth(&self) -> u64 {
        self.depth
    }

    /// Returns the time with which a new bucket starts at `now`; 0 if it starts full.
    #[inline]
    pub(super) const fn start(&self, now: u64) -> u64 {
        match self.lacking {
            0 => 0,
            lacking if now + lacking < TIME_MAX => now + lacking,
            _ => TIME_MAX,
        }
    }

    /// Converts `cells` to units as a cost is: rounded up, and at most `u64::MAX`.
    #[inline(always)]
    pub(super) const fn cost(&self, cells: u64) -> u64 {
        match self.terms.shift {
            0 => cells.saturating_mul(self.terms.cell),
            _ => self.whole_units(cells),
        }
    }

    /// Returns the units of as many whole cells as fit into `room` units, and at most `cells`.
    pub(super) const fn part(&self, cells: u64, room: u64) -> u64 {
        let fit = self.terms.cells(room);
        self.cost(if cells < fit { cells } else { fit })
    }

    /// Makes the charge of `cost` cells at the time `now`. Returns `None` if that is nothing, or
    /// more than could ever be admitted.
    #[inline(always)]
    pub(super) const fn charge(&self, cost: u64, now: u64) -> Option<Charge> {
        let units = if self.terms.shift == 0 {
            match cost.checked_mul(self.terms.cell) {
                Some(units) => units,
                None => return None,
            }
        } else {
            self.whole_units(cost)
        };
        if units.wrapping_sub(1) < self.window {
            Some(Charge::new(self.window, units, now))
        } else {
            None
        }
    }

    /// Makes the charge as [`charge`](Self::charge) does, but only to ask: a cost of zero has an
    /// answer, too.
    #[inline(always)]
    pub(super) const fn inquiry(&self, cost: u64, now: u64) -> Option<Charge> {
        match cost {
            0 if self.window > 0 => Some(Charge::new(self.window, 0, now)),
            _ => self.charge(cost, now),
        }
    }

    /// Converts `cost` cells to units, where a unit is several cells. Returns the largest number if
    /// the result does not fit.
    #[cold]
    const fn whole_units(&self, cost: u64) -> u64 {
        let units = round_up(cost, self.terms.cell, self.terms.shift as u32);
        if units >> 64 == 0 { units as u64 } else { u64::MAX }
    }

    /// Converts a debt of `units` under this plan to the units of the same number of cells under
    /// `other`, rounded up.
    pub(super) const fn debt_under(&self, other: &Self, units: u64) -> u64 {
        // units * (other.terms.cell / 2^other.terms.shift) / (self.terms.cell /
        // 2^self.terms.shift). The depths of both plans are below 2^60; beyond the other's there
        // is nothing to tell apart.
        let cells = (units as u128) * other.terms.cell as u128;
        let debt = if self.terms.shift >= other.terms.shift {
            let by = self.terms.shift - other.terms.shift;
            if cells.leading_zeros() <= by as u32 {
                return other.depth;
            }
            (cells << by).div_ceil(self.terms.cell as u128)
        } else {
            cells.div_ceil((self.terms.cell as u128) << (other.terms.shift - self.terms.shift))
        };
        if debt < other.depth as u128 { debt as u64 } else { other.depth }
    }
}

/// What a bucket keeps when its plan changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Keep {
    /// The debt in cells: a client that had spent 5 of 10 has spent 5 of the new burst. Raising a
    /// rate never denies what was admissible before (where a unit is several cells, to within a
    /// unit).
    Cells,
    /// The debt in time: a bucket that would be full again in 3 s still will.
    Time,
    /// Nothing: the bucket is as new.
    Fresh,
}

/// Returns the time of a bucket moved from `old` to `new` at `now`. It is never deeper in debt than
/// `new` can be. But a closed plan has no terms of its own, and leaves the debt as it is for the
/// plan after it.
pub(super) const fn convert(
    time: u64,
    now: u64,
    old: &Plan,
    new: &Plan,
    keep: Keep,
) -> Option<u64> {
    if time <= now {
        return None;
    }
    if (old.window() == 0 || new.window() == 0) && !matches!(keep, Keep::Fresh) {
        return None;
    }
    let debt = match keep {
        Keep::Cells => old.debt_under(new, time - now),
        Keep::Time if time - now < new.depth() => time - now,
        Keep::Time => new.depth(),
        Keep::Fresh => 0,
    };
    let converted = now + debt;
    if converted == time {
        None
    } else {
        Some(if converted < TIME_MAX { converted } else { TIME_MAX })
    }
}

const fn round_up(cost: u64, cell: u64, shift: u32) -> u128 {
    let units = cost as u128 * cell as u128;
    (units + ((1 << shift) - 1)) >> shift
}
