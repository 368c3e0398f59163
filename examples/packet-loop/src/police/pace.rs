//! How much of a table is swept between two bursts.

use core::time::Duration;

use tidegate::Instant;
use tidegate::lockfree::Budget;

/// The duration of one pass over the whole table. A shorter pass costs more than it saves: the next
/// frame of a flow must make the bucket anew that the sweep gave up.
const PASS: Duration = Duration::from_secs(10);

/// The most slots at a time, so that a burst after a pause is not held up.
const MOST: usize = 256;

/// Spreads the sweep of a table evenly over the time.
#[derive(Debug)]
pub(super) struct Pace {
    /// The time that one slot takes.
    nanos: u64,
    /// The time up to which slots were swept.
    swept: Instant,
}

impl Pace {
    /// Makes the pace for a table of `slots` slots. Each of `sweepers` workers sweeps an equal part.
    pub(super) fn new(slots: usize, sweepers: usize) -> Self {
        let nanos = PASS.as_nanos() as u64 * sweepers.max(1) as u64 / slots.max(1) as u64;
        Self { nanos: nanos.max(1), swept: Instant::ORIGIN }
    }

    /// Returns how much is due.
    pub(super) fn due(&mut self, now: Instant) -> Budget {
        let slots = now.as_nanos().saturating_sub(self.swept.as_nanos()) / self.nanos;
        let slots = usize::try_from(slots).unwrap_or(usize::MAX);
        if slots > MOST {
            self.swept = now;
            return Budget::entries(MOST);
        }
        self.swept = self.swept + Duration::from_nanos(slots as u64 * self.nanos);
        Budget::entries(slots)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pass_takes_ten_seconds() {
        let mut pace = Pace::new(1_000_000, 1);
        let mut now = Instant::from_secs(100);
        assert_eq!(pace.due(now), Budget::entries(MOST), "after a pause");
        let mut slots = 0;
        for _ in 0..100_000 {
            now = now + Duration::from_nanos(7_321);
            let due = pace.due(now);
            slots += (0..=MOST).find(|&slots| Budget::entries(slots) == due).expect("a budget");
        }
        // 0.7321 of ten seconds.
        assert!((73_209..=73_210).contains(&slots), "{slots}");
        // Of two sweepers, each does a half.
        let mut half = Pace::new(1_000_000, 2);
        half.due(now);
        assert_eq!(half.due(now + Duration::from_millis(1)), Budget::entries(50));
    }
}
