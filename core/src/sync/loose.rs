//! Words that decide nothing that must hold.

use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};

/// A word on which nothing depends that must hold, such as a hint of what is worth keeping. Whatever
/// a thread finds in it, at whatever moment, is right. So models and random schedules do not follow
/// it: it is the processor's own in every build, and each operation is Relaxed and pairs with none.
/// A word of zeros is one that holds zero.
#[repr(transparent)]
#[derive(Debug)]
pub(crate) struct Loose64(AtomicU64);

impl Loose64 {
    pub(crate) const fn new(value: u64) -> Self {
        Self(AtomicU64::new(value))
    }

    #[inline]
    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    #[inline]
    pub(crate) fn set(&self, value: u64) {
        self.0.store(value, Ordering::Relaxed);
    }

    /// Makes a value zero if it is still there. Of several threads one succeeds.
    #[inline]
    pub(crate) fn take(&self, value: u64) -> bool {
        self.0.compare_exchange(value, 0, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }
}

/// A word of 32 bits on which nothing depends, as on a [`Loose64`].
#[repr(transparent)]
#[derive(Debug)]
pub(crate) struct Loose32(AtomicU32);

impl Loose32 {
    pub(crate) const fn new(value: u32) -> Self {
        Self(AtomicU32::new(value))
    }

    #[inline]
    pub(crate) fn get(&self) -> u32 {
        self.0.load(Ordering::Relaxed)
    }

    #[inline]
    pub(crate) fn set(&self, value: u32) {
        self.0.store(value, Ordering::Relaxed);
    }
}
