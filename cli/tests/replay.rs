//! `tidegate replay` from outside: what it reads, prints and refuses.

mod program;

use std::io::Read;
use std::path::Path;
use std::process::Stdio;

use program::{gzip, json, line, log, refusal, replay, tidegate};
use serde_json::Value;

/// Returns the first reading of the first quota.
fn reading(outcome: &Value) -> &Value {
    &outcome["runs"][0]["readings"][0]
}

#[test]
fn a_log_is_replayed_in_the_order_of_its_times() {
    // 1 in 10 s. By the file's order the request at 0 s would come after the one at 5 s.
    let log = log(&[("a", 5), ("a", 0), ("a", 10), ("b", 3), ("a", 12)]);
    let outcome = json(&["-", "--quota", "6/min", "--burst", "1"], &log);
    assert_eq!(outcome["requests"], 5);
    assert_eq!(outcome["out_of_order"], 2);
    let reading = reading(&outcome);
    assert_eq!((&reading["admitted"], &reading["denied"]), (&3.into(), &2.into()));
    assert_eq!((&outcome["keys"], &reading["peak_live_keys"]), (&2.into(), &2.into()));
    assert_eq!(outcome["span_nanos"], 12_000_000_000_u64);
    assert_eq!(reading["no_slot"], 0);
    let top = &reading["top"][0];
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
    let reading = reading(&outcome);
    assert_eq!((&reading["admitted"], &reading["denied"]), (&3.into(), &1.into()));
}

#[test]
fn a_malformed_request_matters_only_where_its_parts_are_needed() {
    let log = b"a - u [17/May/2015:10:00:00 +0000] \"\\x16\\x03\" 400 oops\nnonsense\n";
    assert_eq!(json(&["-"], log)["skipped"], 1);
    for needs in [["--key", "path"], ["--cost", "bytes"]] {
        let text = refusal(&[&["-"][..], &needs].concat(), log);
        assert!(
            text.contains("none of its lines (2) can be used; standard input line 1:"),
            "{text}"
        );
    }
    let outcome = replay(&["-"], log);
    let text = String::from_utf8_lossy(&outcome.stderr).into_owned();
    assert!(text.starts_with("tidegate: standard input: line 2 skipped: "), "{text}");
}

#[test]
fn a_full_table_answers_by_its_policy() {
    let clients: Vec<String> = (0..50).map(|client| format!("10.0.0.{client}")).collect();
    let log: String = clients.iter().map(|client| line(client, 0, "/", "1")).collect();
    let outcome = |policy| {
        json(&["-", "--quota", "1/hour", "--capacity", "1", "--on-full", policy], log.as_bytes())
    };
    for (policy, admitted, no_slot) in [("deny", 10, 40), ("admit", 50, 0)] {
        let outcome = outcome(policy);
        assert_eq!(reading(&outcome)["admitted"], admitted, "{policy}");
        assert_eq!(reading(&outcome)["no_slot"], no_slot, "{policy}");
        assert_eq!(reading(&outcome)["denied"], 0, "{policy}: the quota denies none of them");
    }
    let shared = reading(&outcome("shared"))["admitted"].as_u64().expect("a number");
    assert!((11..50).contains(&shared), "{shared}");
}

#[test]
fn gzip_is_known_by_its_content_wherever_it_comes_from() {
    let log = log(&[("a", 0), ("b", 1)]);
    let packed = gzip(&log);
    assert_eq!(json(&["-"], &packed)["requests"], 2);
    // Logs that are rotated are often packed one behind the other.
    assert_eq!(json(&["-"], &[&packed[..], &packed[..]].concat())["requests"], 4);

    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("access.log");
    std::fs::write(&file, &packed).expect("a file");
    let file = file.to_str().expect("a path in UTF-8");
    assert_eq!(json(&[file], &[])["requests"], 2);

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
fn mistakes_are_named_in_one_line() {
    let log = log(&[("a", 0)]);
    for (arguments, says) in [
        (&["-", "--quota", "0/s"][..], "--quota 0/s: the rate is 0 cells a period"),
        (&["-", "--quota", "5/parsec"], "unknown period \"parsec\""),
        (&["-", "--quota", "60/min", "--burst", "0"], "--burst 0: the burst is 0 cells"),
        (&["-", "--burst", "many"], "'many'"),
        (
            &["-", "--quota", "1/month", "--burst", "9999", "--capacity", "9"],
            "1/month, burst 9999: the burst drains too slowly",
        ),
        (&["-", "--key", "colour"], "'colour'"),
        (&["-", "--ipv6-prefix", "129"], "129"),
        (&["-", "--capacity", "0"], "0 is not in 1..=1073741824"),
        (&["-", "--quota", "-1/s"], "--quota -1/s: \"-1\" is not a number"),
        (&["-", "--key", "ip"], "[possible values: client, path, client+path, user]"),
        (&["-", "--capacity", "18446744073709551615"], "--capacity"),
        (&["-", "--frobnicate"], "'--frobnicate'"),
        (&["no/such/file"], "no/such/file: No such file"),
        (&["."], "is a folder"),
        (
            &["-", "--svg", "no/such/folder/x.svg"],
            "--svg no/such/folder/x.svg: there is no such folder",
        ),
    ] {
        let text = refusal(arguments, &log);
        assert!(text.starts_with("tidegate: ") && text.contains(says), "{arguments:?}: {text}");
    }
    assert!(refusal(&["-"], b"").contains("standard input: nothing to read"));
    assert!(
        refusal(&["-"], b"\n\nnonsense\n")
            .contains("none of its lines (1) can be used; standard input line 3: ")
    );
}

#[test]
fn a_negative_value_is_refused_by_the_name_of_its_option() {
    for option in [
        "--quota",
        "--limit",
        "--burst",
        "--max-wait",
        "--find",
        "--of",
        "--spread",
        "--key",
        "--cost",
        "--only",
        "--except",
        "--client-field",
        "--trusted-hops",
        "--ipv6-prefix",
        "--log-format",
        "--json-fields",
        "--capacity",
        "--on-full",
        "--top",
        "--format",
        "--output",
        "--svg",
    ] {
        // An option whose value was forgotten takes the next option for it.
        for value in ["-1", "--json"] {
            let refusal = refusal(&["-", option, value], b"");
            assert!(refusal.contains(option) && refusal.contains(value), "{refusal}");
        }
    }
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
    assert!(refusal(&[file, "--svg", file], b"").contains("is one of the logs"));
    assert_eq!(json(&[file], b"")["requests"], 1);
}

#[test]
fn lines_of_any_length_and_bytes_do_no_harm() {
    let mut log = vec![b'x'; 10 << 20];
    log.extend(b"\n\xff\xfe\x00 - - [17/May/2015:10:00:00 +0000] \"GET /\xff\"\n");
    log.extend(b"a - - [17/May/9999999:10:00:00 +0000]\n");
    log.extend(line("a", 0, "/", "1").bytes());
    let outcome = json(&["-"], &log);
    assert_eq!((&outcome["requests"], &outcome["skipped"]), (&1.into(), &3.into()));
    assert_eq!(outcome["first_skipped"][0]["reason"], "longer than 64 KiB");
}

#[test]
fn a_closed_pipe_ends_quietly() {
    let mut child = tidegate()
        .args(["replay", "--demo", "--top", "1000"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    drop(child.stdout.take());
    let mut errors = String::new();
    child.stderr.take().expect("a pipe").read_to_string(&mut errors).expect("text");
    assert!(child.wait().expect("it ends").success());
    assert_eq!(errors, "");
}

#[test]
fn the_text_says_it_all_and_the_picture_is_drawn() {
    let folder = tempfile::tempdir().expect("a folder");
    let picture = folder.path().join("denied.svg");
    let log = log(&[("a", 0), ("a", 0), ("b", 1)]);
    let path = picture.to_str().expect("a path in UTF-8");
    let output = replay(&["-", "--quota", "1/hour", "--svg", path], &log);
    let text = String::from_utf8(output.stdout).expect("text");
    for part in
        ["1/hour, a bucket for each client", "66.7 %", "33.3 %", "most denied", "denied   |█"]
    {
        assert!(text.contains(part), "{part:?} is not in\n{text}");
    }
    let svg = std::fs::read_to_string(picture).expect("a picture");
    assert!(svg.contains("1 (33.3 %) of 3 requests denied") && svg.contains("2 admitted"));
}

#[test]
fn help_fits_into_a_hundred_columns() {
    for help in [["replay", "--help"], ["replay", "-h"], ["pressure", "--help"]] {
        let output = tidegate().args(help).output().expect("it runs");
        assert!(output.status.success());
        let text = String::from_utf8(output.stdout).expect("text");
        assert!(text.contains("Examples:"), "{text}");
        let long = text.lines().find(|line| line.chars().count() > 100);
        assert_eq!(long, None, "{help:?}");
    }
}

#[test]
fn the_picture_alone_goes_to_standard_output() {
    let log = log(&[("a", 0), ("b", 1)]);
    let output = replay(&["-", "--svg", "-"], &log);
    assert!(output.status.success());
    let text = String::from_utf8(output.stdout).expect("text");
    assert!(text.starts_with("<svg") && text.trim_end().ends_with("</svg>"), "{text}");
    // A result that was asked for is not left out without a word.
    for asked in [["--format", "csv"], ["--output", "-"]] {
        let text = refusal(&[&["-", "--svg", "-"], &asked[..]].concat(), &log);
        assert!(text.contains("--svg -: is written by --output, too"), "{text}");
    }
    assert!(refusal(&["-", "--svg", "-", "--json"], &log).contains("--output, too"));
}

/// Compares with the figures that an exact computation over the rationals gave for the real log, if
/// that is at hand. Its stamps are whole seconds, which the computation took for the exact times.
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
        let arguments = [path, "--quota", quota, "--burst", burst, "--spread", "none"];
        let outcome = json(&arguments, &[]);
        assert_eq!(outcome["requests"], 10_000);
        assert_eq!(reading(&outcome)["denied"], denied, "{quota}");
        assert_eq!(reading(&outcome)["peak_live_keys"], peak, "{quota}");
    }
}
