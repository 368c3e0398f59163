//! Caches that give up entries when memory is short.

use std::fmt;
use std::hash::{BuildHasher, Hash};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};
use std::time::Duration;

use tidegate_core::cache::{Evicted, Usage};
use tidegate_core::{Budget, Cache, Guard, Instant, Tier, Tiers, Worker};

use super::source::{Medium, Sample, Source};
use crate::config::{self, ConfigError};
use crate::panics::{Foreign, caught_here, contained};

/// Which caches give up entries first: those of the lowest priority.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Priority(pub u8);

/// Caches that give up entries when memory is short.
///
/// Caches of the lowest priority come first, and those of one priority give up entries in
/// proportion to what each holds. Clones are the same pool.
///
/// A limiter's buckets and a registry's leases are never given up for memory, so there is no way to
/// add them.
///
/// ```
/// use std::sync::Arc;
/// use tidegate::pressure::{Medium, Pool, Priority};
/// use tidegate::lockfree::Cache;
/// use tidegate::{Tiers, domain, random_state};
///
/// let pages: Arc<Cache<String, String>> = Arc::new(
///     Cache::builder(domain(), random_state())
///         .max_bytes(1 << 30)
///         .weigher(|url: &String, page: &String| (url.len() + page.len()) as u64)
///         .build()?,
/// );
/// let pool = Pool::new();
/// let floor = 64 << 20; // what pressure never takes
/// pool.cache("pages", Arc::clone(&pages), Tiers::ALL, Medium::Host, Priority(0), floor)?;
/// assert_eq!(pool.bytes(Medium::Host), 0);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Default)]
pub struct Pool {
    members: Arc<Mutex<Vec<Arc<Foreign<Member>>>>>,
}

struct Member {
    name: String,
    medium: Medium,
    priority: Priority,
    /// Bytes that stay.
    floor: u64,
    part: Box<dyn Part>,
    evictor: Mutex<Evictor>,
}

/// What evicts from a member.
struct Evictor {
    worker: Worker,
    /// Whether something that was evicted may not be freed yet.
    owes: bool,
}

/// A part of a cache that gives up entries: what is in some of its tiers. It is asked without a
/// lock, because listeners and destructors may ask, too.
trait Part: Send + Sync {
    fn held(&self) -> Usage;
    fn evict(&self, bytes: u64, now: Instant, guard: &Guard) -> Evicted;
}

struct Tiered<K, V, E, S>
where
    K: Send + 'static,
    V: Send + Sync + 'static,
    E: Send + Sync + 'static,
{
    cache: Arc<Cache<K, V, E, S>>,
    tiers: Tiers,
}

impl<K, V, E, S> Part for Tiered<K, V, E, S>
where
    K: Hash + Eq + Send + Sync + 'static,
    V: Send + Sync + 'static,
    E: Send + Sync + 'static,
    S: BuildHasher + Send + Sync + 'static,
{
    fn held(&self) -> Usage {
        let tiers = (0..Tier::COUNT as u8).map(Tier::new);
        let ours = tiers.filter(|&tier| self.tiers.contains(tier));
        ours.map(|tier| self.cache.tier_usage(tier)).fold(Usage::default(), |sum, tier| Usage {
            entries: sum.entries.saturating_add(tier.entries),
            bytes: sum.bytes.saturating_add(tier.bytes),
        })
    }

    fn evict(&self, bytes: u64, now: Instant, guard: &Guard) -> Evicted {
        self.cache.evict_bytes(bytes, self.tiers, now, guard)
    }
}

impl<K, V> Part for crate::Cache<K, V>
where
    K: Hash + Eq + Send + Sync + 'static,
    V: Send + Sync + 'static,
{
    fn held(&self) -> Usage {
        self.lockfree().usage()
    }

    fn evict(&self, bytes: u64, _now: Instant, guard: &Guard) -> Evicted {
        self.evict_bytes(bytes, guard)
    }
}

/// What was evicted for a request.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Shed {
    pub(super) entries: u64,
    pub(super) bytes: u64,
    /// Whether a listener or a destructor panicked.
    pub(super) panicked: bool,
}

/// How long to wait at a time until what was evicted is freed. The domain may have more to free
/// than that.
const TO_FREE: Duration = Duration::from_millis(20);

/// After how many times in a row without anything freed to stop waiting: a reader has what was
/// evicted.
const IN_VAIN: u32 = 8;

impl Evictor {
    /// Frees what was removed, except what is being read.
    fn free(&mut self, now: Instant) {
        let (start, mut in_vain) = (std::time::Instant::now(), 0);
        while in_vain < IN_VAIN && start.elapsed() < TO_FREE {
            let freed = self.worker.collect(now, Budget::entries(1_024));
            in_vain = if freed == 0 { in_vain + 1 } else { 0 };
        }
    }
}

impl Pool {
    /// Creates an empty pool.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds what a cache holds in some of its tiers, and says in which medium that is. It is given
    /// up for a source that measures that medium, and for no other. The weigher's figures count as
    /// bytes. Without a weigher an entry counts as one, and an entry that weighs nothing is left
    /// alone.
    ///
    /// Pressure evicts nothing while the cache holds no more than `floor` bytes in these tiers. So
    /// a cache that is not the cause of the pressure keeps that much. An eviction ends below the
    /// floor by less than its last entry. With a floor of 0 pressure may take all.
    ///
    /// # Errors
    ///
    /// Fails if the name is taken, empty, longer than 64 bytes, or has control characters.
    pub fn cache<K, V, E, S>(
        &self,
        name: &str,
        cache: Arc<Cache<K, V, E, S>>,
        tiers: Tiers,
        medium: Medium,
        priority: Priority,
        floor: u64,
    ) -> Result<(), ConfigError>
    where
        K: Hash + Eq + Send + Sync + 'static,
        V: Send + Sync + 'static,
        E: Send + Sync + 'static,
        S: BuildHasher + Send + Sync + 'static,
    {
        let worker = cache.domain().worker();
        self.enter(name, Box::new(Tiered { cache, tiers }), worker, medium, priority, floor)
    }

    /// Adds a [`Cache`](crate::Cache), all of which is in the machine's memory. The pool holds a
    /// handle of the cache until it is [removed](Self::remove). Without a weigher an entry counts
    /// as one byte. Eviction and `floor` are as [`cache`](Self::cache) describes, which adds a
    /// cache of the engine.
    ///
    /// # Errors
    ///
    /// Fails as [`cache`](Self::cache) does.
    ///
    /// ```
    /// use tidegate::Cache;
    /// use tidegate::pressure::{Medium, Pool, Priority};
    ///
    /// let pages = Cache::builder().weigher(|_: &u64, page: &String| page.len() as u64).build();
    /// let pool = Pool::new();
    /// pool.add("pages", &pages, Priority(0), 64 << 20)?;
    /// pages.insert(7, "a page".to_owned());
    /// assert_eq!(pool.bytes(Medium::Host), 6);
    /// # Ok::<(), tidegate::ConfigError>(())
    /// ```
    pub fn add<K, V>(
        &self,
        name: &str,
        cache: &crate::Cache<K, V>,
        priority: Priority,
        floor: u64,
    ) -> Result<(), ConfigError>
    where
        K: Hash + Eq + Send + Sync + 'static,
        V: Send + Sync + 'static,
    {
        let worker = cache.lockfree().domain().worker();
        self.enter(name, Box::new(cache.clone()), worker, Medium::Host, priority, floor)
    }

    fn enter(
        &self,
        name: &str,
        part: Box<dyn Part>,
        mut worker: Worker,
        medium: Medium,
        priority: Priority,
        floor: u64,
    ) -> Result<(), ConfigError> {
        config::name(name)?;
        // A guard that stays would hold back everything between two evictions.
        worker.offline(|| ());
        let evictor = Mutex::new(Evictor { worker, owes: false });
        let mut members = self.members();
        if members.iter().any(|other| other.name == name) {
            return Err(ConfigError::new("name", format!("'{name}' is taken")));
        }
        let member = Member { name: name.to_owned(), medium, priority, floor, part, evictor };
        members.push(Arc::new(Foreign::new(member)));
        // Stable: members of one priority keep the order in which they were added.
        members.sort_by_key(|member| member.priority);
        Ok(())
    }

    /// Removes a cache. Returns whether it was there.
    pub fn remove(&self, name: &str) -> bool {
        let mut members = self.members();
        let Some(index) = members.iter().position(|member| member.name == name) else {
            return false;
        };
        let gone = members.remove(index);
        // The last handle of a cache may be dropped with it: not under the lock.
        drop(members);
        drop(gone);
        true
    }

    fn members(&self) -> MutexGuard<'_, Vec<Arc<Foreign<Member>>>> {
        self.members.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns how many bytes are held in a medium.
    pub fn bytes(&self, medium: Medium) -> u64 {
        let members = self.members().clone();
        members
            .iter()
            .filter(|member| member.medium == medium)
            .map(|member| member.part.held().bytes)
            .fold(0, u64::saturating_add)
    }

    /// Creates a source that reads what the caches hold in a medium, beside a budget that they
    /// share. With a [`Pressure`](super::Pressure) of this pool, they are kept within it, as of
    /// every check.
    pub fn budget(&self, medium: Medium, bytes: u64) -> PoolBudget {
        PoolBudget { pool: self.clone(), medium, bytes }
    }

    /// Frees what was evicted of a medium and could not be freed then. Otherwise it would be asked
    /// for again.
    pub(super) fn free(&self, medium: Medium, now: Instant) {
        let members = self.members().clone();
        for member in members.iter().filter(|member| member.medium == medium) {
            let Some(mut evictor) = member.free_evictor() else { continue };
            if std::mem::take(&mut evictor.owes) {
                // A destructor that panics is code of the user's; the entry it belonged to is
                // freed.
                _ = contained(|| evictor.free(now));
            }
        }
    }

    /// Makes the members of a medium give up this many bytes.
    pub(super) fn shed(&self, medium: Medium, bytes: u64, now: Instant) -> Shed {
        let members = self.members().clone();
        let of_medium: Vec<_> = members.iter().filter(|member| member.medium == medium).collect();
        let mut done = Shed::default();
        for equals in of_medium.chunk_by(|a, b| a.priority == b.priority) {
            // Each member gives up its part once, and then any that has something left.
            let held: Vec<_> = equals.iter().map(|member| member.above_its_floor()).collect();
            let sum = held.iter().map(|&bytes| u128::from(bytes)).sum::<u128>().max(1);
            let wanted = bytes.saturating_sub(done.bytes);
            for (member, &held) in equals.iter().zip(&held) {
                let part = (u128::from(wanted) * u128::from(held)).div_ceil(sum) as u64;
                member.shed(part.min(bytes.saturating_sub(done.bytes)), now, &mut done);
            }
            for member in equals {
                member.shed(bytes.saturating_sub(done.bytes), now, &mut done);
            }
        }
        done
    }
}

impl Member {
    fn above_its_floor(&self) -> u64 {
        self.part.held().bytes.saturating_sub(self.floor)
    }

    /// Takes the evictor, or returns `None` while another check has it.
    fn free_evictor(&self) -> Option<MutexGuard<'_, Evictor>> {
        match self.evictor.try_lock() {
            Ok(evictor) => Some(evictor),
            Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }

    fn shed(&self, bytes: u64, now: Instant, done: &mut Shed) {
        let before = self.part.held();
        // A cache that weighs nothing gives nothing.
        let bytes = bytes.min(before.bytes.saturating_sub(self.floor));
        if bytes == 0 {
            return;
        }
        // Another check that evicts from this cache may run a listener that waits for this one.
        let Some(mut evictor) = self.free_evictor() else { return };
        evictor.owes = true;
        let caught = caught_here();
        let evicted = contained(|| self.part.evict(bytes, now, &evictor.worker.pin()));
        contained(|| evictor.free(now));
        // Panics count also if they were contained where the cache called its listener, or the
        // domain a destructor.
        done.panicked |= caught_here() != caught;
        let (entries, bytes) = match evicted {
            Some(evicted) => (evicted.entries, evicted.bytes),
            // As far as can be seen: other threads insert and evict meanwhile.
            None => {
                let after = self.part.held();
                let less = |of: fn(Usage) -> u64| of(before).saturating_sub(of(after));
                (less(|held| held.entries), less(|held| held.bytes))
            }
        };
        done.entries = done.entries.saturating_add(entries);
        done.bytes = done.bytes.saturating_add(bytes);
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let members = self.members().clone();
        let names = members.iter().map(|member| (&member.name, member.medium, member.priority));
        f.debug_list().entries(names).finish()
    }
}

/// What the caches of a pool hold, beside a budget that they share. [`Pool::budget`] makes it.
#[derive(Clone, Debug)]
pub struct PoolBudget {
    pool: Pool,
    medium: Medium,
    bytes: u64,
}

impl Source for PoolBudget {
    fn name(&self) -> String {
        "budget".to_owned()
    }

    fn medium(&self) -> Medium {
        self.medium
    }

    fn sample(&mut self) -> Sample {
        // The budget may be exceeded.
        let held = self.pool.bytes(self.medium);
        Sample::beside(held, self.bytes, "what the caches hold, by their weighers")
    }
}
