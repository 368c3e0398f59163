//! One run for many callers.
//!
//! A [`LocalSlot`] is claimed by one caller at a time; the others wait until it is free, and decide again.
//! A `Slot` is the same for threads, and a `Group` does it for each of any number of keys, and hands what
//! the leader has come to to those who waited. Each is given back on every way out, and one that never
//! comes back can be told by its lease.

mod caller;
#[cfg(all(feature = "alloc", target_has_atomic = "64"))]
mod group;
mod local;
#[cfg(target_has_atomic = "64")]
mod place;
#[cfg(target_has_atomic = "64")]
mod slot;
mod state;

pub use caller::{Caller, CallerId, SupersededError};
#[cfg(all(feature = "alloc", target_has_atomic = "64"))]
pub(crate) use group::Lead;
#[cfg(all(feature = "alloc", target_has_atomic = "64"))]
pub use group::{FollowError, Follower, Group, JoinError, Joined, Leader};
pub use local::{LocalClaim, LocalClaimError, LocalSlot};
#[cfg(target_has_atomic = "64")]
pub use slot::{Claim, ClaimError, Freed, Slot};
