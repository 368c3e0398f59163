//! Operations made of the facade's own, where the processor's cannot be used.

use super::{AtomicU32, Ordering};

/// Returns the place of the first word that equals `value`. A word that is not seen to is not
/// returned, so that the models execute the fewer loads: those of a slot that is not the last.
#[track_caller]
pub(crate) fn matching<const N: usize>(words: &[AtomicU32; N], value: u32) -> Option<usize> {
    let mut place = None;
    for (index, word) in words.iter().enumerate().rev() {
        // Relaxed: a hint.
        if word.load(Ordering::Relaxed) == value {
            place = Some(index);
        }
    }
    place
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
