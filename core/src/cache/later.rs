//! Removals that are reported to the listener later.

use alloc::vec::Vec;

use super::cause::RemovalCause;
use super::entry::Object;
use crate::map::Entry;

/// An entry that was removed and is not reported to the listener yet.
pub(super) struct Removal<'g, K, V> {
    pub(super) entry: &'g Entry<K, Object<V>>,
    pub(super) cause: RemovalCause,
}

/// Removals that are reported later; `None` where they are reported at once.
pub(super) type Later<'g, K, V> = Option<Vec<Removal<'g, K, V>>>;
