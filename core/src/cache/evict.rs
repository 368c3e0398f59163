//! Choosing the entry to evict.

use core::hash::{BuildHasher, Hash};

use super::entry::{Dead, Fate, Object, Search};
use super::later::Later;
use super::order::Handle;
use super::totals::Reserved;
use super::{Cache, RemovalCause, Tier, Tiers};
use crate::reclaim::Guard;
use crate::time::Instant;

/// How many entries that were read get another chance before one is evicted all the same. A search
/// for a victim is no longer than this, except for entries that are dead or held.
const CHANCES: usize = if cfg!(loom) { 2 } else { 64 };

/// After this many turns, what is fetched now is there.
const SOON: usize = 2;

/// This many handles are few.
const FEW: usize = if cfg!(loom) { 0 } else { 64 };

/// The result of evicting.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[must_use = "there may have been too little to evict"]
pub struct Evicted {
    /// How many entries were removed and their bytes freed.
    pub entries: u64,
    /// How many bytes were freed.
    pub bytes: u64,
    /// How many bytes less than asked for were freed: the rest was held, of other tiers, or not
    /// there.
    pub shortfall: u64,
}

/// What happened to the entry whose turn it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Turn {
    /// It was removed, and its room is the caller's.
    Removed,
    /// There is none, or it was removed and a hold keeps its room.
    Nothing,
    /// It stays, because it was read.
    Read,
    /// It stays.
    Stays,
}

/// When, where and why an entry has its turn.
#[derive(Clone, Copy)]
struct Occasion<'g> {
    tier: Tier,
    cause: RemovalCause,
    now: Instant,
    guard: &'g Guard,
}

impl<K, V, E, S> Cache<K, V, E, S>
where
    K: Hash + Eq + Send + Sync + 'static,
    V: Send + Sync + 'static,
    E: Send + Sync + 'static,
    S: BuildHasher,
{
    /// Evicts entries of these tiers, until `target` bytes are freed or nothing is left to evict.
    /// The lowest tier comes first, and in each tier the oldest entry. A held entry stays. An entry
    /// that was read gets its second chance. An expired entry is removed, too, and counts.
    ///
    /// The cost is that of the entries evicted and of those passed over, of these tiers only.
    pub fn evict_bytes(&self, target: u64, tiers: Tiers, now: Instant, guard: &Guard) -> Evicted {
        self.map.admit(guard);
        let mut evicted = Evicted::default();
        while evicted.bytes < target {
            let mut room = self.totals.none();
            if !self.evict_one(tiers, RemovalCause::Pressure, &mut room, &mut None, now, guard) {
                break;
            }
            evicted.entries = evicted.entries.saturating_add(room.held().entries);
            evicted.bytes = evicted.bytes.saturating_add(room.held().bytes);
        }
        evicted.shortfall = target.saturating_sub(evicted.bytes);
        evicted
    }

    /// Removes one entry of these tiers, and adds its room to `room`. Returns `false` if there is
    /// none to be removed.
    pub(super) fn evict_one<'g>(
        &'g self,
        tiers: Tiers,
        cause: RemovalCause,
        room: &mut Reserved<'_>,
        later: &mut Later<'g, K, V>,
        now: Instant,
        guard: &'g Guard,
    ) -> bool {
        tiers.iter().any(|tier| self.evict_from(Occasion { tier, cause, now, guard }, room, later))
    }

    fn evict_from<'g>(
        &'g self,
        occasion: Occasion<'g>,
        room: &mut Reserved<'_>,
        later: &mut Later<'g, K, V>,
    ) -> bool {
        // Two laps: an entry that uses up its chance in the first lap is evicted in the second. An
        // entry that is read again all the time is evicted when the chances are used up.
        let len = self.orders[occasion.tier.index()].len(occasion.guard);
        let mut chances = CHANCES;
        for _ in 0..len.saturating_mul(2).saturating_add(CHANCES) {
            let search = if chances > 0 { Search::Unread } else { Search::Unheld };
            match self.turn(search, occasion, room, later) {
                Some(Turn::Removed) => return true,
                Some(Turn::Read) => chances -= 1,
                Some(Turn::Stays | Turn::Nothing) => {}
                None => return false,
            }
        }
        false
    }

    /// Drops up to `handles` handles that are of no use any more, if there are more of them than of
    /// others. Passes over what is in front of them. Returns how many it looked at.
    ///
    /// An entry that dies otherwise than by eviction leaves its handle behind. Without this, a
    /// cache that is never full would keep the handles of all entries that ever expired.
    pub(super) fn tidy<'g>(
        &'g self,
        tier: Tier,
        handles: usize,
        later: &mut Later<'g, K, V>,
        now: Instant,
        guard: &'g Guard,
    ) -> usize {
        let (mut looked_at, mut room) = (0, self.totals.none());
        while looked_at < handles && self.is_untidy(tier, guard) {
            let occasion = Occasion { tier, cause: RemovalCause::Size, now, guard };
            if self.turn(Search::Expired, occasion, &mut room, later).is_none() {
                break;
            }
            looked_at += 1;
        }
        looked_at
    }

    fn is_untidy(&self, tier: Tier, guard: &Guard) -> bool {
        let live = usize::try_from(self.totals.of(tier).entries).unwrap_or(usize::MAX);
        self.orders[tier.index()].len(guard) > live.saturating_mul(2).saturating_add(FEW)
    }

    /// Takes the handle whose turn it is, and removes its entry or puts the handle back. Returns
    /// `None` if there is none.
    fn turn<'g>(
        &'g self,
        search: Search,
        occasion: Occasion<'g>,
        room: &mut Reserved<'_>,
        later: &mut Later<'g, K, V>,
    ) -> Option<Turn> {
        let Occasion { tier, guard, .. } = occasion;
        let order = &self.orders[tier.index()];
        let (handle, upcoming) = order.next(&self.limbo, guard)?;
        // Of the entries whose turn comes soon, the bucket and then the entry are being fetched.
        if let Some(later) = upcoming.get(2 * SOON) {
            self.map.fetch_bucket(later.hash(), guard);
        }
        if let Some(later) = upcoming.get(SOON) {
            self.map.fetch_entry(later.hash(), guard);
        }
        let turn = self.attempt(handle, search, occasion, room, later);
        let stays = matches!(turn, Turn::Read | Turn::Stays);
        if stays && order.keep(handle, guard).is_err() {
            // No memory for its place: the entry must be evicted.
            return Some(self.attempt(handle, Search::Anyone, occasion, room, later));
        }
        Some(turn)
    }

    /// Removes the entry of a handle for which there is no place.
    pub(super) fn expel<'g>(
        &'g self,
        handle: Handle,
        tier: Tier,
        later: &mut Later<'g, K, V>,
        now: Instant,
        guard: &'g Guard,
    ) {
        let occasion = Occasion { tier, cause: RemovalCause::Size, now, guard };
        self.attempt(handle, Search::Anyone, occasion, &mut self.totals.none(), later);
    }

    /// Removes the entry of a handle if the search is for it.
    fn attempt<'g>(
        &'g self,
        handle: Handle,
        search: Search,
        occasion: Occasion<'g>,
        room: &mut Reserved<'_>,
        later: &mut Later<'g, K, V>,
    ) -> Turn {
        let Occasion { tier, cause, now, guard } = occasion;
        let is_it = |object: &Object<V>| object.is(handle, tier);
        let find = || self.map.find_by(handle.hash(), Handle::KNOWN, is_it, guard);
        let mut found = find();
        while let Some((hash, entry)) = found {
            let object = &entry.value;
            let (dead, cause) = match object.judge(now, self.rules.stale(), search) {
                Fate::Read => return Turn::Read,
                Fate::Stays => return Turn::Stays,
                Fate::Evicted(dead) => (dead, cause),
                Fate::Expired(dead) => (dead, RemovalCause::Expired),
                Fate::Gone => {
                    // If it was killed by the thread that took its place, and its handle, the new
                    // entry is there by now.
                    found = find().filter(|(_, next)| !core::ptr::eq(*next, entry));
                    continue;
                }
            };
            if dead == Dead::Unheld {
                room.absorb(object.tier(), object.weight());
            }
            self.unlink(hash, entry, guard);
            self.tell(hash, entry, cause, later);
            return if dead == Dead::Unheld { Turn::Removed } else { Turn::Nothing };
        }
        Turn::Nothing
    }
}
