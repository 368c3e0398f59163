//! Which frames pass.

mod local;
mod pace;
mod shared;
mod subnets;

pub use local::Local;
pub use shared::Shared;
pub use subnets::Subnets;

use tidegate::Instant;
use tidegate::lockfree::BucketTable;
use tidegate::lockfree::bucket::Set;

use crate::frame::Frame;

/// A table on the heap that all workers share.
pub type Table = BucketTable<Box<[Set]>>;

/// Decides which frames pass. Neither call allocates, or calls the system.
pub trait Police {
    /// Decides for each frame of a burst. `passes` is as long as `frames`.
    fn decide(&mut self, frames: &[Frame], now: Instant, passes: &mut [bool]);

    /// Does a little of what need not be done at once.
    fn sweep(&mut self, now: Instant);
}
