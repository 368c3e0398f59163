//! What is wrong with the input, for standard error.

use super::numbers::grouped;
use crate::replay::outcome::Outcome;
use crate::shown::shown;

/// Returns a line for each skipped line that is kept, one for those that are not, and one for each
/// warning.
pub(crate) fn complaints(outcome: &Outcome) -> Vec<String> {
    const MOST: usize = 200;
    let skipped = outcome.first_skipped.iter().map(|skipped| {
        let file = shown(&skipped.file, MOST);
        format!("{file}: line {} skipped: {}", skipped.line, shown(skipped.reason, MOST))
    });
    let more = outcome.skipped.saturating_sub(outcome.first_skipped.len() as u64);
    let more = (more > 0).then(|| format!("and {} more lines skipped", grouped(more)));
    let warnings = outcome.warnings.iter().map(|warning| shown(warning, MOST));
    skipped.chain(more).chain(warnings).collect()
}

#[cfg(test)]
mod tests {
    use super::complaints;
    use crate::replay::report::fixture::outcome;
    use crate::replay::traffic::Skipped;

    #[test]
    fn each_complaint_is_one_line() {
        let mut outcome = outcome();
        outcome.skipped = 1_235;
        outcome.first_skipped =
            vec![Skipped { file: "a\nb\u{1b}.log".into(), line: 7, reason: "no timestamp" }];
        outcome.warnings = vec!["a.log.gz: bytes\u{7} after the end".into()];
        assert_eq!(
            complaints(&outcome),
            [
                "a\\u{a}b\\u{1b}.log: line 7 skipped: no timestamp",
                "and 1,234 more lines skipped",
                "a.log.gz: bytes\\u{7} after the end",
            ]
        );
    }
}
