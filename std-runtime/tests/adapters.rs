//! Sweeps of other people's maps, and services that are advertised again and again: macula's manager (M-C...)
//! and keter's generic purge (K14).

mod common;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, Weak};
use std::time::Duration;

use common::timed::Timed;
use common::watchdog;
use tidegate::lockfree::registry::{Registry, Terms};
use tidegate::{Budget, Instant, domain, pin, random_state};

type Services = Registry<String, u16, (), ()>;
type Ours = Timed<String, u16>;

fn at(secs: u64) -> Instant {
    Instant::from_secs(1_000 + secs)
}

fn services(ttl: Duration, most: usize) -> (Arc<Services>, Ours) {
    let terms = Terms::new(ttl).max_entries(most, tidegate::lockfree::registry::WhenFull::Refuse);
    let builder = Registry::builder().services(terms);
    let registry: Arc<Services> = Arc::new(builder.build(domain(), random_state()).expect("ok"));
    let ours = Timed::new(Arc::clone(&registry), ttl, Duration::from_secs(60));
    (registry, ours)
}

#[test]
fn m_c25_what_is_withdrawn_is_active_no_longer() {
    let (registry, ours) = services(Duration::from_secs(300), 10);
    for (name, port) in [("s1", 1), ("s2", 2)] {
        ours.advertise(name.to_owned(), port, at(0)).expect("room");
    }
    assert!(ours.withdraw(&"s1".to_owned(), at(1)));
    assert!(
        !ours.withdraw(&"s1".to_owned(), at(1)) && !ours.withdraw(&"unknown".to_owned(), at(1))
    );
    assert_eq!(ours.active(), ["s2"]);
    assert_eq!(registry.services().resolve("s1", at(1), &pin()), None);
    assert_eq!(registry.services().resolve("s2", at(1), &pin()), Some(&2));
}

/// M-B1: the original tells everybody else at 240, and removes its own at 300.
#[test]
fn m_c26_what_is_advertised_again_is_there_after_the_sweep() {
    let (registry, ours) = services(Duration::from_secs(300), 10);
    let told = Arc::new(AtomicU64::new(0));
    let counts = Arc::clone(&told);
    let mut ours = ours.announce(move |_, _| {
        counts.fetch_add(1, Ordering::SeqCst);
    });
    assert_eq!(ours.renewed_after(), Duration::from_secs(240));
    ours.advertise("s1".to_owned(), 1, at(0)).expect("room");
    let swept = |ours: &mut Ours, secs| ours.sweep(at(secs), Budget::entries(100)).visited;
    assert_eq!((swept(&mut ours, 239), swept(&mut ours, 240), swept(&mut ours, 240)), (0, 1, 0));
    assert_eq!(registry.services().prune(at(360), &pin()), 0);
    assert_eq!(registry.services().resolve("s1", at(360), &pin()), Some(&1));
    assert_eq!(told.load(Ordering::SeqCst), 2);
    // M-B2: nothing is left of what is withdrawn.
    assert!(ours.withdraw(&"s1".to_owned(), at(361)));
    assert_eq!((swept(&mut ours, 10_000), registry.services().len()), (0, 0));
}

#[test]
fn m11_one_that_has_ended_is_advertised_anew_and_budgets_hold() {
    let (registry, mut ours) = services(Duration::from_secs(300), 10);
    for port in 0..10 {
        ours.advertise(port.to_string(), port, at(0)).expect("room");
    }
    assert_eq!(registry.services().prune(at(5_000), &pin()), 10);
    let mut step = ours.sweep(at(5_000), Budget::entries(4));
    assert_eq!((step.visited, step.wrapped), (4, false));
    step = ours.sweep(at(5_000), Budget::entries(100));
    assert_eq!((step.visited, step.wrapped), (6, true));
    assert_eq!(registry.services().iter(at(5_000), &pin()).count(), 10);
    // What there is no room for is an error, handed back; what is there stays.
    let refused = ours.advertise("one more".to_owned(), 1, at(5_000)).expect_err("full");
    assert_eq!(refused.value, ("one more".to_owned(), 1));
    assert_eq!(ours.active().len(), 10);
    // Another value in place of the one that is there.
    ours.advertise("3".to_owned(), 33, at(5_001)).expect("its own room");
    assert_eq!(registry.services().resolve("3", at(5_001), &pin()), Some(&33));
    assert_eq!(ours.active().len(), 10);
}

/// However they race, the registry comes to hold what was asked for last, and nothing that was withdrawn.
#[test]
fn m11_what_is_withdrawn_stays_withdrawn_whoever_renews_meanwhile() {
    let (registry, ours) = services(Duration::from_secs(300), 100);
    let over = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        let mut sweeps = ours.clone();
        let (registry, over) = (&registry, &over);
        scope.spawn(move || {
            while !over.load(Ordering::SeqCst) {
                // Due at once, and lapsed every time.
                registry.services().prune(Instant::MAX, &pin());
                sweeps.sweep(at(1_000_000), Budget::UNLIMITED);
            }
        });
        let workers = [0_u16, 1].map(|thread| {
            let ours = ours.clone();
            scope.spawn(move || {
                let own = format!("own {thread}");
                for round in 0..3_000 {
                    let now = at(1_000_000);
                    ours.advertise(own.clone(), round, now).expect("room");
                    ours.advertise("shared".to_owned(), 10_000 * thread + round, now)
                        .expect("room");
                    assert!(ours.withdraw(&own, now), "it is ours alone");
                    // Nobody else advertises it: it is gone, and stays so, if not for the moment that
                    // somebody takes to find that out.
                }
            })
        });
        for worker in workers {
            worker.join().expect("no panic");
        }
        over.store(true, Ordering::SeqCst);
    });
    let now = at(1_000_000);
    let mut last = ours.clone();
    last.sweep(now + Duration::from_secs(300), Budget::UNLIMITED);
    let held: Vec<_> = registry.services().iter(now, &pin()).map(|(key, _)| key.clone()).collect();
    assert_eq!(held, ["shared"]);
    assert_eq!(ours.active(), ["shared"]);
    let value = registry.services().resolve("shared", now, &pin()).copied();
    assert!(value.is_some_and(|value| value % 10_000 == 2_999), "{value:?}");
}

/// M10: several registries under one runtime, as often as their entries' lives ask for; each with figures of its
/// own; and dropping it stops it.
#[test]
fn m10_registries_are_swept_by_one_runtime() {
    use tidegate::lockfree::registry::RegistrySweep;
    let runtime = tidegate::Runtime::builder().build().expect("a runtime");
    let ttl = Duration::from_millis(25);
    let registries: Vec<_> = (0..3).map(|_| services(ttl, 100).0).collect();
    let mut sweepings = Vec::new();
    for (number, registry) in registries.iter().enumerate() {
        for port in 0..10 * (number as u16 + 1) {
            let now = tidegate::Clock::now(&tidegate::clock());
            drop(registry.services().advertise(port.to_string(), port, now, &pin()).expect("room"));
        }
        let sweep = RegistrySweep::new(Arc::clone(registry), domain().worker());
        let every = tidegate::Schedule::for_ttl(ttl);
        assert_eq!(every.interval(), ttl / 5);
        sweepings.push(runtime.sweep(&format!("registry {number}"), every, sweep).expect("ok"));
    }
    runtime.start().expect("a thread");
    let start = std::time::Instant::now();
    let is_over = |number: usize| sweepings[number].metrics().removed == 10 * (number as u64 + 1);
    while !(0..3).all(is_over) {
        assert!(start.elapsed() < Duration::from_secs(20), "{sweepings:?}");
        std::thread::sleep(Duration::from_millis(1));
    }
    assert!(registries.iter().all(|registry| registry.services().len() == 0));
    drop(runtime);
    let runs = sweepings[0].metrics().runs;
    std::thread::sleep(Duration::from_millis(30));
    assert_eq!(sweepings[0].metrics().runs, runs);
}

#[test]
fn m11_no_sooner_than_ten_seconds_or_half_of_a_short_life() {
    for (ttl, after) in [(300, 240), (65, 10), (30, 10), (12, 6), (0, 0)] {
        let (_registry, ours) = services(Duration::from_secs(ttl), 10);
        assert_eq!(ours.renewed_after(), Duration::from_secs(after), "{ttl}");
    }
    let (_registry, mut ours) = services(Duration::ZERO, 10);
    ours.advertise("it".to_owned(), 1, at(0)).expect("room");
    // Due at every moment, and yet a step ends.
    assert_eq!(ours.sweep(at(0), Budget::UNLIMITED).visited, 1);
}

#[cfg(feature = "flurry")]
mod flurry_map {
    use tidegate::adapters::FlurrySweep;
    use tidegate::{Sweep, Ttl};

    use super::*;

    type Sessions = Arc<flurry::HashMap<u32, (u64, Instant)>>;

    fn sessions(count: u32) -> Sessions {
        let map: Sessions = Arc::default();
        for key in 0..count {
            map.pin().insert(key, (0, at(u64::from(key))));
        }
        map
    }

    #[test]
    fn k14_what_is_stale_goes_and_is_told_once() {
        let map = sessions(100);
        let told = Arc::new(Mutex::new(Vec::new()));
        let says = Arc::clone(&told);
        let sweep = FlurrySweep::new(Arc::clone(&map), Duration::from_secs(50), |it| it.1);
        let mut sweep = sweep.on_removal(move |key, _| {
            says.lock().unwrap().push(*key);
            panic!("on purpose");
        });
        // Those of 0 to 49 have lived for 50 seconds at 99.
        let step = sweep.sweep(at(99), Budget::entries(30));
        assert_eq!((step.removed, step.wrapped), (30, false));
        let step = sweep.sweep(at(99), Budget::entries(30));
        assert_eq!((step.removed, step.wrapped, map.len()), (20, true, 50));
        let mut told = told.lock().unwrap().clone();
        told.sort_unstable();
        assert_eq!(told, (0..50).collect::<Vec<_>>());
        // A stamp that is ahead is fresh; and "never" is never.
        map.pin().insert(7, (0, at(1_000_000)));
        assert_eq!(sweep.sweep(at(99), Budget::entries(30)).removed, 0);
        let mut never = FlurrySweep::new(Arc::clone(&map), Ttl::Forever, |it| it.1);
        assert_eq!(never.sweep(Instant::MAX, Budget::UNLIMITED).removed, 0);
    }

    #[test]
    fn a_timestamp_that_panics_keeps_no_other_value_from_being_removed() {
        let map = sessions(100);
        let sweep = FlurrySweep::new(Arc::clone(&map), Duration::from_secs(50), |it| {
            assert!(it.1 != at(7), "on purpose");
            it.1
        });
        let mut sweep = sweep.on_removal(|_, _| ());
        let step = sweep.sweep(at(99), Budget::entries(100));
        assert_eq!((step.visited, step.removed, step.wrapped), (100, 49, true));
        assert!(map.pin().contains_key(&7));
    }

    #[test]
    fn a_timestamp_and_a_hook_that_panic_when_dropped_are_dropped_together() {
        struct Bomb(Arc<AtomicU64>);
        impl Drop for Bomb {
            fn drop(&mut self) {
                self.0.fetch_add(1, Ordering::SeqCst);
                panic!("on purpose");
            }
        }

        let gone = Arc::new(AtomicU64::new(0));
        let [stamp, hook] = [(); 2].map(|()| Bomb(Arc::clone(&gone)));
        let sweep = FlurrySweep::new(sessions(0), Duration::from_secs(50), move |it| {
            let _bomb = &stamp;
            it.1
        });
        drop(sweep.on_removal(move |_, _| _ = &hook));
        assert_eq!(gone.load(Ordering::SeqCst), 2);
    }

    /// 0.2, 1: what was renewed between the look and the removal stays. Nothing that was told to be gone is
    /// there, and nothing is gone that was not told.
    #[test]
    fn k14_what_is_renewed_meanwhile_stays() {
        const KEYS: u32 = 64;
        const ROUNDS: u64 = 20_000;
        let map = sessions(0);
        let removed = Arc::new(AtomicU64::new(0));
        let counts = Arc::clone(&removed);
        let sweep = FlurrySweep::new(Arc::clone(&map), Duration::from_secs(1), |it| it.1);
        let mut sweep = sweep.on_removal(move |_, value| {
            assert_eq!(value.0 % 2, 0, "a fresh one was removed");
            counts.fetch_add(1, Ordering::Relaxed);
        });
        let mut inserted = 0_u64;
        std::thread::scope(|scope| {
            let writes = scope.spawn(|| {
                let mut replaced = 0_u64;
                for round in 0..ROUNDS {
                    let key = (round % u64::from(KEYS)) as u32;
                    // Odd ones are fresh at the time of the sweep, even ones are stale.
                    let stamp = if round % 2 == 0 { at(0) } else { at(100) };
                    replaced += u64::from(map.pin().insert(key, (round, stamp)).is_some());
                }
                (ROUNDS, replaced)
            });
            while !writes.is_finished() {
                sweep.sweep(at(50), Budget::entries(1_000));
            }
            let (all, replaced) = writes.join().unwrap();
            inserted = all - replaced;
        });
        let left = map.len() as u64;
        assert_eq!(inserted, left + removed.load(Ordering::Relaxed));
    }
}

#[test]
fn a_closure_is_swept_like_anything_else() {
    let runtime = tidegate::Runtime::builder().build().expect("a runtime");
    let left = Arc::new(Mutex::new(10_usize));
    let files = Arc::clone(&left);
    let sweep = tidegate::lockfree::sweep::from_fn(move |_, _| {
        let mut left = files.lock().unwrap();
        let removed = (*left).min(3);
        *left -= removed;
        tidegate::Swept { visited: removed, removed, freed: 0, wrapped: *left == 0 }
    });
    let schedule = tidegate::Schedule::every(Duration::from_secs(60)).expect("ok");
    let it = runtime.sweep("files", schedule, sweep).expect("a name");
    assert_eq!(it.trigger().map(|swept| swept.removed), Ok(10));
}

/// Values whose destructor asks the advertiser that holds them.
#[test]
fn a_destructor_of_what_is_advertised_may_ask() {
    type Asking = Timed<u32, Value>;
    #[derive(Clone)]
    struct Value(Weak<OnceLock<Asking>>);
    impl Drop for Value {
        fn drop(&mut self) {
            if let Some(place) = self.0.upgrade()
                && let Some(ours) = place.get()
            {
                assert!(ours.active().len() < 2);
            }
        }
    }

    let _watched = watchdog("a destructor of what is advertised asks");
    let (place, ttl) = (Arc::new(OnceLock::new()), Duration::from_secs(300));
    let registry = Registry::builder().services(Terms::new(ttl));
    let registry = Arc::new(registry.build(domain(), random_state()).expect("memory"));
    let ours = Asking::new(registry, ttl, Duration::from_secs(60));
    assert!(place.set(ours.clone()).is_ok());
    let value = || Value(Arc::downgrade(&place));
    let now = Instant::from_secs(1);
    for _ in 0..3 {
        assert!(ours.advertise(1, value(), now).is_ok());
    }
    assert!(ours.withdraw(&1, now));
    assert!(ours.active().is_empty());
    // What the registry gave up is freed, too.
    let mut worker = domain().worker();
    worker.collect(now, Budget::UNLIMITED);
}
