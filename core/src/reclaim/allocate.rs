//! Allocation that may fail.

use alloc::alloc::alloc;
use alloc::boxed::Box;
use core::alloc::Layout;
use core::ptr::NonNull;

/// The allocator has no memory left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct OutOfMemory;

/// A box whose address is going to be published; until then it is freed like any other.
pub(crate) struct Unpublished<T>(NonNull<T>);

impl<T> Unpublished<T> {
    /// Moves `value` to the heap, or hands it back.
    pub(crate) fn new(value: T) -> Result<Self, T> {
        const { assert!(size_of::<T>() > 0) };
        // SAFETY: the size is not zero.
        let at = unsafe { alloc(Layout::new::<T>()) };
        let Some(at) = NonNull::new(at.cast::<T>()) else {
            return Err(value);
        };
        // SAFETY: freshly allocated for a `T`.
        unsafe { at.write(value) };
        Ok(Self(at))
    }

    /// Where it is.
    pub(crate) fn address(&self) -> NonNull<T> {
        self.0
    }

    /// The value, before anybody else knows of it.
    pub(crate) fn get_mut(&mut self) -> &mut T {
        // SAFETY: ours alone.
        unsafe { self.0.as_mut() }
    }

    /// Leaves it to those to whom its address was published. Whoever frees it may have nothing but the
    /// number of its address.
    pub(crate) fn publish(self) -> NonNull<T> {
        let at = self.0;
        at.as_ptr().expose_provenance();
        core::mem::forget(self);
        at
    }
}

impl<T> Drop for Unpublished<T> {
    fn drop(&mut self) {
        // SAFETY: allocated in `new` with the layout of a box, and ours alone.
        drop(unsafe { Box::from_raw(self.0.as_ptr()) });
    }
}

/// Memory of this layout, whose size must not be zero.
pub(crate) fn allocate(layout: Layout) -> Result<NonNull<u8>, OutOfMemory> {
    assert!(layout.size() > 0);
    // SAFETY: the size is not zero.
    NonNull::new(unsafe { alloc(layout) }).ok_or(OutOfMemory)
}
