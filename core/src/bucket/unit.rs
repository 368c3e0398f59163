//! The unit of time in which a table counts.
//!
//! # Algorithm
//!
//! A bucket's state is one time, and adding a cell adds the time one cell takes. In whole
//! nanoseconds that would be wrong for most rates (one cell of 600 M/s takes 1.67 ns), so each
//! table counts in a unit chosen to make the cells of its quotas whole:
//!
//! * **exact**: a unit is 1/1, 1/2 or 1/3 ns. Converting a time is exact, and if the cell is whole
//!   too, so is every answer: 1/s, 60/min, 1000/s, 10^6/s, 100/h, 17 cells in 17 s.
//! * **power of two**: a cell is 2^f units, and there are between 2^30 and 2^31 units to a second.
//!   A time is converted by one multiplication by a factor rounded *up* in its 61st binary place.
//!   That is the only rounding: nothing accumulates, a cell is never late and at most one unit
//!   (under 1 ns) early. Rounded down, the last of 17 cells would be refused after exactly one
//!   period of 17/min.
//!
//! Several quotas share a unit through the least common multiple of their rates. Above 2^30 cells
//! a second a unit is several cells.

use core::time::Duration;

use super::gcra::{TIME_BITS, TIME_MAX};
use super::quota::{Quota, QuotaError, gcd};
use crate::time::nanos;

/// Binary places of [`Unit::factor`].
const FRACTION: u32 = 61;
/// Ten years (of 365.25 days) in nanoseconds: what every accepted plan leaves before [`TIME_MAX`].
const HORIZON: u64 = 315_576_000 * SECOND;
const SECOND: u64 = 1_000_000_000;

/// How nanoseconds become units: the part of a [`Unit`] that is needed to answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Scale {
    /// Units a nanosecond, times 2^61, rounded up.
    factor: u64,
}

impl Scale {
    #[inline]
    pub(super) const fn equals(self, other: Self) -> bool {
        self.factor == other.factor
    }

    /// Returns the whole units in `nanos` nanoseconds, at most [`TIME_MAX`]. The result is
    /// monotone.
    #[inline]
    pub(super) const fn units(self, nanos: u64) -> u64 {
        let product = nanos as u128 * self.factor as u128;
        if product >> (FRACTION + TIME_BITS) != 0 { TIME_MAX } else { (product >> FRACTION) as u64 }
    }

    /// Returns the whole units in `nanos` nanoseconds; `None` if they are beyond [`TIME_MAX`].
    #[inline(always)]
    #[cfg(target_has_atomic = "64")]
    pub(super) const fn units_in_time(self, nanos: u64) -> Option<u64> {
        let product = nanos as u128 * self.factor as u128;
        if product >> (FRACTION + TIME_BITS) != 0 {
            None
        } else {
            Some((product >> FRACTION) as u64)
        }
    }

    /// Returns the fewest nanoseconds that make at least `units`, or the most that a `u64` holds.
    pub(super) const fn nanos(self, units: u64) -> u64 {
        let nanos = ((units as u128) << FRACTION).div_ceil(self.factor as u128);
        if nanos > u64::MAX as u128 { u64::MAX } else { nanos as u64 }
    }

    /// Returns units that are at least `duration`, and none if that is zero.
    pub(super) const fn at_least(self, duration: Duration) -> u64 {
        let nanos = nanos(duration);
        if nanos == 0 { 0 } else { self.units(nanos) + 1 }
    }

    /// Returns whether time runs for ten years before a bucket `window` units ahead of it
    /// overflows.
    pub(super) const fn has_horizon(self, window: u128) -> bool {
        self.units(HORIZON) as u128 + window <= TIME_MAX as u128
    }
}

/// The unit of time of one table: what a second is worth in its state words.
///
/// ```
/// use tidegate_core::bucket::Unit;
/// use tidegate_core::{Plan, Quota};
///
/// // One unit in which both rates are whole.
/// let small = Quota::per_second(48_000_000)?;
/// let large = Quota::per_second(20_000_000)?;
/// let unit = Unit::for_quotas(&[small, large])?;
/// assert_eq!(unit.plan(small)?.error(), 0);
/// assert_eq!(unit.plan(large)?.error(), 0);
/// # Ok::<(), tidegate_core::QuotaError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unit {
    scale: Scale,
    /// Units a nanosecond before rounding: `numerator / denominator * 2^exponent`.
    numerator: u64,
    denominator: u64,
    exponent: i32,
}

/// What a cell is worth in a unit: `size / 2^shift` units.
pub(super) struct Cell {
    pub(super) size: u64,
    /// Above 0 only where a unit is several cells.
    pub(super) shift: u32,
    /// By how much `size` was rounded up: parts in 10^9, rounded up as well.
    pub(super) error: u32,
}

impl Unit {
    /// One nanosecond.
    pub const NANOSECOND: Self = Self::exact(1);

    /// Returns what a nanosecond is worth, in 2^-61 units: a number by which two processes find out
    /// whether they count in the same unit.
    ///
    /// ```
    /// assert_eq!(tidegate_core::bucket::Unit::NANOSECOND.factor(), 1 << 61);
    /// ```
    pub const fn factor(&self) -> u64 {
        self.scale.factor
    }

    /// Returns whether times are converted without rounding.
    pub const fn is_exact(&self) -> bool {
        self.denominator == 1 && self.exponent == 0
    }

    /// Returns whether the unit is a part of a cell of the rate that it was made for, not several
    /// cells.
    pub(super) const fn divides_a_cell(&self) -> bool {
        self.exponent >= 0
    }

    #[inline]
    pub(super) const fn scale(&self) -> Scale {
        self.scale
    }

    /// Returns the scale of a plan or a decision that is used on a table of this unit.
    ///
    /// # Panics
    ///
    /// Panics if the scale is that of another unit, which is a programming error.
    #[inline]
    pub(super) fn scale_of(&self, used: Scale) -> Scale {
        if used != self.scale {
            wrong_unit();
        }
        self.scale
    }

    /// Creates a unit of a whole part of a nanosecond.
    pub(super) const fn exact(per_nanosecond: u64) -> Self {
        Self {
            scale: Scale { factor: per_nanosecond << FRACTION },
            numerator: per_nanosecond,
            denominator: 1,
            exponent: 0,
        }
    }

    /// Returns the unit of `2^-f` cells of the rate `n / p` cells a nanosecond. `f` is chosen to
    /// make more than 2^30 and at most 2^31 units a second.
    pub(super) const fn power_of_two(n: u64, p: u64) -> Result<Self, QuotaError> {
        // Both sides stay below 2^127, for n and p are below 2^63.
        let mut per_second = n as u128 * SECOND as u128;
        let mut most = (p as u128) << 31;
        let mut exponent = 0;
        while per_second > most {
            most <<= 1;
            exponent -= 1;
        }
        while per_second * 2 <= most {
            per_second <<= 1;
            exponent += 1;
        }
        if exponent < -32 {
            return Err(QuotaError::TooFast);
        }
        // Long division: n * 2^(f + 61) / p, rounded up.
        let (mut factor, mut rest) = (n / p, n % p);
        let mut place = -(FRACTION as i32);
        while place < exponent {
            rest <<= 1;
            factor <<= 1;
            if rest >= p {
                rest -= p;
                factor += 1;
            }
            place += 1;
        }
        if rest > 0 {
            factor += 1;
        }
        Ok(Self { scale: Scale { factor }, numerator: n, denominator: p, exponent })
    }

    /// Returns what a cell of `quota` is worth, rounded up.
    pub(super) const fn cell(&self, quota: &Quota) -> Result<Cell, QuotaError> {
        // numerator * p / (denominator * n), reduced crosswise, is whole + rest / den.
        let (n, p) = quota.rate();
        let (above, below) = (gcd(self.numerator, n), gcd(self.denominator, p));
        let num = (self.numerator / above) as u128 * (p / below) as u128;
        let den = (self.denominator / below) as u128 * (n / above) as u128;
        let (mut whole, mut rest) = (num / den, num % den);

        // Times 2^exponent: upwards by long division, downwards into binary places.
        let mut exponent = self.exponent;
        while exponent > 0 {
            if whole >> TIME_BITS != 0 {
                return Err(QuotaError::Horizon);
            }
            (whole, rest) = double(whole, rest, den);
            exponent -= 1;
        }
        let mut shift = exponent.unsigned_abs();

        if whole >> shift == 0 {
            // A unit is several cells: charges are rounded up to units, so a fraction costs
            // nothing.
            while rest > 0 && whole >> 24 == 0 {
                (whole, rest) = double(whole, rest, den);
                shift += 1;
            }
            if shift >= 64 {
                return Err(QuotaError::Coarse);
            }
            return Self::round_up(whole, rest, den, 0, shift);
        }
        Self::round_up(whole, rest, den, shift, 0)
    }

    /// Makes a cell of the size `(whole + rest / den) / 2^places`, rounded up to a whole number.
    /// There are at most 32 places.
    const fn round_up(
        whole: u128,
        rest: u128,
        den: u128,
        places: u32,
        shift: u32,
    ) -> Result<Cell, QuotaError> {
        let units = whole >> places;
        if units >> TIME_BITS != 0 {
            return Err(QuotaError::Horizon);
        }
        let below = whole - (units << places);
        if below == 0 && rest == 0 {
            return Ok(Cell { size: units as u64, shift, error: 0 });
        }
        // The fraction has as many binary places as fit, rounded down. So the error is rounded up,
        // by less than a part in 10^18.
        let room = whole.leading_zeros() - 1;
        let precision = if room < 63 { room } else { 63 };
        let (mut fraction, mut left, mut place) = (0, rest, 0);
        while place < precision {
            (fraction, left) = double(fraction, left, den);
            place += 1;
        }
        // `whole` is below 2^92, so neither overflows.
        let excess = (((1 << places) - below) << precision) - fraction;
        let ideal = (whole << precision) + fraction;
        if excess << 10 > ideal {
            return Err(QuotaError::Coarse);
        }
        let error = (excess * SECOND as u128).div_ceil(ideal) as i128;
        // That rounding may have lifted the error over a whole number. Unless both rates are beyond
        // measure, the question is answered without rounding: `error` is enough if
        // `excess * SECOND <= error * ideal`.
        let fewer = error - 1;
        let short = (((1 << places) - below) * SECOND as u128) as i128 - fewer * whole as i128;
        let most = SECOND as i128 + fewer;
        let enough = short <= 0
            || short <= most && den >> 96 == 0 && short * den as i128 <= rest as i128 * most;
        let error = if enough { fewer } else { error };
        Ok(Cell { size: units as u64 + 1, shift, error: error as u32 })
    }
}

#[cold]
#[inline(never)]
fn wrong_unit() -> ! {
    panic!("the plan was compiled for another table's unit");
}

/// Does one step of long division: doubles `whole + rest / den`.
const fn double(whole: u128, rest: u128, den: u128) -> (u128, u128) {
    let (whole, rest) = (whole << 1, rest << 1);
    if rest >= den { (whole + 1, rest - den) } else { (whole, rest) }
}
