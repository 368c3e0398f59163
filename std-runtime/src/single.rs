//! One run at a time of one thing; whoever comes meanwhile has its result.

use std::sync::Arc;

use arc_swap::ArcSwapOption;
use tidegate_core::Instant;
use tidegate_core::flight::{Claim, Refused, Slot};

use crate::caller::caller;
use crate::wait::{TimedOut, block_for, block_on};

/// So many wait without polling.
const WAITERS: usize = 16;

/// A [`Slot`], and what the last run under it came to.
pub(crate) struct Single<R> {
    slot: Slot<WAITERS>,
    last: ArcSwapOption<Ended<R>>,
}

/// A run that has ended: which, and how.
struct Ended<R> {
    number: u64,
    result: R,
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
    claim: Claim<'a, WAITERS>,
}

/// Somebody else's run.
pub(crate) struct Awaited<'a, R> {
    single: &'a Single<R>,
    freed: tidegate_core::flight::Freed<'a, WAITERS>,
    number: u64,
}

/// The caller runs already, and would wait for itself.
#[derive(Debug)]
pub(crate) struct Reentrant;

impl<R: Clone> Single<R> {
    pub(crate) fn new() -> Self {
        Self { slot: Slot::new(), last: ArcSwapOption::empty() }
    }

    /// Whose turn it is.
    pub(crate) fn take(&self) -> Result<Turn<'_, R>, Reentrant> {
        // Before: a run that is under way when we look ends with a higher number.
        let ended = self.ended();
        match self.slot.claim(caller(), None, Instant::ORIGIN) {
            Ok(claim) => Ok(Turn::Ours(Run { single: self, claim })),
            Err(Refused::Held(freed)) => {
                Ok(Turn::Theirs(Awaited { single: self, freed, number: ended + 1 }))
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

impl<R: Clone> Run<'_, R> {
    /// Says what the run came to, and lets go. Dropped instead, it leaves those who wait to decide again.
    pub(crate) fn end(self, result: R) {
        // Nobody else stores while we hold the claim.
        let number = self.single.ended() + 1;
        self.single.last.store(Some(Arc::new(Ended { number, result })));
        drop(self.claim);
    }
}

impl<R: Clone> Awaited<'_, R> {
    /// Which run it is, counted from 1; one that is given up has the number of the next.
    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    /// What that run came to, or a later one; `None` if it was given up.
    pub(crate) fn wait(self) -> Option<R> {
        block_on(self.freed);
        self.single.last(self.number)
    }

    /// The same, but no longer than this.
    pub(crate) fn wait_for(self, timeout: std::time::Duration) -> Result<Option<R>, TimedOut> {
        block_for(self.freed, timeout)?;
        Ok(self.single.last(self.number))
    }

    /// The same, for a task that waits.
    pub(crate) async fn ended(self) -> Option<R> {
        self.freed.await;
        self.single.last(self.number)
    }
}
