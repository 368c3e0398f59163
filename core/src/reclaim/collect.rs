//! Freeing what was retired, in steps.

use alloc::sync::Arc;

use crossbeam_epoch as epoch;

use super::domain::Inner;
use crate::sweep::Budget;
use crate::sync::{AtomicUsize, Ordering};

/// What was taken together, and waits for one grace period. One thread at a time goes on with it;
/// others find it locked and leave, so a thread that stops there stops the freeing, and nothing else.
pub(super) struct Batch {
    /// Numbers the batches.
    number: usize,
    waiting: bool,
    /// Steps since it was taken.
    steps: usize,
    /// The last batch whose grace period is over.
    ripened: Arc<AtomicUsize>,
}

impl Batch {
    pub(super) fn new() -> Self {
        Self { number: 0, waiting: false, steps: 0, ripened: Arc::new(AtomicUsize::new(0)) }
    }
}

/// So many steps a batch may wait before the guards that stay are asked back. Three are enough if
/// none is in the way.
const PATIENCE: usize = if cfg!(loom) { 2 } else { 4 };

impl Inner {
    /// Takes back the guards that stay with workers which are not pinned. The caller holds the lock.
    fn take_back(&self) {
        let Some(barrier) = self.barrier else {
            return;
        };
        // Of all, not of any: each must be asked.
        if self.posts.iter().filter(|post| post.ask_back()).count() > 0 {
            barrier();
        }
        for post in self.posts.iter() {
            // SAFETY: the lock is held, and the barrier passed now, or when it was asked for.
            unsafe { post.take_back() };
        }
    }

    /// One step: see [`Worker::collect`](super::Worker::collect).
    pub(super) fn collect(&self, pin: &epoch::Guard, budget: Budget) -> usize {
        let Some(mut batch) = self.batch.try_lock() else {
            return 0;
        };
        let mut freed = 0;
        for record in self.limbos.iter() {
            loop {
                if freed == budget.get() {
                    return freed;
                }
                let count = || {
                    // Relaxed: a count.
                    self.freed.fetch_add(1, Ordering::Relaxed);
                    self.give_back(1);
                };
                // SAFETY: we hold the lock.
                if !unsafe { record.free_one(count) } {
                    break;
                }
                freed += 1;
            }
        }
        // Everything ripe is freed.
        // Acquire, beyond loom: pairs with the deferred function, and through it with the last of the
        // readers. Mostly that runs under the lock, which orders the same; but a worker that pins for
        // the 128th time, or ends, may run it, too.
        if batch.waiting && batch.ripened.load(Ordering::Acquire) == batch.number {
            batch.waiting = false;
            for record in self.limbos.iter() {
                // SAFETY: we hold the lock, the grace period is over and nothing is ripe.
                unsafe { record.ripen() };
            }
        }
        if batch.waiting {
            batch.steps += 1;
            if batch.steps >= PATIENCE {
                batch.steps = 0;
                self.take_back();
            }
        } else {
            batch.steps = 0;
            for record in self.limbos.iter() {
                // SAFETY: we hold the lock and nothing is waiting.
                batch.waiting |= unsafe { record.take() };
            }
            if batch.waiting {
                batch.number = batch.number.wrapping_add(1);
                let (ripened, number) = (Arc::clone(&batch.ripened), batch.number);
                // Release, beyond loom: pairs with the load above; see there.
                let tell = move || ripened.store(number, Ordering::Release);
                // SAFETY: the function owns all it touches, and may run on any thread.
                unsafe { pin.defer_unchecked(tell) };
            }
        }
        pin.flush();
        freed
    }
}
