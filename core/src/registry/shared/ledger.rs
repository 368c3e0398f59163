//! What a namespace and its leases share, for as long as either exists.

use alloc::boxed::Box;
use alloc::sync::Arc;
use core::ops::Deref;

use crossbeam_utils::CachePadded;

use super::Terms;
use super::clock::EffectiveClock;
use super::entry::{Death, Leased, Life};
use crate::map::Entry;
use crate::reclaim::Guard;
use crate::registry::{Arrival, Departure};
use crate::time::Instant;

/// Called for every entry that is removed.
type Departed<K, V> = Box<dyn Fn(&K, &V, Departure) + Send + Sync>;
/// Called for every entry that is entered.
type Arrived<K, V> = Box<dyn Fn(&K, &V, Arrival<'_, V>) + Send + Sync>;

/// What is called for each entry of a namespace.
pub(super) struct Hooks<K, V> {
    pub(super) departed: Option<Departed<K, V>>,
    pub(super) arrived: Option<Arrived<K, V>>,
}

impl<K, V> Hooks<K, V> {
    pub(super) const NONE: Self = Self { departed: None, arrived: None };
}

/// A namespace's time, and its hooks: all that a lease needs of its registry, which it may outlive.
pub(super) struct Ledger<K, V> {
    pub(super) clock: EffectiveClock,
    hooks: Hooks<K, V>,
}

impl<K, V> Ledger<K, V> {
    pub(super) fn new(terms: &Terms, hooks: Hooks<K, V>) -> Self {
        Self { clock: EffectiveClock::new(terms), hooks }
    }

    /// Renews an entry. Returns `false` if it is dead or has expired.
    pub(super) fn renew(&self, leased: &Leased<V>, now: Instant) -> bool {
        let renewed = leased.renew(self.clock.watch(now));
        if let Some((end, later)) = renewed {
            self.clock.put_off(leased.ttl, end, later);
        }
        renewed.is_some()
    }

    /// Kills an entry if `doomed` says why, of its word. Returns how, if this call has killed it.
    pub(super) fn kill(
        &self,
        leased: &Leased<V>,
        doomed: impl Fn(Life) -> Option<Departure>,
    ) -> Option<Death> {
        let death = leased.kill(doomed)?;
        self.clock.leave(leased.ttl, death.end);
        Some(death)
    }

    /// Calls the hook for an entry that this thread has killed, unless another thread is about to
    /// tell its arrival and then this. It comes last, because the hook may panic.
    pub(super) fn report(&self, key: &K, leased: &Leased<V>, death: Death) {
        if !death.untold {
            self.tell_departure(key, leased, death.cause);
        }
    }

    /// Returns whether arrivals are told.
    pub(super) fn tells_arrivals(&self) -> bool {
        self.hooks.arrived.is_some()
    }

    /// Calls the hook for an entry that this thread has entered, and for its departure if it has
    /// gone meanwhile. It comes last, because the hook may panic.
    pub(super) fn announce(&self, entry: &Entry<K, Leased<V>>, arrival: Arrival<'_, V>) {
        let Some(arrived) = &self.hooks.arrived else { return };
        arrived(&entry.key, &entry.value.value, arrival);
        if let Some(cause) = entry.value.tell() {
            self.tell_departure(&entry.key, &entry.value, cause);
        }
    }

    fn tell_departure(&self, key: &K, leased: &Leased<V>, cause: Departure) {
        if let Some(departed) = &self.hooks.departed {
            departed(key, &leased.value, cause);
        }
    }

    /// Kills an entry without a guard, and calls the hook. The entry stays in the map, dead, until
    /// it is pruned or swept, or its key is advertised. Returns whether this call has killed it.
    pub(super) fn give_up(&self, entry: &Entry<K, Leased<V>>) -> bool {
        let death = self.kill(&entry.value, |_| Some(Departure::Withdrawn));
        if let Some(death) = death {
            self.report(&entry.key, &entry.value, death);
        }
        death.is_some()
    }
}

/// A share of a ledger. Leases count their uses of a share, and a namespace has several shares, so
/// that threads which make and drop leases do not all change one count.
pub(super) struct Share<K, V>(CachePadded<Arc<Ledger<K, V>>>);

/// How many shares there are of a ledger; a power of two.
const SHARES: usize = if cfg!(loom) { 1 } else { 8 };

/// All shares of a ledger.
pub(super) struct Shares<K, V>([Arc<Share<K, V>>; SHARES]);

impl<K, V> Shares<K, V> {
    pub(super) fn new(ledger: &Arc<Ledger<K, V>>) -> Self {
        let share = |_| Arc::new(Share(CachePadded::new(Arc::clone(ledger))));
        Self(core::array::from_fn(share))
    }

    /// Returns the share of a thread, which is told by the address of its guard: any will do.
    pub(super) fn of(&self, guard: &Guard) -> Arc<Share<K, V>> {
        let address = core::ptr::from_ref(guard).addr();
        // The upper bits of a product, after Knuth: guards are in workers or on stacks.
        let mixed = (address as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
        Arc::clone(&self.0[mixed as usize % SHARES])
    }
}

impl<K, V> Share<K, V> {
    /// Returns whether this is a share of that ledger.
    pub(super) fn is_of(&self, ledger: &Arc<Ledger<K, V>>) -> bool {
        Arc::ptr_eq(&self.0, ledger)
    }
}

impl<K, V> Deref for Share<K, V> {
    type Target = Ledger<K, V>;

    fn deref(&self) -> &Ledger<K, V> {
        &self.0
    }
}
