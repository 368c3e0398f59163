//! The models of the registry, one test a model and mode.

#![cfg(loom)]

use tidegate_loom_tests::{Mode, registry};

fn check(number: usize, mode: Mode) {
    registry::MODELS[number - 1].check(mode);
}

mod plain {
    use super::{Mode, check};

    #[test]
    fn g01_renewal_races_expiry() {
        check(1, Mode::Plain);
    }

    #[test]
    fn g02_renewal_races_readvertise() {
        check(2, Mode::Plain);
    }

    #[test]
    fn g03_withdraw_races_renewal() {
        check(3, Mode::Plain);
    }

    #[test]
    fn g04_prune_exactly_once() {
        check(4, Mode::Plain);
    }

    #[test]
    fn g05_readvertise_races_resolve() {
        check(5, Mode::Plain);
    }

    #[test]
    fn g06_two_newcomers_one_room() {
        check(6, Mode::Plain);
    }

    #[test]
    fn g07_readvertise_in_a_full_registry() {
        check(7, Mode::Plain);
    }

    #[test]
    fn g08_lease_goes_while_the_entry_does() {
        check(8, Mode::Plain);
    }

    #[test]
    fn g09_two_merge_a_list() {
        check(9, Mode::Plain);
    }

    #[test]
    fn g10_stall_is_credited_while_time_is_read() {
        check(10, Mode::Plain);
    }

    #[test]
    fn g11_lease_outlives_the_entry() {
        check(11, Mode::Plain);
    }
}

mod rmw {
    use super::{Mode, check};

    #[test]
    fn g01_renewal_races_expiry() {
        check(1, Mode::Rmw);
    }

    #[test]
    fn g02_renewal_races_readvertise() {
        check(2, Mode::Rmw);
    }

    #[test]
    fn g03_withdraw_races_renewal() {
        check(3, Mode::Rmw);
    }

    #[test]
    fn g04_prune_exactly_once() {
        check(4, Mode::Rmw);
    }

    #[test]
    fn g05_readvertise_races_resolve() {
        check(5, Mode::Rmw);
    }

    #[test]
    fn g06_two_newcomers_one_room() {
        check(6, Mode::Rmw);
    }

    #[test]
    fn g07_readvertise_in_a_full_registry() {
        check(7, Mode::Rmw);
    }

    #[test]
    fn g08_lease_goes_while_the_entry_does() {
        check(8, Mode::Rmw);
    }

    #[test]
    fn g09_two_merge_a_list() {
        check(9, Mode::Rmw);
    }

    #[test]
    fn g10_stall_is_credited_while_time_is_read() {
        check(10, Mode::Rmw);
    }

    #[test]
    fn g11_lease_outlives_the_entry() {
        check(11, Mode::Rmw);
    }
}
