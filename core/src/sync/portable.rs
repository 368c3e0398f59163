//! Operations made of the facade's own, where the processor's cannot be used.

use super::{AtomicU32, Ordering};

/// Returns which of the words equal `value`, a bit each.
#[track_caller]
pub(crate) fn matching<const N: usize>(words: &[AtomicU32; N], value: u32) -> u32 {
    let mut mask = 0;
    for (place, word) in words.iter().enumerate() {
        // Relaxed: a hint.
        mask |= u32::from(word.load(Ordering::Relaxed) == value) << place;
    }
    mask
}

/// Makes `len` null pointers of memory that no other thread uses yet.
///
/// # Safety
///
/// `at` must point to `len` words that no other thread uses yet.
#[cfg(any(loom, shuttle))]
pub(crate) unsafe fn init_null<T>(at: *mut super::AtomicPtr<T>, len: usize) {
    for index in 0..len {
        // SAFETY: within the words that the caller promised to be its own.
        let word = unsafe { at.add(index) };
        // SAFETY: within the words that the caller promised to be its own.
        unsafe { word.write(super::AtomicPtr::new(core::ptr::null_mut())) };
    }
}
