//! An exact limiter's bucket as one limit of several, and estimates that are settled later.

use std::borrow::Borrow;
use std::hash::Hash;

use tidegate_core::bucket::{Limit, Reservation, reserve};
use tidegate_core::{Clock, Decision, Plan};

use super::{ExactRateLimiter, Shared};
use crate::pin::pin;

impl<K> ExactRateLimiter<K>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
{
    /// Makes one of several limits of one request, as [`RateLimiter::limit`](crate::RateLimiter::limit)
    /// does.
    ///
    /// ```
    /// use tidegate::{ExactRateLimiter, Limit, Quota, RateLimiter, check_all};
    ///
    /// let clients = RateLimiter::new(Quota::per_minute(60)?, 100_000)?;
    /// let tenants: ExactRateLimiter<String> = ExactRateLimiter::new(Quota::per_minute(600)?, 1_000)?;
    /// let limits: [&dyn Limit; 2] = [&clients.limit("203.0.113.7"), &tenants.limit("acme")];
    /// assert!(check_all(&limits).is_admitted());
    /// # Ok::<(), tidegate::QuotaError>(())
    /// ```
    #[inline]
    pub fn limit<'a, Q>(&'a self, key: &'a Q) -> impl Limit + Send + Sync + use<'a, K, Q>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = K> + Sync + ?Sized,
    {
        self.limit_n(key, 1)
    }

    /// Makes one of several limits of one request: `cost` cells of the bucket of `key`.
    #[inline]
    pub fn limit_n<'a, Q>(
        &'a self,
        key: &'a Q,
        cost: u64,
    ) -> impl Limit + Send + Sync + use<'a, K, Q>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = K> + Sync + ?Sized,
    {
        self.limit_n_with(key, &self.shared.plan, cost)
    }

    /// Makes one of several limits of one request: `cost` cells of the bucket of `key` under `plan`.
    ///
    /// # Panics
    ///
    /// Panics as [`check_with`](Self::check_with) does.
    #[inline]
    pub fn limit_n_with<'a, Q>(
        &'a self,
        key: &'a Q,
        plan: &'a Plan,
        cost: u64,
    ) -> impl Limit + Send + Sync + use<'a, K, Q>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = K> + Sync + ?Sized,
    {
        let Shared { buckets, clock, shadow, .. } = &**self.shared;
        // A guard for each step: a reservation may last.
        shadow.limit(buckets.limit(key, plan, cost, clock.now(), clock, pin))
    }

    /// Charges `estimate` cells to the bucket of `key`, to be settled when the real cost is known, as
    /// [`RateLimiter::reserve`](crate::RateLimiter::reserve) does. Gives back much more of what was not
    /// used, because a bucket counts what was given back to it.
    ///
    /// # Errors
    ///
    /// The decision, if the limiter's quota denies the estimate.
    pub fn reserve<'a, Q>(
        &'a self,
        key: &'a Q,
        estimate: u64,
    ) -> Result<Reservation<impl Limit + Send + Sync + use<'a, K, Q>>, Decision>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = K> + Sync + ?Sized,
    {
        reserve(self.limit_n(key, estimate))
    }

    /// Charges as many of `cells` cells as the bucket of `key` has now, at least one, or denies the
    /// request. [`Decision::charged`] says how many. In [shadow
    /// mode](crate::ExactRateLimiterBuilder::shadow) that may be none.
    pub fn take_up_to<Q>(&self, key: &Q, cells: u64) -> Decision
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
    {
        let Shared { buckets, plan, clock, shadow, .. } = &**self.shared;
        shadow.answer(buckets.take_up_to(key, plan, cells, clock.now(), &pin()))
    }
}
