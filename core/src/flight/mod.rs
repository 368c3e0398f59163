//! One run for many callers.
//!
//! One caller at a time claims a [`LocalSlot`]; the others wait until it is free, and decide again.
//! A `Slot` does the same for threads. A `Group` does it for each of any number of keys, and hands
//! the leader's result to the callers that waited. Each is given back on every way out. Where a
//! caller never comes back, a lease ends its claim.

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
