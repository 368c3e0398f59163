//! The face's cache: its loads and its housekeeping.

use std::error::Error;
use std::future::poll_fn;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Barrier, LazyLock, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tidegate::lockfree::cache::{Insert, PredicateError};
use tidegate::{
    Cache, Clock, CompResult, LoadError, LoadTask, ManualClock, Op, RemovalCause, Runtime, Ttl,
    wait,
};

static SHARED: LazyLock<Cache<String, u64>> = LazyLock::new(|| Cache::new(100));

fn returned() -> Cache<u32, String> {
    Cache::builder().max_capacity(10).build()
}

fn is_send<T: Send>(it: T) -> T {
    it
}

#[test]
fn it_can_be_a_static_and_be_returned() {
    SHARED.insert("a".to_owned(), 1);
    assert_eq!(SHARED.get("a"), Some(1));
    let cache = returned();
    cache.insert(1, "one".to_owned());
    assert_eq!(cache.remove(&1).as_deref(), Some("one"));
    assert!(!cache.contains_key(&1));
}

#[test]
fn of_callers_that_come_together_one_loads() {
    let cache: Cache<&str, u32> = Cache::new(100);
    let (loads, barrier) = (AtomicU32::new(0), Barrier::new(4));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                barrier.wait();
                let value = cache.get_with("key", || {
                    std::thread::sleep(Duration::from_millis(20));
                    loads.fetch_add(1, Ordering::Relaxed) + 7
                });
                assert_eq!(value, 7);
            });
        }
    });
    assert_eq!(loads.load(Ordering::Relaxed), 1);
}

#[derive(Debug, PartialEq)]
struct Other;

#[test]
fn errors_of_two_types_meet_on_one_flight() {
    let cache: Cache<&str, u32> = Cache::new(100);
    let begun = Barrier::new(2);
    std::thread::scope(|scope| {
        let leader = scope.spawn(|| {
            cache.try_get_with("key", || {
                begun.wait();
                std::thread::sleep(Duration::from_millis(50));
                Err::<u32, _>("not there".to_owned())
            })
        });
        begun.wait();
        let follower = cache.try_get_with("key", || Err::<u32, _>(Other));
        assert_eq!(*follower.unwrap_err(), Other);
        assert_eq!(*leader.join().unwrap().unwrap_err(), "not there");
    });
    let boxed =
        cache.try_get_with("key", || Err::<u32, Box<dyn Error + Send + Sync>>("boxed".into()));
    assert_eq!(boxed.unwrap_err().to_string(), "boxed");
    assert_eq!(cache.optionally_get_with("key", || None), None);
    assert_eq!(cache.optionally_get_with("key", || Some(3)), Some(3));
}

#[test]
fn a_panic_stays_with_the_caller_whose_loader_it_is() {
    let cache: Cache<&str, u32> = Cache::new(100);
    let begun = Barrier::new(2);
    std::thread::scope(|scope| {
        let leader = scope.spawn(|| {
            cache.get_with("key", || {
                begun.wait();
                std::thread::sleep(Duration::from_millis(50));
                panic!("on purpose")
            })
        });
        begun.wait();
        assert_eq!(cache.get_with("key", || 7), 7, "the follower loads itself");
        let payload = leader.join().unwrap_err();
        assert_eq!(payload.downcast_ref::<&str>(), Some(&"on purpose"));
    });
}

#[test]
fn a_loader_that_asks_for_its_own_key_is_told() {
    let cache: Cache<u64, u32> = Cache::new(100);
    let asked = std::panic::catch_unwind(|| cache.get_with(7, || cache.get_with(7, || 1)));
    let message = *asked.unwrap_err().downcast::<String>().unwrap();
    assert!(message.contains("u64"), "{message}");
    let result =
        cache.get_or_load(&8, || cache.get_or_load(&8, || Ok::<_, Other>(1)).map_err(|_| Other));
    assert!(matches!(result, Err(tidegate::LoadError::Failed(error)) if *error == Other));
}

#[test]
fn futures_are_send_and_load_once() {
    let cache: Cache<String, u64> = Cache::new(100);
    let load = cache.try_get_with_async("a".to_owned(), async { Ok::<_, Other>(7) });
    assert_eq!(wait::block_on(is_send(load)), Ok(7));
    let load = cache.get_with_async("a".to_owned(), async { 8 });
    assert_eq!(wait::block_on(is_send(load)), 7);
    let failed = cache.try_get_with_async("b".to_owned(), async { Err::<u64, _>(Other) });
    assert_eq!(*wait::block_on(failed).unwrap_err(), Other);
    let thrown = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        wait::block_on(cache.get_with_async("c".to_owned(), async { panic!("on purpose") }))
    }));
    assert_eq!(thrown.unwrap_err().downcast_ref::<&str>(), Some(&"on purpose"));
    assert_eq!(cache.get_with("c".to_owned(), || 9), 9);
}

#[test]
fn it_expires_by_its_own_clock_and_tells_why() {
    let clock = Arc::new(ManualClock::new());
    let told = Arc::new(Mutex::new(Vec::new()));
    let cache = {
        let told = Arc::clone(&told);
        let listener = move |key: Arc<u32>, value, cause| {
            told.lock().unwrap().push((*key, value, cause));
        };
        Cache::builder()
            .time_to_live(Duration::from_secs(60))
            .eviction_listener(listener)
            .clock(Arc::clone(&clock))
            .manual()
            .build()
    };
    cache.insert(1, "one");
    clock.advance(Duration::from_secs(59));
    assert_eq!(cache.get(&1), Some("one"));
    clock.advance(Duration::from_secs(1));
    assert_eq!((cache.get(&1), cache.entry_count()), (None, 1));
    cache.run_pending_tasks();
    assert_eq!(cache.entry_count(), 0);
    assert_eq!(*told.lock().unwrap(), [(1, "one", RemovalCause::Expired)]);
    assert_eq!(clock.now().as_nanos(), 60_000_000_000);
}

#[test]
fn entries_are_invalidated_by_what_they_hold() {
    let removed = Arc::new(Mutex::new(Vec::new()));
    let told = Arc::clone(&removed);
    let cache = Cache::builder()
        .eviction_listener(move |key: Arc<u32>, value: u32, cause| {
            told.lock().unwrap().push((*key, value, cause));
        })
        .build();
    for key in 0..6 {
        cache.insert(key, 10 * key);
    }
    let mut loads = Box::pin(cache.get_with_async(7, async {
        once().await;
        70
    }));
    let mut context = Context::from_waker(Waker::noop());
    assert!(loads.as_mut().poll(&mut context).is_pending());
    // The value of key 3 is replaced when it was looked at: the new one is none of those that are removed.
    let number = cache.retain(|&key, &value| {
        if (key, value) == (3, 30) {
            cache.insert(3, 31);
        }
        key >= 2 && value != 30
    });
    assert_eq!(number, 2);
    let mut left: Vec<_> = cache.iter().map(|(key, value)| (*key, value)).collect();
    left.sort_unstable();
    assert_eq!(left, [(2, 20), (3, 31), (4, 40), (5, 50)]);
    let mut told = std::mem::take(&mut *removed.lock().unwrap());
    told.sort_unstable_by_key(|(key, ..)| *key);
    let [explicit, replaced] = [RemovalCause::Explicit, RemovalCause::Replaced];
    assert_eq!(told, [(0, 0, explicit), (1, 10, explicit), (3, 30, replaced)]);
    assert_eq!(loads.as_mut().poll(&mut context), Poll::Ready(70));
    assert_eq!(cache.get(&7), Some(70), "a load of a key that is not removed is stored");
}

/// Is pending once.
async fn once() {
    let mut is_over = false;
    poll_fn(
        |_| if std::mem::replace(&mut is_over, true) { Poll::Ready(()) } else { Poll::Pending },
    )
    .await;
}

#[test]
fn it_is_swept_by_its_own_clock_until_the_last_handle_is_gone() {
    let runtime = Runtime::builder().name("face cache").build().unwrap();
    let clock = Arc::new(ManualClock::new());
    let cache = Cache::builder()
        .time_to_live(Duration::from_millis(50))
        .clock(Arc::clone(&clock))
        .runtime(&runtime)
        .build();
    runtime.start().unwrap();
    cache.insert(1, "one");
    std::thread::sleep(Duration::from_millis(100));
    assert_eq!(cache.get(&1), Some("one"), "the cache's own clock has not moved");
    clock.advance(Duration::from_secs(1));
    let start = std::time::Instant::now();
    while cache.entry_count() > 0 {
        assert!(start.elapsed() < Duration::from_secs(20), "it is not swept");
        std::thread::sleep(Duration::from_millis(1));
    }
    assert_eq!(runtime.sweep_handles().len(), 1);
    let other = cache.clone();
    drop(cache);
    assert_eq!(runtime.sweep_handles().len(), 1);
    drop(other);
    assert_eq!(runtime.sweep_handles().len(), 0);
}

type Pages = Cache<u32, Arc<Told>>;

/// Says on which thread it was dropped.
struct Told(Arc<Mutex<Option<String>>>);

impl Drop for Told {
    fn drop(&mut self) {
        let name = std::thread::current().name().unwrap_or_default().to_owned();
        *self.0.lock().unwrap() = Some(name);
    }
}

#[test]
fn a_cache_whose_last_handle_is_dropped_during_a_step_ends_on_that_thread() {
    let dropped = Arc::new(Mutex::new(None));
    let handle: Arc<Mutex<Option<Pages>>> = Arc::default();
    let cache = {
        let handle = Arc::clone(&handle);
        // Called by the sweep, within its step: it drops the last handle.
        let listener = move |_, _, _| drop(handle.lock().unwrap().take());
        Cache::builder().time_to_live(Duration::from_millis(10)).eviction_listener(listener).build()
    };
    cache.insert(1, Arc::new(Told(Arc::clone(&dropped))));
    cache.insert_with(2, Arc::new(Told(Arc::default())), Default::default()).ok().unwrap();
    *handle.lock().unwrap() = Some(cache);
    let start = std::time::Instant::now();
    while dropped.lock().unwrap().is_none() || handle.lock().unwrap().is_some() {
        assert!(start.elapsed() < Duration::from_secs(20), "the cache does not end");
        std::thread::sleep(Duration::from_millis(1));
    }
    // The thread of the process still runs for others, or a new one starts.
    let again: Cache<u32, u32> = Cache::builder().time_to_live(Duration::from_millis(10)).build();
    again.insert(1, 1);
    while again.entry_count() > 0 {
        assert!(start.elapsed() < Duration::from_secs(40), "it is not swept");
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn a_value_or_its_loader_chooses_the_time_to_live() {
    let clock = Arc::new(ManualClock::new());
    let cache = Cache::builder()
        .clock(Arc::clone(&clock))
        .expire_after(|_: &String, &seconds: &u64| Duration::from_secs(seconds))
        .manual()
        .build();
    let left = |key| {
        cache.time_left(key).map(|left| match left {
            Ttl::For(left) => left.as_secs(),
            Ttl::Forever => u64::MAX,
        })
    };
    cache.insert("inserted".to_owned(), 5);
    assert_eq!(cache.get_with_by_ref("loaded", || 6), 6);
    let own = Insert::new().time_to_live(Duration::from_secs(7));
    let loaded = cache.get_or_load_with("chosen", || Ok::<_, Other>((1, own)));
    assert!(matches!(loaded, Ok(1)));
    let loading = cache.get_or_load_with_async("later", async { Ok::<_, Other>((2, own)) });
    assert!(matches!(wait::block_on(is_send(loading)), Ok(2)));
    assert_eq!(
        ["inserted", "loaded", "chosen", "later"].map(left),
        [Some(5), Some(6), Some(7), Some(7)]
    );
    clock.advance(Duration::from_secs(4));
    assert!(cache.touch("inserted") && cache.touch_for("loaded", Duration::from_secs(60)));
    clock.advance(Duration::from_secs(2));
    assert_eq!((cache.peek("inserted"), left("loaded")), (Some(5), Some(58)));
    clock.advance(Duration::from_secs(3));
    assert_eq!((cache.peek("inserted"), cache.touch("inserted")), (None, false));
}

#[test]
fn an_entry_is_selected_and_changed() {
    let cache: Cache<&str, u32> = Cache::builder().max_capacity(1).build();
    assert_eq!(cache.entry("a").or_default().into_value(), 0);
    let entry = cache.entry("a").or_insert(3);
    assert_eq!((*entry.key(), *entry.value(), entry.is_fresh()), ("a", 0, false));
    assert_eq!(
        cache.entry("a").and_upsert_with(|old| old.map_or(1, |old| old + 1)).into_value(),
        1
    );
    assert_eq!(cache.entry("a").and_compute_with(|_| Op::Keep), CompResult::Unchanged(1));
    assert_eq!(cache.entry("a").and_compute_with(|_| Op::Remove), CompResult::Removed(1));
    assert_eq!(cache.entry("a").and_compute_with(|_| Op::Remove), CompResult::StillNone);
    assert_eq!(*cache.entry("a").or_try_insert_with(|| Err(Other)).unwrap_err(), Other);
    let entry = cache.entry("a").or_try_insert_with(|| Ok::<_, Other>(7)).unwrap();
    assert!(entry.is_fresh());
    assert_eq!(cache.entry("b").or_optionally_insert_with(|| None), None);
    assert_eq!(cache.entry("a").and_compute_with(|_| Op::Put(8)), CompResult::ReplacedWith(8));

    let held = cache.hold("a").unwrap();
    assert_eq!(cache.entry("b").or_insert(9).into_value(), 9, "returned, though not stored");
    let computed = cache.entry("b").and_compute_with(|_| Op::Put(9));
    assert!(matches!(computed, CompResult::NotStored(_)), "every other entry is held");
    drop(held);
}

#[test]
fn a_predicate_invalidates_at_once_and_the_sweep_removes() {
    let cache = Cache::builder().manual().support_invalidation_closures().build();
    for key in 0..100 {
        cache.insert(key, key % 2);
    }
    cache.invalidate_entries_if(|_, value| *value == 1).unwrap();
    assert_eq!((cache.get(&1), cache.get(&2)), (None, Some(0)));
    cache.insert(1, 1);
    cache.run_pending_tasks();
    assert_eq!((cache.entry_count(), cache.get(&1)), (51, Some(1)));
    let other: Cache<u32, u32> = Cache::new(10);
    assert_eq!(other.invalidate_entries_if(|_, _| true), Err(PredicateError::Unsupported));
}

#[test]
fn a_stale_value_is_returned_while_one_load_runs_elsewhere() {
    let clock = Arc::new(ManualClock::new());
    let cache: Cache<String, u32> = Cache::builder()
        .clock(Arc::clone(&clock))
        .time_to_live(Duration::from_secs(10))
        .stale_while_revalidate(Duration::from_secs(60))
        .manual()
        .build();
    cache.insert("key".to_owned(), 1);
    clock.advance(Duration::from_secs(10));
    let mut tasks = Vec::new();
    for _ in 0..3 {
        let load = |_: &String| Ok::<_, Other>(2);
        let value = cache.get_or_refresh("key", Duration::ZERO, load, |task| tasks.push(task));
        assert!(matches!(value, Ok(1)), "at once");
    }
    assert_eq!(tasks.len(), 1, "one load a key");
    tasks.pop().expect("one").run();
    assert_eq!(cache.get("key"), Some(2));

    let mut failing = None;
    assert!(cache.refresh("key", |_| Err(Other), |task| failing = Some(task)));
    assert!(!cache.refresh("key", |_| Ok::<_, Other>(3), |_| ()), "it is being loaded");
    failing.expect("it was given").run();
    assert_eq!(cache.get("key"), Some(2), "a failed load changes nothing");
    assert!(cache.refresh("key", |_| Ok::<_, Other>(3), drop));
    assert!(
        cache.refresh("key", |_| Ok::<_, Other>(4), LoadTask::run),
        "the dropped one has ended"
    );
    assert_eq!(cache.get("key"), Some(4));
    let nothing = cache.get_or_refresh("other", Duration::ZERO, |_| Err(Other), |_| ());
    assert!(matches!(nothing, Err(LoadError::TimedOut | LoadError::Abandoned)));
}
