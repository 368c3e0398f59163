//! The arithmetic of a bucket: pure functions on one time word.
//!
//! # Algorithm
//!
//! The generic cell rate algorithm (ITU-T I.371, "virtual scheduling"). A bucket's whole state is
//! one time `s`: when it will be empty of debt again. With a cost of `c` units, a burst of `b` and
//! `w` more of permitted waiting,
//!
//! ```text
//! s' = max(s, now) + c          admitted iff  s' <= now + b + w,  to be served at  s' - b
//! ```
//!
//! which is at once the token bucket (`(b - max(s - now, 0)) / cell` tokens), the leaky bucket as
//! a meter (`max(s - now, 0) / cell` in it), and, with `w > 0`, the leaky bucket as a queue. A
//! bucket with `s <= now` equals one that was never used, which is why it can be forgotten.
//!
//! Times end at [`TIME_MAX`]; what would pass it is denied.

use super::plan::Plan;
use super::unit::TIME_MAX;

/// A cost to be charged at a time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Charge {
    now: u64,
    cost: u64,
    limit: u64,
}

impl Charge {
    /// `cost` units at `now`, under `plan`. The cost is within the plan's window.
    #[inline]
    pub(super) const fn new(plan: &Plan, cost: u64, now: u64) -> Self {
        let limit = now + plan.window();
        Self { now, cost, limit: if limit < TIME_MAX { limit } else { TIME_MAX } }
    }

    /// The bucket's new time, if the charge is admitted.
    #[inline]
    pub(super) const fn on(&self, time: u64) -> Option<u64> {
        let start = if time > self.now { time } else { self.now };
        let end = start + self.cost;
        if end <= self.limit { Some(end) } else { None }
    }

    #[inline]
    pub(super) const fn now(&self) -> u64 {
        self.now
    }

    #[inline]
    pub(super) const fn cost(&self) -> u64 {
        self.cost
    }

    /// Whether a charge just denied on `time` would be for ever: time ends before its turn.
    #[inline]
    pub(super) const fn is_vain(&self, time: u64) -> bool {
        let start = if time > self.now { time } else { self.now };
        start + self.cost > TIME_MAX
    }
}

/// The time after `credit` units are given back at `now`; a bucket is never more than full.
pub(super) const fn refund(time: u64, now: u64, credit: u64) -> Option<u64> {
    if time <= now {
        return None;
    }
    let back = time.saturating_sub(credit);
    Some(if back > now { back } else { now })
}

/// The time of a bucket made full at `now`.
pub(super) const fn reset(time: u64, now: u64) -> Option<u64> {
    if time <= now { None } else { Some(now) }
}

/// What a bucket keeps when its plan changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Keep {
    /// The debt in cells: who had spent 5 of 10 has spent 5 of the new burst. Raising a rate never
    /// denies what was admissible before (where a unit is several cells, to within a unit).
    Cells,
    /// The debt in time: who was full again in 3 s still is.
    Time,
    /// Nothing: the bucket is as new.
    Fresh,
}

/// The time of a bucket moved from `old` to `new` at `now`. Never deeper in debt than `new` can be;
/// but a closed plan has no terms of its own, and leaves the debt as it is for the plan after it.
pub(super) const fn convert(
    time: u64,
    now: u64,
    old: &Plan,
    new: &Plan,
    keep: Keep,
) -> Option<u64> {
    if time <= now {
        return None;
    }
    if (old.window() == 0 || new.window() == 0) && !matches!(keep, Keep::Fresh) {
        return None;
    }
    let debt = match keep {
        Keep::Cells => old.debt_under(new, time - now),
        Keep::Time if time - now < new.window() => time - now,
        Keep::Time => new.window(),
        Keep::Fresh => 0,
    };
    let converted = now + debt;
    if converted == time {
        None
    } else {
        Some(if converted < TIME_MAX { converted } else { TIME_MAX })
    }
}
