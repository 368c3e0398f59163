//! One caller loads what is missing, and the others wait for it or make do with what was there.

use alloc::borrow::ToOwned;
use core::borrow::Borrow;
use core::fmt;
use core::hash::{BuildHasher, Hash};
use core::time::Duration;

use super::counters::Event;
use super::entry::Object;
use super::insert::Insert;
use super::told::Later;
use super::{Cache, RemovalCause};
use crate::flight::{Caller, Follower, JoinError, Joined, Leader, Superseded};
use crate::map::Entry;
use crate::reclaim::Guard;
use crate::time::{Instant, Ttl, nanos};

/// What a cache has for who asks it to load. Values are clones, so no guard need live while one is
/// loaded.
#[derive(Debug)]
pub enum Load<'a, K, V, E, S>
where
    K: Send + 'static,
    V: Send + Sync + 'static,
    E: Send + Sync + 'static,
{
    /// A fresh value.
    Hit(V),
    /// A value past its time, within [the window](super::Builder::stale_while_revalidate) in which it is
    /// good enough; and if nobody loads another yet, the task of doing so.
    Stale(V, Option<Loading<'a, K, V, E, S>>),
    /// Nothing: the caller loads it.
    Lead(Loading<'a, K, V, E, S>),
    /// Nothing: somebody else loads it. Whoever is told [`Ended::Again`](crate::flight::Ended::Again)
    /// asks [once more](Cache::load_again).
    Wait(Follower<V, E>),
}

/// A value that is the caller's to load.
///
/// Dropped without [`complete`](Self::complete) or [`fail`](Self::fail), in whatever way, it leaves that
/// to one of those who wait.
#[must_use = "a load that is dropped leaves those who wait without a result"]
pub struct Loading<'a, K, V, E, S>
where
    K: Send + 'static,
    V: Send + Sync + 'static,
    E: Send + Sync + 'static,
{
    cache: &'a Cache<K, V, E, S>,
    leader: Leader<'a, K, V, E, S>,
}

impl<K, V, E, S> Cache<K, V, E, S>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
    E: Clone + Send + Sync + 'static,
    S: BuildHasher,
{
    /// The value of a key; or the task of loading it, or of waiting for who does. Never blocks.
    ///
    /// Counts one hit or one miss. Where cloning a value is dear, [get](Self::get) it first, and
    /// [load it without counting](Self::load_again) if it is not there.
    ///
    /// # Errors
    ///
    /// Any [`JoinError`], if there is no stale value either: the caller loads this key already, or there is
    /// no room for another load. Then nothing is counted.
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
    ///     unreachable!("nothing is there, and nobody loads it");
    /// };
    /// let Load::Wait(waiting) = pages.load("home", Caller(2), now, guard)? else {
    ///     unreachable!("somebody loads it");
    /// };
    /// assert_eq!(loading.complete(200, now, guard), Ok(200));
    /// assert_eq!(waiting.result(), Some(Ok(200))); // or: waiting.await
    /// assert!(matches!(pages.load("home", Caller(2), now, guard)?, Load::Hit(200)));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn load<Q>(
        &self,
        key: &Q,
        caller: Caller,
        now: Instant,
        guard: &Guard,
    ) -> Result<Load<'_, K, V, E, S>, JoinError>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
    {
        self.map.admit(guard);
        let hash = self.map.hash(key);
        let load = self.load_again(key, caller, now, guard)?;
        self.tally.count(hash, if matches!(load, Load::Hit(_)) { Event::Hit } else { Event::Miss });
        if matches!(load, Load::Stale(..)) {
            self.tally.count(hash, Event::Stale);
        }
        Ok(load)
    }

    /// The same, for who had to ask before: counts nothing.
    ///
    /// # Errors
    ///
    /// As [`load`](Self::load).
    pub fn load_again<Q>(
        &self,
        key: &Q,
        caller: Caller,
        now: Instant,
        guard: &Guard,
    ) -> Result<Load<'_, K, V, E, S>, JoinError>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
    {
        self.map.admit(guard);
        let hash = self.map.hash(key);
        if let Some(entry) = self.fresh(hash, key, now, guard) {
            return Ok(Load::Hit(read(entry)));
        }
        let joined = self.flights.join(key.to_owned(), caller, self.rules.lease, now, guard);
        // Only now: who led before us has inserted before he was done.
        let within = nanos(self.rules.revalidate);
        let stale = self.entry(hash, key, guard).filter(|entry| !entry.value.is_past(now, within));
        match (joined, stale) {
            (Ok(Joined::Leader(leader)), Some(entry)) if entry.value.is_fresh(now) => {
                // Others may have begun to wait for us. Superseded: then not for us.
                _ = leader.complete(entry.value.value.clone(), guard);
                Ok(Load::Hit(read(entry)))
            }
            (Ok(Joined::Leader(leader)), stale) => {
                let loading = Loading { cache: self, leader };
                Ok(match stale {
                    Some(entry) => Load::Stale(read(entry), Some(loading)),
                    None => Load::Lead(loading),
                })
            }
            (_, Some(entry)) if entry.value.is_fresh(now) => Ok(Load::Hit(read(entry))),
            (_, Some(entry)) => Ok(Load::Stale(read(entry), None)),
            (Ok(Joined::Follower(follower)), None) => Ok(Load::Wait(follower)),
            (Err(error), None) => Err(error),
        }
    }
}

impl<K, V, E, S> Cache<K, V, E, S>
where
    K: Hash + Eq + Send + Sync + 'static,
    V: Send + Sync + 'static,
    E: Send + Sync + 'static,
    S: BuildHasher,
{
    /// Removes what was loaded too late.
    fn discard<'g>(
        &'g self,
        hash: usize,
        entry: &'g Entry<K, Object<V>>,
        later: &mut Later<'g, K, V>,
        guard: &'g Guard,
    ) {
        if let Some(dead) = entry.value.kill() {
            self.bury(hash, entry, dead, RemovalCause::Explicit, later, guard);
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
    /// The key.
    pub fn key(&self) -> &K {
        self.leader.key()
    }

    /// Has the [lease](super::Builder::load_lease) begin anew.
    ///
    /// # Errors
    ///
    /// [`Superseded`]: another may be loading by now.
    pub fn renew(&mut self, now: Instant) -> Result<(), Superseded> {
        self.leader.renew(self.cache.rules.lease, now)
    }

    /// Puts the value into the cache, in place of what the key stands for, and then hands it to those who
    /// wait. If the key was inserted or invalidated since the load began, the value is handed to them
    /// all the same, but not stored. So is a value that the cache does not keep, for its weight or for
    /// want of room, and one that is to live for no time: then what was there is removed, as it is out
    /// of date.
    ///
    /// The cache's listener is told of what this removes after the load is over.
    ///
    /// # Errors
    ///
    /// The value, if the lease has ended and another caller would not wait: it is not in the cache. To
    /// put it in begins the lease anew; only if that takes as long as the lease was it there for a while,
    /// and may have been handed out.
    pub fn complete(self, value: V, now: Instant, guard: &Guard) -> Result<V, V> {
        self.complete_with(value, Insert::new(), now, guard)
    }

    /// Completes the load as [`complete`](Self::complete) does, with the entry's own time to live, tier or
    /// weight: an answer that says there is none, for instance, is kept for a shorter time.
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
        let Self { cache, mut leader } = self;
        cache.map.admit(guard);
        let (ours, theirs, key) = (value.clone(), value.clone(), leader.key().clone());
        // From here on nobody supersedes us, unless to put it in takes as long as the lease.
        if leader.renew(cache.rules.lease, now).is_err() {
            return Err(value);
        }
        let hash = cache.map.hash(&key);
        let mut untold = cache.untold();
        let later = &mut untold.later;
        let kept = if insert.ttl(cache.rules.ttl) == Ttl::For(Duration::ZERO) {
            // What was there is out of date, though nothing takes its place.
            let may = |_: &V| !leader.is_detached();
            cache.kill(hash, &key, may, RemovalCause::Replaced, later, now, guard);
            None
        } else {
            cache.insert_if(Some(&leader), hash, key, ours, insert, later, now, guard).ok()
        };
        // Hidden until now. A writer that detaches the flight after this finds the entry, and kills it.
        let kept = kept.filter(|entry| {
            let stays = !leader.is_detached_after_all();
            if stays {
                entry.value.confirm();
            } else {
                cache.discard(hash, entry, later, guard);
            }
            stays
        });
        let superseded = leader.complete(theirs, guard).is_err();
        if let Some(entry) = kept.filter(|_| superseded) {
            cache.discard(hash, entry, later, guard);
        }
        untold.tell();
        if superseded { Err(value) } else { Ok(value) }
    }

    /// Hands those who wait the error; or the value that was there, if it is within [the
    /// window](super::Builder::stale_if_error) in which it is better than none. Returns what they get.
    ///
    /// # Errors
    ///
    /// The error, if it is that.
    pub fn fail(self, error: E, now: Instant, guard: &Guard) -> Result<V, E> {
        let Self { cache, leader } = self;
        cache.map.admit(guard);
        let found = cache.entry(cache.map.hash(leader.key()), leader.key(), guard);
        let within = nanos(cache.rules.on_error);
        match found.filter(|entry| !entry.value.is_past(now, within)) {
            Some(entry) => {
                let value = entry.value.value.clone();
                // Superseded: then they wait for another.
                _ = leader.complete(value.clone(), guard);
                Ok(value)
            }
            None => {
                _ = leader.fail(error.clone(), guard);
                Err(error)
            }
        }
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
