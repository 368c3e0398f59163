//! Renewals by the thread or the task of a caller.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tidegate_core::Instant;

use super::book::{Ended, Failure};
use super::breaker::Admitted;
use super::builder::{BuildError, Builder};
use super::mint::Blocking;
use super::refresher::{Attended, Look, Refresher, State, Token};
use super::{Event, Minted, RefreshError};
use crate::panics::{Foreign, contained, dispose};
use crate::wait::TimedOutError;
use crate::wait::caller::Work;
use crate::wait::part::polled;
use crate::wait::single::{Awaited, Reentrant, Run, Single, Turn};

impl<T, E> Builder<T, E>
where
    T: Send + Sync + 'static,
    E: Clone + Send + Sync + 'static,
{
    /// Builds the refresher, and makes the first value on this thread. If the program has to start while the provider is
    /// down, use [`lazy`](Self::lazy).
    ///
    /// # Errors
    ///
    /// If a setting is refused, or making the first value fails.
    pub fn build(self) -> Result<Refresher<T, E>, BuildError<E>> {
        let refresher = self.lazy()?;
        let made = refresher.get().map(dispose);
        made.map(|()| refresher).map_err(BuildError::Refresh)
    }
}

/// What a caller has to do.
enum Decision<'a, T, E> {
    Serve(Arc<T>),
    /// Decide again.
    Again,
    Refused(Failure<E>),
    Wait(Awaited<'a, Ended<E>>),
    Renew(Renewal<'a, T, E>),
}

/// A renewal that the caller has to carry out. Dropped, it leaves that to the next caller.
struct Renewal<'a, T, E> {
    state: &'a State<T, E>,
    run: Option<Run<'a, Ended<E>>>,
    admitted: Admitted,
    /// What is to be told of its admission.
    event: Option<Event>,
    began: Instant,
    /// The value before, kept until nothing else is held.
    held: Option<Arc<Token<T>>>,
}

impl<T, E> Refresher<T, E>
where
    T: Send + Sync + 'static,
    E: Clone + Send + Sync + 'static,
{
    /// Returns a builder of a refresher of the values that `mint` makes. `mint` may block the thread that calls it. If a
    /// future makes the values, use [`from_async`](Refresher::from_async).
    pub fn builder(
        mint: impl Fn() -> Result<Minted<T>, E> + Send + Sync + 'static,
    ) -> Builder<T, E> {
        Builder::new(Blocking {
            mint: Foreign::new(Box::new(mint)),
            single: Foreign::new(Single::new()),
        })
    }

    /// Returns the value. If it is due for renewal, one caller renews it on its own thread, or [a
    /// thread](crate::Runtime::refresh) does. The other callers get the valid value at once. If the value has expired, they
    /// wait for the renewal.
    ///
    /// A call renews the value once at most.
    ///
    /// # Errors
    ///
    /// If there is no valid value, and the renewal failed or none is tried.
    pub fn get(&self) -> Result<Arc<T>, RefreshError<E>> {
        self.blocking(|awaited| Ok(awaited.wait()))
    }

    /// Returns the value as [`get`](Self::get) does, but waits no longer than `timeout` for the
    /// renewal of another caller. A renewal of the caller's own is not interrupted.
    ///
    /// # Errors
    ///
    /// Fails as [`get`](Self::get) does, and with [`RefreshError::TimedOut`].
    pub fn get_within(&self, timeout: Duration) -> Result<Arc<T>, RefreshError<E>> {
        let start = std::time::Instant::now();
        self.blocking(|awaited| awaited.wait_for(timeout.saturating_sub(start.elapsed())))
    }

    fn blocking(
        &self,
        wait: impl Fn(Awaited<'_, Ended<E>>) -> Result<Option<Ended<E>>, TimedOutError>,
    ) -> Result<Arc<T>, RefreshError<E>> {
        if let Some(value) = self.state.fresh() {
            return Ok(value);
        }
        let work = Work::new();
        loop {
            match self.decide(&work) {
                Decision::Serve(value) => return Ok(value),
                Decision::Again => {}
                Decision::Refused(failure) => return self.state.settle(failure),
                Decision::Wait(awaited) => match wait(awaited) {
                    Err(TimedOutError) => {
                        return self.state.settle(Arc::new(RefreshError::TimedOut));
                    }
                    Ok(Some(Err(failure))) => return self.state.settle(failure),
                    Ok(Some(Ok(())) | None) => {}
                },
                Decision::Renew(renewal) => {
                    return self.state.finish(self.renew(&Arc::new(work), renewal));
                }
            }
        }
    }

    fn renew(&self, work: &Arc<Work>, renewal: Renewal<'_, T, E>) -> Ended<E> {
        let minted = work.run(|| contained(|| renewal.mint(|| (self.mint.mint)())));
        work.run(|| renewal.end(minted))
    }

    /// Returns the value as [`get`](Self::get) does, for a task. The task makes the value with a future of its own in
    /// place of the refresher's function. If all tasks make it alike, use [`from_async`](Refresher::from_async).
    ///
    /// A future that is dropped leaves renewing to the next caller. A future that is kept without being polled keeps the
    /// other callers from renewing: they get the value while it is valid, and then wait.
    ///
    /// # Errors
    ///
    /// Fails as [`get`](Self::get) does.
    pub async fn get_async<F>(&self, mint: impl Fn() -> F) -> Result<Arc<T>, RefreshError<E>>
    where
        F: Future<Output = Result<Minted<T>, E>>,
    {
        let work = Work::of_this_task().await;
        loop {
            match self.decide(&work) {
                Decision::Serve(value) => return Ok(value),
                Decision::Again => {}
                Decision::Refused(failure) => return self.state.settle(failure),
                Decision::Wait(awaited) => {
                    if let Some(Err(failure)) = awaited.await {
                        return self.state.settle(failure);
                    }
                }
                Decision::Renew(renewal) => {
                    let work = Arc::new(work);
                    let minted = match work.run(|| contained(|| renewal.mint(&mint))) {
                        Some(future) => polled(&work, future).await,
                        None => None,
                    };
                    return self.state.finish(work.run(|| renewal.end(minted)));
                }
            }
        }
    }

    fn decide(&self, work: &Work) -> Decision<'_, T, E> {
        let Some(now) = self.state.now() else {
            return Decision::Refused(Arc::new(RefreshError::Panicked));
        };
        match self.state.look(now) {
            Look::Fresh(value) => Decision::Serve(value),
            // All callers come here while one renews, and meet no lock.
            Look::Due(value) if self.mint.single.is_taken() => Decision::Serve(value),
            Look::Due(value) => {
                // Might be the last to hold it by now: not under the claim.
                dispose(value);
                match self.mint.single.take(work) {
                    Ok(Turn::Ours(run)) => self.begin(run, now),
                    Ok(Turn::Theirs(_)) | Err(Reentrant) => Decision::Again,
                }
            }
            Look::Lacking => {
                if let Some(failure) = self.state.refusal(now) {
                    return Decision::Refused(failure);
                }
                match self.mint.single.take(work) {
                    Ok(Turn::Ours(run)) => self.begin(run, now),
                    Ok(Turn::Theirs(awaited)) => Decision::Wait(awaited),
                    Err(Reentrant) => Decision::Refused(Arc::new(RefreshError::Reentrant)),
                }
            }
        }
    }

    /// Begins a renewal, unless another has just ended, or none is tried.
    fn begin<'a>(&'a self, run: Run<'a, Ended<E>>, now: Instant) -> Decision<'a, T, E> {
        let state = &self.state;
        let held = state.held();
        if !state.is_wanted(held.as_deref(), now) {
            drop(run);
            dispose(held);
            return Decision::Again;
        }
        let (admitted, event) = state.admit(now);
        match admitted {
            Ok(admitted) => {
                let run = Some(run);
                Decision::Renew(Renewal { state, run, admitted, event, began: now, held })
            }
            Err(failure) => {
                drop(run);
                dispose(held);
                Decision::Refused(failure)
            }
        }
    }
}

impl<T, E> Attended for Refresher<T, E>
where
    T: Send + Sync + 'static,
    E: Clone + fmt::Display + Send + Sync + 'static,
{
    fn attend(&self, until_next: Duration) -> Result<(), String> {
        let work = Arc::new(Work::new());
        self.state.attend(until_next, |now| {
            if self.mint.single.is_taken() {
                return Ok(());
            }
            let Ok(Turn::Ours(run)) = self.mint.single.take(&work) else { return Ok(()) };
            match self.begin(run, now) {
                Decision::Renew(renewal) => self.renew(&work, renewal),
                _ => Ok(()),
            }
        })
    }
}

impl<T, E> Renewal<'_, T, E> {
    /// Calls what makes the value, as part of the work that others may wait for: a report of the
    /// admission that asks for the value is told that it would wait for itself.
    fn mint<M>(&self, mint: impl FnOnce() -> M) -> M {
        self.state.tell(self.event);
        mint()
    }

    /// Installs what was made, or writes the failure down: `None` for a panic.
    fn end(mut self, minted: Option<Result<Minted<T>, E>>) -> Ended<E> {
        let minted = match minted {
            Some(minted) => minted.map_err(RefreshError::Failed),
            None => Err(RefreshError::Panicked),
        };
        // From here on not abandoned. Other people's code is called when the run is over.
        let Some(run) = self.run.take() else { unreachable!("it ends once") };
        let (ended, aftermath) = self.state.end(self.began, minted);
        dispose(run.end(ended.clone()));
        aftermath.handle(self.state);
        dispose(self.held.take());
        ended
    }
}

impl<T, E> Drop for Renewal<'_, T, E> {
    fn drop(&mut self) {
        // A renewal that has ended has no run any more.
        let Some(run) = self.run.take() else { return };
        let aftermath = self.state.abandon(self.began, self.admitted);
        drop(run);
        aftermath.handle(self.state);
        dispose(self.held.take());
    }
}
