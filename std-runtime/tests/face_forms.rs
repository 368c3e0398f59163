//! The forms in which the face's calls can be written: types that are named or inferred, borrowed keys, clocks, unwinding.

use std::panic::catch_unwind;
use std::sync::Arc;

use tidegate::{
    Cache, ExactRateLimiter, Failure, LoadError, Quota, QuotaError, RateLimiter, RemovalCause,
    SeededState, SingleFlight, lockfree, wait,
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
