//! The time that decides everything in a namespace.
//!
//! It is the caller's time, less a credit that only grows, and never beyond a limit that is set
//! ahead of it. Where the limit holds the time, the credit lets it continue from there.

use crate::sync::{AtomicU64, Ordering};
use crate::time::{Instant, Ttl, nanos};

use super::Terms;

/// The usual time to live is divided into this many parts.
const PARTS: u64 = if cfg!(loom) { 8 } else { 16 };
/// Ends are counted by the part in which they lie; a power of two, and more than can lie ahead.
const SLOTS: usize = 32;
/// An entry that ends within this many parts is about to; one renewed within as many was renewed
/// recently.
const NEAR: u64 = 3;
/// Fewer entries than this can all be gone.
const FEW: u64 = if cfg!(loom) { 3 } else { 8 };

const HOLDING: u64 = 1;
/// Beyond every time: 146 years.
const NO_LIMIT: u64 = 1 << 62;

/// The state of a namespace's time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TimeStatus {
    /// Whether the time is held, or about to be.
    pub holding: bool,
    /// How often the time was held.
    pub holds: u64,
    /// How far the time is behind the clock, in nanoseconds, without the hold in progress.
    pub credit: u64,
}

pub(super) struct EffectiveClock {
    /// The length of a part in nanoseconds; 0 for no hold.
    part: u64,
    /// The time to live, in nanoseconds, of the entries that a hold is for.
    usual: u64,
    longest: u64,
    allowance: Option<u64>,
    /// No caller looks again within this many nanoseconds.
    grain: u64,
    credit: AtomicU64,
    /// `{ time: 63, holding: 1 }`
    limit: AtomicU64,
    /// The latest time at which a caller watched.
    watched: AtomicU64,
    /// The time is not held again before this.
    again: AtomicU64,
    holds: AtomicU64,
    /// `{ part: 32, count: 32 }`, each: how many entries of the usual time to live end in a part.
    ends: [AtomicU64; SLOTS],
}

/// The state at one moment.
#[derive(Clone, Copy)]
struct Standing {
    credit: u64,
    limit: u64,
}

impl Standing {
    fn time(self, now: u64) -> u64 {
        now.saturating_sub(self.credit).min(self.limit >> 1)
    }

    /// Returns the credit with which the time continues from the limit.
    fn credit_from_limit(self, now: u64) -> u64 {
        now.saturating_sub(self.limit >> 1)
    }
}

impl EffectiveClock {
    pub(super) fn new(terms: &Terms) -> Self {
        let usual = match terms.ttl {
            Ttl::For(ttl) => nanos(ttl),
            Ttl::Forever => 0,
        };
        let part = if terms.hold.is_some() { usual / PARTS } else { 0 };
        let allowance = terms.allowance.map(nanos);
        let shortest = allowance.into_iter().chain((part > 0).then_some(part)).min();
        Self {
            part,
            grain: shortest.unwrap_or(0) / 64,
            usual,
            longest: terms.hold.map_or(0, nanos),
            allowance,
            credit: AtomicU64::new(0),
            limit: AtomicU64::new(NO_LIMIT << 1),
            watched: AtomicU64::new(0),
            again: AtomicU64::new(0),
            holds: AtomicU64::new(0),
            ends: core::array::from_fn(|_| AtomicU64::new(0)),
        }
    }

    /// Returns the time that decides everything.
    pub(super) fn time(&self, now: Instant) -> u64 {
        self.standing().time(now.as_nanos())
    }

    pub(super) fn status(&self) -> TimeStatus {
        let Standing { credit, limit } = self.standing();
        // Relaxed: a count.
        let holds = self.holds.load(Ordering::Relaxed);
        TimeStatus { holding: limit & HOLDING != 0, holds, credit }
    }

    fn standing(&self) -> Standing {
        // Relaxed: compared with what is read after the limit.
        let mut credit = self.credit.load(Ordering::Relaxed);
        loop {
            // Acquire: pairs with its exchange, so that a limit is not seen without the credit that
            // was to come with it.
            let limit = self.limit.load(Ordering::Acquire);
            // Relaxed: ordered by the limit's Acquire.
            let again = self.credit.load(Ordering::Relaxed);
            if again == credit {
                return Standing { credit, limit };
            }
            credit = again;
        }
    }

    /// Decides whether the time is to be held or to continue, and returns it. Call this before
    /// anything is changed or removed.
    pub(super) fn watch(&self, now: Instant) -> u64 {
        if self.part > 0 || self.allowance.is_some() {
            // Relaxed, both: the limit is what orders. A caller whose clock is behind looks as the
            // others do.
            let before = self.watched.load(Ordering::Relaxed);
            if now.as_nanos().saturating_sub(before) >= self.grain {
                let before = self.watched.fetch_max(now.as_nanos(), Ordering::Relaxed);
                self.look(before, before.max(now.as_nanos()));
            }
        }
        self.time(now)
    }

    fn look(&self, before: u64, now: u64) {
        let mut standing = self.standing();
        let is_held = standing.limit & HOLDING != 0;
        if let Some(allowance) = self.allowance {
            // The time that is charged to no entry. While the time is held, the stall is not
            // charged to the hold either. But the time, which may have been read meanwhile, stays
            // where it is.
            let from_limit = standing.credit_from_limit(now);
            let credit = if is_held {
                let stalled = if before == 0 { 0 } else { now - before };
                let more = stalled.saturating_sub(allowance);
                standing.credit.saturating_add(more).min(from_limit)
            } else {
                from_limit
            };
            if credit > standing.credit {
                if !self.set_credit(standing, credit) {
                    return;
                }
                standing.credit = credit;
            }
        }
        let time = standing.time(now);
        if is_held {
            self.look_at_hold(standing, time, now);
        } else if self.part > 0 && self.is_silent(time) {
            // Ahead of the time, so that no thread has seen what comes after it.
            let limit = (time.saturating_add(self.part).min(NO_LIMIT) << 1) | HOLDING;
            if self.set_limit(standing, limit) {
                // Relaxed: a count.
                self.holds.fetch_add(1, Ordering::Relaxed);
            }
        } else {
            self.set_limit(standing, self.ahead(time));
        }
    }

    /// Returns how far the time may continue, as a limit. Where nothing stops it, each part has a
    /// limit of its own. So a thread that was stopped before it could hold the time does not do so
    /// later.
    fn ahead(&self, time: u64) -> u64 {
        let free = || NO_LIMIT + time.checked_div(self.part).unwrap_or(0);
        self.allowance.map_or_else(free, |ahead| time.saturating_add(ahead).min(NO_LIMIT)) << 1
    }

    fn look_at_hold(&self, standing: Standing, time: u64, now: u64) {
        let credit = standing.credit_from_limit(now);
        let held = credit.saturating_sub(standing.credit);
        let is_back = self.renewed_of_late(time) >= self.population(time).div_ceil(2);
        if !is_back && held < self.longest {
            return;
        }
        if !is_back {
            // Relaxed: published with the limit. All entries that are silent now have ended by
            // then.
            self.again.fetch_max(time.saturating_add(self.usual), Ordering::Relaxed);
        }
        if held == 0 || self.set_credit(standing, credit) {
            self.set_limit(standing, self.ahead(time));
        }
    }

    fn set_credit(&self, standing: Standing, credit: u64) -> bool {
        // Relaxed: published with the limit, by the thread that sets that next, which has seen it.
        let relaxed = Ordering::Relaxed;
        self.credit.compare_exchange(standing.credit, credit, relaxed, relaxed).is_ok()
    }

    fn set_limit(&self, standing: Standing, limit: u64) -> bool {
        if limit == standing.limit {
            return true;
        }
        // Release: a thread that sees the limit sees the credit that was set before. Relaxed:
        // another thread has set it.
        let (success, failure) = (Ordering::Release, Ordering::Relaxed);
        self.limit.compare_exchange(standing.limit, limit, success, failure).is_ok()
    }

    /// Returns whether nearly all entries are no longer renewed, and the first are about to end.
    fn is_silent(&self, time: u64) -> bool {
        let population = self.population(time);
        // Relaxed: published with the limit.
        if population < FEW || time < self.again.load(Ordering::Relaxed) {
            return false;
        }
        let now = time / self.part;
        let near = self.sum(now, now + NEAR - 1);
        let owed = population * NEAR / PARTS;
        near * 10 >= population && self.renewed_of_late(time) < owed.div_ceil(2)
    }

    /// Returns how many entries live.
    fn population(&self, time: u64) -> u64 {
        let now = time / self.part.max(1);
        self.sum(now, now + PARTS + 1)
    }

    /// Returns how many entries end so late that they were renewed within the last parts.
    fn renewed_of_late(&self, time: u64) -> u64 {
        let last = time.saturating_add(self.usual) / self.part.max(1);
        self.sum(last.saturating_sub(NEAR - 1), last)
    }

    fn sum(&self, first: u64, last: u64) -> u64 {
        // Relaxed: counts, of which the sum need not be of one moment.
        let count = |part: u64| {
            let word = self.slot(part).load(Ordering::Relaxed);
            if word >> 32 == part & PART { word & COUNT } else { 0 }
        };
        (first..=last).map(count).sum()
    }

    fn slot(&self, part: u64) -> &AtomicU64 {
        &self.ends[(part % SLOTS as u64) as usize]
    }

    /// Counts a new entry of this time to live, which ends at `end`.
    fn enter(&self, ttl: u64, end: u64) {
        self.count(ttl, end, |held, count| if held { count + 1 } else { 1 });
    }

    /// Uncounts an entry that is removed. If its part is over, it is no longer counted.
    pub(super) fn leave(&self, ttl: u64, end: u64) {
        self.count(ttl, end, |held, count| if held { count.saturating_sub(1) } else { 0 });
    }

    /// Counts an entry that now ends at `later`.
    pub(super) fn put_off(&self, ttl: u64, end: u64, later: u64) {
        if self.part > 0 && end / self.part != later / self.part {
            self.enter(ttl, later);
            self.leave(ttl, end);
        }
    }

    /// Counts a new entry of this time to live and end, and uncounts `old`, if it took the place of
    /// one. Where both end in the same part, the count stays.
    pub(super) fn succeed(&self, old: Option<(u64, u64)>, (ttl, end): (u64, u64)) {
        match old {
            Some((before, ended)) if before == ttl => self.put_off(ttl, ended, end),
            _ => {
                self.enter(ttl, end);
                old.into_iter().for_each(|(ttl, end)| self.leave(ttl, end));
            }
        }
    }

    /// Changes the count of the part in which an entry ends, unless the slot is a later part's by
    /// now.
    ///
    /// The threads that enter, renew and remove an entry count one after the other, in any order. So a
    /// count may be off by one for as long as its part lasts, and no longer.
    fn count(&self, ttl: u64, end: u64, count: impl Fn(bool, u64) -> u64) {
        if self.part == 0 || ttl != self.usual {
            return;
        }
        let part = end / self.part;
        let slot = self.slot(part);
        // Relaxed, all: a count.
        let mut word = slot.load(Ordering::Relaxed);
        loop {
            let behind = (part as u32).wrapping_sub((word >> 32) as u32).cast_signed();
            if behind < 0 && word & COUNT != 0 {
                return;
            }
            let next = (part & PART) << 32 | count(behind == 0, word & COUNT) & COUNT;
            let relaxed = Ordering::Relaxed;
            match slot.compare_exchange(word, next, relaxed, relaxed) {
                Ok(_) => return,
                Err(seen) => word = seen,
            }
        }
    }
}

/// The bits of a part's number that distinguish it from others for 2^32 parts.
const PART: u64 = u32::MAX as u64;
const COUNT: u64 = u32::MAX as u64;
