//! A structure's side of what it has retired.

use core::ptr::NonNull;

use super::allocate::OutOfMemory;
use super::domain::Domain;
use super::garbage::Full;
use super::header::{Header, Kind, untagged};
use super::record::Record;
use super::worker::{Guard, Worker};

/// A structure's side of its record.
pub(crate) struct Limbo {
    domain: Domain,
    record: NonNull<Record>,
    /// The measure of the record's kind, apart from what others write there.
    measure: unsafe fn(*mut Header) -> usize,
}

// SAFETY: the record is shared by design, and lives as long as the domain.
unsafe impl Send for Limbo {}
// SAFETY: as above.
unsafe impl Sync for Limbo {}

impl Limbo {
    /// A place in `domain` for what a structure retires.
    ///
    /// # Safety
    ///
    /// `kind` must measure and free whatever the structure retires, from any thread, at any later time.
    pub(crate) unsafe fn new(domain: &Domain, kind: Kind) -> Result<Self, OutOfMemory> {
        let record = domain.inner().records.adopt(kind)?;
        Ok(Self { domain: domain.clone(), record, measure: kind.measure })
    }

    pub(crate) fn domain(&self) -> &Domain {
        &self.domain
    }

    /// Panics unless the guard is of this domain.
    #[inline(always)]
    pub(crate) fn admit(&self, guard: &Guard) {
        if !guard.is_of(self.domain.inner()) {
            foreign();
        }
    }

    /// Panics unless the worker's guards are of this domain.
    pub(crate) fn admit_worker(&self, worker: &Worker) {
        if !core::ptr::eq(worker.domain().inner(), self.domain.inner()) {
            foreign();
        }
    }

    /// Asks to retire `objects`, before the step that makes them garbage. What is then not retired
    /// must be [given back](Self::give_back).
    #[inline]
    pub(crate) fn reserve(&self, objects: usize) -> Result<(), Full> {
        self.domain.inner().garbage.reserve(objects)
    }

    #[inline]
    pub(crate) fn give_back(&self, objects: usize) {
        self.domain.inner().garbage.give_back(objects);
    }

    /// Leaves objects to be freed when nothing can read them any more. The end of the guard pays for it;
    /// this is lock-free and allocates nothing.
    ///
    /// # Safety
    ///
    /// The objects were reserved for; each is retired this once; and no thread that is pinned from
    /// now on can reach them. Nothing of them is needed to go on with the iterator.
    pub(crate) unsafe fn retire(
        &self,
        objects: impl IntoIterator<Item = *mut Header>,
        guard: &Guard,
    ) {
        let mut objects = objects.into_iter();
        let Some(last) = objects.next() else {
            return;
        };
        let retire = |object| {
            // SAFETY: ours until it is pushed.
            unsafe { &*untagged(object) }.retire();
            self.measure(object)
        };
        // A chain of them, so that all are pushed at once.
        let (mut first, mut count, mut bytes) = (last, 1, retire(last));
        for object in objects {
            bytes = bytes.wrapping_add(retire(object));
            // SAFETY: as above.
            unsafe { &*untagged(object) }.link(first);
            first = object;
            count += 1;
        }
        self.record().push(guard.stripe(), first, last);
        guard.owe(self.record, count, bytes);
    }

    /// Leaves a table to be freed, when the table in use has `in_use` bytes.
    ///
    /// # Safety
    ///
    /// As for [`retire`](Self::retire).
    pub(crate) unsafe fn retire_table(&self, table: *mut Header, in_use: usize, guard: &Guard) {
        let bytes = self.measure(table);
        if bytes < LARGE {
            // SAFETY: by the caller's promise.
            unsafe { self.retire([table], guard) };
        } else {
            // SAFETY: ours until it is pushed.
            unsafe { &*untagged(table) }.retire();
            self.record().push_large(table, bytes, in_use);
            guard.owe(self.record, 1, 0);
        }
    }

    #[inline]
    fn measure(&self, object: *mut Header) -> usize {
        // SAFETY: an object of this structure, not pushed yet.
        unsafe { (self.measure)(object) }
    }

    #[inline]
    fn record(&self) -> &Record {
        // SAFETY: lives as long as the domain.
        unsafe { self.record.as_ref() }
    }
}

/// The allocator may take milliseconds to free an object of so many bytes or more.
const LARGE: usize = 64 * 1024;

impl Drop for Limbo {
    fn drop(&mut self) {
        self.domain.inner().garbage.count_closed();
        self.record().close();
        self.domain.inner().give_up(self.record());
    }
}

#[cold]
#[inline(never)]
fn foreign() -> ! {
    panic!("the guard is of another domain than the structure");
}
