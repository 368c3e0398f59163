//! What a worker has retired and not paid for: the end of its outermost guard pays.

use core::cell::Cell;
use core::ptr::NonNull;

use super::garbage::Garbage;
use super::record::Record;
use super::rules::Allowance;
use crate::sync::{AtomicU64, Ordering};

/// A guard's end pays for so many structures that were changed under it, of which a cache counts as
/// three. If there were more, chance says which of them are forgotten, so that none always is.
const RECORDS: usize = 16;

/// A worker's debt. But for the counts, which gauges read, it is the worker's alone.
pub(super) struct Debt {
    /// Where in each record the worker puts what it retires.
    stripe: usize,
    objects: AtomicU64,
    bytes: AtomicU64,
    /// Whether anything was retired since the last guard ended.
    is_new: Cell<bool>,
    is_due: Cell<bool>,
    is_paying: Cell<bool>,
    /// Objects that the last payment should have freed, and could not.
    pub(super) arrears: Cell<usize>,
    records: [Cell<Option<NonNull<Record>>>; RECORDS],
    /// How many of them are known.
    known: Cell<usize>,
    /// What chance is made of.
    seed: Cell<u32>,
    /// Objects and bytes from which on the debt is due: see [`Allowance::due`].
    due: (u64, u64),
}

impl Debt {
    pub(super) fn new(stripe: usize, allowance: Allowance) -> Self {
        Self {
            stripe,
            due: allowance.due(),
            objects: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            is_new: Cell::new(false),
            is_due: Cell::new(false),
            is_paying: Cell::new(false),
            arrears: Cell::new(0),
            records: [const { Cell::new(None) }; RECORDS],
            known: Cell::new(0),
            seed: Cell::new(1),
        }
    }

    /// Where in each record the worker puts what it retires: any number that tells workers apart.
    #[inline(always)]
    pub(super) fn stripe(&self) -> usize {
        self.stripe
    }

    /// Objects and bytes that were retired and not handed in.
    #[inline(always)]
    pub(super) fn owed(&self) -> (u64, u64) {
        // Relaxed, both: gauges; the worker itself reads its own stores.
        (self.objects.load(Ordering::Relaxed), self.bytes.load(Ordering::Relaxed))
    }

    /// Adds what was retired into `record`.
    #[inline]
    pub(super) fn add(&self, record: NonNull<Record>, objects: u64, bytes: u64) {
        let owed = self.owed();
        let (objects, bytes) = (owed.0 + objects, owed.1.saturating_add(bytes));
        self.owe(objects, bytes);
        self.is_new.set(true);
        if objects >= self.due.0 || bytes >= self.due.1 {
            self.is_due.set(true);
        }
        if self.records[0].get() != Some(record) || self.known.get() == 0 {
            self.know(record);
        }
    }

    /// The structures that were changed since the last guard ended.
    pub(super) fn known(&self) -> impl Iterator<Item = NonNull<Record>> + Clone {
        self.records[..self.known.get()].iter().filter_map(Cell::get)
    }

    #[inline(never)]
    fn know(&self, record: NonNull<Record>) {
        if self.known().any(|known| known == record) {
            return;
        }
        let place = match self.known.get() {
            RECORDS => {
                // A linear congruence, after Knuth's MMIX; its upper bits.
                let seed = self.seed.get().wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                self.seed.set(seed);
                (seed >> 16) as usize % RECORDS
            }
            known => {
                self.known.set(known + 1);
                known
            }
        };
        self.records[place].set(Some(record));
    }

    #[inline(always)]
    fn owe(&self, objects: u64, bytes: u64) {
        // Relaxed, both: as above.
        self.objects.store(objects, Ordering::Relaxed);
        self.bytes.store(bytes, Ordering::Relaxed);
    }

    /// Whether anything was retired since the last guard ended.
    #[inline(always)]
    pub(super) fn is_new(&self) -> bool {
        self.is_new.get()
    }

    /// Whether the end of the outermost guard must pay.
    pub(super) fn is_due(&self) -> bool {
        self.is_due.get()
    }

    /// Hands in what was retired, to be counted as garbage. Returns the number of objects.
    pub(super) fn hand_in(&self, garbage: &Garbage) -> u64 {
        let (objects, bytes) = self.owed();
        if objects > 0 {
            garbage.count_retired(objects, bytes);
            self.owe(0, 0);
        }
        self.is_due.set(false);
        objects
    }

    /// Forgets the structures: what is retired under the next guard may be of others, whose callers
    /// must not run the destructors of these.
    pub(super) fn forget(&self) {
        self.is_new.set(false);
        self.known.set(0);
    }

    /// Becomes the debt of another worker.
    pub(super) fn clear(&self) {
        self.forget();
        self.arrears.set(0);
    }

    /// Whether a payment is in progress, in which a destructor has made this call.
    pub(super) fn is_paying(&self) -> bool {
        self.is_paying.get()
    }

    /// Says that a payment is in progress for as long as what is returned is kept.
    pub(super) fn paying(&self) -> Paying<'_> {
        self.is_paying.set(true);
        Paying(&self.is_paying)
    }
}

/// While a worker pays. Ends also by a panic.
pub(super) struct Paying<'a>(&'a Cell<bool>);

impl Drop for Paying<'_> {
    fn drop(&mut self) {
        self.0.set(false);
    }
}
