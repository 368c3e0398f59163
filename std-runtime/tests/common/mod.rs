//! Waiting for what another thread does.

#![allow(dead_code, reason = "each test uses its part")]

pub(crate) mod timed;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Waits until `done`, which it must be long before this gives up.
pub(crate) fn wait_until(done: impl Fn() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < Duration::from_secs(20), "waited in vain");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Ends the process if the test hangs: nothing else can be done about a deadlock.
pub(crate) fn watchdog(name: &'static str) -> impl Drop {
    struct Watched(Arc<AtomicBool>);
    impl Drop for Watched {
        fn drop(&mut self) {
            self.0.store(true, Ordering::SeqCst);
        }
    }
    let over = Arc::new(AtomicBool::new(false));
    let watched = Arc::clone(&over);
    std::thread::spawn(move || {
        let start = Instant::now();
        while !watched.load(Ordering::SeqCst) {
            std::thread::sleep(Duration::from_millis(100));
            if start.elapsed() > Duration::from_secs(1_800) {
                eprintln!("{name}: hangs");
                std::process::abort();
            }
        }
    });
    Watched(over)
}

/// A gate that a thread can be held at.
#[derive(Default)]
pub(crate) struct Gate {
    state: std::sync::Mutex<(u64, bool)>,
    changed: std::sync::Condvar,
}

impl Gate {
    pub(crate) fn new() -> Arc<Self> {
        Arc::default()
    }

    /// Waits until the gate is open.
    pub(crate) fn pass(&self) {
        let mut state = self.state.lock().unwrap();
        state.0 += 1;
        self.changed.notify_all();
        while !state.1 {
            state = self.changed.wait(state).unwrap();
        }
    }

    pub(crate) fn open(&self) {
        self.state.lock().unwrap().1 = true;
        self.changed.notify_all();
    }

    /// Waits until so many have come.
    pub(crate) fn wait_for(&self, arrivals: u64) {
        let mut state = self.state.lock().unwrap();
        while state.0 < arrivals {
            let (next, out) = self.changed.wait_timeout(state, Duration::from_secs(20)).unwrap();
            assert!(!out.timed_out(), "nobody came to the gate");
            state = next;
        }
    }
}

/// Sets a flag when it is dropped, also by a panic: threads that wait for the flag would wait for ever.
pub(crate) struct SetAtTheEnd<'a>(pub(crate) &'a AtomicBool);

impl Drop for SetAtTheEnd<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}
