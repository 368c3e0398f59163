//! A registry for servers: the engine's registry, with its clock, its guards and its housekeeping.
//!
//! [`Registry`] holds three namespaces: local services under leases, lists of the providers of services elsewhere,
//! and lists of the subscribers of topics.

mod builder;
mod lease;
mod lists;
mod services;

use std::fmt;
use std::hash::Hash;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::sync::Arc;

use tidegate_core::registry::RegistryPass;
use tidegate_core::{Budget, Clock, SeededState, Swept, Worker};

pub use self::builder::RegistryBuilder;
pub use self::lease::Lease;
pub use self::lists::{Discovered, Lists};
pub use self::services::Services;
pub use tidegate_core::registry::{
    Arrival, Departure, EnterError, LapsedError, Lookup, Peer, Pruned, RegistryError, Terms,
    TimeStatus, WhenFull,
};

use crate::clock::OwnClock;
use crate::collected::Collected;
use crate::housekeeping::Kept;
use crate::pin::pin;

/// The engine's registry in a [`Registry`].
type Engine<K, V, N, P> = tidegate_core::Registry<K, V, N, P, SeededState>;

/// Registers services, which are found by name for as long as their leases are renewed. Keeps lists of the providers of
/// services elsewhere, and of the subscribers of topics, too.
///
/// A clone is a handle of the same registry. It can be stored in a `static`, in a server's state or in a task. No
/// call takes a lock. [`resolve`](Services::resolve) returns a clone of the service, which is usually a function or an
/// `Arc`. A key `K` names a service or a topic, a node `N` identifies a peer, and `P` holds the data of a peer.
///
/// An expired entry is never returned. A thread of the process frees expired entries. The thread starts with the first
/// such structure and ends with the last.
///
/// ```
/// use tidegate::Registry;
///
/// let registry: Registry<String, fn(u32) -> u32> = Registry::new();
/// let lease = registry.services().advertise("double".to_owned(), |x| 2 * x)?;
/// assert_eq!(registry.services().resolve("double").map(|double| double(21)), Some(42));
///
/// lease.renew()?; // again and again, for as long as the service runs
/// registry.services().withdraw(lease);
/// assert!(registry.services().resolve("double").is_none());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Registry<K, V, N = u64, P = ()>
where
    K: Send + 'static,
    V: Send + 'static,
    N: Send + 'static,
    P: Send + 'static,
{
    shared: Arc<Collected<Shared<K, V, N, P>>>,
    /// Ends the housekeeping with the last handle.
    _kept: Option<Arc<Kept>>,
}

struct Shared<K, V, N, P>
where
    K: Send + 'static,
    V: Send + 'static,
    N: Send + 'static,
    P: Send + 'static,
{
    engine: Engine<K, V, N, P>,
    clock: OwnClock,
}

impl<K, V> Registry<K, V>
where
    K: Hash + Eq + Send + Sync + 'static,
    V: Send + Sync + 'static,
{
    /// Creates a registry whose services live for 300 seconds, and whose lists live for 60, unless a call says otherwise.
    /// For other terms, or nodes of another type than `u64`, see [`builder`](Self::builder).
    ///
    /// # Panics
    ///
    /// Panics as [`RegistryBuilder::build`] does.
    pub fn new() -> Self {
        Self::builder().build()
    }
}

impl<K, V, N, P> Registry<K, V, N, P>
where
    K: Hash + Eq + Send + Sync + 'static,
    V: Send + Sync + 'static,
    N: Eq + Send + Sync + 'static,
    P: Send + Sync + 'static,
{
    /// Removes all expired services and lists, on this thread, and returns how many. Looks at the whole of each table.
    pub fn prune_all(&self) -> Pruned {
        self.shared.engine.prune_all(self.shared.clock.now(), &pin())
    }
}

impl<K, V, N, P> Registry<K, V, N, P>
where
    K: Send + 'static,
    V: Send + 'static,
    N: Send + 'static,
    P: Send + 'static,
{
    /// Returns the local services.
    pub fn services(&self) -> Services<'_, K, V> {
        Services { engine: self.shared.engine.services(), clock: &self.shared.clock }
    }

    /// Returns the lists of the providers of services elsewhere.
    pub fn discovered(&self) -> Lists<'_, K, N, P> {
        Lists { engine: self.shared.engine.discovered(), clock: &self.shared.clock }
    }

    /// Returns the lists of the subscribers of topics.
    pub fn subscribers(&self) -> Lists<'_, K, N, P> {
        Lists { engine: self.shared.engine.subscribers(), clock: &self.shared.clock }
    }

    pub(crate) fn clock(&self) -> &OwnClock {
        &self.shared.clock
    }

    /// Returns the engine's registry, whose calls take the time and the guard as arguments.
    pub fn lockfree(&self) -> &Engine<K, V, N, P> {
        &self.shared.engine
    }
}

impl<K, V, N, P> Shared<K, V, N, P>
where
    K: Hash + Eq + Send + Sync + 'static,
    V: Send + Sync + 'static,
    N: Eq + Send + Sync + 'static,
    P: Send + Sync + 'static,
{
    /// One step of a sweep, by the registry's own clock.
    fn step(&self, pass: &mut RegistryPass, worker: &mut Worker, budget: Budget) -> Swept {
        pass.step(&self.engine, worker, self.clock.now(), budget)
    }
}

impl<K, V, N, P> Default for Registry<K, V, N, P>
where
    K: Hash + Eq + Send + Sync + 'static,
    V: Send + Sync + 'static,
    N: Eq + Send + Sync + 'static,
    P: Send + Sync + 'static,
{
    fn default() -> Self {
        Self::builder().build()
    }
}

// A panic of the caller's code leaves the registry consistent.
impl<K, V, N, P> RefUnwindSafe for Registry<K, V, N, P>
where
    K: Send + 'static,
    V: Send + 'static,
    N: Send + 'static,
    P: Send + 'static,
{
}

// A panic of the caller's code leaves the registry consistent.
impl<K, V, N, P> UnwindSafe for Registry<K, V, N, P>
where
    K: Send + 'static,
    V: Send + 'static,
    N: Send + 'static,
    P: Send + 'static,
{
}

impl<K, V, N, P> Clone for Registry<K, V, N, P>
where
    K: Send + 'static,
    V: Send + 'static,
    N: Send + 'static,
    P: Send + 'static,
{
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared), _kept: self._kept.clone() }
    }
}

impl<K, V, N, P> fmt::Debug for Registry<K, V, N, P>
where
    K: Send + 'static,
    V: Send + 'static,
    N: Send + 'static,
    P: Send + 'static,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.shared.engine.fmt(f)
    }
}
