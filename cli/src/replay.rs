//! `tidegate replay`: what would this quota have done to my traffic?
//!
//! [`input`] reads logs, whatever they are packed in; [`format`] takes lines apart, with [`stamp`]
//! for their times; [`select`] chooses which requests count, and under which key; [`gather`] does
//! so on all cores and sorts what is left by time. [`decide`] replays it against quotas, [`find`]
//! searches for one, and [`report`] shows what became of the requests.

mod arguments;
mod decide;
mod entry;
mod find;
mod format;
#[cfg(test)]
mod fuzz;
mod gather;
mod input;
mod keys;
mod limit;
mod outcome;
mod output;
mod report;
mod select;
mod stamp;
mod synthetic;
mod threads;
mod traffic;

use std::io::IsTerminal;
use std::process::ExitCode;

pub(crate) use self::arguments::Arguments;

use self::arguments::{Format, Input, Question};
use self::decide::{Detail, Replay};
use self::input::Sources;
use self::outcome::{Outcome, SkippedBy};
use self::output::{Output, refuse_to_overwrite};
use self::traffic::Traffic;
use crate::failure::Failure;

/// The columns of a timeline.
const COLUMNS: usize = 160;
/// The exit status for a result that many lines have no part in.
const DOUBTFUL: u8 = 3;

/// Reads, decides and reports. Wrong arguments are refused before anything is read.
pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode, Failure> {
    let question = arguments.question()?;
    let selection = arguments.selection()?;
    let format = match (&arguments.log_format, &arguments.json_fields) {
        (Some(words), _) => Some(format::named(words)?),
        (None, Some(fields)) => Some(format::json_fields(fields)?),
        (None, None) => None,
    };
    let output = arguments.output().map(|path| Output::open("--output", path)).transpose()?;
    let svg = arguments.svg.as_ref().map(|path| Output::open("--svg", path)).transpose()?;
    let input = arguments.input(std::io::stdin().is_terminal())?;
    let sources = match input {
        Input::Logs(files) => Sources::find(files)?,
        Input::BuiltInDay => Sources::memory(synthetic::NAME, synthetic::day()),
    };
    refuse_to_overwrite(output.iter().chain(&svg), &sources)?;

    let detect = |head: &[u8]| match &format {
        Some(format) => format.clone(),
        None => format::detect(head),
    };
    let traffic = gather::gather(&sources, &detect, &selection)?;
    let outcome = answer(arguments, &question, traffic)?;
    // The built-in day is damaged on purpose.
    if input != Input::BuiltInDay {
        for line in report::complaints(&outcome) {
            crate::complain(&line);
        }
    }
    if let Some(mut output) = output {
        let text = match arguments.format() {
            Format::Text => report::text(&outcome),
            Format::Json => report::json(&outcome),
            Format::Csv => report::csv(&outcome),
            Format::Html => report::html(&outcome),
        };
        output.write(text.as_bytes())?;
    }
    if let Some(mut svg) = svg {
        svg.write(report::svg(&outcome).as_bytes())?;
    }
    let doubtful = outcome.files.iter().any(traffic::FileRead::is_doubtful);
    Ok(if doubtful { ExitCode::from(DOUBTFUL) } else { ExitCode::SUCCESS })
}

fn answer(
    arguments: &Arguments,
    question: &Question,
    traffic: Traffic,
) -> Result<Outcome, Failure> {
    let (first, last) = (traffic.requests.first(), traffic.requests.last());
    let start_nanos = first.map_or(0, |request| request.time);
    let span_nanos = last.map_or(0, |request| request.time.abs_diff(start_nanos));
    let replay = Replay::new(&traffic, arguments.spread)?;
    let (runs, find) = match question {
        Question::Runs(questions) => {
            let detail = Detail { top: arguments.top, columns: COLUMNS };
            let runs = questions.iter().map(|question| replay.run(question, detail));
            (runs.collect::<Result<_, _>>()?, None)
        }
        Question::Find(at_most, of, max_wait) => {
            (Vec::new(), Some(replay.find(*at_most, *of, *max_wait)))
        }
    };
    drop(replay);
    let [key, cost] = arguments.key_and_cost();
    let skipped_by = traffic.skip_reasons.iter();
    Ok(Outcome {
        key,
        cost,
        requests: traffic.requests.len() as u64,
        keys: traffic.keys.len() as u64,
        skipped: traffic.skipped,
        skipped_by: skipped_by.map(|&(reason, lines)| SkippedBy { reason, lines }).collect(),
        left_out: traffic.left_out,
        without_key: traffic.without_key,
        out_of_order: traffic.out_of_order,
        start_nanos,
        span_nanos,
        places: traffic.places,
        capacity: arguments.capacity,
        runs,
        find,
        files: traffic.files,
        first_skipped: traffic.first_skipped,
        warnings: traffic.warnings,
    })
}
