//! A marker for one owner.

use super::plan::Word;
use super::{Colour, MarkerPlan};
use crate::time::Instant;

/// The state of one flow under two rates, for one owner, without atomics: 16 bytes.
///
/// It gives the colours of the shared [`Marker`](crate::bucket), on every target. Both buckets are
/// charged at once. The plans of all calls on one marker must have one unit.
///
/// ```
/// use core::time::Duration;
/// use tidegate_core::bucket::{Colour, LocalMarker, MarkerPlan};
/// use tidegate_core::{Instant, Quota};
///
/// // Packets: three at once and 20 a second at most, of which one and 10 are committed.
/// let peak = Quota::per_second(20)?.burst(3)?;
/// let committed = Quota::per_second(10)?.burst(1)?;
/// let plan = MarkerPlan::new(peak, committed)?;
///
/// let mut flow = LocalMarker::new();
/// let now = Instant::from_secs(1);
/// let colours = [(); 4].map(|()| flow.mark(&plan, 1, now));
/// assert_eq!(colours, [Colour::Green, Colour::Yellow, Colour::Yellow, Colour::Red]);
///
/// let later = now + Duration::from_millis(100);
/// assert_eq!(flow.left(&plan, later), (2, 1));
/// assert_eq!(flow.mark_aware(&plan, 1, Colour::Yellow, later), Colour::Yellow);
/// assert_eq!(flow.left(&plan, later), (1, 1));
/// # Ok::<(), tidegate_core::QuotaError>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LocalMarker {
    peak: u64,
    committed: u64,
}

impl LocalMarker {
    /// Creates the marker of a flow that has not sent anything yet.
    pub const fn new() -> Self {
        Self { peak: 0, committed: 0 }
    }

    /// Colours a packet of `cost` cells, whatever its colour was: the colour-blind mode.
    #[inline]
    pub fn mark(&mut self, plan: &MarkerPlan, cost: u64, now: Instant) -> Colour {
        self.mark_aware(plan, cost, Colour::Green, now)
    }

    /// Colours a packet of `cost` cells that came with the colour `before`: the colour-aware mode.
    /// The new colour is never better than that.
    #[inline]
    pub fn mark_aware(
        &mut self,
        plan: &MarkerPlan,
        cost: u64,
        before: Colour,
        now: Instant,
    ) -> Colour {
        plan.colour(cost, before, now, |word, asked| {
            let time = match word {
                Word::Peak => &mut self.peak,
                Word::Committed => &mut self.committed,
            };
            let after = asked.on(*time);
            *time = after.unwrap_or(*time);
            after.is_some()
        })
    }

    /// Returns how many cells are left at `now`: of the peak bucket, and of the committed one.
    pub const fn left(&self, plan: &MarkerPlan, now: Instant) -> (u64, u64) {
        plan.left(self.peak, self.committed, now)
    }
}
