//! What a process that is idle afterwards keeps of the values that were removed. One test, for the threads of others would
//! hold garbage back, or free it.

use std::sync::Arc;
use std::time::Duration;

use tidegate::{Cache, Map, Registry, SingleFlight};

use self::common::wait_until;

mod common;

const HOUR: Duration = Duration::from_secs(3_600);

/// Asserts that nothing but the caller holds the value after a while in which nothing else happens.
fn goes(value: &Arc<u32>) {
    wait_until(|| Arc::strong_count(value) == 1);
}

#[test]
fn removed_values_of_an_idle_process_are_dropped() {
    let value = Arc::new(7);
    let mine = || Arc::clone(&value);

    let cache = Cache::builder().manual().build();
    cache.insert(1, mine());
    cache.invalidate(&1);
    cache.insert(2, mine());
    cache.run_pending_tasks();
    assert_eq!(Arc::strong_count(&value), 2, "the value in the cache, and ours");
    drop(cache);
    assert_eq!(Arc::strong_count(&value), 1);

    for manual in [false, true] {
        let cache = Cache::builder().time_to_live(HOUR);
        let cache = if manual { cache.manual() } else { cache }.build();
        cache.insert(1, mine());
        cache.invalidate(&1);
        cache.get_with(2, mine);
        drop(cache);
        goes(&value);
    }

    let map = Map::new();
    map.insert(1, mine());
    map.remove(&1);
    map.insert(2, mine());
    drop(map);
    goes(&value);

    let registry: Registry<u32, Arc<u32>> = Registry::new();
    drop(registry.services().advertise(1, mine()).unwrap());
    registry.services().withdraw_any(&1);
    drop(registry);
    goes(&value);

    let flights: SingleFlight<u32, Arc<u32>, ()> = SingleFlight::new();
    drop(flights.run(&1, || Ok(mine())));
    drop(flights);
    goes(&value);

    // A structure within a value of another.
    let outer = Cache::builder().manual().build();
    let inner = Cache::builder().manual().build();
    inner.insert(1, mine());
    inner.invalidate(&1);
    outer.insert(1, inner);
    drop(outer);
    goes(&value);
}
