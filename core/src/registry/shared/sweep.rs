//! Giving back what has ended, in all namespaces in turn.

use core::hash::{BuildHasher, Hash};
use core::ops::Deref;

use super::Registry;
use crate::map::{Cursor, Pass};
use crate::reclaim::Worker;
use crate::sweep::{Budget, Sweep, Swept};
use crate::time::Instant;

/// Removes what has ended from a [`Registry`], and frees what was removed, within a budget a step; one
/// namespace after the other. See [`Map::sweeper`](crate::Map::sweeper) for what a step does.
///
/// `T` derefs to the registry: a reference, or an `Arc` for a thread of its own. A step derefs it once.
///
/// ```
/// use core::time::Duration;
/// use tidegate_core::{Budget, Domain, Instant, Registry, SeededState, Sweep};
///
/// let domain = Domain::new();
/// let registry: Registry<&str, u32, u64, ()> =
///     Registry::builder().build(&domain, SeededState::new(0x5eed))?;
/// let (mut worker, start) = (domain.worker(), Instant::from_secs(1));
/// drop(registry.services().advertise("adder", 7, start, worker.quiescent(start))?);
///
/// let mut sweep = registry.sweeper(domain.worker());
/// let step = sweep.sweep(start + Duration::from_secs(300), Budget::entries(256));
/// assert_eq!((step.removed, step.wrapped), (1, true));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct RegistrySweep<T> {
    registry: T,
    worker: Worker,
    pass: RegistryPass,
}

impl<T> RegistrySweep<T> {
    /// Returns a sweep that begins with the services.
    ///
    /// # Panics
    ///
    /// Each step, before it does anything, if the worker is of another domain than the registry.
    pub fn new(registry: T, worker: Worker) -> Self {
        Self { registry, worker: worker.unpin(), pass: RegistryPass::new() }
    }
}

/// The state of a [`RegistrySweep`] apart from its registry and its worker, for a sweep that keeps neither
/// between its steps.
#[derive(Debug)]
pub struct RegistryPass {
    pass: Pass,
    cursor: Cursor,
    at: At,
}

impl Default for RegistryPass {
    fn default() -> Self {
        Self::new()
    }
}

impl RegistryPass {
    /// Returns a pass that begins with the services of a registry.
    pub const fn new() -> Self {
        Self { pass: Pass::new(), cursor: Cursor::START, at: At::Services }
    }

    /// Sweeps a part of the registry, within the budget, and returns what was done. The worker is not pinned
    /// after the step, and frees nothing but by the budget meanwhile. Each step may use another worker.
    ///
    /// # Panics
    ///
    /// If the worker is of another domain.
    pub fn step<K, V, N, P, S>(
        &mut self,
        registry: &Registry<K, V, N, P, S>,
        worker: &mut Worker,
        now: Instant,
        budget: Budget,
    ) -> Swept
    where
        K: Hash + Eq + Send + Sync + 'static,
        V: Send + Sync + 'static,
        N: Eq + Send + Sync + 'static,
        P: Send + Sync + 'static,
        S: BuildHasher,
    {
        let Self { pass, cursor, at } = self;
        registry.services.admit_worker(worker);
        pass.step(worker, now, budget, |worker, budget| {
            registry.step(worker, cursor, at, now, budget)
        })
    }
}

/// The namespace that is swept.
#[derive(Clone, Copy, Debug)]
enum At {
    Services,
    Discovered,
    Subscribers,
}

impl<K, V, N, P, S> Registry<K, V, N, P, S>
where
    K: Hash + Eq + Send + Sync + 'static,
    V: Send + Sync + 'static,
    N: Eq + Send + Sync + 'static,
    P: Send + Sync + 'static,
    S: BuildHasher,
{
    /// Returns a [sweep](RegistrySweep) of this registry.
    pub fn sweeper(&self, worker: Worker) -> RegistrySweep<&Self> {
        RegistrySweep::new(self, worker)
    }

    /// One step of a sweep over the namespaces in turn.
    fn step(
        &self,
        worker: &mut Worker,
        cursor: &mut Cursor,
        at: &mut At,
        now: Instant,
        budget: Budget,
    ) -> Swept {
        let mut done = Swept::default();
        let mut left = budget;
        while left.get() > 0 && !done.wrapped {
            let (step, next) = match at {
                At::Services => (self.services.step(worker, cursor, now, left), At::Discovered),
                At::Discovered => {
                    (self.discovered.step(worker, cursor, now, left), At::Subscribers)
                }
                At::Subscribers => (self.subscribers.step(worker, cursor, now, left), At::Services),
            };
            done.add(step);
            left = left.less(step.visited + step.freed);
            if step.wrapped {
                done.wrapped = matches!(next, At::Services);
                *at = next;
            }
        }
        done
    }
}

impl<T, K, V, N, P, S> Sweep for RegistrySweep<T>
where
    T: Deref<Target = Registry<K, V, N, P, S>>,
    K: Hash + Eq + Send + Sync + 'static,
    V: Send + Sync + 'static,
    N: Eq + Send + Sync + 'static,
    P: Send + Sync + 'static,
    S: BuildHasher,
{
    fn sweep(&mut self, now: Instant, budget: Budget) -> Swept {
        // Dereferenced once: `T` may answer with another registry the next time.
        self.pass.step(&*self.registry, &mut self.worker, now, budget)
    }
}
