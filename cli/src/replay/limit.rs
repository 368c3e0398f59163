//! Limits as words: `100/min`, `10/30s`, nginx's `100r/m`, and `2s` for a wait.

mod period;

use std::fmt;
use std::time::Duration;

use tidegate::{Quota, QuotaError};

use self::period::Period;
use crate::failure::Failure;

pub(crate) use self::period::wait;

/// A rate, a burst, and how long a request may wait: a [`Quota`] in whole numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Limit {
    pub(crate) cells: u64,
    /// The period in nanoseconds.
    pub(crate) period: u64,
    pub(crate) burst: u64,
    /// The longest wait in nanoseconds; 0 admits or denies at once.
    pub(crate) max_wait: u64,
}

impl Limit {
    /// Reads the words that `option` was given. The burst is the cells if it is not given.
    ///
    /// # Errors
    ///
    /// Fails with one line that names the option, or `--burst`, for words of another form, and for
    /// numbers that a [`Quota`] refuses.
    pub(crate) fn parse(
        option: &str,
        words: &str,
        burst: Option<u64>,
        max_wait: Option<Duration>,
    ) -> Result<Self, Failure> {
        let wrong = |reason: String| Failure::new(format_args!("{option} {words}"), reason);
        let (cells, period) = split(words).ok_or_else(|| {
            wrong("not of the form cells/period, as in 60/min, 10/30s or 100r/m".to_owned())
        })?;
        let cells: u64 = cells.parse().map_err(|_| wrong(not_cells(cells)))?;
        let period = Period::parse(period).map_err(wrong)?;
        let max_wait = max_wait.unwrap_or_default();
        let limit = Self::new(cells, period.nanos, cells, max_wait);
        let limit = limit.map_err(|error| wrong(error.to_string()))?;
        match burst {
            None => Ok(limit),
            Some(burst) => Self::new(cells, period.nanos, burst, max_wait)
                .map_err(|error| Failure::new(format_args!("--burst {burst}"), error)),
        }
    }

    /// Creates a limit of `cells` in `period` nanoseconds.
    ///
    /// # Errors
    ///
    /// Fails as the [`Quota`] does that is built from these numbers.
    pub(crate) fn new(
        cells: u64,
        period: u64,
        burst: u64,
        max_wait: Duration,
    ) -> Result<Self, QuotaError> {
        Quota::new(cells, Duration::from_nanos(period))?.burst(burst)?;
        let max_wait = u64::try_from(max_wait.as_nanos());
        let max_wait = max_wait.ok().filter(|wait| wait >> 63 == 0).ok_or(QuotaError::TooLarge)?;
        Ok(Self { cells, period, burst, max_wait })
    }

    /// Returns the limit as the library takes it.
    ///
    /// # Errors
    ///
    /// Fails as [`new`](Self::new) does.
    pub(crate) fn quota(&self) -> Result<Quota, QuotaError> {
        let quota = Quota::new(self.cells, Duration::from_nanos(self.period))?.burst(self.burst)?;
        Ok(quota.shape(Duration::from_nanos(self.max_wait)))
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.cells, Period { nanos: self.period })?;
        if self.burst != self.cells {
            write!(f, ", burst {}", self.burst)?;
        }
        match self.max_wait {
            0 => Ok(()),
            nanos => write!(f, ", wait at most {}", period::Shown(nanos)),
        }
    }
}

/// Splits `cells/period`, `cells per period` and `cellsr/period`.
fn split(words: &str) -> Option<(&str, &str)> {
    let (cells, period) = words.split_once('/').or_else(|| words.split_once(" per "))?;
    let cells = cells.trim();
    // nginx writes `r` after a number.
    let bare =
        cells.strip_suffix('r').filter(|bare| bare.ends_with(|end: char| end.is_ascii_digit()));
    Some((bare.unwrap_or(cells), period.trim()))
}

fn not_cells(cells: &str) -> String {
    let reason = format!("\"{cells}\" is not a number of cells below 2^64");
    match cells.contains('.') && cells.parse::<f64>().is_ok() {
        true => format!("{reason}; a fraction is written as 5/2s for 2.5/s"),
        false => reason,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::Limit;

    fn limit(words: &str) -> Limit {
        Limit::parse("--quota", words, None, None).expect(words)
    }

    #[test]
    fn every_period_has_its_words() {
        const SECOND: u64 = 1_000_000_000;
        for (words, cells, seconds) in [
            ("5/s", 5, 1),
            ("5/sec", 5, 1),
            ("5/second", 5, 1),
            ("60/m", 60, 60),
            ("60/min", 60, 60),
            ("60/minute", 60, 60),
            ("5/h", 5, 3_600),
            ("100/hour", 100, 3_600),
            ("7/d", 7, 86_400),
            ("7/day", 7, 86_400),
            ("1/w", 1, 604_800),
            ("1/week", 1, 604_800),
            ("1/month", 1, 2_592_000),
            ("10/30s", 10, 30),
            ("10/30 seconds", 10, 30),
            ("1/2weeks", 1, 1_209_600),
            ("100r/m", 100, 60),
            ("10r/s", 10, 1),
            ("10 per minute", 10, 60),
            ("10 per 5 minutes", 10, 300),
            ("10 / min", 10, 60),
        ] {
            let limit = limit(words);
            assert_eq!((limit.cells, limit.period), (cells, seconds * SECOND), "{words}");
            assert_eq!((limit.burst, limit.max_wait), (cells, 0), "{words}");
        }
        assert_eq!(limit("3/100ms").period, SECOND / 10);
    }

    #[test]
    fn a_burst_and_a_wait_are_kept() {
        let wait = Some(Duration::from_secs(2));
        let limit = Limit::parse("--quota", "60/min", Some(6), wait).expect("a limit");
        assert_eq!((limit.burst, limit.max_wait), (6, 2_000_000_000));
        let quota = limit.quota().expect("a quota");
        assert_eq!((quota.burst_cells(), quota.max_wait()), (6, Duration::from_secs(2)));
        assert_eq!(limit.to_string(), "60/min, burst 6, wait at most 2s");
    }

    #[test]
    fn what_is_shown_is_read_as_the_same_limit() {
        for words in [
            "5/s", "60/min", "5/hour", "7/day", "1/week", "1/month", "10/30s", "5/2s", "3/100ms",
            "9/7ns",
        ] {
            assert_eq!(limit(words).to_string(), words);
        }
        for (words, shown) in [
            ("100r/m", "100/min"),
            ("10 per 60 seconds", "10/min"),
            ("10 per 90 minutes", "10/90min"),
            ("10/2days", "10/2day"),
        ] {
            assert_eq!(limit(words).to_string(), shown);
            assert_eq!(limit(shown), limit(words));
        }
    }

    #[test]
    fn a_mistake_is_named() {
        for (words, burst, says) in [
            ("0/s", None, "--quota 0/s: the rate is 0"),
            ("5/0s", None, "--quota 5/0s: the period is 0"),
            ("5/parsec", None, "unknown period \"parsec\""),
            ("5/", None, "unknown period \"\""),
            ("5/s/s", None, "unknown period \"s/s\""),
            ("60/min", Some(0), "--burst 0: the burst is 0"),
            ("60/min", Some(1 << 63), "--burst 9223372036854775808: cells, burst"),
            ("sixty/min", None, "\"sixty\" is not a number"),
            ("-1/s", None, "\"-1\" is not a number"),
            ("2.5/s", None, "written as 5/2s"),
            ("60", None, "not of the form"),
            ("", None, "not of the form"),
            ("/", None, "\"\" is not a number"),
            ("r/s", None, "\"r\" is not a number"),
            ("99999999999999999999/s", None, "is not a number of cells below 2^64"),
            ("9223372036854775808/s", None, "2^63"),
            ("1/99999999999999999999s", None, "2^63"),
            ("1/9223372037s", None, "2^63"),
        ] {
            let failure = Limit::parse("--quota", words, burst, None).expect_err(words);
            assert!(failure.0.contains(says), "{}", failure.0);
        }
        let failure = Limit::parse("--limit", "x", None, None).expect_err("no limit");
        assert!(failure.0.starts_with("--limit x: "), "{}", failure.0);
    }
}
