//! `tidegate pressure`: what the library sees of memory pressure on this machine.

use std::collections::{BTreeMap, VecDeque};
use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::Args;
use comfy_table::presets::NOTHING;
use comfy_table::{CellAlignment, Table};
use indicatif::BinaryBytes;
use serde::Serialize;
use tidegate::pressure::{Measure, Reading, Root, Sample, Source, survey, within};

use crate::bars::bars;
use crate::failure::Failure;
use crate::shown::is_visible;

/// Shows every source of memory pressure on this machine, as the library sees it.
///
/// A row says in what state a source is, how much is used of how much, and where that comes from.
/// The sources are the machine, the tightest limit of the control group and all above it, stalls,
/// this process, and GPUs. The first row is the tighter of the limit and the machine, and its
/// members follow. Run it where your service runs, inside the container.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  tidegate pressure                        every source, once
  tidegate pressure --watch                again every second, with how it went
  tidegate pressure --json | jq '.[] | select(.state == \"available\")'
  tidegate pressure --watch --json         an array a line, for programs

States: available; denied (there is one, and this process may not read it); unsupported (there is
none here); stale (no answer, or one that cannot be). A member that is denied or stale makes the
whole unknown; one that is unsupported is passed over. Exit status: 0, or 2 with one line that names
what is wrong; watching ends when it is interrupted, or its output is closed.")]
pub(crate) struct Arguments {
    /// Again and again, until interrupted
    #[arg(long)]
    watch: bool,

    /// An array of {source, state, used_bytes, total_bytes, detail}; null where it does not count
    /// bytes
    #[arg(long)]
    json: bool,

    /// How often: every second if not given
    #[arg(long, value_name = "SECONDS", value_parser = seconds, requires = "watch")]
    every: Option<f64>,

    /// Where /proc and the control groups are: another machine's, copied (GPUs are this one's)
    #[arg(long, value_name = "DIRECTORY", default_value = "/")]
    root: PathBuf,
}

fn seconds(text: &str) -> Result<f64, String> {
    let seconds: f64 = text.parse().map_err(|_| "not a number".to_owned())?;
    if (0.1..=86_400.0).contains(&seconds) {
        Ok(seconds)
    } else {
        Err("must be from 0.1 to 86400".to_owned())
    }
}

/// A driver that is not in use takes a second to start.
const PATIENCE: Duration = Duration::from_secs(10);
/// The most samples of a source that are drawn.
const DRAWN: usize = 30;

/// A source as programs see it, or a member of one.
#[derive(Serialize)]
struct Row {
    source: String,
    state: String,
    used_bytes: Option<u64>,
    total_bytes: Option<u64>,
    detail: String,
    #[serde(skip)]
    share: Option<u32>,
    #[serde(skip)]
    is_member: bool,
}

/// What each source read lately, by its name.
type Drawn = BTreeMap<String, VecDeque<Option<u32>>>;

pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    if !arguments.root.is_dir() {
        let root = arguments.root.display();
        return Err(Failure::new(format_args!("--root {root}"), "no such directory"));
    }
    let mut sources = Vec::new();
    for source in survey(&Root::at(&arguments.root)) {
        let source = within(source, PATIENCE);
        sources.push(source.map_err(|error| Failure::new("starting a thread", error))?);
    }
    let mut drawn = Drawn::new();
    let every = Duration::from_secs_f64(arguments.every.unwrap_or(1.0));
    let mut next = Instant::now();
    loop {
        let rows: Vec<Row> = sources.iter_mut().flat_map(rows_of).collect();
        let text = if arguments.json {
            json(&rows, arguments.watch)
        } else {
            for row in &rows {
                let drawn = drawn.entry(row.source.clone()).or_default();
                drawn.push_back(row.share);
                if drawn.len() > DRAWN {
                    drawn.pop_front();
                }
            }
            let clears = arguments.watch && std::io::stdout().is_terminal();
            let clear = if clears { "\x1b[H\x1b[2J" } else { "" };
            format!("{clear}{}\n", table(&rows, arguments.watch.then_some(&drawn)).trim_fmt())
        };
        let mut output = std::io::stdout().lock();
        match output.write_all(text.as_bytes()).and_then(|()| output.flush()) {
            // The reader has seen enough.
            Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => return Ok(()),
            Err(error) => return Err(Failure::new("standard output", error)),
            Ok(()) if !arguments.watch => return Ok(()),
            Ok(()) => {}
        }
        drop(output);
        // Absolute, so that it does not drift; and no haste to make up for what was late.
        next = (next + every).max(Instant::now());
        std::thread::sleep(next.saturating_duration_since(Instant::now()));
    }
}

/// Samples a source. Returns its row, and then a row for each of its members.
fn rows_of(source: &mut impl Source) -> Vec<Row> {
    let mut sample = source.sample();
    let members = std::mem::take(&mut sample.members);
    let mut rows = vec![row(source.name(), sample, false)];
    rows.extend(members.into_iter().map(|member| row(member.source, member.sample, true)));
    rows
}

fn row(source: String, sample: Sample, is_member: bool) -> Row {
    let (used_bytes, total_bytes) = match (sample.measure, sample.reading) {
        (Measure::Bytes, Reading::Known { used, total }) => (Some(used), Some(total)),
        _ => (None, None),
    };
    let (state, share) = (sample.state().to_string(), sample.reading.share());
    let Sample { detail, .. } = sample;
    Row { source, state, used_bytes, total_bytes, detail, share, is_member }
}

/// Returns the rows as JSON, over many lines or on one.
fn json(rows: &[Row], is_one_of_many: bool) -> String {
    let text = if is_one_of_many {
        serde_json::to_string(rows)
    } else {
        serde_json::to_string_pretty(rows)
    };
    let mut text = text.expect("strings and numbers");
    text.push('\n');
    text
}

fn table(rows: &[Row], drawn: Option<&Drawn>) -> Table {
    let mut table = Table::new();
    let mut header = vec!["source", "state", "used", "of", "%"];
    header.extend(drawn.map(|_| "lately"));
    header.push("where from, or why not");
    table.load_preset(NOTHING).set_header(header);
    for row in rows {
        let bytes = |bytes: Option<u64>| {
            bytes.map_or("-".to_owned(), |bytes| BinaryBytes(bytes).to_string())
        };
        let percent = row.share.map(|share| format!("{:.1}", f64::from(share) / 10_000.0));
        let mut cells = vec![
            format!("{}{}", if row.is_member { "  " } else { "" }, row.source),
            row.state.clone(),
            bytes(row.used_bytes),
            bytes(row.total_bytes),
            percent.unwrap_or_else(|| "-".to_owned()),
        ];
        let lately = |drawn: &Drawn| {
            let shares = drawn.get(&row.source).into_iter().flatten();
            shares.map(|&share| mark(share)).collect()
        };
        cells.extend(drawn.map(lately));
        // What comes from files and drivers must not steer a terminal.
        cells.push(row.detail.chars().map(|c| if is_visible(c) { c } else { ' ' }).collect());
        table.add_row(cells);
    }
    for column in [2, 3, 4] {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table
}

/// Returns a bar. A share that is not known has a mark of its own.
fn mark(share: Option<u32>) -> String {
    share.map_or("?".to_owned(), |share| bars(std::iter::once(share.into()), 1_000_000))
}
