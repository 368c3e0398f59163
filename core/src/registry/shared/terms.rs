//! The terms on which a namespace holds its entries.

use core::time::Duration;

use crate::registry::WhenFull;
use crate::sweep::Cadence;
use crate::time::Ttl;

/// The terms on which a namespace holds its entries.
///
/// ```
/// use core::time::Duration;
/// use tidegate_core::registry::{Terms, WhenFull};
///
/// let terms = Terms::new(Duration::from_secs(30))
///     .max_entries(10_000, WhenFull::Refuse)
///     .hold_mass_expiry(Duration::from_secs(60));
/// # _ = terms;
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "terms do nothing until a registry is built with them"]
pub struct Terms {
    pub(super) ttl: Ttl,
    pub(super) max_entries: usize,
    pub(super) when_full: WhenFull,
    pub(super) hold: Option<Duration>,
    pub(super) allowance: Option<Duration>,
    pub(super) last_known: Duration,
}

impl Terms {
    /// Creates terms on which entries live for `ttl`, unless a call says otherwise. Their number is
    /// not bounded, and the time is not held.
    pub fn new(ttl: impl Into<Ttl>) -> Self {
        Self {
            ttl: ttl.into(),
            max_entries: usize::MAX,
            when_full: WhenFull::Refuse,
            hold: None,
            allowance: None,
            last_known: Duration::ZERO,
        }
    }

    /// Sets how many entries there are at most, at every instant.
    pub fn max_entries(mut self, entries: usize, when_full: WhenFull) -> Self {
        self.max_entries = entries;
        self.when_full = when_full;
        self
    }

    /// Holds the time for at most `longest` when nearly everything would expire at once. It is more
    /// likely then that the tenants cannot reach the registry than that all are gone.
    ///
    /// A hold considers the entries with the usual time to live, if there are at least eight. It
    /// begins when a tenth of them is about to expire, within a sixth of that time, and few were
    /// renewed recently. Few means fewer than half of those that had to be for all to stay. The
    /// registry's time then advances by a sixteenth of the time to live, and stands still. It
    /// continues when half of the entries were renewed.
    ///
    /// It also continues at the end of `longest`, and is then not held again for a time to live.
    /// Entries that were silent all the while expire, and the others are the new population.
    ///
    /// Every call that advertises, renews, prunes or sweeps can begin or end a hold. So one of
    /// these must happen several times in a time to live. The clocks of threads must agree within a
    /// sixteenth of it.
    pub fn hold_mass_expiry(mut self, longest: Duration) -> Self {
        self.hold = Some(longest);
        self
    }

    /// Does not charge entries for time without a call that advertises, renews, prunes or sweeps,
    /// beyond this allowance. An allowance of three cadences of the sweeper is an example. The
    /// process may have been stopped, and then no tenant could renew. Between two such calls the
    /// time advances by no more than the allowance. So where the allowance is shorter than they are
    /// apart, everything lives longer.
    pub fn allow_for_stalls(mut self, allowance: Duration) -> Self {
        self.allowance = Some(allowance);
        self
    }

    /// Keeps lists as the last known ones for this long after their end: see
    /// [`Lists::last_known`](super::Lists::last_known).
    pub fn keep_last_known(mut self, window: Duration) -> Self {
        self.last_known = window;
        self
    }

    /// Returns how often a namespace on these terms is to be swept.
    pub(super) fn sweep_interval(&self) -> Duration {
        let ttl = match self.ttl {
            Ttl::For(ttl) => ttl,
            Ttl::Forever => Duration::MAX,
        };
        let within = self.allowance.unwrap_or(Duration::MAX) / 3;
        Cadence::interval_for(ttl).min(within.max(Duration::from_millis(1)))
    }
}
