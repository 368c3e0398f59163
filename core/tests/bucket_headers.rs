//! A decision's header fields, and what a client gets that believes them.

use core::time::Duration;

use tidegate_core::bucket::{Headers, LocalSet, Set, Unit};
use tidegate_core::{BucketTable, Decision, Instant, LocalBucketTable, OnFull, Quota, SeededState};

fn table(quota: Quota) -> BucketTable<Box<[Set]>> {
    BucketTable::boxed(quota, 100, SeededState::new(1)).expect("a unit")
}

fn written(headers: &Headers<'_>) -> Vec<String> {
    headers.fields().map(|(name, value)| format!("{name}: {value}")).collect()
}

#[test]
fn fields_are_written_as_the_draft_says() {
    let quota = Quota::per_minute(60).and_then(|quota| quota.burst(20)).expect("a quota");
    let (table, now) = (table(quota), Instant::from_secs(5));
    let plan = table.plan(quota).expect("a plan");
    let first = table.check(&1_u64, &plan, now).headers();
    let both = [r#"ratelimit-policy: "default";q=20;w=20"#, r#"ratelimit: "default";r=19;t=1"#];
    assert_eq!(written(&first), both);
    // 400 ms later, 600 ms are left.
    let later = now + Duration::from_millis(400);
    assert_eq!(table.peek(&1_u64, &plan, later).headers().rate_limit().reset(), 1);
    let denied = table.check_n(&1_u64, &plan, 20, later).headers();
    assert_eq!(written(&denied)[2], "retry-after: 1");
    assert_eq!(denied.retry_after().map(|after| after.seconds()), Some(1));
    // No wait helps.
    let never = table.check_n(&1_u64, &plan, 21, later);
    assert!(!never.is_admitted());
    assert_eq!(never.headers().retry_after(), None);
}

#[test]
fn names_are_quoted_and_refused_where_they_cannot_be() {
    let headers = Decision::CLOSED.headers();
    let named = headers.named(r#"a "b" \c"#).expect("printable");
    assert_eq!(named.policy().to_string(), r#""a \"b\" \\c";q=0"#);
    assert_eq!(named.rate_limit().to_string(), r#""a \"b\" \\c";r=0;t=0"#);
    for (name, at) in [("caf\u{e9}", 3), ("a\r\nset-cookie: b", 1), ("\u{7f}", 0)] {
        let error = headers.named(name).expect_err("not printable");
        let text = format!("name: the byte at {at} is no printable ASCII character");
        assert_eq!(error.to_string(), text);
    }
}

#[test]
fn figures_stay_within_what_a_structured_field_can_hold() {
    let quota = Quota::per_second(1_u64 << 62).expect("a quota");
    let table = table(quota);
    let plan = table.plan(quota).expect("a plan");
    let headers = table.check(&1_u64, &plan, Instant::ORIGIN).headers();
    assert_eq!(headers.policy().quota(), 999_999_999_999_999);
    assert_eq!(headers.rate_limit().remaining(), 999_999_999_999_999);
    // A window below a second is shown as one.
    assert_eq!(headers.policy().window(), Some(1));
}

#[test]
fn a_table_without_a_slot_says_when_to_try_again() {
    let quota = Quota::per_minute(1).expect("a quota");
    let sets: Box<[LocalSet]> = Box::new([LocalSet::new()]);
    let table = LocalBucketTable::over(sets, Unit::NANOSECOND, SeededState::new(1));
    let mut table = table.on_full(OnFull::Deny);
    let plan = table.plan(quota).expect("a plan");
    let answers: Vec<_> =
        (0..20_u64).map(|key| table.check(&key, &plan, Instant::ORIGIN)).collect();
    let full = answers.iter().find(|answer| answer.is_unplaced()).expect("a full set");
    assert_eq!(full.headers().retry_after().map(|after| after.seconds()), Some(60));
}

/// A client obeys the fields of the answer. A denied request passes after `Retry-After`, the bucket is
/// full after `t` seconds, and `q` requests every `w` seconds are never denied.
#[test]
fn a_client_that_waits_as_told_passes() {
    const CASES: u32 = if cfg!(debug_assertions) { 2_000 } else { 50_000 };

    let mut random = fastrand::Rng::with_seed(11);
    let mut denials = 0;
    for case in 0..CASES {
        let period =
            Duration::from_nanos(random.u64(1..=[1_000, 1 << 32, 1 << 45][case as usize % 3]));
        let (cells, burst) = (random.u64(1..=1_000), random.u64(1..=50));
        let quota = Quota::new(cells, period).and_then(|quota| quota.burst(burst));
        let quota = quota.expect("a quota");
        let table = table(quota);
        let Ok(plan) = table.plan(quota) else { continue };
        let mut now = Instant::from_nanos(random.u64(..1 << 40));
        for _ in 0..random.u8(1..20) {
            let cost = random.u64(1..=burst);
            let answer = table.check_n(&1_u64, &plan, cost, now);
            let headers = answer.headers();
            assert_eq!(headers.retry_after().is_some(), !answer.is_admitted(), "{quota:?}");
            let seconds = Duration::from_secs;
            let full = now + seconds(headers.rate_limit().reset());
            assert_eq!(table.peek(&1_u64, &plan, full).remaining(), answer.limit(), "{quota:?}");
            if let Some(after) = headers.retry_after() {
                denials += 1;
                assert!(after.seconds() >= 1);
                // Not a second longer than needed.
                let wait = answer.retry_after().expect("a time");
                assert!(seconds(after.seconds() - 1) < wait, "{quota:?}");
                now = now + seconds(after.seconds());
                assert!(table.check_n(&1_u64, &plan, cost, now).is_admitted(), "{quota:?}");
            }
            now = now + Duration::from_nanos(random.u64(..=period.as_nanos() as u64 / cells));
        }
        let policy = table.peek(&2_u64, &plan, now).headers().policy();
        let window = Duration::from_secs(policy.window().expect("it fills"));
        for _ in 0..3 {
            assert!(table.check_n(&2_u64, &plan, policy.quota(), now).is_admitted(), "{quota:?}");
            now = now + window;
        }
    }
    assert!(denials > CASES / 2, "only {denials} denials");
}
