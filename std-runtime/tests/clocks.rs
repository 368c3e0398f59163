//! The clocks: they start near their origin, never go back, and stand still once nobody refreshes them.

mod common;

use std::time::Duration;

use common::wait_until;
use tidegate::{BootClock, CachedClock, Clock, CoarseClock, MonotonicClock};

#[test]
fn an_interval_of_zero_is_refused() {
    let refused = CachedClock::start(Duration::ZERO).expect_err("a thread that never rests");
    assert_eq!(refused.kind(), std::io::ErrorKind::InvalidInput);
}

#[test]
fn every_clock_starts_near_its_origin_and_never_goes_back() {
    let (cached, _refreshing) = CachedClock::start(Duration::from_millis(1)).expect("a thread");
    let clocks: [(&str, &dyn Clock); 5] = [
        ("monotonic", &MonotonicClock::new()),
        ("coarse", &CoarseClock::new()),
        ("boot", &BootClock::new()),
        ("cached", &cached),
        ("the process's", &tidegate::clock()),
    ];
    for (name, clock) in clocks {
        let first = clock.now();
        assert!(first < tidegate::Instant::from_secs(60), "{name} starts at {first}");
        let mut last = first;
        wait_until(|| clock.now() > first + Duration::from_millis(20));
        for _ in 0..100_000 {
            let now = clock.now();
            assert!(now >= last, "{name} went back from {last} to {now}");
            last = now;
        }
    }
}

#[test]
fn a_cached_clock_stands_still_once_nobody_refreshes_it() {
    let (clock, refreshing) = CachedClock::start(Duration::from_millis(1)).expect("a thread");
    let first = clock.now();
    wait_until(|| clock.now() > first);
    drop(refreshing);
    let last = clock.now();
    std::thread::sleep(Duration::from_millis(10));
    assert_eq!(clock.now(), last);
    clock.refresh();
    assert!(clock.now() > last);
}
