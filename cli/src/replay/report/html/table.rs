//! Tables that the page's script can sort.

use std::fmt::Write;

use super::chart::spark;
use super::escape::{key, plain};
use crate::replay::outcome::{Outcome, Run, Tally};
use crate::replay::report::columns::Columns;
use crate::replay::report::numbers::{grouped, percentage};
use crate::replay::report::phrases::{condition, keys, limits};
use crate::replay::report::times::duration;

/// Begins a table with its caption and heads. A head with `true` is of a column of numbers; the one
/// that the rows are sorted by is named.
pub(super) fn begin(caption: &str, heads: &[(&str, bool)], sorted: &str, page: &mut String) {
    // A table that is too wide for the screen is scrolled, by keys as well. Writing to a string
    // does not fail.
    _ = write!(
        page,
        "<div class=\"scroll\" role=\"region\" aria-label=\"{}\" tabindex=\"0\">\n\
         <table class=\"sortable\">\n<caption>{}</caption>\n<thead><tr>",
        plain(caption),
        plain(caption)
    );
    for &(head, number) in heads {
        let class = if number { " class=\"number\"" } else { "" };
        let sorted = if head == sorted { " data-sorted=\"descending\"" } else { "" };
        _ = write!(page, "<th scope=\"col\"{class}{sorted}>{}</th>", plain(head));
    }
    page.push_str("</tr></thead>\n<tbody>\n");
}

pub(super) fn end(page: &mut String) {
    page.push_str("</tbody>\n</table>\n</div>\n");
}

/// Writes a cell with a number, shown as `text`.
pub(super) fn number(value: u64, text: &str, page: &mut String) {
    _ = write!(page, "<td class=\"number\" data-value=\"{value}\">{}</td>", plain(text));
}

/// Writes a cell with a share, which is sorted by its parts in a billion.
pub(super) fn share(part: u64, whole: u64, page: &mut String) {
    let billionths = u128::from(part) * 1_000_000_000 / u128::from(whole.max(1));
    number(billionths as u64, &percentage(part, whole), page);
}

/// Writes the keys that were denied most, each with its requests over time.
pub(super) fn most_denied(outcome: &Outcome, tally: &Tally, page: &mut String) {
    let (shown, all) = (tally.top.len() as u64, keys(tally.keys_denied, &outcome.key));
    let caption = match tally.keys_denied {
        keys if keys > shown => format!("Most denied: {} of {all}", grouped(shown)),
        _ => "Most denied".to_owned(),
    };
    let heads = [
        (&*outcome.key, false),
        ("denied", true),
        ("requests", true),
        ("share", true),
        ("over time", false),
    ];
    begin(&caption, &heads, "denied", page);
    for top in &tally.top {
        _ = write!(page, "<tr><th scope=\"row\">{}</th>", key(&top.key));
        number(top.denied, &grouped(top.denied), page);
        number(top.requests, &grouped(top.requests), page);
        share(top.denied, top.requests, page);
        page.push_str("<td>");
        spark(&top.timeline, page);
        page.push_str("</td></tr>\n");
    }
    end(page);
}

/// Writes a row for each reading of each quota.
pub(super) fn quotas(outcome: &Outcome, runs: &[Run], page: &mut String) {
    let Columns { reading, no_slot, delays } = Columns::new(outcome);
    let heads = [
        (true, "quota", false),
        (reading, "reading", false),
        (true, "denied", true),
        (true, "share", true),
        (true, "keys denied", true),
        (no_slot, "no slot", true),
        (delays, "delayed", true),
        (delays, "longest delay", true),
        (true, "worst hit", false),
    ];
    let heads: Vec<(&str, bool)> =
        heads.iter().filter(|head| head.0).map(|head| (head.1, head.2)).collect();
    begin("Quotas", &heads, "", page);
    for (place, run) in runs.iter().enumerate() {
        for tally in &run.readings {
            let words = plain(&limits(run));
            _ = write!(
                page,
                "<tr><th scope=\"row\"><a href=\"#quota-{}\">{words}</a></th>",
                place + 1
            );
            if reading {
                _ = write!(
                    page,
                    "<td class=\"reading\">{}</td>",
                    tally.spread.map_or("", condition)
                );
            }
            number(tally.denied, &grouped(tally.denied), page);
            share(tally.denied, outcome.requests, page);
            number(tally.keys_denied, &grouped(tally.keys_denied), page);
            if no_slot {
                number(tally.no_slot, &grouped(tally.no_slot), page);
            }
            if delays {
                number(tally.delayed, &grouped(tally.delayed), page);
                number(tally.longest_delay_nanos, &duration(tally.longest_delay_nanos), page);
            }
            let worst = tally.top.first().map_or_else(String::new, |top| {
                let counts = format!("{} of {}", grouped(top.denied), grouped(top.requests));
                format!("{}, {counts}", key(&top.key))
            });
            _ = writeln!(page, "<td class=\"worst\">{worst}</td></tr>");
        }
    }
    end(page);
}
