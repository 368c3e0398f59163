//! The value, whether it may be returned, and what happens to it when a renewal ends.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use tidegate_core::{Instant, Ttl};

use super::book::{Book, Ended, Failure};
use super::breaker::{Admitted, Breaker, doubled};
use super::due::WHOLE;
use super::mint::Blocking;
use super::rules::Rules;
use super::{Event, Minted, RefreshError, RefreshStatus};
use crate::panics::{contained, dispose};

/// Holds a value that expires, and renews it.
///
/// # Guarantees
///
/// * An expired value is not returned, unless [a setting](super::Builder::stale_if_error) permits it. The clock is read
///   after every wait, and after the last call of other people's code.
/// * At most one renewal is in progress. Callers that wait for it get its result, or its failure.
/// * A valid value is returned even if its renewal fails.
/// * Renewals are [spaced](super::Builder::spacing), failed ones also after the value has expired. After failures in a
///   row [the breaker](super::Builder::breaker) opens, and its pauses grow. After an outage of the
///   provider, the first value comes no later than the outage lasted, or than the spacing if that is longer. It never
///   comes later than the longest pause.
/// * Panics of other people's code are caught: of the function that makes values, reports, wakers, destructors, copies of
///   failures and the clock. No such code runs while a lock is held that it could wait for.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use tidegate::refresh::{Minted, Refresher};
///
/// let token = Refresher::builder(|| {
///     // Asks the server that issues tokens.
///     Ok::<_, String>(Minted { value: "secret", ttl: Duration::from_secs(3_600).into() })
/// })
/// .build()?;
/// assert_eq!(*token.get()?, "secret");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// A value that the server refuses is [rejected](Self::reject), and the next call makes another:
///
/// ```
/// use std::time::Duration;
/// use tidegate::refresh::{Minted, Refresher};
///
/// # fn status(secret: &str) -> u16 { 401 }
/// # let mint = || Ok::<_, String>(Minted { value: "secret", ttl: Duration::from_secs(3_600).into() });
/// let token = Refresher::builder(mint).build()?;
/// let secret = token.get()?;
/// if status(&secret) == 401 {
///     token.reject(&secret);
/// }
/// # assert_eq!(token.status().rejected, 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Refresher<T, E, M = Blocking<T, E>> {
    pub(super) state: Arc<State<T, E>>,
    pub(super) mint: M,
}

impl<T, E, M> Refresher<T, E, M> {
    /// Returns the value if it is valid. Renews nothing, and waits for nothing.
    pub fn current(&self) -> Option<Arc<T>> {
        self.state.valid(self.state.now()?)
    }

    /// Rejects a value that the server refuses though it has not expired: one that was revoked, or answered with 401.
    /// Returns whether it was the current value.
    ///
    /// A rejected value is not returned again. The next call makes another, after [the
    /// spacing](super::Builder::spacing) if the rejected one has just been made. Values are compared by identity: a newer
    /// value stays, even if several callers reject the old one.
    pub fn reject(&self, value: &Arc<T>) -> bool {
        self.state.reject(value)
    }

    /// Returns the state and the counts of the refresher.
    pub fn status(&self) -> RefreshStatus {
        let token = self.state.token.load();
        let (expires, due) =
            token.as_ref().map_or((None, None), |token| (token.expires, token.due));
        dispose(token);
        let book = self.state.book();
        let Book { renewed, failed, rejected, .. } = *book;
        RefreshStatus { expires, due, breaker: book.breaker(), renewed, failed, rejected }
    }
}

impl<T, E, M> fmt::Debug for Refresher<T, E, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Refresher").field("status", &self.status()).finish_non_exhaustive()
    }
}

/// Lets a thread of a [`Runtime`](crate::Runtime::refresh) renew a value. Every [`Refresher`] implements this trait, and
/// no other type can.
pub trait Attended: Send + Sync + private::Sealed + 'static {
    /// Renews the value if it is due, on behalf of callers. They leave that to this thread until it
    /// has been late twice: the next call follows after `until_next`.
    ///
    /// # Errors
    ///
    /// If the renewal failed, or there is no valid value.
    #[doc(hidden)]
    fn attend(&self, until_next: Duration) -> Result<(), String>;
}

mod private {
    pub trait Sealed {}
    impl<T, E, M> Sealed for super::Refresher<T, E, M> {}
}

/// A value, and when it ends and is due.
pub(super) struct Token<T> {
    value: Arc<T>,
    expires: Option<Instant>,
    due: Option<Instant>,
}

impl<T> Token<T> {
    fn is_valid(&self, now: Instant) -> bool {
        self.expires.is_none_or(|end| now < end)
    }
}

/// What a caller finds.
pub(super) enum Look<T> {
    /// A valid value, with which the caller has nothing else to do.
    Fresh(Arc<T>),
    /// A valid value that is to be renewed now.
    Due(Arc<T>),
    /// No valid value.
    Lacking,
}

/// What all ways of renewing share.
pub(super) struct State<T, E> {
    token: ArcSwapOption<Token<T>>,
    book: Mutex<Book<E>>,
    /// No renewal of a valid value before this.
    not_before: AtomicU64,
    /// Until then a thread renews valid values.
    attended_until: AtomicU64,
    rules: Rules,
}

impl<T, E> State<T, E> {
    pub(super) fn new(rules: Rules) -> Self {
        Self {
            token: ArcSwapOption::empty(),
            book: Mutex::new(Book::new()),
            not_before: AtomicU64::new(0),
            attended_until: AtomicU64::new(0),
            rules,
        }
    }

    fn book(&self) -> MutexGuard<'_, Book<E>> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads the clock; `None` if it panics.
    pub(super) fn now(&self) -> Option<Instant> {
        contained(|| self.rules.clock.now())
    }

    /// Returns the value if it is valid.
    pub(super) fn valid(&self, now: Instant) -> Option<Arc<T>> {
        self.value_if(|token| token.is_valid(now))
    }

    fn value_if(&self, may_serve: impl Fn(&Token<T>) -> bool) -> Option<Arc<T>> {
        let token = self.token.load();
        let value = token.as_ref().filter(|token| may_serve(token));
        let value = value.map(|token| Arc::clone(&token.value));
        // Calls the destructor of the value only where there is none to hand out.
        dispose(token);
        value
    }

    /// Returns the value if it is valid, or may stand in for one.
    fn servable(&self) -> Option<Arc<T>> {
        let (now, window) = (self.now()?, self.rules.on_error);
        self.value_if(|token| token.expires.is_none_or(|end| now < end + window))
    }

    /// Returns a valid value with which a caller has nothing else to do.
    #[inline]
    pub(super) fn fresh(&self) -> Option<Arc<T>> {
        match self.look(self.now()?) {
            Look::Fresh(value) => Some(value),
            Look::Due(value) => {
                dispose(value);
                None
            }
            Look::Lacking => None,
        }
    }

    /// Looks at what there is for a caller.
    #[inline]
    pub(super) fn look(&self, now: Instant) -> Look<T> {
        let token = self.token.load();
        let Some(valid) = token.as_ref().filter(|token| token.is_valid(now)) else {
            dispose(token);
            return Look::Lacking;
        };
        let value = Arc::clone(&valid.value);
        match self.is_due(valid, now) && !self.is_attended(valid, now) {
            true => Look::Due(value),
            false => Look::Fresh(value),
        }
    }

    /// Whether a renewal is called for, whether or not a thread looks after them.
    pub(super) fn is_wanted(&self, token: Option<&Token<T>>, now: Instant) -> bool {
        let valid = token.filter(|token| token.is_valid(now));
        valid.is_none_or(|token| self.is_due(token, now))
    }

    /// Whether to renew a valid value now.
    fn is_due(&self, token: &Token<T>, now: Instant) -> bool {
        // Relaxed: a time stands alone.
        let not_before = Instant::from_nanos(self.not_before.load(Ordering::Relaxed));
        token.due.is_some_and(|due| now >= due) && now >= not_before
    }

    /// Whether a thread renews valid values; no more if half of the time for that is over.
    fn is_attended(&self, token: &Token<T>, now: Instant) -> bool {
        // Relaxed: a time stands alone.
        let until = Instant::from_nanos(self.attended_until.load(Ordering::Relaxed));
        let half = token.due.zip(token.expires).map(|(due, end)| due + end.since(due) / 2);
        now < until && half.is_none_or(|half| now < half)
    }

    /// Renews the value if that is called for, on a thread that comes again after `until_next`, and
    /// to which callers leave it until then.
    pub(super) fn attend(
        &self,
        until_next: Duration,
        renew: impl FnOnce(Instant) -> Ended<E>,
    ) -> Result<(), String>
    where
        E: fmt::Display,
    {
        let Some(now) = self.now() else { return Err("the clock panicked".to_owned()) };
        // Late twice, and callers renew by themselves. Relaxed: a time stands alone.
        let until = now + until_next.saturating_mul(3);
        self.attended_until.store(until.as_nanos(), Ordering::Relaxed);
        let held = self.held();
        let is_wanted = self.is_wanted(held.as_deref(), now);
        dispose(held);
        if is_wanted && let Err(failure) = renew(now) {
            let says = contained(|| failure.to_string());
            dispose(failure);
            return Err(says.unwrap_or_else(|| "the failure cannot be shown".to_owned()));
        }
        match self.now().and_then(|now| self.valid(now)) {
            Some(value) => {
                dispose(value);
                Ok(())
            }
            None => Err("there is no valid value, and none is made now".to_owned()),
        }
    }

    /// The value as it is, to be [disposed](dispose) of where nothing is held.
    pub(super) fn held(&self) -> Option<Arc<Token<T>>> {
        self.token.load_full()
    }

    /// Says why no renewal is tried now.
    pub(super) fn refusal(&self, now: Instant) -> Option<Failure<E>> {
        self.book().refusal(now)
    }

    /// Admits a renewal, or says why none is tried now. Returns the event to report, too.
    pub(super) fn admit(&self, now: Instant) -> (Result<Admitted, Failure<E>>, Option<Event>) {
        self.change(|book| book.admit(now))
    }

    /// Changes the book, and returns the event to report if that changes the breaker.
    fn change<R>(&self, change: impl FnOnce(&mut Book<E>) -> R) -> (R, Option<Event>) {
        let mut book = self.book();
        let before = book.breaker();
        let result = change(&mut book);
        let after = book.breaker();
        (result, after.differs(before).then_some(Event::Breaker(after)))
    }

    /// Puts off renewals of valid values, also for as long as the breaker is open: callers meet no
    /// lock until then.
    fn put_off(&self, until: Instant) {
        let until = match self.book().breaker() {
            Breaker::Open(open) => until.max(open),
            Breaker::Closed(_) | Breaker::HalfOpen => until,
        };
        // Relaxed: a time stands alone.
        self.not_before.store(until.as_nanos(), Ordering::Relaxed);
    }

    /// Reports events. No lock is held that the report might wait for.
    pub(super) fn tell(&self, events: impl IntoIterator<Item = Event>) {
        if let Some(report) = &self.rules.report {
            events.into_iter().for_each(|event| _ = contained(|| report(event)));
        }
    }

    /// Until when the value is valid; `None` if there is no valid value.
    fn valid_until(&self, now: Instant) -> (Option<Instant>, Option<Arc<Token<T>>>) {
        let token = self.held();
        let valid = token.as_ref().filter(|token| token.is_valid(now));
        (valid.map(|token| token.expires.unwrap_or(Instant::MAX)), token)
    }

    /// Installs a new value, or writes the failure down. What is to be told and dropped is left to
    /// be done once the renewal is over.
    pub(super) fn end(
        &self,
        began: Instant,
        minted: Result<Minted<T>, RefreshError<E>>,
    ) -> (Ended<E>, Aftermath<T, E>) {
        let rules = &self.rules;
        let now = self.now().unwrap_or(began);
        let mut unfit = None;
        let made = minted.and_then(|Minted { value, ttl }| {
            let expires = match ttl {
                Ttl::For(life) => Some(began + life),
                Ttl::Forever => None,
            };
            if expires.is_some_and(|end| end <= now) {
                unfit = Some(value);
                return Err(RefreshError::AlreadyExpired);
            }
            let due = rules.early.due(began, expires, chance());
            Ok(Token { value: Arc::new(value), expires, due })
        });
        match made {
            Ok(token) => {
                let left = token.expires.map(|end| end.since(now));
                let before = self.token.swap(Some(Arc::new(token)));
                let (failure, breaker) =
                    self.change(|book| book.succeeded(began, before.is_some()));
                self.put_off(now + rules.spacing);
                let events = [breaker, Some(Event::Renewed(left))];
                (Ok(()), Aftermath { events, token: before, unfit, failure })
            }
            Err(error) => {
                let error = Arc::new(error);
                let (end, token) = self.valid_until(now);
                let ((failure, failures), breaker) = self.change(|book| {
                    let before = book.failed(now, Arc::clone(&error), end, rules);
                    (before, book.failures())
                });
                self.put_off(now + doubled(rules.spacing, failures).min(rules.longest));
                let left = end.map_or(Duration::ZERO, |end| end.since(now));
                let events = [breaker, Some(Event::Failed(left))];
                (Err(error), Aftermath { events, token, unfit, failure })
            }
        }
    }

    /// Ends a renewal of which nothing is known.
    pub(super) fn abandon(&self, began: Instant, admitted: Admitted) -> Aftermath<T, E> {
        let now = self.now().unwrap_or(began);
        let (end, token) = self.valid_until(now);
        let ((), breaker) = self.change(|book| book.abandoned(admitted, now, end, &self.rules));
        self.put_off(now + self.rules.spacing);
        Aftermath { events: [breaker, None], token, unfit: None, failure: None }
    }

    fn reject(&self, value: &Arc<T>) -> bool {
        let token = self.held();
        let is_it = token.as_ref().is_some_and(|token| Arc::ptr_eq(&token.value, value));
        let mut failure = None;
        let mut is_rejected = false;
        if is_it {
            let now = self.now();
            let mut before = None;
            // Under the lock: no caller finds the value gone, and the pause not begun.
            let ((), breaker) = self.change(|book| {
                let current = before.insert(self.token.compare_and_swap(&token, None));
                // By the address of the token, which is not reused while it is held.
                is_rejected = current.as_ref().map(Arc::as_ptr) == token.as_ref().map(Arc::as_ptr);
                if is_rejected {
                    failure = book.rejected(now, &self.rules);
                }
            });
            dispose(before);
            let rejected = is_rejected.then_some(Event::Rejected);
            self.tell(rejected.into_iter().chain(breaker));
        }
        dispose(token);
        dispose(failure);
        is_rejected
    }
}

impl<T, E: Clone> State<T, E> {
    /// Returns what there is to hand out, or else this failure. The last look at the clock comes
    /// after the last call of other people's code.
    pub(super) fn settle(&self, failure: Failure<E>) -> Result<Arc<T>, RefreshError<E>> {
        let error = Arc::try_unwrap(failure).or_else(|shared| {
            let copy = contained(|| RefreshError::clone(&shared));
            dispose(shared);
            copy.ok_or(())
        });
        let error = error.unwrap_or(RefreshError::Panicked);
        if contained(|| self.servable().is_none()).unwrap_or(true) {
            return Err(error);
        }
        dispose(error);
        self.servable().ok_or(RefreshError::AlreadyExpired)
    }

    /// Returns what a renewal of the caller's own has come to.
    pub(super) fn finish(&self, ended: Ended<E>) -> Result<Arc<T>, RefreshError<E>> {
        self.settle(ended.err().unwrap_or_else(|| Arc::new(RefreshError::AlreadyExpired)))
    }
}

impl<T, E> Drop for State<T, E> {
    fn drop(&mut self) {
        dispose(self.token.swap(None));
        let failure = self.book.get_mut().unwrap_or_else(PoisonError::into_inner).take();
        dispose(failure);
    }
}

/// What is left to be done once a renewal is over: other people's code to be called.
#[must_use = "events are to be reported"]
pub(super) struct Aftermath<T, E> {
    events: [Option<Event>; 2],
    token: Option<Arc<Token<T>>>,
    unfit: Option<T>,
    failure: Option<Failure<E>>,
}

impl<T, E> Aftermath<T, E> {
    /// Reports the events, and drops the values that the renewal has replaced.
    pub(super) fn handle(self, state: &State<T, E>) {
        let Self { events, token, unfit, failure } = self;
        state.tell(events.into_iter().flatten());
        dispose(token);
        dispose(unfit);
        dispose(failure);
    }
}

/// A random part of a million.
fn chance() -> u32 {
    use std::hash::BuildHasher;
    let random = std::hash::RandomState::new().hash_one(0);
    (random % u64::from(WHOLE)) as u32
}
