//! The builder of a registry.

use std::fmt;
use std::hash::Hash;
use std::sync::Arc;

use tidegate_core::registry::{Arrival, Builder, Departure, Peer, RegistryPass, Terms};
use tidegate_core::{Clock, MapError, Worker};

use super::{Registry, Shared};
use crate::clock::OwnClock;
use crate::collected::Collected;
use crate::housekeeping::Housekeeper;
use crate::panics::{Foreign, contained};
use crate::pin::domain;
use crate::random_state;
use crate::runtime::{Runtime, Schedule};

/// Builds a [`Registry`]: see [`Registry::builder`].
#[must_use = "a builder does nothing until it builds"]
pub struct RegistryBuilder<K, V, N = u64, P = ()> {
    engine: Builder<K, V, N, P>,
    name: Option<String>,
    clock: OwnClock,
    housekeeper: Housekeeper,
}

impl<K, V, N, P> Registry<K, V, N, P>
where
    K: Hash + Eq + Send + Sync + 'static,
    V: Send + Sync + 'static,
    N: Eq + Send + Sync + 'static,
    P: Send + Sync + 'static,
{
    /// Returns a builder of a registry without bounds.
    ///
    /// ```
    /// use std::time::Duration;
    /// use tidegate::Registry;
    /// use tidegate::registry::{Terms, WhenFull};
    ///
    /// let terms = Terms::new(Duration::from_secs(30)).max_entries(10_000, WhenFull::Refuse);
    /// let registry: Registry<&str, u16> = Registry::builder()
    ///     .services(terms)
    ///     .on_service(|name, port, cause| println!("{name} at {port}: {cause:?}"))
    ///     .build();
    /// # _ = registry;
    /// ```
    pub fn builder() -> RegistryBuilder<K, V, N, P> {
        RegistryBuilder {
            engine: tidegate_core::Registry::builder(),
            name: None,
            clock: OwnClock::default(),
            housekeeper: Housekeeper::default(),
        }
    }
}

impl<K, V, N, P> RegistryBuilder<K, V, N, P>
where
    K: Hash + Eq + Send + Sync + 'static,
    V: Send + Sync + 'static,
    N: Eq + Send + Sync + 'static,
    P: Send + Sync + 'static,
{
    /// Gives the registry a name: that of its sweep in the runtime, and its label in metrics. Registries without a name
    /// share a label.
    pub fn name(mut self, name: &str) -> Self {
        self.name = Some(name.to_owned());
        self
    }

    /// Sets the terms of services. For 300 seconds and unbounded by default.
    pub fn services(mut self, terms: Terms) -> Self {
        self.engine = self.engine.services(terms);
        self
    }

    /// Sets the terms of lists of providers. For 60 seconds and unbounded by default.
    pub fn discovered(mut self, terms: Terms) -> Self {
        self.engine = self.engine.discovered(terms);
        self
    }

    /// Sets the terms of lists of subscribers. For 60 seconds and unbounded by default.
    pub fn subscribers(mut self, terms: Terms) -> Self {
        self.engine = self.engine.subscribers(terms);
        self
    }

    /// Sets a function that is called with each service that is removed, and why. The thread that removes the service
    /// calls it, so it should not block. Its panics are [contained](crate::caught_panics).
    pub fn on_service(mut self, hook: impl Fn(&K, &V, Departure) + Send + Sync + 'static) -> Self {
        self.engine = self.engine.on_service(containing(hook));
        self
    }

    /// Sets a function that is called with each service that is advertised, and how it came: where none lived, or in the
    /// place of another, which it is shown as well. The thread that advertises the service calls it, so it should not
    /// block. Its panics are [contained](crate::caught_panics).
    ///
    /// Each service arrives once and departs once, in this order, whatever threads race. A service that is replaced
    /// departs before its successor arrives, unless calls of the key race. Those may tell of different services in any
    /// order, so keep them by service, not by key alone.
    ///
    /// ```
    /// use std::sync::{Arc, Mutex};
    /// use tidegate::Registry;
    /// use tidegate::registry::Arrival;
    ///
    /// // The ports there are, for others to read.
    /// let ports: Arc<Mutex<Vec<u16>>> = Arc::default();
    /// let (come, gone) = (Arc::clone(&ports), Arc::clone(&ports));
    /// let registry: Registry<&str, u16> = Registry::builder()
    ///     .on_service_arrival(move |name, &port, arrival| {
    ///         if let Arrival::Replaced(old) = arrival {
    ///             println!("{name} has moved from {old} to {port}");
    ///         }
    ///         come.lock().unwrap().push(port);
    ///     })
    ///     .on_service(move |_, port, _| gone.lock().unwrap().retain(|other| other != port))
    ///     .build();
    ///
    /// drop(registry.services().advertise("mail", 25)?);
    /// drop(registry.services().advertise("mail", 2525)?);
    /// assert_eq!(*ports.lock().unwrap(), [2525]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn on_service_arrival(
        mut self,
        hook: impl Fn(&K, &V, Arrival<'_, V>) + Send + Sync + 'static,
    ) -> Self {
        self.engine = self.engine.on_service_arrival(arriving(hook));
        self
    }

    /// Sets a function that is called with each list of providers that is stored, as
    /// [`on_service_arrival`](Self::on_service_arrival) does for services.
    pub fn on_discovered_arrival(
        mut self,
        hook: impl Fn(&K, &[Peer<N, P>], Arrival<'_, [Peer<N, P>]>) + Send + Sync + 'static,
    ) -> Self {
        self.engine = self.engine.on_discovered_arrival(arriving(hook));
        self
    }

    /// Sets a function that is called with each list of subscribers that is stored, as
    /// [`on_service_arrival`](Self::on_service_arrival) does for services.
    pub fn on_subscribers_arrival(
        mut self,
        hook: impl Fn(&K, &[Peer<N, P>], Arrival<'_, [Peer<N, P>]>) + Send + Sync + 'static,
    ) -> Self {
        self.engine = self.engine.on_subscribers_arrival(arriving(hook));
        self
    }

    /// Sets a function that is called with each list of providers that is removed, as
    /// [`on_service`](Self::on_service) does for services.
    pub fn on_discovered(
        mut self,
        hook: impl Fn(&K, &[Peer<N, P>], Departure) + Send + Sync + 'static,
    ) -> Self {
        self.engine = self.engine.on_discovered(containing(hook));
        self
    }

    /// Sets a function that is called with each list of subscribers that is removed, as
    /// [`on_service`](Self::on_service) does for services.
    pub fn on_subscribers(
        mut self,
        hook: impl Fn(&K, &[Peer<N, P>], Departure) + Send + Sync + 'static,
    ) -> Self {
        self.engine = self.engine.on_subscribers(containing(hook));
        self
    }

    /// Sets the clock. [That of the process](crate::clock()) by default.
    pub fn clock(mut self, clock: impl Clock + Send + Sync + 'static) -> Self {
        self.clock = OwnClock::given(clock);
        self
    }

    /// Has `runtime` free expired entries, in place of the process's thread.
    pub fn runtime(mut self, runtime: &Runtime) -> Self {
        self.housekeeper = Housekeeper::Given(runtime.clone());
        self
    }

    /// Leaves freeing expired entries to calls of [`prune_all`](Registry::prune_all). Call it several times in each time
    /// to live.
    pub fn manual(mut self) -> Self {
        self.housekeeper = Housekeeper::Manual;
        self
    }

    /// Builds the registry.
    ///
    /// # Panics
    ///
    /// If there is no memory for an empty registry: [`try_build`](Self::try_build) returns that as an error.
    pub fn build(self) -> Registry<K, V, N, P> {
        match self.try_build() {
            Ok(registry) => registry,
            Err(error) => panic!("registry: {error}"),
        }
    }

    /// Builds the registry.
    ///
    /// # Errors
    ///
    /// If there is no memory for an empty registry.
    pub fn try_build(self) -> Result<Registry<K, V, N, P>, MapError> {
        let Self { engine, name, clock, housekeeper } = self;
        let engine = engine.build(domain(), random_state())?;
        let schedule = Schedule::checked(engine.sweep_interval());
        let shared = Arc::new(Collected::new(Shared { engine, clock }));
        let mut pass = RegistryPass::new();
        let step = move |shared: &Collected<Shared<K, V, N, P>>, worker: &mut Worker, budget| {
            shared.step(&mut pass, worker, budget)
        };
        let kept = housekeeper.keep("registry", name.as_deref(), schedule, &shared, step);
        Ok(Registry { shared, _kept: kept })
    }
}

/// Wraps a hook, and contains its panics. In the engine they would unwind through the call that removes an entry.
fn containing<K, V: ?Sized>(
    hook: impl Fn(&K, &V, Departure) + Send + Sync + 'static,
) -> impl Fn(&K, &V, Departure) + Send + Sync + 'static {
    let hook = Foreign::new(hook);
    move |key, value, cause| _ = contained(|| hook(key, value, cause))
}

/// Wraps a hook for arrivals, and contains its panics, as [`containing`] does.
fn arriving<K, V: ?Sized>(
    hook: impl Fn(&K, &V, Arrival<'_, V>) + Send + Sync + 'static,
) -> impl Fn(&K, &V, Arrival<'_, V>) + Send + Sync + 'static {
    let hook = Foreign::new(hook);
    move |key, value, arrival| _ = contained(|| hook(key, value, arrival))
}

impl<K, V, N, P> fmt::Debug for RegistryBuilder<K, V, N, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RegistryBuilder").field("engine", &self.engine).finish_non_exhaustive()
    }
}
