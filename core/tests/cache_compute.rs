//! Changing a key of a cache by what it stands for.

mod common;

use std::sync::Arc;
use std::time::Duration;

use common::fixtures::{self, cache, cache_builder};
use tidegate_core::cache::{Computed, Load, Op};
use tidegate_core::flight::Caller;
use tidegate_core::{Cache, CacheError, Domain, Instant, RemovalCause};

const NOW: Instant = Instant::from_secs(100);

fn one_more(count: Option<&u64>) -> Op<u64> {
    Op::Put(count.map_or(1, |count| count + 1))
}

#[test]
fn what_is_computed_is_put_kept_or_removed() {
    let domain = Domain::new();
    let log = fixtures::Log::default();
    let cache: Cache<u32, u64, u64> = cache_builder(&domain)
        .max_entries(2)
        .time_to_live(Duration::from_secs(10))
        .listener(log.listener())
        .build()
        .expect("memory");
    let mut worker = domain.worker();
    let guard = worker.quiescent(NOW);
    let compute = |f: fn(Option<&u64>) -> Op<u64>, now| cache.compute(7, f, now, guard);
    assert_eq!(compute(|_| Op::Keep, NOW), Ok(Computed::Kept(None)));
    assert_eq!(compute(|_| Op::Remove, NOW), Ok(Computed::Kept(None)));
    assert_eq!(compute(one_more, NOW), Ok(Computed::Inserted(&1)));
    assert_eq!(compute(one_more, NOW), Ok(Computed::Replaced { old: &1, new: &2 }));
    assert_eq!(log.take(), [(7, 1, RemovalCause::Replaced)]);
    assert_eq!(compute(|_| Op::Keep, NOW), Ok(Computed::Kept(Some(&2))));
    assert_eq!(compute(|_| Op::Remove, NOW), Ok(Computed::Removed(&2)));
    assert_eq!(log.take(), [(7, 2, RemovalCause::Explicit)]);
    assert_eq!(compute(one_more, NOW), Ok(Computed::Inserted(&1)));
    let later = NOW + Duration::from_secs(10);
    assert_eq!(compute(one_more, later), Ok(Computed::Inserted(&1)), "the old one has expired");
    assert_eq!(log.take(), [(7, 1, RemovalCause::Expired)]);
    assert_eq!((cache.usage().entries, cache.get(&7, later, guard)), (1, Some(&1)));
}

#[test]
fn a_value_that_finds_no_room_takes_the_old_one_with_it() {
    let (cache, mut worker) =
        cache::<u32, u64, u64>(|it| it.max_bytes(10).weigher(|_, &value| value));
    let guard = worker.quiescent(NOW);
    cache.insert(1, 5, NOW, guard).expect("room");
    let computed = cache.compute(1, |old| Op::Put(old.map_or(0, |old| old * 3)), NOW, guard);
    let error = computed.expect_err("too heavy");
    assert_eq!((error.error, error.key, error.value), (CacheError::TooHeavy, 1, 15));
    assert_eq!((cache.get(&1, NOW, guard), cache.usage().bytes), (None, 0));
}

#[test]
fn a_load_does_not_undo_what_was_computed() {
    let (cache, mut worker) = cache::<u32, u64, u64>(|it| it);
    let guard = worker.quiescent(NOW);
    let lead = |key| match cache.load(&key, Caller(1), NOW, guard) {
        Ok(Load::Lead(loading)) => loading,
        other => panic!("{other:?}"),
    };
    let loading = lead(1);
    assert_eq!(cache.compute(1, one_more, NOW, guard), Ok(Computed::Inserted(&1)));
    assert_eq!(loading.complete(70, NOW, guard), Ok(70));
    assert_eq!(cache.get(&1, NOW, guard), Some(&1));
    let loading = lead(2);
    assert_eq!(cache.compute(2, |_| Op::Remove, NOW, guard), Ok(Computed::Kept(None)));
    assert_eq!(loading.complete(70, NOW, guard), Ok(70));
    assert_eq!(cache.get(&2, NOW, guard), None);
    let loading = lead(3);
    assert_eq!(cache.compute(3, |_| Op::Keep, NOW, guard), Ok(Computed::Kept(None)));
    assert_eq!(loading.complete(70, NOW, guard), Ok(70));
    assert_eq!(cache.get(&3, NOW, guard), Some(&70), "nothing was written");
}

#[test]
fn what_panics_changes_nothing() {
    let (cache, mut worker) = cache::<u32, u64, u64>(|it| it);
    let guard = worker.quiescent(NOW);
    cache.insert(1, 1, NOW, guard).expect("room");
    let compute = || _ = cache.compute(1, |_| panic!("on purpose"), NOW, guard);
    assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(compute)).is_err());
    assert_eq!((cache.get(&1, NOW, guard), cache.usage().entries), (Some(&1), 1));
}

/// Four threads count on three keys, two more remove them: what is counted is what was put and not removed.
#[test]
fn no_count_is_lost_and_none_is_revived() {
    const TURNS: u64 = if cfg!(miri) { 50 } else { 20_000 };
    let domain = Domain::new();
    let cache: Arc<Cache<u64, u64>> =
        Arc::new(cache_builder(&domain).max_entries(100).build().expect("memory"));
    let removed: u64 = std::thread::scope(|scope| {
        let counting = |seed: u64| {
            let (cache, domain) = (&cache, &domain);
            move || {
                let mut worker = domain.worker();
                let mut removed = 0;
                for turn in 0..TURNS {
                    let (guard, key) = (worker.quiescent(NOW), (turn + seed) % 3);
                    if seed < 4 {
                        cache.compute(key, one_more, NOW, guard).expect("room");
                    } else if seed == 4 && turn % 16 == 0 {
                        removed += cache.invalidate(&key, NOW, guard).copied().unwrap_or(0);
                    } else if turn % 16 == 0 {
                        let computed = cache.compute(key, |_| Op::Remove, NOW, guard);
                        let Ok(Computed::Removed(count)) = computed else { continue };
                        removed += *count;
                    }
                }
                removed
            }
        };
        let threads: Vec<_> = (0..6).map(|seed| scope.spawn(counting(seed))).collect();
        threads.into_iter().map(|thread| thread.join().expect("no panic")).sum()
    });
    let mut worker = domain.worker();
    let guard = worker.quiescent(NOW);
    let left: u64 = cache.iter(NOW, guard).map(|(_, count)| *count).sum();
    assert_eq!(removed + left, 4 * TURNS);
}
