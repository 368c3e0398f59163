//! Decisions beside the model's, and the cases whose answers are known.

mod whole;

use std::time::Duration;

use super::fates::Fates;
use super::model::{Modelled, model, traffic};
use super::{Capacity, Detail, Question, Replay};
use crate::failure::Failure;
use crate::replay::limit::Limit;
use crate::replay::outcome::{Spread, Tally};
use crate::replay::traffic::Traffic;
use tidegate::OnFull;

const SECOND: i64 = 1_000_000_000;
const DETAIL: Detail = Detail { top: 3, columns: 10 };

fn limit(words: &str, burst: Option<u64>) -> Limit {
    Limit::parse("--quota", words, burst, None).expect(words)
}

/// Makes requests of one key, each at a whole second.
fn seconds(times: &[i64]) -> Traffic {
    let requests: Vec<_> = times.iter().map(|&time| (time * SECOND, 0, 1)).collect();
    traffic(0, &requests)
}

fn tallies(traffic: &Traffic, limits: &[Limit], spread: Option<Spread>) -> Vec<Tally> {
    answered(traffic, Question::new(limits, None), spread)
}

fn on_table(traffic: &Traffic, limits: &[Limit], keys: u64, on_full: OnFull) -> Vec<Tally> {
    answered(traffic, Question::new(limits, Some(Capacity { keys, on_full })), None)
}

fn answered(
    traffic: &Traffic,
    question: Result<Question, Failure>,
    spread: Option<Spread>,
) -> Vec<Tally> {
    let replay = Replay::new(traffic, spread).expect("a replay");
    replay.run(&question.expect("a question"), DETAIL).expect("a run").readings
}

fn modelled(fates: &Fates, peak: u64, requests: u32) -> Modelled {
    Modelled {
        denied: (0..requests).map(|place| fates.denied.get(place)).collect(),
        denied_by: fates.denied_by.clone(),
        delayed: fates.delayed,
        longest_wait: fates.longest_wait,
        total_wait: fates.total_wait,
        peak,
    }
}

/// Returns a number from 1 to `most`. Small numbers and `most` are likely.
fn some_number(random: &mut fastrand::Rng, most: u64) -> u64 {
    match random.u8(0..10) {
        0 => most,
        1 => random.u64(1..=most),
        _ => 1 << random.u32(0..=most.ilog2()),
    }
}

/// What kind of numbers is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scale {
    /// Seconds and parts of them, which most periods divide and some do not.
    Usual,
    /// A few nanoseconds, where fractions of one decide.
    Tiny,
    /// Numbers up to the bounds.
    Extreme,
}

fn some_limit(random: &mut fastrand::Rng, scale: Scale) -> Limit {
    const MOST: u64 = (1 << 63) - 1;
    let (cells, period, burst, wait) = match scale {
        Scale::Usual => (
            random.u64(1..12),
            random.u64(1..40) * SECOND as u64 / [1, 3, 7, 1_000][random.usize(0..4)],
            random.u64(1..6),
            random.u64(0..8) * SECOND as u64 / 2,
        ),
        Scale::Tiny => (random.u64(1..12), random.u64(1..60), random.u64(1..6), random.u64(1..30)),
        Scale::Extreme => (
            some_number(random, MOST),
            some_number(random, MOST),
            some_number(random, MOST),
            some_number(random, MOST),
        ),
    };
    let wait = if random.u8(0..3) == 0 { wait } else { 0 };
    Limit::new(cells, period, burst, Duration::from_nanos(wait)).expect("a limit")
}

fn some_traffic(random: &mut fastrand::Rng, scale: Scale) -> Traffic {
    let places = if scale == Scale::Tiny { 8 } else { [0, 0, 1, 3, 6, 9][random.usize(0..6)] };
    let tick = 10_i64.pow(9 - u32::from(places));
    let mut time = random.i64(-1_000_000..1_000_000) * tick;
    let keys = random.u32(1..7);
    let is_extreme = scale == Scale::Extreme;
    let gap = if is_extreme && places == 0 { 3_000_000 } else { random.i64(1..12) };
    let requests = (0..random.usize(1..100)).map(|_| {
        if random.u8(0..3) > 0 {
            time += tick * random.i64(0..gap);
        }
        let cost = match random.u8(0..8) {
            0 => 0,
            1 if is_extreme => random.u64(..),
            1 | 2 => random.u64(1..7),
            _ => 1,
        };
        (time, random.u32(0..keys), cost)
    });
    traffic(places, &requests.collect::<Vec<_>>())
}

#[test]
fn every_decision_is_that_of_the_model() {
    let mut random = fastrand::Rng::with_seed(14);
    let (mut denied, mut delayed) = (0, 0);
    for round in 0..3_000 {
        let scale = [Scale::Usual, Scale::Tiny, Scale::Extreme][round % 3];
        let traffic = some_traffic(&mut random, scale);
        let count = if random.bool() { 1 } else { random.usize(2..5) };
        let limits: Vec<_> = (0..count).map(|_| some_limit(&mut random, scale)).collect();
        let spread = if random.bool() { Spread::Even } else { Spread::None };
        let replay = Replay::new(&traffic, Some(spread)).expect("a replay");
        let (fates, peak) = replay.decide(&limits, Some(spread));
        let model = model(&traffic, &limits, Some(spread));
        assert_eq!(
            modelled(&fates, peak, traffic.requests.len() as u32),
            model,
            "{spread:?} {limits:?} {traffic:?}"
        );
        denied += fates.denied.count();
        delayed += fates.delayed;
    }
    // The traffic is such that both happen.
    assert!(denied > 5_000 && delayed > 500, "{denied} denied, {delayed} delayed");
}

#[test]
fn sixteen_limits_are_decided_together() {
    let mut random = fastrand::Rng::with_seed(16);
    for round in 0..200 {
        let scale = if round % 4 == 0 { Scale::Usual } else { Scale::Tiny };
        let traffic = some_traffic(&mut random, scale);
        let limits: Vec<_> = (0..16).map(|_| some_limit(&mut random, scale)).collect();
        let replay = Replay::new(&traffic, Some(Spread::Even)).expect("a replay");
        let (fates, peak) = replay.decide(&limits, Some(Spread::Even));
        let model = model(&traffic, &limits, Some(Spread::Even));
        assert_eq!(modelled(&fates, peak, traffic.requests.len() as u32), model);
    }
    let limit = limit("1/s", None);
    for limits in [vec![], vec![limit; 17]] {
        assert!(Question::new(&limits, None).expect_err("refused").0.starts_with("--limit: "));
    }
}

#[test]
fn ten_a_second_evenly_have_two_readings() {
    let steady: Vec<_> = (0..60).map(|request| request / 10).collect();
    let limits = [limit("10/s", Some(1))];
    let [even, none] = &*tallies(&seconds(&steady), &limits, None) else { panic!("two readings") };
    assert_eq!((even.spread, even.denied), (Some(Spread::Even), 0));
    assert_eq!((none.spread, none.denied), (Some(Spread::None), 54));
    let [even] = &*tallies(&seconds(&steady), &limits, Some(Spread::Even)) else { panic!("one") };
    assert_eq!((even.spread, even.denied), (Some(Spread::Even), 0));
    let [none] = &*tallies(&seconds(&steady), &limits, Some(Spread::None)) else { panic!("one") };
    assert_eq!(none.denied, 54);
}

#[test]
fn readings_are_no_bounds() {
    // If the true times are 0.9 and 1.1, one request is denied.
    let [both] = &*tallies(&seconds(&[0, 1]), &[limit("1/s", None)], None) else { panic!("one") };
    assert_eq!((both.spread, both.denied), (None, 0));
    // If the true times are 0, 0.4 and 0.8, no request is denied.
    let three = seconds(&[0, 0, 0]);
    let limits = [limit("5/2s", Some(1))];
    let [even, none] = &*tallies(&three, &limits, None) else { panic!("two readings") };
    assert_eq!((even.denied, none.denied), (1, 2));
}

#[test]
fn readings_that_agree_are_one() {
    let [one] = &*tallies(&seconds(&[0, 0, 0, 9]), &[limit("2/day", None)], None) else {
        panic!("one reading")
    };
    assert_eq!((one.spread, one.denied), (None, 2));
    let fine = traffic(9, &[(5, 0, 1), (5, 0, 1)]);
    assert_eq!(tallies(&fine, &[limit("1/s", None)], None)[0].spread, None);
}

#[test]
fn a_queue_delays_as_nginx_does() {
    // rate=1r/s burst=2: one is served at once, two wait, the fourth is denied.
    let wait = Some(Duration::from_secs(2));
    let queue = Limit::parse("--quota", "1r/s", Some(1), wait).expect("a limit");
    let tally = tallies(&seconds(&[0, 0, 0, 0]), &[queue], Some(Spread::None)).remove(0);
    assert_eq!((tally.admitted, tally.denied, tally.delayed), (3, 1, 2));
    assert_eq!((tally.longest_delay_nanos, tally.mean_delay_nanos), (2_000_000_000, 1_500_000_000));
    // A request that costs more than the burst and what may wait never passes.
    let costly = traffic(0, &[(0, 0, 4), (9 * SECOND, 0, 3)]);
    let tally = tallies(&costly, &[queue], None).remove(0);
    assert_eq!((tally.admitted, tally.denied), (1, 1));
}

#[test]
fn a_request_meets_all_limits_or_none() {
    let limits = [limit("2/s", None), limit("3/day", None)];
    let tally = tallies(&seconds(&[0, 0, 0, 1, 2, 2]), &limits, Some(Spread::None)).remove(0);
    // The third is denied by the first limit, and the day's pays nothing for it.
    assert_eq!((tally.admitted, tally.denied), (3, 3));
    assert_eq!(tally.denied_by, [1, 2]);
}

#[test]
fn the_most_denied_come_first_with_their_timelines() {
    let mut requests = Vec::new();
    for (key, count) in [(0, 2), (1, 5), (2, 1), (3, 5), (4, 3)] {
        requests.extend((0..count).map(|time| (time * SECOND, key, 1)));
    }
    requests.sort_unstable();
    let tally = tallies(&traffic(0, &requests), &[limit("1/day", None)], None).remove(0);
    assert_eq!((tally.admitted, tally.denied, tally.keys_denied), (5, 11, 4));
    let top: Vec<_> = tally.top.iter().map(|top| (&*top.key, top.requests, top.denied)).collect();
    assert_eq!(top, [("key 1", 5, 4), ("key 3", 5, 4), ("key 4", 3, 2)]);
    assert_eq!(tally.timeline.width_nanos, 1_000_000_000);
    assert_eq!(tally.timeline.admitted, [5, 0, 0, 0, 0]);
    assert_eq!(tally.timeline.denied, [0, 4, 3, 2, 2]);
    assert_eq!(tally.top[2].timeline.denied, [0, 1, 1, 0, 0]);
    let wide = Replay::new(&traffic(0, &requests), None).map(|replay| {
        let question = Question::new(&[limit("1/day", None)], None).expect("a question");
        replay.run(&question, Detail { top: 0, columns: 2 }).expect("a run").readings.remove(0)
    });
    let wide = wide.expect("a replay");
    assert_eq!((wide.top.len(), wide.keys_denied), (0, 4));
    assert_eq!(wide.timeline.width_nanos, 3_000_000_000);
    assert_eq!(wide.timeline.denied, [7, 4]);
}

#[test]
fn many_denied_keys_are_ranked_as_few_are() {
    let mut requests = Vec::new();
    for key in 0..5_000 {
        requests.extend((0..2 + key % 977).map(|_| (0, key as u32, 1)));
    }
    let tally = tallies(&traffic(9, &requests), &[limit("1/day", None)], None).remove(0);
    assert_eq!(tally.keys_denied, 5_000);
    let top: Vec<_> = tally.top.iter().map(|top| (&*top.key, top.denied)).collect();
    assert_eq!(top, [("key 1953", 977), ("key 2930", 977), ("key 3907", 977)]);
}

#[test]
fn a_crowd_that_ends_at_once_is_counted() {
    let crowd: Vec<_> = (0..1_000).map(|key| (0, key, 1)).chain([(60 * SECOND, 0, 1)]).collect();
    let tally = tallies(&traffic(0, &crowd), &[limit("60/min", Some(1))], None).remove(0);
    assert_eq!(tally.peak_live_keys, 1_000);
    let more: Vec<_> =
        (0..1_000).map(|key| (SECOND, key, 1)).chain([(60 * SECOND, 0, 1)]).collect();
    let both = [&crowd[..1_000], &more[..]].concat();
    let tally = tallies(&traffic(0, &both), &[limit("60/min", Some(1))], None).remove(0);
    assert_eq!((tally.peak_live_keys, tally.denied), (1_000, 0));
}

#[test]
fn a_key_is_live_for_the_last_fraction_of_a_nanosecond() {
    // The last of three in ten nanoseconds is charged at 6 2/3, and is paid at 10 2/3.
    let traffic = traffic(8, &[(0, 0, 1), (0, 0, 1), (0, 0, 1), (10, 1, 1)]);
    let limits = [limit("1/4ns", None)];
    let replay = Replay::new(&traffic, Some(Spread::Even)).expect("a replay");
    let (fates, peak) = replay.decide(&limits, Some(Spread::Even));
    assert_eq!((fates.denied.count(), peak), (1, 2));
}

#[test]
fn a_table_with_room_decides_as_the_quota() {
    let mut random = fastrand::Rng::with_seed(5);
    for round in 0..60 {
        let traffic = some_traffic(&mut random, Scale::Usual);
        // Rates of which a table's unit makes whole cells.
        let words = ["1/s", "60/min", "2/s", "5/hour"];
        let limits: Vec<_> = words[round % 3..round % 3 + 1 + round % 2]
            .iter()
            .map(|words| limit(words, Some(random.u64(1..4))))
            .collect();
        for spread in [Spread::None, Spread::Even] {
            let replay = Replay::new(&traffic, Some(spread)).expect("a replay");
            let capacity = Capacity { keys: 1_000, on_full: OnFull::Deny };
            let question = Question::new(&limits, Some(capacity)).expect("a question");
            let table = question.table.as_ref().expect("a table");
            let fates = table.decide(&traffic, &replay.ticks, Some(spread)).expect("fates");
            let (exact, _) = replay.decide(&limits, Some(spread));
            if spread == Spread::None {
                assert_eq!(fates, exact, "{limits:?} {traffic:?}");
            }
            assert_eq!(fates.no_slot, 0);
        }
    }
}

#[test]
fn another_keys_finer_stamp_makes_no_tick_of_a_table_shorter() {
    // Three requests in a whole second, and one of another key with milliseconds.
    let mixed = traffic(0, &[(0, 0, 1), (0, 0, 1), (0, 0, 1), (1_000_000, 1, 1)]);
    let limits = [limit("5/2s", Some(1))];
    let exact = tallies(&mixed, &limits, None);
    let on_table = on_table(&mixed, &limits, 1_000, OnFull::Deny);
    let denied = |tallies: &[Tally]| tallies.iter().map(|tally| tally.denied).collect::<Vec<_>>();
    assert_eq!((denied(&exact), denied(&on_table)), (vec![1, 2], vec![1, 2]));
}

#[test]
fn what_finds_no_slot_is_counted_apart() {
    // Each of 5,000 clients asks once, and the first and the last ask once more.
    let mut crowd: Vec<_> =
        (0..5_000).map(|key| (i64::from(key) * SECOND / 1_000, key, 1)).collect();
    crowd.push((5 * SECOND, 4_999, 1));
    crowd.push((5 * SECOND, 0, 1));
    let crowd = traffic(3, &crowd);
    let day = [limit("1/day", None)];
    let exact = tallies(&crowd, &day, None).remove(0);
    assert_eq!((exact.denied, exact.no_slot, exact.peak_live_keys), (2, 0, 5_000));
    let full = on_table(&crowd, &day, 100, OnFull::Deny).remove(0);
    assert!(full.no_slot > 4_000, "{}", full.no_slot);
    assert_eq!(full.admitted + full.denied + full.no_slot, 5_002);
    // The first client has a slot, the last has none.
    assert_eq!((full.denied, full.peak_live_keys), (1, 5_000));
    let admits = on_table(&crowd, &day, 100, OnFull::Admit).remove(0);
    assert_eq!((admits.denied, admits.no_slot), (1, 0));
    let both = [day[0], limit("2/day", None)];
    let full = on_table(&crowd, &both, 100, OnFull::Deny).remove(0);
    assert!(full.no_slot > 4_000 && full.denied_by == [1, 0], "{full:?}");
    let roomy = on_table(&crowd, &both, 20_000, OnFull::Deny).remove(0);
    assert_eq!((roomy.denied, roomy.no_slot), (2, 0));
}

#[test]
fn what_a_table_refuses_is_named() {
    let refused = |limits: &[Limit], keys| {
        let capacity = Capacity { keys, on_full: OnFull::Deny };
        Question::new(limits, Some(capacity)).expect_err("refused").0
    };
    let quota = limit("1/month", Some(1 << 62));
    assert!(refused(&[quota], 10).contains("drains too slowly"));
    assert!(refused(&[limit("1/s", None)], 0).starts_with("--capacity 0: "));
    assert!(refused(&[limit("1/s", None)], u64::MAX).starts_with("--capacity "));
    // The exact arithmetic has no such bound.
    assert!(Question::new(&[quota], None).is_ok());
}
