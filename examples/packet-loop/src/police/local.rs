//! A table for each worker: the network card sends a flow always to the same one.

use tidegate::Instant;
use tidegate::lockfree::bucket::LocalSet;
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
    fn decide(&mut self, frames: &[Frame], now: Instant, passes: &mut [bool]) {
        for (frames, passes) in frames.chunks(BURST).zip(passes.chunks_mut(BURST)) {
            let requests: [_; BURST] = core::array::from_fn(|at| {
                let frame = frames.get(at).unwrap_or(&Frame::NONE);
                (frame.flow, &self.plan, frame.bits)
            });
            let mut decisions = [Decision::CLOSED; BURST];
            let decisions = &mut decisions[..frames.len()];
            self.table.check_burst(&requests[..frames.len()], now, decisions);
            for (passes, decision) in passes.iter_mut().zip(decisions) {
                *passes = decision.is_admitted();
            }
        }
    }

    fn sweep(&mut self, now: Instant) {
        self.sweep.step(&mut self.table, now, self.pace.due(now));
    }
}
