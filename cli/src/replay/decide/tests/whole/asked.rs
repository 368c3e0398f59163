//! Requests before they are lines.

use chrono::{DateTime, FixedOffset};

/// 17 May 2015, 10:00:00 UTC, in nanoseconds since 1970.
const START: i64 = 1_431_856_800_000_000_000;

/// Clients, each with the key that it has and the ways in which logs write it.
const CLIENTS: [(&str, &[&str]); 5] = [
    ("192.0.2.1", &["192.0.2.1", "192.0.2.1:40000", "192.0.2.1:40001", "::ffff:192.0.2.1"]),
    ("192.0.2.2", &["192.0.2.2", "64:ff9b::c000:202", "192.0.2.2,10.0.0.1"]),
    ("2001:db8:0:1::/64", &["2001:db8:0:1::7", "2001:DB8:0:1:0:0:0:8", "[2001:db8:0:1::9]:40000"]),
    ("2001:db8:0:2::/64", &["2001:db8:0:2::7"]),
    ("crawler.example.org", &["crawler.example.org", "Crawler.example.org:40000"]),
];

/// A request, and how a log writes it.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    pub(super) nanos: i64,
    /// The log's zone, in seconds east of UTC.
    pub(super) east: i32,
    pub(super) client: &'static str,
    /// The client as it is written.
    pub(super) from: &'static str,
    /// `-` stands for no user.
    pub(super) user: &'static str,
    pub(super) method: &'static str,
    pub(super) path: &'static str,
    /// What follows the path.
    pub(super) query: &'static str,
    pub(super) status: u16,
    pub(super) bytes: u64,
}

/// What the times of the requests are like.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asks {
    /// The decimal places of the seconds.
    pub(super) places: u8,
    /// Whether the log writes no zeros at the end of a fraction, so that there must be a fraction.
    pub(super) drops_zeros: bool,
}

impl Asks {
    /// Makes the requests of a log. Most are in the order of their times.
    pub(super) fn random(self, random: &mut fastrand::Rng) -> Vec<Asked> {
        fn one_of<T: Copy>(random: &mut fastrand::Rng, of: &[T]) -> T {
            of[random.usize(0..of.len())]
        }
        const SECOND: i64 = 1_000_000_000;
        let tick = 10_i64.pow(9 - u32::from(self.places));
        let mut nanos = START + random.i64(0..SECOND / tick) * tick;
        let clients = random.usize(1..=CLIENTS.len());
        let mut asked = Vec::new();
        for _ in 0..random.usize(8..28) {
            nanos += match random.u8(0..8) {
                0..4 => 0,
                4 => tick,
                5 => random.i64(0..SECOND / tick) * tick,
                _ => random.i64(0..4) * SECOND,
            };
            if self.drops_zeros && nanos % SECOND == 0 {
                nanos += tick;
            }
            let (client, ways) = CLIENTS[random.usize(0..clients)];
            asked.push(Asked {
                nanos,
                east: one_of(random, &[0, 7_200, -12_600]),
                client,
                from: one_of(random, ways),
                user: one_of(random, &["-", "alice", "bob"]),
                method: one_of(random, &["GET", "GET", "POST"]),
                path: one_of(random, &["/", "/a", "/b"]),
                query: one_of(random, &["", "?q=1", "?q=2"]),
                status: one_of(random, &[200, 301, 404]),
                bytes: one_of(random, &[0, 1, 700, 1_500, 3_000, 1 << 31, 5_000_000_000]),
            });
        }
        for _ in 0..random.usize(0..4) {
            let (one, other) = (random.usize(0..asked.len()), random.usize(0..asked.len()));
            asked.swap(one, other);
        }
        asked
    }
}

impl Asked {
    fn time(&self, pattern: &str) -> String {
        let zone = FixedOffset::east_opt(self.east).expect("less than a day");
        DateTime::from_timestamp_nanos(self.nanos).with_timezone(&zone).format(pattern).to_string()
    }

    /// Returns the time of Common Log Format.
    pub(super) fn clf(&self) -> String {
        self.time("%d/%b/%Y:%H:%M:%S %z")
    }

    /// Returns the time by a pattern of `strftime`, in UTC.
    pub(super) fn utc(&self, pattern: &str) -> String {
        DateTime::from_timestamp_nanos(self.nanos).format(pattern).to_string()
    }

    /// Returns the time of ISO 8601 in its zone, with a pattern of `strftime` for the fraction.
    pub(super) fn iso(&self, fraction: &str) -> String {
        self.time(&format!("%Y-%m-%dT%H:%M:%S{fraction}%:z"))
    }

    /// Returns the seconds since 1970 with their fraction in microseconds.
    pub(super) fn epoch(&self) -> String {
        let micros = self.nanos / 1_000;
        format!("{}.{:06}", micros / 1_000_000, micros % 1_000_000)
    }

    /// Returns the line of the request, as quoted fields have it.
    pub(super) fn request(&self) -> String {
        format!("{} {}{} HTTP/1.1", self.method, self.path, self.query)
    }

    /// Returns the bytes with `-` for none, as many servers write them.
    pub(super) fn bytes_or_dash(&self) -> String {
        if self.bytes == 0 { "-".to_owned() } else { self.bytes.to_string() }
    }
}
