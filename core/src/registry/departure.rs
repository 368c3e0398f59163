//! How an entry comes, why it is removed, and which entry is removed for a new one.

use core::fmt;

/// How an entry came.
#[derive(Debug, PartialEq, Eq, Hash)]
pub enum Arrival<'a, V: ?Sized> {
    /// Nothing lived under its key.
    Arrived,
    /// It took the place of this one, which lived, and whose departure is [`Departure::Replaced`].
    Replaced(&'a V),
}

impl<'a, V: ?Sized> Arrival<'a, V> {
    /// Returns the same of what `change` finds in the entry that was replaced.
    #[cfg(all(feature = "alloc", target_has_atomic = "64"))]
    pub(super) fn map<U: ?Sized>(self, change: impl FnOnce(&'a V) -> &'a U) -> Arrival<'a, U> {
        match self {
            Self::Arrived => Arrival::Arrived,
            Self::Replaced(old) => Arrival::Replaced(change(old)),
        }
    }
}

impl<V: ?Sized> Clone for Arrival<'_, V> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<V: ?Sized> Copy for Arrival<'_, V> {}

/// Why an entry was removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Departure {
    /// It had expired.
    Expired,
    /// It was withdrawn, cleared or forgotten.
    Withdrawn,
    /// Another entry took its key.
    Replaced,
    /// Another entry needed its room: [`WhenFull::EvictSoonest`].
    Evicted,
}

/// What happens to a new entry when a namespace holds as many entries as it may.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum WhenFull {
    /// The new entry is handed back. In a `Registry`, an entry that has ended or was withdrawn
    /// without a guard holds its room until it is pruned or swept.
    #[default]
    Refuse,
    /// The entry that would expire soonest is removed. Where there are few entries or fixed memory,
    /// it is the soonest of all. Where there are many, it is the soonest of those that a hand
    /// passes in 256 steps.
    EvictSoonest,
}

/// The entry has ended, or is no longer there: advertise it again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct LapsedError;

impl fmt::Display for LapsedError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the lease has ended")
    }
}

impl core::error::Error for LapsedError {}
