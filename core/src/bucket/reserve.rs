//! Reservations: an estimate is charged at once, and settled when the cost is known.

use core::fmt;

use super::all::{AllDecision, Charged, Look, charge_all, charge_of};
use super::decision::Decision;
use super::settle::Settled;
use super::verdict::Verdict;
use super::{Limit, MAX_LIMITS};

/// An estimate that was charged to a bucket, to be settled when the cost is known.
///
/// Made by [`reserve`]. Settling gives back what was not used, as far as is safe, or charges
/// what was used on top. A reservation that is dropped is [cancelled](Self::cancel), on every way out.
/// It cannot be copied, and a settlement consumes it: nothing is given back twice.
///
/// How much comes back depends on the structure. A charge is worth less the older it is, for cells
/// flow in whether or not those charged are used. [`BucketMap`](crate::BucketMap) counts what was
/// given back to a bucket, and so gives back much more than a table, which has no room for that count.
///
/// ```
/// use tidegate_core::bucket::reserve;
/// use tidegate_core::{BucketTable, ManualClock, Clock, Quota, SeededState};
///
/// let quota = Quota::per_minute(60_000)?.debt(4_000)?; // tokens of a language model
/// let table = BucketTable::boxed(quota, 1_000, SeededState::new(7))?;
/// let plan = table.plan(quota)?;
/// let clock = ManualClock::new();
///
/// let reserved = reserve(table.limit("alice", &plan, 4_000, clock.now(), &clock));
/// let reservation = reserved.map_err(|denied| denied.retry_after()).unwrap();
/// let used = 1_500; // calls the model
/// let settled = reservation.settle(used);
/// assert_eq!(settled.given_back(), 2_500);
/// assert_eq!(table.peek("alice", &plan, clock.now()).remaining(), 58_500);
/// # Ok::<(), tidegate_core::QuotaError>(())
/// ```
#[must_use = "a reservation that is dropped is cancelled"]
pub struct Reservation<L: Limit> {
    limit: L,
    charged: Charged,
}

/// Estimates that were charged to several buckets, all or none: see [`reserve_all`].
#[must_use = "reservations that are dropped are cancelled"]
pub struct Reservations<L: Limit, const N: usize> {
    limits: [L; N],
    charged: [Charged; N],
}

/// Charges the cost of a limit as an estimate, to be settled when the real cost is known.
///
/// # Errors
///
/// The decision, if the limit denies the estimate.
#[inline(always)]
pub fn reserve<L: Limit>(limit: L) -> Result<Reservation<L>, Decision> {
    if let Some(charged) = limit.charge_at_sight() {
        return Ok(Reservation { limit, charged });
    }
    let (charged, decision) = charge_anywhere(&limit);
    if decision.is_admitted() { Ok(Reservation { limit, charged }) } else { Err(decision) }
}

/// Charges a limit wherever its bucket is.
#[cold]
#[inline(never)]
fn charge_anywhere(limit: &impl Limit) -> (Charged, Decision) {
    let (mut look, mut charged) = (Look::NONE, Charged::NOTHING);
    match charge_of(limit) {
        Some(charge) => limit.charge(&charge, &mut charged),
        None => {
            limit.look(&mut look);
            charged = Charged::nothing(Verdict::foreseen(limit.asked(), look.time));
        }
    }
    let mut decision = Decision::CLOSED;
    limit.decision(&charged, &mut decision);
    (charged, decision)
}

/// Charges the estimates of several limits, all or none, as [`check_all`](super::check_all) does.
///
/// ```
/// use tidegate_core::bucket::reserve_all;
/// use tidegate_core::{BucketTable, ManualClock, Clock, Quota, SeededState};
///
/// let (requests, tokens) = (Quota::per_minute(60)?, Quota::per_minute(60_000)?);
/// let table = BucketTable::boxed(requests, 1_000, SeededState::new(1))?;
/// let other = BucketTable::boxed(tokens, 1_000, SeededState::new(2))?;
/// let (requests, tokens) = (table.plan(requests)?, other.plan(tokens)?);
/// let clock = ManualClock::new();
///
/// let now = clock.now();
/// let reserved = reserve_all([
///     table.limit("alice", &requests, 1, now, &clock),
///     other.limit("alice", &tokens, 4_000, now, &clock),
/// ]);
/// let settled = reserved.unwrap().settle([1, 500]);
/// assert_eq!(settled.map(|each| each.given_back()), [0, 3_500]);
/// # Ok::<(), tidegate_core::QuotaError>(())
/// ```
///
/// # Errors
///
/// The decision, if a limit denies its estimate. Nothing is charged then.
///
/// # Panics
///
/// Panics as [`check_all`](super::check_all) does.
pub fn reserve_all<L: Limit, const N: usize>(
    limits: [L; N],
) -> Result<Reservations<L, N>, AllDecision<N>> {
    const { assert!(N <= MAX_LIMITS, "at most 16 limits in one call") };
    let mut charged = [Charged::NOTHING; N];
    let decision = charge_all(&limits, &mut charged);
    if decision.is_admitted() { Ok(Reservations { limits, charged }) } else { Err(decision) }
}

impl<L: Limit> Reservation<L> {
    /// Returns the decision that admitted the estimate.
    pub fn decision(&self) -> Decision {
        let mut decision = Decision::CLOSED;
        self.limit.decision(&self.charged, &mut decision);
        decision
    }

    /// Ends the reservation: `actual` cells were used. Reads the limit's clock.
    ///
    /// Gives back what was not used, as far as is safe ([`BucketTable::refund`] says how far). What
    /// was used on top of the estimate is charged, into debt if the plan [allows](super::Quota::debt)
    /// that, so that the next requests pay for it.
    ///
    /// [`BucketTable::refund`]: crate::BucketTable
    #[inline(always)]
    pub fn settle(mut self, actual: u64) -> Settled {
        let charged = core::mem::replace(&mut self.charged, Charged::NOTHING);
        self.limit.settle(&charged, actual)
    }

    /// Ends the reservation: nothing was used. Dropping it does the same.
    pub fn cancel(self) {}

    /// Ends the reservation and keeps the charge, as if the estimate had been used. Returns the
    /// decision, which is good for a refund.
    pub fn forget(mut self) -> Decision {
        let decision = self.decision();
        self.charged = Charged::NOTHING;
        decision
    }
}

impl<L: Limit, const N: usize> Reservations<L, N> {
    /// Ends the reservations: of the limit at each index `actual` cells were used. Settles each as
    /// [`Reservation::settle`] does.
    pub fn settle(mut self, actual: [u64; N]) -> [Settled; N] {
        let charged = core::mem::replace(&mut self.charged, [Charged::NOTHING; N]);
        core::array::from_fn(|at| self.limits[at].settle(&charged[at], actual[at]))
    }

    /// Ends the reservations: nothing was used. Dropping them does the same.
    pub fn cancel(self) {}

    /// Ends the reservations and keeps the charges, as if the estimates had been used.
    pub fn forget(mut self) {
        self.charged = [Charged::NOTHING; N];
    }
}

impl<L: Limit> Drop for Reservation<L> {
    #[inline(always)]
    fn drop(&mut self) {
        if self.charged.is_something() {
            self.limit.settle(&self.charged, 0);
        }
    }
}

impl<L: Limit, const N: usize> Drop for Reservations<L, N> {
    fn drop(&mut self) {
        for (limit, charged) in self.limits.iter().zip(&self.charged).rev() {
            if charged.is_something() {
                limit.settle(charged, 0);
            }
        }
    }
}

impl<L: Limit> fmt::Debug for Reservation<L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reservation").field("decision", &self.decision()).finish_non_exhaustive()
    }
}

impl<L: Limit, const N: usize> fmt::Debug for Reservations<L, N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reservations").field("limits", &N).finish_non_exhaustive()
    }
}
