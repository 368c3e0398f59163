//! The models of reclamation, one test a model and mode.

#![cfg(loom)]

use tidegate_loom_tests::{Mode, reclaim};

fn check(number: usize, mode: Mode) {
    reclaim::MODELS[number - 1].check(mode);
}

mod plain {
    use super::{Mode, check};

    #[test]
    fn r01_reader_races_remove_and_collect() {
        check(1, Mode::Plain);
    }

    #[test]
    fn r02_quiescent_reader_races_remove_and_collect() {
        check(2, Mode::Plain);
    }

    #[test]
    fn r03_two_collect() {
        check(3, Mode::Plain);
    }

    #[test]
    fn r04_map_ends_while_its_garbage_is_collected() {
        check(4, Mode::Plain);
    }

    #[test]
    fn r05_guard_that_stays_is_taken_back() {
        check(5, Mode::Plain);
    }
}

mod rmw {
    use super::{Mode, check};

    #[test]
    fn r01_reader_races_remove_and_collect() {
        check(1, Mode::Rmw);
    }

    #[test]
    fn r02_quiescent_reader_races_remove_and_collect() {
        check(2, Mode::Rmw);
    }

    #[test]
    fn r03_two_collect() {
        check(3, Mode::Rmw);
    }

    #[test]
    fn r04_map_ends_while_its_garbage_is_collected() {
        check(4, Mode::Rmw);
    }

    #[test]
    fn r05_guard_that_stays_is_taken_back() {
        check(5, Mode::Rmw);
    }
}
