//! `tidegate replay`: what would this quota have done to my traffic?

// Until the rooms below replace what follows.
#[allow(dead_code, unused_imports)]
mod decide;
#[allow(dead_code, unused_imports)]
mod entry;
#[allow(dead_code, unused_imports)]
mod find;
#[allow(dead_code, unused_imports)]
mod format;
#[allow(dead_code, unused_imports)]
mod gather;
#[allow(dead_code, unused_imports)]
mod input;
mod limit;
#[allow(dead_code, unused_imports)]
mod outcome;
#[allow(dead_code, unused_imports)]
mod output;
mod report;
#[allow(dead_code, unused_imports)]
mod select;
#[allow(dead_code, unused_imports)]
mod stamp;
#[allow(dead_code, unused_imports)]
mod traffic;

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::io::Write;
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use tidegate::lockfree::BucketTable;
use tidegate::lockfree::bucket::{Set, Unit};
use tidegate::{Instant, OnFull, Plan, Quota, SeededState};

use crate::failure::Failure;
use crate::input::Source;
use crate::line::{Line, client_key};
use crate::report::{self as old_report, Moment, Outcome, Skipped, Top};

/// Replays an access log against a quota: who would have been denied, and when.
///
/// Reads Common and Combined Log Format (Apache, nginx), plain or gzip. Without FILE it reads
/// standard input, and if that is a terminal or empty, a built-in synthetic day.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  tidegate replay                                        a built-in day, 60/min a client
  tidegate replay access.log --quota 100/min --burst 20
  tidegate replay access.log.1.gz --key client+path --quota 5/min --top 20
  tidegate replay access.log --cost bytes --quota 1000000/s --burst 50000000
  zcat access.log.*.gz | tidegate replay - --format json | jq .denied
  tidegate replay access.log --svg denied.svg

Periods are s, min, hour, day and month (30 days). Exit status: 0, or 2 with one line that
names what is wrong.")]
pub(crate) struct Arguments {
    /// The log; - is standard input
    file: Option<PathBuf>,

    /// Cells (requests, or bytes with --cost bytes) a period, for each key. In a full period a burst
    /// and the quota can pass
    #[arg(long, value_name = "CELLS/PERIOD", default_value = "60/min", allow_hyphen_values = true)]
    quota: String,

    /// The most cells at once, after a pause; if not given, those of the quota. What costs more
    /// never passes
    #[arg(long, value_name = "CELLS", allow_hyphen_values = true)]
    burst: Option<u64>,

    /// What has a bucket of its own
    #[arg(long, value_enum, default_value_t = Key::Client)]
    key: Key,

    /// What a request costs: a cell, or a cell for each byte sent
    #[arg(long, value_enum, default_value_t = Cost::One)]
    cost: Cost,

    /// The bits of an IPv6 address that make a client
    #[arg(long, value_name = "BITS", default_value_t = 64,
          value_parser = clap::value_parser!(u8).range(0..=128))]
    ipv6_prefix: u8,

    /// How many keys the table is made for, at 37 bytes each
    #[arg(long, value_name = "KEYS", default_value_t = 65_536,
          value_parser = clap::value_parser!(u64).range(1..=MOST_KEYS), allow_hyphen_values = true)]
    capacity: u64,

    /// What a full table answers to a new key
    #[arg(long, value_enum, default_value_t = Full::Deny)]
    on_full: Full,

    /// How many of the most denied keys to show
    #[arg(long, value_name = "N", default_value_t = 10)]
    top: usize,

    /// How to print the result
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,

    /// Draw admitted and denied requests over time into this file, too
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Key {
    /// The address, IPv6 by its network
    Client,
    /// The path of the request, without the query
    Path,
    /// A client and a path
    #[value(name = "client+path")]
    ClientPath,
    /// The authenticated user
    User,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Cost {
    #[value(name = "1")]
    One,
    Bytes,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Full {
    /// Denied
    Deny,
    /// Admitted, and not counted
    Admit,
    /// Counted in buckets that such keys share
    Shared,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    Text,
    Json,
}

/// The seed of the replay's table: fixed, so that its output repeats.
const SEED: u64 = 0x7e91_a7ed;
/// How many skipped lines are shown.
const SHOWN: usize = 5;
/// A mistyped capacity must not take the machine down: 2^30 keys are 37 GiB.
const MOST_KEYS: u64 = 1 << 30;
/// The longest span that any quota can be replayed over: ten years.
const LONGEST_SPAN: u64 = 315_576_000;

pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let quota = crate::quota::parse(&arguments.quota, arguments.burst)?;
    if let Some(path) = &arguments.svg {
        old_report::refuse_to_overwrite(path, arguments.file.as_deref())?;
    }
    let (table, plan) = table(arguments, quota)?;
    let traffic = Traffic::read(arguments)?;
    let outcome = replay(arguments, quota, &table, &plan, traffic);
    if let Some(path) = &arguments.svg {
        old_report::svg(&outcome, path)?;
    }
    // The built-in day is damaged on purpose.
    if outcome.source != crate::synthetic::NAME {
        show_skipped(&outcome);
    }
    let text = match arguments.format {
        Format::Text => old_report::text(&outcome),
        Format::Json => old_report::json(&outcome),
    };
    match std::io::stdout().lock().write_all(text.as_bytes()) {
        // Whoever read it has seen enough.
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        Err(error) => Err(Failure::new("standard output", error)),
        Ok(()) => Ok(()),
    }
}

fn show_skipped(outcome: &Outcome) {
    for skipped in &outcome.first_skipped {
        crate::complain(&format!("line {} skipped: {}", skipped.line, skipped.reason));
    }
    let more = outcome.skipped - outcome.first_skipped.len() as u64;
    if more > 0 {
        crate::complain(&format!("and {more} more lines skipped"));
    }
}

type Table = BucketTable<Vec<Set>>;

fn table(arguments: &Arguments, quota: Quota) -> Result<(Table, Plan), Failure> {
    let wrong = |error| Failure::new(format_args!("--quota {}", arguments.quota), error);
    let unit = Unit::for_quota(quota).map_err(wrong)?;
    let plan = unit.plan(quota).map_err(wrong)?;
    let capacity = arguments.capacity;
    let too_large =
        |_| Failure::new(format_args!("--capacity {capacity}"), "more than fits into memory");
    let mut sets = Vec::new();
    let count = Set::for_keys(capacity as usize);
    sets.try_reserve_exact(count).map_err(too_large)?;
    sets.resize_with(count, Set::new);
    let policy = match arguments.on_full {
        Full::Deny => OnFull::Deny,
        Full::Admit => OnFull::Admit,
        Full::Shared => OnFull::Shared,
    };
    let table = BucketTable::over(sets, unit, SeededState::new(SEED));
    Ok((table.on_full(policy).grace(std::time::Duration::ZERO), plan))
}

/// One request to replay.
struct Record {
    time: i64,
    key: u32,
    cost: u64,
}

/// What was read.
struct Traffic {
    name: String,
    records: Vec<Record>,
    keys: Vec<Box<str>>,
    skipped: u64,
    first_skipped: Vec<Skipped>,
    out_of_order: u64,
}

impl Traffic {
    fn read(arguments: &Arguments) -> Result<Self, Failure> {
        let source = Source::new(arguments.file.as_deref());
        let mut numbers: HashMap<Box<str>, u32> = HashMap::new();
        let mut traffic = Self {
            name: String::new(),
            records: Vec::new(),
            keys: Vec::new(),
            skipped: 0,
            first_skipped: Vec::new(),
            out_of_order: 0,
        };
        let (mut latest, mut lines) = (i64::MIN, 0_u64);
        traffic.name = source.lines(|number, text| {
            lines = number;
            let parsed = text.ok_or("longer than 64 KiB").and_then(|text| request(arguments, text));
            let (time, key, cost) = match parsed {
                Ok(parsed) => parsed,
                Err(reason) => {
                    traffic.skipped += 1;
                    if traffic.first_skipped.len() < SHOWN {
                        traffic.first_skipped.push(Skipped { line: number, reason });
                    }
                    return;
                }
            };
            traffic.out_of_order += u64::from(time < latest);
            latest = latest.max(time);
            let key = match numbers.get(&*key) {
                Some(&number) => number,
                None => {
                    let number = traffic.keys.len() as u32;
                    let key = key.into_boxed_str();
                    traffic.keys.push(key.clone());
                    numbers.insert(key, number);
                    number
                }
            };
            traffic.records.push(Record { time, key, cost });
        })?;
        if traffic.records.is_empty() {
            let reason = match traffic.first_skipped.first() {
                Some(first) => format!(
                    "none of its lines ({lines}) can be used; line {}: {}",
                    first.line, first.reason
                ),
                None => "empty".to_owned(),
            };
            return Err(Failure::new(&traffic.name, reason));
        }
        // Logs are written at completion. Stable: ties stay in the order of the file.
        traffic.records.sort_by_key(|record| record.time);
        let (first, last) = (traffic.records.first(), traffic.records.last());
        if let (Some(first), Some(last)) = (first, last)
            && last.time.abs_diff(first.time) > LONGEST_SPAN
        {
            let (first, last) = (old_report::clock(first.time), old_report::clock(last.time));
            let reason = format!("spans more than 10 years, from {first} to {last}");
            return Err(Failure::new(&traffic.name, reason));
        }
        Ok(traffic)
    }
}

/// The time, key and cost of a line.
fn request(arguments: &Arguments, text: &str) -> Result<(i64, String, u64), &'static str> {
    let line = Line::parse(text)?;
    let client = || client_key(line.client, arguments.ipv6_prefix);
    let key = match arguments.key {
        Key::Client => client(),
        Key::Path => line.path()?.to_owned(),
        Key::ClientPath => format!("{} {}", client(), line.path()?),
        Key::User => line.user()?.to_owned(),
    };
    let cost = match arguments.cost {
        Cost::One => 1,
        Cost::Bytes => line.bytes()?,
    };
    Ok((line.time, key, cost))
}

/// How a key fared.
#[derive(Clone, Copy, Default)]
struct Fate {
    requests: u64,
    admitted: u64,
    /// When its bucket is full again.
    full_at: Instant,
    /// Whether it is among the live.
    live: bool,
}

/// The keys whose bucket differs from a fresh one.
#[derive(Default)]
struct Live {
    now: usize,
    peak: usize,
    /// When each was to be full again, as far as was known when it was put here.
    queue: BinaryHeap<Reverse<(Instant, u32)>>,
}

impl Live {
    /// Takes out the keys that are full by `now`.
    fn settle(&mut self, now: Instant, fates: &mut [Fate]) {
        while let Some(&Reverse((full_at, key))) = self.queue.peek() {
            if full_at > now {
                return;
            }
            self.queue.pop();
            let fate = &mut fates[key as usize];
            if fate.full_at > now {
                self.queue.push(Reverse((fate.full_at, key)));
            } else {
                fate.live = false;
                self.now -= 1;
            }
        }
    }

    fn add(&mut self, key: u32, fate: &mut Fate) {
        if !fate.live {
            fate.live = true;
            self.now += 1;
            self.peak = self.peak.max(self.now);
            self.queue.push(Reverse((fate.full_at, key)));
        }
    }
}

fn replay(
    arguments: &Arguments,
    quota: Quota,
    table: &Table,
    plan: &Plan,
    traffic: Traffic,
) -> Outcome {
    let start = traffic.records.first().map_or(0, |record| record.time);
    let end = traffic.records.last().map_or(0, |record| record.time);
    let mut fates = vec![Fate::default(); traffic.keys.len()];
    let mut live = Live::default();
    let mut moments = Vec::with_capacity(traffic.records.len());
    for record in &traffic.records {
        let now = Instant::from_secs(record.time.abs_diff(start));
        live.settle(now, &mut fates);
        let key = &traffic.keys[record.key as usize];
        let decision = table.check_n(&**key, plan, record.cost, now);
        let fate = &mut fates[record.key as usize];
        fate.requests += 1;
        if decision.is_admitted() {
            fate.admitted += 1;
        }
        if decision.is_admitted() && !decision.is_unplaced() && !decision.reset_after().is_zero() {
            fate.full_at = now + decision.reset_after();
            live.add(record.key, fate);
        }
        moments.push(Moment { time: record.time, admitted: decision.is_admitted() });
    }

    let mut top: Vec<Top> = traffic
        .keys
        .into_iter()
        .zip(&fates)
        .filter(|(_, fate)| fate.admitted < fate.requests)
        .map(|(key, fate)| Top {
            key: key.into(),
            requests: fate.requests,
            admitted: fate.admitted,
            denied: fate.requests - fate.admitted,
        })
        .collect();
    top.sort_by(|one, other| {
        let rank = |top: &Top| Reverse((top.denied, top.requests));
        rank(one).cmp(&rank(other)).then_with(|| one.key.cmp(&other.key))
    });
    let keys_denied = top.len();
    top.truncate(arguments.top);

    let records = moments.len() as u64;
    let admitted = fates.iter().map(|fate| fate.admitted).sum();
    Outcome {
        source: traffic.name,
        quota: arguments.quota.clone(),
        burst: quota.burst_cells(),
        key: arguments
            .key
            .to_possible_value()
            .map_or_else(String::new, |key| key.get_name().to_owned()),
        cost: arguments
            .cost
            .to_possible_value()
            .map_or_else(String::new, |cost| cost.get_name().to_owned()),
        records,
        skipped: traffic.skipped,
        out_of_order: traffic.out_of_order,
        keys: fates.len(),
        keys_denied,
        admitted,
        denied: records - admitted,
        unplaced: table.counters().unplaced,
        peak_live_keys: live.peak,
        start,
        span_seconds: end.abs_diff(start),
        top,
        first_skipped: traffic.first_skipped,
        moments,
    }
}
