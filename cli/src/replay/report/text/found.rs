//! The smallest quotas that deny few enough: a line a period.

use std::fmt::Write;

use super::table::{Align, table};
use crate::replay::outcome::{Found, FoundPeriod, Outcome};
use crate::replay::report::numbers::{grouped, percent, percentage, rounded};
use crate::replay::report::phrases::{condition, period as words, why_two_readings};

pub(super) fn write(outcome: &Outcome, found: &Found, text: &mut String) {
    if !outcome.runs.is_empty() {
        text.push('\n');
    }
    let (at_most, of) = (percent(found.at_most), &found.of);
    // Writing to a string does not fail.
    _ = writeln!(
        text,
        "The smallest quota of each period that denies at most {at_most} of the {of}:\n"
    );
    let two = found.has_two_readings();
    let mut rows =
        vec![["quota", "reading", "denied", "share", "keys denied", ""].map(str::to_owned)];
    for period in &found.periods {
        rows.extend(lines(outcome, found, period));
    }
    let rows = rows
        .into_iter()
        .map(|[quota, reading, rest @ ..]| {
            let reading = two.then_some(reading);
            std::iter::once(quota).chain(reading).chain(rest).collect()
        })
        .collect();
    let columns: &[Align] = if two { &[Align::Left, Align::Left] } else { &[Align::Left] };
    _ = write!(text, "{}", table(rows, &[columns, &[Align::Right; 3]].concat()));
    if two {
        _ = writeln!(text, "\n {}", why_two_readings(outcome.places).join("\n "));
    }
}

fn lines(outcome: &Outcome, found: &Found, period: &FoundPeriod) -> Vec<[String; 6]> {
    let name = &period.period;
    let none = String::new;
    let Some(cells) = period.cells else {
        let (share, note) = period.curve.last().map_or_else(Default::default, |&(cells, share)| {
            let note = format!("at {}/{name}, the most that was tried", grouped(cells));
            (rounded(share), note)
        });
        return vec![[format!("none per {}", words(name)), none(), none(), share, none(), note]];
    };
    let mut quota = format!("{}/{name}, burst {}", grouped(cells), grouped(cells));
    period
        .readings()
        .map(|(spread, denied, keys_denied)| {
            let share = match &*found.of {
                "keys" => percentage(keys_denied, outcome.keys),
                _ => percentage(denied, outcome.requests),
            };
            [
                std::mem::take(&mut quota),
                spread.map_or("", condition).to_owned(),
                grouped(denied),
                share,
                grouped(keys_denied),
                none(),
            ]
        })
        .collect()
}
