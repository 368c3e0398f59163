//! Lists of peers.

use alloc::boxed::Box;
use alloc::collections::TryReserveError;
use alloc::vec::Vec;
use core::fmt;

use crate::time::{Instant, Ttl};

/// A peer that provides a service, or subscribes to a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer<N, P> {
    /// Its name. A [merged](super::Lists::merge) list has one peer of each node.
    pub node: N,
    /// What is known of it.
    pub info: P,
    ttl: Option<Ttl>,
    /// When it ends, in the namespace's time; set when it is entered.
    end: Option<Instant>,
}

impl<N, P> Peer<N, P> {
    /// Creates a peer that is known for as long as its list.
    pub const fn new(node: N, info: P) -> Self {
        Self { node, info, ttl: None, end: None }
    }

    /// Bounds the time for which the peer is known.
    #[must_use]
    pub fn time_to_live(mut self, ttl: impl Into<Ttl>) -> Self {
        self.ttl = Some(ttl.into());
        self
    }

    /// Begins the peer's own time.
    fn begin(&mut self, time: u64) {
        self.end = match self.ttl {
            Some(Ttl::For(ttl)) => Some(Instant::from_nanos(time) + ttl),
            _ => None,
        };
    }

    fn is_past(&self, time: u64) -> bool {
        self.end.is_some_and(|end| end.as_nanos() <= time)
    }
}

/// What a key stands for in the lists.
pub(super) struct List<N, P>(Box<[Peer<N, P>]>);

impl<N, P> List<N, P> {
    pub(super) fn new(mut peers: Vec<Peer<N, P>>, time: u64) -> Self {
        peers.iter_mut().for_each(|peer| peer.begin(time));
        Self(peers.into_boxed_slice())
    }

    /// Makes a list of peers whose times have begun.
    pub(super) fn of(peers: Vec<Peer<N, P>>) -> Self {
        Self(peers.into_boxed_slice())
    }

    pub(super) fn peers(&self) -> &[Peer<N, P>] {
        &self.0
    }

    /// Returns when the last of the peers ends. That is never if one has no end. It is also never
    /// if there are none, because that is known, too.
    pub(super) fn until(&self) -> u64 {
        let ends = self.0.iter().map(|peer| peer.end.map_or(u64::MAX, Instant::as_nanos));
        ends.max().unwrap_or(u64::MAX)
    }

    /// Returns the peers as they were before their times began.
    pub(super) fn into_peers(self) -> Vec<Peer<N, P>> {
        let mut peers = self.0.into_vec();
        peers.iter_mut().for_each(|peer| peer.end = None);
        peers
    }
}

impl<N: Clone + Eq, P: Clone> List<N, P> {
    /// Returns the peers of the list, each as the first newcomer of the same node has it, and the
    /// other newcomers.
    pub(super) fn merged(
        &self,
        newcomers: &[Peer<N, P>],
        time: u64,
    ) -> Result<Vec<Peer<N, P>>, TryReserveError> {
        let mut merged: Vec<Peer<N, P>> = Vec::new();
        merged.try_reserve_exact(self.0.len() + newcomers.len())?;
        let new = |newcomer: &Peer<N, P>| {
            let mut newcomer = newcomer.clone();
            newcomer.begin(time);
            newcomer
        };
        for peer in self.0.iter().filter(|peer| !peer.is_past(time)) {
            let newcomer = newcomers.iter().find(|newcomer| newcomer.node == peer.node);
            merged.push(newcomer.map_or_else(|| peer.clone(), new));
        }
        for newcomer in newcomers {
            if merged.iter().all(|peer| peer.node != newcomer.node) {
                merged.push(new(newcomer));
            }
        }
        Ok(merged)
    }
}

/// The peers of a list that live, in their order.
pub struct Peers<'g, N, P> {
    list: &'g [Peer<N, P>],
    time: u64,
}

impl<N, P> Clone for Peers<'_, N, P> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<N, P> Copy for Peers<'_, N, P> {}

impl<'g, N, P> Peers<'g, N, P> {
    pub(super) fn new(list: &'g List<N, P>, time: u64) -> Self {
        Self { list: &list.0, time }
    }

    /// Iterates over the peers.
    pub fn iter(&self) -> impl Iterator<Item = &'g Peer<N, P>> + use<'g, N, P> {
        let time = self.time;
        self.list.iter().filter(move |peer| !peer.is_past(time))
    }

    /// Returns whether there are no peers. Of a list that is [known](super::Discovered::Hit) this
    /// says that there are no providers, not that those known have ended.
    pub fn is_empty(&self) -> bool {
        self.iter().next().is_none()
    }
}

impl<N: fmt::Debug, P: fmt::Debug> fmt::Debug for Peers<'_, N, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}
