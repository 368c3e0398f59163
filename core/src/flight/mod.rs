//! One run for many callers.
//!
//! A [`Slot`] is claimed by one caller at a time; the others wait until it is free, and decide again.
//! Whoever has it gives it back on every way out, and one that never comes back can be told by its
//! lease.

mod slot;
mod state;
mod waiter;

pub use slot::{Caller, Claim, Freed, Refused, Slot, Superseded};
