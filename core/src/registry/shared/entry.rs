//! The state of an entry: one word that says until when the entry lives, whether it is dead, and
//! what still refers to it.
//!
//! | bits | while it lives | when it is dead |
//! |---|---|---|
//! | `DEAD` | clear | set for good: the entry is no longer in the registry |
//! | `LEASED` | a lease of the entry exists | the same |
//! | `UNTOLD` | its arrival has not been told | the same: the thread that tells the arrival tells the departure, too |
//! | 61 | the entry's end in the namespace's time, in nanoseconds; all of them set: never | `LEFT`, and two bits of why it died |
//!
//! `LEFT` says that neither the map nor any guard refers to the entry.

use core::ptr::NonNull;

use crate::map::{Entry, Retained};
use crate::registry::Departure;
use crate::sync::{AtomicU64, Ordering};
use crate::time::{Ttl, nanos};

const DEAD: u64 = 0b00_0001;
const LEASED: u64 = 0b00_0010;
const UNTOLD: u64 = 0b00_0100;
const FLAGS: u32 = 3;
const NEVER: u64 = u64::MAX >> FLAGS;

// Of the dead only.
const LEFT: u64 = 0b00_1000;
/// Why an entry died, by the two bits above `LEFT`.
const CAUSES: [Departure; 4] =
    [Departure::Expired, Departure::Withdrawn, Departure::Replaced, Departure::Evicted];
const CAUSE: u32 = FLAGS + 1;
const _: () = {
    let mut cause = 0;
    while cause < CAUSES.len() {
        assert!(CAUSES[cause] as usize == cause);
        cause += 1;
    }
};

/// Returns the nanoseconds of a time to live; [`NEVER`] is for ever.
pub(super) fn length(ttl: Ttl) -> u64 {
    match ttl {
        Ttl::For(ttl) => nanos(ttl).min(NEVER - 1),
        Ttl::Forever => NEVER,
    }
}

fn end(ttl: u64, time: u64) -> u64 {
    if ttl == NEVER { NEVER } else { time.saturating_add(ttl).min(NEVER - 1) }
}

/// A word of an entry, as it was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Life(u64);

impl Life {
    /// Returns whether the entry was removed, or its registry was dropped.
    pub(super) fn is_dead(self) -> bool {
        self.0 & DEAD != 0
    }

    /// Returns the end of an entry that lives.
    pub(super) fn end(self) -> u64 {
        self.0 >> FLAGS
    }

    /// Returns the rank of an entry: the one that is dead or ends sooner has the smaller.
    pub(super) fn rank(self) -> u64 {
        if self.is_dead() { 0 } else { self.end() }
    }

    /// Returns whether an entry that is not dead has ended.
    pub(super) fn is_past(self, time: u64) -> bool {
        self.end() != NEVER && self.end() <= time
    }

    /// Returns the cause of death of an entry that is not dead, if it has ended.
    pub(super) fn expired(self, time: u64) -> Option<Departure> {
        self.is_past(time).then_some(Departure::Expired)
    }

    /// Returns the word of the entry once it is dead for this cause.
    fn killed(self, cause: Departure) -> u64 {
        DEAD | self.0 & (LEASED | UNTOLD) | (cause as u64) << CAUSE
    }

    /// Returns why an entry died.
    fn cause(self) -> Departure {
        CAUSES[(self.0 >> CAUSE) as usize % CAUSES.len()]
    }
}

/// How an entry died that this thread has killed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Death {
    /// The end that the entry had.
    pub(super) end: u64,
    pub(super) cause: Departure,
    /// Whether the departure is another thread's to tell: the one that has not told the arrival.
    pub(super) untold: bool,
}

pub(super) struct Leased<V> {
    pub(super) life: AtomicU64,
    /// For how many nanoseconds a renewal is good.
    pub(super) ttl: u64,
    pub(super) value: V,
}

impl<V> Leased<V> {
    /// Makes an entry that lives for `ttl`, a [length], from `time` on, but not beyond `until`. If
    /// its arrival is `untold`, it must be [told](Self::tell). Returns the entry and its end.
    pub(super) fn new(
        (ttl, time, until): (u64, u64, u64),
        leased: bool,
        untold: bool,
        value: V,
    ) -> (Self, u64) {
        let end = end(ttl, time);
        let (ttl, end) = if until < end { (until.saturating_sub(time), until) } else { (ttl, end) };
        let flags = if leased { LEASED } else { 0 } | if untold { UNTOLD } else { 0 };
        (Self { life: AtomicU64::new(end << FLAGS | flags), ttl, value }, end)
    }

    pub(super) fn seen(&self) -> Life {
        // Acquire: pairs with `change`: the entry that took its place is found.
        Life(self.life.load(Ordering::Acquire))
    }

    /// Changes the word, and returns it as it was before and as it is after.
    fn change(&self, change: impl Fn(Life) -> Option<u64>) -> Option<(Life, Life)> {
        let mut life = self.seen();
        while let Some(next) = change(life) {
            // Release: a thread that finds it dead finds the entry that took its place. Relaxed: a
            // thread that finds it dead by this looks again by `seen`.
            let (success, failure) = (Ordering::Release, Ordering::Relaxed);
            match self.life.compare_exchange(life.0, next, success, failure) {
                Ok(_) => return Some((life, Life(next))),
                Err(seen) => life = Life(seen),
            }
        }
        None
    }

    /// Renews the entry from `time` on, unless it is dead or has expired. Returns its ends, before
    /// and after.
    pub(super) fn renew(&self, time: u64) -> Option<(u64, u64)> {
        let later = end(self.ttl, time);
        let renew = |life: Life| {
            let lives = !life.is_dead() && !life.is_past(time);
            // A renewal of an earlier time shortens nothing.
            lives.then_some(life.end().max(later) << FLAGS | life.0 & !(NEVER << FLAGS))
        };
        let before = self.change(renew)?.0.end();
        Some((before, before.max(later)))
    }

    /// Kills the entry if `doomed` says why, always the same of the same word. Returns how, if this
    /// call has killed it.
    pub(super) fn kill(&self, doomed: impl Fn(Life) -> Option<Departure>) -> Option<Death> {
        let kill = |life: Life| {
            if life.is_dead() { None } else { doomed(life).map(|cause| life.killed(cause)) }
        };
        let (before, _) = self.change(kill)?;
        let cause = doomed(before)?;
        Some(Death { end: before.end(), cause, untold: before.0 & UNTOLD != 0 })
    }

    /// Marks the arrival as told. Returns why the entry has died if it has: that is then this
    /// thread's to tell.
    pub(super) fn tell(&self) -> Option<Departure> {
        let (_, life) = self.change(|life| Some(life.0 & !UNTOLD))?;
        // Looked at anew: what came before the killing is then seen, too.
        life.is_dead().then(|| self.seen().cause())
    }
}

/// Marks the lease as gone. Returns whether nothing refers to the entry any more. If something
/// does, it may free the entry from this moment on, which is why this takes the entry's word only.
pub(super) fn let_go(life: &AtomicU64) -> bool {
    // Release: the entry is freed after this thread is done with it. Acquire: the other is done
    // with it, if this thread is the one that frees it.
    let before = life.fetch_and(!LEASED, Ordering::AcqRel);
    before & DEAD != 0 && before & LEFT != 0
}

impl<V> Retained for Leased<V> {
    fn weight<K>(_entry: &Entry<K, Self>, _tail: usize) -> usize {
        0
    }

    unsafe fn left(this: NonNull<Self>) -> bool {
        // SAFETY: by the caller's promise.
        let life = unsafe { &(*this.as_ptr()).life };
        // Acquire: pairs with `let_go`: without a lease, nothing else refers to the entry, and its
        // word is not touched any more.
        let mut word = life.load(Ordering::Acquire);
        while word & LEASED != 0 {
            // AcqRel and Acquire: as in `let_go`, with which this pairs: one of the two is the last.
            // The Release is needed where the registry is dropped, and the entry has not died
            // before; elsewhere the grace period gives the same order.
            let (success, failure) = (Ordering::AcqRel, Ordering::Acquire);
            match life.compare_exchange(word, DEAD | LEASED | LEFT, success, failure) {
                Ok(_) => return false,
                Err(seen) => word = seen,
            }
        }
        true
    }
}
