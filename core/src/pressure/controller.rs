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
/// Whether it helped is seen in the next reading: at least half of what was evicted is to be missing from what
/// would be used without, which is what was used before and what came in between two readings when nothing
/// was evicted. Where that was not seen yet, for eviction began with the first reading, it is seen when
/// evicting stops; and if much more is used then, it goes on at once.
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
/// A comparator with hysteresis, and a rate of growth that halves with each reading unless it is seen again.
#[derive(Clone, Debug)]
pub struct Controller {
    rules: Rules,
    is_enabled: bool,
    /// From the high watermark until the low one is reached.
    draining: bool,
    /// How much was used, and when, at the last reading whose effect on what follows was judged.
    last: Option<(u64, Instant)>,
    /// What was evicted since.
    evicted: u64,
    /// How much more is used every second when nothing is evicted.
    growth: u64,
    /// Evictions in a row that did not help.
    in_vain: u32,
    rests_until: Instant,
    gives_up: Option<GivenUp>,
}

/// It was found that evicting does not help.
#[derive(Clone, Copy, Debug)]
struct GivenUp {
    until: Instant,
    /// If more than this is used, it did help.
    unless_above: u64,
}

/// What is learned of growth in less than this is noise.
const BRIEF: u64 = 1_000_000;

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
            growth: 0,
            in_vain: 0,
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
            Reading::Known { used, total } if 0 < total && used <= total => (used, total),
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
        self.learn(used, now);
        if !self.draining {
            return Err(Skip::BelowWatermark);
        }
        if let Some(GivenUp { until, unless_above }) = self.gives_up {
            if now < until && used <= unless_above {
                return Err(Skip::Ineffective { until });
            }
            self.gives_up = None;
        }
        Ok(Request { amount: self.rules.request(used, total) })
    }

    /// What this reading says of the last eviction; or, if there was none since the last reading, of what
    /// else makes for more.
    fn learn(&mut self, used: u64, now: Instant) {
        let evicted = core::mem::take(&mut self.evicted);
        let Some((before, then)) = self.last.replace((used, now)) else {
            return;
        };
        let since = now.since(then).as_nanos() as u64;
        let grown = |by: u64| (u128::from(by) * 1_000_000_000 / u128::from(since.max(1))) as u64;
        if evicted > 0 {
            let more = u128::from(self.growth) * u128::from(since) / 1_000_000_000;
            // At least half of it is to be seen in what would be used without it.
            let helped = u128::from(used) + u128::from(evicted / 2) < u128::from(before) + more;
            if !helped {
                self.in_vain = self.in_vain.saturating_add(1);
                if self.in_vain >= self.rules.patience {
                    let until = now + self.rules.backoff;
                    let unless_above = used.saturating_add(evicted / 2);
                    self.gives_up = Some(GivenUp { until, unless_above });
                }
                return;
            }
            self.in_vain = 0;
        }
        if since >= BRIEF {
            let more = used.saturating_sub(before.saturating_sub(evicted));
            self.growth = grown(more).max(self.growth / 2);
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
