//! Services of this process, advertised for as long as they are here.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::hash::{BuildHasher, Hash};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tidegate_core::registry::Rejected;
use tidegate_core::{Budget, Instant, Registry, Sweep, Swept};

use crate::panics::contained;
use crate::pin;

/// No service is advertised more often than this, unless it lives for less than twice that.
const SELDOM: Duration = Duration::from_secs(10);

type Announce<K, V> = Box<dyn Fn(&K, &V) + Send + Sync>;

/// Advertises services in a [`Registry`], and again in time, before they end, until they are withdrawn: a
/// [`Sweep`], to be given to a [`Runtime`](crate::Runtime). Clones share the services.
///
/// Each is renewed a margin before it would end, but not sooner than ten seconds, or half its time to live, after
/// it was. Whoever is told elsewhere ([`announce`](Self::announce)) is told each time, and what is here lives as
/// long as what was said there. One that has ended all the same, for nobody swept, is advertised anew.
///
/// For registries in [the domain of the process](crate::domain).
///
/// ```
/// use std::sync::Arc;
/// use std::time::Duration;
/// use tidegate::registry::Terms;
/// use tidegate::{Advertiser, Instant, Registry, Runtime, Schedule, domain, pin, random_state};
///
/// let ttl = Duration::from_secs(300);
/// let services: Arc<Registry<String, u16, (), ()>> =
///     Arc::new(Registry::builder().services(Terms::new(ttl)).build(domain(), random_state())?);
/// let ours = Advertiser::new(Arc::clone(&services), ttl, Duration::from_secs(60));
///
/// let now = Instant::ORIGIN;
/// ours.advertise("mail".to_owned(), 25, now)?;
/// assert_eq!(services.resolve("mail", now, &pin()), Some(&25));
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
    announce: Option<Arc<Announce<K, V>>>,
    ours: Arc<Mutex<Ours<K, V>>>,
}

/// What is advertised, and what of it is due next. Under the lock nothing of somebody else's is copied or
/// dropped: that is his code, and may ask us.
struct Ours<K, V> {
    services: HashMap<Arc<K>, Service<V>>,
    due: BTreeMap<(Instant, u64), Arc<K>>,
    /// Tells apart what is due at one time, and one value of a key from another.
    next: u64,
}

struct Service<V> {
    value: Arc<V>,
    /// When it is due.
    at: Instant,
    number: u64,
}

impl<K, V, N, P, S> Advertiser<K, V, N, P, S>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
    N: Eq + Send + Sync + 'static,
    P: Send + Sync + 'static,
    S: BuildHasher,
{
    /// Advertises in `registry`, for `ttl` at a time, renewed `margin` before that is over.
    pub fn new(registry: Arc<Registry<K, V, N, P, S>>, ttl: Duration, margin: Duration) -> Self {
        let after = ttl.saturating_sub(margin).max(SELDOM.min(ttl / 2));
        let ours = Ours { services: HashMap::new(), due: BTreeMap::new(), next: 0 };
        Self { registry, ttl, after, announce: None, ours: Arc::new(Mutex::new(ours)) }
    }

    /// Is told of each service when it is advertised, and each time that it is renewed: to tell others. If it
    /// panics, that is caught.
    #[must_use]
    pub fn announce(mut self, announce: impl Fn(&K, &V) + Send + Sync + 'static) -> Self {
        self.announce = Some(Arc::new(Box::new(announce)));
        self
    }

    /// How long after it was advertised a service is renewed.
    pub fn renewed_after(&self) -> Duration {
        self.after
    }

    /// Advertises a service from now on, in place of the key's if there is one.
    ///
    /// # Errors
    ///
    /// What the registry would not take. Then nothing is advertised for the key from now on, and what was there
    /// stays until it ends.
    pub fn advertise(&self, key: K, value: V, now: Instant) -> Result<(), Rejected<(K, V)>> {
        let (ours, its) = (Arc::new(key.clone()), Arc::new(value.clone()));
        let (number, before) = self.ours().remember(ours, its, now + self.after);
        drop(before);
        if let Err(rejected) = self.bring_about(&key, now) {
            let mut ours = self.ours();
            let is_it = ours.number(&key) == Some(number);
            let gone = if is_it { ours.forget(&key) } else { None };
            drop(ours);
            drop(gone);
            return Err(Rejected { error: rejected.error, value: (key, value) });
        }
        self.tell(&key, number);
        Ok(())
    }

    /// Has the registry hold of a key what we advertise, or nothing. Whoever is last to act looks again after
    /// that, so however calls race, it comes to what was asked for last.
    fn bring_about(&self, key: &K, now: Instant) -> Result<(), Rejected<(K, V)>> {
        loop {
            let ours = self.ours();
            let wanted = ours.services.get(key).map(|it| (Arc::clone(&it.value), it.number()));
            drop(ours);
            let number = wanted.as_ref().map(|wanted| wanted.1);
            match wanted {
                Some((value, _)) => {
                    let (registry, ttl, guard) = (&self.registry, self.ttl, pin());
                    let value = V::clone(&value);
                    drop(registry.advertise_for(key.clone(), value, ttl, now, &guard)?);
                }
                None => _ = self.registry.withdraw(key, now, &pin()),
            }
            if self.ours().number(key) == number {
                return Ok(());
            }
        }
    }

    /// Advertises it no longer, and withdraws it; whether it was advertised.
    pub fn withdraw(&self, key: &K, now: Instant) -> bool {
        let gone = self.ours().forget(key);
        if gone.is_some() {
            // To withdraw needs no room.
            _ = self.bring_about(key, now);
        }
        gone.is_some()
    }

    /// The keys of what is advertised, in no order.
    pub fn active(&self) -> Vec<K> {
        let keys: Vec<_> = self.ours().services.keys().cloned().collect();
        keys.iter().map(|key| K::clone(key)).collect()
    }

    fn ours(&self) -> MutexGuard<'_, Ours<K, V>> {
        self.ours.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells others of a service, if it is still the one of this number.
    fn tell(&self, key: &K, number: u64) {
        let Some(announce) = &self.announce else { return };
        let ours = self.ours();
        let service = ours.services.get(key).filter(|service| service.number() == number);
        let Some(value) = service.map(|service| Arc::clone(&service.value)) else { return };
        drop(ours);
        contained(|| announce(key, &value));
    }

    /// Renews one that is due; what the registry will not take is tried again when it is due again.
    fn renew(&self, key: &K, number: u64, now: Instant) {
        let is_there = self.registry.renew(key, now, &pin()).is_ok();
        if is_there || self.bring_about(key, now).is_ok() {
            self.tell(key, number);
        }
    }
}

/// What is to be dropped without the lock.
type Gone<K, V> = (Arc<K>, Service<V>);

impl<V> Service<V> {
    /// Which advertisement it is: another value of a key is another.
    fn number(&self) -> u64 {
        self.number
    }
}

impl<K: Hash + Eq, V> Ours<K, V> {
    /// Its number, and what was there before.
    fn remember(&mut self, key: Arc<K>, value: Arc<V>, at: Instant) -> (u64, Option<Gone<K, V>>) {
        let before = self.forget(&key);
        let number = self.next;
        self.next += 1;
        self.due.insert((at, number), Arc::clone(&key));
        self.services.insert(key, Service { value, at, number });
        (number, before)
    }

    fn forget(&mut self, key: &K) -> Option<Gone<K, V>> {
        let (key, service) = self.services.remove_entry(key)?;
        self.due.remove(&(service.at, service.number));
        Some((key, service))
    }

    fn number(&self, key: &K) -> Option<u64> {
        self.services.get(key).map(Service::number)
    }

    /// One that is due, and from then on due later.
    fn take_due(&mut self, now: Instant, after: Duration) -> Option<(Arc<K>, u64)> {
        let (&(at, number), _) = self.due.first_key_value()?;
        if at > now {
            return None;
        }
        let key = self.due.remove(&(at, number))?;
        let next = now + after;
        self.services.get_mut(&key)?.at = next;
        self.due.insert((next, number), Arc::clone(&key));
        Some((key, number))
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
        // At least a nanosecond later: what was just renewed is not due again.
        let after = self.after.max(Duration::from_nanos(1));
        loop {
            if step.visited >= budget.get() {
                step.wrapped = false;
                return step;
            }
            let Some((key, number)) = self.ours().take_due(now, after) else {
                return step;
            };
            step.visited += 1;
            self.renew(&key, number, now);
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
        let services = self.ours.lock().unwrap_or_else(PoisonError::into_inner).services.len();
        f.debug_struct("Advertiser").field("services", &services).finish_non_exhaustive()
    }
}
