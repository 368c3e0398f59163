//! Freeing what was retired, in steps.

use alloc::sync::Arc;
use core::cell::UnsafeCell;

use crossbeam_epoch as epoch;

use super::domain::Inner;
use crate::sweep::Budget;
use crate::sync::{AtomicUsize, Ordering, Witness};

/// How far collecting has come. One thread at a time goes on with it; others find it claimed and
/// leave, so a thread that stops there stops the freeing, and nothing else.
pub(super) struct Stage {
    claimed: AtomicUsize,
    batch: UnsafeCell<Batch>,
    witness: Witness,
}

/// What was taken together, and waits for one grace period.
struct Batch {
    /// Numbers the batches.
    number: usize,
    waiting: bool,
    /// Steps since it was taken.
    steps: usize,
    /// The last batch whose grace period is over.
    ripened: Arc<AtomicUsize>,
}

// SAFETY: `batch` is used under the claim only.
unsafe impl Send for Stage {}
// SAFETY: as above.
unsafe impl Sync for Stage {}

impl Stage {
    pub(super) fn new() -> Self {
        let batch =
            Batch { number: 0, waiting: false, steps: 0, ripened: Arc::new(AtomicUsize::new(0)) };
        Self {
            claimed: AtomicUsize::new(0),
            batch: UnsafeCell::new(batch),
            witness: Witness::new(),
        }
    }

    fn claim(&self) -> Option<Claim<'_>> {
        // Acquire: pairs with the end of the claim before.
        self.claimed.compare_exchange(0, 1, Ordering::Acquire, Ordering::Relaxed).ok()?;
        self.witness.write();
        Some(Claim(self))
    }
}

/// The right to go on. Given back also if a destructor panics.
struct Claim<'a>(&'a Stage);

impl Claim<'_> {
    fn batch(&mut self) -> &mut Batch {
        // SAFETY: ours while the claim lasts.
        unsafe { &mut *self.0.batch.get() }
    }
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        // Release, beyond loom: pairs with the next claim. A step that ends with crossbeam's fence would
        // do without.
        self.0.claimed.store(0, Ordering::Release);
    }
}

/// So many steps a batch may wait before the guards that stay are asked back. Three are enough if
/// none is in the way.
const PATIENCE: usize = if cfg!(loom) { 2 } else { 4 };

impl Inner {
    /// Takes back the guards that stay with workers which are not pinned. The caller holds the claim.
    fn take_back(&self) {
        let Some(barrier) = self.barrier else {
            return;
        };
        // Of all, not of any: each must be asked.
        if self.posts.iter().filter(|post| post.ask_back()).count() > 0 {
            barrier();
        }
        for post in self.posts.iter() {
            // SAFETY: the claim is held, and the barrier passed now, or when it was asked for.
            unsafe { post.take_back() };
        }
    }

    /// One step: see [`Worker::collect`](super::Worker::collect).
    pub(super) fn collect(&self, pin: &epoch::Guard, budget: Budget) -> usize {
        let Some(mut claim) = self.stage.claim() else {
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
                // SAFETY: we hold the claim.
                if !unsafe { record.free_one(count) } {
                    break;
                }
                freed += 1;
            }
        }
        // Everything ripe is freed.
        let batch = claim.batch();
        // Acquire, beyond loom: pairs with the deferred function, and through it with the last of the
        // readers. Mostly that runs under the claim, which orders the same; but a worker that pins for
        // the 128th time, or ends, may run it, too.
        if batch.waiting && batch.ripened.load(Ordering::Acquire) == batch.number {
            batch.waiting = false;
            for record in self.limbos.iter() {
                // SAFETY: we hold the claim, the grace period is over and nothing is ripe.
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
                // SAFETY: we hold the claim and nothing is waiting.
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
