//! A claim on one thing, without a heap.

use core::fmt;
use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll, Waker};
use core::time::Duration;

use super::caller::{Caller, SupersededError};
use super::place::{Place, Ticket, wake_all};
use super::state::State;
use crate::sync::{AtomicU64, Ordering};
use crate::time::Instant;

/// What one caller at a time may claim, and up to `WAITERS` can wait for without polling.
///
/// A slot has no heap and no value: its waiters decide again once it is free. It fits into a
/// `static`.
///
/// # Guarantees
///
/// At any time at most one claim is current. A [`Claim`] is given back when it is dropped: on
/// return, by `?`, by a panic that unwinds, and with the future that holds it. A claim with a lease
/// that has ended is *superseded* by the next caller. Its renewal is then refused, and its late end
/// frees no claim but its own. A claim is distinguished from the next 2^30. A lease that has ended
/// and is not superseded for a year counts as held for another year.
///
/// Nothing stops the holder of a claim whose lease has ended from working beside the next holder.
/// So a claim with a lease must not guard memory, or work that must not be done twice.
///
/// A claim that is forgotten (`mem::forget`) without a lease is never given back.
///
/// # Progress
///
/// Every call is lock-free. Claiming and giving back are each one compare-exchange, repeated only
/// if that of another thread succeeded. Nothing allocates. Giving back looks at every place of a
/// waiter.
///
/// # Examples
///
/// A caller that is refused waits, and decides again:
///
/// ```
/// use tidegate_core::flight::{Caller, ClaimError, Slot};
/// use tidegate_core::Instant;
///
/// async fn refresh(slot: &Slot, me: Caller, now: impl Fn() -> Instant) {
///     loop {
///         match slot.claim(me, None, now()) {
///             Ok(_claim) => break, // the work, at the end of which the claim is given back
///             Err(ClaimError::Held(freed)) => freed.await,
///             Err(ClaimError::Reentrant) => panic!("`me` has it already"),
///         }
///         // Perhaps it is done by now: look before claiming again.
///     }
/// }
/// ```
///
/// A slot in a `static`, claimed with a lease. Elsewhere write `let slot: Slot = Slot::new()`,
/// because a default number of waiters is not inferred.
///
/// ```
/// use core::time::Duration;
/// use tidegate_core::flight::{Caller, ClaimError, Slot};
/// use tidegate_core::Instant;
///
/// static REFRESH: Slot<8> = Slot::new();
/// let (alice, bob) = (Caller(1), Caller(2));
/// let now = Instant::from_secs(1);
///
/// let claim = REFRESH.claim(alice, Some(Duration::from_secs(30)), now)?;
/// // One's own claim would be waited for in vain, another's may be awaited.
/// assert!(matches!(REFRESH.claim(alice, None, now), Err(ClaimError::Reentrant)));
/// assert!(matches!(REFRESH.claim(bob, None, now), Err(ClaimError::Held(_freed))));
/// drop(claim);
/// assert!(REFRESH.claim(bob, None, now).is_ok());
/// # Ok::<(), ClaimError<'static, 8>>(())
/// ```
pub struct Slot<const WAITERS: usize = 4> {
    state: AtomicU64,
    /// Generation and caller of the current claim, once it has been written.
    holder: AtomicU64,
    places: [Place; WAITERS],
}

impl<const WAITERS: usize> Slot<WAITERS> {
    /// Creates a slot that is free.
    #[cfg(not(loom))]
    pub const fn new() -> Self {
        Self {
            state: AtomicU64::new(State::NEW.0),
            holder: AtomicU64::new(0),
            places: [const { Place::new() }; WAITERS],
        }
    }

    /// Creates a slot that is free.
    #[cfg(loom)]
    pub fn new() -> Self {
        Self {
            state: AtomicU64::new(State::NEW.0),
            holder: AtomicU64::new(0),
            places: core::array::from_fn(|_| Place::new()),
        }
    }

    /// Claims the slot, until it is given back, or for the length of a lease, after which others
    /// may have it. The end of a lease is rounded up, by at most 17 ms; one of 208 days or more
    /// never ends.
    ///
    /// # Errors
    ///
    /// * [`ClaimError::Held`]: another caller has the slot. The error holds what to await.
    /// * [`ClaimError::Reentrant`]: this caller has the slot.
    pub fn claim(
        &self,
        caller: Caller,
        lease: Option<Duration>,
        now: Instant,
    ) -> Result<Claim<'_, WAITERS>, ClaimError<'_, WAITERS>> {
        // Relaxed: the exchange decides.
        let mut state = State(self.state.load(Ordering::Relaxed));
        while state.is_free() || state.is_lapsed(now) {
            let claimed = state.claimed(lease, now);
            // Acquire: what was done under the claim before is seen. Not Release: it continues the
            // release sequence of the waiters. Relaxed: as for the load.
            match self.state.compare_exchange(
                state.0,
                claimed.0,
                Ordering::Acquire,
                Ordering::Relaxed,
            ) {
                Ok(_) => {
                    // From here on the claim is given back, whatever happens.
                    let claim = Claim { slot: self, generation: claimed.generation() };
                    self.hold(claimed.generation(), caller);
                    if !state.is_free() {
                        // Superseded: what the waiters waited for is over.
                        wake_all(self.places.iter(), Waker::wake);
                    }
                    return Ok(claim);
                }
                Err(seen) => state = State(seen),
            }
        }
        // Relaxed: it matters only to a caller that has the slot, and that has written it itself.
        // The generation of another claim differs.
        if self.holder.load(Ordering::Relaxed) == holder(state.generation(), caller) {
            return Err(ClaimError::Reentrant);
        }
        Err(ClaimError::Held(Freed { slot: self, generation: state.generation(), place: None }))
    }

    /// Records which caller has the slot, unless a later claim has been made meanwhile.
    fn hold(&self, generation: u32, caller: Caller) {
        // Relaxed, all: as where it is read.
        let mut held = self.holder.load(Ordering::Relaxed);
        while is_later(generation, (held >> 32) as u32) {
            let holder = holder(generation, caller);
            match self.holder.compare_exchange(held, holder, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return,
                Err(seen) => held = seen,
            }
        }
    }

    /// Returns whether a caller would be refused now.
    pub fn is_held(&self, now: Instant) -> bool {
        // Relaxed: a question about this moment.
        let state = State(self.state.load(Ordering::Relaxed));
        !state.is_free() && !state.is_lapsed(now)
    }

    /// Leaves a waker in a place that is free, if there is one.
    fn enter(&self, mut waker: Waker) -> Option<(&Place, Ticket)> {
        for place in &self.places {
            match place.enter(waker) {
                Ok(ticket) => return Some((place, ticket)),
                Err(back) => waker = back,
            }
        }
        None
    }

    /// Replaces the state of a claim unless it was superseded.
    fn change(
        &self,
        generation: u32,
        change: impl Fn(State) -> State,
    ) -> Result<(), SupersededError> {
        // Relaxed: the exchange decides.
        let mut state = State(self.state.load(Ordering::Relaxed));
        while state.generation() == generation && !state.is_free() {
            // Release: the next claim sees what was done under this one. Acquire: a waiter that
            // looked at the slot before this is seen in its place.
            match self.state.compare_exchange(
                state.0,
                change(state).0,
                Ordering::AcqRel,
                Ordering::Relaxed,
            ) {
                Ok(_) => return Ok(()),
                Err(seen) => state = State(seen),
            }
        }
        Err(SupersededError)
    }
}

fn holder(generation: u32, caller: Caller) -> u64 {
    u64::from(generation) << 32 | u64::from(caller.0)
}

/// Returns whether `one` is the later of two generations, which have 30 bits.
fn is_later(one: u32, other: u32) -> bool {
    (one.wrapping_sub(other) << 2).cast_signed() > 0
}

impl<const WAITERS: usize> Default for Slot<WAITERS> {
    fn default() -> Self {
        Self::new()
    }
}

impl<const WAITERS: usize> fmt::Debug for Slot<WAITERS> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Relaxed: a question about this moment.
        let state = State(self.state.load(Ordering::Relaxed));
        f.debug_struct("Slot").field("is_free", &state.is_free()).finish_non_exhaustive()
    }
}

/// A claim on a slot. When it is dropped, the slot is given back and the waiters are woken.
#[must_use = "a claim that is dropped is given back"]
pub struct Claim<'a, const WAITERS: usize> {
    slot: &'a Slot<WAITERS>,
    generation: u32,
}

impl<const WAITERS: usize> Claim<'_, WAITERS> {
    /// Begins the lease anew.
    ///
    /// # Errors
    ///
    /// Fails with [`SupersededError`] if the claim was superseded; then nothing is changed.
    pub fn renew(&mut self, lease: Option<Duration>, now: Instant) -> Result<(), SupersededError> {
        self.slot.change(self.generation, |state| state.leased(lease, now))
    }

    /// Gives the slot back.
    ///
    /// # Errors
    ///
    /// Fails with [`SupersededError`] if the claim was superseded. Another caller may then have
    /// done the same work.
    pub fn release(self) -> Result<(), SupersededError> {
        let this = core::mem::ManuallyDrop::new(self);
        this.free()
    }

    fn free(&self) -> Result<(), SupersededError> {
        self.slot.change(self.generation, State::freed)?;
        wake_all(self.slot.places.iter(), Waker::wake);
        Ok(())
    }
}

impl<const WAITERS: usize> Drop for Claim<'_, WAITERS> {
    fn drop(&mut self) {
        // If the claim was superseded, the slot is another's.
        _ = self.free();
    }
}

impl<const WAITERS: usize> fmt::Debug for Claim<'_, WAITERS> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Claim").field("generation", &self.generation).finish_non_exhaustive()
    }
}

/// Why a slot could not be claimed. It borrows the slot, so `?` returns it only from a function
/// that the slot outlives.
#[derive(Debug)]
pub enum ClaimError<'a, const WAITERS: usize> {
    /// Another caller has the slot. Awaiting this waits until that claim has been given back or
    /// superseded.
    Held(Freed<'a, WAITERS>),
    /// The caller has the slot already, and would wait for itself.
    Reentrant,
}

impl<const WAITERS: usize> fmt::Display for ClaimError<'_, WAITERS> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Held(_) => "another caller has the slot",
            Self::Reentrant => "the caller has the slot already, and would wait for itself",
        })
    }
}

impl<const WAITERS: usize> core::error::Error for ClaimError<'_, WAITERS> {}

/// Waits until a claim has been given back, to decide again. When it is dropped, it leaves no
/// trace.
///
/// If there are more waiters than places, it wakes its task at once to be polled again. The end of
/// a lease wakes no waiter. A caller that waits for that sets a timer of its own, for as long as
/// [`left`](Self::left) says, and claims again.
#[must_use = "a future does nothing unless it is polled"]
pub struct Freed<'a, const WAITERS: usize> {
    slot: &'a Slot<WAITERS>,
    generation: u32,
    place: Option<(&'a Place, Ticket)>,
}

impl<const WAITERS: usize> Freed<'_, WAITERS> {
    /// Returns how long until the claim can be superseded, if its lease is not renewed, or `None`
    /// if it never can.
    pub fn left(&self, now: Instant) -> Option<Duration> {
        // Relaxed: a question about this moment.
        let state = State(self.slot.state.load(Ordering::Relaxed));
        if self.is_over(state) { Some(Duration::ZERO) } else { state.left(now) }
    }

    fn is_over(&self, state: State) -> bool {
        state.is_free() || state.generation() != self.generation
    }
}

impl<const WAITERS: usize> Future for Freed<'_, WAITERS> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        // Acquire: what was done under the claim is seen.
        if self.is_over(State(self.slot.state.load(Ordering::Acquire))) {
            return Poll::Ready(());
        }
        let waker = context.waker();
        let stays = self.place.is_some_and(|(place, ticket)| place.renew(ticket, waker));
        if !stays {
            self.place = self.slot.enter(waker.clone());
        }
        // Looks once more, now that the waker is there, and by a change. Either it comes before the
        // change that frees the slot, and that thread sees the waker (Release), or it sees that
        // change (Acquire).
        if self.is_over(State(self.slot.state.fetch_add(0, Ordering::AcqRel))) {
            return Poll::Ready(());
        }
        if self.place.is_none() {
            waker.wake_by_ref();
        }
        Poll::Pending
    }
}

impl<const WAITERS: usize> Drop for Freed<'_, WAITERS> {
    fn drop(&mut self) {
        if let Some((place, ticket)) = self.place {
            place.leave(ticket);
        }
    }
}

impl<const WAITERS: usize> fmt::Debug for Freed<'_, WAITERS> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Freed").field("generation", &self.generation).finish_non_exhaustive()
    }
}
