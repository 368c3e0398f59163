use super::{Said, TEN, format, reason, said};

const LINE: &str = r#"192.0.2.1:40000 [17/May/2015:10:00:00.678] front~ back/web1 1/0/1/1/3 200 5 - - ---- 1/1/1/1/0 0/0 {a.example|agent 1} "GET /a b HTTP/1.1""#;

fn expected() -> Said {
    Said {
        nanos: TEN + 678_000_000,
        places: 3,
        client: "192.0.2.1:40000".into(),
        method: "GET".into(),
        target: "/a b".into(),
        status: Some(200),
        bytes: Some(5),
        ..Said::default()
    }
}

#[test]
fn a_line_comes_apart_with_and_without_syslog() {
    let haproxy = format("haproxy");
    assert_eq!(said(&*haproxy, LINE), expected());
    for prefix in ["May 17 10:00:00 h1 haproxy[7]: ", "<134>May 17 10:00:00 haproxy[7]: "] {
        assert_eq!(said(&*haproxy, &format!("{prefix}{LINE}")), expected());
    }
}

#[test]
fn cut_and_broken_requests_are_taken_as_they_come() {
    let haproxy = format("haproxy");
    let cut = LINE.trim_end_matches(r#" HTTP/1.1""#);
    assert_eq!(said(&*haproxy, cut), expected());
    let broken = LINE.replace("GET /a b HTTP/1.1", "<BADREQ>").replace(" 200 5 ", " -1 +5 ");
    let broken = broken.replace("1/0/1/1/3", "-1/-1/-1/-1/+3");
    let said = said(&*haproxy, &broken);
    assert_eq!((&*said.target, said.status, said.bytes), ("", None, Some(5)));
}

#[test]
fn lines_that_are_no_requests_say_so() {
    let haproxy = super::super::haproxy::HaProxy;
    for (line, why) in [
        ("", "no timestamp"),
        ("192.0.2.1:40000", "no timestamp"),
        ("192.0.2.1:40000 17/May/2015:10:00:00.678", "no timestamp"),
        ("192.0.2.1:40000 [17/May/2015:10:00:00.678", "no end of the timestamp"),
        ("192.0.2.1:40000 [17/May/2015]", "a timestamp unlike 17/May/2015:10:05:03 +0000"),
        (
            "192.0.2.1:40000 [17/May/2015:10:00:00.678] f/1: SSL handshake failure",
            "no request of HTTP",
        ),
        (
            "192.0.2.1:40000 [17/May/2015:10:00:00.678] f b/s 1/0/100 212 -- 1/1/1/1/0 0/0",
            "no request of HTTP",
        ),
        ("Proxy front started.", "no timestamp"),
    ] {
        assert_eq!(reason(&haproxy, line), why, "{line}");
    }
    let line = LINE.replace("192.0.2.1:40000", "a|b");
    assert_eq!(reason(&haproxy, &line), "the client is neither an address nor the name of a host");
}
