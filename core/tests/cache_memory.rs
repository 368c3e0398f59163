//! What a cache holds is bounded by what is in it, whatever passed through it, and comes back when that
//! has gone.
//!
//! Bytes are counted by thread, so all that a test allocates and frees it does on its own.

#[path = "common/allocator.rs"]
mod allocator;
mod common;

use std::time::Duration;

use allocator::{allocations, live};
use common::fixtures::{self, cache_builder};
use common::memory::{CROSSBEAM, drain};
use tidegate_core::cache::Insert;
use tidegate_core::{Budget, Cache, Domain, Instant, Sweep, Tier, Tiers};

const NOW: Instant = Instant::from_secs(100);

/// A number as a key, 64 KiB of whose handles would be noticed.
const ROUNDS: u64 = 50_000;

/// What dies otherwise than by eviction leaves its handle in the order, and in a cache that is never
/// full nobody takes handles out of it but to tidy up.
#[test]
fn handles_of_what_died_otherwise_are_bounded() {
    let (cache, mut worker): (Cache<u64, u64>, _) = fixtures::cache(|it| it);
    // One that stays, in front of all the others.
    cache.insert(u64::MAX, 0, NOW, worker.quiescent(NOW)).expect("room");
    let mut round = |key| {
        let guard = worker.quiescent(NOW);
        cache.insert(key, 0, NOW, guard).expect("room");
        cache.insert(1 << 40, key, NOW, guard).expect("room");
        cache.invalidate(&key, NOW, guard);
        worker.collect(NOW, Budget::entries(64));
    };
    (0..1_000).for_each(&mut round);
    let before = live();
    (1_000..ROUNDS).for_each(&mut round);
    let more = live().saturating_sub(before);
    assert!(more <= CROSSBEAM + (4 << 10), "{more} bytes more, with two entries");
    assert_eq!(cache.usage().entries, 2);
    let guard = worker.quiescent(NOW);
    assert_eq!(cache.evict_bytes(u64::MAX, Tiers::ALL, NOW, guard).entries, 2, "both are in it");
}

/// What comes into a tier while a lower one makes room is all in its small queue. The first eviction
/// there must not move it to the main queue in one call. (A segment is allocated for 204 handles.)
#[test]
fn no_eviction_moves_a_whole_queue() {
    const ENTRIES: u64 = 20_000;
    let (cache, mut worker): (Cache<u64, u64>, _) = fixtures::cache(|it| it.max_entries(ENTRIES));
    for key in 0..ENTRIES {
        cache.insert(key, key, NOW, worker.quiescent(NOW)).expect("room");
    }
    let upper = Insert::new().tier(Tier::new(1));
    for key in ENTRIES..3 * ENTRIES {
        let guard = worker.quiescent(NOW);
        let before = allocations();
        cache.insert_with(key, key, upper, NOW, guard).expect("room");
        let many = allocations() - before;
        assert!(many <= 8, "{many} allocations for one entry, the {}th", key - ENTRIES);
    }
}

/// A key comes back, and is compared with a victim that has expired: a listener that panics then leaves
/// the new entry its place in the order.
#[test]
fn a_listener_that_panics_leaves_no_entry_out_of_the_order() {
    let armed = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let panics = std::sync::Arc::clone(&armed);
    let (cache, mut worker): (Cache<u64, u64>, _) = fixtures::cache(|it| {
        it.max_entries(100).listener(move |_, _, _| {
            assert!(!panics.swap(false, std::sync::atomic::Ordering::Relaxed), "told");
        })
    });
    let (guard, later) = (worker.quiescent(NOW), NOW + Duration::from_secs(20));
    let brief = Insert::new().time_to_live(Duration::from_secs(10));
    for key in 0..90 {
        cache.insert_with(key, key, brief, NOW, guard).expect("room");
    }
    // The main queue is full of them. What comes now is in the small queue, and soon evicted.
    for key in 90..200 {
        cache.insert(key, key, NOW, guard).expect("room");
    }
    assert_eq!(cache.invalidate(&199, NOW, guard), Some(&199), "there is room for one");
    let evicted = (150..199).rev().find(|key| cache.peek(key, NOW, guard).is_none());
    let evicted = evicted.expect("one that is remembered");
    armed.store(true, std::sync::atomic::Ordering::Relaxed);
    let insert = std::panic::AssertUnwindSafe(|| cache.insert(evicted, 0, later, guard).is_ok());
    assert!(std::panic::catch_unwind(insert).is_err(), "the listener was told of an expired one");
    assert_eq!(cache.peek(&evicted, later, guard), Some(&0));
    let left = cache.usage().entries;
    assert_eq!(cache.evict_bytes(u64::MAX, Tiers::ALL, later, guard).entries, left);
    assert_eq!(cache.usage().entries, 0);
}

/// I-B9, S-C29: what expires in a cache that nobody inserts into any more is given back by sweeping.
#[test]
fn an_idle_cache_gives_back_what_has_expired() {
    let domain = Domain::new();
    let (mut worker, mut sweeping) = (domain.worker(), domain.worker());
    drain(&mut sweeping, NOW);
    let before = live();
    let ttl = Duration::from_secs(60);
    let cache: Cache<u64, u64> = cache_builder(&domain).time_to_live(ttl).build().expect("memory");
    let empty = live();
    for key in 0..100_000 {
        cache.insert(key, key, NOW, worker.quiescent(NOW)).expect("room");
    }
    worker.offline(|| ());
    let (full, now) = (live(), NOW + ttl);
    let mut sweep = cache.sweeper(sweeping);
    for _ in 0..40 {
        while !sweep.sweep(now, Budget::entries(1_000)).wrapped {}
    }
    assert_eq!(cache.usage().entries, 0);
    assert_eq!(cache.counters().expired, 100_000);
    drop(sweep);
    drain(&mut worker, now);
    let left = live().saturating_sub(empty);
    let an_entry = (full - empty) / 100_000;
    assert!(an_entry <= 133, "{an_entry} bytes an entry");
    assert!(left <= (full - empty) / 100 + CROSSBEAM, "{left} of {} bytes left", full - empty);
    drop(cache);
    drain(&mut worker, now);
    assert!(live() <= before + CROSSBEAM, "{} bytes leak", live() - before);
}

/// Entries that come and go by eviction take no more memory than those that are there.
#[test]
fn what_was_evicted_is_freed() {
    let (cache, mut worker): (Cache<u64, u64>, _) = fixtures::cache(|it| it.max_entries(1_000));
    let mut insert = |key| {
        cache.insert(key, 0, NOW, worker.quiescent(NOW)).expect("room");
        worker.collect(NOW, Budget::entries(8));
    };
    (0..10_000).for_each(&mut insert);
    let before = live();
    (10_000..200_000).for_each(&mut insert);
    assert!(live() <= before + CROSSBEAM, "{} bytes more", live() - before);
}
