//! The time by which everything in a namespace is judged.
//!
//! It is the caller's, less a credit that only grows, and never beyond a limit that is set ahead of it.
//! Where the limit holds the time, the credit is what makes it go on from there.

use crate::sync::{AtomicU64, AtomicUsize, Ordering};
use crate::time::{Instant, Ttl, nanos};

use super::Terms;

/// Into so many parts the usual time to live is divided.
const PARTS: u64 = 16;
/// Ends are counted by the part in which they lie; twice as many again as can lie ahead.
const SLOTS: usize = 4 * PARTS as usize;
/// What ends within so many parts is about to; what was renewed in as many was renewed of late.
const NEAR: u64 = 3;
/// Fewer entries than this can all be gone.
const FEW: usize = 8;

const HOLDING: u64 = 1;
/// As good as none: 292 years.
const NO_LIMIT: u64 = u64::MAX >> 1;

/// What a namespace's time is up to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TimeStatus {
    /// Whether it is held, or about to be.
    pub holding: bool,
    /// How often it was.
    pub holds: u64,
    /// How far it is behind the clock, in nanoseconds, but for the hold that is on.
    pub credit: u64,
}

pub(super) struct EffectiveClock {
    /// The length of a part in nanoseconds; 0: no hold.
    part: u64,
    /// In nanoseconds, of which entries live for so long may be held.
    usual: u64,
    longest: u64,
    allowance: Option<u64>,
    credit: AtomicU64,
    /// `{ time: 63, holding: 1 }`
    limit: AtomicU64,
    /// Until then it is not held again.
    again: AtomicU64,
    holds: AtomicU64,
    /// How many entries of the usual time to live end in which part.
    ends: [AtomicUsize; SLOTS],
    population: AtomicUsize,
}

/// How it stands at one moment.
#[derive(Clone, Copy)]
struct Standing {
    credit: u64,
    limit: u64,
}

impl Standing {
    fn time(self, now: Instant) -> u64 {
        now.as_nanos().saturating_sub(self.credit).min(self.limit >> 1)
    }

    /// The credit with which the time goes on from the limit.
    fn credit_from_limit(self, now: Instant) -> u64 {
        now.as_nanos().saturating_sub(self.limit >> 1)
    }
}

impl EffectiveClock {
    pub(super) fn new(terms: &Terms) -> Self {
        let usual = match terms.ttl {
            Ttl::For(ttl) => nanos(ttl),
            Ttl::Forever => 0,
        };
        Self {
            part: if terms.hold.is_some() { usual / PARTS } else { 0 },
            usual,
            longest: terms.hold.map_or(0, nanos),
            allowance: terms.allowance.map(nanos),
            credit: AtomicU64::new(0),
            limit: AtomicU64::new(NO_LIMIT << 1),
            again: AtomicU64::new(0),
            holds: AtomicU64::new(0),
            ends: core::array::from_fn(|_| AtomicUsize::new(0)),
            population: AtomicUsize::new(0),
        }
    }

    /// The time by which everything is judged.
    pub(super) fn time(&self, now: Instant) -> u64 {
        self.standing().time(now)
    }

    pub(super) fn status(&self) -> TimeStatus {
        let Standing { credit, limit } = self.standing();
        // Relaxed: a count.
        let holds = self.holds.load(Ordering::Relaxed);
        TimeStatus { holding: limit & HOLDING != 0, holds, credit }
    }

    fn standing(&self) -> Standing {
        // Acquire, here and below: pairs with the exchange, so that a limit is not seen without the credit
        // that was to come with it.
        let mut credit = self.credit.load(Ordering::Acquire);
        loop {
            let limit = self.limit.load(Ordering::Acquire);
            let again = self.credit.load(Ordering::Acquire);
            if again == credit {
                return Standing { credit, limit };
            }
            credit = again;
        }
    }

    /// Looks whether the time is to be held, or to go on. To be called before anything is changed or
    /// removed. Returns the time.
    pub(super) fn watch(&self, now: Instant) -> u64 {
        let standing = self.standing();
        let time = standing.time(now);
        if standing.limit & HOLDING != 0 {
            self.watch_hold(standing, time, now);
        } else if self.part > 0 && self.is_silent(time) {
            // Ahead of the time, so that nobody has seen what comes after it.
            let limit = (time.saturating_add(self.part).min(NO_LIMIT) << 1) | HOLDING;
            if self.set_limit(standing, limit) {
                // Relaxed: a count.
                self.holds.fetch_add(1, Ordering::Relaxed);
            }
        } else if let Some(allowance) = self.allowance {
            let credit = standing.credit_from_limit(now);
            if credit <= standing.credit || self.set_credit(standing, credit) {
                self.set_limit(standing, time.saturating_add(allowance).min(NO_LIMIT) << 1);
            }
        }
        self.time(now)
    }

    fn watch_hold(&self, standing: Standing, time: u64, now: Instant) {
        let credit = standing.credit_from_limit(now);
        let held = credit.saturating_sub(standing.credit);
        let half = self.population.load(Ordering::Relaxed).div_ceil(2);
        let is_back = self.renewed_of_late(time) >= half;
        if !is_back && held < self.longest {
            return;
        }
        if !is_back {
            // Relaxed: published with the limit. All that are silent now have ended by then.
            self.again.store(time.saturating_add(self.usual), Ordering::Relaxed);
        }
        if held == 0 || self.set_credit(standing, credit) {
            let ahead = self.allowance.map_or(NO_LIMIT, |ahead| time.saturating_add(ahead));
            self.set_limit(standing, ahead.min(NO_LIMIT) << 1);
        }
    }

    fn set_credit(&self, standing: Standing, credit: u64) -> bool {
        // Release: pairs with `standing`. Relaxed: somebody else is at it.
        let (success, failure) = (Ordering::Release, Ordering::Relaxed);
        self.credit.compare_exchange(standing.credit, credit, success, failure).is_ok()
    }

    fn set_limit(&self, standing: Standing, limit: u64) -> bool {
        // Release: whoever sees the limit sees the credit that was set before. Relaxed: as above.
        let (success, failure) = (Ordering::Release, Ordering::Relaxed);
        self.limit.compare_exchange(standing.limit, limit, success, failure).is_ok()
    }

    /// Whether nearly everybody has stopped renewing, and the first are about to end.
    fn is_silent(&self, time: u64) -> bool {
        // Relaxed, here and below: counts, of which the sum need not be of one moment.
        let population = self.population.load(Ordering::Relaxed);
        if population < FEW || time < self.again.load(Ordering::Relaxed) {
            return false;
        }
        let now = time / self.part;
        let near = self.sum(now, now + NEAR - 1);
        let owed = population.saturating_mul(NEAR as usize) / PARTS as usize;
        near.saturating_mul(10) >= population && self.renewed_of_late(time) < owed.div_ceil(2)
    }

    /// How many end so late that they were renewed within the last parts.
    fn renewed_of_late(&self, time: u64) -> usize {
        let last = time.saturating_add(self.usual) / self.part.max(1);
        self.sum(last.saturating_sub(NEAR - 1), last)
    }

    fn sum(&self, first: u64, last: u64) -> usize {
        (first..=last).map(|part| self.slot(part).load(Ordering::Relaxed)).sum()
    }

    fn slot(&self, part: u64) -> &AtomicUsize {
        &self.ends[(part % SLOTS as u64) as usize]
    }

    /// An entry of this time to live, which ends at `end`, has come.
    pub(super) fn enter(&self, ttl: u64, end: u64) {
        if let Some(slot) = self.watched(ttl, end) {
            slot.fetch_add(1, Ordering::Relaxed);
            self.population.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// It has gone.
    pub(super) fn leave(&self, ttl: u64, end: u64) {
        if let Some(slot) = self.watched(ttl, end) {
            slot.fetch_sub(1, Ordering::Relaxed);
            self.population.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// It ends at another time.
    pub(super) fn put_off(&self, ttl: u64, end: u64, later: u64) {
        if let (Some(before), Some(after)) = (self.watched(ttl, end), self.watched(ttl, later)) {
            after.fetch_add(1, Ordering::Relaxed);
            before.fetch_sub(1, Ordering::Relaxed);
        }
    }

    fn watched(&self, ttl: u64, end: u64) -> Option<&AtomicUsize> {
        (self.part > 0 && ttl == self.usual).then(|| self.slot(end / self.part))
    }
}
