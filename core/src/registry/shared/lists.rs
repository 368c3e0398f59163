//! Lists of providers and subscribers elsewhere, as the caller learned of them.

use alloc::vec::Vec;
use core::borrow::Borrow;
use core::fmt;
use core::hash::{BuildHasher, Hash};

use super::error::rejected;
use super::namespace::{Expected, Namespace, New, Unmet};
use super::peers::List;
use super::{EnterError, Peer, Peers, TimeStatus};
use crate::map::MapError;
use crate::reclaim::Guard;
use crate::time::{Instant, Ttl};

/// How to look for the providers of a service.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Lookup {
    /// The known peers are enough.
    #[default]
    Known,
    /// The caller will ask anew, whatever is known. The known list stays for others.
    Anew,
}

/// What is known of a service's providers.
#[derive(Clone, Copy, Debug)]
pub enum Discovered<'g, N, P> {
    /// These peers are known. There are none if an empty list was cached, which says that there are
    /// no peers.
    Hit(Peers<'g, N, P>),
    /// No list is fresh, or the caller did not want it: ask, and [cache](Lists::cache) the answer.
    /// A list whose peers have all ended is a miss, too. The miss holds the last known list, if
    /// that is [kept](super::Terms::keep_last_known) or still fresh.
    Miss(Option<Peers<'g, N, P>>),
}

type Answer<T> = Result<bool, EnterError<T>>;

/// The lists of a registry, by key: of the providers of services
/// ([`Registry::discovered`](super::Registry::discovered)) or of the subscribers of topics
/// ([`Registry::subscribers`](super::Registry::subscribers)). Results live as long as the borrow of
/// the registry and the guard.
pub struct Lists<'a, K, N, P, S>(pub(super) &'a Namespace<K, List<N, P>, S>)
where
    K: Send + 'static,
    N: Send + 'static,
    P: Send + 'static;

impl<'a, K, N, P, S> Lists<'a, K, N, P, S>
where
    K: Hash + Eq + Send + Sync + 'static,
    N: Send + Sync + 'static,
    P: Send + Sync + 'static,
    S: BuildHasher,
{
    /// Keeps the list of a key for `ttl` or the usual time, in place of the known one. Returns
    /// whether one was known. An empty list says that there are no peers, and is kept as long. Any
    /// other list ends with the last of its peers.
    ///
    /// # Errors
    ///
    /// Fails with any [`RegistryError`](super::RegistryError), and hands key and list back.
    pub fn cache(
        self,
        key: K,
        peers: Vec<Peer<N, P>>,
        ttl: Option<Ttl>,
        now: Instant,
        guard: &Guard,
    ) -> Answer<(K, Vec<Peer<N, P>>)> {
        let Self(lists) = self;
        lists.admit(guard);
        let list = List::new(peers, lists.clock().time(now));
        match lists.put(list_to_keep(key, list, ttl), Expected::Any, now, guard) {
            Ok(put) => Ok(put.replaced),
            Err((unmet, key, list)) => Err(rejected(unmet, (key, list.into_peers()))),
        }
    }

    /// Returns the peers of a key, or on a miss the last known ones.
    pub fn discover<Q>(
        self,
        key: &Q,
        lookup: Lookup,
        now: Instant,
        guard: &'a Guard,
    ) -> Discovered<'a, N, P>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        match (self.get(key, now, guard), lookup) {
            (Some(peers), Lookup::Known) => Discovered::Hit(peers),
            (Some(peers), Lookup::Anew) => Discovered::Miss(Some(peers)),
            (None, _) => Discovered::Miss(self.last_known(key, now, guard)),
        }
    }

    /// Returns the peers of a key, if they are known.
    pub fn get<Q>(self, key: &Q, now: Instant, guard: &'a Guard) -> Option<Peers<'a, N, P>>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let Self(lists) = self;
        lists.admit(guard);
        // The time is read once: a list that lives at this time has a peer that does.
        let time = lists.clock().time(now);
        let entry = lists.get(key, time, guard)?;
        Some(Peers::new(&entry.value.value, time))
    }

    /// Returns the last known list of a key as it was just before it ended, if that was no longer
    /// ago than the terms [say](super::Terms::keep_last_known).
    pub fn last_known<Q>(self, key: &Q, now: Instant, guard: &'a Guard) -> Option<Peers<'a, N, P>>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let Self(lists) = self;
        lists.admit(guard);
        let time = lists.clock().time(now);
        let (entry, end) = lists.last_known(key, time, guard)?;
        Some(Peers::new(&entry.value.value, time.min(end.saturating_sub(1))))
    }

    /// Forgets the list of a key. Returns `false` if none was known.
    pub fn forget<Q>(self, key: &Q, now: Instant, guard: &Guard) -> bool
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.0.remove(key, now, guard).is_some()
    }

    /// Forgets every list, and returns how many there were. The call looks at the whole table.
    pub fn clear(self, now: Instant, guard: &Guard) -> usize {
        self.0.clear(now, guard)
    }

    /// Removes the lists that have ended, and returns how many there were. The call looks at the
    /// whole table.
    pub fn prune(self, now: Instant, guard: &Guard) -> usize {
        self.0.prune(now, guard)
    }

    /// Returns how many lists there are, including those ended or forgotten that were not pruned.
    #[expect(clippy::len_without_is_empty, reason = "what counts may have ended")]
    pub fn len(self) -> usize {
        self.0.len()
    }

    /// Returns the state of the lists' time.
    pub fn time(self) -> TimeStatus {
        self.0.clock().status()
    }
}

impl<K, N, P, S> Lists<'_, K, N, P, S>
where
    K: Hash + Eq + Send + Sync + 'static,
    N: Clone + Eq + Send + Sync + 'static,
    P: Clone + Send + Sync + 'static,
    S: BuildHasher,
{
    /// Adds peers to the list of a key. Each new peer takes the place of the peer of the same node.
    /// The other peers stay, so that one answer that is out of date hides no peer. The list begins
    /// anew with the usual time.
    ///
    /// # Errors
    ///
    /// Fails as [`cache`](Self::cache) does.
    pub fn merge(
        self,
        mut key: K,
        newcomers: Vec<Peer<N, P>>,
        now: Instant,
        guard: &Guard,
    ) -> Answer<(K, Vec<Peer<N, P>>)> {
        let Self(lists) = self;
        lists.admit(guard);
        loop {
            let time = lists.clock().time(now);
            // The list may have ended: then nothing of it stays.
            let old = lists.find(&key, guard);
            let none = List::of(Vec::new());
            let live = old.filter(|(_, life)| !life.is_past(time));
            let before = live.map_or(&none, |(entry, _)| &entry.value.value);
            let Ok(merged) = before.merged(&newcomers, time) else {
                return Err(rejected(Unmet::Map(MapError::OutOfMemory), (key, newcomers)));
            };
            let new = list_to_keep(key, List::of(merged), None);
            let expected = Expected::Exactly(old.map(|(entry, _)| entry));
            match lists.put(new, expected, now, guard) {
                Ok(put) => return Ok(put.replaced),
                Err((Unmet::Changed, back, _)) => key = back,
                Err((unmet, back, _)) => return Err(rejected(unmet, (back, newcomers))),
            }
        }
    }
}

/// Makes the entry of a list, which lives no longer than the last peer in it.
fn list_to_keep<K, N, P>(key: K, list: List<N, P>, ttl: Option<Ttl>) -> New<K, List<N, P>> {
    New { key, until: list.until(), value: list, ttl, leased: false }
}

impl<K, N, P, S> Clone for Lists<'_, K, N, P, S>
where
    K: Send + 'static,
    N: Send + 'static,
    P: Send + 'static,
{
    fn clone(&self) -> Self {
        *self
    }
}

impl<K, N, P, S> Copy for Lists<'_, K, N, P, S>
where
    K: Send + 'static,
    N: Send + 'static,
    P: Send + 'static,
{
}

impl<K, N, P, S> fmt::Debug for Lists<'_, K, N, P, S>
where
    K: Send + 'static,
    N: Send + 'static,
    P: Send + 'static,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lists").field("len", &self.0.len()).finish_non_exhaustive()
    }
}
