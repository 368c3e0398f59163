//! The cache under random schedules that can be replayed: more threads and longer scenarios than the
//! models can exhaust.
//!
//! ```sh
//! cargo shuttle                                   # a short form, with the map and the registry
//! TIDEGATE_SCHEDULES=100000 cargo shuttle         # the long one
//! ```
//!
//! Each scenario puts roles together, one a thread. The bounds hold at every look. At the end
//! what is reserved is what is there, each removal was told of once, and each value is dropped once.

#![cfg(shuttle)]

mod common;

use std::sync::Arc;

use common::books::{Booked, BookedCache, TTL, Token};
use common::identity::Identity;
use common::shuttled::{NOW, Scenario, Setting, domain, few_preemptions, play, random};
use tidegate_core::cache::Load;
use tidegate_core::flight::Caller;
use tidegate_core::{Budget, Sweep, Tiers, Worker};

type Books = BookedCache<Identity>;

/// Written by many.
const SHARED: [u64; 2] = [200, 201];
const STEPS: u64 = 6;

fn shared(thread: u64, step: u64) -> u64 {
    SHARED[((thread + step) % 2) as usize]
}

fn number(thread: u64, step: u64) -> u64 {
    thread * 1_000 + step
}

/// Writes keys of its own, which may be evicted, and are never anything else than what it wrote.
fn owner(books: &Books, worker: &mut Worker, thread: u64) {
    for step in 0..STEPS {
        let guard = worker.quiescent(NOW);
        let (key, number) = (thread * 10 + step % 2, number(thread, step));
        books.put(key, number, guard);
        books.look();
        let found = books.number(key, guard);
        assert!(found.is_none_or(|found| found == number), "{found:?}");
        if step % 3 == 2 {
            let gone = books.invalidate(&key, NOW, guard).map(Token::read);
            assert!(gone.is_none_or(|gone| gone == number), "{gone:?}");
            assert_eq!(books.number(key, guard), None);
        }
    }
}

/// The same where nothing is evicted and nothing expires.
fn resident(books: &Books, worker: &mut Worker, thread: u64) {
    for step in 0..STEPS {
        let guard = worker.quiescent(NOW);
        let (key, number) = (thread * 10 + step % 2, number(thread, step));
        assert!(books.put(key, number, guard));
        assert_eq!(books.number(key, guard), Some(number));
        if step % 3 == 2 {
            assert_eq!(books.invalidate(&key, NOW, guard).map(Token::read), Some(number));
            assert_eq!(books.number(key, guard), None);
        }
    }
}

/// Writes the shared keys.
fn writer(books: &Books, worker: &mut Worker, thread: u64) {
    for step in 0..STEPS {
        let guard = worker.quiescent(NOW);
        books.put(shared(thread, step), number(thread, step), guard);
        books.look();
    }
}

/// Invalidates the shared keys, or all.
fn invalidator(books: &Books, worker: &mut Worker, thread: u64) {
    for step in 0..STEPS {
        let guard = worker.quiescent(NOW);
        if step == STEPS / 2 {
            books.invalidate_all(NOW, guard);
        }
        books.invalidate(&shared(thread, step), NOW, guard);
        books.look();
    }
}

/// Holds the shared entries beyond the guard under which it found them.
fn holder(books: &Books, worker: &mut Worker, thread: u64) {
    let mut held = Vec::new();
    for step in 0..STEPS {
        let guard = worker.quiescent(NOW);
        if let Some(entry) = books.hold(&shared(thread, step), NOW, guard) {
            let number = entry.read();
            held.push((entry, number));
        }
        if step % 2 == 1 && !held.is_empty() {
            let (entry, number) = held.swap_remove(0);
            assert_eq!(entry.read(), number);
            drop(entry.into_owned());
        }
        books.look();
        worker.collect(NOW, Budget::entries(4));
    }
    assert!(held.iter().all(|(entry, number)| entry.read() == *number));
}

/// Loads the shared keys, and completes, fails or gives up.
fn loader(books: &Books, worker: &mut Worker, thread: u64) {
    for step in 0..STEPS {
        let guard = worker.quiescent(NOW);
        let caller = Caller(thread as u32);
        match books.load(&shared(thread, step), caller, NOW, guard) {
            Ok(Load::Lead(loading)) => match step % 3 {
                0 => _ = loading.fail(7, NOW, guard),
                1 if thread % 2 == 0 => drop(loading),
                _ => {
                    let loaded = loading.complete(books.token(number(thread, step)), NOW, guard);
                    assert_eq!(loaded.map(|it| it.read()).ok(), Some(number(thread, step)));
                }
            },
            Ok(Load::Hit(token)) => _ = token.read(),
            Ok(Load::Stale(token, loading)) => drop((token.read(), loading)),
            Ok(Load::Wait(follower)) => {
                if let Some(Ok(token)) = follower.result() {
                    token.read();
                }
            }
            Err(_) => {}
        }
        books.look();
    }
}

/// Evicts as if memory were short.
fn evicter(books: &Books, worker: &mut Worker, _: u64) {
    for _ in 0..STEPS {
        let evicted = books.evict_bytes(2, Tiers::ALL, NOW, worker.quiescent(NOW));
        assert!(evicted.bytes <= 4, "{evicted:?}");
        books.look();
    }
}

/// Sweeps as if all had expired, and frees.
fn sweeper(books: &Books, worker: &mut Worker, _: u64) {
    let mut sweep = books.sweeper(worker.domain().worker());
    for _ in 0..STEPS {
        sweep.sweep(NOW + 3 * TTL, Budget::entries(3));
        books.look();
    }
}

/// Each must be different from the others in what it races.
static SCENARIOS: [Scenario<Books>; 12] = [
    Scenario::tight("four owners", &[owner, owner, owner, owner]),
    Scenario::tight("writers of the same keys", &[writer, writer, writer]),
    Scenario::tight("writers while others hold", &[writer, writer, holder, holder]),
    Scenario::tight("writers while it is evicted and swept", &[writer, owner, evicter, sweeper]),
    Scenario::tight("holders while it is evicted", &[holder, writer, evicter, evicter]),
    Scenario::tight("loaders of the same keys", &[loader, loader, loader]),
    Scenario::tight("loaders beside writers", &[loader, loader, writer, invalidator]),
    Scenario::tight("loaders while it is swept", &[loader, loader, sweeper, holder]),
    Scenario::wide("residents", &[resident, resident, writer, invalidator_of_the_shared]),
    Scenario::wide("residents beside loaders and holders", &[resident, resident, loader, holder]),
    Scenario::wide("loaders that are invalidated", &[loader, loader, invalidator, holder]),
    Scenario::tight("everybody", &[owner, writer, invalidator, holder, loader, sweeper]),
];

/// Invalidates the shared keys only.
fn invalidator_of_the_shared(books: &Books, worker: &mut Worker, thread: u64) {
    for step in 0..STEPS {
        books.invalidate(&shared(thread, step), NOW, worker.quiescent(NOW));
    }
}

fn run(scenario: &Scenario<Books>) {
    let domain = domain();
    let most = if scenario.setting == Setting::Tight { 3 } else { u64::MAX / 4 };
    let books = Arc::new(Books::new(&domain, Identity::default(), most, NOW));
    let alive = books.alive().clone();
    play(&domain, &books, scenario.roles);
    books.close(&mut domain.worker());
    drop(books);
    drop(domain);
    assert_eq!(alive.count(), 0, "each value is dropped once");
}

#[test]
fn every_scenario_holds_under_random_schedules() {
    random(&SCENARIOS, run, 800);
}

#[test]
fn every_scenario_holds_under_schedules_of_few_preemptions() {
    few_preemptions(&SCENARIOS, run, 800);
}
