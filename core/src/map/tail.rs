//! An entry's memory, with the words that some structures keep behind it.
//!
//! Words that only some maps need, such as the last ends of a cache with a time to idle, follow the
//! entry in its allocation. All entries of one map have the same number of them, which the map is
//! built with.

use core::mem::offset_of;
use core::ptr::NonNull;

use super::node::Entry;
use crate::reclaim::Unpublished;
use crate::sync::AtomicU64;

/// The most words that an entry has behind it.
pub(crate) const TAIL_MAX: usize = 2;

/// What these words are to hold at first. A map takes as many as its entries have.
pub(crate) type Tail = [u64; TAIL_MAX];

/// The words of an entry whose map has none, or to which they say nothing yet.
pub(crate) const NO_TAIL: Tail = [0; TAIL_MAX];

/// An entry and the words behind it.
#[repr(C)]
struct Tailed<K, V, const TAIL: usize> {
    entry: Entry<K, V>,
    tail: [AtomicU64; TAIL],
}

/// An entry before it is published. Until then it is freed as any box is.
pub(super) struct NewEntry<K, V> {
    at: NonNull<Entry<K, V>>,
    /// How many words are behind it.
    tail: usize,
}

impl<K, V> NewEntry<K, V> {
    /// Makes an entry on the heap with `tail` words behind it, or hands back what it was to be made
    /// of.
    #[inline]
    pub(super) fn new(
        hash: usize,
        key: K,
        value: V,
        words: Tail,
        tail: usize,
    ) -> Result<Self, (K, V)> {
        let entry = Entry::new(hash, key, value);
        let at = match tail {
            0 => place::<K, V, 0>(entry, words),
            1 => place::<K, V, 1>(entry, words),
            _ => place::<K, V, TAIL_MAX>(entry, words),
        };
        at.map(|at| Self { at, tail }).map_err(Entry::into_parts)
    }

    /// Returns the entry's address.
    pub(super) fn address(&self) -> NonNull<Entry<K, V>> {
        self.at
    }

    pub(super) fn get(&self) -> &Entry<K, V> {
        // SAFETY: owned here alone.
        unsafe { self.at.as_ref() }
    }

    pub(super) fn get_mut(&mut self) -> &mut Entry<K, V> {
        // SAFETY: owned here alone.
        unsafe { self.at.as_mut() }
    }

    /// Leaves the entry to the threads to which its address was published.
    pub(super) fn publish(self) -> NonNull<Entry<K, V>> {
        let at = self.at;
        core::mem::forget(self);
        at
    }

    /// Takes key and value back.
    pub(super) fn into_parts(self) -> (K, V) {
        let (at, tail) = (self.at, self.tail);
        core::mem::forget(self);
        let entry = match tail {
            // SAFETY: made by `new` with `tail` words, and owned here alone.
            0 => unsafe { take::<K, V, 0>(at) },
            // SAFETY: made by `new` with `tail` words, and owned here alone.
            1 => unsafe { take::<K, V, 1>(at) },
            // SAFETY: made by `new` with `tail` words, and owned here alone.
            _ => unsafe { take::<K, V, TAIL_MAX>(at) },
        };
        entry.into_parts()
    }
}

impl<K, V> Drop for NewEntry<K, V> {
    fn drop(&mut self) {
        // SAFETY: made by `new` with `tail` words, and owned here alone.
        unsafe { free(self.at, self.tail) };
    }
}

impl<K, V> Entry<K, V> {
    /// Returns a word behind the entry.
    ///
    /// # Safety
    ///
    /// The entry was published in a map that was built with more than `index` such words.
    #[inline]
    pub(crate) unsafe fn tail(&self, index: usize) -> &AtomicU64 {
        // Not by the reference, which reaches no further than the entry: by the address as it was
        // exposed when the entry was made.
        let at = core::ptr::from_ref(self).addr() + offset_of!(Tailed<K, V, TAIL_MAX>, tail);
        let words = core::ptr::with_exposed_provenance::<AtomicU64>(at);
        // SAFETY: by the caller's promise the word is in the entry's allocation, where `place` has
        // put it, and it lives as long as the entry. It is at the same place for every number of
        // words, because the type is `repr(C)`.
        unsafe { &*words.wrapping_add(index) }
    }
}

/// Returns how many bytes an entry with `TAIL` words takes.
pub(super) const fn size<K, V, const TAIL: usize>() -> usize {
    size_of::<Tailed<K, V, TAIL>>()
}

/// Puts an entry on the heap, with the first words of `words` behind it, and exposes its address.
fn place<K, V, const TAIL: usize>(
    entry: Entry<K, V>,
    words: Tail,
) -> Result<NonNull<Entry<K, V>>, Entry<K, V>> {
    let tail = core::array::from_fn(|index| AtomicU64::new(words[index]));
    // The entry is the first field.
    let new = Unpublished::new(Tailed::<K, V, TAIL> { entry, tail });
    new.map(|new| new.publish().cast()).map_err(|tailed| tailed.entry)
}

/// Takes an entry off the heap.
///
/// # Safety
///
/// The entry was made with `TAIL` words, and is the caller's alone.
unsafe fn take<K, V, const TAIL: usize>(at: NonNull<Entry<K, V>>) -> Entry<K, V> {
    // SAFETY: by the caller's promise; `Unpublished` allocates as a box does.
    let tailed = unsafe { alloc::boxed::Box::from_raw(at.cast::<Tailed<K, V, TAIL>>().as_ptr()) };
    tailed.entry
}

/// Drops and frees an entry.
///
/// # Safety
///
/// The entry was made with `TAIL` words, and is the caller's alone.
pub(super) unsafe fn drop_entry<K, V, const TAIL: usize>(at: NonNull<Entry<K, V>>) {
    // SAFETY: by the caller's promise; `Unpublished` allocates as a box does.
    drop(unsafe { alloc::boxed::Box::from_raw(at.cast::<Tailed<K, V, TAIL>>().as_ptr()) });
}

/// Drops and frees an entry of which only the caller knows how many words it has.
///
/// # Safety
///
/// The entry was made with `tail` words, and is the caller's alone.
pub(super) unsafe fn free<K, V>(at: NonNull<Entry<K, V>>, tail: usize) {
    match tail {
        // SAFETY: by the caller's promise.
        0 => unsafe { drop_entry::<K, V, 0>(at) },
        // SAFETY: by the caller's promise.
        1 => unsafe { drop_entry::<K, V, 1>(at) },
        // SAFETY: by the caller's promise.
        _ => unsafe { drop_entry::<K, V, TAIL_MAX>(at) },
    }
}
