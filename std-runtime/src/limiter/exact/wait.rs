//! Waiting for an exact rate limiter, on its face.

use std::borrow::Borrow;
use std::hash::Hash;
use std::time::Duration;

use tidegate_core::{Decision, Instant, Plan};

use super::super::jitter::Jitter;
use super::super::shadow::Shadow;
use super::super::timer::Timer;
use super::super::waiting::{self, Bucket, Turn, WaitError, Waiting};
use super::{ExactRateLimiter, ExactRateLimiterBuilder, Shared};
use crate::clock::OwnClock;
use crate::panics::Foreign;
use crate::pin::pin;

/// The bucket of a key in a limiter's map.
struct Keyed<'a, K: Send + 'static, Q: ?Sized> {
    shared: &'a Shared<K>,
    key: &'a Q,
}

impl<K, Q> Bucket for Keyed<'_, K, Q>
where
    K: Hash + Eq + Clone + Send + Sync + Borrow<Q> + 'static,
    Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
{
    fn charge(&self, plan: &Plan, cost: u64, now: Instant) -> Decision {
        self.shared.buckets.check_n(self.key, plan, cost, now, &pin())
    }

    fn refund(&self, decision: &Decision, now: Instant) {
        self.shared.buckets.refund(self.key, decision, u64::MAX, now, &pin());
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
/// Requests wait for their turn [as those of a `RateLimiter` do](crate::RateLimiter#waiting).
impl<K> ExactRateLimiter<K>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
{
    /// Waits for the turn of a request of one cell as [`RateLimiter::until_ready`](crate::RateLimiter::until_ready)
    /// does. The request arrives when the future is first polled.
    ///
    /// # Errors
    ///
    /// At once, if the request would have to wait longer than the queue allows.
    ///
    /// ```
    /// use std::time::Duration;
    /// use tidegate::{ExactRateLimiter, Quota, wait};
    ///
    /// let quota = Quota::new(1, Duration::from_millis(5))?;
    /// let limiter: ExactRateLimiter<String> =
    ///     ExactRateLimiter::<String>::builder(quota).max_waiters(2).build()?;
    /// assert!(limiter.check("alice").is_admitted());
    /// let turn = wait::block_on(limiter.until_ready("alice"))?;
    /// assert!(turn.delay() <= Duration::from_millis(5));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn until_ready<'a, Q>(
        &'a self,
        key: &'a Q,
    ) -> impl Future<Output = Result<Turn, WaitError>> + Send + use<'a, K, Q>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = K> + Sync + ?Sized,
    {
        self.until_ready_n(key, 1)
    }

    /// Waits for the turn of a request of `cost` cells, all at once, as [`until_ready`](Self::until_ready) does. A cost
    /// above the burst is refused.
    ///
    /// # Errors
    ///
    /// Fails as [`until_ready`](Self::until_ready) does.
    pub fn until_ready_n<'a, Q>(
        &'a self,
        key: &'a Q,
        cost: u64,
    ) -> impl Future<Output = Result<Turn, WaitError>> + Send + use<'a, K, Q>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = K> + Sync + ?Sized,
    {
        waiting::until_ready(self.bucket(key), cost, None)
    }

    /// Waits as [`until_ready`](Self::until_ready) does, and for a random time more if the request has to wait.
    ///
    /// # Errors
    ///
    /// Fails as [`until_ready`](Self::until_ready) does.
    pub fn until_ready_with<'a, Q>(
        &'a self,
        key: &'a Q,
        jitter: Jitter,
    ) -> impl Future<Output = Result<Turn, WaitError>> + Send + use<'a, K, Q>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = K> + Sync + ?Sized,
    {
        waiting::until_ready(self.bucket(key), 1, Some(jitter))
    }

    /// Blocks this thread until it is the turn of a request of one cell, and charges it to the bucket of `key`.
    ///
    /// # Errors
    ///
    /// Fails as [`until_ready`](Self::until_ready) does.
    pub fn wait<Q>(&self, key: &Q) -> Result<Turn, WaitError>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
    {
        self.wait_n(key, 1)
    }

    /// Blocks this thread until it is the turn of a request of `cost` cells, all at once. A cost above the burst is
    /// refused.
    ///
    /// # Errors
    ///
    /// Fails as [`until_ready`](Self::until_ready) does.
    pub fn wait_n<Q>(&self, key: &Q, cost: u64) -> Result<Turn, WaitError>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
    {
        waiting::wait(self.bucket(key), cost)
    }

    fn bucket<'a, Q: ?Sized>(&'a self, key: &'a Q) -> Keyed<'a, K, Q> {
        Keyed { shared: &self.shared, key }
    }
}

impl<K> ExactRateLimiterBuilder<K> {
    /// Sets how long a request may [wait](ExactRateLimiter::until_ready). 30 seconds by default, or the bound of a
    /// [shaping](crate::Quota::shape) quota; zero has none wait.
    pub fn max_wait(mut self, longest: Duration) -> Self {
        self.limits.waiting.max_wait = Some(longest);
        self
    }

    /// Sets how many requests of one cell may [wait](ExactRateLimiter::until_ready) for one key at a time: the wait is
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
