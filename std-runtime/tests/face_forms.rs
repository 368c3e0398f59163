//! The forms in which the face's calls can be written: types that are named or inferred, borrowed keys, clocks, unwinding.

use std::panic::catch_unwind;
use std::sync::Arc;
use std::time::Duration;

use tidegate::refresh::{Minted, Refresher};
use tidegate::{
    Cache, Clock, ExactRateLimiter, Failure, Instant, LoadError, ManualClock, Map, Quota,
    QuotaError, RateLimiter, Registry, RemovalCause, Runtime, Schedule, SeededState, SingleFlight,
    Swept, lockfree, wait,
};

#[test]
fn async_loads_take_borrowed_keys() {
    let cache: Cache<String, u32> = Cache::builder().manual().build();
    assert_eq!(wait::block_on(cache.get_with_by_ref_async("a", async { 1 })), 1);
    let loaded = cache.try_get_with_by_ref_async("b", async { Ok::<_, String>(2) });
    assert_eq!(wait::block_on(loaded), Ok(2));
    let failed = cache.try_get_with_by_ref_async("c", async { Err::<u32, _>(7_u8) });
    assert_eq!(wait::block_on(failed), Err(Arc::new(7)));
    let found = cache.optionally_get_with_by_ref_async("d", async { Some(4) });
    assert_eq!(wait::block_on(found), Some(4));
    let found = cache.optionally_get_with_by_ref_async("e", async { None });
    assert_eq!(wait::block_on(found), None);
    assert_eq!((cache.get("a"), cache.get("b"), cache.get("d")), (Some(1), Some(2), Some(4)));
    assert_eq!(cache.entry_count(), 3);

    let flights: SingleFlight<String, u32, String> = SingleFlight::new();
    assert_eq!(wait::block_on(flights.run_async("a", async { Ok(1) })), Ok(1));
}

#[test]
fn futures_of_loads_by_borrowed_keys_are_send() {
    fn send<T: Send>(future: T) -> T {
        future
    }
    let cache: Cache<String, u32> = Cache::builder().manual().build();
    assert_eq!(wait::block_on(send(cache.get_with_by_ref_async("a", async { 1 }))), 1);
}

#[test]
fn the_type_of_the_engines_cache_can_be_named() {
    type Engine = lockfree::Cache<String, u32, LoadError<Failure>, SeededState>;
    fn entries(engine: &Engine) -> u64 {
        engine.usage().entries
    }
    let cache: Cache<String, u32> = Cache::builder().manual().build();
    cache.insert("a".to_owned(), 1);
    assert_eq!(entries(cache.lockfree()), 1);
}

#[test]
fn causes_tell_what_the_cache_removed_by_itself() {
    use RemovalCause::{Expired, Explicit, Pressure, Replaced, Size};
    let evicted = [Expired, Explicit, Replaced, Size, Pressure].map(RemovalCause::was_evicted);
    assert_eq!(evicted, [true, false, false, true, true]);
}

#[test]
fn builders_of_limiters_infer_the_key() {
    let quota = Quota::per_second(1).unwrap();
    let exact: ExactRateLimiter<String> =
        ExactRateLimiter::builder(quota).max_keys(10).manual().build().unwrap();
    let shared: RateLimiter<str> = RateLimiter::builder(quota).keys(10).build().unwrap();
    assert!(exact.check("a").is_admitted() && shared.check("a").is_admitted());
}

#[test]
fn limiters_can_be_used_across_a_caught_panic() {
    let quota = Quota::per_second(1).unwrap();
    let exact = ExactRateLimiter::<String>::builder(quota).manual().build().unwrap();
    let shared = RateLimiter::<str>::new(quota, 10).unwrap();
    assert!(catch_unwind(|| exact.check("a").is_admitted()).unwrap());
    assert!(catch_unwind(|| shared.check("a").is_admitted()).unwrap());
}

#[test]
fn a_limiter_of_more_keys_than_memory_is_refused() {
    let quota = Quota::per_second(1).unwrap();
    for keys in [usize::MAX, usize::MAX / 2, 1 << 50] {
        let refused = RateLimiter::<str>::new(quota, keys).unwrap_err();
        assert_eq!(refused, QuotaError::TooManyKeys { keys });
        assert!(refused.to_string().starts_with("keys: "), "{refused}");
    }
}

#[test]
fn every_swept_structure_gives_its_sweep_a_name() {
    let runtime = Runtime::builder().build().unwrap();
    let quota = Quota::per_second(1).unwrap();
    let minute = Duration::from_secs(60);
    let cache: Cache<u32, u32> = Cache::builder().name("pages").runtime(&runtime).build();
    let exact: ExactRateLimiter<u32> =
        ExactRateLimiter::builder(quota).name("clients").runtime(&runtime).build().unwrap();
    let map: Map<u32, u32> = Map::builder()
        .name("sessions")
        .sweep(minute, |_, _| true)
        .runtime(&runtime)
        .build()
        .unwrap();
    let registry: Registry<u32, u32> =
        Registry::builder().name("services").runtime(&runtime).build();
    let names = |runtime: &Runtime| {
        let handles = runtime.sweep_handles();
        handles.iter().map(|handle| handle.name().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(names(&runtime), ["pages", "clients", "sessions", "services"]);
    assert_eq!(cache.name(), Some("pages"));
    drop((cache, exact, map, registry));
    assert_eq!(names(&runtime), [""; 0]);
}

#[test]
fn a_structure_is_swept_though_its_name_is_taken() {
    let clock = Arc::new(ManualClock::new());
    let runtime = Runtime::builder().build().unwrap();
    let hourly = Schedule::every(Duration::from_secs(3_600)).unwrap();
    let step = |_, _| Ok::<_, String>(Swept { wrapped: true, ..Swept::default() });
    let mut taken = vec![runtime.task("pages", hourly, step).unwrap()];
    for number in 1..100 {
        taken.push(runtime.task(&format!("cache {number}"), hourly, step).unwrap());
    }
    let ttl = Duration::from_secs(1);
    let swept = |name: Option<&str>| {
        let cache = Cache::builder().time_to_live(ttl).clock(Arc::clone(&clock)).runtime(&runtime);
        let cache = name.into_iter().fold(cache, |cache, name| cache.name(name)).build();
        cache.insert(1, 1);
        cache
    };
    // The last name cannot be a target's.
    let caches = [swept(Some("pages")), swept(Some("pages")), swept(None), swept(Some(""))];
    assert_eq!(runtime.sweep_handles().len(), taken.len() + caches.len());
    clock.advance(ttl);
    for handle in runtime.sweep_handles() {
        handle.trigger().unwrap();
    }
    assert_eq!(caches.map(|cache| cache.entry_count()), [0; 4]);
}

#[test]
fn a_map_that_is_manual_leaves_its_entries_to_retain() {
    let sweep = |_: &u32, value: &u32| *value == 1;
    let map: Map<u32, u32> =
        Map::builder().sweep(Duration::from_millis(1), sweep).manual().build().unwrap();
    map.insert(1, 1);
    std::thread::sleep(Duration::from_millis(20));
    assert_eq!(map.len(), 1);
    map.retain(|_, value| *value != 1);
    assert_eq!(map.len(), 0);
}

#[test]
fn builders_take_clocks_by_value_and_shared() {
    let start = ManualClock::new();
    start.advance(Duration::from_secs(7));
    let runtime = Runtime::builder().clock(start).build().unwrap();
    assert_eq!(runtime.clock().now(), Instant::from_secs(7));

    let shared: Arc<dyn Clock + Send + Sync> = Arc::new(ManualClock::new());
    let named = || Runtime::builder().name("with a shared clock").clock(Arc::clone(&shared));
    let (one, same) = (named().shared().unwrap(), named().shared().unwrap());
    assert!(one.is(&same) && Arc::ptr_eq(&one.clock(), &shared));

    let clock = Arc::new(ManualClock::new());
    let mint = || Ok::<_, String>(Minted { value: 7, ttl: Duration::from_secs(60).into() });
    let token = Refresher::builder(mint).clock(Arc::clone(&clock)).build().unwrap();
    clock.advance(Duration::from_secs(61));
    assert_eq!((token.status().renewed, token.get().map(|token| *token)), (1, Ok(7)));
    assert_eq!(token.status().renewed, 2);
}
