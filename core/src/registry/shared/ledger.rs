//! What a namespace and its leases share, for as long as either exists.

use alloc::boxed::Box;

use super::Terms;
use super::clock::EffectiveClock;
use super::entry::{Leased, Life};
use crate::map::Entry;
use crate::registry::Departure;
use crate::time::Instant;

/// Called for every entry that is removed.
pub(super) type Hook<K, V> = Box<dyn Fn(&K, &V, Departure) + Send + Sync>;

/// A namespace's time, and its hook: all that a lease needs of its registry, which it may outlive.
pub(super) struct Ledger<K, V> {
    pub(super) clock: EffectiveClock,
    hook: Option<Hook<K, V>>,
}

impl<K, V> Ledger<K, V> {
    pub(super) fn new(terms: &Terms, hook: Option<Hook<K, V>>) -> Self {
        Self { clock: EffectiveClock::new(terms), hook }
    }

    /// Renews an entry. Returns `false` if it is dead or has expired.
    pub(super) fn renew(&self, leased: &Leased<V>, now: Instant) -> bool {
        let renewed = leased.renew(self.clock.watch(now));
        if let Some((end, later)) = renewed {
            self.clock.put_off(leased.ttl, end, later);
        }
        renewed.is_some()
    }

    /// Kills an entry if `doomed` says so of its word. Returns its end, if this call has killed it.
    pub(super) fn kill(&self, leased: &Leased<V>, doomed: impl Fn(Life) -> bool) -> Option<u64> {
        let end = leased.kill(doomed)?;
        self.clock.leave(leased.ttl, end);
        Some(end)
    }

    /// Calls the hook for an entry that was killed. This comes last, because the hook may panic.
    pub(super) fn report(&self, key: &K, leased: &Leased<V>, cause: Departure) {
        if let Some(hook) = &self.hook {
            hook(key, &leased.value, cause);
        }
    }

    /// Kills an entry without a guard, and calls the hook. The entry stays in the map, dead, until
    /// it is pruned or swept, or its key is advertised. Returns whether this call has killed it.
    pub(super) fn give_up(&self, entry: &Entry<K, Leased<V>>) -> bool {
        let is_killed = self.kill(&entry.value, |_| true).is_some();
        if is_killed {
            self.report(&entry.key, &entry.value, Departure::Withdrawn);
        }
        is_killed
    }
}
