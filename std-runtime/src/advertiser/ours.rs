//! The services of an advertiser, and when each is due.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tidegate_core::Instant;
use tidegate_core::registry::Lease;

use crate::panics::Foreign;

/// Identifies an advertisement. Another value of the same key has another identity. Found by the hash of the key.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Id {
    hash: u64,
    number: u64,
}

pub(super) struct Service<K, V> {
    pub(super) key: Foreign<Arc<K>>,
    pub(super) value: Foreign<Arc<V>>,
    /// The lease of its entry in the registry; `None` until it is entered.
    pub(super) lease: Option<Lease<K, V>>,
    /// When it is due.
    at: Instant,
    /// How many threads are entering it into the registry.
    entering: usize,
}

/// A service that is due.
pub(super) struct Due<K, V> {
    pub(super) id: Id,
    pub(super) key: Foreign<Arc<K>>,
    pub(super) value: Foreign<Arc<V>>,
    pub(super) standing: Standing,
}

/// How it stands in the registry.
pub(super) enum Standing {
    /// Its lease was renewed.
    Renewed,
    /// Its lease has lapsed. The thread that gets this answer is counted as one that enters it.
    Lapsed,
    /// Another thread is entering it.
    Entering,
}

/// All services of an advertiser.
///
/// Its methods run under a lock, so they call no code of other people. The caller hashes and compares keys before, and
/// drops what they return after.
pub(super) struct Ours<K, V> {
    services: BTreeMap<Id, Service<K, V>>,
    due: BTreeSet<(Instant, Id)>,
    next: u64,
}

impl<K, V> Ours<K, V> {
    pub(super) const fn new() -> Self {
        Self { services: BTreeMap::new(), due: BTreeSet::new(), next: 0 }
    }

    pub(super) fn len(&self) -> usize {
        self.services.len()
    }

    pub(super) fn keys(&self) -> Vec<Foreign<Arc<K>>> {
        self.services.values().map(|service| service.key.clone()).collect()
    }

    pub(super) fn value(&self, id: Id) -> Option<Foreign<Arc<V>>> {
        self.services.get(&id).map(|service| service.value.clone())
    }

    /// Returns the services whose keys have this hash.
    pub(super) fn alike(&self, hash: u64) -> Vec<(Id, Foreign<Arc<K>>)> {
        let alike = self.of_hash(hash);
        alike.map(|(id, service)| (*id, service.key.clone())).collect()
    }

    /// Returns whether the services whose keys have this hash are still those of `before`.
    pub(super) fn are_alike(&self, hash: u64, before: &[(Id, Foreign<Arc<K>>)]) -> bool {
        self.of_hash(hash).map(|(id, _)| id).eq(before.iter().map(|(id, _)| id))
    }

    fn of_hash(&self, hash: u64) -> impl Iterator<Item = (&Id, &Service<K, V>)> {
        self.services.range(Id { hash, number: 0 }..=Id { hash, number: u64::MAX })
    }

    /// Adds a service, which the caller is to enter.
    pub(super) fn add(&mut self, hash: u64, key: Arc<K>, value: Arc<V>, at: Instant) -> Id {
        let id = Id { hash, number: self.next };
        self.next += 1;
        self.due.insert((at, id));
        self.services.insert(
            id,
            Service {
                key: Foreign::new(key),
                value: Foreign::new(value),
                lease: None,
                at,
                entering: 1,
            },
        );
        id
    }

    /// Removes a service.
    pub(super) fn forget(&mut self, id: Id) -> Option<Service<K, V>> {
        let service = self.services.remove(&id)?;
        self.due.remove(&(service.at, id));
        Some(service)
    }

    /// Counts the caller as one that enters a service, and returns its value.
    pub(super) fn enter(&mut self, id: Id) -> Option<Arc<V>> {
        let service = self.services.get_mut(&id)?;
        service.entering += 1;
        Some(Arc::clone(&service.value))
    }

    /// Counts the caller no more as one that enters a service.
    pub(super) fn leave(&mut self, id: Id) {
        if let Some(service) = self.services.get_mut(&id) {
            service.entering -= 1;
        }
    }

    /// Keeps the lease of a service that the caller has entered. Threads that enter one service replace each other's
    /// entries, and of their leases the one that has not lapsed is kept. Returns the other lease, or the caller's if the
    /// service was removed meanwhile.
    pub(super) fn hold(
        &mut self,
        id: Id,
        lease: Lease<K, V>,
        now: Instant,
    ) -> Result<Option<Lease<K, V>>, Lease<K, V>> {
        let Some(service) = self.services.get_mut(&id) else { return Err(lease) };
        service.entering -= 1;
        let is_held = service.lease.as_ref().is_some_and(|held| !held.has_lapsed(now));
        Ok(if is_held { Some(lease) } else { service.lease.replace(lease) })
    }

    /// Removes a service that the caller could not enter, because its key stands for another. The service stays if another
    /// thread has entered it, or is entering it.
    pub(super) fn lose(&mut self, id: Id, now: Instant) -> Option<Service<K, V>> {
        let service = self.services.get_mut(&id)?;
        service.entering -= 1;
        let is_held = service.lease.as_ref().is_some_and(|held| !held.has_lapsed(now));
        if is_held || service.entering > 0 { None } else { self.forget(id) }
    }

    /// Renews a service that is due. It is due again `after` later.
    pub(super) fn take_due(&mut self, now: Instant, after: Duration) -> Option<Due<K, V>> {
        let &(at, id) = self.due.first()?;
        if at > now {
            return None;
        }
        self.due.remove(&(at, id));
        let service = self.services.get_mut(&id)?;
        service.at = now + after;
        self.due.insert((service.at, id));
        let standing = if service.entering > 0 {
            Standing::Entering
        } else if service.lease.as_ref().is_some_and(|lease| lease.renew(now).is_ok()) {
            Standing::Renewed
        } else {
            service.entering = 1;
            Standing::Lapsed
        };
        let (key, value) = (service.key.clone(), service.value.clone());
        Some(Due { id, key, value, standing })
    }
}
