//! The lists of a registry: peers as they were heard of elsewhere.

use std::borrow::Borrow;
use std::fmt;
use std::hash::Hash;
use std::sync::Arc;

use tidegate_core::registry::{self as engine, EnterError, Lookup, Peer, Peers, TimeStatus};
use tidegate_core::{Clock, SeededState, Ttl};

use crate::clock::OwnClock;
use crate::pin::pin;

/// The lists of a registry, of the providers of services ([`Registry::discovered`](super::Registry::discovered)) or
/// of the subscribers of topics ([`Registry::subscribers`](super::Registry::subscribers)), by key.
pub struct Lists<'a, K, N, P>
where
    K: Send + 'static,
    N: Send + 'static,
    P: Send + 'static,
{
    pub(super) engine: engine::Lists<'a, K, N, P, SeededState>,
    pub(super) clock: &'a Arc<OwnClock>,
}

/// What is known of the peers of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Discovered<N, P> {
    /// These. If a list of none was cached, these are none: it is known that there are no peers.
    Hit(Vec<Peer<N, P>>),
    /// Nothing that is fresh, or that was wanted: ask, and [cache](Lists::cache) the answer. With the last peers that
    /// were known, if those are [kept](super::Terms::keep_last_known) or still fresh.
    Miss(Option<Vec<Peer<N, P>>>),
}

type Answer<K, N, P> = Result<bool, EnterError<(K, Vec<Peer<N, P>>)>>;

impl<K, N, P> Lists<'_, K, N, P>
where
    K: Hash + Eq + Send + Sync + 'static,
    N: Send + Sync + 'static,
    P: Send + Sync + 'static,
{
    /// Keeps the list of a key, in place of the one that was known, for `ttl` or the usual time. Returns whether one
    /// was known. An empty list says that there are no peers, and is kept as long; any other ends with the last of
    /// its peers.
    ///
    /// # Errors
    ///
    /// Any [`RegistryError`](super::RegistryError), with key and list handed back.
    pub fn cache(self, key: K, peers: Vec<Peer<N, P>>, ttl: Option<Ttl>) -> Answer<K, N, P> {
        self.engine.cache(key, peers, ttl, self.clock.now(), &pin())
    }

    /// Forgets the list of a key. Returns `false` if none was known.
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

    /// Removes the lists that have ended, on this thread, and returns how many. Looks at the whole table.
    pub fn prune(self) -> usize {
        self.engine.prune(self.clock.now(), &pin())
    }

    /// Returns how many lists there are, including those ended that were not freed.
    #[expect(clippy::len_without_is_empty, reason = "what counts may have ended")]
    pub fn len(self) -> usize {
        self.engine.len()
    }

    /// Returns how the lists' time stands.
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
    /// Returns clones of the peers of a key, and on a miss of the last that were known.
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

    /// Returns clones of the last peers that were known of a key, as they were just before their list ended, if that
    /// was no longer ago than the terms [say](super::Terms::keep_last_known).
    pub fn last_known<Q>(self, key: &Q) -> Option<Vec<Peer<N, P>>>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.engine.last_known(key, self.clock.now(), &pin()).map(cloned)
    }

    /// Adds to the list of a key: each newcomer takes the place of the peer of the same node, and the other peers
    /// stay, so that one answer that is out of date hides no peer. The list begins anew with the usual time.
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
