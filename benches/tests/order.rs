//! What evicts is what was modelled: the cache hits as often as the sequential model of its order,
//! with one thread and with eight.

use std::path::Path;

use tidegate::SeededState;
use tidegate_benches::cache::model::Model;
use tidegate_benches::cache::replay::{self, Trace};
use tidegate_benches::cache::synthetic;

/// How many points in a hundred the cache may be short of the model with one thread.
const SHORT: f64 = 0.5;
/// How many with more threads than there are processors. A thread that is interrupted keeps what it has
/// taken from the order, and what it was about to insert, for as long.
const SHORT_INTERRUPTED: f64 = 1.5;
/// The check with several threads is repeated up to five times: an interrupted thread only loses hits.
const TRIES: usize = 5;
/// How many points in a hundred the cache may be ahead.
const AHEAD: f64 = 2.0;
/// The seeds of the model's hashes. With each the keys share other lines of the history, so that
/// the model itself hits more or less often.
const SEEDS: std::ops::Range<u64> = 0x5eed..0x5efd;
/// Names a folder of real traces.
const FOLDER: &str = "TIDEGATE_TRACES";

fn modelled(trace: &[u64], room: usize, seed: u64) -> f64 {
    let mut model = Model::new(room, SeededState::new(seed));
    let hits = trace.iter().filter(|&&key| model.access(key)).count();
    hits as f64 * 100.0 / trace.len() as f64
}

/// Returns what is wrong with the hits of the cache, if anything is.
fn wrong(trace: &Trace, room: usize, threads: usize, modelled: &[f64]) -> Option<String> {
    let least = modelled.iter().copied().fold(f64::MAX, f64::min);
    let most = modelled.iter().copied().fold(0.0, f64::max);
    let (short, tries) = if threads == 1 { (SHORT, 1) } else { (SHORT_INTERRUPTED, TRIES) };
    let right = least - short..=most + AHEAD;
    let tries = (0..tries).map(|_| replay::replay(&trace.keys, room, threads)).inspect(|hits| {
        eprintln!(
            "{:20} {room:6} {threads} threads: {hits:.2}, model {least:.2} to {most:.2}",
            trace.name
        );
    });
    let mut found = Vec::new();
    for hits in tries {
        if right.contains(&hits) {
            return None;
        }
        found.push(hits);
    }
    Some(format!("{} {room}, {threads} threads: {found:.2?}, not {right:.2?}", trace.name))
}

fn check(cases: impl Iterator<Item = (Trace, usize)>) {
    let mut all_wrong = Vec::new();
    for (trace, room) in cases {
        let modelled: Vec<f64> = SEEDS.map(|seed| modelled(&trace.keys, room, seed)).collect();
        // The second of a pair comes to another thread before the first has inserted the key.
        let threads: &[usize] = if trace.name == "pairs" { &[1] } else { &[1, 8] };
        all_wrong.extend(threads.iter().filter_map(|&n| wrong(&trace, room, n, &modelled)));
    }
    assert!(all_wrong.is_empty(), "{all_wrong:#?}");
}

#[test]
fn synthetic_traces_hit_as_the_model_says() {
    const KEYS: usize = 20_000;
    const REQUESTS: usize = 200_000;
    let traces = [
        ("zipf 0.8", synthetic::zipf(KEYS, 0.8, REQUESTS), 1_000),
        ("zipf 1.0", synthetic::zipf(KEYS, 1.0, REQUESTS), 1_000),
        ("zipf 1.2", synthetic::zipf(KEYS, 1.2, REQUESTS), 1_000),
        ("scans", synthetic::scans(KEYS, REQUESTS), 1_000),
        ("rounds", synthetic::rounds(1_500, REQUESTS), 1_000),
        ("drift", synthetic::drift(20, REQUESTS), 1_000),
        ("shift", synthetic::shift(30_000, REQUESTS), 1_000),
        ("pairs", synthetic::pairs(KEYS, REQUESTS), 1_000),
    ];
    check(traces.into_iter().map(|(name, keys, room)| (Trace::new(name, keys), room)));
}

#[test]
fn real_traces_hit_as_the_model_says() {
    let Some(folder) = std::env::var_os(FOLDER) else {
        eprintln!("skipped: {FOLDER} names no folder of traces");
        return;
    };
    let traces = replay::read(Path::new(&folder)).expect("a folder of traces");
    let rooms = |trace: Trace| [100, 20, 5].map(|part| (trace.clone(), trace.room(part)));
    check(traces.into_iter().flat_map(rooms));
}

#[test]
fn the_model_holds_no_more_than_its_room() {
    let trace = synthetic::scans(10_000, 100_000);
    for room in [1, 2, 16, 100, 5_000] {
        let mut model = Model::new(room, SeededState::new(1));
        for &key in &trace {
            model.access(key);
            assert!(model.len() <= room, "{} of {room}", model.len());
            assert!(model.access(key), "what was asked for is there");
        }
        assert_eq!(model.len(), room, "full");
    }
}

/// What each rule of the order is there for: none of these may fall back to what an LRU does.
#[test]
fn the_model_keeps_what_comes_again() {
    let requests = 200_000;
    // An LRU hits 0.
    let rounds = modelled(&synthetic::rounds(1_500, requests), 1_000, 1);
    assert!(rounds > 60.0, "rounds: {rounds}");
    // An LRU hits 37 and 60.
    let scans = modelled(&synthetic::scans(20_000, requests), 1_000, 1);
    assert!(scans > 44.0, "scans: {scans}");
    let zipf = modelled(&synthetic::zipf(20_000, 1.0, requests), 1_000, 1);
    assert!(zipf > 66.0, "zipf: {zipf}");
    // An LRU hits every second access, and one that evicts at once what is new hits none.
    let pairs = modelled(&synthetic::pairs(20_000, requests), 1_000, 1);
    assert!(pairs > 50.0, "pairs: {pairs}");
}
