//! What a person writes: how many cells a period, and how many at once.

use core::fmt;
use core::time::Duration;

use crate::time::nanos;

/// A rate and a burst: `cells` per `period`, at most `burst` at once.
///
/// A *cell* is whatever is counted: a request, a byte, a token. The same quota is a token bucket
/// (of `burst` tokens, refilled at the rate), a leaky bucket used as a meter (of capacity `burst`,
/// leaking at the rate) and, with [`shape`](Self::shape), a leaky bucket used as a queue.
///
/// A quota is plain data. It becomes a [`Plan`](crate::Plan) when a table compiles it for its unit
/// of time, and that is where rates that do not fit are refused.
///
/// ```
/// use core::time::Duration;
/// use tidegate_core::{Quota, QuotaError};
///
/// let api = Quota::per_minute(60)?.burst(20)?;
/// let uplink = Quota::per_second(50_000_000_000)?; // 50 GB/s, a cell is a byte
/// let newsletter = Quota::new(1, Duration::from_secs(30 * 86_400))?;
/// assert_eq!((api.cells(), api.burst_cells()), (60, 20));
/// assert_eq!(Quota::per_second(0), Err(QuotaError::ZeroRate));
/// # let _ = (uplink, newsletter);
/// # Ok::<(), QuotaError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Quota {
    cells: u64,
    period: u64,
    burst: u64,
    max_wait: u64,
    debt: u64,
}

const SECOND: u64 = 1_000_000_000;

impl Quota {
    /// Creates a quota of `cells` in every `period`. The burst is `cells` until
    /// [`burst`](Self::burst) sets it.
    ///
    /// # Errors
    ///
    /// * [`QuotaError::ZeroRate`]: `cells` is 0. To deny everything use [`closed`](Self::closed).
    /// * [`QuotaError::ZeroPeriod`]: `period` is 0.
    /// * [`QuotaError::TooLarge`]: `cells`, or `period` in nanoseconds, is 2^63 or more.
    pub const fn new(cells: u64, period: Duration) -> Result<Self, QuotaError> {
        let period = nanos(period);
        if cells == 0 {
            return Err(QuotaError::ZeroRate);
        }
        if period == 0 {
            return Err(QuotaError::ZeroPeriod);
        }
        if cells >> 63 != 0 || period >> 63 != 0 {
            return Err(QuotaError::TooLarge);
        }
        Ok(Self { cells, period, burst: cells, max_wait: 0, debt: 0 })
    }

    /// Creates a quota of `cells` a second. Fails as [`new`](Self::new) does.
    pub const fn per_second(cells: u64) -> Result<Self, QuotaError> {
        Self::new(cells, Duration::from_nanos(SECOND))
    }

    /// Creates a quota of `cells` a minute. Fails as [`new`](Self::new) does.
    pub const fn per_minute(cells: u64) -> Result<Self, QuotaError> {
        Self::new(cells, Duration::from_nanos(60 * SECOND))
    }

    /// Creates a quota of `cells` an hour. Fails as [`new`](Self::new) does.
    pub const fn per_hour(cells: u64) -> Result<Self, QuotaError> {
        Self::new(cells, Duration::from_nanos(3_600 * SECOND))
    }

    /// Creates a quota of `cells` in 24 hours. Fails as [`new`](Self::new) does.
    pub const fn per_day(cells: u64) -> Result<Self, QuotaError> {
        Self::new(cells, Duration::from_nanos(86_400 * SECOND))
    }

    /// Creates a quota that denies everything. No table stores anything for it.
    pub const fn closed() -> Self {
        Self { cells: 0, period: 1, burst: 0, max_wait: 0, debt: 0 }
    }

    /// Sets the burst: at most `cells` at once, out of a bucket that has been left alone for long
    /// enough.
    ///
    /// # Errors
    ///
    /// * [`QuotaError::ZeroBurst`]: `cells` is 0, with which nothing could ever be admitted.
    /// * [`QuotaError::TooLarge`]: `cells` is 2^63 or more.
    pub const fn burst(self, cells: u64) -> Result<Self, QuotaError> {
        if cells == 0 {
            return Err(QuotaError::ZeroBurst);
        }
        if cells >> 63 != 0 {
            return Err(QuotaError::TooLarge);
        }
        Ok(Self { burst: cells, ..self })
    }

    /// Makes the bucket a queue: a request beyond the burst is admitted too, if its delay is at
    /// most `max_wait`. [`Decision::delay`](crate::Decision::delay) says how long it must be
    /// delayed. The classic leaky queue has a burst of 1.
    pub const fn shape(self, max_wait: Duration) -> Self {
        Self { max_wait: nanos(max_wait), ..self }
    }

    /// Sets the debt: what a request may cost beyond the burst where its cost is known only
    /// afterwards, at most `cells`. Zero by default.
    ///
    /// No request is admitted into debt. A [reservation](crate::bucket::Reservation) that is settled
    /// for more than its estimate charges the rest into debt. Later requests are denied until the debt
    /// is paid, and meanwhile nothing is given back to the bucket.
    ///
    /// # Errors
    ///
    /// [`QuotaError::TooLarge`]: `cells` is 2^63 or more.
    pub const fn debt(self, cells: u64) -> Result<Self, QuotaError> {
        if cells >> 63 != 0 {
            return Err(QuotaError::TooLarge);
        }
        Ok(Self { debt: cells, ..self })
    }

    /// Returns the cells a period, or 0 if the quota is closed.
    pub const fn cells(&self) -> u64 {
        self.cells
    }

    /// Returns the period.
    pub const fn period(&self) -> Duration {
        Duration::from_nanos(self.period)
    }

    /// Returns the burst in cells, or 0 if the quota is closed.
    pub const fn burst_cells(&self) -> u64 {
        self.burst
    }

    /// Returns the longest delay of a shaping quota, or zero if the quota admits or denies at once.
    pub const fn max_wait(&self) -> Duration {
        Duration::from_nanos(self.max_wait)
    }

    /// Returns the most debt in cells.
    pub const fn max_debt(&self) -> u64 {
        self.debt
    }

    /// Returns whether the quota denies everything.
    pub const fn is_closed(&self) -> bool {
        self.cells == 0
    }

    /// Returns the cells per nanosecond as a fraction in lowest terms. The quota must not be
    /// closed.
    pub(super) const fn rate(&self) -> (u64, u64) {
        let common = gcd(self.cells, self.period);
        (self.cells / common, self.period / common)
    }
}

pub(super) const fn gcd(mut a: u64, mut b: u64) -> u64 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

/// Why a quota, or a table for it, is refused: the bound that it breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum QuotaError {
    /// The rate is 0 cells a period.
    ZeroRate,
    /// The period is 0.
    ZeroPeriod,
    /// The burst is 0 cells.
    ZeroBurst,
    /// The cells, the burst, the debt or the period in nanoseconds is 2^63 or more.
    TooLarge,
    /// The rate is above 2^63 cells a second.
    TooFast,
    /// The burst, with what may be queued behind it and the debt, takes so long to drain that the table's time
    /// word would overflow within ten years of the clock's origin.
    Horizon,
    /// In the table's unit of time the rate would be off by more than one part in 2^10.
    Coarse,
    /// The peak rate of a [marker](crate::bucket::MarkerPlan) is below its committed rate.
    PeakTooSlow,
    /// There is no memory for a table of this many keys.
    TooManyKeys {
        /// The number of keys asked for.
        keys: usize,
    },
}

impl fmt::Display for QuotaError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match *self {
            Self::ZeroRate => "the rate is 0 cells a period",
            Self::ZeroPeriod => "the period is 0",
            Self::ZeroBurst => "the burst is 0 cells",
            Self::TooLarge => "cells, burst, debt or period (in nanoseconds) are 2^63 or more",
            Self::TooFast => "the rate is above 2^63 cells a second",
            Self::Horizon => "the burst drains too slowly: time would overflow within 10 years",
            Self::Coarse => "in the table's unit of time the rate is off by more than 1/1024",
            Self::PeakTooSlow => "the peak rate is below the committed rate",
            Self::TooManyKeys { keys } => {
                return write!(f, "keys: there is no memory for a table of {keys}");
            }
        })
    }
}

impl core::error::Error for QuotaError {}
