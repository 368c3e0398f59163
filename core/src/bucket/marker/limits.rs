//! Marking by the buckets of a table.

use super::super::all::{Charged, Limit, Look, charge_of};
use super::super::verdict::Outcome;
use super::Colour;

/// Colours a packet by two limits of a key: for flows that are found by key in a table.
///
/// The limits are a key's buckets under the [peak](super::MarkerPlan::peak) and the
/// [committed](super::MarkerPlan::committed) plan, in two structures or under two keys of one, with
/// the packet's cost and time. The packet came with the colour `before`; with [`Colour::Green`] the
/// mode is colour-blind. A key for which the structure has no room is answered by its policy: under
/// [`OnFull::Deny`](crate::OnFull), a flow without a peak bucket is red, and one without a
/// committed bucket yellow.
///
/// The colours and guarantees are those of a `Marker`. Lock-free. Allocates what single checks
/// would.
///
/// ```
/// use tidegate_core::bucket::{Colour, MarkerPlan, mark};
/// use tidegate_core::{BucketTable, Instant, ManualClock, Quota, SeededState};
///
/// let peak = Quota::per_second(20)?.burst(3)?;
/// let committed = Quota::per_second(10)?.burst(1)?;
/// let peaks = BucketTable::boxed(peak, 10_000, SeededState::new(1))?;
/// let commitments = BucketTable::boxed(peak, 10_000, SeededState::new(2))?;
/// let plan = MarkerPlan::in_unit(peaks.unit(), peak, committed)?; // that of both tables
///
/// let (clock, now) = (ManualClock::new(), Instant::from_secs(1));
/// let colour = |flow: u32, before| {
///     mark(
///         &peaks.limit(&flow, plan.peak(), 1, now, &clock),
///         &commitments.limit(&flow, plan.committed(), 1, now, &clock),
///         before,
///     )
/// };
/// let colours = [7, 7, 7, 7, 8].map(|flow| colour(flow, Colour::Green));
/// use Colour::*;
/// assert_eq!(colours, [Green, Yellow, Yellow, Red, Green]);
/// # Ok::<(), tidegate_core::QuotaError>(())
/// ```
///
/// # Panics
///
/// Panics if a plan was compiled for another unit than its table's, which is a programming error.
#[inline]
pub fn mark<P: Limit, C: Limit>(peak: &P, committed: &C, before: Colour) -> Colour {
    if before == Colour::Red || !charge(peak) {
        Colour::Red
    } else if before == Colour::Yellow || !charge(committed) {
        Colour::Yellow
    } else {
        Colour::Green
    }
}

/// Charges what a limit asks for, and returns whether it was admitted.
#[inline(always)]
fn charge(limit: &impl Limit) -> bool {
    if limit.charge_at_sight().is_some() {
        return true;
    }
    match charge_of(limit) {
        Some(charge) => {
            let mut charged = Charged::NOTHING;
            limit.charge(&charge, &mut charged);
            charged.verdict.outcome() == Outcome::Admitted
        }
        // Nothing is charged: the cost is zero, or more than any bucket has.
        None => limit.look(&mut { Look::NONE }),
    }
}
