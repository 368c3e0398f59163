//! Requests over time, counted in columns.

use super::Outcome;

/// What happened in one stretch of time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Column {
    pub(super) admitted: u64,
    pub(super) denied: u64,
}

/// The replay cut into at most `most` stretches of equal length, and that length in seconds.
pub(super) fn columns(outcome: &Outcome, most: usize) -> (Vec<Column>, u64) {
    let width = (outcome.span_seconds / most as u64 + 1).max(1);
    let count = outcome.span_seconds / width + 1;
    let mut columns = vec![Column::default(); count as usize];
    for moment in &outcome.moments {
        let column = &mut columns[(moment.time.abs_diff(outcome.start) / width) as usize];
        if moment.admitted {
            column.admitted += 1;
        } else {
            column.denied += 1;
        }
    }
    (columns, width)
}

/// A length of time in words: the two largest units.
pub(super) fn duration(seconds: u64) -> String {
    let units = [(86_400, "d"), (3_600, "h"), (60, "min"), (1, "s")];
    let first = units.iter().position(|&(length, _)| seconds >= length).unwrap_or(3);
    let mut left = seconds;
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
    use super::duration;

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
            assert_eq!(duration(seconds), words);
        }
    }
}
