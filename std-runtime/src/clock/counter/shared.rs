//! What the threads share: the counter's rate, and the turn to look after it.

use std::sync::{PoisonError, TryLockError};

use super::calibration::Calibration;
use super::machine::Machine;
use super::rate::{Pair, Rate};
use crate::clock::source::{Refusal, TimeSource};
use crate::sync::{AtomicU64, Mutex, MutexGuard, Ordering};

/// The word while the counter is not to be used.
const NONE: u64 = 0;

/// How long an interval is while the rate is not known.
const UNKNOWN: u64 = 50_000_000;
/// How long a known rate is left alone.
const KNOWN: u64 = 1_000_000_000;
/// How long a refusal stands before it is looked into again.
const REFUSED: u64 = 60_000_000_000;

/// The rate of a counter against one of the kernel's clocks.
///
/// The rate is one word, and a thread takes from it all that it needs. The word changes under the lock,
/// with one exception: a thread that finds the counter off takes the rate back. No read of a clock waits
/// for the lock. A thread that does not get it leaves the rate to the thread that has it.
#[derive(Debug)]
pub(crate) struct Shared {
    /// A [`Rate`] or [`NONE`].
    rate: AtomicU64,
    /// When the rate is to be looked after next, by the kernel's clock. Changes under the lock.
    due: AtomicU64,
    book: Mutex<Book>,
}

/// What only the thread sees that looks after the rate.
#[derive(Debug)]
struct Book {
    calibration: Calibration,
    /// Whether the rate was known after the last look.
    is_known: bool,
    /// Whether the processor's kind has been looked at.
    is_examined: bool,
    /// Why there is no rate.
    refusal: Refusal,
}

impl Book {
    const fn new(refusal: Refusal) -> Self {
        Self { calibration: Calibration::new(), is_known: false, is_examined: false, refusal }
    }

    /// Looks at the machine, and takes the next pair. Returns the rate if it is known.
    fn step(&mut self, machine: &impl Machine) -> Result<Option<Rate>, Refusal> {
        machine.look()?;
        if !self.is_examined {
            machine.examine()?;
            self.is_examined = true;
        }
        let pair = Pair::measure(machine, 0).ok_or(Refusal::NoClock)?;
        Ok(self.calibration.take(pair))
    }
}

impl Shared {
    #[cfg(not(loom))]
    pub(crate) const fn new() -> Self {
        let book = Mutex::new(Book::new(Refusal::Uncalibrated));
        Self { rate: AtomicU64::new(NONE), due: AtomicU64::new(0), book }
    }

    #[cfg(loom)]
    pub(crate) fn new() -> Self {
        let book = Mutex::new(Book::new(Refusal::Uncalibrated));
        Self { rate: AtomicU64::new(NONE), due: AtomicU64::new(0), book }
    }

    /// Returns the rate, if the counter may be read.
    pub(crate) fn rate(&self) -> Option<Rate> {
        // Relaxed: the word stands alone.
        Rate::from_word(self.rate.load(Ordering::Relaxed))
    }

    /// Returns what the clock is read from, and why.
    pub(crate) fn source(&self) -> TimeSource {
        let book = self.book.lock().unwrap_or_else(PoisonError::into_inner);
        match self.rate() {
            Some(_) => TimeSource::Counter,
            None => TimeSource::Kernel(book.refusal),
        }
    }

    /// Takes back `rate`, by which the counter was off. The next look begins to find it anew.
    pub(crate) fn doubt(&self, rate: Rate) {
        let word = rate.word();
        // Relaxed, both: as in `rate`. An exchange, so that a late doubt does not hit another rate.
        _ = self.rate.compare_exchange(word, NONE, Ordering::Relaxed, Ordering::Relaxed);
    }

    /// Looks after the rate if that is due at `now`, and no other thread does.
    pub(crate) fn tend(&self, machine: &impl Machine, now: u64) {
        // Relaxed: a hint. The look under the lock decides.
        if now < self.due.load(Ordering::Relaxed) {
            return;
        }
        let Some(mut book) = self.try_book() else { return };
        // Relaxed: the word changes under the lock. Another thread may have been here just now.
        if now < self.due.load(Ordering::Relaxed) {
            return;
        }
        // Relaxed: as in `rate`.
        let seen = self.rate.load(Ordering::Relaxed);
        if book.is_known && seen == NONE {
            // A thread has taken the rate back.
            book.calibration = Calibration::new();
        }
        let step = book.step(machine);
        book.is_known = matches!(step, Ok(Some(_)));
        let pause = match step {
            Ok(Some(rate)) => {
                let word = rate.word();
                // Relaxed, both: as in `rate`. An exchange, so that a doubt of the rate before stands
                // until the next look.
                _ = self.rate.compare_exchange(seen, word, Ordering::Relaxed, Ordering::Relaxed);
                KNOWN
            }
            Ok(None) => {
                book.refusal = Refusal::Uncalibrated;
                // Relaxed: as in `rate`.
                self.rate.store(NONE, Ordering::Relaxed);
                UNKNOWN
            }
            Err(refusal) => {
                *book = Book::new(refusal);
                // Relaxed: as in `rate`.
                self.rate.store(NONE, Ordering::Relaxed);
                REFUSED
            }
        };
        // Relaxed: as above.
        self.due.store(now.saturating_add(pause), Ordering::Relaxed);
    }

    fn try_book(&self) -> Option<MutexGuard<'_, Book>> {
        match self.book.try_lock() {
            Ok(book) => Some(book),
            Err(TryLockError::Poisoned(book)) => Some(book.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }
}
