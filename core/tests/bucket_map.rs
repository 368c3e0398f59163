//! Buckets for exact keys: the answers are those of the table, whatever becomes of the map.

use core::time::Duration;

use tidegate_core::bucket::Keep;
use tidegate_core::{
    BucketMap, Budget, Decision, Domain, Instant, LocalBucketTable, OnFull, Quota, SeededState,
    Sweep, Worker,
};

const START: Instant = Instant::from_secs(1_000);

fn ten_a_second(burst: u64) -> Quota {
    Quota::per_second(10).and_then(|quota| quota.burst(burst)).expect("a quota")
}

fn with(quota: Quota) -> (BucketMap<u64>, Worker) {
    let domain = Domain::new();
    let map = BucketMap::with(&domain, quota, SeededState::new(1)).expect("a unit");
    (map, domain.worker())
}

/// What a client is told. The bucket's time itself may differ: one that was forgotten has none.
fn told(decision: Decision) -> impl PartialEq + std::fmt::Debug {
    (decision.outcome(), decision.remaining(), decision.retry_after(), decision.reset_after())
}

#[test]
fn every_answer_is_that_of_the_table() {
    let mut random = fastrand::Rng::with_seed(3);
    for round in 0..20 {
        let (small, large) = (ten_a_second(1 + random.u64(..20)), ten_a_second(50));
        let (map, mut worker) = with(small);
        let mut table =
            LocalBucketTable::boxed(small, 10_000, SeededState::new(round)).expect("a unit");
        let plans = [map.plan(small).unwrap(), map.plan(large).unwrap()];
        let mut sweep = map.sweeper(worker.domain().worker());
        let mut now = START;
        for _ in 0..5_000 {
            now = now + Duration::from_millis(random.u64(..200));
            let guard = worker.quiescent(now);
            let (key, plan) = (random.u64(..300), &plans[random.usize(..2)]);
            match random.u8(..12) {
                0..6 => {
                    let cost = random.u64(..4);
                    let ours = map.check_n(&key, plan, cost, now, guard);
                    assert_eq!(told(ours), told(table.check_n(&key, plan, cost, now)));
                }
                6 => {
                    let ours = map.peek(&key, plan, now, guard);
                    assert_eq!(told(ours), told(table.peek(&key, plan, now)));
                }
                7 => {
                    // At once: later, a map gives back more.
                    let (cost, cells) = (random.u64(..4), random.u64(..4));
                    let ours = map.check_n(&key, plan, cost, now, guard);
                    map.refund(&key, &ours, cells, now, guard);
                    let theirs = table.check_n(&key, plan, cost, now);
                    table.refund(&key, &theirs, cells, now);
                }
                8 => {
                    map.reset(&key, now, guard);
                    table.reset(&key, now);
                }
                9 => {
                    map.convert(&key, &plans[0], &plans[1], Keep::Cells, now, guard);
                    table.convert(&key, &plans[0], &plans[1], Keep::Cells, now);
                }
                10 => {
                    let keys: [u64; 50] = std::array::from_fn(|_| random.u64(..300));
                    let ours = keys.each_ref().map(|key| (key, plan, 1));
                    let theirs = keys.map(|key| (key, plan, 1));
                    let mut decisions = [[Decision::CLOSED; 50]; 2];
                    map.check_burst(&ours, now, &mut decisions[0], guard);
                    table.check_burst(&theirs, now, &mut decisions[1]);
                    assert_eq!(decisions[0].map(told), decisions[1].map(told));
                }
                _ => {
                    sweep.sweep(now, Budget::entries(random.usize(..200)));
                }
            }
        }
    }
}

#[test]
fn only_what_equals_a_fresh_bucket_is_forgotten() {
    let quota = ten_a_second(2);
    let (map, mut worker) = with(quota);
    let map = map.grace(Duration::ZERO);
    let plan = map.plan(quota).unwrap();
    let guard = worker.quiescent(START);
    assert!(map.check(&1, &plan, START, guard).is_admitted());
    assert!(map.check_n(&2, &plan, 2, START, guard).is_admitted());
    let mut sweep = map.sweeper(map.domain().worker());
    let mut removed = |millis| {
        let now = START + Duration::from_millis(millis);
        sweep.sweep(now, Budget::UNLIMITED).removed
    };
    assert_eq!(removed(99), 0);
    assert_eq!(removed(100), 1, "a cell takes 100 ms");
    assert_eq!(removed(199), 0);
    assert_eq!(map.len(), 1);
    assert!(!map.check_n(&2, &plan, 2, START + Duration::from_millis(199), guard).is_admitted());
    assert_eq!(removed(200), 1);
    assert!(map.is_empty());
}

#[test]
fn the_cap_on_keys_is_exact_and_the_policy_answers_beyond_it() {
    for policy in [OnFull::Deny, OnFull::Admit, OnFull::Shared] {
        let quota = ten_a_second(1);
        let (map, mut worker) = with(quota);
        let map = map.max_keys(100).on_full(policy).grace(Duration::ZERO);
        let plan = map.plan(quota).unwrap();
        let guard = worker.quiescent(START);
        let admitted = |keys: std::ops::Range<u64>, now| {
            keys.filter(|key| map.check(key, &plan, now, guard).is_admitted()).count()
        };
        assert_eq!(admitted(0..100, START), 100);
        let beyond = admitted(100..1_100, START);
        assert_eq!(map.len(), 100);
        match policy {
            OnFull::Deny => assert_eq!(beyond, 0),
            OnFull::Admit => assert_eq!(beyond, 1_000),
            // Each of the 64 words has a burst of one.
            OnFull::Shared => assert_eq!(beyond, 64),
        }
        assert_eq!(map.counters().unplaced, 1_000);
        assert_eq!(map.counters().unplaced_admitted, beyond as u64);
        // Whoever has a bucket keeps it, and its debt.
        assert_eq!(admitted(0..100, START), 0);
        // Once they are paid for, new keys make room for themselves.
        let later = START + Duration::from_millis(100);
        let placed = |key: &u64| !map.check(key, &plan, later, guard).is_unplaced();
        assert!((2_000..2_100).filter(placed).count() > 90);
        assert!(map.len() <= 100 && map.counters().reclaimed > 90, "{:?}", map.counters());
    }
}

#[test]
fn a_denied_client_learns_when_the_first_bucket_is_paid_for() {
    let quota = ten_a_second(10);
    let (map, mut worker) = with(quota);
    let map = map.max_keys(2).grace(Duration::ZERO);
    let plan = map.plan(quota).unwrap();
    let guard = worker.quiescent(START);
    assert!(map.check_n(&1, &plan, 3, START, guard).is_admitted());
    assert!(map.check_n(&2, &plan, 5, START, guard).is_admitted());
    let denied = map.check(&3, &plan, START, guard);
    assert!(denied.is_unplaced() && !denied.is_admitted());
    assert_eq!(denied.retry_after(), Some(Duration::from_millis(300)));
}

#[test]
fn a_client_that_the_map_refuses_is_not_told_to_come_back_at_once() {
    let quota = Quota::per_second(1_000_000_000).expect("a quota");
    for grace in [Duration::ZERO, BucketMap::<u64>::GRACE] {
        // What is replaced cannot be retired.
        let domain = Domain::capped(0);
        let map: BucketMap<u64> =
            BucketMap::with(&domain, quota, SeededState::new(1)).expect("a unit");
        let map = map.grace(grace);
        let plan = map.plan(quota).unwrap();
        let mut worker = domain.worker();
        let guard = worker.quiescent(START);
        let mut decisions = (0..1_000).map(|key| map.check(&key, &plan, START, guard));
        let denied = decisions.find(|decision| !decision.is_admitted()).expect("backpressure");
        assert!(denied.is_unplaced());
        assert!(denied.retry_after() >= Some(Duration::from_millis(10)), "{denied:?}");
    }
}

#[test]
fn a_client_without_a_bucket_waits_for_the_time_of_a_cell_at_least() {
    let quota = ten_a_second(1);
    let (map, mut worker) = with(quota);
    // The one bucket may be given up by now, and is not, for a charge of its past.
    let map = map.max_keys(0).grace(Duration::ZERO);
    let plan = map.plan(quota).unwrap();
    let denied = map.check(&1, &plan, START, worker.quiescent(START));
    assert!(denied.is_unplaced() && !denied.is_admitted());
    assert_eq!(denied.retry_after(), Some(Duration::from_millis(100)));
}

#[test]
fn two_threads_get_one_burst_where_one_moves_to_the_last_place() {
    const BURST: usize = 8;
    let quota = Quota::per_day(1).and_then(|quota| quota.burst(BURST as u64)).unwrap();
    let domain = Domain::new();
    for round in 0..if cfg!(debug_assertions) { 500 } else { 5_000 } {
        let map: BucketMap<u64> =
            BucketMap::with(&domain, quota, SeededState::new(round)).expect("a unit");
        let map = map.max_keys(1).on_full(OnFull::Shared);
        let plan = map.plan(quota).unwrap();
        let barrier = std::sync::Barrier::new(2);
        let admitted: usize = std::thread::scope(|scope| {
            let threads = [(); 2].map(|()| {
                let (map, plan, barrier, mut worker) = (&map, &plan, &barrier, domain.worker());
                scope.spawn(move || {
                    barrier.wait();
                    let check = |_| map.check(&1, plan, START, worker.quiescent(START));
                    (0..2 * BURST).map(check).filter(Decision::is_admitted).count()
                })
            });
            threads.map(|thread| thread.join().unwrap()).iter().sum()
        });
        // The thread that does not move may have been about to charge the shared word.
        assert!((BURST..=BURST + 1).contains(&admitted), "{admitted} in round {round}");
        _ = domain.worker().collect(START, Budget::UNLIMITED);
    }
}

#[test]
fn keys_are_borrowed_until_they_are_new() {
    let quota = ten_a_second(2);
    let domain = Domain::new();
    let map: BucketMap<String> = BucketMap::with(&domain, quota, SeededState::new(1)).unwrap();
    let plan = map.plan(quota).unwrap();
    let mut worker = domain.worker();
    let guard = worker.quiescent(START);
    assert!(map.check("alice", &plan, START, guard).is_admitted());
    assert!(map.check(&"alice".to_owned(), &plan, START, guard).is_admitted());
    assert!(!map.check("alice", &plan, START, guard).is_admitted());
}

#[test]
fn what_threads_are_admitted_together_is_the_burst() {
    let quota = Quota::per_day(1).and_then(|quota| quota.burst(1_000)).unwrap();
    let domain = Domain::new();
    let map: BucketMap<u64> = BucketMap::with(&domain, quota, SeededState::new(1)).unwrap();
    let plan = map.plan(quota).unwrap();
    let admitted: usize = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4)
            .map(|_| {
                let (map, plan, mut worker) = (&map, &plan, domain.worker());
                scope.spawn(move || {
                    let check = |step: u64| {
                        let guard = worker.quiescent(START);
                        map.check(&(step % 10), plan, START, guard).is_admitted()
                    };
                    (0..10_000).map(check).filter(|&admitted| admitted).count()
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    assert_eq!(admitted, 10 * 1_000);
}
