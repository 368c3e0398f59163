//! A list that only grows: records that are taken over, used, and given back for the next.

use core::ptr::NonNull;

use super::allocate::{OutOfMemory, Unpublished};
use crate::sync::{AtomicPtr, Ordering};

/// Records of type `T`, as many as were ever in use at a time. They live as long as the roll.
pub(super) struct Roll<T> {
    head: AtomicPtr<Node<T>>,
}

struct Node<T> {
    record: T,
    next: *mut Node<T>,
}

// SAFETY: the list hands out `&T` only, and owns its `T`s.
unsafe impl<T: Send + Sync> Send for Roll<T> {}
// SAFETY: as above.
unsafe impl<T: Send + Sync> Sync for Roll<T> {}

impl<T> Roll<T> {
    pub(super) fn new() -> Self {
        Self { head: AtomicPtr::new(core::ptr::null_mut()) }
    }

    /// A record that `claim` accepts, or else a new one.
    pub(super) fn adopt(
        &self,
        mut claim: impl FnMut(&T) -> bool,
        new: impl FnOnce() -> T,
    ) -> Result<NonNull<T>, OutOfMemory> {
        if let Some(record) = self.iter().find(|&record| claim(record)) {
            return Ok(NonNull::from(record));
        }
        let node = Node { record: new(), next: core::ptr::null_mut() };
        let node = Unpublished::new(node).map_err(|_| OutOfMemory)?.publish();
        // Relaxed: only compared with; nothing behind it is read.
        let mut head = self.head.load(Ordering::Relaxed);
        loop {
            // SAFETY: ours until the exchange succeeds, and alive for as long as the roll after.
            let next = unsafe { &raw mut (*node.as_ptr()).next };
            // SAFETY: as above.
            unsafe { next.write(head) };
            // Release: whoever finds the node finds what it holds. Relaxed: as the load.
            match self.head.compare_exchange(
                head,
                node.as_ptr(),
                Ordering::Release,
                Ordering::Relaxed,
            ) {
                // SAFETY: nodes live as long as the roll.
                Ok(_) => return Ok(NonNull::from(unsafe { &(*node.as_ptr()).record })),
                Err(seen) => head = seen,
            }
        }
    }

    /// Every record, in use or not.
    pub(super) fn iter(&self) -> impl Iterator<Item = &T> + Clone {
        // Acquire: pairs with the exchange that published the node; those behind it were published
        // before.
        let first = self.head.load(Ordering::Acquire);
        // SAFETY: nodes live as long as the roll, and are not changed once published.
        let node = |at: *mut Node<T>| unsafe { at.as_ref() };
        core::iter::successors(node(first), move |last| node(last.next)).map(|node| &node.record)
    }
}

impl<T> Drop for Roll<T> {
    fn drop(&mut self) {
        let mut at = *self.head.get_mut();
        while let Some(node) = NonNull::new(at) {
            // SAFETY: published by `adopt`, which allocated it as a box; the roll is ours alone.
            let node = unsafe { alloc::boxed::Box::from_raw(node.as_ptr()) };
            at = node.next;
        }
    }
}
