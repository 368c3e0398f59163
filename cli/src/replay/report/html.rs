//! The report as a page: one file without external parts, for readers who have only this page.

#[cfg(test)]
mod browser;
mod chart;
mod curve;
mod escape;
mod headline;
mod reading;
mod source;
mod table;

use std::fmt::Write;

use self::escape::plain;
use self::headline::headline;
use super::phrases::{buckets, capital, condition, keys, limits, why_two_readings};
use super::times::{clock, date_and_time, duration};
use crate::replay::outcome::{Found, Outcome, Run};

const STYLE: &str = include_str!("html/style.css");
const SCRIPT: &str = include_str!("html/sort.js");
/// The digest of the script: a browser runs no other, whatever a key brings along. It changes with
/// the script; `openssl dgst -sha256 -binary sort.js | base64` prints it.
const SCRIPT_DIGEST: &str = "sha256-zsRUAZleSDUFGM2APKaXxwJpxaRLrDeJT0WN63z+B7A=";

/// Returns the page.
pub(crate) fn html(outcome: &Outcome) -> String {
    let mut page = String::new();
    let (title, sentence) = headline(outcome);
    // Writing to a string does not fail.
    _ = write!(
        page,
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; \
         style-src 'unsafe-inline'; script-src '{SCRIPT_DIGEST}'; base-uri 'none'; \
         form-action 'none'\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n\
         <title>{title}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n<main>\n\
         <header>\n<h1>{sentence}</h1>\n<p class=\"quiet\">{}</p>\n",
        under(outcome)
    );
    let two = outcome.runs.iter().any(|run| run.readings.len() > 1);
    if two || outcome.find.as_ref().is_some_and(Found::has_two_readings) {
        let why = why_two_readings(outcome.places).join(" ");
        _ = writeln!(page, "<p class=\"note\">{why}</p>");
    }
    page.push_str("</header>\n");
    match &*outcome.runs {
        [] => {}
        // Without requests there is nothing to draw.
        [_] if outcome.requests == 0 => {}
        [run] => single(outcome, run, &mut page),
        runs => {
            table::quotas(outcome, runs, &mut page);
            several(outcome, runs, &mut page);
        }
    }
    if let Some(found) = &outcome.find {
        curve::section(outcome, found, &mut page);
    }
    source::section(outcome, &mut page);
    _ = write!(
        page,
        "</main>\n<footer class=\"quiet\">Made by <code>tidegate replay</code>: it replays a log \
         against a quota before the quota is switched on.</footer>\n<script>{SCRIPT}</script>\n\
         </body>\n</html>\n"
    );
    page
}

/// Returns the line under the sentence: from when to when, and for what.
fn under(outcome: &Outcome) -> String {
    let what = format!("{}, {}", keys(outcome.keys, &outcome.key), buckets(outcome));
    if outcome.requests == 0 {
        return plain(&what);
    }
    let end = outcome.start_nanos.saturating_add_unsigned(outcome.span_nanos);
    plain(&format!(
        "{} to {}, {}; {what}",
        date_and_time(outcome.start_nanos),
        clock(end),
        duration(outcome.span_nanos),
    ))
}

/// Writes one quota: a section for each reading.
fn single(outcome: &Outcome, run: &Run, page: &mut String) {
    for tally in &run.readings {
        page.push_str("<section>\n");
        if let Some(spread) = tally.spread {
            _ = writeln!(page, "<h2>{}</h2>", capital(condition(spread)));
        }
        reading::write(outcome, run, tally, page);
        page.push_str("</section>\n");
    }
}

/// Writes several quotas, each folded but the first.
fn several(outcome: &Outcome, runs: &[Run], page: &mut String) {
    for (place, run) in runs.iter().enumerate() {
        let (number, open) = (place + 1, if place == 0 { " open" } else { "" });
        let words = plain(&limits(run));
        _ = writeln!(
            page,
            "<details id=\"quota-{number}\"{open}>\n<summary><h2>{words}</h2></summary>"
        );
        for tally in &run.readings {
            if let Some(spread) = tally.spread {
                _ = writeln!(page, "<h3>{}</h3>", capital(condition(spread)));
            }
            reading::write(outcome, run, tally, page);
        }
        page.push_str("</details>\n");
    }
}

#[cfg(test)]
mod tests {
    use super::html;
    use crate::replay::report::fixture::{HOSTILE, found, outcome, run, two_readings};
    use crate::replay::traffic::{FileRead, Skipped};
    use crate::shown::is_visible;

    #[test]
    fn a_page_needs_nothing_else() {
        let mut outcome = outcome();
        outcome.find = Some(found());
        let page = html(&outcome);
        for outside in ["http://", "https://", "src=", "@import", "url("] {
            assert!(!page.contains(outside), "{outside}");
        }
        assert!(page.starts_with("<!doctype html>") && page.ends_with("</html>\n"));
    }

    #[test]
    fn every_text_of_a_log_is_escaped() {
        let mut outcome = outcome();
        outcome.key = HOSTILE.into();
        outcome.cost = HOSTILE.into();
        let file = FileRead {
            name: HOSTILE.into(),
            format: HOSTILE.into(),
            lines: 1,
            matched: 1,
            skipped: 1,
        };
        outcome.files = vec![file];
        outcome.skipped = 1;
        outcome.first_skipped = vec![Skipped { file: HOSTILE.into(), line: 1, reason: HOSTILE }];
        outcome.warnings = vec![HOSTILE.into()];
        outcome.runs[0].readings[0].top[0].key = HOSTILE.into();
        outcome.runs[0].limits.push(HOSTILE.into());
        let mut search = found();
        search.of = HOSTILE.into();
        search.periods.iter_mut().for_each(|period| period.period = HOSTILE.into());
        outcome.find = Some(search);
        let one = html(&outcome);
        outcome.runs.push(run(HOSTILE, two_readings()));
        let several = html(&outcome);
        for page in [one, several] {
            assert_eq!(page.matches("<script>").count(), 1);
            assert_eq!(page.matches("</td><script").count(), 0);
            assert_eq!(page.matches("<img").count(), 0);
            assert!(page.contains("A1&lt;/td&gt;&lt;script&gt;"));
            let bad = page.chars().find(|&char| char != '\n' && !is_visible(char));
            assert_eq!(bad, None);
        }
    }

    #[test]
    fn two_readings_have_a_section_each_and_a_note() {
        let mut outcome = outcome();
        assert!(!html(&outcome).contains("two readings"));
        outcome.runs = vec![run("1/s, burst 1", two_readings())];
        let page = html(&outcome);
        assert!(page.contains("<p class=\"note\">These are two readings, not bounds"));
        assert!(
            page.contains("<h2>If spread evenly</h2>") && page.contains("<h2>If all at once</h2>")
        );
    }
}
