//! The face's rate limiters.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use tidegate::lockfree::bucket::Keep;
use tidegate::{ExactRateLimiter, ManualClock, OnFull, Quota, RateLimiter, Runtime};

static CLIENTS: LazyLock<RateLimiter<str>> = LazyLock::new(|| {
    let quota = Quota::per_minute(60).and_then(|quota| quota.burst(20));
    RateLimiter::new(quota.expect("valid"), 100_000).expect("valid")
});

#[test]
fn it_can_be_a_static_and_is_shared_by_its_clones() {
    let clone = CLIENTS.clone();
    let admitted = (0..30).filter(|_| clone.check("203.0.113.7").is_admitted()).count();
    assert_eq!(admitted, 20);
    assert!(!CLIENTS.check("203.0.113.7").is_admitted());
    assert!(CLIENTS.check("203.0.113.8").is_admitted());
}

#[test]
fn both_limiters_decide_alike_by_their_own_clock() {
    let clock = Arc::new(ManualClock::new());
    let (slow, fast) = (Quota::per_second(1).unwrap(), Quota::per_second(10).unwrap());
    let shared: RateLimiter<u64> =
        RateLimiter::builder(slow).also(fast).keys(100).clock(Arc::clone(&clock)).build().unwrap();
    let exact: ExactRateLimiter<u64> = ExactRateLimiter::<u64>::builder(slow)
        .also(fast)
        .max_keys(100)
        .clock(Arc::clone(&clock))
        .manual()
        .build()
        .unwrap();
    let (one, other) = (shared.plan(fast).unwrap(), exact.plan(fast).unwrap());
    for step in 0..100_u64 {
        clock.advance(Duration::from_millis(137 * (step % 5)));
        let key = step % 7;
        let pair = match step % 4 {
            0 => (shared.check(&key), exact.check(&key)),
            1 => (shared.check_with(&key, &one), exact.check_with(&key, &other)),
            2 => (shared.check_n_with(&key, &one, 3), exact.check_n_with(&key, &other, 3)),
            _ => (shared.peek(&key), exact.peek(&key)),
        };
        assert_eq!(pair.0.is_admitted(), pair.1.is_admitted(), "step {step}");
        assert_eq!(pair.0.retry_after(), pair.1.retry_after(), "step {step}");
    }
    assert_eq!((shared.len(), exact.len()), (7, 7));
}

#[test]
fn a_refund_a_reset_and_another_plan_act_on_the_bucket() {
    let clock = Arc::new(ManualClock::new());
    let quota = Quota::per_second(1).unwrap().burst(10).unwrap();
    let limiter: ExactRateLimiter<String> = ExactRateLimiter::<String>::builder(quota)
        .clock(Arc::clone(&clock))
        .manual()
        .build()
        .unwrap();
    let charged = limiter.check_n("a", 10);
    assert!(charged.is_admitted() && !limiter.check("a").is_admitted());
    limiter.refund("a", &charged, 4);
    assert!(limiter.check_n("a", 4).is_admitted() && !limiter.check("a").is_admitted());
    limiter.reset("a");
    assert_eq!(limiter.peek("a").remaining(), 10);

    let plan = limiter.plan(quota).unwrap();
    assert!(limiter.check_n("a", 10).is_admitted());
    limiter.convert("a", &plan, &plan, Keep::Fresh);
    assert_eq!(limiter.peek("a").remaining(), 10);
}

#[test]
fn keys_beyond_the_bound_are_answered_by_the_policy() {
    let quota = Quota::per_second(1).unwrap();
    let limiter: ExactRateLimiter<u32> =
        ExactRateLimiter::<u32>::builder(quota).max_keys(2).on_full(OnFull::Admit).build().unwrap();
    assert!((0..5).all(|key| limiter.check(&key).is_admitted()));
    assert_eq!(limiter.len(), 2);
}

#[test]
fn full_buckets_are_freed_by_themselves() {
    let runtime = Runtime::builder().name("face limiter").build().unwrap();
    let clock = Arc::new(ManualClock::new());
    let limiter: ExactRateLimiter<u32> =
        ExactRateLimiter::<u32>::builder(Quota::per_second(1).unwrap())
            .clock(Arc::clone(&clock))
            .runtime(&runtime)
            .build()
            .unwrap();
    runtime.start().unwrap();
    assert!((0..100).all(|key| limiter.check(&key).is_admitted()));
    clock.advance(Duration::from_secs(2));
    let start = std::time::Instant::now();
    while !limiter.is_empty() {
        assert!(start.elapsed() < Duration::from_secs(20), "{} left", limiter.len());
        std::thread::sleep(Duration::from_millis(5));
    }
    drop(limiter);
    assert_eq!(runtime.sweep_handles().len(), 0);
}
