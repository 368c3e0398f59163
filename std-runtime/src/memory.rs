//! Memory for large tables.
//!
//! A check of a random key in a table of many megabytes mostly misses the processor's table of
//! addresses, too, and that is a walk through memory of its own. With pages of 2 MiB it rarely does.
//! [`HugePages`] is memory for [`BucketTable::over`](crate::lockfree::BucketTable::over) that asks the
//! system for such pages.

use std::fmt;
use std::io;
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;

/// The size of a huge page on all processors where the kernel's own pages have 4 KiB.
const HUGE: usize = 2 << 20;

/// A slice in memory of its own, for which the system is asked for huge pages.
///
/// Where the system has none, or none to spare, the memory is as any other. On Linux
/// `/sys/kernel/mm/transparent_hugepage/enabled` must say `madvise` or `always`; what a process has got
/// is in `AnonHugePages` of `/proc/self/smaps`. Use it for tables of more than a few megabytes: the
/// memory is rounded up to whole huge pages.
///
/// ```
/// use tidegate::lockfree::BucketTable;
/// use tidegate::lockfree::bucket::{Set, Unit};
/// use tidegate::memory::HugePages;
/// use tidegate::{Instant, Quota};
///
/// let quota = Quota::per_minute(60)?.burst(20)?;
/// let sets = HugePages::new(Set::for_keys(1_000_000), Set::new)?;
/// let table = BucketTable::over(sets, Unit::for_quota(quota)?, tidegate::random_state());
/// let plan = table.plan(quota)?;
/// assert!(table.check("203.0.113.7", &plan, Instant::from_secs(1)).is_admitted());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct HugePages<T> {
    /// The first value, at the beginning of a huge page.
    start: NonNull<T>,
    len: usize,
    /// Unmapped after the values are dropped.
    _mapping: Mapping,
    advised: bool,
}

/// What was mapped, and is to be unmapped.
struct Mapping {
    address: *mut libc::c_void,
    bytes: usize,
}

impl<T> HugePages<T> {
    /// Allocates memory for `len` values, and fills it with what `make` returns.
    ///
    /// # Errors
    ///
    /// Fails if the system has no such memory, and with [`io::ErrorKind::InvalidInput`] if `len`
    /// values do not fit into an address space.
    pub fn new(len: usize, mut make: impl FnMut() -> T) -> io::Result<Self> {
        const { assert!(align_of::<T>() <= HUGE) };
        let too_many = || io::Error::new(io::ErrorKind::InvalidInput, "len: too many values");
        let bytes = len.checked_mul(size_of::<T>()).ok_or_else(too_many)?;
        let whole = bytes.checked_next_multiple_of(HUGE).ok_or_else(too_many)?;
        // One page more, so that a huge one begins somewhere within the first.
        let mapping = Mapping::new(whole.checked_add(HUGE).ok_or_else(too_many)?)?;
        let first = mapping.address.cast::<u8>();
        let first = first.wrapping_add(first.align_offset(HUGE));
        // SAFETY: the range lies in the mapping, to which no other reference exists. The advice changes no
        // content.
        let refused = unsafe { libc::madvise(first.cast(), whole, libc::MADV_HUGEPAGE) };
        let start = NonNull::new(first.cast::<T>()).expect("no mapping begins at 0");
        let mut memory = Self { start, len: 0, _mapping: mapping, advised: refused == 0 };
        while memory.len < len {
            let value = make();
            // SAFETY: below `len`, for which there is room, and so within the mapping.
            let place = unsafe { start.add(memory.len) };
            // SAFETY: aligned, as the start is, and within the mapping, which may be written.
            unsafe { place.write(value) };
            // One by one: if `make` panics, what it has made is dropped.
            memory.len += 1;
        }
        Ok(memory)
    }

    /// Returns whether the system accepted the request for huge pages. It may still give others.
    pub fn is_advised(&self) -> bool {
        self.advised
    }
}

impl Mapping {
    fn new(bytes: usize) -> io::Result<Self> {
        let (protection, flags) =
            (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
        // SAFETY: a new mapping, at an address of the kernel's choice, touches no memory in use.
        let address = unsafe { libc::mmap(std::ptr::null_mut(), bytes, protection, flags, -1, 0) };
        if address == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        Ok(Self { address, bytes })
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: this is the whole mapping, and its owner is gone with all references into it.
        let failed = unsafe { libc::munmap(self.address, self.bytes) };
        debug_assert!(failed == 0, "a mapping cannot be unmapped");
    }
}

impl<T> Drop for HugePages<T> {
    fn drop(&mut self) {
        let values: *mut [T] = &raw mut **self;
        // SAFETY: the values are valid, ours alone, and not used again: the mapping goes next.
        unsafe { values.drop_in_place() };
    }
}

impl<T> Deref for HugePages<T> {
    type Target = [T];

    #[inline]
    fn deref(&self) -> &[T] {
        // SAFETY: `len` values were written from `start` on, and live as long as `self`.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.len) }
    }
}

impl<T> DerefMut for HugePages<T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut [T] {
        // SAFETY: as in `deref`, and `self` is borrowed for changing.
        unsafe { std::slice::from_raw_parts_mut(self.start.as_ptr(), self.len) }
    }
}

// SAFETY: it owns its values, as a box of them does.
unsafe impl<T: Send> Send for HugePages<T> {}
// SAFETY: as above; through a shared reference only shared references to the values can be had.
unsafe impl<T: Sync> Sync for HugePages<T> {}

impl<T: fmt::Debug> fmt::Debug for HugePages<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(&**self).finish()
    }
}
