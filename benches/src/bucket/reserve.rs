//! An estimate that is reserved and settled beside a check and a refund of the same costs, on a table
//! and on a map. Half of the estimate is used, and settled at the time of the estimate.

use std::hint::black_box;

use tidegate::lockfree::BucketMap;
use tidegate::lockfree::bucket::{Limit, reserve};
use tidegate::{Clock, Domain, Guard, Instant, Plan, SeededState};

use super::{Answer, Effort, START, Table, plan};
use crate::measure::{Contestant, Row, race, rows};
use crate::workload::{Spread, chunks, keys, sequence};

/// Cells that are charged first.
const ESTIMATE: u64 = 64;
/// Cells that are used.
const USED: u64 = ESTIMATE / 2;

/// Shows the time of a chunk of keys: reading it costs neither side anything.
struct ChunkTime(Instant);

impl Clock for ChunkTime {
    fn now(&self) -> Instant {
        self.0
    }
}

/// A table and a map that hold the same keys.
struct Structures<'a> {
    table: Table,
    map: BucketMap<u64>,
    plan: &'a Plan,
    sequence: Vec<u64>,
}

impl<'a> Structures<'a> {
    fn new(size: usize, plan: &'a Plan) -> Self {
        let (quota, now) = (Answer::Admit.quota(), Instant::from_nanos(START));
        let table = Table::boxed(quota, size, SeededState::new(1)).expect("a unit");
        let map = BucketMap::with(&Domain::new(), quota, SeededState::new(2)).expect("a unit");
        let worker = map.domain().worker();
        let keys = keys(size);
        for key in &keys {
            _ = black_box(table.check(key, plan, now));
            _ = black_box(map.check(key, plan, now, &worker.pin()));
        }
        drop(worker);
        Self { table, map, plan, sequence: sequence(&keys, Spread::Uniform) }
    }

    /// Returns one turn: it calls `ask` for each of its keys. A chunk of keys shares a time and a guard.
    fn turn<'s>(
        &'s self,
        ask: impl Fn(&u64, &ChunkTime, &Guard) -> bool + Sync + 's,
    ) -> impl Fn(usize, usize, usize) + Sync + 's {
        move |thread, from, operations| {
            let mut worker = self.map.domain().worker();
            let mut admitted = 0;
            let chunks = chunks(&self.sequence, thread, from, operations);
            for (at, (_, keys)) in chunks.enumerate() {
                let time = ChunkTime(Instant::from_nanos(START + (from + at) as u64));
                let guard = worker.quiescent(time.now());
                for key in keys {
                    admitted += u32::from(ask(key, &time, guard));
                }
            }
            black_box(admitted);
        }
    }
}

/// Compares calls. Each operation charges an estimate and gives half of it back.
pub(super) fn calls(effort: Effort, size: usize, row: &mut impl FnMut(Row)) {
    let plan = plan(Answer::Admit);
    let structures = Structures::new(size, &plan);
    let Structures { table, map, plan, .. } = &structures;
    let table_reserves =
        structures.turn(|key, time, _| settles(table.limit(key, plan, ESTIMATE, time.now(), time)));
    let table_checks = structures.turn(|key, time, _| {
        let decision = table.check_n(key, plan, ESTIMATE, time.now());
        table.refund(key, &decision, ESTIMATE - USED, time.now());
        decision.is_admitted()
    });
    let map_reserves = structures.turn(|key, time, guard| {
        settles(map.limit(key, plan, ESTIMATE, time.now(), time, || guard))
    });
    let map_checks = structures.turn(|key, time, guard| {
        let decision = map.check_n(key, plan, ESTIMATE, time.now(), guard);
        map.refund(key, &decision, ESTIMATE - USED, time.now(), guard);
        decision.is_admitted()
    });
    let operations = if size > 100_000 { 1 << 19 } else { 1 << 21 };
    for threads in [1, 2] {
        let pairs: [(_, [Contestant<'_>; 2]); 2] = [
            ("reserve and settle", [&table_reserves, &table_checks]),
            ("reserve and settle, map", [&map_reserves, &map_checks]),
        ];
        for (case, contestants) in pairs {
            let times = race(&contestants, threads, effort.turns, operations);
            rows("bucket", case, size, threads, &["check and refund"], &times).for_each(&mut *row);
        }
    }
}

/// Reserves the estimate and settles it. Returns whether it was admitted.
#[inline(always)]
fn settles(limit: impl Limit) -> bool {
    reserve(limit).is_ok_and(|reservation| {
        // What was given back is not looked at: a refund does not say it either.
        _ = reservation.settle(USED);
        true
    })
}
