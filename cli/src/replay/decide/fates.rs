//! What became of all requests.

use super::bits::Bits;
use super::rule::Fate;

/// The fates of all requests of the traffic, by one reading.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fates {
    /// A bit for each request: whether it was denied, by a limit or for want of a slot.
    pub(super) denied: Bits,
    pub(super) no_slot: u64,
    pub(super) denied_by: Vec<u64>,
    pub(super) delayed: u64,
    pub(super) longest_wait: u64,
    /// The sum of the waits of all delayed requests, in nanoseconds.
    pub(super) total_wait: u128,
}

impl Fates {
    pub(super) fn new(requests: usize, limits: usize) -> Self {
        Self {
            denied: Bits::new(requests),
            no_slot: 0,
            denied_by: vec![0; limits],
            delayed: 0,
            longest_wait: 0,
            total_wait: 0,
        }
    }

    #[inline]
    pub(super) fn add(&mut self, place: u32, fate: Fate) {
        match fate {
            Fate::Admitted { wait: 0 } => {}
            Fate::Admitted { wait } => {
                self.delayed += 1;
                self.longest_wait = self.longest_wait.max(wait);
                self.total_wait += u128::from(wait);
            }
            Fate::Denied { by } => {
                self.denied.set(place);
                self.denied_by[by] += 1;
            }
        }
    }

    /// Adds a request that was denied for want of a slot.
    pub(super) fn add_no_slot(&mut self, place: u32) {
        self.denied.set(place);
        self.no_slot += 1;
    }
}
