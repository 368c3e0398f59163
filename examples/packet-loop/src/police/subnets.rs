//! Two limits for each frame: that of its flow, and that of its sender's network.

use tidegate::lockfree::bucket::{Colour, TableSweep};
use tidegate::lockfree::{Plan, Sweep, Worker};
use tidegate::{Instant, MonotonicClock, check_all};

use super::pace::Pace;
use super::{Police, Table};
use crate::frame::Frame;
use crate::policies::Policies;

/// Limits flows, and with them the networks of their senders: a frame is charged to both, or to none.
/// What a network may send is looked up for each frame, in a map that may change meanwhile.
#[derive(Debug)]
pub struct Subnets<'a> {
    flows: &'a Table,
    flow: &'a Plan,
    subnets: &'a Table,
    policies: &'a Policies,
    worker: Worker,
    clock: &'a MonotonicClock,
    sweeps: [(TableSweep<&'a Table>, Pace); 2],
}

impl<'a> Subnets<'a> {
    /// Limits each flow to the plan `flow`, and each network to what `policies` say. Both count bits. As many
    /// as `workers` share the tables.
    pub fn new(
        (flows, flow): (&'a Table, &'a Plan),
        (subnets, policies): (&'a Table, &'a Policies),
        clock: &'a MonotonicClock,
        workers: usize,
    ) -> Self {
        let sweep = |table: &'a Table| (table.sweeper(), Pace::new(table.slots(), workers));
        let (worker, sweeps) = (policies.worker(), [flows, subnets].map(sweep));
        Self { flows, flow, subnets, policies, worker, clock, sweeps }
    }
}

impl Police for Subnets<'_> {
    fn decide(&mut self, frames: &[Frame], now: Instant, colours: &mut [Colour]) {
        // Nothing of the burst before is in use any more.
        let guard = self.worker.quiescent(now);
        for frame in frames {
            self.flows.prefetch(&frame.flow);
            self.subnets.prefetch(&frame.subnet);
        }
        for (frame, colour) in frames.iter().zip(colours) {
            let subnet = self.policies.plan(frame.subnet, guard);
            let decision = check_all(&[
                self.flows.limit(&frame.flow, self.flow, frame.bits, now, self.clock),
                self.subnets.limit(&frame.subnet, subnet, frame.bits, now, self.clock),
            ]);
            *colour = super::colour(decision.is_admitted());
        }
    }

    fn sweep(&mut self, now: Instant) {
        for (sweep, pace) in &mut self.sweeps {
            sweep.sweep(now, pace.due(now));
        }
    }
}
