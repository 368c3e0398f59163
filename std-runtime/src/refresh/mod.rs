//! What must be renewed before it ends: credentials, tokens, keys.
//!
//! A [`Refresher`] holds one value with an end, and has it renewed early, by one caller or a thread of a
//! [`Runtime`](crate::Runtime), while everybody else is served what is still valid, without a lock.

mod breaker;
mod due;

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use tidegate_core::{Clock, Instant, Ttl};

pub use self::breaker::Breaker;

use self::breaker::{Admitted, Fuse};
use self::due::{Early, WHOLE};
use crate::caller::Work;
use crate::config::ConfigError;
use crate::load::polled;
use crate::panics::contained;
use crate::runtime::SharedClock;
use crate::single::{Awaited, Reentrant, Run, Single, Turn};
use crate::wait::TimedOut;

/// A value as it was made, and how long it is good for from then on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Minted<T> {
    /// The value.
    pub value: T,
    /// How long it is valid, from when its making began.
    pub ttl: Ttl,
}

/// Why there is no value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RefreshError<E> {
    /// Making it failed.
    Failed(E),
    /// Making it panicked.
    Panicked,
    /// What was made had ended already.
    AlreadyExpired,
    /// So many renewals failed that none is tried.
    BreakerOpen {
        /// Until then; `None` while one is being tried.
        until: Option<Instant>,
    },
    /// Whoever makes it asked for it.
    Reentrant,
    /// Somebody else makes it, and takes longer than the caller would wait.
    TimedOut,
}

impl<E: fmt::Display> fmt::Display for RefreshError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failed(error) => error.fmt(f),
            Self::Panicked => f.write_str("making it panicked"),
            Self::AlreadyExpired => f.write_str("what was made had ended already"),
            Self::BreakerOpen { until: Some(until) } => {
                write!(f, "too many renewals failed; none is tried until {until}")
            }
            Self::BreakerOpen { until: None } => {
                f.write_str("too many renewals failed, and one is being tried")
            }
            Self::Reentrant => f.write_str("whoever makes it asked for it"),
            Self::TimedOut => TimedOut.fmt(f),
        }
    }
}

impl<E: fmt::Debug + fmt::Display> std::error::Error for RefreshError<E> {}

/// Something that happened to a [`Refresher`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// A new value is there, valid for so long; `None`: for ever.
    Renewed(Option<Duration>),
    /// A renewal failed; the old value is valid for so long.
    Failed(Duration),
    /// The breaker changed, otherwise than in its count of failures.
    Breaker(Breaker),
}

/// How a [`Refresher`] is faring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RefreshStatus {
    /// When the value ends; `None`: never.
    pub expires: Option<Instant>,
    /// When it is to be renewed.
    pub due: Option<Instant>,
    /// Whether renewals are tried.
    pub breaker: Breaker,
    /// Renewals that ended well, the first included.
    pub renewed: u64,
    /// Renewals that failed.
    pub failed: u64,
}

/// What a renewal came to.
type Ended<T, E> = Result<Arc<T>, RefreshError<E>>;
type Mint<T, E> = Box<dyn Fn() -> Result<Minted<T>, E> + Send + Sync>;
type Report = Box<dyn Fn(Event) + Send + Sync>;

/// Holds a value with an end, and renews it.
///
/// # Guarantees
///
/// * What has ended is never handed out: the clock is read after every wait.
/// * At most one renewal is under way. Whoever waits for it has its result, or its failure.
/// * A value that is valid is handed out whatever becomes of its renewal.
/// * Renewals begin at least [the spacing](Builder::spacing) apart while the value is valid; those that fail,
///   further and further. After so many failures in a row [the breaker](Builder::breaker) opens, and then
///   one renewal at a time is tried.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use tidegate::refresh::{Minted, Refresher};
///
/// let token = Refresher::builder(|| {
///     // Asks whoever gives them out.
///     Ok::<_, String>(Minted { value: "secret", ttl: Duration::from_secs(3_600).into() })
/// })
/// .build()?;
/// assert_eq!(*token.get()?, "secret");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Refresher<T, E> {
    token: ArcSwapOption<Token<T>>,
    single: Single<Ended<T, E>>,
    book: Mutex<Book>,
    /// No early renewal before this.
    not_before: AtomicU64,
    /// Until then a thread sees to early renewals.
    attended_until: AtomicU64,
    mint: Mint<T, E>,
    rules: Rules,
}

struct Token<T> {
    value: Arc<T>,
    expires: Option<Instant>,
    due: Option<Instant>,
}

impl<T> Token<T> {
    fn is_valid(&self, now: Instant) -> bool {
        self.expires.is_none_or(|end| now < end)
    }
}

/// What those who renew write down.
struct Book {
    breaker: Breaker,
    failures: u32,
    renewed: u64,
    failed: u64,
}

struct Rules {
    clock: SharedClock,
    early: Early,
    fuse: Fuse,
    spacing: Duration,
    longest: Duration,
    report: Option<Report>,
}

/// What a [`Refresher`] is to be like: [`Refresher::builder`].
#[must_use = "a builder builds nothing until it is told to"]
pub struct Builder<T, E> {
    mint: Mint<T, E>,
    rules: Rules,
}

impl<T, E> Builder<T, E> {
    /// Renewed at this part of its life, in parts per million: 800,000 until set.
    pub fn refresh_at(mut self, parts: u32) -> Self {
        self.rules.early.part = parts;
        self
    }

    /// Earlier by up to this part of its life, at random, so that many do not renew together: 0 until set.
    pub fn jitter(mut self, parts: u32) -> Self {
        self.rules.early.jitter = parts;
        self
    }

    /// So long before its end at the latest: 30 seconds until set. What lives for no longer than that is due as
    /// soon as it is there, and is renewed at every [spacing](Self::spacing); what lives for less than five times
    /// as long is renewed earlier than [`refresh_at`](Self::refresh_at) says. Let it fit the life of what is
    /// made.
    pub fn floor(mut self, floor: Duration) -> Self {
        self.rules.early.floor = floor;
        self
    }

    /// After so many failures in a row none is tried for so long, and then one: 5, and a minute, until set.
    pub fn breaker(mut self, threshold: u32, cooldown: Duration) -> Self {
        self.rules.fuse = Fuse { threshold, cooldown };
        self
    }

    /// Early renewals begin so far apart; after failures in a row twice, four times as far and so on, but
    /// no further than `longest`: a second and a minute until set.
    pub fn spacing(mut self, spacing: Duration, longest: Duration) -> Self {
        (self.rules.spacing, self.rules.longest) = (spacing, longest);
        self
    }

    /// The clock: [that of the process](crate::clock()) until set.
    pub fn clock(mut self, clock: Arc<dyn Clock + Send + Sync>) -> Self {
        self.rules.clock = clock;
        self
    }

    /// Is told what happens, by whoever renews. If it panics, that is caught.
    ///
    /// Of one renewal it is told in order: that it was let try again, before it is made; how it went, once it is
    /// over. Those of two renewals that follow each other may come at once, and in either order. It may ask for the
    /// token, and is told so where that would be to wait for itself; it must not wait for another thread that does.
    pub fn report(mut self, report: impl Fn(Event) + Send + Sync + 'static) -> Self {
        self.rules.report = Some(Box::new(report));
        self
    }
}

/// Why there is no [`Refresher`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BuildError<E> {
    /// A setting cannot be.
    Config(ConfigError),
    /// There is no first value.
    Refresh(RefreshError<E>),
}

impl<E: fmt::Display> fmt::Display for BuildError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Config(error) => error.fmt(f),
            Self::Refresh(error) => error.fmt(f),
        }
    }
}

impl<E: fmt::Debug + fmt::Display> std::error::Error for BuildError<E> {}

impl<T, E> Builder<T, E>
where
    T: Send + Sync + 'static,
    E: Clone + Send + Sync + 'static,
{
    /// Makes the first value, on this thread.
    ///
    /// # Errors
    ///
    /// If a setting cannot be, or making it fails.
    pub fn build(self) -> Result<Refresher<T, E>, BuildError<E>> {
        let Self { mint, rules } = self;
        rules.early.check().map_err(BuildError::Config)?;
        if rules.fuse.threshold == 0 {
            let refused = ConfigError::new("threshold", "must be at least 1");
            return Err(BuildError::Config(refused));
        }
        if rules.longest < rules.spacing {
            let refused = ConfigError::new("longest", "must be at least the spacing");
            return Err(BuildError::Config(refused));
        }
        let book = Book { breaker: Breaker::Closed(0), failures: 0, renewed: 0, failed: 0 };
        let refresher = Refresher {
            token: ArcSwapOption::empty(),
            single: Single::new(),
            book: Mutex::new(book),
            not_before: AtomicU64::new(0),
            attended_until: AtomicU64::new(0),
            mint,
            rules,
        };
        match refresher.get() {
            Ok(_) => Ok(refresher),
            Err(error) => Err(BuildError::Refresh(error)),
        }
    }
}

/// What a caller is to do.
enum Decision<'a, T, E> {
    Serve(Arc<T>),
    Renew(Renewal<'a, T, E>),
    /// And decide again.
    Wait(Awaited<'a, Ended<T, E>>),
}

/// A renewal that is the caller's to do. Dropped, it leaves that to the next.
struct Renewal<'a, T, E> {
    refresher: &'a Refresher<T, E>,
    run: Option<Run<'a, Ended<T, E>>>,
    admitted: Admitted,
    /// What is to be told of that.
    event: Option<Event>,
    began: Instant,
}

impl<T, E> Refresher<T, E>
where
    T: Send + Sync + 'static,
    E: Clone + Send + Sync + 'static,
{
    /// A refresher of what `mint` makes, to be described further.
    pub fn builder(
        mint: impl Fn() -> Result<Minted<T>, E> + Send + Sync + 'static,
    ) -> Builder<T, E> {
        let rules = Rules {
            clock: Arc::new(crate::clock()),
            early: Early { part: 800_000, jitter: 0, floor: Duration::from_secs(30) },
            fuse: Fuse { threshold: 5, cooldown: Duration::from_secs(60) },
            spacing: Duration::from_secs(1),
            longest: Duration::from_secs(60),
            report: None,
        };
        Builder { mint: Box::new(mint), rules }
    }

    /// The value. Where it is to be renewed, one caller does that on his thread, unless [a
    /// thread](crate::Runtime::refresh) sees to it; the others have what is still valid at once. Where it
    /// has ended, they wait for the one.
    ///
    /// # Errors
    ///
    /// If there is no valid value, and the renewal failed, or none is tried.
    pub fn get(&self) -> Result<Arc<T>, RefreshError<E>> {
        self.blocking(|awaited| Ok(awaited.wait()))
    }

    /// The same, but waits for somebody else's renewal no longer than this. One that is the caller's to do is
    /// not interrupted.
    ///
    /// # Errors
    ///
    /// The same, and [`RefreshError::TimedOut`].
    pub fn get_within(&self, timeout: Duration) -> Result<Arc<T>, RefreshError<E>> {
        let start = std::time::Instant::now();
        self.blocking(|awaited| awaited.wait_for(timeout.saturating_sub(start.elapsed())))
    }

    fn blocking(
        &self,
        wait: impl Fn(Awaited<'_, Ended<T, E>>) -> Result<Option<Ended<T, E>>, TimedOut>,
    ) -> Ended<T, E> {
        let work = Work::new();
        loop {
            match self.decide(&work)? {
                Decision::Serve(value) => return Ok(value),
                Decision::Wait(awaited) => {
                    let ended = wait(awaited).map_err(|TimedOut| RefreshError::TimedOut)?;
                    if let Some(ended @ Err(_)) = ended {
                        return self.settle(ended);
                    }
                }
                Decision::Renew(renewal) => {
                    let work = Arc::new(work);
                    let minted = work.run(|| contained(|| renewal.mint(&self.mint)));
                    return self.settle(renewal.end(minted));
                }
            }
        }
    }

    /// The same for a task, which makes the value with a future of its own in place of the closure that this
    /// was built with. Dropped at any time, it leaves renewing to the next. Kept without being polled, it keeps
    /// the others from renewing: they are served while there is a valid value, and then wait.
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get).
    pub async fn get_async<F>(&self, mint: impl Fn() -> F) -> Result<Arc<T>, RefreshError<E>>
    where
        F: Future<Output = Result<Minted<T>, E>>,
    {
        let work = Work::new();
        loop {
            match self.decide(&work)? {
                Decision::Serve(value) => return Ok(value),
                Decision::Wait(awaited) => {
                    if let Some(ended @ Err(_)) = awaited.await {
                        return self.settle(ended);
                    }
                }
                Decision::Renew(renewal) => {
                    let work = Arc::new(work);
                    let minted = match work.run(|| contained(|| renewal.mint(&mint))) {
                        Some(future) => polled(&work, future).await,
                        None => None,
                    };
                    return self.settle(renewal.end(minted));
                }
            }
        }
    }

    /// What a renewal came to; or what is valid still.
    fn settle(&self, ended: Ended<T, E>) -> Ended<T, E> {
        ended.or_else(|error| {
            self.valid(self.rules.clock.now()).map(|token| Arc::clone(&token.value)).ok_or(error)
        })
    }

    fn valid(&self, now: Instant) -> Option<Arc<Token<T>>> {
        self.token.load_full().filter(|token| token.is_valid(now))
    }

    fn decide(&self, work: &Work) -> Result<Decision<'_, T, E>, RefreshError<E>> {
        let now = self.rules.clock.now();
        let token = self.token.load();
        let valid = token.as_ref().filter(|token| token.is_valid(now));
        if let Some(token) = valid {
            let serve = Decision::Serve(Arc::clone(&token.value));
            if !self.is_due(token, now) || self.is_attended(token, now) {
                return Ok(serve);
            }
            let renewal = self.renewal(work, now).ok();
            return Ok(renewal.map_or(serve, Decision::Renew));
        }
        drop(token);
        match self.single.take(work) {
            Err(Reentrant) => Err(RefreshError::Reentrant),
            Ok(Turn::Theirs(awaited)) => Ok(Decision::Wait(awaited)),
            Ok(Turn::Ours(run)) => self.begin(run, now),
        }
    }

    /// Whether to renew a valid token early.
    fn is_due(&self, token: &Token<T>, now: Instant) -> bool {
        // Relaxed: a time stands alone.
        let not_before = Instant::from_nanos(self.not_before.load(Ordering::Relaxed));
        token.due.is_some_and(|due| now >= due) && now >= not_before
    }

    /// Whether a thread sees to early renewals; not if half of the time for one is over.
    fn is_attended(&self, token: &Token<T>, now: Instant) -> bool {
        // Relaxed: a time stands alone.
        let until = Instant::from_nanos(self.attended_until.load(Ordering::Relaxed));
        let half = token.due.zip(token.expires).map(|(due, end)| due + end.since(due) / 2);
        now < until && half.is_none_or(|half| now < half)
    }

    /// An early renewal, if it is nobody else's.
    fn renewal(&self, work: &Work, now: Instant) -> Result<Renewal<'_, T, E>, ()> {
        // All who ask while it takes its time come here, and meet no lock.
        if self.single.is_taken() {
            return Err(());
        }
        let Ok(Turn::Ours(run)) = self.single.take(work) else {
            return Err(());
        };
        match self.begin(run, now) {
            Ok(Decision::Renew(renewal)) => Ok(renewal),
            // Somebody has renewed it just now, or none is tried.
            _ => Err(()),
        }
    }

    /// A renewal, unless there is a valid token by now, or none is tried.
    fn begin<'a>(
        &'a self,
        run: Run<'a, Ended<T, E>>,
        now: Instant,
    ) -> Result<Decision<'a, T, E>, RefreshError<E>> {
        if let Some(token) = self.valid(now).filter(|token| !self.is_due(token, now)) {
            return Ok(Decision::Serve(Arc::clone(&token.value)));
        }
        let (admitted, event) = self.change(|book| book.breaker.admit(now));
        let admitted = admitted.map_err(|until| RefreshError::BreakerOpen { until })?;
        let renewal = Renewal { refresher: self, run: Some(run), admitted, event, began: now };
        Ok(Decision::Renew(renewal))
    }

    /// How it is faring.
    pub fn status(&self) -> RefreshStatus {
        let token = self.token.load();
        let (expires, due) =
            token.as_ref().map_or((None, None), |token| (token.expires, token.due));
        let book = self.book();
        let Book { breaker, renewed, failed, .. } = *book;
        RefreshStatus { expires, due, breaker, renewed, failed }
    }

    /// Renews it if it is due, on behalf of those who ask, who are left alone with that for so long.
    pub(crate) fn attend(&self, until_next: Duration) -> Result<(), String>
    where
        E: fmt::Display,
    {
        let now = self.rules.clock.now();
        // Late twice, and callers see to it themselves. Relaxed: a time stands alone.
        let until = now + until_next.saturating_mul(3);
        self.attended_until.store(until.as_nanos(), Ordering::Relaxed);
        let is_due = self.valid(now).is_none_or(|token| self.is_due(&token, now));
        let work = Arc::new(Work::new());
        if is_due && let Ok(renewal) = self.renewal(&work, now) {
            let minted = work.run(|| contained(|| renewal.mint(&self.mint)));
            renewal.end(minted).map_err(|error| error.to_string())?;
        }
        match self.valid(self.rules.clock.now()) {
            Some(_) => Ok(()),
            None => Err("there is no valid token, and none is made now".to_owned()),
        }
    }
}

impl<T, E> Refresher<T, E> {
    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes what is written down, and returns what is to be told if that changes the breaker.
    fn change<R>(&self, change: impl FnOnce(&mut Book) -> R) -> (R, Option<Event>) {
        let mut book = self.book();
        let before = book.breaker;
        let result = change(&mut book);
        let after = book.breaker;
        (result, after.differs(before).then_some(Event::Breaker(after)))
    }

    /// No early renewal before this, nor while the breaker is open: those who ask meet no lock until then.
    fn put_off(&self, until: Instant) {
        let until = match self.book().breaker {
            Breaker::Open(open) => until.max(open),
            Breaker::Closed(_) | Breaker::HalfOpen => until,
        };
        // Relaxed: a time stands alone.
        self.not_before.store(until.as_nanos(), Ordering::Relaxed);
    }

    /// Not while anything is held that whoever hears of it might ask for.
    fn tell(&self, events: impl IntoIterator<Item = Event>) {
        if let Some(report) = &self.rules.report {
            events.into_iter().for_each(|event| _ = contained(|| report(event)));
        }
    }
}

impl<T, E> Renewal<'_, T, E>
where
    T: Send + Sync + 'static,
    E: Clone + Send + Sync + 'static,
{
    /// Has it made, as part of the work that others may wait for: whoever hears that it was admitted, and asks,
    /// is told that he would wait for himself.
    fn mint<M>(&self, mint: impl FnOnce() -> M) -> M {
        self.refresher.tell(self.event);
        mint()
    }

    /// Installs what was made, or writes the failure down: `None` for a panic.
    fn end(mut self, minted: Option<Result<Minted<T>, E>>) -> Result<Arc<T>, RefreshError<E>> {
        let refresher = self.refresher;
        let rules = &refresher.rules;
        let now = contained(|| rules.clock.now()).unwrap_or(self.began);
        let mut ended_already = None;
        let result = match minted {
            None => Err(RefreshError::Panicked),
            Some(Err(error)) => Err(RefreshError::Failed(error)),
            Some(Ok(Minted { value, ttl })) => {
                let expires = match ttl {
                    Ttl::For(life) => Some(self.began + life),
                    Ttl::Forever => None,
                };
                if expires.is_some_and(|end| end <= now) {
                    ended_already = Some(value);
                    Err(RefreshError::AlreadyExpired)
                } else {
                    let due = rules.early.due(self.began, expires, chance());
                    Ok(Token { value: Arc::new(value), expires, due })
                }
            }
        };
        // From here on not abandoned. Nobody else's code is called before it is somebody's no more.
        let Some(run) = self.run.take() else { unreachable!("it ends once") };
        let (result, before, breaker, event, wait) = match result {
            Ok(token) => {
                let value = Arc::clone(&token.value);
                let left = token.expires.map(|end| end.since(now));
                let before = refresher.token.swap(Some(Arc::new(token)));
                let ((), breaker) = refresher.change(|book| {
                    book.breaker.succeeded();
                    (book.failures, book.renewed) = (0, book.renewed + 1);
                });
                (Ok(value), before, breaker, Event::Renewed(left), rules.spacing)
            }
            Err(error) => {
                let (failures, breaker) = refresher.change(|book| {
                    book.breaker.failed(now, rules.fuse);
                    book.failed += 1;
                    book.failures = book.failures.saturating_add(1);
                    book.failures
                });
                let doubled = 1_u32.checked_shl(failures).unwrap_or(u32::MAX);
                let wait = rules.spacing.saturating_mul(doubled).min(rules.longest);
                let left = refresher.valid(now).and_then(|token| token.expires);
                let left = left.map_or(Duration::ZERO, |end| end.since(now));
                (Err(error), None, breaker, Event::Failed(left), wait)
            }
        };
        refresher.put_off(now + wait);
        let ended = run.end(result);
        refresher.tell(breaker.into_iter().chain([event]));
        contained(|| drop((before, ended_already)));
        Ended::clone(&ended)
    }
}

impl<T, E> Drop for Renewal<'_, T, E> {
    fn drop(&mut self) {
        // Ended, it has no run any more.
        let Some(run) = self.run.take() else { return };
        let Refresher { rules, .. } = self.refresher;
        let now = contained(|| rules.clock.now()).unwrap_or(self.began);
        let abandon = |book: &mut Book| book.breaker.abandoned(self.admitted, now, rules.fuse);
        let (_, event) = self.refresher.change(abandon);
        self.refresher.put_off(now + rules.spacing);
        drop(run);
        self.refresher.tell(event);
    }
}

/// A random part of a million.
fn chance() -> u32 {
    use std::hash::BuildHasher;
    let random = std::hash::RandomState::new().hash_one(0);
    (random % u64::from(WHOLE)) as u32
}

impl<T, E> fmt::Debug for Refresher<T, E>
where
    T: Send + Sync + 'static,
    E: Clone + Send + Sync + 'static,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Refresher").field("status", &self.status()).finish_non_exhaustive()
    }
}
