//! Processes that share a table and are killed at any instruction.
//!
//! Four processes check keys. All but one are killed at random and started again. Each admission is
//! entered into a ledger, a second mapped file, after the check. So at most one call of each kill
//! is in the table and not in the ledger.
//!
//! `TIDEGATE_SHARED_CHECKS` sets how many checks all make together: 10^6 by default.
#![cfg(target_os = "linux")]
#![allow(missing_docs)]

use std::os::fd::AsRawFd;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant as Wall};

use tidegate::lockfree::bucket::Set;
use tidegate::shared::{KernelClock, SharedTable};
use tidegate::{Clock, Instant, Quota};

const WORKERS: usize = 4;
/// Keys of one worker alone, and keys of all, both of a bucket that nothing flows into.
const OWN: usize = 8;
const COMMON: usize = 8;
/// Cells of such a bucket.
const DEPTH: u64 = 1_000_000_000;
const FOLDER: &str = "TIDEGATE_SHARED_FOLDER";
const WORKER: &str = "TIDEGATE_SHARED_WORKER";
const CHECKS: &str = "TIDEGATE_SHARED_CHECKS";

/// A worker's lines in the ledger.
#[repr(C)]
struct Ledger {
    checks: AtomicU64,
    own: [AtomicU64; OWN],
    common: [AtomicU64; COMMON],
    /// Admissions of the key whose bucket fills as time passes.
    flowing: AtomicU64,
}

fn ledger(folder: &Path) -> &'static [Ledger; WORKERS] {
    let path = folder.join("ledger");
    let open =
        std::fs::OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path);
    let file = open.unwrap();
    file.set_len(size_of::<[Ledger; WORKERS]>() as u64).unwrap();
    let (bytes, both) = (size_of::<[Ledger; WORKERS]>(), libc::PROT_READ | libc::PROT_WRITE);
    // SAFETY: the kernel chooses the address.
    let start = unsafe {
        libc::mmap(std::ptr::null_mut(), bytes, both, libc::MAP_SHARED, file.as_raw_fd(), 0)
    };
    assert_ne!(start, libc::MAP_FAILED);
    // SAFETY: never unmapped, long enough, and atomics alone.
    unsafe { &*start.cast() }
}

fn frozen() -> Quota {
    Quota::per_second(1_000_000).unwrap().burst(DEPTH).unwrap()
}

fn flowing() -> Quota {
    Quota::per_second(1_000).unwrap().burst(50).unwrap()
}

fn open(folder: &Path) -> SharedTable {
    SharedTable::builder(&[frozen(), flowing()], 4_000).open(folder.join("table")).unwrap()
}

/// The instant of all charges to buckets that nothing is to flow into: so late that no other check,
/// by the machine's clock, finds such a bucket full again.
const THEN: Instant = Instant::from_secs(3 * 365 * 86_400);

fn work(folder: &Path, worker: usize, checks: u64) {
    let (table, ledger) = (open(folder), ledger(folder));
    let lines = &ledger[worker];
    let (plan, flow) = (table.plan(frozen()).unwrap(), table.plan(flowing()).unwrap());
    let mut random = fastrand::Rng::new();
    while lines.checks.fetch_add(1, Relaxed) < checks {
        let at = random.usize(..OWN);
        match random.u8(..8) {
            0..=2 => {
                let key = [b'o', worker as u8, at as u8];
                if table.lockfree().check(&key[..], &plan, THEN).is_admitted() {
                    lines.own[at].fetch_add(1, Relaxed);
                }
            }
            3..=5 => {
                let key = [b'c', at as u8];
                if table.lockfree().check(&key[..], &plan, THEN).is_admitted() {
                    lines.common[at].fetch_add(1, Relaxed);
                }
            }
            6 => {
                if table.check(&b"flowing"[..], &flow).is_admitted() {
                    lines.flowing.fetch_add(1, Relaxed);
                }
            }
            // Keys that come and go.
            _ => _ = table.check(&random.u16(..).to_ne_bytes()[..], &flow),
        }
    }
}

fn start(folder: &Path, worker: usize, checks: u64) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "processes_that_are_killed_take_nothing_along", "--nocapture"])
        .env(FOLDER, folder)
        .env(WORKER, worker.to_string())
        .env(CHECKS, checks.to_string())
        .stdout(Stdio::null())
        .spawn()
        .unwrap()
}

#[test]
fn processes_that_are_killed_take_nothing_along() {
    let checks = std::env::var(CHECKS).map_or(20_000_000, |checks| checks.parse().unwrap());
    if let (Ok(folder), Ok(worker)) = (std::env::var(FOLDER), std::env::var(WORKER)) {
        return work(Path::new(&folder), worker.parse().unwrap(), checks);
    }
    let folder = tempfile::tempdir().unwrap();
    let (folder, each) = (folder.path(), checks / WORKERS as u64);
    let (table, began) = (open(folder), KernelClock.now());
    let mut workers: Vec<_> = (0..WORKERS).map(|worker| start(folder, worker, each)).collect();
    let (mut kills, mut random) = ([0_u64; WORKERS], fastrand::Rng::new());
    let (lines, mut wall) = (ledger(folder), Wall::now());
    let done = |worker: usize| lines[worker].checks.load(Relaxed) >= each;
    while !(0..WORKERS).all(done) {
        std::thread::sleep(Duration::from_micros(random.u64(5_000..15_000)));
        let victim = 1 + random.usize(..WORKERS - 1);
        // Of those that are at work: the test process itself takes a while to get there.
        if !done(victim) && workers[victim].try_wait().unwrap().is_none() {
            workers[victim].kill().unwrap();
            workers[victim].wait().unwrap();
            kills[victim] += 1;
            workers[victim] = start(folder, victim, each);
        }
        if wall.elapsed() > Duration::from_secs(20) {
            wall = Wall::now();
            let sum: u64 = lines.iter().map(|line| line.checks.load(Relaxed)).sum();
            println!("{sum} checks, kills {kills:?}");
        }
    }
    for worker in &mut workers {
        assert!(worker.wait().unwrap().success());
    }
    let took = KernelClock.now().since(began);

    let plan = table.plan(frozen()).unwrap();
    let charged = |key: &[u8]| DEPTH - table.lockfree().peek(key, &plan, THEN).remaining();
    let mut uncertain = 0;
    for (worker, line) in lines.iter().enumerate() {
        let mut missing = 0;
        for (at, entered) in line.own.iter().enumerate() {
            let (charged, entered) =
                (charged(&[b'o', worker as u8, at as u8]), entered.load(Relaxed));
            assert!(charged >= entered, "{worker}: {charged} charged, {entered} entered");
            missing += charged - entered;
        }
        // Nothing at all where nobody was killed.
        assert!(missing <= kills[worker], "{worker}: {missing} of {} kills", kills[worker]);
        uncertain += missing;
    }
    for at in 0..COMMON {
        let entered: u64 = lines.iter().map(|line| line.common[at].load(Relaxed)).sum();
        let charged = charged(&[b'c', at as u8]);
        assert!(charged >= entered, "{charged} charged, {entered} entered");
        uncertain += charged - entered;
    }
    let killed: u64 = kills.iter().sum();
    assert!(killed > 3, "too few to show anything: {kills:?}");
    assert!(uncertain <= killed, "{uncertain} of {killed} kills");
    // The window bound, of what was admitted and entered in the ledger.
    let passed: u64 = lines.iter().map(|line| line.flowing.load(Relaxed)).sum();
    let bound = 50 + 1_000 * took.as_micros() as u64 / 1_000_000 + 1;
    assert!(passed <= bound, "{passed} of {bound}");

    // Whatever slots were lost come back once nobody has the file open.
    drop(table);
    let table = open(folder);
    assert!(!table.is_new() && table.mended() as u64 <= killed);
    let sum: u64 = lines.iter().map(|line| line.checks.load(Relaxed)).sum();
    let (slots, bytes) = (table.mended(), table.lockfree().slots() / 10 * size_of::<Set>());
    println!(
        "{sum} checks in {took:?}, {killed} kills, {uncertain} uncertain calls, {slots} slots given back \
         of a table of {bytes} bytes; {passed} of at most {bound} passed"
    );
}
