//! Which frames pass. A green one passes, a yellow one passes and is to be dropped first if a link is
//! full, a red one is dropped.

mod local;
mod marked;
mod pace;
mod shared;
mod subnets;

pub use local::Local;
pub use marked::{Marked, Rates};
pub use shared::Shared;
pub use subnets::Subnets;

use tidegate::Instant;
use tidegate::lockfree::BucketTable;
use tidegate::lockfree::bucket::{Colour, Set};

use crate::frame::Frame;

/// A table on the heap that all workers share.
pub type Table = BucketTable<Box<[Set]>>;

/// Colours frames. Neither call allocates, or calls the system.
pub trait Police {
    /// Colours each frame of a burst. `colours` is as long as `frames`.
    fn decide(&mut self, frames: &[Frame], now: Instant, colours: &mut [Colour]);

    /// Does a little of what need not be done at once.
    fn sweep(&mut self, now: Instant);
}

/// Returns the colour of a frame that was admitted, or was not.
fn colour(is_admitted: bool) -> Colour {
    if is_admitted { Colour::Green } else { Colour::Red }
}
