//! The parts of the packet loop, each in a module: the sources of frames, what is read of a frame, the
//! rules, and the loop itself.

#![cfg(target_os = "linux")]

pub mod confine;
pub mod frame;
pub mod pin;
pub mod police;
pub mod policies;
pub mod report;
pub mod source;
pub mod worker;

/// The most frames in a burst.
pub const BURST: usize = 32;
