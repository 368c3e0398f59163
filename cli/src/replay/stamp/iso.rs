//! `2015-05-17T10:05:03Z`: ISO 8601, and RFC 3339.

use chrono::NaiveDate;

use super::super::entry::{Reason, Stamp};
use super::civil::Text;

/// Reads a time as ISO 8601 has it. Between the date and the time may be a blank or a tab, and the
/// date may have slashes. A time without a zone is UTC.
///
/// # Errors
///
/// Fails if the text is no such time.
pub(crate) fn iso(text: &[u8]) -> Result<Stamp, Reason> {
    read(Text(text)).ok_or("a timestamp unlike 2015-05-17T10:05:03Z")
}

fn read(mut text: Text<'_>) -> Option<Stamp> {
    let year = text.number(4)?;
    let separator = text.one_of(b"-/")?;
    let month = text.number(2)?;
    text.one_of(&[separator])?;
    let day = text.number(2)?;
    text.one_of(b"Tt \t")?;
    text.time_on(NaiveDate::from_ymd_opt(year as i32, month, day)?)
}
