//! Caches that give way: the cases of erllama's scheduler (E-C...), and sources that fail in every way.

#![cfg(target_os = "linux")]

mod common;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use common::{Gate, wait_until};
use tidegate::lockfree::Cache;
use tidegate::lockfree::cache::Insert;
use tidegate::pressure::{
    Alarm, Check, Medium, Pool, Pressure, Priority, Reading, Root, Rules, Sample, Skip, Source,
    Stall, State, Target, Unknown, Watermarks, any_of, from_fn,
};
use tidegate::{
    Clock, Health, RemovalCause, RunError, Runtime, Stop, Tier, Tiers, clock, domain, pin,
    random_state,
};

type Slabs = Arc<Cache<u32, u32>>;

const RAM: Tier = Tier::new(0);
const DISK: Tier = Tier::new(7);
const LONG: Duration = Duration::from_secs(20);

fn slabs() -> Slabs {
    let builder = Cache::builder(domain(), random_state()).max_bytes(1 << 40);
    Arc::new(builder.weigher(|_, bytes: &u32| u64::from(*bytes)).build().expect("memory"))
}

/// Keys from 0 on, of these bytes.
fn fill(cache: &Slabs, bytes: &[u32], tier: Tier) {
    for (key, &bytes) in (u32::from(tier.number()) * 1_000_000..).zip(bytes) {
        let insert = Insert::new().tier(tier);
        cache.insert_with(key, bytes, insert, clock().now(), &pin()).expect("room");
    }
}

fn rules(high: u32, low: u32, least: u64) -> Rules {
    let marks = Watermarks::percent(high, low).expect("marks");
    Rules::new(marks).steps(least, u64::MAX).expect("steps")
}

/// A source of whatever is set.
#[derive(Clone)]
struct Dial(Arc<Mutex<Sample>>, Arc<AtomicU64>);

impl Dial {
    fn at(used: u64, total: u64) -> Self {
        Self(Arc::new(Mutex::new(Sample::bytes(used, total, "a dial"))), Arc::default())
    }

    fn set(&self, used: u64, total: u64) {
        *self.0.lock().unwrap() = Sample::bytes(used, total, "a dial");
    }

    fn source(&self) -> impl Source + 'static {
        let it = self.clone();
        from_fn("dial", Medium::Host, move || {
            it.1.fetch_add(1, Ordering::SeqCst);
            it.0.lock().unwrap().clone()
        })
    }

    fn samples(&self) -> u64 {
        self.1.load(Ordering::SeqCst)
    }
}

struct Setting {
    runtime: Runtime,
    pressure: Pressure,
    slabs: Slabs,
    dial: Dial,
}

/// Not started: whoever wants a check forces it.
fn setting(used: u64, total: u64, rules: Rules, tiers: Tiers) -> Setting {
    let (slabs, pool, dial) = (slabs(), Pool::new(), Dial::at(used, total));
    pool.cache("slabs", Arc::clone(&slabs), tiers, Medium::Host, Priority(0), 0).expect("a name");
    let runtime = Runtime::builder().build().expect("a runtime");
    let builder = Pressure::builder(dial.source(), &pool).rules(rules);
    let pressure = runtime.pressure("memory", builder).expect("a thread");
    Setting { runtime, pressure, slabs, dial }
}

fn evicted(check: Check) -> (u64, u64) {
    match check {
        Check::Evicted { entries, bytes, .. } => (entries, bytes),
        Check::Skipped(skip) => panic!("skipped: {skip}"),
    }
}

fn skipped(check: Check) -> Skip {
    match check {
        Check::Skipped(skip) => skip,
        other => panic!("{other}"),
    }
}

#[test]
fn e_c4_e_c16_disabled_it_neither_samples_nor_evicts_but_can_be_asked() {
    let it = setting(95, 100, rules(90, 70, 1), Tiers::ALL);
    fill(&it.slabs, &[10, 10], RAM);
    it.pressure.enable(false);
    assert_eq!(it.pressure.force_check().map(skipped), Ok(Skip::Disabled));
    assert_eq!(it.dial.samples(), 0);
    it.dial.set(42, 100);
    let sample = it.pressure.sample();
    assert_eq!(sample.reading, Reading::Known { used: 42, total: 100 });
    let status = it.pressure.status();
    assert_eq!(status.sample.and_then(|sample| sample.reading.share()), Some(420_000));
    assert!(status.sampled_at.is_some() && !status.is_enabled);
    assert_eq!((status.checks, status.evictions, it.slabs.usage().entries), (1, 0, 2));
    it.dial.set(95, 100);
    it.pressure.enable(true);
    assert_eq!(it.pressure.force_check().map(evicted), Ok((2, 20)));
}

/// E-C1, E-C2: a source that says nothing is used, and one that is asked.
#[test]
fn e_c1_e_c2_what_a_source_says_is_what_is_sampled() {
    let it = setting(0, 1, rules(85, 75, 1), Tiers::ALL);
    assert_eq!(it.pressure.sample().reading, Reading::Known { used: 0, total: 1 });
    assert_eq!(it.pressure.force_check().map(skipped), Ok(Skip::BelowWatermark));
    it.dial.set(75, 100);
    assert_eq!(it.pressure.sample().reading, Reading::Known { used: 75, total: 100 });
}

/// E-C13: watermarks that cannot be are refused where they are made, so before an interval is set.
#[test]
fn e_c13_watermarks_are_refused_before_the_interval() {
    let refused = Watermarks::percent(50, 90).map(|marks| {
        let builder = Pressure::builder(Dial::at(1, 2).source(), &Pool::new());
        builder.rules(Rules::new(marks)).interval(Duration::ZERO).map(|_| ())
    });
    assert!(refused.expect_err("refused").to_string().contains("low must be below high"));
}

#[test]
fn e_c5_e_c17_nothing_below_the_watermark_and_something_at_it() {
    let it = setting(10, 100, rules(85, 70, 1), Tiers::ALL);
    fill(&it.slabs, &[5, 5, 5, 5], RAM);
    assert_eq!(it.pressure.force_check().map(skipped), Ok(Skip::BelowWatermark));
    it.dial.set(85, 100);
    assert_eq!(it.pressure.force_check().map(evicted), Ok((3, 15)));
}

#[test]
fn e_c7_e_c8_the_least_step_and_nothing_to_evict() {
    let it = setting(95, 100, rules(90, 70, 1 << 20), Tiers::ALL);
    fill(&it.slabs, &[5, 7], RAM);
    let check = it.pressure.force_check().expect("a check");
    let Check::Evicted { entries: 2, bytes: 12, target, shortfall } = check else {
        panic!("{check:?}");
    };
    assert_eq!((target, shortfall), (1 << 20, (1 << 20) - 12));
    let before = it.pressure.status();
    assert_eq!((before.last_evicted_bytes, before.evicted_entries), (12, 2));
    assert_eq!(it.pressure.force_check().map(skipped), Ok(Skip::NothingToEvict));
    let after = it.pressure.status();
    assert_eq!(after.last_evicted_bytes, 12);
    assert_eq!(after.last_evicted_at, before.last_evicted_at);
    assert_eq!((after.checks, after.evictions), (2, 1));
}

#[test]
fn e_c14_what_lies_in_another_tier_stays() {
    let it = setting(95, 100, rules(90, 70, 1), Tiers::of(&[RAM]));
    fill(&it.slabs, &[1_024], DISK);
    assert_eq!(it.pressure.force_check().map(skipped), Ok(Skip::NothingToEvict));
    assert_eq!(it.slabs.usage().entries, 1);
}

/// E-B5: pressure on a device never costs what is held in the machine's memory.
#[test]
fn e_b5_only_what_the_source_measures_gives_way() {
    let it = setting(10, 100, rules(90, 70, 1), Tiers::of(&[RAM]));
    fill(&it.slabs, &[50], RAM);
    let gpu = from_fn("gpu", Medium::Device(0), || Sample::bytes(99, 100, "a dial"));
    it.pressure.set_source(gpu).expect("a thread");
    assert_eq!(it.pressure.force_check().map(skipped), Ok(Skip::NothingToEvict));
    assert_eq!((it.slabs.usage().bytes, it.pressure.status().source), (50, "gpu".to_owned()));
}

/// E-B6: the device that is full is seen beside others that are not, for each has a source of its own.
#[test]
fn e_b6_each_device_has_caches_of_its_own() {
    let (a, b, pool) = (slabs(), slabs(), Pool::new());
    for (device, cache) in [(0, &a), (1, &b)] {
        let medium = Medium::Device(device);
        let name = format!("gpu {device}");
        pool.cache(&name, Arc::clone(cache), Tiers::ALL, medium, Priority(0), 0).expect("a name");
        fill(cache, &[40; 10], RAM);
    }
    let runtime = Runtime::builder().build().expect("a runtime");
    for (device, used) in [(0, 99), (1, 10)] {
        let source =
            from_fn("gpu", Medium::Device(device), move || Sample::bytes(used, 100, "a dial"));
        let builder = Pressure::builder(source, &pool).rules(rules(90, 70, 1));
        let pressure = runtime.pressure(&format!("gpu {device}"), builder).expect("a thread");
        _ = pressure.force_check().expect("a check");
    }
    assert_eq!((a.usage().bytes, b.usage().bytes), (360, 400));
}

#[test]
fn e_c26_one_check_reaches_the_low_mark_and_erllamas_target_does_not() {
    let gib = 1 << 30;
    for (target, freed) in [(Target::ToLow, 25), (Target::Span, 10)] {
        let it = setting(100 * gib, 100 * gib, rules(85, 75, 1).target(target), Tiers::ALL);
        fill(&it.slabs, &[1 << 30; 100], RAM);
        assert_eq!(it.pressure.force_check().map(evicted), Ok((freed, freed * gib)));
    }
}

#[test]
fn lower_priorities_give_way_first_and_equal_ones_in_proportion() {
    let pool = Pool::new();
    let caches = [(0, 300), (1, 100), (1, 300), (2, 100)].map(|(priority, bytes)| {
        let cache = slabs();
        fill(&cache, &vec![1; bytes], RAM);
        let name = format!("{priority} with {bytes}");
        let added =
            pool.cache(&name, Arc::clone(&cache), Tiers::ALL, Medium::Host, Priority(priority), 0);
        added.expect("a name");
        cache
    });
    let held = || caches.each_ref().map(|cache| cache.usage().bytes);
    let dial = Dial::at(1_000, 1_000);
    let runtime = Runtime::builder().build().expect("a runtime");
    let builder = Pressure::builder(dial.source(), &pool).rules(rules(90, 60, 1));
    let pressure = runtime.pressure("memory", builder).expect("a thread");
    assert_eq!(pressure.force_check().map(evicted), Ok((400, 400)));
    assert_eq!(held(), [0, 75, 225, 100]);
    // All of the next, and then the last.
    dial.set(950, 1_000);
    assert_eq!(pressure.force_check().map(evicted), Ok((350, 350)));
    assert_eq!(held(), [0, 0, 0, 50]);
    let taken = pool.cache("2 with 100", slabs(), Tiers::ALL, Medium::Host, Priority(0), 0);
    assert_eq!(taken.expect_err("taken").field(), "name");
    assert!(pool.remove("2 with 100") && !pool.remove("2 with 100"));
    assert_eq!(pool.bytes(Medium::Host), 0);
}

/// A budget that several caches share is a source like others.
#[test]
fn a_budget_is_shared() {
    let (a, b, pool) = (slabs(), slabs(), Pool::new());
    pool.cache("a", Arc::clone(&a), Tiers::ALL, Medium::Host, Priority(0), 0).expect("a name");
    pool.cache("b", Arc::clone(&b), Tiers::ALL, Medium::Host, Priority(1), 0).expect("a name");
    let source = pool.budget(Medium::Host, 1_000);
    let runtime = Runtime::builder().build().expect("a runtime");
    let builder = Pressure::builder(source, &pool).rules(rules(90, 70, 1));
    let pressure = runtime.pressure("budget", builder).expect("a thread");
    fill(&a, &[1; 400], RAM);
    fill(&b, &[1; 450], RAM);
    assert_eq!(pressure.force_check().map(skipped), Ok(Skip::BelowWatermark));
    fill(&b, &[1; 550], RAM);
    assert_eq!(pressure.force_check().map(evicted), Ok((250, 250)));
    assert_eq!((a.usage().bytes, b.usage().bytes), (150, 550));
}

/// More than the budget is held: what is above the low mark goes at once, and no more is left for later.
#[test]
fn a_budget_that_is_exceeded_is_kept_by_the_next_check() {
    let (cache, pool) = (slabs(), Pool::new());
    pool.cache("it", Arc::clone(&cache), Tiers::ALL, Medium::Host, Priority(0), 0).expect("ok");
    fill(&cache, &[1; 3_000], RAM);
    let runtime = Runtime::builder().build().expect("a runtime");
    let builder = Pressure::builder(pool.budget(Medium::Host, 1_000), &pool);
    let pressure = runtime.pressure("budget", builder.rules(rules(90, 70, 1))).expect("threads");
    assert_eq!(pressure.force_check().map(evicted), Ok((2_300, 2_300)));
    assert_eq!(cache.usage().bytes, 700);
    let taken = runtime.pressure("budget", Pressure::builder(Dial::at(1, 2).source(), &pool));
    assert!(taken.is_err(), "the name is taken");
}

/// A listener may ask how much is held; what weighs nothing is left alone; a budget of large entries goes in
/// steps.
#[test]
fn whoever_is_told_may_ask_and_what_weighs_nothing_stays() {
    let (pool, asked) = (Pool::new(), Arc::new(AtomicU64::new(0)));
    let (asks, counts) = (pool.clone(), Arc::clone(&asked));
    let builder = Cache::builder(domain(), random_state()).max_bytes(1 << 40);
    let cache: Slabs = Arc::new(
        builder
            .weigher(|_, bytes: &u32| u64::from(*bytes))
            .listener(move |_, _, _| {
                assert!(asks.bytes(Medium::Host) <= 100 << 20);
                counts.fetch_add(1, Ordering::SeqCst);
            })
            .build()
            .expect("memory"),
    );
    fill(&cache, &[1 << 20; 100], RAM);
    let light = slabs();
    fill(&light, &[0; 100], RAM);
    for (name, cache) in [("light", &light), ("cache", &cache)] {
        pool.cache(name, Arc::clone(cache), Tiers::ALL, Medium::Host, Priority(0), 0).expect("ok");
    }
    let dial = Dial::at(100 << 20, 100 << 20);
    let runtime = Runtime::builder().build().expect("a runtime");
    let builder = Pressure::builder(dial.source(), &pool).rules(rules(90, 25, 1));
    let pressure = runtime.pressure("memory", builder).expect("threads");
    assert_eq!(pressure.force_check().map(evicted), Ok((75, 75 << 20)));
    assert_eq!((asked.load(Ordering::SeqCst), light.usage().entries), (75, 100));
}

/// What was asked long ago, and not waited for, is no answer to what is asked now.
#[test]
fn e9_an_answer_that_comes_too_late_is_none() {
    let it = setting(10, 100, rules(90, 50, 1), Tiers::ALL);
    fill(&it.slabs, &[1; 100], RAM);
    let (gate, asked) = (Gate::new(), Arc::new(AtomicU64::new(0)));
    let (held, counts) = (Arc::clone(&gate), Arc::clone(&asked));
    let slow = from_fn("slow", Medium::Host, move || {
        if counts.fetch_add(1, Ordering::SeqCst) > 0 {
            return Sample::bytes(10, 100, "now");
        }
        held.pass();
        Sample::bytes(99, 100, "then")
    });
    it.pressure.set_source(slow).expect("a thread");
    let unknown = it.pressure.force_check().map(skipped);
    assert_eq!(unknown, Ok(Skip::Unknown(Unknown::Stale)));
    gate.open();
    wait_until(|| it.pressure.sample().detail == "now");
    assert_eq!(it.pressure.force_check().map(skipped), Ok(Skip::BelowWatermark));
    assert_eq!(it.slabs.usage().entries, 100);
}

/// A source that hangs is not waited for by who stops.
#[test]
fn e9_stopping_does_not_wait_for_a_source_that_hangs() {
    let (gate, pool) = (Gate::new(), Pool::new());
    let held = Arc::clone(&gate);
    let hangs = from_fn("hangs", Medium::Host, move || {
        held.pass();
        Sample::bytes(1, 2, "too late")
    });
    let builder = Pressure::builder(hangs, &pool).timeout(Duration::from_secs(600)).expect("ok");
    let runtime = Runtime::builder().build().expect("a runtime");
    let pressure = runtime.pressure("memory", builder).expect("threads");
    runtime.start().expect("threads");
    gate.wait_for(1);
    let start = std::time::Instant::now();
    assert_eq!(runtime.stop(LONG), Stop::Stopped);
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
    assert_eq!(pressure.health(), Health::Stopped);
    pressure.enable(false);
    assert_eq!(pressure.health(), Health::Disabled);
    gate.open();
}

/// What it measures is not guessed: a device's pressure never costs what the machine's memory holds.
#[test]
fn e_b5_a_source_that_cannot_say_what_it_measures_is_refused() {
    struct Unsure;
    impl Source for Unsure {
        fn name(&self) -> String {
            "unsure".to_owned()
        }
        fn medium(&self) -> Medium {
            panic!("on purpose");
        }
        fn sample(&mut self) -> Sample {
            Sample::bytes(99, 100, "full")
        }
    }
    let it = setting(10, 100, rules(90, 50, 1), Tiers::ALL);
    assert!(it.pressure.set_source(Unsure).is_err());
    // Nor does what was not made keep its name.
    let runtime = Runtime::builder().build().expect("a runtime");
    let pool = Pool::new();
    assert!(runtime.pressure("memory", Pressure::builder(Unsure, &pool)).is_err());
    assert!(runtime.pressure("memory", Pressure::builder(it.dial.source(), &pool)).is_ok());
    assert_eq!(it.pressure.status().source, "dial");
    // One of several that panics is one that is not known.
    let panics = from_fn("panics", Medium::Host, || panic!("on purpose"));
    let both = any_of(vec![Box::new(panics), Box::new(it.dial.source())]).expect("sources");
    it.pressure.set_source(both).expect("a thread");
    let sample = it.pressure.sample();
    assert_eq!(sample.reading, Reading::Unknown(Unknown::Stale));
    let known = Reading::Known { used: 10, total: 100 };
    assert_eq!(sample.members.last().map(|member| member.sample.reading), Some(known));
}

#[test]
fn a_share_of_time_is_asked_of_what_is_held() {
    let it = setting(0, 100, rules(40, 10, 1), Tiers::ALL);
    fill(&it.slabs, &[1; 1_000], RAM);
    let source = from_fn("psi", Medium::Host, || Sample::share(500_000, "half of the time"));
    it.pressure.set_source(source).expect("a thread");
    // 50 % down to 10 %: 40 % of a thousand.
    assert_eq!(it.pressure.force_check().map(evicted), Ok((400, 400)));
    // In whatever parts it is said.
    let source = from_fn("psi", Medium::Host, || {
        let reading = Reading::Known { used: 50, total: 100 };
        Sample { reading, ..Sample::share(0, "half of the time") }
    });
    it.pressure.set_source(source).expect("a thread");
    assert_eq!(it.pressure.force_check().map(evicted), Ok((240, 240)));
    // What shows late what was evicted is let rest.
    let lag = Duration::from_secs(10);
    let source =
        from_fn("psi", Medium::Host, move || Sample { lag, ..Sample::share(500_000, "late") });
    it.pressure.set_source(source).expect("a thread");
    assert_eq!(it.pressure.force_check().map(evicted), Ok((144, 144)));
    let resting = it.pressure.force_check().map(skipped);
    assert!(matches!(resting, Ok(Skip::Cooldown { .. })), "{resting:?}");
}

/// In turn: one that hangs, panics, vanishes and says what cannot be. The loop lives, the state is there to be
/// seen, and nothing is evicted.
#[test]
fn e9_a_source_that_fails_in_any_way_evicts_nothing_and_stops_nothing() {
    let (slabs, pool, dial, gate) = (slabs(), Pool::new(), Dial::at(10, 100), Gate::new());
    pool.cache("slabs", Arc::clone(&slabs), Tiers::ALL, Medium::Host, Priority(0), 0).expect("ok");
    fill(&slabs, &[1; 100], RAM);
    let runtime = Runtime::builder().build().expect("a runtime");
    // What does not hang answers in time, on any machine but one that stands still.
    let (every, timeout) = (Duration::from_millis(5), Duration::from_millis(100));
    let builder = Pressure::builder(dial.source(), &pool).rules(rules(90, 50, 1));
    let builder = builder.interval(every).expect("ok").timeout(timeout).expect("ok");
    let pressure = runtime.pressure("memory", builder).expect("a thread");
    runtime.start().expect("threads");
    let state = || pressure.status().sample.map(|sample| sample.state());
    wait_until(|| state() == Some(State::Available));

    let held = Arc::clone(&gate);
    let hangs = from_fn("hangs", Medium::Host, move || {
        held.pass();
        Sample::bytes(100, 100, "too late")
    });
    let panics = from_fn("panics", Medium::Host, || panic!("on purpose"));
    let nowhere = Root::at("/no such directory");
    let vanished = tidegate::pressure::Meminfo::new(nowhere);
    let garbage = from_fn("garbage", Medium::Host, || Sample::bytes(u64::MAX, 100, "cannot be"));
    let nothing = from_fn("nothing", Medium::Host, || Sample::bytes(0, 0, "of nothing"));
    let denied =
        from_fn("denied", Medium::Host, || Sample::unknown(Unknown::Denied, "not for you"));
    let sources: [(Box<dyn Source>, State); 6] = [
        (Box::new(hangs), State::Stale),
        (Box::new(panics), State::Stale),
        (Box::new(vanished), State::Unsupported),
        (Box::new(garbage), State::Stale),
        (Box::new(nothing), State::Stale),
        (Box::new(denied), State::Denied),
    ];
    for (source, expected) in sources {
        let name = source.name();
        // Seen if what follows is waited for in vain.
        println!("{name}");
        let (checks, unknown) = (pressure.status().checks, pressure.status().unknown);
        pressure.set_source(source).expect("a thread");
        // A sample counts before its check does; on a busy machine any of them may be late, and thus stale.
        wait_until(|| {
            let status = pressure.status();
            let is_seen = status.sample.is_some_and(|sample| sample.state() == expected);
            let is_skipped = matches!(status.check, Some(Check::Skipped(Skip::Unknown(_))));
            is_seen && is_skipped && status.unknown >= unknown + 3 && status.checks >= checks + 3
        });
        let status = pressure.status();
        assert_eq!((status.evictions, slabs.usage().bytes), (0, 100), "{name}");
        assert!(matches!(pressure.health(), Health::Healthy | Health::Stalled { .. }), "{name}");
        // Settings survive.
        assert_eq!((status.rules, status.interval), (rules(90, 50, 1), every));
    }
    // And one that works again does.
    dial.set(100, 100);
    pressure.set_source(dial.source()).expect("a thread");
    wait_until(|| slabs.usage().bytes <= 50);
    assert_eq!(runtime.stop(LONG), Stop::Stopped);
    gate.open();
}

#[test]
fn e9_settings_change_while_it_runs_and_those_that_cannot_be_are_named() {
    let it = setting(80, 100, rules(90, 70, 1), Tiers::ALL);
    fill(&it.slabs, &[1; 100], RAM);
    assert_eq!(it.pressure.force_check().map(skipped), Ok(Skip::BelowWatermark));
    it.pressure.set_watermarks(Watermarks::percent(80, 60).expect("marks"));
    assert_eq!(it.pressure.force_check().map(evicted), Ok((20, 20)));
    it.pressure.set_rules(rules(70, 50, 1));
    assert_eq!(it.pressure.force_check().map(evicted), Ok((30, 30)));
    it.pressure.set_interval(Duration::from_millis(3)).expect("an interval");
    assert_eq!(it.pressure.status().interval, Duration::from_millis(3));
    let refused = it.pressure.set_interval(Duration::ZERO).expect_err("refused");
    assert_eq!(refused.field(), "interval");
    let builder = || Pressure::builder(it.dial.source(), &Pool::new());
    assert_eq!(builder().interval(Duration::ZERO).expect_err("refused").field(), "interval");
    assert_eq!(builder().timeout(Duration::ZERO).expect_err("refused").field(), "timeout");
    assert!(it.runtime.pressure("", builder()).is_err());
}

/// E-B14: what is pinned stays, and the bytes that are short are said.
#[test]
fn e7_what_is_pinned_stays() {
    let it = setting(100, 100, rules(90, 0, 1), Tiers::ALL);
    fill(&it.slabs, &[60, 40], RAM);
    let pinned = it.slabs.hold(&0, clock().now(), &pin()).expect("it is there");
    let check = it.pressure.force_check().expect("a check");
    assert_eq!(check, Check::Evicted { entries: 1, bytes: 40, target: 100, shortfall: 60 });
    assert_eq!(*pinned, 60);
}

/// A listener that panics ends the check, and is counted; the next one goes on.
#[test]
fn a_listener_that_panics_is_an_error_of_the_check() {
    let told = Arc::new(AtomicU64::new(0));
    let counts = Arc::clone(&told);
    let builder = Cache::builder(domain(), random_state()).max_entries(1_000);
    let cache: Slabs = Arc::new(
        builder
            .listener(move |_, _, cause| {
                assert_eq!(cause, RemovalCause::Pressure);
                assert!(counts.fetch_add(1, Ordering::SeqCst) > 0, "on purpose");
            })
            .build()
            .expect("memory"),
    );
    fill(&cache, &[1; 10], RAM);
    let (pool, dial) = (Pool::new(), Dial::at(100, 100));
    pool.cache("it", Arc::clone(&cache), Tiers::ALL, Medium::Host, Priority(0), 0).expect("a name");
    let runtime = Runtime::builder().build().expect("a runtime");
    let builder = Pressure::builder(dial.source(), &pool).rules(rules(90, 95 - 5 - 1, 1));
    let pressure = runtime.pressure("memory", builder).expect("a thread");
    assert!(matches!(pressure.force_check(), Err(RunError::Failed(_))));
    // The rest went all the same, and all of it is counted.
    let status = pressure.status();
    assert_eq!((status.evicted_entries, pressure.metrics().errors), (10, 1));
    assert_eq!((told.load(Ordering::SeqCst), cache.usage().entries), (10, 0));
    assert_eq!(pressure.force_check().map(skipped), Ok(Skip::NothingToEvict));
}

/// The kernel's own alarm, if it may be had here: at least it can be waited for, and stopped at once.
#[test]
fn a_thread_that_waits_for_an_alarm_stops_at_once() {
    let (waited, window) = (Duration::from_millis(100), Duration::from_secs(2));
    let alarm = match Alarm::of_stalls(&Root::system(), Stall::Some, waited, window) {
        Ok(alarm) => alarm,
        Err(error) => {
            println!("skipped: {error}");
            return;
        }
    };
    println!("waiting for {}", alarm.detail());
    let runtime = Runtime::builder().build().expect("a runtime");
    let dial = Dial::at(1, 100);
    let builder = Pressure::builder(dial.source(), &Pool::new()).alarm(alarm);
    let pressure = runtime.pressure("memory", builder).expect("threads");
    for _ in 0..3 {
        runtime.start().expect("threads");
        wait_until(|| pressure.status().checks > 0);
        let start = std::time::Instant::now();
        assert_eq!(runtime.stop(LONG), Stop::Stopped);
        assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
    }
}

/// What pressure never takes: a cache that is not the cause keeps its floor, and the rest comes from the others.
#[test]
fn a_floor_stays_whatever_is_asked_for() {
    let (pool, dial) = (Pool::new(), Dial::at(1_000, 1_000));
    let caches = [(400, 300), (400, 0), (100, 200)].map(|(bytes, floor)| {
        let cache = slabs();
        fill(&cache, &vec![1; bytes], RAM);
        let name = format!("{bytes} with {floor}");
        let added =
            pool.cache(&name, Arc::clone(&cache), Tiers::ALL, Medium::Host, Priority(0), floor);
        added.expect("a name");
        cache
    });
    let held = || caches.each_ref().map(|cache| cache.usage().bytes);
    let runtime = Runtime::builder().build().expect("a runtime");
    let builder = Pressure::builder(dial.source(), &pool).rules(rules(90, 75, 1));
    let pressure = runtime.pressure("memory", builder).expect("a thread");
    // 250 of what lies above the floors, which is 100 and 400.
    assert_eq!(pressure.force_check().map(evicted), Ok((250, 250)));
    assert_eq!(held(), [350, 200, 100]);
    // Everything but the floors, and then nothing.
    pressure.set_rules(rules(90, 0, 1));
    let check = pressure.force_check().expect("a check");
    assert_eq!(check, Check::Evicted { entries: 250, bytes: 250, target: 1_000, shortfall: 750 });
    assert_eq!(held(), [300, 0, 100]);
    assert_eq!(pressure.force_check().map(skipped), Ok(Skip::NothingToEvict));
    // The last entry that is evicted may lie across the floor; then nothing more is.
    let (large, pool) = (slabs(), Pool::new());
    fill(&large, &[40; 10], RAM);
    pool.cache("large", Arc::clone(&large), Tiers::ALL, Medium::Host, Priority(0), 300)
        .expect("ok");
    let builder = Pressure::builder(dial.source(), &pool).rules(rules(90, 0, 1));
    let pressure = runtime.pressure("large", builder).expect("a thread");
    assert_eq!(pressure.force_check().map(evicted), Ok((3, 120)));
    assert_eq!(pressure.force_check().map(skipped), Ok(Skip::NothingToEvict));
    assert_eq!(large.usage().bytes, 280);
}

/// Others hold nearly all of the memory, and a small cache fills again after each check. It is emptied a few times, and
/// not at every check: it is not the cause.
#[test]
fn a_cache_that_is_not_the_cause_is_left_alone() {
    let (cache, pool) = (slabs(), Pool::new());
    pool.cache("it", Arc::clone(&cache), Tiers::ALL, Medium::Host, Priority(0), 0).expect("ok");
    let others = pool.clone();
    let memory = from_fn("memory", Medium::Host, move || {
        Sample::bytes(90_000 + others.bytes(Medium::Host), 100_000, "others and the cache")
    });
    let runtime = Runtime::builder().build().expect("a runtime");
    let builder = Pressure::builder(memory, &pool).rules(rules(85, 75, 1));
    let pressure = runtime.pressure("memory", builder).expect("threads");
    let mut emptied = 0;
    for _ in 0..120 {
        fill(&cache, &[1; 1_000], RAM);
        if let Check::Evicted { .. } = pressure.force_check().expect("a check") {
            emptied += 1;
        }
    }
    // All of these checks are within the 30 seconds that it then waits, but on a machine that stands still.
    assert!(emptied <= 6, "{emptied}");
    assert!(pressure.status().ineffective >= 110, "{:?}", pressure.status());
    assert_eq!(cache.usage().bytes, 1_000);
}

/// The hook runs after what was evicted is in the status and before the next reading, and only then.
#[test]
fn a_hook_runs_after_each_eviction() {
    let (cache, pool, dial) = (slabs(), Pool::new(), Dial::at(100, 100));
    fill(&cache, &[1; 100], RAM);
    pool.cache("it", Arc::clone(&cache), Tiers::ALL, Medium::Host, Priority(0), 0).expect("ok");
    let (told, knows) = (Arc::new(Mutex::new(Vec::new())), Arc::new(Mutex::new(None)));
    let (tells, asks) = (Arc::clone(&told), Arc::clone(&knows));
    let purged = dial.clone();
    let builder = Pressure::builder(dial.source(), &pool).rules(rules(90, 50, 1));
    let builder = builder.gives_back(false).after_evicting(move |check| {
        let it: Option<Pressure> = asks.lock().unwrap().clone();
        let it = it.expect("it was made");
        assert_eq!(it.status().check, Some(check));
        // Which would wait for itself.
        assert_eq!(it.force_check(), Err(RunError::Reentrant));
        // What a purge would do.
        purged.set(50, 100);
        tells.lock().unwrap().push(check);
    });
    let runtime = Runtime::builder().build().expect("a runtime");
    let pressure = runtime.pressure("memory", builder).expect("threads");
    *knows.lock().unwrap() = Some(pressure.clone());
    let check = pressure.force_check().expect("a check");
    assert_eq!(evicted(check), (50, 50));
    assert_eq!(*told.lock().unwrap(), [check]);
    assert_eq!(pressure.force_check().map(skipped), Ok(Skip::BelowWatermark));
    assert_eq!(told.lock().unwrap().len(), 1);
    *knows.lock().unwrap() = None;
}

/// A hook that panics fails its check, whose eviction counts; and it is called again.
#[test]
fn a_hook_that_panics_is_an_error_of_the_check() {
    let (cache, pool, dial) = (slabs(), Pool::new(), Dial::at(100, 100));
    fill(&cache, &[1; 100], RAM);
    pool.cache("it", Arc::clone(&cache), Tiers::ALL, Medium::Host, Priority(0), 0).expect("ok");
    let mut calls = 0;
    let builder = Pressure::builder(dial.source(), &pool).rules(rules(90, 75, 1));
    let builder = builder.after_evicting(move |_| {
        calls += 1;
        assert!(calls > 1, "on purpose");
    });
    let runtime = Runtime::builder().build().expect("a runtime");
    let pressure = runtime.pressure("memory", builder).expect("threads");
    let failed = pressure.force_check();
    assert!(matches!(&failed, Err(RunError::Failed(why)) if why.contains("hook")), "{failed:?}");
    assert_eq!((pressure.status().evicted_bytes, pressure.metrics().errors), (25, 1));
    assert_eq!(pressure.force_check().map(evicted), Ok((25, 25)));
}

/// What panics in a source, a listener or a destructor ends where it is called, and not with the caller.
#[test]
fn panics_of_others_end_where_they_are_called() {
    struct Falls(bool);
    impl Source for Falls {
        fn name(&self) -> String {
            assert!(!self.0, "on purpose");
            "falls".to_owned()
        }
        fn sample(&mut self) -> Sample {
            Sample::bytes(1, 100, "it works")
        }
    }
    impl Drop for Falls {
        fn drop(&mut self) {
            panic!("on purpose");
        }
    }
    let it = setting(10, 100, rules(90, 50, 1), Tiers::ALL);
    // One that is refused, and one that is replaced: both panic as they are dropped.
    assert!(it.pressure.set_source(Falls(true)).is_err());
    it.pressure.set_source(Falls(false)).expect("a thread");
    assert_eq!(it.pressure.sample().detail, "it works");
    it.pressure.set_source(it.dial.source()).expect("a thread");
    let refused = any_of(vec![
        Box::new(it.dial.source()),
        Box::new(from_fn("b", Medium::Device(1), || Sample::bytes(1, 2, ""))),
    ]);
    assert!(refused.is_err());

    /// A value whose destructor panics.
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            panic!("on purpose");
        }
    }
    let cache: Arc<Cache<u32, Bomb>> =
        Arc::new(Cache::builder(domain(), random_state()).max_entries(10).build().expect("memory"));
    assert!(cache.insert(1, Bomb, clock().now(), &pin()).is_ok());
    let pool = Pool::new();
    pool.cache("it", cache, Tiers::ALL, Medium::Host, Priority(0), 0).expect("a name");
    // The pool has the last handle.
    assert!(pool.remove("it"));
}

/// A listener that waits for a check of another [`Pressure`] on the same cache is not waited for by that check.
#[test]
fn a_listener_may_wait_for_another_check_of_the_same_cache() {
    let (pool, dial) = (Pool::new(), Dial::at(100, 100));
    let other: Arc<Mutex<Option<Pressure>>> = Arc::default();
    let (asks, waited) = (Arc::clone(&other), Arc::new(Mutex::new(None)));
    let says = Arc::clone(&waited);
    let cache: Slabs = Arc::new(
        Cache::builder(domain(), random_state())
            .max_entries(1_000)
            .listener(move |_, _, _| {
                let Some(other) = asks.lock().unwrap().take() else { return };
                let check = std::thread::spawn(move || other.force_check());
                *says.lock().unwrap() = Some(check.join().expect("no panic"));
            })
            .build()
            .expect("memory"),
    );
    fill(&cache, &[1; 100], RAM);
    pool.cache("it", Arc::clone(&cache), Tiers::ALL, Medium::Host, Priority(0), 0).expect("ok");
    let runtime = Runtime::builder().build().expect("a runtime");
    let make = |name| {
        let builder = Pressure::builder(dial.source(), &pool).rules(rules(90, 50, 1));
        runtime.pressure(name, builder).expect("threads")
    };
    let one = make("one");
    *other.lock().unwrap() = Some(make("other"));
    assert_eq!(one.force_check().map(evicted), Ok((50, 50)));
    let other = waited.lock().unwrap().take().expect("it was told");
    assert_eq!(other.map(skipped), Ok(Skip::NothingToEvict));
}
