//! What a refresher is to be like.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tidegate_core::Clock;

use super::breaker::Fuse;
use super::due::Early;
use super::refresher::{Refresher, State};
use super::rules::Rules;
use super::{Blocking, Event, RefreshError};
use crate::config::ConfigError;
use crate::panics::Foreign;

/// Describes a [`Refresher`]: made by [`Refresher::builder`] and [`Refresher::from_async`].
#[must_use = "a builder builds nothing until it is told to"]
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

    /// Sets the part of its life at which a value is renewed, in parts per million: 800,000 until
    /// set.
    pub fn refresh_at(mut self, parts: u32) -> Self {
        self.rules.early.part = parts;
        self
    }

    /// Renews each value earlier by a random part of its life, up to this many parts per million, so
    /// that many processes do not renew together: 0 until set.
    pub fn jitter(mut self, parts: u32) -> Self {
        self.rules.early.jitter = parts;
        self
    }

    /// Sets the margin: a value is renewed at the latest this long before its end, 30 seconds until
    /// set. The margin is capped at half the life of the value, so that a value with a short life is
    /// not renewed again and again.
    pub fn floor(mut self, floor: Duration) -> Self {
        self.rules.early.floor = floor;
        self
    }

    /// Opens the breaker after `threshold` failures in a row: then no renewal is tried for
    /// `cooldown`, and after that a single one. Each one that fails doubles the pause, up to the
    /// longest of [`spacing`](Self::spacing). 5 failures and 2 seconds until set.
    ///
    /// Tries that fail are [spaced](Self::spacing), so failures have to last for a while to open the
    /// breaker. A pause that begins while the value is valid ends with the value at the latest, and
    /// the next pause is a first one again.
    pub fn breaker(mut self, threshold: u32, cooldown: Duration) -> Self {
        (self.rules.fuse.threshold, self.rules.fuse.cooldown) = (threshold, cooldown);
        self
    }

    /// Spaces renewals: a second, and a minute at the longest, until set.
    ///
    /// * While the value is valid, renewals begin at least `spacing` apart. After failures in a row
    ///   they are twice, four times as far apart and so on, but no further than `longest`.
    /// * Once the value has ended, a renewal that fails is followed by another after `spacing`, and
    ///   once [the breaker](Self::breaker) opens, after its pauses, up to `longest`. Calls in between
    ///   get the last failure at once.
    /// * After a value was [rejected](Refresher::reject), the next is made `spacing` after the
    ///   making of the rejected one began, and after rejections in a row twice as far apart, four
    ///   times and so on, but no further than `longest`.
    pub fn spacing(mut self, spacing: Duration, longest: Duration) -> Self {
        (self.rules.spacing, self.rules.longest) = (spacing, longest);
        self.rules.fuse.longest = longest;
        self
    }

    /// Sets how long after its end a value is still handed out where no other can be made: never
    /// until set.
    ///
    /// For services that accept a credential for a while after its end, or that are better asked in
    /// vain than not at all. A caller gets the ended value if the renewal failed, if none is tried
    /// yet, or if the caller has waited for long enough. A value that has ended when it is made is
    /// refused all the same, and a [rejected](Refresher::reject) one is never handed out again.
    pub fn stale_if_error(mut self, window: Duration) -> Self {
        self.rules.on_error = window;
        self
    }

    /// Sets the clock: [the clock of the process](crate::clock()) until set.
    ///
    /// Whoever issued the value decided when it ends, so the clock has to go on while the machine is
    /// suspended. The clock of the process does, as every [`BootClock`](crate::BootClock). With a
    /// [`MonotonicClock`](crate::MonotonicClock) a laptop that wakes up hands out tokens that ended
    /// while it was asleep.
    pub fn clock(mut self, clock: Arc<dyn Clock + Send + Sync>) -> Self {
        self.rules.clock = Foreign::new(clock);
        self
    }

    /// Has a function told what happens, by the thread or task that renews. If the function panics,
    /// the panic is caught.
    ///
    /// Events of one renewal are told in order: that it was let try again, before it is made; how it
    /// ended, once it is over. Events of two renewals in a row may be told at the same time, and in
    /// either order. The function may ask for the value, and gets
    /// [`RefreshError::Reentrant`] where it would wait for itself. It must not wait for another
    /// thread that asks for the value.
    pub fn report(mut self, report: impl Fn(Event) + Send + Sync + 'static) -> Self {
        self.rules.report = Some(Foreign::new(Box::new(report)));
        self
    }

    /// Builds a refresher that has no value yet. The first caller makes one, or the thread of a
    /// [`Runtime`](crate::Runtime::refresh).
    ///
    /// For programs that start while the provider is down: the refresher is there, and each call
    /// tries again, as [spaced](Self::spacing) as after the end of a value.
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

/// Why there is no [`Refresher`].
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
