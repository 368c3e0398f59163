//! The answer to a call with several limits.

use core::time::Duration;

use super::super::decision::Decision;
use super::super::verdict::Outcome;

/// What became of a request with several limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AllOutcome {
    /// Every limit admitted the request, and was charged.
    Admitted,
    /// A limit denied the request for now: the one at the index `by`, whose wait is the longest.
    /// Nothing is charged.
    Denied {
        /// The index of the limit.
        by: u8,
    },
    /// A limit denied the request for ever: the one at the index `by`. Nothing is charged.
    ///
    /// Under [`OnFull::Shared`](crate::bucket::OnFull::Shared) two keys without a bucket may ask for
    /// more than the word that they share could admit. Once one of them gets a bucket, they may
    /// pass.
    Never {
        /// The index of the limit.
        by: u8,
    },
    /// Every limit would have admitted the request at the look. Then another call charged the bucket
    /// of the limit at the index `by`. The request may be tried again at once.
    Contended {
        /// The index of the limit.
        by: u8,
    },
}

/// The answer to a call with several limits.
///
/// Every limit's own decision is at its index. Where the request was denied, a decision that is
/// admitted says that its limit would have admitted the request; nothing is charged for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "a check that nobody looks at limits nothing"]
pub struct AllDecision<const N: usize> {
    pub(super) decisions: [Decision; N],
    pub(super) outcome: AllOutcome,
}

impl AllOutcome {
    /// The outcome of what each limit would answer.
    pub(super) fn of(decisions: impl Iterator<Item = Decision>) -> Self {
        let denied = decisions.enumerate().filter(|(_, decision)| !decision.is_admitted());
        // The longest wait; for ever is longer than any.
        let by = denied.max_by_key(|(_, decision)| {
            let wait = decision.retry_after();
            (wait.is_none(), wait)
        });
        match by {
            None => Self::Admitted,
            Some((by, decision)) if decision.outcome() == Outcome::Never => {
                Self::Never { by: by as u8 }
            }
            Some((by, _)) => Self::Denied { by: by as u8 },
        }
    }

    /// Returns whether the request may go ahead.
    #[inline]
    pub const fn is_admitted(&self) -> bool {
        matches!(self, Self::Admitted)
    }

    /// Returns the index of the limit that denied the request, or `None` if it was admitted.
    pub const fn denied_by(&self) -> Option<usize> {
        match *self {
            Self::Admitted => None,
            Self::Denied { by } | Self::Never { by } | Self::Contended { by } => Some(by as usize),
        }
    }

    /// Returns how long until all limits would admit the same request, if no other came before it: zero if
    /// it was admitted or [contended](Self::Contended), `None` if that will never be. `decisions` are
    /// those of the same call.
    pub fn retry_after(&self, decisions: &[Decision]) -> Option<Duration> {
        match *self {
            Self::Admitted | Self::Contended { .. } => Some(Duration::ZERO),
            Self::Never { .. } => None,
            Self::Denied { by } => decisions.get(usize::from(by))?.retry_after(),
        }
    }
}

impl<const N: usize> AllDecision<N> {
    /// Returns whether the request may go ahead.
    #[inline]
    pub const fn is_admitted(&self) -> bool {
        self.outcome.is_admitted()
    }

    /// Returns what became of the request.
    #[inline]
    pub const fn outcome(&self) -> AllOutcome {
        self.outcome
    }

    /// Returns the index of the limit that denied the request, or `None` if it was admitted.
    pub const fn denied_by(&self) -> Option<usize> {
        self.outcome.denied_by()
    }

    /// Returns how long until all limits would admit the same request, if no other came before it: zero if
    /// it was admitted or [contended](AllOutcome::Contended), `None` if that will never be.
    pub fn retry_after(&self) -> Option<Duration> {
        self.outcome.retry_after(&self.decisions)
    }

    /// Returns each limit's own decision.
    pub const fn decisions(&self) -> &[Decision; N] {
        &self.decisions
    }
}
