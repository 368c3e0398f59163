//! The state of an entry: one word that says until when the entry lives, whether it is dead, and
//! what still refers to it.
//!
//! | bits | |
//! |---|---|
//! | 61 | the entry's end in the namespace's time, in nanoseconds; all of them set: never |
//! | `DEAD` | the entry is no longer in the registry; for good |
//! | `LEASED` | a lease of the entry exists |
//! | `LEFT` | neither the map nor any guard refers to the entry; for good. Not `DEAD`: the registry was dropped |

use core::ptr::NonNull;

use crate::map::{Entry, Retained};
use crate::sync::{AtomicU64, Ordering};
use crate::time::{Ttl, nanos};

const DEAD: u64 = 0b001;
const LEASED: u64 = 0b010;
const LEFT: u64 = 0b100;
const FLAGS: u32 = 3;
const NEVER: u64 = u64::MAX >> FLAGS;

/// Returns the nanoseconds of a time to live; [`NEVER`] is for ever.
fn length(ttl: Ttl) -> u64 {
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
        self.0 & (DEAD | LEFT) != 0
    }

    pub(super) fn end(self) -> u64 {
        self.0 >> FLAGS
    }

    /// Returns the rank of an entry: the one that is dead or ends sooner has the smaller.
    pub(super) fn rank(self) -> u64 {
        if self.is_dead() { 0 } else { self.end() }
    }

    pub(super) fn is_past(self, time: u64) -> bool {
        self.end() != NEVER && self.end() <= time
    }
}

pub(super) struct Leased<V> {
    pub(super) life: AtomicU64,
    /// For how many nanoseconds a renewal is good.
    pub(super) ttl: u64,
    pub(super) value: V,
}

impl<V> Leased<V> {
    /// Makes an entry that lives for `ttl` from `time` on, but not beyond `until`.
    pub(super) fn new(ttl: Ttl, time: u64, until: u64, leased: bool, value: V) -> Self {
        let ttl = length(ttl);
        let end = end(ttl, time);
        let (ttl, end) = if until < end { (until.saturating_sub(time), until) } else { (ttl, end) };
        let flags = if leased { LEASED } else { 0 };
        Self { life: AtomicU64::new(end << FLAGS | flags), ttl, value }
    }

    pub(super) fn seen(&self) -> Life {
        // Acquire: pairs with `change`: the entry that took its place is found.
        Life(self.life.load(Ordering::Acquire))
    }

    fn change(&self, change: impl Fn(Life) -> Option<u64>) -> Result<Life, Life> {
        let mut life = self.seen();
        while let Some(next) = change(life) {
            // Release: a thread that finds it dead finds the entry that took its place. Relaxed: a
            // thread that finds it dead by this looks again by `seen`.
            let (success, failure) = (Ordering::Release, Ordering::Relaxed);
            match self.life.compare_exchange(life.0, next, success, failure) {
                Ok(_) => return Ok(life),
                Err(seen) => life = Life(seen),
            }
        }
        Err(life)
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
        let before = self.change(renew).ok()?.end();
        Some((before, before.max(later)))
    }

    /// Kills the entry if `doomed` says so of its word. Returns its end, if this call has killed
    /// it.
    pub(super) fn kill(&self, doomed: impl Fn(Life) -> bool) -> Option<u64> {
        let kill = |life: Life| (!life.is_dead() && doomed(life)).then_some(life.0 | DEAD);
        self.change(kill).ok().map(Life::end)
    }
}

/// Marks the lease as gone. Returns whether nothing refers to the entry any more. If something
/// does, it may free the entry from this moment on, which is why this takes the entry's word only.
pub(super) fn let_go(life: &AtomicU64) -> bool {
    // Release: the entry is freed after this thread is done with it. Acquire: the other is done
    // with it, if this thread is the one that frees it.
    life.fetch_and(!LEASED, Ordering::AcqRel) & LEFT != 0
}

impl<V> Retained for Leased<V> {
    fn weight<K>(_entry: &Entry<K, Self>, _tail: usize) -> usize {
        0
    }

    unsafe fn left(this: NonNull<Self>) -> bool {
        // SAFETY: by the caller's promise.
        let life = unsafe { &(*this.as_ptr()).life };
        // AcqRel: as in `let_go`, with which this pairs: one of the two is the last. The Release is
        // needed where the registry is dropped; elsewhere the grace period gives the same order.
        life.fetch_or(LEFT, Ordering::AcqRel) & LEASED == 0
    }
}
