//! The atomic operations of the core: those that models execute, and those that are written.
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
    for entry in std::fs::read_dir(folder).expect("a folder of sources") {
        let path = entry.expect("an entry of a folder of sources").path();
        let name = path.file_stem().unwrap_or_default();
        if path.is_dir() {
            collect(&path, sources);
        } else if !folder.ends_with("sync") || !FACADE.iter().any(|facade| name == *facade) {
            sources.push(path);
        }
    }
}

/// Every operation in a source: a call of one of these names that is given an ordering.
fn scan(source: &Path) -> Vec<Written> {
    const OPERATIONS: &[&str] = &[
        "load",
        "store",
        "swap",
        "compare_exchange",
        "fetch_add",
        "fetch_sub",
        "fetch_and",
        "fetch_or",
        "fetch_max",
        "fence",
        "light_fence",
    ];
    let file = source.strip_prefix(root()).expect("below the root").to_string_lossy().into_owned();
    // Comments are blanked, so that every place stays what it is.
    let text: String = std::fs::read_to_string(source)
        .expect("a source")
        .lines()
        .map(|line| line.split("//").next().unwrap_or_default().to_owned() + "\n")
        .collect();
    let mut found = Vec::new();
    let mut function = String::new();
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    let bytes = text.as_bytes();
    let (mut line, mut line_start, mut at) = (1, 0, 0);
    while at < bytes.len() {
        if bytes[at] == b'\n' {
            line += 1;
            line_start = at + 1;
        }
        if !is_word(bytes[at]) {
            at += 1;
            continue;
        }
        let end = (at..bytes.len()).find(|&end| !is_word(bytes[end])).unwrap_or(bytes.len());
        let word = &text[at..end];
        let is_defined = text[..at].ends_with("fn ");
        if is_defined {
            word.clone_into(&mut function);
        } else if bytes.get(end) == Some(&b'(')
            && let Some(operation) = OPERATIONS.iter().find(|operation| **operation == word)
            && (text[end..end + length(&text[end..])].contains("Ordering::")
                || *operation == "light_fence")
        {
            let column = text[line_start..at].chars().count() as u32 + 1;
            let place = (file.clone(), line, column);
            found.push(Written { place, function: function.clone(), operation });
        }
        at = end;
    }
    found
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
