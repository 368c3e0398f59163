//! Who is in the map all the while is found all the while: by those who look for one key, and by
//! those who look at all of them, however the table grows and shrinks and whoever comes and goes.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use tidegate_core::map::Cursor;
use tidegate_core::{Budget, Domain, Instant, Map, SeededState, Sweep, Worker};

const NOW: Instant = Instant::from_secs(1);
const RESIDENTS: u32 = 10_000;
/// Keys from here on come and go.
const VISITORS: u32 = 1 << 20;

/// Sets a flag at its end, also in a panic: who waits for the flag would wait for ever.
struct Ends<'a>(&'a AtomicBool);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// What a resident is to have for a value.
fn value(key: u32) -> u64 {
    u64::from(key).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

fn inhabited(domain: &Domain) -> Map<u32, u64> {
    let map = Map::with(domain, SeededState::new(41));
    let mut worker = domain.worker();
    for key in 0..RESIDENTS {
        map.insert(key, value(key), worker.quiescent(NOW)).expect("memory");
    }
    map
}

/// Makes the table grow and shrink by turns and at random, and other keys come and go, until it was
/// replaced `resizes` times or `enough` says so. Returns how often it was, and how many operations
/// that took.
fn disturb(
    map: &Map<u32, u64>,
    worker: &mut Worker,
    seed: u64,
    enough: impl Fn(u64) -> bool,
) -> (u64, u64) {
    let mut random = fastrand::Rng::with_seed(seed);
    let (mut resizes, mut operations) = (0, 0);
    while !enough(resizes) {
        let guard = worker.quiescent(NOW);
        for _ in 0..16 {
            let key = VISITORS + random.u32(0..2_000);
            if random.bool() {
                map.insert(key, 0, guard).expect("memory");
            } else {
                map.remove(&key, guard).expect("memory");
            }
            operations += 1;
        }
        // At least half a bucket to an entry, so that no bucket can be full.
        let buckets = map.buckets(guard);
        let grow = buckets < 8_192 || (buckets < 65_536 && random.bool());
        resizes += u64::from(map.force_resize(grow, guard));
        for _ in 0..200 {
            map.force_help(guard);
        }
        worker.collect(NOW, Budget::entries(2_000));
    }
    (resizes, operations)
}

fn find_residents(resizes: u64) {
    let domain = Domain::new();
    let map = inhabited(&domain);
    let (done, reads, misses) = (AtomicBool::new(false), AtomicU64::new(0), AtomicU64::new(0));
    let mut began = 0;
    let mut churned = 0;
    std::thread::scope(|scope| {
        let _ends = Ends(&done);
        for reader in 0..2 {
            let (map, domain, done) = (&map, &domain, &done);
            let (reads, misses) = (&reads, &misses);
            scope.spawn(move || {
                let mut worker = domain.worker();
                let mut mine = 0;
                while !done.load(Ordering::Relaxed) {
                    let mut missed = 0;
                    for first in (0..RESIDENTS).step_by(100) {
                        let guard = worker.quiescent(NOW);
                        let keys: [u32; 100] = std::array::from_fn(|index| first + index as u32);
                        // One reader looks one key up at a time, the other all of them at once.
                        let mut found = [None; 100];
                        if reader == 0 {
                            for (key, found) in keys.iter().zip(&mut found) {
                                *found = map.get(key, guard);
                            }
                        } else {
                            map.get_many(&keys, &mut found, guard);
                        }
                        for (&key, found) in keys.iter().zip(found) {
                            missed += u64::from(found != Some(&value(key)));
                        }
                    }
                    mine += u64::from(RESIDENTS);
                    misses.fetch_add(missed, Ordering::Relaxed);
                }
                reads.fetch_add(mine, Ordering::Relaxed);
            });
        }
        let writers: Vec<_> = (0..2)
            .map(|writer| {
                let (map, domain) = (&map, &domain);
                scope.spawn(move || {
                    let enough = |done| done >= resizes / 2;
                    disturb(map, &mut domain.worker(), writer, enough)
                })
            })
            .collect();
        for writer in writers {
            let (resized, operations) = writer.join().expect("no panic");
            began += resized;
            churned += operations;
        }
    });
    let reads = reads.into_inner();
    println!("{reads} reads, {began} forced resizes, {churned} insertions and removals");
    assert_eq!(misses.into_inner(), 0, "of {reads} reads");
    assert!(began >= resizes);
    assert!(reads > began * 100, "too few reads: {reads}");
}

#[test]
fn a_resident_is_found_by_every_read_during_a_thousand_resizes() {
    find_residents(1_000);
}

#[test]
#[ignore = "long: cargo test --release -p tidegate-core --test map_residents -- --ignored --nocapture"]
fn a_resident_is_found_by_every_read_during_10_thousand_resizes() {
    find_residents(10_000);
}

/// One scan; no guard lives from one of its steps to the next.
fn scan(map: &Map<u32, u64>, worker: &mut Worker, random: &mut fastrand::Rng) -> Vec<bool> {
    let mut seen = vec![false; RESIDENTS as usize];
    let mut cursor = Cursor::START;
    loop {
        let budget = random.usize(1..200);
        let mut visited = 0;
        let visit = |&key: &u32, found: &u64| {
            visited += 1;
            if key < RESIDENTS {
                assert_eq!(*found, value(key));
                seen[key as usize] = true;
            }
        };
        let guard = worker.quiescent(NOW);
        cursor = map.scan(cursor, Budget::entries(budget), visit, guard);
        assert!(visited <= budget + 64, "{visited} visited, of {budget}");
        if cursor == Cursor::START {
            return seen;
        }
        if random.u8(..) < 4 {
            worker.offline(std::thread::yield_now);
        }
    }
}

/// One pass of a sweep that removes nothing but visitors, and those at random.
fn pass(map: &Map<u32, u64>, worker: Worker, random: &mut fastrand::Rng) -> Vec<bool> {
    let mut seen = vec![false; RESIDENTS as usize];
    let mut dice = random.fork();
    let stale = |&key: &u32, found: &u64, _| {
        if key < RESIDENTS {
            assert_eq!(*found, value(key));
            seen[key as usize] = true;
        }
        key >= RESIDENTS && dice.bool()
    };
    let mut sweep = map.sweeper(worker, stale);
    loop {
        let budget = random.usize(1..200);
        let step = sweep.sweep(NOW, Budget::entries(budget));
        assert!(step.visited + step.freed <= budget + 64, "{step:?}, of {budget}");
        if step.wrapped {
            drop(sweep);
            return seen;
        }
    }
}

fn see_residents(scans: u64) {
    let domain = Domain::new();
    let map = inhabited(&domain);
    let done = AtomicBool::new(false);
    let (resizes, operations) = std::thread::scope(|scope| {
        let ends = Ends(&done);
        let disturber = scope
            .spawn(|| disturb(&map, &mut domain.worker(), 7, |_| done.load(Ordering::Relaxed)));
        let mut worker = domain.worker();
        let mut random = fastrand::Rng::with_seed(11);
        for round in 0..scans {
            let seen = match round % 3 {
                0 => pass(&map, domain.worker(), &mut random),
                1 => {
                    let guard = worker.quiescent(NOW);
                    let mut seen = vec![false; RESIDENTS as usize];
                    for (&key, _) in map.iter(guard).filter(|&(&key, _)| key < RESIDENTS) {
                        seen[key as usize] = true;
                    }
                    seen
                }
                _ => scan(&map, &mut worker, &mut random),
            };
            let missed = seen.iter().filter(|&&seen| !seen).count();
            assert_eq!(missed, 0, "residents that scan {round} did not see");
        }
        drop(ends);
        disturber.join().expect("no panic")
    });
    println!("{scans} scans, {resizes} forced resizes, {operations} insertions and removals");
    assert!(resizes > scans / 2, "the table hardly changed: {resizes} forced resizes");
}

#[test]
fn a_resident_is_seen_by_every_scan_of_200() {
    see_residents(200);
}

#[test]
#[ignore = "long: cargo test --release -p tidegate-core --test map_residents -- --ignored --nocapture"]
fn a_resident_is_seen_by_every_scan_of_5_thousand() {
    see_residents(5_000);
}
