//! From readings to requests.

use super::evidence::Evidence;
use super::outcome::{Outcome, Request, Skip};
use super::reading::{Reading, Unknown};
use super::rules::Rules;
use crate::time::Instant;

/// Decides, reading by reading, how much is to be evicted.
///
/// The controller is pure: the same readings at the same times have the same outcomes. From the
/// high watermark on it asks for what lies above the low one, until no more than that is used. An
/// unknown reading is never a reason to evict.
///
/// # Whether evicting helps
///
/// Evictions help if more than half of what they evicted is missing from the reading. After
/// [`patience`](Rules::give_up) evictions that did not help, the controller *holds* until `backoff`
/// has passed. In a hold it evicts only what would otherwise pass the total, by the growth that it
/// has seen. Where that is nothing, it answers [`Skip::Ineffective`]. When the hold ends, it tries
/// a full step once.
///
/// In a hold the next reading shows whether evicting helps. If memory grows as fast as the
/// evictions made it seem, evicting is what keeps it down. The controller then returns to full
/// steps, and the next hold takes twice as many evictions. If the reading stays, or stops at a
/// level of its own, evicting does not help. An eviction that took all there was and still did not
/// reach the low watermark counts as one that did not help: the cause is elsewhere.
///
/// # Sizing
///
/// Memory stays within the total if no more than `total - high` comes in between two checks, and no
/// more than [`max_step`](Rules::steps) where that is set. In a hold there is a margin of a quarter
/// of the growth seen.
///
/// If a source shows late what was evicted, as much is evicted again. To avoid that, let the
/// controller [rest](Rules::cooldown) for as long as the source is late.
///
/// # Examples
///
/// ```
/// use tidegate_core::Instant;
/// use tidegate_core::pressure::{Controller, Outcome, Reading, Rules, Skip, Watermarks};
///
/// let rules = Rules::new(Watermarks::percent(85, 75)?).steps(1, u64::MAX)?;
/// let mut controller = Controller::new(rules);
/// let now = Instant::from_secs(1);
///
/// let Outcome::Evict(request) = controller.check(Reading::new(100, 100), now) else {
///     panic!("all is used");
/// };
/// assert_eq!(request.amount, 25);
/// controller.settle(25, now); // 25 bytes were evicted
/// let outcome = controller.check(Reading::new(75, 100), now);
/// assert_eq!(outcome, Outcome::Skipped(Skip::BelowWatermark));
/// # Ok::<(), tidegate_core::pressure::PressureError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Controller {
    rules: Rules,
    is_enabled: bool,
    rests_until: Instant,
    checks: u32,
    /// Readings of different totals measure different things and say nothing about each other. Each
    /// total has a place of its own. Totals for which there was none share the last place, in parts
    /// per million.
    evidence: [Evidence; OWN + 1],
    /// The place of the last reading.
    latest: usize,
    /// The total of the last reading.
    total: u64,
}

/// How many totals have a place of their own.
const OWN: usize = 4;

/// After this many checks without a reading of its total, a place is given to another total.
const STALE: u32 = 64;

/// The total of the shared place.
const WHOLE: u64 = 1_000_000;

impl Controller {
    /// Creates a controller that follows `rules` and is switched on.
    #[must_use]
    pub const fn new(rules: Rules) -> Self {
        let mut evidence = [Evidence::new(0); OWN + 1];
        evidence[OWN] = Evidence::new(WHOLE);
        Self {
            rules,
            is_enabled: true,
            rests_until: Instant::ORIGIN,
            checks: 0,
            evidence,
            latest: OWN,
            total: WHOLE,
        }
    }

    /// Switches the controller on or off.
    pub fn enable(&mut self, is_enabled: bool) {
        self.is_enabled = is_enabled;
    }

    /// Returns whether the controller is switched on.
    pub fn is_enabled(&self) -> bool {
        self.is_enabled
    }

    /// Returns the rules that the controller follows.
    pub fn rules(&self) -> &Rules {
        &self.rules
    }

    /// Replaces the rules from now on, and keeps what is known of past evictions.
    pub fn set_rules(&mut self, rules: Rules) {
        self.rules = rules;
    }

    /// Forgets what is known of past evictions. Call this when readings begin to come from another
    /// source.
    pub fn restart(&mut self) {
        let is_enabled = self.is_enabled;
        *self = Self::new(self.rules);
        self.is_enabled = is_enabled;
    }

    /// Returns whether the last reading's total is on its way from the high watermark to the low
    /// one.
    pub fn is_draining(&self) -> bool {
        self.evidence[self.latest].draining
    }

    /// Decides what to do about a reading.
    pub fn check(&mut self, reading: Reading, now: Instant) -> Outcome {
        self.judge(reading, now).map_or_else(Outcome::Skipped, Outcome::Evict)
    }

    fn judge(&mut self, reading: Reading, now: Instant) -> Result<Request, Skip> {
        if !self.is_enabled {
            return Err(Skip::Disabled);
        }
        let (used, total) = match reading {
            Reading::Known { used, total } if total > 0 => (used, total),
            Reading::Known { .. } => return Err(Skip::Unknown(Unknown::Stale)),
            Reading::Unknown(why) => return Err(Skip::Unknown(why)),
        };
        (self.latest, self.total) = (self.place(total), total);
        let used = self.in_its_unit(used);
        let (rules, until) = (self.rules, self.rests_until);
        let evidence = &mut self.evidence[self.latest];
        if now < until {
            let is_draining = evidence.drains(used, &rules);
            return Err(if is_draining { Skip::Cooldown { until } } else { Skip::BelowWatermark });
        }
        let amount = if self.latest == OWN {
            let amount = evidence.judge(used, now, &rules.in_parts())?;
            let bytes = (u128::from(amount) * u128::from(total)).div_ceil(u128::from(WHOLE));
            rules.within_steps(bytes.min(u128::from(u64::MAX)) as u64)
        } else {
            evidence.judge(used, now, &rules)?
        };
        Ok(Request { amount })
    }

    /// Returns the place of a total, which is its own if one is free.
    fn place(&mut self, total: u64) -> usize {
        self.checks = self.checks.wrapping_add(1);
        let now = self.checks;
        let own = &mut self.evidence[..OWN];
        let age = |evidence: &Evidence| match evidence.total {
            0 => u32::MAX,
            _ => now.wrapping_sub(evidence.checked),
        };
        let known = own.iter().position(|evidence| evidence.total == total);
        let oldest = || (0..OWN).max_by_key(|&place| age(&own[place]));
        let free = || oldest().filter(|&place| age(&own[place]) > STALE);
        let place = known.or_else(free).unwrap_or(OWN);
        if known.is_none() && place < OWN {
            own[place] = Evidence::new(total);
        }
        self.evidence[place].checked = now;
        place
    }

    /// Converts bytes of the last reading to what its place counts.
    fn in_its_unit(&self, bytes: u64) -> u64 {
        if self.latest < OWN {
            return bytes;
        }
        let parts = u128::from(bytes) * u128::from(WHOLE) / u128::from(self.total);
        parts.min(u128::from(u64::MAX)) as u64
    }

    /// Records how much was evicted for the last request. Nothing at all is no sign that evicting
    /// does not help. Less than was asked for says that there was no more.
    pub fn settle(&mut self, evicted: u64, now: Instant) {
        if evicted > 0 {
            let evicted = self.in_its_unit(evicted).max(1);
            self.evidence[self.latest].settle(evicted, &self.rules);
            self.rests_until = now + self.rules.cooldown;
        }
    }
}

impl Default for Controller {
    fn default() -> Self {
        Self::new(Rules::default())
    }
}
