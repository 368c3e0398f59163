//! `1431857103.123`: time since 1970, in seconds or smaller units.

use super::super::entry::{Reason, Stamp};
use super::civil::Text;

/// Reads a time since 1970, with or without a fraction. Up to 11 digits are seconds, up to 14 are
/// milliseconds, up to 17 microseconds, and up to 20 nanoseconds.
///
/// # Errors
///
/// Fails if the text is no such time.
pub(super) fn epoch(text: &[u8]) -> Result<Stamp, Reason> {
    read(text).ok_or("a timestamp unlike 1431857103.123")
}

/// Reads a time whose writer leaves out zeros at the end of a fraction, as floating point numbers
/// and Go's RFC 3339 are printed. The number of its digits says nothing about the clock, so that a
/// fraction counts as microseconds at least: that is what a double of today's seconds holds.
///
/// # Errors
///
/// Fails as `read` does.
pub(crate) fn float(
    text: &[u8],
    read: impl FnOnce(&[u8]) -> Result<Stamp, Reason>,
) -> Result<Stamp, Reason> {
    let stamp = read(text)?;
    let places = if text.contains(&b'.') { stamp.places.max(6) } else { stamp.places };
    Ok(Stamp { places, ..stamp })
}

fn read(text: &[u8]) -> Option<Stamp> {
    let mut text = Text(text);
    let whole = text.digits(usize::MAX);
    let unit = match whole.len() {
        1..=11 => 0,
        12..=14 => 3,
        15..=17 => 6,
        18..=20 => 9,
        _ => return None,
    };
    let whole = std::str::from_utf8(whole).ok()?.parse::<i64>().ok()?;
    let (fraction, places) = match text.one_of(b".") {
        Some(_) => text.fraction()?,
        None => (0, 0),
    };
    if !text.0.is_empty() {
        return None;
    }
    let places = (unit + places).min(9);
    let nanos = whole.checked_mul(10_i64.pow(9 - u32::from(unit)))?;
    let nanos = nanos.checked_add(fraction / 10_i64.pow(u32::from(unit)))?;
    Some(Stamp { nanos, places })
}
