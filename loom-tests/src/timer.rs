//! A timer's thread: it starts with a sleep, ends without one, and misses none in between.
//!
//! No time passes in a model: a sleep of no time ends at once, and one of an hour never does. So a wake
//! that is lost is a deadlock, and so is a thread that waits for a sleep that was cancelled.

use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use tidegate::wait::block_on;
use tidegate::{Sleep, ThreadTimer, Timer};

use crate::{Model, both, race};

/// The models of this module.
pub const MODELS: &[Model] = &[
    Model {
        name: "w01_two_sleep_while_the_thread_starts_and_ends",
        preemptions: 3,
        run: two_sleep_while_the_thread_starts_and_ends,
        outcomes: both(&["woken"]),
    },
    Model {
        name: "w02_an_earlier_sleep_comes_while_the_thread_falls_asleep",
        preemptions: 3,
        run: an_earlier_sleep_comes_while_the_thread_falls_asleep,
        outcomes: both(&["woken"]),
    },
    Model {
        name: "w03_the_last_sleep_is_cancelled_while_the_thread_falls_asleep",
        preemptions: 4,
        run: the_last_sleep_is_cancelled_while_the_thread_falls_asleep,
        outcomes: both(&["cancelled"]),
    },
    Model {
        name: "w04_a_sleep_is_cancelled_while_it_ends",
        preemptions: 3,
        run: a_sleep_is_cancelled_while_it_ends,
        outcomes: both(&["0 wakes", "1 wakes"]),
    },
    Model {
        name: "w05_a_sleep_goes_to_another_task_while_it_ends",
        preemptions: 4,
        run: a_sleep_goes_to_another_task_while_it_ends,
        outcomes: both(&["0 wakes of the first", "1 wakes of the first"]),
    },
];

const HOUR: Duration = Duration::from_secs(3_600);

/// A waker that counts.
#[derive(Default)]
struct Wakes(AtomicU32);

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

fn deed<T>(deed: impl FnOnce() -> T + 'static) -> Box<dyn FnOnce() -> T> {
    Box::new(deed)
}

fn poll(sleep: &mut Sleep, waker: &Waker) -> Poll<()> {
    sleep.as_mut().poll(&mut Context::from_waker(waker))
}

fn sleeps(timer: &ThreadTimer) -> Box<dyn FnOnce()> {
    let timer = timer.clone();
    deed(move || block_on(timer.sleep(Duration::ZERO)))
}

fn cancels(timer: &ThreadTimer, time: Duration) -> Box<dyn FnOnce()> {
    let timer = timer.clone();
    deed(move || _ = poll(&mut timer.sleep(time), Waker::noop()))
}

fn two_sleep_while_the_thread_starts_and_ends() -> String {
    let timer = ThreadTimer::new();
    race(vec![sleeps(&timer), sleeps(&timer)]);
    "woken".to_owned()
}

fn an_earlier_sleep_comes_while_the_thread_falls_asleep() -> String {
    let timer = ThreadTimer::new();
    let later = timer.clone();
    let (one, other) = (timer.clone(), timer);
    let kept = race(vec![
        deed(move || {
            let mut sleep = later.sleep(HOUR);
            assert_eq!(poll(&mut sleep, Waker::noop()), Poll::Pending);
            Some(sleep)
        }),
        deed(move || {
            block_on(one.sleep(Duration::ZERO));
            None
        }),
    ]);
    // The thread ends once nothing sleeps.
    drop((kept, other));
    "woken".to_owned()
}

fn the_last_sleep_is_cancelled_while_the_thread_falls_asleep() -> String {
    let timer = ThreadTimer::new();
    race(vec![cancels(&timer, HOUR), cancels(&timer, HOUR)]);
    "cancelled".to_owned()
}

fn a_sleep_is_cancelled_while_it_ends() -> String {
    let (timer, wakes) = (ThreadTimer::new(), Arc::new(Wakes::default()));
    let (asked, waker) = (timer.clone(), Waker::from(Arc::clone(&wakes)));
    race(vec![
        deed(move || {
            let mut sleep = asked.sleep(Duration::ZERO);
            assert_eq!(poll(&mut sleep, &waker), Poll::Pending);
        }),
        sleeps(&timer),
    ]);
    format!("{} wakes", wakes.0.load(Ordering::SeqCst))
}

fn a_sleep_goes_to_another_task_while_it_ends() -> String {
    let (timer, wakes) = (ThreadTimer::new(), Arc::new(Wakes::default()));
    let waker = Waker::from(Arc::clone(&wakes));
    race(vec![deed(move || {
        let mut sleep: Pin<&mut Sleep> = pin!(timer.sleep(Duration::ZERO));
        assert_eq!(poll(&mut sleep, &waker), Poll::Pending);
        block_on(sleep);
    })]);
    let count = wakes.0.load(Ordering::SeqCst);
    assert!(count <= 1, "it was woken twice");
    format!("{count} wakes of the first")
}
