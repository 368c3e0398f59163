//! Times as logs write them.

mod civil;
mod clf;
mod epoch;
mod iso;

pub(crate) use self::clf::clf;
pub(crate) use self::epoch::float;
pub(crate) use self::iso::iso;

use self::epoch::epoch;
use super::entry::{Reason, Stamp};

/// Reads stamps, and remembers the last one: lines that follow each other often have the same
/// stamp.
#[derive(Debug, Default)]
pub(crate) struct Stamps {
    text: Vec<u8>,
    last: Option<Result<Stamp, Reason>>,
}

/// The longest text that is remembered. Stamps are shorter; a damaged line may be 64 KiB.
const LONGEST: usize = 64;

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
            _ if text.len() > LONGEST => read(text),
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

/// Reads a time in any of the ways that this room knows.
///
/// # Errors
///
/// Fails if the text is a time in none of them.
pub(crate) fn any(text: &[u8]) -> Result<Stamp, Reason> {
    match text {
        [_, _, _, _, b'-' | b'/', ..] => iso(text),
        [_, b'/', ..] | [_, _, b'/', ..] => clf(text),
        _ => epoch(text),
    }
}

/// Reads the time between the brackets of Common Log Format: in its own way, or as ISO 8601.
///
/// # Errors
///
/// Fails if the text is no such time.
pub(crate) fn bracketed(text: &[u8]) -> Result<Stamp, Reason> {
    if text.get(4) == Some(&b'-') { iso(text) } else { clf(text) }
}

#[cfg(test)]
mod tests;
