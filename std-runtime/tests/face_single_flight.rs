//! The face's single flight.

use std::sync::Barrier;
use std::sync::atomic::{AtomicU32, Ordering};
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
    assert_eq!(flights.run(&1, || panic!("on purpose")), Err(LoadError::Panicked));
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
    let run = flights.run_async(&key, async { panic!("on purpose") });
    assert_eq!(wait::block_on(run), Err(LoadError::Panicked));
}
