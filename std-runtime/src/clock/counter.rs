//! The processor's counter, held to a clock of the kernel.
//!
//! Each thread has an [`Anchor`]: a value of the counter and the kernel's time at it. A read adds the
//! ticks since, times the [`Rate`](rate::Rate). An anchor holds for 4 ms of ticks; then, or where the
//! counter has gone back, the kernel is read and a new anchor is made. The rate is [`Shared`] by all
//! threads. About once a second one of them looks whether the kernel itself still uses the counter, and
//! corrects the rate. `core/docs/design.md` has the bounds and why they hold.

mod anchor;
mod calibration;
mod machine;
#[cfg(loom)]
pub mod model;
#[cfg(not(loom))]
mod processor;
mod rate;
mod shared;
#[cfg(test)]
mod tests;

#[cfg(not(loom))]
pub(super) use self::processor::{now, source};
