use super::super::named;
use super::{SECOND, Said, TEN, format, reason, said};

fn get_root() -> Said {
    Said {
        nanos: TEN,
        client: "192.0.2.1".into(),
        method: "GET".into(),
        target: "/a".into(),
        status: Some(200),
        bytes: Some(5),
        ..Said::default()
    }
}

#[test]
fn patterns_of_nginx_are_read() {
    for (pattern, line, expected) in [
        (
            r#"$remote_addr - $remote_user [$time_local] "$request" $status $body_bytes_sent "$http_referer" "$http_user_agent" "$http_x_forwarded_for""#,
            r#"192.0.2.1 - - [17/May/2015:10:00:00 +0000] "GET /a HTTP/1.1" 200 5 "-" "a \"x\" 1" "198.51.100.7, 10.0.0.1""#,
            Said { forwarded: "198.51.100.7, 10.0.0.1".into(), ..get_root() },
        ),
        (
            "$msec|${remote_addr}|$request_method|$host$request_uri|$status|$bytes_sent|$request_time",
            "1431856800.500|192.0.2.1|GET|a.example/a|200|5|0.001",
            Said { nanos: TEN + SECOND / 2, places: 3, target: "a.example/a".into(), ..get_root() },
        ),
        (
            r#"$host $remote_addr, $http_x_forwarded_for - [$time_iso8601] "$request" $status"#,
            r#"a.example 192.0.2.1, - - [2015-05-17T12:00:00+02:00] "GET /a HTTP/1.1" 200"#,
            Said { bytes: None, ..get_root() },
        ),
        // The finer time is taken, and the peer rather than the client that it names.
        (
            r#"[$time_local] $msec $http_x_real_ip $remote_addr "$request" $upstream_addr $status $bytes_sent $body_bytes_sent"#,
            r#"[17/May/2015:10:00:00 +0000] 1431856800.000 192.0.2.9 192.0.2.1 "GET /a HTTP/1.1" 10.0.0.1:80, 10.0.0.2:80 200 9 5"#,
            Said { places: 3, ..get_root() },
        ),
        (
            r#"$http_x_forwarded_for $time_iso8601 "$request_uri" $$1"#,
            r#"192.0.2.1, 10.0.0.1 2015-05-17T10:00:00+00:00 "/a" $$1"#,
            Said {
                client: "192.0.2.1, 10.0.0.1".into(),
                forwarded: "192.0.2.1, 10.0.0.1".into(),
                method: String::new(),
                status: None,
                bytes: None,
                ..get_root()
            },
        ),
    ] {
        let format = format(pattern);
        assert_eq!(said(&*format, line), expected, "{pattern}");
        assert_eq!(format.name(), pattern);
        // Behind a prefix, too.
        assert_eq!(said(&*format, &format!("web-1  | {line}")), expected, "{pattern}");
    }
}

#[test]
fn patterns_of_apache_are_read() {
    for (pattern, line, expected) in [
        (
            r#"%h %l %u %t \"%r\" %>s %b"#,
            r#"192.0.2.1 - al ice [17/May/2015:10:00:00 +0000] "GET /a HTTP/1.1" 200 5"#,
            Said { user: "al ice".into(), ..get_root() },
        ),
        (
            r#"%v:%p %a %l %u %t "%r" %>s %O "%{Referer}i" "%{User-Agent}i" %D 100%%"#,
            r#"a.example:443 192.0.2.1 - - [17/May/2015:10:00:00 +0000] "GET /a HTTP/1.1" 200 5 "-" "x \" 1" 12 100%"#,
            get_root(),
        ),
        (
            r"%{msec}t\t%{X-Forwarded-For}i\t%h\t%m\t%U%q\t%s\t%B",
            "1431856800500\t198.51.100.7\t192.0.2.1\tGET\t/a?b=c\t200\t5",
            Said {
                nanos: TEN + SECOND / 2,
                places: 3,
                forwarded: "198.51.100.7".into(),
                ..get_root()
            },
        ),
        (
            r#"[%{%d/%b/%Y:%T}t.%{msec_frac}t %{%z}t] %h %t"#,
            "[17/May/2015:12:00:00.500 +0200] 192.0.2.1 [17/May/2015:10:00:07 +0000]",
            Said { nanos: TEN + 7 * SECOND, client: "192.0.2.1".into(), ..Said::default() },
        ),
        (
            "%{%Y-%m-%d}t %{%T}t.%{usec_frac}t|%h",
            "2015-05-17 10:00:00.000001|192.0.2.1",
            Said { nanos: TEN + 1_000, places: 6, client: "192.0.2.1".into(), ..Said::default() },
        ),
        (
            "%{%d/%b/%Y:%T}t.%{msec_frac}t %{%z}t %h",
            "17/May/2015:12:00:00.500 +0200 192.0.2.1",
            Said {
                nanos: TEN + SECOND / 2,
                places: 3,
                client: "192.0.2.1".into(),
                ..Said::default()
            },
        ),
        (
            r#"[%{%Y-%m-%dT%H:%M:%S%z}t] %400,501!{X-Id}i %{X-Forwarded-For}i "%r" %<s %b %{x}^ti"#,
            r#"[2015-05-17T12:00:00+0200] id 192.0.2.1 "GET /a HTTP/1.1" 200 5 -"#,
            Said { forwarded: "192.0.2.1".into(), ..get_root() },
        ),
    ] {
        assert_eq!(said(&*format(pattern), line), expected, "{pattern}");
    }
}

#[test]
fn a_line_may_have_more_fields_than_its_pattern() {
    let line = r#"192.0.2.1 - - [17/May/2015:10:00:00 +0000] "GET /a HTTP/1.1" 200 5 "-" "t""#;
    for pattern in [r#"%h %l %u %t \"%r\" %>s %b"#, r#"%h %l %u %t \"%r\" %>s %b \"%{Referer}i\""#]
    {
        assert_eq!(said(&*format(pattern), line), get_root());
    }
    for (pattern, user) in [("$remote_user", "al ice [x]"), ("[$remote_user]", "al] ice [x")] {
        let user_at_end = format(&format!("$remote_addr $time_iso8601 {pattern}"));
        let line =
            format!("192.0.2.1 2015-05-17T10:00:00Z {}", pattern.replace("$remote_user", user));
        assert_eq!(said(&*user_at_end, &line).user, user);
    }
    let forwarded = format("$remote_addr $time_iso8601 $http_x_forwarded_for ");
    let line = "192.0.2.1 2015-05-17T10:00:00Z 198.51.100.7, 10.0.0.1 more";
    assert_eq!(said(&*forwarded, line).forwarded, "198.51.100.7, 10.0.0.1");
}

#[test]
fn what_a_client_writes_does_not_end_its_field() {
    let format =
        format(r#"$remote_addr - $remote_user [$time_local] "$request" $status $bytes_sent"#);
    let line =
        r#"192.0.2.1 - a [1] [b [17/May/2015:10:00:00 +0000] "GET /a\" 404 9 \" HTTP/1.1" 200 5"#;
    let expected =
        Said { user: "a [1] [b".into(), target: r#"/a\" 404 9 \""#.into(), ..get_root() };
    assert_eq!(said(&*format, line), expected);
}

#[test]
fn lines_that_do_not_fit_say_so() {
    let format = format(r#"$remote_addr [$time_local] $status"#);
    for (line, why) in [
        ("x", "not of the pattern of --log-format"),
        ("192.0.2.1 [17/May/2015:10:00:00 +0000] 20", "not of the pattern of --log-format"),
        ("192.0.2.1 [17/May/2015:10:00:00 +0000] 200x", "not of the pattern of --log-format"),
        (
            "192.0.2.1 [32/May/2015:10:00:00 +0000] 200",
            "a timestamp unlike 17/May/2015:10:05:03 +0000",
        ),
        (
            "a|b [17/May/2015:10:00:00 +0000] 200",
            "the client is neither an address nor the name of a host",
        ),
    ] {
        assert_eq!(reason(&*format, line), why, "{line}");
    }
}

#[test]
fn mistakes_in_a_pattern_are_named() {
    for (pattern, why) in [
        ("$remote_adr [$time_local]", "no client in it, such as $remote_addr or %h"),
        ("$remote_addr $request", "no time in it, such as $time_local or %t"),
        ("%h %z %t", "%z is no directive of Apache"),
        ("%h %{a", "%{a is no directive of Apache"),
        ("%h %", "% is no directive of Apache"),
        ("%h %>s", "no time in it, such as $time_local or %t"),
    ] {
        let failure = named(pattern).expect_err("a mistake").0;
        assert_eq!(failure, format!("--log-format {pattern}: {why}"));
    }
    let long = "$remote_addr $time_local ".repeat(163);
    assert!(named(&long).is_ok(), "{} bytes", long.len());
    let failure = named(&format!("{long}{long}")).expect_err("too long").0;
    assert!(failure.ends_with(": longer than 4096 bytes"));
}

#[test]
fn a_line_that_fits_in_many_ways_is_given_up() {
    let format = format(r#"$a $b $c $d "$e" $remote_addr $f $g [$time_local] $h"#);
    for piece in ["x ", "\" x ", "x \"", "192.0.2.1 ", "\"x\" 192.0.2.1 ", "["] {
        let line = piece.repeat(65_536 / piece.len());
        let start = std::time::Instant::now();
        assert_eq!(reason(&*format, &line), "not of the pattern of --log-format");
        // A few dozen readings of the line take milliseconds; all ways would take years.
        assert!(
            start.elapsed() < std::time::Duration::from_secs(10),
            "{piece}: {:?}",
            start.elapsed()
        );
    }
}
