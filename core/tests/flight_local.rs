//! The slot for one owner: the shared one's cases.

mod common;

use std::time::Duration;

use common::wakers::{counting, panicking};
use tidegate_core::Instant;
use tidegate_core::flight::{Caller, LocalClaimError, LocalSlot, SupersededError};

const NOW: Instant = Instant::from_secs(100);
const LEASE: Duration = Duration::from_secs(5);
const ALICE: Caller = Caller(1);
const BOB: Caller = Caller(2);

/// I1, I9.
#[test]
fn one_at_a_time_has_it() {
    let mut slot: LocalSlot = LocalSlot::new();
    let claim = slot.claim(ALICE, None, NOW).expect("free");
    assert_eq!(slot.claim(ALICE, None, NOW), Err(LocalClaimError::Reentrant));
    assert_eq!(slot.claim(BOB, None, NOW), Err(LocalClaimError::Held));
    assert_eq!(slot.release(claim), Ok(()));
    assert!(slot.claim(BOB, None, NOW).is_ok());
}

/// I6, I7: a lease ends, and who comes late frees nobody's claim but his own.
#[test]
fn a_late_release_frees_no_later_claim() {
    let mut slot: LocalSlot = LocalSlot::new();
    let late = slot.claim(ALICE, Some(LEASE), NOW).expect("free");
    assert_eq!(
        slot.claim(BOB, None, NOW + LEASE - Duration::from_secs(1)),
        Err(LocalClaimError::Held)
    );
    assert_eq!(slot.renew(&late, Some(LEASE), NOW + Duration::from_secs(1)), Ok(()));
    let end = NOW + Duration::from_secs(7);
    let claim = slot.claim(BOB, None, end).expect("the lease has ended");
    assert_eq!(slot.renew(&late, None, end), Err(SupersededError));
    assert_eq!(slot.release(late), Err(SupersededError));
    assert_eq!(slot.claim(ALICE, None, end), Err(LocalClaimError::Held));
    assert_eq!(slot.release(claim), Ok(()));
}

/// I5, I8: all who wait are woken, once, also if one of them panics; who has no place is told.
#[test]
fn who_waits_is_woken_once() {
    let mut slot: LocalSlot<2> = LocalSlot::new();
    let (woken, waker) = counting();
    assert!(!slot.wait(&waker), "there is nothing to wait for");
    let claim = slot.claim(ALICE, Some(LEASE), NOW).expect("free");
    assert!(slot.left(NOW).is_some_and(|left| left >= LEASE));
    assert!(slot.wait(&waker) && slot.wait(&waker), "one place for one waker");
    let (other, another) = counting();
    assert!(slot.wait(&another));
    assert!(!slot.wait(&panicking()), "there are two places");
    assert_eq!(slot.release(claim), Ok(()));
    assert_eq!((woken.get(), other.get(), slot.left(NOW)), (1, 1, None));

    let claim = slot.claim(ALICE, None, NOW).expect("free");
    assert!(slot.wait(&panicking()));
    let release = std::panic::AssertUnwindSafe(|| slot.release(claim));
    assert!(std::panic::catch_unwind(release).is_err());
    assert!(slot.claim(BOB, None, NOW).is_ok(), "it was given back");
}
