//! Lines whose fields have fixed places.

use std::borrow::Cow;
use std::ops::Range;

use super::super::entry::{Entry, Reason, Wanted};
use super::super::stamp::{self, Stamps};
use super::part::{Part, Parts};
use super::quoted::split_quoted;

/// What stands in a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Column {
    Of(Part),
    /// The date of a time whose time of day is in a column of its own.
    Date,
    /// The time of day of a time whose date is in a column of its own.
    TimeOfDay,
    Other,
}

/// What stands between columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Between {
    /// One tab.
    Tab,
    /// One blank.
    Blank,
    /// One blank, but fields in quotes or brackets may hold blanks.
    BlankOutsideQuotes,
}

impl Column {
    fn is_in(self, wanted: Wanted) -> bool {
        match self {
            Self::Of(part) => part.is_in(wanted),
            Self::Date | Self::TimeOfDay => true,
            Self::Other => false,
        }
    }
}

/// Parses a line by its columns. Columns beyond those that are known are passed over.
///
/// # Errors
///
/// Fails if the line has no client or no time.
pub(super) fn parse<'a>(
    line: &'a [u8],
    columns: &[Column],
    between: Between,
    wanted: Wanted,
    stamps: &mut Stamps,
) -> Result<Entry<'a>, Reason> {
    let mut parts = Parts::default();
    let (mut time, mut date, mut time_of_day) = (None, None, None);
    let last = columns.iter().rposition(|column| column.is_in(wanted)).map_or(0, |last| last + 1);
    let mut start = 0;
    for &column in &columns[..last] {
        if start > line.len() {
            break;
        }
        let (field, next) = field(line, start, between)?;
        start = next;
        match column {
            Column::Of(Part::Time) => time = Some(field),
            Column::Date => date = Some(field),
            Column::TimeOfDay => time_of_day = Some(field),
            Column::Of(part) if part.is_in(wanted) => {
                parts.set(part, Cow::Borrowed(&line[field]));
            }
            Column::Of(_) | Column::Other => {}
        }
    }
    let time = match (time, date, time_of_day) {
        (Some(time), _, _) => stamps.read(&line[time], stamp::any)?,
        (None, Some(date), Some(of_day)) if date.end + 1 == of_day.start => {
            stamps.read(&line[date.start..of_day.end], stamp::any)?
        }
        (None, Some(date), Some(of_day)) => {
            stamps.read(&[&line[date], b" ", &line[of_day]].concat(), stamp::any)?
        }
        _ => return Err("no timestamp"),
    };
    parts.into_entry(time)
}

/// Returns where the field lies that begins at `start`, without its quotes or brackets, and where
/// the next one begins: behind the end of the line if there is none.
fn field(line: &[u8], start: usize, between: Between) -> Result<(Range<usize>, usize), Reason> {
    let rest = &line[start..];
    let separator = if between == Between::Tab { b'\t' } else { b' ' };
    let closed = match rest.first() {
        Some(b'"') if between == Between::BlankOutsideQuotes => {
            let (field, _) = split_quoted(&rest[1..]).ok_or("no end of a quoted field")?;
            Some(field.len())
        }
        Some(b'[') if between == Between::BlankOutsideQuotes => {
            let length = memchr::memchr(b']', rest).ok_or("no end of a field in brackets")? - 1;
            // `[2001:db8::1]:40000` is no field in brackets.
            matches!(rest.get(length + 2), None | Some(b' ')).then_some(length)
        }
        _ => None,
    };
    match closed {
        // A blank follows the closing quote or bracket.
        Some(length) => Ok((start + 1..start + 1 + length, start + length + 3)),
        None => {
            let length = memchr::memchr(separator, rest).unwrap_or(rest.len());
            Ok((start..start + length, start + length + 1))
        }
    }
}
