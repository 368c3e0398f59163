//! Where the ticks of an axis are, and what they say.

use super::times::formatted;

const SECOND: u64 = 1_000_000_000;
const MINUTE: u64 = 60 * SECOND;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

/// Returns round counts from 0 on: at most six, the last of them at most `highest`.
pub(super) fn counts(highest: u64) -> Vec<u64> {
    let mut steps = (0..19).map(|power| 10_u64.pow(power)).flat_map(|one| [one, 2 * one, 5 * one]);
    // The largest step, 5 x 10^18, fits at most three times.
    let step = steps.find(|step| highest / step <= 5).unwrap_or(u64::MAX);
    (0..=highest / step).map(|count| count * step).collect()
}

/// Returns round times within `span` nanoseconds from `start` on, at most seven: each as its
/// distance from `start`, and in words.
pub(super) fn times(start: i64, span: u64) -> Vec<(u64, String)> {
    let steps = [1, 10, 100, 1_000, 10_000, 100_000]
        .into_iter()
        .chain([1, 2, 5, 10, 20, 50, 100, 200, 500].map(|count| count * SECOND / 1_000))
        .chain([1, 2, 5, 10, 15, 30].map(|count| count * SECOND))
        .chain([1, 2, 5, 10, 15, 30].map(|count| count * MINUTE))
        .chain([1, 2, 3, 6, 12].map(|count| count * HOUR))
        .chain([1, 2, 7, 14, 28, 91, 182, 364, 728, 1_456].map(|count| count * DAY));
    let step = steps.into_iter().find(|step| span / step <= 6).unwrap_or(20_000 * DAY);
    let format = match step {
        DAY.. => "%Y-%m-%d",
        MINUTE.. => "%H:%M",
        SECOND.. => "%H:%M:%S",
        1_000_000.. => "%S%.3f s",
        _ => "%S%.9f s",
    };
    // Ticks are multiples of the step since 1970.
    let step = step as i64;
    let Some(first) = start.div_euclid(step).checked_add(i64::from(start.rem_euclid(step) != 0))
    else {
        return Vec::new();
    };
    (first..)
        .map_while(|count| count.checked_mul(step))
        .map(|time| (time.abs_diff(start), time))
        .take_while(|&(distance, _)| distance <= span)
        .map(|(distance, time)| {
            let midnight = time.rem_euclid(DAY as i64) == 0;
            let date = step >= MINUTE as i64 && step < DAY as i64 && midnight;
            (distance, formatted(time, if date { "%b %-d" } else { format }))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::{DAY, HOUR, SECOND, counts, times};

    #[test]
    fn counts_are_round_and_few() {
        assert_eq!(counts(0), [0]);
        assert_eq!(counts(1), [0, 1]);
        assert_eq!(counts(9), [0, 2, 4, 6, 8]);
        assert_eq!(counts(1_234), [0, 500, 1_000]);
        for highest in [10, 99, 100, 12_345, u64::MAX / 3, u64::MAX] {
            let counts = counts(highest);
            assert!((3..=6).contains(&counts.len()), "{highest}: {counts:?}");
        }
    }

    #[test]
    fn times_are_round_and_few() {
        let midnight = 1_767_225_600_000_000_000;
        let ticks = times(midnight - 3 * HOUR as i64, 12 * HOUR);
        let words: Vec<&str> = ticks.iter().map(|(_, words)| words.as_str()).collect();
        assert_eq!(words, ["22:00", "Jan 1", "02:00", "04:00", "06:00", "08:00"]);
        assert_eq!((ticks[0].0, ticks[1].0), (HOUR, 3 * HOUR));
        let words: Vec<String> =
            times(midnight, 5 * SECOND).into_iter().map(|tick| tick.1).collect();
        assert_eq!(words[..2], ["00:00:00", "00:00:01"]);
        for span in [0, 7, 1_000, SECOND / 3, SECOND, 100 * SECOND, DAY, 40 * DAY, 3_653 * DAY] {
            for start in [midnight, midnight + 1, -5, i64::MIN, i64::MAX - 10] {
                assert!(times(start, span).len() <= 7, "{start} {span}");
            }
        }
    }
}
