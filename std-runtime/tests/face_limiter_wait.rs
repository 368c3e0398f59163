//! Waiting for the face's rate limiters: in order, never early, within the queue's bounds.

mod common;

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tidegate::lockfree::bucket::Outcome;
use tidegate::{
    Clock, Decision, ExactRateLimiter, Instant, Jitter, ManualClock, MonotonicClock, OnFull, Plan,
    Quota, QuotaError, RateLimiter, ThreadTimer, Turn, WaitError, caught_panics, wait,
};

type Wait<'a> = Pin<Box<dyn Future<Output = Result<Turn, WaitError>> + Send + 'a>>;

/// Either limiter.
trait Limiter: Send + Sync {
    fn check(&self, key: &u64) -> Decision;
    fn refund(&self, key: &u64, decision: &Decision);
    fn until_ready_n<'a>(&'a self, key: &'a u64, cost: u64) -> Wait<'a>;
    fn until_ready_with<'a>(&'a self, key: &'a u64, jitter: Jitter) -> Wait<'a>;
    fn wait_n(&self, key: &u64, cost: u64) -> Result<Turn, WaitError>;
    fn remaining(&self, key: &u64) -> u64;
}

impl Limiter for RateLimiter<u64> {
    fn check(&self, key: &u64) -> Decision {
        self.check(key)
    }

    fn refund(&self, key: &u64, decision: &Decision) {
        self.refund(key, decision, u64::MAX);
    }

    fn until_ready_n<'a>(&'a self, key: &'a u64, cost: u64) -> Wait<'a> {
        Box::pin(self.until_ready_n(key, cost))
    }

    fn until_ready_with<'a>(&'a self, key: &'a u64, jitter: Jitter) -> Wait<'a> {
        Box::pin(self.until_ready_with(key, jitter))
    }

    fn wait_n(&self, key: &u64, cost: u64) -> Result<Turn, WaitError> {
        self.wait_n(key, cost)
    }

    fn remaining(&self, key: &u64) -> u64 {
        self.peek(key).remaining()
    }
}

impl Limiter for ExactRateLimiter<u64> {
    fn check(&self, key: &u64) -> Decision {
        self.check(key)
    }

    fn refund(&self, key: &u64, decision: &Decision) {
        self.refund(key, decision, u64::MAX);
    }

    fn until_ready_n<'a>(&'a self, key: &'a u64, cost: u64) -> Wait<'a> {
        Box::pin(self.until_ready_n(key, cost))
    }

    fn until_ready_with<'a>(&'a self, key: &'a u64, jitter: Jitter) -> Wait<'a> {
        Box::pin(self.until_ready_with(key, jitter))
    }

    fn wait_n(&self, key: &u64, cost: u64) -> Result<Turn, WaitError> {
        self.wait_n(key, cost)
    }

    fn remaining(&self, key: &u64) -> u64 {
        self.peek(key).remaining()
    }
}

/// A clock that a test moves, and a timer by it.
#[derive(Clone, Default)]
struct Time {
    clock: Arc<ManualClock>,
    ends: Arc<Mutex<BTreeSet<Instant>>>,
}

impl Time {
    fn now(&self) -> Instant {
        self.clock.now()
    }

    fn timer(&self) -> impl Fn(Duration) -> End + Send + Sync + 'static {
        let Self { clock, ends } = self.clone();
        move |time| {
            let end = clock.now() + time;
            ends.lock().unwrap().insert(end);
            End { clock: Arc::clone(&clock), end }
        }
    }

    /// The next time at which a sleep ends.
    fn next(&self) -> Option<Instant> {
        let mut ends = self.ends.lock().unwrap();
        let now = self.now();
        ends.retain(|&end| end > now);
        ends.first().copied()
    }
}

struct End {
    clock: Arc<ManualClock>,
    end: Instant,
}

impl Future for End {
    type Output = ();

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
        if self.clock.now() >= self.end { Poll::Ready(()) } else { Poll::Pending }
    }
}

fn poll(wait: &mut Wait<'_>) -> Poll<Result<Turn, WaitError>> {
    wait.as_mut().poll(&mut Context::from_waker(Waker::noop()))
}

fn millis(time: u64) -> Duration {
    Duration::from_millis(time)
}

/// One cell a millisecond.
fn quota(burst: u64) -> Quota {
    Quota::new(1, millis(1)).and_then(|quota| quota.burst(burst)).unwrap()
}

/// Both limiters of a quota, whose requests wait for `longest` at most.
fn both(quota: Quota, longest: Duration) -> [(Time, Box<dyn Limiter>); 2] {
    let (one, other) = (Time::default(), Time::default());
    let table = RateLimiter::<u64>::builder(quota)
        .keys(100)
        .clock(Arc::clone(&one.clock))
        .timer(one.timer())
        .max_wait(longest)
        .build();
    let map = ExactRateLimiter::<u64>::builder(quota)
        .clock(Arc::clone(&other.clock))
        .timer(other.timer())
        .max_wait(longest)
        .manual()
        .build();
    [(one, Box::new(table.unwrap())), (other, Box::new(map.unwrap()))]
}

#[test]
fn requests_are_served_in_the_order_of_their_arrival_and_at_their_turn() {
    for (time, limiter) in both(quota(2), millis(100)) {
        let start = time.now();
        let mut waits: Vec<_> = (0..6).map(|_| limiter.until_ready_n(&1, 1)).collect();
        let mut served = Vec::new();
        loop {
            for (number, wait) in waits.iter_mut().enumerate() {
                if served.iter().all(|&(other, _)| other != number)
                    && let Poll::Ready(answer) = poll(wait)
                {
                    assert!(answer.unwrap().decision().is_admitted());
                    served.push((number, time.now().since(start)));
                }
            }
            // None overtakes those that wait.
            assert!(served.len() == 6 || !limiter.check(&1).is_admitted());
            let Some(next) = time.next() else { break };
            time.clock.set(next);
        }
        let turns = [0, 0, 1, 2, 3, 4].map(millis);
        assert_eq!(served, turns.into_iter().enumerate().collect::<Vec<_>>());
    }
}

#[test]
fn a_request_that_would_wait_too_long_is_refused_at_once() {
    for (time, limiter) in both(quota(1), millis(3)) {
        let mut waits: Vec<_> = (0..5).map(|_| limiter.until_ready_n(&1, 1)).collect();
        let answers: Vec<_> = waits.iter_mut().map(poll).collect();
        assert!(matches!(answers[0], Poll::Ready(Ok(_))));
        assert!(answers[1..4].iter().all(Poll::is_pending));
        let Poll::Ready(Err(error)) = answers[4] else { panic!("the queue is full") };
        assert_eq!(error.decision().outcome(), Outcome::Denied);
        assert_eq!(error.decision().retry_after(), Some(millis(1)));
        assert_eq!(error.to_string(), "the queue is full: there may be a place in 1ms");
        time.clock.advance(millis(1));
        assert!(poll(&mut limiter.until_ready_n(&1, 1)).is_pending());
        // Another key has a queue of its own.
        assert!(poll(&mut limiter.until_ready_n(&2, 1)).is_ready());
    }
}

#[test]
fn a_cost_that_no_wait_would_admit_is_refused_and_charges_nothing() {
    for (_, limiter) in both(quota(5), millis(100)) {
        let Poll::Ready(Err(error)) = poll(&mut limiter.until_ready_n(&1, 6)) else {
            panic!("it is above the burst");
        };
        assert_eq!(error.decision().outcome(), Outcome::Never);
        assert_eq!(
            error.to_string(),
            "no wait would admit the request: its cost is above the burst"
        );
        assert!(limiter.wait_n(&1, 6).is_err());
        assert_eq!(limiter.remaining(&1), 5);
        // Nothing is charged for nothing.
        assert!(limiter.wait_n(&1, 0).is_ok());
        assert_eq!(limiter.remaining(&1), 5);
        assert!(limiter.wait_n(&1, 5).is_ok());
    }
    for (_, limiter) in both(Quota::closed(), millis(100)) {
        assert!(limiter.wait_n(&1, 1).is_err());
    }
    for (_, limiter) in both(quota(1), Duration::ZERO) {
        assert!(limiter.wait_n(&1, 1).is_ok());
        assert_eq!(limiter.wait_n(&1, 1).unwrap_err().decision().retry_after(), Some(millis(1)));
    }
}

#[test]
fn so_many_wait_as_were_allowed_to_whatever_the_quota() {
    let mut random = fastrand::Rng::with_seed(5);
    for _ in 0..2_000 {
        let (cells, burst) = (random.u64(1..2_000), random.u64(1..20));
        let period = Duration::from_nanos(random.u64(1_000_000..10_000_000_000));
        let quota = Quota::new(cells, period).and_then(|quota| quota.burst(burst)).unwrap();
        let (time, most) = (Time::default(), random.u64(0..40));
        time.clock.set(Instant::from_nanos(random.u64(..1 << 40)));
        let limiter = RateLimiter::<u64>::builder(quota)
            .clock(Arc::clone(&time.clock))
            .timer(time.timer())
            .max_wait(Duration::from_secs(1 << 20))
            .max_waiters(most);
        let limiter = limiter.build().unwrap();
        while limiter.check(&1).is_admitted() {}
        // A part of a cell may have flowed in.
        time.clock
            .advance(Duration::from_nanos(random.u64(..=period.as_nanos() as u64 / cells / 2)));
        let mut waits: Vec<Wait<'_>> =
            (0..most + 3).map(|_| Box::pin(limiter.until_ready(&1)) as Wait<'_>).collect();
        let waiting = waits.iter_mut().map(poll).filter(Poll::is_pending).count() as u64;
        assert_eq!(waiting, most, "{quota:?}");
    }
}

#[test]
fn the_last_place_is_given_back_and_any_other_passes_unused() {
    for (time, limiter) in both(quota(1), millis(100)) {
        assert!(limiter.check(&1).is_admitted());
        let mut waits: Vec<_> = (0..4).map(|_| Some(limiter.until_ready_n(&1, 1))).collect();
        assert!(waits.iter_mut().flatten().all(|wait| poll(wait).is_pending()));
        let turn = |time: &Time| {
            // The turn of the next request, which leaves the queue again.
            let mut next = limiter.until_ready_n(&1, 1);
            let is_pending = poll(&mut next).is_pending();
            let ends = time.ends.lock().unwrap().last().copied();
            drop(next);
            time.ends.lock().unwrap().pop_last();
            assert!(is_pending);
            ends.unwrap().since(time.now())
        };
        assert_eq!(turn(&time), millis(5));
        assert_eq!(turn(&time), millis(5), "it has given its place back");
        waits[1] = None;
        assert_eq!(turn(&time), millis(5), "the second place passes unused");
        waits[3] = None;
        assert_eq!(turn(&time), millis(4));
        waits[2] = None;
        assert_eq!(turn(&time), millis(3));
        // One that has not arrived has no place.
        drop(limiter.until_ready_n(&1, 1));
        assert_eq!(turn(&time), millis(3));
        // A turn that has come passes, though nothing has asked since.
        time.clock.advance(millis(1));
        waits[0] = None;
        assert_eq!(turn(&time), millis(2));
    }
}

#[test]
fn a_refund_of_what_stands_in_front_of_a_queue_moves_no_turn() {
    for (time, limiter) in both(quota(10), millis(100)) {
        let charged: Vec<_> = (0..10).map(|_| limiter.check(&1)).collect();
        let mut waits: Vec<_> = (0..10).map(|_| limiter.until_ready_n(&1, 1)).collect();
        assert!(waits.iter_mut().all(|wait| poll(wait).is_pending()));
        charged.iter().for_each(|decision| limiter.refund(&1, decision));
        let mut later = limiter.until_ready_n(&1, 10);
        assert!(poll(&mut later).is_pending());
        time.clock.advance(millis(10));
        assert!(waits.iter_mut().all(|wait| poll(wait).is_ready()));
        assert!(poll(&mut later).is_pending(), "20 at once");
        time.clock.advance(millis(10));
        assert!(poll(&mut later).is_ready());
    }
}

#[test]
fn jitter_makes_a_request_late_and_never_early() {
    for (time, limiter) in both(quota(1), millis(100)) {
        let mut late = BTreeSet::new();
        for round in 0..50 {
            let jitter = Jitter::up_to(millis(if round == 0 { 0 } else { 10 }));
            assert!(limiter.wait_n(&round, 1).is_ok());
            let start = time.now();
            let mut wait = limiter.until_ready_with(&round, jitter);
            while poll(&mut wait).is_pending() {
                time.clock.set(time.next().unwrap());
            }
            let waited = time.now().since(start);
            assert!((millis(1)..millis(11)).contains(&waited));
            assert!(round > 0 || waited == millis(1));
            late.insert(waited);
        }
        assert!(late.len() > 10, "{late:?}");
    }
}

/// A bucket as the arithmetic has it, in milliseconds.
#[derive(Clone, Copy, Default)]
struct Model {
    time: u64,
}

/// One request of a history.
struct Request<'a> {
    wait: Option<Wait<'a>>,
    left: u64,
    turn: u64,
    is_cancelled: bool,
}

/// By how many cells the fullest window is above its bound of `burst` and a cell a millisecond.
fn excess(served: &mut [u64], burst: u64) -> i64 {
    served.sort_unstable();
    // Of the window from i to j: (j - i + 1) - burst - (t[j] - t[i]).
    let (mut least, mut worst) = (i64::MAX, i64::MIN);
    for (index, &time) in served.iter().enumerate() {
        let behind = index as i64 - time as i64;
        least = least.min(behind);
        worst = worst.max(behind - least + 1 - burst as i64);
    }
    worst
}

/// A thousand requests arrive, wait, and are cancelled at random; each is served at the turn that the
/// arithmetic of the queue gives it.
#[test]
fn a_thousand_requests_are_served_as_the_arithmetic_of_the_queue_says() {
    const REQUESTS: usize = 1_000;

    let (mut cancelled, mut reused, mut refused) = (0, 0, 0);
    for seed in 0..6 {
        let mut random = fastrand::Rng::with_seed(seed);
        let (burst, longest) = (random.u64(1..20), random.u64(20..400));
        for (time, limiter) in both(quota(burst), millis(longest)) {
            let mut model = Model::default();
            let (mut requests, mut served) = (Vec::<Request<'_>>::new(), Vec::new());
            let mut now = 1_000;
            while requests.len() < REQUESTS || requests.iter().any(|it| it.wait.is_some()) {
                time.clock.set(Instant::ORIGIN + millis(now));
                for request in &mut requests {
                    if let Some(wait) = &mut request.wait
                        && let Poll::Ready(answer) = poll(wait)
                    {
                        assert!(answer.unwrap().decision().is_admitted());
                        assert_eq!(now, request.turn, "not at its turn");
                        served.push(now);
                        request.wait = None;
                    }
                }
                let arrivals = if requests.len() < REQUESTS { random.u64(..4) } else { 0 };
                for _ in 0..arrivals {
                    let mut wait = limiter.until_ready_n(&1, 1);
                    let left = model.time.max(now) + 1;
                    if left > now + burst + longest {
                        assert!(matches!(poll(&mut wait), Poll::Ready(Err(_))));
                        refused += 1;
                        continue;
                    }
                    model.time = left;
                    let turn = now.max(left.saturating_sub(burst));
                    let is_served = poll(&mut wait).is_ready();
                    assert_eq!(is_served, turn == now);
                    served.extend(is_served.then_some(now));
                    requests.push(Request {
                        wait: (!is_served).then_some(wait),
                        left,
                        turn,
                        is_cancelled: false,
                    });
                }
                if random.u8(..4) == 0 && limiter.check(&1).is_admitted() {
                    assert!(model.time < now + burst, "it has overtaken the queue");
                    model.time = model.time.max(now) + 1;
                    served.push(now);
                }
                let waiting: Vec<_> =
                    (0..requests.len()).filter(|&at| requests[at].wait.is_some()).collect();
                if !waiting.is_empty() && random.u8(..3) == 0 {
                    let last = waiting.len() - 1;
                    let at = if random.bool() { last } else { random.usize(..=last) };
                    let request = &mut requests[waiting[at]];
                    (request.wait, request.is_cancelled) = (None, true);
                    cancelled += 1;
                    if model.time == request.left {
                        model.time -= 1;
                        reused += 1;
                    }
                }
                now += random.u64(..2);
            }
            let stayed = requests.iter().filter(|request| !request.is_cancelled);
            assert!(stayed.is_sorted_by_key(|request| request.turn), "one has overtaken another");
            assert!(excess(&mut served, burst) <= 0);
            assert!(served.len() > REQUESTS / 4);
        }
    }
    assert!(cancelled > 500 && reused > 200 && refused > 0, "{cancelled} {reused} {refused}");
}

thread_local! {
    static READ: RefCell<Vec<Instant>> = const { RefCell::new(Vec::new()) };
}

/// A clock that keeps what a thread has read.
#[derive(Clone)]
struct Recorded(MonotonicClock);

impl Clock for Recorded {
    fn now(&self) -> Instant {
        let now = self.0.now();
        READ.with_borrow_mut(|read| read.push(now));
        now
    }
}

/// A request that was served.
struct Served {
    arrived: Instant,
    turn: Instant,
    at: Instant,
}

/// A thousand tasks of eight executors wait at once, by the process's timer, and are cancelled at
/// random. Their turns are those of a queue, and none is served before its turn.
#[test]
fn a_thousand_tasks_of_eight_threads_are_never_early() {
    const TASKS: u64 = 125;

    let _watchdog = common::watchdog("a_thousand_tasks");
    let clock = Recorded(MonotonicClock::new());
    let quota = Quota::per_second(2_000).and_then(|quota| quota.burst(10)).unwrap();
    let limiter: RateLimiter<u64> =
        RateLimiter::builder(quota).clock(clock.clone()).grace(millis(100)).build().unwrap();
    let task = async |number: u64| {
        let mut random = fastrand::Rng::with_seed(number);
        let mut served = Vec::new();
        for _ in 0..3 {
            tokio::time::sleep(millis(random.u64(..50))).await;
            READ.with_borrow_mut(Vec::clear);
            let mut wait = pin!(limiter.until_ready(&1));
            // The first reading of the first poll is that of the arrival.
            let mut arrived = None;
            let mut polled = std::future::poll_fn(|context| {
                let poll = wait.as_mut().poll(context);
                arrived.get_or_insert_with(|| READ.with_borrow(|read| read[0]));
                poll
            });
            let longest = millis(random.u64(1..1_500));
            let answer = if random.bool() {
                tokio::time::timeout(longest, &mut polled).await.ok()
            } else {
                Some((&mut polled).await)
            };
            if let Some(decision) = answer.transpose().expect("there is room for all") {
                let arrived = arrived.expect("it was polled");
                let (turn, at) = (arrived + decision.delay(), clock.0.now());
                served.push(Served { arrived, turn, at });
            }
        }
        served
    };
    let mut served: Vec<Served> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8)
            .map(|thread| {
                scope.spawn(move || {
                    let runtime =
                        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
                    let tasks = (0..TASKS).map(|number| Box::pin(task(thread * TASKS + number)));
                    runtime.block_on(all(tasks.collect()))
                })
            })
            .collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).flatten().collect()
    });
    assert!(served.len() > 1_000, "{} were served", served.len());
    assert!(served.iter().all(|served| served.at >= served.turn), "one was early");
    let late: Duration = served.iter().map(|served| served.at.since(served.turn)).sum();
    println!("{} served, late by {:?} on average", served.len(), late / served.len() as u32);
    // In the order of their arrival, as far as clocks of different threads can say.
    served.sort_unstable_by_key(|served| served.turn);
    let mut latest = Instant::ORIGIN;
    for served in &served {
        assert!(served.arrived + millis(100) >= latest, "one has overtaken another");
        latest = latest.max(served.arrived);
    }
    // In half milliseconds, the time of a cell.
    let mut turns: Vec<_> =
        served.iter().map(|served| served.turn.as_nanos().div_ceil(500_000)).collect();
    assert!(excess(&mut turns, 10) <= 1, "a window is too full");
}

/// Polls all of `tasks` on this task, and returns what they return.
async fn all<F: Future>(tasks: Vec<Pin<Box<F>>>) -> Vec<F::Output> {
    let mut tasks: Vec<_> = tasks.into_iter().map(|task| (task, None)).collect();
    std::future::poll_fn(move |context| {
        for (task, output) in &mut tasks {
            if output.is_none()
                && let Poll::Ready(ready) = task.as_mut().poll(context)
            {
                *output = Some(ready);
            }
        }
        match tasks.iter().all(|(_, output)| output.is_some()) {
            true => Poll::Ready(tasks.iter_mut().filter_map(|(_, output)| output.take()).collect()),
            false => Poll::Pending,
        }
    })
    .await
}

#[test]
fn threads_that_block_are_served_in_turns_too() {
    let clock = MonotonicClock::new();
    let quota = Quota::new(1, millis(2)).unwrap();
    let limiter: RateLimiter<str> = RateLimiter::builder(quota).clock(clock).build().unwrap();
    let start = clock.now();
    let mut served: Vec<_> = std::thread::scope(|scope| {
        let limiter = &limiter;
        let wait = move || {
            let decision = limiter.wait("a").unwrap();
            (clock.now().since(start), decision.delay())
        };
        let threads: Vec<_> = (0..16).map(|_| scope.spawn(wait)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    served.sort_unstable();
    for (number, (at, _)) in served.iter().enumerate() {
        // The k-th cell is there after k cells' time.
        assert!(*at >= millis(2) * number as u32, "{number} at {at:?}");
    }
    assert!(served.iter().filter(|(_, delay)| !delay.is_zero()).count() >= 8);
}

#[tokio::test(flavor = "current_thread")]
async fn tokio_s_timer_is_plugged_in_by_one_line() {
    let quota = Quota::new(1, millis(5)).unwrap();
    let limiter: RateLimiter<str> =
        RateLimiter::builder(quota).timer(tokio::time::sleep).build().unwrap();
    let start = std::time::Instant::now();
    for _ in 0..4 {
        limiter.until_ready("a").await.unwrap();
    }
    assert!(start.elapsed() >= millis(14));
    // Its futures can be spawned.
    let spawned = tokio::spawn(async move { limiter.until_ready("a").await.map(|_| ()) });
    spawned.await.unwrap().unwrap();
}

#[test]
fn tokio_s_timer_outside_of_its_executor_is_replaced() {
    // There, it panics.
    let quota = Quota::new(1, millis(2)).unwrap();
    let limiter: RateLimiter<str> =
        RateLimiter::builder(quota).timer(tokio::time::sleep).build().unwrap();
    let before = caught_panics();
    assert!(limiter.wait("a").is_ok());
    let start = std::time::Instant::now();
    assert!(limiter.wait("a").is_ok());
    assert!(start.elapsed() >= millis(1) && caught_panics() > before);
}

/// A sleep that panics in the way that a test wants.
struct Broken(&'static str);

impl Future for Broken {
    type Output = ();

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
        assert_ne!(self.0, "poll", "on purpose");
        Poll::Ready(())
    }
}

impl Drop for Broken {
    fn drop(&mut self) {
        assert_ne!(self.0, "drop", "on purpose");
    }
}

#[test]
fn a_panic_of_a_timer_is_contained_wherever_it_comes() {
    for place in ["sleep", "poll", "drop", "nowhere"] {
        let quota = Quota::new(1, millis(2)).unwrap();
        let timer = move |_| {
            assert_ne!(place, "sleep", "on purpose");
            Broken(place)
        };
        let limiter: ExactRateLimiter<String> =
            ExactRateLimiter::<String>::builder(quota).timer(timer).manual().build().unwrap();
        assert!(limiter.wait("a").is_ok());
        let (start, before) = (std::time::Instant::now(), caught_panics());
        assert!(wait::block_on(limiter.until_ready("a")).is_ok());
        assert!(start.elapsed() >= millis(1), "early by a timer that is always early");
        assert_eq!(caught_panics() > before, place != "nowhere");
    }
}

/// A clock that panics when told to.
struct Moody {
    time: Time,
    panics: Arc<AtomicBool>,
}

impl Clock for Moody {
    fn now(&self) -> Instant {
        assert!(!self.panics.load(Ordering::SeqCst), "on purpose");
        self.time.now()
    }
}

#[test]
fn a_panic_of_the_clock_reaches_the_caller_and_not_the_drop() {
    let (time, panics) = (Time::default(), Arc::new(AtomicBool::new(false)));
    let clock = Moody { time: time.clone(), panics: Arc::clone(&panics) };
    let limiter: RateLimiter<u64> =
        RateLimiter::builder(quota(1)).clock(clock).timer(time.timer()).build().unwrap();
    assert!(limiter.check(&1).is_admitted());
    let mut first = Box::pin(limiter.until_ready(&1)) as Wait<'_>;
    let mut second = Box::pin(limiter.until_ready(&1)) as Wait<'_>;
    assert!(poll(&mut first).is_pending() && poll(&mut second).is_pending());
    panics.store(true, Ordering::SeqCst);
    let before = caught_panics();
    drop(second);
    assert!(caught_panics() > before);
    time.clock.advance(millis(1));
    let polled = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| poll(&mut first)));
    assert!(polled.is_err());
    drop(first);
    panics.store(false, Ordering::SeqCst);
    // The second place could not be given back, and passes.
    time.clock.advance(millis(2));
    assert!(limiter.check(&1).is_admitted());
}

#[test]
fn a_limiter_for_which_no_wait_fits_can_be_built_and_is_refused_if_a_wait_was_asked_for() {
    // Ten years and the burst, nearly to the end of time.
    let quota = Quota::new(1, Duration::from_secs(86_400 * 365)).unwrap().burst(26).unwrap();
    let builder = || RateLimiter::<u64>::builder(quota);
    assert!(builder().build().is_ok());
    let years = Duration::from_secs(86_400 * 365 * 20);
    assert_eq!(builder().max_wait(years).build().unwrap_err(), QuotaError::Horizon);
    assert!(builder().max_wait(millis(1)).build().is_ok());
}

#[test]
fn a_key_that_the_table_has_no_room_for_waits_as_the_policy_says() {
    let time = Time::default();
    let builder = || {
        ExactRateLimiter::<u64>::builder(quota(1))
            .max_keys(1)
            .clock(Arc::clone(&time.clock))
            .timer(time.timer())
            .manual()
    };
    let denies: ExactRateLimiter<u64> = builder().build().unwrap();
    assert!(denies.check(&1).is_admitted());
    let error = denies.wait(&2).unwrap_err();
    assert!(error.decision().is_unplaced());
    let admits: ExactRateLimiter<u64> = builder().on_full(OnFull::Admit).build().unwrap();
    assert!(admits.check(&1).is_admitted());
    assert!(admits.wait(&2).is_ok() && admits.wait(&2).is_ok());
}

#[test]
fn a_plan_of_the_limiter_s_and_a_shaping_quota_of_the_user_s_go_together() {
    let shaped = quota(1).shape(millis(2));
    for (_, limiter) in both(shaped, millis(2)) {
        let delays: Vec<_> = (0..3).map(|_| limiter.check(&1).delay()).collect();
        assert_eq!(delays, [0, 1, 2].map(millis));
        assert!(limiter.wait_n(&1, 1).is_err());
    }
    let time = Time::default();
    let limiter: RateLimiter<u64> =
        RateLimiter::builder(shaped).clock(Arc::clone(&time.clock)).build().unwrap();
    let plan: Plan = limiter.plan(shaped).unwrap();
    assert_eq!(plan.limit(), 1);
    let mut waits: Vec<_> = (0..4).map(|_| Box::pin(limiter.until_ready(&1)) as Wait<'_>).collect();
    let answers: Vec<_> = waits.iter_mut().map(|wait| poll(wait).is_ready()).collect();
    // The bound is that of the quota.
    assert_eq!(answers, [true, false, false, true]);
}

#[test]
fn futures_and_timers_are_send() {
    fn is_send<T: Send>(_: &T) {}
    let limiter: RateLimiter<str> = RateLimiter::new(quota(1), 10).unwrap();
    is_send(&limiter.until_ready("a"));
    is_send(&limiter.until_ready_n("a", 1));
    is_send(&limiter.until_ready_with("a", Jitter::NONE));
    is_send(&ThreadTimer::new());
    let exact: ExactRateLimiter<String> =
        ExactRateLimiter::<String>::builder(quota(1)).manual().build().unwrap();
    is_send(&exact.until_ready("a"));
}
