//! How many buckets a map should have.

use super::table::SMALLEST;
use crate::sync::{AtomicU64, Ordering};

/// A table has no more buckets than this. A structure that keeps 31 bits of a hash can tell them
/// apart.
const LARGEST: usize = 1 << 31;

/// Fewer buckets than this are few.
const SMALL: usize = 4096;

/// A map with a bound has its final table from the beginning, up to this many buckets (512 KiB):
/// many a map never has as many entries as it may.
const AT_ONCE: usize = if cfg!(any(loom, shuttle)) { 1 } else { 1 << 16 };

/// What a map's table should be like.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Fit {
    Right,
    /// There are more entries than its [room], or far more in a table that is as large as the bound
    /// calls for.
    Small,
    /// There is fewer than one entry to eight buckets; to sixteen if there are few.
    Large,
}

/// Within which limits a map's table grows and shrinks.
pub(super) struct Size {
    /// The table does not shrink below this many buckets.
    least: AtomicU64,
    /// The table does not grow beyond this many buckets, unless it is [overfull].
    most: AtomicU64,
}

impl Size {
    /// Returns the limits of a map that was not told how many entries it will have.
    pub(super) fn any() -> Self {
        Self { least: AtomicU64::new(SMALLEST as u64), most: AtomicU64::new(LARGEST as u64) }
    }

    /// Sets that the table does not shrink below `buckets`.
    pub(super) fn keep(&self, buckets: usize) {
        // Relaxed, here and below, with no partner: a rule for what comes.
        self.least.fetch_max(buckets as u64, Ordering::Relaxed);
    }

    /// Sets how many entries there are at most; `usize::MAX` is any number. The table then grows as
    /// far as they need and no further, and does not shrink from there.
    pub(super) fn bound(&self, entries: usize) {
        let (least, most) = match entries {
            usize::MAX => (SMALLEST, LARGEST),
            _ => (buckets_of_bound(entries), buckets_of_bound(entries)),
        };
        self.least.store(least as u64, Ordering::Relaxed);
        self.most.store(most as u64, Ordering::Relaxed);
    }

    /// Returns whether a table of `buckets` buckets fits `entries` entries.
    #[inline]
    pub(super) fn fit(&self, entries: usize, buckets: usize) -> Fit {
        let len = buckets as u64;
        let may_grow = || len < self.most.load(Ordering::Relaxed) || entries > overfull(buckets);
        if entries > room(buckets) && may_grow() && buckets < LARGEST {
            Fit::Small
        } else if entries < scarce(buckets) && len > self.least.load(Ordering::Relaxed) {
            Fit::Large
        } else {
            Fit::Right
        }
    }
}

/// Returns how many entries a table has before a larger one takes its place: three to four buckets,
/// or to eight if there are few.
const fn room(buckets: usize) -> usize {
    if cfg!(loom) {
        // A model decides itself when a table is replaced.
        8 * buckets
    } else if buckets < SMALL {
        // Where all of it is in the cache, more buckets of one entry are worth their memory.
        buckets / 8 * 3
    } else {
        buckets / 4 * 3
    }
}

/// Returns how many entries a table has at most whatever the bound was said to be: that may be
/// outdated, or two threads have set it at once. More would fill blocks, and be refused.
const fn overfull(buckets: usize) -> usize {
    room(buckets).saturating_mul(8)
}

/// Returns with how many entries, or more, a table does not become smaller. It is less than a table
/// has that has just [grown].
const fn scarce(buckets: usize) -> usize {
    if buckets <= SMALL { buckets / 16 } else { buckets / 8 }
}

/// Returns how many buckets the table after one that is too small has: four times as many if there
/// are few, so that entries are moved half as often, and never more than [`SMALL`] for that.
pub(super) const fn grown(buckets: usize) -> usize {
    let is_power_of_four = buckets.trailing_zeros().is_multiple_of(2);
    if buckets < SMALL && is_power_of_four { buckets * 4 } else { buckets * 2 }
}

/// Returns how many buckets have room for `entries` entries, or `None` if no table has.
pub(super) const fn buckets_for(entries: usize) -> Option<usize> {
    let mut buckets = SMALLEST;
    while room(buckets) < entries {
        if buckets >= LARGEST {
            return None;
        }
        buckets *= 2;
    }
    Some(buckets)
}

/// Returns how many buckets a map with the bound `entries` has in the end: if there are few, as many
/// as any map of that size, and otherwise about one for each entry. Mostly there are as many
/// entries as the bound allows, so there need be no room for more.
const fn buckets_of_bound(entries: usize) -> usize {
    match (buckets_for(entries), (entries - entries / 8).checked_next_power_of_two()) {
        (Some(few), _) if few <= SMALL => few,
        (_, Some(many)) if many < LARGEST => many,
        _ => LARGEST,
    }
}

/// Returns with how many buckets a map begins whose bound is `entries`.
pub(super) const fn first_of_bound(entries: usize) -> usize {
    let buckets = buckets_of_bound(entries);
    if buckets < AT_ONCE { buckets } else { AT_ONCE }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::{Fit, Size};

    #[test]
    fn a_bound_that_is_outdated_does_not_keep_the_table_small() {
        let size = Size::any();
        size.bound(18_000);
        assert!(size.fit(18_000, 16_384) == Fit::Right, "as dense as a bound calls for");
        assert!(size.fit(98_304, 16_384) == Fit::Right);
        assert!(size.fit(98_305, 16_384) == Fit::Small);
    }
}
