//! Operations on a key that may not be there: claim in private, publish by one exchange.

use super::reclaim::Drained;
use super::words::Phase;
use super::{Change, Control, LINE, SLOTS, Set, State};
use crate::bucket::fresh::Fresh;
use crate::bucket::place::Place;
use crate::sync::Ordering;

/// What came of an insertion.
#[derive(Clone, Copy, Debug)]
pub(in crate::bucket) enum Inserted {
    /// The bucket was there, or is now.
    Done(Change),
    /// There is none, and a fresh one would have been left as it was: nothing was stored.
    Refused,
    /// Every slot is taken by a bucket in debt; the first will be clear of it at `earliest`.
    Full { earliest: u64 },
}

/// A slot that is ours and invisible.
#[derive(Clone, Copy)]
struct Claim {
    slot: usize,
    /// What the slot held before.
    vacant: State,
    state: State,
}

impl Set {
    /// Applies `f` to the key's bucket, and to the time of a `fresh` one if it has none, which is
    /// then stored. Takes slots that `reclaim` would give up. `removed` counts them.
    #[cold]
    #[inline(never)]
    pub(in crate::bucket) fn insert(
        &self,
        place: Place,
        now: u64,
        fresh: Fresh<'_>,
        f: impl Fn(u64) -> Option<u64>,
        drained: &Drained<impl Fn(u32) -> bool>,
        removed: &mut u32,
    ) -> Inserted {
        let mut claim = None;
        loop {
            // Acquire: pairs with the exchanges that publish. The fingerprint of every slot this
            // value shows can be read.
            let control = self.control().load(Ordering::Acquire);
            if let Some(change) = self.find(control, place.fingerprint, fresh, &f) {
                self.release(claim);
                return Inserted::Done(change);
            }
            if f(fresh.guess()).is_none() && !fresh.must_begin() {
                self.release(claim);
                return Inserted::Refused;
            }
            claim = claim.or_else(|| self.claim(control, place, now));
            let Some(Claim { slot, state, .. }) = claim else {
                let room = self.reclaim(0..SLOTS, drained);
                *removed += room.removed;
                // Relaxed: as new as every state seen live at the visit, by their Acquire loads.
                if room.changed || self.control().load(Ordering::Relaxed) != control {
                    continue;
                }
                return Inserted::Full { earliest: room.earliest };
            };
            // Release: publishes the fingerprint to whoever sees the bit.
            if self.control().swap(control, control.with(slot), Ordering::Release) {
                // Once more, now that the bucket can be found: what the key was charged without a
                // slot must come along.
                let before = fresh.settle();
                let after = f(before);
                // Release: whoever sees the slot live sees its fingerprint.
                let time = after.unwrap_or(before);
                if self.state(slot).swap(state, state.live(time), Ordering::Release) {
                    return Inserted::Done(Change { before, after, seat: state.seat(slot) });
                }
                // Somebody charged it first, or found us too slow and closed it.
                claim = None;
            }
        }
    }

    /// Applies `f` to the key's bucket among the slots that `control` shows.
    fn find(
        &self,
        control: Control,
        fingerprint: u32,
        fresh: Fresh<'_>,
        f: &impl Fn(u64) -> Option<u64>,
    ) -> Option<Change> {
        (0..SLOTS)
            .filter(|&slot| control.shows(slot))
            // Relaxed: ordered by the Acquire load of `control`.
            .filter(|&slot| self.fingerprint(slot).load(Ordering::Relaxed) == fingerprint)
            .find_map(|slot| self.update_visible(slot, fingerprint, fresh, f))
    }

    /// Claims a vacant slot for the key, in the line it prefers if there is one.
    fn claim(&self, control: Control, place: Place, now: u64) -> Option<Claim> {
        let first = place.line() * LINE;
        (first..SLOTS).chain(0..first).filter(|&slot| !control.shows(slot)).find_map(|slot| {
            // Relaxed: verified by the exchange.
            let vacant = self.state(slot).load(Ordering::Relaxed);
            if vacant.phase() != Phase::Vacant {
                return None;
            }
            let state = vacant.claimed(now);
            // Acquire: the tenure before ended with a Release; what follows comes after all of it.
            if !self.state(slot).swap(vacant, state, Ordering::Acquire) {
                return None;
            }
            // Release: whoever reads it knows of the claim.
            self.fingerprint(slot).store(place.fingerprint, Ordering::Release);
            Some(Claim { slot, vacant, state })
        })
    }

    /// Gives an unpublished claim back.
    fn release(&self, claim: Option<Claim>) {
        if let Some(Claim { slot, vacant, .. }) = claim {
            // As it was: a version counts tenures, and this was none.
            // Release: pairs with the next claimer's exchange. A store will do: nobody else writes
            // the state of an invisible claim.
            self.state(slot).store(vacant, Ordering::Release);
        }
    }
}

#[cfg(all(test, not(any(loom, shuttle))))]
mod tests {
    use super::*;
    use crate::SeededState;

    #[test]
    fn a_claim_whose_thread_has_ended_is_given_back() {
        let mut set = Set::new();
        for key in 0..SLOTS {
            let place = Place::of(&key, &SeededState::new(1));
            let control = set.control().load(Ordering::Acquire);
            assert!(set.claim(control, place, 5).is_some());
        }
        let place = Place::of(&"another", &SeededState::new(1));
        let control = set.control().load(Ordering::Acquire);
        assert!(set.claim(control, place, 5).is_none());
        assert_eq!(set.mend(), SLOTS);
        assert_eq!(set.mend(), 0);
        assert!(set.claim(control, place, 5).is_some());
    }
}
