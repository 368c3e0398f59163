//! Reporting removals to the listener.
//!
//! The listener may do anything, so it is called last, when its caller holds nothing that others
//! could wait for. A load that is being completed holds its flight, so what it removes is reported
//! later.

use alloc::vec::Vec;

use super::entry::Object;
use super::later::{Later, Removal};
use super::{Cache, RemovalCause};
use crate::map::Entry;

/// Removals that are reported when a load is over, even if a waker panics then and that is not
/// contained.
pub(super) struct Untold<'c, 'g, K, V, E, S>
where
    K: Send + 'static,
    V: Send + Sync + 'static,
    E: Send + Sync + 'static,
{
    cache: &'c Cache<K, V, E, S>,
    pub(super) later: Later<'g, K, V>,
}

impl<K, V, E, S> Cache<K, V, E, S>
where
    K: Send + 'static,
    V: Send + Sync + 'static,
    E: Send + Sync + 'static,
{
    /// Makes a place for removals to be reported later, if there is a listener.
    pub(super) fn untold<'g>(&self) -> Untold<'_, 'g, K, V, E, S> {
        Untold { cache: self, later: self.rules.listener.as_ref().map(|_| Vec::new()) }
    }

    /// Counts the removal of an entry that was killed, and calls the listener, or leaves that for
    /// later. Without memory for later it calls at once. This comes last, because the listener may
    /// panic.
    pub(super) fn tell<'g>(
        &self,
        hash: usize,
        entry: &'g Entry<K, Object<V>>,
        cause: RemovalCause,
        later: &mut Later<'g, K, V>,
    ) {
        if let Some(later) = later
            && later.try_reserve(1).is_ok()
        {
            self.tally.count_removal(hash, cause, entry.value.weight());
            later.push(Removal { entry, cause });
        } else {
            self.report(hash, &entry.key, &entry.value, cause);
        }
    }
}

impl<K, V, E, S> Untold<'_, '_, K, V, E, S>
where
    K: Send + 'static,
    V: Send + Sync + 'static,
    E: Send + Sync + 'static,
{
    /// Calls the listener. If it panics in a domain that does not contain panics, the rest is not
    /// reported. Nothing here can catch that panic, and a second one would abort the program.
    pub(super) fn tell(&mut self) {
        for Removal { entry, cause } in self.later.take().unwrap_or_default() {
            self.cache.show(&entry.key, &entry.value, cause);
        }
    }
}

impl<K, V, E, S> Drop for Untold<'_, '_, K, V, E, S>
where
    K: Send + 'static,
    V: Send + Sync + 'static,
    E: Send + Sync + 'static,
{
    fn drop(&mut self) {
        self.tell();
    }
}
