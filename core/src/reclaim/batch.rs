//! What the collector's lock guards.

use alloc::sync::Arc;

use crate::sync::AtomicU64;

/// The takes, each of which waits for one grace period. One thread at a time goes on with them; others
/// find the lock taken and leave, so a thread that stops there stops the freeing, and nothing else.
pub(super) struct Batch {
    /// Of the last take.
    pub(super) number: u64,
    /// The last take whose grace period is known to be over.
    pub(super) over: u64,
    /// Steps since that changed, if any take waits.
    pub(super) steps: usize,
    /// Objects and bytes that had been retired at the last take.
    pub(super) retired: (u64, u64),
    /// The last take whose grace period is over.
    pub(super) ripened: Arc<AtomicU64>,
}

impl Batch {
    pub(super) fn new() -> Self {
        let ripened = Arc::new(AtomicU64::new(0));
        Self { number: 0, over: 0, steps: 0, retired: (0, 0), ripened }
    }
}
