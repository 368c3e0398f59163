//! A cache that would fill far more than the control group allows, kept within it: run it in a group with a
//! limit.
//!
//! Grows at a steady rate until the end, samples what the group uses all the while, and says whether it stayed
//! below the high watermark and what comes in between two checks, and settled between the marks. Then its source
//! of pressure hangs, panics, vanishes and says what cannot be, in turn; and comes back.
//!
//! `--own-group BYTES` makes a child group of version 1 below its own first, where that is permitted, and runs
//! itself in it. In a group of version 2 it needs none.

use std::path::PathBuf;
use std::process::{Command, ExitCode};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use clap::Parser;
use serde::Serialize;
use tidegate::lockfree::Cache;
use tidegate::pressure::{
    Cgroup, Check, Medium, Meminfo, Pool, Pressure, Priority, Reading, Root, Rules, Sample, Source,
    State, Watermarks, from_fn,
};
use tidegate::{Clock, Runtime, Stop, Tiers, clock, domain, pin, random_state};

const EXAMPLES: &str = "\
Examples:
  soak                            in a group of version 2 that has a limit
  soak --own-group 268435456      in a group of version 1 of 256 MiB that it makes, as root
  soak --seconds 10 --growth 200  quicker";

/// A cache that would fill more than the control group allows, kept within it.
///
/// Prints what it saw as JSON.
#[derive(Parser)]
#[command(after_help = EXAMPLES)]
struct Arguments {
    /// How long it grows.
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// How fast, in MiB/s.
    #[arg(long, default_value_t = 50)]
    growth: u64,
    /// What the cache is told to fill, in MiB.
    #[arg(long, default_value_t = 1_024)]
    fill: u64,
    /// How often the source is checked, in milliseconds.
    #[arg(long, default_value_t = 250)]
    tick: u64,
    /// The high watermark, in per cent of the limit: eviction begins there.
    #[arg(long, default_value_t = 85)]
    high: u32,
    /// The low watermark, in per cent of the limit: eviction ends there.
    #[arg(long, default_value_t = 75)]
    low: u32,
    /// Makes a child group of version 1 with this limit, in bytes, and runs itself in it.
    #[arg(long, value_name = "BYTES")]
    own_group: Option<u64>,
}

/// An entry's bytes: below what the allocator maps by itself.
const PAGE: usize = 64 << 10;
const MIB: u64 = 1 << 20;

type Pages = Cache<u64, Vec<u8>>;

#[derive(Serialize)]
struct Outcome {
    limit_mib: u64,
    inserted_mib: u64,
    most_used_mib: f64,
    allowed_mib: f64,
    samples: usize,
    settled_share: f64,
    between_the_marks: f64,
    least_settled_mib: f64,
    evictions: u64,
    evicted_mib: u64,
    faults: Vec<Fault>,
    is_well: bool,
}

#[derive(Serialize)]
struct Fault {
    fault: &'static str,
    state: String,
    checks: u64,
    evictions: u64,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if let Some(limit) = arguments.own_group {
        return in_own_group(limit);
    }
    let Reading::Known { total, .. } = Cgroup::new(Root::system()).sample().reading else {
        eprintln!("soak: {:?}", Cgroup::new(Root::system()).sample());
        return ExitCode::from(2);
    };
    let outcome = soak(&arguments, total);
    println!("{}", serde_json::to_string_pretty(&outcome).expect("numbers"));
    if outcome.is_well { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Inserts at the rate that is asked for, until it is told to stop or to pause.
fn grow(pages: &Pages, rate: u64, inserted: &AtomicU64, pauses: &AtomicBool, ends: &AtomicBool) {
    let (mut start, mut since) = (Instant::now(), 0_u64);
    let mut key = 0;
    while !ends.load(Ordering::Relaxed) {
        std::thread::sleep(Duration::from_millis(5));
        if pauses.load(Ordering::Relaxed) {
            (start, since) = (Instant::now(), 0);
            continue;
        }
        let due = (start.elapsed().as_millis() as u64).saturating_mul(rate * MIB) / 1_000;
        while since < due && !pauses.load(Ordering::Relaxed) {
            key += 1;
            // Touched: every page of it is there.
            let page = vec![key as u8; PAGE];
            _ = pages.insert(key, page, clock().now(), &pin());
            since += PAGE as u64;
            inserted.fetch_add(PAGE as u64, Ordering::Relaxed);
        }
    }
}

fn soak(arguments: &Arguments, total: u64) -> Outcome {
    let pages: Arc<Pages> = Arc::new(
        Cache::builder(domain(), random_state())
            .max_bytes(arguments.fill * MIB)
            .weigher(|_, page: &Vec<u8>| page.len() as u64)
            .build()
            .expect("memory"),
    );
    let pool = Pool::new();
    pool.cache("pages", Arc::clone(&pages), Tiers::ALL, Medium::Host, Priority(0), 0).expect("ok");
    let tick = Duration::from_millis(arguments.tick);
    let marks = Watermarks::percent(arguments.high, arguments.low).expect("watermarks");
    let builder = Pressure::builder(Cgroup::new(Root::system()), &pool).rules(Rules::new(marks));
    let builder = builder.interval(tick).expect("a tick");
    let runtime = Runtime::builder().build().expect("a runtime");
    let pressure = runtime.pressure("memory", builder).expect("threads");
    runtime.start().expect("threads");

    let inserted = AtomicU64::new(0);
    let (pauses, ends) = (AtomicBool::new(false), AtomicBool::new(false));
    let mut used = Vec::new();
    let mut faults = Vec::new();
    std::thread::scope(|scope| {
        scope.spawn(|| grow(&pages, arguments.growth, &inserted, &pauses, &ends));
        let start = Instant::now();
        while start.elapsed() < Duration::from_secs(arguments.seconds) {
            if let Reading::Known { used: now, .. } = Cgroup::new(Root::system()).sample().reading {
                used.push(now);
                if used.len() % 40 == 0 {
                    eprintln!("{:>4} s  {:>6.1} MiB", start.elapsed().as_secs(), mib(now));
                }
            }
            std::thread::sleep(Duration::from_millis(25));
        }
        // Without evictions nothing may grow.
        pauses.store(true, Ordering::Relaxed);
        std::thread::sleep(4 * tick);
        faults = fail(&pressure, tick);
        pressure.set_source(Cgroup::new(Root::system())).expect("a thread");
        pauses.store(false, Ordering::Relaxed);
        let again = Instant::now();
        while again.elapsed() < 20 * tick {
            if let Reading::Known { used: now, .. } = Cgroup::new(Root::system()).sample().reading {
                used.push(now);
            }
            std::thread::sleep(Duration::from_millis(25));
        }
        ends.store(true, Ordering::Relaxed);
    });
    let stopped = runtime.stop(Duration::from_secs(5)) == Stop::Stopped;
    let status = pressure.status();
    judge(arguments, total, &used, faults, &status, stopped, inserted.into_inner())
}

fn judge(
    arguments: &Arguments,
    total: u64,
    used: &[u64],
    faults: Vec<Fault>,
    status: &tidegate::pressure::Status,
    stopped: bool,
    inserted: u64,
) -> Outcome {
    let mark = |percent: u32| total / 100 * u64::from(percent);
    let growth = arguments.growth * MIB * arguments.tick / 1_000;
    let allowed = mark(arguments.high) + growth;
    let most = used.iter().copied().max().unwrap_or(0);
    // Settled: from when it was first above the low mark.
    let from = used.iter().position(|&used| used > mark(arguments.low)).unwrap_or(used.len());
    let settled = &used[from..];
    let within =
        settled.iter().filter(|&&used| used >= mark(arguments.low) - growth && used <= allowed);
    let marked = settled
        .iter()
        .filter(|&&used| (mark(arguments.low)..=mark(arguments.high)).contains(&used));
    let between = marked.count() as f64 / settled.len().max(1) as f64;
    let share = within.count() as f64 / settled.len().max(1) as f64;
    let is_alive =
        |fault: &Fault| fault.checks >= 3 && fault.evictions == 0 && fault.state != "available";
    let is_well = stopped
        && most <= allowed
        && share >= 0.95
        && status.evictions > 0
        && faults.len() == 4
        && faults.iter().all(is_alive);
    Outcome {
        limit_mib: total / MIB,
        inserted_mib: inserted / MIB,
        most_used_mib: mib(most),
        allowed_mib: mib(allowed),
        samples: used.len(),
        settled_share: share,
        between_the_marks: between,
        least_settled_mib: mib(settled.iter().copied().min().unwrap_or(0)),
        evictions: status.evictions,
        evicted_mib: status.evicted_bytes / MIB,
        faults,
        is_well,
    }
}

fn mib(bytes: u64) -> f64 {
    bytes as f64 / MIB as f64
}

/// A source that fails in every way, one after the other.
fn fail(pressure: &Pressure, tick: Duration) -> Vec<Fault> {
    let hangs = from_fn("hangs", Medium::Host, || {
        loop {
            std::thread::park();
        }
    });
    let panics = from_fn("panics", Medium::Host, || panic!("on purpose"));
    let vanishes = Meminfo::new(Root::at("/no such directory"));
    let garbage = from_fn("garbage", Medium::Host, || Sample::bytes(u64::MAX, 1, "cannot be"));
    let sources: [(&str, Box<dyn Source>); 4] = [
        ("hangs", Box::new(hangs)),
        ("panics", Box::new(panics)),
        ("vanishes", Box::new(vanishes)),
        ("garbage", Box::new(garbage)),
    ];
    std::panic::set_hook(Box::new(|_| ()));
    let faults = sources.map(|(fault, source)| {
        let before = pressure.status();
        pressure.set_source(source).expect("a thread");
        // A source that hangs is waited for, a second each time.
        let start = Instant::now();
        while pressure.status().unknown < before.unknown + 4 && start.elapsed().as_secs() < 20 {
            std::thread::sleep(tick);
        }
        let after = pressure.status();
        let state = after.sample.as_ref().map(Sample::state);
        let last = after.check.is_some_and(|check| matches!(check, Check::Evicted { .. }));
        Fault {
            fault,
            state: state.filter(|_| !last).unwrap_or(State::Available).to_string(),
            checks: after.checks - before.checks,
            evictions: after.evictions - before.evictions,
        }
    });
    _ = std::panic::take_hook();
    faults.into()
}

/// Runs this program again, without the option, in a group of its own.
fn in_own_group(limit: u64) -> ExitCode {
    let fails = |what: &str, error: &dyn std::fmt::Display| {
        eprintln!("soak: {what}: {error}");
        ExitCode::from(2)
    };
    let membership = match std::fs::read_to_string("/proc/self/cgroup") {
        Ok(text) => text,
        Err(error) => return fails("/proc/self/cgroup", &error),
    };
    let path = membership.lines().find_map(|line| line.split_once(":memory:").map(|it| it.1));
    let Some(path) = path else {
        return fails("/proc/self/cgroup", &"memory is not in a group of version 1");
    };
    let base = PathBuf::from("/sys/fs/cgroup/memory").join(path.trim_start_matches('/'));
    let group = base.join(format!("tidegate-soak-{}", std::process::id()));
    if let Err(error) = std::fs::create_dir(&group) {
        return fails(&group.display().to_string(), &error);
    }
    let set = std::fs::write(group.join("memory.limit_in_bytes"), limit.to_string());
    let status = set.and_then(|()| {
        // The shell joins the group, and then becomes the program.
        let join = "echo $$ > \"$0/cgroup.procs\" && exec \"$@\"";
        let program = std::env::current_exe()?;
        let mut command = Command::new("sh");
        command.args(["-c", join]).arg(&group).arg(program);
        let own = |argument: &String| argument.starts_with("--own-group");
        let mut arguments = std::env::args().skip(1);
        while let Some(argument) = arguments.next() {
            if own(&argument) {
                if !argument.contains('=') {
                    arguments.next();
                }
            } else {
                command.arg(argument);
            }
        }
        command.status()
    });
    let control = std::fs::read_to_string(group.join("memory.oom_control")).unwrap_or_default();
    eprintln!("{}", control.replace('\n', "; "));
    let killed = !control.contains("oom_kill 0");
    let removed = std::fs::remove_dir(&group);
    match (status, removed) {
        (Ok(status), Ok(())) if status.success() && !killed => ExitCode::SUCCESS,
        (Ok(status), Ok(())) => fails("in the group", &status),
        (Err(error), _) | (_, Err(error)) => fails(&group.display().to_string(), &error),
    }
}
