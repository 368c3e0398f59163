//! The models of the bucket table, one test a model and mode.

#![cfg(loom)]

use tidegate_loom_tests::{Mode, bucket};

fn check(number: usize, mode: Mode) {
    bucket::MODELS[number - 1].check(mode);
}

mod plain {
    use super::{Mode, check};

    #[test]
    fn l01_same_key_into_an_empty_set() {
        check(1, Mode::Plain);
    }

    #[test]
    fn l02_charge_races_reclaim() {
        check(2, Mode::Plain);
    }

    #[test]
    fn l03_two_charges_race_reclaim_and_reuse() {
        check(3, Mode::Plain);
    }

    #[test]
    fn l04_two_keys_want_the_last_slot() {
        check(4, Mode::Plain);
    }

    #[test]
    fn l05_lost_claim_is_given_back() {
        check(5, Mode::Plain);
    }

    #[test]
    fn l06_close_races_charge_and_insert() {
        check(6, Mode::Plain);
    }

    #[test]
    fn l07_reset_races_charge() {
        check(7, Mode::Plain);
    }

    #[test]
    fn l08_peek_during_reclaim() {
        check(8, Mode::Plain);
    }

    #[test]
    fn l09_two_charge_while_one_reuses() {
        check(9, Mode::Plain);
    }

    #[test]
    fn l10_denial_during_reclaim() {
        check(10, Mode::Plain);
    }

    #[test]
    fn l11_sweeper_ahead_of_chargers() {
        check(11, Mode::Plain);
    }

    #[test]
    fn l12_lost_claim_meets_a_sweep() {
        check(12, Mode::Plain);
    }

    #[test]
    fn l13_refund_races_charge() {
        check(13, Mode::Plain);
    }

    #[test]
    fn l14_two_sweepers_and_an_insert() {
        check(14, Mode::Plain);
    }

    #[test]
    fn l15_overflow_word_shared_by_two() {
        check(15, Mode::Plain);
    }

    #[test]
    fn l16_claim_is_helped_where_another_key_was() {
        check(16, Mode::Plain);
    }

    #[test]
    fn l17_own_charge_is_seen_where_a_bucket_was_given_up() {
        check(17, Mode::Plain);
    }

    #[test]
    fn l18_refund_finds_the_charge_where_a_bucket_was_given_up() {
        check(18, Mode::Plain);
    }

    #[test]
    fn l19_overflow_moves_to_a_slot() {
        check(19, Mode::Plain);
    }
}

mod rmw {
    use super::{Mode, check};

    #[test]
    fn l01_same_key_into_an_empty_set() {
        check(1, Mode::Rmw);
    }

    #[test]
    fn l02_charge_races_reclaim() {
        check(2, Mode::Rmw);
    }

    #[test]
    fn l03_two_charges_race_reclaim_and_reuse() {
        check(3, Mode::Rmw);
    }

    #[test]
    fn l04_two_keys_want_the_last_slot() {
        check(4, Mode::Rmw);
    }

    #[test]
    fn l05_lost_claim_is_given_back() {
        check(5, Mode::Rmw);
    }

    #[test]
    fn l06_close_races_charge_and_insert() {
        check(6, Mode::Rmw);
    }

    #[test]
    fn l07_reset_races_charge() {
        check(7, Mode::Rmw);
    }

    #[test]
    fn l08_peek_during_reclaim() {
        check(8, Mode::Rmw);
    }

    #[test]
    fn l09_two_charge_while_one_reuses() {
        check(9, Mode::Rmw);
    }

    #[test]
    fn l10_denial_during_reclaim() {
        check(10, Mode::Rmw);
    }

    #[test]
    fn l11_sweeper_ahead_of_chargers() {
        check(11, Mode::Rmw);
    }

    #[test]
    fn l12_lost_claim_meets_a_sweep() {
        check(12, Mode::Rmw);
    }

    #[test]
    fn l13_refund_races_charge() {
        check(13, Mode::Rmw);
    }

    #[test]
    fn l14_two_sweepers_and_an_insert() {
        check(14, Mode::Rmw);
    }

    #[test]
    fn l15_overflow_word_shared_by_two() {
        check(15, Mode::Rmw);
    }

    #[test]
    fn l16_claim_is_helped_where_another_key_was() {
        check(16, Mode::Rmw);
    }

    #[test]
    fn l17_own_charge_is_seen_where_a_bucket_was_given_up() {
        check(17, Mode::Rmw);
    }

    #[test]
    fn l18_refund_finds_the_charge_where_a_bucket_was_given_up() {
        check(18, Mode::Rmw);
    }

    #[test]
    fn l19_overflow_moves_to_a_slot() {
        check(19, Mode::Rmw);
    }
}
