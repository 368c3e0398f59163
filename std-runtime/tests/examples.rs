//! The short examples: each ends by itself, and prints what it is there to show.

use std::path::PathBuf;
use std::process::Command;

/// Runs an example, which is built beside the tests, and returns what it prints.
fn printed(name: &str) -> String {
    let test = std::env::current_exe().expect("a path");
    let profile: PathBuf = test.ancestors().nth(2).expect("a directory").join("examples");
    let output = Command::new(profile.join(name))
        .output()
        .expect("built with all tests; for this one alone: cargo build --release --examples");
    assert!(output.status.success(), "{name}: {output:?}");
    String::from_utf8(output.stdout).expect("text")
}

/// Asserts that an example prints these lines, each after the one before.
fn shows(name: &str, lines: &[&str]) {
    let printed = printed(name);
    let mut rest = printed.lines();
    for line in lines {
        assert!(rest.any(|other| other.contains(line)), "{name}: no '{line}' in\n{printed}");
    }
}

#[test]
fn a_client_is_denied_beyond_its_burst() {
    let paying = "a paying client: 595 of 600 left";
    shows("rate_limit", &["1: 2 left", "3: 0 left", "4: denied, try again in", paying]);
}

#[test]
fn a_page_is_returned_until_it_is_removed() {
    let evicted = "removed /1: Size";
    shows("cache", &["Some(\"Welcome\")", "removed /home: Explicit", "None", evicted, "2 entries"]);
}

#[test]
fn a_value_is_loaded_once() {
    let printed = printed("load");
    assert_eq!(printed.matches("asks the database for user 7").count(), 1, "{printed}");
    assert!(printed.contains("8 callers got \"Ada\""), "{printed}");
    assert!(printed.ends_with("Err(NotFound)\n"), "{printed}");
}

#[test]
fn an_idle_session_is_removed() {
    shows("map", &["2 sessions", "still there: [\"alice\"]"]);
}

#[test]
fn work_is_shared() {
    shows("single_flight", &["makes the report", "[Ok(42), Ok(42), Ok(42), Ok(42)], 0 in flight"]);
}

#[test]
fn a_service_is_found_until_its_lease_ends() {
    shows("registry", &["42, still there: true", "still there: false"]);
}

#[test]
fn a_token_is_renewed() {
    shows("refresh", &["token 1", "token 2", "token 3"]);
}

#[cfg(target_os = "linux")]
#[test]
fn a_cache_gives_up_entries() {
    shows("pressure", &["10000000 bytes", "evicted 30 entries", "7000000 bytes"]);
}

#[test]
fn a_service_answers_within_the_quota() {
    let admitted = "200 OK: \"the page home\"";
    let denied = "429 Too Many Requests: \"\" retry-after: ";
    shows("axum", &[admitted, admitted, admitted, denied]);
    // A cell flows in every 10 seconds. The wait is rounded up to whole seconds.
    let printed = printed("axum");
    let wait = printed.split_once(denied).and_then(|(_, rest)| rest.lines().next());
    assert!(wait.is_some_and(|wait| (1..=10).contains(&wait.parse().unwrap_or(0))), "{printed}");
}

#[test]
fn tokens_that_were_not_used_come_back() {
    let shares = ["of 4,000                 12 %", "of 4,000           100 %"];
    shows("llm_tokens", &["2500 came back", shares[0], shares[1], "and debt         100 %"]);
}
