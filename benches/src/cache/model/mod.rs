//! The order of eviction as a sequential model: what the lock-free cache is held to.
//!
//! | file | holds |
//! |---|---|
//! | `queues` | the small and the main queue, the nominee, and the clock of ages |
//! | `history` | ghosts of evicted keys and counts of requests, 64 bytes for eight entries |
//! | `share` | which part of the entries the small queue should have |
//! | `rules` | what happens on a miss, step by step |
//!
//! It uses only what a lock-free cache can do: a queue is pushed at its end and popped at its front,
//! a hit changes nothing but the entry's own mark, and a miss does bounded work.

mod history;
mod queues;
mod rules;
mod share;

use std::collections::HashMap;
use std::hash::BuildHasher;

use tidegate::SeededState;

use self::history::History;
use self::queues::Queues;
use self::share::Share;

/// The hits that an entry remembers at most: one of its mark's bits for each.
const MOST_READ: u8 = 3;

/// A cache of one tier that holds keys only.
#[derive(Debug)]
pub struct Model {
    room: usize,
    hasher: SeededState,
    entries: HashMap<u64, Entry, SeededState>,
    queues: Queues,
    history: History,
    share: Share,
}

#[derive(Debug)]
struct Entry {
    /// How often the entry was read since it was last moved, up to [`MOST_READ`].
    mark: u8,
}

impl Model {
    /// Creates a model with room for `room` entries, which places keys by `hasher`.
    ///
    /// # Panics
    ///
    /// If `room` is 0.
    pub fn new(room: usize, hasher: SeededState) -> Self {
        assert!(room > 0, "a model without room");
        Self {
            room,
            entries: HashMap::with_capacity_and_hasher(room + 1, hasher.clone()),
            hasher,
            queues: Queues::new(room),
            history: History::new(room),
            share: Share::new(room),
        }
    }

    /// Returns whether `key` is there, and inserts it if it is not.
    ///
    /// ```
    /// use tidegate::SeededState;
    /// use tidegate_benches::cache::model::Model;
    ///
    /// let mut model = Model::new(100, SeededState::new(1));
    /// assert!(!model.access(7));
    /// assert!(model.access(7));
    /// ```
    pub fn access(&mut self, key: u64) -> bool {
        if let Some(entry) = self.entries.get_mut(&key) {
            entry.mark = MOST_READ.min(entry.mark + 1);
            return true;
        }
        self.admit(key);
        false
    }

    /// Returns how many entries there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Returns whether there are no entries.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The bits of the key's hash that a handle has room for.
    fn hash(&self, key: u64) -> u32 {
        self.hasher.hash_one(key) as u32 & history::KNOWN
    }
}
