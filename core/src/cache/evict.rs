//! Choosing the entry to evict.

use core::hash::{BuildHasher, Hash};

use super::entry::{Chance, Dead, Fate, Object, Search};
use super::handle::{Handle, Time};
use super::history::{Ghost, Lines};
use super::later::Later;
use super::order::{Division, Part, Upcoming};
use super::totals::Reserved;
use super::{Cache, RemovalCause, Tier, Tiers};
use crate::reclaim::Guard;
use crate::time::Instant;

/// How many entries get another chance before one is evicted all the same. A search for a victim is
/// no longer than this, except for entries that are dead or held.
const CHANCES: usize = if cfg!(loom) { 2 } else { 64 };

/// After this many turns, what is fetched now is there.
const SOON: usize = 2;

/// This many handles are few.
const FEW: usize = if cfg!(loom) { 0 } else { 64 };

/// An entry that was not read since it came is evicted, unless it was asked for this much more often
/// lately than the main queue's victim.
const MARGIN: u8 = 3;

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
    /// It was removed because it was too old. Its room is the caller's, if there is `room`.
    Expired { room: bool },
    /// It was evicted. Its room is the caller's, if there is `room`.
    Evicted { room: bool },
    /// There is none.
    Nothing,
    /// It stays: it was read this often.
    Read(u32),
    /// It stays, though it is neither held nor was read.
    Unread,
    /// It stays.
    Stays,
}

impl Turn {
    fn has_room(self) -> bool {
        matches!(self, Self::Expired { room: true } | Self::Evicted { room: true })
    }
}

/// When, where and why an entry has its turn.
#[derive(Clone, Copy)]
struct Occasion<'g> {
    tier: Tier,
    cause: RemovalCause,
    now: Instant,
    guard: &'g Guard,
}

/// A search for a victim in one tier.
struct Hunt<'g> {
    occasion: Occasion<'g>,
    lines: Option<Lines<'g>>,
    division: Division,
    /// The time of the order.
    time: Time,
    /// How many entries may still get another chance.
    chances: usize,
    /// How many entries may still move to fill the main queue. That may lack as many as there are:
    /// what comes while others go, of lower tiers or far heavier, is all in the small queue.
    moves: usize,
}

/// Where an entry is to be put that is not in the cache yet.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    /// The queue.
    pub(super) part: Part,
    /// Whether an entry of the main queue is to make room for it.
    pub(super) instead: bool,
}

impl Hunt<'_> {
    /// Counts that an entry was read so often.
    fn count(&self, handle: Handle, reads: u32) {
        if let Some(lines) = self.lines {
            for _ in 0..reads {
                lines.count(handle.hash());
            }
        }
    }

    /// Remembers an entry that was taken from a queue, if it was evicted.
    fn remember(&self, handle: Handle, turn: Turn, part: Part) {
        if let (Some(lines), Turn::Evicted { .. }) = (self.lines, turn) {
            lines.remember(handle.hash(), Ghost { part, time: handle.time() }, self.time);
        }
    }
}

impl<K, V, E, S> Cache<K, V, E, S>
where
    K: Hash + Eq + Send + Sync + 'static,
    V: Send + Sync + 'static,
    E: Send + Sync + 'static,
    S: BuildHasher,
{
    /// Evicts entries of these tiers, until `target` bytes are freed or nothing is left to evict.
    /// The lowest tier comes first, and in each tier the entry whose turn it is. A held entry stays.
    /// An entry that was read gets another chance. An expired entry is removed, too, and counts.
    ///
    /// The cost is that of the entries evicted and of those passed over, of these tiers only.
    pub fn evict_bytes(&self, target: u64, tiers: Tiers, now: Instant, guard: &Guard) -> Evicted {
        self.map.admit(guard);
        let mut evicted = Evicted::default();
        while evicted.bytes < target {
            let (mut room, cause) = (self.totals.none(), RemovalCause::Pressure);
            if !self.evict_one(tiers, cause, None, &mut room, &mut None, now, guard) {
                break;
            }
            evicted.entries = evicted.entries.saturating_add(room.held().entries);
            evicted.bytes = evicted.bytes.saturating_add(room.held().bytes);
        }
        evicted.shortfall = target.saturating_sub(evicted.bytes);
        evicted
    }

    /// Removes one entry of these tiers, and adds its room to `room`. Returns `false` if there is
    /// none to be removed. It comes from the main queue of the tier `instead`, if there is one and
    /// its turn has come.
    #[expect(clippy::too_many_arguments, reason = "what an eviction is about, and nothing else")]
    pub(super) fn evict_one<'g>(
        &'g self,
        tiers: Tiers,
        cause: RemovalCause,
        instead: Option<Tier>,
        room: &mut Reserved<'_>,
        later: &mut Later<'g, K, V>,
        now: Instant,
        guard: &'g Guard,
    ) -> bool {
        tiers.iter().any(|tier| {
            let occasion = Occasion { tier, cause, now, guard };
            self.evict_from(occasion, instead == Some(tier), room, later)
        })
    }

    /// Begins a search.
    fn hunt<'g>(&'g self, occasion: Occasion<'g>) -> Hunt<'g> {
        let Occasion { tier, guard, .. } = occasion;
        let order = &self.orders[tier.index()];
        let (division, lines) = if self.totals.is_small() {
            (order.division(0, guard), None)
        } else {
            let division = order.division(self.totals.entries_of(tier), guard);
            (division, self.history.provide(self.totals.entries(), &self.limbo, guard))
        };
        let time = self.time(tier, guard);
        Hunt { occasion, lines, division, time, chances: CHANCES, moves: CHANCES }
    }

    fn evict_from<'g>(
        &'g self,
        occasion: Occasion<'g>,
        instead: bool,
        room: &mut Reserved<'_>,
        later: &mut Later<'g, K, V>,
    ) -> bool {
        let order = &self.orders[occasion.tier.index()];
        let mut hunt = self.hunt(occasion);
        // An entry that was read has another turn, if the chances last so long. An entry that is
        // read again all the time is evicted when they are used up.
        let turns = (hunt.division.len() + 1).saturating_mul(2).saturating_add(CHANCES);
        let mut part = if instead { Part::Main } else { hunt.division.victims() };
        let had = room.held().entries;
        for _ in 0..turns {
            let turn = match part {
                Part::Small => self.small_turn(&mut hunt, room, later),
                Part::Main => self.main_turn(&mut hunt, room, later),
            };
            match turn {
                // The entry whose turn it was, or an expired one that another was compared with.
                Some(_) if room.held().entries > had => return true,
                Some(_) => part = hunt.division.victims(),
                None if order.is_empty(occasion.guard) => return false,
                // The other queue has something, whatever the division says.
                None => part = part.other(),
            }
        }
        false
    }

    /// Lets the first entry of the small queue have its turn. Returns `None` if there is none.
    fn small_turn<'g>(
        &'g self,
        hunt: &mut Hunt<'g>,
        room: &mut Reserved<'_>,
        later: &mut Later<'g, K, V>,
    ) -> Option<Turn> {
        let handle = self.take(Part::Small, hunt)?;
        // The main queue is filled first.
        let moves = hunt.division.has_room() && hunt.moves > 0;
        let had = room.held().entries;
        let stays = moves || self.is_wanted(handle, hunt, room, later);
        if room.held().entries > had {
            // There is room now, and this entry's turn is yet to come.
            let turn = Turn::Stays;
            return Some(self.put_back(handle, Part::Small, turn, hunt, room, later));
        }
        let search = match hunt.chances {
            0 => Search::Unheld,
            _ if stays => Search::Candidates(Chance::All),
            _ => Search::Unread(Chance::All),
        };
        let turn = self.attempt(handle, search, hunt.occasion, room, later);
        let (part, time) = match turn {
            Turn::Read(reads) => {
                hunt.chances = hunt.chances.saturating_sub(1);
                hunt.count(handle, reads);
                (Part::Main, hunt.time)
            }
            Turn::Unread if moves => {
                hunt.moves -= 1;
                (Part::Main, handle.time())
            }
            Turn::Unread => {
                hunt.chances -= 1;
                (Part::Main, hunt.time)
            }
            Turn::Stays => (Part::Small, hunt.time),
            _ => {
                hunt.remember(handle, turn, Part::Small);
                return Some(turn);
            }
        };
        Some(self.put_back(handle.at(time), part, turn, hunt, room, later))
    }

    /// Returns whether the key of an entry was asked for so often that the entry stays though it was
    /// not read since it came.
    fn is_wanted<'g>(
        &'g self,
        handle: Handle,
        hunt: &mut Hunt<'g>,
        room: &mut Reserved<'_>,
        later: &mut Later<'g, K, V>,
    ) -> bool {
        let Some(lines) = hunt.lines else {
            return false;
        };
        let count = lines.estimate(handle.hash());
        if count < MARGIN || hunt.chances == 0 {
            return false;
        }
        let victim = self.victim(hunt, room, later);
        victim.is_none_or(|victim| count >= lines.estimate(victim.hash()) + MARGIN)
    }

    /// Lets the first entry of the main queue have its turn. Returns `None` if there is none.
    fn main_turn<'g>(
        &'g self,
        hunt: &mut Hunt<'g>,
        room: &mut Reserved<'_>,
        later: &mut Later<'g, K, V>,
    ) -> Option<Turn> {
        let handle = self.take(Part::Main, hunt)?;
        let search = if hunt.chances > 0 { Search::Unread(Chance::One) } else { Search::Unheld };
        let turn = self.attempt(handle, search, hunt.occasion, room, later);
        match turn {
            Turn::Read(_) => {
                hunt.chances -= 1;
                hunt.count(handle, 1);
            }
            Turn::Stays => {}
            _ => {
                hunt.remember(handle, turn, Part::Main);
                return Some(turn);
            }
        }
        Some(self.put_back(handle.at(hunt.time), Part::Main, turn, hunt, room, later))
    }

    /// Returns the main queue's next victim, which stays that queue's. On the way, entries that were
    /// read get another chance. Returns `None` if there is no victim, or there is room now because an
    /// entry had expired.
    fn victim<'g>(
        &'g self,
        hunt: &mut Hunt<'g>,
        room: &mut Reserved<'_>,
        later: &mut Later<'g, K, V>,
    ) -> Option<Handle> {
        loop {
            let handle = self.take(Part::Main, hunt)?;
            let search = Search::Candidates(Chance::One);
            let turn = self.attempt(handle, search, hunt.occasion, room, later);
            match turn {
                // Without chances left, an entry that was read is compared all the same.
                Turn::Unread | Turn::Read(_) if turn == Turn::Unread || hunt.chances == 0 => {
                    if self.orders[hunt.occasion.tier.index()].nominate(handle) {
                        hunt.division.put(Part::Main);
                        return Some(handle);
                    }
                }
                Turn::Read(_) => hunt.count(handle, 1),
                Turn::Unread | Turn::Stays => {}
                gone if gone.has_room() => return None,
                _ => continue,
            }
            let turn = self.put_back(handle.at(hunt.time), Part::Main, turn, hunt, room, later);
            if turn.has_room() || hunt.chances == 0 {
                return Some(handle).filter(|_| !turn.has_room());
            }
            hunt.chances -= 1;
        }
    }

    /// Takes the first handle of a queue. Returns `None` if there is none.
    fn take(&self, part: Part, hunt: &mut Hunt<'_>) -> Option<Handle> {
        let Occasion { tier, guard, .. } = hunt.occasion;
        let (handle, upcoming) = self.orders[tier.index()].next(part, &self.limbo, guard)?;
        self.fetch(&upcoming, hunt);
        hunt.division.took(part);
        Some(handle)
    }

    /// Puts a handle whose entry stays at the end of a queue.
    fn put_back<'g>(
        &'g self,
        handle: Handle,
        part: Part,
        turn: Turn,
        hunt: &mut Hunt<'g>,
        room: &mut Reserved<'_>,
        later: &mut Later<'g, K, V>,
    ) -> Turn {
        let Occasion { tier, guard, .. } = hunt.occasion;
        if self.orders[tier.index()].add(handle, part, guard).is_err() {
            // No memory for its place: the entry must be evicted.
            return self.attempt(handle, Search::Anyone, hunt.occasion, room, later);
        }
        hunt.division.put(part);
        turn
    }

    /// Fetches what the entries need whose turn comes soon: of some the bucket, of others then the
    /// entry.
    fn fetch(&self, upcoming: &Upcoming<'_>, hunt: &Hunt<'_>) {
        let guard = hunt.occasion.guard;
        if let Some(later) = upcoming.get(2 * SOON) {
            self.map.fetch_bucket(later.hash(), guard);
            if let Some(lines) = hunt.lines {
                lines.fetch(later.hash());
            }
        }
        if let Some(later) = upcoming.get(SOON) {
            self.map.fetch_entry(later.hash(), guard);
        }
    }

    /// Returns the time of a tier's order.
    pub(super) fn time(&self, tier: Tier, guard: &Guard) -> Time {
        self.orders[tier.index()].time(self.history.shift(), guard)
    }

    /// Says where the entry of a key is to be put that is not in the cache, and learns from what is
    /// remembered of the key.
    pub(super) fn place<'g>(
        &'g self,
        hash: usize,
        tier: Tier,
        room: &mut Reserved<'_>,
        later: &mut Later<'g, K, V>,
        now: Instant,
        guard: &'g Guard,
    ) -> Place {
        if self.totals.is_small() {
            return Place { part: Part::Main, instead: false };
        }
        let order = &self.orders[tier.index()];
        let ghost = self.history.lines(guard).and_then(|lines| {
            lines.count(hash);
            Some((lines, lines.recall(hash)?))
        });
        let Some((lines, ghost)) = ghost else {
            let is_filling = self.totals.is_filling(order.share());
            let part = if is_filling { Part::Main } else { Part::Small };
            return Place { part, instead: false };
        };
        let mut hunt = self.hunt(Occasion { tier, cause: RemovalCause::Size, now, guard });
        let (entries, distance) = (hunt.division.entries, hunt.time.since(ghost.time));
        let has_room = hunt.division.has_room();
        let victim = if has_room { None } else { self.victim(&mut hunt, room, later) };
        let age = victim.map_or(u32::MAX, |victim| hunt.time.since(victim.time()));
        // Only a key that comes back soon enough would have been found in a larger small queue, and
        // only one that comes back before the victim had to go is worth it.
        let is_near = u64::from(distance) << self.history.shift() <= entries as u64;
        if ghost.part == Part::Main || is_near && distance < age {
            order.share().learn(ghost.part, lines.ratio(ghost.part), entries);
        }
        // By a quarter, so that of keys that come in a round some stay.
        let is_better = u64::from(distance) * 4 < u64::from(age) * 3;
        let part = if is_better { Part::Main } else { Part::Small };
        Place { part, instead: is_better && !has_room }
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
        let order = &self.orders[tier.index()];
        while looked_at < handles && self.is_untidy(tier, guard) {
            let occasion = Occasion { tier, cause: RemovalCause::Size, now, guard };
            let part = order.longer(guard);
            let Some((handle, _)) = order.next(part, &self.limbo, guard) else {
                break;
            };
            let turn = self.attempt(handle, Search::Expired, occasion, &mut room, later);
            if turn == Turn::Stays && order.add(handle, part, guard).is_err() {
                // No memory for its place: the entry must be evicted.
                self.attempt(handle, Search::Anyone, occasion, &mut room, later);
            }
            looked_at += 1;
        }
        looked_at
    }

    fn is_untidy(&self, tier: Tier, guard: &Guard) -> bool {
        let live = usize::try_from(self.totals.of(tier).entries).unwrap_or(usize::MAX);
        self.orders[tier.index()].len(guard) > live.saturating_mul(2).saturating_add(FEW)
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
            let fate = object.judge(now, self.rules.stale(), search);
            let (dead, cause) = match fate {
                Fate::Read(reads) => return Turn::Read(reads),
                Fate::Unread => return Turn::Unread,
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
            let has_room = dead == Dead::Unheld;
            if has_room {
                room.absorb(object.tier(), object.weight());
            }
            self.unlink(hash, entry, guard);
            self.tell(hash, entry, cause, later);
            return match fate {
                Fate::Expired(_) => Turn::Expired { room: has_room },
                _ => Turn::Evicted { room: has_room },
            };
        }
        Turn::Nothing
    }
}
