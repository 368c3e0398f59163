//! The smallest quota that denies few enough.
//!
//! # Algorithm
//!
//! For each period the counts 1, 2, 3, 5, 10, 20 and so on are tried in ascending order, for
//! denials need not fall with every step. But a key that is denied nothing is denied nothing by any
//! larger count: while all of its requests are admitted, its bucket lacks no more cells at a higher
//! rate, and may lack more. So each key is tried by itself, in every period up to the first count
//! that denies it nothing, and its requests are looked up once for all of that. Most keys are done
//! after a few counts.

use std::time::Duration;

use super::decide::{Buckets, Fate, Replay, Visit, each_visit};
use super::limit::Limit;
use super::outcome::{Found, FoundPeriod, Spread};
use super::threads::threads;
use crate::failure::Failure;

const SECOND: u64 = 1_000_000_000;
const PERIODS: [(&str, u64); 4] =
    [("s", SECOND), ("min", 60 * SECOND), ("hour", 3_600 * SECOND), ("day", 86_400 * SECOND)];

/// How many counts are tried beyond the one that was found, so that the curve shows what they would
/// gain.
const BEYOND: usize = 4;
/// The requests of a key are copied to be tried, unless there are more than this.
const MOST_COPIED: usize = 16_384;

/// What a share is taken of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Of {
    /// Of the requests
    #[default]
    Requests,
    /// Of the keys: a key is denied if any of its requests is
    Keys,
}

/// A share of a whole, exactly as it was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Share {
    parts: u64,
    of: u64,
}

impl Share {
    /// Reads what `--find` was given: `0.1%`, or `0.001`.
    ///
    /// # Errors
    ///
    /// Fails with one line that names the option.
    pub(crate) fn parse(words: &str) -> Result<Self, Failure> {
        let wrong = |reason| Failure::new(format_args!("--find {words}"), reason);
        let (number, whole) = match words.strip_suffix('%') {
            Some(number) => (number.trim_end(), 100),
            None => (words, 1),
        };
        let (before, after) = number.split_once('.').unwrap_or((number, "0"));
        let is_number = |digits: &str| {
            (1..=9).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit())
        };
        if !is_number(before) || !is_number(after) {
            return Err(wrong("not a share of at most 9 decimal places, as 0.1% or 0.001"));
        }
        let scale = 10_u64.pow(after.len() as u32);
        let digits = |digits: &str| digits.parse::<u64>().unwrap_or(u64::MAX);
        // Both have at most nine digits.
        let share = Self { parts: digits(before) * scale + digits(after), of: whole * scale };
        if share.parts > share.of {
            return Err(wrong("more than all"));
        }
        Ok(share)
    }

    /// Returns whether `count` of `all` is at most this share.
    fn allows(&self, count: u64, all: u64) -> bool {
        u128::from(count) * u128::from(self.of) <= u128::from(self.parts) * u128::from(all)
    }
}

/// What a quota denies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Denials {
    requests: u64,
    keys: u64,
}

/// What the counts deny in each period, in ascending order. Those beyond the last deny nothing.
type Curves = [Vec<Denials>; PERIODS.len()];

impl Replay<'_> {
    /// Finds for each period the smallest count of 1, 2, 3, 5 times a power of ten, the burst equal
    /// to the count, that denies at most this share by every reading. The search runs on all
    /// cores.
    pub(crate) fn find(&self, at_most: Share, of: Of, max_wait: Duration) -> Found {
        let threads = threads();
        let curves: Vec<Curves> = self
            .readings()
            .iter()
            .map(|&spread| {
                std::thread::scope(|scope| {
                    let part = |first| self.curves(spread, max_wait, first, threads);
                    let others: Vec<_> =
                        (1..threads).map(|first| scope.spawn(move || part(first))).collect();
                    others.into_iter().fold(part(0), |all, other| {
                        let other = other.join();
                        add(all, other.unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
                    })
                })
            })
            .collect();
        let (word, all) = match of {
            Of::Requests => ("requests", self.traffic.requests.len() as u64),
            Of::Keys => ("keys", self.traffic.keys.len() as u64),
        };
        let periods = PERIODS.iter().enumerate().map(|(place, (period, _))| {
            let curves: Vec<_> = curves.iter().map(|curves| &*curves[place]).collect();
            choose(period, &curves, at_most, of, all)
        });
        Found {
            at_most: at_most.parts as f64 / at_most.of as f64,
            of: word.to_owned(),
            periods: periods.collect(),
        }
    }

    /// Tries all counts on every `step`-th key from `first` on.
    fn curves(
        &self,
        spread: Option<Spread>,
        max_wait: Duration,
        first: usize,
        step: usize,
    ) -> Curves {
        let mut tried = PERIODS.map(|(_, period)| {
            let limits =
                counts().map_while(|cells| Limit::new(cells, period, cells, max_wait).ok());
            limits.map(|limit| Buckets::new(&[limit])).collect::<Vec<_>>()
        });
        let mut curves = Curves::default();
        let mut copied = Vec::new();
        for key in self.by_key.keys().skip(first).step_by(step) {
            let places = self.by_key.of(key);
            let visit = |visit: &mut dyn FnMut(&Visit)| {
                each_visit(self.traffic, &self.ticks, spread, places, visit);
            };
            copied.clear();
            if places.len() <= MOST_COPIED {
                visit(&mut |visit| copied.push(*visit));
            }
            for (curve, tried) in curves.iter_mut().zip(&mut tried) {
                for (at, buckets) in tried.iter_mut().enumerate() {
                    buckets.reset();
                    let mut denied = 0;
                    let mut decide = |visit: &Visit| {
                        denied += u64::from(matches!(buckets.decide(visit), Fate::Denied { .. }));
                    };
                    if places.len() <= MOST_COPIED {
                        copied.iter().for_each(decide);
                    } else {
                        visit(&mut decide);
                    }
                    if denied == 0 {
                        break;
                    }
                    if curve.len() == at {
                        curve.push(Denials::default());
                    }
                    curve[at].requests += denied;
                    curve[at].keys += 1;
                }
            }
        }
        curves
    }
}

/// Adds up what was denied to some keys and to others.
fn add(mut all: Curves, other: Curves) -> Curves {
    for (all, other) in all.iter_mut().zip(other) {
        all.resize(all.len().max(other.len()), Denials::default());
        for (all, other) in all.iter_mut().zip(other) {
            all.requests += other.requests;
            all.keys += other.keys;
        }
    }
    all
}

/// Chooses the smallest count that denies few enough by every reading, and shows some beyond it.
fn choose(period: &str, readings: &[&[Denials]], at_most: Share, of: Of, all: u64) -> FoundPeriod {
    let mut found = FoundPeriod {
        period: period.to_owned(),
        cells: None,
        denied: Vec::new(),
        keys_denied: Vec::new(),
        curve: Vec::new(),
    };
    let mut beyond = 0;
    for (at, cells) in counts().enumerate() {
        let denials: Vec<_> =
            readings.iter().map(|curve| curve.get(at).copied().unwrap_or_default()).collect();
        let worst = denials.iter().map(|denials| match of {
            Of::Requests => denials.requests,
            Of::Keys => denials.keys,
        });
        let worst = worst.max().unwrap_or(0);
        found.curve.push((cells, worst as f64 / all.max(1) as f64));
        if found.cells.is_some() {
            beyond += 1;
        } else {
            let shown = one_if_equal(&denials);
            found.denied = shown.iter().map(|denials| denials.requests).collect();
            found.keys_denied = shown.iter().map(|denials| denials.keys).collect();
            found.cells = at_most.allows(worst, all).then_some(cells);
        }
        if found.cells.is_some() && (worst == 0 || beyond == BEYOND) {
            break;
        }
    }
    found
}

/// Returns 1, 2, 3, 5, 10, 20, 30, 50 and so on, as far as they fit.
fn counts() -> impl Iterator<Item = u64> {
    let powers = (0..19).map(|power| 10_u64.pow(power));
    powers.flat_map(|power| {
        [1, 2, 3, 5].into_iter().filter_map(move |times| power.checked_mul(times))
    })
}

/// Returns the denials by each reading, or those by the first if all readings give the same.
fn one_if_equal(denials: &[Denials]) -> &[Denials] {
    match denials {
        [first, others @ ..] if others.iter().all(|other| other == first) => &denials[..1],
        _ => denials,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::decide::model::traffic;
    use super::super::decide::{Detail, Question, Replay};
    use super::super::limit::Limit;
    use super::{Denials, Of, Share, counts, one_if_equal};

    const SECOND: i64 = 1_000_000_000;

    #[test]
    fn a_share_is_exact() {
        for (words, parts, of) in [
            ("0.1%", 1, 1_000),
            ("0.7%", 7, 1_000),
            ("0.001", 1, 1_000),
            ("5 %", 50, 1_000),
            ("100%", 1, 1),
            ("0", 0, 1),
            ("1", 1, 1),
        ] {
            let share = Share::parse(words).expect(words);
            assert_eq!(share.parts * of, parts * share.of, "{words}");
        }
        let share = Share::parse("0.7%").expect("a share");
        assert!(share.allows(7, 1_000) && !share.allows(7, 999) && share.allows(0, 0));
        for words in
            ["", "%", "x", "-1%", "1.%", ".1", "1e-3", "0.0000000001", "9999999999%", "101%", "1.1"]
        {
            let failure = Share::parse(words).expect_err(words);
            assert!(failure.0.starts_with(&format!("--find {words}: ")), "{}", failure.0);
        }
    }

    #[test]
    fn counts_ascend_as_far_as_a_quota_goes() {
        let counts: Vec<_> = counts().collect();
        assert_eq!(counts[..10], [1, 2, 3, 5, 10, 20, 30, 50, 100, 200]);
        assert_eq!(counts.last(), Some(&5_000_000_000_000_000_000));
        assert!(counts.is_sorted());
    }

    #[test]
    fn the_smallest_count_is_that_of_a_search_of_all_counts() {
        let mut random = fastrand::Rng::with_seed(8);
        let mut some_differ_in_requests_only = false;
        for round in 0..60 {
            // One key of more requests than are copied, and then some that ask often.
            let (count, keys) = if round == 0 { (17_000, 1) } else { (random.usize(1..400), 8) };
            let mut time = 0;
            let requests: Vec<_> = (0..count)
                .map(|_| {
                    time += random.i64(0..3) * random.i64(0..9) * SECOND;
                    let key = random.u32(0..keys) * random.u32(0..keys);
                    (time, key, if round % 4 == 1 { random.u64(0..5) } else { 1 })
                })
                .collect();
            let traffic = traffic(0, &requests);
            let replay = Replay::new(&traffic, None).expect("a replay");
            let wait = Duration::from_secs(random.u64(0..3));
            let share = Share { parts: random.u64(0..20), of: 100 };
            let of = if random.bool() { Of::Keys } else { Of::Requests };
            let found = replay.find(share, of, wait);
            for (period, nanos) in found.periods.iter().zip(super::PERIODS.map(|period| period.1)) {
                let mut smallest = None;
                for &(cells, denied_share) in &period.curve {
                    let limit = Limit::new(cells, nanos, cells, wait).expect("a limit");
                    let question = Question::new(&[limit], None).expect("a question");
                    let detail = Detail { top: 0, columns: 1 };
                    let tallies = replay.run(&question, detail).expect("a run").readings;
                    let denials: Vec<_> = tallies
                        .iter()
                        .map(|tally| Denials { requests: tally.denied, keys: tally.keys_denied })
                        .collect();
                    let (worst, all) = match of {
                        Of::Requests => (
                            denials.iter().map(|denials| denials.requests).max(),
                            traffic.requests.len() as u64,
                        ),
                        Of::Keys => (
                            denials.iter().map(|denials| denials.keys).max(),
                            traffic.keys.len() as u64,
                        ),
                    };
                    let worst = worst.expect("a reading");
                    assert!((denied_share - worst as f64 / all as f64).abs() < 1e-9);
                    if smallest.is_none() && share.allows(worst, all) {
                        smallest = Some(cells);
                        let shown = period.denied.iter().zip(&period.keys_denied);
                        let shown: Vec<_> =
                            shown.map(|(&requests, &keys)| Denials { requests, keys }).collect();
                        assert_eq!(shown, one_if_equal(&denials));
                        some_differ_in_requests_only |= matches!(
                            &*shown,
                            [one, other] if one.keys == other.keys
                        );
                    }
                }
                assert!(smallest.is_some(), "{period:?}");
                assert_eq!(period.cells, smallest);
                let tried: Vec<_> = period.curve.iter().map(|tried| tried.0).collect();
                assert_eq!(tried, counts().take(tried.len()).collect::<Vec<_>>());
            }
        }
        assert!(some_differ_in_requests_only, "the readings that are easily lost");
    }

    #[test]
    fn one_request_a_client_needs_no_more_than_one() {
        let many: Vec<_> = (0..2_000).map(|key| (i64::from(key / 50) * SECOND, key, 1)).collect();
        let traffic = traffic(0, &many);
        let replay = Replay::new(&traffic, None).expect("a replay");
        let found =
            replay.find(Share::parse("0.1%").expect("a share"), Of::Requests, Duration::ZERO);
        assert_eq!((found.at_most, &*found.of), (0.001, "requests"));
        for period in &found.periods {
            assert_eq!(
                (period.cells, &*period.denied, &*period.curve),
                (Some(1), &[0][..], &[(1, 0.0)][..])
            );
        }
    }
}
