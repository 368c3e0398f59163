//! Mutants that weaken one atomic operation at run time.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};

use tidegate_core::model::Site;

use super::{on_all_processors, root, trial};

/// Weakens one ordering after the other of the operations in files whose name contains `part`, and
/// tries the models that execute them. Returns the number of survivors.
pub(super) fn run(sites: &BTreeMap<Site, Vec<&'static str>>, part: &str) -> usize {
    let this = std::env::current_exe().expect("this program has a path");
    let survivors = AtomicUsize::new(0);
    let mutants: Vec<_> = sites
        .iter()
        .filter(|(site, _)| site.place.0.contains(part))
        .flat_map(|(site, models)| {
            site.weakenings().into_iter().map(move |weakening| (site, weakening, models))
        })
        .collect();
    println!("{} ordering mutants", mutants.len());
    on_all_processors(&mutants, |&(site, weakening, models)| {
        let (file, line, column) = site.place;
        if is_beyond_loom(site) {
            println!("beyond loom: {file}:{line}, see the comment there");
            return;
        }
        let mutant = Some((site.place, weakening));
        let verdict = trial::attempt(&this, mutant, models.iter().copied());
        verdict.report(&format!("{file}:{line}:{column} {:?} {weakening:?}", site.kind));
        // Relaxed: a count, read when the threads have ended.
        survivors.fetch_add(usize::from(!verdict.is_kill()), Ordering::Relaxed);
    });
    survivors.into_inner()
}

/// Whether the comment above an operation says that its ordering is needed and that loom cannot show
/// it.
fn is_beyond_loom(site: &Site) -> bool {
    let (file, line, _) = site.place;
    let text = std::fs::read_to_string(root().join(file)).expect("the source of a site");
    let above: Vec<_> = text.lines().take(line as usize - 1).collect();
    let comment = above.iter().rev().map(|line| line.trim_start());
    comment.take_while(|line| line.starts_with("//")).any(|line| line.contains("beyond loom"))
}
