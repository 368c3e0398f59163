//! Operations that the models carry out in their own way. Here they do nothing, or write nulls.

/// Stands where the models watch an object for unsynchronised access; nothing here.
#[derive(Debug)]
pub(crate) struct Witness;

impl Witness {
    #[inline(always)]
    pub(crate) const fn new() -> Self {
        Self
    }

    /// Records that the object is read.
    #[cfg(feature = "alloc")]
    #[inline(always)]
    pub(crate) fn read(&self) {}

    /// Records that the object is changed, by the only thread that may.
    #[inline(always)]
    pub(crate) fn write(&self) {}

    /// Records that the object is retired.
    #[cfg(feature = "alloc")]
    #[inline(always)]
    pub(crate) fn retire(&self) {}

    /// Records that the object is on a list of retired objects.
    #[cfg(feature = "alloc")]
    #[inline(always)]
    pub(crate) fn listed(&self) {}
}

/// Makes `len` null pointers of memory that no other thread uses yet.
///
/// # Safety
///
/// `at` must point to `len` words that no other thread uses yet.
#[cfg(all(feature = "alloc", not(shuttle)))]
pub(crate) unsafe fn init_null<T>(at: *mut super::AtomicPtr<T>, len: usize) {
    // SAFETY: by the caller's promise. An atomic pointer is a word, and a null one is zero.
    unsafe { at.write_bytes(0, len) };
}
