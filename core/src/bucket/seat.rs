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
