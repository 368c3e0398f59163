//! The slot: who has it, who waits, and who comes too late.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use loom::cell::UnsafeCell;
use loom::thread::Thread;
use tidegate_core::flight::{
    Caller, Claim, ClaimError, FollowError, Group, Joined, Slot, SupersededError,
};
use tidegate_core::{Domain, Instant, Worker, model};

use crate::identity::Identity;
use crate::{Model, both, race, together};

/// The models of this module.
pub const MODELS: &[Model] = &[
    Model {
        name: "f01_release_races_wait",
        preemptions: 4,
        run: release_races_wait,
        outcomes: both(&["[0, 0]", "[0, 1]", "[1, 0]"]),
    },
    Model {
        name: "f02_three_take_turns",
        preemptions: 1,
        run: three_take_turns,
        outcomes: both(&["0 waits", "1 waits", "2 waits"]).only_in_plain(&["3 waits"]),
    },
    Model {
        name: "f03_late_release_meets_new_claim",
        preemptions: 4,
        run: late_release_meets_new_claim,
        outcomes: both(&["released", "superseded"]),
    },
    Model {
        name: "f04_renewal_races_supersede",
        preemptions: 4,
        run: renewal_races_supersede,
        outcomes: both(&["renewed", "superseded"]),
    },
    Model {
        name: "f05_waiter_leaves_while_it_is_woken",
        preemptions: 2,
        run: waiter_leaves_while_it_is_woken,
        outcomes: both(&[
            "[0, 0, 0]",
            "[0, 0, 2]",
            "[0, 1, 0]",
            "[0, 1, 2]",
            "[0, 2, 0]",
            "[0, 2, 2]",
        ]),
    },
    Model {
        name: "f06_another_waker_races_release",
        preemptions: 3,
        run: another_waker_races_release,
        outcomes: both(&["[0, 0]", "[0, 1]", "[0, 2]"]),
    },
    Model {
        name: "f07_two_join_and_one_leads",
        preemptions: 2,
        run: two_join_and_one_leads,
        outcomes: both(&["led 1", "led 2"]),
    },
    Model {
        name: "f08_leader_drop_races_join",
        preemptions: 2,
        run: leader_drop_races_join,
        outcomes: both(&["joined 1 times", "joined 2 times"]),
    },
    Model {
        name: "f09_late_complete_meets_new_flight",
        preemptions: 2,
        run: late_complete_meets_new_flight,
        outcomes: both(&["completed", "superseded"]),
    },
    Model {
        name: "f10_follower_leaves_while_the_flight_ends",
        preemptions: 2,
        run: follower_leaves_while_the_flight_ends,
        outcomes: both(&["left pending", "left ended", "led"]),
    },
    Model {
        name: "f11_place_is_used_again_while_the_flight_ends",
        preemptions: 2,
        run: place_is_used_again_while_the_flight_ends,
        outcomes: both(&[
            "pending, joined 1 times",
            "ended, joined 1 times",
            "led, joined 1 times",
        ]),
    },
    Model {
        name: "f12_detach_races_complete_and_join",
        preemptions: 2,
        run: detach_races_complete_and_join,
        outcomes: both(&["detached false", "detached true"]),
    },
];

type Loads = Group<u64, u32, u32, Identity>;

const NOW: Instant = Instant::from_secs(1);
const LEASE: Duration = Duration::from_secs(1);

/// A slot, and a count that only who has it may touch: loom notices whoever does otherwise.
struct Counter {
    slot: Slot<2>,
    count: UnsafeCell<u32>,
}

// SAFETY: the count is touched under a claim only, which is what the models are about.
unsafe impl Sync for Counter {}

impl Counter {
    fn new() -> Box<Self> {
        Box::new(Self { slot: Slot::new(), count: UnsafeCell::new(0) })
    }

    fn add(&self) {
        // SAFETY: the caller has the slot.
        self.count.with_mut(|count| unsafe { *count += 1 });
    }

    /// Counts once, whenever the slot is free, and returns how often that had to be waited for.
    fn count(&self, caller: u32) -> u32 {
        let mut waits = 0;
        loop {
            match self.slot.claim(Caller(caller), None, NOW) {
                Ok(claim) => {
                    self.add();
                    drop(claim);
                    return waits;
                }
                Err(ClaimError::Held(freed)) => {
                    waits += 1;
                    block_on(freed);
                }
                Err(ClaimError::Reentrant) => unreachable!("nobody has it twice"),
            }
        }
    }

    fn total(&self) -> u32 {
        // SAFETY: the threads have ended.
        self.count.with(|count| unsafe { *count })
    }
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

fn waker() -> Waker {
    Waker::from(Arc::new(Unpark(loom::thread::current())))
}

/// Sleeps between polls: a wake that is lost is a deadlock, which loom notices.
fn block_on<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    let waker = waker();
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(output) => return output,
            Poll::Pending => loom::thread::park(),
        }
    }
}

/// The counter for threads, whose closures must borrow nothing.
fn lent(counter: &Counter) -> &'static Counter {
    // SAFETY: every model drops what it was lent, and ends its threads, before the counter.
    unsafe { &*std::ptr::from_ref(counter) }
}

/// A claim of the first caller's.
fn held(counter: &Counter, lease: Option<Duration>) -> Claim<'static, 2> {
    lent(counter).slot.claim(Caller(1), lease, NOW).expect("nobody has it")
}

/// Runs a closure with the counter on a thread for each.
fn each<T: 'static>(
    counter: &Counter,
    deeds: Vec<Box<dyn FnOnce(&'static Counter) -> T>>,
) -> Vec<T> {
    let lent = lent(counter);
    race(
        deeds
            .into_iter()
            .map(|deed| -> Box<dyn FnOnce() -> T> { Box::new(move || deed(lent)) })
            .collect(),
    )
}

fn release_races_wait() -> String {
    let counter = Counter::new();
    let waits = each(&counter, vec![Box::new(|it| it.count(1)), Box::new(|it| it.count(2))]);
    assert_eq!(counter.total(), 2);
    format!("{waits:?}")
}

fn three_take_turns() -> String {
    let counter = Counter::new();
    let waits: u32 = each(
        &counter,
        vec![Box::new(|it| it.count(1)), Box::new(|it| it.count(2)), Box::new(|it| it.count(3))],
    )
    .into_iter()
    .sum();
    assert_eq!(counter.total(), 3);
    format!("{waits} waits")
}

fn late_release_meets_new_claim() -> String {
    let counter = Counter::new();
    let lapsed = NOW + LEASE + LEASE;
    let results = each(
        &counter,
        vec![
            Box::new(move |it: &'static Counter| {
                match it.slot.claim(Caller(1), Some(LEASE), NOW) {
                    Ok(claim) => claim.release(),
                    // The other was first, and has no lease.
                    Err(_) => Ok(()),
                }
            }) as Box<dyn FnOnce(&'static Counter) -> _>,
            Box::new(move |it: &'static Counter| {
                let Ok(claim) = it.slot.claim(Caller(2), None, lapsed) else {
                    unreachable!("whoever has it, his lease has ended");
                };
                // Whoever is late frees it no more: nobody else can have it.
                assert!(it.slot.is_held(lapsed));
                it.add();
                assert!(matches!(it.slot.claim(Caller(3), None, lapsed), Err(ClaimError::Held(_))));
                claim.release()
            }),
        ],
    );
    assert_eq!(results[1], Ok(()));
    assert!(!counter.slot.is_held(lapsed));
    (if results[0] == Err(SupersededError) { "superseded" } else { "released" }).to_owned()
}

fn renewal_races_supersede() -> String {
    let counter = Counter::new();
    let lapsed = NOW + LEASE + LEASE;
    let mut claim = held(&counter, Some(LEASE));
    let mut ends = each(
        &counter,
        vec![
            Box::new(move |_: &'static Counter| {
                let renewed = claim.renew(Some(LEASE), lapsed).is_ok();
                (renewed, Some(claim))
            }) as Box<dyn FnOnce(&'static Counter) -> _>,
            Box::new(move |it: &'static Counter| {
                let claim = it.slot.claim(Caller(2), None, lapsed).ok();
                (claim.is_some(), claim)
            }),
        ],
    );
    let (second, first) = (ends.pop().expect("two"), ends.pop().expect("two"));
    assert_ne!(first.0, second.0, "one of them has it");
    drop(first.1);
    assert_eq!(counter.slot.is_held(lapsed), second.0);
    drop(second.1);
    assert!(!counter.slot.is_held(lapsed));
    (if first.0 { "renewed" } else { "superseded" }).to_owned()
}

/// What became of an attempt to wait.
const FREE: u32 = 0;
const READY: u32 = 1;
const PENDING: u32 = 2;

/// Polls once, and goes.
fn poll_once(slot: &Slot<2>, waker: &Waker) -> u32 {
    match slot.claim(Caller(2), None, NOW) {
        Err(ClaimError::Held(freed)) => {
            let polled = pin!(freed).poll(&mut Context::from_waker(waker));
            if polled.is_ready() { READY } else { PENDING }
        }
        _ => FREE,
    }
}

/// Waits as long as it takes, after a first poll with a waker of somebody else's.
fn wait(slot: &Slot<2>, first: Option<&Waker>) -> u32 {
    let Err(ClaimError::Held(freed)) = slot.claim(Caller(3), None, NOW) else {
        return FREE;
    };
    let mut freed = pin!(freed);
    if let Some(waker) = first
        && freed.as_mut().poll(&mut Context::from_waker(waker)).is_ready()
    {
        return READY;
    }
    block_on(freed);
    PENDING
}

fn waiter_leaves_while_it_is_woken() -> String {
    let counter = Counter::new();
    let claim = held(&counter, None);
    let seen = each(
        &counter,
        vec![
            Box::new(move |_: &'static Counter| {
                drop(claim);
                0_u32
            }) as Box<dyn FnOnce(&'static Counter) -> _>,
            Box::new(|it: &'static Counter| poll_once(&it.slot, &waker())),
            Box::new(|it: &'static Counter| wait(&it.slot, None)),
        ],
    );
    format!("{seen:?}")
}

fn another_waker_races_release() -> String {
    let counter = Counter::new();
    let claim = held(&counter, None);
    let seen = each(
        &counter,
        vec![
            Box::new(move |it: &'static Counter| {
                it.add();
                drop(claim);
                0_u32
            }) as Box<dyn FnOnce(&'static Counter) -> _>,
            Box::new(|it: &'static Counter| {
                let seen = wait(&it.slot, Some(Waker::noop()));
                // Whoever has waited sees what was done meanwhile.
                assert!(seen == FREE || it.total() == 1);
                seen
            }),
        ],
    );
    format!("{seen:?}")
}

/// A group, and a count that only a leader may touch.
struct Shared {
    loads: Loads,
    led: UnsafeCell<u32>,
}

// SAFETY: the count is touched by leaders only, which is what the models are about.
unsafe impl Sync for Shared {}
// SAFETY: as above.
unsafe impl Send for Shared {}

/// What threads that join a key do: each with a worker of its own, made before it starts.
fn joining<T: 'static>(deeds: Vec<fn(&Shared, &mut Worker) -> T>) -> (Arc<Shared>, Vec<T>) {
    model::forget_live();
    let domain = Domain::quarantine();
    let shared = Arc::new(Shared {
        loads: Group::with(&domain, Identity::default()),
        led: UnsafeCell::new(0),
    });
    let ends = together(&domain, &shared, deeds);
    drop(domain);
    assert_eq!(shared.loads.in_flight(), 0, "nobody leads any more");
    (shared, ends)
}

impl Shared {
    /// As a leader does its work.
    fn lead(&self) {
        // SAFETY: there is one leader.
        self.led.with_mut(|led| unsafe { *led += 1 });
    }

    fn led(&self) -> u32 {
        // SAFETY: the threads have ended.
        self.led.with(|led| unsafe { *led })
    }
}

/// Leads or follows until there is a value.
fn load(shared: &Shared, worker: &mut Worker, caller: u32) -> (u32, u32) {
    for joined in 1.. {
        match shared.loads.join(1, Caller(caller), None, NOW, worker.quiescent(NOW)) {
            Ok(Joined::Leader(leader)) => {
                shared.lead();
                assert_eq!(leader.complete(7, worker.quiescent(NOW)), Ok(()));
                return (joined, 7);
            }
            Ok(Joined::Follower(follower)) => match block_on(follower) {
                Ok(value) => return (joined, value),
                Err(FollowError::Again) => {}
                Err(FollowError::Failed(error)) => panic!("nobody fails: {error}"),
            },
            Err(error) => panic!("{error}"),
        }
    }
    unreachable!("it is endless")
}

fn two_join_and_one_leads() -> String {
    let (shared, ends) =
        joining(vec![|it, worker| load(it, worker, 1), |it, worker| load(it, worker, 2)]);
    assert!(ends.iter().all(|end| end.1 == 7));
    format!("led {}", shared.led())
}

fn leader_drop_races_join() -> String {
    let (shared, ends) = joining(vec![
        |it, worker| {
            match it.loads.join(1, Caller(1), None, NOW, worker.quiescent(NOW)) {
                Ok(Joined::Leader(leader)) => {
                    it.lead();
                    drop(leader);
                }
                Ok(Joined::Follower(follower)) => assert_eq!(block_on(follower), Ok(7)),
                Err(error) => panic!("{error}"),
            }
            (0, 7)
        },
        |it, worker| load(it, worker, 2),
    ]);
    assert!(shared.led() > 0);
    format!("joined {} times", ends[1].0)
}

fn late_complete_meets_new_flight() -> String {
    let (_, ends) = joining(vec![
        |it: &Shared, worker: &mut Worker| {
            match it.loads.join(1, Caller(1), Some(LEASE), NOW, worker.quiescent(NOW)) {
                Ok(Joined::Leader(leader)) => leader.complete(7, worker.quiescent(NOW)),
                // The other was first, and has no lease.
                Ok(Joined::Follower(follower)) => {
                    assert_eq!(block_on(follower), Ok(8));
                    Ok(())
                }
                Err(error) => panic!("{error}"),
            }
        },
        |it, worker| {
            let lapsed = NOW + LEASE;
            match it.loads.join(1, Caller(2), None, lapsed, worker.quiescent(NOW)) {
                Ok(Joined::Leader(leader)) => leader.complete(8, worker.quiescent(NOW)),
                _ => unreachable!("whoever leads, his lease has ended"),
            }
        },
    ]);
    assert_eq!(ends[1], Ok(()));
    match ends[0] {
        Ok(()) => "completed".to_owned(),
        Err(7) => "superseded".to_owned(),
        Err(other) => panic!("{other}"),
    }
}

fn place_is_used_again_while_the_flight_ends() -> String {
    let (_, ends) = joining(vec![
        |it: &Shared, worker: &mut Worker| {
            load(it, worker, 1);
            String::new()
        },
        |it, worker| {
            let left = match it.loads.join(1, Caller(2), None, NOW, worker.quiescent(NOW)) {
                Ok(Joined::Follower(follower)) => {
                    // Nobody leases, so that the flight lasts for ever, or it is over.
                    let left = follower.left(NOW);
                    assert!(left.is_none_or(|left| left.is_zero()), "{left:?} of no lease");
                    match pin!(follower).poll(&mut Context::from_waker(&waker())) {
                        Poll::Ready(Ok(7)) => "ended",
                        Poll::Pending => "pending",
                        Poll::Ready(other) => panic!("{other:?}"),
                    }
                }
                Ok(Joined::Leader(leader)) => {
                    drop(leader);
                    "led"
                }
                Err(error) => panic!("{error}"),
            };
            let (joined, value) = load(it, worker, 2);
            assert_eq!(value, 7);
            format!("{left}, joined {joined} times")
        },
    ]);
    ends[1].clone()
}

fn follower_leaves_while_the_flight_ends() -> String {
    let (_, ends) = joining(vec![
        |it: &Shared, worker: &mut Worker| {
            load(it, worker, 1);
            ""
        },
        |it, worker| match it.loads.join(1, Caller(2), None, NOW, worker.quiescent(NOW)) {
            Ok(Joined::Leader(leader)) => {
                drop(leader);
                "led"
            }
            Ok(Joined::Follower(follower)) => {
                let polled = pin!(follower).poll(&mut Context::from_waker(&waker()));
                match polled {
                    Poll::Ready(Ok(7)) => "left ended",
                    Poll::Pending => "left pending",
                    Poll::Ready(other) => panic!("{other:?}"),
                }
            }
            Err(error) => panic!("{error}"),
        },
    ]);
    ends[1].to_owned()
}

/// A flight that began before the write is left to those who joined before it.
fn detach_races_complete_and_join() -> String {
    model::forget_live();
    let domain = Domain::quarantine();
    let loads: Arc<Loads> = Arc::new(Group::with(&domain, Identity::default()));
    // SAFETY: the threads have ended, and with them the flights, before the group is dropped below.
    let lent: &'static Loads = unsafe { &*Arc::as_ptr(&loads) };
    let [mut first, mut second] = [(); 2].map(|()| domain.worker());
    let joined = lent.join(1, Caller(1), None, NOW, first.quiescent(NOW));
    let Ok(Joined::Leader(leader)) = joined else { unreachable!("nobody else leads") };
    first.offline(|| ());
    let ends = race(vec![
        Box::new(move || {
            assert_eq!(leader.complete(7, first.quiescent(NOW)), Ok(()));
            false
        }) as Box<dyn FnOnce() -> bool>,
        Box::new(move || {
            let guard = second.quiescent(NOW);
            let detached = lent.detach(&1, guard);
            let joined = lent.join(1, Caller(2), None, NOW, guard);
            let Ok(Joined::Leader(leader)) = joined else { panic!("what began before is left") };
            assert_eq!(leader.complete(8, guard), Ok(()));
            detached
        }),
    ]);
    assert_eq!(loads.in_flight(), 0);
    drop((loads, domain));
    assert_eq!(model::live(), 0, "something was never retired");
    format!("detached {}", ends[1])
}
