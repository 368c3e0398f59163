//! Reads blocks of lines, and makes requests in the order of their times.

mod batch;
mod collect;
mod interner;
mod order;
mod precision;
mod reading;
mod segments;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod verdict;

use std::sync::Mutex;
use std::thread;

use self::batch::Batch;
use self::collect::Collected;
use self::interner::Interner;
use self::reading::{Detect, Reading};
use super::input::{Block, Sources};
use super::select::Select;
use super::threads::threads;
use super::traffic::Traffic;
use crate::failure::Failure;

/// Reads all logs on all cores, and sorts the requests that count by time. Requests of one time are
/// in the order of their logs, and logs are in the order of their first times.
///
/// # Errors
///
/// Fails if a log cannot be read, if no line of the logs is of a request, and if they span more than
/// ten years.
pub(crate) fn gather(
    sources: &Sources,
    detect: &Detect<'_>,
    select: &dyn Select,
) -> Result<Traffic, Failure> {
    gather_on(threads(), sources, detect, select)
}

fn gather_on(
    threads: usize,
    sources: &Sources,
    detect: &Detect<'_>,
    select: &dyn Select,
) -> Result<Traffic, Failure> {
    let (reading, files) = Reading::new(sources, detect)?;
    let collected = Mutex::new(Collected::new(files));
    let reading = Mutex::new(reading);
    let interner = Interner::new();
    let work = |worker| {
        let result = work(worker, &reading, &interner, &collected, select);
        if result.is_err() {
            reading.lock().expect("no thread panics").stop();
        }
        result
    };
    thread::scope(|scope| {
        let others: Vec<_> = (1..threads).map(|worker| scope.spawn(move || work(worker))).collect();
        let first = work(0);
        let others = others.into_iter().map(|other| other.join().expect("no thread panics"));
        others.fold(first, Result::and)
    })?;
    let mut warnings = sources.warnings.clone();
    warnings.extend(reading.into_inner().expect("no thread panics").finish());
    collected.into_inner().expect("no thread panics").finish(interner, warnings, select.lacks())
}

/// Takes blocks in turn with the other threads, until there are no more.
fn work(
    worker: usize,
    reading: &Mutex<Reading>,
    interner: &Interner,
    collected: &Mutex<Collected>,
    select: &dyn Select,
) -> Result<(), Failure> {
    let mut block = Block::new();
    let mut batch = Batch::new(select, interner, worker);
    loop {
        let next = reading.lock().expect("no thread panics").next(&mut block)?;
        let Some(place) = next else { return Ok(()) };
        let parsed = batch.parse(block.bytes(), &place.segments)?;
        collected.lock().expect("no thread panics").add(place.number, place.file, parsed)?;
    }
}
