//! Guards and workers of another domain are refused by every entry of the registry before anything is
//! touched: no key is hashed or compared, no time is moved on, nothing is entered, removed, told or freed.

use std::cell::Cell;
use std::hash::{Hash, Hasher};
use std::ops::Deref;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tidegate_core::registry::{Lookup, Peer, RegistrySweep, Terms, WhenFull};
use tidegate_core::{Budget, Domain, Guard, Instant, Registry, SeededState, Sweep, Ttl};

/// A key that counts what is done with it.
#[derive(Debug)]
struct Key(u32);

static CALLS: AtomicU64 = AtomicU64::new(0);

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        CALLS.fetch_add(1, Ordering::Relaxed);
        self.0.hash(state);
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        CALLS.fetch_add(1, Ordering::Relaxed);
        self.0 == other.0
    }
}

impl Eq for Key {}

/// A time to live that counts its conversions.
struct Lasting;

impl From<Lasting> for Ttl {
    fn from(_: Lasting) -> Self {
        CALLS.fetch_add(1, Ordering::Relaxed);
        Self::Forever
    }
}

type Services = Registry<Key, u32, u32, ()>;

const NOW: Instant = Instant::from_secs(1_000);
/// Long after everything has ended.
const LATE: Instant = Instant::from_secs(1_000_000);

fn peers() -> Vec<Peer<u32, ()>> {
    vec![Peer::new(1, ())]
}

/// A registry in which each namespace holds two entries, as many as it may; and how many were told of.
fn filled(domain: &Domain) -> (Services, Arc<Mutex<u32>>) {
    let told = Arc::new(Mutex::new(0));
    let terms = || {
        Terms::new(Duration::from_secs(300))
            .max_entries(2, WhenFull::EvictSoonest)
            .hold_mass_expiry(Duration::from_secs(600))
            .allow_for_stalls(Duration::from_secs(60))
    };
    let counts = [(); 3].map(|()| Arc::clone(&told));
    let [services, providers, subscribers] = counts;
    let registry: Services = Registry::builder()
        .services(terms())
        .discovered(terms())
        .subscribers(terms())
        .on_service(move |_, _, _| *services.lock().expect("no panic") += 1)
        .on_discovered(move |_, _, _| *providers.lock().expect("no panic") += 1)
        .on_subscribers(move |_, _, _| *subscribers.lock().expect("no panic") += 1)
        .build(domain, SeededState::new(7))
        .expect("memory");
    let mut worker = domain.worker();
    let guard = worker.quiescent(NOW);
    for key in 0..2 {
        drop(registry.services().advertise(Key(key), key, NOW, guard).expect("room"));
        assert!(registry.discovered().cache(Key(key), peers(), None, NOW, guard).is_ok());
        assert!(registry.subscribers().cache(Key(key), peers(), None, NOW, guard).is_ok());
    }
    (registry, told)
}

/// All that can be seen of a registry from outside.
fn seen(registry: &Services, told: &Mutex<u32>) -> String {
    let lens =
        [registry.services().len(), registry.discovered().len(), registry.subscribers().len()];
    let times =
        [registry.services().time(), registry.discovered().time(), registry.subscribers().time()];
    let told = *told.lock().expect("no panic");
    format!("{lens:?} {times:?} {told} {}", CALLS.load(Ordering::Relaxed))
}

/// The tests count calls in one place.
static ALONE: Mutex<()> = Mutex::new(());

#[test]
fn every_entry_refuses_a_guard_of_another_domain_before_anything_else() {
    type Entry = (&'static str, fn(&Services, &Guard));
    let entries: &[Entry] = &[
        ("advertise", |it, guard| _ = it.services().advertise(Key(7), 7, LATE, guard)),
        ("advertise_for", |it, guard| {
            _ = it.services().advertise_for(Key(0), 7, Lasting, LATE, guard)
        }),
        ("advertise_if_absent", |it, guard| {
            _ = it.services().advertise_if_absent(Key(0), 7, None, LATE, guard);
        }),
        ("resolve", |it, guard| _ = it.services().resolve(&Key(0), LATE, guard)),
        ("renew_any", |it, guard| _ = it.services().renew_any(&Key(0), LATE, guard)),
        ("withdraw_any", |it, guard| _ = it.services().withdraw_any(&Key(0), LATE, guard)),
        ("iter of services", |it, guard| _ = it.services().iter(LATE, guard)),
        ("prune of services", |it, guard| _ = it.services().prune(LATE, guard)),
        ("prune_all", |it, guard| _ = it.prune_all(LATE, guard)),
        ("cache of discovered", |it, guard| {
            _ = it.discovered().cache(Key(0), peers(), None, LATE, guard);
        }),
        ("merge of discovered", |it, guard| {
            _ = it.discovered().merge(Key(0), peers(), LATE, guard)
        }),
        ("discover", |it, guard| _ = it.discovered().discover(&Key(0), Lookup::Known, LATE, guard)),
        ("discover anew", |it, guard| {
            _ = it.discovered().discover(&Key(0), Lookup::Anew, LATE, guard)
        }),
        ("last_known", |it, guard| _ = it.discovered().last_known(&Key(0), LATE, guard)),
        ("forget of discovered", |it, guard| _ = it.discovered().forget(&Key(0), LATE, guard)),
        ("clear of discovered", |it, guard| _ = it.discovered().clear(LATE, guard)),
        ("prune of discovered", |it, guard| _ = it.discovered().prune(LATE, guard)),
        ("cache of subscribers", |it, guard| {
            _ = it.subscribers().cache(Key(0), peers(), None, LATE, guard);
        }),
        ("merge of subscribers", |it, guard| {
            _ = it.subscribers().merge(Key(0), peers(), LATE, guard)
        }),
        ("get of subscribers", |it, guard| _ = it.subscribers().get(&Key(0), LATE, guard)),
        ("forget of subscribers", |it, guard| _ = it.subscribers().forget(&Key(0), LATE, guard)),
        ("clear of subscribers", |it, guard| _ = it.subscribers().clear(LATE, guard)),
        ("prune of subscribers", |it, guard| _ = it.subscribers().prune(LATE, guard)),
    ];
    let _alone = ALONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let (domain, other) = (Domain::new(), Domain::new());
    for (name, entry) in entries {
        let (registry, told) = filled(&domain);
        let before = seen(&registry, &told);
        let foreign = other.worker();
        let refused = catch_unwind(AssertUnwindSafe(|| entry(&registry, &foreign.pin())));
        assert!(refused.is_err(), "{name} took a guard of another domain");
        assert_eq!(seen(&registry, &told), before, "{name} has touched something");
        // It is the guard that was refused.
        entry(&registry, &domain.worker().pin());
    }
}

/// What withdraws a lease is refused as well; the lease, dropped then, does what it was told to.
#[test]
fn withdrawing_a_lease_refuses_a_guard_of_another_domain() {
    let _alone = ALONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let (domain, other) = (Domain::new(), Domain::new());
    let (registry, told) = filled(&domain);
    let worker = domain.worker();
    let lease = registry.services().advertise(Key(0), 7, NOW, &worker.pin()).expect("its own room");
    let before = seen(&registry, &told);
    let foreign = other.worker();
    let withdraw = || registry.services().withdraw(lease, LATE, &foreign.pin());
    assert!(catch_unwind(AssertUnwindSafe(withdraw)).is_err());
    assert_eq!(seen(&registry, &told), before);
    assert_eq!(registry.services().resolve(&Key(0), NOW, &worker.pin()), Some(&7));
}

/// A worker of another domain is refused by each step of a sweep, before it pins for the registry, moves a time
/// on, or collects for its own domain.
#[test]
fn a_sweep_refuses_a_worker_of_another_domain_before_anything_else() {
    let _alone = ALONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let (domain, other) = (Domain::new(), Domain::new());
    let (registry, told) = filled(&domain);
    // Garbage of the other domain, which is to stay there: nobody has asked for that to be collected.
    let map = tidegate_core::Map::with(&other, SeededState::new(1));
    for round in 0..100 {
        map.insert(1, round, other.worker().quiescent(NOW)).expect("memory");
    }
    let garbage = other.gauges(NOW).garbage();
    let before = seen(&registry, &told);
    let mut sweep = registry.sweeper(other.worker());
    for _ in 0..6 {
        let step = catch_unwind(AssertUnwindSafe(|| sweep.sweep(LATE, Budget::UNLIMITED)));
        assert!(step.is_err());
    }
    assert_eq!(seen(&registry, &told), before);
    assert_eq!(other.gauges(NOW).garbage(), garbage);
}

/// A pointer that answers with another registry each time: a step asks it once.
#[test]
fn a_step_of_a_sweep_is_of_one_registry() {
    struct Fickle<'a>(Cell<usize>, [&'a Services; 2]);
    impl Deref for Fickle<'_> {
        type Target = Services;

        fn deref(&self) -> &Services {
            self.0.set(self.0.get() + 1);
            self.1[self.0.get() % 2]
        }
    }

    let _alone = ALONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let (domain, other) = (Domain::new(), Domain::new());
    let ((theirs, told), (ours, _)) = (filled(&other), filled(&domain));
    let before = seen(&theirs, &told);
    let mut sweep = RegistrySweep::new(Fickle(Cell::new(0), [&theirs, &ours]), domain.worker());
    let step = sweep.sweep(NOW, Budget::UNLIMITED);
    assert!(step.wrapped, "through all three namespaces of ours");
    // The next step is of the other registry, and refused.
    assert!(catch_unwind(AssertUnwindSafe(|| sweep.sweep(NOW, Budget::UNLIMITED))).is_err());
    assert_eq!(seen(&theirs, &told), before);
    assert!(sweep.sweep(NOW, Budget::UNLIMITED).wrapped);
}
