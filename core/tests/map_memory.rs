//! Memory is bounded by what is in the map, whatever passed through it, and comes back when that has
//! gone.
//!
//! Bytes are counted by thread, so all that a test allocates and frees it does on its own.

#[path = "common/allocator.rs"]
mod allocator;
mod common;

use allocator::live;
use common::memory::{CROSSBEAM, drain};
use tidegate_core::{Budget, Domain, Instant, Map, SeededState, Sweep};

/// The process's memory in KiB, as the system counts it; 0 where it does not tell. It is reported
/// only: what an allocator returns to the system is its own affair.
fn resident_memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.trim().strip_suffix(" kB")?.parse().ok()).unwrap_or(0)
}

/// `resident` keys at a time, of which each stays for so many insertions; half of them are removed
/// by name and half by the sweep.
fn churn(resident: u64, insertions: u64) {
    // A second is an insertion.
    let at = Instant::from_secs;
    let resident_at_first = resident_memory();
    let before = live();
    let domain = Domain::new();
    let map: Map<u64, u64> = Map::with(&domain, SeededState::new(67));
    let mut worker = domain.worker();
    let stale = |&key: &u64, _: &u64, now| key % 2 == 1 && at(key + resident) <= now;
    let mut sweep = map.sweeper(domain.worker(), stale);
    // A map with nothing in it, and the workers.
    let empty = live() - before;

    for key in 0..resident {
        map.insert(key, key, worker.quiescent(at(key))).expect("memory");
    }
    while map.force_help(worker.quiescent(at(resident))) {}
    drain(&mut worker, at(resident));
    // The same with the keys, settled.
    let filled = live() - before;
    assert!(filled > empty + resident as usize * 24);
    let resident_when_filled = resident_memory();

    let mut most = 0;
    for key in resident..resident + insertions {
        let guard = worker.quiescent(at(key));
        map.insert(key, key, guard).expect("memory");
        let old = key - resident;
        if old.is_multiple_of(2) {
            assert_eq!(map.remove(&old, guard), Ok(Some(&old)));
        }
        if key % 64 == 0 {
            sweep.sweep(at(key), Budget::entries(1_024));
            most = most.max(live() - before);
        }
    }
    assert!(map.len() as u64 >= resident);
    assert!(most * 2 <= filled * 3, "{most} bytes of {filled}");
    assert!(most > filled / 2, "nothing is counted");

    let resident_after_churn = resident_memory();

    let end = at(2 * resident + insertions);
    for key in insertions..resident + insertions {
        let removed = map.remove(&key, worker.quiescent(end)).expect("memory").copied();
        assert!(removed == Some(key) || key % 2 == 1);
    }
    drop(sweep);
    // Nobody changes the map any more: only the sweep's passes can have it shrink. What is stale
    // was removed by the first; the others remove nothing.
    let mut last = map.sweeper(domain.worker(), |&key, _, _| key % 2 == 1);
    while !last.sweep(end, Budget::entries(1_000)).wrapped {}
    drop(last);
    let mut sweep = map.sweeper(domain.worker(), |_, _, _| false);
    assert!(map.is_empty());
    let mut passes = 0;
    while map.buckets(worker.quiescent(end)) > 64 {
        passes += 1;
        assert!(passes <= 100, "{} buckets are left", map.buckets(worker.quiescent(end)));
        while !sweep.sweep(end, Budget::entries(1_000)).wrapped {
            // Or it would hold back what the sweep would free.
            worker.quiescent(end);
        }
    }
    worker.offline(|| ());
    drain(&mut worker, end);
    let left = live() - before;
    let most_left = empty + filled / 100 + CROSSBEAM;
    assert!(left <= most_left, "{left} bytes are left, of {filled}; {empty} when it was new");

    let resident_when_empty = resident_memory();

    drop(sweep);
    drop((worker, map, domain));
    // To the byte: neither the map nor crossbeam keeps any.
    assert_eq!(live(), before);
    // At the end only, for what is printed is kept in memory too.
    println!("{insertions} insertions: {filled} bytes at the start, at most {most}");
    println!("{left} bytes left, {empty} when it was new; {passes} passes");
    println!(
        "resident memory in KiB: {resident_at_first} at first, {resident_when_filled} filled, \
         {resident_after_churn} after the churn, {resident_when_empty} emptied"
    );
}

#[test]
fn a_table_that_is_not_needed_after_all_is_given_up() {
    let now = Instant::from_secs(1);
    let domain = Domain::new();
    let map: Map<u64, u64> = Map::with(&domain, SeededState::new(71));
    let mut worker = domain.worker();
    // A few more than are right for 2^14 buckets: a table of 2^15, 256 KiB, is begun.
    let mut keys = 0;
    while keys <= (1 << 14) / 4 * 3 + 4 {
        map.insert(keys, keys, worker.quiescent(now)).expect("memory");
        keys += 1;
    }
    while map.force_help(worker.quiescent(now)) {}
    assert_eq!(map.buckets(worker.quiescent(now)), 1 << 14);
    for key in 0..100 {
        assert!(map.remove(&key, worker.quiescent(now)).is_ok_and(|value| value.is_some()));
    }
    worker.offline(|| ());
    drain(&mut worker, now);
    let before = live();
    map.sweeper(domain.worker(), |_, _, _| false).sweep(now, Budget::entries(1));
    assert!(before - live() > 250 << 10, "{before} bytes and then {}", live());
}

#[test]
fn memory_stays_and_returns_in_a_million_insertions() {
    churn(20_000, 1_000_000);
}

#[test]
#[ignore = "long: cargo test --release -p tidegate-core --test map_memory -- --ignored --nocapture"]
fn memory_stays_and_returns_in_100_million_insertions() {
    churn(1_000_000, 100_000_000);
}
