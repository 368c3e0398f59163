//! What a full table answers.

use crossbeam_utils::CachePadded;

use super::Plan;
use super::fresh::Fresh;
use super::gcra::Charge;
use super::on_full::{Counters, OnFull, WORDS};
use super::place::Place;
use super::set::Drained;
use super::unit::Scale;
use super::verdict::{Outcome, Verdict};
use crate::sync::{AtomicU64, Ordering};

/// The policy, and where the words are that only a full table touches.
#[derive(Debug)]
pub(super) struct Overflow {
    pub(super) policy: OnFull,
    words: Words,
}

/// Where a table's header is.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "a table owns it, and is not moved about")]
enum Words {
    /// In the table.
    Own(TableHeader),
    /// In the memory in which the sets are, too.
    Lent(&'static TableHeader),
}

/// The words of a [`BucketTable`](crate::BucketTable) that are not in its sets: its counts, and the
/// words that the keys without a slot share.
///
/// A table has a header of its own, unless it is made over memory that holds one:
/// [`BucketTable::over_memory`](crate::BucketTable::over_memory). All zeros is an empty header.
#[derive(Debug)]
#[repr(C)]
pub struct TableHeader {
    unplaced: CachePadded<AtomicU64>,
    unplaced_admitted: AtomicU64,
    reclaimed: AtomicU64,
    /// In units.
    lost: AtomicU64,
    /// Bucket times, as in a slot, that are never given up.
    shared: CachePadded<[AtomicU64; WORDS]>,
}

impl TableHeader {
    /// Creates an empty header.
    #[cfg(not(loom))]
    pub const fn new() -> Self {
        Self {
            unplaced: CachePadded::new(AtomicU64::new(0)),
            unplaced_admitted: AtomicU64::new(0),
            reclaimed: AtomicU64::new(0),
            lost: AtomicU64::new(0),
            shared: CachePadded::new([const { AtomicU64::new(0) }; WORDS]),
        }
    }

    /// Creates an empty header.
    #[cfg(loom)]
    pub fn new() -> Self {
        Self {
            unplaced: CachePadded::new(AtomicU64::new(0)),
            unplaced_admitted: AtomicU64::new(0),
            reclaimed: AtomicU64::new(0),
            lost: AtomicU64::new(0),
            shared: CachePadded::new(core::array::from_fn(|_| AtomicU64::new(0))),
        }
    }
}

impl Default for TableHeader {
    fn default() -> Self {
        Self::new()
    }
}

impl Overflow {
    #[cfg(not(loom))]
    pub(super) const fn new() -> Self {
        Self { policy: OnFull::Deny, words: Words::Own(TableHeader::new()) }
    }

    #[cfg(loom)]
    pub(super) fn new() -> Self {
        Self { policy: OnFull::Deny, words: Words::Own(TableHeader::new()) }
    }

    pub(super) const fn lent(header: &'static TableHeader) -> Self {
        Self { policy: OnFull::Deny, words: Words::Lent(header) }
    }

    fn words(&self) -> &TableHeader {
        match &self.words {
            Words::Own(header) => header,
            Words::Lent(header) => header,
        }
    }

    pub(super) fn counters(&self, scale: Scale) -> Counters {
        // Relaxed, all: counts, on which nothing depends.
        Counters {
            unplaced: self.words().unplaced.load(Ordering::Relaxed),
            unplaced_admitted: self.words().unplaced_admitted.load(Ordering::Relaxed),
            reclaimed: self.words().reclaimed.load(Ordering::Relaxed),
            lost: scale.nanos(self.words().lost.load(Ordering::Relaxed)),
        }
    }

    pub(super) fn count_reclaimed(&self, buckets: usize) {
        if buckets > 0 {
            // Relaxed: a count.
            self.words().reclaimed.fetch_add(buckets as u64, Ordering::Relaxed);
        }
    }

    /// Counts one admission less: it was rolled back.
    pub(super) fn uncount_admitted(&self) {
        // Relaxed: a count.
        self.words().unplaced_admitted.fetch_sub(1, Ordering::Relaxed);
    }

    /// Counts what a roll-back could not give back.
    pub(super) fn count_lost(&self, units: u64) {
        if units > 0 {
            // Relaxed: a count.
            self.words().lost.fetch_add(units, Ordering::Relaxed);
        }
    }

    /// Returns the time with which a new bucket of the key starts. It is in debt only for what may
    /// have been charged to the key's shared word.
    pub(super) fn fresh(&self, place: Place) -> Fresh<'_> {
        Fresh::new(match self.policy {
            OnFull::Deny | OnFull::Admit => None,
            OnFull::Shared => Some(self.word(place.fingerprint)),
        })
    }

    /// Returns which buckets equal fresh ones: those paid for by `by`, unless a fresh one would
    /// start with the debt of a shared word.
    pub(super) fn drained(&self, by: u64) -> Drained<impl Fn(u32) -> bool> {
        let owes = move |fingerprint| {
            // Relaxed: if the word owes more by now, a bucket is given up that would have been better
            // than the fresh one that follows; none is better for it. If it owes less, because a charge
            // was rolled back, the bucket stays until the next look.
            self.word(fingerprint).load(Ordering::Relaxed) > by
        };
        Drained { by, owes: (self.policy == OnFull::Shared).then_some(owes) }
    }

    /// Answers by the policy. A slot may come free at `ready`.
    pub(super) fn answer(&self, place: Place, plan: &Plan, charge: &Charge, ready: u64) -> Verdict {
        let verdict = match self.policy {
            OnFull::Deny => Verdict::no_slot(plan, charge.now(), ready),
            OnFull::Admit => Verdict::admitted(0, 0).unplaced(),
            OnFull::Shared => self.fresh(place).charge(charge).unplaced(),
        };
        // Relaxed, both: counts.
        self.words().unplaced.fetch_add(1, Ordering::Relaxed);
        if verdict.outcome() == Outcome::Admitted {
            self.words().unplaced_admitted.fetch_add(1, Ordering::Relaxed);
        }
        verdict
    }

    /// Returns the answer to a new key whose bucket would have started in too much debt.
    pub(super) fn refuse(&self, place: Place, plan: &Plan, charge: &Charge) -> Verdict {
        match self.policy {
            // This happens only at the end of time.
            OnFull::Deny | OnFull::Admit => Verdict::denied(0, charge),
            OnFull::Shared => self.answer(place, plan, charge, u64::MAX),
        }
    }

    /// The address of the word that the key shares with others while it has no bucket; 0 if there is
    /// none.
    pub(super) fn shared(&self, place: Place) -> usize {
        match self.policy {
            OnFull::Deny | OnFull::Admit => 0,
            OnFull::Shared => core::ptr::from_ref(self.word(place.fingerprint)).addr(),
        }
    }

    fn word(&self, fingerprint: u32) -> &AtomicU64 {
        &self.words().shared[fingerprint as usize % WORDS]
    }
}
