//! Loading through a cache, `Cache::load`, beside moka's `get_with` and quick_cache's
//! `get_or_insert_with`: what it costs that nobody loads twice, where loading itself costs nothing.

use std::hint::black_box;
use std::time::Duration;

use quick_cache::UnitWeighter;
use quick_cache::sync::DefaultLifecycle;
use tidegate::lockfree::Cache;
use tidegate::lockfree::cache::Load;
use tidegate::lockfree::flight::Caller;
use tidegate::{Budget, Clock, MonotonicClock, SeededState};

use crate::measure::{Contestant, Row, race, rows};
use crate::workload::{BURST, Spread, chunks, fresh, keys, sequence};

const ENTRIES: usize = 10_000;
const TTL: Duration = Duration::from_secs(3_600);

type Ours = Cache<u64, u64>;
type Moka = moka::sync::Cache<u64, u64, SeededState>;
type Quick = quick_cache::sync::Cache<u64, u64, UnitWeighter, SeededState>;

/// Runs everything, and hands each row over as it comes.
pub fn run(turns: usize, mut row: impl FnMut(Row)) {
    let hasher = || SeededState::new(0x5eed);
    let builder = Cache::builder(tidegate::domain(), hasher()).max_entries(ENTRIES as u64);
    let ours: Ours = builder.time_to_live(TTL).build().expect("memory");
    let moka = moka::sync::Cache::builder().max_capacity(ENTRIES as u64).time_to_live(TTL);
    let moka: Moka = moka.build_with_hasher(hasher());
    let lifecycle = DefaultLifecycle::default();
    let quick = Quick::with(ENTRIES, ENTRIES as u64, UnitWeighter, hasher(), lifecycle);
    let hot = sequence(&keys(ENTRIES / 2), Spread::Uniform);
    for (case, key) in [
        ("load hit", &(|_: u64, hot: u64| hot) as &(dyn Fn(u64, u64) -> u64 + Sync)),
        ("load miss", &|at: u64, _: u64| fresh(at)),
    ] {
        for threads in [1, 2] {
            let contestants: [Contestant<'_>; 3] = [
                &|thread, from, operations| load(&ours, key, &hot, thread, from, operations),
                &|thread, from, operations| {
                    for (at, hot) in each(&hot, thread, from, operations) {
                        let key = key(at, hot);
                        black_box(moka.get_with(key, || key));
                    }
                },
                &|thread, from, operations| {
                    for (at, hot) in each(&hot, thread, from, operations) {
                        let key = key(at, hot);
                        _ = black_box(quick.get_or_insert_with(&key, || Ok::<_, ()>(key)));
                    }
                },
            ];
            let times = race(&contestants, threads, turns, 1 << 19);
            rows("flight", case, ENTRIES, threads, &["moka", "quick_cache"], &times)
                .for_each(&mut row);
        }
    }
}

/// Each operation's number, and the key that it would be of those that are hot.
fn each(
    hot: &[u64],
    thread: usize,
    from: usize,
    operations: usize,
) -> impl Iterator<Item = (u64, u64)> + '_ {
    chunks(hot, thread, from, operations).flat_map(|(at, keys)| (at..).zip(keys.iter().copied()))
}

fn load(
    cache: &Ours,
    key: &dyn Fn(u64, u64) -> u64,
    hot: &[u64],
    thread: usize,
    from: usize,
    operations: usize,
) {
    let (mut worker, mut collector) = (cache.domain().worker(), cache.domain().worker());
    let (clock, caller) = (MonotonicClock::new(), Caller(thread as u32));
    for (at, keys) in chunks(hot, thread, from, operations) {
        let now = clock.now();
        let guard = worker.quiescent(now);
        for (at, &hot) in (at..).zip(keys) {
            let key = key(at, hot);
            match cache.load(&key, caller, now, guard) {
                Ok(Load::Hit(value)) => _ = black_box(value),
                Ok(Load::Lead(loading)) => _ = black_box(loading.complete(key, now, guard)),
                // The other thread is at it.
                _ => {}
            }
        }
        collector.collect(now, Budget::entries(8 * BURST));
    }
}
