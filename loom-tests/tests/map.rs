//! The models of the map, one test a model and mode.

#![cfg(loom)]

use tidegate_loom_tests::{Mode, map};

fn check(number: usize, mode: Mode) {
    map::MODELS[number - 1].check(mode);
}

mod plain {
    use super::{Mode, check};

    #[test]
    fn m01_grow_races_insert_and_replace() {
        check(1, Mode::Plain);
    }

    #[test]
    fn m02_shrink_races_insert_and_remove() {
        check(2, Mode::Plain);
    }

    #[test]
    fn m03_grow_races_get_of_a_resident() {
        check(3, Mode::Plain);
    }

    #[test]
    fn m04_grow_races_scan() {
        check(4, Mode::Plain);
    }

    #[test]
    fn m05_shrink_races_scan() {
        check(5, Mode::Plain);
    }

    #[test]
    fn m06_sweep_races_charge() {
        check(6, Mode::Plain);
    }

    #[test]
    fn m07_grow_and_sweep_race_charge() {
        check(7, Mode::Plain);
    }

    #[test]
    fn m08_two_charge_a_swept_key() {
        check(8, Mode::Plain);
    }

    #[test]
    fn m09_two_help_one_migration() {
        check(9, Mode::Plain);
    }

    #[test]
    fn m10_remove_while_the_sibling_has_not_moved() {
        check(10, Mode::Plain);
    }

    #[test]
    fn m11_same_key_inserted_twice() {
        check(11, Mode::Plain);
    }

    #[test]
    fn m12_two_grow() {
        check(12, Mode::Plain);
    }

    #[test]
    fn m13_removed_twice() {
        check(13, Mode::Plain);
    }

    #[test]
    fn m14_update_races_update() {
        check(14, Mode::Plain);
    }

    #[test]
    fn m15_bucket_is_charged_while_it_is_given_up() {
        check(15, Mode::Plain);
    }

    #[test]
    fn m16_two_buckets_want_the_last_place() {
        check(16, Mode::Plain);
    }

    #[test]
    fn m17_iter_races_replace_of_the_only_entry() {
        check(17, Mode::Plain);
    }

    #[test]
    fn m18_iter_races_grow_and_replace() {
        check(18, Mode::Plain);
    }

    #[test]
    fn m19_two_verify_what_each_has_moved() {
        check(19, Mode::Plain);
    }

    #[test]
    fn m20_scan_races_shrink_and_a_late_insert() {
        check(20, Mode::Plain);
    }

    #[test]
    fn m21_scan_races_grow_and_a_late_insert() {
        check(21, Mode::Plain);
    }

    #[test]
    fn m22_get_of_what_one_has_filled_and_another_moved() {
        check(22, Mode::Plain);
    }

    #[test]
    fn m23_remove_before_the_source_is_marked() {
        check(23, Mode::Plain);
    }

    #[test]
    fn m24_two_clear_the_next_table() {
        check(24, Mode::Plain);
    }

    #[test]
    fn m25_two_publish_the_next_table() {
        check(25, Mode::Plain);
    }
}

mod rmw {
    use super::{Mode, check};

    #[test]
    fn m01_grow_races_insert_and_replace() {
        check(1, Mode::Rmw);
    }

    #[test]
    fn m02_shrink_races_insert_and_remove() {
        check(2, Mode::Rmw);
    }

    #[test]
    fn m03_grow_races_get_of_a_resident() {
        check(3, Mode::Rmw);
    }

    #[test]
    fn m04_grow_races_scan() {
        check(4, Mode::Rmw);
    }

    #[test]
    fn m05_shrink_races_scan() {
        check(5, Mode::Rmw);
    }

    #[test]
    fn m06_sweep_races_charge() {
        check(6, Mode::Rmw);
    }

    #[test]
    fn m07_grow_and_sweep_race_charge() {
        check(7, Mode::Rmw);
    }

    #[test]
    fn m08_two_charge_a_swept_key() {
        check(8, Mode::Rmw);
    }

    #[test]
    fn m09_two_help_one_migration() {
        check(9, Mode::Rmw);
    }

    #[test]
    fn m10_remove_while_the_sibling_has_not_moved() {
        check(10, Mode::Rmw);
    }

    #[test]
    fn m11_same_key_inserted_twice() {
        check(11, Mode::Rmw);
    }

    #[test]
    fn m12_two_grow() {
        check(12, Mode::Rmw);
    }

    #[test]
    fn m13_removed_twice() {
        check(13, Mode::Rmw);
    }

    #[test]
    fn m14_update_races_update() {
        check(14, Mode::Rmw);
    }

    #[test]
    fn m15_bucket_is_charged_while_it_is_given_up() {
        check(15, Mode::Rmw);
    }

    #[test]
    fn m16_two_buckets_want_the_last_place() {
        check(16, Mode::Rmw);
    }

    #[test]
    fn m17_iter_races_replace_of_the_only_entry() {
        check(17, Mode::Rmw);
    }

    #[test]
    fn m18_iter_races_grow_and_replace() {
        check(18, Mode::Rmw);
    }

    #[test]
    fn m19_two_verify_what_each_has_moved() {
        check(19, Mode::Rmw);
    }

    #[test]
    fn m20_scan_races_shrink_and_a_late_insert() {
        check(20, Mode::Rmw);
    }

    #[test]
    fn m21_scan_races_grow_and_a_late_insert() {
        check(21, Mode::Rmw);
    }

    #[test]
    fn m22_get_of_what_one_has_filled_and_another_moved() {
        check(22, Mode::Rmw);
    }

    #[test]
    fn m23_remove_before_the_source_is_marked() {
        check(23, Mode::Rmw);
    }

    #[test]
    fn m24_two_clear_the_next_table() {
        check(24, Mode::Rmw);
    }

    #[test]
    fn m25_two_publish_the_next_table() {
        check(25, Mode::Rmw);
    }
}
