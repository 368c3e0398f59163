//! Breaks the protocols on purpose, one place at a time, and sees whether a model notices.
//!
//! Ordering mutants weaken one atomic operation at run time: every operation that the models
//! execute, by every step. Structural mutants are the patches in `loom-tests/mutants`, each applied
//! to a copy of the sources. A mutant that survives fails the run.

#[cfg(loom)]
fn main() -> std::process::ExitCode {
    run::main()
}

#[cfg(not(loom))]
fn main() -> std::process::ExitCode {
    eprintln!("mutants: runs under the models only: cargo mutants");
    std::process::ExitCode::from(2)
}

#[cfg(loom)]
mod run {
    use std::collections::BTreeMap;
    use std::path::{Path, PathBuf};
    use std::process::{Command, ExitCode, Stdio};
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tidegate_core::model::{self, Place, Site, Weakening};
    use tidegate_loom_tests::{MODULES, Mode, Model, all};

    /// The fastest first: most mutants are killed by any.
    const MODES: [Mode; 2] = [Mode::Rmw, Mode::Plain];

    pub(super) fn main() -> ExitCode {
        let arguments: Vec<_> = std::env::args().skip(1).collect();
        match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
            [] => {
                let survivors = orderings("") + structures("");
                println!("\n{survivors} survived");
                ExitCode::from(u8::from(survivors > 0))
            }
            ["orderings"] => ExitCode::from(u8::from(orderings("") > 0)),
            ["orderings", part] => ExitCode::from(u8::from(orderings(part) > 0)),
            ["structures"] => ExitCode::from(u8::from(structures("") > 0)),
            ["structures", part] => ExitCode::from(u8::from(structures(part) > 0)),
            ["models", ref modules @ ..] => {
                let asked = MODULES.iter().filter(|(name, _)| modules.contains(name));
                models(asked.flat_map(|(_, models)| models.iter().copied()), None)
            }
            ["one", file, line, column, weakening, ref names @ ..] => {
                let file: &'static str = Box::leak(file.to_owned().into_boxed_str());
                let number = |text: &str| text.parse().expect("a number");
                let weakening = WEAKENINGS.iter().find(|(name, _)| *name == weakening);
                let mutant = ((file, number(line), number(column)), weakening.expect("known").1);
                models(all().filter(|model| names.contains(&model.name)), Some(mutant))
            }
            _ => {
                eprintln!(
                    "usage: cargo mutants [orderings [PART OF A FILE'S NAME] | structures [PART OF A NAME]]"
                );
                ExitCode::from(2)
            }
        }
    }

    /// How a mutant's weakening is told to the process that tries it.
    const WEAKENINGS: &[(&str, Weakening)] = &[
        ("relaxed", Weakening::To(Ordering::Relaxed)),
        ("acquire", Weakening::To(Ordering::Acquire)),
        ("release", Weakening::To(Ordering::Release)),
        ("acqrel", Weakening::To(Ordering::AcqRel)),
        ("failure", Weakening::FailureRelaxed),
    ];

    /// Every operation, and the models that execute it.
    fn sites() -> BTreeMap<Site, Vec<&'static str>> {
        let mut sites = BTreeMap::<_, Vec<_>>::new();
        for model in all() {
            model.check(Mode::Rmw, None);
            for site in model::take_sites() {
                sites.entry(site).or_default().push(model.name);
            }
        }
        sites
    }

    /// Runs models, with a mutant if there is one, and stops at the first that fails.
    fn models(
        models: impl Iterator<Item = Model> + Clone,
        mutant: Option<(Place, Weakening)>,
    ) -> ExitCode {
        for mode in MODES {
            for model in models.clone() {
                println!("{}", model.name);
                model.check(mode, mutant);
            }
        }
        ExitCode::SUCCESS
    }

    /// Whether the comment above an operation says that its ordering is needed and that loom cannot
    /// show it.
    fn is_beyond_loom(site: &Site) -> bool {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("a workspace");
        let (file, line, _) = site.place;
        let text = std::fs::read_to_string(root.join(file)).expect("the source of a site");
        let above: Vec<_> = text.lines().take(line as usize - 1).collect();
        let comment = above.iter().rev().map(|line| line.trim_start());
        comment.take_while(|line| line.starts_with("//")).any(|line| line.contains("beyond loom"))
    }

    /// Of the operations in files whose name contains `part`: weakens one ordering after the other, each
    /// in a process of its own (a failing model may abort). Returns the survivors.
    fn orderings(part: &str) -> usize {
        let sites = sites();
        let mutants: Vec<_> = sites
            .iter()
            .filter(|(site, _)| site.place.0.contains(part))
            .flat_map(|(site, models)| {
                site.weakenings().into_iter().map(move |weakening| (site, weakening, models))
            })
            .collect();
        let next = AtomicUsize::new(0);
        let survivors = AtomicUsize::new(0);
        println!("{} ordering mutants", mutants.len());
        std::thread::scope(|scope| {
            for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
                scope.spawn(|| {
                    loop {
                        // Relaxed: work is handed out once by any order.
                        let number = next.fetch_add(1, Ordering::Relaxed);
                        let Some((site, weakening, models)) = mutants.get(number) else {
                            return;
                        };
                        let (file, line, column) = site.place;
                        if is_beyond_loom(site) {
                            println!("beyond loom: {file}:{line}, see the comment there");
                            continue;
                        }
                        let name = WEAKENINGS.iter().find(|(_, known)| known == weakening);
                        let this = std::env::current_exe().expect("this program has a path");
                        let mut run = limited(&this);
                        run.args(["one", file, &line.to_string(), &column.to_string()]);
                        run.arg(name.expect("known").0).args(models.iter());
                        let mutant =
                            format!("{file}:{line}:{column} {:?} {weakening:?}", site.kind);
                        report(&mutant, killer(&mut run), &survivors);
                    }
                });
            }
        });
        survivors.into_inner()
    }

    /// Applies one patch after the other to a copy of the workspace. Returns the survivors.
    fn structures(part: &str) -> usize {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("a workspace");
        let copy = root.join("target/mutants");
        let survivors = AtomicUsize::new(0);
        let mut patches: Vec<PathBuf> = std::fs::read_dir(root.join("loom-tests/mutants"))
            .expect("the folder of patches")
            .map(|entry| entry.expect("an entry of the folder of patches").path())
            .filter(|path| path.extension().is_some_and(|extension| extension == "patch"))
            .filter(|path| path.to_string_lossy().contains(part))
            .collect();
        patches.sort();
        println!("{} structural mutants", patches.len());
        for patch in patches {
            let source = copy.join("source");
            _ = std::fs::remove_dir_all(&source);
            replicate(root, &source).expect("a copy of the workspace");
            // `git apply` looks for a repository above; here it must not find ours.
            let applied = Command::new("git")
                .args(["apply", "--unidiff-zero"])
                .arg(&patch)
                .current_dir(&source)
                .env("GIT_CEILING_DIRECTORIES", &copy)
                .status();
            assert!(
                applied.is_ok_and(|status| status.success()),
                "{}: does not apply",
                patch.display(),
            );
            let cargo = |command: &str| {
                let mut cargo = Command::new(env!("CARGO"));
                cargo.args([command, "--quiet", "--profile", "loom", "-p", "tidegate-loom-tests"]);
                cargo.args(["--config", "build.rustflags=['--cfg','loom','--cfg','crossbeam_loom','--cfg','crossbeam_sanitize']", "--bin", "mutants"]);
                cargo.arg("--target-dir").arg(copy.join("build")).current_dir(&source);
                cargo
            };
            let built = cargo("build").status();
            assert!(built.is_ok_and(|status| status.success()), "{}: no build", patch.display());
            let name = patch.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            let modules = changed(&patch);
            let killer =
                killer(limited(&copy.join("build/loom/mutants")).arg("models").args(modules));
            report(&name, killer, &survivors);
        }
        survivors.into_inner()
    }

    /// The modules whose models are to notice what a patch changes: those it changes, and those that
    /// stand on them.
    fn changed(patch: &Path) -> Vec<&'static str> {
        let text = std::fs::read_to_string(patch).expect("a patch");
        let changes = |part: &str| text.contains(&format!("+++ b/core/src/{part}"));
        let reclaim = changes("reclaim") || changes("sync/try_lock");
        let map = changes("map/") || changes("bucket/map") || reclaim;
        let modules = [
            ("reclaim", reclaim),
            ("map", map),
            ("bucket", changes("bucket/") && !map),
            ("flight", changes("flight/")),
            ("cache", changes("cache/") || changes("map/read") || changes("map/node")),
            ("registry", changes("registry/") || changes("map/read") || changes("map/node")),
            ("runtime", text.contains("+++ b/std-runtime/src/")),
            ("time", changes("time") || changes("sync/word")),
        ];
        modules.into_iter().filter(|(_, changed)| *changed).map(|(module, _)| module).collect()
    }

    /// A run of `program` that a mutant can neither hang nor have eat all memory: either is a failure.
    fn limited(program: &Path) -> Command {
        let mut run = Command::new("sh");
        run.args(["-c", "ulimit -v 8388608; exec timeout 900 \"$0\" \"$@\""]).arg(program);
        run
    }

    /// The model that a run failed in, if it failed.
    fn killer(command: &mut Command) -> Option<String> {
        let output = command.stderr(Stdio::null()).output().expect("the program starts");
        if output.status.success() {
            return None;
        }
        let text = String::from_utf8_lossy(&output.stdout);
        let last = text.lines().rfind(|line| !line.contains(' '));
        Some(last.unwrap_or("before any model").to_owned())
    }

    fn report(mutant: &str, killer: Option<String>, survivors: &AtomicUsize) {
        match killer {
            Some(model) => println!("killed    {mutant}  by {model}"),
            None => {
                // Relaxed: a count.
                survivors.fetch_add(1, Ordering::Relaxed);
                println!("SURVIVED  {mutant}");
            }
        }
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
}
