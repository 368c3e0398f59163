//! What becomes of an entry that the map has no use for any more.

use core::ptr::NonNull;

use super::node::Entry;
use super::tail::{self, TAIL_MAX};
use crate::reclaim::Header;

/// What happens to an entry that the map has no use for any more.
pub(super) trait Farewell<K, V> {
    /// How many words are behind each entry.
    const TAIL: usize;

    /// Returns how many bytes the entry counts as while it waits to be freed.
    fn measure(entry: &Entry<K, V>) -> usize;

    /// Releases the part of the map in the entry.
    ///
    /// # Safety
    ///
    /// The entry was published once, and is neither in the map nor read under a guard any more.
    unsafe fn part(entry: NonNull<Entry<K, V>>);
}

/// The entry is dropped and freed.
pub(super) enum Free<const TAIL: usize> {}

impl<K, V, const TAIL: usize> Farewell<K, V> for Free<TAIL> {
    const TAIL: usize = TAIL;

    fn measure(_entry: &Entry<K, V>) -> usize {
        tail::size::<K, V, TAIL>()
    }

    unsafe fn part(entry: NonNull<Entry<K, V>>) {
        // SAFETY: by the caller's promise; the map makes its entries with `TAIL` words.
        unsafe { tail::drop_entry::<K, V, TAIL>(entry) };
    }
}

/// A value whose entry may be held when the map has no use for it any more.
pub(crate) trait Retained: Sized {
    /// Returns how many bytes the value of an entry with `tail` words behind it owns beside its own
    /// size, as far as that is known. The answer is always the same, and no more than a pebibyte.
    fn weight<K>(entry: &Entry<K, Self>, tail: usize) -> usize;

    /// Records that neither the map nor any guard has a use for it any more. Returns whether there
    /// is no hold. Then the map frees the entry; otherwise the last [hold](Held) does, perhaps
    /// before this returns.
    ///
    /// # Safety
    ///
    /// The value was there until now.
    unsafe fn left(this: NonNull<Self>) -> bool;
}

/// The entry is freed as by [`Free`], unless there is a hold on it.
pub(super) enum Leave<const TAIL: usize> {}

impl<K, V: Retained, const TAIL: usize> Farewell<K, V> for Leave<TAIL> {
    const TAIL: usize = TAIL;

    fn measure(entry: &Entry<K, V>) -> usize {
        Free::<TAIL>::measure(entry) + V::weight(entry, TAIL)
    }

    unsafe fn part(entry: NonNull<Entry<K, V>>) {
        // SAFETY: by the caller's promise it is still there.
        let value = NonNull::from(unsafe { &(*entry.as_ptr()).value });
        // SAFETY: by the caller's promise it is still there.
        if unsafe { V::left(value) } {
            // SAFETY: by the caller's promise, and there is no hold on it.
            unsafe { Free::<TAIL>::part(entry) };
        }
    }
}

/// A hold on an entry, whatever happens to that in the map.
pub(crate) struct Held<K, V> {
    /// The entry's address, and how many words are behind it.
    tagged: NonNull<Entry<K, V>>,
}

const _: () = assert!(TAIL_MAX < align_of::<Header>());

impl<K, V> Held<K, V> {
    /// Makes the handle of a hold that the entry's value has counted. The entry has `tail` words
    /// behind it.
    pub(crate) fn new(entry: &Entry<K, V>, tail: usize) -> Self {
        debug_assert!(tail <= TAIL_MAX);
        // Not by the reference, which may not free it: as it was when it was published.
        let at = core::ptr::with_exposed_provenance_mut(core::ptr::from_ref(entry).addr() | tail);
        // SAFETY: the address of a reference, and more.
        Self { tagged: unsafe { NonNull::new_unchecked(at) } }
    }

    /// Returns the entry's address, and how many words are behind it.
    fn parts(&self) -> (NonNull<Entry<K, V>>, usize) {
        let tail = self.tagged.addr().get() % align_of::<Header>();
        // SAFETY: the address without its tag, as it was before.
        (unsafe { self.tagged.byte_sub(tail) }, tail)
    }

    /// Returns the entry.
    ///
    /// # Safety
    ///
    /// The entry is still held.
    pub(crate) unsafe fn entry<'a>(&self) -> &'a Entry<K, V> {
        // SAFETY: by the caller's promise.
        unsafe { self.parts().0.as_ref() }
    }

    /// Drops and frees the entry.
    ///
    /// # Safety
    ///
    /// The map has left the entry, which has as many words as was said, and there is no other hold
    /// on it.
    pub(crate) unsafe fn free(self) {
        let (entry, tail) = self.parts();
        // SAFETY: by the caller's promise.
        unsafe { tail::free(entry, tail) };
    }
}
