//! The cache from outside: what it hands out, what it keeps, and who must go. Cases of the systems that
//! it replaces carry their ids.

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use common::fixtures::{self, cache_builder};
use tidegate_core::cache::{Builder, Counters, Evicted, Insert, Usage};
use tidegate_core::{
    Budget, Cache, CacheError, Domain, Guard, Instant, RemovalCause, SeededState, Sweep, Tier,
    Tiers, Ttl, Worker,
};

const NOW: Instant = Instant::from_secs(100);
const MEMORY: Tier = Tier::new(0);
const FILE: Tier = Tier::new(1);
const DISK: Tier = Tier::new(5);

type Text = Cache<&'static str, &'static str>;
type TextBuilder = Builder<&'static str, &'static str, SeededState>;

/// A cache with what `set` sets, a worker of its domain, and the time.
fn cache<K, V>(
    set: impl FnOnce(Builder<K, V, SeededState>) -> Builder<K, V, SeededState>,
) -> (Cache<K, V>, Worker, Instant)
where
    K: std::hash::Hash + Eq + Clone + Send + Sync + 'static,
    V: Send + Sync + 'static,
{
    let (cache, worker) = fixtures::cache(set);
    (cache, worker, NOW)
}

fn texts(set: impl FnOnce(TextBuilder) -> TextBuilder) -> (Text, Worker, Instant) {
    cache(set)
}

fn small(entries: u64) -> (Text, Worker, Instant) {
    cache(|it| it.max_entries(entries))
}

fn fill<K, V, const N: usize>(cache: &Cache<K, V>, entries: [(K, V); N], guard: &Guard)
where
    K: std::hash::Hash + Eq + Send + Sync + std::fmt::Debug + 'static,
    V: Send + Sync + std::fmt::Debug + 'static,
{
    for (key, value) in entries {
        cache.insert(key, value, NOW, guard).expect("room");
    }
}

/// The keys that are there, without a trace.
fn there(cache: &Text, now: Instant, guard: &Guard) -> Vec<&'static str> {
    let mut keys: Vec<_> = cache.iter(now, guard).map(|(key, _)| *key).collect();
    keys.sort_unstable();
    keys
}

fn after(seconds: f64) -> Instant {
    NOW + Duration::from_secs_f64(seconds)
}

/// What a cache's listener was told.
type Log = fixtures::Log<&'static str, &'static str, RemovalCause>;

fn sweep_all<K, V>(cache: &Cache<K, V>, now: Instant) -> usize
where
    K: std::hash::Hash + Eq + Send + Sync + 'static,
    V: Send + Sync + 'static,
{
    let mut sweep = cache.sweeper(cache.domain().worker());
    let mut removed = 0;
    loop {
        let step = sweep.sweep(now, Budget::entries(64));
        removed += step.removed;
        if step.wrapped {
            return removed;
        }
    }
}

#[test]
fn s_c23_what_is_set_is_got_and_what_is_not_is_not() {
    let (cache, mut worker, now) =
        texts(|it| it.max_entries(100).time_to_live(Duration::from_secs(300)));
    let guard = worker.quiescent(now);
    assert_eq!(cache.insert("key", "value", now, guard), Ok(&"value"));
    assert_eq!(cache.get("key", now, guard), Some(&"value"));
    assert_eq!(cache.get("other", now, guard), None);
}

#[test]
fn s_c25_s_c26_s_c28_the_oldest_goes_unless_it_was_read() {
    let (cache, mut worker, now) = small(3);
    let guard = worker.quiescent(now);
    fill(&cache, [("k1", ""), ("k2", ""), ("k3", ""), ("k4", "")], guard);
    assert_eq!(there(&cache, now, guard), ["k2", "k3", "k4"], "S-C25");

    let (cache, mut worker, now) = small(3);
    let guard = worker.quiescent(now);
    fill(&cache, [("k1", ""), ("k2", ""), ("k3", "")], guard);
    cache.get("k2", now, guard);
    fill(&cache, [("k4", "")], guard);
    assert_eq!(there(&cache, now, guard), ["k2", "k3", "k4"], "S-C26");

    let (cache, mut worker, now) = small(1);
    let guard = worker.quiescent(now);
    fill(&cache, [("k1", ""), ("k2", "")], guard);
    assert_eq!(there(&cache, now, guard), ["k2"], "S-C28");
}

#[test]
fn i_c17_to_touch_the_oldest_saves_it_and_to_look_at_it_does_not() {
    let (cache, mut worker, now) = small(2);
    let guard = worker.quiescent(now);
    fill(&cache, [("old", ""), ("recent", "")], guard);
    cache.get("old", now, guard);
    fill(&cache, [("new", "")], guard);
    assert_eq!(there(&cache, now, guard), ["new", "old"]);

    let (cache, mut worker, now) = small(2);
    let guard = worker.quiescent(now);
    fill(&cache, [("old", ""), ("recent", "")], guard);
    cache.peek("old", now, guard);
    fill(&cache, [("new", "")], guard);
    assert_eq!(there(&cache, now, guard), ["new", "recent"]);
}

#[test]
fn i_c14_there_are_never_more_entries_than_may_be() {
    let (cache, mut worker, now) = cache::<u32, u32>(|it| it.max_entries(4));
    let guard = worker.quiescent(now);
    for key in 0..20 {
        cache.insert(key, key, now, guard).expect("room");
        assert!(cache.usage().entries <= 4);
        assert_eq!(cache.iter(now, guard).count() as u64, cache.usage().entries);
    }
    assert_eq!(cache.usage(), Usage { entries: 4, bytes: 4 });
}

#[test]
fn i_c16_what_is_touched_all_the_time_outlives_a_scan() {
    let (cache, mut worker, now) =
        cache::<String, u64>(|it| it.max_bytes(350).weigher(|_, &bytes| bytes));
    let guard = worker.quiescent(now);
    cache.insert("hot".to_owned(), 100, now, guard).expect("room");
    for cold in 1..=30 {
        assert!(cache.get("hot", now, guard).is_some());
        cache.insert(format!("cold-{cold}"), 100, now, guard).expect("room");
        assert!(cache.usage().bytes <= 350);
    }
    assert!(cache.peek("hot", now, guard).is_some());
    assert!(cache.peek("cold-1", now, guard).is_none());
}

#[test]
fn i_c19_what_is_too_heavy_is_handed_back_and_nothing_goes_for_it() {
    let (cache, mut worker, now) =
        cache::<&str, u64>(|it| it.max_bytes(200).weigher(|_, &bytes| bytes));
    let guard = worker.quiescent(now);
    fill(&cache, [("a", 100), ("b", 100)], guard);
    let refused = cache.insert("big", 300, now, guard).expect_err("too heavy");
    assert_eq!((refused.error, refused.key, refused.value), (CacheError::TooHeavy, "big", 300));
    assert!(cache.peek("a", now, guard).is_some() && cache.peek("b", now, guard).is_some());
    assert_eq!(cache.usage(), Usage { entries: 2, bytes: 200 });
    assert_eq!(cache.counters().refused, 1);
}

/// I-C22: caches of one domain know nothing of each other.
#[test]
fn i_c22_one_cache_that_overflows_takes_nothing_from_another() {
    let (full, mut worker, now) = small(10);
    let version: Text = cache_builder(worker.domain()).max_entries(2).build().expect("memory");
    let guard = worker.quiescent(now);
    fill(&full, [("hot", "")], guard);
    fill(&version, [("v1", ""), ("v2", ""), ("v3", ""), ("v4", ""), ("v5", "")], guard);
    assert_eq!(there(&version, now, guard), ["v4", "v5"]);
    assert_eq!(there(&full, now, guard), ["hot"]);
}

/// S11: a pass removes what has expired, nothing else, and says how many.
#[test]
fn s_c29_a_sweep_removes_what_has_expired() {
    let (cache, mut worker, now) = texts(|it| it);
    let guard = worker.quiescent(now);
    let lives = |seconds| Insert::new().time_to_live(Duration::from_secs(seconds));
    for (key, seconds) in [("a", 1), ("b", 1), ("c", 10)] {
        cache.insert_with(key, "", lives(seconds), now, guard).expect("room");
    }
    assert_eq!(sweep_all(&cache, after(1.1)), 2);
    assert_eq!(cache.usage().entries, 1);
    assert_eq!(cache.counters().expired, 2);
}

#[test]
fn s_c31_to_overwrite_renews_value_and_time() {
    let (cache, mut worker, now) =
        texts(|it| it.max_entries(10).time_to_live(Duration::from_secs(10)));
    let guard = worker.quiescent(now);
    cache.insert("key", "old", now, guard).expect("room");
    cache.insert("key", "new", after(5.0), guard).expect("room");
    assert_eq!(cache.get("key", after(14.9), guard), Some(&"new"));
    assert_eq!(cache.get("key", after(15.0), guard), None);
    assert_eq!(cache.usage().entries, 1);
}

#[test]
fn s_c32_to_remove_twice_is_to_remove_once() {
    let (cache, mut worker, now) = small(10);
    let guard = worker.quiescent(now);
    assert_eq!(cache.invalidate_all(now, guard), 0);
    assert_eq!(sweep_all(&cache, now), 0);
    fill(&cache, [("key", "value")], guard);
    assert_eq!(cache.invalidate("key", now, guard), Some(&"value"));
    assert_eq!(cache.invalidate("key", now, guard), None);
    assert_eq!(cache.usage(), Usage::default());
    fill(&cache, [("a", ""), ("b", "")], guard);
    assert_eq!(cache.invalidate_all(now, guard), 2);
    assert_eq!(cache.usage(), Usage::default());
}

#[test]
fn s_c34_ten_threads_on_five_keys_come_to_an_end() {
    let (cache, ..) = cache::<u32, u32>(|it| it.max_entries(3));
    std::thread::scope(|scope| {
        for thread in 0..10 {
            let (cache, mut worker) = (&cache, cache.domain().worker());
            scope.spawn(move || {
                for round in 0..2_000 {
                    let guard = worker.quiescent(NOW);
                    let key = (thread + round) % 5;
                    match round % 3 {
                        0 => _ = cache.insert(key, round, NOW, guard),
                        1 => _ = cache.get(&key, NOW, guard),
                        _ => _ = cache.invalidate(&key, NOW, guard),
                    }
                }
            });
        }
    });
    assert!(cache.usage().entries <= 3);
}

#[test]
fn s_c35_what_has_expired_goes_before_what_lives() {
    let log = Log::default();
    let (cache, mut worker, now) =
        texts(|it| it.max_entries(3).time_to_live(Duration::from_secs(1)).listener(log.listener()));
    let guard = worker.quiescent(now);
    fill(&cache, [("a", ""), ("b", ""), ("c", "")], guard);
    for key in ["a", "b", "c"] {
        cache.get(key, now, guard);
    }
    for key in ["d", "e", "f"] {
        cache.insert(key, "", after(1.0), guard).expect("room");
    }
    assert_eq!(there(&cache, after(1.0), guard), ["d", "e", "f"]);
    let counters = cache.counters();
    assert_eq!((counters.expired, counters.evicted), (3, 0));
    assert!(log.take().iter().all(|&(.., cause)| cause == RemovalCause::Expired));
}

/// S10, I10: a time to live for each entry, for ever, and none at all; and times that no clock reaches.
#[test]
fn each_entry_may_have_a_time_of_its_own() {
    let (cache, mut worker, now) = texts(|it| it.time_to_live(Duration::from_secs(60)));
    let guard = worker.quiescent(now);
    let put = |key, ttl: Ttl| {
        cache.insert_with(key, "", Insert::new().time_to_live(ttl), now, guard).expect("room");
    };
    cache.insert("usual", "", now, guard).expect("room");
    put("short", Ttl::For(Duration::from_secs(1)));
    put("none", Ttl::For(Duration::ZERO));
    put("ever", Ttl::Forever);
    put("far", Ttl::For(Duration::MAX));
    assert_eq!(there(&cache, now, guard), ["ever", "far", "short", "usual"]);
    assert_eq!(there(&cache, after(0.999), guard), ["ever", "far", "short", "usual"]);
    assert_eq!(there(&cache, after(1.0), guard), ["ever", "far", "usual"]);
    assert_eq!(there(&cache, after(60.0), guard), ["ever", "far"]);
    assert_eq!(there(&cache, Instant::MAX, guard), ["ever"], "not even at the end of time");
}

#[test]
fn a_clock_that_goes_backwards_brings_nothing_back() {
    let (cache, mut worker, now) = texts(|it| it.time_to_live(Duration::from_secs(1)));
    fill(&cache, [("key", "")], worker.quiescent(now));
    assert_eq!(sweep_all(&cache, after(1.0)), 1);
    assert_eq!(cache.get("key", now, worker.quiescent(now)), None);
    let late = worker.quiescent(now);
    cache.insert("key", "", after(10.0), late).expect("room");
    assert!(cache.get("key", now, late).is_some(), "as long as it says");
}

#[test]
fn jitter_shortens_and_never_lengthens_and_can_be_repeated() {
    let ends = || {
        let (cache, mut worker, now) =
            cache::<u32, ()>(|it| it.time_to_live(Duration::from_secs(100)).jitter(200_000));
        let guard = worker.quiescent(now);
        let end = |key| {
            cache.insert(key, (), NOW, guard).expect("room");
            let alive = |&second: &u32| cache.peek(&key, after(f64::from(second)), guard).is_some();
            (0..=101).filter(alive).count()
        };
        (0..1_000).map(end).collect::<Vec<_>>()
    };
    let first = ends();
    assert_eq!(first, ends());
    assert!(first.iter().all(|&seconds| (80..=100).contains(&seconds)), "{first:?}");
    let early = first.iter().filter(|&&seconds| seconds < 90).count();
    assert!((400..600).contains(&early), "{early} of 1,000 in the first half");
}

/// E11, S14: each removal is told once, with its cause, and counted once.
#[test]
fn the_listener_is_told_of_every_removal_once_with_its_cause() {
    let log = Log::default();
    let (cache, mut worker, now) = texts(|it| {
        it.max_entries(3)
            .time_to_live(Duration::from_secs(10))
            .count_reads(true)
            .listener(log.listener())
    });
    let guard = worker.quiescent(now);
    fill(&cache, [("a", "1"), ("b", "1"), ("c", "1")], guard);
    assert_eq!(log.take(), []);
    fill(&cache, [("d", "1")], guard);
    assert_eq!(log.take(), [("a", "1", RemovalCause::Size)]);
    cache.invalidate("b", now, guard);
    assert_eq!(log.take(), [("b", "1", RemovalCause::Explicit)]);
    fill(&cache, [("c", "2")], guard);
    assert_eq!(log.take(), [("c", "1", RemovalCause::Replaced)]);
    assert_eq!(cache.evict_bytes(1, Tiers::ALL, now, guard).entries, 1);
    let shed = log.take();
    assert_eq!((shed.len(), shed[0].2), (1, RemovalCause::Pressure));
    assert_eq!(sweep_all(&cache, after(10.0)), 1);
    let expired = log.take();
    assert_eq!((expired.len(), expired[0].2), (1, RemovalCause::Expired));
    cache.get("a", now, guard);
    fill(&cache, [("e", "1")], guard);
    cache.get("e", now, guard);
    let expected = Counters {
        hits: 1,
        misses: 1,
        inserted: 6,
        expired: 1,
        invalidated: 1,
        replaced: 1,
        evicted: 1,
        shed: 1,
        ..Counters::default()
    };
    assert_eq!(cache.counters(), expected);
    drop(cache);
    assert_eq!(log.take(), [], "what is there at the end is not removed");
}

#[test]
fn what_is_replaced_after_its_time_has_expired() {
    let log = Log::default();
    let (cache, mut worker, now) =
        texts(|it| it.time_to_live(Duration::from_secs(1)).listener(log.listener()));
    let guard = worker.quiescent(now);
    fill(&cache, [("a", "1")], guard);
    cache.insert("a", "2", after(1.0), guard).expect("room");
    assert_eq!(log.take(), [("a", "1", RemovalCause::Expired)]);
}

/// E11: the listener may use the cache, and panic; nothing is lost.
#[test]
fn a_listener_may_use_the_cache_and_may_panic() {
    static CACHE: std::sync::OnceLock<Cache<u32, u32>> = std::sync::OnceLock::new();
    static PANICS: AtomicU64 = AtomicU64::new(0);
    let domain = Domain::new();
    let cache = CACHE.get_or_init(|| {
        let domain = domain.clone();
        cache_builder(&domain)
            .max_entries(2)
            .listener(move |&key, _, cause| {
                let cache = CACHE.get().expect("made");
                let worker = cache.domain().worker();
                assert_eq!(cache.get(&key, NOW, &worker.pin()), None, "no longer there");
                if key == 0 && cause == RemovalCause::Size {
                    cache.insert(100, 100, NOW, &worker.pin()).expect("room");
                }
                if key == 1 {
                    PANICS.fetch_add(1, Ordering::Relaxed);
                    panic!("a listener's own");
                }
            })
            .build()
            .unwrap()
    });
    let mut worker = domain.worker();
    let guard = worker.quiescent(NOW);
    for key in 0..10 {
        let insert = || _ = cache.insert(key, key, NOW, guard);
        let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(insert)).is_err();
        assert!(cache.usage().entries <= 2);
        if panicked {
            // Whoever was about to be inserted is not: the cache is whole and has room for it.
            cache.insert(key, key, NOW, guard).expect("room");
        }
    }
    assert_eq!(PANICS.load(Ordering::Relaxed), 1);
    assert_eq!(cache.iter(NOW, guard).count() as u64, cache.usage().entries);
    assert_eq!(cache.usage(), Usage { entries: 2, bytes: 2 });
}

/// E6, E-C14: eviction on demand touches the tiers it is told to, and no other.
#[test]
fn e_c14_a_tier_that_is_not_chosen_is_left_alone() {
    let (cache, mut worker, now) = cache::<u32, ()>(|it| it);
    let guard = worker.quiescent(now);
    let put = |key, tier, bytes| {
        let insert = Insert::new().tier(tier).weight(bytes);
        cache.insert_with(key, (), insert, now, guard).expect("room");
    };
    put(1, DISK, 1024);
    let most = Tiers::of(&[MEMORY, FILE]);
    let nothing = Evicted { entries: 0, bytes: 0, shortfall: 100 };
    assert_eq!(cache.evict_bytes(100, most, now, guard), nothing);
    assert!(cache.peek(&1, now, guard).is_some());

    put(2, FILE, 10);
    put(3, MEMORY, 10);
    put(4, MEMORY, 10);
    assert_eq!(cache.tier_usage(MEMORY), Usage { entries: 2, bytes: 20 });
    let one = Evicted { entries: 1, bytes: 10, shortfall: 0 };
    assert_eq!(cache.evict_bytes(1, most, now, guard), one);
    assert!(cache.peek(&3, now, guard).is_none(), "the oldest of the lowest tier");
    assert_eq!(cache.evict_bytes(1, Tiers::of(&[FILE]), now, guard), one);
    assert!(cache.peek(&4, now, guard).is_some());
    let all = Evicted { entries: 2, bytes: 1034, shortfall: 1 };
    assert_eq!(cache.evict_bytes(1035, Tiers::ALL, now, guard), all);
    assert_eq!(cache.usage(), Usage::default());
    assert_eq!(cache.tier_usage(DISK), Usage::default());
}

/// E8: for want of room, too, the lowest tier goes first.
#[test]
fn what_must_go_for_want_of_room_is_of_the_lowest_tier() {
    let (cache, mut worker, now) = cache::<u32, ()>(|it| it.max_entries(3));
    let guard = worker.quiescent(now);
    for (key, tier) in [(1, FILE), (2, MEMORY), (3, MEMORY), (4, FILE), (5, DISK), (6, DISK)] {
        cache.insert_with(key, (), Insert::new().tier(tier), now, guard).expect("room");
    }
    let mut left: Vec<_> = cache.iter(now, guard).map(|(&key, ())| key).collect();
    left.sort_unstable();
    assert_eq!(left, [4, 5, 6]);
}

#[test]
fn an_entry_that_comes_back_in_another_tier_counts_there() {
    let (cache, mut worker, now) = cache::<u32, ()>(|it| it);
    let guard = worker.quiescent(now);
    for tier in [MEMORY, DISK, MEMORY] {
        cache.insert_with(1, (), Insert::new().tier(tier), now, guard).expect("room");
        assert_eq!(cache.tier_usage(tier).entries, 1);
        assert_eq!(cache.usage().entries, 1);
    }
    assert_eq!(cache.evict_bytes(1, Tiers::of(&[DISK]), now, guard).entries, 0);
    assert_eq!(cache.evict_bytes(1, Tiers::of(&[MEMORY]), now, guard).entries, 1);
}

#[test]
fn e_c19_to_evict_nothing_evicts_nothing() {
    let (cache, mut worker, now) = small(10);
    let guard = worker.quiescent(now);
    fill(&cache, [("a", ""), ("b", "")], guard);
    assert_eq!(cache.evict_bytes(0, Tiers::ALL, now, guard), Evicted::default());
    assert_eq!(cache.usage().entries, 2);
}

#[test]
fn e_c20_e_c22_what_is_pinned_stays_until_the_last_pin_is_gone() {
    let (cache, mut worker, now) = small(10);
    let guard = worker.quiescent(now);
    fill(&cache, [("a", "1"), ("b", "1")], guard);
    let (first, second) = (cache.hold("a", now, guard), cache.hold("a", now, guard));
    assert_eq!(cache.evict_bytes(u64::MAX, Tiers::ALL, now, guard).entries, 1);
    assert_eq!(there(&cache, now, guard), ["a"], "E-C20");
    drop(first);
    assert_eq!(cache.evict_bytes(u64::MAX, Tiers::ALL, now, guard).entries, 0, "E-C22");
    drop(second);
    assert_eq!(cache.evict_bytes(u64::MAX, Tiers::ALL, now, guard).entries, 1);
    assert_eq!(cache.usage(), Usage::default());
}

/// E-C23: a holder that dies, here by a panic, holds nothing any more.
#[test]
fn e_c23_a_holder_that_dies_lets_go() {
    let (cache, mut worker, now) = small(10);
    let guard = worker.quiescent(now);
    fill(&cache, [("a", "1")], guard);
    let dies = || {
        let _pin = cache.hold("a", now, guard);
        panic!("a holder's own");
    };
    assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(dies)).is_err());
    assert_eq!(cache.evict_bytes(1, Tiers::ALL, now, guard).entries, 1);
}

#[test]
fn e_c25_to_hold_an_entry_for_a_while_is_to_read_it() {
    let (cache, mut worker, now) = small(10);
    let guard = worker.quiescent(now);
    fill(&cache, [("k1", ""), ("k2", "")], guard);
    drop(cache.hold("k1", now, guard));
    assert_eq!(cache.evict_bytes(1, Tiers::ALL, now, guard).entries, 1);
    assert_eq!(there(&cache, now, guard), ["k1"]);
}

/// E7: a pin belongs to the object, not to the key.
#[test]
fn e_c34_an_entry_that_is_replaced_stays_valid_for_who_holds_it() {
    let log = Log::default();
    let (cache, mut worker, now) = texts(|it| it.listener(log.listener()));
    fill(&cache, [("a", "old")], worker.quiescent(now));
    let old = cache.hold("a", now, worker.quiescent(now)).expect("there");
    fill(&cache, [("a", "new")], worker.quiescent(now));
    let new = cache.hold("a", now, worker.quiescent(now)).expect("there");
    // Long enough for all that nobody holds to be freed.
    for _ in 0..8 {
        worker.collect(now, Budget::entries(100));
        worker.quiescent(now);
    }
    assert_eq!((*old, *new, *old.key()), ("old", "new", "a"));
    assert_eq!(cache.usage().entries, 2);
    let guard = worker.quiescent(now);
    assert_eq!(cache.evict_bytes(u64::MAX, Tiers::ALL, now, guard).entries, 0);
    drop(new);
    assert_eq!(cache.evict_bytes(u64::MAX, Tiers::ALL, now, guard).entries, 1);
    assert_eq!((*old, cache.usage().entries), ("old", 1));
    drop(old);
    assert_eq!(cache.usage(), Usage::default());
    let causes: Vec<_> = log.take().into_iter().map(|(_, value, cause)| (value, cause)).collect();
    assert_eq!(causes, [("old", RemovalCause::Replaced), ("new", RemovalCause::Pressure)]);
}

/// A value is dropped once: by the collector, or by the last who held it.
#[test]
fn a_pinned_value_is_dropped_once_whoever_comes_last() {
    let (cache, mut worker, now) = cache::<u32, Arc<()>>(|it| it);
    let collect = |worker: &mut Worker| {
        for _ in 0..8 {
            worker.collect(now, Budget::entries(100));
            worker.quiescent(now);
        }
    };
    let value = Arc::new(());
    for pin_last in [true, false] {
        cache.insert(1, Arc::clone(&value), now, worker.quiescent(now)).expect("room");
        let pin = cache.hold(&1, now, worker.quiescent(now)).expect("there");
        cache.invalidate(&1, now, worker.quiescent(now));
        if pin_last {
            collect(&mut worker);
        }
        assert_eq!(Arc::strong_count(&value), 2);
        drop(pin);
        if !pin_last {
            assert_eq!(Arc::strong_count(&value), 2, "somebody may be reading it");
            collect(&mut worker);
        }
        assert_eq!(Arc::strong_count(&value), 1);
    }
    cache.insert(1, Arc::clone(&value), now, worker.quiescent(now)).expect("room");
    drop(cache.hold(&1, now, worker.quiescent(now)));
    drop(cache);
    assert_eq!(Arc::strong_count(&value), 1, "with the cache");
}

#[test]
fn a_cache_full_of_pins_hands_the_value_back() {
    let (cache, mut worker, now) = small(2);
    let guard = worker.quiescent(now);
    fill(&cache, [("a", ""), ("b", "")], guard);
    let pins = (cache.hold("a", now, guard), cache.hold("b", now, guard));
    let refused = cache.insert("c", "value", now, guard).expect_err("full");
    assert_eq!((refused.error, refused.value), (CacheError::Full, "value"));
    drop(pins);
    fill(&cache, [("c", "value")], guard);
    assert_eq!(cache.usage().entries, 2);
}

/// I10: to remove a key only while it stands for what was seen.
#[test]
fn invalidating_on_condition_removes_what_was_shown() {
    let (cache, mut worker, now) = small(10);
    let guard = worker.quiescent(now);
    fill(&cache, [("a", "good")], guard);
    assert_eq!(cache.invalidate_if("a", |&value| value == "bad", now, guard), None);
    assert_eq!(cache.invalidate_if("a", |&value| value == "good", now, guard), Some(&"good"));
    assert_eq!(cache.invalidate_if("a", |_| unreachable!("gone"), now, guard), None);
}

/// Where all was read, again and again, one goes all the same, and no more than one.
#[test]
fn one_goes_though_all_was_read() {
    let (cache, mut worker, now) = cache::<u32, u32>(|it| it.max_entries(1_000));
    let guard = worker.quiescent(now);
    for key in 0..1_000 {
        cache.insert(key, key, now, guard).expect("room");
        for _ in 0..3 {
            cache.get(&key, now, guard);
        }
    }
    cache.insert(1_000, 0, now, guard).expect("room");
    assert_eq!((cache.usage().entries, cache.counters().evicted), (1_000, 1));
}

/// To invalidate is to remove, also what is past its time and kept for those who would rather have that.
#[test]
fn what_is_invalidated_is_not_served_stale() {
    let (cache, mut worker, now) = texts(|it| {
        it.time_to_live(Duration::from_secs(1)).stale_while_revalidate(Duration::from_secs(100))
    });
    let guard = worker.quiescent(now);
    fill(&cache, [("a", "1"), ("b", "1")], guard);
    assert_eq!(cache.invalidate("a", after(1.0), guard), None, "it was not fresh");
    assert_eq!(cache.usage().entries, 1);
    assert_eq!(cache.invalidate_all(after(1.0), guard), 0);
    assert_eq!((cache.usage().entries, cache.counters().invalidated), (0, 2));
}

/// A reader who is never done does not keep a small cache full of what was read.
#[test]
fn a_hot_reader_keeps_nobody_out() {
    for entries in [1, 2, 4, 8, 16] {
        let (cache, mut worker, _) = cache::<u64, u64>(|it| it.max_entries(entries));
        let mut reading = cache.domain().worker();
        let done = std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|scope| {
            let (cache, done) = (&cache, &done);
            scope.spawn(move || {
                while !done.load(Ordering::Relaxed) {
                    let guard = reading.quiescent(NOW);
                    for (key, _) in cache.iter(NOW, guard) {
                        cache.get(key, NOW, guard);
                    }
                }
            });
            let inserted = (0..20_000)
                .map(|key| cache.insert(key, key, NOW, worker.quiescent(NOW)).is_ok())
                .collect::<Vec<_>>();
            done.store(true, Ordering::Relaxed);
            assert!(inserted.iter().all(|&inserted| inserted), "of {entries} entries");
        });
    }
}

/// A key that is replaced, over and over, is never missed.
/// S12.
#[test]
fn what_is_replaced_is_there_all_the_while() {
    let (cache, mut worker, _) = cache::<u64, u64>(|it| it);
    let mut reading = cache.domain().worker();
    cache.insert(1, 0, NOW, worker.quiescent(NOW)).expect("room");
    let done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for round in 0..200_000 {
                cache.insert(1, round, NOW, worker.quiescent(NOW)).expect("room");
                worker.collect(NOW, Budget::entries(4));
            }
            done.store(true, Ordering::Relaxed);
        });
        while !done.load(Ordering::Relaxed) {
            let guard = reading.quiescent(NOW);
            assert!(cache.get(&1, NOW, guard).is_some());
            assert!(cache.hold(&1, NOW, guard).is_some());
        }
    });
    let guard = reading.quiescent(NOW);
    assert_eq!(cache.evict_bytes(u64::MAX, Tiers::ALL, NOW, guard).entries, 1);
}

/// E12: whatever the listener does, room that was given up is given back.
#[test]
fn a_listener_that_panics_keeps_no_room() {
    let (cache, mut worker, _) = cache::<u64, u64>(|it| {
        it.time_to_live(Duration::from_secs(1))
            .listener(|key, _, _| assert!(key % 3 != 0, "a listener's own"))
    });
    let guard = worker.quiescent(NOW);
    for round in 0..2_000_u64 {
        let at = NOW + Duration::from_millis(10 * round);
        let tier = Tier::new((round % 3) as u8);
        let put = |key| {
            let insert = Insert::new().tier(tier);
            _ = cache.insert_with(key, round, insert, at, guard);
        };
        _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| put(round % 7)));
        _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| put(1_000 + round)));
    }
    let end = NOW + Duration::from_secs(1_000);
    let sweep = || while sweep_all(&cache, end) > 0 {};
    while std::panic::catch_unwind(std::panic::AssertUnwindSafe(sweep)).is_err() {}
    assert_eq!(cache.usage(), Usage::default());
    let counters = cache.counters();
    let removed = counters.expired + counters.replaced + counters.evicted;
    assert_eq!((counters.inserted, removed), (4_000, 4_000));
}

/// A thousand replacements in a full cache, by entries and by bytes: nothing else goes for them.
#[test]
fn to_replace_in_a_full_cache_evicts_no_other() {
    let domain = Domain::new();
    let (mut worker, now) = (domain.worker(), NOW);
    let log = Log::default();
    let full = [
        cache_builder(&domain).max_entries(3).listener(log.listener()),
        cache_builder(&domain).max_bytes(11).weigher(|_, _| 3).listener(log.listener()),
    ];
    for builder in full {
        let cache: Text = builder.build().expect("memory");
        let guard = worker.quiescent(now);
        fill(&cache, [("a", "old"), ("b", "old"), ("c", "old")], guard);
        let usage = cache.usage();
        for round in 0..1_000 {
            let key = ["a", "b", "c"][round % 3];
            cache.insert(key, "new", now, guard).expect("it has room of its own");
            assert_eq!((there(&cache, now, guard), cache.usage()), (vec!["a", "b", "c"], usage));
            let value = if round < 3 { "old" } else { "new" };
            assert_eq!(log.take(), [(key, value, RemovalCause::Replaced)]);
        }
        assert_eq!(cache.counters().evicted, 0);
    }
}

/// Only what a replacement weighs more must be made room for; what it weighs less is free.
#[test]
fn a_replacement_of_another_weight_takes_and_gives_the_difference() {
    let log = Log::default();
    let (cache, mut worker, now) = texts(|it| it.max_bytes(10).listener(log.listener()));
    let guard = worker.quiescent(now);
    let weighs = |bytes| Insert::new().weight(bytes);
    for (key, bytes) in [("a", 4), ("b", 4), ("c", 2)] {
        cache.insert_with(key, "old", weighs(bytes), now, guard).expect("room");
    }
    cache.insert_with("c", "light", weighs(1), now, guard).expect("room");
    assert_eq!(cache.usage(), Usage { entries: 3, bytes: 9 });
    cache.insert_with("c", "tier", weighs(2).tier(FILE), now, guard).expect("room");
    assert_eq!(cache.tier_usage(MEMORY), Usage { entries: 2, bytes: 8 });
    assert_eq!(cache.tier_usage(FILE), Usage { entries: 1, bytes: 2 });
    assert_eq!(cache.counters().evicted, 0);
    // Heavier by two, of which none is free: the oldest other goes, and never the key's own old value.
    cache.insert_with("c", "heavy", weighs(4).tier(FILE), now, guard).expect("room");
    assert_eq!((there(&cache, now, guard), cache.usage().bytes), (vec!["b", "c"], 8));
    let [.., evicted, replaced] = log.take()[..] else { panic!("two went") };
    assert_eq!(evicted, ("a", "old", RemovalCause::Size));
    assert_eq!(replaced, ("c", "tier", RemovalCause::Replaced));
}

/// What was there is out of date, whatever keeps its replacement out.
#[test]
fn a_replacement_that_is_refused_removes_what_was_there() {
    let log = Log::default();
    let (cache, mut worker, now) = texts(|it| {
        it.max_bytes(10).weigher(|_, value: &&str| value.len() as u64).listener(log.listener())
    });
    let guard = worker.quiescent(now);
    fill(&cache, [("a", "old"), ("b", "b")], guard);
    let refused = cache.insert("a", "much too heavy", now, guard).expect_err("eleven and more");
    assert_eq!((refused.error, refused.value), (CacheError::TooHeavy, "much too heavy"));
    assert_eq!(cache.get("a", now, guard), None);
    assert_eq!(log.take(), [("a", "old", RemovalCause::Replaced)]);
    assert_eq!(cache.usage(), Usage { entries: 1, bytes: 1 });

    // Nothing else can be evicted.
    let pin = cache.hold("b", now, guard).expect("it is there");
    cache.insert("a", "old", now, guard).expect("room");
    let refused = cache.insert("a", "ten bytes.", now, guard).expect_err("one is pinned");
    assert_eq!(refused.error, CacheError::Full);
    assert_eq!((cache.get("a", now, guard), cache.counters().refused), (None, 2));
    drop(pin);
    assert_eq!(cache.usage(), Usage { entries: 1, bytes: 1 });
}
