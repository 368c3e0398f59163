//! The smallest quota that denies few enough.
//!
//! # Algorithm
//!
//! For each period the counts 1, 2, 3, 5, 10, 20 and so on are tried in ascending order, for denials need
//! not fall with every step. But a key that is denied nothing is denied nothing by any larger count: while
//! all of its requests are admitted, its bucket lacks no more cells at a higher rate, and may lack more. So
//! each try decides only the keys that the one before it has denied.

use std::ops::Range;
use std::time::Duration;

use super::decide::{Buckets, Fate, Replay, each_visit};
use super::limit::Limit;
use super::outcome::{Found, FoundPeriod, Spread};
use crate::failure::Failure;

const SECOND: u64 = 1_000_000_000;
const PERIODS: [(&str, u64); 4] =
    [("s", SECOND), ("min", 60 * SECOND), ("hour", 3_600 * SECOND), ("day", 86_400 * SECOND)];

/// How many counts are tried beyond the one that was found, so that the curve shows what they would gain.
const BEYOND: usize = 4;

/// Of what a share is denied.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Of {
    /// Of the requests
    #[default]
    Requests,
    /// Of the keys: one is denied if any of its requests is
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

/// The keys that the last try has denied.
enum Keys {
    All(Range<u32>),
    Some(Vec<u32>),
}

impl Replay<'_> {
    /// Finds for each period the smallest count of 1, 2, 3, 5 times a power of ten, the burst equal to the
    /// count, that denies at most this share by every reading. The periods are searched in parallel.
    pub(crate) fn find(&self, at_most: Share, of: Of, max_wait: Duration) -> Found {
        let periods = std::thread::scope(|scope| {
            let search = |(word, nanos)| self.find_for(word, nanos, at_most, of, max_wait);
            let searches = PERIODS.map(|period| scope.spawn(move || search(period)));
            searches.map(|one| one.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
        });
        Found {
            at_most: at_most.parts as f64 / at_most.of as f64,
            of: match of {
                Of::Requests => "requests",
                Of::Keys => "keys",
            }
            .to_owned(),
            periods: periods.to_vec(),
        }
    }

    fn find_for(
        &self,
        word: &str,
        period: u64,
        at_most: Share,
        of: Of,
        max_wait: Duration,
    ) -> FoundPeriod {
        let mut denied_keys: Vec<_> =
            self.readings().iter().map(|&spread| (spread, Keys::All(self.by_key.keys()))).collect();
        let all = match of {
            Of::Requests => self.traffic.requests.len() as u64,
            Of::Keys => self.traffic.keys.len() as u64,
        };
        let mut found = FoundPeriod {
            period: word.to_owned(),
            cells: None,
            denied: vec![],
            keys_denied: vec![],
            curve: vec![],
        };
        let mut beyond = 0;
        for cells in counts() {
            let Ok(limit) = Limit::new(cells, period, cells, max_wait) else { break };
            let denials =
                denied_keys.iter_mut().map(|(spread, keys)| self.deny(&limit, *spread, keys));
            let denials: Vec<_> = denials.collect();
            let worst = denials.iter().map(|denials| match of {
                Of::Requests => denials.requests,
                Of::Keys => denials.keys,
            });
            let worst = worst.max().unwrap_or(0);
            found.curve.push((cells, worst as f64 / all.max(1) as f64));
            if found.cells.is_some() {
                beyond += 1;
            } else {
                found.denied = one_if_equal(denials.iter().map(|denials| denials.requests));
                found.keys_denied = one_if_equal(denials.iter().map(|denials| denials.keys));
                found.cells = at_most.allows(worst, all).then_some(cells);
            }
            if found.cells.is_some() && (worst == 0 || beyond == BEYOND) {
                break;
            }
        }
        found
    }

    /// Counts what a limit denies to these keys. Leaves those that it denies anything.
    fn deny(&self, limit: &Limit, spread: Option<Spread>, keys: &mut Keys) -> Denials {
        let mut buckets = Buckets::new(&[*limit]);
        let mut denials = Denials::default();
        let mut is_denied = |key| {
            buckets.reset();
            let mut denied = 0;
            each_visit(self.traffic, &self.ticks, spread, self.by_key.of(key), |visit| {
                denied += u64::from(matches!(buckets.decide(visit), Fate::Denied { .. }));
            });
            denials.requests += denied;
            denials.keys += u64::from(denied > 0);
            denied > 0
        };
        match keys {
            Keys::All(all) => *keys = Keys::Some(all.filter(|&key| is_denied(key)).collect()),
            Keys::Some(some) => some.retain(|&key| is_denied(key)),
        }
        denials
    }
}

/// Returns 1, 2, 3, 5, 10, 20, 30, 50 and so on, as far as they fit.
fn counts() -> impl Iterator<Item = u64> {
    let powers = (0..19).map(|power| 10_u64.pow(power));
    powers.flat_map(|power| {
        [1, 2, 3, 5].into_iter().filter_map(move |times| power.checked_mul(times))
    })
}

/// Returns one number if all are equal.
fn one_if_equal(numbers: impl Iterator<Item = u64>) -> Vec<u64> {
    let mut numbers: Vec<_> = numbers.collect();
    if numbers.iter().all(|number| *number == numbers[0]) {
        numbers.truncate(1);
    }
    numbers
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::decide::model::traffic;
    use super::super::decide::{Detail, Question, Replay};
    use super::super::limit::Limit;
    use super::{Of, Share, counts, one_if_equal};

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
        for round in 0..60 {
            let mut time = 0;
            let requests: Vec<_> = (0..random.usize(1..400))
                .map(|_| {
                    time += random.i64(0..3) * random.i64(0..9) * SECOND;
                    // Few keys ask often.
                    let key = random.u32(0..8) * random.u32(0..8);
                    (time, key, if round % 4 == 0 { random.u64(0..5) } else { 1 })
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
                    let (denied, all): (Vec<_>, u64) = match of {
                        Of::Requests => (
                            tallies.iter().map(|tally| tally.denied).collect(),
                            traffic.requests.len() as u64,
                        ),
                        Of::Keys => (
                            tallies.iter().map(|tally| tally.keys_denied).collect(),
                            traffic.keys.len() as u64,
                        ),
                    };
                    let worst = denied.iter().copied().max().expect("a reading");
                    assert!((denied_share - worst as f64 / all as f64).abs() < 1e-9);
                    if smallest.is_none() && share.allows(worst, all) {
                        smallest = Some(cells);
                        let found =
                            if of == Of::Keys { &period.keys_denied } else { &period.denied };
                        assert_eq!(*found, one_if_equal(denied.into_iter()));
                    }
                }
                assert!(smallest.is_some(), "{period:?}");
                assert_eq!(period.cells, smallest);
                let tried: Vec<_> = period.curve.iter().map(|tried| tried.0).collect();
                assert_eq!(tried, counts().take(tried.len()).collect::<Vec<_>>());
            }
        }
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
