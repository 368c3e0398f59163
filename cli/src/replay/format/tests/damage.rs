//! Damaged lines, by seeds. Each format is tried for `TIDEGATE_FUZZ_SECONDS` seconds.

use std::time::{Duration, Instant};

use fastrand::Rng;

use super::super::super::entry::Wanted;
use super::super::super::input::LONGEST;
use super::super::super::stamp::Stamps;
use super::super::{Format, detect, json_fields, named};
use crate::replay::fuzz::fuzz_time;

/// Lines of every format, each with the words that `--log-format` has for it.
const LINES: [(&str, &str); 17] = [
    ("common", r#"192.0.2.1 - al ice [17/May/2015:10:00:00 +0000] "GET /a?b=c HTTP/1.1" 200 5"#),
    (
        "combined",
        r#"2001:db8::1 - [192.0.2.1] - a[b [17/May/2015:10:00:00.123 +02:00] "GET /\"a\" b HTTP/1.1" 200 5 "-" "a \\ [1]" 0.1 "198.51.100.7, 10.0.0.1""#,
    ),
    (
        "syslog combined",
        r#"<190>1 2015-05-17T10:00:00.123Z web1 nginx 7 ID1 [a@1 b="c\"]"][d] 192.0.2.1 - - [2015-05-17T10:00:00Z] "GET / HTTP/1.1" 200 5 "-" "t""#,
    ),
    (
        "compose time common",
        r#"web-1  | 2015-05-17T10:00:00Z 192.0.2.1:40000 - - [17/May/2015:10:00:00 +0000] "GET / HTTP/1.1" 200 5"#,
    ),
    (
        "vhost_combined",
        r#"www.example.org:443 [2001:db8::1]:40000 - - [17/May/2015:10:00:00 +0000] "GET / HTTP/1.1" 200 5 "-" "t""#,
    ),
    (
        "traefik",
        r#"192.0.2.1 - - [17/May/2015:10:00:00 +0000] "GET / HTTP/2.0" 200 5 "-" "-" 1 "a@docker" "http://172.18.0.2:80" 2ms"#,
    ),
    (
        "haproxy",
        r#"May 17 10:00:00 h1 haproxy[7]: 192.0.2.1:40000 [17/May/2015:10:00:00.678] f~ b/s 1/0/1/1/+3 200 +5 - - ---- 1/1/1/1/0 0/0 {a|b c} "GET /a b HTTP/1.1""#,
    ),
    (
        "alb",
        r#"https 2015-05-17T10:00:00.000001Z app/lb/1 [2001:db8::1]:40000 10.0.0.1:80 0.000 0.001 0.000 200 200 34 366 "GET https://a.example:443/x?y=z HTTP/1.1" "agent \"1\"" - - tg"#,
    ),
    (
        "s3",
        r#"79a5 a-bucket [17/May/2015:10:00:00 +0000] 192.0.2.1 arn:aws:iam::1:user/a 3E57 REST.GET.OBJECT a%20b "GET /a HTTP/1.1" 200 - 2662 2662 70 10 "-" "t" -"#,
    ),
    ("iis", "2015-05-17 10:00:00 10.0.0.1 GET /a+b x=1 80 alice 192.0.2.1 curl+8 - 200 0 0 15"),
    (
        "cloudfront",
        "2015-05-17\t10:00:00\tE1\t5\t192.0.2.1\tGET\ta\t/a%2520b\t200\t-\tt%201\t-\t-\tHit\ti\th\thttps\t9\t0.1\t198.51.100.7,%2010.0.0.1",
    ),
    (
        "nginx-json",
        r#"{"time":"2015-05-17T10:00:00+00:00","remote_addr":"192.0.2.1","request":"GET /\u0061\"b HTTP/1.1","status":"200","bytes_sent":5}"#,
    ),
    (
        "caddy",
        r#"{"ts":1431856800.25,"request":{"client_ip":"192.0.2.1","method":"GET","uri":"/","headers":{"X-Forwarded-For":["198.51.100.7"],"A":[{}]}},"size":5,"status":200}"#,
    ),
    (
        "traefik-json",
        r#"{"ClientHost":"192.0.2.1","RequestPath":"/","StartUTC":"2015-05-17T10:00:00.1234Z","DownstreamStatus":200,"x":[null,true,-1.5e-9]}"#,
    ),
    (
        "json",
        r#"{"@timestamp":1431856800123,"client":{"ip":"192.0.2.1"},"url":{"path":"/"},"url.original":"/?a"}"#,
    ),
    (
        r#"$remote_addr - $remote_user [$time_local] "$request" $status $body_bytes_sent "$http_x_forwarded_for""#,
        r#"192.0.2.1 - al ice [17/May/2015:10:00:00 +0000] "GET /a\"b HTTP/1.1" 200 5 "198.51.100.7, 10.0.0.1""#,
    ),
    (
        r#"%{usec}t %v:%p %h %u \"%m %U%q %H\" %>s %b \"%{User-Agent}i\""#,
        r#"1431856800123456 a.example:80 192.0.2.1 al ice "GET /a?b=c HTTP/1.1" 200 5 "t \" 1""#,
    ),
];

/// No line may take longer, even on a busy machine.
const SLOWEST: Duration = Duration::from_secs(2);

/// Damages a line: changes, removes, repeats and cuts pieces, and inserts what means something to a
/// parser.
fn damage(line: &[u8], random: &mut Rng) -> Vec<u8> {
    const MEANINGFUL: &[u8] = b"\"\\[]{}<>()|,:;.-+%=/ \t\r\0\x1b\xef\xbb\xbf\xff09TZ#$";
    let mut line = line.to_vec();
    for _ in 0..random.usize(1..8) {
        let place = random.usize(0..=line.len());
        let end = random.usize(place..=line.len().min(place + 24));
        match random.u8(0..8) {
            0 if place < line.len() => line[place] = random.u8(..),
            1 if place < line.len() => line[place] = MEANINGFUL[random.usize(0..MEANINGFUL.len())],
            2 => line.insert(place, MEANINGFUL[random.usize(0..MEANINGFUL.len())]),
            3 => drop(line.drain(place..end)),
            4 => line.truncate(place),
            5 => drop(line.drain(..place)),
            6 => {
                let piece = line[place..end].to_vec();
                line.splice(place..place, piece);
            }
            // Once in a while one piece is repeated until the line is as long as a line can be.
            _ if random.u8(0..32) == 0 => {
                let piece = &line[place..end];
                let times = LONGEST.saturating_sub(line.len()) / piece.len().max(1);
                let long = piece.repeat(if piece.is_empty() { 0 } else { times });
                line.splice(place..place, long);
            }
            _ => {}
        }
        if line.is_empty() {
            break;
        }
    }
    line.truncate(LONGEST);
    line
}

/// Parses a line, and checks what every parser promises.
fn check(format: &dyn Format, line: &[u8], wanted: Wanted, stamps: &mut Stamps) {
    let start = Instant::now();
    let entry = format.parse(line, wanted, stamps);
    if let Ok(Some(entry)) = &entry {
        for part in [&entry.client, &entry.forwarded, &entry.user, &entry.method, &entry.target] {
            // A stray byte in JSON becomes a character of two.
            assert!(part.len() <= 2 * line.len());
            assert_ne!(**part, *b"-", "{}", line.escape_ascii());
        }
        assert!(entry.time.places <= 9);
        assert!(wanted.user || entry.user.is_empty());
        assert!(wanted.forwarded || entry.forwarded.is_empty());
        assert!(wanted.request || entry.target.is_empty());
    }
    let took = start.elapsed();
    assert!(took < SLOWEST, "{took:?}: {}", line.escape_ascii());
}

fn fuzz(words: &str, line: &str, seed: u64) {
    let format = named(words).unwrap_or_else(|failure| panic!("{failure:?}"));
    let mut random = Rng::with_seed(seed);
    let mut stamps = Stamps::default();
    check(&*format, line.as_bytes(), Wanted::ALL, &mut stamps);
    assert!(
        matches!(format.parse(line.as_bytes(), Wanted::ALL, &mut stamps), Ok(Some(_))),
        "{words}"
    );
    let end = Instant::now() + fuzz_time();
    while Instant::now() < end {
        let damaged = damage(line.as_bytes(), &mut random);
        let wanted = if random.bool() { Wanted::ALL } else { Wanted::default() };
        check(&*format, &damaged, wanted, &mut stamps);
        if let Some(after) = format.after_header(&damaged) {
            check(&*after, line.as_bytes(), wanted, &mut stamps);
        }
    }
}

#[test]
fn damaged_lines_of_every_format_are_read_or_refused() {
    std::thread::scope(|scope| {
        for (seed, (words, line)) in LINES.into_iter().enumerate() {
            scope.spawn(move || fuzz(words, line, seed as u64));
        }
    });
}

#[test]
fn damaged_headers_are_read_or_refused() {
    let header = b"#Fields: date time s-ip cs-method c-ip X-Forwarded-For cs-uri-stem cs-username";
    let line = b"2015-05-17 10:00:00 10.0.0.1 GET 192.0.2.1 198.51.100.7,+10.0.0.1 / alice";
    let mut random = Rng::with_seed(0);
    let mut stamps = Stamps::default();
    let end = Instant::now() + fuzz_time();
    while Instant::now() < end {
        for name in ["iis", "cloudfront"] {
            let format = named(name).expect("a format");
            let mut damaged = damage(header, &mut random);
            damaged.splice(0..0, b"#Fields:".iter().copied());
            let after = format.after_header(&damaged).expect("names of columns");
            check(&*after, line, Wanted::ALL, &mut stamps);
            check(&*after, &damage(line, &mut random), Wanted::ALL, &mut stamps);
        }
    }
}

#[test]
fn damaged_heads_are_detected_in_bounded_time() {
    let mut random = Rng::with_seed(0);
    let end = Instant::now() + fuzz_time();
    while Instant::now() < end {
        let (_, line) = LINES[random.usize(0..LINES.len())];
        let lines = (0..random.usize(1..20)).map(|_| damage(line.as_bytes(), &mut random));
        let head = lines.collect::<Vec<_>>().join(&b'\n');
        let start = Instant::now();
        let name = detect(&head).name();
        assert_eq!(named(&name).map(|format| format.name()), Ok(name));
        assert!(start.elapsed() < SLOWEST, "{:?}", start.elapsed());
    }
}

#[test]
fn damaged_words_are_read_or_refused() {
    let mut random = Rng::with_seed(0);
    let end = Instant::now() + fuzz_time();
    while Instant::now() < end {
        let (words, line) = LINES[random.usize(0..LINES.len())];
        let damaged = damage(words.as_bytes(), &mut random);
        match named(&String::from_utf8_lossy(&damaged)) {
            Ok(format) => {
                check(&*format, line.as_bytes(), Wanted::ALL, &mut Stamps::default());
            }
            Err(failure) => assert!(!failure.0.contains(char::is_control), "{failure:?}"),
        }
        let fields = damage(b"client=a.b,time=c,path=d", &mut random);
        if let Err(failure) = json_fields(&String::from_utf8_lossy(&fields)) {
            assert!(!failure.0.contains(char::is_control), "{failure:?}");
        }
    }
}
