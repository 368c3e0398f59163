//! What may be left when all that was removed has been freed.

use tidegate_core::{Budget, Instant, Worker};

/// What crossbeam may keep for a while whatever the map holds: a few bags of deferred functions and
/// a participant that is gone, 2 KiB each.
pub(crate) const CROSSBEAM: usize = 12 << 10;

/// Collects all there is, and sees to it that crossbeam runs what it was told to.
pub(crate) fn drain(worker: &mut Worker, now: Instant) {
    for _ in 0..8 {
        worker.collect(now, Budget::UNLIMITED);
    }
    assert_eq!(worker.domain().gauges(now).garbage(), 0);
}

/// Collects until nothing is left that was removed. Nothing may be pinned.
pub(crate) fn free_all(worker: &mut Worker, now: Instant) {
    worker.offline(|| ());
    while worker.domain().gauges(now).garbage() > 0 {
        worker.collect(now, Budget::UNLIMITED);
    }
}
