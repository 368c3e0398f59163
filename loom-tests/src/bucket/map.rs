//! Buckets on the map. A cell lasts 1 ns, as in the table's models.

use std::sync::Arc;
use std::time::Duration;

use tidegate_core::bucket::Keep;
use tidegate_core::{
    BucketMap, BucketSweep, Budget, Decision, Domain, Guard, Instant, OnFull, Plan, Quota, Sweep,
    Worker, model,
};

use super::Charged;
use crate::identity::Identity;
use crate::race;

const KEY: u64 = 1;

type Buckets = BucketMap<u64, Identity>;

fn at(nanos: u64) -> Instant {
    Instant::from_nanos(1_000 + nanos)
}

/// Buckets under test.
#[derive(Clone)]
struct Scene {
    buckets: Arc<Buckets>,
    plan: Plan,
}

impl Scene {
    fn new(burst: u64, keys: usize, policy: OnFull) -> Self {
        model::forget_live();
        let quota = Quota::per_second(1_000_000_000).and_then(|quota| quota.burst(burst));
        let quota = quota.expect("a quota");
        let buckets = BucketMap::with(&Domain::quarantine(), quota, Identity::default());
        let buckets = buckets.expect("a unit").grace(Duration::ZERO);
        let buckets = buckets.max_keys(keys).on_full(policy);
        let plan = buckets.plan(quota).expect("a plan");
        Self { buckets: Arc::new(buckets), plan }
    }

    fn worker(&self) -> Worker {
        self.buckets.domain().worker()
    }

    /// A thread of the race, with a worker that was made before any of them started.
    fn thread<T: 'static>(
        &self,
        act: impl FnOnce(&Self, &mut Worker) -> T + 'static,
    ) -> Box<dyn FnOnce() -> T> {
        let (scene, mut worker) = (self.clone(), self.worker());
        Box::new(move || act(&scene, &mut worker))
    }

    fn charge(&self, cost: u64, now: Instant, guard: &Guard) -> Decision {
        self.buckets.check_n(&KEY, &self.plan, cost, now, guard)
    }

    fn refund(&self, decision: &Decision, now: Instant, guard: &Guard) {
        self.buckets.refund(&KEY, decision, u64::MAX, now, guard);
    }

    fn sweep(&self, now: Instant) -> usize {
        BucketSweep::new(&*self.buckets, self.worker()).sweep(now, Budget::UNLIMITED).removed
    }

    /// What the bucket owes.
    fn debt(&self, now: Instant, guard: &Guard) -> u64 {
        self.buckets.peek(&KEY, &self.plan, now, guard).reset_after().as_nanos() as u64
    }

    fn end(self, worker: Worker) {
        drop((self, worker));
        assert_eq!(model::live(), 0, "something was never retired");
    }
}

/// A key takes the last place while another thread, which finds none, charges the shared word.
pub(super) fn last_place_is_taken_while_the_word_is_charged() -> String {
    let scene = Scene::new(2, 1, OnFull::Shared);
    let mut worker = scene.worker();
    let check = |scene: &Scene, worker: &mut Worker, times| {
        let now = at(0);
        let decisions = (0..times).map(|_| scene.charge(1, now, worker.quiescent(now)));
        decisions.filter(Decision::is_admitted).count()
    };
    let by = race(vec![
        scene.thread(move |scene, worker| check(scene, worker, 1)),
        scene.thread(move |scene, worker| check(scene, worker, 2)),
    ]);
    let after = check(&scene, &mut worker, 3);
    let admitted = by[0] + by[1] + after;
    // The thread that does not move may have been about to charge the word.
    assert!((2..=3).contains(&admitted), "{admitted} of a burst of 2: {by:?}, {after} after");
    let unplaced = scene.buckets.counters().unplaced;
    scene.end(worker);
    format!("{admitted}, {unplaced} unplaced")
}

/// What a charge remembers of the count must be what it went by.
pub(super) fn charge_races_refund_of_the_charge_before() -> String {
    let scene = Scene::new(40, usize::MAX, OnFull::Deny);
    let mut worker = scene.worker();
    let guard = worker.quiescent(at(0));
    let first = scene.charge(10, at(0), guard);
    assert!(scene.charge(10, at(0), guard).is_admitted());
    let seen = race(vec![
        scene.thread(move |scene, worker| {
            scene.refund(&first, at(0), worker.quiescent(at(0)));
            first
        }),
        scene.thread(|scene, worker| scene.charge(10, at(0), worker.quiescent(at(0)))),
    ]);
    let raced = seen[1];
    let guard = worker.quiescent(at(0));
    assert_eq!(scene.debt(at(0), guard), 20, "20 - 10 + 10");
    assert!(scene.charge(10, at(0), guard).is_admitted());
    // Behind two charges of which one was given back, it has 8 left at 12.
    scene.refund(&raced, at(12), guard);
    assert_eq!(scene.debt(at(12), guard), 18 - 8);
    scene.end(worker);
    format!("{}", Charged::by(raced))
}

/// A denial must not mix what was charged with what was given back after a later charge.
pub(super) fn denial_races_charge_and_refund() -> String {
    let scene = Scene::new(7, usize::MAX, OnFull::Deny);
    let mut worker = scene.worker();
    assert!(scene.charge(5, at(0), worker.quiescent(at(0))).is_admitted());
    let seen = race(vec![
        scene.thread(|scene, worker| {
            let guard = worker.quiescent(at(0));
            let decision = scene.charge(2, at(0), guard);
            scene.refund(&decision, at(0), guard);
            scene.charge(2, at(0), guard)
        }),
        scene.thread(|scene, worker| scene.charge(5, at(0), worker.quiescent(at(0)))),
    ]);
    let outcome = format!("{}", Charged::by(seen[1]));
    assert!(["denied on 5", "denied on 7"].contains(&&*outcome), "{outcome}");
    assert_eq!(scene.debt(at(0), worker.quiescent(at(0))), 7);
    scene.end(worker);
    outcome
}

/// Each of two refunds counts what the other gave back.
pub(super) fn two_refunds_race() -> String {
    let scene = Scene::new(30, usize::MAX, OnFull::Deny);
    let mut worker = scene.worker();
    let guard = worker.quiescent(at(0));
    let decisions = [0; 3].map(|_| scene.charge(10, at(0), guard));
    let refund = |decision: Decision| {
        scene.thread(move |scene, worker| {
            scene.refund(&decision, at(12), worker.quiescent(at(12)));
        })
    };
    race(vec![refund(decisions[1]), refund(decisions[2])]);
    let debt = scene.debt(at(12), worker.quiescent(at(12)));
    scene.end(worker);
    match debt {
        0 => "the second, then the third".to_owned(),
        8 => "the third, then the second".to_owned(),
        debt => panic!("owes {debt}"),
    }
}

/// A refund must not take a charge for missing that another refund has seen.
pub(super) fn refund_races_a_charge_and_its_refund() -> String {
    let scene = Scene::new(30, usize::MAX, OnFull::Deny);
    let mut worker = scene.worker();
    let first = scene.charge(10, at(0), worker.quiescent(at(0)));
    race(vec![
        scene.thread(|scene, worker| {
            let guard = worker.quiescent(at(0));
            let second = scene.charge(10, at(0), guard);
            scene.refund(&second, at(0), guard);
        }),
        scene.thread(move |scene, worker| {
            scene.refund(&first, at(0), worker.quiescent(at(0)));
        }),
    ]);
    let debt = scene.debt(at(0), worker.quiescent(at(0)));
    assert_eq!(debt, 0, "both were given back");
    scene.end(worker);
    "all given back".to_owned()
}

/// A conversion that raises the debt raises what was owed at one moment: it comes before a charge, which
/// it may deny, or after that.
pub(super) fn conversion_races_refund_and_charge() -> String {
    let scene = Scene::new(4, usize::MAX, OnFull::Deny);
    let mut worker = scene.worker();
    let first = scene.charge(4, at(0), worker.quiescent(at(0)));
    let ends = race(vec![
        scene.thread(move |scene, worker| {
            let guard = worker.quiescent(at(0));
            scene.refund(&first, at(0), guard);
            if scene.charge(2, at(0), guard).is_admitted() { "admitted" } else { "denied" }
        }),
        scene.thread(|scene, worker| {
            // Of half the rate.
            let slow = Quota::per_second(500_000_000).and_then(|quota| quota.burst(30));
            let slow = slow.and_then(|quota| scene.buckets.plan(quota)).expect("a plan");
            let guard = worker.quiescent(at(0));
            scene.buckets.convert(&KEY, &scene.plan, &slow, Keep::Cells, at(0), guard);
            ""
        }),
    ]);
    let debt = scene.debt(at(0), worker.quiescent(at(0)));
    scene.end(worker);
    format!("{}, owes {debt}", ends[0])
}

/// One sweep gives a refunded bucket up, another takes it out of the map, and a third thread makes
/// the next.
pub(super) fn two_sweeps_end_a_bucket_while_the_next_is_made() -> String {
    let scene = Scene::new(60, usize::MAX, OnFull::Deny);
    let mut worker = scene.worker();
    let guard = worker.quiescent(at(0));
    let (first, second) = (scene.charge(10, at(0), guard), scene.charge(10, at(0), guard));
    scene.refund(&first, at(0), guard);
    race(vec![
        scene.thread(|scene, _| scene.sweep(at(10))),
        scene.thread(|scene, _| scene.sweep(at(10))),
        scene.thread(|scene, worker| {
            usize::from(scene.charge(30, at(10), worker.quiescent(at(10))).is_admitted())
        }),
    ]);
    let guard = worker.quiescent(at(12));
    scene.refund(&second, at(12), guard);
    let debt = scene.debt(at(12), guard);
    assert_eq!(debt, 28, "the second has flowed in");
    scene.end(worker);
    "nothing given back".to_owned()
}

/// A bucket that is full by a refund is given up, or not, and what was charged to it before is worth
/// nothing to the bucket that follows.
pub(super) fn refund_races_a_sweep() -> String {
    let scene = Scene::new(30, usize::MAX, OnFull::Deny);
    let mut worker = scene.worker();
    let guard = worker.quiescent(at(0));
    let first = scene.charge(10, at(0), guard);
    let second = scene.charge(10, at(0), guard);
    let removed = race(vec![
        scene.thread(move |scene, worker| {
            scene.refund(&first, at(0), worker.quiescent(at(0)));
            0
        }),
        scene.thread(|scene, _| scene.sweep(at(15))),
    ])[1];
    let guard = worker.quiescent(at(15));
    assert!(scene.charge(10, at(15), guard).is_admitted());
    scene.refund(&second, at(15), guard);
    assert_eq!(scene.debt(at(15), guard), 10, "the second has flowed in");
    scene.end(worker);
    format!("{removed} given up")
}

/// A key's bucket is made, refunded and given up while another thread is about to make one: that
/// one's count begins where the first's ended.
pub(super) fn bucket_ends_while_the_next_is_made() -> String {
    let scene = Scene::new(60, usize::MAX, OnFull::Deny);
    let mut worker = scene.worker();
    let seen = race(vec![
        scene.thread(|scene, worker| {
            let guard = worker.quiescent(at(0));
            let (first, second) = (scene.charge(10, at(0), guard), scene.charge(10, at(0), guard));
            scene.refund(&first, at(0), guard);
            scene.sweep(at(1_000));
            second
        }),
        scene.thread(|scene, worker| scene.charge(30, at(0), worker.quiescent(at(0)))),
    ]);
    let guard = worker.quiescent(at(12));
    scene.refund(&seen[0], at(12), guard);
    let debt = scene.debt(at(12), guard);
    scene.end(worker);
    match debt {
        0 => "all of it is given up".to_owned(),
        18 => "the other's bucket is left".to_owned(),
        28 => "nothing is given up".to_owned(),
        debt => panic!("owes {debt}"),
    }
}
