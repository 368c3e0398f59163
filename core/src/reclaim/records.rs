//! The records of a domain's structures, in pages. A step finds those that may hold objects, and a new
//! structure finds a free one, by a look at two words for each page.

use alloc::boxed::Box;
use core::cell::UnsafeCell;
use core::ptr::NonNull;

use super::allocate::{OutOfMemory, Unpublished};
use super::header::Kind;
use super::marks::{Marks, PAGE, Place};
use super::record::Record;
use super::roll::Roll;
use crate::sync::Witness;

/// As many records as there were ever structures at a time. They live as long as the domain.
pub(super) struct Records {
    pages: Roll<Page>,
}

struct Page {
    marks: Marks,
    places: [Slot; PAGE],
}

/// `None` until the place is claimed for the first time.
struct Slot {
    record: UnsafeCell<Option<NonNull<Record>>>,
    witness: Witness,
}

// SAFETY: a slot is written by the thread that has claimed its number, once, and read by threads that
// have claimed it or have seen its mark later. It owns its record.
unsafe impl Send for Slot {}
// SAFETY: as above.
unsafe impl Sync for Slot {}

impl Records {
    pub(super) fn new() -> Self {
        Self { pages: Roll::new() }
    }

    /// A record for a structure that retires objects of this kind, as long as the domain lives.
    pub(super) fn adopt(&self, kind: Kind) -> Result<NonNull<Record>, OutOfMemory> {
        let mut number = 0;
        let claim = |page: &Page| {
            page.marks.claim().is_some_and(|claimed| {
                number = claimed;
                true
            })
        };
        let page = self.pages.adopt(claim, Page::new)?;
        // SAFETY: pages live as long as the roll.
        unsafe { page.as_ref() }.record(number, kind)
    }

    /// The records that may hold objects.
    pub(super) fn held(&self) -> impl Iterator<Item = &Record> + Clone {
        self.pages.iter().flat_map(|page| {
            // SAFETY: the mark was made by the owner of the record.
            page.marks.held().filter_map(|number| unsafe { page.places[number].get() })
        })
    }

    /// All records.
    pub(super) fn all(&mut self) -> impl Iterator<Item = &Record> {
        // SAFETY: no other thread has a reference.
        self.pages.iter().flat_map(|page| &page.places).filter_map(|slot| unsafe { slot.get() })
    }
}

impl Page {
    /// A page of which the first place is claimed.
    fn new() -> Self {
        Self { marks: Marks::new(), places: core::array::from_fn(|_| Slot::new()) }
    }

    /// The record in a place that the caller has claimed.
    fn record(&self, number: usize, kind: Kind) -> Result<NonNull<Record>, OutOfMemory> {
        let slot = &self.places[number];
        // SAFETY: the number is claimed.
        if let Some(record) = unsafe { slot.get() } {
            // SAFETY: as above.
            unsafe { record.own(kind) };
            return Ok(NonNull::from(record));
        }
        // SAFETY: both are in the page, which drops the record.
        let place = unsafe { Place::new(&self.marks, number) };
        let Ok(record) = Unpublished::new(Record::new(kind, place)) else {
            self.marks.give_back(number);
            return Err(OutOfMemory);
        };
        let record = record.publish();
        slot.witness.write();
        // SAFETY: the number is claimed, and has no mark yet.
        unsafe { *slot.record.get() = Some(record) };
        Ok(record)
    }
}

impl Slot {
    fn new() -> Self {
        Self { record: UnsafeCell::new(None), witness: Witness::new() }
    }

    /// The record, if the place was ever claimed.
    ///
    /// # Safety
    ///
    /// The caller has claimed the place, or has seen its mark, or is alone.
    unsafe fn get(&self) -> Option<&Record> {
        self.witness.read();
        // SAFETY: by the caller's promise the slot is not written now.
        let record = unsafe { *self.record.get() }?;
        // SAFETY: records live as long as the page.
        Some(unsafe { record.as_ref() })
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        if let Some(record) = self.record.get_mut().take() {
            // SAFETY: made by `Page::record` as a box, and the slot is ours alone.
            drop(unsafe { Box::from_raw(record.as_ptr()) });
        }
    }
}
