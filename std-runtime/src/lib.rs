#![doc = include_str!("../README.md")]

pub mod adapters;
mod advertiser;
mod cache;
pub mod clock;
mod collected;
mod config;
mod housekeeping;
mod limiter;
mod load;
mod map;
#[cfg(target_os = "linux")]
pub mod memory;
mod panics;
mod pin;
#[cfg(target_os = "linux")]
pub mod pressure;
pub mod refresh;
pub mod registry;
mod runtime;
#[cfg(all(target_os = "linux", not(loom)))]
pub mod shared;
mod single_flight;
mod sync;
pub mod wait;

pub use advertiser::Advertiser;
pub use cache::{
    Cache, CacheBuilder, CompResult, Entry, EntrySelector, Failure, OwnedHeldEntry, Policy,
};
#[doc(inline)]
pub use clock::{BootClock, CachedClock, CoarseClock, CounterClock, MonotonicClock, clock};
pub use config::ConfigError;
pub use limiter::{
    ExactRateLimiter, ExactRateLimiterBuilder, Jitter, RateLimiter, RateLimiterBuilder, Sleep,
    ThreadTimer, Timer, Turn, WaitError,
};
pub use load::{GetOrLoad, GetOrRefresh, LoadError, LoadFuture, LoadTask};
pub use map::{Map, MapBuilder, PinnedMap};
pub use panics::{Panics, caught_panics};
pub use pin::{domain, pin, server_domain};
#[doc(inline)]
pub use refresh::Refresher;
#[doc(inline)]
pub use registry::{Registry, RegistryBuilder};
pub use runtime::{
    ClockHandle, First, Health, Metrics, RefreshHandle, RunError, Runtime, RuntimeBuilder,
    Schedule, StartError, Stop, SweepHandle,
};
pub use single_flight::SingleFlight;
/// Exports the engine, whose structures take the time and the guard as arguments: for loops that read the clock and pin
/// once a burst.
pub use tidegate_core as lockfree;
pub use tidegate_core::bucket::{Limit, Reservation, Reservations, check_all, reserve_all};
pub use tidegate_core::cache::Op;
pub use tidegate_core::{
    Budget, CacheError, Cadence, Clock, Decision, Domain, Guard, Instant, ManualClock, MapError,
    Monotone, OnFull, Plan, Quota, QuotaError, RemovalCause, SeededState, Sweep, Sweeper, Swept,
    Tier, Tiers, Ttl, Worker,
};
pub use wait::caller::caller;

/// Creates a hasher with a random seed, a new one at each call, as a table on a server needs it.
///
/// ```
/// use tidegate::lockfree::BucketTable;
/// use tidegate::Quota;
///
/// let quota = Quota::per_second(100)?;
/// let table = BucketTable::boxed(quota, 10_000, tidegate::random_state())?;
/// # let _ = table;
/// # Ok::<(), tidegate::QuotaError>(())
/// ```
pub fn random_state() -> SeededState {
    use std::hash::BuildHasher;
    // The standard library's hasher is keyed from the operating system's random numbers.
    SeededState::new(std::hash::RandomState::new().hash_one(0))
}

/// The examples of the project's front page, compiled.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
pub struct FrontPage;
