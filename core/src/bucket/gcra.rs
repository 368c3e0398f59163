//! The arithmetic of a bucket: pure functions on one time word.
//!
//! # Algorithm
//!
//! A bucket follows the generic cell rate algorithm (ITU-T I.371, "virtual scheduling"). Its whole
//! state is one time `s`, at which it will be free of debt again. With a cost of `c` units, a burst
//! of `b` and `w` more of permitted waiting,
//!
//! ```text
//! s' = max(s, now) + c          admitted iff  s' <= now + b + w,  to be served at  s' - b
//! ```
//!
//! The formula is at once the token bucket (`(b - max(s - now, 0)) / cell` tokens), the leaky
//! bucket as a meter (`max(s - now, 0) / cell` in it), and, with `w > 0`, the leaky bucket as a
//! queue. A bucket with `s <= now` equals one that was never used, so it can be forgotten.
//!
//! Times end at [`TIME_MAX`]; a charge that would pass it is denied.

/// Bits of a time in a table's state word.
pub(super) const TIME_BITS: u32 = 60;
/// The last time that a state word can hold. Later ones saturate here, where every check is denied.
pub(super) const TIME_MAX: u64 = (1 << TIME_BITS) - 1;

/// A cost to be charged at a time.
#[derive(Clone, Copy, Debug)]
pub struct Charge {
    now: u64,
    cost: u64,
    limit: u64,
}

impl Charge {
    /// Makes a charge of `cost` units at `now` to a bucket whose time may be up to `window` units
    /// later. The window is the burst and what may wait behind it, and the cost is within it.
    #[inline]
    pub(super) const fn new(window: u64, cost: u64, now: u64) -> Self {
        let limit = now + window;
        Self { now, cost, limit: if limit < TIME_MAX { limit } else { TIME_MAX } }
    }

    /// Returns the bucket's new time, if the charge is admitted.
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

    /// Returns when the charge, just denied on `time`, would be admitted if no other came before
    /// it, or `None` if time ends first.
    #[inline]
    pub(super) const fn ready(&self, time: u64) -> Option<u64> {
        let start = if time > self.now { time } else { self.now };
        let end = start + self.cost;
        // `max(time, u) + cost <= u + window` first holds at this u. A limit that was cut short is
        // the end of time, and a charge denied by it ends later than that.
        if end > TIME_MAX { None } else { Some(end - (self.limit - self.now)) }
    }
}

/// Returns how many units a bucket of `time` has left at `now` of a window.
pub(super) const fn room(time: u64, now: u64, window: u64) -> u64 {
    let limit = if now + window < TIME_MAX { now + window } else { TIME_MAX };
    limit.saturating_sub(if time > now { time } else { now })
}

/// A charge that is to be given back, in part or as a whole, because it was not used.
///
/// # What may be given back
///
/// A charge is worth something only as long as what it took has not flowed in again. With refunds
/// counted as never served, every window must hold no more than the burst and what flows in
/// meanwhile. A charge of `c` at `t0` left the bucket's time at `s1`, and a part `r` of it is given
/// back at `now`:
///
/// * If only that is known, at most `min(r, t0 + c - now)` is safe. (`min(r, s1 - now)` is not: the
///   debt in front of the charge may have been given back already.)
/// * If it is also known that `k` was given back to the bucket since, at most
///   `min(r, max(s1 - k, t0 + c) - now)` is safe.
/// * A queue hands out turns, and a turn in its middle cannot be handed out again. While requests
///   wait, that is while the bucket's time is later than `now + b`, only the last turn can be given
///   back, as a whole, and nothing that was charged in front of them. (With a part of it given back
///   its request would still wait, and the bucket's time would not show it.) When none waits any
///   more, each turn was a charge at the time at which it was served, `max(t0, s1 - b)`, and is worth
///   what such a charge is.
///
/// A bucket may be charged under plain and [shaping](super::Quota::shape) plans of one burst.
///
/// `tests/bucket_refund.rs` searches for a history that breaks the bound, and for one in which more
/// could be given back.
#[derive(Clone, Copy, Debug)]
pub(super) struct Refund {
    pub(super) now: u64,
    /// `r`
    pub(super) units: u64,
    /// `s1`
    pub(super) left: u64,
    /// When the charge by itself would have flowed in: `t0 + c`, or later for one that waited.
    pub(super) alone: u64,
    /// `b`
    pub(super) burst: u64,
    /// Whether it is a whole turn of a queue.
    pub(super) turn: bool,
}

impl Refund {
    /// Of a charge of `charged` units at the time `began`, which left the bucket's time at `left`,
    /// `units` are to be given back at the time `now`. `shaped` says whether it is a turn of a queue
    /// behind the burst.
    #[inline(always)]
    pub(super) const fn of(
        (began, charged, left): (u64, u64, u64),
        units: u64,
        now: u64,
        (burst, shaped): (u64, bool),
    ) -> Self {
        // A turn is served when its bucket's time less the burst has come.
        let turn = left.saturating_sub(burst);
        let served = if shaped && turn > began { turn } else { began };
        let turn = shaped && units == charged;
        Self { now, units, left, alone: served + charged, burst, turn }
    }

    /// What of it is lost, where the bucket's time was `before` and is `after` (`None`: as before): a
    /// bucket that is full again lacks nothing.
    #[cfg(target_has_atomic = "64")]
    pub(super) const fn lost(&self, before: u64, after: Option<u64>) -> u64 {
        let time = match after {
            Some(after) => after,
            None => before,
        };
        if time <= self.now { 0 } else { self.units.saturating_sub(before - time) }
    }

    /// Returns the bucket's new time, if anything is given back. `since` is what was given back to
    /// the bucket since the charge, if that is known.
    pub(super) const fn on(&self, time: u64, since: Option<u64>) -> Option<u64> {
        let some_wait = time.saturating_sub(self.now) > self.burst;
        let end = match since {
            _ if some_wait && self.turn && time == self.left => self.left,
            _ if some_wait => return None,
            None => self.alone,
            Some(since) => {
                let behind = self.left.saturating_sub(since);
                if behind > self.alone { behind } else { self.alone }
            }
        };
        let worth = end.saturating_sub(self.now);
        let credit = if worth < self.units { worth } else { self.units };
        if credit == 0 || time <= self.now {
            return None;
        }
        // A bucket is never more than full.
        let back = time.saturating_sub(credit);
        Some(if back > self.now { back } else { self.now })
    }
}

/// Returns the time of a bucket made full at `now`.
pub(super) const fn reset(time: u64, now: u64) -> Option<u64> {
    if time <= now { None } else { Some(now) }
}
