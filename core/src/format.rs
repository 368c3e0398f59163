//! How `defmt` shows the values whose figures are computed.

use defmt::{Format, Formatter};

use crate::bucket::Decision;
use crate::time::Instant;

impl Format for Instant {
    fn format(&self, f: Formatter<'_>) {
        defmt::write!(f, "{=u64} ns", self.as_nanos());
    }
}

impl Format for Decision {
    fn format(&self, f: Formatter<'_>) {
        defmt::write!(
            f,
            "{}, {=u64} of {=u64} left, again in {}",
            self.outcome(),
            self.remaining(),
            self.limit(),
            self.retry_after(),
        );
    }
}
