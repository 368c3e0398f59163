//! A table for each worker: the network card sends a flow always to the same one.

use tidegate::Instant;
use tidegate::lockfree::bucket::{Colour, LocalSet};
use tidegate::lockfree::{Decision, LocalBucketTable, LocalSweep, Plan};

use super::Police;
use super::pace::Pace;
use crate::BURST;
use crate::frame::Frame;

/// Limits the flows of one worker, without atomics.
#[derive(Debug)]
pub struct Local {
    table: LocalBucketTable<Box<[LocalSet]>>,
    plan: Plan,
    sweep: LocalSweep,
    pace: Pace,
}

impl Local {
    /// Limits each flow to `plan`, which counts bits, and is of the table's unit.
    pub fn new(table: LocalBucketTable<Box<[LocalSet]>>, plan: Plan) -> Self {
        let pace = Pace::new(table.slots(), 1);
        Self { table, plan, sweep: LocalSweep::default(), pace }
    }
}

impl Police for Local {
    fn decide(&mut self, frames: &[Frame], now: Instant, colours: &mut [Colour]) {
        for (frames, colours) in frames.chunks(BURST).zip(colours.chunks_mut(BURST)) {
            let requests: [_; BURST] = core::array::from_fn(|at| {
                let frame = frames.get(at).unwrap_or(&Frame::NONE);
                (frame.flow, &self.plan, frame.bits)
            });
            let mut decisions = [Decision::CLOSED; BURST];
            let decisions = &mut decisions[..frames.len()];
            self.table.check_burst(&requests[..frames.len()], now, decisions);
            for (colour, decision) in colours.iter_mut().zip(decisions) {
                *colour = super::colour(decision.is_admitted());
            }
        }
    }

    fn sweep(&mut self, now: Instant) {
        self.sweep.step(&mut self.table, now, self.pace.due(now));
    }
}
