//! Models of tidegate's protocols, one module a module of the core, one each for the runtime, for
//! renewals and for timers, and what they share.
//!
//! ```sh
//! cargo loom       # every model, in both modes
//! cargo mutants    # every mutant against every model
//! ```
//!
//! Each model runs in two modes: *plain*, with stale reads, and *RMW*, without them, but with every
//! interleaving of at most the model's number of preemptions (see `tidegate_core::model`). Its
//! participants are spawned threads that begin with a yield, or threads that the runtime spawns,
//! because loom explores too little around the main one. A model lists its outcomes, all of them: one
//! that is missing shows a search that is smaller than it looks, and one that is not listed is an
//! error that no assertion names.

#![cfg(loom)]

pub mod bucket;
pub mod cache;
pub mod clock;
pub mod flight;
#[path = "../../core/tests/common/identity.rs"]
mod identity;
pub mod map;
pub mod reclaim;
pub mod refresh;
pub mod registry;
pub mod runtime;
pub mod suite;
pub mod time;
pub mod timer;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use tidegate_core::{Domain, Worker, model};

/// One scenario, explored in all interleavings of at most so many preemptions.
#[derive(Clone, Copy)]
pub struct Model {
    /// What races.
    pub name: &'static str,
    /// How many times the threads may be interrupted.
    pub preemptions: usize,
    /// Runs one execution. It asserts what must hold, and returns the outcome in words.
    pub run: fn() -> String,
    /// Every outcome that there is.
    pub outcomes: Outcomes,
}

/// The outcomes of a model, without exception: each of them is seen in some execution, and no other
/// is.
#[derive(Clone, Copy)]
pub struct Outcomes {
    both: &'static [&'static str],
    plain: &'static [&'static str],
    rmw: &'static [&'static str],
}

/// Lists the outcomes that are seen in both modes.
pub const fn both(outcomes: &'static [&'static str]) -> Outcomes {
    Outcomes { both: outcomes, plain: &[], rmw: &[] }
}

impl Outcomes {
    /// Adds the outcomes that need a stale read, which RMW mode does not have.
    pub const fn only_in_plain(mut self, outcomes: &'static [&'static str]) -> Self {
        self.plain = outcomes;
        self
    }

    /// Adds the outcomes that need an interleaving which loom does not reach in plain mode.
    pub const fn only_in_rmw(mut self, outcomes: &'static [&'static str]) -> Self {
        self.rmw = outcomes;
        self
    }

    /// The outcomes of one mode.
    fn of(self, mode: Mode) -> BTreeSet<&'static str> {
        let rest = match mode {
            Mode::Plain => self.plain,
            Mode::Rmw => self.rmw,
        };
        self.both.iter().chain(rest).copied().collect()
    }
}

/// The models of each module of the core, of the runtime, of renewals and of timers.
pub const MODULES: &[(&str, &[Model])] = &[
    ("bucket", bucket::MODELS),
    ("cache", cache::MODELS),
    ("clock", clock::MODELS),
    ("flight", flight::MODELS),
    ("map", map::MODELS),
    ("reclaim", reclaim::MODELS),
    ("refresh", refresh::MODELS),
    ("registry", registry::MODELS),
    ("runtime", runtime::MODELS),
    ("time", time::MODELS),
    ("timer", timer::MODELS),
];

/// Every model there is.
pub fn all() -> impl Iterator<Item = Model> + Clone {
    MODULES.iter().flat_map(|(_, models)| models.iter().copied())
}

/// How loads and stores are modelled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// As they are.
    Plain,
    /// As read-modify-writes.
    Rmw,
}

/// One operation of the sources, and how it is weakened.
pub type Mutant = (model::Place, model::Weakening);

impl Model {
    /// Returns whether the model is explored in this mode: it has outcomes there. One with many
    /// preemptions may be too much for plain mode.
    pub fn is_for(&self, mode: Mode) -> bool {
        !self.outcomes.of(mode).is_empty()
    }

    /// Explores the model in one mode, and returns the number of executions.
    ///
    /// # Panics
    ///
    /// Panics if an assertion of the model fails, if loom reports a race, a deadlock or a leak, and if
    /// the outcomes seen are not those that are listed.
    pub fn check(&self, mode: Mode) -> u64 {
        let expected = self.outcomes.of(mode);
        let (executions, seen) = self.explore(mode, None, |_| ());
        let unlisted: Vec<_> =
            seen.iter().filter(|outcome| !expected.contains(&outcome.as_str())).collect();
        let missing: Vec<_> = expected.iter().filter(|&&outcome| !seen.contains(outcome)).collect();
        assert!(
            unlisted.is_empty() && missing.is_empty(),
            "{} {mode:?}: saw {unlisted:?}, which are not listed, and never saw {missing:?}",
            self.name,
        );
        executions
    }

    /// Explores the model over sources that are broken on purpose: by `mutant`, or by a patch.
    ///
    /// An outcome that is missing proves nothing here: what the patch does may be right, and hide it.
    ///
    /// # Panics
    ///
    /// Panics if an assertion of the model fails, if loom reports a race, a deadlock or a leak, and at
    /// the first outcome that is not listed.
    pub fn challenge(&self, mode: Mode, mutant: Option<Mutant>) {
        let (name, expected) = (self.name, self.outcomes.of(mode));
        self.explore(mode, mutant, move |outcome| {
            assert!(
                expected.contains(outcome),
                "{name} {mode:?}: saw {outcome:?}, which is not listed"
            );
        });
    }

    /// Runs every execution, and returns how many there were, and the outcomes seen.
    fn explore(
        &self,
        mode: Mode,
        mutant: Option<Mutant>,
        admit: impl Fn(&str) + Send + Sync + 'static,
    ) -> (u64, BTreeSet<String>) {
        model::configure(mode == Mode::Rmw, mutant);
        let seen = Arc::new(Mutex::new((0_u64, BTreeSet::new())));
        let mut search = loom::model::Builder::new();
        search.preemption_bound = Some(self.preemptions);
        search.max_branches = 20_000;
        let (run, outcomes) = (self.run, Arc::clone(&seen));
        search.check(move || {
            let outcome = run();
            admit(&outcome);
            let mut seen = outcomes.lock().unwrap_or_else(PoisonError::into_inner);
            seen.0 += 1;
            seen.1.insert(outcome);
        });
        let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *seen)
    }
}

/// Runs each of `deeds` on a thread of its own, with what they share and a worker of its own that was made
/// before any of them started. Returns what they return, in their order.
pub fn together<S: Send + Sync + 'static, T: 'static>(
    domain: &Domain,
    shared: &Arc<S>,
    deeds: Vec<fn(&S, &mut Worker) -> T>,
) -> Vec<T> {
    let threads = deeds
        .into_iter()
        .map(|deed| -> Box<dyn FnOnce() -> T> {
            let (shared, mut worker) = (Arc::clone(shared), domain.worker());
            Box::new(move || deed(&shared, &mut worker))
        })
        .collect();
    race(threads)
}

/// Runs each of `threads` on a thread of its own, and returns what they return, in their order.
pub fn race<T: 'static>(threads: Vec<Box<dyn FnOnce() -> T>>) -> Vec<T> {
    let running: Vec<_> = threads
        .into_iter()
        .map(|thread| {
            loom::thread::spawn(move || {
                loom::thread::yield_now();
                thread()
            })
        })
        .collect();
    running.into_iter().map(|thread| thread.join().expect("no panic")).collect()
}
