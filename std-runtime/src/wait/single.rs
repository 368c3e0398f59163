//! One run at a time of one piece of work. Callers that ask meanwhile get its result.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::{Arc, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tidegate_core::Instant;
use tidegate_core::flight::{Caller, CallerId, Claim, ClaimError, Freed, Slot};

use super::caller::Work;
use super::{TimedOutError, block_for, block_on};
use crate::panics::{Foreign, contained};
use crate::sync::{Mutex, MutexGuard};

/// A [`Slot`], the result of the last run under it, and any number of waiters.
pub(crate) struct Single<R> {
    /// Claimed and given back under the lock. Its places for waiters are not used.
    slot: Slot<0>,
    state: Mutex<State<R>>,
}

struct State<R> {
    /// The caller that runs.
    runs: Option<CallerId>,
    /// How many runs have ended, and the result of the last.
    ended: u64,
    last: Foreign<Option<Arc<R>>>,
    wakers: BTreeMap<u64, Waker>,
    next_place: u64,
}

/// What a caller is to do.
pub(crate) enum Turn<'a, R> {
    /// Run.
    Ours(Run<'a, R>),
    /// Wait for the caller that runs.
    Theirs(Awaited<'a, R>),
}

/// The right to run, until it is dropped.
#[must_use = "dropped, it gives the right back"]
pub(crate) struct Run<'a, R> {
    single: &'a Single<R>,
    /// Taken when it lets go.
    claim: Option<Claim<'a, 0>>,
}

/// The run of another caller.
#[must_use = "a future does nothing unless it is polled"]
pub(crate) struct Awaited<'a, R> {
    single: &'a Single<R>,
    freed: Freed<'a, 0>,
    number: u64,
    /// Its key among the wakers.
    place: Option<u64>,
}

/// The caller runs already, and would wait for itself.
#[derive(Debug)]
pub(crate) struct Reentrant;

impl<R: Clone> Single<R> {
    pub(crate) fn new() -> Self {
        let wakers = BTreeMap::new();
        let last = Foreign::new(None);
        let state = State { runs: None, ended: 0, last, wakers, next_place: 0 };
        Self { slot: Slot::new(), state: Mutex::new(state) }
    }

    /// Whose turn it is.
    pub(crate) fn take(&self, work: &Work) -> Result<Turn<'_, R>, Reentrant> {
        let mut state = self.state();
        // The state says which caller has the slot. The slot only must not take one caller for another.
        let caller = Caller(u32::from(state.runs.is_some()));
        match self.slot.claim(caller, None, Instant::ORIGIN) {
            Ok(claim) => {
                state.runs = Some(work.caller());
                Ok(Turn::Ours(Run { single: self, claim: Some(claim) }))
            }
            Err(_) if state.runs.is_some_and(|runs| work.is_for(runs)) => Err(Reentrant),
            Err(ClaimError::Held(freed)) => {
                let number = state.ended + 1;
                Ok(Turn::Theirs(Awaited { single: self, freed, number, place: None }))
            }
            Err(ClaimError::Reentrant) => Err(Reentrant),
        }
    }

    /// Whether a caller runs. A guess, for callers that would not wait.
    pub(crate) fn is_taken(&self) -> bool {
        self.slot.is_held(Instant::ORIGIN)
    }

    /// Returns the result of the last run, if its number is at least this. A result that cannot be copied is as
    /// good as none.
    pub(crate) fn last(&self, number: u64) -> Option<R> {
        let state = self.state();
        let last = state.last.as_ref().filter(|_| state.ended >= number).map(Arc::clone)?;
        drop(state);
        // Copying it is other people's code, and so is dropping it, should it have been replaced meanwhile.
        contained(move || R::clone(&last))
    }
}

impl<R> Single<R> {
    fn state(&self) -> MutexGuard<'_, State<R>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<R> Run<'_, R> {
    /// Gives the result of the run to the waiters, and lets go. Dropped instead, it leaves them to decide again.
    pub(crate) fn end(mut self, result: R) -> Arc<R> {
        let result = Arc::new(result);
        self.let_go(Some(Arc::clone(&result)));
        result
    }

    fn let_go(&mut self, result: Option<Arc<R>>) {
        let Some(claim) = self.claim.take() else { return };
        let mut state = self.single.state();
        let before = result.and_then(|result| {
            state.ended += 1;
            state.last.replace(result)
        });
        state.runs = None;
        drop(claim);
        let wakers = std::mem::take(&mut state.wakers);
        drop(state);
        // By now the right to run is free: other people's code, which is called from here on, may want it. Each
        // waker is contained by itself, so that one that panics keeps no other from being woken.
        for waker in wakers.into_values() {
            contained(|| waker.wake());
        }
        contained(|| drop(before));
    }
}

impl<R> Drop for Run<'_, R> {
    fn drop(&mut self) {
        self.let_go(None);
    }
}

impl<R: Clone> Awaited<'_, R> {
    /// The number of the run, counted from 1. One that is given up has the number of the next.
    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    /// Waits for the result of that run or a later one; `None` if it was given up.
    pub(crate) fn wait(self) -> Option<R> {
        block_on(self)
    }

    /// Waits as [`wait`](Self::wait) does, but no longer than this.
    pub(crate) fn wait_for(self, timeout: Duration) -> Result<Option<R>, TimedOutError> {
        block_for(self, timeout)
    }

    fn is_over(&self) -> bool {
        // Without a lease, there is nothing left of it only when it is over.
        self.freed.left(Instant::ORIGIN).is_some()
    }
}

impl<R: Clone> Future for Awaited<'_, R> {
    type Output = Option<R>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let single = self.single;
        // Copying a waker is other people's code, as is dropping it: neither is called under the lock.
        let waker = context.waker().clone();
        let mut state = single.state();
        if self.is_over() {
            drop(state);
            contained(|| drop(waker));
            return Poll::Ready(single.last(self.number));
        }
        let place = self.place.unwrap_or(state.next_place);
        state.next_place = state.next_place.max(place + 1);
        let before = state.wakers.insert(place, waker);
        drop(state);
        self.place = Some(place);
        contained(|| drop(before));
        Poll::Pending
    }
}

impl<R> Drop for Awaited<'_, R> {
    fn drop(&mut self) {
        if let Some(place) = self.place {
            let waker = self.single.state().wakers.remove(&place);
            contained(|| drop(waker));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::task::Wake;

    use super::*;

    /// Counts how often it is woken, and panics then if it is to.
    struct Woken(AtomicU32, bool);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
            assert!(!self.1, "on purpose");
        }
    }

    #[test]
    fn a_waker_that_panics_keeps_no_other_from_being_woken() {
        let single = Single::new();
        let Ok(Turn::Ours(run)) = single.take(&Work::new()) else { unreachable!("it is free") };
        let mut waiting = [true, false, true, false].map(|panics| {
            let Ok(Turn::Theirs(mut awaited)) = single.take(&Work::new()) else {
                unreachable!("it is taken")
            };
            let woken = Arc::new(Woken(AtomicU32::new(0), panics));
            let waker = Waker::from(Arc::clone(&woken));
            let poll = Pin::new(&mut awaited).poll(&mut Context::from_waker(&waker));
            assert_eq!(poll, Poll::Pending);
            (awaited, woken)
        });
        run.end(7);
        for (awaited, woken) in &mut waiting {
            assert_eq!(woken.0.load(Ordering::SeqCst), 1);
            let poll = Pin::new(awaited).poll(&mut Context::from_waker(Waker::noop()));
            assert_eq!(poll, Poll::Ready(Some(7)));
        }
        assert!(!single.is_taken());
    }

    #[test]
    fn a_waiter_that_leaves_takes_its_waker_along() {
        let single = Single::<()>::new();
        let Ok(Turn::Ours(run)) = single.take(&Work::new()) else { unreachable!("it is free") };
        let Ok(Turn::Theirs(mut awaited)) = single.take(&Work::new()) else {
            unreachable!("it is taken")
        };
        let woken = Arc::new(Woken(AtomicU32::new(0), true));
        let waker = Waker::from(Arc::clone(&woken));
        // Polled again and again, in one place.
        for _ in 0..3 {
            assert!(Pin::new(&mut awaited).poll(&mut Context::from_waker(&waker)).is_pending());
        }
        assert_eq!(single.state().wakers.len(), 1);
        drop(awaited);
        drop(waker);
        assert_eq!(Arc::strong_count(&woken), 1);
        drop(run);
        assert_eq!(woken.0.load(Ordering::SeqCst), 0);
    }

    fn taken<R: Clone>(single: &Single<R>) -> Awaited<'_, R> {
        let Ok(Turn::Theirs(awaited)) = single.take(&Work::new()) else {
            unreachable!("it is taken")
        };
        awaited
    }

    /// A waker whose destructor panics.
    struct Fragile(Arc<AtomicU32>);

    impl Wake for Fragile {
        fn wake(self: Arc<Self>) {}
    }

    impl Drop for Fragile {
        fn drop(&mut self) {
            self.0.fetch_add(1, Ordering::SeqCst);
            panic!("on purpose");
        }
    }

    #[test]
    fn a_waker_whose_destructor_panics_takes_nothing_from_its_waiter() {
        let (single, dropped) = (Single::new(), Arc::new(AtomicU32::new(0)));
        let Ok(Turn::Ours(run)) = single.take(&Work::new()) else { unreachable!("it is free") };
        let fragile = || Waker::from(Arc::new(Fragile(Arc::clone(&dropped))));
        // Each poll leaves a waker of its own, and the one before is dropped by the library.
        let poll = |awaited: &mut Awaited<'_, u32>| {
            let waker = Foreign::new(fragile());
            Pin::new(awaited).poll(&mut Context::from_waker(&waker))
        };
        let [mut leaves, mut waits] = [taken(&single), taken(&single)];
        for _ in 0..3 {
            assert!(poll(&mut leaves).is_pending() && poll(&mut waits).is_pending());
        }
        assert_eq!((single.state().wakers.len(), dropped.load(Ordering::SeqCst)), (2, 4));
        drop(leaves);
        assert_eq!((single.state().wakers.len(), dropped.load(Ordering::SeqCst)), (1, 5));
        run.end(7);
        assert_eq!((poll(&mut waits), dropped.load(Ordering::SeqCst)), (Poll::Ready(Some(7)), 7));
    }

    /// A result that cannot be copied, nor dropped, without a panic.
    struct Thorny(Arc<AtomicU32>);

    impl Clone for Thorny {
        fn clone(&self) -> Self {
            panic!("on purpose");
        }
    }

    impl Drop for Thorny {
        fn drop(&mut self) {
            self.0.fetch_add(1, Ordering::SeqCst);
            panic!("on purpose");
        }
    }

    #[test]
    fn a_result_that_cannot_be_copied_or_dropped_is_as_good_as_none() {
        let (single, dropped) = (Single::new(), Arc::new(AtomicU32::new(0)));
        for number in 1..=2 {
            let Ok(Turn::Ours(run)) = single.take(&Work::new()) else { unreachable!("it is free") };
            let awaited = taken(&single);
            drop(Foreign::new(run.end(Thorny(Arc::clone(&dropped)))));
            assert!(awaited.wait().is_none() && single.last(number).is_none());
        }
        // The first result by the second, and the second by what holds it.
        assert_eq!(dropped.load(Ordering::SeqCst), 1);
        drop(single);
        assert_eq!(dropped.load(Ordering::SeqCst), 2);
    }
}
