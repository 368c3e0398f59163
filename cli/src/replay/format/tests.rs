//! Each format by lines of its own. Addresses are of the documentation ranges.

mod aws;
mod common;
mod damage;
mod detection;
mod haproxy;
mod json;
mod patterns;
mod prefixes;
mod w3c;

use std::sync::Arc;

use super::super::entry::{Entry, Reason, Wanted};
use super::super::stamp::Stamps;
use super::{Format, named};

/// 17 May 2015, 10:00:00 UTC, in nanoseconds since 1970.
const TEN: i64 = 1_431_856_800_000_000_000;
const SECOND: i64 = 1_000_000_000;

/// What a line says, as text.
#[derive(Debug, Default, PartialEq, Eq)]
struct Said {
    nanos: i64,
    places: u8,
    client: String,
    forwarded: String,
    user: String,
    method: String,
    target: String,
    status: Option<u16>,
    bytes: Option<u64>,
}

impl From<Entry<'_>> for Said {
    fn from(entry: Entry<'_>) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Self {
            nanos: entry.time.nanos,
            places: entry.time.places,
            client: text(&entry.client),
            forwarded: text(&entry.forwarded),
            user: text(&entry.user),
            method: text(&entry.method),
            target: text(&entry.target),
            status: entry.status,
            bytes: entry.bytes,
        }
    }
}

/// Returns the format of a name.
fn format(name: &str) -> Arc<dyn Format> {
    named(name).unwrap_or_else(|failure| panic!("{failure:?}"))
}

/// Returns what a line says in a format, or `None` if the line is no request by design.
fn parse(format: &dyn Format, line: &str) -> Result<Option<Said>, Reason> {
    let entry = format.parse(line.as_bytes(), Wanted::ALL, &mut Stamps::default())?;
    Ok(entry.map(Said::from))
}

/// Returns what a line says, which must be a request.
#[track_caller]
fn said(format: &dyn Format, line: &str) -> Said {
    match parse(format, line) {
        Ok(Some(said)) => said,
        other => panic!("{line}: {other:?}"),
    }
}

/// Returns why a line is not of a format.
#[track_caller]
fn reason(format: &dyn Format, line: &str) -> Reason {
    match parse(format, line) {
        Err(reason) => reason,
        Ok(other) => panic!("{line}: {other:?}"),
    }
}
