//! The word by which a retired object is listed, and what its structure knows of it.

use crate::sync::{AtomicPtr, Ordering, Witness};

/// The first field of whatever can be retired: one word.
///
/// In use, the word is the object's own; once retired it links the object to the next. A reader of the
/// word of an object that may have been retired must be able to do without the answer.
#[repr(C, align(8))]
#[derive(Debug)]
pub(crate) struct Header {
    word: AtomicPtr<Header>,
    witness: Witness,
}

impl Header {
    /// A header whose word the owner uses for `value`.
    pub(crate) fn new(value: usize) -> Self {
        let word = AtomicPtr::new(core::ptr::without_provenance_mut(value));
        Self { word, witness: Witness::new() }
    }

    /// What the word holds, or anything at all once the object was retired.
    pub(crate) fn value(&self) -> usize {
        // Acquire: pairs with the retirement. A reader of a link then sees that the object is no longer
        // where it was found.
        self.word.load(Ordering::Acquire).addr()
    }

    /// Whether the object was retired, as the models know.
    #[cfg(loom)]
    pub(crate) fn is_retired(&self) -> bool {
        self.witness.is_retired()
    }

    /// Tells the models that the object is read.
    #[inline(always)]
    pub(crate) fn read(&self) {
        self.witness.read();
    }

    /// Tells the models that the object is retired.
    #[inline(always)]
    pub(super) fn retire(&self) {
        self.witness.retire();
    }

    /// Links the object to the next of its list, before the list is published.
    #[inline(always)]
    pub(super) fn link(&self, next: *mut Header) {
        // Release: pairs with the reading of the word's value: the step that removed the
        // object comes before.
        self.word.store(next, Ordering::Release);
    }

    /// The next object of the list.
    #[inline(always)]
    pub(super) fn next(&self) -> *mut Header {
        self.witness.listed();
        // Relaxed: ordered by the Acquire that took the list.
        self.word.load(Ordering::Relaxed)
    }
}

/// What reclamation asks a structure about its objects. The pointers' lowest three bits tell the
/// structure what kind of object it is.
#[derive(Clone, Copy)]
pub(crate) struct Kind {
    /// The size of an object that is not freed yet, in bytes; always the same of the same object.
    pub(crate) measure: unsafe fn(*mut Header) -> usize,
    /// Adds an object's size to the bytes that are freed, and then frees it, from any thread.
    pub(crate) release: unsafe fn(*mut Header, &mut usize),
}

const TAGS: usize = 0b111;

/// Where a retired object is, without what the structure tells by the lowest bits.
pub(super) fn untagged(object: *mut Header) -> *mut Header {
    object.map_addr(|address| address & !TAGS)
}
