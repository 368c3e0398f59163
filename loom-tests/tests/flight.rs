//! The models of the slot, one test a model and mode.

#![cfg(loom)]

use tidegate_loom_tests::{Mode, flight};

fn check(number: usize, mode: Mode) {
    flight::MODELS[number - 1].check(mode, None);
}

mod plain {
    use super::{Mode, check};

    #[test]
    fn f01_release_races_wait() {
        check(1, Mode::Plain);
    }

    #[test]
    fn f02_three_take_turns() {
        check(2, Mode::Plain);
    }

    #[test]
    fn f03_late_release_meets_new_claim() {
        check(3, Mode::Plain);
    }

    #[test]
    fn f04_renewal_races_supersede() {
        check(4, Mode::Plain);
    }

    #[test]
    fn f05_waiter_leaves_while_it_is_woken() {
        check(5, Mode::Plain);
    }

    #[test]
    fn f06_another_waker_races_release() {
        check(6, Mode::Plain);
    }
}

mod rmw {
    use super::{Mode, check};

    #[test]
    fn f01_release_races_wait() {
        check(1, Mode::Rmw);
    }

    #[test]
    fn f02_three_take_turns() {
        check(2, Mode::Rmw);
    }

    #[test]
    fn f03_late_release_meets_new_claim() {
        check(3, Mode::Rmw);
    }

    #[test]
    fn f04_renewal_races_supersede() {
        check(4, Mode::Rmw);
    }

    #[test]
    fn f05_waiter_leaves_while_it_is_woken() {
        check(5, Mode::Rmw);
    }

    #[test]
    fn f06_another_waker_races_release() {
        check(6, Mode::Rmw);
    }
}
