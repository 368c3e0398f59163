//! One quota: a summary, the keys that were denied most, and a chart.

use std::fmt::Write;

use super::table::{Align, table};
use super::{LONGEST, SUMMARY, row, totals};
use crate::bars::bars;
use crate::replay::outcome::{Outcome, Run, Tally, Timeline, Top};
use crate::replay::report::numbers::{grouped, percentage};
use crate::replay::report::phrases::{capital, condition, full_table, keys, why_two_readings};
use crate::replay::report::times::duration;
use crate::shown::shown;

/// The columns of the chart. With its margins it fits a terminal of 80 columns.
const WIDTH: usize = 54;

pub(super) fn write(outcome: &Outcome, run: &Run, text: &mut String) {
    let peak = run.readings.iter().map(|tally| tally.peak_live_keys).max();
    let mut rows = totals(outcome, peak);
    // Writing to a string does not fail.
    match &*run.readings {
        [tally] => {
            rows.extend(summary(outcome, run, tally));
            _ = writeln!(text, "{}", table(rows, &SUMMARY));
            detail(tally, text);
        }
        readings => {
            _ = writeln!(text, "{}", table(rows, &SUMMARY));
            _ = writeln!(text, " denied: {}", denied(outcome, readings));
            _ = writeln!(text, " {}", why_two_readings(outcome.places).join("\n "));
            for tally in readings {
                let reading = capital(tally.spread.map_or("", condition));
                _ = writeln!(text, "\n{reading}:\n");
                let rows = summary(outcome, run, tally);
                _ = writeln!(text, "{}", table(rows, &SUMMARY));
                detail(tally, text);
            }
        }
    }
}

/// Returns what each of several readings denies.
fn denied(outcome: &Outcome, readings: &[Tally]) -> String {
    let of = |tally: &Tally| tally.denied_of(outcome.requests);
    if let [first, others @ ..] = readings
        && others.iter().all(|other| other.denied == first.denied)
    {
        // The readings differ in which requests are denied, or in the waits.
        return format!("{} by both readings", of(first));
    }
    let each = readings.iter().map(|tally| {
        let condition = tally.spread.map_or("", condition);
        format!("{} {condition}", of(tally))
    });
    each.collect::<Vec<_>>().join(", ")
}

/// Returns the rows of a reading.
fn summary(outcome: &Outcome, run: &Run, tally: &Tally) -> Vec<Vec<String>> {
    let share = |count| percentage(count, outcome.requests);
    let denied = format!("{}, of {}", share(tally.denied), keys(tally.keys_denied, &outcome.key));
    let mut rows = vec![
        row("admitted", tally.admitted, share(tally.admitted)),
        row("denied", tally.denied, denied),
    ];
    if run.limits.len() > 1 {
        let by = run.limits.iter().zip(&tally.denied_by);
        rows.extend(by.map(|(limit, &denied)| row("", denied, format!("by {limit}"))));
    }
    if let Some(table) = full_table(outcome, tally) {
        let share = if tally.no_slot > 0 { share(tally.no_slot) + ", " } else { String::new() };
        rows.push(row("no slot", tally.no_slot, share + &table));
    }
    rows.extend(tally.delays().map(|delays| row("delayed", tally.delayed, delays)));
    rows
}

/// Writes the keys that were denied most, and the chart.
fn detail(tally: &Tally, text: &mut String) {
    if !tally.top.is_empty() {
        _ = write!(text, "{}", top(&tally.top));
        let more = tally.keys_denied.saturating_sub(tally.top.len() as u64);
        if more > 0 {
            _ = writeln!(text, " ... and {} more", grouped(more));
        }
        text.push('\n');
    }
    if tally.timeline.highest() > 0 {
        chart(&tally.timeline.narrowed(WIDTH), text);
    }
}

fn top(top: &[Top]) -> String {
    let head = ["most denied", "requests", "admitted", "denied"].map(str::to_owned).into();
    let rows = top.iter().map(|top| {
        let [requests, admitted, denied] = [top.requests, top.admitted, top.denied].map(grouped);
        vec![shown(&top.key, LONGEST), requests, admitted, denied]
    });
    let columns = [Align::Left, Align::Right, Align::Right, Align::Right];
    table(std::iter::once(head).chain(rows).collect(), &columns)
}

fn chart(timeline: &Timeline, text: &mut String) {
    let highest = |counts: &[u64]| counts.iter().copied().max().unwrap_or(0);
    let rows = [("admitted", &timeline.admitted), ("denied", &timeline.denied)];
    let scale = rows.iter().map(|(_, counts)| highest(counts)).max().unwrap_or(0);
    for (name, counts) in rows {
        let bars = bars(counts.iter().copied(), scale);
        _ = writeln!(text, " {name:8} |{bars}| max {}", grouped(highest(counts)));
    }
    _ = writeln!(text, " {:8}  one column is {}", "", duration(timeline.width_nanos));
}
