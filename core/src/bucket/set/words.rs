//! The two packed words of a set, each a plain value and its atomic.

use crate::bucket::gcra::TIME_MAX;
use crate::sync::{AtomicU32, AtomicU64, Ordering};

/// Slots in a set: so many bits of its control word say which are visible. Two in the models, which
/// then reach full sets with few steps.
pub(in crate::bucket) const SLOTS: usize = if cfg!(loom) { 2 } else { 10 };

/// `{ time: 60, version: 2, phase: 2 }`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct State(u64);

/// Where a slot stands in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Nobody's, invisible: may be claimed.
    Vacant,
    /// Somebody's: the time is that of the claim. Once visible, the first charge makes it live.
    Claimed,
    /// A bucket, visible: the time is the bucket's.
    Live,
    /// Given up, for good: to be unpublished and then vacated, by anyone.
    Closed,
}

impl State {
    pub(super) const fn time(self) -> u64 {
        self.0 >> 4
    }

    pub(super) const fn phase(self) -> Phase {
        match self.0 & 3 {
            0 => Phase::Vacant,
            1 => Phase::Claimed,
            2 => Phase::Live,
            _ => Phase::Closed,
        }
    }

    /// Which of the slot's tenures this is, modulo four.
    #[inline]
    pub(super) const fn version(self) -> u8 {
        (self.0 >> 2 & 0b11) as u8
    }

    #[inline]
    pub(super) const fn is_live(self) -> bool {
        self.0 & 3 == 2
    }

    /// The next tenure's first state.
    pub(super) const fn claimed(self, time: u64) -> Self {
        Self(time << 4 | self.0.wrapping_add(0b100) & 0b1100 | 1)
    }

    #[inline]
    pub(super) const fn live(self, time: u64) -> Self {
        Self(time << 4 | self.0 & 0b1100 | 2)
    }

    /// The same state with another time: a live one charged.
    #[inline]
    pub(super) const fn at(self, time: u64) -> Self {
        Self(time << 4 | self.0 & 0b1111)
    }

    // A closed word keeps its time: with the version it tells one tenure from another.
    pub(super) const fn closed(self) -> Self {
        Self(self.0 | 3)
    }

    // A vacant word keeps the version only. With the last time there is, it is not `due`.
    pub(super) const fn vacant(self) -> Self {
        Self(TIME_MAX << 4 | self.0 & 0b1100)
    }

    /// Returns whether a sweep of what was paid for by `by` must look at the slot closely: it is not
    /// vacant, and its time has come. One comparison decides both: a word that was never used is 0,
    /// and one less than that is the largest number.
    #[inline]
    pub(super) const fn is_due(self, by: u64) -> bool {
        self.0.wrapping_sub(1) < (by << 4 | 0b1111)
    }
}

/// A slot's [`State`], shared.
#[derive(Debug)]
pub(super) struct StateWord(AtomicU64);

impl StateWord {
    #[cfg(not(loom))]
    pub(super) const fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    #[cfg(loom)]
    pub(super) fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    #[inline]
    #[cfg_attr(loom, track_caller)]
    pub(super) fn load(&self, order: Ordering) -> State {
        State(self.0.load(order))
    }

    #[cfg_attr(loom, track_caller)]
    pub(super) fn store(&self, state: State, order: Ordering) {
        self.0.store(state.0, order);
    }

    /// Whether the word was `from` and is now `to`. Fails with Relaxed: whoever fails loads again.
    #[inline]
    #[cfg_attr(loom, track_caller)]
    pub(super) fn swap(&self, from: State, to: State, order: Ordering) -> bool {
        self.0.compare_exchange(from.0, to.0, order, Ordering::Relaxed).is_ok()
    }
}

/// `{ sequence: 22, visible: 10 }`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Control(u32);

impl Control {
    const VISIBLE: u32 = (1 << SLOTS) - 1;

    pub(super) const fn visible(self) -> u32 {
        self.0 & Self::VISIBLE
    }

    pub(super) const fn shows(self, slot: usize) -> bool {
        self.0 >> slot & 1 != 0
    }

    pub(super) const fn with(self, slot: usize) -> Self {
        self.next(self.visible() | 1 << slot)
    }

    pub(super) const fn without(self, slots: u32) -> Self {
        self.next(self.visible() & !slots)
    }

    const fn next(self, visible: u32) -> Self {
        Self((self.0 & !Self::VISIBLE).wrapping_add(1 << SLOTS) | visible)
    }
}

/// A set's [`Control`], shared.
#[derive(Debug)]
pub(super) struct ControlWord(AtomicU32);

impl ControlWord {
    #[cfg(not(loom))]
    pub(super) const fn new() -> Self {
        Self(AtomicU32::new(0))
    }

    #[cfg(loom)]
    pub(super) fn new() -> Self {
        Self(AtomicU32::new(0))
    }

    #[cfg_attr(loom, track_caller)]
    pub(super) fn load(&self, order: Ordering) -> Control {
        Control(self.0.load(order))
    }

    /// Whether the word was `from` and is now `to`. Fails with Relaxed: whoever fails loads again.
    #[cfg_attr(loom, track_caller)]
    pub(super) fn swap(&self, from: Control, to: Control, order: Ordering) -> bool {
        self.0.compare_exchange(from.0, to.0, order, Ordering::Relaxed).is_ok()
    }
}
