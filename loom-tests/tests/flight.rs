//! The models of the slot, one test a model and mode.

#![cfg(loom)]

use tidegate_loom_tests::{Mode, flight};

fn check(number: usize, mode: Mode) {
    flight::MODELS[number - 1].check(mode);
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

    #[test]
    fn f07_two_join_and_one_leads() {
        check(7, Mode::Plain);
    }

    #[test]
    fn f08_leader_drop_races_join() {
        check(8, Mode::Plain);
    }

    #[test]
    fn f09_late_complete_meets_new_flight() {
        check(9, Mode::Plain);
    }

    #[test]
    fn f10_follower_leaves_while_the_flight_ends() {
        check(10, Mode::Plain);
    }

    #[test]
    fn f11_place_is_used_again_while_the_flight_ends() {
        check(11, Mode::Plain);
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

    #[test]
    fn f07_two_join_and_one_leads() {
        check(7, Mode::Rmw);
    }

    #[test]
    fn f08_leader_drop_races_join() {
        check(8, Mode::Rmw);
    }

    #[test]
    fn f09_late_complete_meets_new_flight() {
        check(9, Mode::Rmw);
    }

    #[test]
    fn f10_follower_leaves_while_the_flight_ends() {
        check(10, Mode::Rmw);
    }

    #[test]
    fn f11_place_is_used_again_while_the_flight_ends() {
        check(11, Mode::Rmw);
    }
}
