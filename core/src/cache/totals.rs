//! How much there is, and how much there may be.

use crossbeam_utils::CachePadded;

use super::history::{FEWEST, SMALL};
use super::order::Share;
use super::tier::Tier;
use crate::sync::{AtomicU64, Estimate, Ordering};

/// How many entries there are, of how many bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Entries that are in the cache, and those removed that are still held.
    pub entries: u64,
    /// How many bytes they are, as the weigher measures them.
    pub bytes: u64,
}

/// A usage that is kept up to date.
///
/// Every operation on it is Relaxed and pairs with none. Each count is exact by itself, for it is
/// changed by read-modify-writes only, and it hands over no memory: the map publishes the entries.
struct Gauge {
    entries: AtomicU64,
    bytes: AtomicU64,
}

impl Gauge {
    fn new() -> Self {
        Self { entries: AtomicU64::new(0), bytes: AtomicU64::new(0) }
    }

    fn usage(&self) -> Usage {
        // Relaxed, both, with no partner: counts, which may be of two moments.
        Usage {
            entries: self.entries.load(Ordering::Relaxed),
            bytes: self.bytes.load(Ordering::Relaxed),
        }
    }

    fn add(&self, usage: Usage) {
        // Relaxed, both, with no partner: the room was taken, or was the entry's, before.
        if usage.entries > 0 {
            self.entries.fetch_add(usage.entries, Ordering::Relaxed);
        }
        if usage.bytes > 0 {
            self.bytes.fetch_add(usage.bytes, Ordering::Relaxed);
        }
    }

    fn sub(&self, usage: Usage) {
        // Relaxed, both, with no partner: the thread that takes this room next reads nothing of the
        // entry that had it, and the domain frees that entry after its grace period.
        if usage.entries > 0 {
            self.entries.fetch_sub(usage.entries, Ordering::Relaxed);
        }
        if usage.bytes > 0 {
            self.bytes.fetch_sub(usage.bytes, Ordering::Relaxed);
        }
    }
}

/// The total from which all entries are reserved, and each tier's part of it. The total is never
/// above the bounds, except after a bound was lowered. Then it does not grow.
pub(super) struct Totals {
    gauge: CachePadded<Gauge>,
    tiers: [CachePadded<Gauge>; Tier::COUNT],
    /// The bounds. They are read with each reservation and written seldom.
    max: CachePadded<Gauge>,
}

impl Totals {
    pub(super) fn new(max: Usage) -> Self {
        let gauge = || CachePadded::new(Gauge::new());
        let totals =
            Self { gauge: gauge(), tiers: core::array::from_fn(|_| gauge()), max: gauge() };
        totals.set_max_entries(max.entries);
        totals.set_max_bytes(max.bytes);
        totals
    }

    pub(super) fn max(&self) -> Usage {
        self.max.usage()
    }

    pub(super) fn set_max_entries(&self, entries: u64) {
        // Relaxed, with no partner, here and below: a bound holds for what is reserved after it was
        // seen.
        self.max.entries.store(entries, Ordering::Relaxed);
    }

    pub(super) fn set_max_bytes(&self, bytes: u64) {
        self.max.bytes.store(bytes, Ordering::Relaxed);
    }

    /// Returns how much more is reserved than there may be: a bound was lowered.
    pub(super) fn excess(&self) -> Usage {
        let (used, max) = (self.usage(), self.max());
        Usage {
            entries: used.entries.saturating_sub(max.entries),
            bytes: used.bytes.saturating_sub(max.bytes),
        }
    }

    pub(super) fn of(&self, tier: Tier) -> Usage {
        self.tier(tier).usage()
    }

    pub(super) fn usage(&self) -> Usage {
        self.gauge.usage()
    }

    /// Returns whether there is so little that what comes need not be the first to go: a few
    /// entries, or no more than the main queue has room for.
    pub(super) fn is_filling(&self, share: &Share) -> bool {
        if self.is_small() {
            return true;
        }
        let (entries, rest) = (self.entries(), |max| share.rest(max));
        let max = self.max();
        entries < FEWEST
            || entries < rest(max.entries) && self.gauge.bytes.estimate() < rest(max.bytes)
    }

    /// Returns whether there can be no more than a few entries.
    pub(super) fn is_small(&self) -> bool {
        // Relaxed, with no partner: see `set_max_entries`.
        self.max.entries.load(Ordering::Relaxed) < SMALL
    }

    /// Returns about how many entries there are.
    pub(super) fn entries(&self) -> u64 {
        self.gauge.entries.estimate()
    }

    /// Returns about how many entries there are in a tier.
    pub(super) fn entries_of(&self, tier: Tier) -> u64 {
        self.tier(tier).entries.estimate()
    }

    /// Reserves nothing yet.
    pub(super) fn none(&self) -> Reserved<'_> {
        Reserved { totals: self, tier: None, held: Usage::default() }
    }

    /// Gives back what was reserved for an entry that is dead and not held.
    pub(super) fn give_up(&self, tier: Tier, bytes: u64) {
        self.none().absorb(tier, bytes);
    }

    /// Counts the room of an entry in a tier.
    pub(super) fn enter(&self, tier: Tier, usage: Usage) {
        self.tier(tier).add(usage);
    }

    /// Uncounts the room of an entry in a tier.
    pub(super) fn leave(&self, tier: Tier, usage: Usage) {
        self.tier(tier).sub(usage);
    }

    /// Gives back this many bytes of an entry in a tier, which stays.
    pub(super) fn shrink(&self, tier: Tier, bytes: u64) {
        let usage = Usage { entries: 0, bytes };
        self.tier(tier).sub(usage);
        self.gauge.sub(usage);
    }

    fn tier(&self, tier: Tier) -> &Gauge {
        &self.tiers[tier.index()]
    }
}

/// Adds to a count if it then is no more than `max`. Returns whether it did.
fn take(count: &AtomicU64, more: u64, max: u64) -> bool {
    // Relaxed, with no partner: a guess, which the exchange checks.
    let mut seen = count.load(Ordering::Relaxed);
    while seen.checked_add(more).is_some_and(|sum| sum <= max) {
        // Relaxed, both, with no partner: that the count is never above `max` follows from its own
        // modification order; where the exchange fails, another guess.
        match count.compare_exchange(seen, seen + more, Ordering::Relaxed, Ordering::Relaxed) {
            Ok(_) => return true,
            Err(now) => seen = now,
        }
    }
    false
}

/// A part of the totals that is reserved. It is given back on drop unless it is [kept](Self::keep).
pub(super) struct Reserved<'a> {
    totals: &'a Totals,
    /// The tier in which it is counted.
    tier: Option<Tier>,
    held: Usage,
}

impl Reserved<'_> {
    /// Makes the reservation this large: gives back what is too much, and takes what is missing.
    /// Returns `false` if there is not enough.
    #[inline]
    pub(super) fn settle(&mut self, wanted: Usage) -> bool {
        if self.held == wanted {
            return true;
        }
        self.leave();
        let (gauge, max) = (&self.totals.gauge, self.totals.max());
        if wanted.entries > self.held.entries {
            if !take(&gauge.entries, wanted.entries - self.held.entries, max.entries) {
                return false;
            }
            self.held.entries = wanted.entries;
        }
        if wanted.bytes > self.held.bytes {
            if !take(&gauge.bytes, wanted.bytes - self.held.bytes, max.bytes) {
                return false;
            }
            self.held.bytes = wanted.bytes;
        }
        gauge.sub(Usage {
            entries: self.held.entries - wanted.entries,
            bytes: self.held.bytes - wanted.bytes,
        });
        self.held = wanted;
        true
    }

    /// Adds what was reserved for an entry that is dead and not held.
    #[inline]
    pub(super) fn absorb(&mut self, tier: Tier, bytes: u64) {
        if self.held != Usage::default() && self.tier != Some(tier) {
            self.leave();
            self.totals.tier(tier).sub(Usage { entries: 1, bytes });
        } else {
            self.tier = Some(tier);
        }
        self.held.entries += 1;
        self.held.bytes += bytes;
    }

    /// Returns how much is reserved.
    pub(super) fn held(&self) -> Usage {
        self.held
    }

    /// Counts the reservation in a tier.
    #[inline]
    pub(super) fn enter(&mut self, tier: Tier) {
        if self.tier != Some(tier) {
            self.leave();
            self.totals.tier(tier).add(self.held);
            self.tier = Some(tier);
        }
    }

    /// Counts the reservation in no tier.
    fn leave(&mut self) {
        if let Some(tier) = self.tier.take() {
            self.totals.tier(tier).sub(self.held);
        }
    }

    /// Leaves the reservation to the entry that it was for.
    #[inline]
    pub(super) fn keep(mut self) {
        self.tier = None;
        self.held = Usage::default();
    }
}

impl Drop for Reserved<'_> {
    fn drop(&mut self) {
        self.leave();
        self.totals.gauge.sub(self.held);
    }
}
