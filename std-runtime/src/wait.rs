//! Waiting for a future on a thread.
//!
//! What core offers to wait for, a [`Follower`](crate::flight::Follower) or a
//! [`Freed`](crate::flight::Freed), is a future, which any async runtime can poll. These functions wait for
//! one, or for any other, with the thread that calls them.

use std::fmt;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

use crate::caller::waits;
use crate::sync::{AtomicBool, thread};

/// It took longer than the caller would wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimedOut;

impl fmt::Display for TimedOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("it took longer than the caller would wait")
    }
}

impl std::error::Error for TimedOut {}

/// Waits for a future.
///
/// ```
/// use tidegate::flight::{Caller, Refused, Slot};
/// use tidegate::{Clock, wait};
///
/// static REFRESH: Slot<4> = Slot::new();
///
/// let now = tidegate::clock().now();
/// let claim = REFRESH.claim(Caller(1), None, now)?;
/// std::thread::scope(|scope| {
///     scope.spawn(|| {
///         if let Err(Refused::Held(freed)) = REFRESH.claim(Caller(2), None, now) {
///             wait::block_on(freed);
///         }
///     });
///     drop(claim);
/// });
/// # Ok::<(), Refused<'static, 4>>(())
/// ```
pub fn block_on<F: Future>(future: F) -> F::Output {
    match wait(future, None) {
        Ok(output) => output,
        Err(TimedOut) => unreachable!("there is no deadline"),
    }
}

/// Waits for a future, but no longer than this; then drops it.
///
/// # Errors
///
/// [`TimedOut`].
///
/// ```
/// use std::time::Duration;
/// use tidegate::wait::{TimedOut, block_for};
///
/// let never = std::future::pending::<()>();
/// assert_eq!(block_for(never, Duration::from_millis(1)), Err(TimedOut));
/// ```
pub fn block_for<F: Future>(future: F, timeout: Duration) -> Result<F::Output, TimedOut> {
    // What is too far away to be said never comes.
    wait(future, Instant::now().checked_add(timeout))
}

/// Between two polls of a future that asks for the next at once; longer each time, up to a millisecond.
const PAUSE: Duration = Duration::from_micros(50);

fn wait<F: Future>(future: F, deadline: Option<Instant>) -> Result<F::Output, TimedOut> {
    let mut future = pin!(future);
    let parked = Arc::new(Parked { thread: thread::current(), woken: AtomicBool::new(false) });
    let waker = Waker::from(Arc::clone(&parked));
    let mut context = Context::from_waker(&waker);
    let mut in_vain = 0_u32;
    loop {
        let poll = waits(&waker, || future.as_mut().poll(&mut context));
        if let Poll::Ready(output) = poll {
            return Ok(output);
        }
        // A future that could not leave its waker anywhere has itself polled again at once. That must not
        // keep a processor busy for as long as it takes. Relaxed: a guess.
        in_vain = if parked.woken.load(Ordering::Relaxed) { in_vain.saturating_add(1) } else { 0 };
        if in_vain > 1 {
            thread::sleep(PAUSE * in_vain.min(20));
        }
        // Acquire: pairs with the Release of waking: what came before it is seen by the poll.
        while !parked.woken.swap(false, Ordering::Acquire) {
            match deadline.map(|at| at.saturating_duration_since(Instant::now())) {
                Some(Duration::ZERO) => return Err(TimedOut),
                Some(left) => thread::park_timeout(left),
                None => thread::park(),
            }
        }
        if deadline.is_some_and(|at| at <= Instant::now()) {
            return match waits(&waker, || future.as_mut().poll(&mut context)) {
                Poll::Ready(output) => Ok(output),
                Poll::Pending => Err(TimedOut),
            };
        }
    }
}

/// A thread that waits. Others may unpark it for reasons of their own, so there is a flag.
struct Parked {
    thread: thread::Thread,
    woken: AtomicBool,
}

impl Wake for Parked {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        // Release: pairs with the Acquire of whoever waits. If it was woken already, and does not know yet, it
        // will see what came before this, too; and whoever woke it unparks it.
        if !self.woken.swap(true, Ordering::Release) {
            self.thread.unpark();
        }
    }
}
