//! Limiters in shadow mode: they decide as others do, and deny nothing.

use std::sync::Arc;
use std::time::Duration;

use tidegate::lockfree::bucket::Outcome;
use tidegate::{
    Clock, Decision, ExactRateLimiter, Limit, ManualClock, Quota, RateLimiter, Reservation,
    check_all, reserve_all, wait,
};

fn quota() -> Quota {
    Quota::per_second(10).and_then(|quota| quota.burst(3)).unwrap()
}

/// A limiter and its shadow, by one clock.
fn pair() -> (Arc<ManualClock>, [RateLimiter<u64>; 2], [ExactRateLimiter<u64>; 2]) {
    let clock = Arc::new(ManualClock::new());
    let tables = [false, true].map(|is_on| {
        RateLimiter::builder(quota()).clock(Arc::clone(&clock)).shadow(is_on).build().unwrap()
    });
    let maps = [false, true].map(|is_on| {
        let builder = ExactRateLimiter::<u64>::builder(quota()).clock(Arc::clone(&clock));
        builder.manual().shadow(is_on).build().unwrap()
    });
    (clock, tables, maps)
}

/// Settles a reservation of a limiter, if there is one, and returns the decision on its estimate.
fn settled<L: Limit>(reserved: Result<Reservation<L>, Decision>, used: u64) -> Decision {
    reserved.map_or_else(
        |denied| denied,
        |reservation| {
            let decision = reservation.decision();
            reservation.settle(used);
            decision
        },
    )
}

/// What a shadow answers says what the limiter itself answers. Returns whether that was a denial.
fn must_agree(real: &Decision, shadow: &Decision) -> bool {
    let is_denied = !real.is_admitted();
    assert!(shadow.is_admitted());
    assert_eq!(shadow.is_shadowed(), is_denied);
    assert!(!real.is_shadowed());
    assert_eq!(shadow.outcome(), real.outcome());
    assert_eq!(shadow.remaining(), real.remaining());
    assert_eq!(shadow.retry_after(), real.retry_after());
    assert_eq!(shadow.reset_after(), real.reset_after());
    // A client that is let through is not told to come back later.
    assert_eq!(shadow.headers().retry_after(), None);
    assert_eq!(shadow.headers().rate_limit(), real.headers().rate_limit());
    is_denied
}

#[test]
fn a_shadow_decides_as_the_limiter_does_and_counts_what_it_would_deny() {
    let (clock, [table, table_shadow], [map, map_shadow]) = pair();
    let mut random = fastrand::Rng::with_seed(3);
    let mut denials = 0;
    for _ in 0..4_000 {
        clock.advance(Duration::from_millis(random.u64(..60)));
        let (key, cost) = (random.u64(..4), random.u64(..5));
        let (plan, map_plan) = (table.plan(quota()).unwrap(), map.plan(quota()).unwrap());
        let pairs = match random.u8(..7) {
            0 => [
                (table.check(&key), table_shadow.check(&key)),
                (map.check(&key), map_shadow.check(&key)),
            ],
            1 => [
                (table.check_n(&key, cost), table_shadow.check_n(&key, cost)),
                (map.check_n(&key, cost), map_shadow.check_n(&key, cost)),
            ],
            2 => [
                (table.check_with(&key, &plan), table_shadow.check_with(&key, &plan)),
                (map.check_with(&key, &map_plan), map_shadow.check_with(&key, &map_plan)),
            ],
            3 => [
                (table.take_up_to(&key, cost), table_shadow.take_up_to(&key, cost)),
                (map.take_up_to(&key, cost), map_shadow.take_up_to(&key, cost)),
            ],
            4 => [
                (
                    settled(table.reserve(&key, cost), cost / 2),
                    settled(table_shadow.reserve(&key, cost), cost / 2),
                ),
                (
                    settled(map.reserve(&key, cost), cost / 2),
                    settled(map_shadow.reserve(&key, cost), cost / 2),
                ),
            ],
            5 => [
                (
                    check_all(&[table.limit_n(&key, cost)]).decisions()[0],
                    check_all(&[table_shadow.limit_n(&key, cost)]).decisions()[0],
                ),
                (
                    check_all(&[map.limit_n(&key, cost)]).decisions()[0],
                    check_all(&[map_shadow.limit_n(&key, cost)]).decisions()[0],
                ),
            ],
            _ => {
                // A look is not counted.
                must_agree(&table.peek(&key), &table_shadow.peek(&key));
                must_agree(&map.peek(&key), &map_shadow.peek(&key));
                continue;
            }
        };
        let [one, other] = pairs.map(|(real, shadow)| must_agree(&real, &shadow));
        assert_eq!(one, other);
        denials += u64::from(one);
    }
    assert!(denials > 200, "{denials} denials");
    assert_eq!((table_shadow.shadow_denials(), map_shadow.shadow_denials()), (denials, denials));
    assert_eq!((table.shadow_denials(), map.shadow_denials()), (0, 0));
}

#[test]
fn a_shadow_never_denies_the_other_limits_of_a_request() {
    let (_, [table, shadow], [map, map_shadow]) = pair();
    let ask = || {
        let limits: [&dyn Limit; 3] =
            [&shadow.limit_n(&1, 2), &map_shadow.limit_n(&1, 2), &table.limit(&1)];
        check_all(&limits)
    };
    let answers = [ask(), ask(), ask(), ask()];
    assert_eq!(answers.map(|answer| answer.is_admitted()), [true, true, true, false]);
    assert_eq!(answers[3].denied_by(), Some(2));
    let shadowed = answers.map(|answer| answer.decisions()[0].is_shadowed());
    assert_eq!(shadowed, [false, true, true, true]);
    // The last request was denied by another limit.
    assert_eq!((shadow.shadow_denials(), map_shadow.shadow_denials()), (2, 2));
    assert_eq!((shadow.peek(&1).remaining(), table.peek(&1).remaining()), (1, 0));

    let reserved = reserve_all([map_shadow.limit_n(&1, 3), map_shadow.limit_n(&2, 3)]).unwrap();
    assert_eq!(reserved.settle([3, 1]).map(|settled| settled.given_back()), [0, 2]);
    assert_eq!((map_shadow.peek(&1).remaining(), map_shadow.peek(&2).remaining()), (1, 2));
    assert!(map.reserve(&2, 4).is_err() && map_shadow.reserve(&2, 4).is_ok());
}

#[test]
fn a_shadow_takes_what_there_is() {
    let (_, [_, table], [_, map]) = pair();
    let takers: [&dyn Fn() -> Decision; 2] =
        [&|| table.take_up_to(&1, 2), &|| map.take_up_to(&1, 2)];
    for take in takers {
        let taken = [take(), take(), take()];
        assert_eq!(taken.map(|decision| decision.charged()), [2, 1, 0]);
        assert!(taken.iter().all(Decision::is_admitted));
        assert_eq!(taken.map(|decision| decision.is_shadowed()), [false, false, true]);
    }
    assert_eq!((table.shadow_denials(), map.shadow_denials()), (1, 1));
}

#[test]
fn nothing_waits_for_a_shadow_and_the_delay_says_how_long_it_would_have() {
    let clock = Arc::new(ManualClock::new());
    let limiter: RateLimiter<u64> = RateLimiter::builder(quota())
        .clock(Arc::clone(&clock))
        .max_wait(Duration::from_millis(150))
        .timer(|_| -> std::future::Ready<()> { panic!("nothing sleeps") })
        .shadow(true)
        .build()
        .unwrap();
    let delays: Vec<_> = (0..5)
        .map(|_| {
            let turn = wait::block_on(limiter.until_ready(&1)).unwrap();
            (turn.delay().as_millis(), turn.decision().is_shadowed())
        })
        .collect();
    // The fifth would have been refused.
    assert_eq!(delays, [(0, false), (0, false), (0, false), (100, false), (0, true)]);
    assert_eq!(limiter.shadow_denials(), 1);
    let never = *limiter.wait_n(&1, 4).unwrap().decision();
    assert_eq!((never.outcome(), never.is_admitted()), (Outcome::Never, true));
    assert_eq!((limiter.shadow_denials(), clock.now()), (2, tidegate::Instant::ORIGIN));
}

#[test]
fn what_a_shadow_would_have_denied_gives_nothing_back() {
    let (_, [_, limiter], _) = pair();
    let charged = [0; 3].map(|_| limiter.check(&1));
    let withheld = limiter.check(&1);
    assert!(charged.iter().all(Decision::is_admitted) && withheld.is_shadowed());
    limiter.refund(&1, &withheld, 1);
    assert_eq!(limiter.peek(&1).remaining(), 0);
}
