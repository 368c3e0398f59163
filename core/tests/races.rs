//! The window bound under races: in every window, what was admitted less what was refunded is at
//! most the burst and the rate times the window's length.
//!
//! Threads charge and refund a few keys at random costs, by clocks that are up to a millisecond off
//! either way, while sweepers run all the time and keys fall idle for long enough to be forgotten
//! in between. Each thread logs what it was granted; then every window of every key is checked.
//!
//! Time is virtual. It steps on only when everybody has finished what was begun at an earlier step,
//! so a thread that is put to sleep between reading the clock and using it is never late by more
//! than a step: the bound on the clocks is kept exactly, whatever the machine does.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tidegate_core::{
    BucketTable, Budget, Instant, Plan, Quota, SeededState, Set, Sweep, TableSweep,
};

const THREADS: usize = 8;
const SWEEPERS: usize = 2;
/// A step of virtual time, in nanoseconds.
const STEP: u64 = 100_000;
const KEYS: usize = 100;
/// How far a thread's clock may be off, in nanoseconds.
const SKEW: i64 = 1_000_000;
const RATE: u64 = 100_000;
const BURST: u64 = 20;

type Table = BucketTable<Box<[Set]>>;

#[derive(Clone, Copy)]
struct Event {
    key: usize,
    at: u64,
    cells: u64,
    refund: bool,
}

/// The clock of everybody.
struct Time {
    now: AtomicU64,
    /// For each participant, a time before which all it began is finished.
    seen: [AtomicU64; THREADS + SWEEPERS],
}

impl Time {
    fn new() -> Self {
        let start = SKEW as u64;
        Self { now: AtomicU64::new(start), seen: std::array::from_fn(|_| AtomicU64::new(start)) }
    }

    /// The time for the participant's next operation.
    fn read(&self, participant: usize, offset: i64) -> Instant {
        let now = self.now.load(Ordering::SeqCst);
        self.seen[participant].store(now, Ordering::SeqCst);
        Instant::from_nanos(now.saturating_add_signed(offset))
    }

    /// Takes a step if everybody has seen the last, and lets others run.
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

fn hammer(table: &Table, plan: &Plan, time: &Time, thread: usize, attempts: u64) -> Vec<Event> {
    let mut random = fastrand::Rng::with_seed(thread as u64);
    let offset = SKEW * (thread as i64 % 3 - 1);
    let mut log = Vec::new();
    let mut granted: Vec<(usize, u64)> = Vec::new();
    for attempt in 0..attempts {
        if attempt % 256 == 0 {
            time.step();
        }
        let now = time.read(thread, offset);
        let at = now.as_nanos();
        // A tenth of the keys at a time, 5 ms each, so that the others are paid and forgotten.
        let key = (at / 5_000_000 % 10 * 10) as usize + random.usize(0..10);
        if random.u8(0..16) == 0 {
            if let Some((key, cells)) = granted.pop() {
                table.refund(&key, plan, cells, now);
                log.push(Event { key, at, cells, refund: true });
            }
            continue;
        }
        let cells = random.u64(1..=4);
        let decision = table.check_n(&key, plan, cells, now);
        if decision.is_admitted() {
            assert!(!decision.is_unplaced());
            log.push(Event { key, at, cells, refund: false });
            if granted.len() < 4 && random.bool() {
                granted.push((key, cells));
            }
        }
    }
    time.leave(thread);
    log
}

/// The windows of one key that admit too much, and how many events there were.
///
/// A refund counts if it lies in the window by the clock of any thread.
fn violations(mut events: Vec<Event>) -> usize {
    events.sort_by_key(|event| event.at);
    let slack = 2 * SKEW + STEP as i64;
    // Each in units of 1/10^9 cell, so that nothing is rounded.
    let scale = |cells: u64| i128::from(cells) * 1_000_000_000;
    let refunded_before = |refunds: &[(i64, i128)], time: i64| {
        let upto = refunds.partition_point(|&(at, _)| at < time);
        if upto == 0 { 0 } else { refunds[upto - 1].1 }
    };
    let mut refunds: Vec<(i64, i128)> = Vec::new();
    for event in events.iter().filter(|event| event.refund) {
        let total = refunds.last().map_or(0, |&(_, total)| total) + scale(event.cells);
        refunds.push((event.at as i64, total));
    }
    let mut admitted = 0;
    let mut lowest = i128::MAX;
    let mut violations = 0;
    let mut charges = events.iter().filter(|event| !event.refund).peekable();
    while let Some(event) = charges.next() {
        let at = event.at as i64;
        let drained = i128::from(event.at) * i128::from(RATE);
        // A window that begins here.
        lowest = lowest.min(admitted - refunded_before(&refunds, at - slack) - drained);
        admitted += scale(event.cells);
        while let Some(same) = charges.next_if(|next| next.at == event.at) {
            admitted += scale(same.cells);
        }
        // The worst window that ends here.
        let end = admitted - refunded_before(&refunds, at + slack + 1) - drained;
        if end - lowest > scale(BURST) {
            violations += 1;
        }
    }
    violations
}

fn run(attempts: u64) {
    let quota = Quota::per_second(RATE).and_then(|quota| quota.burst(BURST)).expect("a quota");
    let table = BucketTable::boxed(quota, KEYS, SeededState::new(5)).expect("a unit");
    let table = Arc::new(table.grace(Duration::from_millis(3)));
    let plan = table.plan(quota).expect("a plan");
    assert!(plan.is_exact());
    let time = Time::new();
    let (done, removed) = (AtomicBool::new(false), AtomicU64::new(0));
    let mut logs = Vec::new();
    std::thread::scope(|scope| {
        for sweeper in 0..SWEEPERS {
            let mut sweep = TableSweep::new(Arc::clone(&table));
            let (time, done, removed) = (&time, &done, &removed);
            scope.spawn(move || {
                let offset = SKEW * (1 - sweeper as i64);
                // Relaxed, both: a flag and a count.
                while !done.load(Ordering::Relaxed) {
                    let now = time.read(THREADS + sweeper, offset);
                    let step = sweep.sweep(now, Budget::entries(7));
                    removed.fetch_add(step.removed as u64, Ordering::Relaxed);
                    time.step();
                }
            });
        }
        let threads: Vec<_> = (0..THREADS)
            .map(|thread| {
                let (table, time) = (&table, &time);
                let attempts = attempts / THREADS as u64;
                scope.spawn(move || hammer(table, &plan, time, thread, attempts))
            })
            .collect();
        for thread in threads {
            logs.extend(thread.join().expect("no panic"));
        }
        done.store(true, Ordering::Relaxed);
    });
    let mut by_key = vec![Vec::new(); KEYS];
    for event in &logs {
        by_key[event.key].push(*event);
    }
    let violations: usize = by_key.into_iter().map(violations).sum();
    let removed = removed.into_inner() + table.counters().reclaimed;
    println!("{attempts} attempts, {} events, {removed} buckets forgotten", logs.len());
    assert_eq!(violations, 0);
    assert!(logs.len() > 1_000, "the test charged next to nothing");
    assert!(removed > 10, "no bucket was ever forgotten: the test is blind to reclaiming");
}

#[test]
fn no_window_exceeds_its_bound_in_10_million_attempts() {
    run(10_000_000);
}

#[test]
#[ignore = "minutes: cargo test --release -p tidegate-core --test races -- --ignored --nocapture"]
fn no_window_exceeds_its_bound_in_a_billion_attempts() {
    run(1_000_000_000);
}

#[test]
fn the_check_of_windows_notices_one_cell_too_many() {
    let charge = |at, cells| Event { key: 0, at, cells, refund: false };
    let refund = |at, cells| Event { key: 0, at, cells, refund: true };
    let cell = 1_000_000_000 / RATE;
    assert_eq!(violations(vec![charge(5, BURST), charge(5 + cell, 1)]), 0);
    assert_eq!(violations(vec![charge(5, BURST), charge(4 + cell, 1)]), 1);
    assert_eq!(violations(vec![charge(5, BURST), refund(5, 1), charge(5, 1)]), 0);
    let late = 6 + 2 * SKEW as u64 + STEP + 1;
    assert_eq!(violations(vec![charge(5, BURST), charge(6, 1), refund(late, 1)]), 1);
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
