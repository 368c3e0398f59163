//! Renewals by tasks: values are made by a future.

use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, PoisonError, Weak};
use std::task::{Context, Poll};
use std::time::Duration;

use tidegate_core::Instant;

use super::attempt::{Attempt, Making, Waiting};
use super::book::Failure;
use super::builder::{BuildError, Builder};
use super::refresher::{Attended, Look, Refresher};
use super::{Minted, RefreshError};
use crate::panics::{Foreign, contained, dispose};
use crate::sync::{Mutex, MutexGuard};
use crate::wait::block_for;
use crate::wait::caller::Work;

type Mint<T, E> = Box<dyn Fn() -> Making<T, E> + Send + Sync>;
type Spawn = Box<dyn Fn(Drive) + Send + Sync>;

/// Makes values by a future: see [`Refresher::from_async`].
pub struct Async<T, E> {
    mint: Foreign<Mint<T, E>>,
    spawn: Option<Foreign<Spawn>>,
    lease: Duration,
    /// The renewal in progress, for as long as anything waits for it.
    attempt: Mutex<Weak<Attempt<T, E>>>,
}

impl<T, E> Async<T, E> {
    fn attempt(&self) -> MutexGuard<'_, Weak<Attempt<T, E>>> {
        self.attempt.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T, E> fmt::Debug for Async<T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Async").field("lease", &self.lease).finish_non_exhaustive()
    }
}

/// Runs one renewal on an executor: see [`Builder::spawn_with`]. The future is ready once the renewal is over, however
/// it ended.
#[must_use = "a future does nothing unless it is polled"]
pub struct Drive(Pin<Box<dyn Future<Output = ()> + Send>>);

impl Future for Drive {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        self.0.as_mut().poll(context)
    }
}

impl fmt::Debug for Drive {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Drive").finish_non_exhaustive()
    }
}

impl<T, E> Builder<T, E, Async<T, E>>
where
    T: Send + Sync + 'static,
    E: Clone + Send + Sync + 'static,
{
    /// Has an executor run the renewals: `spawn` gets the future of each. Then no caller of a valid value waits for its
    /// renewal, and only that executor polls the future.
    ///
    /// With tokio, say `.spawn_with(|renewal| drop(tokio::spawn(renewal)))`, or use a handle of the runtime if threads
    /// outside of it call the refresher. If `spawn` panics or drops the future, the tasks that wait for the renewal poll
    /// it.
    ///
    /// ```
    /// use std::time::Duration;
    /// use tidegate::refresh::{Minted, Refresher};
    /// use tidegate::wait::block_on;
    ///
    /// let mint = async || Ok::<_, String>(Minted { value: 7, ttl: Duration::from_secs(60).into() });
    /// let token = Refresher::from_async(move || mint())
    ///     .spawn_with(|renewal| drop(std::thread::spawn(move || block_on(renewal))))
    ///     .lazy()?;
    /// assert_eq!(*block_on(token.get_async())?, 7);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn spawn_with(mut self, spawn: impl Fn(Drive) + Send + Sync + 'static) -> Self {
        self.mint.spawn = Some(Foreign::new(Box::new(spawn)));
        self
    }

    /// Sets how long a renewal may take. A minute by default. The next call that would wait for a renewal which takes
    /// longer drops it, and the renewal has failed with [`RefreshError::TimedOut`].
    ///
    /// The end of the lease is noticed by the next call, or by the thread of a [`Runtime`](crate::Runtime::refresh).
    pub fn mint_lease(mut self, lease: Duration) -> Self {
        self.mint.lease = lease;
        self
    }

    /// Builds the refresher, and makes the first value. If the program has to start while the provider is down, use
    /// [`lazy`](Self::lazy).
    ///
    /// # Errors
    ///
    /// If a setting is refused, or making the first value fails.
    pub async fn build(self) -> Result<Refresher<T, E, Async<T, E>>, BuildError<E>> {
        let refresher = self.lazy()?;
        let made = refresher.get_async().await.map(dispose);
        made.map(|()| refresher).map_err(BuildError::Refresh)
    }
}

/// What a task has to do.
enum Decision<T, E>
where
    T: Send + Sync + 'static,
    E: Clone + Send + Sync + 'static,
{
    Serve(Arc<T>),
    /// Decide again.
    Again,
    Refused(Failure<E>),
    /// Wait for a renewal that another caller began.
    Follow(Waiting<T, E>),
    /// Wait for a renewal of its own.
    Lead(Waiting<T, E>),
}

impl<T, E> Refresher<T, E, Async<T, E>>
where
    T: Send + Sync + 'static,
    E: Clone + Send + Sync + 'static,
{
    /// Returns a builder of a refresher of the values that the futures of `mint` make, for tasks of any async runtime. No
    /// thread is blocked, and none is started.
    ///
    /// All tasks that wait for a renewal poll its future, in turn. So a task that is dropped, or kept without being
    /// polled, delays no other task. The future is dropped with the last task that waits. [An
    /// executor](Builder::spawn_with) may poll it instead.
    ///
    /// A thread outside of the runtime may wait with [`block_on(token.get_async())`](crate::wait::block_on). Many futures
    /// need the runtime that they were written for: use `spawn_with` then, with a handle of that runtime. Never block the
    /// only thread of a runtime, since no other thread could poll the future. There [`current`](Self::current) returns a
    /// valid value at once.
    ///
    /// ```
    /// use std::time::Duration;
    /// use tidegate::refresh::{Minted, Refresher};
    ///
    /// async fn fetch() -> Result<Minted<String>, String> {
    ///     // Asks the server that issues tokens.
    ///     Ok(Minted { value: "secret".to_owned(), ttl: Duration::from_secs(3_600).into() })
    /// }
    ///
    /// # tidegate::wait::block_on(async {
    /// let token = Refresher::from_async(fetch).build().await?;
    /// assert_eq!(*token.get_async().await?, "secret");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn from_async<F>(mint: impl Fn() -> F + Send + Sync + 'static) -> Builder<T, E, Async<T, E>>
    where
        F: Future<Output = Result<Minted<T>, E>> + Send + 'static,
    {
        Builder::new(Async {
            mint: Foreign::new(Box::new(move || Box::pin(mint()))),
            spawn: None,
            lease: Duration::from_secs(60),
            attempt: Mutex::new(Weak::new()),
        })
    }

    /// Returns the value. If it is due for renewal, one task renews it, or [an executor](Builder::spawn_with) or [a
    /// thread](crate::Runtime::refresh) does. The other tasks get the valid value at once. If the value has expired, all
    /// callers wait for one renewal.
    ///
    /// The future may be dropped at any time. A call renews the value once at most.
    ///
    /// # Errors
    ///
    /// If there is no valid value, and the renewal failed or none is tried.
    pub async fn get_async(&self) -> Result<Arc<T>, RefreshError<E>> {
        loop {
            match self.decide(Work::of_this_task().await) {
                Decision::Serve(value) => return Ok(value),
                Decision::Again => {}
                Decision::Refused(failure) => return self.state.settle(failure),
                Decision::Follow(waiting) => {
                    if let Some(Err(failure)) = waiting.await {
                        return self.state.settle(failure);
                    }
                }
                Decision::Lead(waiting) => {
                    if let Some(ended) = waiting.await {
                        return self.state.finish(ended);
                    }
                }
            }
        }
    }

    fn decide(&self, work: Work) -> Decision<T, E> {
        let Some(now) = self.state.now() else {
            return Decision::Refused(Arc::new(RefreshError::Panicked));
        };
        match self.state.look(now) {
            Look::Fresh(value) => Decision::Serve(value),
            Look::Due(value) => {
                // Might be the last to hold it by now: not while others wait for this task.
                dispose(value);
                if self.is_renewing() {
                    return self.current().map_or(Decision::Again, Decision::Serve);
                }
                match self.join(work, now) {
                    // The executor renews it, or another task has begun to.
                    Decision::Lead(waiting) if waiting.is_driven() => Decision::Again,
                    Decision::Follow(_) => Decision::Again,
                    other => other,
                }
            }
            Look::Lacking => match self.state.refusal(now) {
                Some(failure) => Decision::Refused(failure),
                None => self.join(work, now),
            },
        }
    }

    fn is_renewing(&self) -> bool {
        let attempt = self.mint.attempt().upgrade();
        let is_renewing = attempt.as_ref().is_some_and(|attempt| !attempt.is_over());
        dispose(attempt);
        is_renewing
    }

    /// Joins the renewal in progress, or begins one, unless another has just ended, or none is tried.
    fn join(&self, work: Work, now: Instant) -> Decision<T, E> {
        let mut attempt = self.mint.attempt();
        let current = attempt.upgrade();
        if let Some(current) = &current
            && let Some(waiting) = current.join()
        {
            drop(attempt);
            return self.follow(&work, waiting, now);
        }
        let held = self.state.held();
        let is_wanted = self.state.is_wanted(held.as_deref(), now);
        let admitted = is_wanted.then(|| self.state.admit(now));
        let Some((Ok(admitted), event)) = admitted else {
            drop(attempt);
            dispose(held);
            dispose(current);
            let refused = admitted.and_then(|(admitted, _)| admitted.err());
            return refused.map_or(Decision::Again, Decision::Refused);
        };
        let (work, state) = (Arc::new(work), Arc::clone(&self.state));
        let waiting = Attempt::first(state, Arc::clone(&work), admitted, now);
        *attempt = Arc::downgrade(&waiting.attempt);
        drop(attempt);
        // Others wait for it from here on: what is called is part of its work.
        work.run(|| {
            dispose(held);
            dispose(current);
        });
        waiting.attempt.begin(event, || (self.mint.mint)());
        if let Some(spawn) = &self.mint.spawn
            && let Some(driver) = waiting.driver()
        {
            let drive = Drive(Box::pin(async move { _ = driver.await }));
            work.run(|| contained(|| spawn(drive)));
        }
        Decision::Lead(waiting)
    }

    /// Waits for a renewal that another caller began, unless it takes too long, or waits for this
    /// caller.
    fn follow(&self, work: &Work, waiting: Waiting<T, E>, now: Instant) -> Decision<T, E> {
        let attempt = &waiting.attempt;
        if work.is_for(attempt.work().caller()) {
            return Decision::Refused(Arc::new(RefreshError::Reentrant));
        }
        if attempt.is_late(now, self.mint.lease) && waiting.supersede() {
            return Decision::Again;
        }
        Decision::Follow(waiting)
    }
}

impl<T, E> Attended for Refresher<T, E, Async<T, E>>
where
    T: Send + Sync + 'static,
    E: Clone + fmt::Display + Send + Sync + 'static,
{
    fn attend(&self, until_next: Duration) -> Result<(), String> {
        self.state.attend(until_next, |now| match self.join(Work::new(), now) {
            Decision::Lead(waiting) | Decision::Follow(waiting) => {
                // What is late is seen the next time.
                block_for(waiting, self.mint.lease).ok().flatten().unwrap_or(Ok(()))
            }
            Decision::Serve(_) | Decision::Again | Decision::Refused(_) => Ok(()),
        })
    }
}
