//! `shuttle`'s atomics: random schedules that can be replayed, for scenarios too large for `loom`.
//! Every access counts as sequentially consistent, so they show interleavings and no stale reads.

pub(crate) use shuttle::sync::atomic::{
    AtomicPtr, AtomicU32, AtomicU64, AtomicUsize, Ordering, fence,
};

/// All is ordered here.
pub(crate) fn light_fence() {}

/// Makes `len` null pointers of memory that nobody else uses yet.
///
/// # Safety
///
/// `at` must point to `len` words that nobody else uses yet.
pub(crate) unsafe fn init_null<T>(at: *mut AtomicPtr<T>, len: usize) {
    for index in 0..len {
        // SAFETY: within the words of which the caller promised that they are ours.
        let word = unsafe { at.add(index) };
        // SAFETY: as above.
        unsafe { word.write(AtomicPtr::new(core::ptr::null_mut())) };
    }
}

/// Which of the words equal `value`, a bit each.
pub(crate) fn matching<const N: usize>(words: &[AtomicU32; N], value: u32) -> u32 {
    let mut mask = 0;
    for (place, word) in words.iter().enumerate() {
        // Relaxed: a hint.
        mask |= u32::from(word.load(Ordering::Relaxed) == value) << place;
    }
    mask
}
