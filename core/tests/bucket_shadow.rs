//! Limits in shadow mode: they decide as others do, and deny nothing.

use std::cell::Cell;
use std::time::Duration;

use tidegate_core::bucket::{
    AllOutcome, Limit, Outcome, Set, ShadowLimit, TableLimit, Unit, Withheld, check_all, reserve,
    reserve_all,
};
use tidegate_core::{
    BucketMap, BucketTable, Domain, Instant, ManualClock, OnFull, Plan, Quota, SeededState,
};

type Table = BucketTable<Box<[Set]>>;

const NOW: Instant = Instant::from_nanos(1_000);

/// Returns the plan of a cell a nanosecond with this burst.
fn plan(burst: u64) -> Plan {
    let quota = Quota::new(1, Duration::from_nanos(1)).and_then(|quota| quota.burst(burst));
    quota.and_then(|quota| Unit::NANOSECOND.plan(quota)).expect("a plan")
}

fn table(sets: usize) -> Table {
    let sets = (0..sets).map(|_| Set::new()).collect::<Box<[_]>>();
    BucketTable::over(sets, Unit::NANOSECOND, SeededState::new(1))
}

/// A table with one plan, its clock, and the denials that its shadow has withheld.
struct Scene {
    table: Table,
    plan: Plan,
    clock: ManualClock,
    withheld: Withheld,
}

impl Scene {
    fn new(table: Table) -> Self {
        let (plan, clock) = (plan(10), ManualClock::new());
        clock.set(NOW);
        Self { table, plan, clock, withheld: Withheld::new() }
    }

    fn limit(&self, key: u64, cost: u64) -> TableLimit<'_, Box<[Set]>, SeededState, ManualClock> {
        self.table.limit(&key, &self.plan, cost, NOW, &self.clock)
    }

    fn shadow(&self, key: u64, cost: u64) -> ShadowLimit<'_, impl Limit> {
        ShadowLimit::new(self.limit(key, cost), Some(&self.withheld))
    }

    fn remaining(&self, key: u64) -> u64 {
        self.table.peek(&key, &self.plan, NOW).remaining()
    }
}

#[test]
fn a_shadow_denies_no_other_limit_and_others_deny_it() {
    let scene = Scene::new(table(4));
    let ask = |shadowed, real| {
        let limits: [&dyn Limit; 2] = [&scene.shadow(1, shadowed), &scene.limit(2, real)];
        check_all(&limits)
    };
    let first = ask(8, 1);
    assert!(first.is_admitted() && !first.decisions()[0].is_shadowed());
    assert_eq!(first.decisions()[0].remaining(), 2);
    // Denied for now, and for ever.
    for (cost, outcome, retry) in
        [(3, Outcome::Denied, Some(Duration::from_nanos(1))), (11, Outcome::Never, None)]
    {
        let answer = ask(cost, 1);
        assert_eq!(answer.outcome(), AllOutcome::Admitted);
        let decision = answer.decisions()[0];
        assert!(decision.is_admitted() && decision.is_shadowed());
        assert_eq!((decision.outcome(), decision.retry_after()), (outcome, retry));
        assert_eq!((decision.remaining(), decision.charged()), (2, 0));
        assert_eq!(answer.decisions()[1].charged(), 1);
    }
    assert_eq!((scene.withheld.count(), scene.remaining(1), scene.remaining(2)), (2, 2, 7));
    // The other one denies: the shadow is neither charged nor counted, and says what it would answer.
    for (cost, is_shadowed) in [(2, false), (3, true), (11, true)] {
        let answer = ask(cost, 8);
        assert_eq!(answer.outcome(), AllOutcome::Denied { by: 1 });
        assert_eq!(answer.decisions()[0].is_shadowed(), is_shadowed, "{cost}");
        assert_eq!(answer.decisions()[0].remaining(), 2);
    }
    assert_eq!((scene.withheld.count(), scene.remaining(1), scene.remaining(2)), (2, 2, 7));
}

#[test]
fn a_bucket_that_a_call_names_often_is_asked_for_each() {
    let scene = Scene::new(table(4));
    let limit = scene.shadow(1, 1);
    let answer = check_all(&[&limit; 16]);
    assert!(answer.is_admitted());
    let shadowed = answer.decisions().iter().filter(|decision| decision.is_shadowed()).count();
    assert_eq!((shadowed, scene.withheld.count(), scene.remaining(1)), (6, 6, 0));
}

#[test]
fn a_cost_of_zero_and_a_closed_quota_are_answered_as_by_the_limit() {
    let mut scene = Scene::new(table(4));
    let answer = check_all(&[scene.shadow(1, 0)]);
    assert!(answer.is_admitted() && !answer.decisions()[0].is_shadowed());
    assert_eq!(answer.decisions()[0].remaining(), 10);
    scene.plan = Unit::NANOSECOND.plan(Quota::closed()).unwrap();
    let answer = check_all(&[scene.shadow(1, 0), scene.shadow(1, 1)]);
    assert!(answer.is_admitted());
    assert_eq!(answer.decisions().map(|decision| decision.outcome()), [Outcome::Never; 2]);
    assert_eq!(scene.withheld.count(), 2);
}

#[test]
fn a_key_without_a_slot_is_answered_by_the_policy() {
    for policy in [OnFull::Deny, OnFull::Admit, OnFull::Shared] {
        let scene = Scene::new(table(0).on_full(policy));
        let (shadow, real) = (check_all(&[scene.shadow(1, 8)]), reserve(scene.limit(2, 8)));
        let real = real.map_or_else(|denied| denied, |reservation| reservation.forget());
        let decision = shadow.decisions()[0];
        assert!(shadow.is_admitted() && decision.is_unplaced());
        assert_eq!(decision.is_shadowed(), policy == OnFull::Deny);
        assert_eq!(decision.outcome(), real.outcome());
        assert_eq!(decision.retry_after(), real.retry_after());
        assert_eq!(scene.withheld.count(), u64::from(policy == OnFull::Deny));
    }
}

#[test]
fn a_withheld_reservation_holds_nothing() {
    let mut scene = Scene::new(table(4));
    let quota = Quota::new(1, Duration::from_nanos(1)).and_then(|quota| quota.burst(10));
    let quota = quota.and_then(|quota| quota.debt(10)).unwrap();
    scene.plan = Unit::NANOSECOND.plan(quota).unwrap();

    let held = reserve(scene.shadow(1, 8)).unwrap();
    assert_eq!((held.decision().charged(), held.decision().is_shadowed()), (8, false));
    let withheld = reserve(scene.shadow(1, 3)).unwrap();
    assert_eq!((withheld.decision().charged(), withheld.decision().is_shadowed()), (0, true));
    // Neither charged into debt, nor given back.
    let settled = withheld.settle(9);
    assert_eq!((settled.charged(), settled.given_back(), settled.unpaid()), (0, 0, 0));
    assert_eq!(scene.remaining(1), 2);
    drop(reserve(scene.shadow(1, 11)).unwrap());
    assert!(reserve(scene.shadow(1, 3)).unwrap().forget().is_shadowed());
    assert_eq!((scene.remaining(1), scene.withheld.count()), (2, 3));

    let all = reserve_all([scene.shadow(1, 3), scene.shadow(2, 4)]).unwrap();
    assert_eq!(all.settle([1, 1]).map(|settled| settled.given_back()), [0, 3]);
    assert_eq!((scene.remaining(1), scene.remaining(2)), (2, 9));
    // What was charged is settled as ever.
    assert_eq!(held.settle(5).given_back(), 3);
    assert_eq!(scene.remaining(1), 5);
}

/// Shadows that are charged before the map's limit: limits are charged in the order of addresses.
#[repr(C)]
struct InOrder<S> {
    shadows: [S; 2],
    map: BucketMap<u64>,
}

#[test]
fn a_contended_call_charges_and_counts_nothing() {
    let (first, domain) = (Scene::new(table(4)), Domain::new());
    let worker = domain.worker();
    let guard = &*worker.pin();
    let InOrder { shadows: [denied, admitted], map } = &InOrder {
        shadows: [first.shadow(1, 11), first.shadow(2, 4)],
        map: BucketMap::in_unit(&domain, Unit::NANOSECOND, SeededState::new(1)),
    };
    assert!(map.check(&7, &first.plan, NOW, guard).is_admitted());
    let steps = Cell::new(0);
    let limit = map.limit(&7, &first.plan, 5, NOW, &first.clock, || {
        // Between the look and the charge another request comes.
        if steps.replace(steps.get() + 1) == 1 {
            assert!(map.check_n(&7, &first.plan, 9, NOW, guard).is_admitted());
        }
        guard
    });
    let limits: [&dyn Limit; 3] = [denied, &limit, admitted];
    let answer = check_all(&limits);
    assert_eq!(answer.outcome(), AllOutcome::Contended { by: 1 });
    assert_eq!(steps.get(), 2);
    assert_eq!((first.withheld.count(), first.remaining(1), first.remaining(2)), (0, 10, 10));
    assert_eq!(first.table.counters().lost, 0);
    let [shadowed, _, placed] = answer.decisions();
    assert!(shadowed.is_shadowed() && !placed.is_shadowed() && placed.is_admitted());
}

#[test]
fn outside_shadow_mode_nothing_changes() {
    let scene = Scene::new(table(4));
    let ask = |cost| check_all(&[ShadowLimit::new(scene.limit(1, cost), None)]);
    assert!(ask(8).is_admitted());
    assert_eq!(ask(3).outcome(), AllOutcome::Denied { by: 0 });
    assert_eq!(ask(11).outcome(), AllOutcome::Never { by: 0 });
    let reservation = reserve(ShadowLimit::new(scene.limit(1, 2), None)).unwrap();
    assert_eq!(reservation.settle(1).given_back(), 1);
    assert!(reserve(ShadowLimit::new(scene.limit(1, 2), None)).is_err());
    assert_eq!(scene.remaining(1), 1);
}
