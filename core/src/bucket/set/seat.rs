//! Operations on a bucket at its seat.

use super::words::State;
use super::{Change, LINE, LINES, Line, Set};
use crate::bucket::place::Place;
use crate::bucket::seat::{Found, Seat};
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
    /// Finds the key's live bucket, if that is in the first slot of its line which bears its
    /// fingerprint: where nearly all are found. `None` is a hint only.
    #[inline(always)]
    pub(in crate::bucket) fn find_first(&self, place: Place) -> Option<Found> {
        let at = place.line();
        let index = matching(&self.lines[at].fingerprints, place.fingerprint)?;
        self.find_at(at, index, place.fingerprint)
    }

    /// Finds the key's live bucket, wherever it stands. `None` is a hint only: see [`Set::insert`].
    pub(in crate::bucket) fn find_live(&self, place: Place) -> Option<Found> {
        let first = place.line();
        [first, (first + 1) % LINES].into_iter().find_map(|at| {
            // Not only the first of them: a slot that is vacant keeps its fingerprint.
            (0..LINE)
                // Relaxed: a hint, verified under the state.
                .filter(|&index| {
                    let fingerprint = self.lines[at].fingerprints[index].load(Ordering::Relaxed);
                    fingerprint == place.fingerprint
                })
                .find_map(|index| self.find_at(at, index, place.fingerprint))
        })
    }

    /// The bucket in a slot, if it is live and the key's: a state by which to answer, also where a charge
    /// would verify it, because another limit may deny the call.
    #[inline(always)]
    fn find_at(&self, at: usize, index: usize, fingerprint: u32) -> Option<Found> {
        let line = &self.lines[at];
        loop {
            let state = line.live(index, fingerprint)?;
            // Not one key's state and another's fingerprint.
            // Relaxed: ordered by the Acquire load of the fingerprint.
            if line.states[index].load(Ordering::Relaxed) == state {
                return Some(Found { line: at as u8, index: index as u8, word: state.word() });
            }
        }
    }

    /// Replaces the time of a bucket by `time`, if it is still as it was found. Returns its seat.
    #[inline(always)]
    pub(in crate::bucket) fn charge(&self, found: &Found, time: u64) -> Option<Seat> {
        let (line, index) = (usize::from(found.line), usize::from(found.index));
        let (word, state) = (self.lines.get(line)?.states.get(index)?, found.state());
        // Relaxed: as in `Line::update`, of which this is the second half.
        let charged = word.swap(state, state.live(time), Ordering::Relaxed);
        charged.then(|| state.seat(line * LINE + index))
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
