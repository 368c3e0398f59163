//! The three namespaces of a registry, and its builder.

use alloc::boxed::Box;
use core::fmt;
use core::hash::{BuildHasher, Hash};
use core::time::Duration;

use super::ledger::Hooks;
use super::namespace::Namespace;
use super::peers::List;
use super::{Lists, Peer, Services, Terms};
use crate::hash::SeededState;
use crate::map::MapError;
use crate::reclaim::{Domain, Guard};
use crate::registry::{Arrival, Departure};
use crate::time::Instant;

/// A registry of local services, of the peers that provide services elsewhere, and of the peers
/// that subscribe to topics.
///
/// `K` names services and topics, and `V` is a local service. `N` names a peer, and `P` is what is
/// known of it.
///
/// # Guarantees
///
/// * An entry that has ended is never handed out, whether it was pruned or not. An entry that is
///   renewed in time is never removed.
/// * A [`Lease`](super::Lease) acts on the service that it was given for. Only `renew_any` and
///   `withdraw_any` act on any service that a key stands for.
/// * Each entry that is entered is passed to its namespace's hook for
///   [arrivals](Builder::on_service_arrival) exactly once, and each that is removed to its hook for
///   departures exactly once, with the reason. The arrival of an entry is told before its departure.
///   The call that enters or removes it calls the hook, and then holds nothing that others could
///   wait for. The registry stays whole if a hook panics.
/// * There are never more entries in a namespace than its [terms](Terms) say.
/// * A change in one namespace changes nothing in another.
///
/// # Memory
///
/// The terms' `max_entries` bound the memory; expired entries count until they are pruned or swept.
/// Beside that there are removed entries that are not freed yet, of this or any other structure of
/// the domain. There is also an entry for each lease of a service that was removed.
///
/// # Panics
///
/// Every call panics if its guard is of another domain, before it does anything. A panic of `Hash`,
/// `Eq` or `Clone` leaves the call in which it came up, and the registry whole. No place of
/// `max_entries` is lost.
///
/// # Time
///
/// Instants are those of one clock, within 73 years of its origin.
///
/// # Progress and cost
///
/// Every call is lock-free. Resolving a service is a get of the map; nothing is cloned. An entry
/// takes two words beside key and value in the map.
///
/// # Examples
///
/// ```
/// use core::time::Duration;
/// use tidegate_core::{Domain, Instant, Registry, SeededState};
///
/// let domain = Domain::new();
/// let registry: Registry<String, fn(u32) -> u32, u64, &str> =
///     Registry::builder().build(&domain, SeededState::new(0x5eed))?;
/// let (mut worker, now) = (domain.worker(), Instant::from_secs(1));
///
/// let services = registry.services();
/// let lease = services.advertise("double".to_owned(), |x| 2 * x, now, worker.quiescent(now))?;
/// let later = now + Duration::from_secs(200);
/// lease.renew(later)?;
/// let guard = worker.quiescent(later);
/// assert_eq!(services.resolve("double", later, guard).map(|f| f(21)), Some(42));
/// let end = later + Duration::from_secs(300);
/// assert!(services.resolve("double", end, guard).is_none());
/// assert_eq!(services.prune(end, guard), 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Registry<K, V, N, P, S = SeededState>
where
    K: Send + 'static,
    V: Send + 'static,
    N: Send + 'static,
    P: Send + 'static,
{
    pub(super) services: Namespace<K, V, S>,
    pub(super) discovered: Namespace<K, List<N, P>, S>,
    pub(super) subscribers: Namespace<K, List<N, P>, S>,
}

/// How many entries were pruned of each namespace.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pruned {
    /// Local services.
    pub services: usize,
    /// Lists of providers.
    pub discovered: usize,
    /// Lists of subscribers.
    pub subscribers: usize,
}

/// Builds a [`Registry`]. [`Registry::builder`] creates it.
#[must_use = "a builder builds nothing until `build` is called"]
pub struct Builder<K, V, N, P> {
    services: Kind<K, V>,
    discovered: Kind<K, List<N, P>>,
    subscribers: Kind<K, List<N, P>>,
}

/// The settings of a namespace.
struct Kind<K, V> {
    terms: Terms,
    hooks: Hooks<K, V>,
}

impl<K, V> Kind<K, V> {
    fn new(ttl: Duration) -> Self {
        Self { terms: Terms::new(ttl), hooks: Hooks::NONE }
    }
}

impl<K, V, N, P> Builder<K, V, N, P>
where
    K: Send + 'static,
    V: Send + 'static,
    N: Send + Sync + 'static,
    P: Send + Sync + 'static,
{
    /// Sets the terms of services. By default they live for 300 seconds, and their number is not
    /// bounded.
    pub fn services(mut self, terms: Terms) -> Self {
        self.services.terms = terms;
        self
    }

    /// Sets the terms of lists of providers. By default they live for 60 seconds.
    pub fn discovered(mut self, terms: Terms) -> Self {
        self.discovered.terms = terms;
        self
    }

    /// Sets the terms of lists of subscribers. By default they live for 60 seconds.
    pub fn subscribers(mut self, terms: Terms) -> Self {
        self.subscribers.terms = terms;
        self
    }

    /// Calls `hook` for every service that is removed: to cancel its timers, for instance.
    pub fn on_service(mut self, hook: impl Fn(&K, &V, Departure) + Send + Sync + 'static) -> Self {
        self.services.hooks.departed = Some(Box::new(hook));
        self
    }

    /// Calls `hook` for every service that is entered, with how it came: where none lived, or in the
    /// place of another, which it is shown as well.
    ///
    /// Each service that is entered arrives once and departs once, in this order, whatever threads
    /// race: so those that arrived and have not departed are the services that live, or have ended
    /// and were not pruned. The call that enters a service tells its arrival, after the
    /// departure of the service that was replaced. If the new one is removed by another thread in
    /// the meantime, the same call tells that as well. Calls of one key that race may tell of
    /// *different* services in any order: keep them by service, not by key alone. If a hook panics
    /// in the call that enters a service, the service is removed, and its departure is not told.
    ///
    /// ```
    /// use std::sync::{Arc, Mutex};
    ///
    /// use tidegate_core::registry::Arrival;
    /// use tidegate_core::{Domain, Instant, Registry, SeededState};
    ///
    /// // The ports there are, for others to read.
    /// let ports: Arc<Mutex<Vec<u16>>> = Arc::default();
    /// let (come, gone) = (Arc::clone(&ports), Arc::clone(&ports));
    /// let domain = Domain::new();
    /// let registry: Registry<&str, u16, u64, ()> = Registry::builder()
    ///     .on_service_arrival(move |name, &port, arrival| {
    ///         if let Arrival::Replaced(old) = arrival {
    ///             println!("{name} has moved from {old} to {port}");
    ///         }
    ///         come.lock().unwrap().push(port);
    ///     })
    ///     .on_service(move |_, port, _| gone.lock().unwrap().retain(|other| other != port))
    ///     .build(&domain, SeededState::new(0x5eed))?;
    ///
    /// let (mut worker, now) = (domain.worker(), Instant::from_secs(1));
    /// let guard = worker.quiescent(now);
    /// drop(registry.services().advertise("mail", 25, now, guard)?);
    /// let lease = registry.services().advertise("mail", 2525, now, guard)?;
    /// assert_eq!(*ports.lock().unwrap(), [2525]);
    /// registry.services().withdraw(lease, now, guard);
    /// assert!(ports.lock().unwrap().is_empty());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn on_service_arrival(
        mut self,
        hook: impl Fn(&K, &V, Arrival<'_, V>) + Send + Sync + 'static,
    ) -> Self {
        self.services.hooks.arrived = Some(Box::new(hook));
        self
    }

    /// Calls `hook` for every list of providers that is removed, with all that were in it.
    pub fn on_discovered(
        mut self,
        hook: impl Fn(&K, &[Peer<N, P>], Departure) + Send + Sync + 'static,
    ) -> Self {
        self.discovered.hooks.departed =
            Some(Box::new(move |key, list, cause| hook(key, list.peers(), cause)));
        self
    }

    /// Calls `hook` for every list of providers that is entered, with all that are in it. Of lists
    /// it says the same as [`on_service_arrival`](Self::on_service_arrival) does of services.
    pub fn on_discovered_arrival(
        mut self,
        hook: impl Fn(&K, &[Peer<N, P>], Arrival<'_, [Peer<N, P>]>) + Send + Sync + 'static,
    ) -> Self {
        self.discovered.hooks.arrived = Some(Box::new(move |key, list, arrival| {
            hook(key, list.peers(), arrival.map(List::peers));
        }));
        self
    }

    /// Calls `hook` for every list of subscribers that is removed, with all that were in it.
    pub fn on_subscribers(
        mut self,
        hook: impl Fn(&K, &[Peer<N, P>], Departure) + Send + Sync + 'static,
    ) -> Self {
        self.subscribers.hooks.departed =
            Some(Box::new(move |key, list, cause| hook(key, list.peers(), cause)));
        self
    }

    /// Calls `hook` for every list of subscribers that is entered, with all that are in it. Of lists
    /// it says the same as [`on_service_arrival`](Self::on_service_arrival) does of services.
    pub fn on_subscribers_arrival(
        mut self,
        hook: impl Fn(&K, &[Peer<N, P>], Arrival<'_, [Peer<N, P>]>) + Send + Sync + 'static,
    ) -> Self {
        self.subscribers.hooks.arrived = Some(Box::new(move |key, list, arrival| {
            hook(key, list.peers(), arrival.map(List::peers));
        }));
        self
    }
}

impl<K, V, N, P> Builder<K, V, N, P>
where
    K: Hash + Eq + Send + Sync + 'static,
    V: Send + Sync + 'static,
    N: Eq + Send + Sync + 'static,
    P: Send + Sync + 'static,
{
    /// Builds the registry in `domain`. `hasher` hashes its keys.
    ///
    /// # Errors
    ///
    /// Fails with [`MapError::OutOfMemory`].
    pub fn build<S: BuildHasher + Clone>(
        self,
        domain: &Domain,
        hasher: S,
    ) -> Result<Registry<K, V, N, P, S>, MapError> {
        let Self { services, discovered, subscribers } = self;
        Ok(Registry {
            services: Namespace::new(domain, hasher.clone(), services.terms, services.hooks)?,
            discovered: Namespace::new(domain, hasher.clone(), discovered.terms, discovered.hooks)?,
            subscribers: Namespace::new(domain, hasher, subscribers.terms, subscribers.hooks)?,
        })
    }
}

impl<K, V, N, P> Registry<K, V, N, P>
where
    K: Send + 'static,
    V: Send + 'static,
    N: Send + 'static,
    P: Send + 'static,
{
    /// Creates a builder with the default terms.
    pub fn builder() -> Builder<K, V, N, P> {
        let lists = Duration::from_secs(60);
        Builder {
            services: Kind::new(Duration::from_secs(300)),
            discovered: Kind::new(lists),
            subscribers: Kind::new(lists),
        }
    }
}

impl<K, V, N, P, S> Registry<K, V, N, P, S>
where
    K: Hash + Eq + Send + Sync + 'static,
    V: Send + Sync + 'static,
    N: Eq + Send + Sync + 'static,
    P: Send + Sync + 'static,
    S: BuildHasher,
{
    /// Removes everything that has ended, and returns how many entries there were. The call looks
    /// at all tables whole. For steps within a budget, see [`sweeper`](Self::sweeper).
    pub fn prune_all(&self, now: Instant, guard: &Guard) -> Pruned {
        Pruned {
            services: self.services().prune(now, guard),
            discovered: self.discovered().prune(now, guard),
            subscribers: self.subscribers().prune(now, guard),
        }
    }
}

impl<K, V, N, P, S> Registry<K, V, N, P, S>
where
    K: Send + 'static,
    V: Send + 'static,
    N: Send + 'static,
    P: Send + 'static,
{
    /// Returns the local services.
    pub fn services(&self) -> Services<'_, K, V, S> {
        Services(&self.services)
    }

    /// Returns the lists of the providers of services elsewhere.
    pub fn discovered(&self) -> Lists<'_, K, N, P, S> {
        Lists(&self.discovered)
    }

    /// Returns the lists of the subscribers of topics.
    pub fn subscribers(&self) -> Lists<'_, K, N, P, S> {
        Lists(&self.subscribers)
    }

    /// Returns how often the terms want the registry to be [swept](Self::sweeper).
    ///
    /// It is five times in the shortest time to live, and three times in the shortest
    /// [allowance](Terms::allow_for_stalls). It is at most once a millisecond and at least once an
    /// hour.
    pub fn sweep_interval(&self) -> Duration {
        let Self { services, discovered, subscribers } = self;
        let terms = [services.terms(), discovered.terms(), subscribers.terms()];
        terms.map(Terms::sweep_interval).into_iter().min().unwrap_or(Duration::MAX)
    }
}

impl<K, V, N, P, S> fmt::Debug for Registry<K, V, N, P, S>
where
    K: Send + 'static,
    V: Send + 'static,
    N: Send + 'static,
    P: Send + 'static,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registry")
            .field("services", &self.services.len())
            .field("discovered", &self.discovered.len())
            .field("subscribers", &self.subscribers.len())
            .finish()
    }
}

impl<K, V, N, P> fmt::Debug for Builder<K, V, N, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("services", &self.services.terms)
            .field("discovered", &self.discovered.terms)
            .field("subscribers", &self.subscribers.terms)
            .finish_non_exhaustive()
    }
}
