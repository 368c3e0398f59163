//! What a small device does with `tidegate-core`: a limiter that an interrupt and the main loop
//! charge, a registry of services under leases, and claims of things that only one may use.
//!
//! The programs of this package run on every board of [`board`], and on the host. The main loop's
//! [`history`] is the same everywhere, answer by answer. What the interrupt charges depends on when
//! it comes, and a [`ledger`] checks it.

#![cfg_attr(target_os = "none", no_std)]

pub mod board;
pub mod device;
pub mod history;
pub mod ledger;
pub mod stack;

/// The page about firmware, whose example must compile.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/firmware.md")]
mod page {}
