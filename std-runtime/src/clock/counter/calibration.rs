//! Finds the counter's rate and follows it: arithmetic only.

use super::rate::{Pair, Rate};

/// A rate is known when the rates of two intervals in a row differ by one part in this number or less.
const CALIBRATED: u64 = 1_000;
/// A known rate changes from one interval to the next by one part in this number at most. The kernel's
/// clock is slewed by 1 part in 2,000 as a rule, and by 1 in 12 at most.
const SLEWED: u64 = 10;
/// An interval is at least this number of times longer than its ends are uncertain.
const LONGER: u64 = 1_000;

/// The rate as of the last pair, and what it was found from.
///
/// One interval could lie across a suspend, a reset or a switch of the kernel's source, so it takes two
/// that agree.
#[derive(Debug)]
pub(crate) struct Calibration {
    base: Option<Pair>,
    /// The rate over the last interval.
    last: Option<Rate>,
    is_known: bool,
}

impl Calibration {
    /// Nothing is known yet.
    pub(crate) const fn new() -> Self {
        Self { base: None, last: None, is_known: false }
    }

    /// Takes the pair at the end of an interval, and returns the rate if it is known.
    pub(crate) fn take(&mut self, pair: Pair) -> Option<Rate> {
        let Some(base) = self.base else {
            self.base = Some(pair);
            return None;
        };
        let ticks = pair.tick.saturating_sub(base.tick);
        let uncertain = pair.width.saturating_add(base.width);
        if ticks > 0 && uncertain > ticks / LONGER {
            // The next interval begins where the ends are closer.
            if pair.width < base.width {
                self.base = Some(pair);
            }
            return self.rate();
        }
        self.base = Some(pair);
        let before = std::mem::replace(&mut self.last, Rate::between(base, pair));
        let parts = if self.is_known { SLEWED } else { CALIBRATED };
        self.is_known = match (before, self.last) {
            (Some(before), Some(last)) => before.agrees(last, parts),
            _ => false,
        };
        self.rate()
    }

    fn rate(&self) -> Option<Rate> {
        self.last.filter(|_| self.is_known)
    }
}
