//! The room of an entry that is being replaced, used for the entry that replaces it.
//!
//! The two are never in the cache together, but the new entry must have its room before it is put
//! in the old one's place. So the old entry [lends](Object::lend) its room first, and is not
//! evicted or held from then on. It stays readable until its place is taken. A thread that kills it
//! meanwhile leaves the room to the new entry.

use super::entry::Object;
use super::tier::Tier;
use super::totals::{Totals, Usage};

/// Room that is lent by an entry, and given back to it unless it is [kept](Self::keep).
pub(super) struct Credit<'a, V> {
    totals: &'a Totals,
    object: &'a Object<V>,
    /// The tier that the room is counted in beside its own.
    entered: Option<Tier>,
}

impl<'a, V> Credit<'a, V> {
    /// Borrows the room of an entry, if the entry can lend it.
    pub(super) fn of(object: &'a Object<V>, totals: &'a Totals) -> Option<Self> {
        // Made only if the room is lent, because dropping it gives the room back.
        object.lend().then(|| Self { totals, object, entered: None })
    }

    /// Returns how much room it is.
    pub(super) fn usage(&self) -> Usage {
        Usage { entries: 1, bytes: self.object.weight() }
    }

    /// Counts the room in the tier of the new entry, too.
    pub(super) fn enter(&mut self, tier: Tier) {
        if tier != self.object.tier() {
            self.totals.enter(tier, self.usage());
            self.entered = Some(tier);
        }
    }

    /// Leaves the room to the new entry, of this tier and weight, which has taken the old one's
    /// place.
    pub(super) fn keep(mut self, tier: Tier, bytes: u64) {
        if self.entered.take().is_some() {
            self.totals.leave(self.object.tier(), self.usage());
        }
        let excess = self.object.weight().saturating_sub(bytes);
        if excess > 0 {
            self.totals.shrink(tier, excess);
        }
        core::mem::forget(self);
    }
}

impl<V> Drop for Credit<'_, V> {
    fn drop(&mut self) {
        if let Some(tier) = self.entered {
            self.totals.leave(tier, self.usage());
        }
        if !self.object.take_back() {
            // The entry is dead, or has room of its own: this room belongs to no entry any more.
            self.totals.give_up(self.object.tier(), self.object.weight());
        }
    }
}
