//! The models, one test a model and mode: `cargo loom`.

#[cfg(loom)]
fn main() -> std::process::ExitCode {
    tidegate_loom_tests::suite::main()
}

#[cfg(not(loom))]
fn main() {}
