//! Shadow mode: a limiter that decides and counts, and denies nothing.

use std::hash::Hash;
use std::sync::atomic::{AtomicU64, Ordering};

use tidegate_core::Decision;

use super::{RateLimiter, RateLimiterBuilder};

/// Whether a limiter denies, and how many denials it has withheld.
pub(super) struct Shadow {
    is_on: bool,
    denials: AtomicU64,
}

impl Shadow {
    pub(super) fn new(is_on: bool) -> Self {
        Self { is_on, denials: AtomicU64::new(0) }
    }

    pub(super) fn is_on(&self) -> bool {
        self.is_on
    }

    /// Returns the answer that the limiter gives where its quota says `decision`.
    // Inlined, and apart where the mode is on: the decision, which is large, is then not copied.
    #[inline(always)]
    pub(super) fn answer(&self, decision: Decision) -> Decision {
        if self.is_on { self.withhold(decision) } else { decision }
    }

    /// Returns the answer that [`answer`](Self::answer) would give, and counts nothing.
    pub(super) fn foresee(&self, decision: Decision) -> Decision {
        if self.is_on { decision.shadowed() } else { decision }
    }

    #[cold]
    #[inline(never)]
    fn withhold(&self, decision: Decision) -> Decision {
        if decision.is_admitted() {
            return decision;
        }
        // Relaxed, with no partner: a count that hands nothing over.
        self.denials.fetch_add(1, Ordering::Relaxed);
        decision.shadowed()
    }

    pub(super) fn denials(&self) -> u64 {
        // Relaxed, with no partner: a count that hands nothing over.
        self.denials.load(Ordering::Relaxed)
    }
}

impl<K: ?Sized> RateLimiter<K> {
    /// Returns how many requests the limiter would have denied, if it were not in [shadow
    /// mode](RateLimiterBuilder::shadow).
    pub fn shadow_denials(&self) -> u64 {
        self.shared.shadow.denials()
    }
}

impl<K: Hash + ?Sized> RateLimiterBuilder<K> {
    /// Sets whether the limiter is in shadow mode: it decides, charges and counts, but admits every request and has
    /// none wait. Off by default.
    ///
    /// [`Decision::is_shadowed`] says whether the quota denied the request, [`Decision::outcome`] and the figures what
    /// became of it, and [`shadow_denials`](RateLimiter::shadow_denials) counts. A denied request stays uncharged. So the
    /// counts are those of a limiter that denies, for the same requests: clients that would come back after a denial do
    /// not.
    ///
    /// ```
    /// use tidegate::{Quota, RateLimiter};
    ///
    /// let limiter = RateLimiter::builder(Quota::per_minute(1)?).shadow(true).build()?;
    /// assert!(!limiter.check("alice").is_shadowed());
    /// let second = limiter.check("alice");
    /// assert!(second.is_admitted() && second.is_shadowed());
    /// assert_eq!(limiter.shadow_denials(), 1);
    /// # Ok::<(), tidegate::QuotaError>(())
    /// ```
    pub fn shadow(mut self, is_on: bool) -> Self {
        self.limits.is_shadow = is_on;
        self
    }
}
