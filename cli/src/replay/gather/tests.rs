//! Logs from files to traffic.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::testing::{ByClient, Words};
use super::{Detect, gather_on};
use crate::replay::format::{self, Format};
use crate::replay::input::Sources;
use crate::replay::input::testing::{gzip, zstd};
use crate::replay::traffic::Traffic;

fn detect(head: &[u8]) -> Arc<dyn Format> {
    Arc::new(if head.starts_with(b"#") { Words::with_headers() } else { Words::default() })
}

fn gather(threads: usize, sources: &Sources) -> Result<Traffic, String> {
    let detect: &Detect<'_> = &detect;
    gather_on(threads, sources, detect, &ByClient).map_err(|failure| failure.0)
}

fn of_memory(log: impl Into<Vec<u8>>) -> Result<Traffic, String> {
    gather(2, &Sources::memory("log", log.into()))
}

/// A folder of logs.
struct Logs(tempfile::TempDir);

impl Logs {
    fn new(logs: &[(&str, &[u8])]) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        for (name, content) in logs {
            fs::write(folder.path().join(name), content).expect("a file");
        }
        Self(folder)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn gather(&self, names: &[&str]) -> Result<Traffic, String> {
        let paths: Vec<PathBuf> = names.iter().map(|name| self.path(name)).collect();
        let sources = Sources::find(&paths).map_err(|failure| failure.0)?;
        gather(2, &sources)
            .map_err(|text| text.replace(&format!("{}/", self.0.path().display()), ""))
    }
}

/// Returns the client, the nanoseconds and the cost of each request.
fn requests(traffic: &Traffic) -> Vec<(String, i64, u64)> {
    let requests = traffic.requests.iter();
    let key = |key| traffic.keys.get(key).into_owned();
    requests.map(|one| (key(one.key), one.time, traffic.cost(one))).collect()
}

/// Returns the keys of the requests in order, joined.
fn keys(traffic: &Traffic) -> String {
    requests(traffic).into_iter().map(|(key, ..)| key).collect()
}

fn file_name(path: &str) -> &str {
    Path::new(path).file_name().and_then(|name| name.to_str()).unwrap_or(path)
}

#[test]
fn requests_are_in_the_order_of_their_times() {
    let traffic = of_memory("a 5\nb 3 7\na 0.25\nc 5 4294967296\nd 4\n").expect("a log");
    let second = 1_000_000_000;
    let expected = [
        ("a", second / 4, 1),
        ("b", 3 * second, 7),
        ("d", 4 * second, 1),
        ("a", 5 * second, 1),
        ("c", 5 * second, 1 << 32),
    ];
    let expected = expected.map(|(key, time, cost)| (key.to_owned(), time, cost));
    assert_eq!(requests(&traffic), expected);
    assert_eq!((traffic.out_of_order, traffic.places, traffic.keys.len()), (3, 0, 4));
}

#[test]
fn rotated_logs_packed_or_not_are_read_in_the_order_of_their_times() {
    let logs = Logs::new(&[
        ("log", b"g 5\nh 6\n"),
        ("log.1", &gzip(b"d 3\ne 4\nf 5\n")),
        ("log.2", &zstd(b"a 1\nb 2\nc 3\n")),
    ]);
    for names in [&["log", "log.1", "log.2"][..], &["log.2", "log", "log.1"], &["log*"]] {
        let traffic = logs.gather(names).expect("logs");
        // Ties are in the order of the logs, whose first times are 1, 3 and 5.
        assert_eq!(keys(&traffic), "abcdefgh");
        let files: Vec<&str> = traffic.files.iter().map(|file| file_name(&file.name)).collect();
        assert_eq!(files, ["log.2", "log.1", "log"]);
        // No request is earlier than one before it in its own log.
        assert_eq!(traffic.out_of_order, 0);
        assert_eq!(traffic.warnings, [""; 0]);
    }
}

#[test]
fn logs_of_one_first_time_stay_in_the_order_in_which_they_were_named() {
    let logs = Logs::new(&[("x", b"a 1\nc 2\n"), ("y", b"b 1\nd 2\n"), ("z", b"no\n")]);
    assert_eq!(keys(&logs.gather(&["z", "x", "y"]).expect("logs")), "abcd");
    let traffic = logs.gather(&["z", "y", "x"]).expect("logs");
    assert_eq!(keys(&traffic), "badc");
    assert_eq!(file_name(&traffic.files[2].name), "z");
}

#[test]
fn an_empty_log_among_others_is_shown_without_a_format() {
    let logs = Logs::new(&[("log", b""), ("log.1", b"a 1\n"), ("log.2", &gzip(b""))]);
    let traffic = logs.gather(&["log*"]).expect("logs");
    let files: Vec<(&str, u64)> =
        traffic.files.iter().map(|file| (&*file.format, file.lines)).collect();
    assert_eq!(files, [("words", 1), ("", 0), ("", 0)]);
}

#[test]
fn what_stands_before_the_first_line_changes_no_client() {
    let plain = of_memory("a 1\na 2\n").expect("a log");
    assert_eq!(keys(&plain), "aa");
    for start in [&b"\xef\xbb\xbf"[..], &[0; 4096], &[0; 200_000]] {
        let log = [start, b"a 1\na 2\n"].concat();
        for log in [gzip(&log), zstd(&log), log] {
            let traffic = of_memory(log).expect("a log");
            assert_eq!(requests(&traffic), requests(&plain));
        }
    }
}

#[test]
fn a_tail_that_is_no_log_is_a_warning_and_one_of_zeros_is_none() {
    let packed = gzip(b"a 1\n");
    let logs = Logs::new(&[
        ("zeros", &[&packed[..], &[0; 512]].concat()),
        ("garbage", &[&packed[..], b"\r\n"].concat()),
        ("cut", &packed[..packed.len() - 1]),
    ]);
    assert_eq!(logs.gather(&["zeros"]).expect("a log").warnings, [""; 0]);
    let traffic = logs.gather(&["garbage"]).expect("a log");
    assert_eq!(keys(&traffic), "a");
    let warning = format!("{}: ", logs.path("garbage").display());
    assert!(traffic.warnings[0].starts_with(&warning), "{:?}", traffic.warnings);
    assert_eq!(traffic.warnings.len(), 1);
    let failure = logs.gather(&["cut"]).expect_err("refused");
    assert_eq!(failure, "cut: broken gzip: cut off");
}

#[test]
fn skipped_lines_are_numbered_within_their_log_and_counted_by_reason() {
    let mut log = "a 1\n".repeat(700_000);
    log.push_str("no\n\na x\n");
    log.push_str(&"b 2\n".repeat(700_000));
    log.push_str(&"no\n".repeat(9));
    let logs = Logs::new(&[("1", b"a 0\n\n\nb\n"), ("2", log.as_bytes())]);
    let traffic = logs.gather(&["2", "1"]).expect("logs");
    let first: Vec<(&str, u64, &str)> = traffic
        .first_skipped
        .iter()
        .map(|one| (file_name(&one.file), one.line, one.reason))
        .collect();
    let expected = [
        ("1", 4, "no time"),
        ("2", 700_001, "no time"),
        ("2", 700_003, "a time that is no number"),
        ("2", 1_400_004, "no time"),
        ("2", 1_400_005, "no time"),
    ];
    assert_eq!(first, expected);
    assert_eq!(traffic.skipped, 12);
    assert_eq!(traffic.skip_reasons, [("no time", 11), ("a time that is no number", 1)]);
    let counts: Vec<(u64, u64, u64)> =
        traffic.files.iter().map(|file| (file.lines, file.matched, file.skipped)).collect();
    assert_eq!(counts, [(2, 1, 1), (1_400_011, 1_400_000, 11)]);
    assert!(traffic.files[0].is_doubtful() && !traffic.files[1].is_doubtful());
}

#[test]
fn threads_change_nothing() {
    let mut random = fastrand::Rng::with_seed(0x7e4ead);
    let mut log = String::new();
    for line in 0..600_000 {
        let (client, late) = (random.u32(..50_000), random.i64(0..5));
        log += &format!("client{client} {} {}\n", line / 60 - late, random.u32(..9));
    }
    let sources = Sources::memory("log", log.into_bytes());
    let one = gather(1, &sources).expect("a log");
    for threads in [2, 7] {
        let other = gather(threads, &sources).expect("a log");
        assert!(one.requests == other.requests);
        assert!(requests(&one) == requests(&other));
        assert_eq!(one.out_of_order, other.out_of_order);
    }
}

#[test]
fn columns_may_be_renamed_anywhere_in_a_log() {
    let mut log = "#v\n".to_owned();
    for block in 0..200_i64 {
        let lines = (0..1000).map(|line| {
            let time = block * 1000 + line;
            if block % 2 == 0 { format!("a {time}\n") } else { format!("{time} a\n") }
        });
        log.extend(lines);
        log.push_str("#swap\n");
    }
    let traffic = of_memory(log).expect("a log");
    assert_eq!((traffic.skipped, traffic.keys.len(), traffic.requests.len()), (0, 1, 200_000));
}

#[test]
fn requests_of_which_none_counts_are_an_answer_with_a_warning() {
    for (log, warning) in [
        ("left 1\nx\n", "log: nothing counts: 1 of 2 lines are filtered out"),
        ("- 1\n", "log: nothing counts: 1 of 1 lines have no client"),
    ] {
        let traffic = of_memory(log).expect(log);
        assert_eq!((traffic.requests.len(), &traffic.warnings[..]), (0, &[warning.to_owned()][..]));
    }
}

#[test]
fn a_log_without_a_request_is_an_error_that_says_why() {
    for (log, reason) in [
        ("", "nothing to read"),
        ("\n\n", "nothing to read"),
        ("x\na 1 x\n", "none of its lines (2) can be used; log line 1: no time"),
    ] {
        assert_eq!(of_memory(log).expect_err(log), format!("log: {reason}"));
    }
    let logs = Logs::new(&[("1", b""), ("2", b"x\n")]);
    let expected = "2 logs: none of its lines (1) can be used; 2 line 1: no time";
    assert_eq!(logs.gather(&["1", "2"]).expect_err("nothing"), expected);
}

#[test]
fn a_span_that_only_a_damaged_time_explains_is_an_error() {
    let failure = of_memory("a 0\nb 1700000000\n").expect_err("a span");
    let expected = "log: spans more than 10 years, \
                    from 1970-01-01 00:00:00 UTC to 2023-11-14 22:13:20 UTC";
    assert_eq!(failure, expected);
    let logs = Logs::new(&[("old", b"a 0\n"), ("new", b"b 1700000000\n"), ("mid", b"b 9\n")]);
    let failure = logs.gather(&["new", "mid", "old"]).expect_err("a span");
    assert!(failure.contains("old and ") && failure.contains("new: spans"), "{failure}");
    assert!(of_memory("a 0\nb 310000000\n").is_ok());
}

#[test]
fn a_log_without_line_ends_is_one_line_that_is_skipped() {
    let mut log = vec![b'x'; 9_000_000];
    log.extend_from_slice(b"\na 1\n");
    let traffic = of_memory(log).expect("a log");
    assert_eq!((keys(&traffic).as_str(), traffic.skipped), ("a", 1));
    assert_eq!(traffic.skip_reasons, [("longer than 64 KiB", 1)]);
}

#[cfg(unix)]
#[test]
fn a_pipe_is_read_once_and_from_its_beginning() {
    let logs = Logs::new(&[("log", b"b 2\n")]);
    let pipe = logs.path("pipe");
    let made = std::process::Command::new("mkfifo").arg(&pipe).status().expect("mkfifo");
    assert!(made.success());
    let content = format!("{}c 3\n", "a 1\n".repeat(100_000));
    let writer = std::thread::spawn({
        let pipe = pipe.clone();
        move || fs::write(pipe, content).expect("a reader")
    });
    let traffic = logs.gather(&["log", "pipe"]).expect("logs");
    writer.join().expect("no panic");
    assert_eq!(keys(&traffic), format!("{}bc", "a".repeat(100_000)));
}

#[test]
fn the_columns_of_a_real_format_may_change_within_a_log() {
    let mut log = String::new();
    for day in 1..=3 {
        let (header, order) = match day {
            2 => ("#Fields: sc-bytes c-ip date time", ["7", "192.0.2.1", "DAY", "10:00:00"]),
            _ => ("#Fields: date time c-ip sc-bytes", ["DAY", "10:00:00", "192.0.2.1", "7"]),
        };
        let line = order.join(" ").replace("DAY", &format!("2024-01-0{day}"));
        log += "#Software: Microsoft Internet Information Services 10.0\r\n#Version: 1.0\r\n";
        log += &format!("{header}\r\n{}", format!("{line}\r\n").repeat(40_000));
    }
    let sources = Sources::memory("log", log.into_bytes());
    let detect: &Detect<'_> = &|head| format::detect(head);
    let traffic = gather_on(2, &sources, detect, &ByClient).expect("a log");
    assert_eq!((traffic.skipped, traffic.requests.len(), traffic.keys.len()), (0, 120_000, 1));
    assert_eq!(&*traffic.files[0].format, "iis");
}
