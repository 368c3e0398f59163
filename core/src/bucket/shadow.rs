//! Limits in shadow mode: they decide and charge as others do, and deny nothing.
//!
//! To a call with several limits, a limit in shadow mode is a bucket of its own that always has room.
//! It asks the real bucket when it is its turn to be charged. So it never denies the others, and it is
//! counted only where the others have admitted the request.

#[cfg(target_has_atomic = "64")]
use super::all::Glance;
use super::all::{Bucket, Charged, Look, Steps, charge_of};
use super::decision::Decision;
use super::gcra::Charge;
use super::settle::Settled;
use super::verdict::{Outcome, Verdict};
use super::{Limit, MAX_LIMITS};
use crate::sync::{AtomicU64, Ordering};

/// The window of the bucket that a limit in shadow mode shows to a call: room for the call's limits, also
/// if each of them is this one.
const WINDOW: u64 = MAX_LIMITS as u64;
/// What that bucket is asked for.
const ALWAYS: Charge = Charge::new(WINDOW, 1, 0);
/// What a call foresees of that bucket. Only a cost of zero has this answer elsewhere.
const FORESEEN: Verdict = Verdict::admitted(0, 0);

/// Counts the denials that limits in shadow mode have withheld.
#[derive(Debug)]
pub struct Withheld(AtomicU64);

/// A limit that may be in shadow mode: then it decides, charges and counts, but admits every request.
///
/// A request that the limit would have denied is charged nothing there, and is counted. The decision
/// says so by [`Decision::is_shadowed`]. In a [`check_all`](super::check_all) the other limits decide
/// as if this one were not there; a request that one of them denies is charged nothing here, and is not
/// counted. Each limit is charged by itself, also where the call names one bucket twice. A
/// [reservation](super::reserve()) holds what was charged, which is nothing if the estimate would have
/// been denied; then it settles nothing.
///
/// ```
/// use tidegate_core::bucket::{ShadowLimit, Withheld, check_all};
/// use tidegate_core::{BucketTable, Instant, ManualClock, Quota, SeededState};
///
/// let quota = Quota::per_second(1)?;
/// let table = BucketTable::boxed(quota, 1_000, SeededState::new(1))?;
/// let (plan, clock, withheld) = (table.plan(quota)?, ManualClock::new(), Withheld::new());
///
/// let ask = || {
///     let limit = table.limit("alice", &plan, 1, Instant::ORIGIN, &clock);
///     check_all(&[ShadowLimit::new(limit, Some(&withheld))])
/// };
/// assert!(!ask().decisions()[0].is_shadowed());
/// let second = ask();
/// assert!(second.is_admitted() && second.decisions()[0].is_shadowed());
/// assert_eq!(withheld.count(), 1);
/// # Ok::<(), tidegate_core::QuotaError>(())
/// ```
#[derive(Debug)]
#[must_use = "a limit charges nothing by itself"]
pub struct ShadowLimit<'a, L> {
    limit: L,
    /// `None`: the limit is not in shadow mode.
    withheld: Option<&'a Withheld>,
}

impl Withheld {
    /// Creates a count of zero.
    pub fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    /// Returns how many denials were withheld.
    pub fn count(&self) -> u64 {
        // Relaxed, with no partner: a count that hands nothing over.
        self.0.load(Ordering::Relaxed)
    }

    /// Returns the answer of shadow mode to a check, and counts it if the check was denied.
    // Apart, so that a limiter outside shadow mode does not copy the decision, which is large.
    #[cold]
    #[inline(never)]
    pub fn answer(&self, decision: Decision) -> Decision {
        if !decision.is_admitted() {
            self.add();
        }
        decision.shadowed()
    }

    fn add(&self) {
        // Relaxed, with no partner: a count that hands nothing over.
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts one denial less: the request was denied after all.
    fn take_back(&self) {
        // Relaxed, with no partner: a count that hands nothing over.
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Default for Withheld {
    fn default() -> Self {
        Self::new()
    }
}

impl<'a, L: Limit> ShadowLimit<'a, L> {
    /// Puts `limit` into shadow mode if there is a count for its denials.
    #[inline(always)]
    pub fn new(limit: L, withheld: Option<&'a Withheld>) -> Self {
        Self { limit, withheld }
    }

    /// Charges the real bucket. Returns whether that denied the request.
    fn charge_really(&self, charged: &mut Charged) -> bool {
        match charge_of(&self.limit) {
            Some(charge) => self.limit.charge(&charge, charged),
            None => *charged = Charged::nothing(self.foresee()),
        }
        charged.verdict.outcome() != Outcome::Admitted
    }

    /// Returns what the real bucket would answer.
    fn foresee(&self) -> Verdict {
        let mut look = Look::NONE;
        self.limit.look(&mut look);
        Verdict::foreseen(self.limit.asked(), look.time)
    }
}

impl<L: Limit> Steps for ShadowLimit<'_, L> {
    #[inline(always)]
    fn asked(&self) -> Option<Charge> {
        match self.withheld {
            None => self.limit.asked(),
            Some(_) => Some(ALWAYS),
        }
    }

    fn window(&self) -> u64 {
        if self.withheld.is_some() { WINDOW } else { self.limit.window() }
    }

    // A limit in shadow mode has no bucket to glance at: the call then looks at all of its limits.
    #[cfg(target_has_atomic = "64")]
    #[inline(always)]
    fn glance(&self) -> Option<Glance<'_>> {
        if self.withheld.is_some() { None } else { self.limit.glance() }
    }

    #[inline(always)]
    fn charge_at_sight(&self) -> Option<Charged> {
        if self.withheld.is_some() { None } else { self.limit.charge_at_sight() }
    }

    #[inline(always)]
    fn look(&self, look: &mut Look) -> bool {
        if self.withheld.is_none() {
            return self.limit.look(look);
        }
        // The address of this limit: of a bucket that no other limit of the call has.
        let structure = core::ptr::from_ref(self).addr();
        *look = Look { bucket: Bucket { structure, key: 0 }, ..Look::NONE };
        true
    }

    #[inline(always)]
    fn charge(&self, charge: &Charge, charged: &mut Charged) {
        let Some(withheld) = self.withheld else {
            return self.limit.charge(charge, charged);
        };
        if self.charge_really(charged) {
            withheld.add();
            let (verdict, ready) = charged.verdict.withhold();
            *charged = Charged { before: ready, ..Charged::nothing(verdict) };
        }
    }

    #[cold]
    fn roll_back(&self, charge: &Charge, charged: &Charged) {
        match self.withheld {
            None => self.limit.roll_back(charge, charged),
            Some(withheld) if charged.verdict.is_shadowed() => withheld.take_back(),
            Some(_) => {
                if let Some(charge) = charge_of(&self.limit) {
                    self.limit.roll_back(&charge, charged);
                }
            }
        }
    }

    #[inline(always)]
    fn settle(&self, charged: &Charged, actual: u64) -> Settled {
        if charged.verdict.is_shadowed() {
            // Nothing was charged, so that nothing is even.
            return self.limit.settle(&Charged::NOTHING, 0);
        }
        self.limit.settle(charged, actual)
    }

    #[inline(always)]
    fn decision(&self, charged: &Charged, decision: &mut Decision) {
        let verdict = charged.verdict;
        if verdict.is_shadowed() {
            let verdict = verdict.reveal(charged.before);
            self.limit.decision(&Charged::nothing(verdict), decision);
        } else if self.withheld.is_some() && verdict == FORESEEN {
            self.limit.decision(&Charged::nothing(self.foresee().shadowed()), decision);
        } else {
            self.limit.decision(charged, decision);
        }
    }
}
