//! Phrases that the reports share.

use super::numbers::{grouped, percentage};
use super::times::duration;
use crate::replay::outcome::{Outcome, Run, Spread, Tally};
use crate::shown::shown;

/// Returns why two readings of one log differ: one sentence, in lines for a terminal.
pub(super) fn why_two_readings(places: u8) -> [String; 2] {
    let units = match places {
        0 => "whole seconds".to_owned(),
        _ => format!("{}s", unit(places)),
    };
    [
        format!("These are two readings, not bounds: the log has its times in {units},"),
        format!("and does not say when in its {} a request came.", unit(places)),
    ]
}

/// Returns the unit of times with this many decimal places of seconds.
pub(super) fn unit(places: u8) -> String {
    match places {
        0 => "second".to_owned(),
        3 => "millisecond".to_owned(),
        6 => "microsecond".to_owned(),
        _ => format!("10^-{places} second"),
    }
}

/// Returns the condition under which a reading holds.
pub(super) fn condition(spread: Spread) -> &'static str {
    match spread {
        Spread::Even => "if spread evenly",
        Spread::None => "if all at once",
    }
}

/// Returns a number of keys in words.
pub(super) fn keys(count: u64, key: &str) -> String {
    counted(count, noun(key))
}

/// Returns what one key is.
pub(super) fn noun(key: &str) -> &str {
    match key {
        "client" | "path" | "user" => key,
        _ => "key",
    }
}

/// Returns the full name of a period.
pub(super) fn period(name: &str) -> &str {
    match name {
        "s" => "second",
        "min" => "minute",
        _ => name,
    }
}

/// Returns the words with a capital at their beginning.
pub(super) fn capital(words: &str) -> String {
    let mut chars = words.chars();
    chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}

/// Returns a number of things in words.
pub(super) fn counted(count: u64, noun: &str) -> String {
    format!("{} {noun}{}", grouped(count), if count == 1 { "" } else { "s" })
}

/// Returns the limits of a run in words.
pub(super) fn limits(run: &Run) -> String {
    run.limits.join(" and ")
}

/// Returns what the buckets are.
pub(super) fn buckets(outcome: &Outcome) -> String {
    let key = &outcome.key;
    let bytes = if outcome.cost == "bytes" { ", a cell is a byte" } else { "" };
    format!("a bucket for each {key}{bytes}")
}

/// Returns a phrase for each kind of lines that did not become requests that count.
pub(super) fn not_counted(outcome: &Outcome) -> Vec<String> {
    /// The reasons that are named.
    const REASONS: usize = 3;
    let mut phrases = Vec::new();
    if outcome.skipped > 0 {
        let named = outcome.skipped_by.iter().take(REASONS);
        let mut reasons: Vec<String> =
            named.map(|by| format!("{} ({})", shown(by.reason, 200), grouped(by.lines))).collect();
        let others = outcome.skipped_by.iter().skip(REASONS).map(|by| by.lines).sum::<u64>();
        if others > 0 {
            reasons.push(format!("other reasons ({})", grouped(others)));
        }
        let colon = if reasons.is_empty() { "" } else { ": " };
        let lines = counted(outcome.skipped, "line");
        phrases.push(format!("{lines} skipped{colon}{}", reasons.join(", ")));
    }
    if outcome.left_out > 0 {
        phrases.push(format!("{} left out by the filters", counted(outcome.left_out, "request")));
    }
    if outcome.without_key > 0 {
        let requests = counted(outcome.without_key, "request");
        phrases.push(format!("{requests} without a {}, not counted", outcome.key));
    }
    phrases
}

/// Returns a phrase for each file of which too much was skipped.
pub(super) fn doubts(outcome: &Outcome) -> Vec<String> {
    let doubtful = outcome.files.iter().filter(|file| file.is_doubtful());
    doubtful
        .map(|file| {
            let (name, lines) = (shown(&file.name, 60), counted(file.lines, "line"));
            let skipped = grouped(file.skipped);
            let part = format!("{skipped} of {lines} skipped, more than one in ten");
            format!("{name}: {part}: do not trust the answer")
        })
        .collect()
}

/// Returns which table had no slot for a reading's requests, or `None` if no table decided.
pub(super) fn full_table(outcome: &Outcome, tally: &Tally) -> Option<String> {
    match outcome.capacity {
        Some(keys) => Some(format!("in a table made for {}", counted(keys, "key"))),
        None => (tally.no_slot > 0).then(|| "the table was full".to_owned()),
    }
}

impl Tally {
    /// Returns for how long the delayed requests waited, or `None` if there are none.
    pub(super) fn delays(&self) -> Option<String> {
        let [mean, longest] = [self.mean_delay_nanos, self.longest_delay_nanos].map(duration);
        (self.delayed > 0).then(|| format!("by {mean} on average, {longest} at most"))
    }

    /// Returns how many of the requests were denied by the quota, and the percentage.
    pub(super) fn denied_of(&self, requests: u64) -> String {
        format!("{} ({})", grouped(self.denied), percentage(self.denied, requests))
    }
}

#[cfg(test)]
mod tests {
    use super::{keys, not_counted, why_two_readings};
    use crate::replay::outcome::SkippedBy;
    use crate::replay::report::fixture::outcome;

    #[test]
    fn what_is_not_counted_is_said_only_if_there_is_any() {
        let mut outcome = outcome();
        assert_eq!(not_counted(&outcome), [""; 0]);
        outcome.skipped = 1_111;
        outcome.skipped_by = [("a", 1_000), ("b", 100), ("c", 6), ("d", 4), ("e", 1)]
            .map(|(reason, lines)| SkippedBy { reason, lines })
            .into();
        outcome.left_out = 1;
        outcome.without_key = 2;
        assert_eq!(
            not_counted(&outcome),
            [
                "1,111 lines skipped: a (1,000), b (100), c (6), other reasons (5)",
                "1 request left out by the filters",
                "2 requests without a client, not counted",
            ]
        );
    }

    #[test]
    fn the_unit_of_the_times_is_named() {
        let why = |places| why_two_readings(places).join(" ");
        assert!(why(0).contains("in whole seconds, and does not say when in its second"));
        assert!(why(3).contains("in milliseconds"));
        assert!(why(4).contains("in 10^-4 seconds"));
    }

    #[test]
    fn keys_are_named_by_what_they_are() {
        assert_eq!(keys(1, "client"), "1 client");
        assert_eq!(keys(1_000, "path"), "1,000 paths");
        assert_eq!(keys(2, "client+path"), "2 keys");
    }
}
