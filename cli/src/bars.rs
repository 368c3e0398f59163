//! A row of bars in text.

/// Draws a bar for each value, as high as the value is beside `highest`. Only a value of 0 is
/// blank.
pub(crate) fn bars(values: impl Iterator<Item = u64>, highest: u64) -> String {
    const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let highest = u128::from(highest.max(1));
    values
        .map(|value| match value {
            0 => ' ',
            value => BARS[((u128::from(value) * 8).div_ceil(highest) as usize).clamp(1, 8) - 1],
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::bars;

    #[test]
    fn bars_are_blank_only_for_nothing() {
        assert_eq!(bars([0, 1, 50, 100].into_iter(), 100), " ▁▄█");
        assert_eq!(bars([0, 0].into_iter(), 0), "  ");
        assert_eq!(bars([1, u64::MAX].into_iter(), u64::MAX), "▁█");
    }
}
