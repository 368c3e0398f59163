//! The atomic operations of the core and of the counter: those that models execute, and those that are
//! written.
//!
//! An operation that no model executes is never weakened, so its ordering is untested. The report lists
//! them, and counts each that [`UNMODELLED`] gives no reason for.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use tidegate_core::model::{self, Site};
use tidegate_loom_tests::{Mode, Model, all};

use super::unmodelled::UNMODELLED;
use super::{on_all_processors, root};

/// Every operation that is executed, and the models that do.
pub(super) fn executed() -> BTreeMap<Site, Vec<&'static str>> {
    let sites = Mutex::new(BTreeMap::<_, Vec<_>>::new());
    on_all_processors(&all().collect::<Vec<_>>(), |model: &Model| {
        model.check(Mode::Rmw);
        let mut sites = sites.lock().unwrap_or_else(PoisonError::into_inner);
        for site in model::take_sites() {
            sites.entry(site).or_default().push(model.name);
        }
    });
    sites.into_inner().unwrap_or_else(PoisonError::into_inner)
}

/// An atomic operation in the text of a source.
struct Written {
    /// File, line and column, as [`Site`] has them.
    place: (String, u32, u32),
    /// The function it is in.
    function: String,
    /// The method or function that is called.
    operation: &'static str,
}

/// Lists the operations that no model executes. Returns the number of those that are not accounted for,
/// and of the reasons that are out of date.
pub(super) fn report(executed: &BTreeMap<Site, Vec<&'static str>>) -> usize {
    let mut sources = Vec::new();
    collect(&root().join("core/src"), &mut sources);
    // Of the other package, what uses the models' atomics.
    collect(&root().join("std-runtime/src/clock/counter"), &mut sources);
    sources.sort();
    let written: Vec<_> = sources.iter().flat_map(|source| scan(source)).collect();
    let is_written = |site: &&Site| {
        let (file, line, column) = site.place;
        written.iter().any(|written| written.place == (file.to_owned(), line, column))
    };
    let mut faults = 0;
    for site in executed.keys().filter(|site| !is_written(site)) {
        println!("UNKNOWN   {:?} is executed, and this report does not find it", site.place);
        faults += 1;
    }
    let is_executed = |written: &&Written| {
        let (file, line, column) = &written.place;
        executed.keys().any(|site| site.place == (file.as_str(), *line, *column))
    };
    let mut reasons: Vec<_> = UNMODELLED.iter().collect();
    let mut count = 0;
    for Written { place: (file, line, _), function, operation } in
        written.iter().filter(|written| !is_executed(written))
    {
        count += 1;
        let reason = reasons.iter().position(|reason| {
            file == reason.file && function == reason.function && *operation == reason.operation
        });
        match reason.map(|reason| reasons.swap_remove(reason)) {
            Some(known) => {
                println!("unmodelled {file}:{line} {function}, {operation}: {}", known.reason);
            }
            None => {
                println!("UNMODELLED {file}:{line} {function}, {operation}");
                faults += 1;
            }
        }
    }
    for stale in &reasons {
        let (file, function, operation) = (stale.file, stale.function, stale.operation);
        println!("STALE     {file} {function}, {operation}: is executed, or is no more");
    }
    println!("{count} of {} atomic operations are executed by no model", written.len());
    faults + reasons.len()
}

/// The sources below `folder`, but for those that stand for the atomics themselves.
fn collect(folder: &Path, sources: &mut Vec<PathBuf>) {
    const FACADE: &[&str] = &["hint", "model", "native", "portable", "shuttled", "stress"];
    // What the models play counts by the standard library's.
    const PLAYED: &[&str] = &["model", "tests"];
    for entry in std::fs::read_dir(folder).expect("a folder of sources") {
        let path = entry.expect("an entry of a folder of sources").path();
        let name = path.file_stem().unwrap_or_default();
        if path.is_dir() {
            collect(&path, sources);
        } else if !(folder.ends_with("sync") && FACADE.iter().any(|facade| name == *facade)
            || folder.ends_with("counter") && PLAYED.iter().any(|played| name == *played))
        {
            sources.push(path);
        }
    }
}

/// Calls of these names are operations, whatever they are given.
const ALWAYS: &[&str] = &[
    "compare_exchange",
    "fetch_add",
    "fetch_sub",
    "fetch_and",
    "fetch_or",
    "fetch_max",
    "light_fence",
    "matching",
];

/// Calls of these names are operations if an ordering is among what they are given.
const WITH_ORDERING: &[&str] = &["load", "store", "swap", "fence"];

/// Every operation in a source. What forwards an operation and is marked `track_caller` is none: its
/// callers are.
fn scan(source: &Path) -> Vec<Written> {
    let file = source.strip_prefix(root()).expect("below the root").to_string_lossy().into_owned();
    // Without comments, and with every place as it was.
    let text: String = std::fs::read_to_string(source)
        .expect("a source")
        .lines()
        .map(|line| line.split("//").next().unwrap_or_default().to_owned() + "\n")
        .collect();
    let (mut found, mut function) = (Vec::new(), String::new());
    let (mut will_forward, mut forwards) = (false, false);
    for (start, word) in words(&text) {
        let rest = &text[start + word.len()..];
        if text[..start].ends_with("fn ") {
            word.clone_into(&mut function);
            forwards = std::mem::take(&mut will_forward);
        } else if word == "track_caller" {
            will_forward = true;
        } else if rest.starts_with('(') && !forwards {
            let operation =
                |names: &[&'static str]| names.iter().copied().find(|name| *name == word);
            let has_ordering = || rest[..length(rest)].contains("Ordering::");
            let ordered = || operation(WITH_ORDERING).filter(|_| has_ordering());
            if let Some(operation) = operation(ALWAYS).or_else(ordered) {
                let before = &text[..start];
                let line = before.matches('\n').count() as u32 + 1;
                let column =
                    before.chars().rev().take_while(|&char| char != '\n').count() as u32 + 1;
                let place = (file.clone(), line, column);
                found.push(Written { place, function: function.clone(), operation });
            }
        }
    }
    found
}

/// The words of a text, each with where it starts.
fn words(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let is_between = |char: char| !char.is_ascii_alphanumeric() && char != '_';
    let start = |word: &str| word.as_ptr().addr() - text.as_ptr().addr();
    text.split(is_between).filter(|word| !word.is_empty()).map(move |word| (start(word), word))
}

/// The length of a list of arguments, from its opening bracket to the one that closes it.
fn length(text: &str) -> usize {
    let mut open = 0;
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'(' => open += 1,
            b')' => open -= 1,
            _ => {}
        }
        if open == 0 {
            return at;
        }
    }
    text.len()
}
