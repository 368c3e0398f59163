//! The refresher whose values are made by futures: no task that waits holds up another, and nothing
//! needs a runtime of its own.

mod common;

use std::cell::RefCell;
use std::collections::VecDeque;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use common::{SetAtTheEnd, wait_until, watchdog};
use tidegate::refresh::{Async, Builder, Drive, Event, Minted, RefreshError, Refresher};
use tidegate::wait::{TimedOutError, block_for, block_on};
use tidegate::{Clock, Health, Instant, ManualClock, Runtime};

type Token = Refresher<u64, String, Async<u64, String>>;
type Made = Result<Minted<u64>, String>;

const SHORT: Duration = Duration::from_millis(2);

fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

fn minted(value: u64) -> Made {
    Ok(Minted { value, ttl: secs(1_000).into() })
}

/// A clock, and a provider whose answers come when they are let go: of renewals one after another,
/// each polled only by whoever waits for it.
#[derive(Clone, Default)]
struct Setting {
    clock: Arc<ManualClock>,
    provider: Arc<Provider>,
}

#[derive(Default)]
struct Provider {
    asked: AtomicU64,
    in_progress: AtomicU64,
    most: AtomicU64,
    dropped: AtomicU64,
    answers: Mutex<VecDeque<Made>>,
    waker: Mutex<Option<Waker>>,
}

impl Provider {
    fn asked(&self) -> u64 {
        self.asked.load(Ordering::SeqCst)
    }

    /// Answers one request, and wakes it.
    fn answer(&self, made: Made) {
        self.answers.lock().unwrap().push_back(made);
        let waker = self.waker.lock().unwrap().take();
        waker.into_iter().for_each(Waker::wake);
    }
}

/// A request, in progress until it is dropped.
struct Request(Arc<Provider>);

impl Request {
    fn new(provider: &Arc<Provider>) -> Self {
        provider.asked.fetch_add(1, Ordering::SeqCst);
        let now = provider.in_progress.fetch_add(1, Ordering::SeqCst) + 1;
        provider.most.fetch_max(now, Ordering::SeqCst);
        Self(Arc::clone(provider))
    }
}

impl Future for Request {
    type Output = Made;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Made> {
        // Only the last poll's waker is woken, as of any future.
        *self.0.waker.lock().unwrap() = Some(context.waker().clone());
        match self.0.answers.lock().unwrap().pop_front() {
            Some(made) => Poll::Ready(made),
            None => Poll::Pending,
        }
    }
}

impl Drop for Request {
    fn drop(&mut self) {
        self.0.in_progress.fetch_sub(1, Ordering::SeqCst);
        self.0.dropped.fetch_add(1, Ordering::SeqCst);
    }
}

impl Setting {
    fn at(&self, secs: u64) {
        self.clock.set(Instant::from_secs(secs));
    }

    fn builder(&self) -> Builder<u64, String, Async<u64, String>> {
        let provider = Arc::clone(&self.provider);
        Refresher::from_async(move || Request::new(&provider)).clock(self.clock.clone())
    }

    fn token(&self) -> Arc<Token> {
        Arc::new(self.builder().lazy().expect("settings that can be"))
    }
}

/// Wakes are counted.
#[derive(Default)]
struct Woken(AtomicU64);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

impl Woken {
    fn times(&self) -> u64 {
        self.0.load(Ordering::SeqCst)
    }
}

/// A task that is polled by hand, and counts its wakes.
struct Task<'a> {
    future: Pin<Box<dyn Future<Output = Result<u64, RefreshError<String>>> + Send + 'a>>,
    woken: Arc<Woken>,
}

impl<'a> Task<'a> {
    fn new(token: &'a Token) -> Self {
        let future = async { token.get_async().await.map(|value| *value) };
        Self { future: Box::pin(future), woken: Arc::default() }
    }

    fn poll(&mut self) -> Poll<Result<u64, RefreshError<String>>> {
        let waker = Waker::from(Arc::clone(&self.woken));
        self.future.as_mut().poll(&mut Context::from_waker(&waker))
    }
}

#[test]
fn the_first_value_is_awaited_and_served_until_it_is_due() {
    let setting = Setting::default();
    setting.provider.answer(minted(1));
    let token = block_on(setting.builder().build()).expect("a token");
    assert_eq!(token.current().map(|value| *value), Some(1));
    setting.at(799);
    assert_eq!(block_on(token.get_async()).map(|value| *value), Ok(1));
    assert_eq!(setting.provider.asked(), 1);
    setting.at(800);
    setting.provider.answer(minted(2));
    assert_eq!(block_on(token.get_async()).map(|value| *value), Ok(2));

    let setting = Setting::default();
    setting.provider.answer(Err("no route to host".to_owned()));
    let failed = block_on(setting.builder().build()).err().map(|error| error.to_string());
    assert_eq!(failed.as_deref(), Some("no route to host"));
}

/// What is awaited may be moved between threads, and what holds it may be shared.
#[test]
fn futures_are_send_and_refreshers_are_shared() {
    fn moves<T: Send>(future: T) -> T {
        future
    }
    fn shares<T: Send + Sync>(_: &T) {}
    let setting = Setting::default();
    setting.provider.answer(minted(1));
    let token = block_on(moves(setting.builder().build())).expect("a token");
    shares(&token);
    assert!(block_on(moves(token.get_async())).is_ok());
}

#[test]
fn tasks_that_wait_share_one_renewal_and_its_failure() {
    let setting = Setting::default();
    let token = setting.token();
    for (second, answer) in [(0, Err("no route to host".to_owned())), (10, minted(5))] {
        setting.at(second);
        let mut tasks: Vec<_> = (0..20).map(|_| Task::new(&token)).collect();
        assert!(tasks.iter_mut().all(|task| task.poll().is_pending()));
        setting.provider.answer(answer.clone());
        let expected = answer.map(|minted| minted.value).map_err(RefreshError::Failed);
        for task in &mut tasks {
            assert!(task.woken.times() > 0, "all are woken");
            assert_eq!(task.poll(), Poll::Ready(expected.clone()));
        }
    }
    assert_eq!((setting.provider.asked(), setting.provider.most.load(Ordering::SeqCst)), (2, 1));
    // A failure is shared, and the next try is a second later.
    setting.at(3_000);
    let mut task = Task::new(&token);
    assert!(task.poll().is_pending());
    setting.provider.answer(Err("away".to_owned()));
    assert_eq!(task.poll(), Poll::Ready(Err(RefreshError::Failed("away".to_owned()))));
    assert_eq!(Task::new(&token).poll(), Poll::Ready(Err(RefreshError::Failed("away".to_owned()))));
    assert_eq!(setting.provider.asked(), 3);
}

/// I-B2: the work is not lost with the task that began it.
#[test]
fn a_task_that_is_dropped_leaves_its_renewal_to_the_others() {
    let setting = Setting::default();
    let token = setting.token();
    let (mut first, mut second, mut third) =
        (Task::new(&token), Task::new(&token), Task::new(&token));
    assert!(first.poll().is_pending());
    assert!(second.poll().is_pending());
    assert!(third.poll().is_pending());
    drop(second);
    drop(first);
    setting.provider.answer(minted(7));
    assert!(third.woken.times() > 0);
    assert_eq!(third.poll(), Poll::Ready(Ok(7)));
    assert_eq!((setting.provider.asked(), setting.provider.dropped.load(Ordering::SeqCst)), (1, 1));
}

/// A task that comes while another polls, after the future was woken, is woken when that poll is over.
#[test]
fn a_wake_during_a_poll_reaches_those_who_have_come_since() {
    static TOKEN: OnceLock<Token> = OnceLock::new();
    let second: Arc<Mutex<Option<Task<'static>>>> = Arc::default();
    let comes = Arc::clone(&second);
    let builder = Refresher::from_async(move || {
        let (comes, mut polls) = (Arc::clone(&comes), 0);
        std::future::poll_fn(move |context| {
            polls += 1;
            if polls == 3 {
                context.waker().wake_by_ref();
                // As on another thread: it leaves its waker, and finds the future taken.
                let mut second = comes.lock().unwrap();
                assert!(second.as_mut().is_some_and(|second| second.poll().is_pending()));
            }
            if polls > 3 { Poll::Ready(minted(1)) } else { Poll::Pending }
        })
    });
    let token = TOKEN.get_or_init(|| builder.lazy().expect("settings that can be"));
    let mut first = Task::new(token);
    assert!(first.poll().is_pending());
    let mut other = Task::new(token);
    assert!(other.poll().is_pending());
    let woken = Arc::clone(&other.woken);
    *second.lock().unwrap() = Some(other);
    assert!(first.poll().is_pending());
    // By the wake, and once more: its poll in between came to nothing.
    assert_eq!(woken.times(), 2);
    // The first is not polled again, and not dropped either.
    let mut second = second.lock().unwrap();
    assert_eq!(second.as_mut().map(Task::poll), Some(Poll::Ready(Ok(1))));
    assert_eq!(first.poll(), Poll::Ready(Ok(1)));
}

/// A task that is kept and never polled (a branch of a `select!`) holds up no other.
#[test]
fn a_task_that_is_kept_without_being_polled_holds_up_no_other() {
    let setting = Setting::default();
    let token = setting.token();
    let mut kept = Task::new(&token);
    assert!(kept.poll().is_pending());
    let served = std::thread::scope(|scope| {
        let other = scope.spawn(|| block_on(token.get_async()).map(|value| *value));
        wait_until(|| setting.provider.asked() == 1);
        std::thread::sleep(SHORT);
        setting.provider.answer(minted(9));
        other.join().unwrap()
    });
    assert_eq!(served, Ok(9));
    assert_eq!(kept.poll(), Poll::Ready(Ok(9)));
}

/// Early: one task renews, and the others have the valid value at once.
#[test]
fn of_a_valid_value_one_task_awaits_the_renewal() {
    let setting = Setting::default();
    setting.provider.answer(minted(1));
    let token = block_on(setting.builder().build()).expect("a token");
    setting.at(850);
    let mut renews = Task::new(&token);
    assert!(renews.poll().is_pending());
    for _ in 0..5 {
        assert_eq!(Task::new(&token).poll(), Poll::Ready(Ok(1)));
    }
    // Cancelled, with nobody else: the request is dropped, and another is spaced.
    drop(renews);
    assert_eq!(setting.provider.dropped.load(Ordering::SeqCst), 2);
    assert_eq!(Task::new(&token).poll(), Poll::Ready(Ok(1)));
    assert_eq!(setting.provider.asked(), 2);
    setting.at(851);
    let mut renews = Task::new(&token);
    assert!(renews.poll().is_pending());
    setting.provider.answer(minted(3));
    assert_eq!(renews.poll(), Poll::Ready(Ok(3)));
    assert_eq!(setting.provider.asked(), 3);
}

#[test]
fn with_the_last_task_the_request_is_dropped_and_the_next_begins_anew() {
    let setting = Setting::default();
    let token = setting.token();
    assert_eq!(block_for(token.get_async(), SHORT), Err(TimedOutError));
    let provider = &setting.provider;
    assert_eq!((provider.asked(), provider.in_progress.load(Ordering::SeqCst)), (1, 0));
    provider.answer(minted(4));
    assert_eq!(block_on(token.get_async()).map(|value| *value), Ok(4));
    assert_eq!(token.status().failed, 0);
}

/// A request without an answer is dropped by the next task that comes after its lease.
#[test]
fn a_renewal_that_hangs_is_superseded_after_its_lease() {
    let setting = Setting::default();
    let token = setting.builder().mint_lease(secs(20)).lazy().expect("settings that can be");
    let mut hangs = Task::new(&token);
    assert!(hangs.poll().is_pending());
    setting.at(19);
    let mut waits = Task::new(&token);
    assert!(waits.poll().is_pending());
    setting.at(20);
    let before = hangs.woken.times();
    let mut late = Task::new(&token);
    // The failure is shared, and counted.
    assert_eq!(late.poll(), Poll::Ready(Err(RefreshError::TimedOut)));
    assert_eq!((setting.provider.asked(), token.status().failed), (1, 1));
    assert!(hangs.woken.times() > before);
    assert_eq!(hangs.poll(), Poll::Ready(Err(RefreshError::TimedOut)));
    assert_eq!(waits.poll(), Poll::Ready(Err(RefreshError::TimedOut)));
    setting.at(21);
    setting.provider.answer(minted(2));
    assert_eq!(block_on(token.get_async()).map(|value| *value), Ok(2));
}

type Local = Pin<Box<dyn Future<Output = ()>>>;

/// An executor of one thread, whose timers fire between polls only: what blocks it, hangs it.
#[derive(Clone, Default)]
struct OneThread {
    tasks: Rc<RefCell<Vec<Local>>>,
}

thread_local! {
    /// The timers of the executor that runs on this thread, if one does.
    static TIMERS: RefCell<Option<Vec<(std::time::Instant, Waker)>>> = const { RefCell::new(None) };
}

/// Panics outside of its executor, as those of tokio do.
async fn sleep(duration: Duration) {
    let until = std::time::Instant::now() + duration;
    std::future::poll_fn(|context| {
        TIMERS.with_borrow_mut(|timers| {
            let timers = timers.as_mut().expect("no executor runs on this thread");
            if std::time::Instant::now() >= until {
                return Poll::Ready(());
            }
            timers.push((until, context.waker().clone()));
            Poll::Pending
        })
    })
    .await
}

impl OneThread {
    fn spawn(&self, future: impl Future<Output = ()> + 'static) {
        self.tasks.borrow_mut().push(Box::pin(future));
    }

    /// Polls whatever is woken, until all tasks are done.
    fn run(&self) {
        TIMERS.set(Some(Vec::new()));
        let start = std::time::Instant::now();
        let mut running: Vec<(Arc<Flag>, Local)> = Vec::new();
        loop {
            let spawned = self.tasks.borrow_mut().drain(..).collect::<Vec<_>>();
            running.extend(spawned.into_iter().map(|task| (Arc::new(Flag(true.into())), task)));
            if running.is_empty() {
                break;
            }
            running.retain_mut(|(flag, task)| {
                if !flag.0.swap(false, Ordering::SeqCst) {
                    return true;
                }
                let waker = Waker::from(Arc::clone(flag));
                task.as_mut().poll(&mut Context::from_waker(&waker)).is_pending()
            });
            let due = TIMERS.with_borrow_mut(|timers| {
                let now = std::time::Instant::now();
                timers.as_mut().map(|timers| {
                    timers.extract_if(.., |(until, _)| *until <= now).collect::<Vec<_>>()
                })
            });
            due.into_iter().flatten().for_each(|(_, waker)| waker.wake());
            assert!(start.elapsed() < secs(20), "a task hangs");
            std::thread::yield_now();
        }
        TIMERS.set(None);
    }
}

struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// E3: on the one thread of a runtime nothing blocks, hangs or panics.
#[test]
fn e3_a_runtime_of_one_thread_renews_with_its_own_timers() {
    let _watched = watchdog("a runtime of one thread renews with its own timers");
    let (clock, mints) = (Arc::new(ManualClock::new()), Arc::new(AtomicU64::new(0)));
    let runtime = OneThread::default();
    let (time, counts, tasks) = (Arc::clone(&clock), Arc::clone(&mints), runtime.clone());
    let panics = tidegate::caught_panics();
    runtime.spawn(async move {
        let builder = Refresher::from_async(move || {
            let counts = Arc::clone(&counts);
            async move {
                sleep(SHORT).await;
                Ok::<_, String>(Minted {
                    value: counts.fetch_add(1, Ordering::SeqCst),
                    ttl: secs(100).into(),
                })
            }
        });
        let token = Arc::new(builder.clock(time.clone()).build().await.expect("a token"));
        for round in 1..=3 {
            time.advance(secs(150));
            let done = Rc::new(std::cell::Cell::new(0));
            for _ in 0..10 {
                let (token, done) = (Arc::clone(&token), Rc::clone(&done));
                tasks.spawn(async move {
                    assert_eq!(token.get_async().await.map(|value| *value), Ok(round));
                    done.set(done.get() + 1);
                });
            }
            while done.get() < 10 {
                sleep(SHORT).await;
            }
        }
    });
    runtime.run();
    assert_eq!(mints.load(Ordering::SeqCst), 4);
    assert_eq!(tidegate::caught_panics(), panics);
}

/// An executor that is handed what to run, and runs it when it is told to.
#[derive(Clone, Default)]
struct Executor(Arc<Mutex<Vec<Drive>>>);

impl Executor {
    fn spawn(&self, drive: Drive) {
        self.0.lock().unwrap().push(drive);
    }

    /// Polls all it has once.
    fn poll(&self) {
        let drives = std::mem::take(&mut *self.0.lock().unwrap());
        let waker = Waker::noop();
        for mut drive in drives {
            if Pin::new(&mut drive).poll(&mut Context::from_waker(waker)).is_pending() {
                self.0.lock().unwrap().push(drive);
            }
        }
    }
}

#[test]
fn an_executor_renews_while_callers_have_the_valid_value() {
    let (setting, executor) = (Setting::default(), Executor::default());
    let runs = executor.clone();
    let builder = setting.builder().spawn_with(move |drive| runs.spawn(drive));
    let token = builder.lazy().expect("settings that can be");
    // Without a value the task waits for the executor, and does not poll.
    let mut waits = Task::new(&token);
    assert!(waits.poll().is_pending());
    setting.provider.answer(minted(1));
    assert!(waits.poll().is_pending(), "only the executor polls");
    executor.poll();
    assert!(waits.woken.times() > 0);
    assert_eq!(waits.poll(), Poll::Ready(Ok(1)));
    executor.poll();
    assert_eq!(executor.0.lock().unwrap().len(), 0);

    // With one no task waits.
    setting.at(850);
    for _ in 0..5 {
        assert_eq!(Task::new(&token).poll(), Poll::Ready(Ok(1)));
    }
    assert_eq!(setting.provider.asked(), 2);
    executor.poll();
    setting.provider.answer(minted(2));
    executor.poll();
    assert_eq!(Task::new(&token).poll(), Poll::Ready(Ok(2)));
}

#[test]
fn without_the_executor_those_who_wait_renew() {
    // It is gone with what it was given.
    let (setting, executor) = (Setting::default(), Executor::default());
    let runs = executor.clone();
    let builder = setting.builder().spawn_with(move |drive| runs.spawn(drive));
    let token = builder.lazy().expect("settings that can be");
    let mut waits = Task::new(&token);
    assert!(waits.poll().is_pending());
    executor.poll();
    let before = waits.woken.times();
    executor.0.lock().unwrap().clear();
    assert!(waits.woken.times() > before, "it is for the task to poll now");
    assert!(waits.poll().is_pending());
    setting.provider.answer(minted(1));
    assert_eq!(waits.poll(), Poll::Ready(Ok(1)));

    // It drops what it is given, or panics.
    for panics in [false, true] {
        let setting = Setting::default();
        let builder = setting.builder().spawn_with(move |drive| {
            assert!(!panics, "on purpose");
            drop(drive);
        });
        let token = builder.lazy().expect("settings that can be");
        setting.provider.answer(minted(1));
        assert_eq!(block_on(token.get_async()).map(|value| *value), Ok(1));
        setting.at(850);
        setting.provider.answer(minted(2));
        assert_eq!(block_on(token.get_async()).map(|value| *value), Ok(2));
        assert_eq!(setting.provider.asked(), 2);
    }
}

#[test]
fn a_thread_of_the_runtime_keeps_it_fresh() {
    for spawns in [false, true] {
        let (clock, mints) = (Arc::new(ManualClock::new()), Arc::new(AtomicU64::new(0)));
        let counts = Arc::clone(&mints);
        let mut builder = Refresher::from_async(move || {
            std::future::ready(minted(counts.fetch_add(1, Ordering::SeqCst)))
        });
        if spawns {
            builder = builder.spawn_with(|drive| drop(std::thread::spawn(move || block_on(drive))));
        }
        let token = Arc::new(builder.clock(clock.clone()).lazy().expect("settings that can be"));
        let runtime = Runtime::builder().build().expect("a runtime");
        let renewing = runtime.refresh("token", SHORT, Arc::clone(&token)).expect("a thread");
        runtime.start().expect("threads");
        wait_until(|| token.current().is_some());
        clock.set(Instant::from_secs(800));
        wait_until(|| token.current().is_some_and(|value| *value == 1));
        wait_until(|| renewing.health() == Health::Healthy);
    }
}

/// A future that asks for the value which it makes is told that it would wait for itself.
#[test]
fn a_future_that_asks_for_itself_is_told_so() {
    let _watched = watchdog("a future that asks for itself is told so");
    let place: Arc<OnceLock<Arc<Token>>> = Arc::default();
    let asked = Arc::clone(&place);
    let told = Arc::new(Mutex::new(Vec::new()));
    let says = Arc::clone(&told);
    let builder = Refresher::from_async(move || {
        let (place, says) = (Arc::clone(&asked), Arc::clone(&says));
        // In the closure, in the future, and when it is dropped.
        struct Asks(Arc<OnceLock<Arc<Token>>>, Arc<Mutex<Vec<RefreshError<String>>>>);
        impl Asks {
            fn ask(&self) {
                let answer = self.0.get().map(|token| block_on(token.get_async()));
                self.1.lock().unwrap().extend(answer.and_then(Result::err));
            }
        }
        impl Drop for Asks {
            fn drop(&mut self) {
                self.ask();
            }
        }
        let asks = Asks(place, says);
        asks.ask();
        async move {
            asks.ask();
            minted(1)
        }
    });
    let token = Arc::new(builder.lazy().expect("settings that can be"));
    assert!(place.set(Arc::clone(&token)).is_ok());
    assert_eq!(block_on(token.get_async()).map(|value| *value), Ok(1));
    assert_eq!(*told.lock().unwrap(), vec![RefreshError::Reentrant; 3]);
}

/// F: whatever panics is contained where it happens, and keeps nobody waiting.
#[test]
fn f_what_panics_of_other_peoples_code_is_contained() {
    let _watched = watchdog("what panics of other people's code is contained");
    #[derive(Clone, Copy, PartialEq)]
    enum Panics {
        Closure,
        Poll,
        Destructor,
    }
    struct Panicking(Panics);
    impl Future for Panicking {
        type Output = Made;
        fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Made> {
            assert!(self.0 != Panics::Poll, "on purpose");
            Poll::Ready(minted(1))
        }
    }
    impl Drop for Panicking {
        fn drop(&mut self) {
            assert!(self.0 != Panics::Destructor, "on purpose");
        }
    }
    for panics in [Panics::Closure, Panics::Poll, Panics::Destructor] {
        let token = Refresher::from_async(move || {
            assert!(panics != Panics::Closure, "on purpose");
            Panicking(panics)
        });
        let token = token.lazy().expect("settings that can be");
        let before = tidegate::caught_panics();
        let expected =
            if panics == Panics::Destructor { Ok(1) } else { Err(RefreshError::Panicked) };
        assert_eq!(block_on(token.get_async()).map(|value| *value), expected);
        assert!(tidegate::caught_panics() > before);
    }

    // Wakers: of the first, and the others are woken all the same.
    struct Breaks;
    impl Wake for Breaks {
        fn wake(self: Arc<Self>) {
            panic!("on purpose");
        }
    }
    let setting = Setting::default();
    let token = setting.token();
    let waker = Waker::from(Arc::new(Breaks));
    let mut breaks: Vec<_> = (0..2).map(|_| Box::pin(token.get_async())).collect();
    for future in &mut breaks {
        assert!(future.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    }
    let mut other = Task::new(&token);
    assert!(other.poll().is_pending());
    setting.provider.answer(minted(6));
    assert_eq!(other.poll(), Poll::Ready(Ok(6)));
    drop(breaks);
}

/// B3: also of tasks.
#[test]
fn b3_a_value_that_ends_while_that_is_told_is_not_handed_out() {
    let setting = Setting::default();
    let slow = Arc::clone(&setting.clock);
    let builder = setting.builder().report(move |event| {
        if matches!(event, Event::Renewed(_)) {
            slow.advance(secs(2_000));
        }
    });
    let token = builder.lazy().expect("settings that can be");
    let (mut leads, mut follows) = (Task::new(&token), Task::new(&token));
    assert!(leads.poll().is_pending());
    assert!(follows.poll().is_pending());
    setting.provider.answer(minted(1));
    assert_eq!(leads.poll(), Poll::Ready(Err(RefreshError::AlreadyExpired)));
    // The other renews it again.
    assert!(follows.poll().is_pending());
    assert_eq!(setting.provider.asked(), 2);
}

/// Threads that wait, leave, and are woken from elsewhere: none waits for ever, and no two renewals
/// are in progress at once.
#[test]
fn threads_that_come_and_go_lose_no_wake() {
    let _watched = watchdog("threads that come and go lose no wake");
    const ROUNDS: u64 = if cfg!(miri) { 5 } else { 2_000 };
    for spawns in [false, true] {
        let (clock, provider) = (Arc::new(ManualClock::new()), Arc::new(Provider::default()));
        let asked = Arc::clone(&provider);
        let builder = Refresher::from_async(move || {
            let request = Request::new(&asked);
            async move {
                // Woken a few times, by another thread, at once or later.
                for n in 0..3 {
                    let mut is_woken = false;
                    std::future::poll_fn(|context| {
                        if std::mem::replace(&mut is_woken, true) {
                            return Poll::Ready(());
                        }
                        let waker = context.waker().clone();
                        match n {
                            0 => waker.wake(),
                            _ => drop(std::thread::spawn(move || waker.wake())),
                        }
                        Poll::Pending
                    })
                    .await;
                }
                let value = request.0.asked();
                Ok::<_, String>(Minted { value, ttl: secs(10).into() })
            }
        });
        let builder = match spawns {
            true => builder.spawn_with(|drive| drop(std::thread::spawn(move || block_on(drive)))),
            false => builder,
        };
        let builder = builder.clock(clock.clone()).spacing(Duration::ZERO, Duration::ZERO);
        let token = builder.lazy().expect("settings that can be");
        let over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            // They wait for as long as it takes.
            let ask = || {
                let served = block_on(token.get_async());
                // A value may have expired when it comes; several of them in a row open the circuit.
                let is_expected = matches!(
                    served,
                    Ok(_) | Err(RefreshError::AlreadyExpired | RefreshError::BreakerOpen { .. })
                );
                assert!(is_expected, "{served:?}");
            };
            let (token, over, clock) = (&token, &over, &clock);
            scope.spawn(move || {
                let _over = SetAtTheEnd(over);
                for _ in 0..ROUNDS / 4 {
                    clock.advance(secs(20));
                    ask();
                }
            });
            scope.spawn(move || {
                while !over.load(Ordering::SeqCst) {
                    ask();
                }
            });
            for patience in [60, 90].map(Duration::from_micros) {
                scope.spawn(move || {
                    while !over.load(Ordering::SeqCst) {
                        _ = block_for(token.get_async(), patience);
                    }
                });
            }
        });
        assert_eq!(provider.most.load(Ordering::SeqCst), 1, "one at a time");
        wait_until(|| provider.in_progress.load(Ordering::SeqCst) == 0);
        assert!(clock.now() > Instant::ORIGIN);
    }
}
