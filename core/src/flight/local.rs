//! A claim on one thing, for one owner.

use core::fmt;
use core::task::Waker;
use core::time::Duration;

use super::caller::{Caller, SupersededError};
use super::state::State;
use crate::time::Instant;

/// What one caller at a time may claim: the shared `Slot` for one owner, without atomics.
///
/// On a microcontroller it is shared with interrupts as
/// `critical_section::Mutex<RefCell<LocalSlot>>`.
///
/// A claim is given back by [`release`](Self::release), not by being dropped, because that would
/// need the slot. A claim that is lost without a lease is never given back. Leases are those of the
/// shared slot. The end of a lease wakes no waiter. A caller that will not wait longer sets a timer
/// for as long as [`left`](Self::left) says.
///
/// Wakers are called while the slot is borrowed. A waker must not look at the slot, and one that
/// panics keeps the rest from being called.
///
/// ```
/// use core::time::Duration;
/// use tidegate_core::flight::{Caller, LocalClaimError, LocalSlot};
/// use tidegate_core::Instant;
///
/// let mut slot: LocalSlot = LocalSlot::new();
/// let (alice, bob) = (Caller(1), Caller(2));
/// let (now, lease) = (Instant::from_secs(1), Some(Duration::from_secs(30)));
///
/// let claim = slot.claim(alice, lease, now)?;
/// assert_eq!(slot.claim(bob, lease, now).err(), Some(LocalClaimError::Held));
/// let later = slot.claim(bob, None, now + Duration::from_secs(31))?; // alice's lease has ended
/// assert!(slot.release(claim).is_err());
/// assert!(slot.release(later).is_ok());
/// # Ok::<(), LocalClaimError>(())
/// ```
#[derive(Clone, Debug)]
pub struct LocalSlot<const WAITERS: usize = 4> {
    state: State,
    holder: Caller,
    wakers: [Option<Waker>; WAITERS],
}

/// A claim on a [`LocalSlot`]: its number, which does not say which slot it is of.
#[derive(Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[must_use = "a claim is to be given back"]
pub struct LocalClaim(u32);

/// Why a claim was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum LocalClaimError {
    /// Another caller has the slot: [wait](LocalSlot::wait), or claim again later.
    Held,
    /// This caller has the slot already.
    Reentrant,
}

impl fmt::Display for LocalClaimError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Held => "another caller has the slot",
            Self::Reentrant => "the caller has the slot already, and would wait for itself",
        })
    }
}

impl core::error::Error for LocalClaimError {}

impl<const WAITERS: usize> LocalSlot<WAITERS> {
    /// Creates a slot that is free.
    pub const fn new() -> Self {
        Self { state: State::NEW, holder: Caller(0), wakers: [const { None }; WAITERS] }
    }

    /// Claims the slot, until it is given back, or for the length of a lease, after which others
    /// may have it. The end of a lease is rounded up, by at most 17 ms; one of 208 days or more
    /// never ends.
    ///
    /// # Errors
    ///
    /// Fails with any [`LocalClaimError`].
    pub fn claim(
        &mut self,
        caller: Caller,
        lease: Option<Duration>,
        now: Instant,
    ) -> Result<LocalClaim, LocalClaimError> {
        let is_free = self.state.is_free();
        if !is_free && !self.state.is_lapsed(now) {
            let is_ours = self.holder == caller;
            return Err(if is_ours { LocalClaimError::Reentrant } else { LocalClaimError::Held });
        }
        self.state = self.state.claimed(lease, now);
        self.holder = caller;
        if !is_free {
            // Superseded: what the waiters waited for is over.
            self.wake_all();
        }
        Ok(LocalClaim(self.state.generation()))
    }

    /// Leaves a waker, which is called when the slot is free or the claim is superseded. Returns
    /// `false` if there is no place for the waker, or the slot is free: then claim again.
    #[must_use = "a waiter without a place must claim again"]
    pub fn wait(&mut self, waker: &Waker) -> bool {
        if self.state.is_free() {
            return false;
        }
        let mut places = self.wakers.iter_mut();
        let known = places.any(|place| place.as_ref().is_some_and(|held| held.will_wake(waker)));
        known
            || match self.wakers.iter_mut().find(|place| place.is_none()) {
                Some(place) => {
                    *place = Some(waker.clone());
                    true
                }
                None => false,
            }
    }

    /// Returns how long until the claim can be superseded, or `None` if it never can, or the slot
    /// is free.
    pub fn left(&self, now: Instant) -> Option<Duration> {
        self.state.left(now)
    }

    /// Begins the lease of a claim anew.
    ///
    /// # Errors
    ///
    /// Fails with [`SupersededError`] if the claim was superseded; then nothing is changed.
    pub fn renew(
        &mut self,
        claim: &LocalClaim,
        lease: Option<Duration>,
        now: Instant,
    ) -> Result<(), SupersededError> {
        self.check(claim)?;
        self.state = self.state.leased(lease, now);
        Ok(())
    }

    /// Gives a claim back, and wakes the waiters.
    ///
    /// # Errors
    ///
    /// Fails with [`SupersededError`] if the claim was superseded. Another caller may then have
    /// done the same work.
    #[expect(clippy::needless_pass_by_value, reason = "a claim is given back once")]
    pub fn release(&mut self, claim: LocalClaim) -> Result<(), SupersededError> {
        self.check(&claim)?;
        self.state = self.state.freed();
        self.wake_all();
        Ok(())
    }

    fn check(&self, claim: &LocalClaim) -> Result<(), SupersededError> {
        let is_current = !self.state.is_free() && self.state.generation() == claim.0;
        if is_current { Ok(()) } else { Err(SupersededError) }
    }

    fn wake_all(&mut self) {
        // Taken first, so that every place is free even if a waker panics.
        let wakers = core::mem::replace(&mut self.wakers, [const { None }; WAITERS]);
        wakers.into_iter().flatten().for_each(Waker::wake);
    }
}

impl<const WAITERS: usize> Default for LocalSlot<WAITERS> {
    fn default() -> Self {
        Self::new()
    }
}
