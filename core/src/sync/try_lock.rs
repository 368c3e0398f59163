//! A value that one thread at a time may use, and for which no thread waits.

use core::cell::UnsafeCell;
use core::marker::PhantomData;
use core::ops::{Deref, DerefMut};

use super::{AtomicUsize, Ordering, Witness};

/// A lock without waiting: a thread that finds the value taken continues without it. So a thread
/// that stops while it has the value stops no other. It is for work that others can do without.
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

    /// Returns the value, unless another thread has it.
    pub(crate) fn try_lock(&self) -> Option<Locked<'_, T>> {
        // Acquire: pairs with its being given back. Relaxed: nothing is read.
        self.taken.compare_exchange(0, 1, Ordering::Acquire, Ordering::Relaxed).ok()?;
        self.witness.write();
        Some(Locked(self, PhantomData))
    }
}

/// The right to use the value. A panic gives it back, too.
// As a unique reference: to share it is to share the value.
pub(crate) struct Locked<'a, T>(&'a TryLock<T>, PhantomData<&'a mut T>);

impl<T> Deref for Locked<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: owned until it is given back.
        unsafe { &*self.0.value.get() }
    }
}

impl<T> DerefMut for Locked<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: owned until it is given back.
        unsafe { &mut *self.0.value.get() }
    }
}

impl<T> Drop for Locked<'_, T> {
    fn drop(&mut self) {
        // Release: pairs with the next thread's taking it.
        self.0.taken.store(0, Ordering::Release);
    }
}
