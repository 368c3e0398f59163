//! A limiter's bucket as one limit of several, and estimates that are settled later.

use std::hash::Hash;

use tidegate_core::bucket::{Limit, Reservation, reserve};
use tidegate_core::{Clock, Decision, Plan};

use super::{RateLimiter, Shared};

impl<K: Hash + ?Sized> RateLimiter<K> {
    /// Makes one of several limits of one request: one cell of the bucket of `key`. Charges nothing:
    /// [`check_all`](crate::check_all) does.
    ///
    /// ```
    /// use tidegate::{Quota, RateLimiter, check_all};
    ///
    /// let clients = RateLimiter::new(Quota::per_minute(60)?, 100_000)?;
    /// let tenants = RateLimiter::new(Quota::per_minute(600)?, 1_000)?;
    /// let answer = check_all(&[clients.limit("203.0.113.7"), tenants.limit("acme")]);
    /// assert!(answer.is_admitted()); // each was charged a cell; otherwise neither would have been
    /// # Ok::<(), tidegate::QuotaError>(())
    /// ```
    #[inline]
    pub fn limit<'a>(&'a self, key: &K) -> impl Limit + Send + Sync + use<'a, K> {
        self.limit_n(key, 1)
    }

    /// Makes one of several limits of one request: `cost` cells of the bucket of `key`.
    #[inline]
    pub fn limit_n<'a>(&'a self, key: &K, cost: u64) -> impl Limit + Send + Sync + use<'a, K> {
        self.limit_n_with(key, &self.shared.plan, cost)
    }

    /// Makes one of several limits of one request: `cost` cells of the bucket of `key` under `plan`.
    ///
    /// # Panics
    ///
    /// Panics as [`check_with`](Self::check_with) does.
    #[inline]
    pub fn limit_n_with<'a>(
        &'a self,
        key: &K,
        plan: &'a Plan,
        cost: u64,
    ) -> impl Limit + Send + Sync + use<'a, K> {
        let Shared { table, clock, shadow, .. } = &*self.shared;
        shadow.limit(table.limit(key, plan, cost, clock.now(), clock))
    }

    /// Charges `estimate` cells to the bucket of `key`, to be settled when the real cost is known.
    ///
    /// A reservation that is dropped gives back what it can. A limiter of this type gives little back
    /// of a charge that is older than the time in which the estimate flows in; an
    /// [`ExactRateLimiter`](crate::ExactRateLimiter) gives back much more.
    ///
    /// ```
    /// use tidegate::{Quota, RateLimiter};
    ///
    /// let tokens = RateLimiter::new(Quota::per_minute(60_000)?.debt(10_000)?, 100_000)?;
    /// match tokens.reserve("203.0.113.7", 4_000) {
    ///     Ok(reservation) => {
    ///         let used = 5_200; // calls the model
    ///         assert_eq!(reservation.settle(used).charged(), 1_200);
    ///     }
    ///     Err(denied) => println!("try again in {:?}", denied.retry_after()),
    /// }
    /// # Ok::<(), tidegate::QuotaError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// The decision, if the limiter's quota denies the estimate.
    pub fn reserve<'a>(
        &'a self,
        key: &K,
        estimate: u64,
    ) -> Result<Reservation<impl Limit + Send + Sync + use<'a, K>>, Decision> {
        reserve(self.limit_n(key, estimate))
    }

    /// Charges as many of `cells` cells as the bucket of `key` has now, at least one, or denies the
    /// request. [`Decision::charged`] says how many. In [shadow
    /// mode](crate::RateLimiterBuilder::shadow) that may be none.
    pub fn take_up_to(&self, key: &K, cells: u64) -> Decision {
        let Shared { table, plan, clock, shadow, .. } = &*self.shared;
        shadow.answer(table.take_up_to(key, plan, cells, clock.now()))
    }
}
