//! Caches and registries that keep books: of the values that are alive, and of what was told. At rest
//! everything adds up.

use std::collections::HashMap;
use std::hash::BuildHasher;
use std::ops::Deref;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tidegate_core::registry::{Arrival, Departure, Terms, WhenFull};
use tidegate_core::{Budget, Cache, Domain, Guard, Instant, Registry, Sweep, Worker};

/// For how long everything lives.
pub(crate) const TTL: Duration = Duration::from_secs(100);

/// How many values are alive.
#[derive(Clone, Default)]
pub(crate) struct Alive(Arc<AtomicU64>);

impl Alive {
    /// How many there are. Ordered by what the caller waited for.
    pub(crate) fn count(&self) -> u64 {
        self.0.load(Ordering::SeqCst)
    }
}

/// A value that is counted for as long as it is alive.
pub(crate) struct Token {
    pub(crate) number: u64,
    /// The complement, which tells whether it is still whole.
    check: u64,
    alive: Alive,
}

impl Token {
    fn new(number: u64, alive: &Alive) -> Self {
        alive.0.fetch_add(1, Ordering::SeqCst);
        Self { number, check: !number, alive: alive.clone() }
    }

    /// Returns its number, unless it was dropped.
    pub(crate) fn read(&self) -> u64 {
        assert_eq!(self.check, !self.number, "read after it was dropped");
        self.number
    }
}

impl Clone for Token {
    fn clone(&self) -> Self {
        Self::new(self.read(), &self.alive)
    }
}

impl Drop for Token {
    fn drop(&mut self) {
        self.check = 0;
        self.alive.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// A structure with books.
pub(crate) trait Booked: Send + Sync + 'static {
    /// The values of which books are kept.
    fn alive(&self) -> &Alive;

    /// Panics if the bounds do not hold.
    fn look(&self);

    /// Panics unless everything adds up. No other thread changes anything meanwhile.
    fn close(&self, worker: &mut Worker);
}

/// A cache with books.
pub(crate) struct BookedCache<S> {
    cache: Cache<u64, Token, u8, S>,
    alive: Alive,
    told: Arc<AtomicU64>,
    most: u64,
    now: Instant,
}

impl<S: BuildHasher + Clone + Send + Sync + 'static> BookedCache<S> {
    /// A cache of at most `most` entries and twice as many bytes, of which one entry weighs up to three.
    pub(crate) fn new(domain: &Domain, hasher: S, most: u64, now: Instant) -> Self {
        let (alive, told) = (Alive::default(), Arc::<AtomicU64>::default());
        let tells = Arc::clone(&told);
        let cache = Cache::builder(domain, hasher)
            .max_entries(most)
            .max_bytes(most.saturating_mul(2))
            .weigher(|_, token: &Token| token.read() % 3 + 1)
            .time_to_live(TTL)
            .stale_while_revalidate(TTL)
            .stale_if_error(TTL)
            .listener(move |_, token: &Token, _| {
                token.read();
                tells.fetch_add(1, Ordering::SeqCst);
            })
            .build()
            .expect("memory");
        Self { cache, alive, told, most, now }
    }

    pub(crate) fn token(&self, number: u64) -> Token {
        Token::new(number, &self.alive)
    }

    /// Inserts a token of this number. Returns whether it was stored.
    pub(crate) fn put(&self, key: u64, number: u64, guard: &Guard) -> bool {
        let stored = self.cache.insert(key, self.token(number), self.now, guard);
        stored.inspect(|token| assert_eq!(token.read(), number)).is_ok()
    }

    /// The number under a key.
    pub(crate) fn number(&self, key: u64, guard: &Guard) -> Option<u64> {
        self.cache.get(&key, self.now, guard).map(Token::read)
    }
}

impl<S> Deref for BookedCache<S> {
    type Target = Cache<u64, Token, u8, S>;

    fn deref(&self) -> &Self::Target {
        &self.cache
    }
}

impl<S: BuildHasher + Clone + Send + Sync + 'static> Booked for BookedCache<S> {
    fn alive(&self) -> &Alive {
        &self.alive
    }

    fn look(&self) {
        let usage = self.cache.usage();
        let is_within = usage.entries <= self.most && usage.bytes <= self.most.saturating_mul(2);
        assert!(is_within, "{usage:?} of {}", self.most);
    }

    fn close(&self, worker: &mut Worker) {
        // Whatever was left in the map is taken out.
        let mut sweep = self.cache.sweeper(worker.domain().worker());
        while !sweep.sweep(self.now, Budget::entries(256)).wrapped {}
        let guard = worker.quiescent(self.now);
        let weights = self.cache.iter(self.now, guard).map(|(_, token)| token.read() % 3 + 1);
        let (entries, bytes) = weights.fold((0, 0), |sum, weight| (sum.0 + 1, sum.1 + weight));
        let usage = self.cache.usage();
        assert_eq!((usage.entries, usage.bytes), (entries, bytes), "what is reserved is there");
        let it = self.cache.counters();
        let removed = it.expired + it.invalidated + it.replaced + it.evicted + it.shed;
        assert_eq!(it.inserted, removed + entries, "{it:?}");
        assert_eq!(self.told.load(Ordering::SeqCst), removed, "each is told of once");
        assert_eq!(self.cache.loading(), 0, "no load is left behind");
        assert_eq!(self.cache.invalidate_all(self.now, guard), entries);
        let usage = self.cache.usage();
        assert_eq!((usage.entries, usage.bytes), (0, 0));
    }
}

/// What hooks were told of each service: how it departed, once it has.
type Known = HashMap<u64, Option<Departure>>;

/// A registry with books.
pub(crate) struct BookedRegistry<S> {
    registry: Registry<u64, Token, u64, (), S>,
    alive: Alive,
    known: Arc<Mutex<Known>>,
    /// Lists that came, less those that went.
    lists: Arc<AtomicU64>,
    /// The number of the next service that is offered without one.
    next: AtomicU64,
    most: usize,
    now: Instant,
}

impl<S: BuildHasher + Clone + Send + Sync + 'static> BookedRegistry<S> {
    /// A registry of at most `most` entries of each kind.
    pub(crate) fn new(domain: &Domain, hasher: S, most: usize, now: Instant) -> Self {
        let (alive, known) = (Alive::default(), Arc::<Mutex<Known>>::default());
        let (come, gone) = (Arc::clone(&known), Arc::clone(&known));
        let lists = Arc::<AtomicU64>::default();
        let (arrive, depart) = (Arc::clone(&lists), Arc::clone(&lists));
        let terms = Terms::new(TTL).max_entries(most, WhenFull::EvictSoonest);
        let registry = Registry::builder()
            .services(terms)
            .discovered(terms.keep_last_known(TTL))
            .on_service_arrival(move |_, token: &Token, arrival| {
                let mut known = come.lock().expect("no panic");
                let before = known.insert(token.read(), None);
                assert_eq!(before, None, "{} arrives twice", token.number);
                if let Arrival::Replaced(old) = arrival {
                    assert_ne!(old.read(), token.number);
                }
            })
            .on_service(move |_, token: &Token, cause| {
                let mut known = gone.lock().expect("no panic");
                let before = known.get_mut(&token.read()).expect("it has arrived");
                assert_eq!(before.replace(cause), None, "{} departs twice", token.number);
            })
            .on_discovered_arrival(move |_, _, _| _ = arrive.fetch_add(1, Ordering::SeqCst))
            .on_discovered(move |_, _, _| _ = depart.fetch_sub(1, Ordering::SeqCst))
            .build(domain, hasher)
            .expect("memory");
        Self { registry, alive, known, lists, next: AtomicU64::new(1 << 32), most, now }
    }

    pub(crate) fn token(&self, number: u64) -> Token {
        Token::new(number, &self.alive)
    }

    /// Whether a newcomer may be refused: others may take each room that it makes.
    pub(crate) fn is_tight(&self) -> bool {
        self.most < usize::MAX
    }

    /// A token of a number that no other has.
    pub(crate) fn new_token(&self) -> Token {
        self.token(self.next.fetch_add(1, Ordering::SeqCst))
    }

    /// The number under a key.
    pub(crate) fn number(&self, key: u64, guard: &Guard) -> Option<u64> {
        self.registry.services().resolve(&key, self.now, guard).map(Token::read)
    }
}

impl<S> Deref for BookedRegistry<S> {
    type Target = Registry<u64, Token, u64, (), S>;

    fn deref(&self) -> &Self::Target {
        &self.registry
    }
}

impl<S: BuildHasher + Clone + Send + Sync + 'static> Booked for BookedRegistry<S> {
    fn alive(&self) -> &Alive {
        &self.alive
    }

    fn look(&self) {
        let (services, lists) = (self.registry.services().len(), self.registry.discovered().len());
        assert!(services <= self.most && lists <= self.most, "{services} and {lists}");
    }

    fn close(&self, worker: &mut Worker) {
        let guard = worker.quiescent(self.now);
        // Whatever is dead is taken out, and nothing else, for it is early.
        self.registry.prune_all(Instant::ORIGIN, guard);
        let there = self.registry.services().iter(Instant::ORIGIN, guard);
        let there: Vec<u64> = there.map(|(_, token)| token.read()).collect();
        assert_eq!(self.registry.services().len(), there.len(), "what is there is counted");
        let known = self.known.lock().expect("no panic");
        let mut live: Vec<u64> =
            known.iter().filter(|(_, departed)| departed.is_none()).map(|(&n, _)| n).collect();
        drop(known);
        let mut expected = there;
        expected.sort_unstable();
        live.sort_unstable();
        assert_eq!(live, expected, "arrivals less departures");
        let lists = self.lists.load(Ordering::SeqCst);
        assert_eq!(lists, self.registry.discovered().len() as u64, "of lists, too");
        self.registry.prune_all(self.now + 20 * TTL, guard);
        let left = (self.registry.services().len(), self.registry.discovered().len());
        assert_eq!(left, (0, 0), "all have ended");
        assert_eq!(self.lists.load(Ordering::SeqCst), 0);
    }
}
