//! `tidegate`: rate limits tried out on real traffic, and what there is to be seen of memory
//! pressure.

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

/// The longest line that is said on standard error, in characters.
const LONGEST: usize = 1_000;

/// Rate limits, tried out on your traffic before they are switched on; and how short memory is
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

/// Says one line on standard error, fit for a terminal. If that is closed, there is no reader to
/// miss it.
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
    // What is wrong, and what would be right; without the usage that follows.
    let text = error.to_string();
    let lines = text.lines().map(str::trim);
    let lines =
        lines.take_while(|line| !line.starts_with("Usage:") && !line.starts_with("For more"));
    let line = lines.filter(|line| !line.is_empty()).collect::<Vec<_>>().join(" ");
    complain(line.strip_prefix("error: ").unwrap_or(&line));
    ExitCode::from(2)
}
