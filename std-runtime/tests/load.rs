//! Getting or loading, on threads and in tasks: panics, timeouts, callers that would wait for themselves.

mod common;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use common::{Gate, wait_until, watchdog};
use tidegate::lockfree::Cache;
use tidegate::lockfree::cache::Builder;
use tidegate::lockfree::cache::Load;
use tidegate::lockfree::flight::Caller;
use tidegate::refresh::{Minted, Refresher};
use tidegate::wait::{TimedOutError, block_for, block_on};
use tidegate::{
    Clock, GetOrLoad, GetOrRefresh, LoadError, LoadFuture, ManualClock, Panics, RemovalCause,
    SeededState, clock, domain, pin, random_state,
};

type Pages = Cache<u32, u32, LoadError<String>>;

fn usual() -> Builder<u32, u32, SeededState> {
    Cache::builder(domain(), random_state()).max_entries(1_000)
}

fn pages() -> Arc<Pages> {
    Arc::new(usual().build().expect("memory"))
}

#[test]
fn i_c7_of_many_callers_one_loads_and_all_have_its_value() {
    let (pages, gate, loads) = (pages(), Gate::new(), Arc::new(AtomicU64::new(0)));
    let callers: Vec<_> = (0..64)
        .map(|_| {
            let (pages, gate, loads) = (Arc::clone(&pages), Arc::clone(&gate), Arc::clone(&loads));
            std::thread::spawn(move || {
                pages.get_or_load(
                    &7,
                    |key| {
                        loads.fetch_add(1, Ordering::SeqCst);
                        gate.pass();
                        Ok(key * 10)
                    },
                    &clock(),
                )
            })
        })
        .collect();
    gate.wait_for(1);
    std::thread::sleep(Duration::from_millis(50));
    gate.open();
    for caller in callers {
        assert_eq!(caller.join().unwrap(), Ok(70));
    }
    assert_eq!((loads.load(Ordering::SeqCst), pages.loading()), (1, 0));
    let counters = pages.counters();
    assert_eq!(counters.hits + counters.misses, 64, "one a call: {counters:?}");
}

#[test]
fn a_loader_that_fails_or_panics_is_an_error_to_all_who_wait() {
    for panics in [false, true] {
        let (pages, gate) = (pages(), Gate::new());
        let before = tidegate::caught_panics();
        let leader = std::thread::spawn({
            let (pages, gate) = (Arc::clone(&pages), Arc::clone(&gate));
            move || {
                pages.get_or_load(
                    &7,
                    |_| {
                        gate.pass();
                        if panics { panic!("on purpose") } else { Err("on purpose".to_owned()) }
                    },
                    &clock(),
                )
            }
        });
        gate.wait_for(1);
        let follower = std::thread::spawn({
            let pages = Arc::clone(&pages);
            move || pages.get_or_load(&7, |_| Ok(8), &clock())
        });
        std::thread::sleep(Duration::from_millis(50));
        gate.open();
        let expected =
            if panics { LoadError::Panicked } else { LoadError::Failed("on purpose".to_owned()) };
        assert_eq!(leader.join().unwrap(), Err(expected.clone()));
        let follower = follower.join().unwrap();
        assert!(follower == Err(expected) || follower == Ok(8), "{follower:?}");
        // Other tests panic, too.
        assert!(tidegate::caught_panics() > before || !panics);
        assert_eq!(pages.loading(), 0);
        // Nothing is cached of it.
        assert!(pages.get_or_load(&7, |_| Ok(9), &clock()).is_ok());
    }
}

#[test]
fn i5_a_caller_waits_no_longer_than_it_would_and_leaves_the_leader_alone() {
    let (pages, gate) = (pages(), Gate::new());
    let leader = std::thread::spawn({
        let (pages, gate) = (Arc::clone(&pages), Arc::clone(&gate));
        move || {
            pages.get_or_load(
                &7,
                |key| {
                    gate.pass();
                    Ok(*key)
                },
                &clock(),
            )
        }
    });
    gate.wait_for(1);
    let start = std::time::Instant::now();
    let short = Duration::from_millis(20);
    let timed_out = pages.get_or_load_within(&7, short, |_| Ok(1), &clock());
    assert_eq!(timed_out, Err(LoadError::TimedOut));
    assert!(start.elapsed() >= short);
    gate.open();
    assert_eq!(leader.join().unwrap(), Ok(7));
}

/// I9: also where the loader asks for its own key by way of another.
#[test]
fn i9_a_loader_that_asks_for_its_own_key_is_told_so() {
    let pages = pages();
    let nested = pages.get_or_load(
        &1,
        |_| {
            pages
                .get_or_load(
                    &2,
                    |_| match pages.get_or_load(&1, |_| Ok(0), &clock()) {
                        Err(LoadError::Reentrant) => Ok(2),
                        other => panic!("{other:?}"),
                    },
                    &clock(),
                )
                .map_err(|error| error.to_string())
        },
        &clock(),
    );
    assert_eq!(nested, Ok(2));

    let own = async |key: u32| match pages.get_or_load_async(&key, async |_| Ok(0), &clock()).await
    {
        Err(LoadError::Reentrant) => Ok(3),
        other => panic!("{other:?}"),
    };
    assert_eq!(block_on(pages.get_or_load_async(&3, own, &clock())), Ok(3));
}

#[test]
fn tasks_on_one_thread_wait_for_each_other_and_are_not_taken_for_one() {
    let (pages, time) = (pages(), clock());
    let mut loading = Box::pin(pages.get_or_load_async(
        &7,
        async |_| std::future::pending::<Result<u32, String>>().await,
        &time,
    ));
    assert_eq!(block_for(loading.as_mut(), Duration::from_millis(1)), Err(TimedOutError));
    let mut waiting = Box::pin(pages.get_or_load_async(&7, async |_| Ok(8), &time));
    assert_eq!(block_for(waiting.as_mut(), Duration::from_millis(1)), Err(TimedOutError));
    // I-C11: the one who loads is gone; the one who waits does it.
    drop(loading);
    assert_eq!(block_on(waiting), Ok(8));
}

/// Two loads that one makes at once, and that need the same: neither is the other.
#[test]
fn i9_loads_side_by_side_are_not_taken_for_one() {
    let (pages, time) = (pages(), clock());
    let both = async |_| {
        let (pages, time) = (&pages, &time);
        let three = async || {
            let pause = async |_| {
                std::future::ready(()).await;
                yields().await;
                Ok(3)
            };
            pages.get_or_load_async(&3, pause, time).await.map_err(|error| error.to_string())
        };
        let one = pages.get_or_load_async(&1, async |_| three().await, time);
        let two = pages.get_or_load_async(&2, async |_| three().await, time);
        let (one, two) = joined(one, two).await;
        Ok(one.map_err(|error| error.to_string())? + two.map_err(|error| error.to_string())?)
    };
    assert_eq!(block_on(pages.get_or_load_async(&0, both, &time)), Ok(6));
}

/// Pending once.
async fn yields() {
    let mut is_over = false;
    std::future::poll_fn(|context| {
        context.waker().wake_by_ref();
        if std::mem::replace(&mut is_over, true) { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
}

/// Both, side by side.
async fn joined<A: Future, B: Future>(one: A, two: B) -> (A::Output, B::Output) {
    let (mut one, mut two) = (Box::pin(one), Box::pin(two));
    let (mut first, mut second) = (None, None);
    std::future::poll_fn(|context| {
        if first.is_none()
            && let Poll::Ready(output) = one.as_mut().poll(context)
        {
            first = Some(output);
        }
        if second.is_none()
            && let Poll::Ready(output) = two.as_mut().poll(context)
        {
            second = Some(output);
        }
        if first.is_some() && second.is_some() { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    (first.expect("it is ready"), second.expect("it is ready"))
}

/// For runtimes that move tasks between threads.
#[test]
fn what_is_awaited_can_be_moved_between_threads() {
    fn moves<T: Send>(future: T) -> T {
        future
    }
    let (pages, time) = (pages(), clock());
    let load = |_| std::future::ready(Ok(1));
    assert_eq!(block_on(moves(pages.get_or_load_async(&1, load, &time))), Ok(1));
    let mint = || Ok::<_, String>(Minted { value: 1, ttl: Duration::from_secs(9).into() });
    let token = Refresher::builder(mint).build().expect("a token");
    let mint = || std::future::ready(Ok(Minted { value: 2, ttl: Duration::from_secs(9).into() }));
    assert_eq!(block_on(moves(token.get_async(mint))).map(|value| *value), Ok(1));
}

/// I13: what was good enough when it was asked for, and is not any more when loading has failed.
#[test]
fn i13_a_stale_value_is_judged_when_the_load_has_ended() {
    let (time, second) = (ManualClock::new(), Duration::from_secs(1));
    let builder = usual().time_to_live(second * 10).stale_while_revalidate(second * 100);
    let pages: Pages = builder.build().expect("memory");
    assert_eq!(pages.get_or_load(&1, |_| Ok(10), &time), Ok(10));
    time.advance(second * 20);
    let takes_long = |_: &u32| {
        time.advance(second * 1_000);
        Err("on purpose".to_owned())
    };
    let failed = Err(LoadError::Failed("on purpose".to_owned()));
    assert_eq!(pages.get_or_load(&1, takes_long, &time), failed);
}

#[test]
fn a_task_whose_loader_panics_is_an_error_and_the_runtime_lives() {
    let pages = pages();
    let broken = async |_| -> Result<u32, String> {
        std::future::ready(()).await;
        panic!("on purpose")
    };
    assert_eq!(block_on(pages.get_or_load_async(&7, broken, &clock())), Err(LoadError::Panicked));
    assert_eq!(pages.loading(), 0);
}

#[test]
fn a_stale_value_stands_in_while_another_is_loaded_and_when_that_fails() {
    let (time, second) = (ManualClock::new(), Duration::from_secs(1));
    let pages: Pages = usual()
        .time_to_live(second * 10)
        .stale_while_revalidate(second * 100)
        .build()
        .expect("memory");
    assert_eq!(pages.get_or_load(&1, |_| Ok(10), &time), Ok(10));
    time.advance(second * 20);
    let inner = |_: &u32| {
        // Whoever comes meanwhile has the old one.
        assert_eq!(pages.get_or_load(&1, |_| Ok(0), &time), Ok(10));
        Err("on purpose".to_owned())
    };
    assert_eq!(pages.get_or_load(&1, inner, &time), Ok(10));
    assert_eq!(pages.get_or_load(&1, |_| panic!("on purpose"), &time), Ok(10));
    assert_eq!(pages.get_or_load(&1, |_| Ok(11), &time), Ok(11));
    assert_eq!(pages.get(&1, time.now(), &pin()), Some(&11));
}

/// I7: a leader that hangs is superseded by whoever waits when its lease ends.
#[test]
fn i7_whoever_waits_takes_over_when_the_lease_ends() {
    let pages: Arc<Pages> =
        Arc::new(usual().load_lease(Duration::from_millis(50)).build().expect("memory"));
    let gate = Gate::new();
    let hung = std::thread::spawn({
        let (pages, gate) = (Arc::clone(&pages), Arc::clone(&gate));
        move || {
            pages.get_or_load(
                &7,
                |_| {
                    gate.pass();
                    Ok(1)
                },
                &clock(),
            )
        }
    });
    gate.wait_for(1);
    assert_eq!(pages.get_or_load(&7, |_| Ok(2), &clock()), Ok(2));
    gate.open();
    assert_eq!(hung.join().unwrap(), Ok(1), "its own caller has its value");
    assert_eq!(pages.get(&7, clock().now(), &pin()), Some(&2), "nobody else");
}

#[test]
fn listeners_that_panic_are_contained_and_counted() {
    let panics = Panics::new();
    let told = Arc::new(AtomicU64::new(0));
    let counts = Arc::clone(&told);
    let listener = move |_: &u32, _: &u32, _: RemovalCause| {
        counts.fetch_add(1, Ordering::SeqCst);
        panic!("on purpose");
    };
    let cache: Cache<u32, u32> = Cache::builder(domain(), random_state())
        .max_entries(2)
        .listener(panics.contain(listener))
        .build()
        .expect("memory");
    for key in 0..10 {
        cache.insert(key, key, clock().now(), &pin()).expect("room");
    }
    assert_eq!((panics.count(), told.load(Ordering::SeqCst)), (8, 8));
}

#[test]
fn waiting_costs_no_processor_time_also_where_there_is_no_place_to_wait_in() {
    use tidegate::lockfree::flight::{Caller, ClaimError, Slot};
    static SLOT: Slot<1> = Slot::new();
    let origin = tidegate::Instant::ORIGIN;
    let claim = SLOT.claim(Caller(1), None, origin).expect("free");
    let refused = Arc::new(AtomicU64::new(0));
    let waiting: Vec<_> = (2..6)
        .map(|caller| {
            let refused = Arc::clone(&refused);
            std::thread::spawn(move || {
                let Err(ClaimError::Held(freed)) = SLOT.claim(Caller(caller), None, origin) else {
                    panic!("it is held");
                };
                let (start, before) = (std::time::Instant::now(), thread_time());
                refused.fetch_add(1, Ordering::SeqCst);
                block_on(freed);
                (thread_time() - before, start.elapsed())
            })
        })
        .collect();
    wait_until(|| refused.load(Ordering::SeqCst) == 4);
    // What they spend meanwhile is what this is about.
    std::thread::sleep(Duration::from_millis(200));
    drop(claim);
    for waiting in waiting {
        let (spent, waited) = waiting.join().unwrap();
        assert!(spent < waited / 4, "{spent:?} of the processor's time in {waited:?}");
    }
    wait_until(|| SLOT.claim(Caller(9), None, origin).is_ok());
}

/// What this thread has spent.
fn thread_time() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: a valid timespec to write to.
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) };
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

#[test]
fn a_listener_that_asks_for_what_was_loaded_has_it() {
    let _watched = watchdog("a listener asks for what was loaded");
    let (clock, answers) = (Arc::new(ManualClock::default()), Arc::new(Mutex::new(Vec::new())));
    let place: Arc<OnceLock<Arc<Pages>>> = Arc::default();
    let (asked, told, time) = (Arc::clone(&place), Arc::clone(&answers), Arc::clone(&clock));
    let listener = move |key: &u32, _: &u32, cause: RemovalCause| {
        if let Some(pages) = asked.get() {
            let answer = pages.get_or_load(key, |_| Ok(0), &*time);
            told.lock().unwrap().push((cause, answer));
        }
    };
    let pages = Cache::builder(domain(), random_state())
        .max_entries(1)
        .time_to_live(Duration::from_secs(1))
        .listener(listener);
    let pages: Arc<Pages> = Arc::new(pages.build().expect("memory"));
    assert!(place.set(Arc::clone(&pages)).is_ok());
    assert_eq!(pages.get_or_load(&1, |_| Ok(10), &*clock), Ok(10));
    clock.set(tidegate::Instant::from_secs(5));
    assert_eq!(pages.get_or_load(&1, |_| Ok(20), &*clock), Ok(20));
    let answers = std::mem::take(&mut *answers.lock().unwrap());
    assert_eq!(answers, [(RemovalCause::Expired, Ok(20))]);
}

#[test]
fn a_future_is_dropped_as_part_of_its_load() {
    type Answer = Option<Result<u32, LoadError<String>>>;
    struct Asks(Arc<Pages>, Arc<Mutex<Answer>>);
    impl Drop for Asks {
        fn drop(&mut self) {
            *self.1.lock().unwrap() = Some(self.0.get_or_load(&7, |_| Ok(0), &clock()));
        }
    }

    let _watched = watchdog("a future is dropped as part of its load");
    let (pages, answer) = (pages(), Arc::default());
    let asks = Asks(Arc::clone(&pages), Arc::clone(&answer));
    let time = clock();
    let never = pages.get_or_load_async(
        &7,
        |_| async move {
            let _asks = asks;
            std::future::pending().await
        },
        &time,
    );
    assert_eq!(block_for(never, Duration::from_millis(1)), Err(TimedOutError));
    assert_eq!(answer.lock().unwrap().take(), Some(Err(LoadError::Reentrant)));
    assert_eq!(pages.get_or_load(&7, |_| Ok(70), &clock()), Ok(70));
}

/// Polls once, with a waker that does nothing.
fn poll_once<F: Future>(future: std::pin::Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

/// Panics whenever it is called.
struct Panicking;

impl Wake for Panicking {
    fn wake(self: Arc<Self>) {
        panic!("on purpose");
    }
}

/// Whoever loads has his result, whatever those do who waited, or are told.
#[test]
fn wakers_that_panic_take_no_result_from_the_leader() {
    for fails in [false, true] {
        let (pages, time) = (pages(), clock());
        let waker = Waker::from(Arc::new(Panicking));
        let mut waiting = Vec::new();
        let result = pages.get_or_load(
            &7,
            |_| {
                for _ in 0..3 {
                    let mut follower = Box::pin(async {
                        pages.get_or_load_async(&7, async |_| Ok(8), &time).await
                    });
                    // As tasks of others', on this thread.
                    let poll = follower.as_mut().poll(&mut Context::from_waker(&waker));
                    assert_eq!(poll, Poll::Pending);
                    waiting.push(follower);
                }
                if fails { Err("on purpose".to_owned()) } else { Ok(70) }
            },
            &clock(),
        );
        let expected = if fails { Err(LoadError::Failed("on purpose".to_owned())) } else { Ok(70) };
        assert_eq!((result, pages.loading()), (expected.clone(), 0));
        for follower in waiting {
            assert_eq!(block_on(follower), expected);
        }
    }
}

#[test]
fn a_listener_that_panics_takes_no_result_from_the_leader() {
    let listener = |_: &u32, _: &u32, _: RemovalCause| panic!("on purpose");
    let pages: Pages = usual().max_entries(2).listener(listener).build().expect("memory");
    for key in 0..10 {
        assert_eq!(pages.get_or_load(&key, |key| Ok(key * 10), &clock()), Ok(key * 10));
        assert_eq!(pages.get(&key, clock().now(), &pin()), Some(&(key * 10)));
    }
    assert_eq!((pages.loading(), pages.counters().evicted), (0, 8));
}

/// Also where a load is made by hand: the process' domain contains each waker and the listener by itself.
#[test]
fn wakers_and_a_listener_that_panic_are_contained_in_the_domain_of_the_process() {
    let listener = |_: &u32, _: &u32, _: RemovalCause| panic!("on purpose");
    let pages: Pages = usual().max_entries(1).listener(listener).build().expect("memory");
    let now = clock().now();
    pages.insert(1, 10, now, &pin()).expect("room");
    let Ok(Load::Lead(loading)) = pages.load(&2, Caller(0), now, &pin()) else {
        panic!("nobody loads it");
    };
    let waker = Waker::from(Arc::new(Panicking));
    let mut waiting: Vec<_> = (1..4)
        .map(|caller| match pages.load(&2, Caller(caller), now, &pin()) {
            Ok(Load::Wait(follower)) => follower,
            other => panic!("{other:?}"),
        })
        .collect();
    for follower in &mut waiting {
        let poll = std::pin::Pin::new(follower).poll(&mut Context::from_waker(&waker));
        assert_eq!(poll, Poll::Pending);
    }
    let before = tidegate::caught_panics();
    assert_eq!(loading.complete(20, now, &pin()), Ok(20));
    // Other tests panic, too.
    assert!(tidegate::caught_panics() >= before + 4);
    for follower in waiting {
        assert_eq!(block_on(follower), Ok(20));
    }
    assert_eq!(pages.get(&2, now, &pin()), Some(&20));
}

/// A value whose copies take a while, or panic.
struct Slow(u32, Arc<ManualClock>, Duration);

impl Clone for Slow {
    fn clone(&self) -> Self {
        assert!(self.2 != Duration::MAX, "on purpose");
        self.1.advance(self.2);
        Self(self.0, Arc::clone(&self.1), self.2)
    }
}

#[test]
fn a_copy_that_panics_is_an_error_to_the_caller_that_would_have_it() {
    let time = Arc::new(ManualClock::new());
    let rows: Cache<u32, Slow, LoadError<String>> =
        Cache::builder(domain(), random_state()).build().expect("memory");
    let now = time.now();
    rows.insert(1, Slow(1, Arc::clone(&time), Duration::MAX), now, &pin()).ok().expect("room");
    let never = |_: &u32| panic!("it is cached");
    let result = rows.get_or_load(&1, never, &*time).map(|row| row.0);
    assert_eq!(result, Err(LoadError::Panicked));
}

/// A user's own numbers are not taken for those of loads, of which there are many.
#[test]
fn a_load_is_not_taken_for_a_caller_of_the_user_s() {
    let (pages, time) = (pages(), clock());
    let Ok(Load::Lead(loading)) = pages.load(&7, Caller(10_000), time.now(), &pin()) else {
        panic!("no other caller loads");
    };
    for _ in 0..20_000 {
        let waiting = std::pin::pin!(pages.get_or_load_async(&7, async |_| Ok(8), &time));
        assert_eq!(poll_once(waiting), Poll::Pending, "a stranger can wait");
    }
    assert_eq!(loading.complete(7, time.now(), &pin()), Ok(7));
}

/// A loader waits on its thread, which polls the task of somebody else's meanwhile: that can wait, and what the
/// loader itself waits for cannot.
#[test]
fn a_task_on_the_thread_of_a_loader_is_not_taken_for_it() {
    let _watched = watchdog("a task on the thread of a loader");
    let (pages, time) = (pages(), clock());
    let mut stranger = Box::pin(pages.get_or_load_async(&7, async |_| Ok(8), &time));
    let loaded = pages.get_or_load(
        &7,
        |_| {
            let own = pages.get_or_load_async(&7, async |_| Ok(9), &time);
            assert_eq!(block_on(own), Err(LoadError::Reentrant));
            let nested = pages.get_or_load(&7, |_| Ok(9), &clock());
            assert_eq!(nested, Err(LoadError::Reentrant), "to block here is to wait for itself");
            block_on(std::future::poll_fn(|_| {
                assert_eq!(poll_once(stranger.as_mut()), Poll::Pending, "it can wait");
                Poll::Ready(())
            }));
            Ok(70)
        },
        &clock(),
    );
    assert_eq!((loaded, block_on(stranger)), (Ok(70), Ok(70)));
}

/// What has ended is handed out by no path, however late.
#[test]
fn a_task_that_is_polled_late_does_not_get_what_has_ended() {
    let (time, second) = (ManualClock::new(), Duration::from_secs(1));
    let pages: Pages = usual().time_to_live(second * 10).build().expect("memory");
    let mut waiting = Vec::new();
    let loaded = pages.get_or_load(
        &7,
        |_| {
            waiting = (0..2)
                .map(|_| Box::pin(pages.get_or_load_async(&7, async |_| Ok(71), &time)))
                .collect();
            for follower in &mut waiting {
                assert_eq!(poll_once(follower.as_mut()), Poll::Pending);
            }
            Ok(70)
        },
        &time,
    );
    assert_eq!(loaded, Ok(70));
    let late = waiting.pop().expect("two");
    time.advance(second * 9);
    assert_eq!(block_on(waiting.pop().expect("one")), Ok(70), "in time");
    time.advance(second);
    assert_eq!(block_on(late), Ok(71), "loaded anew");
}

#[test]
fn a_value_that_ends_while_it_is_copied_is_loaded_anew() {
    let (time, second) = (Arc::new(ManualClock::new()), Duration::from_secs(1));
    for stale in [false, true] {
        let window = if stale { second * 10 } else { Duration::ZERO };
        let rows: Cache<u32, Slow, LoadError<String>> = Cache::builder(domain(), random_state())
            .time_to_live(second * 10)
            .stale_while_revalidate(window)
            .build()
            .expect("memory");
        let row = |number, takes| Slow(number, Arc::clone(&time), takes);
        rows.insert(1, row(1, second * 11), time.now(), &pin()).ok().expect("room");
        if stale {
            time.advance(second * 11);
            // Another loads, so that this is all there is.
            let Ok(Load::Stale(_, Some(loading))) = rows.load(&1, Caller(1), time.now(), &pin())
            else {
                panic!("it is past its window now");
            };
            drop(loading);
        }
        let result = rows.get_or_load(&1, |_| Ok(row(2, Duration::ZERO)), &time);
        assert_eq!(result.map(|row| row.0), Ok(2), "stale {stale}");
    }
}

/// The writer writes the database and then the cache, as every guide says.
#[test]
fn what_was_read_before_a_write_is_not_kept_after_it() {
    let (pages, gate) = (pages(), Gate::new());
    let loader = std::thread::spawn({
        let (pages, gate) = (Arc::clone(&pages), Arc::clone(&gate));
        move || {
            pages.get_or_load(
                &7,
                |_| {
                    gate.pass();
                    Ok(1)
                },
                &clock(),
            )
        }
    });
    gate.wait_for(1);
    let mut waiting = Box::pin(async {
        let time = clock();
        pages.get_or_load_async(&7, async |_| Ok(3), &time).await
    });
    assert_eq!(poll_once(waiting.as_mut()), Poll::Pending);
    assert_eq!(pages.invalidate(&7, clock().now(), &pin()), None);
    let patience = Duration::from_secs(20);
    let after = pages.get_or_load_within(&7, patience, |_| Ok(2), &clock());
    assert_eq!(after, Ok(2), "begins after the write");
    gate.open();
    assert_eq!(loader.join().unwrap(), Ok(1));
    assert_eq!(block_on(waiting), Ok(1), "began before it");
    assert_eq!(pages.get(&7, clock().now(), &pin()), Some(&2));
}

fn refreshed(second: Duration) -> Arc<Pages> {
    let builder = usual().time_to_live(second * 10).stale_while_revalidate(second * 100);
    Arc::new(builder.build().expect("memory"))
}

/// The caller that finds a stale value first has it within its bound, and the load goes on.
#[test]
fn a_stale_value_is_had_within_the_bound_while_the_load_goes_on() {
    let (time, second) = (Arc::new(ManualClock::new()), Duration::from_secs(1));
    let (pages, gate, short) = (refreshed(second), Gate::new(), Duration::from_millis(20));
    let on_a_thread = |load: tidegate::LoadTask| _ = std::thread::spawn(move || load.run());
    let first = pages.get_or_refresh(&7, second * 60, |_| Ok(1), on_a_thread, &time);
    assert_eq!(first, Ok(1));
    time.advance(second * 20);
    let held = Arc::clone(&gate);
    let load = move |_: &u32| {
        held.pass();
        Ok(2)
    };
    let start = std::time::Instant::now();
    assert_eq!(pages.get_or_refresh(&7, short, load, on_a_thread, &time), Ok(1));
    assert!(start.elapsed() < second * 10 && start.elapsed() >= short, "{:?}", start.elapsed());
    assert_eq!(pages.loading(), 1, "it goes on");
    // Others have the stale one at once, and load nothing.
    let never = |_: &u32| panic!("another loads");
    assert_eq!(pages.get_or_refresh(&7, short, never, on_a_thread, &time), Ok(1));
    gate.wait_for(1);
    gate.open();
    wait_until(|| pages.loading() == 0);
    assert_eq!(pages.get(&7, time.now(), &pin()), Some(&2));

    // Past its window it is no longer good enough, and nothing else is there in time.
    time.advance(second * 111);
    let gate = Gate::new();
    let held = Arc::clone(&gate);
    let load = move |_: &u32| {
        held.pass();
        Ok(3)
    };
    let late = pages.get_or_refresh(&7, short, load, on_a_thread, &time);
    assert_eq!(late, Err(LoadError::TimedOut));
    gate.open();
    assert_eq!(pages.get_or_refresh(&7, second * 60, |_| Ok(4), on_a_thread, &time), Ok(3));
}

/// A load that is dropped, or fails, leaves a stale value to its caller and the claim to the next.
#[test]
fn a_load_that_is_dropped_leaves_loading_to_the_next() {
    let (time, second) = (Arc::new(ManualClock::new()), Duration::from_secs(1));
    let pages = refreshed(second);
    let nothing = pages.get_or_refresh(&7, second, |_| Ok(1), drop, &time);
    assert_eq!((nothing, pages.loading()), (Err(LoadError::Abandoned), 0));
    let here = |load: tidegate::LoadTask| load.run();
    assert_eq!(pages.get_or_refresh(&7, second, |_| Ok(1), here, &time), Ok(1));
    time.advance(second * 20);
    assert_eq!(pages.get_or_refresh(&7, second, |_| Ok(2), drop, &time), Ok(1));
    let panics = |_| panic!("on purpose");
    assert_eq!(pages.get_or_refresh(&7, second, |_| Ok(2), panics, &time), Ok(1));
    let fails = |_: &u32| Err("on purpose".to_owned());
    assert_eq!(pages.get_or_refresh(&7, second, fails, here, &time), Ok(1));
    let panics = |_: &u32| panic!("on purpose");
    assert_eq!(pages.get_or_refresh(&7, second, panics, here, &time), Ok(1));
    assert_eq!(pages.loading(), 0);
    assert_eq!(pages.get_or_refresh(&7, second, |_| Ok(2), here, &time), Ok(2));
}

#[test]
fn a_task_has_a_stale_value_when_its_timer_ends_and_the_load_goes_on() {
    let (time, second) = (Arc::new(ManualClock::new()), Duration::from_secs(1));
    let pages = refreshed(second);
    let mut spawned: Vec<LoadFuture> = Vec::new();
    let never = std::future::pending::<()>;
    {
        let spawn = |load| spawned.push(load);
        let mut first =
            Box::pin(pages.get_or_refresh_async(&7, never(), async |_| Ok(1), spawn, &time));
        assert_eq!(poll_once(first.as_mut()), Poll::Pending);
        // Dropped, it leaves the load alone.
    }
    assert_eq!(pages.loading(), 1);
    block_on(spawned.pop().expect("the load"));
    assert_eq!(pages.get(&7, time.now(), &pin()), Some(&1));
    time.advance(second * 20);
    let soon = async { yields().await };
    let spawn = |load| spawned.push(load);
    let stale = pages.get_or_refresh_async(&7, soon, async |_| Ok(2), spawn, &time);
    assert_eq!((block_on(stale), pages.loading()), (Ok(1), 1));
    block_on(spawned.pop().expect("the load"));
    assert_eq!(pages.get(&7, time.now(), &pin()), Some(&2));
}

/// A key that is written while its load is being handed over: the load is detached, so its value is for its
/// caller and not stored, also over what was written; and the caller waits within its bound only.
#[test]
fn a_write_during_the_spawn_detaches_the_load() {
    let (time, second) = (Arc::new(ManualClock::new()), Duration::from_secs(1));
    let _watched = watchdog("a write during the spawn");
    for (has_stale, inserts) in [(false, false), (false, true), (true, false), (true, true)] {
        let pages = refreshed(second);
        if has_stale {
            pages.insert(7, 1, time.now(), &pin()).expect("room");
            time.advance(second * 20);
        }
        let write = |value| {
            pages.invalidate(&7, time.now(), &pin());
            if inserts {
                pages.insert(7, value, time.now(), &pin()).expect("room");
            }
        };
        let there = |value| inserts.then_some(value);
        let stored = || pages.get(&7, time.now(), &pin()).copied();
        let old = |_: &u32| Ok(2);

        // It ends before the caller waits, or while it does.
        let here = |load: tidegate::LoadTask| {
            write(3);
            load.run();
        };
        assert_eq!(pages.get_or_refresh(&7, second * 60, old, here, &time), Ok(2));
        assert_eq!((stored(), pages.loading()), (there(3), 0));
        time.advance(second * 20);
        let gate = Gate::new();
        let held = Arc::clone(&gate);
        let elsewhere = |load: tidegate::LoadTask| {
            write(4);
            let opens = Arc::clone(&gate);
            std::thread::spawn(move || load.run());
            std::thread::spawn(move || opens.open());
        };
        let load = move |_: &u32| {
            held.pass();
            Ok(2)
        };
        assert_eq!(pages.get_or_refresh(&7, second * 60, load, elsewhere, &time), Ok(2));
        wait_until(|| pages.loading() == 0);
        assert_eq!(stored(), there(4));

        // It is dropped, or ends after the caller has gone. What is stale stands in, for the call began
        // before it was written; else what was written is there.
        time.advance(second * 20);
        let dropped = |load: tidegate::LoadTask| {
            write(5);
            drop(load);
        };
        let answer = pages.get_or_refresh(&7, second * 60, old, dropped, &time);
        let expected = if inserts { Ok(4) } else { Err(LoadError::Abandoned) };
        assert_eq!((answer, stored(), pages.loading()), (expected, there(5), 0));
        time.advance(second * 20);
        let mut kept = None;
        let keeps = |load| {
            write(6);
            kept = Some(load);
        };
        let answer = pages.get_or_refresh(&7, second / 50, old, keeps, &time);
        let expected = if inserts { Ok(5) } else { Err(LoadError::TimedOut) };
        assert_eq!((answer, stored(), pages.loading()), (expected, there(6), 1));
        // The next caller does not wait for it.
        let next = pages.get_or_refresh(&7, second * 60, |_| Ok(8), tidegate::LoadTask::run, &time);
        assert_eq!(next, Ok(there(6).unwrap_or(8)));
        kept.expect("the load").run();
        assert_eq!((stored(), pages.loading()), (Some(there(6).unwrap_or(8)), 0));
    }
}

/// The same for tasks.
#[test]
fn a_write_during_the_spawn_of_a_task_detaches_the_load() {
    let (time, second) = (Arc::new(ManualClock::new()), Duration::from_secs(1));
    let _watched = watchdog("a write during the spawn of a task");
    for has_stale in [false, true] {
        let pages = refreshed(second);
        if has_stale {
            pages.insert(7, 1, time.now(), &pin()).expect("room");
            time.advance(second * 20);
        }
        let mut kept: Option<LoadFuture> = None;
        let spawn = |load| {
            pages.invalidate(&7, time.now(), &pin());
            kept = Some(load);
        };
        let soon = async { yields().await };
        let answer = pages.get_or_refresh_async(&7, soon, async |_| Ok(2), spawn, &time);
        let expected = if has_stale { Ok(1) } else { Err(LoadError::TimedOut) };
        assert_eq!((block_on(answer), pages.loading()), (expected, 1));
        let never = std::future::pending::<()>;
        let mut next: Option<LoadFuture> = None;
        {
            let spawn = |load| next = Some(load);
            let answer = pages.get_or_refresh_async(&7, never(), async |_| Ok(8), spawn, &time);
            let mut answer = Box::pin(answer);
            assert_eq!(poll_once(answer.as_mut()), Poll::Pending, "another load, of its own");
        }
        block_on(kept.expect("the load"));
        assert_eq!((pages.get(&7, time.now(), &pin()), pages.loading()), (None, 1));
        block_on(next.expect("the next"));
        assert_eq!((pages.get(&7, time.now(), &pin()), pages.loading()), (Some(&8), 0));
    }
}
