//! What a sweep passes over at a glance, and what it looks at.

use core::time::Duration;

use tidegate_core::bucket::{LocalSet, Set};
use tidegate_core::{
    BucketTable, Budget, Instant, LocalBucketTable, LocalSweep, Plan, Quota, SeededState, Sweep,
    Swept,
};

const KEYS: u64 = 40;
const START: Instant = Instant::from_secs(1);
const CELL: Duration = Duration::from_secs(1);

/// A table of either kind, in which a cell lasts a second.
trait Table {
    fn charge(&mut self, key: u64, cells: u64, now: Instant);
    fn len(&self) -> usize;
    fn slots(&self) -> usize;
    /// A pass in steps of `budget` slots: what each step did.
    fn pass(&mut self, now: Instant, budget: usize) -> Vec<Swept>;

    /// How many buckets a pass in one step gives up.
    fn swept(&mut self, now: Instant) -> usize {
        self.pass(now, self.slots()).iter().map(|step| step.removed).sum()
    }

    /// Charges 40 keys: key `k` with `k % 4 + 1` cells.
    fn fill(&mut self, now: Instant) {
        for key in 0..KEYS {
            self.charge(key, key % 4 + 1, now);
        }
        assert_eq!(self.len(), KEYS as usize, "a key found no slot");
    }
}

fn steps(mut step: impl FnMut(Budget) -> Swept, budget: usize) -> Vec<Swept> {
    let mut steps = Vec::new();
    while steps.last().is_none_or(|last: &Swept| !last.wrapped) {
        steps.push(step(Budget::entries(budget)));
    }
    steps
}

struct Shared(BucketTable<Box<[Set]>>, Plan);

impl Table for Shared {
    fn charge(&mut self, key: u64, cells: u64, now: Instant) {
        assert!(self.0.check_n(&key, &self.1, cells, now).is_admitted());
    }

    fn len(&self) -> usize {
        self.0.len()
    }

    fn slots(&self) -> usize {
        self.0.slots()
    }

    fn pass(&mut self, now: Instant, budget: usize) -> Vec<Swept> {
        let mut sweep = self.0.sweeper();
        steps(|budget| sweep.sweep(now, budget), budget)
    }
}

struct Local(LocalBucketTable<Box<[LocalSet]>>, Plan);

impl Table for Local {
    fn charge(&mut self, key: u64, cells: u64, now: Instant) {
        assert!(self.0.check_n(&key, &self.1, cells, now).is_admitted());
    }

    fn len(&self) -> usize {
        self.0.len()
    }

    fn slots(&self) -> usize {
        self.0.slots()
    }

    fn pass(&mut self, now: Instant, budget: usize) -> Vec<Swept> {
        let mut sweep = LocalSweep::default();
        steps(|budget| sweep.step(&mut self.0, now, budget), budget)
    }
}

/// One table of each kind.
fn tables() -> [Box<dyn Table>; 2] {
    let quota = Quota::per_second(1).and_then(|quota| quota.burst(100)).expect("a quota");
    let shared = BucketTable::boxed(quota, 100, SeededState::new(5)).expect("a unit");
    let shared = shared.grace(Duration::ZERO);
    let plan = shared.plan(quota).expect("a plan");
    let local = LocalBucketTable::boxed(quota, 100, SeededState::new(5)).expect("a unit");
    [Box::new(Shared(shared, plan)), Box::new(Local(local, plan))]
}

#[test]
fn a_step_of_any_budget_looks_at_its_slots_and_at_no_others() {
    for kind in 0..2 {
        let stale = || {
            let mut table = tables().into_iter().nth(kind).expect("two kinds");
            table.fill(START);
            table
        };
        let now = START + 4 * CELL;
        // Slot by slot, it is known which of them hold a bucket.
        let held: Vec<usize> = stale().pass(now, 1).iter().map(|step| step.removed).collect();
        assert_eq!(held.iter().sum::<usize>(), KEYS as usize);
        for budget in 1..=held.len() + 1 {
            let mut table = stale();
            let mut at = 0;
            for step in table.pass(now, budget) {
                assert_eq!(step.visited, budget.min(held.len() - at), "budget {budget}");
                let here: usize = held[at..at + step.visited].iter().sum();
                assert_eq!(step.removed, here, "budget {budget}, from slot {at}");
                at += step.visited;
            }
            assert_eq!((at, table.len()), (held.len(), 0), "budget {budget}");
        }
    }
}

#[test]
fn a_bucket_is_given_up_at_the_instant_at_which_it_is_paid_for() {
    for mut table in tables() {
        table.fill(START);
        for cells in 1..=4 {
            let paid = START + cells * CELL;
            let before = Instant::from_nanos(paid.as_nanos() - 1);
            assert_eq!(table.swept(before), 0, "{cells} cells");
            assert_eq!(table.swept(paid), KEYS as usize / 4, "{cells} cells");
        }
        assert_eq!(table.len(), 0);
    }
}

#[test]
fn slots_that_are_used_again_and_again_are_given_up_every_time() {
    // More tenures than a version tells apart, the first of them at the origin of time.
    for mut table in tables() {
        for tenure in 0..10 {
            let start = Instant::ORIGIN + 10 * tenure * CELL;
            table.fill(start);
            assert_eq!(table.swept(start), 0, "tenure {tenure}");
            assert_eq!(table.swept(start + 2 * CELL), KEYS as usize / 2, "tenure {tenure}");
            assert_eq!(table.swept(start + 5 * CELL), KEYS as usize / 2, "tenure {tenure}");
            assert_eq!((table.swept(start + 9 * CELL), table.len()), (0, 0), "tenure {tenure}");
        }
    }
}

#[test]
fn a_sweep_at_the_end_of_time_gives_everything_up_once() {
    for mut table in tables() {
        for _ in 0..2 {
            table.fill(START);
            let end = Instant::from_nanos(u64::MAX);
            assert_eq!(table.swept(end), KEYS as usize);
            assert_eq!((table.swept(end), table.len()), (0, 0));
        }
    }
}
