#![doc = include_str!("../README.md")]
#![no_std]

#[cfg(feature = "alloc")]
extern crate alloc;
#[cfg(any(loom, shuttle, stress))]
extern crate std;

pub mod bucket;
#[cfg(all(feature = "alloc", target_has_atomic = "64"))]
pub mod cache;
pub mod flight;
pub mod hash;
#[cfg(all(feature = "alloc", target_has_atomic = "64"))]
pub mod map;
pub mod pressure;
#[cfg(all(feature = "alloc", target_has_atomic = "64"))]
pub mod reclaim;
pub mod registry;
pub mod sweep;
mod sync;
pub mod time;

/// What tests under `--cfg stress` set and read.
#[cfg(stress)]
pub use sync::stress;

/// What the models of `tidegate-loom-tests` set and read.
#[cfg(loom)]
pub use sync::model;

/// How it works and why, for readers of the source: the pages of `core/docs`.
pub mod docs {
    #[doc = include_str!("../docs/design.md")]
    pub mod design {}
    #[doc = include_str!("../docs/guide.md")]
    pub mod guide {}
    #[doc = include_str!("../docs/orderings.md")]
    pub mod orderings {}
}

#[cfg(all(feature = "alloc", target_has_atomic = "64"))]
#[doc(inline)]
pub use bucket::{BucketMap, BucketSweep};
#[cfg(target_has_atomic = "64")]
#[doc(inline)]
pub use bucket::{BucketTable, Set, TableSweep};
#[doc(inline)]
pub use bucket::{
    Decision, Keep, LocalBucketTable, LocalSet, LocalSweep, OnFull, Plan, Quota, QuotaError, Unit,
};
#[cfg(all(feature = "alloc", target_has_atomic = "64"))]
#[doc(inline)]
pub use cache::{Cache, CacheError, CacheSweep, RemovalCause, Tier, Tiers};
#[doc(inline)]
pub use hash::SeededState;
#[cfg(all(feature = "alloc", target_has_atomic = "64"))]
#[doc(inline)]
pub use map::{Map, MapError, MapSweep};
#[cfg(all(feature = "alloc", target_has_atomic = "64"))]
#[doc(inline)]
pub use reclaim::{Domain, Guard, Worker};
#[doc(inline)]
pub use registry::FixedRegistry;
#[cfg(all(feature = "alloc", target_has_atomic = "64"))]
#[doc(inline)]
pub use registry::{Registry, RegistrySweep};
#[doc(inline)]
pub use sweep::{Budget, Cadence, Sweep, Sweeper, Swept};
#[doc(inline)]
pub use time::{Clock, Instant, ManualClock, Monotone, Ttl};
