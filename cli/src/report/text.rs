//! The summary that people read.

use std::fmt::Write;

use chrono::DateTime;
use comfy_table::presets::NOTHING;
use comfy_table::{CellAlignment, Table};

use super::Outcome;
use super::chart::{columns, duration};
use crate::bars::bars;

/// Columns of the chart.
const WIDTH: usize = 60;

/// A short summary, the keys that were denied most, and a chart.
pub(crate) fn text(outcome: &Outcome) -> String {
    let mut text = String::new();
    let Outcome { source, quota, burst, key, .. } = outcome;
    let bytes = if outcome.cost == "bytes" { ", a cell is a byte" } else { "" };
    let head =
        format!("{source}: {quota}, burst {}, a bucket for each {key}{bytes}", grouped(*burst));
    // Writing to a string does not fail.
    _ = writeln!(text, "{head}\n");
    _ = writeln!(text, "{}\n", summary(outcome).trim_fmt());
    if !outcome.top.is_empty() {
        _ = writeln!(text, "{}", top(outcome).trim_fmt());
        let more = outcome.keys_denied - outcome.top.len();
        if more > 0 {
            _ = writeln!(text, " ... and {} more", grouped(more as u64));
        }
        text.push('\n');
    }
    chart(outcome, &mut text);
    text
}

fn summary(outcome: &Outcome) -> Table {
    // Rounded once, so that the shares add up.
    let admitted = (outcome.admitted * 2_000 + outcome.records) / (outcome.records * 2).max(1);
    let share = |tenths: u64| format!("{}.{} %", tenths / 10, tenths % 10);
    let from = clock(outcome.start);
    let span = duration(outcome.span_seconds);
    let mut table = Table::new();
    table.load_preset(NOTHING);
    let mut row = |name: &str, count: u64, note: String| {
        table.add_row([name.to_owned(), grouped(count), note]);
    };
    row("records", outcome.records, format!("from {from}, {span}"));
    row("skipped", outcome.skipped, "lines that could not be used".to_owned());
    row("out of order", outcome.out_of_order, "replayed in the order of their times".to_owned());
    let peak = grouped(outcome.peak_live_keys as u64);
    row("keys", outcome.keys as u64, format!("at most {peak} with a bucket in use at once"));
    row("admitted", outcome.admitted, share(admitted));
    let denied = grouped(outcome.keys_denied as u64);
    row("denied", outcome.denied, format!("{}, of {denied} keys", share(1_000 - admitted)));
    row("unplaced", outcome.unplaced, "found the table full".to_owned());
    align(&mut table, &[1]);
    table
}

fn top(outcome: &Outcome) -> Table {
    let mut table = Table::new();
    table.load_preset(NOTHING).set_header(["most denied", "requests", "admitted", "denied"]);
    for top in &outcome.top {
        let counts = [top.requests, top.admitted, top.denied].map(grouped);
        let [requests, admitted, denied] = counts;
        table.add_row([shown(&top.key), requests, admitted, denied]);
    }
    align(&mut table, &[1, 2, 3]);
    table
}

fn chart(outcome: &Outcome, text: &mut String) {
    let (columns, width) = columns(outcome, WIDTH);
    let highest =
        |count: fn(&super::chart::Column) -> u64| columns.iter().map(count).max().unwrap_or(0);
    let (admitted, denied) = (highest(|column| column.admitted), highest(|column| column.denied));
    let scale = admitted.max(denied);
    let rows = [
        ("admitted", bars(columns.iter().map(|column| column.admitted), scale), admitted),
        ("denied", bars(columns.iter().map(|column| column.denied), scale), denied),
    ];
    for (name, bars, most) in rows {
        _ = writeln!(text, " {name:8} |{bars}| at most {}", grouped(most));
    }
    _ = writeln!(text, " {:8}  one column is {}", "", duration(width));
}

fn align(table: &mut Table, right: &[usize]) {
    for &column in right {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
}

/// A time as a person writes it.
pub(crate) fn clock(seconds: i64) -> String {
    match DateTime::from_timestamp(seconds, 0) {
        Some(time) => time.format("%Y-%m-%d %H:%M:%S UTC").to_string(),
        None => format!("{seconds} s after 1970"),
    }
}

/// A number with a comma between each three digits.
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

/// A key fit for a terminal: keys come from whoever sent the requests. Control characters would be
/// obeyed, and a long one would bury the table.
fn shown(key: &str) -> String {
    const LONGEST: usize = 60;
    let mut shown: String = key
        .chars()
        .take(LONGEST)
        .map(|char| if char.is_control() { char::REPLACEMENT_CHARACTER } else { char })
        .collect();
    if key.chars().nth(LONGEST).is_some() {
        shown.push('…');
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::{grouped, shown};

    #[test]
    fn numbers_are_grouped() {
        for (number, text) in [(0, "0"), (999, "999"), (1_000, "1,000"), (1_234_567, "1,234,567")] {
            assert_eq!(grouped(number), text);
        }
    }

    #[test]
    fn keys_cannot_command_the_terminal() {
        assert_eq!(shown("/a\u{1b}[2J"), "/a\u{fffd}[2J");
        assert_eq!(shown(&"x".repeat(100)).chars().count(), 61);
    }
}
