//! The growable map (freezable sets), and the buckets on it.
//!
//! Keys are their own hashes, so a model chooses who shares a bucket. The domain keeps everything
//! that is retired in quarantine: each object may be retired once, nothing retired may be reachable
//! at the end, and when map and domain are gone nothing may be left. No key is 0: what is retired has a
//! link where its hash was, and the last link is null.

use std::sync::Arc;
use std::time::Duration;

use loom::cell::UnsafeCell;
use loom::sync::atomic::{AtomicU64, Ordering};
use tidegate_core::map::Cursor;
use tidegate_core::{
    BucketMap, BucketSweep, Budget, Decision, Domain, Guard, Instant, Map, Plan, Quota, Sweep,
    Worker, model,
};

use crate::identity::Identity;
use crate::{Model, both, race};

/// The models of this module.
pub const MODELS: &[Model] = &[
    Model {
        name: "m01_grow_races_insert_and_replace",
        preemptions: 3,
        run: grow_races_insert_and_replace,
        outcomes: both(&["moved before", "moved after"]),
    },
    Model {
        name: "m02_shrink_races_insert_and_remove",
        preemptions: 2,
        run: shrink_races_insert_and_remove,
        outcomes: both(&["[1, 2]"]),
    },
    Model {
        name: "m03_grow_races_get_of_a_resident",
        preemptions: 4,
        run: grow_races_get_of_a_resident,
        outcomes: both(&[
            "read 2 then 2 buckets",
            "read 1 then 2 buckets",
            "read 1 then 1 buckets",
        ]),
    },
    Model {
        name: "m04_grow_races_scan",
        preemptions: 3,
        run: grow_races_scan,
        outcomes: both(&["saw [1, 2] of 2", "saw [1, 2] of 1"]),
    },
    Model {
        name: "m05_shrink_races_scan",
        preemptions: 3,
        run: shrink_races_scan,
        outcomes: both(&["saw [1, 2]"]),
    },
    Model {
        name: "m06_sweep_races_charge",
        preemptions: 4,
        run: sweep_races_charge,
        outcomes: both(&["kept 1", "killed, then 1"]),
    },
    Model {
        name: "m07_grow_and_sweep_race_charge",
        preemptions: 1,
        run: grow_and_sweep_race_charge,
        outcomes: both(&["kept 1", "killed, then 1"]),
    },
    Model {
        name: "m08_two_charge_a_swept_key",
        preemptions: 2,
        run: two_charge_a_swept_key,
        outcomes: both(&["kept 2", "killed, then 2"]),
    },
    Model {
        name: "m09_two_help_one_migration",
        preemptions: 4,
        run: two_help_one_migration,
        outcomes: both(&["goes on", "ended"]),
    },
    Model {
        name: "m10_remove_while_the_sibling_has_not_moved",
        preemptions: 4,
        run: remove_while_the_sibling_has_not_moved,
        outcomes: both(&["found", "gone"]),
    },
    Model {
        name: "m11_same_key_inserted_twice",
        preemptions: 4,
        run: same_key_inserted_twice,
        outcomes: both(&["1 replaced", "2 replaced"]),
    },
    Model {
        name: "m12_two_grow",
        preemptions: 2,
        run: two_grow,
        outcomes: both(&["one grew", "both grew"]),
    },
    Model {
        name: "m13_removed_twice",
        preemptions: 4,
        run: removed_twice,
        outcomes: both(&["first", "second"]),
    },
    Model {
        name: "m14_update_races_update",
        preemptions: 4,
        run: update_races_update,
        outcomes: both(&["2"]),
    },
    Model {
        name: "m15_bucket_is_charged_while_it_is_given_up",
        preemptions: 3,
        run: bucket_is_charged_while_it_is_given_up,
        outcomes: both(&["1 of a new one", "2 of the old one"]),
    },
    Model {
        name: "m16_two_buckets_want_the_last_place",
        preemptions: 2,
        run: two_buckets_want_the_last_place,
        outcomes: both(&["[true, false]", "[false, true]"]),
    },
    Model {
        name: "m17_iter_races_replace_of_the_only_entry",
        preemptions: 3,
        run: iter_races_replace_of_the_only_entry,
        outcomes: both(&["saw 10", "saw 11"]),
    },
    Model {
        name: "m18_iter_races_grow_and_replace",
        preemptions: 3,
        run: iter_races_grow_and_replace,
        outcomes: both(&["saw 10", "saw 11"]),
    },
    Model {
        name: "m19_two_verify_what_each_has_moved",
        preemptions: 1,
        run: two_verify_what_each_has_moved,
        outcomes: both(&["ended", "goes on"]),
    },
    Model {
        name: "m20_scan_races_shrink_and_a_late_insert",
        preemptions: 1,
        run: scan_races_shrink_and_a_late_insert,
        outcomes: both(&["saw [1, 2]", "saw [1, 2, 3]"]),
    },
    Model {
        name: "m21_scan_races_grow_and_a_late_insert",
        preemptions: 1,
        run: scan_races_grow_and_a_late_insert,
        outcomes: both(&["saw [2]", "saw [2, 3]"]),
    },
    Model {
        name: "m22_get_of_what_one_has_filled_and_another_moved",
        preemptions: 1,
        run: get_of_what_one_has_filled_and_another_moved,
        outcomes: both(&["30"]),
    },
    Model {
        name: "m23_remove_before_the_source_is_marked",
        preemptions: 2,
        run: remove_before_the_source_is_marked,
        outcomes: both(&["removed"]),
    },
    Model {
        name: "m24_two_clear_the_next_table",
        preemptions: 3,
        run: two_clear_the_next_table,
        outcomes: both(&[
            "[Some(false), Some(true)]",
            "[Some(true), Some(false)]",
            "[None, Some(false)]",
            "[Some(false), None]",
        ]),
    },
    Model {
        name: "m25_two_publish_the_next_table",
        preemptions: 3,
        run: two_publish_the_next_table,
        outcomes: both(&["[None, Some(true)]", "[Some(true), None]"]),
    },
    Model {
        name: "m26_get_many_races_insert_and_replace",
        preemptions: 3,
        run: get_many_races_insert_and_replace,
        outcomes: both(&[
            "[None, Some(20)]",
            "[None, Some(21)]",
            "[Some(10), Some(20)]",
            "[Some(10), Some(21)]",
        ]),
    },
    Model {
        name: "m27_get_many_races_grow",
        preemptions: 2,
        run: get_many_races_grow,
        outcomes: both(&[
            "read 2 then 2 buckets",
            "read 2 then 4 buckets",
            "read 4 then 4 buckets",
        ]),
    },
    Model {
        name: "m28_burst_races_check",
        preemptions: 3,
        run: burst_races_check,
        outcomes: both(&["[1, 2] and [3]", "[1, 3] and [2]", "[2, 3] and [1]"]),
    },
    Model {
        name: "m29_scan_of_what_another_moves_to_a_larger_table",
        preemptions: 2,
        run: scan_of_what_another_moves_to_a_larger_table,
        outcomes: both(&["saw [1]", "saw [1, 4]"]),
    },
    Model {
        name: "m30_scan_of_what_another_moves_to_a_smaller_table",
        preemptions: 2,
        run: scan_of_what_another_moves_to_a_smaller_table,
        outcomes: both(&["saw [1, 2]", "saw [1, 2, 4]"]),
    },
    Model {
        name: "m31_map_ends_in_the_middle_of_a_migration",
        preemptions: 3,
        run: map_ends_in_the_middle_of_a_migration,
        outcomes: both(&["freed"]),
    },
    Model {
        name: "m32_reserve_races_insert_and_remove",
        preemptions: 2,
        run: reserve_races_insert_and_remove,
        outcomes: both(&["changed 1 buckets", "changed 4 buckets"]),
    },
    Model {
        name: "m33_two_reserve",
        preemptions: 2,
        run: two_reserve,
        outcomes: both(&["4 buckets"]),
    },
    Model {
        name: "m34_scan_races_reserve",
        preemptions: 2,
        run: scan_races_reserve,
        outcomes: both(&["saw [1, 2] of 1", "saw [1, 2] of 4"]),
    },
];

const NOW: Instant = Instant::from_secs(1);
const DEAD: u64 = u64::MAX;

/// A value that is written once, where it is made: loom reports whoever reads it without having seen
/// that.
struct Plain(UnsafeCell<u64>);

impl Plain {
    fn new(value: u64) -> Self {
        let cell = UnsafeCell::new(0);
        // SAFETY: nobody else knows the cell.
        cell.with_mut(|cell| unsafe { *cell = value });
        Self(cell)
    }

    fn get(&self) -> u64 {
        // SAFETY: never written again.
        self.0.with(|cell| unsafe { *cell })
    }
}

// SAFETY: written only where it is made.
unsafe impl Send for Plain {}
// SAFETY: as above.
unsafe impl Sync for Plain {}

type Plains = Map<u64, Plain, Identity>;
type States = Map<u64, AtomicU64, Identity>;
type Shared<V> = Arc<Map<u64, V, Identity>>;

/// A map of so many buckets that holds these keys, in quarantine.
fn map<V: Send + 'static>(buckets: usize, content: Vec<(u64, V)>) -> (Shared<V>, Worker) {
    model::forget_live();
    let domain = Domain::quarantine();
    let map = Map::with(&domain, Identity::default());
    let mut worker = domain.worker();
    let guard = worker.quiescent(NOW);
    while map.buckets(guard) < buckets {
        resize(&map, true, guard);
    }
    for (key, value) in content {
        assert!(map.insert(key, value, guard).is_ok());
    }
    (Arc::new(map), worker)
}

fn resize<V: Send + 'static>(map: &Map<u64, V, Identity>, grow: bool, guard: &Guard) {
    map.force_resize(grow, guard);
    while map.force_help(guard) {}
}

/// Whatever must hold at the end, and an end to everything.
fn finish<V: Send + 'static>(map: Shared<V>, mut worker: Worker) {
    map.audit(worker.quiescent(NOW));
    drop((map, worker));
    assert_eq!(model::live(), 0, "something was never retired");
}

/// What a thread does: a closure with the map and a worker of its own, made before it starts.
fn with<V, T>(
    map: &Shared<V>,
    f: impl FnOnce(&Map<u64, V, Identity>, &Guard) -> T + 'static,
) -> Box<dyn FnOnce() -> T>
where
    V: Send + Sync + 'static,
{
    let (map, mut worker) = (Arc::clone(map), map.domain().worker());
    Box::new(move || f(&map, worker.quiescent(NOW)))
}

fn content(map: &Plains, guard: &Guard) -> Vec<u64> {
    let mut keys: Vec<_> = map.iter(guard).map(|(&key, _)| key).collect();
    keys.sort_unstable();
    keys
}

fn grow_races_insert_and_replace() -> String {
    let (map, mut worker) = map(1, vec![(2, Plain::new(20))]);
    let threads = vec![
        with(&map, |map, guard| {
            resize(map, true, guard);
            0
        }),
        with(&map, |map, guard| {
            let buckets = map.buckets(guard);
            assert!(map.insert(1, Plain::new(10), guard).is_ok_and(|old| old.is_none()));
            let old = map.insert(2, Plain::new(21), guard).ok().flatten();
            assert_eq!(old.map(Plain::get), Some(20));
            buckets
        }),
    ];
    let buckets = race(threads)[1];
    let guard = worker.quiescent(NOW);
    assert_eq!(map.get(&1, guard).map(Plain::get), Some(10));
    assert_eq!(map.get(&2, guard).map(Plain::get), Some(21));
    assert_eq!((map.len(), content(&map, guard)), (2, vec![1, 2]));
    finish(map, worker);
    (if buckets == 2 { "moved before" } else { "moved after" }).to_owned()
}

fn shrink_races_insert_and_remove() -> String {
    let (map, mut worker) = map(2, vec![(4, Plain::new(40)), (1, Plain::new(10))]);
    let threads = vec![
        with(&map, |map, guard| resize(map, false, guard)),
        with(&map, |map, guard| {
            assert!(map.insert(2, Plain::new(20), guard).is_ok());
            assert_eq!(map.remove(&4, guard).ok().flatten().map(Plain::get), Some(40));
        }),
    ];
    race(threads);
    let guard = worker.quiescent(NOW);
    assert!(map.get(&4, guard).is_none());
    assert_eq!(map.get(&2, guard).map(Plain::get), Some(20));
    let seen = format!("{:?}", content(&map, guard));
    finish(map, worker);
    seen
}

fn grow_races_get_of_a_resident() -> String {
    // Two of them share a bucket before and after, and so a block that the resize makes.
    let keys = vec![(1, Plain::new(10)), (2, Plain::new(20)), (3, Plain::new(30))];
    let (map, worker) = map(1, keys);
    let threads = vec![
        with(&map, |map, guard| {
            resize(map, true, guard);
            String::new()
        }),
        with(&map, |map, guard| {
            let before = map.buckets(guard);
            assert_eq!(map.get(&1, guard).map(Plain::get), Some(10));
            assert_eq!(map.get(&3, guard).map(Plain::get), Some(30));
            assert!(map.get(&5, guard).is_none());
            format!("read {before} then {} buckets", map.buckets(guard))
        }),
    ];
    let seen = race(threads).swap_remove(1);
    finish(map, worker);
    seen
}

/// Looks keys up side by side, and returns their values.
fn get_many(map: &Plains, keys: &[u64], guard: &Guard) -> Vec<Option<u64>> {
    let mut values = vec![None; keys.len()];
    map.get_many(keys, &mut values, guard);
    values.into_iter().map(|value| value.map(Plain::get)).collect()
}

fn get_many_races_insert_and_replace() -> String {
    let (map, worker) = map(2, vec![(2, Plain::new(20))]);
    let threads = vec![
        with(&map, |map, guard| {
            assert!(map.insert(1, Plain::new(10), guard).is_ok_and(|old| old.is_none()));
            assert!(map.insert(2, Plain::new(21), guard).is_ok_and(|old| old.is_some()));
            Vec::new()
        }),
        with(&map, |map, guard| get_many(map, &[1, 2], guard)),
    ];
    let seen = race(threads).swap_remove(1);
    finish(map, worker);
    format!("{seen:?}")
}

/// Whatever has moved to another table is found there.
fn get_many_races_grow() -> String {
    let (map, worker) = map(2, vec![(1, Plain::new(10)), (2, Plain::new(20))]);
    let threads = vec![
        with(&map, |map, guard| {
            resize(map, true, guard);
            String::new()
        }),
        with(&map, |map, guard| {
            let before = map.buckets(guard);
            assert_eq!(get_many(map, &[1, 2, 3], guard), [Some(10), Some(20), None]);
            format!("read {before} then {} buckets", map.buckets(guard))
        }),
    ];
    let seen = race(threads).swap_remove(1);
    finish(map, worker);
    seen
}

fn scan_all(map: &Plains, guard: &Guard) -> Vec<u64> {
    let (mut cursor, mut seen) = (Cursor::START, Vec::new());
    loop {
        let visit = |&key: &u64, value: &Plain| {
            assert_eq!(value.get(), 10 * key);
            seen.push(key);
        };
        cursor = map.scan(cursor, Budget::entries(1), visit, guard);
        if cursor == Cursor::START {
            seen.sort_unstable();
            return seen;
        }
    }
}

fn grow_races_scan() -> String {
    let (map, worker) = map(1, vec![(1, Plain::new(10)), (2, Plain::new(20))]);
    let threads = vec![
        with(&map, |map, guard| {
            resize(map, true, guard);
            String::new()
        }),
        with(&map, |map, guard| {
            let buckets = map.buckets(guard);
            format!("saw {:?} of {buckets}", scan_all(map, guard))
        }),
    ];
    let seen = race(threads).swap_remove(1);
    finish(map, worker);
    seen
}

fn shrink_races_scan() -> String {
    let (map, worker) = map(2, vec![(1, Plain::new(10)), (2, Plain::new(20))]);
    let threads = vec![
        with(&map, |map, guard| {
            resize(map, false, guard);
            Vec::new()
        }),
        with(&map, scan_all),
    ];
    // A table that shrinks may show an entry twice.
    let mut seen = race(threads).swap_remove(1);
    seen.dedup();
    finish(map, worker);
    format!("saw {seen:?}")
}

/// Adds one to the state of a key, in a new entry if the one that is there is dead.
fn charge(map: &States, key: u64, guard: &Guard) {
    loop {
        let state = map.get_or_insert_with(key, || AtomicU64::new(0), guard).expect("room");
        let mut seen = state.load(Ordering::Acquire);
        while seen != DEAD {
            match state.compare_exchange(seen, seen + 1, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => return,
                Err(now) => seen = now,
            }
        }
        let dead = |_: &u64, state: &AtomicU64| state.load(Ordering::Acquire) == DEAD;
        assert!(map.remove_if(&key, dead, guard).is_ok());
    }
}

/// Kills a state of zero.
fn kill(state: &AtomicU64) -> bool {
    state.load(Ordering::Acquire) == DEAD
        || state.compare_exchange(0, DEAD, Ordering::AcqRel, Ordering::Acquire).is_ok()
}

/// Sweeps the whole map, and tells how many it removed.
fn swept(map: &Shared<AtomicU64>) -> Box<dyn FnOnce() -> usize> {
    let (map, worker) = (Arc::clone(map), map.domain().worker());
    Box::new(move || {
        let mut sweep = map.sweeper(worker, |_, state, _| kill(state));
        let mut removed = 0;
        loop {
            let step = sweep.sweep(NOW, Budget::UNLIMITED);
            removed += step.removed;
            if step.wrapped {
                return removed;
            }
        }
    })
}

/// A key of state 0, beside a neighbour, is charged so often while it is swept; the rest goes on
/// beside it.
fn charges_race_a_sweep(charges: usize, beside: Option<fn(&States, &Guard)>) -> String {
    let (map, mut worker) = map(1, vec![(4, AtomicU64::new(0)), (1, AtomicU64::new(5))]);
    let mut threads = vec![swept(&map)];
    for _ in 0..charges {
        threads.push(with(&map, |map, guard| {
            charge(map, 4, guard);
            0
        }));
    }
    if let Some(beside) = beside {
        threads.push(with(&map, move |map, guard| {
            beside(map, guard);
            0
        }));
    }
    let removed = race(threads)[0];
    let guard = worker.quiescent(NOW);
    let state = |key| map.get(&key, guard).map(|state| state.load(Ordering::Acquire));
    assert_eq!((state(4), state(1)), (Some(charges as u64), Some(5)));
    assert_eq!(map.len(), 2);
    // Killed, and unlinked by the sweep or whoever charged next.
    let killed = map.domain().gauges(NOW).retired > 0;
    assert!(removed <= 1 && (killed || removed == 0));
    finish(map, worker);
    if removed == 1 { format!("killed, then {charges}") } else { format!("kept {charges}") }
}

fn sweep_races_charge() -> String {
    charges_race_a_sweep(1, None)
}

fn grow_and_sweep_race_charge() -> String {
    charges_race_a_sweep(1, Some(|map, guard| resize(map, true, guard)))
}

fn two_charge_a_swept_key() -> String {
    charges_race_a_sweep(2, None)
}

fn two_help_one_migration() -> String {
    let keys = vec![(1, Plain::new(10)), (2, Plain::new(20)), (3, Plain::new(30))];
    let (map, mut worker) = map(1, keys);
    assert!(map.force_resize(true, worker.quiescent(NOW)));
    let help = |map: &Plains, guard: &Guard| map.force_help(guard);
    let goes_on = race(vec![with(&map, help), with(&map, help)]);
    let guard = worker.quiescent(NOW);
    for key in 1..4 {
        assert_eq!(map.get(&key, guard).map(Plain::get), Some(10 * key));
    }
    while map.force_help(guard) {}
    assert_eq!(content(&map, guard), [1, 2, 3]);
    finish(map, worker);
    (if goes_on == [true, true] { "goes on" } else { "ended" }).to_owned()
}

/// One goes on with the table that another has begun to clear.
fn two_clear_the_next_table() -> String {
    let piece = |map: &Plains, guard: &Guard| map.force_step(true, 1, guard);
    two_begin_to_grow(piece, piece)
}

/// Each has a table, and one of them is too late.
fn two_publish_the_next_table() -> String {
    let all = |map: &Plains, guard: &Guard| map.force_step(true, 2, guard);
    let elsewhere = |map: &Plains, guard: &Guard| map.force_elsewhere(true, guard).then_some(true);
    two_begin_to_grow(all, elsewhere)
}

fn two_begin_to_grow(
    first: fn(&Plains, &Guard) -> Option<bool>,
    second: fn(&Plains, &Guard) -> Option<bool>,
) -> String {
    let (map, mut worker) = map(1, vec![(1, Plain::new(10)), (2, Plain::new(20))]);
    let steps = race(vec![with(&map, first), with(&map, second)]);
    let guard = worker.quiescent(NOW);
    while map.buckets(guard) == 1 {
        map.force_step(true, 1, guard);
    }
    while map.force_help(guard) {}
    assert_eq!((map.buckets(guard), content(&map, guard)), (2, vec![1, 2]));
    finish(map, worker);
    format!("{steps:?}")
}

fn remove_while_the_sibling_has_not_moved() -> String {
    let (map, mut worker) = map(1, vec![(1, Plain::new(10)), (2, Plain::new(20))]);
    assert!(map.force_resize(true, worker.quiescent(NOW)));
    let threads = vec![
        with(&map, |map, guard| {
            assert_eq!(map.remove(&1, guard).ok().flatten().map(Plain::get), Some(10));
            // From here on nobody who comes may find a way to it.
            map.audit(guard);
            true
        }),
        with(&map, |map, guard| {
            // It may have filled the buckets, and stopped before it marks their source.
            map.force_help(guard);
            assert_eq!(map.get(&2, guard).map(Plain::get), Some(20));
            let found = map.get(&1, guard).map(Plain::get);
            assert!(found.is_none_or(|value| value == 10), "another's value");
            found.is_some()
        }),
    ];
    let found = race(threads)[1];
    let guard = worker.quiescent(NOW);
    assert!(map.get(&1, guard).is_none());
    finish(map, worker);
    (if found { "found" } else { "gone" }).to_owned()
}

/// One fills the buckets of a unit and may stop before it marks their source; one removes; and one
/// looks whether what was removed is within reach.
fn remove_before_the_source_is_marked() -> String {
    let (map, mut worker) = map(1, vec![(1, Plain::new(10)), (2, Plain::new(20))]);
    assert!(map.force_resize(true, worker.quiescent(NOW)));
    let threads = vec![
        with(&map, |map, guard| {
            assert!(map.remove(&1, guard).is_ok_and(|removed| removed.is_some()));
        }),
        with(&map, |map, guard| _ = map.force_help(guard)),
        with(&map, |map, guard| {
            if model::is_rmw() {
                map.audit(guard);
            }
        }),
    ];
    race(threads);
    assert!(map.get(&1, worker.quiescent(NOW)).is_none());
    finish(map, worker);
    "removed".to_owned()
}

fn same_key_inserted_twice() -> String {
    let (map, mut worker) = map(1, vec![(2, Plain::new(20))]);
    let insert = |value| {
        with(&map, move |map, guard| {
            map.insert(1, Plain::new(value), guard).ok().flatten().map(Plain::get)
        })
    };
    let replaced = race(vec![insert(10), insert(11)]);
    let guard = worker.quiescent(NOW);
    let left = map.get(&1, guard).map(Plain::get);
    assert_eq!(map.len(), 2);
    finish(map, worker);
    match replaced[..] {
        [None, Some(10)] if left == Some(11) => "1 replaced".to_owned(),
        [Some(11), None] if left == Some(10) => "2 replaced".to_owned(),
        _ => panic!("{replaced:?}, left {left:?}"),
    }
}

fn two_grow() -> String {
    let (map, mut worker) = map(1, vec![(1, Plain::new(10)), (2, Plain::new(20))]);
    let grow = |map: &Plains, guard: &Guard| {
        let grew = map.force_resize(true, guard);
        map.force_help(guard);
        map.force_help(guard);
        assert_eq!(map.get(&1, guard).map(Plain::get), Some(10));
        grew
    };
    race(vec![with(&map, grow), with(&map, grow)]);
    let guard = worker.quiescent(NOW);
    let buckets = map.buckets(guard);
    assert_eq!(content(&map, guard), [1, 2]);
    finish(map, worker);
    match buckets {
        2 => "one grew".to_owned(),
        4 => "both grew".to_owned(),
        _ => panic!("{buckets} buckets"),
    }
}

/// To make room for seven entries beside two that are there takes two buckets. A table of one bucket
/// becomes one of four.
const FOR_TWO: usize = 7;

fn reserve_races_insert_and_remove() -> String {
    let (map, mut worker) = map(1, vec![(1, Plain::new(10)), (2, Plain::new(20))]);
    let threads = vec![
        with(&map, |map, guard| {
            assert_eq!(map.reserve(FOR_TWO, guard), Ok(()));
            map.buckets(guard)
        }),
        with(&map, |map, guard| {
            assert!(map.insert(3, Plain::new(30), guard).is_ok());
            let removed = map.remove(&1, guard).ok().flatten();
            assert_eq!(removed.map(Plain::get), Some(10));
            map.buckets(guard)
        }),
    ];
    let seen = race(threads);
    let guard = worker.quiescent(NOW);
    assert_eq!((content(&map, guard), seen[0]), (vec![2, 3], 4));
    finish(map, worker);
    format!("changed {} buckets", seen[1])
}

fn two_reserve() -> String {
    let (map, mut worker) = map(1, vec![(1, Plain::new(10)), (2, Plain::new(20))]);
    let reserve = |map: &Plains, guard: &Guard| {
        assert_eq!(map.reserve(FOR_TWO, guard), Ok(()));
        assert_eq!(map.get(&1, guard).map(Plain::get), Some(10));
    };
    race(vec![with(&map, reserve), with(&map, reserve)]);
    let guard = worker.quiescent(NOW);
    let buckets = map.buckets(guard);
    assert_eq!(content(&map, guard), [1, 2]);
    finish(map, worker);
    format!("{buckets} buckets")
}

fn scan_races_reserve() -> String {
    let (map, worker) = map(1, vec![(1, Plain::new(10)), (2, Plain::new(20))]);
    let threads = vec![
        with(&map, |map, guard| {
            assert_eq!(map.reserve(FOR_TWO, guard), Ok(()));
            String::new()
        }),
        with(&map, |map, guard| {
            let buckets = map.buckets(guard);
            format!("saw {:?} of {buckets}", scan_all(map, guard))
        }),
    ];
    let seen = race(threads).swap_remove(1);
    finish(map, worker);
    seen
}

fn removed_twice() -> String {
    let (map, worker) = map(1, vec![(1, Plain::new(10)), (2, Plain::new(20))]);
    let remove = |map: &Plains, guard: &Guard| map.remove(&1, guard).ok().flatten().map(Plain::get);
    let removed = race(vec![with(&map, remove), with(&map, remove)]);
    assert_eq!(map.len(), 1);
    finish(map, worker);
    match removed[..] {
        [Some(10), None] => "first".to_owned(),
        [None, Some(10)] => "second".to_owned(),
        _ => panic!("{removed:?}"),
    }
}

fn update_races_update() -> String {
    let (map, mut worker) = map(1, vec![(1, Plain::new(0)), (2, Plain::new(20))]);
    let update = |map: &Plains, guard: &Guard| {
        assert!(map.update(&1, |value| Plain::new(value.get() + 1), guard).is_ok());
    };
    race(vec![with(&map, update), with(&map, update)]);
    let left = map.get(&1, worker.quiescent(NOW)).map(Plain::get);
    finish(map, worker);
    format!("{}", left.expect("there all the while"))
}

/// Buckets in which a cell lasts 1 ns, so that after `k` charges at `NOW` one is full again in `k`.
fn buckets(most: usize) -> (Arc<BucketMap<u64, Identity>>, Plan, Worker) {
    model::forget_live();
    let quota = Quota::per_second(1_000_000_000).and_then(|quota| quota.burst(100));
    let quota = quota.expect("a quota");
    let domain = Domain::quarantine();
    let buckets = BucketMap::with(&domain, quota, Identity::default()).expect("a unit");
    let buckets = buckets.grace(Duration::ZERO).max_keys(most);
    let (plan, worker) = (buckets.plan(quota).expect("a plan"), domain.worker());
    (Arc::new(buckets), plan, worker)
}

fn end(buckets: Arc<BucketMap<u64, Identity>>, worker: Worker) {
    drop((buckets, worker));
    assert_eq!(model::live(), 0, "something was never retired");
}

/// The one key is replaced while it is iterated over: each pass must show it.
fn iter_races_replace(map: Shared<Plain>, worker: Worker, key: u64) -> String {
    let threads = vec![
        with(&map, move |map, guard| {
            assert!(map.insert(key, Plain::new(11), guard).is_ok_and(|old| old.is_some()));
            0
        }),
        with(&map, |map, guard| {
            let values: Vec<_> = map.iter(guard).map(|(_, value)| value.get()).collect();
            assert_eq!(values.len(), 1, "missed a key that was there all the while");
            values[0]
        }),
    ];
    let seen = race(threads)[1];
    finish(map, worker);
    format!("saw {seen}")
}

fn iter_races_replace_of_the_only_entry() -> String {
    let (map, worker) = map(1, vec![(3, Plain::new(10))]);
    iter_races_replace(map, worker, 3)
}

fn iter_races_grow_and_replace() -> String {
    let (map, mut worker) = map(1, vec![(1, Plain::new(10))]);
    assert!(map.force_resize(true, worker.quiescent(NOW)));
    iter_races_replace(map, worker, 1)
}

/// Beside a table that is replaced and not migrated, somebody inserts who may still have found the one
/// before, and somebody scans.
fn scan_races_a_late_insert(buckets: usize, keys: Vec<(u64, Plain)>) -> String {
    let residents: Vec<_> = keys.iter().map(|&(key, _)| key).collect();
    let (map, worker) = map(buckets, keys);
    let threads = vec![
        with(&map, |map, guard| {
            assert!(map.insert(3, Plain::new(30), guard).is_ok());
            Vec::new()
        }),
        // It takes a unit upon itself, so that the scan may find that undone.
        with(&map, move |map, guard| {
            map.force_resize(buckets == 1, guard);
            map.force_help(guard);
            Vec::new()
        }),
        with(&map, scan_all),
    ];
    let mut seen = race(threads).swap_remove(2);
    seen.dedup();
    assert!(residents.iter().all(|key| seen.contains(key)), "missed a resident: {seen:?}");
    finish(map, worker);
    format!("saw {seen:?}")
}

fn scan_races_shrink_and_a_late_insert() -> String {
    scan_races_a_late_insert(2, vec![(1, Plain::new(10)), (2, Plain::new(20))])
}

fn scan_races_grow_and_a_late_insert() -> String {
    scan_races_a_late_insert(1, vec![(2, Plain::new(20))])
}

/// There are two units. Another has taken the first, and may stop before it has moved it; the scan is handed
/// the second, and finds the first where it was, or come, or in between. Once it is moved, an entry of it is
/// removed.
fn scan_of_what_another_moves(buckets: usize, keys: Vec<(u64, Plain)>, grow: bool) -> String {
    let (map, mut worker) = map(buckets, keys);
    assert!(map.force_resize(grow, worker.quiescent(NOW)));
    let threads = vec![
        with(&map, |map, guard| {
            map.force_help(guard);
            assert_eq!(map.remove(&4, guard).ok().flatten().map(Plain::get), Some(40));
            Vec::new()
        }),
        with(&map, scan_all),
    ];
    let seen = race(threads).swap_remove(1);
    finish(map, worker);
    format!("saw {seen:?}")
}

fn scan_of_what_another_moves_to_a_larger_table() -> String {
    scan_of_what_another_moves(2, vec![(4, Plain::new(40)), (1, Plain::new(10))], true)
}

fn scan_of_what_another_moves_to_a_smaller_table() -> String {
    let keys = vec![(4, Plain::new(40)), (2, Plain::new(20)), (1, Plain::new(10))];
    scan_of_what_another_moves(4, keys, false)
}

/// Whoever drops the map frees what is in both of its tables: here a bucket of two that has not moved.
fn map_ends_in_the_middle_of_a_migration() -> String {
    let keys = [4, 6, 1, 3].map(|key| (key, Plain::new(10 * key)));
    let (map, mut worker) = map(2, keys.into());
    assert!(map.force_resize(true, worker.quiescent(NOW)));
    let threads = vec![
        with(&map, |map, guard| {
            assert_eq!(map.remove(&4, guard).ok().flatten().map(Plain::get), Some(40));
            0
        }),
        with(&map, |map, guard| map.get(&1, guard).map_or(0, Plain::get)),
    ];
    assert_eq!(race(threads)[1], 10);
    finish(map, worker);
    "freed".to_owned()
}

fn get_of_what_one_has_filled_and_another_moved() -> String {
    let keys = vec![(1, Plain::new(10)), (3, Plain::new(30))];
    let (map, mut worker) = map(1, keys);
    assert!(map.force_resize(true, worker.quiescent(NOW)));
    // Removing what is not there moves the unit, and changes nothing else.
    let settle = |key| {
        with(&map, move |map, guard| {
            assert!(map.remove(&key, guard).is_ok_and(|removed| removed.is_none()));
            0
        })
    };
    let threads = vec![
        settle(5),
        settle(7),
        with(&map, |map, guard| map.get(&3, guard).map_or(0, Plain::get)),
    ];
    let seen = race(threads)[2];
    finish(map, worker);
    format!("{seen}")
}

fn two_verify_what_each_has_moved() -> String {
    let (map, mut worker) = map(2, vec![(4, Plain::new(40)), (1, Plain::new(10))]);
    assert!(map.force_resize(true, worker.quiescent(NOW)));
    let help = |map: &Plains, guard: &Guard| {
        map.force_help(guard);
        map.force_help(guard)
    };
    let threads = vec![
        with(&map, help),
        with(&map, help),
        with(&map, |map, guard| {
            assert_eq!(map.get(&4, guard).map(Plain::get), Some(40));
            assert_eq!(map.get(&1, guard).map(Plain::get), Some(10));
            true
        }),
    ];
    let goes_on = race(threads);
    let guard = worker.quiescent(NOW);
    assert_eq!(content(&map, guard), [1, 4]);
    finish(map, worker);
    (if goes_on[..2] == [true, true] { "goes on" } else { "ended" }).to_owned()
}

fn bucket_is_charged_while_it_is_given_up() -> String {
    let (buckets, plan, mut worker) = buckets(usize::MAX);
    assert!(buckets.check(&1, &plan, NOW, worker.quiescent(NOW)).is_admitted());
    let charging = (Arc::clone(&buckets), buckets.domain().worker());
    let sweeping = (Arc::clone(&buckets), buckets.domain().worker());
    let seen = race::<u64>(vec![
        Box::new(move || {
            let (buckets, mut worker) = charging;
            let decision = buckets.check(&1, &plan, NOW, worker.quiescent(NOW));
            assert!(decision.is_admitted());
            decision.reset_after().as_nanos() as u64
        }),
        // Its clock is ahead, so that what was charged once is paid for.
        Box::new(move || {
            let (buckets, worker) = sweeping;
            let mut sweep = BucketSweep::new(buckets, worker);
            sweep.sweep(NOW + Duration::from_nanos(1), Budget::UNLIMITED).removed as u64
        }),
    ]);
    let guard = worker.quiescent(NOW);
    let charges = buckets.peek(&1, &plan, NOW, guard).remaining();
    assert_eq!((buckets.len(), 100 - charges), (1, seen[0]));
    end(buckets, worker);
    match seen[0] {
        1 => "1 of a new one".to_owned(),
        2 => "2 of the old one".to_owned(),
        charges => panic!("{charges} charges"),
    }
}

fn two_buckets_want_the_last_place() -> String {
    let (buckets, plan, mut worker) = buckets(1);
    let check = |key: u64| -> Box<dyn FnOnce() -> bool> {
        let (buckets, mut worker) = (Arc::clone(&buckets), buckets.domain().worker());
        Box::new(move || buckets.check(&key, &plan, NOW, worker.quiescent(NOW)).is_admitted())
    };
    let admitted = race(vec![check(1), check(2)]);
    assert_eq!(buckets.len(), 1);
    // Once that is paid for, another finds the place.
    let later = NOW + Duration::from_nanos(1);
    assert!(buckets.check(&3, &plan, later, worker.quiescent(later)).is_admitted());
    assert_eq!(buckets.len(), 1);
    end(buckets, worker);
    format!("{admitted:?}")
}

/// A new key is charged twice by a burst, and once by another thread: there is one bucket, and no charge
/// is lost.
fn burst_races_check() -> String {
    let (buckets, plan, mut worker) = buckets(usize::MAX);
    let deed = |deed: fn(&BucketMap<u64, Identity>, &Plan, &Guard) -> Vec<Decision>| {
        let (buckets, mut worker) = (Arc::clone(&buckets), buckets.domain().worker());
        let deed = move || deed(&buckets, &plan, worker.quiescent(NOW));
        Box::new(deed) as Box<dyn FnOnce() -> Vec<Decision>>
    };
    let decisions = race(vec![
        deed(|buckets, plan, guard| {
            let mut decisions = vec![Decision::CLOSED; 2];
            buckets.check_burst(&[(&1, plan, 1); 2], NOW, &mut decisions, guard);
            decisions
        }),
        deed(|buckets, plan, guard| vec![buckets.check(&1, plan, NOW, guard)]),
    ]);
    assert!(decisions.iter().flatten().all(Decision::is_admitted));
    let left = buckets.peek(&1, &plan, NOW, worker.quiescent(NOW)).remaining();
    assert_eq!((buckets.len(), left), (1, 97));
    end(buckets, worker);
    let debts = |of: &Vec<Decision>| -> Vec<_> {
        of.iter().map(|decision| decision.reset_after().as_nanos()).collect()
    };
    format!("{:?} and {:?}", debts(&decisions[0]), debts(&decisions[1]))
}
