//! The library's own table, with a capacity, as a server would have it.
//!
//! Keys meet in a table, so all requests are decided in the order of their times, which are whole
//! nanoseconds: by the reading `even` they are rounded down. Requests that are denied for want of a
//! slot are counted apart from those that the quota denies. Where several limits are replayed, each
//! has a table of this capacity, and `check_all` decides.

use std::time::Duration;

use tidegate::lockfree::BucketTable;
use tidegate::lockfree::bucket::{Set, Unit, check_all_into};
use tidegate::{Decision, Instant, ManualClock, OnFull, Plan, SeededState};

use super::super::limit::Limit;
use super::super::outcome::Spread;
use super::super::traffic::{Request, Traffic};
use super::fates::Fates;
use super::rule::Fate;
use super::visit::{Ticks, each_visit};
use crate::failure::Failure;

/// The seed of the tables: fixed, so that the output repeats.
const SEED: u64 = 0x7e91_a7ed;
/// A mistyped capacity must not take the machine down: 2^30 keys are 37 GiB.
pub(crate) const MOST_KEYS: u64 = 1 << 30;

/// The size of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Capacity {
    /// How many keys it is made for.
    pub(crate) keys: u64,
    pub(crate) on_full: OnFull,
}

/// Limits, compiled for tables.
#[derive(Clone, Debug)]
pub(super) struct Compiled {
    limits: Vec<(Unit, Plan)>,
    capacity: Capacity,
}

type Table = BucketTable<Vec<Set>>;

impl Compiled {
    /// Compiles limits for tables of this capacity.
    ///
    /// # Errors
    ///
    /// Fails for a capacity of no keys or more than 2^30, and for a limit that a table refuses.
    pub(super) fn new(limits: &[Limit], capacity: Capacity) -> Result<Self, Failure> {
        if capacity.keys == 0 || capacity.keys > MOST_KEYS {
            let option = format_args!("--capacity {}", capacity.keys);
            return Err(Failure::new(option, "not 1 to 1,073,741,824 keys"));
        }
        let compiled = limits.iter().map(|limit| {
            let compiled = limit.quota().and_then(|quota| {
                let unit = Unit::for_quota(quota)?;
                Ok((unit, unit.plan(quota)?))
            });
            compiled.map_err(|error| Failure::new(format_args!("a table of {limit}"), error))
        });
        Ok(Self { limits: compiled.collect::<Result<_, _>>()?, capacity })
    }

    /// Decides all requests by one reading of the stamps, on new tables.
    ///
    /// # Errors
    ///
    /// Fails if there is no memory for the tables.
    pub(super) fn decide(
        &self,
        traffic: &Traffic,
        ticks: &Ticks,
        spread: Option<Spread>,
    ) -> Result<Fates, Failure> {
        let tables = self.limits.iter().map(|&(unit, _)| self.table(unit));
        let tables = tables.collect::<Result<Vec<_>, _>>()?;
        let clock = ManualClock::new();
        let mut fates = Fates::new(traffic.requests.len(), self.limits.len());
        let mut decisions = vec![Decision::CLOSED; self.limits.len()];
        let mut limits = Vec::with_capacity(self.limits.len());
        in_order(traffic, ticks, spread, |place, nanos| {
            let request = &traffic.requests[place as usize];
            let (cost, now) = (traffic.cost(request), Instant::from_nanos(nanos));
            let key = traffic.keys.bytes(request.key);
            clock.set(now);
            let denied_by = match &*tables {
                [table] => {
                    decisions[0] = table.check_n(key, &self.limits[0].1, cost, now);
                    if decisions[0].is_admitted() { None } else { Some(0) }
                }
                _ => {
                    limits.clear();
                    let each = tables.iter().zip(&self.limits);
                    limits.extend(
                        each.map(|(table, (_, plan))| table.limit(key, plan, cost, now, &clock)),
                    );
                    check_all_into(&limits, &mut decisions).denied_by()
                }
            };
            match denied_by {
                Some(by) if decisions[by].is_unplaced() => fates.add_no_slot(place),
                Some(by) => fates.add(place, Fate::Denied { by }),
                None => {
                    let wait = decisions.iter().map(Decision::delay).max().unwrap_or_default();
                    let wait = u64::try_from(wait.as_nanos()).unwrap_or(u64::MAX);
                    fates.add(place, Fate::Admitted { wait });
                }
            }
        });
        Ok(fates)
    }

    fn table(&self, unit: Unit) -> Result<Table, Failure> {
        let keys = self.capacity.keys;
        let mut sets = Vec::new();
        let count = Set::for_keys(keys as usize);
        sets.try_reserve_exact(count).map_err(|_| {
            Failure::new(format_args!("--capacity {keys}"), "more than fits into memory")
        })?;
        sets.resize_with(count, Set::new);
        let table = BucketTable::over(sets, unit, SeededState::new(SEED));
        // All requests are decided by one clock.
        Ok(table.on_full(self.capacity.on_full).grace(Duration::ZERO))
    }
}

/// Calls `decide` with the place and the time of each request, in the order of the times, in
/// nanoseconds since the earliest stamp.
fn in_order(
    traffic: &Traffic,
    ticks: &Ticks,
    spread: Option<Spread>,
    mut decide: impl FnMut(u32, u64),
) {
    if spread != Some(Spread::Even) {
        let requests = (0..).zip(&traffic.requests);
        requests.for_each(|(place, request)| decide(place, ticks.nanos(request.time)));
        return;
    }
    // No tick reaches beyond the longest tick that it lies in, so each of those is sorted alone.
    let number = |request: &Request| request.time.div_euclid(ticks.longest.into());
    let (mut by_key, mut in_order) = (Vec::new(), Vec::new());
    let mut begin = 0;
    for tick in traffic.requests.chunk_by(|one, next| number(one) == number(next)) {
        let end = begin + tick.len() as u32;
        let key = |place: u32| traffic.requests[place as usize].key;
        by_key.clear();
        by_key.extend(begin..end);
        by_key.sort_unstable_by_key(|&place| (key(place), place));
        in_order.clear();
        for of_key in by_key.chunk_by(|&one, &next| key(one) == key(next)) {
            each_visit(traffic, ticks, spread, of_key, |visit| {
                // Below 2^62, for a tick is a second at most.
                let into = u64::from(visit.part) * u64::from(visit.tick) / u64::from(visit.parts);
                in_order.push((visit.nanos + into, visit.place));
            });
        }
        in_order.sort_unstable();
        in_order.iter().for_each(|&(nanos, place)| decide(place, nanos));
        begin = end;
    }
}
