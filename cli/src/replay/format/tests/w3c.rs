use std::sync::Arc;

use super::super::Format;
use super::{SECOND, Said, TEN, format, parse, reason, said};

/// Returns the format of the lines after a header.
fn after(name: &str, header: &str) -> Arc<dyn Format> {
    let format = format(name);
    assert!(format.has_headers());
    assert_eq!(parse(&*format, header), Ok(None), "a header is no request");
    let after = format.after_header(header.as_bytes()).expect("names of columns");
    assert_eq!(after.name(), name);
    after
}

fn get_root() -> Said {
    Said {
        nanos: TEN,
        client: "192.0.2.1".into(),
        method: "GET".into(),
        target: "/a".into(),
        ..Said::default()
    }
}

#[test]
fn lines_of_iis_come_apart_by_their_header() {
    let iis = after(
        "iis",
        "#Fields: date time s-ip cs-method cs-uri-stem cs-uri-query s-port cs-username c-ip",
    );
    // More columns than the header names do no harm.
    let line = "2015-05-17 10:00:00 10.0.0.1 GET /a x=1 80 alice 192.0.2.1 curl+8 - 200 0 0 15";
    assert_eq!(said(&*iis, line), Said { user: "alice".into(), ..get_root() });
    let iis = after(
        "iis",
        "#Fields: c-ip sc-status date X-Forwarded-For time sc-bytes cs-method cs-uri-stem\r",
    );
    let line = "192.0.2.1 404 2015-05-17 198.51.100.7,+10.0.0.1 10:00:00 512 GET /a\r";
    let expected = Said {
        forwarded: "198.51.100.7, 10.0.0.1".into(),
        status: Some(404),
        bytes: Some(512),
        ..get_root()
    };
    assert_eq!(said(&*iis, line), expected);
}

#[test]
fn lines_of_iis_without_a_header_have_its_usual_columns() {
    let line = "2015-05-17 10:00:01 10.0.0.1 GET /a - 80 - 192.0.2.1 curl+8 - 200 0 0 15";
    let expected = Said { nanos: TEN + SECOND, status: Some(200), ..get_root() };
    assert_eq!(said(&*format("iis"), line), expected);
}

#[test]
fn lines_of_cloudfront_come_apart_by_their_header() {
    let header = "#Fields: date time x-edge-location sc-bytes c-ip cs-method cs(Host) cs-uri-stem sc-status cs(User-Agent) x-forwarded-for";
    let line = "2015-05-17\t10:00:00\tE1\t5\t192.0.2.1\tGET\ta.example\t/a\t200\tagent%201\t198.51.100.7,%2010.0.0.1";
    let expected = Said {
        forwarded: "198.51.100.7, 10.0.0.1".into(),
        status: Some(200),
        bytes: Some(5),
        ..get_root()
    };
    assert_eq!(said(&*after("cloudfront", header), line), expected);
    // Escapes that are none stay as they are.
    let line = line.replace("198.51.100.7,%2010.0.0.1", "%%2g%2");
    assert_eq!(said(&*after("cloudfront", header), &line).forwarded, "%%2g%2");
    // Without a header it has the first of its standard columns.
    let line = "2015-05-17\t10:00:00\tE1\t5\t2001:db8::1\tGET\ta.example\t/a\t200";
    assert_eq!(said(&*format("cloudfront"), line).client, "2001:db8::1");
}

#[test]
fn other_headers_change_nothing() {
    for line in ["#Software: IIS", "#Version: 1.0", "#Date: 2015-05-17 00:00:00", "#"] {
        assert!(format("iis").after_header(line.as_bytes()).is_none());
        assert_eq!(parse(&*format("iis"), line), Ok(None));
    }
    assert!(!format("combined").has_headers());
}

#[test]
fn lines_that_lack_something_say_so() {
    let line = "2015-05-17 10:00:00 10.0.0.1 GET /a - 80 - 192.0.2.1";
    // The inner format: prefixes are no matter here.
    let iis = super::super::w3c::W3c::iis();
    let after = |header: &str| iis.after_header(header.as_bytes()).expect("names of columns");
    assert_eq!(reason(&*after("#Fields: date time s-ip"), line), "no client");
    assert_eq!(reason(&*after("#Fields: s-date time c-ip"), line), "no timestamp");
    assert_eq!(reason(&*after("#Fields:"), line), "no timestamp");
    assert_eq!(reason(&iis, "2015-05-17 10:00:00 10.0.0.1 GET"), "no client");
    assert_eq!(reason(&iis, "2015-05-17"), "no timestamp");
    let line = line.replace("192.0.2.1", "192.0.2.1/24");
    assert_eq!(reason(&iis, &line), "the client is neither an address nor the name of a host");
}
