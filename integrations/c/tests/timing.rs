//! What a check costs from C, beside the same check from Rust, in one run. Printed, not judged:
//! other programs disturb the times. `cargo test --release -p tidegate-c --test timing -- --ignored
//! --nocapture`
#![cfg(target_os = "linux")]
#![allow(missing_docs)]

use std::hint::black_box;
use std::path::Path;
use std::process::Command;
use std::time::Instant as Wall;

use tidegate_core::bucket::{BucketTable, Set, Unit};
use tidegate_core::{Decision, Instant, Quota, SeededState};

const KEYS: usize = 1_000;
const BURST: usize = 32;
const ROUNDS: usize = 200_000;

fn rust() -> (f64, f64) {
    let quota = Quota::per_second(1_000_000_000).unwrap();
    let sets: Box<[Set]> = (0..Set::for_keys(KEYS)).map(|_| Set::new()).collect();
    let unit = Unit::for_quota(quota).unwrap();
    let table = BucketTable::over(sets, unit, SeededState::new(42));
    let plan = unit.plan(quota).unwrap();
    let keys: Vec<[u8; 8]> = (0..KEYS + BURST)
        .map(|at| ((at % KEYS) as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15).to_ne_bytes())
        .collect();
    let requests: Vec<_> = keys.iter().map(|key| (&key[..], &plan, 1)).collect();
    let (mut single, mut burst) = (f64::MAX, f64::MAX);
    let start = Wall::now();
    let now = || Instant::from_secs(1_000) + start.elapsed();
    for _ in 0..20 {
        let (began, time) = (Wall::now(), now());
        for at in 0..ROUNDS {
            _ = black_box(table.check_n(black_box(&keys[at % KEYS][..]), &plan, 1, time));
        }
        single = single.min(began.elapsed().as_nanos() as f64 / ROUNDS as f64);
        let (began, time) = (Wall::now(), now());
        let mut decisions = [Decision::CLOSED; BURST];
        for at in 0..ROUNDS / BURST {
            let from = at * BURST % KEYS;
            table.check_burst(black_box(&requests[from..from + BURST]), time, &mut decisions);
            black_box(&mut decisions);
        }
        let checks = ROUNDS / BURST * BURST;
        burst = burst.min(began.elapsed().as_nanos() as f64 / checks as f64);
    }
    (single, burst)
}

#[test]
#[ignore = "prints times"]
fn a_check_from_c_costs_little_more_than_one_from_rust() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let test = std::env::current_exe().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("timing");
    let compiled = Command::new("gcc")
        .args(["-std=gnu11", "-O2", "-I"])
        .arg(here.join("include"))
        .arg(here.join("tests/timing.c"))
        .arg(test.parent().unwrap().join("libtidegate_c.a"))
        .args(["-lpthread", "-ldl", "-lm", "-o"])
        .arg(&program)
        .status();
    assert!(compiled.unwrap().success());
    for _ in 0..5 {
        let c = Command::new(&program).output().unwrap();
        let (single, burst) = rust();
        let c = String::from_utf8(c.stdout).unwrap();
        println!("ns a check, single and in bursts: C {}, Rust {single:.2} {burst:.2}", c.trim());
    }
}
