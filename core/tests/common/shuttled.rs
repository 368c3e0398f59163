//! What the tests under `--cfg shuttle` share: scenarios of roles, one a thread, under random schedules
//! that can be replayed.

use std::sync::Arc;

use shuttle::scheduler::{PctScheduler, RandomScheduler};
use shuttle::{Config, Runner, thread};
use tidegate_core::{Domain, Instant, Worker};

pub(crate) const NOW: Instant = Instant::from_secs(1_000);

/// What a thread does with what all of them share. Its number differs from that of the others.
pub(crate) type Role<W> = fn(&W, &mut Worker, u64);

/// Roles that are played together, each of them on a thread.
pub(crate) struct Scenario<W: 'static> {
    pub(crate) name: &'static str,
    pub(crate) setting: Setting,
    pub(crate) roles: &'static [Role<W>],
}

impl<W> Scenario<W> {
    /// A scenario of a structure with tight bounds.
    pub(crate) const fn tight(name: &'static str, roles: &'static [Role<W>]) -> Self {
        Self { name, setting: Setting::Tight, roles }
    }

    /// A scenario of a structure without bounds.
    pub(crate) const fn wide(name: &'static str, roles: &'static [Role<W>]) -> Self {
        Self { name, setting: Setting::Wide, roles }
    }
}

/// What a scenario's structure is like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Setting {
    /// Bounded so tightly that entries are evicted all the time.
    Tight,
    /// Without bounds.
    Wide,
}

/// A domain in which guards stay. Here every access is sequentially consistent, and orders what
/// elsewhere takes a barrier on all threads.
pub(crate) fn domain() -> Domain {
    // SAFETY: as said.
    unsafe { Domain::builder().barrier(|| ()) }.build()
}

/// Plays the roles to their end.
pub(crate) fn play<W: Send + Sync + 'static>(domain: &Domain, world: &Arc<W>, roles: &[Role<W>]) {
    let threads: Vec<_> = (1..)
        .zip(roles)
        .map(|(number, &role)| {
            let (world, mut worker) = (Arc::clone(world), domain.worker());
            thread::spawn(move || role(&world, &mut worker, number))
        })
        .collect();
    for thread in threads {
        thread.join().expect("no panic");
    }
}

/// How many schedules there are of each scenario.
pub(crate) fn schedules(otherwise: usize) -> usize {
    let asked = std::env::var("TIDEGATE_SCHEDULES").ok().and_then(|text| text.parse().ok());
    asked.unwrap_or(otherwise)
}

fn config() -> Config {
    let mut config = Config::new();
    // A cache and a registry are large, and are made on the stack.
    config.stack_size = 1 << 18;
    config
}

/// Runs each scenario under `TIDEGATE_SCHEDULES` random schedules, or the default number of them.
pub(crate) fn random<W>(
    scenarios: &'static [Scenario<W>],
    run: fn(&Scenario<W>),
    otherwise: usize,
) {
    for scenario in scenarios {
        println!("{}", scenario.name);
        let scheduler = RandomScheduler::new(schedules(otherwise) / 2);
        Runner::new(scheduler, config()).run(move || run(scenario));
    }
}

/// Runs each scenario under schedules of few preemptions.
pub(crate) fn few_preemptions<W>(
    scenarios: &'static [Scenario<W>],
    run: fn(&Scenario<W>),
    otherwise: usize,
) {
    for scenario in scenarios {
        println!("{}", scenario.name);
        let scheduler = PctScheduler::new(3, schedules(otherwise) / 2);
        Runner::new(scheduler, config()).run(move || run(scenario));
    }
}
