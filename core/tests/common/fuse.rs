//! Code of other people that panics at a call that the test names.

use std::cell::Cell;
use std::hash::{BuildHasher, Hash, Hasher};
use std::panic::{AssertUnwindSafe, catch_unwind};

thread_local! {
    /// How many calls of other people's code return until one panics; `None`: none does.
    static FUSE: Cell<Option<u32>> = const { Cell::new(None) };
}

/// Called by other people's code. Panics if it is its turn, and not again.
pub(crate) fn burn() {
    if let Some(left) = FUSE.get() {
        FUSE.set(left.checked_sub(1));
        assert!(left > 0, "on purpose");
    }
}

/// Runs `f`, in which call number `fuse` of other people's code panics. What `f` returned, and whether it
/// was over before that call.
pub(crate) fn lit<T>(fuse: u32, f: impl FnOnce() -> T) -> (Option<T>, bool) {
    FUSE.set(Some(fuse));
    let end = catch_unwind(AssertUnwindSafe(f));
    let is_over = FUSE.take().is_some();
    (end.ok(), is_over)
}

/// A key whose every call is other people's code.
#[derive(Debug)]
pub(crate) struct Key(pub(crate) u32);

impl Clone for Key {
    fn clone(&self) -> Self {
        burn();
        Self(self.0)
    }
}

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        burn();
        self.0.hash(state);
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        burn();
        self.0 == other.0
    }
}

impl Eq for Key {}

/// Hashes of few bits, so that keys share buckets and are compared.
#[derive(Clone)]
pub(crate) struct Coarse;

pub(crate) struct Few(u64);

impl Hasher for Few {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        self.0 = bytes.iter().map(|&byte| u64::from(byte)).sum::<u64>() % 2;
    }
}

impl BuildHasher for Coarse {
    type Hasher = Few;

    fn build_hasher(&self) -> Few {
        Few(0)
    }
}
