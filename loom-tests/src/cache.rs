//! The cache: what becomes of an entry that several want something of at once.
//!
//! Keys are their own hashes, and a segment of the order has two slots. At the end of every model what
//! is still there must be found by whoever evicts, and what was counted must be what is there: each
//! removal once, and nothing reserved for what is gone.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use loom::cell::UnsafeCell;
use loom::thread::Thread;
use tidegate_core::cache::{Computed, Insert, Load, Op, OwnedHeldEntry, Usage};
use tidegate_core::flight::{Caller, FollowError};
use tidegate_core::{
    Budget, Cache, Domain, Guard, Instant, RemovalCause, Sweep, Tiers, Worker, model,
};

use crate::identity::Identity;
use crate::{Model, both, race, together};

/// The models of this module.
pub const MODELS: &[Model] = &[
    Model {
        name: "c01_insert_at_capacity_races_insert",
        preemptions: 2,
        run: insert_at_capacity_races_insert,
        outcomes: both(&["kept [true, true]", "kept [true, false]", "kept [false, true]"]),
    },
    Model {
        name: "c02_hold_races_eviction",
        preemptions: 3,
        run: hold_races_eviction,
        outcomes: both(&["pinned, evicted 0", "pinned, evicted 1", "missed, evicted 1"]),
    },
    Model {
        name: "c03_replace_races_hold",
        preemptions: 3,
        run: replace_races_hold,
        outcomes: both(&["old", "new"]),
    },
    Model {
        name: "c04_expiry_races_replacement",
        preemptions: 2,
        run: expiry_races_replacement,
        outcomes: both(&["swept 0", "swept 1"]),
    },
    Model {
        name: "c05_second_chance_races_read",
        preemptions: 3,
        run: second_chance_races_read,
        outcomes: both(&["read, gone [1]", "read, gone [2]"]).only_in_rmw(&["missed, gone [1]"]),
    },
    Model {
        name: "c06_two_evictors_one_victim",
        preemptions: 3,
        run: two_evictors_one_victim,
        outcomes: both(&["[0, 1]", "[1, 0]"]),
    },
    Model {
        name: "c07_replace_races_eviction",
        preemptions: 3,
        run: replace_races_eviction,
        outcomes: both(&["evicted old", "evicted new"]),
    },
    Model {
        name: "c08_listener_exactly_once",
        preemptions: 1,
        run: listener_exactly_once,
        outcomes: both(&["Explicit", "Expired", "Pressure"]),
    },
    Model {
        name: "c09_last_release_races_the_collector",
        preemptions: 1,
        run: last_release_races_the_collector,
        outcomes: both(&["freed by the collector", "freed by the pin"]),
    },
    Model {
        name: "c10_segment_ends_while_it_is_pushed_to",
        preemptions: 2,
        run: segment_ends_while_it_is_pushed_to,
        outcomes: both(&["evicted [1, 2]", "evicted [1, 2, 3]"]),
    },
    Model {
        name: "c11_first_two_begin_the_order",
        preemptions: 3,
        run: first_two_begin_the_order,
        outcomes: both(&["[1, 2]"]),
    },
    Model {
        name: "c12_load_completes_while_another_asks",
        preemptions: 2,
        run: load_completes_while_another_asks,
        outcomes: both(&["hit", "waited", "led"]),
    },
    Model {
        name: "c13_late_value_meets_new_load",
        preemptions: 1,
        run: late_value_meets_new_load,
        outcomes: both(&["completed", "superseded", "hit"]).only_in_plain(&["waited"]),
    },
    Model {
        name: "c14_invalidate_races_load",
        preemptions: 1,
        run: invalidate_races_load,
        outcomes: both(&["stored and removed", "not stored"]),
    },
    Model {
        name: "c15_insert_races_load",
        preemptions: 2,
        run: insert_races_load,
        outcomes: both(&["stored and replaced", "not stored"]),
    },
    Model {
        name: "c16_invalidate_all_races_load",
        preemptions: 2,
        run: invalidate_all_races_load,
        outcomes: both(&["stored and removed", "not stored"]),
    },
    Model {
        name: "c17_replace_in_a_full_cache_races_hold",
        preemptions: 3,
        run: replace_in_a_full_cache_races_hold,
        outcomes: both(&[
            "missed, evicted 0",
            "new, evicted 0",
            "old, evicted 0",
            "old, evicted 1",
        ]),
    },
    Model {
        name: "c18_two_keys_are_replaced_in_a_full_cache",
        preemptions: 3,
        run: two_keys_are_replaced_in_a_full_cache,
        outcomes: both(&["[(10, Replaced), (20, Replaced)]", "[(20, Replaced), (10, Replaced)]"]),
    },
    Model {
        name: "c19_replace_in_a_full_cache_races_eviction",
        preemptions: 3,
        run: replace_in_a_full_cache_races_eviction,
        outcomes: both(&["evicted none", "evicted old", "evicted new"]),
    },
    Model {
        name: "c20_two_replace_one_key_in_a_full_cache",
        preemptions: 2,
        run: two_replace_one_key_in_a_full_cache,
        outcomes: both(&["kept [true, true]", "kept [true, false]", "kept [false, true]"]),
    },
    Model {
        name: "c21_owned_hold_outlives_its_cache",
        preemptions: 3,
        run: owned_hold_outlives_its_cache,
        outcomes: both(&["freed by the cache", "freed by the pin"]),
    },
    Model {
        name: "c22_insert_that_finds_no_room_races_hold",
        preemptions: 2,
        run: insert_that_finds_no_room_races_hold,
        outcomes: both(&["kept, new", "kept, old", "refused, missed", "refused, old"])
            .only_in_plain(&["kept, missed"]),
    },
    Model {
        name: "c23_replace_races_invalidate",
        preemptions: 3,
        run: replace_races_invalidate,
        outcomes: both(&["invalidated old", "invalidated new"]),
    },
    Model {
        name: "c24_touch_races_expiry",
        preemptions: 3,
        run: touch_races_expiry,
        outcomes: both(&["touched", "expired"]),
    },
    Model {
        name: "c25_two_compute_one_key",
        preemptions: 1,
        run: two_compute_one_key,
        outcomes: both(&["[11, 12]", "[12, 11]"]),
    },
    Model {
        name: "c26_compute_races_invalidate",
        preemptions: 3,
        run: compute_races_invalidate,
        outcomes: both(&["invalidated 10, put 1", "invalidated 11, put 11"]),
    },
    Model {
        name: "c27_compute_races_load",
        preemptions: 1,
        run: compute_races_load,
        outcomes: both(&["put 1", "put 8"]),
    },
    Model {
        name: "c28_read_races_the_end_of_an_idle_entry",
        preemptions: 3,
        run: read_races_the_end_of_an_idle_entry,
        outcomes: both(&["read", "expired"]),
    },
    Model {
        name: "c29_predicate_races_load",
        preemptions: 1,
        run: predicate_races_load,
        outcomes: both(&["not stored"]),
    },
    Model {
        name: "c30_read_races_the_drop_of_a_predicate",
        preemptions: 2,
        run: read_races_the_drop_of_a_predicate,
        outcomes: both(&["asked 2"]).only_in_rmw(&["asked 1"]),
    },
    Model {
        name: "c31_predicate_races_read",
        preemptions: 2,
        run: predicate_races_read,
        outcomes: both(&["there", "gone"]),
    },
    Model {
        name: "c32_two_nominate_at_once",
        preemptions: 1,
        run: two_nominate_at_once,
        outcomes: both(&["[1, 2, 4]", "[2, 3, 4]", "[3, 4, 5]"]),
    },
    Model {
        name: "c33_nomination_races_eviction",
        preemptions: 1,
        run: nomination_races_eviction,
        outcomes: both(&[
            "evicted 2, left [1, 3]",
            "evicted 2, left [2, 3]",
            "evicted 2, left [2]",
            "evicted 2, left [3]",
        ]),
    },
    Model {
        name: "c35_two_nominate_before_either_evicts",
        preemptions: 2,
        run: two_nominate_at_once,
        outcomes: both(&[]).only_in_rmw(&["[1, 2, 4]", "[2, 3, 4]", "[3, 4, 5]"]),
    },
    Model {
        name: "c36_nomination_races_eviction_twice",
        preemptions: 2,
        run: nomination_races_eviction,
        outcomes: both(&[]).only_in_rmw(&[
            "evicted 2, left [1, 2]",
            "evicted 2, left [1, 3]",
            "evicted 2, left [1, 4]",
            "evicted 2, left [2, 3]",
            "evicted 2, left [2]",
            "evicted 2, left [3, 4]",
            "evicted 2, left [3]",
        ]),
    },
    Model {
        name: "c34_history_is_replaced_while_it_is_read",
        preemptions: 1,
        run: history_is_replaced_while_it_is_read,
        outcomes: both(&["[2, 3, 4]", "[2, 3, 6]", "[3, 4, 6]", "[4, 5, 6]"]),
    },
];

const NOW: Instant = Instant::from_secs(1);
const TTL: Duration = Duration::from_secs(1);
const LATER: Instant = Instant::from_secs(2);

/// A value that loom watches, and that is dropped once.
struct Value {
    content: UnsafeCell<u64>,
    drops: Arc<AtomicU64>,
}

// SAFETY: written where it is made and where it is dropped; loom notices whoever reads it then.
unsafe impl Send for Value {}
// SAFETY: as above.
unsafe impl Sync for Value {}

impl Value {
    fn get(&self) -> u64 {
        // SAFETY: written only where it is made and where it is dropped.
        self.content.with(|content| unsafe { *content })
    }
}

impl Drop for Value {
    fn drop(&mut self) {
        // SAFETY: nobody reads it any more, as loom checks.
        self.content.with_mut(|content| unsafe { *content = 0 });
        self.drops.fetch_add(1, Ordering::Relaxed);
    }
}

type Values = Cache<u64, Value, u64, Identity>;
type Removed = Arc<std::sync::Mutex<Vec<(u64, RemovalCause)>>>;

struct Setting {
    cache: Values,
    /// What the listener was told, by value.
    removed: Removed,
    drops: Arc<AtomicU64>,
    made: AtomicU64,
    /// A pin that was made before the threads started.
    pin: std::sync::Mutex<Option<OwnedHeldEntry<u64, Value>>>,
}

impl Setting {
    fn new(domain: &Domain, most: Usage) -> Arc<Self> {
        let removed = Removed::default();
        let log = Arc::clone(&removed);
        let listener = move |_: &u64, value: &Value, cause| {
            log.lock().expect("no panic").push((value.get(), cause));
        };
        let builder = Cache::builder(domain, Identity::default());
        let builder = builder.max_entries(most.entries).max_bytes(most.bytes);
        let cache = builder.time_to_live(TTL).listener(listener).build().expect("memory");
        let (drops, made) = (Arc::default(), AtomicU64::new(0));
        Arc::new(Self { cache, removed, drops, made, pin: std::sync::Mutex::default() })
    }

    fn value(&self, content: u64) -> Value {
        self.made.fetch_add(1, Ordering::Relaxed);
        Value { content: UnsafeCell::new(content), drops: Arc::clone(&self.drops) }
    }

    /// Inserts a key as its own value, or as another; `false` if it was handed back.
    fn put(&self, key: u64, content: u64, now: Instant, guard: &Guard) -> bool {
        self.cache.insert(key, self.value(content), now, guard).is_ok()
    }

    fn keys(&self, guard: &Guard) -> Vec<u64> {
        let mut keys: Vec<_> = self.cache.iter(NOW, guard).map(|(&key, _)| key).collect();
        keys.sort_unstable();
        keys
    }

    /// What was removed so far, by value and cause.
    fn removed(&self) -> Vec<(u64, RemovalCause)> {
        self.removed.lock().expect("no panic").clone()
    }
}

fn evict(setting: &Setting, bytes: u64, guard: &Guard) -> u64 {
    setting.cache.evict_bytes(bytes, Tiers::ALL, NOW, guard).entries
}

/// What threads do with a cache, each with a worker of its own, made before it starts; after `prepare`.
fn with<T: 'static>(
    domain: fn() -> Domain,
    entries: u64,
    prepare: fn(&Setting, &Guard),
    deeds: Vec<fn(&Setting, &mut Worker) -> T>,
) -> (Arc<Setting>, Worker, Vec<T>) {
    with_most(domain, Usage { entries, bytes: u64::MAX }, prepare, deeds)
}

/// The same, where what there may be of it is limited in bytes, too.
fn with_most<T: 'static>(
    domain: fn() -> Domain,
    most: Usage,
    prepare: fn(&Setting, &Guard),
    deeds: Vec<fn(&Setting, &mut Worker) -> T>,
) -> (Arc<Setting>, Worker, Vec<T>) {
    model::forget_live();
    let domain = domain();
    let setting = Setting::new(&domain, most);
    let mut worker = domain.worker();
    prepare(&setting, worker.quiescent(NOW));
    worker.offline(|| ());
    let ends = together(&domain, &setting, deeds);
    drop(domain);
    (setting, worker, ends)
}

/// Whatever must hold at the end, and an end to everything.
fn finish(setting: Arc<Setting>, mut worker: Worker) {
    let guard = worker.quiescent(NOW);
    let cache = &setting.cache;
    let live = cache.iter(NOW, guard).count() as u64;
    assert_eq!(cache.usage(), Usage { entries: live, bytes: live }, "what is there is counted");
    let counters = cache.counters();
    let gone = counters.expired
        + counters.invalidated
        + counters.replaced
        + counters.evicted
        + counters.shed;
    assert_eq!((counters.inserted, gone), (live + gone, setting.removed().len() as u64));
    assert_eq!(evict(&setting, u64::MAX, guard), live, "whoever evicts finds what is there");
    assert_eq!(cache.usage(), Usage::default());
    let mut told: Vec<_> = setting.removed().into_iter().map(|(value, _)| value).collect();
    told.sort_unstable();
    let before = told.len();
    told.dedup();
    assert_eq!(told.len(), before, "each removal is told once");
    let (made, drops) = (setting.made.load(Ordering::Relaxed), Arc::clone(&setting.drops));
    drop((setting, worker));
    assert_eq!(drops.load(Ordering::Relaxed), made, "each value is dropped once");
    assert_eq!(model::live(), 0, "something was never retired");
}

fn insert_at_capacity_races_insert() -> String {
    fn insert(setting: &Setting, key: u64, guard: &Guard) -> bool {
        let kept = setting.put(key, key, NOW, guard);
        assert!(setting.cache.usage().entries <= 1);
        assert!(setting.cache.iter(NOW, guard).count() <= 1, "more than there may be");
        kept
    }
    let (setting, worker, ends) = with(
        Domain::quarantine,
        1,
        |setting, guard| assert!(setting.put(1, 1, NOW, guard)),
        vec![|setting, worker| insert(setting, 2, worker.quiescent(NOW)), |setting, worker| {
            insert(setting, 3, worker.quiescent(NOW))
        }],
    );
    finish(setting, worker);
    format!("kept {ends:?}")
}

fn hold_races_eviction() -> String {
    let (setting, worker, ends) = with(
        Domain::quarantine,
        2,
        |setting, guard| assert!(setting.put(1, 10, NOW, guard)),
        vec![
            |setting, worker| match setting.cache.hold(&1, NOW, worker.quiescent(NOW)) {
                Some(pin) => {
                    worker.offline(|| ());
                    assert_eq!((pin.get(), setting.cache.usage().entries), (10, 1));
                    "pinned".to_owned()
                }
                None => "missed".to_owned(),
            },
            |setting, worker| format!("evicted {}", evict(setting, 1, worker.quiescent(NOW))),
        ],
    );
    finish(setting, worker);
    ends.join(", ")
}

fn replace_races_hold() -> String {
    let (setting, worker, ends) = with(
        Domain::quarantine,
        2,
        |setting, guard| assert!(setting.put(1, 10, NOW, guard)),
        vec![
            |setting, worker| {
                assert!(setting.put(1, 11, NOW, worker.quiescent(NOW)));
                ""
            },
            |setting, worker| {
                let pin = setting.cache.hold(&1, NOW, worker.quiescent(NOW)).expect("either");
                worker.offline(|| ());
                match pin.get() {
                    10 => "old",
                    11 => "new",
                    other => panic!("{other}"),
                }
            },
        ],
    );
    finish(setting, worker);
    ends.concat()
}

fn expiry_races_replacement() -> String {
    let (setting, worker, ends) = with(
        Domain::quarantine,
        2,
        |setting, guard| assert!(setting.put(1, 10, NOW - TTL, guard)),
        vec![
            |setting, worker| {
                let mut sweep = setting.cache.sweeper(setting.cache.domain().worker());
                assert!(sweep.sweep(NOW, Budget::UNLIMITED).wrapped);
                let fresh = setting.cache.get(&1, NOW, worker.quiescent(NOW));
                assert!(fresh.is_none_or(|value| value.get() == 11), "it has expired");
                format!("swept {}", u64::from(setting.cache.counters().expired == 1))
            },
            |setting, worker| {
                assert!(setting.put(1, 11, NOW, worker.quiescent(NOW)));
                let guard = worker.quiescent(NOW);
                let value = setting.cache.get(&1, NOW, guard).map(Value::get);
                assert_eq!(value, Some(11), "what is fresh stays");
                String::new()
            },
        ],
    );
    assert_eq!(setting.removed(), [(10, RemovalCause::Expired)]);
    finish(setting, worker);
    ends.concat()
}

/// Puts one more than there is, or 1, and returns what was put.
fn count(setting: &Setting, guard: &Guard) -> u64 {
    let one_more = |old: Option<&Value>| Op::Put(setting.value(old.map_or(1, |old| old.get() + 1)));
    match setting.cache.compute(1, one_more, NOW, guard) {
        Ok(Computed::Inserted(new) | Computed::Replaced { new, .. }) => new.get(),
        _ => panic!("there is room, and no value is kept or removed"),
    }
}

fn two_compute_one_key() -> String {
    let one_more: fn(&Setting, &mut Worker) -> u64 =
        |setting, worker| count(setting, worker.quiescent(NOW));
    let prepare: fn(&Setting, &Guard) = |setting, guard| assert!(setting.put(1, 10, NOW, guard));
    // Room for the old value and both new ones: none is evicted.
    let (setting, worker, ends) = with(Domain::quarantine, 3, prepare, vec![one_more, one_more]);
    finish(setting, worker);
    format!("{ends:?}")
}

/// What was computed from a value that was invalidated meanwhile is not put.
fn compute_races_invalidate() -> String {
    let (setting, mut worker, ends) = with(
        Domain::quarantine,
        2,
        |setting, guard| assert!(setting.put(1, 10, NOW, guard)),
        vec![|setting, worker| count(setting, worker.quiescent(NOW)), |setting, worker| {
            let removed = setting.cache.invalidate(&1, NOW, worker.quiescent(NOW));
            removed.map_or(0, Value::get)
        }],
    );
    let left = setting.cache.peek(&1, NOW, worker.quiescent(NOW)).map(Value::get);
    assert_eq!(left, (ends[1] == 10).then_some(1), "revived, or lost");
    finish(setting, worker);
    format!("invalidated {}, put {}", ends[1], ends[0])
}

/// A loaded value is either what is computed from, or is not stored.
fn compute_races_load() -> String {
    let (_, end) = loads_and_writes(
        |loads, guard| {
            let one_more = |old: Option<&u64>| Op::Put(old.map_or(1, |old| old + 1));
            let put = match loads.compute(1, one_more, NOW, guard) {
                Ok(Computed::Inserted(&new) | Computed::Replaced { new: &new, .. }) => new,
                other => panic!("{other:?}"),
            };
            assert_eq!(loads.peek(&1, NOW, guard), Some(&put));
            if put == 8 { "put 8" } else { "put 1" }
        },
        &[Some(1), Some(8)],
    );
    end.to_owned()
}

/// An entry that was read in time stays, though a sweep has seen it before as expired.
fn read_races_the_end_of_an_idle_entry() -> String {
    model::forget_live();
    let domain = Domain::quarantine();
    let builder = Cache::builder(&domain, Identity::default()).time_to_idle(TTL);
    let cache: Arc<Loads> = Arc::new(builder.build().expect("memory"));
    let (mut worker, mut reading) = (domain.worker(), domain.worker());
    cache.insert(1, 7, NOW, worker.quiescent(NOW)).expect("room");
    assert!(cache.touch(&1, NOW, worker.quiescent(NOW)));
    worker.offline(|| ());
    let (read, swept) = (Arc::clone(&cache), Arc::clone(&cache));
    let ends = race(vec![
        Box::new(move || {
            let guard = reading.quiescent(NOW);
            let found = read.get(&1, NOW + TTL / 2, guard).copied();
            let left = read.peek(&1, LATER, guard).copied();
            // The entry is marked as read before its end is moved, so a read may be too late.
            assert!(left.is_none() || found.is_some(), "revived");
            if left.is_some() { "read" } else { "expired" }
        }) as Box<dyn FnOnce() -> &'static str>,
        Box::new(move || {
            let mut sweep = swept.sweeper(swept.domain().worker());
            assert!(sweep.sweep(LATER, Budget::UNLIMITED).wrapped);
            ""
        }),
    ]);
    let left = u64::from(ends[0] == "read");
    assert_eq!((cache.usage().entries, cache.counters().expired), (left, 1 - left));
    drop((cache, domain));
    ends.concat()
}

/// A cache whose entries can be invalidated by predicates, with one entry.
fn with_predicates() -> (Domain, Arc<Loads>, Worker) {
    model::forget_live();
    let domain = Domain::quarantine();
    let builder = Cache::builder(&domain, Identity::default()).invalidation_by_predicate(true);
    let cache: Arc<Loads> = Arc::new(builder.build().expect("memory"));
    let mut worker = domain.worker();
    cache.insert(1, 7, NOW, worker.quiescent(NOW)).expect("room");
    (domain, cache, worker)
}

fn sweep_all(cache: &Loads) {
    let mut sweep = cache.sweeper(cache.domain().worker());
    assert!(sweep.sweep(NOW, Budget::UNLIMITED).wrapped);
}

/// A value whose load began before a predicate is not there after it, though a sweep drops the predicate.
fn predicate_races_load() -> String {
    let (domain, cache, mut worker) = with_predicates();
    // SAFETY: the threads have ended, and with them the load, before the cache is dropped below.
    let lent: &'static Loads = unsafe { &*Arc::as_ptr(&cache) };
    let (mut first, mut second) = (domain.worker(), domain.worker());
    let Ok(Load::Lead(loading)) = lent.load(&2, Caller(1), NOW, first.quiescent(NOW)) else {
        unreachable!("no other caller loads");
    };
    first.offline(|| ());
    worker.offline(|| ());
    race(vec![
        Box::new(move || {
            assert_eq!(loading.complete(8, NOW, first.quiescent(NOW)), Ok(8));
        }) as Box<dyn FnOnce()>,
        Box::new(move || {
            let registered =
                lent.invalidate_entries_if(|_, value| *value == 8, second.quiescent(NOW));
            registered.expect("a slot");
            sweep_all(lent);
            assert_eq!(lent.peek(&2, NOW, second.quiescent(NOW)), None, "a late value");
        }),
    ]);
    let found = cache.peek(&2, NOW, worker.quiescent(NOW)).copied();
    drop((cache, domain));
    assert_eq!(found, None, "a late value");
    "not stored".to_owned()
}

/// A read that has found an entry before a sweep removes it does not return it, though the predicate is dropped.
fn read_races_the_drop_of_a_predicate() -> String {
    let (domain, cache, mut worker) = with_predicates();
    let asked = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&asked);
    let all = move |_: &u64, _: &u64| {
        count.fetch_add(1, Ordering::Relaxed);
        true
    };
    cache.invalidate_entries_if(all, worker.quiescent(NOW)).expect("a slot");
    worker.offline(|| ());
    let mut reading = domain.worker();
    let (read, swept) = (Arc::clone(&cache), Arc::clone(&cache));
    race(vec![
        Box::new(move || {
            assert_eq!(read.get(&1, NOW, reading.quiescent(NOW)), None, "it was invalidated");
        }) as Box<dyn FnOnce()>,
        Box::new(move || sweep_all(&swept)),
    ]);
    assert_eq!(cache.usage().entries, 0);
    drop((cache, domain));
    format!("asked {}", asked.load(Ordering::Relaxed))
}

/// A read that finds no predicate does not keep the entry from one that is registered meanwhile.
fn predicate_races_read() -> String {
    let (domain, cache, mut worker) = with_predicates();
    let (mut reading, mut writing) = (domain.worker(), domain.worker());
    cache.invalidate_entries_if(|_, _| false, worker.quiescent(NOW)).expect("a slot");
    worker.offline(|| ());
    let (read, written) = (Arc::clone(&cache), Arc::clone(&cache));
    let ends = race(vec![
        Box::new(move || {
            let found = read.get(&1, NOW, reading.quiescent(NOW));
            if found.is_some() { "there" } else { "gone" }
        }) as Box<dyn FnOnce() -> &'static str>,
        Box::new(move || {
            let guard = writing.quiescent(NOW);
            written.invalidate_entries_if(|_, _| true, guard).expect("a slot");
            assert_eq!(written.peek(&1, NOW, guard), None, "the registration is over");
            ""
        }),
    ]);
    assert_eq!(cache.peek(&1, NOW, worker.quiescent(NOW)), None, "its stamp was raised too far");
    drop((cache, domain));
    ends.concat()
}

/// An entry that was touched in time stays, though a sweep has seen it before as expired.
fn touch_races_expiry() -> String {
    let (setting, worker, ends) = with(
        Domain::quarantine,
        2,
        |setting, guard| assert!(setting.put(1, 10, NOW, guard)),
        vec![
            |setting, worker| {
                let guard = worker.quiescent(NOW);
                let touched = setting.cache.touch_for(&1, 2 * TTL, NOW, guard);
                let left = setting.cache.peek(&1, LATER, guard);
                assert_eq!(left.map(Value::get), touched.then_some(10), "touched, and gone");
                if touched { "touched" } else { "expired" }
            },
            |setting, _| {
                let mut sweep = setting.cache.sweeper(setting.cache.domain().worker());
                assert!(sweep.sweep(LATER, Budget::UNLIMITED).wrapped);
                ""
            },
        ],
    );
    assert_eq!(setting.removed().len(), usize::from(ends[0] == "expired"));
    finish(setting, worker);
    ends.concat()
}

fn second_chance_races_read() -> String {
    let (setting, worker, ends) = with(
        Domain::quarantine,
        2,
        |setting, guard| {
            assert!(setting.put(1, 1, NOW, guard));
            assert!(setting.put(2, 2, NOW, guard));
        },
        vec![
            |setting, worker| {
                let value = setting.cache.get(&1, NOW, worker.quiescent(NOW));
                match value.map(Value::get) {
                    Some(1) => "read",
                    None => "missed",
                    other => panic!("{other:?}"),
                }
            },
            |setting, worker| {
                assert_eq!(evict(setting, 1, worker.quiescent(NOW)), 1);
                ""
            },
        ],
    );
    let gone: Vec<_> = setting.removed().into_iter().map(|(value, _)| value).collect();
    finish(setting, worker);
    format!("{}, gone {gone:?}", ends.concat())
}

fn two_evictors_one_victim() -> String {
    let (setting, worker, ends) = with(
        Domain::quarantine,
        2,
        |setting, guard| assert!(setting.put(1, 1, NOW, guard)),
        vec![|setting, worker| evict(setting, 1, worker.quiescent(NOW)), |setting, worker| {
            evict(setting, 1, worker.quiescent(NOW))
        }],
    );
    assert_eq!(setting.removed(), [(1, RemovalCause::Pressure)]);
    finish(setting, worker);
    format!("{ends:?}")
}

/// Who takes another's place takes his handle, too: it must neither be lost nor be there for nobody.
fn replace_races_eviction() -> String {
    let (setting, worker, _) = with(
        Domain::quarantine,
        2,
        |setting, guard| assert!(setting.put(1, 10, NOW, guard)),
        vec![
            |setting, worker| _ = setting.put(1, 11, NOW, worker.quiescent(NOW)),
            |setting, worker| _ = evict(setting, 1, worker.quiescent(NOW)),
        ],
    );
    let pressure =
        |&(value, cause): &(u64, RemovalCause)| (cause == RemovalCause::Pressure).then_some(value);
    let end = match setting.removed().iter().find_map(pressure) {
        Some(10) => "evicted old",
        Some(11) => "evicted new",
        other => panic!("evicted {other:?}"),
    };
    finish(setting, worker);
    end.to_owned()
}

fn listener_exactly_once() -> String {
    let (setting, worker, _) = with(
        Domain::quarantine,
        2,
        |setting, guard| assert!(setting.put(1, 10, NOW, guard)),
        vec![
            |setting, worker| {
                setting.cache.invalidate(&1, NOW, worker.quiescent(NOW));
            },
            |setting, _| {
                let mut sweep = setting.cache.sweeper(setting.cache.domain().worker());
                sweep.sweep(LATER, Budget::UNLIMITED);
            },
            |setting, worker| _ = evict(setting, 1, worker.quiescent(NOW)),
        ],
    );
    let removed = setting.removed();
    assert_eq!(removed.len(), 1, "one removal");
    finish(setting, worker);
    format!("{:?}", removed[0].1)
}

/// Over the real collector: the entry is freed by it, or by whoever held on to it.
fn last_release_races_the_collector() -> String {
    let (setting, mut worker, ends) = with(
        Domain::new,
        2,
        |setting, guard| assert!(setting.put(1, 10, NOW, guard)),
        vec![
            |setting, worker| {
                let guard = worker.quiescent(NOW);
                let pin = setting.cache.hold(&1, NOW, guard).expect("nobody else removes it");
                setting.cache.invalidate(&1, NOW, guard);
                worker.offline(|| ());
                loom::thread::yield_now();
                assert_eq!(pin.get(), 10);
                let before = setting.drops.load(Ordering::Relaxed);
                drop(pin);
                setting.drops.load(Ordering::Relaxed) - before
            },
            |setting, worker| {
                let guard = worker.quiescent(NOW);
                if let Some(value) = setting.cache.peek(&1, NOW, guard) {
                    assert_eq!(value.get(), 10);
                }
                worker.offline(|| ());
                // What was read was read before the other goes on.
                loom::thread::yield_now();
                for _ in 0..4 {
                    worker.collect(NOW, Budget::UNLIMITED);
                }
                0
            },
        ],
    );
    worker.offline(|| ());
    let by_pin = ends[0] == 1;
    finish(setting, worker);
    (if by_pin { "freed by the pin" } else { "freed by the collector" }).to_owned()
}

/// The entry is freed by the cache that is dropped, or by the last of its pins.
fn owned_hold_outlives_its_cache() -> String {
    model::forget_live();
    let domain = Domain::quarantine();
    let mut worker = domain.worker();
    let drops = Arc::<AtomicU64>::default();
    let built = Cache::builder(&domain, Identity::default()).max_entries(2).build();
    let cache: Values = built.expect("memory");
    let guard = worker.quiescent(NOW);
    let value = Value { content: UnsafeCell::new(10), drops: Arc::clone(&drops) };
    assert!(cache.insert(1, value, NOW, guard).is_ok());
    let pins = [(); 2].map(|()| cache.hold(&1, NOW, guard).expect("there").into_owned());
    drop(worker);
    let mut threads: Vec<Box<dyn FnOnce() -> bool>> = Vec::new();
    for pin in pins {
        let drops = Arc::clone(&drops);
        threads.push(Box::new(move || {
            assert_eq!(pin.get(), 10);
            drop(pin);
            drops.load(Ordering::Relaxed) == 1
        }));
    }
    let seen = Arc::clone(&drops);
    let mut reader = domain.worker();
    threads.push(Box::new(move || {
        let value = cache.peek(&1, NOW, reader.quiescent(NOW)).expect("nothing removes it");
        // What is read comes before the value is dropped, by whichever thread.
        assert_eq!(value.get(), 10);
        drop((reader, cache));
        seen.load(Ordering::Relaxed) == 1
    }));
    let ends = race(threads);
    drop(domain);
    assert_eq!(drops.load(Ordering::Relaxed), 1, "dropped once");
    assert_eq!(model::live(), 0, "something was never freed");
    (if ends[2] { "freed by the cache" } else { "freed by the pin" }).to_owned()
}

fn segment_ends_while_it_is_pushed_to() -> String {
    let (setting, worker, _) = with(
        Domain::quarantine,
        8,
        |setting, guard| {
            assert!(setting.put(1, 1, NOW, guard));
            assert!(setting.put(2, 2, NOW, guard));
        },
        vec![
            |setting, worker| assert!(setting.put(3, 3, NOW, worker.quiescent(NOW))),
            |setting, worker| _ = evict(setting, 3, worker.quiescent(NOW)),
        ],
    );
    let gone: Vec<_> = setting.removed().into_iter().map(|(value, _)| value).collect();
    finish(setting, worker);
    format!("evicted {gone:?}")
}

fn first_two_begin_the_order() -> String {
    let (setting, mut worker, _) = with(
        Domain::quarantine,
        8,
        |_, _| {},
        vec![
            |setting, worker| assert!(setting.put(1, 1, NOW, worker.quiescent(NOW))),
            |setting, worker| assert!(setting.put(2, 2, NOW, worker.quiescent(NOW))),
        ],
    );
    let keys = setting.keys(worker.quiescent(NOW));
    finish(setting, worker);
    format!("{keys:?}")
}

type Loads = Cache<u64, u64, u64, Identity>;

fn loading<T: 'static>(
    lease: Option<Duration>,
    deeds: Vec<fn(&Loads, &mut Worker) -> T>,
) -> (Arc<Loads>, Worker, Vec<T>) {
    model::forget_live();
    let domain = Domain::quarantine();
    let mut builder = Cache::builder(&domain, Identity::default());
    if let Some(lease) = lease {
        builder = builder.load_lease(lease);
    }
    let loads: Arc<Loads> = Arc::new(builder.build().expect("memory"));
    let ends = together(&domain, &loads, deeds);
    let worker = domain.worker();
    drop(domain);
    assert_eq!(loads.loading(), 0, "nobody loads any more");
    (loads, worker, ends)
}

/// Who loads is woken by whoever completes, in loom's own way.
struct Woken(Thread);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

fn block_on<F: Future>(future: F) -> F::Output {
    let waker = Waker::from(Arc::new(Woken(loom::thread::current())));
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(output) => return output,
            Poll::Pending => loom::thread::park(),
        }
    }
}

fn load_completes_while_another_asks() -> String {
    fn load(loads: &Loads, worker: &mut Worker, caller: u32) -> &'static str {
        loop {
            match loads.load(&1, Caller(caller), NOW, worker.quiescent(NOW)) {
                Ok(Load::Hit(value)) => {
                    assert_eq!(value, 7);
                    return "hit";
                }
                Ok(Load::Lead(loading)) => {
                    assert_eq!(loading.complete(7, NOW, worker.quiescent(NOW)), Ok(7));
                    return "led";
                }
                Ok(Load::Wait(waiting)) => match block_on(waiting) {
                    Ok(value) => {
                        assert_eq!(value, 7);
                        return "waited";
                    }
                    Err(FollowError::Again) => {}
                    Err(FollowError::Failed(error)) => panic!("nobody fails: {error}"),
                },
                other => panic!("{other:?}"),
            }
        }
    }
    let (_, _, ends) =
        loading(None, vec![|it, worker| load(it, worker, 1), |it, worker| load(it, worker, 2)]);
    // Before the flight is over the value is there: nobody loads it again.
    assert_eq!(ends.iter().filter(|&&end| end == "led").count(), 1);
    ends[1].to_owned()
}

fn late_value_meets_new_load() -> String {
    let (loads, mut worker, ends) = loading(
        Some(TTL),
        vec![
            |loads: &Loads, worker: &mut Worker| match loads.load(
                &1,
                Caller(1),
                NOW,
                worker.quiescent(NOW),
            ) {
                Ok(Load::Lead(loading)) => match loading.complete(7, NOW, worker.quiescent(NOW)) {
                    Ok(_) => "completed",
                    Err(_) => "superseded",
                },
                Ok(Load::Hit(8)) => "hit",
                Ok(Load::Wait(_)) => "waited",
                other => panic!("{other:?}"),
            },
            |loads, worker| match loads.load(&1, Caller(2), LATER, worker.quiescent(NOW)) {
                Ok(Load::Lead(loading)) => {
                    assert_eq!(loading.complete(8, LATER, worker.quiescent(NOW)), Ok(8));
                    "new"
                }
                Ok(Load::Hit(7)) => "old",
                other => panic!("{other:?}"),
            },
        ],
    );
    let kept = loads.peek(&1, LATER, worker.quiescent(NOW)).copied();
    if ends[0] == "superseded" {
        assert_ne!(kept, Some(7), "it was refused");
    }
    // Whoever found the old one while it was there took it for a hit.
    assert!(ends[1] == "new" || ends[0] == "superseded" || kept == Some(7));
    drop((loads, worker));
    assert_eq!(model::live(), 0, "something was never retired");
    ends[0].to_owned()
}

/// What one thread does that has begun to load, and another that writes the key meanwhile.
fn loads_and_writes(
    write: fn(&Loads, &Guard) -> &'static str,
    kept: &[Option<u64>],
) -> (Arc<Loads>, &'static str) {
    model::forget_live();
    let domain = Domain::quarantine();
    let builder = Cache::builder(&domain, Identity::default());
    let loads: Arc<Loads> = Arc::new(builder.build().expect("memory"));
    // SAFETY: the threads have ended, and with them the load, before the cache is dropped below.
    let lent: &'static Loads = unsafe { &*Arc::as_ptr(&loads) };
    let (mut first, mut second) = (domain.worker(), domain.worker());
    let Ok(Load::Lead(loading)) = lent.load(&1, Caller(1), NOW, first.quiescent(NOW)) else {
        unreachable!("no other caller loads");
    };
    first.offline(|| ());
    let ends = race(vec![
        Box::new(move || {
            assert_eq!(loading.complete(7, NOW, first.quiescent(NOW)), Ok(7));
            ""
        }) as Box<dyn FnOnce() -> &'static str>,
        Box::new(move || write(lent, second.quiescent(NOW))),
    ]);
    let mut worker = domain.worker();
    let found = loads.peek(&1, NOW, worker.quiescent(NOW)).copied();
    assert!(kept.contains(&found), "what was loaded before the write is kept: {found:?}");
    assert_eq!((loads.loading(), loads.usage().entries), (0, u64::from(found.is_some())));
    drop(domain);
    (loads, ends[1])
}

/// Nobody gets what was loaded before the key was invalidated, not even for a moment.
fn invalidate_races_load() -> String {
    let (_, end) = loads_and_writes(
        |loads, guard| {
            let removed = loads.invalidate(&1, NOW, guard).copied();
            let next = loads.load(&1, Caller(2), NOW, guard);
            assert!(matches!(next, Ok(Load::Lead(_))), "nobody has what was loaded before");
            if removed == Some(7) { "stored and removed" } else { "not stored" }
        },
        &[None],
    );
    end.to_owned()
}

fn insert_races_load() -> String {
    let (loads, _) = loads_and_writes(
        |loads, guard| {
            loads.insert(1, 8, NOW, guard).expect("room");
            assert_eq!(loads.peek(&1, NOW, guard), Some(&8), "what was inserted last");
            ""
        },
        &[Some(8)],
    );
    let counters = loads.counters();
    assert_eq!(counters.inserted, 1 + counters.replaced + counters.invalidated);
    (if counters.replaced == 1 { "stored and replaced" } else { "not stored" }).to_owned()
}

fn invalidate_all_races_load() -> String {
    let (_, end) = loads_and_writes(
        |loads, guard| {
            let removed = loads.invalidate_all(NOW, guard);
            assert_eq!(loads.peek(&1, NOW, guard), None, "it was loaded before");
            if removed == 1 { "stored and removed" } else { "not stored" }
        },
        &[None],
    );
    end.to_owned()
}

/// A pin gets the old value or the new one, and what it holds has room of its own. It gets neither while
/// the one lends its room to the other.
fn replace_in_a_full_cache_races_hold() -> String {
    let (setting, worker, ends) = with(
        Domain::quarantine,
        2,
        |setting, guard| {
            assert!(setting.put(1, 10, NOW, guard));
            assert!(setting.put(2, 20, NOW, guard));
        },
        vec![
            |setting, worker| {
                let kept = setting.put(1, 11, NOW, worker.quiescent(NOW));
                assert!(kept, "the other can be evicted");
                assert!(setting.cache.usage().entries <= 2);
                ""
            },
            |setting, worker| {
                let pin = setting.cache.hold(&1, NOW, worker.quiescent(NOW));
                worker.offline(|| ());
                assert!(setting.cache.usage().entries <= 2);
                pin.map_or("missed", |pin| if pin.get() == 10 { "old" } else { "new" })
            },
        ],
    );
    let evicted = setting.cache.counters().evicted;
    finish(setting, worker);
    format!("{}, evicted {evicted}", ends.concat())
}

/// Neither takes the other for what must go.
fn two_keys_are_replaced_in_a_full_cache() -> String {
    let (setting, worker, _) = with(
        Domain::quarantine,
        2,
        |setting, guard| {
            assert!(setting.put(1, 10, NOW, guard));
            assert!(setting.put(2, 20, NOW, guard));
        },
        vec![
            |setting, worker| {
                assert!(setting.put(1, 11, NOW, worker.quiescent(NOW)));
                assert!(setting.cache.usage().entries <= 2);
            },
            |setting, worker| {
                assert!(setting.put(2, 21, NOW, worker.quiescent(NOW)));
                assert!(setting.cache.usage().entries <= 2);
            },
        ],
    );
    let removed = setting.removed();
    finish(setting, worker);
    format!("{removed:?}")
}

fn replace_in_a_full_cache_races_eviction() -> String {
    let (setting, worker, _) = with(
        Domain::quarantine,
        1,
        |setting, guard| assert!(setting.put(1, 10, NOW, guard)),
        vec![
            |setting, worker| {
                // Not kept while the other has its old value, and its room, in hand.
                setting.put(1, 11, NOW, worker.quiescent(NOW));
                assert!(setting.cache.usage().entries <= 1);
            },
            |setting, worker| _ = evict(setting, 1, worker.quiescent(NOW)),
        ],
    );
    let removed = setting.removed();
    assert!(removed.iter().all(|&(_, cause)| cause != RemovalCause::Size), "it replaces itself");
    let pressure =
        |&(value, cause): &(u64, RemovalCause)| (cause == RemovalCause::Pressure).then_some(value);
    let end = match removed.iter().find_map(pressure) {
        Some(10) => "evicted old",
        Some(_) => "evicted new",
        None => "evicted none",
    };
    finish(setting, worker);
    end.to_owned()
}

/// The room of the old value is one of theirs; the other must do without.
fn two_replace_one_key_in_a_full_cache() -> String {
    fn put(setting: &Setting, content: u64, guard: &Guard) -> bool {
        let kept = setting.put(1, content, NOW, guard);
        assert!(setting.cache.usage().entries <= 1);
        kept
    }
    let (setting, worker, ends) = with(
        Domain::quarantine,
        1,
        |setting, guard| assert!(setting.put(1, 10, NOW, guard)),
        vec![|setting, worker| put(setting, 11, worker.quiescent(NOW)), |setting, worker| {
            put(setting, 12, worker.quiescent(NOW))
        }],
    );
    finish(setting, worker);
    format!("kept {ends:?}")
}

/// The old value has lent its room when it turns out that the new one, which is heavier, has too little. A
/// pin makes room for it, and may give the old value room of its own before its own is given back.
fn insert_that_finds_no_room_races_hold() -> String {
    let (setting, mut worker, ends) = with_most(
        Domain::quarantine,
        Usage { entries: 8, bytes: 3 },
        |setting, guard| {
            assert!(setting.put(1, 10, NOW, guard));
            let heavy = Insert::new().weight(2);
            assert!(setting.cache.insert_with(2, setting.value(20), heavy, NOW, guard).is_ok());
            let pin = setting.cache.hold(&2, NOW, guard).expect("just inserted");
            *setting.pin.lock().expect("no panic") = Some(pin.into_owned());
            assert!(setting.cache.invalidate(&2, NOW, guard).is_some());
            assert_eq!(setting.cache.usage().bytes, 3, "the pin keeps its room");
        },
        vec![
            |setting, worker| {
                let (value, heavy) = (setting.value(11), Insert::new().weight(2));
                let guard = worker.quiescent(NOW);
                let kept = setting.cache.insert_with(1, value, heavy, NOW, guard).is_ok();
                assert!(setting.cache.usage().bytes <= 3);
                if kept { "kept, " } else { "refused, " }
            },
            |setting, worker| {
                let pin = setting.pin.lock().expect("no panic").take();
                drop(pin);
                let pin = setting.cache.hold(&1, NOW, worker.quiescent(NOW));
                worker.offline(|| ());
                assert!(setting.cache.usage().bytes <= 3);
                pin.map_or("missed", |pin| if pin.get() == 10 { "old" } else { "new" })
            },
        ],
    );
    // What is heavier than another goes, so that each that is there counts for one byte.
    setting.cache.invalidate(&1, NOW, worker.quiescent(NOW));
    finish(setting, worker);
    ends.concat()
}

/// One of the two is there all the time, so that an invalidation finds one of them.
fn replace_races_invalidate() -> String {
    let (setting, worker, ends) = with(
        Domain::quarantine,
        2,
        |setting, guard| assert!(setting.put(1, 10, NOW, guard)),
        vec![
            |setting, worker| {
                assert!(setting.put(1, 11, NOW, worker.quiescent(NOW)));
                0
            },
            |setting, worker| {
                let removed = setting.cache.invalidate(&1, NOW, worker.quiescent(NOW));
                removed.map_or(0, Value::get)
            },
        ],
    );
    finish(setting, worker);
    match ends[1] {
        10 => "invalidated old".to_owned(),
        11 => "invalidated new".to_owned(),
        _ => panic!("invalidated nothing"),
    }
}

/// Room for three of one byte each, two of which are in the main queue. The bound in bytes makes the
/// order what it is in a large cache.
const THREE: Usage = Usage { entries: 16, bytes: 3 };

/// Puts these in, each as its own value.
fn put_all<const N: usize>(setting: &Setting, keys: [u64; N], guard: &Guard) {
    for key in keys {
        assert!(setting.put(key, key, NOW, guard));
    }
}

/// Two keys come back that were evicted, and each is compared with the main queue's next victim. Neither
/// thread loses what the other has nominated, nor its own.
fn two_nominate_at_once() -> String {
    let (setting, mut worker, _) = with_most(
        Domain::quarantine,
        THREE,
        |setting, guard| put_all(setting, [1, 2, 3, 4, 5], guard),
        vec![
            |setting, worker| assert!(setting.put(3, 30, NOW, worker.quiescent(NOW))),
            |setting, worker| assert!(setting.put(4, 40, NOW, worker.quiescent(NOW))),
        ],
    );
    let keys = setting.keys(worker.quiescent(NOW));
    finish(setting, worker);
    format!("{keys:?}")
}

/// A thread that evicts takes what another has nominated, or comes before that.
fn nomination_races_eviction() -> String {
    let (setting, mut worker, ends) = with_most(
        Domain::quarantine,
        THREE,
        |setting, guard| put_all(setting, [1, 2, 3, 4], guard),
        vec![
            |setting, worker| {
                assert!(setting.put(3, 30, NOW, worker.quiescent(NOW)));
                0
            },
            |setting, worker| evict(setting, 2, worker.quiescent(NOW)),
        ],
    );
    let keys = setting.keys(worker.quiescent(NOW));
    finish(setting, worker);
    format!("evicted {}, left {keys:?}", ends[1])
}

/// The history is for four entries, and by now there are three: a thread replaces it while another looks a
/// key up in it.
fn history_is_replaced_while_it_is_read() -> String {
    let (setting, mut worker, _) = with_most(
        Domain::quarantine,
        Usage { entries: 16, bytes: 4 },
        |setting, guard| {
            put_all(setting, [1, 2, 3, 4, 5], guard);
            assert!(setting.cache.invalidate(&1, NOW, guard).is_some());
        },
        vec![
            |setting, worker| {
                let (value, heavy) = (setting.value(6), Insert::new().weight(2));
                let guard = worker.quiescent(NOW);
                assert!(setting.cache.insert_with(6, value, heavy, NOW, guard).is_ok());
            },
            |setting, worker| assert!(setting.put(4, 40, NOW, worker.quiescent(NOW))),
        ],
    );
    let guard = worker.quiescent(NOW);
    let keys = setting.keys(guard);
    // What is heavier than another goes, so that each that is there counts for one byte.
    setting.cache.invalidate(&6, NOW, guard);
    finish(setting, worker);
    format!("{keys:?}")
}
