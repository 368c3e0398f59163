//! What the models play: a rate that threads share, threads that read, and a machine for each.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::anchor::Anchor;
use super::machine::{Machine, is_dear};
use super::rate::Rate;
use super::shared::Shared;
use crate::clock::source::{Clocksource, Refusal, TimeSource};

/// A machine as one thread sees it. No time passes but by [`pass`](Self::pass).
#[derive(Clone, Debug, Default)]
pub struct Played {
    tick: Cell<u64>,
    nanos: Cell<u64>,
    is_refused: Cell<bool>,
    looks: Arc<AtomicU64>,
    reads: Cell<u64>,
}

impl Played {
    /// Moves the time on by `nanos` nanoseconds, and the counter by `ticks` ticks.
    pub fn pass(&self, nanos: u64, ticks: u64) {
        self.nanos.set(self.nanos.get() + nanos);
        self.tick.set(self.tick.get() + ticks);
    }

    /// Has the kernel count with something else from now on.
    pub fn give_up(&self) {
        self.is_refused.set(true);
    }

    /// Returns the kernel's time.
    pub fn nanos(&self) -> u64 {
        self.nanos.get()
    }

    /// Returns how often a thread has looked at this machine, or at a copy of it.
    pub fn looks(&self) -> u64 {
        // Relaxed: a count, which the models do not see.
        self.looks.load(Ordering::Relaxed)
    }

    /// Returns how often the counter was read by way of this copy.
    pub fn reads(&self) -> u64 {
        self.reads.get()
    }
}

impl Machine for Played {
    // No time passes between two reads.
    const IS_STRICT: bool = false;

    fn tick(&self) -> u64 {
        self.reads.set(self.reads.get() + 1);
        self.tick.get()
    }

    fn ordered_tick(&self) -> u64 {
        self.tick()
    }

    fn kernel(&self) -> Option<u64> {
        Some(self.nanos.get())
    }

    fn look(&self) -> Result<(), Refusal> {
        // Relaxed: as in `looks`.
        self.looks.fetch_add(1, Ordering::Relaxed);
        let hpet = Refusal::Clocksource(Clocksource::new(b"hpet"));
        if self.is_refused.get() { Err(hpet) } else { Ok(()) }
    }

    fn examine(&self) -> Result<(), Refusal> {
        if is_dear(self) == Some(true) { Err(Refusal::Dear) } else { Ok(()) }
    }
}

/// The rate that threads share.
#[derive(Clone, Debug)]
pub struct Rates(Arc<Shared>);

impl Rates {
    /// Creates a rate that is not known.
    #[expect(clippy::new_without_default, reason = "a loom object is made inside a model only")]
    pub fn new() -> Self {
        Self(Arc::new(Shared::new()))
    }

    /// Returns the word of the rate, if there is one.
    pub fn word(&self) -> Option<u64> {
        self.0.rate().map(Rate::word)
    }

    /// Takes back the rate of this word.
    pub fn doubt(&self, word: u64) {
        Rate::from_word(word).into_iter().for_each(|rate| self.0.doubt(rate));
    }

    /// Looks after the rate, as a reading does.
    pub fn tend(&self, machine: &Played) {
        self.0.tend(machine, machine.nanos());
    }

    /// Returns what the clock is read from, and why.
    pub fn source(&self) -> TimeSource {
        self.0.source()
    }
}

/// A thread's reading.
#[derive(Debug)]
pub struct Reader(Anchor);

impl Reader {
    /// Creates the reading of a thread that has not read yet.
    #[expect(clippy::new_without_default, reason = "as of the other parts of a model")]
    pub fn new() -> Self {
        Self(Anchor::new())
    }

    /// Reads the clock.
    pub fn now(&self, machine: &Played, rates: &Rates) -> u64 {
        self.0.now(machine, &rates.0).expect("the kernel refuses nothing")
    }
}
