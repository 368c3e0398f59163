use super::super::prefix::Prefix;
use super::{TEN, format, parse, reason, said};

const LINE: &str = r#"192.0.2.1 - - [17/May/2015:10:00:00 +0000] "GET / HTTP/1.1" 200 5 "-" "t""#;

/// Prefixes, each with the names that `--log-format` has for it.
const PREFIXES: [(&str, &str); 28] = [
    ("syslog", "May 17 10:00:00 web1 nginx: "),
    ("syslog", "May  7 10:00:00 web1 nginx[7]: "),
    ("syslog", "<190>May 17 10:00:00 web1 nginx: "),
    ("syslog", "May 17 10:00:00 nginx: "),
    ("syslog", "May 17 10:00:00 relay web1 nginx: "),
    ("syslog", "May 17 2015 10:00:00 web1 nginx: "),
    ("syslog", "May 17 10:00:00 192.0.2.50 docker/web[7]: "),
    ("syslog", "2015-05-17T10:00:00.123456+02:00 web1 nginx[7]: "),
    ("syslog", "<190>1 2015-05-17T10:00:00.123Z web1 nginx 7 - - "),
    ("syslog", "1 2015-05-17T10:00:00Z web1 nginx - - - "),
    ("syslog", "<190>1 - - - - - - "),
    ("syslog", r#"<190>1 2015-05-17T10:00:00Z web1 nginx 7 ID1 [a@1 b="c\"]"][d] "#),
    ("syslog", "<190>1 2015-05-17T10:00:00Z web1 nginx 7 - - \u{feff}"),
    ("syslog", "2015-05-17T10:00:00+00:00 app[web.1]: "),
    ("syslog", "2015-05-17 10:00:00 web1 nginx[7]: "),
    ("compose", "web-1  | "),
    ("compose", "web_1 | "),
    ("compose", "my.web-1      |"),
    ("compose", "\x1b[36mweb-1  | \x1b[0m"),
    ("kubectl", "[pod/web-6d4b/nginx] "),
    ("time", "2015-05-17T10:00:00Z "),
    ("time", "2015-05-17 10:00:00,123 "),
    ("time", "2015-05-17 10:00:00 "),
    ("time", "2015-05-17T10:00:00.123456789Z "),
    ("time", "2015-05-17T10:00:00.123456789+02:00 stdout F "),
    ("compose time", "web-1  | 2015-05-17T10:00:00Z "),
    ("kubectl time", "[pod/web-6d4b/nginx] 2015-05-17T10:00:00Z "),
    ("compose time syslog", "web-1  | 2015-05-17T10:00:00Z May 17 10:00:00 web1 nginx: "),
];

#[test]
fn prefixes_are_taken_off() {
    for (names, prefix) in PREFIXES {
        let line = format!("{prefix}{LINE}");
        for name in [&format!("{names} combined"), "combined"] {
            let said = said(&*format(name), &line);
            assert_eq!((&*said.client, said.nanos), ("192.0.2.1", TEN), "{name}: {line}");
        }
        let detected = super::super::detect(line.as_bytes());
        assert_eq!(detected.name(), format!("{names} combined"), "{line}");
    }
}

#[test]
fn what_is_no_prefix_stays() {
    for text in [
        "",
        " ",
        "192.0.2.1 - - ",
        "May",
        "May 17",
        "May 17 10:00:00 web1",
        "May 17 10:00:00 a b c d: ",
        "May 17 10:00:00 we|b nginx: ",
        "Maya 17 10:00:00 nginx: x",
        "May 17 100000 nginx: x",
        "May 17 10:00:00 nginx[x|]: y",
        "May 17 10:00:00 nginx]: y",
        "<1234>May 17 10:00:00 nginx: x",
        "1 2015-05-17T10:00:00Z web1 nginx 7 - [a",
        "1 2015-05-17T10:00:00Z web1 nginx 7 - x y",
        "| x",
        "a b | x",
        "[pod/a/b",
        "[pod/a/b ",
        "[else] x",
        "2015-05-17 10:00:00",
        "2015-05-17 10:00:0x y",
        "2015-05-17 x",
        "2015-05-17T10:00:00Z",
        "\x1b[36",
        "\x1b[36m",
        "{\"a\": 1} | x",
    ] {
        for prefix in Prefix::ALL {
            assert_eq!(prefix.strip(text.as_bytes()), None, "{prefix:?}: {text:?}");
        }
    }
}

#[test]
fn a_line_without_the_prefix_of_the_others_says_so() {
    let syslog = format("syslog combined");
    assert_eq!(reason(&*syslog, LINE), "not behind the prefix of the others");
    assert_eq!(
        reason(&*syslog, "May 17 10:00:00 web1 sshd[7]: Accepted publickey"),
        "no timestamp"
    );
    // Containers write blank lines, too.
    assert_eq!(parse(&*format("compose combined"), "web-1  | "), Ok(None));
    assert_eq!(parse(&*format("compose combined"), ""), Ok(None));
    assert_eq!(parse(&*format("combined"), ""), Ok(None));
}

#[test]
fn names_are_read_and_mistakes_named() {
    for name in ["combined", "syslog combined", " compose  time   vhost_combined "] {
        let words = name.split_whitespace().collect::<Vec<_>>().join(" ");
        assert_eq!(format(name).name(), words);
    }
    assert_eq!(format("Combined").name(), "combined");
    let refusal = |name: &str| super::named(name).expect_err("no such format").0;
    assert_eq!(refusal(""), "--log-format : empty");
    assert_eq!(
        refusal("sysloog combined"),
        "--log-format sysloog combined: no prefix is called sysloog"
    );
    assert!(
        refusal("combine").starts_with("--log-format combine: none of "),
        "{}",
        refusal("combine")
    );
    assert!(refusal("\x1b[2J").starts_with("--log-format \\u{1b}[2J: "), "{}", refusal("\x1b[2J"));
    assert_eq!(
        refusal("time time time time combined"),
        "--log-format time time time time combined: more than 3 prefixes"
    );
}
