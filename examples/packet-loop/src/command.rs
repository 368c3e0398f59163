//! The command's options.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use tidegate_packet_loop::report::{self, Row};

use crate::fleet::{self, Job, Rules};
use crate::record;

/// Polices frames by flow, one thread a processor, without a system call or an allocation on the path.
#[derive(Debug, Parser)]
#[command(after_help = "\
Examples:
  packet-loop run                                two workers, 1,000,000 flows
  packet-loop run --rules subnets --confined     two limits a frame; a system call would kill it
  packet-loop record lo.pcap                     frames of loopback (needs CAP_NET_RAW)
  packet-loop replay lo.pcap --rounds 1000
  packet-loop live veth1 --seconds 10            frames of an interface (needs root)")]
struct Command {
    #[command(subcommand)]
    source: From,
    #[command(flatten)]
    options: Options,
}

#[derive(Debug, Subcommand)]
enum From {
    /// Polices frames that are made up.
    Run {
        /// How many flows there are, each as likely as the others; at most 16,777,216.
        #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u32).range(1..=1 << 24))]
        flows: u32,
        /// How many bursts of 32 frames each worker takes.
        #[arg(long, default_value_t = 1_000_000)]
        bursts: u64,
    },
    /// Polices the frames of a capture in tcpdump's format.
    Replay {
        /// The file.
        file: PathBuf,
        /// How many times the capture is replayed.
        #[arg(long, default_value_t = 1)]
        rounds: u64,
    },
    /// Polices the frames that come to queue 0 of an interface, through AF_XDP, with one worker.
    Live {
        /// The interface's name.
        interface: String,
        /// For how long.
        #[arg(long, default_value_t = 10)]
        seconds: u64,
    },
    /// Sends datagrams over loopback, and writes a capture of them.
    Record {
        /// The file.
        file: PathBuf,
        /// How many frames.
        #[arg(long, default_value_t = 10_000)]
        frames: usize,
    },
}

#[derive(Debug, Args)]
struct Options {
    /// How many workers.
    #[arg(long, global = true, default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=1024))]
    workers: u16,
    /// What is limited: flows in a table that all workers share, flows in a table for each worker, flows
    /// and the networks of their senders, or flows in three colours by two rates.
    #[arg(long, global = true, value_enum, default_value_t = Rules::Shared)]
    rules: Rules,
    /// Bits a second for each flow.
    #[arg(long, global = true, default_value_t = 1_000_000)]
    bits: u64,
    /// The number of flows that the tables have room for.
    #[arg(long, global = true, default_value_t = 2_000_000)]
    room: usize,
    /// Lets the kernel kill the process at a system call of a worker.
    #[arg(long, global = true)]
    confined: bool,
    /// Prints JSON.
    #[arg(long, global = true)]
    json: bool,
}

/// Does what the command line says.
pub(crate) fn run() -> ExitCode {
    let command = Command::parse();
    let rows = match carry_out(&command) {
        Ok(rows) => rows,
        Err(error) => {
            eprintln!("packet-loop: {error}");
            return ExitCode::from(2);
        }
    };
    match (command.options.json, &rows) {
        (_, None) => {}
        (true, Some(rows)) => {
            println!("{}", serde_json::to_string_pretty(rows).expect("numbers and their names"));
        }
        (false, Some(rows)) => println!("{}", report::table(rows)),
    }
    // Ends workers that may not end by themselves.
    std::process::exit(0)
}

fn carry_out(
    command: &Command,
) -> Result<Option<Vec<Row>>, Box<dyn std::error::Error + Send + Sync>> {
    let options = &command.options;
    let job = Job {
        workers: options.workers.into(),
        rules: options.rules,
        bits: options.bits,
        room: options.room,
        confined: options.confined,
    };
    let done = match &command.source {
        &From::Run { flows, bursts } => fleet::synthetic(&job, flows, bursts)?,
        From::Replay { file, rounds } => fleet::capture(&job, file, *rounds)?,
        From::Live { interface, seconds } => fleet::live(&job, interface, *seconds)?,
        From::Record { file, frames } => {
            record::loopback(file, *frames)?;
            return Ok(None);
        }
    };
    Ok(Some(done.iter().enumerate().map(|(at, done)| Row::new(at, done)).collect()))
}
