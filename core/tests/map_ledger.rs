//! Ledgers of what several threads did to one map, balanced when they have stopped: no charge is
//! lost, every value is dropped once, and what is there is what was left there.
//!
//! All the while the table is made to grow and shrink at random, far more often than it would.

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, AtomicUsize, Ordering};

use tidegate_core::{Budget, Domain, Guard, Instant, Map, SeededState, Sweep};

const NOW: Instant = Instant::from_secs(1);

/// Now and then makes the table grow or shrink, within reason for so many keys; whether it began.
fn force_resize<K, V>(
    map: &Map<K, V>,
    keys: usize,
    random: &mut fastrand::Rng,
    guard: &Guard,
) -> bool
where
    K: Send + 'static,
    V: Send + 'static,
{
    let buckets = map.buckets(guard);
    // Not so few that 64 keys might share a bucket.
    let grow = buckets <= keys / 4 || (buckets < keys * 8 && random.bool());
    map.force_resize(grow, guard)
}

/// Sets a flag at its end, also in a panic: who waits for the flag would wait for ever.
struct Ends<'a>(&'a AtomicBool);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// A count that is changed in place, until it is killed.
struct Counter(AtomicU64);

impl Counter {
    const DEAD: u64 = u64::MAX;

    /// One more; `false` if the counter is dead.
    fn charge(&self) -> bool {
        let mut seen = self.0.load(Ordering::Relaxed);
        while seen != Self::DEAD {
            match self.0.compare_exchange(seen, seen + 1, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return true,
                Err(now) => seen = now,
            }
        }
        false
    }

    /// Kills the counter and tells the ledger what it had counted, unless it is dead already.
    fn kill(&self, ledger: &Killed) {
        let count = self.0.swap(Self::DEAD, Ordering::Relaxed);
        if count != Self::DEAD {
            ledger.counters.fetch_add(1, Ordering::Relaxed);
            ledger.charges.fetch_add(count, Ordering::Relaxed);
        }
    }

    fn is_dead(&self) -> bool {
        self.0.load(Ordering::Relaxed) == Self::DEAD
    }
}

/// What was killed.
#[derive(Default)]
struct Killed {
    counters: AtomicU64,
    charges: AtomicU64,
}

/// Charges a key once, making a new counter where there is none that lives.
fn charge(map: &Map<u32, Counter>, key: u32, guard: &Guard) {
    loop {
        let new = || Counter(AtomicU64::new(0));
        let counter = map.get_or_insert_with(key, new, guard).expect("memory, and no flood");
        if counter.charge() {
            return;
        }
        // Dead and perhaps still there: only the dead leave, so nobody's charges go with them.
        map.remove_if(&key, |_, counter| counter.is_dead(), guard).expect("memory");
    }
}

fn conserve(operations: u64) {
    const THREADS: u64 = 8;
    const KEYS: u32 = 512;

    let domain = Domain::new();
    let map: Map<u32, Counter> = Map::with(&domain, SeededState::new(17));
    let (charged, killed) = (AtomicU64::new(0), Killed::default());
    let (resizes, done) = (AtomicU64::new(0), AtomicBool::new(false));
    std::thread::scope(|scope| {
        let _ends = Ends(&done);
        scope.spawn(|| {
            let mut random = fastrand::Rng::with_seed(99);
            let stale = |_: &u32, counter: &Counter, _: Instant| {
                if random.u8(..) < 16 {
                    counter.kill(&killed);
                }
                counter.is_dead()
            };
            let mut sweep = map.sweeper(domain.worker(), stale);
            while !done.load(Ordering::Relaxed) {
                sweep.sweep(NOW, Budget::entries(100));
                std::thread::yield_now();
            }
        });
        let chargers: Vec<_> = (0..THREADS)
            .map(|thread| {
                let (map, domain) = (&map, &domain);
                let (charged, killed, resizes) = (&charged, &killed, &resizes);
                scope.spawn(move || {
                    let mut random = fastrand::Rng::with_seed(thread);
                    let mut worker = domain.worker();
                    let mut mine = 0;
                    for operation in 0..operations / THREADS {
                        let guard = worker.quiescent(NOW);
                        let key = random.u32(0..KEYS);
                        match random.u16(..) {
                            0..100 => {
                                let began = force_resize(map, KEYS as usize, &mut random, guard);
                                resizes.fetch_add(u64::from(began), Ordering::Relaxed);
                            }
                            // Charges change nothing in the map, so they help with nothing.
                            100..2_000 => {
                                map.force_help(guard);
                            }
                            2_000..3_000 => {
                                let doomed = |_: &u32, counter: &Counter| {
                                    counter.kill(killed);
                                    true
                                };
                                map.remove_if(&key, doomed, guard).expect("memory");
                            }
                            _ => {
                                charge(map, key, guard);
                                mine += 1;
                            }
                        }
                        if operation % 64 == 0 {
                            worker.collect(NOW, Budget::UNLIMITED);
                        }
                    }
                    charged.fetch_add(mine, Ordering::Relaxed);
                })
            })
            .collect();
        for charger in chargers {
            charger.join().expect("no panic");
        }
    });
    let mut worker = domain.worker();
    let guard = worker.quiescent(NOW);
    let left: u64 = map
        .iter(guard)
        .filter(|(_, c)| !c.is_dead())
        .map(|(_, c)| c.0.load(Ordering::Relaxed))
        .sum();
    let (charged, resizes) = (charged.into_inner(), resizes.into_inner());
    let (kills, killed) = (killed.counters.into_inner(), killed.charges.into_inner());
    println!("{operations} operations, {charged} charges, {kills} kills, {resizes} forced resizes");
    assert_eq!(charged, left + killed, "charged, against {left} left and {killed} killed");
    assert!(kills > operations / 1_000, "too little was killed: {kills}");
    assert!(resizes > operations / 100_000, "too few resizes: {resizes}");
}

#[test]
fn no_charge_is_lost_in_3_million_operations() {
    conserve(3_000_000);
}

#[test]
#[ignore = "long: cargo test --release -p tidegate-core --test map_ledger -- --ignored --nocapture"]
fn no_charge_is_lost_in_a_billion_operations() {
    conserve(1_000_000_000);
}

/// Which values have been dropped.
struct Drops {
    once: Box<[AtomicU64]>,
    /// Drops of what had been dropped.
    again: AtomicU64,
}

impl Drops {
    fn of(values: usize) -> &'static Self {
        let once = (0..values.div_ceil(64)).map(|_| AtomicU64::new(0)).collect();
        // What the map holds lives as long as it likes.
        Box::leak(Box::new(Self { once, again: AtomicU64::new(0) }))
    }

    fn count(&self) -> usize {
        self.once.iter().map(|word| word.load(Ordering::Relaxed).count_ones() as usize).sum()
    }
}

struct Tracked {
    id: usize,
    drops: &'static Drops,
}

impl Drop for Tracked {
    fn drop(&mut self) {
        let bit = 1 << (self.id % 64);
        let before = self.drops.once[self.id / 64].fetch_or(bit, Ordering::Relaxed);
        self.drops.again.fetch_add(u64::from(before & bit != 0), Ordering::Relaxed);
    }
}

fn drop_once(values: usize) {
    const THREADS: usize = 4;
    const KEYS: u32 = 2_000;

    let share = values / THREADS;
    let drops = Drops::of(share * THREADS);
    let domain = Domain::new();
    let map: Map<u32, Tracked> = Map::with(&domain, SeededState::new(23));
    let resizes = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let (map, domain, resizes) = (&map, &domain, &resizes);
            scope.spawn(move || {
                let mut random = fastrand::Rng::with_seed(thread as u64);
                let mut worker = domain.worker();
                let mut made = 0;
                while made < share {
                    let guard = worker.quiescent(NOW);
                    let key = random.u32(0..KEYS);
                    let mut next = || {
                        made += 1;
                        Tracked { id: thread * share + made - 1, drops }
                    };
                    match random.u8(..) {
                        0..100 => {
                            assert!(map.insert(key, next(), guard).is_ok());
                        }
                        100..130 => {
                            assert!(map.get_or_insert_with(key, next, guard).is_ok());
                        }
                        // The closure is called again if somebody else was faster.
                        130..150 if made + 100 < share => {
                            let change = |_: &Tracked| {
                                made += 1;
                                Tracked { id: thread * share + made - 1, drops }
                            };
                            assert!(map.update(&key, change, guard).is_ok());
                        }
                        150..253 => {
                            let removed = map.remove(&key, guard).expect("memory");
                            assert!(removed.is_none_or(|value| value.id < values));
                        }
                        253 if random.u8(..) < 32 => {
                            let began = force_resize(map, KEYS as usize, &mut random, guard);
                            resizes.fetch_add(usize::from(began), Ordering::Relaxed);
                        }
                        _ => {
                            worker.collect(NOW, Budget::UNLIMITED);
                        }
                    }
                }
            });
        }
    });
    let resizes = resizes.into_inner();
    println!("{} values, {resizes} forced resizes", share * THREADS);
    // How far collecting had come is the scheduler's doing. Now that nobody reads, it gets to the end.
    let mut worker = domain.worker();
    for _ in 0..16 {
        worker.collect(NOW, Budget::UNLIMITED);
    }
    assert_eq!(domain.gauges(NOW).garbage(), 0);
    assert_eq!(drops.count() + map.len(), share * THREADS, "made is dropped or there");
    drop(worker);
    drop((map, domain));
    assert_eq!(drops.again.load(Ordering::Relaxed), 0, "values were dropped again");
    assert_eq!(drops.count(), share * THREADS, "values were never dropped");
    assert!(resizes > values / 100_000, "too few resizes: {resizes}");
}

#[test]
fn every_value_of_2_million_is_dropped_once() {
    drop_once(2_000_000);
}

#[test]
#[ignore = "long: cargo test --release -p tidegate-core --test map_ledger -- --ignored --nocapture"]
fn every_value_of_100_million_is_dropped_once() {
    drop_once(100_000_000);
}

/// Each thread has keys of its own, in one table with those of the others, so it knows what each of
/// its operations must answer.
fn owned_keys(operations: u64) {
    const THREADS: usize = 6;
    const KEYS: usize = 300;

    let domain = Domain::new();
    let map: Map<usize, u64> = Map::with(&domain, SeededState::new(31));
    let (done, resizes) = (AtomicBool::new(false), AtomicU64::new(0));
    let models = std::thread::scope(|scope| {
        let ends = Ends(&done);
        let watcher = scope.spawn(|| {
            let mut looks = 0_u64;
            while !done.load(Ordering::Relaxed) {
                // A key is counted at most once at any time, so no sum of the parts exceeds this. A
                // count that went below zero would be far beyond.
                let len = map.len();
                assert!(len <= THREADS * KEYS, "{len} entries");
                looks += 1;
                std::thread::yield_now();
            }
            looks
        });
        let threads: Vec<_> = (0..THREADS)
            .map(|thread| {
                let (map, domain, resizes) = (&map, &domain, &resizes);
                scope.spawn(move || {
                    let mut random = fastrand::Rng::with_seed(thread as u64);
                    let mut worker = domain.worker();
                    let mut model = vec![None; KEYS];
                    for operation in 0..operations / THREADS as u64 {
                        let guard = worker.quiescent(NOW);
                        let index = random.usize(0..KEYS);
                        let (key, held) = (index * THREADS + thread, &mut model[index]);
                        match random.u8(..) {
                            0..80 => {
                                let old = map.insert(key, operation, guard).expect("memory");
                                assert_eq!(old.copied(), held.replace(operation));
                            }
                            80..160 => {
                                let old = map.remove(&key, guard).expect("memory");
                                assert_eq!(old.copied(), held.take());
                            }
                            160..180 => {
                                let value = map.get_or_insert_with(key, || operation, guard);
                                assert_eq!(*value.expect("memory"), *held.get_or_insert(operation));
                            }
                            180..200 => {
                                let new = map.update(&key, |value| value + 1, guard);
                                *held = held.map(|value| value + 1);
                                assert_eq!(new.expect("memory").copied(), *held);
                            }
                            200 if random.u8(..) < 32 => {
                                let keys = THREADS * KEYS;
                                let began = force_resize(map, keys, &mut random, guard);
                                resizes.fetch_add(u64::from(began), Ordering::Relaxed);
                            }
                            201 => {
                                worker.collect(NOW, Budget::UNLIMITED);
                            }
                            _ => assert_eq!(map.get(&key, guard).copied(), *held),
                        }
                    }
                    model
                })
            })
            .collect();
        let models: Vec<_> =
            threads.into_iter().map(|thread| thread.join().expect("no panic")).collect();
        drop(ends);
        assert!(watcher.join().expect("no panic") > 10);
        models
    });
    let mut expected = Vec::new();
    for (thread, model) in models.iter().enumerate() {
        for (index, held) in model.iter().enumerate() {
            expected.extend(held.map(|value| (index * THREADS + thread, value)));
        }
    }
    let mut worker = domain.worker();
    let guard = worker.quiescent(NOW);
    let mut found: Vec<_> = map.iter(guard).map(|(&key, &value)| (key, value)).collect();
    found.sort_unstable();
    expected.sort_unstable();
    assert_eq!(found, expected);
    assert_eq!(map.len(), expected.len());
    println!("{operations} operations, {} forced resizes", resizes.load(Ordering::Relaxed));
    assert!(resizes.into_inner() > operations / 100_000);
}

#[test]
fn threads_with_keys_of_their_own_never_notice_each_other() {
    owned_keys(2_000_000);
}

#[test]
#[ignore = "long: cargo test --release -p tidegate-core --test map_ledger -- --ignored --nocapture"]
fn threads_with_keys_of_their_own_never_notice_each_other_in_a_billion_operations() {
    owned_keys(1_000_000_000);
}

/// All threads insert and remove the same few keys: for each key, insertions and removals alternate,
/// so their difference says whether it is there.
///
/// The more `others` there are in the map, the longer a migration takes; the fewer, the more of what
/// happens meets one.
fn shared_keys(operations: u64, others: usize) {
    const THREADS: usize = 6;
    const KEYS: usize = 16;

    let domain = Domain::new();
    let map: Map<usize, u64> = Map::with(&domain, SeededState::new(37));
    let mut worker = domain.worker();
    for key in KEYS..KEYS + others {
        map.insert(key, 0, worker.quiescent(NOW)).expect("memory");
    }
    let balance: [AtomicI64; KEYS] = std::array::from_fn(|_| AtomicI64::new(0));
    let resizes = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let (map, domain, balance, resizes) = (&map, &domain, &balance, &resizes);
            scope.spawn(move || {
                let mut random = fastrand::Rng::with_seed(thread as u64);
                let mut worker = domain.worker();
                let mut mine = [0; KEYS];
                for operation in 0..operations / THREADS as u64 {
                    let guard = worker.quiescent(NOW);
                    let key = random.usize(0..KEYS);
                    match random.u8(..) {
                        0..120 => {
                            let old = map.insert(key, operation, guard).expect("memory");
                            mine[key] += i64::from(old.is_none());
                        }
                        120..240 => {
                            let old = map.remove(&key, guard).expect("memory");
                            mine[key] -= i64::from(old.is_some());
                        }
                        240..244 => {
                            let began = force_resize(map, KEYS + others, &mut random, guard);
                            resizes.fetch_add(u64::from(began), Ordering::Relaxed);
                        }
                        244 => {
                            worker.collect(NOW, Budget::UNLIMITED);
                        }
                        _ => {
                            map.force_help(guard);
                        }
                    }
                }
                for (mine, all) in mine.iter().zip(balance) {
                    all.fetch_add(*mine, Ordering::Relaxed);
                }
            });
        }
    });
    let guard = worker.quiescent(NOW);
    let mut there = others;
    for (key, balance) in balance.iter().enumerate() {
        let balance = balance.load(Ordering::Relaxed);
        assert_eq!(balance, i64::from(map.contains_key(&key, guard)), "key {key}");
        there += balance as usize;
    }
    assert_eq!(map.len(), there);
    assert_eq!(map.iter(guard).count(), there);
    println!("{operations} operations, {} forced resizes", resizes.load(Ordering::Relaxed));
    assert!(resizes.into_inner() > operations / 100_000);
}

#[test]
fn insertions_and_removals_of_a_key_alternate() {
    shared_keys(1_000_000, 1_000);
    shared_keys(2_000_000, 0);
}

#[test]
#[ignore = "long: cargo test --release -p tidegate-core --test map_ledger -- --ignored --nocapture"]
fn insertions_and_removals_of_a_key_alternate_in_a_billion_operations() {
    shared_keys(500_000_000, 1_000);
    shared_keys(500_000_000, 0);
}
