//! Mutants that are patches, each applied to a copy of the workspace.

use std::path::{Path, PathBuf};
use std::process::Command;

use tidegate_loom_tests::MODULES;

use super::{root, trial};

/// Applies one patch after the other of those whose name contains `part`, and tries the models of what
/// it changes. Returns the number of survivors.
pub(super) fn run(part: &str) -> usize {
    let copy = root().join("target/mutants");
    let mut patches: Vec<PathBuf> = std::fs::read_dir(root().join("loom-tests/mutants"))
        .expect("the folder of patches")
        .map(|entry| entry.expect("an entry of the folder of patches").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "patch"))
        .filter(|path| path.to_string_lossy().contains(part))
        .collect();
    patches.sort();
    println!("{} structural mutants", patches.len());
    let mut survivors = 0;
    for patch in patches {
        let program = build(&patch, &copy);
        let models = MODULES
            .iter()
            .filter(|(module, _)| changed(&patch).contains(module))
            .flat_map(|(_, models)| models.iter().map(|model| model.name));
        let verdict = trial::attempt(&program, None, models);
        verdict.report(&patch.file_stem().unwrap_or_default().to_string_lossy());
        survivors += usize::from(!verdict.is_kill());
    }
    survivors
}

/// Builds this program from a copy of the workspace with the patch applied, and returns its path.
fn build(patch: &Path, copy: &Path) -> PathBuf {
    let source = copy.join("source");
    _ = std::fs::remove_dir_all(&source);
    replicate(root(), &source).expect("a copy of the workspace");
    // `git apply` looks for a repository above; here it must not find ours.
    let applied = Command::new("git")
        .args(["apply", "--unidiff-zero"])
        .arg(patch)
        .current_dir(&source)
        .env("GIT_CEILING_DIRECTORIES", copy)
        .status();
    assert!(applied.is_ok_and(|status| status.success()), "{}: does not apply", patch.display());
    let built = Command::new(env!("CARGO"))
        .args(["build", "--quiet", "--profile", "loom", "-p", "tidegate-loom-tests"])
        .args(["--config", "build.rustflags=['--cfg','loom','--cfg','crossbeam_loom','--cfg','crossbeam_sanitize']"])
        .args(["--bin", "mutants", "--target-dir"])
        .arg(copy.join("build"))
        .current_dir(&source)
        .status();
    assert!(built.is_ok_and(|status| status.success()), "{}: no build", patch.display());
    copy.join("build/loom/mutants")
}

/// The modules whose models are to notice what a patch changes: those that it changes, and those that
/// stand on them.
fn changed(patch: &Path) -> Vec<&'static str> {
    let text = std::fs::read_to_string(patch).expect("a patch");
    let changes = |part: &str| text.contains(&format!("+++ b/core/src/{part}"));
    let reclaim = changes("reclaim") || changes("sync/try_lock");
    let map = changes("map/") || changes("bucket/map") || reclaim;
    let modules = [
        ("reclaim", reclaim),
        ("map", map),
        ("bucket", changes("bucket/")),
        ("flight", changes("flight/")),
        ("cache", changes("cache/") || changes("map/read") || changes("map/node")),
        ("registry", changes("registry/") || changes("map/read") || changes("map/node")),
        ("clock", text.contains("+++ b/std-runtime/src/clock/")),
        ("refresh", text.contains("+++ b/std-runtime/src/refresh/")),
        ("runtime", text.contains("+++ b/std-runtime/src/")),
        ("time", changes("time") || changes("sync/word")),
        ("timer", text.contains("+++ b/std-runtime/src/limiter/timer")),
    ];
    modules.into_iter().filter(|(_, changed)| *changed).map(|(module, _)| module).collect()
}

/// Copies the sources below `from`: everything but build outputs and version control.
fn replicate(from: &Path, to: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let name = entry.file_name();
        if name == "target" || name == ".git" {
            continue;
        }
        if entry.file_type()?.is_dir() {
            replicate(&entry.path(), &to.join(name))?;
        } else {
            std::fs::copy(entry.path(), to.join(name))?;
        }
    }
    Ok(())
}
