//! Panics of other people's code in the registry: of `Hash`, `Eq` and `Clone` of keys and nodes, and of hooks.
//! Each operation is run once for each call that it makes of such code, which then panics: no place of
//! `max_entries` is lost by it, nothing is told of twice, and nothing is kept for ever.

mod common;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use common::fuse::{Coarse, Key, burn, lit};
use common::memory::free_all;
use tidegate_core::registry::{Peer, Terms, WhenFull};
use tidegate_core::{Budget, Domain, Guard, Instant, Registry, Sweep, Worker};

type Token = Arc<u32>;
type Services = Registry<Key, Token, Key, (), Coarse>;
type Told = Arc<Mutex<Vec<u32>>>;

const NOW: Instant = Instant::from_secs(1_000);
const TTL: Duration = Duration::from_secs(300);
const END: Instant = Instant::from_secs(1_300);
const MOST: usize = 3;

fn peers() -> Vec<Peer<Key, ()>> {
    (0..2).map(|node| Peer::new(Key(node), ())).collect()
}

fn services(when_full: WhenFull) -> (Services, Worker, Told) {
    let domain = Domain::new();
    let told = Told::default();
    let tells = Arc::clone(&told);
    let terms = || Terms::new(TTL).max_entries(MOST, when_full);
    let registry = Registry::builder()
        .services(terms())
        .discovered(terms())
        .subscribers(terms())
        .on_service(move |_: &Key, value: &Token, _| {
            tells.lock().expect("no panic under it").push(**value);
            burn();
        })
        .on_service_arrival(|_, _, _| burn())
        .on_discovered(|_, _, _| burn())
        .on_discovered_arrival(|_, _, _| burn())
        .build(&domain, Coarse)
        .expect("memory");
    (registry, domain.worker(), told)
}

type Deed = fn(&Services, &Guard, &Token);

const DEEDS: &[(&str, Deed)] = &[
    ("a newcomer", |it, guard, new| {
        _ = it.services().advertise(Key(7), Token::clone(new), NOW, guard)
    }),
    ("a successor", |it, guard, new| {
        _ = it.services().advertise(Key(0), Token::clone(new), NOW, guard)
    }),
    ("a successor of what has expired", |it, guard, new| {
        _ = it.services().advertise(Key(0), Token::clone(new), END, guard);
    }),
    ("if absent", |it, guard, new| {
        _ = it.services().advertise_if_absent(Key(7), Token::clone(new), None, NOW, guard);
    }),
    ("if absent, and it has expired", |it, guard, new| {
        _ = it.services().advertise_if_absent(Key(0), Token::clone(new), None, END, guard);
    }),
    ("a successor that is withdrawn", |it, guard, new| {
        if let Ok(lease) = it.services().advertise(Key(0), Token::clone(new), NOW, guard) {
            it.services().withdraw(lease, NOW, guard);
        }
    }),
    ("a successor that withdraws itself", |it, guard, new| {
        if let Ok(lease) = it.services().advertise(Key(0), Token::clone(new), NOW, guard) {
            drop(lease.withdraw_on_drop());
        }
    }),
    ("a renewal", |it, guard, _| _ = it.services().renew_any(&Key(2), NOW, guard)),
    ("a withdrawal", |it, guard, _| _ = it.services().withdraw_any(&Key(2), NOW, guard)),
    ("a look", |it, guard, _| _ = it.services().resolve(&Key(2), NOW, guard)),
    ("pruning", |it, guard, _| _ = it.prune_all(END, guard)),
    ("a list", |it, guard, _| _ = it.discovered().cache(Key(7), peers(), None, NOW, guard)),
    ("a list in place of one", |it, guard, _| {
        _ = it.discovered().cache(Key(0), peers(), None, NOW, guard);
    }),
    ("a list merged", |it, guard, _| _ = it.discovered().merge(Key(0), peers(), NOW, guard)),
    ("a list merged of subscribers", |it, guard, _| {
        _ = it.subscribers().merge(Key(7), peers(), NOW, guard);
    }),
    ("a list forgotten", |it, guard, _| _ = it.discovered().forget(&Key(0), NOW, guard)),
    ("all lists forgotten", |it, guard, _| {
        it.discovered().clear(NOW, guard);
        it.subscribers().clear(NOW, guard);
    }),
];

/// What must hold when a call has panicked, or has not.
fn check(registry: &Services, told: &Told, guard: &Guard, case: &str) {
    // What is dead goes, and nothing else, for it is early.
    registry.prune_all(Instant::ORIGIN, guard);
    let there = registry.services().iter(Instant::ORIGIN, guard).count();
    assert_eq!(
        registry.services().len(),
        there,
        "{case}: a service's place is lost, or counted twice"
    );
    let mut once = told.lock().expect("no panic under it").clone();
    let all = once.len();
    once.sort_unstable();
    once.dedup();
    assert_eq!(once.len(), all, "{case}: told of twice");
    // There is room for as many as there should be, and no more.
    let room = |enter: &dyn Fn(Key) -> bool| (100..110).filter(|&key| enter(Key(key))).count();
    let token = Token::new(0);
    let services =
        room(&|key| registry.services().advertise(key, token.clone(), END, guard).is_ok());
    let discovered = registry.discovered().len();
    let lists = room(&|key| registry.discovered().cache(key, peers(), None, NOW, guard).is_ok());
    let subscribed = registry.subscribers().len();
    let topics = room(&|key| registry.subscribers().cache(key, peers(), None, NOW, guard).is_ok());
    let room = [there + services, discovered + lists, subscribed + topics];
    assert_eq!(room, [MOST; 3], "{case}: places are lost");
}

#[test]
fn no_place_is_lost_wherever_other_peoples_code_panics() {
    let mut panics = 0;
    for when_full in [WhenFull::Refuse, WhenFull::EvictSoonest] {
        for (name, deed) in DEEDS {
            for fuse in 0.. {
                let (registry, mut worker, told) = services(when_full);
                let guard = worker.quiescent(NOW);
                let filled = if when_full == WhenFull::Refuse { 1..3 } else { 0..3 };
                let tokens: Vec<_> = filled.map(Token::new).collect();
                for token in &tokens {
                    let key = || Key(**token);
                    let entered =
                        registry.services().advertise(key(), Token::clone(token), NOW, guard);
                    drop(entered.expect("room"));
                    assert!(registry.discovered().cache(key(), peers(), None, NOW, guard).is_ok());
                    assert!(registry.subscribers().cache(key(), peers(), None, NOW, guard).is_ok());
                }
                let new = Token::new(7);
                let (end, is_over) = lit(fuse, || deed(&registry, guard, &new));
                let case = format!("{when_full:?}, {name}, at call {fuse}");
                if when_full == WhenFull::Refuse {
                    check(&registry, &told, guard, &case);
                } else {
                    assert!(registry.services().len() <= MOST, "{case}");
                }
                // Whatever was entered is freed, once all is gone.
                drop(registry);
                free_all(&mut worker, NOW);
                for token in tokens.iter().chain([&new]) {
                    assert_eq!(Arc::strong_count(token), 1, "{case}: kept for ever");
                }
                panics += u32::from(end.is_none());
                if is_over {
                    break;
                }
            }
        }
    }
    assert!(panics > 100, "only {panics}");
}

/// A full registry that evicts: after a panic newcomers still find room by evicting, and the count is exact.
#[test]
fn no_place_is_lost_where_room_is_being_made() {
    for fuse in 0..60 {
        let (registry, mut worker, told) = services(WhenFull::EvictSoonest);
        let guard = worker.quiescent(NOW);
        let mut next = 0..;
        let mut enter = || {
            let number = next.next().expect("numbers");
            let ttl = TTL + Duration::from_secs(u64::from(number));
            registry
                .services()
                .advertise_for(Key(number), Token::new(number), ttl, NOW, guard)
                .is_ok()
        };
        for _ in 0..MOST {
            assert!(enter());
        }
        lit(fuse, &mut enter);
        for _ in 0..4 * MOST {
            assert!(enter(), "at call {fuse}");
            assert_eq!(registry.services().iter(NOW, guard).count(), registry.services().len());
        }
        assert_eq!(registry.services().len(), MOST, "at call {fuse}");
        let mut numbers = told.lock().expect("no panic under it").clone();
        numbers.extend(registry.services().iter(NOW, guard).map(|(_, value)| **value));
        numbers.sort_unstable();
        let all = numbers.len();
        numbers.dedup();
        assert_eq!(numbers.len(), all, "at call {fuse}: told of twice");
    }
}

/// A step of a sweep that panics in the middle loses no place either.
#[test]
fn no_place_is_lost_in_a_sweep() {
    for fuse in 0..MOST as u32 + 1 {
        let (registry, worker, told) = services(WhenFull::Refuse);
        for key in 0..MOST as u32 {
            let entered =
                registry.services().advertise(Key(key), Token::new(key), NOW, &worker.pin());
            drop(entered.expect("room"));
        }
        let mut sweep = registry.sweeper(worker.domain().worker());
        lit(fuse, || sweep.sweep(END, Budget::UNLIMITED));
        while !sweep.sweep(END, Budget::UNLIMITED).wrapped {}
        sweep.sweep(END, Budget::UNLIMITED);
        assert_eq!(registry.services().len(), 0, "at call {fuse}");
        let mut told = told.lock().expect("no panic under it").clone();
        told.sort_unstable();
        assert_eq!(told, (0..MOST as u32).collect::<Vec<_>>(), "at call {fuse}");
        check(&registry, &Told::default(), &worker.pin(), "after a sweep");
    }
}

/// `advertise` returns a lease, or nothing lives that it has entered: a service without a lease could be neither
/// renewed nor withdrawn by the caller that was told of nothing.
#[test]
fn what_was_entered_is_gone_if_the_hook_panics() {
    let (registry, mut worker, told) = services(WhenFull::Refuse);
    let guard = worker.quiescent(NOW);
    let enter = |number| registry.services().advertise(Key(1), Token::new(number), NOW, guard);
    let first = enter(1).expect("room");
    // Its hash, once; and the hook, which is told of the first.
    let (again, _) = lit(2, || enter(2));
    assert!(again.is_none() && first.has_lapsed(NOW));
    assert_eq!(*told.lock().expect("no panic under it"), [1]);
    assert!(registry.services().resolve(&Key(1), NOW, guard).is_none());
    assert_eq!(registry.services().len(), 0);
    let third = enter(3).expect("room");
    assert!(!third.has_replaced() && third.renew(NOW).is_ok());
    assert_eq!(*told.lock().expect("no panic under it"), [1], "nothing was replaced");
}
