//! What renewals write down: the breaker, when the next one is tried, and counts.

use std::sync::Arc;

use tidegate_core::Instant;

use super::RefreshError;
use super::breaker::{Admitted, Breaker, Circuit, doubled};
use super::rules::Rules;

/// A failure as all who wait for it share it. Copying the handle calls none of other people's code.
pub(super) type Failure<E> = Arc<RefreshError<E>>;

/// How a renewal ended.
pub(super) type Ended<E> = Result<(), Failure<E>>;

/// What renewals write down, under a lock. Calls none of other people's code: what is to be dropped
/// is returned.
pub(super) struct Book<E> {
    circuit: Circuit,
    /// How many renewals have failed in a row.
    failures: u32,
    /// How many values have been rejected in a row.
    rejections: u32,
    /// Whether the last failure left no valid value.
    lacked: bool,
    /// When the making of the last value began.
    began: Instant,
    /// Before this, no renewal is tried where there is no valid value, ...
    retry: Instant,
    /// ... and calls get this.
    why: Option<Failure<E>>,
    pub(super) renewed: u64,
    pub(super) failed: u64,
    pub(super) rejected: u64,
}

impl<E> Book<E> {
    pub(super) fn new() -> Self {
        Self {
            circuit: Circuit::CLOSED,
            failures: 0,
            rejections: 0,
            lacked: false,
            began: Instant::ORIGIN,
            retry: Instant::ORIGIN,
            why: None,
            renewed: 0,
            failed: 0,
            rejected: 0,
        }
    }

    pub(super) fn breaker(&self) -> Breaker {
        self.circuit.state
    }

    /// How many renewals have failed in a row.
    pub(super) fn failures(&self) -> u32 {
        self.failures
    }

    /// Why no renewal is tried now.
    pub(super) fn refusal(&self, now: Instant) -> Option<Failure<E>> {
        match self.circuit.state {
            Breaker::Open(until) if now < until => {
                Some(Arc::new(RefreshError::BreakerOpen { until: Some(until) }))
            }
            _ => self.why.clone().filter(|_| now < self.retry),
        }
    }

    /// Admits a renewal, or says why none is tried now.
    pub(super) fn admit(&mut self, now: Instant) -> Result<Admitted, Failure<E>> {
        if let Some(refusal) = self.refusal(now) {
            return Err(refusal);
        }
        let refused = |until| Arc::new(RefreshError::BreakerOpen { until });
        self.circuit.admit(now).map_err(refused)
    }

    /// Counts a value whose making began at `began`, and returns the failure before it. After a
    /// `regular` renewal the one that it replaces had not been rejected.
    pub(super) fn succeeded(&mut self, began: Instant, regular: bool) -> Option<Failure<E>> {
        self.circuit.succeeded();
        if regular {
            self.rejections = 0;
        }
        (self.failures, self.lacked) = (0, false);
        (self.began, self.retry) = (began, Instant::ORIGIN);
        self.renewed += 1;
        self.why.take()
    }

    /// Counts a failure, and returns the one before it. There is a valid value until `end`.
    pub(super) fn failed(
        &mut self,
        now: Instant,
        why: Failure<E>,
        end: Option<Instant>,
        rules: &Rules,
    ) -> Option<Failure<E>> {
        // The stakes are higher from here on: pauses are short again.
        if end.is_none() && !self.lacked {
            self.circuit.shorten();
        }
        self.lacked = end.is_none();
        self.circuit.failed(now, rules.fuse, latest(now, end, rules));
        self.failures = self.failures.saturating_add(1);
        self.failed += 1;
        self.retry = now + rules.spacing;
        self.why.replace(why)
    }

    /// Ends a renewal of which nothing is known.
    pub(super) fn abandoned(
        &mut self,
        admitted: Admitted,
        now: Instant,
        end: Option<Instant>,
        rules: &Rules,
    ) {
        self.circuit.abandoned(admitted, now, rules.fuse, latest(now, end, rules));
    }

    /// Counts a rejection, and returns the failure before it. A pause of the breaker is cut short.
    pub(super) fn rejected(&mut self, now: Option<Instant>, rules: &Rules) -> Option<Failure<E>> {
        if let Some(now) = now {
            self.circuit.limit(now + rules.spacing);
        }
        let pause = doubled(rules.spacing, self.rejections).min(rules.longest);
        self.rejections = self.rejections.saturating_add(1);
        self.rejected += 1;
        self.retry = self.began + pause;
        self.why.replace(Arc::new(RefreshError::Rejected { until: self.retry }))
    }

    /// Takes what the book holds of other people's.
    pub(super) fn take(&mut self) -> Option<Failure<E>> {
        self.why.take()
    }
}

/// When a pause ends at the latest: with the value, but not before the spacing is over.
fn latest(now: Instant, end: Option<Instant>, rules: &Rules) -> Instant {
    end.map_or(Instant::MAX, |end| end.max(now + rules.spacing))
}
