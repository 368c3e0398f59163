//! Spans of time as words.

use std::fmt;
use std::time::Duration;

use crate::failure::Failure;

const SECOND: u64 = 1_000_000_000;
const DAY: u64 = 86_400 * SECOND;

/// Units by length, with the word that is shown and the others that are understood.
const UNITS: [(u64, &str, &[&str]); 9] = [
    (1, "ns", &["nanosecond", "nanoseconds"]),
    (1_000, "us", &["microsecond", "microseconds"]),
    (1_000_000, "ms", &["msec", "millisecond", "milliseconds"]),
    (SECOND, "s", &["sec", "secs", "second", "seconds"]),
    (60 * SECOND, "min", &["m", "mins", "minute", "minutes"]),
    (3_600 * SECOND, "hour", &["h", "hr", "hours"]),
    (DAY, "day", &["d", "days"]),
    (7 * DAY, "week", &["w", "weeks"]),
    (30 * DAY, "month", &["months"]),
];

/// What a rate counts in: `min`, or `30s`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Period {
    pub(super) nanos: u64,
}

impl Period {
    /// Reads a unit, or a number and a unit.
    pub(super) fn parse(words: &str) -> Result<Self, String> {
        let digits = words.len() - words.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let (number, word) = words.split_at(digits);
        let word = word.trim_start();
        let unit = unit(word).ok_or_else(|| {
            format!("unknown period \"{word}\": s, min, hour, day, week or month, as in 30s or day")
        })?;
        let count = if number.is_empty() { Some(1) } else { number.parse().ok() };
        let nanos = count.and_then(|count: u64| count.checked_mul(unit));
        let nanos = nanos.ok_or("the period, in nanoseconds, is 2^63 or more")?;
        Ok(Self { nanos })
    }
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match largest_unit(self.nanos) {
            (1, word) => f.write_str(word),
            (count, word) => write!(f, "{count}{word}"),
        }
    }
}

/// A span of time as `--max-wait` takes it, in the largest unit of which it is a whole number.
pub(super) struct Shown(pub(super) u64);

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (count, word) = largest_unit(self.0);
        write!(f, "{count}{word}")
    }
}

/// Reads what `--max-wait` was given: a number and a unit, as in `2s`, `1.5s` or `500ms`.
///
/// # Errors
///
/// Fails with one line that names the option.
pub(crate) fn wait(words: &str) -> Result<Duration, Failure> {
    let wrong = |reason: &str| Failure::new(format_args!("--max-wait {words}"), reason);
    let end = words.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(words.len());
    let (number, word) = words.split_at(end);
    let unit = unit(word.trim_start())
        .filter(|_| !number.is_empty())
        .ok_or_else(|| wrong("not a number and a unit, as in 2s or 500ms"))?;
    let nanos = scaled(number, unit).ok_or_else(|| {
        wrong("not a whole number of nanoseconds below 2^63, with at most 9 decimal places")
    })?;
    Ok(Duration::from_nanos(nanos))
}

/// Returns `number` times `unit`, if that is a whole number below 2^63.
fn scaled(number: &str, unit: u64) -> Option<u64> {
    let (whole, decimals) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() || decimals.len() > 9 {
        return None;
    }
    let whole: u64 = whole.parse().ok()?;
    let part: u64 = if decimals.is_empty() { 0 } else { decimals.parse().ok()? };
    // Below 2^82, for there are at most nine decimals.
    let (part, scale) = (u128::from(part) * u128::from(unit), 10_u128.pow(decimals.len() as u32));
    let nanos = whole.checked_mul(unit)?.checked_add(u64::try_from(part / scale).ok()?)?;
    (part.is_multiple_of(scale) && nanos >> 63 == 0).then_some(nanos)
}

fn unit(word: &str) -> Option<u64> {
    let mut units = UNITS.iter();
    let known = units.find(|(_, shown, others)| *shown == word || others.contains(&word));
    known.map(|(nanos, ..)| *nanos)
}

/// Returns the largest unit of which `nanos` is a whole number, and the number.
fn largest_unit(nanos: u64) -> (u64, &'static str) {
    let mut units = UNITS.iter().rev();
    let fits = units.find(|(unit, ..)| nanos.is_multiple_of(*unit) && nanos >= *unit);
    fits.map_or((nanos, "ns"), |&(unit, word, _)| (nanos / unit, word))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::wait;

    #[test]
    fn waits_are_read_exactly() {
        for (words, nanos) in [
            ("2s", 2_000_000_000),
            ("1.5s", 1_500_000_000),
            ("0.1 s", 100_000_000),
            ("500ms", 500_000_000),
            ("3min", 180_000_000_000),
            ("0s", 0),
            ("0.000000001s", 1),
            ("7us", 7_000),
        ] {
            assert_eq!(wait(words), Ok(Duration::from_nanos(nanos)), "{words}");
        }
    }

    #[test]
    fn a_wait_without_sense_is_named() {
        for words in [
            "",
            "2",
            "s",
            ".5s",
            "1..5s",
            "-2s",
            "2 parsecs",
            "0.5ns",
            "1.0000000001s",
            "9223372037s",
            "99999999999999999999s",
            "18446744073709551615.000000001month",
        ] {
            let failure = wait(words).expect_err(words);
            assert!(failure.0.starts_with(&format!("--max-wait {words}: ")), "{}", failure.0);
        }
    }
}
