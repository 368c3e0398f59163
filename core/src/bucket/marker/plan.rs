//! What a marker is to allow: a peak and a committed quota, compiled for one unit.

use core::time::Duration;

use super::super::gcra::{self, Charge};
use super::super::{Plan, Quota, QuotaError, Unit};
use super::Colour;
use crate::time::Instant;

/// A peak and a committed quota, compiled for one unit of time. Any number of flows share one.
///
/// A cell is what the caller counts: a bit, a byte or a packet. The names of RFC 2698 are the peak
/// quota's rate (PIR) and burst (PBS), and the committed quota's (CIR, CBS). Each burst should be
/// at least as large as the largest packet, which otherwise is never green, or always red.
///
/// Where a rate is above 2^30 cells a second, costs are rounded up to whole units (see
/// [`Plan`]). Count the bytes of such a link, not its bits.
///
/// ```
/// use tidegate_core::Quota;
/// use tidegate_core::bucket::MarkerPlan;
///
/// // 100 Mbit/s are committed, and 300 Mbit/s are the peak. A cell is a bit.
/// let peak = Quota::per_second(300_000_000)?.burst(8 * 64_000)?;
/// let committed = Quota::per_second(100_000_000)?.burst(8 * 16_000)?;
/// let plan = MarkerPlan::new(peak, committed)?;
/// assert!(plan.is_exact());
/// # Ok::<(), tidegate_core::QuotaError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MarkerPlan {
    peak: Plan,
    committed: Plan,
}

impl MarkerPlan {
    /// Compiles two quotas in the unit that suits both. A [wait](Quota::shape) of theirs is left
    /// out, because a marker delays nothing. A [closed](Quota::closed) committed quota makes no
    /// packet green.
    ///
    /// # Errors
    ///
    /// * [`QuotaError::PeakTooSlow`]: the peak rate is below the committed one.
    /// * What [`Unit::for_quotas`] and [`Unit::plan`] fail with.
    pub const fn new(peak: Quota, committed: Quota) -> Result<Self, QuotaError> {
        match Unit::for_quotas(&[peak, committed]) {
            Ok(unit) => Self::in_unit(unit, peak, committed),
            Err(error) => Err(error),
        }
    }

    /// Compiles two quotas in `unit`, as [`new`](Self::new) does in a unit of its own choice. The
    /// markers of one flow, or the plans of one [table](super::mark), are to have one unit.
    ///
    /// # Errors
    ///
    /// Fails as [`new`](Self::new) does.
    pub const fn in_unit(unit: Unit, peak: Quota, committed: Quota) -> Result<Self, QuotaError> {
        let ((n, p), (m, q)) = (peak.rate(), committed.rate());
        if n as u128 * (q as u128) < m as u128 * p as u128 {
            return Err(QuotaError::PeakTooSlow);
        }
        let peak = unit.plan(peak.shape(Duration::ZERO));
        match (peak, unit.plan(committed.shape(Duration::ZERO))) {
            (Ok(peak), Ok(committed)) => Ok(Self { peak, committed }),
            (Err(error), _) | (_, Err(error)) => Err(error),
        }
    }

    /// Returns the plan of the peak bucket.
    pub const fn peak(&self) -> &Plan {
        &self.peak
    }

    /// Returns the plan of the committed bucket.
    pub const fn committed(&self) -> &Plan {
        &self.committed
    }

    /// Returns whether every colour is the one that exact arithmetic over the rationals would give.
    pub const fn is_exact(&self) -> bool {
        self.peak.is_exact() && self.committed.is_exact()
    }

    /// Colours a packet that came with the colour `before`. `charge` charges one of the words, if
    /// that admits the charge, and says whether it did.
    #[inline(always)]
    pub(super) fn colour(
        &self,
        cost: u64,
        before: Colour,
        now: Instant,
        mut charge: impl FnMut(Word, &Charge) -> bool,
    ) -> Colour {
        let now = self.peak.scale().units(now.as_nanos());
        let mut admits = |word, plan: &Plan| match plan.inquiry(cost, now) {
            Some(asked) => charge(word, &asked),
            None => false,
        };
        if before == Colour::Red || !admits(Word::Peak, &self.peak) {
            Colour::Red
        } else if before == Colour::Yellow || !admits(Word::Committed, &self.committed) {
            Colour::Yellow
        } else {
            Colour::Green
        }
    }

    /// Returns how many cells the buckets of two words have left at `now`: the peak and the
    /// committed one.
    pub(super) const fn left(&self, peak: u64, committed: u64, now: Instant) -> (u64, u64) {
        let now = self.peak.scale().units(now.as_nanos());
        (left(&self.peak, peak, now), left(&self.committed, committed, now))
    }
}

/// One of a flow's two words.
#[derive(Clone, Copy)]
pub(super) enum Word {
    Peak,
    Committed,
}

const fn left(plan: &Plan, time: u64, now: u64) -> u64 {
    plan.terms().cells(gcra::room(time, now, plan.burst()))
}
