//! Loads whose value is taken for no more than an estimate.

use super::{AtomicU64, AtomicUsize, Ordering};

/// A count that is read to decide what is worth doing, and nothing that must hold.
///
/// Every load is Relaxed and pairs with none. In the models it reads the newest value: old ones would
/// only multiply the ways to decide, of which all are right.
pub(crate) trait Estimate {
    /// The count.
    type Count;

    /// Returns about how much it is.
    fn estimate(&self) -> Self::Count;
}

impl Estimate for AtomicUsize {
    type Count = usize;

    #[inline(always)]
    #[track_caller]
    fn estimate(&self) -> usize {
        if cfg!(loom) { self.fetch_add(0, Ordering::Relaxed) } else { self.load(Ordering::Relaxed) }
    }
}

impl Estimate for AtomicU64 {
    type Count = u64;

    #[inline(always)]
    #[track_caller]
    fn estimate(&self) -> u64 {
        if cfg!(loom) { self.fetch_add(0, Ordering::Relaxed) } else { self.load(Ordering::Relaxed) }
    }
}
