//! Which entry is evicted next.
//!
//! Each tier evicts by SIEVE (Zhang et al., NSDI 2024). A hand moves from the oldest entry to the
//! newest. An entry not read since its last turn is evicted; one that was read stays where it is
//! until every entry had its turn. Here an entry that stays is moved from one queue to the end of
//! another. When the first queue is used up, the two change places.

use super::queue::{After, Queue};
use crate::reclaim::{Guard, Limbo, OutOfMemory};
use crate::sync::{AtomicUsize, Ordering};

/// The handle of an entry: most of its key's hash, and a number that distinguishes it from other
/// entries of the key. It keeps nothing alive: only looking for the entry shows whether it still
/// exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Handle(u64);

/// The bits of the hash.
const HASH: u32 = 40;
const STAMP: u32 = 23;
/// Set so that no handle is a small number.
const HANDLE: u64 = 1 << 63;

impl Handle {
    /// The bits of the hash that a handle knows.
    pub(super) const KNOWN: usize = ((1_u64 << HASH) - 1) as usize;

    pub(super) fn new(hash: usize, stamp: u32) -> Self {
        let stamp = u64::from(stamp) & ((1 << STAMP) - 1);
        Self(HANDLE | stamp << HASH | (hash & Self::KNOWN) as u64)
    }

    pub(super) fn hash(self) -> usize {
        self.0 as usize & Self::KNOWN
    }

    pub(super) fn stamp(self) -> u32 {
        ((self.0 & !HANDLE) >> HASH) as u32
    }
}

/// The handles whose turn comes after one that was taken.
pub(super) struct Upcoming<'g>(After<'g>);

impl Upcoming<'_> {
    /// Returns the handle `later` turns later, if it is known.
    pub(super) fn get(&self, later: usize) -> Option<Handle> {
        self.0.get(later).map(Handle)
    }
}

/// The handles of one tier.
pub(super) struct Order {
    queues: [Queue; 2],
    /// The lowest bit says which queue the hand moves through. The other has the entries that stay.
    round: AtomicUsize,
}

impl Order {
    pub(super) fn new() -> Self {
        Self { queues: [Queue::new(), Queue::new()], round: AtomicUsize::new(0) }
    }

    /// Returns how many handles there are, or somewhat more.
    pub(super) fn len(&self, guard: &Guard) -> usize {
        self.queues.iter().map(|queue| queue.len(guard)).sum()
    }

    /// Returns a number that differs whenever a handle was added in between.
    pub(super) fn stamp(&self, guard: &Guard) -> u32 {
        let pushed = self.queues.iter().map(|queue| queue.pushed(guard));
        pushed.fold(0, usize::wrapping_add) as u32 & ((1 << STAMP) - 1)
    }

    /// Adds the newest handle, of an entry that can be found from now on. Returns how many were
    /// added before, or nearly so.
    pub(super) fn add(&self, handle: Handle, guard: &Guard) -> Result<usize, OutOfMemory> {
        // Relaxed, here and below: in which queue a handle is matters to the order only.
        self.queues[self.round.load(Ordering::Relaxed) % 2].push(handle.0, guard)
    }

    /// Takes the handle whose turn it is, and returns the ones that come next with it. Returns
    /// `None` also if the domain takes no more garbage.
    pub(super) fn next<'g>(
        &'g self,
        limbo: &Limbo,
        guard: &'g Guard,
    ) -> Option<(Handle, Upcoming<'g>)> {
        for _ in 0..2 {
            // Relaxed: in which queue a handle is matters to the order only.
            let round = self.round.load(Ordering::Relaxed);
            if let Some((number, after)) = self.queues[round % 2].pop(limbo, guard) {
                return Some((Handle(number), Upcoming(after)));
            }
            let (next, relaxed) = (round.wrapping_add(1), Ordering::Relaxed);
            _ = self.round.compare_exchange(round, next, relaxed, relaxed);
        }
        None
    }

    /// Puts back a handle whose turn it was, until every handle had its turn.
    pub(super) fn keep(&self, handle: Handle, guard: &Guard) -> Result<usize, OutOfMemory> {
        // Relaxed, with no partner: in which queue a handle is matters to the order only.
        self.queues[(self.round.load(Ordering::Relaxed) + 1) % 2].push(handle.0, guard)
    }
}
