//! What was read: the requests in the order of their times.

use serde::Serialize;

use super::entry::Reason;
use super::keys::Keys;

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

/// The requests that count, and the numbers of the lines and requests that do not.
#[derive(Debug, Default)]
pub(crate) struct Traffic {
    /// By time; requests of one time in the order of the files.
    pub(crate) requests: Vec<Request>,
    large: Vec<u64>,
    pub(crate) keys: Keys,
    /// The decimal places of the seconds, by the coarsest clock of a log: 0 for whole seconds.
    pub(crate) places: u8,
    pub(crate) files: Vec<FileRead>,
    pub(crate) skipped: u64,
    /// How many lines were skipped for each reason, the most frequent first.
    pub(crate) skip_reasons: Vec<(Reason, u64)>,
    pub(crate) first_skipped: Vec<Skipped>,
    /// What the filters left out.
    pub(crate) left_out: u64,
    /// Requests without a key: they have no user, or no client.
    pub(crate) without_key: u64,
    /// Requests whose time is earlier than that of one before them in their file.
    pub(crate) out_of_order: u64,
    /// What else is to be said of the input, a line each.
    pub(crate) warnings: Vec<String>,
}

/// One file of the input.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct FileRead {
    pub(crate) name: String,
    /// Empty if the file has no lines.
    pub(crate) format: String,
    /// All lines but blank ones and headers.
    pub(crate) lines: u64,
    /// The lines that are of the format.
    pub(crate) matched: u64,
    /// The lines that could not be used: they are not of the format, or they lack what is the key
    /// or the cost.
    pub(crate) skipped: u64,
}

impl FileRead {
    /// Returns whether more than one line in ten was skipped, so that the answer is not to be
    /// trusted.
    pub(crate) fn is_doubtful(&self) -> bool {
        self.skipped > self.lines / 10
    }
}

/// A line that could not be used.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Skipped {
    pub(crate) file: String,
    pub(crate) line: u64,
    pub(crate) reason: Reason,
}

const LARGE: u32 = 1 << 31;

/// The most requests whose cost is large.
const MOST_LARGE: usize = LARGE as usize;

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
    /// Adds requests, whose large costs are in `large`. Returns `false`, and adds nothing, if there
    /// are too many large costs to number.
    #[must_use]
    pub(crate) fn extend(&mut self, requests: &[Request], large: &[u64]) -> bool {
        let before = self.large.len();
        if large.len() > MOST_LARGE - before {
            return false;
        }
        self.large.extend_from_slice(large);
        let start = self.requests.len();
        self.requests.extend_from_slice(requests);
        if !large.is_empty() {
            for request in &mut self.requests[start..] {
                if request.cost >= LARGE {
                    // The sum stays below 2^31, so that it does not reach the mark.
                    request.cost += before as u32;
                }
            }
        }
        true
    }

    /// Returns what the request costs, in cells.
    pub(crate) fn cost(&self, request: &Request) -> u64 {
        match request.cost {
            cost @ ..LARGE => u64::from(cost),
            place => self.large[(place & !LARGE) as usize],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{FileRead, LARGE, Request, Traffic};

    #[test]
    fn costs_of_any_size_survive_the_joining_of_lists() {
        let costs = [0, 1, u64::from(LARGE) - 1, u64::from(LARGE), u64::MAX];
        let mut traffic = Traffic::default();
        for round in 0..3 {
            let mut large = Vec::new();
            let requests = costs.map(|cost| Request::new(round, 7, cost, &mut large));
            assert_eq!(large.len(), 2);
            assert!(traffic.extend(&requests, &large));
        }
        let found: Vec<u64> = traffic.requests.iter().map(|one| traffic.cost(one)).collect();
        assert_eq!(found, costs.repeat(3));
        assert_eq!(size_of::<Request>(), 16);
    }

    #[test]
    fn a_file_is_doubtful_if_more_than_one_line_in_ten_was_skipped() {
        let file = |lines, skipped| {
            let (name, format) = (String::new(), String::new());
            FileRead { name, format, lines, matched: 0, skipped }.is_doubtful()
        };
        assert_eq!([file(0, 0), file(100, 10), file(9, 0)], [false; 3]);
        assert_eq!([file(100, 11), file(9, 1), file(1, 1)], [true; 3]);
        // Ten lines of 109 are less than one in ten; eleven are more.
        assert_eq!([file(109, 10), file(109, 11)], [false, true]);
    }
}
