//! What was read, and what was not counted.

use std::fmt::Write;

use super::escape::plain;
use super::table::{begin, end, number};
use crate::replay::outcome::Outcome;
use crate::replay::report::numbers::grouped;
use crate::replay::report::phrases::{counted, doubts, not_counted};

pub(super) fn section(outcome: &Outcome, page: &mut String) {
    page.push_str("<section>\n<h2>What was read</h2>\n");
    let heads = [("file", false), ("format", false), ("lines", true), ("of the format", true)];
    begin("Files", &heads, "", page);
    for file in &outcome.files {
        let (name, format) = (plain(&file.name), plain(&file.format));
        // Writing to a string does not fail.
        _ = write!(page, "<tr><th scope=\"row\"><code>{name}</code></th><td>{format}</td>");
        number(file.lines, &grouped(file.lines), page);
        number(file.matched, &grouped(file.matched), page);
        page.push_str("</tr>\n");
    }
    end(page);
    let mut notes = doubts(outcome);
    notes.extend(not_counted(outcome));
    if outcome.out_of_order > 0 {
        let requests = counted(outcome.out_of_order, "request");
        notes.push(format!("{requests} out of order, replayed in the order of their times"));
    }
    notes.extend(outcome.first_skipped.iter().map(|skipped| {
        format!("{}: line {} skipped: {}", skipped.file, skipped.line, skipped.reason)
    }));
    notes.extend(outcome.warnings.iter().cloned());
    if !notes.is_empty() {
        page.push_str("<ul>\n");
        for note in notes {
            _ = writeln!(page, "<li>{}</li>", plain(&note));
        }
        page.push_str("</ul>\n");
    }
    page.push_str("</section>\n");
}
