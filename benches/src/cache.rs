//! `Cache` beside moka, mini-moka, quick_cache and scc's `HashCache`.
//!
//! From numbers to numbers, both of 64 bits, and every cache with the same hasher. Those that know a time
//! to live have one, and read their clocks; ours is told the time, which is read once a burst of 32
//! operations. What we remove is freed within the time that is measured.

mod contenders;
mod expiry;
pub mod model;
pub mod replay;
pub mod synthetic;
mod traces;

use std::hint::black_box;

use tidegate::Budget;

use self::contenders::{Contender, MiniMoka, Moka, Ours, QuickCache, SccCache};
use crate::measure::{Contestant, Counting, Row, race, rows};
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
const BUDGET: Budget = Budget::entries(128);
/// Whom we are compared with.
const RIVALS: [&str; 4] = [Moka::NAME, MiniMoka::NAME, QuickCache::NAME, SccCache::NAME];

/// Runs everything, and hands each row over as it comes.
pub fn run(effort: Effort, mut row: impl FnMut(Row)) {
    for size in SIZES.into_iter().filter(|&size| size <= effort.keys) {
        let keys = keys(size);
        bytes(&keys, &mut row);
        gets(effort, &keys, &mut row);
        inserts(effort, &keys, &mut row);
    }
    expiry::pauses(effort, &mut row);
    traces::hit_ratios(effort, &mut row);
}

/// A cache with room for so many, that holds these.
fn filled<C: Contender>(entries: usize, keys: &[u64]) -> C {
    let cache = C::of(entries);
    let mut hand = cache.hand();
    for keys in keys.chunks(BURST) {
        let guard = cache.guard(&mut hand);
        for &key in keys {
            cache.insert(key, key, &guard);
        }
        drop(guard);
        cache.collect(&mut hand, BUDGET);
    }
    // Whoever holds a guard holds garbage back.
    drop(hand);
    cache.settle();
    cache
}

/// Gets of what is there, with room to spare.
fn gets(effort: Effort, keys: &[u64], row: &mut impl FnMut(Row)) {
    let room = 2 * keys.len();
    let ours = filled::<Ours>(room, keys);
    let moka = filled::<Moka>(room, keys);
    let mini = filled::<MiniMoka>(room, keys);
    let quick = filled::<QuickCache>(room, keys);
    let scc = filled::<SccCache>(room, keys);
    for (spread, threads) in
        [(Spread::Uniform, 1), (Spread::Uniform, 2), (Spread::Zipf, 1), (Spread::Zipf, 2)]
    {
        let sequence = sequence(keys, spread);
        let contestants: [Contestant<'_>; 5] = [
            &|thread, from, operations| get(&ours, &sequence, thread, from, operations),
            &|thread, from, operations| get(&moka, &sequence, thread, from, operations),
            &|thread, from, operations| get(&mini, &sequence, thread, from, operations),
            &|thread, from, operations| get(&quick, &sequence, thread, from, operations),
            &|thread, from, operations| get(&scc, &sequence, thread, from, operations),
        ];
        let times = race(&contestants, threads, effort.turns, 1 << 20);
        let case = format!("get {}", spread.word());
        rows("cache", &case, keys.len(), threads, &RIVALS, &times).for_each(&mut *row);
    }
}

fn get<C: Contender>(cache: &C, sequence: &[u64], thread: usize, from: usize, operations: usize) {
    let mut hand = cache.hand();
    for (_, keys) in chunks(sequence, thread, from, operations) {
        let guard = cache.guard(&mut hand);
        for &key in keys {
            black_box(cache.get(key, &guard));
        }
    }
}

/// Inserts of keys never seen before, into a cache that is full: each evicts another.
fn inserts(effort: Effort, keys: &[u64], row: &mut impl FnMut(Row)) {
    let size = keys.len();
    let ours = filled::<Ours>(size, keys);
    let moka = filled::<Moka>(size, keys);
    let mini = filled::<MiniMoka>(size, keys);
    let quick = filled::<QuickCache>(size, keys);
    let scc = filled::<SccCache>(size, keys);
    for threads in [1, 2] {
        let contestants: [Contestant<'_>; 5] = [
            &|thread, from, operations| insert(&ours, thread, from, operations),
            &|thread, from, operations| insert(&moka, thread, from, operations),
            &|thread, from, operations| insert(&mini, thread, from, operations),
            &|thread, from, operations| insert(&quick, thread, from, operations),
            &|thread, from, operations| insert(&scc, thread, from, operations),
        ];
        let times = race(&contestants, threads, effort.turns, 1 << 19);
        rows("cache", "insert-at-capacity", size, threads, &RIVALS, &times).for_each(&mut *row);
    }
}

fn insert<C: Contender>(cache: &C, thread: usize, from: usize, operations: usize) {
    let mut hand = cache.hand();
    let first = ((thread << 40) + from) as u64;
    for burst in 0..(operations / BURST) as u64 {
        let guard = cache.guard(&mut hand);
        for at in 0..BURST as u64 {
            let key = fresh(first + burst * BURST as u64 + at);
            cache.insert(key, key, &guard);
        }
        drop(guard);
        cache.collect(&mut hand, BUDGET);
    }
}

/// Bytes requested of the allocator, an entry, when nothing is put off any more.
fn bytes(keys: &[u64], row: &mut impl FnMut(Row)) {
    let entries = keys.len() as f64;
    let requested = [
        requested::<Ours>(keys),
        requested::<Moka>(keys),
        requested::<MiniMoka>(keys),
        requested::<QuickCache>(keys),
        requested::<SccCache>(keys),
    ];
    let ours = requested[0] as f64 / entries;
    let bytes = requested.map(|bytes| bytes as f64 / entries).map(|bytes| (bytes, bytes / ours));
    for figure in rows("cache", "bytes", keys.len(), 1, &RIVALS, &bytes) {
        row(Row { unit: Some("bytes"), ..figure });
    }
}

fn requested<C: Contender>(keys: &[u64]) -> usize {
    // Once before, so that what threads and domains hold for good is not counted.
    drop(filled::<C>(1, &keys[..1]));
    let before = Counting::requested();
    let cache = filled::<C>(keys.len(), keys);
    let bytes = Counting::requested().wrapping_sub(before);
    drop(cache);
    bytes
}
