//! The face's registry: its views, its leases and its housekeeping.

mod common;

use std::panic::{UnwindSafe, catch_unwind};
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;

use common::wait_until;
use tidegate::registry::{
    Arrival, Departure, Discovered, LapsedError, Lease, Lookup, Peer, RegistryError, Terms,
    WhenFull,
};
use tidegate::{ManualClock, Registry, Runtime, caught_panics, wait};

type Handler = fn(u32) -> u32;
type Log = Arc<Mutex<Vec<(&'static str, u16, Departure)>>>;

static SHARED: LazyLock<Registry<String, Handler>> = LazyLock::new(Registry::new);

const TTL: Duration = Duration::from_secs(60);

/// A registry of services that live for a minute, which nothing sweeps; its clock; and what its hook was told of.
fn manual(terms: Terms) -> (Registry<&'static str, u16>, Arc<ManualClock>, Log) {
    let (clock, log) = (Arc::new(ManualClock::new()), Log::default());
    let tells = Arc::clone(&log);
    let registry = Registry::builder()
        .services(terms)
        .on_service(move |&key, &port, cause| tells.lock().unwrap().push((key, port, cause)))
        .clock(Arc::clone(&clock))
        .manual()
        .build();
    (registry, clock, log)
}

fn taken(log: &Log) -> Vec<(&'static str, u16, Departure)> {
    std::mem::take(&mut *log.lock().unwrap())
}

#[test]
fn it_can_be_a_static_and_takes_borrowed_keys() {
    let services = SHARED.services();
    let lease = services.advertise("double".to_owned(), |x| 2 * x).unwrap();
    assert_eq!(services.resolve("double").map(|double| double(21)), Some(42));
    assert_eq!(
        (services.renew_any("double"), services.renew_any("half")),
        (Ok(()), Err(LapsedError))
    );
    assert_eq!(services.iter().map(|(key, _)| key).collect::<Vec<_>>(), ["double"]);
    assert!(services.withdraw_any("double").is_some() && services.withdraw_any("double").is_none());
    assert!(services.resolve("double").is_none() && lease.has_lapsed());
    // `services` is a `Copy` of a borrow: a handle outlives it.
    assert_eq!(SHARED.clone().services().len(), services.len());
}

#[test]
fn handles_and_leases_go_to_any_thread() {
    fn assert_shared<T: Send + Sync + UnwindSafe + 'static>(it: T) -> T {
        it
    }

    let registry = assert_shared(Registry::new());
    let lease = assert_shared(registry.services().advertise("mail", Arc::new(25)).unwrap());
    let handle = registry.clone();
    let lease = std::thread::spawn(move || {
        assert_eq!(handle.services().resolve("mail").as_deref(), Some(&25));
        lease.renew().map(|()| lease)
    });
    let lease = lease.join().unwrap().unwrap();
    // A task keeps it across an `await`.
    let task = async move {
        std::future::ready(()).await;
        (lease.renew(), *lease.key(), **lease.value())
    };
    assert_eq!(wait::block_on(assert_send(task)), (Ok(()), "mail", 25));
}

fn assert_send<T: Send>(it: T) -> T {
    it
}

#[test]
fn it_expires_by_its_own_clock_and_tells_why() {
    let (registry, clock, log) = manual(Terms::new(TTL));
    let services = registry.services();
    let lease = services.advertise("mail", 25).unwrap();
    clock.advance(TTL / 2);
    assert_eq!(lease.renew(), Ok(()));
    let brief = services.advertise_for("web", 80, TTL / 4).unwrap();
    clock.advance(TTL / 2);
    assert_eq!((services.resolve("mail"), services.resolve("web")), (Some(25), None));
    assert!(!lease.has_lapsed() && brief.has_lapsed());
    assert_eq!((services.prune(), services.len()), (1, 1));
    assert_eq!(taken(&log), [("web", 80, Departure::Expired)]);
    clock.advance(TTL / 2);
    assert_eq!((lease.renew(), services.resolve("mail")), (Err(LapsedError), None));
    assert_eq!(registry.prune_all().services, 1);
    assert_eq!(taken(&log), [("mail", 25, Departure::Expired)]);
}

#[test]
fn a_lease_acts_on_its_own_service() {
    let (registry, _clock, log) = manual(Terms::new(TTL).max_entries(1, WhenFull::Refuse));
    let services = registry.services();
    let old = services.advertise("mail", 25).unwrap();
    let new = services.advertise("mail", 2525).unwrap();
    assert!(new.has_replaced() && old.has_lapsed());
    assert!(!services.withdraw(old));
    assert_eq!(services.resolve("mail"), Some(2525));
    let taken_already = services.advertise_if_absent("mail", 26).unwrap_err();
    assert_eq!((taken_already.error, taken_already.value), (RegistryError::Taken, ("mail", 26)));
    let taken_already = services.advertise_if_absent_for("mail", 26, TTL).unwrap_err();
    assert_eq!(taken_already.error, RegistryError::Taken);
    assert_eq!(services.advertise("web", 80).unwrap_err().error, RegistryError::Full);
    assert!(services.withdraw(new));
    drop(services.advertise("web", 80).unwrap().withdraw_on_drop());
    assert_eq!(services.resolve("web"), None);
    let told = [
        ("mail", 25, Departure::Replaced),
        ("mail", 2525, Departure::Withdrawn),
        ("web", 80, Departure::Withdrawn),
    ];
    assert_eq!(taken(&log), told);
}

/// A lease keeps its own service, and not the registry.
#[test]
fn a_lease_outlives_its_registry() {
    let value = Arc::new(());
    let registry: Registry<&str, Arc<()>> = Registry::new();
    let lease: Lease<_, _> = registry.services().advertise("it", Arc::clone(&value)).unwrap();
    drop(registry);
    assert_eq!((lease.renew(), lease.has_lapsed()), (Err(LapsedError), true));
    assert_eq!(Arc::strong_count(lease.value()), 2);
    drop(lease);
    assert_eq!(Arc::strong_count(&value), 1);
}

#[test]
fn lists_are_returned_as_clones() {
    let clock = Arc::new(ManualClock::new());
    let lists = Terms::new(TTL).keep_last_known(TTL);
    let registry: Registry<String, (), u64, String> = Registry::builder()
        .discovered(lists)
        .subscribers(lists)
        .clock(Arc::clone(&clock))
        .manual()
        .build();
    let peer = |node| Peer::new(node, format!("host {node}"));
    let (discovered, subscribers) = (registry.discovered(), registry.subscribers());
    assert_eq!(discovered.discover("dns", Lookup::Known), Discovered::Miss(None));
    assert_eq!(discovered.cache("dns".to_owned(), vec![peer(1)]), Ok(false));
    assert_eq!(discovered.merge("dns".to_owned(), vec![peer(2)]), Ok(true));
    let both = || vec![peer(1), peer(2)];
    assert_eq!(discovered.discover("dns", Lookup::Known), Discovered::Hit(both()));
    assert_eq!(discovered.discover("dns", Lookup::Anew), Discovered::Miss(Some(both())));
    assert_eq!((discovered.get("dns"), subscribers.get("dns")), (Some(both()), None));
    assert_eq!(subscribers.cache_for("news".to_owned(), vec![peer(3)], TTL), Ok(false));

    clock.advance(TTL);
    assert_eq!(discovered.get("dns"), None);
    assert_eq!(discovered.discover("dns", Lookup::Known), Discovered::Miss(Some(both())));
    assert_eq!(subscribers.last_known("news"), Some(vec![peer(3)]));
    clock.advance(TTL);
    assert_eq!((discovered.last_known("dns"), discovered.len()), (None, 1));
    assert_eq!((discovered.prune(), subscribers.prune()), (1, 1));
    assert_eq!(discovered.cache("dns".to_owned(), Vec::new()), Ok(false));
    assert_eq!(discovered.get("dns"), Some(Vec::new()), "it is known that there are none");
    assert!(discovered.forget("dns") && !discovered.forget("dns"));
    assert_eq!((subscribers.clear(), subscribers.len()), (0, 0));
    assert!(!discovered.time().holding && !registry.services().time().holding);
}

#[test]
fn it_is_swept_by_its_own_clock_until_the_last_handle_is_gone() {
    let runtime = Runtime::builder().name("face registry").build().unwrap();
    let clock = Arc::new(ManualClock::new());
    let registry: Registry<&str, u16> = Registry::builder()
        .services(Terms::new(Duration::from_millis(50)))
        .clock(Arc::clone(&clock))
        .runtime(&runtime)
        .build();
    runtime.start().unwrap();
    let lease = registry.services().advertise("mail", 25).unwrap();
    std::thread::sleep(Duration::from_millis(100));
    assert_eq!(registry.services().resolve("mail"), Some(25), "its own clock has not moved");
    clock.advance(Duration::from_secs(1));
    wait_until(|| registry.services().len() == 0);
    assert_eq!(runtime.sweep_handles().len(), 1);
    let other = registry.clone();
    drop(registry);
    assert_eq!(runtime.sweep_handles().len(), 1);
    drop(other);
    assert_eq!(runtime.sweep_handles().len(), 0, "a lease keeps nothing swept");
    assert!(lease.has_lapsed());
}

/// By a thread of the process, without a word of the user's.
#[test]
fn what_has_ended_is_freed_by_itself() {
    let value = Arc::new(());
    let registry: Registry<u32, Arc<()>> =
        Registry::builder().services(Terms::new(Duration::from_millis(5))).build();
    for key in 0..100 {
        drop(registry.services().advertise(key, Arc::clone(&value)).unwrap());
    }
    wait_until(|| registry.services().len() == 0 && Arc::strong_count(&value) == 1);
}

/// It is swept often enough for its allowance: no time in which its entries age is taken for a stall.
#[test]
fn it_is_swept_as_its_terms_want_it() {
    let interval = |services: Terms| {
        let registry: Registry<u32, u32> = Registry::builder()
            .services(services)
            .discovered(Terms::new(Duration::from_secs(9_000)))
            .subscribers(Terms::new(tidegate::Ttl::Forever))
            .manual()
            .build();
        registry.lockfree().sweep_interval().as_millis()
    };
    assert_eq!(interval(Terms::new(TTL)), 12_000);
    assert_eq!(interval(Terms::new(TTL).allow_for_stalls(Duration::from_secs(6))), 2_000);
    assert_eq!(interval(Terms::new(TTL).allow_for_stalls(Duration::ZERO)), 1);
    assert_eq!(interval(Terms::new(tidegate::Ttl::Forever)), 1_800_000);
}

#[test]
fn arrivals_are_told_before_departures() {
    let log: Arc<Mutex<Vec<String>>> = Arc::default();
    let (come, gone, lists) = (Arc::clone(&log), Arc::clone(&log), Arc::clone(&log));
    let registry: Registry<&str, u16> = Registry::builder()
        .on_service_arrival(move |name, port, arrival| {
            let how = match arrival {
                Arrival::Arrived => String::new(),
                Arrival::Replaced(old) => format!(" for {old}"),
            };
            come.lock().unwrap().push(format!("{name} {port}{how}"));
        })
        .on_service(move |_, port, cause| gone.lock().unwrap().push(format!("{port} {cause:?}")))
        .on_discovered_arrival(move |name, list, arrival| {
            let is_new = matches!(arrival, Arrival::Arrived);
            lists.lock().unwrap().push(format!("{name} {} {is_new}", list.len()));
        })
        .on_subscribers_arrival(|_, _, _| panic!("a hook's own"))
        .manual()
        .build();
    drop(registry.services().advertise("mail", 25).unwrap());
    drop(registry.services().advertise("mail", 2525).unwrap().withdraw_on_drop());
    assert_eq!(registry.discovered().cache("dns", vec![Peer::new(7, ())]), Ok(false));
    assert_eq!(registry.discovered().merge("dns", vec![Peer::new(8, ())]), Ok(true));
    let told = [
        "mail 25",
        "25 Replaced",
        "mail 2525 for 25",
        "2525 Withdrawn",
        "dns 1 true",
        "dns 2 false",
    ];
    assert_eq!(*log.lock().unwrap(), told);
    let before = caught_panics();
    assert_eq!(registry.subscribers().cache("dns", vec![]), Ok(false));
    assert!(registry.subscribers().get("dns").is_some() && caught_panics() > before);
}

#[test]
fn panics_of_hooks_go_no_further() {
    let registry: Registry<&str, u16> =
        Registry::builder().on_service(|_, _, _| panic!("a hook's own")).manual().build();
    let before = caught_panics();
    let replaced = catch_unwind(|| {
        drop(registry.services().advertise("mail", 25).unwrap());
        drop(registry.services().advertise("mail", 2525).unwrap().withdraw_on_drop());
    });
    assert!(replaced.is_ok() && caught_panics() - before >= 2);
}

#[test]
fn a_registry_whose_last_handle_is_dropped_during_a_step_ends_on_that_thread() {
    let handle: Arc<Mutex<Option<Registry<u32, u32>>>> = Arc::default();
    let registry = {
        let handle = Arc::clone(&handle);
        // Called by the sweep, within its step: it drops the last handle.
        let hook = move |_: &u32, _: &u32, _| drop(handle.lock().unwrap().take());
        let terms = Terms::new(Duration::from_millis(10));
        Registry::builder().services(terms).on_service(hook).build()
    };
    // The hook waits until the handle is there.
    let mut last = handle.lock().unwrap();
    drop(registry.services().advertise(1, 1).unwrap());
    *last = Some(registry);
    drop(last);
    wait_until(|| handle.lock().unwrap().is_none());
    what_has_ended_is_freed_by_itself();
}
