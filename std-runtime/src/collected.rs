//! Structures that leave no garbage behind in a process that is idle afterwards.

use std::ops::Deref;

use crate::pin::collect;

/// A structure of the face. Once it was dropped, the garbage of the process's domain is collected.
pub(crate) struct Collected<T> {
    structure: T,
    /// Dropped after the structure.
    _after: After,
}

struct After;

impl<T> Collected<T> {
    pub(crate) fn new(structure: T) -> Self {
        Self { structure, _after: After }
    }
}

impl<T> Deref for Collected<T> {
    type Target = T;

    #[inline(always)]
    fn deref(&self) -> &T {
        &self.structure
    }
}

impl Drop for After {
    fn drop(&mut self) {
        collect();
    }
}
