//! What happens on a miss, step by step.

use super::history::Ghost;
use super::queues::{Handle, Part};
use super::{Entry, Model};

/// Entries that one miss may give another chance, or move for what the history knows of them.
const CHANCES: u32 = 64;
/// A key that was not read is moved to the main queue if it was asked for this many times more than
/// the main queue's victim. Less, and keys of a loop replace each other.
const MORE: u8 = 3;

impl Model {
    /// Makes room for a key that is not there, and inserts it.
    pub(super) fn admit(&mut self, key: u64) {
        let hash = self.hash(key);
        let mut chances = CHANCES;
        self.history.count(hash);
        let part = self.part(hash, &mut chances);
        if part == Part::Main && self.entries.len() >= self.room && !self.has_room() {
            self.evict_main(&mut chances);
        }
        while self.entries.len() >= self.room {
            self.evict(&mut chances);
        }
        self.fill_main();
        self.entries.insert(key, Entry { mark: 0 });
        self.queues.add(key, hash, part);
    }

    /// Returns which queue a new key comes into, and learns from its return if it was here before.
    ///
    /// The rule of ages: a key comes into the main queue if it returned sooner than that queue's
    /// victim did, or will.
    fn part(&mut self, hash: u32, chances: &mut u32) -> Part {
        let Some(ghost) = self.history.recall(hash) else { return Part::Small };
        let distance = self.queues.now().since(ghost.time);
        // None if the main queue has nothing to lose.
        let victim = if self.has_room() { None } else { self.victim(chances) };
        let age = victim.map(|victim| self.queues.now().since(victim.time));
        let is_sooner =
            |quarters| age.is_none_or(|age| u64::from(distance) * 4 < u64::from(age) * quarters);
        // A small queue of all the room would not have held a key for longer. And the small queue
        // may only grow at the cost of main entries that are read less often than this key, so
        // that keys of a loop, which are all of one distance, do not make it grow.
        let helps = || distance <= self.queues.units(self.room) && is_sooner(4);
        if ghost.part == Part::Main || helps() {
            self.share.enlarge(ghost.part, self.history.step(ghost.part));
        }
        // Three quarters, so that keys of a loop do not replace each other.
        if is_sooner(3) { Part::Main } else { Part::Small }
    }

    /// Returns whether the main queue has fewer entries than it should. A few may always be missing:
    /// where several threads evict, some have entries of it in hand.
    fn has_room(&self) -> bool {
        let away = (self.room / 16).min(8);
        self.queues.len(Part::Main) + self.share.entries() + away < self.room
    }

    /// Returns whether the main queue has more entries than it should. Whether the small queue has
    /// too few would be the same here, but not where new keys of several threads are on their way
    /// to it.
    fn is_over(&self) -> bool {
        self.queues.len(Part::Main) + self.share.entries() > self.room
    }

    /// Evicts an entry, or gives one another chance.
    fn evict(&mut self, chances: &mut u32) {
        if self.is_over() {
            return self.evict_main(chances);
        }
        let Some(handle) = self.queues.pop(Part::Small) else { return };
        let mark = self.entries.get(&handle.key).map_or(0, |entry| entry.mark);
        if mark > 0 && *chances > 0 {
            *chances -= 1;
            for _ in 0..mark {
                self.history.count(handle.hash);
            }
            self.promote(handle, chances);
        } else if self.has_room() {
            self.queues.push(handle, Part::Main);
        } else if *chances > 0 && self.is_wanted(&handle, chances) {
            *chances = chances.saturating_sub(1);
            self.promote(handle, chances);
        } else {
            self.forget(handle, Part::Small);
        }
    }

    /// Returns whether an entry that was not read was asked for much more often, lately, than the
    /// main queue's victim.
    fn is_wanted(&mut self, handle: &Handle, chances: &mut u32) -> bool {
        let count = self.history.estimate(handle.hash);
        count >= MORE
            && self.victim(chances).is_none_or(|victim| {
                count >= self.history.estimate(victim.hash).saturating_add(MORE)
            })
    }

    /// Moves an entry to the main queue, which evicts another if it has no room.
    fn promote(&mut self, handle: Handle, chances: &mut u32) {
        let time = self.queues.now();
        if let Some(entry) = self.entries.get_mut(&handle.key) {
            entry.mark = 0;
        }
        self.queues.push(Handle { time, ..handle }, Part::Main);
        if self.is_over() {
            self.evict_main(chances);
        }
    }

    /// Moves entries from the small to the main queue while that has room. The main queue is filled
    /// first, and what is moved so is as old as it was.
    fn fill_main(&mut self) {
        while self.queues.len(Part::Small) >= self.share.entries() && self.has_room() {
            let Some(handle) = self.queues.pop(Part::Small) else { return };
            self.queues.push(handle, Part::Main);
        }
    }

    /// Returns the main queue's next victim, and keeps it as the nominee. Entries before it that
    /// were read get another chance, and so does a nominee that was read since.
    fn victim(&mut self, chances: &mut u32) -> Option<Handle> {
        while let Some(handle) = self.queues.pop(Part::Main) {
            let entry = self.entries.get_mut(&handle.key);
            match entry.filter(|entry| entry.mark > 0 && *chances > 0) {
                Some(entry) => {
                    *chances -= 1;
                    entry.mark -= 1;
                    self.history.count(handle.hash);
                    let time = self.queues.now();
                    self.queues.push(Handle { time, ..handle }, Part::Main);
                }
                None => {
                    self.queues.nominate(handle);
                    return Some(handle);
                }
            }
        }
        None
    }

    fn evict_main(&mut self, chances: &mut u32) {
        if self.victim(chances).is_some()
            && let Some(handle) = self.queues.pop(Part::Main)
        {
            self.forget(handle, Part::Main);
        }
    }

    /// Evicts an entry, of which its ghost stays.
    fn forget(&mut self, handle: Handle, part: Part) {
        self.entries.remove(&handle.key);
        let ghost = Ghost { part, time: handle.time };
        self.history.remember(handle.hash, ghost, self.queues.now());
    }
}
