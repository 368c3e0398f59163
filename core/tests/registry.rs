//! The registry from outside. Cases of an Erlang service registry carry their ids; where ours differs on
//! purpose, the comment says which of its defects is the reason.

mod common;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use common::fixtures::{self, registry_in};
use common::memory::free_all;
use tidegate_core::registry::{
    Builder, Departure, Discovered, LapsedError, Lookup, Peer, Peers, Pruned, RegistryError, Terms,
    WhenFull,
};
use tidegate_core::{Budget, Domain, Guard, Instant, Registry, Sweep, Ttl, Worker};

type Services = Registry<&'static str, u32, u64, &'static str>;
/// For tests in which keys are counted off.
type Numbers = Registry<u32, u32, u64, ()>;
type Plan = Builder<&'static str, u32, u64, &'static str>;

const NOW: Instant = Instant::from_secs(1_000);

fn build(builder: Plan) -> (Services, Worker) {
    fixtures::registry(builder)
}

fn plain() -> (Services, Worker) {
    build(Registry::builder())
}

/// A registry of lists that live for a minute, and are kept for ten more.
fn keeping() -> (Services, Worker) {
    build(Registry::builder().discovered(Terms::new(secs(60)).keep_last_known(secs(600))))
}

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn after(seconds: u64) -> Instant {
    NOW + secs(seconds)
}

fn nodes(peers: Peers<'_, u64, &'static str>) -> Vec<u64> {
    peers.iter().map(|peer| peer.node).collect()
}

fn peers(nodes: &[u64]) -> Vec<Peer<u64, &'static str>> {
    nodes.iter().map(|&node| Peer::new(node, "somewhere")).collect()
}

/// Who is known to provide a service; `None` for a miss.
fn discover(registry: &Services, key: &str, now: Instant, guard: &Guard) -> Option<Vec<u64>> {
    match registry.discovered().discover(key, Lookup::Known, now, guard) {
        Discovered::Hit(peers) => Some(nodes(peers)),
        Discovered::Miss(_) => None,
    }
}

fn cache(registry: &Services, key: &'static str, list: &[u64], ttl: Option<Ttl>, guard: &Guard) {
    registry.discovered().cache(key, peers(list), ttl, NOW, guard).expect("room");
}

type Log = fixtures::Log<&'static str, u32, Departure>;

#[test]
fn m_c1_m_c2_the_usual_times_and_others() {
    let domain = Domain::new();
    let mut worker = domain.worker();
    let guard = worker.quiescent(NOW);
    let lives = |registry: &Services| {
        _ = registry.services().advertise("s", 1, NOW, guard).expect("room");
        cache(registry, "s", &[1], None, guard);
        let service =
            (0..=400).find(|&at| registry.services().resolve("s", after(at), guard).is_none());
        let list = (0..=400).find(|&at| discover(registry, "s", after(at), guard).is_none());
        (service.expect("ends"), list.expect("ends"))
    };
    let registry = registry_in(&domain, Registry::builder());
    assert_eq!(registry.prune_all(NOW, guard), Pruned::default());
    assert_eq!(lives(&registry), (300, 60), "M-C1");
    let lists = Terms::new(secs(45));
    assert_eq!(
        lives(&registry_in(&domain, Registry::builder().discovered(lists))),
        (300, 45),
        "M-C2"
    );
}

#[test]
fn m_c4_m_c5_what_is_not_there_or_withdrawn_is_not_found() {
    let (registry, mut worker) = plain();
    let guard = worker.quiescent(NOW);
    assert_eq!(registry.services().resolve("nonexistent", NOW, guard), None, "M-C4");
    let lease = registry.services().advertise("s", 7, NOW, guard).expect("room");
    assert_eq!((lease.key(), lease.value(), lease.has_replaced()), (&"s", &7, false));
    assert_eq!(registry.services().withdraw_any("s", NOW, guard), Some(&7));
    assert_eq!(registry.services().resolve("s", NOW, guard), None, "M-C5");
    assert_eq!(registry.services().withdraw_any("s", NOW, guard), None);
    assert_eq!(lease.renew(NOW), Err(LapsedError), "a renewal brings nothing back");
}

/// M2, M3: nothing lives for no time, and nobody is shown what has ended; to prune counts it.
#[test]
fn m_c7_a_time_to_live_of_zero_ends_at_once() {
    let (registry, mut worker) = build(Registry::builder().services(Terms::new(Duration::ZERO)));
    let guard = worker.quiescent(NOW);
    for key in ["a", "b"] {
        drop(registry.services().advertise(key, 1, NOW, guard).expect("room"));
        assert_eq!(registry.services().resolve(key, NOW, guard), None);
    }
    assert_eq!(registry.services().iter(NOW, guard).count(), 0);
    assert_eq!(registry.services().prune(NOW, guard), 2);
    assert_eq!(registry.services().len(), 0);
}

/// M5, M8.
#[test]
fn m_c8_m_c10_pruning_is_exact() {
    let (registry, mut worker) = plain();
    let guard = worker.quiescent(NOW);
    drop(registry.services().advertise("s", 1, NOW, guard).expect("room"));
    assert_eq!(registry.services().prune(after(299), guard), 0);
    let just_before = Instant::from_nanos(after(300).as_nanos() - 1);
    assert_eq!(registry.services().prune(just_before, guard), 0, "to the nanosecond (M-B8)");
    assert_eq!(registry.services().prune(after(300), guard), 1);
    assert_eq!(registry.services().prune(after(300), guard), 0, "M-C10");
}

#[test]
fn m_c11_m_c13_m_c17_lists_keep_their_order_and_end() {
    let (registry, mut worker) = plain();
    let guard = worker.quiescent(NOW);
    cache(&registry, "s", &[2, 1], None, guard);
    assert_eq!(discover(&registry, "s", NOW, guard), Some(vec![2, 1]), "M-C11");
    assert_eq!(discover(&registry, "s", after(59), guard), Some(vec![2, 1]), "M-C17");
    assert_eq!(discover(&registry, "s", after(60), guard), None, "M-C17");

    let (registry, mut worker) = build(Registry::builder().discovered(Terms::new(Duration::ZERO)));
    let guard = worker.quiescent(NOW);
    cache(&registry, "s", &[1], None, guard);
    assert_eq!(discover(&registry, "s", NOW, guard), None, "M-C13");
}

/// M12: to ask anew is to miss, and leaves what is known to others.
#[test]
fn m_c14_to_ask_anew_is_to_miss() {
    let (registry, mut worker) = plain();
    let guard = worker.quiescent(NOW);
    cache(&registry, "s", &[1], None, guard);
    let Discovered::Miss(Some(last)) =
        registry.discovered().discover("s", Lookup::Anew, NOW, guard)
    else {
        panic!("a miss, with what is known");
    };
    assert_eq!(nodes(last), [1]);
    assert_eq!(discover(&registry, "s", NOW, guard), Some(vec![1]), "it is still there");
}

/// M4: what is done in one namespace changes nothing in another.
#[test]
fn m_c16_m_c20_m_c22_providers_and_subscribers_are_independent() {
    let (registry, mut worker) = plain();
    let guard = worker.quiescent(NOW);
    cache(&registry, "a", &[1], None, guard);
    cache(&registry, "b", &[2], None, guard);
    let all = peers(&[5, 4, 3, 2, 1]);
    assert!(registry.subscribers().cache("a", all, None, NOW, guard) == Ok(false));
    let subscribed = |registry: &Services| registry.subscribers().get("a", NOW, guard).map(nodes);
    assert_eq!(subscribed(&registry), Some(vec![5, 4, 3, 2, 1]), "M-C20");
    assert_eq!(registry.discovered().clear(NOW, guard), 2, "M-C16");
    assert_eq!(discover(&registry, "a", NOW, guard), None);
    assert_eq!(subscribed(&registry), Some(vec![5, 4, 3, 2, 1]), "M-C22");
    cache(&registry, "a", &[1], None, guard);
    assert_eq!(registry.subscribers().clear(NOW, guard), 1);
    assert_eq!(subscribed(&registry), None);
    assert_eq!(discover(&registry, "a", NOW, guard), Some(vec![1]), "M-C22");
    assert!(!registry.subscribers().forget("a", NOW, guard));
    assert!(registry.discovered().forget("a", NOW, guard));
}

/// M-C19: an entry's own time to live counts (M-B5), and overflows into nothing worse than for ever.
#[test]
fn m_c19_each_entry_has_its_own_time() {
    let (registry, mut worker) = plain();
    let guard = worker.quiescent(NOW);
    cache(&registry, "long", &[1], Some(Ttl::For(secs(300))), guard);
    cache(&registry, "short", &[1], Some(Ttl::For(secs(5))), guard);
    cache(&registry, "ever", &[1], Some(Ttl::Forever), guard);
    cache(&registry, "far", &[1], Some(Ttl::For(Duration::MAX)), guard);
    let known = |key, at| discover(&registry, key, at, guard).is_some();
    assert!(known("long", after(100)) && !known("long", after(300)));
    assert!(known("short", after(4)) && !known("short", after(5)));
    assert!(known("far", after(1 << 30)) && known("ever", after(1 << 30)));
    assert_eq!(registry.prune_all(after(1 << 30), guard).discovered, 2);
    let day = secs(86_400);
    drop(registry.services().advertise_for("service", 1, day, NOW, guard).expect("room"));
    assert!(registry.services().resolve("service", after(86_399), guard).is_some());
    assert!(registry.services().resolve("service", after(86_400), guard).is_none());
}

#[test]
fn m_c23_a_whole_life() {
    let (registry, mut worker) = plain();
    let guard = worker.quiescent(NOW);
    let lease = registry.services().advertise("double", 2, NOW, guard).expect("room");
    assert_eq!(registry.services().resolve("double", NOW, guard).map(|by| by * 21), Some(42));
    cache(&registry, "double", &[9], None, guard);
    assert_eq!(discover(&registry, "double", after(1), guard), Some(vec![9]));
    lease.renew(after(250)).expect("in time");
    assert_eq!(registry.services().iter(after(549), guard).collect::<Vec<_>>(), [(&"double", &2)]);
    assert_eq!(registry.services().withdraw_any("double", after(500), guard), Some(&2));
    assert_eq!(registry.services().iter(after(500), guard).count(), 0);
}

/// M1, M-C26: a service that is renewed lives on (M-B1), by its lease or by its key; one that was
/// advertised again is another, and the old lease is good for nothing.
#[test]
fn m_c26_a_renewed_service_outlives_its_time() {
    let (registry, mut worker) = plain();
    let guard = worker.quiescent(NOW);
    let lease = registry.services().advertise("s", 1, NOW, guard).expect("room");
    assert_eq!(lease.renew(after(240)), Ok(()));
    assert_eq!(registry.services().prune(after(360), guard), 0);
    assert_eq!(registry.services().resolve("s", after(360), guard), Some(&1));
    assert_eq!(registry.services().renew_any("s", after(480), guard), Ok(()));
    assert_eq!(registry.services().resolve("s", after(779), guard), Some(&1));
    assert_eq!(lease.renew(after(780)), Err(LapsedError), "not a nanosecond too late");
    assert_eq!(registry.services().renew_any("s", after(780), guard), Err(LapsedError));

    let again = registry.services().advertise("s", 2, after(780), guard).expect("room");
    assert!(!again.has_replaced(), "the one before had ended");
    let third = registry.services().advertise("s", 3, after(781), guard).expect("room");
    assert!(third.has_replaced());
    assert_eq!(again.renew(after(782)), Err(LapsedError));
    assert_eq!((third.renew(after(782)), *again.value()), (Ok(()), 2));
    assert_eq!(registry.services().len(), 1);
}

#[test]
fn a_renewal_of_an_earlier_time_shortens_nothing() {
    let (registry, mut worker) = plain();
    let guard = worker.quiescent(NOW);
    let lease = registry.services().advertise("s", 1, after(100), guard).expect("room");
    lease.renew(NOW).expect("it lives");
    assert!(registry.services().resolve("s", after(399), guard).is_some());
}

/// M6: each entry that goes is told of once, with the reason.
#[test]
fn the_hook_is_told_of_each_departure_once() {
    let log = Log::default();
    let (registry, mut worker) = build(Registry::builder().on_service(log.listener()));
    let guard = worker.quiescent(NOW);
    let put =
        |key, value, now| registry.services().advertise(key, value, now, guard).expect("room");
    drop(put("a", 1, NOW));
    drop(put("a", 2, NOW));
    assert_eq!(log.take(), [("a", 1, Departure::Replaced)]);
    registry.services().withdraw_any("a", NOW, guard);
    assert_eq!(log.take(), [("a", 2, Departure::Withdrawn)]);
    drop(put("b", 3, NOW));
    drop(put("b", 4, after(300)));
    assert_eq!(log.take(), [("b", 3, Departure::Expired)]);
    drop(put("c", 5, NOW));
    assert_eq!(registry.services().prune(after(600), guard), 2);
    let mut gone = log.take();
    gone.sort_unstable_by_key(|&(key, ..)| key);
    assert_eq!(gone, [("b", 4, Departure::Expired), ("c", 5, Departure::Expired)]);
    drop(put("d", 6, NOW).withdraw_on_drop());
    assert_eq!(log.take(), [("d", 6, Departure::Withdrawn)]);
    assert_eq!(registry.services().resolve("d", NOW, guard), None);
    assert_eq!(registry.services().prune(NOW, guard), 0, "it has gone already");
    assert_eq!(registry.services().len(), 0);
}

#[test]
fn hooks_of_lists_are_shown_the_whole_list() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&seen);
    let (registry, mut worker) =
        build(Registry::builder().on_discovered(move |&key, list, cause| {
            log.lock().expect("no panic").push((key, list.len(), cause));
        }));
    let guard = worker.quiescent(NOW);
    cache(&registry, "s", &[1, 2], None, guard);
    assert_eq!(registry.prune_all(after(60), guard).discovered, 1);
    assert_eq!(*seen.lock().expect("no panic"), [("s", 2, Departure::Expired)]);
}

/// M9: a hard bound, and what becomes of a newcomer; who is there already is none.
#[test]
fn a_full_registry_refuses_newcomers_and_no_others() {
    let terms = Terms::new(secs(300)).max_entries(2, WhenFull::Refuse);
    let (registry, mut worker) = build(Registry::builder().services(terms));
    let guard = worker.quiescent(NOW);
    let put = |key, value, now| registry.services().advertise(key, value, now, guard).map(drop);
    put("a", 1, NOW).expect("room");
    put("b", 2, NOW).expect("room");
    let refused = put("c", 3, NOW).expect_err("full");
    assert_eq!((refused.error, refused.value), (RegistryError::Full, ("c", 3)));
    put("a", 4, NOW).expect("in its own place");
    assert_eq!(
        (registry.services().resolve("a", NOW, guard), registry.services().len()),
        (Some(&4), 2)
    );
    assert!(put("c", 3, after(300)).is_err(), "what has ended holds its room until it is pruned");
    assert_eq!(registry.services().prune(after(300), guard), 2);
    put("c", 3, after(300)).expect("room");
}

/// M9.
#[test]
fn in_a_full_registry_the_one_that_ends_soonest_goes_if_told_so() {
    let log = Log::default();
    let terms = Terms::new(secs(300)).max_entries(3, WhenFull::EvictSoonest);
    let builder = Registry::builder().services(terms).on_service(log.listener());
    let (registry, mut worker) = build(builder);
    let guard = worker.quiescent(NOW);
    let leases = [("a", 10), ("b", 5), ("c", 20)].map(|(key, seconds)| {
        registry.services().advertise_for(key, 1, secs(seconds), NOW, guard).expect("room")
    });
    drop(registry.services().advertise("d", 1, NOW, guard).expect("in the place of another"));
    assert_eq!(log.take(), [("b", 1, Departure::Evicted)]);
    assert_eq!(leases[1].renew(NOW), Err(LapsedError));
    leases[0].renew(after(9)).expect("it lives");
    leases[0].renew(after(18)).expect("it lives");
    drop(registry.services().advertise("e", 1, after(18), guard).expect("in the place of another"));
    assert_eq!(log.take(), [("c", 1, Departure::Evicted)], "who was renewed ends later");
    assert_eq!(registry.services().len(), 3);
}

/// M12, M-B13: an answer that is out of date hides nobody.
#[test]
fn providers_are_merged_by_node() {
    let (registry, mut worker) = plain();
    let guard = worker.quiescent(NOW);
    let merge = |list: Vec<Peer<u64, &'static str>>, now| {
        registry.discovered().merge("s", list, now, guard).expect("room")
    };
    assert!(!merge(peers(&[1, 2]), NOW));
    assert!(merge(vec![Peer::new(2, "moved"), Peer::new(3, "new")], after(30)));
    let Discovered::Hit(found) =
        registry.discovered().discover("s", Lookup::Known, after(89), guard)
    else {
        panic!("the list began anew");
    };
    let found: Vec<_> = found.iter().map(|peer| (peer.node, peer.info)).collect();
    assert_eq!(found, [(1, "somewhere"), (2, "moved"), (3, "new")]);
    assert!(registry.subscribers().merge("s", peers(&[1]), NOW, guard) == Ok(false));
}

/// M12: a provider may be known for a shorter time than its list.
#[test]
fn a_provider_ends_before_its_list() {
    let (registry, mut worker) = plain();
    let guard = worker.quiescent(NOW);
    let list = vec![Peer::new(1, "here").time_to_live(secs(10)), Peer::new(2, "there")];
    registry.discovered().cache("s", list, None, NOW, guard).expect("room");
    assert_eq!(discover(&registry, "s", after(9), guard), Some(vec![1, 2]));
    assert_eq!(discover(&registry, "s", after(10), guard), Some(vec![2]));
    registry.discovered().merge("s", peers(&[3]), after(20), guard).expect("room");
    assert_eq!(discover(&registry, "s", after(20), guard), Some(vec![2, 3]));
}

/// M12: that there is nobody is an answer, and the last that was known is kept if asked for.
#[test]
fn nobody_is_an_answer_and_the_last_known_is_kept_for_a_while() {
    let (registry, mut worker) = keeping();
    let guard = worker.quiescent(NOW);
    cache(&registry, "nobody", &[], None, guard);
    assert_eq!(discover(&registry, "nobody", NOW, guard), Some(vec![]));
    cache(&registry, "s", &[1], None, guard);
    let Discovered::Miss(Some(last)) =
        registry.discovered().discover("s", Lookup::Known, after(60), guard)
    else {
        panic!("a miss, with the last that was known");
    };
    assert_eq!(nodes(last), [1]);
    assert_eq!(registry.discovered().prune(after(659), guard), 0);
    assert!(registry.discovered().last_known("s", after(659), guard).is_some());
    assert!(registry.discovered().last_known("s", after(660), guard).is_none());
    assert_eq!(registry.discovered().prune(after(660), guard), 2);
}

/// M12: that all who were known have ended is not known to be an answer: the next caller asks.
#[test]
fn a_list_whose_peers_have_all_ended_is_a_miss() {
    let brief = |node, seconds| Peer::new(node, "here").time_to_live(secs(seconds));
    let keep = |registry: &Services, guard: &Guard| {
        let list = || vec![brief(1, 10), brief(2, 20)];
        registry.discovered().cache("s", list(), None, NOW, guard).expect("room");
        registry.subscribers().cache("s", list(), None, NOW, guard).expect("room");
        registry.discovered().merge("merged", vec![brief(3, 20)], NOW, guard).expect("room");
    };
    let (registry, mut worker) = plain();
    let guard = worker.quiescent(NOW);
    keep(&registry, guard);
    assert_eq!(discover(&registry, "s", after(19), guard), Some(vec![2]));
    for key in ["s", "merged"] {
        assert_eq!(discover(&registry, key, after(20), guard), None, "{key}");
        assert!(
            registry.discovered().last_known(key, after(20), guard).is_none(),
            "it is not kept"
        );
    }
    assert!(registry.subscribers().get("s", after(20), guard).is_none());
    let again = registry.discovered().cache("s", Vec::new(), None, after(20), guard);
    assert_eq!(again, Ok(false), "nothing was known");
    assert_eq!(discover(&registry, "s", after(20), guard), Some(vec![]), "an answer of none");
    assert_eq!(registry.prune_all(after(20), guard).discovered, 1);
    // Peers that live for ever, or longer than their list, end with it.
    let lasting = vec![brief(1, 10), Peer::new(2, "here").time_to_live(Ttl::Forever)];
    registry.discovered().cache("t", lasting, None, NOW, guard).expect("room");
    registry.discovered().cache("u", vec![brief(1, 600)], None, NOW, guard).expect("room");
    for key in ["t", "u"] {
        assert!(discover(&registry, key, after(59), guard).is_some(), "{key}");
        assert_eq!(discover(&registry, key, after(60), guard), None, "{key}");
    }

    let (registry, mut worker) = keeping();
    let guard = worker.quiescent(NOW);
    keep(&registry, guard);
    let Discovered::Miss(Some(last)) =
        registry.discovered().discover("s", Lookup::Known, after(20), guard)
    else {
        panic!("a miss, with the last that was known");
    };
    assert_eq!(nodes(last), [2], "the last of them");
    assert!(registry.discovered().last_known("s", after(619), guard).is_some());
    assert!(registry.discovered().last_known("s", after(620), guard).is_none());
}

/// Lists that end with their peers do not count as entries about to expire: the time is not held for them.
#[test]
fn lists_of_short_lived_peers_hold_no_time() {
    let (registry, mut worker): (Numbers, _) = fixtures::registry(
        Registry::builder().discovered(Terms::new(secs(320)).hold_mass_expiry(secs(640))),
    );
    for second in 0..400 {
        let (now, guard) = (after(second), worker.quiescent(after(second)));
        if second < 100 {
            let brief = vec![Peer::new(1, ()).time_to_live(secs(40))];
            registry.discovered().cache(second as u32, brief, None, now, guard).expect("room");
        }
        registry.discovered().prune(now, guard);
    }
    let (status, left) = (registry.discovered().time(), registry.discovered().len());
    assert_eq!((status.holding, status.holds, left), (false, 0, 0));
}

/// M7: a pass is done in steps, and its count is exact over all of them.
#[test]
fn a_sweep_removes_what_has_ended_in_steps() {
    let (registry, mut worker): (Numbers, _) = fixtures::registry(Registry::builder());
    for key in 0..1_000 {
        let now = if key % 2 == 0 { NOW } else { after(10) };
        drop(registry.services().advertise(key, key, now, worker.quiescent(now)).expect("room"));
        registry
            .discovered()
            .cache(key, Vec::new(), None, now, worker.quiescent(now))
            .expect("room");
    }
    worker.offline(|| ());
    let mut sweep = registry.sweeper(worker.domain().worker());
    let (mut removed, mut steps) = (0, 0);
    loop {
        let step = sweep.sweep(after(300), Budget::entries(64));
        assert!(step.visited + step.freed <= 64 + 8, "{step:?}");
        (removed, steps) = (removed + step.removed, steps + 1);
        if step.wrapped {
            break;
        }
    }
    assert_eq!((removed, registry.services().len(), registry.discovered().len()), (1_500, 500, 0));
    assert!(steps > 20);
}

/// M13: readers see what is there all the while, whatever is pruned beside them; and no renewal is lost
/// to a prune that is on its way (M5).
#[test]
fn renewed_services_are_there_all_the_while() {
    let domain = Domain::new();
    let registry: Numbers =
        registry_in(&domain, Registry::builder().services(Terms::new(Duration::from_nanos(8))));
    let clock = tidegate_core::ManualClock::new();
    let done = AtomicBool::new(false);
    let mut worker = domain.worker();
    std::thread::scope(|scope| {
        let (registry, clock, done) = (&registry, &clock, &done);
        let mut pruning = domain.worker();
        scope.spawn(move || {
            while !done.load(Ordering::Relaxed) {
                use tidegate_core::Clock;
                let now = clock.now();
                registry.services().prune(now, pruning.quiescent(now));
                pruning.collect(now, Budget::entries(64));
            }
        });
        use tidegate_core::Clock;
        let lease = {
            let guard = worker.quiescent(clock.now());
            registry.services().advertise(1, 1, clock.now(), guard).expect("room")
        };
        for round in 0..200_000_u32 {
            clock.advance(Duration::from_nanos(1));
            let now = clock.now();
            let guard = worker.quiescent(now);
            if round % 4 == 0 {
                lease.renew(now).expect("in time");
                _ = registry.services().advertise(2, round, now, guard).expect("room");
            }
            assert_eq!(registry.services().resolve(&1, now, guard), Some(&1));
            assert!(registry.services().resolve(&2, now, guard).is_some(), "{round}");
        }
        done.store(true, Ordering::Relaxed);
    });
}

/// M12: a list that has ended is as good as none, whether it was pruned or not.
#[test]
fn merging_into_what_has_ended_begins_anew() {
    let (registry, mut worker) = keeping();
    let guard = worker.quiescent(NOW);
    cache(&registry, "s", &[1], None, guard);
    assert!(registry.discovered().merge("s", peers(&[2]), after(60), guard) == Ok(false));
    assert_eq!(discover(&registry, "s", after(60), guard), Some(vec![2]));
    let twice = vec![Peer::new(3, "first"), Peer::new(3, "second")];
    registry.discovered().merge("s", twice, after(60), guard).expect("room");
    assert_eq!(discover(&registry, "s", after(60), guard), Some(vec![2, 3]));
}

#[test]
fn what_is_forgotten_is_not_the_last_known() {
    let (registry, mut worker) = keeping();
    let guard = worker.quiescent(NOW);
    for at in [1, 61] {
        cache(&registry, "s", &[1], None, guard);
        assert_eq!(registry.discovered().forget("s", after(at), guard), at < 60);
        assert!(registry.discovered().last_known("s", after(at), guard).is_none());
    }
}

#[test]
fn peers_are_kept_and_handed_back_as_they_were_given() {
    let terms = Terms::new(secs(60)).max_entries(1, WhenFull::Refuse).keep_last_known(secs(600));
    let (registry, mut worker) = build(Registry::builder().discovered(terms));
    let guard = worker.quiescent(NOW);
    let list = || vec![Peer::new(1, "here").time_to_live(secs(10)), Peer::new(2, "there")];
    registry.discovered().cache("s", list(), None, NOW, guard).expect("room");
    let refused = registry.discovered().cache("t", list(), None, NOW, guard).expect_err("full");
    assert_eq!(refused.value, ("t", list()));
    let Discovered::Hit(known) = registry.discovered().discover("s", Lookup::Known, NOW, guard)
    else {
        panic!("just entered");
    };
    let again: Vec<_> = known.iter().map(|peer| peer.clone().time_to_live(secs(50))).collect();
    registry.discovered().cache("s", again, None, after(5), guard).expect("in its own place");
    assert_eq!(discover(&registry, "s", after(54), guard), Some(vec![1, 2]));
    assert_eq!(discover(&registry, "s", after(55), guard), None, "both had fifty seconds");
    let last = registry.discovered().last_known("s", after(55), guard).expect("kept");
    assert_eq!(nodes(last), [1, 2], "as they were just before");
}

/// M9: two who advertise one key have one place, and whoever comes beside them gets his.
#[test]
fn who_is_known_is_never_refused_and_takes_no_second_place() {
    let domain = Domain::new();
    for when_full in [WhenFull::Refuse, WhenFull::EvictSoonest] {
        let evicted = Arc::new(Mutex::new(0));
        let count = Arc::clone(&evicted);
        let terms = Terms::new(secs(300)).max_entries(2, when_full);
        let builder = Registry::builder().services(terms).on_service(move |_, _, cause| {
            *count.lock().expect("no panic") += u32::from(cause == Departure::Evicted);
        });
        let registry: Numbers = registry_in(&domain, builder);
        std::thread::scope(|scope| {
            for thread in 0..4 {
                let (registry, mut worker) = (&registry, domain.worker());
                scope.spawn(move || {
                    for round in 0..20_000 {
                        let guard = worker.quiescent(NOW);
                        drop(
                            registry
                                .services()
                                .advertise(thread % 2, round, NOW, guard)
                                .expect("known"),
                        );
                        assert!(registry.services().len() <= 2);
                        worker.collect(NOW, Budget::entries(8));
                    }
                });
            }
        });
        assert_eq!((registry.services().len(), *evicted.lock().expect("no panic")), (2, 0));
    }
}

/// M6: at capacity, too, beside one who prunes, each that was entered is there or was told of.
#[test]
fn at_capacity_nobody_goes_untold() {
    let domain = Domain::new();
    let told = Arc::new(Mutex::new(0_u32));
    let count = Arc::clone(&told);
    let registry: Numbers = registry_in(
        &domain,
        Registry::builder()
            .services(Terms::new(Duration::from_nanos(3)).max_entries(1, WhenFull::Refuse))
            .on_service(move |_, _, _| *count.lock().expect("no panic") += 1),
    );
    let done = AtomicBool::new(false);
    let mut entered = 0;
    std::thread::scope(|scope| {
        let (registry, done, mut pruning) = (&registry, &done, domain.worker());
        scope.spawn(move || {
            for nanos in 0.. {
                let now = NOW + Duration::from_nanos(nanos);
                registry.services().prune(now, pruning.quiescent(now));
                pruning.collect(now, Budget::entries(8));
                if done.load(Ordering::Relaxed) {
                    break;
                }
            }
        });
        let mut worker = domain.worker();
        for round in 0..50_000 {
            let now = NOW + Duration::from_nanos(u64::from(round));
            let guard = worker.quiescent(now);
            entered +=
                u32::from(registry.services().advertise(round % 2, round, now, guard).is_ok());
            worker.collect(now, Budget::entries(8));
        }
        done.store(true, Ordering::Relaxed);
    });
    let mut worker = domain.worker();
    registry.services().prune(after(300), worker.quiescent(NOW));
    assert_eq!((registry.services().len(), *told.lock().expect("no panic")), (0, entered));
}

/// M6, M9: who was gone already is not told of again, and makes room.
#[test]
fn a_dead_entry_s_room_is_taken_without_another_word() {
    let log = Log::default();
    let terms = Terms::new(secs(300)).max_entries(1, WhenFull::EvictSoonest);
    let (registry, mut worker) =
        build(Registry::builder().services(terms).on_service(log.listener()));
    let guard = worker.quiescent(NOW);
    drop(registry.services().advertise("a", 1, NOW, guard).expect("room").withdraw_on_drop());
    drop(registry.services().advertise("b", 2, NOW, guard).expect("its room"));
    assert_eq!(log.take(), [("a", 1, Departure::Withdrawn)]);
}

/// M6: whoever is killed is told of, though the domain has no room to take it out.
#[test]
fn who_must_go_is_told_of_though_the_domain_is_full() {
    for cap in [1, 2, 4] {
        let domain = Domain::capped(cap);
        let told = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&told);
        let registry: Numbers = registry_in(
            &domain,
            Registry::builder()
                .services(Terms::new(secs(300)).max_entries(3, WhenFull::EvictSoonest))
                .on_service(move |&key, _, _| log.lock().expect("no panic").push(key)),
        );
        let mut worker = domain.worker();
        let guard = worker.quiescent(NOW);
        let mut entered = Vec::new();
        for key in 0..10 {
            let put =
                registry.services().advertise_for(key, key, secs(10 + u64::from(key)), NOW, guard);
            entered.extend(put.is_ok().then_some(key));
        }
        let mut seen: Vec<_> = registry.services().iter(NOW, guard).map(|(&key, _)| key).collect();
        seen.extend(told.lock().expect("no panic").iter());
        seen.sort_unstable();
        assert_eq!(seen, entered, "with a cap of {cap}");
    }
}

/// M9: newcomers do not refuse one another.
#[test]
fn newcomers_who_evict_at_once_are_all_entered() {
    let domain = Domain::new();
    let registry: Numbers = registry_in(
        &domain,
        Registry::builder().services(Terms::new(secs(300)).max_entries(16, WhenFull::EvictSoonest)),
    );
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let (registry, mut worker) = (&registry, domain.worker());
            scope.spawn(move || {
                for round in 0..5_000 {
                    let guard = worker.quiescent(NOW);
                    let key = thread << 16 | round;
                    drop(
                        registry
                            .services()
                            .advertise(key, key, NOW, guard)
                            .expect("in another's place"),
                    );
                    assert!(registry.services().len() <= 16);
                    worker.collect(NOW, Budget::entries(8));
                }
            });
        }
    });
    assert_eq!(registry.services().len(), 16);
}

/// A hook that panics in the middle of a sweep keeps no room.
#[test]
fn a_hook_that_panics_in_a_sweep_keeps_no_room() {
    let (registry, mut worker): (Numbers, _) = fixtures::registry(
        Registry::builder().on_service(|&key, _, _| assert!(key != 50, "a hook's own")),
    );
    for key in 0..100 {
        drop(registry.services().advertise(key, key, NOW, worker.quiescent(NOW)).expect("room"));
    }
    worker.offline(|| ());
    let mut sweep = registry.sweeper(worker.domain().worker());
    for _ in 0..3 {
        let step = || sweep.sweep(after(300), Budget::UNLIMITED);
        _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(step));
    }
    assert_eq!(registry.services().len(), 0);
}

/// A hook that panics keeps no entry from being freed.
#[test]
fn a_hook_that_panics_holds_nothing() {
    let value = Arc::new(());
    let (registry, mut worker): (Registry<u32, Arc<()>, u64, ()>, _) =
        fixtures::registry(Registry::builder().on_service(|_, _, _| panic!("a hook's own")));
    for withdraws in [false, true] {
        let panics = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let guard = worker.quiescent(NOW);
            let put =
                || registry.services().advertise(1, Arc::clone(&value), NOW, guard).expect("room");
            let first = put();
            if withdraws {
                drop(first.withdraw_on_drop());
            } else {
                drop(first);
                drop(put());
            }
        }));
        assert!(panics.is_err());
        _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            registry.services().withdraw_any(&1, NOW, worker.quiescent(NOW));
        }));
    }
    drop(registry);
    free_all(&mut worker, NOW);
    drop(worker);
    assert_eq!(Arc::strong_count(&value), 1);
}

/// A thread whose clock is behind does not turn the time back.
#[test]
fn who_is_late_does_not_turn_the_time_back() {
    let terms = Terms::new(secs(20)).allow_for_stalls(secs(10));
    let (registry, mut worker) = build(Registry::builder().services(terms));
    let guard = worker.quiescent(NOW);
    drop(registry.services().advertise("a", 1, NOW, guard).expect("room"));
    for at in (5..=95).step_by(5) {
        registry.discovered().prune(after(at), guard);
        drop(registry.services().advertise("other", 1, after(at), guard).expect("room"));
    }
    assert_eq!(registry.services().resolve("a", after(95), guard), None);
    drop(registry.services().advertise("late", 1, after(5), guard).expect("room"));
    for at in 95..200 {
        assert_eq!(registry.services().resolve("a", after(at), guard), None);
    }
}

mod mass_expiry {
    use super::*;

    /// So many tenants, who renew every so many seconds; a second at a time.
    struct World {
        registry: Numbers,
        domain: Domain,
        second: u64,
    }

    const TTL: u64 = 320;
    const TENANTS: u32 = 100;

    impl World {
        fn new(terms: Terms) -> Self {
            let domain = Domain::new();
            let registry = registry_in(&domain, Registry::builder().services(terms));
            let world = Self { registry, domain, second: 1_000 };
            let mut worker = world.domain.worker();
            let now = world.now();
            for tenant in 0..TENANTS {
                let guard = worker.quiescent(now);
                drop(
                    world.registry.services().advertise(tenant, tenant, now, guard).expect("room"),
                );
            }
            world
        }

        fn now(&self) -> Instant {
            Instant::from_secs(self.second)
        }

        fn there(&self) -> usize {
            let worker = self.domain.worker();
            self.registry.services().iter(self.now(), &worker.pin()).count()
        }

        /// For so long, those who renew do so every `every` seconds, each at a second of his own.
        fn run(&mut self, seconds: u64, every: u64, renews: impl Fn(u32) -> bool) {
            let mut worker = self.domain.worker();
            for _ in 0..seconds {
                self.second += 1;
                let (now, guard) = (self.now(), worker.quiescent(self.now()));
                for tenant in (0..TENANTS).filter(|&tenant| renews(tenant)) {
                    let turn = u64::from(tenant) * every / u64::from(TENANTS);
                    if self.second % every == turn
                        && self.registry.services().renew_any(&tenant, now, guard).is_err()
                    {
                        drop(
                            self.registry
                                .services()
                                .advertise(tenant, 0, now, guard)
                                .expect("room"),
                        );
                    }
                }
                if self.second.is_multiple_of(20) {
                    self.registry.services().prune(now, guard);
                }
            }
        }

        fn held(&self) -> (bool, u64) {
            let status = self.registry.services().time();
            (status.holding, status.holds)
        }
    }

    fn terms() -> Terms {
        Terms::new(secs(TTL))
    }

    fn held() -> Terms {
        terms().hold_mass_expiry(secs(2 * TTL))
    }

    #[test]
    fn without_a_hold_all_that_are_silent_go() {
        let mut world = World::new(terms());
        world.run(TTL, 100, |_| true);
        world.run(TTL, 100, |_| false);
        assert_eq!(world.there(), 0);
    }

    #[test]
    fn tenants_who_renew_in_whatever_rhythm_are_never_held() {
        for every in [40, 107, 160, 220, 256] {
            let mut world = World::new(held());
            world.run(10 * TTL, every, |_| true);
            assert_eq!((world.there(), world.held()), (100, (false, 0)), "every {every} s");
        }
    }

    #[test]
    fn tenants_who_renew_all_at_once_are_not_held_either() {
        let mut world = World::new(held());
        let mut worker = world.domain.worker();
        for second in 1..10 * TTL {
            world.second += 1;
            let (now, guard) = (world.now(), worker.quiescent(world.now()));
            if second % 240 == 0 {
                (0..TENANTS).for_each(|it| {
                    world.registry.services().renew_any(&it, now, guard).expect("lives")
                });
            }
            world.registry.services().prune(now, guard);
        }
        assert_eq!((world.there(), world.held()), (100, (false, 0)));
    }

    #[test]
    fn a_few_who_go_are_not_held() {
        let mut world = World::new(held());
        world.run(TTL, 100, |_| true);
        world.run(2 * TTL, 100, |tenant| tenant >= 30);
        assert_eq!((world.there(), world.held()), (70, (false, 0)));
    }

    /// The registry's network is gone for a while: its tenants are not.
    #[test]
    fn a_silence_is_held_and_ends_when_the_tenants_are_back() {
        for every in [40, 107, 220, 256] {
            let mut world = World::new(held());
            world.run(2 * TTL, every, |_| true);
            world.run(2 * TTL, every, |_| false);
            assert!(world.held().0, "every {every} s");
            assert!(world.there() >= 95, "{} are there, every {every} s", world.there());
            world.run(2 * TTL, every, |_| true);
            assert_eq!((world.there(), world.held()), (100, (false, 1)), "every {every} s");
        }
    }

    /// What others lack: a true scale-down is held once, and then it is over.
    #[test]
    fn a_true_scale_down_ends_after_the_longest_hold() {
        for every in [40, 220] {
            let mut world = World::new(held());
            world.run(2 * TTL, every, |_| true);
            world.run(8 * TTL, every, |tenant| tenant < 5);
            assert_eq!((world.there(), world.held()), (5, (false, 1)), "every {every} s");
            let mut worker = world.domain.worker();
            let guard = worker.quiescent(world.now());
            world.registry.services().prune(world.now(), guard);
            assert_eq!(world.registry.services().len(), 5);
        }
    }

    /// Nobody who was shown an entry's end is shown it alive again.
    #[test]
    fn what_has_ended_once_stays_ended() {
        let mut world = World::new(held());
        world.run(2 * TTL, 220, |_| true);
        let mut before = world.there();
        for _ in 0..6 * TTL {
            world.run(1, 220, |_| false);
            let now = world.there();
            assert!(now <= before, "{now} after {before} at {}", world.second);
            before = now;
        }
        assert_eq!(before, 0);
    }

    /// The clock's origin may be far away.
    #[test]
    fn a_silence_is_held_however_late_it_is() {
        let mut world = World::new(held());
        world.second = 2_000_000_000;
        let mut worker = world.domain.worker();
        let now = world.now();
        for tenant in 0..TENANTS {
            drop(
                world
                    .registry
                    .services()
                    .advertise(tenant, 0, now, worker.quiescent(now))
                    .expect("room"),
            );
        }
        drop(worker);
        world.run(2 * TTL, 107, |_| true);
        world.run(2 * TTL, 107, |_| false);
        assert!(world.held().0 && world.there() >= 95);
    }

    /// Entries that ended long ago, and were not removed, do not count as silent.
    #[test]
    fn the_long_dead_do_not_hold_the_time() {
        let mut world = World::new(held().keep_last_known(secs(25 * TTL)));
        world.run(TTL, 128, |_| true);
        // Nothing is pruned, and only a few are left: they are not to be held again and again.
        world.run(20 * TTL, 128, |tenant| tenant < 16);
        assert_eq!((world.there(), world.held()), (16, (false, 1)));
    }

    /// A process that was stopped gives its tenants the time that it took from them, also with a hold.
    #[test]
    fn a_stop_is_not_charged_where_there_is_a_hold_either() {
        let mut world = World::new(held().allow_for_stalls(secs(60)));
        world.run(TTL, 100, |_| true);
        world.second += 10 * TTL;
        assert_eq!(world.there(), 100);
        world.run(2 * TTL, 100, |_| true);
        assert_eq!(world.there(), 100);
        assert!(!world.held().0);
    }

    /// Time in which the registry itself stood still is not charged, beyond the allowance.
    #[test]
    fn a_stopped_process_charges_nobody() {
        let mut world = World::new(terms().allow_for_stalls(secs(60)));
        world.run(TTL, 100, |_| true);
        world.second += 10 * TTL;
        assert_eq!(world.there(), 100, "also before anybody looks");
        world.run(1, 100, |_| true);
        assert_eq!(world.there(), 100);
        world.run(200, 100, |_| true);
        assert_eq!(world.there(), 100);
        let credit = Duration::from_nanos(world.registry.services().time().credit);
        assert!(credit >= secs(10 * TTL - 61) && credit <= secs(10 * TTL), "{credit:?}");
        world.run(TTL, 100, |_| false);
        assert_eq!(world.there(), 0, "and time goes on");
    }
}
