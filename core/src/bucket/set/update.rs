//! Operations on a bucket that is there.

use super::words::Phase;
use super::{Change, LINE, LINES, Line, Set};
use crate::bucket::fresh::Fresh;
use crate::bucket::place::Place;
use crate::sync::{Ordering, matching};

impl Set {
    /// Applies `f` to the time of the key's bucket, wherever it stands. `None` if no live one was
    /// found, which is a hint only: see [`Set::insert`].
    pub(in crate::bucket) fn update(
        &self,
        place: Place,
        f: impl Fn(u64) -> Option<u64>,
    ) -> Option<Change> {
        let first = place.line();
        [first, (first + 1) % LINES].into_iter().find_map(|at| {
            let line = &self.lines[at];
            let change = (0..LINE)
                // Relaxed: a hint, verified under the state.
                .filter(|&index| {
                    line.fingerprints[index].load(Ordering::Relaxed) == place.fingerprint
                })
                .find_map(|index| line.update(index, place.fingerprint, &f))?;
            Some(Change { seat: change.seat.in_line(at), ..change })
        })
    }

    /// Applies `f` as [`Line::hit`] does, to the line in which the key is looked for first.
    #[inline(always)]
    pub(in crate::bucket) fn hit(
        &self,
        place: Place,
        f: impl Fn(u64) -> Option<u64>,
    ) -> Option<Change> {
        let change = self.line(place).hit(place.fingerprint, f)?;
        Some(Change { seat: change.seat.in_line(place.line()), ..change })
    }

    /// Applies `f` to the bucket in `slot`, if that is the key's: to its time, or to that of a
    /// `fresh` one if it has been published but not charged yet.
    pub(super) fn update_visible(
        &self,
        slot: usize,
        fingerprint: u32,
        fresh: Fresh<'_>,
        f: &impl Fn(u64) -> Option<u64>,
    ) -> Option<Change> {
        loop {
            // Acquire: pairs with what made the slot vacant before this tenure, so that the control
            // word read next is not from the tenure before.
            let state = self.state(slot).load(Ordering::Acquire);
            match state.phase() {
                Phase::Live => {
                    let (line, index) = (slot / LINE, slot % LINE);
                    let change = self.lines[line].update(index, fingerprint, f)?;
                    return Some(Change { seat: change.seat.in_line(line), ..change });
                }
                Phase::Claimed => {
                    // Acquire: pairs with the publishing exchange. A bit seen here is this tenure's,
                    // and so is the fingerprint read *after* it; the one read before may be older.
                    if !self.control().load(Ordering::Acquire).shows(slot) {
                        return None;
                    }
                    // Relaxed: ordered by the Acquire above.
                    if self.fingerprint(slot).load(Ordering::Relaxed) != fingerprint {
                        return None;
                    }
                    let before = fresh.settle();
                    let Some(time) = f(before) else {
                        return Some(Change { before, after: None, seat: state.seat(slot) });
                    };
                    // Release: whoever sees the slot live, by us or by a later charge, sees its
                    // fingerprint, which the control word has shown to us.
                    if self.state(slot).swap(state, state.live(time), Ordering::Release) {
                        let seat = state.seat(slot);
                        return Some(Change { before, after: Some(time), seat });
                    }
                }
                Phase::Closed | Phase::Vacant => return None,
            }
        }
    }
}

impl Line {
    /// Applies `f` to the time of the key's bucket, if that is in the first slot of this line which
    /// bears its fingerprint: where nearly all are found. Otherwise `None`, which is a hint only.
    #[inline(always)]
    pub(in crate::bucket) fn hit(
        &self,
        fingerprint: u32,
        f: impl Fn(u64) -> Option<u64>,
    ) -> Option<Change> {
        // All at once, without a branch for each: a mispredicted one would expose the whole cache
        // miss and cost more than the compares. If none is seen it may be the last slot, in which
        // `update` does not find the key.
        self.update(matching(&self.fingerprints, fingerprint)?, fingerprint, &f)
    }

    /// Applies `f` to the bucket in a slot, if it is live and the key's. The seat of the change is that
    /// within the line.
    #[inline(always)]
    fn update(
        &self,
        index: usize,
        fingerprint: u32,
        f: impl Fn(u64) -> Option<u64>,
    ) -> Option<Change> {
        loop {
            // Acquire: pairs with the exchange that made the slot live. The fingerprint read next is
            // then of this tenure or a later one, never an earlier one.
            let state = self.states[index].load(Ordering::Acquire);
            if !state.is_live() {
                return None;
            }
            // Acquire: pairs with the claimer's store. If it is a later tenure's, all that follows
            // comes after that tenure's claim: neither the exchange nor the second look at the state
            // can still find the word that was read above.
            if self.fingerprints[index].load(Ordering::Acquire) != fingerprint {
                return None;
            }
            let before = state.time();
            match f(before) {
                Some(time) => {
                    // Relaxed: it publishes nothing, and hands on what the first charge released.
                    if self.states[index].swap(state, state.at(time), Ordering::Relaxed) {
                        let seat = state.seat(index);
                        return Some(Change { before, after: Some(time), seat });
                    }
                }
                None => {
                    // An answer that writes nothing must not mix one key's fingerprint with
                    // another's time.
                    // Relaxed: ordered by the Acquire load of the fingerprint.
                    if self.states[index].load(Ordering::Relaxed) == state {
                        return Some(Change { before, after: None, seat: state.seat(index) });
                    }
                }
            }
        }
    }
}
