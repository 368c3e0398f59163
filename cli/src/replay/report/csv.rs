//! The outcome as a table for spreadsheets.

use super::phrases::limits as words;
use crate::replay::outcome::{FoundPeriod, Outcome, Run, Spread, Tally, Top};
use crate::shown::shown;

const HEAD: [&str; 16] = [
    "option",
    "quota",
    "reading",
    "requests",
    "admitted",
    "denied",
    "no_slot",
    "denied_share",
    "keys",
    "keys_denied",
    "worst_key",
    "worst_requests",
    "worst_denied",
    "delayed",
    "mean_delay_seconds",
    "longest_delay_seconds",
];
/// The characters of a cell that are kept.
const LONGEST: usize = 200;

/// Returns a row for each quota and reading, those that were found with `--find` among them.
///
/// A table has one kind of rows, so the most denied keys are not in it, except for the worst.
pub(crate) fn csv(outcome: &Outcome) -> String {
    let mut writer = csv::Writer::from_writer(Vec::new());
    let mut row = |cells: Vec<String>| writer.write_record(cells).expect("memory takes it");
    row(HEAD.map(str::to_owned).into());
    for run in &outcome.runs {
        for tally in &run.readings {
            row(tried(outcome, run, tally));
        }
    }
    for period in outcome.find.iter().flat_map(|found| &found.periods) {
        found(outcome, period).into_iter().for_each(&mut row);
    }
    let bytes = writer.into_inner().expect("memory takes it");
    String::from_utf8(bytes).expect("the cells are text")
}

fn tried(outcome: &Outcome, run: &Run, tally: &Tally) -> Vec<String> {
    let worst = tally.top.first();
    let worst_count =
        |count: fn(&Top) -> u64| worst.map_or_else(String::new, |top| count(top).to_string());
    vec![
        if run.limits.len() > 1 { "limit" } else { "quota" }.to_owned(),
        cell(&words(run)),
        reading(tally.spread).to_owned(),
        outcome.requests.to_string(),
        tally.admitted.to_string(),
        tally.denied.to_string(),
        tally.no_slot.to_string(),
        share(tally.denied, outcome.requests),
        outcome.keys.to_string(),
        tally.keys_denied.to_string(),
        worst.map_or_else(String::new, |top| cell(&top.key)),
        worst_count(|top| top.requests),
        worst_count(|top| top.denied),
        tally.delayed.to_string(),
        seconds(tally.mean_delay_nanos),
        seconds(tally.longest_delay_nanos),
    ]
}

/// Returns the rows of a period: one for each reading, or one with empty cells if nothing was
/// found.
fn found(outcome: &Outcome, period: &FoundPeriod) -> Vec<Vec<String>> {
    let mut empty = vec![String::new(); HEAD.len()];
    empty[0] = "find".to_owned();
    let Some(cells) = period.cells else {
        empty[1] = cell(&format!("none/{}", period.period));
        return vec![empty];
    };
    period
        .readings()
        .map(|(spread, denied, keys_denied)| {
            let mut row = empty.clone();
            row[1] = cell(&format!("{cells}/{}, burst {cells}", period.period));
            row[2] = reading(spread).to_owned();
            row[3] = outcome.requests.to_string();
            row[4] = outcome.requests.saturating_sub(denied).to_string();
            row[5] = denied.to_string();
            row[7] = share(denied, outcome.requests);
            row[8] = outcome.keys.to_string();
            row[9] = keys_denied.to_string();
            row
        })
        .collect()
}

fn reading(spread: Option<Spread>) -> &'static str {
    match spread {
        None => "",
        Some(Spread::Even) => "even",
        Some(Spread::None) => "none",
    }
}

fn share(part: u64, whole: u64) -> String {
    (part as f64 / whole.max(1) as f64).to_string()
}

fn seconds(nanos: u64) -> String {
    let text = format!("{}.{:09}", nanos / 1_000_000_000, nanos % 1_000_000_000);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// Returns a text that a spreadsheet takes for a text. Keys come from the clients, and a
/// spreadsheet computes a cell that begins like a formula, even a quoted one. An apostrophe before
/// the cell prevents that.
fn cell(text: &str) -> String {
    let text = shown(text, LONGEST);
    let formula = text.trim_start().starts_with(['=', '+', '-', '@', '＝', '＋', '－', '＠']);
    if formula { format!("'{text}") } else { text }
}

#[cfg(test)]
mod tests {
    use super::{HEAD, cell, csv};
    use crate::replay::report::fixture::{HOSTILE, found, outcome, run, two_readings};

    #[test]
    fn a_quota_and_reading_is_a_row() {
        let mut outcome = outcome();
        outcome.runs.push(run("10/s, burst 10", two_readings()));
        outcome.find = Some(found());
        assert_eq!(
            csv(&outcome),
            "option,quota,reading,requests,admitted,denied,no_slot,denied_share,keys,keys_denied,\
             worst_key,worst_requests,worst_denied,delayed,mean_delay_seconds,longest_delay_seconds\n\
             quota,\"60/min, burst 60\",,1200,1188,12,0,0.01,40,1,203.0.113.9,72,12,0,0,0\n\
             quota,\"10/s, burst 10\",even,1200,1200,0,0,0,40,0,,,,0,0,0\n\
             quota,\"10/s, burst 10\",none,1200,1146,54,0,0.045,40,1,203.0.113.9,114,54,0,0,0\n\
             find,\"5/s, burst 5\",even,1200,1200,0,,0,40,0,,,,,,\n\
             find,\"5/s, burst 5\",none,1200,1199,1,,0.0008333333333333334,40,1,,,,,,\n\
             find,none/day,,,,,,,,,,,,,,\n"
        );
    }

    #[test]
    fn limits_that_hold_together_are_one_row() {
        let mut outcome = outcome();
        outcome.runs[0].limits.push("1000/day, burst 1000".into());
        let tally = &mut outcome.runs[0].readings[0];
        (tally.delayed, tally.mean_delay_nanos) = (3, 250_000_000);
        tally.longest_delay_nanos = 10_000_000_000;
        let text = csv(&outcome);
        assert_eq!(text.lines().count(), 2);
        assert!(text.ends_with(",3,0.25,10\n"), "{text}");
        assert!(text.contains("\nlimit,\"60/min, burst 60 and 1000/day, burst 1000\","), "{text}");
    }

    #[test]
    fn no_cell_is_a_formula() {
        for text in ["=1+1", "+1", "-1", "@SUM(A1)", " =1", "＝1"] {
            assert_eq!(cell(text), format!("'{text}"));
        }
        for text in ["203.0.113.9", "/a=b", "2001:db8::/64", ""] {
            assert_eq!(cell(text), text);
        }
        assert_eq!(cell("\t=1"), "\\u{9}=1");
    }

    #[test]
    fn a_hostile_key_stays_in_its_cell() {
        let mut outcome = outcome();
        outcome.runs[0].readings[0].top[0].key = HOSTILE.into();
        let text = csv(&outcome);
        assert_eq!(text.lines().count(), 2);
        assert!(text.chars().all(|char| char == '\n' || !char.is_control()));
        let mut reader = csv::Reader::from_reader(text.as_bytes());
        let row = reader.records().next().expect("a row").expect("of as many cells");
        assert_eq!(row.len(), HEAD.len());
        assert!(row[10].starts_with("'=cmd|"), "{}", &row[10]);
    }
}
