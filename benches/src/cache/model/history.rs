//! What is remembered of keys, in memory of a fixed size.
//!
//! | words of a line | hold |
//! |---|---|
//! | 4 | a ghost each, a key that was evicted: 31 bits of its hash, its queue, its time |
//! | 4 | 16 counters of four bits each |
//!
//! There is a line of 64 bytes for every eight entries of room. The hash of a key leads to one
//! line, which has its ghost and both of its counters.

use super::queues::{Part, Time};
use super::share::STEP;

/// The bits of a hash that count.
pub(super) const KNOWN: u32 = (1 << 31) - 1;
/// Entries for each line.
const EACH: usize = 8;
/// The counts of one line are halved after every 80 requests. In a cache with room for n entries all
/// lines are halved once in 10 n requests.
const FADE: u32 = 80;
/// Parts of a ghost in which the average number of ghosts a line is kept.
const PART: u32 = 1 << 16;
/// The least that the average is taken for, a twentieth of a ghost, so that ratios stay bounded.
const LEAST: u32 = PART / 20;
/// The averages are of about the last 64 lines.
const FOLLOW: i64 = 64;
/// The most that one ghost counts for.
const MOST_STEP: u64 = 64 * STEP;

#[derive(Debug)]
pub(super) struct History {
    lines: Vec<Line>,
    /// Requests counted since a line was last halved.
    counted: u32,
    /// The line that is halved next.
    turn: usize,
    /// The average number of ghosts a line, by their queue, in units of [`PART`].
    small: u32,
    main: u32,
}

/// A key that was evicted.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ghost {
    pub(super) part: Part,
    /// When the key had come to the place that it was evicted from.
    pub(super) time: Time,
}

/// A word of zero is no ghost.
const VALID: u64 = 1 << 63;
const MAIN: u64 = 1 << 62;
const TIME: u32 = 31;

impl Ghost {
    fn to_word(self, hash: u32) -> u64 {
        let main = if self.part == Part::Main { MAIN } else { 0 };
        VALID | main | u64::from(self.time.number()) << TIME | u64::from(hash)
    }

    fn of_word(word: u64) -> Self {
        let part = if word & MAIN != 0 { Part::Main } else { Part::Small };
        Self { part, time: Time::new(word >> TIME) }
    }
}

impl History {
    pub(super) fn new(room: usize) -> Self {
        let lines = vec![Line::default(); room.div_ceil(EACH)];
        Self { lines, counted: 0, turn: 0, small: 0, main: 0 }
    }

    fn line(&self, hash: u32) -> usize {
        // Splitmix64's multiplier: the bits that lead to a line are not those of a map's bucket.
        let mixed = u64::from(hash).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
        ((mixed * self.lines.len() as u64) >> 32) as usize
    }

    /// Counts a request for a key. At times, halves the counts of a line.
    pub(super) fn count(&mut self, hash: u32) {
        let line = self.line(hash);
        self.lines[line].count(hash);
        self.counted += 1;
        if self.counted == FADE {
            self.counted = 0;
            self.fade();
        }
    }

    /// Halves the counts of a line, and takes it as a sample of how many ghosts there are.
    fn fade(&mut self) {
        let line = &mut self.lines[self.turn];
        line.fade();
        let (small, main) = line.ghosts();
        self.turn = (self.turn + 1) % self.lines.len();
        let follow = |average: u32, sample: u32| {
            let difference = i64::from(sample * PART) - i64::from(average);
            (i64::from(average) + difference / FOLLOW) as u32
        };
        self.small = follow(self.small, small);
        self.main = follow(self.main, main);
    }

    /// Returns how often a key was asked for lately, 15 times at most.
    pub(super) fn estimate(&self, hash: u32) -> u8 {
        self.lines[self.line(hash)].estimate(hash)
    }

    /// Takes out the ghost of a key.
    pub(super) fn recall(&mut self, hash: u32) -> Option<Ghost> {
        let line = self.line(hash);
        self.lines[line].recall(hash)
    }

    /// Keeps the ghost of a key, and forgets the oldest of its line if there is no room.
    pub(super) fn remember(&mut self, hash: u32, ghost: Ghost, now: Time) {
        let line = self.line(hash);
        self.lines[line].remember(hash, ghost, now);
    }

    /// Returns by how many entries a queue should grow for the return of one of its ghosts, in
    /// units of [`STEP`]: by one, or by as many as there are ghosts of the other queue for it.
    pub(super) fn step(&self, part: Part) -> u64 {
        let (small, main) = (u64::from(self.small.max(LEAST)), u64::from(self.main.max(LEAST)));
        let ratio = match part {
            Part::Small => main * STEP / small,
            Part::Main => small * STEP / main,
        };
        ratio.clamp(STEP, MOST_STEP)
    }
}

#[derive(Clone, Debug, Default)]
struct Line {
    ghosts: [u64; 4],
    counts: [u64; 4],
}

/// A counter: the word that it is in, and its lowest bit there.
type Place = (usize, u32);

/// Returns the two counters of a key, which may be the same.
fn places(hash: u32) -> [Place; 2] {
    let mixed = u64::from(hash).wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 52;
    [mixed & 63, mixed >> 6].map(|place| (place as usize / 16, place as u32 % 16 * 4))
}

impl Line {
    fn at(&self, (word, shift): Place) -> u8 {
        (self.counts[word] >> shift) as u8 & 15
    }

    fn estimate(&self, hash: u32) -> u8 {
        let [first, second] = places(hash);
        self.at(first).min(self.at(second))
    }

    /// Adds one to the lower of the two counters, or to both if they are equal.
    fn count(&mut self, hash: u32) {
        let least = self.estimate(hash);
        if least == 15 {
            return;
        }
        for place in places(hash) {
            if self.at(place) == least {
                self.counts[place.0] += 1 << place.1;
            }
        }
    }

    fn fade(&mut self) {
        for word in &mut self.counts {
            *word = *word >> 1 & 0x7777_7777_7777_7777;
        }
    }

    /// Returns how many ghosts there are of the small and of the main queue.
    fn ghosts(&self) -> (u32, u32) {
        let main = self.ghosts.iter().filter(|&word| word & MAIN != 0).count();
        let all = self.ghosts.iter().filter(|&word| word & VALID != 0).count();
        ((all - main) as u32, main as u32)
    }

    fn recall(&mut self, hash: u32) -> Option<Ghost> {
        let is_it = |word: &&mut u64| **word & VALID != 0 && **word as u32 & KNOWN == hash;
        let word = self.ghosts.iter_mut().find(is_it)?;
        Some(Ghost::of_word(std::mem::take(word)))
    }

    fn remember(&mut self, hash: u32, ghost: Ghost, now: Time) {
        let age = |word: &&mut u64| match **word {
            word if word & VALID == 0 => u32::MAX,
            word => now.since(Ghost::of_word(word).time),
        };
        if let Some(word) = self.ghosts.iter_mut().max_by_key(age) {
            *word = ghost.to_word(hash);
        }
    }
}
