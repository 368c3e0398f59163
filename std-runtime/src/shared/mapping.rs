//! The file in memory.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::ptr::NonNull;

use tidegate_core::bucket::{Set, TableHeader};

use super::file::{HEADER_AT, SETS_AT, length};

/// A table's file, mapped. Unmapped when it is dropped.
#[derive(Debug)]
pub(super) struct Mapping {
    start: NonNull<u8>,
    sets: usize,
}

// SAFETY: what is mapped is atomics alone, which every thread may use.
unsafe impl Send for Mapping {}
// SAFETY: as above.
unsafe impl Sync for Mapping {}

const _: () = assert!(HEADER_AT.is_multiple_of(align_of::<TableHeader>()));
const _: () = assert!(HEADER_AT + size_of::<TableHeader>() <= SETS_AT);
const _: () = assert!(SETS_AT.is_multiple_of(align_of::<Set>()));

impl Mapping {
    /// Maps a file whose length is that of `sets` sets.
    pub(super) fn new(file: &File, sets: usize) -> io::Result<Self> {
        // SAFETY: the kernel chooses the address, so no memory of this process is replaced.
        let start = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                length(sets),
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED,
                file.as_raw_fd(),
                0,
            )
        };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let start = NonNull::new(start.cast()).ok_or(io::ErrorKind::OutOfMemory)?;
        Ok(Self { start, sets })
    }

    /// Returns the header and the sets.
    ///
    /// # Safety
    ///
    /// Neither may be used once the mapping is dropped.
    pub(super) unsafe fn parts(&self) -> (&'static TableHeader, &'static [Set]) {
        // SAFETY: the mapping has the length for it, at this aligned place. All bytes are valid for
        // atomics, whichever process wrote them. The caller answers for the lifetime.
        let header = unsafe { self.header().as_ref() };
        // SAFETY: as above.
        let sets = unsafe { &*self.sets() };
        (header, sets)
    }

    /// Gives back what killed processes had claimed. Returns how many slots that were.
    ///
    /// # Safety
    ///
    /// No other process and no thread may have the table open.
    pub(super) unsafe fn mend(&mut self) -> usize {
        // SAFETY: as for `parts`; nobody else uses the sets, says the caller.
        let sets = unsafe { &mut *self.sets() };
        sets.iter_mut().map(Set::mend).sum()
    }

    fn header(&self) -> NonNull<TableHeader> {
        // SAFETY: within the mapping.
        unsafe { self.start.add(HEADER_AT) }.cast()
    }

    fn sets(&self) -> *mut [Set] {
        // SAFETY: within the mapping.
        let first = unsafe { self.start.add(SETS_AT) }.cast();
        std::ptr::slice_from_raw_parts_mut(first.as_ptr(), self.sets)
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: this is what was mapped, and by the contract of `parts` it is used no more.
        unsafe { libc::munmap(self.start.as_ptr().cast(), length(self.sets)) };
    }
}
