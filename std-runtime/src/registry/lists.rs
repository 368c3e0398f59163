//! The lists of a registry: peers on other machines.

use std::borrow::Borrow;
use std::fmt;
use std::hash::Hash;

use tidegate_core::registry::{self as engine, EnterError, Lookup, Peer, Peers, TimeStatus};
use tidegate_core::{Clock, SeededState, Ttl};

use crate::clock::OwnClock;
use crate::pin::pin;

/// Reads and changes the lists of a registry, by key. The lists are those of the providers of services
/// ([`Registry::discovered`](super::Registry::discovered)), or of the subscribers of topics
/// ([`Registry::subscribers`](super::Registry::subscribers)).
pub struct Lists<'a, K, N, P>
where
    K: Send + 'static,
    N: Send + 'static,
    P: Send + 'static,
{
    pub(super) engine: engine::Lists<'a, K, N, P, SeededState>,
    pub(super) clock: &'a OwnClock,
}

/// Answers whether the peers of a key are known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Discovered<N, P> {
    /// The peers are known. An empty list says that there are no peers.
    Hit(Vec<Peer<N, P>>),
    /// No fresh list is known, or the call did not want it: ask, and [cache](Lists::cache) the answer. Holds the last
    /// peers that were known, if those are [kept](super::Terms::keep_last_known) or still fresh.
    Miss(Option<Vec<Peer<N, P>>>),
}

type Answer<K, N, P> = Result<bool, EnterError<(K, Vec<Peer<N, P>>)>>;

impl<K, N, P> Lists<'_, K, N, P>
where
    K: Hash + Eq + Send + Sync + 'static,
    N: Send + Sync + 'static,
    P: Send + Sync + 'static,
{
    /// Stores the list of a key for the usual time, in place of the list that was known. Returns whether a list
    /// was known. An empty list says that there are no peers, and is kept as long. Any other list expires with the last
    /// of its peers, too.
    ///
    /// # Errors
    ///
    /// Any [`RegistryError`](super::RegistryError), with key and list handed back.
    pub fn cache(self, key: K, peers: Vec<Peer<N, P>>) -> Answer<K, N, P> {
        self.engine.cache(key, peers, None, self.clock.now(), &pin())
    }

    /// Stores the list of a key as [`cache`](Self::cache) does, for `ttl`.
    ///
    /// # Errors
    ///
    /// Fails as [`cache`](Self::cache) does.
    pub fn cache_for(self, key: K, peers: Vec<Peer<N, P>>, ttl: impl Into<Ttl>) -> Answer<K, N, P> {
        self.engine.cache(key, peers, Some(ttl.into()), self.clock.now(), &pin())
    }

    /// Forgets the list of a key. Returns whether a list was known.
    pub fn forget<Q>(self, key: &Q) -> bool
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.engine.forget(key, self.clock.now(), &pin())
    }

    /// Forgets every list, and returns how many. Looks at the whole table.
    pub fn clear(self) -> usize {
        self.engine.clear(self.clock.now(), &pin())
    }

    /// Removes the expired lists, on this thread, and returns how many. Looks at the whole table.
    pub fn prune(self) -> usize {
        self.engine.prune(self.clock.now(), &pin())
    }

    /// Returns the number of lists, including expired ones that were not freed.
    #[expect(clippy::len_without_is_empty, reason = "expired lists count")]
    pub fn len(self) -> usize {
        self.engine.len()
    }

    /// Returns the state of the lists' effective clock.
    pub fn time(self) -> TimeStatus {
        self.engine.time()
    }
}

impl<K, N, P> Lists<'_, K, N, P>
where
    K: Hash + Eq + Send + Sync + 'static,
    N: Clone + Send + Sync + 'static,
    P: Clone + Send + Sync + 'static,
{
    /// Returns clones of the peers of a key, or on a miss of the last peers that were known.
    ///
    /// ```
    /// use tidegate::Registry;
    /// use tidegate::registry::{Discovered, Lookup, Peer};
    ///
    /// let registry: Registry<String, (), u64, &str> = Registry::builder().build();
    /// if let Discovered::Miss(_) = registry.discovered().discover("dns", Lookup::Known) {
    ///     let answer = vec![Peer::new(7, "[2001:db8::7]:53")]; // asked elsewhere
    ///     registry.discovered().merge("dns".to_owned(), answer)?;
    /// }
    /// assert_eq!(registry.discovered().get("dns").unwrap()[0].info, "[2001:db8::7]:53");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn discover<Q>(self, key: &Q, lookup: Lookup) -> Discovered<N, P>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        match self.engine.discover(key, lookup, self.clock.now(), &pin()) {
            engine::Discovered::Hit(peers) => Discovered::Hit(cloned(peers)),
            engine::Discovered::Miss(last) => Discovered::Miss(last.map(cloned)),
        }
    }

    /// Returns clones of the peers of a key, if they are known.
    pub fn get<Q>(self, key: &Q) -> Option<Vec<Peer<N, P>>>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.engine.get(key, self.clock.now(), &pin()).map(cloned)
    }

    /// Returns clones of the last peers that were known of a key, as they were just before their list expired. `None` if
    /// that is longer ago than the terms [permit](super::Terms::keep_last_known).
    pub fn last_known<Q>(self, key: &Q) -> Option<Vec<Peer<N, P>>>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.engine.last_known(key, self.clock.now(), &pin()).map(cloned)
    }

    /// Adds peers to the list of a key. Each newcomer replaces the peer of the same node, and the other peers stay, so that
    /// an outdated answer hides no peer. The list then lives for the usual time again.
    ///
    /// # Errors
    ///
    /// Fails as [`cache`](Self::cache) does.
    pub fn merge(self, key: K, newcomers: Vec<Peer<N, P>>) -> Answer<K, N, P>
    where
        N: Eq,
    {
        self.engine.merge(key, newcomers, self.clock.now(), &pin())
    }
}

fn cloned<N: Clone, P: Clone>(peers: Peers<'_, N, P>) -> Vec<Peer<N, P>> {
    peers.iter().cloned().collect()
}

impl<K, N, P> Clone for Lists<'_, K, N, P>
where
    K: Send + 'static,
    N: Send + 'static,
    P: Send + 'static,
{
    fn clone(&self) -> Self {
        *self
    }
}

impl<K, N, P> Copy for Lists<'_, K, N, P>
where
    K: Send + 'static,
    N: Send + 'static,
    P: Send + 'static,
{
}

impl<K, N, P> fmt::Debug for Lists<'_, K, N, P>
where
    K: Send + 'static,
    N: Send + 'static,
    P: Send + 'static,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.engine.fmt(f)
    }
}
