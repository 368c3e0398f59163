//! Loading through a cache: who does it, what the others get, and what the cache keeps of it. Cases of a
//! Haskell single-flight cache carry their ids.

mod common;

use std::future::Future;
use std::pin::Pin;
use std::sync::Barrier;
use std::task::{Context, Poll};
use std::time::Duration;

use common::fixtures::{self, cache_builder};
use common::wakers::{counting, panicking};
use tidegate_core::cache::{Ask, Builder, Insert, Load, Loading};
use tidegate_core::flight::{Caller, FollowError, Follower, JoinError, SupersededError};
use tidegate_core::{
    Budget, Cache, Domain, Guard, Instant, RemovalCause, SeededState, Sweep, Worker,
};

const NOW: Instant = Instant::from_secs(100);
const TTL: Duration = Duration::from_secs(60);

type PagesBuilder = Builder<&'static str, u64, SeededState>;
type Pages = Cache<&'static str, u64, &'static str>;
type Task<'a> = Loading<'a, &'static str, u64, &'static str, SeededState>;
type Waiting = Follower<u64, &'static str>;

fn builder(domain: &Domain) -> PagesBuilder {
    cache_builder(domain).time_to_live(TTL)
}

/// A cache whose entries live for `TTL`, with what `set` sets.
fn pages_with(set: impl FnOnce(PagesBuilder) -> PagesBuilder) -> (Pages, Worker) {
    fixtures::cache(|it| set(it.time_to_live(TTL)))
}

fn pages() -> (Pages, Worker) {
    pages_with(|it| it)
}

fn after(seconds: u64) -> Instant {
    NOW + Duration::from_secs(seconds)
}

#[derive(Debug)]
enum Got<'a> {
    Hit(u64),
    Stale(u64, Option<Task<'a>>),
    Lead(Task<'a>),
    Wait(Waiting),
}

fn load<'a>(pages: &'a Pages, caller: u32, now: Instant, guard: &Guard) -> Got<'a> {
    match pages.load(&"hot", Caller(caller), now, guard) {
        Ok(Load::Hit(value)) => Got::Hit(value),
        Ok(Load::Stale(value, task)) => Got::Stale(value, task),
        Ok(Load::Lead(task)) => Got::Lead(task),
        Ok(Load::Wait(waiting)) => Got::Wait(waiting),
        Err(error) => panic!("{error}"),
    }
}

fn lead<'a>(pages: &'a Pages, caller: u32, now: Instant, guard: &Guard) -> Task<'a> {
    match load(pages, caller, now, guard) {
        Got::Lead(task) => task,
        other => panic!("{other:?}"),
    }
}

fn wait(pages: &Pages, caller: u32, now: Instant, guard: &Guard) -> Waiting {
    match load(pages, caller, now, guard) {
        Got::Wait(waiting) => waiting,
        other => panic!("{other:?}"),
    }
}

/// I3.
#[test]
fn i_c8_what_was_loaded_is_there_before_anybody_is_told() {
    let (pages, mut worker) = pages();
    let guard = worker.quiescent(NOW);
    let task = lead(&pages, 1, NOW, guard);
    assert_eq!((task.key(), pages.loading()), (&"hot", 1));
    let (told, waker) = counting();
    let mut waiting = wait(&pages, 2, NOW, guard);
    assert!(Pin::new(&mut waiting).poll(&mut Context::from_waker(&waker)).is_pending());
    assert_eq!(task.complete(7, NOW, guard), Ok(7));
    assert_eq!((told.get(), pages.peek("hot", NOW, guard), pages.loading()), (1, Some(&7), 0));
    assert_eq!(Pin::new(&mut waiting).poll(&mut Context::from_waker(&waker)), Poll::Ready(Ok(7)));
    assert!(matches!(load(&pages, 3, NOW, guard), Got::Hit(7)), "and is not loaded again");
}

/// I8: what a waker does is no reason to keep anything back.
#[test]
fn a_waker_that_panics_keeps_neither_value_nor_flight() {
    let (pages, mut worker) = pages();
    let guard = worker.quiescent(NOW);
    let task = lead(&pages, 1, NOW, guard);
    let mut waiting = wait(&pages, 2, NOW, guard);
    assert!(Pin::new(&mut waiting).poll(&mut Context::from_waker(&panicking())).is_pending());
    let complete = std::panic::AssertUnwindSafe(|| task.complete(7, NOW, guard));
    assert!(std::panic::catch_unwind(complete).is_err());
    assert_eq!((waiting.result(), pages.loading()), (Some(Ok(7)), 0));
    assert!(matches!(load(&pages, 3, NOW, guard), Got::Hit(7)));
}

/// I-C5, I-C13: whoever led gives it back on the way out, and one of those who waited leads; nobody
/// counts twice.
#[test]
fn i_c13_who_has_to_ask_again_counts_no_second_miss() {
    let (pages, mut worker) = pages();
    let guard = worker.quiescent(NOW);
    let task = lead(&pages, 1, NOW, guard);
    let waiting = wait(&pages, 2, NOW, guard);
    drop(task);
    assert_eq!((waiting.result(), pages.loading()), (Some(Err(FollowError::Again)), 0));
    let Ok(Load::Lead(task)) = pages.load_again(&"hot", Caller(2), NOW, guard) else {
        panic!("nobody else leads");
    };
    assert_eq!(task.complete(7, NOW, guard), Ok(7));
    let counters = pages.counters();
    assert_eq!((counters.misses, counters.hits), (2, 0));
}

/// I-C10: the error is everybody's, and nothing is kept of it.
#[test]
fn i_c10_an_error_reaches_all_and_is_not_cached() {
    let (pages, mut worker) = pages();
    let guard = worker.quiescent(NOW);
    let task = lead(&pages, 1, NOW, guard);
    let waiting = wait(&pages, 2, NOW, guard);
    assert_eq!(task.fail("escaped", NOW, guard), Err("escaped"));
    assert_eq!(waiting.result(), Some(Err(FollowError::Failed("escaped"))));
    assert_eq!((pages.loading(), pages.usage().entries), (0, 0));
    drop(lead(&pages, 3, NOW, guard));
}

#[test]
fn who_loads_a_key_does_not_wait_for_himself() {
    let (pages, mut worker) = pages();
    let guard = worker.quiescent(NOW);
    let _task = lead(&pages, 1, NOW, guard);
    let again = pages.load(&"hot", Caller(1), NOW, guard);
    assert_eq!(again.expect_err("ours already"), JoinError::Reentrant);
    assert_eq!(pages.counters().misses, 1);
}

/// I10: a time to live of zero makes one run of many calls, and keeps nothing.
#[test]
fn what_lives_for_no_time_is_handed_on_and_not_kept() {
    let (pages, mut worker) = pages_with(|it| it.time_to_live(Duration::ZERO));
    let guard = worker.quiescent(NOW);
    let task = lead(&pages, 1, NOW, guard);
    let waiting = wait(&pages, 2, NOW, guard);
    assert_eq!(task.complete(7, NOW, guard), Ok(7));
    assert_eq!((waiting.result(), pages.usage().entries), (Some(Ok(7)), 0));
    drop(lead(&pages, 3, NOW, guard));
}

/// I11: that there is nothing is a value with a time of its own.
#[test]
fn an_answer_that_there_is_none_is_kept_for_its_own_time() {
    let (pages, mut worker) = pages();
    let guard = worker.quiescent(NOW);
    let negative = Insert::new().time_to_live(Duration::from_secs(5));
    let task = lead(&pages, 1, NOW, guard);
    assert_eq!(task.complete_with(404, negative, NOW, guard), Ok(404));
    assert!(matches!(load(&pages, 2, after(4), guard), Got::Hit(404)));
    drop(lead(&pages, 2, after(5), guard));
}

#[test]
fn what_is_too_heavy_is_handed_on_and_not_kept() {
    let (pages, mut worker) = pages_with(|it| it.max_bytes(10).weigher(|_, &bytes| bytes));
    let guard = worker.quiescent(NOW);
    let task = lead(&pages, 1, NOW, guard);
    let waiting = wait(&pages, 2, NOW, guard);
    assert_eq!(task.complete(11, NOW, guard), Ok(11));
    assert_eq!((waiting.result(), pages.usage().entries), (Some(Ok(11)), 0));
    assert_eq!(pages.counters().refused, 1);
}

/// I11, I-B8: past its time a value is good enough for a while, and one caller loads another.
#[test]
fn a_stale_value_is_handed_out_while_one_loads_another() {
    let window = Duration::from_secs(30);
    let (pages, mut worker) = pages_with(|it| it.stale_while_revalidate(window));
    let guard = worker.quiescent(NOW);
    pages.insert("hot", 1, NOW, guard).expect("room");
    assert_eq!(pages.get("hot", after(60), guard), None, "a get hands out nothing that is stale");

    let Got::Stale(1, Some(task)) = load(&pages, 1, after(60), guard) else {
        panic!("there is a stale value, and nobody loads another");
    };
    assert!(matches!(load(&pages, 2, after(60), guard), Got::Stale(1, None)));
    assert!(matches!(load(&pages, 1, after(60), guard), Got::Stale(1, None)), "nor for himself");
    assert_eq!(task.complete(2, after(61), guard), Ok(2));
    assert!(matches!(load(&pages, 2, after(61), guard), Got::Hit(2)));
    let counters = pages.counters();
    assert_eq!((counters.hits, counters.misses, counters.stale), (1, 3, 3));

    // At the window's end it is of no use any more, and a sweep takes it.
    let mut sweep = pages.sweeper(pages.domain().worker());
    let unlimited = Budget::UNLIMITED;
    assert_eq!(sweep.sweep(after(61 + 60 + 29), unlimited).removed, 0);
    assert!(matches!(load(&pages, 1, after(61 + 60 + 29), guard), Got::Stale(2, Some(_))));
    drop(lead(&pages, 1, after(61 + 60 + 30), guard));
    assert_eq!(sweep.sweep(after(61 + 60 + 30), unlimited).removed, 1);
}

/// I11: where loading fails, an old value may be better than none.
#[test]
fn a_stale_value_stands_in_for_one_that_cannot_be_loaded() {
    let (pages, mut worker) = pages_with(|it| it.stale_if_error(Duration::from_secs(600)));
    let guard = worker.quiescent(NOW);
    pages.insert("hot", 1, NOW, guard).expect("room");
    let task = lead(&pages, 1, after(60), guard);
    let waiting = wait(&pages, 2, after(60), guard);
    assert_eq!(task.fail("origin", after(65), guard), Ok(1));
    assert_eq!(waiting.result(), Some(Ok(1)));
    let task = lead(&pages, 1, after(660), guard);
    assert_eq!(task.fail("origin", after(660), guard), Err("origin"), "too old by now");
}

/// I7: a leader that hangs is superseded after its lease, and what it then comes with is refused.
#[test]
fn what_comes_after_the_lease_is_refused_and_not_cached() {
    let lease = Duration::from_secs(5);
    let (pages, mut worker) = pages_with(|it| it.load_lease(lease));
    let guard = worker.quiescent(NOW);
    let mut hung = lead(&pages, 1, NOW, guard);
    drop(wait(&pages, 2, after(4), guard));
    assert_eq!(hung.renew(after(4)), Ok(()));
    drop(wait(&pages, 2, after(8), guard));
    let task = lead(&pages, 2, after(9), guard);
    assert_eq!(hung.renew(after(9)), Err(SupersededError));
    assert_eq!(hung.complete(1, after(9), guard), Err(1));
    assert_eq!(pages.peek("hot", after(9), guard), None);
    assert_eq!(task.complete(2, after(9), guard), Ok(2));
    assert_eq!(pages.peek("hot", after(9), guard), Some(&2));
}

/// E13: loads that nobody finishes leave nothing behind once the cache is swept.
#[test]
fn abandoned_loads_are_swept() {
    let key = std::sync::Arc::new(7_u64);
    let (cache, mut worker): (Cache<(u64, std::sync::Arc<u64>), u64>, _) = fixtures::cache(|it| it);
    for number in 0..1_000 {
        let key = (number, std::sync::Arc::clone(&key));
        drop(cache.load(&key, Caller(1), NOW, worker.quiescent(NOW)));
    }
    assert_eq!(cache.loading(), 0);
    worker.offline(|| ());
    let mut sweep = cache.sweeper(cache.domain().worker());
    for _ in 0..100 {
        sweep.sweep(NOW, Budget::entries(1_000));
    }
    assert_eq!(std::sync::Arc::strong_count(&key), 1);
}

/// I-C20: leaders that come to an end together do not exceed the bytes together.
#[test]
fn i_c20_eight_leaders_at_once_stay_within_the_bytes() {
    const KEYS: [&str; 8] = ["a", "b", "c", "d", "e", "f", "g", "h"];
    for _ in 0..200 {
        let (pages, _) = pages_with(|it| it.max_bytes(300).weigher(|_, &bytes| bytes));
        let gate = Barrier::new(KEYS.len());
        std::thread::scope(|scope| {
            for key in KEYS {
                let (pages, gate, mut worker) = (&pages, &gate, pages.domain().worker());
                scope.spawn(move || {
                    let guard = worker.quiescent(NOW);
                    let Ok(Load::Lead(task)) = pages.load(&key, Caller(1), NOW, guard) else {
                        panic!("nobody else comes for {key}");
                    };
                    gate.wait();
                    assert_eq!(task.complete(100, NOW, guard), Ok(100));
                    assert!(pages.usage().bytes <= 300);
                });
            }
        });
        assert!(pages.usage().bytes <= 300 && pages.usage().entries >= 1);
        assert_eq!(pages.loading(), 0);
    }
}

/// A way to write a key.
type Write = fn(&Pages, &Guard);

const WRITES: [(&str, Option<u64>, Write); 4] = [
    ("insert", Some(2), |pages, guard| _ = pages.insert("hot", 2, NOW, guard).expect("room")),
    ("invalidate", None, |pages, guard| _ = pages.invalidate("hot", NOW, guard)),
    ("invalidate_if", None, |pages, guard| _ = pages.invalidate_if("hot", |_| true, NOW, guard)),
    ("invalidate_all", None, |pages, guard| _ = pages.invalidate_all(NOW, guard)),
];

/// A load that began before its key was written: those who wait get it, and nobody after the write.
#[test]
fn what_is_written_while_it_is_loaded_stays_as_it_was_written() {
    for (write, there, run) in WRITES {
        let (pages, mut worker) = pages();
        let guard = worker.quiescent(NOW);
        let task = lead(&pages, 1, NOW, guard);
        let waiting = wait(&pages, 2, NOW, guard);
        run(&pages, guard);
        // Whoever asks now must not get what was read before.
        let next = match load(&pages, 3, NOW, guard) {
            Got::Lead(next) => Some(next),
            Got::Hit(2) => None,
            other => panic!("{write}: {other:?}"),
        };
        assert_eq!(task.complete(1, NOW, guard), Ok(1), "{write}");
        assert_eq!(waiting.result(), Some(Ok(1)), "{write}: those who waited get it");
        assert_eq!(pages.peek("hot", NOW, guard).copied(), there, "{write}");
        let (loading, counters) = (pages.loading(), pages.counters());
        assert_eq!(
            (loading, counters.inserted),
            (usize::from(next.is_some()), there.map_or(0, |_| 1))
        );
        if let Some(next) = next {
            assert_eq!(next.complete(3, NOW, guard), Ok(3));
            assert_eq!(pages.peek("hot", NOW, guard), Some(&3), "{write}");
        }
        assert_eq!((pages.usage().entries, pages.loading()), (1, 0));
    }
}

/// The write removes what the load was to replace, and what the load came to does not bring it back.
#[test]
fn a_detached_load_neither_stores_nor_removes() {
    let window = Duration::from_secs(600);
    let (pages, mut worker) = pages_with(|it| it.stale_if_error(window).max_bytes(100));
    let guard = worker.quiescent(NOW);
    let none = Insert::new().time_to_live(Duration::ZERO);
    let heavy = Insert::new().weight(101);
    for insert in [Insert::new(), none, heavy] {
        let task = lead(&pages, 1, NOW, guard);
        pages.insert("hot", 2, NOW, guard).expect("room");
        assert_eq!(task.complete_with(1, insert, NOW, guard), Ok(1));
        assert_eq!(pages.invalidate("hot", NOW, guard), Some(&2), "{insert:?}");
    }
    let task = lead(&pages, 1, NOW, guard);
    pages.invalidate("hot", NOW, guard);
    assert_eq!(task.fail("origin", NOW, guard), Err("origin"));
    assert_eq!((pages.usage().entries, pages.loading()), (0, 0));
}

#[test]
fn a_load_that_is_not_stored_for_its_weight_removes_what_was_there() {
    let window = Duration::from_secs(600);
    let (pages, mut worker) = pages_with(|it| {
        it.max_bytes(100)
            .weigher(|_, &bytes| bytes)
            .stale_while_revalidate(window)
            .stale_if_error(window)
    });
    let guard = worker.quiescent(NOW);
    pages.insert("hot", 10, NOW, guard).expect("room");
    let Got::Stale(10, Some(task)) = load(&pages, 1, after(60), guard) else {
        panic!("it has expired, and nobody loads another");
    };
    assert_eq!(task.complete(101, after(60), guard), Ok(101));
    // Neither the next load nor one that fails has the old one.
    let task = lead(&pages, 2, after(61), guard);
    assert_eq!(task.fail("origin", after(61), guard), Err("origin"));
    assert_eq!((pages.usage().entries, pages.counters().replaced), (0, 1));
}

/// Of what a load removes the listener is told when the load is over: it may ask for the very key.
#[test]
fn the_listener_is_told_when_the_load_is_over() {
    type Answers = std::sync::Arc<std::sync::Mutex<Vec<(u64, RemovalCause, usize, bool)>>>;
    let (domain, answers) = (Domain::new(), Answers::default());
    let place: std::sync::Arc<std::sync::OnceLock<Pages>> = std::sync::Arc::default();
    let (asked, told, own) = (std::sync::Arc::clone(&place), answers.clone(), domain.clone());
    let listener = move |_: &&'static str, &value: &u64, cause| {
        let pages = asked.get().expect("it is there");
        let mut worker = own.worker();
        let guard = worker.quiescent(NOW);
        let hit = matches!(pages.load(&"hot", Caller(1), after(60), guard), Ok(Load::Hit(7)));
        told.lock().expect("no panic").push((value, cause, pages.loading(), hit));
    };
    let made = builder(&domain).max_entries(2).listener(listener).build().expect("memory");
    assert!(place.set(made).is_ok());
    let (pages, mut worker) = (place.get().expect("just set"), domain.worker());
    let guard = worker.quiescent(NOW);
    pages.insert("cold", 1, NOW, guard).expect("room");
    pages.insert("cool", 2, NOW, guard).expect("room");
    let task = lead(pages, 1, after(60), guard);
    let waiting = wait(pages, 2, after(60), guard);
    assert_eq!(task.complete(7, after(60), guard), Ok(7));
    assert_eq!(waiting.result(), Some(Ok(7)));
    let answers = std::mem::take(&mut *answers.lock().expect("no panic"));
    assert_eq!(answers, [(1, RemovalCause::Expired, 0, true)]);
}

/// Whoever looks at the clock last knows whether what he was handed is still good.
#[test]
fn what_is_handed_out_says_until_when_it_is_good() {
    let (pages, mut worker) = pages_with(|it| {
        it.stale_while_revalidate(Duration::from_secs(30)).stale_if_error(Duration::from_secs(600))
    });
    let guard = worker.quiescent(NOW);
    let until = |now| {
        let asked = pages.ask(&"hot", Ask::new(Caller(9), now).again(), guard).expect("memory");
        (matches!(asked.load, Load::Hit(_)), asked.until)
    };
    let task = lead(&pages, 1, NOW, guard);
    let waiting = wait(&pages, 2, NOW, guard);
    assert_eq!((until(NOW), waiting.until()), ((false, None), None));
    assert_eq!(task.complete(7, NOW, guard), Ok(7));
    assert_eq!((until(NOW), waiting.until()), ((true, Some(after(60))), Some(after(60))));
    assert_eq!(until(after(60)), (false, Some(after(60 + 30))));
    // What stands in for a failure is good for the longer window.
    let task = lead(&pages, 1, after(60 + 30), guard);
    let waiting = wait(&pages, 2, after(60 + 30), guard);
    assert_eq!(task.fail("origin", after(60 + 30), guard), Ok(7));
    assert_eq!(waiting.until(), Some(after(60 + 600)));
    // What lives for no time is for those who wait, whenever they look.
    let task = lead(&pages, 1, after(700), guard);
    let waiting = wait(&pages, 2, after(700), guard);
    let none = Insert::new().time_to_live(Duration::ZERO);
    assert_eq!(task.complete_with(8, none, after(700), guard), Ok(8));
    assert_eq!((waiting.result(), waiting.until()), (Some(Ok(8)), None));
    assert_eq!(pages.counters().misses, 6, "asked again, none is counted");
}

/// A load may be handed to a thread that outlives its caller's frame.
#[test]
fn a_load_can_be_given_to_another_thread() {
    let (pages, mut worker) = pages();
    let pages = std::sync::Arc::new(pages);
    let guard = worker.quiescent(NOW);
    let task = lead(&pages, 1, NOW, guard);
    let waiting = task.follow();
    let task = task.into_owned(&pages);
    let thread = std::thread::spawn({
        let mut worker = pages.domain().worker();
        move || {
            assert_eq!(task.key(), &"hot");
            task.complete(7, NOW, worker.quiescent(NOW))
        }
    });
    assert_eq!(thread.join().expect("no panic"), Ok(7));
    assert_eq!((waiting.result(), pages.peek("hot", NOW, guard)), (Some(Ok(7)), Some(&7)));

    pages.invalidate("hot", NOW, guard);
    let task = lead(&pages, 1, NOW, guard).into_owned(&pages);
    let waiting = wait(&pages, 2, NOW, guard);
    assert_eq!(task.fail("origin", NOW, guard), Err("origin"));
    assert_eq!(waiting.result(), Some(Err(FollowError::Failed("origin"))));

    // Dropped, it is the next one's.
    let task = lead(&pages, 1, NOW, guard).into_owned(&pages);
    let waiting = wait(&pages, 2, NOW, guard);
    drop(task);
    assert_eq!((waiting.result(), pages.loading()), (Some(Err(FollowError::Again)), 0));
    drop(lead(&pages, 2, NOW, guard));
}

#[test]
#[should_panic(expected = "another cache")]
fn a_load_is_of_its_own_cache() {
    let (one, mut worker) = pages();
    let other = std::sync::Arc::new(builder(worker.domain()).build().expect("memory"));
    drop(lead(&one, 1, NOW, worker.quiescent(NOW)).into_owned(&other));
}

#[test]
fn loads_are_timed_and_removals_weighed() {
    let (cache, mut worker) = fixtures::cache::<u32, u64, &str>(|it| {
        it.max_bytes(10).weigher(|_, &bytes| bytes).count_reads(true)
    });
    let now = Instant::from_secs(100);
    let guard = worker.quiescent(now);
    let after = |millis| now + Duration::from_millis(millis);
    let lead = |key| match cache.load(&key, Caller(1), now, guard) {
        Ok(Load::Lead(loading)) => loading,
        other => panic!("{other:?}"),
    };
    assert_eq!(lead(1).complete(6, after(30), guard), Ok(6));
    assert_eq!(lead(2).fail("on purpose", after(10), guard), Err("on purpose"));
    drop(lead(2));
    assert_eq!(lead(3).complete(0, after(20), guard), Ok(0));
    cache.get(&1, now, guard);
    cache.invalidate(&3, now, guard);
    cache.insert(4, 8, now, guard).expect("room");
    cache.insert(4, 7, now, guard).expect("room");
    let stats = cache.stats();
    let loads = stats.loads;
    assert_eq!((loads.succeeded, loads.failed), (2, 1));
    assert_eq!((loads.time, loads.longest), (Duration::from_millis(60), Duration::from_millis(30)));
    assert_eq!(loads.mean(), Some(Duration::from_millis(20)));
    let bytes = stats.removed_bytes;
    assert_eq!((bytes.evicted, bytes.invalidated, bytes.replaced), (6, 0, 8));
    assert_eq!((stats.counters.evicted, stats.counters.invalidated), (1, 1));
    assert_eq!((stats.usage.bytes, stats.bounds.bytes, stats.loading), (7, 10, 0));
    assert_eq!((stats.hit_ratio(), stats.counters.misses), (Some(0.2), 4));
}
