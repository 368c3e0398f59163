//! Sweeping, reclaiming and floods change no decision.

use core::time::Duration;

use tidegate_core::bucket::Set;
use tidegate_core::{
    BucketTable, Budget, Cadence, Decision, Instant, LocalBucketTable, LocalSweep, OnFull, Quota,
    SeededState, Sweep, Sweeper, Swept,
};

type Table = BucketTable<Box<[Set]>>;

fn quota() -> Quota {
    Quota::per_second(10).and_then(|quota| quota.burst(5)).expect("a quota")
}

fn table(keys: usize) -> Table {
    BucketTable::boxed(quota(), keys, SeededState::new(11)).expect("a unit").grace(Duration::ZERO)
}

/// A random history: `(key, cost, time)`.
fn history(seed: u64, length: usize) -> Vec<(u64, u64, Instant)> {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut now = 0;
    (0..length)
        .map(|_| {
            now += random.u64(0..10_000_000);
            (random.u64(0..50), random.u64(1..=5), Instant::from_nanos(now))
        })
        .collect()
}

#[test]
fn the_same_history_is_answered_alike_swept_flooded_and_undisturbed() {
    for seed in 0..20 {
        let undisturbed = table(1_000);
        let swept = table(1_000);
        // Small: a flood fills it over and over, and every insertion reclaims.
        let flooded = table(140);
        let plan = undisturbed.plan(quota()).expect("a plan");
        let mut sweep = swept.sweeper();
        let mut random = fastrand::Rng::with_seed(seed);
        let (mut unplaced, mut removed, mut compared) = (0, 0, 0);
        for (key, cost, now) in history(seed, 20_000) {
            let expected = undisturbed.check_n(&key, &plan, cost, now);
            removed += sweep.sweep(now, Budget::entries(random.usize(0..200))).removed;
            assert_eq!(swept.check_n(&key, &plan, cost, now), expected, "swept, seed {seed}");
            for _ in 0..random.usize(0..4) {
                _ = flooded.check(&random.u64(1_000..), &plan, now);
            }
            let decision = flooded.check_n(&key, &plan, cost, now);
            if decision.is_unplaced() {
                unplaced += 1;
                // Let the histories agree again: both forget the key.
                undisturbed.reset(&key, now);
                swept.reset(&key, now);
            } else {
                compared += 1;
                assert_eq!(decision, expected, "flooded, seed {seed}");
            }
        }
        assert!(removed > 100 && flooded.counters().reclaimed > 100, "nothing was disturbed");
        assert!(compared > 10_000, "{unplaced} of 20,000 found no slot");
    }
}

#[test]
fn a_flood_takes_no_bucket_from_a_throttled_client() {
    for policy in [OnFull::Deny, OnFull::Admit, OnFull::Shared] {
        let table = table(10).on_full(policy);
        let plan = table.plan(Quota::per_hour(1).expect("a quota")).expect("a plan");
        let now = Instant::from_secs(1);
        assert!(table.check(&0, &plan, now).is_admitted());
        for flood in 1..100_000_u64 {
            _ = table.check(&flood, &plan, now);
            if flood % 1_000 == 0 {
                assert!(!table.check(&0, &plan, now).is_admitted(), "{policy:?}");
            }
        }
        let unplaced = table.counters().unplaced;
        assert!(unplaced > 90_000, "{policy:?}: {unplaced}");
        assert!(table.len() <= table.slots());
    }
}

#[test]
fn policies_answer_a_new_key_in_a_full_table() {
    let now = Instant::from_secs(1);
    let fill = |policy| {
        let table = table(1).on_full(policy);
        let plan = table.plan(quota()).expect("a plan");
        let mut keys = 0..10_000_u64;
        while table.len() < table.slots() {
            _ = table.check_n(&keys.next().expect("a key"), &plan, 5, now);
        }
        (table, plan, 1_000_000)
    };

    let (table, plan, stranger) = fill(OnFull::Deny);
    let denied = table.check(&stranger, &plan, now);
    assert!(!denied.is_admitted() && denied.is_unplaced());
    assert_eq!(denied.remaining(), 0);
    // The buckets of the set, full in half a second, make room then and not before.
    let retry = denied.retry_after().expect("not for ever");
    assert!(table.check(&stranger, &plan, now + retry).is_admitted());
    let (table, plan, stranger) = fill(OnFull::Deny);
    let early = now + (retry - Duration::from_nanos(1));
    assert!(!table.check(&stranger, &plan, early).is_admitted());

    let (table, plan, stranger) = fill(OnFull::Admit);
    for _ in 0..100 {
        let admitted = table.check(&stranger, &plan, now);
        assert!(admitted.is_admitted() && admitted.is_unplaced());
    }
    assert!(table.counters().unplaced_admitted >= 100);

    let (table, plan, stranger) = fill(OnFull::Shared);
    let answers: Vec<Decision> = (0..7).map(|_| table.check(&stranger, &plan, now)).collect();
    let admitted = answers.iter().filter(|answer| answer.is_admitted()).count();
    assert!(admitted <= 5, "the shared word admits no more than a quota");
    assert!(answers.iter().all(Decision::is_unplaced));
    // Use the word up in between; when there is room, half of that debt comes along.
    let between = now + Duration::from_millis(250);
    while table.check(&stranger, &plan, between).is_admitted() {}
    let later = now + Duration::from_millis(500);
    let remaining = table.peek(&stranger, &plan, later).remaining();
    assert!((1..5).contains(&remaining), "{remaining}");
    assert!(!table.check_n(&stranger, &plan, remaining + 1, later).is_admitted());
    let moved = table.check_n(&stranger, &plan, remaining, later);
    assert!(moved.is_admitted() && !moved.is_unplaced());
    assert_eq!(moved.remaining(), 0);
}

#[test]
fn who_has_a_bucket_keeps_it_while_the_shared_words_are_in_debt() {
    // Paid up, but not like a fresh one: that would start with the debt of the word.
    for sweeps in [false, true] {
        let table = table(7).on_full(OnFull::Shared);
        let plan = table.plan(quota()).expect("a plan");
        let start = Instant::from_secs(9);
        assert!(table.check_n(&0, &plan, 2, start).is_admitted());
        for flood in 1..4_000_u64 {
            _ = table.check_n(&flood, &plan, 5, start);
        }
        assert!(table.counters().unplaced_admitted >= 32, "the words are not in debt");
        // The resident's two cells are paid, the five of its word are not.
        let now = start + Duration::from_millis(300);
        for flood in 4_000..5_000_u64 {
            _ = table.check_n(&flood, &plan, 5, now);
        }
        if sweeps {
            table.sweeper().sweep(now, Budget::UNLIMITED);
        }
        for _ in 0..5 {
            assert!(table.check(&0, &plan, now).is_admitted(), "swept: {sweeps}");
        }
        assert!(!table.check(&0, &plan, now).is_admitted());
    }
}

#[test]
fn a_slot_lives_through_many_tenures_up_to_the_end_of_time() {
    let end = (1 << 60) - 1;
    let quota = Quota::new(1, Duration::from_nanos(1)).and_then(|quota| quota.burst(10));
    let quota = quota.expect("a quota");
    let table = BucketTable::boxed(quota, 1, SeededState::new(1)).expect("a unit");
    let table = table.grace(Duration::ZERO);
    let plan = table.plan(quota).expect("a plan");
    for _ in 0..9 {
        assert!(table.check_n(&1, &plan, 10, Instant::from_nanos(end - 10)).is_admitted());
        assert_eq!(table.sweeper().sweep(Instant::MAX, Budget::UNLIMITED).removed, 1);
        assert!(table.is_empty());
    }
}

#[test]
fn a_bucket_is_kept_for_the_grace_beyond_the_moment_it_is_full() {
    let grace = Duration::from_millis(5);
    let table = table(10).grace(grace);
    let plan = table.plan(quota()).expect("a plan");
    let start = Instant::from_secs(1);
    let full = start + table.check(&1, &plan, start).reset_after();
    let last = full + grace;
    table.sweeper().sweep(last, Budget::UNLIMITED);
    assert_eq!(table.len(), 1);
    table.sweeper().sweep(last + Duration::from_nanos(2), Budget::UNLIMITED);
    assert_eq!(table.len(), 0);
}

#[test]
fn a_step_keeps_to_its_budget_and_a_pass_sees_every_slot() {
    let table = table(1_000);
    let plan = table.plan(quota()).expect("a plan");
    for key in 0..500_u64 {
        _ = table.check(&key, &plan, Instant::from_secs(1));
    }
    let later = Instant::from_secs(100);
    for budget in [1, 3, 10, 64, 999] {
        for key in 0..500_u64 {
            _ = table.check(&key, &plan, Instant::from_secs(1));
        }
        let live = table.len();
        let (mut sweep, mut visited, mut removed) = (table.sweeper(), 0, 0);
        loop {
            let step = sweep.sweep(later, Budget::entries(budget));
            assert!(step.visited <= budget);
            visited += step.visited;
            removed += step.removed;
            if step.wrapped {
                break;
            }
        }
        assert_eq!((visited, removed, table.len()), (table.slots(), live, 0));
    }
    assert_eq!(table.sweeper().sweep(later, Budget::entries(0)), Swept::default());
}

#[test]
fn a_table_of_no_sets_is_always_full() {
    let sets: &[Set] = &[];
    let table = BucketTable::over(sets, table(1).unit(), SeededState::new(1));
    let plan = table.plan(quota()).expect("a plan");
    let decision = table.check(&1, &plan, Instant::from_secs(1));
    assert!(!decision.is_admitted() && decision.is_unplaced());
    assert_eq!(decision.retry_after(), None);
    assert!(table.sweeper().sweep(Instant::from_secs(1), Budget::entries(5)).wrapped);
}

#[test]
fn a_local_table_answers_a_flood_alike() {
    for policy in [OnFull::Deny, OnFull::Admit, OnFull::Shared] {
        let local = LocalBucketTable::boxed(quota(), 70, SeededState::new(11)).expect("a unit");
        let mut local = local.on_full(policy);
        let shared = table(70).on_full(policy);
        let plan = shared.plan(quota()).expect("a plan");
        let (mut local_sweep, mut shared_sweep) = (LocalSweep::default(), shared.sweeper());
        let mut random = fastrand::Rng::with_seed(9);
        let mut now = Instant::ORIGIN;
        for _ in 0..50_000 {
            now = now + Duration::from_micros(random.u64(0..2_000));
            let (key, cost) = (random.u64(0..2_000), random.u64(1..=5));
            let expected = shared.check_n(&key, &plan, cost, now);
            assert_eq!(local.check_n(&key, &plan, cost, now), expected, "{policy:?}");
            assert_eq!(local.peek(&key, &plan, now), shared.peek(&key, &plan, now), "{policy:?}");
            local_sweep.step(&mut local, now, Budget::entries(1));
            shared_sweep.sweep(now, Budget::entries(1));
        }
        let (local, shared) = (local.counters(), shared.counters());
        assert!(shared.unplaced > 1_000, "{policy:?}: the table was never full");
        assert_eq!(local, shared, "{policy:?}");
    }
}

#[test]
fn a_local_table_is_swept_alike() {
    let mut local = LocalBucketTable::boxed(quota(), 1_000, SeededState::new(11)).expect("a unit");
    let shared = table(1_000);
    let plan = shared.plan(quota()).expect("a plan");
    let (mut local_sweep, mut shared_sweep) = (LocalSweep::default(), shared.sweeper());
    for (key, cost, now) in history(5, 20_000) {
        assert_eq!(local.check_n(&key, &plan, cost, now), shared.check_n(&key, &plan, cost, now));
        local_sweep.step(&mut local, now, Budget::entries(50));
        shared_sweep.sweep(now, Budget::entries(50));
    }
    assert_eq!(local.len(), shared.len());
}

#[test]
fn a_sweeper_goes_round_all_targets_and_then_waits() {
    let (first, second) = (table(50), table(200));
    let plan = first.plan(quota()).expect("a plan");
    for key in 0..40_u64 {
        _ = first.check(&key, &plan, Instant::ORIGIN);
        _ = second.check(&key, &plan, Instant::ORIGIN);
    }
    let live = first.len() + second.len();
    let (mut a, mut b) = (first.sweeper(), second.sweeper());
    let mut targets: [&mut dyn Sweep; 2] = [&mut a, &mut b];
    let interval = Duration::from_secs(10);
    let mut sweeper = Sweeper::new(&mut targets, Cadence::new(Instant::from_secs(10), interval));

    assert_eq!(sweeper.poll(Instant::from_secs(9), Budget::UNLIMITED), Swept::default());
    let now = Instant::from_secs(10);
    let (mut visited, mut removed) = (0, 0);
    while sweeper.next_due(now) <= now {
        let step = sweeper.poll(now, Budget::entries(33));
        assert!(step.visited <= 33 && step.visited > 0);
        visited += step.visited;
        removed += step.removed;
        assert_eq!(step.wrapped, sweeper.next_due(now) > now);
    }
    assert_eq!((visited, removed), (first.slots() + second.slots(), live));
    assert_eq!(sweeper.next_due(now), Instant::from_secs(20));

    // A round that takes until 45 s: 20 s was its own, 30 s and 40 s are gone.
    sweeper.poll(Instant::from_secs(21), Budget::entries(1));
    sweeper.poll(Instant::from_secs(45), Budget::UNLIMITED);
    assert_eq!((sweeper.missed(), sweeper.next_due(now)), (2, Instant::from_secs(50)));
}

#[test]
fn a_sweeper_of_nothing_waits() {
    let cadence = Cadence::new(Instant::ORIGIN, Duration::from_secs(1));
    let mut sweeper = Sweeper::new(&mut [], cadence);
    sweeper.poll(Instant::ORIGIN, Budget::UNLIMITED);
    assert_eq!(sweeper.next_due(Instant::ORIGIN), Instant::from_secs(1));
}

/// S13: a fifth of the time to live, and never so often, or so seldom, that it does harm.
#[test]
fn how_often_to_sweep_follows_from_the_time_to_live() {
    use tidegate_core::Cadence;
    let seconds = |ttl| Cadence::interval_for(Duration::from_secs(ttl)).as_secs();
    assert_eq!((seconds(300), seconds(60), seconds(1 << 40)), (60, 12, 3_600));
    assert_eq!(Cadence::interval_for(Duration::ZERO), Duration::from_millis(1));
}
