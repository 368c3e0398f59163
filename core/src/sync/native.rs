//! The processor's own atomics, and what goes with them.

#[cfg(feature = "alloc")]
pub(crate) use core::sync::atomic::{AtomicPtr, AtomicUsize, fence};
pub(crate) use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};

/// Orders what the compiler emits, and nothing that the processor does: one half of a fence whose
/// other half is a barrier on all threads.
#[cfg(feature = "alloc")]
#[inline(always)]
pub(crate) fn light_fence() {
    core::sync::atomic::compiler_fence(Ordering::SeqCst);
}

/// Returns the place of the first word that equals `value`. Where none of the others does, it may be
/// that of the last word, which is not looked at. It is a hint: the words are read in any order, at
/// any moment, and what follows from it must be verified by loads of their own.
#[inline(always)]
pub(crate) fn matching(words: &[AtomicU32; 5], value: u32) -> Option<usize> {
    // Four at once where there is an instruction for it.
    Some((four_matching(words, value) | 0b1_0000).trailing_zeros() as usize)
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
