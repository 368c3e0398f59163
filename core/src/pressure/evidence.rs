//! What the readings of one total say about evicting: whether it helps, and how fast memory grows
//! without it.

use core::mem;

use super::outcome::Skip;
use super::rules::Rules;
use crate::time::Instant;

/// The limit of evictions without effect doubles at most this often.
const MOST_TRUST: u32 = 6;

/// The length of a hold doubles at most this often. It doubles if the hold follows a step that had
/// helped.
const MOST_RELAPSES: u32 = 5;

/// A growth counts as confirmed after it has predicted this many readings.
const CONFIRMATIONS: u32 = 2;

/// A growth is halved after this many readings that it did not predict. A reading that stayed where
/// it was ends it at once.
const REFUTATIONS: u32 = 2;

/// What is known about evicting by readings of one total.
///
/// It is in one of two states. While `hold` is `None`, a request is for everything down to the low
/// watermark, and `window` counts the evictions without effect. While it *holds*, it evicts only
/// what would otherwise pass the total.
#[derive(Clone, Copy, Debug)]
pub(super) struct Evidence {
    /// The total of the readings; 0 for none.
    pub(super) total: u64,
    /// The number of the last check that had a reading of this total.
    pub(super) checked: u32,
    /// Set at the high watermark, until the low one is reached.
    pub(super) draining: bool,
    /// The last reading.
    used: Option<u64>,
    /// What was asked for after that reading, and what was evicted.
    asked: u64,
    evicted: u64,
    window: Window,
    /// Whether the last eviction took all there was and must have ended above the low watermark.
    took_all: bool,
    /// How many such evictions there were since one reached a new lowest reading.
    bare: u32,
    /// The lowest reading since the low watermark was reached.
    lowest: u64,
    /// How often growth was confirmed. Each time doubles the evictions that may go without effect.
    trust: u32,
    /// Holds that followed a step that had helped, since the low watermark was reached.
    relapses: u32,
    hold: Option<Hold>,
}

/// Two readings, and what was evicted between them.
#[derive(Clone, Copy)]
struct Step {
    before: u64,
    used: u64,
    evicted: u64,
}

impl Step {
    /// Returns what came in if everything that was evicted left.
    fn growth(self) -> u64 {
        self.used.saturating_sub(self.before.saturating_sub(self.evicted))
    }

    /// Returns the least that came in, whatever the eviction did.
    fn rise(self) -> u64 {
        self.used.saturating_sub(self.before)
    }

    fn helped(self) -> bool {
        self.before.saturating_sub(self.used) > self.evicted / 2
    }
}

/// The evictions since one last helped.
///
/// An eviction has helped if more than half of everything evicted in the window is missing from the
/// reading. The sum counts, and not the last eviction alone: a reading that falls and comes
/// straight back is no progress.
#[derive(Clone, Copy, Debug)]
struct Window {
    /// The reading at its start.
    from: u64,
    evicted: u64,
    turns: u32,
    /// The most that came in between two readings.
    peak: u64,
}

impl Window {
    const fn at(used: u64, peak: u64) -> Self {
        Self { from: used, evicted: 0, turns: 0, peak }
    }

    fn learn(&mut self, step: Step) {
        self.peak = faded(self.peak);
        if step.evicted == 0 {
            self.peak = self.peak.max(step.rise());
            if self.turns == 0 {
                self.from = step.used;
            }
            return;
        }
        self.evicted = self.evicted.saturating_add(step.evicted);
        self.turns = self.turns.saturating_add(1);
        self.peak = self.peak.max(step.growth());
        if self.from.saturating_sub(step.used) > self.evicted / 2 {
            *self = Self::at(step.used, step.growth());
        }
    }

    fn hold(&self, used: u64, until: Instant) -> Hold {
        let turns = u64::from(self.turns.max(1));
        let mean = self.evicted.saturating_add(used).saturating_sub(self.from) / turns;
        Hold {
            until,
            is_trying: false,
            level: used,
            by: (self.evicted / turns / 2).max(1),
            crest: 0,
            peak: self.peak,
            mean: mean.min(self.peak),
            confirmed: 0,
            refuted: 0,
        }
    }
}

/// Returns a peak after one more reading, which forgets a sixteenth of it.
const fn faded(peak: u64) -> u64 {
    peak - peak.div_ceil(16)
}

/// Returns whether memory could pass the total until the next reading. It may grow by the peak and
/// a quarter of it.
const fn could_pass(used: u64, peak: u64, total: u64) -> bool {
    used.saturating_add(peak).saturating_add(peak / 4) > total
}

/// A hold. Evicting seems not to help, so only what could pass the total is evicted.
#[derive(Clone, Copy, Debug)]
struct Hold {
    /// The time at which a full step is tried.
    until: Instant,
    is_trying: bool,
    /// The reading at the start. If it falls by `by` of its own accord, conditions have changed.
    level: u64,
    /// Half of what was evicted at a time.
    by: u64,
    /// The highest reading after which something was evicted in this hold.
    crest: u64,
    /// The most that comes in between two readings, and the mean of it. Before the hold, evictions
    /// hid how much came in. So at first both are real only if evicting helps.
    peak: u64,
    mean: u64,
    /// Readings in a row that the mean predicted.
    confirmed: u32,
    /// Readings in a row that the mean did not predict, though an amount other than the mean was
    /// evicted.
    refuted: u32,
}

/// What a reading says about a hold.
enum Verdict {
    Open,
    /// Memory grows, and evicting is what keeps it down.
    Grows,
    /// A full step helped.
    Helps,
    /// The reading fell of its own accord.
    Changed,
}

impl Hold {
    /// Compares a reading with the two that are possible. If evicting helps, it is the reading
    /// before, less what was evicted, and the mean growth. If evicting does not help, it is the
    /// reading before. At `brink` there is no more time to find out.
    fn learn(&mut self, step: Step, brink: u64, until: Instant, is_bare: bool) -> Verdict {
        let Step { before, used, evicted } = step;
        let rise = step.rise();
        if evicted == 0 && used.saturating_add(self.by) < self.level {
            return Verdict::Changed;
        }
        if mem::take(&mut self.is_trying) && evicted > 0 {
            if step.helped() && !is_bare {
                return Verdict::Helps;
            }
            (self.peak, self.mean, self.confirmed) = (rise, rise, 0);
            self.until = until;
            return Verdict::Open;
        }
        let predicted = before.saturating_sub(evicted).saturating_add(self.mean);
        let (off, moved) = (used.abs_diff(predicted), used.abs_diff(before));
        // A reading that only comes back to where it was before an eviction shows no growth.
        let (comes_back, growth) = if evicted == 0 {
            (used <= self.crest, used.saturating_sub(before.max(self.crest)))
        } else {
            (false, step.growth())
        };
        self.crest = if evicted == 0 { self.crest } else { self.crest.max(before) };
        let is_plain = !comes_back && predicted.abs_diff(before) >= self.mean.div_ceil(4);
        let is_real = is_plain && self.mean > 0 && off < moved && off <= self.mean / 2;
        if is_plain {
            self.confirmed = if is_real { self.confirmed.saturating_add(1) } else { 0 };
            self.refuted = if is_real || evicted == 0 { 0 } else { self.refuted.saturating_add(1) };
        }
        if evicted == 0 {
            self.peak = faded(self.peak).max(growth);
        } else if self.refuted > 0 && moved <= off / 4 {
            (self.peak, self.mean, self.refuted) = (rise, rise, 0);
            self.until = until;
        } else if self.refuted >= REFUTATIONS {
            (self.peak, self.mean) = (rise.max(self.peak / 2), rise.max(self.mean / 2));
        } else if is_plain && self.refuted == 0 {
            self.peak = faded(self.peak).max(growth);
            self.mean = (self.mean - self.mean.div_ceil(4)).saturating_add(growth / 4);
        }
        // A growth that is small beside what was evicted does not explain why the reading did not
        // fall.
        let is_confirmed = self.confirmed >= CONFIRMATIONS && self.mean >= self.by;
        let is_late = used > brink && used > self.level.saturating_add(self.by);
        // Where nothing is left to evict, growth is no reason to take everything again.
        if (is_confirmed || is_late) && !is_bare { Verdict::Grows } else { Verdict::Open }
    }

    /// Returns what must be evicted so that memory does not pass the total, or 0 for nothing.
    ///
    /// Where there is room, the reading may come near the total. Elsewhere more is evicted than
    /// comes in. Either way the next reading differs from this one if evicting helps.
    fn needs(&self, used: u64, total: u64, is_bare: bool) -> u64 {
        let most = total.saturating_sub(self.peak / 4);
        let needed = used.saturating_add(self.peak).saturating_sub(most);
        let predicted = used.saturating_sub(needed).saturating_add(self.mean);
        if !could_pass(used, self.peak, total) || self.peak == 0 {
            0
        } else if is_bare || predicted >= used.saturating_add(self.mean.div_ceil(4)) {
            needed
        } else {
            needed.max(self.peak.saturating_add(self.mean.div_ceil(4)))
        }
    }
}

impl Evidence {
    pub(super) const fn new(total: u64) -> Self {
        Self {
            total,
            checked: 0,
            draining: false,
            used: None,
            asked: 0,
            evicted: 0,
            window: Window::at(0, 0),
            took_all: false,
            bare: 0,
            lowest: u64::MAX,
            trust: 0,
            relapses: 0,
            hold: None,
        }
    }

    /// Returns whether a reading is above the watermark that counts. Nothing else is concluded from
    /// it.
    pub(super) fn drains(&mut self, used: u64, rules: &Rules) -> bool {
        let marks = rules.marks;
        self.draining =
            marks.is_high(used, self.total) || self.draining && !marks.is_low(used, self.total);
        self.draining
    }

    /// Decides what to evict after a reading.
    pub(super) fn judge(&mut self, used: u64, now: Instant, rules: &Rules) -> Result<u64, Skip> {
        let (marks, total) = (rules.marks, self.total);
        let (is_high, is_low) = (marks.is_high(used, total), marks.is_low(used, total));
        let before = self.used.replace(used);
        if before.is_none() {
            self.window = Window::at(used, 0);
        }
        let evicted = mem::take(&mut self.evicted);
        let step = Step { before: before.unwrap_or(used), used, evicted };
        if is_low && (self.hold.is_none() || evicted == 0) {
            // The goal is reached. In a hold it is reached only if the reading stays there without
            // an eviction.
            (self.window, self.hold) = (Window::at(used, step.rise()), None);
            (self.bare, self.relapses, self.lowest) = (0, 0, used);
        } else {
            self.learn(step, now, rules);
        }
        self.draining = is_high || self.draining && !is_low && self.hold.is_none();
        if !self.draining {
            return Err(Skip::BelowWatermark);
        }
        let full = rules.request(used, total, self.window.peak);
        if self.hold.is_none() && !self.is_doubtful(used, rules) {
            return Ok(self.ask(full));
        }
        let is_bare = self.bare > 0;
        let until = now + rules.backoff.saturating_mul(1 << self.relapses);
        let hold = self.hold.get_or_insert_with(|| self.window.hold(used, until));
        if now >= hold.until {
            (hold.until, hold.is_trying) = (until, true);
            return Ok(self.ask(full));
        }
        let until = hold.until;
        match hold.needs(used, total, is_bare) {
            0 => Err(Skip::Ineffective { until }),
            needed => Ok(self.ask(rules.within_steps(needed))),
        }
    }

    fn learn(&mut self, step: Step, now: Instant, rules: &Rules) {
        if step.evicted > 0 {
            let is_lower = step.used.saturating_add(step.evicted / 2) < self.lowest;
            self.bare = if self.took_all && !is_lower { self.bare.saturating_add(1) } else { 0 };
        }
        self.lowest = self.lowest.min(step.used);
        let Some(hold) = &mut self.hold else {
            self.window.learn(step);
            return;
        };
        let (marks, total) = (rules.marks, self.total);
        let mut window = Window::at(step.used, hold.peak);
        let until = now + rules.backoff.saturating_mul(1 << self.relapses);
        match hold.learn(step, marks.brink(total), until, self.bare > 0) {
            Verdict::Open if marks.is_high(step.used, total) || now < hold.until => return,
            // Nothing is tried where nothing is to be evicted.
            Verdict::Open => {}
            // The reading may come straight back: the next eviction without effect ends in a hold
            // again.
            Verdict::Helps => {
                window.turns = self.limit(rules) - 1;
                self.relapses = (self.relapses + 1).min(MOST_RELAPSES);
            }
            Verdict::Grows => self.trust = (self.trust + 1).min(MOST_TRUST),
            Verdict::Changed => self.trust = 0,
        }
        (self.window, self.hold) = (window, None);
    }

    /// Returns whether too many evictions went without effect.
    fn is_doubtful(&self, used: u64, rules: &Rules) -> bool {
        let Window { turns, peak, .. } = self.window;
        let limit = self.limit(rules);
        // Where waiting could pass the total, the last of the evictions finds out.
        let is_last = turns > 0 && turns.saturating_add(1) >= limit;
        let is_doubtful = turns >= limit || self.bare >= rules.patience;
        is_doubtful || is_last && could_pass(used, peak, self.total)
    }

    /// Returns after how many evictions without effect the controller holds.
    fn limit(&self, rules: &Rules) -> u32 {
        rules.patience.saturating_mul(1 << self.trust)
    }

    fn ask(&mut self, amount: u64) -> u64 {
        self.asked = amount;
        amount
    }

    /// Records what was evicted for the last request.
    pub(super) fn settle(&mut self, evicted: u64, rules: &Rules) {
        self.evicted = self.evicted.saturating_add(evicted);
        let left = self.used.unwrap_or(0).saturating_sub(self.evicted);
        self.took_all = evicted < self.asked && !rules.marks.is_low(left, self.total);
    }
}
