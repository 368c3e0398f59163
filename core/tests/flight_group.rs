//! The group of flights from outside: who leads, and what those who follow are told.

#[path = "common/allocator.rs"]
mod allocator;
mod common;

use std::collections::VecDeque;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use allocator::allocations;
use common::wakers::{counting, panicking};
use tidegate_core::flight::{
    Caller, CallerId, FollowError, Follower, Group, JoinError, Joined, Leader, SupersededError,
};
use tidegate_core::{Budget, Domain, Guard, Instant, SeededState, Sweep};

type Loads = Group<&'static str, u32, &'static str>;
type Leading<'a> = Leader<'a, &'static str, u32, &'static str, SeededState>;
type Following = Follower<u32, &'static str>;

const NOW: Instant = Instant::from_secs(100);
const LEASE: Duration = Duration::from_secs(5);

fn loads(domain: &Domain) -> Loads {
    Group::with(domain, SeededState::new(101))
}

fn lead<'a>(loads: &'a Loads, caller: u32, guard: &Guard) -> Leading<'a> {
    match loads.join("hot", Caller(caller), None, NOW, guard) {
        Ok(Joined::Leader(leader)) => leader,
        other => panic!("{other:?}"),
    }
}

fn follow(loads: &Loads, caller: u32, guard: &Guard) -> Following {
    match loads.join("hot", Caller(caller), None, NOW, guard) {
        Ok(Joined::Follower(follower)) => follower,
        other => panic!("{other:?}"),
    }
}

fn poll(follower: &mut Following, waker: &Waker) -> Poll<Result<u32, FollowError<&'static str>>> {
    Pin::new(follower).poll(&mut Context::from_waker(waker))
}

/// I1, I4, I14.
#[test]
fn i_c7_of_eight_who_come_for_a_key_one_leads_and_all_get_its_value() {
    let domain = Domain::new();
    let (loads, mut worker) = (loads(&domain), domain.worker());
    let guard = worker.quiescent(NOW);
    let leader = lead(&loads, 0, guard);
    let mut followers: Vec<_> = (1..8).map(|caller| follow(&loads, caller, guard)).collect();
    let (woken, waker) = counting();
    for follower in &mut followers {
        assert!(poll(follower, &waker).is_pending());
    }
    // Of another key nobody knows anything.
    let other = loads.join("cold", Caller(9), None, NOW, guard);
    assert!(matches!(other, Ok(Joined::Leader(_))));
    assert_eq!(loads.in_flight(), 2);
    drop(other);
    assert_eq!(leader.complete(42, guard), Ok(()));
    assert_eq!(woken.get(), 7);
    for follower in &mut followers {
        assert_eq!(poll(follower, &waker), Poll::Ready(Ok(42)));
    }
    assert_eq!(loads.in_flight(), 0);
    // Whoever comes later leads anew.
    drop(lead(&loads, 1, guard));
}

/// I4.
#[test]
fn a_leader_s_error_is_everybody_s() {
    let domain = Domain::new();
    let (loads, mut worker) = (loads(&domain), domain.worker());
    let guard = worker.quiescent(NOW);
    let leader = lead(&loads, 0, guard);
    let mut follower = follow(&loads, 1, guard);
    assert_eq!(follower.result(), None);
    assert_eq!(leader.fail("no route", guard), Ok(()));
    assert_eq!(
        poll(&mut follower, Waker::noop()),
        Poll::Ready(Err(FollowError::Failed("no route")))
    );
    assert_eq!(follower.result(), Some(Err(FollowError::Failed("no route"))));
}

/// I2, I4.
#[test]
fn i_c11_one_of_those_who_followed_a_cancelled_leader_leads() {
    let domain = Domain::new();
    let (loads, mut worker) = (loads(&domain), domain.worker());
    let guard = worker.quiescent(NOW);
    let cancelled = catch_unwind(AssertUnwindSafe(|| {
        let _leader = lead(&loads, 0, guard);
        let followers = [follow(&loads, 1, guard), follow(&loads, 2, guard)];
        std::panic::panic_any(followers);
    }));
    let mut followers =
        *cancelled.expect_err("it panics").downcast::<[Following; 2]>().expect("the followers");
    assert_eq!(loads.in_flight(), 0);
    for follower in &mut followers {
        assert_eq!(poll(follower, Waker::noop()), Poll::Ready(Err(FollowError::Again)));
    }
    let leader = lead(&loads, 1, guard);
    let mut follower = follow(&loads, 2, guard);
    assert_eq!(leader.complete(42, guard), Ok(()));
    assert_eq!(poll(&mut follower, Waker::noop()), Poll::Ready(Ok(42)));
}

/// I9.
#[test]
fn a_leader_that_would_follow_itself_is_told() {
    let domain = Domain::new();
    let (loads, mut worker) = (loads(&domain), domain.worker());
    let guard = worker.quiescent(NOW);
    let leader = lead(&loads, 7, guard);
    let again = loads.join("hot", Caller(7), None, NOW, guard);
    assert!(matches!(again, Err(JoinError::Reentrant)));
    drop(leader);
    drop(lead(&loads, 7, guard));
}

/// I7.
#[test]
fn a_leader_whose_lease_has_ended_is_superseded() {
    let domain = Domain::new();
    let (loads, mut worker) = (loads(&domain), domain.worker());
    let guard = worker.quiescent(NOW);
    let join = |caller, now| loads.join("hot", Caller(caller), Some(LEASE), now, guard);
    let Ok(Joined::Leader(mut late)) = join(0, NOW) else { panic!("nobody leads") };
    let end = NOW + LEASE;
    let Ok(Joined::Follower(mut follower)) = join(1, end - Duration::from_nanos(1)) else {
        panic!("the lease has not ended")
    };
    assert!(poll(&mut follower, Waker::noop()).is_pending());
    let Ok(Joined::Leader(next)) = join(2, end) else { panic!("the lease has ended") };
    assert_eq!(loads.in_flight(), 1);
    assert_eq!(poll(&mut follower, Waker::noop()), Poll::Ready(Err(FollowError::Again)));
    assert_eq!(late.renew(Some(LEASE), end), Err(SupersededError));
    assert_eq!(late.complete(1, guard), Err(1));
    // The late one has not ended the new flight.
    let Ok(Joined::Follower(mut follower)) = join(1, end) else { panic!("somebody leads") };
    assert_eq!(next.complete(2, guard), Ok(()));
    assert_eq!(poll(&mut follower, Waker::noop()), Poll::Ready(Ok(2)));
    assert_eq!(loads.in_flight(), 0);
}

#[test]
fn a_renewed_lease_is_not_superseded() {
    let domain = Domain::new();
    let (loads, mut worker) = (loads(&domain), domain.worker());
    let guard = worker.quiescent(NOW);
    let join = |caller, now| loads.join("hot", Caller(caller), Some(LEASE), now, guard);
    let Ok(Joined::Leader(mut leader)) = join(0, NOW) else { panic!("nobody leads") };
    assert_eq!(leader.renew(Some(LEASE), NOW + LEASE), Ok(()));
    assert!(matches!(join(1, NOW + LEASE), Ok(Joined::Follower(_))));
    assert_eq!(leader.renew(None, NOW), Ok(()));
    assert!(matches!(join(1, Instant::MAX), Ok(Joined::Follower(_))));
    assert_eq!(leader.complete(1, guard), Ok(()));
}

/// I5.
#[test]
fn a_follower_that_goes_leaves_no_trace() {
    let domain = Domain::new();
    let (loads, mut worker) = (loads(&domain), domain.worker());
    let guard = worker.quiescent(NOW);
    let leader = lead(&loads, 0, guard);
    let (woken, waker) = counting();
    for caller in 1..1_000 {
        let mut follower = follow(&loads, caller, guard);
        assert!(poll(&mut follower, &waker).is_pending());
    }
    // Neither a waker is kept, nor is any called.
    assert_eq!(Arc::strong_count(&woken), 2);
    assert_eq!(leader.complete(1, guard), Ok(()));
    assert_eq!(woken.get(), 0);
}

/// Ten at a time, and whoever came first goes first.
#[test]
fn followers_that_come_and_go_take_no_more_places_than_twice_as_many_as_there_were_at_once() {
    let domain = Domain::new();
    let (loads, mut worker) = (loads(&domain), domain.worker());
    let guard = worker.quiescent(NOW);
    let leader = lead(&loads, 0, guard);
    let (woken, waker) = counting();
    let mut followers = VecDeque::new();
    let come = |followers: &mut VecDeque<Following>| {
        let mut follower = follow(&loads, 1, guard);
        assert!(poll(&mut follower, &waker).is_pending());
        followers.push_back(follower);
    };
    (0..10).for_each(|_| come(&mut followers));
    let before = allocations();
    for _ in 0..100_000 {
        come(&mut followers);
        followers.pop_front();
    }
    let made = allocations() - before;
    assert!((1..=16).contains(&made), "{made} places were made");
    assert_eq!(leader.complete(1, guard), Ok(()));
    assert_eq!(woken.get(), 10);
}

#[test]
fn nobody_is_counted_who_does_not_lead() {
    let panics = panicking();
    let domain = Domain::new();
    let (loads, mut worker) = (loads(&domain), domain.worker());
    let guard = worker.quiescent(NOW);
    let ways_to_end: [&dyn Fn(Leading<'_>); 4] = [
        &|leader| drop(leader),
        &|leader| _ = leader.complete(1, guard),
        &|leader| _ = leader.fail("no route", guard),
        &|late| {
            let joined = loads.join("hot", Caller(2), None, NOW + LEASE, guard);
            drop((joined, late));
        },
    ];
    for end in ways_to_end {
        let Ok(Joined::Leader(leader)) = loads.join("hot", Caller(0), Some(LEASE), NOW, guard)
        else {
            panic!("nobody leads");
        };
        let mut follower = follow(&loads, 1, guard);
        assert_eq!(follower.left(NOW), Some(LEASE));
        assert!(poll(&mut follower, &panics).is_pending());
        assert!(catch_unwind(AssertUnwindSafe(|| end(leader))).is_err());
        assert_eq!(loads.in_flight(), 0);
        assert_eq!(follower.left(NOW), Some(Duration::ZERO));
    }
}

#[test]
fn a_sweep_removes_what_has_ended_and_ends_what_has_lapsed() {
    let domain = Domain::new();
    let (loads, mut worker) = (loads(&domain), domain.worker());
    let guard = worker.quiescent(NOW);
    drop(lead(&loads, 0, guard));
    let lapses = loads.join("slow", Caller(0), Some(LEASE), NOW, guard);
    let Ok(Joined::Leader(lapses)) = lapses else { panic!("nobody leads") };
    let stays = loads.join("busy", Caller(0), None, NOW, guard);
    let mut follower = loads.join("slow", Caller(1), None, NOW, guard);
    let mut sweep = loads.sweeper(domain.worker());
    assert_eq!(sweep.sweep(NOW, Budget::UNLIMITED).removed, 1);
    assert_eq!(loads.in_flight(), 2);
    assert_eq!(sweep.sweep(NOW + LEASE, Budget::UNLIMITED).removed, 1);
    assert_eq!(loads.in_flight(), 1);
    let Ok(Joined::Follower(follower)) = &mut follower else { panic!("somebody led") };
    assert_eq!(poll(follower, Waker::noop()), Poll::Ready(Err(FollowError::Again)));
    assert_eq!(lapses.complete(1, guard), Err(1));
    drop(stays);
    assert_eq!(sweep.sweep(NOW, Budget::UNLIMITED).removed, 1);
    assert_eq!(loads.in_flight(), 0);
}

#[test]
#[should_panic(expected = "another domain")]
fn a_guard_of_another_domain_is_refused() {
    let loads = loads(&Domain::new());
    let mut worker = Domain::new().worker();
    _ = loads.join("hot", Caller(0), None, NOW, worker.quiescent(NOW));
}

/// 1,000 callers come for one cold key, in any order; the first 100 who lead are cancelled after a
/// while.
/// I1, I14, E13.
#[test]
fn all_of_a_thousand_are_answered_though_a_hundred_leaders_are_cancelled() {
    enum Visitor<'a> {
        Comes,
        Leads(Leading<'a>),
        Waits(Following),
        Has(u32),
    }

    let domain = Domain::new();
    let (loads, mut worker) = (loads(&domain), domain.worker());
    let mut random = fastrand::Rng::with_seed(103);
    let mut callers: Vec<_> = (0..1_000).map(|_| Visitor::Comes).collect();
    let (mut cancelled, mut completed, mut answered, mut most) = (0, 0, 0, 0);
    while answered < callers.len() {
        let guard = worker.quiescent(NOW);
        let number = random.usize(0..callers.len());
        let caller = Caller(number as u32);
        let state = std::mem::replace(&mut callers[number], Visitor::Comes);
        callers[number] = match state {
            Visitor::Comes => match loads.join("hot", caller, None, NOW, guard) {
                Ok(Joined::Leader(leader)) => Visitor::Leads(leader),
                Ok(Joined::Follower(follower)) => Visitor::Waits(follower),
                Err(error) => panic!("{error}"),
            },
            Visitor::Waits(mut follower) => match poll(&mut follower, Waker::noop()) {
                Poll::Pending if random.u8(..) < 8 => Visitor::Comes, // out of patience
                Poll::Pending => Visitor::Waits(follower),
                Poll::Ready(Ok(value)) => Visitor::Has(value),
                Poll::Ready(Err(FollowError::Again)) => Visitor::Comes,
                Poll::Ready(Err(FollowError::Failed(error))) => panic!("nobody fails: {error}"),
            },
            Visitor::Leads(leader) if cancelled < 100 => {
                cancelled += 1;
                drop(leader);
                Visitor::Comes
            }
            Visitor::Leads(leader) => {
                completed += 1;
                assert_eq!(leader.complete(42, guard), Ok(()));
                Visitor::Has(42)
            }
            Visitor::Has(value) => {
                assert_eq!(value, 42);
                Visitor::Has(value)
            }
        };
        let count = |is: fn(&Visitor<'_>) -> bool| callers.iter().filter(|it| is(it)).count();
        let leading = count(|it| matches!(it, Visitor::Leads(_)));
        assert!(leading <= 1, "one at a time");
        assert_eq!(loads.in_flight(), leading);
        most = most.max(count(|it| matches!(it, Visitor::Waits(_))));
        answered = count(|it| matches!(it, Visitor::Has(_)));
    }
    assert_eq!((cancelled, loads.in_flight()), (100, 0));
    assert!(completed < 100 && most > 100, "{completed} loads, {most} waited at once");
}

/// Those who follow get the result of a flight whose key was written; nobody else does.
#[test]
fn a_detached_flight_is_for_those_who_follow_it_already() {
    let domain = Domain::new();
    let (loads, mut worker) = (loads(&domain), domain.worker());
    let guard = worker.quiescent(NOW);
    assert!(!loads.detach("hot", guard), "there is none");
    let old = lead(&loads, 0, guard);
    let mut follower = follow(&loads, 1, guard);
    assert!(!old.is_detached());
    assert!(loads.detach("hot", guard));
    assert!(old.is_detached());
    assert!(!loads.detach("hot", guard), "once");
    // Even the caller that leads it can lead the next.
    let new = lead(&loads, 0, guard);
    let mut late = follow(&loads, 2, guard);
    assert_eq!(loads.in_flight(), 2);
    assert!(poll(&mut follower, Waker::noop()).is_pending(), "it is still in progress");
    assert_eq!(old.complete(1, guard), Ok(()));
    assert_eq!(poll(&mut follower, Waker::noop()), Poll::Ready(Ok(1)));
    assert!(poll(&mut late, Waker::noop()).is_pending());
    assert!(!new.is_detached(), "the end of the old one leaves it alone");
    assert_eq!(new.complete(2, guard), Ok(()));
    assert_eq!(poll(&mut late, Waker::noop()), Poll::Ready(Ok(2)));
    assert_eq!(loads.in_flight(), 0);
    assert!(!loads.detach("hot", guard), "it has ended");
}

#[test]
fn a_detached_flight_ends_in_every_way() {
    let domain = Domain::new();
    let (loads, mut worker) = (loads(&domain), domain.worker());
    let guard = worker.quiescent(NOW);
    let ends: [fn(Leading<'_>, &Guard); 2] =
        [|leader, _| drop(leader), |leader, guard| assert_eq!(leader.fail("gone", guard), Ok(()))];
    for end in ends {
        let leader = lead(&loads, 0, guard);
        let follower = follow(&loads, 1, guard);
        assert_eq!(loads.detach_all(guard), 1);
        end(leader, guard);
        assert!(matches!(
            follower.result(),
            Some(Err(FollowError::Again | FollowError::Failed("gone")))
        ));
        assert_eq!(loads.in_flight(), 0);
    }
    // Its lease ends as before, renewed or not, while no other flight has taken its place.
    let joined = loads.join("hot", Caller(0), Some(LEASE), NOW, guard);
    let Ok(Joined::Leader(mut leader)) = joined else { panic!("nobody leads") };
    let follower = follow(&loads, 1, guard);
    assert!(loads.detach("hot", guard));
    assert_eq!(leader.renew(Some(LEASE), NOW + LEASE), Ok(()));
    assert!(leader.is_detached());
    let mut sweep = loads.sweeper(domain.worker());
    assert_eq!(sweep.sweep(NOW + LEASE, Budget::UNLIMITED).removed, 0);
    assert_eq!(sweep.sweep(NOW + LEASE + LEASE, Budget::UNLIMITED).removed, 1);
    assert_eq!(follower.result(), Some(Err(FollowError::Again)));
    assert_eq!((leader.complete(1, guard), loads.in_flight()), (Err(1), 0));
}

/// A panic comes out when everything is done, and leaves nothing to the next who joins.
#[test]
fn a_waker_that_panics_finds_the_flight_ended_and_forgotten() {
    let domain = Domain::new();
    let key = Arc::new(());
    let loads: Group<Arc<()>, u32, &'static str> = Group::with(&domain, SeededState::new(101));
    let mut worker = domain.worker();
    let guard = worker.quiescent(NOW);
    let join = |caller| loads.join(Arc::clone(&key), Caller(caller), None, NOW, guard);
    let Ok(Joined::Leader(leader)) = join(0) else { panic!("nobody leads") };
    let Ok(Joined::Follower(mut follower)) = join(1) else { panic!("somebody leads") };
    let waker = panicking();
    assert!(Pin::new(&mut follower).poll(&mut Context::from_waker(&waker)).is_pending());
    assert!(catch_unwind(AssertUnwindSafe(|| leader.complete(7, guard))).is_err());
    assert_eq!((follower.result(), loads.in_flight()), (Some(Ok(7)), 0));
    let mut sweep = loads.sweeper(domain.worker());
    assert_eq!(sweep.sweep(NOW, Budget::UNLIMITED).removed, 0, "it has been taken out");
}

#[test]
#[should_panic(expected = "another domain")]
fn a_guard_of_another_domain_detaches_nothing() {
    let loads = loads(&Domain::new());
    let mut worker = Domain::new().worker();
    loads.detach("hot", worker.quiescent(NOW));
}

#[test]
fn a_runtime_s_identity_is_no_user_s() {
    let domain = Domain::new();
    let (loads, mut worker) = (loads(&domain), domain.worker());
    let guard = worker.quiescent(NOW);
    let leader = lead(&loads, 7, guard);
    let joined = loads.join("hot", CallerId::of_runtime(7), None, NOW, guard);
    let Ok(Joined::Follower(follower)) = joined else { panic!("a stranger can wait") };
    assert_eq!(follower.leader(), Caller(7).into());
    drop((leader, follower));
    let joined = loads.join("hot", CallerId::of_runtime(7), None, NOW, guard);
    let Ok(Joined::Leader(leader)) = joined else { panic!("nobody leads") };
    drop(follow(&loads, 7, guard));
    let again = loads.join("hot", CallerId::of_runtime(7), None, NOW, guard);
    assert!(matches!(again, Err(JoinError::Reentrant)));
    drop(leader);
}

#[test]
fn a_value_says_until_when_it_is_good() {
    let domain = Domain::new();
    let (loads, mut worker) = (loads(&domain), domain.worker());
    let guard = worker.quiescent(NOW);
    let leader = lead(&loads, 0, guard);
    let (mut own, other) = (leader.follow(), follow(&loads, 1, guard));
    assert_eq!((own.until(), own.result()), (None, None));
    assert_eq!(leader.complete_until(7, Some(NOW + LEASE), guard), Ok(()));
    assert_eq!(poll(&mut own, Waker::noop()), Poll::Ready(Ok(7)));
    assert_eq!((own.until(), other.until()), (Some(NOW + LEASE), Some(NOW + LEASE)));
    let leader = lead(&loads, 0, guard);
    let own = leader.follow();
    drop(leader);
    assert_eq!((own.until(), own.result()), (None, Some(Err(FollowError::Again))));
}
