//! Every decision beside an exact reference: u128 numerators, no rounding anywhere.

use core::time::Duration;

use tidegate_core::bucket::{LocalSet, Unit};
use tidegate_core::{Decision, Instant, LocalBucketTable, Plan, Quota, QuotaError, SeededState};

/// A bucket in exact arithmetic. Times are in units of 1/n ns for a quota of n cells in p ns, so a
/// cell lasts exactly p of them and a nanosecond exactly n.
#[derive(Clone, Copy)]
struct Exact {
    n: u128,
    p: u128,
    burst: u128,
    /// When the bucket is full again.
    full_at: u128,
}

impl Exact {
    fn new(quota: &Quota) -> Self {
        Self {
            n: quota.cells().into(),
            p: quota.period().as_nanos(),
            burst: quota.burst_cells().into(),
            full_at: 0,
        }
    }

    /// How far `cost` is from being admitted at `now`: negative by as much as it is early.
    fn slack(&self, cost: u64, now: u64) -> i128 {
        let now = u128::from(now) * self.n;
        let after = self.full_at.max(now) + u128::from(cost) * self.p;
        (now + self.burst * self.p) as i128 - after as i128
    }

    fn charge(&mut self, cost: u64, now: u64) {
        let now = u128::from(now) * self.n;
        self.full_at = self.full_at.max(now) + u128::from(cost) * self.p;
    }

    /// Gives `cells` back of a charge of `cost` at `at`.
    fn refund(&mut self, cells: u64, at: u64, cost: u64, now: u64) {
        let flowed_in = u128::from(at) * self.n + u128::from(cost) * self.p;
        let now = u128::from(now) * self.n;
        let credit = (u128::from(cells.min(cost)) * self.p).min(flowed_in.saturating_sub(now));
        if self.full_at > now {
            self.full_at = self.full_at.saturating_sub(credit).max(now);
        }
    }

    fn remaining(&self, now: u64) -> u64 {
        let debt = self.full_at.saturating_sub(u128::from(now) * self.n);
        (self.burst - debt.div_ceil(self.p).min(self.burst)) as u64
    }

    /// The first whole nanosecond at which `cost` is admitted.
    fn ready(&self, cost: u64) -> u64 {
        let due = self.full_at + u128::from(cost) * self.p;
        due.saturating_sub(self.burst * self.p).div_ceil(self.n) as u64
    }
}

type Table = LocalBucketTable<Box<[LocalSet]>>;

fn table(quota: Quota) -> (Table, Plan) {
    let table = LocalBucketTable::boxed(quota, 10, SeededState::new(1)).expect("a unit");
    let plan = table.plan(quota).expect("a plan");
    (table, plan)
}

fn check(table: &mut Table, plan: &Plan, cost: u64, now: u64) -> Decision {
    table.check_n(&1, plan, cost, Instant::from_nanos(now))
}

/// A step forward in time: none, tiny, about a cell, about a burst; and half of the time exactly to
/// where the reference turns.
fn step(random: &mut fastrand::Rng, exact: &Exact, now: u64, cost: u64) -> u64 {
    let cell = (exact.p / exact.n).max(1) as u64;
    let burst = (exact.burst * exact.p / exact.n).max(1) as u64;
    match random.u8(0..8) {
        0 => now,
        1 => now + 1,
        2 => now + random.u64(0..=2 * cell),
        3 => now + random.u64(0..=burst),
        4 => now + exact.p as u64,
        5 => now.max(exact.ready(cost).saturating_sub(1)),
        _ => now.max(exact.ready(cost)),
    }
}

/// Runs `operations` random ones, half of them at exact turning points. Returns how many answers
/// were early.
fn compare(quota: Quota, operations: usize, seed: u64) -> usize {
    let (mut bucket, plan) = table(quota);
    let mut exact = Exact::new(&quota);
    let mut random = fastrand::Rng::with_seed(seed);
    let mut now = 0;
    let mut early = 0;
    let mut last = (Decision::CLOSED, 0, 0);
    for _ in 0..operations {
        let most = if random.bool() { 3 } else { quota.burst_cells() };
        let cost = random.u64(1..=most.min(quota.burst_cells()));
        if random.u8(0..10) == 0 {
            let (decision, at, charged) = std::mem::take(&mut last);
            // Otherwise the rounding of two times makes it worth a unit less, or more.
            if !plan.is_exact() && at != now {
                continue;
            }
            bucket.refund(&1, &decision, cost, Instant::from_nanos(now));
            exact.refund(cost, at, charged, now);
            continue;
        }
        now = step(&mut random, &exact, now, cost);
        if now > 300_000_000_000_000_000 {
            // Near the end of ten years: begin again.
            bucket = table(quota).0;
            exact = Exact::new(&quota);
            (last, now) = Default::default();
        }
        let decision = check(&mut bucket, &plan, cost, now);
        let slack = exact.slack(cost, now);
        let place = || format!("{quota:?} cost {cost} at {now}: slack {slack}");
        if plan.is_exact() {
            assert_eq!(decision.is_admitted(), slack >= 0, "{}", place());
        } else if decision.is_admitted() != (slack >= 0) {
            assert!(decision.is_admitted(), "late: {}", place());
            // A unit is under a nanosecond, which is n here.
            assert!(slack > -(exact.n as i128), "early by more than a unit: {}", place());
            early += 1;
        }
        if decision.is_admitted() {
            last = (decision, now, cost);
            exact.charge(cost, now);
            if !plan.is_exact() && slack < 0 {
                // The reference would have waited for less than a nanosecond.
                exact.full_at = exact.full_at.saturating_sub(slack.unsigned_abs());
            }
        }
        if plan.is_exact() {
            assert_eq!(decision.remaining(), exact.remaining(now), "{}", place());
            let retry = decision.retry_after().expect("within the burst");
            let expected = if decision.is_admitted() { 0 } else { exact.ready(cost) - now };
            assert_eq!(retry.as_nanos() as u64, expected, "{}", place());
        }
    }
    early
}

/// A number below 2^bits, of any magnitude.
fn some(random: &mut fastrand::Rng, bits: u32) -> u64 {
    let magnitude = random.u32(1..bits);
    random.u64(0..1 << magnitude)
}

fn quota(cells: u64, period: Duration, burst: u64) -> Quota {
    Quota::new(cells, period).and_then(|quota| quota.burst(burst)).expect("a quota")
}

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3_600);
const DAY: Duration = Duration::from_secs(86_400);
const MONTH: Duration = Duration::from_secs(30 * 86_400);

#[test]
fn exact_plans_never_disagree_in_10_million_operations() {
    let quotas = [
        quota(1, SECOND, 1),
        quota(60, MINUTE, 20),
        quota(1_000, SECOND, 1_000),
        quota(1_000_000, SECOND, 50),
        quota(1_000_000_000, SECOND, 1_500),
        quota(3_000_000_000, SECOND, 9_000),
        quota(100, HOUR, 10),
        quota(5, DAY, 5),
        quota(3, MONTH, 3),
        quota(2, Duration::from_nanos(7), 11),
    ];
    for (seed, quota) in quotas.into_iter().enumerate() {
        let unit = Unit::for_quota(quota).expect("a unit");
        assert!(unit.plan(quota).expect("a plan").is_exact(), "{quota:?}");
        compare(quota, 1_000_000, seed as u64);
    }
}

#[test]
fn other_plans_are_never_late_and_at_most_a_unit_early() {
    let quotas = [
        quota(17, MINUTE, 17),
        quota(70, HOUR, 70),
        quota(1_000_003, SECOND, 1_000_003),
        quota(48_000_000, SECOND, 300),
        quota(700_000_000, SECOND, 700_000_000),
        quota(23, DAY, 4),
        quota(101, MINUTE, 1),
        quota(7, MONTH, 2),
    ];
    let mut early = 0;
    for (seed, quota) in quotas.into_iter().enumerate() {
        let plan = Unit::for_quota(quota).and_then(|unit| unit.plan(quota)).expect("a plan");
        assert!(!plan.is_exact());
        assert_eq!(plan.error(), 0, "a unit is made for its own quota");
        early += compare(quota, 500_000, seed as u64);
    }
    println!("{early} of 4,000,000 answers were early, by less than a nanosecond");
}

#[test]
fn the_last_of_17_cells_comes_back_after_exactly_one_period() {
    for (cells, period) in [(17, MINUTE), (17, SECOND), (19, MINUTE), (70, HOUR), (23, DAY)] {
        let quota = quota(cells, period, cells);
        let (mut table, plan) = table(quota);
        for round in 0..3 {
            let now = round * period.as_nanos() as u64;
            for cell in 0..cells {
                let decision = check(&mut table, &plan, 1, now);
                assert!(decision.is_admitted(), "cell {cell} of round {round} of {quota:?}");
            }
            assert!(!check(&mut table, &plan, 1, now).is_admitted());
        }
    }
}

#[test]
fn retry_after_is_exact_to_the_nanosecond() {
    for quota in [quota(3, SECOND, 2), quota(17, MINUTE, 5), quota(1_000_000, SECOND, 9)] {
        let (mut table, plan) = table(quota);
        let now = 12_345;
        while check(&mut table, &plan, 1, now).is_admitted() {}
        let retry = check(&mut table, &plan, 1, now).retry_after().expect("not for ever");
        let ready = now + retry.as_nanos() as u64;
        assert!(!check(&mut table, &plan, 1, ready - 1).is_admitted(), "{quota:?}");
        assert!(check(&mut table, &plan, 1, ready).is_admitted(), "{quota:?}");
    }
}

#[test]
fn bytes_at_50_gigabytes_a_second_keep_their_rate() {
    let quota = Quota::per_second(50_000_000_000).expect("a quota");
    let (mut table, plan) = table(quota);
    assert_eq!(plan.error(), 0);
    let mut admitted = 0_u64;
    // A second of full-sized frames, in steps of a microsecond: whole units of 32 bytes.
    let frame = 9_024;
    for microsecond in 0..1_000_000 {
        while check(&mut table, &plan, frame, microsecond * 1_000).is_admitted() {
            admitted += frame;
        }
    }
    let asked = 50_000_000_000 + quota.burst_cells();
    let off = asked.abs_diff(admitted);
    assert!(off < 10 * frame, "admitted {admitted} of {asked}");
}

#[test]
fn further_plans_on_a_table_never_over_admit_and_say_how_far_off_they_are() {
    let own = Quota::per_second(48_000_000).expect("a quota");
    let unit = Unit::for_quota(own).expect("a unit");
    let mut random = fastrand::Rng::with_seed(7);
    let (mut compiled, mut refused) = (0, 0);
    for _ in 0..2_000 {
        let cells = 1 + some(&mut random, 30);
        let other = quota(cells, [SECOND, MINUTE, HOUR, DAY][random.usize(0..4)], 1 + cells / 2);
        let plan = match unit.plan(other) {
            Ok(plan) => plan,
            Err(QuotaError::Coarse | QuotaError::Horizon) => {
                refused += 1;
                continue;
            }
            Err(error) => panic!("{other:?}: {error}"),
        };
        compiled += 1;
        assert!(plan.error() <= 976_563, "{other:?} is off by {} ppb", plan.error());
        // Greedy for twenty bursts: admitted <= burst + rate * time, plus a unit.
        let sets: Box<[LocalSet]> = vec![LocalSet::new()].into();
        let mut table = LocalBucketTable::over(sets, unit, SeededState::new(1));
        let exact = Exact::new(&other);
        let mut admitted = 0_u64;
        let mut now = 0;
        for _ in 0..200 {
            while admitted < 100_000 && check(&mut table, &plan, 1, now).is_admitted() {
                admitted += 1;
            }
            let bound = exact.burst * exact.p + u128::from(now + 1) * exact.n;
            assert!(u128::from(admitted) * exact.p <= bound, "{other:?} over-admits by {now}");
            now += random.u64(0..=(exact.burst * exact.p / exact.n / 10) as u64 + 1);
        }
    }
    assert!(compiled > 500 && refused > 0, "{compiled} compiled, {refused} refused");
}

#[test]
fn the_error_of_a_plan_is_rounded_up() {
    // 1.1637 parts in 10^9.
    let nearly_two = Quota::new((1 << 40) + 511, Duration::from_nanos(2_199_023_254_015));
    let plan = nearly_two.and_then(|quota| Unit::NANOSECOND.plan(quota)).expect("a plan");
    assert_eq!(plan.error(), 2);

    // A cell takes p / n ns: rounded up, it is too long by n * ceil(p / n) - p in p.
    let mut random = fastrand::Rng::with_seed(11);
    let (mut inexact, mut close) = (0, 0);
    for _ in 0..200_000 {
        let n = 1 + some(&mut random, 44);
        // Half of them only a little short of a whole number.
        let p = match random.bool() {
            true => 1 + some(&mut random, 60),
            false => (n * random.u64(1..4)).saturating_sub(some(&mut random, 10)).max(1),
        };
        let other = quota(n, Duration::from_nanos(p), 1);
        let Ok(plan) = Unit::NANOSECOND.plan(other) else { continue };
        if p < n {
            continue; // A unit is several cells, and rounded otherwise.
        }
        let excess = u128::from(n * p.div_ceil(n) - p) * 1_000_000_000;
        assert_eq!(u128::from(plan.error()), excess.div_ceil(u128::from(p)), "{n} in {p} ns");
        inexact += u32::from(excess > 0);
        close += u32::from((1..p.into()).contains(&excess));
    }
    assert!(inexact > 10_000 && close > 100, "{inexact} were inexact, {close} by less than 1 ppb");
}

#[test]
fn quotas_that_cannot_be_had_say_which_bound_they_break() {
    assert_eq!(Quota::per_second(0), Err(QuotaError::ZeroRate));
    assert_eq!(Quota::new(1, Duration::ZERO), Err(QuotaError::ZeroPeriod));
    assert_eq!(Quota::per_second(1).and_then(|quota| quota.burst(0)), Err(QuotaError::ZeroBurst));
    assert_eq!(Quota::per_second(1 << 63), Err(QuotaError::TooLarge));
    assert_eq!(Quota::new(1, Duration::MAX), Err(QuotaError::TooLarge));
    let nanosecond = Duration::from_nanos(1);
    let fast = Quota::new(1 << 40, nanosecond).expect("a quota");
    assert_eq!(Unit::for_quota(fast), Err(QuotaError::TooFast));
    let slow = quota(1, MONTH, 1_000);
    assert_eq!(Unit::for_quota(slow).and_then(|unit| unit.plan(slow)), Err(QuotaError::Horizon));
    let coarse = Quota::per_second(700_000_000).expect("a quota");
    assert_eq!(Unit::NANOSECOND.plan(coarse), Err(QuotaError::Coarse));
}

#[test]
fn every_accepted_plan_leaves_ten_years() {
    let mut random = fastrand::Rng::with_seed(3);
    for _ in 0..20_000 {
        let cells = 1 + some(&mut random, 40);
        let period = Duration::from_nanos(1 + some(&mut random, 52));
        let quota = quota(cells, period, 1 + some(&mut random, 40));
        let Ok(unit) = Unit::for_quota(quota) else { continue };
        let Ok(plan) = unit.plan(quota) else { continue };
        let sets: Box<[LocalSet]> = vec![LocalSet::new()].into();
        let mut table = LocalBucketTable::over(sets, unit, SeededState::new(1));
        let last = 10 * 31_557_600 * 1_000_000_000;
        let decision = check(&mut table, &plan, quota.burst_cells(), last);
        assert!(decision.is_admitted(), "{quota:?}");
        assert_eq!(decision.remaining(), 0, "{quota:?}");
    }
}

#[test]
fn at_the_end_of_time_everything_is_denied_and_nothing_wraps() {
    let quota = quota(3, SECOND, 5);
    let (mut table, plan) = table(quota);
    for now in [u64::MAX, u64::MAX - 1, u64::MAX / 2] {
        let decision = check(&mut table, &plan, 1, now);
        assert!(!decision.is_admitted());
        assert_eq!(decision.retry_after(), None);
        assert!(decision.remaining() <= decision.limit());
    }
    assert!(check(&mut table, &plan, 1, 0).is_admitted());
    for cost in [u64::MAX, u64::MAX / 2, 6] {
        assert_eq!(check(&mut table, &plan, cost, 0).retry_after(), None);
    }
}

#[test]
fn near_the_end_of_time_what_can_no_longer_be_is_denied_for_ever() {
    let last = (1 << 60) - 1;
    for burst in [1, 5] {
        let quota = quota(1, SECOND, burst);
        let (mut table, plan) = table(quota);
        for now in [last - 10, last - 999_999_999, last, last + 1] {
            let decision = check(&mut table, &plan, 1, now);
            assert!(!decision.is_admitted());
            assert_eq!(decision.retry_after(), None, "burst {burst} at {now}");
        }
        // A second before, there is just time for one.
        assert!(check(&mut table, &plan, 1, last - 1_000_000_000).is_admitted());
    }
}
