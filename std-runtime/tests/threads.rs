//! The threads: they start, keep their cadence, and stop at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tidegate::{
    BootClock, BucketTable, Budget, CachedClock, Clock, CoarseClock, MonotonicClock, Quota, Sweep,
    SweepThread, Swept, TableSweep,
};

/// Waits until `done`, which it must be long before this gives up.
fn wait_until(done: impl Fn() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < Duration::from_secs(20), "waited in vain");
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn a_sweep_thread_returns_what_went_stale() {
    let clock = MonotonicClock::new();
    let quota = Quota::per_second(1_000).expect("a quota");
    let table = BucketTable::boxed(quota, 10_000, tidegate::random_state()).expect("a unit");
    let table = Arc::new(table.grace(Duration::ZERO));
    let plan = table.plan(quota).expect("a plan");
    for key in 0..5_000 {
        _ = table.check(&key, &plan, clock.now());
    }
    let held = table.len() as u64;
    let sweep = Box::new(TableSweep::new(Arc::clone(&table)));
    let thread =
        SweepThread::start(clock, Duration::from_millis(5), vec![sweep]).expect("a thread");
    wait_until(|| table.is_empty());
    let total = thread.stop();
    assert_eq!(total.removed, held);
    assert!(total.rounds >= 1 && total.visited >= table.slots() as u64);
}

/// Counts its steps, and is never done.
struct Endless(Arc<AtomicU64>);

impl Sweep for Endless {
    fn sweep(&mut self, _now: tidegate::Instant, _budget: Budget) -> Swept {
        self.0.fetch_add(1, Ordering::Relaxed);
        Swept { visited: 1, ..Swept::default() }
    }
}

#[test]
fn a_thread_stops_at_once_asleep_or_at_work_and_does_nothing_afterwards() {
    // Asleep, with the next round a minute away.
    let thread = SweepThread::start(MonotonicClock::new(), Duration::from_secs(60), Vec::new());
    let thread = thread.expect("a thread");
    wait_until(|| thread.totals().rounds == 1);
    let start = Instant::now();
    assert_eq!(thread.stop().rounds, 1);
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());

    // In the middle of a round that would never end; by drop this time.
    let steps = Arc::new(AtomicU64::new(0));
    let endless = Box::new(Endless(Arc::clone(&steps)));
    let thread = SweepThread::start(MonotonicClock::new(), Duration::from_secs(60), vec![endless]);
    let thread = thread.expect("a thread");
    wait_until(|| steps.load(Ordering::Relaxed) > 100);
    drop(thread);
    let after = steps.load(Ordering::Relaxed);
    std::thread::sleep(Duration::from_millis(20));
    assert_eq!(steps.load(Ordering::Relaxed), after);
}

#[test]
fn an_interval_of_zero_is_refused() {
    let sweeping = SweepThread::start(MonotonicClock::new(), Duration::ZERO, Vec::new());
    let refused = sweeping.expect_err("a thread that never rests");
    assert_eq!(refused.kind(), std::io::ErrorKind::InvalidInput);
    assert!(CachedClock::start(Duration::ZERO).is_err());
}

#[test]
fn a_panic_in_a_target_ends_the_thread_and_stop_still_returns() {
    struct Broken;
    impl Sweep for Broken {
        fn sweep(&mut self, _now: tidegate::Instant, _budget: Budget) -> Swept {
            panic!("on purpose");
        }
    }
    let thread =
        SweepThread::start(MonotonicClock::new(), Duration::from_secs(60), vec![Box::new(Broken)]);
    let thread = thread.expect("a thread");
    assert_eq!(thread.stop().rounds, 0);
}

#[test]
fn every_clock_starts_near_its_origin_and_never_goes_back() {
    let (cached, _refreshing) = CachedClock::start(Duration::from_millis(1)).expect("a thread");
    let clocks: [(&str, &dyn Clock); 4] = [
        ("monotonic", &MonotonicClock::new()),
        ("coarse", &CoarseClock::new()),
        ("boot", &BootClock::new()),
        ("cached", &cached),
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
