//! A bucket in a map: two words that only grow.
//!
//! # Algorithm
//!
//! A refund must know how much was given back to the bucket since the charge. So that count is kept
//! beside the time, and both must change as one. They do so without a lock because neither is ever
//! lowered. `gross` is where the bucket's time would be if nothing had been given back, and
//! `returned` is what was given back:
//!
//! ```text
//! time = gross - returned        a charge exchanges `gross`, a refund exchanges `returned`
//! ```
//!
//! A charge reads `gross` and then `returned`, and is in force if `gross` is still what it read. It
//! comes before every refund that has changed `returned` in between. Whether it is admitted and
//! what it leaves are as if those refunds came later. A refund reads `returned` and then `gross`,
//! and is in force if `returned` is still what it read. Charges that it has not seen come before
//! it: the bucket owed more than the refund knew of, so it gave back no more than it might have. So
//! all changes of a bucket are in one order, in which each was computed from what came before.
//!
//! An answer that writes nothing reads `gross` again, because the `returned` that it has read may
//! belong to a later `gross`.
//!
//! # Giving a bucket up
//!
//! Charging and giving up compete on `gross`. A refund may find the key's next bucket in place of
//! the one that was charged. It must not conclude that nothing had been given back since the
//! charge. So the count of a new bucket does not begin at zero but at the [`Base`]; no bucket that
//! was given up had counted beyond that. With that base as `returned`, `s1 - k` is no more than the
//! time at which the bucket was given up: by then the charge had flowed in.
//!
//! While a thread makes a bucket, another bucket of the key may be made, refunded, given up and
//! taken out of the map. The map then looks as before. So a bucket is published without a time. It
//! gets one only if the base, read after that, is not ahead of its count. Otherwise it is given up
//! before anything was charged to it.
//!
//! # Bounds
//!
//! The words count modulo 2^63 units, and only differences matter. A refund would be deceived if
//! 2^62 units (48 years at least) were given back between a charge and its refund while the charge
//! has not flowed in. It does not matter whether one bucket counts them or several in turn. With a
//! burst that takes a minute to flow in, that is a refund of a whole burst 400,000 times a second.

use super::super::fresh::Fresh;
use crate::sync::{AtomicU64, Ordering};

/// A bucket, or what is left of a bucket that was given up.
#[derive(Debug)]
pub(super) struct Bucket {
    /// `{ gross: 63, 0 }`, or one of the odd words below.
    gross: AtomicU64,
    /// `{ returned: 63, 0 }`
    returned: AtomicU64,
}

/// Where the counts of a map's new buckets begin: `{ returned: 63, 0 }`.
#[derive(Debug)]
pub(super) struct Base(AtomicU64);

impl Base {
    pub(super) fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    fn get(&self) -> u64 {
        // Relaxed: a thread that has seen the end of the key's last bucket has seen what came
        // before.
        self.0.load(Ordering::Relaxed)
    }

    /// Raises the base for a bucket that ends and has counted to `returned`.
    fn raise(&self, returned: u64) {
        let mut base = self.get();
        while is_ahead(returned, base) {
            // Relaxed, both: published by the exchange that ends the bucket.
            let raised =
                self.0.compare_exchange(base, returned, Ordering::Relaxed, Ordering::Relaxed);
            match raised {
                Ok(_) => return,
                Err(current) => base = current,
            }
        }
    }
}

/// The bucket can be found, and has no time yet: its time is that of a fresh bucket.
const UNCHARGED: u64 = 0b01;
/// The bucket was given up, for good.
const DEAD: u64 = 0b11;

const fn is_time(gross: u64) -> bool {
    gross & 1 == 0
}

/// Returns whether one count is ahead of the other, modulo 2^63.
const fn is_ahead(count: u64, other: u64) -> bool {
    count.wrapping_sub(other).cast_signed() > 0
}

const fn time(gross: u64, returned: u64) -> u64 {
    gross.wrapping_sub(returned) >> 1
}

/// What an operation found in a bucket, and what it put there.
#[derive(Clone, Copy, Debug)]
pub(super) struct Change {
    pub(super) before: u64,
    /// `None` if nothing was written.
    pub(super) after: Option<u64>,
    /// Where the count of what was given back stood.
    pub(super) returned: u64,
}

impl Bucket {
    /// Creates a bucket that gets its time once it can be found.
    pub(super) fn new(base: &Base) -> Self {
        Self { gross: AtomicU64::new(UNCHARGED), returned: AtomicU64::new(base.get()) }
    }

    /// Returns how much was given back since the count stood at `then`.
    pub(super) const fn since(returned: u64, then: u64) -> u64 {
        time(returned, then)
    }

    /// Returns the time, or `None` if the bucket was given up.
    pub(super) fn time<'a>(&self, base: &Base, fresh: impl Fn() -> Fresh<'a>) -> Option<u64> {
        Some(self.charge(base, fresh, |_| None)?.before)
    }

    /// Replaces the time by a later one that `f` makes of it, if `f` makes any. A bucket without a
    /// time has that of a `fresh` one. Returns `None` if the bucket was given up.
    #[inline]
    pub(super) fn charge<'a>(
        &self,
        base: &Base,
        fresh: impl Fn() -> Fresh<'a>,
        f: impl Fn(u64) -> Option<u64>,
    ) -> Option<Change> {
        loop {
            // Acquire: pairs with the exchanges below and in `edit`. The count read next is no
            // older than the count that the last charge used.
            let gross = self.gross.load(Ordering::Acquire);
            let (before, returned) = if is_time(gross) {
                // Acquire: pairs with the refund's exchange. The second look finds the charges
                // which the refund had seen.
                let returned = self.returned.load(Ordering::Acquire);
                (time(gross, returned), returned)
            } else if gross == DEAD {
                return None;
            } else {
                self.unset(base, &fresh)?
            };
            let Some(after) = f(before) else {
                // Relaxed: ordered by the Acquire load of the count.
                if self.gross.load(Ordering::Relaxed) == gross {
                    return Some(Change { before, after: None, returned });
                }
                continue;
            };
            let next = (after << 1).wrapping_add(returned);
            // Release: pairs with the loads of `gross`, so the next charge knows what this one
            // used. Relaxed: the word is loaded anew.
            let charged =
                self.gross.compare_exchange(gross, next, Ordering::Release, Ordering::Relaxed);
            if charged.is_ok() {
                return Some(Change { before, after: Some(after), returned });
            }
        }
    }

    /// Charges as [`charge`](Self::charge) does, in the thread that has published the bucket
    /// uncharged. Leaves a time in it even where nothing is charged, so that the bucket can be
    /// given up.
    pub(super) fn charge_first(
        &self,
        base: &Base,
        fresh: Fresh<'_>,
        f: impl Fn(u64) -> Option<u64>,
    ) -> Option<Change> {
        let before = fresh.settle();
        let after = f(before);
        let returned = self.begin(base)?;
        let gross = (after.unwrap_or(before) << 1).wrapping_add(returned);
        // Relaxed, both: the count that this charge uses was published with the bucket.
        match self.gross.compare_exchange(UNCHARGED, gross, Ordering::Relaxed, Ordering::Relaxed) {
            Ok(_) => Some(Change { before, after, returned }),
            // Another thread was faster.
            Err(_) => self.charge(base, || fresh, f),
        }
    }

    /// Returns the time and the count of a bucket that has none yet.
    #[cold]
    fn unset<'a>(&self, base: &Base, fresh: &dyn Fn() -> Fresh<'a>) -> Option<(u64, u64)> {
        Some((fresh().settle(), self.begin(base)?))
    }

    /// Returns where the count begins of a bucket that this thread found published and uncharged.
    /// If the base is ahead of that, gives the bucket up and returns `None`.
    fn begin(&self, base: &Base) -> Option<u64> {
        // Relaxed: published with the bucket, and nothing is given back to one without a time.
        let returned = self.returned.load(Ordering::Relaxed);
        if !is_ahead(base.get(), returned) {
            return Some(returned);
        }
        // Relaxed, both: a thread that finds the bucket dead has found it published, and so sees
        // the base as this one does. If the exchange fails, another thread has charged the bucket,
        // because the base was not ahead of it yet, or has given it up.
        let end =
            self.gross.compare_exchange(UNCHARGED, DEAD, Ordering::Relaxed, Ordering::Relaxed);
        match end {
            Ok(_) | Err(DEAD) => None,
            Err(_) => Some(returned),
        }
    }

    /// Replaces the time by what `f` makes of it and of the count of what was given back, if `f`
    /// makes anything. Returns `None` if the bucket has no time.
    pub(super) fn edit(&self, f: impl Fn(u64, u64) -> Option<u64>) -> Option<Change> {
        loop {
            // Acquire: pairs with the exchange below. The gross read next is no older than the
            // gross that the last refund used.
            let returned = self.returned.load(Ordering::Acquire);
            // Acquire: pairs with the charges. The second look at the count finds one no older than
            // the last charge used; an exchange of the count needs nothing for that.
            let gross = self.gross.load(Ordering::Acquire);
            if !is_time(gross) {
                return None;
            }
            let before = time(gross, returned);
            let Some(after) = f(before, returned) else {
                return Some(Change { before, after: None, returned });
            };
            let (word, from, to) = if after < before {
                (&self.returned, returned, returned.wrapping_add((before - after) << 1))
            } else {
                // Relaxed: ordered by the Acquire load of the gross.
                if self.returned.load(Ordering::Relaxed) != returned {
                    continue;
                }
                (&self.gross, gross, gross.wrapping_add((after - before) << 1))
            };
            // Release: pairs with the loads of this word. Relaxed: it is loaded anew.
            if word.compare_exchange(from, to, Ordering::Release, Ordering::Relaxed).is_ok() {
                return Some(Change { before, after: Some(after), returned });
            }
        }
    }

    /// Returns when the bucket may be given up, if it is left alone, or `None` if it was given up.
    pub(super) fn ends(&self) -> Option<u64> {
        // Relaxed, both: a hint.
        match self.gross.load(Ordering::Relaxed) {
            DEAD => None,
            UNCHARGED => Some(0),
            gross => Some(time(gross, self.returned.load(Ordering::Relaxed))),
        }
    }

    /// Gives the bucket up if `drained` says so of its time. Returns whether it is given up. A
    /// bucket without a time belongs to its first charger, and stays.
    pub(super) fn kill(&self, base: &Base, drained: impl FnOnce(u64) -> bool) -> bool {
        // Acquire: pairs with the exchange below. Where a bucket is found dead and taken out of the
        // map, the base was raised before.
        let gross = self.gross.load(Ordering::Acquire);
        if !is_time(gross) {
            return gross == DEAD;
        }
        // Relaxed: verified by the exchange. A refund that comes later finds nothing to give back.
        let returned = self.returned.load(Ordering::Relaxed);
        if !drained(time(gross, returned)) {
            return false;
        }
        base.raise(returned);
        // Release: pairs with the loads that find the bucket dead and then read the base. Relaxed:
        // the bucket is left alone.
        self.gross.compare_exchange(gross, DEAD, Ordering::Release, Ordering::Relaxed).is_ok()
    }
}
