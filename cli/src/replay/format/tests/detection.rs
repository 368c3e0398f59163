use super::super::super::stamp::Stamps;
use super::super::common::Common;
use super::super::{Format, detect};

fn named(log: &str) -> String {
    detect(log.as_bytes()).name()
}

#[test]
fn relatives_of_common_log_format_are_told_apart() {
    let time = "[17/May/2015:10:00:00 +0000]";
    for (name, line) in [
        ("common", r#"192.0.2.1 - - TIME "GET / HTTP/1.1" 200 5"#),
        ("common", r#"host.example - - TIME "GET / HTTP/1.1" 200 5"#),
        ("combined", r#"192.0.2.1 - - TIME "GET / HTTP/1.1" 200 5 "-" "t""#),
        ("combined", r#"198.51.100.7, 10.0.0.1 - - TIME "GET / HTTP/1.1" 200 5 "-" "t""#),
        ("combined", r#"192.0.2.1:40000 - - TIME "GET / HTTP/1.1" 200 5 "-" "t""#),
        ("combined", r#"192.0.2.1 - a[b TIME "GET / HTTP/1.1" 200 5 "-" "t""#),
        ("combined", r#"- - - TIME "GET / HTTP/1.1" 200 5 "-" "t""#),
        (
            "combined",
            r#"192.0.2.1 - [192.0.2.1] - - TIME "GET / HTTP/1.1" 200 5 "-" "t" 1 0.1 [svc] 10.0.0.1:80 5 0.1 200"#,
        ),
        (
            "traefik",
            r#"192.0.2.1 - - TIME "GET / HTTP/2.0" 200 5 "-" "-" 1 "a@docker" "http://172.18.0.2:80" 2ms"#,
        ),
        (
            "vhost_combined",
            r#"www.example.org:443 192.0.2.1 - - TIME "GET / HTTP/1.1" 200 5 "-" "t""#,
        ),
        ("vhost_combined", r#"www.example.org 192.0.2.1 - - TIME "GET / HTTP/1.1" 200 5"#),
    ] {
        assert_eq!(named(&line.replace("TIME", time)), name, "{line}");
    }
}

#[test]
fn every_kind_of_log_is_found_out() {
    let line = r#"192.0.2.1 - - [17/May/2015:10:00:00 +0000] "GET / HTTP/1.1" 200 5"#;
    let agent = r#""-" "t""#;
    for (name, log) in [
        ("common", line.to_owned()),
        ("combined", format!("{line} {agent}")),
        ("combined", format!("{}{line} {agent}", "\0".repeat(4_096))),
        ("combined", format!("\u{feff}{line} {agent}\r\n")),
        ("common", line.replace("+0000", "+02:00")),
        ("common", line.replace("00 +0000", "00.123 Z")),
        ("common", line.replace("17/May/2015:10:00:00 +0000", "2015-05-17T10:00:00+02:00")),
        ("common", line.replace("17/May/2015:10:00:00", "31/Dec/2016:23:59:60")),
        ("vhost_combined", format!("www.example.org:443 {line} {agent}")),
        ("syslog combined", format!("May 17 10:00:00 web1 nginx: {line} {agent}")),
        ("compose combined", format!("web-1  | {line} {agent}")),
        ("compose vhost_combined", format!("web-1  | www.example.org:443 {line} {agent}")),
        (
            "haproxy",
            r#"192.0.2.1:40000 [17/May/2015:10:00:00.678] f b/s 1/0/1/1/3 200 5 - - ---- 1/1/1/1/0 0/0 "GET / HTTP/1.1""#.into(),
        ),
        (
            "syslog haproxy",
            r#"May 17 10:00:00 h1 haproxy[7]: 192.0.2.1:40000 [17/May/2015:10:00:00.678] f b/s 1/0/1/1/3 200 5 - - ---- 1/1/1/1/0 0/0 "GET / HTTP/1.1""#.into(),
        ),
        (
            "alb",
            r#"http 2015-05-17T10:00:00.000001Z app/lb/1 192.0.2.1:40000 10.0.0.1:80 0.000 0.001 0.000 200 200 1 2 "GET http://a.example:80/ HTTP/1.1" "t" - - tg"#.into(),
        ),
        (
            "s3",
            r#"79a5 a-bucket [17/May/2015:10:00:00 +0000] 192.0.2.1 - 3E57 REST.GET.OBJECT a "GET /a HTTP/1.1" 200 - 2662 2662 70 10 "-" "t" -"#.into(),
        ),
        (
            "cloudfront",
            "#Version: 1.0\n#Fields: date time x-edge-location sc-bytes c-ip cs-method\n\
             2015-05-17\t10:00:00\tE1\t5\t192.0.2.1\tGET\n".into(),
        ),
        ("cloudfront", "2015-05-17\t10:00:00\tE1\t5\t192.0.2.1\tGET\n".into()),
        (
            "iis",
            "#Software: Microsoft Internet Information Services 10.0\n\
             #Fields: date time s-ip cs-method cs-uri-stem cs-uri-query s-port cs-username c-ip\n\
             2015-05-17 10:00:00 10.0.0.1 GET / - 80 - 192.0.2.1 curl - 200 0 0 15\n".into(),
        ),
        (
            "iis",
            "\u{feff}#Fields: c-ip time date\r\n192.0.2.1 10:00:00 2015-05-17\r\n".into(),
        ),
        (
            "nginx-json",
            r#"{"time":"2015-05-17T10:00:00+00:00","remote_addr":"192.0.2.1","request":"GET / HTTP/1.1","status":"200"}"#.into(),
        ),
        (
            "caddy",
            r#"{"ts":1431856800.25,"msg":"handled request","request":{"client_ip":"192.0.2.1","method":"GET","uri":"/"},"size":5,"status":200}"#.into(),
        ),
        (
            "compose caddy",
            r#"caddy-1  | {"ts":1431856800.25,"request":{"client_ip":"192.0.2.1"}}"#.into(),
        ),
        (
            "traefik-json",
            r#"{"ClientHost":"192.0.2.1","RequestPath":"/","time":"2015-05-17T10:00:00Z"}"#.into(),
        ),
        ("json", r#"{"ts":1431856800.25,"ip":"192.0.2.1"}"#.into()),
    ] {
        assert_eq!(named(&log), name, "{log}");
        // The name that is shown can be given.
        assert_eq!(super::format(name).name(), name);
    }
}

#[test]
fn two_addresses_are_not_guessed_at() {
    let rest = r#"[17/May/2015:10:00:00 +0000] "GET / HTTP/1.1" 200 5 "-" "t""#;
    // Which one is the client: the first, of `X-Forwarded-For`, or the second, behind a virtual host?
    let log = &format!("192.0.2.1 10.0.0.1 - - {rest}");
    let why = super::reason(&*detect(log.as_bytes()), log);
    assert_eq!(why, "two addresses where one client should be");
    let log = format!("10.0.0.1 - 192.0.2.1 - - {rest}");
    assert!(!Common::Combined.recognizes(log.as_bytes(), &mut Stamps::default()));
}

#[test]
fn most_lines_decide() {
    let good = "192.0.2.1 - - [17/May/2015:10:00:00 +0000] \"GET / HTTP/1.1\" 200 5 \"-\" \"t\"\n";
    let json = "{\"ts\":1431856800.25,\"ip\":\"192.0.2.1\"}\n";
    assert_eq!(named(&format!("garbage\n\n{good}[error] x\n{json}{good}")), "combined");
    assert_eq!(named(&format!("{json}{good}{json}garbage\n")), "json");
    // Other programs write to the same log.
    let log = format!("May 17 10:00:00 a sshd[7]: x\nMay 17 10:00:00 a nginx: {good}").repeat(3);
    assert_eq!(named(&log), "syslog combined");
    // The part of a line at the end of the head does not count, unless there is nothing else.
    assert_eq!(named(&format!("{json}{}", good.trim_end())), "json");
    assert_eq!(named(json.trim_end()), "json");
}

#[test]
fn a_log_of_nothing_known_says_what_it_lacks() {
    for log in ["", "\n\n", "garbage\n", "\0\0\0"] {
        assert_eq!(named(log), "combined");
    }
    let json = r#"{"when":1431856800.25,"who":"192.0.2.1"}"#;
    assert_eq!(super::reason(&*detect(json.as_bytes()), json), "no timestamp");
    let header = "#Fields: date time s-ip";
    let line = "2015-05-17 10:00:00 10.0.0.1";
    let iis = detect(format!("{header}\n{line}\n").as_bytes());
    let iis = iis.after_header(header.as_bytes()).expect("names of columns");
    assert_eq!(super::reason(&*iis, line), "no client");
}
