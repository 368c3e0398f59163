//! Leases, with their clock.

use std::fmt;
use std::panic::{RefUnwindSafe, UnwindSafe};

use tidegate_core::Clock;
use tidegate_core::registry::{self as engine, LapsedError};

use crate::clock::OwnClock;

/// Renews one service, and withdraws it. A lease acts on the service for which it was made, even if its key stands for
/// another service later.
///
/// A lease borrows nothing: it can be stored, sent to another thread and moved into a task. It keeps its own service in
/// memory, and not the registry: when the registry is dropped, the lease has lapsed. A service must not own its own
/// lease: neither would ever be dropped.
///
/// When a lease is dropped, its service stays until it expires. With [`withdraw_on_drop`](Self::withdraw_on_drop) it is
/// withdrawn then. [`Services::withdraw`](super::Services::withdraw) withdraws a service at once, and gives its room
/// back.
///
/// ```
/// use tidegate::Registry;
/// use tidegate::registry::{LapsedError, Lease};
///
/// let registry: Registry<&str, u16> = Registry::new();
/// let old: Lease<&str, u16> = registry.services().advertise("mail", 25)?;
/// let new = registry.services().advertise("mail", 2525)?;
/// let renewing = std::thread::spawn(move || old.renew());
/// assert_eq!(renewing.join().unwrap(), Err(LapsedError), "the key is another's");
/// assert_eq!(new.renew(), Ok(()));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use = "a lease that is dropped cannot be renewed"]
pub struct Lease<K, V> {
    pub(super) engine: engine::Lease<K, V>,
    pub(super) clock: OwnClock,
}

impl<K, V> Lease<K, V> {
    /// Returns whether the service has replaced another that had not expired.
    pub fn has_replaced(&self) -> bool {
        self.engine.has_replaced()
    }

    /// Makes dropping the lease withdraw its service. The next call that prunes, sweeps or advertises the key gives its
    /// room back.
    pub fn withdraw_on_drop(self) -> Self {
        Self { engine: self.engine.withdraw_on_drop(), ..self }
    }

    /// Returns the key.
    pub fn key(&self) -> &K {
        self.engine.key()
    }

    /// Returns the service.
    pub fn value(&self) -> &V {
        self.engine.value()
    }

    /// Renews the service for its whole time to live.
    ///
    /// # Errors
    ///
    /// [`LapsedError`], if the service has expired, was withdrawn or replaced, or its registry was dropped. A renewal
    /// restores no service.
    pub fn renew(&self) -> Result<(), LapsedError> {
        self.engine.renew(self.clock.now())
    }

    /// Returns whether a [renewal](Self::renew) would fail, and renews nothing.
    pub fn has_lapsed(&self) -> bool {
        self.engine.has_lapsed(self.clock.now())
    }
}

// A panic of the caller's code leaves the entry consistent.
impl<K, V> RefUnwindSafe for Lease<K, V> {}

// A panic of the caller's code leaves the entry consistent.
impl<K, V> UnwindSafe for Lease<K, V> {}

impl<K: fmt::Debug, V> fmt::Debug for Lease<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.engine.fmt(f)
    }
}
