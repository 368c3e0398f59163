//! What the quotas did. Serialised, it is the JSON output.

use serde::Serialize;

use super::entry::Reason;
use super::traffic::{FileRead, Skipped};

/// The answer of one command.
#[derive(Debug, Serialize)]
pub(crate) struct Outcome {
    pub(crate) files: Vec<FileRead>,
    /// What has a bucket of its own: `client`, `path` and so on.
    pub(crate) key: String,
    /// What a cell is: `1`, or `bytes`.
    pub(crate) cost: String,
    pub(crate) requests: u64,
    pub(crate) keys: u64,
    pub(crate) skipped: u64,
    /// Why lines were skipped, the most frequent reason first.
    pub(crate) skipped_by: Vec<SkippedBy>,
    pub(crate) left_out: u64,
    pub(crate) without_key: u64,
    pub(crate) out_of_order: u64,
    /// The earliest request, in nanoseconds since 1970.
    pub(crate) start_nanos: i64,
    pub(crate) span_nanos: u64,
    /// The decimal places of the seconds, by the coarsest clock of a log.
    pub(crate) places: u8,
    /// How many keys the table was made for, if the command gives a capacity.
    pub(crate) capacity: Option<u64>,
    /// One for each quota that was asked for, in order.
    pub(crate) runs: Vec<Run>,
    pub(crate) find: Option<Found>,
    pub(crate) first_skipped: Vec<Skipped>,
    pub(crate) warnings: Vec<String>,
}

/// How many lines were skipped for one reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct SkippedBy {
    pub(crate) reason: Reason,
    pub(crate) lines: u64,
}

/// One quota, or several limits at once, replayed.
#[derive(Debug, Serialize)]
pub(crate) struct Run {
    /// Each limit in words: `100/min, burst 20`.
    pub(crate) limits: Vec<String>,
    /// One reading if the stamps leave no doubt; otherwise `even` and then `none`.
    pub(crate) readings: Vec<Tally>,
}

/// How the requests of one tick of the stamps are assumed to lie in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Spread {
    /// The requests of a key in one second (or whatever unit the log's times have) are spread
    /// evenly over it
    Even,
    /// All of them come at its beginning
    None,
}

/// What became of the requests, by one reading of the stamps.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Tally {
    /// `None` if both readings give the same answers.
    pub(crate) spread: Option<Spread>,
    pub(crate) admitted: u64,
    /// What the quota denied.
    pub(crate) denied: u64,
    /// What was denied for want of a slot in a table of the given capacity.
    pub(crate) no_slot: u64,
    /// The keys of which a request was denied, by the quota or for want of a slot.
    pub(crate) keys_denied: u64,
    /// How many each of several limits denied. A request is denied by the limit whose wait is the
    /// longest.
    pub(crate) denied_by: Vec<u64>,
    /// Requests that were admitted after a wait, with `--max-wait`.
    pub(crate) delayed: u64,
    pub(crate) longest_delay_nanos: u64,
    pub(crate) mean_delay_nanos: u64,
    /// The most keys at once whose bucket differs from a fresh one, counted at each stamp. It is
    /// that of the exact arithmetic, also where a table decides.
    pub(crate) peak_live_keys: u64,
    /// The keys that were denied most.
    pub(crate) top: Vec<Top>,
    pub(crate) timeline: Timeline,
}

/// A key that was denied.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Top {
    pub(crate) key: String,
    pub(crate) requests: u64,
    pub(crate) admitted: u64,
    pub(crate) denied: u64,
    /// It has the same columns as the timeline of all requests.
    pub(crate) timeline: Timeline,
}

/// Requests over time, in columns of one width from the earliest request on. What found no slot is
/// among the denied.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(crate) struct Timeline {
    pub(crate) width_nanos: u64,
    pub(crate) admitted: Vec<u64>,
    pub(crate) denied: Vec<u64>,
}

/// What `--find` found.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Found {
    /// The most that may be denied, as a share of 1.
    pub(crate) at_most: f64,
    /// `requests` or `keys`: of what the share is.
    pub(crate) of: String,
    /// One for each period.
    pub(crate) periods: Vec<FoundPeriod>,
}

impl Found {
    /// Returns whether the readings differ for any period.
    pub(crate) fn has_two_readings(&self) -> bool {
        self.periods.iter().any(|period| period.denied.len() > 1)
    }
}

/// The smallest quota of one period that denies few enough.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct FoundPeriod {
    /// `s`, `min`, `hour` or `day`.
    pub(crate) period: String,
    /// Cells a period, and the burst. `None` if none of those that were tried denies few enough.
    pub(crate) cells: Option<u64>,
    /// What it denies, by each reading: one, or `even` and then `none`. The larger share decides.
    pub(crate) denied: Vec<u64>,
    pub(crate) keys_denied: Vec<u64>,
    /// All that were tried, in ascending order: the cells, and the larger share denied.
    pub(crate) curve: Vec<(u64, f64)>,
}

impl FoundPeriod {
    /// Returns each reading with the requests and the keys that it denies. A single reading has no
    /// name.
    pub(crate) fn readings(&self) -> impl Iterator<Item = (Option<Spread>, u64, u64)> {
        let names = match self.denied.len() {
            2 => [Some(Spread::Even), Some(Spread::None)],
            _ => [None, None],
        };
        let counts = self.denied.iter().zip(&self.keys_denied);
        names.into_iter().zip(counts).map(|(name, (&denied, &keys))| (name, denied, keys))
    }
}
