//! Operations that change nothing that a program can observe.

/// Asks the processor to fetch the cache line of `at` for reading soon. The hint never faults, and
/// does nothing on processors for which it is not written.
#[inline(always)]
pub(crate) fn prefetch<T>(at: *const T) {
    #[cfg(all(target_arch = "x86_64", target_feature = "sse2"))]
    // SAFETY: a prefetch is a hint and reads nothing that the program can observe.
    unsafe {
        core::arch::x86_64::_mm_prefetch::<{ core::arch::x86_64::_MM_HINT_T0 }>(at.cast());
    }
    #[cfg(target_arch = "aarch64")]
    // SAFETY: `prfm` is a hint, and touches neither memory, stack nor flags.
    unsafe {
        core::arch::asm!(
            "prfm pldl1keep, [{0}]",
            in(reg) at,
            options(nostack, preserves_flags, readonly),
        );
    }
    #[cfg(not(any(
        all(target_arch = "x86_64", target_feature = "sse2"),
        target_arch = "aarch64"
    )))]
    let _ = at;
}

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
