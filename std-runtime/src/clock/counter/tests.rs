//! The counter over a machine that is played: it is suspended, moved, set back and stopped.

use std::cell::Cell;

use super::anchor::{Anchor, LASTS};
use super::machine::{Machine, is_dear};
use super::shared::Shared;
use crate::clock::source::{Clocksource, Refusal, TimeSource};

const MILLI: u64 = 1_000_000;
const SECOND: u64 = 1_000 * MILLI;

/// A counter and a kernel's clock. Reading either takes time.
struct Played {
    counter: Cell<u64>,
    kernel: Cell<u64>,
    /// Ticks a microsecond.
    speed: Cell<u64>,
    /// By how many parts in a million the kernel's clock is fast.
    slewed: Cell<i64>,
    /// What a read of the counter takes, in nanoseconds.
    cost: Cell<u64>,
    /// How often the counter was read.
    reads: Cell<u64>,
    refusal: Cell<Option<Refusal>>,
    looks: Cell<u64>,
}

impl Played {
    fn new() -> Self {
        Self {
            counter: Cell::new(7_000_000_000),
            kernel: Cell::new(90 * SECOND),
            speed: Cell::new(2_300),
            slewed: Cell::new(0),
            cost: Cell::new(10),
            reads: Cell::new(0),
            refusal: Cell::new(None),
            looks: Cell::new(0),
        }
    }

    /// Lets time pass.
    fn pass(&self, nanos: u64) {
        self.count(nanos);
        let slewed = i128::from(nanos) * i128::from(1_000_000 + self.slewed.get()) / 1_000_000;
        self.kernel.set(self.kernel.get() + slewed as u64);
    }

    /// Lets the counter alone go on.
    fn count(&self, nanos: u64) {
        let ticks = u128::from(nanos) * u128::from(self.speed.get()) / 1_000;
        self.counter.set(self.counter.get().wrapping_add(ticks as u64));
    }

    fn jump(&self, ticks: i64) {
        self.counter.set(self.counter.get().wrapping_add_signed(ticks));
    }
}

impl Machine for Played {
    const IS_STRICT: bool = true;

    fn tick(&self) -> u64 {
        self.reads.set(self.reads.get() + 1);
        self.pass(self.cost.get());
        self.counter.get()
    }

    fn ordered_tick(&self) -> u64 {
        self.tick()
    }

    fn kernel(&self) -> Option<u64> {
        self.pass(15);
        let nanos = self.kernel.get();
        self.pass(15);
        Some(nanos)
    }

    fn look(&self) -> Result<(), Refusal> {
        self.looks.set(self.looks.get() + 1);
        self.refusal.get().map_or(Ok(()), Err)
    }

    fn examine(&self) -> Result<(), Refusal> {
        if is_dear(self) == Some(true) { Err(Refusal::Dear) } else { Ok(()) }
    }
}

/// A thread that reads the clock of a machine.
struct Thread<'a> {
    machine: &'a Played,
    shared: &'a Shared,
    anchor: Anchor,
    last: Cell<u64>,
}

impl<'a> Thread<'a> {
    fn new(machine: &'a Played, shared: &'a Shared) -> Self {
        Self { machine, shared, anchor: Anchor::new(), last: Cell::new(0) }
    }

    /// Reads the clock, which must not have gone back.
    #[track_caller]
    fn now(&self) -> u64 {
        let now = self.anchor.now(self.machine, self.shared).expect("the kernel refuses nothing");
        let last = self.last.replace(now);
        assert!(now >= last, "the clock went back by {} ns", last - now);
        now
    }

    /// Reads the clock, and returns by how much it is ahead of the kernel's.
    #[track_caller]
    fn ahead(&self) -> i64 {
        let now = self.now();
        now as i64 - self.machine.kernel.get() as i64
    }

    /// Reads the clock every so often for so long.
    #[track_caller]
    fn reads(&self, every: u64, nanos: u64) {
        for _ in 0..nanos / every {
            self.machine.pass(every);
            self.now();
        }
    }

    /// As [`reads`](Self::reads), with every reading close to the kernel's.
    #[track_caller]
    fn reads_well(&self, every: u64, nanos: u64) {
        for _ in 0..nanos / every {
            self.machine.pass(every);
            let ahead = self.ahead();
            assert!(ahead.unsigned_abs() < MILLI, "{ahead} ns ahead");
        }
    }

    /// Reads the clock until the counter is used.
    #[track_caller]
    fn calibrates(&self) {
        self.reads(MILLI, 110 * MILLI);
        assert_eq!(self.shared.source(), TimeSource::Counter);
    }
}

/// Runs `play` with a machine whose counter is in use.
fn calibrated(play: impl Fn(&Played, &Thread<'_>)) {
    let (machine, shared) = (Played::new(), Shared::new());
    let thread = Thread::new(&machine, &shared);
    thread.calibrates();
    play(&machine, &thread);
}

#[test]
fn the_kernel_is_read_until_two_intervals_agree() {
    let (machine, shared) = (Played::new(), Shared::new());
    let thread = Thread::new(&machine, &shared);
    thread.now();
    assert_eq!(shared.source(), TimeSource::Kernel(Refusal::Uncalibrated));
    let reads = machine.reads.get();
    thread.reads(MILLI, 45 * MILLI);
    assert_eq!(machine.reads.get(), reads, "the counter was read");
    // The machine is suspended in the first interval: the counter goes on, the kernel does not.
    machine.count(20 * MILLI);
    thread.reads(MILLI, 60 * MILLI);
    assert_eq!(shared.source(), TimeSource::Kernel(Refusal::Uncalibrated));
    thread.reads(MILLI, 120 * MILLI);
    assert_eq!(shared.source(), TimeSource::Counter);
    let reads = machine.reads.get();
    thread.reads_well(1_000, MILLI);
    assert_eq!(machine.reads.get() - reads, 1_000, "one read of the counter each");
}

#[test]
fn readings_stay_within_a_millisecond_of_a_kernel_that_is_slewed() {
    for slewed in [0, 500, -500, 83_000, -83_000] {
        calibrated(|machine, thread| {
            machine.slewed.set(slewed);
            thread.reads_well(7_001, 2 * SECOND);
            machine.slewed.set(0);
            thread.reads_well(7_001, 2 * SECOND);
            // Now and then only, as most threads do.
            machine.slewed.set(slewed);
            thread.reads_well(30 * MILLI, 30 * SECOND);
        });
    }
}

#[test]
fn a_rate_is_followed_to_within_a_microsecond() {
    calibrated(|machine, thread| {
        machine.slewed.set(500);
        thread.reads(MILLI, 3 * SECOND);
        for _ in 0..100_000 {
            machine.pass(501);
            let ahead = thread.ahead();
            assert!(ahead.unsigned_abs() < 1_000, "{ahead} ns ahead");
        }
    });
}

#[test]
fn a_counter_that_goes_on_during_a_suspend_takes_no_reading_ahead() {
    for suspended in [5 * MILLI, 300 * MILLI, SECOND, 3_600 * SECOND] {
        calibrated(|machine, thread| {
            thread.reads(1_000, 10 * MILLI);
            machine.count(suspended);
            thread.reads_well(1_000, 10 * MILLI);
            thread.reads_well(MILLI, 3 * SECOND);
            assert_eq!(thread.shared.source(), TimeSource::Counter);
        });
    }
}

#[test]
fn a_suspend_shorter_than_an_anchor_takes_a_reading_ahead_by_its_length_at_most() {
    calibrated(|machine, thread| {
        thread.reads(1_000, 10 * MILLI);
        machine.count(2 * MILLI);
        for _ in 0..10_000 {
            machine.pass(1_000);
            let ahead = thread.ahead();
            assert!(ahead < 2 * MILLI as i64 + 1_000, "{ahead} ns ahead");
        }
        thread.reads_well(1_000, 100 * MILLI);
    });
}

/// The clock that goes on while the machine is suspended, over a counter that stood still and goes on
/// from where it was: nothing gives the suspend away until the anchor ends.
#[test]
fn a_suspend_is_seen_within_the_life_of_an_anchor_though_the_counter_stood_still() {
    calibrated(|machine, thread| {
        thread.reads(1_000, 10 * MILLI);
        machine.kernel.set(machine.kernel.get() + 1_000 * SECOND);
        machine.pass(LASTS + 1_000);
        thread.reads_well(1_000, 10 * MILLI);
        // Within the anchor readings are behind.
        machine.kernel.set(machine.kernel.get() + 1_000 * SECOND);
        thread.reads(1_000, LASTS + 10_000);
        thread.reads_well(1_000, 10 * MILLI);
    });
}

#[test]
fn a_counter_that_begins_anew_is_seen_at_once() {
    for counter in [0, 1, 6_000_000_000] {
        calibrated(|machine, thread| {
            thread.reads(1_000, 10 * MILLI);
            machine.counter.set(counter);
            machine.kernel.set(machine.kernel.get() + 40 * SECOND);
            thread.reads_well(1_000, 10 * MILLI);
            thread.reads_well(MILLI, 3 * SECOND);
        });
    }
}

#[test]
fn a_counter_that_jumps_moves_no_reading_by_more_than_the_life_of_an_anchor() {
    for jump in [1, 1_000, 2_300_000, 9_000_000, 9_300_000, 1 << 40, i64::MAX] {
        for jump in [jump, -jump] {
            calibrated(|machine, thread| {
                thread.reads(1_000, 10 * MILLI);
                machine.jump(jump);
                for _ in 0..10_000 {
                    machine.pass(1_000);
                    let ahead = thread.ahead();
                    assert!(ahead.unsigned_abs() <= LASTS, "{ahead} ns ahead after {jump} ticks");
                }
                thread.reads(MILLI, 200 * MILLI);
                thread.reads_well(1_000, 10 * MILLI);
            });
        }
    }
}

#[test]
fn a_thread_that_moves_between_counters_that_differ_never_goes_back() {
    calibrated(|machine, thread| {
        for turn in 0..10_000_i64 {
            machine.jump(if turn % 2 == 0 { 5_000 } else { -5_000 });
            machine.pass(700);
            let ahead = thread.ahead();
            assert!(ahead.unsigned_abs() < 5_000, "{ahead} ns ahead");
        }
    });
}

#[test]
fn a_counter_that_stops_is_not_believed() {
    calibrated(|machine, thread| {
        machine.speed.set(0);
        thread.now();
        thread.reads_well(1_000, 10 * MILLI);
        thread.reads_well(MILLI, 3 * SECOND);
        assert_eq!(thread.shared.source(), TimeSource::Kernel(Refusal::Uncalibrated));
        machine.speed.set(2_300);
        thread.reads_well(MILLI, 3 * SECOND);
        assert_eq!(thread.shared.source(), TimeSource::Counter);
    });
}

#[test]
fn a_counter_that_wraps_goes_on() {
    for before in [0, 1_000, 5 * MILLI, 60 * MILLI, 150 * MILLI] {
        let (machine, shared) = (Played::new(), Shared::new());
        machine.counter.set(u64::MAX - before * 23 / 10);
        let thread = Thread::new(&machine, &shared);
        thread.reads_well(1_000, 300 * MILLI);
        assert_eq!(shared.source(), TimeSource::Counter);
    }
}

/// A virtual machine goes on elsewhere: at another speed, and perhaps with a counter that has begun anew.
#[test]
fn a_machine_that_is_moved_finds_the_rate_anew() {
    for (speed, counter) in [(3_400, None), (1_900, None), (3_400, Some(1)), (25, Some(9))] {
        calibrated(|machine, thread| {
            thread.reads(1_000, 10 * MILLI);
            machine.speed.set(speed);
            counter.into_iter().for_each(|counter| machine.counter.set(counter));
            for _ in 0..20_000 {
                machine.pass(1_000);
                let ahead = thread.ahead();
                assert!(ahead <= LASTS as i64, "{ahead} ns ahead at {speed} MHz");
            }
            thread.reads(MILLI, 2 * SECOND);
            assert_eq!(thread.shared.source(), TimeSource::Counter);
            thread.reads_well(1_000, 10 * MILLI);
        });
    }
}

/// A virtual machine goes on from what was saved. The kernel's clock does not notice, or is set forward.
#[test]
fn a_machine_that_is_restored_reads_the_kernel_before_the_counter() {
    for missed in [0, 3_600 * SECOND] {
        for counter in [3, 1 << 60] {
            calibrated(|machine, thread| {
                thread.reads(1_000, 10 * MILLI);
                machine.counter.set(counter);
                machine.kernel.set(machine.kernel.get() + missed);
                thread.reads_well(1_000, 10 * MILLI);
                thread.reads(MILLI, 2 * SECOND);
                assert_eq!(thread.shared.source(), TimeSource::Counter);
                thread.reads_well(1_000, 10 * MILLI);
            });
        }
    }
}

#[test]
fn a_clocksource_that_the_kernel_gives_up_is_noticed_within_two_looks() {
    let (machine, shared) = (Played::new(), Shared::new());
    let (thread, other) = (Thread::new(&machine, &shared), Thread::new(&machine, &shared));
    thread.calibrates();
    other.reads(1_000, 10 * MILLI);
    let hpet = Refusal::Clocksource(Clocksource::new(b"hpet\n"));
    machine.refusal.set(Some(hpet));
    thread.reads(MILLI, SECOND);
    assert_eq!(shared.source(), TimeSource::Kernel(hpet));
    // No thread reads the counter from the end of its anchor on.
    let looks = machine.looks.get();
    other.reads_well(1_000, 10 * MILLI);
    let reads = machine.reads.get();
    thread.reads_well(MILLI, 30 * SECOND);
    other.reads_well(MILLI, 10 * SECOND);
    assert_eq!((machine.reads.get(), machine.looks.get()), (reads, looks));
    // A refusal is looked into again.
    machine.refusal.set(None);
    thread.reads(MILLI, 60 * SECOND);
    assert_eq!(shared.source(), TimeSource::Counter);
}

#[test]
fn a_counter_that_is_refused_is_never_read() {
    let (machine, shared) = (Played::new(), Shared::new());
    machine.refusal.set(Some(Refusal::Forbidden));
    let thread = Thread::new(&machine, &shared);
    thread.reads_well(100_000, SECOND);
    assert_eq!((machine.reads.get(), machine.looks.get()), (0, 1));
    assert_eq!(shared.source(), TimeSource::Kernel(Refusal::Forbidden));
}

#[test]
fn a_counter_that_costs_more_than_the_kernel_is_refused() {
    for (cost, is_dear) in [(10, false), (29, false), (31, true), (2_000, true)] {
        let (machine, shared) = (Played::new(), Shared::new());
        machine.cost.set(cost);
        let thread = Thread::new(&machine, &shared);
        thread.reads(100_000, SECOND / 2);
        let refused = shared.source() == TimeSource::Kernel(Refusal::Dear);
        assert_eq!(refused, is_dear, "{cost} ns a read");
    }
}

#[test]
fn threads_that_read_at_one_moment_differ_by_little() {
    let (machine, shared) = (Played::new(), Shared::new());
    let threads = [(); 3].map(|()| Thread::new(&machine, &shared));
    threads[0].calibrates();
    machine.slewed.set(-500);
    for turn in 0..400_000_u64 {
        machine.pass(turn * turn % 20_011);
        let times = threads.each_ref().map(|thread| thread.ahead());
        let skew = times.iter().max().unwrap() - times.iter().min().unwrap();
        assert!(skew < 10_000, "{skew} ns apart");
    }
}

/// Whatever the counter does, no reading is ahead of the kernel by more than an anchor lasts, none goes
/// back, and all is well again soon.
#[test]
fn no_counter_takes_a_reading_ahead_by_more_than_an_anchor_lasts() {
    let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = |below: u64| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        ((u128::from(seed) * u128::from(below)) >> 64) as u64
    };
    for _ in 0..300 {
        let (machine, shared) = (Played::new(), Shared::new());
        let threads = [Thread::new(&machine, &shared), Thread::new(&machine, &shared)];
        threads[0].calibrates();
        for _ in 0..100 {
            let size = 1 << random(40);
            match random(8) {
                0 => machine.jump(random(size) as i64),
                1 => machine.jump(-(random(size) as i64)),
                2 => machine.counter.set(random(u64::MAX)),
                3 => machine.speed.set(random(5_000)),
                4 => machine.kernel.set(machine.kernel.get() + random(size)),
                5 => machine.slewed.set(random(100_000) as i64 - 50_000),
                6 => machine.count(random(size)),
                _ => machine.pass(random(size)),
            }
            for _ in 0..random(200) {
                machine.pass(random(size.min(MILLI)));
                let thread = &threads[random(2) as usize];
                let ahead = thread.ahead();
                assert!(ahead <= LASTS as i64, "{ahead} ns ahead");
            }
        }
        machine.speed.set(2_300);
        machine.slewed.set(0);
        threads.iter().for_each(|thread| thread.reads(MILLI, 2 * SECOND));
        threads.iter().for_each(|thread| thread.reads_well(1_000, 10 * MILLI));
        assert_eq!(shared.source(), TimeSource::Counter);
    }
}
