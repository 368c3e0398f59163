//! Local services, under leases.

use core::borrow::Borrow;
use core::hash::{BuildHasher, Hash};

use alloc::sync::Arc;

use super::lease::Claim;
use super::namespace::{Expected, New, Put, Unmet};
use super::namespaces::rejected;
use super::{EnterError, Lease, Registry, TimeStatus};
use crate::reclaim::Guard;
use crate::registry::LapsedError;
use crate::time::{Instant, Ttl};

impl<K, V, N, P, S> Registry<K, V, N, P, S>
where
    K: Hash + Eq + Send + Sync + 'static,
    V: Send + Sync + 'static,
    N: Eq + Send + Sync + 'static,
    P: Send + Sync + 'static,
    S: BuildHasher,
{
    /// Offers a service, in place of the one that the key stands for if there is one, for the usual time.
    ///
    /// # Errors
    ///
    /// Any [`RegistryError`](super::RegistryError) but `Taken`, with key and service handed back.
    ///
    /// # Panics
    ///
    /// If the hook panics that is told of the service that was replaced. Then neither is offered.
    pub fn advertise(
        &self,
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
        &self,
        key: K,
        service: V,
        ttl: impl Into<Ttl>,
        now: Instant,
        guard: &Guard,
    ) -> Result<Lease<K, V>, EnterError<(K, V)>> {
        self.services.admit(guard);
        self.offer(New::service(key, service, Some(ttl.into())), now, guard)
    }

    fn offer(
        &self,
        new: New<K, V>,
        now: Instant,
        guard: &Guard,
    ) -> Result<Lease<K, V>, EnterError<(K, V)>> {
        self.leased(self.services.put(new, Expected::Any, now, guard))
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
    /// let first = registry.advertise_if_absent("mail", 25, None, now, guard)?;
    /// let second = registry.advertise_if_absent("mail", 2525, None, now, guard);
    /// assert_eq!(second.map(drop).unwrap_err().error, RegistryError::Taken);
    /// assert_eq!(first.renew(now), Ok(()));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Any [`RegistryError`](super::RegistryError), with key and service handed back.
    pub fn advertise_if_absent(
        &self,
        key: K,
        service: V,
        ttl: Option<Ttl>,
        now: Instant,
        guard: &Guard,
    ) -> Result<Lease<K, V>, EnterError<(K, V)>> {
        let new = New::service(key, service, ttl);
        self.leased(self.services.put_if_absent(new, now, guard))
    }

    fn leased(
        &self,
        put: Result<Put<'_, K, V>, (Unmet, K, V)>,
    ) -> Result<Lease<K, V>, EnterError<(K, V)>> {
        match put {
            Ok(Put { entry, replaced }) => {
                Ok(Lease::new(Claim::new(entry), Arc::clone(self.services.ledger()), replaced))
            }
            Err((unmet, key, value)) => Err(rejected(unmet, (key, value))),
        }
    }

    /// Returns the service that a key stands for.
    pub fn resolve<'g, Q>(&'g self, key: &Q, now: Instant, guard: &'g Guard) -> Option<&'g V>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.services.admit(guard);
        let entry = self.services.get(key, self.services.clock().time(now), guard)?;
        Some(&entry.value.value)
    }

    /// Withdraws the service of a lease, and gives its room back at once. Returns whether the service lived.
    ///
    /// Another service that has taken the key meanwhile stays. Of a lease of another registry the room is
    /// given back there, when that is next pruned or swept.
    pub fn withdraw(&self, lease: Lease<K, V>, now: Instant, guard: &Guard) -> bool {
        self.services.withdraw(&lease, now, guard)
    }

    /// Renews the service that a key stands for now, whoever advertised it. [`Lease::renew`] renews what the
    /// caller has advertised.
    ///
    /// # Errors
    ///
    /// [`LapsedError`], also if the key stands for none.
    pub fn renew_any<Q>(&self, key: &Q, now: Instant, guard: &Guard) -> Result<(), LapsedError>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.services.admit(guard);
        loop {
            let time = self.services.clock().time(now);
            let entry = self.services.get(key, time, guard).ok_or(LapsedError)?;
            if self.services.ledger().renew(&entry.value, now) {
                return Ok(());
            }
            // It has ended by now, or another has taken its place.
        }
    }

    /// Removes the service that a key stands for now, whoever advertised it, and returns it.
    /// [`withdraw`](Self::withdraw) removes what the caller has advertised.
    pub fn withdraw_any<'g, Q>(&'g self, key: &Q, now: Instant, guard: &'g Guard) -> Option<&'g V>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.services.remove(key, now, guard)
    }

    /// Returns every service, weakly consistent as [`Map::iter`](crate::Map::iter).
    pub fn services<'g>(
        &'g self,
        now: Instant,
        guard: &'g Guard,
    ) -> impl Iterator<Item = (&'g K, &'g V)> {
        self.services.iter(now, guard)
    }

    /// Removes the services that have expired, and returns how many. Looks at the whole table.
    pub fn prune_services(&self, now: Instant, guard: &Guard) -> usize {
        self.services.prune(now, guard)
    }

    /// Returns how many services there are, including those expired or withdrawn that were not pruned.
    pub fn services_len(&self) -> usize {
        self.services.len()
    }

    /// Returns how the services' time stands.
    pub fn services_time(&self) -> TimeStatus {
        self.services.clock().status()
    }
}
