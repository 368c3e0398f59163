//! Where eviction begins, how far it goes, and what bounds it.

use core::fmt;
use core::time::Duration;

/// Parts of a whole.
const WHOLE: u32 = 1_000_000;

/// Where eviction begins and where it ends, in parts per million of the total.
///
/// ```
/// use tidegate_core::pressure::{PressureError, Watermarks};
///
/// let marks = Watermarks::new(900_000, 700_000)?;
/// assert_eq!(marks, Watermarks::percent(90, 70)?);
/// assert_eq!(Watermarks::new(500_000, 900_000), Err(PressureError::LowNotBelowHigh));
/// # Ok::<(), PressureError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Watermarks {
    high: u32,
    low: u32,
}

impl Watermarks {
    /// Creates watermarks: eviction begins where `high` is reached, and ends where no more than
    /// `low` is used.
    ///
    /// # Errors
    ///
    /// Fails with [`PressureError::HighAboveWhole`] or [`PressureError::LowNotBelowHigh`].
    pub const fn new(high: u32, low: u32) -> Result<Self, PressureError> {
        if high > WHOLE {
            return Err(PressureError::HighAboveWhole);
        }
        if low >= high {
            return Err(PressureError::LowNotBelowHigh);
        }
        Ok(Self { high, low })
    }

    /// Creates watermarks from parts per hundred.
    ///
    /// # Errors
    ///
    /// Fails as [`new`](Self::new) does.
    pub const fn percent(high: u32, low: u32) -> Result<Self, PressureError> {
        Self::new(high.saturating_mul(WHOLE / 100), low.saturating_mul(WHOLE / 100))
    }

    /// Returns where eviction begins.
    pub const fn high(self) -> u32 {
        self.high
    }

    /// Returns where eviction ends.
    pub const fn low(self) -> u32 {
        self.low
    }

    /// Returns what lies above the high mark or between the two, whichever is larger.
    fn step(self, total: u64) -> u64 {
        let parts = (WHOLE - self.high).max(self.high - self.low);
        (u128::from(total) * u128::from(parts) / u128::from(WHOLE)) as u64
    }

    /// Returns the point at three quarters of the way from the high mark to the total.
    pub(super) fn brink(self, total: u64) -> u64 {
        let parts = self.high + (WHOLE - self.high) / 4 * 3;
        (u128::from(total) * u128::from(parts) / u128::from(WHOLE)) as u64
    }

    pub(super) fn is_high(self, used: u64, total: u64) -> bool {
        u128::from(used) * u128::from(WHOLE) >= u128::from(total) * u128::from(self.high)
    }

    pub(super) fn is_low(self, used: u64, total: u64) -> bool {
        u128::from(used) * u128::from(WHOLE) <= u128::from(total) * u128::from(self.low)
    }
}

impl Default for Watermarks {
    /// Returns watermarks from 85 % down to 75 %.
    fn default() -> Self {
        Self { high: 850_000, low: 750_000 }
    }
}

/// How much a request is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Target {
    /// What lies above the low watermark.
    #[default]
    ToLow,
    /// What lies between the watermarks, however much is used; erllama's scheduler asks for this
    /// much. Where more is used than the high watermark allows, it takes several steps to get below
    /// it. Where more than that comes in between two steps, no number of steps is enough.
    Span,
}

impl Target {
    /// Returns the amount in the unit of the total, rounded up.
    pub(super) fn of(self, marks: Watermarks, used: u64, total: u64) -> u64 {
        let part = |parts: u32| u128::from(total) * u128::from(parts);
        match self {
            Self::ToLow => used.saturating_sub((part(marks.low) / u128::from(WHOLE)) as u64),
            Self::Span => part(marks.high - marks.low).div_ceil(u128::from(WHOLE)) as u64,
        }
    }
}

/// The rules that a [`Controller`](super::Controller) follows. An impossible rule is refused where
/// it is set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Rules {
    pub(super) marks: Watermarks,
    pub(super) target: Target,
    pub(super) min_step: u64,
    /// `None` for what the watermarks and the growth give.
    pub(super) max_step: Option<u64>,
    pub(super) cooldown: Duration,
    pub(super) patience: u32,
    pub(super) backoff: Duration,
}

impl Rules {
    /// Creates rules that ask for what lies above the low watermark, for at least 1 MiB at a time.
    ///
    /// A step is at most what lies above the high watermark, or between the two if that is more: 15
    /// % of the total for 85 % and 75 %. It is more only where the growth seen, and a quarter of
    /// it, would otherwise pass the total. After three evictions that did not help, a full step is
    /// tried every 30 seconds.
    #[must_use]
    pub const fn new(marks: Watermarks) -> Self {
        Self {
            marks,
            target: Target::ToLow,
            min_step: 1 << 20,
            max_step: None,
            cooldown: Duration::ZERO,
            patience: 3,
            backoff: Duration::from_secs(30),
        }
    }

    /// Sets the watermarks.
    #[must_use]
    pub const fn watermarks(mut self, marks: Watermarks) -> Self {
        self.marks = marks;
        self
    }

    /// Sets how much to ask for.
    #[must_use]
    pub const fn target(mut self, target: Target) -> Self {
        self.target = target;
        self
    }

    /// Sets the least and the most that a request is for, in bytes. Memory that grows by more than
    /// `most` between two checks is not kept within the total.
    ///
    /// # Errors
    ///
    /// Fails with [`PressureError::MaxStepIsZero`] or [`PressureError::MinStepAboveMaxStep`].
    pub const fn steps(mut self, least: u64, most: u64) -> Result<Self, PressureError> {
        if most == 0 {
            return Err(PressureError::MaxStepIsZero);
        }
        if least > most {
            return Err(PressureError::MinStepAboveMaxStep);
        }
        (self.min_step, self.max_step) = (least, Some(most));
        Ok(self)
    }

    /// Sets how long the controller rests after an eviction, until the source shows what the
    /// eviction did. Without a rest, a source that shows it late causes the same eviction again and
    /// again.
    #[must_use]
    pub const fn cooldown(mut self, cooldown: Duration) -> Self {
        self.cooldown = cooldown;
        self
    }

    /// Sets after how many evictions that did not help the controller holds, and how long a hold
    /// lasts until a full step is tried again. Evictions do not help where the source measures
    /// something else, where other processes take what is freed, or where it is not given back to
    /// the system. See [`Controller`](super::Controller#whether-evicting-helps).
    ///
    /// # Errors
    ///
    /// Fails with [`PressureError::PatienceIsZero`].
    pub const fn give_up(
        mut self,
        patience: u32,
        backoff: Duration,
    ) -> Result<Self, PressureError> {
        if patience == 0 {
            return Err(PressureError::PatienceIsZero);
        }
        (self.patience, self.backoff) = (patience, backoff);
        Ok(self)
    }

    /// Returns the watermarks.
    #[must_use]
    pub const fn marks(&self) -> Watermarks {
        self.marks
    }

    /// Returns how long the controller rests after an eviction.
    #[must_use]
    pub const fn rest(&self) -> Duration {
        self.cooldown
    }

    /// Returns the least that a request is for.
    #[must_use]
    pub const fn min_step(&self) -> u64 {
        self.min_step
    }

    /// Returns the most that a request is for, or `None` if it follows from the watermarks, as
    /// [`new`](Self::new) says.
    #[must_use]
    pub const fn max_step(&self) -> Option<u64> {
        self.max_step
    }

    /// Returns these rules for readings that are not in bytes: steps in bytes do not bound their
    /// requests.
    #[must_use]
    pub const fn in_parts(mut self) -> Self {
        self.min_step = 0;
        if self.max_step.is_some() {
            self.max_step = Some(u64::MAX);
        }
        self
    }

    /// Returns what to ask for, where `growth` came in between two readings.
    pub(super) fn request(&self, used: u64, total: u64, growth: u64) -> u64 {
        let target = self.target.of(self.marks, used, total);
        let most = self.max_step.unwrap_or_else(|| {
            let next = used.saturating_add(growth).saturating_add(growth / 4);
            self.marks.step(total).max(next.saturating_sub(total))
        });
        target.min(most).max(self.min_step).max(1)
    }

    /// Returns an amount within the steps that were set.
    pub(super) fn within_steps(&self, amount: u64) -> u64 {
        amount.min(self.max_step.unwrap_or(u64::MAX)).max(self.min_step).max(1)
    }
}

impl Default for Rules {
    fn default() -> Self {
        Self::new(Watermarks::default())
    }
}

/// Why a rule is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum PressureError {
    /// The high watermark is above the whole.
    HighAboveWhole,
    /// The low watermark is not below the high one.
    LowNotBelowHigh,
    /// No step may evict anything.
    MaxStepIsZero,
    /// The least that a step evicts is above the most.
    MinStepAboveMaxStep,
    /// Evicting would be given up before it was tried.
    PatienceIsZero,
}

impl fmt::Display for PressureError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::HighAboveWhole => "pressure: high must be at most 1,000,000 parts per million",
            Self::LowNotBelowHigh => "pressure: low must be below high",
            Self::MaxStepIsZero => "pressure: max_step must be above 0",
            Self::MinStepAboveMaxStep => "pressure: min_step must be at most max_step",
            Self::PatienceIsZero => "pressure: patience must be above 0",
        })
    }
}

impl core::error::Error for PressureError {}
