//! The timer with a thread of its own.

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

use tidegate::{ThreadTimer, Timer, caught_panics, wait};

fn millis(time: u64) -> Duration {
    Duration::from_millis(time)
}

/// How many threads of this process are a timer's.
#[cfg(target_os = "linux")]
fn threads() -> usize {
    let names = std::fs::read_dir("/proc/self/task").unwrap().filter_map(|task| {
        // A thread may end while they are listed.
        std::fs::read_to_string(task.ok()?.path().join("comm")).ok()
    });
    names.filter(|name| name.trim_end() == "tidegate timer").count()
}

#[test]
fn a_thousand_sleeps_end_in_time_and_others_are_cancelled() {
    let _watchdog = common::watchdog("a_thousand_sleeps");
    let timer = ThreadTimer::new();
    let late: Vec<Duration> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8)
            .map(|thread| {
                let timer = &timer;
                scope.spawn(move || {
                    let mut random = fastrand::Rng::with_seed(thread);
                    let mut late = Vec::new();
                    for _ in 0..125 {
                        let (time, start) =
                            (Duration::from_micros(random.u64(..3_000)), Instant::now());
                        if random.u8(..4) == 0 {
                            _ = wait::block_for(timer.sleep(millis(1_000)), time);
                            continue;
                        }
                        wait::block_on(timer.sleep(time));
                        let slept = start.elapsed();
                        assert!(slept >= time, "early");
                        late.push(slept - time);
                    }
                    late
                })
            })
            .collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    assert!(late.len() > 600);
    // Those that were cancelled have gone.
    assert_eq!(format!("{timer:?}"), "ThreadTimer { sleeps: 0 }");
}

/// A waker that counts, and panics.
struct Bomb(AtomicU64);

impl Wake for Bomb {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
        panic!("on purpose");
    }
}

#[test]
fn a_waker_that_panics_keeps_no_other_from_being_woken() {
    let (timer, before) = (ThreadTimer::new(), caught_panics());
    let bomb = Arc::new(Bomb(AtomicU64::new(0)));
    let waker = Waker::from(Arc::clone(&bomb));
    let mut sleeps: Vec<_> = (0..10).map(|_| timer.sleep(millis(5))).collect();
    for sleep in &mut sleeps {
        assert!(sleep.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    }
    wait::block_on(timer.sleep(millis(10)));
    assert_eq!(bomb.0.load(Ordering::SeqCst), 10);
    assert!(caught_panics() >= before + 10);
    for sleep in &mut sleeps {
        assert_eq!(sleep.as_mut().poll(&mut Context::from_waker(Waker::noop())), Poll::Ready(()));
    }
}

#[test]
fn a_sleep_wakes_the_task_that_polled_it_last() {
    struct Count(AtomicU64);
    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }
    let timer = ThreadTimer::new();
    let counts = [(); 2].map(|()| Arc::new(Count(AtomicU64::new(0))));
    let mut sleep = timer.sleep(millis(20));
    for count in &counts {
        let waker = Waker::from(Arc::clone(count));
        assert!(sleep.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    }
    wait::block_on(timer.sleep(millis(30)));
    assert_eq!(counts.each_ref().map(|count| count.0.load(Ordering::SeqCst)), [0, 1]);
}

#[test]
fn an_earlier_sleep_does_not_wait_for_a_later_one() {
    let timer = ThreadTimer::new();
    let mut later = timer.sleep(Duration::from_secs(3_600));
    assert!(later.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    // The thread waits for an hour by now.
    std::thread::sleep(millis(20));
    let start = Instant::now();
    wait::block_on(timer.sleep(millis(1)));
    assert!(start.elapsed() < Duration::from_secs(60));
    assert_eq!(format!("{timer:?}"), "ThreadTimer { sleeps: 1 }");
}

#[cfg(target_os = "linux")]
#[test]
fn the_thread_ends_after_the_last_sleep_and_another_starts_with_the_next() {
    let _watchdog = common::watchdog("the_thread_ends");
    let timer = ThreadTimer::new();
    for _ in 0..2 {
        wait::block_on(timer.sleep(millis(1)));
        assert!(threads() >= 1);
        // Those of the other tests end, too.
        common::wait_until(|| threads() == 0);
    }
}
