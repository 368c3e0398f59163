//! What was read: the requests in the order of their times.

use serde::Serialize;

use super::entry::Reason;

/// One request that counts. Sixteen bytes, because a log may have a billion of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Request {
    /// Nanoseconds since 1970, of the beginning of the stamp's tick.
    pub(crate) time: i64,
    /// The number of its key.
    pub(crate) key: u32,
    /// What it costs; from `LARGE` on, `LARGE` and the index of the cost in a list.
    cost: u32,
}

/// What was read.
#[derive(Debug, Default)]
pub(crate) struct Traffic {
    /// By time; requests of one time in the order of the files.
    pub(crate) requests: Vec<Request>,
    large: Vec<u64>,
    pub(crate) keys: super::gather::Keys,
    /// The fewest decimal places of the seconds in any stamp: 0 for whole seconds.
    pub(crate) places: u8,
    pub(crate) files: Vec<FileRead>,
    pub(crate) skipped: u64,
    pub(crate) first_skipped: Vec<Skipped>,
    /// What the filters left out.
    pub(crate) left_out: u64,
    /// Requests without a key: they have no user, or no client.
    pub(crate) without_key: u64,
    /// Requests whose time is earlier than one before them in the order in which they were read.
    pub(crate) out_of_order: u64,
    /// What else is to be said of the input, a line each.
    pub(crate) warnings: Vec<String>,
}

/// One file of the input.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct FileRead {
    pub(crate) name: String,
    pub(crate) format: String,
    pub(crate) lines: u64,
    /// The lines that are of the format.
    pub(crate) matched: u64,
}

/// A line that could not be used.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Skipped {
    pub(crate) file: String,
    pub(crate) line: u64,
    pub(crate) reason: Reason,
}

const LARGE: u32 = 1 << 31;

impl Request {
    /// Creates a request. A cost from 2^31 on is put into `large`.
    pub(crate) fn new(time: i64, key: u32, cost: u64, large: &mut Vec<u64>) -> Self {
        let cost = if cost < u64::from(LARGE) {
            cost as u32
        } else {
            large.push(cost);
            LARGE | (large.len() - 1) as u32
        };
        Self { time, key, cost }
    }
}

impl Traffic {
    /// What the request costs, in cells.
    pub(crate) fn cost(&self, request: &Request) -> u64 {
        match request.cost {
            cost @ ..LARGE => u64::from(cost),
            place => self.large[(place & !LARGE) as usize],
        }
    }
}
