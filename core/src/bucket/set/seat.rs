//! Operations on a bucket at its seat.

use super::words::State;
use super::{Change, LINE, LINES, Line, Set};
use crate::bucket::place::Place;
use crate::bucket::seat::{Found, Seat};
use crate::sync::Ordering;

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

impl Found {
    #[inline(always)]
    const fn state(&self) -> State {
        State::from_word(self.word)
    }

    /// The bucket's time.
    #[inline(always)]
    pub(in crate::bucket) const fn time(&self) -> u64 {
        self.state().time()
    }
}

impl Set {
    /// Finds the key's live bucket, without the control word. `None` is a hint only: see
    /// [`Set::insert`]. The time is one to charge by [`charge`](Self::charge), and one to answer by
    /// if [`is_unchanged`](Self::is_unchanged) says so.
    #[inline(always)]
    pub(in crate::bucket) fn find_live(&self, place: Place) -> Option<Found> {
        let first = place.line();
        [first, (first + 1) % LINES].into_iter().find_map(|at| {
            let line = &self.lines[at];
            // Not only the first of them: a slot that is vacant keeps its fingerprint.
            (0..LINE)
                // Relaxed: a hint, verified under the state.
                .filter(|&index| {
                    line.fingerprints[index].load(Ordering::Relaxed) == place.fingerprint
                })
                .find_map(|index| {
                    let state = line.live(index, place.fingerprint)?;
                    Some(Found { slot: (at * LINE + index) as u8, word: state.word() })
                })
        })
    }

    /// Whether a bucket is still as it was found.
    #[inline(always)]
    pub(in crate::bucket) fn is_unchanged(&self, found: &Found) -> bool {
        // Relaxed: ordered by the Acquire load of the fingerprint in `live`.
        self.state(found.slot.into()).load(Ordering::Relaxed) == found.state()
    }

    /// Replaces the time of a bucket by `time`, if it is still as it was found. Returns its seat.
    #[inline(always)]
    pub(in crate::bucket) fn charge(&self, found: &Found, time: u64) -> Option<Seat> {
        let (slot, state) = (found.slot.into(), found.state());
        // Relaxed: as in `Line::update`, of which this is the second half.
        self.state(slot).swap(state, state.live(time), Ordering::Relaxed).then(|| state.seat(slot))
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
