//! Hits of a trace, and the most that each cache held.

use super::super::model::Model;
use super::Replayed;
use super::folder::Trace;
use super::subject::{Lru, MokaSubject, OurSubject, QuickSubject, Room, Subject};
use crate::measure::Row;
use crate::workload::fresh;

/// A cache that held more than this many hundredths over its room is not compared.
const MOST_OVER: u64 = 2;
/// Objects are of one KiB at least, and of one MiB at most.
const SMALLEST: f64 = 1024.0;
const LARGEST: f64 = 1024.0 * 1024.0;

/// What a cache did with a trace.
struct Outcome {
    name: &'static str,
    /// Hits in a hundred: of the requests, and of the bytes that they asked for.
    objects: f64,
    bytes: f64,
    /// The most that it held.
    held: u64,
}

/// Replays a trace, and asks how much is held after each access.
fn outcome<S: Subject>(trace: &Trace, room: Room, size: impl Fn(u64) -> u64) -> Outcome {
    let mut subject = S::new(room);
    let (mut hits, mut bytes, mut asked, mut held) = (0_u64, 0_u64, 0_u64, 0);
    for &key in &trace.keys {
        let size = size(key);
        asked += size;
        if subject.access(key, size) {
            hits += 1;
            bytes += size;
        } else {
            held = subject.held().max(held);
        }
    }
    let objects = hits as f64 * 100.0 / trace.keys.len() as f64;
    Outcome { name: S::NAME, objects, bytes: bytes as f64 * 100.0 / asked as f64, held }
}

/// Measures the hits of caches with room for `room` entries.
pub(super) fn entries(trace: &Trace, room: usize, row: &mut impl FnMut(Replayed)) {
    let most = Room::Entries(room);
    let size = |_| 1;
    let ours = outcome::<OurSubject>(trace, most, size);
    let theirs = [
        outcome::<MokaSubject>(trace, most, size),
        outcome::<QuickSubject>(trace, most, size),
        outcome::<Lru>(trace, most, size),
        outcome::<Model>(trace, most, size),
    ];
    for theirs in theirs {
        let case = format!("hits {}", trace.name);
        row(compared(case, room, (ours.objects, theirs.objects), "hits in 100", &theirs));
    }
}

/// Hits of caches with room for one in `part` of a trace's bytes, each key an object of a size of
/// its own.
pub(super) fn sized(trace: &Trace, part: usize, row: &mut impl FnMut(Replayed)) {
    let mut distinct = trace.keys.clone();
    distinct.sort_unstable();
    distinct.dedup();
    let all: u64 = distinct.iter().map(|&key| size(key)).sum();
    let bytes = all / part as u64;
    let room = Room::Bytes { bytes, objects: trace.room(part) };
    let ours = outcome::<OurSubject>(trace, room, size);
    let theirs = [
        outcome::<MokaSubject>(trace, room, size),
        outcome::<QuickSubject>(trace, room, size),
        outcome::<Lru>(trace, room, size),
    ];
    for theirs in theirs {
        let (name, room) = (&trace.name, bytes as usize);
        let objects = (ours.objects, theirs.objects);
        row(compared(format!("objects {name}"), room, objects, "objects in 100", &theirs));
        let bytes = (ours.bytes, theirs.bytes);
        row(compared(format!("bytes {name}"), room, bytes, "bytes in 100", &theirs));
    }
}

/// Returns the size of an object: as those of a CDN, most are small, and half of the bytes are those
/// of a few large ones. The number of objects above a size falls as the size rises.
fn size(key: u64) -> u64 {
    let uniform = (fresh(key ^ 0x0b1ec7) >> 11) as f64 / (1_u64 << 53) as f64;
    // A Pareto distribution with exponent 1.
    (SMALLEST / (1.0 - uniform)).min(LARGEST) as u64
}

/// A row of shares. A rival that held too much is shown, but not compared.
fn compared(
    case: String,
    room: usize,
    (ours, theirs): (f64, f64),
    unit: &'static str,
    rival: &Outcome,
) -> Replayed {
    let within = rival.held <= room as u64 + room as u64 * MOST_OVER / 100;
    let ratio = match (ours, theirs) {
        _ if !within => f64::NAN,
        (ours, theirs) if ours == theirs => 1.0,
        (ours, theirs) => ours / theirs,
    };
    let row = Row {
        bench: "cache",
        case,
        keys: room,
        threads: 1,
        ours_ns: ours,
        rival: rival.name,
        rival_ns: theirs,
        ratio,
        unit: Some(unit),
    };
    Replayed { row, held: Some(rival.held) }
}
