#![doc = include_str!("../README.md")]
#![no_std]

#[cfg(feature = "alloc")]
extern crate alloc;
#[cfg(any(loom, shuttle, stress))]
extern crate std;

pub mod bucket;
pub mod flight;
#[cfg(feature = "defmt")]
mod format;
pub mod hash;
pub mod pressure;
pub mod registry;
pub mod sweep;
mod sync;
pub mod time;

// These need a heap and native 64-bit atomics.
#[cfg(all(feature = "alloc", target_has_atomic = "64"))]
pub mod cache;
#[cfg(all(feature = "alloc", target_has_atomic = "64"))]
pub mod map;
#[cfg(all(feature = "alloc", target_has_atomic = "64"))]
pub mod reclaim;

/// The settings and counts of tests under `--cfg stress`.
#[cfg(stress)]
pub use sync::stress;

/// The settings and counts of the models of `tidegate-loom-tests`.
#[cfg(loom)]
pub use sync::model;

/// How the crate works and why, for readers of the source: the pages of `core/docs`.
pub mod docs {
    #[doc = include_str!("../docs/design.md")]
    pub mod design {}
    #[doc = include_str!("../docs/guide.md")]
    pub mod guide {}
    #[doc = include_str!("../docs/orderings.md")]
    pub mod orderings {}
}

#[doc(inline)]
pub use {
    bucket::{Decision, LocalBucketTable, LocalSweep, OnFull, Plan, Quota, QuotaError},
    hash::SeededState,
    registry::FixedRegistry,
    sweep::{Budget, Cadence, Sweep, Sweeper, Swept},
    time::{Clock, Instant, ManualClock, Monotone, Ttl},
};

#[cfg(target_has_atomic = "64")]
#[doc(inline)]
pub use bucket::{BucketTable, TableSweep};

// These need a heap and native 64-bit atomics.
#[cfg(all(feature = "alloc", target_has_atomic = "64"))]
#[doc(inline)]
pub use {
    bucket::{BucketMap, BucketSweep},
    cache::{Cache, CacheError, CacheSweep, RemovalCause, Tier, Tiers},
    map::{Map, MapError, MapSweep},
    reclaim::{Domain, Guard, Worker},
    registry::{Registry, RegistrySweep},
};
