//! The payment for what a worker has retired.
//!
//! A payment frees on average two ripe objects for each one retired, of the structures into which the
//! worker retired, and of structures that are gone. It frees nothing of other structures: their
//! destructors may want a lock that the caller holds.

use crossbeam_epoch as epoch;

use super::collect::Take;
use super::debt::Debt;
use super::inner::Inner;

/// Ripe objects that are freed for each one retired.
const FREED: usize = 2;

/// Workers that pay yield when there is more garbage than this many times the allowance.
const PRESSING: u64 = 2;
/// Once for so many objects that were handed in, and so many times at most.
const RETIRED: u64 = 2;
const MOST_YIELDS: u64 = 32;

/// What could not be freed is made up for later, up to so many objects.
const MOST_ARREARS: usize = 256;

impl Debt {
    /// Pays: hands in, and frees what is ripe if there is more garbage than the domain leaves alone; then
    /// once more for what destructors have retired meanwhile.
    pub(super) fn pay(&self, inner: &Inner, handle: &epoch::LocalHandle) {
        let objects = self.pay_once(inner, handle);
        if self.owed().0 > 0 {
            self.pay_once(inner, handle);
        }
        if let (true, Some(yield_now)) = (inner.garbage.is_above(PRESSING), inner.rules().yield_now)
        {
            // Few times: on a busy machine each may take as long as another program's turn.
            let times = (objects / RETIRED).clamp(1, MOST_YIELDS);
            (0..times).take_while(|_| inner.garbage.is_above(PRESSING)).for_each(|_| yield_now());
        }
    }

    /// Returns how many objects were handed in.
    fn pay_once(&self, inner: &Inner, handle: &epoch::LocalHandle) -> u64 {
        let objects = self.hand_in(&inner.garbage);
        let arrears = self.arrears.take();
        // What a structure left behind that is gone is freed even if it is little: no call of its own will.
        if inner.garbage.is_above(1) || inner.garbage.has_closed() {
            let due = FREED.saturating_mul(objects as usize).saturating_add(arrears);
            self.arrears.set(self.free(due, inner, handle).min(MOST_ARREARS));
        }
        objects
    }

    /// Frees up to so many ripe objects, and brings others nearer to their end. Returns how many are
    /// left to be freed.
    fn free(&self, mut objects: usize, inner: &Inner, handle: &epoch::LocalHandle) -> usize {
        let _paying = self.paying();
        // SAFETY: records live as long as the domain.
        let known = self.known().map(|record| unsafe { record.as_ref() });
        let records = known.chain(inner.closed());
        let take = if inner.garbage.is_above(PRESSING) { Take::All } else { Take::Enough };
        inner.advance(&handle.pin(), records.clone(), take);
        inner.garbage.spend(&mut objects, |left| {
            for record in records.clone() {
                if record.has_too_large() {
                    record.free_large(&mut 1, &inner.garbage);
                }
                record.free(self.stripe(), left, &inner.garbage);
            }
        });
        objects
    }
}
