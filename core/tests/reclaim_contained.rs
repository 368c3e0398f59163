//! Wakers and listeners that panic in a domain which contains panics: each by itself, and nothing is lost.

mod common;

use std::cell::Cell;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::task::{Context, Wake, Waker};
use std::time::Duration;

use common::wakers::{counting, panicking};
use tidegate_core::cache::{Load, Loading};
use tidegate_core::flight::{Caller, FollowError, Follower, Group, Joined, Leader};
use tidegate_core::{Cache, Domain, Guard, Instant, RemovalCause, SeededState};

type Loads = Group<&'static str, u32, &'static str>;
type Leading<'a> = Leader<'a, &'static str, u32, &'static str, SeededState>;
type End<'a> = &'a dyn Fn(Leading<'_>);
type Pages = Cache<u32, u32, &'static str>;

const NOW: Instant = Instant::from_secs(100);
const LEASE: Duration = Duration::from_secs(5);

thread_local! {
    static INSIDE: Cell<bool> = const { Cell::new(false) };
    static CONTAINED: Cell<u32> = const { Cell::new(0) };
}

/// A domain whose hook catches panics, and calls nothing inside an earlier call.
fn containing() -> Domain {
    CONTAINED.set(0);
    Domain::builder()
        .contain(|call| {
            if !INSIDE.replace(true) {
                let caught = catch_unwind(AssertUnwindSafe(call)).is_err();
                CONTAINED.set(CONTAINED.get() + u32::from(caught));
                INSIDE.set(false);
            }
        })
        .build()
}

fn poll<V: Clone, E: Clone>(follower: &mut Follower<V, E>, waker: &Waker) {
    assert!(Pin::new(follower).poll(&mut Context::from_waker(waker)).is_pending());
}

fn join<'a>(
    loads: &'a Loads,
    caller: u32,
    now: Instant,
    guard: &Guard,
) -> Joined<'a, &'static str, u32, &'static str, SeededState> {
    loads.join("hot", Caller(caller), Some(LEASE), now, guard).expect("room")
}

fn lead<'a>(
    pages: &'a Pages,
    key: u32,
    guard: &Guard,
) -> Loading<'a, u32, u32, &'static str, SeededState> {
    match pages.load(&key, Caller(0), NOW, guard) {
        Ok(Load::Lead(loading)) => loading,
        other => panic!("{other:?}"),
    }
}

fn wait(pages: &Pages, key: u32, caller: u32, guard: &Guard) -> Follower<u32, &'static str> {
    match pages.load(&key, Caller(caller), NOW, guard) {
        Ok(Load::Wait(follower)) => follower,
        other => panic!("{other:?}"),
    }
}

/// However a flight ends, all who wait are woken, and no panic of theirs leaves the call that ends it.
#[test]
fn each_waker_of_a_flight_is_contained_by_itself() {
    let domain = containing();
    let (loads, mut worker) = (Loads::with(&domain, SeededState::new(101)), domain.worker());
    let guard = worker.quiescent(NOW);
    let again = Err(FollowError::Again);
    let ways_to_end: [(End<'_>, Result<u32, FollowError<&'static str>>); 4] = [
        (&|leader| drop(leader), again),
        (&|leader| assert_eq!(leader.complete(1, guard), Ok(())), Ok(1)),
        (
            &|leader| assert_eq!(leader.fail("no route", guard), Ok(())),
            Err(FollowError::Failed("no route")),
        ),
        // Another caller, which would not wait longer than the lease.
        (&|late| drop((join(&loads, 9, NOW + LEASE, guard), late)), again),
    ];
    for (end, result) in ways_to_end {
        CONTAINED.set(0);
        let Joined::Leader(leader) = join(&loads, 0, NOW, guard) else { panic!("nobody leads") };
        let (woken, counts) = counting();
        let panics = panicking();
        let followers: Vec<_> = (1..8)
            .map(|caller| {
                let Joined::Follower(mut follower) = join(&loads, caller, NOW, guard) else {
                    panic!("somebody leads");
                };
                poll(&mut follower, if caller % 2 == 0 { &counts } else { &panics });
                follower
            })
            .collect();
        end(leader);
        assert_eq!((woken.get(), CONTAINED.get(), loads.in_flight()), (3, 4, 0));
        assert!(followers.iter().all(|follower| follower.result() == Some(result)));
    }
}

/// Wakers and a listener that panic in one load: the leader has its value, the cache is whole, and the
/// listener is told of all that the load removed.
#[test]
fn wakers_and_a_listener_of_one_load_are_each_contained() {
    let domain = containing();
    let told = Arc::new(Mutex::new(Vec::new()));
    let says = Arc::clone(&told);
    let pages: Pages = Cache::builder(&domain, SeededState::new(0x5eed))
        .max_bytes(3)
        .weigher(|&key, _| if key < 10 { 1 } else { 3 })
        .listener(move |&key, _, cause| {
            says.lock().expect("no panic").push((key, cause));
            panic!("a listener's own");
        })
        .build()
        .expect("memory");
    let mut worker = domain.worker();
    let guard = worker.quiescent(NOW);
    for key in 0..3 {
        pages.insert(key, key, NOW, guard).expect("room");
    }
    let loading = lead(&pages, 10, guard);
    let mut followers = [1, 2].map(|caller| wait(&pages, 10, caller, guard));
    followers.iter_mut().for_each(|follower| poll(follower, &panicking()));
    assert_eq!(loading.complete(7, NOW, guard), Ok(7));
    assert_eq!(CONTAINED.get(), 5, "two wakers, and three removals");
    let size = RemovalCause::Size;
    assert_eq!(*told.lock().expect("no panic"), [(0, size), (1, size), (2, size)]);
    assert!(followers.iter().all(|follower| follower.result() == Some(Ok(7))));
    assert_eq!((pages.peek(&10, NOW, guard), pages.usage().entries), (Some(&7), 1));
    // Nor does a panic keep an insertion from being made, or a removal from being answered.
    assert_eq!(pages.insert(11, 8, NOW, guard).map(|_| ()), Ok(()));
    assert_eq!((pages.invalidate(&11, NOW, guard), CONTAINED.get()), (Some(&8), 7));
}

/// A hook that is running a listener refuses to run another call: the wakers that the listener's own
/// call ends a flight for are called all the same, once each, and its insertion is told.
#[test]
fn what_the_hook_does_not_call_is_called_without_it() {
    struct Inserts(Arc<OnceLock<Pages>>, Domain);
    impl Wake for Inserts {
        fn wake(self: Arc<Self>) {
            let pages = self.0.get().expect("made");
            let worker = self.1.worker();
            pages.insert(2, 20, NOW, &worker.pin()).expect("room");
        }
    }

    let domain = containing();
    let (place, told) = (Arc::new(OnceLock::new()), Arc::new(AtomicU64::new(0)));
    let counts = Arc::clone(&told);
    let pages = Cache::builder(&domain, SeededState::new(0x5eed))
        .listener(move |_, _, _| {
            counts.fetch_add(1, Ordering::Relaxed);
            panic!("a listener's own");
        })
        .build()
        .expect("memory");
    let pages = place.get_or_init(|| pages);
    let mut worker = domain.worker();
    let guard = worker.quiescent(NOW);
    pages.insert(2, 10, NOW, guard).expect("room");
    let loading = lead(pages, 1, guard);
    let (woken, counts) = counting();
    let wakers = [counts, Waker::from(Arc::new(Inserts(Arc::clone(&place), domain.clone())))];
    let mut followers = [1, 2].map(|caller| wait(pages, 1, caller, guard));
    followers.iter_mut().zip(&wakers).for_each(|(follower, waker)| poll(follower, waker));
    assert_eq!(loading.complete(7, NOW, guard), Ok(7));
    // The listener's panic was that of the waker which inserted.
    assert_eq!((woken.get(), told.load(Ordering::Relaxed), CONTAINED.get()), (1, 1, 1));
    assert_eq!(pages.peek(&2, NOW, guard), Some(&20));
}

/// A domain with a hook for wakers and listeners, which refuses nothing.
fn containing_calls(builder: tidegate_core::reclaim::Builder) -> Domain {
    CONTAINED.set(0);
    let catch = |call: &mut dyn FnMut()| {
        let caught = catch_unwind(AssertUnwindSafe(call)).is_err();
        CONTAINED.set(CONTAINED.get() + u32::from(caught));
    };
    let free = |free: &mut dyn FnMut()| {
        if !INSIDE.replace(true) {
            _ = catch_unwind(AssertUnwindSafe(free));
            INSIDE.set(false);
        }
    };
    builder.contain(free).contain_calls(catch).build()
}

/// A destructor of a retired value ends a flight: its wakers are contained there, too.
#[test]
fn wakers_that_panic_inside_a_destructor_are_each_contained() {
    struct Ends(Option<Box<dyn FnOnce() + Send + Sync>>);
    impl Drop for Ends {
        fn drop(&mut self) {
            self.0.take().expect("dropped once")();
        }
    }

    let domain = containing_calls(Domain::builder());
    let pages: Arc<Pages> =
        Arc::new(Cache::builder(&domain, SeededState::new(0x5eed)).build().expect("memory"));
    let (mut worker, map) =
        (domain.worker(), tidegate_core::Map::with(&domain, SeededState::new(1)));
    let mut followers = Vec::new();
    {
        let guard = worker.quiescent(NOW);
        let loading = lead(&pages, 1, guard).into_owned(&pages);
        for caller in 1..4 {
            let mut follower = wait(&pages, 1, caller, guard);
            poll(&mut follower, &panicking());
            followers.push(follower);
        }
        let ends = Ends(Some(Box::new(move || drop(loading))));
        assert!(map.insert(1, ends, guard).is_ok());
        assert!(map.remove(&1, guard).is_ok());
    }
    while pages.loading() > 0 {
        worker.collect(NOW, tidegate_core::Budget::UNLIMITED);
    }
    assert_eq!(CONTAINED.get(), 3);
    assert!(followers.iter().all(|follower| follower.result() == Some(Err(FollowError::Again))));
}

/// A listener that hands on what was removed to a cache of another domain pays there for what it retires.
#[test]
fn a_listener_frees_what_it_retires_in_another_domain() {
    let domain = containing_calls(Domain::builder());
    let second = containing_calls(Domain::builder().allowance(64, 1 << 20));
    let worker = Mutex::new(second.worker());
    let below: Pages =
        Cache::builder(&second, SeededState::new(2)).max_entries(4).build().expect("memory");
    let pages: Pages = Cache::builder(&domain, SeededState::new(1))
        .max_entries(4)
        .listener(move |&key, &value, _| {
            let worker = worker.lock().expect("no panic");
            below.insert(key, value, NOW, &worker.pin()).expect("room");
        })
        .build()
        .expect("memory");
    let mut worker = domain.worker();
    for key in 0..10_000 {
        pages.insert(key, key, NOW, worker.quiescent(NOW)).expect("room");
    }
    let garbage = second.gauges(NOW).garbage();
    assert!(garbage < 1_000, "{garbage} objects of 10,000");
}
