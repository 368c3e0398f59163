//! Waiting for a rate limiter, on its face.

use std::hash::Hash;
use std::time::Duration;

use tidegate_core::{Decision, Instant, Plan};

use super::jitter::Jitter;
use super::shadow::Shadow;
use super::timer::Timer;
use super::waiting::{self, Bucket, Turn, WaitError, Waiting};
use super::{RateLimiter, RateLimiterBuilder, Shared};
use crate::clock::OwnClock;
use crate::panics::Foreign;

/// The bucket of a key in a limiter's table.
struct Keyed<'a, K: ?Sized> {
    shared: &'a Shared,
    key: &'a K,
}

impl<K: Hash + ?Sized> Bucket for Keyed<'_, K> {
    fn charge(&self, plan: &Plan, cost: u64, now: Instant) -> Decision {
        self.shared.table.check_n(self.key, plan, cost, now)
    }

    fn refund(&self, decision: &Decision, now: Instant) {
        self.shared.table.refund(self.key, decision, u64::MAX, now);
    }

    fn clock(&self) -> &OwnClock {
        &self.shared.clock
    }

    fn plan(&self) -> &Plan {
        &self.shared.plan
    }

    fn waiting(&self) -> &Waiting {
        &self.shared.waiting
    }

    fn shadow(&self) -> &Shadow {
        &self.shared.shadow
    }
}

/// # Waiting
///
/// A request that cannot be admitted now may wait for its turn. Requests of one key are served in the order in which
/// they arrive, and none is served before its turn by the limiter's clock. While requests of a key wait, every
/// [`check`](Self::check) of the key is denied.
///
/// There is no list of waiters, and nothing runs for one: its turn is known as soon as it arrives. The queue of a key
/// is bounded by [`max_wait`](RateLimiterBuilder::max_wait) and [`max_waiters`](RateLimiterBuilder::max_waiters), and a
/// request beyond these bounds is refused at once. A request whose turn comes while its executor is busy is served late,
/// and does not delay the next ones.
///
/// A wait that is cancelled, by dropping its future, gives its place back if it is the last of the queue. Any other
/// place passes unused: the requests behind it have been promised their turns.
///
/// Where the clock is a [`ManualClock`](crate::ManualClock), a test has the [timer](RateLimiterBuilder::timer) move it:
///
/// ```
/// use std::sync::Arc;
/// use std::time::Duration;
/// use tidegate::{Clock, Instant, ManualClock, Quota, RateLimiter};
///
/// let clock = Arc::new(ManualClock::new());
/// let moved = Arc::clone(&clock);
/// let limiter: RateLimiter<str> = RateLimiter::builder(Quota::per_second(1)?)
///     .clock(Arc::clone(&clock))
///     .timer(move |time| std::future::ready(moved.advance(time)))
///     .build()?;
/// for _ in 0..3 {
///     assert!(limiter.wait("alice").is_ok());
/// }
/// assert_eq!(clock.now(), Instant::from_secs(2));
/// # Ok::<(), tidegate::QuotaError>(())
/// ```
impl<K: Hash + ?Sized> RateLimiter<K> {
    /// Waits for the turn of a request of one cell, and charges it to the bucket of `key`. The request arrives when the
    /// future is first polled.
    ///
    /// # Errors
    ///
    /// At once, if the request would have to wait longer than the queue allows.
    ///
    /// ```
    /// use std::time::{Duration, Instant};
    /// use tidegate::{Quota, RateLimiter, wait};
    ///
    /// let quota = Quota::new(1, Duration::from_millis(5))?;
    /// let limiter = RateLimiter::builder(quota).max_waiters(2).build()?;
    /// let start = Instant::now();
    /// wait::block_on(async {
    ///     limiter.until_ready("alice").await?; // at once
    ///     limiter.until_ready("alice").await?; // after 5 ms
    ///     Ok::<(), tidegate::WaitError>(())
    /// })?;
    /// assert!(start.elapsed() >= Duration::from_millis(4));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn until_ready<'a>(
        &'a self,
        key: &'a K,
    ) -> impl Future<Output = Result<Turn, WaitError>> + Send + use<'a, K>
    where
        K: Sync,
    {
        self.until_ready_n(key, 1)
    }

    /// Waits for the turn of a request of `cost` cells, all at once, as [`until_ready`](Self::until_ready) does. A cost
    /// above the burst is refused.
    ///
    /// # Errors
    ///
    /// Fails as [`until_ready`](Self::until_ready) does.
    pub fn until_ready_n<'a>(
        &'a self,
        key: &'a K,
        cost: u64,
    ) -> impl Future<Output = Result<Turn, WaitError>> + Send + use<'a, K>
    where
        K: Sync,
    {
        waiting::until_ready(self.bucket(key), cost, None)
    }

    /// Waits as [`until_ready`](Self::until_ready) does, and for a random time more if the request has to wait.
    ///
    /// # Errors
    ///
    /// Fails as [`until_ready`](Self::until_ready) does.
    pub fn until_ready_with<'a>(
        &'a self,
        key: &'a K,
        jitter: Jitter,
    ) -> impl Future<Output = Result<Turn, WaitError>> + Send + use<'a, K>
    where
        K: Sync,
    {
        waiting::until_ready(self.bucket(key), 1, Some(jitter))
    }

    /// Blocks this thread until it is the turn of a request of one cell, and charges it to the bucket of `key`.
    ///
    /// The thread sleeps, or waits for the [timer](RateLimiterBuilder::timer) if one was set.
    ///
    /// # Errors
    ///
    /// Fails as [`until_ready`](Self::until_ready) does.
    pub fn wait(&self, key: &K) -> Result<Turn, WaitError> {
        self.wait_n(key, 1)
    }

    /// Blocks this thread until it is the turn of a request of `cost` cells, all at once. A cost above the burst is
    /// refused.
    ///
    /// # Errors
    ///
    /// Fails as [`until_ready`](Self::until_ready) does.
    pub fn wait_n(&self, key: &K, cost: u64) -> Result<Turn, WaitError> {
        waiting::wait(self.bucket(key), cost)
    }

    fn bucket<'a>(&'a self, key: &'a K) -> Keyed<'a, K> {
        Keyed { shared: &self.shared, key }
    }
}

impl<K: Hash + ?Sized> RateLimiterBuilder<K> {
    /// Sets how long a request may [wait](RateLimiter::until_ready). 30 seconds by default, or the bound of a
    /// [shaping](crate::Quota::shape) quota; zero has none wait.
    pub fn max_wait(mut self, longest: Duration) -> Self {
        self.limits.waiting.max_wait = Some(longest);
        self
    }

    /// Sets how many requests of one cell may [wait](RateLimiter::until_ready) for one key at a time: the wait is
    /// bounded by the time in which that many cells flow in. Unbounded by default, except by
    /// [`max_wait`](Self::max_wait).
    pub fn max_waiters(mut self, waiters: u64) -> Self {
        self.limits.waiting.max_waiters = Some(waiters);
        self
    }

    /// Sets a random delay for each request that has to wait. None by default.
    pub fn jitter(mut self, jitter: Jitter) -> Self {
        self.limits.waiting.jitter = jitter;
        self
    }

    /// Sets the timer by which requests wait. [One of the process](crate::ThreadTimer), with a thread, by default.
    pub fn timer(mut self, timer: impl Timer + 'static) -> Self {
        self.limits.waiting.timer = Some(Foreign::new(Box::new(timer)));
        self
    }
}
