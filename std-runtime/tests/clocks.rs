//! The clocks: they start near their origin, never go back, and stand still once nobody refreshes them.

mod common;

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use common::wait_until;
use tidegate::clock::{Refusal, TimeSource};
use tidegate::{BootClock, CachedClock, Clock, CoarseClock, CounterClock, MonotonicClock};

#[test]
fn an_interval_of_zero_is_refused() {
    let refused = CachedClock::start(Duration::ZERO).expect_err("a thread that never rests");
    assert_eq!(refused.kind(), std::io::ErrorKind::InvalidInput);
}

#[test]
fn every_clock_starts_near_its_origin_and_never_goes_back() {
    let (cached, _refreshing) = CachedClock::start(Duration::from_millis(1)).expect("a thread");
    let clocks: [(&str, &dyn Clock); 6] = [
        ("monotonic", &MonotonicClock::new()),
        ("counter", &CounterClock::new()),
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

/// Reads the clock until its counter is in use, or refused.
fn settle(clock: CounterClock) -> TimeSource {
    wait_until(|| clock.source() != TimeSource::Kernel(Refusal::Uncalibrated));
    clock.source()
}

#[test]
fn the_counter_is_used_where_the_kernel_uses_it() {
    let source = settle(CounterClock::new());
    let file = "/sys/devices/system/clocksource/clocksource0/current_clocksource";
    let current = std::fs::read_to_string(file).unwrap_or_default();
    let is_supported =
        cfg!(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64")));
    match source {
        TimeSource::Kernel(Refusal::Unsupported) => assert!(!is_supported),
        TimeSource::Kernel(Refusal::NoSys) => assert_eq!(current, ""),
        TimeSource::Kernel(Refusal::Clocksource(name)) => assert_eq!(name.as_str(), current.trim()),
        _ => assert!(["tsc", "arch_sys_counter"].contains(&current.trim()), "{source}: {current}"),
    }
}

#[test]
fn a_reading_is_within_a_millisecond_of_the_kernels() {
    // The origin of the second is between those of the others.
    let clocks = (MonotonicClock::new(), CounterClock::new(), MonotonicClock::new());
    settle(clocks.1);
    for _ in 0..200_000 {
        let before = clocks.2.now();
        let now = clocks.1.now();
        let after = clocks.0.now();
        assert!(now + Duration::from_millis(1) >= before, "{now} after {before}");
        assert!(now <= after + Duration::from_millis(1), "{now} before {after}");
    }
}

#[test]
fn threads_differ_by_less_than_the_grace_of_a_table() {
    let clock = CounterClock::new();
    settle(clock);
    let latest = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..200_000 {
                    let before = latest.load(Ordering::SeqCst);
                    let now = clock.now().as_nanos();
                    assert!(now + 2_000_000 >= before, "{now} after {before}");
                    latest.fetch_max(now, Ordering::SeqCst);
                }
            });
        }
    });
}
