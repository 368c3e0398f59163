//! How many keys differ from new ones at once.
//!
//! # Algorithm
//!
//! A key is live from the request that was charged to a fresh bucket until its buckets are fresh
//! again. It is counted at every stamp in between: at a stamp, a key counts whose buckets are not
//! fresh at the stamp, or are charged in its tick. Among all keys at once the peak is the highest
//! sum, in the order of the times, of those that begin less those that have ended. So a bit of each
//! request says whether a key begins with it, and a small number, how many have ended by it: a byte
//! a request, and no queue.

use std::collections::HashMap;

use super::super::traffic::Traffic;
use super::first_at::FirstAt;

/// The bit of a request with which a key becomes live.
const BEGINS: u8 = 1 << 7;
/// More than this many ends are counted aside.
const MOST_ENDS: u8 = BEGINS - 1;

/// Counts keys that are live.
#[derive(Debug)]
pub(super) struct Live<'a> {
    traffic: &'a Traffic,
    first_at: &'a FirstAt,
    /// `{ begins: 1, ends: 7 }` of each request.
    changes: Vec<u8>,
    /// Further ends at a request.
    aside: HashMap<u32, u64>,
}

impl<'a> Live<'a> {
    pub(super) fn new(traffic: &'a Traffic, first_at: &'a FirstAt) -> Self {
        let changes = vec![0; traffic.requests.len()];
        Self { traffic, first_at, changes, aside: HashMap::new() }
    }

    /// Notes that a key becomes live with the request at `place`.
    #[inline]
    pub(super) fn begin(&mut self, place: u32) {
        self.changes[place as usize] |= BEGINS;
    }

    /// Notes that a key is fresh again, at a time in nanoseconds since the earliest request.
    pub(super) fn end(&mut self, nanos: u64) {
        if let Some(place) = self.first_at.find(self.traffic, nanos) {
            let changes = &mut self.changes[place as usize];
            if *changes & MOST_ENDS == MOST_ENDS {
                *changes &= BEGINS;
                *self.aside.entry(place).or_default() += u64::from(MOST_ENDS);
            }
            *changes += 1;
        }
    }

    /// Returns the most keys that were live at once.
    pub(super) fn peak(&self) -> u64 {
        let (mut live, mut peak) = (0_u64, 0);
        for (place, &changes) in (0..).zip(&self.changes) {
            // Ends come first: of requests of one time it is the first that has them.
            live -= u64::from(changes & MOST_ENDS);
            if !self.aside.is_empty() {
                live -= self.aside.get(&place).copied().unwrap_or(0);
            }
            live += u64::from(changes >> 7);
            peak = peak.max(live);
        }
        peak
    }
}
