//! Rate limiters for servers: a bucket table or a bucket map with its clock and its plan inside.

mod exact;
mod jitter;
mod limit;
mod limits;
mod shadow;
mod timer;
mod wait;
mod waiting;

use std::fmt;
use std::hash::Hash;
use std::marker::PhantomData;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::sync::Arc;
use std::time::Duration;

use tidegate_core::bucket::{Counters, Keep, Place, Set};
use tidegate_core::{BucketTable, Clock, Decision, OnFull, Plan, Quota, QuotaError, SeededState};

use self::limits::Limits;
use self::shadow::Shadow;
use self::waiting::Waiting;
use crate::clock::OwnClock;
use crate::random_state;

pub use self::exact::{ExactRateLimiter, ExactRateLimiterBuilder};
pub use self::jitter::Jitter;
pub use self::timer::{Sleep, ThreadTimer, Timer};
pub use self::waiting::{Turn, WaitError};

/// The engine's table in a [`RateLimiter`].
type Table = BucketTable<Box<[Set]>, SeededState>;

/// Limits how often each key may do something: a GCRA bucket a key, in a table of fixed size.
///
/// A clone is a handle of the same limiter. It can be stored in a `static`, in a server's state or in a task.
/// A check takes no lock and allocates nothing. The table needs no housekeeping: when a new key needs a slot, the table
/// reclaims the slot of a bucket that is full again.
///
/// A key is identified by a 32-bit fingerprint within its set, as the engine's
/// [`BucketTable`](crate::lockfree::BucketTable) describes. If two keys must never share a bucket, use an
/// [`ExactRateLimiter`](crate::ExactRateLimiter).
///
/// ```
/// use tidegate::{Quota, RateLimiter};
///
/// let limiter = RateLimiter::new(Quota::per_minute(60)?.burst(20)?, 100_000)?;
/// assert!(limiter.check("203.0.113.7").is_admitted());
/// # Ok::<(), tidegate::QuotaError>(())
/// ```
pub struct RateLimiter<K: ?Sized> {
    shared: Arc<Shared>,
    keys: PhantomData<fn(&K)>,
}

struct Shared {
    table: Table,
    plan: Plan,
    clock: OwnClock,
    waiting: Waiting,
    shadow: Shadow,
}

/// Builds a [`RateLimiter`]: see [`RateLimiter::builder`].
#[must_use = "a builder does nothing until it builds"]
pub struct RateLimiterBuilder<K: ?Sized> {
    limits: Limits,
    keys: usize,
    kind: PhantomData<fn(&K)>,
}

impl<K: Hash + ?Sized> RateLimiter<K> {
    /// Creates a limiter of `quota` for each of about `keys` keys at a time. New keys that find no slot are denied.
    ///
    /// # Errors
    ///
    /// If the quota cannot be represented, or if there is no memory for the table ([`QuotaError::TooManyKeys`]).
    pub fn new(quota: Quota, keys: usize) -> Result<Self, QuotaError> {
        Self::builder(quota).keys(keys).build()
    }

    /// Returns a builder of a limiter, with room for 10,000 keys until another number is set.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use std::time::Duration;
    /// use tidegate::{ManualClock, Quota, RateLimiter};
    ///
    /// let clock = Arc::new(ManualClock::new());
    /// let limiter: RateLimiter<u64> =
    ///     RateLimiter::builder(Quota::per_second(1)?).keys(1_000).clock(Arc::clone(&clock)).build()?;
    /// assert!(limiter.check(&7).is_admitted());
    /// assert!(!limiter.check(&7).is_admitted());
    /// clock.advance(Duration::from_secs(1));
    /// assert!(limiter.check(&7).is_admitted());
    /// # Ok::<(), tidegate::QuotaError>(())
    /// ```
    pub fn builder(quota: Quota) -> RateLimiterBuilder<K> {
        RateLimiterBuilder { limits: Limits::new(quota), keys: 10_000, kind: PhantomData }
    }

    /// Charges one cell to the bucket of `key` if the limiter's quota admits it.
    // Inlined as the engine's `check` is: a call would copy the decision, which is large.
    #[inline(always)]
    pub fn check(&self, key: &K) -> Decision {
        let Shared { table, plan, clock, shadow, .. } = &*self.shared;
        if shadow.is_on() {
            return self.check_shadowed(key);
        }
        if let OwnClock::Cached(clock) = clock {
            return table.check(key, plan, clock.now());
        }
        // Any other clock takes long to read. The memory arrives meanwhile.
        let place = table.prefetch(key);
        table.check_at(place, plan, clock.now())
    }

    /// Checks in shadow mode. Apart, so that nothing is done with the large decision of any other check.
    #[cold]
    #[inline(never)]
    fn check_shadowed(&self, key: &K) -> Decision {
        let Shared { table, plan, clock, shadow, .. } = &*self.shared;
        shadow.answer(table.check(key, plan, clock.now()))
    }

    /// Charges `cost` cells to the bucket of `key` if the limiter's quota admits them, all or none. A cost above
    /// the burst is never admitted.
    #[inline]
    pub fn check_n(&self, key: &K, cost: u64) -> Decision {
        self.check_n_with(key, &self.shared.plan, cost)
    }

    /// Charges one cell to the bucket of `key` if `plan` admits it: for keys with quotas of their own.
    ///
    /// ```
    /// use tidegate::{Quota, RateLimiter};
    ///
    /// let (free, paid) = (Quota::per_minute(60)?, Quota::per_minute(6_000)?);
    /// let limiter = RateLimiter::builder(free).also(paid).build()?;
    /// let paid = limiter.plan(paid)?;
    /// assert_eq!(limiter.check("a free client").limit(), 60);
    /// assert_eq!(limiter.check_with("a paying client", &paid).limit(), 6_000);
    /// # Ok::<(), tidegate::QuotaError>(())
    /// ```
    ///
    /// # Panics
    ///
    /// If a limiter of another unit of time made the plan: a programming error.
    #[inline]
    pub fn check_with(&self, key: &K, plan: &Plan) -> Decision {
        self.check_n_with(key, plan, 1)
    }

    /// Charges `cost` cells to the bucket of `key` if `plan` admits them, all or none.
    ///
    /// # Panics
    ///
    /// Panics as [`check_with`](Self::check_with) does.
    #[inline]
    pub fn check_n_with(&self, key: &K, plan: &Plan, cost: u64) -> Decision {
        let Shared { table, clock, shadow, .. } = &*self.shared;
        let place = table.prefetch(key);
        shadow.answer(table.check_n_at(place, plan, cost, clock.now()))
    }

    /// Compiles a quota for [`check_with`](Self::check_with).
    ///
    /// # Errors
    ///
    /// If the limiter's unit of time cannot represent the quota: name it to the builder by
    /// [`also`](RateLimiterBuilder::also).
    pub fn plan(&self, quota: Quota) -> Result<Plan, QuotaError> {
        self.shared.table.plan(quota)
    }

    /// Returns the answer that [`check`](Self::check) would give now, and charges nothing.
    pub fn peek(&self, key: &K) -> Decision {
        let Shared { table, plan, clock, shadow, .. } = &*self.shared;
        shadow.foresee(table.peek(key, plan, clock.now()))
    }

    /// Gives back up to `cells` cells that `decision` charged to the bucket of `key`, less those that have flowed back by
    /// themselves. Refund a decision once: a limiter does not notice a second refund.
    pub fn refund(&self, key: &K, decision: &Decision, cells: u64) {
        self.shared.table.refund(key, decision, cells, self.shared.clock.now());
    }

    /// Fills the bucket of `key`.
    pub fn reset(&self, key: &K) {
        self.shared.table.reset(key, self.shared.clock.now());
    }

    /// Moves the bucket of `key` from the plan `old` to the plan `new`. `keep` says what the bucket keeps.
    pub fn convert(&self, key: &K, old: &Plan, new: &Plan, keep: Keep) {
        self.shared.table.convert(key, old, new, keep, self.shared.clock.now());
    }

    /// Returns how many keys have a bucket. Looks at the whole table.
    pub fn len(&self) -> usize {
        self.shared.table.len()
    }

    /// Returns whether no key has a bucket. Looks at the whole table.
    pub fn is_empty(&self) -> bool {
        self.shared.table.is_empty()
    }

    /// Returns the counts of keys for which the table was full, and of reclaimed buckets.
    pub fn counters(&self) -> Counters {
        self.shared.table.counters()
    }

    /// Returns the engine's table, whose calls take the time and the plan as arguments.
    pub fn lockfree(&self) -> &Table {
        &self.shared.table
    }

    /// Finds the place of `key` in this limiter and asks the processor for the memory there, for
    /// [`check_at`](Self::check_at) some time later.
    ///
    /// ```
    /// use tidegate::{Quota, RateLimiter};
    ///
    /// let limiter = RateLimiter::new(Quota::per_minute(60)?.burst(20)?, 1_000_000)?;
    /// let place = limiter.prefetch("203.0.113.7");
    /// // ... parse the rest of the request ...
    /// assert!(limiter.check_at(place).is_admitted());
    /// # Ok::<(), tidegate::QuotaError>(())
    /// ```
    #[inline(always)]
    pub fn prefetch(&self, key: &K) -> Place {
        self.shared.table.prefetch(key)
    }

    /// Charges one cell as [`check`](Self::check) does, to the key whose place [`prefetch`](Self::prefetch) found.
    #[inline(always)]
    pub fn check_at(&self, place: Place) -> Decision {
        let Shared { table, plan, clock, shadow, .. } = &*self.shared;
        shadow.answer(table.check_at(place, plan, clock.now()))
    }
}

impl RateLimiter<()> {
    /// Creates a limiter of one bucket, which is checked by `limiter.check(&())`.
    ///
    /// ```
    /// use tidegate::{Quota, RateLimiter};
    ///
    /// let uploads = RateLimiter::unkeyed(Quota::per_second(2)?)?;
    /// assert!(uploads.check(&()).is_admitted());
    /// assert!(uploads.check(&()).is_admitted());
    /// assert!(!uploads.check(&()).is_admitted());
    /// # Ok::<(), tidegate::QuotaError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Fails as [`new`](Self::new) does.
    pub fn unkeyed(quota: Quota) -> Result<Self, QuotaError> {
        Self::new(quota, 1)
    }
}

impl<K: Hash + ?Sized> RateLimiterBuilder<K> {
    /// Sets the number of keys for which there is room at a time, approximately.
    pub fn keys(mut self, keys: usize) -> Self {
        self.keys = keys;
        self
    }

    /// Adds a quota for a later call of [`RateLimiter::plan`], so that the limiter's unit of time can represent it, too.
    pub fn also(mut self, quota: Quota) -> Self {
        self.limits.quotas.push(quota);
        self
    }

    /// Sets how a new key is answered whose part of the table is full. [`OnFull::Deny`] by default.
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

    /// Builds the limiter.
    ///
    /// # Errors
    ///
    /// If the quotas cannot be represented in one unit of time, or if there is no memory for the table
    /// ([`QuotaError::TooManyKeys`]).
    pub fn build(self) -> Result<RateLimiter<K>, QuotaError> {
        let Self { limits, keys, .. } = self;
        let unit = limits.unit()?;
        let Limits { quota, on_full, grace, clock, waiting, is_shadow, .. } = limits;
        let table = Table::boxed_in_unit(unit, keys, random_state())?.on_full(on_full);
        let table = grace.into_iter().fold(table, BucketTable::grace);
        let plan = table.plan(quota)?;
        let waiting = waiting.compile(quota, plan, |quota| table.plan(quota))?;
        let shadow = Shadow::new(is_shadow);
        let shared = Arc::new(Shared { table, plan, clock, waiting, shadow });
        Ok(RateLimiter { shared, keys: PhantomData })
    }
}

// A panic of a key's `Hash` or of the clock leaves the table consistent.
impl<K: ?Sized> RefUnwindSafe for RateLimiter<K> {}

// A panic of a key's `Hash` or of the clock leaves the table consistent.
impl<K: ?Sized> UnwindSafe for RateLimiter<K> {}

impl<K: ?Sized> Clone for RateLimiter<K> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared), keys: PhantomData }
    }
}

impl<K: ?Sized> fmt::Debug for RateLimiter<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Shared { table, plan, .. } = &*self.shared;
        f.debug_struct("RateLimiter")
            .field("limit", &plan.limit())
            .field("slots", &table.slots())
            .finish()
    }
}

impl<K: ?Sized> fmt::Debug for RateLimiterBuilder<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { limits, keys, .. } = self;
        limits.show(f.debug_struct("RateLimiterBuilder").field("keys", keys))
    }
}
