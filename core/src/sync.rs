//! Atomics for the whole crate: `core`'s normally, instrumented `loom` ones under `--cfg loom`.
//!
//! This file and its `model` child are the only ones that may name `core::sync::atomic` or `loom`.
//! Algorithms call the same methods on both and contain no branch for the model. The one
//! difference a caller sees is that loom's atomics cannot be built in a `const`, so the few
//! constructors meant for statics have a twin.

#[cfg(loom)]
pub mod model;
mod word;

#[cfg(loom)]
pub(crate) use self::model::{
    AtomicPtr, AtomicU32, AtomicU64, AtomicUsize, Ordering, Witness, fence, init_null, matching,
    prefetch,
};
#[cfg(all(not(loom), target_has_atomic = "64"))]
pub(crate) use self::native::*;
pub(crate) use self::word::TimeWord;

#[cfg(all(not(loom), target_has_atomic = "64"))]
mod native {
    pub(crate) use core::sync::atomic::{
        AtomicPtr, AtomicU32, AtomicU64, AtomicUsize, Ordering, fence,
    };

    /// Stands where the models watch an object for unsynchronised access; nothing here.
    #[derive(Debug)]
    pub(crate) struct Witness;

    impl Witness {
        #[inline(always)]
        pub(crate) fn new() -> Self {
            Self
        }

        /// The object is read.
        #[inline(always)]
        pub(crate) fn read(&self) {}
    }

    /// Makes `len` null pointers of zeroed memory: they are.
    ///
    /// # Safety
    ///
    /// `at` must point to `len` words of zeroes that nobody else uses yet.
    #[inline(always)]
    pub(crate) unsafe fn init_null<T>(_at: *mut AtomicPtr<T>, _len: usize) {}

    /// Asks the processor to fetch the cache line of `at` for reading soon. Never faults, and does
    /// nothing on processors for which it is not written.
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

    /// Which of the words equal `value`, a bit each. A hint: the words are read in any order, at any
    /// moment, and what follows from it must be verified by loads of their own.
    #[inline(always)]
    pub(crate) fn matching(words: &[AtomicU32; 5], value: u32) -> u32 {
        // The fifth (Relaxed: a hint) apart; four at once where there is an instruction for it.
        let last = u32::from(words[4].load(Ordering::Relaxed) == value) << 4;
        last | four_matching(words, value) & 0b1111
    }

    #[cfg(all(target_arch = "x86_64", target_feature = "sse2"))]
    #[inline(always)]
    fn four_matching(words: &[AtomicU32; 5], value: u32) -> u32 {
        let mask: u32;
        // SAFETY: reads the first 16 bytes of `words`, which are borrowed, and writes registers that
        // are named as outputs. Reading memory that others write atomically is what the processor
        // does in any case; the language has no say within the block, and each aligned word comes
        // whole.
        unsafe {
            core::arch::asm!(
                "movd {wanted}, {value:e}",
                "pshufd {wanted}, {wanted}, 0",
                "movdqu {found}, [{words}]",
                "pcmpeqd {found}, {wanted}",
                "movmskps {mask:e}, {found}",
                value = in(reg) value,
                words = in(reg) words.as_ptr(),
                wanted = out(xmm_reg) _,
                found = out(xmm_reg) _,
                mask = lateout(reg) mask,
                options(nostack, preserves_flags, readonly),
            );
        }
        mask
    }

    #[cfg(not(all(target_arch = "x86_64", target_feature = "sse2")))]
    #[inline(always)]
    fn four_matching(words: &[AtomicU32; 5], value: u32) -> u32 {
        let mut mask = 0;
        for (place, word) in words[..4].iter().enumerate() {
            // Relaxed: a hint.
            mask |= u32::from(word.load(Ordering::Relaxed) == value) << place;
        }
        mask
    }
}
