//! A source for configurations that name none.

use super::source::{Medium, Sample, Source};

/// Says that nothing is used of one byte, always: for configurations that have to name a source and
/// want no eviction. Sources that cannot be read say so instead.
///
/// ```
/// use tidegate::pressure::{Noop, Reading, Source};
///
/// assert_eq!(Noop::default().sample().reading, Reading::Known { used: 0, total: 1 });
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct Noop {
    medium: Medium,
}

impl Noop {
    /// Creates a source that claims to measure this medium.
    pub fn new(medium: Medium) -> Self {
        Self { medium }
    }
}

impl Source for Noop {
    fn name(&self) -> String {
        "noop".to_owned()
    }

    fn medium(&self) -> Medium {
        self.medium
    }

    fn sample(&mut self) -> Sample {
        Sample::bytes(0, 1, "measures nothing")
    }
}
