//! Several limits at once: all charge, or none does.
//!
//! # Algorithm
//!
//! A call looks at every bucket first, and is denied without a write unless all would admit. Then it
//! charges them one after another, in one order for all calls: first the keys that have no bucket
//! yet, for which there may be no room, then by the structure and the key. Where a charge fails all
//! the same, because another call came between, the charges made so far are rolled back.
//!
//! Nearly always all buckets are found at first sight and would admit. Such a call looks and charges
//! in registers (`glance.rs`). If a charge fails there, the call goes on from it out of line.
//!
//! A roll-back is a refund: it goes to the very word that was charged, and gives back what the rule
//! of [refunds](super::gcra::Refund) allows at a time read then. A bucket that was given up has taken
//! the charge along: nothing is given back to the key's next one. To put the former word back, even
//! if the word is as the charge has left it, is not safe. Burst 10, a unit of time a unit of cost: A is
//! charged 5 at 0, and D 5 at 4, which leaves 10. A is refunded 1 at 4, and T is charged 1 at 5, which
//! leaves 10 again. With 5 put back for D, another 10 are admitted at 5: 11 at once, with T's.
//!
//! So a roll-back loses at most what flowed in between the `now` of the charge and itself; of a queue,
//! all of it unless it is the last place. The structure counts it
//! ([`Counters::lost`](super::Counters::lost)).
//!
//! # One bucket twice
//!
//! Two limits of one call may share a bucket: the same key under two plans, or two keys that share a
//! word. They count as one charge of the sum against the smallest window. The look adds their costs,
//! and the charges run from the largest window to the smallest, so that the last one sees the sum.
//! Keys without a bucket share a word only if they find no room, which no look can tell. Then the
//! charge that fails answers for the sum of those that share it.
//! The structure and the key identify the bucket of a limit. The address of its word cannot: a sweep
//! may give the bucket up between two looks at it, and the second look then finds another address.

mod decision;
#[cfg(target_has_atomic = "64")]
mod glance;
mod limit;

pub use self::decision::{AllDecision, AllOutcome};
pub use self::limit::Limit;

pub(super) use self::limit::{Bucket, Charged, Look, Steps, charge_of};

#[cfg(target_has_atomic = "64")]
pub(super) use self::limit::Glance;

#[cfg(target_has_atomic = "64")]
use self::glance::Sight;
use self::limit::Call;

use super::decision::Decision;
use super::verdict::{Outcome, Verdict};

/// The most limits in one call.
pub const MAX_LIMITS: usize = 16;

/// Charges all of `limits`, or none: the request is admitted only if each of them admits it.
///
/// Each limit is a key, its plan, a cost and the time of the call, on a table or a map:
/// [`BucketTable::limit`](crate::BucketTable::limit), [`BucketMap::limit`](crate::BucketMap::limit),
/// [`LocalBucketTable::limit`](crate::LocalBucketTable::limit). Limits of different structures are
/// passed as `&dyn Limit`. The order of the array does not matter.
///
/// A request that is denied at the look, which is nearly every denied one, writes nothing. One that
/// is [contended](AllOutcome::Contended), because another call charged a bucket between the look and
/// the charge, or that finds no room for a new key, has its charges rolled back. Meanwhile others see
/// them. What cannot be given back is what flowed in during the call, and is
/// [counted](super::Counters::lost). A place of a [shaping](super::Quota::shape) quota, whose bucket
/// is a queue, is given back only while it is the last one. Under [`OnFull::Shared`](super::OnFull), a
/// key that gets its bucket before the roll-back keeps the debt that it took along.
///
/// All limits of a call on one structure are to have one time. With different ones, each is still
/// charged by its own, but a bucket that the call names twice may be denied what it could have.
///
/// Never admits more than single checks of the same costs would. Lock-free. Allocates what the single
/// checks would allocate.
///
/// ```
/// use tidegate_core::bucket::check_all;
/// use tidegate_core::{BucketTable, Instant, ManualClock, Quota, SeededState};
///
/// let (second, day) = (Quota::per_second(10)?, Quota::per_day(1_000)?);
/// let seconds = BucketTable::boxed(second, 1_000, SeededState::new(1))?;
/// let days = BucketTable::boxed(day, 1_000, SeededState::new(2))?;
/// let (second, day) = (seconds.plan(second)?, days.plan(day)?);
/// let (clock, now) = (ManualClock::new(), Instant::ORIGIN);
///
/// let ask = |cost| {
///     check_all(&[
///         seconds.limit("alice", &second, cost, now, &clock),
///         days.limit("alice", &day, cost, now, &clock),
///     ])
/// };
/// assert!(ask(8).is_admitted());
/// let denied = ask(3);
/// assert_eq!(denied.denied_by(), Some(0));
/// // The day's limit has paid nothing for it.
/// assert_eq!(days.peek("alice", &day, now).remaining(), 992);
/// # Ok::<(), tidegate_core::QuotaError>(())
/// ```
///
/// # Panics
///
/// If there are more than 16 limits (with a constant, that is an error of the compiler), or a plan was
/// compiled for another unit than its table's: programming errors.
#[inline(always)]
pub fn check_all<L: Limit, const N: usize>(limits: &[L; N]) -> AllDecision<N> {
    const { assert!(N <= MAX_LIMITS, "at most 16 limits in one call") };
    #[cfg(target_has_atomic = "64")]
    {
        let mut glances = [None; N];
        match glance::charge(limits, &mut glances) {
            Sight::Charged => {
                let outcome = AllOutcome::Admitted;
                let mut all = AllDecision { decisions: [Decision::CLOSED; N], outcome };
                for at in 0..N {
                    if let Some(glance) = &glances[at] {
                        limits[at].decision(&glance.charged(), &mut all.decisions[at]);
                    }
                }
                all
            }
            // A copy, so that the array itself need not be in memory.
            Sight::Overtaken(done) => {
                resume(limits, &{ glances }, done, &mut [Charged::NOTHING; N])
            }
            Sight::Unclear => look_closer(limits, &mut [Charged::NOTHING; N]),
        }
    }
    #[cfg(not(target_has_atomic = "64"))]
    look_closer(limits, &mut [Charged::NOTHING; N])
}

/// Charges all of `limits`, or none, and says in `charged` what was charged of each.
#[inline(always)]
pub(super) fn charge_all<L: Limit, const N: usize>(
    limits: &[L; N],
    charged: &mut [Charged; N],
) -> AllDecision<N> {
    #[cfg(target_has_atomic = "64")]
    {
        let mut glances = [None; N];
        match glance::charge(limits, &mut glances) {
            Sight::Charged => {
                for (charged, glance) in charged.iter_mut().zip(glances.iter().flatten()) {
                    *charged = glance.charged();
                }
                answer(limits, charged, AllOutcome::Admitted)
            }
            Sight::Overtaken(done) => resume(limits, &glances, done, charged),
            Sight::Unclear => look_closer(limits, charged),
        }
    }
    #[cfg(not(target_has_atomic = "64"))]
    look_closer(limits, charged)
}

/// Charges all of `limits`, or none, as [`check_all`] does, for a number of limits that is known only
/// at run time. Puts each limit's own decision into `decisions`.
///
/// # Panics
///
/// If there are more than 16 limits, or the slices differ in length, and as [`check_all`] does.
pub fn check_all_into<L: Limit>(limits: &[L], decisions: &mut [Decision]) -> AllOutcome {
    assert!(limits.len() <= MAX_LIMITS, "at most 16 limits in one call");
    assert_eq!(limits.len(), decisions.len(), "one decision for each limit");
    let (mut looks, mut order) = ([Look::NONE; MAX_LIMITS], [0; MAX_LIMITS]);
    let (looks, order) = (&mut looks[..limits.len()], &mut order[..limits.len()]);
    let mut charged = [Charged::NOTHING; MAX_LIMITS];
    let charged = &mut charged[..limits.len()];
    let outcome = decide(limits, looks, order, charged);
    write_decisions(limits, charged, decisions);
    outcome
}

/// Charges all of `limits`, or none, wherever their buckets are.
#[cold]
#[inline(never)]
fn look_closer<L: Limit, const N: usize>(
    limits: &[L; N],
    charged: &mut [Charged; N],
) -> AllDecision<N> {
    let outcome = decide(limits, &mut [Look::NONE; N], &mut [0; N], charged);
    answer(limits, charged, outcome)
}

/// Charges all of `limits`, or none. The first `done` in the order of all calls are charged already,
/// as their glances say. The others are looked at again, because no charge has verified their glances.
#[cfg(target_has_atomic = "64")]
#[cold]
#[inline(never)]
fn resume<L: Limit, const N: usize>(
    limits: &[L; N],
    glances: &[Option<Glance<'_>>; N],
    done: usize,
    charged: &mut [Charged; N],
) -> AllDecision<N> {
    let (mut looks, mut order) = ([Look::NONE; N], [0; N]);
    glance::sort(glances, &mut order);
    for (place, at) in order.iter().map(|&at| usize::from(at)).enumerate() {
        match &glances[at] {
            Some(glance) if place < done => {
                looks[at] = glance.look();
                charged[at] = glance.charged();
            }
            _ => _ = limits[at].look(&mut looks[at]),
        }
    }
    let call = Call { limits, looks: &looks };
    // The bucket of a limit that is not charged yet may have been given up since its glance.
    order[done..].sort_unstable_by_key(|&at| call.rank(at));
    let outcome = charge_from(done, &call, &order, charged);
    answer(limits, charged, outcome)
}

/// Returns the answer, with each limit's own decision.
fn answer<L: Limit, const N: usize>(
    limits: &[L; N],
    charged: &[Charged; N],
    outcome: AllOutcome,
) -> AllDecision<N> {
    let mut all = AllDecision { decisions: [Decision::CLOSED; N], outcome };
    write_decisions(limits, charged, &mut all.decisions);
    all
}

/// Writes each limit's own decision into `decisions`.
fn write_decisions<L: Limit>(limits: &[L], charged: &[Charged], decisions: &mut [Decision]) {
    for ((decision, charged), limit) in decisions.iter_mut().zip(charged).zip(limits) {
        limit.decision(charged, decision);
    }
}

/// Looks at every bucket, and charges all or none.
fn decide<L: Limit>(
    limits: &[L],
    looks: &mut [Look],
    order: &mut [u8],
    charged: &mut [Charged],
) -> AllOutcome {
    let mut is_plain = true;
    for (at, limit) in limits.iter().enumerate() {
        is_plain &= limit.look(&mut looks[at]);
        is_plain &= looks[at].fresh.is_none();
    }
    is_plain &= limit::sort(|at| looks[at].bucket, order);
    let call = Call { limits, looks };
    if !is_plain {
        let outcome = foresee(&call, order, charged);
        if outcome != AllOutcome::Admitted {
            return outcome;
        }
    }
    charge_from(0, &call, order, charged)
}

/// Charges the limits of the order from the place `first` on. Those before it are charged already.
/// Rolls all back if a charge fails.
fn charge_from<L: Limit>(
    first: usize,
    call: &Call<'_, L>,
    order: &[u8],
    charged: &mut [Charged],
) -> AllOutcome {
    let Call { limits, .. } = *call;
    for (done, &at) in order.iter().enumerate().skip(first) {
        let (limit, look) = (&limits[usize::from(at)], &call.looks[usize::from(at)]);
        let answer = &mut charged[usize::from(at)];
        let Some(charge) = charge_of(limit) else {
            *answer = Charged::nothing(Verdict::foreseen(limit.asked(), look.time));
            continue;
        };
        limit.charge(&charge, answer);
        let verdict = answer.verdict;
        if verdict.outcome() != Outcome::Admitted {
            if verdict.is_unplaced() {
                let verdict = call.unplaced(order, done, charged, verdict);
                charged[usize::from(at)].verdict = verdict;
            }
            roll_back(call, order, done, charged);
            let verdict = charged[usize::from(at)].verdict;
            return match verdict.outcome() {
                Outcome::Never => AllOutcome::Never { by: at },
                // There is no room for a new key, and there will be none at once.
                _ if verdict.is_unplaced() => AllOutcome::Denied { by: at },
                _ => AllOutcome::Contended { by: at },
            };
        }
    }
    AllOutcome::Admitted
}

/// Says what each limit would answer, together with those of the call that share its bucket, and puts
/// the limits in the order in which they are charged.
#[cold]
#[inline(never)]
fn foresee<L: Limit>(call: &Call<'_, L>, order: &mut [u8], charged: &mut [Charged]) -> AllOutcome {
    order.sort_unstable_by_key(|&at| call.rank(at));
    for (at, charged) in charged.iter_mut().enumerate() {
        *charged = Charged::nothing(call.together(at));
    }
    AllOutcome::of(call.limits.iter().zip(charged).map(|(limit, charged)| {
        let mut decision = Decision::CLOSED;
        limit.decision(charged, &mut decision);
        decision
    }))
}

/// Takes back what was charged to the first `done` limits of the order, the last one first. What they
/// answer, and what those answer that were not charged, is what the look said.
#[cold]
#[inline(never)]
fn roll_back<L: Limit>(call: &Call<'_, L>, order: &[u8], done: usize, charged: &mut [Charged]) {
    for at in order[..done].iter().rev().map(|&at| usize::from(at)) {
        if let Some(charge) = charge_of(&call.limits[at]) {
            call.limits[at].roll_back(&charge, &charged[at]);
        }
    }
    for at in order[..done].iter().chain(&order[done + 1..]).map(|&at| usize::from(at)) {
        charged[at] = Charged::nothing(call.together(at));
    }
}
