//! The settings that both limiters have.

use std::fmt;
use std::time::Duration;

use tidegate_core::bucket::Unit;
use tidegate_core::{OnFull, Quota, QuotaError};

use super::waiting::Settings;
use crate::clock::OwnClock;

pub(super) struct Limits {
    /// The quota of `check`.
    pub(super) quota: Quota,
    /// Every quota that the unit of time must be able to represent.
    pub(super) quotas: Vec<Quota>,
    pub(super) on_full: OnFull,
    /// `None` for the engine's own.
    pub(super) grace: Option<Duration>,
    pub(super) clock: OwnClock,
    pub(super) waiting: Settings,
    pub(super) is_shadow: bool,
}

impl Limits {
    pub(super) fn new(quota: Quota) -> Self {
        Self {
            quota,
            quotas: vec![quota],
            on_full: OnFull::Deny,
            grace: None,
            clock: OwnClock::default(),
            waiting: Settings::default(),
            is_shadow: false,
        }
    }

    /// Returns the unit of time that suits all quotas.
    pub(super) fn unit(&self) -> Result<Unit, QuotaError> {
        let queue = self.waiting.queue(self.quota);
        let quotas: Vec<_> = self.quotas.iter().copied().chain(queue).collect();
        Unit::for_quotas(&quotas)
    }

    /// Returns how long an empty bucket takes to fill, a second at least. A sweep at shorter intervals would find
    /// little.
    pub(super) fn fills_in(&self) -> Duration {
        let Self { quota, .. } = self;
        let nanos = quota.period().as_nanos().saturating_mul(u128::from(quota.burst_cells()));
        let nanos = nanos.checked_div(u128::from(quota.cells())).unwrap_or(0);
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX)).max(Duration::from_secs(1))
    }

    /// Ends the debug form of a builder.
    pub(super) fn show(&self, f: &mut fmt::DebugStruct<'_, '_>) -> fmt::Result {
        f.field("quota", &self.quota).field("on_full", &self.on_full).finish_non_exhaustive()
    }
}
