//! Atomics for the whole crate. Normally they are `core`'s. Under a `--cfg` of the same name they
//! are those of `loom` or `shuttle`, or `core`'s with a hook before each operation (`stress`).
//!
//! This file and its children are the only ones that may name `core::sync::atomic`, `loom` or
//! `shuttle`. Algorithms call the same methods on all of them and contain no branch for the model.
//! The one difference a caller sees is that loom's atomics cannot be built in a `const`, so the few
//! constructors meant for statics have a twin.

#[cfg(all(feature = "alloc", target_has_atomic = "64"))]
mod estimate;
#[cfg(all(not(loom), target_has_atomic = "64"))]
mod hint;
#[cfg(all(feature = "alloc", target_has_atomic = "64"))]
mod loose;
#[cfg(loom)]
pub mod model;
#[cfg(all(not(any(loom, shuttle, stress)), target_has_atomic = "64"))]
mod native;
#[cfg(any(loom, shuttle, stress))]
mod portable;
#[cfg(not(loom))]
mod prefetch;
#[cfg(shuttle)]
mod shuttled;
#[cfg(stress)]
pub mod stress;
#[cfg(all(feature = "alloc", target_has_atomic = "64"))]
mod try_lock;
mod word;

#[cfg(all(feature = "alloc", target_has_atomic = "64"))]
pub(crate) use self::estimate::Estimate;
#[cfg(all(not(loom), target_has_atomic = "64"))]
pub(crate) use self::hint::*;
#[cfg(all(feature = "alloc", target_has_atomic = "64"))]
pub(crate) use self::loose::{Loose32, Loose64};
#[cfg(loom)]
pub(crate) use self::model::{
    AtomicPtr, AtomicU32, AtomicU64, AtomicUsize, Ordering, Witness, fence, light_fence, prefetch,
};
#[cfg(all(not(any(loom, shuttle, stress)), target_has_atomic = "64"))]
pub(crate) use self::native::*;
#[cfg(any(loom, shuttle, stress))]
pub(crate) use self::portable::*;
#[cfg(not(loom))]
pub(crate) use self::prefetch::prefetch;
#[cfg(shuttle)]
pub(crate) use self::shuttled::*;
#[cfg(stress)]
pub(crate) use self::stress::{
    AtomicPtr, AtomicU32, AtomicU64, AtomicUsize, Ordering, fence, light_fence,
};
#[cfg(all(feature = "alloc", target_has_atomic = "64"))]
pub(crate) use self::try_lock::TryLock;
pub(crate) use self::word::TimeWord;
