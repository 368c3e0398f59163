//! The registry on real threads, disturbed at its atomic operations.
//!
//! ```sh
//! cargo stress                                   # a short form, with the map and the cache
//! TIDEGATE_HISTORIES=200000 TIDEGATE_OPERATIONS=1000000 cargo stress -- --nocapture
//! ```

#![cfg(stress)]

mod common;

use std::time::Duration;

use common::books::{Booked, BookedRegistry, TTL, Token};
use common::stressed::{Calls, Histories, NOW, Stops, asked};
use tidegate_core::registry::{Lookup, Peer, RegistryError};
use tidegate_core::{Budget, Domain, Guard, SeededState, Sweep, Worker};

type Books = BookedRegistry<SeededState>;

/// A call with its answer. The state of a key is the number that is there.
#[derive(Clone, Copy, Debug)]
enum Answered {
    Resolve(Option<u64>),
    /// Entered this, and says whether it took another's place.
    Advertise(u64, bool),
    /// Entered this, where nothing was.
    IfAbsent(u64),
    /// Entered nothing, because another was there.
    Taken,
    /// Entered nothing for want of room.
    Refused,
    /// Withdrew whatever was there.
    WithdrawAny(Option<u64>),
    /// Withdrew this, and says whether it was there.
    Withdraw(u64, bool),
    /// Renewed whatever was there, if so.
    RenewAny(bool),
    /// Renewed this, if it was there.
    Renew(u64, bool),
}

/// What may be under a key after a call in a registry that evicts nothing.
///
/// A service whose place another has taken lives until the call that took it has killed it: until then
/// its lease still renews and withdraws it, and it is no longer under the key.
fn exactly(state: Option<u64>, answered: &Answered) -> Vec<Option<u64>> {
    let (is_answer, next) = match *answered {
        Answered::Resolve(number) => (number == state, state),
        Answered::Advertise(number, replaced) => (!replaced || state.is_some(), Some(number)),
        Answered::IfAbsent(number) => (state.is_none(), Some(number)),
        Answered::Taken => (state.is_some(), state),
        Answered::Refused => (true, state),
        Answered::WithdrawAny(number) => (number == state, None),
        Answered::Withdraw(number, lived) => {
            (lived || state != Some(number), state.filter(|&it| it != number))
        }
        Answered::RenewAny(renewed) => (renewed == state.is_some(), state),
        Answered::Renew(number, renewed) => (renewed || state != Some(number), state),
    };
    if is_answer { vec![next] } else { vec![] }
}

/// The same in one that may evict at any time.
fn or_evicted(state: Option<u64>, answered: &Answered) -> Vec<Option<u64>> {
    let mut after = exactly(state, answered);
    after.extend(exactly(None, answered));
    after
}

fn act(
    books: &Books,
    guard: &Guard,
    what: u8,
    (key, number): (u64, u64),
    calls: &mut Calls<Answered>,
) {
    let services = books.services();
    match what % 8 {
        0 | 1 => calls.call(key, || (Answered::Resolve(books.number(key, guard)), ())),
        2 => calls.call(key, || {
            let gone = services.withdraw_any(&key, NOW, guard);
            (Answered::WithdrawAny(gone.map(Token::read)), ())
        }),
        3 => calls
            .call(key, || (Answered::RenewAny(services.renew_any(&key, NOW, guard).is_ok()), ())),
        4 => calls.call(key, || {
            let entered = services.advertise_if_absent(key, books.token(number), None, NOW, guard);
            let answered = match entered {
                Ok(_) => Answered::IfAbsent(number),
                Err(refused) if refused.error == RegistryError::Taken => Answered::Taken,
                Err(_) => Answered::Refused,
            };
            (answered, ())
        }),
        _ => {
            let lease = calls.call(key, || {
                match services.advertise(key, books.token(number), NOW, guard) {
                    Ok(lease) => (Answered::Advertise(number, lease.has_replaced()), Some(lease)),
                    Err(_) => (Answered::Refused, None),
                }
            });
            let Some(lease) = lease else { return };
            if what % 8 == 6 {
                calls.call(key, || (Answered::Renew(number, lease.renew(NOW).is_ok()), ()));
            }
            if what % 8 == 7 {
                calls.call(key, || {
                    (Answered::Withdraw(number, services.withdraw(lease, NOW, guard)), ())
                });
            }
        }
    }
}

#[test]
fn every_history_is_linearizable() {
    let histories = Histories {
        make: |domain, seed| Books::new(domain, SeededState::new(seed), usize::MAX, NOW),
        act,
        disturb: |books, guard, random| {
            // Takes out what is dead, and nothing else. It looks at the whole table.
            if random.u8(0..16) == 0 {
                books.services().prune(NOW, guard);
            }
        },
        start: None,
        after: exactly,
    };
    histories.check(asked("TIDEGATE_HISTORIES", 4_000));
}

/// A service that was evicted, replaced or withdrawn never comes back.
#[test]
fn every_history_is_linearizable_where_entries_are_evicted() {
    let histories = Histories {
        make: |domain, seed| Books::new(domain, SeededState::new(seed), 2, NOW),
        act,
        disturb: |books, guard, _| {
            books.look();
            books.services().prune(NOW, guard);
        },
        start: None,
        after: or_evicted,
    };
    histories.check(asked("TIDEGATE_HISTORIES", 4_000));
}

/// A bit of everything, so much that a thread which does it comes by every step there is.
fn everything(books: &Books, worker: &mut Worker, base: u64) {
    let mut sweep = books.sweeper(worker.domain().worker());
    let services = books.services();
    let put = |key, ttl, guard: &Guard| {
        services.advertise_for(key, books.new_token(), ttl, NOW, guard).expect("another goes")
    };
    for key in base..base + 24 {
        let guard = worker.quiescent(NOW);
        let lease = put(key, TTL, guard);
        _ = lease.renew(NOW);
        books.number(key, guard);
        // In its place; where it has gone; and where it has ended.
        let next = put(key, Duration::ZERO, guard);
        assert!(lease.renew(NOW).is_err());
        drop(lease);
        _ = services.advertise_if_absent(key, books.new_token(), None, NOW, guard);
        services.withdraw(next, NOW, guard);
        services.withdraw(put(key, TTL, guard), NOW, guard);
        drop(put(key, TTL, guard).withdraw_on_drop());
        _ = services.advertise_if_absent(key, books.new_token(), None, NOW, guard);
        _ = services.renew_any(&key, NOW, guard);
        if key % 2 == 0 {
            services.withdraw_any(&key, NOW, guard);
        }
        drop(put(key + 1, TTL, guard));
        books.look();
    }
    let guard = worker.quiescent(NOW);
    assert!(services.iter(NOW, guard).count() <= services.len());
    services.prune(NOW, guard);
    _ = (services.time(), services.len());
    // Lists: the same with their peers.
    let lists = books.discovered();
    for key in base..base + 12 {
        let guard = worker.quiescent(NOW);
        let peer = |node| vec![Peer::new(node, ()).time_to_live(TTL)];
        assert!(lists.cache(key, peer(1), None, NOW, guard).is_ok());
        assert!(lists.merge(key, peer(2), NOW, guard).is_ok());
        lists.discover(&key, Lookup::Known, NOW, guard);
        lists.last_known(&key, NOW + TTL, guard);
        if key % 3 == 0 {
            lists.forget(&key, NOW, guard);
        }
    }
    lists.prune(NOW + TTL, worker.quiescent(NOW));
    // What has ended is swept.
    for _ in 0..8 {
        sweep.sweep(NOW + 2 * TTL, Budget::entries(16));
        worker.quiescent(NOW);
    }
    if base % 200 == 0 {
        lists.clear(NOW, worker.quiescent(NOW));
    }
    for _ in 0..8 {
        worker.collect(NOW, Budget::entries(64));
    }
    drop(Books::new(worker.domain(), SeededState::new(base), 8, NOW));
}

/// Writes keys of its own, which others may evict and no other thread writes.
fn other(books: &Books, worker: &mut Worker, thread: u64, step: u64) {
    let guard = worker.quiescent(NOW);
    let (services, key) = (books.services(), thread * 500_000 + step % 1_000);
    let token = books.new_token();
    let number = token.read();
    let lease = services.advertise(key, token, NOW, guard).expect("another goes");
    books.look();
    let found = books.number(key, guard);
    assert!(found.is_none_or(|found| found == number), "{found:?} for {number}");
    let has_renewed = lease.renew(NOW).is_ok();
    assert!(found.is_some() || !has_renewed, "what was evicted is not renewed");
    let lived = services.withdraw(lease, NOW, guard);
    assert!(has_renewed || !lived, "what was evicted is not withdrawn");
    assert_eq!(books.number(key, guard), None);
}

#[test]
fn a_thread_that_stops_anywhere_stops_no_other() {
    fn make(domain: &Domain) -> Books {
        Books::new(domain, SeededState::new(1), 16, NOW)
    }
    Stops { make, everything, other }.check(80, asked("TIDEGATE_OPERATIONS", 2_000));
}
