//! The command, from outside.

#![cfg(target_os = "linux")]

use std::process::{Command, Output};

fn run(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_packet-loop"));
    command.args(arguments).output().expect("the command runs")
}

fn rows(output: &Output) -> Vec<serde_json::Value> {
    assert!(output.status.success(), "{output:?}");
    serde_json::from_slice(&output.stdout).expect("rows")
}

#[test]
fn the_path_calls_nothing_of_the_system() {
    for rules in ["shared", "local", "subnets", "marked"] {
        let short =
            ["run", "--confined", "--json", "--bursts", "20000", "--room", "100000", "--rules"];
        let output = run(&[&short[..], &[rules]].concat());
        let said = String::from_utf8_lossy(&output.stderr);
        if said.contains("does not confine") {
            eprintln!("skipped: {said}");
            return;
        }
        let rows = rows(&output);
        assert_eq!(rows.len(), 2);
        assert!(rows.iter().all(|row| row["frames"] == 640_000), "{rows:?}");
    }
}

#[test]
fn a_capture_is_recorded_and_replayed() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("lo.pcap");
    let file = file.to_str().expect("a name in UTF-8");
    let recorded = run(&["record", file, "--frames", "1000"]);
    if !recorded.status.success() {
        eprintln!("skipped: {}", String::from_utf8_lossy(&recorded.stderr));
        return;
    }
    let output =
        run(&["replay", file, "--rounds", "3", "--json", "--workers", "3", "--room", "1000"]);
    let rows = rows(&output);
    let sum = |field: &str| rows.iter().filter_map(|row| row[field].as_u64()).sum::<u64>();
    assert_eq!(sum("frames"), 3_000);
    assert_eq!(sum("green") + sum("yellow") + sum("red") + sum("others"), 3_000);
    assert!(sum("green") > 0);
}

#[test]
fn what_cannot_be_done_is_one_line_and_status_2() {
    for arguments in [&["replay", "/nowhere.pcap"][..], &["live", "no-such-interface"]] {
        let output = run(arguments);
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        let said = String::from_utf8(output.stderr).expect("text");
        assert_eq!(said.lines().count(), 1, "{said}");
        assert!(said.contains(arguments[1].trim_start_matches('/')), "{said}");
    }
}
