//! Which entry is evicted next.
//!
//! Each tier has two queues, first in first out, after S3-FIFO (Yang et al., "FIFO queues are all
//! you need for cache eviction", SOSP 2023). What is new comes into the small queue, and is soon
//! evicted unless it is read there. What was read there moves to the main queue. How large the
//! small queue should be is learnt from the keys that come back soon after they were evicted, as
//! ARC learns it (Megiddo and Modha, FAST 2003).

use super::handle::{Handle, Time};
use super::history::FEWEST;
use super::queue::{After, Queue};
use crate::reclaim::{Guard, Limbo, OutOfMemory};
use crate::sync::{AtomicU64, Estimate, Loose32, Loose64, Ordering};

/// One of a tier's two queues.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// The queue of what is new.
    Small,
    /// The queue of what is wanted.
    Main,
}

impl Part {
    /// Returns the other queue.
    pub(super) fn other(self) -> Self {
        match self {
            Self::Small => Self::Main,
            Self::Main => Self::Small,
        }
    }
}

/// The handles whose turn comes after one that was taken.
pub(super) struct Upcoming<'g>(Option<After<'g>>);

impl Upcoming<'_> {
    /// Returns the handle `later` turns later, if it is known.
    pub(super) fn get(&self, later: usize) -> Option<Handle> {
        self.0.as_ref()?.get(later).map(Handle::from_number)
    }
}

/// The handles of one tier.
pub(super) struct Order {
    small: Queue,
    main: Queue,
    /// The handle of the main queue's next victim, taken off its front; 0 if there is none.
    nominee: AtomicU64,
    share: Share,
    /// For how many entries there has been room lately, in parts of 256.
    room: Loose64,
}

impl Order {
    pub(super) fn new() -> Self {
        Self {
            small: Queue::new(),
            main: Queue::new(),
            nominee: AtomicU64::new(0),
            share: Share::new(),
            room: Loose64::new(0),
        }
    }

    fn queue(&self, part: Part) -> &Queue {
        match part {
            Part::Small => &self.small,
            Part::Main => &self.main,
        }
    }

    /// Returns how many handles there are, or somewhat more.
    pub(super) fn len(&self, guard: &Guard) -> usize {
        self.small.len(guard) + self.main.len(guard) + usize::from(self.has_nominee())
    }

    /// Returns whether there are no handles, or all that there are belong to other threads.
    pub(super) fn is_empty(&self, guard: &Guard) -> bool {
        self.len(guard) == 0
    }

    /// Returns which queue has more handles.
    pub(super) fn longer(&self, guard: &Guard) -> Part {
        if self.main.len(guard) > self.small.len(guard) { Part::Main } else { Part::Small }
    }

    /// Returns how a tier that has `entries` entries is divided between the queues, and should be.
    /// Where entries differ in weight, their number goes up and down with each heavy one that comes, so
    /// what counts is an average of the last evictions.
    pub(super) fn division(&self, entries: u64, guard: &Guard) -> Division {
        let found = entries.saturating_mul(256);
        let room = match self.room.get() {
            0 => found,
            room => room - room / LAST + found / LAST,
        };
        self.room.set(room);
        let entries = usize::try_from(room.saturating_add(128) / 256).unwrap_or(usize::MAX);
        Division {
            small: self.small.len(guard),
            main: self.main.len(guard) + usize::from(self.has_nominee()),
            target: self.share.of(entries),
            entries,
        }
    }

    /// Returns how large the small queue should be.
    pub(super) fn share(&self) -> &Share {
        &self.share
    }

    /// Returns a number that differs whenever a handle was added in between.
    pub(super) fn stamp(&self, guard: &Guard) -> u32 {
        self.small.pushed(guard).wrapping_add(self.main.pushed(guard)) as u32
    }

    /// Returns the time of the order's clock, in units of two to the power of `shift` handles that
    /// came into the small queue.
    pub(super) fn time(&self, shift: u32, guard: &Guard) -> Time {
        Time::new(self.small.pushed(guard) as u64 >> shift)
    }

    /// Adds a handle, of an entry that can be found from now on, at the end of a queue. Returns how
    /// many were added to that before, or nearly so.
    pub(super) fn add(
        &self,
        handle: Handle,
        part: Part,
        guard: &Guard,
    ) -> Result<usize, OutOfMemory> {
        self.queue(part).push(handle.number(), guard)
    }

    /// Takes the first handle of a queue, and returns the ones that come next with it. Returns
    /// `None` also if the domain takes no more garbage.
    pub(super) fn next<'g>(
        &'g self,
        part: Part,
        limbo: &Limbo,
        guard: &'g Guard,
    ) -> Option<(Handle, Upcoming<'g>)> {
        if part == Part::Main
            && let Some(handle) = self.take_nominee()
        {
            return Some((handle, Upcoming(None)));
        }
        let (number, after) = self.queue(part).pop(limbo, guard)?;
        Some((Handle::from_number(number), Upcoming(Some(after))))
    }

    fn has_nominee(&self) -> bool {
        self.nominee.estimate() != 0
    }

    /// Takes the nominee, if there is one. It belongs to this thread then, as a handle does that was
    /// taken from a queue.
    fn take_nominee(&self) -> Option<Handle> {
        if !self.has_nominee() {
            return None;
        }
        // Acquire: pairs with `nominate`, as popping does with pushing.
        let number = self.nominee.swap(0, Ordering::Acquire);
        (number != 0).then(|| Handle::from_number(number))
    }

    /// Makes a handle, which belongs to this thread, the main queue's next victim. Returns `false`
    /// if there is another by now.
    pub(super) fn nominate(&self, handle: Handle) -> bool {
        // Release: the thread that takes it finds the entry. Relaxed: nothing is read.
        let (success, failure) = (Ordering::Release, Ordering::Relaxed);
        self.nominee.compare_exchange(0, handle.number(), success, failure).is_ok()
    }
}

/// The room is an average of about this many evictions.
const LAST: u64 = 64;

/// The main queue counts as full though other threads hold some of its handles. This constant is the
/// largest number of such handles.
const MOST_AWAY: usize = 8;
/// The number of entries for each handle that other threads may hold.
const EACH_AWAY: usize = 16;

/// How many handles a tier's queues have, and should have.
#[derive(Clone, Copy, Debug)]
pub(super) struct Division {
    pub(super) small: usize,
    pub(super) main: usize,
    /// How many the small queue should have.
    pub(super) target: usize,
    /// How many entries the tier has, on average of the last evictions.
    pub(super) entries: usize,
}

impl Division {
    /// Returns how many handles there are.
    pub(super) fn len(&self) -> usize {
        self.small.saturating_add(self.main)
    }

    fn of(&mut self, part: Part) -> &mut usize {
        match part {
            Part::Small => &mut self.small,
            Part::Main => &mut self.main,
        }
    }

    /// Notes that a handle was taken from a queue.
    pub(super) fn took(&mut self, part: Part) {
        let len = self.of(part);
        *len = len.saturating_sub(1);
    }

    /// Notes that a handle was put into a queue.
    pub(super) fn put(&mut self, part: Part) {
        *self.of(part) += 1;
    }

    /// Returns the queue that the next victim comes from. The main queue's length decides, because
    /// the small queue lacks what other threads are about to put in.
    pub(super) fn victims(&self) -> Part {
        let is_long = self.main + self.target.max(1) > self.entries;
        if self.main > 0 && (is_long || self.small == 0) { Part::Main } else { Part::Small }
    }

    /// Returns whether the main queue has fewer handles than it should, and not only because other
    /// threads are about to put some back.
    pub(super) fn has_room(&self) -> bool {
        let away = if cfg!(loom) { 0 } else { (self.entries / EACH_AWAY).min(MOST_AWAY) };
        self.main + self.target + away < self.entries
    }
}

/// Which part of a tier's entries should be in the small queue.
pub(super) struct Share(Loose32);

/// The share of a small queue that has all entries.
const WHOLE: u32 = 1 << 30;
const FIRST: u32 = WHOLE / 10;
const LEAST: u32 = WHOLE / 100;
const MOST: u32 = WHOLE - LEAST;

impl Share {
    fn new() -> Self {
        Self(Loose32::new(FIRST))
    }

    /// Returns how many of a tier's entries should be in the small queue: one at least, and none of
    /// a few, among which the order is that of one queue.
    pub(super) fn of(&self, entries: usize) -> usize {
        let share = self.0.get();
        match entries {
            few if (few as u64) < FEWEST => 0,
            _ => (entries as u128 * u128::from(share) / u128::from(WHOLE)).max(1) as usize,
        }
    }

    /// Returns what is left of `whole` without the small queue's share.
    pub(super) fn rest(&self, whole: u64) -> u64 {
        let rest = WHOLE - self.0.get();
        (u128::from(whole) * u128::from(rest) / u128::from(WHOLE)) as u64
    }

    /// Learns from a key that comes back after it was evicted from a queue: that queue should have
    /// been larger, by `by` parts of 256 of one of the tier's entries.
    pub(super) fn learn(&self, from: Part, by: u32, entries: usize) {
        let step = u64::from(WHOLE) * u64::from(by) / 256 / entries.max(1) as u64;
        let step = u32::try_from(step).unwrap_or(WHOLE).min(WHOLE);
        // Of what two threads learn at once, one part may be lost.
        let share = self.0.get();
        let share = match from {
            Part::Small => share.saturating_add(step).min(MOST),
            Part::Main => share.saturating_sub(step).max(LEAST),
        };
        self.0.set(share);
    }
}
