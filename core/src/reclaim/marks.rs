//! Which records of a page are free, and which may hold retired objects: a bit each.
//!
//! A thread that pushes onto an empty stack marks the record after. Until then the thread is pinned, or
//! frees a portion of the record's, so that nothing which is pushed there meanwhile can ripen. The holder
//! of the collector's lock takes the mark off a record that it has found empty, and then looks again. Each
//! changes the word by a read-modify-write: the later one sees what came before the earlier one.

use core::ptr::NonNull;

use crate::sync::{AtomicU64, Ordering};

/// How many records share a word of marks.
pub(super) const PAGE: usize = if cfg!(loom) { 2 } else { 64 };

const ALL: u64 = if cfg!(loom) { 0b11 } else { u64::MAX };

/// The marks of a page's records.
pub(super) struct Marks {
    free: AtomicU64,
    held: AtomicU64,
}

impl Marks {
    /// Marks of which the first is claimed, and all others are free.
    pub(super) fn new() -> Self {
        Self { free: AtomicU64::new(ALL & !1), held: AtomicU64::new(0) }
    }

    /// Claims a free record. Returns its number.
    pub(super) fn claim(&self) -> Option<usize> {
        // Relaxed: a look.
        let mut free = self.free.load(Ordering::Relaxed);
        while free != 0 {
            let bit = free & free.wrapping_neg();
            // Acquire: pairs with the giving back of the record: what its last owner left there.
            free = self.free.fetch_and(!bit, Ordering::Acquire);
            if free & bit != 0 {
                return Some(bit.trailing_zeros() as usize);
            }
        }
        None
    }

    /// Makes a record free.
    pub(super) fn give_back(&self, number: usize) {
        // Release: pairs with the next claim.
        self.free.fetch_or(1 << number, Ordering::Release);
    }

    /// The numbers of the records that may hold objects.
    pub(super) fn held(&self) -> impl Iterator<Item = usize> + Clone {
        // Acquire: pairs with the mark: the record is there.
        let mut held = self.held.load(Ordering::Acquire);
        core::iter::from_fn(move || {
            let number = held.trailing_zeros() as usize;
            held &= held.wrapping_sub(1);
            (number < PAGE).then_some(number)
        })
    }
}

/// Where a record's marks are.
pub(super) struct Place {
    marks: NonNull<Marks>,
    number: usize,
}

impl Place {
    /// # Safety
    ///
    /// The marks outlive the place.
    pub(super) unsafe fn new(marks: &Marks, number: usize) -> Self {
        Self { marks: NonNull::from(marks), number }
    }

    /// Says that the record may hold objects.
    pub(super) fn mark(&self) {
        // Release: pairs with `unmark`, which then sees what was pushed, and with the look at those that
        // are held.
        self.marks().held.fetch_or(1 << self.number, Ordering::Release);
    }

    /// Says that the record holds nothing. The caller then looks again.
    pub(super) fn unmark(&self) {
        // Acquire: pairs with each mark that came before: the look that follows sees what was pushed.
        self.marks().held.fetch_and(!(1 << self.number), Ordering::Acquire);
    }

    /// Gives back a record that holds nothing and has no owner.
    pub(super) fn give_back(&self) {
        // Relaxed: the look at those that are held may be late.
        self.marks().held.fetch_and(!(1 << self.number), Ordering::Relaxed);
        self.marks().give_back(self.number);
    }

    fn marks(&self) -> &Marks {
        // SAFETY: by the promise to `new`.
        unsafe { self.marks.as_ref() }
    }
}
