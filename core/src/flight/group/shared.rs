//! One flight: what its leader has come to, and who waits for it.

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

    /// The same stage, with a lease that begins now.
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
    /// With a result.
    Done = DONE as isize,
    /// Its leader went without one.
    Orphaned = ORPHANED as isize,
    /// Its leader's lease ended, and somebody would not wait any longer.
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

/// What a leader has come to.
pub(super) struct Outcome<V, E> {
    pub(super) result: Result<V, E>,
    /// From when on the value is not to be handed out; `None` if it always is.
    pub(super) until: Option<Instant>,
}

// SAFETY: the result is written by one thread, and then only read, by many at once; the last of them
// drops it.
unsafe impl<V: Send + Sync, E: Send + Sync> Sync for Flight<V, E> {}

impl<V, E> Flight<V, E> {
    /// A flight that is running, and counted.
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
        // Acquire: pairs with the end: what its leader did before is seen by whoever leads next.
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

    /// Begins the lease anew; `false` if the flight has ended.
    pub(super) fn renew(&self, lease: Option<Duration>, now: Instant) -> bool {
        self.change(|word| Some(word.leased(lease, now)))
    }

    /// Lets nobody follow the flight from now on; `false` if that was so already, or it has ended.
    /// Its followers get its result.
    pub(super) fn detach(&self) -> bool {
        self.change(|word| word.is_attached().then_some(Word(word.0 | DETACHED)))
    }

    /// Whether the flight is running, and its key was not written since it began.
    pub(super) fn is_attached(&self) -> bool {
        // Acquire: pairs with the end, and with `detach`. A leader that has read what a later writer
        // put in its place sees that the writer had detached the flight. (It is beyond loom: the map's
        // load mostly orders the same.)
        Word(self.word.load(Ordering::Acquire)).is_attached()
    }

    /// As [`is_attached`](Self::is_attached), asked by the leader after it has stored its value: either
    /// this sees that the flight was detached, or the writer that detaches it finds the value.
    pub(super) fn is_attached_after_all(&self) -> bool {
        // Release: pairs with `detach`, if that comes later. Relaxed otherwise: the leader reads nothing
        // that a writer has written.
        Word(self.word.fetch_add(0, Ordering::Release)).is_attached()
    }

    /// Ends the flight; `false` if it had ended. The caller that ends it [wakes](Self::wake_all) the
    /// waiters, which may panic, when it has done what else there is to do.
    pub(super) fn end(&self, end: End) -> bool {
        self.end_if(|_| true, end)
    }

    /// Ends the flight because its lease has ended; `false` also if that has not.
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

    /// How long until it can be superseded; `None` if it never can.
    pub(super) fn left(&self, now: Instant) -> Option<Duration> {
        // Relaxed: a question about this moment.
        let word = Word(self.word.load(Ordering::Relaxed));
        if !word.is_running() {
            return Some(Duration::ZERO);
        }
        let end = word.0 >> STAGE;
        (end != NEVER).then(|| Instant::from_nanos(end).since(now))
    }

    /// Ends the flight with a result, which is handed back if it had ended.
    ///
    /// # Safety
    ///
    /// The caller is its leader, and has not called this before.
    pub(super) unsafe fn publish(&self, outcome: Outcome<V, E>) -> Result<(), Result<V, E>> {
        self.witness.write();
        // SAFETY: nobody reads it before the end, and only the leader writes it.
        unsafe { *self.result.get() = Some(outcome) };
        if self.end(End::Done) {
            return Ok(());
        }
        // SAFETY: it has ended, otherwise than with a result: nobody will read it.
        match unsafe { (*self.result.get()).take() } {
            Some(Outcome { result, .. }) => Err(result),
            None => unreachable!("written above"),
        }
    }

    fn change(&self, change: impl Fn(Word) -> Option<Word>) -> bool {
        // Acquire, here and where the exchange fails: pairs with the end. A writer that finds the flight
        // ended, and so does not detach it, finds what its leader has stored.
        let mut word = Word(self.word.load(Ordering::Acquire));
        while word.is_running() {
            let Some(next) = change(word) else {
                return false;
            };
            // Release: a thread that sees the end sees the result, and one that sees what a writer stored
            // sees that the flight was detached. Acquire: a waiter that looked before this is seen to wait,
            // and what a leader stored that looked before this is seen.
            match self.word.compare_exchange(word.0, next.0, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => return true,
                Err(seen) => word = Word(seen),
            }
        }
        false
    }

    /// Whether it has ended, asked by who has begun to wait: either whoever ends it sees him, or he the
    /// end.
    pub(super) fn has_ended_after_all(&self) -> bool {
        // Release: pairs with `change`, if that comes later. No Acquire: the result is asked for next.
        !Word(self.word.fetch_add(0, Ordering::Release)).is_running()
    }

    /// What it ended with, if it has ended: a result, or none.
    pub(super) fn ended(&self) -> Option<Option<&Outcome<V, E>>> {
        // Acquire: pairs with the end: the result is seen.
        match Word(self.word.load(Ordering::Acquire)).stage() {
            // Detached, it still has its followers.
            RUNNING | DETACHED => None,
            DONE => {
                self.witness.read();
                // SAFETY: written before the end, and not since.
                Some(unsafe { (*self.result.get()).as_ref() })
            }
            _ => Some(None),
        }
    }
}

impl<V, E> Drop for Flight<V, E> {
    fn drop(&mut self) {
        // Relaxed: nobody else is left. Running is what was never led, for another was there.
        if Word(self.word.load(Ordering::Relaxed)).is_running() {
            self.running.leave();
        }
    }
}
