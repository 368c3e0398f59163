//! The queues, first in first out, and the clock of ages.

use std::collections::VecDeque;

/// The queue that a key is in, or was evicted from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// The queue of new keys.
    Small,
    /// The queue of keys that were asked for again.
    Main,
}

/// When a key came to its place: a count of keys that came into the small queue, in units of the
/// clock. It has 24 bits, and wraps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Time(u32);

impl Time {
    pub(super) const BITS: u32 = 24;
    const MASK: u32 = (1 << Self::BITS) - 1;

    pub(super) fn new(count: u64) -> Self {
        Self(count as u32 & Self::MASK)
    }

    pub(super) fn number(self) -> u32 {
        self.0
    }

    /// Returns for how many units `earlier` has been over.
    pub(super) fn since(self, earlier: Self) -> u32 {
        self.0.wrapping_sub(earlier.0) & Self::MASK
    }
}

/// What a queue holds of an entry.
#[derive(Clone, Copy, Debug)]
pub(super) struct Handle {
    pub(super) key: u64,
    pub(super) hash: u32,
    /// When the entry came to its place, or last got another chance there.
    pub(super) time: Time,
}

#[derive(Debug)]
pub(super) struct Queues {
    small: VecDeque<Handle>,
    main: VecDeque<Handle>,
    /// The next victim of the main queue, taken off its front to be compared with.
    nominee: Option<Handle>,
    /// New keys that came into the small queue.
    news: u64,
    /// The clock's units are two to the power of this many new keys.
    shift: u32,
}

/// The units of time in which as many new keys come as there is room for, at least: more would not
/// make the ages better.
const UNITS: usize = 1 << 12;

impl Queues {
    pub(super) fn new(room: usize) -> Self {
        Self {
            small: VecDeque::new(),
            main: VecDeque::new(),
            nominee: None,
            news: 0,
            shift: (room / UNITS).checked_ilog2().map_or(0, |log| log + 1),
        }
    }

    pub(super) fn now(&self) -> Time {
        Time::new(self.news >> self.shift)
    }

    /// Returns in how many units of time `keys` new keys come.
    pub(super) fn units(&self, keys: usize) -> u32 {
        u32::try_from(keys >> self.shift).unwrap_or(u32::MAX)
    }

    /// Returns how many entries a queue has; the nominee is one of the main queue's.
    pub(super) fn len(&self, part: Part) -> usize {
        match part {
            Part::Small => self.small.len(),
            Part::Main => self.main.len() + usize::from(self.nominee.is_some()),
        }
    }

    /// Adds a new key.
    pub(super) fn add(&mut self, key: u64, hash: u32, part: Part) {
        self.push(Handle { key, hash, time: self.now() }, part);
        self.news += u64::from(part == Part::Small);
    }

    /// Puts an entry at the end of a queue.
    pub(super) fn push(&mut self, handle: Handle, part: Part) {
        match part {
            Part::Small => self.small.push_back(handle),
            Part::Main => self.main.push_back(handle),
        }
    }

    /// Takes an entry: that of the small queue's front, or the nominee, or that of the main queue's
    /// front.
    pub(super) fn pop(&mut self, part: Part) -> Option<Handle> {
        match part {
            Part::Small => self.small.pop_front(),
            Part::Main => self.nominee.take().or_else(|| self.main.pop_front()),
        }
    }

    /// Keeps an entry, which was taken from the main queue, as its next victim.
    pub(super) fn nominate(&mut self, handle: Handle) {
        debug_assert!(self.nominee.is_none(), "one nominee at a time");
        self.nominee = Some(handle);
    }
}
