//! The registry: who comes first of those who renew, replace, withdraw and prune an entry, and when the
//! time is held.
//!
//! Keys are their own hashes. At the end of every model each entry has gone once, or is there, and what
//! is counted is what is there.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use loom::cell::UnsafeCell;
use tidegate_core::registry::{
    Arrival, Departure, Discovered, Lease, Lookup, Peer, Registry, Terms, TimeStatus, WhenFull,
};
use tidegate_core::{Budget, Domain, Guard, Instant, Worker, model};

use crate::identity::Identity;
use crate::{Model, both, race, together};

/// The models of this module.
pub const MODELS: &[Model] = &[
    Model {
        name: "g01_renewal_races_expiry",
        preemptions: 3,
        run: renewal_races_expiry,
        outcomes: both(&["renewed, pruned 0", "lapsed, pruned 1"]),
    },
    Model {
        name: "g02_renewal_races_readvertise",
        preemptions: 3,
        run: renewal_races_readvertise,
        outcomes: both(&["renewed", "lapsed"]),
    },
    Model {
        name: "g03_withdraw_races_renewal",
        preemptions: 3,
        run: withdraw_races_renewal,
        outcomes: both(&["renewed", "lapsed"]),
    },
    Model {
        name: "g04_prune_exactly_once",
        preemptions: 3,
        run: prune_exactly_once,
        outcomes: both(&["[0, 1]", "[1, 0]"]),
    },
    Model {
        name: "g05_readvertise_races_resolve",
        preemptions: 3,
        run: readvertise_races_resolve,
        outcomes: both(&["10", "11"]),
    },
    Model {
        name: "g06_two_newcomers_one_room",
        preemptions: 3,
        run: two_newcomers_one_room,
        outcomes: both(&["[false, true]", "[true, false]"]),
    },
    Model {
        name: "g07_readvertise_in_a_full_registry",
        preemptions: 3,
        run: readvertise_in_a_full_registry,
        outcomes: both(&["newcomer refused"]),
    },
    Model {
        name: "g08_lease_goes_while_the_entry_does",
        preemptions: 3,
        run: lease_goes_while_the_entry_does,
        outcomes: both(&["Withdrawn", "Replaced"]),
    },
    Model {
        name: "g09_two_merge_a_list",
        preemptions: 2,
        run: two_merge_a_list,
        outcomes: both(&["[1, 2]", "[2, 1]"]),
    },
    Model {
        name: "g10_stall_is_credited_while_time_is_read",
        preemptions: 3,
        run: stall_is_credited_while_time_is_read,
        outcomes: both(&["there then there"]),
    },
    Model {
        name: "g11_lease_outlives_the_entry",
        preemptions: 1,
        run: lease_outlives_the_entry,
        outcomes: both(&["freed by the collector", "freed by the lease"]),
    },
    Model {
        name: "g12_two_newcomers_evict_the_soonest",
        preemptions: 2,
        run: two_newcomers_evict_the_soonest,
        outcomes: both(&[
            "entered [true, false], left [20]",
            "entered [false, true], left [30]",
            "entered [true, true], left [20]",
            "entered [true, true], left [30]",
        ]),
    },
    Model {
        name: "g13_two_notice_that_renewals_have_stopped",
        preemptions: 2,
        run: two_notice_that_renewals_have_stopped,
        outcomes: both(&["behind by 26 s", "behind by 25 s"]),
    },
    Model {
        name: "g14_withdrawal_races_successor",
        preemptions: 3,
        run: withdrawal_races_successor,
        outcomes: both(&["withdrawn", "replaced"]),
    },
    Model {
        name: "g15_two_enter_where_one_has_expired",
        preemptions: 2,
        run: two_enter_where_one_has_expired,
        outcomes: both(&["[false, true]", "[true, false]"]),
    },
    Model {
        name: "g16_renewal_races_entering_if_absent",
        preemptions: 3,
        run: renewal_races_entering_if_absent,
        outcomes: both(&["renewed, taken", "lapsed, entered"]),
    },
    Model {
        name: "g17_lease_outlives_its_registry",
        preemptions: 3,
        run: lease_outlives_its_registry,
        outcomes: both(&["renewed, told", "renewed, untold", "lapsed, untold"]),
    },
    Model {
        name: "g18_withdrawal_races_arrival",
        preemptions: 3,
        run: withdrawal_races_arrival,
        outcomes: both(&["absent", "told", "left to the other"]),
    },
    Model {
        name: "g19_two_arrive_in_one_place",
        preemptions: 3,
        run: two_arrive_in_one_place,
        outcomes: both(&["10 for 11", "11 for 10"]),
    },
    Model {
        name: "g20_pruning_races_arrival_in_place_of_another",
        preemptions: 3,
        run: pruning_races_arrival_in_place_of_another,
        outcomes: both(&["pruned [11]", "pruned []"]),
    },
    Model {
        name: "g21_arrival_races_withdrawal_of_another",
        preemptions: 3,
        run: arrival_races_withdrawal_of_another,
        outcomes: both(&["10 withdrawn", "11 withdrawn"]),
    },
];

const NOW: Instant = Instant::from_secs(100);
const TTL: Duration = Duration::from_secs(16);

type Services = Registry<u64, u64, u64, (), Identity>;
type Gone = Arc<Mutex<Vec<(u64, Departure)>>>;
type Told = Arc<Mutex<Vec<Event>>>;

/// What hooks are told.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Event {
    Arrived(u64),
    /// The second took the place of the first.
    Replaced(u64, u64),
    Departed(u64, Departure),
}

struct Setting {
    registry: Services,
    gone: Gone,
    /// The same with arrivals, where those are told.
    told: Option<Told>,
    /// Of what was entered to begin with.
    lease: Mutex<Option<Lease<u64, u64>>>,
}

impl Setting {
    fn gone(&self) -> Vec<(u64, Departure)> {
        self.gone.lock().expect("no panic").clone()
    }

    fn has_departed(&self, value: u64) -> bool {
        self.gone().iter().any(|&(gone, _)| gone == value)
    }

    fn put(&self, key: u64, value: u64, now: Instant, guard: &Guard) -> bool {
        self.registry.services().advertise(key, value, now, guard).is_ok()
    }

    /// Enters a value if its key stands for none at the end of those that were entered at `NOW`.
    fn put_late_if_absent(&self, key: u64, value: u64, guard: &Guard) -> bool {
        self.registry.services().advertise_if_absent(key, value, None, NOW + TTL, guard).is_ok()
    }

    fn lease(&self) -> Lease<u64, u64> {
        self.lease.lock().expect("no panic").take().expect("taken once")
    }
}

/// What threads do with a registry, each with a worker of its own, made before it starts; after `prepare`.
fn with<T: 'static>(
    terms: Terms,
    prepare: fn(&Setting, &Guard),
    deeds: Vec<fn(&Setting, &mut Worker) -> T>,
) -> (Arc<Setting>, Worker, Vec<T>) {
    play(None, terms, prepare, deeds)
}

/// The same with arrivals told.
fn with_arrivals<T: 'static>(
    prepare: fn(&Setting, &Guard),
    deeds: Vec<fn(&Setting, &mut Worker) -> T>,
) -> (Arc<Setting>, Worker, Vec<T>) {
    play(Some(Told::default()), usual(), prepare, deeds)
}

fn play<T: 'static>(
    told: Option<Told>,
    terms: Terms,
    prepare: fn(&Setting, &Guard),
    deeds: Vec<fn(&Setting, &mut Worker) -> T>,
) -> (Arc<Setting>, Worker, Vec<T>) {
    model::forget_live();
    let domain = Domain::quarantine();
    let gone = Gone::default();
    let (log, departures) = (Arc::clone(&gone), told.clone());
    let mut builder = Registry::builder().services(terms).on_service(move |_, &value, cause| {
        log.lock().expect("no panic").push((value, cause));
        if let Some(told) = &departures {
            told.lock().expect("no panic").push(Event::Departed(value, cause));
        }
    });
    if let Some(told) = told.clone() {
        builder = builder.on_service_arrival(move |_, &value, arrival| {
            told.lock().expect("no panic").push(match arrival {
                Arrival::Arrived => Event::Arrived(value),
                Arrival::Replaced(&old) => Event::Replaced(old, value),
            });
        });
    }
    let registry = builder.build(&domain, Identity::default()).expect("memory");
    let setting = Arc::new(Setting { registry, gone, told, lease: Mutex::new(None) });
    let mut worker = domain.worker();
    prepare(&setting, worker.quiescent(NOW));
    worker.offline(|| ());
    let ends = together(&domain, &setting, deeds);
    drop(domain);
    (setting, worker, ends)
}

/// Whatever must hold at the end, and an end to everything.
fn finish(setting: Arc<Setting>, mut worker: Worker, entered: usize) {
    let guard = worker.quiescent(NOW);
    // What was killed by one without a guard, or not taken out for another reason, is taken out now.
    setting.registry.services().prune(Instant::ORIGIN, guard);
    let there = setting.registry.services().iter(Instant::ORIGIN, guard).count();
    assert_eq!(setting.registry.services().len(), there, "what is there is counted");
    let mut gone: Vec<_> = setting.gone().into_iter().map(|(value, _)| value).collect();
    assert_eq!(gone.len() + there, entered, "each is there or has gone");
    gone.sort_unstable();
    gone.dedup();
    assert_eq!(gone.len() + there, entered, "each has gone once");
    if let Some(told) = &setting.told {
        check_pairs(&told.lock().expect("no panic"), entered);
    }
    drop((setting, worker));
    assert_eq!(model::live(), 0, "something was never retired");
}

/// Each entry has arrived once, and departed after that if at all. Each entry that was replaced has one
/// successor that says so.
fn check_pairs(told: &[Event], entered: usize) {
    let mut arrived = Vec::new();
    for event in told {
        match *event {
            Event::Arrived(value) | Event::Replaced(_, value) => {
                assert!(!arrived.contains(&value), "{value} has arrived twice");
                arrived.push(value);
            }
            Event::Departed(value, _) => {
                assert!(arrived.contains(&value), "{value} has departed before it arrived");
            }
        }
        let successors = |value| {
            told.iter().filter(|e| matches!(e, Event::Replaced(old, _) if *old == value)).count()
        };
        if let Event::Departed(value, cause) = *event {
            let expected = usize::from(cause == Departure::Replaced);
            assert_eq!(successors(value), expected, "{value} has departed: {cause:?}");
        }
        if let Event::Replaced(old, _) = *event {
            assert!(told.contains(&Event::Departed(old, Departure::Replaced)));
        }
    }
    assert_eq!(arrived.len(), entered, "each has arrived");
}

fn usual() -> Terms {
    Terms::new(TTL)
}

fn one(setting: &Setting, guard: &Guard) {
    assert!(setting.put(1, 10, NOW, guard));
}

/// The same, with its lease kept.
fn one_leased(setting: &Setting, guard: &Guard) {
    let lease = setting.registry.services().advertise(1, 10, NOW, guard).expect("room");
    *setting.lease.lock().expect("no panic") = Some(lease);
}

/// A nanosecond before the end of what was entered at `NOW`.
fn just_in_time() -> Instant {
    NOW + (TTL - Duration::from_nanos(1))
}

fn renewal_races_expiry() -> String {
    let (setting, worker, ends) = with(
        usual(),
        one,
        vec![
            |it, worker| {
                let renewed =
                    it.registry.services().renew_any(&1, just_in_time(), worker.quiescent(NOW));
                (if renewed.is_ok() { "renewed" } else { "lapsed" }).to_owned()
            },
            |it, worker| {
                format!("pruned {}", it.registry.services().prune(NOW + TTL, worker.quiescent(NOW)))
            },
        ],
    );
    finish(setting, worker, 1);
    let end = ends.join(", ");
    assert!(end != "renewed, pruned 1", "what is renewed in time is not pruned");
    end
}

fn renewal_races_readvertise() -> String {
    let (setting, mut worker, ends) = with(
        usual(),
        |_, _| {},
        vec![
            |it, worker| {
                let lease = it.registry.services().advertise(1, 10, NOW, worker.quiescent(NOW));
                let lease = lease.expect("room");
                worker.offline(|| ());
                (if lease.renew(NOW).is_ok() { "renewed" } else { "lapsed" }).to_owned()
            },
            |it, worker| {
                assert!(it.put(1, 11, NOW, worker.quiescent(NOW)));
                String::new()
            },
        ],
    );
    let guard = worker.quiescent(NOW);
    assert!(setting.registry.services().resolve(&1, NOW, guard).is_some());
    finish(setting, worker, 2);
    ends.concat()
}

fn withdraw_races_renewal() -> String {
    let (setting, mut worker, ends) = with(
        usual(),
        one,
        vec![
            |it, worker| {
                let renewed = it.registry.services().renew_any(&1, NOW, worker.quiescent(NOW));
                (if renewed.is_ok() { "renewed" } else { "lapsed" }).to_owned()
            },
            |it, worker| {
                let value =
                    it.registry.services().withdraw_any(&1, NOW, worker.quiescent(NOW)).copied();
                assert_eq!(value, Some(10), "a renewal is no reason to stay");
                String::new()
            },
        ],
    );
    assert_eq!(setting.registry.services().resolve(&1, NOW, worker.quiescent(NOW)), None);
    finish(setting, worker, 1);
    ends.concat()
}

fn prune_exactly_once() -> String {
    let (setting, worker, ends) = with(
        usual(),
        one,
        vec![
            |it, worker| it.registry.services().prune(NOW + TTL, worker.quiescent(NOW)),
            |it, worker| it.registry.services().prune(NOW + TTL, worker.quiescent(NOW)),
        ],
    );
    assert_eq!(setting.gone(), [(10, Departure::Expired)]);
    finish(setting, worker, 1);
    format!("{ends:?}")
}

fn readvertise_races_resolve() -> String {
    let (setting, worker, ends) = with(
        usual(),
        one,
        vec![
            |it, worker| {
                assert!(it.put(1, 11, NOW, worker.quiescent(NOW)));
                0
            },
            |it, worker| {
                let value = it.registry.services().resolve(&1, NOW, worker.quiescent(NOW)).copied();
                value.expect("one or the other is there")
            },
        ],
    );
    finish(setting, worker, 2);
    ends[1].to_string()
}

fn two_newcomers_one_room() -> String {
    let (setting, worker, ends) = with(
        usual().max_entries(1, WhenFull::Refuse),
        |_, _| {},
        vec![|it, worker| it.put(1, 10, NOW, worker.quiescent(NOW)), |it, worker| {
            it.put(2, 20, NOW, worker.quiescent(NOW))
        }],
    );
    finish(setting, worker, 1);
    format!("{ends:?}")
}

/// Who is known keeps his place, and nobody else gets it.
fn readvertise_in_a_full_registry() -> String {
    let (setting, mut worker, ends) = with(
        usual().max_entries(1, WhenFull::Refuse),
        one,
        vec![|it, worker| it.put(1, 11, NOW, worker.quiescent(NOW)), |it, worker| {
            let entered = it.put(2, 20, NOW, worker.quiescent(NOW));
            assert!(it.registry.services().len() <= 1);
            entered
        }],
    );
    let guard = worker.quiescent(NOW);
    assert!(ends[0] && !ends[1], "the place is taken");
    assert_eq!(setting.registry.services().resolve(&1, NOW, guard), Some(&11));
    finish(setting, worker, 2);
    "newcomer refused".to_owned()
}

fn lease_goes_while_the_entry_does() -> String {
    let (setting, worker, _) = with(
        usual(),
        |_, _| {},
        vec![
            |it, worker| {
                let lease = it.registry.services().advertise(1, 10, NOW, worker.quiescent(NOW));
                let lease = lease.expect("room").withdraw_on_drop();
                worker.offline(|| ());
                drop(lease);
            },
            |it, worker| assert!(it.put(1, 11, NOW, worker.quiescent(NOW))),
        ],
    );
    let how = setting.gone().iter().find(|(value, _)| *value == 10).map(|&(_, cause)| cause);
    let left = setting.gone().len();
    finish(setting, worker, 2);
    assert!(left >= 1);
    format!("{:?}", how.expect("it has gone"))
}

fn two_merge_a_list() -> String {
    let (setting, mut worker, _) = with(
        usual(),
        |_, _| {},
        vec![
            |it, worker| {
                let merged = it.registry.discovered().merge(
                    1,
                    vec![Peer::new(1, ())],
                    NOW,
                    worker.quiescent(NOW),
                );
                assert!(merged.is_ok());
            },
            |it, worker| {
                let merged = it.registry.discovered().merge(
                    1,
                    vec![Peer::new(2, ())],
                    NOW,
                    worker.quiescent(NOW),
                );
                assert!(merged.is_ok());
            },
        ],
    );
    let guard = worker.quiescent(NOW);
    let Discovered::Hit(peers) =
        setting.registry.discovered().discover(&1, Lookup::Known, NOW, guard)
    else {
        panic!("both have merged");
    };
    let nodes: Vec<_> = peers.iter().map(|peer| peer.node).collect();
    assert_eq!(nodes.len(), 2, "neither hides the other");
    finish(setting, worker, 0);
    format!("{nodes:?}")
}

/// A value that loom watches, and that says when it is dropped.
struct Watched {
    content: UnsafeCell<u64>,
    drops: Arc<AtomicU64>,
}

// SAFETY: written where it is made and where it is dropped; loom notices whoever reads it then.
unsafe impl Send for Watched {}
// SAFETY: as above.
unsafe impl Sync for Watched {}

impl Drop for Watched {
    fn drop(&mut self) {
        // SAFETY: nobody reads it any more, as loom checks.
        self.content.with_mut(|content| unsafe { *content = 0 });
        self.drops.fetch_add(1, Ordering::Relaxed);
    }
}

/// Over the real collector: the entry is freed by it, or by whoever holds its lease.
fn lease_outlives_the_entry() -> String {
    type Holding = Registry<u64, Watched, u64, (), Identity>;
    model::forget_live();
    let domain = Domain::new();
    let built = Registry::builder().build(&domain, Identity::default());
    let registry: Arc<Holding> = Arc::new(built.expect("memory"));
    let drops = Arc::<AtomicU64>::default();
    let (holder, mut worker, mut collector) =
        (Arc::clone(&registry), domain.worker(), domain.worker());
    let (seen, reader) = (Arc::clone(&drops), Arc::clone(&registry));
    let ends = race(vec![
        Box::new(move || {
            let value = Watched { content: UnsafeCell::new(10), drops: Arc::clone(&seen) };
            let guard = worker.quiescent(NOW);
            let lease = holder.services().advertise(1, value, NOW, guard).expect("room");
            assert!(holder.services().withdraw_any(&1, NOW, guard).is_some(), "nobody else does");
            worker.offline(|| ());
            loom::thread::yield_now();
            // SAFETY: written only where it is made and where it is dropped.
            assert_eq!(lease.value().content.with(|content| unsafe { *content }), 10);
            let before = seen.load(Ordering::Relaxed);
            drop(lease);
            seen.load(Ordering::Relaxed) - before
        }),
        Box::new(move || {
            let guard = collector.quiescent(NOW);
            if let Some(value) = reader.services().resolve(&1, NOW, guard) {
                // SAFETY: written only where it is made and where it is dropped.
                assert_eq!(value.content.with(|content| unsafe { *content }), 10);
            }
            collector.offline(|| ());
            // What was read was read before the other goes on.
            loom::thread::yield_now();
            for _ in 0..4 {
                collector.collect(NOW, Budget::UNLIMITED);
            }
            0
        }),
    ]);
    drop((registry, domain));
    assert_eq!(drops.load(Ordering::Relaxed), 1, "the value is dropped once");
    assert_eq!(model::live(), 0, "something was never retired");
    (if ends[0] == 1 { "freed by the lease" } else { "freed by the collector" }).to_owned()
}

/// Whichever comes first, what is withdrawn is what the lease was given for.
fn withdrawal_races_successor() -> String {
    let (setting, mut worker, ends) = with(
        usual(),
        one_leased,
        vec![
            |it, worker| it.registry.services().withdraw(it.lease(), NOW, worker.quiescent(NOW)),
            |it, worker| it.put(1, 11, NOW, worker.quiescent(NOW)),
        ],
    );
    let resolved = setting.registry.services().resolve(&1, NOW, worker.quiescent(NOW)).copied();
    assert_eq!(resolved, Some(11), "the successor stays");
    let cause = if ends[0] { Departure::Withdrawn } else { Departure::Replaced };
    assert_eq!(setting.gone(), [(10, cause)]);
    finish(setting, worker, 2);
    (if ends[0] { "withdrawn" } else { "replaced" }).to_owned()
}

fn two_enter_where_one_has_expired() -> String {
    let (setting, worker, ends) = with(
        usual(),
        one,
        vec![|it, worker| it.put_late_if_absent(1, 11, worker.quiescent(NOW)), |it, worker| {
            it.put_late_if_absent(1, 12, worker.quiescent(NOW))
        }],
    );
    assert_eq!(setting.gone(), [(10, Departure::Expired)], "and neither has displaced the other");
    finish(setting, worker, 2);
    format!("{ends:?}")
}

fn renewal_races_entering_if_absent() -> String {
    let (setting, worker, ends) = with(
        usual(),
        one_leased,
        vec![|it, _| it.lease().renew(just_in_time()).is_ok(), |it, worker| {
            it.put_late_if_absent(1, 11, worker.quiescent(NOW))
        }],
    );
    let (renewed, entered) = (ends[0], ends[1]);
    assert_ne!(renewed, entered, "what was renewed is not absent, and what is absent is entered");
    finish(setting, worker, 1 + usize::from(entered));
    let renewed = if renewed { "renewed" } else { "lapsed" };
    format!("{renewed}, {}", if entered { "entered" } else { "taken" })
}

/// A lease whose registry is dropped meanwhile renews nothing after that, and has nothing to withdraw; the
/// entry is freed by the later of the two.
fn lease_outlives_its_registry() -> String {
    model::forget_live();
    let domain = Domain::quarantine();
    let (told, drops) = (Arc::<AtomicU64>::default(), Arc::<AtomicU64>::default());
    let counts = Arc::clone(&told);
    let built = Registry::builder()
        .on_service(move |_, _: &Watched, _| _ = counts.fetch_add(1, Ordering::Relaxed))
        .build(&domain, Identity::default());
    let registry: Registry<u64, Watched, u64, (), Identity> = built.expect("memory");
    let mut worker = domain.worker();
    let value = Watched { content: UnsafeCell::new(10), drops: Arc::clone(&drops) };
    let lease = registry.services().advertise(1, value, NOW, worker.quiescent(NOW)).expect("room");
    let lease = lease.withdraw_on_drop();
    drop(worker);
    let mut reader = domain.worker();
    let dropped = Arc::new(loom::sync::atomic::AtomicBool::new(false));
    let drops_it = Arc::clone(&dropped);
    let ends = race(vec![
        Box::new(move || {
            // Acquire: pairs with the store below.
            let has_ended = dropped.load(Ordering::Acquire);
            let renewed = lease.renew(NOW).is_ok();
            // SAFETY: written only where it is made and where it is dropped.
            assert_eq!(lease.value().content.with(|content| unsafe { *content }), 10);
            drop(lease);
            assert!(!(has_ended && renewed), "there is nothing left to renew");
            renewed
        }),
        Box::new(move || {
            if let Some(value) = registry.services().resolve(&1, NOW, reader.quiescent(NOW)) {
                // What is read comes before the value is dropped, by whichever thread.
                // SAFETY: written only where it is made and where it is dropped.
                assert_eq!(value.content.with(|content| unsafe { *content }), 10);
            }
            drop((reader, registry));
            // Release: pairs with the load above.
            drops_it.store(true, Ordering::Release);
            false
        }),
    ]);
    drop(domain);
    assert_eq!(drops.load(Ordering::Relaxed), 1, "the value is dropped once");
    assert_eq!(model::live(), 0, "something was never freed");
    let told = told.load(Ordering::Relaxed);
    assert!(ends[0] || told == 0, "there is nothing left to withdraw");
    let told = if told == 1 { "told" } else { "untold" };
    format!("{}, {told}", if ends[0] { "renewed" } else { "lapsed" })
}

/// A thread that withdraws an entry whose arrival is not told yet leaves the departure to the thread
/// that tells it.
fn withdrawal_races_arrival() -> String {
    let (setting, worker, ends) = with_arrivals(
        |_, _| {},
        vec![
            |it, worker| {
                assert!(it.put(1, 10, NOW, worker.quiescent(NOW)));
                String::new()
            },
            |it, worker| {
                let withdrawn = it.registry.services().withdraw_any(&1, NOW, worker.quiescent(NOW));
                let how = match (withdrawn.is_some(), it.has_departed(10)) {
                    (false, _) => "absent",
                    (true, true) => "told",
                    (true, false) => "left to the other",
                };
                how.to_owned()
            },
        ],
    );
    finish(setting, worker, 1);
    ends.concat()
}

fn two_arrive_in_one_place() -> String {
    let (setting, worker, _) = with_arrivals(
        |_, _| {},
        vec![|it, worker| assert!(it.put(1, 10, NOW, worker.quiescent(NOW))), |it, worker| {
            assert!(it.put(1, 11, NOW, worker.quiescent(NOW)))
        }],
    );
    let gone = setting.gone();
    let [(old, Departure::Replaced)] = gone[..] else { panic!("one has replaced the other") };
    finish(setting, worker, 2);
    format!("{} for {old}", 21 - old)
}

/// The newcomer lives for no time, so it may be pruned before it is told to have come.
fn pruning_races_arrival_in_place_of_another() -> String {
    let (setting, worker, _) = with_arrivals(
        one,
        vec![
            |it, worker| {
                let guard = worker.quiescent(NOW);
                let lease = it.registry.services().advertise_for(1, 11, Duration::ZERO, NOW, guard);
                drop(lease.expect("room"));
            },
            |it, worker| _ = it.registry.services().prune(NOW, worker.quiescent(NOW)),
        ],
    );
    let pruned = setting.gone().into_iter().filter(|(_, cause)| *cause == Departure::Expired);
    let pruned: Vec<_> = pruned.map(|(value, _)| value).collect();
    finish(setting, worker, 2);
    format!("pruned {pruned:?}")
}

/// The newcomer takes the place of one that lived, or of one that was dead, and says which.
fn arrival_races_withdrawal_of_another() -> String {
    let (setting, worker, _) = with_arrivals(
        one,
        vec![|it, worker| assert!(it.put(1, 11, NOW, worker.quiescent(NOW))), |it, worker| {
            let gone = it.registry.services().withdraw_any(&1, NOW, worker.quiescent(NOW));
            assert!(gone.is_some(), "one or the other is there");
        }],
    );
    let withdrawn: Vec<_> = setting
        .gone()
        .into_iter()
        .filter(|(_, cause)| *cause == Departure::Withdrawn)
        .map(|(value, _)| value)
        .collect();
    finish(setting, worker, 2);
    let [withdrawn] = withdrawn[..] else { panic!("{withdrawn:?}") };
    format!("{withdrawn} withdrawn")
}

/// Who reads the time while a stall's credit and the new limit are set sees both or neither: nothing ends
/// by the time that was not charged.
fn stall_is_credited_while_time_is_read() -> String {
    const STALLED: Instant = Instant::from_secs(1_000);
    let (setting, worker, ends) = with(
        // The end lies between the limit that was and the one that comes.
        usual().allow_for_stalls(Duration::from_secs(10)),
        one,
        vec![
            |it, worker| {
                _ = it.registry.services().renew_any(&1, STALLED, worker.quiescent(NOW));
                String::new()
            },
            |it, worker| {
                let there = |it: &Setting, worker: &mut Worker| {
                    let value = it.registry.services().resolve(&1, STALLED, worker.quiescent(NOW));
                    if value.is_some() { "there" } else { "gone" }
                };
                let seen = format!("{} then {}", there(it, worker), there(it, worker));
                assert!(!seen.contains("gone"), "ended by time that was not charged: {seen}");
                seen
            },
        ],
    );
    finish(setting, worker, 1);
    ends.concat()
}

/// There is room for one, and each newcomer takes it from the entry that ends soonest, if there is one.
fn two_newcomers_evict_the_soonest() -> String {
    let (setting, mut worker, ends) = with(
        usual().max_entries(1, WhenFull::EvictSoonest),
        one,
        vec![|it, worker| it.put(2, 20, NOW, worker.quiescent(NOW)), |it, worker| {
            let entered = it.put(3, 30, NOW, worker.quiescent(NOW));
            assert!(it.registry.services().len() <= 1, "more than there may be");
            entered
        }],
    );
    let entered = 1 + ends.iter().filter(|&&entered| entered).count();
    assert!(setting.gone().iter().all(|&(_, how)| how == Departure::Evicted));
    let left: Vec<_> = setting
        .registry
        .services()
        .iter(NOW, worker.quiescent(NOW))
        .map(|(_, &value)| value)
        .collect();
    finish(setting, worker, entered);
    format!("entered {ends:?}, left {left:?}")
}

/// Both look when no entry was renewed for long and all are about to end: the time is held once. It goes on
/// from there when it was held for long enough, and then the entries end.
fn two_notice_that_renewals_have_stopped() -> String {
    fn prune(it: &Setting, seconds: u64, guard: &Guard) -> usize {
        it.registry.services().prune(Instant::from_secs(seconds), guard)
    }
    let (setting, mut worker, ends) = with(
        usual().hold_mass_expiry(Duration::from_secs(20)),
        |it, guard| {
            for key in 1..4 {
                assert!(it.put(key, 10 * key, NOW, guard));
            }
        },
        vec![|it, worker| prune(it, 112, worker.quiescent(NOW)), |it, worker| {
            prune(it, 113, worker.quiescent(NOW))
        }],
    );
    assert_eq!(ends, [0, 0], "all end at 116");
    let guard = worker.quiescent(NOW);
    let status = || setting.registry.services().time();
    assert_eq!(status(), TimeStatus { holding: true, holds: 1, credit: 0 });
    assert_eq!(prune(&setting, 130, guard), 0, "the time is held");
    assert_eq!(prune(&setting, 140, guard), 0, "the time goes on from where it was held");
    let TimeStatus { holding, holds, credit } = status();
    assert_eq!((holding, holds), (false, 1));
    assert_eq!(prune(&setting, 144, guard), 3);
    finish(setting, worker, 3);
    format!("behind by {} s", credit / 1_000_000_000)
}
