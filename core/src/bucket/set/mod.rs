//! SETTAB: a set of slots whose membership is one word.
//!
//! # Algorithm
//!
//! A key belongs to one set and may stand in any of its slots. Three things must never happen: two
//! slots for one key (a double burst), a charge that lands on another key's bucket, and a charge
//! that lands on a bucket already given up. One word decides each:
//!
//! * The **control** word holds the bitmap of visible slots and a sequence number. Membership
//!   changes only by compare-exchange on it, so whoever publishes a key has seen, in the very value
//!   that is replaced, that no other slot shows it.
//! * The **state** word of a slot holds the bucket's time, the tenure's version and the phase.
//!   Charging and closing compete on this one word, so a closed bucket loses no charge.
//! * A slot is **claimed** in private and published afterwards. Nobody ever waits for a claimer.
//!
//! # State
//!
//! ```text
//! control  { sequence: 22, visible: 10 }
//! state    { time: 60, version: 2, phase: 2 }
//!
//!   VACANT --claim--> CLAIMED --publish, first charge--> LIVE --close--> CLOSED --unpublish--> VACANT
//!   invisible         invisible, then visible            visible        visible, then not
//!                        |                                                 ^
//!                        '--lost to another: back to VACANT    dead: closed by a sweeper--'
//! ```
//!
//! A closed word keeps its time, which distinguishes it from the closed words of other tenures. A
//! vacant word holds the last time there is, so that a sweep passes over it after one comparison. A
//! word of zeros, the first of its slot, passes in the same way: zero less one is the largest number.
//!
//! All zeros is an empty set, so a table in a `static` costs nothing in the image.
//!
//! # Layout
//!
//! Two cache lines of five slots under one control word, in the first. A key prefers the line that
//! a bit of its fingerprint names. A hit does not read the control word (a LIVE slot is visible,
//! and is closed before it is hidden), so it touches one line unless the key had to go into the
//! other one.
//!
//! # Progress
//!
//! Lock-free. A failed compare-exchange means that another one on the same set succeeded. A thread
//! that stops between claim and publish costs one slot of one set until it goes on, and if that was
//! the last, other requests for its key find the set full; stopped anywhere else it costs nothing,
//! since others finish what it began. They cannot publish a claim for it: the fingerprint they read
//! may be that of the tenure before.
//!
//! # Bounds
//!
//! The sequence wraps after 2^22 changes of membership of one set, and a version after four
//! tenures of one slot: a thread that sleeps, between a scan and its compare-exchange, for exactly
//! a multiple of that can be deceived. `docs/design.md` puts times to it.

mod insert;
mod reclaim;
mod seat;
mod update;
mod words;

pub(super) use insert::Inserted;
pub(super) use reclaim::Drained;
pub(super) use seat::Found;
pub(super) use words::SLOTS;

use self::words::{Control, ControlWord, State, StateWord};
use super::place::Place;
use super::seat::Seat;
use crate::sync::{AtomicU32, Ordering, prefetch};

const LINES: usize = 2;
/// Slots in a cache line.
const LINE: usize = SLOTS / LINES;

/// Ten slots in two cache lines: what a [`BucketTable`](crate::BucketTable) is made of.
///
/// Memory for a table is a slice of these: a `static`, a slice on loan, or a box.
///
/// ```
/// use tidegate_core::bucket::Set;
///
/// static SETS: [Set; 64] = [const { Set::new() }; 64];
/// assert_eq!(size_of_val(&SETS), 64 * 128);
/// ```
#[derive(Debug)]
#[repr(C, align(128))]
pub struct Set {
    lines: [Line; LINES],
}

/// Half of a set.
#[derive(Debug)]
#[repr(C, align(64))]
pub(super) struct Line {
    /// Membership of the whole set; only the first line's is used.
    ///
    /// Written by a thread that publishes or unpublishes; read by one that inserts, reclaims, or finds a
    /// claimed slot.
    control: ControlWord,
    /// Written by the slot's claimer alone; read by everyone.
    fingerprints: [AtomicU32; LINE],
    /// Written by everyone.
    states: [StateWord; LINE],
}

#[cfg(not(any(loom, shuttle)))]
const _: () = assert!(size_of::<Line>() == 64 && size_of::<Set>() == 128);

/// What an operation found in a bucket's time word, and what it put there.
#[derive(Clone, Copy, Debug)]
pub(super) struct Change {
    pub(super) before: u64,
    /// `None` if nothing was written.
    pub(super) after: Option<u64>,
    /// Where the bucket stands.
    pub(super) seat: Seat,
}

impl Set {
    /// Creates an empty set.
    #[cfg(not(loom))]
    pub const fn new() -> Self {
        Self { lines: [const { Line::new() }; LINES] }
    }

    /// Creates an empty set.
    #[cfg(loom)]
    pub fn new() -> Self {
        Self { lines: core::array::from_fn(|_| Line::new()) }
    }

    /// Returns how many sets serve `keys` keys with fewer than 1 in 1,000 finding no slot: 3.5 keys a set,
    /// which is 36.6 bytes a key. At least 1.
    ///
    /// Spare slots are cheap and a full set is not: for a table under attack, double it.
    pub const fn for_keys(keys: usize) -> usize {
        super::sets_for(keys)
    }

    /// Makes a set whole again that threads have left at any instruction: those of processes that were
    /// killed. Returns how many slots were given back.
    ///
    /// A set needs that only where threads end in the middle of a call. Each such end costs the set at
    /// most one slot, and nothing else, until then.
    ///
    /// ```
    /// use tidegate_core::bucket::Set;
    ///
    /// let mut sets = [const { Set::new() }; 8];
    /// assert_eq!(sets.iter_mut().map(Set::mend).sum::<usize>(), 0);
    /// ```
    pub fn mend(&mut self) -> usize {
        self.give_back_claims()
    }

    fn control(&self) -> &ControlWord {
        &self.lines[0].control
    }

    fn fingerprint(&self, slot: usize) -> &AtomicU32 {
        &self.lines[slot / LINE].fingerprints[slot % LINE]
    }

    fn state(&self, slot: usize) -> &StateWord {
        &self.lines[slot / LINE].states[slot % LINE]
    }

    /// The line in which the key is looked for first.
    #[inline]
    pub(super) fn line(&self, place: Place) -> &Line {
        &self.lines[place.line()]
    }

    /// Asks the processor for the set that lies `ahead` sets behind this one, if there is one.
    #[inline(always)]
    pub(super) fn prefetch(&self, ahead: usize) {
        // Past the end of the table the hint is for other memory, which does no harm.
        let set = core::ptr::from_ref(self).wrapping_add(ahead).cast::<Line>();
        prefetch(set);
        prefetch(set.wrapping_add(1));
    }

    /// How many slots are visible just now.
    pub(super) fn len(&self) -> u32 {
        // Relaxed: a count, on which nothing depends.
        self.control().load(Ordering::Relaxed).visible().count_ones()
    }
}

impl Default for Set {
    fn default() -> Self {
        Self::new()
    }
}

impl Line {
    #[cfg(not(loom))]
    const fn new() -> Self {
        Self {
            control: ControlWord::new(),
            fingerprints: [const { AtomicU32::new(0) }; LINE],
            states: [const { StateWord::new() }; LINE],
        }
    }

    #[cfg(loom)]
    fn new() -> Self {
        Self {
            control: ControlWord::new(),
            fingerprints: core::array::from_fn(|_| AtomicU32::new(0)),
            states: core::array::from_fn(|_| StateWord::new()),
        }
    }
}
