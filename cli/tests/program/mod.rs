//! Runs the program, and makes logs for it.
#![allow(dead_code, reason = "each test file uses some of it")]

use std::io::Write;
use std::process::{Command, Output, Stdio};

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::Value;

pub(crate) fn tidegate() -> Command {
    Command::new(env!("CARGO_BIN_EXE_tidegate"))
}

/// Runs `tidegate replay` with `arguments` and this standard input.
pub(crate) fn replay(arguments: &[&str], input: &[u8]) -> Output {
    let mut child = tidegate()
        .arg("replay")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    // A program that refuses its arguments reads nothing; the pipe then breaks.
    _ = child.stdin.take().expect("a pipe").write_all(input);
    child.wait_with_output().expect("the program ends")
}

/// Runs it, and returns its JSON and what it said on standard error.
pub(crate) fn json_and_errors(arguments: &[&str], input: &[u8]) -> (Value, String) {
    let output = replay(&[arguments, &["--format", "json"]].concat(), input);
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(matches!(output.status.code(), Some(0 | 3)), "{arguments:?}: {errors}");
    (serde_json::from_slice(&output.stdout).expect("one JSON object"), errors)
}

pub(crate) fn json(arguments: &[&str], input: &[u8]) -> Value {
    json_and_errors(arguments, input).0
}

/// Replays and returns the denied requests of the first quota, by each reading.
pub(crate) fn denied(arguments: &[&str], input: &[u8]) -> Vec<u64> {
    let outcome = json(arguments, input);
    let readings = outcome["runs"][0]["readings"].as_array().expect("readings");
    readings.iter().map(|reading| reading["denied"].as_u64().expect("a number")).collect()
}

/// Returns the one line of an error.
pub(crate) fn refusal(arguments: &[&str], input: &[u8]) -> String {
    let output = replay(arguments, input);
    let text = String::from_utf8(output.stderr).expect("text");
    assert_eq!(output.status.code(), Some(2), "{arguments:?}: {text}");
    assert!(output.stdout.is_empty());
    assert_eq!(text.lines().count(), 1, "{text}");
    text
}

/// Returns a line at this number of seconds past ten o'clock.
pub(crate) fn line(client: &str, second: u32, path: &str, bytes: &str) -> String {
    let (minute, second) = (second / 60, second % 60);
    format!(
        "{client} - alice [17/May/2015:10:{minute:02}:{second:02} +0000] \
         \"GET {path} HTTP/1.1\" 200 {bytes} \"-\" \"test\"\n"
    )
}

pub(crate) fn log(clients_and_seconds: &[(&str, u32)]) -> Vec<u8> {
    clients_and_seconds
        .iter()
        .map(|&(client, second)| line(client, second, "/", "100"))
        .collect::<String>()
        .into()
}

/// Returns eight requests of two clients within four seconds: with 3 a minute, 2 are denied.
pub(crate) fn two_clients(decorate: impl Fn(&str) -> String) -> Vec<u8> {
    let mut log = String::new();
    for second in 0..4 {
        for client in ["192.0.2.1", "192.0.2.2"] {
            log += &decorate(&line(client, second, "/", "100"));
        }
    }
    log.into()
}

/// Packs `content` as one member of gzip.
pub(crate) fn gzip(content: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(content).expect("memory takes it");
    encoder.finish().expect("memory takes it")
}
