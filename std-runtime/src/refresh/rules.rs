//! The settings of a refresher, checked.

use std::time::Duration;

use super::Event;
use super::breaker::Fuse;
use super::due::Early;
use crate::clock::SharedClock;
use crate::panics::Foreign;

/// Receives what happens to a refresher.
pub(super) type Report = Box<dyn Fn(Event) + Send + Sync>;

/// The settings of a [`Builder`](super::Builder).
pub(super) struct Rules {
    pub(super) clock: Foreign<SharedClock>,
    pub(super) early: Early,
    pub(super) fuse: Fuse,
    pub(super) spacing: Duration,
    pub(super) longest: Duration,
    /// How long an expired value is served while no other can be made.
    pub(super) on_error: Duration,
    pub(super) report: Option<Foreign<Report>>,
}
