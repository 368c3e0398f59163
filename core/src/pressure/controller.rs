//! From readings to requests.

use core::fmt;

use super::reading::{Reading, Unknown};
use super::rules::Rules;
use crate::time::Instant;

/// Decides, reading by reading, how much is to be evicted. Pure: the same readings at the same times have
/// the same outcomes.
///
/// From the high watermark on it asks for what lies above the low one, and goes on asking until no more than
/// that is used. What is not known is never a reason to evict. Where evicting did not help several times in a
/// row, it does so seldom, and says [`Skip::Ineffective`], until it helps again: so pressure that others make,
/// and that cannot be helped, does not empty a cache.
///
/// It has helped if at least half of what was evicted is missing from the next reading. Where as much comes in
/// between two readings, that cannot be seen: then it pauses, and if more is used at once, evicting was what had
/// kept it down; it goes on, and pauses half as often from then on. Where it shows late what was
/// evicted, that is evicted again: let it [rest](Rules::cooldown) for so long.
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
/// controller.settle(25, now); // so much was evicted
/// let outcome = controller.check(Reading::new(75, 100), now);
/// assert_eq!(outcome, Outcome::Skipped(Skip::BelowWatermark));
/// # Ok::<(), tidegate_core::pressure::PressureError>(())
/// ```
///
/// # Algorithm
///
/// A comparator with hysteresis; whether it acts on what it measures is found out by leaving it alone.
#[derive(Clone, Debug)]
pub struct Controller {
    rules: Rules,
    is_enabled: bool,
    /// From the high watermark until the low one is reached.
    draining: bool,
    /// The last reading whose effect on what follows was judged.
    last: Option<Known>,
    /// What was evicted since.
    evicted: u64,
    /// Evictions in a row that did not help.
    in_vain: u32,
    /// It was found so many times in a row that they had, though that could not be seen.
    trust: u32,
    rests_until: Instant,
    gives_up: Option<GivenUp>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Known {
    used: u64,
    total: u64,
}

/// It seems that evicting does not help.
#[derive(Clone, Copy, Debug)]
struct GivenUp {
    until: Instant,
    at: Known,
    /// If so much more is used, or less, it did.
    by: u64,
}

/// It pauses after so many times more evictions in vain at most: 2 to the power of this.
const MOST_TRUST: u32 = 6;

/// What a reading comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Outcome {
    /// So much is to be evicted; then the controller is to be [told](Controller::settle) what was.
    Evict(Request),
    /// Nothing.
    Skipped(Skip),
}

/// What is to be evicted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request {
    /// How much, in the unit of the reading; above 0.
    pub amount: u64,
}

/// Why nothing is evicted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Skip {
    /// It is switched off.
    Disabled,
    /// Less than the high watermark is used, or no more than the low one since that was reached.
    BelowWatermark,
    /// There was nothing to evict. (Said by who carries requests out.)
    NothingToEvict,
    /// What the last eviction did is not to be seen yet.
    Cooldown {
        /// The next is possible then.
        until: Instant,
    },
    /// Evicting did not help.
    Ineffective {
        /// It is tried again then.
        until: Instant,
    },
    /// It is not known how much is used.
    Unknown(Unknown),
}

impl Controller {
    /// A controller that goes by `rules`; switched on.
    #[must_use]
    pub const fn new(rules: Rules) -> Self {
        Self {
            rules,
            is_enabled: true,
            draining: false,
            last: None,
            evicted: 0,
            in_vain: 0,
            trust: 0,
            rests_until: Instant::ORIGIN,
            gives_up: None,
        }
    }

    /// Switches it on or off.
    pub fn enable(&mut self, is_enabled: bool) {
        self.is_enabled = is_enabled;
    }

    /// Whether it is switched on.
    pub fn is_enabled(&self) -> bool {
        self.is_enabled
    }

    /// The rules it goes by.
    pub fn rules(&self) -> &Rules {
        &self.rules
    }

    /// Other rules, from now on; what is known of past evictions stays.
    pub fn set_rules(&mut self, rules: Rules) {
        self.rules = rules;
    }

    /// Forgets what is known of past evictions: for readings of another source.
    pub fn restart(&mut self) {
        let is_enabled = self.is_enabled;
        *self = Self::new(self.rules);
        self.is_enabled = is_enabled;
    }

    /// Whether the high watermark was reached, and the low one was not since.
    pub fn is_draining(&self) -> bool {
        self.draining
    }

    /// What a reading comes to.
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
        let marks = self.rules.marks;
        if marks.is_high(used, total) {
            self.draining = true;
        } else if marks.is_low(used, total) {
            self.draining = false;
            self.in_vain = 0;
            self.gives_up = None;
        }
        if now < self.rests_until {
            return Err(match self.draining {
                true => Skip::Cooldown { until: self.rests_until },
                false => Skip::BelowWatermark,
            });
        }
        let known = Known { used, total };
        self.learn(known, now);
        if !self.draining {
            return Err(Skip::BelowWatermark);
        }
        if let Some(GivenUp { until, at, by }) = self.gives_up {
            // Of another total it is another's, and says nothing.
            let rose = at.total == total && used > at.used.saturating_add(by);
            let fell = at.total == total && used < at.used.saturating_sub(by);
            if now < until && !rose && !fell {
                return Err(Skip::Ineffective { until });
            }
            self.gives_up = None;
            if rose || fell {
                self.in_vain = 0;
            }
            self.trust = if rose { (self.trust + 1).min(MOST_TRUST) } else { 0 };
        }
        Ok(Request { amount: self.rules.request(used, total) })
    }

    /// What this reading says of the last eviction.
    fn learn(&mut self, known: Known, now: Instant) {
        let evicted = core::mem::take(&mut self.evicted);
        let Some(before) = self.last.replace(known) else {
            return;
        };
        if evicted == 0 {
            return;
        }
        // Of another total it cannot be compared.
        let missing = before.used.saturating_sub(known.used);
        if before.total == known.total && missing > evicted / 2 {
            self.in_vain = 0;
            return;
        }
        self.in_vain = self.in_vain.saturating_add(1);
        if self.in_vain >= self.rules.patience.saturating_mul(1 << self.trust) {
            let until = now + self.rules.backoff;
            self.gives_up = Some(GivenUp { until, at: known, by: evicted / 2 });
        }
    }

    /// Says what was evicted for the last request. Nothing at all is no sign that evicting does not help.
    pub fn settle(&mut self, evicted: u64, now: Instant) {
        if evicted > 0 {
            self.evicted = self.evicted.saturating_add(evicted);
            self.rests_until = now + self.rules.cooldown;
        }
    }
}

impl Default for Controller {
    fn default() -> Self {
        Self::new(Rules::default())
    }
}

impl fmt::Display for Skip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Disabled => f.write_str("disabled"),
            Self::BelowWatermark => f.write_str("below the watermark"),
            Self::NothingToEvict => f.write_str("nothing to evict"),
            Self::Cooldown { until } => write!(f, "resting until {until}"),
            Self::Ineffective { until } => write!(f, "ineffective, not tried until {until}"),
            Self::Unknown(why) => write!(f, "the reading is {why}"),
        }
    }
}
