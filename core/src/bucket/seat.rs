//! A bucket's seat: by which a charge can be taken back from the very bucket that was charged.

/// Where a bucket of a table stands: which slot of its set, and which tenure of the slot.
///
/// A bucket that was given up loses its seat for good, also when the key gets another bucket in the
/// same slot. Tenures are told apart modulo four, and by the key's fingerprint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Seat {
    pub(super) slot: u8,
    pub(super) version: u8,
}

impl Seat {
    /// Of what is no slot.
    pub(super) const NONE: Self = Self { slot: u8::MAX, version: 0 };
}

/// A live bucket of a table, as it was found: its slot, and all of its state word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) line: u8,
    /// The slot in the line.
    pub(super) index: u8,
    pub(super) word: u64,
}

impl Found {
    /// None was found.
    pub(super) const NONE: Self = Self { line: u8::MAX, index: u8::MAX, word: 0 };

    /// Whether any was found.
    #[cfg(target_has_atomic = "64")]
    #[inline(always)]
    pub(super) const fn is_some(&self) -> bool {
        self.line != u8::MAX
    }
}
