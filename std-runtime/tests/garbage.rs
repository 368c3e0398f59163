//! Memory stays bounded on a server: with the front page's own recipe, without a sweep, by one thread
//! and by many more threads than processors.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicBool, AtomicIsize, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant as Moment};

use tidegate::lockfree::{Cache, CacheSweep, Map};
use tidegate::{
    Budget, Clock, GetOrLoad, Instant, LoadError, Runtime, Schedule, caught_panics, clock, domain,
    pin, random_state,
};

/// Bytes that the process has allocated and not freed, and the most there were since the last look.
static LIVE: AtomicIsize = AtomicIsize::new(0);
static MOST: AtomicIsize = AtomicIsize::new(0);

struct Counting;

fn count(by: isize) {
    let live = LIVE.fetch_add(by, Ordering::Relaxed) + by;
    if live > MOST.load(Ordering::Relaxed) {
        MOST.fetch_max(live, Ordering::Relaxed);
    }
}

// SAFETY: every call is passed on to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size().cast_signed());
        // SAFETY: the caller's promise about `layout` is the one asked for.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        count(-layout.size().cast_signed());
        // SAFETY: `memory` came from `alloc` with this `layout`, by the caller's promise.
        unsafe { System.dealloc(memory, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// One test at a time: they share the domain and the count of bytes.
static TURN: Mutex<()> = Mutex::new(());

const MIB: isize = 1 << 20;
const PAGE: usize = 1024;

type Pages = Cache<u64, Vec<u8>, LoadError<String>>;

/// A cache of a mebibyte.
fn pages() -> Arc<Pages> {
    let weigher = |_: &u64, page: &Vec<u8>| page.len() as u64;
    let builder = Cache::builder(domain(), random_state()).max_bytes(1 << 20).weigher(weigher);
    Arc::new(builder.time_to_live(Duration::from_secs(60)).build().expect("memory"))
}

/// Loads new keys for so long on so many threads; the most bytes held meanwhile, beyond those before.
fn load(cache: &Arc<Pages>, threads: u64, time: Duration) -> isize {
    let over = AtomicBool::new(false);
    let loads = AtomicU64::new(0);
    let before = LIVE.load(Ordering::Relaxed);
    MOST.store(before, Ordering::Relaxed);
    std::thread::scope(|scope| {
        for thread in 0..threads {
            let (over, loads) = (&over, &loads);
            scope.spawn(move || {
                let mut key = thread << 32;
                while !over.load(Ordering::Relaxed) {
                    let loaded = cache.get_or_load(&key, |_| Ok(vec![1; PAGE]), &clock());
                    assert!(loaded.is_ok());
                    key += 1;
                }
                loads.fetch_add(key & 0xffff_ffff, Ordering::Relaxed);
            });
        }
        let start = Moment::now();
        while start.elapsed() < time || loads_are_few(cache) {
            std::thread::sleep(Duration::from_millis(10));
        }
        over.store(true, Ordering::Relaxed);
    });
    assert!(loads.load(Ordering::Relaxed) > 20_000, "too little passed through the cache");
    MOST.load(Ordering::Relaxed) - before
}

/// Whether less was inserted than shows anything: the machine may be busy with others.
fn loads_are_few(cache: &Pages) -> bool {
    cache.counters().inserted < 30_000
}

#[test]
fn a_small_cache_holds_little_whether_it_is_swept_or_not() {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    for is_swept in [false, true] {
        let cache = pages();
        let runtime = Runtime::builder().build().expect("a runtime");
        let schedule = Schedule::for_ttl(Duration::from_secs(60));
        let sweep = CacheSweep::new(Arc::clone(&cache), domain().worker());
        let sweeping = is_swept.then(|| runtime.sweep("pages", schedule, sweep).expect("new"));
        runtime.start().expect("threads");
        let most = load(&cache, 1, Duration::from_millis(500));
        // Half as much again as the mebibyte that is live, and 4 MiB.
        assert!(most < 11 * MIB / 2, "{most} bytes; swept: {is_swept}");
        drop(sweeping);
    }
}

#[test]
fn a_small_cache_holds_little_under_more_threads_than_processors() {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let most = load(&pages(), 8, Duration::from_secs(1));
    println!("{:.1} MiB", most as f64 / MIB as f64);
    // A thread that loses its processor under a guard, to another program even, holds back what the
    // others remove meanwhile. Without a bound this is hundreds of mebibytes.
    assert!(most < 48 * MIB, "{most} bytes");
}

/// Panics at its end.
#[derive(Debug)]
struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        panic!("on purpose");
    }
}

#[test]
fn destructors_that_panic_are_contained_and_those_that_use_the_map_nest_nothing() {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let bombs = Map::with(domain(), random_state());
    let before = caught_panics();
    std::panic::set_hook(Box::new(|_| ()));
    for key in 0..3_000_u32 {
        bombs.insert(key, Bomb, &pin()).expect("memory");
        assert!(bombs.remove(&key, &pin()).expect("memory").is_some());
    }
    let caught = caught_panics() - before;
    // The rest panics before the hook is gone: otherwise each would be reported within another test.
    drop(bombs);
    let mut worker = domain().worker();
    while domain().gauges(Instant::ORIGIN).garbage() > 0 {
        worker.quiescent(Instant::ORIGIN);
        worker.collect(Instant::ORIGIN, Budget::UNLIMITED);
    }
    drop(std::panic::take_hook());
    assert!(caught > 1_000, "{caught} were freed");

    struct Nested(Arc<Map<u32, Nested>>, u32, Arc<AtomicU64>);
    impl Drop for Nested {
        fn drop(&mut self) {
            let depth = self.2.fetch_add(1, Ordering::Relaxed);
            assert_eq!(depth, 0, "a destructor within a destructor");
            _ = self.0.get(&self.1, &pin()).is_some();
            _ = self.0.remove(&(self.1 ^ 1), &pin());
            self.2.fetch_sub(1, Ordering::Relaxed);
        }
    }
    let map = Arc::new(Map::with(domain(), random_state()));
    let depth = Arc::new(AtomicU64::new(0));
    let caught = caught_panics();
    for key in 0..20_000_u32 {
        let nested = Nested(Arc::clone(&map), key, Arc::clone(&depth));
        assert!(map.insert(key, nested, &pin()).is_ok());
        if key > 100 {
            _ = map.remove(&(key - 100), &pin());
        }
    }
    assert_eq!(caught_panics(), caught, "destructors ran within each other");
    let now = clock().now();
    assert!(domain().gauges(now.max(Instant::ORIGIN)).freed > 10_000);
}
