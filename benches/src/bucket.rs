//! `BucketTable` beside governor, and beside the floor.
//!
//! The floor is what no table can beat: one relaxed `fetch_add` on a random line of 64 bytes, in
//! memory of the same size. For bursts it is done after prefetching 32 lines.

mod all;
mod clock;
mod reserve;

use std::hint::black_box;
use std::ops::Deref;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use governor::{DefaultKeyedRateLimiter, RateLimiter};
use tidegate::lockfree::bucket::{Set, Unit};
use tidegate::lockfree::{BucketTable, LocalBucketTable, LocalSweep};
use tidegate::memory::HugePages;
use tidegate::{
    BootClock, Budget, CachedClock, Clock, CoarseClock, Decision, Instant, MonotonicClock, Plan,
    Quota, SeededState, Sweep,
};

use crate::measure::{Contestant, Counting, Row, medians, race, thread_time};
use crate::workload::{Spread, keys, sequence};

/// How much of it to run.
#[derive(Clone, Copy, Debug)]
pub struct Effort {
    /// Counted turns of each contestant.
    pub turns: usize,
    /// The largest number of keys.
    pub keys: usize,
}

const SIZES: [usize; 4] = [1_000, 100_000, 1_000_000, 8_000_000];
const BURST: usize = 32;
/// When the supplied time starts, in nanoseconds.
const START: u64 = 1_000_000_000;

type Table = BucketTable<Box<[Set]>>;

/// Runs everything, and hands each row over as it comes.
pub fn run(effort: Effort, mut row: impl FnMut(Row)) {
    clock::read(effort, &mut row);
    for size in SIZES.into_iter().filter(|&size| size <= effort.keys) {
        clock::checks(effort, size, &mut row);
        memory(size, &mut row);
        for spread in [Spread::Uniform, Spread::Zipf] {
            checks(effort, size, spread, Answer::Admit, &mut row);
        }
        checks(effort, size, Spread::Uniform, Answer::Deny, &mut row);
        sweeps(effort, size, &mut row);
        all::calls(effort, size, &mut row);
        reserve::calls(effort, size, &mut row);
    }
}

/// Which answer every check gets.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Answer {
    Admit,
    Deny,
}

impl Answer {
    fn word(self) -> &'static str {
        match self {
            Self::Admit => "admit",
            Self::Deny => "deny",
        }
    }

    fn quota(self) -> Quota {
        let quota = match self {
            Self::Admit => Quota::per_second(1_000_000_000),
            Self::Deny => Quota::per_hour(1),
        };
        quota.expect("a representable quota")
    }

    fn governor(self) -> governor::Quota {
        let cells = |n| std::num::NonZeroU32::new(n).expect("not 0");
        match self {
            Self::Admit => governor::Quota::per_second(cells(1_000_000_000)),
            Self::Deny => governor::Quota::per_hour(cells(1)),
        }
    }
}

/// A line of memory of its own.
#[repr(align(64))]
struct Line(AtomicU64);

/// A key, with what a burst wants beside it.
type Request<'a> = (u64, &'a Plan, u64);

/// Everything that takes turns, filled with the same keys.
struct Arena<'a> {
    table: Table,
    plan: &'a Plan,
    governor: DefaultKeyedRateLimiter<u64>,
    floor: Box<[Line]>,
    /// The keys in the order in which they come.
    sequence: Vec<u64>,
    /// The same, as bursts want them.
    requests: Vec<Request<'a>>,
    now: Instant,
}

impl<'a> Arena<'a> {
    fn new(size: usize, spread: Spread, answer: Answer, plan: &'a Plan) -> Self {
        let keys = keys(size);
        let table =
            BucketTable::boxed(answer.quota(), size, SeededState::new(0x5eed)).expect("a unit");
        let governor = RateLimiter::keyed(answer.governor());
        let now = Instant::from_nanos(START);
        for key in &keys {
            // Twice, so that where the quota is one an hour every further check is denied.
            for _ in 0..2 {
                _ = black_box(table.check(key, plan, now));
                black_box(governor.check_key(key).is_ok());
            }
        }
        let lines = Set::for_keys(size) * size_of::<Set>() / size_of::<Line>();
        let floor = (0..lines).map(|_| Line(AtomicU64::new(0))).collect();
        let sequence = sequence(&keys, spread);
        let requests = sequence.iter().map(|&key| (key, plan, 1)).collect();
        Self { table, plan, governor, floor, sequence, requests, now }
    }

    /// One turn's part of a sequence, in chunks: from a place that depends on the thread.
    fn chunks<'s, T>(
        sequence: &'s [T],
        thread: usize,
        from: usize,
        operations: usize,
    ) -> impl Iterator<Item = &'s [T]> + use<'s, T> {
        let mask = sequence.len() - 1;
        let start = from + thread * sequence.len() / 2;
        (0..operations / BURST).map(move |chunk| {
            let at = (start + chunk * BURST) & mask & !(BURST - 1);
            &sequence[at..at + BURST]
        })
    }

    fn line(&self, key: u64) -> &Line {
        &self.floor[((u128::from(key) * self.floor.len() as u128) >> 64) as usize]
    }

    /// Single checks of `table`, at the time that `clock` tells before each.
    fn singles_of<'s, M: Deref<Target = [Set]> + Sync>(
        &'s self,
        table: &'s BucketTable<M>,
        clock: impl Fn(usize) -> Instant + Sync + 's,
    ) -> impl Fn(usize, usize, usize) + Sync + 's {
        move |thread, from, operations| {
            let mut admitted = 0;
            for (chunk, keys) in Self::chunks(&self.sequence, thread, from, operations).enumerate()
            {
                for key in keys {
                    let now = clock(from + chunk);
                    admitted += u32::from(table.check(key, self.plan, now).is_admitted());
                }
            }
            black_box(admitted);
        }
    }

    fn singles<'s>(
        &'s self,
        clock: impl Fn(usize) -> Instant + Sync + 's,
    ) -> impl Fn(usize, usize, usize) + Sync + 's {
        self.singles_of(&self.table, clock)
    }

    /// The arena's keys in a table in huge pages.
    fn huge(&self, size: usize, answer: Answer) -> BucketTable<HugePages<Set>> {
        let sets = HugePages::new(Set::for_keys(size), Set::new).expect("memory");
        let unit = Unit::for_quota(answer.quota()).expect("a unit");
        let table = BucketTable::over(sets, unit, SeededState::new(0x5eed));
        for key in keys(size) {
            _ = black_box(table.check(&key, self.plan, self.now));
        }
        table
    }

    /// Single checks of keys that are known, and prefetched, up to eight requests before.
    fn placed(&self) -> impl Fn(usize, usize, usize) + Sync {
        |thread, from, operations| {
            let mut admitted = 0;
            for (chunk, keys) in Self::chunks(&self.sequence, thread, from, operations).enumerate()
            {
                let now = Instant::from_nanos(START + (from + chunk) as u64);
                for keys in keys.as_chunks::<8>().0 {
                    for place in keys.map(|key| self.table.prefetch(&key)) {
                        admitted +=
                            u32::from(self.table.check_at(place, self.plan, now).is_admitted());
                    }
                }
            }
            black_box(admitted);
        }
    }

    fn bursts(&self) -> impl Fn(usize, usize, usize) + Sync {
        |thread, from, operations| {
            let mut decisions = [Decision::CLOSED; BURST];
            for (chunk, requests) in
                Self::chunks(&self.requests, thread, from, operations).enumerate()
            {
                let now = Instant::from_nanos(START + (from + chunk) as u64);
                self.table.check_burst(requests, now, &mut decisions);
                black_box(&decisions);
            }
        }
    }

    fn governor(&self) -> impl Fn(usize, usize, usize) + Sync {
        |thread, from, operations| {
            let mut admitted = 0;
            for key in Self::chunks(&self.sequence, thread, from, operations).flatten() {
                admitted += u32::from(self.governor.check_key(key).is_ok());
            }
            black_box(admitted);
        }
    }

    fn floor(&self) -> impl Fn(usize, usize, usize) + Sync {
        |thread, from, operations| {
            for key in Self::chunks(&self.sequence, thread, from, operations).flatten() {
                self.line(*key).0.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    fn floor_of_bursts(&self) -> impl Fn(usize, usize, usize) + Sync {
        |thread, from, operations| {
            for keys in Self::chunks(&self.sequence, thread, from, operations) {
                for key in keys {
                    prefetch(self.line(*key));
                }
                for key in keys {
                    self.line(*key).0.fetch_add(1, Ordering::Relaxed);
                }
            }
        }
    }
}

fn plan(answer: Answer) -> Plan {
    let quota = answer.quota();
    Unit::for_quota(quota).and_then(|unit| unit.plan(quota)).expect("a representable quota")
}

fn prefetch(line: &Line) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a prefetch is a hint and reads nothing that the program can observe.
    unsafe {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        _mm_prefetch::<_MM_HINT_T0>(std::ptr::from_ref(line).cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = line;
}

fn checks(effort: Effort, size: usize, spread: Spread, answer: Answer, row: &mut impl FnMut(Row)) {
    let plan = plan(answer);
    let arena = Arena::new(size, spread, answer, &plan);
    // Long enough that what the turn before has pushed out of the caches is soon back.
    let operations = if size > 100_000 { 1 << 20 } else { 1 << 22 };
    let supplied = arena.singles(|at| Instant::from_nanos(START + at as u64));
    let placed = arena.placed();
    let bursts = arena.bursts();
    let governor = arena.governor();
    let floor = arena.floor();
    let floor_of_bursts = arena.floor_of_bursts();
    let words = format!("{} {}", spread.word(), answer.word());
    for threads in [1, 2] {
        let mut compare = |case: String, ours: Contestant<'_>, floor: Contestant<'_>| {
            let times = race(&[ours, &governor, floor], threads, effort.turns, operations);
            for (rival, (rival_ns, ratio)) in ["governor", "floor"].into_iter().zip(&times[1..]) {
                row(Row {
                    bench: "bucket",
                    case: case.clone(),
                    keys: size,
                    threads,
                    ours_ns: times[0].0,
                    rival,
                    rival_ns: *rival_ns,
                    ratio: *ratio,
                    unit: None,
                });
            }
        };
        compare(format!("single {words} supplied"), &supplied, &floor);
        compare(format!("prefetched {words} supplied"), &placed, &floor);
        compare(format!("burst {words} supplied"), &bursts, &floor_of_bursts);
        if spread == Spread::Uniform && answer == Answer::Admit {
            let huge = arena.huge(size, answer);
            let huge = arena.singles_of(&huge, |at| Instant::from_nanos(START + at as u64));
            compare(format!("single {words} supplied huge pages"), &huge, &floor);
            let monotonic = MonotonicClock::new();
            let coarse = CoarseClock::new();
            let boot = BootClock::new();
            let (cached, _refreshing) =
                CachedClock::start(Duration::from_millis(1)).expect("a thread");
            compare(
                format!("single {words} monotonic"),
                &arena.singles(|_| monotonic.now()),
                &floor,
            );
            compare(format!("single {words} coarse"), &arena.singles(|_| coarse.now()), &floor);
            compare(format!("single {words} boot"), &arena.singles(|_| boot.now()), &floor);
            compare(format!("single {words} cached"), &arena.singles(|_| cached.now()), &floor);
        }
    }
}

/// Bytes a key, and how many in 1,000 keys find no slot.
fn memory(size: usize, row: &mut impl FnMut(Row)) {
    let keys = keys(size);
    let quota = Answer::Deny.quota();
    let before = Counting::requested();
    let table = BucketTable::boxed(quota, size, SeededState::new(0x5eed)).expect("a unit");
    let ours = Counting::requested() - before;
    let plan = table.plan(quota).expect("a plan");
    for key in &keys {
        _ = black_box(table.check(key, &plan, Instant::from_secs(1)));
    }
    let unplaced = table.counters().unplaced as f64 / size as f64 * 1_000.0;
    drop(table);

    let before = Counting::requested();
    let governor = RateLimiter::keyed(Answer::Deny.governor());
    for key in &keys {
        black_box(governor.check_key(key).is_ok());
    }
    let theirs = Counting::requested() - before;
    let (ours, theirs) = (ours as f64 / size as f64, theirs as f64 / size as f64);
    let figure = |case: &str, ours_ns, rival_ns, ratio, unit| Row {
        bench: "bucket",
        case: case.to_owned(),
        keys: size,
        threads: 1,
        ours_ns,
        rival: "governor",
        rival_ns,
        ratio,
        unit: Some(unit),
    };
    row(figure("memory", ours, theirs, theirs / ours, "bytes a key"));
    // governor grows instead; the limit of this row is 1 in 1,000.
    row(figure("unplaced", unplaced, 0.0, 1.0 / unplaced.max(1e-3), "keys in 1,000"));
}

/// A pass over a table in which nothing is stale, an entry, beside governor's and beside reading as
/// much memory in order.
fn sweeps(effort: Effort, size: usize, row: &mut impl FnMut(Row)) {
    let plan = plan(Answer::Deny);
    let arena = Arena::new(size, Spread::Uniform, Answer::Deny, &plan);
    let quota = Answer::Deny.quota();
    let mut local = LocalBucketTable::boxed(quota, size, SeededState::new(0x5eed)).expect("a unit");
    for key in keys(size) {
        _ = black_box(local.check(&key, &plan, arena.now));
    }
    let memory = vec![1_u64; Set::for_keys(size) * size_of::<Set>() / size_of::<u64>()];
    let step = Budget::entries(4_096);
    let (mut sweep, mut local_sweep) = (arena.table.sweeper(), LocalSweep::default());
    let mut shared = || while !sweep.sweep(arena.now, step).wrapped {};
    let mut local = || while !local_sweep.step(&mut local, arena.now, step).wrapped {};
    let mut stream = || {
        black_box(black_box(&memory).iter().fold(0, |sum: u64, word| sum.wrapping_add(*word)));
    };
    let mut governor = || arena.governor.retain_recent();
    // A pass over few keys is too short to be timed alone.
    let passes = (1 << 22_u32) / size + 1;
    let mut figures = [const { Vec::new() }; 4];
    // The first turn warms up and is not counted.
    for turn in 0..=effort.turns {
        let contestants: [&mut dyn FnMut(); 4] =
            [&mut shared, &mut local, &mut stream, &mut governor];
        for (contestant, figures) in contestants.into_iter().zip(&mut figures) {
            let start = thread_time();
            (0..passes).for_each(|_| contestant());
            if turn > 0 {
                figures.push((thread_time() - start) as f64 / (passes * size) as f64);
            }
        }
    }
    let [shared, local, stream, governor] = figures;
    for (case, rival, ours, theirs) in [
        ("sweep nothing stale", "stream", &shared, &stream),
        ("sweep nothing stale", "governor", &shared, &governor),
        ("sweep local nothing stale", "stream", &local, &stream),
    ] {
        let times = medians(&[ours.clone(), theirs.clone()]);
        row(Row {
            bench: "bucket",
            case: case.to_owned(),
            keys: size,
            threads: 1,
            ours_ns: times[0].0,
            rival,
            rival_ns: times[1].0,
            ratio: times[1].1,
            unit: Some("ns a key, whole pass"),
        });
    }
}
