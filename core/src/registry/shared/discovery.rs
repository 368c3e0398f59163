//! Lists of providers and subscribers, as they were heard of elsewhere.

use alloc::vec::Vec;
use core::borrow::Borrow;
use core::hash::{BuildHasher, Hash};

use super::namespace::{Expected, Namespace, New, Unmet};
use super::namespaces::rejected;
use super::peers::List;
use super::{EnterError, Peer, Peers, Registry, TimeStatus};
use crate::map::MapError;
use crate::reclaim::Guard;
use crate::time::{Instant, Ttl};

/// How to look for the providers of a service.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Lookup {
    /// What is known will do.
    #[default]
    Known,
    /// The caller will ask anew, whatever is known; that stays for others.
    Anew,
}

/// What is known of a service's providers.
#[derive(Clone, Copy, Debug)]
pub enum Discovered<'g, N, P> {
    /// These. None, if a list of none was cached: it is known that there are none.
    Hit(Peers<'g, N, P>),
    /// Nothing that is fresh, or that was wanted: ask, and [cache](Registry::cache_service) the answer. A
    /// list whose peers have all ended is a miss, too. With the last that was known, if that is
    /// [kept](super::Terms::keep_last_known) or still fresh.
    Miss(Option<Peers<'g, N, P>>),
}

type Answer<T> = Result<bool, EnterError<T>>;

impl<K, V, N, P, S> Registry<K, V, N, P, S>
where
    K: Hash + Eq + Send + Sync + 'static,
    V: Send + Sync + 'static,
    N: Eq + Send + Sync + 'static,
    P: Send + Sync + 'static,
    S: BuildHasher,
{
    /// Keeps the list of a service's providers, in place of the one that was known, for `ttl` or the usual
    /// time. Returns whether one was known. An empty list says that there are none, and is kept as long; any
    /// other ends with the last of its peers.
    ///
    /// # Errors
    ///
    /// Any [`RegistryError`](super::RegistryError), with key and list handed back.
    pub fn cache_service(
        &self,
        key: K,
        providers: Vec<Peer<N, P>>,
        ttl: Option<Ttl>,
        now: Instant,
        guard: &Guard,
    ) -> Answer<(K, Vec<Peer<N, P>>)> {
        keep(&self.discovered, key, providers, ttl, now, guard)
    }

    /// Returns the providers of a service.
    pub fn discover<'g, Q>(
        &'g self,
        key: &Q,
        lookup: Lookup,
        now: Instant,
        guard: &'g Guard,
    ) -> Discovered<'g, N, P>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        match (known(&self.discovered, key, now, guard), lookup) {
            (Some(peers), Lookup::Known) => Discovered::Hit(peers),
            (Some(peers), Lookup::Anew) => Discovered::Miss(Some(peers)),
            (None, _) => Discovered::Miss(self.last_known(key, now, guard)),
        }
    }

    /// Returns the last that was known of a service's providers, as it was just before it ended, if that was
    /// no longer ago than the terms [say](super::Terms::keep_last_known).
    pub fn last_known<'g, Q>(
        &'g self,
        key: &Q,
        now: Instant,
        guard: &'g Guard,
    ) -> Option<Peers<'g, N, P>>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.discovered.admit(guard);
        let time = self.discovered.clock().time(now);
        let entry = self.discovered.last_known(key, time, guard)?;
        let last = entry.value.seen().end().saturating_sub(1);
        Some(Peers::new(&entry.value.value, time.min(last)))
    }

    /// Forgets the providers of a service; `false` if none were known.
    pub fn forget_service<Q>(&self, key: &Q, now: Instant, guard: &Guard) -> bool
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.discovered.remove(key, now, guard).is_some()
    }

    /// Forgets the providers of every service, and returns of how many. Looks at the whole table.
    pub fn clear_discovered(&self, now: Instant, guard: &Guard) -> usize {
        self.discovered.clear(now, guard)
    }

    /// Removes lists of providers that have ended, and returns how many. Looks at the whole table.
    pub fn prune_discovered(&self, now: Instant, guard: &Guard) -> usize {
        self.discovered.prune(now, guard)
    }

    /// How many lists of providers there are, those included that have gone and were not pruned.
    pub fn discovered_len(&self) -> usize {
        self.discovered.len()
    }

    /// What the time of the lists of providers is up to.
    pub fn discovered_time(&self) -> TimeStatus {
        self.discovered.clock().status()
    }

    /// Keeps who subscribes to a topic, as [`cache_service`](Self::cache_service).
    ///
    /// # Errors
    ///
    /// As that.
    pub fn cache_subscribers(
        &self,
        topic: K,
        subscribers: Vec<Peer<N, P>>,
        ttl: Option<Ttl>,
        now: Instant,
        guard: &Guard,
    ) -> Answer<(K, Vec<Peer<N, P>>)> {
        keep(&self.subscribers, topic, subscribers, ttl, now, guard)
    }

    /// Who subscribes to a topic, if it is known.
    pub fn subscribers<'g, Q>(
        &'g self,
        topic: &Q,
        now: Instant,
        guard: &'g Guard,
    ) -> Option<Peers<'g, N, P>>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        known(&self.subscribers, topic, now, guard)
    }

    /// Forgets who subscribes to a topic; `false` if nothing was known.
    pub fn forget_subscribers<Q>(&self, topic: &Q, now: Instant, guard: &Guard) -> bool
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.subscribers.remove(topic, now, guard).is_some()
    }

    /// Forgets the subscribers of every topic, and returns of how many. Looks at the whole table.
    pub fn clear_subscribers(&self, now: Instant, guard: &Guard) -> usize {
        self.subscribers.clear(now, guard)
    }

    /// Removes lists of subscribers that have ended, and returns how many. Looks at the whole table.
    pub fn prune_subscribers(&self, now: Instant, guard: &Guard) -> usize {
        self.subscribers.prune(now, guard)
    }

    /// How many lists of subscribers there are, those included that have gone and were not pruned.
    pub fn subscribers_len(&self) -> usize {
        self.subscribers.len()
    }

    /// What the time of the lists of subscribers is up to.
    pub fn subscribers_time(&self) -> TimeStatus {
        self.subscribers.clock().status()
    }
}

impl<K, V, N, P, S> Registry<K, V, N, P, S>
where
    K: Hash + Eq + Send + Sync + 'static,
    V: Send + Sync + 'static,
    N: Clone + Eq + Send + Sync + 'static,
    P: Clone + Send + Sync + 'static,
    S: BuildHasher,
{
    /// Adds to what is known of a service's providers: each takes the place of the one of the same node,
    /// and the others stay, so that one answer that is out of date hides nobody. The list begins anew
    /// with the usual time.
    ///
    /// # Errors
    ///
    /// As [`cache_service`](Self::cache_service).
    pub fn merge_service(
        &self,
        key: K,
        providers: Vec<Peer<N, P>>,
        now: Instant,
        guard: &Guard,
    ) -> Answer<(K, Vec<Peer<N, P>>)> {
        merge(&self.discovered, key, providers, now, guard)
    }

    /// Adds to who is known to subscribe to a topic, as [`merge_service`](Self::merge_service).
    ///
    /// # Errors
    ///
    /// As that.
    pub fn merge_subscribers(
        &self,
        topic: K,
        subscribers: Vec<Peer<N, P>>,
        now: Instant,
        guard: &Guard,
    ) -> Answer<(K, Vec<Peer<N, P>>)> {
        merge(&self.subscribers, topic, subscribers, now, guard)
    }
}

fn known<'g, K, N, P, Q, S>(
    lists: &'g Namespace<K, List<N, P>, S>,
    key: &Q,
    now: Instant,
    guard: &'g Guard,
) -> Option<Peers<'g, N, P>>
where
    K: Hash + Eq + Borrow<Q> + Send + Sync + 'static,
    N: Send + Sync + 'static,
    P: Send + Sync + 'static,
    Q: Hash + Eq + ?Sized,
    S: BuildHasher,
{
    lists.admit(guard);
    // Read once: a list that lives at this time has a peer that does.
    let time = lists.clock().time(now);
    let entry = lists.get(key, time, guard)?;
    Some(Peers::new(&entry.value.value, time))
}

fn keep<K, N, P, S>(
    lists: &Namespace<K, List<N, P>, S>,
    key: K,
    peers: Vec<Peer<N, P>>,
    ttl: Option<Ttl>,
    now: Instant,
    guard: &Guard,
) -> Answer<(K, Vec<Peer<N, P>>)>
where
    K: Hash + Eq + Send + Sync + 'static,
    N: Send + Sync + 'static,
    P: Send + Sync + 'static,
    S: BuildHasher,
{
    lists.admit(guard);
    let list = List::new(peers, lists.clock().time(now));
    match lists.put(list_to_keep(key, list, ttl), Expected::Any, now, guard) {
        Ok(put) => Ok(put.replaced),
        Err((unmet, key, list)) => Err(rejected(unmet, (key, list.into_peers()))),
    }
}

/// A list on its way in, which lives no longer than the last peer in it.
fn list_to_keep<K, N, P>(key: K, list: List<N, P>, ttl: Option<Ttl>) -> New<K, List<N, P>> {
    New { key, until: list.until(), value: list, ttl, leased: false }
}

fn merge<K, N, P, S>(
    lists: &Namespace<K, List<N, P>, S>,
    mut key: K,
    newcomers: Vec<Peer<N, P>>,
    now: Instant,
    guard: &Guard,
) -> Answer<(K, Vec<Peer<N, P>>)>
where
    K: Hash + Eq + Send + Sync + 'static,
    N: Clone + Eq + Send + Sync + 'static,
    P: Clone + Send + Sync + 'static,
    S: BuildHasher,
{
    lists.admit(guard);
    loop {
        let time = lists.clock().time(now);
        // It may have ended: then nothing of it stays.
        let old = lists.find(&key, guard);
        let none = List::of(Vec::new());
        let live = old.filter(|entry| !entry.value.seen().is_past(time));
        let before = live.map_or(&none, |entry| &entry.value.value);
        let Ok(merged) = before.merged(&newcomers, time) else {
            return Err(rejected(Unmet::Map(MapError::OutOfMemory), (key, newcomers)));
        };
        let new = list_to_keep(key, List::of(merged), None);
        match lists.put(new, Expected::Exactly(old), now, guard) {
            Ok(put) => return Ok(put.replaced),
            Err((Unmet::Changed, back, _)) => key = back,
            Err((unmet, back, _)) => return Err(rejected(unmet, (back, newcomers))),
        }
    }
}
