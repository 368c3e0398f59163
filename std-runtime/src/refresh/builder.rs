//! The settings of a refresher, and their builder.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tidegate_core::Clock;

use super::breaker::Fuse;
use super::due::Early;
use super::mint::Blocking;
use super::refresher::{Refresher, State};
use super::rules::Rules;
use super::{Event, RefreshError};
use crate::config::ConfigError;
use crate::panics::Foreign;

/// Builds a [`Refresher`]: see [`Refresher::builder`] and [`Refresher::from_async`].
#[must_use = "a builder does nothing until it builds"]
pub struct Builder<T, E, M = Blocking<T, E>> {
    pub(super) mint: M,
    rules: Rules,
    made: std::marker::PhantomData<fn() -> Result<T, E>>,
}

impl<T, E, M> Builder<T, E, M> {
    pub(super) fn new(mint: M) -> Self {
        let longest = Duration::from_secs(60);
        let rules = Rules {
            clock: Foreign::new(Arc::new(crate::clock())),
            early: Early { part: 800_000, jitter: 0, floor: Duration::from_secs(30) },
            fuse: Fuse { threshold: 5, cooldown: Duration::from_secs(2), longest },
            spacing: Duration::from_secs(1),
            longest,
            on_error: Duration::ZERO,
            report: None,
        };
        Self { mint, rules, made: std::marker::PhantomData }
    }

    /// Sets the part of its life at which a value is renewed, in parts per million. 800,000 by default.
    pub fn refresh_at(mut self, parts: u32) -> Self {
        self.rules.early.part = parts;
        self
    }

    /// Renews each value earlier by a random part of its life, up to `parts` parts per million. Many processes then
    /// do not renew together. 0 by default.
    pub fn jitter(mut self, parts: u32) -> Self {
        self.rules.early.jitter = parts;
        self
    }

    /// Sets the margin: a value is renewed at the latest this long before it expires. 30 seconds by default. The margin is
    /// capped at half the life of the value, so that a value with a short life is not renewed again and again.
    pub fn floor(mut self, floor: Duration) -> Self {
        self.rules.early.floor = floor;
        self
    }

    /// Opens the breaker after `threshold` failures in a row. No renewal is tried for `cooldown` then, and after that a
    /// single one. Each further failure doubles the pause, up to the longest of [`spacing`](Self::spacing). 5 failures
    /// and 2 seconds by default.
    ///
    /// Failed renewals are [spaced](Self::spacing), so failures have to last for a while to open the breaker. A pause that
    /// begins while the value is valid ends with the value at the latest. The next pause is as short as the first one.
    pub fn breaker(mut self, threshold: u32, cooldown: Duration) -> Self {
        (self.rules.fuse.threshold, self.rules.fuse.cooldown) = (threshold, cooldown);
        self
    }

    /// Spaces renewals. A second, and a minute at the longest, by default.
    ///
    /// * While the value is valid, renewals begin at least `spacing` apart. The distance doubles with each failure in a
    ///   row, up to `longest`.
    /// * Once the value has expired, a failed renewal is followed by another after `spacing`. When [the
    ///   breaker](Self::breaker) opens, the next follows after its pause, of up to `longest`. Calls in between get the last
    ///   failure at once.
    /// * After a value was [rejected](Refresher::reject), the next is made `spacing` after the making of the rejected one
    ///   began. The distance doubles with each rejection in a row, up to `longest`.
    pub fn spacing(mut self, spacing: Duration, longest: Duration) -> Self {
        (self.rules.spacing, self.rules.longest) = (spacing, longest);
        self.rules.fuse.longest = longest;
        self
    }

    /// Sets how long an expired value is still returned while no other can be made. Zero by default.
    ///
    /// Some services accept a credential for a while after it has expired, and some are better asked in vain than not at
    /// all. A caller gets the expired value if the renewal failed, if no renewal is tried yet, or if the caller has waited
    /// for long enough. A value that has expired when it is made is refused all the same, and a
    /// [rejected](Refresher::reject) value is never returned again.
    pub fn stale_if_error(mut self, window: Duration) -> Self {
        self.rules.on_error = window;
        self
    }

    /// Sets the clock. [The clock of the process](crate::clock()) by default.
    ///
    /// The issuer of a value decides when it expires, so the clock has to count the time for which the machine is
    /// suspended. The clock of the process does, as every [`BootClock`](crate::BootClock). With a
    /// [`MonotonicClock`](crate::MonotonicClock) a laptop that wakes up would return tokens that expired while it was
    /// asleep.
    pub fn clock(mut self, clock: impl Clock + Send + Sync + 'static) -> Self {
        self.rules.clock = Foreign::new(crate::clock::shared(clock));
        self
    }

    /// Sets a function that is called with each [`Event`], by the thread or task that renews. Its panics are caught.
    ///
    /// The events of one renewal come in order: that the breaker lets it be tried, before the value is made, and how it
    /// ended, once it is over. Events of two renewals in a row may be reported at the same time, and in either order. The
    /// function may ask for the value, and gets [`RefreshError::Reentrant`] where it would wait for itself. It must not
    /// wait for another thread that asks for the value.
    pub fn report(mut self, report: impl Fn(Event) + Send + Sync + 'static) -> Self {
        self.rules.report = Some(Foreign::new(Box::new(report)));
        self
    }

    /// Builds a refresher that has no value yet. The first caller makes one, or the thread of a
    /// [`Runtime`](crate::Runtime::refresh).
    ///
    /// A program can so start while the provider is down. Each call tries again, [spaced](Self::spacing) as after a value
    /// has expired.
    ///
    /// # Errors
    ///
    /// If a setting is refused.
    ///
    /// ```
    /// use std::sync::atomic::{AtomicBool, Ordering};
    /// use std::time::Duration;
    /// use tidegate::refresh::{Minted, RefreshError, Refresher};
    ///
    /// static UP: AtomicBool = AtomicBool::new(false);
    /// let token = Refresher::builder(|| match UP.load(Ordering::Relaxed) {
    ///     true => Ok(Minted { value: "secret", ttl: Duration::from_secs(3_600).into() }),
    ///     false => Err("no route to host"),
    /// })
    /// .spacing(Duration::ZERO, Duration::ZERO)
    /// .lazy()?;
    /// assert_eq!(token.get(), Err(RefreshError::Failed("no route to host")));
    /// UP.store(true, Ordering::Relaxed);
    /// assert_eq!(*token.get()?, "secret");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn lazy(self) -> Result<Refresher<T, E, M>, ConfigError> {
        let Self { mint, rules, .. } = self;
        let Rules { spacing, longest, .. } = rules;
        rules.early.check()?;
        if rules.fuse.threshold == 0 {
            return Err(ConfigError::new("threshold", "must be at least 1"));
        }
        if longest < spacing {
            return Err(ConfigError::new("longest", "must be at least the spacing"));
        }
        Ok(Refresher { state: Arc::new(State::new(rules)), mint })
    }
}

/// Says why a [`Refresher`] was not built.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BuildError<E> {
    /// A setting was refused.
    Config(ConfigError),
    /// The first value could not be made.
    Refresh(RefreshError<E>),
}

impl<E> From<ConfigError> for BuildError<E> {
    fn from(error: ConfigError) -> Self {
        Self::Config(error)
    }
}

impl<E: fmt::Display> fmt::Display for BuildError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Config(error) => error.fmt(f),
            Self::Refresh(error) => error.fmt(f),
        }
    }
}

impl<E: fmt::Debug + fmt::Display> std::error::Error for BuildError<E> {}
