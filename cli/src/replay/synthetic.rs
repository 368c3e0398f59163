//! A day of traffic to replay when there is no log at hand.
//!
//! The day is made anew each time, from a fixed seed: it is always the same. Its clients are:
//!
//! * some 400 people, busiest in the evening, a few of them much busier than most;
//! * a crawler that takes its time: a page every 2 s all day;
//! * a scraper that comes at 14:00 and takes 8 pages a second for 10 minutes;
//! * a client that tries passwords at 03:00 for half an hour, 2 a second, from a new IPv6 address
//!   each time, all of one network.
//!
//! As in a real log, lines are written when a response is complete, a little out of order; and some
//! are damaged.

use std::io::Write;

use chrono::DateTime;

pub(super) const NAME: &str = "a built-in synthetic day";

/// 2026-01-01 00:00:00 UTC.
const MIDNIGHT: i64 = 1_767_225_600;
const HOUR: i64 = 3_600;
const PAGES: [&str; 8] =
    ["/", "/search?q=tide", "/cart", "/login", "/img/logo.svg", "/api/items", "/about", "/feed"];

struct Request {
    /// The second in which its line is written.
    end: i64,
    /// The second of its timestamp.
    start: i64,
    client: String,
    path: &'static str,
    status: u16,
    bytes: u64,
}

/// Returns the day, in Combined Log Format.
pub(super) fn day() -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(0x71de);
    let mut requests = Vec::new();
    let mut ask = |random: &mut fastrand::Rng, start, client: String, path, status| {
        let end = start + if random.u8(0..10) == 0 { random.i64(1..5) } else { 0 };
        let bytes = random.u64(200..40_000) * random.u64(1..4);
        requests.push(Request { end, start, client, path, status, bytes });
    };

    for second in 0..24 * HOUR {
        let now = MIDNIGHT + second;
        // People: from none at 9:00 to one every 2 s at 21:00.
        let away = (second / HOUR - 21).rem_euclid(24);
        let awake = 12 - away.min(24 - away);
        if random.i64(0..24) < awake {
            let busier = random.u32(1..=400);
            let person = random.u32(1..=busier);
            let client = format!("198.51.{}.{}", 100 + person / 250, 1 + person % 250);
            // A page, and now and then what belongs to it.
            let parts = if random.u8(0..20) == 0 { random.u32(10..40) } else { 1 };
            for _ in 0..parts {
                let page = PAGES[random.usize(0..PAGES.len())];
                ask(&mut random, now, client.clone(), page, 200);
            }
        }
        if second % 2 == 0 {
            ask(&mut random, now, "192.0.2.77".to_owned(), "/feed", 200);
        }
        if (14 * HOUR..14 * HOUR + 600).contains(&second) {
            for _ in 0..8 {
                ask(&mut random, now, "203.0.113.9".to_owned(), "/api/items", 200);
            }
        }
        if (3 * HOUR..3 * HOUR + 1_800).contains(&second) {
            for _ in 0..2 {
                let host: u64 = random.u64(..);
                let bits = 0x2001_0db8_0000_00bd_u128 << 64 | u128::from(host);
                let client = std::net::Ipv6Addr::from_bits(bits).to_string();
                ask(&mut random, now, client, "/login", 401);
            }
        }
    }

    requests.sort_by_key(|request| request.end);
    let mut log = Vec::new();
    for (number, request) in requests.iter().enumerate() {
        let time = DateTime::from_timestamp(request.start, 0).expect("a day of 2026");
        let time = time.format("%d/%b/%Y:%H:%M:%S +0000");
        let Request { client, path, status, bytes, .. } = request;
        if number % 9_973 == 5_000 {
            writeln!(log, "{client} - - [{time}").expect("memory takes it");
        } else {
            writeln!(
                log,
                "{client} - - [{time}] \"GET {path} HTTP/1.1\" {status} {bytes} \"-\" \"synthetic\""
            )
            .expect("memory takes it");
        }
    }
    log
}
