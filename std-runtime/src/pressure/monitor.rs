//! The thread that samples a source and evicts from caches.

use std::fmt;
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use arc_swap::ArcSwap;
use tidegate_core::pressure::{Controller, Outcome, Reading, Rules, Skip, Watermarks};
use tidegate_core::{Clock, Instant};

use super::alarm::{Alarm, AlarmThread};
use super::check::Check;
use super::pool::{Pool, Shed};
use super::release_free_memory;
use super::sampler::Sampler;
use super::source::{Measure, Medium, Sample, Source};
use crate::clock::{SharedClock, clock};
use crate::config::{self, ConfigError};
use crate::panics::contained;
use crate::runtime::Runtime;
use crate::runtime::engine::{Engine, Shared, StartError, Thread};
use crate::runtime::schedule::Schedule;
use crate::runtime::status::{Health, Metrics};
use crate::runtime::task::{RunError, Step, Task};

/// The state of a [`Pressure`]. The figures count since it was made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// Whether it evicts.
    pub is_enabled: bool,
    /// The name of its source.
    pub source: String,
    /// The rules it follows.
    pub rules: Rules,
    /// How often it checks.
    pub interval: Duration,
    /// What the source said last, with what each [member](Sample::members) said if it is made of
    /// several.
    pub sample: Option<Sample>,
    /// When that was, by the [clock of the process](crate::clock()).
    pub sampled_at: Option<Instant>,
    /// The result of the last check.
    pub check: Option<Check>,
    /// How many bytes the last eviction removed, if there was one.
    pub last_evicted_bytes: u64,
    /// When that was.
    pub last_evicted_at: Option<Instant>,
    /// How many checks there were.
    pub checks: u64,
    /// How many checks evicted something.
    pub evictions: u64,
    /// How many entries were evicted.
    pub evicted_entries: u64,
    /// How many bytes were evicted.
    pub evicted_bytes: u64,
    /// How many samples were unknown.
    pub unknown: u64,
    /// How many checks evicted nothing because it would not help.
    pub ineffective: u64,
}

/// Samples a source, and evicts from caches where it says that memory is short.
/// [`Runtime::pressure`] makes it.
///
/// Clones are handles of the same monitor. When all are dropped, the monitor stays with the
/// runtime.
///
/// Every setting can be changed while it runs, from any thread. A check in progress ends with the
/// settings that it began with. A source that fails, panics or hangs is [visible](Self::status),
/// and stops nothing: an unknown reading is no reason to evict. To try it out, [set a
/// source](Self::set_source) that says what you like ([`from_fn`](super::from_fn)), and [force a
/// check](Self::force_check).
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
    /// The status, except for the settings, which are those of the moment.
    status: ArcSwap<Status>,
    pool: Pool,
    clock: SharedClock,
    /// Where a check sees that it is to stop.
    engine: OnceLock<Weak<Shared<Check>>>,
}

#[derive(Clone, Copy)]
struct Settings {
    rules: Rules,
    is_enabled: bool,
    timeout: Duration,
    gives_back: bool,
}

/// Builds a [`Pressure`]. [`Pressure::builder`] creates it.
#[must_use = "a builder builds nothing until it is given to a runtime"]
pub struct Builder {
    source: Box<dyn Source>,
    pool: Pool,
    schedule: Schedule,
    settings: Settings,
    alarms: Vec<Alarm>,
    after_evicting: Option<Hook>,
}

/// The code that runs after an eviction.
type Hook = Box<dyn FnMut(Check) + Send>;

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder").field("pool", &self.pool).finish_non_exhaustive()
    }
}

impl Builder {
    /// Sets where eviction begins and ends, and what bounds it. The default is [from 85 % to 75
    /// %](Rules::default).
    pub fn rules(mut self, rules: Rules) -> Self {
        self.settings.rules = rules;
        self
    }

    /// Sets how often to check. The default is every five seconds.
    ///
    /// # Errors
    ///
    /// Fails if the interval is below 100 us, or above 366 days.
    pub fn interval(mut self, interval: Duration) -> Result<Self, ConfigError> {
        self.schedule.interval = config::interval(interval)?;
        Ok(self)
    }

    /// Sets how long to wait for the source. The default is a second.
    ///
    /// # Errors
    ///
    /// Fails if the timeout is zero.
    pub fn timeout(mut self, timeout: Duration) -> Result<Self, ConfigError> {
        if timeout.is_zero() {
            return Err(ConfigError::new("timeout", "must be longer than zero"));
        }
        self.settings.timeout = timeout;
        Ok(self)
    }

    /// Sets whether it evicts. The default is that it does.
    pub fn enabled(mut self, is_enabled: bool) -> Self {
        self.settings.is_enabled = is_enabled;
        self
    }

    /// Sets whether [free memory is given back](release_free_memory) to the system after an
    /// eviction. The default is that it is.
    pub fn gives_back(mut self, gives_back: bool) -> Self {
        self.settings.gives_back = gives_back;
        self
    }

    /// Runs `hook` after each check that evicted something, on the thread of the check and before
    /// the next reading. The hook can make an allocator give back what was freed. It is called
    /// after the eviction is in the [status](Pressure::status), and after [`release_free_memory`]
    /// where that is not [switched off](Self::gives_back).
    ///
    /// The hook is part of the check: a hook that waits for a check of the same [`Pressure`] waits
    /// for itself. A hook that panics fails that check, and is called again after the next.
    ///
    /// * jemalloc gives back all unused dirty pages by `mallctl` with the name `arena.<i>.purge`
    ///   and no other arguments. `MALLCTL_ARENAS_ALL` (4096) in it stands for all arenas:
    ///   `mallctl(c"arena.4096.purge".as_ptr(), null_mut(), null_mut(), null_mut(), 0)` of
    ///   `tikv_jemalloc_sys`.
    /// * mimalloc does so by `mi_collect`: `libmimalloc_sys::mi_collect(true)`. It takes the
    ///   calling thread's heap and what ended threads left. Other threads give theirs back as they
    ///   allocate.
    ///
    /// ```
    /// use tidegate::pressure::{Check, Noop, Pool, Pressure};
    ///
    /// /// Calls the allocator.
    /// fn purge() {}
    ///
    /// let builder = Pressure::builder(Noop::default(), &Pool::new())
    ///     .gives_back(false) // `malloc_trim` is for glibc's allocator
    ///     .after_evicting(|check| {
    ///         if let Check::Evicted { bytes, .. } = check {
    ///             println!("purging after {bytes} bytes");
    ///         }
    ///         purge();
    ///     });
    /// # let _ = builder;
    /// ```
    pub fn after_evicting(mut self, hook: impl FnMut(Check) + Send + 'static) -> Self {
        self.after_evicting = Some(Box::new(hook));
        self
    }

    /// Checks also whenever this alarm goes off.
    pub fn alarm(mut self, alarm: Alarm) -> Self {
        self.alarms.push(alarm);
        self
    }
}

impl Pressure {
    /// Creates a builder for a monitor that samples `source` and evicts from the caches of `pool`.
    pub fn builder(source: impl Source + 'static, pool: &Pool) -> Builder {
        let settings = Settings {
            rules: Rules::default(),
            is_enabled: true,
            timeout: Duration::from_secs(1),
            gives_back: true,
        };
        let schedule = Schedule::checked(Duration::from_secs(5));
        let (source, pool) = (Box::new(source), pool.clone());
        Builder { source, pool, schedule, settings, alarms: Vec::new(), after_evicting: None }
    }

    /// Switches evicting on or off. While it is off, only [`sample`](Self::sample) asks the source.
    pub fn enable(&self, is_enabled: bool) {
        self.live.change(|settings| settings.is_enabled = is_enabled);
    }

    /// Sets another source, from the next check on, and forgets what was learned of the last one.
    /// Only what is held in the medium that it measures is evicted.
    ///
    /// # Errors
    ///
    /// Fails if the system cannot start a thread for the source, or the source panics when it is
    /// asked for its name and medium. Then nothing is changed.
    pub fn set_source(&self, source: impl Source + 'static) -> std::io::Result<()> {
        self.live.sampler.store(Arc::new(Sampler::start(source)?));
        Ok(())
    }

    /// Sets the watermarks, from the next check on.
    pub fn set_watermarks(&self, marks: Watermarks) {
        self.live.change(|settings| settings.rules = settings.rules.watermarks(marks));
    }

    /// Sets the rules, from the next check on.
    pub fn set_rules(&self, rules: Rules) {
        self.live.change(|settings| settings.rules = rules);
    }

    /// Sets the interval of the checks, from now on.
    ///
    /// # Errors
    ///
    /// Fails if the interval is below 100 us, or above 366 days.
    pub fn set_interval(&self, interval: Duration) -> Result<(), ConfigError> {
        self.shared.set_interval(&self.task, config::interval(interval)?);
        Ok(())
    }

    /// Asks the source, and remembers its answer. It evicts nothing, and works even if evicting is
    /// switched off.
    pub fn sample(&self) -> Sample {
        let sampler = self.live.sampler.load_full();
        let sample = sampler.sample(self.live.settings.load().timeout, || true);
        self.live.sampled(&sample);
        sample
    }

    /// Checks now, on this thread, whether the runtime is started or not. If a check is in
    /// progress, the call waits for that instead.
    ///
    /// # Errors
    ///
    /// * [`RunError::Failed`]: a cache's listener, a value's destructor or the
    ///   [hook](Builder::after_evicting) panicked. What was evicted all the same is in the
    ///   [status](Self::status).
    /// * [`RunError::Stopping`]: the runtime is being stopped.
    /// * [`RunError::Reentrant`]: the caller is itself called by a run, and could wait for itself.
    pub fn force_check(&self) -> Result<Check, RunError> {
        self.shared.trigger(&self.task, true)
    }

    /// Returns the state of the monitor.
    pub fn status(&self) -> Status {
        let settings = **self.live.settings.load();
        let mut status = (**self.live.status.load()).clone();
        status.is_enabled = settings.is_enabled;
        status.rules = settings.rules;
        status.source = self.live.sampler.load().name().to_owned();
        status.interval = self.task.schedule().interval;
        status
    }

    /// Returns the health of its thread.
    pub fn health(&self) -> Health {
        if !self.live.settings.load().is_enabled {
            return Health::Disabled;
        }
        self.shared.health(&self.task, self.stalled_after)
    }

    /// Returns the metrics of its thread: its runs are checks, and its removals are entries.
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
    /// Evicts from caches under memory pressure, on a thread of its own. The thread runs at once if
    /// the runtime is started. The monitor stays until the runtime is dropped.
    ///
    /// # Errors
    ///
    /// Fails if the name is not allowed or is taken, or the system cannot start a thread.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use std::time::Duration;
    /// use tidegate::pressure::{Cgroup, Medium, Meminfo, Pool, Pressure, Priority, Root, max_of};
    /// use tidegate::lockfree::Cache;
    /// use tidegate::{Runtime, Tiers, domain, random_state};
    ///
    /// let pages: Arc<Cache<String, String>> = Arc::new(
    ///     Cache::builder(domain(), random_state())
    ///         .max_bytes(1 << 30)
    ///         .weigher(|url: &String, page: &String| (url.len() + page.len()) as u64)
    ///         .build()?,
    /// );
    /// let pool = Pool::new();
    /// let floor = 64 << 20; // what pressure never takes
    /// pool.cache("pages", Arc::clone(&pages), Tiers::ALL, Medium::Host, Priority(0), floor)?;
    ///
    /// // The machine's, and the container's if there is a limit.
    /// let root = Root::system();
    /// let memory = max_of(vec![
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
        self.named(name, || self.watching(name, builder))
    }

    fn watching(&self, name: &str, builder: Builder) -> Result<Pressure, StartError> {
        let Builder { source, pool, schedule, settings, alarms, after_evicting } = builder;
        let sampler = Sampler::start(source).map_err(StartError::Thread)?;
        let live = Arc::new(Live {
            settings: ArcSwap::from_pointee(settings),
            sampler: ArcSwap::from_pointee(sampler),
            status: ArcSwap::from_pointee(Status::default()),
            pool,
            clock: self.clock(),
            engine: OnceLock::new(),
        });
        let engine = Engine::new("tidegate-memory".to_owned());
        let work = checking(name.to_owned(), Arc::clone(&live), after_evicting);
        let task = engine.shared().add(Task::new(name.to_owned(), schedule, work))?;
        let shared = Arc::clone(engine.shared());
        _ = live.engine.set(Arc::downgrade(&shared));
        let pressure = Pressure { shared, task, live, stalled_after: self.stalled_after() };
        let mut threads: Vec<Arc<dyn Thread>> = vec![Arc::new(engine)];
        for alarm in alarms {
            let checks = pressure.clone();
            threads.push(Arc::new(AlarmThread::new(alarm, move || {
                // Its result is in the status.
                _ = checks.force_check();
            })));
        }
        self.adopt(threads)?;
        Ok(pressure)
    }
}

/// Returns the work of a check: it asks the source, and then evicts, a part at a step.
fn checking(name: String, live: Arc<Live>, mut hook: Option<Hook>) -> Step<Check> {
    let mut controller = Controller::default();
    let mut asked: Option<Arc<Sampler>> = None;
    let mut request: Option<Request> = None;
    Box::new(move || {
        let settings = **live.settings.load();
        let mut ours = match request.take() {
            // It was given up in the middle, long ago: what it has done is done, and the rest is
            // another check's.
            Some(old) if old.began.elapsed() > TOO_OLD => {
                return live.conclude(&name, &mut controller, &settings, &old, hook.as_mut());
            }
            Some(under_way) => under_way,
            None => {
                let sampler = live.sampler.load_full();
                if !asked.as_ref().is_some_and(|before| Arc::ptr_eq(before, &sampler)) {
                    controller.restart();
                    asked = Some(Arc::clone(&sampler));
                }
                match live.ask(&mut controller, &settings, &sampler) {
                    Ok(request) => request,
                    Err(skip) => return Ok(Some(live.record(&name, Check::Skipped(skip)))),
                }
            }
        };
        if live.evict(&mut ours) {
            request = Some(ours);
            return Ok(None);
        }
        live.conclude(&name, &mut controller, &settings, &ours, hook.as_mut())
    })
}

/// How much is evicted at a step, and then freed, because what waits to be freed is still held.
const AT_A_STEP: u64 = 16 << 20;

/// A request that was not continued for this long is out of date.
const TOO_OLD: Duration = Duration::from_secs(10);

/// What is to be evicted, and what was.
struct Request {
    medium: Medium,
    /// In bytes.
    target: u64,
    done: Shed,
    began: std::time::Instant,
    /// For a reading that does not count bytes: how many bytes were held, of which it asks a part,
    /// in parts per million.
    share_of: Option<u64>,
}

impl Request {
    /// Converts bytes to what the reading counts.
    fn in_its_measure(&self, bytes: u64) -> u64 {
        let share =
            |held: u64| (u128::from(bytes) * 1_000_000 / u128::from(held.max(1))).max(1) as u64;
        self.share_of.map_or(bytes, share)
    }
}

impl Live {
    fn change(&self, change: impl Fn(&mut Settings)) {
        self.settings.rcu(|before| {
            let mut after = **before;
            change(&mut after);
            after
        });
    }

    fn goes_on(&self) -> bool {
        let engine = self.engine.get().and_then(Weak::upgrade);
        engine.is_none_or(|engine| !engine.is_stopping())
    }

    /// Asks the source, and returns its answer and what is to be done about it.
    fn ask(
        &self,
        controller: &mut Controller,
        settings: &Settings,
        sampler: &Sampler,
    ) -> Result<Request, Skip> {
        if !settings.is_enabled {
            return Err(Skip::Disabled);
        }
        let (rules, medium) = (&settings.rules, sampler.medium());
        self.pool.free(medium, self.clock.now());
        let sample = sampler.sample(settings.timeout, || self.goes_on());
        self.sampled(&sample);
        let rests = rules.cooldown(rules.rest().max(sample.lag));
        // If the reading counts something else, the same part of what is held is asked for.
        let (reading, share_of) = match (sample.measure, sample.reading.share()) {
            (Measure::Share, Some(share)) => {
                controller.set_rules(rests.in_parts());
                let parts = Reading::Known { used: share.into(), total: 1_000_000 };
                (parts, Some(self.pool.bytes(medium)))
            }
            _ => {
                controller.set_rules(rests);
                (sample.reading, None)
            }
        };
        // Monotone, whatever the clock of the caches does.
        let asked = match controller.check(reading, clock().now()) {
            Outcome::Evict(request) => request.amount,
            Outcome::Skipped(skip) => return Err(skip),
        };
        let of_held = |held: u64| (u128::from(held) * u128::from(asked) / 1_000_000) as u64;
        let (least, most) = (rules.min_step(), rules.max_step().unwrap_or(u64::MAX));
        let target = share_of.map_or(asked, |held| of_held(held).clamp(least, most));
        let (done, began) = (Shed::default(), std::time::Instant::now());
        Ok(Request { medium, target, done, began, share_of })
    }

    /// Evicts a part of what is asked for. Returns whether there is more to be evicted.
    fn evict(&self, request: &mut Request) -> bool {
        let left = request.target.saturating_sub(request.done.bytes);
        let part = left.min(AT_A_STEP);
        let shed = self.pool.shed(request.medium, part, self.clock.now());
        request.done.entries = request.done.entries.saturating_add(shed.entries);
        request.done.bytes = request.done.bytes.saturating_add(shed.bytes);
        request.done.panicked |= shed.panicked;
        // If fewer bytes were evicted, there is nothing else.
        shed.bytes >= part && left > part
    }

    /// Ends a request, and returns its result.
    fn conclude(
        &self,
        name: &str,
        controller: &mut Controller,
        settings: &Settings,
        request: &Request,
        hook: Option<&mut Hook>,
    ) -> Result<Option<Check>, String> {
        let (Shed { entries, bytes, panicked }, target) = (request.done, request.target);
        let check = if entries == 0 {
            Check::Skipped(Skip::NothingToEvict)
        } else {
            if settings.gives_back {
                release_free_memory();
            }
            controller.settle(request.in_its_measure(bytes), clock().now());
            Check::Evicted { entries, bytes, target, shortfall: target.saturating_sub(bytes) }
        };
        let check = self.record(name, check);
        let hook = hook.filter(|_| matches!(check, Check::Evicted { .. }));
        if hook.is_some_and(|hook| contained(|| hook(check)).is_none()) {
            return Err("the hook after evicting panicked".to_owned());
        }
        if panicked {
            return Err("a listener or a destructor panicked".to_owned());
        }
        Ok(Some(check))
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

    fn record(&self, name: &str, check: Check) -> Check {
        let now = clock().now();
        let is_ineffective = matches!(check, Check::Skipped(Skip::Ineffective { .. }));
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
            after.ineffective += u64::from(is_ineffective);
            after
        });
        let sample = self.status.load().sample.clone();
        // The collector is code of the user's: if it panics, what was evicted is evicted.
        _ = contained(|| super::observe::checked(name, check, sample.as_ref()));
        check
    }
}
