//! Times and lengths of time as people read them.

use chrono::DateTime;

/// Returns a time, in nanoseconds since 1970, as a date and a time of day to the second, with its
/// zone.
pub(super) fn clock(nanos: i64) -> String {
    date_and_time(nanos) + " UTC"
}

/// Returns what [`clock`] does, without the zone.
pub(super) fn date_and_time(nanos: i64) -> String {
    formatted(nanos, "%Y-%m-%d %H:%M:%S")
}

/// Returns a time, in nanoseconds since 1970, in a format of chrono's.
pub(super) fn formatted(nanos: i64, format: &str) -> String {
    DateTime::from_timestamp_nanos(nanos).format(format).to_string()
}

/// Returns a length of time in words: the two largest units, and decimals below ten seconds.
pub(super) fn duration(nanos: u64) -> String {
    const SECOND: u64 = 1_000_000_000;
    if nanos < 10 * SECOND && !nanos.is_multiple_of(SECOND) {
        let (one, unit) = match nanos {
            ..1_000 => return format!("{nanos} ns"),
            1_000..1_000_000 => (1_000, "µs"),
            1_000_000..SECOND => (1_000_000, "ms"),
            _ => (SECOND, "s"),
        };
        // Cut, as the units below are.
        let decimals = format!("{:03}", nanos % one / (one / 1_000));
        let decimals = decimals.trim_end_matches('0');
        let point = if decimals.is_empty() { "" } else { "." };
        return format!("{}{point}{decimals} {unit}", nanos / one);
    }
    let units = [(86_400, "d"), (3_600, "h"), (60, "min"), (1, "s")];
    let mut left = nanos / SECOND;
    let first = units.iter().position(|&(length, _)| left >= length).unwrap_or(3);
    let mut words = Vec::new();
    for &(length, unit) in units[first..].iter().take(2) {
        let count = left / length;
        left %= length;
        if count > 0 || words.is_empty() && length == 1 {
            words.push(format!("{count} {unit}"));
        }
    }
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::{clock, duration};

    #[test]
    fn durations_have_two_units() {
        for (seconds, words) in [
            (0, "0 s"),
            (59, "59 s"),
            (60, "1 min"),
            (3_661, "1 h 1 min"),
            (86_400, "1 d"),
            (90_000, "1 d 1 h"),
        ] {
            assert_eq!(duration(seconds * 1_000_000_000), words);
        }
    }

    #[test]
    fn short_durations_have_decimals() {
        for (nanos, words) in [
            (1, "1 ns"),
            (1_500, "1.5 µs"),
            (1_000_000, "1 ms"),
            (2_050_000_000, "2.05 s"),
            (9_999_999_999, "9.999 s"),
            (10_500_000_000, "10 s"),
        ] {
            assert_eq!(duration(nanos), words);
        }
    }

    #[test]
    fn every_time_has_a_date() {
        assert_eq!(clock(1_767_225_600_999_999_999), "2026-01-01 00:00:00 UTC");
        assert_eq!(clock(-1), "1969-12-31 23:59:59 UTC");
        for extreme in [i64::MIN, i64::MAX] {
            assert!(clock(extreme).ends_with(" UTC"));
        }
    }
}
