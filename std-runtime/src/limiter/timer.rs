//! Timers, by which tasks wait for their turn: any executor's, or a thread's.

use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, LazyLock, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tidegate_core::{Clock, Instant};

use crate::clock;
use crate::panics::{contained, dispose};
use crate::runtime::agenda::{Agenda, Window};
use crate::sync::{Condvar, Mutex, MutexGuard, thread};

/// A future that ends when a time has passed.
pub type Sleep = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Makes futures that end when a time has passed.
///
/// Every function from a duration to such a future is a timer. That of tokio is plugged in by one line:
///
/// ```
/// use tidegate::{Quota, RateLimiter};
///
/// let limiter: RateLimiter<str> =
///     RateLimiter::builder(Quota::per_second(10)?).timer(tokio::time::sleep).build()?;
/// # let _ = limiter;
/// # Ok::<(), tidegate::QuotaError>(())
/// ```
///
/// A limiter looks at its own clock when the future ends, and sleeps again if its turn has not come. So a timer may be
/// early, and be by another clock than the limiter's. A panic of the timer or of its future is
/// [contained](crate::caught_panics), and the [process's timer](ThreadTimer) takes over.
pub trait Timer: Send + Sync {
    /// Returns a future that ends when `time` has passed.
    fn sleep(&self, time: Duration) -> Sleep;
}

impl<F, S> Timer for F
where
    F: Fn(Duration) -> S + Send + Sync,
    S: Future<Output = ()> + Send + 'static,
{
    fn sleep(&self, time: Duration) -> Sleep {
        Box::pin(self(time))
    }
}

/// How long a thread without a sleeper stays for the next one.
const LINGER: Duration = if cfg!(loom) { Duration::ZERO } else { Duration::from_secs(5) };

/// The thread never waits longer. A wait does not count the time for which the machine is suspended, and the
/// process's clock does: after a suspend, the thread is late by as much at most.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// A timer with one thread, by the [clock of the process](crate::clock()).
///
/// The thread starts with the first sleeper, and ends five seconds after the last. Limiters for which no other timer
/// was set share one.
///
/// A sleep takes a lock twice, and O(log n) comparisons for n sleepers. No lock is held while a waker is called. Where
/// the system cannot start a thread, a sleep asks to be polled again at once until it can.
///
/// ```
/// use std::time::{Duration, Instant};
/// use tidegate::{ThreadTimer, Timer, wait};
///
/// let start = Instant::now();
/// wait::block_on(ThreadTimer::new().sleep(Duration::from_millis(2)));
/// assert!(start.elapsed() >= Duration::from_millis(2));
/// ```
#[derive(Clone)]
pub struct ThreadTimer {
    shared: Arc<Shared>,
}

struct Shared {
    state: Mutex<State>,
    /// The thread waits here until the first sleep ends, or an earlier one is added, or none is left.
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// Every sleep, with its number and what to wake.
    sleeps: Agenda<Instant, (u64, Waker)>,
    has_thread: bool,
    /// Until when the thread waits; `None` while it is awake, or there is none.
    waits_until: Option<Instant>,
}

/// One sleep. It is among the thread's from its first poll until its end.
struct Sleeping {
    shared: Arc<Shared>,
    until: Instant,
    number: Option<u64>,
}

impl ThreadTimer {
    /// Creates a timer with a thread of its own.
    pub fn new() -> Self {
        let (state, changed) = (Mutex::new(State::default()), Condvar::new());
        Self { shared: Arc::new(Shared { state, changed }) }
    }

    /// The timer of limiters for which no other was set.
    pub(super) fn of_the_process() -> &'static Self {
        static TIMER: LazyLock<ThreadTimer> = LazyLock::new(ThreadTimer::new);
        &TIMER
    }
}

impl Default for ThreadTimer {
    /// Creates a timer as [`new`](Self::new) does.
    fn default() -> Self {
        Self::new()
    }
}

impl Timer for ThreadTimer {
    fn sleep(&self, time: Duration) -> Sleep {
        let (shared, until) = (Arc::clone(&self.shared), clock().now() + time);
        Box::pin(Sleeping { shared, until, number: None })
    }
}

impl fmt::Debug for ThreadTimer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sleeps = self.shared.state().sleeps.items().count();
        f.debug_struct("ThreadTimer").field("sleeps", &sleeps).finish()
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a sleep; `None` if the thread cannot be started that would end it.
    fn add(self: &Arc<Self>, until: Instant, waker: Waker) -> Option<u64> {
        let mut state = self.state();
        if !state.has_thread {
            let ours = Arc::clone(self);
            let thread = thread::Builder::new().name("tidegate timer".to_owned());
            if thread.spawn(move || ours.run()).is_err() {
                drop(state);
                dispose(waker);
                return None;
            }
            state.has_thread = true;
        }
        let number = state.sleeps.add(|number| (number, waker)).0;
        state.sleeps.set(number, Some(Window { due: until, latest: until }));
        if state.waits_until.is_some_and(|others| until < others) {
            self.changed.notify_one();
        }
        Some(number)
    }

    /// What the thread does: ends each sleep when its time has come.
    fn run(&self) {
        let (mut state, mut idle_since) = (self.state(), None);
        loop {
            let now = clock().now();
            let mut wakers = Vec::new();
            while let Some(&(number, _)) = state.sleeps.take_due(now) {
                wakers.extend(state.sleeps.remove(number));
            }
            if !wakers.is_empty() {
                drop(state);
                for (_, waker) in wakers {
                    contained(|| waker.wake());
                }
                state = self.state();
                idle_since = None;
                continue;
            }
            let until = match state.sleeps.first() {
                Some(first) => {
                    idle_since = None;
                    first.due
                }
                None => *idle_since.get_or_insert(now) + LINGER,
            };
            let left = until.since(now).min(LONGEST_WAIT);
            if left.is_zero() {
                // The last sleep ended long ago. The next one starts another thread.
                state.has_thread = false;
                return;
            }
            state.waits_until = Some(until);
            let woken = self.changed.wait_timeout(state, left);
            state = woken.unwrap_or_else(PoisonError::into_inner).0;
            state.waits_until = None;
        }
    }
}

impl Future for Sleeping {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let waker = context.waker().clone();
        let Some(number) = self.number else {
            self.number = self.shared.add(self.until, waker);
            if self.number.is_none() {
                context.waker().wake_by_ref();
            }
            return Poll::Pending;
        };
        // Wakers are other people's code: none is dropped under the lock.
        let mut state = self.shared.state();
        let (poll, unused) = match state.sleeps.get_mut(number) {
            Some((_, own)) => (Poll::Pending, std::mem::replace(own, waker)),
            // The thread has taken it.
            None => (Poll::Ready(()), waker),
        };
        drop(state);
        dispose(unused);
        poll
    }
}

impl Drop for Sleeping {
    fn drop(&mut self) {
        let Some(number) = self.number else { return };
        let mut state = self.shared.state();
        let removed = state.sleeps.remove(number);
        if removed.is_some() && state.sleeps.first().is_none() {
            // The thread has nothing left to wait for.
            self.shared.changed.notify_one();
        }
        drop(state);
        dispose(removed);
    }
}
