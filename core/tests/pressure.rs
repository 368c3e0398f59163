//! The pressure controller, against the cases of erllama's scheduler (E-C...) and in closed loops.

use std::time::Duration;

use tidegate_core::Instant;
use tidegate_core::pressure::{
    Controller, Outcome, PressureError, Reading, Request, Rules, Skip, Target, Unknown, Watermarks,
};

const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;
const NOW: Instant = Instant::from_secs(100);

fn marks(high: u32, low: u32) -> Watermarks {
    Watermarks::percent(high, low).expect("watermarks")
}

fn exact(marks: Watermarks) -> Rules {
    Rules::new(marks).steps(0, u64::MAX).expect("steps")
}

fn asks(rules: Rules, used: u64, total: u64) -> Option<u64> {
    match Controller::new(rules).check(Reading::new(used, total), NOW) {
        Outcome::Evict(Request { amount }) => Some(amount),
        Outcome::Skipped(skip) => {
            assert_eq!(skip, Skip::BelowWatermark);
            None
        }
    }
}

#[test]
fn e_c10_c11_watermarks_that_cannot_be_are_refused_by_name() {
    let cases = [
        (920_000, 500_000, Ok(())),
        (500_000, 900_000, Err(PressureError::LowNotBelowHigh)),
        (500_000, 500_000, Err(PressureError::LowNotBelowHigh)),
        (1_000_000, 0, Ok(())),
        (1_010_000, 500_000, Err(PressureError::HighAboveWhole)),
        // (.5, -.1) cannot be said.
    ];
    for (high, low, expected) in cases {
        assert_eq!(Watermarks::new(high, low).map(|_| ()), expected, "{high} {low}");
    }
    let named = [
        (PressureError::HighAboveWhole, "high"),
        (PressureError::LowNotBelowHigh, "low"),
        (PressureError::MaxStepIsZero, "max_step"),
        (PressureError::MinStepAboveMaxStep, "min_step"),
        (PressureError::PatienceIsZero, "patience"),
    ];
    for (error, field) in named {
        assert!(error.to_string().contains(field), "{error}");
    }
    assert_eq!(Rules::default().steps(0, 0), Err(PressureError::MaxStepIsZero));
    assert_eq!(Rules::default().steps(2, 1), Err(PressureError::MinStepAboveMaxStep));
    let never = Rules::default().give_up(0, Duration::ZERO);
    assert_eq!(never, Err(PressureError::PatienceIsZero));
    assert_eq!(Watermarks::percent(u32::MAX, 1), Err(PressureError::HighAboveWhole));
}

#[test]
fn e_c5_c7_c17_c26_c28_what_is_asked_for() {
    let cases = [
        // E-C5
        ("below", exact(marks(90, 70)), 10, 100, None),
        // E-C7: rounded up to the least step.
        ("least step", Rules::new(marks(90, 70)), 95, 100, Some(MIB)),
        ("exact", exact(marks(90, 70)), 95, 100, Some(25)),
        // E-C17: at the watermark is enough.
        ("at the mark", exact(marks(85, 75)), 85, 100, Some(10)),
        ("just below", exact(marks(85, 75)), 84, 100, None),
        // E-C26: one step to the low watermark, where erllama takes two and stops at 80.
        ("full", exact(marks(85, 75)), 100 * GIB, 100 * GIB, Some(25 * GIB)),
        ("erllama", exact(marks(85, 75)).target(Target::Span), 100, 100, Some(10)),
        ("erllama again", exact(marks(85, 75)).target(Target::Span), 90, 100, Some(10)),
        ("erllama stops", exact(marks(85, 75)).target(Target::Span), 80, 100, None),
        // E-B3: a total so small that a part of it rounds to nothing.
        ("small", exact(marks(85, 75)).target(Target::Span), 5, 5, Some(1)),
        ("the whole", exact(Watermarks::new(1_000_000, 0).expect("marks")), 7, 7, Some(7)),
        ("the largest", exact(marks(85, 75)), u64::MAX, u64::MAX, Some(u64::MAX / 4 + 1)),
    ];
    for (name, rules, used, total, expected) in cases {
        assert_eq!(asks(rules, used, total), expected, "{name}");
    }
    // E-C28: both go below what is needed, for the least step says so.
    let rules = Rules::new(marks(80, 75)).steps(GIB, u64::MAX).expect("steps");
    assert_eq!(asks(rules, 8 * GIB, 10 * GIB), Some(GIB));
    let capped = Rules::new(marks(80, 75)).steps(1, MIB).expect("steps");
    assert_eq!(asks(capped, 9 * GIB, 10 * GIB), Some(MIB));
}

#[test]
fn e_c1_c4_what_is_off_or_unknown_is_never_a_reason() {
    let mut controller = Controller::new(exact(marks(85, 75)));
    let idle = Outcome::Skipped(Skip::BelowWatermark);
    assert_eq!(controller.check(Reading::new(0, 1), NOW), idle);
    for why in [Unknown::Denied, Unknown::Unsupported, Unknown::Stale] {
        let unknown = Outcome::Skipped(Skip::Unknown(why));
        assert_eq!(controller.check(Reading::Unknown(why), NOW), unknown);
    }
    // Nothing of nothing, and more than there is.
    let garbage = Outcome::Skipped(Skip::Unknown(Unknown::Stale));
    for (used, total) in [(0, 0), (5, 0), (101, 100), (u64::MAX, 1)] {
        assert_eq!(controller.check(Reading::new(used, total), NOW), garbage);
        assert_eq!(Reading::new(used, total).share(), None);
    }
    for used in [0, 5] {
        assert_eq!(controller.check(Reading::Known { used, total: 0 }, NOW), garbage);
        assert_eq!(Reading::Known { used, total: 0 }.share(), None);
    }
    controller.enable(false);
    let off = Outcome::Skipped(Skip::Disabled);
    assert_eq!(controller.check(Reading::new(100, 100), NOW), off);
    controller.enable(true);
    assert!(matches!(controller.check(Reading::new(100, 100), NOW), Outcome::Evict(_)));
}

#[test]
fn an_unknown_reading_amid_draining_changes_nothing() {
    let mut controller = Controller::new(exact(marks(85, 75)));
    assert!(matches!(controller.check(Reading::new(90, 100), NOW), Outcome::Evict(_)));
    controller.settle(5, NOW);
    let unknown = controller.check(Reading::Unknown(Unknown::Stale), NOW);
    assert_eq!(unknown, Outcome::Skipped(Skip::Unknown(Unknown::Stale)));
    // Between the watermarks, and still on the way down.
    let on = controller.check(Reading::new(80, 100), NOW);
    assert_eq!(on, Outcome::Evict(Request { amount: 5 }));
}

#[test]
fn e4_draining_goes_on_to_the_low_mark_and_then_waits_for_the_high_one() {
    let mut controller = Controller::new(exact(marks(85, 75)));
    let idle = Outcome::Skipped(Skip::BelowWatermark);
    let mut check = |used| controller.check(Reading::new(used, 100), NOW);
    assert_eq!(check(84), idle);
    assert_eq!(check(85), Outcome::Evict(Request { amount: 10 }));
    assert_eq!(check(76), Outcome::Evict(Request { amount: 1 }));
    assert_eq!(check(75), idle);
    assert_eq!(check(76), idle);
    assert_eq!(check(84), idle);
    assert_eq!(check(86), Outcome::Evict(Request { amount: 11 }));
}

#[test]
fn e4_after_an_eviction_it_rests() {
    let rest = Duration::from_secs(3);
    let mut controller = Controller::new(exact(marks(85, 75)).cooldown(rest));
    assert!(matches!(controller.check(Reading::new(90, 100), NOW), Outcome::Evict(_)));
    // There was nothing to evict: no reason to rest.
    controller.settle(0, NOW);
    assert!(matches!(controller.check(Reading::new(90, 100), NOW), Outcome::Evict(_)));
    controller.settle(15, NOW);
    let resting = Outcome::Skipped(Skip::Cooldown { until: NOW + rest });
    assert_eq!(controller.check(Reading::new(90, 100), NOW + rest / 2), resting);
    assert!(matches!(controller.check(Reading::new(80, 100), NOW + rest), Outcome::Evict(_)));
}

/// E-B4: pressure that somebody else makes. A cache of 1,000 is not emptied for it.
#[test]
fn e4_evictions_without_effect_become_rare() {
    let rules = exact(marks(85, 75)).give_up(3, Duration::from_secs(60)).expect("rules");
    let mut controller = Controller::new(rules);
    let (mut evictions, mut ineffective) = (0, 0);
    for second in 0..600 {
        let now = NOW + Duration::from_secs(second);
        match controller.check(Reading::new(95, 100), now) {
            Outcome::Evict(request) => {
                evictions += 1;
                controller.settle(request.amount, now);
            }
            Outcome::Skipped(Skip::Ineffective { until }) => {
                assert!(until > now && until <= now + Duration::from_secs(60));
                ineffective += 1;
            }
            other => panic!("{other:?}"),
        }
    }
    // Three in a row, and then one a minute.
    assert_eq!(evictions, 3 + 9);
    assert_eq!(ineffective, 600 - evictions);

    // It helps again: back to work at once.
    let now = NOW + Duration::from_secs(603);
    let outcome = controller.check(Reading::new(95, 100), now);
    let Outcome::Skipped(Skip::Ineffective { until }) = outcome else { panic!("{outcome:?}") };
    assert!(matches!(controller.check(Reading::new(95, 100), until), Outcome::Evict(_)));
    controller.settle(4, until);
    for (second, used) in [(1, 91), (2, 87), (3, 83), (4, 79)] {
        let now = until + Duration::from_secs(second);
        assert!(matches!(controller.check(Reading::new(used, 100), now), Outcome::Evict(_)));
        controller.settle(4, now);
    }
    // And where the low mark is reached, all is forgotten.
    let now = until + Duration::from_secs(5);
    let idle = Outcome::Skipped(Skip::BelowWatermark);
    assert_eq!(controller.check(Reading::new(10, 100), now), idle);
}

/// What a source reads after each check, and what a check has evicted, for so many seconds.
fn loop_for(seconds: u64, rules: Rules, mut source: impl FnMut(u64, u64) -> Reading) -> (u64, u64) {
    let mut controller = Controller::new(rules);
    let (mut evictions, mut rests, mut evicted) = (0, 0, 0);
    for second in 0..seconds {
        let now = NOW + Duration::from_secs(second);
        let reading = source(second, std::mem::take(&mut evicted));
        match controller.check(reading, now) {
            Outcome::Evict(request) => {
                evictions += 1;
                evicted = request.amount;
                controller.settle(request.amount, now);
            }
            Outcome::Skipped(Skip::Ineffective { .. }) => rests += 1,
            Outcome::Skipped(_) => {}
        }
    }
    (evictions, rests)
}

/// What comes in between two readings is as much as what was evicted: it is found out by evicting less, more and more
/// seldom.
#[test]
fn e4_growth_is_not_taken_for_evicting_in_vain() {
    for begins_at in [5_000, 8_800] {
        let rules = exact(marks(85, 75)).give_up(3, Duration::from_secs(60)).expect("rules");
        let (mut used, mut most) = (begins_at, 0);
        let (evictions, rests) = loop_for(600, rules, |_, evicted| {
            used = used - evicted + 1_100;
            most = most.max(used);
            Reading::new(used, 10_000)
        });
        assert!(most <= 10_000, "full, from {begins_at}");
        assert!(evictions > 580 && rests <= 8, "{evictions} {rests} from {begins_at}");
    }
}

/// An eviction that changed nothing is no evidence for the next one, whatever came before it: a rise, two
/// readings close together, noise, other totals.
#[test]
fn e4_nothing_that_comes_before_makes_vain_evictions_look_useful() {
    let rules = || exact(marks(85, 75)).give_up(3, Duration::from_secs(60)).expect("rules");
    // 3 in a row, and one a minute; some more where the readings themselves go up and down.
    let rises = loop_for(600, rules(), |second, _| {
        Reading::new(if second == 0 { 5_000 } else { 9_500 }, 10_000)
    });
    assert!(rises.0 <= 3 + 10, "{rises:?}");
    let creeps = loop_for(600, rules(), |second, _| Reading::new(9_000 + second, 10_000));
    assert!(creeps.0 <= 30, "{creeps:?}");
    // Two sources in turn, of which neither is helped.
    let flips = loop_for(600, rules(), |second, _| match second % 2 {
        0 => Reading::new(6_000, 6_600),
        _ => Reading::new(230_000, 256_000),
    });
    assert!(flips.0 <= 2 * (3 + 10), "{flips:?}");
}

/// What was given up by one source's readings says nothing of another's: a machine that is full of other people's
/// memory does not keep a container from being emptied in time.
#[test]
fn e4_what_one_source_gives_up_another_does_not() {
    let rules = exact(marks(85, 75)).give_up(3, Duration::from_secs(60)).expect("rules");
    let mut controller = Controller::new(rules);
    let at = |second| NOW + Duration::from_secs(second);
    for second in 0..10 {
        if let Outcome::Evict(request) = controller.check(Reading::new(9_000, 10_000), at(second)) {
            controller.settle(request.amount, at(second));
        }
    }
    let host = controller.check(Reading::new(9_000, 10_000), at(10));
    assert!(matches!(host, Outcome::Skipped(Skip::Ineffective { .. })), "{host:?}");
    let group = controller.check(Reading::new(232, 256), at(11));
    assert_eq!(group, Outcome::Evict(Request { amount: 40 }));
    // Nor has it forgotten.
    let host = controller.check(Reading::new(9_000, 10_000), at(12));
    assert!(matches!(host, Outcome::Skipped(Skip::Ineffective { .. })), "{host:?}");
}

/// A budget that is exceeded is no garbage: all that is above the low mark is asked for at once.
#[test]
fn a_reading_above_its_total_asks_for_all_of_it() {
    let mut controller = Controller::new(exact(marks(90, 70)));
    let over = Reading::Known { used: 3_000, total: 1_000 };
    assert_eq!(controller.check(over, NOW), Outcome::Evict(Request { amount: 2_300 }));
    assert_eq!(over.share(), Some(1_000_000));
}

/// A source that shows late what was evicted: with a rest for as long, it is asked for once.
#[test]
fn e4_a_rest_is_for_sources_that_show_late() {
    let late = |rest: u64| {
        let rules = exact(marks(85, 75)).cooldown(Duration::from_secs(rest));
        let (mut shown, mut cache) = (std::collections::VecDeque::from([9_500; 4]), 6_000_u64);
        loop_for(60, rules, |_, evicted| {
            cache = cache.saturating_sub(evicted);
            shown.push_back(3_500 + cache);
            Reading::new(shown.pop_front().expect("four"), 10_000)
        });
        cache
    };
    assert_eq!(late(5), 4_000);
    assert!(late(0) < 1_000, "without, more than was needed goes");
}

/// A hundredth of what is evicted comes free, again and again: that is not called a help.
#[test]
fn e4_a_hundredth_of_an_effect_is_none() {
    let rules = exact(marks(85, 75)).give_up(2, Duration::from_secs(60)).expect("rules");
    let mut controller = Controller::new(rules);
    let (mut used, mut evicted) = (9_500_u64, 0);
    for second in 0..300 {
        let now = NOW + Duration::from_secs(second);
        if let Outcome::Evict(request) = controller.check(Reading::new(used, 10_000), now) {
            used -= request.amount / 100;
            evicted += 1;
            controller.settle(request.amount, now);
        }
    }
    assert!(evicted <= 2 + 300 / 60, "{evicted}");
}

#[test]
fn settings_change_on_the_way_and_another_source_begins_anew() {
    let mut controller = Controller::new(exact(marks(85, 75)));
    assert!(matches!(controller.check(Reading::new(90, 100), NOW), Outcome::Evict(_)));
    controller.set_rules(exact(marks(95, 80)));
    // Still on the way down, to another mark.
    let outcome = controller.check(Reading::new(90, 100), NOW);
    assert_eq!(outcome, Outcome::Evict(Request { amount: 10 }));
    controller.enable(false);
    controller.restart();
    assert!(!controller.is_enabled() && !controller.is_draining());
    controller.enable(true);
    let idle = Outcome::Skipped(Skip::BelowWatermark);
    assert_eq!(controller.check(Reading::new(90, 100), NOW), idle);
    assert_eq!(controller.rules().marks(), marks(95, 80));
}

/// E-B1: growth of more than the span between the marks a tick. erllama's target stays above the high mark
/// for ever; ours is back at the low one after each tick.
#[test]
fn a_loop_with_growth_settles_between_the_marks() {
    let settle = |target: Target, growth: u64| {
        let mut controller = Controller::new(exact(marks(85, 75)).target(target));
        let (total, mut used) = (10_000, 5_000);
        let mut after = Vec::new();
        for second in 0..100 {
            let now = NOW + Duration::from_secs(second);
            used = total.min(used + growth);
            if let Outcome::Evict(request) = controller.check(Reading::new(used, total), now) {
                used -= request.amount;
                controller.settle(request.amount, now);
            }
            after.push(used);
        }
        after.split_off(50)
    };
    // But for a pause now and then, in which it is found out that evicting helps.
    let above = settle(Target::ToLow, 1_200).iter().filter(|&&used| used > 8_500).count();
    assert!(above <= 2, "{above} of 50");
    assert!(settle(Target::ToLow, 100).iter().all(|&used| (7_400..=8_500).contains(&used)));
    assert!(settle(Target::Span, 1_200).iter().all(|&used| used > 8_500));
}

/// Memory that grows by the same amount between two checks, and what each check evicts: the highest reading, and the
/// number of checks that held.
fn grows(rules: Rules, total: u64, begins_at: u64, growth: u64) -> (u64, u64) {
    let (mut used, mut most) = (begins_at, 0);
    let (_, holds) = loop_for(600, rules, |_, evicted| {
        used = used.saturating_sub(evicted) + growth;
        most = most.max(used);
        Reading::Known { used, total }
    });
    (most, holds)
}

/// A hold never lets growth pass the total: neither at the first step above the high mark, where that covers it, nor
/// later. At +13 a tick a pause used to reach 101 of 100.
#[test]
fn steady_growth_never_passes_the_total() {
    let default = Rules::new(marks(85, 75));
    for (name, rules) in [("all at once", exact(marks(85, 75))), ("by default", default)] {
        for growth in 0..=25 {
            for begins_at in [0, 50, 74, 84] {
                // Where the high watermark is crossed, before anything was evicted.
                let crossing = (0..=100)
                    .map(|tick| begins_at + tick * growth)
                    .find(|&used| used >= 85 || growth == 0);
                let (most, holds) = grows(rules, 100 * GIB, begins_at * GIB, growth * GIB);
                let case = format!("{name}: +{growth} from {begins_at}: {} GiB", most / GIB);
                if growth <= 15 {
                    assert!(most <= 100 * GIB, "{case}");
                } else if name == "all at once" {
                    assert!(most <= 100.max(crossing.expect("it is crossed")) * GIB, "{case}");
                }
                assert!(holds <= 20, "{case}, held {holds} times");
            }
        }
    }
}

/// Growth that varies by a quarter of itself stays within the margin of a hold.
#[test]
fn growth_that_varies_a_little_never_passes_the_total() {
    for seed in 1..=50_u64 {
        let (mut random, mut used, mut most) = (seed * 7_919, 5_000, 0);
        loop_for(600, exact(marks(85, 75)), |_, evicted| {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            used = used - evicted + 1_000 + (random >> 33) % 250;
            most = most.max(used);
            Reading::Known { used, total: 10_000 }
        });
        assert!(most <= 10_000, "seed {seed}: {most}");
    }
}

/// What was evicted lowers the next reading by a part of it, and then memory is back at its own level: others take
/// what was freed. At five seconds a tick 115 of 120 checks used to evict.
#[test]
fn e4_what_comes_straight_back_is_no_help() {
    for level in [8_800, 9_000, 9_500] {
        for tenths in [3, 5, 6, 8, 9] {
            let (mut controller, mut evicted) = (Controller::new(exact(marks(85, 75))), 0);
            let (mut evictions, mut sum) = (0, 0);
            for tick in 0..120 {
                let now = NOW + Duration::from_secs(5 * tick);
                let used = level - std::mem::take(&mut evicted) * tenths / 10;
                if let Outcome::Evict(request) = controller.check(Reading::new(used, 10_000), now) {
                    evicted = request.amount;
                    (evictions, sum) = (evictions + 1, sum + evicted);
                    controller.settle(evicted, now);
                }
            }
            let case = format!("level {level}, {tenths} tenths: {evictions} evictions of {sum}");
            println!("{case}");
            assert!(evictions <= 65 && sum <= 65_000, "{case}");
        }
    }
}

/// Others hold most of the memory, above the low watermark. A small cache that fills again at once is emptied three
/// times and then once every 30 seconds, and not at every check.
#[test]
fn e4_a_cache_that_is_not_the_cause_is_left_alone() {
    // Others, the cache's size, how much it takes in between two checks of five seconds.
    for (others, size, refill) in [(90, 5, 5), (90, 5, 2), (90, 5, 1), (80, 10, 1), (80, 10, 10)] {
        let (mut controller, mut cache) = (Controller::new(exact(marks(85, 75))), size * GIB);
        let mut emptied = 0;
        for tick in 0..120 {
            let now = NOW + Duration::from_secs(5 * tick);
            let reading = Reading::new(others * GIB + cache, 100 * GIB);
            if let Outcome::Evict(request) = controller.check(reading, now) {
                let evicted = request.amount.min(cache);
                cache -= evicted;
                emptied += u64::from(evicted > 0);
                controller.settle(evicted, now);
            }
            cache = (cache + refill * GIB).min(size * GIB);
        }
        assert!(emptied <= 3 + 20, "{others} and {size}, {refill} a tick: {emptied}");
    }
}

/// Totals that take turns, however many: each is found out, and what is known of one is kept while others come.
#[test]
fn e4_any_number_of_totals_may_take_turns() {
    let rules = || exact(marks(85, 75)).give_up(3, Duration::from_secs(60)).expect("rules");
    for totals in [1, 4, 5, 9, 40, 200] {
        let vain = loop_for(1_200, rules(), |second, _| {
            let total = 10_000 + 1_000 * (second % totals);
            Reading::new(total / 100 * 95, total)
        });
        // Three of each that has a place of its own, and of all others; and then one a minute.
        let most = 5 * (3 + 21) + 2 * 1_200 / 64;
        assert!(vain.0 <= most, "{totals}: {vain:?}");
    }
    // A total without a place of its own is helped all the same.
    let mut controller = Controller::new(rules());
    for second in 0..9 {
        let now = NOW + Duration::from_secs(second);
        _ = controller.check(Reading::new(10, 1_000 + second), now);
    }
    let outcome = controller.check(Reading::new(95_000, 100_000), NOW + Duration::from_secs(9));
    assert_eq!(outcome, Outcome::Evict(Request { amount: 20_000 }));
    assert!(controller.is_draining());
}

/// Unless it is set, a step is at most what lies above the high watermark or between the two, and more only if growth
/// asks for it.
#[test]
fn a_step_is_bounded_unless_growth_would_pass_the_total() {
    let asks = |marks, used: u64| {
        let reading = Reading::Known { used: used * GIB, total: 100 * GIB };
        match Controller::new(Rules::new(marks)).check(reading, NOW) {
            Outcome::Evict(Request { amount }) => amount,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(Rules::default().max_step(), None);
    assert_eq!(asks(marks(85, 75), 88), 13 * GIB);
    assert_eq!(asks(marks(85, 75), 100), 15 * GIB);
    assert_eq!(asks(marks(90, 70), 100), 20 * GIB);
    // What is above the total goes at once.
    assert_eq!(asks(marks(90, 70), 140), 40 * GIB);
    // 84 and then 100: 16 and a quarter of it may come again.
    let mut controller = Controller::new(Rules::default());
    assert!(matches!(
        controller.check(Reading::new(84 * GIB, 100 * GIB), NOW),
        Outcome::Skipped(_)
    ));
    let outcome = controller.check(Reading::new(100 * GIB, 100 * GIB), NOW);
    assert_eq!(outcome, Outcome::Evict(Request { amount: 20 * GIB }));
    let set = Rules::default().steps(1, MIB).expect("steps");
    assert_eq!(set.max_step(), Some(MIB));
    let outcome = Controller::new(set).check(Reading::new(GIB, GIB), NOW);
    assert_eq!(outcome, Outcome::Evict(Request { amount: MIB }));
}

/// Readings at the end of what a number holds do not overflow.
#[test]
fn the_largest_readings_are_judged() {
    for total in [1, 2, 100, u64::MAX / 2, u64::MAX] {
        for used in [0, 1, total - total / 10, total, u64::MAX] {
            for evicted in [0, 1, total / 2, u64::MAX] {
                let mut controller = Controller::new(Rules::default());
                for second in 0..200 {
                    let now = NOW + Duration::from_secs(second);
                    let (used, total) = if second % 3 == 0 {
                        (used / 2, total)
                    } else {
                        (used, total - second % 2)
                    };
                    if let Outcome::Evict(request) =
                        controller.check(Reading::Known { used, total }, now)
                    {
                        assert!(request.amount > 0);
                        controller.settle(evicted, now);
                    }
                }
            }
        }
    }
}
