//! One renewal by a future that all who wait for it poll.
//!
//! The future belongs to the attempt, not to the task that began it. A waiter that is dropped, or
//! kept without being polled, keeps no other from carrying the renewal on; with the last waiter the
//! future is dropped.
//!
//! **No wake is lost.** A wake of the future sets `woken` and wakes every waiter that may poll. One
//! waiter at a time polls; another that comes meanwhile leaves its waker, finds the future taken, and
//! returns. So once a poll is over, and the future can be had again, the poller looks at `woken`: if
//! the future was woken during the poll, the waiters that have come since are woken, too. Where an
//! executor drives the future, its waiter alone is woken; when that one is dropped, all others are.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::{Arc, OnceLock, PoisonError, TryLockError};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use tidegate_core::Instant;

use super::book::Ended;
use super::breaker::Admitted;
use super::refresher::State;
use super::{Event, Minted, RefreshError};
use crate::panics::{contained, dispose};
use crate::sync::{Mutex, MutexGuard};
use crate::wait::caller::Work;

/// Makes a value.
pub(super) type Making<T, E> = Pin<Box<dyn Future<Output = Result<Minted<T>, E>> + Send>>;

/// A renewal in progress.
pub(super) struct Attempt<T, E> {
    state: Arc<State<T, E>>,
    work: Arc<Work>,
    admitted: Admitted,
    began: Instant,
    /// Polled under the lock, for which nothing waits. `None` before it is made, and once it is over.
    making: Mutex<Option<Making<T, E>>>,
    waiters: Arc<Waiters>,
    /// Set before the attempt is over: how it ended, or `None` if it was given up.
    ended: OnceLock<Option<Ended<E>>>,
}

/// All who wait for an attempt; what the future wakes.
struct Waiters(Mutex<Places>);

struct Places {
    /// Of each waiter, what to wake: `None` once it is woken.
    wakers: BTreeMap<u64, Option<Waker>>,
    next: u64,
    /// The waiter that polls alone, on an executor.
    driver: Option<u64>,
    /// Whether the future wants to be polled.
    woken: bool,
    phase: Phase,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    InProgress,
    /// The last waiter has left, and drops the future.
    Closing,
    Over,
}

impl Waiters {
    fn places(&self) -> MutexGuard<'_, Places> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Places {
    fn enter(&mut self) -> u64 {
        let place = self.next;
        self.next += 1;
        self.wakers.insert(place, None);
        place
    }

    /// Takes the wakers of all who may poll: to be woken when the lock is released.
    fn take(&mut self) -> Vec<Waker> {
        match self.driver.filter(|_| self.phase != Phase::Over) {
            Some(driver) => {
                self.wakers.get_mut(&driver).and_then(Option::take).into_iter().collect()
            }
            None => self.wakers.values_mut().filter_map(Option::take).collect(),
        }
    }
}

/// Wakes each, so that one that panics keeps no other from being woken.
fn wake(wakers: Vec<Waker>) {
    for waker in wakers {
        contained(|| waker.wake());
    }
}

impl Wake for Waiters {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let mut places = self.places();
        places.woken = true;
        let wakers = places.take();
        drop(places);
        wake(wakers);
    }
}

impl<T, E> Attempt<T, E>
where
    T: Send + Sync + 'static,
    E: Clone + Send + Sync + 'static,
{
    /// An attempt that began just now: its first waiter.
    pub(super) fn first(
        state: Arc<State<T, E>>,
        work: Arc<Work>,
        admitted: Admitted,
        began: Instant,
    ) -> Waiting<T, E> {
        let places = Places {
            wakers: BTreeMap::new(),
            next: 0,
            driver: None,
            woken: false,
            phase: Phase::InProgress,
        };
        let attempt = Arc::new(Self {
            state,
            work,
            admitted,
            began,
            making: Mutex::new(None),
            waiters: Arc::new(Waiters(Mutex::new(places))),
            ended: OnceLock::new(),
        });
        let place = attempt.waiters.places().enter();
        Waiting { attempt, place, drives: false }
    }

    /// Waits for it, too: `None` if it is over.
    pub(super) fn join(self: &Arc<Self>) -> Option<Waiting<T, E>> {
        let mut places = self.waiters.places();
        if places.phase == Phase::Over {
            return None;
        }
        let place = places.enter();
        Some(Waiting { attempt: Arc::clone(self), place, drives: false })
    }

    pub(super) fn is_over(&self) -> bool {
        self.waiters.places().phase == Phase::Over
    }

    pub(super) fn work(&self) -> &Arc<Work> {
        &self.work
    }

    /// Whether it has taken this long.
    pub(super) fn is_late(&self, now: Instant, lease: Duration) -> bool {
        now.since(self.began) >= lease
    }

    /// Makes the future, as part of the work that others may wait for.
    pub(super) fn begin(&self, event: Option<Event>, mint: impl FnOnce() -> Making<T, E>) {
        let make = || {
            self.state.tell(event);
            contained(mint)
        };
        match self.work.run(make) {
            Some(making) => *self.making() = Some(making),
            None => self.end(Some(Err(RefreshError::Panicked))),
        }
    }

    fn making(&self) -> MutexGuard<'_, Option<Making<T, E>>> {
        self.making.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The future, unless it is being polled.
    fn try_making(&self) -> Option<MutexGuard<'_, Option<Making<T, E>>>> {
        match self.making.try_lock() {
            Ok(making) => Some(making),
            Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }

    /// Polls the future, unless another waiter does.
    fn poll(&self) {
        let Some(mut making) = self.try_making() else { return };
        let Some(future) = making.as_mut() else { return };
        self.waiters.places().woken = false;
        let waker = Waker::from(Arc::clone(&self.waiters));
        let mut context = Context::from_waker(&waker);
        let minted =
            match self.work.poll(&waker, || contained(|| future.as_mut().poll(&mut context))) {
                Some(Poll::Pending) => {
                    drop(making);
                    let mut places = self.waiters.places();
                    let wakers = if places.woken { places.take() } else { Vec::new() };
                    drop(places);
                    wake(wakers);
                    return;
                }
                Some(Poll::Ready(minted)) => minted.map_err(RefreshError::Failed),
                None => Err(RefreshError::Panicked),
            };
        let over = making.take();
        drop(making);
        self.work.run(|| dispose(over));
        self.end(Some(minted));
    }

    /// Ends the attempt: with what was made, or a failure; `None` if it is given up.
    fn end(&self, minted: Option<Result<Minted<T>, RefreshError<E>>>) {
        let (ended, aftermath) = self.work.run(|| match minted {
            Some(minted) => {
                let (ended, aftermath) = self.state.end(self.began, minted);
                (Some(ended), aftermath)
            }
            None => (None, self.state.abandon(self.began, self.admitted)),
        });
        if self.ended.set(ended).is_err() {
            unreachable!("it ends once: by what took the future");
        }
        let mut places = self.waiters.places();
        places.phase = Phase::Over;
        let wakers = places.take();
        drop(places);
        // From here on it is over, and other people's code may ask for the value.
        wake(wakers);
        aftermath.handle(&self.state);
    }
}

impl<T, E> Drop for Attempt<T, E> {
    fn drop(&mut self) {
        // Perhaps the last to hold the failure.
        dispose(self.ended.take());
    }
}

/// One that waits for an attempt, and polls its future.
#[must_use = "a future does nothing unless it is polled"]
pub(super) struct Waiting<T, E>
where
    T: Send + Sync + 'static,
    E: Clone + Send + Sync + 'static,
{
    pub(super) attempt: Arc<Attempt<T, E>>,
    place: u64,
    drives: bool,
}

impl<T, E> Waiting<T, E>
where
    T: Send + Sync + 'static,
    E: Clone + Send + Sync + 'static,
{
    /// A waiter that polls the future alone, for as long as it lives; `None` if it is over.
    pub(super) fn driver(&self) -> Option<Self> {
        let attempt = Arc::clone(&self.attempt);
        let mut places = attempt.waiters.places();
        if places.phase == Phase::Over {
            return None;
        }
        let place = places.enter();
        places.driver = Some(place);
        drop(places);
        Some(Self { attempt, place, drives: true })
    }

    /// Whether another polls the future, or it is over.
    pub(super) fn is_driven(&self) -> bool {
        let places = self.attempt.waiters.places();
        places.driver.is_some() || places.phase == Phase::Over
    }

    /// Leaves a waker, and returns whether this waiter may poll the future.
    fn arrive(&self, waker: Waker) -> bool {
        let mut places = self.attempt.waiters.places();
        let before = places.wakers.insert(self.place, Some(waker));
        let may_poll = places.phase == Phase::InProgress
            && places.driver.is_none_or(|driver| driver == self.place);
        drop(places);
        dispose(before);
        may_poll
    }

    /// Ends an attempt that takes too long, unless the future is being polled, or has just ended.
    /// Returns whether it did.
    pub(super) fn supersede(&self) -> bool {
        // This waiter is in its place: no other becomes the last. One that was, before this waiter came,
        // ends the attempt.
        let attempt = &self.attempt;
        if attempt.waiters.places().phase != Phase::InProgress {
            return false;
        }
        let Some(mut making) = attempt.try_making() else { return false };
        let Some(late) = making.take() else { return false };
        drop(making);
        attempt.work.run(|| dispose(late));
        attempt.end(Some(Err(RefreshError::TimedOut)));
        true
    }
}

impl<T, E> Future for Waiting<T, E>
where
    T: Send + Sync + 'static,
    E: Clone + Send + Sync + 'static,
{
    /// How the attempt ended; `None` if it was given up.
    type Output = Option<Ended<E>>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        // Other people's code, as is dropping a waker.
        let waker = context.waker().clone();
        if self.arrive(waker) {
            self.attempt.poll();
        }
        match self.attempt.is_over() {
            true => Poll::Ready(self.attempt.ended.get().cloned().flatten()),
            false => Poll::Pending,
        }
    }
}

impl<T, E> Drop for Waiting<T, E>
where
    T: Send + Sync + 'static,
    E: Clone + Send + Sync + 'static,
{
    fn drop(&mut self) {
        let attempt = &self.attempt;
        let mut places = attempt.waiters.places();
        let waker = places.wakers.remove(&self.place);
        if self.drives {
            places.driver = None;
        }
        let mut wakers = Vec::new();
        let mut is_last = false;
        if places.phase == Phase::InProgress {
            if places.wakers.is_empty() {
                places.phase = Phase::Closing;
                is_last = true;
            } else if self.drives {
                // A wake reached this waiter only. The others poll from here on.
                wakers = places.take();
            }
        }
        drop(places);
        dispose(waker);
        wake(wakers);
        if is_last {
            let making = attempt.making().take();
            attempt.work.run(|| dispose(making));
            attempt.end(None);
        }
    }
}
