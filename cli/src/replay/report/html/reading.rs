//! One reading of one quota: figures, a chart, and the keys that were denied most.

use std::fmt::Write;

use super::escape::plain;
use super::{chart, table};
use crate::replay::outcome::{Outcome, Run, Tally};
use crate::replay::report::numbers::{grouped, percentage};
use crate::replay::report::phrases::{full_table, noun};

pub(super) fn write(outcome: &Outcome, run: &Run, tally: &Tally, page: &mut String) {
    page.push_str("<dl class=\"figures\">\n");
    for (name, figure, note) in figures(outcome, run, tally) {
        let (name, figure, note) = (plain(&name), plain(&figure), plain(&note));
        // Writing to a string does not fail.
        _ = writeln!(page, "<div><dt>{name}</dt><dd>{figure}<small>{note}</small></dd></div>");
    }
    page.push_str("</dl>\n");
    chart::whole(outcome, tally, page);
    if !tally.top.is_empty() {
        table::most_denied(outcome, tally, page);
    }
}

/// Returns each figure between its name and a note.
fn figures(outcome: &Outcome, run: &Run, tally: &Tally) -> Vec<(String, String, String)> {
    let figure = |name: &str, count: u64, note: String| (name.to_owned(), grouped(count), note);
    let share = |count| percentage(count, outcome.requests);
    let mut figures = vec![
        figure("denied", tally.denied, share(tally.denied)),
        figure(
            &format!("{}s denied", noun(&outcome.key)),
            tally.keys_denied,
            format!("of {}", grouped(outcome.keys)),
        ),
        figure("admitted", tally.admitted, share(tally.admitted)),
    ];
    let table = full_table(outcome, tally);
    figures.extend(table.map(|table| figure("no slot", tally.no_slot, table)));
    figures.extend(tally.delays().map(|delays| figure("delayed", tally.delayed, delays)));
    if run.limits.len() > 1 {
        let by = run.limits.iter().zip(&tally.denied_by);
        figures.extend(by.map(|(limit, &denied)| figure("denied by", denied, limit.clone())));
    }
    let note = "buckets at most".to_owned();
    figures.push(figure("in use at once", tally.peak_live_keys, note));
    figures
}
