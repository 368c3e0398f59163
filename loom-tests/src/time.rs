//! The monotone clock.

use std::sync::Arc;

use loom::sync::atomic::{AtomicU64, Ordering};
use tidegate_core::{Clock, Instant, Monotone};

use crate::{Model, both, race};

/// The models of this module.
pub const MODELS: &[Model] = &[Model {
    name: "monotone_clock_read_by_two",
    preemptions: 3,
    run: monotone_clock_read_by_two,
    outcomes: both(&["3 then 3", "5 then 3", "5 then 5", "7 then 3", "7 then 7"]),
}];

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

/// A clock that somebody else sets.
struct Source(Arc<AtomicU64>);

impl Clock for Source {
    fn now(&self) -> Instant {
        Instant::from_nanos(self.0.load(Ordering::Relaxed))
    }
}
