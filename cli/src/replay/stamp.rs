//! Times as logs write them.

use super::entry::{Reason, Stamp};

/// Reads stamps, and remembers the last one: lines that follow each other often bear the same.
#[derive(Debug, Default)]
pub(crate) struct Stamps {
    text: Vec<u8>,
    last: Option<Result<Stamp, Reason>>,
}

impl Stamps {
    /// Reads `text` with `read`, unless it is the text that was read last. All calls that share a
    /// `Stamps` pass the same function.
    pub(crate) fn read(
        &mut self,
        text: &[u8],
        read: impl FnOnce(&[u8]) -> Result<Stamp, Reason>,
    ) -> Result<Stamp, Reason> {
        match self.last {
            Some(last) if self.text == text => last,
            _ => {
                let stamp = read(text);
                self.text.clear();
                self.text.extend_from_slice(text);
                self.last = Some(stamp);
                stamp
            }
        }
    }
}
