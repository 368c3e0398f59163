//! The models of the clocks, one test a model and mode.

#![cfg(loom)]

use tidegate_loom_tests::{Mode, time};

#[test]
fn monotone_clock_read_by_two_plain() {
    time::MODELS[0].check(Mode::Plain);
}

#[test]
fn monotone_clock_read_by_two_rmw() {
    time::MODELS[0].check(Mode::Rmw);
}
