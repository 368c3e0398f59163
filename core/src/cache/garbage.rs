//! How what a cache's order retires is measured and freed: segments of queues, and histories.

use super::history::{self, HISTORY};
use super::queue;
use crate::reclaim::{Header, Kind};

/// How it is measured and freed.
pub(super) const KIND: Kind = Kind { measure, release };

fn is_history(object: *mut Header) -> bool {
    object.addr() & HISTORY != 0
}

/// Returns the size of an object.
///
/// # Safety
///
/// The object was retired or is about to be, and is not freed.
unsafe fn measure(object: *mut Header) -> usize {
    if is_history(object) {
        // SAFETY: by the caller's promise.
        unsafe { history::measure(object) }
    } else {
        queue::SEGMENT
    }
}

/// Frees an object.
///
/// # Safety
///
/// The object was retired, and no thread can reach it any more.
unsafe fn release(object: *mut Header, freed: &mut usize) {
    // SAFETY: by the caller's promise.
    *freed = freed.wrapping_add(unsafe { measure(object) });
    if is_history(object) {
        // SAFETY: by the caller's promise.
        unsafe { history::release(object) };
    } else {
        // SAFETY: by the caller's promise.
        unsafe { queue::release(object) };
    }
}
