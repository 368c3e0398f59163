//! Clocks for servers. All are monotone and count from their own origin.
//!
//! | clock | a read costs | resolution | counts while suspended |
//! |---|---|---|---|
//! | [`MonotonicClock`] | a serialised read of the processor's counter | ns | no |
//! | [`CoarseClock`] | a read of two words of memory | a scheduler tick, 1 to 10 ms | no |
//! | [`BootClock`], [`clock()`] | as `MonotonicClock` | ns | yes |
//! | [`CachedClock`] | one load | the interval at which it is refreshed | as its source |
//!
//! Reading the clock is the dearest part of a cheap check, and serialising the processor hides
//! cache misses from each other. Read it once a burst, or use a clock that is kept fresh elsewhere.
//!
//! # Which clock
//!
//! A time to live that somebody else decided runs on while this machine is suspended. A token ends
//! when its issuer says, a lease when its tenant has been silent for too long, a cached answer when
//! its origin says. Such times need a clock that counts while suspended: [`clock()`], the clock of
//! the process, is therefore a [`BootClock`]. A [`Refresher`](crate::Refresher) uses it unless told
//! of another. A cache, a registry or a table takes whatever `now` its caller passes: pass
//! `clock().now()`.
//!
//! A [`MonotonicClock`] stands still while the machine is suspended. It is right for what belongs
//! to this machine's own work: how long a step takes, or how many requests an own loop may send.
//!
//! Times of two clocks must not be mixed: each clock counts from an origin of its own. The clock of
//! the process and a [`CachedClock`] started with [`CachedClock::start`] share one origin.

use std::any::Any;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};

use tidegate_core::{Clock, Instant};

use crate::panics::Foreign;

/// A clock that threads share.
pub(crate) type SharedClock = Arc<dyn Clock + Send + Sync>;

/// Shows the time since it was made, by the system's monotonic clock. Does not count the time
/// during which the machine was suspended.
///
/// ```
/// use tidegate::{Clock, MonotonicClock};
///
/// let clock = MonotonicClock::new();
/// assert!(clock.now() <= clock.now());
/// ```
#[derive(Clone, Copy, Debug)]
pub struct MonotonicClock {
    origin: std::time::Instant,
}

impl MonotonicClock {
    /// A clock whose origin is now.
    pub fn new() -> Self {
        Self { origin: std::time::Instant::now() }
    }
}

impl Default for MonotonicClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for MonotonicClock {
    #[inline]
    fn now(&self) -> Instant {
        Instant::ORIGIN + self.origin.elapsed()
    }
}

/// Returns the clock of the process: a [`BootClock`] whose origin is the first call. Whatever is not
/// told of another clock uses this one, so its times can be passed to anything.
///
/// It counts while the machine is suspended. After a suspend, tokens, leases and cached values that
/// ended meanwhile have expired, and quotas have filled up. A target of a
/// [`Runtime`](crate::Runtime) whose deadlines passed meanwhile reads as stalled until its thread
/// wakes.
///
/// ```
/// use tidegate::Clock;
///
/// let start = tidegate::clock().now();
/// assert!(tidegate::clock().now() >= start);
/// ```
pub fn clock() -> BootClock {
    static CLOCK: LazyLock<BootClock> = LazyLock::new(BootClock::new);
    *CLOCK
}

/// Shows the time since it was made, as of the last scheduler tick: up to 10 ms behind, for the
/// price of reading memory. Does not count the time during which the machine was suspended. Where
/// the system has no such clock, it is a [`MonotonicClock`].
///
/// ```
/// use tidegate::{Clock, CoarseClock};
///
/// let clock = CoarseClock::new();
/// assert!(clock.now() <= clock.now());
/// ```
#[derive(Clone, Copy, Debug)]
pub struct CoarseClock(System);

impl CoarseClock {
    /// A clock whose origin is now.
    pub fn new() -> Self {
        #[cfg(target_os = "linux")]
        return Self(System::new(libc::CLOCK_MONOTONIC_COARSE));
        #[cfg(not(target_os = "linux"))]
        return Self(System::new());
    }
}

impl Default for CoarseClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for CoarseClock {
    #[inline]
    fn now(&self) -> Instant {
        self.0.now()
    }
}

/// Shows the time since it was made, also while the machine is suspended: for ends that a laptop's
/// lid must not put off. Where the system has no such clock, it is a [`MonotonicClock`]: on systems
/// other than Linux, and under a kernel or a sandbox that refuses `CLOCK_BOOTTIME`.
///
/// ```
/// use tidegate::{BootClock, Clock};
///
/// let clock = BootClock::new();
/// assert!(clock.now() <= clock.now());
/// ```
#[derive(Clone, Copy, Debug)]
pub struct BootClock(System);

impl BootClock {
    /// A clock whose origin is now.
    pub fn new() -> Self {
        #[cfg(target_os = "linux")]
        return Self(System::new(libc::CLOCK_BOOTTIME));
        #[cfg(not(target_os = "linux"))]
        return Self(System::new());
    }
}

impl Default for BootClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for BootClock {
    #[inline]
    fn now(&self) -> Instant {
        self.0.now()
    }
}

/// One of the system's clocks, counted from when this was made.
#[cfg(target_os = "linux")]
#[derive(Clone, Copy, Debug)]
struct System {
    id: libc::clockid_t,
    /// The clock's time when this was made; `None` if the system refuses to read that clock.
    origin: Option<u64>,
    /// Read where the system refuses the clock.
    monotonic: MonotonicClock,
}

#[cfg(target_os = "linux")]
impl System {
    fn new(id: libc::clockid_t) -> Self {
        Self { id, origin: Self::read(id), monotonic: MonotonicClock::new() }
    }

    #[inline]
    fn now(&self) -> Instant {
        let since = |origin| Some(Self::read(self.id)?.saturating_sub(origin));
        // A time of zero would bring back what has ended: a later refusal falls back, too.
        match self.origin.and_then(since) {
            Some(nanos) => Instant::from_nanos(nanos),
            None => self.monotonic.now(),
        }
    }

    /// Reads a clock; `None` if the system does not know it, or refuses it.
    #[inline]
    fn read(id: libc::clockid_t) -> Option<u64> {
        let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        // SAFETY: `time` is a valid `timespec` to write to, and any `id` may be asked for.
        let failed = unsafe { libc::clock_gettime(id, &raw mut time) };
        (failed == 0).then(|| time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64)
    }
}

#[cfg(not(target_os = "linux"))]
type System = MonotonicClock;

/// Another clock's time as of its last refresh: a read is one load.
///
/// [`start`](Self::start) keeps it fresh from a thread of its own; a loop that reads a clock anyway
/// calls [`refresh`](Self::refresh). Clones share the time.
///
/// ```
/// use std::time::Duration;
/// use tidegate::{CachedClock, Clock, Instant, ManualClock};
///
/// let source = std::sync::Arc::new(ManualClock::new());
/// let clock = CachedClock::new({
///     let source = source.clone();
///     move || source.now()
/// });
/// source.advance(Duration::from_secs(1));
/// assert_eq!(clock.now(), Instant::ORIGIN);
/// clock.refresh();
/// assert_eq!(clock.now(), Instant::from_secs(1));
/// ```
#[derive(Clone)]
pub struct CachedClock {
    shared: Arc<Cached>,
}

struct Cached {
    now: AtomicU64,
    source: Foreign<Box<dyn Fn() -> Instant + Send + Sync>>,
}

impl CachedClock {
    /// A clock that shows the time of `source`, read now and at each [`refresh`](Self::refresh).
    pub fn new(source: impl Fn() -> Instant + Send + Sync + 'static) -> Self {
        let source = Foreign::new(Box::new(source) as Box<dyn Fn() -> Instant + Send + Sync>);
        let now = AtomicU64::new(source().as_nanos());
        Self { shared: Arc::new(Cached { now, source }) }
    }

    /// Reads the source. Never sets the time back.
    pub fn refresh(&self) {
        let now = (self.shared.source)().as_nanos();
        // Relaxed: a time stands alone; the word's own order keeps it monotone.
        self.shared.now.fetch_max(now, Ordering::Relaxed);
    }
}

impl Clock for CachedClock {
    #[inline]
    fn now(&self) -> Instant {
        // Relaxed: as in `refresh`.
        Instant::from_nanos(self.shared.now.load(Ordering::Relaxed))
    }
}

impl std::fmt::Debug for CachedClock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CachedClock").field("now", &self.now()).finish_non_exhaustive()
    }
}

/// Shares a clock that a builder was given. A clock that is shared by then stays the same one.
pub(crate) fn shared(clock: impl Clock + Send + Sync + 'static) -> SharedClock {
    let given: &dyn Any = &clock;
    if let Some(shared) = given.downcast_ref::<SharedClock>() {
        return Arc::clone(shared);
    }
    Arc::new(clock)
}

/// The clock of a structure of the face: that of the process, or one that its builder was given.
pub(crate) enum OwnClock {
    Boot(BootClock),
    /// Held as what it is: a call through a table would cost as much as its read.
    Cached(CachedClock),
    Given(Foreign<SharedClock>),
}

impl OwnClock {
    /// Takes over a clock that a builder was given.
    pub(crate) fn given(clock: impl Clock + Send + Sync + 'static) -> Self {
        let given: &dyn Any = &clock;
        if let Some(clock) = given.downcast_ref::<BootClock>() {
            return Self::Boot(*clock);
        }
        if let Some(clock) = given.downcast_ref::<CachedClock>() {
            return Self::Cached(clock.clone());
        }
        Self::Given(Foreign::new(shared(clock)))
    }
}

impl Default for OwnClock {
    fn default() -> Self {
        Self::Boot(clock())
    }
}

impl Clock for OwnClock {
    #[inline]
    fn now(&self) -> Instant {
        match self {
            Self::Boot(clock) => clock.now(),
            Self::Cached(clock) => clock.now(),
            Self::Given(clock) => clock.now(),
        }
    }
}
