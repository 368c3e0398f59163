//! Prints what a benchmark measures, as a table and as JSON.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use comfy_table::presets::NOTHING;
use comfy_table::{CellAlignment, Table};
use tidegate_benches::measure::{Counting, Row};
use tidegate_benches::{bucket, cache, flight, map, registry, runtime};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Measures tidegate beside its rivals, in the same run.
#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    bench: Bench,
}

#[derive(Subcommand)]
enum Bench {
    /// Rate limiting: `BucketTable` beside governor, and beside the floor (one atomic addition to a
    /// random cache line).
    Bucket {
        #[command(flatten)]
        options: Options,
        /// The largest number of keys.
        #[arg(long, default_value_t = 8_000_000)]
        keys: usize,
    },
    /// The map beside papaya, flurry, scc and dashmap.
    Map {
        #[command(flatten)]
        options: Options,
        /// The largest number of keys.
        #[arg(long, default_value_t = 1_000_000)]
        keys: usize,
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
    /// The runtime beside what was aimed for: stopping, cadence, sweeping, idling. Takes two minutes.
    Runtime {
        #[command(flatten)]
        options: Options,
    },
    /// The cache beside moka, mini-moka, quick_cache and scc.
    Cache {
        #[command(flatten)]
        options: Options,
        /// The largest number of keys.
        #[arg(long, default_value_t = 1_000_000)]
        keys: usize,
    },
}

#[derive(Args)]
struct Options {
    /// Write the rows to this file, too.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Turns of each contestant; medians are reported.
    #[arg(long, default_value_t = 7)]
    turns: usize,
}

fn main() -> ExitCode {
    let mut rows = Vec::new();
    let row = |row: Row| {
        eprintln!("{:>9} keys  {} x {}  vs {}", row.keys, row.case, row.threads, row.rival);
        rows.push(row);
    };
    let options = match Arguments::parse().bench {
        Bench::Bucket { options, keys } => {
            bucket::run(bucket::Effort { turns: options.turns.max(1), keys }, row);
            options
        }
        Bench::Map { options, keys } => {
            map::run(map::Effort { turns: options.turns.max(1), keys }, row);
            options
        }
        Bench::Flight { options } => {
            flight::run(options.turns.max(1), row);
            options
        }
        Bench::Runtime { options } => {
            runtime::run(options.turns.max(1), row);
            options
        }
        Bench::Registry { options } => {
            registry::run(options.turns.max(1), row);
            options
        }
        Bench::Cache { options, keys } => {
            cache::run(cache::Effort { turns: options.turns.max(1), keys }, row);
            options
        }
    };
    println!("{}", table(&rows));
    if let Some(path) = options.json {
        let written = serde_json::to_vec_pretty(&rows).map_err(std::io::Error::from);
        if let Err(error) = written.and_then(|text| std::fs::write(&path, text)) {
            eprintln!("report: {}: {error}", path.display());
            return ExitCode::from(2);
        }
    }
    ExitCode::SUCCESS
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
