//! What all sweeps over maps share: a worker, and when a pass is over.

use crate::reclaim::Worker;
use crate::sweep::{Budget, Swept};
use crate::time::Instant;

/// The worker of a sweep, pinned within a step only.
///
/// A pass is over when every entry was visited and no garbage above the domain's allowance is ripe:
/// until then a run goes on, only to free.
#[derive(Debug)]
pub(crate) struct Pass {
    worker: Worker,
    /// Whether every entry was visited.
    is_visited: bool,
}

impl Pass {
    pub(crate) fn new(worker: Worker) -> Self {
        Self { worker: worker.by_budget(), is_visited: false }
    }

    /// The worker whose guards the steps use.
    pub(crate) fn worker(&self) -> &Worker {
        &self.worker
    }

    /// Goes on with the pass: visits entries by `visit`, or frees if all were visited.
    pub(crate) fn step(
        &mut self,
        now: Instant,
        budget: Budget,
        visit: impl FnOnce(&mut Worker, Budget) -> Swept,
    ) -> Swept {
        let mut done = if self.is_visited {
            let freed = self.worker.collect(now, budget);
            Swept { freed, wrapped: true, ..Swept::default() }
        } else {
            visit(&mut self.worker, budget)
        };
        self.is_visited = done.wrapped && self.worker.is_overdue();
        done.wrapped &= !self.is_visited;
        done
    }
}
