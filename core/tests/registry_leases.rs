//! Leases: owned, and of one entry, whatever becomes of its key, its registry and the threads around it.

mod common;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use common::fixtures::{self, registry_in};
use tidegate_core::registry::{Departure, LapsedError, Lease, RegistryError, Terms, WhenFull};
use tidegate_core::{Budget, Domain, Instant, Registry, Ttl, Worker};

type Services<V = u16> = Registry<&'static str, V, (), ()>;
type Log = fixtures::Log<&'static str, u16, Departure>;

const TTL: Duration = Duration::from_secs(300);

fn at(seconds: u64) -> Instant {
    Instant::from_secs(1_000 + seconds)
}

fn services_in(domain: &Domain, terms: Terms) -> (Services, Log) {
    let log = Log::default();
    let builder = Registry::builder().services(terms).on_service(log.listener());
    (registry_in(domain, builder), log)
}

fn services(terms: Terms) -> (Services, Worker, Log) {
    let domain = Domain::new();
    let (registry, log) = services_in(&domain, terms);
    (registry, domain.worker(), log)
}

fn told(log: &Log) -> Vec<(u16, Departure)> {
    log.take().into_iter().map(|(_, port, cause)| (port, cause)).collect()
}

/// A restart without a gap: the new instance has taken the key over when the old one goes.
#[test]
fn the_old_holder_of_a_key_leaves_the_new_one_alone() {
    let (registry, mut worker, log) = services(Terms::new(TTL));
    let guard = worker.quiescent(at(0));
    let old = registry.services().advertise("mail", 25, at(0), guard).expect("room");
    let new = registry.services().advertise("mail", 2525, at(10), guard).expect("room");
    assert_eq!(told(&log), [(25, Departure::Replaced)]);
    assert!(old.has_lapsed(at(10)) && !new.has_lapsed(at(10)));
    assert_eq!(old.renew(at(200)), Err(LapsedError));
    assert_eq!(registry.services().resolve("mail", at(309), guard), Some(&2525));
    assert!(
        registry.services().resolve("mail", at(310), guard).is_none(),
        "the old one renewed nothing"
    );

    assert!(!registry.services().withdraw(old, at(12), guard));
    let another = registry.services().advertise("other", 1, at(0), guard).expect("room");
    drop(another.withdraw_on_drop());
    assert_eq!(registry.services().resolve("mail", at(12), guard), Some(&2525));
    assert_eq!(told(&log), [(1, Departure::Withdrawn)]);

    assert!(registry.services().withdraw(new, at(13), guard));
    assert_eq!(registry.services().resolve("mail", at(13), guard), None);
    assert_eq!(told(&log), [(2525, Departure::Withdrawn)]);
}

/// By its key anything can be renewed and withdrawn, and the names say so.
#[test]
fn acting_by_key_is_named_so() {
    let (registry, mut worker, _log) = services(Terms::new(TTL));
    let guard = worker.quiescent(at(0));
    let lease = registry.services().advertise("mail", 25, at(0), guard).expect("room");
    assert_eq!(registry.services().renew_any("mail", at(200), guard), Ok(()));
    assert!(!lease.has_lapsed(at(499)) && lease.has_lapsed(at(500)));
    assert_eq!(registry.services().withdraw_any("mail", at(201), guard), Some(&25));
    assert!(lease.has_lapsed(at(201)));
    assert_eq!(registry.services().renew_any("mail", at(201), guard), Err(LapsedError));
}

/// To withdraw gives the room back at once, and what has expired is told as that.
#[test]
fn withdrawing_gives_the_room_back() {
    let (registry, mut worker, log) = services(Terms::new(TTL).max_entries(1, WhenFull::Refuse));
    let guard = worker.quiescent(at(0));
    let lease = registry.services().advertise("a", 1, at(0), guard).expect("room");
    assert!(registry.services().withdraw(lease, at(1), guard));
    assert_eq!(registry.services().len(), 0);
    let lease = registry.services().advertise("b", 2, at(1), guard).expect("its room");
    assert!(!registry.services().withdraw(lease, at(301), guard), "it had expired");
    assert_eq!(registry.services().len(), 0);
    // A lease that is dropped leaves the room to whoever prunes.
    drop(
        registry.services().advertise("c", 3, at(302), guard).expect("its room").withdraw_on_drop(),
    );
    assert_eq!(registry.services().len(), 1);
    registry.services().prune(at(302), guard);
    assert_eq!(registry.services().len(), 0);
    let all = [(1, Departure::Withdrawn), (2, Departure::Expired), (3, Departure::Withdrawn)];
    assert_eq!(told(&log), all);
}

/// A lease of one registry, handed to another: what it was given for is withdrawn, and nothing else.
#[test]
fn a_lease_is_of_its_own_registry() {
    let domain = Domain::new();
    let ((ours, log), (theirs, other)) =
        (services_in(&domain, Terms::new(TTL)), services_in(&domain, Terms::new(TTL)));
    let mut worker = domain.worker();
    let guard = worker.quiescent(at(0));
    let lease = ours.services().advertise("mail", 1, at(0), guard).expect("room");
    drop(theirs.services().advertise("mail", 2, at(0), guard).expect("room"));
    assert!(theirs.services().withdraw(lease, at(0), guard));
    assert_eq!(
        (ours.services().resolve("mail", at(0), guard), told(&log)),
        (None, vec![(1, Departure::Withdrawn)])
    );
    assert_eq!((theirs.services().resolve("mail", at(0), guard), told(&other)), (Some(&2), vec![]));
    ours.services().prune(at(0), guard);
    assert_eq!((ours.services().len(), theirs.services().len()), (0, 1));
}

#[test]
fn what_is_there_is_not_displaced_if_asked_so() {
    let (registry, mut worker, log) = services(Terms::new(TTL).max_entries(1, WhenFull::Refuse));
    let guard = worker.quiescent(at(0));
    let enter = |key, port, now| {
        let ttl = Some(Ttl::For(Duration::from_secs(10)));
        registry.services().advertise_if_absent(key, port, ttl, now, guard)
    };
    let first = enter("mail", 1, at(0)).expect("absent");
    let refused = enter("mail", 2, at(9)).map(drop).expect_err("taken");
    assert_eq!((refused.error, refused.value), (RegistryError::Taken, ("mail", 2)));
    let refused = enter("web", 3, at(9)).map(drop).expect_err("full");
    assert_eq!((refused.error, refused.value), (RegistryError::Full, ("web", 3)));
    assert!(told(&log).is_empty() && !first.has_lapsed(at(9)));
    // What has expired is absent, whether it was pruned or not; so is what was withdrawn without a guard.
    let second = enter("mail", 4, at(10)).expect("absent");
    assert!(!second.has_replaced());
    assert_eq!(told(&log), [(1, Departure::Expired)]);
    drop(second.withdraw_on_drop());
    let third = enter("mail", 5, at(11)).expect("absent");
    assert_eq!(
        (registry.services().resolve("mail", at(11), guard), registry.services().len()),
        (Some(&5), 1)
    );
    assert_eq!((first.renew(at(5)), third.renew(at(12))), (Err(LapsedError), Ok(())));
}

/// A lease outlives its function, its thread and its registry.
#[test]
fn a_lease_is_owned() {
    fn assert_moves<T: Send + Sync + 'static>(it: T) -> T {
        it
    }

    let (domain, value, told) = (Domain::new(), Arc::new(25), Arc::new(AtomicBool::new(false)));
    let tells = Arc::clone(&told);
    let registry: Services<Arc<u16>> = registry_in(
        &domain,
        Registry::builder().on_service(move |_, _, _| tells.store(true, Ordering::Relaxed)),
    );
    let begin = |registry: &Services<Arc<u16>>| -> Lease<&'static str, Arc<u16>> {
        let worker = domain.worker();
        registry
            .services()
            .advertise("mail", Arc::clone(&value), at(0), &worker.pin())
            .expect("room")
    };
    let lease = assert_moves(begin(&registry).withdraw_on_drop());
    let lease = std::thread::spawn(move || lease.renew(at(200)).map(|()| lease));
    let lease = lease.join().expect("no panic").expect("it lives");
    assert!(!lease.has_lapsed(at(499)));
    drop(registry);
    assert_eq!((lease.renew(at(201)), lease.has_lapsed(at(201))), (Err(LapsedError), true));
    assert_eq!((lease.key(), lease.value()), (&"mail", &Arc::new(25)));
    assert_eq!(Arc::strong_count(&value), 2, "only the lease keeps it");
    std::thread::spawn(move || drop(lease)).join().expect("no panic");
    assert_eq!(Arc::strong_count(&value), 1);
    assert!(!told.load(Ordering::Relaxed), "there is no registry that it could leave");
}

/// A lease keeps its own entry, and nothing that others have removed.
#[test]
fn a_lease_holds_no_garbage_back() {
    let (registry, mut worker, _log) = services(Terms::new(TTL));
    let lease =
        registry.services().advertise("a", 1, at(0), worker.quiescent(at(0))).expect("room");
    for round in 0..1_000 {
        let guard = worker.quiescent(at(round));
        let other = registry.services().advertise("b", 2, at(round), guard).expect("room");
        assert!(registry.services().withdraw(other, at(round), guard));
    }
    assert!(registry.services().withdraw_any("a", at(0), worker.quiescent(at(0))).is_some());
    worker.offline(|| ());
    for round in 0..100 {
        worker.collect(at(1_000 + round), Budget::UNLIMITED);
    }
    assert_eq!(worker.domain().gauges(at(2_000)).garbage(), 0);
    assert_eq!(lease.value(), &1, "still there to be read");
}

/// Holders that come and go, by lease and by name, while another prunes: each service is told of once, a
/// lease never acts on another's, and its value is dropped when both have let go of it.
#[test]
fn leases_race_their_successors() {
    const ROUNDS: u32 = if cfg!(miri) { 100 } else { 50_000 };

    struct Value(u32, Arc<Mutex<Vec<u32>>>);
    impl Drop for Value {
        fn drop(&mut self) {
            self.1.lock().expect("no panic").push(self.0);
        }
    }

    let domain = Domain::new();
    let (gone, dropped) = (Arc::new(Mutex::new(Vec::new())), Arc::<Mutex<Vec<u32>>>::default());
    let tells = Arc::clone(&gone);
    let registry: Registry<u32, Value, (), ()> = registry_in(
        &domain,
        Registry::builder()
            // A removal gives its place back a moment after the entry is gone: one place for each thread.
            .services(Terms::new(TTL).max_entries(3, WhenFull::Refuse))
            .on_service(move |_, value: &Value, _| tells.lock().expect("no panic").push(value.0)),
    );
    std::thread::scope(|scope| {
        for thread in 0..3_u32 {
            let (registry, dropped, mut worker) = (&registry, &dropped, domain.worker());
            scope.spawn(move || {
                for round in 0..ROUNDS {
                    let id = thread << 24 | round;
                    let guard = worker.quiescent(at(0));
                    let value = Value(id, Arc::clone(dropped));
                    let lease =
                        registry.services().advertise(1, value, at(0), guard).expect("room");
                    match round % 3 {
                        0 => drop(lease.withdraw_on_drop()),
                        1 => _ = registry.services().withdraw(lease, at(0), guard),
                        _ => {
                            _ = lease.renew(at(0));
                            assert_eq!(lease.value().0, id);
                        }
                    }
                    if thread == 0 {
                        registry.services().prune(at(0), guard);
                    }
                    worker.collect(at(0), Budget::entries(16));
                }
            });
        }
    });
    let mut worker = domain.worker();
    let guard = worker.quiescent(at(0));
    let left = registry.services().iter(at(0), guard).map(|(_, value)| value.0).collect::<Vec<_>>();
    registry.services().prune(at(0), guard);
    assert_eq!(registry.services().len(), left.len());
    let everything = |mut seen: Vec<u32>| {
        seen.sort_unstable();
        let all: Vec<_> =
            (0..3).flat_map(|thread| (0..ROUNDS).map(move |round| thread << 24 | round)).collect();
        seen == all
    };
    let mut told = std::mem::take(&mut *gone.lock().expect("no panic"));
    told.extend(left);
    assert!(everything(told), "each is there, or was told of once");
    drop((registry, worker, domain));
    assert!(everything(std::mem::take(&mut *dropped.lock().expect("no panic"))), "dropped once");
}
