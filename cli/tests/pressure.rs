//! `tidegate pressure`: on machines of every kind, for people and for programs.

#![cfg(target_os = "linux")]

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

fn tidegate(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tidegate"));
    command.arg("pressure").args(arguments).stdin(Stdio::null());
    command
}

fn output(arguments: &[&str]) -> Output {
    tidegate(arguments).output().expect("the program starts")
}

/// The files of a machine, which the library's tests use, too.
fn root(name: &str) -> String {
    let core = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../std-runtime/tests/roots");
    core.join(name).display().to_string()
}

fn rows(text: &[u8]) -> Vec<Value> {
    let rows: Value = serde_json::from_slice(text).expect("JSON");
    rows.as_array().expect("an array").clone()
}

#[test]
fn programs_get_an_array_with_null_where_there_is_no_reading() {
    let output = output(&["--json", "--root", &root("docker-v2")]);
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    let rows = rows(&output.stdout);
    for row in &rows {
        let fields: Vec<_> = row.as_object().expect("an object").keys().collect();
        assert_eq!(fields, ["detail", "source", "state", "total_bytes", "used_bytes"]);
        let is_known = row["used_bytes"].is_u64();
        assert_eq!(is_known, row["total_bytes"].is_u64());
        let states = ["available", "denied", "unsupported", "stale"];
        assert!(states.contains(&row["state"].as_str().expect("a state")), "{row}");
        assert!(!is_known || row["state"] == "available", "{row}");
        assert!(!row["detail"].as_str().expect("text").is_empty());
    }
    let row = |name: &str| rows.iter().find(|row| row["source"] == name).expect(name).clone();
    let cgroup = row("cgroup");
    assert_eq!(cgroup["used_bytes"], 259_931_136_u64);
    assert_eq!(cgroup["total_bytes"], 536_870_912_u64);
    assert_eq!(cgroup["detail"], "/sys/fs/cgroup/memory.max");
    // A part of the time is no number of bytes.
    for psi in [row("psi"), row("psi (cgroup)")] {
        assert!(psi["state"] == "available" && psi["used_bytes"].is_null(), "{psi}");
    }
}

#[test]
fn people_get_a_table() {
    let output = output(&["--root", &root("kubernetes-v1")]);
    let text = String::from_utf8(output.stdout).expect("text");
    let line = text.lines().find(|line| line.trim_start().starts_with("cgroup ")).expect("a row");
    for part in ["available", "494.28 MiB", "640.00 MiB", "77.2"] {
        assert!(line.contains(part), "{part} in {line}");
    }
    assert!(text.lines().next().expect("a header").contains("where from, or why not"));
    // The tighter of the two comes first, and its members below it.
    let first: Vec<_> = text.lines().skip(1).take(3).map(str::trim_end).collect();
    assert!(first[0].contains("max(cgroup, meminfo)") && first[0].contains("77.2"), "{text}");
    assert!(first[1].contains("   cgroup ") && first[2].contains("   meminfo "), "{text}");
    let broken = output_of(&["--root", &root("broken-v2")]);
    // What cannot be read makes the whole unknown, and is named there and in its own row.
    for name in ["max(cgroup, meminfo)", "  cgroup"] {
        let line = broken.lines().find(|line| line.contains(name)).expect("a row");
        assert!(line.contains("stale") && line.contains(" - "), "{line}");
        assert!(line.contains("/sys/fs/cgroup/"), "{line}");
    }
}

fn output_of(arguments: &[&str]) -> String {
    String::from_utf8(output(arguments).stdout).expect("text")
}

#[test]
fn watching_goes_on_until_whoever_reads_has_seen_enough() {
    let mut command = tidegate(&["--watch", "--json", "--every", "0.1"]);
    let mut child = command.stdout(Stdio::piped()).spawn().expect("the program starts");
    let mut lines = BufReader::new(child.stdout.take().expect("output")).lines();
    for _ in 0..3 {
        let line = lines.next().expect("a line").expect("text");
        assert!(rows(line.as_bytes()).len() >= 5);
    }
    drop(lines);
    assert!(child.wait().expect("it ends").success());
}

#[test]
fn mistakes_are_one_line_that_names_them() {
    let cases = [
        (&["--root", "/no such directory"][..], "--root"),
        (&["--watch", "--every", "0"], "--every"),
        (&["--watch", "--every", "NaN"], "--every"),
        (&["--watch", "--every", "1e300"], "--every"),
        (&["--every", "2"], "--watch"),
        (&["--nonsense"], "--nonsense"),
    ];
    for (arguments, named) in cases {
        let output = output(arguments);
        let text = String::from_utf8(output.stderr).expect("text");
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(text.lines().count() == 1 && text.contains(named), "{arguments:?}: {text}");
    }
    let help = output_of(&["--help"]);
    assert!(help.contains("Examples:") && help.contains("--watch"));
}

/// A group of this machine's own, with a limit, if this process may make one.
struct Group(PathBuf);

impl Group {
    fn make(limit: u64) -> Result<Self, String> {
        let membership = std::fs::read_to_string("/proc/self/cgroup").map_err(|e| e.to_string())?;
        let path = membership.lines().find_map(|line| line.split_once(":memory:"));
        let (base, file) = match path {
            Some((_, path)) => (format!("/sys/fs/cgroup/memory{path}"), "memory.limit_in_bytes"),
            None => {
                let path = membership.lines().find_map(|line| line.strip_prefix("0::"));
                (format!("/sys/fs/cgroup{}", path.ok_or("no groups")?), "memory.max")
            }
        };
        let group = PathBuf::from(base).join(format!("tidegate-test-{}", std::process::id()));
        let fails = |error| format!("{}: {error}", group.display());
        std::fs::create_dir(&group).map_err(fails)?;
        let made = Self(group.clone());
        // In version 2 there is no such file unless memory is handed down.
        std::fs::OpenOptions::new()
            .write(true)
            .open(group.join(file))
            .and_then(|mut file| std::io::Write::write_all(&mut file, limit.to_string().as_bytes()))
            .map_err(fails)?;
        Ok(made)
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        _ = std::fs::remove_dir(&self.0);
    }
}

#[test]
fn in_a_group_with_a_limit_it_sees_that_limit() {
    const LIMIT: u64 = 96 << 20;
    let group = match Group::make(LIMIT) {
        Ok(group) => group,
        Err(reason) => {
            println!("skipped: {reason}");
            return;
        }
    };
    let join = "echo $$ > \"$0/cgroup.procs\" && exec \"$@\"";
    let mut command = Command::new("sh");
    command.args(["-c", join]).arg(&group.0).arg(env!("CARGO_BIN_EXE_tidegate"));
    let output = command.args(["pressure", "--json"]).output().expect("a shell");
    assert!(output.status.success(), "{output:?}");
    let rows = rows(&output.stdout);
    let cgroup = rows.iter().find(|row| row["source"] == "cgroup").expect("a row");
    assert_eq!(cgroup["state"], "available", "{cgroup}");
    assert_eq!(cgroup["total_bytes"], LIMIT);
    let used = cgroup["used_bytes"].as_u64().expect("a number");
    assert!(used > 0 && used < LIMIT, "{cgroup}");
    let detail = cgroup["detail"].as_str().expect("text");
    assert!(detail.contains("tidegate-test-"), "{detail}");
}
