//! Sweeping: what comes next, how far, and when again.
//!
//! A structure that grows with its keys must be visited now and then to remove what is stale. Here
//! a visit takes a bounded amount of work a call, from wherever there is time: a packet loop
//! between bursts, firmware's idle task, a thread. Nothing in this module reads a clock, spawns or
//! sleeps, and it does not know what it sweeps.
//!
//! * [`Sweep`] is one target: a position, and a step within a [`Budget`]. [`from_fn`] makes one of
//!   a closure.
//! * [`Cadence`] is a schedule of absolute deadlines.
//! * [`Sweeper`] sweeps several targets on a cadence.

mod budget;
mod cadence;
mod sweeper;

pub use budget::{Budget, FromFn, Sweep, Swept, from_fn};
pub use cadence::Cadence;
pub use sweeper::Sweeper;
