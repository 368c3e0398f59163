//! Several limits at once, on the table and on the map.
//!
//! The clock by which charges are rolled back stands still where nothing may be lost. Then what a
//! bucket owes in the end is what was admitted; else it is that and what the gauge says was lost, or
//! less.

use std::sync::Arc;
use std::time::Duration;

use tidegate_core::bucket::{AllDecision, AllOutcome, TableLimit, Unit, check_all};
use tidegate_core::{
    BucketMap, BucketSweep, BucketTable, Budget, Clock, Domain, Guard, Instant, OnFull, Plan,
    Quota, Sweep, Worker, model,
};

use super::{A, B, Charged, EARLY, Identity, LATE, OTHER_LINE, RESIDENT, Scene, Set, thread};
use crate::identity::Identity as MapIdentity;
use crate::race;

/// A clock that stands still.
#[derive(Clone, Copy)]
struct At(Instant);

impl Clock for At {
    fn now(&self) -> Instant {
        self.0
    }
}

const NOW: At = At(EARLY);
/// In the second of two sets.
const NEXT_SET: u64 = 1 << 63 | 5;

fn after(time: Instant, nanos: u64) -> Instant {
    time + Duration::from_nanos(nanos)
}

/// A cell lasts 1 ns.
fn plan(burst: u64) -> Plan {
    let quota = Quota::new(1, Duration::from_nanos(1)).and_then(|quota| quota.burst(burst));
    quota.and_then(|quota| Unit::NANOSECOND.plan(quota)).expect("an exact plan")
}

type Limit<'a> = TableLimit<'a, Box<[Set]>, Identity, At>;

impl Scene {
    /// Gives the keys buckets that owe nothing when the race begins.
    fn with_buckets(self, keys: &[u64]) -> Self {
        for &key in keys {
            assert_eq!(self.charge(key, Instant::ORIGIN), Charged::To(1));
        }
        self
    }

    fn limit<'a>(&'a self, key: u64, plan: &'a Plan, cost: u64, clock: &'a At) -> Limit<'a> {
        self.table.limit(&key, plan, cost, EARLY, clock)
    }

    /// What the rest of the model calls lost.
    fn lost(&self) -> u64 {
        self.table.counters().lost
    }
}

fn word<const N: usize>(answer: &AllDecision<N>) -> &'static str {
    match answer.outcome() {
        AllOutcome::Admitted => "admitted",
        AllOutcome::Denied { .. } => "denied",
        AllOutcome::Never { .. } => "never",
        AllOutcome::Contended { .. } => {
            assert_eq!(answer.retry_after(), Some(Duration::ZERO));
            "contended"
        }
    }
}

/// Two calls, two buckets, one cell in each: one of them is admitted, though they name the buckets in
/// opposite order.
pub(super) fn two_calls_name_two_buckets_in_opposite_order() -> String {
    let scene = Scene::with(1, OnFull::Deny).with_buckets(&[A, B]);
    let call = |keys: [u64; 2]| {
        thread(&scene, move |scene: &Scene| {
            let answer = check_all(&keys.map(|key| scene.limit(key, &scene.plan, 1, &NOW)));
            word(&answer)
        })
    };
    let words = race(vec![call([A, B]), call([B, A])]);
    let admitted = words.iter().filter(|&&word| word == "admitted").count();
    assert_eq!(admitted, 1, "{words:?}");
    for key in [A, B] {
        assert_eq!(scene.debt(key, EARLY), 1);
    }
    assert_eq!(scene.lost(), 0);
    words.join(" ")
}

/// A single check takes the last cell of the second bucket.
pub(super) fn call_races_single_checks() -> String {
    let scene = Scene::with(1, OnFull::Deny).with_buckets(&[A, B]);
    let charged = race(vec![
        thread(&scene, |scene| {
            let limits = [A, B].map(|key| scene.limit(key, &scene.plan, 1, &NOW));
            let answer = check_all(&limits);
            (word(&answer), u64::from(answer.is_admitted()), u64::from(answer.is_admitted()))
        }),
        thread(&scene, |scene| {
            let [b, a] = [B, A].map(|key| scene.charge(key, EARLY).debt().is_some());
            ("", u64::from(a), u64::from(b))
        }),
    ]);
    let [(word, all_a, all_b), (_, a, b)] = charged[..] else { unreachable!("two threads") };
    assert_eq!((scene.debt(A, EARLY), scene.debt(B, EARLY)), (all_a + a, all_b + b), "{word}");
    assert_eq!(scene.lost(), 0);
    format!("{word}, {} {}", ["denied", "charged"][a as usize], ["denied", "charged"][b as usize])
}

/// A bucket that owes as much as before is not as before: a cell was given back in between, and another
/// charged later. To put the former time back would admit 11 of a burst of 10 at one time.
pub(super) fn bucket_looks_as_the_charge_left_it() -> String {
    let scene = Scene::with(10, OnFull::Deny).with_buckets(&[B]);
    let first = scene.table.check_n(&A, &scene.plan, 5, after(EARLY, 0));
    assert!(first.is_admitted());
    let (at_4, at_5) = (after(EARLY, 4), after(EARLY, 5));
    let words = race(vec![
        thread(&scene, move |scene| {
            let (one, clock) = (plan(1), At(at_5));
            let a = scene.table.limit(&A, &scene.plan, 5, at_4, &clock);
            let b = scene.table.limit(&B, &one, 1, at_4, &clock);
            word(&check_all(&[a, b]))
        }),
        thread(&scene, move |scene| {
            assert!(
                scene.table.check(&B, &plan(1), at_4).is_admitted() || scene.debt(B, at_4) == 1
            );
            scene.table.refund(&A, &first, 1, at_4);
            assert!(scene.charge(A, at_5).debt().is_some());
            ""
        }),
    ]);
    let (debt, lost) = (scene.debt(A, at_5), scene.lost());
    let admitted = if words[0] == "admitted" { 5 } else { 0 };
    assert!(debt > admitted.max(1) - 1, "{}: the cell charged at 5 is there again", words[0]);
    // Either 4 cells of the first charge were left at 4, or it had flowed in.
    assert!(debt <= 1 + admitted + lost, "{}: owes {debt}, lost {lost}", words[0]);
    format!("{}, owes {debt}, lost {lost}", words[0])
}

/// A sweep that is ahead gives the bucket up that was charged, and the key gets another in its slot: the
/// roll-back leaves that alone.
pub(super) fn bucket_is_given_up_before_the_roll_back() -> String {
    let scene = Scene::new().with_buckets(&[A, B]);
    let seen = race(vec![
        thread(&scene, |scene| {
            let one = plan(1);
            let a = scene.limit(A, &scene.plan, 1, &NOW);
            (word(&check_all(&[a, scene.limit(B, &one, 1, &NOW)])), Charged::Full)
        }),
        thread(&scene, |scene| {
            scene.sweep(LATE);
            // In this order each key gets the slot again that it had.
            let second = scene.charge_n(A, 2, EARLY);
            _ = scene.table.check(&B, &plan(1), EARLY);
            ("", second)
        }),
    ]);
    let ((word, _), (_, second)) = (seen[0], seen[1]);
    let debt = scene.debt(A, EARLY);
    assert_eq!(scene.lost(), 0);
    match (word, second) {
        // On one bucket or on two, whichever was first.
        ("admitted", Charged::To(2)) => assert!([2, 3].contains(&debt), "owes {debt}"),
        ("admitted", Charged::To(3)) => assert_eq!(debt, 3),
        (_, Charged::To(2 | 3)) => assert_eq!(debt, 2, "{word}, {second}"),
        (_, Charged::Full) => assert!(debt <= 1, "owes {debt}"),
        other => panic!("{other:?}"),
    }
    format!("{word}, {second}, owes {debt}")
}

/// Two limits of one call share a bucket, and another thread charges it: the sum stays within the
/// smaller burst, or nothing is charged.
pub(super) fn bucket_is_named_twice() -> String {
    let scene = Scene::with(3, OnFull::Deny).with_buckets(&[A]);
    let charged = race(vec![
        thread(&scene, |scene| {
            let two = plan(2);
            let limits = [scene.limit(A, &scene.plan, 1, &NOW), scene.limit(A, &two, 1, &NOW)];
            let answer = check_all(&limits);
            // Both charges are within the smaller burst.
            let most = answer.decisions().map(|decision| decision.reset_after().as_nanos());
            assert!(!answer.is_admitted() || most.iter().all(|&owes| owes <= 2), "{most:?}");
            (word(&answer), 2 * u64::from(answer.is_admitted()))
        }),
        thread(&scene, |scene| ("", u64::from(scene.charge(A, EARLY).debt().is_some()))),
    ]);
    let ((word, all), (_, single)) = (charged[0], charged[1]);
    assert_eq!(scene.debt(A, EARLY), all + single, "{word}");
    assert_eq!(scene.lost(), 0);
    format!("{word}, {single} single")
}

/// The second of two new keys finds no slot, so the first, which has got one, is rolled back.
pub(super) fn second_of_two_new_keys_finds_no_slot() -> String {
    let scene = Scene::new().with_resident();
    let charged = race(vec![
        thread(&scene, |scene| {
            let limits = [A, OTHER_LINE].map(|key| scene.limit(key, &scene.plan, 1, &NOW));
            let answer = check_all(&limits);
            assert!(!answer.is_admitted());
            assert!(answer.retry_after() > Some(Duration::ZERO));
            Charged::by(answer.decisions()[answer.denied_by().expect("denied")])
        }),
        thread(&scene, |scene| scene.charge(A, EARLY)),
    ]);
    assert_eq!(charged[0], Charged::Full);
    let owes = charged[1].debt().map_or(0, |_| 1);
    assert_eq!(scene.debt(A, EARLY), owes, "charged {}", charged[1]);
    format!("{}", charged[1])
}

/// Two keys without a slot share a word. It has cells for one of them, so neither is charged.
pub(super) fn two_keys_share_an_overflow_word() -> String {
    let scene = Scene::with(3, OnFull::Shared);
    for key in [RESIDENT, OTHER_LINE] {
        assert_eq!(scene.charge_n(key, 3, EARLY), Charged::To(3));
    }
    let charged = race(vec![
        thread(&scene, |scene| {
            let answer = check_all(&[A, B].map(|key| scene.limit(key, &scene.plan, 2, &NOW)));
            assert!(!answer.is_admitted());
            Charged::Full
        }),
        thread(&scene, |scene| scene.charge(A, EARLY)),
    ]);
    let owes = charged[1].debt().map_or(0, |_| 1);
    assert_eq!(scene.debt(A, EARLY), owes, "charged {}", charged[1]);
    let counters = scene.table.counters();
    assert_eq!((counters.unplaced_admitted, counters.lost), (owes, 0));
    format!("{}", charged[1])
}

/// A bucket that the call has looked at is given up, and another key takes its slot: the charge goes to
/// a bucket of its own key.
pub(super) fn charge_after_a_look_races_reclaim() -> String {
    let scene = Scene::new().with_resident();
    assert_eq!(scene.charge(A, EARLY), Charged::To(1));
    let charged = race(vec![
        thread(&scene, |scene| {
            Charged::by(check_all(&[scene.limit(A, &scene.plan, 1, &NOW)]).decisions()[0])
        }),
        thread(&scene, |scene| scene.charge(B, LATE)),
    ]);
    scene.balance(&[(A, EARLY, 1, &charged[..1]), (B, LATE, 0, &charged[1..])], 0);
    assert_eq!(scene.debt(RESIDENT, EARLY), 5_000);
    format!("{} {}", charged[0], charged[1])
}

/// What a limit answers that would have admitted the call is of its own key, whatever takes its slot.
pub(super) fn denied_call_looks_during_reclaim() -> String {
    let scene = Scene::new().with_resident();
    assert_eq!(scene.charge_n(A, 50, EARLY), Charged::To(50));
    let seen = race(vec![
        thread(&scene, |scene| {
            scene.sweep(LATE);
            assert_eq!(scene.charge_n(B, 7, EARLY), Charged::To(7));
            0
        }),
        thread(&scene, |scene| {
            let one = plan(1);
            let (b, full) =
                (scene.limit(B, &scene.plan, 1, &NOW), scene.limit(RESIDENT, &one, 1, &NOW));
            let answer = check_all(&[b, full]);
            assert_eq!(answer.denied_by(), Some(1));
            answer.decisions()[0].reset_after().as_nanos()
        }),
    ]);
    assert!([0, 7].contains(&seen[1]), "B is seen to owe {}", seen[1]);
    format!("{}", seen[1])
}

/// Another call overtakes one before its first charge. What the glance at B found may mix B's
/// fingerprint with the time of A, whose slot B took: the call looks again, and never says it of B.
pub(super) fn overtaken_call_looks_again() -> String {
    let scene = Scene::new().with_resident();
    assert_eq!(scene.charge_n(A, 50, EARLY), Charged::To(50));
    let seen = race(vec![
        thread(&scene, |scene| {
            _ = scene.charge_n(B, 7, LATE);
            ("", u64::from(scene.table.check(&RESIDENT, &plan(5_001), EARLY).is_admitted()))
        }),
        thread(&scene, |scene| {
            let almost = plan(5_001);
            let limits =
                [scene.limit(RESIDENT, &almost, 1, &NOW), scene.limit(B, &scene.plan, 1, &NOW)];
            let answer = check_all(&limits);
            (word(&answer), answer.decisions()[1].reset_after().as_nanos() as u64)
        }),
    ]);
    let ((_, single), (word, owes)) = (seen[0], seen[1]);
    format!("{word}, B owes {owes}, {single} single")
}

/// A call that finds its buckets in the order of all calls charges them without sorting. A single check
/// takes the last cell of the second, after one of the first.
pub(super) fn call_in_order_races_single_checks() -> String {
    let sets: Box<[Set]> = Box::new([Set::new(), Set::new()]);
    let table = BucketTable::over(sets, Unit::NANOSECOND, Identity).grace(Duration::ZERO);
    let scene = Scene { table: Arc::new(table), plan: plan(3) }.with_buckets(&[A, NEXT_SET]);
    let one = plan(1);
    let charged = race(vec![
        thread(&scene, move |scene| {
            let first = scene.limit(A, &scene.plan, 1, &NOW);
            let answer = check_all(&[first, scene.limit(NEXT_SET, &one, 1, &NOW)]);
            (word(&answer), u64::from(answer.is_admitted()))
        }),
        thread(&scene, move |scene| {
            assert!(scene.charge(A, EARLY).debt().is_some());
            ("", u64::from(scene.table.check(&NEXT_SET, &one, EARLY).is_admitted()))
        }),
    ]);
    let ((word, all), (_, single)) = (charged[0], charged[1]);
    assert_eq!((scene.debt(A, EARLY), scene.debt(NEXT_SET, EARLY)), (all + 1, 1), "{word}");
    assert_eq!(scene.lost(), 0);
    format!("{word}, {single} single")
}

/// While a charge waits for its roll-back, time passes: what has flowed in is lost, and counted.
pub(super) fn time_passes_before_the_roll_back() -> String {
    let scene = Scene::new().with_buckets(&[B]);
    assert_eq!(scene.charge_n(A, 5, EARLY), Charged::To(5));
    let charged = race(vec![
        thread(&scene, |scene| {
            let (one, clock) = (plan(1), At(after(EARLY, 3)));
            let a = scene.limit(A, &scene.plan, 4, &clock);
            let answer = check_all(&[a, scene.limit(B, &one, 1, &clock)]);
            (word(&answer), 4 * u64::from(answer.is_admitted()))
        }),
        thread(&scene, |scene| {
            _ = scene.table.check(&B, &plan(1), EARLY);
            ("", u64::from(scene.charge(A, EARLY).debt().is_some()))
        }),
    ]);
    let ((word, all), (_, single)) = (charged[0], charged[1]);
    let lost = scene.lost();
    assert_eq!(scene.debt(A, EARLY), 5 + all + single + lost, "{word}, lost {lost}");
    format!("{word}, lost {lost}")
}

/// Buckets of a map, of which the second has one cell.
#[derive(Clone)]
struct Buckets {
    map: Arc<BucketMap<u64, MapIdentity>>,
    plan: Plan,
    one: Plan,
}

const FIRST: u64 = 1;
const SECOND: u64 = 2;

impl Buckets {
    fn new() -> Self {
        model::forget_live();
        let quota = |burst| Quota::per_second(1_000_000_000).and_then(|quota| quota.burst(burst));
        let map = quota(30).and_then(|quota| {
            BucketMap::with(&Domain::quarantine(), quota, MapIdentity::default())
        });
        let map = map.expect("a unit").grace(Duration::ZERO);
        let plan = |burst| quota(burst).and_then(|quota| map.plan(quota)).expect("a plan");
        let (plan, one) = (plan(30), plan(1));
        Self { map: Arc::new(map), plan, one }
    }

    fn thread<T: 'static>(
        &self,
        act: impl FnOnce(&Self, &mut Worker) -> T + 'static,
    ) -> Box<dyn FnOnce() -> T> {
        let (buckets, mut worker) = (self.clone(), self.map.domain().worker());
        Box::new(move || act(&buckets, &mut worker))
    }

    /// 10 cells of the first bucket, one of the second.
    fn call(&self, guard: &Guard) -> (&'static str, u64) {
        let pin = || guard;
        let first = self.map.limit(&FIRST, &self.plan, 10, EARLY, &NOW, pin);
        let second = self.map.limit(&SECOND, &self.one, 1, EARLY, &NOW, pin);
        let answer = check_all(&[first, second]);
        (word(&answer), 10 * u64::from(answer.is_admitted()))
    }

    fn debt(&self, key: u64, guard: &Guard) -> u64 {
        self.map.peek(&key, &self.plan, EARLY, guard).reset_after().as_nanos() as u64
    }

    /// Gives both keys buckets that owe nothing when the race begins. Returns the worker that did.
    fn with_both(&self) -> Worker {
        let mut worker = self.map.domain().worker();
        let guard = worker.quiescent(EARLY);
        for key in [FIRST, SECOND] {
            assert!(self.map.check(&key, &self.plan, Instant::ORIGIN, guard).is_admitted());
        }
        worker
    }

    fn end(self, worker: Worker) {
        let lost = self.map.counters().lost;
        assert_eq!(lost, 0);
        drop((self, worker));
        assert_eq!(model::live(), 0, "something was never retired");
    }
}

/// On the map, a single charge takes the last cell of the second bucket, after one of the first.
pub(super) fn call_on_a_map_races_single_checks() -> String {
    let buckets = Buckets::new();
    let mut worker = buckets.with_both();
    let charged = race(vec![
        buckets.thread(|buckets, worker| buckets.call(worker.quiescent(EARLY))),
        buckets.thread(|buckets, worker| {
            let guard = worker.quiescent(EARLY);
            let first = buckets.map.check_n(&FIRST, &buckets.plan, 7, EARLY, guard);
            let second = buckets.map.check(&SECOND, &buckets.one, EARLY, guard);
            assert!(first.is_admitted());
            (if second.is_admitted() { "charged" } else { "denied" }, 7)
        }),
    ]);
    let ((word, all), (single, first)) = (charged[0], charged[1]);
    let guard = worker.quiescent(EARLY);
    assert_eq!(buckets.debt(FIRST, guard), all + first, "{word}");
    assert_eq!(buckets.debt(SECOND, guard), 1);
    buckets.end(worker);
    format!("{word}, {single}")
}

/// A sweep of the map that is ahead gives up the bucket that was charged, and the key gets another: the
/// roll-back leaves that alone.
pub(super) fn bucket_of_a_map_is_given_up_before_the_roll_back() -> String {
    let buckets = Buckets::new();
    let mut worker = buckets.with_both();
    let charged = race(vec![
        buckets.thread(|buckets, worker| buckets.call(worker.quiescent(EARLY))),
        buckets.thread(|buckets, worker| {
            // Before the sweep, so that the call is still admitted by its look.
            let sweeper = buckets.map.domain().worker();
            BucketSweep::new(&*buckets.map, sweeper).sweep(LATE, Budget::UNLIMITED);
            let guard = worker.quiescent(EARLY);
            _ = buckets.map.check(&SECOND, &buckets.one, EARLY, guard);
            let first = buckets.map.check_n(&FIRST, &buckets.plan, 20, EARLY, guard);
            assert!(first.is_admitted());
            ("", first.reset_after().as_nanos() as u64)
        }),
    ]);
    let ((word, all), (_, second)) = (charged[0], charged[1]);
    let debt = buckets.debt(FIRST, worker.quiescent(EARLY));
    match (all, second) {
        (10, 20) => assert!([20, 30].contains(&debt), "{word}, owes {debt}"),
        (10, 30) => assert_eq!(debt, 30),
        _ => assert_eq!(debt, 20, "{word}: what the next bucket owes"),
    }
    buckets.end(worker);
    format!("{word}, {second}, owes {debt}")
}
