//! Operations on a bucket at its seat.

use super::words::State;
use super::{Change, LINE, Line, Set};
use crate::bucket::place::Place;
use crate::bucket::seat::Seat;
use crate::sync::{Ordering, matching};

impl State {
    /// The seat of the bucket whose state this is.
    #[inline(always)]
    pub(super) const fn seat(self, slot: usize) -> Seat {
        Seat { slot: slot as u8, version: self.version() }
    }
}

impl Seat {
    /// The seat in the set of what is a seat in the line.
    #[inline(always)]
    pub(super) const fn in_line(self, line: usize) -> Self {
        Self { slot: self.slot + (line * LINE) as u8, ..self }
    }
}

/// A key's live bucket, as it was found.
#[derive(Clone, Copy, Debug)]
pub(in crate::bucket) struct Found<'a> {
    line: &'a Line,
    /// Of the line, and of the slot in it.
    at: u8,
    index: u8,
    state: State,
}

impl Found<'_> {
    /// The bucket's time.
    #[inline(always)]
    pub(in crate::bucket) const fn time(&self) -> u64 {
        self.state.time()
    }

    /// The bucket's seat.
    #[inline(always)]
    pub(in crate::bucket) fn seat(&self) -> Seat {
        self.state.seat(usize::from(self.index)).in_line(usize::from(self.at))
    }

    /// Replaces the bucket's time by `time`, if the bucket is still as it was found.
    #[inline(always)]
    pub(in crate::bucket) fn charge(&self, time: u64) -> bool {
        // Relaxed: as in `Line::update`, of which this is the second half.
        self.line.states[usize::from(self.index)].swap(
            self.state,
            self.state.at(time),
            Ordering::Relaxed,
        )
    }
}

impl Set {
    /// Finds the key's live bucket, if that is in the first slot of its line which bears its
    /// fingerprint: where nearly all are found. `None` is a hint only. What is found is one key's
    /// fingerprint and, maybe, another's time, until [`Found::charge`] has verified it.
    #[inline(always)]
    pub(in crate::bucket) fn find_first(&self, place: Place) -> Option<Found<'_>> {
        let line = self.line(place);
        let index = matching(&line.fingerprints, place.fingerprint)?;
        let state = line.live(index, place.fingerprint)?;
        Some(Found { line, at: place.line() as u8, index: index as u8, state })
    }

    /// Applies `f` to the time of the bucket at `seat`. `None` if that tenure is over.
    pub(in crate::bucket) fn revise(
        &self,
        seat: Seat,
        fingerprint: u32,
        f: impl Fn(u64) -> Option<u64>,
    ) -> Option<Change> {
        let slot = usize::from(seat.slot);
        loop {
            let state = self.lines[slot / LINE].live(slot % LINE, fingerprint)?;
            if state.version() != seat.version {
                return None;
            }
            let (before, after) = (state.time(), f(state.time()));
            let Some(time) = after else {
                return Some(Change { before, after, seat });
            };
            // Relaxed: as in `Line::update`.
            if self.state(slot).swap(state, state.live(time), Ordering::Relaxed) {
                return Some(Change { before, after, seat });
            }
        }
    }
}

impl Line {
    /// The state of a slot, if that is live and the key's.
    #[inline(always)]
    fn live(&self, index: usize, fingerprint: u32) -> Option<State> {
        // Acquire: pairs with the exchange that made the slot live, as in `update`.
        let state = self.states[index].load(Ordering::Acquire);
        // Acquire: pairs with the claimer's store, as in `update`.
        let is_keys = || self.fingerprints[index].load(Ordering::Acquire) == fingerprint;
        (state.is_live() && is_keys()).then_some(state)
    }
}
