//! `17/May/2015:10:05:03 +0000`, of Common Log Format and of HAProxy.

use chrono::NaiveDate;

use super::super::entry::{Reason, Stamp};
use super::civil::Text;

/// Reads a time as Common Log Format has it: with or without a fraction, and with or without a
/// zone.
///
/// # Errors
///
/// Fails if the text is no such time.
pub(crate) fn clf(text: &[u8]) -> Result<Stamp, Reason> {
    read(Text(text)).ok_or("a timestamp unlike 17/May/2015:10:05:03 +0000")
}

fn read(mut text: Text<'_>) -> Option<Stamp> {
    let day = text.number(2)?;
    text.one_of(b"/")?;
    let (month, rest) = text.0.split_first_chunk::<3>()?;
    let month = month_of(month)?;
    text.0 = rest;
    text.one_of(b"/")?;
    let year = text.number(4)?;
    text.one_of(b": ")?;
    text.time_on(NaiveDate::from_ymd_opt(year as i32, month, day)?)
}

/// Returns the number of a month by the first three letters of its English name.
fn month_of(name: &[u8; 3]) -> Option<u32> {
    const MONTHS: [&[u8; 3]; 12] = [
        b"jan", b"feb", b"mar", b"apr", b"may", b"jun", b"jul", b"aug", b"sep", b"oct", b"nov",
        b"dec",
    ];
    let name = name.map(|byte| byte.to_ascii_lowercase());
    MONTHS.iter().position(|month| **month == name).map(|place| place as u32 + 1)
}
