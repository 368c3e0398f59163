use super::super::entry::Stamp;
use super::{Stamps, any, bracketed, clf, epoch, float, iso};

/// 17 May 2015, 10:05:03 UTC.
const SECOND: i64 = 1_431_857_103;

fn at(seconds: i64, nanos: i64, places: u8) -> Stamp {
    Stamp { nanos: seconds * 1_000_000_000 + nanos, places }
}

#[test]
fn times_of_common_log_format_are_read_with_their_zones() {
    for (text, expected) in [
        ("17/May/2015:10:05:03 +0000", at(SECOND, 0, 0)),
        ("17/May/2015:10:05:03 +0200", at(SECOND - 7_200, 0, 0)),
        ("17/May/2015:10:05:03 +02:00", at(SECOND - 7_200, 0, 0)),
        ("17/May/2015:10:05:03 -0330", at(SECOND + 12_600, 0, 0)),
        ("17/May/2015:10:05:03 Z", at(SECOND, 0, 0)),
        ("17/May/2015:10:05:03", at(SECOND, 0, 0)),
        ("17/May/2015:10:05:03.5 +0000", at(SECOND, 500_000_000, 1)),
        ("17/May/2015:10:05:03.123 +0200", at(SECOND - 7_200, 123_000_000, 3)),
        ("17/May/2015:10:05:03.678", at(SECOND, 678_000_000, 3)),
        ("7/May/2015:10:05:03 +0000", at(SECOND - 864_000, 0, 0)),
    ] {
        assert_eq!(clf(text.as_bytes()), Ok(expected), "{text}");
        assert_eq!(bracketed(text.as_bytes()), Ok(expected), "{text}");
        assert_eq!(any(text.as_bytes()), Ok(expected), "{text}");
    }
}

#[test]
fn times_of_iso_8601_are_read_with_their_zones() {
    for (text, expected) in [
        ("2015-05-17T10:05:03Z", at(SECOND, 0, 0)),
        ("2015-05-17t10:05:03z", at(SECOND, 0, 0)),
        ("2015-05-17T10:05:03+02:00", at(SECOND - 7_200, 0, 0)),
        ("2015-05-17T10:05:03-0330", at(SECOND + 12_600, 0, 0)),
        ("2015-05-17T10:05:03+02", at(SECOND - 7_200, 0, 0)),
        ("2015-05-17 10:05:03", at(SECOND, 0, 0)),
        ("2015-05-17\t10:05:03", at(SECOND, 0, 0)),
        ("2015/05/17 10:05:03", at(SECOND, 0, 0)),
        ("2015-05-17 10:05:03,123", at(SECOND, 123_000_000, 3)),
        ("2015-05-17T10:05:03.000001Z", at(SECOND, 1_000, 6)),
        ("2015-05-17T10:05:03.123456789Z", at(SECOND, 123_456_789, 9)),
        ("2015-05-17T10:05:03.1234567890Z", at(SECOND, 123_456_789, 9)),
    ] {
        assert_eq!(iso(text.as_bytes()), Ok(expected), "{text}");
        assert_eq!(any(text.as_bytes()), Ok(expected), "{text}");
    }
}

#[test]
fn times_since_1970_are_read_in_the_unit_that_their_digits_tell() {
    for (text, expected) in [
        ("0", at(0, 0, 0)),
        ("1431857103", at(SECOND, 0, 0)),
        ("1431857103.123", at(SECOND, 123_000_000, 3)),
        ("1431857103.25", at(SECOND, 250_000_000, 2)),
        ("1431857103123", at(SECOND, 123_000_000, 3)),
        ("1431857103123.5", at(SECOND, 123_500_000, 4)),
        ("1431857103123456", at(SECOND, 123_456_000, 6)),
        ("1431857103123456789", at(SECOND, 123_456_789, 9)),
        ("1431857103123456789.5", at(SECOND, 123_456_789, 9)),
    ] {
        assert_eq!(epoch(text.as_bytes()), Ok(expected), "{text}");
        assert_eq!(any(text.as_bytes()), Ok(expected), "{text}");
    }
}

#[test]
fn a_fraction_without_its_zeros_does_not_make_a_clock_coarse() {
    assert_eq!(float(b"1431857103.25", epoch), Ok(at(SECOND, 250_000_000, 6)));
    assert_eq!(float(b"1431857103.1234567", epoch), Ok(at(SECOND, 123_456_700, 7)));
    assert_eq!(float(b"2015-05-17T10:05:03.5Z", iso), Ok(at(SECOND, 500_000_000, 6)));
    assert_eq!(float(b"1431857103", epoch), Ok(at(SECOND, 0, 0)));
    assert_eq!(float(b"1431857103123", epoch), Ok(at(SECOND, 123_000_000, 3)));
}

#[test]
fn a_leap_second_is_the_beginning_of_the_next_second() {
    // 1 January 2017.
    let midnight = at(1_483_228_800, 0, 0);
    assert_eq!(clf(b"31/Dec/2016:23:59:60 +0000"), Ok(midnight));
    assert_eq!(clf(b"01/Jan/2017:00:00:00 +0000"), Ok(midnight));
    assert_eq!(iso(b"2017-01-01T05:29:60+05:30"), Ok(midnight));
}

#[test]
fn the_zone_in_the_stamp_decides_when_clocks_change() {
    let before = clf(b"29/Oct/2023:02:59:59 +0200").expect("a time");
    let after = clf(b"29/Oct/2023:02:00:00 +0100").expect("a time");
    assert_eq!(after.nanos - before.nanos, 1_000_000_000);
}

#[test]
fn what_is_no_time_is_refused() {
    for text in [
        "",
        "-",
        "17/May/2015",
        "17/May/2015:10:05",
        "32/May/2015:10:05:03 +0000",
        "29/Feb/2015:10:05:03 +0000",
        "17/Mai/2015:10:05:03 +0000",
        "17/May/2015:24:05:03 +0000",
        "17/May/2015:10:60:03 +0000",
        "17/May/2015:10:05:61 +0000",
        "17/May/2015:10:05:03 +2400",
        "17/May/2015:10:05:03 +0260",
        "17/May/2015:10:05:03 +0000 x",
        "17/May/2015:10:05:03. +0000",
        "17/May/2015:10:05:03 CEST",
        "17/May/1500:10:05:03 +0000",
        "17/May/2500:10:05:03 +0000",
        "17/\u{2003}May/2015",
        "2015-05-17",
        "2015-05-17T10:05",
        "2015-13-17T10:05:03Z",
        "2015-05/17T10:05:03Z",
        "2015-05-17x10:05:03Z",
        "1431857103.",
        "1431857103x",
        "-1",
        "+1",
        "1e9",
        "99999999999999999999",
        "999999999999999999999",
        "99999999999",
    ] {
        assert!(any(text.as_bytes()).is_err(), "{text}");
        assert!(clf(text.as_bytes()).is_err(), "{text}");
        assert!(iso(text.as_bytes()).is_err(), "{text}");
    }
}

#[test]
fn a_text_is_read_once_in_a_row() {
    let mut stamps = Stamps::default();
    let mut reads = 0;
    for text in ["1", "1", "2", "1", "x", "x"] {
        let stamp = stamps.read(text.as_bytes(), |text| {
            reads += 1;
            epoch(text)
        });
        assert_eq!(stamp, epoch(text.as_bytes()));
    }
    assert_eq!(reads, 4);
}

#[test]
fn a_long_text_is_not_kept() {
    let mut stamps = Stamps::default();
    assert!(stamps.read(&[b'1'; 65_536], any).is_err());
    assert!(stamps.text.capacity() <= 64);
}
