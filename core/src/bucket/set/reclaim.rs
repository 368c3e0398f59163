//! Giving up buckets that equal fresh ones: close, unpublish, vacate.

use core::ops::Range;

use super::words::Phase;
use super::{SLOTS, Set, State, StateWord};
use crate::sync::Ordering;

/// Which buckets equal fresh ones.
pub(in crate::bucket) struct Drained<F> {
    /// Their debt was paid by this time.
    pub(in crate::bucket) by: u64,
    /// And a fresh one with this fingerprint would not owe anything. `None`: it never does.
    pub(in crate::bucket) owes: Option<F>,
}

/// What a visit to a set did.
#[derive(Clone, Copy, Debug)]
pub(in crate::bucket) struct Reclaimed {
    /// Buckets closed.
    pub(in crate::bucket) removed: u32,
    /// Whether a slot came free, or the set changed under the visit.
    pub(super) changed: bool,
    /// The smallest time of a bucket that stays; the largest possible if there is none.
    pub(super) earliest: u64,
}

impl Set {
    /// Returns whether a visit to all slots, for what was paid for by `by`, would find nothing to do.
    /// It is a hint, by which a sweep passes over most sets.
    #[inline]
    pub(in crate::bucket) fn is_quiet(&self, by: u64) -> bool {
        // Relaxed: a hint. A slot that is missed, because the load returns an older word, is left to
        // the next pass; one that is not missed is loaded again.
        let due = |state: &StateWord| state.load(Ordering::Relaxed).is_due(by);
        !self.lines.iter().flat_map(|line| &line.states).any(due)
    }

    /// Visits `slots`: gives up each bucket that is `drained`, and finishes what others left half
    /// done. One pass and one exchange a word; what fails is left to the next.
    pub(in crate::bucket) fn reclaim(
        &self,
        slots: Range<usize>,
        drained: &Drained<impl Fn(u32) -> bool>,
    ) -> Reclaimed {
        let mut done = Reclaimed { removed: 0, changed: false, earliest: u64::MAX };
        // Acquire: the value that the unpublishing exchange below expects. Every state is read
        // after it, so none is of a tenure before those it shows; and as long as it does not change,
        // those are the tenures of the slots found closed.
        let control = self.control().load(Ordering::Acquire);
        let (mut shown, mut hidden) = (0, 0);
        let mut closed = [State::default(); SLOTS];
        for slot in slots {
            // Acquire: pairs with the publication of the tenure (through the first charge, or who
            // closed the claim), for the control words read after it below. (Without it an insertion
            // may look again and again, and the search of a model gives up: it is beyond loom.)
            let state = self.state(slot).load(Ordering::Acquire);
            closed[slot] = state.closed();
            match state.phase() {
                Phase::Closed if control.shows(slot) => shown |= 1 << slot,
                Phase::Closed => hidden |= 1 << slot,
                Phase::Vacant => done.changed = true,
                Phase::Live
                    if state.time() <= drained.by
                        && control.shows(slot)
                        && !self.fresh_owes(slot, drained) =>
                {
                    // The one point at which the bucket ends: a charge that came first made this
                    // fail, one that comes later fails. Relaxed: it publishes nothing, and hands on
                    // what the first charge released.
                    if self.state(slot).swap(state, state.closed(), Ordering::Relaxed) {
                        done.removed += 1;
                        shown |= 1 << slot;
                    } else {
                        done.changed = true;
                    }
                }
                // Published and never charged: its thread is gone, or not as fast as the grace.
                Phase::Claimed
                    if state.time() < drained.by && control.shows(slot) && self.shows_now(slot) =>
                {
                    // As above, against the first charge. Release: whoever sees it closed sees that
                    // it was published, as we did.
                    if self.state(slot).swap(state, state.closed(), Ordering::Release) {
                        shown |= 1 << slot;
                    } else {
                        done.changed = true;
                    }
                }
                Phase::Live | Phase::Claimed => {
                    done.earliest = done.earliest.min(state.time());
                }
            }
        }
        if shown != 0 {
            done.changed = true;
            // Release: whoever does not see the bit any more, and looks at the slot all the same, sees
            // it closed.
            if self.control().swap(control, control.without(shown), Ordering::Release) {
                self.vacate(shown, &closed);
            }
        }
        if hidden != 0 {
            done.changed = true;
            // Not from before the publication, by the Acquire load of the state: a bit clear in it was
            // cleared, and whoever did so has not come to vacating the slot.
            // Acquire, beyond loom: pairs with the exchange that unpublished. Without it plain C11
            // permits a cycle of two Relaxed reads, through a claim that follows our vacating, in
            // which a scan reads a fingerprint of the future.
            let control = self.control().load(Ordering::Acquire);
            self.vacate(hidden & !control.visible(), &closed);
        }
        done
    }

    /// Gives back the slots that were claimed and never published: those of threads that ended in
    /// between. Returns how many there were. That no thread is between the two is what `&mut` says.
    pub(super) fn give_back_claims(&mut self) -> usize {
        // Relaxed, all: nobody else is here.
        let control = self.control().load(Ordering::Relaxed);
        let claimed = |&slot: &usize| {
            let phase = self.state(slot).load(Ordering::Relaxed).phase();
            phase == Phase::Claimed && !control.shows(slot)
        };
        let slots = (0..SLOTS).filter(claimed);
        slots.map(|slot| self.vacate_claim(slot)).count()
    }

    fn vacate_claim(&self, slot: usize) {
        let state = self.state(slot).load(Ordering::Relaxed);
        self.state(slot).store(state.vacant(), Ordering::Relaxed);
    }

    /// Whether a fresh bucket of the key in the slot would owe, so that the one there is no such.
    fn fresh_owes(&self, slot: usize, drained: &Drained<impl Fn(u32) -> bool>) -> bool {
        let Some(owes) = &drained.owes else {
            return false;
        };
        // Acquire, beyond loom: as before a charge, so that if this is a later tenure's, the exchange
        // that closes fails.
        owes(self.fingerprint(slot).load(Ordering::Acquire))
    }

    /// Whether a slot that was just found claimed is published.
    fn shows_now(&self, slot: usize) -> bool {
        // Relaxed: not from the tenure before, by the Acquire load of the state.
        self.control().load(Ordering::Relaxed).shows(slot)
    }

    /// Makes closed and unpublished slots claimable.
    fn vacate(&self, slots: u32, closed: &[State]) {
        for (slot, &state) in closed.iter().enumerate().filter(|(slot, _)| slots >> slot & 1 != 0) {
            // Release: the next claimer comes after the unpublishing. If it fails, somebody else
            // has vacated the slot.
            self.state(slot).swap(state, state.vacant(), Ordering::Release);
        }
    }
}
