//! What each network may send.

use tidegate::Instant;
use tidegate::lockfree::map::MapError;
use tidegate::lockfree::{Budget, Domain, Guard, Map, Plan, SeededState, Worker};

use crate::frame::Subnet;

/// The most plans that are replaced and not freed yet.
const GARBAGE: usize = 4_096;

/// How many plans are freed for one that is set, at most.
const FREED: usize = 16;

/// Plans by network. Workers look them up for each frame; any other thread may change them.
///
/// Their domain frees nothing on the path: what was replaced is freed by the thread that changes
/// plans.
#[derive(Debug)]
pub struct Policies {
    plans: Map<Subnet, Plan, SeededState>,
    usual: Plan,
    domain: Domain,
}

impl Policies {
    /// Gives each network the plan `usual`, until it gets one of its own.
    pub fn new(usual: Plan, seed: u64) -> Self {
        let domain = Domain::builder().never_on_the_data_path(GARBAGE).build();
        let plans = Map::with(&domain, SeededState::new(seed));
        Self { plans, usual, domain }
    }

    /// Returns a worker, for a thread that looks plans up.
    pub fn worker(&self) -> Worker {
        self.domain.worker()
    }

    /// Returns the plan of a network.
    pub fn plan<'g>(&'g self, subnet: Subnet, guard: &'g Guard) -> &'g Plan {
        self.plans.get(&subnet, guard).unwrap_or(&self.usual)
    }

    /// Gives a network a plan of its own, in the unit of the table that it is used with, and frees what
    /// was replaced before, as far as no worker uses it any more.
    ///
    /// # Errors
    ///
    /// If there is no memory, or the workers have passed no burst for so long that too much waits to be
    /// freed.
    pub fn set(
        &self,
        subnet: Subnet,
        plan: Plan,
        worker: &mut Worker,
        now: Instant,
    ) -> Result<(), MapError> {
        let set = self.plans.insert(subnet, plan, &worker.pin()).map(drop);
        worker.collect(now, Budget::entries(FREED));
        set.map_err(|refused| refused.error)
    }
}
