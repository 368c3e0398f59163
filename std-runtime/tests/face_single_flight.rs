//! The face's single flight.

use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Barrier;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tidegate::{LoadError, SingleFlight, wait};

#[test]
fn of_callers_that_come_together_one_works() {
    let flights: SingleFlight<String, u32, String> = SingleFlight::new();
    let (runs, begun) = (AtomicU32::new(0), Barrier::new(4));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                begun.wait();
                let result = flights.run("key", || {
                    std::thread::sleep(Duration::from_millis(50));
                    Ok(runs.fetch_add(1, Ordering::Relaxed))
                });
                assert_eq!(result, Ok(0));
            });
        }
    });
    assert_eq!(
        flights.run("key", || Ok(runs.fetch_add(1, Ordering::Relaxed))),
        Ok(1),
        "not stored"
    );
    assert_eq!(flights.in_flight(), 0);
}

#[test]
fn each_way_to_fail_is_told() {
    let flights: SingleFlight<u32, u32, String> = SingleFlight::new();
    let failed = flights.run(&1, || Err("not there".to_owned()));
    assert_eq!(failed, Err(LoadError::Failed("not there".to_owned())));
    let inner = |result: Result<u32, LoadError<String>>| result.map_err(|error| error.to_string());
    let asked = flights.run(&1, || inner(flights.run(&1, || Ok(1))));
    assert!(matches!(asked, Err(LoadError::Failed(message)) if message.contains("itself")));

    let begun = Barrier::new(2);
    std::thread::scope(|scope| {
        let leader = scope.spawn(|| {
            flights.run(&2, || {
                begun.wait();
                begun.wait();
                Ok(7)
            })
        });
        begun.wait();
        let late = flights.run_within(&2, Duration::from_millis(10), || Ok(8));
        assert_eq!(late, Err(LoadError::TimedOut));
        assert!(flights.detach(&2), "what it reads has changed");
        assert_eq!(flights.run(&2, || Ok(9)), Ok(9), "the next caller works anew");
        begun.wait();
        assert_eq!(leader.join().unwrap(), Ok(7));
    });
}

#[test]
fn futures_are_send_and_share_the_work() {
    fn is_send<T: Send>(it: T) -> T {
        it
    }
    let flights: SingleFlight<String, u32, String> = SingleFlight::new();
    let key = "key".to_owned();
    let run = flights.run_async(&key, async { Ok(7) });
    assert_eq!(wait::block_on(is_send(run)), Ok(7));
    let run = flights.run_async(&key, async { Err("not there".to_owned()) });
    assert_eq!(wait::block_on(run), Err(LoadError::Failed("not there".to_owned())));
    let run = flights.run_async("a borrowed key", async { Ok(9) });
    assert_eq!(wait::block_on(is_send(run)), Ok(9));
}

fn panic_of<T>(f: impl FnOnce() -> T) -> String {
    let Err(payload) = catch_unwind(AssertUnwindSafe(f)) else { panic!("no panic") };
    payload.downcast_ref::<&str>().expect("the work's own").to_string()
}

#[test]
fn a_leader_s_panic_resumes_in_the_leader_and_its_follower_joins_again() {
    let flights: SingleFlight<u32, u32, String> = SingleFlight::new();
    let mut context = Context::from_waker(Waker::noop());
    let mut follows = Box::pin(flights.run_async(&1, async { Ok(7) }));
    let leads = || {
        flights.run(&1, || {
            assert!(follows.as_mut().poll(&mut context).is_pending());
            panic!("on purpose")
        })
    };
    assert_eq!(panic_of(leads), "on purpose");
    assert_eq!(follows.as_mut().poll(&mut context), Poll::Ready(Ok(7)), "it works itself");
    let within = || flights.run_within(&1, Duration::ZERO, || panic!("in time"));
    assert_eq!(panic_of(within), "in time");
    assert_eq!(flights.in_flight(), 0, "the key is free");
}

#[test]
fn a_leading_future_s_panic_resumes_in_it_and_its_followers_join_again() {
    let flights: SingleFlight<u32, u32, String> = SingleFlight::new();
    let (mut turns, mut context) = (0, Context::from_waker(Waker::noop()));
    let work = poll_fn(|_| {
        turns += 1;
        assert!(turns < 2, "on purpose");
        Poll::<Result<u32, String>>::Pending
    });
    let mut leads = Box::pin(flights.run_async(&1, work));
    let mut follows = Box::pin(flights.run_async(&1, async { Ok(7) }));
    assert!(leads.as_mut().poll(&mut context).is_pending());
    assert!(follows.as_mut().poll(&mut context).is_pending());
    std::thread::scope(|scope| {
        let blocks = scope.spawn(|| flights.run(&1, || Ok(8)));
        // By then the thread waits. One that is late works itself, too.
        std::thread::sleep(Duration::from_millis(50));
        assert_eq!(panic_of(|| leads.as_mut().poll(&mut context)), "on purpose");
        assert_eq!(blocks.join().unwrap(), Ok(8));
    });
    assert_eq!(follows.as_mut().poll(&mut context), Poll::Ready(Ok(7)));
    assert_eq!(flights.in_flight(), 0);
}
