//! One limit of several.

use core::cmp::Reverse;

use super::super::decision::Decision;
use super::super::gcra::Charge;
use super::super::seat::Seat;
#[cfg(target_has_atomic = "64")]
use super::super::set::Found;
use super::super::settle::Settled;
use super::super::verdict::{Outcome, Verdict};

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
    /// Returns what is asked for; `None` if no bucket could ever admit it.
    fn asked(&self) -> Option<Charge>;

    /// Returns the plan's window.
    fn window(&self) -> u64;

    /// Finds the bucket at first sight, if that would admit what is asked for. `None` says nothing.
    #[cfg(target_has_atomic = "64")]
    #[inline(always)]
    fn glance(&self) -> Option<Glance<'_>> {
        None
    }

    /// Charges what is asked for, if the bucket is found at first sight and admits it. Otherwise
    /// charges nothing and returns `None`, which says no more.
    #[inline(always)]
    fn charge_at_sight(&self) -> Option<Charged> {
        #[cfg(target_has_atomic = "64")]
        {
            let glance = self.glance()?;
            glance.charge().then(|| glance.charged())
        }
        #[cfg(not(target_has_atomic = "64"))]
        None
    }

    /// Looks at the bucket. Charges nothing. Returns whether it would admit what is asked for.
    fn look(&self, look: &mut Look) -> bool;

    /// Charges `charge`, which is what is asked for and not nothing, if the bucket admits it.
    fn charge(&self, charge: &Charge, charged: &mut Charged);

    /// Takes a charge back, as far as is safe. Counts what is lost.
    fn roll_back(&self, charge: &Charge, charged: &Charged);

    /// Settles a charge, of which `actual` cells are used.
    fn settle(&self, charged: &Charged, actual: u64) -> Settled;

    /// Writes the decision of an answer into `decision`.
    fn decision(&self, charged: &Charged, decision: &mut Decision);
}

impl<L: Steps + ?Sized> Steps for &L {
    #[inline(always)]
    fn asked(&self) -> Option<Charge> {
        (**self).asked()
    }

    fn window(&self) -> u64 {
        (**self).window()
    }

    #[cfg(target_has_atomic = "64")]
    #[inline(always)]
    fn glance(&self) -> Option<Glance<'_>> {
        (**self).glance()
    }

    #[inline(always)]
    fn charge_at_sight(&self) -> Option<Charged> {
        (**self).charge_at_sight()
    }

    fn look(&self, look: &mut Look) -> bool {
        (**self).look(look)
    }

    fn charge(&self, charge: &Charge, charged: &mut Charged) {
        (**self).charge(charge, charged);
    }

    fn roll_back(&self, charge: &Charge, charged: &Charged) {
        (**self).roll_back(charge, charged);
    }

    fn settle(&self, charged: &Charged, actual: u64) -> Settled {
        (**self).settle(charged, actual)
    }

    #[inline(always)]
    fn decision(&self, charged: &Charged, decision: &mut Decision) {
        (**self).decision(charged, decision);
    }
}

/// A bucket that was found at first sight and would admit what is asked for.
#[cfg(target_has_atomic = "64")]
#[derive(Clone, Copy, Debug)]
pub struct Glance<'a> {
    pub(in crate::bucket) bucket: Bucket,
    pub(in crate::bucket) found: Found<'a>,
    /// The verdict, once the charge is made.
    pub(in crate::bucket) verdict: Verdict,
}

#[cfg(target_has_atomic = "64")]
impl Glance<'_> {
    /// Charges the bucket, if it is still as it was found.
    #[inline(always)]
    pub(in crate::bucket) fn charge(&self) -> bool {
        self.found.charge(self.verdict.time())
    }

    /// Returns what was charged, after [`Self::charge`] did.
    #[inline(always)]
    pub(in crate::bucket) fn charged(&self) -> Charged {
        Charged { seat: self.found.seat(), ..Charged::nothing(self.verdict) }
    }

    /// Returns what a look would have found. A charge must have verified it.
    pub(super) fn look(&self) -> Look {
        Look { bucket: self.bucket, fresh: None, time: self.found.time() }
    }
}

/// What a look found.
#[derive(Clone, Copy, Debug)]
pub struct Look {
    pub(in crate::bucket) bucket: Bucket,
    /// Of a key that has no bucket yet: the address of the word that it shares with others until it
    /// has one, or 0 if there is no such word.
    pub(in crate::bucket) fresh: Option<usize>,
    /// The bucket's time, or that with which it would start.
    pub(in crate::bucket) time: u64,
}

/// What became of a charge, or would become of it.
#[derive(Clone, Copy, Debug)]
pub struct Charged {
    pub(in crate::bucket) verdict: Verdict,
    /// What the bucket held besides: on a map, where its count of what was given back stood; on a
    /// table of one owner, its time before the charge.
    pub(in crate::bucket) before: u64,
    /// Where the bucket stands that a table has charged.
    #[cfg_attr(not(target_has_atomic = "64"), expect(dead_code, reason = "of shared tables"))]
    pub(in crate::bucket) seat: Seat,
    /// The address of the bucket that a map has charged; 0 if there is none.
    #[cfg_attr(
        not(all(feature = "alloc", target_has_atomic = "64")),
        expect(dead_code, reason = "of maps")
    )]
    pub(in crate::bucket) word: usize,
}

impl Charged {
    /// Nothing is charged, and nothing was asked.
    pub(in crate::bucket) const NOTHING: Self = Self::nothing(Verdict::never(0));

    /// A verdict by which nothing is charged.
    #[inline]
    pub(in crate::bucket) const fn nothing(verdict: Verdict) -> Self {
        Self { verdict, before: 0, seat: Seat::NONE, word: 0 }
    }

    /// Whether anything is charged.
    pub(in crate::bucket) const fn is_something(&self) -> bool {
        self.verdict.charged() > 0
    }
}

impl Look {
    /// Before the look.
    pub(in crate::bucket) const NONE: Self =
        Self { bucket: Bucket { structure: 0, key: 0 }, fresh: None, time: 0 };
}

/// Returns what is to be charged to a limit; `None` if the cost is zero, or no bucket could ever admit it.
#[inline(always)]
pub(in crate::bucket) fn charge_of(limit: &impl Steps) -> Option<Charge> {
    limit.asked().filter(|charge| charge.cost() > 0)
}

/// Puts the limits of a call into the order by structure and key. Returns whether no two are of one
/// bucket.
pub(super) fn sort<B: Ord>(bucket: impl Fn(usize) -> B, order: &mut [u8]) -> bool {
    let mut are_distinct = true;
    // By insertion, for there are few.
    for at in 0..order.len() {
        let own = bucket(at);
        let mut place = at;
        while place > 0 {
            let before = bucket(usize::from(order[place - 1]));
            if before < own {
                break;
            }
            are_distinct &= before != own;
            order[place] = order[place - 1];
            place -= 1;
        }
        order[place] = at as u8;
    }
    are_distinct
}

/// The limits of a call, and what was found at each.
pub(super) struct Call<'a, L> {
    pub(super) limits: &'a [L],
    pub(super) looks: &'a [Look],
}

impl<L: Steps> Call<'_, L> {
    /// Returns the rank of a limit in the order in which limits are charged: keys without a bucket first, by the word that they share
    /// with others, then by the structure and the key; on one word from the largest window to the
    /// smallest. A bucket that one of the looks has not found counts as none, because the next look may
    /// have found it given up, or made.
    pub(super) fn rank(&self, at: u8) -> (bool, usize, u64, Reverse<u64>) {
        let at = usize::from(at);
        let Bucket { structure, key } = self.looks[at].bucket;
        let fresh = self.looks.iter().filter(|look| look.bucket == self.looks[at].bucket);
        let fresh = fresh.filter_map(|look| look.fresh).next();
        let (structure, key) = match fresh {
            Some(shared) if shared > 0 => (shared, 0),
            _ => (structure, key),
        };
        (fresh.is_none(), structure, key, Reverse(self.limits[at].window()))
    }

    /// Returns what the limit would answer, together with those of the call that share its bucket: a charge of
    /// the sum against the smallest window.
    ///
    /// Keys without a bucket that share a word may find no room, and are then charged there. So a
    /// limit that must wait waits for the sum of them all, unless that could never be admitted: then
    /// they need a bucket, which one of them may get.
    pub(super) fn together(&self, at: usize) -> Verdict {
        let (limit, look) = (&self.limits[at], &self.looks[at]);
        let Some(own) = charge_of(limit) else {
            return Verdict::foreseen(limit.asked(), look.time);
        };
        let of_bucket = |other: usize| self.looks[other].bucket == look.bucket;
        let verdict = Verdict::foreseen(self.sum(own.now(), of_bucket), look.time);
        let (Outcome::Denied, Some(word)) = (verdict.outcome(), self.word(at)) else {
            return verdict;
        };
        let on_word = |other| of_bucket(other) || self.word(other) == Some(word);
        match self.sum(own.now(), on_word) {
            Some(sum) => Verdict::denied(look.time, &sum),
            None => verdict,
        }
    }

    /// Returns the answer to the limit at the place `done` of the order, whose key has found no room and
    /// was `denied`. If the key shares a word with others, the limit waits for the sum of what the call
    /// charges there: the limits before it, as `charged` says, itself, and the limits after it, whose
    /// buckets would start with the word's debt.
    pub(super) fn unplaced(
        &self,
        order: &[u8],
        done: usize,
        charged: &[Charged],
        denied: Verdict,
    ) -> Verdict {
        let at = usize::from(order[done]);
        let (Some(word), Some(own)) = (self.word(at), charge_of(&self.limits[at])) else {
            return denied;
        };
        let before = order[..done].iter().map(|&at| usize::from(at));
        let on_word = |other: usize| {
            let has_room = || !charged[other].verdict.is_unplaced();
            let is_elsewhere = before.clone().any(|before| before == other) && has_room();
            self.word(other) == Some(word) && !is_elsewhere
        };
        let paid = before.clone().filter(|&other| on_word(other));
        let paid = paid.map(|other| charged[other].verdict.charged()).sum();
        let time = denied.time().saturating_sub(paid);
        Verdict::foreseen(self.sum(own.now(), on_word), time).unplaced()
    }

    /// Returns the word that the key of a limit shares with others, if the look has found no bucket.
    fn word(&self, at: usize) -> Option<usize> {
        self.looks[at].fresh.filter(|&word| word > 0)
    }

    /// Returns a charge at `now` of the sum of some limits, against the smallest of their windows;
    /// `None` if that could never be admitted.
    fn sum(&self, now: u64, which: impl Fn(usize) -> bool) -> Option<Charge> {
        let limits = self.limits.iter().enumerate().filter(|&(at, _)| which(at));
        let charges =
            limits.filter_map(|(_, limit)| Some((charge_of(limit)?.cost(), limit.window())));
        let (cost, window) = charges.fold((0, u64::MAX), |(sum, smallest), (cost, window)| {
            (u64::saturating_add(sum, cost), smallest.min(window))
        });
        (cost <= window).then(|| Charge::new(window, cost, now))
    }
}

/// Which bucket a limit is about, whether the key has it already or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::bucket) struct Bucket {
    /// The address of the set of a shared table, or of the map or other table.
    pub(in crate::bucket) structure: usize,
    /// What tells the key from others there: in a set its fingerprint, in a map its hash.
    pub(in crate::bucket) key: u64,
}
