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
pub(crate) use self::model::{AtomicU32, AtomicU64, Ordering, prefetch};
#[cfg(all(not(loom), target_has_atomic = "64"))]
pub(crate) use self::native::*;
pub(crate) use self::word::TimeWord;

#[cfg(all(not(loom), target_has_atomic = "64"))]
mod native {
    pub(crate) use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};

    /// Asks the processor to fetch the cache line of `at` for reading soon. Never faults, and does
    /// nothing on processors for which it is not written.
    #[inline(always)]
    pub(crate) fn prefetch<T>(at: &T) {
        let at = core::ptr::from_ref(at);
        #[cfg(target_arch = "x86_64")]
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
        #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
        let _ = at;
    }
}
