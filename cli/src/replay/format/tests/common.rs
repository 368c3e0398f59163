use super::super::super::entry::Wanted;
use super::super::super::stamp::Stamps;
use super::{SECOND, Said, TEN, format, reason, said};

fn get_root() -> Said {
    Said {
        nanos: TEN,
        client: "192.0.2.1".into(),
        method: "GET".into(),
        target: "/".into(),
        status: Some(200),
        bytes: Some(5),
        ..Said::default()
    }
}

#[test]
fn a_common_line_comes_apart() {
    let common = format("common");
    let line = r#"192.0.2.1 - - [17/May/2015:10:00:00 +0000] "GET / HTTP/1.1" 200 5"#;
    assert_eq!(said(&*common, line), get_root());
    let line =
        r#"crawler.example.org - alice [17/May/2015:12:00:01 +0200] "POST /a?b=c HTTP/1.0" 304 -"#;
    let expected = Said {
        nanos: TEN + SECOND,
        client: "crawler.example.org".into(),
        user: "alice".into(),
        method: "POST".into(),
        target: "/a?b=c".into(),
        status: Some(304),
        bytes: Some(0),
        ..Said::default()
    };
    assert_eq!(said(&*common, line), expected);
}

#[test]
fn a_combined_line_comes_apart() {
    let combined = format("combined");
    let line = concat!(
        r#"2001:db8::1 - John Doe [17/May/2015:10:00:00.123 +0000] "GET /\"a\" HTTP/1.1" 200 5 "#,
        r#""http://x.example/\"" "agent [1/2] \"2\"""#
    );
    let expected = Said {
        nanos: TEN + 123_000_000,
        places: 3,
        client: "2001:db8::1".into(),
        user: "John Doe".into(),
        target: r#"/\"a\""#.into(),
        ..get_root()
    };
    assert_eq!(said(&*combined, line), expected);
}

#[test]
fn the_last_quoted_field_is_who_a_proxy_names() {
    let combined = format("combined");
    let line = r#"192.0.2.1 - - [17/May/2015:10:00:00 +0000] "GET / HTTP/1.1" 200 5 "-" "t""#;
    for (more, forwarded) in [
        ("", ""),
        (r#" "198.51.100.7, 10.0.0.1""#, "198.51.100.7, 10.0.0.1"),
        (r#" "-""#, ""),
        (r#" 0.012 "198.51.100.7""#, "198.51.100.7"),
        (r#" "198.51.100.7" "TLSv1.3 x""#, ""),
        (r#" "198.51.100.7"#, ""),
    ] {
        assert_eq!(said(&*combined, &format!("{line}{more}")).forwarded, forwarded, "{more}");
    }
    // The agent is no such field, even if it looks like one.
    let line =
        r#"192.0.2.1 - - [17/May/2015:10:00:00 +0000] "GET / HTTP/1.1" 200 5 "-" "198.51.100.7""#;
    assert_eq!(said(&*combined, line).forwarded, "");
}

#[test]
fn a_virtual_host_is_no_client() {
    let vhost = format("vhost_combined");
    let rest = r#"- - [17/May/2015:10:00:00 +0000] "GET / HTTP/1.1" 200 5 "-" "t""#;
    for host in ["www.example.org:443", "www.example.org", "10.0.0.5:80", "[2001:db8::5]:80", "_"] {
        assert_eq!(said(&*vhost, &format!("{host} 192.0.2.1 {rest}")), get_root());
    }
    let alone = "192.0.2.1[17/May/2015:10:00:00 +0000]";
    assert_eq!(reason(&*vhost, alone), "no client after the virtual host");
    assert_eq!(
        reason(&*vhost, &format!("a|b 192.0.2.1 {rest}")),
        "the virtual host is neither a name nor an address"
    );
}

#[test]
fn old_ingress_controllers_repeat_the_client() {
    let line = r#"192.0.2.1 - [192.0.2.1] - al ice [17/May/2015:10:00:00 +0000] "GET / HTTP/1.1" 200 5 "-" "t" 1 0.1 [svc] 10.0.0.1:80 5 0.1 200"#;
    let expected = Said { user: "al ice".into(), ..get_root() };
    assert_eq!(said(&*format("combined"), line), expected);
    let line = line.replace("al ice", "-");
    assert_eq!(said(&*format("combined"), &line), get_root());
}

#[test]
fn traefik_adds_names_and_a_time() {
    let line = r#"192.0.2.1 - - [17/May/2015:10:00:00 +0000] "GET / HTTP/2.0" 200 5 "-" "-" 1 "whoami@docker" "http://172.18.0.2:80" 2ms"#;
    assert_eq!(said(&*format("traefik"), line), get_root());
    let line = r#"192.0.2.1 - alice [17/May/2015:10:00:01 +0000] "GET / HTTP/2.0" 499 - "-" "-" 2 "-" "-" 0ms"#;
    let traefik = said(&*format("traefik"), line);
    assert_eq!(
        (traefik.user.as_str(), traefik.status, traefik.bytes),
        ("alice", Some(499), Some(0))
    );
}

#[test]
fn clients_are_addresses_names_and_lists_of_them() {
    let combined = format("combined");
    for client in [
        "192.0.2.1:40000",
        "[2001:db8::1]:40000",
        "[2001:db8::1]",
        "::ffff:192.0.2.1",
        "fe80::1%eth0",
        "198.51.100.7, 10.0.0.1",
        "198.51.100.7,10.0.0.1",
        "unknown, 192.0.2.1",
        "crawler.example.org",
        "localhost",
        "unix:",
        "a_b",
        "host.example:81",
    ] {
        let line = format!(r#"{client} - - [17/May/2015:10:00:00 +0000] "GET / HTTP/1.1" 200 5"#);
        assert_eq!(said(&*combined, &line), Said { client: client.into(), ..get_root() });
    }
    let line = r#"- - - [17/May/2015:10:00:00 +0000] "GET / HTTP/1.1" 200 5"#;
    assert_eq!(said(&*combined, line), Said { client: String::new(), ..get_root() });
}

#[test]
fn a_line_whose_head_is_of_something_else_says_so() {
    let common = super::super::common::Common::Combined;
    let rest = r#"[17/May/2015:10:00:00 +0000] "GET / HTTP/1.1" 200 5 "-" "t""#;
    for (head, why) in [
        ("", "no client"),
        (" - - ", "no client"),
        ("www.example.org:443 192.0.2.1 - - ", "two addresses where one client should be"),
        ("10.0.0.1 192.0.2.1 - - ", "two addresses where one client should be"),
        ("10.0.0.1 www.example.org 192.0.2.1 - ", "two addresses where one client should be"),
        ("May 17 10:00:00 web1 nginx: 192.0.2.1 - - ", "no client before the timestamp"),
        ("web-1  | 192.0.2.1 - - ", "no client before the timestamp"),
        ("nginx: 192.0.2.1 - - ", "the client is neither an address nor the name of a host"),
        ("[pod/a/b] 192.0.2.1 - - ", "the client is neither an address nor the name of a host"),
        (
            "2015-05-17T10:00:00Z 192.0.2.1 - - ",
            "the client is neither an address nor the name of a host",
        ),
        ("192.0.2.256 - - ", "the client is neither an address nor the name of a host"),
        ("\u{fffd}\u{fffd} - - ", "the client is neither an address nor the name of a host"),
    ] {
        assert_eq!(reason(&common, &format!("{head}{rest}")), why, "{head}");
    }
}

#[test]
fn the_timestamp_is_the_bracket_that_holds_a_time() {
    let combined = format("combined");
    let rest = r#"[17/May/2015:10:00:00 +0000] "GET / HTTP/1.1" 200 5 "[01/Jan/1999:00:00:00 +0000] \"" "t""#;
    for user in ["a[b", "[", "a]b", "[b] c", "[01/Jan/1999:00:00:00 +0000] x", r#"a\"b"#, "[12"] {
        let expected = Said { user: user.into(), ..get_root() };
        assert_eq!(said(&*combined, &format!("192.0.2.1 - {user} {rest}")), expected);
    }
    for (time, nanos) in [
        ("2015-05-17T10:00:00Z", TEN),
        ("2015-05-17T12:00:00+02:00", TEN),
        ("17/May/2015:10:00:00 Z", TEN),
        ("16/May/2015:23:59:60 +0000", TEN - 36_000 * SECOND),
    ] {
        assert_eq!(said(&*combined, &format!("192.0.2.1 - - [{time}] \"-\" 400 0")).nanos, nanos);
    }
    for (line, why) in [
        ("", "no timestamp"),
        ("192.0.2.1 - -", "no timestamp"),
        ("192.0.2.1 - - \"[17/May/2015:10:00:00 +0000]\"", "no timestamp"),
        ("192.0.2.1 - - [yesterday] \"", "no timestamp"),
        ("192.0.2.1 - - [17/May/2015:10:00", "no end of the timestamp"),
        (
            "192.0.2.1 - - [32/May/2015:10:00:00 +0000]",
            "a timestamp unlike 17/May/2015:10:05:03 +0000",
        ),
        ("192.0.2.1 - - [2015-05-17T10:00:00+9999]", "a timestamp unlike 2015-05-17T10:05:03Z"),
    ] {
        assert_eq!(reason(&super::super::common::Common::Plain, line), why, "{line}");
    }
}

#[test]
fn a_client_cannot_hide_its_lines_by_the_name_of_a_user() {
    let line = r#"192.0.2.1 - USER [17/May/2015:10:00:00 +0000] "GET / HTTP/1.1" 200 5"#;
    for user in ["198.51.100.7", "198.51.100.7 - -", "x 198.51.100.7", "[x] - -", "- - -"] {
        let expected = Said { user: user.into(), ..get_root() };
        assert_eq!(said(&*format("combined"), &line.replace("USER", user)), expected);
    }
}

#[test]
fn what_a_server_writes_of_a_broken_request_is_taken_as_it_comes() {
    let combined = format("combined");
    for (tail, method, target, status, bytes) in [
        (r#""GET /a b HTTP/1.1" 200 5"#, "GET", "/a b", Some(200), Some(5)),
        (r#""GET /a" b HTTP/1.1" 200 5"#, "GET", "/a", None, None),
        (r#""GET /"a"b HTTP/1.1" 200 5"#, "GET", r#"/"a"b"#, Some(200), Some(5)),
        (r#""GET http://h/a HTTP/1.1" 200 5"#, "GET", "http://h/a", Some(200), Some(5)),
        (r#""GET /" 200 5"#, "GET", "/", Some(200), Some(5)),
        (r#""GET HTTP/1.1" 400 5"#, "", "", Some(400), Some(5)),
        (r#""-" 408 0"#, "", "", Some(408), Some(0)),
        (r#""" 400 0"#, "", "", Some(400), Some(0)),
        (r#""\x16\x03\x01" 400 157"#, "", "", Some(400), Some(157)),
        (r#""GET / HTTP/1.1" - x"#, "GET", "/", None, None),
        (r#""GET / HTTP/1.1" 2000 99999999999999999999"#, "GET", "/", None, None),
        (r#""GET / HTTP/1.1""#, "GET", "/", None, None),
        (r#""GET /cut"#, "", "", None, None),
        ("", "", "", None, None),
    ] {
        let said = said(&*combined, &format!("192.0.2.1 - - [17/May/2015:10:00:00 +0000] {tail}"));
        assert_eq!(
            (&*said.method, &*said.target, said.status, said.bytes),
            (method, target, status, bytes),
            "{tail}"
        );
    }
    assert_eq!(said(&*combined, "192.0.2.1 [17/May/2015:10:00:00 +0000]").client, "192.0.2.1");
}

#[test]
fn what_is_not_wanted_is_left_empty() {
    let line = br#"192.0.2.1 - alice [17/May/2015:10:00:00 +0000] "GET / HTTP/1.1" 200 5 "-" "t" "192.0.2.9""#;
    let entry = format("combined").parse(line, Wanted::default(), &mut Stamps::default());
    let said = Said::from(entry.expect("a line").expect("a request"));
    assert_eq!(said, Said { nanos: TEN, client: "192.0.2.1".into(), ..Said::default() });
}

#[test]
fn marks_and_nul_bytes_at_the_head_are_no_part_of_the_client() {
    let combined = format("combined");
    let line = r#"192.0.2.1 - - [17/May/2015:10:00:00 +0000] "GET / HTTP/1.1" 200 5"#;
    for head in ["\u{feff}", "\0", "\0\0\0\0", "\0\u{feff}\0"] {
        assert_eq!(said(&*combined, &format!("{head}{line}")), get_root());
    }
    assert_eq!(said(&*combined, &format!("{line}\r")), get_root());
}
