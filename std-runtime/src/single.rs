//! One run at a time of one thing; whoever comes meanwhile has its result.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::{Arc, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tidegate_core::Instant;
use tidegate_core::flight::{Caller, CallerId, Claim, Freed, Refused, Slot};

use crate::caller::Work;
use crate::panics::contained;
use crate::sync::{Mutex, MutexGuard};
use crate::wait::{TimedOut, block_for, block_on};

/// A [`Slot`], what the last run under it came to, and any number of those who wait.
pub(crate) struct Single<R> {
    /// Claimed and given back under the lock; nobody waits in its places.
    slot: Slot<0>,
    state: Mutex<State<R>>,
}

struct State<R> {
    /// Who runs.
    runs: Option<CallerId>,
    /// So many runs have ended, and what the last of them came to.
    ended: u64,
    last: Option<Arc<R>>,
    wakers: BTreeMap<u64, Waker>,
    next_place: u64,
}

/// What a caller is to do.
pub(crate) enum Turn<'a, R> {
    /// Run.
    Ours(Run<'a, R>),
    /// Wait for who does.
    Theirs(Awaited<'a, R>),
}

/// The right to run, until it is dropped.
#[must_use = "whoever is to run and does not keeps nobody from it"]
pub(crate) struct Run<'a, R> {
    single: &'a Single<R>,
    /// Taken when it lets go.
    claim: Option<Claim<'a, 0>>,
}

/// Somebody else's run.
#[must_use = "a future does nothing unless it is polled"]
pub(crate) struct Awaited<'a, R> {
    single: &'a Single<R>,
    freed: Freed<'a, 0>,
    number: u64,
    /// Of those who wait.
    place: Option<u64>,
}

/// The caller runs already, and would wait for itself.
#[derive(Debug)]
pub(crate) struct Reentrant;

impl<R: Clone> Single<R> {
    pub(crate) fn new() -> Self {
        let wakers = BTreeMap::new();
        let state = State { runs: None, ended: 0, last: None, wakers, next_place: 0 };
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
            Err(Refused::Held(freed)) => {
                let number = state.ended + 1;
                Ok(Turn::Theirs(Awaited { single: self, freed, number, place: None }))
            }
            Err(Refused::Reentrant) => Err(Reentrant),
        }
    }

    /// Whether somebody runs; a guess, for those who would not wait.
    pub(crate) fn is_taken(&self) -> bool {
        self.slot.is_held(Instant::ORIGIN)
    }

    /// What the last run came to, if its number is at least this.
    pub(crate) fn last(&self, number: u64) -> Option<R> {
        let state = self.state();
        let last = state.last.clone().filter(|_| state.ended >= number);
        drop(state);
        // To copy it is somebody else's code.
        last.map(|last| R::clone(&last))
    }
}

impl<R> Single<R> {
    fn state(&self) -> MutexGuard<'_, State<R>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<R> Run<'_, R> {
    /// Says what the run came to, and lets go. Dropped instead, it leaves those who wait to decide again.
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
        // From here on it is nobody's, and somebody else's code is called, which may want it: each waker, so that
        // one that panics keeps no other from being woken, and a destructor.
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
    /// Which run it is, counted from 1; one that is given up has the number of the next.
    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    /// What that run came to, or a later one; `None` if it was given up.
    pub(crate) fn wait(self) -> Option<R> {
        block_on(self)
    }

    /// The same, but no longer than this.
    pub(crate) fn wait_for(self, timeout: Duration) -> Result<Option<R>, TimedOut> {
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
        // Somebody else's code, as is dropping it.
        let waker = context.waker().clone();
        let mut state = single.state();
        if self.is_over() {
            drop(state);
            return Poll::Ready(single.last(self.number));
        }
        let place = self.place.unwrap_or(state.next_place);
        state.next_place = state.next_place.max(place + 1);
        let before = state.wakers.insert(place, waker);
        drop(state);
        drop(before);
        self.place = Some(place);
        Poll::Pending
    }
}

impl<R> Drop for Awaited<'_, R> {
    fn drop(&mut self) {
        if let Some(place) = self.place {
            let waker = self.single.state().wakers.remove(&place);
            drop(waker);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::task::Wake;

    use super::*;

    /// Counts, and panics if it is to.
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
    fn who_leaves_takes_his_waker_along() {
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
}
