//! Breaks the protocols on purpose, one place at a time, and sees whether a model notices.
//!
//! Ordering mutants weaken one atomic operation at run time: every operation that the models
//! execute, by every step. Structural mutants are the patches in `loom-tests/mutants`, each applied
//! to a copy of the sources. A mutant that survives fails the run, and so does an atomic operation
//! that no model executes, unless `run/unmodelled.rs` says why.

#[cfg(loom)]
mod run;

#[cfg(loom)]
fn main() -> std::process::ExitCode {
    run::main()
}

#[cfg(not(loom))]
fn main() -> std::process::ExitCode {
    eprintln!("mutants: runs under the models only: cargo mutants");
    std::process::ExitCode::from(2)
}
