//! Arrivals are told as departures are: each once, and before the departure of the same entry.

mod common;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, mpsc};
use std::thread::ThreadId;
use std::time::Duration;

use common::fixtures::{registry, registry_in};
use tidegate_core::registry::{Arrival, Builder, Departure, Peer, Terms, WhenFull};
use tidegate_core::{Budget, Domain, Guard, Instant, Registry};

type Services = Registry<u32, u32, u64, ()>;
type Plan = Builder<u32, u32, u64, ()>;

const NOW: Instant = Instant::from_secs(1_000);

fn after(seconds: u64) -> Instant {
    NOW + Duration::from_secs(seconds)
}

/// What hooks were told: of which value, and what became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Told {
    Arrived(u32),
    /// The second has taken the place of the first.
    Replaced(u32, u32),
    Departed(u32, Departure),
}

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<Told>>>);

impl Log {
    fn push(&self, told: Told) {
        self.0.lock().expect("no panic").push(told);
    }

    /// What was told since this was last asked.
    fn take(&self) -> Vec<Told> {
        std::mem::take(&mut self.0.lock().expect("no panic"))
    }

    fn listen(&self, plan: Plan) -> Plan {
        let (come, gone) = (self.clone(), self.clone());
        plan.on_service_arrival(move |_, &new, arrival| {
            come.push(match arrival {
                Arrival::Arrived => Told::Arrived(new),
                Arrival::Replaced(&old) => Told::Replaced(old, new),
            });
        })
        .on_service(move |_, &old, cause| gone.push(Told::Departed(old, cause)))
    }
}

#[test]
fn each_service_is_told_how_it_came() {
    let log = Log::default();
    let (registry, mut worker) = registry(log.listen(Registry::builder()));
    let (guard, services) = (worker.quiescent(NOW), registry.services());
    let put = |key, value, now| services.advertise(key, value, now, guard).expect("room");

    let first = put(1, 10, NOW);
    assert_eq!(log.take(), [Told::Arrived(10)]);
    drop(put(1, 11, NOW));
    assert_eq!(log.take(), [Told::Departed(10, Departure::Replaced), Told::Replaced(10, 11)]);
    assert!(first.renew(NOW).is_err());
    drop(first.withdraw_on_drop());
    assert_eq!(log.take(), [], "it has departed");

    // What has expired is not replaced, and nothing brings it back.
    assert!(services.renew_any(&1, after(300), guard).is_err());
    drop(put(1, 12, after(300)));
    assert_eq!(log.take(), [Told::Departed(11, Departure::Expired), Told::Arrived(12)]);
    assert!(services.advertise_if_absent(1, 13, None, after(300), guard).is_err());
    assert_eq!(log.take(), [], "nothing was entered");
    drop(services.advertise_if_absent(1, 14, None, after(600), guard).expect("absent"));
    assert_eq!(log.take(), [Told::Departed(12, Departure::Expired), Told::Arrived(14)]);

    // Nor is what was withdrawn, which may still be in the map.
    let last = put(2, 20, NOW).withdraw_on_drop();
    drop(last);
    drop(put(2, 21, NOW));
    let told = [Told::Arrived(20), Told::Departed(20, Departure::Withdrawn), Told::Arrived(21)];
    assert_eq!(log.take(), told);
    assert_eq!(services.renew_any(&2, NOW, guard), Ok(()));
    assert_eq!(services.prune(after(900), guard), 2);
    assert_eq!(log.take().len(), 2, "a renewal is no arrival");
}

#[test]
fn an_entry_that_takes_another_s_room_replaces_none() {
    let log = Log::default();
    let terms = Terms::new(Duration::from_secs(300)).max_entries(1, WhenFull::EvictSoonest);
    let (registry, mut worker) = registry(log.listen(Registry::builder()).services(terms));
    let (guard, services) = (worker.quiescent(NOW), registry.services());
    drop(services.advertise(1, 10, NOW, guard).expect("room"));
    drop(services.advertise(2, 20, NOW, guard).expect("room"));
    let told = [Told::Arrived(10), Told::Departed(10, Departure::Evicted), Told::Arrived(20)];
    assert_eq!(log.take(), told);
}

#[test]
fn lists_arrive_and_are_replaced_whole() {
    fn nodes(list: &[Peer<u64, ()>]) -> Vec<u64> {
        list.iter().map(|peer| peer.node).collect()
    }
    fn told(list: &[Peer<u64, ()>], arrival: Arrival<'_, [Peer<u64, ()>]>) -> String {
        match arrival {
            Arrival::Arrived => format!("{:?}", nodes(list)),
            Arrival::Replaced(old) => format!("{:?} for {:?}", nodes(list), nodes(old)),
        }
    }
    let log = Arc::new(Mutex::new(Vec::new()));
    let (providers, topics) = (Arc::clone(&log), Arc::clone(&log));
    let plan: Plan = Registry::builder()
        .on_discovered_arrival(move |_, list, arrival| {
            providers.lock().expect("no panic").push(format!("P {}", told(list, arrival)));
        })
        .on_subscribers_arrival(move |_, list, arrival| {
            topics.lock().expect("no panic").push(format!("T {}", told(list, arrival)));
        });
    let (registry, mut worker) = registry(plan);
    let guard = worker.quiescent(NOW);
    let peer = |node| vec![Peer::new(node, ())];
    assert_eq!(registry.discovered().cache(1, peer(1), None, NOW, guard), Ok(false));
    assert_eq!(registry.discovered().merge(1, peer(2), NOW, guard), Ok(true));
    assert_eq!(registry.subscribers().merge(1, peer(3), NOW, guard), Ok(false));
    assert_eq!(registry.subscribers().cache(1, vec![], None, NOW, guard), Ok(true));
    let log = std::mem::take(&mut *log.lock().expect("no panic"));
    assert_eq!(log, ["P [1]", "P [1, 2] for [1]", "T [3]", "T [] for [3]"]);
}

/// A thread removes an entry while another thread reports its arrival. The reporting thread then reports
/// the departure, too.
#[test]
fn what_goes_while_it_arrives_departs_after_that() {
    type Seen = Arc<Mutex<Vec<(&'static str, ThreadId)>>>;
    let seen = Seen::default();
    let (come, gone) = (Arc::clone(&seen), Arc::clone(&seen));
    let (is_coming, comes) = mpsc::channel();
    let (has_gone, goes) = mpsc::channel::<()>();
    let goes = Mutex::new(goes);
    let domain = Domain::new();
    let registry: Services = registry_in(
        &domain,
        Registry::builder()
            .on_service_arrival(move |_, _, _| {
                is_coming.send(()).expect("a thread waits");
                goes.lock().expect("no panic").recv().expect("it goes");
                come.lock().expect("no panic").push(("come", std::thread::current().id()));
            })
            .on_service(move |_, _, cause| {
                assert_eq!(cause, Departure::Withdrawn);
                gone.lock().expect("no panic").push(("gone", std::thread::current().id()));
            }),
    );
    let arriving = std::thread::scope(|scope| {
        let (registry, mut worker) = (&registry, domain.worker());
        let arriving = scope.spawn(move || {
            let lease = registry.services().advertise(1, 10, NOW, worker.quiescent(NOW));
            assert!(lease.expect("room").has_lapsed(NOW));
        });
        let arriving = arriving.thread().id();
        comes.recv().expect("it comes");
        let mut worker = domain.worker();
        let guard = worker.quiescent(NOW);
        assert_eq!(registry.services().withdraw_any(&1, NOW, guard), Some(&10));
        assert_eq!(registry.services().resolve(&1, NOW, guard), None, "it has gone at once");
        assert!(seen.lock().expect("no panic").is_empty(), "and is not told of before it came");
        has_gone.send(()).expect("it waits");
        arriving
    });
    let seen = seen.lock().expect("no panic");
    assert_eq!(*seen, [("come", arriving), ("gone", arriving)]);
}

/// An entry of which a hook could not be told does not stay.
#[test]
fn what_could_not_be_told_is_gone() {
    let log = Log::default();
    let gone = log.clone();
    let plan: Plan = Registry::builder()
        .on_service_arrival(|_, &value, _| assert!(value != 13, "a hook's own"))
        .on_service(move |_, &old, cause| gone.push(Told::Departed(old, cause)))
        .on_subscribers_arrival(|_, _, _| panic!("a hook's own"));
    let (registry, mut worker) = registry(plan);
    let guard = worker.quiescent(NOW);
    let panics = |f: &mut dyn FnMut()| {
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(f)).expect_err("a hook's own");
    };
    drop(registry.services().advertise(1, 10, NOW, guard).expect("room"));
    panics(&mut || drop(registry.services().advertise(1, 13, NOW, guard)));
    panics(&mut || drop(registry.subscribers().cache(1, vec![], None, NOW, guard)));
    assert_eq!((registry.services().len(), registry.subscribers().len()), (0, 0));
    assert_eq!(log.take(), [Told::Departed(10, Departure::Replaced)], "what came before, once");
    drop(registry.services().advertise(1, 11, NOW, guard).expect("room"));
    registry.services().withdraw_any(&1, NOW, guard);
    assert_eq!(log.take(), [Told::Departed(11, Departure::Withdrawn)]);
}

/// What hooks know of each service that ever was. They panic at what they should not be told.
#[derive(Default)]
struct Book {
    /// By value: how it departed, once it has.
    known: HashMap<u32, Option<Departure>>,
    /// Who was said to be replaced.
    replaced: Vec<u32>,
}

impl Book {
    fn live(&self) -> usize {
        self.known.values().filter(|departed| departed.is_none()).count()
    }
}

/// Arrivals less departures is what lives, in whatever order threads call. Each service departs after it
/// has arrived. The values that arrivals report as replaced are those that departed as replaced.
#[test]
fn arrivals_and_departures_are_pairs() {
    let rounds: u32 = if cfg!(debug_assertions) { 4_000 } else { 40_000 };
    let domain = Domain::new();
    let book = Arc::new(Mutex::new(Book::default()));
    let (come, gone) = (Arc::clone(&book), Arc::clone(&book));
    let terms = Terms::new(Duration::from_nanos(40)).max_entries(3, WhenFull::EvictSoonest);
    let registry: Services = registry_in(
        &domain,
        Registry::builder()
            .services(terms)
            .on_service_arrival(move |_, &value, arrival| {
                let mut book = come.lock().expect("no panic");
                assert_eq!(book.known.insert(value, None), None, "{value} arrives twice");
                if let Arrival::Replaced(&old) = arrival {
                    book.replaced.push(old);
                }
            })
            .on_service(move |_, &value, cause| {
                let mut book = gone.lock().expect("no panic");
                let known = book.known.get_mut(&value).expect("it has arrived");
                assert_eq!(known.replace(cause), None, "{value} departs twice");
            }),
    );
    let act = |thread: u32, round: u32, guard: &Guard| {
        let services = registry.services();
        let now = NOW + Duration::from_nanos(u64::from(round));
        let (key, value) = (round % 4, thread << 24 | round);
        match round.wrapping_mul(0x9e37_79b9) >> 29 {
            0 => drop(services.advertise_if_absent(key, value, None, now, guard)),
            1 => _ = services.withdraw_any(&key, now, guard),
            2 => _ = services.prune(now, guard),
            3 => {
                if let Ok(lease) = services.advertise(key, value, now, guard) {
                    drop(lease.withdraw_on_drop());
                }
            }
            4 => {
                if let Ok(lease) = services.advertise(key, value, now, guard) {
                    _ = lease.renew(now);
                    services.withdraw(lease, now, guard);
                }
            }
            _ => drop(services.advertise(key, value, now, guard)),
        }
    };
    std::thread::scope(|scope| {
        for thread in 0..3 {
            let (act, mut worker) = (&act, domain.worker());
            scope.spawn(move || {
                for round in 0..rounds {
                    act(thread, round, worker.quiescent(NOW));
                    worker.collect(NOW, Budget::entries(4));
                }
            });
        }
    });
    let mut worker = domain.worker();
    let guard = worker.quiescent(NOW);
    registry.services().prune(Instant::ORIGIN, guard);
    let there = registry.services().len();
    let book = book.lock().expect("no panic");
    assert_eq!(book.live(), there, "arrivals less departures");
    let mut replaced = book.replaced.clone();
    replaced.sort_unstable();
    let departed = book.known.iter().filter(|(_, how)| **how == Some(Departure::Replaced));
    let mut departed: Vec<_> = departed.map(|(&value, _)| value).collect();
    departed.sort_unstable();
    assert_eq!(replaced, departed, "each that was replaced has a successor that says so");
    assert!(replaced.len() > 100, "only {}", replaced.len());
}
