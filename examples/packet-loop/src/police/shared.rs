//! One table for all workers: a flow may come to any of them.

use tidegate::Instant;
use tidegate::lockfree::bucket::{Colour, TableSweep};
use tidegate::lockfree::{Decision, Plan, Sweep};

use super::pace::Pace;
use super::{Police, Table};
use crate::BURST;
use crate::frame::Frame;

/// Limits flows by a table that all workers share, a burst at once.
#[derive(Debug)]
pub struct Shared<'a> {
    table: &'a Table,
    plan: &'a Plan,
    sweep: TableSweep<&'a Table>,
    pace: Pace,
}

impl<'a> Shared<'a> {
    /// Limits each flow to `plan`, which counts bits. As many as `workers` share the table.
    pub fn new(table: &'a Table, plan: &'a Plan, workers: usize) -> Self {
        Self { table, plan, sweep: table.sweeper(), pace: Pace::new(table.slots(), workers) }
    }
}

impl Police for Shared<'_> {
    fn decide(&mut self, frames: &[Frame], now: Instant, colours: &mut [Colour]) {
        for (frames, colours) in frames.chunks(BURST).zip(colours.chunks_mut(BURST)) {
            let requests: [_; BURST] = core::array::from_fn(|at| {
                let frame = frames.get(at).unwrap_or(&Frame::NONE);
                (frame.flow, self.plan, frame.bits)
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
        self.sweep.sweep(now, self.pace.due(now));
    }
}
