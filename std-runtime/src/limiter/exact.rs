//! A rate limiter with a bucket of its own for each key.

mod limit;
mod wait;

use std::borrow::Borrow;
use std::fmt;
use std::hash::Hash;
use std::marker::PhantomData;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::sync::Arc;
use std::time::Duration;

use tidegate_core::bucket::{BucketMap, BucketPass, Counters, Keep};
use tidegate_core::{Clock, Decision, OnFull, Plan, Quota, QuotaError, SeededState, Worker};

use super::limits::Limits;
use super::shadow::Shadow;
use super::waiting::Waiting;
use crate::clock::OwnClock;
use crate::collected::Collected;
use crate::housekeeping::{Housekeeper, Kept};
use crate::pin::{domain, pin};
use crate::random_state;
use crate::runtime::{Runtime, Schedule};

/// The engine's buckets in an [`ExactRateLimiter`].
type Buckets<K> = BucketMap<K, SeededState>;

/// Limits how often each key may do something, as a [`RateLimiter`](crate::RateLimiter) does, with exact keys: two keys
/// never share a bucket.
///
/// The memory grows with the keys, up to [`max_keys`](ExactRateLimiterBuilder::max_keys), and shrinks when buckets are
/// full again. A thread of the process frees full buckets. The thread starts with the first such structure and ends
/// with the last.
///
/// A clone is a handle of the same limiter.
///
/// ```
/// use tidegate::{ExactRateLimiter, Quota};
///
/// let limiter: ExactRateLimiter<String> = ExactRateLimiter::new(Quota::per_minute(60)?, 100_000)?;
/// assert!(limiter.check("203.0.113.7").is_admitted());
/// # Ok::<(), tidegate::QuotaError>(())
/// ```
pub struct ExactRateLimiter<K: Send + 'static> {
    shared: Arc<Collected<Shared<K>>>,
    /// Ends the housekeeping with the last handle.
    _kept: Option<Arc<Kept>>,
}

struct Shared<K: Send + 'static> {
    buckets: Buckets<K>,
    plan: Plan,
    clock: OwnClock,
    waiting: Waiting,
    shadow: Shadow,
}

/// Builds an [`ExactRateLimiter`]: see [`ExactRateLimiter::builder`].
#[must_use = "a builder does nothing until it builds"]
pub struct ExactRateLimiterBuilder<K> {
    limits: Limits,
    name: Option<String>,
    max_keys: Option<usize>,
    housekeeper: Housekeeper,
    kind: PhantomData<fn(&K)>,
}

impl<K> ExactRateLimiter<K>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
{
    /// Creates a limiter of `quota` for each of at most `max_keys` keys at a time. New keys beyond are denied.
    ///
    /// # Errors
    ///
    /// If the quota cannot be represented.
    ///
    /// # Panics
    ///
    /// If there is no memory.
    pub fn new(quota: Quota, max_keys: usize) -> Result<Self, QuotaError> {
        Self::builder(quota).max_keys(max_keys).build()
    }

    /// Returns a builder of a limiter without a bound on its keys.
    ///
    /// ```
    /// use tidegate::{ExactRateLimiter, Quota};
    ///
    /// let quota = Quota::per_minute(60)?;
    /// let limiter: ExactRateLimiter<String> =
    ///     ExactRateLimiter::builder(quota).max_keys(1_000).build()?;
    /// assert!(limiter.check("203.0.113.7").is_admitted());
    /// # Ok::<(), tidegate::QuotaError>(())
    /// ```
    pub fn builder(quota: Quota) -> ExactRateLimiterBuilder<K> {
        ExactRateLimiterBuilder {
            limits: Limits::new(quota),
            name: None,
            max_keys: None,
            housekeeper: Housekeeper::default(),
            kind: PhantomData,
        }
    }

    /// Charges one cell to the bucket of `key` if the limiter's quota admits it.
    #[inline]
    pub fn check<Q>(&self, key: &Q) -> Decision
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
    {
        let Shared { buckets, plan, clock, shadow, .. } = &**self.shared;
        shadow.answer(buckets.check(key, plan, clock.now(), &pin()))
    }

    /// Charges `cost` cells to the bucket of `key` if the limiter's quota admits them, all or none. A cost above
    /// the burst is never admitted.
    pub fn check_n<Q>(&self, key: &Q, cost: u64) -> Decision
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
    {
        self.check_n_with(key, &self.shared.plan, cost)
    }

    /// Charges one cell to the bucket of `key` if `plan` admits it: for keys with quotas of their own.
    ///
    /// # Panics
    ///
    /// If a limiter of another unit of time made the plan: a programming error.
    pub fn check_with<Q>(&self, key: &Q, plan: &Plan) -> Decision
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
    {
        let Shared { buckets, clock, shadow, .. } = &**self.shared;
        shadow.answer(buckets.check(key, plan, clock.now(), &pin()))
    }

    /// Charges `cost` cells to the bucket of `key` if `plan` admits them, all or none.
    ///
    /// # Panics
    ///
    /// Panics as [`check_with`](Self::check_with) does.
    pub fn check_n_with<Q>(&self, key: &Q, plan: &Plan, cost: u64) -> Decision
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
    {
        let Shared { buckets, clock, shadow, .. } = &**self.shared;
        shadow.answer(buckets.check_n(key, plan, cost, clock.now(), &pin()))
    }

    /// Compiles a quota for [`check_with`](Self::check_with).
    ///
    /// # Errors
    ///
    /// If the limiter's unit of time cannot represent the quota: name it to the builder by
    /// [`also`](ExactRateLimiterBuilder::also).
    pub fn plan(&self, quota: Quota) -> Result<Plan, QuotaError> {
        self.shared.buckets.plan(quota)
    }

    /// Returns the answer that [`check`](Self::check) would give now, and charges nothing.
    pub fn peek<Q>(&self, key: &Q) -> Decision
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let Shared { buckets, plan, clock, shadow, .. } = &**self.shared;
        shadow.foresee(buckets.peek(key, plan, clock.now(), &pin()))
    }

    /// Gives back up to `cells` cells that `decision` charged to the bucket of `key`, less those that have flowed back by
    /// themselves. Refund a decision once: a limiter does not notice a second refund.
    pub fn refund<Q>(&self, key: &Q, decision: &Decision, cells: u64)
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let Shared { buckets, clock, .. } = &**self.shared;
        buckets.refund(key, decision, cells, clock.now(), &pin());
    }

    /// Fills the bucket of `key`.
    pub fn reset<Q>(&self, key: &Q)
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let Shared { buckets, clock, .. } = &**self.shared;
        buckets.reset(key, clock.now(), &pin());
    }

    /// Moves the bucket of `key` from the plan `old` to the plan `new`. `keep` says what the bucket keeps.
    pub fn convert<Q>(&self, key: &Q, old: &Plan, new: &Plan, keep: Keep)
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let Shared { buckets, clock, .. } = &**self.shared;
        buckets.convert(key, old, new, keep, clock.now(), &pin());
    }

    /// Returns how many keys have a bucket.
    pub fn len(&self) -> usize {
        self.shared.buckets.len()
    }

    /// Returns whether no key has a bucket.
    pub fn is_empty(&self) -> bool {
        self.shared.buckets.is_empty()
    }

    /// Returns the counts of keys beyond the bound, and of reclaimed buckets.
    pub fn counters(&self) -> Counters {
        self.shared.buckets.counters()
    }

    /// Returns how many requests the limiter would have denied, if it were not in [shadow
    /// mode](ExactRateLimiterBuilder::shadow).
    pub fn shadow_denials(&self) -> u64 {
        self.shared.shadow.denials()
    }

    /// Returns the engine's buckets, whose calls take the time, the plan and the guard as arguments.
    pub fn lockfree(&self) -> &Buckets<K> {
        &self.shared.buckets
    }
}

impl<K> ExactRateLimiterBuilder<K>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
{
    /// Gives the limiter a name: that of its sweep in the runtime, and its label in metrics. Limiters without a name share
    /// a label.
    pub fn name(mut self, name: &str) -> Self {
        self.name = Some(name.to_owned());
        self
    }

    /// Sets the exact maximum of keys that have a bucket. Unbounded by default.
    pub fn max_keys(mut self, keys: usize) -> Self {
        self.max_keys = Some(keys);
        self
    }

    /// Adds a quota for a later call of [`ExactRateLimiter::plan`], so that the limiter's unit of time can represent it,
    /// too.
    pub fn also(mut self, quota: Quota) -> Self {
        self.limits.quotas.push(quota);
        self
    }

    /// Sets how a new key beyond the bound is answered. [`OnFull::Deny`] by default.
    pub fn on_full(mut self, policy: OnFull) -> Self {
        self.limits.on_full = policy;
        self
    }

    /// Sets the largest difference between the clocks of two threads. 10 ms by default.
    pub fn grace(mut self, skew: Duration) -> Self {
        self.limits.grace = Some(skew);
        self
    }

    /// Sets the clock. [That of the process](crate::clock()) by default.
    pub fn clock(mut self, clock: impl Clock + Send + Sync + 'static) -> Self {
        self.limits.clock = OwnClock::given(clock);
        self
    }

    /// Sets whether the limiter is in shadow mode as
    /// [`RateLimiterBuilder::shadow`](crate::RateLimiterBuilder::shadow) does. Off by default.
    pub fn shadow(mut self, is_on: bool) -> Self {
        self.limits.is_shadow = is_on;
        self
    }

    /// Has `runtime` free the buckets that are full again, in place of the process's thread.
    pub fn runtime(mut self, runtime: &Runtime) -> Self {
        self.housekeeper = Housekeeper::Given(runtime.clone());
        self
    }

    /// Leaves the buckets that are full again to a sweep of the [engine's](ExactRateLimiter::lockfree).
    pub fn manual(mut self) -> Self {
        self.housekeeper = Housekeeper::Manual;
        self
    }

    /// Builds the limiter.
    ///
    /// # Errors
    ///
    /// If the quotas cannot be represented in one unit of time.
    ///
    /// # Panics
    ///
    /// If there is no memory.
    pub fn build(self) -> Result<ExactRateLimiter<K>, QuotaError> {
        let Self { limits, name, max_keys, housekeeper, .. } = self;
        let (unit, fills_in) = (limits.unit()?, limits.fills_in());
        let Limits { quota, on_full, grace, clock, waiting, is_shadow, .. } = limits;
        let buckets = Buckets::in_unit(domain(), unit, random_state()).on_full(on_full);
        let buckets = max_keys.into_iter().fold(buckets, Buckets::max_keys);
        let buckets = grace.into_iter().fold(buckets, Buckets::grace);
        let plan = buckets.plan(quota)?;
        let waiting = waiting.compile(quota, plan, |quota| buckets.plan(quota))?;
        let shadow = Shadow::new(is_shadow);
        let shared = Arc::new(Collected::new(Shared { buckets, plan, clock, waiting, shadow }));
        let mut pass = BucketPass::new();
        let step = move |shared: &Collected<Shared<K>>, worker: &mut Worker, budget| {
            pass.step(&shared.buckets, worker, shared.clock.now(), budget)
        };
        let schedule = Schedule::for_ttl(fills_in);
        let kept = housekeeper.keep("limiter", name.as_deref(), schedule, &shared, step);
        Ok(ExactRateLimiter { shared, _kept: kept })
    }
}

// A panic of a key's code or of the clock leaves the buckets consistent.
impl<K: Send + 'static> RefUnwindSafe for ExactRateLimiter<K> {}

// A panic of a key's code or of the clock leaves the buckets consistent.
impl<K: Send + 'static> UnwindSafe for ExactRateLimiter<K> {}

impl<K: Send + 'static> Clone for ExactRateLimiter<K> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared), _kept: self._kept.clone() }
    }
}

impl<K: Send + 'static> fmt::Debug for ExactRateLimiter<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let limit = self.shared.plan.limit();
        f.debug_struct("ExactRateLimiter").field("limit", &limit).finish_non_exhaustive()
    }
}

impl<K> fmt::Debug for ExactRateLimiterBuilder<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { limits, max_keys, .. } = self;
        limits.show(f.debug_struct("ExactRateLimiterBuilder").field("max_keys", max_keys))
    }
}
