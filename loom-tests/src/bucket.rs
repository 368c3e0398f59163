//! The set protocol (SETTAB) of the shared bucket table.
//!
//! A table of one set with two slots, in which a cell lasts 1 ns, so that after `k` charges of one
//! cell at one time a bucket is full again in `k` ns. Every admitted check tells its `k`, and the
//! ledger is kept from outside: the charges of a key must form chains 1, 2, 3, ... one for each
//! bucket that it had, and there were as many buckets as were given up plus those that are left. A
//! lost charge shows as the same `k` twice, a misplaced one as a chain without a beginning, a
//! duplicate as a bucket too many.
//!
//! Sweepers run with a clock far ahead of the chargers', so that buckets are given up while they
//! are being charged.
//!
//! From `l22` to `l30` it is the buckets of a map, from `l40` on several
//! limits at once, from `l60` on reservations, from `l80` on markers.

mod all;
mod map;
mod marker;
mod reserve;

use std::collections::BTreeMap;
use std::hash::{BuildHasher, Hasher};
use std::sync::Arc;
use std::time::Duration;

use tidegate_core::bucket::{Set, Unit};
use tidegate_core::{BucketTable, Budget, Decision, Instant, OnFull, Plan, Quota, Sweep};

use crate::{Model, both, race};

/// The models of this module.
pub const MODELS: &[Model] = &[
    Model {
        name: "l01_same_key_into_an_empty_set",
        preemptions: 4,
        run: same_key_into_an_empty_set,
        outcomes: both(&["1 2", "2 1"]),
    },
    Model {
        name: "l02_charge_races_reclaim",
        preemptions: 3,
        run: charge_races_reclaim,
        outcomes: both(&["1 1", "1 full", "2 1", "full 1"]),
    },
    Model {
        name: "l03_two_charges_race_reclaim_and_reuse",
        preemptions: 3,
        run: two_charges_race_reclaim_and_reuse,
        outcomes: both(&[
            "1 2 / full",
            "2 1 / full",
            "2 3 / 1",
            "2 3 / full",
            "2 full / 1",
            "full full / 1",
        ]),
    },
    Model {
        name: "l04_two_keys_want_the_last_slot",
        preemptions: 4,
        run: two_keys_want_the_last_slot,
        outcomes: both(&["1 full", "full 1"]),
    },
    Model {
        name: "l05_lost_claim_is_given_back",
        preemptions: 4,
        run: lost_claim_is_given_back,
        outcomes: both(&["1 2 then 1", "2 1 then 1"]),
    },
    Model {
        name: "l06_close_races_charge_and_insert",
        preemptions: 2,
        run: close_races_charge_and_insert,
        outcomes: both(&[
            "1 1 swept 1",
            "1 1 swept 2",
            "2 1 swept 0",
            "2 1 swept 1",
            "2 1 swept 2",
        ])
        .only_in_plain(&["1 full swept 1", "full 1 swept 1"]),
    },
    Model {
        name: "l07_reset_races_charge",
        preemptions: 4,
        run: reset_races_charge,
        outcomes: both(&["1 left 1", "3 left 0"]),
    },
    Model {
        name: "l08_peek_during_reclaim",
        preemptions: 3,
        run: peek_during_reclaim,
        outcomes: both(&["0 0", "50 0", "0 1", "50 1"]),
    },
    Model {
        name: "l09_two_charge_while_one_reuses",
        preemptions: 2,
        run: two_charge_while_one_reuses,
        outcomes: both(&["2 3 1", "3 2 1", "1 2 1", "2 1 1", "1 full 1", "full 1 1"])
            .only_in_plain(&["1 2 full", "2 1 full"]),
    },
    Model {
        name: "l10_denial_during_reclaim",
        preemptions: 4,
        run: denial_during_reclaim,
        outcomes: both(&["1 denied on 1", "denied on 5, 5"]).only_in_rmw(&["1 5"]),
    },
    Model {
        name: "l11_sweeper_ahead_of_chargers",
        preemptions: 3,
        run: sweeper_ahead_of_chargers,
        outcomes: both(&["1 1 swept 1", "1 1 swept 2"]),
    },
    Model {
        name: "l12_lost_claim_meets_a_sweep",
        preemptions: 2,
        run: lost_claim_meets_a_sweep,
        outcomes: both(&[
            "1 1 swept 1",
            "1 2 swept 0",
            "2 1 swept 0",
            "1 2 swept 1",
            "2 1 swept 1",
        ])
        .only_in_plain(&["1 full swept 0", "full 1 swept 0"]),
    },
    Model {
        name: "l13_refund_races_charge",
        preemptions: 4,
        run: refund_races_charge,
        outcomes: both(&["2 left 2", "3 left 2"]),
    },
    Model {
        name: "l14_two_sweepers_and_an_insert",
        preemptions: 2,
        run: two_sweepers_and_an_insert,
        outcomes: both(&["1 swept 1"]).only_in_rmw(&["1 swept 2"]),
    },
    Model {
        name: "l15_overflow_word_shared_by_two",
        preemptions: 3,
        run: overflow_word_shared_by_two,
        outcomes: both(&["1 2", "2 1"]),
    },
    Model {
        name: "l16_claim_is_helped_where_another_key_was",
        preemptions: 1,
        run: claim_is_helped_where_another_key_was,
        outcomes: both(&["1 2 1", "2 1 1", "full 1 1"])
            .only_in_plain(&["1 full 1", "1 2 full", "2 1 full"]),
    },
    Model {
        name: "l17_own_charge_is_seen_where_a_bucket_was_given_up",
        preemptions: 2,
        run: own_charge_is_seen_where_a_bucket_was_given_up,
        outcomes: both(&["1 seen 1", "1 seen 2"]),
    },
    Model {
        name: "l18_refund_finds_the_charge_where_a_bucket_was_given_up",
        preemptions: 2,
        run: refund_finds_the_charge_where_a_bucket_was_given_up,
        outcomes: both(&["7 left 0", "7 left 1"]),
    },
    Model {
        name: "l19_overflow_moves_to_a_slot",
        preemptions: 3,
        run: overflow_moves_to_a_slot,
        outcomes: both(&["3, 7 unplaced"]).only_in_rmw(&["3, 2 unplaced"]),
    },
    Model {
        name: "l20_last_slot_is_taken_while_the_word_is_charged",
        preemptions: 3,
        run: last_slot_is_taken_while_the_word_is_charged,
        outcomes: both(&[
            "3, 0 unplaced",
            "3, 1 unplaced",
            "3, 2 unplaced",
            "3, 3 unplaced",
            "4, 1 unplaced",
            "4, 2 unplaced",
            "4, 3 unplaced",
        ]),
    },
    Model {
        name: "l21_last_slot_is_claimed_and_not_published",
        preemptions: 3,
        run: last_slot_is_claimed_and_not_published,
        outcomes: both(&["0 unplaced", "1 unplaced"]),
    },
    Model {
        name: "l22_last_place_is_taken_while_the_word_is_charged",
        preemptions: 3,
        run: map::last_place_is_taken_while_the_word_is_charged,
        outcomes: both(&[
            "2, 0 unplaced",
            "2, 1 unplaced",
            "2, 2 unplaced",
            "3, 1 unplaced",
            "3, 2 unplaced",
        ]),
    },
    Model {
        name: "l23_charge_races_refund_of_the_charge_before",
        preemptions: 3,
        run: map::charge_races_refund_of_the_charge_before,
        outcomes: both(&["20", "30"]),
    },
    Model {
        name: "l24_denial_races_charge_and_refund",
        preemptions: 3,
        run: map::denial_races_charge_and_refund,
        outcomes: both(&["denied on 5", "denied on 7"]),
    },
    Model {
        name: "l25_two_refunds_race",
        preemptions: 3,
        run: map::two_refunds_race,
        outcomes: both(&["the second, then the third", "the third, then the second"]),
    },
    Model {
        name: "l26_refund_races_a_sweep",
        preemptions: 3,
        run: map::refund_races_a_sweep,
        outcomes: both(&["0 given up", "1 given up"]),
    },
    Model {
        name: "l27_bucket_ends_while_the_next_is_made",
        preemptions: 3,
        run: map::bucket_ends_while_the_next_is_made,
        outcomes: both(&[
            "all of it is given up",
            "the other's bucket is left",
            "nothing is given up",
        ]),
    },
    Model {
        name: "l28_refund_races_a_charge_and_its_refund",
        preemptions: 3,
        run: map::refund_races_a_charge_and_its_refund,
        outcomes: both(&["all given back"]),
    },
    Model {
        name: "l29_conversion_races_refund_and_charge",
        preemptions: 3,
        run: map::conversion_races_refund_and_charge,
        // Owing 8, the bucket looks to a charge of the former burst of 4 as if requests waited.
        outcomes: both(&["admitted, owes 2", "admitted, owes 4", "denied, owes 4"])
            .only_in_rmw(&["denied, owes 8"]),
    },
    Model {
        name: "l30_two_sweeps_end_a_bucket_while_the_next_is_made",
        preemptions: 2,
        run: map::two_sweeps_end_a_bucket_while_the_next_is_made,
        outcomes: both(&["nothing given back"]),
    },
    Model {
        name: "l31_closed_slot_is_left_to_the_next_sweep",
        preemptions: 4,
        run: closed_slot_is_left_to_the_next_sweep,
        outcomes: both(&["1 visible", "2 visible"]),
    },
    Model {
        name: "l40_two_calls_name_two_buckets_in_opposite_order",
        preemptions: 3,
        run: all::two_calls_name_two_buckets_in_opposite_order,
        outcomes: both(&["admitted contended", "admitted denied", "contended admitted"])
            .only_in_rmw(&["denied admitted"]),
    },
    Model {
        name: "l41_call_races_single_checks",
        preemptions: 3,
        run: all::call_races_single_checks,
        outcomes: both(&[
            "admitted, denied denied",
            "contended, charged charged",
            "contended, denied charged",
        ])
        .only_in_rmw(&["denied, charged charged"]),
    },
    Model {
        name: "l42_bucket_looks_as_the_charge_left_it",
        preemptions: 2,
        run: all::bucket_looks_as_the_charge_left_it,
        outcomes: both(&[
            "admitted, owes 5, lost 0",
            "contended, owes 1, lost 0",
            "contended, owes 1, lost 1",
            "contended, owes 2, lost 1",
        ])
        .only_in_rmw(&["denied, owes 1, lost 0"]),
    },
    Model {
        name: "l43_bucket_is_given_up_before_the_roll_back",
        preemptions: 2,
        run: all::bucket_is_given_up_before_the_roll_back,
        outcomes: both(&[
            "admitted, 2, owes 2",
            "admitted, 2, owes 3",
            "admitted, 3, owes 3",
            "contended, 2, owes 2",
            "denied, 2, owes 2",
        ])
        .only_in_plain(&[
            "admitted, full, owes 1",
            "contended, 3, owes 2",
            "denied, 3, owes 2",
        ]),
    },
    Model {
        name: "l44_bucket_is_named_twice",
        preemptions: 3,
        run: all::bucket_is_named_twice,
        outcomes: both(&["admitted, 1 single", "contended, 1 single"])
            .only_in_rmw(&["denied, 1 single"]),
    },
    Model {
        name: "l45_second_of_two_new_keys_finds_no_slot",
        preemptions: 2,
        run: all::second_of_two_new_keys_finds_no_slot,
        outcomes: both(&["1", "2", "full"]),
    },
    Model {
        name: "l46_two_keys_share_an_overflow_word",
        preemptions: 2,
        run: all::two_keys_share_an_overflow_word,
        outcomes: both(&["1", "3"]),
    },
    Model {
        name: "l47_charge_after_a_look_races_reclaim",
        preemptions: 3,
        run: all::charge_after_a_look_races_reclaim,
        outcomes: both(&["1 1", "1 full", "2 1", "full 1"]),
    },
    Model {
        name: "l48_denied_call_looks_during_reclaim",
        preemptions: 3,
        run: all::denied_call_looks_during_reclaim,
        outcomes: both(&["0", "7"]),
    },
    Model {
        name: "l49_time_passes_before_the_roll_back",
        preemptions: 3,
        run: all::time_passes_before_the_roll_back,
        outcomes: both(&["admitted, lost 0", "contended, lost 3"]).only_in_rmw(&["denied, lost 0"]),
    },
    Model {
        name: "l50_call_on_a_map_races_single_checks",
        preemptions: 2,
        run: all::call_on_a_map_races_single_checks,
        outcomes: both(&["admitted, denied", "contended, charged"])
            .only_in_rmw(&["denied, charged"]),
    },
    Model {
        name: "l51_bucket_of_a_map_is_given_up_before_the_roll_back",
        preemptions: 2,
        run: all::bucket_of_a_map_is_given_up_before_the_roll_back,
        outcomes: both(&[
            "admitted, 20, owes 20",
            "admitted, 30, owes 30",
            "contended, 20, owes 20",
        ])
        .only_in_rmw(&["denied, 20, owes 20"])
        .only_in_plain(&["contended, 30, owes 20"]),
    },
    Model {
        name: "l52_overtaken_call_looks_again",
        preemptions: 1,
        run: all::overtaken_call_looks_again,
        outcomes: both(&[
            "admitted, B owes 1, 0 single",
            "admitted, B owes 998, 0 single",
            "denied, B owes 10000, 1 single",
            "denied, B owes 997, 1 single",
        ])
        .only_in_plain(&[
            "contended, B owes 0, 1 single",
            "contended, B owes 997, 1 single",
            "denied, B owes 0, 1 single",
        ]),
    },
    Model {
        name: "l53_call_in_order_races_single_checks",
        preemptions: 3,
        run: all::call_in_order_races_single_checks,
        outcomes: both(&["admitted, 0 single", "contended, 1 single"])
            .only_in_rmw(&["denied, 1 single"]),
    },
    Model {
        name: "l60_two_callers_of_a_bucket_that_starts_partly_empty",
        preemptions: 3,
        run: reserve::two_callers_of_a_bucket_that_starts_partly_empty,
        outcomes: both(&["3 / denied on 3", "denied on 3 / 3"]),
    },
    Model {
        name: "l61_two_callers_begin_an_empty_bucket",
        preemptions: 3,
        run: reserve::two_callers_begin_an_empty_bucket,
        outcomes: both(&["denied on 3 / denied on 3"]),
    },
    Model {
        name: "l62_taking_races_a_charge",
        preemptions: 3,
        run: reserve::taking_races_a_charge,
        outcomes: both(&["took 3 / denied on 3", "took 2 / 1"]),
    },
    Model {
        name: "l63_settlement_races_reclaim_and_reuse",
        preemptions: 3,
        run: reserve::settlement_races_reclaim_and_reuse,
        outcomes: both(&[
            "gave 0 back, swept 1, then 1",
            "gave 1 back, swept 0, then 2",
            "gave 1 back, swept 0, then 3",
            "gave 1 back, swept 1, then 1",
            "gave 1 back, swept 1, then 2",
        ]),
    },
    Model {
        name: "l80_two_packets_for_one_green",
        preemptions: 4,
        run: marker::two_packets_for_one_green,
        outcomes: both(&["Green Yellow", "Yellow Green"]),
    },
    Model {
        name: "l81_two_packets_for_one_peak",
        preemptions: 4,
        run: marker::two_packets_for_one_peak,
        outcomes: both(&["Green Red", "Red Green"]),
    },
    Model {
        name: "l82_large_packet_races_a_small_one",
        preemptions: 4,
        run: marker::large_packet_races_a_small_one,
        outcomes: both(&["Green Yellow", "Yellow Green"]),
    },
    Model {
        name: "l83_yellow_packet_races_another",
        preemptions: 4,
        run: marker::yellow_packet_races_another,
        outcomes: both(&["Green Yellow"]),
    },
    Model {
        name: "l84_two_packets_by_the_buckets_of_a_table",
        preemptions: 3,
        run: marker::two_packets_by_the_buckets_of_a_table,
        outcomes: both(&["Green Yellow", "Yellow Green"]),
    },
];

type Table = BucketTable<Box<[Set]>, Identity>;

/// Two keys that prefer the first line, one that prefers the second, and one that fills a slot.
const A: u64 = 1;
const B: u64 = 2;
const OTHER_LINE: u64 = 1 << 6 | 3;
const RESIDENT: u64 = 1 << 6 | 4;

const EARLY: Instant = Instant::from_nanos(10);
/// Long after everything charged early is paid, but for the resident.
const LATE: Instant = Instant::from_nanos(1_000);

/// Hashes a `u64` to itself.
#[derive(Clone, Copy)]
struct Identity;

impl BuildHasher for Identity {
    type Hasher = Kept;

    fn build_hasher(&self) -> Kept {
        Kept(0)
    }
}

struct Kept(u64);

impl Hasher for Kept {
    fn write(&mut self, _bytes: &[u8]) {
        unreachable!("keys are u64")
    }

    fn write_u64(&mut self, key: u64) {
        self.0 = key;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

/// A table under test.
#[derive(Clone)]
struct Scene {
    table: Arc<Table>,
    plan: Plan,
}

impl Scene {
    fn new() -> Self {
        Self::with(10_000, OnFull::Deny)
    }

    fn with(burst: u64, policy: OnFull) -> Self {
        let quota = Quota::new(1, Duration::from_nanos(1)).and_then(|quota| quota.burst(burst));
        let plan = quota.and_then(|quota| Unit::NANOSECOND.plan(quota)).expect("an exact plan");
        let sets: Box<[Set]> = Box::new([Set::new()]);
        let table = BucketTable::over(sets, Unit::NANOSECOND, Identity);
        Self { table: Arc::new(table.grace(Duration::ZERO).on_full(policy)), plan }
    }

    /// Fills a slot for good.
    fn with_resident(self) -> Self {
        assert_eq!(self.charge_n(RESIDENT, 5_000, EARLY), Charged::To(5_000));
        self
    }

    fn charge(&self, key: u64, now: Instant) -> Charged {
        self.charge_n(key, 1, now)
    }

    fn charge_n(&self, key: u64, cost: u64, now: Instant) -> Charged {
        Charged::by(self.table.check_n(&key, &self.plan, cost, now))
    }

    fn sweep(&self, now: Instant) -> usize {
        self.table.sweeper().sweep(now, Budget::UNLIMITED).removed
    }

    /// What the key's bucket owes at `now`.
    fn debt(&self, key: u64, now: Instant) -> u64 {
        self.table.peek(&key, &self.plan, now).reset_after().as_nanos() as u64
    }

    /// Balances the books: the charges of each key, of one cell each and all at one time, after
    /// `before` charges to its first bucket; `swept` buckets given up by sweepers.
    fn balance(&self, books: &[(u64, Instant, u64, &[Charged])], swept: usize) {
        let given_up = swept + self.table.counters().reclaimed as usize;
        let (mut buckets, mut left) = (0, 0);
        for &(key, now, before, charges) in books {
            let mut count = BTreeMap::new();
            for debt in (1..=before).chain(charges.iter().filter_map(|charge| charge.debt())) {
                *count.entry(debt).or_insert(0_usize) += 1;
            }
            let first = count.get(&1).copied().unwrap_or(0);
            let mut above = first;
            for (place, (&debt, &times)) in count.iter().enumerate() {
                assert_eq!(debt, place as u64 + 1, "a charge of {key} went elsewhere: {count:?}");
                assert!(times <= above, "a charge of {key} was lost: {count:?}");
                above = times;
            }
            buckets += first;
            let debt = self.debt(key, now);
            if debt > 0 {
                assert!(count.contains_key(&debt), "{key} owes {debt}, charged {count:?}");
                left += 1;
            }
        }
        assert_eq!(buckets, given_up + left, "buckets, of which {given_up} were given up");
        assert!(self.table.len() >= left, "a bucket is there and cannot be seen");
    }
}

/// What became of a charge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Charged {
    /// Admitted; the bucket then owed so much.
    To(u64),
    /// Denied by a bucket that owed so much.
    Denied(u64),
    /// There was no slot.
    Full,
}

impl Charged {
    fn by(decision: Decision) -> Self {
        let debt = decision.reset_after().as_nanos() as u64;
        match (decision.is_admitted(), decision.is_unplaced()) {
            (true, _) => Self::To(debt),
            (false, true) => Self::Full,
            (false, false) => Self::Denied(debt),
        }
    }

    fn debt(self) -> Option<u64> {
        match self {
            Self::To(debt) => Some(debt),
            Self::Denied(_) | Self::Full => None,
        }
    }
}

impl std::fmt::Display for Charged {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::To(debt) => write!(f, "{debt}"),
            Self::Denied(debt) => write!(f, "denied on {debt}"),
            Self::Full => f.write_str("full"),
        }
    }
}

/// What a thread reports: its charges, and the buckets that it swept.
#[derive(Default)]
struct Report {
    charges: Vec<Charged>,
    swept: usize,
}

impl Report {
    fn charges(charges: impl IntoIterator<Item = Charged>) -> Self {
        Self { charges: charges.into_iter().collect(), swept: 0 }
    }

    fn swept(swept: usize) -> Self {
        Self { charges: Vec::new(), swept }
    }
}

/// Starts a thread of the race.
fn thread<T>(scene: &Scene, act: impl FnOnce(&Scene) -> T + 'static) -> Box<dyn FnOnce() -> T> {
    let scene = scene.clone();
    Box::new(move || act(&scene))
}

fn same_key_into_an_empty_set() -> String {
    let scene = Scene::new();
    let charged = race(vec![
        thread(&scene, |scene| scene.charge(A, EARLY)),
        thread(&scene, |scene| scene.charge(A, EARLY)),
    ]);
    scene.balance(&[(A, EARLY, 0, &charged)], 0);
    format!("{} {}", charged[0], charged[1])
}

fn charge_races_reclaim() -> String {
    let scene = Scene::new().with_resident();
    assert_eq!(scene.charge(A, EARLY), Charged::To(1));
    let charged = race(vec![
        thread(&scene, |scene| scene.charge(A, EARLY)),
        thread(&scene, |scene| scene.charge(B, LATE)),
    ]);
    scene.balance(&[(A, EARLY, 1, &charged[..1]), (B, LATE, 0, &charged[1..])], 0);
    assert_eq!(scene.debt(RESIDENT, EARLY), 5_000);
    format!("{} {}", charged[0], charged[1])
}

fn two_charges_race_reclaim_and_reuse() -> String {
    let scene = Scene::new().with_resident();
    assert_eq!(scene.charge(A, EARLY), Charged::To(1));
    let reports = race(vec![
        thread(&scene, |scene| Report::charges([scene.charge(A, EARLY), scene.charge(A, EARLY)])),
        thread(&scene, |scene| {
            let swept = scene.sweep(LATE);
            Report { charges: vec![scene.charge(B, EARLY)], swept }
        }),
    ]);
    scene.balance(
        &[(A, EARLY, 1, &reports[0].charges), (B, EARLY, 0, &reports[1].charges)],
        reports[1].swept,
    );
    let [first, second] = reports[0].charges[..] else { unreachable!("two charges") };
    format!("{first} {second} / {}", reports[1].charges[0])
}

fn two_keys_want_the_last_slot() -> String {
    let scene = Scene::new().with_resident();
    let charged = race(vec![
        thread(&scene, |scene| scene.charge(A, EARLY)),
        thread(&scene, |scene| scene.charge(B, EARLY)),
    ]);
    let full = charged.iter().filter(|&&charge| charge == Charged::Full).count();
    assert_eq!(full, 1, "one slot for one of two keys: {charged:?}");
    scene.balance(&[(A, EARLY, 0, &charged[..1]), (B, EARLY, 0, &charged[1..])], 0);
    format!("{} {}", charged[0], charged[1])
}

fn lost_claim_is_given_back() -> String {
    let scene = Scene::new();
    let charged = race(vec![
        thread(&scene, |scene| scene.charge(A, EARLY)),
        thread(&scene, |scene| scene.charge(A, EARLY)),
    ]);
    let then = scene.charge(OTHER_LINE, EARLY);
    assert_eq!(then, Charged::To(1), "the other slot is not free");
    scene.balance(&[(A, EARLY, 0, &charged), (OTHER_LINE, EARLY, 0, &[then])], 0);
    format!("{} {} then {then}", charged[0], charged[1])
}

fn close_races_charge_and_insert() -> String {
    let scene = Scene::new();
    assert_eq!(scene.charge(A, EARLY), Charged::To(1));
    let reports = race(vec![
        thread(&scene, |scene| Report::charges([scene.charge(A, EARLY)])),
        thread(&scene, |scene| Report::charges([scene.charge(B, EARLY)])),
        thread(&scene, |scene| Report::swept(scene.sweep(LATE))),
    ]);
    let swept = reports[2].swept;
    scene.balance(&[(A, EARLY, 1, &reports[0].charges), (B, EARLY, 0, &reports[1].charges)], swept);
    format!("{} {} swept {swept}", reports[0].charges[0], reports[1].charges[0])
}

fn reset_races_charge() -> String {
    let scene = Scene::new();
    assert_eq!(scene.charge_n(A, 2, EARLY), Charged::To(2));
    let charged = race(vec![
        thread(&scene, |scene| {
            scene.table.reset(&A, EARLY);
            Charged::Full
        }),
        thread(&scene, |scene| scene.charge(A, EARLY)),
    ]);
    let left = scene.debt(A, EARLY);
    let outcome = format!("{} left {left}", charged[1]);
    assert!(["1 left 1", "3 left 0"].contains(&&*outcome), "{outcome}");
    outcome
}

fn refund_races_charge() -> String {
    let scene = Scene::new();
    let first = scene.table.check_n(&A, &scene.plan, 2, EARLY);
    let charged = race(vec![
        thread(&scene, move |scene| {
            scene.table.refund(&A, &first, 1, EARLY);
            Charged::by(first)
        }),
        thread(&scene, |scene| scene.charge(A, EARLY)),
    ]);
    let left = scene.debt(A, EARLY);
    assert_eq!(left, 2, "2 - 1 + 1");
    format!("{} left {left}", charged[1])
}

fn peek_during_reclaim() -> String {
    let scene = Scene::new().with_resident();
    assert_eq!(scene.charge_n(A, 50, EARLY), Charged::To(50));
    let seen = race(vec![
        thread(&scene, |scene| {
            scene.sweep(LATE);
            assert_eq!(scene.charge(B, EARLY), Charged::To(1));
            (0, 0)
        }),
        thread(&scene, |scene| (scene.debt(A, EARLY), scene.debt(B, EARLY))),
    ]);
    let (a, b) = seen[1];
    assert!([0, 50].contains(&a), "A is seen to owe {a}");
    assert!([0, 1].contains(&b), "B is seen to owe {b}");
    format!("{a} {b}")
}

fn two_charge_while_one_reuses() -> String {
    let scene = Scene::new();
    assert_eq!(scene.charge(A, EARLY), Charged::To(1));
    let reports = race(vec![
        thread(&scene, |scene| Report::charges([scene.charge(A, EARLY)])),
        thread(&scene, |scene| Report::charges([scene.charge(A, EARLY)])),
        thread(&scene, |scene| {
            let swept = scene.sweep(LATE);
            Report { charges: vec![scene.charge(B, EARLY)], swept }
        }),
    ]);
    let charges = [reports[0].charges[0], reports[1].charges[0]];
    let b = &reports[2].charges;
    scene.balance(&[(A, EARLY, 1, &charges), (B, EARLY, 0, b)], reports[2].swept);
    format!("{} {} {}", charges[0], charges[1], b[0])
}

fn denial_during_reclaim() -> String {
    let scene = Scene::with(5, OnFull::Deny);
    assert_eq!(scene.charge_n(A, 5, EARLY), Charged::To(5));
    let charged = race(vec![
        thread(&scene, |scene| {
            scene.sweep(LATE);
            scene.charge(B, EARLY)
        }),
        thread(&scene, |scene| scene.charge_n(B, 5, EARLY)),
    ]);
    // Whatever denies B is B's own debt, never A's.
    match (charged[0], charged[1]) {
        (Charged::To(1), Charged::Denied(1)) => "1 denied on 1".to_owned(),
        (Charged::Denied(5), Charged::To(5)) => "denied on 5, 5".to_owned(),
        // The sweeper, being ahead, gave up B's bucket as well.
        (Charged::To(1), Charged::To(5)) => "1 5".to_owned(),
        other => panic!("{other:?}"),
    }
}

fn sweeper_ahead_of_chargers() -> String {
    let scene = Scene::new();
    let reports = race(vec![
        thread(&scene, |scene| Report::charges([scene.charge(A, EARLY)])),
        thread(&scene, |scene| {
            let charges = vec![scene.charge(B, EARLY)];
            Report { charges, swept: scene.sweep(LATE) }
        }),
    ]);
    let swept = reports[1].swept;
    scene.balance(&[(A, EARLY, 0, &reports[0].charges), (B, EARLY, 0, &reports[1].charges)], swept);
    format!("{} {} swept {swept}", reports[0].charges[0], reports[1].charges[0])
}

fn lost_claim_meets_a_sweep() -> String {
    let scene = Scene::new();
    let reports = race(vec![
        thread(&scene, |scene| Report::charges([scene.charge(A, EARLY)])),
        thread(&scene, |scene| Report::charges([scene.charge(A, EARLY)])),
        thread(&scene, |scene| Report::swept(scene.sweep(LATE))),
    ]);
    let charges = [reports[0].charges[0], reports[1].charges[0]];
    let swept = reports[2].swept;
    scene.balance(&[(A, EARLY, 0, &charges)], swept);
    format!("{} {} swept {swept}", charges[0], charges[1])
}

fn two_sweepers_and_an_insert() -> String {
    let scene = Scene::new().with_resident();
    assert_eq!(scene.charge(A, EARLY), Charged::To(1));
    let reports = race(vec![
        thread(&scene, |scene| Report::swept(scene.sweep(LATE))),
        thread(&scene, |scene| {
            let swept = scene.sweep(LATE);
            Report { charges: vec![scene.charge(B, EARLY)], swept }
        }),
    ]);
    let swept = reports[0].swept + reports[1].swept;
    scene.balance(&[(A, EARLY, 1, &[]), (B, EARLY, 0, &reports[1].charges)], swept);
    format!("{} swept {swept}", reports[1].charges[0])
}

/// A slot that was A's is claimed for B by one thread and charged first by another; A must not take
/// it for its own.
fn claim_is_helped_where_another_key_was() -> String {
    let scene = Scene::new();
    assert_eq!(scene.charge(A, EARLY), Charged::To(1));
    assert_eq!(scene.sweep(LATE), 1);
    let charged = race(vec![
        thread(&scene, |scene| scene.charge(B, EARLY)),
        thread(&scene, |scene| scene.charge(B, EARLY)),
        thread(&scene, |scene| scene.charge(A, EARLY)),
    ]);
    scene.balance(&[(A, EARLY, 1, &charged[2..]), (B, EARLY, 0, &charged[..2])], 1);
    format!("{} {} {}", charged[0], charged[1], charged[2])
}

fn closed_slot_is_left_to_the_next_sweep() -> String {
    let scene = Scene::new();
    assert_eq!(scene.charge(A, EARLY), Charged::To(1));
    let reports = race(vec![
        thread(&scene, |scene| Report::swept(scene.sweep(LATE))),
        thread(&scene, |scene| Report::charges([scene.charge(B, LATE)])),
    ]);
    assert_eq!((reports[0].swept, reports[1].charges[0]), (1, Charged::To(1)));
    // An insertion that publishes in between makes the sweep fail to unpublish what it has closed.
    let visible = scene.table.len();
    assert_eq!(scene.sweep(LATE), 0, "given up twice");
    assert_eq!(scene.table.len(), 1, "the sweep did not finish what the one before had begun");
    format!("{visible} visible")
}

fn overflow_word_shared_by_two() -> String {
    let scene = Scene::with(10_000, OnFull::Shared).with_resident();
    assert_eq!(scene.charge_n(OTHER_LINE, 5_000, EARLY), Charged::To(5_000));
    let charged = race(vec![
        thread(&scene, |scene| scene.charge(A, EARLY)),
        thread(&scene, |scene| scene.charge(A, EARLY)),
    ]);
    assert_eq!(scene.debt(A, EARLY), 2, "the shared word lost a charge");
    assert_eq!(scene.table.counters().unplaced_admitted, 2);
    format!("{} {}", charged[0], charged[1])
}

/// Who was admitted sees it, though its bucket stands behind one that was given up meanwhile.
fn own_charge_is_seen_where_a_bucket_was_given_up() -> String {
    let scene = Scene::new();
    let seen = race(vec![
        thread(&scene, |scene| {
            scene.charge(A, EARLY);
            scene.sweep(LATE);
            (Charged::Full, 0)
        }),
        thread(&scene, |scene| (scene.charge(A, LATE), scene.debt(A, LATE))),
    ]);
    let (charged, debt) = seen[1];
    assert!(charged == Charged::Full || debt >= 1, "charged {charged}, then saw {debt}");
    format!("{charged} seen {debt}")
}

/// As before, for a thread that gives its charge back.
fn refund_finds_the_charge_where_a_bucket_was_given_up() -> String {
    let scene = Scene::new();
    let charged = race(vec![
        thread(&scene, |scene| {
            scene.charge(A, EARLY);
            scene.sweep(LATE);
            Charged::Full
        }),
        thread(&scene, |scene| {
            let charged = scene.table.check_n(&A, &scene.plan, 7, LATE);
            scene.table.refund(&A, &charged, 7, LATE);
            Charged::by(charged)
        }),
    ]);
    let left = scene.debt(A, LATE);
    assert!(charged[1] == Charged::Full || left <= 1, "charged {}, owes {left}", charged[1]);
    format!("{} left {left}", charged[1])
}

/// A key that has charged the shared word finds a slot, and what it owes comes along: at most the
/// operation under way while it moves is missed.
fn overflow_moves_to_a_slot() -> String {
    let scene = Scene::with(3, OnFull::Shared);
    assert_eq!(scene.charge_n(RESIDENT, 3, EARLY), Charged::To(3));
    assert_eq!(scene.charge_n(OTHER_LINE, 3, EARLY), Charged::To(3));
    let charges = race(vec![
        thread(&scene, |scene| vec![scene.charge(A, EARLY)]),
        thread(&scene, |scene| {
            let charges = (0..2).map(|_| scene.charge(A, EARLY)).collect();
            scene.sweep(LATE);
            charges
        }),
    ]);
    let after = (0..4).map(|_| scene.charge(A, EARLY));
    let admitted =
        charges.into_iter().flatten().chain(after).filter(|charge| charge.debt().is_some());
    let admitted = admitted.count();
    assert!(admitted <= 4, "{admitted} of a burst of 3");
    format!("{admitted}, {} unplaced", scene.table.counters().unplaced)
}

/// As before, where nothing but the last slot orders the threads: a key takes it while another thread,
/// which finds none, charges the shared word.
fn last_slot_is_taken_while_the_word_is_charged() -> String {
    let scene = Scene::with(3, OnFull::Shared);
    assert_eq!(scene.charge_n(RESIDENT, 3, EARLY), Charged::To(3));
    let charges = race(vec![
        thread(&scene, |scene| vec![scene.charge(A, EARLY)]),
        thread(&scene, |scene| (0..3).map(|_| scene.charge(A, EARLY)).collect()),
    ]);
    let after = (0..4).map(|_| scene.charge(A, EARLY));
    let admitted =
        charges.into_iter().flatten().chain(after).filter(|charge| charge.debt().is_some());
    let admitted = admitted.count();
    assert!((3..=4).contains(&admitted), "{admitted} of a burst of 3");
    format!("{admitted}, {} unplaced", scene.table.counters().unplaced)
}

/// A key whose bucket is on its way into the last slot has none yet: another request for it is
/// answered as for a key without a slot.
fn last_slot_is_claimed_and_not_published() -> String {
    let scene = Scene::with(3, OnFull::Admit);
    assert_eq!(scene.charge_n(RESIDENT, 3, EARLY), Charged::To(3));
    let unplaced = race(vec![
        thread(&scene, |scene| scene.table.check(&A, &scene.plan, EARLY).is_unplaced()),
        thread(&scene, |scene| scene.table.check(&A, &scene.plan, EARLY).is_unplaced()),
    ]);
    let unplaced = unplaced.iter().filter(|&&unplaced| unplaced).count() as u64;
    assert!(unplaced <= 1, "neither found the free slot");
    // What passed uncounted is counted here.
    assert_eq!(scene.table.counters().unplaced_admitted, unplaced);
    assert_eq!(scene.debt(A, EARLY), 2 - unplaced);
    format!("{unplaced} unplaced")
}
