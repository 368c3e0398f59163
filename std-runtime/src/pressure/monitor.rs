//! The thread that samples a source and has caches give way.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use tidegate_core::{Clock, Instant};

use super::alarm::{Alarm, AlarmThread};
use super::pool::Pool;
use super::sampler::Sampler;
use super::{
    Controller, Measure, Outcome, Reading, Rules, Sample, Skip, Source, Watermarks,
    release_free_memory,
};
use crate::config::{self, ConfigError};
use crate::engine::{Engine, Shared, StartError};
use crate::runtime::{Runtime, SharedClock};
use crate::schedule::Schedule;
use crate::status::{Health, Metrics};
use crate::task::{Output, RunError, Task, Work};
use crate::{clock, observe};

/// What a check came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Check {
    /// Entries were evicted.
    Evicted {
        /// So many.
        entries: u64,
        /// And of so many bytes.
        bytes: u64,
        /// So many were asked for.
        target: u64,
        /// So many less than that: the rest is pinned, held elsewhere, or not there.
        shortfall: u64,
    },
    /// None were.
    Skipped(Skip),
}

impl Output for Check {
    fn removed(&self) -> u64 {
        match *self {
            Self::Evicted { entries, .. } => entries,
            Self::Skipped(_) => 0,
        }
    }
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Evicted { entries, bytes, target, shortfall } => {
                write!(f, "evicted {entries} entries, {bytes} bytes of {target}")?;
                if *shortfall > 0 { write!(f, ", {shortfall} short") } else { Ok(()) }
            }
            Self::Skipped(skip) => skip.fmt(f),
        }
    }
}

/// How a [`Pressure`] stands. The figures count since it was made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// Whether it evicts.
    pub is_enabled: bool,
    /// What its source is called.
    pub source: String,
    /// The rules it goes by.
    pub rules: Rules,
    /// How often it checks.
    pub interval: Duration,
    /// What the source said last.
    pub sample: Option<Sample>,
    /// When, by the [clock of the process](crate::clock()).
    pub sampled_at: Option<Instant>,
    /// What the last check came to.
    pub check: Option<Check>,
    /// How many bytes the last eviction came to, if there was one.
    pub last_evicted_bytes: u64,
    /// When that was.
    pub last_evicted_at: Option<Instant>,
    /// Checks.
    pub checks: u64,
    /// Those that evicted something.
    pub evictions: u64,
    /// Entries evicted.
    pub evicted_entries: u64,
    /// Bytes evicted.
    pub evicted_bytes: u64,
    /// Samples that were not known.
    pub unknown: u64,
}

/// Samples a source, and has caches give way where it says that memory is short: made by
/// [`Runtime::pressure`]. Clones are the same; dropping them all leaves it to the runtime.
///
/// Every setting can be changed while it runs, from any thread; a check under way ends with those it began
/// with. A source that fails, panics or hangs is [visible](Self::status), and stops nothing: what is not
/// known is no reason to evict.
#[derive(Clone)]
pub struct Pressure {
    shared: Arc<Shared<Check>>,
    task: Arc<Task<Check>>,
    live: Arc<Live>,
    stalled_after: u32,
}

/// What can be changed while it runs.
struct Live {
    settings: ArcSwap<Settings>,
    sampler: ArcSwap<Sampler>,
    /// But for the settings, which are those of the moment.
    status: ArcSwap<Status>,
    pool: Pool,
    clock: SharedClock,
}

#[derive(Clone, Copy)]
struct Settings {
    rules: Rules,
    is_enabled: bool,
    timeout: Duration,
    gives_back: bool,
}

/// What a [`Pressure`] is to be like: [`Pressure::builder`].
#[must_use = "a builder builds nothing until it is given to a runtime"]
pub struct Builder {
    source: Box<dyn Source>,
    pool: Pool,
    schedule: Schedule,
    settings: Settings,
    alarms: Vec<Alarm>,
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder").field("pool", &self.pool).finish_non_exhaustive()
    }
}

impl Builder {
    /// Where eviction begins and ends, and what bounds it: [from 85 % to 75 %](Rules::default) until set.
    pub fn rules(mut self, rules: Rules) -> Self {
        self.settings.rules = rules;
        self
    }

    /// How often to check: every five seconds until set.
    ///
    /// # Errors
    ///
    /// If it is below 100 us, or above 366 days.
    pub fn interval(mut self, interval: Duration) -> Result<Self, ConfigError> {
        self.schedule.interval = config::interval(interval)?;
        Ok(self)
    }

    /// How long to wait for the source: a second until set.
    ///
    /// # Errors
    ///
    /// If it is zero.
    pub fn timeout(mut self, timeout: Duration) -> Result<Self, ConfigError> {
        if timeout.is_zero() {
            return Err(ConfigError::new("timeout", "must be longer than zero"));
        }
        self.settings.timeout = timeout;
        Ok(self)
    }

    /// Whether it evicts; until set, it does.
    pub fn enabled(mut self, is_enabled: bool) -> Self {
        self.settings.is_enabled = is_enabled;
        self
    }

    /// Whether [free memory is given back](release_free_memory) to the system after an eviction; until set,
    /// it is.
    pub fn gives_back(mut self, gives_back: bool) -> Self {
        self.settings.gives_back = gives_back;
        self
    }

    /// Checks also whenever this goes off.
    pub fn alarm(mut self, alarm: Alarm) -> Self {
        self.alarms.push(alarm);
        self
    }
}

impl Pressure {
    /// One that samples `source` and has the caches of `pool` give way, to be described further.
    pub fn builder(source: impl Source + 'static, pool: &Pool) -> Builder {
        let settings = Settings {
            rules: Rules::default(),
            is_enabled: true,
            timeout: Duration::from_secs(1),
            gives_back: true,
        };
        let mut schedule = Schedule::for_ttl(Duration::ZERO);
        schedule.interval = Duration::from_secs(5);
        let (source, pool) = (Box::new(source), pool.clone());
        Builder { source, pool, schedule, settings, alarms: Vec::new() }
    }

    /// Switches evicting on or off. Off, its source is not sampled either, but by [`sample`](Self::sample).
    pub fn enable(&self, is_enabled: bool) {
        self.live.change(|settings| settings.is_enabled = is_enabled);
    }

    /// Another source, from the next check on; what was learned of the last one's is forgotten. Caches give
    /// way only in what it measures.
    ///
    /// # Errors
    ///
    /// If the system cannot start a thread for it; then nothing is changed.
    pub fn set_source(&self, source: impl Source + 'static) -> std::io::Result<()> {
        self.live.sampler.store(Arc::new(Sampler::start(source)?));
        Ok(())
    }

    /// Other watermarks, from the next check on.
    pub fn set_watermarks(&self, marks: Watermarks) {
        self.live.change(|settings| settings.rules = settings.rules.watermarks(marks));
    }

    /// Other rules, from the next check on.
    pub fn set_rules(&self, rules: Rules) {
        self.live.change(|settings| settings.rules = rules);
    }

    /// From now on, at every such interval.
    ///
    /// # Errors
    ///
    /// If it is below 100 us, or above 366 days.
    pub fn set_interval(&self, interval: Duration) -> Result<(), ConfigError> {
        self.task.set_interval(config::interval(interval)?, clock().now());
        self.shared.look_again();
        Ok(())
    }

    /// Asks the source, and remembers what it says; evicts nothing, and works also if it is disabled.
    pub fn sample(&self) -> Sample {
        let sampler = self.live.sampler.load_full();
        let sample = sampler.sample(self.live.settings.load().timeout);
        self.live.sampled(&sample);
        sample
    }

    /// Checks now, on this thread; or, if a check is under way, waits for that.
    ///
    /// # Errors
    ///
    /// [`RunError::Panicked`] if a cache's listener did; [`RunError::Stopping`], [`RunError::Reentrant`].
    pub fn force_check(&self) -> Result<Check, RunError> {
        self.shared.trigger(&self.task, true)
    }

    /// How it stands.
    pub fn status(&self) -> Status {
        let settings = **self.live.settings.load();
        let mut status = (**self.live.status.load()).clone();
        status.is_enabled = settings.is_enabled;
        status.rules = settings.rules;
        status.source = self.live.sampler.load().name().to_owned();
        status.interval = self.task.schedule().interval;
        status
    }

    /// How its thread is faring.
    pub fn health(&self) -> Health {
        self.shared.health(&self.task, self.stalled_after)
    }

    /// What its thread has done: runs are checks, and what is removed are entries.
    pub fn metrics(&self) -> Metrics {
        self.task.metrics()
    }
}

impl fmt::Debug for Pressure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pressure").field("status", &self.status()).finish_non_exhaustive()
    }
}

impl Runtime {
    /// Has caches give way to memory pressure, on a thread of its own; at once if the runtime is started.
    /// Stays until the runtime is dropped.
    ///
    /// # Errors
    ///
    /// If the name cannot be, or the system cannot start a thread.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use std::time::Duration;
    /// use tidegate::pressure::{Cgroup, Medium, Meminfo, Pool, Pressure, Priority, Root, any_of};
    /// use tidegate::{Cache, Runtime, Tiers, domain, random_state};
    ///
    /// let pages: Arc<Cache<String, String>> =
    ///     Arc::new(Cache::builder(domain(), random_state()).max_bytes(1 << 30).build()?);
    /// let pool = Pool::new();
    /// pool.cache("pages", Arc::clone(&pages), Tiers::ALL, Medium::Host, Priority(0))?;
    ///
    /// // The machine's, and the container's if there is a limit.
    /// let root = Root::system();
    /// let memory = any_of(vec![
    ///     Box::new(Cgroup::new(root.clone())),
    ///     Box::new(Meminfo::new(root)),
    /// ])?;
    /// let runtime = Runtime::builder().build()?;
    /// let every = Duration::from_secs(1);
    /// let pressure = runtime.pressure("memory", Pressure::builder(memory, &pool).interval(every)?)?;
    /// runtime.start()?;
    /// println!("{:?}", pressure.force_check()?);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn pressure(&self, name: &str, builder: Builder) -> Result<Pressure, StartError> {
        config::name(name)?;
        let Builder { source, pool, schedule, settings, alarms } = builder;
        let sampler = Sampler::start(source).map_err(StartError::Thread)?;
        let live = Arc::new(Live {
            settings: ArcSwap::from_pointee(settings),
            sampler: ArcSwap::from_pointee(sampler),
            status: ArcSwap::from_pointee(Status::default()),
            pool,
            clock: self.clock(),
        });
        let engine = Engine::new("tidegate-memory".to_owned());
        let work = checking(name.to_owned(), Arc::clone(&live));
        let task = engine.shared().add(Task::new(name.to_owned(), schedule, work))?;
        let shared = Arc::clone(engine.shared());
        let pressure = Pressure { shared, task, live, stalled_after: self.stalled_after() };
        self.adopt(engine)?;
        for alarm in alarms {
            let checks = pressure.clone();
            self.adopt(AlarmThread::new(alarm, move || {
                // What it came to is in the status.
                _ = checks.force_check();
            }))?;
        }
        Ok(pressure)
    }
}

/// The work of a check.
fn checking(name: String, live: Arc<Live>) -> Work<Check> {
    let mut controller = Controller::default();
    let mut asked: Option<Arc<Sampler>> = None;
    Box::new(move || {
        let settings = **live.settings.load();
        let sampler = live.sampler.load_full();
        if !asked.as_ref().is_some_and(|before| Arc::ptr_eq(before, &sampler)) {
            controller.restart();
            asked = Some(Arc::clone(&sampler));
        }
        let check = live.check(&mut controller, &settings, &sampler);
        live.record(check);
        observe::checked(&name, check, live.status.load().sample.as_ref());
        Ok(Some(check))
    })
}

impl Live {
    fn change(&self, change: impl Fn(&mut Settings)) {
        self.settings.rcu(|before| {
            let mut after = **before;
            change(&mut after);
            after
        });
    }

    fn check(&self, controller: &mut Controller, settings: &Settings, sampler: &Sampler) -> Check {
        if !settings.is_enabled {
            return Check::Skipped(Skip::Disabled);
        }
        let sample = sampler.sample(settings.timeout);
        self.sampled(&sample);
        let held = self.pool.bytes(sampler.medium());
        // A part of something else is asked of what is held.
        let rules = &settings.rules;
        controller.set_rules(match sample.measure {
            Measure::Bytes => *rules,
            Measure::Share => rules.steps(0, u64::MAX).unwrap_or(*rules),
        });
        // Monotone, whatever the clock of the caches does.
        let request = match controller.check(sample.reading, clock().now()) {
            Outcome::Evict(request) => request.amount,
            Outcome::Skipped(skip) => return Check::Skipped(skip),
        };
        let target = match sample.measure {
            Measure::Bytes => request,
            Measure::Share => {
                let part = u128::from(held) * u128::from(request) / 1_000_000;
                (part as u64).clamp(rules.min_step(), rules.max_step())
            }
        };
        let evicted = self.pool.shed(sampler.medium(), target, self.clock.now());
        if evicted.bytes == 0 {
            return Check::Skipped(Skip::NothingToEvict);
        }
        if settings.gives_back {
            release_free_memory();
        }
        let done = match sample.measure {
            Measure::Bytes => evicted.bytes,
            Measure::Share => {
                (u128::from(evicted.bytes) * 1_000_000 / u128::from(held.max(1))).max(1) as u64
            }
        };
        controller.settle(done, clock().now());
        let tidegate_core::cache::Evicted { entries, bytes, shortfall } = evicted;
        Check::Evicted { entries, bytes, target, shortfall }
    }

    fn sampled(&self, sample: &Sample) {
        let now = clock().now();
        self.status.rcu(|before| {
            let mut after = (**before).clone();
            after.sample = Some(sample.clone());
            after.sampled_at = Some(now);
            after.unknown += u64::from(matches!(sample.reading, Reading::Unknown(_)));
            after
        });
    }

    fn record(&self, check: Check) {
        let now = clock().now();
        self.status.rcu(|before| {
            let mut after = (**before).clone();
            after.check = Some(check);
            after.checks += 1;
            if let Check::Evicted { entries, bytes, .. } = check {
                after.last_evicted_bytes = bytes;
                after.last_evicted_at = Some(now);
                after.evictions += 1;
                after.evicted_entries = after.evicted_entries.saturating_add(entries);
                after.evicted_bytes = after.evicted_bytes.saturating_add(bytes);
            }
            after
        });
    }
}
