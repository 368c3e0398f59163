//! Several quotas: a line for each reading of each.

use std::fmt::Write;

use super::LONGEST;
use super::table::{Align, table};
use crate::replay::outcome::{Outcome, Run, Tally};
use crate::replay::report::columns::Columns;
use crate::replay::report::numbers::{grouped, percentage};
use crate::replay::report::phrases::{condition, limits, why_two_readings};
use crate::replay::report::times::duration;
use crate::shown::shown;

/// A column of the table: its head, its side, and what it says of a tally.
type Column<'a> = (&'static str, Align, Box<dyn Fn(&Tally) -> String + 'a>);

pub(super) fn write(outcome: &Outcome, runs: &[Run], text: &mut String) {
    let columns = columns(outcome);
    let head = columns.iter().map(|column| column.0.to_owned());
    let mut rows: Vec<Vec<String>> =
        vec![std::iter::once("quota".to_owned()).chain(head).collect()];
    for run in runs {
        let mut quota = shown(&limits(run), 2 * LONGEST);
        for tally in &run.readings {
            // A run of two readings has its name in the first.
            let quota = std::iter::once(std::mem::take(&mut quota));
            rows.push(quota.chain(columns.iter().map(|column| column.2(tally))).collect());
        }
    }
    let sides: Vec<Align> =
        std::iter::once(Align::Left).chain(columns.iter().map(|column| column.1)).collect();
    // Writing to a string does not fail.
    _ = write!(text, "{}", table(rows, &sides));
    if runs.iter().any(|run| run.readings.len() > 1) {
        _ = writeln!(text, "\n {}", why_two_readings(outcome.places).join("\n "));
    }
}

/// Returns the columns that have something to say.
fn columns<'a>(outcome: &Outcome) -> Vec<Column<'a>> {
    let needed = Columns::new(outcome);
    let requests = outcome.requests;
    let mut columns: Vec<Column<'_>> = Vec::new();
    if needed.reading {
        let reading = |tally: &Tally| tally.spread.map_or("", condition).to_owned();
        columns.push(("reading", Align::Left, Box::new(reading)));
    }
    columns.push(("denied", Align::Right, Box::new(|tally| grouped(tally.denied))));
    let share = move |tally: &Tally| percentage(tally.denied, requests);
    columns.push(("share", Align::Right, Box::new(share)));
    columns.push(("keys denied", Align::Right, Box::new(|tally| grouped(tally.keys_denied))));
    if needed.no_slot {
        columns.push(("no slot", Align::Right, Box::new(|tally| grouped(tally.no_slot))));
    }
    if needed.delays {
        columns.push(("delayed", Align::Right, Box::new(|tally| grouped(tally.delayed))));
        let longest = |tally: &Tally| duration(tally.longest_delay_nanos);
        columns.push(("at most", Align::Right, Box::new(longest)));
    }
    columns.push(("worst hit", Align::Left, Box::new(worst)));
    columns
}

fn worst(tally: &Tally) -> String {
    tally.top.first().map_or_else(String::new, |top| {
        let key = shown(&top.key, LONGEST);
        format!("{key}, {} of {}", grouped(top.denied), grouped(top.requests))
    })
}
