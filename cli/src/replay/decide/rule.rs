//! The arithmetic of a limit, exact.
//!
//! # Algorithm
//!
//! The rule is the library's (`tidegate::lockfree::bucket`): the generic cell rate algorithm. A
//! bucket is one time `s`, at which it is free of debt again. With a cost of `c`, a burst of `b`
//! and a permitted wait of `w`, all as spans of time,
//!
//! ```text
//! s' = max(s, now) + c          admitted iff  s' <= now + b + w,  to be served at  s' - b
//! ```
//!
//! Where the library counts in a unit that may round, this does not: of a rate of n cells in p
//! nanoseconds (in lowest terms) the unit is 1/n ns, in which a cell takes p units, and so the
//! burst and every cost are whole. A time is whole, too, unless it is a part of a tick; then the
//! rest is a fraction whose denominator is the number of requests in the tick, and a bucket
//! inherits it.
//!
//! # Bounds
//!
//! Cells, period, burst and wait are below 2^63, and a log spans less than 2^59 ns (ten years; more
//! would be refused). So a time is below 2^123 units, a burst and a wait together are below 2^127,
//! and a cost is compared with them before it is added. All of it fits into a `u128`.

use std::cmp::Ordering;

use super::visit::Visit;
use crate::replay::limit::Limit;

/// A limit in its unit.
#[derive(Clone, Copy, Debug)]
struct Rule {
    /// Units a nanosecond.
    rate: u64,
    /// Units a cell.
    cell: u64,
    burst: u128,
    /// The burst, and what may wait behind it.
    window: u128,
}

/// A time in units: a whole number and a fraction below 1.
#[derive(Clone, Copy, Debug)]
struct Moment {
    whole: u128,
    part: u32,
    parts: u32,
}

/// What becomes of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// The request is admitted, after a wait of this number of nanoseconds, rounded up.
    Admitted { wait: u64 },
    /// The limit at this index denies the request. If several do, it is the one whose wait is the
    /// longest in whole nanoseconds, rounded up. Of equal waits the last one counts, as with the
    /// library's `check_all`.
    Denied { by: usize },
}

/// The buckets of one key, one for each limit.
#[derive(Clone, Debug)]
pub(crate) struct Buckets(Vec<Bucket>);

#[derive(Clone, Copy, Debug)]
struct Bucket {
    rule: Rule,
    time: Moment,
    /// What the time will be, if the request at hand is admitted.
    next: Moment,
}

impl Rule {
    fn new(limit: &Limit) -> Self {
        let common = gcd(limit.cells, limit.period);
        let (rate, cell) = (limit.cells / common, limit.period / common);
        let burst = u128::from(limit.burst) * u128::from(cell);
        let window = burst + u128::from(limit.max_wait) * u128::from(rate);
        Self { rate, cell, burst, window }
    }

    #[inline]
    fn moment(&self, visit: &Visit) -> Moment {
        let whole = u128::from(visit.nanos) * u128::from(self.rate);
        if visit.part == 0 {
            return Moment { whole, part: 0, parts: 1 };
        }
        let into = u64::from(visit.part) * u64::from(visit.tick);
        let (units, part) = match into.checked_mul(self.rate) {
            // The processor divides 64 bits by one instruction.
            Some(units) => {
                let parts = u64::from(visit.parts);
                (u128::from(units / parts), (units % parts) as u32)
            }
            None => {
                let (units, parts) =
                    (u128::from(into) * u128::from(self.rate), u128::from(visit.parts));
                (units / parts, (units % parts) as u32)
            }
        };
        Moment { whole: whole + units, part, parts: visit.parts }
    }

    /// Converts this number of units to nanoseconds, rounded up.
    fn nanos(&self, units: u128) -> u64 {
        let nanos = match u64::try_from(units) {
            Ok(units) => u128::from(units.div_ceil(self.rate)),
            Err(_) => units.div_ceil(u128::from(self.rate)),
        };
        u64::try_from(nanos).unwrap_or(u64::MAX)
    }
}

impl Moment {
    const ZERO: Self = Self { whole: 0, part: 0, parts: 1 };

    /// Compares the fractions alone.
    #[inline]
    fn compare_parts(&self, other: &Self) -> Ordering {
        let scaled = |one: &Self, by: &Self| u64::from(one.part) * u64::from(by.parts);
        scaled(self, other).cmp(&scaled(other, self))
    }

    #[inline]
    fn later(self, other: Self) -> Self {
        match self.whole.cmp(&other.whole).then_with(|| self.compare_parts(&other)) {
            Ordering::Greater => self,
            _ => other,
        }
    }
}

/// What one limit says of a request.
enum Answer {
    Admits {
        start: Moment,
        cost: u128,
    },
    /// The number of units after which the limit would admit the request, rounded up, or `None` if
    /// it never would.
    Denies(Option<u128>),
}

impl Buckets {
    pub(crate) fn new(limits: &[Limit]) -> Self {
        let bucket =
            |limit| Bucket { rule: Rule::new(limit), time: Moment::ZERO, next: Moment::ZERO };
        Self(limits.iter().map(bucket).collect())
    }

    /// Makes all buckets fresh.
    #[inline]
    pub(crate) fn reset(&mut self) {
        for bucket in &mut self.0 {
            bucket.time = Moment::ZERO;
        }
    }

    /// Charges a request to every bucket, if each admits it. A request that costs nothing charges
    /// nothing, and is admitted.
    #[inline]
    pub(crate) fn decide(&mut self, visit: &Visit) -> Fate {
        let mut wait = 0;
        for Bucket { rule, time, next } in &mut self.0 {
            let now = rule.moment(visit);
            match rule.answer(*time, now, visit.cost) {
                Answer::Admits { start, cost } => {
                    *next = Moment { whole: start.whole + cost, ..start };
                    if rule.window > rule.burst {
                        wait = wait.max(rule.wait(start, now, cost));
                    }
                }
                Answer::Denies(_) => return Fate::Denied { by: self.denier(visit) },
            }
        }
        if visit.cost > 0 {
            for bucket in &mut self.0 {
                bucket.time = bucket.next;
            }
        }
        Fate::Admitted { wait }
    }

    /// Returns which limit denies a request that one of them denies.
    fn denier(&self, visit: &Visit) -> usize {
        if self.0.len() == 1 {
            return 0;
        }
        let waits = self.0.iter().enumerate().filter_map(|(at, Bucket { rule, time, .. })| {
            match rule.answer(*time, rule.moment(visit), visit.cost) {
                Answer::Admits { .. } => None,
                Answer::Denies(None) => Some((true, 0, at)),
                Answer::Denies(Some(units)) => Some((false, rule.nanos(units), at)),
            }
        });
        waits.max().map_or(0, |(_, _, at)| at)
    }

    /// Returns whether every bucket is fresh at a time, in nanoseconds since the log's beginning.
    #[inline]
    pub(super) fn are_fresh(&self, nanos: u64) -> bool {
        self.0.iter().all(|Bucket { rule, time, .. }| {
            let now = u128::from(nanos) * u128::from(rule.rate);
            time.whole < now || (time.whole == now && time.part == 0)
        })
    }

    /// Returns the first whole nanosecond at which every bucket is fresh.
    #[inline]
    pub(super) fn fresh_at(&self) -> u64 {
        let nanos =
            |Bucket { rule, time, .. }: &Bucket| rule.nanos(time.whole + u128::from(time.part > 0));
        self.0.iter().map(nanos).max().unwrap_or(0)
    }
}

impl Rule {
    #[inline]
    fn answer(&self, time: Moment, now: Moment, cells: u64) -> Answer {
        let cost = u128::from(cells) * u128::from(self.cell);
        if cost > self.window {
            return Answer::Denies(None);
        }
        let start = time.later(now);
        // No bucket is further ahead than the window, which is whole.
        let room = now.whole + self.window - start.whole;
        let ahead = start.compare_parts(&now);
        if cost < room || (cost == room && ahead != Ordering::Greater) {
            return Answer::Admits { start, cost };
        }
        Answer::Denies(Some(cost - room + u128::from(ahead == Ordering::Greater)))
    }

    /// Returns how long an admitted request waits behind the burst, in nanoseconds, rounded up.
    fn wait(&self, start: Moment, now: Moment, cost: u128) -> u64 {
        let (end, served) = (start.whole + cost, now.whole + self.burst);
        let ahead = u128::from(start.compare_parts(&now) == Ordering::Greater);
        end.checked_sub(served).map_or(0, |units| self.nanos(units + ahead))
    }
}

fn gcd(mut a: u64, mut b: u64) -> u64 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}
