//! How exact the clock of a log is.

use crate::replay::entry::Stamp;

/// The decimal places of the stamps of the requests that count.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Precision {
    /// The fewest decimal places of a stamp. `None` if no request counts.
    pub(super) fewest: Option<u8>,
    /// How many decimal places the stamps need without the zeros at their ends: 0, 3, 6 or 9.
    pub(super) needed: u8,
}

impl Precision {
    /// Adds the stamp of one request.
    pub(super) fn add(&mut self, stamp: Stamp) {
        let Stamp { nanos, places } = stamp;
        while self.needed < places && nanos % 10_i64.pow(9 - u32::from(self.needed)) != 0 {
            self.needed += 3;
        }
        self.fewest = Some(self.fewest.map_or(places, |fewest| fewest.min(places)));
    }

    /// Adds the stamps of other requests.
    pub(super) fn extend(&mut self, other: Self) {
        self.fewest = self.fewest.into_iter().chain(other.fewest).min();
        self.needed = self.needed.max(other.needed);
    }

    /// Returns the decimal places of the clock. Some programs print whole seconds as
    /// `10:05:03.000`, so zeros at the end of every fraction do not count.
    pub(super) fn places(self) -> Option<u8> {
        self.fewest.map(|places| places.min(self.needed))
    }
}
