//! Grace periods: from what was retired to what may be freed.

use alloc::sync::Arc;

use crossbeam_epoch as epoch;

use super::inner::Inner;
use super::record::Record;
use crate::sweep::Budget;
use crate::sync::Ordering;

/// So many steps a take may wait before the guards that stay are asked back. Three are enough if
/// none is in the way.
const PATIENCE: usize = if cfg!(loom) { 2 } else { 4 };

/// When a step takes what was retired.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Take {
    /// When there is anything and no earlier take waits, or as below.
    All,
    /// When enough has come together to be worth its cost.
    Enough,
}

impl Inner {
    /// Takes back the guards that stay with workers which are not pinned. The caller holds the lock.
    fn take_back(&self) {
        let Some(barrier) = self.rules().barrier else {
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

    /// Moves these records' objects on towards their ends, unless another thread is at it. Runs no
    /// destructor.
    pub(super) fn advance<'r>(
        &self,
        pin: &epoch::Guard,
        records: impl Iterator<Item = &'r Record> + Clone,
        take: Take,
    ) {
        let Some(mut batch) = self.batch.try_lock() else {
            return;
        };
        // Acquire, beyond loom: pairs with the deferred function, and through it with the last of the
        // readers. Mostly that runs under the lock, which orders the same; but a worker that pins for
        // the 128th time, or ends, may run it, too.
        let over = batch.ripened.load(Ordering::Acquire);
        for record in records.clone() {
            // SAFETY: the lock is held. Takes follow each other, and so do the ends of their grace
            // periods: what was taken earlier is over, too.
            unsafe { record.ripen(|number| number <= over) };
        }
        batch.steps = if over == batch.over { batch.steps + 1 } else { 0 };
        batch.over = over;
        if over < batch.number {
            // Relaxed: a hint; it is late at worst.
            self.renewals.fetch_add(1, Ordering::Relaxed);
            if batch.steps >= PATIENCE {
                batch.steps = 0;
                self.take_back();
            }
        }
        let retired = self.garbage.retired();
        let new =
            (retired.0.wrapping_sub(batch.retired.0), retired.1.wrapping_sub(batch.retired.1));
        let none_waits = over == batch.number;
        if (take == Take::All && none_waits) || self.garbage.is_worth_a_take(new) {
            let number = batch.number + 1;
            let mut taken = false;
            for record in records {
                // SAFETY: the lock is held, and the grace period begins below.
                taken |= unsafe { record.take(number, &self.garbage) };
            }
            if taken {
                batch.number = number;
                batch.retired = retired;
                let ripened = Arc::clone(&batch.ripened);
                // Of two that end at the same time, the later one counts. Release, beyond loom: pairs
                // with the load above; see there.
                let tell = move || _ = ripened.fetch_max(number, Ordering::Release);
                // SAFETY: the function owns all it touches, and may run on any thread.
                unsafe { pin.defer_unchecked(tell) };
            }
        }
        pin.flush();
    }

    /// Makes the record of a structure that is gone free at once if it holds nothing; else, or if another
    /// thread holds the lock, a later step does.
    pub(super) fn give_up(&self, record: &Record) {
        if let Some(batch) = self.batch.try_lock()
            // Free, and another structure's, if a step was faster.
            && record.is_closed()
            && record.is_empty()
        {
            // SAFETY: the lock is held. There is nothing to take, unless a portion is put back now, and
            // the grace period of that is over.
            unsafe { record.take(batch.number, &self.garbage) };
        }
    }

    /// Frees ripe objects of any structure within the budget, large ones and those of a stripe first. Returns
    /// how many.
    pub(super) fn free(&self, stripe: usize, budget: Budget) -> usize {
        let mut left = budget.get();
        self.garbage.spend(&mut left, |left| {
            for record in self.records.held() {
                record.free_large(left, &self.garbage);
                record.free(stripe, left, &self.garbage);
            }
        });
        budget.get() - left
    }

    /// Whether a sweep's run should go on only to free: there is more garbage than the domain leaves
    /// alone, and some of it is ripe.
    pub(super) fn is_overdue(&self) -> bool {
        self.garbage.is_above(1) && self.records.held().any(Record::is_ripe)
    }
}
