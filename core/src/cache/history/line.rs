//! One line: what is remembered of the keys whose hashes lead here.
//!
//! | words | |
//! |---|---|
//! | ghosts | each a key that was evicted: its hash, from which queue, and when it had come there |
//! | counters | each 16 counters of four bits; a key has two of the 64 |

use super::super::handle::{Handle, Time};
use super::super::order::Part;
use crate::sync::Loose64;

const GHOSTS: usize = 4;
const WORDS: usize = 4;

/// A key that was evicted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) struct Ghost {
    /// The queue that it was evicted from.
    pub(in super::super) part: Part,
    /// When it had come there.
    pub(in super::super) time: Time,
}

/// A word of zero is no ghost.
const VALID: u64 = 1 << 63;
const MAIN: u64 = 1 << 62;
const TIME: u32 = 31;

impl Ghost {
    fn to_word(self, hash: usize) -> u64 {
        let main = if self.part == Part::Main { MAIN } else { 0 };
        VALID | main | u64::from(self.time.number()) << TIME | (hash & Handle::KNOWN) as u64
    }

    fn of_word(word: u64) -> Self {
        let part = if word & MAIN == 0 { Part::Small } else { Part::Main };
        Self { part, time: Time::new(word >> TIME) }
    }
}

/// A line of zeros is one of which nothing is remembered.
#[repr(C, align(64))]
pub(super) struct Line {
    ghosts: [Loose64; GHOSTS],
    counters: [Loose64; WORDS],
}

/// Mixes the bits of a hash that a handle knows into a number of 32 bits (the multiplier is that
/// of splitmix64).
pub(super) fn mix(hash: usize) -> u32 {
    ((hash & Handle::KNOWN) as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_right(32) as u32
}

impl Line {
    pub(super) fn recall(&self, hash: usize) -> Option<Ghost> {
        let known = (hash & Handle::KNOWN) as u64;
        self.ghosts.iter().find_map(|slot| {
            let word = slot.get();
            let is_it = word & VALID != 0 && word & Handle::KNOWN as u64 == known;
            // Taken by one thread only, so that it counts once.
            (is_it && slot.take(word)).then(|| Ghost::of_word(word))
        })
    }

    pub(super) fn remember(&self, hash: usize, ghost: Ghost, now: Time) {
        let known = (hash & Handle::KNOWN) as u64;
        // The key's own place, or else an empty one, or else the oldest.
        let mut best = (0, &self.ghosts[0]);
        for slot in &self.ghosts {
            let word = slot.get();
            let rank = match word {
                word if word & VALID == 0 => u32::MAX - 1,
                word if word & Handle::KNOWN as u64 == known => u32::MAX,
                word => now.since(Ghost::of_word(word).time),
            };
            if rank >= best.0 {
                best = (rank, slot);
            }
        }
        best.1.set(ghost.to_word(hash));
    }

    /// Returns a key's two counters: the word, and how far it is shifted there.
    fn counters(&self, hash: usize) -> [(&Loose64, u32); 2] {
        // Mixed otherwise than for the line, whose keys are alike in that.
        let mixed = ((hash & Handle::KNOWN) as u64).wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 52;
        let mixed = mixed as u32;
        [mixed >> 6, mixed & 63].map(|at| (&self.counters[at as usize / 16], at % 16 * 4))
    }

    pub(super) fn count(&self, hash: usize) {
        let counters = self.counters(hash);
        let least = self.estimate(hash);
        for (word, shift) in counters {
            // Loaded anew, since both may be in one word, or be the same. What another thread counts
            // meanwhile may be lost.
            let found = word.get();
            if least < 15 && count(found, shift) == least {
                word.set(found + (1 << shift));
            }
        }
    }

    pub(super) fn estimate(&self, hash: usize) -> u8 {
        let counts = self.counters(hash);
        let [one, other] = counts.map(|(word, shift)| count(word.get(), shift));
        one.min(other)
    }

    pub(super) fn fade(&self) {
        for word in &self.counters {
            word.set(word.get() >> 1 & 0x7777_7777_7777_7777);
        }
    }

    /// Returns how many ghosts there are of the small and of the main queue.
    pub(super) fn ghosts(&self) -> [u32; 2] {
        let mut found = [0; 2];
        for slot in &self.ghosts {
            let word = slot.get();
            if word & VALID != 0 {
                found[usize::from(word & MAIN != 0)] += 1;
            }
        }
        found
    }
}

/// Returns one counter of a word.
fn count(word: u64, shift: u32) -> u8 {
    (word >> shift & 15) as u8
}
