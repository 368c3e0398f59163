//! A real log, which not every copy of the project has.

use std::path::Path;

use chrono::DateTime;

use super::{Expected, Given, Limit, SECOND, Spread, assert_read, model, read, traffic};
use crate::replay::decide::Replay;
use crate::replay::select::{ClientRule, Cost, Key, Selection};

/// Takes a line apart by its first blank and its first brackets.
fn taken_apart(line: &str) -> (i64, String, u64) {
    let (client, rest) = line.split_once(' ').expect("a client");
    let (_, rest) = rest.split_once('[').expect("a time");
    let (time, _) = rest.split_once(']').expect("a time");
    let time = DateTime::parse_from_str(time, "%d/%b/%Y:%H:%M:%S %z").expect("a time");
    (time.timestamp() * SECOND, client.to_owned(), 1)
}

#[test]
fn a_real_log_is_decided_as_by_the_model() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data/apache-access.log");
    let Ok(log) = std::fs::read_to_string(path) else {
        println!("skipped: this copy of the project has no real log");
        return;
    };
    let mut requests: Vec<_> = log.lines().map(taken_apart).collect();
    let mut latest = i64::MIN;
    let out_of_order = requests.iter().filter(|&&(time, ..)| {
        latest = latest.max(time);
        time < latest
    });
    let out_of_order = out_of_order.count() as u64;
    requests.sort_by_key(|request| request.0);
    let expected = Expected { requests, places: 0, left_out: 0, without_key: 0, out_of_order };
    let selection = Selection::new(Key::Client, Cost::One, ClientRule::default(), &[], &[]);
    let read = read(log, Given::Nothing, &selection.expect("a selection"));
    assert_read(&read, &expected, "the real log");

    let limit = |words, burst| Limit::parse("--limit", words, burst, None).expect(words);
    let replay = Replay::new(&read, None).expect("a replay");
    for limits in [
        vec![limit("1/s", None)],
        vec![limit("7/3s", Some(2))],
        vec![limit("20/min", None), limit("100/hour", Some(30))],
    ] {
        for spread in [Spread::Even, Spread::None] {
            let (fates, _) = replay.decide(&limits, Some(spread));
            // Keys are independent, and the model is slow with many.
            for key in replay.by_key.keys() {
                let places = replay.by_key.of(key);
                let of_key: Vec<_> = places
                    .iter()
                    .map(|&place| (expected.requests[place as usize].0, 0, 1))
                    .collect();
                let denied = places.iter().map(|&place| fates.denied.get(place));
                let modelled = model(&traffic(0, &of_key), &limits, Some(spread));
                assert_eq!(denied.collect::<Vec<_>>(), modelled.denied, "{limits:?} {spread:?}");
            }
        }
    }
}
