//! Waiting for a future on a thread.
//!
//! A [`Follower`](crate::lockfree::flight::Follower) and a [`Freed`](crate::lockfree::flight::Freed) are futures, which
//! any async runtime can poll. These functions block the calling thread until such a future, or any other, is ready.

pub(crate) mod caller;
pub(crate) mod part;
pub(crate) mod single;

use std::fmt;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

use self::caller::waits;
use crate::panics::contained;
use crate::sync::{AtomicBool, thread};

/// Says that a future took longer than the caller would wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimedOutError;

impl fmt::Display for TimedOutError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the result took longer than the caller would wait")
    }
}

impl std::error::Error for TimedOutError {}

/// Waits for a future, and returns its output.
///
/// A panic of the future's `poll` reaches the caller. A panic of its destructor is [contained](crate::caught_panics).
///
/// ```
/// use tidegate::lockfree::flight::{Caller, ClaimError, Slot};
/// use tidegate::{Clock, wait};
///
/// static REFRESH: Slot<4> = Slot::new();
///
/// let now = tidegate::clock().now();
/// let claim = REFRESH.claim(Caller(1), None, now)?;
/// std::thread::scope(|scope| {
///     scope.spawn(|| {
///         if let Err(ClaimError::Held(freed)) = REFRESH.claim(Caller(2), None, now) {
///             wait::block_on(freed);
///         }
///     });
///     drop(claim);
/// });
/// # Ok::<(), ClaimError<'static, 4>>(())
/// ```
pub fn block_on<F: Future>(future: F) -> F::Output {
    match wait(future, None) {
        Ok(output) => output,
        Err(TimedOutError) => unreachable!("there is no deadline"),
    }
}

/// Waits for a future as [`block_on`] does, but no longer than `timeout`, and then drops it.
///
/// # Errors
///
/// [`TimedOutError`] if the future is not ready by then.
///
/// ```
/// use std::time::Duration;
/// use tidegate::wait::{TimedOutError, block_for};
///
/// let never = std::future::pending::<()>();
/// assert_eq!(block_for(never, Duration::from_millis(1)), Err(TimedOutError));
/// ```
pub fn block_for<F: Future>(future: F, timeout: Duration) -> Result<F::Output, TimedOutError> {
    // A deadline that is too far away to be represented never comes.
    wait(future, Instant::now().checked_add(timeout))
}

/// The pause between two polls of a future that asks to be polled again at once. It grows, up to a millisecond.
const PAUSE: Duration = Duration::from_micros(50);

fn wait<F: Future>(future: F, deadline: Option<Instant>) -> Result<F::Output, TimedOutError> {
    let mut future = Polled(pin!(Some(future)));
    let parked = Arc::new(Parked { thread: thread::current(), woken: AtomicBool::new(false) });
    let waker = Waker::from(Arc::clone(&parked));
    let mut context = Context::from_waker(&waker);
    let mut in_vain = 0_u32;
    loop {
        let poll = waits(&waker, || future.poll(&mut context));
        if let Poll::Ready(output) = poll {
            return Ok(output);
        }
        // A future that could not leave its waker anywhere asks to be polled again at once. That must not keep
        // a processor busy for as long as it takes. Relaxed: a guess.
        in_vain = if parked.woken.load(Ordering::Relaxed) { in_vain.saturating_add(1) } else { 0 };
        if in_vain > 1 {
            thread::sleep(PAUSE * in_vain.min(20));
        }
        // Acquire: pairs with the Release of waking, so that the poll sees what came before it.
        while !parked.woken.swap(false, Ordering::Acquire) {
            match deadline.map(|at| at.saturating_duration_since(Instant::now())) {
                Some(Duration::ZERO) => return Err(TimedOutError),
                Some(left) => thread::park_timeout(left),
                None => thread::park(),
            }
        }
        if deadline.is_some_and(|at| at <= Instant::now()) {
            return match waits(&waker, || future.poll(&mut context)) {
                Poll::Ready(output) => Ok(output),
                Poll::Pending => Err(TimedOutError),
            };
        }
    }
}

/// A future that is waited for. Its destructor is other people's code, like its `poll`.
struct Polled<'a, F>(Pin<&'a mut Option<F>>);

impl<F: Future> Polled<'_, F> {
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<F::Output> {
        match self.0.as_mut().as_pin_mut() {
            Some(future) => future.poll(context),
            None => unreachable!("it is dropped last"),
        }
    }
}

impl<F> Drop for Polled<'_, F> {
    fn drop(&mut self) {
        contained(|| self.0.set(None));
    }
}

/// A thread that waits. Other threads may unpark it for reasons of their own, so there is a flag.
struct Parked {
    thread: thread::Thread,
    woken: AtomicBool,
}

impl Wake for Parked {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        // Release: pairs with the Acquire of the thread that waits. If that was woken before and does not know
        // yet, it will see what came before this wake, too, and the thread that woke it first unparks it.
        if !self.woken.swap(true, Ordering::Release) {
            self.thread.unpark();
        }
    }
}
