//! Shadow mode: a limiter that decides and counts, and denies nothing.

use std::hash::Hash;

use tidegate_core::Decision;
use tidegate_core::bucket::{Limit, ShadowLimit, Withheld};

use super::{RateLimiter, RateLimiterBuilder};

/// The denials that a limiter in shadow mode has withheld; `None` for a limiter that denies.
pub(super) struct Shadow(Option<Withheld>);

impl Shadow {
    pub(super) fn new(is_on: bool) -> Self {
        Self(is_on.then(Withheld::new))
    }

    pub(super) fn is_on(&self) -> bool {
        self.0.is_some()
    }

    /// Returns the answer that the limiter gives where its quota says `decision`.
    // Inlined: outside shadow mode the decision, which is large, is then not copied.
    #[inline(always)]
    pub(super) fn answer(&self, decision: Decision) -> Decision {
        match &self.0 {
            Some(withheld) => withheld.answer(decision),
            None => decision,
        }
    }

    /// Returns the answer that [`answer`](Self::answer) would give, and counts nothing.
    pub(super) fn foresee(&self, decision: Decision) -> Decision {
        if self.is_on() { decision.shadowed() } else { decision }
    }

    /// Returns the limit that the limiter makes of `limit`, which denies.
    #[inline(always)]
    pub(super) fn limit<L: Limit>(&self, limit: L) -> ShadowLimit<'_, L> {
        ShadowLimit::new(limit, self.0.as_ref())
    }

    pub(super) fn denials(&self) -> u64 {
        self.0.as_ref().map_or(0, Withheld::count)
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
    /// Sets whether the limiter is in shadow mode: it decides, charges and counts, but no call of it denies a request
    /// or has one wait. Off by default.
    ///
    /// [`Decision::is_shadowed`] says whether the quota denied the request, [`Decision::outcome`] and the figures what
    /// became of it, and [`shadow_denials`](RateLimiter::shadow_denials) counts. A denied request stays uncharged. So the
    /// counts are those of a limiter that denies, for the same requests: clients that would come back after a denial do
    /// not.
    ///
    /// * A [`limit`](RateLimiter::limit) in shadow mode never denies the other limits of its call. It is charged if it has
    ///   the cells, and counted if not; neither, if another limit denies the request. A request that names several limits
    ///   of the limiter may count for each.
    /// * A [reservation](RateLimiter::reserve) whose estimate would have been denied holds nothing: its
    ///   [`decision`](crate::Reservation::decision) is shadowed, and its settlement charges and gives back nothing.
    /// * [`take_up_to`](RateLimiter::take_up_to) charges what there is. Where that is nothing, the answer is admitted with
    ///   nothing charged.
    ///
    /// [`lockfree`](RateLimiter::lockfree) returns the engine's table, which knows no shadow mode.
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
