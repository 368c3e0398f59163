//! Clocks for servers. All are monotone and count from their own origin.
//!
//! | clock | a read costs | resolution | counts while suspended |
//! |---|---|---|---|
//! | [`CounterClock`] | a read of the processor's counter | ns | no |
//! | [`BootClock`], [`clock()`] | as `CounterClock` | ns | yes |
//! | [`MonotonicClock`] | a call of the kernel's: a read of the counter and two fences | ns | no |
//! | [`CoarseClock`] | a read of two words of memory | a scheduler tick, 1 to 10 ms | no |
//! | [`CachedClock`] | one load | the interval at which it is refreshed | as its source |
//!
//! Reading the clock is the dearest part of a cheap check. Some processors finish all earlier work
//! before they read the counter, and then cache misses do not overlap. Read the clock once a burst, or
//! use one that is kept fresh elsewhere.
//!
//! # The counter
//!
//! A [`CounterClock`] and a [`BootClock`] read the processor's counter and scale it by one
//! multiplication: `rdtsc` on x86-64, `cntvct_el0` on aarch64. Each thread holds the counter to the
//! kernel's clock: a value counts for at most 4 ms of ticks after the thread last read the kernel.
//!
//! * **Bounds.** A thread's times never go back. A reading is within 1 ms of the kernel's clock, also
//!   while that is slewed, and usually within 1 us. Two threads that read at one moment differ by less
//!   than 2 ms. A processor may read the counter before instructions that precede the read, by a few
//!   microseconds at most. A table's default grace of 10 ms covers all of that.
//! * **A counter that fails.** No reading is ever further than 4 ms ahead of the kernel's clock. A counter
//!   that jumps moves readings by at most 4 ms, for 4 ms of ticks at most. One that goes back, or shows
//!   one value twice, is left at that read. One that slows down, or stands still for a while between two
//!   reads, leaves readings behind until the 4 ms of ticks have passed. That includes a suspend during
//!   which the counter stood still.
//! * **Where it is not used.** [`BootClock::source`] says what is read, and why. The kernel's clock is read
//!   in the first 100 ms, until the counter's rate is known; where the kernel itself does not count with
//!   the counter, or `/sys` does not say so; where the processor does not promise a steady counter; and
//!   where reading the counter is forbidden or costs more than the kernel's clock.
//! * **Looking again.** Once a second one thread reads
//!   `/sys/devices/system/clocksource/clocksource0/current_clocksource` during a read of the clock, which
//!   takes some microseconds. All threads leave a counter that the kernel has given up within 4 ms of
//!   that. A process that must not open files uses a [`MonotonicClock`]; one whose threads set
//!   `PR_SET_TSC` does so before it reads a clock.
//!
//! The crate `quanta`, which governor reads by default, trusts the counter for as long as the process runs,
//! if the processor promises that it is steady. On some machines the counters of two cores differ, times go
//! back there, and limiters deny inside the burst (quanta #111, governor #299). Here four things differ.
//! The kernel, which compares the cores' counters, must use the counter itself. It is asked again while the
//! process runs. No thread's time goes back. And what a wrong counter can do ends at the next anchor.
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

mod base;
mod cached;
#[cfg(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64"), not(loom)))]
mod counter;
/// For the models.
#[cfg(loom)]
pub mod counter;
mod own;
mod source;

use std::sync::{Arc, LazyLock};

use tidegate_core::{Clock, Instant};

use self::base::Base;
pub use self::cached::CachedClock;
pub(crate) use self::own::{OwnClock, shared};
pub use self::source::{Clocksource, Refusal, TimeSource};

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
    /// Creates a clock whose origin is now.
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

/// Shows the time since it was made, by the processor's counter where that can be, and else by the
/// system's monotonic clock. Does not count the time during which the machine was suspended.
///
/// ```
/// use tidegate::{Clock, CounterClock};
///
/// let clock = CounterClock::new();
/// assert!(clock.now() <= clock.now());
/// ```
#[derive(Clone, Copy, Debug)]
pub struct CounterClock(Since);

impl CounterClock {
    /// Creates a clock whose origin is now.
    pub fn new() -> Self {
        Self(Since::new(|| Base::Monotonic.now()))
    }

    /// Returns what the clocks of this kind are read from now, and why.
    ///
    /// ```
    /// use tidegate::CounterClock;
    ///
    /// println!("{}", CounterClock::new().source());
    /// ```
    pub fn source(&self) -> TimeSource {
        Base::Monotonic.source()
    }
}

impl Default for CounterClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for CounterClock {
    #[inline(always)]
    fn now(&self) -> Instant {
        self.0.at(Base::Monotonic.now())
    }
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
pub struct CoarseClock(Since);

impl CoarseClock {
    /// Creates a clock whose origin is now.
    pub fn new() -> Self {
        Self(Since::new(base::coarse))
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
        self.0.at(base::coarse())
    }
}

/// Shows the time since it was made, also while the machine is suspended: for ends that a laptop's
/// lid must not put off. Reads the processor's counter where that can be. Where the system has no such
/// clock, it is a [`MonotonicClock`]: on systems other than Linux, and under a kernel or a sandbox that
/// refuses `CLOCK_BOOTTIME`.
///
/// ```
/// use tidegate::{BootClock, Clock};
///
/// let clock = BootClock::new();
/// assert!(clock.now() <= clock.now());
/// ```
#[derive(Clone, Copy, Debug)]
pub struct BootClock(Since);

impl BootClock {
    /// Creates a clock whose origin is now.
    pub fn new() -> Self {
        Self(Since::new(|| Base::Boot.now()))
    }

    /// Returns what the clocks of this kind are read from now, and why.
    ///
    /// ```
    /// use tidegate::clock::{Refusal, TimeSource};
    ///
    /// if let TimeSource::Kernel(Refusal::Clocksource(name)) = tidegate::clock().source() {
    ///     println!("no counter is used, since the kernel counts with {name}");
    /// }
    /// ```
    pub fn source(&self) -> TimeSource {
        Base::Boot.source()
    }
}

impl Default for BootClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for BootClock {
    #[inline(always)]
    fn now(&self) -> Instant {
        self.0.at(Base::Boot.now())
    }
}

/// What a clock of the system counts from.
#[derive(Clone, Copy, Debug)]
struct Since {
    /// The clock's time when this was made; `None` if the system refuses to read that clock.
    origin: Option<u64>,
    /// Read where the system refuses the clock.
    monotonic: MonotonicClock,
}

impl Since {
    fn new(read: impl FnOnce() -> Option<u64>) -> Self {
        // First, so that a clock which falls back later does not go back.
        let monotonic = MonotonicClock::new();
        Self { origin: read(), monotonic }
    }

    /// Converts what a read of the clock returned.
    #[inline(always)]
    fn at(&self, nanos: Option<u64>) -> Instant {
        match (self.origin, nanos) {
            (Some(origin), Some(nanos)) => Instant::from_nanos(nanos.saturating_sub(origin)),
            // A time of zero would bring back what has ended: a later refusal falls back, too.
            _ => self.monotonic.now(),
        }
    }
}
