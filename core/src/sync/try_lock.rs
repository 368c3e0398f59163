//! A value that one thread at a time may use, and for which nobody waits.

use core::cell::UnsafeCell;
use core::marker::PhantomData;
use core::ops::{Deref, DerefMut};

use super::{AtomicUsize, Ordering, Witness};

/// Whoever finds it taken goes on without it, so that a thread which stops with it in its hands stops
/// nobody: it is for work that others can do without.
pub(crate) struct TryLock<T> {
    taken: AtomicUsize,
    value: UnsafeCell<T>,
    witness: Witness,
}

// SAFETY: the value is used by one thread at a time, and sent from one to the next.
unsafe impl<T: Send> Sync for TryLock<T> {}

impl<T> TryLock<T> {
    pub(crate) fn new(value: T) -> Self {
        Self { taken: AtomicUsize::new(0), value: UnsafeCell::new(value), witness: Witness::new() }
    }

    /// The value, unless somebody has it.
    pub(crate) fn try_lock(&self) -> Option<Locked<'_, T>> {
        // Acquire: pairs with its being given back. Relaxed: nothing is read.
        self.taken.compare_exchange(0, 1, Ordering::Acquire, Ordering::Relaxed).ok()?;
        self.witness.write();
        Some(Locked(self, PhantomData))
    }
}

/// The right to use the value. Given back also by a panic.
// As a unique reference: to share it is to share the value.
pub(crate) struct Locked<'a, T>(&'a TryLock<T>, PhantomData<&'a mut T>);

impl<T> Deref for Locked<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: ours until it is given back.
        unsafe { &*self.0.value.get() }
    }
}

impl<T> DerefMut for Locked<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: ours until it is given back.
        unsafe { &mut *self.0.value.get() }
    }
}

impl<T> Drop for Locked<'_, T> {
    fn drop(&mut self) {
        // Release: pairs with the next one's taking it.
        self.0.taken.store(0, Ordering::Release);
    }
}
