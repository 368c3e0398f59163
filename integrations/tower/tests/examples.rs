//! The examples: each ends by itself, and prints what it is there to show.
#![cfg(all(feature = "axum", feature = "tonic"))]

use std::path::PathBuf;
use std::process::Command;

/// Runs an example, which is built beside the tests, and returns the lines that it prints.
fn printed(name: &str) -> Vec<String> {
    let test = std::env::current_exe().expect("a path");
    let profile: PathBuf = test.ancestors().nth(2).expect("a directory").join("examples");
    let output = Command::new(profile.join(name)).output().expect("built with all tests");
    assert!(output.status.success(), "{name}: {output:?}");
    let text = String::from_utf8(output.stdout).expect("text");
    text.lines().map(str::to_owned).collect()
}

#[test]
fn a_web_service_limits_logins_and_uploads() {
    let lines = printed("web");
    let statuses: Vec<_> =
        lines.iter().filter_map(|line| line.split(": ").nth(1)?.get(..3)).collect();
    assert_eq!(statuses, ["200", "200", "401", "401", "401", "429", "200", "200", "429"]);
    assert!(!lines[0].contains("ratelimit"), "{lines:?}");
    assert!(lines[5].contains(r#""logins";r=0;"#) && lines[5].contains("retry-after: "));
    assert!(lines[8].contains(r#""uploads";r=4;"#) && lines[8].contains("retry-after: "));
}

#[test]
fn a_client_of_grpc_reads_when_to_try_again() {
    let lines = printed("grpc");
    assert_eq!(lines[..3], ["hello, Ada", "hello, Ada", "hello, Ada"]);
    let wait = lines[3].strip_prefix("ResourceExhausted: try again in ");
    let wait = wait.and_then(|rest| rest.strip_suffix(" ms")?.parse::<u64>().ok());
    assert!(wait.is_some_and(|wait| (1..=1_000).contains(&wait)), "{lines:?}");
}
