//! The models of a runtime's threads, one test a model and mode.

#![cfg(loom)]

use tidegate_loom_tests::{Mode, runtime};

fn check(number: usize, mode: Mode) {
    runtime::MODELS[number - 1].check(mode);
}

mod plain {
    use super::{Mode, check};

    #[test]
    fn s01_stop_races_the_first_run() {
        check(1, Mode::Plain);
    }

    #[test]
    fn s02_start_races_stop() {
        check(2, Mode::Plain);
    }

    #[test]
    fn s03_a_run_that_was_asked_for_meets_stop() {
        check(3, Mode::Plain);
    }

    #[test]
    fn s04_two_ask_and_share() {
        check(4, Mode::Plain);
    }

    #[test]
    fn s05_three_ask_and_share() {
        check(5, Mode::Plain);
    }

    #[test]
    fn s06_one_asks_while_the_thread_runs_it() {
        check(6, Mode::Plain);
    }

    #[test]
    fn s07_a_run_under_way_is_none_for_who_asks_anew() {
        check(7, Mode::Plain);
    }

    #[test]
    fn s08_removal_meets_a_run_that_was_asked_for() {
        check(8, Mode::Plain);
    }

    #[test]
    fn s09_what_is_added_while_the_thread_falls_asleep_is_run() {
        check(9, Mode::Plain);
    }

    #[test]
    fn s10_the_last_handle_goes_while_the_thread_runs() {
        check(10, Mode::Plain);
    }

    #[test]
    fn s11_who_stopped_it_can_start_it_while_another_stops_it() {
        check(11, Mode::Plain);
    }

    #[test]
    fn s12_stop_waits_for_the_thread_and_for_who_asked() {
        check(12, Mode::Plain);
    }

    #[test]
    fn s13_one_waits_and_two_wake() {
        check(13, Mode::Plain);
    }

    #[test]
    fn s14_who_waits_is_woken_by_a_thread_that_gives_up() {
        check(14, Mode::Plain);
    }
}

mod rmw {
    use super::{Mode, check};

    #[test]
    fn s01_stop_races_the_first_run() {
        check(1, Mode::Rmw);
    }

    #[test]
    fn s02_start_races_stop() {
        check(2, Mode::Rmw);
    }

    #[test]
    fn s03_a_run_that_was_asked_for_meets_stop() {
        check(3, Mode::Rmw);
    }

    #[test]
    fn s04_two_ask_and_share() {
        check(4, Mode::Rmw);
    }

    #[test]
    fn s05_three_ask_and_share() {
        check(5, Mode::Rmw);
    }

    #[test]
    fn s06_one_asks_while_the_thread_runs_it() {
        check(6, Mode::Rmw);
    }

    #[test]
    fn s07_a_run_under_way_is_none_for_who_asks_anew() {
        check(7, Mode::Rmw);
    }

    #[test]
    fn s08_removal_meets_a_run_that_was_asked_for() {
        check(8, Mode::Rmw);
    }

    #[test]
    fn s09_what_is_added_while_the_thread_falls_asleep_is_run() {
        check(9, Mode::Rmw);
    }

    #[test]
    fn s10_the_last_handle_goes_while_the_thread_runs() {
        check(10, Mode::Rmw);
    }

    #[test]
    fn s11_who_stopped_it_can_start_it_while_another_stops_it() {
        check(11, Mode::Rmw);
    }

    #[test]
    fn s12_stop_waits_for_the_thread_and_for_who_asked() {
        check(12, Mode::Rmw);
    }

    #[test]
    fn s13_one_waits_and_two_wake() {
        check(13, Mode::Rmw);
    }

    #[test]
    fn s14_who_waits_is_woken_by_a_thread_that_gives_up() {
        check(14, Mode::Rmw);
    }
}
