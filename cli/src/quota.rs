//! Quotas as words: `60/min`.

use std::time::Duration;

use tidegate::Quota;

use crate::failure::Failure;

const DAY: u64 = 86_400;
const PERIODS: [(&str, u64); 5] =
    [("s", 1), ("min", 60), ("hour", 3_600), ("day", DAY), ("month", 30 * DAY)];

/// Reads `cells/period` and a burst, which is `cells` if not given.
pub(crate) fn parse(words: &str, burst: Option<u64>) -> Result<Quota, Failure> {
    let wrong = |reason: String| Failure::new(format_args!("--quota {words}"), reason);
    let Some((cells, period)) = words.split_once('/') else {
        return Err(wrong("not of the form cells/period, as in 60/min".to_owned()));
    };
    let cells: u64 = cells
        .parse()
        .map_err(|_| wrong(format!("\"{cells}\" is not a number of cells below 2^64")))?;
    let Some(&(_, seconds)) = PERIODS.iter().find(|known| known.0 == period) else {
        return Err(wrong(format!("unknown period \"{period}\": s, min, hour, day or month")));
    };
    let quota = Quota::new(cells, Duration::from_secs(seconds))
        .map_err(|error| wrong(error.to_string()))?;
    match burst {
        Some(cells) => {
            quota.burst(cells).map_err(|error| Failure::new(format_args!("--burst {cells}"), error))
        }
        None => Ok(quota),
    }
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn every_period_has_its_word() {
        for (words, cells, seconds) in [
            ("5/s", 5, 1),
            ("60/min", 60, 60),
            ("100/hour", 100, 3_600),
            ("7/day", 7, 86_400),
            ("1/month", 1, 2_592_000),
        ] {
            let quota = parse(words, None).expect(words);
            assert_eq!((quota.cells(), quota.period().as_secs()), (cells, seconds));
            assert_eq!(quota.burst_cells(), cells);
        }
        assert_eq!(parse("60/min", Some(20)).expect("a quota").burst_cells(), 20);
    }

    #[test]
    fn a_mistake_is_named() {
        for (words, burst, says) in [
            ("0/s", None, "--quota 0/s: the rate is 0"),
            ("5/parsec", None, "unknown period \"parsec\""),
            ("60/min", Some(0), "--burst 0: the burst is 0"),
            ("sixty/min", None, "\"sixty\" is not a number"),
            ("-1/s", None, "\"-1\" is not a number"),
            ("60", None, "not of the form"),
            ("", None, "not of the form"),
            ("/", None, "\"\" is not a number"),
            ("99999999999999999999/s", None, "is not a number of cells below 2^64"),
            ("9223372036854775808/s", None, "2^63"),
        ] {
            let failure = parse(words, burst).expect_err(words);
            assert!(failure.0.contains(says), "{}", failure.0);
        }
    }
}
