//! Workers, one thread each, over one kind of source.

use std::error::Error;
use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant as Time};

use clap::ValueEnum;
use tidegate::lockfree::map::MapError;
use tidegate::lockfree::{BucketTable, Clock, LocalBucketTable, Plan, Worker};
use tidegate::{MonotonicClock, Quota, QuotaError, SeededState};
use tidegate_packet_loop::frame::Subnet;
use tidegate_packet_loop::police::{Local, Marked, Police, Rates, Shared, Subnets, Table};
use tidegate_packet_loop::policies::Policies;
use tidegate_packet_loop::source::Source;
use tidegate_packet_loop::source::capture::Capture;
use tidegate_packet_loop::source::live::Live;
use tidegate_packet_loop::source::synthetic::Synthetic;
use tidegate_packet_loop::worker::{self, Done};
use tidegate_packet_loop::{confine, pin};

/// What is limited.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Rules {
    /// Flows, in one table.
    Shared,
    /// Flows, in a table for each worker.
    Local,
    /// Flows and networks.
    Subnets,
    /// Flows, in three colours by two rates, in bits and in packets.
    Marked,
}

/// What the workers do.
#[derive(Clone, Debug)]
pub(crate) struct Job {
    pub(crate) workers: usize,
    pub(crate) rules: Rules,
    /// Bits a second for each flow. A network may send a hundred times as many.
    pub(crate) bits: u64,
    /// Flows that there is room for.
    pub(crate) room: usize,
    pub(crate) confined: bool,
}

type Outcome = Result<Vec<Done>, Failure>;
type Failure = Box<dyn Error + Send + Sync>;

pub(crate) fn synthetic(job: &Job, flows: u32, bursts: u64) -> Outcome {
    job.run(None, move |worker| Ok(Synthetic::new(flows, bursts, worker as u64 + 1)))
}

pub(crate) fn capture(job: &Job, file: &Path, rounds: u64) -> Outcome {
    let (capture, workers) = (Arc::new(Capture::read(file)?), job.workers);
    job.run(None, move |worker| Ok(capture.player(worker, workers, rounds)))
}

pub(crate) fn live(job: &Job, interface: &str, seconds: u64) -> Outcome {
    // Opened before any worker starts, so that what is refused is said at once.
    let source = Mutex::new(Some(Live::open(interface)?));
    let job = Job { workers: 1, ..job.clone() };
    job.run(Some(Duration::from_secs(seconds)), move |_| {
        let mut source = source.lock().unwrap_or_else(PoisonError::into_inner);
        source.take().ok_or_else(|| "the interface has one worker".into())
    })
}

/// What all workers share.
struct Tables {
    flows: Table,
    flow: Plan,
    subnets: Table,
    policies: Policies,
    /// In bits and in packets; only where frames are marked.
    rates: Option<[Rates; 2]>,
    /// What a flow may send, and a network.
    quotas: [Quota; 2],
    clock: MonotonicClock,
}

impl Tables {
    fn new(job: &Job) -> Result<Self, Failure> {
        // The hashes depend on secrets, so that no sender can choose flows that share a set.
        let seeds: [u64; 3] = core::array::from_fn(|_| fastrand::u64(..));
        // A tenth of a second at once, and a jumbo frame at least.
        let quota = |bits: u64| Quota::per_second(bits)?.burst((bits / 10).max(72_000));
        let (flow, subnet) = (quota(job.bits)?, quota(job.bits.saturating_mul(100))?);
        let flows = BucketTable::boxed(flow, job.room, SeededState::new(seeds[0]))?;
        let subnets = BucketTable::boxed(subnet, job.room / 16 + 1, SeededState::new(seeds[1]))?;
        let policies = Policies::new(subnets.plan(subnet)?, seeds[2]);
        let rates = match job.rules {
            Rules::Marked => Some(job.rates()?),
            _ => None,
        };
        let clock = MonotonicClock::new();
        Ok(Self {
            flow: flows.plan(flow)?,
            flows,
            subnets,
            policies,
            rates,
            quotas: [flow, subnet],
            clock,
        })
    }

    /// Changes what some network may send, as an operator does now and then.
    fn change(&self, operator: &mut Worker) -> Result<(), Failure> {
        let subnet = Subnet::of(Ipv4Addr::new(10, fastrand::u8(..), fastrand::u8(..), 0).into());
        let plan = self.subnets.plan(self.quotas[fastrand::usize(..2)])?;
        // A worker that is stopped, or has ended and may not clean up, holds back what was replaced. Then the
        // change is refused, and the next one is tried.
        let set = self.policies.set(subnet, plan, operator, self.clock.now());
        set.or_else(
            |error| if error == MapError::Backpressure { Ok(()) } else { Err(error.into()) },
        )
    }
}

/// What a crew has done, and where it is asked to end.
struct Crew {
    tables: Tables,
    done: Vec<Mutex<Option<Result<Done, Failure>>>>,
    ended: AtomicUsize,
    stop: AtomicBool,
}

impl Job {
    /// Commits a half of each flow's rate. A packet has 600 bits at least.
    fn rates(&self) -> Result<[Rates; 2], QuotaError> {
        let quota = |cells: u64, burst: u64| Quota::per_second(cells)?.burst(burst);
        let rates = |cells: u64, least: u64| {
            let (peak, committed) = (cells.max(2), cells.max(2) / 2);
            let (peak_burst, burst) = ((peak / 10).max(least), (committed / 10).max(least));
            let (peak, committed) = (quota(peak, peak_burst)?, quota(committed, burst)?);
            Rates::new(peak, committed, self.room, core::array::from_fn(|_| fastrand::u64(..)))
        };
        Ok([rates(self.bits, 72_000)?, rates(self.bits / 600, 10)?])
    }

    /// Runs the workers until their sources end, or the time is over. Confined workers keep their
    /// processors after that: only the process can end them.
    fn run<S: Source>(
        &self,
        time: Option<Duration>,
        source: impl Fn(usize) -> Result<S, Failure> + Send + Sync + 'static,
    ) -> Outcome {
        let done = (0..self.workers).map(|_| Mutex::new(None)).collect();
        let (ended, stop) = (AtomicUsize::new(0), AtomicBool::new(false));
        let crew = Arc::new(Crew { tables: Tables::new(self)?, done, ended, stop });
        let source = Arc::new(source);
        for worker in 0..self.workers {
            let (job, crew, source) = (self.clone(), Arc::clone(&crew), Arc::clone(&source));
            thread::Builder::new().spawn(move || job.work(worker, &crew, &*source))?;
        }
        let start = Time::now();
        let mut operator = crew.tables.policies.worker();
        // Acquire: pairs with the increments.
        while crew.ended.load(Ordering::Acquire) < self.workers {
            thread::sleep(Duration::from_millis(1));
            if let Rules::Subnets = self.rules {
                crew.tables.change(&mut operator)?;
            }
            if time.is_some_and(|time| start.elapsed() >= time) {
                // Relaxed, with no partner: only says when to end.
                crew.stop.store(true, Ordering::Relaxed);
            }
        }
        let outcomes = crew.done.iter().map(|done| {
            let done = done.lock().unwrap_or_else(PoisonError::into_inner).take();
            done.unwrap_or_else(|| Err("a worker has panicked".into()))
        });
        outcomes.collect()
    }

    fn work<S: Source>(
        &self,
        worker: usize,
        crew: &Crew,
        source: &dyn Fn(usize) -> Result<S, Failure>,
    ) {
        let ended = Ended(&crew.ended);
        let mut done = Done::nothing();
        let outcome = source(worker)
            .and_then(|source| self.police(worker, source, &crew.tables, &crew.stop, &mut done));
        // No thread waits for the lock, so this calls nothing of the system.
        *crew.done[worker].lock().unwrap_or_else(PoisonError::into_inner) =
            Some(outcome.map(|()| done));
        drop(ended);
        if self.confined {
            loop {
                std::hint::spin_loop();
            }
        }
    }

    fn police(
        &self,
        worker: usize,
        source: impl Source,
        tables: &Tables,
        stop: &AtomicBool,
        done: &mut Done,
    ) -> Result<(), Failure> {
        match self.rules {
            Rules::Shared => {
                let police = Shared::new(&tables.flows, &tables.flow, self.workers);
                self.go(worker, source, police, tables, stop, done)
            }
            Rules::Local => {
                let seed = SeededState::new(fastrand::u64(..));
                let table =
                    LocalBucketTable::boxed(tables.quotas[0], self.room / self.workers + 1, seed)?;
                let plan = table.plan(tables.quotas[0])?;
                self.go(worker, source, Local::new(table, plan), tables, stop, done)
            }
            Rules::Subnets => {
                let flows = (&tables.flows, &tables.flow);
                let subnets = (&tables.subnets, &tables.policies);
                let police = Subnets::new(flows, subnets, &tables.clock, self.workers);
                self.go(worker, source, police, tables, stop, done)
            }
            Rules::Marked => {
                let rates = tables.rates.as_ref().ok_or("no tables for two rates")?;
                let police = Marked::new(&rates[0], &rates[1], &tables.clock, self.workers);
                self.go(worker, source, police, tables, stop, done)
            }
        }
    }

    fn go(
        &self,
        worker: usize,
        mut source: impl Source,
        mut police: impl Police,
        tables: &Tables,
        stop: &AtomicBool,
        done: &mut Done,
    ) -> Result<(), Failure> {
        pin::to_processor(worker)?;
        if self.confined {
            confine::no_system_calls()?;
        }
        worker::run(&mut source, &mut police, &tables.clock, stop, done);
        if self.confined {
            // To free their memory is a call of the system.
            std::mem::forget((source, police));
        }
        Ok(())
    }
}

/// Counts a worker that has ended, also by a panic.
struct Ended<'a>(&'a AtomicUsize);

impl Drop for Ended<'_> {
    fn drop(&mut self) {
        // Release: pairs with the load that ends the waiting for what was done.
        self.0.fetch_add(1, Ordering::Release);
    }
}
