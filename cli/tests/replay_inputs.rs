//! Logs as they are found: each is either understood or said not to be.

mod program;

use std::process::Stdio;

use program::{
    denied, gzip, json, json_and_errors, line, log, refusal, replay, tidegate, two_clients,
};

/// Puts a prefix before a line.
type Decorate = fn(&str) -> String;

/// A quota of 3 a minute for standard input.
const THREE: [&str; 3] = ["-", "--quota", "3/min"];

#[test]
fn what_stands_before_the_client_is_not_the_client() {
    let prefixes: [(&str, Decorate); 8] = [
        ("nothing", str::to_owned),
        ("a virtual host", |line| format!("www.example.org:443 {line}")),
        ("syslog", |line| format!("May 17 10:00:00 web1 nginx: {line}")),
        ("syslog with a process", |line| format!("<190>May 17 10:00:00 web1 nginx[7]: {line}")),
        ("syslog of RFC 5424", |line| {
            format!("<190>1 2015-05-17T10:00:00Z web1 nginx 7 - - {line}")
        }),
        ("docker compose", |line| format!("web-1  | {line}")),
        ("kubectl", |line| format!("[pod/web-5c9/nginx] {line}")),
        ("a time", |line| format!("2015-05-17T10:00:00.123456789Z {line}")),
    ];
    for (what, decorate) in prefixes {
        let outcome = json(&THREE, &two_clients(decorate));
        assert_eq!((&outcome["keys"], &outcome["skipped"]), (&2.into(), &0.into()), "{what}");
        assert_eq!(outcome["runs"][0]["readings"][0]["denied"], 2, "{what}: {outcome:#}");
        assert_eq!(outcome["runs"][0]["readings"].as_array().map(Vec::len), Some(1), "{what}");
        assert_eq!(outcome["files"][0]["matched"], 8, "{what}");
    }
}

#[test]
fn a_client_is_its_address() {
    let each_with_a_port: String =
        (0..8).map(|second| line(&format!("203.0.113.9:4000{second}"), second, "/", "1")).collect();
    let through_proxies: String = (1..9)
        .map(|second| {
            let proxy = if second < 5 { format!(", 10.0.0.{second}") } else { String::new() };
            line(&format!("198.51.100.7{proxy}"), second, "/", "1")
        })
        .collect();
    let dressed: String = [
        "203.0.113.9",
        "::ffff:203.0.113.9",
        "[::ffff:203.0.113.9]:443",
        "64:ff9b::203.0.113.9",
        "203.0.113.9:80",
        "::ffff:cb00:7109",
        "64:ff9b::cb00:7109",
        "203.0.113.9",
    ]
    .into_iter()
    .zip(0..)
    .map(|(client, second)| line(client, second, "/", "1"))
    .collect();
    for log in [each_with_a_port, through_proxies, dressed] {
        let outcome = json(&THREE, log.as_bytes());
        assert_eq!(outcome["keys"], 1, "{log}");
        assert_eq!(outcome["runs"][0]["readings"][0]["denied"], 5, "{log}");
    }
}

#[test]
fn a_client_behind_trusted_proxies_is_the_one_before_them() {
    let log = line("203.0.113.1, 198.51.100.7, 10.0.0.1", 0, "/", "1")
        + &line("203.0.113.2, 198.51.100.7, 10.0.0.1", 1, "/", "1");
    let keys = |hops: &str| json(&["-", "--trusted-hops", hops], log.as_bytes())["keys"].clone();
    assert_eq!(keys("1"), 1, "whatever the client itself wrote is not trusted");
    assert_eq!(keys("2"), 2);
    assert_eq!(keys("0"), 1);
}

#[test]
fn a_dash_is_no_user_and_no_client() {
    let anonymous: String = (1..=5)
        .map(|client| line(&format!("192.0.2.{client}"), 0, "/", "1").replace(" alice ", " - "))
        .collect();
    let with_one_user = anonymous.clone() + &line("192.0.2.1", 0, "/", "1");
    let by_user = ["-", "--key", "user", "--quota", "2/hour"];
    let (outcome, errors) = json_and_errors(&by_user, with_one_user.as_bytes());
    assert_eq!((&outcome["without_key"], &outcome["requests"]), (&5.into(), &1.into()));
    assert_eq!(outcome["runs"][0]["readings"][0]["denied"], 0);
    let text = replay(&by_user, with_one_user.as_bytes());
    let text = String::from_utf8_lossy(&text.stdout).into_owned() + &errors;
    assert!(text.contains("without a user") || text.contains("no user"), "{text}");

    // Nothing that counts is left: no request was denied, and that is said.
    let no_client = two_clients(|line| line.replace("192.0.2.1", "-").replace("192.0.2.2", "-"));
    for (arguments, log, says) in [
        (&by_user[..], anonymous.as_bytes(), "nothing counts: 5 of 5 lines have no user"),
        (&THREE, &no_client, "nothing counts: 8 of 8 lines have no client"),
    ] {
        let (outcome, errors) = json_and_errors(arguments, log);
        assert_eq!((&outcome["requests"], &outcome["keys"]), (&0.into(), &0.into()));
        assert_eq!(outcome["runs"][0]["readings"][0]["denied"], 0);
        assert!(errors.contains(says), "{errors}");
        for format in ["text", "csv", "html"] {
            let output = replay(&[arguments, &["--format", format]].concat(), log);
            assert!(output.status.success(), "{format}");
            assert!(!String::from_utf8_lossy(&output.stdout).contains("1970"), "{format}");
        }
        assert!(replay(&["-", "--key", "user", "--find", "1%"], log).status.success());
    }
}

#[test]
fn stamps_of_whole_seconds_have_two_readings() {
    let steady: Vec<_> = (0..60).map(|request| ("192.0.2.1", request / 10)).collect();
    let steady = log(&steady);
    let quota = ["-", "--quota", "10/s", "--burst", "1"];
    assert_eq!(denied(&quota, &steady), [0, 54]);
    let outcome = json(&quota, &steady);
    let readings = &outcome["runs"][0]["readings"];
    assert_eq!([&readings[0]["spread"], &readings[1]["spread"]], ["even", "none"]);
    let text = replay(&quota, &steady).stdout;
    let text = String::from_utf8(text).expect("text");
    assert!(text.contains("spread evenly") && text.contains("all at once"), "{text}");
    assert!(text.contains("0 (0 %) if spread evenly, 54 (90.0 %) if all at once"), "{text}");
    assert!(text.contains("two readings, not bounds"), "{text}");
    let pick = |spread| denied(&[&quota[..], &["--spread", spread]].concat(), &steady);
    assert_eq!((pick("even"), pick("none")), (vec![0], vec![54]));
}

#[test]
fn neither_reading_is_a_bound() {
    // True times 0.9 and 1.1: one of them is denied, and neither reading says so.
    let two = log(&[("192.0.2.1", 0), ("192.0.2.1", 1)]);
    assert_eq!(denied(&["-", "--quota", "1/s", "--burst", "1"], &two), [0]);
    // Three in a second, of five in two: 0, 0.45 and 0.9 would all pass.
    let three = log(&[("192.0.2.1", 0); 3]);
    assert_eq!(denied(&["-", "--quota", "5/2s", "--burst", "1"], &three), [1, 2]);
}

#[test]
fn many_clients_are_answered_by_the_quota_and_not_by_a_table() {
    let mut log = String::new();
    for client in 0..200_000 {
        let [_, a, b, c] = u32::to_be_bytes(client);
        log += &line(&format!("10.{a}.{b}.{c}"), client / 60 % 3_600, "/", "1");
    }
    let quota = ["-", "--quota", "1/day"];
    let outcome = json(&quota, log.as_bytes());
    let reading = &outcome["runs"][0]["readings"][0];
    assert_eq!((&outcome["keys"], &reading["denied"]), (&200_000.into(), &0.into()));
    assert_eq!(reading["no_slot"], 0);
    let table = [&quota[..], &["--capacity", "65536"]].concat();
    let outcome = json(&table, log.as_bytes());
    let reading = &outcome["runs"][0]["readings"][0];
    assert_eq!(reading["denied"], 0, "the quota denies none of them");
    assert!(reading["no_slot"].as_u64() > Some(1_000), "{reading}");
    let text = String::from_utf8(replay(&table, log.as_bytes()).stdout).expect("text");
    assert!(text.contains("no slot"), "{text}");
}

#[test]
fn what_follows_a_packed_log_is_passed_over() {
    let packed = gzip(&two_clients(str::to_owned));
    let zeros = [&packed[..], &[0; 512]].concat();
    let (outcome, errors) = json_and_errors(&THREE, &zeros);
    assert_eq!((&outcome["requests"], errors.as_str()), (&8.into(), ""));
    let garbage = [&packed[..], b"\r\n"].concat();
    let (outcome, errors) = json_and_errors(&THREE, &garbage);
    assert_eq!(outcome["requests"], 8);
    assert!(errors.contains("after the packed data"), "{errors}");
    assert_eq!(outcome["warnings"].as_array().map(Vec::len), Some(1));
}

#[test]
fn brackets_in_a_user_and_blanks_in_a_path_are_read() {
    let user = two_clients(|line| line.replace(" alice ", " a[b "));
    assert_eq!(denied(&THREE, &user), [2]);
    let paths = line("192.0.2.1", 0, "/a b", "1") + &line("192.0.2.1", 0, "/a c", "1");
    assert_eq!(json(&["-", "--key", "path"], paths.as_bytes())["keys"], 2);
}

#[test]
fn logs_of_proxies_and_load_balancers_are_read() {
    let old_ingress = "192.0.2.1 - [192.0.2.1] - - [17/May/2015:10:00:00 +0000] \
                       \"GET / HTTP/1.1\" 200 5 \"-\" \"t\" 1 0.1 [svc] 10.0.0.1:80 5 0.1 200\n";
    let haproxy = "Jan  2 03:04:05 h1 haproxy[7]: 192.0.2.1:40000 [02/Jan/2024:03:04:05.678] f b/s \
                   1/0/1/1/3 200 5 - - ---- 1/1/1/1/0 0/0 \"GET / HTTP/1.1\"\n";
    let alb = "http 2024-01-02T03:04:05.000001Z app/lb/1 192.0.2.1:40000 198.51.100.1:80 0.000 0.001 \
               0.000 200 200 1 2 \"GET http://a.example:80/ HTTP/1.1\" \"t\" - - tg \"r\" \"-\" \
               \"-\" 0 2024-01-02T03:04:05.000000Z \"forward\" \"-\" \"-\" \"198.51.100.1:80\" \
               \"200\" \"-\" \"-\"\n";
    let caddy = "{\"ts\":1700000000.25,\"msg\":\"handled request\",\"request\":{\"client_ip\":\
                 \"192.0.2.1\",\"method\":\"GET\",\"uri\":\"/\"},\"size\":5,\"status\":200}\n";
    let nginx_json = "{\"time\":\"2015-05-17T10:05:03+00:00\",\"remote_addr\":\"192.0.2.1\",\
                      \"request\":\"GET / HTTP/1.1\",\"status\":\"200\"}\n";
    let iis = "#Software: Microsoft Internet Information Services 10.0\n#Fields: date time s-ip \
               cs-method cs-uri-stem cs-uri-query s-port cs-username c-ip cs(User-Agent) cs(Referer) \
               sc-status sc-substatus sc-win32-status time-taken\n2015-05-17 10:05:03 10.0.0.1 GET / \
               - 80 - 192.0.2.1 curl - 200 0 0 15\n";
    let cloudfront = "#Version: 1.0\n#Fields: date time x-edge-location sc-bytes c-ip cs-method\n\
                      2024-01-02\t03:04:05\tE1\t5\t192.0.2.1\tGET\n";
    let s3 = "79a5 bucket [06/Feb/2019:00:00:38 +0000] 192.0.2.1 79a5 3E57427F3EXAMPLE \
              REST.GET.OBJECT photo.jpg \"GET /bucket/photo.jpg HTTP/1.1\" 200 - 113 113 7 - \"-\" \
              \"S3Console/0.4\" -\n";
    let traefik = "192.0.2.1 - - [17/May/2015:10:05:03 +0000] \"GET / HTTP/2.0\" 200 5 \"-\" \"-\" 1 \
                   \"whoami@docker\" \"http://172.18.0.2:80\" 2ms\n";
    for log in [old_ingress, haproxy, alb, caddy, nginx_json, iis, cloudfront, s3, traefik] {
        // Two a minute of four, each of one client.
        let outcome = json(&["-", "--quota", "2/min"], log.repeat(4).as_bytes());
        assert_eq!((&outcome["requests"], &outcome["skipped"]), (&4.into(), &0.into()), "{log}");
        assert_eq!(outcome["keys"], 1, "{log}");
        let top = &outcome["runs"][0]["readings"][0]["top"][0];
        assert_eq!((&top["key"], &top["denied"]), (&"192.0.2.1".into(), &2.into()), "{log}");
    }
}

#[test]
fn what_a_file_begins_with_is_not_a_client() {
    for head in [&[0; 512][..], b"\xef\xbb\xbf"] {
        let log = [head, &two_clients(str::to_owned)].concat();
        let outcome = json(&THREE, &log);
        assert_eq!((&outcome["keys"], &outcome["skipped"]), (&2.into(), &0.into()));
        assert_eq!(outcome["runs"][0]["readings"][0]["denied"], 2);
    }
}

#[test]
fn times_of_any_zone_and_fraction_are_instants() {
    for stamps in [
        ["29/Oct/2023:02:59:59 +0200", "29/Oct/2023:02:00:00 +0100"],
        ["29/Oct/2023:02:59:59 +02:00", "29/Oct/2023:01:00:00 Z"],
        ["2023-10-29T02:59:59+02:00", "2023-10-29T01:00:00Z"],
        ["29/Oct/2023:02:59:59.000 +0200", "29/Oct/2023:02:00:00.000 +0100"],
    ] {
        let log: String = stamps
            .iter()
            .map(|stamp| format!("192.0.2.1 - - [{stamp}] \"GET / HTTP/1.1\" 200 1\n"))
            .collect();
        let outcome = json(&["-"], log.as_bytes());
        assert_eq!(outcome["span_nanos"], 1_000_000_000, "{stamps:?}");
    }
    let leap: String = ["31/Dec/2016:23:59:59", "31/Dec/2016:23:59:60", "01/Jan/2017:00:00:00"]
        .iter()
        .map(|stamp| format!("192.0.2.1 - - [{stamp} +0000] \"GET / HTTP/1.1\" 200 1\n"))
        .collect();
    let outcome = json(&["-"], leap.as_bytes());
    assert_eq!(
        (&outcome["requests"], &outcome["span_nanos"]),
        (&3.into(), &1_000_000_000_u64.into())
    );
}

#[test]
fn an_output_that_is_an_input_is_refused_before_reading() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name).to_str().expect("UTF-8").to_owned();
    let (file, link) = (path("a.log"), path("b.log"));
    let bytes = two_clients(str::to_owned);
    std::fs::write(&file, &bytes).expect("a file");
    std::fs::hard_link(&file, &link).expect("a link");
    for output in [&file, &link] {
        assert!(refusal(&[&file, "--svg", output], b"").contains("--svg"));
    }
    let redirected = tidegate()
        .args(["replay", "-", "--svg", &file])
        .stdin(Stdio::from(std::fs::File::open(&file).expect("a file")))
        .output()
        .expect("it runs");
    assert_eq!(redirected.status.code(), Some(2));
    assert_eq!(std::fs::read(&file).expect("a file"), bytes);
    // A path that cannot be written is found before the input is read: its error comes first.
    let text = refusal(&["no/such/file", "--svg", "no/such/folder/x.svg"], b"");
    assert!(text.contains("--svg no/such/folder/x.svg"), "{text}");
}

#[cfg(unix)]
#[test]
fn standard_output_that_is_a_log_or_the_picture_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("a.log");
    let log = two_clients(str::to_owned);
    std::fs::write(&path, &log).expect("a file");
    let name = path.to_str().expect("text");
    let picture = folder.path().join("a.svg");
    let picture_name = picture.to_str().expect("text");
    for (output, arguments, says) in [
        (&path, vec![name], "--output -: is one of the logs that are read"),
        (&picture, vec![name, "--svg", picture_name], "a.svg: is written by --output, too"),
    ] {
        let file = std::fs::File::options().append(true).create(true).open(output);
        let mut command = tidegate();
        let command = command.arg("replay").args(arguments).stdin(Stdio::null());
        let ended = command.stdout(file.expect("a file")).output().expect("the program ends");
        let errors = String::from_utf8(ended.stderr).expect("text");
        assert_eq!(ended.status.code(), Some(2), "{errors}");
        assert!(errors.contains(says) && errors.lines().count() == 1, "{errors}");
    }
    assert_eq!(std::fs::read(&path).expect("a file"), log);
    assert_eq!(std::fs::read(&picture).expect("a file"), b"");
}

#[test]
fn without_input_there_is_an_error_and_never_an_invented_day() {
    for arguments in [&[][..], &["-"]] {
        assert!(refusal(arguments, b"").contains("nothing to read"), "{arguments:?}");
    }
    let day = json(&["--demo"], b"");
    assert_eq!(day["files"][0]["name"], "a built-in synthetic day");
    assert_eq!(day, json(&["--demo"], b""), "it is always the same");
    assert!(refusal(&["--demo", "-"], b"").contains("--demo"));
}

#[test]
fn several_files_are_one_log_in_the_order_of_their_times() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name);
    // Rotated: the older is packed. By the order of the names the newer would come first.
    std::fs::write(path("access.log"), log(&[("192.0.2.1", 6), ("192.0.2.1", 12)]))
        .expect("a file");
    std::fs::write(path("access.log.1.gz"), gzip(&log(&[("192.0.2.1", 0)]))).expect("a file");
    let both = format!("{}/access.log*", folder.path().display());
    let outcome = json(&[&both, "--quota", "6/min", "--burst", "1"], b"");
    assert_eq!(outcome["files"].as_array().map(Vec::len), Some(2));
    let reading = &outcome["runs"][0]["readings"][0];
    assert_eq!((&outcome["requests"], &reading["denied"]), (&3.into(), &1.into()));
    assert_eq!(outcome["span_nanos"], 12_000_000_000_u64);
    let none = format!("{}/*.zst", folder.path().display());
    assert!(refusal(&[&none], b"").contains("*.zst"));
}

#[test]
fn lines_that_do_not_match_are_counted_and_too_many_of_them_are_an_exit_status() {
    let nine = two_clients(str::to_owned).repeat(9);
    let few = [&nine[..], b"nonsense\n"].concat();
    let output = replay(&THREE, &few);
    assert_eq!(output.status.code(), Some(0));
    let many = [&nine[..], &b"nonsense\n".repeat(10)].concat();
    let output = replay(&THREE, &many);
    assert_eq!(output.status.code(), Some(3), "more than one in ten");
    assert!(!output.stdout.is_empty(), "the result is printed all the same");
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(errors.contains("line 73 skipped: "), "{errors}");
}

#[test]
fn a_format_may_be_named_or_spelled() {
    let pipes = b"192.0.2.1|17/May/2015:10:00:00 +0000|GET / HTTP/1.1\n".repeat(4);
    let nginx = ["-", "--quota", "2/min", "--log-format", "$remote_addr|$time_local|$request"];
    assert_eq!(denied(&nginx, &pipes), [2]);
    let apache = ["-", "--quota", "2/min", "--log-format", "%h|%{%d/%b/%Y:%H:%M:%S %z}t|%r"];
    assert_eq!(denied(&apache, &pipes), [2]);
    let fields = b"{\"who\":{\"ip\":\"192.0.2.1\"},\"at\":1700000000123}\n".repeat(4);
    let json = ["-", "--quota", "2/min", "--json-fields", "client=who.ip,time=at"];
    assert_eq!(denied(&json, &fields), [2]);
    assert!(refusal(&["-", "--log-format", "nonsense"], &pipes).contains("--log-format"));
    assert!(refusal(&["-", "--json-fields", "client=a"], &fields).contains("time"));
}

#[test]
fn control_characters_reach_no_terminal() {
    let evil = line("192.0.2.1", 0, "/\u{1b}[2J\u{202e}x", "1").repeat(4);
    for format in ["text", "json", "csv", "html"] {
        let arguments = ["-", "--key", "path", "--quota", "1/day", "--format", format];
        let output = replay(&arguments, evil.as_bytes());
        let text = String::from_utf8(output.stdout).expect("text");
        assert!(!text.contains('\u{1b}'), "{format}");
        assert!(text.contains("2J"), "{format}: {text}");
    }
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("\u{1b}[31mred.log");
    std::fs::write(&file, "nonsense\n").expect("a file");
    let output = replay(&[file.to_str().expect("UTF-8")], b"");
    assert!(!output.stderr.contains(&0x1b));
}
