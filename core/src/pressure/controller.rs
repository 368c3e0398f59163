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
    rests_until: Instant,
    /// The latest first. Readings of different totals are of different things, and say nothing of each other.
    judged: [Judged; TOTALS],
}

/// So many sources of different totals can take turns.
const TOTALS: usize = 4;

/// What is known of evicting by readings of one total.
#[derive(Clone, Copy, Debug)]
struct Judged {
    /// 0 for none.
    total: u64,
    /// Of the last reading.
    used: u64,
    /// What was evicted for it.
    evicted: u64,
    /// Evictions in a row that did not help.
    in_vain: u32,
    /// It was found so many times in a row that they had, though that could not be seen.
    trust: u32,
    gives_up: Option<GivenUp>,
}

/// It seems that evicting does not help.
#[derive(Clone, Copy, Debug)]
struct GivenUp {
    until: Instant,
    /// So much was used then.
    used: u64,
    /// If so much more is used, or less, it did.
    by: u64,
}

impl Judged {
    const fn new(total: u64) -> Self {
        Self { total, used: 0, evicted: 0, in_vain: 0, trust: 0, gives_up: None }
    }
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
            rests_until: Instant::ORIGIN,
            judged: [Judged::new(0); TOTALS],
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
        let rules = self.rules;
        let (marks, was_resting) = (rules.marks, now < self.rests_until);
        let is_low = marks.is_low(used, total);
        self.draining = marks.is_high(used, total) || self.draining && !is_low;
        if was_resting {
            let until = self.rests_until;
            return Err(if self.draining {
                Skip::Cooldown { until }
            } else {
                Skip::BelowWatermark
            });
        }
        let judged = self.of(total);
        judged.learn(used, now, &rules);
        if is_low {
            (judged.in_vain, judged.gives_up) = (0, None);
        }
        let until = judged.given_up(used, now);
        if !self.draining {
            return Err(Skip::BelowWatermark);
        }
        match until {
            Some(until) => Err(Skip::Ineffective { until }),
            None => Ok(Request { amount: rules.request(used, total) }),
        }
    }

    /// What is known of this total, which is the latest from now on.
    fn of(&mut self, total: u64) -> &mut Judged {
        let known = self.judged.iter().position(|judged| judged.total == total);
        let place = known.unwrap_or(TOTALS - 1);
        if known.is_none() {
            self.judged[place] = Judged::new(total);
        }
        self.judged[..=place].rotate_right(1);
        &mut self.judged[0]
    }

    /// Says what was evicted for the last request. Nothing at all is no sign that evicting does not help.
    pub fn settle(&mut self, evicted: u64, now: Instant) {
        if evicted > 0 {
            self.judged[0].evicted = self.judged[0].evicted.saturating_add(evicted);
            self.rests_until = now + self.rules.cooldown;
        }
    }
}

impl Judged {
    /// What this reading says of the last eviction.
    fn learn(&mut self, used: u64, now: Instant, rules: &Rules) {
        let before = core::mem::replace(&mut self.used, used);
        let evicted = core::mem::take(&mut self.evicted);
        if evicted == 0 {
            return;
        }
        if before.saturating_sub(used) > evicted / 2 {
            self.in_vain = 0;
            return;
        }
        self.in_vain = self.in_vain.saturating_add(1);
        if self.in_vain >= rules.patience.saturating_mul(1 << self.trust) {
            let until = now + rules.backoff;
            self.gives_up = Some(GivenUp { until, used, by: evicted / 2 });
        }
    }

    /// Until when nothing is to be evicted; unless evicting turns out to have helped after all.
    fn given_up(&mut self, now_used: u64, now: Instant) -> Option<Instant> {
        let GivenUp { until, used, by } = self.gives_up?;
        let rose = now_used > used.saturating_add(by);
        let fell = now_used < used.saturating_sub(by);
        if now < until && !rose && !fell {
            return Some(until);
        }
        self.gives_up = None;
        if rose || fell {
            self.in_vain = 0;
        }
        self.trust = if rose { (self.trust + 1).min(MOST_TRUST) } else { 0 };
        None
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
