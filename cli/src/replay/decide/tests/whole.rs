//! The whole way from the lines of a log to decisions, against the model. The model is given the
//! requests that the lines were written from, and never sees a line.

mod asked;
mod formats;
mod shared_log;

use std::collections::HashMap;
use std::time::Duration;

use self::asked::{Asked, Asks};
use self::formats::{Format, Given};
use super::super::model::{Modelled, model, traffic};
use super::{DETAIL, Question, Replay, SECOND, modelled};
use crate::replay::format::{detect, json_fields, named};
use crate::replay::gather::gather;
use crate::replay::input::Sources;
use crate::replay::limit::Limit;
use crate::replay::outcome::Spread;
use crate::replay::select::{ClientRule, Cost, Key, Select, Selection};
use crate::replay::traffic::Traffic;

/// How many logs of each format are made.
const LOGS: u64 = if cfg!(debug_assertions) { 5 } else { 100 };

/// What is to be read of a log.
struct Expected {
    /// A time, a key and a cost each, in the order of the times.
    requests: Vec<(i64, String, u64)>,
    places: u8,
    left_out: u64,
    without_key: u64,
    out_of_order: u64,
}

/// Reads a log as the command does.
fn read(log: String, given: Given, select: &dyn Select) -> Traffic {
    let sources = Sources::memory("a log", log.into_bytes());
    let format = match given {
        Given::Nothing => None,
        Given::LogFormat(words) => Some(named(words).expect(words)),
        Given::JsonFields(words) => Some(json_fields(words).expect(words)),
    };
    let detect = |head: &[u8]| format.clone().unwrap_or_else(|| detect(head));
    gather(&sources, &detect, select).expect("traffic")
}

/// Asserts that the lines say what they were written from.
fn assert_read(read: &Traffic, expected: &Expected, context: &str) {
    let requests = read
        .requests
        .iter()
        .map(|request| (request.time, read.keys.get(request.key).into_owned(), read.cost(request)));
    assert_eq!(requests.collect::<Vec<_>>(), expected.requests, "{context}");
    assert_eq!(
        (read.places, read.skipped, read.left_out, read.without_key, read.out_of_order),
        (expected.places, 0, expected.left_out, expected.without_key, expected.out_of_order),
        "{context}"
    );
}

/// Returns the expected requests for the model, with numbers for the keys.
fn numbered(expected: &Expected) -> Traffic {
    let mut numbers = HashMap::new();
    let requests = expected.requests.iter().map(|(time, key, cost)| {
        let next = numbers.len() as u32;
        (*time, *numbers.entry(key).or_insert(next), *cost)
    });
    traffic(expected.places, &requests.collect::<Vec<_>>())
}

fn count(modelled: &Modelled) -> u64 {
    modelled.denied.iter().filter(|&&denied| denied).count() as u64
}

/// Asserts that every request of the traffic is decided as by the model, by both readings, and that
/// the result shows one reading only if both deny as many. Returns what each denies.
fn assert_decided(
    read: &Traffic,
    expected: &Expected,
    limits: &[Limit],
    context: &str,
) -> [u64; 2] {
    let replay = Replay::new(read, None).expect("a replay");
    let of_model = numbered(expected);
    let denied = [Spread::Even, Spread::None].map(|spread| {
        let (fates, peak) = replay.decide(limits, Some(spread));
        let modelled_fates = model(&of_model, limits, Some(spread));
        let requests = read.requests.len() as u32;
        assert_eq!(
            modelled(&fates, peak, requests),
            modelled_fates,
            "{spread:?} {limits:?} {context}"
        );
        count(&modelled_fates)
    });
    let question = Question::new(limits, None).expect("a question");
    let readings = replay.run(&question, DETAIL).expect("a run").readings;
    let shown: Vec<_> = readings.iter().map(|tally| (tally.spread, tally.denied)).collect();
    match *shown {
        [(None, both)] => assert_eq!([both; 2], denied, "{limits:?} {context}"),
        _ => assert_eq!(
            shown,
            [(Some(Spread::Even), denied[0]), (Some(Spread::None), denied[1])],
            "{limits:?} {context}"
        ),
    }
    denied
}

/// What counts, and under which key.
struct Choice {
    key: Key,
    cost: Cost,
    only: &'static [&'static str],
    except: &'static [&'static str],
}

impl Choice {
    fn random(random: &mut fastrand::Rng, format: &Format) -> Self {
        let keys = [Key::Client, Key::Client, Key::Path, Key::ClientPath, Key::User];
        let key = keys[random.usize(0..if format.has_user { 5 } else { 4 })];
        let cost = if format.has_bytes && random.bool() { Cost::Bytes } else { Cost::One };
        let filters: [(&[_], &[_]); 5] = [
            (&[], &[]),
            (&[], &[]),
            (&["method=GET"], &[]),
            (&[], &["status=404"]),
            (&["path=/"], &["path=/b"]),
        ];
        let (only, except) = filters[random.usize(0..filters.len())];
        Self { key, cost, only, except }
    }

    fn selection(&self) -> Selection {
        let owned = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect::<Vec<_>>();
        let (only, except) = (owned(self.only), owned(self.except));
        Selection::new(self.key, self.cost, ClientRule::default(), &only, &except).expect("one")
    }

    /// Returns what is to be read of a log of these lines.
    fn expected(&self, lines: &[Asked], places: u8) -> Expected {
        let mut expected =
            Expected { requests: vec![], places, left_out: 0, without_key: 0, out_of_order: 0 };
        let mut latest = i64::MIN;
        for line in lines {
            let is_left_out = (self.only == ["method=GET"] && line.method != "GET")
                || (self.except == ["status=404"] && line.status == 404)
                || (self.except == ["path=/b"] && line.path == "/b");
            let key = match self.key {
                Key::Client => line.client.to_owned(),
                Key::Path => line.path.to_owned(),
                Key::ClientPath => format!("{} {}", line.client, line.path),
                Key::User => line.user.to_owned(),
            };
            if is_left_out {
                expected.left_out += 1;
            } else if key == "-" {
                expected.without_key += 1;
            } else {
                let cost = if self.cost == Cost::Bytes { line.bytes } else { 1 };
                expected.out_of_order += u64::from(line.nanos < latest);
                latest = latest.max(line.nanos);
                expected.requests.push((line.nanos, key, cost));
            }
        }
        expected.requests.sort_by_key(|request| request.0);
        expected.places = self::places(&expected.requests, places);
        expected
    }
}

/// Returns the decimal places of the clock of a log whose stamps have `places`: a clock whose
/// fractions are all zeros is coarser.
fn places(requests: &[(i64, String, u64)], places: u8) -> u8 {
    let is_enough = |&enough: &u8| {
        let tick = 10_i64.pow(9 - u32::from(enough));
        requests.iter().all(|(time, ..)| time % tick == 0)
    };
    [0, 3, 6].into_iter().find(is_enough).map_or(places, |enough| enough.min(places))
}

/// Returns limits of periods that divide and of others, with bursts and waits. Some periods are a
/// few ticks.
fn some_limits(random: &mut fastrand::Rng, cost: Cost, tick: u64) -> Vec<Limit> {
    let (words, scale): (&[_], _) = match cost {
        Cost::One => (&["1/s", "2/s", "3/7s", "7/3s", "10/30s", "5/min", "7/hour", "3/100ms"], 1),
        Cost::Bytes => (&["1000/s", "700/3s", "7/13ms", "5000000000/min"], 1_500),
    };
    let max_wait = [None, None, Some(1), Some(2_500)][random.usize(0..4)];
    let max_wait = max_wait.map(Duration::from_millis);
    let limits = (0..[1, 1, 2, 3][random.usize(0..4)]).map(|_| {
        if random.bool() {
            let (cells, period) = (random.u64(1..6) * scale, random.u64(1..4) * tick);
            let (wait, burst) = (max_wait.unwrap_or_default(), random.u64(1..3) * scale);
            return Limit::new(cells, period, burst, wait).expect("one");
        }
        let burst = random.bool().then(|| random.u64(1..4) * scale);
        Limit::parse("--limit", words[random.usize(0..words.len())], burst, max_wait).expect("one")
    });
    limits.collect()
}

fn every_log_is_decided_as_by_the_model(formats: &[Format]) {
    for format in formats {
        let (mut denied, mut differ) = (0, 0);
        let tick = 10_u64.pow(9 - u32::from(format.places));
        for seed in 0..LOGS {
            let mut random = fastrand::Rng::with_seed(seed);
            let lines = Asks { places: format.places, drops_zeros: format.drops_zeros };
            let lines = lines.random(&mut random);
            let choice = Choice::random(&mut random, format);
            let expected = choice.expected(&lines, format.places);
            let log = format.write(&lines);
            if expected.requests.is_empty() {
                continue;
            }
            let read = read(log.clone(), format.given, &choice.selection());
            assert_eq!(read.files[0].format, format.name, "{log}");
            assert_read(&read, &expected, &log);
            for _ in 0..2 {
                let limits = some_limits(&mut random, choice.cost, tick);
                let [even, none] = assert_decided(&read, &expected, &limits, &log);
                denied += none;
                differ += u64::from(even != none);
            }
        }
        // The logs are such that something is to be seen.
        assert!(denied > LOGS && differ >= LOGS / 10, "{}: {denied} {differ}", format.name);
    }
}

#[test]
fn logs_of_servers_are_decided_as_by_the_model() {
    every_log_is_decided_as_by_the_model(&formats::of_servers());
}

#[test]
fn logs_of_json_are_decided_as_by_the_model() {
    every_log_is_decided_as_by_the_model(&formats::of_json());
}

#[test]
fn logs_of_clouds_are_decided_as_by_the_model() {
    every_log_is_decided_as_by_the_model(&formats::of_clouds());
}

#[test]
fn logs_behind_prefixes_are_decided_as_by_the_model() {
    every_log_is_decided_as_by_the_model(&formats::behind_prefixes());
}

#[test]
fn logs_of_patterns_are_decided_as_by_the_model() {
    every_log_is_decided_as_by_the_model(&formats::of_patterns());
}

#[test]
fn every_format_that_has_a_name_is_among_them() {
    let mut written: Vec<_> = [formats::of_servers(), formats::of_json(), formats::of_clouds()]
        .into_iter()
        .flatten()
        .filter(|format| matches!(format.given, Given::Nothing))
        .map(|format| format.name)
        .collect();
    let unknown = named("no-such-format").expect_err("a list of all").0;
    let (_, names) = unknown.split_once("none of ").expect("the names");
    let (names, _) = names.split_once(", nor").expect("the names");
    let mut names: Vec<_> = names.split(", ").collect();
    written.sort_unstable();
    written.dedup();
    names.sort_unstable();
    assert_eq!(written, names);
}
