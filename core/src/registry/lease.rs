//! Who holds a service.

use core::fmt;
use core::mem::ManuallyDrop;

use super::Lapsed;
use super::entry::{Leased, let_go};
use super::namespace::Namespace;
use crate::map::Held;
use crate::time::Instant;

/// The right to renew one entry: the very one that it was given for, whatever its key stands for later.
/// Needs no guard. It borrows the registry: a task that must own what it has renews [by
/// key](super::Registry::renew).
///
/// Dropped, it leaves the entry to its time, or withdraws it if it was [told to](Self::withdraw_on_drop).
#[must_use = "a lease that is dropped cannot be renewed"]
pub struct Lease<'a, K: Send + 'static, V: Send + 'static, S> {
    namespace: &'a Namespace<K, V, S>,
    held: ManuallyDrop<Held<K, Leased<V>>>,
    replaced: bool,
    withdraws: bool,
}

// SAFETY: shares key and value, and may drop them where it is dropped itself; and shares the namespace, of
// which the hasher is not used, and the hook is `Sync` by its type.
unsafe impl<K: Send + Sync, V: Send + Sync, S: Sync> Send for Lease<'_, K, V, S> {}
// SAFETY: as above.
unsafe impl<K: Send + Sync, V: Send + Sync, S: Sync> Sync for Lease<'_, K, V, S> {}

impl<'a, K: Send + 'static, V: Send + 'static, S> Lease<'a, K, V, S> {
    /// The lease of an entry that was entered as leased.
    pub(super) fn new(
        namespace: &'a Namespace<K, V, S>,
        held: Held<K, Leased<V>>,
        replaced: bool,
    ) -> Self {
        Self { namespace, held: ManuallyDrop::new(held), replaced, withdraws: false }
    }

    /// Whether the entry took the place of one that lived.
    pub fn has_replaced(&self) -> bool {
        self.replaced
    }

    /// Has the entry withdrawn when this is dropped: nobody is shown it after that, and the hook is told
    /// ([`Departure::Withdrawn`](super::Departure::Withdrawn), also if its time was up). Its room is given
    /// back by whoever prunes, sweeps or advertises its key.
    pub fn withdraw_on_drop(mut self) -> Self {
        self.withdraws = true;
        self
    }

    fn leased(&self) -> &Leased<V> {
        // SAFETY: held until this is dropped.
        &unsafe { self.held.entry() }.value
    }

    /// The key.
    pub fn key(&self) -> &K {
        // SAFETY: held until this is dropped.
        &unsafe { self.held.entry() }.key
    }

    /// The value.
    pub fn value(&self) -> &V {
        &self.leased().value
    }

    /// Has the entry live anew, for as long as it was to live at first. Lock-free.
    ///
    /// # Errors
    ///
    /// [`Lapsed`]: a renewal brings nothing back.
    pub fn renew(&self, now: Instant) -> Result<(), Lapsed> {
        if self.namespace.renew(self.leased(), now) { Ok(()) } else { Err(Lapsed) }
    }
}

impl<K: Send + 'static, V: Send + 'static, S> Drop for Lease<'_, K, V, S> {
    fn drop(&mut self) {
        // SAFETY: not used after this.
        let held = Holding(ManuallyDrop::new(unsafe { ManuallyDrop::take(&mut self.held) }));
        if self.withdraws {
            // The hook may panic; the entry is let go of all the same.
            // SAFETY: held until `held` is dropped.
            self.namespace.give_up(unsafe { held.0.entry() });
        }
    }
}

/// Lets go of an entry when it is dropped.
struct Holding<K, V>(ManuallyDrop<Held<K, Leased<V>>>);

impl<K, V> Drop for Holding<K, V> {
    fn drop(&mut self) {
        // SAFETY: held until now.
        let life = unsafe { &self.0.entry().value.life };
        if let_go(life) {
            // SAFETY: not used after this.
            let held = unsafe { ManuallyDrop::take(&mut self.0) };
            // SAFETY: by the entry's word the map has left it, and this was its lease.
            unsafe { held.free() };
        }
    }
}

impl<K: Send + fmt::Debug + 'static, V: Send + 'static, S> fmt::Debug for Lease<'_, K, V, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lease").field("key", self.key()).finish_non_exhaustive()
    }
}
