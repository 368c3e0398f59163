//! The registry under random schedules that can be replayed: more threads and longer scenarios than the
//! models can exhaust.
//!
//! ```sh
//! cargo shuttle                                   # a short form, with the map and the cache
//! TIDEGATE_SCHEDULES=100000 cargo shuttle         # the long one
//! ```
//!
//! Each scenario puts roles together, one a thread. There are never more entries than there may be. Each
//! arrival is told once, each departure once and after it, and at the end arrivals less departures are
//! what lives.

#![cfg(shuttle)]

mod common;

use std::sync::Arc;
use std::time::Duration;

use common::books::{Booked, BookedRegistry, TTL};
use common::identity::Identity;
use common::shuttled::{NOW, Scenario, Setting, domain, few_preemptions, play, random};
use tidegate_core::registry::Peer;
use tidegate_core::{Budget, Sweep, Worker};

type Books = BookedRegistry<Identity>;

/// Advertised by many.
const SHARED: [u64; 2] = [200, 201];
/// The list that each peer is merged into.
const LIST: u64 = 300;
const STEPS: u64 = 6;

fn shared(thread: u64, step: u64) -> u64 {
    SHARED[((thread + step) % 2) as usize]
}

/// Advertises a key of its own again and again where no entry is evicted: it is there all the while.
fn tenant(books: &Books, worker: &mut Worker, thread: u64) {
    let services = books.services();
    let mut lease = None;
    for _ in 0..STEPS {
        let guard = worker.quiescent(NOW);
        let token = books.new_token();
        let number = token.read();
        let next = services.advertise(thread, token, NOW, guard).expect("room");
        assert_eq!(books.number(thread, guard), Some(number));
        assert_eq!(next.renew(NOW), Ok(()));
        assert_eq!(services.renew_any(&thread, NOW, guard), Ok(()));
        assert_eq!(next.has_replaced(), lease.is_some());
        if let Some(last) = lease.replace(next) {
            assert!(last.renew(NOW).is_err(), "it is replaced");
            assert!(!services.withdraw(last, NOW, guard));
        }
    }
    let guard = worker.quiescent(NOW);
    let lease = lease.expect("advertised");
    if thread % 2 == 0 {
        assert!(services.withdraw(lease, NOW, guard));
    } else {
        drop(lease.withdraw_on_drop());
    }
    assert_eq!(books.number(thread, guard), None);
}

/// Advertises the shared keys, and keeps the lease, drops it, or withdraws.
fn rival(books: &Books, worker: &mut Worker, thread: u64) {
    let services = books.services();
    let mut leases = Vec::new();
    for step in 0..STEPS {
        let guard = worker.quiescent(NOW);
        let lease = services.advertise(shared(thread, step), books.new_token(), NOW, guard);
        let lease = lease.expect("room");
        books.look();
        match step % 3 {
            0 => leases.push(lease.withdraw_on_drop()),
            1 => _ = services.withdraw(lease, NOW, guard),
            _ => drop(lease),
        }
        worker.offline(|| leases.iter().for_each(|lease| _ = lease.renew(NOW)));
    }
}

/// Advertises the shared keys where no service has them.
fn absentee(books: &Books, worker: &mut Worker, thread: u64) {
    let services = books.services();
    for step in 0..STEPS {
        let guard = worker.quiescent(NOW);
        let (key, token) = (shared(thread, step), books.new_token());
        if let Ok(lease) = services.advertise_if_absent(key, token, None, NOW, guard) {
            assert!(!lease.has_replaced(), "none is displaced");
            services.withdraw(lease, NOW, guard);
        }
    }
}

/// Advertises the shared keys for no time, so that they are there to be pruned.
fn mayfly(books: &Books, worker: &mut Worker, thread: u64) {
    for step in 0..STEPS {
        let guard = worker.quiescent(NOW);
        let (key, token) = (shared(thread, step), books.new_token());
        let number = token.read();
        let lease = books.services().advertise_for(key, token, Duration::ZERO, NOW, guard);
        // Others may take each room that it makes, and then it is refused.
        assert!(lease.is_ok_and(|lease| lease.renew(NOW).is_err()) || books.is_tight());
        assert_ne!(books.number(key, guard), Some(number), "it has ended");
    }
}

/// Removes whatever has the shared keys.
fn remover(books: &Books, worker: &mut Worker, thread: u64) {
    for step in 0..STEPS {
        let guard = worker.quiescent(NOW);
        let key = shared(thread, step);
        _ = books.services().renew_any(&key, NOW, guard);
        _ = books.services().withdraw_any(&key, NOW, guard).map(|token| token.read());
    }
}

fn pruner(books: &Books, worker: &mut Worker, _: u64) {
    for _ in 0..STEPS {
        books.services().prune(NOW, worker.quiescent(NOW));
        worker.collect(NOW, Budget::entries(4));
        books.look();
    }
}

fn sweeper(books: &Books, worker: &mut Worker, _: u64) {
    let mut sweep = books.sweeper(worker.domain().worker());
    for _ in 0..STEPS {
        sweep.sweep(NOW, Budget::entries(3));
        books.look();
    }
}

/// Advertises a new key each time, which another must make room for.
fn newcomer(books: &Books, worker: &mut Worker, thread: u64) {
    for step in 0..STEPS {
        let guard = worker.quiescent(NOW);
        let (key, token) = (thread * 10 + step, books.new_token());
        let number = token.read();
        drop(books.services().advertise_for(key, token, TTL * (1 + step as u32), NOW, guard));
        books.look();
        let found = books.number(key, guard);
        assert!(found.is_none_or(|found| found == number), "{found:?}");
    }
}

/// Merges a node of its own into the one list, where it then is.
fn merger(books: &Books, worker: &mut Worker, thread: u64) {
    let lists = books.discovered();
    for _ in 0..STEPS / 2 {
        let guard = worker.quiescent(NOW);
        assert!(lists.merge(LIST, vec![Peer::new(thread, ())], NOW, guard).is_ok());
        let peers = lists.get(&LIST, NOW, guard).expect("it was merged");
        assert!(peers.iter().any(|peer| peer.node == thread), "hidden by another");
    }
}

/// Keeps and forgets lists of other keys.
fn lister(books: &Books, worker: &mut Worker, thread: u64) {
    let lists = books.discovered();
    for step in 0..STEPS {
        let guard = worker.quiescent(NOW);
        let key = shared(thread, step);
        assert!(lists.cache(key, vec![Peer::new(step, ())], None, NOW, guard).is_ok());
        if step % 2 == 1 {
            lists.forget(&key, NOW, guard);
        }
        lists.prune(NOW, guard);
        books.look();
    }
}

/// Each must be different from the others in what it races.
static SCENARIOS: [Scenario<Books>; 12] = [
    Scenario::wide("tenants", &[tenant, tenant, tenant]),
    Scenario::wide("tenants beside rivals and a pruner", &[tenant, rival, rival, pruner]),
    Scenario::wide("rivals of the same keys", &[rival, rival, rival]),
    Scenario::wide("rivals and removers", &[rival, rival, remover, remover]),
    Scenario::wide("newcomers where no service is", &[absentee, absentee, rival, remover]),
    Scenario::wide("what ends at once, and pruners", &[mayfly, mayfly, pruner, pruner]),
    Scenario::wide("where something has ended", &[mayfly, absentee, absentee, sweeper]),
    Scenario::wide("lists", &[merger, merger, lister, sweeper]),
    Scenario::tight("newcomers who need room", &[newcomer, newcomer, newcomer]),
    Scenario::tight("newcomers beside pruners", &[newcomer, newcomer, mayfly, pruner]),
    Scenario::tight("newcomers beside removers", &[newcomer, absentee, remover, sweeper]),
    Scenario::wide("everybody", &[tenant, rival, absentee, mayfly, remover, sweeper]),
];

fn run(scenario: &Scenario<Books>) {
    let domain = domain();
    let most = if scenario.setting == Setting::Tight { 2 } else { usize::MAX };
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
