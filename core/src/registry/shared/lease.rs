//! Leases: the right to renew one entry, and to withdraw it.

use alloc::sync::Arc;
use core::fmt;
use core::mem::ManuallyDrop;

use super::entry::{Leased, let_go};
use super::ledger::Share;
use crate::map::{Entry, Held};
use crate::registry::LapsedError;
use crate::time::Instant;

/// The right to renew and to withdraw one service: the very one that it was given for, whatever its
/// key stands for later.
///
/// A lease borrows nothing: it can be stored, sent to another thread and moved into a task. No call
/// of it takes a guard. It keeps its own entry in memory and nothing else, neither the registry nor
/// entries that others have removed. Once the registry is dropped, a renewal fails with
/// [`LapsedError`]. A lease that is stored in its own service's value is never dropped.
///
/// When a lease is dropped, its service stays until it expires. With
/// [`withdraw_on_drop`](Self::withdraw_on_drop), the service is withdrawn instead.
/// [`Services::withdraw`](super::Services::withdraw) withdraws it at once, with its room.
///
/// ```
/// use tidegate_core::registry::{LapsedError, Lease};
/// use tidegate_core::{Domain, Instant, Registry, SeededState};
///
/// let domain = Domain::new();
/// let registry: Registry<&str, u16, u64, ()> =
///     Registry::builder().build(&domain, SeededState::new(0x5eed))?;
/// let (mut worker, now) = (domain.worker(), Instant::from_secs(1));
///
/// let old: Lease<&str, u16> = registry.services().advertise("mail", 25, now, worker.quiescent(now))?;
/// let new = registry.services().advertise("mail", 2525, now, worker.quiescent(now))?;
/// let renewing = std::thread::spawn(move || old.renew(now));
/// assert_eq!(renewing.join().unwrap(), Err(LapsedError), "the key is another's");
/// assert_eq!(new.renew(now), Ok(()));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use = "a lease that is dropped cannot be renewed"]
pub struct Lease<K, V> {
    claim: Claim<K, V>,
    ledger: Arc<Share<K, V>>,
    replaced: bool,
    withdraws: bool,
}

impl<K, V> Lease<K, V> {
    pub(super) fn new(claim: Claim<K, V>, ledger: Arc<Share<K, V>>, replaced: bool) -> Self {
        Self { claim, ledger, replaced, withdraws: false }
    }

    /// Returns whether the service took the place of another that lived.
    pub fn has_replaced(&self) -> bool {
        self.replaced
    }

    /// Withdraws the service when the lease is dropped. From then on it is not resolved, and the
    /// hook is called with [`Departure::Withdrawn`](crate::registry::Departure::Withdrawn), even if
    /// the service had expired. The next call that prunes, sweeps or advertises its key gives its
    /// room back.
    pub fn withdraw_on_drop(mut self) -> Self {
        self.withdraws = true;
        self
    }

    /// Returns the key.
    pub fn key(&self) -> &K {
        &self.entry().key
    }

    /// Returns the service.
    pub fn value(&self) -> &V {
        &self.entry().value.value
    }

    /// Renews the service for as long as its first time to live. The call is lock-free.
    ///
    /// # Errors
    ///
    /// Fails with [`LapsedError`] if the service has expired, was withdrawn or replaced, or its
    /// registry was dropped. A renewal brings nothing back.
    pub fn renew(&self, now: Instant) -> Result<(), LapsedError> {
        if self.ledger.renew(&self.entry().value, now) { Ok(()) } else { Err(LapsedError) }
    }

    /// Returns whether a [renewal](Self::renew) would fail, without renewing.
    pub fn has_lapsed(&self, now: Instant) -> bool {
        let life = self.entry().value.seen();
        life.is_dead() || life.is_past(self.ledger.clock.time(now))
    }

    pub(super) fn entry(&self) -> &Entry<K, Leased<V>> {
        self.claim.entry()
    }

    pub(super) fn ledger(&self) -> &Share<K, V> {
        &self.ledger
    }
}

impl<K, V> Drop for Lease<K, V> {
    fn drop(&mut self) {
        if self.withdraws {
            // The hook may panic; the claim is dropped all the same.
            self.ledger.give_up(self.entry());
        }
    }
}

impl<K: fmt::Debug, V> fmt::Debug for Lease<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lease").field("key", self.key()).finish_non_exhaustive()
    }
}

/// The reference to an entry that its word calls `LEASED`. When it is dropped, it clears the bit by
/// one exchange of that word, and frees the entry if nothing else refers to it.
pub(super) struct Claim<K, V>(ManuallyDrop<Held<K, Leased<V>>>);

// SAFETY: shares key and value, and may drop them where it is dropped itself.
unsafe impl<K: Send + Sync, V: Send + Sync> Send for Claim<K, V> {}
// SAFETY: shares key and value, and may drop them where it is dropped itself.
unsafe impl<K: Send + Sync, V: Send + Sync> Sync for Claim<K, V> {}

impl<K, V> Claim<K, V> {
    /// Makes the one claim of an entry that was entered as leased.
    pub(super) fn new(entry: &Entry<K, Leased<V>>) -> Self {
        Self(ManuallyDrop::new(Held::new(entry, 0)))
    }

    fn entry(&self) -> &Entry<K, Leased<V>> {
        // SAFETY: held until this is dropped.
        unsafe { self.0.entry() }
    }
}

impl<K, V> Drop for Claim<K, V> {
    fn drop(&mut self) {
        if let_go(&self.entry().value.life) {
            // SAFETY: not used after this.
            let held = unsafe { ManuallyDrop::take(&mut self.0) };
            // SAFETY: by the entry's word the map has left it, and this was its lease.
            unsafe { held.free() };
        }
    }
}
