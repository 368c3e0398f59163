//! `tidegate`: rate limits tried out on real traffic, and what the library sees of memory pressure.

mod bars;
mod failure;
#[cfg(target_os = "linux")]
mod pressure;
mod replay;
mod shown;

use std::io::Write;
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{Parser, Subcommand};

use crate::failure::Failure;
use crate::shown::shown;

/// The most characters of a line that are written to standard error.
const LONGEST: usize = 1_000;

/// Tries rate limits on your traffic before they are switched on, and shows how short memory is
/// here.
#[derive(Debug, Parser)]
#[command(name = "tidegate", version, max_term_width = 100)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Replay(Box<replay::Arguments>),
    #[cfg(target_os = "linux")]
    Pressure(pressure::Arguments),
}

fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => return usage(&error),
    };
    let result = match arguments.command {
        Command::Replay(replay) => replay::run(&replay),
        #[cfg(target_os = "linux")]
        Command::Pressure(pressure) => pressure::run(&pressure).map(|()| ExitCode::SUCCESS),
    };
    match result {
        Ok(status) => status,
        Err(Failure(line)) => {
            complain(&line);
            ExitCode::from(2)
        }
    }
}

/// Writes one line to standard error, fit for a terminal. If standard error is closed, there is no
/// reader to miss the line.
fn complain(line: &str) {
    _ = writeln!(std::io::stderr(), "tidegate: {}", shown(line, LONGEST));
}

/// Prints help as it is, and a mistake as one line that names it.
fn usage(error: &clap::Error) -> ExitCode {
    if matches!(
        error.kind(),
        ErrorKind::DisplayHelp
            | ErrorKind::DisplayVersion
            | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand
    ) {
        // What fails to be printed, to a closed pipe, is not missed.
        _ = error.print();
        return ExitCode::from(if error.use_stderr() { 2 } else { 0 });
    }
    // The lines before the usage say what is wrong, and what would be right.
    let text = error.to_string();
    let lines = text.lines().map(str::trim);
    let lines =
        lines.take_while(|line| !line.starts_with("Usage:") && !line.starts_with("For more"));
    let line = lines.filter(|line| !line.is_empty()).collect::<Vec<_>>().join(" ");
    complain(line.strip_prefix("error: ").unwrap_or(&line));
    ExitCode::from(2)
}
