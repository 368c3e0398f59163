//! One run for many callers.
//!
//! A [`Slot`] is claimed by one caller at a time; the others wait until it is free, and decide again.
//! A [`Group`] does the same for each of any number of keys, and hands what the leader has come to
//! to those who waited. Either is given back on every way out, and one that never comes back can be
//! told by its lease.

#[cfg(feature = "alloc")]
mod follower;
#[cfg(feature = "alloc")]
mod group;
#[cfg(feature = "alloc")]
mod leader;
mod place;
#[cfg(feature = "alloc")]
mod shared;
mod slot;
mod state;
#[cfg(feature = "alloc")]
mod waiters;

#[cfg(feature = "alloc")]
pub use follower::{Ended, Follower};
#[cfg(feature = "alloc")]
pub use group::{Group, JoinError, Joined};
#[cfg(feature = "alloc")]
pub use leader::Leader;
pub use slot::{Caller, Claim, Freed, Refused, Slot, Superseded};
