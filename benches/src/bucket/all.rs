//! `check_all` of three limits beside three single checks of the same keys, on three tables.

use std::hint::black_box;

use tidegate::lockfree::BucketTable;
use tidegate::lockfree::bucket::{Limit, check_all};
use tidegate::{Instant, ManualClock, Plan, SeededState};

use super::{Answer, BURST, Effort, START, Table, plan};
use crate::measure::{Contestant, Row, race, rows};
use crate::workload::{Spread, keys, sequence};

/// Three tables that hold the same keys.
struct Tables<'a> {
    tables: [Table; 3],
    plan: &'a Plan,
    sequence: Vec<u64>,
    clock: ManualClock,
}

impl<'a> Tables<'a> {
    fn new(size: usize, plan: &'a Plan) -> Self {
        let keys = keys(size);
        let tables = [1, 2, 3].map(|seed| {
            BucketTable::boxed(Answer::Admit.quota(), size, SeededState::new(seed)).expect("a unit")
        });
        for key in &keys {
            for table in &tables {
                _ = black_box(table.check(key, plan, Instant::from_nanos(START)));
            }
        }
        Self { tables, plan, sequence: sequence(&keys, Spread::Uniform), clock: ManualClock::new() }
    }

    /// Returns one turn: it calls `ask` for each of its keys, with a time that a chunk of keys shares.
    fn turn<'s>(
        &'s self,
        ask: impl Fn(&u64, Instant) -> bool + Sync + 's,
    ) -> impl Fn(usize, usize, usize) + Sync + 's {
        move |thread, from, operations| {
            let (mask, start) = (self.sequence.len() - 1, from + thread * self.sequence.len() / 2);
            let mut admitted = 0;
            for at in 0..operations {
                let now = Instant::from_nanos(START + (from + at / BURST) as u64);
                admitted += u32::from(ask(&self.sequence[(start + at) & mask], now));
            }
            black_box(admitted);
        }
    }
}

/// Compares calls, each an operation.
pub(super) fn calls(effort: Effort, size: usize, row: &mut impl FnMut(Row)) {
    let plan = plan(Answer::Admit);
    let tables = Tables::new(size, &plan);
    let Tables { tables: [first, second, third], plan, clock, .. } = &tables;
    let all = tables.turn(|key, now| {
        check_all(&[
            first.limit(key, plan, 1, now, clock),
            second.limit(key, plan, 1, now, clock),
            third.limit(key, plan, 1, now, clock),
        ])
        .is_admitted()
    });
    let mixed = tables.turn(|key, now| {
        let first = first.limit(key, plan, 1, now, clock);
        let second = second.limit(key, plan, 1, now, clock);
        let third = third.limit(key, plan, 1, now, clock);
        check_all(&[&first as &dyn Limit, &second, &third]).is_admitted()
    });
    let singles = tables.turn(|key, now| {
        // All three, as a call that is admitted does.
        let first = first.check(key, plan, now).is_admitted();
        let second = second.check(key, plan, now).is_admitted();
        first & second & third.check(key, plan, now).is_admitted()
    });
    let operations = if size > 100_000 { 1 << 19 } else { 1 << 21 };
    for threads in [1, 2] {
        let contestants: [(_, Contestant<'_>); 2] =
            [("check_all of 3", &all), ("check_all of 3, dyn", &mixed)];
        for (case, ours) in contestants {
            let times = race(&[ours, &singles], threads, effort.turns, operations);
            rows("bucket", case, size, threads, &["3 single checks"], &times).for_each(&mut *row);
        }
    }
}
