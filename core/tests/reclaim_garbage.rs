//! What is removed is freed by those who remove, whatever else is done or not done about it: garbage
//! stays bounded at every budget and cadence of a sweep, and without one.

#[path = "common/allocator.rs"]
mod allocator;
mod common;

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use allocator::live;
use common::memory::{CROSSBEAM, drain};
use tidegate_core::map::{InsertError, MapError};
use tidegate_core::{Budget, Cache, Domain, Instant, Map, SeededState, Sweep, Worker};

const NOW: Instant = Instant::from_secs(1);
const MIB: usize = 1 << 20;
/// The allowance of a domain, in objects.
const ALLOWANCE: u64 = 1024;

/// What is held may exceed what is live by half, and by so much besides.
fn bound(live: usize) -> usize {
    live + live / 2 + 4 * MIB
}

type Pages = Cache<u64, Vec<u8>>;

/// A cache of a mebibyte.
fn pages(domain: &Domain) -> Pages {
    let weigher = |_: &u64, page: &Vec<u8>| page.len() as u64;
    let builder = Cache::builder(domain, SeededState::new(1)).max_bytes(MIB as u64);
    builder.weigher(weigher).build().expect("memory")
}

/// Inserts pages of so many bytes, `burst` under each guard.
fn insert_pages(
    cache: &Pages,
    worker: &mut Worker,
    keys: std::ops::Range<u64>,
    burst: u64,
    size: usize,
) {
    for first in keys.clone().step_by(burst as usize) {
        let guard = worker.quiescent(NOW);
        for key in first..(first + burst).min(keys.end) {
            cache.insert(key, vec![0; size], NOW, guard).expect("room");
        }
    }
    worker.offline(|| ());
}

#[test]
fn a_full_cache_frees_what_it_evicts_without_a_sweep() {
    for (size, burst) in [(100, 1), (1024, 1), (1024, 256), (100, 256)] {
        let domain = Domain::new();
        let cache = pages(&domain);
        let mut worker = domain.worker();
        let before = live();
        insert_pages(&cache, &mut worker, 0..20_000, burst, size);
        let full = (cache.usage().entries as usize) * (size + 128);
        let mut most = 0;
        for round in 1..16 {
            insert_pages(&cache, &mut worker, round * 20_000..round * 20_000 + 5_000, burst, size);
            most = most.max(live() - before);
        }
        assert!(
            most <= bound(full),
            "{most} bytes held for {full}; {size} bytes, bursts of {burst}"
        );
        assert!(domain.gauges(NOW).freed > 50_000, "nothing passed through the cache");
    }
}

#[test]
fn garbage_is_bounded_at_every_budget_and_cadence_of_a_sweep() {
    let budgets = [1, 64, 4_096, usize::MAX].map(Budget::entries);
    for (budget, each) in
        budgets.iter().flat_map(|&budget| [100, 10_000].map(|each| (budget, each)))
    {
        let domain = Domain::new();
        let cache: Cache<u64, u64> = Cache::builder(&domain, SeededState::new(1))
            .max_entries(1_000)
            .build()
            .expect("memory");
        let (mut worker, mut sweep) = (domain.worker(), cache.sweeper(domain.worker()));
        let mut key = 0;
        for _ in 0..20 {
            for _ in 0..each {
                cache.insert(key, key, NOW, worker.quiescent(NOW)).expect("room");
                key += 1;
            }
            worker.offline(|| ());
            while !sweep.sweep(NOW, budget).wrapped {}
            let garbage = domain.gauges(NOW).garbage();
            assert!(garbage <= 2 * ALLOWANCE, "{garbage} objects; {budget:?}, {each} a pass");
        }
    }
}

/// Removes so many entries under one guard, which nobody pays for: the domain's workers are a sweep's.
fn leave_garbage(
    map: &Map<u64, Counted>,
    worker: &mut Worker,
    objects: u64,
    drops: &Arc<AtomicUsize>,
) {
    let guard = worker.quiescent(NOW);
    for key in 0..objects {
        map.insert(key, Counted(Arc::clone(drops)), guard).expect("memory");
        map.remove(&key, guard).expect("memory");
    }
}

/// Counts its end.
#[derive(Debug)]
struct Counted(Arc<AtomicUsize>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn a_run_of_a_sweep_goes_on_while_garbage_above_the_allowance_is_ripe() {
    let domain = Domain::new();
    let (map, drops) = (Map::with(&domain, SeededState::new(1)), Arc::default());
    let mut worker = domain.worker();
    let mut sweep = map.sweeper(domain.worker(), |_: &u64, _: &Counted, _| false);
    leave_garbage(&map, &mut worker, 100_000, &drops);
    worker.offline(|| ());
    // So many steps as bring it to its end, and the first of that.
    for _ in 0..4 {
        sweep.sweep(NOW, Budget::entries(1));
    }
    assert!(domain.gauges(NOW).garbage() > 90_000);
    let mut steps = 0;
    while !sweep.sweep(NOW, Budget::entries(256)).wrapped {
        steps += 1;
    }
    assert!(steps > 300, "the run ended before the garbage was freed");
    assert!(domain.gauges(NOW).garbage() <= ALLOWANCE);
}

#[test]
fn a_guard_holds_back_what_is_removed_under_it_and_its_end_pays() {
    let domain = Domain::new();
    let (map, drops) = (Map::with(&domain, SeededState::new(1)), Arc::default());
    let mut worker = domain.worker();
    leave_garbage(&map, &mut worker, 10_000, &drops);
    assert_eq!((domain.gauges(NOW).garbage(), drops.load(Ordering::Relaxed)), (10_000, 0));
    assert!(domain.gauges(NOW).bytes >= 10_000 * size_of::<(u64, Counted)>() as u64);
    // Two for each one retired, once it is ripe; of what comes after, too.
    for _ in 0..400 {
        leave_garbage(&map, &mut worker, 32, &drops);
    }
    worker.offline(|| ());
    let garbage = domain.gauges(NOW).garbage();
    assert!(garbage <= ALLOWANCE + 256, "{garbage} objects");
}

#[test]
fn a_caller_frees_nothing_of_other_structures_until_they_are_gone() {
    let domain = Domain::new();
    let (theirs, ours) = (Arc::default(), Arc::default());
    let stranger = Map::with(&domain, SeededState::new(1));
    let map = Map::with(&domain, SeededState::new(2));
    let mut worker = domain.worker();
    // Left by one that does not pay: what a sweep's worker removes is freed by budget.
    let mut sweep = stranger.sweeper(domain.worker(), |_: &u64, _: &Counted, _| true);
    for key in 0..10_000 {
        let counted = Counted(Arc::clone(&theirs));
        stranger.insert(key, counted, worker.quiescent(NOW)).expect("memory");
    }
    worker.offline(|| ());
    sweep.sweep(NOW, Budget::entries(5_000));
    let removed = 10_000 - stranger.len();
    assert!(removed > 2_000);
    let work = |worker: &mut Worker| {
        for _ in 0..400 {
            leave_garbage(&map, worker, 32, &ours);
        }
        worker.offline(|| ());
    };
    work(&mut worker);
    assert_eq!(theirs.load(Ordering::Relaxed), 0, "a stranger's destructor ran");
    assert!(ours.load(Ordering::Relaxed) > 10_000);
    drop(sweep);
    drop(stranger);
    work(&mut worker);
    let left = 10_000 - theirs.load(Ordering::Relaxed) as u64;
    assert!(left <= ALLOWANCE, "{left} objects of a map that is gone stay");
}

#[test]
fn large_tables_are_left_to_sweeps_unless_they_pile_up() {
    let domain = Domain::new();
    let map: Map<u64, u64> = Map::with(&domain, SeededState::new(1));
    let mut worker = domain.worker();
    let before = live();
    for key in 0..200_000 {
        map.insert(key, key, worker.quiescent(NOW)).expect("memory");
    }
    while map.force_help(worker.quiescent(NOW)) {}
    let buckets = map.buckets(worker.quiescent(NOW));
    let table = buckets * size_of::<usize>();
    worker.offline(|| ());
    let large = domain.gauges(NOW).bytes as usize;
    assert!((table / 2..table).contains(&large), "{large} bytes of tables, {table} in use");
    // To and fro: each resize leaves a table.
    let filled = live() - before;
    for round in 0..40 {
        assert!(map.force_resize(round % 2 == 0, worker.quiescent(NOW)));
        while map.force_help(worker.quiescent(NOW)) {}
        for key in 0..2_000 {
            map.insert(key, round, worker.quiescent(NOW)).expect("memory");
        }
    }
    worker.offline(|| ());
    let held = live() - before;
    assert!(
        held <= filled + 3 * table + CROSSBEAM,
        "{held} bytes held, {filled} before, {table} a table"
    );
    drain(&mut worker, NOW);
    assert_eq!(domain.gauges(NOW).bytes, 0);
}

#[test]
fn never_on_the_data_path_is_an_error_at_the_cap() {
    let domain = Domain::builder().never_on_the_data_path(5_000).build();
    let (map, drops) = (Map::with(&domain, SeededState::new(1)), Arc::default());
    let mut worker = domain.worker();
    let mut refused = 0;
    for key in 0..10_000 {
        let guard = worker.quiescent(NOW);
        refused += usize::from(map.insert(key, Counted(Arc::clone(&drops)), guard).is_err());
        refused += usize::from(
            map.remove(&key, guard).is_err_and(|error| error == MapError::Backpressure),
        );
        worker.offline(|| ());
    }
    let gauges = domain.gauges(NOW);
    assert_eq!(gauges.freed, 0, "freed on the data path");
    assert!(gauges.garbage() <= 5_000);
    assert!(refused > 0, "the cap was not reached");
    drain(&mut worker, NOW);
    assert!(drops.load(Ordering::Relaxed) > 4_000);
}

/// Panics at its end, if it is told to.
struct Bomb(bool);

impl Drop for Bomb {
    fn drop(&mut self) {
        assert!(!self.0, "on purpose");
    }
}

/// Replaces one value so many times; what has panicked, and how often.
fn replace_bombs(domain: &Domain) -> (usize, u64) {
    let map: Map<u8, Bomb> = Map::with(domain, SeededState::new(1));
    let worker = domain.worker();
    let mut panics = 0;
    for number in 0..4_000_u64 {
        let step = catch_unwind(AssertUnwindSafe(|| {
            let guard = worker.pin();
            let old = map.insert(1, Bomb(number % 64 == 0), &guard);
            assert!(!matches!(old, Err(InsertError { .. })));
        }));
        panics += usize::from(step.is_err());
        assert!(map.get(&1, &worker.pin()).is_some(), "the call had its effect");
    }
    let garbage = domain.gauges(NOW).garbage();
    assert!(map.insert(1, Bomb(false), &worker.pin()).is_ok());
    (panics, garbage)
}

#[test]
fn a_destructor_that_panics_loses_nothing_and_is_contained_by_a_hook() {
    let domain = Domain::new();
    let (panics, garbage) = replace_bombs(&domain);
    assert!(panics > 10, "{panics} panics left their calls");
    assert!(garbage < 2 * ALLOWANCE, "{garbage} objects");
    while catch_unwind(AssertUnwindSafe(|| {
        let mut worker = domain.worker();
        drain(&mut worker, NOW);
    }))
    .is_err()
    {}
    assert_eq!(domain.gauges(NOW).garbage(), 0);

    let contain = |free: &mut dyn FnMut()| _ = catch_unwind(AssertUnwindSafe(free));
    let domain = Domain::builder().contain(contain).build();
    let (panics, garbage) = replace_bombs(&domain);
    assert_eq!(panics, 0, "a panic left a call");
    assert!(garbage < 2 * ALLOWANCE, "{garbage} objects");
    drain(&mut domain.worker(), NOW);
}

#[test]
fn what_dropped_maps_leave_behind_is_freed_by_callers_of_others() {
    let domain = Domain::new();
    let (map, drops) = (Map::with(&domain, SeededState::new(1)), Arc::default());
    let mut worker = domain.worker();
    for round in 0..40 {
        let brief: Map<u64, u64> = Map::with(&domain, SeededState::new(round));
        for key in 0..20_000 {
            brief.insert(key, key, worker.quiescent(NOW)).expect("memory");
        }
        worker.offline(|| ());
        drop(brief);
        for _ in 0..20 {
            leave_garbage(&map, &mut worker, 64, &drops);
        }
    }
    worker.offline(|| ());
    let gauges = domain.gauges(NOW);
    assert!(gauges.bytes < 2 * MIB as u64, "{gauges:?}");
}

#[test]
fn maps_that_leave_nothing_behind_cost_nothing_afterwards() {
    let domain = Domain::new();
    let make = || {
        let map: Map<u64, u64> = Map::with(&domain, SeededState::new(1));
        map.insert(1, 1, &domain.worker().pin()).expect("memory");
    };
    make();
    let before = live();
    (0..10_000).for_each(|_| make());
    assert!(live() <= before + CROSSBEAM, "{} bytes more", live() - before);
}

#[test]
fn any_number_of_structures_may_be_changed_under_one_guard() {
    for structures in [5, 16, 24] {
        let domain = Domain::new();
        let maps: Vec<Map<u64, u64>> =
            (0..structures).map(|seed| Map::with(&domain, SeededState::new(seed))).collect();
        let worker = domain.worker();
        for round in 0..20_000 {
            let guard = worker.pin();
            for map in &maps {
                map.insert(round % 64, round, &guard).expect("memory");
            }
        }
        let garbage = domain.gauges(NOW).garbage();
        assert!(garbage < 8 * ALLOWANCE, "{garbage} objects of {structures} structures");
    }
}

/// A value whose end changes an index.
struct Indexed {
    key: u64,
    index: Arc<Map<u64, u64>>,
    worker: Rc<Worker>,
}

// SAFETY: the test has one thread.
unsafe impl Send for Indexed {}

impl Drop for Indexed {
    fn drop(&mut self) {
        assert!(self.index.insert(self.key % 64, self.key, &self.worker.pin()).is_ok());
    }
}

#[test]
fn what_destructors_retire_is_paid_for() {
    let domain = Domain::new();
    let index = Arc::new(Map::with(&domain, SeededState::new(1)));
    let map: Map<u64, Indexed> = Map::with(&domain, SeededState::new(2));
    let worker = Rc::new(domain.worker());
    for key in 0..100_000 {
        let value = Indexed { key, index: Arc::clone(&index), worker: Rc::clone(&worker) };
        assert!(map.insert(key % 64, value, &worker.pin()).is_ok());
    }
    let garbage = domain.gauges(NOW).garbage();
    assert!(garbage < 3 * ALLOWANCE, "{garbage} objects");
    // The worker is one of the values' own.
    let values: Vec<_> = (0..64).collect();
    values.iter().for_each(|key| assert!(map.remove(key, &worker.pin()).is_ok()));
    drop(map);
}

#[test]
fn a_domain_that_a_destructor_drops_frees_all_it_holds() {
    let contain = |free: &mut dyn FnMut()| {
        thread_local! {
            static FREES: Cell<bool> = const { Cell::new(false) };
        }
        if !FREES.replace(true) {
            _ = catch_unwind(AssertUnwindSafe(free));
            FREES.set(false);
        }
    };
    let domain = Domain::builder().contain(contain).build();
    let drops = Arc::default();
    let inner = {
        let inner = Domain::builder().contain(contain).build();
        let map = Map::with(&inner, SeededState::new(1));
        leave_garbage(&map, &mut inner.worker(), 500, &drops);
        inner
    };
    let map: Map<u8, Domain> = Map::with(&domain, SeededState::new(2));
    let mut worker = domain.worker();
    assert!(map.insert(1, inner, worker.quiescent(NOW)).is_ok());
    assert!(map.remove(&1, worker.quiescent(NOW)).is_ok());
    worker.offline(|| ());
    drain(&mut worker, NOW);
    assert_eq!(drops.load(Ordering::Relaxed), 500);
}
