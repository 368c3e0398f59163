//! The example: it serves, and stops cleanly when it is told to.

#![cfg(target_os = "linux")]

use std::io::{BufRead, BufReader, Read};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Beside the tests, where examples are built.
fn example() -> PathBuf {
    let test = std::env::current_exe().expect("a path");
    let profile = test.parent().and_then(|deps| deps.parent()).expect("a directory");
    profile.join("examples/service")
}

#[test]
fn the_service_stops_cleanly_on_either_signal() {
    for (signal, name) in [(libc::SIGINT, "SIGINT"), (libc::SIGTERM, "SIGTERM")] {
        let mut child = Command::new(example())
            .stdout(Stdio::piped())
            .spawn()
            .expect("built with all tests; for this one alone: cargo build --release --examples");
        let mut output = BufReader::new(child.stdout.take().expect("output"));
        let mut line = String::new();
        for _ in 0..2 {
            line.clear();
            output.read_line(&mut line).expect("a line");
            assert!(line.starts_with("served"), "{line}");
        }
        let served: u64 = line.split_whitespace().nth(1).expect("a number").parse().expect("one");
        assert!(served > 0, "{line}");
        assert!(line.contains("Healthy") && line.contains("services 1"), "{line}");
        let start = Instant::now();
        // SAFETY: takes two numbers; the process is ours, and was not waited for.
        assert_eq!(unsafe { libc::kill(child.id() as libc::pid_t, signal) }, 0);
        let mut rest = String::new();
        output.read_to_string(&mut rest).expect("text");
        assert!(child.wait().expect("it ends").success());
        assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
        assert!(rest.ends_with(&format!("{name}: stopped\n")), "{rest}");
        assert_eq!(rest.matches(" 0 errors").count(), 4, "{rest}");
    }
}
