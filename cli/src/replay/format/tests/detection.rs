use super::super::detect;

fn named(log: &str) -> String {
    detect(log.as_bytes()).format.name()
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
fn two_addresses_are_not_guessed_at() {
    // Which one is the client: the first, of `X-Forwarded-For`, or the second, behind a virtual host?
    let log =
        r#"192.0.2.1 10.0.0.1 - - [17/May/2015:10:00:00 +0000] "GET / HTTP/1.1" 200 5 "-" "t""#;
    assert_eq!(detect(log.as_bytes()).matched, 0);
}

#[test]
fn most_lines_decide() {
    let good = "192.0.2.1 - - [17/May/2015:10:00:00 +0000] \"GET / HTTP/1.1\" 200 5 \"-\" \"t\"\n";
    let log = format!("garbage\n\n{good}[error] x\n{good}");
    let detected = detect(log.as_bytes());
    assert_eq!((detected.lines, detected.matched), (4, 2));
    assert_eq!(detected.format.name(), "combined");
    // Other programs write to the same log.
    let log = format!("May 17 10:00:00 a sshd[7]: x\nMay 17 10:00:00 a nginx: {good}").repeat(3);
    assert_eq!(named(&log), "syslog combined");
    // The part of a line at the end of the head counts only if there is nothing else.
    assert_eq!(detect(format!("{good}192.0.2.1 - - [17/M").as_bytes()).lines, 1);
    assert_eq!(detect(good.trim_end().as_bytes()).matched, 1);
}

#[test]
fn a_log_of_nothing_known_is_taken_for_combined() {
    for log in ["", "\n\n", "garbage\n", "\0\0\0"] {
        let detected = detect(log.as_bytes());
        assert_eq!((detected.format.name(), detected.matched), ("combined".to_owned(), 0));
    }
}
