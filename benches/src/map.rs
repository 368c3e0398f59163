//! `Map` beside papaya, flurry, scc and dashmap.
//!
//! From numbers to numbers, both of 64 bits, and every map with the same hasher: structures are
//! compared, not hashers. What we remove is freed within the time that is measured: a second worker
//! of the same thread collects once a burst of 32 operations.

mod contenders;

use std::hint::black_box;
use std::time::{Duration, Instant};

use tidegate::Budget;

use self::contenders::{Contender, DashMap, Flurry, Ours, Papaya, SccIndex, SccMap};
use crate::measure::{Contestant, Counting, Row, medians, micros, race, rows, thread_time};
use crate::workload::{BURST, Spread, chunks, fresh, keys, sequence};

/// How much of it to run.
#[derive(Clone, Copy, Debug)]
pub struct Effort {
    /// Counted turns of each contestant.
    pub turns: usize,
    /// The largest number of keys.
    pub keys: usize,
}

const SIZES: [usize; 3] = [1_000, 100_000, 1_000_000];
/// What one step of collecting may free: more than a burst retires.
const BUDGET: Budget = Budget::entries(256);
/// Whom we are compared with, in the order of an [`Arena`].
const RIVALS: [&str; 5] = ["papaya", "flurry", "scc::HashIndex", "scc::HashMap", "dashmap"];

/// Runs everything, and hands each row over as it comes.
pub fn run(effort: Effort, mut row: impl FnMut(Row)) {
    for size in SIZES.into_iter().filter(|&size| size <= effort.keys) {
        let keys = keys(size);
        bytes(&keys, &mut row);
        fills(effort, &keys, &mut row);
        gets(effort, &keys, &mut row);
        changes(effort, &keys, &mut row);
    }
    grow(effort, &mut row);
}

/// What is done to a map, again and again.
#[derive(Clone, Copy)]
enum Deed {
    /// Gets, with one guard a burst.
    Get,
    /// Gets, with one guard each.
    GetPinned,
    Update,
    /// Inserts a key never seen before, and removes it: that pair is one operation.
    InsertRemove,
    /// 90 % gets, 9 % updates, 1 % pairs as above.
    Mixed,
}

/// A deed, and the keys in the order in which they come.
struct Work<'a> {
    deed: Deed,
    sequence: &'a [u64],
}

impl Work<'_> {
    /// One turn of a contender.
    fn turn<M: Contender>(&self, map: &M, thread: usize, from: usize, operations: usize) {
        match self.deed {
            Deed::Get => self.each(map, thread, from, operations, |map, _, key, guard| {
                black_box(map.get(key, guard));
            }),
            Deed::GetPinned => self.pinned(map, thread, from, operations),
            Deed::Update => self.each(map, thread, from, operations, |map, at, key, guard| {
                map.update(key, at, guard);
            }),
            Deed::InsertRemove => self.each(map, thread, from, operations, |map, at, _, guard| {
                insert_and_remove(map, fresh(at), guard);
            }),
            Deed::Mixed => self.each(map, thread, from, operations, mixed),
        }
    }

    /// Hands each operation's position and key to `f`, and collects after each burst of those that
    /// retire.
    #[inline(always)]
    fn each<M: Contender>(
        &self,
        map: &M,
        thread: usize,
        from: usize,
        operations: usize,
        f: impl Fn(&M, u64, u64, &M::Guard<'_>),
    ) {
        let mut hand = map.hand();
        let retires = !matches!(self.deed, Deed::Get);
        for (at, keys) in chunks(self.sequence, thread, from, operations) {
            let guard = map.guard(&mut hand);
            for (at, &key) in (at..).zip(keys) {
                f(map, at, key, &guard);
            }
            drop(guard);
            if retires {
                map.collect(&mut hand, BUDGET);
            }
        }
    }

    fn pinned<M: Contender>(&self, map: &M, thread: usize, from: usize, operations: usize) {
        let mut hand = map.hand();
        for (_, keys) in chunks(self.sequence, thread, from, operations) {
            for &key in keys {
                black_box(map.get_pinned(&mut hand, key));
            }
        }
    }
}

#[inline]
fn insert_and_remove<M: Contender>(map: &M, key: u64, guard: &M::Guard<'_>) {
    map.insert(key, key, guard);
    map.remove(key, guard);
}

#[inline]
fn mixed<M: Contender>(map: &M, at: u64, key: u64, guard: &M::Guard<'_>) {
    // Drawn, not in turns: nobody's branches are to foresee it.
    let drawn = fresh(at);
    match ((drawn >> 32) * 100) >> 32 {
        0..90 => _ = black_box(map.get(key, guard)),
        90..99 => map.update(key, at, guard),
        _ => insert_and_remove(map, drawn, guard),
    }
}

/// Everyone who takes turns, filled with the same keys.
struct Arena {
    ours: Ours,
    papaya: Papaya,
    flurry: Flurry,
    index: SccIndex,
    map: SccMap,
    dash: DashMap,
}

impl Arena {
    fn new(keys: &[u64]) -> Self {
        Self {
            ours: settled(keys),
            papaya: settled(keys),
            flurry: settled(keys),
            index: settled(keys),
            map: settled(keys),
            dash: settled(keys),
        }
    }

    /// Nanoseconds of each, in the order of [`RIVALS`] after ours.
    fn race(
        &self,
        work: &Work<'_>,
        threads: usize,
        turns: usize,
        operations: usize,
    ) -> Vec<(f64, f64)> {
        let contestants: [Contestant<'_>; 6] = [
            &|thread, from, operations| work.turn(&self.ours, thread, from, operations),
            &|thread, from, operations| work.turn(&self.papaya, thread, from, operations),
            &|thread, from, operations| work.turn(&self.flurry, thread, from, operations),
            &|thread, from, operations| work.turn(&self.index, thread, from, operations),
            &|thread, from, operations| work.turn(&self.map, thread, from, operations),
            &|thread, from, operations| work.turn(&self.dash, thread, from, operations),
        ];
        race(&contestants, threads, turns, operations)
    }
}

/// An empty map filled with `keys`.
fn filled<M: Contender>(keys: &[u64]) -> M {
    let map = M::empty();
    bursts(&map, keys, |map, key, guard| map.insert(key, key, guard));
    map
}

/// A filled map whose every value was replaced once: several grow step by step, at each change, and
/// after so many are done with it.
fn settled<M: Contender>(keys: &[u64]) -> M {
    let map = filled::<M>(keys);
    bursts(&map, keys, |map, key, guard| map.update(key, key, guard));
    map
}

fn bursts<M: Contender>(map: &M, keys: &[u64], f: impl Fn(&M, u64, &M::Guard<'_>)) {
    let mut hand = map.hand();
    for keys in keys.chunks(BURST) {
        let guard = map.guard(&mut hand);
        for &key in keys {
            f(map, key, &guard);
        }
        drop(guard);
        map.collect(&mut hand, BUDGET);
    }
}

fn gets(effort: Effort, keys: &[u64], row: &mut impl FnMut(Row)) {
    let size = keys.len();
    let arena = Arena::new(keys);
    // Long enough that what the turn before has pushed out of the caches is soon back.
    let operations = if size > 100_000 { 1 << 20 } else { 1 << 21 };
    for (case, deed, spread, threads) in [
        ("get-guard uniform", Deed::Get, Spread::Uniform, 1),
        ("get-guard uniform", Deed::Get, Spread::Uniform, 2),
        ("get-guard zipf", Deed::Get, Spread::Zipf, 1),
        ("get-pin uniform", Deed::GetPinned, Spread::Uniform, 1),
        ("get-pin uniform", Deed::GetPinned, Spread::Uniform, 2),
    ] {
        let work = Work { deed, sequence: &sequence(keys, spread) };
        let times = arena.race(&work, threads, effort.turns, operations);
        rows("map", case, size, threads, &RIVALS, &times).for_each(&mut *row);
    }
    let sequence = sequence(keys, Spread::Uniform);
    let work = Work { deed: Deed::Get, sequence: &sequence };
    let contestants: [Contestant<'_>; 3] = [
        &|thread, from, operations| many(&arena.ours, &sequence, thread, from, operations),
        &|thread, from, operations| work.turn(&arena.ours, thread, from, operations),
        &|thread, from, operations| work.turn(&arena.papaya, thread, from, operations),
    ];
    let times = race(&contestants, 1, effort.turns, operations);
    let rivals = ["tidegate 32 x get", "papaya"];
    rows("map", "get-many uniform", size, 1, &rivals, &times).for_each(row);
}

/// One turn of gets, a burst at a time.
fn many(map: &Ours, sequence: &[u64], thread: usize, from: usize, operations: usize) {
    let mut hand = map.hand();
    for (_, keys) in chunks(sequence, thread, from, operations) {
        let guard = map.guard(&mut hand);
        let mut values = [None; BURST];
        map.get_many(keys, &mut values, guard);
        black_box(&values);
    }
}

fn changes(effort: Effort, keys: &[u64], row: &mut impl FnMut(Row)) {
    let size = keys.len();
    let sequence = sequence(keys, Spread::Uniform);
    // What is removed may leave a tombstone behind, and only a rebuild of the whole table gets rid
    // of them (papaya). A turn has four times as many pairs as there are residents, and never few,
    // so that everyone pays for such rebuilds within each turn.
    let pairs = (4 * size).max(400_000).next_multiple_of(2 * BURST);
    for (case, deed, operations) in [
        ("update uniform", Deed::Update, 1 << 20),
        ("insert-remove fresh", Deed::InsertRemove, pairs),
        ("mixed 90/9/1", Deed::Mixed, 1 << 20),
    ] {
        let arena = Arena::new(keys);
        let work = Work { deed, sequence: &sequence };
        for threads in [1, 2] {
            // The pairs of a turn are those of all threads together.
            let operations = match deed {
                Deed::InsertRemove => operations / threads,
                _ => operations,
            };
            let times = arena.race(&work, threads, effort.turns, operations);
            rows("map", case, size, threads, &RIVALS, &times).for_each(&mut *row);
        }
    }
}

/// From nothing to all keys, an entry. What is then dropped is dropped outside of the time.
fn fills(effort: Effort, keys: &[u64], row: &mut impl FnMut(Row)) {
    let contestants: [fn(&[u64]) -> Duration; 6] = [
        fill::<Ours>,
        fill::<Papaya>,
        fill::<Flurry>,
        fill::<SccIndex>,
        fill::<SccMap>,
        fill::<DashMap>,
    ];
    // As many as make a turn of some 20 ms.
    let fills = (200_000 / keys.len()).max(1);
    let mut times = vec![Vec::new(); contestants.len()];
    // The first turn warms up and is not counted.
    for turn in 0..=effort.turns {
        for (fill, times) in contestants.iter().zip(&mut times) {
            let time: Duration = (0..fills).map(|_| fill(keys)).sum();
            if turn > 0 {
                times.push(time.as_nanos() as f64 / (fills * keys.len()) as f64);
            }
        }
    }
    rows("map", "insert new", keys.len(), 1, &RIVALS, &medians(&times)).for_each(row);
}

fn fill<M: Contender>(keys: &[u64]) -> Duration {
    let start = Instant::now();
    let map = filled::<M>(keys);
    let time = start.elapsed();
    drop(map);
    time
}

/// Bytes requested of the allocator, an entry, when nothing is under way any more.
fn bytes(keys: &[u64], row: &mut impl FnMut(Row)) {
    let entries = keys.len() as f64;
    let ours = requested(keys, finish) as f64 / entries;
    let theirs = [
        requested(keys, |_: &Papaya| ()),
        requested(keys, |_: &Flurry| ()),
        requested(keys, |_: &SccIndex| drain()),
        requested(keys, |_: &SccMap| drain()),
        requested(keys, |_: &DashMap| ()),
    ]
    .map(|bytes| bytes as f64 / entries);
    let times: Vec<_> =
        [ours].into_iter().chain(theirs).map(|bytes| (bytes, bytes / ours)).collect();
    for figure in rows("map", "bytes", keys.len(), 1, &RIVALS, &times) {
        row(Row { unit: Some("bytes"), ..figure });
    }
}

fn requested<M: Contender>(keys: &[u64], finish: impl Fn(&M)) -> usize {
    // What the one before left behind must not be returned while this one's bytes are counted.
    drain();
    let before = Counting::requested();
    let map = filled::<M>(keys);
    finish(&map);
    Counting::requested().wrapping_sub(before)
}

/// Ends a migration, and frees everything retired.
fn finish(map: &Ours) {
    let mut hand = map.hand();
    while map.force_help(map.guard(&mut hand)) {}
    let now = tidegate::Instant::ORIGIN;
    while map.domain().gauges(now).garbage() > 0 {
        map.guard(&mut hand);
        map.collect(&mut hand, Budget::UNLIMITED);
    }
}

/// Frees what maps of scc have removed: each end of a guard may be a step towards that.
fn drain() {
    for _ in 0..4_096 {
        drop(scc::Guard::new());
    }
}

/// What inserts into a map that grows from nothing have cost, in microseconds of the thread's own time.
#[derive(Default)]
struct Slowest {
    /// The slowest insert of each run.
    insert: Vec<f64>,
    /// The slowest in most runs: each insert counts by its median over the runs. What the machine did to
    /// one run, it did not do to the same insert of another.
    steady: Vec<f64>,
    /// One in 10,000 is slower.
    rare: Vec<f64>,
    /// The slowest step of collecting.
    collect: Vec<f64>,
}

/// Runs so often, and fills a map with the keys in each.
type Growing = fn(usize, &[u64]) -> Slowest;

/// How long the slowest inserts take while the map grows.
fn grow(effort: Effort, row: &mut impl FnMut(Row)) {
    let keys = keys(4_000_000.min(4 * effort.keys));
    let contestants: [Growing; 6] = [
        slowest::<Ours>,
        slowest::<Papaya>,
        slowest::<Flurry>,
        slowest::<SccIndex>,
        slowest::<SccMap>,
        slowest::<DashMap>,
    ];
    // The worst of a run is a single event: somewhat more runs than turns.
    let runs = 9.min(effort.turns + 2);
    let slowest: Vec<_> = contestants.iter().map(|contestant| contestant(runs, &keys)).collect();
    let mut figures = |case, rivals: &[&'static str], figures: &[Vec<f64>]| {
        for figure in rows("map", case, keys.len(), 1, rivals, &medians(figures)) {
            row(Row { unit: Some("us worst"), ..figure });
        }
    };
    let all = |figure: fn(&Slowest) -> &Vec<f64>| -> Vec<_> {
        slowest.iter().map(|slowest| figure(slowest).clone()).collect()
    };
    figures("grow-worst", &RIVALS, &all(|slowest| &slowest.insert));
    figures("grow-worst in most runs", &RIVALS, &all(|slowest| &slowest.steady));
    figures("grow-worst p99.99", &RIVALS, &all(|slowest| &slowest.rare));
    // Beside our own worst insert, so that nothing is hidden.
    let ours = [slowest[0].insert.clone(), slowest[0].collect.clone()];
    figures("grow-worst collect", &["tidegate collect"], &ours);
}

/// Times each insert together with its guard: some free what was retired when a guard ends.
fn slowest<M: Contender>(runs: usize, keys: &[u64]) -> Slowest {
    let mut slowest = Slowest::default();
    // Written, so that the memory is there before the first insert is timed.
    let mut times = vec![vec![1; keys.len()]; runs];
    for times in &mut times {
        let map = M::empty();
        let mut hand = map.hand();
        let mut collect = 0;
        let mut before = thread_time();
        for (at, (&key, time)) in keys.iter().zip(&mut *times).enumerate() {
            let guard = map.guard(&mut hand);
            map.insert(key, key, &guard);
            drop(guard);
            let after = thread_time();
            *time = u32::try_from(after - before).unwrap_or(u32::MAX);
            before = after;
            if at % BURST == BURST - 1 {
                map.collect(&mut hand, Budget::entries(64));
                before = thread_time();
                collect = collect.max(before - after);
            }
        }
        slowest.collect.push(collect as f64 / 1e3);
        let mut sorted = times.clone();
        sorted.sort_unstable();
        slowest.insert.push(micros(sorted[sorted.len() - 1]));
        slowest.rare.push(micros(sorted[sorted.len() - 1 - sorted.len() / 10_000]));
    }
    let of_insert = |at: usize| {
        let mut of_runs: Vec<_> = times.iter().map(|times| times[at]).collect();
        of_runs.sort_unstable();
        of_runs[runs / 2]
    };
    slowest.steady.push(micros((0..keys.len()).map(of_insert).max().unwrap_or(0)));
    slowest
}
