//! The local services of a registry.

use std::borrow::Borrow;
use std::fmt;
use std::hash::Hash;

use tidegate_core::registry::{self as engine, EnterError, LapsedError, TimeStatus};
use tidegate_core::{Clock, SeededState, Ttl};

use super::Lease;
use crate::clock::OwnClock;
use crate::pin::pin;

/// Advertises, finds and withdraws the local services of a registry: see
/// [`Registry::services`](super::Registry::services).
pub struct Services<'a, K: Send + 'static, V: Send + 'static> {
    pub(super) engine: engine::Services<'a, K, V, SeededState>,
    pub(super) clock: &'a OwnClock,
}

type Offered<K, V> = Result<Lease<K, V>, EnterError<(K, V)>>;

impl<K, V> Services<'_, K, V>
where
    K: Hash + Eq + Send + Sync + 'static,
    V: Send + Sync + 'static,
{
    /// Advertises a service for the usual time, in place of the service that the key stands for, if there is one.
    ///
    /// # Errors
    ///
    /// Any [`RegistryError`](super::RegistryError) but `Taken`, with key and service handed back.
    pub fn advertise(self, key: K, service: V) -> Offered<K, V> {
        let offered = self.engine.advertise(key, service, self.clock.now(), &pin());
        self.leased(offered)
    }

    /// Advertises a service as [`advertise`](Self::advertise) does, for `ttl`.
    ///
    /// # Errors
    ///
    /// Fails as [`advertise`](Self::advertise) does.
    pub fn advertise_for(self, key: K, service: V, ttl: impl Into<Ttl>) -> Offered<K, V> {
        let offered = self.engine.advertise_for(key, service, ttl, self.clock.now(), &pin());
        self.leased(offered)
    }

    /// Advertises a service for the usual time, unless its key stands for a service that has not expired.
    ///
    /// # Errors
    ///
    /// Any [`RegistryError`](super::RegistryError), with key and service handed back.
    ///
    /// ```
    /// use tidegate::Registry;
    /// use tidegate::registry::RegistryError;
    ///
    /// let registry = Registry::new();
    /// let first = registry.services().advertise_if_absent("mail", 25)?;
    /// let second = registry.services().advertise_if_absent("mail", 2525);
    /// assert_eq!(second.unwrap_err().error, RegistryError::Taken);
    /// assert_eq!(first.renew(), Ok(()));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn advertise_if_absent(self, key: K, service: V) -> Offered<K, V> {
        self.advertise_where_absent(key, service, None)
    }

    /// Advertises a service as [`advertise_if_absent`](Self::advertise_if_absent) does, for `ttl`.
    ///
    /// # Errors
    ///
    /// Fails as [`advertise_if_absent`](Self::advertise_if_absent) does.
    pub fn advertise_if_absent_for(self, key: K, service: V, ttl: impl Into<Ttl>) -> Offered<K, V> {
        self.advertise_where_absent(key, service, Some(ttl.into()))
    }

    fn advertise_where_absent(self, key: K, service: V, ttl: Option<Ttl>) -> Offered<K, V> {
        let now = self.clock.now();
        self.leased(self.engine.advertise_if_absent(key, service, ttl, now, &pin()))
    }

    fn leased(self, offered: Result<engine::Lease<K, V>, EnterError<(K, V)>>) -> Offered<K, V> {
        offered.map(|engine| Lease { engine, clock: self.clock.clone() })
    }

    /// Returns a clone of the service that a key stands for.
    #[inline]
    pub fn resolve<Q>(self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
        V: Clone,
    {
        self.engine.resolve(key, self.clock.now(), &pin()).cloned()
    }

    /// Withdraws the service of a lease, and gives its room back at once. Returns whether the service had not
    /// expired. Another service that has replaced it meanwhile stays.
    pub fn withdraw(self, lease: Lease<K, V>) -> bool {
        self.engine.withdraw(lease.engine, self.clock.now(), &pin())
    }

    /// Renews the service that a key stands for now, whichever caller advertised it. [`Lease::renew`] renews the service of
    /// one lease.
    ///
    /// # Errors
    ///
    /// [`LapsedError`], also if the key stands for no service.
    pub fn renew_any<Q>(self, key: &Q) -> Result<(), LapsedError>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.engine.renew_any(key, self.clock.now(), &pin())
    }

    /// Removes the service that a key stands for now, whichever caller advertised it, and returns a clone of it.
    /// [`withdraw`](Self::withdraw) removes the service of one lease.
    pub fn withdraw_any<Q>(self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
        V: Clone,
    {
        self.engine.withdraw_any(key, self.clock.now(), &pin()).cloned()
    }

    /// Returns clones of the services, in no order. Looks at the whole table. Services that are removed meanwhile stay in
    /// memory until the call returns.
    pub fn iter(self) -> std::vec::IntoIter<(K, V)>
    where
        K: Clone,
        V: Clone,
    {
        let guard = pin();
        let services = self.engine.iter(self.clock.now(), &guard);
        let services: Vec<_> =
            services.map(|(key, service)| (key.clone(), service.clone())).collect();
        services.into_iter()
    }

    /// Removes the services that have expired, on this thread, and returns how many. Looks at the whole table.
    pub fn prune(self) -> usize {
        self.engine.prune(self.clock.now(), &pin())
    }

    /// Returns the number of services, including expired or withdrawn ones that were not freed.
    #[expect(clippy::len_without_is_empty, reason = "expired services count")]
    pub fn len(self) -> usize {
        self.engine.len()
    }

    /// Returns the state of the services' effective clock.
    pub fn time(self) -> TimeStatus {
        self.engine.time()
    }
}

impl<K: Send + 'static, V: Send + 'static> Clone for Services<'_, K, V> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<K: Send + 'static, V: Send + 'static> Copy for Services<'_, K, V> {}

impl<K: Send + 'static, V: Send + 'static> fmt::Debug for Services<'_, K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.engine.fmt(f)
    }
}
