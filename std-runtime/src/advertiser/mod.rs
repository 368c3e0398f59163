//! Services of this process, advertised for as long as they are here.

mod ours;

use std::fmt;
use std::hash::{BuildHasher, Hash, RandomState};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tidegate_core::registry::{EnterError, Lease, RegistryError};
use tidegate_core::{Budget, Instant, Registry, Sweep, Swept};

use self::ours::{Due, Id, Ours, Service, Standing};
use crate::panics::{contained, dispose};
use crate::pin;

/// No service is advertised more often than this, unless it lives for less than twice that.
const SELDOM: Duration = Duration::from_secs(10);

type Told<K, V> = Arc<dyn Fn(&K, &V) + Send + Sync>;

/// Advertises services in a [`Registry`], and renews them in time, until they are withdrawn: a [`Sweep`], to be
/// given to a [`Runtime`](crate::Runtime). Clones share the services.
///
/// Each service is renewed a margin before it would end, but not sooner than ten seconds, or half its time to
/// live, after it was. A function that tells others ([`announce`](Self::announce)) is called each time, and what
/// is here lives as long as what was said there.
///
/// An advertiser acts on what it has advertised, by its lease, and never on what the key stands for since. A
/// service that was removed, or has expired because nothing swept, is advertised anew when it is due, if its key
/// stands for nothing else by then. A service whose key another has taken is lost: it is advertised no longer,
/// and [`on_lost`](Self::on_lost) is told. When all clones are dropped, the services stay until they expire.
///
/// For registries in [the domain of the process](crate::domain).
///
/// # Panics
///
/// A panic of `Hash`, `Eq` or `Clone` of key or value leaves the call that it came up in, and the services as
/// they were. In a step of a sweep it is caught, as panics of destructors, of `announce` and of the registry's
/// hook are in every call; the other services of the step are renewed all the same.
///
/// ```
/// use std::sync::Arc;
/// use std::time::Duration;
/// use tidegate::lockfree::registry::Terms;
/// use tidegate::lockfree::Registry;
/// use tidegate::{Advertiser, Instant, Runtime, Schedule, domain, pin, random_state};
///
/// let ttl = Duration::from_secs(300);
/// let registry: Arc<Registry<String, u16, (), ()>> =
///     Arc::new(Registry::builder().services(Terms::new(ttl)).build(domain(), random_state())?);
/// let ours = Advertiser::new(Arc::clone(&registry), ttl, Duration::from_secs(60));
///
/// let now = Instant::ORIGIN;
/// ours.advertise("mail".to_owned(), 25, now)?;
/// assert_eq!(registry.services().resolve("mail", now, &pin()), Some(&25));
///
/// let runtime = Runtime::builder().build()?;
/// runtime.sweep("services", Schedule::every(Duration::from_secs(5))?, ours.clone())?;
/// runtime.start()?;
/// ours.withdraw(&"mail".to_owned(), now);
/// assert!(ours.active().is_empty());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Advertiser<K, V, N, P, S>
where
    K: Send + 'static,
    V: Send + 'static,
    N: Send + 'static,
    P: Send + 'static,
{
    registry: Arc<Registry<K, V, N, P, S>>,
    ttl: Duration,
    after: Duration,
    announce: Option<Told<K, V>>,
    on_lost: Option<Told<K, V>>,
    hasher: RandomState,
    ours: Arc<Mutex<Ours<K, V>>>,
}

impl<K, V, N, P, S> Advertiser<K, V, N, P, S>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
    N: Eq + Send + Sync + 'static,
    P: Send + Sync + 'static,
    S: BuildHasher,
{
    /// Creates an advertiser in `registry`, whose services live for `ttl` and are renewed `margin` before that is
    /// over.
    pub fn new(registry: Arc<Registry<K, V, N, P, S>>, ttl: Duration, margin: Duration) -> Self {
        let after = ttl.saturating_sub(margin).max(SELDOM.min(ttl / 2));
        let (hasher, ours) = (RandomState::new(), Arc::new(Mutex::new(Ours::new())));
        Self { registry, ttl, after, announce: None, on_lost: None, hasher, ours }
    }

    /// Calls `announce` with each service when it is advertised, and each time that it is renewed: to tell
    /// others. A panic of it is caught.
    #[must_use]
    pub fn announce(mut self, announce: impl Fn(&K, &V) + Send + Sync + 'static) -> Self {
        self.announce = Some(Arc::new(announce));
        self
    }

    /// Calls `on_lost` with each service whose key another has taken, once, when the service would have been
    /// renewed. It is advertised no longer. A panic of it is caught.
    #[must_use]
    pub fn on_lost(mut self, on_lost: impl Fn(&K, &V) + Send + Sync + 'static) -> Self {
        self.on_lost = Some(Arc::new(on_lost));
        self
    }

    /// Returns how long after it was advertised a service is renewed.
    pub fn renewed_after(&self) -> Duration {
        self.after
    }

    /// Advertises a service from now on, in place of what its key stands for, if anything.
    ///
    /// # Errors
    ///
    /// What the registry would not take. Then nothing is advertised for the key from now on, and what was there
    /// stays until it ends.
    pub fn advertise(&self, key: K, value: V, now: Instant) -> Result<(), EnterError<(K, V)>> {
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

    /// Withdraws a service that this has advertised, and advertises it no longer. Returns whether this did.
    /// What another has advertised for the key stays.
    pub fn withdraw(&self, key: &K, now: Instant) -> bool {
        let gone = self.with_own(key, |ours, _, own| own.and_then(|id| ours.forget(id)));
        let Some(Service { key, value, lease, .. }) = gone else { return false };
        if let Some(lease) = lease {
            self.give_up(lease, now);
        }
        dispose(key);
        dispose(value);
        true
    }

    /// Returns the keys of what is advertised, in no order.
    pub fn active(&self) -> Vec<K> {
        let keys = self.ours().keys();
        let active = keys.iter().map(|key| K::clone(key)).collect();
        dispose(keys);
        active
    }

    fn ours(&self) -> MutexGuard<'_, Ours<K, V>> {
        self.ours.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs `act` under the lock with the hash of a key, and with which of ours it stands for. Keys are hashed
    /// and compared without the lock: that is other people's code, and may ask us.
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

    /// Enters a service into the registry, in place of what the key stands for.
    fn enter(&self, key: &K, value: &V, now: Instant) -> Result<Lease<K, V>, EnterError<(K, V)>> {
        let enter = || {
            let (key, value) = (key.clone(), value.clone());
            self.registry.services().advertise_for(key, value, self.ttl, now, &pin())
        };
        twice(enter)
    }

    /// Keeps the lease of a service that was entered. If something else was asked for meanwhile, has the registry
    /// hold that: the last thread to act looks again after that, so however calls race, it comes to what was
    /// asked for last.
    fn hold(&self, entering: Entering<'_, K, V>, key: &K, lease: Lease<K, V>, now: Instant) {
        let (mut entering, mut lease) = (entering, lease);
        while let Err(unasked) = entering.hold(lease, now) {
            if !self.give_up(unasked, now) {
                // Another has taken its place since, and looks after this.
                return;
            }
            // It may have displaced what is asked for now.
            let next = self.with_own(key, |ours, _, own| Some((own?, ours.enter(own?)?)));
            let Some((id, value)) = next else { return };
            entering = Entering { ours: &self.ours, id, is_new: false };
            // Refused, it is due later.
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

    /// Withdraws what was entered, with its room. Returns whether it lived.
    fn give_up(&self, lease: Lease<K, V>, now: Instant) -> bool {
        // If the hook panics, that is told of what lived.
        contained(|| self.registry.services().withdraw(lease, now, &pin())).unwrap_or(true)
    }

    /// Tells others of a service, if it is still ours.
    fn tell(&self, id: Id, key: &K) {
        let Some(announce) = &self.announce else { return };
        let Some(value) = self.ours().value(id) else { return };
        contained(|| announce(key, &value));
        dispose(value);
    }

    /// Enters a service anew whose lease has lapsed, unless its key is another's. What the registry will not take
    /// is tried again when it is due again.
    fn come_back(&self, due: &Due<K, V>, now: Instant) {
        let entering = Entering { ours: &self.ours, id: due.id, is_new: false };
        let entered = twice(|| {
            let (key, value) = (K::clone(&due.key), V::clone(&due.value));
            self.registry.services().advertise_if_absent(
                key,
                value,
                Some(self.ttl.into()),
                now,
                &pin(),
            )
        });
        match entered {
            Ok(lease) => match entering.hold(lease, now) {
                Ok(()) => self.tell(due.id, &due.key),
                // It has displaced nothing.
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

/// Enters a service into the registry. If the registry's hook panics, which is told of what goes for it, nothing
/// was entered, and the second time there is nothing left to be told of; a panic of the second time is of
/// something else.
fn twice<T>(enter: impl Fn() -> T) -> T {
    contained(&enter).unwrap_or_else(enter)
}

/// A thread that enters a service into the registry. Dropped, it has not; then a new service is forgotten.
struct Entering<'a, K, V> {
    ours: &'a Mutex<Ours<K, V>>,
    id: Id,
    is_new: bool,
}

impl<K, V> Entering<'_, K, V> {
    fn ours(&self) -> MutexGuard<'_, Ours<K, V>> {
        self.ours.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// It has, and got a lease, which is handed back if the service was forgotten meanwhile.
    fn hold(self, lease: Lease<K, V>, now: Instant) -> Result<(), Lease<K, V>> {
        let held = self.ours().hold(self.id, lease, now);
        std::mem::forget(self);
        held.map(dispose)
    }

    /// It could not: the key is another's. Returns what is lost by that.
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

impl<K, V, N, P, S> Sweep for Advertiser<K, V, N, P, S>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
    N: Eq + Send + Sync + 'static,
    P: Send + Sync + 'static,
    S: BuildHasher,
{
    fn sweep(&mut self, now: Instant, budget: Budget) -> Swept {
        let mut step = Swept { wrapped: true, ..Swept::default() };
        // At least a nanosecond later: what was just renewed is not due again. At the end of time it is; then
        // each is renewed once.
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
            // One that panics keeps no other from being renewed.
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

impl<K, V, N, P, S> Clone for Advertiser<K, V, N, P, S>
where
    K: Send + 'static,
    V: Send + 'static,
    N: Send + 'static,
    P: Send + 'static,
{
    fn clone(&self) -> Self {
        Self {
            registry: Arc::clone(&self.registry),
            ttl: self.ttl,
            after: self.after,
            announce: self.announce.clone(),
            on_lost: self.on_lost.clone(),
            hasher: self.hasher.clone(),
            ours: Arc::clone(&self.ours),
        }
    }
}

impl<K, V, N, P, S> fmt::Debug for Advertiser<K, V, N, P, S>
where
    K: Send + 'static,
    V: Send + 'static,
    N: Send + 'static,
    P: Send + 'static,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let services = self.ours.lock().unwrap_or_else(PoisonError::into_inner).len();
        f.debug_struct("Advertiser").field("services", &services).finish_non_exhaustive()
    }
}
