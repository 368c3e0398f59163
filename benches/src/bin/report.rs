//! Prints what a benchmark measures, as a table and as JSON, and draws charts of it.

use std::fs::OpenOptions;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::builder::RangedU64ValueParser;
use clap::{Args, Parser, Subcommand};
use comfy_table::presets::NOTHING;
use comfy_table::{CellAlignment, Table};
use serde::Serialize;
use tidegate_benches::measure::{Counting, Row};
use tidegate_benches::{bucket, cache, crowd, face, flight, map, plot, registry, runtime, tower};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const EXAMPLES: &str = "\
Examples:
  report bucket                       rate limiting, at up to 8,000,000 keys
  report map --keys 1000 --turns 1    a first look: few keys, one turn
  report cache --json rows.json       all rows as JSON, too
  report cache --traces DIR           hits on real traces, and the time of an access
  report plot rows.json figures       a chart of each case in them

From a checkout: cargo run --release -p tidegate-benches -- bucket";

/// Measures tidegate beside its rivals, in the same run.
///
/// Prints a table when all is measured, and each row on standard error as it comes. A row has a
/// time for tidegate and for one rival, in nanoseconds an operation unless its unit says otherwise.
/// A ratio above 1 always means that tidegate is better.
#[derive(Parser)]
#[command(after_help = EXAMPLES)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    #[command(flatten)]
    Measure(Bench),
    Plot(Plot),
}

const PLOT_EXAMPLE: &str = "\
Example:
  report map --json rows.json
  report plot rows.json docs/figures    docs/figures/map-get-pin-uniform-1-thread.svg and more";

/// Draws charts of the rows that a report wrote with --json.
///
/// Each case and number of threads becomes an SVG file of its own: the time an operation over the
/// number of keys, with a line for tidegate and for each rival. Hits on traces become one chart of
/// their own. Other rows that are no times are left out, and so are cases with only one number of
/// keys.
#[derive(Args)]
#[command(after_help = PLOT_EXAMPLE)]
struct Plot {
    /// The file of rows.
    #[arg(value_name = "ROWS.json")]
    rows: PathBuf,
    /// The folder for the charts; it is made if it is not there.
    dir: PathBuf,
}

#[derive(Subcommand)]
enum Bench {
    /// Rate limiting: `BucketTable` beside governor, and beside the floor (one atomic addition to a
    /// random cache line).
    Bucket {
        #[command(flatten)]
        options: Options,
        /// Leave out what has more keys: 1,000, 100,000, 1,000,000 and 8,000,000 are measured.
        #[arg(long, default_value_t = 8_000_000, value_parser = at_least(1_000))]
        keys: usize,
    },
    /// The map beside papaya, flurry, scc and dashmap.
    Map {
        #[command(flatten)]
        options: Options,
        /// Leave out what has more keys: 1,000, 100,000 and 1,000,000 are measured.
        #[arg(long, default_value_t = 1_000_000, value_parser = at_least(1_000))]
        keys: usize,
    },
    /// The cache beside moka, mini-moka, quick_cache and scc.
    Cache {
        #[command(flatten)]
        options: Options,
        /// Leave out what has more keys: 1,000, 100,000 and 1,000,000 are measured.
        #[arg(long, default_value_t = 1_000_000, value_parser = at_least(1_000))]
        keys: usize,
        /// Replay the traces in this folder instead, each a file NAME.u64.gz: keys of 64 bits,
        /// little-endian, compressed by gzip.
        #[arg(long, value_name = "DIR", conflicts_with = "keys")]
        traces: Option<PathBuf>,
    },
    /// Loading through a cache beside moka and quick_cache.
    Flight {
        #[command(flatten)]
        options: Options,
    },
    /// The registry beside maps that people keep leases in: dashmap and `scc::HashMap`.
    Registry {
        #[command(flatten)]
        options: Options,
    },
    /// The face beside the engine with the same clock and a pin at each call: the face may take 1.15
    /// times as long, which is a ratio of 0.87.
    Face {
        #[command(flatten)]
        options: Options,
    },
    /// The layer for tower services beside `tower_governor` in front of the same service, and beside
    /// the bare service. Takes a minute.
    Tower {
        #[command(flatten)]
        options: Options,
    },
    /// A cache beside thousands of idle ones, in one process. Takes a minute.
    Crowd {
        #[command(flatten)]
        options: Options,
    },
    /// The runtime beside what was aimed for: stopping, cadence, sweeping, idling. Takes two minutes.
    Runtime {
        #[command(flatten)]
        options: Options,
    },
}

#[derive(Args)]
struct Options {
    /// Write all rows to this file as JSON, too.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Turns of each contestant, of which the medians are reported; fewer are quicker and noisier.
    #[arg(long, default_value_t = 7, value_parser = at_least(1))]
    turns: usize,
}

fn at_least(least: u64) -> RangedU64ValueParser<usize> {
    RangedU64ValueParser::new().range(least..)
}

impl Bench {
    fn options(&self) -> &Options {
        match self {
            Self::Bucket { options, .. }
            | Self::Map { options, .. }
            | Self::Cache { options, .. }
            | Self::Flight { options }
            | Self::Registry { options }
            | Self::Face { options }
            | Self::Tower { options }
            | Self::Crowd { options }
            | Self::Runtime { options } => options,
        }
    }

    fn run(&self, row: impl FnMut(Row)) {
        let turns = self.options().turns;
        match *self {
            Self::Bucket { keys, .. } => bucket::run(bucket::Effort { turns, keys }, row),
            Self::Map { keys, .. } => map::run(map::Effort { turns, keys }, row),
            Self::Cache { keys, .. } => cache::run(cache::Effort { turns, keys }, row),
            Self::Flight { .. } => flight::run(turns, row),
            Self::Registry { .. } => registry::run(turns, row),
            Self::Face { .. } => face::run(turns, row),
            Self::Tower { .. } => tower::run(turns, row),
            Self::Crowd { .. } => crowd::run(turns, row),
            Self::Runtime { .. } => runtime::run(turns, row),
        }
    }
}

fn main() -> ExitCode {
    match Arguments::parse().command {
        Command::Measure(bench) => measure(&bench),
        Command::Plot(plot) => draw(&plot),
    }
}

fn draw(Plot { rows, dir }: &Plot) -> ExitCode {
    let read = std::fs::read_to_string(rows)
        .and_then(|text| plot::pictures(&text).map_err(std::io::Error::from));
    let pictures = match read {
        Ok(pictures) => pictures,
        Err(error) => return refuse(rows, &error),
    };
    if pictures.is_empty() {
        let error = "no case has times for two numbers of keys, and there are no hits on traces";
        return refuse(rows, &std::io::Error::other(error));
    }
    if let Err(error) = std::fs::create_dir_all(dir) {
        return refuse(dir, &error);
    }
    for plot::Picture { file, svg } in pictures {
        let path = dir.join(file);
        if let Err(error) = std::fs::write(&path, svg) {
            return refuse(&path, &error);
        }
        println!("{}", path.display());
    }
    ExitCode::SUCCESS
}

fn measure(bench: &Bench) -> ExitCode {
    let Options { json, turns } = bench.options();
    // Minutes later would be too late to say so. What is there already stays until the end.
    if let Some(path) = json
        && let Err(error) = OpenOptions::new().create(true).append(true).open(path)
    {
        return refuse(path, &error);
    }
    if let Bench::Cache { traces: Some(folder), keys, .. } = bench {
        let effort = cache::Effort { turns: *turns, keys: *keys };
        let mut rows = Vec::new();
        let replayed = cache::replay::run(folder, effort, |replayed| {
            progress(&replayed.row);
            rows.push(replayed);
        });
        if let Err(error) = replayed {
            return refuse(folder, &error);
        }
        print!("{}", cache::replay::tables(&rows));
        return save(json.as_deref(), &rows);
    }
    let mut rows = Vec::new();
    bench.run(|row| {
        progress(&row);
        rows.push(row);
    });
    println!("{}", table(&rows));
    save(json.as_deref(), &rows)
}

fn progress(row: &Row) {
    let Row { case, keys, threads, ours_ns: ours, rival, rival_ns: theirs, .. } = row;
    eprintln!("{keys:>9} keys  {case} x {threads}: {ours:.2}  {rival}: {theirs:.2}");
}

/// Writes rows to a file, if there is to be one.
fn save(json: Option<&Path>, rows: &[impl Serialize]) -> ExitCode {
    let Some(path) = json else { return ExitCode::SUCCESS };
    let written = serde_json::to_vec_pretty(rows).map_err(std::io::Error::from);
    match written.and_then(|text| std::fs::write(path, text)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => refuse(path, &error),
    }
}

fn refuse(path: &Path, error: &std::io::Error) -> ExitCode {
    eprintln!("report: {}: {error}", path.display());
    ExitCode::from(2)
}

fn table(rows: &[Row]) -> Table {
    let mut table = Table::new();
    table
        .load_preset(NOTHING)
        .set_header(["case", "keys", "threads", "ours", "rival", "theirs", "ratio", "unit"]);
    for row in rows {
        table.add_row([
            row.case.clone(),
            row.keys.to_string(),
            row.threads.to_string(),
            format!("{:.2}", row.ours_ns),
            row.rival.to_owned(),
            format!("{:.2}", row.rival_ns),
            format!("{:.2}", row.ratio),
            row.unit.unwrap_or("ns").to_owned(),
        ]);
    }
    for column in [1, 2, 3, 5, 6] {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table
}
