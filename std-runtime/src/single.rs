//! One run at a time of one thing; whoever comes meanwhile has its result.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::atomic::{AtomicU32, Ordering, fence};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use tidegate_core::Instant;
use tidegate_core::flight::{Caller, Claim, Freed, Refused, Slot};

use crate::caller::Work;
use crate::wait::{TimedOut, block_for, block_on};

/// A [`Slot`], what the last run under it came to, and any number of those who wait.
pub(crate) struct Single<R> {
    /// Nobody waits in its places.
    slot: Slot<0>,
    /// The caller who runs; of interest to himself.
    runs: AtomicU32,
    last: ArcSwapOption<Ended<R>>,
    waiting: Mutex<Waiting>,
}

/// A run that has ended: which, and how.
struct Ended<R> {
    number: u64,
    result: R,
}

#[derive(Default)]
struct Waiting {
    wakers: BTreeMap<u64, Waker>,
    next: u64,
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
    /// Taken when it is dropped.
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
        Self {
            slot: Slot::new(),
            runs: AtomicU32::new(0),
            last: ArcSwapOption::empty(),
            waiting: Mutex::default(),
        }
    }

    /// Whose turn it is.
    pub(crate) fn take(&self, work: &Work) -> Result<Turn<'_, R>, Reentrant> {
        // Before: a run that is under way when we look ends with a higher number.
        let ended = self.ended();
        match self.slot.claim(work.caller(), None, Instant::ORIGIN) {
            Ok(claim) => {
                // Relaxed: compared with by those who run on its behalf, who have it from there.
                self.runs.store(work.caller().0, Ordering::Relaxed);
                Ok(Turn::Ours(Run { single: self, claim: Some(claim) }))
            }
            // Relaxed: as above. Another's is never ours.
            Err(_) if work.is_for(Caller(self.runs.load(Ordering::Relaxed))) => Err(Reentrant),
            Err(Refused::Held(freed)) => {
                Ok(Turn::Theirs(Awaited { single: self, freed, number: ended + 1, place: None }))
            }
            Err(Refused::Reentrant) => Err(Reentrant),
        }
    }

    /// What the last run came to, if its number is at least this.
    pub(crate) fn last(&self, number: u64) -> Option<R> {
        let last = self.last.load();
        last.as_ref().filter(|last| last.number >= number).map(|last| last.result.clone())
    }

    fn ended(&self) -> u64 {
        self.last.load().as_ref().map_or(0, |last| last.number)
    }
}

impl<R> Single<R> {
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<R: Clone> Run<'_, R> {
    /// Says what the run came to, and lets go. Dropped instead, it leaves those who wait to decide again.
    pub(crate) fn end(self, result: R) {
        // Nobody else stores while we hold the claim.
        let number = self.single.ended() + 1;
        self.single.last.store(Some(Arc::new(Ended { number, result })));
    }
}

impl<R> Drop for Run<'_, R> {
    fn drop(&mut self) {
        // Relaxed: from here on it is nobody's.
        self.single.runs.store(0, Ordering::Relaxed);
        drop(self.claim.take());
        // After: whoever looked at it under the lock before is in the list.
        let wakers = std::mem::take(&mut self.single.waiting().wakers);
        wakers.into_values().for_each(Waker::wake);
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
        let is_over = self.freed.left(Instant::ORIGIN).is_some();
        // Pairs with the Release of giving the claim back: what was stored before it is seen.
        fence(Ordering::Acquire);
        is_over
    }
}

impl<R: Clone> Future for Awaited<'_, R> {
    type Output = Option<R>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let single = self.single;
        let mut waiting = single.waiting();
        if self.is_over() {
            return Poll::Ready(single.last(self.number));
        }
        let place = self.place.unwrap_or(waiting.next);
        waiting.next = waiting.next.max(place + 1);
        let before = waiting.wakers.insert(place, context.waker().clone());
        drop(waiting);
        // Somebody else's code.
        drop(before);
        self.place = Some(place);
        Poll::Pending
    }
}

impl<R> Drop for Awaited<'_, R> {
    fn drop(&mut self) {
        if let Some(place) = self.place {
            let waker = self.single.waiting().wakers.remove(&place);
            drop(waker);
        }
    }
}
