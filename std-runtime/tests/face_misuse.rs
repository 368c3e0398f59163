//! The face under callers' code that panics, comes back or leaves early, and at the limits of its settings.
//!
//! Only the first test uses the runtime of the process, so that it can tell when that ends.

use std::collections::HashSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use tidegate::{
    Cache, Clock, ExactRateLimiter, Instant, LoadError, ManualClock, Map, Quota, RateLimiter,
    RemovalCause, Runtime, Stop, wait,
};

use self::common::wait_until;

mod common;

const HOUSEKEEPING: &str = "tidegate housekeeping";
const SHORT: Duration = Duration::from_millis(10);

fn started() -> Runtime {
    let runtime = Runtime::builder().build().unwrap();
    runtime.start().unwrap();
    runtime
}

/// Whether the runtime of the process is there. Its thread has ended when its last handle is dropped.
fn is_swept() -> bool {
    Runtime::find(HOUSEKEEPING).is_some()
}

#[test]
fn housekeeping_ends_with_the_last_of_thousands() {
    let value = Arc::new(());
    let swept = |value: &Arc<()>| {
        let cache = Cache::builder().time_to_live(Duration::from_secs(3_600)).build();
        cache.insert(1, Arc::clone(value));
        cache
    };
    let caches: Vec<_> = (0..2_000).map(|_| swept(&value)).collect();
    let runtime = Runtime::find(HOUSEKEEPING).unwrap();
    let handles = runtime.sweep_handles();
    let names: HashSet<_> = handles.iter().map(|handle| handle.name().to_owned()).collect();
    assert_eq!((handles.len(), names.len()), (2_000, 2_000));
    drop((caches, handles, runtime));
    assert_eq!(Arc::strong_count(&value), 1);
    assert!(!is_swept());

    // Each alone starts the thread, and ends it.
    (0..100).for_each(|_| drop(swept(&value)));
    assert_eq!(Arc::strong_count(&value), 1);
    assert!(!is_swept());

    // Threads race for starting and ending it, and none is left without a sweep.
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..50 {
                    let cache = Cache::builder().time_to_live(Duration::from_millis(1)).build();
                    cache.insert(1, Arc::clone(&value));
                    wait_until(|| cache.entry_count() == 0);
                }
            });
        }
    });
    assert!(!is_swept());

    // A runtime of this name that has other settings is used as it is.
    let other = Runtime::builder().name(HOUSEKEEPING).stalled_after(7).shared().unwrap();
    let cache = Cache::builder().time_to_live(SHORT).build();
    cache.insert(1, 1);
    wait_until(|| cache.entry_count() == 0);
    assert_eq!(other.sweep_handles().len(), 1);
}

#[test]
fn a_runtime_that_is_stopped_or_not_started_leaves_the_cache_correct() {
    let runtime = Runtime::builder().build().unwrap();
    let clock = Arc::new(ManualClock::new());
    let cache = Cache::builder()
        .time_to_live(Duration::from_millis(1))
        .clock(Arc::clone(&clock))
        .runtime(&runtime)
        .build();
    let step = || {
        cache.insert(1, 1);
        clock.advance(Duration::from_millis(1));
        assert_eq!(cache.get(&1), None);
    };
    step();
    runtime.start().unwrap();
    wait_until(|| cache.entry_count() == 0);
    assert_eq!(runtime.stop(Duration::from_secs(20)), Stop::Stopped);
    step();
    assert_eq!(cache.entry_count(), 1);
    let other: Cache<u32, u32> = Cache::builder().runtime(&runtime).build();
    assert_eq!(other.get_with(1, || 7), 7);
    // The caches keep the runtime for themselves.
    runtime.start().unwrap();
    drop(runtime);
    wait_until(|| cache.entry_count() == 0);
}

#[test]
fn without_room_nothing_is_kept() {
    let told = Arc::new(AtomicU32::new(0));
    let count = Arc::clone(&told);
    let cache = Cache::builder()
        .max_capacity(0)
        .eviction_listener(move |_, _, _| _ = count.fetch_add(1, Ordering::Relaxed))
        .manual()
        .build();
    cache.insert(1, 1);
    assert!(cache.try_insert(1, 1).is_err());
    assert_eq!((cache.get(&1), cache.entry_count()), (None, 0));
    assert_eq!((cache.get_with(1, || 7), cache.get_with(1, || 8)), (7, 8));
    assert_eq!(wait::block_on(cache.get_with_async(1, async { 9 })), 9);
    assert_eq!(cache.optionally_get_with(1, || None), None);
    assert!(cache.hold(&1).is_none());
    cache.run_pending_tasks();
    cache.invalidate_all();
    // The value of `insert`: the other values were handed back, or returned.
    assert_eq!(told.load(Ordering::Relaxed), 1);
}

#[test]
fn a_refused_value_is_passed_to_the_listener_once() {
    let told = Arc::new(Mutex::new(Vec::new()));
    let tell = Arc::clone(&told);
    let cache = Cache::builder()
        .max_capacity(10)
        .weigher(|_, value: &Arc<u32>| **value)
        .eviction_listener(move |key: Arc<u32>, value, cause| {
            tell.lock().unwrap().push((*key, Arc::clone(&value), cause));
            assert_ne!(*value, 12, "on purpose");
        })
        .manual()
        .build();
    let take = || std::mem::take(&mut *told.lock().unwrap());
    let (old, heavy) = (Arc::new(5), Arc::new(11));
    cache.insert(1, Arc::clone(&old));
    cache.insert(1, Arc::clone(&heavy));
    let replaced = (1, Arc::clone(&old), RemovalCause::Replaced);
    assert_eq!(take(), [replaced, (1, Arc::clone(&heavy), RemovalCause::Size)]);
    assert_eq!((Arc::strong_count(&heavy), cache.get(&1)), (1, None));

    let refused = cache.try_insert(1, Arc::clone(&heavy)).unwrap_err();
    assert!(Arc::ptr_eq(&refused.value, &heavy));
    assert_eq!(*cache.get_with(2, || Arc::clone(&heavy)), 11);
    assert_eq!(take(), []);

    cache.insert(3, Arc::new(12));
    assert_eq!(take().len(), 1, "the panic of a listener is contained");
}

#[test]
fn times_to_live_at_the_limits_are_taken_as_they_are() {
    for ttl in [Duration::ZERO, Duration::from_nanos(1)] {
        let clock = Arc::new(ManualClock::new());
        let runtime = started();
        let builder = Cache::builder().time_to_live(ttl).clock(Arc::clone(&clock));
        let cache = builder.runtime(&runtime).build();
        cache.insert(1, 1);
        clock.advance(ttl);
        assert_eq!((cache.get(&1), cache.get_with(1, || 7)), (None, 7));
        clock.advance(ttl);
        assert_eq!((cache.get(&1), cache.iter().count()), (None, 0));
        wait_until(|| cache.entry_count() == 0);
    }
    let cache = Cache::builder().time_to_live(Duration::MAX).max_capacity(u64::MAX).manual();
    let cache = cache.build();
    cache.insert(1, 1);
    assert_eq!(cache.get(&1), Some(1));
}

#[test]
fn limiters_without_room_or_rate_deny() {
    let quota = Quota::per_second(1).unwrap();
    let exact: ExactRateLimiter<u32> =
        ExactRateLimiter::<u32>::builder(quota).max_keys(0).manual().build().unwrap();
    assert!(!exact.check(&1).is_admitted());
    let shared: RateLimiter<u32> = RateLimiter::builder(quota).keys(0).build().unwrap();
    assert!(shared.check(&1).is_admitted(), "the least table has room for a few");
    let closed = Quota::closed();
    let shared: RateLimiter<u32> = RateLimiter::new(closed, 10).unwrap();
    let exact: ExactRateLimiter<u32> =
        ExactRateLimiter::<u32>::builder(closed).manual().build().unwrap();
    assert!(!shared.check(&1).is_admitted() && !exact.check(&1).is_admitted());
    assert_eq!((shared.len(), exact.len()), (0, 0));
}

#[test]
fn a_listener_may_change_the_cache_that_calls_it() {
    let handle: Arc<OnceLock<Cache<u32, u32>>> = Arc::default();
    let told = Arc::new(Mutex::new(Vec::new()));
    let listener = {
        let (handle, told) = (Arc::clone(&handle), Arc::clone(&told));
        move |key: Arc<u32>, value, cause| {
            told.lock().unwrap().push((*key, value, cause));
            let cache = handle.get().expect("set");
            match *key {
                // What is removed finds its way to another key, once.
                0..10 => cache.insert(*key + 10, value),
                _ => assert_eq!(cache.get(&key), None),
            }
        }
    };
    let cache = Cache::builder().max_capacity(4).eviction_listener(listener).manual().build();
    handle.set(cache.clone()).unwrap();
    cache.insert(1, 100);
    cache.invalidate(&1);
    assert_eq!((cache.get(&1), cache.get(&11)), (None, Some(100)));
    (2..10).for_each(|key| cache.insert(key, 0));
    assert!(cache.entry_count() <= 4, "{}", cache.entry_count());
    assert_eq!(told.lock().unwrap()[0], (1, 100, RemovalCause::Explicit));
    assert!(told.lock().unwrap()[1..].iter().all(|told| told.2 == RemovalCause::Size));
}

#[test]
fn a_listener_that_panics_is_called_again() {
    let told = Arc::new(AtomicU32::new(0));
    let count = Arc::clone(&told);
    let cache = Cache::builder()
        .eviction_listener(move |_, _, _| {
            count.fetch_add(1, Ordering::Relaxed);
            panic!("on purpose")
        })
        .manual()
        .build();
    for key in 0..3 {
        cache.insert(key, key);
        cache.insert(key, key + 1);
        assert_eq!(cache.remove(&key), Some(key + 1));
    }
    assert_eq!(told.load(Ordering::Relaxed), 6);
}

#[test]
fn a_weigher_that_panics_leaves_the_cache_whole() {
    let cache = Cache::builder()
        .max_capacity(100)
        .weigher(|_, value: &u32| {
            assert_ne!(*value, 13, "on purpose");
            *value
        })
        .manual()
        .build();
    cache.insert(1, 10);
    assert!(catch_unwind(|| cache.insert(1, 13)).is_err());
    assert!(catch_unwind(|| cache.insert(2, 13)).is_err());
    assert!(catch_unwind(|| cache.get_with(3, || 13)).is_ok(), "the value is the caller's");
    assert!(cache.get_or_load(&4, || Ok::<_, ()>(13)).is_ok());
    for key in 2..5 {
        assert_eq!((cache.get(&key), cache.get_with(key, || 20)), (None, 20));
    }
    assert!(cache.weighted_size() <= 70);
}

/// Panics while it is told to.
struct Broken(Arc<AtomicBool>);

impl Clock for Broken {
    fn now(&self) -> Instant {
        assert!(!self.0.load(Ordering::SeqCst), "on purpose");
        Instant::from_secs(1)
    }
}

#[test]
fn a_clock_that_panics_stops_no_more_than_the_call() {
    let is_broken = Arc::new(AtomicBool::new(false));
    let runtime = started();
    let cache = Cache::builder()
        .time_to_live(SHORT)
        .clock(Broken(Arc::clone(&is_broken)))
        .runtime(&runtime)
        .build();
    cache.insert(1, 1);
    is_broken.store(true, Ordering::SeqCst);
    assert!(catch_unwind(|| cache.get(&1)).is_err());
    assert!(catch_unwind(|| cache.insert(2, 2)).is_err());
    assert!(catch_unwind(|| cache.get_with(3, || 3)).is_err());
    let handle = &runtime.sweep_handles()[0];
    wait_until(|| handle.metrics().panics > 0);
    is_broken.store(false, Ordering::SeqCst);
    assert_eq!((cache.get(&1), cache.get(&2), cache.get_with(3, || 4)), (Some(1), None, 4));
    let runs = handle.metrics().runs;
    wait_until(|| handle.metrics().runs > runs);
}

#[test]
fn a_loader_may_change_the_cache_and_drop_the_other_handles() {
    let cache: Cache<u32, u32> = Cache::builder().manual().build();
    let other = cache.clone();
    let loaded = cache.get_with(1, move || {
        other.insert(1, 2);
        drop(other);
        1
    });
    assert_eq!((loaded, cache.get(&1)), (1, Some(2)), "what came late is not stored");
    let loaded = cache.get_with(3, || {
        cache.invalidate_all();
        3
    });
    assert_eq!((loaded, cache.get(&3), cache.get(&1)), (3, None, None));
    let other = cache.clone();
    let load = cache.get_with_async(4, async move {
        drop(other);
        4
    });
    assert_eq!(wait::block_on(load), 4);
    // A future that is dropped before its end holds nothing back.
    drop(cache.get_with_async(5, async { 5 }));
    let mut pending = Box::pin(cache.get_with_async(6, std::future::pending()));
    assert!(wait::block_for(pending.as_mut(), SHORT).is_err());
    drop(pending);
    assert_eq!((cache.get_with(5, || 6), cache.get_with(6, || 7)), (6, 7));
}

#[test]
fn loaders_of_two_keys_may_load_each_others_third() {
    let cache: Cache<u32, u32> = Cache::builder().manual().build();
    let sum = cache.get_with(1, || cache.get_with(2, || cache.get_with(3, || 3) + 2) + 1);
    assert_eq!(sum, 6);
    // Through another: a circle within one caller is seen.
    let circle = cache.get_or_load(&4, || {
        cache
            .get_or_load(&5, || match cache.get_or_load(&4, || Ok::<_, u32>(4)) {
                Err(LoadError::Reentrant) => Err::<u32, _>(7),
                other => panic!("{other:?}"),
            })
            .map_err(|error| match error {
                LoadError::Failed(number) => *number,
                other => panic!("{other:?}"),
            })
    });
    assert!(matches!(circle, Err(LoadError::Failed(number)) if *number == 7));
}

#[test]
fn a_value_may_own_the_last_handle_of_another_cache() {
    let runtime = started();
    let inner = |number| {
        let cache = Cache::builder().time_to_live(SHORT).runtime(&runtime).build();
        cache.insert(number, number);
        cache
    };
    let outer = Cache::builder().time_to_live(SHORT).runtime(&runtime).build();
    (0..100).for_each(|number| outer.insert(number, inner(number)));
    wait_until(|| outer.entry_count() == 0 && runtime.sweep_handles().len() == 1);
    drop(runtime);
    drop(outer);
}

#[test]
fn a_sweep_of_a_map_may_panic_and_change_the_map() {
    let handle: Arc<OnceLock<Map<u32, u32>>> = Arc::default();
    let of_the_sweep = Arc::clone(&handle);
    let runtime = started();
    let stale = move |key: &u32, value: &u32| {
        assert_ne!(*key, 13, "on purpose");
        let map = of_the_sweep.get().expect("set before anything is inserted");
        map.insert(1_000 + key, 0);
        *value == 1
    };
    let map = Map::builder().sweep(SHORT, stale).runtime(&runtime).build().unwrap();
    handle.set(map.clone()).unwrap();
    map.insert(1, 1);
    wait_until(|| !map.contains_key(&1) && map.contains_key(&1_001));
    map.insert(13, 1);
    wait_until(|| runtime.sweep_handles()[0].metrics().panics > 0);
    assert!(map.contains_key(&13));
    assert!(catch_unwind(AssertUnwindSafe(|| map.retain(|_, _| panic!("on purpose")))).is_err());
    assert!(catch_unwind(|| map.get_or_insert_with(14, || panic!("on purpose"))).is_err());
    assert_eq!(map.get_or_insert_with(14, || map.get_or_insert_with(14, || 7) + 1), 7);
    assert_eq!(runtime.stop(Duration::from_secs(20)), Stop::Stopped);
}
