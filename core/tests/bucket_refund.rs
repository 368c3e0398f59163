//! Refunds never make room for more than the quota allows.
//!
//! What was refunded counts as never served. With that, every window holds at most the burst and
//! what flows in within its length, whatever was charged and given back, and when. Histories of small
//! integers are searched for one that does not: a cell takes a nanosecond, and a bucket's time is a
//! number that the test knows as well.

use core::time::Duration;

use tidegate_core::bucket::{LocalSet, Set, Unit};
use tidegate_core::{
    BucketMap, BucketTable, Budget, Decision, Domain, Instant, LocalBucketTable, LocalSweep,
    OnFull, Plan, Quota, SeededState, Sweep, Worker,
};

/// A structure that keeps buckets.
trait Limiter {
    fn check(&mut self, key: u64, plan: &Plan, cost: u64, now: Instant) -> Decision;
    fn peek(&mut self, key: u64, plan: &Plan, now: Instant) -> Decision;
    fn refund(&mut self, key: u64, decision: &Decision, cells: u64, now: Instant);
    fn sweep(&mut self, now: Instant);
    /// Whether a bucket knows how much was given back to it.
    fn counts(&self) -> bool;
}

impl Limiter for BucketTable<Box<[Set]>> {
    fn check(&mut self, key: u64, plan: &Plan, cost: u64, now: Instant) -> Decision {
        self.check_n(&key, plan, cost, now)
    }

    fn peek(&mut self, key: u64, plan: &Plan, now: Instant) -> Decision {
        BucketTable::peek(self, &key, plan, now)
    }

    fn refund(&mut self, key: u64, decision: &Decision, cells: u64, now: Instant) {
        BucketTable::refund(self, &key, decision, cells, now);
    }

    fn sweep(&mut self, now: Instant) {
        self.sweeper().sweep(now, Budget::UNLIMITED);
    }

    fn counts(&self) -> bool {
        false
    }
}

impl Limiter for LocalBucketTable<Box<[LocalSet]>> {
    fn check(&mut self, key: u64, plan: &Plan, cost: u64, now: Instant) -> Decision {
        self.check_n(&key, plan, cost, now)
    }

    fn peek(&mut self, key: u64, plan: &Plan, now: Instant) -> Decision {
        LocalBucketTable::peek(self, &key, plan, now)
    }

    fn refund(&mut self, key: u64, decision: &Decision, cells: u64, now: Instant) {
        LocalBucketTable::refund(self, &key, decision, cells, now);
    }

    fn sweep(&mut self, now: Instant) {
        LocalSweep::default().step(self, now, Budget::UNLIMITED);
    }

    fn counts(&self) -> bool {
        false
    }
}

struct Exact {
    map: BucketMap<u64>,
    worker: Worker,
}

impl Limiter for Exact {
    fn check(&mut self, key: u64, plan: &Plan, cost: u64, now: Instant) -> Decision {
        self.map.check_n(&key, plan, cost, now, self.worker.quiescent(now))
    }

    fn peek(&mut self, key: u64, plan: &Plan, now: Instant) -> Decision {
        self.map.peek(&key, plan, now, self.worker.quiescent(now))
    }

    fn refund(&mut self, key: u64, decision: &Decision, cells: u64, now: Instant) {
        self.map.refund(&key, decision, cells, now, self.worker.quiescent(now));
    }

    fn sweep(&mut self, now: Instant) {
        let worker = self.map.domain().worker();
        self.map.sweeper(worker).sweep(now, Budget::UNLIMITED);
    }

    fn counts(&self) -> bool {
        true
    }
}

fn table(policy: OnFull) -> Box<dyn Limiter> {
    let sets: Box<[Set]> = Box::new([Set::new()]);
    let table = BucketTable::over(sets, Unit::NANOSECOND, SeededState::new(1));
    Box::new(table.grace(Duration::ZERO).on_full(policy))
}

fn local(policy: OnFull) -> Box<dyn Limiter> {
    let sets: Box<[LocalSet]> = Box::new([LocalSet::new()]);
    let table = LocalBucketTable::over(sets, Unit::NANOSECOND, SeededState::new(1));
    Box::new(table.on_full(policy))
}

fn map(policy: OnFull) -> Box<dyn Limiter> {
    let domain = Domain::new();
    let quota = Quota::per_second(1_000_000_000).expect("a quota");
    let map = BucketMap::with(&domain, quota, SeededState::new(1)).expect("a unit");
    let map = map.grace(Duration::ZERO).max_keys(10).on_full(policy);
    Box::new(Exact { map, worker: domain.worker() })
}

/// Each with room for ten keys.
fn each() -> [Box<dyn Limiter>; 3] {
    [table(OnFull::Deny), local(OnFull::Deny), map(OnFull::Deny)]
}

/// A plan of a cell a nanosecond, behind whose burst requests may wait for `wait`.
fn plan(burst: u64, wait: u64) -> Plan {
    let quota = Quota::new(1, Duration::from_nanos(1)).and_then(|quota| quota.burst(burst));
    let quota = quota.expect("a quota").shape(Duration::from_nanos(wait));
    Unit::NANOSECOND.plan(quota).expect("a plan")
}

fn at(time: u64) -> Instant {
    Instant::from_nanos(time)
}

/// What is known of a charge, in nanoseconds and cells, which are the same here.
#[derive(Clone, Copy)]
struct Charge {
    at: u64,
    cost: u64,
    /// The bucket's time afterwards.
    left: u64,
    /// What had been given back to the bucket before.
    returned: u64,
    served: u64,
    refunded: u64,
    /// Whether it could wait.
    shaped: bool,
    decision: Decision,
}

/// Rules by which the worth of a charge may be reckoned.
#[derive(Clone, Copy, PartialEq)]
enum Rule {
    /// All of it, as long as the bucket owes so much.
    Naive,
    /// Until the debt that it left has flowed in.
    Debt,
    /// Until it would have flowed in by itself.
    Alone,
    /// Until the debt that it left, less what was given back since, has flowed in.
    Behind,
    /// While it is the last.
    Last,
    /// [`Alone`](Rule::Alone) for what could not wait, and [`Last`](Rule::Last) for what could.
    Apart,
    /// As the last turn, and as a whole, while any wait; otherwise [`Alone`](Rule::Alone), since it was
    /// served.
    Turn,
    /// As [`Turn`](Rule::Turn), but [`Behind`](Rule::Behind) while none wait.
    TurnBehind,
}

/// What the charges of a history may do.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    Plain,
    Queue,
    /// Some are plain, some may wait.
    Mixed,
}

/// How long a charge may wait that may.
const WAIT: u64 = 12;

/// A bucket as the rules have it.
#[derive(Clone, Copy, Default)]
struct Model {
    time: u64,
    returned: u64,
}

impl Model {
    fn charge(&mut self, cost: u64, window: u64, now: u64) -> bool {
        let after = self.time.max(now) + cost;
        let admitted = after <= now + window;
        if admitted {
            self.time = after;
        }
        admitted
    }

    fn refund(&mut self, rule: Rule, charge: &Charge, cells: u64, burst: u64, now: u64) {
        let alone = charge.at + charge.cost;
        let turn = charge.served + charge.cost;
        let behind = charge.left.saturating_sub(self.returned - charge.returned);
        let is_last = self.time == charge.left;
        let end = match rule {
            Rule::Apart if !charge.shaped => alone,
            Rule::Turn | Rule::TurnBehind if self.time > now + burst => {
                if charge.shaped && is_last && cells == charge.cost { charge.left } else { 0 }
            }
            Rule::Turn => turn,
            Rule::TurnBehind => turn.max(behind),
            Rule::Naive => u64::MAX,
            Rule::Debt => charge.left,
            Rule::Alone => alone,
            Rule::Behind => alone.max(behind),
            Rule::Last | Rule::Apart if is_last => charge.left,
            Rule::Last | Rule::Apart => 0,
        };
        let owed = self.time.saturating_sub(now);
        let credit = cells.min(end.saturating_sub(now)).min(owed);
        self.time -= credit;
        self.returned += credit;
    }
}

/// By how much the fullest window is above its bound, or below.
fn excess(charges: &[Charge], burst: u64) -> i64 {
    let mut served: Vec<_> =
        charges.iter().map(|charge| (charge.served, charge.cost - charge.refunded)).collect();
    served.sort_unstable();
    let mut worst = i64::MIN;
    for (begin, &(since, _)) in served.iter().enumerate() {
        let mut total = 0;
        for &(until, cells) in &served[begin..] {
            total += cells;
            worst = worst.max(total as i64 - (burst + until - since) as i64);
        }
    }
    worst
}

const HISTORIES: u64 = if cfg!(debug_assertions) { 20_000 } else { 500_000 };

/// What a search has found.
struct Found {
    /// Histories with a window above its bound.
    violations: u64,
    /// Cells given back.
    returned: u64,
}

/// Searches histories of one bucket under a rule. `limiter`, if there is one, must do as the rule
/// says in each step.
fn search(rule: Rule, kind: Kind, mut limiter: Option<Box<dyn Limiter>>) -> Found {
    let plans = [0, WAIT].map(|wait| [1, 1, 2, 3, 4, 5, 6, 7, 8, 9].map(|burst| plan(burst, wait)));
    let mut random = fastrand::Rng::with_seed(7);
    let mut found = Found { violations: 0, returned: 0 };
    let mut now = 100;
    for _ in 0..HISTORIES {
        let burst = random.u64(2..10);
        let (mut model, mut charges) = (Model::default(), Vec::<Charge>::new());
        for _ in 0..random.u8(3..13) {
            now += [0, 0, 0, 1, 1, 2, 3, 5][random.usize(..8)];
            if charges.is_empty() || random.u8(..3) > 0 {
                let cost = random.u64(1..=burst);
                let shaped = kind == Kind::Queue || kind == Kind::Mixed && random.bool();
                let (plan, wait) =
                    (&plans[usize::from(shaped)][burst as usize], u64::from(shaped) * WAIT);
                let before = model;
                let admitted = model.charge(cost, burst + wait, now);
                let decision = limiter.as_mut().map(|it| it.check(1, plan, cost, at(now)));
                let decision = decision.unwrap_or_default();
                if limiter.is_some() {
                    assert_eq!(decision.is_admitted(), admitted);
                }
                if admitted {
                    let served = now.max(model.time - burst);
                    if limiter.is_some() {
                        assert_eq!(now + decision.delay().as_nanos() as u64, served);
                    }
                    let (left, returned) = (model.time, before.returned);
                    let charge = Charge {
                        at: now,
                        cost,
                        left,
                        returned,
                        served,
                        refunded: 0,
                        shaped,
                        decision,
                    };
                    charges.push(charge);
                }
            } else {
                let index = random.usize(..charges.len());
                let charge = &mut charges[index];
                if charge.refunded > 0 {
                    continue;
                }
                let cells = if random.bool() { charge.cost } else { random.u64(1..=charge.cost) };
                model.refund(rule, charge, cells, burst, now);
                charge.refunded = cells;
                if let Some(limiter) = &mut limiter {
                    limiter.refund(1, &charge.decision, cells, at(now));
                    // Whenever it comes, a sweep changes no answer.
                    if random.bool() {
                        limiter.sweep(at(now));
                    }
                }
            }
            if let Some(limiter) = &mut limiter {
                let plan = &plans[1][burst as usize];
                let debt = limiter.peek(1, plan, at(now)).reset_after().as_nanos() as u64;
                assert_eq!(debt, model.time.saturating_sub(now));
            }
        }
        found.violations += u64::from(excess(&charges, burst) > 0);
        found.returned += model.returned;
        // All is paid for.
        now += 100;
    }
    found
}

/// Searches one structure, for plain quotas, for queues, and for both on one bucket.
fn find_no_window_that_is_too_full(make: fn(OnFull) -> Box<dyn Limiter>) {
    let rule = if make(OnFull::Deny).counts() { Rule::TurnBehind } else { Rule::Turn };
    for kind in [Kind::Plain, Kind::Queue, Kind::Mixed] {
        let found = search(rule, kind, Some(make(OnFull::Deny)));
        assert_eq!(found.violations, 0, "{kind:?}");
        assert!(found.returned > HISTORIES, "next to nothing was given back: {kind:?}");
    }
}

#[test]
fn no_history_of_a_table_fills_a_window_beyond_its_bound() {
    find_no_window_that_is_too_full(table);
}

#[test]
fn no_history_of_a_local_table_fills_a_window_beyond_its_bound() {
    find_no_window_that_is_too_full(local);
}

#[test]
fn no_history_of_a_map_fills_a_window_beyond_its_bound() {
    find_no_window_that_is_too_full(map);
}

#[test]
fn the_search_finds_what_is_wrong_with_other_rules() {
    for (rule, kind, broken) in [
        (Rule::Naive, Kind::Plain, true),
        (Rule::Debt, Kind::Plain, true),
        (Rule::Alone, Kind::Plain, false),
        (Rule::Behind, Kind::Plain, false),
        (Rule::Last, Kind::Plain, false),
        // A queue has no room in its middle.
        (Rule::Naive, Kind::Queue, true),
        (Rule::Debt, Kind::Queue, true),
        (Rule::Alone, Kind::Queue, true),
        (Rule::Behind, Kind::Queue, true),
        (Rule::Last, Kind::Queue, false),
        // What stands in front of those that wait was promised to them.
        (Rule::Apart, Kind::Mixed, true),
        (Rule::Turn, Kind::Mixed, false),
        (Rule::TurnBehind, Kind::Mixed, false),
    ] {
        let found = search(rule, kind, None);
        assert_eq!(found.violations > 0, broken, "{} of {kind:?}", found.violations);
    }
}

#[test]
fn what_stands_in_front_of_a_queue_is_not_given_back() {
    // It would be handed out again at 110, when the queue is served: 20 at once.
    for mut limiter in each() {
        let (plain, queue) = (plan(10, 0), plan(10, 20));
        let first = limiter.check(1, &plain, 10, at(100));
        let waits = limiter.check(1, &queue, 10, at(100));
        assert_eq!(waits.delay().as_nanos(), 10);
        limiter.refund(1, &first, 10, at(100));
        assert_eq!(limiter.check(1, &queue, 10, at(100)).delay().as_nanos(), 20);
    }
}

/// Charges single cells until one is denied; how many were admitted.
fn fill(limiter: &mut dyn Limiter, plan: &Plan, now: Instant) -> u64 {
    (0..).take_while(|_| limiter.check(1, plan, 1, now).is_admitted()).count() as u64
}

#[test]
fn a_late_refund_gives_back_nothing_that_has_flowed_in() {
    for mut limiter in each() {
        let plan = plan(10, 0);
        let charged = limiter.check(1, &plan, 10, at(100));
        assert_eq!(fill(&mut *limiter, &plan, at(105)), 5);
        limiter.refund(1, &charged, 10, at(105));
        // Ten within five nanoseconds of the charge would be five too many.
        assert_eq!(fill(&mut *limiter, &plan, at(105)), 5);
    }
}

#[test]
fn refunds_that_come_together_fill_no_more_than_the_burst() {
    for mut limiter in each() {
        let plan = plan(10, 0);
        let charged = [0, 10, 20, 30, 40, 50, 60, 70, 80, 90]
            .map(|time| limiter.check(1, &plan, 10, at(100 + time)));
        for decision in &charged {
            assert!(decision.is_admitted());
            limiter.refund(1, decision, 10, at(200));
        }
        assert_eq!(fill(&mut *limiter, &plan, at(200)), 10);
    }
}

#[test]
fn the_debt_in_front_of_a_charge_may_be_gone() {
    // What is left of the debt of the second charge is not its own: 28 would be served in a window
    // that allows 23.
    for mut limiter in each() {
        let plan = plan(20, 0);
        let first = limiter.check(1, &plan, 10, at(100));
        let second = limiter.check(1, &plan, 10, at(100));
        limiter.refund(1, &first, 10, at(100));
        assert!(limiter.check(1, &plan, 10, at(112)).is_admitted());
        limiter.refund(1, &second, 10, at(115));
        assert!(10 + fill(&mut *limiter, &plan, at(115)) <= 23);
    }
}

#[test]
fn a_map_gives_back_what_stands_behind_other_charges_and_a_table_does_not() {
    for mut limiter in each() {
        let plan = plan(20, 0);
        assert!(limiter.check(1, &plan, 10, at(100)).is_admitted());
        let second = limiter.check(1, &plan, 10, at(100));
        limiter.refund(1, &second, 10, at(107));
        let remaining = limiter.peek(1, &plan, at(107)).remaining();
        assert_eq!(remaining, if limiter.counts() { 17 } else { 10 });
    }
}

#[test]
fn a_refund_at_once_undoes_its_charge_and_never_fills_beyond_full() {
    for mut limiter in each() {
        let plan = plan(5, 0);
        let charged = limiter.check(1, &plan, 4, at(100));
        limiter.refund(1, &charged, 3, at(100));
        assert_eq!(limiter.peek(1, &plan, at(100)).remaining(), 4);
        // No more is given back than was charged.
        let charged = limiter.check(1, &plan, 2, at(100));
        assert_eq!(limiter.peek(1, &plan, at(100)).remaining(), 2);
        limiter.refund(1, &charged, u64::MAX, at(100));
        assert_eq!(limiter.peek(1, &plan, at(100)).remaining(), 4);
        // By a clock that is ahead, too.
        limiter.refund(1, &charged, 2, at(200));
        assert_eq!(limiter.peek(1, &plan, at(200)).remaining(), 5);
    }
}

#[test]
fn what_was_not_charged_to_the_key_s_bucket_is_not_given_back() {
    for make in [table, local, map] {
        let plan = plan(5, 0);
        let mut limiter = make(OnFull::Shared);
        assert!(limiter.check(1, &plan, 5, at(100)).is_admitted());
        let denied = limiter.check(1, &plan, 5, at(100));
        let never = limiter.check(1, &plan, 6, at(100));
        let foreseen = limiter.peek(2, &plan, at(100));
        let nothing = limiter.check(2, &plan, 0, at(100));
        assert!(!denied.is_admitted() && !never.is_admitted());
        assert!(foreseen.is_admitted() && nothing.is_admitted());
        for decision in [denied, never, foreseen, nothing, Decision::CLOSED] {
            limiter.refund(1, &decision, 5, at(100));
            assert_eq!(limiter.peek(1, &plan, at(100)).remaining(), 0, "{decision:?}");
        }
        // A key without a bucket has nothing coming.
        for key in 3..12 {
            assert!(limiter.check(key, &plan, 5, at(100)).is_admitted());
        }
        let unplaced = limiter.check(12, &plan, 2, at(100));
        assert!(unplaced.is_admitted() && unplaced.is_unplaced());
        for key in [1, 12] {
            limiter.refund(key, &unplaced, 2, at(100));
        }
        assert_eq!(limiter.peek(1, &plan, at(100)).remaining(), 0);
        assert_eq!(limiter.check(12, &plan, 1, at(100)).remaining(), 2);
    }
}

#[test]
fn a_place_in_the_middle_of_a_queue_passes_unused() {
    for mut limiter in each() {
        let plan = plan(1, 10);
        let [_, second, third, fourth] = [0; 4].map(|_| limiter.check(1, &plan, 1, at(100)));
        let wait = |decision: &Decision| decision.delay().as_nanos();
        assert_eq!([second, third, fourth].each_ref().map(wait), [1, 2, 3]);
        limiter.refund(1, &second, 1, at(100));
        let next = limiter.check(1, &plan, 1, at(100));
        assert_eq!(wait(&next), 4, "two would be served at once");
        // The last place is free again, and then the one before it.
        limiter.refund(1, &next, 1, at(100));
        limiter.refund(1, &fourth, 1, at(100));
        assert_eq!(wait(&limiter.check(1, &plan, 1, at(100))), 3);
    }
}

#[test]
fn a_refund_by_a_clock_that_is_behind_gives_back_what_flows_in_meanwhile() {
    for mut limiter in each() {
        let plan = plan(20, 0);
        let charged = limiter.check(1, &plan, 10, at(100));
        assert!(limiter.check(1, &plan, 10, at(106)).is_admitted());
        // At 108 it is worth 2; by a clock that is 5 behind, 7.
        limiter.refund(1, &charged, 10, at(103));
        assert_eq!(limiter.peek(1, &plan, at(108)).remaining(), 8 + 7);
    }
}

#[test]
fn what_was_charged_to_a_forgotten_bucket_is_worth_nothing_to_the_next() {
    for mut limiter in each() {
        let plan = plan(20, 0);
        let first = limiter.check(1, &plan, 10, at(100));
        let second = limiter.check(1, &plan, 10, at(100));
        limiter.refund(1, &first, 10, at(100));
        // Full by the refund, and forgotten.
        limiter.sweep(at(110));
        assert!(limiter.check(1, &plan, 10, at(111)).is_admitted());
        limiter.refund(1, &second, 10, at(111));
        assert_eq!(fill(&mut *limiter, &plan, at(111)), 10, "the second has flowed in");
        limiter.sweep(at(200));
        assert_eq!(limiter.peek(1, &plan, at(200)).remaining(), 20);
    }
}

#[test]
#[should_panic(expected = "another table's unit")]
fn a_decision_of_another_unit_is_a_programming_error() {
    let foreign = Quota::per_minute(17).expect("a quota");
    let other = BucketTable::boxed(foreign, 10, SeededState::new(1)).expect("a unit");
    let plan = other.plan(foreign).expect("a plan");
    let decision = other.check(&1_u64, &plan, at(100));
    table(OnFull::Deny).refund(1, &decision, 1, at(100));
}
