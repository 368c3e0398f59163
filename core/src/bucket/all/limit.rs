//! One limit of several.

use core::cmp::Reverse;

use super::super::decision::Decision;
use super::super::gcra::Charge;
use super::super::seat::{Found, Seat};
use super::super::verdict::Verdict;

/// A key's bucket on one structure, with a plan, a cost and the time of the call: what
/// [`check_all`](super::check_all) is given several of.
///
/// Made by `limit` of [`BucketTable`](crate::BucketTable::limit),
/// [`BucketMap`](crate::BucketMap::limit) and [`LocalBucketTable`](crate::LocalBucketTable::limit).
/// The trait cannot be implemented outside this crate.
pub trait Limit: Steps {}

impl<L: Steps + ?Sized> Limit for L {}

/// The steps of a call with several limits, on one of them.
pub trait Steps {
    /// Looks at the bucket. Charges nothing.
    fn look(&self, look: &mut Look);

    /// Charges what a look has asked for, if the bucket admits it.
    fn charge(&self, look: &Look, charge: &Charge, charged: &mut Charged);

    /// Takes a charge back, as far as is safe. Counts what is lost.
    fn roll_back(&self, charge: &Charge, charged: &Charged);

    /// The decision of an answer.
    fn decision(&self, charged: &Charged, decision: &mut Decision);
}

impl<L: Steps + ?Sized> Steps for &L {
    #[inline(always)]
    fn look(&self, look: &mut Look) {
        (**self).look(look);
    }

    #[inline(always)]
    fn charge(&self, look: &Look, charge: &Charge, charged: &mut Charged) {
        (**self).charge(look, charge, charged);
    }

    fn roll_back(&self, charge: &Charge, charged: &Charged) {
        (**self).roll_back(charge, charged);
    }

    #[inline(always)]
    fn decision(&self, charged: &Charged, decision: &mut Decision) {
        (**self).decision(charged, decision);
    }
}

/// What a look found.
#[derive(Clone, Copy, Debug)]
pub struct Look {
    pub(in crate::bucket) bucket: Bucket,
    /// What is asked for; `None` if no bucket could ever admit it.
    pub(in crate::bucket) asked: Option<Charge>,
    /// The bucket's time, or that with which it would start.
    pub(in crate::bucket) time: u64,
    /// The plan's window.
    pub(in crate::bucket) window: u64,
    /// Where a table has found the bucket.
    pub(in crate::bucket) found: Found,
}

/// What became of a charge, or would become of it.
#[derive(Clone, Copy, Debug)]
pub struct Charged {
    pub(in crate::bucket) verdict: Verdict,
    /// Where the bucket's count of what was given back stood.
    pub(in crate::bucket) given_back: u64,
    /// Where the bucket stands that a table has charged.
    pub(in crate::bucket) seat: Seat,
}

impl Charged {
    /// A verdict by which nothing is charged.
    #[inline]
    pub(super) const fn nothing(verdict: Verdict) -> Self {
        Self { verdict, given_back: 0, seat: Seat::NONE }
    }
}

impl Look {
    /// Before the look.
    pub(super) const NONE: Self =
        Self { bucket: Bucket::at(0), asked: None, time: 0, window: 0, found: Found::NONE };

    /// The address of the bucket's word; 0 if there is none yet.
    #[inline]
    pub(super) const fn address(&self) -> usize {
        self.bucket.address
    }

    /// Whether the limit by itself would admit the request.
    #[inline]
    pub(super) const fn is_admitted(&self) -> bool {
        match &self.asked {
            Some(charge) => charge.on(self.time).is_some(),
            None => false,
        }
    }

    /// What is to be charged; `None` if the cost is zero, or no bucket could ever admit it.
    #[inline]
    pub(super) fn charge(&self) -> Option<&Charge> {
        self.asked.as_ref().filter(|charge| charge.cost() > 0)
    }

    /// What the limit by itself would answer.
    pub(super) const fn alone(&self) -> Verdict {
        Verdict::foreseen(self.asked, self.time)
    }

    /// The order in which limits are charged: keys without a bucket first, then by the address of the
    /// word; on one word from the largest window to the smallest.
    #[inline]
    pub(super) fn rank(&self) -> (usize, usize, usize, Reverse<u64>) {
        let (address, table, shared) = self.bucket.word();
        (address, table, shared, Reverse(self.window))
    }

    /// What the limit would answer, together with those among `looks` that share its bucket: a charge
    /// of the sum against the smallest window.
    pub(super) fn together(&self, looks: &[Self]) -> Verdict {
        let Some(own) = self.charge() else {
            return self.alone();
        };
        let shared = looks.iter().filter(|look| look.bucket == self.bucket);
        let charges = shared.filter_map(|look| Some((look.charge()?.cost(), look.window)));
        let (cost, window) = charges.fold((0, u64::MAX), |(sum, smallest), (cost, window)| {
            (u64::saturating_add(sum, cost), smallest.min(window))
        });
        let charge = (cost <= window).then(|| Charge::new(window, cost, own.now()));
        Verdict::foreseen(charge, self.time)
    }
}

/// Which bucket a limit is about. Two that are equal are one bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::bucket) struct Bucket {
    /// The address of the bucket's word; 0 if there is none yet.
    address: usize,
    /// Of a key without a bucket: the address of its table or map.
    table: usize,
    /// Of a key without a bucket: the address of the word that it shares with others while it has
    /// none.
    shared: usize,
    /// Of a key without a bucket: what tells it from others of the table or map.
    key: u64,
}

impl Bucket {
    /// The bucket whose word is at `address`.
    #[inline]
    pub(in crate::bucket) const fn at(address: usize) -> Self {
        Self { address, table: 0, shared: 0, key: 0 }
    }

    /// The bucket that the key `key` would get in the `table`.
    pub(in crate::bucket) const fn fresh(table: usize, shared: usize, key: u64) -> Self {
        Self { address: 0, table, shared, key }
    }

    /// The words that a charge may go to: of different buckets only if these have none yet.
    #[inline]
    pub(super) const fn word(&self) -> (usize, usize, usize) {
        (self.address, self.table, self.shared)
    }
}
