//! A thread that does something at every deadline of a cadence, and stops at once.

use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use tidegate_core::{Cadence, Clock, Instant};

use crate::clock::MonotonicClock;

/// A running thread. Dropping it stops the thread and waits for the step under way to end.
#[derive(Debug)]
pub(crate) struct Periodic {
    stop: Arc<Stop>,
    thread: Option<JoinHandle<()>>,
}

/// Whether a step finished the work of its deadline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Work {
    /// The next step is due at the next deadline.
    Done,
    /// The next step is due at once.
    More,
}

/// Whether to stop, and the means to wake a thread that sleeps until its next deadline.
#[derive(Debug, Default)]
struct Stop {
    asked: Mutex<bool>,
    wake: Condvar,
}

impl Periodic {
    /// Works on a thread called `name`, at once and then every `interval`: calls `step` until it
    /// says that the work is done. Deadlines are absolute; those that pass meanwhile are skipped.
    /// Between steps the thread can be stopped.
    pub(crate) fn start(
        name: &str,
        interval: Duration,
        mut step: impl FnMut() -> Work + Send + 'static,
    ) -> std::io::Result<Self> {
        if interval.is_zero() {
            let reason = "the interval is zero: the thread would never rest";
            return Err(std::io::Error::new(std::io::ErrorKind::InvalidInput, reason));
        }
        let stop = Arc::new(Stop::default());
        let asked = Arc::clone(&stop);
        let clock = MonotonicClock::new();
        let mut cadence = Cadence::new(clock.now(), interval);
        let thread = std::thread::Builder::new().name(name.to_owned()).spawn(move || {
            let mut work = Work::Done;
            loop {
                let next = if work == Work::Done { cadence.next_due() } else { Instant::ORIGIN };
                if !asked.sleep_until(next, &clock) {
                    return;
                }
                if work == Work::Done {
                    cadence.due(clock.now());
                }
                work = step();
                if work == Work::Done {
                    cadence.finish(clock.now());
                }
            }
        })?;
        Ok(Self { stop, thread: Some(thread) })
    }

    /// Stops the thread and waits for it: at most for the step under way.
    pub(crate) fn stop(&mut self) {
        *self.stop.asked.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.stop.wake.notify_all();
        if let Some(thread) = self.thread.take() {
            // A panic of the step has been reported where it happened.
            _ = thread.join();
        }
    }
}

impl Drop for Periodic {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Stop {
    /// Sleeps until `deadline`. False as soon as the thread is asked to stop.
    fn sleep_until(&self, deadline: Instant, clock: &MonotonicClock) -> bool {
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        while !*asked {
            let left = deadline.since(clock.now());
            if left.is_zero() {
                return true;
            }
            let woken = self.wake.wait_timeout(asked, left);
            asked = woken.unwrap_or_else(PoisonError::into_inner).0;
        }
        false
    }
}
