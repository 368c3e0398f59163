//! The process domain: pins that cost next to nothing, and memory that comes back all the same.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant as Timer};

use tidegate::lockfree::Map;
use tidegate::{Budget, Instant, domain, pin, random_state};

/// The tests share the domain, and each waits for all of its garbage to be freed.
static ALONE: Mutex<()> = Mutex::new(());

/// A value that says so when it is read after it was dropped.
struct Poisoned(AtomicU64);

const ALIVE: u64 = 0x11fe;

impl Poisoned {
    fn new() -> Self {
        Self(AtomicU64::new(ALIVE))
    }

    fn read(&self) {
        assert_eq!(self.0.load(Ordering::Relaxed), ALIVE, "read after it was freed");
    }
}

impl Drop for Poisoned {
    fn drop(&mut self) {
        self.0.store(0xdead, Ordering::Relaxed);
    }
}

/// Collects, at times that go on, until all garbage is freed.
fn drain(mut between: impl FnMut()) {
    let mut worker = domain().worker();
    let limit = Timer::now() + Duration::from_secs(20);
    let mut now = Instant::from_secs(1);
    while domain().gauges(now).garbage() > 0 {
        worker.collect(now, Budget::UNLIMITED);
        now = now + Duration::from_nanos(1);
        between();
        assert!(Timer::now() < limit, "held back: {:?}", domain().gauges(now));
    }
}

#[test]
fn a_worker_that_pinned_once_and_then_loops_holds_nothing_back() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let map = Map::with(domain(), random_state());
    let mut worker = domain().worker();
    drop(worker.pin());
    drop(worker.pin());
    for key in 0..100 {
        map.insert(key, key, worker.quiescent(Instant::from_secs(1))).unwrap();
        map.remove(&key, worker.quiescent(Instant::from_secs(1))).unwrap();
    }
    // It is never without a guard, and its guard that stayed is not the one it uses.
    drain(|| _ = worker.quiescent(Instant::from_secs(1)));
}

#[test]
fn threads_that_pin_all_the_time_hold_nothing_back() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let map = Arc::new(Map::with(domain(), random_state()));
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    assert_eq!(map.get(&1, &pin()), None);
                }
            });
        }
        for key in 100..1_100 {
            map.insert(key, key, &pin()).unwrap();
            map.remove(&key, &pin()).unwrap();
        }
        drain(std::thread::yield_now);
        over.store(true, Ordering::Relaxed);
    });
}

#[test]
fn nothing_is_freed_under_a_pin_while_guards_are_taken_back() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let map = Arc::new(Map::with(domain(), random_state()));
    for key in 0..64_u64 {
        assert!(map.insert(key, Poisoned::new(), &pin()).is_ok());
    }
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for thread in 0..2_u64 {
            let (map, over) = (&map, &over);
            scope.spawn(move || {
                for step in 0_u64.. {
                    let guard = pin();
                    let key = (step.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) % 64;
                    let found = map.get(&key, &guard);
                    // Held now and then, so that the collector finds guards in its way.
                    for _ in 0..(step + thread) % 97 {
                        std::hint::spin_loop();
                    }
                    if step % 1_000 == 0 {
                        std::thread::sleep(Duration::from_micros(200));
                    }
                    if let Some(value) = found {
                        value.read();
                    }
                    if over.load(Ordering::Relaxed) {
                        break;
                    }
                }
            });
        }
        let mut worker = domain().worker();
        let end = Timer::now() + Duration::from_millis(700);
        let mut step = 0_u64;
        while Timer::now() < end {
            step += 1;
            assert!(map.insert(step % 64, Poisoned::new(), &pin()).is_ok());
            // At one time for a while: then guards are not renewed, but taken back.
            worker.collect(Instant::from_nanos(step / 5_000), Budget::UNLIMITED);
        }
        over.store(true, Ordering::Relaxed);
        println!("{step} replaced, {:?}", domain().gauges(Instant::ORIGIN));
    });
    drop(map);
    drain(|| ());
}
