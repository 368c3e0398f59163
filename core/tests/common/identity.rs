//! A hash that is the key, so that a test chooses who shares a bucket.

use std::hash::{BuildHasher, Hasher};

/// The hasher, and its state.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Identity(u64);

impl BuildHasher for Identity {
    type Hasher = Self;

    fn build_hasher(&self) -> Self {
        Self::default()
    }
}

impl Hasher for Identity {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, _: &[u8]) {
        unreachable!("keys are u64")
    }

    fn write_u64(&mut self, value: u64) {
        self.0 = value;
    }
}
