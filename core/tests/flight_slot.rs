//! The slot from outside: who gets it, on which ways out it is given back, and who is woken.

mod common;

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;
use std::time::Duration;

use common::wakers::{counting, panicking};
use tidegate_core::Instant;
use tidegate_core::flight::{Caller, Claim, ClaimError, Freed, Slot, SupersededError};

const NOW: Instant = Instant::from_secs(100);
const LEASE: Duration = Duration::from_secs(5);
/// What the end of a lease is rounded up to.
const TICK: Duration = Duration::from_nanos(1 << 24);
const ALICE: Caller = Caller(1);
const BOB: Caller = Caller(2);

fn poll<F: Future>(future: Pin<&mut F>, waker: &Waker) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(waker))
}

fn claim<const N: usize>(slot: &Slot<N>, caller: Caller) -> Claim<'_, N> {
    slot.claim(caller, None, NOW).expect("it is free")
}

/// What a caller who is refused has to wait for.
fn wait<const N: usize>(slot: &Slot<N>, caller: Caller) -> Freed<'_, N> {
    match slot.claim(caller, None, NOW) {
        Err(ClaimError::Held(freed)) => freed,
        other => panic!("{other:?}"),
    }
}

/// I2.
#[test]
fn i_c1_a_body_that_returns_gives_it_back_once() {
    let slot = Slot::<4>::new();
    let body = || {
        let _claim = claim(&slot, ALICE);
        assert!(slot.is_held(NOW));
        42
    };
    assert_eq!(body(), 42);
    assert!(!slot.is_held(NOW));
    assert_eq!(claim(&slot, BOB).release(), Ok(()));
    assert!(!slot.is_held(NOW));
}

#[test]
fn i_c2_a_body_that_fails_gives_it_back_and_its_error_comes_out() {
    let slot = Slot::<4>::new();
    let fails = || -> Result<u32, std::num::ParseIntError> {
        let _claim = claim(&slot, ALICE);
        "no number".parse::<u32>()
    };
    assert!(fails().is_err());
    assert!(!slot.is_held(NOW));

    let panics = catch_unwind(AssertUnwindSafe(|| {
        let _claim = claim(&slot, ALICE);
        panic!("the body's own");
    }));
    let payload = panics.expect_err("it panics");
    assert_eq!(payload.downcast_ref::<&str>(), Some(&"the body's own"));
    assert!(!slot.is_held(NOW));
}

/// I2, I5.
#[test]
fn i_c4_a_cancelled_leader_wakes_who_waits() {
    let slot = Slot::<4>::new();
    let mut leader = Box::pin(async {
        let _claim = claim(&slot, ALICE);
        std::future::pending::<()>().await;
    });
    assert!(poll(leader.as_mut(), Waker::noop()).is_pending());
    let mut freed = pin!(wait(&slot, BOB));
    let (woken, waker) = counting();
    assert!(poll(freed.as_mut(), &waker).is_pending());
    assert_eq!(woken.get(), 0);
    drop(leader);
    assert_eq!(woken.get(), 1);
    assert!(poll(freed.as_mut(), &waker).is_ready());
    assert!(!slot.is_held(NOW));
}

/// I9.
#[test]
fn ones_own_claim_is_not_waited_for() {
    let slot = Slot::<4>::new();
    let first = claim(&slot, ALICE);
    assert!(matches!(slot.claim(ALICE, None, NOW), Err(ClaimError::Reentrant)));
    drop(wait(&slot, BOB));
    drop(first);
    // That one had it before is no matter.
    let second = claim(&slot, BOB);
    drop(wait(&slot, ALICE));
    drop(second);
    drop(claim(&slot, ALICE));
}

/// I7.
#[test]
fn a_lease_ends_and_not_before() {
    let slot = Slot::<4>::new();
    let late = slot.claim(ALICE, Some(LEASE), NOW).expect("it is free");
    for now in [Instant::ORIGIN, NOW, NOW + (LEASE - Duration::from_nanos(1))] {
        assert!(slot.is_held(now));
        assert!(slot.claim(BOB, None, now).is_err(), "{now}");
    }
    let end = NOW + LEASE + TICK;
    let next = slot.claim(BOB, Some(LEASE), end).expect("the lease has ended");
    // Late, it frees nobody else's claim.
    assert_eq!(late.release(), Err(SupersededError));
    assert!(slot.is_held(end));
    assert_eq!(next.release(), Ok(()));
    assert!(!slot.is_held(end));
}

#[test]
fn a_lease_is_renewed_unless_it_was_superseded() {
    let slot = Slot::<4>::new();
    let mut first = slot.claim(ALICE, Some(LEASE), NOW).expect("it is free");
    let later = NOW + LEASE + TICK;
    // Nobody else has come: not too late.
    assert_eq!(first.renew(Some(LEASE), later), Ok(()));
    assert!(slot.claim(BOB, None, later + (LEASE - TICK)).is_err());
    let second = slot.claim(BOB, None, later + LEASE + TICK).expect("the lease has ended");
    assert_eq!(first.renew(Some(LEASE), later), Err(SupersededError));
    // Of the second, there is no end.
    assert!(slot.claim(ALICE, None, Instant::MAX).is_err());
    drop(first);
    assert!(slot.is_held(Instant::MAX));
    drop(second);
}

#[test]
fn who_waits_is_told_for_how_long_and_that_it_is_over() {
    let slot = Slot::<4>::new();
    let late = slot.claim(ALICE, Some(LEASE), NOW).expect("it is free");
    let mut freed = pin!(wait(&slot, BOB));
    let left = freed.left(NOW).expect("it ends");
    assert!((LEASE..LEASE + TICK).contains(&left), "{left:?}");
    let just_before = NOW + left - Duration::from_nanos(1);
    assert_eq!(freed.left(just_before), Some(Duration::from_nanos(1)));
    assert!(slot.is_held(just_before) && !slot.is_held(NOW + left));
    assert_eq!(freed.left(NOW + left), Some(Duration::ZERO));

    let (woken, waker) = counting();
    assert!(poll(freed.as_mut(), &waker).is_pending());
    let next = slot.claim(Caller(3), None, NOW + left).expect("the lease has ended");
    assert_eq!(woken.get(), 1);
    assert!(poll(freed.as_mut(), &waker).is_ready());
    assert_eq!(wait(&slot, BOB).left(NOW), None);
    drop((late, next));
}

#[test]
fn a_lease_of_any_length_and_at_any_time_will_do() {
    let slot = Slot::<4>::new();
    let days = |days: u64| Duration::from_secs(days * 86_400);
    for now in [Instant::ORIGIN, NOW, Instant::from_secs(u64::from(u32::MAX)), Instant::MAX] {
        for lease in [Duration::ZERO, LEASE, days(200)] {
            let claim = slot.claim(ALICE, Some(lease), now).expect("it is free");
            assert!(!slot.is_held(now + lease + TICK) || now + lease == Instant::MAX, "{lease:?}");
            drop(claim);
        }
        // So long that it never ends.
        for lease in [days(209), Duration::MAX] {
            let claim = slot.claim(ALICE, Some(lease), now).expect("it is free");
            let is_short = Instant::MAX.since(now) < days(208);
            assert!(is_short || slot.is_held(now + days(300)), "{lease:?} at {now}");
            drop(claim);
        }
    }
}

/// I6.
#[test]
fn a_late_release_frees_no_later_claim() {
    let slot = Slot::<4>::new();
    let mut now = NOW;
    let mut late = Vec::new();
    for caller in 0..1_000 {
        late.push(slot.claim(Caller(caller), Some(LEASE), now).expect("the lease has ended"));
        now = now + LEASE + TICK;
    }
    let last = claim_at(&slot, now);
    late.drain(..).for_each(drop);
    assert!(slot.is_held(now));
    drop(last);
    assert!(!slot.is_held(now));
}

fn claim_at(slot: &Slot<4>, now: Instant) -> Claim<'_, 4> {
    slot.claim(BOB, None, now).expect("the lease has ended")
}

#[test]
fn whoever_finds_no_place_polls() {
    let slot = Slot::<1>::new();
    let held = claim(&slot, ALICE);
    let (first, first_waker) = counting();
    let (second, second_waker) = counting();
    let mut waits = pin!(wait(&slot, BOB));
    let mut polls = Box::pin(wait(&slot, BOB));
    assert!(poll(waits.as_mut(), &first_waker).is_pending());
    for polled in 1..4 {
        assert!(poll(polls.as_mut(), &second_waker).is_pending());
        assert_eq!((first.get(), second.get()), (0, polled));
    }
    drop(held);
    assert_eq!(first.get(), 1);
    assert!(poll(polls.as_mut(), &second_waker).is_ready());
    assert!(poll(waits.as_mut(), &first_waker).is_ready());
}

/// I5.
#[test]
fn a_waiter_that_goes_leaves_no_trace() {
    let slot = Slot::<1>::new();
    let held = claim(&slot, ALICE);
    let (gone, gone_waker) = counting();
    let (stays, stays_waker) = counting();
    let mut goes = Box::pin(wait(&slot, BOB));
    assert!(poll(goes.as_mut(), &gone_waker).is_pending());
    drop(goes);
    // Neither the waker nor the place is kept.
    assert_eq!(Arc::strong_count(&gone), 2);
    let mut freed = pin!(wait(&slot, BOB));
    assert!(poll(freed.as_mut(), &stays_waker).is_pending());
    assert_eq!(stays.get(), 0);
    drop(held);
    assert_eq!((gone.get(), stays.get()), (0, 1));
}

#[test]
fn the_last_waker_is_the_one_that_is_called() {
    let slot = Slot::<2>::new();
    let held = claim(&slot, ALICE);
    let (old, old_waker) = counting();
    let (new, new_waker) = counting();
    let mut freed = pin!(wait(&slot, BOB));
    assert!(poll(freed.as_mut(), &old_waker).is_pending());
    assert!(poll(freed.as_mut(), &new_waker).is_pending());
    drop(held);
    assert_eq!((old.get(), new.get()), (0, 1));
}

/// I8.
#[test]
fn a_waker_that_panics_keeps_nobody_asleep() {
    let slot = Slot::<4>::new();
    let held = claim(&slot, ALICE);
    let (woken, waker) = counting();
    let mut waits: Vec<_> = (0..4).map(|_| Box::pin(wait(&slot, BOB))).collect();
    for (number, freed) in waits.iter_mut().enumerate() {
        let panics = panicking();
        assert!(poll(freed.as_mut(), if number == 1 { &panics } else { &waker }).is_pending());
    }
    assert!(catch_unwind(AssertUnwindSafe(|| drop(held))).is_err());
    assert_eq!(woken.get(), 3);
    assert!(!slot.is_held(NOW));
}

#[test]
fn a_claim_whose_waiters_panic_is_given_back() {
    let slot = Slot::<4>::new();
    let late = slot.claim(ALICE, Some(LEASE), NOW).expect("it is free");
    let mut freed = pin!(wait(&slot, BOB));
    assert!(poll(freed.as_mut(), &panicking()).is_pending());
    let end = NOW + LEASE + TICK;
    assert!(catch_unwind(AssertUnwindSafe(|| drop(claim_at(&slot, end)))).is_err());
    assert!(!slot.is_held(end));
    drop(late);
}

#[test]
fn each_of_many_threads_has_its_turns_alone() {
    const THREADS: u32 = 4;
    const TURNS: usize = 5_000;

    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    fn block_on<F: Future>(future: F) -> F::Output {
        let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
        let mut future = pin!(future);
        loop {
            match poll(future.as_mut(), &waker) {
                Poll::Ready(output) => return output,
                Poll::Pending => std::thread::park(),
            }
        }
    }

    // Fewer places than threads that wait.
    static SLOT: Slot<2> = Slot::new();
    let (inside, turns, waits) = (AtomicUsize::new(0), AtomicUsize::new(0), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let (inside, turns, waits) = (&inside, &turns, &waits);
            scope.spawn(move || {
                let mut mine = 0;
                while mine < TURNS {
                    match SLOT.claim(Caller(thread), None, NOW) {
                        Ok(_claim) => {
                            assert_eq!(inside.fetch_add(1, Ordering::Relaxed), 0);
                            std::hint::black_box(turns.fetch_add(1, Ordering::Relaxed));
                            if mine % 64 == 0 {
                                std::thread::yield_now();
                            }
                            assert_eq!(inside.fetch_sub(1, Ordering::Relaxed), 1);
                            mine += 1;
                        }
                        Err(ClaimError::Held(freed)) => {
                            waits.fetch_add(1, Ordering::Relaxed);
                            block_on(freed);
                        }
                        Err(ClaimError::Reentrant) => unreachable!("each has one at most"),
                    }
                }
            });
        }
    });
    assert_eq!(turns.into_inner(), TURNS * THREADS as usize);
    assert!(waits.into_inner() > 0, "nobody ever waited");
    assert!(!SLOT.is_held(NOW));
}
