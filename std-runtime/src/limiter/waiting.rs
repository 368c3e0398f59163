//! Waiting for a turn: a queue that is the bucket's own time.
//!
//! A limiter's `check` charges a bucket under a plan, and a wait charges the same bucket under the [shaping](Quota::shape)
//! plan of the same quota. Its decision says when the turn comes. There is no list of those that wait: the bucket's time
//! is the end of the queue. While requests wait, a check is denied, so that none overtakes them.

use std::fmt;
use std::future::poll_fn;
use std::task::Poll;
use std::time::Duration;

use tidegate_core::{Clock, Decision, Instant, Plan, Quota, QuotaError};

use super::jitter::Jitter;
use super::shadow::Shadow;
use super::timer::{Sleep, ThreadTimer, Timer};
use crate::clock::OwnClock;
use crate::panics::{Foreign, contained};
use crate::sync::thread;
use crate::wait::block_on;

/// The longest wait unless another is set.
const MAX_WAIT: Duration = Duration::from_secs(30);

/// No sleep is longer. Timers do not count the time for which the machine is suspended, and the limiter's clock may:
/// after a suspend, a wait is late by as much at most.
const LONGEST_SLEEP: Duration = Duration::from_secs(60);

/// Says that the turn of a request has come, and that its cells are charged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Turn {
    decision: Decision,
}

impl Turn {
    /// Returns the decision, of the time at which the request arrived. It can be refunded as that of a check.
    pub fn decision(&self) -> &Decision {
        &self.decision
    }

    /// Returns how long the request had to wait, apart from jitter.
    pub fn delay(&self) -> Duration {
        self.decision.delay()
    }
}

/// Says that a request would have had to wait longer than a limiter's queue allows. Nothing is charged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WaitError {
    decision: Decision,
}

impl WaitError {
    /// Returns the denied decision. Its [`retry_after`](Decision::retry_after) says when there is a place in the queue,
    /// if no other request takes it, or that there never is one.
    pub fn decision(&self) -> &Decision {
        &self.decision
    }
}

impl fmt::Display for WaitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.decision.retry_after() {
            Some(after) => write!(f, "the queue is full: there may be a place in {after:?}"),
            None => f.write_str("no wait would admit the request: its cost is above the burst"),
        }
    }
}

impl std::error::Error for WaitError {}

/// How a builder's limiter has requests wait.
#[derive(Default)]
pub(super) struct Settings {
    pub(super) max_wait: Option<Duration>,
    pub(super) max_waiters: Option<u64>,
    pub(super) jitter: Jitter,
    pub(super) timer: Option<Foreign<Box<dyn Timer>>>,
}

/// How a limiter has requests wait.
pub(super) struct Waiting {
    /// What is charged for a request that waits.
    queue: Plan,
    jitter: Jitter,
    /// `None`: that of the process.
    timer: Option<Foreign<Box<dyn Timer>>>,
}

impl Settings {
    /// Returns the quota under which requests wait, if a bound on the queue was set.
    pub(super) fn queue(&self, quota: Quota) -> Option<Quota> {
        if self.max_wait.is_none() && self.max_waiters.is_none() {
            return None;
        }
        let longest = self.max_wait.unwrap_or(MAX_WAIT);
        let of_waiters = self.max_waiters.map_or(longest, |waiters| time_of(quota, waiters));
        Some(quota.shape(longest.min(of_waiters)))
    }

    /// Compiles the settings for a limiter of `quota`, whose plan is `plan`.
    pub(super) fn compile(
        self,
        quota: Quota,
        plan: Plan,
        compile: impl Fn(Quota) -> Result<Plan, QuotaError>,
    ) -> Result<Waiting, QuotaError> {
        let queue = match self.queue(quota) {
            Some(queue) => compile(queue)?,
            None if quota.max_wait() > Duration::ZERO => plan,
            // A limiter that nothing waits for must not be refused because of a wait.
            None => compile(quota.shape(MAX_WAIT)).unwrap_or(plan),
        };
        Ok(Waiting { queue, jitter: self.jitter, timer: self.timer })
    }
}

/// Returns the time in which `cells` cells of a quota flow in, rounded up.
fn time_of(quota: Quota, cells: u64) -> Duration {
    if quota.is_closed() {
        return Duration::ZERO;
    }
    // Both factors are below 2^64, and the quotient may be above.
    let nanos = u128::from(cells) * quota.period().as_nanos();
    let nanos = nanos.div_ceil(u128::from(quota.cells()));
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

/// The bucket of a key, in a limiter's structure.
pub(super) trait Bucket {
    fn charge(&self, plan: &Plan, cost: u64, now: Instant) -> Decision;
    fn refund(&self, decision: &Decision, now: Instant);
    fn clock(&self) -> &OwnClock;
    /// The plan under which the limiter's own checks charge.
    fn plan(&self) -> &Plan;
    fn waiting(&self) -> &Waiting;
    fn shadow(&self) -> &Shadow;
}

/// A place in the queue. Dropped before the request is served, it is refunded: as a whole if it is the last one and its
/// turn has not come, else what the rule of refunds allows.
struct Place<B: Bucket> {
    bucket: B,
    decision: Decision,
    turn: Instant,
    is_over: bool,
}

/// What a request gets at once.
enum Arrival<B: Bucket> {
    Turn(Turn),
    Place(Place<B>),
}

/// Takes a place in the queue for a request of the cost `cost`, now.
fn arrive<B: Bucket>(bucket: B, cost: u64) -> Result<Arrival<B>, WaitError> {
    let now = bucket.clock().now();
    // Served at its turn, a cost above the burst would fill a window beyond its bound.
    let is_too_much = cost > bucket.plan().limit();
    let plan = if is_too_much { bucket.plan() } else { &bucket.waiting().queue };
    let decision = bucket.shadow().answer(bucket.charge(plan, cost, now));
    if !decision.is_admitted() {
        return Err(WaitError { decision });
    }
    let delay = decision.delay();
    if delay.is_zero() || bucket.shadow().is_on() {
        return Ok(Arrival::Turn(Turn { decision }));
    }
    Ok(Arrival::Place(Place { bucket, decision, turn: now + delay, is_over: false }))
}

/// Waits until it is the turn of a request of the cost `cost`. The request arrives at the first poll.
pub(super) async fn until_ready<B: Bucket>(
    bucket: B,
    cost: u64,
    jitter: Option<Jitter>,
) -> Result<Turn, WaitError> {
    let mut place = match arrive(bucket, cost)? {
        Arrival::Turn(turn) => return Ok(turn),
        Arrival::Place(place) => place,
    };
    let waiting = place.bucket.waiting();
    let until = place.turn + jitter.unwrap_or(waiting.jitter).delay();
    let mut is_early = false;
    while let Some(left) = place.left(until) {
        if is_early {
            // A timer that is always early must not keep a thread of the executor.
            yield_now().await;
        }
        waiting.sleep(left).await;
        is_early = true;
    }
    Ok(place.take())
}

/// Waits on this thread until it is the turn of a request of the cost `cost`.
pub(super) fn wait<B: Bucket>(bucket: B, cost: u64) -> Result<Turn, WaitError> {
    if bucket.waiting().timer.is_some() {
        return block_on(until_ready(bucket, cost, None));
    }
    let mut place = match arrive(bucket, cost)? {
        Arrival::Turn(turn) => return Ok(turn),
        Arrival::Place(place) => place,
    };
    let until = place.turn + place.bucket.waiting().jitter.delay();
    while let Some(left) = place.left(until) {
        thread::sleep(left);
    }
    Ok(place.take())
}

impl<B: Bucket> Place<B> {
    /// Returns how long to sleep before the next look at the clock; `None` if it shows `until`.
    fn left(&self, until: Instant) -> Option<Duration> {
        let left = until.since(self.bucket.clock().now());
        (!left.is_zero()).then(|| left.min(LONGEST_SLEEP))
    }

    fn take(&mut self) -> Turn {
        self.is_over = true;
        Turn { decision: self.decision }
    }
}

impl<B: Bucket> Drop for Place<B> {
    fn drop(&mut self) {
        if self.is_over {
            return;
        }
        let Self { bucket, decision, .. } = self;
        // The clock and the key's hash are other people's code, and this may be the drop of a panic.
        contained(|| bucket.refund(decision, bucket.clock().now()));
    }
}

impl Waiting {
    /// Sleeps for about this time. The process's timer takes over from one that panics.
    async fn sleep(&self, time: Duration) {
        if let Some(timer) = &self.timer
            && let Some(sleep) = contained(|| timer.sleep(time))
            && slept(sleep).await
        {
            return;
        }
        slept(ThreadTimer::of_the_process().sleep(time)).await;
    }
}

/// Polls a sleep to its end. Returns whether it ended without a panic.
async fn slept(sleep: Sleep) -> bool {
    let mut sleep = Foreign::new(sleep);
    poll_fn(|context| match contained(|| sleep.as_mut().poll(context)) {
        Some(poll) => poll.map(|()| true),
        None => Poll::Ready(false),
    })
    .await
}

async fn yield_now() {
    let mut has_yielded = false;
    poll_fn(|context| {
        if std::mem::replace(&mut has_yielded, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_queue_is_bounded_by_the_shorter_of_both_bounds() {
        let quota = Quota::per_second(10).expect("a quota");
        let seconds = Duration::from_secs;
        let queue = |max_wait, max_waiters| {
            let settings = Settings { max_wait, max_waiters, ..Settings::default() };
            settings.queue(quota).map(|queue| queue.max_wait())
        };
        assert_eq!(queue(None, None), None);
        assert_eq!(queue(Some(seconds(2)), None), Some(seconds(2)));
        assert_eq!(queue(Some(seconds(2)), Some(5)), Some(seconds(1) / 2));
        assert_eq!(queue(Some(seconds(2)), Some(100)), Some(seconds(2)));
        assert_eq!(queue(None, Some(u64::MAX)), Some(MAX_WAIT));
        assert_eq!(time_of(Quota::closed(), 5), Duration::ZERO);
        // Rounded up.
        let thirds = Quota::per_second(3).expect("a quota");
        assert_eq!(time_of(thirds, 1), Duration::from_nanos(333_333_334));
    }
}
