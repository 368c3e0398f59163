//! Every model in both modes as a test: what `cargo loom` runs.
//!
//! The tests are made from [`MODULES`], so that no model can be without one.

use std::collections::BTreeSet;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::thread;
use std::time::Instant;

use crate::{MODULES, Mode, Model};

const USAGE: &str = "\
usage: cargo loom [-- [--list] [--exact] [--test-threads N] [PART OF A NAME ...]]";

/// A model in a mode.
#[derive(Clone)]
struct Test {
    name: String,
    model: Model,
    mode: Mode,
}

/// What the command line asks for.
#[derive(Default)]
struct Request {
    is_list: bool,
    is_exact: bool,
    threads: Option<usize>,
    parts: Vec<String>,
}

impl Request {
    /// Reads the arguments that cargo passes on; `None` if one of them is not known.
    fn of(mut arguments: impl Iterator<Item = String>) -> Option<Self> {
        let mut request = Self::default();
        while let Some(argument) = arguments.next() {
            match argument.as_str() {
                "--list" => request.is_list = true,
                "--exact" => request.is_exact = true,
                "--test-threads" => request.threads = Some(arguments.next()?.parse().ok()?),
                // Nothing is captured.
                "--nocapture" | "--quiet" => {}
                _ if argument.starts_with('-') => return None,
                _ => request.parts.push(argument),
            }
        }
        Some(request)
    }

    fn selects(&self, test: &Test) -> bool {
        let is_match = |part: &String| {
            if self.is_exact { test.name == *part } else { test.name.contains(part.as_str()) }
        };
        self.parts.is_empty() || self.parts.iter().any(is_match)
    }
}

/// Runs the models that the command line selects, and fails if one of them does.
pub fn main() -> ExitCode {
    let Some(request) = Request::of(std::env::args().skip(1)) else {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
    let all = tests();
    let names: BTreeSet<_> = all.iter().map(|test| &test.name).collect();
    assert_eq!(names.len(), all.len(), "two models have one name");
    let selected: Vec<_> = all.iter().filter(|test| request.selects(test)).collect();
    if request.is_list {
        selected.iter().for_each(|test| println!("{}: test", test.name));
        return ExitCode::SUCCESS;
    }
    let threads = request.threads.or_else(|| thread::available_parallelism().ok().map(usize::from));
    println!("\nrunning {} tests", selected.len());
    let (begun, mut failed) = (Instant::now(), run(&selected, threads.unwrap_or(1)));
    failed.sort_unstable();
    failed.iter().for_each(|name| println!("failed: {name}"));
    println!(
        "\ntest result: {}. {} passed; {} failed; {} filtered out; finished in {:.2?}",
        if failed.is_empty() { "ok" } else { "FAILED" },
        selected.len() - failed.len(),
        failed.len(),
        all.len() - selected.len(),
        begun.elapsed(),
    );
    ExitCode::from(u8::from(!failed.is_empty()))
}

fn tests() -> Vec<Test> {
    let of = |&(module, models): &(&str, &[Model])| {
        [("plain", Mode::Plain), ("rmw", Mode::Rmw)].map(|(name, mode)| {
            let test = |&model: &Model| Test {
                name: format!("{module}::{name}::{}", model.name),
                model,
                mode,
            };
            models.iter().filter(|model| model.is_for(mode)).map(test).collect::<Vec<_>>()
        })
    };
    MODULES.iter().flat_map(of).flatten().collect()
}

/// Runs so many tests at a time. Returns the names of those that failed.
fn run(tests: &[&Test], threads: usize) -> Vec<String> {
    let (waiting, failed) = (Mutex::new(tests.iter()), Mutex::new(Vec::new()));
    let next = || waiting.lock().unwrap_or_else(PoisonError::into_inner).next();
    let work = || {
        while let Some(&test) = next() {
            // On a thread of its own, since a model that fails leaves loom in disorder there.
            let (model, mode) = (test.model, test.mode);
            let thread = thread::Builder::new().name(test.name.clone());
            let running = thread.spawn(move || model.check(mode)).expect("a thread");
            match running.join() {
                Ok(executions) => println!("test {} ... ok, {executions} executions", test.name),
                Err(_) => {
                    println!("test {} ... FAILED", test.name);
                    failed.lock().unwrap_or_else(PoisonError::into_inner).push(test.name.clone());
                }
            }
        }
    };
    thread::scope(|scope| (0..threads.max(1)).for_each(|_| _ = scope.spawn(work)));
    failed.into_inner().unwrap_or_else(PoisonError::into_inner)
}
