//! The refresher, against the cases of écluse's (I-C...): early renewal by one, failures that are shared, a
//! breaker with one probe.

mod common;

use std::cell::RefCell;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::task::{Context, Poll};
use std::time::Duration;

use common::{Gate, wait_until, watchdog};
use tidegate::refresh::{Breaker, BuildError, Builder, Event, Minted, RefreshError, Refresher};
use tidegate::{Clock, Health, Instant, ManualClock, Runtime, Stop, Ttl, wait};

type Token = Refresher<u64, String>;

fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

/// A clock, and how often something was made.
#[derive(Clone, Default)]
struct Setting {
    clock: Arc<ManualClock>,
    mints: Arc<AtomicU64>,
}

impl Setting {
    fn at(&self, secs: u64) {
        self.clock.set(Instant::from_secs(secs));
    }

    fn mints(&self) -> u64 {
        self.mints.load(Ordering::SeqCst)
    }

    /// Makes the numbers from 1 on, good for a thousand seconds; or fails, or whatever `f` does then.
    fn builder(
        &self,
        f: impl Fn(u64) -> Result<u64, String> + Send + Sync + 'static,
    ) -> Builder<u64, String> {
        let mints = Arc::clone(&self.mints);
        let mint = move || {
            let number = mints.fetch_add(1, Ordering::SeqCst) + 1;
            f(number).map(|value| Minted { value, ttl: secs(1_000).into() })
        };
        Refresher::builder(mint).clock(self.clock.clone())
    }
}

impl Setting {
    /// The first is made at once, the others once the gate is open.
    fn gated(&self, gate: &Arc<Gate>) -> Arc<Token> {
        let gate = Arc::clone(gate);
        let token = self.builder(move |number| {
            if number > 1 {
                gate.pass();
            }
            Ok(number)
        });
        Arc::new(token.build().expect("a token"))
    }
}

fn get(token: &Token) -> Result<u64, RefreshError<String>> {
    token.get().map(|value| *value)
}

#[test]
fn the_first_value_is_made_at_once_and_served_until_it_is_due() {
    let setting = Setting::default();
    let token = setting.builder(Ok).build().expect("a token");
    assert_eq!((setting.mints(), get(&token)), (1, Ok(1)));
    let status = token.status();
    assert_eq!(status.due, Some(Instant::from_secs(800)));
    assert_eq!(status.expires, Some(Instant::from_secs(1_000)));
    setting.at(799);
    assert_eq!(get(&token), Ok(1));
    setting.at(800);
    assert_eq!((get(&token), setting.mints()), (Ok(2), 2));
    assert_eq!(token.status().due, Some(Instant::from_secs(1_600)));
}

#[test]
fn what_cannot_be_is_refused_by_name_and_a_first_failure_is_an_error() {
    let setting = Setting::default();
    let fields = [
        (setting.builder(Ok).refresh_at(1_000_001), "refresh_at"),
        (setting.builder(Ok).jitter(1_000_001), "jitter"),
        (setting.builder(Ok).breaker(0, secs(1)), "threshold"),
        (setting.builder(Ok).spacing(secs(2), secs(1)), "longest"),
    ];
    for (builder, field) in fields {
        let Err(BuildError::Config(refused)) = builder.build() else { panic!("{field}") };
        assert_eq!(refused.field(), field);
    }
    assert_eq!(setting.mints(), 0);
    let broken = setting.builder(|_| Err("on purpose".to_owned())).build();
    let Err(BuildError::Refresh(error)) = broken else { panic!("a token") };
    assert_eq!(error, RefreshError::Failed("on purpose".to_owned()));
    // What has ended when it comes is none.
    let ended = Refresher::builder(|| Ok::<_, String>(Minted { value: 1, ttl: secs(0).into() }));
    let Err(BuildError::Refresh(error)) = ended.build() else { panic!("a token") };
    assert_eq!(error, RefreshError::AlreadyExpired);
    let forever = Refresher::builder(|| Ok::<_, String>(Minted { value: 1, ttl: Ttl::Forever }));
    assert_eq!(forever.build().expect("a token").status().due, None);
}

/// One renews early; the others have what is valid, at once.
#[test]
fn i_c25_of_five_callers_one_renews() {
    let (setting, gate) = (Setting::default(), Gate::new());
    let token = setting.gated(&gate);
    setting.at(850);
    let one = std::thread::spawn({
        let token = Arc::clone(&token);
        move || get(&token)
    });
    gate.wait_for(1);
    for _ in 0..4 {
        assert_eq!(get(&token), Ok(1), "at once, for the gate is shut");
    }
    gate.open();
    assert_eq!(one.join().unwrap(), Ok(2));
    assert_eq!((get(&token), setting.mints()), (Ok(2), 2));
}

/// Callers of a token that has ended wait for the one, and have what he has.
#[test]
fn i12_callers_of_an_ended_token_share_the_renewal_and_its_failure() {
    for fails in [false, true] {
        let (setting, gate) = (Setting::default(), Gate::new());
        let held = Arc::clone(&gate);
        let token = setting.builder(move |number| {
            if number > 1 {
                held.pass();
                if fails {
                    return Err(format!("failure {number}"));
                }
            }
            Ok(number)
        });
        let token = Arc::new(token.build().expect("a token"));
        setting.at(2_000);
        let asks = || {
            let token = Arc::clone(&token);
            std::thread::spawn(move || get(&token))
        };
        let first = asks();
        gate.wait_for(1);
        let others: Vec<_> = (0..40).map(|_| asks()).collect();
        // Nobody is waited for longer than he would.
        assert_eq!(token.get_within(Duration::from_millis(20)), Err(RefreshError::TimedOut));
        std::thread::sleep(Duration::from_millis(100));
        gate.open();
        let expected =
            if fails { Err(RefreshError::Failed("failure 2".to_owned())) } else { Ok(2) };
        assert_eq!(first.join().unwrap(), expected);
        // I-B3: not one renewal each. Whoever came after the end makes another.
        let same = others.into_iter().map(|other| other.join().unwrap());
        let same = same.filter(|result| *result == expected).count();
        assert!(same >= 30, "{same} of 40 shared it");
        assert!(setting.mints() <= 12, "{} mints", setting.mints());
    }
}

/// A caller that is gone in the middle of it leaves renewing to the next.
#[test]
fn i_c26_the_next_caller_recovers_from_one_that_is_cancelled() {
    let setting = Setting::default();
    let token = setting.builder(Ok).build().expect("a token");
    setting.at(2_000);
    let never = token.get_async(std::future::pending);
    assert_eq!(wait::block_for(never, Duration::from_millis(5)), Err(wait::TimedOutError));
    let start = std::time::Instant::now();
    assert_eq!(get(&token), Ok(2));
    assert!(start.elapsed() < secs(1));

    setting.at(4_000);
    let minted = async || Ok(Minted { value: 77, ttl: secs(50).into() });
    assert_eq!(wait::block_on(token.get_async(minted)).map(|value| *value), Ok(77));
    assert_eq!(get(&token), Ok(77));
}

#[test]
fn i_c28_a_probe_that_fails_opens_the_breaker_again() {
    let setting = Setting::default();
    let token = setting.builder(|number| if number == 1 { Ok(1) } else { Err(number.to_string()) });
    let token = token.breaker(2, secs(60)).build().expect("a token");
    setting.at(2_000);
    assert_eq!(get(&token), Err(RefreshError::Failed("2".to_owned())));
    setting.at(2_001);
    assert_eq!(get(&token), Err(RefreshError::Failed("3".to_owned())));
    let open = Err(RefreshError::BreakerOpen { until: Some(Instant::from_secs(2_061)) });
    assert_eq!((get(&token), setting.mints()), (open, 3));
    setting.at(2_061);
    assert_eq!(get(&token), Err(RefreshError::Failed("4".to_owned())));
    let open = Err(RefreshError::BreakerOpen { until: Some(Instant::from_secs(2_121)) });
    assert_eq!((get(&token), setting.mints()), (open, 4));
    let status = token.status();
    assert_eq!((status.renewed, status.failed), (1, 3));
    assert_eq!(status.breaker, Breaker::Open(Instant::from_secs(2_121)));
}

/// I12: a probe is one, and if it is cancelled another is tried later, not at once.
#[test]
fn i12_a_probe_that_is_cancelled_opens_the_breaker_again() {
    let setting = Setting::default();
    let token = setting.builder(|number| if number == 1 { Ok(1) } else { Err(number.to_string()) });
    let token = token.breaker(1, secs(60)).build().expect("a token");
    setting.at(2_000);
    assert!(get(&token).is_err());
    setting.at(2_060);
    let never = token.get_async(std::future::pending);
    assert_eq!(wait::block_for(never, Duration::from_millis(5)), Err(wait::TimedOutError));
    let open = Err(RefreshError::BreakerOpen { until: Some(Instant::from_secs(2_120)) });
    assert_eq!(get(&token), open);
    setting.at(2_120);
    assert_eq!(get(&token), Err(RefreshError::Failed("3".to_owned())));
}

#[test]
fn i_c29_a_valid_token_is_served_though_renewals_fail() {
    let setting = Setting::default();
    let token = setting.builder(|number| if number == 1 { Ok(1) } else { Err(number.to_string()) });
    let token = token.build().expect("a token");
    for second in 0..8 {
        setting.at(850 + second);
        assert_eq!(get(&token), Ok(1));
    }
    // At 850, 852 and 856: twice as far apart each time.
    assert_eq!(setting.mints(), 1 + 3);
    setting.at(1_000);
    assert!(matches!(get(&token), Err(RefreshError::Failed(_))), "what has ended is not served");
}

/// I-B5: a token that is due as soon as it is there.
#[test]
fn i12_renewals_keep_their_distance() {
    let setting = Setting::default();
    let token = setting.builder(Ok).refresh_at(0);
    let token = token.spacing(secs(5), secs(60)).build().expect("a token");
    for second in 0..50 {
        setting.at(second);
        for _ in 0..10 {
            assert!(token.get().is_ok());
        }
    }
    assert_eq!(setting.mints(), 10);
}

#[test]
fn i_c31_what_happens_is_told_in_order() {
    let (setting, told) = (Setting::default(), Arc::new(Mutex::new(Vec::new())));
    let says = Arc::clone(&told);
    let mints = Arc::clone(&setting.mints);
    let mint = move || match mints.fetch_add(1, Ordering::SeqCst) {
        0 => Ok(Minted { value: 0, ttl: secs(10).into() }),
        1 => Err("on purpose".to_owned()),
        number => Ok(Minted { value: number, ttl: secs(149).into() }),
    };
    let token = Refresher::builder(mint).clock(setting.clock.clone()).breaker(1, secs(30));
    let token = token.report(move |event| says.lock().unwrap().push(event)).build();
    let token = token.expect("a token");
    setting.at(20);
    assert!(token.get().is_err());
    setting.at(51);
    assert_eq!(token.get().map(|value| *value), Ok(2));
    let at = Instant::from_secs;
    let expected = [
        Event::Renewed(Some(secs(10))),
        Event::Breaker(Breaker::Open(at(50))),
        Event::Failed(Duration::ZERO),
        Event::Breaker(Breaker::HalfOpen),
        Event::Breaker(Breaker::Closed(0)),
        Event::Renewed(Some(secs(149))),
    ];
    assert_eq!(*told.lock().unwrap(), expected);
}

/// A clock that goes on by itself while somebody waits.
struct Jumps(Arc<ManualClock>, AtomicU64);

impl tidegate::Clock for Jumps {
    fn now(&self) -> Instant {
        let by = self.1.swap(0, Ordering::SeqCst);
        let now = self.0.now();
        self.0.advance(secs(by));
        now
    }
}

/// I13, I-B4: the time is read after the wait, so a token that ended meanwhile is not handed out.
#[test]
fn i13_a_token_that_ends_while_it_is_waited_for_is_not_handed_out() {
    let (gate, mints) = (Gate::new(), Arc::new(AtomicU64::new(0)));
    let clock = Arc::new(Jumps(Arc::default(), AtomicU64::new(0)));
    let (held, counts) = (Arc::clone(&gate), Arc::clone(&mints));
    let mint = move || {
        let number = counts.fetch_add(1, Ordering::SeqCst);
        if number == 1 {
            held.pass();
        }
        Ok::<_, String>(Minted { value: number, ttl: secs(30).into() })
    };
    let token = Refresher::builder(mint).clock(clock.clone()).floor(secs(0)).build();
    let token = Arc::new(token.expect("a token"));
    clock.0.set(Instant::from_secs(2_000));
    let asks = || {
        let token = Arc::clone(&token);
        std::thread::spawn(move || token.get().map(|value| *value))
    };
    let first = asks();
    gate.wait_for(1);
    let second = asks();
    std::thread::sleep(Duration::from_millis(50));
    // The value is valid when it comes, and has ended when the callers look at it.
    clock.1.store(60, Ordering::SeqCst);
    gate.open();
    let ended = first.join().unwrap();
    // The last look is after the last wake; by then the other may have renewed it.
    assert!(matches!(ended, Err(RefreshError::AlreadyExpired) | Ok(2)), "{ended:?}");
    assert_eq!(second.join().unwrap(), Ok(2), "not the one that was waited for");
}

/// Whoever waits for a renewal is a task, not a thread.
#[test]
fn tasks_on_one_thread_share_a_renewal() {
    let setting = Setting::default();
    let token = setting.builder(Ok).build().expect("a token");
    setting.at(2_000);
    let gone = std::cell::Cell::new(false);
    let slow = || {
        std::future::poll_fn(|_| match gone.get() {
            true => std::task::Poll::Ready(Ok(Minted { value: 7, ttl: secs(100).into() })),
            false => std::task::Poll::Pending,
        })
    };
    let mut one = Box::pin(token.get_async(slow));
    assert_eq!(wait::block_for(one.as_mut(), Duration::from_millis(1)), Err(wait::TimedOutError));
    let mut other = Box::pin(token.get_async(slow));
    assert_eq!(wait::block_for(other.as_mut(), Duration::from_millis(1)), Err(wait::TimedOutError));
    gone.set(true);
    assert_eq!(wait::block_on(one).map(|value| *value), Ok(7));
    assert_eq!(wait::block_on(other).map(|value| *value), Ok(7));
}

#[test]
fn a_future_that_panics_is_a_failure_and_opens_the_breaker() {
    let setting = Setting::default();
    let token = setting.builder(Ok).breaker(2, secs(60)).build().expect("a token");
    setting.at(2_000);
    let panics = || async { panic!("on purpose") };
    for second in 0..2 {
        setting.at(2_000 + second);
        assert_eq!(wait::block_on(token.get_async(panics)), Err(RefreshError::Panicked));
    }
    assert_eq!(token.status().failed, 2);
    let open = RefreshError::BreakerOpen { until: Some(Instant::from_secs(2_061)) };
    assert_eq!(wait::block_on(token.get_async(panics)), Err(open));
}

#[test]
fn i12_a_cancelled_probe_is_told_and_keeps_its_distance() {
    let (setting, told) = (Setting::default(), Arc::new(Mutex::new(Vec::new())));
    let says = Arc::clone(&told);
    let token = setting.builder(|number| if number == 1 { Ok(1) } else { Err(number.to_string()) });
    let token = token.breaker(1, secs(60)).report(move |event| says.lock().unwrap().push(event));
    let token = token.build().expect("a token");
    setting.at(2_000);
    assert!(get(&token).is_err());
    setting.at(2_060);
    let never = token.get_async(std::future::pending);
    assert_eq!(wait::block_for(never, Duration::from_millis(5)), Err(wait::TimedOutError));
    let last = *told.lock().unwrap().last().expect("an event");
    assert_eq!(last, Event::Breaker(Breaker::Open(Instant::from_secs(2_120))));

    // Of a token that is valid and due: not one beginning after the other.
    let setting = Setting::default();
    let token = setting.builder(Ok).build().expect("a token");
    setting.at(850);
    let begun = std::cell::Cell::new(0);
    for _ in 0..10 {
        let never = token.get_async(|| {
            begun.set(begun.get() + 1);
            std::future::pending()
        });
        let served = wait::block_for(never, Duration::from_millis(1));
        assert!(
            served == Err(wait::TimedOutError)
                || served.is_ok_and(|it| it.is_ok_and(|it| *it == 1))
        );
    }
    assert_eq!(begun.get(), 1);
}

/// However many wait, none of them is polled again and again.
#[test]
fn many_tasks_wait_without_being_polled() {
    let (setting, gate) = (Setting::default(), Gate::new());
    let token = setting.gated(&gate);
    setting.at(2_000);
    let leads = std::thread::spawn({
        let token = Arc::clone(&token);
        move || get(&token)
    });
    gate.wait_for(1);
    let wakes = Arc::new(AtomicU64::new(0));
    struct Counts(Arc<AtomicU64>);
    impl std::task::Wake for Counts {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }
    let waker = std::task::Waker::from(Arc::new(Counts(Arc::clone(&wakes))));
    let mut context = std::task::Context::from_waker(&waker);
    let mint = || std::future::pending();
    let mut waiting: Vec<_> = (0..100).map(|_| Box::pin(token.get_async(mint))).collect();
    for task in &mut waiting {
        assert!(task.as_mut().poll(&mut context).is_pending());
    }
    assert_eq!(wakes.load(Ordering::SeqCst), 0);
    // Those that go leave nothing behind.
    waiting.truncate(60);
    gate.open();
    assert_eq!(leads.join().unwrap(), Ok(2));
    wait_until(|| wakes.load(Ordering::SeqCst) == 60);
    for task in waiting {
        assert_eq!(wait::block_on(task).map(|value| *value), Ok(2));
    }
}

#[test]
fn i12_a_thread_that_cannot_renew_is_not_healthy() {
    let setting = Setting::default();
    let token = setting.builder(|number| if number == 1 { Ok(1) } else { Err(number.to_string()) });
    let token = Arc::new(token.breaker(1, secs(600)).build().expect("a token"));
    let runtime = Runtime::builder().build().expect("a runtime");
    let renewing = runtime.refresh("token", Duration::from_millis(2), Arc::clone(&token));
    let renewing = renewing.expect("a thread");
    let taken = runtime.refresh("token", secs(1), Arc::clone(&token));
    assert!(taken.is_err(), "the name is taken");
    runtime.start().expect("threads");
    wait_until(|| renewing.metrics().runs > 2);
    assert_eq!(renewing.health(), Health::Healthy);
    setting.at(2_000);
    wait_until(|| matches!(renewing.health(), Health::Degraded { .. }));
    // Though the breaker is open, and nothing is tried any more.
    let mints = setting.mints();
    let errors = renewing.metrics().errors;
    wait_until(|| renewing.metrics().errors > errors + 1);
    assert_eq!(setting.mints(), mints);
    assert!(matches!(runtime.health(), Health::Degraded { .. } | Health::Stalled { .. }));
}

#[test]
fn a_mint_that_panics_or_asks_for_itself_is_an_error() {
    static TOKEN: std::sync::OnceLock<Token> = std::sync::OnceLock::new();
    let setting = Setting::default();
    let token = setting.builder(|number| match number {
        1 => Ok(1),
        2 => panic!("on purpose"),
        _ => match get(TOKEN.get().expect("it is there")) {
            Err(RefreshError::Reentrant) => Err("it would wait for itself".to_owned()),
            other => other.map_err(|error| error.to_string()),
        },
    });
    let token = TOKEN.get_or_init(|| token.build().expect("a token"));
    setting.at(2_000);
    let before = tidegate::caught_panics();
    assert_eq!(get(token), Err(RefreshError::Panicked));
    assert!(tidegate::caught_panics() > before);
    setting.at(2_001);
    assert_eq!(get(token), Err(RefreshError::Failed("it would wait for itself".to_owned())));
}

/// I-B12: without callers it is renewed all the same; with them, they do not have to do it.
#[test]
fn i12_a_thread_keeps_it_fresh_though_nobody_asks() {
    let setting = Setting::default();
    let token = Arc::new(setting.builder(Ok).build().expect("a token"));
    let runtime = Runtime::builder().name("refresh").build().expect("a runtime");
    runtime.refresh("token", Duration::from_millis(2), Arc::clone(&token)).expect("a thread");
    assert!(runtime.refresh("token", Duration::ZERO, Arc::clone(&token)).is_err());
    runtime.start().expect("threads");
    setting.at(800);
    wait_until(|| setting.mints() == 2);
    wait_until(|| token.status().due == Some(Instant::from_secs(1_600)));
    assert_eq!(runtime.stop(secs(20)), Stop::Stopped);
    setting.at(1_700);
    std::thread::sleep(Duration::from_millis(10));
    assert_eq!(setting.mints(), 2, "stopped");
    assert_eq!(get(&token), Ok(3), "and then whoever asks sees to it");
}

/// Somebody else's code that asks for the token again: whoever hears of it, and destructors.
#[test]
fn who_hears_of_it_may_ask_and_never_waits_for_himself() {
    let _watched = watchdog("who hears of it may ask and never waits for himself");
    let (setting, told) = (Setting::default(), Arc::new(Mutex::new(Vec::new())));
    let place: Arc<OnceLock<Arc<Token>>> = Arc::default();
    let (asked, seen) = (Arc::clone(&place), Arc::clone(&told));
    let builder = setting.builder(|number| match number {
        1 | 3 => Ok(number),
        _ => Err("on purpose".to_owned()),
    });
    let token = builder.breaker(1, secs(60)).report(move |event| {
        if let Some(token) = asked.get() {
            seen.lock().unwrap().push((event, get(token)));
        }
    });
    let token = Arc::new(token.build().expect("a token"));
    assert!(place.set(Arc::clone(&token)).is_ok());

    setting.at(1_000);
    assert_eq!(get(&token), Err(RefreshError::Failed("on purpose".to_owned())));
    let until = Instant::from_secs(1_060);
    let open = Err(RefreshError::BreakerOpen { until: Some(until) });
    let events = std::mem::take(&mut *told.lock().unwrap());
    assert_eq!(
        events.iter().map(|(_, answer)| answer.clone()).collect::<Vec<_>>(),
        [open.clone(), open]
    );
    // Told by the probe, before it is made.
    setting.at(1_060);
    assert_eq!(get(&token), Ok(3));
    let answers: Vec<_> = told.lock().unwrap().iter().map(|(_, answer)| answer.clone()).collect();
    assert_eq!(answers, [Err(RefreshError::Reentrant), Ok(3), Ok(3)]);
}

/// A value or an error whose destructor does what it is told once it is armed.
struct Dropped(Armed);

type Armed = Arc<Mutex<Option<Box<dyn FnOnce() + Send>>>>;

impl Clone for Dropped {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl Drop for Dropped {
    fn drop(&mut self) {
        let does = self.0.lock().unwrap().take();
        if let Some(does) = does {
            does();
        }
    }
}

#[test]
fn a_destructor_of_the_failure_before_may_ask() {
    let _watched = watchdog("a destructor of the failure before may ask");
    let (clock, mints) = (Arc::new(ManualClock::default()), AtomicU64::new(0));
    let at_drop = Arc::default();
    let error = Dropped(Arc::clone(&at_drop));
    let token = Refresher::builder(move || {
        if mints.fetch_add(1, Ordering::SeqCst) > 0 {
            return Err(error.clone());
        }
        Ok(Minted { value: 1, ttl: secs(10).into() })
    });
    let token = Arc::new(
        token.clock(clock.clone()).build().unwrap_or_else(|_| unreachable!("the first is made")),
    );
    clock.set(Instant::from_secs(10));
    let first = token.get();
    assert!(first.is_err());
    let asks = Arc::clone(&token);
    let asked: Arc<AtomicU64> = Arc::default();
    let counted = Arc::clone(&asked);
    *at_drop.lock().unwrap() = Some(Box::new(move || {
        counted.fetch_add(u64::from(asks.get().is_err()), Ordering::SeqCst);
    }));
    drop(first);
    clock.set(Instant::from_secs(11));
    assert!(token.get().is_err());
    assert_eq!(asked.load(Ordering::SeqCst), 1);
}

#[test]
fn a_destructor_that_panics_keeps_nothing_from_being_written_down() {
    let _watched = watchdog("a destructor that panics keeps nothing from being written down");
    let (clock, mints) = (Arc::new(ManualClock::default()), AtomicU64::new(0));
    let at_drop = Arc::default();
    let value = Dropped(Arc::clone(&at_drop));
    let token = Refresher::builder(move || match mints.fetch_add(1, Ordering::SeqCst) {
        1 => Err("on purpose"),
        _ => Ok(Minted { value: value.clone(), ttl: secs(10).into() }),
    });
    let token = token
        .clock(clock.clone())
        .breaker(1, secs(60))
        .build()
        .unwrap_or_else(|_| unreachable!("the first is made"));
    clock.set(Instant::from_secs(10));
    assert!(token.get().is_err());
    clock.set(Instant::from_secs(70));
    *at_drop.lock().unwrap() = Some(Box::new(|| panic!("on purpose")));
    assert!(token.get().is_ok(), "the probe");
    assert_eq!((token.status().breaker, token.status().renewed), (Breaker::Closed(0), 2));
    clock.set(Instant::from_secs(1_000));
    assert!(token.get().is_ok(), "and the next");
}

/// What a mint does.
#[derive(Clone, Copy)]
enum Makes {
    /// A value for so many seconds.
    Value(u64),
    Failure,
    Panic,
}

/// A token whose values, failures and payloads of panics are dropped as `armed` says.
fn foreign(
    clock: &Arc<ManualClock>,
    armed: &Armed,
    makes: &Arc<Mutex<Makes>>,
) -> Arc<Refresher<Dropped, Dropped>> {
    let (armed, makes) = (Arc::clone(armed), Arc::clone(makes));
    let token = Refresher::builder(move || {
        let made = Dropped(Arc::clone(&armed));
        match *makes.lock().unwrap() {
            Makes::Value(ttl) => Ok(Minted { value: made, ttl: secs(ttl).into() }),
            Makes::Failure => Err(made),
            Makes::Panic => std::panic::panic_any(made),
        }
    });
    let token = token.clock(clock.clone()).build();
    Arc::new(token.unwrap_or_else(|_| unreachable!("the first is made")))
}

/// Has the next thing that is dropped ask for the token, and returns how often that has failed.
fn asks(token: &Arc<Refresher<Dropped, Dropped>>, armed: &Armed) -> Arc<AtomicU64> {
    let (asks, failed) = (Arc::clone(token), Arc::new(AtomicU64::new(0)));
    let counted = Arc::clone(&failed);
    *armed.lock().unwrap() = Some(Box::new(move || {
        counted.fetch_add(u64::from(asks.get().is_err()), Ordering::SeqCst);
    }));
    failed
}

#[test]
fn whatever_a_renewal_drops_may_ask() {
    let _watched = watchdog("whatever a renewal drops may ask");
    for then in [Makes::Value(0), Makes::Failure, Makes::Panic] {
        let (clock, armed) = (Arc::new(ManualClock::default()), Armed::default());
        let makes = Arc::new(Mutex::new(Makes::Value(10)));
        let token = foreign(&clock, &armed, &makes);
        clock.set(Instant::from_secs(10));
        *makes.lock().unwrap() = then;
        let before = token.get();
        let failed = asks(&token, &armed);
        clock.set(Instant::from_secs(11));
        assert!(token.get().is_err());
        assert_eq!(failed.load(Ordering::SeqCst), 1);
        drop(before);
    }
}

#[test]
fn a_future_is_dropped_as_part_of_its_renewal() {
    let _watched = watchdog("a future is dropped as part of its renewal");
    let (clock, armed) = (Arc::new(ManualClock::default()), Armed::default());
    let makes = Arc::new(Mutex::new(Makes::Value(10)));
    let token = foreign(&clock, &armed, &makes);
    clock.set(Instant::from_secs(10));
    // Cancelled.
    let held = Arc::clone(&armed);
    let never = token.get_async(|| {
        let _held = Dropped(Arc::clone(&held));
        async move {
            let _held = _held;
            std::future::pending::<Result<Minted<Dropped>, Dropped>>().await
        }
    });
    let failed = asks(&token, &armed);
    assert!(wait::block_for(never, Duration::from_millis(1)).is_err());
    assert_eq!(failed.load(Ordering::SeqCst), 1, "it would wait for itself");
    // And one that was ready and panics then: what it made is there.
    *armed.lock().unwrap() = Some(Box::new(|| panic!("on purpose")));
    struct Panics(Armed);
    impl Future for Panics {
        type Output = Result<Minted<Dropped>, Dropped>;

        fn poll(self: std::pin::Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Self::Output> {
            Poll::Ready(Ok(Minted { value: Dropped(Armed::default()), ttl: secs(10).into() }))
        }
    }
    impl Drop for Panics {
        fn drop(&mut self) {
            let does = self.0.lock().unwrap().take();
            does.into_iter().for_each(|does| does());
        }
    }
    let made = wait::block_on(token.get_async(|| Panics(Arc::clone(&armed))));
    assert!(made.is_ok());
    assert!(armed.lock().unwrap().is_none(), "it was dropped, and panicked");
    assert_eq!(token.status().failed, 0);
}

#[test]
fn i12_while_the_breaker_is_open_a_valid_token_is_not_tried_for() {
    let setting = Setting::default();
    let token = setting.builder(|number| match number {
        1 => Ok(number),
        _ => Err("on purpose".to_owned()),
    });
    let token = token.breaker(1, secs(100)).build().expect("a token");
    setting.at(850);
    assert_eq!((get(&token), setting.mints()), (Ok(1), 2));
    assert_eq!(token.status().breaker, Breaker::Open(Instant::from_secs(950)));
    setting.at(949);
    assert_eq!((get(&token), setting.mints()), (Ok(1), 2));
    setting.at(950);
    assert_eq!((get(&token), setting.mints()), (Ok(1), 3));
}

#[test]
fn a_thread_that_ends_may_ask() {
    struct AtEnd(RefCell<Option<Arc<Token>>>);
    impl Drop for AtEnd {
        fn drop(&mut self) {
            if let Some(token) = self.0.take() {
                assert_eq!(get(&token), Ok(2));
            }
        }
    }
    // Made before what the token keeps of a thread, and so destroyed after it.
    thread_local! {
        static AT_END: AtEnd = const { AtEnd(RefCell::new(None)) };
    }

    let setting = Setting::default();
    let token = Arc::new(setting.builder(Ok).build().expect("a token"));
    let asks = Arc::clone(&token);
    let ended = std::thread::spawn(move || {
        AT_END.with(|at_end| at_end.0.replace(Some(Arc::clone(&asks))));
        setting.at(1_000);
        assert_eq!(get(&asks), Ok(2));
    });
    assert!(ended.join().is_ok());
    assert_eq!(get(&token), Ok(2));
}

/// A clock that panics once it is told to.
#[derive(Default)]
struct Broken(ManualClock, AtomicBool);

impl Clock for Broken {
    fn now(&self) -> Instant {
        assert!(!self.1.swap(false, Ordering::SeqCst), "on purpose");
        self.0.now()
    }
}

#[test]
fn a_clock_that_panics_leaves_no_probe_behind() {
    let clock = Arc::new(Broken::default());
    let mints = AtomicU64::new(0);
    let token = Refresher::builder(move || match mints.fetch_add(1, Ordering::SeqCst) {
        0 => Ok(Minted { value: 1, ttl: secs(10).into() }),
        _ => Err("on purpose"),
    });
    let token = token.clock(clock.clone()).breaker(1, secs(60)).build().expect("a token");
    clock.0.set(Instant::from_secs(10));
    assert!(token.get().is_err());
    // A probe that is cancelled, and asks the clock for the last time then.
    clock.0.set(Instant::from_secs(70));
    let breaks = Arc::clone(&clock);
    let probe = token.get_async(move || {
        breaks.1.store(true, Ordering::SeqCst);
        std::future::pending::<Result<Minted<u64>, &str>>()
    });
    assert!(wait::block_for(probe, Duration::from_millis(1)).is_err());
    assert!(!clock.1.load(Ordering::SeqCst), "it was asked, and panicked");
    assert_eq!(token.status().breaker, Breaker::Open(Instant::from_secs(130)));
}

/// A failure that asks for the token when it is copied.
struct Copied(Armed);

impl Clone for Copied {
    fn clone(&self) -> Self {
        let does = self.0.lock().unwrap().take();
        does.into_iter().for_each(|does| does());
        Self(Arc::clone(&self.0))
    }
}

#[test]
fn a_copy_of_a_failure_may_ask() {
    let _watched = watchdog("a copy of a failure asks");
    let (clock, armed, mints) =
        (Arc::new(ManualClock::default()), Armed::default(), AtomicU64::new(0));
    let fails = Arc::clone(&armed);
    let token = Refresher::builder(move || match mints.fetch_add(1, Ordering::SeqCst) {
        0 => Ok(Minted { value: 1, ttl: secs(10).into() }),
        _ => Err(Copied(Arc::clone(&fails))),
    });
    let token = token.clock(clock.clone()).build();
    let token = Arc::new(token.unwrap_or_else(|_| unreachable!("the first is made")));
    clock.set(Instant::from_secs(10));
    let (asks, failed) = (Arc::clone(&token), Arc::new(AtomicU64::new(0)));
    let counted = Arc::clone(&failed);
    *armed.lock().unwrap() = Some(Box::new(move || {
        counted.fetch_add(u64::from(asks.get().is_err()), Ordering::SeqCst);
    }));
    assert!(token.get().is_err());
    assert_eq!(failed.load(Ordering::SeqCst), 1);
}

/// A provider that can be down, and what its tokens live for.
fn provider(setting: &Setting, life: Duration) -> (Builder<u64, &'static str>, Arc<AtomicBool>) {
    let (is_down, mints) = (Arc::new(AtomicBool::new(false)), Arc::clone(&setting.mints));
    let asked = Arc::clone(&is_down);
    let mint = move || {
        let value = mints.fetch_add(1, Ordering::SeqCst);
        match asked.load(Ordering::SeqCst) {
            true => Err("no route to host"),
            false => Ok(Minted { value, ttl: life.into() }),
        }
    };
    (Refresher::builder(mint).clock(setting.clock.clone()), is_down)
}

/// E1: the pause after the end of a token is short, and grows with the outage: a network that is
/// away costs about as long again, and the provider few tries.
#[test]
fn e1_an_outage_costs_its_own_length_again_at_most() {
    let ms = Duration::from_millis;
    // How long the provider is down, and how many tries there are at most.
    for (down, tries) in [(500, 2), (3_000, 5), (20_000, 10), (100_000, 12), (3_000_000, 70)] {
        let setting = Setting::default();
        let (builder, is_down) = provider(&setting, secs(3_600));
        let token = builder.build().expect("a token");
        setting.at(4_000);
        is_down.store(true, Ordering::SeqCst);
        let (start, mints) = (setting.clock.now(), setting.mints());
        let recovered = loop {
            let elapsed = setting.clock.now().since(start);
            if elapsed >= ms(down) {
                is_down.store(false, Ordering::SeqCst);
            }
            if token.get().is_ok() {
                break elapsed;
            }
            setting.clock.advance(ms(5));
        };
        let longest = (ms(down) * 2).min(ms(down) + secs(60)).max(secs(1));
        assert!(recovered <= longest + ms(5), "down for {down} ms, a token after {recovered:?}");
        let tried = setting.mints() - mints;
        assert!(tried <= tries, "{tried} tries in {down} ms");
    }
}

#[test]
fn e1_calls_between_two_tries_get_the_last_failure() {
    let setting = Setting::default();
    let token = setting.builder(|number| if number == 1 { Ok(1) } else { Err(number.to_string()) });
    let token = token.build().expect("a token");
    // Five tries a second apart open the breaker, and its pauses grow from there.
    let tries = [0, 1, 2, 3, 4, 6, 10, 18, 34, 66, 126, 186];
    let mut seen = Vec::new();
    for second in 0..190 {
        setting.at(2_000 + second);
        let before = setting.mints();
        let failure = get(&token);
        if setting.mints() > before {
            seen.push(second);
            assert_eq!(failure, Err(RefreshError::Failed(setting.mints().to_string())));
        }
        for _ in 0..3 {
            let again = get(&token);
            match token.status().breaker {
                Breaker::Closed(_) => assert_eq!(again, failure),
                Breaker::Open(until) => {
                    assert_eq!(again, Err(RefreshError::BreakerOpen { until: Some(until) }));
                }
                Breaker::HalfOpen => panic!("nobody tries"),
            }
        }
    }
    assert_eq!(seen, tries);
    assert_eq!(setting.mints(), 1 + tries.len() as u64);
}

/// E1: a pause that began while the token was valid does not outlast it by a minute.
#[test]
fn e1_a_pause_ends_with_the_token() {
    let setting = Setting::default();
    let (builder, is_down) = provider(&setting, secs(1_000));
    let token = builder.build().expect("a token");
    is_down.store(true, Ordering::SeqCst);
    for second in 800..1_000 {
        setting.at(second);
        assert!(token.get().is_ok());
    }
    assert!(
        matches!(token.status().breaker, Breaker::Open(until) if until.as_nanos() <= 1_000_000_000_000)
    );
    let mints = setting.mints();
    setting.at(1_000);
    assert_eq!(token.get(), Err(RefreshError::Failed("no route to host")));
    assert_eq!(setting.mints(), mints + 1, "one is tried when the token ends");
    // And the next pause is a first one.
    assert_eq!(token.status().breaker, Breaker::Open(Instant::from_secs(1_002)));
    is_down.store(false, Ordering::SeqCst);
    setting.at(1_002);
    assert!(token.get().is_ok());
}

/// E3: the margin is at most half the life. It was 601 mints in ten minutes.
#[test]
fn e3_a_token_that_lives_shorter_than_the_margin_is_renewed_at_half_its_life() {
    for (life, mints) in [(5, 240), (20, 60), (30, 40), (60, 20), (300, 3)] {
        let setting = Setting::default();
        let (builder, _) = provider(&setting, secs(life));
        let token = builder.build().expect("a token");
        for _ in 0..60_000 {
            setting.clock.advance(Duration::from_millis(10));
            assert!(token.get().is_ok());
        }
        let made = setting.mints();
        assert!(made.abs_diff(mints) <= 2, "a life of {life} s: {made} mints in 600 s");
    }
}

/// E3: after a 401 the token is rejected: that one, by identity, and no other.
#[test]
fn e3_only_the_token_that_was_handed_out_is_rejected() {
    let setting = Setting::default();
    let token = setting.builder(Ok).build().expect("a token");
    setting.at(10);
    let first = token.get().expect("a token");
    let other = Arc::new(*first);
    assert!(!token.reject(&other), "equal, and not the same");
    assert_eq!((get(&token), setting.mints()), (Ok(1), 1));
    // Eight callers have been told 401.
    let rejected = std::thread::scope(|scope| {
        let callers = [(); 8].map(|()| scope.spawn(|| token.reject(&first)));
        callers.map(|caller| u32::from(caller.join().unwrap())).into_iter().sum::<u32>()
    });
    assert_eq!(rejected, 1);
    assert_eq!(token.current(), None);
    assert_eq!((get(&token), setting.mints()), (Ok(2), 2), "at once: it was not made just now");
    assert!(!token.reject(&first), "a late answer rejects no newer one");
    assert_eq!(get(&token), Ok(2));
    let status = token.status();
    assert_eq!((status.rejected, status.renewed, status.failed), (1, 2, 0));
}

#[test]
fn e3_rejections_in_a_row_are_further_and_further_apart() {
    let setting = Setting::default();
    let told = Arc::new(Mutex::new(Vec::new()));
    let says = Arc::clone(&told);
    let token = setting.builder(Ok).report(move |event| says.lock().unwrap().push(event));
    let token = token.build().expect("a token");
    // Whatever is made is refused.
    let mut made = vec![0];
    for second in 0..200 {
        setting.at(second);
        match token.get() {
            Ok(value) => {
                made.extend((*value as usize > made.len()).then_some(second));
                assert!(token.reject(&value));
            }
            Err(RefreshError::Rejected { until }) => assert!(until > setting.clock.now()),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(made, [0, 1, 3, 7, 15, 31, 63, 123, 183]);
    assert!(told.lock().unwrap().contains(&Event::Rejected));
    // One that is renewed in the usual way was accepted.
    setting.at(300);
    let value = token.get().expect("a token");
    setting.at(1_200);
    assert_ne!(get(&token), Ok(*value));
    setting.at(1_300);
    let value = token.get().expect("a token");
    assert!(token.reject(&value));
    assert!(token.get().is_ok(), "at once again");
}

#[test]
fn e3_a_rejection_cuts_a_pause_of_the_breaker_short() {
    let setting = Setting::default();
    let (builder, is_down) = provider(&setting, secs(1_000));
    let token = builder.breaker(1, secs(60)).build().expect("a token");
    is_down.store(true, Ordering::SeqCst);
    setting.at(850);
    let value = token.get().expect("a token");
    assert_eq!(token.status().breaker, Breaker::Open(Instant::from_secs(910)));
    is_down.store(false, Ordering::SeqCst);
    assert!(token.reject(&value));
    setting.at(851);
    assert!(token.get().is_ok());
}

/// E3: the provider is down when the program starts.
#[test]
fn e3_a_lazy_refresher_is_there_though_the_provider_is_down() {
    let setting = Setting::default();
    let (builder, is_down) = provider(&setting, secs(1_000));
    is_down.store(true, Ordering::SeqCst);
    let token = builder.lazy().expect("settings that can be");
    assert_eq!((setting.mints(), token.current()), (0, None));
    assert_eq!((token.status().expires, token.status().due), (None, None));
    assert_eq!(token.get(), Err(RefreshError::Failed("no route to host")));
    is_down.store(false, Ordering::SeqCst);
    assert_eq!(token.get(), Err(RefreshError::Failed("no route to host")), "not yet");
    setting.at(1);
    assert_eq!(token.get().map(|value| *value), Ok(1));
    assert_eq!(token.current().map(|value| *value), Some(1));

    let refused = setting.builder(Ok).refresh_at(1_000_001).lazy().expect_err("no such part");
    assert_eq!(refused.field(), "refresh_at");
}

#[test]
fn e3_a_thread_makes_the_first_token_when_the_provider_is_up() {
    let setting = Setting::default();
    let (builder, is_down) = provider(&setting, secs(1_000));
    is_down.store(true, Ordering::SeqCst);
    let token = Arc::new(builder.spacing(secs(0), secs(0)).lazy().expect("settings that can be"));
    let runtime = Runtime::builder().build().expect("a runtime");
    let renewing = runtime.refresh("token", Duration::from_millis(1), Arc::clone(&token));
    let renewing = renewing.expect("a thread");
    runtime.start().expect("threads");
    wait_until(|| setting.mints() > 0 && matches!(renewing.health(), Health::Degraded { .. }));
    is_down.store(false, Ordering::SeqCst);
    // The pauses of the breaker are by this clock.
    wait_until(|| {
        setting.clock.advance(secs(1));
        token.current().is_some()
    });
}

/// E3: past its end for a bounded time, and only where no other can be made.
#[test]
fn e3_an_ended_token_stands_in_for_a_bounded_time() {
    let setting = Setting::default();
    let (builder, is_down) = provider(&setting, secs(100));
    let token = builder.stale_if_error(secs(50)).build().expect("a token");
    is_down.store(true, Ordering::SeqCst);
    for second in 100..150 {
        setting.at(second);
        assert_eq!(token.get().map(|value| *value), Ok(0), "{second}");
        assert_eq!(token.current(), None);
    }
    assert!(setting.mints() > 5, "and renewals are tried meanwhile");
    setting.at(150);
    assert!(token.get().is_err(), "no longer");
    is_down.store(false, Ordering::SeqCst);
    setting.at(300);
    let made = token.get().expect("a token");
    assert!(*made > 0);
    // Rejected, it is not handed out though it would do.
    setting.at(420);
    is_down.store(true, Ordering::SeqCst);
    assert_eq!(token.get().as_ref(), Ok(&made));
    assert!(token.reject(&made));
    assert!(token.get().is_err());
}

#[test]
fn e3_a_caller_that_has_waited_for_long_enough_gets_the_ended_token() {
    let (setting, gate) = (Setting::default(), Gate::new());
    let held = Arc::clone(&gate);
    let token = setting.builder(move |number| {
        if number > 1 {
            held.pass();
        }
        Ok(number)
    });
    let token = Arc::new(token.stale_if_error(secs(60)).build().expect("a token"));
    setting.at(1_000);
    let renews = std::thread::spawn({
        let token = Arc::clone(&token);
        move || get(&token)
    });
    gate.wait_for(1);
    let short = Duration::from_millis(5);
    assert_eq!(token.get_within(short).map(|value| *value), Ok(1));
    setting.at(1_060);
    assert_eq!(token.get_within(short), Err(RefreshError::TimedOut));
    gate.open();
    assert_eq!(renews.join().unwrap(), Ok(2));
}

/// The provider hands out what has ended (smithy-rs 2117): bounded by the end of the one before.
#[test]
fn e3_what_has_ended_when_it_is_made_extends_nothing() {
    let (clock, life) = (Arc::new(ManualClock::new()), Arc::new(AtomicU64::new(100)));
    let lives = Arc::clone(&life);
    let token = Refresher::<_, String>::builder(move || {
        Ok(Minted { value: (), ttl: secs(lives.load(Ordering::SeqCst)).into() })
    });
    let token = token.clock(clock.clone()).stale_if_error(secs(30)).build().expect("a token");
    life.store(0, Ordering::SeqCst);
    for second in 100..200 {
        clock.set(Instant::from_secs(second));
        let expected = if second < 130 { Ok(()) } else { Err(()) };
        assert_eq!(token.get().map(|_| ()).map_err(|_| ()), expected, "{second}");
    }
}

/// B3: the last look at the clock is after the last call of other people's code.
#[test]
fn b3_a_token_that_ends_while_that_is_told_or_dropped_is_not_handed_out() {
    // While it is told.
    let clock = Arc::new(ManualClock::new());
    let slow = Arc::new(AtomicBool::new(false));
    let (told, takes_long) = (Arc::clone(&clock), Arc::clone(&slow));
    let token = Refresher::builder(|| Ok::<_, String>(Minted { value: (), ttl: secs(30).into() }));
    let token = token.clock(clock.clone()).floor(secs(0)).report(move |_| {
        if takes_long.load(Ordering::SeqCst) {
            told.advance(secs(60));
        }
    });
    let token = token.build().expect("a token");
    for at in [30, 1_025] {
        // Ended, and due.
        clock.set(Instant::from_secs(at));
        slow.store(true, Ordering::SeqCst);
        assert_eq!(token.get(), Err(RefreshError::AlreadyExpired));
        slow.store(false, Ordering::SeqCst);
        clock.set(Instant::from_secs(1_000));
        assert!(token.get().is_ok());
    }

    // While the one before is dropped.
    let (clock, armed) = (Arc::new(ManualClock::new()), Armed::default());
    let makes = Arc::new(Mutex::new(Makes::Value(30)));
    let token = foreign(&clock, &armed, &makes);
    clock.set(Instant::from_secs(30));
    let slow = Arc::clone(&clock);
    *armed.lock().unwrap() = Some(Box::new(move || slow.advance(secs(60))));
    assert!(matches!(token.get(), Err(RefreshError::AlreadyExpired)));
    assert!(armed.lock().unwrap().is_none());
    assert!(token.get().is_ok());

    // While a task that waits is woken.
    struct Slow(Arc<ManualClock>);
    impl std::task::Wake for Slow {
        fn wake(self: Arc<Self>) {
            self.0.advance(secs(60));
        }
    }
    let setting = Setting::default();
    let token = setting.builder(Ok).build().expect("a token");
    setting.at(2_000);
    let gone = std::cell::Cell::new(false);
    let mint = || {
        std::future::poll_fn(|_| match gone.get() {
            true => Poll::Ready(Ok(Minted { value: 7, ttl: secs(30).into() })),
            false => Poll::Pending,
        })
    };
    let mut leads = Box::pin(token.get_async(mint));
    assert_eq!(wait::block_for(leads.as_mut(), Duration::from_millis(1)), Err(wait::TimedOutError));
    let mut waits = Box::pin(token.get_async(mint));
    let waker = std::task::Waker::from(Arc::new(Slow(Arc::clone(&setting.clock))));
    assert!(waits.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    gone.set(true);
    assert_eq!(wait::block_on(leads), Err(RefreshError::AlreadyExpired));
}

/// Panics when it is dropped, and says so.
#[derive(Clone)]
struct PanicsAtDrop(Arc<AtomicU64>, Arc<AtomicBool>);

impl Drop for PanicsAtDrop {
    fn drop(&mut self) {
        if self.1.load(Ordering::SeqCst) {
            self.0.fetch_add(1, Ordering::SeqCst);
            panic!("on purpose");
        }
    }
}

/// F: two destructors that panic in one owner would end the process.
#[test]
fn f_all_that_a_refresher_holds_may_panic_when_it_is_dropped() {
    let bomb = PanicsAtDrop(Arc::default(), Arc::default());
    let drops = |makes: u64, builds: bool| {
        let before = bomb.0.load(Ordering::SeqCst);
        let (minted, told) = (bomb.clone(), bomb.clone());
        let mints = AtomicU64::new(0);
        let clock = Arc::new(ManualClock::new());
        let ticks = (bomb.clone(), Arc::clone(&clock));
        struct Ticks((PanicsAtDrop, Arc<ManualClock>));
        impl Clock for Ticks {
            fn now(&self) -> Instant {
                self.0.1.now()
            }
        }
        let builder = Refresher::builder(move || match mints.fetch_add(1, Ordering::SeqCst) {
            number if number < makes => Ok(Minted { value: minted.clone(), ttl: secs(10).into() }),
            _ => Err(minted.clone()),
        });
        let builder = builder.clock(Arc::new(Ticks(ticks))).report(move |_| {
            let _ = &told;
        });
        if builds {
            let token = builder.lazy().expect("settings that can be");
            assert!(token.get().is_ok());
            clock.set(Instant::from_secs(9));
            assert!(token.get().is_ok(), "though renewing it fails");
            bomb.1.store(true, Ordering::SeqCst);
            drop(token);
        } else {
            bomb.1.store(true, Ordering::SeqCst);
            drop(builder);
        }
        bomb.1.store(false, Ordering::SeqCst);
        bomb.0.load(Ordering::SeqCst) - before
    };
    // Closure, report and clock; and the value, and the failure.
    assert_eq!(drops(0, false), 3);
    assert_eq!(drops(1, true), 5);
}

#[test]
fn f_a_clock_or_a_copy_of_a_failure_that_panics_is_an_error() {
    let clock = Arc::new(Broken::default());
    let token = Refresher::builder(|| Ok::<_, String>(Minted { value: 1, ttl: secs(10).into() }));
    let token = token.clock(clock.clone()).build().expect("a token");
    clock.1.store(true, Ordering::SeqCst);
    assert!(token.get().is_ok(), "the next look");
    clock.1.store(true, Ordering::SeqCst);
    assert_eq!(token.current(), None);

    let (armed, time) = (Armed::default(), Arc::new(ManualClock::new()));
    let fails = Arc::clone(&armed);
    let token = Refresher::<(), _>::builder(move || Err(Copied(Arc::clone(&fails))));
    let token = token.clock(time).lazy().expect("settings that can be");
    assert!(matches!(token.get(), Err(RefreshError::Failed(_))));
    *armed.lock().unwrap() = Some(Box::new(|| panic!("on purpose")));
    assert!(matches!(token.get(), Err(RefreshError::Panicked)));
    assert!(matches!(token.get(), Err(RefreshError::Failed(_))));
}

/// F: a value that is rejected may be dropped in a call that has found it.
#[test]
fn f_the_destructor_of_a_rejected_token_may_ask() {
    let _watched = watchdog("the destructor of a rejected token may ask");
    let (clock, armed) = (Arc::new(ManualClock::new()), Armed::default());
    let makes = Arc::new(Mutex::new(Makes::Value(10)));
    let token = foreign(&clock, &armed, &makes);
    let value = token.get().unwrap_or_else(|_| unreachable!("it is valid"));
    let asked = asks(&token, &armed);
    *makes.lock().unwrap() = Makes::Failure;
    assert!(token.reject(&value));
    // The last to hold it.
    drop(value);
    assert_eq!(asked.load(Ordering::SeqCst), 1);
}
