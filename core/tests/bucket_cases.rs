//! The cases of a Haskell rate limiter's buckets and purge, by their ids. Times are in milliseconds
//! on a clock of our own; `A` is admitted, `D` denied.
//!
//! Where ours differs from the original on purpose, the comment says which of its defects is the
//! reason.

use core::time::Duration;

use tidegate_core::{
    BucketTable, Budget, Cadence, Clock, Instant, LocalBucketTable, ManualClock, Monotone, Quota,
    QuotaError, SeededState, Sweep,
};

/// So many cells in so many seconds, and so many at once.
fn quota(cells: u64, seconds: u64, burst: u64) -> Quota {
    let quota = Quota::new(cells, Duration::from_secs(seconds));
    quota.and_then(|quota| quota.burst(burst)).expect("a quota")
}

/// What is answered at each of `times`, by both tables.
fn answers(quota: Quota, times: &[u64]) -> String {
    let shared = BucketTable::boxed(quota, 10, SeededState::new(1)).expect("a unit");
    let mut local = LocalBucketTable::boxed(quota, 10, SeededState::new(1)).expect("a unit");
    let plan = shared.plan(quota).expect("a plan");
    let letter = |admitted| if admitted { 'A' } else { 'D' };
    let mut answers = String::new();
    for &time in times {
        let now = Instant::from_nanos(time * 1_000_000);
        let decision = shared.check("key", &plan, now);
        assert_eq!(decision, local.check("key", &plan, now), "the tables differ at {time} ms");
        answers.push(letter(decision.is_admitted()));
    }
    answers
}

#[test]
fn token_buckets() {
    let rows = [
        ("K-C1", quota(3, 10, 3), &[0, 0, 0, 0, 0][..], "AAADD"),
        ("K-C2", quota(2, 20, 2), &[0, 0, 0], "AAD"),
        ("K-C4", quota(2, 5, 2), &[0, 2_000, 6_000], "AAA"),
        ("K-C8", quota(2, 1, 2), &[0, 0, 2_000], "AAA"),
        ("K-C10", quota(3, 1, 3), &[0, 0, 0, 0, 0, 4_000, 4_000, 4_000, 4_000], "AAADDAAAD"),
        // The original counts whole seconds (K-B5).
        ("K-C14", quota(1, 1, 1), &[990, 1_010, 1_990, 2_010, 2_990], "ADADA"),
    ];
    for (id, quota, times, expected) in rows {
        assert_eq!(answers(quota, times), expected, "{id}");
    }
}

#[test]
fn k_c5_a_capacity_of_zero_denies_and_stores_nothing() {
    let table = BucketTable::boxed(quota(1, 1, 1), 10, SeededState::new(1)).expect("a unit");
    let closed = table.plan(Quota::closed()).expect("a closed plan");
    for cost in [0, 1, u64::MAX] {
        let decision = table.check_n("key", &closed, cost, Instant::from_secs(1));
        assert!(!decision.is_admitted());
        assert_eq!((decision.retry_after(), decision.remaining()), (None, 0));
    }
    assert!(table.is_empty());
}

#[test]
fn k_c7_a_rate_of_zero_is_an_error() {
    assert_eq!(Quota::new(0, Duration::from_secs(1)), Err(QuotaError::ZeroRate));
    assert_eq!(Quota::new(2, Duration::ZERO), Err(QuotaError::ZeroPeriod));
}

#[test]
fn k_c11_there_is_no_idle_time_to_set_wrongly() {
    // The original denies everything if its idle time is below 2 s (K-B17). Ours forgets a bucket
    // when it equals a fresh one: its life follows from the quota, and a short one limits as well.
    assert_eq!(answers(quota(1_000, 1, 1), &[0, 0, 1, 1]), "ADAD");
}

#[test]
fn k_c13_denied_polls_do_not_destroy_the_refill() {
    // K-B4: the original never admits again.
    let polls = (1..=20).map(|poll| poll * 30_000);
    let times: Vec<_> = [0; 5].into_iter().chain(polls).collect();
    assert_eq!(answers(quota(5, 300, 5), &times), "AAAAADADADADADADADADADADA");
}

#[test]
fn leaky_buckets() {
    let polls: Vec<_> = (0..=11).map(|second| second * 1_000).collect();
    let rows = [
        ("K-C16", quota(2, 60, 2), &[0, 0, 0][..], "AAD"),
        ("K-C17", quota(2, 2, 2), &[0, 0, 0, 3_000], "AADA"),
        ("K-C19", quota(1, 1, 2), &[0, 0, 0], "AAD"),
        (
            "K-C22",
            quota(1, 2, 3),
            &[0, 0, 0, 1_000, 2_000, 3_000, 4_000, 5_000, 6_000],
            "AAADADADA",
        ),
        // The original's floating point admits at 11 s (K-B18).
        ("K-C23", quota(1, 10, 1), &polls, "ADDDDDDDDDAD"),
        (
            "K-C25",
            quota(2, 1, 5),
            &[0, 0, 0, 1_000_000, 1_000_000, 1_000_000, 1_000_000, 1_000_000, 1_000_000],
            "AAAAAAAAD",
        ),
    ];
    for (id, quota, times, expected) in rows {
        assert_eq!(answers(quota, times), expected, "{id}");
    }
}

#[test]
fn k_c20_three_threads_on_a_frozen_clock_get_the_limit() {
    let quota = quota(2, 60, 2);
    let table = BucketTable::boxed(quota, 10, SeededState::new(1)).expect("a unit");
    let plan = table.plan(quota).expect("a plan");
    let check = || table.check("key", &plan, Instant::from_secs(9)).is_admitted();
    let admitted: usize = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..3).map(|_| scope.spawn(check)).collect();
        threads.into_iter().map(|thread| usize::from(thread.join().expect("no panic"))).sum()
    });
    assert_eq!(admitted, 2);
}

#[test]
fn k_c26_a_clock_that_is_set_back_takes_nothing_away() {
    // K-B9: the original goes 57 tokens into debt.
    let wall = ManualClock::new();
    let clock = Monotone::new(&wall);
    let quota = quota(1, 1, 5);
    let table = BucketTable::boxed(quota, 10, SeededState::new(1)).expect("a unit");
    let plan = table.plan(quota).expect("a plan");
    let remaining: Vec<_> = [100, 100, 40, 100]
        .into_iter()
        .map(|seconds| {
            wall.set(Instant::from_secs(seconds));
            let decision = table.check("key", &plan, clock.now());
            assert!(decision.is_admitted());
            decision.remaining()
        })
        .collect();
    assert_eq!(remaining, [4, 3, 2, 1]);
}

#[test]
fn k_b3_bursts_around_a_purge_get_no_token_back() {
    // 5 a day, bursts of 10 every 3,700 s. The original, which purges what has been idle for
    // an hour, admits 120; the bucket's own arithmetic admits 9.
    let quota = quota(5, 86_400, 5);
    let table = BucketTable::boxed(quota, 10, SeededState::new(1)).expect("a unit");
    let plan = table.plan(quota).expect("a plan");
    let mut admitted = 0;
    for visit in 0..24 {
        let now = Instant::from_secs(visit * 3_700);
        table.sweeper().sweep(now, Budget::UNLIMITED);
        for _ in 0..10 {
            admitted += u32::from(table.check("key", &plan, now).is_admitted());
        }
    }
    assert_eq!(admitted, 9);
}

#[test]
fn k_c37_a_purge_returns_the_memory() {
    // Stronger than the original's test, which passes with the purge thread removed (K-B19).
    let quota = quota(1, 2, 1);
    let table = BucketTable::boxed(quota, 10, SeededState::new(1)).expect("a unit");
    let plan = table.plan(quota).expect("a plan");
    assert!(table.check("key", &plan, Instant::ORIGIN).is_admitted());
    assert_eq!(table.len(), 1);
    for (second, left) in [(1, 1), (2, 1), (3, 0)] {
        table.sweeper().sweep(Instant::from_secs(second), Budget::UNLIMITED);
        assert_eq!(table.len(), left, "after {second} s");
    }
}

#[test]
fn k_c38_purges_start_on_the_interval_however_long_they_take() {
    // K-B1: the original runs without a pause once its work takes half of the interval.
    let cases =
        [(0, 10), (1_000, 10), (4_900, 10), (5_000, 10), (6_000, 10), (9_000, 10), (12_000, 20)];
    for (work, apart) in cases {
        let mut cadence = Cadence::new(Instant::ORIGIN, Duration::from_secs(10));
        let mut now = Instant::ORIGIN;
        let mut starts = Vec::new();
        while starts.len() < 4 {
            now = now.max(cadence.next_due());
            assert!(cadence.due(now));
            starts.push(now.as_nanos() / 1_000_000_000);
            now = now + Duration::from_millis(work);
            cadence.finish(now);
        }
        let gaps: Vec<_> = starts.windows(2).map(|pair| pair[1] - pair[0]).collect();
        assert_eq!(gaps, [apart; 3], "work of {work} ms");
    }
}
