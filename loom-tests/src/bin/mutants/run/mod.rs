//! The commands, and how their work is shared among threads.

mod orderings;
mod sites;
mod structures;
mod trial;
mod unmodelled;

use std::path::Path;
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};

const USAGE: &str = "\
usage: cargo mutants
       cargo mutants orderings [PART OF A FILE'S NAME]
       cargo mutants structures [PART OF A PATCH'S NAME]
       cargo mutants sites";

pub(super) fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let faults = match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => {
            let sites = sites::executed();
            sites::report(&sites) + orderings::run(&sites, "") + structures::run("")
        }
        ["orderings"] => orderings::run(&sites::executed(), ""),
        ["orderings", part] => orderings::run(&sites::executed(), part),
        ["structures"] => structures::run(""),
        ["structures", part] => structures::run(part),
        ["sites"] => sites::report(&sites::executed()),
        ["try", ref arguments @ ..] => {
            trial::run(arguments);
            return ExitCode::SUCCESS;
        }
        _ => {
            eprintln!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    println!("\n{faults} survived or unaccounted for");
    ExitCode::from(u8::from(faults > 0))
}

/// The workspace whose sources are broken.
fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("a workspace")
}

/// Calls `work` with each of `items`, on as many threads as there are processors.
fn on_all_processors<T: Sync>(items: &[T], work: impl Fn(&T) + Sync) {
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                // Relaxed: an item is handed out once by any order.
                while let Some(item) = items.get(next.fetch_add(1, Ordering::Relaxed)) {
                    work(item);
                }
            });
        }
    });
}
