//! Reservations: what is charged, given back and owed.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread;
use std::time::Duration;

use tidegate_core::bucket::{
    AllOutcome, Limit, LocalSet, Settled, Unit, check_all, reserve, reserve_all,
};
use tidegate_core::{
    BucketMap, BucketTable, Clock, Decision, Domain, Instant, LocalBucketTable, ManualClock, Plan,
    Quota, SeededState,
};

const KEY: &str = "alice";

/// One quota on all three structures, with one clock.
struct Structures {
    clock: ManualClock,
    plan: Plan,
    table: BucketTable<Box<[tidegate_core::bucket::Set]>>,
    map: BucketMap<String>,
    local: RefCell<LocalBucketTable<Box<[LocalSet]>>>,
    worker: tidegate_core::Worker,
}

impl Structures {
    fn new(quota: Quota) -> Self {
        let domain = Domain::new();
        let table = BucketTable::boxed(quota, 100, SeededState::new(1)).unwrap();
        let local = LocalBucketTable::boxed(quota, 100, SeededState::new(2)).unwrap();
        let map = BucketMap::with(&domain, quota, SeededState::new(3)).unwrap();
        let clock = ManualClock::new();
        clock.advance(Duration::from_secs(1_000));
        let plan = Unit::for_quota(quota).unwrap().plan(quota).unwrap();
        Self { clock, plan, table, map, local: RefCell::new(local), worker: domain.worker() }
    }

    /// Runs `f` with a limit of `cost` cells on each structure. All must answer alike.
    fn each<T: PartialEq + std::fmt::Debug>(&self, cost: u64, f: impl Fn(&dyn Limit) -> T) -> T {
        let Self { clock, plan, table, map, local, worker } = self;
        let now = clock.now();
        let pin = || worker.pin();
        let of_table = f(&table.limit(KEY, plan, cost, now, clock));
        let of_map = f(&map.limit(KEY, plan, cost, now, clock, pin));
        let of_local = f(&LocalBucketTable::limit(local, KEY, plan, cost, now, clock));
        assert_eq!(of_table, of_local);
        assert_eq!(of_table, of_map);
        of_table
    }

    fn remaining(&self) -> u64 {
        let Self { clock, plan, table, map, local, worker } = self;
        let now = clock.now();
        let remaining = table.peek(KEY, plan, now).remaining();
        assert_eq!(remaining, local.borrow_mut().peek(KEY, plan, now).remaining());
        assert_eq!(remaining, map.peek(KEY, plan, now, &worker.pin()).remaining());
        remaining
    }

    fn take_up_to(&self, cells: u64) -> Decision {
        let Self { clock, plan, table, map, local, worker } = self;
        let now = clock.now();
        let taken = table.take_up_to(KEY, plan, cells, now);
        assert_eq!(taken, local.borrow_mut().take_up_to(KEY, plan, cells, now));
        assert_eq!(taken, map.take_up_to(KEY, plan, cells, now, &worker.pin()));
        taken
    }
}

/// What was given back, charged, and left unpaid.
fn figures(settled: Settled) -> (u64, u64, u64) {
    (settled.given_back(), settled.charged(), settled.unpaid())
}

fn per_second(cells: u64) -> Quota {
    Quota::per_second(cells).unwrap()
}

#[test]
fn what_was_not_used_comes_back() {
    let all = Structures::new(per_second(100));
    let settled = all.each(60, |limit| reserve(limit).unwrap().settle(10));
    assert_eq!(figures(settled), (50, 0, 0));
    assert_eq!(all.remaining(), 90);
}

#[test]
fn what_was_used_on_top_is_charged() {
    let all = Structures::new(per_second(100));
    let settled = all.each(20, |limit| reserve(limit).unwrap().settle(70));
    assert_eq!(figures(settled), (0, 50, 0));
    assert_eq!(all.remaining(), 30);
}

#[test]
fn without_debt_a_bucket_pays_what_it_has() {
    let all = Structures::new(per_second(100));
    let settled = all.each(20, |limit| reserve(limit).unwrap().settle(170));
    assert_eq!(figures(settled), (0, 80, 70));
    assert_eq!(all.remaining(), 0);
}

#[test]
fn debt_is_paid_by_the_next_requests() {
    let all = Structures::new(per_second(100).debt(50).unwrap());
    let settled = all.each(20, |limit| reserve(limit).unwrap().settle(170));
    assert_eq!(figures(settled), (0, 130, 20));
    assert_eq!(all.remaining(), 0);
    // 50 cells of debt and the one that is asked for.
    let wait = all.each(1, |limit| reserve(limit).unwrap_err().retry_after());
    assert_eq!(wait, Some(Duration::from_millis(510)));
    all.clock.advance(Duration::from_nanos(509_999_999));
    assert!(all.each(1, |limit| reserve(limit).is_err()));
    all.clock.advance(Duration::from_nanos(1));
    assert!(all.each(1, |limit| reserve(limit).map(|ours| _ = ours.forget()).is_ok()));
}

#[test]
fn nothing_is_admitted_into_debt() {
    let all = Structures::new(per_second(100).debt(1_000).unwrap());
    assert!(all.each(101, |limit| reserve(limit).unwrap_err().retry_after().is_none()));
    assert!(all.each(100, |limit| check_all(&[limit]).is_admitted()));
    assert!(!all.each(1, |limit| check_all(&[limit]).is_admitted()));
}

#[test]
fn a_reservation_that_is_dropped_is_cancelled() {
    let all = Structures::new(per_second(100));
    all.each(60, |limit| drop(reserve(limit).unwrap()));
    assert_eq!(all.remaining(), 100);
    all.each(60, |limit| reserve(limit).unwrap().cancel());
    assert_eq!(all.remaining(), 100);
    all.each(60, |limit| {
        let panicked = catch_unwind(AssertUnwindSafe(|| {
            let _ours = reserve(limit).unwrap();
            std::panic::resume_unwind(Box::new("while it is reserved"));
        }));
        assert!(panicked.is_err());
    });
    assert_eq!(all.remaining(), 100);
    all.each(60, |limit| _ = reserve(limit).unwrap().forget());
    assert_eq!(all.remaining(), 40);
}

#[test]
fn an_estimate_of_nothing_can_be_settled() {
    let all = Structures::new(per_second(100));
    let settled = all.each(0, |limit| reserve(limit).unwrap().settle(30));
    assert_eq!(figures(settled), (0, 30, 0));
    assert_eq!(all.remaining(), 70);
    all.each(0, |limit| drop(reserve(limit).unwrap()));
    assert_eq!(all.remaining(), 70);
}

#[test]
fn several_are_reserved_together_or_not_at_all() {
    let quota = per_second(100);
    let all = Structures::new(quota);
    let (clock, now) = (&all.clock, all.clock.now());
    let second = BucketTable::boxed(per_second(10), 100, SeededState::new(9)).unwrap();
    let plan = second.plan(per_second(10)).unwrap();
    let denied = reserve_all([
        all.table.limit(KEY, &all.plan, 50, now, clock),
        second.limit(KEY, &plan, 11, now, clock),
    ]);
    assert_eq!(denied.unwrap_err().outcome(), AllOutcome::Never { by: 1 });
    assert_eq!(all.table.peek(KEY, &all.plan, now).remaining(), 100);

    let limits = || {
        [all.table.limit(KEY, &all.plan, 50, now, clock), second.limit(KEY, &plan, 5, now, clock)]
    };
    let settled = reserve_all(limits()).unwrap().settle([20, 7]);
    assert_eq!(settled.map(|each| (each.given_back(), each.charged())), [(30, 0), (0, 2)]);
    assert!(reserve_all(limits()).is_err());
    assert_eq!(all.table.peek(KEY, &all.plan, now).remaining(), 80);
    assert_eq!(second.peek(KEY, &plan, now).remaining(), 3);

    clock.advance(Duration::from_secs(2));
    let now = clock.now();
    drop(reserve_all([all.table.limit(KEY, &all.plan, 50, now, clock)]).unwrap());
    assert_eq!(all.table.peek(KEY, &all.plan, now).remaining(), 100);
    reserve_all([all.table.limit(KEY, &all.plan, 50, now, clock)]).unwrap().forget();
    assert_eq!(all.table.peek(KEY, &all.plan, now).remaining(), 50);
}

#[test]
fn a_table_gives_back_what_a_refund_gives_back() {
    let quota = per_second(1).burst(1_000).unwrap();
    let mut random = fastrand::Rng::with_seed(11);
    for _ in 0..10_000 {
        let (ours, theirs) = (Structures::new(quota), Structures::new(quota));
        let (estimate, actual) = (random.u64(1..500), random.u64(0..500));
        for all in [&ours, &theirs] {
            all.each(random.u64(1..2), |limit| check_all(&[limit]).is_admitted());
        }
        let wait = Duration::from_secs(random.u64(0..600));
        let now = ours.clock.now();
        let charged = theirs.table.check_n(KEY, &theirs.plan, estimate, now);
        theirs.clock.advance(wait);
        theirs.table.refund(KEY, &charged, estimate.saturating_sub(actual), theirs.clock.now());

        let reserved = reserve(ours.table.limit(KEY, &ours.plan, estimate, now, &ours.clock));
        ours.clock.advance(wait);
        let before = ours.table.peek(KEY, &ours.plan, ours.clock.now()).remaining();
        let settled = reserved.unwrap().settle(actual.min(estimate));
        let now = ours.clock.now();
        let after = ours.table.peek(KEY, &ours.plan, now);
        assert_eq!(after, theirs.table.peek(KEY, &theirs.plan, now));
        assert_eq!(after.remaining() - before, settled.given_back());
    }
}

#[test]
fn a_bucket_gives_what_it_has() {
    let all = Structures::new(per_second(100));
    assert_eq!(all.take_up_to(70).charged(), 70);
    assert_eq!(all.take_up_to(0).charged(), 0);
    assert_eq!(all.take_up_to(70).charged(), 30);
    let none = all.take_up_to(70);
    assert!(!none.is_admitted());
    assert_eq!(none.retry_after(), Some(Duration::from_millis(10)));
    all.clock.advance(Duration::from_nanos(29_999_999));
    assert_eq!(all.take_up_to(u64::MAX).charged(), 2);
}

#[test]
fn a_queue_gives_what_need_not_wait() {
    let all = Structures::new(per_second(10).shape(Duration::from_secs(5)));
    let taken = all.take_up_to(1_000);
    assert_eq!((taken.charged(), taken.delay()), (10, Duration::ZERO));
}

#[test]
fn a_bucket_starts_as_its_plan_says() {
    for start in [0, 1, 30, 100, 1_000] {
        let mut all = Structures::new(per_second(100));
        all.plan = all.plan.starting_at(start);
        assert_eq!(all.remaining(), start.min(100));
        if start < 100 {
            let wait = all.each(100, |limit| reserve(limit).unwrap_err().retry_after());
            assert_eq!(wait, Some(Duration::from_millis(10 * (100 - start))));
        }
        // The denied request has made the bucket, which fills from then on.
        all.clock.advance(Duration::from_millis(200));
        assert_eq!(all.remaining(), (start + 20).min(100));
        assert_eq!(all.take_up_to(1_000).charged(), (start + 20).min(100));
    }
}

type Settle<'a> = Box<dyn FnOnce(u64) + 'a>;

/// How much of a rate of 60,000 tokens a minute clients can use that estimate 4,000 tokens a call and
/// use 500.
fn usable<'a>(
    all: &'a Structures,
    call: Duration,
    ask: impl Fn(Instant) -> Option<Settle<'a>>,
) -> f64 {
    let (mut used, mut running) = (0_u32, VecDeque::new());
    // Half an hour, after ten minutes to settle in; a step is 10 ms.
    for step in 0..240_000_u128 {
        while running.front().is_some_and(|&(end, _)| end <= step) {
            let (_, settle): (_, Settle<'_>) = running.pop_front().unwrap();
            settle(500);
            used += if step < 60_000 { 0 } else { 500 };
        }
        while let Some(settle) = ask(all.clock.now()) {
            running.push_back((step + call.as_millis() / 10, settle));
        }
        all.clock.advance(Duration::from_millis(10));
    }
    f64::from(used) / 1_800_000.0
}

#[test]
fn a_map_gives_back_more_than_a_table() {
    let quota = Quota::per_minute(60_000).unwrap();
    for (call, of_table, of_map) in [(5, 0.12..0.15, 0.85..1.01), (30, 0.12..0.15, 0.22..0.28)] {
        let call = Duration::from_secs(call);
        let all = Structures::new(quota);
        let Structures { clock, plan, table, map, worker, .. } = &all;
        let share = usable(&all, call, |now| {
            let ours = reserve(table.limit(KEY, plan, 4_000, now, clock)).ok()?;
            Some(Box::new(|used| _ = ours.settle(used)))
        });
        assert!(of_table.contains(&share), "table, {call:?}: {share}");
        let pin = || worker.pin();
        let share = usable(&all, call, |now| {
            let ours = reserve(map.limit(KEY, plan, 4_000, now, clock, pin)).ok()?;
            Some(Box::new(|used| _ = ours.settle(used)))
        });
        assert!(of_map.contains(&share), "map, {call:?}: {share}");
    }
}

/// At one instant everything comes back that was not used. So a bucket holds what was used, however
/// many threads reserve, settle, cancel and forget.
#[test]
fn threads_lose_nothing() {
    const THREADS: u64 = 8;
    const CALLS: u64 = if cfg!(miri) { 100 } else { 50_000 };
    let quota = Quota::per_day(1_000_000_000).unwrap();
    let domain = Domain::new();
    let clock = ManualClock::new();
    clock.advance(Duration::from_secs(1_000));
    let table = BucketTable::boxed(quota, 100, SeededState::new(1)).unwrap();
    let map: BucketMap<u64> = BucketMap::with(&domain, quota, SeededState::new(3)).unwrap();
    let plan = table.plan(quota).unwrap();
    let used: Vec<[u64; 2]> = thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS)
            .map(|seed| {
                let (table, map, plan, clock, domain) = (&table, &map, &plan, &clock, &domain);
                scope.spawn(move || {
                    let (mut random, worker) = (fastrand::Rng::with_seed(seed), domain.worker());
                    let (now, mut used) = (clock.now(), [0; 2]);
                    for _ in 0..CALLS {
                        let (estimate, actual) = (random.u64(0..50), random.u64(0..70));
                        let of_table = table.limit(&7_u64, plan, estimate, now, clock);
                        let of_map = map.limit(&7_u64, plan, estimate, now, clock, || worker.pin());
                        let limits: [&dyn Limit; 2] = [&of_table, &of_map];
                        let ours = reserve_all(limits).unwrap();
                        match random.u8(0..3) {
                            0 => {
                                let settled = ours.settle([actual, actual + 1]);
                                assert!(settled.iter().all(|settled| settled.unpaid() == 0));
                                used = [used[0] + actual, used[1] + actual + 1];
                            }
                            1 => drop(ours),
                            _ => {
                                ours.forget();
                                used = used.map(|used| used + estimate);
                            }
                        }
                    }
                    used
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let all = used.iter().fold([0; 2], |[a, b], [c, d]| [a + c, b + d]);
    let now = clock.now();
    let left = [
        table.peek(&7_u64, &plan, now).remaining(),
        map.peek(&7_u64, &plan, now, &domain.worker().pin()).remaining(),
    ];
    assert_eq!(left, all.map(|used| 1_000_000_000 - used));
}
