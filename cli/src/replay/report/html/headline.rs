//! The answer in one sentence.

use super::escape::plain;
use crate::replay::outcome::{Found, Outcome, Run, Spread, Tally};
use crate::replay::report::numbers::{grouped, percent, percentage};
use crate::replay::report::phrases::{condition, counted, keys, limits, unit};

/// Returns the sentence: as plain text for the title, and with the quotas marked.
pub(super) fn headline(outcome: &Outcome) -> (String, String) {
    let requests = counted(outcome.requests, "request");
    let (quotas, rest) = match (&*outcome.runs, &outcome.find) {
        ([run], _) => (limits(run), single(outcome, run)),
        ([], Some(found)) => search(outcome, found),
        ([], None) => (String::new(), format!("{requests} replayed against no quota.")),
        (runs, _) => several(outcome, runs),
    };
    // A percentage is not broken.
    let [quotas, rest] = [quotas, rest].map(|text| plain(&text).replace(" %", "&nbsp;%"));
    if quotas.is_empty() {
        return (rest.clone(), rest);
    }
    (format!("{quotas} {rest}"), format!("<strong>{quotas}</strong> {rest}"))
}

fn single(outcome: &Outcome, run: &Run) -> String {
    let of = format!("of {}", counted(outcome.requests, "request"));
    match &*run.readings {
        [one, other] if one.denied == other.denied => {
            format!("would have denied {} {of}, by both readings.", part(outcome, one))
        }
        [one, other] => {
            let if_so = |tally: &Tally| match tally.spread {
                Some(Spread::Even) => {
                    format!("if these are spread evenly over each {}", unit(outcome.places))
                }
                _ => "if they come all at once".to_owned(),
            };
            format!(
                "would have denied {} {of} {}, or {} {}.",
                part(outcome, one),
                if_so(one),
                part(outcome, other),
                if_so(other)
            )
        }
        [tally, ..] => {
            let mut sentence = format!("would have denied {} {of}", part(outcome, tally));
            if tally.denied > 0 {
                let whom = keys(outcome.keys, &outcome.key);
                sentence += &format!(", from {} of {whom}", grouped(tally.keys_denied));
            }
            if tally.no_slot > 0 {
                sentence += &format!(", and {} more for want of a slot", grouped(tally.no_slot));
            }
            if let Some(spread) = tally.spread {
                sentence += &format!(", {}", condition(spread));
            }
            sentence + "."
        }
        [] => "was not replayed.".to_owned(),
    }
}

fn part(outcome: &Outcome, tally: &Tally) -> String {
    match tally.denied {
        0 => "none".to_owned(),
        _ => tally.denied_of(outcome.requests),
    }
}

fn several(outcome: &Outcome, runs: &[Run]) -> (String, String) {
    let denied = || runs.iter().flat_map(|run| &run.readings).map(|tally| tally.denied);
    let share = |count: Option<u64>| percentage(count.unwrap_or(0), outcome.requests);
    let (least, most) = (share(denied().min()), share(denied().max()));
    let requests = counted(outcome.requests, "request");
    let part = if least == most { least } else { format!("from {least} to {most}") };
    (counted(runs.len() as u64, "quota"), format!("would have denied {part} of {requests}."))
}

fn search(outcome: &Outcome, found: &Found) -> (String, String) {
    let quotas: Vec<String> = found
        .periods
        .iter()
        .filter_map(|period| Some(format!("{}/{}", grouped(period.cells?), period.period)))
        .collect();
    let whole = match &*found.of {
        "keys" => keys(outcome.keys, &outcome.key),
        _ => counted(outcome.requests, "request"),
    };
    let few = format!("at most {} of {whole}", percent(found.at_most));
    match &*quotas {
        [] => (String::new(), format!("No quota that was tried denies {few}.")),
        [one] => (one.clone(), format!("is the smallest quota that denies {few}.")),
        [first @ .., last] => {
            let quotas = format!("{} and {last}", first.join(", "));
            (quotas, format!("are the smallest quotas that deny {few}."))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::headline;
    use crate::replay::outcome::{Found, Outcome};
    use crate::replay::report::fixture::{found, outcome, run, tally, two_readings};

    #[test]
    fn one_sentence_answers() {
        let mut outcome = outcome();
        let title = |outcome: &Outcome| headline(outcome).0;
        assert_eq!(
            headline(&outcome).1,
            "<strong>60/min, burst 60</strong> would have denied 12 (1.0&nbsp;%) of 1,200 requests, \
             from 1 of 40 clients."
        );
        outcome.runs = vec![run("1/s, burst 1", two_readings())];
        assert_eq!(
            title(&outcome),
            "1/s, burst 1 would have denied none of 1,200 requests if these are spread evenly over \
             each second, or 54 (4.5&nbsp;%) if they come all at once."
        );
        outcome.runs[0].readings[0].denied = 54;
        assert_eq!(
            title(&outcome),
            "1/s, burst 1 would have denied 54 (4.5&nbsp;%) of 1,200 requests, by both readings."
        );
        outcome.runs[0].readings.remove(0);
        assert_eq!(
            title(&outcome),
            "1/s, burst 1 would have denied 54 (4.5&nbsp;%) of 1,200 requests, from 1 of 40 \
             clients, if all at once."
        );
        outcome.runs = vec![run("1/s, burst 1", two_readings())];
        outcome.runs.push(run("5/s, burst 5", vec![tally(12)]));
        assert_eq!(
            title(&outcome),
            "2 quotas would have denied from 0&nbsp;% to 4.5&nbsp;% of 1,200 requests."
        );
        outcome.runs.clear();
        outcome.find = Some(found());
        assert_eq!(
            title(&outcome),
            "5/s is the smallest quota that denies at most 0.1&nbsp;% of 1,200 requests."
        );
        outcome.find = Some(Found { of: "keys".into(), periods: Vec::new(), ..found() });
        assert_eq!(
            title(&outcome),
            "No quota that was tried denies at most 0.1&nbsp;% of 40 clients."
        );
    }

    #[test]
    fn the_sentence_is_escaped() {
        let mut outcome = outcome();
        outcome.runs[0].limits = vec!["<b>".into()];
        let (title, sentence) = headline(&outcome);
        assert!(title.starts_with("&lt;b&gt; would"), "{title}");
        assert!(sentence.starts_with("<strong>&lt;b&gt;</strong> would"), "{sentence}");
    }
}
