//! The limiter with the clock that it has by default, beside governor with its own; and what a read of
//! the counter's clock costs.

use std::hint::black_box;

use tidegate::{Clock, CounterClock, Instant, RateLimiter};

use super::{Answer, Arena, Effort, START, plan};
use crate::measure::{Contestant, Row, race, rows};
use crate::workload::Spread;

/// Reads of the clock in a turn.
const READS: usize = 1 << 22;

/// A read of the counter's clock beside a read of the counter itself.
pub(super) fn read(effort: Effort, row: &mut impl FnMut(Row)) {
    let clock = CounterClock::new();
    ready(clock);
    let ours = |_: usize, _: usize, operations: usize| {
        for _ in 0..operations {
            black_box(clock.now());
        }
    };
    let bare = |_: usize, _: usize, operations: usize| {
        for _ in 0..operations {
            black_box(counter());
        }
    };
    let times = race(&[&ours, &bare], 1, effort.turns, READS);
    rows("bucket", &format!("clock read, {}", clock.source()), 1, 1, &["bare counter"], &times)
        .for_each(row);
}

/// Checks at a random key, with clocks of either side's own choice.
pub(super) fn checks(effort: Effort, size: usize, row: &mut impl FnMut(Row)) {
    let plan = plan(Answer::Admit);
    let arena = Arena::new(size, Spread::Uniform, Answer::Admit, &plan);
    let limiter = RateLimiter::new(Answer::Admit.quota(), size).expect("a representable quota");
    for key in &arena.sequence {
        _ = black_box(limiter.check(key));
    }
    let ours = |thread: usize, from: usize, operations: usize| {
        let mut admitted = 0;
        for key in Arena::chunks(&arena.sequence, thread, from, operations).flatten() {
            admitted += u32::from(limiter.check(key).is_admitted());
        }
        black_box(admitted);
    };
    let clock = CounterClock::new();
    ready(clock);
    let by_counter = arena.singles(|_| clock.now());
    let supplied = arena.singles(|at| Instant::from_nanos(START + at as u64));
    let governor = arena.governor();
    let operations = if size > 100_000 { 1 << 20 } else { 1 << 22 };
    for threads in [1, 2] {
        let mut compare = |case: &str, contestants: [Contestant<'_>; 2], rival| {
            let times = race(&contestants, threads, effort.turns, operations);
            rows("bucket", case, size, threads, &[rival], &times).for_each(&mut *row);
        };
        compare("default uniform admit", [&ours, &governor], "governor");
        compare("single uniform admit counter", [&by_counter, &supplied], "supplied");
    }
}

/// Reads the clock until its counter is calibrated, or refused.
fn ready(clock: CounterClock) {
    let end = clock.now() + std::time::Duration::from_millis(200);
    while clock.now() < end {}
}

/// The processor's counter.
#[cfg(target_arch = "x86_64")]
fn counter() -> u64 {
    // SAFETY: every x86-64 processor has the counter, and only `PR_SET_TSC` forbids it.
    unsafe { std::arch::x86_64::_rdtsc() }
}

/// The processor's counter.
#[cfg(target_arch = "aarch64")]
fn counter() -> u64 {
    let tick;
    // SAFETY: Linux lets every process read the counter.
    unsafe {
        std::arch::asm!("mrs {}, cntvct_el0", out(reg) tick, options(nomem, nostack));
    }
    tick
}

/// There is no counter that the clock would read.
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
fn counter() -> u64 {
    0
}
