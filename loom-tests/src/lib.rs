//! Models of tidegate's protocols, one module a module of the core and one for the runtime, and what
//! they share.
//!
//! ```sh
//! cargo loom       # every model, in both modes
//! cargo mutants    # every mutant against every model
//! ```
//!
//! Each model runs in two modes: *plain*, with stale reads, and *RMW*, without, but with every
//! interleaving in which a thread is interrupted so many times as the model says (see
//! `tidegate_core::model`). Its participants are spawned threads that begin with a yield, or that the
//! runtime spawns, because loom explores too little around the main one; and it names the outcomes
//! that must have been seen, because a search that is smaller than it looks passes everything.

#![cfg(loom)]

pub mod bucket;
pub mod cache;
pub mod flight;
#[path = "../../core/tests/identity/mod.rs"]
mod identity;
pub mod map;
pub mod reclaim;
pub mod registry;
pub mod runtime;
pub mod time;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use tidegate_core::{Domain, Worker, model};

/// One scenario, explored in all interleavings with so many preemptions.
#[derive(Clone, Copy)]
pub struct Model {
    /// What races.
    pub name: &'static str,
    /// How many times a thread may be interrupted.
    pub preemptions: usize,
    /// One execution. It asserts what must hold, and returns the outcome in words.
    pub run: fn() -> String,
    /// Outcomes that must turn up in some execution, in either mode.
    pub expected: &'static [&'static str],
    /// Further ones, which loom does not reach in plain mode.
    pub only_in_rmw: &'static [&'static str],
}

/// The models of each module of the core, and of the runtime.
pub const MODULES: &[(&str, &[Model])] = &[
    ("bucket", bucket::MODELS),
    ("cache", cache::MODELS),
    ("flight", flight::MODELS),
    ("map", map::MODELS),
    ("reclaim", reclaim::MODELS),
    ("registry", registry::MODELS),
    ("runtime", runtime::MODELS),
    ("time", time::MODELS),
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

impl Model {
    /// Explores the model; panics if anything asserted fails, or an expected outcome is missing.
    /// Outcomes are not expected of a mutant: what kills it must be that something went wrong.
    pub fn check(&self, mode: Mode, mutant: Option<(model::Place, model::Weakening)>) {
        model::configure(mode == Mode::Rmw, mutant);
        let seen = Arc::new(Mutex::new((0_u64, BTreeSet::new())));
        let mut search = loom::model::Builder::new();
        search.preemption_bound = Some(self.preemptions);
        search.max_branches = 20_000;
        let (run, outcomes) = (self.run, Arc::clone(&seen));
        search.check(move || {
            let outcome = run();
            let mut seen = outcomes.lock().unwrap_or_else(PoisonError::into_inner);
            seen.0 += 1;
            seen.1.insert(outcome);
        });
        let seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
        println!("{} {mode:?}: {} executions, outcomes {:?}", self.name, seen.0, seen.1);
        if mutant.is_some() {
            return;
        }
        let rest = if mode == Mode::Rmw { self.only_in_rmw } else { &[] };
        for expected in self.expected.iter().chain(rest) {
            assert!(seen.1.contains(*expected), "{}: never saw {expected:?}", self.name);
        }
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
