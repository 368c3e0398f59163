//! Programs in C and C++ against the header and the library.
//!
//! `TIDEGATE_CFLAGS` is added to the compiler's flags, such as `-fsanitize=address,undefined`, and
//! `TIDEGATE_RUN` is put before each program, such as `valgrind`.
#![cfg(target_os = "linux")]
#![allow(missing_docs)]

use std::path::Path;
use std::process::Command;

fn words(variable: &str) -> Vec<String> {
    let value = std::env::var(variable).unwrap_or_default();
    value.split_whitespace().map(str::to_owned).collect()
}

/// Compiles a program, links it with the static library, and runs it.
fn run(compiler: &str, standard: &str, source: &str) {
    if Command::new(compiler).arg("--version").output().is_err() {
        println!("skipped: there is no {compiler}");
        return;
    }
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let test = std::env::current_exe().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("program");
    let compiled = Command::new(compiler)
        .args([standard, "-DSTANDALONE", "-O1", "-g", "-Wall", "-Wextra", "-Wpedantic", "-Werror"])
        .args(words("TIDEGATE_CFLAGS"))
        .arg("-I")
        .arg(here.join("include"))
        .arg(here.join("tests").join(source))
        .arg(test.parent().unwrap().join("libtidegate_c.a"))
        .args(["-lpthread", "-ldl", "-lm", "-o"])
        .arg(&program)
        .output()
        .unwrap();
    assert!(compiled.status.success(), "{}", String::from_utf8_lossy(&compiled.stderr));
    let mut command = words("TIDEGATE_RUN");
    command.push(program.to_str().unwrap().to_owned());
    let ran = Command::new(&command[0])
        .args(&command[1..])
        .arg(folder.path().join("table"))
        .output()
        .unwrap();
    assert!(ran.status.success(), "{:?}: {}", ran.status, String::from_utf8_lossy(&ran.stderr));
}

#[test]
fn a_c_program_gets_what_the_header_says() {
    run("gcc", "-std=c11", "program.c");
}

#[test]
fn a_cpp_program_shares_a_table_between_threads() {
    run("g++", "-std=c++17", "program.cpp");
}

#[test]
fn calls_in_any_order_keep_to_the_quota() {
    run("gcc", "-std=c11", "fuzz.c");
}

/// Runs the calls of `fuzz.c` under clang's fuzzer, for `TIDEGATE_FUZZ_SECONDS` seconds.
#[test]
fn a_fuzzer_finds_nothing() {
    let Ok(seconds) = std::env::var("TIDEGATE_FUZZ_SECONDS") else {
        println!("skipped: TIDEGATE_FUZZ_SECONDS is not set");
        return;
    };
    let (here, folder) = (Path::new(env!("CARGO_MANIFEST_DIR")), tempfile::tempdir().unwrap());
    let program = folder.path().join("fuzz");
    let test = std::env::current_exe().unwrap();
    let compiled = Command::new("clang")
        .args(["-std=c11", "-O1", "-g", "-fsanitize=fuzzer,address", "-I"])
        .arg(here.join("include"))
        .arg(here.join("tests/fuzz.c"))
        .arg(test.parent().unwrap().join("libtidegate_c.a"))
        .args(["-lpthread", "-ldl", "-lm", "-o"])
        .arg(&program)
        .output();
    if !compiled.is_ok_and(|compiled| compiled.status.success()) {
        println!("skipped: there is no clang with its fuzzer");
        return;
    }
    let ran = Command::new(&program)
        .arg(format!("-max_total_time={seconds}"))
        .arg(folder.path())
        .current_dir(folder.path())
        .output()
        .unwrap();
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
}

/// The sketch for DPDK compiles, where DPDK is installed. Nothing runs: that needs a card.
#[test]
fn the_sketch_for_dpdk_compiles() {
    let found = Command::new("pkg-config").args(["--cflags", "libdpdk"]).output();
    let Some(flags) = found.ok().filter(|found| found.status.success()) else {
        println!("skipped: pkg-config knows no libdpdk");
        return;
    };
    let flags = String::from_utf8(flags.stdout).unwrap();
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let compiled = Command::new("gcc")
        .args(["-std=gnu11", "-O2", "-Wall", "-Wextra", "-Werror", "-fsyntax-only"])
        // DPDK's own headers are not free of warnings.
        .args(flags.split_whitespace().map(|flag| flag.replace("-I", "-isystem")))
        .arg("-I")
        .arg(here.join("include"))
        .arg(here.join("examples/dpdk.c"))
        .output()
        .unwrap();
    assert!(compiled.status.success(), "{}", String::from_utf8_lossy(&compiled.stderr));
}
