//! What all sweeps over maps share: whose worker a step uses, and when a pass is over.

use crate::reclaim::Worker;
use crate::sweep::{Budget, Swept};
use crate::time::Instant;

/// When a pass is over. A step borrows a worker, which is pinned within the step only.
///
/// A pass is over when every entry was visited and no garbage above the domain's allowance is ripe:
/// until then a run goes on, only to free.
#[derive(Debug)]
pub(crate) struct Pass {
    /// Whether every entry was visited.
    is_visited: bool,
}

impl Pass {
    pub(crate) const fn new() -> Self {
        Self { is_visited: false }
    }

    /// Goes on with the pass: visits entries by `visit`, or frees if all were visited.
    pub(crate) fn step(
        &mut self,
        worker: &mut Worker,
        now: Instant,
        budget: Budget,
        visit: impl FnOnce(&mut Worker, Budget) -> Swept,
    ) -> Swept {
        let mut worker = worker.sweeping();
        let mut done = if self.is_visited {
            let freed = worker.collect(now, budget);
            Swept { freed, wrapped: true, ..Swept::default() }
        } else {
            visit(&mut worker, budget)
        };
        self.is_visited = done.wrapped && worker.is_overdue();
        done.wrapped &= !self.is_visited;
        done
    }
}
