//! Services of this process, advertised for as long as they run.

mod host;
mod ours;

use std::fmt;
use std::hash::{BuildHasher, Hash, RandomState};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tidegate_core::registry::{EnterError, Lease, RegistryError};
use tidegate_core::{Budget, Clock, Instant, SeededState, Sweep, Swept};

use self::host::{Engine, Host};
use self::ours::{Due, Id, Ours, Service, Standing};
use crate::panics::{contained, dispose};
use crate::pin;
use crate::registry::Registry;

/// A service is advertised no more often than this, unless its time to live is less than twice as long.
const SELDOM: Duration = Duration::from_secs(10);

type Hook<K, V> = Arc<dyn Fn(&K, &V) + Send + Sync>;

/// Advertises services in a registry, and renews them in time, until they are withdrawn.
///
/// An advertiser is a [`Sweep`], to be given to a [`Runtime`](crate::Runtime), whose steps renew the services that
/// are due. It reads the clock of its registry, whatever time the runtime has. Clones share the services.
///
/// A service is renewed a margin before it would expire. Two renewals are at least ten seconds apart, or half the time
/// to live if that is shorter. A function that tells other machines ([`announce`](Self::announce)) is called at each
/// renewal, so that the service expires there no sooner than here.
///
/// An advertiser acts on what it has advertised, by its lease, and never on another service of the same key. A
/// service that was removed, or has expired, is advertised again when it is due. It is not if its key stands for another
/// service by then. A service whose key another caller has taken is lost: it is advertised no
/// longer, and [`on_lost`](Self::on_lost) is called. When all clones are dropped, the services stay until they
/// expire.
///
/// # Panics
///
/// A panic of `Hash`, `Eq` or `Clone` of a key or a value unwinds through the call, and the services stay as they
/// were. In a step of a sweep such a panic is contained, and the other services of the step are renewed all the
/// same. Panics of destructors, of `announce` and of the registry's hook are contained in every call.
///
/// All calls panic if a registry of the engine is not in [the domain of the process](crate::domain).
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use tidegate::{Advertiser, Registry, Runtime, Schedule};
///
/// let registry: Registry<String, u16> = Registry::new();
/// let ours = Advertiser::new(&registry, Duration::from_secs(300), Duration::from_secs(60));
/// ours.advertise("mail".to_owned(), 25)?;
/// assert_eq!(registry.services().resolve("mail"), Some(25));
///
/// let runtime = Runtime::builder().build()?;
/// runtime.sweep("services", Schedule::every(Duration::from_secs(5))?, ours.clone())?;
/// runtime.start()?; // renews the service every 240 seconds
///
/// ours.withdraw(&"mail".to_owned());
/// assert!(registry.services().resolve("mail").is_none());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Advertiser<K, V, S = SeededState>
where
    K: Send + 'static,
    V: Send + 'static,
{
    host: Arc<dyn Host<K, V, S>>,
    ttl: Duration,
    after: Duration,
    announce: Option<Hook<K, V>>,
    on_lost: Option<Hook<K, V>>,
    hasher: RandomState,
    ours: Arc<Mutex<Ours<K, V>>>,
}

impl<K, V> Advertiser<K, V>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    /// Creates an advertiser in `registry`, whose services expire after `ttl` and are renewed `margin` before that.
    /// The advertiser keeps the registry alive.
    pub fn new<N, P>(registry: &Registry<K, V, N, P>, ttl: Duration, margin: Duration) -> Self
    where
        N: Eq + Send + Sync + 'static,
        P: Send + Sync + 'static,
    {
        Self::with(Arc::new(registry.clone()), ttl, margin)
    }
}

impl<K, V, S> Advertiser<K, V, S>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
    S: BuildHasher + Send + Sync + 'static,
{
    /// Creates an advertiser as [`new`](Advertiser::new) does, in a registry of the engine whose services expire by
    /// `clock`.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use std::time::Duration;
    /// use tidegate::lockfree::{Registry, registry::Terms};
    /// use tidegate::{Advertiser, Clock, clock, domain, pin, random_state};
    ///
    /// let (ttl, margin, clock) = (Duration::from_secs(300), Duration::from_secs(60), clock());
    /// let registry: Arc<Registry<String, u16, (), ()>> =
    ///     Arc::new(Registry::builder().services(Terms::new(ttl)).build(domain(), random_state())?);
    /// let ours = Advertiser::over(Arc::clone(&registry), ttl, margin, clock.clone());
    /// ours.advertise("mail".to_owned(), 25)?;
    /// assert_eq!(registry.services().resolve("mail", clock.now(), &pin()), Some(&25));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn over<N, P>(
        registry: Arc<tidegate_core::Registry<K, V, N, P, S>>,
        ttl: Duration,
        margin: Duration,
        clock: impl Clock + Send + Sync + 'static,
    ) -> Self
    where
        N: Eq + Send + Sync + 'static,
        P: Send + Sync + 'static,
    {
        Self::with(Arc::new(Engine::new(registry, clock)), ttl, margin)
    }

    fn with(host: Arc<dyn Host<K, V, S>>, ttl: Duration, margin: Duration) -> Self {
        let after = ttl.saturating_sub(margin).max(SELDOM.min(ttl / 2));
        let (hasher, ours) = (RandomState::new(), Arc::new(Mutex::new(Ours::new())));
        Self { host, ttl, after, announce: None, on_lost: None, hasher, ours }
    }

    /// Sets a function that is called with each service when it is advertised, and each time that it is renewed: to
    /// tell other machines. Its panics are contained.
    #[must_use]
    pub fn announce(mut self, announce: impl Fn(&K, &V) + Send + Sync + 'static) -> Self {
        self.announce = Some(Arc::new(announce));
        self
    }

    /// Sets a function that is called with each service whose key another caller has taken, once, when the service
    /// would have been renewed. The service is advertised no longer. The function's panics are contained.
    #[must_use]
    pub fn on_lost(mut self, on_lost: impl Fn(&K, &V) + Send + Sync + 'static) -> Self {
        self.on_lost = Some(Arc::new(on_lost));
        self
    }

    /// Returns how long after it was advertised a service is renewed.
    pub fn renewed_after(&self) -> Duration {
        self.after
    }

    /// Advertises a service from now on, in place of the one that its key stands for, if there is one.
    ///
    /// # Errors
    ///
    /// Any [`RegistryError`](crate::registry::RegistryError) but `Taken`, with key and service handed back. Then nothing
    /// is advertised for the key from now on, and a service that is registered for it stays until it expires.
    pub fn advertise(&self, key: K, value: V) -> Result<(), EnterError<(K, V)>> {
        let now = self.host.now();
        let (held, its) = (Arc::new(key.clone()), Arc::new(value.clone()));
        let (id, before) = self.with_own(&key, |ours, hash, own| {
            let before = own.and_then(|id| ours.forget(id));
            (ours.add(hash, held, its, now + self.after), before)
        });
        let entering = Entering { ours: &self.ours, id, is_new: true };
        dispose(before);
        match self.enter(&key, &value, now) {
            Ok(lease) => self.hold(entering, &key, lease, now),
            Err(rejected) => {
                drop(entering);
                let EnterError { error, value: (theirs, its) } = rejected;
                dispose(theirs);
                dispose(its);
                return Err(EnterError { error, value: (key, value) });
            }
        }
        self.tell(id, &key);
        dispose(key);
        dispose(value);
        Ok(())
    }

    /// Withdraws the service that this advertiser has advertised for `key`, and advertises it no longer. Returns whether
    /// there was one. A service that another caller has advertised for the key stays.
    pub fn withdraw(&self, key: &K) -> bool {
        let gone = self.with_own(key, |ours, _, own| own.and_then(|id| ours.forget(id)));
        let Some(Service { key, value, lease, .. }) = gone else { return false };
        if let Some(lease) = lease {
            self.give_up(lease, self.host.now());
        }
        dispose(key);
        dispose(value);
        true
    }

    /// Returns clones of the keys of the services that are advertised, in no order.
    pub fn active(&self) -> Vec<K> {
        let keys = self.ours().keys();
        let active = keys.iter().map(|key| K::clone(key)).collect();
        dispose(keys);
        active
    }

    fn ours(&self) -> MutexGuard<'_, Ours<K, V>> {
        self.ours.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs `act` under the lock with the hash of a key and the service of ours that the key stands for. Keys are hashed
    /// and compared without the lock: that is other people's code, and may call the advertiser.
    fn with_own<R>(&self, key: &K, act: impl FnOnce(&mut Ours<K, V>, u64, Option<Id>) -> R) -> R {
        let hash = self.hasher.hash_one(key);
        loop {
            let alike = self.ours().alike(hash);
            let own = alike.iter().find(|(_, other)| ***other == *key).map(|(id, _)| *id);
            let mut ours = self.ours();
            if ours.are_alike(hash, &alike) {
                let result = act(&mut ours, hash, own);
                drop(ours);
                dispose(alike);
                return result;
            }
            drop(ours);
            dispose(alike);
        }
    }

    /// Enters a service into the registry, in place of the one that the key stands for.
    fn enter(&self, key: &K, value: &V, now: Instant) -> Result<Lease<K, V>, EnterError<(K, V)>> {
        let enter = || {
            let (key, value) = (key.clone(), value.clone());
            self.host.services().advertise_for(key, value, self.ttl, now, &pin())
        };
        twice(enter)
    }

    /// Keeps the lease of a service that was entered. If another call has advertised another service of the key
    /// meanwhile, enters that one. The last thread to act looks again after that, so however calls race, the registry
    /// ends up with the service that was advertised last.
    fn hold(&self, entering: Entering<'_, K, V>, key: &K, lease: Lease<K, V>, now: Instant) {
        let (mut entering, mut lease) = (entering, lease);
        while let Err(unasked) = entering.hold(lease, now) {
            if !self.give_up(unasked, now) {
                // Another service has taken its place since, and the thread that entered that one goes on from here.
                return;
            }
            // The service may have displaced the one that is to be advertised now.
            let next = self.with_own(key, |ours, _, own| Some((own?, ours.enter(own?)?)));
            let Some((id, value)) = next else { return };
            entering = Entering { ours: &self.ours, id, is_new: false };
            // A service that is refused is due again later.
            match self.enter(key, &value, now) {
                Ok(entered) => lease = entered,
                Err(EnterError { value: (theirs, its), .. }) => {
                    dispose(theirs);
                    dispose(its);
                    return;
                }
            }
            dispose(value);
        }
    }

    /// Withdraws a service that was entered, and gives its room back. Returns whether it had not expired.
    fn give_up(&self, lease: Lease<K, V>, now: Instant) -> bool {
        // A hook that panics was called with a service that had not expired.
        contained(|| self.host.services().withdraw(lease, now, &pin())).unwrap_or(true)
    }

    /// Announces a service, if it is still ours.
    fn tell(&self, id: Id, key: &K) {
        let Some(announce) = &self.announce else { return };
        let Some(value) = self.ours().value(id) else { return };
        contained(|| announce(key, &value));
        dispose(value);
    }

    /// Enters a service again whose lease has lapsed, unless its key stands for another service. A service that the
    /// registry refuses is tried again when it is due again.
    fn come_back(&self, due: &Due<K, V>, now: Instant) {
        let entering = Entering { ours: &self.ours, id: due.id, is_new: false };
        let entered = twice(|| {
            let (key, value) = (K::clone(&due.key), V::clone(&due.value));
            let ttl = Some(self.ttl.into());
            self.host.services().advertise_if_absent(key, value, ttl, now, &pin())
        });
        match entered {
            Ok(lease) => match entering.hold(lease, now) {
                Ok(()) => self.tell(due.id, &due.key),
                // The service has displaced no other.
                Err(unasked) => _ = self.give_up(unasked, now),
            },
            Err(EnterError { error: RegistryError::Taken, .. }) => {
                if let Some(lost) = entering.lose(now) {
                    if let Some(on_lost) = &self.on_lost {
                        contained(|| on_lost(&lost.key, &lost.value));
                    }
                    dispose(lost);
                }
            }
            Err(_) => {}
        }
    }
}

/// Enters a service into the registry. If the registry's hook panics, nothing was entered, but the service of whose
/// departure the hook was told has been removed. So the second attempt tells of no departure, and its panic has another
/// cause: a hook for arrivals, say, which keeps the service out.
fn twice<T>(enter: impl Fn() -> T) -> T {
    contained(&enter).unwrap_or_else(enter)
}

/// An attempt to enter a service into the registry. If it is dropped, it has failed, and a new service is forgotten.
struct Entering<'a, K, V> {
    ours: &'a Mutex<Ours<K, V>>,
    id: Id,
    is_new: bool,
}

impl<K, V> Entering<'_, K, V> {
    fn ours(&self) -> MutexGuard<'_, Ours<K, V>> {
        self.ours.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends the attempt with a lease. Hands the lease back if the service was forgotten meanwhile.
    fn hold(self, lease: Lease<K, V>, now: Instant) -> Result<(), Lease<K, V>> {
        let held = self.ours().hold(self.id, lease, now);
        std::mem::forget(self);
        held.map(dispose)
    }

    /// Ends the attempt without one, since the key stands for another service. Returns the service that is lost.
    fn lose(self, now: Instant) -> Option<Service<K, V>> {
        let lost = self.ours().lose(self.id, now);
        std::mem::forget(self);
        lost
    }
}

impl<K, V> Drop for Entering<'_, K, V> {
    fn drop(&mut self) {
        let mut ours = self.ours();
        let gone = if self.is_new { ours.forget(self.id) } else { None };
        ours.leave(self.id);
        drop(ours);
        dispose(gone);
    }
}

impl<K, V, S> Sweep for Advertiser<K, V, S>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
    S: BuildHasher + Send + Sync + 'static,
{
    fn sweep(&mut self, _now: Instant, budget: Budget) -> Swept {
        // The runtime's clock may count from another origin than the registry's.
        let now = self.host.now();
        let mut step = Swept { wrapped: true, ..Swept::default() };
        // A service that was just renewed is due at least a nanosecond later. At the end of time there is no later, and
        // each service is renewed once.
        let after = self.after.max(Duration::from_nanos(1));
        let most = self.ours().len();
        loop {
            if step.visited >= budget.get() {
                step.wrapped = false;
                return step;
            }
            if step.visited >= most {
                return step;
            }
            let Some(due) = self.ours().take_due(now, after) else {
                return step;
            };
            step.visited += 1;
            // A panic keeps no other service from being renewed.
            contained(|| {
                match due.standing {
                    Standing::Renewed => self.tell(due.id, &due.key),
                    Standing::Lapsed => self.come_back(&due, now),
                    Standing::Entering => {}
                }
                drop(due);
            });
        }
    }
}

impl<K, V, S> Clone for Advertiser<K, V, S>
where
    K: Send + 'static,
    V: Send + 'static,
{
    fn clone(&self) -> Self {
        Self {
            host: Arc::clone(&self.host),
            ttl: self.ttl,
            after: self.after,
            announce: self.announce.clone(),
            on_lost: self.on_lost.clone(),
            hasher: self.hasher.clone(),
            ours: Arc::clone(&self.ours),
        }
    }
}

impl<K, V, S> fmt::Debug for Advertiser<K, V, S>
where
    K: Send + 'static,
    V: Send + 'static,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let services = self.ours.lock().unwrap_or_else(PoisonError::into_inner).len();
        f.debug_struct("Advertiser").field("services", &services).finish_non_exhaustive()
    }
}
