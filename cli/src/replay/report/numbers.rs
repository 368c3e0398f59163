//! Numbers as people read them.

/// Returns a number with a comma between each three digits.
pub(super) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// Returns which percentage of `whole` a part is. Below 1 % it has two significant digits, and
/// above 99 % the rest has: only a part of 0 is 0 %, and only the whole is 100 %.
pub(super) fn percentage(part: u64, whole: u64) -> String {
    let (part, whole) = (u128::from(part), u128::from(whole));
    if part == 0 || whole == 0 {
        return "0 %".to_owned();
    }
    if part >= whole {
        return "100 %".to_owned();
    }
    let smaller = part.min(whole - part);
    let mut places = 1;
    let mut scale = 1_000;
    let rounded = |scale: u128| (smaller * scale * 2 + whole) / (whole * 2);
    // A whole below 2^64 never needs more than 20 places: 10^23 times 2^65 fits.
    while rounded(scale) < 10 && places < 20 {
        places += 1;
        scale *= 10;
    }
    // The smaller one is rounded, so that a part and the rest add up.
    let units = if part == smaller { rounded(scale) } else { scale - rounded(scale) };
    let one = scale / 100;
    format!("{}.{:0places$} %", units / one, units % one)
}

/// Returns the percentage for a share of 1, with as many digits as [`percentage`] has.
pub(super) fn rounded(share: f64) -> String {
    const WHOLE: u64 = 1_000_000_000_000;
    percentage((share * WHOLE as f64).round() as u64, WHOLE)
}

/// Returns the percentage for a share of 1, with the digits that it needs.
pub(super) fn percent(share: f64) -> String {
    let text = format!("{:.9}", share * 100.0);
    format!("{} %", text.trim_end_matches('0').trim_end_matches('.'))
}

#[cfg(test)]
mod tests {
    use super::{grouped, percent, percentage, rounded};

    #[test]
    fn numbers_are_grouped() {
        for (number, text) in [(0, "0"), (999, "999"), (1_000, "1,000"), (1_234_567, "1,234,567")] {
            assert_eq!(grouped(number), text);
        }
    }

    #[test]
    fn a_percentage_never_hides_what_there_is() {
        for (part, whole, text) in [
            (0, 0, "0 %"),
            (0, 7, "0 %"),
            (7, 7, "100 %"),
            (1, 2, "50.0 %"),
            (54, 60, "90.0 %"),
            (1, 1_000, "0.10 %"),
            (52, 100_000, "0.052 %"),
            (99_997, 100_000, "99.9970 %"),
            (1, u64::MAX, "0.0000000000000000054 %"),
            (u64::MAX - 1, u64::MAX, "99.9999999999999999946 %"),
        ] {
            assert_eq!(percentage(part, whole), text);
        }
    }

    #[test]
    fn a_part_and_the_rest_add_up() {
        assert_eq!((percentage(1, 3), percentage(2, 3)), ("33.3 %".into(), "66.7 %".into()));
        assert_eq!((percentage(1, 8), percentage(7, 8)), ("12.5 %".into(), "87.5 %".into()));
    }

    #[test]
    fn a_share_has_the_digits_it_needs() {
        for (share, text) in [
            (0.001, "0.1 %"),
            (0.0, "0 %"),
            (1.0, "100 %"),
            (0.000_25, "0.025 %"),
            (1e-9, "0.0000001 %"),
        ] {
            assert_eq!(percent(share), text);
        }
        assert_eq!(rounded(1.0 / 3.0), "33.3 %");
        assert_eq!(rounded(0.000_25), "0.025 %");
    }
}
