//! One mutant against some models, each trial in a process of its own: a model that fails may abort.
//!
//! What a failure proves depends on what failed. An assertion of the model, an outcome that it does not
//! list, and what loom reports of the program (a race, a deadlock, a leak) show that the mutant is
//! wrong. A search that takes too long or has too many branches shows nothing, nor does a process that
//! dies without a word; the models that come after it are tried all the same.

use std::fmt;
use std::path::Path;
use std::process::{Command, Stdio};

use tidegate_core::model::{Place, Weakening};
use tidegate_loom_tests::{Mode, Model, Mutant, all};

use core::sync::atomic::Ordering;

/// How a weakening is told to the process that tries it.
const WEAKENINGS: &[(&str, Weakening)] = &[
    ("relaxed", Weakening::To(Ordering::Relaxed)),
    ("acquire", Weakening::To(Ordering::Acquire)),
    ("release", Weakening::To(Ordering::Release)),
    ("acqrel", Weakening::To(Ordering::AcqRel)),
    ("failure", Weakening::FailureRelaxed),
];

/// How a mode is told to the process that tries it. The faster one comes first: it kills most mutants.
const MODES: &[(&str, Mode)] = &[("rmw", Mode::Rmw), ("plain", Mode::Plain)];

/// What became of a mutant.
pub(super) struct Verdict {
    /// What killed it.
    killer: Option<Failure>,
    /// The failures that prove nothing.
    unproven: Vec<Failure>,
}

/// A model that failed.
struct Failure {
    trial: String,
    cause: Cause,
    detail: String,
}

/// What failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cause {
    /// An assertion of the model or of the sources, or an outcome that is not listed.
    Assertion,
    /// loom saw two accesses that nothing orders, or one to what is no longer there.
    Race,
    /// loom saw threads that nobody wakes.
    Deadlock,
    /// loom saw memory that nobody frees.
    Leak,
    /// loom gave up.
    Checker,
    /// The search took too long.
    TimeOut,
    /// The process ended without a word, perhaps for want of memory.
    Died,
}

impl Cause {
    const fn is_proof(self) -> bool {
        matches!(self, Self::Assertion | Self::Race | Self::Deadlock | Self::Leak)
    }

    /// What a panic at `place` shows.
    fn of(place: &str, message: &str) -> Self {
        if !place.contains("/loom-") {
            return Self::Assertion;
        }
        let reports = [
            ("Causality violation", Self::Race),
            ("currently writing to cell", Self::Race),
            ("currently reading from cell", Self::Race),
            ("deadlock", Self::Deadlock),
            ("Arc leaked", Self::Leak),
            ("Allocation leaked", Self::Leak),
        ];
        let report = reports.iter().find(|(report, _)| message.starts_with(report));
        report.map_or(Self::Checker, |&(_, cause)| cause)
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Assertion => "assertion",
            Self::Race => "race",
            Self::Deadlock => "deadlock",
            Self::Leak => "leak",
            Self::Checker => "the checker gave up",
            Self::TimeOut => "took too long",
            Self::Died => "died",
        })
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}: {}", self.trial, self.cause, self.detail)
    }
}

impl Verdict {
    pub(super) const fn is_kill(&self) -> bool {
        self.killer.is_some()
    }

    /// Says what became of `mutant`, in one write, because several threads report at once.
    pub(super) fn report(&self, mutant: &str) {
        let mut text = match &self.killer {
            Some(killer) => format!("killed    {mutant}\n          by {killer}\n"),
            None => format!("SURVIVED  {mutant}\n"),
        };
        for failure in &self.unproven {
            text.push_str(&format!("          not by {failure}\n"));
        }
        print!("{text}");
    }
}

/// Tries a mutant in `program`, which is this one, or this one built from sources that are patched.
/// Stops at the first failure that proves something.
pub(super) fn attempt<'a>(
    program: &Path,
    mutant: Option<Mutant>,
    models: impl Iterator<Item = &'a str> + Clone,
) -> Verdict {
    let trials: Vec<_> = MODES
        .iter()
        .flat_map(|(mode, _)| models.clone().map(move |model| format!("{mode}:{model}")))
        .filter(|trial| known(trial).is_none_or(|(mode, model)| model.is_for(mode)))
        .collect();
    let mut verdict = Verdict { killer: None, unproven: Vec::new() };
    let mut rest = &trials[..];
    while !rest.is_empty() {
        let Some(failure) = first_failure(program, mutant, rest) else {
            return verdict;
        };
        if failure.cause.is_proof() {
            verdict.killer = Some(failure);
            return verdict;
        }
        let failed = rest.iter().position(|trial| *trial == failure.trial);
        rest = failed.map_or(&[], |failed| &rest[failed + 1..]);
        verdict.unproven.push(failure);
    }
    verdict
}

fn first_failure(program: &Path, mutant: Option<Mutant>, trials: &[String]) -> Option<Failure> {
    // A mutant can neither hang this program nor take all memory.
    let mut trial = Command::new("sh");
    trial.args(["-c", "ulimit -v 8388608; exec timeout 900 \"$0\" \"$@\""]).arg(program).arg("try");
    if let Some(((file, line, column), weakening)) = mutant {
        let name = WEAKENINGS.iter().find(|(_, known)| *known == weakening).expect("known").0;
        trial.args(["--weaken", file, &line.to_string(), &column.to_string(), name]);
    }
    let output = trial.args(trials).stderr(Stdio::null()).output().expect("the program starts");
    if output.status.success() {
        return None;
    }
    let text = String::from_utf8_lossy(&output.stdout);
    let mut failure = Failure {
        trial: "before any model".to_owned(),
        cause: if output.status.code() == Some(124) { Cause::TimeOut } else { Cause::Died },
        detail: output.status.to_string(),
    };
    // The last model that began is the one that failed; its first panic says why.
    let mut is_first = true;
    for line in text.lines() {
        if let Some(begun) = line.strip_prefix("begins ") {
            begun.clone_into(&mut failure.trial);
            is_first = true;
        } else if let Some(panic) = line.strip_prefix("panics ")
            && is_first
        {
            let (place, message) = panic.split_once(' ').unwrap_or((panic, ""));
            failure.cause = Cause::of(place, message);
            panic.clone_into(&mut failure.detail);
            is_first = false;
        }
    }
    Some(failure)
}

/// Tries models one after the other: `[--weaken FILE LINE COLUMN HOW] MODE:MODEL ...`. Says which one
/// begins and what panics, and does not return if one fails.
pub(super) fn run(arguments: &[&str]) {
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map_or_else(String::new, ToString::to_string);
        let payload = panic.payload();
        let message = payload.downcast_ref::<&str>().copied();
        let message = message.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
        let words: Vec<_> = message.unwrap_or_default().split_whitespace().collect();
        println!("panics {place} {}", words.join(" "));
    }));
    let (mutant, trials) = match *arguments {
        ["--weaken", file, line, column, weakening, ref trials @ ..] => {
            let file: &'static str = Box::leak(file.to_owned().into_boxed_str());
            let number = |text: &str| text.parse().expect("a number");
            let place: Place = (file, number(line), number(column));
            let weakening = WEAKENINGS.iter().find(|(name, _)| *name == weakening);
            (Some((place, weakening.expect("known").1)), trials)
        }
        _ => (None, arguments),
    };
    for &trial in trials {
        println!("begins {trial}");
        let (mode, model) = known(trial).expect("a mode and a model");
        model.challenge(mode, mutant);
    }
}

/// The mode and the model that `MODE:MODEL` names.
fn known(trial: &str) -> Option<(Mode, Model)> {
    let (mode, name) = trial.split_once(':')?;
    let &(_, mode) = MODES.iter().find(|(known, _)| *known == mode)?;
    Some((mode, all().find(|model| model.name == name)?))
}
