//! Reservations, takings of what there is, and buckets that start partly empty.

use tidegate_core::bucket::reserve;
use tidegate_core::{Clock, Instant, OnFull};

use super::{A, Charged, EARLY, LATE, Scene, thread};
use crate::race;

/// A clock that stands still.
pub(super) struct Still;

impl Clock for Still {
    fn now(&self) -> Instant {
        EARLY
    }
}

/// A bucket of three cells starts with one. Two callers come for it at once.
pub(super) fn two_callers_of_a_bucket_that_starts_partly_empty() -> String {
    let mut scene = Scene::with(3, OnFull::Deny);
    scene.plan = scene.plan.starting_at(1);
    let charged = race(vec![
        thread(&scene, |scene| scene.charge(A, EARLY)),
        thread(&scene, |scene| scene.charge(A, EARLY)),
    ]);
    assert_eq!(scene.debt(A, EARLY), 3);
    format!("{} / {}", charged[0], charged[1])
}

/// One cell is asked for by a bucket that starts without any: the denied calls leave a bucket that
/// fills from then on, and one only.
pub(super) fn two_callers_begin_an_empty_bucket() -> String {
    let mut scene = Scene::with(3, OnFull::Deny);
    scene.plan = scene.plan.starting_at(0);
    let charged = race(vec![
        thread(&scene, |scene| scene.charge(A, EARLY)),
        thread(&scene, |scene| scene.charge(A, EARLY)),
    ]);
    assert_eq!((scene.debt(A, EARLY), scene.table.len()), (3, 1));
    format!("{} / {}", charged[0], charged[1])
}

/// A call takes what there is of three cells, and another one of them.
pub(super) fn taking_races_a_charge() -> String {
    let scene = Scene::with(3, OnFull::Deny);
    let charged = race(vec![
        thread(&scene, |scene| {
            let taken = scene.table.take_up_to(&A, &scene.plan, 3, EARLY);
            Charged::To(taken.charged())
        }),
        thread(&scene, |scene| scene.charge(A, EARLY)),
    ]);
    assert_eq!(scene.debt(A, EARLY), 3);
    format!("took {} / {}", charged[0], charged[1])
}

/// A reservation is settled while its bucket is given up and the key gets another in the same slot,
/// which must not gain by it.
pub(super) fn settlement_races_reclaim_and_reuse() -> String {
    let scene = Scene::new();
    assert_eq!(scene.charge(A, EARLY), Charged::To(1));
    let reports = race(vec![
        thread(&scene, |scene| {
            let reserved = reserve(scene.table.limit(&A, &scene.plan, 1, EARLY, &Still));
            (reserved.expect("room for it").settle(0).given_back() as usize, 0)
        }),
        thread(&scene, |scene| {
            let swept = scene.sweep(LATE);
            (swept, scene.charge(A, EARLY).debt().expect("room for it") as usize)
        }),
    ]);
    let [(given_back, _), (swept, to)] = reports[..] else { unreachable!("two threads") };
    assert_eq!(scene.debt(A, EARLY) as usize, 2 - swept, "swept {swept}, charged to {to}");
    format!("gave {given_back} back, swept {swept}, then {to}")
}
