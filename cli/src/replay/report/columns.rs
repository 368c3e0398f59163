//! Which columns a table of quotas needs, besides those that it always has.

use crate::replay::outcome::{Outcome, Tally};

/// The columns that not every table of quotas has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Columns {
    pub(super) reading: bool,
    pub(super) no_slot: bool,
    pub(super) delays: bool,
}

impl Columns {
    /// Returns the columns that have something to say of at least one reading.
    pub(super) fn new(outcome: &Outcome) -> Self {
        let readings = || outcome.runs.iter().flat_map(|run| &run.readings);
        let any = |of: fn(&Tally) -> bool| readings().any(of);
        Self {
            reading: any(|tally| tally.spread.is_some()),
            no_slot: outcome.capacity.is_some() || any(|tally| tally.no_slot > 0),
            delays: any(|tally| tally.delayed > 0),
        }
    }
}
