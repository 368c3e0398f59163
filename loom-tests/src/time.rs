//! The monotone clock.

use std::sync::Arc;
use std::time::Duration;

use loom::sync::atomic::{AtomicU64, Ordering};
use tidegate_core::{Clock, Instant, ManualClock, Monotone};

use crate::{Model, both, race};

/// The models of this module.
pub const MODELS: &[Model] = &[
    Model {
        name: "t01_monotone_clock_read_by_two",
        preemptions: 3,
        run: monotone_clock_read_by_two,
        outcomes: both(&["3 then 3", "5 then 3", "5 then 5", "7 then 3", "7 then 7"]),
    },
    Model {
        name: "t02_manual_clock_is_advanced_by_two",
        preemptions: 3,
        run: manual_clock_is_advanced_by_two,
        outcomes: both(&["20"]),
    },
];

/// One thread reads and tells the other, which sets the source back and reads: never less.
fn monotone_clock_read_by_two() -> String {
    let source = Arc::new(AtomicU64::new(5));
    let set = Arc::clone(&source);
    let first = Arc::new(Monotone::new(Source(source)));
    let (second, told) = (Arc::clone(&first), Arc::new(AtomicU64::new(0)));
    let tell = Arc::clone(&told);
    let seen = race(vec![
        Box::new(move || {
            let now = first.now().as_nanos();
            tell.store(now, Ordering::Release);
            now
        }),
        Box::new(move || {
            set.store(7, Ordering::Relaxed);
            let told = told.load(Ordering::Acquire);
            set.store(3, Ordering::Relaxed);
            let now = second.now().as_nanos();
            assert!(now >= told, "the clock went back from {told} to {now}");
            now
        }),
    ]);
    format!("{} then {}", seen[0], seen[1])
}

/// No step is lost.
fn manual_clock_is_advanced_by_two() -> String {
    let clock = Arc::new(ManualClock::new());
    clock.set(Instant::from_nanos(10));
    let advance = || -> Box<dyn FnOnce()> {
        let clock = Arc::clone(&clock);
        Box::new(move || clock.advance(Duration::from_nanos(5)))
    };
    race(vec![advance(), advance()]);
    clock.now().as_nanos().to_string()
}

/// A clock that somebody else sets.
struct Source(Arc<AtomicU64>);

impl Clock for Source {
    fn now(&self) -> Instant {
        Instant::from_nanos(self.0.load(Ordering::Relaxed))
    }
}
