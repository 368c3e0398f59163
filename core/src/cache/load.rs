//! One caller loads what is missing, and the others wait for it or use the stale value.

use alloc::borrow::ToOwned;
use alloc::sync::Arc;
use core::borrow::Borrow;
use core::fmt;
use core::hash::{BuildHasher, Hash};
use core::time::Duration;

use super::counters::Event;
use super::entry::{Object, until};
use super::insert::{Condition, Insert};
use super::later::Later;
use super::{Cache, RemovalCause};
use crate::flight::{CallerId, Follower, JoinError, Joined, Lead, Leader, SupersededError};
use crate::map::Entry;
use crate::reclaim::Guard;
use crate::time::{Instant, Ttl, nanos};

/// What a cache has for a caller that asks it to load.
///
/// Values are clones, so no guard need live while one is loaded.
#[derive(Debug)]
pub enum Load<'a, K, V, E, S>
where
    K: Send + 'static,
    V: Send + Sync + 'static,
    E: Send + Sync + 'static,
{
    /// A fresh value.
    Hit(V),
    /// A stale value, within [the window](super::Builder::stale_while_revalidate) in which it is
    /// good enough. If no caller loads another yet, it comes with the task of doing so.
    Stale(V, Option<Loading<'a, K, V, E, S>>),
    /// Nothing: the caller loads the value.
    Lead(Loading<'a, K, V, E, S>),
    /// Nothing: another caller loads the value. A caller that gets
    /// [`FollowError::Again`](crate::flight::FollowError::Again) asks [once
    /// more](Cache::load_again).
    Wait(Follower<V, E>),
}

/// A value that the caller must load.
///
/// A load that is dropped without [`complete`](Self::complete) or [`fail`](Self::fail), in whatever
/// way, leaves loading to one of the waiters.
#[must_use = "a load that is dropped leaves its waiters without a result"]
pub struct Loading<'a, K, V, E, S>
where
    K: Send + 'static,
    V: Send + Sync + 'static,
    E: Send + Sync + 'static,
{
    cache: &'a Cache<K, V, E, S>,
    leader: Leader<'a, K, V, E, S>,
    begun: Begun,
}

/// A [`Loading`] that keeps its cache alive and borrows nothing, to be completed by another thread
/// or a task. [`Loading::into_owned`] makes it.
///
/// A load that is dropped without [`complete`](Self::complete) or [`fail`](Self::fail) leaves
/// loading to one of the waiters, as a [`Loading`] does.
#[must_use = "a load that is dropped leaves its waiters without a result"]
pub struct OwnedLoading<K, V, E, S>
where
    K: Send + 'static,
    V: Send + Sync + 'static,
    E: Send + Sync + 'static,
{
    // Before the cache: when it is dropped, the cache is still there.
    lead: Lead<K, V, E>,
    cache: Arc<Cache<K, V, E, S>>,
    begun: Begun,
}

/// When a load began.
#[derive(Clone, Copy)]
struct Begun {
    at: Instant,
    /// The stamp of a value that was made then.
    stamp: u64,
}

/// A loaded entry that is not shown yet. It is removed on drop: also where a predicate that is asked
/// about it panics.
struct Hidden<'a, 'g, K, V, E, S>
where
    K: Hash + Eq + Send + Sync + 'static,
    V: Send + Sync + 'static,
    E: Send + Sync + 'static,
    S: BuildHasher,
{
    cache: &'g Cache<K, V, E, S>,
    hash: usize,
    entry: &'g Entry<K, Object<V>>,
    later: &'a mut Later<'g, K, V>,
    now: Instant,
    guard: &'g Guard,
}

impl<K, V, E, S> Drop for Hidden<'_, '_, K, V, E, S>
where
    K: Hash + Eq + Send + Sync + 'static,
    V: Send + Sync + 'static,
    E: Send + Sync + 'static,
    S: BuildHasher,
{
    fn drop(&mut self) {
        let Self { cache, hash, entry, later, now, guard } = self;
        cache.remove(*hash, entry, RemovalCause::Explicit, later, *now, guard);
    }
}

/// How a caller asks a cache for a value: see [`Cache::ask`].
///
/// ```
/// use tidegate_core::Instant;
/// use tidegate_core::cache::Ask;
/// use tidegate_core::flight::Caller;
///
/// let ask = Ask::new(Caller(1), Instant::ORIGIN).again();
/// # _ = ask;
/// ```
#[derive(Clone, Copy, Debug)]
#[must_use = "says how to ask, and asks nothing"]
pub struct Ask {
    caller: CallerId,
    now: Instant,
    again: bool,
}

impl Ask {
    /// Creates a first question, which counts one hit or one miss.
    pub fn new(caller: impl Into<CallerId>, now: Instant) -> Self {
        Self { caller: caller.into(), now, again: false }
    }

    /// Makes this a repeated question, which counts nothing.
    pub const fn again(mut self) -> Self {
        self.again = true;
        self
    }
}

/// The answer of a cache: what it has for a caller, and how long.
#[derive(Debug)]
pub struct Asked<'a, K, V, E, S>
where
    K: Send + 'static,
    V: Send + Sync + 'static,
    E: Send + Sync + 'static,
{
    /// What the cache has.
    pub load: Load<'a, K, V, E, S>,
    /// From when on the value in it is not to be handed out, in case the answer took long to
    /// arrive. `None` if there is no such time, or no value.
    pub until: Option<Instant>,
}

impl<K, V, E, S> Cache<K, V, E, S>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
    E: Clone + Send + Sync + 'static,
    S: BuildHasher,
{
    /// Returns the value of a key, the task of loading it, or the task of waiting for the caller
    /// that does. The call never blocks.
    ///
    /// It counts one hit or one miss. Where cloning a value is expensive, [get](Self::get) it
    /// first, and [load it without counting](Self::load_again) if it is not there.
    ///
    /// # Errors
    ///
    /// Fails with any [`JoinError`] if there is no stale value either. The caller loads this key
    /// already, or there is no room for another load. Then nothing is counted.
    ///
    /// ```
    /// use tidegate_core::cache::Load;
    /// use tidegate_core::flight::Caller;
    /// use tidegate_core::{Cache, Domain, Instant, SeededState};
    ///
    /// let domain = Domain::new();
    /// let pages = Cache::builder(&domain, SeededState::new(0x5eed)).build::<String>()?;
    /// let (mut worker, now) = (domain.worker(), Instant::ORIGIN);
    /// let guard = worker.quiescent(now);
    ///
    /// let Load::Lead(loading) = pages.load("home", Caller(1), now, guard)? else {
    ///     unreachable!("nothing is there, and no caller loads it");
    /// };
    /// let Load::Wait(waiting) = pages.load("home", Caller(2), now, guard)? else {
    ///     unreachable!("the first caller loads it");
    /// };
    /// assert_eq!(loading.complete(200, now, guard), Ok(200));
    /// assert_eq!(waiting.result(), Some(Ok(200))); // or: waiting.await
    /// assert!(matches!(pages.load("home", Caller(2), now, guard)?, Load::Hit(200)));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn load<Q>(
        &self,
        key: &Q,
        caller: impl Into<CallerId>,
        now: Instant,
        guard: &Guard,
    ) -> Result<Load<'_, K, V, E, S>, JoinError>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
    {
        self.ask(key, Ask::new(caller, now), guard).map(|asked| asked.load)
    }

    /// Loads as [`load`](Self::load) does, for a caller that has asked before, and counts nothing.
    ///
    /// # Errors
    ///
    /// Fails as [`load`](Self::load) does.
    pub fn load_again<Q>(
        &self,
        key: &Q,
        caller: impl Into<CallerId>,
        now: Instant,
        guard: &Guard,
    ) -> Result<Load<'_, K, V, E, S>, JoinError>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
    {
        self.ask(key, Ask::new(caller, now).again(), guard).map(|asked| asked.load)
    }

    /// Loads as [`load`](Self::load) does, and returns how long the value may be handed out. Code
    /// of the user's hashes and compares keys and clones values. A caller that reads the clock
    /// after all of that never hands out a value that has ended meanwhile.
    ///
    /// # Errors
    ///
    /// Fails as [`load`](Self::load) does.
    pub fn ask<Q>(
        &self,
        key: &Q,
        ask: Ask,
        guard: &Guard,
    ) -> Result<Asked<'_, K, V, E, S>, JoinError>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
    {
        self.map.admit(guard);
        let hash = self.map.hash(key);
        let asked = self.ask_hashed(hash, key, ask, guard)?;
        if !ask.again {
            let is_hit = matches!(asked.load, Load::Hit(_));
            self.tally.count(hash, if is_hit { Event::Hit } else { Event::Miss });
            if matches!(asked.load, Load::Stale(..)) {
                self.tally.count(hash, Event::Stale);
            }
        }
        Ok(asked)
    }

    /// Returns the task of loading a key anew, whether it has a fresh value or not, or the task of
    /// waiting for the caller that loads it already. No other answer is returned.
    ///
    /// The old value is handed out as long as it may be, until the load is complete. A get may miss
    /// in the moment in which the new value takes its place. No hit or miss is counted.
    ///
    /// # Errors
    ///
    /// Fails as [`load`](Self::load) does.
    ///
    /// ```
    /// use tidegate_core::cache::Load;
    /// use tidegate_core::flight::Caller;
    /// use tidegate_core::{Cache, Domain, Instant, SeededState};
    ///
    /// let domain = Domain::new();
    /// let pages = Cache::builder(&domain, SeededState::new(0x5eed)).build::<String>()?;
    /// let (mut worker, now) = (domain.worker(), Instant::ORIGIN);
    /// let guard = worker.quiescent(now);
    /// pages.insert("home".to_owned(), 200, now, guard)?;
    /// let Load::Lead(loading) = pages.refresh("home", Caller(1), now, guard)? else {
    ///     unreachable!("no caller loads it");
    /// };
    /// assert_eq!(pages.get("home", now, guard), Some(&200));
    /// assert_eq!(loading.complete(304, now, guard), Ok(304));
    /// assert_eq!(pages.get("home", now, guard), Some(&304));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn refresh<Q>(
        &self,
        key: &Q,
        caller: impl Into<CallerId>,
        now: Instant,
        guard: &Guard,
    ) -> Result<Load<'_, K, V, E, S>, JoinError>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
    {
        self.map.admit(guard);
        let lease = self.rules.lease;
        match self.flights.join(key.to_owned(), caller.into(), lease, now, guard)? {
            Joined::Leader(leader) => {
                let begun = Begun { at: now, stamp: self.stamp() };
                Ok(Load::Lead(Loading { cache: self, leader, begun }))
            }
            Joined::Follower(follower) => Ok(Load::Wait(follower)),
        }
    }

    fn ask_hashed<Q>(
        &self,
        hash: usize,
        key: &Q,
        Ask { caller, now, .. }: Ask,
        guard: &Guard,
    ) -> Result<Asked<'_, K, V, E, S>, JoinError>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
    {
        let hit = |entry: &Entry<K, Object<V>>| {
            self.used(entry, now);
            Asked { load: Load::Hit(read(entry)), until: entry.value.until(0) }
        };
        if let Some(entry) = self.fresh(hash, key, now, guard) {
            return Ok(hit(entry));
        }
        let joined = self.flights.join(key.to_owned(), caller, self.rules.lease, now, guard);
        // Only now: a leader before this one has inserted its value before it was done.
        let within = nanos(self.rules.revalidate);
        let stale = self.entry(hash, key, guard).filter(|entry| !entry.value.is_past(now, within));
        let stands_in = |entry: &Entry<K, Object<V>>, loading| Asked {
            load: Load::Stale(read(entry), loading),
            until: entry.value.until(within),
        };
        let has_none = |load| Asked { load, until: None };
        match (joined, stale) {
            (Ok(Joined::Leader(leader)), Some(entry)) if entry.value.is_fresh(now) => {
                // Others may have begun to wait for this caller. If it was superseded, they wait
                // for another.
                let (value, until) = (entry.value.value.clone(), entry.value.until(0));
                _ = leader.complete_until(value, until, guard);
                Ok(hit(entry))
            }
            (Ok(Joined::Leader(leader)), stale) => {
                let begun = Begun { at: now, stamp: self.stamp() };
                let loading = Loading { cache: self, leader, begun };
                Ok(match stale {
                    Some(entry) => stands_in(entry, Some(loading)),
                    None => has_none(Load::Lead(loading)),
                })
            }
            (_, Some(entry)) if entry.value.is_fresh(now) => Ok(hit(entry)),
            (_, Some(entry)) => Ok(stands_in(entry, None)),
            (Ok(Joined::Follower(follower)), None) => Ok(has_none(Load::Wait(follower))),
            (Err(error), None) => Err(error),
        }
    }
}

/// Reads a value.
fn read<K, V: Clone>(entry: &Entry<K, Object<V>>) -> V {
    entry.value.read();
    entry.value.value.clone()
}

impl<K, V, E, S> Loading<'_, K, V, E, S>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
    E: Clone + Send + Sync + 'static,
    S: BuildHasher,
{
    /// Returns the key.
    pub fn key(&self) -> &K {
        self.leader.key()
    }

    /// Follows this very load, for a caller that has another thread or a task complete it.
    pub fn follow(&self) -> Follower<V, E> {
        self.leader.follow()
    }

    /// Makes it a load that another thread or a task may complete.
    ///
    /// # Panics
    ///
    /// Panics if `cache` is not the one that is loaded.
    pub fn into_owned(self, cache: &Arc<Cache<K, V, E, S>>) -> OwnedLoading<K, V, E, S> {
        assert!(core::ptr::eq(self.cache, Arc::as_ptr(cache)), "the load is of another cache");
        let Self { leader, begun, .. } = self;
        OwnedLoading { lead: leader.into_lead(), cache: Arc::clone(cache), begun }
    }

    /// Begins the [lease](super::Builder::load_lease) anew.
    ///
    /// # Errors
    ///
    /// Fails with [`SupersededError`] if another caller may be loading by now.
    pub fn renew(&mut self, now: Instant) -> Result<(), SupersededError> {
        self.leader.renew(self.cache.rules.lease, now)
    }

    /// Puts the value into the cache, in place of the key's, and then hands it to the waiters.
    ///
    /// If the key was inserted or invalidated since the load began, the waiters get the value all
    /// the same, but it is not stored. The cache also does not store a value that weighs too much,
    /// has no room, or is to live for no time. Then the key's old value is removed, because it is
    /// out of date.
    ///
    /// What this removes is reported to the cache's listener after the load is over.
    ///
    /// # Errors
    ///
    /// Returns the value if the lease has ended and another caller has superseded this one: it is
    /// not in the cache. Putting the value in begins the lease anew. Only if that takes as long as
    /// the lease, the value was there for a while, and may have been handed out.
    pub fn complete(self, value: V, now: Instant, guard: &Guard) -> Result<V, V> {
        self.complete_with(value, Insert::new(), now, guard)
    }

    /// Completes the load as [`complete`](Self::complete) does, with the entry's own time to live,
    /// tier or weight. An answer that there is no value, for instance, is kept for a shorter time.
    ///
    /// # Errors
    ///
    /// Fails as [`complete`](Self::complete) does.
    pub fn complete_with(
        self,
        value: V,
        insert: Insert,
        now: Instant,
        guard: &Guard,
    ) -> Result<V, V> {
        let Self { cache, mut leader, begun } = self;
        cache.map.admit(guard);
        cache.loads.completed(now.since(begun.at));
        let (ours, theirs, key) = (value.clone(), value.clone(), leader.key().clone());
        // From here on no caller supersedes this one, unless putting the value in takes as long as
        // the lease.
        if leader.renew(cache.rules.lease, now).is_err() {
            return Err(value);
        }
        let hash = cache.map.hash(&key);
        let ttl = insert.ttl(|| cache.rules.ttl_of(&key, &value));
        let (insert, mut untold) = (insert.time_to_live(ttl), cache.untold());
        let later = &mut untold.later;
        let is_kept = ttl != Ttl::For(Duration::ZERO) && cache.rules.idle != Some(0);
        let kept = if !is_kept {
            // The old value is out of date, though nothing takes its place.
            let may = |_: &Object<V>| !leader.is_detached();
            cache.kill(hash, &key, may, RemovalCause::Replaced, later, now, guard);
            None
        } else {
            let loaded = Condition::Loaded(&leader, begun.stamp);
            cache.insert_if(loaded, hash, key, ours, insert, later, now, guard).ok()
        };
        // Hidden until now. A writer that detaches the flight after this finds the entry, and kills
        // it.
        let kept = kept.filter(|entry| {
            let hidden = Hidden { cache, hash, entry, later, now, guard };
            let stays =
                !leader.is_detached_after_all() && !cache.is_outdated(entry, begun.stamp, guard);
            if stays {
                entry.value.confirm();
                core::mem::forget(hidden);
            }
            stays
        });
        // A value that is to live for no time is for the waiters, whenever they are polled.
        let end = cache.until_idle(cache.end(hash, ttl, now), now);
        let until = until(end).filter(|_| is_kept);
        let superseded = leader.complete_until(theirs, until, guard).is_err();
        if let Some(entry) = kept.filter(|_| superseded) {
            cache.remove(hash, entry, RemovalCause::Explicit, later, now, guard);
        }
        untold.tell();
        if superseded { Err(value) } else { Ok(value) }
    }

    /// Hands the waiters the error, or the old value if that is within [the
    /// window](super::Builder::stale_if_error) in which it is better than none. Returns what they
    /// get.
    ///
    /// # Errors
    ///
    /// Returns the error if the waiters get it.
    pub fn fail(self, error: E, now: Instant, guard: &Guard) -> Result<V, E> {
        let Self { cache, leader, begun } = self;
        cache.map.admit(guard);
        cache.loads.failed(now.since(begun.at));
        let found = cache.entry(cache.map.hash(leader.key()), leader.key(), guard);
        let within = nanos(cache.rules.on_error);
        match found.filter(|entry| !entry.value.is_past(now, within)) {
            Some(entry) => {
                let (value, until) = (entry.value.value.clone(), entry.value.until(within));
                // If superseded, the waiters wait for another.
                _ = leader.complete_until(value.clone(), until, guard);
                Ok(value)
            }
            None => {
                _ = leader.fail(error.clone(), guard);
                Err(error)
            }
        }
    }
}

impl<K, V, E, S> OwnedLoading<K, V, E, S>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
    E: Clone + Send + Sync + 'static,
    S: BuildHasher,
{
    /// Returns the key.
    pub fn key(&self) -> &K {
        self.lead.key()
    }

    /// Completes the load as [`Loading::complete`] does.
    ///
    /// # Errors
    ///
    /// Fails as [`Loading::complete`] does.
    pub fn complete(self, value: V, now: Instant, guard: &Guard) -> Result<V, V> {
        self.complete_with(value, Insert::new(), now, guard)
    }

    /// Completes the load as [`Loading::complete_with`] does.
    ///
    /// # Errors
    ///
    /// Fails as [`Loading::complete`] does.
    pub fn complete_with(
        self,
        value: V,
        insert: Insert,
        now: Instant,
        guard: &Guard,
    ) -> Result<V, V> {
        let Self { lead, cache, begun } = self;
        Loading::of(lead, &cache, begun).complete_with(value, insert, now, guard)
    }

    /// Ends the load as [`Loading::fail`] does.
    ///
    /// # Errors
    ///
    /// Fails as [`Loading::fail`] does.
    pub fn fail(self, error: E, now: Instant, guard: &Guard) -> Result<V, E> {
        let Self { lead, cache, begun } = self;
        Loading::of(lead, &cache, begun).fail(error, now, guard)
    }
}

impl<'a, K, V, E, S> Loading<'a, K, V, E, S>
where
    K: Send + 'static,
    V: Send + Sync + 'static,
    E: Send + Sync + 'static,
{
    fn of(lead: Lead<K, V, E>, cache: &'a Cache<K, V, E, S>, begun: Begun) -> Self {
        Self { cache, leader: Leader::new(&cache.flights, lead), begun }
    }
}

impl<K, V, E, S> fmt::Debug for OwnedLoading<K, V, E, S>
where
    K: Send + fmt::Debug + 'static,
    V: Send + Sync + 'static,
    E: Send + Sync + 'static,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OwnedLoading").field("key", self.lead.key()).finish_non_exhaustive()
    }
}

impl<K, V, E, S> fmt::Debug for Loading<'_, K, V, E, S>
where
    K: Send + fmt::Debug + 'static,
    V: Send + Sync + 'static,
    E: Send + Sync + 'static,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Loading").field("leader", &self.leader).finish_non_exhaustive()
    }
}
