//! A machine that is suspended: CLOCK_MONOTONIC stands still, and CLOCK_BOOTTIME goes on.
//!
//! No test can suspend the machine. This program has a `clock_gettime` of its own instead, which the
//! linker prefers to the C library's; it adds the time of the suspend to CLOCK_BOOTTIME. The processor's
//! counter stands still in such a suspend.

#![cfg(all(target_os = "linux", target_env = "gnu"))]

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Duration;

use tidegate::clock::{Refusal, TimeSource};
use tidegate::lockfree::Cache;
use tidegate::refresh::{Minted, Refresher};
use tidegate::{
    BootClock, CachedClock, Clock, CoarseClock, CounterClock, GetOrLoad, Instant, LoadError,
    MonotonicClock, clock, domain, random_state,
};

/// How long the machine has been suspended, in seconds.
static SUSPENDED: AtomicI64 = AtomicI64::new(0);
/// Whether the system refuses CLOCK_BOOTTIME.
static REFUSES: AtomicBool = AtomicBool::new(false);
/// One test at a time.
static MACHINE: Mutex<()> = Mutex::new(());

/// Reads a clock as the C library's does.
#[unsafe(no_mangle)]
extern "C" fn clock_gettime(id: libc::clockid_t, time: *mut libc::timespec) -> libc::c_int {
    let is_boot = id == libc::CLOCK_BOOTTIME;
    if is_boot && REFUSES.load(Ordering::SeqCst) {
        return -1;
    }
    // SAFETY: the arguments are those of the call, whose caller promises that `time` can be written.
    let result = unsafe { libc::syscall(libc::SYS_clock_gettime, id, time) };
    if is_boot && result == 0 {
        // SAFETY: the system has just written there.
        unsafe { (*time).tv_sec += SUSPENDED.load(Ordering::SeqCst) };
    }
    result as libc::c_int
}

/// Suspends the machine, and returns when every thread has to ask the kernel again.
fn suspend(secs: i64) {
    SUSPENDED.fetch_add(secs, Ordering::SeqCst);
    std::thread::sleep(Duration::from_millis(5));
}

/// Reads clocks until their counters are in use, or refused.
fn settle() {
    let (boot, counter) = (BootClock::new(), CounterClock::new());
    let start = std::time::Instant::now();
    while [boot.source(), counter.source()].contains(&TimeSource::Kernel(Refusal::Uncalibrated)) {
        assert!(start.elapsed() < Duration::from_secs(20), "never calibrated");
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn only_clocks_of_the_world_go_on_while_the_machine_is_suspended() {
    let _machine = MACHINE.lock().unwrap();
    show_a_suspend();
    settle();
    show_a_suspend();
}

fn show_a_suspend() {
    let (boot, process, counter) = (BootClock::new(), clock(), CounterClock::new());
    let (monotonic, coarse) = (MonotonicClock::new(), CoarseClock::new());
    let (cached, _refreshing) = CachedClock::start(Duration::from_secs(3_600)).expect("a thread");
    let clocks: [(&dyn Clock, bool); 6] = [
        (&boot, true),
        (&process, true),
        (&cached, true),
        (&counter, false),
        (&monotonic, false),
        (&coarse, false),
    ];
    let before = clocks.map(|(clock, _)| clock.now());
    suspend(1_000);
    cached.refresh();
    for ((clock, goes_on), before) in clocks.into_iter().zip(before) {
        let went = clock.now().since(before);
        assert_eq!(went >= Duration::from_secs(1_000), goes_on, "{went:?}");
    }
    // Its times are those of the process's clock.
    assert!(clock().now().since(cached.now()) < Duration::from_secs(60));
}

/// E2: a token of two seconds was handed out at the age of five.
#[test]
fn e2_a_token_or_a_cached_value_that_ended_while_suspended_is_not_handed_out() {
    let _machine = MACHINE.lock().unwrap();
    let made = std::sync::atomic::AtomicU64::new(0);
    let token = Refresher::builder(move || {
        let value = made.fetch_add(1, Ordering::SeqCst);
        Ok::<_, String>(Minted { value, ttl: Duration::from_secs(600).into() })
    });
    let token = token.build().expect("a token");
    let pages: Cache<u32, u32, LoadError<String>> = Cache::builder(domain(), random_state())
        .max_entries(100)
        .time_to_live(Duration::from_secs(600))
        .build()
        .expect("memory");
    assert_eq!(pages.get_or_load(&1, |_| Ok(10), &clock()), Ok(10));
    assert_eq!((token.get().as_deref(), token.current().as_deref()), (Ok(&0), Some(&0)));
    suspend(601);
    assert_eq!(token.current(), None);
    assert_eq!(token.get().as_deref(), Ok(&1));
    assert_eq!(pages.get_or_load(&1, |_| Ok(11), &clock()), Ok(11));
}

/// A sandbox may refuse the clock, from the start or later.
#[test]
fn where_the_clock_is_refused_the_monotonic_one_stands_in() {
    let _machine = MACHINE.lock().unwrap();
    let known = BootClock::new();
    REFUSES.store(true, Ordering::SeqCst);
    let refused = BootClock::new();
    for clock in [known, refused] {
        let first = clock.now();
        assert!(first < Instant::from_secs(60), "{first}");
        std::thread::sleep(Duration::from_millis(2));
        assert!(clock.now() >= first + Duration::from_millis(2));
    }
    REFUSES.store(false, Ordering::SeqCst);
}

/// A counter that stands still while the machine is suspended gives nothing away. An anchor ends.
#[test]
fn a_clock_whose_counter_is_in_use_shows_every_suspend() {
    let _machine = MACHINE.lock().unwrap();
    let clock = BootClock::new();
    // A clock whose counter was off does not stay with the kernel for good.
    for _ in 0..2 {
        settle();
        let before = clock.now();
        suspend(100);
        let went = clock.now().since(before);
        assert!(went >= Duration::from_secs(100), "{went:?}");
        assert!(went < Duration::from_secs(160), "{went:?}");
    }
}
