//! One time in one word.

/// A time shared between threads where the target has 64-bit atomics; elsewhere a plain cell,
/// which the compiler then keeps on one thread.
#[derive(Debug)]
pub(crate) struct TimeWord(Inner);

#[cfg(target_has_atomic = "64")]
type Inner = super::AtomicU64;
#[cfg(not(target_has_atomic = "64"))]
type Inner = core::cell::Cell<u64>;

impl TimeWord {
    #[cfg(not(loom))]
    pub(crate) const fn new(value: u64) -> Self {
        Self(Inner::new(value))
    }

    #[cfg(loom)]
    pub(crate) fn new(value: u64) -> Self {
        Self(Inner::new(value))
    }
}

#[cfg(target_has_atomic = "64")]
impl TimeWord {
    #[inline]
    pub(crate) fn get(&self) -> u64 {
        // Relaxed: a time stands alone, nothing else is published through it.
        self.0.load(super::Ordering::Relaxed)
    }

    pub(crate) fn set(&self, value: u64) {
        // Relaxed: as in `get`.
        self.0.store(value, super::Ordering::Relaxed);
    }

    /// Adds `by`, stopping at the largest value.
    pub(crate) fn advance(&self, by: u64) {
        let mut seen = self.get();
        // Relaxed, both: as in `get`.
        while let Err(now) = self.0.compare_exchange(
            seen,
            seen.saturating_add(by),
            super::Ordering::Relaxed,
            super::Ordering::Relaxed,
        ) {
            seen = now;
        }
    }

    /// Raises the word to `value` unless it is above, and returns what it then holds.
    pub(crate) fn raise(&self, value: u64) -> u64 {
        // Relaxed: the modification order of this one word is what makes the results monotone.
        self.0.fetch_max(value, super::Ordering::Relaxed).max(value)
    }
}

#[cfg(not(target_has_atomic = "64"))]
impl TimeWord {
    pub(crate) fn get(&self) -> u64 {
        self.0.get()
    }

    pub(crate) fn set(&self, value: u64) {
        self.0.set(value);
    }

    /// Adds `by`, stopping at the largest value.
    pub(crate) fn advance(&self, by: u64) {
        self.set(self.get().saturating_add(by));
    }

    /// Raises the word to `value` unless it is above, and returns what it then holds.
    pub(crate) fn raise(&self, value: u64) -> u64 {
        self.set(self.get().max(value));
        self.get()
    }
}
