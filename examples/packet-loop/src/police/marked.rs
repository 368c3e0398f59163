//! Three colours by two rates, in bits and in packets.

use tidegate::lockfree::bucket::{Colour, MarkerPlan, TableSweep, Unit, mark};
use tidegate::lockfree::{BucketTable, Sweep};
use tidegate::{Instant, MonotonicClock, Quota, QuotaError, SeededState};

use super::pace::Pace;
use super::{Police, Table};
use crate::frame::{Flow, Frame};

/// A peak and a committed rate, and each flow's buckets for both.
#[derive(Debug)]
pub struct Rates {
    plan: MarkerPlan,
    peaks: Table,
    commitments: Table,
}

impl Rates {
    /// Makes the tables, with room for `flows` flows.
    ///
    /// # Errors
    ///
    /// If the peak rate is below the committed one, no unit suits both, or there is no memory.
    pub fn new(
        peak: Quota,
        committed: Quota,
        flows: usize,
        seeds: [u64; 2],
    ) -> Result<Self, QuotaError> {
        let unit = Unit::for_quotas(&[peak, committed])?;
        let plan = MarkerPlan::in_unit(unit, peak, committed)?;
        let table = |seed| BucketTable::boxed_in_unit(unit, flows, SeededState::new(seed));
        Ok(Self { plan, peaks: table(seeds[0])?, commitments: table(seeds[1])? })
    }

    fn prefetch(&self, flow: &Flow) {
        self.peaks.prefetch(flow);
        self.commitments.prefetch(flow);
    }

    fn colour(
        &self,
        flow: &Flow,
        cost: u64,
        before: Colour,
        now: Instant,
        clock: &MonotonicClock,
    ) -> Colour {
        mark(
            &self.peaks.limit(flow, self.plan.peak(), cost, now, clock),
            &self.commitments.limit(flow, self.plan.committed(), cost, now, clock),
            before,
        )
    }
}

/// Colours each frame by its flow's bits, and then, aware of that colour, by its flow's packets. A frame is
/// red that exceeds a peak rate, and yellow if it exceeds a committed one.
#[derive(Debug)]
pub struct Marked<'a> {
    bits: &'a Rates,
    packets: &'a Rates,
    clock: &'a MonotonicClock,
    sweeps: [(TableSweep<&'a Table>, Pace); 4],
}

impl<'a> Marked<'a> {
    /// Colours by the rates of `bits` and `packets`. As many as `workers` share the tables.
    pub fn new(
        bits: &'a Rates,
        packets: &'a Rates,
        clock: &'a MonotonicClock,
        workers: usize,
    ) -> Self {
        let tables = [&bits.peaks, &bits.commitments, &packets.peaks, &packets.commitments];
        let sweeps = tables.map(|table| (table.sweeper(), Pace::new(table.slots(), workers)));
        Self { bits, packets, clock, sweeps }
    }
}

impl Police for Marked<'_> {
    fn decide(&mut self, frames: &[Frame], now: Instant, colours: &mut [Colour]) {
        for frame in frames {
            self.bits.prefetch(&frame.flow);
            self.packets.prefetch(&frame.flow);
        }
        for (Frame { flow, bits, .. }, colour) in frames.iter().zip(colours) {
            let by_bits = self.bits.colour(flow, *bits, Colour::Green, now, self.clock);
            *colour = self.packets.colour(flow, 1, by_bits, now, self.clock);
        }
    }

    fn sweep(&mut self, now: Instant) {
        for (sweep, pace) in &mut self.sweeps {
            sweep.sweep(now, pace.due(now));
        }
    }
}
