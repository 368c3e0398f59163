//! What was removed is freed when nobody can be reading it any more: not before, and then soon.
//!
//! Each value has a slot that says whether the value is still there. Slots outlive the values, so
//! that a reader may look at one after the value was wrongly dropped.

use std::cell::RefCell;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, Weak};
use std::time::Duration;

use tidegate_core::{Budget, Domain, Instant, Map, SeededState, Sweep, Worker};

const NOW: Instant = Instant::from_secs(1);

/// Where values say that they are there.
struct Pool {
    /// The number of the value that has the slot, or 0.
    slots: Box<[AtomicU64]>,
    made: AtomicU64,
    dropped: AtomicU64,
}

struct Poisoned {
    slot: usize,
    number: u64,
    pool: &'static Pool,
}

/// What a reader remembers of a value.
#[derive(Clone, Copy)]
struct Seen {
    slot: usize,
    number: u64,
    pool: &'static Pool,
}

impl Pool {
    fn new(slots: usize) -> &'static Self {
        Box::leak(Box::new(Self {
            slots: (0..slots).map(|_| AtomicU64::new(0)).collect(),
            made: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
        }))
    }

    fn make(&'static self) -> Poisoned {
        loop {
            let number = self.made.fetch_add(1, Ordering::Relaxed) + 1;
            let slot = number as usize % self.slots.len();
            let free =
                self.slots[slot].compare_exchange(0, number, Ordering::Relaxed, Ordering::Relaxed);
            if free.is_ok() {
                return Poisoned { slot, number, pool: self };
            }
            // Not made after all, and so not to be dropped.
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Values that are there.
    fn alive(&self) -> u64 {
        self.made.load(Ordering::Relaxed) - self.dropped.load(Ordering::Relaxed)
    }
}

impl Poisoned {
    fn look(&self) -> Seen {
        Seen { slot: self.slot, number: self.number, pool: self.pool }
    }
}

impl Drop for Poisoned {
    fn drop(&mut self) {
        let was = self.pool.slots[self.slot].swap(0, Ordering::Relaxed);
        assert_eq!(was, self.number, "dropped again");
        self.pool.dropped.fetch_add(1, Ordering::Relaxed);
    }
}

impl Seen {
    fn is_there(&self) -> bool {
        self.pool.slots[self.slot].load(Ordering::Relaxed) == self.number
    }
}

/// Sets a flag at its end, also in a panic: who waits for the flag would wait for ever.
struct Ends<'a>(&'a AtomicBool);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Meets the others at its end, also in a panic: they would wait for ever.
struct Meets<'a>(&'a Barrier);

impl Drop for Meets<'_> {
    fn drop(&mut self) {
        self.0.wait();
    }
}

/// Collects until nothing is held back, and returns how many calls it took.
fn drain(domain: &Domain) -> usize {
    let mut worker = domain.worker();
    for call in 1..=16 {
        worker.collect(NOW, Budget::UNLIMITED);
        if domain.gauges(NOW).garbage() == 0 {
            return call;
        }
    }
    panic!("still held back: {:?}", domain.gauges(NOW));
}

fn stuck_reader(operations: u64) {
    const KEYS: u32 = 1_000;
    let at = |seconds| Instant::from_secs(seconds);

    let pool = Pool::new(operations as usize * 2);
    let domain = Domain::new();
    let map: Map<u32, Poisoned> = Map::with(&domain, SeededState::new(43));
    let mut worker = domain.worker();
    for key in 0..KEYS {
        assert!(map.insert(key, pool.make(), worker.quiescent(at(10))).is_ok());
    }
    worker.offline(|| ());
    drain(&domain);

    let (stuck, churned) = (Barrier::new(4), Barrier::new(4));
    let (released, drained) = (Barrier::new(2), Barrier::new(2));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut worker = domain.worker();
            let guard = worker.quiescent(at(10));
            let read: Vec<_> = (0..KEYS).map(|key| map.get(&key, guard).expect("there")).collect();
            stuck.wait();
            churned.wait();
            // All of them were removed long ago.
            let there = read.iter().all(|value| value.look().is_there());
            // Gone on, and not back before all is freed.
            worker.offline(|| {
                released.wait();
                drained.wait();
            });
            assert!(there, "freed under its reader");
        });
        for churner in 0..2_u32 {
            let (map, domain, stuck, churned) = (&map, &domain, &stuck, &churned);
            scope.spawn(move || {
                let _end = Meets(churned);
                let mut worker = domain.worker();
                stuck.wait();
                for operation in 0..operations / 4 {
                    let guard = worker.quiescent(at(20));
                    let key = (operation as u32 % (KEYS / 2)) * 2 + churner;
                    assert!(map.remove(&key, guard).is_ok_and(|removed| removed.is_some()));
                    assert!(map.insert(key, pool.make(), guard).is_ok());
                    if operation % 64 == 0 {
                        worker.collect(at(20), Budget::UNLIMITED);
                    }
                }
            });
        }
        stuck.wait();
        // While the others churn, the age of what is held back is known.
        let mut ages = Vec::new();
        for _ in 0..20 {
            ages.push(domain.gauges(at(25)).oldest_pin);
            std::thread::yield_now();
        }
        churned.wait();
        released.wait();
        let _end = Meets(&drained);
        assert!(ages.iter().all(|&age| age == Some(Duration::from_secs(15))), "{ages:?}");
        let gauges = domain.gauges(at(30));
        assert!(gauges.garbage() >= operations / 2, "some was freed before: {gauges:?}");
        assert_eq!(gauges.oldest_pin, None, "everybody is gone, or unpinned");
        let calls = drain(&domain);
        assert!(calls <= 8, "{calls} collections");
    });
    assert_eq!(pool.alive(), u64::from(KEYS), "only what is in the map is left");
    drop((map, worker, domain));
    assert_eq!(pool.alive(), 0);
}

#[test]
fn a_stuck_reader_holds_memory_back_until_it_goes_on_and_no_longer() {
    stuck_reader(200_000);
}

#[test]
#[ignore = "long: cargo test --release -p tidegate-core --test map_reclaim -- --ignored --nocapture"]
fn a_stuck_reader_holds_5_million_values_back_until_it_goes_on_and_no_longer() {
    stuck_reader(10_000_000);
}

fn hold_at_random(reads: u64, longest: Duration) {
    const READERS: u64 = 3;
    const KEYS: u32 = 300;

    let pool = Pool::new(1 << 20);
    let domain = Domain::new();
    let map: Map<u32, Poisoned> = Map::with(&domain, SeededState::new(47));
    let (done, held) = (AtomicBool::new(false), AtomicU64::new(0));
    std::thread::scope(|scope| {
        let _ends = Ends(&done);
        for writer in 0..2 {
            let (map, domain, done) = (&map, &domain, &done);
            scope.spawn(move || {
                let mut random = fastrand::Rng::with_seed(writer);
                let mut worker = domain.worker();
                while !done.load(Ordering::Relaxed) {
                    let guard = worker.quiescent(NOW);
                    let key = random.u32(0..KEYS);
                    match random.u8(..) {
                        0..100 => assert!(map.insert(key, pool.make(), guard).is_ok()),
                        100..120 => assert!(map.update(&key, |_| pool.make(), guard).is_ok()),
                        120..240 => assert!(map.remove(&key, guard).is_ok()),
                        240 if random.u8(..) < 64 => {
                            let grow = map.buckets(guard) < 256 || random.bool();
                            map.force_resize(grow && map.buckets(guard) < 4_096, guard);
                        }
                        _ => {
                            worker.collect(NOW, Budget::entries(1_000));
                        }
                    }
                }
            });
        }
        let readers: Vec<_> = (0..READERS)
            .map(|reader| {
                let (map, domain, held) = (&map, &domain, &held);
                scope.spawn(move || {
                    let mut random = fastrand::Rng::with_seed(100 + reader);
                    let mut worker = domain.worker();
                    let mut seen = Vec::new();
                    let mut done = 0;
                    while done < reads / READERS {
                        // Either kind of guard.
                        let pinned;
                        let guard = if random.bool() {
                            worker.quiescent(NOW)
                        } else {
                            worker.offline(|| ());
                            pinned = worker.pin();
                            &*pinned
                        };
                        if random.u8(..) == 0 {
                            for (_, value) in map.iter(guard) {
                                seen.push(value.look());
                                assert!(value.look().is_there(), "freed before it was reached");
                            }
                        }
                        for _ in 0..random.u8(1..64) {
                            if let Some(value) = map.get(&random.u32(0..KEYS), guard) {
                                seen.push(value.look());
                                assert!(value.look().is_there(), "freed before it was reached");
                            }
                        }
                        match random.u16(..) {
                            0..16 => {
                                let most = longest.as_nanos() as u64;
                                std::thread::sleep(Duration::from_nanos(random.u64(0..most)));
                                held.fetch_add(1, Ordering::Relaxed);
                            }
                            16..80 => std::thread::yield_now(),
                            _ => {}
                        }
                        assert!(seen.iter().all(Seen::is_there), "freed under its reader");
                        done += seen.len() as u64;
                        seen.clear();
                    }
                })
            })
            .collect();
        for reader in readers {
            reader.join().expect("no panic");
        }
    });
    let freed = domain.gauges(NOW).freed;
    println!("{reads} reads, {freed} objects freed, {} long holds", held.into_inner());
    assert!(freed > reads / 1_000, "hardly anything was freed: {freed}");
    drain(&domain);
    assert_eq!(pool.alive(), map.len() as u64);
}

#[test]
fn nothing_is_freed_under_a_guard_in_2_million_reads() {
    hold_at_random(2_000_000, Duration::from_millis(1));
}

#[test]
#[ignore = "long: cargo test --release -p tidegate-core --test map_reclaim -- --ignored --nocapture"]
fn nothing_is_freed_under_a_guard_in_a_billion_reads() {
    hold_at_random(1_000_000_000, Duration::from_millis(10));
}

fn remove_one_key(times: u64) {
    let pool = Pool::new(times as usize + 1);
    let domain = Domain::new();
    let map: Map<u8, Poisoned> = Map::with(&domain, SeededState::new(53));
    let mut worker = domain.worker();
    let mut collector = domain.worker();
    let guard = worker.quiescent(NOW);
    let mut first = None;
    for _ in 0..times {
        assert!(map.insert(7, pool.make(), guard).is_ok_and(|old| old.is_none()));
        let removed = map.remove(&7, guard).expect("memory").expect("there");
        first.get_or_insert(removed);
        assert_eq!(map.len(), 0);
    }
    for _ in 0..8 {
        collector.collect(NOW, Budget::UNLIMITED);
    }
    let garbage = domain.gauges(NOW).garbage();
    assert!(first.is_some_and(|value| value.look().is_there()), "freed under its reader");
    assert_eq!(pool.alive(), times, "freed under a guard");
    assert_eq!(garbage, times, "an entry was in no block, so each removal retires just that");
    worker.offline(|| ());
    drain(&domain);
    assert_eq!(pool.alive(), 0);
}

#[test]
fn a_key_may_be_removed_100_thousand_times_under_one_guard() {
    remove_one_key(100_000);
}

#[test]
#[ignore = "long: cargo test --release -p tidegate-core --test map_reclaim -- --ignored --nocapture"]
fn a_key_may_be_removed_a_million_times_under_one_guard() {
    remove_one_key(1_000_000);
}

/// A value whose end puts another in the map and takes it out again.
struct Chain {
    left: u32,
    map: Weak<Map<u64, Chain>>,
    dropped: Arc<AtomicUsize>,
}

thread_local! {
    /// What destructors work with: they have no guard, and may be run by any thread.
    static WORKER: RefCell<Option<Worker>> = const { RefCell::new(None) };
}

impl Drop for Chain {
    fn drop(&mut self) {
        self.dropped.fetch_add(1, Ordering::Relaxed);
        let Some(left) = self.left.checked_sub(1) else {
            return;
        };
        let Some(map) = self.map.upgrade() else {
            return;
        };
        WORKER.with_borrow_mut(|worker| {
            let worker = worker.get_or_insert_with(|| map.domain().worker());
            // This thread is freeing, so there is nothing to do: a call must not wait, nor free others
            // within itself.
            assert_eq!(worker.collect(NOW, Budget::UNLIMITED), 0);
            let guard = worker.quiescent(NOW);
            let key = u64::from(left);
            let next =
                Chain { left, map: Weak::clone(&self.map), dropped: Arc::clone(&self.dropped) };
            assert!(map.insert(key, next, guard).is_ok());
            assert!(map.remove(&key, guard).is_ok_and(|removed| removed.is_some()));
            assert!(map.get(&key, guard).is_none());
            worker.offline(|| ());
        });
    }
}

#[test]
fn destructors_that_use_the_map_need_no_deep_stack() {
    const VALUES: u64 = 20_000;
    const LENGTH: u32 = 10;

    let dropped = Arc::new(AtomicUsize::new(0));
    let domain = Domain::new();
    let map = Arc::new(Map::with(&domain, SeededState::new(59)));
    let mut worker = domain.worker();
    for key in 0..VALUES {
        let chain =
            Chain { left: LENGTH, map: Arc::downgrade(&map), dropped: Arc::clone(&dropped) };
        let key = key + u64::from(LENGTH);
        assert!(map.insert(key, chain, worker.quiescent(NOW)).is_ok());
    }
    worker.offline(|| ());
    let thread = std::thread::Builder::new().stack_size(64 << 10);
    let end = thread.spawn(move || {
        let mut sweep = map.sweeper(domain.worker(), |_, _, _| true);
        for _ in 0..10_000 {
            sweep.sweep(NOW, Budget::entries(10_000));
            if map.is_empty() && domain.gauges(NOW).garbage() == 0 {
                return true;
            }
        }
        false
    });
    assert!(end.expect("a thread").join().expect("no overflow"), "it does not end");
    assert_eq!(dropped.load(Ordering::Relaxed), VALUES as usize * (LENGTH as usize + 1));
}

#[test]
fn what_was_never_collected_is_freed_with_the_domain() {
    // The domain lasts as long as the last of its workers and maps.
    let pool = Pool::new(1 << 12);
    let domain = Domain::new();
    let map: Map<u32, Poisoned> = Map::with(&domain, SeededState::new(61));
    let mut worker = domain.worker();
    for key in 0..1_000 {
        let guard = worker.quiescent(NOW);
        assert!(map.insert(key, pool.make(), guard).is_ok());
        if key % 2 == 0 {
            assert!(map.remove(&key, guard).is_ok());
        }
    }
    assert_eq!(pool.alive(), 1_000);
    drop(domain);
    drop(map);
    assert_eq!(pool.alive(), 500, "the worker holds the domain, and it what was removed");
    drop(worker);
    assert_eq!(pool.alive(), 0);
}
