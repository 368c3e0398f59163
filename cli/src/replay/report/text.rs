//! The report for a terminal.

mod found;
mod several;
mod single;
mod table;

use std::fmt::Write;

use self::table::{Align, table};
use super::numbers::grouped;
use super::phrases::{buckets, capital, condition, counted, doubts, limits, not_counted};
use super::times::{clock, duration};
use crate::replay::outcome::Outcome;
use crate::shown::shown;

/// The characters of a key, a name or a reason that are shown.
const LONGEST: usize = 60;
/// The columns of a summary: a name, a count and a note.
const SUMMARY: [Align; 3] = [Align::Left, Align::Right, Align::Left];

/// Returns what was read, and what each quota did with it.
pub(crate) fn text(outcome: &Outcome) -> String {
    let mut text = String::new();
    // Writing to a string does not fail.
    _ = writeln!(text, "{}", read(outcome));
    match &*outcome.runs {
        [] => {
            _ = writeln!(
                text,
                "{}\n\n{}",
                capital(&buckets(outcome)),
                table(totals(outcome, None), &SUMMARY)
            );
        }
        [run] => {
            let picked = match &*run.readings {
                [tally] => tally.spread.map(|spread| format!(", {}", condition(spread))),
                _ => None,
            };
            let picked = picked.unwrap_or_default();
            _ = writeln!(text, "{}, {}{picked}\n", limits(run), buckets(outcome));
            single::write(outcome, run, &mut text);
        }
        runs => {
            let quotas = counted(runs.len() as u64, "quota");
            _ = writeln!(text, "{quotas}, {}\n", buckets(outcome));
            _ = writeln!(text, "{}", table(totals(outcome, None), &SUMMARY));
            several::write(outcome, runs, &mut text);
        }
    }
    if let Some(found) = &outcome.find {
        found::write(outcome, found, &mut text);
    }
    text
}

/// Returns a line for each file, and then what was not counted.
fn read(outcome: &Outcome) -> String {
    let mut text = String::new();
    for file in &outcome.files {
        let name = shown(&file.name, LONGEST);
        if file.lines == 0 {
            _ = writeln!(text, "{name}: no lines");
            continue;
        }
        let format = shown(&file.format, LONGEST);
        let lines = format!("{} of {}", grouped(file.matched), counted(file.lines, "line"));
        _ = writeln!(text, "{name}: {format}, {lines}");
    }
    for phrase in not_counted(outcome).into_iter().chain(doubts(outcome)) {
        _ = writeln!(text, " {phrase}");
    }
    text
}

/// Returns the rows that are the same for every quota, with the most keys whose buckets were in use
/// at once.
fn totals(outcome: &Outcome, peak: Option<u64>) -> Vec<Vec<String>> {
    let from = clock(outcome.start_nanos);
    let span = duration(outcome.span_nanos);
    let when = if outcome.requests > 0 { format!("from {from}, {span}") } else { String::new() };
    let mut rows = vec![row("requests", outcome.requests, when)];
    if outcome.out_of_order > 0 {
        let note = "replayed in the order of their times".to_owned();
        rows.push(row("out of order", outcome.out_of_order, note));
    }
    let peak = peak.map(|peak| format!("at most {} with a bucket in use at once", grouped(peak)));
    rows.push(row("keys", outcome.keys, peak.unwrap_or_default()));
    rows
}

/// Returns a row of a summary.
fn row(name: &str, count: u64, note: String) -> Vec<String> {
    vec![name.to_owned(), grouped(count), note]
}

#[cfg(test)]
mod tests {
    use super::text;
    use crate::replay::outcome::SkippedBy;
    use crate::replay::report::fixture::{HOSTILE, found, outcome, run, tally, two_readings};
    use crate::replay::traffic::FileRead;

    #[test]
    fn one_quota_has_a_summary_the_most_denied_and_a_chart() {
        assert_eq!(
            text(&outcome()),
            "\
access.log: combined, 1,200 of 1,200 lines

60/min, burst 60, a bucket for each client

 requests  1,200  from 2026-01-01 10:00:00 UTC, 59 min 59 s
 keys         40  at most 17 with a bucket in use at once
 admitted  1,188  99.0 %
 denied       12  1.0 %, of 1 client

 most denied  requests  admitted  denied
 203.0.113.9        72        60      12

 admitted |███████████████▆██████████████| max 40
 denied   |               ▃              | max 12
           one column is 2 min
"
        );
    }

    #[test]
    fn files_are_said_with_their_doubts() {
        let mut outcome = outcome();
        let file = |name: &str, lines, skipped| FileRead {
            name: name.into(),
            format: "combined".into(),
            lines,
            matched: lines - skipped,
            skipped,
        };
        outcome.files = vec![file("a.log", 1_000, 0), file("b.log", 10, 2), file("c.log", 0, 0)];
        let text = text(&outcome);
        let (files, _) = text.split_once("\n\n").expect("files, and then the quota");
        assert_eq!(
            files,
            "\
a.log: combined, 1,000 of 1,000 lines
b.log: combined, 8 of 10 lines
c.log: no lines
 b.log: 2 of 10 lines skipped, more than one in ten: do not trust the answer"
        );
    }

    #[test]
    fn keys_that_are_not_shown_are_counted() {
        let mut outcome = outcome();
        outcome.runs[0].readings[0].keys_denied = 1_235;
        assert!(text(&outcome).contains("      60      12\n ... and 1,234 more\n\n"));
    }

    #[test]
    fn two_readings_are_both_said_first() {
        let mut outcome = outcome();
        outcome.runs = vec![run("10/s, burst 1", two_readings())];
        let text = text(&outcome);
        let says = " denied: 0 (0 %) if spread evenly, 54 (4.5 %) if all at once\n \
                    These are two readings, not bounds: the log has its times in whole seconds,";
        assert!(text.contains(says), "{text}");
        let (even, none) = text.split_once("\nIf all at once:\n").expect("a part for each");
        assert!(even.contains("\nIf spread evenly:\n"), "{even}");
        assert!(!even.contains("most denied"), "{even}");
        assert!(none.contains("203.0.113.9"), "{none}");
    }

    #[test]
    fn two_readings_may_deny_as_many() {
        let mut outcome = outcome();
        let mut readings = two_readings();
        readings[0].denied = readings[1].denied;
        outcome.runs = vec![run("10/s, burst 1", readings)];
        let text = text(&outcome);
        assert!(text.contains(" denied: 54 (4.5 %) by both readings\n"), "{text}");
        assert!(text.contains("\nIf all at once:\n"), "{text}");
    }

    #[test]
    fn a_reading_that_was_picked_is_named() {
        let mut outcome = outcome();
        outcome.runs = vec![run("10/s, burst 1", two_readings().split_off(1))];
        let text = text(&outcome);
        assert!(text.contains("\n10/s, burst 1, a bucket for each client, if all at once\n"));
        assert!(!text.contains("two readings"), "{text}");
    }

    #[test]
    fn several_quotas_are_a_table() {
        let mut outcome = outcome();
        outcome.runs.push(run("10/s, burst 10", two_readings()));
        outcome.runs.push(run("1000/day, burst 1000", vec![tally(0)]));
        let text = text(&outcome);
        let (_, table) = text.split_once("\n\n quota").expect("a table");
        assert_eq!(
            table,
            "                 reading           denied  share  keys denied  worst hit
 60/min, burst 60                            12  1.0 %            1  203.0.113.9, 12 of 72
 10/s, burst 10        if spread evenly       0    0 %            0
                       if all at once        54  4.5 %            1  203.0.113.9, 54 of 114
 1000/day, burst 1000                         0    0 %            0

 These are two readings, not bounds: the log has its times in whole seconds,
 and does not say when in its second a request came.
"
        );
        outcome.runs.remove(1);
        let text = super::text(&outcome);
        assert!(!text.contains("reading"), "{text}");
    }

    #[test]
    fn what_found_no_slot_is_apart() {
        let mut outcome = outcome();
        assert!(!text(&outcome).contains("no slot"));
        outcome.capacity = Some(10);
        assert!(text(&outcome).contains("\n no slot       0  in a table made for 10 keys\n"));
        outcome.runs[0].readings[0].no_slot = 300;
        outcome.runs[0].readings[0].admitted -= 300;
        let one = text(&outcome);
        assert!(one.contains("\n no slot     300  25.0 %, in a table made for 10 keys\n"), "{one}");
        assert!(one.contains("\n denied       12  1.0 %, of 1 client\n"), "{one}");
        outcome.runs.push(run("10/s, burst 10", vec![tally(0)]));
        let several = text(&outcome);
        assert!(several.contains("denied  share  keys denied  no slot  worst hit\n"), "{several}");
        assert!(several.contains("12  1.0 %            1      300  203.0.113.9"), "{several}");
    }

    #[test]
    fn delays_and_several_limits_are_said() {
        let mut outcome = outcome();
        let tally = &mut outcome.runs[0].readings[0];
        (tally.delayed, tally.mean_delay_nanos) = (1_000, 250_000_000);
        tally.longest_delay_nanos = 2_000_000_000;
        tally.denied_by = vec![5, 7];
        outcome.runs[0].limits.push("1000/day, burst 1000".into());
        let text = text(&outcome);
        assert!(text.contains("60/min, burst 60 and 1000/day, burst 1000, a bucket"), "{text}");
        assert!(text.contains(" delayed   1,000  by 250 ms on average, 2 s at most\n"), "{text}");
        assert!(text.contains("       5  by 60/min, burst 60\n"), "{text}");
        assert!(text.contains("       7  by 1000/day, burst 1000\n"), "{text}");
    }

    #[test]
    fn what_was_found_is_a_line_a_period() {
        let mut outcome = outcome();
        outcome.runs.clear();
        outcome.find = Some(found());
        assert_eq!(
            text(&outcome),
            "\
access.log: combined, 1,200 of 1,200 lines

A bucket for each client

 requests  1,200  from 2026-01-01 10:00:00 UTC, 59 min 59 s
 keys         40

The smallest quota of each period that denies at most 0.1 % of the requests:

 quota         reading           denied    share  keys denied
 5/s, burst 5  if spread evenly       0      0 %            0
               if all at once         1  0.083 %            1
 none per day                             20.0 %               at 200/day, the most that was tried

 These are two readings, not bounds: the log has its times in whole seconds,
 and does not say when in its second a request came.
"
        );
    }

    #[test]
    fn no_text_of_a_log_commands_the_terminal() {
        let mut outcome = outcome();
        outcome.files = vec![FileRead {
            name: HOSTILE.into(),
            format: HOSTILE.into(),
            lines: 1_203,
            matched: 1_200,
            skipped: 3,
        }];
        outcome.skipped = 3;
        outcome.skipped_by = vec![SkippedBy { reason: "a\u{1b}", lines: 3 }];
        outcome.runs[0].readings[0].top[0].key = HOSTILE.into();
        outcome.runs.push(run(HOSTILE, two_readings()));
        let several = text(&outcome);
        outcome.runs.pop();
        let one = text(&outcome);
        assert!(one.contains("\n 3 lines skipped: a\\u{1b} (3)\n"), "{one}");
        for text in [one, several] {
            assert!(text.contains("=cmd|"), "{text}");
            let bad = text.chars().find(|&char| char != '\n' && !crate::shown::is_visible(char));
            assert_eq!(bad, None, "{text}");
        }
    }
}
