//! Local services, under leases.

use core::borrow::Borrow;
use core::fmt;
use core::hash::{BuildHasher, Hash};

use super::error::rejected;
use super::lease::Claim;
use super::namespace::{Expected, Namespace, New, Put, Unmet};
use super::{EnterError, Lease, TimeStatus};
use crate::reclaim::Guard;
use crate::registry::LapsedError;
use crate::time::{Instant, Ttl};

/// The local services of a registry: [`Registry::services`](super::Registry::services). Results
/// live as long as the borrow of the registry and the guard.
pub struct Services<'a, K: Send + 'static, V: Send + 'static, S>(pub(super) &'a Namespace<K, V, S>);

impl<'a, K, V, S> Services<'a, K, V, S>
where
    K: Hash + Eq + Send + Sync + 'static,
    V: Send + Sync + 'static,
    S: BuildHasher,
{
    /// Offers a service for the usual time, in place of the one that the key stands for if there is
    /// one.
    ///
    /// # Errors
    ///
    /// Fails with any [`RegistryError`](super::RegistryError) but `Taken`, and hands key and
    /// service back.
    ///
    /// # Panics
    ///
    /// Panics if a hook panics, of the service that was replaced or of the new one. Then neither is
    /// offered, and the departure of the new one is not told.
    pub fn advertise(
        self,
        key: K,
        service: V,
        now: Instant,
        guard: &Guard,
    ) -> Result<Lease<K, V>, EnterError<(K, V)>> {
        self.offer(New::service(key, service, None), now, guard)
    }

    /// Offers a service as [`advertise`](Self::advertise) does, for `ttl`.
    ///
    /// # Errors
    ///
    /// Fails as [`advertise`](Self::advertise) does.
    pub fn advertise_for(
        self,
        key: K,
        service: V,
        ttl: impl Into<Ttl>,
        now: Instant,
        guard: &Guard,
    ) -> Result<Lease<K, V>, EnterError<(K, V)>> {
        self.0.admit(guard);
        self.offer(New::service(key, service, Some(ttl.into())), now, guard)
    }

    fn offer(
        self,
        new: New<K, V>,
        now: Instant,
        guard: &Guard,
    ) -> Result<Lease<K, V>, EnterError<(K, V)>> {
        self.leased(self.0.put(new, Expected::Any, now, guard), guard)
    }

    /// Offers a service for `ttl`, or the usual time, if its key stands for none that lives.
    ///
    /// ```
    /// use tidegate_core::registry::RegistryError;
    /// use tidegate_core::{Domain, Instant, Registry, SeededState};
    ///
    /// let domain = Domain::new();
    /// let registry: Registry<&str, u16, u64, ()> =
    ///     Registry::builder().build(&domain, SeededState::new(0x5eed))?;
    /// let (mut worker, now) = (domain.worker(), Instant::from_secs(1));
    ///
    /// let guard = worker.quiescent(now);
    /// let services = registry.services();
    /// let first = services.advertise_if_absent("mail", 25, None, now, guard)?;
    /// let second = services.advertise_if_absent("mail", 2525, None, now, guard);
    /// assert_eq!(second.map(drop).unwrap_err().error, RegistryError::Taken);
    /// assert_eq!(first.renew(now), Ok(()));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Fails with any [`RegistryError`](super::RegistryError), and hands key and service back.
    pub fn advertise_if_absent(
        self,
        key: K,
        service: V,
        ttl: Option<Ttl>,
        now: Instant,
        guard: &Guard,
    ) -> Result<Lease<K, V>, EnterError<(K, V)>> {
        let new = New::service(key, service, ttl);
        self.leased(self.0.put_if_absent(new, now, guard), guard)
    }

    fn leased(
        self,
        put: Result<Put<'_, K, V>, (Unmet, K, V)>,
        guard: &Guard,
    ) -> Result<Lease<K, V>, EnterError<(K, V)>> {
        match put {
            Ok(Put { entry, replaced }) => {
                Ok(Lease::new(Claim::new(entry), self.0.share(guard), replaced))
            }
            Err((unmet, key, value)) => Err(rejected(unmet, (key, value))),
        }
    }

    /// Returns the service that a key stands for.
    pub fn resolve<Q>(self, key: &Q, now: Instant, guard: &'a Guard) -> Option<&'a V>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.0.admit(guard);
        let entry = self.0.get(key, self.0.clock().time(now), guard)?;
        Some(&entry.value.value)
    }

    /// Withdraws the service of a lease, and gives its room back at once. Returns whether the
    /// service lived.
    ///
    /// Another service that has taken the key meanwhile stays. If the lease is of another registry,
    /// the room is given back there, when that registry is next pruned or swept.
    pub fn withdraw(self, lease: Lease<K, V>, now: Instant, guard: &Guard) -> bool {
        self.0.withdraw(&lease, now, guard)
    }

    /// Renews the service that a key stands for now, no matter which caller advertised it.
    /// [`Lease::renew`] renews what the caller has advertised.
    ///
    /// # Errors
    ///
    /// Fails with [`LapsedError`] if the service has expired, or the key stands for none.
    pub fn renew_any<Q>(self, key: &Q, now: Instant, guard: &Guard) -> Result<(), LapsedError>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.0.admit(guard);
        loop {
            let time = self.0.clock().time(now);
            let entry = self.0.get(key, time, guard).ok_or(LapsedError)?;
            if self.0.ledger().renew(&entry.value, now) {
                return Ok(());
            }
            // The service has ended by now, or another has taken its place.
        }
    }

    /// Removes the service that a key stands for now, no matter which caller advertised it, and
    /// returns it. [`withdraw`](Self::withdraw) removes what the caller has advertised.
    pub fn withdraw_any<Q>(self, key: &Q, now: Instant, guard: &'a Guard) -> Option<&'a V>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.0.remove(key, now, guard)
    }

    /// Iterates over the services, weakly consistent as [`Map::iter`](crate::Map::iter) is.
    pub fn iter(self, now: Instant, guard: &'a Guard) -> impl Iterator<Item = (&'a K, &'a V)> {
        self.0.iter(now, guard)
    }

    /// Removes the services that have expired, and returns how many there were. The call looks at
    /// the whole table.
    pub fn prune(self, now: Instant, guard: &Guard) -> usize {
        self.0.prune(now, guard)
    }

    /// Returns how many services there are, including those expired or withdrawn that were not
    /// pruned.
    #[expect(clippy::len_without_is_empty, reason = "what counts may have expired")]
    pub fn len(self) -> usize {
        self.0.len()
    }

    /// Returns the state of the services' time.
    pub fn time(self) -> TimeStatus {
        self.0.clock().status()
    }
}

impl<K: Send + 'static, V: Send + 'static, S> Clone for Services<'_, K, V, S> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<K: Send + 'static, V: Send + 'static, S> Copy for Services<'_, K, V, S> {}

impl<K: Send + 'static, V: Send + 'static, S> fmt::Debug for Services<'_, K, V, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Services").field("len", &self.0.len()).finish_non_exhaustive()
    }
}
