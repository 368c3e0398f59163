//! Time as an argument: [`Instant`], the [`Clock`] trait and the clocks that need no system.
//!
//! Nothing in this crate reads a clock on its own. Every call that depends on time takes
//! `now: Instant`. So the caller decides which clock is read and how often: once a packet burst,
//! from a timer interrupt, from a simulation.
//!
//! # The contract of a clock
//!
//! * It MUST NOT go backwards on one thread. [`Monotone`] makes any clock keep this.
//! * It SHOULD count from about the start of the program, not from 1970. The time words of the
//!   bucket tables are sized for at least ten years from a clock's origin.
//! * It SHOULD count the time during which the machine is suspended where that matters to the other
//!   side. That is so for leases, for credentials, and for cached values whose end the origin
//!   decided. On Linux such a clock is `CLOCK_BOOTTIME`; `tidegate::clock()` is one, too.
//! * Clocks of different threads MAY differ.
//!   [`BucketTable::grace`](crate::bucket::BucketTable::grace) sets by how much.

use core::fmt;
use core::time::Duration;

use crate::sync::TimeWord;

/// A point in time: nanoseconds since its clock's origin.
///
/// ```
/// use core::time::Duration;
/// use tidegate_core::Instant;
///
/// let start = Instant::from_nanos(1_000);
/// assert_eq!(start + Duration::from_micros(1), Instant::from_nanos(2_000));
/// assert_eq!(Instant::ORIGIN.since(start), Duration::ZERO);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instant(u64);

impl Instant {
    /// The clock's origin.
    pub const ORIGIN: Self = Self(0);
    /// The last representable instant, 584 years after the origin.
    pub const MAX: Self = Self(u64::MAX);

    /// Returns the instant `nanos` nanoseconds after the origin.
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// Returns the instant `secs` seconds after the origin, or [`MAX`](Self::MAX) if that is beyond
    /// it.
    pub const fn from_secs(secs: u64) -> Self {
        Self(secs.saturating_mul(1_000_000_000))
    }

    /// Returns the nanoseconds since the origin.
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// Returns the time from `earlier` to this instant, or zero if `earlier` is later.
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

/// Moves an instant forward, stopping at [`Instant::MAX`].
impl core::ops::Add<Duration> for Instant {
    type Output = Self;

    fn add(self, by: Duration) -> Self {
        Self(self.0.saturating_add(nanos(by)))
    }
}

/// Moves an instant back, stopping at the origin.
impl core::ops::Sub<Duration> for Instant {
    type Output = Self;

    fn sub(self, by: Duration) -> Self {
        Self(self.0.saturating_sub(nanos(by)))
    }
}

impl fmt::Display for Instant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&Duration::from_nanos(self.0), f)
    }
}

/// Returns the nanoseconds of a duration, or the most that a `u64` holds.
pub(crate) const fn nanos(duration: Duration) -> u64 {
    let nanos = duration.as_nanos();
    if nanos > u64::MAX as u128 { u64::MAX } else { nanos as u64 }
}

/// How long an entry lives.
///
/// The time is half-open: an entry that begins at `t` and lives for `d` is there at every instant
/// before `t + d`, and at none after. Nothing lives for a duration of zero. Every duration is less
/// than [`Forever`](Self::Forever).
///
/// ```
/// use core::time::Duration;
/// use tidegate_core::Ttl;
///
/// assert_eq!(Ttl::from(Duration::from_secs(60)), Ttl::For(Duration::from_secs(60)));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Ttl {
    /// It lives for this long. An end that is later than an [`Instant`] can say is
    /// [`Instant::MAX`].
    For(Duration),
    /// It lives until it is removed.
    Forever,
}

impl From<Duration> for Ttl {
    fn from(duration: Duration) -> Self {
        Self::For(duration)
    }
}

/// A source of [`Instant`]s. See the [module](self) for what an implementation must keep.
pub trait Clock {
    /// Returns the current time.
    fn now(&self) -> Instant;
}

impl<C: Clock + ?Sized> Clock for &C {
    fn now(&self) -> Instant {
        (**self).now()
    }
}

#[cfg(feature = "alloc")]
impl<C: Clock + ?Sized> Clock for alloc::sync::Arc<C> {
    fn now(&self) -> Instant {
        (**self).now()
    }
}

/// A clock that only its owner moves: for tests, simulations and replays.
///
/// Threads can share it where the target has 64-bit atomics; elsewhere it is `!Sync`.
///
/// ```
/// use core::time::Duration;
/// use tidegate_core::{Clock, Instant, ManualClock};
///
/// let clock = ManualClock::new();
/// clock.advance(Duration::from_secs(3));
/// assert_eq!(clock.now(), Instant::from_secs(3));
/// ```
#[derive(Debug)]
pub struct ManualClock(TimeWord);

impl ManualClock {
    /// Creates a clock at its origin.
    #[cfg(not(loom))]
    pub const fn new() -> Self {
        Self(TimeWord::new(0))
    }

    /// Creates a clock at its origin.
    #[cfg(loom)]
    pub fn new() -> Self {
        Self(TimeWord::new(0))
    }

    /// Sets the time, forwards or backwards.
    pub fn set(&self, now: Instant) {
        self.0.set(now.0);
    }

    /// Moves the clock forward, stopping at [`Instant::MAX`].
    pub fn advance(&self, by: Duration) {
        self.0.advance(nanos(by));
    }
}

impl Default for ManualClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Instant {
        Instant(self.0.get())
    }
}

/// Makes any clock monotone: it never returns less than it has returned.
///
/// While the inner clock is behind, the last time is repeated. Every call is wait-free. Threads can
/// share it where the target has 64-bit atomics; elsewhere it is `!Sync`.
///
/// ```
/// use tidegate_core::{Clock, Instant, ManualClock, Monotone};
///
/// let wall = ManualClock::new();
/// let clock = Monotone::new(&wall);
/// wall.set(Instant::from_secs(100));
/// assert_eq!(clock.now(), Instant::from_secs(100));
/// wall.set(Instant::from_secs(40)); // the wall clock was set back
/// assert_eq!(clock.now(), Instant::from_secs(100));
/// ```
#[derive(Debug)]
pub struct Monotone<C> {
    inner: C,
    last: TimeWord,
}

impl<C: Clock> Monotone<C> {
    /// Wraps `inner`.
    pub fn new(inner: C) -> Self {
        Self { inner, last: TimeWord::new(0) }
    }
}

impl<C: Clock> Clock for Monotone<C> {
    fn now(&self) -> Instant {
        Instant(self.last.raise(self.inner.now().0))
    }
}
