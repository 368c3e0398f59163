//! The blocks' requests in the order of the blocks, whichever thread is first.

use std::collections::BTreeMap;

use super::batch::{Parsed, SHOWN, count};
use super::interner::Interner;
use super::order::Order;
use super::precision::Precision;
use super::verdict;
use crate::failure::Failure;
use crate::replay::traffic::{FileRead, Skipped, Traffic};

/// What was parsed so far.
pub(super) struct Collected {
    traffic: Traffic,
    order: Order,
    files: Vec<File>,
    /// The number of the block that is to be added next.
    next: u64,
    /// The blocks that were parsed before an earlier one was.
    waiting: BTreeMap<u64, (usize, Parsed)>,
}

/// A log, as far as it was collected.
#[derive(Default)]
struct File {
    /// All lines, blank ones and headers as well.
    lines: u64,
    /// The earliest and the latest time.
    times: Option<(i64, i64)>,
    precision: Precision,
}

impl Collected {
    pub(super) fn new(read: Vec<FileRead>) -> Self {
        let files = read.iter().map(|_| File::default()).collect();
        let mut traffic = Traffic::default();
        traffic.files = read;
        Self { traffic, order: Order::default(), files, next: 0, waiting: BTreeMap::new() }
    }

    /// Adds what block `number` says, which is of the log at `file`, once all blocks before it are
    /// there.
    ///
    /// # Errors
    ///
    /// Fails if there are too many large costs.
    pub(super) fn add(&mut self, number: u64, file: usize, parsed: Parsed) -> Result<(), Failure> {
        self.waiting.insert(number, (file, parsed));
        while let Some((file, parsed)) = self.waiting.remove(&self.next) {
            self.next += 1;
            self.append(file, &parsed)?;
        }
        Ok(())
    }

    fn append(&mut self, place: usize, parsed: &Parsed) -> Result<(), Failure> {
        let Self { traffic, order, files, .. } = self;
        let (file, read) = (&mut files[place], &mut traffic.files[place]);
        read.lines += parsed.lines - parsed.blank;
        read.matched += parsed.matched;
        for &(reason, lines) in &parsed.skipped {
            read.skipped += lines;
            traffic.skipped += lines;
            count(&mut traffic.skip_reasons, reason, lines);
        }
        let free = SHOWN - traffic.first_skipped.len();
        for &(line, reason) in parsed.first_skipped.iter().take(free) {
            let line = file.lines + line;
            traffic.first_skipped.push(Skipped { file: read.name.clone(), line, reason });
        }
        file.lines += parsed.lines;
        traffic.left_out += parsed.left_out;
        traffic.without_key += parsed.without_key;
        file.precision.extend(parsed.precision);
        for request in &parsed.requests {
            let time = request.time;
            let (earliest, latest) = file.times.unwrap_or((time, time));
            traffic.out_of_order += u64::from(time < latest);
            file.times = Some((earliest.min(time), latest.max(time)));
        }
        let added = traffic.requests.len();
        if !traffic.extend(&parsed.requests, &parsed.large) {
            return Err(Failure::new("the logs", "too many requests of 2^31 bytes or more"));
        }
        order.add(&mut traffic.requests, added);
        Ok(())
    }

    /// Sorts what was collected.
    ///
    /// # Errors
    ///
    /// Fails if no line is of a request, or if the requests span more than ten years.
    pub(super) fn finish(
        self,
        interner: Interner,
        warnings: Vec<String>,
        lacks: &str,
    ) -> Result<Traffic, Failure> {
        let Self { mut traffic, order, files, .. } = self;
        traffic.warnings = warnings;
        let places = files.iter().filter_map(|file| file.precision.places());
        traffic.places = places.min().unwrap_or(0);
        traffic.skip_reasons.sort_by_key(|&(_, lines)| std::cmp::Reverse(lines));
        verdict::counts(&mut traffic, lacks)?;
        verdict::span(&traffic, files.iter().map(|file| file.times))?;
        order.finish(&mut traffic.requests);
        traffic.keys = interner.finish(&mut traffic.requests);
        Ok(traffic)
    }
}
