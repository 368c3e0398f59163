//! A thread's reading of the counter, and the moment from which it counts.

use std::cell::Cell;

use super::machine::Machine;
use super::rate::{Pair, Rate};
use super::shared::Shared;

/// How long an anchor lasts, in nanoseconds of ticks.
pub(crate) const LASTS: u64 = 4_000_000;
/// By how much the counter may be off at the end of an anchor before its rate is doubted.
const OFF: u64 = LASTS / 10;
/// A pair no wider than this is narrow enough at once.
const NARROW: u64 = 200;
/// A pair wider than this is no anchor.
const WIDE: u64 = 100_000;

/// A pair of one thread, to which the ticks since are added.
///
/// Each thread has its own, so a read shares no memory with other threads, and nothing is published. A
/// thread's times never decrease: every reading is at least [`latest`](Self::latest) of the one before.
#[derive(Debug)]
pub(crate) struct Anchor {
    /// The first tick at which the anchor no longer holds; zero if there is none.
    end: Cell<u64>,
    /// The tick of the latest reading.
    last: Cell<u64>,
    /// The anchor's tick.
    tick: Cell<u64>,
    /// The time at that tick. Without an anchor: the latest time.
    nanos: Cell<u64>,
    /// The word of the rate.
    rate: Cell<u64>,
}

impl Anchor {
    pub(crate) const fn new() -> Self {
        Self {
            end: Cell::new(0),
            last: Cell::new(0),
            tick: Cell::new(0),
            nanos: Cell::new(0),
            rate: Cell::new(0),
        }
    }

    /// Reads the counter; the kernel where the anchor does not hold. Returns `None` if the kernel refuses.
    #[inline(always)]
    pub(crate) fn now<M: Machine>(&self, machine: &M, shared: &Shared) -> Option<u64> {
        let end = self.end.get();
        // A counter that is refused is not read: a read might be trapped.
        if end != 0 {
            let tick = machine.tick();
            // A counter that has gone back or stands still is below the first bound, and one that has
            // jumped is above the second.
            if tick >= self.last.get() + u64::from(M::IS_STRICT) && tick < end {
                self.last.set(tick);
                return Some(self.at(tick));
            }
        }
        self.ask(machine, shared)
    }

    /// The time at a tick between the anchor's and its end. The product has 54 bits at most.
    #[inline(always)]
    fn at(&self, tick: u64) -> u64 {
        self.nanos.get() + (((tick - self.tick.get()) * self.rate.get()) >> Rate::PLACES)
    }

    /// The latest time of this thread.
    fn latest(&self) -> u64 {
        self.at(self.last.get())
    }

    /// Reads the kernel, and makes a new anchor if the counter may be used.
    #[cold]
    #[inline(never)]
    fn ask<M: Machine>(&self, machine: &M, shared: &Shared) -> Option<u64> {
        let Some(rate) = shared.rate() else {
            let nanos = machine.kernel()?;
            shared.tend(machine, nanos);
            return Some(self.rest(nanos));
        };
        let pair = Pair::measure(machine, rate.ticks(NARROW))?;
        shared.tend(machine, pair.nanos);
        if pair.width > rate.ticks(WIDE) {
            return Some(self.rest(pair.nanos));
        }
        if self.is_off(pair) {
            shared.doubt(rate);
            return Some(self.rest(pair.nanos));
        }
        // The look of just now may have corrected the rate, or taken it back. A thread that is ahead of the
        // kernel waits for it.
        let Some(rate) = shared.rate().filter(|_| pair.nanos >= self.latest()) else {
            return Some(self.rest(pair.nanos));
        };
        self.last.set(pair.tick);
        self.tick.set(pair.tick);
        self.nanos.set(pair.nanos);
        self.rate.set(rate.word());
        self.end.set(pair.tick.saturating_add(rate.ticks(LASTS)));
        Some(pair.nanos)
    }

    /// Gives the anchor up, and returns the kernel's time, or the latest time if that is later.
    fn rest(&self, nanos: u64) -> u64 {
        let nanos = nanos.max(self.latest());
        self.end.set(0);
        self.last.set(0);
        self.tick.set(0);
        self.nanos.set(nanos);
        nanos
    }

    /// Returns whether the anchor, where it has ended just now, leads to another time than the kernel's.
    fn is_off(&self, pair: Pair) -> bool {
        let Some(rate) = Rate::from_word(self.rate.get()).filter(|_| self.end.get() != 0) else {
            return false;
        };
        let ticks = pair.tick.saturating_sub(self.tick.get());
        let is_recent = pair.tick >= self.last.get() && ticks < 2 * rate.ticks(LASTS);
        let nanos = self.nanos.get() + rate.nanos(ticks);
        is_recent && nanos.abs_diff(pair.nanos) > OFF
    }
}
