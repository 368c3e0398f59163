//! How fast a counter counts: arithmetic only.

use super::machine::Machine;

/// A value of the counter, and the kernel's time when it had that value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Pair {
    pub(crate) tick: u64,
    pub(crate) nanos: u64,
    /// How far the counter went while the kernel was read. `tick` is off by half of it at most.
    pub(crate) width: u64,
}

impl Pair {
    /// How often the kernel is read for one pair at most.
    const TRIES: usize = 4;

    /// Reads the kernel between two reads of the counter, several times, and returns the narrowest
    /// pair, or the first that is no wider than `enough`. Returns `None` if the kernel refuses.
    pub(crate) fn measure(machine: &impl Machine, enough: u64) -> Option<Self> {
        let mut best: Option<Self> = None;
        for _ in 0..Self::TRIES {
            let before = machine.ordered_tick();
            let nanos = machine.kernel()?;
            // A counter that went back gives a width that no caller takes.
            let width = machine.ordered_tick().wrapping_sub(before);
            if best.is_none_or(|best| width < best.width) {
                best = Some(Self { tick: before.wrapping_add(width / 2), nanos, width });
            }
            if width <= enough {
                break;
            }
        }
        best
    }
}

/// Nanoseconds a tick, with 32 binary places: at least 1/16, and less than 1,024.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rate(u64);

impl Rate {
    /// Binary places.
    pub(crate) const PLACES: u32 = 32;
    const LEAST: u64 = 1 << (Self::PLACES - 4);
    const MOST: u64 = (1 << (Self::PLACES + 10)) - 1;

    /// Returns the rate that a word holds, if it holds one.
    pub(crate) const fn from_word(word: u64) -> Option<Self> {
        if word >= Self::LEAST && word <= Self::MOST { Some(Self(word)) } else { None }
    }

    pub(crate) const fn word(self) -> u64 {
        self.0
    }

    /// Returns the rate between two pairs, if the counter went on in between at a rate that can be.
    pub(crate) fn between(earlier: Pair, later: Pair) -> Option<Self> {
        let ticks = later.tick.checked_sub(earlier.tick)?;
        let nanos = u128::from(later.nanos.checked_sub(earlier.nanos)?);
        let word = (nanos << Self::PLACES).checked_div(u128::from(ticks))?;
        Self::from_word(u64::try_from(word).ok()?)
    }

    /// Returns the ticks that take `nanos`.
    pub(crate) const fn ticks(self, nanos: u64) -> u64 {
        (((nanos as u128) << Self::PLACES) / self.0 as u128) as u64
    }

    /// Returns the nanoseconds that `ticks` take.
    pub(crate) const fn nanos(self, ticks: u64) -> u64 {
        let nanos = (ticks as u128 * self.0 as u128) >> Self::PLACES;
        if nanos > u64::MAX as u128 { u64::MAX } else { nanos as u64 }
    }

    /// Returns whether the rates differ by one part in `parts` at most.
    pub(crate) const fn agrees(self, other: Self, parts: u64) -> bool {
        self.0.abs_diff(other.0) <= self.0 / parts
    }
}
