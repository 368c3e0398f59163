//! The models of the cache, one test a model and mode.

#![cfg(loom)]

use tidegate_loom_tests::{Mode, cache};

fn check(number: usize, mode: Mode) {
    cache::MODELS[number - 1].check(mode);
}

mod plain {
    use super::{Mode, check};

    #[test]
    fn c01_insert_at_capacity_races_insert() {
        check(1, Mode::Plain);
    }

    #[test]
    fn c02_pin_races_eviction() {
        check(2, Mode::Plain);
    }

    #[test]
    fn c03_replace_races_pin() {
        check(3, Mode::Plain);
    }

    #[test]
    fn c04_expiry_races_replacement() {
        check(4, Mode::Plain);
    }

    #[test]
    fn c05_second_chance_races_read() {
        check(5, Mode::Plain);
    }

    #[test]
    fn c06_two_evictors_one_victim() {
        check(6, Mode::Plain);
    }

    #[test]
    fn c07_replace_races_eviction() {
        check(7, Mode::Plain);
    }

    #[test]
    fn c08_listener_exactly_once() {
        check(8, Mode::Plain);
    }

    #[test]
    fn c09_last_unpin_races_the_collector() {
        check(9, Mode::Plain);
    }

    #[test]
    fn c10_segment_ends_while_it_is_pushed_to() {
        check(10, Mode::Plain);
    }

    #[test]
    fn c11_first_two_begin_the_order() {
        check(11, Mode::Plain);
    }

    #[test]
    fn c12_load_completes_while_another_asks() {
        check(12, Mode::Plain);
    }

    #[test]
    fn c13_late_value_meets_new_load() {
        check(13, Mode::Plain);
    }
}

mod rmw {
    use super::{Mode, check};

    #[test]
    fn c01_insert_at_capacity_races_insert() {
        check(1, Mode::Rmw);
    }

    #[test]
    fn c02_pin_races_eviction() {
        check(2, Mode::Rmw);
    }

    #[test]
    fn c03_replace_races_pin() {
        check(3, Mode::Rmw);
    }

    #[test]
    fn c04_expiry_races_replacement() {
        check(4, Mode::Rmw);
    }

    #[test]
    fn c05_second_chance_races_read() {
        check(5, Mode::Rmw);
    }

    #[test]
    fn c06_two_evictors_one_victim() {
        check(6, Mode::Rmw);
    }

    #[test]
    fn c07_replace_races_eviction() {
        check(7, Mode::Rmw);
    }

    #[test]
    fn c08_listener_exactly_once() {
        check(8, Mode::Rmw);
    }

    #[test]
    fn c09_last_unpin_races_the_collector() {
        check(9, Mode::Rmw);
    }

    #[test]
    fn c10_segment_ends_while_it_is_pushed_to() {
        check(10, Mode::Rmw);
    }

    #[test]
    fn c11_first_two_begin_the_order() {
        check(11, Mode::Rmw);
    }

    #[test]
    fn c12_load_completes_while_another_asks() {
        check(12, Mode::Rmw);
    }

    #[test]
    fn c13_late_value_meets_new_load() {
        check(13, Mode::Rmw);
    }
}
