//! A service under one runtime: a limiter, a registry and a cache, swept by one thread, and the cache kept
//! within what memory there is. It serves made-up traffic until it is interrupted (SIGINT, SIGTERM), says once
//! a second how it stands, and stops cleanly.
//!
//! ```sh
//! cargo run --release -p tidegate --example service
//! ```

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use tidegate::lockfree::bucket::Set;
use tidegate::lockfree::cache::CacheSweep;
use tidegate::lockfree::registry::{RegistrySweep, Terms};
use tidegate::lockfree::{BucketTable, Cache, Registry, TableSweep};
use tidegate::pressure::{
    Alarm, Cgroup, Check, Medium, Meminfo, Pool, Pressure, Priority, Root, Rules, Watermarks,
    max_of,
};
use tidegate::{
    Advertiser, Clock, GetOrLoad, LoadError, Plan, Quota, Runtime, Schedule, Stop, Tiers, clock,
    domain, pin, random_state,
};

const TTL: Duration = Duration::from_secs(30);

type Clients = BucketTable<Box<[Set]>>;
type Pages = Cache<u64, Arc<[u8]>, LoadError<String>>;
type Services = Registry<String, u16, (), ()>;

/// What the service holds, and what it has done.
struct Service {
    clients: Arc<Clients>,
    plan: Plan,
    pages: Arc<Pages>,
    registry: Arc<Services>,
    served: AtomicU64,
    limited: AtomicU64,
    stops: AtomicBool,
}

impl Service {
    fn new() -> Result<Self, Box<dyn Error>> {
        let quota = Quota::per_second(20)?.burst(40)?;
        let clients = Arc::new(BucketTable::boxed(quota, 50_000, random_state())?);
        let plan = clients.plan(quota)?;
        let pages = Cache::builder(domain(), random_state())
            .max_bytes(64 << 20)
            .weigher(|_, page: &Arc<[u8]>| page.len() as u64)
            .time_to_live(TTL)
            .stale_while_revalidate(TTL)
            .build()?;
        let registry = Registry::builder()
            .services(
                Terms::new(TTL).max_entries(1_000, tidegate::lockfree::registry::WhenFull::Refuse),
            )
            .build(domain(), random_state())?;
        let (served, limited) = (AtomicU64::new(0), AtomicU64::new(0));
        let (pages, registry) = (Arc::new(pages), Arc::new(registry));
        let stops = AtomicBool::new(false);
        Ok(Self { clients, plan, pages, registry, served, limited, stops })
    }

    /// One request: is there a service, may the client, and what does it get.
    fn serve(&self, client: u64, page: u64) {
        let now = clock().now();
        if !self.clients.check(&client, &self.plan, now).is_admitted() {
            self.limited.fetch_add(1, Ordering::Relaxed);
            return;
        }
        if self.registry.services().resolve("pages", now, &pin()).is_none() {
            return;
        }
        let made = self.pages.get_or_load(
            &page,
            |&page| {
                // Comes from a database, perhaps.
                Ok(vec![page as u8; 1_000 + (page % 50_000) as usize].into())
            },
            &clock(),
        );
        if made.is_ok() {
            self.served.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Made-up traffic: a few clients ask for much, most for little.
    fn traffic(&self, seed: u64) {
        let mut random = seed;
        while !self.stops.load(Ordering::Relaxed) {
            for _ in 0..100 {
                // xorshift: Marsaglia, 2003.
                random ^= random << 13;
                random ^= random >> 7;
                random ^= random << 17;
                let client = if random & 3 == 0 { random % 8 } else { random % 20_000 };
                self.serve(client, (random >> 32) % 5_000);
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    // Before any thread is there that the signal could end.
    let mut signals = Signals::new([SIGINT, SIGTERM])?;
    let service = Arc::new(Service::new()?);
    let runtime = Runtime::builder().name("service").build()?;

    // One thread sweeps everything, each at its own cadence.
    let second = Schedule::every(Duration::from_secs(1))?;
    runtime.sweep("clients", second, TableSweep::new(Arc::clone(&service.clients)))?;
    let sweep = CacheSweep::new(Arc::clone(&service.pages), domain().worker());
    runtime.sweep("pages", Schedule::for_ttl(TTL), sweep)?;
    let sweep = RegistrySweep::new(Arc::clone(&service.registry), domain().worker());
    runtime.sweep("services", Schedule::for_ttl(TTL), sweep)?;

    // What is offered here is advertised again before it ends.
    let registry = Arc::clone(&service.registry);
    let ours = Advertiser::over(registry, TTL, Duration::from_secs(10), clock());
    ours.advertise("pages".to_owned(), 80)?;
    runtime.sweep("advertiser", second, ours.clone())?;

    // The cache is evicted when memory is short. The limiter and the registry never are.
    let pool = Pool::new();
    pool.cache("pages", Arc::clone(&service.pages), Tiers::ALL, Medium::Host, Priority(0), 0)?;
    let root = Root::system();
    let memory = max_of(vec![Box::new(Cgroup::new(root.clone())), Box::new(Meminfo::new(root))])?;
    let rules = Rules::new(Watermarks::percent(90, 80)?);
    let builder = Pressure::builder(memory, &pool).rules(rules).interval(Duration::from_secs(1))?;
    // At once, where the kernel says so.
    let builder = match Alarm::of_pressure(&Root::system()) {
        Ok(alarm) => builder.alarm(alarm),
        Err(_) => builder,
    };
    let pressure = runtime.pressure("memory", builder)?;

    runtime.start()?;
    let workers: Vec<_> = (1..=2)
        .map(|seed| {
            let service = Arc::clone(&service);
            std::thread::spawn(move || service.traffic(seed * 0x9e37_79b9))
        })
        .collect();

    // Says how it stands, until a signal comes.
    let handle = signals.handle();
    let reporter = std::thread::spawn({
        let (service, pressure, runtime) =
            (Arc::clone(&service), pressure.clone(), runtime.clone());
        move || {
            while !service.stops.load(Ordering::Relaxed) {
                report(&service, &pressure, &runtime);
                std::thread::park_timeout(Duration::from_secs(1));
            }
        }
    });
    let signal = signals.forever().next();
    handle.close();

    service.stops.store(true, Ordering::Relaxed);
    reporter.thread().unpark();
    for worker in workers.into_iter().chain([reporter]) {
        worker.join().map_err(|_| "a thread panicked")?;
    }
    ours.withdraw(&"pages".to_owned());
    let stop = runtime.stop(Duration::from_secs(5));
    for sweeping in runtime.sweep_handles() {
        let metrics = sweeping.metrics();
        let (runs, removed) = (metrics.runs, metrics.removed);
        println!(
            "{:>10}: {runs} runs, {removed} removed, {} errors",
            sweeping.name(),
            metrics.errors
        );
    }
    let signal = signal.and_then(signal_hook::low_level::signal_name).unwrap_or("nothing");
    println!("{signal}: {}", if stop == Stop::Stopped { "stopped" } else { "a step is stuck" });
    Ok(())
}

fn report(service: &Service, pressure: &Pressure, runtime: &Runtime) {
    let status = pressure.status();
    let memory = match status.sample.map(|sample| (sample.reading.share(), sample.detail)) {
        Some((Some(share), from)) => format!("{:.1} % of {from}", f64::from(share) / 10_000.0),
        Some((None, why)) => why,
        None => "not sampled yet".to_owned(),
    };
    let check = match status.check {
        Some(check @ Check::Evicted { .. }) => format!(", {check}"),
        _ => String::new(),
    };
    println!(
        "served {:>8}  limited {:>7}  buckets {:>6}  pages {:>5} ({:>5} KiB)  services {}  {:?}  memory {memory}{check}",
        service.served.load(Ordering::Relaxed),
        service.limited.load(Ordering::Relaxed),
        service.clients.len(),
        service.pages.usage().entries,
        service.pages.usage().bytes >> 10,
        service.registry.services().len(),
        runtime.health(),
    );
}
