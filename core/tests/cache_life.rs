//! How long entries of a cache are fresh: times to live from the value, touching, what is left.

mod common;

use std::time::Duration;

use common::fixtures::{self, cache, cache_builder};
use tidegate_core::cache::{Insert, Load};
use tidegate_core::flight::Caller;
use tidegate_core::{Budget, Cache, Domain, Instant, RemovalCause, Sweep, Ttl};

const NOW: Instant = Instant::from_secs(100);

fn after(seconds: u64) -> Instant {
    NOW + Duration::from_secs(seconds)
}

fn seconds(seconds: u64) -> Ttl {
    Ttl::For(Duration::from_secs(seconds))
}

#[test]
fn a_value_chooses_its_time_to_live() {
    let (cache, mut worker) = cache::<u32, u64, u64>(|it| {
        it.time_to_live(Duration::from_secs(60))
            .expire_after(|_, &value| if value == 0 { Ttl::Forever } else { seconds(value) })
    });
    let guard = worker.quiescent(NOW);
    cache.insert(1, 5, NOW, guard).expect("room");
    cache.insert(2, 0, NOW, guard).expect("room");
    let own = Insert::new().time_to_live(Duration::from_secs(7));
    cache.insert_with(3, 5, own, NOW, guard).expect("room");
    assert_eq!(cache.time_left(&1, NOW, guard), Some(seconds(5)));
    assert_eq!(cache.time_left(&2, after(1_000_000), guard), Some(Ttl::Forever));
    assert_eq!(cache.time_left(&3, NOW, guard), Some(seconds(7)), "the insertion overrides it");
    assert_eq!((cache.get(&1, after(4), guard), cache.get(&1, after(5), guard)), (Some(&5), None));

    let load = |key: u32| match cache.load(&key, Caller(1), NOW, guard) {
        Ok(Load::Lead(loading)) => loading,
        other => panic!("{other:?}"),
    };
    assert_eq!(load(4).complete(9, NOW, guard), Ok(9));
    assert_eq!(cache.time_left(&4, NOW, guard), Some(seconds(9)), "a loaded one, too");
    let own = Insert::new().time_to_live(Duration::from_secs(3));
    assert_eq!(load(5).complete_with(9, own, NOW, guard), Ok(9));
    assert_eq!(cache.time_left(&5, NOW, guard), Some(seconds(3)), "the load overrides it");
}

#[test]
fn what_panics_about_a_time_to_live_is_not_inserted() {
    let (cache, mut worker) = cache::<u32, u64, u64>(|it| {
        it.max_entries(1).expire_after(|_, &value| {
            assert!(value != 13, "on purpose");
            Ttl::Forever
        })
    });
    let guard = worker.quiescent(NOW);
    cache.insert(1, 1, NOW, guard).expect("room");
    let insert = std::panic::AssertUnwindSafe(|| _ = cache.insert(2, 13, NOW, guard));
    assert!(std::panic::catch_unwind(insert).is_err());
    assert_eq!((cache.get(&1, NOW, guard), cache.usage().entries), (Some(&1), 1));
}

#[test]
fn a_touched_entry_begins_anew() {
    let (cache, mut worker) =
        cache::<u32, u32, u64>(|it| it.time_to_live(Duration::from_secs(10)).count_reads(true));
    let guard = worker.quiescent(NOW);
    cache.insert(1, 1, NOW, guard).expect("room");
    cache.insert(2, 2, NOW, guard).expect("room");
    assert!(cache.touch(&1, after(9), guard));
    assert!(cache.contains_key(&1, after(18), guard) && !cache.contains_key(&1, after(19), guard));
    assert!(!cache.touch(&1, after(19), guard), "an expired entry is not revived");
    assert!(!cache.touch(&3, NOW, guard), "nor is there one to touch");
    assert!(cache.touch_for(&2, Duration::from_secs(60), NOW, guard));
    assert!(cache.touch(&2, NOW, guard));
    assert_eq!(cache.time_left(&2, NOW, guard), Some(seconds(60)), "an end is not moved back");
    assert!(cache.touch_for(&2, Ttl::Forever, NOW, guard));
    assert_eq!(cache.time_left(&2, after(1_000_000), guard), Some(Ttl::Forever));
    assert_eq!(cache.counters().hits + cache.counters().misses, 0, "looking is not reading");
}

#[test]
fn what_was_touched_in_time_is_not_swept_and_is_evicted_later() {
    let domain = Domain::new();
    let log = fixtures::Log::default();
    let cache: Cache<u32, u32> = cache_builder(&domain)
        .max_entries(2)
        .time_to_live(Duration::from_secs(10))
        .listener(log.listener())
        .build()
        .expect("memory");
    let mut worker = domain.worker();
    let guard = worker.quiescent(NOW);
    cache.insert(1, 1, NOW, guard).expect("room");
    cache.insert(2, 2, NOW, guard).expect("room");
    assert!(cache.touch(&1, after(5), guard));
    let mut sweep = cache.sweeper(domain.worker());
    while !sweep.sweep(after(12), Budget::entries(64)).wrapped {}
    assert_eq!(log.take(), [(2, 2, RemovalCause::Expired)]);
    cache.insert(3, 3, after(12), guard).expect("room");
    cache.insert(4, 4, after(12), guard).expect("room");
    assert_eq!(log.take(), [(3, 3, RemovalCause::Size)], "to touch is to use");
}

#[test]
fn a_stale_value_is_not_touched() {
    let (cache, mut worker) = cache::<u32, u32, u64>(|it| {
        it.time_to_live(Duration::from_secs(10)).stale_while_revalidate(Duration::from_secs(60))
    });
    let guard = worker.quiescent(NOW);
    cache.insert(1, 1, NOW, guard).expect("room");
    assert!(!cache.touch(&1, after(10), guard));
    assert_eq!(cache.time_left(&1, after(10), guard), None);
    assert!(matches!(cache.load(&1, Caller(1), after(10), guard), Ok(Load::Stale(1, Some(_)))));
}

#[test]
fn an_unread_entry_expires_and_a_read_one_stays() {
    let (cache, mut worker) = cache::<u32, u32, u64>(|it| it.time_to_idle(Duration::from_secs(16)));
    let guard = worker.quiescent(NOW);
    cache.insert(1, 1, NOW, guard).expect("room");
    cache.insert(2, 2, NOW, guard).expect("room");
    for at in (0..64).step_by(4) {
        assert_eq!(cache.get(&1, after(at), guard), Some(&1), "{at}");
        assert_eq!(cache.peek(&2, after(at), guard).is_some(), at < 16, "a peek is no read");
    }
    assert_eq!(cache.time_left(&1, after(60), guard), Some(seconds(16)));
    assert_eq!((cache.get(&1, after(76), guard), cache.usage().entries), (None, 2));
    let mut sweep = cache.sweeper(cache.domain().worker());
    while !sweep.sweep(after(76), Budget::entries(64)).wrapped {}
    assert_eq!((cache.usage().entries, cache.counters().expired), (0, 2));
}

#[test]
fn a_read_moves_the_end_by_a_sixteenth_or_not_at_all() {
    let (cache, mut worker) = cache::<u32, u32, u64>(|it| it.time_to_idle(Duration::from_secs(16)));
    let guard = worker.quiescent(NOW);
    let millis = |millis| NOW + Duration::from_millis(millis);
    let left = |at| cache.time_left(&1, at, guard);
    cache.insert(1, 1, NOW, guard).expect("room");
    cache.get(&1, millis(999), guard);
    assert_eq!(left(NOW), Some(seconds(16)));
    cache.get(&1, millis(1_000), guard);
    assert_eq!(left(after(1)), Some(seconds(16)));
    cache.get(&1, millis(1_999), guard);
    assert_eq!(left(after(1)), Some(seconds(16)));
}

#[test]
fn of_the_two_ends_the_earlier_counts() {
    let (cache, mut worker) = cache::<u32, u32, u64>(|it| {
        it.time_to_live(Duration::from_secs(20)).time_to_idle(Duration::from_secs(16))
    });
    let guard = worker.quiescent(NOW);
    cache.insert(1, 1, NOW, guard).expect("room");
    let own = Insert::new().time_to_live(Duration::from_secs(3));
    cache.insert_with(2, 2, own, NOW, guard).expect("room");
    assert_eq!(cache.time_left(&2, NOW, guard), Some(seconds(3)));
    assert!(cache.get(&1, after(15), guard).is_some());
    assert_eq!(cache.time_left(&1, after(15), guard), Some(seconds(5)), "it lives no longer");
    assert!(cache.hold(&1, after(18), guard).is_some());
    assert!(cache.touch(&1, after(19), guard));
    assert_eq!(cache.time_left(&1, after(19), guard), Some(seconds(16)));
    assert!(cache.get(&1, after(34), guard).is_some());
    assert_eq!(cache.time_left(&1, after(34), guard), Some(seconds(5)));
    assert!(cache.get(&1, after(39), guard).is_none());
}

#[test]
fn a_loaded_value_is_idle_too_and_zero_is_for_those_who_wait() {
    let (cache, mut worker) = cache::<u32, u32, u64>(|it| it.time_to_idle(Duration::from_secs(16)));
    let guard = worker.quiescent(NOW);
    let Ok(Load::Lead(loading)) = cache.load(&1, Caller(1), NOW, guard) else { unreachable!() };
    assert_eq!(loading.complete(1, NOW, guard), Ok(1));
    assert!(matches!(cache.load(&1, Caller(1), after(10), guard), Ok(Load::Hit(1))));
    assert_eq!(cache.time_left(&1, after(10), guard), Some(seconds(16)), "a load reads");

    let (cache, mut worker) =
        fixtures::cache::<u32, u32, u64>(|it| it.time_to_idle(Duration::ZERO));
    let guard = worker.quiescent(NOW);
    let Ok(Load::Lead(loading)) = cache.load(&1, Caller(1), NOW, guard) else { unreachable!() };
    let follower = loading.follow();
    assert_eq!(loading.complete(1, NOW, guard), Ok(1));
    assert_eq!((follower.result(), follower.until()), (Some(Ok(1)), None));
    assert_eq!((cache.get(&1, NOW, guard), cache.usage().entries), (None, 0));
}
