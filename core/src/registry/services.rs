//! Local services, under leases.

use core::borrow::Borrow;
use core::hash::{BuildHasher, Hash};

use super::namespace::{Expected, New, Put};
use super::namespaces::rejected;
use super::{Lapsed, Lease, Registry, Rejected, TimeStatus};
use crate::map::Held;
use crate::reclaim::Guard;
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
    /// Any [`RegistryError`](super::RegistryError), with key and service handed back.
    pub fn advertise(
        &self,
        key: K,
        service: V,
        now: Instant,
        guard: &Guard,
    ) -> Result<Lease<'_, K, V, S>, Rejected<(K, V)>> {
        self.offer(key, service, None, now, guard)
    }

    /// The same for this time.
    ///
    /// # Errors
    ///
    /// As [`advertise`](Self::advertise).
    pub fn advertise_for(
        &self,
        key: K,
        service: V,
        ttl: impl Into<Ttl>,
        now: Instant,
        guard: &Guard,
    ) -> Result<Lease<'_, K, V, S>, Rejected<(K, V)>> {
        self.offer(key, service, Some(ttl.into()), now, guard)
    }

    fn offer(
        &self,
        key: K,
        value: V,
        ttl: Option<Ttl>,
        now: Instant,
        guard: &Guard,
    ) -> Result<Lease<'_, K, V, S>, Rejected<(K, V)>> {
        let new = New { key, value, ttl, leased: true };
        match self.services.put(new, Expected::Any, now, guard) {
            Ok(Put { entry, replaced }) => {
                Ok(Lease::new(&self.services, Held::new(entry), replaced))
            }
            Err((unmet, key, value)) => Err(rejected(unmet, (key, value))),
        }
    }

    /// The service that a key stands for.
    pub fn resolve<'g, Q>(&'g self, key: &Q, now: Instant, guard: &'g Guard) -> Option<&'g V>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.services.get(key, now, guard).map(|entry| &entry.value.value)
    }

    /// Has a service live anew, as [`Lease::renew`] does, for whoever has only its key.
    ///
    /// # Errors
    ///
    /// [`Lapsed`], also if there is none.
    pub fn renew<Q>(&self, key: &Q, now: Instant, guard: &Guard) -> Result<(), Lapsed>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        loop {
            let entry = self.services.get(key, now, guard).ok_or(Lapsed)?;
            if self.services.renew(&entry.value, now) {
                return Ok(());
            }
            // It has ended by now, or another has taken its place.
        }
    }

    /// Removes a service, and returns it.
    pub fn withdraw<'g, Q>(&'g self, key: &Q, now: Instant, guard: &'g Guard) -> Option<&'g V>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.services.remove(key, now, guard)
    }

    /// Every service, weakly consistent as [`Map::iter`](crate::Map::iter).
    pub fn services<'g>(
        &'g self,
        now: Instant,
        guard: &'g Guard,
    ) -> impl Iterator<Item = (&'g K, &'g V)> {
        self.services.iter(now, guard)
    }

    /// Removes the services that have ended, and returns how many that was. Looks at the whole table.
    pub fn prune_services(&self, now: Instant, guard: &Guard) -> usize {
        self.services.prune(now, guard)
    }

    /// How many services there are, those included that have gone and were not pruned.
    pub fn services_len(&self) -> usize {
        self.services.len()
    }

    /// What the services' time is up to.
    pub fn services_time(&self) -> TimeStatus {
        self.services.clock().status()
    }
}
