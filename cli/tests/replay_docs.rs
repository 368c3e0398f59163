//! The commands of the documentation, run as they are written.
#![cfg(unix)]

mod program;

use std::path::Path;
use std::process::{Command, Stdio};

use program::{gzip, tidegate};

/// Returns half an hour of four clients. The last field is what a proxy says of the client.
fn access_log() -> String {
    (0..1_800)
        .map(|second| {
            let client = second % 4;
            let (minute, second) = (second / 60, second % 60);
            format!(
                "10.0.0.1 - alice [17/May/2015:10:{minute:02}:{second:02} +0000] \
                 \"GET /login HTTP/1.1\" 200 100 \"-\" \"test\" \"203.0.113.{client}, 10.0.0.2\"\n"
            )
        })
        .collect()
}

/// Makes the files that the commands name.
fn make_logs(folder: &Path) {
    let log = access_log();
    let packed = gzip(log.as_bytes());
    let events = "{\"ip\":\"203.0.113.1\",\"ts\":\"2015-05-17T10:00:00.5Z\",\"url\":\"/\"}\n";
    for (name, content) in [
        ("access.log", log.as_bytes()),
        ("access.log.1.gz", &packed[..]),
        ("events.jsonl", events.as_bytes()),
    ] {
        std::fs::write(folder.join(name), content).expect("a file");
    }
}

/// Returns the lines that run the program, without what `jq` makes of its output.
fn commands(text: &str) -> Vec<&str> {
    let lines = text
        .lines()
        .map(str::trim)
        .filter(|line| line.starts_with("tidegate replay ") || line.starts_with("zcat access.log"));
    lines.map(|line| line.split(" | jq").next().unwrap_or(line)).collect()
}

/// Runs each command in a shell, in a folder that has the logs.
fn run(commands: &[&str]) {
    let folder = tempfile::tempdir().expect("a folder");
    let program = Path::new(env!("CARGO_BIN_EXE_tidegate"));
    let mut path = program.parent().expect("a folder").as_os_str().to_owned();
    path.push(":");
    path.push(std::env::var_os("PATH").unwrap_or_default());
    for command in commands {
        make_logs(folder.path());
        let output = Command::new("sh")
            .args(["-c", command])
            .current_dir(folder.path())
            .env("PATH", &path)
            .stdin(Stdio::null())
            .output()
            .expect("a shell");
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && errors.is_empty(), "{command}: {errors}");
    }
}

#[test]
fn the_commands_of_the_page_run() {
    let page = include_str!("../../docs/replay.md");
    let commands = commands(page);
    assert!(commands.len() >= 12, "{commands:?}");
    run(&commands);
}

#[test]
fn the_examples_of_the_help_run() {
    let output = tidegate().args(["replay", "--help"]).output().expect("it runs");
    let help = String::from_utf8(output.stdout).expect("text");
    let (_, examples) = help.split_once("\nExamples:\n").expect("examples");
    // What an example is for stands after many spaces.
    let examples: Vec<&str> = commands(examples)
        .into_iter()
        .map(|line| line.split("   ").next().unwrap_or(line))
        .collect();
    assert_eq!(examples.len(), 10);
    run(&examples);
}
