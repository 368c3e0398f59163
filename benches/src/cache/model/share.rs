//! Which part of the entries the small queue should have.
//!
//! A key that comes back soon after it was evicted shows that its queue was too short. The share
//! moves by one entry for it, or by more if the other queue has more ghosts, as ARC's does
//! (Megiddo and Modha, FAST 2003).

use super::queues::Part;

/// Shares are in parts of this many.
const WHOLE: u64 = 1 << 30;
const FIRST: u64 = WHOLE / 10;
const LEAST: u64 = WHOLE / 100;
const MOST: u64 = WHOLE - LEAST;

/// Steps are in parts of this many of an entry.
pub(super) const STEP: u64 = 1 << 8;

#[derive(Debug)]
pub(super) struct Share {
    room: u64,
    share: u64,
}

impl Share {
    pub(super) fn new(room: usize) -> Self {
        Self { room: room as u64, share: FIRST }
    }

    /// Returns how many entries the small queue should have: one at least.
    pub(super) fn entries(&self) -> usize {
        ((u128::from(self.room) * u128::from(self.share)) >> 30).max(1) as usize
    }

    /// Makes the share of `part` larger, by a number of entries in units of [`STEP`].
    pub(super) fn enlarge(&mut self, part: Part, by: u64) {
        let by = by * (WHOLE / STEP) / self.room;
        self.share = match part {
            Part::Small => (self.share + by).min(MOST),
            Part::Main => self.share.saturating_sub(by).max(LEAST),
        };
    }
}
