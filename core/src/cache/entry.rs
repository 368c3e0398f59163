//! The state of a value: until when it is fresh, and one word that says the rest.
//!
//! | bits of the word | |
//! |---|---|
//! | `DEAD` | the entry is no longer in the cache; for good |
//! | `READS` | how often the entry was read since its last turn in the order: one bit each, up to three |
//! | `LEFT` | neither the map nor any guard has a use for the entry; for good |
//! | `LENT` | its room is lent to an entry that is about to take its place |
//! | `PENDING` | the entry was loaded, and its leader has not yet seen that the key was not written since |
//! | the rest | the number of holds; none is added once the entry is dead |

use core::ptr::NonNull;

use crate::map::{Entry, Retained};
use crate::sync::{AtomicU32, AtomicU64, Ordering};
use crate::time::{Instant, Ttl, nanos};

use super::handle::{Handle, Time};
use super::tier::Tier;

const DEAD: u32 = 0b0001;
const LEFT: u32 = 0b0010;
const LENT: u32 = 0b0100;
const PENDING: u32 = 0b1000;
const READS: u32 = 0b111_0000;
const READ_ONCE: u32 = 0b001_0000;
const READ_OFTEN: u32 = 0b100_0000;
const HOLD: u32 = 0b1000_0000;

/// The end of an entry that never ends. An entry that ends at this very nanosecond ends one
/// earlier.
const NEVER: u64 = u64::MAX;

/// The end of an entry that a thread kills because it has expired. It can no longer be prolonged.
/// The one other entry that ends at this nanosecond is inserted at it, for no time.
const CLOSED: u64 = 0;

/// Returns the end of a time to live that begins now.
pub(super) fn end(ttl: Ttl, now: Instant) -> u64 {
    match ttl {
        Ttl::For(ttl) => now.as_nanos().saturating_add(nanos(ttl)).min(NEVER - 1),
        Ttl::Forever => NEVER,
    }
}

/// Returns an end as an instant, or `None` if it never comes.
pub(super) fn until(end: u64) -> Option<Instant> {
    (end != NEVER).then(|| Instant::from_nanos(end))
}

pub(super) struct Object<V> {
    pub(super) state: AtomicU32,
    /// Distinguishes the entry from others that the key stands or stood for, and holds its tier.
    mark: u32,
    /// In nanoseconds: from then on the entry is no longer fresh. It only grows, until it is
    /// [closed](Self::close).
    ///
    /// Every operation on it is Relaxed, and pairs with none: it hands over no memory. Whether an
    /// entry is prolonged or closed is decided by the exchanges of this one word.
    end: AtomicU64,
    weight: u64,
    pub(super) value: V,
}

/// Which entries are looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Search {
    /// Entries that are too old.
    Expired,
    /// Entries that are too old. Of others it is found out whether they are held or were read.
    Candidates(Chance),
    /// Entries that are too old, or are neither held nor read.
    Unread(Chance),
    /// Entries that are too old, or are not held.
    Unheld,
    /// Any entry: there is no place for it any more.
    Anyone,
}

/// How many of its reads an entry that was read uses up when it is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Chance {
    /// One of them.
    One,
    /// All of them.
    All,
}

/// The result of looking.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// This thread has killed it, because it was too old.
    Expired(Dead),
    /// This thread has killed it, to make room.
    Evicted(Dead),
    /// It was dead.
    Gone,
    /// It stays: it was read this often, and has used up reads.
    Read(u32),
    /// It stays, though it is neither held nor was read.
    Unread,
    /// It stays.
    Stays,
}

/// Which thread gives back the room of an entry that was killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dead {
    /// The thread that killed it gives back what was reserved for it.
    Unheld,
    /// The caller that drops the last hold gives it back.
    Held,
    /// No thread does: its room has been lent to another entry.
    Lent,
}

/// Why an entry could not be held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NotHeld {
    /// The entry is dead.
    Dead,
    /// The entry has as many holds as can be counted.
    TooOften,
    /// Its room is [lent](Object::lend): without room of its own it cannot stay after its
    /// replacement.
    Lent,
}

/// What the last hold leaves behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Unheld {
    /// Whether what was reserved for the entry is to be given back.
    pub(super) dead: bool,
    /// Whether its memory is to be freed.
    pub(super) left: bool,
}

impl<V> Object<V> {
    pub(super) fn new(tag: u32, tier: Tier, end: u64, weight: u64, value: V) -> Self {
        Self {
            state: AtomicU32::new(0),
            mark: mark(tag, tier),
            end: AtomicU64::new(end),
            weight,
            value,
        }
    }

    pub(super) fn weight(&self) -> u64 {
        self.weight
    }

    pub(super) fn tier(&self) -> Tier {
        Tier::new((self.mark & 0b111) as u8)
    }

    /// Returns whether a handle in the order of its tier is the entry's.
    pub(super) fn is(&self, handle: Handle, tier: Tier) -> bool {
        self.mark == mark(handle.tag(), tier)
    }

    /// Returns the entry's handle, put somewhere at this time.
    pub(super) fn handle(&self, hash: usize, time: Time) -> Handle {
        Handle::new(hash, self.mark >> 3, time)
    }

    /// Takes the place of another entry in the order, if there is one of the same tier that lives.
    /// Otherwise takes a place of its own.
    pub(super) fn succeed(&mut self, other: Option<&Self>, tag: u32) {
        let tier = self.tier();
        let other = other.filter(|other| other.tier() == tier && !other.is_dead());
        self.mark = other.map_or(mark(tag, tier), |other| other.mark);
    }

    pub(super) fn succeeds(&self, other: &Self) -> bool {
        self.mark == other.mark
    }

    /// Returns whether the entry is no longer in the cache.
    #[inline(always)]
    pub(super) fn is_dead(&self) -> bool {
        // Acquire: pairs with `kill`.
        self.state.load(Ordering::Acquire) & DEAD != 0
    }

    /// Returns whether readers may not have the entry: it is dead, or not
    /// [confirmed](Self::confirm) yet.
    #[inline(always)]
    pub(super) fn is_hidden(&self) -> bool {
        // Acquire: pairs with `kill`.
        self.state.load(Ordering::Acquire) & (DEAD | PENDING) != 0
    }

    /// Hides the entry, before it is published, until it is confirmed.
    pub(super) fn hide(&self) {
        // Relaxed: not published yet.
        self.state.store(PENDING, Ordering::Relaxed);
    }

    /// Shows the entry to readers from now on, unless it is dead.
    pub(super) fn confirm(&self) {
        // Relaxed: what a reader sees of it was published with it. The bit is there, for no other
        // thread takes it away.
        self.state.fetch_sub(PENDING, Ordering::Relaxed);
    }

    /// Returns whether the entry has not expired.
    #[inline(always)]
    pub(super) fn is_fresh(&self, now: Instant) -> bool {
        is_before(now, self.end())
    }

    /// Returns when the entry ends, in nanoseconds, or [`NEVER`].
    #[inline(always)]
    pub(super) fn end(&self) -> u64 {
        // Relaxed: see the field.
        self.end.load(Ordering::Relaxed)
    }

    /// Returns how long the entry is still fresh, or `None` if it is not.
    pub(super) fn left(&self, now: Instant) -> Option<Ttl> {
        let end = self.end();
        is_before(now, end).then(|| match until(end) {
            Some(until) => Ttl::For(until.since(now)),
            None => Ttl::Forever,
        })
    }

    /// Returns the instant `stale` nanoseconds after the entry's end, or `None` if it never ends.
    pub(super) fn until(&self, stale: u64) -> Option<Instant> {
        until(self.end()).map(|end| Instant::from_nanos(end.as_nanos().saturating_add(stale)))
    }

    /// Returns whether the entry ended at least `stale` nanoseconds ago.
    pub(super) fn is_past(&self, now: Instant, stale: u64) -> bool {
        is_past(self.end(), now, stale)
    }

    /// Moves the end of a fresh entry to `end`, if that is later. Returns `false` if the entry is
    /// not fresh.
    pub(super) fn prolong(&self, end: u64, now: Instant) -> bool {
        let mut seen = self.end();
        while is_before(now, seen) {
            if seen >= end {
                return true;
            }
            // Relaxed, both: see the field.
            match self.end.compare_exchange(seen, end, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return true,
                Err(next) => seen = next,
            }
        }
        false
    }

    /// Closes the entry if it ended at least `stale` nanoseconds ago, and returns whether it is
    /// closed. A thread that prolongs it has done so before, and then it stays, or finds it closed.
    fn close(&self, now: Instant, stale: u64) -> bool {
        let mut seen = self.end();
        while is_past(seen, now, stale) {
            if seen == CLOSED {
                return true;
            }
            // Relaxed, both: see the field.
            match self.end.compare_exchange(seen, CLOSED, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return true,
                Err(next) => seen = next,
            }
        }
        false
    }

    /// Kills the entry if it ended at least `stale` nanoseconds ago. Returns `None` if it did not,
    /// or was dead.
    pub(super) fn expire(&self, now: Instant, stale: u64) -> Option<Dead> {
        self.close(now, stale).then(|| self.kill()).flatten()
    }

    /// Marks the entry as read once more, up to three times.
    #[inline(always)]
    pub(super) fn read(&self) {
        // Relaxed, both: the bits say nothing about anything else.
        let state = self.state.load(Ordering::Relaxed);
        if state & READ_OFTEN == 0 {
            self.state.fetch_or(once_more(state), Ordering::Relaxed);
        }
    }

    /// Kills the entry. Returns `None` if it was dead.
    pub(super) fn kill(&self) -> Option<Dead> {
        self.kill_seen().map(|(dead, _)| dead)
    }

    /// Kills the entry, and returns whether readers could have it until then. Returns `None` if it
    /// was dead.
    pub(super) fn kill_seen(&self) -> Option<(Dead, bool)> {
        // Release: a thread that finds it dead finds what took its place. Acquire, beyond loom: so
        // does this thread, if it finds an expired entry dead; no model replaces one.
        let before = self.state.fetch_or(DEAD, Ordering::AcqRel);
        (before & DEAD == 0).then(|| (dead(before), before & PENDING == 0))
    }

    /// Kills the entry if readers may not have it yet, and never could. Returns `None` if it was
    /// dead, or was confirmed.
    pub(super) fn kill_hidden(&self) -> Option<Dead> {
        // Relaxed, with no partner: a guess, which the exchange checks.
        let mut state = self.state.load(Ordering::Relaxed);
        while state & (DEAD | PENDING) == PENDING {
            let next = state | DEAD;
            // AcqRel: as in `kill_seen`. Relaxed: another guess.
            match self.state.compare_exchange(state, next, Ordering::AcqRel, Ordering::Relaxed) {
                Ok(before) => return Some(dead(before)),
                Err(seen) => state = seen,
            }
        }
        None
    }

    /// Kills the entry if the search is for it.
    pub(super) fn judge(&self, now: Instant, stale: u64, search: Search) -> Fate {
        if self.close(now, stale) {
            return self.kill().map_or(Fate::Gone, Fate::Expired);
        }
        // Acquire, here and where the exchange fails: pairs with `kill`.
        let mut state = self.state.load(Ordering::Acquire);
        loop {
            let (next, fate) = match state {
                dead if dead & DEAD != 0 => return Fate::Gone,
                found if search == Search::Anyone => (found | DEAD, Fate::Evicted(dead(found))),
                held if held & LENT != 0 || held >= HOLD || search == Search::Expired => {
                    return Fate::Stays;
                }
                found => match search {
                    Search::Candidates(chance) | Search::Unread(chance) if found & READS != 0 => {
                        let left = match chance {
                            Chance::One => (found & READS) >> 1 & READS,
                            Chance::All => 0,
                        };
                        (found & !READS | left, Fate::Read((found & READS).count_ones()))
                    }
                    Search::Candidates(_) => return Fate::Unread,
                    _ => (found | DEAD, Fate::Evicted(Dead::Unheld)),
                },
            };
            // Relaxed: nothing took its place.
            match self.state.compare_exchange(state, next, Ordering::Relaxed, Ordering::Acquire) {
                Ok(_) => return fate,
                Err(seen) => state = seen,
            }
        }
    }

    /// Adds a hold.
    pub(super) fn hold(&self) -> Result<(), NotHeld> {
        // Relaxed, here and below: a count, changed under a guard. A thread that finds the entry
        // dead looks again by `is_dead`.
        let mut state = self.state.load(Ordering::Relaxed);
        loop {
            let next = match state {
                dead if dead & DEAD != 0 => return Err(NotHeld::Dead),
                lent if lent & LENT != 0 => return Err(NotHeld::Lent),
                idle => idle.checked_add(HOLD).ok_or(NotHeld::TooOften)? | once_more(idle),
            };
            match self.state.compare_exchange(state, next, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return Ok(()),
                Err(seen) => state = seen,
            }
        }
    }

    /// Lends the entry's room to another that is about to take its place: from now on the entry is
    /// not evicted, and not held. Returns `false` if it is dead, held, or has lent its room
    /// already.
    pub(super) fn lend(&self) -> bool {
        // Relaxed, here and in `take_back`: the bit says only whose the room is, and rooms are
        // counts.
        let mut state = self.state.load(Ordering::Relaxed);
        while state & (DEAD | LENT) == 0 && state < HOLD {
            let next = state | LENT;
            match self.state.compare_exchange(state, next, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return true,
                Err(seen) => state = seen,
            }
        }
        false
    }

    /// Gives the entry room of its own again. Returns `false` if it is dead or has room: then the
    /// caller keeps the room.
    pub(super) fn take_back(&self) -> bool {
        // Relaxed, with no partner: a guess, which the exchange checks.
        let mut state = self.state.load(Ordering::Relaxed);
        while state & (DEAD | LENT) == LENT {
            let next = state & !LENT;
            // Relaxed, both, with no partner: the exchange decides which thread has the room, and
            // hands nothing else over.
            match self.state.compare_exchange(state, next, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return true,
                Err(seen) => state = seen,
            }
        }
        false
    }
}

fn is_before(now: Instant, end: u64) -> bool {
    now.as_nanos().min(NEVER - 1) < end
}

fn is_past(end: u64, now: Instant, stale: u64) -> bool {
    end == CLOSED || end != NEVER && end.saturating_add(stale) <= now.as_nanos()
}

fn mark(tag: u32, tier: Tier) -> u32 {
    (tag & Handle::TAGS) << 3 | u32::from(tier.number())
}

/// Returns the bit to be set of a state that is read once more. The bits are set one after the
/// other, so that threads that read at once set the same bit, and never one beyond.
fn once_more(state: u32) -> u32 {
    ((state & READS) << 1 | READ_ONCE) & READS
}

fn dead(before: u32) -> Dead {
    match before {
        lent if lent & LENT != 0 => Dead::Lent,
        held if held >= HOLD => Dead::Held,
        _ => Dead::Unheld,
    }
}

/// Releases one hold, and returns what it leaves behind if it was the last. After this, others may
/// free the object unless it is left behind, so this takes its word only.
pub(super) fn let_go(state: &AtomicU32) -> Unheld {
    // Release: the thread that frees it does so after this one is done with it. Acquire: the others
    // are done with it, if this thread frees it.
    let before = state.fetch_sub(HOLD, Ordering::AcqRel);
    let last = before / HOLD == 1;
    Unheld { dead: last && before & DEAD != 0, left: last && before & LEFT != 0 }
}

impl<V> Retained for Object<V> {
    fn weight<K>(entry: &Entry<K, Self>, _tail: usize) -> usize {
        usize::try_from(entry.value.weight.min(1 << 50)).unwrap_or(usize::MAX >> 1)
    }

    unsafe fn left(this: NonNull<Self>) -> bool {
        // SAFETY: by the caller's promise.
        let state = unsafe { &(*this.as_ptr()).state };
        // AcqRel: as in `let_go`, with which this pairs: one of the two is the last. The Release is
        // needed where the cache is dropped; elsewhere the grace period gives the same order.
        state.fetch_or(LEFT, Ordering::AcqRel) < HOLD
    }
}
