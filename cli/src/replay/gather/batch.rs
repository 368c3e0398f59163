//! The lines of one block, taken apart.

use super::interner::{Interner, Pending};
use super::precision::Precision;
use super::segments::Segment;
use crate::failure::Failure;
use crate::replay::entry::{Reason, Wanted};
use crate::replay::format::Format;
use crate::replay::input::LONGEST;
use crate::replay::select::{Select, Selected};
use crate::replay::stamp::Stamps;
use crate::replay::traffic::Request;

/// How many skipped lines are shown.
pub(super) const SHOWN: usize = 5;

const TOO_LONG: Reason = "longer than 64 KiB";

/// What one block says.
#[derive(Debug, Default)]
pub(super) struct Parsed {
    /// All lines, blank ones and headers as well.
    pub(super) lines: u64,
    /// Blank lines and headers.
    pub(super) blank: u64,
    pub(super) matched: u64,
    pub(super) left_out: u64,
    pub(super) without_key: u64,
    /// How many lines were skipped for each reason.
    pub(super) skipped: Vec<(Reason, u64)>,
    /// The first lines that were skipped, counted from 1 within the block.
    pub(super) first_skipped: Vec<(u64, Reason)>,
    /// The requests in the order of their lines.
    pub(super) requests: Vec<Request>,
    /// The costs that do not fit into a request.
    pub(super) large: Vec<u64>,
    pub(super) precision: Precision,
}

impl Parsed {
    fn skip(&mut self, reason: Reason) {
        count(&mut self.skipped, reason, 1);
        if self.first_skipped.len() < SHOWN {
            self.first_skipped.push((self.lines, reason));
        }
    }
}

/// Adds to the lines that were skipped for a reason.
pub(super) fn count(skipped: &mut Vec<(Reason, u64)>, reason: Reason, lines: u64) {
    match skipped.iter_mut().find(|(one, _)| *one == reason) {
        Some((_, count)) => *count += lines,
        None => skipped.push((reason, lines)),
    }
}

/// Takes blocks apart, one after the other. Each thread has one.
pub(super) struct Batch<'a> {
    select: &'a dyn Select,
    wanted: Wanted,
    interner: &'a Interner,
    worker: usize,
    pending: Pending,
    key: Vec<u8>,
    /// How many requests the last block had.
    requests: usize,
}

impl<'a> Batch<'a> {
    pub(super) fn new(select: &'a dyn Select, interner: &'a Interner, worker: usize) -> Self {
        let (wanted, pending) = (select.wanted(), Pending::default());
        Self { select, wanted, interner, worker, pending, key: Vec::new(), requests: 0 }
    }

    /// Takes a block apart, and numbers its keys.
    ///
    /// # Errors
    ///
    /// Fails if there are more keys than numbers.
    pub(super) fn parse(&mut self, block: &[u8], segments: &[Segment]) -> Result<Parsed, Failure> {
        let mut parsed = Parsed::default();
        parsed.requests.reserve(self.requests);
        self.pending.clear();
        for segment in segments {
            let lines = &block[segment.lines.clone()];
            // Formats read times differently.
            let mut stamps = Stamps::default();
            let mut at = 0;
            for end in memchr::memchr_iter(b'\n', lines) {
                self.line(&lines[at..end], &*segment.format, &mut stamps, &mut parsed);
                at = end + 1;
            }
            if at < lines.len() {
                self.line(&lines[at..], &*segment.format, &mut stamps, &mut parsed);
            }
        }
        self.requests = parsed.requests.len();
        self.interner.number(&mut self.pending, &mut parsed.requests, self.worker)?;
        Ok(parsed)
    }

    fn line(&mut self, line: &[u8], format: &dyn Format, stamps: &mut Stamps, parsed: &mut Parsed) {
        parsed.lines += 1;
        let mut line = line;
        if line.len() > LONGEST {
            // A hole is no part of the line after it, and at the end of a log it is no line.
            line = &line[line.iter().take_while(|&&byte| byte == 0).count()..];
            if line.is_empty() {
                parsed.blank += 1;
                return;
            }
            if line.len() > LONGEST {
                return parsed.skip(TOO_LONG);
            }
        }
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let entry = match format.parse(line, self.wanted, stamps) {
            Ok(Some(entry)) => entry,
            Ok(None) => {
                parsed.blank += 1;
                return;
            }
            Err(reason) => return parsed.skip(reason),
        };
        parsed.matched += 1;
        self.key.clear();
        match self.select.select(&entry, &mut self.key) {
            Ok(Selected::Counts(cost)) => {
                let request = Request::new(entry.time.nanos, 0, cost, &mut parsed.large);
                parsed.requests.push(request);
                self.interner.add(&self.key, &mut self.pending);
                parsed.precision.add(entry.time);
            }
            Ok(Selected::LeftOut) => parsed.left_out += 1,
            Ok(Selected::WithoutKey) => parsed.without_key += 1,
            Err(reason) => parsed.skip(reason),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::{Batch, Parsed, TOO_LONG};
    use crate::replay::gather::interner::Interner;
    use crate::replay::gather::segments;
    use crate::replay::gather::testing::{ByClient, Words};
    use crate::replay::input::LONGEST;

    fn parse(format: Words, block: &[u8]) -> Parsed {
        let interner = Interner::new();
        let segments = segments::split(block, &mut (Arc::new(format) as _));
        Batch::new(&ByClient, &interner, 0).parse(block, &segments).expect("few keys")
    }

    fn times(parsed: &Parsed) -> Vec<i64> {
        parsed.requests.iter().map(|request| request.time / 1_000_000_000).collect()
    }

    #[test]
    fn every_line_is_counted_once() {
        let block = b"a 1\r\n\r\nleft 2\nno\n- 3\nb 4.25\nb 5.5 x\n#c\na x\nc 6\nno";
        let parsed = parse(Words::default(), block);
        assert_eq!((parsed.lines, parsed.blank, parsed.matched), (11, 2, 6));
        assert_eq!((parsed.left_out, parsed.without_key), (1, 1));
        assert_eq!(times(&parsed), [1, 4, 6]);
        assert_eq!(parsed.precision.fewest, Some(0));
        let reasons = [("no time", 2), ("no size", 1), ("a time that is no number", 1)];
        assert_eq!(parsed.skipped, reasons);
        let first =
            [(4, "no time"), (7, "no size"), (9, "a time that is no number"), (11, "no time")];
        assert_eq!(parsed.first_skipped, first);
    }

    #[test]
    fn only_the_places_of_requests_that_count_are_looked_at() {
        let fewest = |block| parse(Words::default(), block).precision.fewest;
        assert_eq!(fewest(b"left 1\n- 1\na 1.5\nb 1.250\n"), Some(1));
        assert_eq!(fewest(b"left 1\n"), None);
    }

    #[test]
    fn zeros_at_the_end_of_a_fraction_are_not_needed() {
        for (block, needed) in [
            ("a 1.000\na 2.000000\n", 0),
            ("a 1\na 2\n", 0),
            ("a 1.5\na 2\n", 3),
            ("a 1.120000\na 2.100000\n", 3),
            ("a 1.000000001\na 1.5\n", 9),
            ("left 1.5\na 1.0\n", 0),
        ] {
            let parsed = parse(Words::default(), block.as_bytes());
            assert_eq!(parsed.precision.needed, needed, "{block}");
        }
    }

    #[test]
    fn a_line_is_too_long_only_above_the_limit() {
        let mut block = b"a 1 1".to_vec();
        block.resize(LONGEST, b' ');
        block.push(b'\n');
        block.extend_from_slice(&[b'x'; LONGEST + 1]);
        block.extend_from_slice(b"\nc 3\n");
        let parsed = parse(Words::default(), &block);
        assert_eq!((times(&parsed), parsed.lines), (vec![1, 3], 3));
        assert_eq!(parsed.first_skipped, [(2, TOO_LONG)]);
    }

    #[test]
    fn a_hole_makes_no_line_too_long() {
        let hole = [0; LONGEST + 1];
        let block = [b"a 1\n", &hole[..], b"b 2\n", &hole, b"\n", &hole].concat();
        let parsed = parse(Words::default(), &block);
        assert_eq!((times(&parsed), parsed.lines, parsed.blank), (vec![1, 2], 4, 2));
        assert_eq!(parsed.first_skipped, []);
    }

    #[test]
    fn columns_are_read_as_the_header_before_them_says() {
        let parsed = parse(Words::with_headers(), b"a 1\n#swap\n2 a\n#swap\na 3\n2 a\n");
        assert_eq!(times(&parsed), [1, 2, 3]);
        assert_eq!(parsed.first_skipped, [(6, "a time that is no number")]);
    }
}
