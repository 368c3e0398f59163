//! One flight: the result of its leader, and the callers that wait for it.

use alloc::sync::Arc;
use core::cell::UnsafeCell;
use core::time::Duration;

use super::running::Running;
use super::waiters::Waiters;
use crate::flight::caller::CallerId;
use crate::sync::{AtomicU64, Ordering, Witness};
use crate::time::Instant;

/// The end of the lease in nanoseconds (61 bits), and the stage.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Word(u64);

const RUNNING: u64 = 0;
const DONE: u64 = 1;
const ORPHANED: u64 = 2;
const SUPERSEDED: u64 = 3;
/// Running, but no longer the flight of its key: the key was written since the flight began.
const DETACHED: u64 = 4;
const STAGE: u32 = 3;
const NEVER: u64 = u64::MAX >> STAGE;

impl Word {
    fn running(lease: Option<Duration>, now: Instant) -> Self {
        Self(RUNNING).leased(lease, now)
    }

    /// Returns this stage, with a lease that begins now.
    fn leased(self, lease: Option<Duration>, now: Instant) -> Self {
        let end = lease.map_or(NEVER, |lease| (now + lease).as_nanos().min(NEVER));
        Self(end << STAGE | self.stage())
    }

    fn stage(self) -> u64 {
        self.0 & ((1 << STAGE) - 1)
    }

    fn is_running(self) -> bool {
        self.is_attached() || self.stage() == DETACHED
    }

    fn is_attached(self) -> bool {
        self.stage() == RUNNING
    }

    fn is_lapsed(self, now: Instant) -> bool {
        let end = self.0 >> STAGE;
        end != NEVER && end <= now.as_nanos()
    }
}

/// How a flight can end.
#[derive(Clone, Copy)]
pub(super) enum End {
    /// It ended with a result.
    Done = DONE as isize,
    /// Its leader ended without a result.
    Orphaned = ORPHANED as isize,
    /// Its leader's lease ended, and another caller would not wait any longer.
    Superseded = SUPERSEDED as isize,
}

/// What a flight is to a caller that finds it.
pub(super) enum Standing {
    /// It is running, and can be followed.
    Running,
    /// It is running for its followers; its key has been written since.
    Detached,
    /// It is running, and its leader's lease has ended.
    Lapsed,
    /// It has ended.
    Ended,
}

pub(crate) struct Flight<V, E> {
    word: AtomicU64,
    leader: CallerId,
    /// Written by the leader before the end, and read after it.
    result: UnsafeCell<Option<Outcome<V, E>>>,
    pub(super) waiters: Waiters,
    /// Counts this flight until it ends.
    running: Arc<Running>,
    witness: Witness,
}

/// The result of a leader.
pub(super) struct Outcome<V, E> {
    pub(super) result: Result<V, E>,
    /// From when on the value is not to be handed out; `None` if there is no such time.
    pub(super) until: Option<Instant>,
}

// SAFETY: the result is written by one thread, and then only read, by many at once; the last of
// them drops it.
unsafe impl<V: Send + Sync, E: Send + Sync> Sync for Flight<V, E> {}

impl<V, E> Flight<V, E> {
    /// Creates a flight that is running, and counted.
    pub(super) fn new(
        leader: CallerId,
        lease: Option<Duration>,
        now: Instant,
        running: &Arc<Running>,
    ) -> Self {
        running.enter();
        Self {
            word: AtomicU64::new(Word::running(lease, now).0),
            leader,
            result: UnsafeCell::new(None),
            waiters: Waiters::new(),
            running: Arc::clone(running),
            witness: Witness::new(),
        }
    }

    pub(super) fn leader(&self) -> CallerId {
        self.leader
    }

    pub(super) fn standing(&self, now: Instant) -> Standing {
        // Acquire: pairs with the end: the next leader sees what this flight's leader did before.
        let word = Word(self.word.load(Ordering::Acquire));
        if !word.is_running() {
            Standing::Ended
        } else if word.is_lapsed(now) {
            Standing::Lapsed
        } else if word.is_attached() {
            Standing::Running
        } else {
            Standing::Detached
        }
    }

    /// Begins the lease anew. Returns `false` if the flight has ended.
    pub(super) fn renew(&self, lease: Option<Duration>, now: Instant) -> bool {
        self.change(|word| Some(word.leased(lease, now)))
    }

    /// Detaches the flight: no caller can follow it from now on, and its followers get its result.
    /// Returns `false` if it was detached already, or has ended.
    pub(super) fn detach(&self) -> bool {
        self.change(|word| word.is_attached().then_some(Word(word.0 | DETACHED)))
    }

    /// Returns whether the flight is running, and its key was not written since it began.
    pub(super) fn is_attached(&self) -> bool {
        // Acquire: pairs with the end, and with `detach`. A leader that has read what a later
        // writer put in its place sees that the writer had detached the flight. (Loom cannot show
        // this: the map's load mostly gives the same order.)
        Word(self.word.load(Ordering::Acquire)).is_attached()
    }

    /// Returns whether the flight [is attached](Self::is_attached), after the leader has stored its
    /// value. Either this call sees that the flight was detached, or the writer that detaches it
    /// finds the value.
    pub(super) fn is_attached_after_all(&self) -> bool {
        // Release: pairs with `detach`, if that comes later. Relaxed otherwise: the leader reads
        // nothing that a writer has written.
        Word(self.word.fetch_add(0, Ordering::Release)).is_attached()
    }

    /// Ends the flight. Returns `false` if it had ended. The caller that ends it
    /// [wakes](Self::wake_all) the waiters last of all, because a waker may panic.
    pub(super) fn end(&self, end: End) -> bool {
        self.end_if(|_| true, end)
    }

    /// Ends the flight because its lease has ended. Returns `false` if the lease has not ended, or
    /// the flight had.
    pub(super) fn supersede(&self, now: Instant) -> bool {
        self.end_if(|word| word.is_lapsed(now), End::Superseded)
    }

    fn end_if(&self, may: impl Fn(Word) -> bool, end: End) -> bool {
        let ended = self.change(|word| may(word).then_some(Word(end as u64)));
        if ended {
            self.running.leave();
        }
        ended
    }

    /// Wakes the waiters, each contained by itself if the domain contains panics.
    pub(super) fn wake_all(&self) {
        self.waiters.wake_all(self.running.containment());
    }

    /// Returns how long until the flight can be superseded, or `None` if it never can.
    pub(super) fn left(&self, now: Instant) -> Option<Duration> {
        // Relaxed: a question about this moment.
        let word = Word(self.word.load(Ordering::Relaxed));
        if !word.is_running() {
            return Some(Duration::ZERO);
        }
        let end = word.0 >> STAGE;
        (end != NEVER).then(|| Instant::from_nanos(end).since(now))
    }

    /// Ends the flight with a result, or hands the result back if the flight had ended.
    ///
    /// # Safety
    ///
    /// The caller is the flight's leader, and has not called this before.
    pub(super) unsafe fn publish(&self, outcome: Outcome<V, E>) -> Result<(), Result<V, E>> {
        self.witness.write();
        // SAFETY: no thread reads it before the end, and only the leader writes it.
        unsafe { *self.result.get() = Some(outcome) };
        if self.end(End::Done) {
            return Ok(());
        }
        // SAFETY: the flight has ended without a result, so no thread will read it.
        match unsafe { (*self.result.get()).take() } {
            Some(Outcome { result, .. }) => Err(result),
            None => unreachable!("written above"),
        }
    }

    fn change(&self, change: impl Fn(Word) -> Option<Word>) -> bool {
        // Acquire, here and where the exchange fails: pairs with the end. A writer that finds the
        // flight ended, and so does not detach it, finds what its leader has stored.
        let mut word = Word(self.word.load(Ordering::Acquire));
        while word.is_running() {
            let Some(next) = change(word) else {
                return false;
            };
            // Release: a thread that sees the end sees the result, and one that sees what a writer
            // stored sees that the flight was detached. Acquire: this thread sees a waiter that
            // looked before this, and what a leader stored that looked before this.
            match self.word.compare_exchange(word.0, next.0, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => return true,
                Err(seen) => word = Word(seen),
            }
        }
        false
    }

    /// Returns whether the flight has ended, for a caller that has begun to wait. Either the thread
    /// that ends the flight sees the waiter, or the waiter sees the end.
    pub(super) fn has_ended_after_all(&self) -> bool {
        // Release: pairs with `change`, if that comes later. No Acquire: the result is asked for
        // next.
        !Word(self.word.fetch_add(0, Ordering::Release)).is_running()
    }

    /// Returns what the flight ended with, a result or none, if it has ended.
    pub(super) fn ended(&self) -> Option<Option<&Outcome<V, E>>> {
        // Acquire: pairs with the end: the result is seen.
        match Word(self.word.load(Ordering::Acquire)).stage() {
            // A detached flight still has its followers.
            RUNNING | DETACHED => None,
            DONE => {
                self.witness.read();
                // SAFETY: it was written before the end, and not since.
                Some(unsafe { (*self.result.get()).as_ref() })
            }
            _ => Some(None),
        }
    }
}

impl<V, E> Drop for Flight<V, E> {
    fn drop(&mut self) {
        // Relaxed: no other thread is left. A flight that is still running was never led, for
        // another was there.
        if Word(self.word.load(Ordering::Relaxed)).is_running() {
            self.running.leave();
        }
    }
}
