//! One run for many callers.
//!
//! A [`LocalSlot`] is claimed by one caller at a time; the others wait until it is free, and decide again.
//! A `Slot` is the same for threads, and a `Group` does it for each of any number of keys, and hands what
//! the leader has come to to those who waited. Each is given back on every way out, and one that never
//! comes back can be told by its lease.

mod caller;
#[cfg(all(feature = "alloc", target_has_atomic = "64"))]
mod follower;
#[cfg(all(feature = "alloc", target_has_atomic = "64"))]
mod group;
#[cfg(all(feature = "alloc", target_has_atomic = "64"))]
mod leader;
mod local;
#[cfg(target_has_atomic = "64")]
mod place;
#[cfg(all(feature = "alloc", target_has_atomic = "64"))]
mod running;
#[cfg(all(feature = "alloc", target_has_atomic = "64"))]
mod shared;
#[cfg(target_has_atomic = "64")]
mod slot;
mod state;
#[cfg(all(feature = "alloc", target_has_atomic = "64"))]
mod waiters;

pub use caller::{Caller, CallerId, Superseded};
#[cfg(all(feature = "alloc", target_has_atomic = "64"))]
pub use follower::{Ended, Follower};
#[cfg(all(feature = "alloc", target_has_atomic = "64"))]
pub use group::{Group, JoinError, Joined};
#[cfg(all(feature = "alloc", target_has_atomic = "64"))]
pub(crate) use leader::Lead;
#[cfg(all(feature = "alloc", target_has_atomic = "64"))]
pub use leader::Leader;
pub use local::{LocalClaim, LocalRefused, LocalSlot};
#[cfg(target_has_atomic = "64")]
pub use slot::{Claim, Freed, Refused, Slot};
