//! What the calls of a table promise, one by one.

use core::time::Duration;

use tidegate_core::bucket::{Keep, LocalSet, Outcome, Set, Unit};
use tidegate_core::{BucketTable, Decision, Instant, LocalBucketTable, Plan, Quota, SeededState};

type Table = BucketTable<Box<[Set]>>;

const KEY: &str = "key";

fn at(millis: u64) -> Instant {
    Instant::from_nanos(millis * 1_000_000)
}

fn ten_a_second(burst: u64) -> Quota {
    Quota::per_second(10).and_then(|quota| quota.burst(burst)).expect("a quota")
}

fn with(quota: Quota) -> (Table, Plan) {
    let table = BucketTable::boxed(quota, 100, SeededState::new(3)).expect("a unit");
    let plan = table.plan(quota).expect("a plan");
    (table, plan)
}

#[test]
fn a_cost_is_admitted_whole_or_not_at_all() {
    let (table, plan) = with(ten_a_second(5));
    assert!(table.check_n(KEY, &plan, 3, at(0)).is_admitted());
    let denied = table.check_n(KEY, &plan, 3, at(0));
    assert_eq!((denied.outcome(), denied.remaining()), (Outcome::Denied, 2));
    assert_eq!(denied.retry_after(), Some(Duration::from_millis(100)));
    assert!(table.check_n(KEY, &plan, 2, at(0)).is_admitted());
}

#[test]
fn a_cost_above_the_burst_is_never_admitted_and_says_what_remains() {
    let (table, plan) = with(ten_a_second(5));
    assert!(table.check(KEY, &plan, at(0)).is_admitted());
    let never = table.check_n(KEY, &plan, 6, at(0));
    assert_eq!((never.outcome(), never.retry_after()), (Outcome::Never, None));
    assert_eq!((never.limit(), never.remaining()), (5, 4));
}

#[test]
fn a_cost_of_zero_charges_and_stores_nothing() {
    let (table, plan) = with(ten_a_second(5));
    let decision = table.check_n(KEY, &plan, 0, at(0));
    assert!(decision.is_admitted());
    assert_eq!(decision.remaining(), 5);
    assert!(table.is_empty());
    _ = table.check_n(KEY, &plan, 5, at(0));
    assert!(table.check_n(KEY, &plan, 0, at(0)).is_admitted());
}

#[test]
fn peek_foresees_check_and_changes_nothing() {
    let (table, plan) = with(ten_a_second(2));
    for _ in 0..5 {
        assert!(table.peek(KEY, &plan, at(0)).is_admitted());
    }
    assert!(table.is_empty());
    _ = table.check_n(KEY, &plan, 2, at(0));
    for _ in 0..5 {
        let peek = table.peek(KEY, &plan, at(50));
        assert_eq!((peek.is_admitted(), peek.remaining()), (false, 0));
        assert_eq!(peek.retry_after(), Some(Duration::from_millis(50)));
    }
    assert_eq!(table.peek(KEY, &plan, at(100)).remaining(), 1);
}

#[test]
fn a_denied_check_writes_nothing() {
    let (table, plan) = with(ten_a_second(2));
    for key in 0..50 {
        _ = table.check_n(&key, &plan, 2, at(0));
    }
    let before = format!("{table:?}");
    for key in 0..50 {
        for cost in [1, 2, 3, 0] {
            let decision = table.check_n(&key, &plan, cost, at(50));
            assert_eq!(decision.is_admitted(), cost == 0);
        }
        _ = table.peek(&key, &plan, at(50));
    }
    assert_eq!(format!("{table:?}"), before);
    assert!(table.check(&0, &plan, at(100)).is_admitted());
    assert_ne!(format!("{table:?}"), before);
}

#[test]
fn a_reset_bucket_is_full() {
    let (table, plan) = with(ten_a_second(5));
    _ = table.check_n(KEY, &plan, 5, at(0));
    table.reset(KEY, at(0));
    assert_eq!(table.peek(KEY, &plan, at(0)).remaining(), 5);
}

#[test]
fn conversion_keeps_what_its_name_says() {
    let slow = ten_a_second(10);
    let fast = Quota::per_second(20).and_then(|quota| quota.burst(10)).expect("a quota");
    let unit = Unit::for_quotas(&[slow, fast]).expect("a unit");
    let (slow, fast) = (unit.plan(slow).expect("a plan"), unit.plan(fast).expect("a plan"));
    for (keep, remaining, full_in) in
        [(Keep::Cells, 4, 300), (Keep::Time, 0, 500), (Keep::Fresh, 10, 0)]
    {
        let sets: Box<[Set]> = [const { Set::new() }; 4].into();
        let table = BucketTable::over(sets, unit, SeededState::new(3));
        // Owes 6 cells, which take 600 ms at 10/s.
        _ = table.check_n(KEY, &slow, 6, at(0));
        table.convert(KEY, &slow, &fast, keep, at(0));
        let after = table.peek(KEY, &fast, at(0));
        assert_eq!(after.remaining(), remaining, "{keep:?}");
        // 600 ms is more than the new burst's 500: nobody owes more than that.
        assert_eq!(after.reset_after(), Duration::from_millis(full_in), "{keep:?}");
    }
}

#[test]
fn raising_a_rate_with_the_debt_kept_in_cells_never_denies() {
    let mut random = fastrand::Rng::with_seed(2);
    for _ in 0..20_000 {
        let burst = random.u64(1..100);
        let rate = random.u64(1..1_000);
        let raised = rate + random.u64(0..1_000);
        let quota = |rate| Quota::per_second(rate).and_then(|quota| quota.burst(burst));
        let (old, new) = (quota(rate).expect("a quota"), quota(raised).expect("a quota"));
        let unit = Unit::for_quotas(&[old, new]).expect("a unit");
        let (Ok(old), Ok(new)) = (unit.plan(old), unit.plan(new)) else { continue };
        let sets: Box<[Set]> = [Set::new()].into();
        let table = BucketTable::over(sets, unit, SeededState::new(3));
        _ = table.check_n(KEY, &old, random.u64(1..=burst), at(0));
        let now = at(random.u64(0..1_000));
        let before = table.peek(KEY, &old, now).remaining();
        table.convert(KEY, &old, &new, Keep::Cells, now);
        let after = table.peek(KEY, &new, now).remaining();
        assert!(after >= before, "{rate} -> {raised}, burst {burst}: {before} -> {after}");
        assert!(before == 0 || table.check_n(KEY, &new, before, now).is_admitted());
    }
}

#[test]
fn a_client_that_is_shut_out_and_let_in_again_owes_what_it_owed() {
    let (table, plan) = with(ten_a_second(5));
    let closed = table.plan(Quota::closed()).expect("a closed plan");
    _ = table.check_n(KEY, &plan, 5, at(0));
    for keep in [Keep::Cells, Keep::Time] {
        table.convert(KEY, &plan, &closed, keep, at(0));
        assert!(!table.check(KEY, &closed, at(0)).is_admitted());
        table.convert(KEY, &closed, &plan, keep, at(0));
        assert_eq!(table.peek(KEY, &plan, at(0)).remaining(), 0, "{keep:?}");
    }
}

#[test]
fn a_queue_names_the_delay_and_refuses_what_would_wait_too_long() {
    let quota = ten_a_second(1).shape(Duration::from_millis(250));
    let (table, plan) = with(quota);
    let delays: Vec<_> = (0..4).map(|_| table.check(KEY, &plan, at(0))).collect();
    let admitted: Vec<_> = delays.iter().map(Decision::is_admitted).collect();
    assert_eq!(admitted, [true, true, true, false]);
    let delays: Vec<_> = delays.iter().map(|decision| decision.delay().as_millis()).collect();
    assert_eq!(delays, [0, 100, 200, 0]);
    // The fourth would wait for 300 ms: in 50 ms, for 250.
    let denied = table.check(KEY, &plan, at(0));
    assert_eq!(denied.retry_after(), Some(Duration::from_millis(50)));
    assert_eq!(table.check(KEY, &plan, at(50)).delay(), Duration::from_millis(250));
}

#[test]
fn a_clock_that_is_behind_denies_for_that_much_longer_and_admits_no_more() {
    let (table, plan) = with(ten_a_second(1));
    assert!(table.check(KEY, &plan, at(1_000)).is_admitted());
    for behind in [1, 10, 500, 1_000] {
        let denied = table.check(KEY, &plan, at(1_000 - behind));
        assert!(!denied.is_admitted());
        let expected = Duration::from_millis(100 + behind);
        assert_eq!(denied.retry_after(), Some(expected));
    }
    assert!(table.check(KEY, &plan, at(1_100)).is_admitted());
}

#[test]
fn a_burst_answers_as_single_checks_do() {
    let quota = ten_a_second(3);
    let (singly, plan) = with(quota);
    let (bursts, _) = with(quota);
    let mut local = LocalBucketTable::boxed(quota, 100, SeededState::new(3)).expect("a unit");
    let small = singly.plan(ten_a_second(1)).expect("a plan");
    let mut random = fastrand::Rng::with_seed(4);
    for length in (0..100).chain([320, 321]) {
        let requests: Vec<_> = (0..length)
            .map(|_| {
                let plan = if random.bool() { &plan } else { &small };
                (random.u64(0..20), plan, random.u64(0..5))
            })
            .collect();
        let now = at(length * 7);
        let expected: Vec<_> = requests
            .iter()
            .map(|(key, plan, cost)| singly.check_n(key, plan, *cost, now))
            .collect();
        let mut decisions = vec![Decision::default(); requests.len()];
        bursts.check_burst(&requests, now, &mut decisions);
        assert_eq!(decisions, expected);
        local.check_burst(&requests, now, &mut decisions);
        assert_eq!(decisions, expected);
    }
}

#[test]
#[should_panic(expected = "one decision for each request")]
fn a_burst_of_another_length_than_its_answers_is_a_programming_error() {
    let (table, plan) = with(ten_a_second(1));
    table.check_burst(&[(1, &plan, 1)], at(0), &mut []);
}

#[test]
#[should_panic(expected = "another table's unit")]
fn a_plan_of_another_unit_is_a_programming_error() {
    let (table, _) = with(ten_a_second(1));
    let (_, foreign) = with(Quota::per_minute(17).expect("a quota"));
    _ = table.check(KEY, &foreign, at(0));
}

#[test]
fn tables_are_shared_between_threads() {
    fn shared<T: Send + Sync>() {}
    shared::<Table>();
    shared::<BucketTable<&'static [Set]>>();
    shared::<Plan>();
    shared::<Decision>();
}

#[test]
fn fewer_than_one_key_in_a_thousand_finds_no_slot_at_the_advised_size() {
    let keys = 200_000;
    let table = BucketTable::boxed(ten_a_second(1), keys, SeededState::new(3)).expect("a unit");
    let plan = table.plan(ten_a_second(1)).expect("a plan");
    let mut random = fastrand::Rng::with_seed(5);
    for _ in 0..keys {
        _ = table.check(&random.u64(..), &plan, at(0));
    }
    let unplaced = table.counters().unplaced as usize;
    assert!(unplaced * 1_000 < keys, "{unplaced} of {keys}");
    assert!(table.slots() * 128 / 10 <= 48 * keys);
}

#[test]
fn a_place_is_charged_as_its_key_is() {
    let (table, plan) = with(ten_a_second(5));
    let (twin, twins_plan) = with(ten_a_second(5));
    let local = || LocalBucketTable::boxed(ten_a_second(5), 100, SeededState::new(3));
    let (mut local, mut local_twin) = (local().expect("a unit"), local().expect("a unit"));
    let places: Vec<_> =
        (0..100).map(|key: u64| (table.prefetch(&key), local.prefetch(&key))).collect();
    let mut random = fastrand::Rng::with_seed(7);
    for millis in 0..20_000 {
        let (key, cost) = (random.u64(0..100), random.u64(0..=6));
        let ((place, of_local), now) = (places[key as usize], at(millis));
        let expected = twin.check_n(&key, &twins_plan, cost, now);
        assert_eq!(table.check_n_at(place, &plan, cost, now), expected, "{key} at {millis} ms");
        let expected = local_twin.check_n(&key, &plan, cost, now);
        assert_eq!(local.check_n_at(of_local, &plan, cost, now), expected, "{key} at {millis} ms");
        let expected = twin.check(&key, &twins_plan, now);
        assert_eq!(table.check_at(place, &plan, now), expected, "{key} at {millis} ms");
        let expected = local_twin.check(&key, &plan, now);
        assert_eq!(local.check_at(of_local, &plan, now), expected, "{key} at {millis} ms");
    }
    assert_eq!((table.len(), local.len()), (twin.len(), local_twin.len()));
}

#[test]
fn a_place_in_a_table_of_no_sets_finds_it_full() {
    let quota = ten_a_second(5);
    let unit = Unit::for_quota(quota).expect("a unit");
    let none: &[Set] = &[];
    let table = BucketTable::over(none, unit, SeededState::new(3));
    let plan = table.plan(quota).expect("a plan");
    assert!(table.check_at(table.prefetch(KEY), &plan, at(0)).is_unplaced());
    let none: &mut [LocalSet] = &mut [];
    let mut local = LocalBucketTable::over(none, unit, SeededState::new(3));
    let place = local.prefetch(KEY);
    assert!(local.check_at(place, &plan, at(0)).is_unplaced());
}

#[test]
fn every_slot_of_a_line_is_found() {
    // The last slot of a line is the one that a check takes when it sees its key in no other.
    let quota = ten_a_second(5);
    let table = BucketTable::boxed(quota, 1, SeededState::new(3)).expect("a unit");
    let plan = table.plan(quota).expect("a plan");
    let mut held = Vec::new();
    for key in 0..1_000_u64 {
        if !table.check(&key, &plan, at(0)).is_unplaced() {
            held.push(key);
        }
    }
    assert_eq!((held.len(), table.len()), (table.slots(), table.slots()));
    for charges in 2..=6 {
        for key in &held {
            let answer = table.check(key, &plan, at(0));
            assert_eq!(answer.is_admitted(), charges <= 5, "{key}");
            assert_eq!(answer.remaining(), 5_u64.saturating_sub(charges), "{key}");
        }
    }
    assert!(table.check(&1_000_u64, &plan, at(0)).is_unplaced());
}
