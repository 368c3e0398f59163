//! On what terms a namespace holds its entries.

use core::time::Duration;

use crate::registry::WhenFull;
use crate::sweep::Cadence;
use crate::time::Ttl;

/// On what terms a namespace holds its entries.
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
#[must_use = "terms hold nothing"]
pub struct Terms {
    pub(super) ttl: Ttl,
    pub(super) max_entries: usize,
    pub(super) when_full: WhenFull,
    pub(super) hold: Option<Duration>,
    pub(super) allowance: Option<Duration>,
    pub(super) last_known: Duration,
}

impl Terms {
    /// Entries live for so long, unless it is said otherwise. As many as there are, and no hold.
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

    /// At most so many entries, at every instant.
    pub fn max_entries(mut self, entries: usize, when_full: WhenFull) -> Self {
        self.max_entries = entries;
        self.when_full = when_full;
        self
    }

    /// Holds the time for as long as this at most when nearly everything would expire at once: more
    /// likely than that all tenants are gone is that they cannot reach the registry.
    ///
    /// Of the entries with the usual time to live, of which there must be eight, a tenth is about to
    /// expire (within a sixth of that time), and fewer were renewed of late than half of those that had
    /// to be for all to stay: then the registry's time goes on for a sixteenth of the time to live, and
    /// stands still. It goes on when half of the entries were renewed. It does so, too, at the end of
    /// `longest`, and is not held again for a time to live: who was silent all the while expires, and who
    /// is left is the new population. A hold is begun and ended by whoever advertises, renews, prunes or
    /// sweeps, so one of these must happen several times in a time to live; and threads' clocks must agree
    /// within a sixteenth of it.
    pub fn hold_mass_expiry(mut self, longest: Duration) -> Self {
        self.hold = Some(longest);
        self
    }

    /// Does not charge entries for time in which nobody advertised, renewed, pruned or swept, beyond this
    /// allowance: three cadences of the sweeper, for instance. The process may have been stopped, and
    /// then no tenant could renew. Between two such calls time goes on by no more than the allowance, so
    /// where it is shorter than they are apart, everything lives longer.
    pub fn allow_for_stalls(mut self, allowance: Duration) -> Self {
        self.allowance = Some(allowance);
        self
    }

    /// For so long after their end, lists are kept as the last that was known: see
    /// [`Lists::last_known`](super::Lists::last_known).
    pub fn keep_last_known(mut self, window: Duration) -> Self {
        self.last_known = window;
        self
    }

    /// How often a namespace on these terms is to be swept.
    pub(super) fn sweep_interval(&self) -> Duration {
        let ttl = match self.ttl {
            Ttl::For(ttl) => ttl,
            Ttl::Forever => Duration::MAX,
        };
        let within = self.allowance.unwrap_or(Duration::MAX) / 3;
        Cadence::interval_for(ttl).min(within.max(Duration::from_millis(1)))
    }
}
