//! Advertisers that share a registry, and what becomes of a service whose key another takes; and other people's
//! code in the advertiser's calls, which may panic and may ask the advertiser.

mod common;

use std::cell::Cell;
use std::hash::{Hash, Hasher};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, OnceLock, Weak};
use std::time::Duration;

use common::timed::Timed;
use common::watchdog;
use tidegate::lockfree::registry::{Departure, Registry, Terms};
use tidegate::{
    Advertiser, Budget, Instant, ManualClock, Runtime, Schedule, caught_panics, domain, pin,
    random_state,
};

const TTL: Duration = Duration::from_secs(300);
const MARGIN: Duration = Duration::from_secs(60);

type Services<K, V> = Arc<Registry<K, V, (), ()>>;
type Log<T> = Arc<Mutex<Vec<T>>>;
type Ports<T> = (Services<&'static str, u16>, [Timed<&'static str, u16>; 2], Log<T>);

fn at(secs: u64) -> Instant {
    Instant::from_secs(1_000 + secs)
}

fn services<K, V>(
    hook: impl Fn(&K, &V, Departure) + Send + Sync + 'static,
) -> (Services<K, V>, Timed<K, V>)
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    let builder = Registry::builder().services(Terms::new(TTL)).on_service(hook);
    let registry = Arc::new(builder.build(domain(), random_state()).expect("memory"));
    (Arc::clone(&registry), Timed::new(registry, TTL, MARGIN))
}

fn taken<T>(log: &Log<T>) -> Vec<T> {
    std::mem::take(&mut log.lock().expect("no panic under it"))
}

/// Two instances of a service, as in a restart without a gap; and what each of them lost.
fn two() -> Ports<String> {
    let log = Log::default();
    let says = Arc::clone(&log);
    let (registry, _) = services(move |key: &&str, port: &u16, cause| {
        says.lock().expect("no panic").push(format!("{key} {port} {cause:?}"));
    });
    let instances = ["old", "new"].map(|name| {
        let says = Arc::clone(&log);
        Timed::new(Arc::clone(&registry), TTL, MARGIN).on_lost(move |key, port| {
            says.lock().expect("no panic").push(format!("{name} lost {key} {port}"));
        })
    });
    (registry, instances, log)
}

#[test]
fn what_goes_leaves_its_successor_alone() {
    let (registry, [old, new], log) = two();
    let resolved = |now| registry.services().resolve("mail", now, &pin()).copied();
    old.advertise("mail", 25, at(1)).expect("room");
    new.advertise("mail", 2525, at(10)).expect("room");
    assert_eq!(taken(&log), ["mail 25 Replaced"]);
    assert!(old.withdraw(&"mail", at(12)), "it had advertised it");
    assert_eq!(resolved(at(12)), Some(2525));
    assert!(!old.withdraw(&"mail", at(13)));
    assert!(taken(&log).is_empty());
    // The new one is renewed as ever, for the old one's withdrawal was none of its business.
    let mut sweep = new.clone();
    for second in 13..1_000 {
        sweep.sweep(at(second), Budget::UNLIMITED);
        assert_eq!(resolved(at(second)), Some(2525), "at {second}");
    }
    assert!(new.withdraw(&"mail", at(1_000)));
    assert_eq!((resolved(at(1_000)), registry.services().len()), (None, 0));
    assert_eq!(taken(&log), ["mail 2525 Withdrawn"]);
}

/// The old instance does not renew what it has lost, does not take it back, and gets to know.
#[test]
fn what_has_lost_its_key_is_told_so_and_gives_it_up() {
    let (registry, [mut old, mut new], log) = two();
    old.advertise("mail", 25, at(0)).expect("room");
    old.advertise("web", 80, at(0)).expect("room");
    new.advertise("mail", 2525, at(10)).expect("room");
    taken(&log);
    assert_eq!(old.sweep(at(240), Budget::UNLIMITED).visited, 2);
    assert_eq!(taken(&log), ["old lost mail 25"]);
    assert_eq!((old.active(), new.active()), (vec!["web"], vec!["mail"]));
    let resolved = |now| registry.services().resolve("mail", now, &pin()).copied();
    assert_eq!((resolved(at(309)), resolved(at(310))), (Some(2525), None), "it was not renewed");
    // It is not taken back, not even when the successor has gone.
    assert_eq!(old.sweep(at(480), Budget::UNLIMITED).visited, 1);
    assert_eq!(resolved(at(480)), None);
    // The successor, late, has lost it to nothing, and comes back.
    assert_eq!(new.sweep(at(481), Budget::UNLIMITED).visited, 1);
    assert_eq!(resolved(at(481)), Some(2525));
    assert_eq!(taken(&log), ["mail 2525 Expired"]);
    // And the other way round: to advertise is to take it.
    old.advertise("mail", 25, at(482)).expect("room");
    assert_eq!(resolved(at(482)), Some(25));
    new.sweep(at(721), Budget::UNLIMITED);
    assert_eq!(taken(&log), ["mail 2525 Replaced", "new lost mail 2525"]);
    assert_eq!((resolved(at(781)), resolved(at(782))), (Some(25), None), "until its own end");
}

/// Advertised twice, withdrawn once: nothing is left. And what was removed behind its back comes back.
#[test]
fn a_service_is_one_however_often_it_is_advertised() {
    let (registry, [ours, _], log) = two();
    let mut sweep = ours.clone();
    ours.advertise("mail", 1, at(0)).expect("room");
    ours.advertise("mail", 2, at(1)).expect("room");
    assert!(ours.withdraw(&"mail", at(2)));
    assert_eq!(registry.services().len(), 0);
    assert_eq!(sweep.sweep(at(1_000), Budget::UNLIMITED).visited, 0);
    assert_eq!(taken(&log), ["mail 1 Replaced", "mail 2 Withdrawn"]);

    ours.advertise("mail", 3, at(1_000)).expect("room");
    assert!(registry.services().withdraw_any("mail", at(1_001), &pin()).is_some());
    assert_eq!(sweep.sweep(at(1_240), Budget::UNLIMITED).visited, 1);
    assert_eq!(registry.services().resolve("mail", at(1_240), &pin()), Some(&3));
    assert_eq!(taken(&log), ["mail 3 Withdrawn"], "and nothing is lost");
}

/// An advertiser in the face's registry reads that registry's clock, whatever time the runtime has.
#[test]
fn a_service_of_the_face_s_registry_is_renewed_by_its_clock() {
    let clock = Arc::new(ManualClock::new());
    let builder = tidegate::Registry::<&str, u16>::builder().clock(Arc::clone(&clock));
    let registry = builder.services(Terms::new(TTL)).manual().build();
    let told = Log::default();
    let says = Arc::clone(&told);
    let ours = Advertiser::new(&registry, TTL, MARGIN)
        .announce(move |key, _| says.lock().expect("no panic").push(*key));
    ours.advertise("mail", 25).expect("room");

    let runtime = Runtime::builder().build().expect("a runtime");
    let schedule = Schedule::every(Duration::from_secs(60)).expect("an interval");
    let sweep = runtime.sweep("services", schedule, ours.clone()).expect("a name");
    let renewed = || sweep.trigger().expect("a run").visited;
    clock.set(at(0));
    assert_eq!(registry.services().resolve("mail"), None, "expired");
    assert_eq!((renewed(), renewed()), (1, 0), "advertised again");
    for second in [239, 240, 479, 480, 779] {
        clock.set(at(second));
        assert_eq!(renewed(), usize::from(second % 240 == 0 || second == 779), "at {second}");
        assert_eq!(registry.services().resolve("mail"), Some(25), "at {second}");
    }
    assert_eq!(taken(&told), ["mail"; 5]);
    assert!(ours.withdraw(&"mail") && !ours.withdraw(&"mail"));
    assert_eq!((registry.services().resolve("mail"), renewed()), (None, 0));
    let lease = registry.services().advertise("mail", 2525).expect("room");
    assert!(ours.active().is_empty() && lease.renew().is_ok(), "another caller's");
}

/// At the end of time everything is due at every moment, and yet a step ends.
#[test]
fn a_step_ends_at_the_end_of_time() {
    let (_registry, [ours, _], _log) = two();
    for key in ["a", "b", "c"] {
        ours.advertise(key, 1, at(0)).expect("room");
    }
    let step = ours.clone().sweep(Instant::MAX, Budget::UNLIMITED);
    assert_eq!((step.visited, step.wrapped), (3, true));
    let step = ours.clone().sweep(Instant::MAX, Budget::entries(2));
    assert_eq!((step.visited, step.wrapped), (2, false));
}

/// Advertisers that fight for a key: each withdraws what it has advertised, and nothing else.
#[test]
fn whoever_fights_for_a_key_withdraws_its_own() {
    thread_local!(static MINE: Cell<u32> = const { Cell::new(u32::MAX) });

    let log = Log::default();
    let strays = Arc::clone(&log);
    let (registry, _) = services(move |_: &u32, &owner: &u32, cause| {
        if cause == Departure::Withdrawn && MINE.get() != owner {
            strays.lock().expect("no panic").push((MINE.get(), owner));
        }
    });
    std::thread::scope(|scope| {
        for thread in 0..3_u32 {
            let ours = Timed::new(Arc::clone(&registry), TTL, MARGIN);
            scope.spawn(move || {
                MINE.set(thread);
                for _ in 0..10_000 {
                    ours.advertise(1, thread, at(0)).expect("room");
                    assert!(ours.withdraw(&1, at(0)));
                }
            });
        }
    });
    assert_eq!(taken(&log), [], "withdrawn by a stranger");
    registry.services().prune(at(0), &pin());
    assert_eq!(registry.services().len(), 0, "each has withdrawn its own");
}

/// A hook that panics, however often, costs no lease: what was advertised can be renewed and withdrawn.
#[test]
fn a_hook_that_panics_is_contained() {
    let (registry, mut ours) = services(|_: &u32, _: &u32, _| panic!("a hook's own"));
    let before = caught_panics();
    for value in 0..3 {
        ours.advertise(1, value, at(0)).expect("room");
        assert_eq!(registry.services().resolve(&1, at(0), &pin()), Some(&value));
    }
    ours.advertise(2, 7, at(0)).expect("room");
    // Renewed, and after it has expired entered anew: both of them.
    for now in [240, 10_000] {
        let step = ours.sweep(at(now), Budget::UNLIMITED);
        assert_eq!((step.visited, step.wrapped), (2, true));
        let there = [1, 2].map(|key| registry.services().resolve(&key, at(now), &pin()).copied());
        assert_eq!(there, [Some(2), Some(7)], "at {now}");
    }
    assert!(ours.withdraw(&1, at(10_001)) && ours.withdraw(&2, at(10_001)));
    assert_eq!((registry.services().len(), ours.active().len()), (0, 0));
    assert!(caught_panics() - before >= 6, "two replaced, two expired, two withdrawn");
}

/// One service whose code panics in a step keeps no other from being renewed.
#[test]
fn one_that_panics_keeps_no_other_from_being_renewed() {
    #[derive(Debug)]
    struct Value(u32);
    thread_local!(static FORBIDDEN: Cell<u32> = const { Cell::new(u32::MAX) });
    impl Clone for Value {
        fn clone(&self) -> Self {
            assert_ne!(self.0, FORBIDDEN.get(), "on purpose");
            Self(self.0)
        }
    }

    let announced = Log::default();
    let says = Arc::clone(&announced);
    let (registry, ours) = services(|_: &u32, _: &Value, _| {});
    let mut ours = ours.announce(move |&key, _| {
        says.lock().expect("no panic").push(key);
        assert_ne!(key, 3, "on purpose");
    });
    for key in 0..5 {
        ours.advertise(key, Value(key), at(0)).expect("room");
    }
    taken(&announced);
    // All have expired, and are entered anew; one cannot be, another cannot be told of.
    FORBIDDEN.set(1);
    let step = ours.sweep(at(10_000), Budget::UNLIMITED);
    assert_eq!((step.visited, step.wrapped), (5, true));
    let there = || {
        let guard = pin();
        let mut keys: Vec<_> =
            registry.services().iter(at(10_000), &guard).map(|(key, _)| *key).collect();
        keys.sort_unstable();
        keys
    };
    let mut told = taken(&announced);
    told.sort_unstable();
    assert_eq!((there(), told), (vec![0, 2, 3, 4], vec![0, 2, 3, 4]));
    // What is given to the caller's own call to clone panics there, and changes nothing.
    let refused = catch_unwind(AssertUnwindSafe(|| ours.advertise(2, Value(1), at(10_000))));
    assert!(refused.is_err());
    assert_eq!((there(), ours.active().len()), (vec![0, 2, 3, 4], 5));
    // Later it can be, and is not lost.
    FORBIDDEN.set(u32::MAX);
    ours.sweep(at(10_240), Budget::UNLIMITED);
    assert_eq!(registry.services().resolve(&1, at(10_240), &pin()).map(|value| value.0), Some(1));
}

/// Values whose destructors panic: the call that drops them does what it was asked for.
#[test]
fn destructors_that_panic_are_contained() {
    thread_local!(static ARMED: Cell<bool> = const { Cell::new(false) });
    #[derive(Clone)]
    struct Value;
    impl Drop for Value {
        fn drop(&mut self) {
            assert!(!ARMED.get(), "a destructor's own");
        }
    }

    let (registry, ours) = services(|_: &u32, _: &Value, _| {});
    ARMED.set(true);
    for _ in 0..2 {
        assert!(ours.advertise(1, Value, at(0)).is_ok());
    }
    assert!(registry.services().resolve(&1, at(0), &pin()).is_some());
    assert!(ours.withdraw(&1, at(0)));
    ARMED.set(false);
    assert!(registry.services().resolve(&1, at(0), &pin()).is_none() && ours.active().is_empty());
}

/// Keys whose every call asks the advertiser that holds them.
#[test]
fn keys_that_ask_the_advertiser_wait_for_nothing() {
    struct Key(u32, Weak<OnceLock<Timed<Key, u32>>>);
    thread_local!(static ASKING: Cell<bool> = const { Cell::new(false) });
    impl Key {
        fn ask(&self) {
            if let Some(place) = self.1.upgrade()
                && let Some(ours) = place.get()
                && !ASKING.replace(true)
            {
                assert!(ours.active().len() <= 3);
                ASKING.set(false);
            }
        }
    }
    impl Clone for Key {
        fn clone(&self) -> Self {
            self.ask();
            Self(self.0, Weak::clone(&self.1))
        }
    }
    impl Hash for Key {
        fn hash<H: Hasher>(&self, state: &mut H) {
            self.ask();
            self.0.hash(state);
        }
    }
    impl PartialEq for Key {
        fn eq(&self, other: &Self) -> bool {
            self.ask();
            self.0 == other.0
        }
    }
    impl Eq for Key {}
    impl Drop for Key {
        fn drop(&mut self) {
            self.ask();
        }
    }

    let _watched = watchdog("a key asks the advertiser that holds it");
    let place = Arc::new(OnceLock::new());
    let (registry, ours) = services(|_: &Key, _: &u32, _| {});
    assert!(place.set(ours.clone()).is_ok());
    let key = |number| Key(number, Arc::downgrade(&place));
    for round in 0..3 {
        for number in 0..3 {
            assert!(ours.advertise(key(number), round, at(0)).is_ok());
        }
    }
    assert_eq!(ours.clone().sweep(at(10_000), Budget::UNLIMITED).visited, 3);
    assert_eq!(registry.services().iter(at(10_000), &pin()).count(), 3);
    for number in 0..3 {
        assert!(ours.withdraw(&key(number), at(10_000)));
    }
    assert_eq!((ours.active().len(), registry.services().len()), (0, 0));
}
