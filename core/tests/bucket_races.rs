//! The window bound under races: with what was refunded counted as never served, every window holds at
//! most the burst and the rate times the window's length.
//!
//! Threads charge a few keys at random costs and give some of it back at once or later, while sweepers
//! run all the time and keys fall idle for long enough to be forgotten in between. They charge one key
//! or several at once, take turns in the queue of a shaping plan, reserve and settle, and take what
//! there is. Each thread logs what it was granted, and when it is served; then every window of every key
//! is checked. A refund takes its cells out of the charge's line of the log, and counts as nothing
//! itself: what it gives back must not be more than what was taken out of windows that can still be
//! filled. A settlement takes out what was not used, and adds a line for what was used on top.
//!
//! Time is virtual. It steps on only when all participants have finished what they began at an earlier
//! step, so a thread that is put to sleep between reading the clock and using it is never late by more than a
//! step, a tenth of a cell: the bound on the clocks is kept exactly, whatever the machine does.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tidegate_core::bucket::{
    AllOutcome, Counters, Limit, Reservation, Set, Unit, check_all, reserve,
};
use tidegate_core::{
    BucketMap, BucketSweep, BucketTable, Budget, Clock, Decision, Domain, Instant, ManualClock,
    Plan, Quota, SeededState, Sweep, TableSweep, Worker,
};

const THREADS: usize = 8;
const SWEEPERS: usize = 2;
const KEYS: usize = 100;
const RATE: u64 = 100_000;
const BURST: u64 = 20;
/// A step of virtual time, in nanoseconds.
const STEP: u64 = 1_000;
/// How long a quarter of the keys is charged, while the others are paid for and forgotten.
const TURN: u64 = 100_000;
/// A refund comes at most this long after its charge: also in a later turn of its key.
const LATE: u64 = 500_000;

/// What a thread asks of a limiter, at the time of its clock.
#[derive(Clone, Copy)]
struct Ask<'a> {
    key: &'a usize,
    plan: &'a Plan,
    cells: u64,
    clock: &'a ManualClock,
    worker: &'a Worker,
}

/// What is shared by the threads.
trait Limiter: Send + Sync + 'static {
    fn limit<'a>(&'a self, ask: Ask<'a>) -> impl Limit + 'a;
    fn check(&self, ask: Ask<'_>) -> Decision;
    fn take_up_to(&self, ask: Ask<'_>) -> Decision;
    fn refund(&self, decision: &Decision, ask: Ask<'_>);
    fn sweeper(limiter: Arc<Self>, worker: Worker) -> Box<dyn Sweep + Send>;
    fn counters(&self) -> Counters;
}

type Table = BucketTable<Box<[Set]>>;

impl Limiter for Table {
    fn limit<'a>(&'a self, ask: Ask<'a>) -> impl Limit + 'a {
        BucketTable::limit(self, ask.key, ask.plan, ask.cells, ask.clock.now(), ask.clock)
    }

    fn check(&self, ask: Ask<'_>) -> Decision {
        self.check_n(ask.key, ask.plan, ask.cells, ask.clock.now())
    }

    fn take_up_to(&self, ask: Ask<'_>) -> Decision {
        BucketTable::take_up_to(self, ask.key, ask.plan, ask.cells, ask.clock.now())
    }

    fn refund(&self, decision: &Decision, ask: Ask<'_>) {
        BucketTable::refund(self, ask.key, decision, ask.cells, ask.clock.now());
    }

    fn sweeper(limiter: Arc<Self>, _: Worker) -> Box<dyn Sweep + Send> {
        Box::new(TableSweep::new(limiter))
    }

    fn counters(&self) -> Counters {
        BucketTable::counters(self)
    }
}

impl Limiter for BucketMap<usize> {
    fn limit<'a>(&'a self, ask: Ask<'a>) -> impl Limit + 'a {
        let Ask { key, plan, cells, clock, worker } = ask;
        BucketMap::limit(self, key, plan, cells, clock.now(), clock, || worker.pin())
    }

    fn check(&self, ask: Ask<'_>) -> Decision {
        self.check_n(ask.key, ask.plan, ask.cells, ask.clock.now(), &ask.worker.pin())
    }

    fn take_up_to(&self, ask: Ask<'_>) -> Decision {
        let Ask { key, plan, cells, clock, worker } = ask;
        BucketMap::take_up_to(self, key, plan, cells, clock.now(), &worker.pin())
    }

    fn refund(&self, decision: &Decision, ask: Ask<'_>) {
        let Ask { key, cells, clock, worker, .. } = ask;
        BucketMap::refund(self, key, decision, cells, clock.now(), &worker.pin());
    }

    fn sweeper(limiter: Arc<Self>, worker: Worker) -> Box<dyn Sweep + Send> {
        Box::new(BucketSweep::new(limiter, worker))
    }

    fn counters(&self) -> Counters {
        BucketMap::counters(self)
    }
}

/// A charge, less what was given back of it.
#[derive(Clone, Copy)]
struct Charge {
    key: usize,
    at: u64,
    cells: u64,
}

/// The clock of all participants.
struct Time {
    now: AtomicU64,
    /// For each participant, a time before which all it began is finished.
    seen: [AtomicU64; THREADS + SWEEPERS],
    /// How far a participant's clock may be off, in nanoseconds.
    skew: i64,
}

impl Time {
    fn new(skew: i64) -> Self {
        let start = skew as u64;
        let seen = std::array::from_fn(|_| AtomicU64::new(start));
        Self { now: AtomicU64::new(start), seen, skew }
    }

    /// The time for the participant's next operation.
    fn read(&self, participant: usize) -> Instant {
        let now = self.now.load(Ordering::SeqCst);
        self.seen[participant].store(now, Ordering::SeqCst);
        Instant::from_nanos(now.saturating_add_signed(self.skew * (participant as i64 % 3 - 1)))
    }

    /// Takes a step if all participants have seen the last, and lets others run.
    fn step(&self) {
        let now = self.now.load(Ordering::SeqCst);
        if self.seen.iter().all(|seen| seen.load(Ordering::SeqCst) >= now) {
            _ = self.now.compare_exchange(now, now + STEP, Ordering::SeqCst, Ordering::SeqCst);
        }
        std::thread::yield_now();
    }

    /// The participant takes no further part.
    fn leave(&self, participant: usize) {
        self.seen[participant].store(u64::MAX, Ordering::SeqCst);
    }
}

/// The plans that the threads charge under: one bucket serves both.
struct Plans {
    plain: Plan,
    /// A queue of a few requests behind the burst.
    queue: Plan,
}

/// What was granted, and how often each way to it was taken.
#[derive(Default)]
struct Log {
    operations: u64,
    charges: Vec<Charge>,
    refunds: usize,
    waits: usize,
    calls_of_several: usize,
    contended: usize,
    settled: usize,
    used_on_top: usize,
}

impl Log {
    fn add(&mut self, mut other: Self) {
        self.operations += other.operations;
        self.charges.append(&mut other.charges);
        self.refunds += other.refunds;
        self.waits += other.waits;
        self.calls_of_several += other.calls_of_several;
        self.contended += other.contended;
        self.settled += other.settled;
        self.used_on_top += other.used_on_top;
    }

    /// Enters a charge. Returns its line.
    fn enter(&mut self, key: usize, at: u64, cells: u64) -> usize {
        self.charges.push(Charge { key, at, cells });
        self.charges.len() - 1
    }
}

/// The numbers of all keys, to be borrowed for as long as a reservation lasts.
static NUMBERS: [usize; KEYS] = {
    let mut numbers = [0; KEYS];
    let mut key = 0;
    while key < KEYS {
        numbers[key] = key;
        key += 1;
    }
    numbers
};

/// Charges, reserves, refunds and settles; returns the log.
fn hammer(
    limiter: &impl Limiter,
    plans: &Plans,
    time: &Time,
    thread: usize,
    steps: u64,
    worker: &Worker,
) -> Log {
    let mut random = fastrand::Rng::with_seed(thread as u64);
    let (mut log, clock) = (Log::default(), ManualClock::new());
    let ask =
        |key: usize, plan, cells| Ask { key: &NUMBERS[key], plan, cells, clock: &clock, worker };
    // What may be refunded or is to be settled, when, and its line.
    let mut granted: Vec<(u64, usize, Decision)> = Vec::new();
    let mut reserved = Vec::new();
    let end = time.now.load(Ordering::SeqCst) + steps * STEP;
    loop {
        log.operations += 1;
        if log.operations.is_multiple_of(32) {
            time.step();
        }
        let now = time.read(thread);
        if time.seen[thread].load(Ordering::SeqCst) >= end {
            break;
        }
        clock.set(now);
        let at = now.as_nanos();
        if random.u8(0..8) == 0
            && let Some(due) = granted.iter().position(|&(due, _, _)| due <= at)
        {
            let (_, line, decision) = granted.swap_remove(due);
            let charge = &mut log.charges[line];
            // A turn is given back as a whole more often than not.
            let whole = !decision.delay().is_zero() && random.u8(0..4) > 0;
            let cells = if whole { charge.cells } else { random.u64(1..=charge.cells) };
            limiter.refund(&decision, ask(charge.key, &plans.plain, cells));
            charge.cells -= cells;
            log.refunds += 1;
            continue;
        }
        if random.u8(0..8) == 0
            && let Some(due) = reserved.iter().position(|&(due, _, _)| due <= at)
        {
            let (_, line, reservation): (_, usize, Reservation<_>) = reserved.swap_remove(due);
            let Charge { key, cells, .. } = log.charges[line];
            let actual = random.u64(0..=cells + 2);
            let settled = reservation.settle(actual);
            log.charges[line].cells = cells.min(actual);
            if settled.charged() > 0 {
                log.used_on_top += 1;
                log.enter(key, at, settled.charged());
            }
            log.settled += 1;
            continue;
        }
        let mut key = || (at / TURN % 4) as usize * (KEYS / 4) + random.usize(..KEYS / 4);
        let [key, other] = [key(), key()];
        let cells = random.u64(1..=4);
        match random.u8(0..16) {
            0..8 => {
                let wait = random.u8(0..8) == 0;
                let plan = if wait { &plans.queue } else { &plans.plain };
                let decision = limiter.check(ask(key, plan, cells));
                if decision.is_admitted() {
                    assert!(!decision.is_unplaced());
                    log.waits += usize::from(!decision.delay().is_zero());
                    let line = log.enter(key, at + decision.delay().as_nanos() as u64, cells);
                    if granted.len() < 64 && random.bool() {
                        // At once, or when some of it has flowed in, or all.
                        granted.push((at + random.u64(..LATE), line, decision));
                    }
                }
            }
            8..10 => {
                let decision = limiter.take_up_to(ask(key, &plans.plain, cells));
                if decision.is_admitted() {
                    log.enter(key, at, decision.charged());
                }
            }
            10..13 => {
                let costs = [cells, random.u64(1..=4)];
                let answer = check_all(&[
                    limiter.limit(ask(key, &plans.plain, costs[0])),
                    limiter.limit(ask(other, &plans.plain, costs[1])),
                ]);
                log.calls_of_several += 1;
                match answer.outcome() {
                    AllOutcome::Admitted => {
                        log.enter(key, at, costs[0]);
                        log.enter(other, at, costs[1]);
                    }
                    AllOutcome::Contended { .. } => log.contended += 1,
                    AllOutcome::Denied { .. } | AllOutcome::Never { .. } => {}
                }
            }
            _ => {
                let limit = limiter.limit(ask(key, &plans.plain, cells));
                if reserved.len() < 64
                    && let Ok(reservation) = reserve(limit)
                {
                    let line = log.enter(key, at, cells);
                    reserved.push((at + random.u64(..LATE), line, reservation));
                }
            }
        }
    }
    for (_, _, reservation) in reserved {
        _ = reservation.forget();
    }
    time.leave(thread);
    log
}

/// The windows of one key that hold too much, if clocks may be `slack` nanoseconds off.
fn violations(mut charges: Vec<Charge>, slack: u64) -> usize {
    charges.sort_by_key(|charge| charge.at);
    // In units of 1/10^9 cell, so that nothing is rounded.
    let scale = |cells: u64| i128::from(cells) * 1_000_000_000;
    let flows = |time: u64| i128::from(time) * i128::from(RATE);
    let (mut served, mut lowest, mut violations) = (0, i128::MAX, 0);
    for group in charges.chunk_by(|a, b| a.at == b.at) {
        let at = group[0].at;
        // A window that begins here.
        lowest = lowest.min(served - flows(at));
        served += group.iter().map(|charge| scale(charge.cells)).sum::<i128>();
        // The worst window that ends here.
        violations += usize::from(served - flows(at) - lowest > scale(BURST) + flows(slack));
    }
    violations
}

/// How far apart two participants' clocks may be.
fn apart(skew: i64) -> u64 {
    2 * skew as u64 + STEP
}

fn run<L: Limiter>(limiter: L, plans: &Plans, domain: &Domain, skew: i64, steps: u64) {
    assert!(plans.plain.is_exact() && plans.queue.is_exact());
    let limiter = Arc::new(limiter);
    let time = Time::new(skew);
    let (done, removed) = (AtomicBool::new(false), AtomicU64::new(0));
    let (mut by_key, mut log) = (vec![Vec::new(); KEYS], Log::default());
    std::thread::scope(|scope| {
        for sweeper in 0..SWEEPERS {
            let mut sweep = L::sweeper(Arc::clone(&limiter), domain.worker());
            let (time, done, removed) = (&time, &done, &removed);
            scope.spawn(move || {
                // Relaxed, both: a flag and a count.
                while !done.load(Ordering::Relaxed) {
                    let now = time.read(THREADS + sweeper);
                    let step = sweep.sweep(now, Budget::entries(7));
                    removed.fetch_add(step.removed as u64, Ordering::Relaxed);
                    time.step();
                }
                time.leave(THREADS + sweeper);
            });
        }
        let threads: Vec<_> = (0..THREADS)
            .map(|thread| {
                let (limiter, time, worker) = (&*limiter, &time, domain.worker());
                scope.spawn(move || hammer(limiter, plans, time, thread, steps, &worker))
            })
            .collect();
        for thread in threads {
            log.add(thread.join().expect("no panic"));
        }
        done.store(true, Ordering::Relaxed);
    });
    let charges = log.charges.len();
    for charge in log.charges {
        by_key[charge.key].push(charge);
    }
    let violations: usize =
        by_key.into_iter().map(|charges| violations(charges, apart(skew))).sum();
    let counters = limiter.counters();
    let removed = removed.into_inner() + counters.reclaimed;
    let Log {
        operations, refunds, waits, calls_of_several, contended, settled, used_on_top, ..
    } = log;
    println!(
        "{steps} steps, {operations} operations, {charges} charges, {refunds} refunds, {waits} waits, {settled} settled \
         ({used_on_top} with more), {calls_of_several} calls of two ({contended} contended, {} ns \
         lost), {removed} forgotten",
        counters.lost
    );
    assert_eq!(violations, 0);
    for (what, count) in [
        ("charges", charges / 10),
        ("refunds", refunds),
        ("waits", waits),
        ("settlements", settled),
        ("settlements with more", used_on_top * 10),
        ("calls of two", calls_of_several),
    ] {
        assert!(count > 1_000, "the test did next to nothing: {count} {what}");
    }
    assert!(removed > 500, "no bucket was ever forgotten: the test is blind to reclaiming");
}

fn quota() -> Quota {
    Quota::per_second(RATE).and_then(|quota| quota.burst(BURST)).expect("a quota")
}

fn plans(unit: Unit) -> Plans {
    let plan = |quota| unit.plan(quota).expect("a plan");
    // A queue of four cells.
    let queue = quota().shape(Duration::from_nanos(4_000_000_000 / RATE));
    Plans { plain: plan(quota()), queue: plan(queue) }
}

fn run_table(skew: i64, steps: u64) {
    let table = BucketTable::boxed(quota(), KEYS, SeededState::new(5)).expect("a unit");
    let plans = plans(table.unit());
    run(table.grace(Duration::from_nanos(apart(skew))), &plans, &Domain::new(), skew, steps);
}

fn run_map(skew: i64, steps: u64) {
    let domain = Domain::new();
    let map: BucketMap<usize> =
        BucketMap::with(&domain, quota(), SeededState::new(5)).expect("a unit");
    let plans = plans(map.unit());
    run(map.grace(Duration::from_nanos(apart(skew))), &plans, &domain, skew, steps);
}

/// Two cells.
const SKEW: i64 = 20_000;
const STEPS: u64 = 10_000;

#[test]
fn no_window_of_a_table_exceeds_its_bound() {
    run_table(0, STEPS);
    run_table(SKEW, STEPS);
}

#[test]
fn no_window_of_a_map_exceeds_its_bound() {
    run_map(0, STEPS);
    run_map(SKEW, STEPS);
}

#[test]
#[ignore = "minutes: cargo test --release -p tidegate-core --test bucket_races -- --ignored --nocapture"]
fn no_window_exceeds_its_bound_in_minutes() {
    run_table(0, 200 * STEPS);
    run_map(0, 200 * STEPS);
}

#[test]
fn the_check_of_windows_notices_one_cell_too_many() {
    let charge = |at, cells| Charge { key: 0, at, cells };
    let cell = 1_000_000_000 / RATE;
    assert_eq!(violations(vec![charge(5, BURST), charge(5 + cell, 1)], 0), 0);
    assert_eq!(violations(vec![charge(5, BURST), charge(4 + cell, 1)], 0), 1);
    assert_eq!(violations(vec![charge(5, BURST), charge(4 + cell, 1)], 1), 0);
    assert_eq!(violations(vec![charge(5, BURST - 1), charge(5, 1)], 0), 0);
    // What was refunded late is served twice.
    assert_eq!(violations(vec![charge(5, 0), charge(6, BURST), charge(6, 1)], 0), 1);
}

#[test]
fn n_threads_that_meet_on_a_new_key_get_one_burst_between_them() {
    // K-C20, extended: 64 threads, capacities 1 to 40, a frozen clock.
    for capacity in [1, 2, 10, 40] {
        let quota = Quota::per_minute(60).and_then(|quota| quota.burst(capacity)).expect("a quota");
        let table = BucketTable::boxed(quota, 100, SeededState::new(5)).expect("a unit");
        let plan = table.plan(quota).expect("a plan");
        for key in 0..20 {
            let barrier = std::sync::Barrier::new(64);
            let admitted = AtomicU64::new(0);
            std::thread::scope(|scope| {
                for _ in 0..64 {
                    scope.spawn(|| {
                        barrier.wait();
                        if table.check(&key, &plan, Instant::from_secs(1)).is_admitted() {
                            // Relaxed: a count.
                            admitted.fetch_add(1, Ordering::Relaxed);
                        }
                    });
                }
            });
            assert_eq!(admitted.into_inner(), capacity);
        }
    }
}
