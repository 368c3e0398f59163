//! `tidegate replay` from outside: what it reads, prints and refuses.

use std::io::{Read, Write};
use std::path::Path;
use std::process::{Command, Output, Stdio};

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::Value;

fn tidegate() -> Command {
    Command::new(env!("CARGO_BIN_EXE_tidegate"))
}

/// Runs `tidegate replay` with `arguments` and this standard input.
fn replay(arguments: &[&str], input: &[u8]) -> Output {
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

fn json(arguments: &[&str], input: &[u8]) -> Value {
    let output = replay(&[arguments, &["--format", "json"]].concat(), input);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("one JSON object")
}

/// The one line of an error.
fn refusal(arguments: &[&str], input: &[u8]) -> String {
    let output = replay(arguments, input);
    let text = String::from_utf8(output.stderr).expect("text");
    assert_eq!(output.status.code(), Some(2), "{arguments:?}: {text}");
    assert!(output.stdout.is_empty());
    assert_eq!(text.lines().count(), 1, "{text}");
    text
}

/// A line at so many seconds past ten o'clock.
fn line(client: &str, second: u32, path: &str, bytes: &str) -> String {
    let (minute, second) = (second / 60, second % 60);
    format!(
        "{client} - alice [17/May/2015:10:{minute:02}:{second:02} +0000] \
         \"GET {path} HTTP/1.1\" 200 {bytes} \"-\" \"test\"\n"
    )
}

fn log(clients_and_seconds: &[(&str, u32)]) -> Vec<u8> {
    clients_and_seconds
        .iter()
        .map(|&(client, second)| line(client, second, "/", "100"))
        .collect::<String>()
        .into()
}

#[test]
fn a_log_is_replayed_in_the_order_of_its_times() {
    // 1 in 10 s. By the file's order the request at 0 s would come after the one at 5 s.
    let log = log(&[("a", 5), ("a", 0), ("a", 10), ("b", 3), ("a", 12)]);
    let outcome = json(&["-", "--quota", "6/min", "--burst", "1"], &log);
    assert_eq!(outcome["records"], 5);
    assert_eq!(outcome["out_of_order"], 2);
    assert_eq!((&outcome["admitted"], &outcome["denied"]), (&3.into(), &2.into()));
    assert_eq!((&outcome["keys"], &outcome["peak_live_keys"]), (&2.into(), &2.into()));
    assert_eq!(outcome["span_seconds"], 12);
    assert_eq!(outcome["unplaced"], 0);
    let top = &outcome["top"][0];
    assert_eq!(top["key"], "a");
    assert_eq!(
        [&top["requests"], &top["admitted"], &top["denied"]],
        [4, 2, 2].map(Value::from).each_ref()
    );
}

#[test]
fn keys_and_costs_are_what_was_asked_for() {
    let mut log = String::new();
    for (client, path, bytes) in [
        ("2001:db8::1", "/a?x=1", "100"),
        ("2001:db8::2", "/a?x=2", "-"),
        ("2001:db8:0:1::1", "/b", "300"),
        ("10.0.0.1", "/b", "100"),
    ] {
        log += &line(client, 0, path, bytes);
    }
    let keys =
        |arguments: &[&str]| json(&[&["-"], arguments].concat(), log.as_bytes())["keys"].clone();
    assert_eq!(keys(&[]), 3);
    assert_eq!(keys(&["--ipv6-prefix", "128"]), 4);
    assert_eq!(keys(&["--ipv6-prefix", "32"]), 2);
    assert_eq!(keys(&["--key", "path"]), 2);
    assert_eq!(keys(&["--key", "client+path"]), 3);
    assert_eq!(keys(&["--key", "user"]), 1);
    let bytes = ["-", "--key", "user", "--cost", "bytes", "--quota", "400/hour"];
    let outcome = json(&bytes, log.as_bytes());
    assert_eq!((&outcome["admitted"], &outcome["denied"]), (&3.into(), &1.into()));
}

#[test]
fn a_malformed_request_matters_only_to_who_needs_it() {
    let log = b"a - u [17/May/2015:10:00:00 +0000] \"\\x16\\x03\" 400 oops\nnonsense\n";
    assert_eq!(json(&["-"], log)["skipped"], 1);
    for needs in [["--key", "path"], ["--cost", "bytes"]] {
        let text = refusal(&[&["-"][..], &needs].concat(), log);
        assert!(text.contains("none of its lines (2) can be used; line 1:"), "{text}");
    }
    let outcome = replay(&["-"], log);
    let text = String::from_utf8_lossy(&outcome.stderr).into_owned();
    assert_eq!(text, "tidegate: line 2 skipped: no timestamp\n");
}

#[test]
fn a_full_table_answers_as_told() {
    let clients: Vec<String> = (0..50).map(|client| format!("10.0.0.{client}")).collect();
    let log: String = clients.iter().map(|client| line(client, 0, "/", "1")).collect();
    let outcome = |policy| {
        json(&["-", "--quota", "1/hour", "--capacity", "1", "--on-full", policy], log.as_bytes())
    };
    for (policy, admitted) in [("deny", 10), ("admit", 50)] {
        let outcome = outcome(policy);
        assert_eq!(outcome["admitted"], admitted, "{policy}");
        assert_eq!(outcome["unplaced"], 40, "{policy}");
        assert_eq!(outcome["peak_live_keys"], 10, "{policy}");
    }
    let shared = outcome("shared")["admitted"].as_u64().expect("a number");
    assert!((11..50).contains(&shared), "{shared}");
}

#[test]
fn gzip_is_known_by_its_content_wherever_it_comes_from() {
    let log = log(&[("a", 0), ("b", 1)]);
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(&log).expect("memory takes it");
    let packed = encoder.finish().expect("memory takes it");
    assert_eq!(json(&["-"], &packed)["records"], 2);
    // Logs that are rotated are often packed one behind the other.
    assert_eq!(json(&["-"], &[&packed[..], &packed[..]].concat())["records"], 4);

    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("access.log");
    std::fs::write(&file, &packed).expect("a file");
    let file = file.to_str().expect("a path in UTF-8");
    assert_eq!(json(&[file], &[])["records"], 2);

    for broken in [&packed[..packed.len() - 5], &packed[..12]] {
        let text = refusal(&["-"], broken);
        assert!(text.contains("standard input: broken gzip: "), "{text}");
    }
    let mut wrong = packed.clone();
    let middle = wrong.len() / 2;
    wrong[middle] ^= 0xff;
    assert!(refusal(&["-"], &wrong).contains("broken gzip"));
}

#[test]
fn without_a_log_there_is_a_built_in_day_and_always_the_same() {
    let day = json(&[], &[]);
    assert_eq!(day["source"], "a built-in synthetic day");
    assert_eq!(day["span_seconds"].as_u64().map(|span| span / 3_600), Some(23));
    assert!(day["denied"].as_u64() > Some(1_000));
    assert!(day["skipped"].as_u64() > Some(0));
    assert_eq!(day, json(&[], &[]));
    let null = tidegate().args(["replay", "--format", "json"]).stdin(Stdio::null()).output();
    let null: Value = serde_json::from_slice(&null.expect("it runs").stdout).expect("JSON");
    assert_eq!(day, null);
}

#[test]
fn mistakes_are_named_in_one_line() {
    let log = log(&[("a", 0)]);
    for (arguments, says) in [
        (&["-", "--quota", "0/s"][..], "--quota 0/s: the rate is 0 cells a period"),
        (&["-", "--quota", "5/parsec"], "unknown period \"parsec\""),
        (&["-", "--quota", "60/min", "--burst", "0"], "--burst 0: the burst is 0 cells"),
        (&["-", "--burst", "many"], "'many'"),
        (
            &["-", "--quota", "1/month", "--burst", "9999"],
            "--quota 1/month: the burst drains too slowly",
        ),
        (&["-", "--key", "colour"], "'colour'"),
        (&["-", "--ipv6-prefix", "129"], "129"),
        (&["-", "--capacity", "0"], "0 is not in 1..=1073741824"),
        (&["-", "--quota", "-1/s"], "--quota -1/s: \"-1\" is not a number"),
        (&["-", "--key", "ip"], "[possible values: client, path, client+path, user]"),
        (&["-", "--capacity", "18446744073709551615"], "--capacity"),
        (&["-", "--frobnicate"], "'--frobnicate'"),
        (&["no/such/file"], "no/such/file: No such file"),
        (&["."], "Is a directory"),
        (&["-", "--svg", "no/such/folder/x.svg"], "--svg no/such/folder/x.svg: No such file"),
    ] {
        let text = refusal(arguments, &log);
        assert!(text.starts_with("tidegate: ") && text.contains(says), "{arguments:?}: {text}");
    }
    assert!(refusal(&["-"], b"").contains("standard input: empty"));
    assert!(refusal(&["-"], b"\n\nnonsense\n").contains("none of its lines (3) can be used"));
}

#[test]
fn a_log_of_centuries_is_refused_rather_than_denied() {
    let old = b"a - - [01/Jan/1970:00:00:00 +0000] \"GET / HTTP/1.1\" 200 1\n";
    let log = [&old[..], line("a", 0, "/", "1").as_bytes()].concat();
    let text = refusal(&["-"], &log);
    assert!(text.contains("spans more than 10 years, from 1970-01-01"), "{text}");
}

#[test]
fn the_picture_is_not_drawn_over_the_log() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("access.log");
    std::fs::write(&file, log(&[("a", 0)])).expect("a file");
    let file = file.to_str().expect("a path in UTF-8");
    assert!(refusal(&[file, "--svg", file], b"").contains("is the log itself"));
    assert_eq!(json(&[file], b"")["records"], 1);
}

#[test]
fn lines_of_any_length_and_bytes_do_no_harm() {
    let mut log = vec![b'x'; 10 << 20];
    log.extend(b"\n\xff\xfe\x00 - - [17/May/2015:10:00:00 +0000] \"GET /\xff\"\n");
    log.extend(b"a - - [17/May/9999999:10:00:00 +0000]\n");
    log.extend(line("a", 0, "/", "1").bytes());
    let outcome = json(&["-"], &log);
    assert_eq!((&outcome["records"], &outcome["skipped"]), (&2.into(), &2.into()));
    assert_eq!(outcome["first_skipped"][0]["reason"], "longer than 64 KiB");
}

#[test]
fn a_closed_pipe_ends_quietly() {
    let mut child = tidegate()
        .args(["replay", "--top", "1000"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    drop(child.stdout.take());
    let mut errors = String::new();
    child.stderr.take().expect("a pipe").read_to_string(&mut errors).expect("text");
    assert!(child.wait().expect("it ends").success());
    assert!(errors.lines().all(|line| line.contains("skipped")), "{errors}");
}

#[test]
fn the_text_says_it_all_and_the_picture_is_drawn() {
    let folder = tempfile::tempdir().expect("a folder");
    let picture = folder.path().join("denied.svg");
    let log = log(&[("a", 0), ("a", 0), ("b", 1)]);
    let path = picture.to_str().expect("a path in UTF-8");
    let output = replay(&["-", "--quota", "1/hour", "--svg", path], &log);
    let text = String::from_utf8(output.stdout).expect("text");
    for part in [
        "1/hour, burst 1, a bucket for each client",
        "66.7 %",
        "33.3 %",
        "most denied",
        "denied   |█",
    ] {
        assert!(text.contains(part), "{part:?} is not in\n{text}");
    }
    let svg = std::fs::read_to_string(picture).expect("a picture");
    assert!(svg.contains("1 of 3 requests denied: 1/hour, burst 1") && svg.contains("2 admitted"));
}

#[test]
fn help_has_examples() {
    let output = tidegate().args(["replay", "--help"]).output().expect("it runs");
    assert!(output.status.success());
    assert!(String::from_utf8_lossy(&output.stdout).contains("Examples:"));
}

/// On the real log, if it is at hand: figures that an exact computation over the rationals gave.
#[test]
fn the_real_log_is_answered_as_exact_arithmetic_does() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data/apache-access.log");
    let Some(path) = path.to_str().filter(|path| Path::new(path).exists()) else {
        println!("skipped: no real access log at hand");
        return;
    };
    for (quota, burst, denied, peak) in
        [("10/min", "5", 1_395, 21), ("17/min", "17", 363, 18), ("1/month", "1", 8_247, 1_753)]
    {
        let outcome = json(&[path, "--quota", quota, "--burst", burst], &[]);
        assert_eq!(outcome["records"], 10_000);
        assert_eq!(outcome["denied"], denied, "{quota}");
        assert_eq!(outcome["peak_live_keys"], peak, "{quota}");
    }
}
