//! The result of a replay, for people and for programs.

mod chart;
mod svg;
mod text;

use serde::Serialize;

pub(crate) use self::svg::{refuse_to_overwrite, svg};
pub(crate) use self::text::{clock, text};

/// What the quota did. Serialised, it is the JSON output.
#[derive(Debug, Serialize)]
pub(crate) struct Outcome {
    /// What was replayed.
    pub(crate) source: String,
    pub(crate) quota: String,
    pub(crate) burst: u64,
    pub(crate) key: String,
    pub(crate) cost: String,
    pub(crate) records: u64,
    pub(crate) skipped: u64,
    pub(crate) out_of_order: u64,
    pub(crate) keys: usize,
    pub(crate) keys_denied: usize,
    pub(crate) admitted: u64,
    pub(crate) denied: u64,
    /// Requests of keys for which the table had no slot; among the denied under `deny`.
    pub(crate) unplaced: u64,
    pub(crate) peak_live_keys: usize,
    /// The earliest record, in seconds since 1970.
    pub(crate) start: i64,
    pub(crate) span_seconds: u64,
    pub(crate) top: Vec<Top>,
    pub(crate) first_skipped: Vec<Skipped>,
    #[serde(skip)]
    pub(crate) moments: Vec<Moment>,
}

/// A key that was denied.
#[derive(Debug, Serialize)]
pub(crate) struct Top {
    pub(crate) key: String,
    pub(crate) requests: u64,
    pub(crate) admitted: u64,
    pub(crate) denied: u64,
}

/// A line that could not be used.
#[derive(Debug, Serialize)]
pub(crate) struct Skipped {
    pub(crate) line: u64,
    pub(crate) reason: &'static str,
}

/// One request's answer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moment {
    /// Seconds since 1970.
    pub(crate) time: i64,
    pub(crate) admitted: bool,
}

/// One JSON object.
pub(crate) fn json(outcome: &Outcome) -> String {
    let mut text = serde_json::to_string_pretty(outcome).expect("strings and numbers");
    text.push('\n');
    text
}
