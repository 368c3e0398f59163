//! The cache on real threads, disturbed at its atomic operations.
//!
//! ```sh
//! cargo stress                                   # a short form, with the map and the registry
//! TIDEGATE_HISTORIES=200000 TIDEGATE_OPERATIONS=1000000 cargo stress -- --nocapture
//! ```

#![cfg(stress)]

mod common;

use common::books::{Booked, BookedCache, TTL, Token};
use common::stressed::{Calls, Histories, NOW, Stops, asked};
use tidegate_core::cache::{Insert, Load};
use tidegate_core::flight::Caller;
use tidegate_core::{Budget, Domain, Guard, SeededState, Sweep, Tier, Tiers, Worker};

type Books = BookedCache<SeededState>;

fn caller(number: u64) -> Caller {
    Caller(number as u32)
}

/// A call with its answer.
#[derive(Clone, Copy, Debug)]
enum Answered {
    Get(Option<u64>),
    Insert(u64),
    /// Inserted nothing, and left nothing.
    Refused,
    Invalidate(Option<u64>),
    /// What a writer does first: a load in progress is not stored.
    Detach,
    /// A load that found a value.
    Hit(u64),
    /// One that is to load this.
    Lead(u64),
    /// One that has loaded this.
    Complete(u64),
    /// Another loads.
    Left,
}

/// What is under a key, and what is being loaded.
type State = (Option<u64>, Option<u64>);

/// What may be under a key after a call in a cache that evicts nothing by itself.
fn exactly(state: State, answered: &Answered) -> Vec<State> {
    let mut after = once(state, answered);
    // What is being loaded takes the place of what is there before it is shown.
    if let (Some(_), Some(_)) = state {
        after.extend(once((None, state.1), answered));
    }
    after
}

/// The same in one that may evict at any time.
fn or_evicted(state: State, answered: &Answered) -> Vec<State> {
    let mut after = once(state, answered);
    after.extend(once((None, state.1), answered));
    after
}

fn once(state: State, answered: &Answered) -> Vec<State> {
    let (there, loading) = state;
    let if_found = |answer: Option<u64>, next: State| -> Vec<State> {
        if answer == there { vec![next] } else { vec![] }
    };
    match *answered {
        Answered::Get(answer) => if_found(answer, state),
        Answered::Hit(answer) => if_found(Some(answer), state),
        Answered::Insert(value) => vec![(Some(value), loading)],
        Answered::Refused => vec![(None, loading)],
        Answered::Invalidate(answer) => if_found(answer, (None, loading)),
        Answered::Detach => vec![(there, None)],
        Answered::Lead(value) => vec![(there, Some(value))],
        Answered::Complete(value) if loading == Some(value) => vec![(Some(value), None)],
        // What is late is not stored.
        Answered::Complete(_) | Answered::Left => vec![state],
    }
}

fn act(
    books: &Books,
    guard: &Guard,
    what: u8,
    (key, value): (u64, u64),
    calls: &mut Calls<Answered>,
) {
    match what % 8 {
        0..3 => calls.call(key, || (Answered::Get(books.number(key, guard)), ())),
        3..5 => {
            calls.call(key, || {
                let is_stored = books.put(key, value, guard);
                (if is_stored { Answered::Insert(value) } else { Answered::Refused }, ())
            });
            calls.also(Answered::Detach);
        }
        5 => {
            calls.call(key, || {
                let gone = books.invalidate(&key, NOW, guard);
                (Answered::Invalidate(gone.map(Token::read)), ())
            });
            calls.also(Answered::Detach);
        }
        _ => {
            let loading = calls.call(key, || match books.load(&key, caller(value), NOW, guard) {
                Ok(Load::Hit(token)) => (Answered::Hit(token.read()), None),
                Ok(Load::Lead(loading)) => (Answered::Lead(value), Some(loading)),
                Ok(Load::Stale(..)) => unreachable!("nothing is old"),
                Ok(Load::Wait(_)) | Err(_) => (Answered::Left, None),
            });
            if let Some(loading) = loading {
                calls.call(key, || {
                    assert!(loading.complete(books.token(value), NOW, guard).is_ok());
                    (Answered::Complete(value), ())
                });
            }
        }
    }
}

fn disturb(books: &Books, guard: &Guard, random: &mut fastrand::Rng) {
    books.look();
    _ = books.hold(&random.u64(0..1_500), NOW, guard);
}

#[test]
fn every_history_is_linearizable() {
    let histories = Histories {
        make: |domain, seed| Books::new(domain, SeededState::new(seed), u64::MAX / 4, NOW),
        act,
        disturb,
        start: (None, None),
        after: exactly,
    };
    histories.check(asked("TIDEGATE_HISTORIES", 4_000));
}

/// A value that was evicted, replaced or invalidated never comes back.
#[test]
fn every_history_is_linearizable_where_entries_are_evicted() {
    let histories = Histories {
        make: |domain, seed| Books::new(domain, SeededState::new(seed), 6, NOW),
        act,
        disturb: |books, guard, random| {
            books.look();
            _ = books.evict_bytes(random.u64(0..4), Tiers::ALL, NOW, guard);
        },
        start: (None, None),
        after: or_evicted,
    };
    histories.check(asked("TIDEGATE_HISTORIES", 4_000));
}

/// A bit of everything, so much that a thread which does it comes by every step there is.
fn everything(books: &Books, worker: &mut Worker, base: u64) {
    let mut sweep = books.sweeper(worker.domain().worker());
    for key in base..base + 24 {
        let insert = Insert::new().tier(Tier::new((key % 3) as u8));
        _ = books.insert_with(key, books.token(key), insert, NOW, worker.quiescent(NOW));
        books.look();
    }
    for key in base..base + 24 {
        let guard = worker.quiescent(NOW);
        books.number(key, guard);
        // Held while it is replaced, and while the cache evicts.
        let held = books.hold(&key, NOW, guard);
        books.put(key, key + 1, guard);
        let again = books.hold(&key, NOW, guard).map(|held| held.into_owned());
        books.put(key + 1, key + 1, guard);
        drop(held);
        drop(again);
    }
    for key in base..base + 8 {
        let guard = worker.quiescent(NOW);
        books.invalidate(&key, NOW, guard);
        // Loaded for one that waits; then given up; then failed.
        let Ok(Load::Lead(loading)) = books.load(&key, caller(base), NOW, guard) else { continue };
        let waits = books.load(&key, caller(base + 1), NOW, guard);
        if key % 4 == 0 {
            books.put(key, key, guard);
        }
        _ = loading.complete(books.token(key), NOW, guard);
        if let Ok(Load::Wait(follower)) = waits {
            assert!(follower.result().is_some());
        }
        books.invalidate(&key, NOW, guard);
        drop(books.load(&key, caller(base), NOW, guard));
        if let Ok(Load::Lead(loading)) = books.load(&key, caller(base), NOW, guard) {
            _ = loading.fail(7, NOW, guard);
        }
    }
    let guard = worker.quiescent(NOW);
    _ = books.evict_bytes(9, Tiers::of(&[Tier::new(1)]), NOW, guard);
    _ = books.evict_bytes(3, Tiers::ALL, NOW, guard);
    // What is stale is loaded anew, and what is older is swept.
    for key in base + 8..base + 16 {
        let guard = worker.quiescent(NOW);
        books.put(key, key, guard);
        if let Ok(Load::Stale(_, Some(loading))) = books.load(&key, caller(base), NOW + TTL, guard)
        {
            _ = loading.complete(books.token(key), NOW, guard);
        }
    }
    for age in [1, 3] {
        for _ in 0..8 {
            sweep.sweep(NOW + age * TTL, Budget::entries(16));
            worker.quiescent(NOW);
        }
        books.put(base, base, worker.quiescent(NOW));
    }
    if base % 200 == 0 {
        books.invalidate_all(NOW, worker.quiescent(NOW));
    }
    for _ in 0..8 {
        worker.collect(NOW, Budget::entries(64));
    }
    drop(Books::new(worker.domain(), SeededState::new(base), 8, NOW));
}

/// Writes keys of its own, which others may evict and no other thread writes.
fn other(books: &Books, worker: &mut Worker, thread: u64, step: u64) {
    let guard = worker.quiescent(NOW);
    let key = thread * 500_000 + step % 1_000;
    books.put(key, step, guard);
    books.look();
    let number = books.number(key, guard);
    assert!(number.is_none_or(|number| number == step), "{number:?} at {step}");
    let gone = books.invalidate(&key, NOW, guard).map(Token::read);
    assert!(gone.is_none_or(|number| number == step), "{gone:?} at {step}");
    assert_eq!(books.number(key, guard), None);
}

#[test]
fn a_thread_that_stops_anywhere_stops_no_other() {
    fn make(domain: &Domain) -> Books {
        Books::new(domain, SeededState::new(1), 16, NOW)
    }
    Stops { make, everything, other }.check(100, asked("TIDEGATE_OPERATIONS", 2_000));
}
